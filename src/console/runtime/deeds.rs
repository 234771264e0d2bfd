//! Changes to the ledger, one at a time and in order, none of them dropped; and the leases that must not lapse while the
//! person thinks.

use super::super::effect::Deed;
use super::super::msg::{Msg, Outcome};
use super::super::term::panics::{self, bug_on_purpose};
use super::presence;
use super::work::Shared;
use crate::domain::paper::PaperState;
use crate::domain::progress::Progress;
use crate::domain::queue::Decide;
use crate::domain::{Error, ErrorKind, Result};
use crate::job;
use crate::ledger::{Ledger, Next};
use crate::resolve::prove::Proven;
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

/// A console's lease: a dropped session frees its cases within a minute.
const LEASE: Duration = Duration::from_mins(1);
/// Renewed so often.
const RENEW: Duration = Duration::from_secs(10);

/// Something to be done.
#[derive(Debug)]
pub enum Job {
    /// A deed and its number.
    Deed { number: u64, deed: Deed },
    /// This person leaves.
    Leave,
}

/// Does deeds.
pub fn run(shared: &Shared) -> Result<()> {
    let mut ledger = shared.open()?;
    loop {
        let (number, deed) = match shared.deeds.next() {
            Job::Deed { number, deed } => (number, deed),
            Job::Leave => {
                presence::leave(shared, &mut ledger)?;
                continue;
            }
        };
        let done = panics::watch(|| {
            bug_on_purpose("deeds");
            act(shared, &mut ledger, &deed)
        });
        let outcome = done.unwrap_or_else(|why| {
            Err(Error::new(
                ErrorKind::Unconfirmed,
                format!("nobody knows whether it was done: {why}"),
            )
            .cure("look at the case: what the ledger has is shown there"))
        });
        if outcome.as_ref().is_err_and(|e| e.kind == ErrorKind::Unconfirmed) {
            ledger = shared.open()?;
        }
        shared.mailbox.tell(Msg::Deed { number, deed, outcome });
    }
}

fn act(shared: &Shared, ledger: &mut Ledger, deed: &Deed) -> Result<Outcome> {
    let changed = match deed {
        Deed::Claim(ids) => {
            let mut chain = BTreeSet::new();
            for id in ids {
                chain.extend(ledger.chain(id)?);
            }
            let chain: Vec<String> = chain.into_iter().collect();
            ledger.claim(&chain, LEASE)?;
            shared.held(|held| held.extend(chain.iter().cloned()));
            chain
        }
        Deed::Next { among, pass, whole } => next(shared, ledger, among, pass, *whole)?,
        Deed::TakeOver { case, reason } => {
            ledger.take_over(case, reason, LEASE)?;
            shared.held(|held| held.insert(case.clone()));
            vec![case.clone()]
        }
        Deed::Drop(ids) => {
            shared.held(|held| held.retain(|id| !ids.contains(id)));
            ledger.drop_claims(ids)?;
            ids.clone()
        }
        Deed::Decide(asked) => return decide(shared, ledger, asked),
        Deed::Sign { paper, reason } => job::approve(&shared.config, ledger, paper, reason)?
            .into_iter()
            .map(|(id, _)| id)
            .collect(),
        Deed::Decline { paper, reason } => {
            ledger.decline(paper, reason)?;
            paper.case.iter().cloned().collect()
        }
        Deed::HandOver { to, note } => {
            job::hand_over(ledger, to.as_deref(), note)?;
            Vec::new()
        }
        Deed::SignOff { reason } => {
            sign_off(shared, ledger, reason)?;
            Vec::new()
        }
        Deed::Done { case, evidence } => {
            ledger.done(case, evidence)?;
            vec![case.clone()]
        }
        Deed::Note { case, text } => {
            ledger.note(case, text)?;
            vec![case.clone()]
        }
        Deed::Unmask {
            case,
            entity,
            column,
            reason,
        } => {
            ledger.unmask(case, entity, column, reason)?;
            Vec::new()
        }
        Deed::Undo { case, reason } => {
            ledger.undo(case, reason)?;
            vec![case.clone()]
        }
        Deed::Reopen { case, reason } => {
            ledger.reopen(case, reason)?;
            vec![case.clone()]
        }
        Deed::Prove(ids) => {
            let read = job::prove(&shared.config, ledger, Some(ids), &Progress::default())?;
            return Ok(Outcome {
                words: said(&read),
                changed: ids.clone(),
            });
        }
        Deed::Tick {
            phase,
            state,
            reason,
            open,
        } => {
            ledger.tick(*phase, *state, reason, open.as_deref())?;
            Vec::new()
        }
        Deed::Ignore { entity, column, reason } => {
            ledger.ignore(entity, column, reason)?;
            Vec::new()
        }
        Deed::CompareAgain { entity, column, reason } => {
            ledger.compare_again(entity, column, reason)?;
            Vec::new()
        }
    };
    Ok(Outcome {
        words: String::new(),
        changed,
    })
}

/// Claims the next case and what it waits for: what was claimed, the case itself first; nothing where none is free.
fn next(shared: &Shared, ledger: &mut Ledger, among: &[String], pass: &[String], whole: bool) -> Result<Vec<String>> {
    let mut next = ledger.claim_first(among, LEASE)?;
    if next.is_none() && whole {
        next = ledger.claim_next(pass, LEASE)?;
    }
    let Some(Next { case, mut chain }) = next else {
        return Ok(Vec::new());
    };
    chain.retain(|id| *id != case);
    chain.insert(0, case);
    shared.held(|held| held.extend(chain.iter().cloned()));
    Ok(chain)
}

fn decide(shared: &Shared, ledger: &mut Ledger, asked: &Decide) -> Result<Outcome> {
    let decided = job::decide(&shared.config, ledger, asked)?;
    let waits = ledger.paper(&asked.key)?.is_some_and(|p| p.state == PaperState::Waits);
    Ok(Outcome {
        words: if waits {
            "it waits for another person's approval".to_owned()
        } else {
            String::new()
        },
        changed: decided.into_iter().map(|(id, _)| id).collect(),
    })
}

/// Signs off, or says what is left.
fn sign_off(shared: &Shared, ledger: &mut Ledger, reason: &str) -> Result<()> {
    let job::SignedOff::No(left, error) = job::sign_off(&shared.config, ledger, reason, &Progress::default())? else {
        return Ok(());
    };
    let left = left.iter().take(5);
    let names: Vec<String> = left.map(|l| format!("{} {}", l.case, l.state.words())).collect();
    let what = match names.as_slice() {
        [] => error.what.clone(),
        names => format!("{}: {}", error.what, names.join(", ")),
    };
    Err(Error { what, ..error })
}

/// What reading again said, for the person who asked.
fn said(read: &Proven) -> String {
    let counts = [
        (read.proven, "proven"),
        (read.disproven, "disproven, open again"),
        (read.waiting, "not done yet"),
        (read.unclear, "not to be told"),
    ];
    let said: Vec<String> = counts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, words)| format!("{n} {words}"))
        .collect();
    if said.is_empty() {
        return "nothing to read again: no decision waits for a proof".to_owned();
    }
    format!("read again: {}", said.join(", "))
}

/// Renews the leases. Nothing on the screen can hold it up.
pub fn keep_leases(shared: &Shared) -> Result<()> {
    let mut ledger = shared.open()?;
    loop {
        // Time is the subject: a lease is renewed so often, whatever else happens.
        thread::sleep(RENEW);
        bug_on_purpose("leases");
        let held: Vec<String> = shared.held(|held| held.iter().cloned().collect());
        if held.is_empty() || ledger.claim(&held, LEASE).is_ok() {
            continue;
        }
        // One of them is not ours any more; the others are.
        for id in held {
            if let Err(error) = ledger.claim(std::slice::from_ref(&id), LEASE) {
                if error.kind != ErrorKind::Refused {
                    return Err(error);
                }
                shared.held(|held| held.remove(&id));
                shared.mailbox.tell(Msg::Changed);
            }
        }
    }
}

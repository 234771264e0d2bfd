//! Claims: leases on cases, with a fence that rises when the holder changes.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::rows::{case_no, claim_on, state_of};
use super::sqlite::Tx;
use super::store::{Act, Snapshot};
use crate::domain::queue::Claim;
use crate::domain::{Error, Result, time};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// Takes cases, all or none.
#[derive(Debug, Serialize)]
struct Take<'a> {
    cases: &'a [String],
    /// Microseconds.
    lease: i64,
}

/// Gives cases back.
#[derive(Debug, Serialize)]
struct GiveBack<'a> {
    cases: &'a [String],
}

/// Takes a case from whoever holds it.
#[derive(Debug, Serialize)]
struct TakeOver<'a> {
    case: &'a str,
    reason: &'a str,
    /// Microseconds.
    lease: i64,
}

/// Takes the next case, and all it waits for.
#[derive(Debug, Serialize)]
struct TakeNext<'a> {
    /// Only one of these, in their order; any, where there is none.
    among: &'a [String],
    pass: &'a [String],
    /// Microseconds.
    lease: i64,
}

/// A case that was opened and claimed in one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// The case.
    pub case: String,
    /// It, and what it waits for: what was claimed.
    pub chain: Vec<String>,
}

impl Ledger {
    /// Takes these cases for so long, all or none; one that is held already is renewed. Refused where somebody else
    /// holds one of them.
    pub fn claim(&mut self, ids: &[String], lease: Duration) -> Result<Vec<Claim>> {
        self.act(&Take {
            cases: ids,
            lease: micros(lease),
        })
    }

    /// The cases whose leases run, or ended so short a time ago that somebody may still think they do.
    pub fn leased(&self, ended_within: Duration) -> Result<Vec<String>> {
        self.read(|at| {
            let since = at.now().saturating_sub(micros(ended_within));
            at.all(
                "SELECT c.id FROM claims l JOIN cases c ON c.no = l.no WHERE c.incident = ?1 AND l.until >= ?2",
                &[at.incident().into(), since.into()],
                |r| r.own(0),
            )
        })
    }

    /// The case and the undecided cases it waits for, directly or by way of others: what is claimed together.
    pub fn chain(&self, id: &str) -> Result<Vec<String>> {
        self.read(|at| chain(at, id))
    }

    /// Gives claims back. A case that nobody holds stays as it is; refused where somebody else holds one.
    pub fn drop_claims(&mut self, ids: &[String]) -> Result<()> {
        self.act(&GiveBack { cases: ids })
    }
}

impl Ledger {
    /// Takes a case for so long from whoever holds it, with a reason that they are told. It takes a lead.
    pub fn take_over(&mut self, id: &str, reason: &str, lease: Duration) -> Result<Claim> {
        if reason.trim().is_empty() {
            return Err(Error::usage("`takeover` needs a reason").cure("--reason TEXT"));
        }
        self.act(&TakeOver {
            case: id,
            reason,
            lease: micros(lease),
        })
    }

    /// Opens the first open case of the queue that nobody holds and claims it with all it waits for, in one step; those of
    /// `pass` are passed over. `None`: there is none.
    pub fn claim_next(&mut self, pass: &[String], lease: Duration) -> Result<Option<Next>> {
        self.act(&TakeNext {
            among: &[],
            pass,
            lease: micros(lease),
        })
    }

    /// As [`Ledger::claim_next`], of these alone, the first that is open and free.
    pub fn claim_first(&mut self, among: &[String], lease: Duration) -> Result<Option<Next>> {
        if among.is_empty() {
            return Ok(None);
        }
        self.act(&TakeNext {
            among,
            pass: &[],
            lease: micros(lease),
        })
    }
}

pub(super) fn held(id: &str, claim: &Claim) -> Error {
    Error::refused(format!("{} holds {id} until {}", claim.by, time::format(claim.until)))
        .cure("ask them to drop it, or wait until the lease ends")
}

fn micros(lease: Duration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn chain(at: &dyn Snapshot, id: &str) -> Res<Vec<String>> {
    let mut chain = vec![id.to_owned()];
    let mut known: HashSet<String> = chain.iter().cloned().collect();
    let mut ahead: VecDeque<String> = chain.iter().cloned().collect();
    while let Some(id) = ahead.pop_front() {
        let Some(no) = case_no(at, &id)? else {
            continue;
        };
        let waits: Vec<(String, Option<String>)> = at.all(
            "SELECT w.for_id, c.state FROM waits w LEFT JOIN cases c ON c.incident = w.incident AND c.id = w.for_id
             WHERE w.no = ?1 ORDER BY w.nth",
            &[no.into()],
            |r| Ok((r.own(0)?, r.own_or_null(1)?)),
        )?;
        for (next, state) in waits {
            let undecided = state.is_some_and(|s| state_of(&s).is_decidable());
            if undecided && known.insert(next.clone()) {
                chain.push(next.clone());
                ahead.push_back(next);
            }
        }
    }
    Ok(chain)
}

impl Act for Take<'_> {
    type Answer = Vec<Claim>;
    const NAME: &'static str = "claim";

    fn counts_once(&self) -> bool {
        false
    }

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "claim",
            case: self.cases.first().map(String::as_str),
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<Vec<Claim>> {
        tx.require_operator()?;
        let until = tx.now.saturating_add(self.lease);
        self.cases.iter().map(|id| tx.claim(id, &tx.who.user, until)).collect()
    }
}

impl Act for GiveBack<'_> {
    type Answer = ();
    const NAME: &'static str = "give_back";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "drop",
            case: self.cases.first().map(String::as_str),
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        tx.require_operator()?;
        for id in self.cases {
            let no = tx.case_no(id)?;
            let Some(claim) = claim_on(tx, no)? else {
                continue;
            };
            if claim.by != tx.who.user {
                return Err(tx.held(id, no, &claim)?.into());
            }
            tx.db
                .execute("UPDATE claims SET until = ?2 WHERE no = ?1", (no, tx.now))?;
            tx.audit(Deed {
                case: Some(id),
                outcome: "ok",
                ..self.deed()
            })?;
        }
        Ok(())
    }
}

impl Act for TakeOver<'_> {
    type Answer = Claim;
    const NAME: &'static str = "takeover";

    fn deed(&self) -> Deed<'_> {
        Deed::on("takeover", self.case)
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<Claim> {
        tx.require_lead("to take a case over")?;
        let id = self.case;
        let no = tx.case_no(id)?;
        let Some(claim) = claim_on(tx, no)? else {
            return Err(Error::refused(format!("nobody holds {id}"))
                .cure(format!("`restitch claim {id}`"))
                .into());
        };
        if claim.by == tx.who.user {
            return Err(Error::refused(format!("{id} is yours already")).into());
        }
        let (until, fence) = (tx.now.saturating_add(self.lease), claim.fence + 1);
        tx.db.execute(
            "UPDATE claims SET by = ?2, until = ?3, fence = ?4, taken_from = ?5, taken_at = ?6, taken_why = ?7 WHERE no = ?1",
            params![no, tx.who.user, until, fence, claim.by, tx.now, self.reason],
        )?;
        tx.audit(Deed {
            outcome: "ok",
            why: Some(&format!("from {}: {}", claim.by, self.reason)),
            ..self.deed()
        })?;
        Ok(Claim {
            by: tx.who.user.clone(),
            until,
            fence,
        })
    }
}

impl Act for TakeNext<'_> {
    type Answer = Option<Next>;
    const NAME: &'static str = "claim_next";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "claim",
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<Option<Next>> {
        tx.require_operator()?;
        let mut free: Vec<String> = tx
            .db
            .prepare_cached(
                "SELECT c.id FROM cases c WHERE c.incident = ?1 AND c.state = 'open'
                 AND c.id NOT IN (SELECT value FROM json_each(?3))
                 AND NOT EXISTS (SELECT 1 FROM claims l WHERE l.no = c.no AND l.until > ?2) ORDER BY c.place, c.no",
            )?
            .query_map((tx.incident, tx.now, serde_json::to_string(self.pass)?), |r| r.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if !self.among.is_empty() {
            let free_ones: HashSet<String> = free.drain(..).collect();
            free = self
                .among
                .iter()
                .filter(|id| free_ones.contains(*id))
                .cloned()
                .collect();
        }
        let until = tx.now.saturating_add(self.lease);
        'next: for case in free {
            let chain = chain(tx, &case)?;
            for id in &chain {
                if claim_on(tx, tx.case_no(id)?)?.is_some_and(|c| c.by != tx.who.user) {
                    continue 'next;
                }
            }
            for id in &chain {
                tx.claim(id, &tx.who.user, until)?;
            }
            return Ok(Some(Next { case, chain }));
        }
        Ok(None)
    }
}

impl Tx<'_> {
    /// Gives `by` the case until then.
    pub fn claim(&self, id: &str, by: &str, until: i64) -> Res<Claim> {
        let no = self.case_no(id)?;
        let live = claim_on(self, no)?;
        if let Some(other) = live.as_ref().filter(|c| c.by != by) {
            return Err(self.held(id, no, other)?.into());
        }
        let last: Option<(String, i64)> = self
            .db
            .prepare_cached("SELECT by, fence FROM claims WHERE no = ?1")?
            .query_row([no], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let fence = match last {
            Some((holder, fence)) if holder == by => fence,
            Some((_, fence)) => fence + 1,
            None => 1,
        };
        self.db
            .prepare_cached("INSERT OR REPLACE INTO claims (no, by, until, fence) VALUES (?1, ?2, ?3, ?4)")?
            .execute((no, by, until, fence))?;
        // A renewal is no deed: a console renews every few seconds.
        if live.is_none() {
            let why = format!("for {by} until {}", time::format(until));
            self.audit(Deed {
                action: "claim",
                case: Some(id),
                outcome: "ok",
                why: Some(&why),
                ..Deed::default()
            })?;
        }
        Ok(Claim {
            by: by.to_owned(),
            until,
            fence,
        })
    }

    /// Who holds the case, and how they got it where it was taken from whoever asks.
    fn held(&self, id: &str, no: i64, claim: &Claim) -> Res<Error> {
        let taken: Option<(i64, String)> = self
            .db
            .prepare_cached("SELECT taken_at, taken_why FROM claims WHERE no = ?1 AND taken_from = ?2")?
            .query_row((no, &self.who.user), |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        Ok(match taken {
            Some((at, why)) => {
                let at = time::format(at);
                Error::refused(format!("{} took {id} over from you at {at}: {why}", claim.by))
                    .cure("talk to them; the case is theirs until they drop it")
            }
            None => held(id, claim),
        })
    }

    /// Refuses where somebody else holds the case.
    pub fn refuse_held_by_others(&self, id: &str, no: i64) -> Res<()> {
        match claim_on(self, no)? {
            Some(claim) if claim.by != self.who.user => Err(self.held(id, no, &claim)?.into()),
            _ => Ok(()),
        }
    }
}

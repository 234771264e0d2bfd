//! Claims: leases on cases, with a fence that rises when the holder changes.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::rows::{case_no, claim_on, state_of};
use super::sqlite::Tx;
use super::store::{Act, Snapshot};
use crate::domain::queue::Claim;
use crate::domain::{Error, Result, time};
use rusqlite::OptionalExtension;
use serde::Serialize;
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
                return Err(held(id, &claim).into());
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

impl Tx<'_> {
    /// Gives `by` the case until then.
    pub fn claim(&self, id: &str, by: &str, until: i64) -> Res<Claim> {
        let no = self.case_no(id)?;
        let live = claim_on(self, no)?;
        if let Some(other) = live.as_ref().filter(|c| c.by != by) {
            return Err(held(id, other).into());
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

    /// Refuses where somebody else holds the case.
    pub fn refuse_held_by_others(&self, id: &str, no: i64) -> Res<()> {
        match claim_on(self, no)? {
            Some(claim) if claim.by != self.who.user => Err(held(id, &claim).into()),
            _ => Ok(()),
        }
    }
}

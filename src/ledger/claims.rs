//! Claims: leases on cases, with a fence that rises when the holder changes.

use super::audit::Deed;
use super::fault::Res;
use super::rows::{case_no, claim_on, state_of};
use super::{Ledger, Tx};
use crate::domain::queue::Claim;
use crate::domain::{Error, Result, time};
use rusqlite::OptionalExtension;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

impl Ledger {
    /// Takes these cases for so long, all or none; one that is held already is renewed. Refused where somebody else
    /// holds one of them.
    pub fn claim(&mut self, ids: &[String], lease: Duration) -> Result<Vec<Claim>> {
        let deed = Deed {
            action: "claim",
            case: ids.first().map(String::as_str),
            ..Deed::default()
        };
        self.deed(deed, |tx| {
            tx.require_operator()?;
            let until = tx.now.saturating_add(micros(lease));
            ids.iter().map(|id| tx.claim(id, &tx.who.user, until)).collect()
        })
    }

    /// The cases whose leases run, or ended so short a time ago that somebody may still think they do.
    pub fn leased(&self, ended_within: Duration) -> Result<Vec<String>> {
        let since = (self.clock)().saturating_sub(micros(ended_within));
        self.read(|db, incident| {
            let mut leased = db.prepare_cached(
                "SELECT c.id FROM claims l JOIN cases c ON c.no = l.no WHERE c.incident = ?1 AND l.until >= ?2",
            )?;
            let ids = leased.query_map((incident, since), |r| r.get(0))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The case and the undecided cases it waits for, directly or by way of others: what is claimed together.
    pub fn chain(&self, id: &str) -> Result<Vec<String>> {
        self.read(|db, incident| chain(db, incident, id))
    }

    /// Gives claims back. A case that nobody holds stays as it is; refused where somebody else holds one.
    pub fn drop_claims(&mut self, ids: &[String]) -> Result<()> {
        let deed = Deed {
            action: "drop",
            case: ids.first().map(String::as_str),
            ..Deed::default()
        };
        self.deed(deed, |tx| {
            tx.require_operator()?;
            for id in ids {
                let no = tx.case_no(id)?;
                let Some(claim) = claim_on(&tx.db, no, tx.now)? else {
                    continue;
                };
                if claim.by != tx.who.user {
                    return Err(held(id, &claim).into());
                }
                tx.db
                    .execute("UPDATE claims SET until = ?2 WHERE no = ?1", (no, tx.now))?;
                tx.audit(Deed {
                    action: "drop",
                    case: Some(id),
                    outcome: "ok",
                    ..Deed::default()
                })?;
            }
            Ok(())
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

pub(super) fn chain(db: &rusqlite::Connection, incident: i64, id: &str) -> Res<Vec<String>> {
    let mut chain = vec![id.to_owned()];
    let mut known: HashSet<String> = chain.iter().cloned().collect();
    let mut ahead: VecDeque<String> = chain.iter().cloned().collect();
    while let Some(id) = ahead.pop_front() {
        let Some(no) = case_no(db, incident, &id)? else {
            continue;
        };
        let waits: Vec<(String, Option<String>)> = db
            .prepare_cached(
                "SELECT w.for_id, c.state FROM waits w LEFT JOIN cases c ON c.incident = w.incident AND c.id = w.for_id
                 WHERE w.no = ?1 ORDER BY w.nth",
            )?
            .query_map([no], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
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

impl Tx<'_> {
    /// Gives `by` the case until then.
    pub(super) fn claim(&self, id: &str, by: &str, until: i64) -> Res<Claim> {
        let no = self.case_no(id)?;
        let live = claim_on(&self.db, no, self.now)?;
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
    pub(super) fn refuse_held_by_others(&self, id: &str, no: i64) -> Res<()> {
        match claim_on(&self.db, no, self.now)? {
            Some(claim) if claim.by != self.who.user => Err(held(id, &claim).into()),
            _ => Ok(()),
        }
    }
}

//! Effects in the ledger. A decision that has one is stored together with it; `unconfirmed` is written before the effect
//! starts, and what came of it afterwards. Whoever dies in between leaves `unconfirmed`, which is the truth.

use super::audit::Deed;
use super::fault::Res;
use super::sqlite::Tx;
use super::store::{Act, Row, Snapshot};
use super::{Beside, Ledger, Place, Store, decide::new_key};
use crate::domain::case::{State, Verb};
use crate::domain::queue::{CaseEffect, Course, EffectLine};
use crate::domain::{Error, Result};
use crate::resolve::effects::plan::Plan;
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whom a case is assigned to whose effect has yet to run.
pub(super) const RESTITCH: &str = "restitch";
/// An order that was sent on its way is given so long to be there, microseconds: only then its absence is a failed proof.
const ON_ITS_WAY: i64 = 300_000_000;

/// An effect that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its idempotency key.
    pub key: String,
    /// The key of the decision.
    pub of: String,
    /// What was decided.
    pub verb: Verb,
    /// Who decided.
    pub by: String,
    /// The cases that it is about: ids, the one that was decided first.
    pub cases: Vec<String>,
    /// What it does.
    pub plan: Plan,
    /// Microseconds since 1970 before which it does not leave.
    pub leaves_at: i64,
    /// How far it is.
    pub state: Course,
    /// Microseconds since 1970 until which somebody may be at it.
    pub leased_until: Option<i64>,
    attempt: i64,
}

impl Pending {
    /// Whether it takes the decision back.
    pub fn undoes(&self) -> bool {
        self.key != self.of
    }
}

/// An effect as a decision queues it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queued {
    pub key: String,
    /// `sql`, `kafka` or `http`.
    does: String,
    /// JSON.
    plan: String,
    /// So many microseconds later it leaves.
    grace: i64,
}

impl Queued {
    pub fn new(key: &str, plan: &Plan, grace: Duration) -> Res<Self> {
        Ok(Self {
            key: key.to_owned(),
            does: plan.name().to_owned(),
            plan: serde_json::to_string(plan)?,
            grace: if plan.is_one_way() {
                i64::try_from(grace.as_micros()).unwrap_or(0)
            } else {
                0
            },
        })
    }
}

const PENDING: &str = "SELECT e.key, e.of, d.verb, d.by, e.cases, e.plan, e.leaves_at, e.state, e.leased_until, e.attempt
    FROM effects e JOIN decisions d ON d.key = e.of WHERE e.incident = ?1 AND e.state IN ('queued', 'running', 'unknown')";

fn read(row: &dyn Row) -> Res<Pending> {
    Ok(Pending {
        key: row.own(0)?,
        of: row.own(1)?,
        verb: Verb::of_name(row.text(2)?).unwrap_or(Verb::Keep),
        by: row.own(3)?,
        cases: row.json(4)?,
        plan: row.json(5)?,
        leaves_at: row.int(6)?,
        state: Course::of_name(row.text(7)?).unwrap_or(Course::Unknown),
        leased_until: row.get_int(8)?,
        attempt: row.int(9)?,
    })
}

/// The effect of a case as the view `files` has it.
pub(super) fn line_of(json: &str, decision: &str) -> Res<EffectLine> {
    let (key, does, state, leaves_at, ended_at, outcome): (String, _, String, _, _, _) = serde_json::from_str(json)?;
    Ok(EffectLine {
        undoes: key != decision,
        key,
        does,
        state: Course::of_name(&state).unwrap_or(Course::Unknown),
        leaves_at,
        ended_at,
        outcome,
    })
}

/// The effect of a decision; the one that takes it back while that is under way.
fn line(at: &dyn Snapshot, decision: &str) -> Res<Option<EffectLine>> {
    at.one(
        "SELECT key, does, state, leaves_at, ended_at, outcome FROM effects WHERE of = ?1
         ORDER BY CASE WHEN key <> of AND state IN ('queued', 'running', 'unknown') THEN 0 WHEN key = of THEN 1 ELSE 2 END
         LIMIT 1",
        &[decision.into()],
        |r| {
            Ok(EffectLine {
                key: r.own(0)?,
                undoes: r.text(0)? != decision,
                does: r.own(1)?,
                state: Course::of_name(r.text(2)?).unwrap_or(Course::Unknown),
                leaves_at: r.int(3)?,
                ended_at: r.get_int(4)?,
                outcome: r.own_or_null(5)?,
            })
        },
    )
}

/// An effect starts.
#[derive(Debug, Serialize)]
pub(super) struct Start<'a> {
    pub key: &'a str,
    /// Microseconds.
    pub lease: i64,
    /// Whether it may be tried once more where nobody knows what came of it.
    pub again: bool,
}

/// What came of an effect.
#[derive(Debug, Serialize)]
pub(super) struct End<'a> {
    pub key: &'a str,
    pub state: Course,
    pub words: &'a str,
}

impl Ledger {
    /// The effects of this attempt that are not over, the oldest first.
    pub fn pending_effects(&self) -> Result<Vec<Pending>> {
        self.read(|at| {
            at.all(
                &format!("{PENDING} AND e.attempt = ?2 ORDER BY e.leaves_at, e.key"),
                &[at.incident().into(), self.here.attempt.into()],
                read,
            )
        })
    }

    /// All effects of the incident, over or not, in the order in which they leave.
    pub fn effects(&self) -> Result<Vec<CaseEffect>> {
        self.read(|at| {
            at.all(
                "SELECT e.key, e.of, e.does, e.state, e.leaves_at, e.ended_at, e.outcome, e.cases, d.verb, d.by
                 FROM effects e JOIN decisions d ON d.key = e.of WHERE e.incident = ?1 ORDER BY e.leaves_at, e.key",
                &[at.incident().into()],
                |r| {
                    Ok(CaseEffect {
                        cases: r.json(7)?,
                        verb: Verb::of_name(r.text(8)?).unwrap_or(Verb::Keep),
                        by: r.own(9)?,
                        line: EffectLine {
                            key: r.own(0)?,
                            undoes: r.text(0)? != r.text(1)?,
                            does: r.own(2)?,
                            state: Course::of_name(r.text(3)?).unwrap_or(Course::Unknown),
                            leaves_at: r.int(4)?,
                            ended_at: r.get_int(5)?,
                            outcome: r.own_or_null(6)?,
                        },
                    })
                },
            )
        })
    }

    /// Notes that an effect starts, before it does: its cases are `unconfirmed` from here on. `false` where it must not
    /// start: it is over, has not come to leave, somebody else is at it, or it may not be tried twice. One whose cases
    /// were decided otherwise meanwhile is cancelled.
    pub fn start_effect(&mut self, key: &str, lease: Duration) -> Result<bool> {
        let again = self.read(|at| {
            let plan = at.one("SELECT plan FROM effects WHERE key = ?1", &[key.into()], |r| {
                r.json::<Plan>(0)
            })?;
            Ok(plan.is_some_and(|plan| plan.may_run_again()))
        })?;
        self.act(&Start {
            key,
            again,
            lease: i64::try_from(lease.as_micros()).unwrap_or(i64::MAX),
        })
    }

    /// The database in which the ledger stands, and the login; `None` where it stands in a file.
    pub fn whereabouts(&self) -> Result<Option<Place>> {
        match &self.store {
            Store::Sqlite(_) => Ok(None),
            Store::Postgres(postgres) => postgres.whereabouts(&self.here).map_err(|e| self.told(e)),
        }
    }

    /// What to say of an effect that has not begun, in the transaction that writes its rows, should that be one in the
    /// ledger's own database; `None` where there is none.
    pub fn beside(&self, effect: &Pending, words: &str) -> Result<Option<Beside>> {
        let place = self.whereabouts()?;
        let beside = place.map(|place| Beside::new(place, &self.here, effect, words));
        beside.transpose().map_err(|e| self.told(e))
    }

    /// Notes what came of an effect: `Done`, `Failed` (surely not done) or `Unknown`; and how its cases stand now. One that
    /// is over stays as it is.
    pub fn end_effect(&mut self, key: &str, state: Course, words: &str) -> Result<Vec<(String, State)>> {
        self.act(&End { key, state, words })
    }

    /// What takes back what the decision on this case wrote, under a key of its own; `None` where it wrote nothing.
    pub(super) fn way_back(&self, case: &str) -> Result<Option<Queued>> {
        self.read(|at| {
            let plan = at.one(
                "SELECT e.plan FROM cases c JOIN effects e ON e.key = c.decision
                 WHERE c.incident = ?1 AND c.id = ?2 AND e.state = 'done'",
                &[at.incident().into(), case.into()],
                |r| r.json::<Plan>(0),
            )?;
            let inverse = plan.and_then(|plan| plan.inverse());
            inverse
                .map(|plan| Queued::new(&new_key(), &plan, Duration::ZERO))
                .transpose()
        })
    }
}

impl Act for Start<'_> {
    type Answer = bool;
    const NAME: &'static str = "start_effect";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "apply",
            key: Some(self.key),
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<bool> {
        tx.require_operator()?;
        let Some(effect) = tx.pending(self.key)? else {
            return Ok(false);
        };
        let does = effect.plan.name();
        let first = effect.state == Course::Queued;
        let still = |state: State| match (first, effect.undoes()) {
            (false, _) => state == State::Unconfirmed,
            (true, false) => state == State::ToDo,
            (true, true) => matches!(state, State::Applied | State::Proven),
        };
        let mut stale = None;
        if effect.attempt != i64::from(tx.attempt) {
            stale = Some("the incident was restored again".to_owned());
        }
        for case in &effect.cases {
            let standing = tx.standing(case)?;
            if stale.is_none() && (standing.key.as_ref() != Some(&effect.of) || !still(standing.state)) {
                stale = Some(format!("{case} is {} now", standing.state.words()));
            }
        }
        if let Some(why) = stale {
            let words = format!("{does}: not done, {why}");
            tx.set_course(self.key, Course::Cancelled, Some(&words))?;
            tx.audit_effect(&effect, "refused", &words)?;
            return Ok(false);
        }
        // Rows that two write under one key are written once: there is no need to wait until the other must be dead.
        let leased = does != "sql" && effect.leased_until.is_some_and(|until| until > tx.now);
        if (first && effect.leaves_at > tx.now) || leased {
            return Ok(false);
        }
        if !first && !self.again {
            if effect.state == Course::Running {
                let words = format!("{does}: whoever sent it is gone, and nobody knows what was answered");
                tx.set_course(self.key, Course::Unknown, Some(&words))?;
                tx.audit_effect(&effect, "unconfirmed", &words)?;
            }
            return Ok(false);
        }
        tx.db
            .prepare_cached("UPDATE effects SET state = 'running', leased_until = ?2 WHERE key = ?1")?
            .execute((self.key, tx.now.saturating_add(self.lease)))?;
        for case in &effect.cases {
            tx.set_state(tx.case_no(case)?, State::Unconfirmed)?;
        }
        let again = if first {
            "begins"
        } else {
            "once more, under the same key"
        };
        tx.audit_effect(&effect, "unconfirmed", &format!("{does}: {again}"))?;
        Ok(true)
    }
}

impl Act for End<'_> {
    type Answer = Vec<(String, State)>;
    const NAME: &'static str = "end_effect";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "apply",
            key: Some(self.key),
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<Self::Answer> {
        tx.require_operator()?;
        let Some(effect) = tx.pending(self.key)? else {
            return tx.cases_of_effect(self.key);
        };
        tx.set_course(self.key, self.state, Some(self.words))?;
        for case in &effect.cases {
            let standing = tx.standing(case)?;
            if standing.key.as_ref() != Some(&effect.of) || standing.state != State::Unconfirmed {
                continue;
            }
            match (self.state, effect.undoes()) {
                (Course::Done, true) => tx.open_again(standing.no, false)?,
                (Course::Done, false) => tx.set_state(standing.no, State::Applied)?,
                // It stands as it did, proven where it was.
                (Course::Failed, true) => tx
                    .db
                    .prepare_cached(
                        "UPDATE cases SET state = CASE WHEN (SELECT held FROM decided WHERE key = ?1 AND no = ?2) THEN 'proven'
                                                       ELSE 'applied' END WHERE no = ?2",
                    )?
                    .execute((&effect.of, standing.no))
                    .map(drop)?,
                (Course::Failed, false) => {
                    tx.db
                        .prepare_cached("UPDATE decided SET held = 0, read = ?3 WHERE key = ?1 AND no = ?2")?
                        .execute((&effect.of, standing.no, self.words))?;
                    tx.open_to_decider(case, standing.no, &effect.of)?;
                }
                _ => {}
            }
        }
        let outcome = match self.state {
            Course::Done => "ok",
            Course::Failed => "refused",
            _ => "unconfirmed",
        };
        tx.audit_effect(&effect, outcome, self.words)?;
        tx.cases_of_effect(self.key)
    }
}

impl Tx<'_> {
    /// Stores the effect of a decision, or of taking one back.
    pub(super) fn queue_effect(&self, effect: &Queued, of: &str, cases: &[&str]) -> Res<()> {
        self.db
            .prepare_cached(
                "INSERT INTO effects (key, incident, attempt, of, does, cases, plan, leaves_at, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'queued')",
            )?
            .execute(params![
                effect.key,
                self.incident,
                self.attempt,
                of,
                effect.does,
                serde_json::to_string(cases)?,
                effect.plan,
                self.now.saturating_add(effect.grace)
            ])?;
        Ok(())
    }

    fn pending(&self, key: &str) -> Res<Option<Pending>> {
        let at: &dyn Snapshot = self;
        at.one(
            &format!("{PENDING} AND e.key = ?2"),
            &[self.incident.into(), key.into()],
            read,
        )
    }

    fn set_course(&self, key: &str, state: Course, outcome: Option<&str>) -> Res<()> {
        let ended = state.is_over().then_some(self.now);
        self.db
            .prepare_cached(
                "UPDATE effects SET state = ?2, leased_until = NULL, ended_at = ?3, outcome = ?4 WHERE key = ?1",
            )?
            .execute((key, state.name(), ended, outcome))?;
        Ok(())
    }

    /// Writes a line for each case of an effect.
    fn audit_effect(&self, effect: &Pending, outcome: &str, why: &str) -> Res<()> {
        for case in &effect.cases {
            self.audit(Deed {
                action: "apply",
                case: Some(case),
                verb: Some(effect.verb.name()),
                key: Some(&effect.key),
                outcome,
                why: Some(why),
            })?;
        }
        Ok(())
    }

    fn cases_of_effect(&self, key: &str) -> Res<Vec<(String, State)>> {
        let cases: Option<String> = self
            .db
            .prepare_cached("SELECT cases FROM effects WHERE key = ?1")?
            .query_row([key], |r| r.get(0))
            .optional()?;
        let cases: Vec<String> = match cases {
            Some(json) => serde_json::from_str(&json)?,
            None => Vec::new(),
        };
        let stand = cases.into_iter().map(|id| {
            let state = self.standing(&id)?.state;
            Ok((id, state))
        });
        stand.collect()
    }

    /// Before a decision is taken back: what has not left does not leave any more, and what was written is written back,
    /// by `back`. `true` where the decision stands until that is done.
    pub(super) fn take_effect_back(&self, decision: &str, back: Option<&Queued>, cases: &[&str]) -> Res<bool> {
        let Some(line) = line(self, decision)? else {
            return Ok(false);
        };
        match (line.state, line.undoes) {
            (Course::Queued, false) => {
                self.set_course(decision, Course::Cancelled, Some("taken back before it left"))?;
                Ok(false)
            }
            (Course::Failed | Course::Cancelled, _) => Ok(false),
            (_, true) => Err(Error::refused("it is being taken back already").into()),
            (Course::Done, false) => {
                let Some(back) = back else {
                    return Err(Error::refused(format!(
                        "{} is one-way: it has left, and nothing takes it back",
                        line.does
                    ))
                    .cure("a lead may `reopen` the case; what was sent stays sent")
                    .into());
                };
                self.queue_effect(back, decision, cases)?;
                Ok(true)
            }
            (Course::Running | Course::Unknown, false) => Err(Error::refused("nobody knows yet whether it was done")
                .cure("`restitch prove` reads it back")
                .into()),
        }
    }

    /// A lead opens the case again: what has not left does not leave any more, and of what only the receiver could tell, the
    /// lead's word counts. `false` where the same can still be done again, to know.
    pub(super) fn give_effect_up(&self, decision: &str, why: &str) -> Res<bool> {
        let Some(line) = line(self, decision)? else {
            return Ok(true);
        };
        match (line.state, line.does.as_str()) {
            (Course::Queued, _) => self.set_course(&line.key, Course::Cancelled, Some(why))?,
            (Course::Unknown, "http") => {
                let words = format!("http: did not take place, a lead says: {why}");
                self.set_course(&line.key, Course::Failed, Some(&words))?;
            }
            (Course::Running | Course::Unknown, _) => return Ok(false),
            _ => {}
        }
        Ok(true)
    }

    /// Whether a queued effect will do it, so that no person has to.
    pub(super) fn does_itself(&self, decision: &str) -> Res<bool> {
        Ok(line(self, decision)?.is_some_and(|l| l.state == Course::Queued))
    }

    /// Whether this decision wrote rows, which undo writes back.
    pub(super) fn wrote_rows(&self, decision: &str) -> Res<bool> {
        let line = line(self, decision)?;
        Ok(line.is_some_and(|l| l.does == "sql" && (l.undoes || l.state == Course::Done)))
    }

    /// Whether what was sent may still be on its way: that it is not there yet says nothing.
    pub(super) fn is_on_its_way(&self, decision: &str) -> Res<bool> {
        let line = line(self, decision)?;
        Ok(line.is_some_and(|l| {
            l.does != "sql" && l.state == Course::Done && l.ended_at.is_some_and(|at| at + ON_ITS_WAY > self.now)
        }))
    }

    /// The decision came true: an effect that waits need not leave, one whose answer was lost was done.
    pub(super) fn effect_came_true(&self, decision: &str, read: &str) -> Res<()> {
        let Some(line) = line(self, decision)?.filter(|l| !l.undoes) else {
            return Ok(());
        };
        match line.state {
            Course::Queued => self.set_course(decision, Course::Cancelled, Some(&format!("not needed: {read}"))),
            Course::Running | Course::Unknown => self.set_course(
                decision,
                Course::Done,
                Some(&format!("{}: read back: {read}", line.does)),
            ),
            _ => Ok(()),
        }
    }

    /// Whether a decision is being taken back: until that is over, nothing is to be read of it.
    pub(super) fn is_being_undone(&self, decision: &str) -> Res<bool> {
        Ok(line(self, decision)?.is_some_and(|l| l.undoes && !l.state.is_over()))
    }

    /// At another restore of the incident: what was to be written into the database before is not written into this one.
    /// Its cases are open again.
    pub(super) fn forget_effects(&self) -> Res<()> {
        let at: &dyn Snapshot = self;
        let old = at.all(
            &format!("{PENDING} AND e.attempt < ?2"),
            &[self.incident.into(), self.attempt.into()],
            read,
        )?;
        for effect in old {
            let words = format!("{}: the incident was restored again", effect.plan.name());
            self.set_course(&effect.key, Course::Cancelled, Some(&words))?;
            for case in &effect.cases {
                let standing = self.standing(case)?;
                let waits = matches!(standing.state, State::ToDo | State::Unconfirmed);
                if standing.key.as_ref() == Some(&effect.of) && waits {
                    self.open_again(standing.no, false)?;
                }
            }
            self.audit_effect(&effect, "refused", &words)?;
        }
        Ok(())
    }
}

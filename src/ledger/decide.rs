//! Deciding a case.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::plan::{self, Decided, Plan, require_claim, standing, well_formed};
use super::rows::claim_on;
use super::sqlite::Tx;
use super::store::Act;
use crate::domain::case::{State, Verb};
use crate::domain::paper::PaperState;
use crate::domain::queue::Decide;
use crate::domain::{Error, ErrorKind, Result};
use crate::resolve::guards::{self, Offer};
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

/// So often a plan is made anew where others change what it was made of.
const TRIES: usize = 10;

/// A fresh idempotency key: made when a decision screen opens, used for every try of that decision.
pub fn new_key() -> String {
    Uuid::now_v7().to_string()
}

/// Where each decided case stands now.
type Answer = Vec<(String, State)>;

impl Ledger {
    /// The menu of verbs for a case, as it stands now.
    pub fn offers(&self, id: &str) -> Result<Vec<Offer>> {
        let offers = self.read(|at| plan::offers(at, &self.here, id))?;
        offers.ok_or_else(|| Error::usage(format!("there is no case {id:?}")))
    }

    /// Whether a decision was made under this key.
    pub fn knows_decision(&self, key: &str) -> Result<bool> {
        let known = self.read(|at| {
            let sql = "SELECT count(*) FROM decisions WHERE key = ?1";
            at.one(sql, &[key.into()], |r| r.int(0))
        })?;
        Ok(known.is_some_and(|n| n > 0))
    }

    /// Refuses a decision for what was found outside the ledger, and writes that down.
    pub fn refuse_decision(&mut self, d: &Decide, why: Error) -> Error {
        let deed = Deed {
            action: "decide",
            case: Some(&d.case),
            verb: d.verb.map(Verb::name),
            key: Some(&d.key),
            ..Deed::default()
        };
        match self.refuse_readonly(deed) {
            Ok(()) => self.refuse(deed, why),
            Err(error) => error,
        }
    }

    /// Decides a case, and with it those whose rows the verb writes; says where each stands now. The same key with the
    /// same content is the same decision: it takes effect once, and answers the same again.
    ///
    /// Where its verb needs another person's approval it is written down and waits ([`Ledger::paper`] under its key), and
    /// the case stays as it is.
    pub fn decide(&mut self, d: &Decide) -> Result<Answer> {
        self.decide_once(d, None)
    }

    /// As [`Ledger::decide`], on a case of a bulk: where the verb needs approval, the bulk as a whole must have it.
    pub fn decide_in_bulk(&mut self, d: &Decide, bulk: &str) -> Result<Answer> {
        let needs = d.verb.is_some_and(|verb| self.here.approve.needs(verb));
        if needs && self.paper(bulk)?.is_none_or(|p| p.state != PaperState::Signed) {
            return Err(self.refuse_decision(d, Error::refused(format!("nobody approved the bulk {bulk}"))));
        }
        self.decide_once(d, Some(bulk))
    }

    fn decide_once(&mut self, d: &Decide, bulk: Option<&str>) -> Result<Answer> {
        let verb = well_formed(d)?;
        let deed = Deed {
            action: "decide",
            case: Some(&d.case),
            verb: Some(verb.name()),
            key: Some(&d.key),
            ..Deed::default()
        };
        self.refuse_readonly(deed)?;
        for _ in 0..TRIES {
            let planned = self.read(|at| {
                let known = at.one(
                    "SELECT digest, result FROM decisions WHERE key = ?1",
                    &[(&d.key).into()],
                    |r| Ok((plan::hex(r.blob(0)?), r.own::<String>(1)?)),
                )?;
                match known {
                    Some(known) => {
                        answered_before(&d.key, known, &self.here.digest(&self.here.who.user, d, verb)?).map(Err)
                    }
                    None => self.here.plan(at, d, verb).map(Ok),
                }
            });
            let mut plan = match planned {
                Ok(Ok(plan)) => plan,
                Ok(Err(answer)) => return Ok(answer),
                Err(error) if error.kind == ErrorKind::Refused => return Err(self.refuse(deed, error)),
                Err(error) => return Err(error),
            };
            plan.bulk = bulk.map(str::to_owned);
            if bulk.is_none() && self.here.approve.needs(verb) {
                self.ask(d, verb, &plan)?;
                let was = plan.seen.first().and_then(|s| s.was.as_ref());
                return Ok(vec![(d.case.clone(), was.map_or(State::Open, |w| w.state))]);
            }
            if let Some(result) = self.act(&plan)? {
                return Ok(result);
            }
        }
        Err(Error::failed(format!(
            "{} changes faster than it can be decided; nothing was written",
            d.case
        ))
        .cure("look at the case again, then decide"))
    }
}

/// The answer that this key got before.
fn answered_before(key: &str, (known, result): (String, String), digest: &str) -> Res<Answer> {
    if known != digest {
        return Err(Error::refused(format!("the key {key} was used for another decision"))
            .cure("a new decision needs a new key")
            .into());
    }
    Ok(serde_json::from_str(&result)?)
}

impl Act for Plan {
    /// `None` where the plan was made of what is not so any more.
    type Answer = Option<Answer>;
    const NAME: &'static str = "decide";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "decide",
            case: self.cases.first().map(|c| c.id.as_str()),
            verb: Some(self.verb.name()),
            key: Some(&self.key),
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<Self::Answer> {
        tx.require_operator()?;
        tx.require_approval(self)?;
        self.write_for(tx, &tx.who.user)
    }
}

impl Plan {
    /// Writes it as the decision of `by`; `None` where the plan was made of what is not so any more.
    pub(super) fn write_for(&self, tx: &Tx<'_>, by: &str) -> Res<Option<Answer>> {
        let known: Option<(Vec<u8>, String)> = tx
            .db
            .prepare_cached("SELECT digest, result FROM decisions WHERE key = ?1")?
            .query_row([&self.key], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        if let Some((digest, result)) = known {
            return answered_before(&self.key, (plan::hex(&digest), result), &self.digest).map(Some);
        }
        for sight in &self.seen {
            if standing(tx, &sight.id)? != sight.was {
                return Ok(None);
            }
        }
        let result: Answer = self.cases.iter().map(|c| (c.id.clone(), c.next)).collect();
        self.write(tx, by, &result)?;
        for (nth, case) in self.cases.iter().enumerate() {
            self.write_case(tx, by, case, self.fence.filter(|_| nth == 0))?;
        }
        if let Some(effect) = &self.effect {
            let ids: Vec<&str> = self.cases.iter().map(|c| c.id.as_str()).collect();
            tx.queue_effect(effect, &self.key, &ids)?;
        }
        Ok(Some(result))
    }

    fn write(&self, tx: &Tx<'_>, by: &str, result: &Answer) -> Res<()> {
        tx.db
            .prepare_cached(
                "INSERT INTO decisions (key, incident, attempt, digest, verb, reason, by, at, reference, target, evidence,
                                        until, result)
                 VALUES (?1, ?2, ?3, unhex(?4), ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                self.key,
                tx.incident,
                tx.attempt,
                self.digest,
                self.verb.name(),
                self.reason,
                by,
                tx.now,
                self.reference,
                self.to,
                self.evidence,
                self.until,
                serde_json::to_string(result)?
            ])?;
        Ok(())
    }

    fn write_case(&self, tx: &Tx<'_>, by: &str, case: &Decided, fence: Option<i64>) -> Res<()> {
        let no = tx.case_no(&case.id)?;
        require_claim(&case.id, claim_on(tx, no)?.as_ref(), by, fence)?;
        let state = standing(tx, &case.id)?.map_or(State::Gone, |s| s.state);
        if !state.is_decidable() {
            return Err(Error::refused(format!("{}: {}", case.id, guards::not_decidable(state))).into());
        }
        tx.db
            .prepare_cached(
                "INSERT INTO decided (key, no, findings, steps, assignee, wanted) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                self.key,
                no,
                case.findings,
                case.steps,
                case.assignee,
                case.wanted
            ])?;
        tx.db
            .prepare_cached("UPDATE cases SET state = ?2, verb = ?3, decision = ?4, disproven = 0 WHERE no = ?1")?
            .execute((no, case.next.name(), self.verb.name(), &self.key))?;
        // What was asked for before and waits is overtaken.
        tx.db
            .prepare_cached(
                "UPDATE papers SET state = 'withdrawn', answered_by = ?4, answered_at = ?5, answer = 'decided otherwise'
                 WHERE incident = ?1 AND case_id = ?2 AND state = 'waits' AND key <> ?3",
            )?
            .execute(params![tx.incident, case.id, self.key, by, tx.now])?;
        tx.audit(Deed {
            case: Some(&case.id),
            outcome: "ok",
            why: Some(&self.reason),
            ..self.deed()
        })
    }
}

//! The deeds that change a case: decide, done, undo, note, prove. Each is one transaction.

use super::audit::Deed;
use super::claims::{chain, held};
use super::fault::Res;
use super::follow;
use super::rows::{case_file, case_no, claim_on, state_of};
use super::{Ledger, Role, Tx};
use crate::domain::case::{State, Verb};
use crate::domain::queue::{CaseFile, Decide};
use crate::domain::{Error, Result};
use crate::resolve::guards::{self, Around, Offer};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// After a failed proof the case waits this long for its decider, microseconds.
const DECIDER_FIRST: i64 = 300_000_000;

/// A fresh idempotency key: made when a decision screen opens, used for every try of that decision.
pub fn new_key() -> String {
    Uuid::now_v7().to_string()
}

impl Ledger {
    /// The menu of verbs for a case, as it stands now.
    pub fn offers(&self, id: &str) -> Result<Vec<Offer>> {
        let now = (self.clock)();
        self.read(|db, incident| {
            let Some(no) = case_no(db, incident, id)? else {
                return Err(Error::usage(format!("there is no case {id:?}")).into());
            };
            let file = case_file(db, incident, no, now)?;
            let waits_for = waits_for(db, incident, &file, now)?;
            Ok(guards::offers(
                &file,
                Around {
                    schema: &self.schema,
                    effects: &self.effects,
                    who: &self.who.user,
                    role: self.role,
                    waits_for: &waits_for,
                },
            ))
        })
    }

    /// Decides a case, and with it those whose rows the verb writes; says where each stands now. The same key with the
    /// same content is the same decision: it takes effect once, and answers the same again.
    pub fn decide(&mut self, d: &Decide) -> Result<Vec<(String, State)>> {
        let verb = well_formed(d)?;
        let deed = Deed {
            action: "decide",
            case: Some(&d.case),
            verb: Some(verb.name()),
            key: Some(&d.key),
            ..Deed::default()
        };
        self.deed(deed, |tx| tx.decide(d, verb))
    }

    /// A person did what the decision asked for. On a completed case that cannot be proven, a lead's word proves it.
    pub fn done(&mut self, id: &str, evidence: &str) -> Result<State> {
        if evidence.trim().is_empty() {
            return Err(Error::usage("`done` needs the evidence").cure("--evidence TEXT"));
        }
        let deed = Deed {
            action: "done",
            case: Some(id),
            ..Deed::default()
        };
        self.deed(deed, |tx| {
            tx.require_operator()?;
            let case = tx.standing(id)?;
            tx.refuse_held_by_others(id, case.no)?;
            // What the order of states cannot show for `complete`, a lead may confirm.
            let confirms = case.state == State::Applied && case.verb == Some(Verb::Complete) && tx.role == Role::Lead;
            let Some(key) = case.key.as_ref().filter(|_| case.state == State::ToDo || confirms) else {
                return Err(Error::refused(format!("{id} is {}, not to do", case.state.words())).into());
            };
            let (next, why) = if confirms {
                (State::Proven, format!("confirmed: {evidence}"))
            } else {
                (State::Applied, evidence.to_owned())
            };
            tx.db.execute(
                "UPDATE decided SET evidence = ?3 WHERE key = ?1 AND no = ?2",
                (key, case.no, evidence),
            )?;
            tx.set_state(case.no, next)?;
            tx.audit(Deed {
                verb: case.verb.map(Verb::name),
                key: Some(key),
                outcome: "ok",
                why: Some(&why),
                ..deed
            })?;
            Ok(next)
        })
    }

    /// Writes a note on a case.
    pub fn note(&mut self, id: &str, text: &str) -> Result<()> {
        if text.trim().is_empty() {
            return Err(Error::usage("the note is empty"));
        }
        let deed = Deed {
            action: "note",
            case: Some(id),
            ..Deed::default()
        };
        self.deed(deed, |tx| {
            tx.require_operator()?;
            let no = tx.case_no(id)?;
            tx.db.execute(
                "INSERT INTO notes (no, at, by, text) VALUES (?1, ?2, ?3, ?4)",
                params![no, tx.now, tx.who.user, text],
            )?;
            tx.audit(Deed {
                outcome: "ok",
                why: Some(text),
                ..deed
            })
        })
    }

    /// Takes a decision back: the case, and those decided with it that are not proven yet, are open again.
    pub fn undo(&mut self, id: &str, reason: &str) -> Result<State> {
        if reason.trim().is_empty() {
            return Err(Error::usage("`undo` needs a reason").cure("--reason TEXT"));
        }
        let deed = Deed {
            action: "undo",
            case: Some(id),
            ..Deed::default()
        };
        self.deed(deed, |tx| tx.undo(id, reason, deed))
    }

    /// The decided cases to read again: all that wait for a proof, or those asked for.
    pub fn to_prove(&self, ids: Option<&[String]>) -> Result<Vec<CaseFile>> {
        let now = (self.clock)();
        self.read(|db, incident| {
            let numbers: Vec<i64> = match ids {
                None => db
                    .prepare_cached(
                        "SELECT no FROM cases WHERE incident = ?1 AND state IN ('to_do', 'applied', 'unconfirmed')
                         ORDER BY +place, no",
                    )?
                    .query_map([incident], |r| r.get(0))?
                    .collect::<rusqlite::Result<_>>()?,
                Some(ids) => {
                    let mut numbers = Vec::with_capacity(ids.len());
                    for id in ids {
                        numbers.push(case_no(db, incident, id)?.ok_or_else(|| {
                            Error::usage(format!("there is no case {id:?}")).cure("`restitch cases` lists them")
                        })?);
                    }
                    numbers
                }
            };
            let files = numbers.into_iter().map(|no| case_file(db, incident, no, now));
            let files = files.collect::<Res<Vec<CaseFile>>>()?;
            let decided = |f: &CaseFile| f.decision.is_some() && !f.state.is_decidable() && f.state != State::Gone;
            Ok(files.into_iter().filter(decided).collect())
        })
    }

    /// Notes what reading again said of a decided case: it holds, it does not, or (`None`) nobody can tell. What is
    /// not done yet stays to do; what was done and does not hold is open again, for its decider first.
    pub fn prove(&mut self, id: &str, holds: Option<bool>, read: &str) -> Result<State> {
        let deed = Deed {
            action: "prove",
            case: Some(id),
            ..Deed::default()
        };
        self.deed(deed, |tx| tx.prove(id, holds, read, deed))
    }
}

/// What of a decision can be wrong before anyone looks at the case.
fn well_formed(d: &Decide) -> Result<Verb> {
    let verb = d.verb.ok_or_else(|| Error::usage("a decision needs a verb"))?;
    let name = verb.name();
    let empty = |text: &Option<String>| text.as_ref().is_none_or(|t| t.trim().is_empty());
    if d.reason.trim().is_empty() {
        return Err(Error::usage("a decision needs a reason").cure("--reason TEXT"));
    }
    if d.key.trim().is_empty() {
        return Err(Error::usage("a decision needs an idempotency key"));
    }
    if verb == Verb::Relink && (empty(&d.reference) || empty(&d.to)) {
        return Err(
            Error::usage("`relink` needs the referring column and the row to name").cure("--ref COLUMN --to KEY")
        );
    }
    if matches!(verb, Verb::Supersede | Verb::Escalate) && empty(&d.to) {
        let whom = if verb == Verb::Escalate { "PERSON" } else { "CASE" };
        return Err(Error::usage(format!("`{name}` needs to know to whom or what")).cure(format!("--to {whom}")));
    }
    if verb == Verb::Complete && empty(&d.evidence) {
        return Err(Error::usage("`complete` needs the evidence").cure("--evidence TEXT"));
    }
    Ok(verb)
}

/// The cases a case waits for: the undecided ones transitively, and those it names itself in whatever state.
fn waits_for(db: &Connection, incident: i64, file: &CaseFile, now: i64) -> Res<Vec<CaseFile>> {
    let mut ids = chain(db, incident, &file.found.id)?;
    ids.remove(0);
    for id in &file.found.blocked_by {
        if *id != file.found.id && !ids.contains(id) {
            ids.push(id.clone());
        }
    }
    let mut files = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(no) = case_no(db, incident, &id)? {
            files.push(case_file(db, incident, no, now)?);
        }
    }
    Ok(files)
}

/// A case as far as the deeds ask.
struct Standing {
    no: i64,
    state: State,
    verb: Option<Verb>,
    key: Option<String>,
}

impl Tx<'_> {
    fn standing(&self, id: &str) -> Res<Standing> {
        let no = self.case_no(id)?;
        Ok(self
            .db
            .prepare_cached("SELECT state, verb, decision FROM cases WHERE no = ?1")?
            .query_row([no], |r| {
                Ok(Standing {
                    no,
                    state: state_of(r.get_ref(0)?.as_str()?),
                    verb: r.get_ref(1)?.as_str_or_null()?.and_then(Verb::of_name),
                    key: r.get(2)?,
                })
            })?)
    }

    fn set_state(&self, no: i64, state: State) -> Res<()> {
        self.db
            .prepare_cached("UPDATE cases SET state = ?2 WHERE no = ?1")?
            .execute((no, state.name()))?;
        Ok(())
    }

    fn decide(&self, d: &Decide, verb: Verb) -> Res<Vec<(String, State)>> {
        self.require_operator()?;
        let digest = self.digest(d, verb)?;
        if let Some(stored) = self.decided_before(&d.key, &digest)? {
            return Ok(stored);
        }
        let no = self.case_no(&d.case)?;
        let file = case_file(&self.db, self.incident, no, self.now)?;
        if !file.state.is_decidable() {
            return Err(Error::refused(format!("{}: {}", d.case, guards::not_decidable(file.state))).into());
        }
        self.require_claim(&d.case, no, d.fence)?;
        if d.confirm.as_ref().is_some_and(|c| *c != d.case) {
            return Err(Error::refused(format!("the confirmation does not name {}", d.case))
                .cure(format!("--confirm {}", d.case))
                .into());
        }
        let waits_for = waits_for(&self.db, self.incident, &file, self.now)?;
        let around = Around {
            schema: self.schema,
            effects: self.effects,
            who: &self.who.user,
            role: self.role,
            waits_for: &waits_for,
        };
        let offer = guards::offers(&file, around).into_iter().find(|o| o.verb == verb);
        let also = match offer {
            Some(Offer { refused: Some(why), .. }) => {
                return Err(Error::refused(format!("{} {}: {why}", verb.name(), d.case)).into());
            }
            Some(Offer { asks: Some(asks), .. }) if d.evidence.as_ref().is_none_or(|e| e.trim().is_empty()) => {
                return Err(Error::refused(format!("{} {}: first {asks}", verb.name(), d.case))
                    .cure("give the answer, and whose it is: --evidence TEXT")
                    .into());
            }
            Some(offer) => offer.also,
            None => Vec::new(),
        };
        Self::refuse_pointless_target(d, verb, &file)?;
        self.write_decision(d, verb, &digest)?;
        let mut result = Vec::with_capacity(1 + also.len());
        result.push((d.case.clone(), self.decide_one(d, verb, no, &file)?));
        for other in waits_for.iter().filter(|c| also.contains(&c.found.id)) {
            let id = &other.found.id;
            let no = self.case_no(id)?;
            self.require_claim(id, no, None)?;
            result.push((id.clone(), self.decide_one(d, verb, no, other)?));
        }
        self.db.execute(
            "UPDATE decisions SET result = ?2 WHERE key = ?1",
            (&d.key, serde_json::to_string(&result)?),
        )?;
        Ok(result)
    }

    /// Everything that makes a decision this one and no other.
    fn digest(&self, d: &Decide, verb: Verb) -> Res<Vec<u8>> {
        let bytes = serde_json::to_vec(&(
            (self.name, &self.who.user, &d.case, verb.name()),
            (&d.reason, &d.reference, &d.to, &d.evidence, d.until),
        ))?;
        Ok(Sha256::digest(bytes).to_vec())
    }

    /// The answer that this key got before.
    fn decided_before(&self, key: &str, digest: &[u8]) -> Res<Option<Vec<(String, State)>>> {
        let stored: Option<(Vec<u8>, String)> = self
            .db
            .prepare_cached("SELECT digest, result FROM decisions WHERE key = ?1")?
            .query_row([key], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        match stored {
            None => Ok(None),
            Some((known, result)) if known == digest => Ok(Some(serde_json::from_str(&result)?)),
            Some(_) => Err(Error::refused(format!("the key {key} was used for another decision"))
                .cure("a new decision needs a new key")
                .into()),
        }
    }

    fn require_claim(&self, id: &str, no: i64, fence: Option<i64>) -> Res<()> {
        match claim_on(&self.db, no, self.now)? {
            None => Err(Error::refused(format!("nobody holds {id}"))
                .cure(format!("`restitch claim {id}` first"))
                .into()),
            Some(claim) if claim.by != self.who.user => Err(held(id, &claim).into()),
            Some(claim) if fence.is_some_and(|f| f != claim.fence) => {
                Err(Error::refused(format!("somebody else held {id} in between"))
                    .cure("look at the case again, then decide")
                    .into())
            }
            Some(_) => Ok(()),
        }
    }

    /// `--ref` and `--to` must name something that can be meant.
    fn refuse_pointless_target(d: &Decide, verb: Verb, file: &CaseFile) -> Res<()> {
        let case = &file.found;
        let to = d.to.as_deref().unwrap_or_default();
        if verb == Verb::Relink {
            let columns: Vec<&str> = case
                .family
                .iter()
                .flat_map(|r| &r.refs)
                .filter(|r| case.lacks(r))
                .map(|r| r.column.as_str())
                .collect();
            if !columns.iter().any(|c| Some(*c) == d.reference.as_deref()) {
                return Err(Error::refused(format!(
                    "relink {}: {:?} refers to nothing that is missing",
                    d.case,
                    d.reference.as_deref().unwrap_or_default()
                ))
                .cure(format!("--ref {}", columns.join(" or ")))
                .into());
            }
            if case.missing.iter().any(|m| m.key == to) {
                return Err(Error::refused(format!("relink {}: {to} is what is missing", d.case)).into());
            }
        }
        if verb == Verb::Supersede && (to == d.case || Some(to) == case.order.as_deref() || to == case.label) {
            return Err(Error::refused(format!("supersede {}: an order cannot redo itself", d.case)).into());
        }
        Ok(())
    }

    fn write_decision(&self, d: &Decide, verb: Verb, digest: &[u8]) -> Res<()> {
        self.db
            .prepare_cached(
                "INSERT INTO decisions (key, incident, attempt, digest, verb, reason, by, at, reference, target, evidence,
                                        until, result)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, '[]')",
            )?
            .execute(params![
                d.key,
                self.incident,
                self.attempt,
                digest,
                verb.name(),
                d.reason,
                self.who.user,
                self.now,
                d.reference,
                d.to,
                d.evidence,
                d.until
            ])?;
        Ok(())
    }

    fn decide_one(&self, d: &Decide, verb: Verb, no: i64, file: &CaseFile) -> Res<State> {
        let state = match verb {
            Verb::Keep => State::Proven,
            Verb::Park => State::Parked,
            Verb::Escalate => State::Escalated,
            // Nobody has to act any more: the evidence came with the decision.
            Verb::Complete => State::Applied,
            Verb::Reapply | Verb::Resubmit | Verb::Relink | Verb::Supersede | Verb::Cancel => State::ToDo,
        };
        let steps = guards::own_steps(file, verb, d.reference.as_deref(), d.to.as_deref(), self.schema);
        let assignee = match verb {
            Verb::Escalate => d.to.as_deref(),
            _ if state == State::ToDo => Some(self.who.user.as_str()),
            _ => None,
        };
        self.db
            .prepare_cached(
                "INSERT INTO decided (key, no, findings, steps, assignee, wanted) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                d.key,
                no,
                serde_json::to_string(&follow::seen(&file.found))?,
                serde_json::to_string(&steps)?,
                assignee,
                guards::wanted(verb)
            ])?;
        self.db
            .prepare_cached("UPDATE cases SET state = ?2, verb = ?3, decision = ?4, disproven = 0 WHERE no = ?1")?
            .execute((no, state.name(), verb.name(), &d.key))?;
        self.audit(Deed {
            action: "decide",
            case: Some(&file.found.id),
            verb: Some(verb.name()),
            key: Some(&d.key),
            outcome: "ok",
            why: Some(&d.reason),
        })?;
        Ok(state)
    }

    fn undo(&self, id: &str, reason: &str, deed: Deed<'_>) -> Res<State> {
        self.require_operator()?;
        let case = self.standing(id)?;
        let taken_back = match case.state {
            State::ToDo | State::Applied | State::Parked | State::Escalated => true,
            State::Proven => case.verb == Some(Verb::Keep),
            State::Open | State::Unconfirmed | State::Gone => false,
        };
        let (true, Some(key)) = (taken_back, &case.key) else {
            return Err(Error::refused(format!("{id} is {}: there is nothing to undo", case.state.words())).into());
        };
        let linked: Vec<(i64, String)> = self
            .db
            .prepare_cached(
                "SELECT c.no, c.id FROM decided d CROSS JOIN cases c ON c.no = d.no
                 WHERE d.key = ?1 AND c.incident = ?2 AND c.decision = ?1 AND (c.no = ?3 OR c.state <> 'proven')
                 ORDER BY c.no <> ?3, c.no",
            )?
            .query_map((key, self.incident, case.no), |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (no, id) in &linked {
            self.refuse_held_by_others(id, *no)?;
            self.open_again(*no, false)?;
            self.audit(Deed {
                case: Some(id),
                verb: case.verb.map(Verb::name),
                key: Some(key),
                outcome: "ok",
                why: Some(reason),
                ..deed
            })?;
        }
        Ok(State::Open)
    }

    /// Opens a case; after a failed proof it still shows what was decided.
    fn open_again(&self, no: i64, disproven: bool) -> Res<()> {
        let sql = if disproven {
            "UPDATE cases SET state = 'open', disproven = 1 WHERE no = ?1"
        } else {
            "UPDATE cases SET state = 'open', disproven = 0, verb = NULL, decision = NULL WHERE no = ?1"
        };
        self.db.prepare_cached(sql)?.execute([no])?;
        Ok(())
    }

    fn prove(&self, id: &str, holds: Option<bool>, read: &str, deed: Deed<'_>) -> Res<State> {
        self.require_operator()?;
        let case = self.standing(id)?;
        let key = case
            .key
            .as_ref()
            .filter(|_| !case.state.is_decidable() && case.state != State::Gone);
        let Some(key) = key else {
            return Err(Error::refused(format!("{id} is {}: nothing is decided", case.state.words())).into());
        };
        let (by, before): (String, (Option<bool>, Option<String>)) = self.db.query_row(
            "SELECT d.by, c.held, c.read FROM decisions d JOIN decided c ON c.key = d.key WHERE d.key = ?1 AND c.no = ?2",
            (key, case.no),
            |r| Ok((r.get(0)?, (r.get(1)?, r.get(2)?))),
        )?;
        let next = match (holds, case.state) {
            (Some(true), _) => State::Proven,
            (Some(false), State::ToDo) => State::ToDo,
            (Some(false), _) if case.verb != Some(Verb::Keep) => State::Open,
            (_, state) => state,
        };
        // The same reading again is no news, and a proof may run every few seconds.
        if next == case.state && before == (holds, Some(read.to_owned())) {
            return Ok(next);
        }
        self.db
            .prepare_cached("UPDATE decided SET held = ?3, read = ?4 WHERE key = ?1 AND no = ?2")?
            .execute((key, case.no, holds, read))?;
        match next {
            State::Open => {
                self.open_again(case.no, true)?;
                if claim_on(&self.db, case.no, self.now)?.is_none() {
                    self.claim(id, &by, self.now.saturating_add(DECIDER_FIRST))?;
                }
            }
            _ => self.set_state(case.no, next)?,
        }
        let why = match (holds, next) {
            (Some(true), _) => format!("holds: {read}"),
            (Some(false), State::ToDo) => format!("not yet: {read}"),
            (Some(false), _) => format!("does not hold: {read}"),
            (None, _) => format!("cannot tell: {read}"),
        };
        self.audit(Deed {
            verb: case.verb.map(Verb::name),
            key: Some(key),
            outcome: if holds.is_none() { "unconfirmed" } else { "ok" },
            why: Some(&why),
            ..deed
        })?;
        Ok(next)
    }
}

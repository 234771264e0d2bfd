//! What follows a decision: done, undo, proof; and notes.

use super::Ledger;
use super::audit::Deed;
use super::effects::Queued;
use super::fault::Res;
use super::rows::{FILE, claim_on, read_file, state_of};
use super::sqlite::Tx;
use super::store::Act;
use super::who::Role;
use crate::domain::case::{State, Verb};
use crate::domain::paper::Paper;
use crate::domain::queue::CaseFile;
use crate::domain::{Error, Result};
use rusqlite::params;
use serde::Serialize;

/// After a failed proof the case waits this long for its decider, microseconds.
const DECIDER_FIRST: i64 = 300_000_000;

/// A person did what a decision asked for.
#[derive(Debug, Serialize)]
struct Done<'a> {
    case: &'a str,
    evidence: &'a str,
}

/// A note on a case.
#[derive(Debug, Serialize)]
struct Note<'a> {
    case: &'a str,
    text: &'a str,
}

/// A decision is taken back.
#[derive(Debug, Serialize)]
struct Undo<'a> {
    case: &'a str,
    reason: &'a str,
    /// What writes back what the decision wrote.
    back: Option<Queued>,
}

/// What reading again said of a decided case.
#[derive(Debug, Serialize)]
struct Prove<'a> {
    case: &'a str,
    holds: Option<bool>,
    read: &'a str,
}

impl Ledger {
    /// A person did what the decision asked for. On a completed case that cannot be proven, a lead's word proves it. What
    /// waits for an answer, parked or escalated, has it then, and is open again.
    pub fn done(&mut self, id: &str, evidence: &str) -> Result<State> {
        if evidence.trim().is_empty() {
            return Err(Error::usage("`done` needs the evidence").cure("--evidence TEXT"));
        }
        self.act(&Done { case: id, evidence })
    }

    /// Writes a note on a case.
    pub fn note(&mut self, id: &str, text: &str) -> Result<()> {
        if text.trim().is_empty() {
            return Err(Error::usage("the note is empty"));
        }
        self.act(&Note { case: id, text })
    }

    /// Takes a decision back: the case, and those decided with it that are not proven yet, are open again. What the
    /// decision wrote is written back first, as an effect of its own: until that is done the case stays as it is.
    pub fn undo(&mut self, id: &str, reason: &str) -> Result<State> {
        if reason.trim().is_empty() {
            return Err(Error::usage("`undo` needs a reason").cure("--reason TEXT"));
        }
        // What waits for approval has not been decided yet: it is that which is taken back.
        let own = |p: &Paper| p.case.as_deref() == Some(id) && p.by == self.here.who.user;
        if let Some(asked) = self.waiting_papers()?.into_iter().find(own) {
            self.withdraw(&asked, reason)?;
            let file = self.case(id)?;
            return Ok(file.map_or(State::Open, |file| file.state));
        }
        let back = self.way_back(id)?;
        self.act(&Undo { case: id, reason, back })
    }

    /// The decided cases to read again: all that wait for a proof, or those asked for.
    pub fn to_prove(&self, ids: Option<&[String]>) -> Result<Vec<CaseFile>> {
        self.read(|at| {
            let files = match ids {
                None => at.all(
                    &format!(
                        "SELECT {FILE} FROM files c WHERE c.incident = ?1 AND c.state IN ('to_do', 'applied', 'unconfirmed')
                         ORDER BY +c.place, c.no"
                    ),
                    &[at.incident().into()],
                    |r| read_file(r, at.now()),
                )?,
                Some(ids) => {
                    let mut files = Vec::with_capacity(ids.len());
                    for id in ids {
                        files.push(super::rows::case_file(at, id)?.ok_or_else(|| {
                            Error::usage(format!("there is no case {id:?}")).cure("`restitch cases` lists them")
                        })?);
                    }
                    files
                }
            };
            let decided = |f: &CaseFile| f.decision.is_some() && !f.state.is_decidable() && f.state != State::Gone;
            Ok(files.into_iter().filter(decided).collect())
        })
    }

    /// Notes what reading again said of a decided case: it holds, it does not, or (`None`) nobody can tell. What is
    /// not done yet stays to do; what was done and does not hold is open again, for its decider first.
    pub fn prove(&mut self, id: &str, holds: Option<bool>, read: &str) -> Result<State> {
        self.act(&Prove { case: id, holds, read })
    }
}

/// A case as far as the deeds ask.
pub(super) struct Standing {
    pub no: i64,
    pub state: State,
    pub verb: Option<Verb>,
    pub key: Option<String>,
}

impl Tx<'_> {
    pub(super) fn standing(&self, id: &str) -> Res<Standing> {
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

    pub(super) fn set_state(&self, no: i64, state: State) -> Res<()> {
        self.db
            .prepare_cached("UPDATE cases SET state = ?2 WHERE no = ?1")?
            .execute((no, state.name()))?;
        Ok(())
    }

    /// Opens a case; after a failed proof it still shows what was decided.
    pub(super) fn open_again(&self, no: i64, disproven: bool) -> Res<()> {
        let sql = if disproven {
            "UPDATE cases SET state = 'open', disproven = 1 WHERE no = ?1"
        } else {
            "UPDATE cases SET state = 'open', disproven = 0, verb = NULL, decision = NULL WHERE no = ?1"
        };
        self.db.prepare_cached(sql)?.execute([no])?;
        Ok(())
    }
}

impl Tx<'_> {
    /// Opens a case whose decision did not come true, for its decider first.
    pub(super) fn open_to_decider(&self, id: &str, no: i64, decision: &str) -> Res<()> {
        self.open_again(no, true)?;
        if claim_on(self, no)?.is_none() {
            let by: String = self
                .db
                .prepare_cached("SELECT by FROM decisions WHERE key = ?1")?
                .query_row([decision], |r| r.get(0))?;
            self.claim(id, &by, self.now.saturating_add(DECIDER_FIRST))?;
        }
        Ok(())
    }
}

impl Act for Done<'_> {
    type Answer = State;
    const NAME: &'static str = "done";

    fn deed(&self) -> Deed<'_> {
        Deed::on("done", self.case)
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<State> {
        tx.require_operator()?;
        let id = self.case;
        let case = tx.standing(id)?;
        tx.refuse_held_by_others(id, case.no)?;
        if let (State::Parked | State::Escalated, Some(key)) = (case.state, &case.key) {
            return self.answers(tx, &case, key);
        }
        let does_itself = case.key.as_ref().map_or(Ok(false), |key| tx.does_itself(key))?;
        if does_itself {
            return Err(Error::refused(format!("{id}: restitch does it itself"))
                .cure("`restitch undo` takes it back as long as it has not left")
                .into());
        }
        // Where an answer was lost, a person may know what became of it.
        let lost = case.state == State::Unconfirmed;
        // What the order of states cannot show for `complete`, a lead may confirm.
        let confirms = case.state == State::Applied && case.verb == Some(Verb::Complete) && tx.role == Role::Lead;
        let Some(key) = case
            .key
            .as_ref()
            .filter(|_| case.state == State::ToDo || lost || confirms)
        else {
            return Err(Error::refused(format!("{id} is {}, not to do", case.state.words())).into());
        };
        let (next, why) = if confirms {
            (State::Proven, format!("confirmed: {}", self.evidence))
        } else {
            (State::Applied, self.evidence.to_owned())
        };
        tx.db.execute(
            "UPDATE decided SET evidence = ?3 WHERE key = ?1 AND no = ?2",
            (key, case.no, self.evidence),
        )?;
        if lost {
            tx.effect_came_true(key, self.evidence)?;
        }
        tx.set_state(case.no, next)?;
        tx.audit(Deed {
            verb: case.verb.map(Verb::name),
            key: Some(key),
            outcome: "ok",
            why: Some(&why),
            ..self.deed()
        })?;
        Ok(next)
    }
}

impl Done<'_> {
    /// The answer that a parked or escalated case waited for: it stays with the decision and among the notes.
    fn answers(&self, tx: &Tx<'_>, case: &Standing, key: &str) -> Res<State> {
        tx.db.execute(
            "UPDATE decided SET evidence = ?3 WHERE key = ?1 AND no = ?2",
            (key, case.no, self.evidence),
        )?;
        tx.db.execute(
            "INSERT INTO notes (no, at, by, text) VALUES (?1, ?2, ?3, ?4)",
            params![case.no, tx.now, tx.who.user, format!("answer: {}", self.evidence)],
        )?;
        tx.open_again(case.no, false)?;
        tx.audit(Deed {
            verb: case.verb.map(Verb::name),
            key: Some(key),
            outcome: "ok",
            why: Some(&format!("answered: {}", self.evidence)),
            ..self.deed()
        })?;
        Ok(State::Open)
    }
}

impl Act for Note<'_> {
    type Answer = ();
    const NAME: &'static str = "note";

    fn deed(&self) -> Deed<'_> {
        Deed::on("note", self.case)
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        tx.require_operator()?;
        let no = tx.case_no(self.case)?;
        tx.db.execute(
            "INSERT INTO notes (no, at, by, text) VALUES (?1, ?2, ?3, ?4)",
            params![no, tx.now, tx.who.user, self.text],
        )?;
        tx.audit(Deed {
            outcome: "ok",
            why: Some(self.text),
            ..self.deed()
        })
    }
}

impl Act for Undo<'_> {
    type Answer = State;
    const NAME: &'static str = "undo";

    fn deed(&self) -> Deed<'_> {
        Deed::on("undo", self.case)
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<State> {
        tx.require_operator()?;
        let id = self.case;
        let case = tx.standing(id)?;
        let wrote_rows = case.key.as_ref().map_or(Ok(false), |key| tx.wrote_rows(key))?;
        let taken_back = match case.state {
            State::ToDo | State::Applied | State::Parked | State::Escalated => true,
            State::Proven => case.verb == Some(Verb::Keep) || wrote_rows,
            State::Open | State::Unconfirmed | State::Gone => false,
        };
        let (true, Some(key)) = (taken_back, &case.key) else {
            return Err(Error::refused(format!("{id} is {}: there is nothing to undo", case.state.words())).into());
        };
        let linked: Vec<(i64, String)> = tx
            .db
            .prepare_cached(
                "SELECT c.no, c.id FROM decided d CROSS JOIN cases c ON c.no = d.no
                 WHERE d.key = ?1 AND c.incident = ?2 AND c.decision = ?1 AND (c.no = ?3 OR c.state <> 'proven' OR ?4)
                 ORDER BY c.no <> ?3, c.no",
            )?
            .query_map((key, tx.incident, case.no, wrote_rows), |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (no, id) in &linked {
            tx.refuse_held_by_others(id, *no)?;
        }
        let ids: Vec<&str> = linked.iter().map(|(_, id)| id.as_str()).collect();
        let written_back_first = tx.take_effect_back(key, self.back.as_ref(), &ids)?;
        for (no, id) in &linked {
            if !written_back_first {
                tx.open_again(*no, false)?;
            }
            tx.audit(Deed {
                case: Some(id),
                verb: case.verb.map(Verb::name),
                key: Some(key),
                outcome: "ok",
                why: Some(self.reason),
                ..self.deed()
            })?;
        }
        if written_back_first {
            return Ok(case.state);
        }
        Ok(State::Open)
    }
}

impl Act for Prove<'_> {
    type Answer = State;
    const NAME: &'static str = "prove";

    fn deed(&self) -> Deed<'_> {
        Deed::on("prove", self.case)
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<State> {
        tx.require_operator()?;
        let (id, holds, read) = (self.case, self.holds, self.read);
        let case = tx.standing(id)?;
        let key = case
            .key
            .as_ref()
            .filter(|_| !case.state.is_decidable() && case.state != State::Gone);
        let Some(key) = key else {
            return Err(Error::refused(format!("{id} is {}: nothing is decided", case.state.words())).into());
        };
        if tx.is_being_undone(key)? {
            return Ok(case.state);
        }
        let before: (Option<bool>, Option<String>) = tx.db.query_row(
            "SELECT held, read FROM decided WHERE key = ?1 AND no = ?2",
            (key, case.no),
            |r| Ok((r.get(0)?, r.get(1)?)),
        )?;
        let on_its_way = case.state == State::Applied && tx.is_on_its_way(key)?;
        let next = match (holds, case.state) {
            (Some(true), _) => State::Proven,
            // What has yet to be done, or may have been: that it is not there says nothing.
            (Some(false), State::ToDo | State::Unconfirmed) => case.state,
            (Some(false), _) if on_its_way => case.state,
            (Some(false), _) if case.verb != Some(Verb::Keep) => State::Open,
            (_, state) => state,
        };
        // The same reading again is no news, and a proof may run every few seconds.
        if next == case.state && before == (holds, Some(read.to_owned())) {
            return Ok(next);
        }
        tx.db
            .prepare_cached("UPDATE decided SET held = ?3, read = ?4 WHERE key = ?1 AND no = ?2")?
            .execute((key, case.no, holds, read))?;
        if holds == Some(true) {
            tx.effect_came_true(key, read)?;
        }
        match next {
            State::Open => tx.open_to_decider(id, case.no, key)?,
            _ => tx.set_state(case.no, next)?,
        }
        let why = match (holds, next) {
            (Some(true), _) => format!("holds: {read}"),
            (Some(false), State::ToDo | State::Unconfirmed | State::Applied) => format!("not yet: {read}"),
            (Some(false), _) => format!("does not hold: {read}"),
            (None, _) => format!("cannot tell: {read}"),
        };
        tx.audit(Deed {
            verb: case.verb.map(Verb::name),
            key: Some(key),
            outcome: if holds.is_none() { "unconfirmed" } else { "ok" },
            why: Some(&why),
            ..self.deed()
        })?;
        Ok(next)
    }
}

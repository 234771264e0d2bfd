//! Opening again what was decided or settled: a lead's deed, with a reason.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::sqlite::Tx;
use super::store::Act;
use crate::domain::case::{State, Verb};
use crate::domain::{Error, Result};
use serde::Serialize;

/// A case is opened again.
#[derive(Debug, Serialize)]
struct Reopen<'a> {
    case: &'a str,
    reason: &'a str,
}

impl Ledger {
    /// Opens a decided or settled case again, whoever decided it and however far it came. Nothing that was done is taken
    /// back by it. Refused while its effect is being read back.
    pub fn reopen(&mut self, id: &str, reason: &str) -> Result<State> {
        if reason.trim().is_empty() {
            return Err(Error::usage("`reopen` needs a reason").cure("--reason TEXT"));
        }
        self.act(&Reopen { case: id, reason })
    }
}

impl Act for Reopen<'_> {
    type Answer = State;
    const NAME: &'static str = "reopen";

    fn deed(&self) -> Deed<'_> {
        Deed::on("reopen", self.case)
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<State> {
        tx.require_lead("to open a case again")?;
        let id = self.case;
        let case = tx.standing(id)?;
        tx.refuse_held_by_others(id, case.no)?;
        if case.state == State::Open {
            return Err(Error::refused(format!("{id} is open")).into());
        }
        let is_over = match &case.key {
            Some(key) => tx.give_effect_up(key, self.reason)?,
            None => true,
        };
        if !is_over {
            return Err(Error::refused(format!(
                "{id} is unconfirmed: nobody knows yet whether its effect took place"
            ))
            .cure(format!("`restitch prove {id}` reads it back first"))
            .into());
        }
        let leaves: i64 = tx.db.query_row(
            "SELECT count(*) FROM effects WHERE of = ?1 AND state IN ('queued', 'running', 'unknown')",
            [&case.key],
            |r| r.get(0),
        )?;
        if leaves > 0 {
            return Err(Error::refused(format!("the effect of {id} is still on its way"))
                .cure("`restitch undo` takes it back before it leaves")
                .into());
        }
        tx.open_again(case.no, false)?;
        let why = format!("was {}: {}", case.state.words(), self.reason);
        tx.audit(Deed {
            verb: case.verb.map(Verb::name),
            key: case.key.as_deref(),
            outcome: "ok",
            why: Some(&why),
            ..self.deed()
        })?;
        Ok(State::Open)
    }
}

//! `restitch done`, `note`, `undo`, `reopen`: deeds of one line on one case.

use super::{Context, DONE, effects, one_case};
use crate::domain::Result;
use crate::domain::case::State;
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::json;

/// Arguments of `done`.
#[derive(Debug, Args)]
pub struct Done {
    /// The case: id, label or order key
    case: String,
    /// What shows that it was done; the answer to what is parked or escalated
    #[arg(long, value_name = "TEXT")]
    evidence: String,
}

impl Done {
    /// Says that a person did what the decision asked for.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut ledger = context.ledger(&context.config()?)?;
        let id = one_case(&ledger, &self.case)?;
        let state = ledger.done(&id, &self.evidence)?;
        stands(context, &id, state)
    }
}

/// Arguments of `undo`.
#[derive(Debug, Args)]
pub struct Undo {
    /// The case: id, label or order key
    case: String,
    /// Why the decision is taken back
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Undo {
    /// Takes a decision back.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let mut ledger = context.ledger(&config)?;
        let id = one_case(&ledger, &self.case)?;
        let state = ledger.undo(&id, &self.reason)?;
        let after = effects::carry_out(context, &config, &mut ledger, &[(id, state)])?;
        for (id, state) in &after.cases {
            stands(context, id, *state)?;
        }
        after.failure.map_or(Ok(DONE), Err)
    }
}

/// Arguments of `reopen`.
#[derive(Debug, Args)]
pub struct Reopen {
    /// The case: id, label or order key
    case: String,
    /// Why it is opened again
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Reopen {
    /// Opens a decided or settled case again.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut ledger = context.ledger(&context.config()?)?;
        let id = one_case(&ledger, &self.case)?;
        let state = ledger.reopen(&id, &self.reason)?;
        stands(context, &id, state)
    }
}

/// Arguments of `note`.
#[derive(Debug, Args)]
pub struct Note {
    /// The case: id, label or order key
    case: String,
    /// The note
    text: String,
}

impl Note {
    /// Writes a note on a case.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut ledger = context.ledger(&context.config()?)?;
        let id = one_case(&ledger, &self.case)?;
        ledger.note(&id, &self.text)?;
        if context.out.wants_json() {
            context.out.json(&json!({"case": id, "note": self.text}))?;
        } else {
            context.out.line(&safe!("{}: noted", Safe::id(&id)))?;
        }
        Ok(DONE)
    }
}

/// Says how a case stands now.
pub fn stands(context: &mut Context<'_>, id: &str, state: State) -> Result<u8> {
    if context.out.wants_json() {
        context.out.json(&json!({"case": id, "state": state.name()}))?;
    } else {
        context.out.line(&safe!("{} is {}", Safe::id(id), state.words()))?;
    }
    Ok(DONE)
}

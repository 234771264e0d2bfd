//! `restitch phase`

use super::{Context, DONE, parse};
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::{Result, time};
use crate::safe;
use clap::{Args, ValueEnum};
use serde_json::json;

/// Arguments of `phase`.
#[derive(Debug, Args)]
pub struct SetPhase {
    /// org-told, pods-down, restoring, gate, ready, drained, services, catalogue, workers, hold or triage
    #[arg(value_parser = parse::phase)]
    name: Phase,
    /// How it ended
    #[arg(value_enum)]
    state: Ended,
    /// What says so
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ended {
    /// Well
    Done,
    /// Badly
    Failed,
}

impl SetPhase {
    /// Ticks a phase that nothing watches.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut ledger = context.ledger(&context.config()?)?;
        let state = match self.state {
            Ended::Done => PhaseState::Done,
            Ended::Failed => PhaseState::Failed,
        };
        let line = PhaseLine {
            phase: self.name,
            state,
            since: Some(time::now()),
            took: None,
            evidence: self.reason.clone(),
            per_mille: None,
        };
        ledger.set_phase(&line, &self.reason)?;
        if context.out.wants_json() {
            context
                .out
                .json(&json!({"phase": self.name.name(), "state": state.name()}))?;
        } else {
            context.out.line(&safe!("{} is {}", self.name.title(), state.name()))?;
        }
        Ok(DONE)
    }
}

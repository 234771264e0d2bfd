//! `restitch phase`

use super::{Context, DONE, complain, parse};
use crate::domain::Result;
use crate::domain::phase::{Phase, PhaseState};
use crate::domain::ready::{Ready, Stand};
use crate::job;
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
    /// Ticks a phase that nothing watches. For `ready` it is the lead's go: what stands against it is said, and written
    /// into the trail.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let mut ledger = context.ledger(&config)?;
        let state = match self.state {
            Ended::Done => PhaseState::Done,
            Ended::Failed => PhaseState::Failed,
        };
        let go = self.name == Phase::Ready && state == PhaseState::Done;
        let ready = go.then(|| job::ready(&config, &mut ledger)).transpose()?;
        let open = ready.as_ref().map(Ready::words);
        ledger.tick(self.name, state, &self.reason, open.as_deref())?;
        for line in ready.iter().flat_map(|r| &r.lines).filter(|l| l.stand == Stand::Red) {
            complain(&format!(
                "restitch: {} {}: {}",
                line.stand.words(),
                line.about,
                line.what
            ));
        }
        job::tell_org(&config, &mut ledger)?;
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

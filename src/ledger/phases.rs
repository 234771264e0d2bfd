//! How far the restore is, and what the hold is about to lose.

use super::Ledger;
use super::audit::Deed;
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::queue::HoldClock;
use crate::domain::{Error, Result};
use rusqlite::{OptionalExtension, params};

const HOLD_CLOCK: &str = "hold-clock";

impl Ledger {
    /// Every phase in order; one that nobody spoke of waits.
    pub fn phases(&self) -> Result<Vec<PhaseLine>> {
        self.read(|db, incident| {
            let mut statement = db.prepare_cached(
                "SELECT state, since, took, evidence, per_mille FROM phases WHERE incident = ?1 AND phase = ?2",
            )?;
            let mut lines = Vec::with_capacity(Phase::ALL.len());
            for phase in Phase::ALL {
                let line = statement
                    .query_row((incident, phase.name()), |r| {
                        Ok(PhaseLine {
                            phase,
                            state: PhaseState::of_name(r.get_ref(0)?.as_str()?).unwrap_or(PhaseState::Waiting),
                            since: r.get(1)?,
                            took: r.get(2)?,
                            evidence: r.get(3)?,
                            per_mille: r.get(4)?,
                        })
                    })
                    .optional()?;
                lines.push(line.unwrap_or(PhaseLine {
                    phase,
                    state: PhaseState::Waiting,
                    since: None,
                    took: None,
                    evidence: String::new(),
                    per_mille: None,
                }));
            }
            Ok(lines)
        })
    }

    /// Says how a phase stands. A change of its state is written into the audit trail, its progress is not.
    pub fn set_phase(&mut self, line: &PhaseLine, why: &str) -> Result<()> {
        let deed = Deed {
            action: "phase",
            ..Deed::default()
        };
        self.deed(deed, |tx| {
            tx.require_operator()?;
            let before: Option<String> = tx
                .db
                .query_row(
                    "SELECT state FROM phases WHERE incident = ?1 AND phase = ?2",
                    (tx.incident, line.phase.name()),
                    |r| r.get(0),
                )
                .optional()?;
            tx.db.execute(
                "INSERT OR REPLACE INTO phases (incident, phase, state, since, took, evidence, per_mille)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    tx.incident,
                    line.phase.name(),
                    line.state.name(),
                    line.since,
                    line.took,
                    line.evidence,
                    line.per_mille
                ],
            )?;
            if before.as_deref() != Some(line.state.name()) {
                let why = format!("{} {}: {why}", line.phase.name(), line.state.name());
                tx.audit(Deed {
                    outcome: "ok",
                    why: Some(&why),
                    ..deed
                })?;
            }
            Ok(())
        })
    }

    /// The hold's clocks as last read.
    pub fn hold_clock(&self) -> Result<Option<HoldClock>> {
        self.read(|db, incident| {
            let found: Option<String> = db
                .prepare_cached("SELECT value FROM facts WHERE incident = ?1 AND name = ?2")?
                .query_row((incident, HOLD_CLOCK), |r| r.get(0))
                .optional()?;
            Ok(match found {
                Some(json) => Some(serde_json::from_str(&json)?),
                None => None,
            })
        })
    }

    /// Notes the hold's clocks: a reading, not a deed, so the audit trail says nothing of it.
    pub fn set_hold_clock(&mut self, clock: &HoldClock) -> Result<()> {
        let json = serde_json::to_string(clock).map_err(|e| Error::failed(e.to_string()))?;
        let deed = Deed {
            action: "hold",
            ..Deed::default()
        };
        self.deed(deed, |tx| {
            tx.db.execute(
                "INSERT OR REPLACE INTO facts (incident, name, value) VALUES (?1, ?2, ?3)",
                (tx.incident, HOLD_CLOCK, &json),
            )?;
            Ok(())
        })
    }
}

//! How far the restore is, and what the hold is about to lose.

use super::audit::Deed;
use super::fault::Res;
use super::{Ledger, Tx};
use crate::domain::gate::{Gate, Light};
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::queue::HoldClock;
use crate::domain::{Error, Result};
use rusqlite::{OptionalExtension, params};

const HOLD_CLOCK: &str = "hold-clock";
const GATE: &str = "gate";

/// Who asked the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker<'a> {
    /// Somebody, for its own sake.
    Person,
    /// A scan, before it began.
    Scan,
    /// A scan that goes on although the gate is red, because of this.
    ScanDespite(&'a str),
}

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
            tx.put_phase(line, why, true)
        })
    }

    /// The gate of this attempt as somebody last found it; `None` where nobody looked.
    pub fn gate(&self) -> Result<Option<Gate>> {
        let attempt = self.attempt;
        self.read(|db, incident| {
            let found: Option<String> = db
                .prepare_cached("SELECT value FROM facts WHERE incident = ?1 AND name = ?2")?
                .query_row((incident, GATE), |r| r.get(0))
                .optional()?;
            let gate: Option<Gate> = found.map(|json| serde_json::from_str(&json)).transpose()?;
            Ok(gate.filter(|gate| gate.attempt == attempt))
        })
    }

    /// Keeps the gate as it was found, and its phase with it. The audit trail has it where somebody asked, where it is or
    /// was red, and why somebody goes on although it is.
    pub fn keep_gate(&mut self, gate: &Gate, by: Asker<'_>) -> Result<()> {
        let words = gate.words();
        let deed = Deed {
            action: "phase",
            ..Deed::default()
        };
        let state = match gate.light() {
            Light::Green => PhaseState::Done,
            Light::CannotTell => PhaseState::Waiting,
            Light::Red => PhaseState::Failed,
        };
        self.deed(deed, |tx| {
            // A scan asks by the clock of the system, which may not be the ledger's.
            let at = if by == Asker::Person { gate.at } else { tx.now };
            let json = serde_json::to_string(&Gate { at, ..gate.clone() })?;
            tx.db.execute(
                "INSERT OR REPLACE INTO facts (incident, name, value) VALUES (?1, ?2, ?3)",
                (tx.incident, GATE, &json),
            )?;
            let same: Option<(Option<i64>, Option<i64>)> = tx
                .db
                .query_row(
                    "SELECT since, took FROM phases WHERE incident = ?1 AND phase = ?2 AND state = ?3",
                    (tx.incident, Phase::Gate.name(), state.name()),
                    |r| Ok((r.get(0)?, r.get(1)?)),
                )
                .optional()?;
            let (since, took) = same.unwrap_or((Some(at), None));
            let line = PhaseLine {
                phase: Phase::Gate,
                state,
                since,
                took,
                evidence: words.clone(),
                per_mille: None,
            };
            tx.put_phase(&line, &words, by == Asker::Person)?;
            if let Asker::ScanDespite(reason) = by {
                let why = format!("gate red, and scanned despite it: {reason}; {words}");
                tx.audit(Deed {
                    outcome: "ok",
                    why: Some(&why),
                    ..deed
                })?;
            }
            Ok(())
        })
    }

    /// Whether this attempt was scanned before.
    pub fn was_scanned(&self) -> Result<bool> {
        let attempt = self.attempt;
        self.read(|db, incident| {
            let scans = db
                .prepare_cached("SELECT count(*) FROM scans WHERE incident = ?1 AND attempt = ?2")?
                .query_row((incident, attempt), |r| r.get::<_, i64>(0))?;
            Ok(scans > 0)
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

impl Tx<'_> {
    /// Writes how a phase stands; a change of its state goes into the audit trail: every one, or only to failed and back.
    fn put_phase(&self, line: &PhaseLine, why: &str, every: bool) -> Res<()> {
        let before: Option<String> = self
            .db
            .query_row(
                "SELECT state FROM phases WHERE incident = ?1 AND phase = ?2",
                (self.incident, line.phase.name()),
                |r| r.get(0),
            )
            .optional()?;
        self.db.execute(
            "INSERT OR REPLACE INTO phases (incident, phase, state, since, took, evidence, per_mille)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                self.incident,
                line.phase.name(),
                line.state.name(),
                line.since,
                line.took,
                line.evidence,
                line.per_mille
            ],
        )?;
        let failed = PhaseState::Failed.name();
        let grave = line.state.name() == failed || before.as_deref() == Some(failed);
        if before.as_deref() != Some(line.state.name()) && (every || grave) {
            let why = format!("{} {}: {why}", line.phase.name(), line.state.name());
            self.audit(Deed {
                action: "phase",
                outcome: "ok",
                why: Some(&why),
                ..Deed::default()
            })?;
        }
        Ok(())
    }
}

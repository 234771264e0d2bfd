//! How far the restore is, and what the hold is about to lose.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::sqlite::Tx;
use super::store::Act;
use crate::domain::Result;
use crate::domain::gate::{Gate, Light};
use crate::domain::phase::{BY_HAND, Phase, PhaseLine, PhaseState};
use crate::domain::queue::HoldClock;
use rusqlite::{OptionalExtension, params};
use serde::Serialize;

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
        self.read(|at| {
            let known = at.all(
                "SELECT phase, state, since, took, evidence, per_mille FROM phases WHERE incident = ?1",
                &[at.incident().into()],
                |r| {
                    let phase: String = r.own(0)?;
                    let per_mille = r.get_int(5)?.and_then(|n| u16::try_from(n).ok());
                    Ok((
                        phase,
                        PhaseState::of_name(r.text(1)?),
                        (r.get_int(2)?, r.get_int(3)?),
                        r.own(4)?,
                        per_mille,
                    ))
                },
            )?;
            let line = |phase: Phase| match known.iter().find(|k| k.0 == phase.name()) {
                Some((_, state, (since, took), evidence, per_mille)) => PhaseLine {
                    phase,
                    state: state.unwrap_or(PhaseState::Waiting),
                    since: *since,
                    took: *took,
                    evidence: String::clone(evidence),
                    per_mille: *per_mille,
                },
                None => PhaseLine {
                    phase,
                    state: PhaseState::Waiting,
                    since: None,
                    took: None,
                    evidence: String::new(),
                    per_mille: None,
                },
            };
            Ok(Phase::ALL.into_iter().map(line).collect())
        })
    }

    /// Says how a phase stands. A change of its state is written into the audit trail, its progress is not.
    pub fn set_phase(&mut self, line: &PhaseLine, why: &str) -> Result<()> {
        self.act(&SetPhase {
            line: Line::of(line),
            why,
        })
    }

    /// A person says how a phase stands. `open`: what stood against it, for the trail.
    ///
    /// Whether workers may start is for a lead to say.
    pub fn tick(&mut self, phase: Phase, state: PhaseState, reason: &str, open: Option<&str>) -> Result<()> {
        let who = &self.here.who.user;
        let evidence = format!("{BY_HAND}{who}: {reason}");
        let now = self.read(|at| Ok(at.now()))?;
        let known = self.phases()?;
        let running = known
            .iter()
            .find(|l| l.phase == phase && l.state == PhaseState::Running);
        let line = PhaseLine {
            phase,
            state,
            since: Some(now),
            took: running.and_then(|l| l.since).map(|since| now - since),
            evidence,
            per_mille: None,
        };
        let why = match open {
            Some(open) => format!("{reason}; {open}"),
            None => reason.to_owned(),
        };
        self.set_phase(&line, &why)
    }

    /// The gate of this attempt as somebody last found it; `None` where nobody looked.
    pub fn gate(&self) -> Result<Option<Gate>> {
        let gate: Option<Gate> = self.fact(GATE)?;
        Ok(gate.filter(|gate| gate.attempt == self.here.attempt))
    }

    /// Keeps the gate as it was found, and its phase with it. The audit trail has it where somebody asked, where it is or
    /// was red, and why somebody goes on although it is. A PostgreSQL ledger keeps nothing for a viewer.
    pub fn keep_gate(&mut self, gate: &Gate, by: Asker<'_>) -> Result<()> {
        if self.only_looks() {
            return Ok(());
        }
        let words = gate.words();
        self.act(&KeepGate {
            gate: gate.clone(),
            state: match gate.light() {
                Light::Green => PhaseState::Done,
                Light::CannotTell => PhaseState::Waiting,
                Light::Red => PhaseState::Failed,
            }
            .name(),
            by_person: by == Asker::Person,
            despite: match by {
                Asker::ScanDespite(reason) => Some(format!("gate red, and scanned despite it: {reason}; {words}")),
                _ => None,
            },
            words,
        })
    }

    /// Whether this attempt was scanned before.
    pub fn was_scanned(&self) -> Result<bool> {
        self.read(|at| {
            let scans = at.one(
                "SELECT count(*) FROM scans WHERE incident = ?1 AND attempt = ?2",
                &[at.incident().into(), self.here.attempt.into()],
                |r| r.int(0),
            )?;
            Ok(scans.is_some_and(|n| n > 0))
        })
    }

    /// The hold's clocks as last read.
    pub fn hold_clock(&self) -> Result<Option<HoldClock>> {
        self.fact(HOLD_CLOCK)
    }

    /// Notes the hold's clocks: a reading, not a deed, so the audit trail says nothing of it.
    pub fn set_hold_clock(&mut self, clock: &HoldClock) -> Result<()> {
        self.keep_fact(HOLD_CLOCK, clock, None)
    }
}

/// How a phase stands, as it is written.
#[derive(Debug, Serialize)]
struct Line<'a> {
    phase: &'static str,
    state: &'static str,
    since: Option<i64>,
    took: Option<i64>,
    evidence: &'a str,
    per_mille: Option<u16>,
}

impl<'a> Line<'a> {
    fn of(line: &'a PhaseLine) -> Self {
        Self {
            phase: line.phase.name(),
            state: line.state.name(),
            since: line.since,
            took: line.took,
            evidence: &line.evidence,
            per_mille: line.per_mille,
        }
    }
}

/// How a phase stands.
#[derive(Debug, Serialize)]
struct SetPhase<'a> {
    line: Line<'a>,
    why: &'a str,
}

/// What the gate said.
#[derive(Debug, Serialize)]
struct KeepGate {
    gate: Gate,
    /// Of its phase.
    state: &'static str,
    /// Asked for its own sake: at the gate's own time, every change of its phase written down.
    by_person: bool,
    /// Written down where a scan goes on although the gate is red.
    despite: Option<String>,
    words: String,
}

impl Act for SetPhase<'_> {
    type Answer = ();
    const NAME: &'static str = "set_phase";

    fn counts_once(&self) -> bool {
        false
    }

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "phase",
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        if self.line.phase == Phase::Ready.name() && self.line.state == PhaseState::Done.name() {
            tx.require_lead("to say that workers may start")?;
        } else {
            tx.require_operator()?;
        }
        tx.put_phase(&self.line, self.why, true)
    }
}

impl Act for KeepGate {
    type Answer = ();
    const NAME: &'static str = "keep_gate";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "phase",
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        if self.despite.is_some() {
            tx.require_lead("to scan despite a red gate")?;
        }
        // A scan asks by the clock of the system, which may not be the ledger's.
        let at = if self.by_person { self.gate.at } else { tx.now };
        tx.put_fact(
            GATE,
            &serde_json::to_string(&Gate {
                at,
                ..self.gate.clone()
            })?,
        )?;
        let same: Option<(Option<i64>, Option<i64>)> = tx
            .db
            .query_row(
                "SELECT since, took FROM phases WHERE incident = ?1 AND phase = ?2 AND state = ?3",
                (tx.incident, Phase::Gate.name(), self.state),
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
            .optional()?;
        let (since, took) = same.unwrap_or((Some(at), None));
        let line = Line {
            phase: Phase::Gate.name(),
            state: self.state,
            since,
            took,
            evidence: &self.words,
            per_mille: None,
        };
        tx.put_phase(&line, &self.words, self.by_person)?;
        if let Some(why) = &self.despite {
            tx.audit(Deed {
                outcome: "ok",
                why: Some(why),
                ..self.deed()
            })?;
        }
        Ok(())
    }
}

impl Tx<'_> {
    /// Writes how a phase stands; a change of its state goes into the audit trail: every one, or only to failed and back.
    fn put_phase(&self, line: &Line<'_>, why: &str, every: bool) -> Res<()> {
        let known: Option<(String, Option<i64>)> = self
            .db
            .query_row(
                "SELECT state, since FROM phases WHERE incident = ?1 AND phase = ?2",
                (self.incident, line.phase),
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
            .optional()?;
        let (before, since) = known.unzip();
        // Two consoles see the same change at two moments: the state began when the first said so.
        let same = before.as_deref() == Some(line.state);
        let since = since.flatten().filter(|_| same).or(line.since);
        self.db.execute(
            "INSERT OR REPLACE INTO phases (incident, phase, state, since, took, evidence, per_mille)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                self.incident,
                line.phase,
                line.state,
                since,
                line.took,
                line.evidence,
                line.per_mille
            ],
        )?;
        let failed = PhaseState::Failed.name();
        let grave = line.state == failed || before.as_deref() == Some(failed);
        if !same && (every || grave) {
            let why = format!("{} {}: {why}", line.phase, line.state);
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

//! The simulated order system: carries decisions out after a while, and once workers are back goes on with its own
//! traffic meanwhile.
//!
//! It obeys decisions alone. Rows of undecided cases are never touched, so none of them vanishes or changes by itself.

use super::carry::{self, Keys};
use super::demo::{ORDER_SYSTEM, Pace, Stop};
use super::traffic::{self, Traffic};
use super::{Incident, replay};
use crate::config::Config;
use crate::domain::case::{State, Verb};
use crate::domain::phase::{Phase, PhaseState};
use crate::domain::progress::Progress;
use crate::domain::queue::CaseFile;
use crate::domain::time::Clock;
use crate::domain::{Error, ErrorKind, Result};
use crate::job;
use crate::ledger::Ledger;
use rusqlite::Connection;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Milliseconds between two looks at the ledger.
const LOOK: u64 = 250;
/// Milliseconds from a decision to its being carried out.
const WORK: u64 = 2_500;
/// Milliseconds until what did not hold is read again.
const AGAIN: u64 = 5_000;
/// Milliseconds between two new orders.
const ARRIVAL: u64 = 3_000;

/// The order system and its database.
pub(super) struct System {
    db: Connection,
    config: Config,
    pace: Pace,
    clock: Clock,
    keys: Keys,
    /// Since when each decided case is known, by case and decision.
    known: HashMap<(String, String), Instant>,
    /// What was carried out and is not proven, likewise.
    carried: HashSet<(String, String)>,
    proved: Instant,
    incident: Arc<Incident>,
    /// The held orders came in.
    replayed: bool,
    /// Once workers are back.
    traffic: Option<Traffic>,
}

fn failed(e: &rusqlite::Error) -> Error {
    Error::failed(format!("its database: {e}"))
}

impl System {
    pub(super) fn open(
        database: &Path,
        config: Config,
        incident: Arc<Incident>,
        pace: Pace,
        clock: Clock,
    ) -> Result<Self> {
        let open = || -> rusqlite::Result<Connection> {
            let db = Connection::open(database)?;
            db.busy_timeout(Duration::from_secs(15))?;
            db.pragma_update(None, "synchronous", "off")?;
            Ok(db)
        };
        Ok(Self {
            db: open().map_err(|e| failed(&e))?,
            config,
            pace,
            clock,
            keys: Keys::default(),
            known: HashMap::new(),
            carried: HashSet::new(),
            proved: Instant::now(),
            incident,
            replayed: false,
            traffic: None,
        })
    }

    /// Works until told to stop.
    pub(super) fn work(&mut self, ledger: &mut Ledger, stop: &Stop) -> Result<()> {
        let mut seen = None;
        let mut arrival = Instant::now();
        while !stop.wait(self.pace.of(LOOK)) {
            if arrival.elapsed() > self.pace.of(ARRIVAL) {
                arrival = Instant::now();
                self.traffic(ledger)?;
            }
            let revision = ledger.revision()?;
            if seen != Some(revision) || !self.known.is_empty() {
                seen = Some(revision);
                if self.traffic.is_none() && workers_are_back(ledger)? {
                    let again = self.incident.ids_given_again();
                    self.traffic = Some(Traffic::begin(&self.db, ledger, again)?.map_err(|e| failed(&e))?);
                }
                if !self.replayed && replay::is_sent(ledger)? {
                    self.replayed = true;
                    let waiting = replay::waiting(ledger)?;
                    replay::send(&self.db, &mut self.keys, self.incident.held_orders(), &waiting)?;
                }
                self.decisions(ledger)?;
            }
            replay::parked(ledger, self.replayed, self.clock.now())?;
        }
        Ok(())
    }

    fn traffic(&mut self, ledger: &Ledger) -> Result<()> {
        let now = self.clock.now();
        if let Some(traffic) = &mut self.traffic {
            traffic.arrive(&self.db, &mut self.keys, now).map_err(|e| failed(&e))?;
            let schema = &self.config.schema;
            traffic.go_on(&self.db, ledger, schema, now)?.map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    /// Carries out what has waited long enough, and has it proven.
    fn decisions(&mut self, ledger: &mut Ledger) -> Result<()> {
        let files = ledger.to_prove(None)?;
        let mut standing = HashSet::new();
        let mut now = Vec::new();
        let tx = self.db.unchecked_transaction().map_err(|e| failed(&e))?;
        for file in &files {
            let Some(decision) = &file.decision else { continue };
            let at = (file.found.id.clone(), decision.key.clone());
            standing.insert(at.clone());
            let known = *self.known.entry(at.clone()).or_insert_with(Instant::now);
            if self.carried.contains(&at) || known.elapsed() < self.pace.of(WORK) {
                continue;
            }
            let evidence =
                carry::out(&tx, &mut self.keys, &self.config.schema, file, decision).map_err(|e| failed(&e))?;
            if let Some(evidence) = evidence {
                // Workers do not wait for the proof.
                let works = self.traffic.is_some() && matches!(decision.verb, Verb::Reapply | Verb::Complete);
                if let Some(order) = file.found.order.as_ref().filter(|_| works && now.len() % 2 == 0) {
                    traffic::forward(&tx, &self.config.schema, order, self.clock.now()).map_err(|e| failed(&e))?;
                }
                self.carried.insert(at);
                now.push((file, evidence));
            }
        }
        tx.commit().map_err(|e| failed(&e))?;
        self.known.retain(|at, _| standing.contains(at));
        self.carried.retain(|at| standing.contains(at));
        for (file, evidence) in &now {
            tell(ledger, file, evidence)?;
        }
        // What did not hold the last time may hold now that others were carried out.
        if !now.is_empty() || (!self.carried.is_empty() && self.proved.elapsed() > self.pace.of(AGAIN)) {
            self.proved = Instant::now();
            let ids: Vec<String> = self.carried.iter().map(|(case, _)| case.clone()).collect();
            job::prove(&self.config, ledger, Some(&ids), &Progress::default())?;
        }
        Ok(())
    }
}

fn workers_are_back(ledger: &Ledger) -> Result<bool> {
    let phases = ledger.phases()?;
    Ok(phases
        .iter()
        .any(|line| line.phase == Phase::Workers && line.state == PhaseState::Done))
}

/// Says that it is done. Who still holds the case reads it in the proof instead.
fn tell(ledger: &mut Ledger, file: &CaseFile, evidence: &str) -> Result<()> {
    let free = file.claim.as_ref().is_none_or(|c| c.by == ORDER_SYSTEM);
    if file.state == State::ToDo && free {
        match ledger.done(&file.found.id, evidence) {
            // Somebody took or undid it at this very moment.
            Err(e) if e.kind == ErrorKind::Refused => {}
            other => drop(other?),
        }
    }
    Ok(())
}

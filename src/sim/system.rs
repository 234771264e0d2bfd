//! The simulated order system: carries decisions out after a while, and goes on with its own traffic meanwhile.
//!
//! It obeys decisions alone. Rows of undecided cases are never touched, so none of them vanishes or changes by itself.

use super::carry::{self, Keys};
use super::demo::{ORDER_SYSTEM, Pace, Stop};
use crate::config::Config;
use crate::domain::case::State;
use crate::domain::progress::Progress;
use crate::domain::queue::CaseFile;
use crate::domain::time::{self, Clock};
use crate::domain::{Error, ErrorKind, Result};
use crate::job;
use crate::ledger::Ledger;
use rusqlite::{Connection, params};
use std::collections::{HashMap, HashSet};
use std::path::Path;
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
    traffic: Vec<i64>,
}

fn failed(e: &rusqlite::Error) -> Error {
    Error::failed(format!("its database: {e}"))
}

impl System {
    pub(super) fn open(database: &Path, config: Config, pace: Pace, clock: Clock) -> Result<Self> {
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
            traffic: Vec::new(),
        })
    }

    /// Works until told to stop.
    pub(super) fn work(&mut self, ledger: &mut Ledger, stop: &Stop) -> Result<()> {
        let mut seen = None;
        let mut arrival = Instant::now();
        while !stop.wait(self.pace.of(LOOK)) {
            if arrival.elapsed() > self.pace.of(ARRIVAL) {
                arrival = Instant::now();
                self.arrive().map_err(|e| failed(&e))?;
            }
            let revision = ledger.revision()?;
            if seen != Some(revision) || !self.known.is_empty() {
                seen = Some(revision);
                self.decisions(ledger)?;
            }
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

    /// A new order comes in, and the ones before it go on: none of them is in the log, none of them in a case.
    fn arrive(&mut self) -> rusqlite::Result<()> {
        let tx = self.db.unchecked_transaction()?;
        let id = self.keys.fresh(&tx, "orders", "id")?;
        let n = self.traffic.len() + 1;
        let now = time::format(self.clock.now());
        tx.execute(
            "insert into orders (id, external_id, order_number, account_id, segment, kind, status, amount, priority,
                                 expedite, created_at, updated_at)
             values (?1, ?2, ?3, ?4, 'consumer', 'New', 'Submitted', 19.90, 3, 0, ?5, ?5)",
            params![
                id,
                format!("8012y{n:010}"),
                format!("SFN-{n}"),
                format!("ACC-{}", 1 + n * 7 % 97),
                now
            ],
        )?;
        for (age, earlier) in self.traffic.iter().rev().take(4).enumerate() {
            let status = ["Submitted", "In Progress", "In Progress", "Activated"][age];
            tx.execute(
                "update orders set status = ?2, updated_at = ?3 where id = ?1",
                params![earlier, status, now],
            )?;
        }
        tx.commit()?;
        self.traffic.push(id);
        Ok(())
    }
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

//! The demo: an incident in a private folder, and behind it the simulated restore and order system at work.

use super::story::Times;
use super::{Incident, li, restore, system};
use crate::config::{Config, Overrides, Surroundings, load_in};
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::time::Clock;
use crate::domain::{Error, Result};
use crate::ledger::{Ledger, Who};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Who the simulated restore and order system are in the audit trail.
pub const ORDER_SYSTEM: &str = "order-system (simulated)";

/// How fast the simulation runs: a second of it lasts a second, or less.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    faster: u32,
}

impl Pace {
    /// As a person at the console wants it.
    pub const LIVE: Self = Self { faster: 1 };

    /// So many times faster, for tests.
    pub const fn times_faster(faster: u32) -> Self {
        Self { faster }
    }

    /// How long so many milliseconds last.
    pub(super) fn of(self, milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds) / self.faster.max(1)
    }
}

/// Tells the simulation's threads to end.
#[derive(Debug, Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    fn tell(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Waits so long, or until told to stop; says whether it was.
    pub(super) fn wait(&self, at_most: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopped, _) = self
            .told
            .wait_timeout_while(stopped, at_most, |s| !*s)
            .unwrap_or_else(PoisonError::into_inner);
        *stopped
    }
}

/// A folder of nobody else, gone when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("restitch-demo-{}", uuid::Uuid::now_v7()));
        // Fails where the path exists already, a planted link included.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|e| Error::from(e).at(path.display().to_string()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays for the system's own cleaning; there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A demo: its files, and once started its restore and order system. Ends and is removed when dropped.
pub struct Demo {
    config: Config,
    incident: Arc<Incident>,
    clock: Clock,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
    // Dropped last: the threads write there.
    folder: Folder,
}

impl Demo {
    /// Makes the incident of this seed and size in a private folder. Nothing of the user's configuration counts: the
    /// demo must never reach a real database.
    pub fn new(seed: u64, orders: usize) -> Result<Self> {
        let folder = Folder::make()?;
        let incident = Incident::new(seed, orders);
        let overrides = Overrides {
            config: Some(incident.write(&folder.0)?),
            ..Overrides::default()
        };
        Ok(Self {
            config: load_in(&overrides, &Surroundings::default())?,
            clock: Clock::running_from(incident.times().answers),
            incident: Arc::new(incident),
            stop: Arc::default(),
            threads: Vec::new(),
            folder,
        })
    }

    /// Its configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Its private folder.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// When what happened in it.
    pub fn times(&self) -> &Times {
        self.incident.times()
    }

    /// The numbers of the held orders, as they came.
    #[cfg(test)]
    pub(super) fn held_orders(&self) -> Vec<String> {
        self.incident
            .held_orders()
            .iter()
            .map(|held| held.label.clone())
            .collect()
    }

    /// The demo's time: it begins when the restored database answers.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Starts the simulated restore, the order system and a colleague at work.
    pub fn start(&mut self, pace: Pace) -> Result<()> {
        let night = restore::Night {
            config: self.config.clone(),
            incident: Arc::clone(&self.incident),
            folder: self.folder.0.clone(),
            pace,
            clock: self.clock.clone(),
        };
        self.spawn("restore", ORDER_SYSTEM, move |ledger, stop| night.play(ledger, stop))?;
        let (config, clock) = (self.config.clone(), self.clock.clone());
        let incident = Arc::clone(&self.incident);
        let database = self.folder.0.join(super::write::DATABASE);
        self.spawn("order-system", ORDER_SYSTEM, move |ledger, stop| {
            system::System::open(&database, config, incident, pace, clock)?.work(ledger, stop)
        })?;
        self.spawn("colleague", li::NAME, move |ledger, stop| li::work(ledger, pace, stop))
    }

    fn spawn(
        &mut self,
        name: &str,
        who: &str,
        run: impl FnOnce(&mut Ledger, &Stop) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let mut ledger = ledger_of(&self.config, &self.clock, who)?;
        let clock = self.clock.clone();
        let stop = Arc::clone(&self.stop);
        let part = name.to_owned();
        let thread = std::thread::Builder::new().name(format!("sim-{name}")).spawn(move || {
            if let Err(error) = run(&mut ledger, &stop) {
                // Nobody joins this thread before the end: it says where people look that it is over.
                let _ = ledger.set_phase(
                    &PhaseLine {
                        phase: Phase::Triage,
                        state: PhaseState::Failed,
                        since: Some(clock.now()),
                        took: None,
                        evidence: format!("the simulated {part} stopped: {}", error.what),
                        per_mille: None,
                    },
                    &error.what,
                );
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

/// The ledger as this part of the simulation writes it, at the demo's time.
pub(super) fn ledger_of(config: &Config, clock: &Clock, who: &str) -> Result<Ledger> {
    let who = Who {
        user: who.to_owned(),
        system_user: who.to_owned(),
        ssh: None,
    };
    let mut ledger = Ledger::open_as(config, false, who)?;
    let clock = clock.clone();
    ledger.set_clock(move || clock.now());
    Ok(ledger)
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.stop.tell();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

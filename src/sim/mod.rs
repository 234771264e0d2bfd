//! A seeded incident: order traffic before and after a restore point, the log of it, the restored database, the hold.
//!
//! `model` holds the tables, `life` the life of an order and `plan` its steps, `story` the whole night, `write`
//! puts it into files, `truth` knows what a scan of them must find. The demo, the tests and the screenshots are made of it.
//!
//! `demo` puts it into a private folder and lets three threads work on it: `restore` walks the phases, `system` carries
//! decisions out (`carry`: row by row), `li` is a colleague.

mod after;
mod bad;
mod carry;
mod demo;
mod li;
mod life;
mod model;
mod plan;
mod restore;
mod rng;
mod story;
mod system;
mod truth;
mod write;

pub use demo::{Demo, ORDER_SYSTEM, Pace};
pub use story::Times;
pub use truth::{TrueCase, TrueFinding, Truth};

use crate::domain::Result;
use std::path::{Path, PathBuf};

/// Orders of an incident unless told otherwise.
pub const ORDERS: usize = 2_000;

/// An incident: a function of its seed and its size.
pub struct Incident {
    seed: u64,
    story: story::Story,
}

impl Incident {
    /// Makes it up: so many orders between the first and the stop.
    pub fn new(seed: u64, orders: usize) -> Self {
        Self {
            seed,
            story: story::tell(seed, orders),
        }
    }

    /// When what happened.
    pub const fn times(&self) -> &Times {
        &self.story.times
    }

    /// How many orders are held.
    pub fn held(&self) -> u64 {
        self.story.held.len() as u64
    }

    /// Writes `restored.db`, `log.ndjson`, `hold.ndjson`, `billing.csv` and `restitch.toml` into the folder; gives the path of the last.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        write::all(&self.story, self.seed, folder)?;
        Ok(folder.join(write::CONFIG))
    }

    /// What a scan of it must find.
    pub fn truth(&self) -> Truth {
        truth::of(&self.story)
    }
}

#[cfg(test)]
mod judge;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod worked;

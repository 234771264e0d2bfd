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
mod replay;
mod restore;
mod rng;
mod story;
mod system;
mod traffic;
mod truth;
mod write;

pub use demo::{Demo, ORDER_SYSTEM, Pace};
pub use story::Times;
pub use truth::{TrueCase, TrueFinding, Truth};

use crate::config::{Config, DbUrl};
use crate::domain::Result;
use crate::domain::event::Op;
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

    /// The held orders, as they came.
    fn held_orders(&self) -> &[story::Held] {
        &self.story.held
    }

    /// Ids that sequences give again after the restore, though the log has seen them and their deletes.
    pub(crate) fn ids_given_again(&self) -> Vec<i64> {
        let (story, t) = (&self.story, self.story.times.restored_to);
        let deleted = story
            .changes
            .iter()
            .filter(|c| c.table == model::Table::Order && c.op == Op::Delete);
        let gone = deleted.filter(|c| c.at > t && !story.restored.contains_key(&(c.table, c.key.clone())));
        gone.filter_map(|c| c.key.parse().ok()).collect()
    }

    /// Writes the database that the first restore brought back, and says how it is scanned: as the first attempt.
    pub(crate) fn write_first(&self, config: &Config, folder: &Path) -> Result<Config> {
        let path = folder.join(write::FIRST);
        write::database(&self.story.first, &path)?;
        let mut first = config.clone();
        first.incident.attempt = 1;
        if let Some(restored) = &mut first.restored {
            restored.url = DbUrl::Sqlite(path);
        }
        Ok(first)
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

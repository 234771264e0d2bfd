mod anchors;
mod deeds;
mod faults;
mod files;
mod hold;
mod ignores;
mod keys;
mod lines;
mod made;
mod openings;
mod papers;
mod races;
mod reopen;
mod scans;
mod tamper;
mod trail;

use super::Who;
use crate::config::{Config, DbUrl};
use crate::dice;
pub(crate) use made::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

/// A folder with a ledger, a clock, and people who open it.
pub(crate) struct Room {
    folder: TempDir,
    pub config: Config,
    clock: Arc<AtomicI64>,
}

impl Room {
    /// So many times any deeds are done in any order.
    pub const RUNS: u32 = 40;

    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.incident.id = "2026-11-22-prod".to_owned();
        config.incident.restored_to = Some(T0);
        config.ledger.database.url = DbUrl::Sqlite(folder.path().join("restitch.db"));
        config.schema = schema();
        config.roles = Some(roles());
        Self {
            folder,
            config,
            clock: Arc::new(AtomicI64::new(T0)),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("restitch.db")
    }

    pub fn open(&self, user: &str) -> Ledger {
        self.try_open(user, false).unwrap()
    }

    pub fn try_open(&self, user: &str, readonly: bool) -> crate::domain::Result<Ledger> {
        let who = Who {
            user: user.to_owned(),
            system_user: user.to_owned(),
            ssh: None,
        };
        let mut ledger = Ledger::open_as(&self.config, readonly, who)?;
        let clock = Arc::clone(&self.clock);
        ledger.set_clock(move || clock.load(Ordering::Relaxed));
        Ok(ledger)
    }

    pub fn pass(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap();
        self.clock.fetch_add(micros, Ordering::Relaxed);
    }

    /// Lets the trail be rewritten.
    pub fn free(&self) {
        self.sql("DROP TRIGGER IF EXISTS audit_is_append_only_u; DROP TRIGGER IF EXISTS audit_is_append_only_d");
    }

    /// Rewrites the trail as who owns the file can.
    pub fn forge(&self, sql: &str) {
        self.free();
        self.sql(&format!("PRAGMA synchronous = OFF; BEGIN; {sql}; COMMIT"));
    }

    /// Straight into the file, behind the ledger's back.
    pub fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }
}

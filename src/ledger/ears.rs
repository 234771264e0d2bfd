//! What tells a console that somebody may have changed the ledger: a hint, never the truth, which is read.

use super::{Ledger, Store, postgres};
use crate::domain::Result;
use std::thread;
use std::time::Duration;

/// SQLite tells other processes nothing: its file is looked at so often.
const LOOK: Duration = Duration::from_millis(500);

/// Hears of changes, and of the ledger's server going away.
#[derive(Debug)]
pub struct Ears(Option<postgres::Ears>);

impl Ledger {
    /// Ears on this ledger; for a thread of their own.
    pub fn ears(&self) -> Ears {
        Ears(match &self.store {
            Store::Sqlite(_) => None,
            Store::Postgres(postgres) => Some(postgres.ears()),
        })
    }
}

impl Ears {
    /// Waits until somebody changed something or it is time to look anyway, and the ledger answers: within some seconds.
    ///
    /// [`ErrorKind::Lost`](crate::domain::ErrorKind::Lost) where its server does not answer, at the latest 11 s after it
    /// went: all its connections are given up then. Hearing again tries again, a little later each time.
    pub fn hear(&mut self) -> Result<()> {
        if let Some(ears) = &mut self.0 {
            return ears.hear();
        }
        // A poll: time is the subject.
        thread::sleep(LOOK);
        Ok(())
    }

    /// Whether nothing can tell of changes, as a pooler gives every transaction another connection: they are looked for
    /// every second.
    pub const fn are_deaf(&self) -> bool {
        match &self.0 {
            Some(ears) => ears.pooled,
            None => false,
        }
    }
}

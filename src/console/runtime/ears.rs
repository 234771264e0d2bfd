//! What tells the other workers that somebody changed the ledger, that its server went away, and that it is back.

use super::super::model::Source;
use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::work::Shared;
use crate::domain::{Error, ErrorKind, Result};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was heard last.
#[derive(Debug, Default)]
pub struct News {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// So often the ledger answered.
    answers: u64,
    /// Somebody is to look.
    look: bool,
}

impl News {
    /// The ledger answers, and somebody may have changed it.
    pub fn ring(&self) {
        let mut state = self.lock();
        state.answers += 1;
        state.look = true;
        self.changed.notify_all();
    }

    /// Waits so long at most; whether to look at the ledger. For one who waits.
    pub fn wait(&self, most: Duration) -> bool {
        let until = Instant::now() + most;
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.look || left.is_zero() {
                return std::mem::take(&mut state.look);
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the ledger answers once more.
    pub fn wait_for_answer(&self) {
        let state = self.lock();
        let so_far = state.answers;
        let answered = self.changed.wait_while(state, |s| s.answers == so_far);
        drop(answered.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens.
pub fn run(shared: &Shared) -> Result<()> {
    let mut ears = shared.open()?.ears();
    let mut heard_at = shared.clock.now();
    let mut lost: Option<String> = None;
    let mut deaf = false;
    loop {
        bug_on_purpose("ears");
        match ears.hear() {
            Ok(()) => {
                heard_at = shared.clock.now();
                if lost.take().is_some() {
                    shared.mailbox.tell(Msg::Ledger(None));
                    shared.presence.again();
                }
                shared.news.ring();
            }
            Err(error) if error.kind == ErrorKind::Lost => {
                // The same words again are no news.
                if lost.as_ref() != Some(&error.what) {
                    let source = Source {
                        name: "ledger".to_owned(),
                        read_at: Some(heard_at),
                        lost_since: Some(heard_at),
                        late_after: 0,
                    };
                    shared.mailbox.tell(Msg::Ledger(Some((source, error.what.clone()))));
                }
                lost = Some(error.what);
            }
            Err(error) => return Err(error),
        }
        if ears.are_deaf() && !deaf {
            deaf = true;
            shared.mailbox.tell(Msg::Warning(deafness()));
        }
    }
}

fn deafness() -> Error {
    Error::failed("the ledger is reached through a pooler, and nothing tells of others' changes: they are looked for every second")
        .cure("let `ledger.url` name the server itself, or a pool in session mode")
}

//! Blocks that are decoded side by side and folded one after the other, in their order.

use crate::domain::Result;
use std::sync::{Condvar, Mutex, PoisonError};

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    /// Off: everybody goes at once.
    on: bool,
    next: Mutex<u64>,
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Now {
    turn: u64,
    /// Somebody will never take their turn.
    stopped: bool,
}

impl Turns {
    pub fn new(on: bool) -> Self {
        Self {
            on,
            next: Mutex::default(),
            now: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Takes a block, and the turn that comes with it; `None`: there is no more.
    pub fn take(&self, block: impl FnOnce() -> Result<bool>) -> Result<Option<u64>> {
        if !self.on {
            return Ok(block()?.then_some(0));
        }
        // One at a time, so that the blocks are those of one file after the other.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = *next;
        *next += 1;
        let read = block();
        if read.is_err() {
            self.stop();
        }
        Ok(read?.then_some(turn))
    }

    fn stop(&self) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.changed.notify_all();
    }

    /// Does this when all turns before were taken.
    pub fn in_turn(&self, turn: u64, act: impl FnOnce()) {
        if !self.on {
            return act();
        }
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |now: &mut Now| now.turn != turn && !now.stopped;
        let now = self
            .changed
            .wait_while(now, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        drop(now);
        act();
        self.now.lock().unwrap_or_else(PoisonError::into_inner).turn = turn + 1;
        self.changed.notify_all();
    }

    /// When a thread is done, for whatever reason, nobody waits for it any more.
    pub fn stop_others(&self) -> impl Drop {
        Stop(self)
    }
}

struct Stop<'t>(&'t Turns);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

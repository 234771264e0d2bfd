//! Blocks that are decoded side by side and folded one after the other, in their order.

use super::fold::Batch;
use crate::domain::Result;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Batches that may wait for one before them, for each thread. With none a reader that the system lets wait would stop
/// all others; more would only take memory.
const PARKED: usize = 2;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    /// Off: everybody goes at once.
    on: bool,
    most: usize,
    next: Mutex<u64>,
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Now {
    turn: u64,
    /// Somebody folds.
    busy: bool,
    /// Somebody will never take their turn.
    stopped: bool,
    parked: BTreeMap<u64, Batch>,
    /// Empty ones.
    spare: Vec<Batch>,
}

impl Turns {
    pub fn new(on: bool, threads: usize) -> Self {
        Self {
            on,
            most: threads * PARKED,
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

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.now().stopped = true;
        self.changed.notify_all();
    }

    /// Does this with the batch when all turns before were taken; whoever folds just then does it for others too. The
    /// batch is an empty one afterwards.
    pub fn in_turn(&self, turn: u64, batch: &mut Batch, fold: impl Fn(&mut Batch)) {
        if !self.on {
            return fold(batch);
        }
        let mut now = self.now();
        // The one whose turn it is never waits, so the others do not wait for ever.
        while now.turn != turn && now.parked.len() >= self.most && !now.stopped {
            now = self.changed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        let empty = now.spare.pop().unwrap_or_default();
        now.parked.insert(turn, std::mem::replace(batch, empty));
        if now.busy {
            return;
        }
        now.busy = true;
        while let Some(mut next) = {
            let at = now.turn;
            now.parked.remove(&at)
        } {
            drop(now);
            fold(&mut next);
            now = self.now();
            now.turn += 1;
            now.spare.push(next);
            self.changed.notify_all();
        }
        now.busy = false;
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

//! A queue of jobs for one worker.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The jobs that wait, and whether one is being done.
#[derive(Debug)]
pub struct Lane<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<J> {
    waiting: VecDeque<J>,
    busy: bool,
}

impl<J> Default for Lane<J> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                busy: false,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<J> Lane<J> {
    /// Adds a job.
    pub fn push(&self, job: J) {
        self.lock().waiting.push_back(job);
        self.changed.notify_all();
    }

    /// Adds a job in place of all that wait for the same: the latest wins.
    pub fn replace(&self, job: J, same: impl Fn(&J) -> bool) {
        let mut state = self.lock();
        state.waiting.retain(|waiting| !same(waiting));
        state.waiting.push_back(job);
        self.changed.notify_all();
    }

    /// Waits for the next job; the one before counts as done.
    pub fn next(&self) -> J {
        let mut state = self.lock();
        state.busy = false;
        self.changed.notify_all();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                state.busy = true;
                return job;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for a job, but no longer than this; the one before counts as done.
    pub fn next_within(&self, patience: Duration) -> Option<J> {
        let mut state = self.lock();
        state.busy = false;
        self.changed.notify_all();
        let waited = self
            .changed
            .wait_timeout_while(state, patience, |s| s.waiting.is_empty());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting.pop_front()
    }

    /// Whether one like this waits: what is being done is out of date.
    pub fn has(&self, like: impl Fn(&J) -> bool) -> bool {
        self.lock().waiting.iter().any(like)
    }

    /// The worker died over its job; the others wait.
    pub fn abandon(&self) {
        self.lock().busy = false;
        self.changed.notify_all();
    }

    /// Waits until nothing waits and nothing is being done; `false` when it took too long.
    pub fn drain(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        while state.busy || !state.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // Nothing here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_latest_wins_and_the_end_waits_for_the_rest() {
        let lane = Arc::new(Lane::default());
        lane.push(1);
        lane.replace(12, |j| *j > 10);
        lane.replace(13, |j| *j > 10);
        assert!(lane.has(|j| *j == 13) && !lane.has(|j| *j == 12));
        assert!(!lane.drain(Duration::ZERO));
        let worker = Arc::clone(&lane);
        let (told, tell) = std::sync::mpsc::channel();
        // Ends with the process: it waits for a third job.
        std::thread::spawn(move || while told.send(worker.next()).is_ok() {});
        assert!(lane.drain(Duration::from_secs(20)));
        assert_eq!(tell.try_iter().collect::<Vec<i32>>(), [1, 13]);
    }
}

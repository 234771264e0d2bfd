//! What waits for the loop, in two lanes: keys, signals and answers overtake the rows of a long reading, and a reading
//! waits for room instead of piling up.

use super::super::msg::Msg;
use super::super::term::signals::Asked;
use crate::domain::Error;
use crossterm::event::KeyEvent;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// So many batches of a reading may wait.
const BULK: usize = 4;

/// One thing for the loop.
#[derive(Debug)]
pub enum Event {
    /// A key, and when it came (microseconds since 1970).
    Key(KeyEvent, i64),
    /// Pasted text.
    Paste(String),
    /// The terminal's size changed.
    Resized,
    /// A signal.
    Asked(Asked),
    /// For the model.
    Msg(Msg),
    /// The ledger answers: work may begin.
    Opened,
    /// Nothing can go on.
    Fatal(Error),
}

/// The lanes.
#[derive(Debug, Default)]
pub struct Mailbox {
    lanes: Mutex<Lanes>,
    came: Condvar,
    room: Condvar,
}

#[derive(Debug, Default)]
struct Lanes {
    urgent: VecDeque<Event>,
    bulk: VecDeque<Msg>,
}

impl Mailbox {
    /// Posts something.
    pub fn post(&self, event: Event) {
        self.lock().urgent.push_back(event);
        self.came.notify_one();
    }

    /// Posts a message for the model.
    pub fn tell(&self, msg: Msg) {
        self.post(Event::Msg(msg));
    }

    /// Posts a part of a long reading; waits while there is no room. Parts keep their order among themselves.
    pub fn tell_bulk(&self, msg: Msg) {
        let mut lanes = self.lock();
        while lanes.bulk.len() >= BULK {
            lanes = self.room.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
        lanes.bulk.push_back(msg);
        self.came.notify_one();
    }

    /// The next, the urgent first; waits until then for one.
    pub fn take(&self, until: Instant) -> Option<Event> {
        let mut lanes = self.lock();
        loop {
            if let Some(event) = lanes.urgent.pop_front() {
                return Some(event);
            }
            if let Some(msg) = lanes.bulk.pop_front() {
                self.room.notify_one();
                return Some(Event::Msg(msg));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            lanes = self
                .came
                .wait_timeout(lanes, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // Nothing here panics while it holds the lock.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn keys_overtake_rows_and_rows_wait_for_room() {
        let mailbox = Arc::new(Mailbox::default());
        let far = || Instant::now() + std::time::Duration::from_secs(20);
        let reader = Arc::clone(&mailbox);
        let reading = std::thread::spawn(move || {
            for tick in 0..20 {
                reader.tell_bulk(Msg::Tick(tick));
            }
        });
        let mut seen = Vec::new();
        let mut key = None;
        while seen.len() < 20 {
            assert!(mailbox.lock().bulk.len() <= BULK);
            if seen.len() == 3 && key.is_none() {
                mailbox.post(Event::Resized);
            }
            match mailbox.take(far()) {
                Some(Event::Msg(Msg::Tick(tick))) => seen.push(tick),
                Some(Event::Resized) => key = Some(seen.len()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        assert_eq!(key, Some(3));
        reading.join().unwrap();
        assert!(mailbox.take(Instant::now()).is_none());
    }
}

//! What the sources have in common that are no files: a thread of their own, which reads a few blocks ahead.

use super::{Block, Part};
use crate::domain::progress::Progress;
use crate::domain::{Error, Result};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Blocks that wait to be taken: what is in memory is these and one block a thread.
const AHEAD: usize = 4;
/// How often a wait looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes that a block may have before it is handed on.
pub(super) const FULL: usize = 256 << 10;

/// A source that is read by a thread of its own.
pub(in crate::log) struct Feed<'p> {
    pub opened: Opened,
    items: Mutex<Receiver<Result<Item>>>,
    peeked: Mutex<VecDeque<Block>>,
    missing: Arc<Mutex<Vec<Missing>>>,
    progress: &'p Progress,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

/// What is known of a source before its first line.
#[derive(Debug, Default)]
pub(in crate::log) struct Opened {
    pub parts: Vec<Part>,
    /// Bytes to read, or about as many.
    pub size: u64,
}

/// The beginning of a part, which is gone.
#[derive(Debug)]
pub(in crate::log) struct Missing {
    pub part: usize,
    /// What a person should know of it.
    pub why: String,
    /// The first instant that is there, microseconds since 1970; `None` where nothing is.
    pub until: Option<i64>,
}

enum Item {
    Opened(Opened),
    /// Lines, and how much of the size they are.
    Block(Block, u64),
}

/// The reader's end.
pub(super) struct Tap {
    items: SyncSender<Result<Item>>,
    missing: Arc<Mutex<Vec<Missing>>>,
    stop: Arc<AtomicBool>,
}

impl Tap {
    /// Says what the source consists of.
    pub fn opened(&self, opened: Opened) {
        let _ = self.items.send(Ok(Item::Opened(opened)));
    }

    /// Hands a block on; `false` where nobody wants it any more.
    pub fn hand_on(&self, block: Block, size: u64) -> bool {
        block.len == 0 || self.items.send(Ok(Item::Block(block, size))).is_ok()
    }

    /// Says that the beginning of a part is gone.
    pub fn missing(&self, missing: Missing) {
        self.missing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(missing);
    }

    /// Whether the reader should end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl<'p> Feed<'p> {
    /// Starts the reader, and waits until it has opened its source.
    pub(super) fn start(
        progress: &'p Progress,
        read: impl FnOnce(&Tap) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let (sender, items) = sync_channel(AHEAD);
        let stop = Arc::new(AtomicBool::new(false));
        let missing = Arc::default();
        let tap = Tap {
            items: sender,
            missing: Arc::clone(&missing),
            stop: stop.clone(),
        };
        let reader = thread::spawn(move || {
            if let Err(e) = read(&tap) {
                let _ = tap.items.send(Err(e));
            }
        });
        let mut feed = Self {
            opened: Opened::default(),
            items: Mutex::new(items),
            peeked: Mutex::default(),
            missing,
            progress,
            stop,
            reader: Some(reader),
        };
        match feed.take()? {
            Some(Item::Opened(opened)) => feed.opened = opened,
            _ if progress.is_cancelled() => return Err(Error::failed("stopped while opening the log")),
            _ => {
                return Err(Error::failed(
                    "the thread that reads the log died: this is a mistake in restitch",
                ));
            }
        }
        Ok(feed)
    }

    /// The next item; `None` at the end, and once cancelled.
    fn take(&self) -> Result<Option<Item>> {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match items.recv_timeout(LOOK) {
                Ok(item) => return item.map(Some),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if self.progress.is_cancelled() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// What is gone of the parts; known once they are read.
    pub fn missing(&self) -> Vec<Missing> {
        std::mem::take(&mut *self.missing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the next lines into `block`; `false` when there are no more.
    pub fn next(&self, block: &mut Block) -> Result<bool> {
        let peeked = self.peeked.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let Some(peeked) = peeked {
            *block = peeked;
            return Ok(true);
        }
        Ok(match self.take()? {
            Some(Item::Block(next, size)) => {
                self.progress.add(size);
                *block = next;
                true
            }
            _ => false,
        })
    }

    /// Shows the first blocks until `enough`, without taking them; no more than may wait.
    pub fn peek(&self, mut enough: impl FnMut(&Block) -> bool) -> Result<()> {
        let mut shown = 0;
        while shown < AHEAD {
            let known = self.peeked.lock().unwrap_or_else(PoisonError::into_inner).len();
            if shown == known {
                let Some(Item::Block(block, size)) = self.take()? else {
                    break;
                };
                self.progress.add(size);
                self.peeked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_back(block);
            }
            let peeked = self.peeked.lock().unwrap_or_else(PoisonError::into_inner);
            if peeked.get(shown).is_some_and(&mut enough) {
                break;
            }
            shown += 1;
        }
        Ok(())
    }
}

impl Drop for Feed<'_> {
    /// Ends the reader: it sees the flag, or that nobody takes its blocks.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let (_, nothing) = sync_channel(0);
        *self.items.lock().unwrap_or_else(PoisonError::into_inner) = nothing;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Block {
    /// Adds a message. Its newline is no part of it: it keeps two messages from being taken for one character.
    pub(super) fn push(&mut self, number: u64, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.messages.push((number, self.bytes.len()));
        self.bytes.push(b'\n');
        self.len = self.bytes.len();
    }
}

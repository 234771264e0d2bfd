//! How far long work is: written by the worker, read by progress bars and the console, without locks on the hot path.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// The stages of a scan, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Not begun.
    Idle,
    /// Connecting, reading the catalogue.
    Connecting,
    /// Reading the log (bytes).
    ReadingLog,
    /// Reading the pre-restore instance and the restored database side by side (rows of both).
    Databases,
    /// Comparing rows (rows).
    Comparing,
    /// Following references (rows).
    Following,
    /// Writing cases to the ledger (cases).
    Writing,
    /// Over.
    Done,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::Connecting,
        Self::ReadingLog,
        Self::Databases,
        Self::Comparing,
        Self::Following,
        Self::Writing,
        Self::Done,
    ];

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Idle => "not begun",
            Self::Connecting => "connecting",
            Self::ReadingLog => "reading the log",
            Self::Databases => "reading databases",
            Self::Comparing => "comparing rows",
            Self::Following => "following references",
            Self::Writing => "writing cases",
            Self::Done => "done",
        }
    }
}

/// Shared between a worker and whoever watches it.
#[derive(Debug, Default)]
pub struct Progress {
    stage: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    /// Begins a stage; `total` is 0 where it is not known.
    pub fn begin(&self, stage: Stage, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Release);
    }

    /// So much more is done.
    pub fn add(&self, n: u64) {
        self.done.fetch_add(n, Ordering::Relaxed);
    }

    /// Stage, done, total.
    pub fn read(&self) -> (Stage, u64, u64) {
        let stage = Stage::ALL
            .get(usize::from(self.stage.load(Ordering::Acquire)))
            .copied()
            .unwrap_or(Stage::Idle);
        (
            stage,
            self.done.load(Ordering::Relaxed),
            self.total.load(Ordering::Relaxed),
        )
    }

    /// Asks the worker to stop at the next safe place.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the worker was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

//! What the log says: change events, and the reference to the event that a value came from.

use super::schema::{ColumnIx, EntityIx};
use super::value::LogValue;
use smallvec::SmallVec;
use std::borrow::Cow;

/// What an event did to its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The row was absent before.
    Insert,
    /// The row exists afterwards; nothing is said of before.
    Upsert,
    /// The row is gone.
    Delete,
    /// Every row of the entity is gone; the key is empty.
    Truncate,
}

/// One change of one row, decoded from one line of a log, not yet ordered.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The entity that the event's table or name maps to.
    pub entity: EntityIx,
    /// Canonical key text; empty for a truncate.
    pub key: Cow<'a, str>,
    /// The key the row had before, where this event moved it: that key is deleted by this event, and columns that the
    /// event omits are the old row's.
    pub moved_from: Option<Cow<'a, str>>,
    /// What happened.
    pub op: Op,
    /// `version` of the native format.
    pub version: Option<i64>,
    /// The log's own position, where it has one; else file and line count.
    pub position: Option<Position>,
    /// Commit or event time, microseconds since 1970 UTC.
    pub at: Option<i64>,
    /// The transaction that made it, where the log says.
    pub transaction: Option<Cow<'a, str>>,
    /// Who made it, where the log says.
    pub actor: Option<Cow<'a, str>>,
    /// The columns that the event carries. For a delete: what it says the row was.
    pub fields: SmallVec<[(ColumnIx, LogValue<'a>); 16]>,
}

/// A stretch that a source says, or shows, it left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The entity concerned; `None` is every one.
    pub entity: Option<EntityIx>,
    /// The canonical keys concerned; empty is every key.
    pub keys: Vec<Box<str>>,
    /// The earliest instant of what is missing, microseconds since 1970; `None` is the source's beginning.
    pub from: Option<i64>,
    /// The latest instant of what is missing; `None` is its end.
    pub to: Option<i64>,
    /// What is missing, and why, for a person.
    pub why: String,
}

/// Where in its source an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    /// A plain number (`pos`, Debezium's `lsn`).
    Number(u64),
    /// A PostgreSQL LSN, written `16/B374D848`.
    Lsn(u64),
    /// File (index into the source's files) and line, from 1.
    Line {
        /// Index into the source's files.
        file: u32,
        /// Counted from 1.
        line: u64,
    },
}

/// The event that a folded value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventRef {
    /// Index of the `[[log]]`.
    pub source: u16,
    /// Where in it.
    pub position: Position,
    /// Microseconds since 1970 UTC, where the event says when.
    pub at: Option<i64>,
}

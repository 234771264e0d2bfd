//! The order log: what really happened. Sources give lines, formats make changes of them, the fold makes rows.
//!
//! | where is …? | |
//! | --- | --- |
//! | [`read()`] | all of it: the configured logs in, [`Folded`] out |
//! | `source` | where the lines come from: files, topics, tables of events, as blocks of lines |
//! | [`mod@format`] | one decoder a format |
//! | [`capture`] | whether a log is being written now, and whether the clocks agree |
//! | [`database`] | the pre-restore instance as a log |
//! | [`hold`] | the orders that wait, where the hold is a file |
//! | `fold` | the newest value of every column of every key |
//! | `gaps` | what the sources left out, and the rows that it concerns |
//! | `wants` | which second readings are kept: without the bad change, as at T |
//! | [`outside`] | what other systems export of their own work |

pub mod capture;
pub mod database;
pub mod format;
pub mod hold;
pub mod outside;

mod again;
mod columns;
mod fold;
mod folded;
mod found;
mod gaps;
mod glance;
mod json;
mod read;
mod rejects;
mod source;
mod turns;
mod wants;

pub use columns::columns;
pub use fold::{Former, State};
pub use folded::{Folded, LogRow, LogView, RowAt};
pub use gaps::SourceGap;
pub use glance::{Glance, glance};
pub use read::{Gathered, LogInput, ReadError, gather, read};
pub use wants::Wants;

/// What was read, all sources together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Events of mapped entities.
    pub events: u64,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// Lines that are no event, kept as rejects.
    pub rejected: u64,
    /// Lines that concern no mapped entity: events of other tables, transaction marks, empty lines.
    pub skipped: u64,
    /// Time of the earliest event, microseconds since 1970.
    pub first: Option<i64>,
    /// Time of the latest event, microseconds since 1970.
    pub last: Option<i64>,
}

/// The span of time in which a source tells of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Name of the `[[log]]`.
    pub source: String,
    /// The entity.
    pub entity: String,
    /// Time of its earliest event, microseconds since 1970; `None` where there is none.
    pub first: Option<i64>,
    /// Time of its latest event; of a database, when it was read.
    pub last: Option<i64>,
    /// Events of it.
    pub events: u64,
    /// Rows of the table, where the source is a database: then it is whole, and what it lacks is not there.
    pub rows: Option<u64>,
}

#[cfg(test)]
mod tests;

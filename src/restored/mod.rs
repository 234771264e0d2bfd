//! The restored database, as read: one trait, PostgreSQL and SQLite behind it.

use crate::domain::Result;
use crate::domain::schema::{Catalogue, Column, ColumnIx, EntityIx, Schema};
use std::future::Future;

/// A row as restored: canonical key text and the asked-for columns as the type's text output (UTC, ISO dates), in the
/// order asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Canonical key; a composite one joined with `/`, `%2F` inside.
    pub key: Box<str>,
    /// One for each asked-for column; `None` is SQL null.
    pub values: Vec<Option<Box<str>>>,
}

/// Which rows to read.
#[derive(Debug, Clone, Copy)]
pub enum Lookup<'a> {
    /// The rows under these keys (as [`Row::key`] writes them); those that are not there are left out.
    Keys(&'a [&'a str]),
    /// The rows whose columns equal one of these tuples of text; no tuple holds a null.
    Values {
        /// The columns of each tuple.
        columns: &'a [ColumnIx],
        /// The tuples.
        tuples: &'a [Vec<&'a str>],
    },
}

/// How costly a look-up by these columns is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupCost {
    /// Whether an index serves it.
    pub indexed: bool,
    /// Size of the table in bytes.
    pub table_bytes: u64,
}

/// A sequence or identity that feeds a key column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The fed column.
    pub column: ColumnIx,
    /// Its name, quoted as SQL wants it.
    pub name: String,
    /// The next value it would give.
    pub next: i64,
}

/// The restored database behind a read-only session and, from [`Restored::snapshot`] on, one snapshot.
pub trait Restored: Send {
    /// Reads the catalogue of the mapped tables and checks every configured name against it.
    fn catalogue(&mut self, schema: &Schema) -> impl Future<Output = Result<Catalogue>> + Send;

    /// Fixes the one snapshot that all later reads see, and tells the reader what the tables are.
    fn snapshot(&mut self, catalogue: &Catalogue) -> impl Future<Output = Result<()>> + Send;

    /// Reads rows in batches of a size that adapts, several batches at once; `each` gets them in no particular order.
    fn rows(
        &mut self,
        entity: EntityIx,
        lookup: Lookup<'_>,
        columns: &[ColumnIx],
        each: &mut (dyn FnMut(Row) + Send),
    ) -> impl Future<Output = Result<()>> + Send;

    /// What a look-up by these columns would cost.
    fn cost(&mut self, entity: EntityIx, columns: &[ColumnIx]) -> impl Future<Output = Result<LookupCost>> + Send;

    /// Reads each text as the column's declared type and writes it back as the type's text output; `None` where it is
    /// no such value.
    fn cast(&mut self, column: &Column, texts: &[String]) -> impl Future<Output = Result<Vec<Option<String>>>> + Send;

    /// Whether the server calls the two texts equal as the column's type and collation, pair by pair; `false` where one
    /// is no such value.
    fn equal(&mut self, column: &Column, pairs: &[(String, String)]) -> impl Future<Output = Result<Vec<bool>>> + Send;

    /// The sequences that feed key columns of this entity, with their next values.
    fn sequences(&mut self, entity: EntityIx) -> impl Future<Output = Result<Vec<Sequence>>> + Send;
}

//! The restored database, as read: one trait, PostgreSQL and SQLite behind it.

use crate::domain::Result;
use crate::domain::schema::{Catalogue, Column, ColumnIx, EntityIx, Schema};
use std::future::Future;

/// A row as restored, lent for the time of one call: a scan sees hundreds of thousands of them, so none is allocated.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a>(&'a RowBuf);

impl<'a> Row<'a> {
    /// Canonical key; a composite one joined with `/`, `%2F` inside.
    pub fn key(self) -> &'a str {
        self.0.span(self.0.key)
    }

    /// The asked-for column at this place in the order asked, as the type's text output (UTC, ISO dates); `None` is SQL
    /// null, and a place that was not asked for.
    pub fn value(self, at: usize) -> Option<&'a str> {
        self.0.values.get(at).copied().flatten().map(|span| self.0.span(span))
    }

    /// All asked-for columns, in the order asked.
    pub fn values(self) -> impl Iterator<Item = Option<&'a str>> {
        self.0.values.iter().map(move |span| span.map(|s| self.0.span(s)))
    }
}

/// Where a reader puts a row together: one text, cut into spans, used again for the next row.
#[derive(Debug, Default)]
pub struct RowBuf {
    text: String,
    key: (usize, usize),
    values: Vec<Option<(usize, usize)>>,
}

impl RowBuf {
    /// Begins the next row.
    pub fn clear(&mut self) {
        self.text.clear();
        self.key = (0, 0);
        self.values.clear();
    }

    /// Sets the key from its columns' texts.
    pub fn set_key<'t>(&mut self, parts: impl ExactSizeIterator<Item = &'t str>) {
        let start = self.text.len();
        let composite = parts.len() > 1;
        for (at, part) in parts.enumerate() {
            if at > 0 {
                self.text.push('/');
            }
            if composite && part.contains('/') {
                self.text.push_str(&part.replace('/', "%2F"));
            } else {
                self.text.push_str(part);
            }
        }
        self.key = (start, self.text.len());
    }

    /// Adds the next asked-for column.
    pub fn push(&mut self, value: Option<&str>) {
        let span = value.map(|v| {
            let start = self.text.len();
            self.text.push_str(v);
            (start, self.text.len())
        });
        self.values.push(span);
    }

    /// The row put together.
    pub fn row(&self) -> Row<'_> {
        Row(self)
    }

    fn span(&self, (start, end): (usize, usize)) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }
}

/// Which rows to read.
#[derive(Debug, Clone, Copy)]
pub enum Lookup<'a> {
    /// The rows under these keys (as [`Row::key`] writes them, each once, best in the
    /// order of the index); those that are not there are left out.
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

    /// Reads rows in batches of a size that adapts, several batches at once; `each` gets them in no particular order, each
    /// once even where several tuples name it. A text that is no value of its column's type matches nothing.
    fn rows(
        &mut self,
        entity: EntityIx,
        lookup: Lookup<'_>,
        columns: &[ColumnIx],
        each: &mut (dyn FnMut(Row<'_>) + Send),
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

    /// Rows handed out so far, for the report.
    fn rows_read(&self) -> u64;
}

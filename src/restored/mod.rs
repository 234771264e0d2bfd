//! The restored database, as read: one trait, PostgreSQL and SQLite behind it.

pub mod facts;
pub mod marks;
pub mod pg;
pub mod postgres;
pub mod propose;
pub mod sqlite;

use crate::domain::schema::{Catalogue, Column, ColumnIx, EntityIx, Schema, Table};
use crate::domain::value::{self, ColumnType};
use crate::domain::{Error, Result};
use facts::{Facts, Known, Newest, Shape, Stamped};
use marks::{Ask, Broken, Marks};
use std::collections::HashMap;
use std::future::Future;

/// A row as restored, lent for the time of one call: a scan sees hundreds of thousands of them, so none is allocated.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    buf: &'a RowBuf,
    key: &'a str,
}

impl<'a> Row<'a> {
    /// Canonical key; a composite one joined with `/`, `%2F` inside.
    pub fn key(self) -> &'a str {
        self.key
    }

    /// The same row under another spelling of its key.
    fn under(self, key: &'a str) -> Self {
        Self { key, ..self }
    }

    /// The asked-for column at this place in the order asked, as the type's text output (UTC, ISO dates, booleans as
    /// `true` and `false`, `char(n)` without trailing spaces); `None` is SQL null, and a place that was not asked for.
    pub fn value(self, at: usize) -> Option<&'a str> {
        self.buf
            .values
            .get(at)
            .copied()
            .flatten()
            .map(|span| self.buf.span(span))
    }

    /// All asked-for columns, in the order asked.
    pub fn values(self) -> impl Iterator<Item = Option<&'a str>> {
        self.buf.values.iter().map(move |span| span.map(|s| self.buf.span(s)))
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
        Row {
            buf: self,
            key: self.span(self.key),
        }
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
    /// The next value it would give; `None` where this user may not read it.
    pub next: Option<i64>,
}

/// What tells a database from another, and when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The same for the same database of the same instance, whatever name it was asked by.
    pub instance: String,
    /// The time of the snapshot by the database's own clock, microseconds since 1970.
    pub at: i64,
    /// Commit time of the last transaction that a recovery brought back, where the server still knows.
    pub replayed: Option<i64>,
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

    /// What the database says of itself. What cannot be read is not known, never an error.
    fn facts(&mut self) -> impl Future<Output = Result<Facts>> + Send;

    /// Runs a statement of the site's own that gives one boolean, in a session that cannot write and with a time limit;
    /// not known where it fails or gives anything else.
    fn check(&mut self, sql: &str) -> impl Future<Output = Result<Known<bool>>> + Send;

    /// The newest rows of a table by a column of time, the newest first; those without a time are left out.
    fn newest(&mut self, entity: EntityIx, asked: Newest) -> impl Future<Output = Result<Vec<Stamped>>> + Send;

    /// Every table that this user may read, mapped or not.
    fn shapes(&mut self) -> impl Future<Output = Result<Vec<Shape>>> + Send;

    /// The key and a mark of every row in the snapshot, in the order of the key; `after` leaves out the rows up to that
    /// key, given by its parts.
    fn marks(
        &mut self,
        entity: EntityIx,
        ask: &Ask,
        after: Option<&[String]>,
    ) -> impl Future<Output = Result<Marks, Broken>> + Send;

    /// Connects again where connections were lost: `None` where none was, else whether the same snapshot is still seen.
    fn revive(&mut self) -> impl Future<Output = Result<Option<bool>>> + Send;

    /// About how many rows the table has, for progress.
    fn about(&mut self, entity: EntityIx) -> impl Future<Output = Result<u64>> + Send;

    /// Which instance this is, and as of when it speaks in its snapshot.
    fn origin(&mut self) -> impl Future<Output = Result<Origin>> + Send;

    /// Rows handed out so far, for the report.
    fn rows_read(&self) -> u64;
}

/// An error for a mapped table that is not there, naming the nearest that are.
fn no_table(schema: &Schema, entity: EntityIx, known: &[String]) -> Error {
    let entity = &schema.entities[entity];
    let place = format!("[schema.{}] table", entity.name);
    // A name without a schema is compared with the last part of those that have one.
    let qualified = entity.table.contains('.');
    let mut ranked: Vec<(usize, &String)> = known
        .iter()
        .map(|k| {
            let short = k.rsplit('.').next().unwrap_or(k);
            (
                strsim::damerau_levenshtein(&entity.table, if qualified { k } else { short }),
                k,
            )
        })
        .collect();
    ranked.sort_unstable();
    let near: Vec<&str> = ranked.into_iter().take(3).map(|(_, k)| k.as_str()).collect();
    Error::usage(format!("the database has no table {:?}", entity.table))
        .at(place)
        .cure(if near.is_empty() {
            "it has no table at all that this user sees: check the database in restored.url".to_owned()
        } else {
            format!("nearest tables: {}", near.join(", "))
        })
}

/// The key columns of an entity's table, every other configured column of it looked up too.
fn check_columns(schema: &Schema, entity: EntityIx, table: &Table) -> Result<Vec<ColumnIx>> {
    let e = &schema.entities[entity];
    let place = |key: &str| format!("[schema.{}] {key}", e.name);
    let key = e
        .key
        .iter()
        .map(|k| table.require(k, &place("key")))
        .collect::<Result<Vec<_>>>()?;
    if key.is_empty() {
        return Err(Error::usage(format!("entity {} has no key", e.name)).at(place("key")));
    }
    let one = [
        ("label", &e.label),
        ("state", &e.state),
        ("supersedes", &e.supersedes),
        ("rank", &e.rank),
        ("action", &e.action),
        ("type", &e.type_column),
        ("ponr", &e.ponr),
    ];
    for (name, column) in one {
        if let Some(column) = column {
            table.require(column, &place(name))?;
        }
    }
    for (name, columns) in [
        ("identity", &e.identity),
        ("ignore", &e.ignore),
        ("show", &e.show),
        ("mask", &e.mask),
    ] {
        for column in columns {
            table.require(column, &place(name))?;
        }
    }
    if let Some(owner) = &e.owner {
        table.require(&owner.column, &place("owner"))?;
    }
    for reference in &e.refs {
        table.require(&reference.column, &place("refs"))?;
    }
    Ok(key)
}

/// Checks the columns that references name at the tables they refer to.
fn check_targets(schema: &Schema, catalogue: &Catalogue) -> Result<()> {
    for e in &schema.entities {
        for reference in &e.refs {
            let target = schema.index(&reference.entity).and_then(|ix| catalogue.tables.get(ix));
            if let (Some(column), Some(table)) = (&reference.target, target) {
                table.require(column, &format!("[schema.{}] refs.{}", e.name, reference.column))?;
            }
        }
    }
    Ok(())
}

/// Reads the rows under these keys, and hands each back under the key that was asked for: a text key may be a Salesforce
/// id, of 15 characters on one side and of 18 on the other.
pub async fn rows_by_key<R: Restored>(
    restored: &mut R,
    table: &Table,
    entity: EntityIx,
    keys: &[&str],
    columns: &[ColumnIx],
    each: &mut (dyn FnMut(Row<'_>) + Send),
) -> Result<()> {
    let text = match table.key[..] {
        [key] => matches!(table.columns[usize::from(key)].ty, ColumnType::Text | ColumnType::Char),
        _ => false,
    };
    let other = |key: &&str| value::salesforce_id_other(key).map(|other| (other, (*key).to_owned()));
    let mut asked_as: HashMap<String, String> = keys.iter().filter(|_| text).filter_map(other).collect();
    if !asked_as.is_empty() {
        for key in keys {
            asked_as.remove(*key);
        }
    }
    let mut all = keys.to_vec();
    all.extend(asked_as.keys().map(String::as_str));
    if all.len() > keys.len() {
        all.sort_unstable();
    }
    let mut hand = |row: Row<'_>| match asked_as.get(row.key()) {
        Some(key) => each(row.under(key)),
        None => each(row),
    };
    restored.rows(entity, Lookup::Keys(&all), columns, &mut hand).await
}

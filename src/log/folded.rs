//! What the log says, row by row.

use super::fold::{Former, Reading, Row, Rows, Stamp, State};
use super::source::Part;
use super::{Coverage, LogStats, SourceGap};
use crate::domain::event::{EventRef, Position};
use crate::domain::finding::Evidence;
use crate::domain::queue::Reject;
use crate::domain::schema::{ColumnIx, EntityIx};
use crate::domain::time;
use crate::domain::value::LogValue;
use std::collections::{BTreeMap, BTreeSet};

/// All logs, folded.
#[derive(Debug)]
pub struct Folded {
    /// What was read.
    pub stats: LogStats,
    /// For every source and entity, sources first.
    pub coverage: Vec<Coverage>,
    /// What the sources left out, sources first, then by time.
    pub gaps: Vec<SourceGap>,
    /// Lines that could not be read, in order; the first ones, where there are very many.
    pub rejects: Vec<Reject>,
    /// What a person should know of the log.
    pub warnings: Vec<String>,
    /// Rows of the restored database that were read on the way.
    pub rows_read: u64,
    pub(super) rows: Rows,
    /// By entity: the rows that a gap covers, and its number.
    pub(super) covered: Vec<BTreeMap<Box<str>, usize>>,
    pub(super) wholes: Vec<Whole>,
    pub(super) sources: Vec<SourceNames>,
    /// Events that do not say when they happened.
    pub(super) timeless: u64,
    /// Columns that events name and no table has.
    pub(super) unknown: BTreeSet<(EntityIx, String)>,
    /// Rows whose events are not in the order of time, in a log that cannot be read a second time.
    pub(super) out_of_time: usize,
}

/// A row's place among those that the log names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowAt {
    entity: u16,
    shard: u16,
    row: u32,
}

impl RowAt {
    fn new(entity: EntityIx, (shard, row): (u16, u32)) -> Self {
        let entity = u16::try_from(entity).unwrap_or(u16::MAX);
        Self { entity, shard, row }
    }

    /// Its entity.
    pub fn entity(self) -> EntityIx {
        usize::from(self.entity)
    }

    const fn place(self) -> (u16, u32) {
        (self.shard, self.row)
    }
}

/// The history of rows, where [`super::Wants::history`] asked for it.
impl Folded {
    /// The places of an entity's rows, in their own order.
    pub fn rows_at(&self, entity: EntityIx) -> impl Iterator<Item = RowAt> {
        self.rows.places(entity).map(move |place| RowAt::new(entity, place))
    }

    /// Where the row under this canonical key is.
    pub fn find(&self, entity: EntityIx, key: &str) -> Option<RowAt> {
        Some(RowAt::new(entity, self.rows.place(entity, key)?))
    }

    /// The row at this place.
    pub fn row_at(&self, at: RowAt) -> LogRow<'_> {
        LogRow(self.rows.at(at.entity(), at.place()))
    }

    /// What the row was from event to event, in the order of time.
    pub fn states(&self, at: RowAt, into: &mut Vec<State>) {
        self.rows.states(at.entity(), at.place(), into);
    }

    /// What columns that identify the row, or are referred to, were before some of its events, in the order of time.
    pub fn former(&self, at: RowAt) -> &[Former] {
        self.rows.former(at.entity(), at.place())
    }

    /// The fingerprint of such a column as the row has it now; 0 for null.
    pub fn print_of(&self, at: RowAt, column: ColumnIx) -> u64 {
        self.rows.print_of(at.entity(), at.place(), column)
    }

    /// The fingerprint that such a column with this value has.
    pub fn print_value(&self, entity: EntityIx, column: ColumnIx, text: &str) -> u64 {
        self.rows.print_value(entity, column, text)
    }

    /// Events that do not say when they happened.
    pub const fn timeless(&self) -> u64 {
        self.timeless
    }

    /// Rows whose history is not exact.
    pub const fn out_of_time(&self) -> usize {
        self.out_of_time
    }
}

/// How evidence names a source and its files.
#[derive(Debug)]
pub(super) struct SourceNames {
    pub name: String,
    pub parts: Vec<Part>,
}

impl SourceNames {
    pub fn place(&self, file: usize, line: u64) -> String {
        self.parts
            .get(file)
            .map_or_else(|| format!("?:{line}"), |part| part.place(line))
    }
}

/// A source that is the whole log: what it does not name is as the restored database has it, and what neither has is not
/// there.
#[derive(Debug)]
pub(super) struct Whole {
    pub source: usize,
    /// For each entity the largest key, where it is one integer.
    pub largest: Vec<Option<i64>>,
}

impl Folded {
    /// Whether a source is the whole log: a key that neither it nor the restored database has counts as deleted.
    pub fn is_whole(&self) -> bool {
        !self.wholes.is_empty()
    }

    /// Keys of the entity that the log names, deleted ones too.
    pub fn len(&self, entity: EntityIx) -> usize {
        self.rows.order.get(entity).map_or(0, Vec::len)
    }

    /// Whether the log names no row of the entity.
    pub fn is_empty(&self, entity: EntityIx) -> bool {
        self.len(entity) == 0
    }

    /// All rows by key, as numbers where the key is one integer column.
    pub fn rows(&self, entity: EntityIx) -> impl Iterator<Item = LogRow<'_>> {
        let order = self.rows.order.get(entity).map_or(&[][..], |o| &o[..]);
        order.iter().map(move |place| LogRow(self.rows.at(entity, *place)))
    }

    /// The row under this canonical key.
    pub fn get(&self, entity: EntityIx, key: &str) -> Option<LogRow<'_>> {
        self.rows.get(entity, key).map(LogRow)
    }

    /// The row as if the bad change had not been: `None` where it did not touch the row, which is then as [`Folded::get`]
    /// says; `Some(None)` where nothing else tells of it.
    pub fn without_bad(&self, entity: EntityIx, key: &str) -> Option<Option<LogRow<'_>>> {
        let row = self.rows.aside(Reading::WithoutBad, entity, key)?;
        Some(row.is_told().then_some(LogRow(row)))
    }

    /// The keys of the rows that the bad change touched, in no order.
    pub fn touched_by_bad(&self, entity: EntityIx) -> impl Iterator<Item = &str> {
        self.rows.asides(Reading::WithoutBad, entity).map(Row::key)
    }

    /// The keys of the first some thousand rows that were touched after T, in no order, each with the row as at T: `None`
    /// where the log did not tell of it until then.
    pub fn at_t(&self, entity: EntityIx) -> impl Iterator<Item = (&str, Option<LogRow<'_>>)> {
        let rows = self.rows.asides(Reading::AtT, entity);
        rows.map(|row| (row.key(), row.is_told().then_some(LogRow(row))))
    }

    /// Whether the log says that a row of [`Folded::at_t`] was absent until an event after T made it.
    pub fn is_inserted_after_t(&self, entity: EntityIx, key: &str) -> bool {
        self.rows.is_inserted_later(Reading::AtT, entity, key)
    }

    /// Whether [`Folded::at_t`] has every row of the entity that was touched after T.
    pub fn at_t_is_whole(&self, entity: EntityIx) -> bool {
        self.rows.aside_is_whole(Reading::AtT, entity)
    }

    /// The gap after which no source says what the row is.
    pub fn gap_over(&self, entity: EntityIx, key: &str) -> Option<&SourceGap> {
        self.gaps.get(*self.covered.get(entity)?.get(key)?)
    }

    /// The keys that a gap covers, by key; rows that the log never names are among them.
    pub fn covered_keys(&self, entity: EntityIx) -> impl Iterator<Item = &str> {
        self.covered.get(entity).into_iter().flatten().map(|(key, _)| &**key)
    }

    /// What says that there is a gap.
    pub fn evidence_of_gap(&self, gap: &SourceGap) -> Evidence {
        let source = self.sources.get(usize::from(gap.source)).map_or("", |s| &s.name);
        gap.told_by.map_or_else(|| gap.missing(source), |by| self.evidence(by))
    }

    /// What a person should know of what the sources left out after T, or that concerns rows all the same.
    pub fn gap_warnings(&self, t: Option<i64>) -> Vec<String> {
        let mut rows = vec![0; self.gaps.len()];
        let covered = self.covered.iter().flat_map(BTreeMap::values);
        covered.for_each(|nth| rows[*nth] += 1);
        let matters = |(gap, rows): &(&SourceGap, usize)| *rows > 0 || t.zip(gap.gap.to).is_none_or(|(t, to)| to > t);
        let of_source = |(nth, source): (usize, &SourceNames)| {
            let gaps = self.gaps.iter().zip(rows.iter().copied()).filter(matters);
            let gaps: Vec<_> = gaps.filter(|(gap, _)| usize::from(gap.source) == nth).collect();
            super::gaps::warnings(&source.name, &gaps)
        };
        self.sources.iter().enumerate().flat_map(of_source).collect()
    }

    /// The largest key seen, where the key is one integer column; deleted rows count.
    pub fn max_int_key(&self, entity: EntityIx) -> Option<i64> {
        if self.wholes.is_empty() {
            return self.rows.largest.get(entity).copied().flatten();
        }
        // That a database lacks a key does not say that it ever had it.
        let seen = self
            .rows(entity)
            .filter(|row| row.deleted_by().is_none_or(|by| !self.is_of_whole(by)));
        let integer = self.rows.largest.get(entity).copied().flatten().is_some();
        let named = seen.filter(|_| integer).filter_map(|row| row.key().parse().ok()).max();
        let whole = self
            .wholes
            .iter()
            .filter_map(|w| w.largest.get(entity).copied().flatten());
        whole.max().max(named)
    }

    /// Whether a source that is the whole log says so.
    pub fn is_of_whole(&self, by: EventRef) -> bool {
        self.wholes.iter().any(|whole| whole.source == usize::from(by.source))
    }

    /// The event in words for people and files.
    pub fn evidence(&self, event: EventRef) -> Evidence {
        let source = self.sources.get(usize::from(event.source));
        let position = match event.position {
            Position::Number(n) => n.to_string(),
            // PostgreSQL manual, pg_lsn: two hexadecimal numbers of up to eight digits, separated by a slash.
            Position::Lsn(lsn) => format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff),
            Position::Line { file, line } => source.map_or_else(String::new, |s| s.place(file as usize, line)),
        };
        Evidence {
            source: source.map_or_else(String::new, |s| s.name.clone()),
            position,
            // When a database was read says nothing of when a row changed.
            ts: event.at.filter(|_| !self.is_of_whole(event)).map(time::format),
        }
    }
}

/// The folded log as a scan asks it: as it is, or as if the bad change had not been.
#[derive(Debug, Clone, Copy)]
pub struct LogView<'a> {
    folded: &'a Folded,
    clean: bool,
}

impl<'a> LogView<'a> {
    /// The log as it is.
    pub const fn of(folded: &'a Folded) -> Self {
        Self { folded, clean: false }
    }

    /// The same without the bad change.
    #[must_use]
    pub const fn without_bad(self) -> Self {
        Self { clean: true, ..self }
    }

    /// What it is a view of.
    pub const fn folded(self) -> &'a Folded {
        self.folded
    }

    /// As [`Folded::get`].
    pub fn get(self, entity: EntityIx, key: &str) -> Option<LogRow<'a>> {
        let clean = self.clean.then(|| self.folded.without_bad(entity, key)).flatten();
        clean.unwrap_or_else(|| self.folded.get(entity, key))
    }

    /// As [`Folded::rows`].
    pub fn rows(self, entity: EntityIx) -> impl Iterator<Item = LogRow<'a>> {
        let clean = move |row: LogRow<'a>| {
            if self.clean {
                self.get(entity, row.key())
            } else {
                Some(row)
            }
        };
        self.folded.rows(entity).filter_map(clean)
    }

    /// The rows to compare with the restored ones: all, or without the bad change those that it touched.
    pub fn compared(self, entity: EntityIx) -> Vec<LogRow<'a>> {
        if !self.clean {
            return self.folded.rows(entity).collect();
        }
        let mut keys: Vec<&str> = self.folded.touched_by_bad(entity).collect();
        keys.sort_unstable();
        keys.into_iter().filter_map(|key| self.get(entity, key)).collect()
    }

    /// The keys that the log never names and that a gap covers.
    pub fn unnamed(self, entity: EntityIx) -> Vec<&'a str> {
        if self.clean {
            return Vec::new();
        }
        let keys = self.folded.covered_keys(entity);
        keys.filter(|key| self.folded.get(entity, key).is_none()).collect()
    }

    /// As [`Folded::len`].
    pub fn len(self, entity: EntityIx) -> usize {
        self.folded.len(entity)
    }

    /// As [`Folded::is_empty`].
    pub fn is_empty(self, entity: EntityIx) -> bool {
        self.folded.is_empty(entity)
    }

    /// As [`Folded::is_whole`].
    pub fn is_whole(self) -> bool {
        self.folded.is_whole()
    }

    /// As [`Folded::max_int_key`].
    pub fn max_int_key(self, entity: EntityIx) -> Option<i64> {
        self.folded.max_int_key(entity)
    }

    /// As [`Folded::evidence`].
    pub fn evidence(self, event: EventRef) -> Evidence {
        self.folded.evidence(event)
    }
}

/// The log's row, or the last state of a deleted one.
#[derive(Debug, Clone, Copy)]
pub struct LogRow<'a>(&'a Row);

impl<'a> LogRow<'a> {
    /// Canonical key.
    pub fn key(self) -> &'a str {
        self.0.key()
    }

    /// Whether there is a row: `false` where the log's last word is a delete.
    pub fn exists(self) -> bool {
        self.0.exists()
    }

    /// The delete that is the log's last word.
    pub fn deleted_by(self) -> Option<EventRef> {
        self.0.deleted_by().map(|s| s.event())
    }

    /// Two events that contradict each other on this row's last state; the one that was followed comes first.
    pub fn contradicted(self) -> Option<(EventRef, EventRef)> {
        self.0.contradicted().map(|(a, b)| (a.event(), b.event()))
    }

    /// A column of the row, or of its last state when deleted, and the event that said so; `None` where the log does
    /// not say.
    pub fn field(self, column: ColumnIx) -> Option<(LogValue<'a>, EventRef)> {
        let field = self.0.fields().find(|f| f.column == column)?;
        Some((field.value(), field.stamp.event()))
    }

    /// Every column that the log tells of, in the order of the table.
    pub fn fields(self) -> impl Iterator<Item = (ColumnIx, LogValue<'a>, EventRef)> {
        self.0.fields().map(|f| (f.column, f.value(), f.stamp.event()))
    }

    /// The distinct events behind the fields, the one that made it exist, and the delete; oldest first.
    pub fn events(self) -> Vec<EventRef> {
        let mut stamps: Vec<Stamp> = self.0.fields().map(|f| f.stamp).collect();
        if self.0.exists() {
            stamps.extend(self.0.set_by());
        }
        stamps.extend(self.0.deleted_by());
        stamps.sort_unstable_by_key(|s| (s.at(), *s));
        let mut events: Vec<EventRef> = stamps.into_iter().map(|s| s.event()).collect();
        events.dedup();
        events
    }
}

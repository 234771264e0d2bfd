//! Rows by key or by value, in batches: the parameters are arrays, so that one index scan serves a batch.

use super::catalogue::{Relation, Takes};
use crate::domain::Result;
use crate::domain::schema::ColumnIx;
use crate::domain::value::{ColumnType, canonical, key_form, split_key};
use crate::restored::pg::Connection;
use crate::restored::{Lookup, Row, RowBuf};
use bytes::BytesMut;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::collections::HashSet;
use std::error::Error as StdError;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

/// The first batch is small: nothing is known of the volume yet.
pub(super) const FIRST_BATCH: usize = 512;
const LEAST_BATCH: usize = 64;
/// More keys at once make the planner read the whole table for each batch.
pub(super) const MOST_BATCH: usize = 8_192;
/// Tuples at once where the whole table is read anyway.
pub(super) const WHOLE_BATCH: usize = 1_000_000;

/// A parameter in the text form of an array; the server infers its type from what it is compared with.
#[derive(Debug)]
struct ArrayText(String);

impl ToSql for ArrayText {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

impl ArrayText {
    fn push(&mut self, item: &str, bare: bool) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        if bare {
            self.0.push_str(item);
            return;
        }
        self.0.push('"');
        for c in item.chars() {
            if matches!(c, '"' | '\\') {
                self.0.push('\\');
            }
            self.0.push(c);
        }
        self.0.push('"');
    }
}

/// The texts of one tuple.
type Parts<'a> = SmallVec<[Cow<'a, str>; 2]>;

/// What to look up, and by which columns.
#[derive(Debug)]
pub(super) struct Tuples<'a> {
    relation: &'a Relation,
    by: Vec<usize>,
    lookup: Lookup<'a>,
}

impl<'a> Tuples<'a> {
    pub(super) fn new(relation: &'a Relation, lookup: Lookup<'a>) -> Self {
        let by = match lookup {
            Lookup::Keys(_) => relation.key.clone(),
            Lookup::Values { columns, .. } => columns.iter().map(|c| usize::from(*c)).collect(),
        };
        Self { relation, by, lookup }
    }

    pub(super) fn width(&self) -> usize {
        self.by.len()
    }

    fn len(&self) -> usize {
        match self.lookup {
            Lookup::Keys(keys) => keys.len(),
            Lookup::Values { tuples, .. } => tuples.len(),
        }
    }

    fn parts(&self, at: usize) -> Parts<'a> {
        match self.lookup {
            Lookup::Keys(keys) if self.by.len() == 1 => smallvec![Cow::Borrowed(keys[at])],
            Lookup::Keys(keys) => split_key(keys[at], self.by.len()).into(),
            Lookup::Values { tuples, .. } => tuples[at].iter().map(|t| Cow::Borrowed(*t)).collect(),
        }
    }

    /// The texts of which only the server can say whether they are values of their columns, by place in the tuple.
    pub(super) fn doubtful(&self) -> Vec<(usize, Vec<String>)> {
        let ask = (0..self.by.len()).filter(|place| self.relation.columns[self.by[*place]].takes == Takes::Ask);
        ask.map(|place| {
            let all = (0..self.len()).filter_map(|at| self.parts(at).get(place).map(|t| t.clone().into_owned()));
            let mut texts: Vec<String> = all.collect();
            texts.sort_unstable();
            texts.dedup();
            (place, texts)
        })
        .collect()
    }

    /// Type to cast to, for the texts at a place.
    pub(super) fn cast(&self, place: usize) -> &'a str {
        &self.relation.columns[self.by[place]].cast
    }
}

/// One lookup: its statement, and how its tuples become parameters.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    tuples: Tuples<'a>,
    /// Texts that are no values of their columns, by place in the tuple; they match nothing.
    refused: Vec<HashSet<String>>,
    sql: String,
    /// Columns of the statement's result that make the key; the asked-for ones follow.
    key: usize,
    columns: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn new(tuples: Tuples<'a>, columns: &[ColumnIx], refused: Vec<HashSet<String>>) -> Self {
        let relation = tuples.relation;
        let asked = columns.iter().filter_map(|c| relation.columns.get(usize::from(*c)));
        let read: Vec<&str> = relation
            .key
            .iter()
            .map(|k| &relation.columns[*k])
            .chain(asked)
            .map(|c| c.read.as_str())
            .collect();
        let condition = relation.condition(&tuples.by);
        let sql = format!("select {} from {} where {condition}", read.join(", "), relation.sql);
        Self {
            refused,
            sql,
            key: relation.key.len(),
            columns: read.len(),
            tuples,
        }
    }

    /// The parameters of a batch; `None` where nothing in it can match.
    fn parameters(&self, batch: Range<usize>) -> Option<Vec<(ArrayText, Type)>> {
        let by = &self.tuples.by;
        let kinds: Vec<&ColumnType> = by.iter().map(|c| &self.tuples.relation.columns[*c].ty).collect();
        let mut arrays: Vec<ArrayText> = by
            .iter()
            .map(|_| ArrayText(String::with_capacity(batch.len() * 20)))
            .collect();
        for at in batch {
            let parts = self.tuples.parts(at);
            if parts.len() != by.len() {
                continue;
            }
            let mut values: Parts<'_> = SmallVec::new();
            for ((part, ty), refused) in parts.iter().zip(&kinds).zip(&self.refused) {
                if part.contains('\0') || refused.contains(part.as_ref()) {
                    break;
                }
                let Some(value) = canonical(ty, part) else { break };
                values.push(value);
            }
            if values.len() == by.len() {
                for ((array, value), ty) in arrays.iter_mut().zip(&values).zip(&kinds) {
                    array.push(
                        value,
                        matches!(ty, ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8),
                    );
                }
            }
        }
        if arrays.iter().any(|a| a.0.is_empty()) {
            return None;
        }
        for array in &mut arrays {
            array.0.push('}');
        }
        Some(arrays.into_iter().map(|a| (a, Type::UNKNOWN)).collect())
    }
}

/// What the readers of one lookup share; they take turns within one task.
struct Shared<'e> {
    each: &'e mut (dyn FnMut(Row<'_>) + Send),
    row: RowBuf,
    /// Keys handed out, where two batches may name one row.
    seen: Option<HashSet<Box<str>>>,
    next: usize,
    batch: usize,
    read: u64,
}

/// Runs the lookup on all readers at once, beginning with batches of this size; returns the number of rows and the size
/// that batches had come to.
pub(super) async fn run(
    readers: &[Connection],
    plan: &Plan<'_>,
    batch: usize,
    target: Duration,
    each: &mut (dyn FnMut(Row<'_>) + Send),
) -> Result<(u64, usize)> {
    let by_value = matches!(plan.tuples.lookup, Lookup::Values { .. });
    let shared = Mutex::new(Shared {
        each,
        row: RowBuf::default(),
        seen: (by_value && plan.tuples.len() > batch).then(HashSet::new),
        next: 0,
        batch,
        read: 0,
    });
    try_join_all(readers.iter().map(|reader| read(reader, plan, target, &shared))).await?;
    let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((shared.read, shared.batch))
}

/// One reader takes batch after batch until there is none.
async fn read(reader: &Connection, plan: &Plan<'_>, target: Duration, shared: &Mutex<Shared<'_>>) -> Result<()> {
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = |e: tokio_postgres::Error| reader.error("reading rows", &e);
    loop {
        let (batch, whole) = {
            let mut shared = lock();
            let from = shared.next;
            let to = from.saturating_add(shared.batch).min(plan.tuples.len());
            shared.next = to;
            (from..to, to - from == shared.batch)
        };
        if batch.is_empty() {
            return Ok(());
        }
        let size = batch.len();
        let Some(parameters) = plan.parameters(batch) else {
            continue;
        };
        let begun = Instant::now();
        let rows = reader
            .client
            .query_typed_raw(&plan.sql, parameters)
            .await
            .map_err(failed)?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            lock().take(plan, &row).map_err(failed)?;
        }
        if whole && size <= MOST_BATCH {
            lock().batch = resized(size, begun.elapsed(), target);
        }
    }
}

/// The size that would have met the target, moving at most fourfold up and twofold down at once.
fn resized(size: usize, took: Duration, target: Duration) -> usize {
    let took = took.as_micros().max(1);
    let fit = u128::try_from(size)
        .unwrap_or(u128::MAX)
        .saturating_mul(target.as_micros())
        / took;
    usize::try_from(fit)
        .unwrap_or(usize::MAX)
        .clamp(size / 2, size * 4)
        .clamp(LEAST_BATCH, MOST_BATCH)
}

impl Shared<'_> {
    fn take(&mut self, plan: &Plan<'_>, row: &tokio_postgres::Row) -> Result<(), tokio_postgres::Error> {
        self.row.clear();
        let mut key: SmallVec<[&str; 4]> = SmallVec::new();
        let relation = plan.tuples.relation;
        for (at, column) in relation.key.iter().enumerate() {
            // A key column of a view may be null; such a row has no key that anyone could name.
            let Some(part) = row.try_get(at)? else { return Ok(()) };
            key.push(key_form(&relation.columns[*column].ty, part));
        }
        self.row.set_key(key.into_iter());
        for at in plan.key..plan.columns {
            self.row.push(row.try_get(at)?);
        }
        if let Some(seen) = &mut self.seen
            && !seen.insert(self.row.row().key().into())
        {
            return Ok(());
        }
        self.read += 1;
        (self.each)(self.row.row());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_grows_towards_its_target_and_shrinks_when_the_volume_is_cold() {
        let target = Duration::from_millis(200);
        assert_eq!(resized(512, Duration::from_millis(1), target), 2_048);
        assert_eq!(resized(2_048, Duration::from_millis(100), target), 4_096);
        assert_eq!(resized(4_096, Duration::from_secs(4), target), 2_048);
        assert_eq!(resized(64, Duration::from_mins(1), target), LEAST_BATCH);
        assert_eq!(resized(MOST_BATCH, Duration::from_millis(1), target), MOST_BATCH);
    }

    #[test]
    fn array_text_quotes_what_is_not_a_number() {
        let mut array = ArrayText(String::new());
        array.push("a\"b\\c{},NULL", false);
        array.push("12", true);
        assert_eq!(array.0, "{\"a\\\"b\\\\c{},NULL\",12");
    }
}

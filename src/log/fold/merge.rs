//! Several sources into one: by event time, and what they contradict each other on.

use super::aside::Aside;
use super::row::Owned;
use super::{Fold, Row, Shard, Stamp, Table};
use crate::domain::schema::{Catalogue, EntityIx};
use crate::domain::value::{ColumnType, LogKind, LogValue, Same, canonical, same};
use rayon::prelude::*;
use std::sync::PoisonError;

/// What merging must know besides the rows.
pub(in crate::log) struct Sources<'a> {
    pub catalogue: &'a Catalogue,
    /// By source, by entity: the time of the last event.
    pub until: &'a [Vec<Option<i64>>],
    /// The last source has rows, not events: the second readings do without it.
    pub whole: bool,
    /// The instant of the rows as at T.
    pub as_at: Option<i64>,
}

/// Merges the rows of all sources, in the order of the configuration.
pub(in crate::log) fn merge(mut folds: Vec<Fold>, sources: &Sources<'_>) -> Option<Fold> {
    let first = folds.drain(..1.min(folds.len())).next()?;
    if folds.is_empty() {
        return Some(first);
    }
    let open = |fold: Fold| {
        fold.shards
            .into_iter()
            .map(|s| s.into_inner().unwrap_or_else(PoisonError::into_inner))
    };
    let (hasher, rules) = (first.hasher.clone(), first.rules);
    let mut shards: Vec<Vec<Shard>> = open(first).map(|shard| vec![shard]).collect();
    for fold in folds {
        shards
            .iter_mut()
            .zip(open(fold))
            .for_each(|(all, shard)| all.push(shard));
    }
    let shards = shards.into_par_iter().map(|all| sources.shard(all).into()).collect();
    Some(Fold {
        hasher,
        shards,
        rules,
        tracking: None,
        keeping: None,
    })
}

impl Sources<'_> {
    fn shard(&self, mut shards: Vec<Shard>) -> Shard {
        let entities = shards.first().map_or(0, |shard| shard.tables.len());
        // The second readings first: they take from the first ones of each source.
        let asides = shards.first().map_or(0, |shard| shard.asides.len());
        let asides = (0..asides).map(|nth| self.aside(&shards, nth, entities)).collect();
        let tables = (0..entities).map(|entity| {
            let mut tables = shards.iter_mut().map(|shard| std::mem::take(&mut shard.tables[entity]));
            let mut merged = tables.next().unwrap_or_default();
            self.tables(entity, &mut merged, tables.collect());
            merged
        });
        let tables = tables.collect();
        Shard {
            tables,
            asides,
            ..Shard::default()
        }
    }

    fn tables(&self, entity: EntityIx, first: &mut Table, mut others: Vec<Table>) {
        let hashes: Vec<(u32, u32)> = first.index.iter().map(|slot| (slot.row, slot.hash)).collect();
        for (at, hash) in hashes {
            let row = &mut first.rows[at as usize];
            if let Some(merged) = self.row(
                entity,
                (0, row),
                others.iter().map(|t| t.get(row.key_bytes(), hash)).zip(1..),
            ) {
                *row = merged;
            }
        }
        let mut source = 1;
        while !others.is_empty() {
            let Table { index, mut rows } = others.remove(0);
            for slot in index {
                let row = std::mem::replace(&mut rows[slot.row as usize], Row::new(&[]));
                if first.position(row.key_bytes(), slot.hash).is_some() {
                    continue;
                }
                let later = others
                    .iter()
                    .map(|t| t.get(row.key_bytes(), slot.hash))
                    .zip(source + 1..);
                let merged = self.row(entity, (source, &row), later);
                let at = first.add(row.key_bytes(), slot.hash);
                first.rows[at] = merged.unwrap_or(row);
            }
            source += 1;
        }
    }

    /// The row of one source with the rows that later ones have under its key; `None` where they have none.
    fn row<'r>(
        &self,
        entity: EntityIx,
        first: (usize, &'r Row),
        later: impl Iterator<Item = (Option<&'r Row>, usize)>,
    ) -> Option<Row> {
        let later = later.filter_map(|(row, source)| Some((source, row?)));
        let rows: Vec<(usize, &Row)> = std::iter::once(first)
            .chain(later)
            .filter(|(_, row)| row.is_told())
            .collect();
        match rows[..] {
            [] => None,
            [(source, only)] => (source != first.0).then(|| only.clone()),
            _ => Some(self.merged(entity, &rows)),
        }
    }

    fn aside(&self, shards: &[Shard], nth: usize, entities: usize) -> Aside {
        let told = shards.len() - usize::from(self.whole);
        let mut merged = Aside::empty(shards[0].asides[nth].reading, entities);
        for entity in 0..entities {
            for of in shards {
                let table = &of.asides[nth].tables[entity];
                for slot in &table.index {
                    let key = table.rows[slot.row as usize].key_bytes();
                    if merged.tables[entity].position(key, slot.hash).is_some() {
                        continue;
                    }
                    let mut rows = Vec::new();
                    let mut unknown = false;
                    for (source, shard) in shards[..told].iter().enumerate() {
                        let aside = &shard.asides[nth];
                        let main = || shard.tables[entity].get(key, slot.hash);
                        if let Some(row) = aside.get(entity, key, slot.hash) {
                            rows.push((source, row));
                            continue;
                        }
                        // Where there was no room for it, this source's row may be a later one.
                        unknown |= aside.full[entity] && main().is_some_and(|row| self.is_later(row));
                        rows.extend(main().map(|row| (source, row)));
                    }
                    if unknown {
                        merged.full[entity] = true;
                        continue;
                    }
                    rows.retain(|(_, row)| row.is_told());
                    let at = merged.tables[entity].add(key, slot.hash);
                    match rows[..] {
                        [] => {}
                        [(_, only)] => merged.tables[entity].rows[at] = only.clone(),
                        _ => merged.tables[entity].rows[at] = self.merged(entity, &rows),
                    }
                }
                merged.full[entity] |= of.asides[nth].full[entity];
                for (key, absent) in &of.asides[nth].inserted[entity] {
                    *merged.inserted[entity].entry(key.clone()).or_insert(true) &= absent;
                }
            }
        }
        merged
    }

    fn is_later(&self, row: &Row) -> bool {
        let newest = row.newest();
        self.as_at.zip(newest).is_some_and(|(t, newest)| newest > t)
    }

    fn merged(&self, entity: EntityIx, rows: &[(usize, &Row)]) -> Row {
        let same = |column: u16, a: &LogValue<'_>, b: &LogValue<'_>| {
            says_same(&self.catalogue.tables[entity].columns[usize::from(column)].ty, a, b)
        };
        let until = |source: usize| self.until.get(source).and_then(|u| u.get(entity).copied().flatten());
        merge_rows(rows, &same, &until)
    }
}

/// Whether two sources say the same of a column; what only the server could tell counts as a difference in spelling.
fn says_same(ty: &ColumnType, a: &LogValue<'_>, b: &LogValue<'_>) -> bool {
    if a.kind == LogKind::Null || b.kind == LogKind::Null {
        return a.kind == b.kind;
    }
    let text = canonical(ty, &b.text);
    same(ty, a, Some(text.as_deref().unwrap_or(&b.text))) != Same::No
}

/// The row that these sources tell of, in the order of the configuration; without a look at what they should have told.
pub(super) fn as_one(entity: EntityIx, rows: &[(usize, &Row)], catalogue: &Catalogue) -> Row {
    let same = |column: u16, a: &LogValue<'_>, b: &LogValue<'_>| {
        says_same(&catalogue.tables[entity].columns[usize::from(column)].ty, a, b)
    };
    merge_rows(rows, &same, &|_| None)
}

/// The time of an event as seen from other sources: no earlier than what its own source says came before it.
type Moment = (i64, u16);

fn moment(stamp: Stamp) -> Moment {
    (stamp.at(), stamp.source())
}

struct Side {
    source: usize,
    set: Option<(Moment, Stamp)>,
    /// The last delete, and the one under the visible fields.
    deletes: Vec<(Moment, Stamp)>,
    fields: Vec<(Moment, Owned)>,
    exists: bool,
}

impl Side {
    fn new(source: usize, row: &Row) -> Self {
        let floor = row.floor().map(|s| (moment(s), s));
        let least = floor.map_or((i64::MIN, 0), |(m, _)| m);
        let set = row.set_by().map(|s| (moment(s).max(least), s));
        let after = set.map_or(least, |(m, _)| m);
        let delete = row.deleted_by().map(|s| (moment(s).max(after), s));
        let most = delete.map_or((i64::MAX, u16::MAX), |(m, _)| m);
        let fields = row.owned_fields().into_iter();
        Self {
            source,
            set,
            deletes: floor.into_iter().chain(delete).collect(),
            fields: fields.map(|f| (moment(f.stamp).max(least).min(most), f)).collect(),
            exists: row.exists(),
        }
    }

    /// Its last word on whether the row is there.
    fn last(&self) -> Option<(Moment, Stamp)> {
        let all = self.set.into_iter().chain(self.deletes.iter().copied());
        all.max_by_key(|(m, _)| *m)
    }
}

type Alike<'a> = &'a dyn Fn(u16, &LogValue<'_>, &LogValue<'_>) -> bool;
/// The time of a source's last event of the entity.
type Until<'a> = &'a dyn Fn(usize) -> Option<i64>;

/// Two sources' last words on one thing, which differ: a contradiction if both are of one time, or if the one with the
/// older word tells of later events, so that it should have told of this one.
fn clash(a: (&Side, Moment, Stamp), b: (&Side, Moment, Stamp), until: Until<'_>) -> Option<(Stamp, Stamp)> {
    let (newer, older) = if a.1 > b.1 { (a, b) } else { (b, a) };
    let at = newer.1.0;
    let should_know = at > i64::MIN && until(older.0.source).is_some_and(|until| until > at);
    // An event without a time stands nowhere among those of other sources.
    (at == older.1.0 || should_know && older.1.0 > i64::MIN).then_some((newer.2, older.2))
}

/// What two sources contradict each other on: whether the row is there, else the first of its columns.
fn contradiction(a: &Side, b: &Side, same: Alike<'_>, until: Until<'_>) -> Option<(Stamp, Stamp)> {
    if let (Some((at, first)), Some((other_at, second))) = (a.last(), b.last())
        && a.exists != b.exists
    {
        return clash((a, at, first), (b, other_at, second), until);
    }
    a.fields.iter().find_map(|(at, field)| {
        let (other_at, other) = b.fields.iter().find(|(_, f)| f.column == field.column)?;
        if same(field.column, &field.value(), &other.value()) {
            return None;
        }
        clash((a, *at, field.stamp), (b, *other_at, other.stamp), until)
    })
}

/// The row that several sources tell of.
fn merge_rows(rows: &[(usize, &Row)], same: Alike<'_>, until: Until<'_>) -> Row {
    let sides: Vec<Side> = rows.iter().map(|(source, row)| Side::new(*source, row)).collect();
    let set = sides.iter().filter_map(|side| side.set).max_by_key(|(m, _)| *m);
    let after = set.map(|(m, _)| m);
    let all = || sides.iter().flat_map(|side| &side.deletes).copied();
    let delete = all()
        .filter(|(m, _)| after.is_none_or(|set| *m > set))
        .max_by_key(|(m, _)| *m);
    let floor = all()
        .filter(|(m, _)| after.is_some_and(|set| *m < set))
        .map(|(m, _)| m)
        .max();
    let pairs = || (1..sides.len()).flat_map(|n| sides[..n].iter().map(move |a| (a, n)));
    let clash = rows
        .iter()
        .find_map(|(_, row)| row.contradicted())
        .or_else(|| pairs().find_map(|(a, n)| contradiction(a, &sides[n], same, until)));
    let mut fields: Vec<(Moment, Owned)> = Vec::new();
    let visible = |(m, _): &(Moment, Owned)| floor.is_none_or(|floor| *m > floor);
    for (at, field) in sides.into_iter().flat_map(|side| side.fields).filter(visible) {
        match fields.iter_mut().find(|(_, f)| f.column == field.column) {
            None => fields.push((at, field)),
            Some(known) if at > known.0 => *known = (at, field),
            Some(_) => {}
        }
    }
    fields.sort_by_key(|(_, f)| f.column);
    let fields: Vec<Owned> = fields.into_iter().map(|(_, f)| f).collect();
    let mut row = Row::new(rows.first().map_or(&[][..], |(_, row)| row.key_bytes()));
    row.assemble(set.map(|(_, s)| s), delete.map(|(_, s)| s), &fields, clash);
    row
}

//! After the last event: truncates and moves, several sources into one, and the order of the rows.

use super::fields::Encoded;
use super::row::Owned;
use super::{Fold, Move, Row, Shard, Stamp, Truncate};
use crate::domain::schema::{Catalogue, EntityIx};
use crate::domain::value::{LogValue, Same, canonical, same};
use rayon::prelude::*;
use std::sync::PoisonError;

impl Fold {
    fn each_table(&mut self, act: impl Fn(EntityIx, &mut super::Table, &mut Vec<u8>) + Sync) {
        self.shards.par_iter_mut().for_each(|shard| {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            for (entity, table) in shard.tables.iter_mut().enumerate() {
                act(entity, table, &mut shard.scratch);
            }
        });
    }

    /// Applies what concerns more than one key. Truncates first: a moved row inherits nothing from before one.
    pub fn settle(&mut self, mut truncates: Vec<Truncate>, mut moves: Vec<Move>) {
        truncates.sort_by_key(|t| t.by);
        let rules = self.rules;
        if !truncates.is_empty() {
            self.each_table(|entity, table, scratch| {
                for truncate in truncates.iter().filter(|t| t.entity == entity) {
                    for row in &mut table.rows {
                        if row.concerned_by(truncate.by) {
                            row.delete(truncate.by, false, Encoded::NONE, rules, scratch);
                        }
                    }
                }
            });
        }
        moves.sort_by_key(|m| m.by);
        for Move { entity, from, to, by } in moves {
            let taken = self.with(entity, &from, |row, _, _| row.as_moved_by(by));
            self.with(entity, &to, |row, _, _| {
                if row.floor().is_none_or(|floor| floor < by) {
                    row.inherit(by, &taken);
                } else {
                    row.inherit_moved(by, &taken);
                }
            });
        }
        self.each_table(|_, table, _| table.rows.iter_mut().for_each(Row::settle));
    }
}

/// Merges the rows of another source into these, by event time.
pub(in crate::log) fn merge(into: &mut Fold, from: Fold, catalogue: &Catalogue) {
    for shard in from.shards {
        let shard = shard.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (entity, table) in shard.tables.into_iter().enumerate() {
            for row in table.rows {
                let key = row.key().to_owned();
                into.with(entity, &key, |known, _, _| {
                    if known.set_by().is_none() && known.deleted_by().is_none() {
                        *known = row;
                    } else {
                        merge_rows(known, &row, &|column, a, b| {
                            let ty = &catalogue.tables[entity].columns[usize::from(column)].ty;
                            says_same(ty, a, b)
                        });
                    }
                });
            }
        }
    }
}

/// Whether two sources say the same of a column; what only the server could tell counts as a difference in spelling.
fn says_same(ty: &crate::domain::value::ColumnType, a: &LogValue<'_>, b: &LogValue<'_>) -> bool {
    use crate::domain::value::LogKind;
    if a.kind == LogKind::Null || b.kind == LogKind::Null {
        return a.kind == b.kind;
    }
    let text = canonical(ty, &b.text);
    same(ty, a, Some(text.as_deref().unwrap_or(&b.text))) != Same::No
}

/// The time of an event as seen from other sources: no earlier than what its own source says came before it.
type Moment = (i64, u16);

fn moment(stamp: Stamp) -> Moment {
    (stamp.at(), stamp.source())
}

struct Side {
    set: Option<(Moment, Stamp)>,
    /// The last delete, and the one under the visible fields.
    deletes: Vec<(Moment, Stamp)>,
    fields: Vec<(Moment, Owned)>,
    exists: bool,
}

fn side(row: &Row) -> Side {
    let floor = row.floor().map(|s| (moment(s), s));
    let least = floor.map_or((i64::MIN, 0), |(m, _)| m);
    let set = row.set_by().map(|s| (moment(s).max(least), s));
    let after = set.map_or(least, |(m, _)| m);
    let delete = row.deleted_by().map(|s| (moment(s).max(after), s));
    let most = delete.map_or((i64::MAX, u16::MAX), |(m, _)| m);
    let fields = row.owned_fields().into_iter();
    Side {
        set,
        deletes: floor.into_iter().chain(delete).collect(),
        fields: fields.map(|f| (moment(f.stamp).max(least).min(most), f)).collect(),
        exists: row.exists(),
    }
}

fn merge_rows(row: &mut Row, other: &Row, same: &dyn Fn(u16, &LogValue<'_>, &LogValue<'_>) -> bool) {
    let (a, b) = (side(row), side(other));
    let set = a.set.into_iter().chain(b.set).max_by_key(|(m, _)| *m);
    let after = set.map(|(m, _)| m);
    let all = || a.deletes.iter().chain(&b.deletes).copied();
    let delete = all()
        .filter(|(m, _)| after.is_none_or(|set| *m > set))
        .max_by_key(|(m, _)| *m);
    let floor = all()
        .filter(|(m, _)| after.is_some_and(|set| *m < set))
        .map(|(m, _)| m)
        .max();
    let mut clash = row.contradicted().or_else(|| other.contradicted());
    // The sources' last words stand at one time, and one says the row is there and the other that it is not.
    let last = |side: &Side| {
        side.set
            .into_iter()
            .chain(side.deletes.iter().copied())
            .max_by_key(|(m, _)| *m)
    };
    if let (Some((at, first)), Some((other_at, second))) = (last(&a), last(&b))
        && at.0 == other_at.0
        && a.exists != b.exists
    {
        clash = clash.or(Some((first, second)));
    }
    let mut fields: Vec<(Moment, Owned)> = Vec::with_capacity(a.fields.len().max(b.fields.len()));
    let visible = |(m, _): &(Moment, Owned)| floor.is_none_or(|floor| *m > floor);
    for (at, field) in a.fields.into_iter().chain(b.fields).filter(visible) {
        let Some((known_at, known)) = fields.iter_mut().find(|(_, f)| f.column == field.column) else {
            fields.push((at, field));
            continue;
        };
        if known_at.0 == at.0 && !same(field.column, &field.value(), &known.value()) {
            clash = clash.or(Some((field.stamp, known.stamp)));
        }
        if at > *known_at {
            (*known_at, *known) = (at, field);
        }
    }
    fields.sort_by_key(|(_, f)| f.column);
    let fields: Vec<Owned> = fields.into_iter().map(|(_, f)| f).collect();
    row.assemble(set.map(|(_, s)| s), delete.map(|(_, s)| s), &fields, clash);
}

/// Where a row is: shard and place within it.
pub(in crate::log) type Place = (u16, u32);

/// The finished rows.
#[derive(Debug)]
pub(in crate::log) struct Rows {
    shards: Vec<Shard>,
    hasher: foldhash::fast::RandomState,
    /// For each entity its rows by key.
    pub order: Vec<Vec<Place>>,
    /// For each entity with one integer key column, the largest key.
    pub largest: Vec<Option<i64>>,
}

impl Rows {
    pub fn at(&self, entity: EntityIx, (shard, row): Place) -> &Row {
        &self.shards[usize::from(shard)].tables[entity].rows[row as usize]
    }

    pub fn get(&self, entity: EntityIx, key: &str) -> Option<&Row> {
        use std::hash::BuildHasher;
        let hash = self.hasher.hash_one((entity, key));
        let shard = &self.shards[super::shard(hash)];
        shard.tables.get(entity)?.get(key.as_bytes(), super::lower(hash))
    }
}

/// Puts the rows in order: by key, as numbers where the key is one integer column.
pub(in crate::log) fn finish(fold: Fold, catalogue: &Catalogue) -> Rows {
    let shards: Vec<Shard> = fold
        .shards
        .into_iter()
        .map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect();
    let mut order = Vec::new();
    let mut largest = Vec::new();
    for (entity, table) in catalogue.tables.iter().enumerate() {
        let places = shards.iter().zip(0_u16..).flat_map(|(shard, s)| {
            let rows = shard.tables[entity].rows.len();
            (0..u32::try_from(rows).unwrap_or(u32::MAX)).map(move |row| (s, row))
        });
        let key = |&(s, row): &Place| shards[usize::from(s)].tables[entity].rows[row as usize].key();
        if is_integer_key(table) {
            let mut keyed: Vec<(i64, Place)> = places.map(|p| (key(&p).parse().unwrap_or(i64::MIN), p)).collect();
            keyed.par_sort_unstable();
            largest.push(keyed.last().map(|(key, _)| *key));
            order.push(keyed.into_iter().map(|(_, place)| place).collect());
        } else {
            let mut places: Vec<Place> = places.collect();
            places.par_sort_unstable_by(|a, b| key(a).cmp(key(b)));
            largest.push(None);
            order.push(places);
        }
    }
    Rows {
        shards,
        hasher: fold.hasher,
        order,
        largest,
    }
}

fn is_integer_key(table: &crate::domain::schema::Table) -> bool {
    use crate::domain::value::ColumnType;
    match table.key[..] {
        [only] => matches!(
            table.columns[usize::from(only)].ty,
            ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8
        ),
        _ => false,
    }
}

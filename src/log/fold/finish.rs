//! After the last event: truncates and moves, several sources into one, and the order of the rows.

use super::aside::Reading;
use super::fields::Encoded;
use super::replay::Told;
use super::{Fold, Move, Row, Shard, Table, Tracking, Truncate};
use crate::domain::schema::{Catalogue, EntityIx};
use hashbrown::HashMap;
use rayon::prelude::*;
use std::sync::{Arc, PoisonError};

impl Fold {
    fn each_shard(&mut self, act: impl Fn(&mut Shard) + Sync) {
        self.shards
            .par_iter_mut()
            .for_each(|shard| act(shard.get_mut().unwrap_or_else(PoisonError::into_inner)));
    }

    /// Applies what concerns more than one key. Truncates first: a moved row inherits nothing from before one.
    pub fn settle(&mut self, mut truncates: Vec<Truncate>, mut moves: Vec<Move>) {
        if let Some(keeping) = &mut self.keeping {
            (keeping.truncates, keeping.moves) = (truncates, moves);
            return;
        }
        self.doubt(&truncates, &moves);
        truncates.sort_by_key(|t| t.by);
        let rules = self.rules;
        if !truncates.is_empty() {
            self.each_shard(|shard| {
                shard.admit_truncated(&truncates);
                for truncate in &truncates {
                    let scratch = &mut shard.scratch;
                    let mut delete = |table: &mut Table| {
                        // A truncate deletes what the log knows: of a row copied when new, nothing is known yet.
                        let known = |row: &&mut Row| row.is_told() && row.concerned_by(truncate.by);
                        for row in table.rows.iter_mut().filter(known) {
                            row.delete(truncate.by, false, Encoded::NONE, rules, scratch);
                        }
                    };
                    delete(&mut shard.tables[truncate.entity]);
                    let asides = shard.asides.iter_mut();
                    asides
                        .filter(|aside| !truncate.left_out.by(aside.reading))
                        .for_each(|aside| delete(&mut aside.tables[truncate.entity]));
                }
            });
        }
        moves.sort_by_key(|m| m.by);
        self.admit_moved(&moves);
        for m in &moves {
            let taken = self.with(m.entity, &m.from, |row, _, _| row.as_moved_by(m.by));
            self.move_aside(m, &taken);
            self.with(m.entity, &m.to, |row, _, _| row.take_over(m.by, &taken));
        }
        self.each_shard(|shard| {
            let asides = shard.asides.iter_mut().flat_map(|aside| &mut aside.tables);
            let rows = shard.tables.iter_mut().chain(asides).flat_map(|table| &mut table.rows);
            rows.for_each(Row::settle);
            if let Some(track) = &mut shard.track {
                track.settle();
            }
        });
    }
}

/// Where a row is: shard and place within it.
pub(in crate::log) type Place = (u16, u32);

/// The finished rows.
#[derive(Debug)]
pub(in crate::log) struct Rows {
    pub(super) shards: Vec<Shard>,
    pub(super) hasher: foldhash::fast::RandomState,
    pub(super) tracking: Option<Arc<Tracking>>,
    /// The history of rows that were told again.
    pub told: HashMap<(EntityIx, Place), Told>,
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

impl Rows {
    /// The row in a second reading, where that differs.
    pub fn aside(&self, reading: Reading, entity: EntityIx, key: &str) -> Option<&Row> {
        use std::hash::BuildHasher;
        let hash = self.hasher.hash_one((entity, key));
        let mut asides = self.shards[super::shard(hash)].asides.iter();
        let aside = asides.find(|aside| aside.reading == reading)?;
        aside.get(entity, key.as_bytes(), super::lower(hash))
    }

    /// All rows of a second reading.
    pub fn asides(&self, reading: Reading, entity: EntityIx) -> impl Iterator<Item = &Row> {
        let asides = self.shards.iter().flat_map(|shard| &shard.asides);
        let tables = asides
            .filter(move |aside| aside.reading == reading)
            .map(move |aside| aside.tables.get(entity));
        tables.flatten().flat_map(|table| &table.rows)
    }

    /// Whether an event that a second reading leaves out says that the row was absent before it.
    pub fn is_inserted_later(&self, reading: Reading, entity: EntityIx, key: &str) -> bool {
        use std::hash::BuildHasher;
        let hash = self.hasher.hash_one((entity, key));
        let mut asides = self.shards[super::shard(hash)].asides.iter();
        asides.any(|aside| aside.reading == reading && aside.inserted[entity].get(key.as_bytes()) == Some(&true))
    }

    pub fn aside_is_whole(&self, reading: Reading, entity: EntityIx) -> bool {
        let mut asides = self.shards.iter().flat_map(|shard| &shard.asides);
        !asides.any(|aside| aside.reading == reading && aside.full.get(entity) == Some(&true))
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
        tracking: fold.tracking,
        told: HashMap::new(),
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

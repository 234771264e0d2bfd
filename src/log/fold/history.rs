//! The history of the finished rows: what a preview reads.

use super::finish::{Place, Rows};
use super::track::{Former, State, Track};
use super::{Fold, Move, Tracking, Truncate, lower, shard};
use crate::domain::schema::{ColumnIx, EntityIx};
use hashbrown::HashSet;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError};

/// The histories of one source's rows, and their keys: by shard, by entity.
pub(in crate::log) type Taken = Vec<(Track, Vec<Vec<Box<str>>>)>;

impl Fold {
    /// One reading does not give the history of rows that were moved, or in a table that was emptied.
    pub(super) fn doubt(&mut self, truncates: &[Truncate], moves: &[Move]) {
        if self.tracking.is_none() {
            return;
        }
        for m in moves {
            for key in [&m.from, &m.to] {
                let hash = self.hash(m.entity, key);
                let shard = self.shards[shard(hash)]
                    .get_mut()
                    .unwrap_or_else(PoisonError::into_inner);
                let row = shard.tables[m.entity].position(key.as_bytes(), lower(hash));
                if let (Some(track), Some(row)) = (&mut shard.track, row) {
                    track.late.insert((m.entity, u32::try_from(row).unwrap_or(u32::MAX)));
                }
            }
        }
        let mut emptied: Vec<EntityIx> = truncates.iter().map(|t| t.entity).collect();
        emptied.sort_unstable();
        emptied.dedup();
        for shard in &mut self.shards {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            for entity in &emptied {
                let rows = u32::try_from(shard.tables[*entity].rows.len()).unwrap_or(u32::MAX);
                if let Some(track) = &mut shard.track {
                    track.late.extend((0..rows).map(|row| (*entity, row)));
                }
            }
        }
    }

    /// Takes the histories out, before the rows are merged with those of other sources.
    pub fn take_history(&mut self) -> Taken {
        let shards = self
            .shards
            .iter_mut()
            .map(|shard| shard.get_mut().unwrap_or_else(PoisonError::into_inner));
        let taken = shards.filter_map(|shard| {
            let keys = shard
                .tables
                .iter()
                .map(|table| table.rows.iter().map(|row| row.key().into()).collect());
            Some((shard.track.take()?, keys.collect()))
        });
        taken.collect()
    }
}

impl Rows {
    /// Where the row of this key is.
    pub fn place(&self, entity: EntityIx, key: &str) -> Option<Place> {
        let hash = self.hasher.hash_one((entity, key));
        let at = shard(hash);
        let row = self.shards[at]
            .tables
            .get(entity)?
            .position(key.as_bytes(), lower(hash))?;
        Some((u16::try_from(at).ok()?, u32::try_from(row).ok()?))
    }

    /// The places of an entity's rows, in order.
    pub fn places(&self, entity: EntityIx) -> impl Iterator<Item = Place> {
        let shards = self.shards.iter().zip(0_u16..);
        shards.flat_map(move |(shard, at)| {
            let rows = shard.tables.get(entity).map_or(0, |table| table.rows.len());
            (0..u32::try_from(rows).unwrap_or(u32::MAX)).map(move |row| (at, row))
        })
    }

    /// Puts the histories of several sources together. What two of them tell must be told again.
    pub fn join_histories(&mut self, taken: Vec<Taken>, tracking: Arc<Tracking>) {
        let entities = self.order.len();
        self.tracking = Some(tracking);
        for shard in &mut self.shards {
            shard.track = Some(Track::new(entities));
        }
        let mut known = HashSet::new();
        for (track, keys) in taken.into_iter().flatten() {
            for (entity, keys) in keys.into_iter().enumerate() {
                for (from, key) in keys.iter().enumerate() {
                    let Some((at, row)) = self.place(entity, key) else {
                        continue;
                    };
                    let Some(into) = &mut self.shards[usize::from(at)].track else {
                        continue;
                    };
                    if track.knows(entity, from) && !known.insert((entity, at, row)) {
                        into.late.insert((entity, row));
                    } else {
                        into.adopt(entity, row as usize, (&track, from));
                    }
                }
            }
        }
        for shard in &mut self.shards {
            shard.track.iter_mut().for_each(Track::settle);
        }
    }

    /// The rows that must be told again, as hashes.
    pub fn late(&self) -> HashSet<u64> {
        let mut late = HashSet::new();
        for shard in &self.shards {
            let rows = shard.track.iter().flat_map(|track| &track.late);
            late.extend(rows.map(|(entity, row)| {
                let key = shard.tables[*entity].rows[*row as usize].key();
                self.hasher.hash_one((*entity, key))
            }));
        }
        late
    }

    /// What the row was from event to event, in the order of time.
    pub fn states(&self, entity: EntityIx, place: Place, into: &mut Vec<State>) {
        if let Some(told) = self.told.get(&(entity, place)) {
            into.clear();
            into.extend_from_slice(&told.states);
            return;
        }
        let (at, row) = place;
        let Some(track) = self.shards.get(usize::from(at)).and_then(|shard| shard.track.as_ref()) else {
            return into.clear();
        };
        track.states(entity, row as usize, into);
        if track.late.contains(&(entity, row)) {
            // Nobody could tell it again: what came late counts from when it came.
            let mut latest = 0;
            for state in into {
                latest = state.at.max(latest);
                state.at = latest;
            }
        }
    }

    /// What watched columns of the row were, in the order of time.
    pub fn former(&self, entity: EntityIx, place: Place) -> &[Former] {
        if let Some(told) = self.told.get(&(entity, place)) {
            return &told.former;
        }
        let track = self
            .shards
            .get(usize::from(place.0))
            .and_then(|shard| shard.track.as_ref());
        track.map_or(&[], |track| track.former(entity, place.1))
    }

    /// The fingerprint of a watched column of the row; 0 for null.
    pub fn print_of(&self, entity: EntityIx, place: Place, column: ColumnIx) -> u64 {
        let Some(tracking) = &self.tracking else { return 0 };
        let watched = tracking.watched(entity).iter().find(|(c, _)| *c == column);
        watched.map_or(0, |column| tracking.print_column(self.at(entity, place), column))
    }

    /// The fingerprint that a watched column with this value has.
    pub fn print_value(&self, entity: EntityIx, column: ColumnIx, text: &str) -> u64 {
        let Some(tracking) = &self.tracking else { return 0 };
        let watched = tracking.watched(entity).iter().find(|(c, _)| *c == column);
        watched.map_or(0, |(column, ty)| tracking.print_value(*column, ty, text))
    }
}

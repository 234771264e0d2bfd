//! The fold: all events of a key become one row, whatever the order in which they are read.
//!
//! Rows live in shards, chosen by a hash of entity and key. A reader gathers the events of a block and takes the lock of
//! one shard after the other for all of its events at once; with more shards than readers nobody waits, and nothing is
//! left to merge at the end.

mod aside;
mod batch;
mod fields;
mod finish;
mod history;
mod merge;
mod packed;
mod replay;
mod row;
mod stamp;
mod track;
mod tracking;

pub(super) use aside::{AsAt, LeftOut, Reading};
pub(super) use batch::{Batch, Says};
pub(super) use finish::{Rows, finish};
pub(super) use history::Taken;
pub(super) use merge::{Sources, merge};
pub(super) use replay::{Keeping, replay};
pub(super) use row::{Row, Rules};
pub(super) use stamp::{MOST_FILES, MOST_SOURCES, Stamp};
pub use track::{Former, State};
pub(super) use tracking::Tracking;

use crate::domain::schema::{ColumnIx, EntityIx};
use crate::domain::value::LogValue;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

/// More than most machines have cores, and few enough that a block has some events for each.
const SHARDS: usize = 64;

/// The rows of one source, or of all once they are merged.
#[derive(Debug)]
pub(super) struct Fold {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    rules: Rules,
    /// A history of every row is kept.
    tracking: Option<Arc<Tracking>>,
    /// Events are put aside instead of being folded.
    keeping: Option<Keeping>,
}

/// The rows of one table, by entity.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub tables: Vec<Table>,
    /// Second readings; none unless they are asked for.
    pub asides: Vec<aside::Aside>,
    /// Where a history is kept.
    track: Option<track::Track>,
    scratch: Vec<u8>,
    /// Where the rows of a batch seem to be.
    found: Vec<u32>,
}

/// The rows of one entity in one shard.
#[derive(Debug, Default)]
pub(super) struct Table {
    index: HashTable<Slot>,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    row: u32,
}

/// No row seems to be there.
const NOWHERE: u32 = u32::MAX;

/// A row was moved to another key by an event that may omit columns.
#[derive(Debug)]
pub(super) struct Move {
    pub entity: EntityIx,
    pub from: Box<str>,
    pub to: Box<str>,
    pub by: Stamp,
    pub left_out: LeftOut,
}

/// All rows of an entity are gone.
#[derive(Debug)]
pub(super) struct Truncate {
    pub entity: EntityIx,
    pub by: Stamp,
    pub left_out: LeftOut,
}

impl Table {
    fn position(&self, key: &[u8], hash: u32) -> Option<usize> {
        let same = |slot: &Slot| slot.hash == hash && self.rows[slot.row as usize].key_bytes() == key;
        self.index.find(spread(hash), same).map(|slot| slot.row as usize)
    }

    /// The row that is this one unless hashes deceive.
    fn likely(&self, hash: u32) -> u32 {
        let found = self.index.find(spread(hash), |slot| slot.hash == hash);
        found.map_or(NOWHERE, |slot| slot.row)
    }

    pub fn get(&self, key: &[u8], hash: u32) -> Option<&Row> {
        self.position(key, hash).map(|ix| &self.rows[ix])
    }

    fn get_mut(&mut self, key: &[u8], hash: u32, likely: u32) -> &mut Row {
        let ix = self.place(key, hash, likely);
        &mut self.rows[ix]
    }

    /// Where the row of this key is, put there if need be.
    fn place(&mut self, key: &[u8], hash: u32, likely: u32) -> usize {
        let right = self.rows.get(likely as usize).is_some_and(|row| row.key_bytes() == key);
        let found = if right {
            Some(likely as usize)
        } else {
            self.position(key, hash)
        };
        found.unwrap_or_else(|| self.add(key, hash))
    }

    fn add(&mut self, key: &[u8], hash: u32) -> usize {
        let ix = self.rows.len();
        if ix == self.rows.capacity() {
            // A quarter of room instead of the whole again: rows are most of the memory of a scan.
            self.rows.reserve_exact(16.max(ix / 4));
        }
        self.rows.push(Row::new(key));
        let row = u32::try_from(ix).unwrap_or(NOWHERE);
        self.index
            .insert_unique(spread(hash), Slot { hash, row }, |slot| spread(slot.hash));
        ix
    }
}

impl Shard {
    /// Each step for all events before the next one.
    fn fold(&mut self, batch: &Batch, (from, to): (u32, u32), rules: Rules, tracking: Option<&Tracking>) {
        let events = || batch.sorted(from, to);
        self.found.clear();
        self.found
            .extend(events().map(|e| self.tables[e.entity].likely(lower(e.hash))));
        let touched: usize = events()
            .zip(&self.found)
            .filter_map(|(e, at)| self.tables[e.entity].rows.get(*at as usize))
            .map(Row::touch)
            .sum();
        std::hint::black_box(touched);
        for (n, event) in events().enumerate() {
            if !self.asides.is_empty() {
                self.fold_aside(batch, event, rules);
            }
            let table = &mut self.tables[event.entity];
            let at = table.place(batch.key(event), lower(event.hash), self.found[n]);
            let (row, fields) = (&mut table.rows[at], batch.fields(event));
            match (tracking, &mut self.track) {
                (Some(tracking), Some(track)) => {
                    track.apply(tracking, at, row, (event, fields), rules, &mut self.scratch);
                }
                _ => row.take(event, fields, rules, &mut self.scratch),
            }
        }
    }
}

/// The half of a hash that finds the row in its shard.
fn lower(hash: u64) -> u32 {
    (hash & 0xffff_ffff) as u32
}

/// The half that finds the shard.
fn shard(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

/// The table of rows looks at the top and bottom bits of its hashes; 32 bits are kept.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Fold {
    /// Folds that are to be merged share a hasher, and keep the same second readings.
    pub fn new(entities: usize, rules: Rules, kept: AsAt, hasher: RandomState) -> Self {
        let shard = || Shard {
            tables: (0..entities).map(|_| Table::default()).collect(),
            asides: aside::Aside::of(kept, entities),
            ..Shard::default()
        };
        Self {
            hasher,
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            rules,
            tracking: None,
            keeping: None,
        }
    }

    /// Keeps a history of every row. The events must come in the order of the log.
    pub fn with_history(mut self, tracking: Arc<Tracking>) -> Self {
        for shard in &mut self.shards {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            shard.track = Some(track::Track::new(shard.tables.len()));
        }
        self.tracking = Some(tracking);
        self
    }

    /// Puts the events of these rows aside instead of folding any.
    pub fn keeping(mut self, keeping: Keeping) -> Self {
        self.keeping = Some(keeping);
        self
    }

    /// Whether blocks must be folded in their order.
    pub fn in_order(&self) -> bool {
        self.tracking.is_some()
    }

    /// Puts an event into the batch.
    pub fn gather(
        &self,
        batch: &mut Batch,
        (entity, key): (EntityIx, &str),
        says: Says,
        (by, left_out): (Stamp, LeftOut),
        fields: &[(ColumnIx, LogValue<'_>)],
    ) {
        let hash = self.hash(entity, key);
        if self.keeping.as_ref().is_some_and(|k| !k.wanted.contains(&hash)) {
            return;
        }
        batch.add((entity, key, hash), says, (by, left_out), fields);
        if let (Some(tracking), Some(event)) = (&self.tracking, batch.events.last_mut()) {
            event.print = tracking.print_event(entity, fields);
        }
    }

    fn hash(&self, entity: EntityIx, key: &str) -> u64 {
        self.hasher.hash_one((entity, key))
    }

    /// Shows every row.
    pub fn each_row(&mut self, mut each: impl FnMut(EntityIx, &Row)) {
        for shard in &mut self.shards {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            for (entity, table) in shard.tables.iter().enumerate() {
                table
                    .rows
                    .iter()
                    .filter(|row| row.is_told())
                    .for_each(|row| each(entity, row));
            }
        }
    }

    /// Folds the events of a batch, and empties it.
    pub fn fold(&self, batch: &mut Batch) {
        if let Some(keeping) = &self.keeping {
            return keeping.put_aside(batch);
        }
        let ends = batch.sort::<SHARDS>(shard);
        let events = |ix: usize| (if ix == 0 { 0 } else { ends[ix - 1] }, ends[ix]);
        let tracking = self.tracking.as_deref();
        let mut busy = SmallVec::<[usize; SHARDS]>::new();
        for (ix, shard) in self.shards.iter().enumerate() {
            match shard.try_lock() {
                Ok(mut shard) => shard.fold(batch, events(ix), self.rules, tracking),
                Err(_) => busy.push(ix),
            }
        }
        for ix in busy {
            let mut shard = self.shards[ix].lock().unwrap_or_else(PoisonError::into_inner);
            shard.fold(batch, events(ix), self.rules, tracking);
        }
        batch.clear();
    }

    /// Whether any event told of this key.
    pub fn names(&self, entity: EntityIx, key: &str) -> bool {
        self.read(entity, key, |_| Some(())).is_some()
    }

    /// Reads the row of this key, if any event told of it.
    pub fn read<R>(&self, entity: EntityIx, key: &str, act: impl FnOnce(&Row) -> Option<R>) -> Option<R> {
        let hash = self.hasher.hash_one((entity, key));
        let shard = self.shards[shard(hash)].lock().unwrap_or_else(PoisonError::into_inner);
        let row = shard.tables.get(entity)?.get(key.as_bytes(), lower(hash))?;
        act(row)
    }

    /// The keys of an entity, some at a time.
    pub fn keys(&self, entity: EntityIx) -> impl Iterator<Item = Vec<String>> {
        self.shards.iter().map(move |shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let rows = shard.tables.get(entity).map_or(&[][..], |table| &table.rows);
            rows.iter().map(|row| row.key().to_owned()).collect()
        })
    }

    fn with<R>(&self, entity: EntityIx, key: &str, act: impl FnOnce(&mut Row, Rules, &mut Vec<u8>) -> R) -> R {
        let hash = self.hash(entity, key);
        let mut shard = self.shards[shard(hash)].lock().unwrap_or_else(PoisonError::into_inner);
        let shard = &mut *shard;
        let row = shard.tables[entity].get_mut(key.as_bytes(), lower(hash), NOWHERE);
        act(row, self.rules, &mut shard.scratch)
    }
}

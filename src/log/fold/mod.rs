//! The fold: all events of a key become one row, whatever the order in which they are read.
//!
//! Rows live in many small tables, chosen by a hash of entity and key. A reader holds the lock of one table for the time
//! of one event; with many more tables than readers nobody waits, no event is copied on its way to its row, and nothing
//! is left to merge at the end.

mod finish;
mod row;
mod stamp;

pub(super) use finish::{Rows, finish, merge};
pub(super) use row::{Fields, Row, Rules};
pub(super) use stamp::{MOST_FILES, MOST_SOURCES, Stamp};

use crate::domain::schema::EntityIx;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

/// Tables of rows: many more than cores, so that two readers rarely want the same one.
const SHARDS: usize = 256;

/// The rows of one source, or of all once they are merged.
#[derive(Debug)]
pub(super) struct Fold {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    rules: Rules,
}

/// The rows of one table, by entity.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub tables: Vec<Table>,
    scratch: Vec<u8>,
}

/// The rows of one entity in one shard.
#[derive(Debug, Default)]
pub(super) struct Table {
    index: HashTable<u32>,
    pub rows: Vec<Row>,
}

/// A row was moved to another key by an event that may omit columns.
#[derive(Debug)]
pub(super) struct Move {
    pub entity: EntityIx,
    pub from: Box<str>,
    pub to: Box<str>,
    pub by: Stamp,
}

/// All rows of an entity are gone.
#[derive(Debug)]
pub(super) struct Truncate {
    pub entity: EntityIx,
    pub by: Stamp,
}

impl Table {
    fn position(&self, key: &[u8], hash: u32) -> Option<usize> {
        let same = |ix: &u32| {
            let row = &self.rows[*ix as usize];
            row.hash == hash && row.key_bytes() == key
        };
        self.index.find(spread(hash), same).map(|ix| *ix as usize)
    }

    pub fn get(&self, key: &str, hash: u32) -> Option<&Row> {
        self.position(key.as_bytes(), hash).map(|ix| &self.rows[ix])
    }

    fn get_mut(&mut self, key: &str, hash: u32) -> &mut Row {
        let found = self.position(key.as_bytes(), hash);
        let ix = found.unwrap_or_else(|| self.add(Row::new(key, hash)));
        &mut self.rows[ix]
    }

    fn add(&mut self, row: Row) -> usize {
        let ix = self.rows.len();
        let hash = row.hash;
        if self.rows.len() == self.rows.capacity() {
            // A quarter of room instead of the whole again: rows are most of the memory of a scan.
            self.rows.reserve_exact(16.max(ix / 4));
        }
        self.rows.push(row);
        let rows = &self.rows;
        let place = u32::try_from(ix).unwrap_or(u32::MAX);
        self.index
            .insert_unique(spread(hash), place, |ix| spread(rows[*ix as usize].hash));
        ix
    }
}

/// The table of rows looks at the top and bottom bits of its hashes; 32 bits are kept.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Fold {
    /// Folds that are to be merged share a hasher.
    pub fn new(entities: usize, rules: Rules, hasher: RandomState) -> Self {
        let shard = || Shard {
            tables: (0..entities).map(|_| Table::default()).collect(),
            scratch: Vec::new(),
        };
        Self {
            hasher,
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            rules,
        }
    }

    fn place(&self, entity: EntityIx, key: &str) -> (usize, u32) {
        let hash = self.hasher.hash_one((entity, key));
        // Both halves are well mixed; the lower one finds the row within its shard.
        ((hash >> 32) as usize % SHARDS, (hash & 0xffff_ffff) as u32)
    }

    fn with<R>(&self, entity: EntityIx, key: &str, act: impl FnOnce(&mut Row, Rules, &mut Vec<u8>) -> R) -> R {
        let (shard, hash) = self.place(entity, key);
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let shard = &mut *shard;
        act(shard.tables[entity].get_mut(key, hash), self.rules, &mut shard.scratch)
    }

    /// An event that says the row exists.
    pub fn set(&self, entity: EntityIx, key: &str, by: Stamp, fields: Fields<'_, '_>) {
        self.with(entity, key, |row, rules, scratch| row.set(by, fields, rules, scratch));
    }

    /// An event that says the row is gone, perhaps to another key.
    pub fn delete(&self, entity: EntityIx, key: &str, by: Stamp, moves: bool, fields: Fields<'_, '_>) {
        self.with(entity, key, |row, rules, scratch| {
            row.delete(by, moves, fields, rules, scratch);
        });
    }
}

//! Second readings of the rows where they differ from the first: without the bad change, as at T.
//!
//! The fold's result does not depend on the order in which events arrive. So the row of a key is the same in both readings
//! until the first event that the second leaves out: there it is copied, and from then on the key's other events go to
//! both. What no such event touches costs nothing.

use super::{Batch, Fold, Move, Row, Says, Shard, Table, Truncate, lower};
use crate::domain::schema::EntityIx;
use hashbrown::HashMap;
use std::sync::PoisonError;

/// Rows that are kept as at T, of each entity in each shard: 128 in 64 shards hold the first 4,000 of an entity, whatever
/// their hashes.
const MOST_AT_T: usize = 128;

/// Which second readings are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::log) struct AsAt {
    pub without_bad: bool,
    pub at_t: bool,
}

/// Which second readings leave an event out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::log) struct LeftOut {
    pub by_bad: bool,
    pub by_t: bool,
    /// It says that the row was absent before.
    pub inserts: bool,
}

/// One of the second readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum Reading {
    WithoutBad,
    AtT,
}

impl LeftOut {
    pub fn by(self, reading: Reading) -> bool {
        match reading {
            Reading::WithoutBad => self.by_bad,
            Reading::AtT => self.by_t,
        }
    }
}

/// The rows of a shard in one second reading, by entity.
#[derive(Debug)]
pub(in crate::log) struct Aside {
    pub reading: Reading,
    pub tables: Vec<Table>,
    /// For each entity whether rows were left out for want of room.
    pub full: Vec<bool>,
    /// For each entity the keys that an event which was left out says were absent before it; `false` where another such
    /// event deleted the row, which may have been there before both. Kept as at T alone.
    pub inserted: Vec<HashMap<Box<[u8]>, bool>>,
}

impl Aside {
    pub fn empty(reading: Reading, entities: usize) -> Self {
        Self {
            reading,
            tables: (0..entities).map(|_| Table::default()).collect(),
            full: vec![false; entities],
            inserted: vec![HashMap::new(); entities],
        }
    }

    /// Those that are kept.
    pub fn of(kept: AsAt, entities: usize) -> Vec<Self> {
        let bad = kept.without_bad.then(|| Self::empty(Reading::WithoutBad, entities));
        let at_t = kept.at_t.then(|| Self::empty(Reading::AtT, entities));
        bad.into_iter().chain(at_t).collect()
    }

    /// Copies the row as it stands in the first reading, where that was not done before.
    pub fn admit(&mut self, entity: EntityIx, main: &Table, key: &[u8], hash: u32) {
        let table = &mut self.tables[entity];
        if table.position(key, hash).is_some() {
            return;
        }
        if self.reading == Reading::AtT && table.rows.len() >= MOST_AT_T {
            self.full[entity] = true;
            return;
        }
        let at = table.add(key, hash);
        if let Some(row) = main.get(key, hash) {
            table.rows[at] = row.clone();
        }
    }

    pub fn get(&self, entity: EntityIx, key: &[u8], hash: u32) -> Option<&Row> {
        self.tables.get(entity)?.get(key, hash)
    }
}

impl Shard {
    /// Gives an event to the second readings, before the first one has it.
    pub(super) fn fold_aside(&mut self, batch: &Batch, event: &super::batch::Event, rules: super::Rules) {
        let (key, hash) = (batch.key(event), lower(event.hash));
        for aside in &mut self.asides {
            if event.left_out.by(aside.reading) {
                aside.admit(event.entity, &self.tables[event.entity], key, hash);
                let goes = matches!(event.says, Says::Gone | Says::Moved);
                if (event.left_out.inserts || goes)
                    && aside.reading == Reading::AtT
                    && aside.get(event.entity, key, hash).is_some()
                {
                    *aside.inserted[event.entity].entry(key.into()).or_insert(true) &= !goes;
                }
                continue;
            }
            let table = &mut aside.tables[event.entity];
            if !table.rows.is_empty()
                && let Some(at) = table.position(key, hash)
            {
                table.rows[at].take(event, batch.fields(event), rules, &mut self.scratch);
            }
        }
    }

    /// Every row that such a truncate left out concerns.
    pub(super) fn admit_truncated(&mut self, truncates: &[Truncate]) {
        for aside in &mut self.asides {
            let reading = aside.reading;
            for truncate in truncates.iter().filter(|t| t.left_out.by(reading)) {
                let main = &self.tables[truncate.entity];
                for slot in &main.index {
                    let row = &main.rows[slot.row as usize];
                    if row.concerned_by(truncate.by) {
                        aside.admit(truncate.entity, main, row.key_bytes(), slot.hash);
                    }
                }
            }
        }
    }
}

impl Fold {
    /// A row in one of the second readings.
    fn with_aside<R>(
        &self,
        reading: Reading,
        entity: EntityIx,
        key: &str,
        act: impl FnOnce(&mut Aside, &Table, u32) -> R,
    ) -> Option<R> {
        let hash = self.hash(entity, key);
        let mut shard = self.shards[super::shard(hash)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let shard = &mut *shard;
        let aside = shard.asides.iter_mut().find(|a| a.reading == reading)?;
        Some(act(aside, &shard.tables[entity], lower(hash)))
    }

    fn aside_row<R>(
        &self,
        reading: Reading,
        (entity, key): (EntityIx, &str),
        act: impl FnOnce(&mut Row) -> R,
    ) -> Option<R> {
        self.with_aside(reading, entity, key, |aside, _, hash| {
            let table = &mut aside.tables[entity];
            let at = table.position(key.as_bytes(), hash)?;
            Some(act(&mut table.rows[at]))
        })?
    }

    /// What a moved row inherits from one that the bad change touched rests on it as well.
    pub(super) fn admit_moved(&self, moves: &[Move]) {
        let reading = Reading::WithoutBad;
        for m in moves.iter().filter(|m| !m.left_out.by(reading)) {
            if self.aside_row(reading, (m.entity, &m.from), |_| ()).is_some() {
                self.with_aside(reading, m.entity, &m.to, |aside, main, hash| {
                    aside.admit(m.entity, main, m.to.as_bytes(), hash);
                });
            }
        }
    }

    /// A move in the second readings; `taken` is what it took along in the first.
    pub(super) fn move_aside(&self, m: &Move, taken: &[super::row::Owned]) {
        for reading in [Reading::WithoutBad, Reading::AtT] {
            if m.left_out.by(reading) {
                continue;
            }
            let own = self.aside_row(reading, (m.entity, &m.from), |row| row.as_moved_by(m.by));
            self.aside_row(reading, (m.entity, &m.to), |row| {
                row.take_over(m.by, own.as_deref().unwrap_or(taken));
            });
        }
    }
}

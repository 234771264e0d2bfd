//! Events on their way from the reader to their rows.
//!
//! A fold is slowed down by waiting for memory: each event goes to another row, and a row is found in three steps that
//! wait for one another. So the events of a block are gathered, sorted by shard, and each step is taken for all of them
//! before the next: then the processor waits for many rows at once, and locks a shard once for all of them.

use super::aside::LeftOut;
use super::fields::{Encoded, encode};
use super::stamp::Stamp;
use crate::domain::schema::{ColumnIx, EntityIx};
use crate::domain::value::LogValue;

/// Room that a batch keeps.
const ROOM: usize = 4 << 20;

/// What an event says of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum Says {
    /// And was absent before.
    New,
    Exists,
    Gone,
    /// Gone to another key.
    Moved,
}

#[derive(Debug)]
pub(super) struct Event {
    pub by: Stamp,
    pub hash: u64,
    pub entity: EntityIx,
    pub says: Says,
    pub left_out: LeftOut,
    /// Fingerprint of what it says, where a history is kept.
    pub print: u64,
    key: (usize, usize),
    fields: (usize, usize),
}

/// The events of one block.
#[derive(Debug, Default)]
pub(in crate::log) struct Batch {
    bytes: Vec<u8>,
    pub(super) events: Vec<Event>,
    /// Places in `events`, by shard.
    order: Vec<u32>,
}

impl Batch {
    pub(super) fn add(
        &mut self,
        (entity, key, hash): (EntityIx, &str, u64),
        says: Says,
        (by, left_out): (Stamp, LeftOut),
        fields: &[(ColumnIx, LogValue<'_>)],
    ) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(key.as_bytes());
        let middle = self.bytes.len();
        encode(&mut self.bytes, fields);
        self.events.push(Event {
            by,
            hash,
            entity,
            says,
            left_out,
            print: 0,
            key: (from, middle),
            fields: (middle, self.bytes.len()),
        });
    }

    /// Empties it; room that one long line made is given back.
    pub fn clear(&mut self) {
        self.events.clear();
        self.bytes.clear();
        if self.bytes.capacity() > ROOM {
            self.bytes = Vec::new();
        }
    }

    /// The sorted events from one place to another.
    pub(super) fn sorted(&self, from: u32, to: u32) -> impl Iterator<Item = &Event> {
        let places = &self.order[from as usize..to as usize];
        places.iter().map(|place| &self.events[*place as usize])
    }

    pub(super) fn key(&self, event: &Event) -> &[u8] {
        &self.bytes[event.key.0..event.key.1]
    }

    pub(super) fn fields(&self, event: &Event) -> Encoded<'_> {
        Encoded(&self.bytes[event.fields.0..event.fields.1])
    }

    /// Sorts the events by shard; gives where the events of each shard end.
    pub(super) fn sort<const SHARDS: usize>(&mut self, shard: impl Fn(u64) -> usize) -> [u32; SHARDS] {
        let mut ends = [0_u32; SHARDS];
        for event in &self.events {
            ends[shard(event.hash)] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += std::mem::replace(end, sum);
        }
        self.order.clear();
        self.order.resize(self.events.len(), 0);
        for (event, place) in self.events.iter().zip(0..) {
            let next = &mut ends[shard(event.hash)];
            self.order[*next as usize] = place;
            *next += 1;
        }
        ends
    }
}

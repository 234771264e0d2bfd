//! Source `kafka`: a topic, every partition from where it begins to its high watermark when the reading begins.
//!
//! Partitions are assigned by hand under a group id of this process: no group is joined, no offset is stored or committed,
//! and the broker's own consumers notice nothing. An offset that is gone is an error, never a jump (domain: `earliest` and
//! `latest` pass silently over deleted records). Only committed transactions are read.

use super::feed::{FULL, Feed, Missing, Opened, Tap};
use super::{Block, Part};
use crate::config::LogConfig;
use crate::domain::progress::Progress;
use crate::domain::schema::nearest;
use crate::domain::{Error, Result};
use crate::kafka::{LOOK, Reader, passing};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Brokers that fall silent in the middle are given longer: a leader may be elected meanwhile.
const SILENCE: Duration = Duration::from_secs(30);
/// What a message counts for where bytes are counted: nobody says how many bytes a topic holds.
const MESSAGE: u64 = 512;

/// A partition on its way to where it ended.
struct Partition {
    id: i32,
    /// Its first offset.
    low: i64,
    /// The offset behind its last.
    high: i64,
}

struct Topic {
    reader: Reader,
    name: String,
}

/// Opens the topic of this log.
pub fn open<'p>(log: &LogConfig, progress: &'p Progress) -> Result<Feed<'p>> {
    let name = log.topic.clone().unwrap_or_default();
    let place = format!("[[log]] {}: topic {name} at {}", log.name, log.kafka.brokers.join(", "));
    let cluster = log.kafka.clone();
    Feed::start(progress, move |tap| {
        let topic = Topic {
            reader: Reader::open(&cluster, place)?,
            name,
        };
        let partitions = topic.partitions(tap)?;
        topic.read(tap, &partitions)
    })
}

impl Topic {
    fn failed(&self, what: impl Into<String>) -> Error {
        self.reader.failed(what)
    }

    fn ask<T>(&self, tap: &Tap, ask: impl Fn(Duration) -> Result<T, KafkaError>) -> Result<T> {
        self.reader.ask(|| tap.stopped(), ask)
    }

    /// The partitions with their first and last offsets; says what the source consists of.
    fn partitions(&self, tap: &Tap) -> Result<Vec<Partition>> {
        let metadata = self.ask(tap, |limit| {
            self.reader.consumer.fetch_metadata(Some(&self.name), limit)
        })?;
        self.there(tap, &metadata)?;
        let mut ids: Vec<i32> = metadata
            .topics()
            .iter()
            .flat_map(rdkafka::metadata::MetadataTopic::partitions)
            .map(rdkafka::metadata::MetadataPartition::id)
            .collect();
        ids.sort_unstable();
        let mut partitions = Vec::new();
        for id in ids {
            let (low, high) = self.ask(tap, |limit| {
                self.reader.consumer.fetch_watermarks(&self.name, id, limit)
            })?;
            partitions.push(Partition { id, low, high });
        }
        Ok(partitions)
    }

    fn there(&self, tap: &Tap, metadata: &Metadata) -> Result<()> {
        let error = metadata
            .topics()
            .iter()
            .find_map(rdkafka::metadata::MetadataTopic::error);
        let Some(error) = error.map(RDKafkaErrorCode::from) else {
            return Ok(());
        };
        if error != RDKafkaErrorCode::UnknownTopicOrPartition {
            return Err(self
                .failed(format!("the broker refuses the topic: {error}"))
                .cure("ask for the right to Describe and Read it"));
        }
        let all = self.ask(tap, |limit| self.reader.consumer.fetch_metadata(None, limit))?;
        let names = all.topics().iter().map(rdkafka::metadata::MetadataTopic::name);
        let near = nearest(&self.name, names.filter(|n| !n.starts_with("__")));
        let cure = if near.is_empty() {
            "the broker shows no topic at all to this client: check brokers".to_owned()
        } else {
            format!("nearest topics: {near}")
        };
        Err(self.failed(format!("there is no topic {:?}", self.name)).cure(cure))
    }

    fn read(&self, tap: &Tap, partitions: &[Partition]) -> Result<()> {
        let mut left = TopicPartitionList::new();
        let mut open: HashMap<i32, usize> = HashMap::new();
        for (ix, p) in partitions.iter().enumerate().filter(|(_, p)| p.high > p.low) {
            left.add_partition_offset(&self.name, p.id, Offset::Offset(p.low))
                .map_err(|e| self.failed(format!("{e}")))?;
            open.insert(p.id, ix);
        }
        self.reader
            .consumer
            .assign(&left)
            .map_err(|e| self.failed(format!("the partitions cannot be read: {e}")))?;
        let count = |p: &Partition| u64::try_from(p.high - p.low).unwrap_or(0);
        let part = |p: &Partition| Part::messages(p.id.to_string(), u64::try_from(p.low).unwrap_or(0));
        tap.opened(Opened {
            parts: partitions.iter().map(part).collect(),
            size: partitions.iter().map(count).sum::<u64>() * MESSAGE,
        });
        let mut reading = Reading {
            topic: self,
            tap,
            partitions,
            open,
            block: Block::default(),
            beginnings: vec![None; partitions.len()],
        };
        reading.run()?;
        for (part, (p, until)) in partitions.iter().zip(reading.beginnings).enumerate() {
            if p.low == 0 {
                continue;
            }
            tap.missing(Missing {
                part,
                why: format!(
                    "partition {} of topic {} begins at offset {}: the messages before it are deleted",
                    p.id, self.name, p.low
                ),
                until,
            });
        }
        Ok(())
    }
}

/// A topic being read.
struct Reading<'r> {
    topic: &'r Topic,
    tap: &'r Tap,
    partitions: &'r [Partition],
    /// Partitions that are not yet read to their end, by id.
    open: HashMap<i32, usize>,
    block: Block,
    /// When the first message of each partition was written, microseconds since 1970.
    beginnings: Vec<Option<i64>>,
}

impl Reading<'_> {
    fn run(&mut self) -> Result<()> {
        let mut heard = Instant::now();
        while !self.open.is_empty() && !self.tap.stopped() {
            match self.topic.reader.consumer.poll(LOOK) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    if !self.message(&message)? {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(id))) => {
                    heard = Instant::now();
                    self.end(id)?;
                }
                Some(Err(e)) if passing(&e) => {}
                Some(Err(e)) => return Err(self.refused(&e)),
                None if !self.hand_on() => return Ok(()),
                None => {}
            }
            if heard.elapsed() > SILENCE {
                return Err(self.topic.reader.no_answer(SILENCE));
            }
        }
        self.hand_on();
        Ok(())
    }

    fn refused(&self, e: &KafkaError) -> Error {
        use RDKafkaErrorCode as Code;
        match e.rdkafka_error_code() {
            Some(Code::OffsetOutOfRange | Code::AutoOffsetReset) => self
                .topic
                .failed(
                    "the broker deleted messages while they were about to be read: its retention is passing over them",
                )
                .cure("run it again at once; better, have the topic's retention raised first"),
            _ => self.topic.failed(format!("the broker refuses: {e}")),
        }
    }

    /// Takes a message; `false` where nobody wants it any more.
    fn message(&mut self, message: &BorrowedMessage<'_>) -> Result<bool> {
        let Some(&ix) = self.open.get(&message.partition()) else {
            return Ok(true);
        };
        let partition = &self.partitions[ix];
        let offset = message.offset();
        if offset == partition.low {
            let written = message.timestamp().to_millis().filter(|ms| *ms >= 0);
            self.beginnings[ix] = written.and_then(|ms| ms.checked_mul(1_000));
        }
        if offset < partition.high {
            if (self.block.part != ix || self.block.bytes().len() >= FULL) && !self.hand_on() {
                return Ok(false);
            }
            self.block.part = ix;
            let number = u64::try_from(offset - partition.low).unwrap_or(0);
            self.block.push(number, message.payload().unwrap_or_default());
        }
        if offset + 1 >= partition.high {
            self.end(message.partition())?;
        }
        Ok(true)
    }

    /// A partition is read to where it ended: no more of it is fetched.
    fn end(&mut self, id: i32) -> Result<()> {
        if self.open.remove(&id).is_some() {
            let mut ended = TopicPartitionList::new();
            ended.add_partition(&self.topic.name, id);
            let paused = self.topic.reader.consumer.pause(&ended);
            paused.map_err(|e| self.topic.failed(format!("partition {id} cannot be left: {e}")))?;
        }
        Ok(())
    }

    fn hand_on(&mut self) -> bool {
        let block = std::mem::take(&mut self.block);
        let messages = block.messages.len() as u64;
        self.tap.hand_on(block, messages * MESSAGE)
    }
}

#[cfg(test)]
mod tests;

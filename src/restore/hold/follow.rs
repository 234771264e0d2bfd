//! Reads the hold from its brokers, and goes on doing so: offsets, the topic's settings, and the stamp of every message
//! that waits. Nothing is joined, nothing is committed.

use super::ask::{self, is_out_of_range, list};
use super::clock::{self, TopicSettings};
use super::watched::{Watched, see};
use crate::config::{FormatKind, HoldConfig};
use crate::domain::Result;
use crate::domain::hold::{HeldPartition, HoldBaseline, HoldReading, Keeping, Rescued, Seen};
use crate::kafka::topic::Topics;
use crate::kafka::{LOOK, Reader, passing};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Settings and partitions are asked for again so often: they may be changed while one looks, and that is the cure.
const SETTINGS: Duration = Duration::from_secs(30);
/// Little memory: the deadline moves no faster than messages are looked at.
const GENTLE: &[(&str, &str)] = &[("queued.max.messages.kbytes", "4096")];

/// What the brokers do not tell.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Microseconds since 1970.
    pub now: i64,
    /// When the order system stopped taking messages, and who says so.
    pub shutdown: Option<(i64, String)>,
    /// The offsets then.
    pub baseline: Option<HoldBaseline>,
    /// When services are expected back, and who says so.
    pub services_back: Option<(i64, String)>,
    /// Orders that Salesforce itself keeps queued, and when that was read.
    pub queued: Option<(u64, i64)>,
    /// What was copied to safety.
    pub rescued: Rescued,
    /// The reading before this one.
    pub before: Option<HoldReading>,
}

/// The hold's topic, being followed.
pub struct Follower {
    topic: String,
    format: FormatKind,
    window: i64,
    reader: Reader,
    group: Option<Reader>,
    settings: Topics,
    partitions: BTreeMap<i32, Watched>,
    keeping: Keeping,
    asked: Option<Instant>,
    /// No broker is asked for messages until the offsets say that there are more.
    resting: bool,
    notes: Vec<String>,
    /// Orders seen waiting, by label.
    seen: BTreeMap<String, Seen>,
}

impl Follower {
    /// Sets the clients up; asks nobody yet. `topic` is another than the hold's, where one is named.
    pub fn open(hold: &HoldConfig, topic: Option<&str>) -> Result<Self> {
        let topic = topic.map_or_else(|| hold.topic.clone().unwrap_or_default(), str::to_owned);
        let place = ask::place(&hold.kafka, &topic);
        let group = hold.group.as_ref().map(|group| {
            // The id of somebody else's group: it is only asked what it committed, and nothing is ever assigned.
            Reader::under(&hold.kafka, place.clone(), group, &[])
        });
        Ok(Self {
            format: hold.format,
            window: i64::try_from(hold.window.as_micros()).unwrap_or(i64::MAX),
            reader: Reader::open_with(&hold.kafka, place.clone(), GENTLE)?,
            group: group.transpose()?,
            settings: Topics::open(&hold.kafka, &place)?,
            topic,
            partitions: BTreeMap::new(),
            keeping: Keeping::default(),
            asked: None,
            resting: false,
            notes: Vec::new(),
            seen: BTreeMap::new(),
        })
    }

    /// Asks for the offsets, and now and then for partitions and settings. What was known stays known where nobody
    /// answers.
    pub fn ask(&mut self, stopped: &dyn Fn() -> bool) -> Result<()> {
        if self.asked.is_none_or(|at| at.elapsed() > SETTINGS) {
            for id in ask::partitions(&self.reader, &self.topic, stopped)? {
                self.partitions.entry(id).or_default();
            }
            self.notes.clear();
            let settings = self.settings.settings(&self.topic).and_then(TopicSettings::of);
            self.keeping = clock::keeping(self.window, settings.as_ref().map_err(String::as_str));
            self.asked = Some(Instant::now());
        }
        let ids: Vec<i32> = self.partitions.keys().copied().collect();
        for (id, offsets) in ask::offsets(&self.reader, &self.topic, &ids, stopped)? {
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.offsets = Some(offsets);
                partition.at_end &= partition.next.is_some_and(|next| next >= offsets.latest);
            }
        }
        self.ask_group(&ids, stopped);
        self.assign()?;
        if self.resting && !self.is_read() {
            self.rest(false)?;
        }
        Ok(())
    }

    /// Stops asking for messages, or goes on. One look a second costs little, and a broker that does not wait with its
    /// answer until there is something to tell would be asked without end.
    fn rest(&mut self, rest: bool) -> Result<()> {
        let consumer = &self.reader.consumer;
        let change = |all| {
            if rest {
                consumer.pause(&all)
            } else {
                consumer.resume(&all)
            }
        };
        let done = consumer.assignment().and_then(change);
        done.map_err(|e| self.reader.failed(format!("the partitions cannot be read: {e}")))?;
        self.resting = rest;
        Ok(())
    }

    fn ask_group(&mut self, ids: &[i32], stopped: &dyn Fn() -> bool) {
        let Some(group) = &self.group else {
            return;
        };
        let asked = list(&self.topic, ids);
        let told = group.ask(stopped, |limit| group.consumer.committed_offsets(asked.clone(), limit));
        match told {
            Ok(told) => {
                for element in told.elements() {
                    if let (Some(partition), Offset::Offset(at)) =
                        (self.partitions.get_mut(&element.partition()), element.offset())
                    {
                        partition.committed = Some(at);
                    }
                }
            }
            // The brokers answered a moment ago: it is the group that does not.
            Err(e) => {
                let note = format!("what the group has taken is not known: {}", e.what);
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
            }
        }
    }

    /// Begins to read partitions where the first message waits, and forgets what no longer does.
    fn assign(&mut self) -> Result<()> {
        let mut fresh = TopicPartitionList::new();
        for (id, partition) in &mut self.partitions {
            let Some(offsets) = partition.offsets else {
                continue;
            };
            let first = offsets
                .earliest
                .max(partition.committed.unwrap_or(0))
                .min(offsets.latest);
            while partition.waiting.front().is_some_and(|m| m.offset < first) {
                partition.waiting.pop_front();
            }
            partition.names = partition.names.split_off(&first);
            if partition.next.is_none() {
                let added = fresh.add_partition_offset(&self.topic, *id, Offset::Offset(first));
                added.map_err(|e| self.reader.failed(e.to_string()))?;
                partition.next = Some(first);
                partition.at_end = first >= offsets.latest;
            }
        }
        if fresh.count() > 0 {
            let assigned = self.reader.consumer.incremental_assign(&fresh);
            assigned.map_err(|e| self.reader.failed(format!("the partitions cannot be read: {e}")))?;
            if self.resting {
                // The new ones with the rest.
                self.rest(true)?;
            }
        }
        Ok(())
    }

    /// Takes messages in as they come, for so long, or until all that was there when last asked is read.
    pub fn follow(&mut self, limit: Duration, until_read: bool) -> Result<()> {
        self.follow_each(limit, until_read, &mut |_, _, _| {})
    }

    /// As [`Follower::follow`]; hands each message on: partition, offset, value.
    pub fn follow_each(
        &mut self,
        limit: Duration,
        until_read: bool,
        each: &mut dyn FnMut(i32, i64, &[u8]),
    ) -> Result<()> {
        let until = Instant::now() + limit;
        loop {
            if self.is_read() {
                if until_read {
                    return Ok(());
                }
                if !self.resting {
                    self.rest(true)?;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            match self.reader.consumer.poll(left.min(LOOK)) {
                Some(Ok(message)) => {
                    let Some(partition) = self.partitions.get_mut(&message.partition()) else {
                        continue;
                    };
                    if let Some(named) = partition.take(&message, self.format) {
                        see(&mut self.seen, &message, named);
                        each(
                            message.partition(),
                            message.offset(),
                            message.payload().unwrap_or_default(),
                        );
                    }
                }
                Some(Err(KafkaError::PartitionEOF(id))) => {
                    if let Some(partition) = self.partitions.get_mut(&id) {
                        partition.at_end = true;
                    }
                }
                Some(Err(e)) if passing(&e) => {}
                Some(Err(e)) if is_out_of_range(&e) => self.again()?,
                Some(Err(e)) => return Err(self.reader.failed(format!("the broker refuses: {e}"))),
                None => {}
            }
        }
    }

    /// Whether all that was there when last asked is read.
    pub fn is_read(&self) -> bool {
        self.partitions.values().all(|p| p.at_end || p.is_read())
    }

    /// The broker deleted what was about to be read: reads on from what is there now. The loss shows in the offsets.
    fn again(&mut self) -> Result<()> {
        self.reader
            .consumer
            .unassign()
            .map_err(|e| self.reader.failed(e.to_string()))?;
        let ids: Vec<i32> = self.partitions.keys().copied().collect();
        for (id, offsets) in ask::offsets(&self.reader, &self.topic, &ids, &|| false)? {
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.offsets = Some(offsets);
            }
        }
        let mut all = TopicPartitionList::new();
        for (id, partition) in &mut self.partitions {
            let (Some(offsets), Some(next)) = (partition.offsets, partition.next) else {
                continue;
            };
            let next = next.max(offsets.earliest);
            partition.next = Some(next);
            let added = all.add_partition_offset(&self.topic, *id, Offset::Offset(next));
            added.map_err(|e| self.reader.failed(e.to_string()))?;
        }
        let assigned = self.reader.consumer.assign(&all);
        assigned.map_err(|e| self.reader.failed(format!("the partitions cannot be read: {e}")))?;
        self.resting = false;
        Ok(())
    }

    /// Adds what earlier looks saw: orders that wait, and those that are gone. What the order system has taken since is
    /// left out.
    pub fn remember(&mut self, before: Vec<Seen>) {
        for seen in before {
            let known = self.seen.get(&seen.label);
            if known.is_none_or(|known| seen.is_newer(known)) {
                self.seen.insert(seen.label.clone(), seen);
            }
        }
        let partitions = &self.partitions;
        let taken = |s: &Seen| {
            let committed = partitions.get(&s.partition).and_then(|p| p.committed);
            committed.is_some_and(|at| s.offset < at)
        };
        self.seen.retain(|_, s| !taken(s));
    }

    /// The orders seen, to be remembered.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.values().cloned().collect()
    }

    /// Of the orders seen, those that the broker deleted before they were taken, and that were not rescued.
    pub fn expired(&self, rescued: &Rescued) -> Vec<Seen> {
        let gone = |s: &&Seen| {
            let earliest = self
                .partitions
                .get(&s.partition)
                .and_then(|p| Some(p.offsets?.earliest));
            !s.withdrawn
                && earliest.is_some_and(|at| s.offset < at)
                && !rescued.get(&s.partition).is_some_and(|ranges| ranges.has(s.offset))
        };
        self.seen.values().filter(gone).cloned().collect()
    }

    /// The offsets as last told, for the record of the shutdown.
    pub fn baseline(&self, at: i64) -> HoldBaseline {
        let partitions = self.partitions.iter().filter_map(|(id, p)| {
            let offsets = p.offsets?;
            let baseline = crate::domain::hold::BaselineOffsets {
                earliest: offsets.earliest,
                latest: offsets.latest,
                committed: p.committed,
            };
            Some((*id, baseline))
        });
        HoldBaseline {
            topic: self.topic.clone(),
            at,
            partitions: partitions.collect(),
        }
    }

    /// When each message that waits may be lost, as `(partition, offset)` to microseconds since 1970.
    pub fn deadlines(&self, beside: &Beside) -> BTreeMap<(i32, i64), i64> {
        let shutdown = beside.shutdown.as_ref().map(|(at, _)| *at);
        let of = |(id, p): (&i32, &Watched)| {
            let id = *id;
            let messages = p.waiting.iter().map(move |m| (id, m.offset, m.stamp));
            messages.collect::<Vec<_>>()
        };
        let all = self.partitions.iter().flat_map(of);
        all.filter_map(|(id, offset, stamp)| Some(((id, offset), clock::dies_at(&self.keeping, shutdown, stamp)?)))
            .collect()
    }

    /// The hold as it is known now.
    pub fn reading(&self, beside: &Beside) -> HoldReading {
        let baseline = beside.baseline.as_ref().filter(|b| b.topic == self.topic);
        let before = beside.before.as_ref().filter(|r| r.topic == self.topic);
        let partitions = self.partitions.iter().filter_map(|(id, partition)| {
            let offsets = partition.offsets?;
            let rescued = beside.rescued.get(id);
            let known = before.and_then(|r| r.partitions.iter().find(|p| p.id == *id));
            let fresh = clock::gone(
                offsets.earliest,
                partition.committed,
                baseline.and_then(|b| b.partitions.get(id)),
            );
            // What was lost once stays lost, though the order system may have jumped over it since.
            let mut gone = known.map(|p| p.gone.clone()).unwrap_or_default();
            if let Some((from, to)) = fresh {
                gone.add(from, to);
            }
            let saved = |(from, to): &(i64, i64)| rescued.map_or(0, |r| r.count(*from, *to));
            let lost = gone.count(i64::MIN, i64::MAX) - gone.0.iter().map(saved).sum::<u64>();
            Some(HeldPartition {
                id: *id,
                lost: (fresh.is_some() || known.is_some_and(|p| p.lost.is_some())).then_some(lost),
                gone,
                ..partition.line(offsets, &self.keeping, beside, rescued)
            })
        });
        HoldReading {
            topic: self.topic.clone(),
            read_at: beside.now,
            silent_since: None,
            why: None,
            keeping: self.keeping.clone(),
            shutdown: beside.shutdown.clone(),
            services_back: beside.services_back.clone(),
            partitions: partitions.collect(),
            recorded: baseline.is_some(),
            notes: self.notes.clone(),
            queued: beside.queued,
        }
    }
}

//! Reads the hold from its brokers, and goes on doing so: offsets, the topic's settings, and the stamp of every message
//! that waits. Nothing is joined, nothing is committed.

use super::clock::{self, AHEAD, TopicSettings};
use crate::config::{FormatKind, HoldConfig, KafkaConfig};
use crate::domain::hold::{HeldPartition, HoldBaseline, HoldReading, Keeping, Oldest, Ranges, Rescued, Seen};
use crate::domain::{Error, Result};
use crate::kafka::{self, Complaints, LOOK, Reader, passing};
use crate::log::hold::label_of;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Settings and partitions are asked for again so often: they may be changed while one looks, and that is the cure.
const SETTINGS: Duration = Duration::from_secs(30);
/// Brokers are given so long to tell the topic's settings.
const TOLD: Duration = Duration::from_secs(5);
/// Names kept of messages that wait; behind them, a message is called by its offset.
const NAMED: usize = 100_000;
/// Few, large answers: following costs little, and the deadline moves no faster.
const GENTLE: &[(&str, &str)] = &[
    ("fetch.min.bytes", "65536"),
    ("fetch.wait.max.ms", "500"),
    ("queued.max.messages.kbytes", "4096"),
];

/// The offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// The first that the broker still has.
    pub earliest: i64,
    /// Behind the last.
    pub latest: i64,
}

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

/// A message that waits.
struct Waiting {
    offset: i64,
    stamp: Option<i64>,
}

/// A partition being followed.
#[derive(Default)]
struct Watched {
    offsets: Option<Offsets>,
    committed: Option<i64>,
    /// Where it is assigned; `None` before it is.
    next: Option<i64>,
    /// It was read to its end since.
    at_end: bool,
    waiting: VecDeque<Waiting>,
    names: BTreeMap<i64, Box<str>>,
}

/// What a message says of its order.
enum Named {
    /// Nothing at all.
    Nobody,
    /// It waits.
    Order(String),
    /// It was taken back.
    Withdrawn(String),
    /// Nothing that restitch reads: the message's key.
    Key(String),
}

/// The hold's topic, being followed.
pub struct Follower {
    topic: String,
    format: FormatKind,
    window: i64,
    reader: Reader,
    group: Option<Reader>,
    settings: Settings,
    partitions: BTreeMap<i32, Watched>,
    keeping: Keeping,
    asked: Option<Instant>,
    notes: Vec<String>,
    /// Orders seen waiting, by label.
    seen: BTreeMap<String, Seen>,
}

/// A client that asks for a topic's settings.
struct Settings {
    admin: AdminClient<Complaints>,
    runtime: Runtime,
}

/// What a topic is called in errors.
pub(super) fn place(cluster: &KafkaConfig, topic: &str) -> String {
    format!("[hold] topic {topic} at {}", cluster.brokers.join(", "))
}

impl Follower {
    /// Sets the clients up; asks nobody yet. `topic` is another than the hold's, where one is named.
    pub fn open(hold: &HoldConfig, topic: Option<&str>) -> Result<Self> {
        let topic = topic.map_or_else(|| hold.topic.clone().unwrap_or_default(), str::to_owned);
        let place = place(&hold.kafka, &topic);
        let group = hold.group.as_ref().map(|group| {
            // The id of somebody else's group: it is only asked what it committed, and nothing is ever assigned.
            Reader::under(&hold.kafka, place.clone(), group, &[])
        });
        Ok(Self {
            format: hold.format,
            window: i64::try_from(hold.window.as_micros()).unwrap_or(i64::MAX),
            reader: Reader::open_with(&hold.kafka, place.clone(), GENTLE)?,
            group: group.transpose()?,
            settings: Settings::open(&hold.kafka, &place)?,
            topic,
            partitions: BTreeMap::new(),
            keeping: Keeping::default(),
            asked: None,
            notes: Vec::new(),
            seen: BTreeMap::new(),
        })
    }

    /// Asks for the offsets, and now and then for partitions and settings. What was known stays known where nobody
    /// answers.
    pub fn ask(&mut self, stopped: &dyn Fn() -> bool) -> Result<()> {
        if self.asked.is_none_or(|at| at.elapsed() > SETTINGS) {
            for id in partitions(&self.reader, &self.topic, stopped)? {
                self.partitions.entry(id).or_default();
            }
            self.notes.clear();
            let settings = self.settings.of(&self.topic);
            self.keeping = clock::keeping(self.window, settings.as_ref().map_err(String::as_str));
            self.asked = Some(Instant::now());
        }
        let ids: Vec<i32> = self.partitions.keys().copied().collect();
        for (id, offsets) in offsets(&self.reader, &self.topic, &ids, stopped)? {
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.offsets = Some(offsets);
                partition.at_end &= partition.next.is_some_and(|next| next >= offsets.latest);
            }
        }
        self.ask_group(&ids, stopped);
        self.assign()
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
            if until_read && self.is_read() {
                return Ok(());
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
        for (id, offsets) in offsets(&self.reader, &self.topic, &ids, &|| false)? {
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
        assigned.map_err(|e| self.reader.failed(format!("the partitions cannot be read: {e}")))
    }

    /// Adds what earlier looks saw: orders that wait, and those that are gone. What the order system has taken since is
    /// left out.
    pub fn remember(&mut self, before: Vec<Seen>) {
        for seen in before {
            self.seen.entry(seen.label.clone()).or_insert(seen);
        }
        let partitions = &self.partitions;
        let taken = |s: &Seen| {
            let committed = partitions.get(&s.partition).and_then(|p| p.committed);
            committed.is_some_and(|at| s.offset < at)
        };
        self.seen.retain(|_, s| !taken(s));
    }

    /// The orders seen waiting, to be remembered.
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
            earliest.is_some_and(|at| s.offset < at)
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

impl Watched {
    fn is_read(&self) -> bool {
        self.offsets
            .is_some_and(|o| self.next.is_some_and(|next| next >= o.latest))
    }

    /// Takes a message in; `None` where it was taken before.
    fn take(&mut self, message: &BorrowedMessage<'_>, format: FormatKind) -> Option<Named> {
        let offset = message.offset();
        if self.next.is_some_and(|next| offset < next) {
            return None;
        }
        self.next = Some(offset + 1);
        let stamp = message.timestamp().to_millis().filter(|ms| *ms >= 0);
        self.waiting.push_back(Waiting {
            offset,
            stamp: stamp.and_then(|ms| ms.checked_mul(1_000)),
        });
        let named = name_of(message, format);
        if self.names.len() < NAMED
            && let Named::Order(name) | Named::Withdrawn(name) | Named::Key(name) = &named
        {
            let end = name.floor_char_boundary(100);
            self.names.insert(offset, name[..end].into());
        }
        Some(named)
    }

    fn line(&self, offsets: Offsets, keeping: &Keeping, beside: &Beside, rescued: Option<&Ranges>) -> HeldPartition {
        let first = offsets.earliest.max(self.committed.unwrap_or(0)).min(offsets.latest);
        let shutdown = beside.shutdown.as_ref().map(|(at, _)| *at);
        let held = (offsets.latest - first).unsigned_abs();
        let safe = rescued.map_or(0, |r| r.count(first, offsets.latest));
        let is_safe = |m: &&Waiting| rescued.is_some_and(|r| r.has(m.offset));
        let open = || self.waiting.iter().filter(|m| !is_safe(m));
        let loss_from = clock::loss_from(keeping, shutdown, open().map(|m| m.stamp))
            .or_else(|| clock::loss_from(keeping, shutdown, self.waiting.iter().map(|m| m.stamp)));
        let at_risk = beside.services_back.as_ref().map_or(0, |(back, _)| {
            let may_go = |m: &&Waiting| clock::dies_at(keeping, shutdown, m.stamp).is_none_or(|at| at <= *back);
            let read_to = self.next.unwrap_or(first).clamp(first, offsets.latest);
            let unread = (offsets.latest - read_to).unsigned_abs() * u64::from(!self.at_end);
            open().filter(may_go).count() as u64 + unread
        });
        let oldest = self.waiting.front().map(|m| Oldest {
            offset: m.offset,
            name: self.names.get(&m.offset).map(ToString::to_string).unwrap_or_default(),
            at: m.stamp,
        });
        let count = |of: &dyn Fn(&Waiting) -> bool| self.waiting.iter().filter(|m| of(m)).count() as u64;
        HeldPartition {
            id: 0,
            earliest: offsets.earliest,
            latest: offsets.latest,
            committed: self.committed,
            held,
            rescued: safe,
            lost: None,
            gone: Ranges::default(),
            loss_from,
            oldest,
            at_risk,
            future: count(&|m| m.stamp.is_some_and(|at| at > beside.now + AHEAD)),
            unstamped: count(&|m| m.stamp.is_none()),
        }
    }
}

/// What people call the message: the order's label, else the message's key.
fn name_of(message: &BorrowedMessage<'_>, format: FormatKind) -> Named {
    let value = message.payload().filter(|_| format == FormatKind::Native);
    match value.and_then(label_of) {
        Some((label, false)) => Named::Order(label),
        Some((label, true)) => Named::Withdrawn(label),
        None => {
            let key = message.key().and_then(|key| String::from_utf8(key.to_vec()).ok());
            key.map_or(Named::Nobody, Named::Key)
        }
    }
}

/// Notes that an order waits, or was taken back.
fn see(seen: &mut BTreeMap<String, Seen>, message: &BorrowedMessage<'_>, named: Named) {
    match named {
        Named::Order(label) if seen.len() < NAMED || seen.contains_key(&label) => {
            let stamp = message.timestamp().to_millis().filter(|ms| *ms >= 0);
            let order = Seen {
                label: label.clone(),
                partition: message.partition(),
                offset: message.offset(),
                at: stamp.and_then(|ms| ms.checked_mul(1_000)),
            };
            seen.insert(label, order);
        }
        Named::Withdrawn(label) => {
            seen.remove(&label);
        }
        _ => {}
    }
}

/// The broker deleted what was asked for.
pub(super) fn is_out_of_range(e: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        e.rdkafka_error_code(),
        Some(Code::OffsetOutOfRange | Code::AutoOffsetReset)
    )
}

fn list(topic: &str, ids: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for id in ids {
        list.add_partition(topic, *id);
    }
    list
}

/// The topic's partitions, in order.
pub(super) fn partitions(reader: &Reader, topic: &str, stopped: &dyn Fn() -> bool) -> Result<Vec<i32>> {
    let metadata = reader.ask(stopped, |limit| reader.consumer.fetch_metadata(Some(topic), limit))?;
    let topics = metadata.topics();
    if let Some(error) = topics.iter().find_map(rdkafka::metadata::MetadataTopic::error) {
        let error = RDKafkaErrorCode::from(error);
        if error == RDKafkaErrorCode::UnknownTopicOrPartition {
            return Err(Error::usage(format!("there is no topic {topic:?}"))
                .at("[hold] topic")
                .cure("check the name; `kcat -L -b BROKER` lists the topics"));
        }
        return Err(reader
            .failed(format!("the broker refuses the topic: {error}"))
            .cure("ask for the right to Describe and Read it"));
    }
    let all = topics.iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
    let mut ids: Vec<i32> = all.map(rdkafka::metadata::MetadataPartition::id).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// First and last offsets of these partitions: two requests, however many there are.
pub(super) fn offsets(
    reader: &Reader,
    topic: &str,
    ids: &[i32],
    stopped: &dyn Fn() -> bool,
) -> Result<Vec<(i32, Offsets)>> {
    // In place of a time, ListOffsets takes -2 for the first offset and -1 for the one behind the last.
    let ends = |which: Offset| {
        let mut asked = TopicPartitionList::new();
        for id in ids {
            asked
                .add_partition_offset(topic, *id, which)
                .map_err(|e| reader.failed(e.to_string()))?;
        }
        let told = reader.ask(stopped, |limit| {
            let told = reader.consumer.offsets_for_times(asked.clone(), limit)?;
            for element in told.elements() {
                element.error()?;
            }
            Ok(told)
        })?;
        let at = |e: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match e.offset() {
            Offset::Offset(at) => Ok((e.partition(), at)),
            other => Err(reader.failed(format!(
                "partition {}: the broker tells no offset but {other:?}",
                e.partition()
            ))),
        };
        told.elements()
            .into_iter()
            .map(at)
            .collect::<Result<BTreeMap<i32, i64>>>()
    };
    let (earliest, latest) = (ends(Offset::Beginning)?, ends(Offset::End)?);
    let both = earliest.into_iter().filter_map(|(id, earliest)| {
        let latest = latest.get(&id)?.max(&earliest);
        Some((
            id,
            Offsets {
                earliest,
                latest: *latest,
            },
        ))
    });
    Ok(both.collect())
}

impl Settings {
    fn open(cluster: &KafkaConfig, place: &str) -> Result<Self> {
        let (config, complaints) = kafka::client(cluster, place)?;
        let admin = config.create_with_context(complaints);
        Ok(Self {
            admin: admin.map_err(|e| Error::usage(format!("the Kafka client cannot be set up: {e}")).at(place))?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| Error::failed(format!("no thread can be started: {e}")))?,
        })
    }

    /// The settings of this topic, or why they cannot be read.
    fn of(&self, topic: &str) -> Result<TopicSettings, String> {
        let options = AdminOptions::new().request_timeout(Some(TOLD));
        let resource = [ResourceSpecifier::Topic(topic)];
        let told = self
            .runtime
            .block_on(self.admin.describe_configs(resource.iter(), &options));
        let told = told
            .map_err(|e| e.to_string())?
            .pop()
            .ok_or("the broker tells nothing")?;
        let told = told.map_err(|e| e.to_string())?;
        let text = |name: &str| told.get(name).and_then(|entry| entry.value.clone());
        Ok(TopicSettings {
            retention_ms: Some(
                text("retention.ms")
                    .and_then(|ms| ms.parse().ok())
                    .ok_or("retention.ms is not among them")?,
            ),
            retention_bytes: text("retention.bytes").and_then(|bytes| bytes.parse().ok()),
            cleanup: text("cleanup.policy"),
            stamps: text("message.timestamp.type"),
        })
    }
}

//! The release: rescued messages back to their topic, parents before what refers to them, once each.
//!
//! Every message carries its key in the header `idempotency-key`: the file's id, partition and offset. Before a message
//! is sent, the journal beside the file says that it will be; afterwards, that it was. A crash in between is settled by
//! looking for the key behind the topic's end as the journal has it, and by nothing else: what was found is not sent again.

use super::ask::{self, Offsets};
use super::file::{self, Saved, Stamp};
use super::journal::{Journal, Place};
use crate::config::HoldConfig;
use crate::domain::hold::{HoldReading, Ranges};
use crate::domain::schema::Schema;
use crate::domain::{Error, Result};
use crate::kafka::{self, Complaints, LOOK, Reader, passing};
use crate::restore::hold::order::{self, Planned};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many messages are on the way at once, none of which waits for another.
const BATCH: usize = 100;
/// The broker must have a message within it, else its fate is looked up.
const DELIVERY: Duration = Duration::from_secs(30);
/// What a killed process had handed to the network may still arrive: the topic is looked through once more after this.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// The header with the key.
pub const KEY: &str = "idempotency-key";
/// The header with the stamp that the message had, milliseconds since 1970: it gets a new one, or it would be deleted at
/// once.
pub const STAMPED: &str = "restitch-original-timestamp";

/// What became of a message, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes back now.
    Sent,
    /// It went back earlier.
    SentBefore,
    /// It must not: why.
    Refused(&'static str),
    /// It may or may not have gone back: the journal says it was about to, and the topic no longer shows that stretch.
    Unconfirmed,
}

/// A message in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place in the rescued topic.
    pub place: Place,
    /// Its order's label, where it is known.
    pub label: Option<String>,
    /// What becomes of it.
    pub fate: Fate,
}

/// What is done, in the order in which it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The file's id.
    pub id: String,
    /// The topic.
    pub topic: String,
    /// One for each message.
    pub lines: Vec<Line>,
    /// Labels of orders that refer to each other in a ring: they go as they came.
    pub rings: Vec<String>,
}

/// A release that was planned and not carried out.
pub struct Planning {
    /// What will be done.
    pub release: Release,
    messages: Vec<Saved>,
    planned: Vec<Planned>,
    journal: Option<Journal>,
    reader: Reader,
}

/// What a release asks of the rest of the house.
pub struct Asked<'a> {
    /// `[hold]`
    pub hold: &'a HoldConfig,
    /// `[schema.*]`
    pub schema: &'a Schema,
    /// The hold as the brokers show it now.
    pub reading: &'a HoldReading,
    /// Which of these labels the restored database has.
    pub there: &'a dyn Fn(&BTreeSet<String>) -> Result<BTreeSet<String>>,
    /// What the ledger says was released of this file, here or elsewhere.
    pub released: &'a dyn Fn(&str) -> Result<BTreeMap<i32, Ranges>>,
}

/// Plans the release of this file. Settles what an earlier run left open, unless it is only to look.
pub fn plan(path: &Path, asked: &Asked<'_>, dry: bool) -> Result<Planning> {
    let mut messages: BTreeMap<(i32, i64), Saved> = BTreeMap::new();
    let contents = file::read(path, |entry| {
        if let file::Entry::Message(m) = entry {
            messages.entry((m.partition, m.offset)).or_insert(m);
        }
        Ok(())
    })?;
    let origin = contents.origin;
    if asked.reading.topic != origin.topic {
        return Err(Error::refused(format!(
            "the file holds {}, which is not the hold's topic",
            origin.topic
        ))
        .at(path.display().to_string())
        .cure("only held orders are sent again: other messages are proofs, to be read"));
    }
    let reader = Reader::open_with(
        &asked.hold.kafka,
        ask::place(&asked.hold.kafka, &origin.topic),
        &[("isolation.level", "read_uncommitted"), ("fetch.wait.max.ms", "100")],
    )?;
    let mut messages: Vec<Saved> = messages.into_values().collect();
    // As they came: by their stamps, and within a partition by their offsets.
    messages.sort_by_key(|m| (stamp(m), m.partition, m.offset));
    stamps_within_partitions(&mut messages);
    let order::Plan {
        messages: planned,
        rings,
    } = order::plan(asked.schema, &messages);
    let labels: BTreeSet<String> = planned.iter().filter_map(|p| p.label.clone()).collect();
    let there = (asked.there)(&labels)?;
    let mut journal = Journal::open(path, &origin.id, dry)?;
    let unconfirmed = settle(&reader, &origin.topic, &origin.id, &mut journal, dry)?;
    let elsewhere = (asked.released)(&origin.id)?;
    let fate = |planned: &Planned| {
        let m = &messages[planned.index];
        let place = (m.partition, m.offset);
        if journal.sent.contains(&place) || elsewhere.get(&m.partition).is_some_and(|r| r.has(m.offset)) {
            return Fate::SentBefore;
        }
        if unconfirmed.contains(&place) {
            return Fate::Unconfirmed;
        }
        if m.headers
            .iter()
            .any(|(name, value)| name == KEY && value.as_deref().is_some_and(|v| v.starts_with(origin.id.as_bytes())))
        {
            return Fate::Refused("it is itself a released copy");
        }
        if planned.label.as_ref().is_some_and(|label| there.contains(label)) {
            return Fate::Refused("its order is in the restored database");
        }
        match asked.reading.partitions.iter().find(|p| p.id == m.partition) {
            None => Fate::Refused("the topic has no such partition any more"),
            Some(p) if p.committed.is_some_and(|at| m.offset < at) && !p.gone.has(m.offset) => {
                Fate::Refused("the order system has taken it")
            }
            Some(p) if m.offset >= p.latest => Fate::Refused("the topic is not that far yet: it was made anew"),
            Some(p) if m.offset >= p.earliest => Fate::Refused("it is still in the topic"),
            Some(_) => Fate::Sent,
        }
    };
    let lines = planned.iter().map(|p| Line {
        place: (messages[p.index].partition, messages[p.index].offset),
        label: p.label.clone(),
        fate: fate(p),
    });
    Ok(Planning {
        release: Release {
            lines: lines.collect(),
            id: origin.id,
            topic: origin.topic,
            rings,
        },
        messages,
        planned,
        journal: (!dry).then_some(journal),
        reader,
    })
}

fn stamp(m: &Saved) -> i64 {
    match m.stamp {
        Stamp::None => 0,
        Stamp::CreateTime(at) | Stamp::LogAppendTime(at) => at,
    }
}

/// Producers stamp as they like: within a partition the offsets count, whatever the stamps say.
fn stamps_within_partitions(messages: &mut [Saved]) {
    let mut by_partition: BTreeMap<i32, Vec<Saved>> = BTreeMap::new();
    for m in messages.iter() {
        by_partition.entry(m.partition).or_default().push(m.clone());
    }
    for of_one in by_partition.values_mut() {
        of_one.sort_by_key(|m| std::cmp::Reverse(m.offset));
    }
    for slot in messages {
        if let Some(next) = by_partition.get_mut(&slot.partition).and_then(Vec::pop) {
            *slot = next;
        }
    }
}

/// Finds out what became of the messages that the journal says were about to be sent; gives those that nobody can tell of.
fn settle(reader: &Reader, topic: &str, id: &str, journal: &mut Journal, dry: bool) -> Result<BTreeSet<Place>> {
    let mut unconfirmed = BTreeSet::new();
    let open: BTreeMap<Place, i64> = journal.open.clone();
    if open.is_empty() {
        return Ok(unconfirmed);
    }
    let mut tails: BTreeMap<i32, i64> = BTreeMap::new();
    for ((partition, _), tail) in &open {
        let known = tails.entry(*partition).or_insert(*tail);
        *known = (*known).min(*tail);
    }
    let ids: Vec<i32> = tails.keys().copied().collect();
    let mut found = BTreeSet::new();
    for again in [false, true] {
        if again {
            std::thread::sleep(STRAGGLERS);
        }
        let ends = ask::offsets(reader, topic, &ids, &|| false)?;
        found.extend(keys_behind(reader, topic, id, &tails, &ends)?);
        for ((partition, offset), tail) in &open {
            let earliest = ends
                .iter()
                .find(|(p, _)| p == partition)
                .map_or(i64::MAX, |(_, o)| o.earliest);
            if earliest > *tail && !found.contains(&(*partition, *offset)) {
                unconfirmed.insert((*partition, *offset));
            }
        }
    }
    if !dry {
        journal.was_sent(found.iter().copied().filter(|place| open.contains_key(place)))?;
        let not: Vec<Place> = open
            .into_keys()
            .filter(|p| !found.contains(p) && !unconfirmed.contains(p))
            .collect();
        journal.was_not_sent(&not)?;
    }
    Ok(unconfirmed)
}

/// The places whose keys stand in the topic behind these offsets.
fn keys_behind(
    reader: &Reader,
    topic: &str,
    id: &str,
    from: &BTreeMap<i32, i64>,
    ends: &[(i32, Offsets)],
) -> Result<BTreeSet<Place>> {
    let mut assigned = TopicPartitionList::new();
    let mut open: BTreeMap<i32, i64> = BTreeMap::new();
    for (partition, offsets) in ends {
        let begin = from.get(partition).copied().unwrap_or(0).max(offsets.earliest);
        if begin < offsets.latest {
            assigned
                .add_partition_offset(topic, *partition, Offset::Offset(begin))
                .map_err(|e| reader.failed(e.to_string()))?;
            open.insert(*partition, offsets.latest);
        }
    }
    let refused = |e: KafkaError| reader.failed(format!("the end of the topic cannot be read: {e}"));
    reader.consumer.assign(&assigned).map_err(refused)?;
    let mut found = BTreeSet::new();
    let mut heard = Instant::now();
    while !open.is_empty() {
        match reader.consumer.poll(LOOK) {
            Some(Ok(message)) => {
                heard = Instant::now();
                found.extend(message.headers().and_then(|h| place_of(h, id)));
                if open
                    .get(&message.partition())
                    .is_some_and(|to| message.offset() + 1 >= *to)
                {
                    open.remove(&message.partition());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                heard = Instant::now();
                open.remove(&partition);
            }
            Some(Err(e)) if passing(&e) => {}
            Some(Err(e)) => return Err(refused(e)),
            None => {}
        }
        if heard.elapsed() > DELIVERY {
            return Err(reader.no_answer(DELIVERY));
        }
    }
    reader.consumer.unassign().map_err(refused)?;
    Ok(found)
}

fn place_of(headers: &impl Headers, id: &str) -> Option<Place> {
    let key = headers.iter().find(|h| h.key == KEY)?.value?;
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(id)?.strip_prefix('/')?;
    let (partition, offset) = rest.split_once('/')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

/// A message that was sent, and why the broker did not take it, where it did not.
type Taken = (Place, Option<String>);

/// Hears what the broker took.
#[derive(Clone)]
struct Delivered {
    complaints: Complaints,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl rdkafka::client::ClientContext for Delivered {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.complaints.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.error(error, reason);
    }

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<rdkafka::client::OAuthToken, Box<dyn std::error::Error>> {
        self.complaints.generate_oauth_token(config)
    }
}

impl ProducerContext for Delivered {
    type DeliveryOpaque = Box<Place>;

    fn delivery(&self, result: &DeliveryResult<'_>, place: Self::DeliveryOpaque) {
        let why = result.as_ref().err().map(|(e, _)| e.to_string());
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((*place, why));
    }
}

impl Planning {
    /// Sends what is to be sent; `tell` hears of each batch that the broker has. What fails to be delivered stays open in
    /// the journal: the next run settles it.
    pub fn carry_out(
        mut self,
        hold: &HoldConfig,
        tell: &mut dyn FnMut(&Release, usize) -> Result<()>,
    ) -> Result<Release> {
        let Some(mut journal) = self.journal.take() else {
            return Ok(self.release);
        };
        let (mut config, complaints) = kafka::client(&hold.kafka, &ask::place(&hold.kafka, &self.release.topic))?;
        let context = Delivered {
            complaints,
            taken: Arc::default(),
        };
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "2")
            .set("message.timeout.ms", DELIVERY.as_millis().to_string());
        let producer: ThreadedProducer<Delivered> = config
            .create_with_context(context.clone())
            .map_err(|e| Error::usage(format!("the Kafka client cannot be set up: {e}")))?;
        let mut sent = 0;
        let mut at = 0;
        while at < self.planned.len() {
            let batch = self.batch(at);
            at += batch.len();
            let going: Vec<usize> = batch.filter(|n| self.release.lines[*n].fate == Fate::Sent).collect();
            if going.is_empty() {
                continue;
            }
            let ids: BTreeSet<i32> = going.iter().map(|n| self.release.lines[*n].place.0).collect();
            let ids: Vec<i32> = ids.into_iter().collect();
            let ends: BTreeMap<i32, Offsets> = ask::offsets(&self.reader, &self.release.topic, &ids, &|| false)?
                .into_iter()
                .collect();
            let tails = |place: &Place| (*place, ends.get(&place.0).map_or(0, |o| o.latest));
            journal.will_send(going.iter().map(|n| tails(&self.release.lines[*n].place)))?;
            for n in &going {
                self.send(&producer, *n)?;
            }
            producer.flush(DELIVERY * 2).map_err(|e| {
                self.reader
                    .failed(format!("the broker did not take everything: {e}"))
                    .cure(AGAIN)
            })?;
            let taken = std::mem::take(&mut *context.taken.lock().unwrap_or_else(PoisonError::into_inner));
            journal.was_sent(taken.iter().filter(|(_, why)| why.is_none()).map(|(place, _)| *place))?;
            sent += taken.iter().filter(|(_, why)| why.is_none()).count();
            if let Some((place, Some(why))) = taken.iter().find(|(_, why)| why.is_some()) {
                return Err(Error::new(
                    crate::domain::ErrorKind::Unconfirmed,
                    format!(
                        "partition {} offset {}: the broker did not confirm it: {why}",
                        place.0, place.1
                    ),
                )
                .cure(AGAIN));
            }
            tell(&self.release, sent)?;
        }
        Ok(self.release)
    }

    /// The next messages of which none must be there before another.
    fn batch(&self, at: usize) -> std::ops::Range<usize> {
        let mut within: BTreeSet<usize> = BTreeSet::new();
        let mut to = at;
        while to < self.planned.len() && to - at < BATCH {
            let planned = &self.planned[to];
            if !planned.after.is_disjoint(&within) {
                break;
            }
            within.insert(planned.index);
            to += 1;
        }
        at..to
    }

    fn send(&self, producer: &ThreadedProducer<Delivered>, n: usize) -> Result<()> {
        let message = &self.messages[self.planned[n].index];
        let place = self.release.lines[n].place;
        let key = format!("{}/{}/{}", self.release.id, place.0, place.1);
        let stamp = stamp(message).to_string();
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len() + 2);
        for (name, value) in &message.headers {
            headers = headers.insert(Header {
                key: name,
                value: value.as_ref(),
            });
        }
        headers = headers.insert(Header {
            key: STAMPED,
            value: Some(&stamp),
        });
        headers = headers.insert(Header {
            key: KEY,
            value: Some(&key),
        });
        let mut record = BaseRecord::<[u8], [u8], Box<Place>>::with_opaque_to(&self.release.topic, Box::new(place))
            .partition(place.0)
            .headers(headers);
        record.key = message.key.as_deref();
        record.payload = message.value.as_deref();
        producer.send(record).map_err(|(e, _)| {
            self.reader
                .failed(format!("partition {} offset {} cannot be sent: {e}", place.0, place.1))
                .cure(AGAIN)
        })
    }
}

const AGAIN: &str = "run it again: it looks in the topic what arrived, and sends only the rest";

//! The rescue: every message of a topic into a file, before the broker may delete it, and on as they come.

use super::ask::{self, Offsets, is_out_of_range};
use super::file::{Contents, Entry, Origin, Saved, Stamp, Writer};
use crate::config::HoldConfig;
use crate::domain::hold::Rescued;
use crate::domain::{Error, Result, time};
use crate::kafka::{LOOK, Reader, passing};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A batch goes to the disk when it has so many bytes,
const BATCH: usize = 4 << 20;
/// or when its first message waited so long.
const PROMPT: Duration = Duration::from_millis(100);
/// Brokers are asked for their offsets so often while one follows.
const ASK: Duration = Duration::from_secs(5);
/// Brokers that fall silent in the middle are given so long, where nobody follows: a leader may be elected meanwhile.
const SILENCE: Duration = Duration::from_secs(30);
/// Much at once: the deadline runs.
const GREEDY: &[(&str, &str)] = &[
    ("queued.max.messages.kbytes", "65536"),
    ("fetch.max.bytes", "52428800"),
    ("max.partition.fetch.bytes", "8388608"),
    ("fetch.wait.max.ms", "100"),
    // The file has a checksum of its own; this one finds what was damaged on the way.
    ("check.crcs", "true"),
];

/// How far a rescue is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages safe on disk, those of earlier runs counted.
    pub messages: u64,
    /// Of the offsets that the broker has, so many are safe.
    pub safe: u64,
    /// The offsets that the broker has.
    pub all: u64,
    /// The offsets that are safe.
    pub offsets: Rescued,
    /// Why no broker answers; `None` while they do.
    pub silent: Option<String>,
}

/// A partition, when a rescue ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its number.
    pub partition: i32,
    /// What the broker has now.
    pub offsets: Offsets,
    /// Up to here, from its beginning, all is safe.
    pub complete_to: i64,
    /// Offsets from the first rescued one on that are not in the file: from, up to.
    pub missing: Vec<(i64, i64)>,
}

/// How a rescue ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescue {
    /// The file, read back from the disk.
    pub contents: Contents,
    /// Bytes that trailed torn behind its last whole record when it was opened, and were cut.
    pub cut: u64,
    /// By partition.
    pub partitions: Vec<Verified>,
}

impl Rescue {
    /// Whether everything up to the broker's last message is safe.
    pub fn is_complete(&self) -> bool {
        self.partitions.iter().all(|p| p.missing.is_empty())
    }
}

/// Copies the topic into the file: until all that is there is safe or, where one follows, until stopped. `tell` hears how
/// far it is, at most every half second; what it says ends the rescue where it is an error.
pub fn run(
    hold: &HoldConfig,
    topic: &str,
    out: &Path,
    follow: bool,
    stopped: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(&Origin, &Progress) -> Result<()>,
) -> Result<Rescue> {
    let reader = Reader::open_with(&hold.kafka, ask::place(&hold.kafka, topic), GREEDY)?;
    let ids = ask::partitions(&reader, topic, stopped)?;
    let (writer, known) = Writer::open(out, || Origin {
        id: uuid::Uuid::now_v7().to_string(),
        topic: topic.to_owned(),
        brokers: hold.kafka.brokers.clone(),
        begun: time::format(time::now()),
    })?;
    if known.origin.topic != topic {
        return Err(Error::usage(format!(
            "the rescue file holds topic {}, not {topic}",
            known.origin.topic
        ))
        .at(out.display().to_string())
        .cure("name another file with --out"));
    }
    let mut copying = Copying {
        reader,
        topic,
        ids,
        writer,
        out: out.to_owned(),
        next: BTreeMap::new(),
        pending: Vec::new(),
        pending_since: None,
        ends: BTreeMap::new(),
        assigned: BTreeMap::new(),
        progress: Progress {
            messages: known.messages,
            offsets: known.offsets,
            ..Progress::default()
        },
        origin: known.origin,
    };
    copying.begin(stopped)?;
    copying.copy(follow, stopped, tell)?;
    copying.end(known.torn, stopped)
}

/// A rescue under way.
struct Copying<'t> {
    reader: Reader,
    topic: &'t str,
    ids: Vec<i32>,
    writer: Writer,
    out: PathBuf,
    /// Where each partition is read on.
    next: BTreeMap<i32, i64>,
    /// What the batch makes safe: partition, from, up to.
    pending: Vec<(i32, i64, i64)>,
    pending_since: Option<Instant>,
    ends: BTreeMap<i32, Offsets>,
    /// The broker's end of each partition before it was last assigned.
    assigned: BTreeMap<i32, i64>,
    progress: Progress,
    origin: Origin,
}

impl Copying<'_> {
    /// Reads each partition from the first message that is not in the file.
    fn begin(&mut self, stopped: &dyn Fn() -> bool) -> Result<()> {
        self.ask(stopped)?;
        self.assign()
    }

    fn ask(&mut self, stopped: &dyn Fn() -> bool) -> Result<()> {
        self.ends = ask::offsets(&self.reader, self.topic, &self.ids, stopped)?
            .into_iter()
            .collect();
        self.sum();
        Ok(())
    }

    fn sum(&mut self) {
        let (mut safe, mut all) = (0, 0);
        for (id, ends) in &self.ends {
            all += (ends.latest - ends.earliest).unsigned_abs();
            let known = self.progress.offsets.get(id);
            safe += known.map_or(0, |r| r.count(ends.earliest, ends.latest));
        }
        (self.progress.safe, self.progress.all) = (safe, all);
    }

    fn assign(&mut self) -> Result<()> {
        let mut from = TopicPartitionList::new();
        for (id, ends) in &self.ends {
            let known = self.progress.offsets.get(id);
            let next = known
                .map_or(ends.earliest, |r| r.first_gap(ends.earliest))
                .min(ends.latest);
            self.next.insert(*id, next);
            self.assigned.insert(*id, ends.latest);
            from.add_partition_offset(self.topic, *id, Offset::Offset(next))
                .map_err(|e| self.reader.failed(e.to_string()))?;
        }
        let assigned = self.reader.consumer.assign(&from);
        assigned.map_err(|e| self.reader.failed(format!("the partitions cannot be read: {e}")))
    }

    fn is_done(&self) -> bool {
        let read = |(id, ends): (&i32, &Offsets)| self.next.get(id).is_some_and(|next| *next >= ends.latest);
        self.ends.iter().all(read)
    }

    fn copy(
        &mut self,
        follow: bool,
        stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(&Origin, &Progress) -> Result<()>,
    ) -> Result<()> {
        let mut told = Instant::now();
        let mut asked = Instant::now();
        let mut heard = Instant::now();
        let mut before = BTreeMap::new();
        tell(&self.origin, &self.progress)?;
        while !stopped() && (follow || !self.is_done()) {
            let wait = self
                .pending_since
                .map_or(LOOK, |at| PROMPT.saturating_sub(at.elapsed()));
            match self.reader.consumer.poll(wait) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let taken = saved(&message, &self.next);
                    drop(message);
                    if let Some(entry) = taken {
                        self.take(&entry);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(id))) => {
                    heard = Instant::now();
                    self.reached_end(id);
                }
                Some(Err(e)) if passing(&e) => {}
                Some(Err(e)) if is_out_of_range(&e) => {
                    // Retention was faster: what is left is read on, what is gone shows as missing at the end.
                    self.sync()?;
                    self.begin(stopped)?;
                }
                Some(Err(e)) => return Err(self.reader.failed(format!("the broker refuses: {e}"))),
                None => {}
            }
            if self.writer.waiting() >= BATCH || self.pending_since.is_some_and(|at| at.elapsed() >= PROMPT) {
                self.sync()?;
            }
            if follow && asked.elapsed() >= ASK {
                self.progress.silent = self.ask(stopped).err().map(|e| e.what);
                self.push_on(&before)?;
                before.clone_from(&self.next);
                asked = Instant::now();
            }
            if told.elapsed() >= Duration::from_millis(500) {
                self.sum();
                tell(&self.origin, &self.progress)?;
                told = Instant::now();
            }
            if !follow && heard.elapsed() > SILENCE {
                self.sync()?;
                return Err(self.reader.no_answer(SILENCE));
            }
        }
        self.sync()?;
        self.sum();
        tell(&self.origin, &self.progress)
    }

    fn take(&mut self, entry: &Entry) {
        let (id, from, to) = match entry {
            Entry::Message(m) => (m.partition, m.from, m.offset + 1),
            Entry::Nothing(id, from, to) => (*id, *from, *to),
        };
        self.writer.add(entry);
        self.progress.messages += u64::from(matches!(entry, Entry::Message(_)));
        self.next.insert(id, to);
        match self.pending.last_mut().filter(|last| last.0 == id && last.2 == from) {
            Some(last) => last.2 = to,
            None => self.pending.push((id, from, to)),
        }
        self.pending_since.get_or_insert_with(Instant::now);
    }

    /// The client is at the end of this partition, so it has all that was there before it was assigned: what lies between
    /// the last message and that end are marks of transactions.
    fn reached_end(&mut self, id: i32) {
        let (Some(next), Some(latest)) = (self.next.get(&id).copied(), self.assigned.get(&id).copied()) else {
            return;
        };
        if latest > next {
            self.take(&Entry::Nothing(id, next, latest));
        }
    }

    /// Assigns partitions anew that are behind the broker and brought nothing since the last time: their next end says
    /// whether anything is left.
    fn push_on(&mut self, before: &BTreeMap<i32, i64>) -> Result<()> {
        let mut stuck = TopicPartitionList::new();
        for (id, ends) in &self.ends {
            let Some(next) = self.next.get(id).copied().filter(|next| *next < ends.latest) else {
                continue;
            };
            if before.get(id) == Some(&next) {
                self.assigned.insert(*id, ends.latest);
                stuck
                    .add_partition_offset(self.topic, *id, Offset::Offset(next))
                    .map_err(|e| self.reader.failed(e.to_string()))?;
            }
        }
        if stuck.count() == 0 {
            return Ok(());
        }
        let consumer = &self.reader.consumer;
        let again = consumer
            .incremental_unassign(&stuck)
            .and_then(|()| consumer.incremental_assign(&stuck));
        again.map_err(|e| self.reader.failed(format!("the partitions cannot be read: {e}")))
    }

    fn sync(&mut self) -> Result<()> {
        self.writer.sync()?;
        for (id, from, to) in self.pending.drain(..) {
            self.progress.offsets.entry(id).or_default().add(from, to);
        }
        self.pending_since = None;
        Ok(())
    }

    /// Reads the file back and holds it against what the broker has now.
    fn end(mut self, cut: u64, stopped: &dyn Fn() -> bool) -> Result<Rescue> {
        // Asked even after one was stopped: that is when a person wants to know.
        let asked = self.ask(&|| false);
        let ends = match asked {
            Ok(()) => self.ends,
            Err(_) if stopped() => self.ends,
            Err(e) => return Err(e),
        };
        drop(self.writer);
        let contents = super::file::read(&self.out, |_| Ok(()))?;
        let partitions = ends.into_iter().map(|(partition, offsets)| {
            let ranges = contents.offsets.get(&partition).cloned().unwrap_or_default();
            let first = ranges.0.first().map_or(offsets.earliest, |r| r.0.min(offsets.earliest));
            let mut missing = Vec::new();
            let mut at = first;
            while at < offsets.latest {
                let gap = ranges.first_gap(at);
                if gap >= offsets.latest {
                    break;
                }
                let to = ranges
                    .0
                    .iter()
                    .map(|r| r.0)
                    .find(|from| *from > gap)
                    .unwrap_or(offsets.latest);
                missing.push((gap, to.min(offsets.latest)));
                at = to;
            }
            Verified {
                partition,
                offsets,
                complete_to: ranges.first_gap(first),
                missing,
            }
        });
        Ok(Rescue {
            partitions: partitions.collect(),
            contents,
            cut,
        })
    }
}

/// The message as an entry; `None` where it was taken before.
fn saved(message: &BorrowedMessage<'_>, next: &BTreeMap<i32, i64>) -> Option<Entry> {
    let (partition, offset) = (message.partition(), message.offset());
    let from = next.get(&partition).copied().filter(|next| *next <= offset)?;
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let own = |h: rdkafka::message::Header<'_, &[u8]>| (h.key.to_owned(), h.value.map(<[u8]>::to_vec));
        headers.iter().map(own).collect()
    });
    Some(Entry::Message(Saved {
        partition,
        offset,
        from,
        stamp: match message.timestamp() {
            Timestamp::NotAvailable => Stamp::None,
            Timestamp::CreateTime(at) => Stamp::CreateTime(at),
            Timestamp::LogAppendTime(at) => Stamp::LogAppendTime(at),
        },
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }))
}

//! The hold: orders that arrived during the restore and wait, in a file or on a broker.

use super::format::native::Event;
use super::read::ReadError;
use super::rejects::Rejects;
use super::source::{Block, Files, Part};
use crate::config::FormatKind;
use crate::domain::event::Op;
use crate::domain::hold::Seen;
use crate::domain::progress::Progress;
use crate::domain::queue::Reject;
use crate::domain::schema::ORDER;
use crate::domain::value::{LogKind, LogValue};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};

/// Columns by name, in the order of the names.
pub type Columns = Vec<(String, LogValue<'static>)>;

/// An order that waits in the hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOrder {
    /// The order's label: in the hold, orders have no key yet.
    pub key: String,
    /// Microseconds since 1970, where the message says when.
    pub at: Option<i64>,
    /// The order's columns, without `items`.
    pub state: Columns,
    /// The columns of each of its items.
    pub items: Vec<Columns>,
    /// `pos`, or file and line, or partition and offset.
    pub position: String,
    /// From when on the broker may delete it, microseconds since 1970; `None` in a file, and once it was rescued.
    pub dies_at: Option<i64>,
}

/// The hold on a broker, as a scan needs it.
#[derive(Debug, Default)]
pub struct OnBroker {
    /// What waits.
    pub held: Held,
    /// Orders that waited, and that the broker deleted before they were taken or rescued.
    pub expired: Vec<Seen>,
}

/// What the hold holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// By label.
    pub orders: Vec<HeldOrder>,
    /// Messages that could not be read.
    pub rejects: Vec<Reject>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Reads a hold `file` (path or glob), whatever the age of its messages. The latest message of a label counts, by version
/// where the first one has one, else by position; one that deletes takes the order out. Nothing waiting is no error.
/// `masks`: columns are masked, so rejects keep no value.
pub fn read(path: &str, reject_limit: f64, masks: bool) -> Result<Held, ReadError> {
    let progress = Progress::default();
    let files = Files::open(path, "[hold] path", &progress)?;
    let mut messages = Messages::new(masks);
    let mut block = Block::default();
    while files.next(&mut block)? {
        let part = &files.parts[block.part];
        for (number, at) in block.lines() {
            let line = &block.bytes()[at];
            if !line.trim_ascii().is_empty() {
                messages.take(part, block.part, number, line, None);
            }
        }
        if let Some(broken) = &block.broken {
            messages.all += 1;
            let reason = broken.reason.clone();
            messages
                .rejects
                .add(part, block.part, broken.line, &broken.text, reason);
        }
    }
    messages.finish(reject_limit)
}

/// The messages of a hold as they come.
#[derive(Default)]
pub struct Messages {
    rejects: Rejects,
    latest: BTreeMap<String, (Rank, Option<HeldOrder>)>,
    versions: Option<bool>,
    other_entities: u64,
    all: u64,
}

impl Messages {
    /// None yet; `masks`: columns are masked, so rejects keep no value.
    pub fn new(masks: bool) -> Self {
        Self {
            rejects: Rejects::new(masks),
            ..Self::default()
        }
    }

    /// Takes a message of a broker: its partition and offset, its value, and from when on it may be deleted.
    pub fn take_from_broker(&mut self, partition: i32, offset: i64, value: &[u8], dies_at: Option<i64>) {
        let part = Part::messages(partition.to_string(), 0);
        let part_ix = usize::try_from(partition).unwrap_or(0);
        self.take(&part, part_ix, offset.unsigned_abs(), value, dies_at);
    }

    fn take(&mut self, part: &Part, part_ix: usize, number: u64, line: &[u8], dies_at: Option<i64>) {
        self.all += 1;
        match message(line, part.place(number), dies_at) {
            Ok(None) => self.other_entities += 1,
            Ok(Some(message)) => {
                let by_version = *self.versions.get_or_insert(message.version.is_some());
                let version = if by_version { message.version } else { None };
                let rank = (version, message.number, part_ix, number);
                let known = self.latest.entry(message.order.key.clone()).or_insert((rank, None));
                if rank >= known.0 {
                    *known = (rank, (!message.withdrawn).then_some(message.order));
                }
            }
            Err(reason) => self.rejects.add(part, part_ix, number, line, reason),
        }
    }

    /// All of them; fails where too many are malformed.
    pub fn finish(mut self, reject_limit: f64) -> Result<Held, ReadError> {
        let mut warnings = Vec::new();
        if self.other_entities > 0 {
            warnings.push(format!(
                "hold: {} messages are about no order and were skipped",
                self.other_entities
            ));
        }
        let count = self.rejects.count;
        let too_many = self
            .rejects
            .too_many("hold", FormatKind::Native, self.all, reject_limit);
        let rejects = self.rejects.named("hold");
        if let Some(error) = too_many {
            return Err(ReadError { error, rejects });
        }
        if let Some(first) = rejects.first() {
            let messages = if count == 1 { "message was" } else { "messages were" };
            warnings.push(format!(
                "hold: {count} malformed {messages} rejected, the first at {}: {}",
                first.position, first.reason
            ));
        }
        Ok(Held {
            orders: self.latest.into_values().filter_map(|(_, order)| order).collect(),
            rejects,
            warnings,
        })
    }
}

/// Version, `pos`, file and line.
type Rank = (Option<i64>, Option<u64>, usize, u64);

struct Message {
    version: Option<i64>,
    number: Option<u64>,
    withdrawn: bool,
    order: HeldOrder,
}

fn message(line: &[u8], place: String, dies_at: Option<i64>) -> Result<Option<Message>, String> {
    let line = std::str::from_utf8(line).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to() + 1))?;
    let event = Event::read(line)?;
    if event.entity.is_some_and(|name| name != ORDER) {
        return Ok(None);
    }
    let mut items = Vec::new();
    let mut state = Vec::new();
    for (name, value) in event.state {
        let value = value.map_err(|e| format!("state.{name}: {e}"))?;
        if name == "items" && value.kind != LogKind::Null {
            items = item_list(&value.text)?;
        } else if name != "items" {
            state.push((name, owned(value)));
        }
    }
    state.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Some(Message {
        version: event.version,
        number: event.position,
        withdrawn: event.op == Some(Op::Delete),
        order: HeldOrder {
            key: event.key.text.into_owned(),
            at: event.at,
            state,
            items,
            position: event.position.map_or(place, |n| n.to_string()),
            dies_at,
        },
    }))
}

/// What this message calls its order, and whether it takes it back; `None` where it is no order of the native format.
pub fn label_of(message: &[u8]) -> Option<(String, bool)> {
    let event = Event::read(std::str::from_utf8(message).ok()?).ok()?;
    let about_order = event.entity.is_none_or(|name| name == ORDER);
    about_order.then(|| (event.key.text.into_owned(), event.op == Some(Op::Delete)))
}

/// The order that this message is, where it is one of the native format.
pub fn order_of(value: &[u8]) -> Option<HeldOrder> {
    Some(message(value, String::new(), None).ok()??.order)
}

fn item_list(text: &str) -> Result<Vec<Columns>, String> {
    let items: Vec<HashMap<String, &RawValue>> =
        serde_json::from_str(text).map_err(|_| "state.items is not a list of objects".to_owned())?;
    let item = |columns: HashMap<String, &RawValue>| {
        let column = |(name, raw): (String, &RawValue)| match super::format::value_of(raw.get()) {
            Ok(value) => Ok((name, owned(value))),
            Err(e) => Err(format!("state.items.{name}: {e}")),
        };
        let mut columns: Columns = columns.into_iter().map(column).collect::<Result<_, String>>()?;
        columns.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(columns)
    };
    items.into_iter().map(item).collect()
}

fn owned(value: LogValue<'_>) -> LogValue<'static> {
    LogValue::new(value.kind, value.text.into_owned())
}

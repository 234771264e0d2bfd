//! The hold: orders that arrived during the restore and wait. Here its source `file`.

use super::format::native::Event;
use super::read::ReadError;
use super::rejects::Rejects;
use super::source::{Block, Files};
use crate::config::FormatKind;
use crate::domain::event::Op;
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
    /// `pos`, or file and line.
    pub position: String,
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
pub fn read(path: &str, reject_limit: f64) -> Result<Held, ReadError> {
    let progress = Progress::default();
    let files = Files::open(path, "[hold] path", &progress)?;
    let mut rejects = Rejects::default();
    let mut latest: BTreeMap<String, (Rank, Option<HeldOrder>)> = BTreeMap::new();
    let mut versions = None;
    let mut other_entities = 0;
    let mut all = 0_u64;
    let mut block = Block::default();
    while files.next(&mut block)? {
        let part = &files.parts[block.part];
        for (number, at) in block.lines() {
            let line = &block.bytes()[at];
            if line.trim_ascii().is_empty() {
                continue;
            }
            all += 1;
            match message(line, part.place(number)) {
                Ok(None) => other_entities += 1,
                Ok(Some(message)) => {
                    let by_version = *versions.get_or_insert(message.version.is_some());
                    let version = if by_version { message.version } else { None };
                    let rank = (version, message.number, block.part, number);
                    let known = latest.entry(message.order.key.clone()).or_insert((rank, None));
                    if rank >= known.0 {
                        *known = (rank, (!message.withdrawn).then_some(message.order));
                    }
                }
                Err(reason) => rejects.add(part, block.part, number, line, reason),
            }
        }
        if let Some(broken) = &block.broken {
            all += 1;
            rejects.add(part, block.part, broken.line, &broken.text, broken.reason.clone());
        }
    }
    let mut warnings = Vec::new();
    if other_entities > 0 {
        warnings.push(format!(
            "hold: {other_entities} messages are about no order and were skipped"
        ));
    }
    let count = rejects.count;
    let too_many = rejects.too_many("hold", FormatKind::Native, all, reject_limit);
    let rejects = rejects.named("hold");
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
        orders: latest.into_values().filter_map(|(_, order)| order).collect(),
        rejects,
        warnings,
    })
}

/// Version, `pos`, file and line.
type Rank = (Option<i64>, Option<u64>, usize, u64);

struct Message {
    version: Option<i64>,
    number: Option<u64>,
    withdrawn: bool,
    order: HeldOrder,
}

fn message(line: &[u8], place: String) -> Result<Option<Message>, String> {
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
        },
    }))
}

/// What this message calls its order, where it is one of the native format.
pub fn label_of(message: &[u8]) -> Option<String> {
    let event = Event::read(std::str::from_utf8(message).ok()?).ok()?;
    Some(event.key.text.into_owned())
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

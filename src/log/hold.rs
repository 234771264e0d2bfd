//! The hold as a file: orders that arrived while the order system was down, in the format `native`.
//!
//! `key` is the order's label and is not cast; `state` may hold `items`, a list of the order items' columns.

use super::format::value_of;
use super::source::{Block, Files};
use crate::domain::progress::Progress;
use crate::domain::queue::Reject;
use crate::domain::value::{LogKind, LogValue};
use crate::domain::{Result, time};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Columns of a row as a message names them.
pub type Columns = Vec<(String, LogValue<'static>)>;

/// An order in the hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOrder {
    /// The order's label.
    pub key: String,
    /// When it was sent, microseconds since 1970.
    pub at: Option<i64>,
    /// The order's columns.
    pub state: Columns,
    /// Its items' columns.
    pub items: Vec<Columns>,
}

/// What a hold holds.
#[derive(Debug, Default)]
pub struct Held {
    /// One for each label, in the order in which they arrived; a later message of the same label replaces an earlier one.
    pub orders: Vec<HeldOrder>,
    /// Lines that are no orders.
    pub rejects: Vec<Reject>,
}

#[derive(serde::Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    ts: Option<Cow<'a, str>>,
    op: Option<Cow<'a, str>>,
    #[serde(borrow)]
    state: Option<&'a RawValue>,
}

/// Reads a hold `file` (path or glob), whatever the age of its messages.
pub fn read(path: &str) -> Result<Held> {
    let progress = Progress::default();
    let files = Files::open(path, "[hold] path", &progress)?;
    let mut held = Held::default();
    let mut by_key: HashMap<String, usize> = HashMap::new();
    let mut block = Block::default();
    while files.next(&mut block)? {
        let lines = block.bytes().split(|b| *b == b'\n');
        for (number, line) in (block.line..)
            .zip(lines)
            .filter(|(_, line)| !line.trim_ascii().is_empty())
        {
            let order = std::str::from_utf8(line)
                .map_err(|e| format!("not UTF-8: {e}"))
                .and_then(decode);
            match order {
                Ok(order) => {
                    let at = *by_key.entry(order.key.clone()).or_insert(held.orders.len());
                    match held.orders.get_mut(at) {
                        Some(earlier) => *earlier = order,
                        None => held.orders.push(order),
                    }
                }
                Err(reason) => held.rejects.push(Reject {
                    source: "hold".to_owned(),
                    position: format!("{}:{number}", files.names[block.file]),
                    reason,
                    excerpt: String::from_utf8_lossy(&line[..line.len().min(160)]).into_owned(),
                }),
            }
        }
        if let Some((number, reason)) = block.broken.take() {
            held.rejects.push(Reject {
                source: "hold".to_owned(),
                position: format!("{}:{number}", files.names[block.file]),
                reason,
                excerpt: String::new(),
            });
        }
    }
    Ok(held)
}

fn decode(line: &str) -> Result<HeldOrder, String> {
    let message: Message<'_> = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let key = value_of(message.key.ok_or("no member \"key\"")?.get())?;
    if matches!(key.kind, LogKind::Null | LogKind::Json) || key.text.is_empty() {
        return Err("\"key\" is no order's label".to_owned());
    }
    if message.op.as_deref() == Some("delete") {
        return Err("an order in the hold cannot be deleted".to_owned());
    }
    let at = match message.ts {
        Some(ts) => Some(time::parse(&ts).ok_or_else(|| format!("ts {ts:?} is no RFC 3339 time"))?),
        None => None,
    };
    let mut state = columns(message.state.map_or("null", RawValue::get))?;
    let items = match state.iter().position(|(name, _)| name == "items") {
        Some(at) => {
            let (_, items) = state.remove(at);
            let items: Vec<&RawValue> =
                serde_json::from_str(&items.text).map_err(|_| "\"items\" is no list".to_owned())?;
            items
                .into_iter()
                .map(|item| columns(item.get()))
                .collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    Ok(HeldOrder {
        key: key.text.into_owned(),
        at,
        state,
        items,
    })
}

fn columns(raw: &str) -> Result<Columns, String> {
    let members: Option<BTreeMap<String, &RawValue>> =
        serde_json::from_str(raw).map_err(|_| "\"state\" or an item of it is no object".to_owned())?;
    let owned = |v: LogValue<'_>| LogValue::new(v.kind, v.text.into_owned());
    members
        .unwrap_or_default()
        .into_iter()
        .map(|(name, v)| Ok((name, owned(value_of(v.get())?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_items_and_rejects() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hold.ndjson");
        let lines = concat!(
            r#"{"ts":"2026-11-22T14:22:09Z","entity":"order","key":"SFH-1","state":{"account":"A","id":77405618597879921}}"#,
            "\n\nnonsense\n",
            r#"{"key":118,"state":{"items":[{"asset":12},{"asset":null}]}}"#,
            "\n",
            r#"{"key":"SFH-1","state":{"account":"B"}}"#,
        );
        std::fs::write(&path, lines).unwrap();
        let held = read(path.to_str().unwrap()).unwrap();
        assert_eq!(held.orders.len(), 2);
        assert_eq!(held.orders[0].key, "SFH-1");
        assert_eq!(
            held.orders[0].state,
            [("account".to_owned(), LogValue::new(LogKind::Text, "B"))]
        );
        assert_eq!(held.orders[1].key, "118");
        assert_eq!(
            held.orders[1].items[0],
            [("asset".to_owned(), LogValue::new(LogKind::Number, "12"))]
        );
        assert_eq!(held.orders[1].items[1], [("asset".to_owned(), LogValue::NULL)]);
        assert_eq!(held.rejects.len(), 1);
        assert!(
            held.rejects[0].position.ends_with("hold.ndjson:3"),
            "{}",
            held.rejects[0].position
        );
    }
}

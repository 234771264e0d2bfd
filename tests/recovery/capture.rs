//! The log as wal2json captured it, taken apart, and folded in the plainest way: for evidence and for partial events.

use crate::world::World;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Entity, table, key columns: as the configuration maps them.
pub const ENTITIES: &[(&str, &str, &[&str])] = &[
    ("order", "orders", &["id"]),
    ("order_item", "order_items", &["id"]),
    ("plan", "plans", &["id"]),
    ("plan_item", "plan_items", &["plan_id", "seq"]),
    ("inventory_item", "inventory_items", &["id"]),
    ("asset", "assets", &["id"]),
    ("catalog", "catalog", &["code", "version"]),
    ("system_instance", "systems", &["id"]),
];

/// Column: its value as JSON text, every digit as it was written.
pub type Columns = BTreeMap<String, String>;

/// One event of one row (or a truncate).
#[derive(Debug, Clone)]
pub struct Event {
    pub table: String,
    /// `I`, `U`, `D`, `T`.
    pub action: char,
    pub lsn: String,
    pub timestamp: String,
    /// Key afterwards; before, for a delete; empty for a truncate.
    pub key: Columns,
    /// The key before, where it changed.
    pub old_key: Option<Columns>,
    /// What the event says of the row before it: its replica identity.
    pub identity: Columns,
    /// What the event says of the row.
    pub columns: Columns,
    /// Declared types.
    pub types: BTreeMap<String, String>,
}

pub fn entity_of(table: &str) -> Option<(&'static str, &'static [&'static str])> {
    ENTITIES.iter().find(|e| e.1 == table).map(|e| (e.0, e.2))
}

/// A JSON string's content, anything else as it is.
pub fn plain(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

/// Canonical text of a key.
pub fn key_text(table: &str, key: &Columns) -> String {
    let (_, names) = entity_of(table).unwrap();
    let parts: Vec<String> = names.iter().map(|n| plain(&key[*n])).collect();
    match &parts[..] {
        [one] => one.clone(),
        parts => parts
            .iter()
            .map(|p| p.replace('/', "%2F"))
            .collect::<Vec<_>>()
            .join("/"),
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    action: char,
    #[serde(default)]
    table: String,
    lsn: String,
    timestamp: String,
    #[serde(borrow, default)]
    columns: Vec<Column<'a>>,
    #[serde(borrow, default)]
    identity: Vec<Column<'a>>,
}

#[derive(Deserialize)]
struct Column<'a> {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// All events of mapped tables, in the order of the log.
pub fn events(world: &World) -> Vec<Event> {
    world.wal2json.iter().filter_map(|line| event(line)).collect()
}

pub fn event(line: &str) -> Option<Event> {
    let json: Line<'_> = serde_json::from_str(line).unwrap();
    if !matches!(json.action, 'I' | 'U' | 'D' | 'T') {
        return None;
    }
    let (_, names) = entity_of(&json.table)?;
    let take = |list: &[Column<'_>]| -> Columns {
        list.iter()
            .map(|c| (c.name.clone(), c.value.get().to_owned()))
            .collect()
    };
    let (columns, identity) = (take(&json.columns), take(&json.identity));
    let pick = |from: &Columns| -> Columns {
        names
            .iter()
            .filter_map(|n| Some(((*n).to_owned(), from.get(*n)?.clone())))
            .collect()
    };
    let (old, new) = (pick(&identity), pick(&columns));
    let key = if json.action == 'D' { old.clone() } else { new };
    let moved = json.action == 'U' && !old.is_empty() && old != key;
    Some(Event {
        identity,
        action: json.action,
        lsn: json.lsn,
        timestamp: json.timestamp,
        old_key: moved.then_some(old),
        key,
        types: json
            .columns
            .iter()
            .chain(&json.identity)
            .map(|c| (c.name.clone(), c.ty.clone()))
            .collect(),
        columns,
        table: json.table,
    })
}

/// What the log says of a row: for each column its value and the place of the event that said so.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    pub exists: bool,
    /// Column: value, index of the event.
    pub columns: BTreeMap<String, (String, usize)>,
    /// The event that deleted it.
    pub deleted: Option<usize>,
}

/// Table and key text: the row.
pub type Rows = BTreeMap<(String, String), Folded>;

/// Folds events one after another, calling `seen` with the row as it was before each.
pub fn fold(events: &[Event], mut seen: impl FnMut(usize, &Event, Option<&Folded>)) -> Rows {
    let mut rows = Rows::new();
    for (at, event) in events.iter().enumerate() {
        let id = |key: &Columns| (event.table.clone(), key_text(&event.table, key));
        if event.action == 'T' {
            seen(at, event, None);
            for ((_, _), row) in rows.iter_mut().filter(|((table, _), _)| *table == event.table) {
                (row.exists, row.deleted) = (false, Some(at));
            }
            continue;
        }
        let before = rows.get(&id(event.old_key.as_ref().unwrap_or(&event.key))).cloned();
        seen(at, event, before.as_ref());
        let mut row = Folded {
            exists: event.action != 'D',
            ..Folded::default()
        };
        if event.action != 'I' {
            row.columns = before.map(|row| row.columns).unwrap_or_default();
        }
        if event.action == 'D' {
            row.deleted = Some(at);
        }
        let said = if event.action == 'D' {
            &event.identity
        } else {
            &event.columns
        };
        for (name, value) in said {
            row.columns.insert(name.clone(), (value.clone(), at));
        }
        if let Some(old) = &event.old_key {
            let gone = rows.entry(id(old)).or_default();
            (gone.exists, gone.deleted) = (false, Some(at));
            for (name, value) in &event.identity {
                gone.columns.insert(name.clone(), (value.clone(), at));
            }
        }
        rows.insert(id(&event.key), row);
    }
    rows
}

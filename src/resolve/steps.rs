//! The to-do behind a verb: what changes in the order system, row by row, in words for the person who does it.

use crate::domain::case::{FamilyRow, FoundCase, Happened, Outside};
use crate::domain::finding::{Finding, Kind};
use crate::domain::schema::{Entity, ORDER, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What `reapply` does to one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The row is not there and comes back.
    Insert,
    /// The row is there and gets the log's values.
    Set,
    /// The row is there and goes.
    Delete,
}

impl Act {
    fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Lost => Some(Self::Insert),
            Kind::Regressed => Some(Self::Set),
            Kind::Undeleted => Some(Self::Delete),
            _ => None,
        }
    }

    /// The word in files, and in the lines of a plan.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Set => "set",
            Self::Delete => "delete",
        }
    }

    /// The word for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Insert => "re-create",
            Self::Set => "set back",
            Self::Delete => "delete",
        }
    }
}

/// The rows of a case that `reapply` writes, in the order in which they can be written: what others refer to comes
/// first, and goes last.
pub fn writes<'a>(case: &'a FoundCase, schema: &Schema) -> Vec<(Act, &'a Finding)> {
    let order = dependency_order(schema);
    let depth = |f: &Finding| order.iter().position(|e| *e == f.entity).unwrap_or(usize::MAX);
    let mut writes: Vec<(Act, &Finding)> = case
        .findings
        .iter()
        .filter_map(|f| Act::of(f.kind).map(|a| (a, f)))
        .collect();
    writes.sort_by_key(|(act, f)| match act {
        Act::Delete => (1, usize::MAX - depth(f)),
        _ => (0, depth(f)),
    });
    writes
}

/// Entities such that what a row belongs to or refers to stands before it, as far as there is no cycle.
fn dependency_order(schema: &Schema) -> Vec<&str> {
    fn visit<'a>(schema: &'a Schema, entity: &'a Entity, entered: &mut Vec<&'a str>, out: &mut Vec<&'a str>) {
        if entered.contains(&entity.name.as_str()) {
            return;
        }
        entered.push(&entity.name);
        let needs = entity
            .owner
            .iter()
            .map(|o| &o.entity)
            .chain(entity.refs.iter().map(|r| &r.entity));
        for need in needs {
            if let Some(needed) = schema.index(need).and_then(|ix| schema.entities.get(ix)) {
                visit(schema, needed, entered, out);
            }
        }
        out.push(&entity.name);
    }
    let (mut entered, mut out) = (Vec::new(), Vec::new());
    for entity in &schema.entities {
        visit(schema, entity, &mut entered, &mut out);
    }
    out
}

/// What people call a row: an order by its label, any other row by entity and key.
pub fn name(case: &FoundCase, entity: &str, key: &str) -> String {
    if entity == ORDER && case.order.as_deref() == Some(key) {
        case.label.clone()
    } else {
        format!("{} {key}", entity.replace('_', " "))
    }
}

/// Whom to ask what, where something that happened outside is not known: `ask billing whether billing.activate of SFO-77
/// happened (started at 14:08:59Z, no answer in the log)`.
pub fn question(case: &FoundCase) -> Option<String> {
    const MOST: usize = 3;
    let open: Vec<&Outside> = case.outside.iter().filter(|o| o.state == Happened::Unknown).collect();
    let mut asked: Vec<String> = open
        .iter()
        .take(MOST)
        .map(|o| {
            let whom = match o.name.split_once('.') {
                Some((system, _)) => system.to_owned(),
                None => format!("whoever runs {}", o.name),
            };
            format!("ask {whom} whether {} of {} happened ({})", o.name, case.label, o.why)
        })
        .collect();
    if open.len() > MOST {
        asked.push(format!("and {} more", open.len() - MOST));
    }
    (!asked.is_empty()).then(|| asked.join("; "))
}

/// One line a row: `insert om.orders 41: SFO-77, New, Activated`.
pub fn reapply(case: &FoundCase, schema: &Schema) -> Vec<String> {
    writes(case, schema)
        .into_iter()
        .map(|(act, f)| {
            let entity = schema.index(&f.entity).and_then(|ix| schema.entities.get(ix));
            let table = entity.map_or(f.entity.as_str(), |e| e.table.as_str());
            match act {
                Act::Insert => {
                    let row = case.family.iter().find(|r| r.entity == f.entity && r.key == f.key);
                    let telling = row.map(|r| telling(r, entity)).unwrap_or_default();
                    let colon = if telling.is_empty() { "" } else { ": " };
                    format!("insert {table} {}{colon}{}", f.key, telling.join(", "))
                }
                Act::Set => format!("set {table} {}: {}", f.key, changes(f, entity).join(", ")),
                Act::Delete => format!("delete {table} {}", f.key),
            }
        })
        .collect()
}

/// The values by which a person knows the row: label, action, type, state and what the queue shows; nothing masked.
fn telling(row: &FamilyRow, entity: Option<&Entity>) -> Vec<String> {
    let Some(entity) = entity else { return Vec::new() };
    let mut columns: Vec<&str> = [&entity.label, &entity.action, &entity.type_column, &entity.state]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .chain(entity.show.iter().map(String::as_str))
        .filter(|c| !entity.mask.iter().any(|m| m == c))
        .collect();
    let mut once = Vec::new();
    columns.retain(|c| {
        !once.contains(c) && {
            once.push(*c);
            true
        }
    });
    columns
        .into_iter()
        .filter_map(|c| row.fields.iter().find(|f| f.name == c)?.log.as_ref())
        .filter(|v| !v.is_null())
        .map(shown)
        .collect()
}

fn changes(f: &Finding, entity: Option<&Entity>) -> Vec<String> {
    let masked = |name: &str| entity.is_some_and(|e| e.mask.iter().any(|m| m == name));
    f.fields
        .iter()
        .map(|d| {
            if masked(&d.name) {
                format!("{} (masked)", d.name)
            } else {
                format!("{} from {} to {}", d.name, shown(&d.restored), shown(&d.log))
            }
        })
        .collect()
}

/// A value for people, cut where it would fill the screen.
fn shown(value: &Json) -> String {
    match value {
        Json::String(s) => cut(s),
        Json::Null => "null".to_owned(),
        other => cut(&other.to_string()),
    }
}

/// The beginning of a text that may have any length.
pub(super) fn cut(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

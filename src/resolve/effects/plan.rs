//! What an effect will do, exactly, before it does it. Pure: told from the cases as they were found.

use crate::config::Effect;
use crate::domain::case::{FamilyField, FamilyRow, FoundCase, Verb};
use crate::domain::finding::Finding;
use crate::domain::schema::{Entity, ORDER, ORDER_ITEM, Schema};
use crate::domain::value::split_key;
use crate::resolve::steps::{self, Act};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::collections::HashSet;

/// What stands for a masked value wherever people read.
const MASKED: &str = "(masked)";

/// What leaves restitch, as the ledger keeps it until it has: no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Plan {
    /// Rows of the restored database, in one transaction.
    Sql {
        /// In the order in which they can be written.
        writes: Vec<Write>,
    },
    /// One message.
    Kafka {
        /// The topic.
        topic: String,
        /// The message's key: the order's.
        key: String,
        /// The message.
        payload: String,
    },
    /// One request.
    Http {
        /// Where it goes.
        url: String,
        /// Its body, JSON.
        payload: String,
    },
}

/// One row to be written, and how it must stand for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The row's entity.
    pub entity: String,
    /// Its key.
    pub key: String,
    /// Whether it is inserted, set or deleted.
    pub act: Act,
    /// The columns that are written; empty for a delete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Cell>,
    /// How the row stands, as it was shown: what is written is written only then. Of a row to be inserted, what no
    /// other row may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub was: Vec<Cell>,
}

/// A column and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The column.
    pub column: String,
    /// As the text input of the column's type; `None` is null.
    pub text: Option<String>,
    /// Kept to be able to write the row back, but not compared: the site ignores it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignored: bool,
}

impl Cell {
    fn new(column: &str, value: &Json) -> Self {
        Self {
            column: column.to_owned(),
            text: text(value),
            ignored: false,
        }
    }
}

/// A plan with what people are shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What leaves.
    pub plan: Plan,
    /// Line by line, masked values masked.
    pub lines: Vec<String>,
    /// The same for `--json`.
    pub json: Json,
}

/// What of a decision a plan depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// `--ref`
    pub reference: Option<&'a str>,
    /// `--to`
    pub to: Option<&'a str>,
}

/// What this verb, done by this effect, will do to the case and to those that it writes first (`chain`, the one to write
/// first in front); `None` for `record`. An error says why it cannot.
pub fn plan(
    effect: &Effect,
    verb: Verb,
    case: &FoundCase,
    chain: &[&FoundCase],
    asked: Asked<'_>,
    schema: &Schema,
) -> Result<Option<Planned>, String> {
    Ok(Some(match effect {
        Effect::Record => return Ok(None),
        Effect::Sql => {
            let writes = writes(verb, case, chain, asked, schema)?;
            Planned {
                lines: sql_lines(&writes, schema),
                json: json!({"do": "sql", "writes": writes.iter().map(|w| shown_write(w, schema)).collect::<Vec<_>>()}),
                plan: Plan::Sql { writes },
            }
        }
        Effect::Kafka(to) => {
            let (key, payload) = message(verb, case, chain, asked, schema, false)?;
            let (_, shown) = message(verb, case, chain, asked, schema, true)?;
            Planned {
                lines: vec![
                    format!("one message to topic {}, key {key}: {shown}", to.topic),
                    "at least once: a copy may follow, and carries the same idempotency-key".to_owned(),
                ],
                json: json!({"do": "kafka", "topic": to.topic, "key": key, "payload": shown}),
                plan: Plan::Kafka {
                    topic: to.topic.clone(),
                    key,
                    payload: payload.to_string(),
                },
            }
        }
        Effect::Http(to) => {
            let (_, payload) = message(verb, case, chain, asked, schema, false)?;
            let (_, shown) = message(verb, case, chain, asked, schema, true)?;
            Planned {
                lines: vec![
                    format!("POST {}: {shown}", to.url),
                    "sent again only where nothing can have happened: a refused connection, 429 or 503".to_owned(),
                ],
                json: json!({"do": "http", "url": to.url, "payload": shown}),
                plan: Plan::Http {
                    url: to.url.clone(),
                    payload: payload.to_string(),
                },
            }
        }
    }))
}

impl Plan {
    /// The word in files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sql { .. } => "sql",
            Self::Kafka { .. } => "kafka",
            Self::Http { .. } => "http",
        }
    }

    /// Whether nothing takes it back.
    pub const fn is_one_way(&self) -> bool {
        !matches!(self, Self::Sql { .. })
    }

    /// Whether doing it again under the same key is sure to do it once.
    pub const fn may_run_again(&self) -> bool {
        !matches!(self, Self::Http { .. })
    }

    /// What takes it back, provided that its rows still stand as it wrote them; `None` for what is one-way.
    pub fn inverse(&self) -> Option<Self> {
        let Self::Sql { writes } = self else { return None };
        let compared = |cells: &[Cell]| -> Vec<Cell> { cells.iter().filter(|c| !c.ignored).cloned().collect() };
        let back = |w: &Write| {
            let (act, set, was) = match w.act {
                Act::Insert => (Act::Delete, Vec::new(), compared(&w.set)),
                Act::Delete => {
                    let all = w.was.iter().map(|c| Cell {
                        ignored: false,
                        ..c.clone()
                    });
                    (Act::Insert, all.collect(), Vec::new())
                }
                Act::Set => {
                    let written = |c: &Cell| w.set.iter().find(|s| s.column == c.column);
                    let before = w.was.iter().filter(|c| written(c).is_some()).map(|c| Cell {
                        ignored: false,
                        ..c.clone()
                    });
                    let was = w.was.iter().map(|c| written(c).unwrap_or(c).clone());
                    (Act::Set, before.collect(), was.collect())
                }
            };
            Write {
                act,
                set,
                was,
                entity: w.entity.clone(),
                key: w.key.clone(),
            }
        };
        Some(Self::Sql {
            writes: writes.iter().rev().map(back).collect(),
        })
    }
}

/// The rows of all cases that the verb writes: what others refer to first, deletes last and the other way round.
fn writes(
    verb: Verb,
    case: &FoundCase,
    chain: &[&FoundCase],
    asked: Asked<'_>,
    schema: &Schema,
) -> Result<Vec<Write>, String> {
    let writes = match verb {
        Verb::Reapply => {
            let mut all = Vec::new();
            let mut deletes = Vec::new();
            for found in chain.iter().copied().chain([case]) {
                let mut last = Vec::new();
                for (act, finding) in steps::writes(found, schema) {
                    let write = reapplied(found, act, finding, schema)?;
                    if act == Act::Delete {
                        last.push(write);
                    } else {
                        all.push(write);
                    }
                }
                deletes.splice(0..0, last);
            }
            all.extend(deletes);
            all
        }
        Verb::Relink => relinked(case, asked, schema)?,
        Verb::Cancel => vec![cancelled(case, schema)?],
        other => return Err(format!("{} writes no rows", other.name())),
    };
    if writes.is_empty() {
        return Err("there is no row to write".to_owned());
    }
    // Two cases of a chain never share a row, but a plan that wrote one twice would undo itself.
    let mut once = HashSet::new();
    match writes.iter().find(|w| !once.insert((&w.entity, &w.key))) {
        Some(twice) => Err(format!("{} {} would be written twice", twice.entity, twice.key)),
        None => Ok(writes),
    }
}

fn entity<'s>(schema: &'s Schema, name: &str) -> Result<&'s Entity, String> {
    let found = schema.index(name).and_then(|ix| schema.entities.get(ix));
    found.ok_or_else(|| format!("{name} is not mapped to a table any more"))
}

fn row<'c>(case: &'c FoundCase, entity: &str, key: &str) -> Result<&'c FamilyRow, String> {
    let row = case.family.iter().find(|r| r.entity == entity && r.key == key);
    row.ok_or_else(|| format!("{} is not known field by field", steps::name(case, entity, key)))
}

fn reapplied(case: &FoundCase, act: Act, finding: &Finding, schema: &Schema) -> Result<Write, String> {
    let mapped = entity(schema, &finding.entity)?;
    let row = row(case, &finding.entity, &finding.key)?;
    Ok(match act {
        Act::Insert => inserted(row, mapped),
        Act::Set => Write {
            entity: row.entity.clone(),
            key: row.key.clone(),
            act,
            set: finding.fields.iter().map(|d| Cell::new(&d.name, &d.log)).collect(),
            was: as_seen(row, mapped),
        },
        Act::Delete => Write {
            entity: row.entity.clone(),
            key: row.key.clone(),
            act,
            set: Vec::new(),
            was: as_seen(row, mapped),
        },
    })
}

/// Everything that the log tells of a row; what it does not tell gets the table's defaults.
fn inserted(row: &FamilyRow, mapped: &Entity) -> Write {
    let told = |f: &FamilyField| Some(Cell::new(&f.name, f.said()?));
    let mut set: Vec<Cell> = row.fields.iter().filter_map(told).collect();
    let parts = split_key(&row.key, mapped.key.len());
    if parts.len() == mapped.key.len() {
        for (column, part) in mapped.key.iter().zip(parts) {
            if !set.iter().any(|c| c.column == *column) {
                let text = Some(part.into_owned());
                set.push(Cell {
                    column: column.clone(),
                    text,
                    ignored: false,
                });
            }
        }
    }
    let identity = |c: &&Cell| c.text.is_some() && mapped.identity.contains(&c.column);
    Write {
        entity: row.entity.clone(),
        key: row.key.clone(),
        act: Act::Insert,
        was: set.iter().filter(identity).cloned().collect(),
        set,
    }
}

/// The row as it was shown, but for its key.
fn as_seen(row: &FamilyRow, mapped: &Entity) -> Vec<Cell> {
    let seen = |f: &FamilyField| {
        let mut cell = Cell::new(&f.name, f.stood());
        cell.ignored = mapped.ignore.contains(&f.name);
        cell
    };
    row.fields.iter().map(seen).collect()
}

/// The referring rows with the other reference; those that are lost come back with it.
fn relinked(case: &FoundCase, asked: Asked<'_>, schema: &Schema) -> Result<Vec<Write>, String> {
    let (Some(column), Some(to)) = (asked.reference, asked.to) else {
        return Err("which reference, and to what, is not said yet".to_owned());
    };
    let lacks = |r: &FamilyRow| r.refs.iter().any(|r| r.column == column && case.lacks(r));
    let mut writes = Vec::new();
    for (_, finding) in steps::writes(case, schema)
        .iter()
        .filter(|(act, _)| *act == Act::Insert)
    {
        let lost = row(case, &finding.entity, &finding.key)?;
        let mut write = inserted(lost, entity(schema, &lost.entity)?);
        for cell in write.set.iter_mut().filter(|c| c.column == column && lacks(lost)) {
            cell.text = Some(to.to_owned());
        }
        writes.push(write);
    }
    for row in case.family.iter().filter(|r| r.restored && lacks(r)) {
        let mapped = entity(schema, &row.entity)?;
        writes.push(Write {
            entity: row.entity.clone(),
            key: row.key.clone(),
            act: Act::Set,
            set: vec![Cell::new(column, &Json::from(to))],
            was: as_seen(row, mapped),
        });
    }
    Ok(writes)
}

fn cancelled(case: &FoundCase, schema: &Schema) -> Result<Write, String> {
    let mapped = entity(schema, ORDER)?;
    let key = case.order.as_deref().unwrap_or_default();
    let row = row(case, ORDER, key)?;
    if !row.restored {
        return Err(format!("{} is not there: no row could be cancelled", case.label));
    }
    let (Some(column), Some(state)) = (&mapped.state, mapped.cancelled.first()) else {
        return Err("no state is configured as cancelled".to_owned());
    };
    Ok(Write {
        entity: ORDER.to_owned(),
        key: row.key.clone(),
        act: Act::Set,
        set: vec![Cell::new(column, &Json::from(state.as_str()))],
        was: as_seen(row, mapped),
    })
}

/// A value as the text input of its column's type.
fn text(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(s) => Some(s.clone()),
        other => Some(other.to_string()),
    }
}

/// One line a row: `insert om.orders 41: id = 41, external_id = SFO-77`.
fn sql_lines(writes: &[Write], schema: &Schema) -> Vec<String> {
    let mut lines: Vec<String> = writes.iter().map(|w| line(w, schema)).collect();
    if writes.iter().any(|w| w.act == Act::Insert) {
        lines.push("columns that the log does not tell get the table's defaults".to_owned());
    }
    lines.push("one transaction: all of it, and only while every row stands as it was shown".to_owned());
    lines
}

fn line(write: &Write, schema: &Schema) -> String {
    let entity = entity(schema, &write.entity).ok();
    let table = entity.map_or(write.entity.as_str(), |e| e.table.as_str());
    let value = |c: &Cell| match &c.text {
        _ if is_masked(entity, &c.column) => MASKED.to_owned(),
        None => "null".to_owned(),
        Some(text) => steps::cut(text),
    };
    let cells: Vec<String> = match write.act {
        Act::Insert => write
            .set
            .iter()
            .map(|c| format!("{} = {}", c.column, value(c)))
            .collect(),
        Act::Set => {
            let was = |c: &Cell| {
                write
                    .was
                    .iter()
                    .find(|w| w.column == c.column)
                    .map_or_else(String::new, value)
            };
            let change = |c: &Cell| format!("{} from {} to {}", c.column, was(c), value(c));
            write.set.iter().map(change).collect()
        }
        Act::Delete => write
            .was
            .iter()
            .map(|c| format!("{} = {}", c.column, value(c)))
            .collect(),
    };
    let colon = if cells.is_empty() { "" } else { ": " };
    format!("{} {table} {}{colon}{}", write.act.word(), write.key, cells.join(", "))
}

fn is_masked(entity: Option<&Entity>, column: &str) -> bool {
    entity.is_some_and(|e| e.mask.iter().any(|m| m == column))
}

fn shown_write(write: &Write, schema: &Schema) -> Json {
    let entity = entity(schema, &write.entity).ok();
    let cells = |cells: &[Cell]| -> Map<String, Json> {
        let value = |c: &Cell| match &c.text {
            _ if is_masked(entity, &c.column) => Json::from(MASKED),
            text => Json::from(text.clone()),
        };
        cells.iter().map(|c| (c.column.clone(), value(c))).collect()
    };
    json!({
        "act": write.act.word(), "entity": write.entity, "key": write.key,
        "table": entity.map_or(write.entity.as_str(), |e| e.table.as_str()),
        "set": cells(&write.set), "was": cells(&write.was),
    })
}

/// Key and content of the one message of a decision. A resubmitted order goes in the words of the log, or of the hold where
/// it came from there; every other verb names itself and lists native events.
fn message(
    verb: Verb,
    case: &FoundCase,
    chain: &[&FoundCase],
    asked: Asked<'_>,
    schema: &Schema,
    mask: bool,
) -> Result<(String, Json), String> {
    let key = case
        .order
        .clone()
        .or_else(|| case.id.strip_prefix("held:").map(str::to_owned));
    let key = key.ok_or_else(|| "no order owns this row".to_owned())?;
    if verb == Verb::Resubmit {
        let order = submitted(case, &key, schema, mask)?;
        return Ok((key, order));
    }
    let events: Vec<Json> = writes(verb, case, chain, asked, schema)?
        .iter()
        .map(|w| {
            let shown = |c: &Cell| match &c.text {
                _ if mask && is_masked(entity(schema, &w.entity).ok(), &c.column) => Json::from(MASKED),
                text => Json::from(text.clone()),
            };
            let state: Map<String, Json> = w.set.iter().map(|c| (c.column.clone(), shown(c))).collect();
            let (op, state) = match w.act {
                Act::Insert => ("insert", Json::from(state)),
                Act::Set => ("upsert", Json::from(state)),
                Act::Delete => ("delete", Json::Null),
            };
            json!({"entity": w.entity, "key": w.key, "op": op, "state": state})
        })
        .collect();
    let payload = json!({"verb": verb.name(), "case": case.id, "order": key, "events": events});
    Ok((key, payload))
}

/// The order with its items, as one native event.
fn submitted(case: &FoundCase, key: &str, schema: &Schema, mask: bool) -> Result<Json, String> {
    let state = |row: &FamilyRow| -> Map<String, Json> {
        let mapped = entity(schema, &row.entity).ok();
        let told = row.fields.iter().filter_map(|f| Some((f, f.said()?)));
        told.map(|(f, value)| {
            let hidden = mask && is_masked(mapped, &f.name);
            (f.name.clone(), if hidden { Json::from(MASKED) } else { value.clone() })
        })
        .collect()
    };
    let order = case.family.iter().find(|r| r.entity == ORDER && r.key == key);
    let order = order.ok_or_else(|| format!("{} is not known field by field", case.label))?;
    let mut all = state(order);
    if all.is_empty() {
        return Err(format!("the log tells nothing of {}", case.label));
    }
    let is_item = |r: &&FamilyRow| r.entity == ORDER_ITEM && r.log != Some(false);
    let items: Vec<Json> = case
        .family
        .iter()
        .filter(is_item)
        .map(|r| Json::from(state(r)))
        .collect();
    if !items.is_empty() {
        all.insert("items".to_owned(), Json::from(items));
    }
    Ok(json!({"entity": ORDER, "key": key, "op": "insert", "state": all}))
}

/// Whether a case is such that what a plan of it writes could be something else by now.
pub fn digest(case: &FoundCase, chain: &[&FoundCase]) -> String {
    use sha2::{Digest, Sha256};
    let mut sha = Sha256::new();
    for found in chain.iter().copied().chain([case]) {
        // A found case is plain data: it always has a JSON form.
        sha.update(serde_json::to_vec(found).unwrap_or_default());
    }
    let bytes = sha.finalize();
    bytes[..16].iter().fold(String::with_capacity(32), |mut out, b| {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

//! Format `debezium`: the change event envelope of Debezium's PostgreSQL connector as Kafka Connect's JSON converter writes
//! it, with or without the schema around it.
//!
//! Source: Debezium documentation, "Debezium connector for PostgreSQL", sections "Data change events" and "Data type
//! mappings". A change of the primary key arrives as a delete of the old key and a create of the new one (section "Primary
//! key updates"); the headers that join the two are not in a file.

mod decimal;
mod form;
mod shape;
mod temporal;
mod value;

use super::members::Members;
use super::{FormatContext, Line};
use crate::domain::event::{Change, Op, Position};
use crate::domain::mask::MASKED;
use crate::domain::schema::{ColumnIx, EntityIx};
use crate::domain::value::LogValue;
use form::{Form, RowForm};
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::rc::Rc;

/// The members of a change event, those of the wrapper that may be around it, and those that other messages of the
/// connector have. All are kept as written: of most lines few are read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    op: Option<&'a RawValue>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<Source<'a>>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    ts_us: Option<&'a RawValue>,
    #[serde(borrow)]
    ts_ns: Option<&'a RawValue>,
    #[serde(borrow)]
    ts_ms: Option<&'a RawValue>,
}

/// Where the change was made. Only the table is needed; other connectors give positions of other forms.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Source<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    lsn: Option<&'a RawValue>,
    #[serde(borrow)]
    sequence: Option<&'a RawValue>,
    #[serde(borrow, rename = "txId")]
    transaction: Option<&'a RawValue>,
    #[serde(borrow)]
    ts_us: Option<&'a RawValue>,
    #[serde(borrow)]
    ts_ns: Option<&'a RawValue>,
    #[serde(borrow)]
    ts_ms: Option<&'a RawValue>,
}

/// Tells a `payload` that is null from none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// Decodes one line. The error says why the event is rejected.
pub fn decode<'a>(ctx: &FormatContext<'_>, line: &'a str, out: &mut impl FnMut(Change<'a>)) -> Result<Line, String> {
    let line = line.trim();
    // A tombstone: the null that follows a delete for Kafka's compaction.
    if matches!(line, "" | "null") {
        return Ok(Line::SkippedOther);
    }
    let mut envelope = read(line)?;
    let mut form = None;
    if let (Some(payload), None) = (envelope.payload, envelope.op) {
        if payload.get() == "null" {
            return Ok(Line::SkippedOther);
        }
        form = envelope.schema.map(|schema| form::of(schema.get()));
        envelope = read(payload.get())?;
    }
    let Some(op) = envelope.op else {
        return if other_message(line, &envelope) {
            Ok(Line::SkippedOther)
        } else {
            Err("no change event: it has no \"op\"".to_owned())
        };
    };
    let op = value::unquote(op).unwrap_or_default();
    // A message that somebody wrote into the WAL; it is of no table.
    if op == "m" {
        return Ok(Line::SkippedOther);
    }
    let source = envelope.source.as_ref().ok_or("the event has no \"source\"")?;
    let Some(entity) = ctx.entity_of_table(&source.schema, &source.table) else {
        return Ok(Line::SkippedTable);
    };
    let mut change = Change {
        entity,
        key: Cow::Borrowed(""),
        moved_from: None,
        op: Op::Truncate,
        version: None,
        position: source.position(),
        at: micros(source.ts_us, source.ts_ns, source.ts_ms)
            .or_else(|| micros(envelope.ts_us, envelope.ts_ns, envelope.ts_ms)),
        transaction: super::number_text(source.transaction),
        actor: None,
        fields: SmallVec::new(),
    };
    let decoder = Decoder { ctx, entity, form };
    match &*op {
        "c" | "r" | "u" => {
            let after = envelope.after.ok_or("the event has no \"after\"")?;
            change.op = if op == "c" { Op::Insert } else { Op::Upsert };
            change.fields = decoder.row(after, Side::After)?;
            change.key = decoder.key(&change.fields)?;
            if let (Some(before), "u") = (envelope.before, &*op) {
                // Where another key than the table's own is configured, its changes are plain updates.
                let old = decoder
                    .row(before, Side::Before)
                    .and_then(|before| decoder.key(&before));
                change.moved_from = old.ok().filter(|old| *old != change.key);
            }
        }
        "d" => {
            let before = envelope.before.ok_or("the delete has no \"before\"")?;
            change.op = Op::Delete;
            change.fields = decoder.row(before, Side::Deleted)?;
            change.key = decoder.key(&change.fields)?;
        }
        "t" => {}
        _ => return Err(format!("unknown \"op\" {op:?}")),
    }
    out(change);
    Ok(Line::Changes)
}

/// Whether this is one of the connector's messages that are no change events: the boundary of a transaction, or a
/// heartbeat, which is nothing but its time.
fn other_message(line: &str, envelope: &Envelope<'_>) -> bool {
    let status = envelope.status.and_then(value::unquote);
    let heartbeat = || serde_json::from_str::<Members<'_>>(line).is_ok_and(|Members(members)| members.len() == 1);
    matches!(status.as_deref(), Some("BEGIN" | "END")) || envelope.ts_ms.is_some() && heartbeat()
}

fn read(json: &str) -> Result<Envelope<'_>, String> {
    serde_json::from_str(json).map_err(|e| format!("no change event: {e}"))
}

/// A number; documentation examples also show it as a string.
fn number<T: std::str::FromStr>(raw: Option<&RawValue>) -> Option<T> {
    raw?.get().trim_matches('"').parse().ok()
}

/// Microseconds since 1970 of the first of the three that is there.
fn micros(us: Option<&RawValue>, ns: Option<&RawValue>, ms: Option<&RawValue>) -> Option<i64> {
    number(us)
        .or_else(|| number::<i64>(ns).map(|ns| ns.div_euclid(1_000)))
        .or_else(|| number::<i64>(ms)?.checked_mul(1_000))
}

impl Source<'_> {
    /// The LSN as a number. Incremental snapshots leave it out; there it is the last one of `sequence`, a JSON array in a
    /// string of the last commit's and the current LSN.
    fn position(&self) -> Option<Position> {
        let lsn = number(self.lsn).or_else(|| {
            let sequence = value::unquote(self.sequence?)?;
            let lsns: Vec<Option<String>> = serde_json::from_str(&sequence).ok()?;
            lsns.iter().rev().flatten().next()?.parse().ok()
        })?;
        Some(Position::Number(lsn))
    }
}

/// Which row of the event is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The whole row.
    After,
    /// Only its key matters.
    Before,
    /// The last state of a deleted row.
    Deleted,
}

/// Fields of a row, as [`Change::fields`].
type Fields<'a> = SmallVec<[(ColumnIx, LogValue<'a>); 16]>;

struct Decoder<'c, 's> {
    ctx: &'c FormatContext<'s>,
    entity: EntityIx,
    form: Option<Rc<RowForm>>,
}

impl Decoder<'_, '_> {
    fn row<'a>(&self, raw: &'a RawValue, side: Side) -> Result<Fields<'a>, String> {
        let Members(members) = serde_json::from_str(raw.get()).map_err(|e| format!("no row: {e}"))?;
        let table = &self.ctx.catalogue.tables[self.entity];
        let mut fields = Fields::new();
        for (at, (name, raw)) in members.into_iter().enumerate() {
            let Some(ix) = self.ctx.nth_column(self.entity, at, &name) else {
                continue;
            };
            let field = self.form.as_ref().and_then(|f| f.field(at, &name));
            let is_key = table.key.contains(&ix);
            let skip = match side {
                Side::After => false,
                Side::Before => !is_key || stand_in(raw, None),
                Side::Deleted => !is_key && stand_in(raw, field.and_then(|f| f.default.as_deref())),
            };
            if skip {
                continue;
            }
            let form = field.map_or(&Form::Plain, |f| &f.form);
            match value::decode(form, &table.columns[usize::from(ix)], raw) {
                Ok(Some(value)) => fields.push((ix, value)),
                Ok(None) => {}
                Err(why) if self.ctx.schema.entities[self.entity].masks(&name) => {
                    return Err(format!("column {name:?}: {MASKED} {why}"));
                }
                Err(why) => return Err(format!("column {name:?}: {} {why}", excerpt(raw.get()))),
            }
        }
        Ok(fields)
    }

    fn key<'a>(&self, fields: &[(ColumnIx, LogValue<'a>)]) -> Result<Cow<'a, str>, String> {
        let table = &self.ctx.catalogue.tables[self.entity];
        self.ctx.key(self.entity, |name| {
            let ix = table.column(name)?;
            fields.iter().find(|(i, _)| *i == ix).map(|(_, value)| value.clone())
        })
    }
}

/// Whether a value of `before` may stand for none at all. What the replica identity leaves out comes as null or, where the
/// column is `NOT NULL`, as its default or else a zero of its type (section "Replica identity", and the fallbacks of
/// `PostgresValueConverter`). As the last state of a row these would be lies; a true zero is in the events before.
fn stand_in(raw: &RawValue, default: Option<&str>) -> bool {
    let json = raw.get();
    matches!(
        json,
        "null"
            | "false"
            | "[]"
            | "{}"
            | r#""{}""#
            | r#""AA==""#
            | r#"{"scale":0,"value":"AA=="}"#
            | r#""P0Y0M0DT0H0M0S""#
            | r#""1970-01-01T00:00:00Z""#
            | r#""1970-01-01Z""#
            | r#""00:00:00Z""#
    ) || json.trim_matches('"').bytes().all(|b| matches!(b, b'0' | b'.'))
        || default == Some(json)
}

/// A value for a message: its beginning.
fn excerpt(json: &str) -> Cow<'_, str> {
    const LONGEST: usize = 60;
    match json.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}...", &json[..end])),
        None => Cow::Borrowed(json),
    }
}

#[cfg(test)]
mod tests;

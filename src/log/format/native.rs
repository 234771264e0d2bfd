//! `native`: one event a line,
//! `{"pos":12,"ts":"…","entity":"order","key":"958","op":"insert"|"upsert"|"delete","version":7?,"state":{…}|null}`;
//! where it knows them also `"tx"`, the transaction, and `"actor"`, who made it.
//!
//! Two readers that agree on every line: [`fast`] reads what nearly every line looks like without a copy, and leaves
//! everything else (members named twice, escapes in names, mistakes) to [`slow`], which also knows why a line is refused.

use super::{FormatContext, Line, value_of};
use crate::domain::event::{Change, Op, Position};
use crate::domain::schema::EntityIx;
use crate::domain::time;
use crate::domain::value::{ColumnType, LogKind, LogValue};
use crate::log::json::Cursor;
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::HashMap;

/// Decodes one line.
pub fn decode<'a>(ctx: &FormatContext<'_>, line: &'a str, out: &mut impl FnMut(Change<'a>)) -> Result<Line, String> {
    match fast(ctx, line, out) {
        Some(kind) => Ok(kind),
        None => slow(ctx, line, out),
    }
}

/// The members of an event as far as they are read.
#[derive(Default)]
struct Members<'a> {
    position: Option<u64>,
    at: Option<i64>,
    /// Its name was read, and this is what it maps to.
    named: bool,
    entity: Option<EntityIx>,
    key: Option<LogValue<'a>>,
    op: Option<Op>,
    version: Option<i64>,
    transaction: Option<Cow<'a, str>>,
    actor: Option<Cow<'a, str>>,
    state: Option<Cursor<'a>>,
}

/// Reads a line of the usual kind; `None` leaves it to [`slow`], having handed out nothing.
pub(super) fn fast<'a>(ctx: &FormatContext<'_>, line: &'a str, out: &mut impl FnMut(Change<'a>)) -> Option<Line> {
    let mut c = Cursor::new(line);
    let mut m = Members::default();
    let mut fields = SmallVec::new();
    let mut fields_read = false;
    let mut seen = 0_u16;
    c.open(b'{')?;
    loop {
        let name = c.plain_string()?;
        c.open(b':')?;
        let bit = match name {
            "pos" => 1,
            "ts" => 2,
            "entity" => 4,
            "key" => 8,
            "op" => 16,
            "version" => 32,
            "state" => 64,
            "tx" => 128,
            "actor" => 256,
            _ => 0,
        };
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        match bit {
            1 => m.position = c.integer_or_null()?.ok(),
            2 => {
                m.at = match c.scalar()? {
                    LogValue {
                        kind: LogKind::Null, ..
                    } => None,
                    LogValue {
                        kind: LogKind::Text,
                        text,
                    } => Some(instant(&text)?),
                    _ => return None,
                }
            }
            4 => {
                let name = c.plain_string()?;
                m.entity = ctx.schema.index(name);
                m.named = true;
            }
            8 => m.key = Some(c.scalar()?),
            16 => m.op = Some(op(c.plain_string()?)?),
            32 => m.version = c.integer_or_null()?.ok(),
            64 => {
                if c.peek() == Some(b'{') {
                    if let Some(entity) = m.entity {
                        read_fields(ctx, entity, &mut c, &mut fields)?;
                        fields_read = true;
                    } else {
                        m.state = Some(c.clone());
                        c.skip()?;
                    }
                } else if c.scalar()?.kind != LogKind::Null {
                    return None;
                }
            }
            128 => m.transaction = said(c.value()?),
            256 => m.actor = said(c.value()?),
            _ => c.skip()?,
        }
        if !c.more(b'}')? {
            break;
        }
    }
    c.end()?;
    let op = m.op?;
    let key = m.key?;
    let Some(entity) = m.entity else {
        return (m.named && is_key(&key)).then_some(Line::SkippedTable);
    };
    let key = quick_key(ctx, entity, key)?;
    if let Some(mut state) = m.state
        && !fields_read
    {
        read_fields(ctx, entity, &mut state, &mut fields)?;
    }
    out(Change {
        entity,
        key,
        moved_from: None,
        op,
        version: m.version,
        position: m.position.map(Position::Number),
        at: m.at,
        transaction: m.transaction,
        actor: m.actor,
        fields,
    });
    Some(Line::Changes)
}

fn read_fields<'a>(
    ctx: &FormatContext<'_>,
    entity: EntityIx,
    c: &mut Cursor<'a>,
    fields: &mut SmallVec<[(u16, LogValue<'a>); 16]>,
) -> Option<()> {
    c.open(b'{')?;
    if c.shut(b'}') {
        return Some(());
    }
    let mut nth = 0;
    loop {
        let name = c.plain_string()?;
        c.open(b':')?;
        let value = c.value()?;
        if let Some(column) = ctx.nth_column(entity, nth, name) {
            fields.push((column, value));
        }
        nth += 1;
        if !c.more(b'}')? {
            return Some(());
        }
    }
}

/// A transaction's or person's name: text, or a number as written. Anything else is none, and no mistake.
fn said(value: LogValue<'_>) -> Option<Cow<'_, str>> {
    matches!(value.kind, LogKind::Text | LogKind::Number).then_some(value.text)
}

/// The canonical key where that takes no more than a look.
fn quick_key<'a>(ctx: &FormatContext<'_>, entity: EntityIx, key: LogValue<'a>) -> Option<Cow<'a, str>> {
    let table = &ctx.catalogue.tables[entity];
    if let [only] = table.key[..] {
        let digits = match table.columns[usize::from(only)].ty {
            ColumnType::Int8 => 18,
            ColumnType::Int4 => 9,
            ColumnType::Int2 => 4,
            ColumnType::Text if key.kind == LogKind::Text => return Some(key.text),
            _ => 0,
        };
        let b = key.text.as_bytes();
        if !b.is_empty() && b.len() <= digits && b[0] != b'0' && b.iter().all(u8::is_ascii_digit) {
            return Some(key.text);
        }
    }
    if is_key(&key) {
        ctx.whole_key(entity, &key).ok()
    } else {
        None
    }
}

/// Keys may be strings or integers.
fn is_key(key: &LogValue<'_>) -> bool {
    match key.kind {
        LogKind::Text => true,
        LogKind::Number => !key.text.contains(['.', 'e', 'E']),
        _ => false,
    }
}

fn op(name: &str) -> Option<Op> {
    match name {
        "insert" => Some(Op::Insert),
        "upsert" => Some(Op::Upsert),
        "delete" => Some(Op::Delete),
        _ => None,
    }
}

/// RFC 3339; the form in UTC that machines write is read without the calendar library.
pub(crate) fn instant(text: &str) -> Option<i64> {
    utc(text.as_bytes()).or_else(|| time::parse(text))
}

fn utc(b: &[u8]) -> Option<i64> {
    let (b, b'Z') = (b.get(..b.len().checked_sub(1)?)?, *b.last()?) else {
        return None;
    };
    let two = |at: usize| -> Option<i64> {
        let (hi, lo) = (b.get(at)?.wrapping_sub(b'0'), b.get(at + 1)?.wrapping_sub(b'0'));
        (hi < 10 && lo < 10).then(|| i64::from(hi * 10 + lo))
    };
    let punctuated = b.len() >= 19 && b[4] == b'-' && b[7] == b'-' && b[10] == b'T' && b[13] == b':' && b[16] == b':';
    if !punctuated {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let in_range = year >= 1 && (1..=12).contains(&month) && (1..=28).contains(&day);
    // Days 29 to 31 and leap seconds depend on the calendar.
    if !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = 0;
    if b.len() > 19 {
        let digits = &b[20..];
        if b[19] != b'.' || digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for at in 0..6 {
            micros = micros * 10 + digits.get(at).map_or(0, |d| i64::from(d - b'0'));
        }
    }
    // Howard Hinnant, "chrono-compatible low-level date algorithms": days_from_civil.
    let y = if month <= 2 { year - 1 } else { year };
    let (era, month) = (y / 400, if month > 2 { month - 3 } else { month + 9 });
    let year_of_era = y - era * 400;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    // Fractions of instants before 1970 round down all the same: they count forward from the second.
    Some((days * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000_000 + micros)
}

/// Reads any line, and says why where it cannot.
pub(super) fn slow<'a>(
    ctx: &FormatContext<'_>,
    line: &'a str,
    out: &mut impl FnMut(Change<'a>),
) -> Result<Line, String> {
    let event = Event::read(line)?;
    let name = event.entity.ok_or("no `entity`")?;
    let op = event.op.ok_or("no `op`")?;
    let Some(entity) = ctx.schema.index(&name) else {
        return Ok(Line::SkippedTable);
    };
    let key = ctx.whole_key(entity, &event.key)?;
    let mut fields = SmallVec::new();
    for (name, value) in event.state {
        let value = value.map_err(|e| format!("state.{name}: {e}"))?;
        if let Some(column) = ctx.column(entity, &name) {
            fields.push((column, value));
        }
    }
    out(Change {
        entity,
        key,
        moved_from: None,
        op,
        version: event.version,
        position: event.position.map(Position::Number),
        at: event.at,
        transaction: event.transaction,
        actor: event.actor,
        fields,
    });
    Ok(Line::Changes)
}

/// An event before anything is known of its entity: what the log and the hold have in common.
pub(crate) struct Event<'a> {
    pub position: Option<u64>,
    pub at: Option<i64>,
    pub entity: Option<Cow<'a, str>>,
    pub key: LogValue<'a>,
    pub op: Option<Op>,
    pub version: Option<i64>,
    pub transaction: Option<Cow<'a, str>>,
    pub actor: Option<Cow<'a, str>>,
    /// Each column once, the last where it stands twice.
    pub state: HashMap<String, Result<LogValue<'a>, String>>,
}

impl<'a> Event<'a> {
    pub fn read(line: &'a str) -> Result<Self, String> {
        let members: HashMap<String, &'a RawValue> = serde_json::from_str(line).map_err(|e| super::why(line, &e))?;
        let member = |name: &str| -> Result<LogValue<'a>, String> {
            let value = members.get(name).map_or(Ok(LogValue::NULL), |raw| value_of(raw.get()));
            value.map_err(|e| format!("`{name}`: {e}"))
        };
        let text = |name: &str| match member(name)? {
            LogValue {
                kind: LogKind::Text,
                text,
            } => Ok(Some(text)),
            LogValue {
                kind: LogKind::Null, ..
            } => Ok(None),
            other => Err(format!("`{name}` is {}, not a string", other.text)),
        };
        let entity = text("entity")?;
        let op_of = |text: Cow<'a, str>| op(&text).ok_or(format!("`op` is {text:?}, not insert, upsert or delete"));
        let op = text("op")?.map(op_of).transpose()?;
        let key = member("key")?;
        if key.kind == LogKind::Null {
            return Err("no `key`".to_owned());
        }
        if !is_key(&key) {
            return Err(format!("`key` is {}, not a string or an integer", key.text));
        }
        let at = match member("ts")? {
            LogValue {
                kind: LogKind::Null, ..
            } => None,
            LogValue { text, .. } => {
                Some(instant(&text).ok_or_else(|| format!("`ts` is {text:?}, not an RFC 3339 instant"))?)
            }
        };
        let name = |name: &str| member(name).ok().and_then(said);
        let state = match member("state")? {
            LogValue {
                kind: LogKind::Null, ..
            } => HashMap::new(),
            LogValue {
                kind: LogKind::Json, ..
            } => {
                let raw = members.get("state").map_or("", |raw| raw.get());
                let state: HashMap<String, &'a RawValue> =
                    serde_json::from_str(raw).map_err(|_| "`state` is not an object".to_owned())?;
                state
                    .into_iter()
                    .map(|(name, raw)| (name, value_of(raw.get())))
                    .collect()
            }
            _ => return Err("`state` is not an object".to_owned()),
        };
        Ok(Self {
            position: integer(&member("pos")?, "pos")?,
            at,
            entity,
            key,
            op,
            version: integer(&member("version")?, "version")?,
            transaction: name("tx"),
            actor: name("actor"),
            state,
        })
    }
}

fn integer<N: std::str::FromStr>(value: &LogValue<'_>, name: &str) -> Result<Option<N>, String> {
    match value.kind {
        LogKind::Null => Ok(None),
        LogKind::Number => value
            .text
            .parse()
            .map(Some)
            .map_err(|_| format!("`{name}` is {}, not a 64-bit integer", value.text)),
        _ => Err(format!("`{name}` is {}, not a number", value.text)),
    }
}

#[cfg(test)]
mod tests;

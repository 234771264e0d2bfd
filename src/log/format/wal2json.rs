//! `wal2json`, format version 2: one change a line, as the PostgreSQL output plugin of that name writes it.
//!
//! Source: <https://github.com/eulerto/wal2json>, README ("format-version") and `wal2json.c`.

use super::{FormatContext, Line, value_of};
use crate::domain::event::{Change, Op, Position};
use crate::domain::schema::EntityIx;
use crate::domain::time;
use crate::domain::value::{ColumnType, LogKind, LogValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    schema: Option<String>,
    table: Option<String>,
    lsn: Option<String>,
    /// The transaction's id (option `include-xids`).
    #[serde(borrow)]
    xid: Option<&'a RawValue>,
    timestamp: Option<String>,
    #[serde(borrow)]
    columns: Option<Vec<Column<'a>>>,
    #[serde(borrow)]
    identity: Option<Vec<Column<'a>>>,
}

#[derive(Deserialize)]
struct Column<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
    /// Whether the column may be null (option `include-not-null`).
    optional: Option<bool>,
}

/// Decodes one line.
pub fn decode<'a>(ctx: &FormatContext<'_>, line: &'a str, out: &mut impl FnMut(Change<'a>)) -> Result<Line, String> {
    let why = match serde_json::from_str(line) {
        Ok(record) => return change(ctx, record, out),
        Err(e) => super::why(line, &e),
    };
    let Some(mended) = without_broken_types(line) else {
        return Err(why);
    };
    let record = serde_json::from_str(&mended).map_err(|_| why)?;
    change(ctx, record, &mut |change| out(owned(change)))
}

/// The line without the names of types in a schema that needs quotes: wal2json writes `"type":"My Schema"."My Type"`,
/// which is no JSON (`pg_decode_write_tuple` takes a name that begins and ends with a quote for JSON already).
fn without_broken_types(line: &str) -> Option<String> {
    const TYPE: &str = r#""type":""#;
    let mut mended = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(TYPE) {
        let (before, name) = rest.split_at(at + TYPE.len());
        let close = name.find('"')?;
        mended.push_str(before);
        rest = match name[close..].strip_prefix(r#"".""#) {
            Some(second) => &second[second.find('"')?..],
            None => name,
        };
    }
    (!mended.is_empty()).then(|| mended + rest)
}

/// The change with all its text its own.
fn owned<'a>(change: Change<'_>) -> Change<'a> {
    let text = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    let value = |v: LogValue<'_>| LogValue::new(v.kind, v.text.into_owned());
    Change {
        entity: change.entity,
        key: text(change.key),
        moved_from: change.moved_from.map(text),
        op: change.op,
        version: change.version,
        position: change.position,
        at: change.at,
        transaction: change.transaction.map(text),
        actor: change.actor.map(text),
        fields: change.fields.into_iter().map(|(ix, v)| (ix, value(v))).collect(),
    }
}

fn change<'a>(ctx: &FormatContext<'_>, record: Record<'a>, out: &mut impl FnMut(Change<'a>)) -> Result<Line, String> {
    let op = match &*record.action {
        "I" => Op::Insert,
        "U" => Op::Upsert,
        "D" => Op::Delete,
        "T" => Op::Truncate,
        "B" | "C" | "M" => return Ok(Line::SkippedOther),
        other => return Err(format!("`action` is {other:?}, not I, U, D, T, B, C or M")),
    };
    let table = record.table.as_deref().ok_or("no `table`")?;
    let Some(entity) = ctx.entity_of_table(record.schema.as_deref().unwrap_or_default(), table) else {
        return Ok(Line::SkippedTable);
    };
    let position = record.lsn.map(|text| lsn(&text)).transpose()?;
    let at = record.timestamp.map(|text| instant(&text)).transpose()?;
    let columns = values(record.columns)?;
    let identity = values(record.identity)?;
    let mut change = Change {
        entity,
        key: Cow::Borrowed(""),
        moved_from: None,
        op,
        version: None,
        position,
        at,
        transaction: super::number_text(record.xid),
        actor: None,
        fields: SmallVec::new(),
    };
    let fields = match op {
        Op::Truncate => Vec::new(),
        Op::Delete => {
            change.key = ctx
                .key(entity, |name| find(&identity, name))
                .map_err(|e| format!("identity: {e}"))?;
            identity
        }
        Op::Insert => {
            change.key = ctx.key(entity, |name| find(&columns, name))?;
            columns
        }
        Op::Upsert => {
            // A key column so long that it is stored outside of the row is left out when unchanged.
            let new = |name: &str| find(&columns, name).or_else(|| find(&identity, name));
            change.key = ctx.key(entity, new)?;
            let key_is_known = ctx.key_columns(entity).all(|name| find(&identity, name).is_some());
            if key_is_known {
                let old = ctx
                    .key(entity, |name| find(&identity, name))
                    .map_err(|e| format!("identity: {e}"))?;
                change.moved_from = (old != change.key).then_some(old);
            }
            columns
        }
    };
    for (name, value) in fields {
        if let Some(column) = ctx.column(entity, &name) {
            change.fields.push((column, as_input(ctx, entity, column, value)));
        }
    }
    out(change);
    Ok(Line::Changes)
}

type Values<'a> = Vec<(Cow<'a, str>, LogValue<'a>)>;

/// The values of these columns. A number that JSON lacks (`NaN`, the infinities) is written as null: where the column
/// cannot be null that is told, and the value is not known. Elsewhere it looks like a true null; the option
/// `numeric-data-types-as-string` avoids it.
fn values<'a>(columns: Option<Vec<Column<'a>>>) -> Result<Values<'a>, String> {
    let value = |c: Column<'a>| match value_of(c.value.get()) {
        Ok(value) => Ok((c.name, value)),
        Err(e) => Err(format!("column {}: {e}", c.name)),
    };
    let known = |c: &Column<'a>| c.optional != Some(false) || c.value.get() != "null";
    columns.into_iter().flatten().filter(known).map(value).collect()
}

fn find<'a>(values: &Values<'a>, name: &str) -> Option<LogValue<'a>> {
    values.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
}

/// The value as PostgreSQL would read it: of `bytea`, wal2json leaves out the `\x`.
fn as_input<'a>(ctx: &FormatContext<'_>, entity: EntityIx, column: u16, value: LogValue<'a>) -> LogValue<'a> {
    let ty = &ctx.catalogue.tables[entity].columns[usize::from(column)].ty;
    if *ty == ColumnType::Bytea && value.kind == LogKind::Text && !value.text.starts_with('\\') {
        return LogValue::new(LogKind::Text, format!("\\x{}", value.text));
    }
    value
}

/// PostgreSQL manual, `pg_lsn`: two hexadecimal numbers of up to eight digits, separated by a slash.
fn lsn(text: &str) -> Result<Position, String> {
    let parse = || {
        let (high, low) = text.split_once('/')?;
        let half = |digits: &str| u32::from_str_radix(digits, 16).ok();
        Some(u64::from(half(high)?) << 32 | u64::from(half(low)?))
    };
    parse()
        .map(Position::Lsn)
        .ok_or_else(|| format!("`lsn` is {text:?}, not like 16/B374D848"))
}

/// `2026-11-22 14:05:00.123456+00`, as PostgreSQL writes a `timestamptz`.
fn instant(text: &str) -> Result<i64, String> {
    time::parse(text).ok_or_else(|| format!("`timestamp` is {text:?}, not an instant with a time zone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_instants() {
        assert_eq!(lsn("0/16B3748"), Ok(Position::Lsn(0x16B_3748)));
        assert_eq!(lsn("16/B374D848"), Ok(Position::Lsn(0x16_B374_D848)));
        assert!(lsn("16B374D848").is_err());
        assert!(lsn("1/123456789").is_err());
        assert_eq!(instant("2026-11-22 14:05:00.123456+00"), Ok(1_795_356_300_123_456));
        assert_eq!(instant("2026-11-22 16:05:00+02"), Ok(1_795_356_300_000_000));
        assert_eq!(instant("2026-11-22 19:35:00+05:30"), Ok(1_795_356_300_000_000));
        assert!(instant("2026-11-22 14:05:00").is_err());
    }

    #[test]
    fn the_transaction_is_xid() {
        let (schema, catalogue) = crate::log::tests::site();
        let ctx = FormatContext::new(&schema, &catalogue);
        for (xid, expected) in [(r#""xid":778,"#, Some("778")), (r#""xid":null,"#, None), ("", None)] {
            let line = format!(
                r#"{{"action":"I",{xid}"schema":"om","table":"orders","columns":[{{"name":"id","type":"bigint","value":1}}]}}"#
            );
            let mut seen = None;
            decode(&ctx, &line, &mut |c| seen = Some(c.transaction.map(Cow::into_owned))).unwrap();
            assert_eq!(seen.unwrap().as_deref(), expected);
        }
    }
}

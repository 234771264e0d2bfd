//! One value of an event as text that PostgreSQL reads as the column's type.

use super::form::Form;
use super::temporal::{self, Unit};
use super::{decimal, shape};
use crate::domain::schema::Column;
use crate::domain::value::{ColumnType, LogKind, LogValue};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What stands for a value that the event does not carry: one in TOAST that did not change.
const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// The same as bytes, and as hexadecimal.
const UNAVAILABLE_BASE64: &str = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
const UNAVAILABLE_HEX: &str = "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565";
/// The same in an array of `uuid`: the version 3 UUID of its bytes (`UnchangedToastedPlaceholder`).
const UNAVAILABLE_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";
/// More than any of its spellings is long.
const UNAVAILABLE_LONGEST: usize = 250;
/// Most dimensions of a PostgreSQL array (`MAXDIM`).
const DIMENSIONS: usize = 6;

/// A column to decode for; for an array's elements, the element type.
#[derive(Clone, Copy)]
struct Target<'t> {
    ty: &'t ColumnType,
    declared: &'t str,
}

impl<'t> Target<'t> {
    /// The declared type's name without its schema, modifier and quotes.
    fn name(self) -> &'t str {
        let name = self.declared.split('(').next().unwrap_or_default();
        name.rsplit('.').next().unwrap_or(name).trim().trim_matches('"')
    }

    /// The n-th number of the declared modifier.
    fn modifier(self, n: usize) -> Option<i64> {
        let inside = self.declared.split_once('(')?.1.split(')').next()?;
        inside.split(',').nth(n)?.trim().parse().ok()
    }
}

/// The value; `None` where the event does not carry it. The error says what is wrong with it, without naming it.
pub fn decode<'a>(form: &Form, column: &Column, raw: &'a RawValue) -> Result<Option<LogValue<'a>>, &'static str> {
    if unavailable(raw.get()) {
        return Ok(None);
    }
    let target = Target {
        ty: &column.ty,
        declared: &column.declared,
    };
    value(form, target, raw).map(Some)
}

fn value<'a>(form: &Form, target: Target<'_>, raw: &'a RawValue) -> Result<LogValue<'a>, &'static str> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'n') => Ok(LogValue::NULL),
        // `bit(1)` is sent as a boolean.
        Some(b't' | b'f') if target.name().starts_with("bit") => {
            Ok(LogValue::new(LogKind::Text, if json == "true" { "1" } else { "0" }))
        }
        Some(b't' | b'f') => Ok(LogValue::new(LogKind::Bool, json)),
        Some(b'"') => {
            let text = unquote(raw).ok_or("is no text")?;
            if text.contains('\0') {
                return Err("holds a NUL character, which no PostgreSQL text can");
            }
            string(form, target, text)
        }
        Some(b'[') => array(form, target, raw),
        Some(b'{') => object(target, raw),
        _ => number(form, target, json),
    }
}

fn number<'a>(form: &Form, target: Target<'_>, json: &'a str) -> Result<LogValue<'a>, &'static str> {
    let whole = || json.parse::<i64>().map_err(|_| "is no whole number of 64 bits");
    let out_of_range = "is out of the range of its type";
    let told = match (form, target.ty) {
        (Form::Date, _) | (Form::Plain, ColumnType::Date) => temporal::date(whole()?),
        (Form::Instant(unit), _) => temporal::instant(whole()?, *unit, target.ty),
        (Form::TimeOfDay(unit), _) => temporal::time_of_day(whole()?, *unit),
        (Form::Duration(unit), _) => temporal::duration(whole()?, *unit),
        (Form::Plain, ColumnType::Interval) => temporal::duration(whole()?, Unit::Micro),
        (Form::Plain, ColumnType::Timestamp | ColumnType::TimestampTz) => {
            let n = whole()?;
            let unit = temporal::instant_unit(n)
                .ok_or("may be milliseconds, microseconds or nanoseconds: its schema is missing")?;
            temporal::instant(n, unit, target.ty)
        }
        (Form::Plain, ColumnType::Time | ColumnType::TimeTz) => {
            let n = whole()?;
            let digits = target.modifier(0).and_then(|p| u32::try_from(p).ok()).unwrap_or(6);
            let unit = temporal::time_unit(n, digits)
                .ok_or("may be milliseconds, microseconds or nanoseconds: its schema is missing")?;
            temporal::time_of_day(n, unit)
        }
        (Form::Double, ColumnType::Numeric) => return Ok(LogValue::new(LogKind::Double, json)),
        (Form::Plain, ColumnType::Numeric) if looks_like_double(json) => {
            return Ok(LogValue::new(LogKind::Double, json));
        }
        _ => return Ok(LogValue::new(LogKind::Number, json)),
    };
    told.ok_or(out_of_range)
}

/// Whether a number without its schema has lost digits to a double (`decimal.handling.mode=double`): it has as many as a
/// double can have, or an exponent. A whole number without exponent is none; doubles are written with their point.
fn looks_like_double(json: &str) -> bool {
    let (mantissa, exponent) = json.split_once(['e', 'E']).unwrap_or((json, ""));
    let digits = mantissa
        .trim_start_matches(['-', '0', '.'])
        .bytes()
        .filter(u8::is_ascii_digit);
    mantissa.contains('.') && (!exponent.is_empty() || (16..=17).contains(&digits.count()))
}

fn string<'a>(form: &Form, target: Target<'_>, text: Cow<'a, str>) -> Result<LogValue<'a>, &'static str> {
    let owned = |text: String| Ok(LogValue::new(LogKind::Text, text));
    let not_base64 = "is not base64";
    match (form, target.ty) {
        (Form::Decimal(scale), _) => {
            let bytes = base64(&text).ok_or(not_base64)?;
            owned(decimal::text(&bytes, *scale).ok_or("is longer than any numeric")?)
        }
        (Form::Bits, _) => owned(bits(target, &base64(&text).ok_or(not_base64)?)),
        (Form::Bytes, ColumnType::Bytea) => owned(format!("\\x{}", shape::hex(&base64(&text).ok_or(not_base64)?))),
        (Form::Bytes, _) if target.name().starts_with("bit") => owned(bits(target, &base64(&text).ok_or(not_base64)?)),
        // A type that the connector does not know, sent as the bytes of its text (`include.unknown.datatypes`).
        (Form::Bytes, ColumnType::Other | ColumnType::Text) => {
            let bytes = base64(&text).ok_or(not_base64)?;
            owned(String::from_utf8(bytes).map_err(|_| "is not UTF-8")?)
        }
        (_, ColumnType::Bytea) => owned(format!("\\x{}", bytea(&text)?)),
        (_, ColumnType::Numeric) => decimal_string(target, text),
        (
            _,
            ColumnType::Date | ColumnType::Time | ColumnType::TimeTz | ColumnType::Timestamp | ColumnType::TimestampTz,
        ) => Ok(LogValue::new(LogKind::Text, temporal::iso(text, target.ty))),
        (_, ColumnType::Other) => match target.name() {
            "money" => decimal_string(target, text),
            "hstore" => owned(shape::hstore(&text).ok_or("is no hstore")?),
            "bit" | "bit varying" => owned(bits(target, &base64(&text).ok_or(not_base64)?)),
            _ => Ok(LogValue::new(LogKind::Text, text)),
        },
        _ => Ok(LogValue::new(LogKind::Text, text)),
    }
}

fn array<'a>(form: &Form, target: Target<'_>, raw: &'a RawValue) -> Result<LogValue<'a>, &'static str> {
    match target.ty {
        ColumnType::Array(_) => {
            let form = if let Form::Array(inner) = form {
                inner
            } else {
                &Form::Plain
            };
            let mut kind = LogKind::Text;
            let text = array_text(form, target, raw, &mut kind, DIMENSIONS)?;
            Ok(LogValue::new(kind, text))
        }
        ColumnType::Other if matches!(target.name(), "vector" | "halfvec") => {
            let text = shape::vector(raw).ok_or("is no vector")?;
            Ok(LogValue::new(LogKind::Text, text))
        }
        _ => Ok(LogValue::new(LogKind::Json, raw.get())),
    }
}

/// An array as PostgreSQL writes it, inner arrays of any depth included. Where its elements carry less than the column
/// may hold, `kind` becomes theirs.
fn array_text(
    form: &Form,
    target: Target<'_>,
    raw: &RawValue,
    kind: &mut LogKind,
    dimensions: usize,
) -> Result<String, &'static str> {
    if dimensions == 0 {
        return Err("has more dimensions than an array can");
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| "is no array")?;
    let element = Target {
        ty: if let ColumnType::Array(inner) = target.ty {
            inner
        } else {
            target.ty
        },
        declared: target.declared.trim_end_matches("[]"),
    };
    let mut text = String::from("{");
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        let nested = item.get().starts_with('[') && !matches!(element.ty, ColumnType::Json | ColumnType::Jsonb);
        if nested {
            text.push_str(&array_text(form, element, item, kind, dimensions - 1)?);
            continue;
        }
        let item = value(form, element, item)?;
        if matches!(item.kind, LogKind::Millis | LogKind::Double) {
            *kind = item.kind;
        }
        match item.kind {
            LogKind::Null => text.push_str("NULL"),
            LogKind::Bool | LogKind::Number | LogKind::Double => text.push_str(&item.text),
            _ => {
                text.push('"');
                for c in item.text.chars() {
                    if matches!(c, '"' | '\\') {
                        text.push('\\');
                    }
                    text.push(c);
                }
                text.push('"');
            }
        }
    }
    text.push('}');
    Ok(text)
}

fn object<'a>(target: Target<'_>, raw: &'a RawValue) -> Result<LogValue<'a>, &'static str> {
    let text = match target.ty {
        ColumnType::Json | ColumnType::Jsonb => return Ok(LogValue::new(LogKind::Json, raw.get())),
        ColumnType::Date
        | ColumnType::Time
        | ColumnType::TimeTz
        | ColumnType::Timestamp
        | ColumnType::TimestampTz
        | ColumnType::Interval => {
            return temporal::structured(raw, target.ty).ok_or("is no structured time of its column's type");
        }
        ColumnType::Other if target.name() == "hstore" => shape::hstore(raw.get()),
        _ => shape::structure(raw),
    };
    let text = text.ok_or("is a structure that is not known")?;
    Ok(LogValue::new(LogKind::Text, text))
}

/// A bit string; only `bit(n)` has a fixed length.
fn bits(target: Target<'_>, bytes: &[u8]) -> String {
    let length = (target.name() == "bit").then(|| target.modifier(0).unwrap_or(1));
    shape::bits(bytes, length.and_then(|n| usize::try_from(n).ok()))
}

/// Hexadecimal digits of a `bytea` in any `binary.handling.mode`: base64 of either alphabet, or hexadecimal.
fn bytea(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if let Some(hex) = text.strip_prefix("\\x") {
        return Ok(Cow::Borrowed(hex));
    }
    // The connector writes hexadecimal in lower case. Base64 comes in fours, and one of twelve characters or more that
    // needs none of its other 48 does not happen.
    let hex = text.len().is_multiple_of(2) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex && (!text.len().is_multiple_of(4) || text.len() >= 12 || text.is_empty()) {
        return Ok(Cow::Borrowed(text));
    }
    let bytes = base64(text).or_else(|| URL_SAFE.decode(text).ok());
    match bytes {
        Some(_) if hex => Err("may be base64 or hexadecimal"),
        Some(bytes) => Ok(Cow::Owned(shape::hex(&bytes))),
        None => Err("is neither base64 nor hexadecimal"),
    }
}

/// A decimal that comes as a string without its schema: as digits (`decimal.handling.mode=string`), as the word for a
/// special value, or as the base64 of an unscaled integer whose scale is the column's.
///
/// Digits alone are valid base64 too. That of a column with a scale is written with its point, so there they are base64;
/// elsewhere they are digits: as base64 they would be a negative integer, and one in a thousand of those at that.
fn decimal_string<'a>(target: Target<'_>, text: Cow<'a, str>) -> Result<LogValue<'a>, &'static str> {
    // Without a modifier, a numeric's scale comes with each value; money has `money.fraction.digits`, 2 unless set.
    let scale = match target.name() {
        "money" => Some(2),
        _ => target.modifier(0).map(|_| target.modifier(1).unwrap_or(0)),
    };
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let point = digits.contains('.');
    let plain = !digits.is_empty()
        && !digits.starts_with('.')
        && digits.bytes().filter(|b| *b == b'.').count() <= 1
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let packed = || decimal::text(&base64(&text)?, scale?);
    if plain && !(scale.is_some_and(|s| s > 0) && !point && text.len().is_multiple_of(4) && packed().is_some()) {
        return Ok(LogValue::new(LogKind::Text, text));
    }
    let word = match &*text {
        "NAN" | "NaN" => Some("NaN"),
        "POSITIVE_INFINITY" => Some("Infinity"),
        "NEGATIVE_INFINITY" | "-Infinity" => Some("-Infinity"),
        // Eight characters of base64, too; but a numeric with a scale holds no infinity.
        "Infinity" if scale.is_none() => Some("Infinity"),
        _ => None,
    };
    if let Some(word) = word {
        return Ok(LogValue::new(LogKind::Text, word));
    }
    match packed() {
        Some(text) => Ok(LogValue::new(LogKind::Text, text)),
        None if scale.is_none() => Err("is no decimal, and has no scale to be one in base64"),
        None => Err("is neither a decimal nor one in base64"),
    }
}

/// The bytes of standard base64 with its padding, as JSON converters write it.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A JSON string's text, borrowed where nothing in it is escaped.
pub fn unquote(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    if json.contains('\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    json.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}

/// Whether this is the placeholder for a value that the event does not carry, in any of its forms: text, base64, hex, an
/// array of it or of its bytes, an `hstore` of it.
fn unavailable(json: &str) -> bool {
    if json.len() > UNAVAILABLE_LONGEST || json.len() < UNAVAILABLE.len() {
        return false;
    }
    let one = |text: &str| [UNAVAILABLE, UNAVAILABLE_BASE64, UNAVAILABLE_HEX].contains(&text);
    let pair = |json: &str| {
        serde_json::from_str::<std::collections::BTreeMap<&str, &str>>(json)
            .is_ok_and(|map| map.len() == 1 && map.get(UNAVAILABLE) == Some(&UNAVAILABLE))
    };
    match json.as_bytes()[0] {
        b'"' if json.contains('\\') => serde_json::from_str::<String>(json).is_ok_and(|text| pair(&text)),
        b'"' => one(json.trim_matches('"')),
        b'{' => pair(json),
        b'[' => match serde_json::from_str::<Vec<&str>>(json) {
            Ok(items) => matches!(items[..], [text] if one(text) || text == UNAVAILABLE_UUID),
            Err(_) => serde_json::from_str::<Vec<u8>>(json).is_ok_and(|bytes| bytes == UNAVAILABLE.as_bytes()),
        },
        _ => false,
    }
}

//! Values of columns: what the log says and what the restored database holds, and when the two are the same.

pub mod decimal;
mod fingerprint;
pub mod instant;
pub mod interval;
pub mod nested;

pub use fingerprint::fingerprint;

use nested::Element;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::borrow::Cow;

/// How the values of a column compare. Derived from the restored table's catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `numeric`
    Numeric,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `text`, `varchar`, `name`
    Text,
    /// `char(n)`: trailing spaces do not count.
    Char,
    /// `citext`, and text in a collation that calls different bytes equal: only the server can tell.
    TextCi,
    /// `uuid`
    Uuid,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `time with time zone`
    TimeTz,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `interval`
    Interval,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `bytea`
    Bytea,
    /// An array of the inner type.
    Array(Box<ColumnType>),
    /// Anything else: compared by the server as the declared type.
    Other,
}

/// What form a log's value came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    /// SQL null.
    Null,
    /// `true` or `false`.
    Bool,
    /// A JSON number, every digit as written.
    Number,
    /// A string, read as the text input of the column's type.
    Text,
    /// A JSON object or array, as written.
    Json,
    /// Text of an instant or time of day that carries no more than milliseconds.
    Millis,
    /// A number that a double carried on its way: it holds no more digits than that.
    Double,
    /// Text of an interval whose years and months were turned into days, 365.25 / 12 of them a month.
    Duration,
}

impl LogKind {
    /// This form, where a value in it carries less than its column holds.
    pub fn coarse(self) -> Option<Self> {
        matches!(self, Self::Millis | Self::Double | Self::Duration).then_some(self)
    }
}

/// A value as the log says it, digits untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogValue<'a> {
    /// The form.
    pub kind: LogKind,
    /// Its text; empty for null.
    pub text: Cow<'a, str>,
}

impl<'a> LogValue<'a> {
    /// SQL null.
    pub const NULL: LogValue<'static> = LogValue {
        kind: LogKind::Null,
        text: Cow::Borrowed(""),
    };

    /// A value of this kind and text.
    pub fn new(kind: LogKind, text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

/// Whether a log's value and a restored one are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Same {
    /// Surely.
    Yes,
    /// Surely not.
    No,
    /// Only the server can tell: it reads both as the column's type.
    AskServer,
}

impl Same {
    fn of(equal: bool) -> Self {
        if equal { Self::Yes } else { Self::No }
    }

    /// Equal if both read as the same thing; what neither side can read is left to the server.
    fn read<T: PartialEq>(a: Option<T>, b: Option<T>) -> Self {
        match (a, b) {
            (Some(a), Some(b)) => Self::of(a == b),
            _ => Self::AskServer,
        }
    }
}

/// Compares a log's value with a restored one (the type's text output; `None` is null), both read as the column's type.
///
/// NULL equals null only; scale, time zone, JSON key order, trailing spaces of `char(n)` and 15- against 18-character
/// Salesforce ids do not count; instants compare in microseconds, in milliseconds where the log carries no more.
pub fn same(ty: &ColumnType, log: &LogValue<'_>, restored: Option<&str>) -> Same {
    let Some(restored) = restored else {
        return Same::of(log.kind == LogKind::Null);
    };
    if log.kind == LogKind::Null {
        return Same::No;
    }
    if log.text == restored {
        return Same::Yes;
    }
    let text = log.text.as_ref();
    match ty {
        ColumnType::Bool => Same::read(boolean(text), boolean(restored)),
        ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8 => Same::read(integer(text), integer(restored)),
        ColumnType::Numeric if log.kind == LogKind::Double => Same::read(double(text), double(restored)),
        ColumnType::Numeric => Same::read(decimal::canonical(text), decimal::canonical(restored)),
        ColumnType::Float8 => Same::read(double(text), double(restored)),
        ColumnType::Float4 => Same::read(single(text), single(restored)),
        ColumnType::Text => Same::of(salesforce_id(text) == salesforce_id(restored)),
        ColumnType::Char => {
            Same::of(salesforce_id(text.trim_end_matches(' ')) == salesforce_id(restored.trim_end_matches(' ')))
        }
        ColumnType::Uuid => Same::read(uuid(text), uuid(restored)),
        ColumnType::Date => Same::read(instant::date(text), instant::date(restored)),
        ColumnType::Time => instants(log, instant::time(text), instant::time(restored)),
        ColumnType::TimeTz => instants(log, instant::timetz(text), instant::timetz(restored)),
        ColumnType::Timestamp => instants(log, instant::timestamp(text), instant::timestamp(restored)),
        ColumnType::TimestampTz => instants(log, instant::timestamptz(text), instant::timestamptz(restored)),
        ColumnType::Json | ColumnType::Jsonb => {
            match (nested::canonical_json(text), nested::canonical_json(restored)) {
                (Some(a), Some(b)) => Same::of(a == b),
                // The log's text is no JSON at all, and what the column holds is: they cannot be equal.
                (None, Some(_)) => Same::No,
                _ => Same::AskServer,
            }
        }
        ColumnType::Bytea => match (text.strip_prefix("\\x"), restored.strip_prefix("\\x")) {
            (Some(a), Some(b)) => Same::of(a.eq_ignore_ascii_case(b)),
            _ => Same::AskServer,
        },
        ColumnType::Array(inner) => {
            let log_items = match log.kind {
                LogKind::Json => nested::json_array(text),
                _ => nested::pg_array(text),
            };
            match (log_items, nested::pg_array(restored)) {
                (Some(a), Some(b)) => same_items(inner, log.kind, &a, &b),
                _ => Same::AskServer,
            }
        }
        ColumnType::Interval if log.kind == LogKind::Duration => {
            match (interval::averaged(text), interval::averaged(restored)) {
                (Some(a), Some(b)) => Same::of(interval::about(a, b)),
                _ => Same::AskServer,
            }
        }
        ColumnType::TextCi | ColumnType::Interval | ColumnType::Other => Same::AskServer,
    }
}

/// Elements of a kind that carries less than the column may hold are all of that kind.
fn same_items(inner: &ColumnType, kind: LogKind, log: &[Element], restored: &[Element]) -> Same {
    if log.len() != restored.len() {
        return Same::No;
    }
    let mut ask = false;
    for pair in log.iter().zip(restored) {
        let verdict = match pair {
            (Element::Null, Element::Null) => Same::Yes,
            (Element::Array(a), Element::Array(b)) => same_items(inner, kind, a, b),
            (Element::Text(a), Element::Text(b)) => {
                let kind = match kind {
                    LogKind::Millis | LogKind::Double => kind,
                    _ => LogKind::Text,
                };
                same(inner, &LogValue::new(kind, a.as_str()), Some(b))
            }
            _ => Same::No,
        };
        match verdict {
            Same::No => return Same::No,
            Same::AskServer => ask = true,
            Same::Yes => {}
        }
    }
    if ask { Same::AskServer } else { Same::Yes }
}

fn instants(log: &LogValue<'_>, a: Option<i64>, b: Option<i64>) -> Same {
    match (a, b) {
        (Some(a), Some(b)) if log.kind == LogKind::Millis => Same::of(a.div_euclid(1_000) == b.div_euclid(1_000)),
        _ => Same::read(a, b),
    }
}

/// PostgreSQL's boolean input: any unique prefix of true, false, yes, no, on, off, or 1 and 0.
fn boolean(text: &str) -> Option<bool> {
    let t = text.trim().to_ascii_lowercase();
    match t.as_str() {
        "" | "o" => None,
        "1" | "on" => Some(true),
        "0" | "of" | "off" => Some(false),
        _ if "true".starts_with(&t) || "yes".starts_with(&t) => Some(true),
        _ if "false".starts_with(&t) || "no".starts_with(&t) => Some(false),
        _ => None,
    }
}

fn integer(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

fn double(text: &str) -> Option<u64> {
    text.trim().parse::<f64>().ok().map(|f| {
        if f.is_nan() {
            f64::NAN.to_bits()
        } else {
            (f + 0.0).to_bits()
        }
    })
}

fn single(text: &str) -> Option<u32> {
    text.trim().parse::<f32>().ok().map(|f| {
        if f.is_nan() {
            f32::NAN.to_bits()
        } else {
            (f + 0.0).to_bits()
        }
    })
}

/// PostgreSQL reads upper case, braces and any placement of dashes after four digits; it writes lower case with four.
fn uuid(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_prefix('{').map_or(Some(text), |t| t.strip_suffix('}'))?;
    let digits: String = bare
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let d = &digits;
    Some(format!(
        "{}-{}-{}-{}-{}",
        &d[..8],
        &d[8..12],
        &d[12..16],
        &d[16..20],
        &d[20..]
    ))
}

/// The checksum characters of 18-character Salesforce ids, by the five case bits they stand for.
const SALESFORCE_CHECK: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// An 18-character Salesforce id without its checksum, which is a function of the 15 before it; other text as it is.
/// Source: Salesforce help, "Convert 15-character to 18-character record ids".
pub fn salesforce_id(text: &str) -> &str {
    let bytes = text.as_bytes();
    if bytes.len() != 18 || !bytes.iter().all(u8::is_ascii_alphanumeric) {
        return text;
    }
    let right = bytes[..15].chunks(5).zip(&bytes[15..]).all(|(chunk, check)| {
        let bits: usize = chunk
            .iter()
            .enumerate()
            .map(|(i, b)| usize::from(b.is_ascii_uppercase()) << i)
            .sum();
        SALESFORCE_CHECK[bits] == *check
    });
    if right { &text[..15] } else { text }
}

/// The 18-character form of a 15-character Salesforce id; `None` for text that cannot be one.
pub fn salesforce_id_18(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() != 15 || !bytes.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let check = bytes.chunks(5).map(|chunk| {
        let bits: u8 = chunk
            .iter()
            .enumerate()
            .map(|(i, b)| u8::from(b.is_ascii_uppercase()) << i)
            .sum();
        char::from(if bits < 26 { b'A' + bits } else { b'0' + bits - 26 })
    });
    Some(text.chars().chain(check).collect())
}

/// The same Salesforce id in its other length; `None` for text that is none in either.
pub fn salesforce_id_other(text: &str) -> Option<String> {
    salesforce_id_18(text).or_else(|| {
        let short = salesforce_id(text);
        (short.len() < text.len()).then(|| short.to_owned())
    })
}

/// The text that PostgreSQL would write for this input, where that can be told without asking it. `None` where the
/// text is no such value; types that only the server knows come back as they are.
pub fn canonical<'a>(ty: &ColumnType, text: &'a str) -> Option<Cow<'a, str>> {
    Some(match ty {
        ColumnType::Bool => Cow::Borrowed(if boolean(text)? { "true" } else { "false" }),
        ColumnType::Int2 => whole(text, i64::from(i16::MIN), i64::from(i16::MAX))?,
        ColumnType::Int4 => whole(text, i64::from(i32::MIN), i64::from(i32::MAX))?,
        ColumnType::Int8 => whole(text, i64::MIN, i64::MAX)?,
        ColumnType::Numeric => Cow::Owned(decimal::plain(text)?),
        ColumnType::Uuid => Cow::Owned(uuid(text)?),
        ColumnType::Date => Cow::Owned(instant::date_text(instant::date(text)?)),
        ColumnType::Time => Cow::Owned(instant::time_text(instant::time(text)?)),
        ColumnType::Timestamp => Cow::Owned(instant::timestamp_text(instant::timestamp(text)?, false)),
        ColumnType::TimestampTz => Cow::Owned(instant::timestamp_text(instant::timestamptz(text)?, true)),
        ColumnType::Char => Cow::Borrowed(text.trim_end_matches(' ')),
        _ => Cow::Borrowed(text),
    })
}

/// An integer without plus sign, leading zeros or spaces; borrowed where it has none already.
fn whole(text: &str, least: i64, most: i64) -> Option<Cow<'_, str>> {
    let plain = match text.as_bytes() {
        [b'0'] => true,
        [b'-', b'1'..=b'9', rest @ ..] | [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let n = integer(text).filter(|n| (least..=most).contains(n))?;
    Some(if plain {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(n.to_string())
    })
}

/// Canonical text of one key column as the log says it; `None` where it is null or no value of the column's type.
pub fn key_text<'a>(ty: &ColumnType, value: &LogValue<'a>) -> Option<Cow<'a, str>> {
    if value.kind == LogKind::Null {
        return None;
    }
    let text = match &value.text {
        Cow::Borrowed(text) => canonical(ty, text)?,
        Cow::Owned(text) => Cow::Owned(canonical(ty, text)?.into_owned()),
    };
    Some(match (ty, &text) {
        (ColumnType::Numeric, Cow::Owned(t)) => Cow::Owned(key_form(ty, t).to_owned()),
        _ => text,
    })
}

/// A key column's text output as keys spell it: of a `numeric` without the zeros that only say its scale, so that one
/// number has one spelling.
pub fn key_form<'a>(ty: &ColumnType, text: &'a str) -> &'a str {
    match ty {
        ColumnType::Numeric if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.'),
        _ => text,
    }
}

/// The key of a row: the one part as it is, several joined with `/`, a `/` inside a part written `%2F`.
pub fn join_key<'a>(parts: &[Cow<'a, str>]) -> Cow<'a, str> {
    match parts {
        [one] => one.clone(),
        parts => Cow::Owned(
            parts
                .iter()
                .map(|p| p.replace('/', "%2F"))
                .collect::<Vec<_>>()
                .join("/"),
        ),
    }
}

/// The parts of a key of `n` columns; the inverse of [`join_key`].
pub fn split_key(key: &str, n: usize) -> Vec<Cow<'_, str>> {
    if n == 1 {
        return vec![Cow::Borrowed(key)];
    }
    key.split('/')
        .map(|p| {
            if p.contains("%2F") {
                Cow::Owned(p.replace("%2F", "/"))
            } else {
                Cow::Borrowed(p)
            }
        })
        .collect()
}

/// The text that hands a log's value to the server as input of the column's type; `None` for null.
pub fn input_text<'a>(ty: &ColumnType, value: &'a LogValue<'_>) -> Option<Cow<'a, str>> {
    match (value.kind, ty) {
        (LogKind::Null, _) => None,
        (LogKind::Json, ColumnType::Array(_)) => Some(
            nested::json_array(&value.text).map_or(Cow::Borrowed(&*value.text), |items| {
                Cow::Owned(nested::pg_array_text(&items))
            }),
        ),
        _ => Some(Cow::Borrowed(&value.text)),
    }
}

/// Whether only the server can write a log's value the way it would write the column's (scale, intervals, JSON spacing).
pub fn written_by_server(ty: &ColumnType) -> bool {
    !matches!(
        ty,
        ColumnType::Bool
            | ColumnType::Int2
            | ColumnType::Int4
            | ColumnType::Int8
            | ColumnType::Text
            | ColumnType::TextCi
            | ColumnType::Char
            | ColumnType::Uuid
    )
}

/// A tuple in the spelling under which equal ones meet: canonical, Salesforce ids by their first 15 characters.
pub fn normal(types: &[&ColumnType], tuple: &[String]) -> Vec<String> {
    let one = |(ty, text): (&&ColumnType, &String)| {
        let text = canonical(ty, text).unwrap_or(Cow::Borrowed(text));
        match ty {
            ColumnType::Text | ColumnType::Char => salesforce_id(&text).to_owned(),
            ColumnType::TextCi => text.to_lowercase(),
            ColumnType::Numeric => decimal::canonical(&text).unwrap_or_else(|| text.into_owned()),
            _ => text.into_owned(),
        }
    };
    types.iter().zip(tuple).map(one).collect()
}

/// The spellings under which a look-up must ask for a tuple: itself and, where a part is a Salesforce id, its other
/// length.
pub fn spellings(types: &[&ColumnType], tuple: &[String]) -> Vec<Vec<String>> {
    let other: Vec<String> = types
        .iter()
        .zip(tuple)
        .map(|(ty, text)| match ty {
            ColumnType::Text | ColumnType::Char => {
                salesforce_id_18(text).unwrap_or_else(|| salesforce_id(text).to_owned())
            }
            _ => text.clone(),
        })
        .collect();
    if other == tuple {
        vec![other]
    } else {
        vec![tuple.to_vec(), other]
    }
}

/// A value's text as files and screens show it: small numbers and booleans as JSON, every other type as its text.
pub fn json(ty: &ColumnType, text: Option<&str>) -> Json {
    let Some(text) = text else { return Json::Null };
    let number = match ty {
        ColumnType::Bool => boolean(text).map(Json::Bool),
        ColumnType::Int2 | ColumnType::Int4 => integer(text).map(Json::from),
        // `real` shows its own shortest digits, not those of the double it would become.
        ColumnType::Float4 | ColumnType::Float8 => serde_json::from_str::<f64>(text)
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Json::Number),
        _ => None,
    };
    number.unwrap_or_else(|| Json::String(text.to_owned()))
}

#[cfg(test)]
mod tests;

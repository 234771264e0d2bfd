//! Values of columns: what the log says and what the restored database holds, and when the two are the same.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

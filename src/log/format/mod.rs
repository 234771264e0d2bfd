//! The formats: one decoder each, a line in, changes out. A decoder knows nothing of order, files or other lines.

#[cfg(test)]
mod corpus;
pub mod debezium;
mod members;
mod names;
pub mod native;
pub mod om_plus;
pub mod salesforce_cdc;
pub mod wal2json;

use crate::config::FormatKind;
use crate::domain::Result;
use crate::domain::event::{Change, Gap};
use crate::domain::schema::{Catalogue, ColumnIx, EntityIx, Schema, Table};
use crate::domain::value::{LogKind, LogValue, join_key, key_text, split_key};
use names::Names;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Unknown columns that are remembered for a warning, over all entities: a hostile log must not fill the memory with
/// names.
const MOST_UNKNOWN: usize = 1_000;

/// Column names and what became of them: `None` is not wanted.
type Named<'a> = Vec<(&'a str, Option<ColumnIx>)>;

/// What the decoders know of the site, and what they noticed on the way. One for each thread.
#[derive(Debug)]
pub struct FormatContext<'a> {
    /// The site's entities.
    pub schema: &'a Schema,
    /// Their tables as restored.
    pub catalogue: &'a Catalogue,
    names: Vec<HashMap<&'a str, Option<ColumnIx>, foldhash::fast::RandomState>>,
    /// The columns of each entity in the order in which the last event named them: the next one names them alike.
    usual: Vec<RefCell<Named<'a>>>,
    /// What logs may call them that have names of their own.
    called: Names,
    unknown: RefCell<BTreeSet<(EntityIx, String)>>,
}

impl<'a> FormatContext<'a> {
    /// The context for decoding into these tables. Columns that nothing reads (`ignore`, unless they play another part)
    /// are not stored.
    pub fn new(schema: &'a Schema, catalogue: &'a Catalogue) -> Self {
        let names = schema.entities.iter().zip(&catalogue.tables).map(|(entity, table)| {
            let column = |name: &'a str, ix: usize| {
                let unread = entity.ignore.iter().any(|c| c == name) && !entity.reads(name);
                (name, ColumnIx::try_from(ix).ok().filter(|_| !unread))
            };
            table
                .columns
                .iter()
                .enumerate()
                .map(|(ix, c)| column(&c.name, ix))
                .collect()
        });
        Self {
            schema,
            catalogue,
            names: names.collect(),
            usual: schema.entities.iter().map(|_| RefCell::default()).collect(),
            called: Names::new(schema, catalogue),
            unknown: RefCell::default(),
        }
    }

    /// Stores these columns of an entity, even where the schema has no use for them.
    pub fn want(&mut self, entity: EntityIx, columns: impl Iterator<Item = ColumnIx>) {
        let table: &'a Table = &self.catalogue.tables[entity];
        for column in columns {
            let name = table.columns[usize::from(column)].name.as_str();
            self.names[entity].insert(name, Some(column));
        }
    }

    /// The same, with the entities that a log's names mean by its configuration.
    #[must_use]
    pub fn calling(mut self, entities: &BTreeMap<String, String>) -> Self {
        self.called.give(entities, self.schema);
        self
    }

    /// The column of this name; `None` where its values are not wanted: nothing reads it, or the restored table lacks
    /// it, which is remembered for one warning.
    pub fn column(&self, entity: EntityIx, name: &str) -> Option<ColumnIx> {
        if let Some(column) = self.names.get(entity)?.get(name) {
            return *column;
        }
        let mut unknown = self.unknown.borrow_mut();
        if unknown.len() < MOST_UNKNOWN {
            unknown.insert((entity, name.to_owned()));
        }
        None
    }

    /// The entity of a log that has names of its own.
    fn entity_called(&self, name: &str) -> Option<EntityIx> {
        self.called.entity(name)
    }

    /// As [`FormatContext::column`], for a log that has names of its own. Only members that must be columns are
    /// remembered where the table lacks them.
    fn column_called(&self, entity: EntityIx, name: &str, must: bool) -> Option<ColumnIx> {
        let names = self.names.get(entity)?;
        if let Some(column) = names.get(name) {
            return *column;
        }
        match self.called.column(entity, name) {
            Some(ix) => {
                let column = &self.catalogue.tables[entity].columns[usize::from(ix)];
                names.get(column.name.as_str()).copied().flatten()
            }
            None if must => self.column(entity, name),
            None => None,
        }
    }

    /// As [`FormatContext::column`], for the `nth` name of an event: quick where events name their columns in one order.
    fn nth_column(&self, entity: EntityIx, nth: usize, name: &str) -> Option<ColumnIx> {
        let mut usual = self.usual.get(entity)?.borrow_mut();
        if let Some((known, column)) = usual.get(nth)
            && *known == name
        {
            return *column;
        }
        let Some((known, column)) = self.names.get(entity)?.get_key_value(name) else {
            return self.column(entity, name);
        };
        if usual.len() <= nth {
            usual.resize(nth + 1, ("", None));
        }
        usual[nth] = (known, *column);
        *column
    }

    /// The entity mapped to a log's table; `schema` is empty where the log names none.
    pub fn entity_of_table(&self, schema: &str, table: &str) -> Option<EntityIx> {
        self.schema.of_table(schema, table)
    }

    /// The canonical key of a row from its key columns' values, or why there is none.
    pub fn key<'v>(
        &self,
        entity: EntityIx,
        value: impl Fn(&str) -> Option<LogValue<'v>>,
    ) -> Result<Cow<'v, str>, String> {
        let table = &self.catalogue.tables[entity];
        let part = |ix: &ColumnIx| {
            let column = &table.columns[usize::from(*ix)];
            let value = value(&column.name).ok_or_else(|| format!("no value for key column {}", column.name))?;
            key_text(&column.ty, &value).ok_or_else(|| bad_key(&value, &column.name, &column.declared))
        };
        let parts: Vec<Cow<'v, str>> = table.key.iter().map(part).collect::<Result<_, String>>()?;
        Ok(join_key(&parts))
    }

    /// The names of an entity's key columns.
    pub fn key_columns(&self, entity: EntityIx) -> impl Iterator<Item = &'a str> {
        let table: &'a Table = &self.catalogue.tables[entity];
        table.key.iter().map(|ix| table.columns[usize::from(*ix)].name.as_str())
    }

    /// The canonical key of a row from its key in one piece, several columns joined with `/`.
    fn whole_key<'v>(&self, entity: EntityIx, key: &LogValue<'v>) -> Result<Cow<'v, str>, String> {
        let table = &self.catalogue.tables[entity];
        if let [only] = table.key[..] {
            let column = &table.columns[usize::from(only)];
            return key_text(&column.ty, key).ok_or_else(|| bad_key(key, &column.name, &column.declared));
        }
        let parts = split_key(&key.text, table.key.len());
        if parts.len() != table.key.len() {
            return Err(format!(
                "key {:?} has {} parts, {} has {} key columns",
                key.text,
                parts.len(),
                table.name,
                table.key.len()
            ));
        }
        let mut canonical = Vec::with_capacity(parts.len());
        for (part, ix) in parts.into_iter().zip(&table.key) {
            let column = &table.columns[usize::from(*ix)];
            let value = LogValue::new(LogKind::Text, part);
            let text = key_text(&column.ty, &value).ok_or_else(|| bad_key(&value, &column.name, &column.declared))?;
            canonical.push(Cow::<str>::Owned(text.into_owned()));
        }
        Ok(Cow::Owned(join_key(&canonical).into_owned()))
    }

    /// The columns that events named and the restored tables lack.
    pub fn unknown(&self) -> BTreeSet<(EntityIx, String)> {
        self.unknown.borrow().clone()
    }
}

fn bad_key(value: &LogValue<'_>, column: &str, declared: &str) -> String {
    if value.kind == LogKind::Null {
        format!("key column {column} is null")
    } else {
        format!("key {:?} is no {declared}, the type of {column}", value.text)
    }
}

/// What a line turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// One event; its changes were handed out.
    Changes,
    /// One event that says its source left changes out.
    Gap(Gap),
    /// An event of a table or entity that is not mapped.
    SkippedTable,
    /// Nothing that changes a row: transaction marks, messages, tombstones.
    SkippedOther,
}

/// Decodes one line; the error is the reason for which it is rejected.
pub fn decode<'a>(
    kind: FormatKind,
    ctx: &FormatContext<'_>,
    line: &'a str,
    out: &mut impl FnMut(Change<'a>),
) -> Result<Line, String> {
    match kind {
        FormatKind::Native => native::decode(ctx, line, out),
        FormatKind::Wal2json => wal2json::decode(ctx, line, out),
        FormatKind::Debezium => debezium::decode(ctx, line, out),
        FormatKind::OmPlus => om_plus::decode(ctx, line, out),
        FormatKind::SalesforceCdc => salesforce_cdc::decode(ctx, line, out),
    }
}

/// The word of the configuration.
pub const fn name(kind: FormatKind) -> &'static str {
    match kind {
        FormatKind::Native => "native",
        FormatKind::Wal2json => "wal2json",
        FormatKind::Debezium => "debezium",
        FormatKind::OmPlus => "om-plus",
        FormatKind::SalesforceCdc => "salesforce-cdc",
    }
}

/// The format that most of these lines look like, in the words of the configuration.
pub fn detect(lines: &[&str]) -> Option<&'static str> {
    let mut votes: Vec<(usize, &'static str)> = Vec::new();
    for looks in lines.iter().filter_map(|line| looks_like(line)) {
        match votes.iter_mut().find(|(_, name)| *name == looks) {
            Some((n, _)) => *n += 1,
            None => votes.push((1, looks)),
        }
    }
    votes.into_iter().max_by_key(|(n, _)| *n).map(|(_, name)| name)
}

fn looks_like(line: &str) -> Option<&'static str> {
    let members: HashMap<String, &serde_json::value::RawValue> = serde_json::from_str(line).ok()?;
    let all = |names: &[&str]| names.iter().all(|n| members.contains_key(*n));
    let payload = members.get("payload").or_else(|| members.get("data"));
    if all(&["ChangeEventHeader"]) || payload.is_some_and(|p| p.get().contains("\"ChangeEventHeader\"")) {
        Some("salesforce-cdc")
    } else if all(&["_action", "id"]) {
        Some("om-plus")
    } else if all(&["entity", "key", "op"]) {
        Some("native")
    } else if all(&["action"]) {
        Some("wal2json")
    } else if all(&["change"]) {
        Some("wal2json format version 1; only version 2 can be read (option format-version)")
    } else if all(&["payload", "schema"]) || all(&["op", "source"]) || all(&["before", "after"]) {
        Some("debezium")
    } else {
        None
    }
}

/// One JSON value of a log, its digits and members as written; the error is the reason for a reject.
pub fn value_of(raw: &str) -> Result<LogValue<'_>, String> {
    let raw = raw.trim_matches([' ', '\t', '\r', '\n']);
    Ok(match raw.as_bytes() {
        b"null" => LogValue::NULL,
        b"true" | b"false" => LogValue::new(LogKind::Bool, raw),
        [b'"', inner @ .., b'"'] => {
            let text = if inner.contains(&b'\\') {
                Cow::Owned(serde_json::from_str(raw).map_err(|e| e.to_string())?)
            } else {
                Cow::Borrowed(&raw[1..raw.len() - 1])
            };
            if text.contains('\0') {
                return Err("a string holds a NUL character, which no PostgreSQL text can".to_owned());
            }
            LogValue::new(LogKind::Text, text)
        }
        [b'{' | b'[', ..] => LogValue::new(LogKind::Json, raw),
        _ => LogValue::new(LogKind::Number, raw),
    })
}

/// A transaction's number as text; one in quotes is the same.
fn number_text(raw: Option<&serde_json::value::RawValue>) -> Option<Cow<'_, str>> {
    let text = raw?.get().trim_matches('"');
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then_some(Cow::Borrowed(text))
}

/// Why a line is no JSON object, in words that help at night.
fn why(line: &str, e: &serde_json::Error) -> String {
    if e.is_eof() {
        format!("the line ends in mid-object after {} bytes", line.len())
    } else if !line.trim_ascii_start().starts_with('{') && e.is_data() {
        "not a JSON object".to_owned()
    } else if e.is_data() {
        let text = e.to_string();
        text.split(" at line ").next().unwrap_or_default().to_owned()
    } else {
        format!("not JSON: {e}")
    }
}

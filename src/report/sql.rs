//! Read-only statements that show by hand what a finding says. They name no masked column, and are ASCII whatever the data
//! is: they can be copied from a page into `psql` or `sqlite3`.

use crate::domain::case::FoundCase;
use crate::domain::finding::{Finding, Kind, Missing};
use crate::domain::schema::{Entity, ORDER, Schema};
use crate::domain::value::split_key;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// So many keys stand in the statement of a kind.
pub const MOST_KEYS: usize = 200;

/// Whose SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Query {
    /// The kind of finding it shows.
    pub kind: Kind,
    /// The entity it reads.
    pub entity: String,
    /// What it shows where the finding holds.
    pub shows: String,
    /// The statement.
    pub sql: String,
}

/// What a statement looks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    kind: Kind,
    entity: String,
    /// The column that is looked up; the key where there is none.
    column: Option<String>,
    /// Looked for because it refers to nothing, was moved, …: what the rows found mean.
    shows: Shows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shows {
    NoRow,
    OneRow,
    OneOfTwo,
    UnderAnotherKey,
}

impl Shows {
    fn words(self, rows: usize) -> String {
        match (self, rows) {
            (Self::NoRow, _) => "no row".to_owned(),
            (Self::OneOfTwo, _) => "one of each two, not both".to_owned(),
            (Self::UnderAnotherKey, 1) => "one row, under another key".to_owned(),
            (Self::UnderAnotherKey, n) => format!("{n} rows, under other keys"),
            (Self::OneRow, 1) => "one row, as restored".to_owned(),
            (Self::OneRow, n) => format!("{n} rows, as restored"),
        }
    }
}

/// The statements for one case.
pub fn of_case(case: &FoundCase, schema: &Schema, dialect: Dialect) -> Vec<Query> {
    let mut all = Gathered::default();
    all.take(case, schema);
    all.queries(schema, dialect)
}

/// The keys behind each kind of finding, over many cases: no more of each than a statement names.
#[derive(Debug, Default)]
pub struct Gathered {
    keys: BTreeMap<Look, (Vec<String>, Vec<String>, usize)>,
}

impl Gathered {
    /// Takes in the findings of a case.
    pub fn take(&mut self, case: &FoundCase, schema: &Schema) {
        for finding in &case.findings {
            for (look, key) in looks(case, finding, schema) {
                let (keys, fields, count) = self.keys.entry(look).or_default();
                *count += 1;
                if keys.len() < MOST_KEYS && !keys.contains(&key) {
                    keys.push(key);
                }
                for field in &finding.fields {
                    if !fields.contains(&field.name) {
                        fields.push(field.name.clone());
                    }
                }
            }
        }
    }

    /// One statement a kind and entity.
    pub fn queries(&self, schema: &Schema, dialect: Dialect) -> Vec<Query> {
        let query = |(look, (keys, fields, count)): (&Look, &(Vec<String>, Vec<String>, usize))| {
            let entity = &schema.entities[schema.index(&look.entity)?];
            let mut shows = look.shows.words(keys.len());
            if *count > MOST_KEYS {
                shows = format!("{shows}; the first {MOST_KEYS} of {count}");
            }
            Some(Query {
                kind: look.kind,
                entity: look.entity.clone(),
                shows,
                sql: select(entity, look.column.as_deref(), keys, fields, dialect),
            })
        };
        self.keys.iter().filter_map(query).collect()
    }
}

/// What to look up to see a finding: what the rows are, and by which value.
fn looks(case: &FoundCase, finding: &Finding, schema: &Schema) -> Vec<(Look, String)> {
    let look = |entity: &str, column: Option<&str>, shows| Look {
        kind: finding.kind,
        entity: entity.to_owned(),
        column: column.map(str::to_owned),
        shows,
    };
    let own = |shows| vec![(look(&finding.entity, None, shows), finding.key.clone())];
    match finding.kind {
        Kind::Lost => own(Shows::NoRow),
        Kind::Moved => match &finding.moved_to {
            Some(key) => vec![(look(&finding.entity, None, Shows::UnderAnotherKey), key.clone())],
            None => Vec::new(),
        },
        Kind::Regressed | Kind::Undeleted | Kind::Collided | Kind::Contradicted => own(Shows::OneRow),
        Kind::InDoubt => {
            let row = |r: &crate::domain::finding::RowState| (look(&r.entity, None, Shows::OneRow), r.key.clone());
            finding.rows.iter().map(row).collect()
        }
        Kind::Orphaned => {
            let unmasked = |m: &&Missing| m.column.as_ref().is_none_or(|c| !schema.masks(&m.entity, c));
            let target = |m: &Missing| (look(&m.entity, m.column.as_deref(), Shows::NoRow), m.key.clone());
            case.missing.iter().filter(unmasked).map(target).collect()
        }
        Kind::HalfSuperseded => {
            let pair = std::iter::once(&finding.key).chain(&finding.other);
            pair.map(|key| (look(ORDER, None, Shows::OneOfTwo), key.clone()))
                .collect()
        }
        Kind::Expired => {
            let order = schema.index(ORDER).map(|ix| &schema.entities[ix]);
            let label = order.and_then(|o| o.label.as_deref().filter(|l| !o.masks(l)));
            let by = label.map(|label| (look(ORDER, Some(label), Shows::NoRow), case.label.clone()));
            by.into_iter().collect()
        }
    }
}

fn select(entity: &Entity, column: Option<&str>, keys: &[String], fields: &[String], dialect: Dialect) -> String {
    let mut columns: Vec<&str> = Vec::new();
    let own = [&entity.label, &entity.state, &entity.action, &entity.type_column];
    let named = entity
        .key
        .iter()
        .chain(own.into_iter().flatten())
        .chain(&entity.identity)
        .chain(entity.owner.as_ref().map(|o| &o.column))
        .chain(fields);
    for name in named {
        if !columns.contains(&name.as_str()) && (!entity.masks(name) || entity.key.contains(name)) {
            columns.push(name);
        }
    }
    let columns: Vec<String> = columns.into_iter().map(identifier).collect();
    format!(
        "select {} from {} where {};",
        columns.join(", "),
        table(&entity.table, dialect),
        condition(entity, column, keys, dialect)
    )
}

fn condition(entity: &Entity, column: Option<&str>, keys: &[String], dialect: Dialect) -> String {
    let by: Vec<&str> = match column {
        Some(column) => vec![column],
        None => entity.key.iter().map(String::as_str).collect(),
    };
    if let [one] = by[..] {
        let values: Vec<String> = keys.iter().map(|key| literal(key, dialect)).collect();
        return match &values[..] {
            [value] => format!("{} = {value}", identifier(one)),
            values => format!("{} in ({})", identifier(one), values.join(", ")),
        };
    }
    let row = |key: &String| {
        let parts = split_key(key, by.len());
        let equal = by
            .iter()
            .zip(&parts)
            .map(|(c, v)| format!("{} = {}", identifier(c), literal(v, dialect)));
        format!("({})", equal.collect::<Vec<_>>().join(" and "))
    };
    keys.iter().map(row).collect::<Vec<_>>().join(" or ")
}

/// A table as configured: in PostgreSQL its schema stands before a dot.
fn table(name: &str, dialect: Dialect) -> String {
    match name.split_once('.') {
        Some((schema, table)) if dialect == Dialect::Postgres => {
            format!("{}.{}", identifier(schema), identifier(table))
        }
        _ => identifier(name),
    }
}

/// A name in quotes, so that none is a keyword; words of the configuration are printable.
fn identifier(name: &str) -> String {
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let keyword = matches!(
        name,
        "order"
            | "group"
            | "user"
            | "table"
            | "select"
            | "from"
            | "where"
            | "to"
            | "end"
            | "primary"
            | "references"
            | "default"
            | "check"
            | "limit"
            | "offset"
            | "all"
            | "any"
            | "and"
            | "or"
            | "not"
            | "in"
            | "is"
            | "as"
            | "on"
            | "case"
            | "when"
            | "then"
            | "else"
            | "desc"
            | "asc"
            | "grant"
            | "analyse"
            | "analyze"
            | "column"
            | "constraint"
            | "create"
            | "do"
            | "for"
            | "having"
            | "into"
            | "null"
            | "only"
            | "true"
            | "false"
            | "union"
            | "unique"
            | "using"
            | "with"
            | "window"
            | "distinct"
            | "both"
            | "leading"
            | "trailing"
            | "some"
            | "foreign"
            | "fetch"
            | "collate"
            | "cast"
            | "placing"
            | "returning"
            | "array"
            | "lateral"
            | "values"
            | "index"
            | "key"
            | "transaction"
            | "intersect"
            | "except"
    );
    if plain && !keyword && !name.as_bytes()[0].is_ascii_digit() {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// A text as SQL reads it, in printable ASCII.
fn literal(text: &str, dialect: Dialect) -> String {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match (c, dialect) {
            ('\'', _) => write!(out, "''"),
            ('\\', Dialect::Postgres) => write!(out, "\\\\"),
            (' '..='~', _) => write!(out, "{c}"),
            (_, Dialect::Postgres) => write!(out, "\\+{:06X}", u32::from(c)),
            (_, Dialect::Sqlite) => write!(out, "'||char({})||'", u32::from(c)),
        };
    }
    match dialect {
        Dialect::Postgres => format!("U&'{out}'"),
        Dialect::Sqlite => format!("('{out}')"),
    }
}

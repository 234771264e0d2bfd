//! Logs written from the formats' documentation, and beside each what every line of it gives.

use super::{FormatContext, Line, decode};
use crate::config::FormatKind;
use crate::domain::event::{Change, Gap, Op, Position};
use crate::domain::schema::{Catalogue, Column, Entity, Schema, Table};
use crate::domain::value::{ColumnType, LogKind, LogValue};
use serde_json::{Value as Json, json};
use std::path::Path;

/// The type of a column declared so.
fn type_of(declared: &str) -> ColumnType {
    if let Some(inner) = declared.strip_suffix("[]") {
        return ColumnType::Array(Box::new(type_of(inner)));
    }
    let name = declared.split('(').next().unwrap();
    let zoned = declared.ends_with("with time zone");
    match name.split(' ').next().unwrap() {
        "boolean" => ColumnType::Bool,
        "smallint" => ColumnType::Int2,
        "integer" => ColumnType::Int4,
        "bigint" => ColumnType::Int8,
        "numeric" => ColumnType::Numeric,
        "real" => ColumnType::Float4,
        "double" => ColumnType::Float8,
        "text" => ColumnType::Text,
        "character" if name.ends_with("varying") => ColumnType::Text,
        "character" => ColumnType::Char,
        "citext" => ColumnType::TextCi,
        "uuid" => ColumnType::Uuid,
        "date" => ColumnType::Date,
        "time" if zoned => ColumnType::TimeTz,
        "time" => ColumnType::Time,
        "timestamp" if zoned => ColumnType::TimestampTz,
        "timestamp" => ColumnType::Timestamp,
        "interval" => ColumnType::Interval,
        "json" => ColumnType::Json,
        "jsonb" => ColumnType::Jsonb,
        "bytea" => ColumnType::Bytea,
        _ => ColumnType::Other,
    }
}

/// The tables that a corpus file describes.
pub fn tables(described: &Json) -> (Schema, Catalogue) {
    let (mut schema, mut catalogue) = (Schema::default(), Catalogue::default());
    for (name, table) in described.as_object().unwrap() {
        let key: Vec<String> = serde_json::from_value(table["key"].clone()).unwrap();
        let columns: Vec<Column> = table["columns"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, declared)| Column {
                name: name.clone(),
                ty: type_of(declared.as_str().unwrap()),
                declared: declared.as_str().unwrap().to_owned(),
            })
            .collect();
        let mut table = Table {
            name: table["table"].as_str().unwrap().to_owned(),
            columns,
            key: Vec::new(),
        };
        table.key = key.iter().map(|k| table.column(k).unwrap()).collect();
        schema.entities.push(Entity {
            name: name.clone(),
            table: table.name.clone(),
            key,
            ..Entity::default()
        });
        catalogue.tables.push(table);
    }
    (schema, catalogue)
}

/// A change as the corpus writes it.
fn written(schema: &Schema, catalogue: &Catalogue, change: &Change<'_>) -> Json {
    let op = match change.op {
        Op::Insert => "insert",
        Op::Upsert => "upsert",
        Op::Delete => "delete",
        Op::Truncate => "truncate",
    };
    let columns = &catalogue.tables[change.entity].columns;
    let value = |v: &LogValue<'_>| match v.kind {
        LogKind::Null => Json::Null,
        LogKind::Text => json!(v.text),
        LogKind::Bool => json!({"bool": v.text}),
        LogKind::Number => json!({"number": v.text}),
        LogKind::Json => json!({"json": v.text}),
        LogKind::Millis => json!({"millis": v.text}),
        LogKind::Double => json!({"double": v.text}),
        LogKind::Duration => json!({"duration": v.text}),
    };
    let fields: serde_json::Map<String, Json> = change
        .fields
        .iter()
        .map(|(ix, v)| (columns[usize::from(*ix)].name.clone(), value(v)))
        .collect();
    let mut out = json!({
        "op": op,
        "entity": schema.entities[change.entity].name,
        "key": change.key,
        "position": change.position.map(|p| match p {
            Position::Number(n) => n,
            other => panic!("{other:?}"),
        }),
        "at": change.at,
        "fields": fields,
    });
    for (name, value) in [("tx", &change.transaction), ("actor", &change.actor)] {
        if let Some(value) = value {
            out[name] = json!(value);
        }
    }
    if let Some(from) = &change.moved_from {
        out["moved_from"] = json!(from);
    }
    out
}

/// A file of the corpus: what it is called, its tables, its lines and what they give.
#[derive(Debug)]
pub struct CorpusFile {
    pub name: String,
    pub schema: Schema,
    pub catalogue: Catalogue,
    pub log: String,
    pub wanted: Vec<Json>,
}

/// All files of a format's corpus.
pub fn corpus(format: &str, least: usize) -> Vec<CorpusFile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(format);
    let mut files = Vec::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "ndjson") {
            continue;
        }
        let expected: Json =
            serde_json::from_str(&std::fs::read_to_string(path.with_extension("json")).unwrap()).unwrap();
        assert!(expected["_source"].is_string(), "{path:?} does not say what it is from");
        let (schema, catalogue) = tables(&expected["tables"]);
        files.push(CorpusFile {
            name: path.display().to_string(),
            schema,
            catalogue,
            log: std::fs::read_to_string(&path).unwrap(),
            wanted: expected["lines"].as_array().unwrap().clone(),
        });
    }
    assert!(
        files.len() >= least,
        "the corpus is not there: {} files in {folder:?}",
        files.len()
    );
    files
}

fn gap(schema: &Schema, gap: &Gap) -> Json {
    json!({
        "entity": gap.entity.map(|e| &schema.entities[e].name),
        "keys": gap.keys,
        "from": gap.from,
        "to": gap.to,
        "why": gap.why,
    })
}

/// Every line of a format's corpus gives exactly what stands beside it: several changes as a list, a gap after them.
pub fn holds(format: &str, kind: FormatKind, least: usize) {
    let mut wrong = Vec::new();
    for file in corpus(format, least) {
        let ctx = FormatContext::new(&file.schema, &file.catalogue);
        let lines: Vec<&str> = file.log.lines().collect();
        assert_eq!(lines.len(), file.wanted.len(), "{}", file.name);
        for (n, (line, wanted)) in lines.iter().zip(&file.wanted).enumerate() {
            let mut changes = Vec::new();
            let told = decode(kind, &ctx, line, &mut |c| {
                changes.push(written(&file.schema, &file.catalogue, &c));
            });
            match told {
                Ok(Line::Changes) => {}
                Ok(Line::SkippedTable) => changes.push(json!({"skipped": "table"})),
                Ok(Line::SkippedOther) => changes.push(json!({"skipped": "other"})),
                Ok(Line::Gap(told)) => changes.push(json!({"gap": gap(&file.schema, &told)})),
                Err(why) => changes.push(json!({"rejected": why})),
            }
            let got = match &changes[..] {
                [one] => one.clone(),
                _ => Json::Array(changes),
            };
            if got != *wanted {
                wrong.push(format!("{}:{}\n  got  {got}\n  want {wanted}", file.name, n + 1));
            }
        }
        let looks = lines.iter().copied().filter(|line| super::looks_like(line).is_some());
        let looks: Vec<&str> = looks.collect();
        assert_eq!(super::detect(&looks), Some(super::name(kind)), "{}", file.name);
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

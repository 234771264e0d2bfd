//! Every event of the corpus, which is written from the connector's documentation, gives exactly what stands beside it.

use super::*;
use crate::domain::schema::{Catalogue, Column, Entity, Schema, Table};
use crate::domain::value::{ColumnType, LogKind};
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
fn tables(described: &Json) -> (Schema, Catalogue) {
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
    if let Some(from) = &change.moved_from {
        out["moved_from"] = json!(from);
    }
    out
}

/// A file of the corpus: what it is called, its tables, its lines and what they give.
struct CorpusFile {
    name: String,
    schema: Schema,
    catalogue: Catalogue,
    log: String,
    wanted: Vec<Json>,
}

fn corpus() -> Vec<CorpusFile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/debezium");
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
        files.len() > 20,
        "the corpus is not there: {} files in {folder:?}",
        files.len()
    );
    files
}

#[test]
fn every_corpus_event_decodes_as_documented() {
    let mut wrong = Vec::new();
    for file in corpus() {
        let ctx = FormatContext::new(&file.schema, &file.catalogue);
        let lines: Vec<&str> = file.log.lines().collect();
        assert_eq!(lines.len(), file.wanted.len(), "{}", file.name);
        for (n, (line, wanted)) in lines.iter().zip(&file.wanted).enumerate() {
            let mut changes = Vec::new();
            let told = decode(&ctx, line, &mut |c| {
                changes.push(written(&file.schema, &file.catalogue, &c));
            });
            let got = match told {
                Ok(Line::Changes) => changes.pop().unwrap(),
                Ok(Line::SkippedTable) => json!({"skipped": "table"}),
                Ok(Line::SkippedOther) => json!({"skipped": "other"}),
                Ok(Line::Gap(gap)) => panic!("Debezium tells of no gap: {gap:?}"),
                Err(why) => json!({"rejected": why}),
            };
            if got != *wanted || !changes.is_empty() {
                wrong.push(format!("{}:{}\n  got  {got}\n  want {wanted}", file.name, n + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_transaction_is_that_of_the_source() {
    let (schema, catalogue) =
        tables(&json!({"order": {"table": "om.orders", "key": ["id"], "columns": {"id": "bigint"}}}));
    let ctx = FormatContext::new(&schema, &catalogue);
    for (id, expected) in [("556", Some("556")), ("null", None)] {
        let line = format!(
            r#"{{"op":"c","after":{{"id":1}},"source":{{"schema":"om","table":"orders","txId":{id}}},"ts_ms":1}}"#
        );
        let mut seen = Vec::new();
        decode(&ctx, &line, &mut |c| seen.push(c.transaction.map(Cow::into_owned))).unwrap();
        assert_eq!(seen, [expected.map(str::to_owned)]);
    }
}

#[test]
fn more_schemas_than_are_kept() {
    let schema = |scale: usize| {
        let decimal = "org.apache.kafka.connect.data.Decimal";
        json!({"type": "struct", "fields": [{"type": "struct", "field": "after", "fields": [
            {"type": "bytes", "name": decimal, "parameters": {"scale": scale.to_string()}, "field": "n"}]}]})
        .to_string()
    };
    for scale in (0..100).chain((0..100).rev()) {
        let form = form::of(&schema(scale));
        assert_eq!(
            form.field(0, "n").unwrap().form,
            Form::Decimal(i64::try_from(scale).unwrap())
        );
    }
    assert!(form::of("{").field(0, "n").is_none());
}

#[test]
fn nesting_without_end_is_rejected() {
    let (schema, catalogue) = tables(&json!({"order": {"table": "om.orders", "key": ["id"],
        "columns": {"id": "bigint", "list": "integer[]", "p": "point"}}}));
    let ctx = FormatContext::new(&schema, &catalogue);
    let deep = 100_000;
    for value in [
        format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("{}1{}", r#"{"center":"#.repeat(deep), r#","radius":1}"#.repeat(deep)),
    ] {
        for column in ["list", "p"] {
            let line = format!(
                r#"{{"op":"u","after":{{"id":1,"{column}":{value}}},"source":{{"schema":"om","table":"orders"}}}}"#
            );
            // A column of no array type takes an array as the JSON it is.
            let told = decode(&ctx, &line, &mut |_| {});
            assert!(told.is_err() || column == "p" && value.starts_with('['), "{told:?}");
        }
    }
}

mod damaged {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_line_panics(file in any::<prop::sample::Index>(), line in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(), len in 0_usize..6,
            with in prop_oneof!["\\PC{0,3}", "[-+0-9Z\"\\[\\]{}:,.]{1,4}", "9{1,20}", Just("\\u0000".to_owned())])
        {
            thread_local! { static CORPUS: Vec<CorpusFile> = corpus(); }
            CORPUS.with(|corpus| {
                let file = file.get(corpus);
                let lines: Vec<&str> = file.log.lines().collect();
                // The payload is where the decoder decides; the schema before it would take most hits.
                let line = line.get(&lines);
                let (schema, payload) = line.split_at(line.find("\"payload\"").unwrap_or(0));
                let chars: Vec<char> = payload.chars().collect();
                let at = at.index(chars.len() + 1);
                let damaged: String = schema
                    .chars()
                    .chain(chars[..at].iter().copied())
                    .chain(with.chars())
                    .chain(chars[(at + len).min(chars.len())..].iter().copied())
                    .collect();
                let ctx = FormatContext::new(&file.schema, &file.catalogue);
                let mut handed_out = 0;
                let told = decode(&ctx, &damaged, &mut |_| handed_out += 1);
                prop_assert_eq!(handed_out, usize::from(told == Ok(Line::Changes)));
                Ok(())
            })?;
        }
    }
}

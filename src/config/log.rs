//! `[[log]]`: where the log comes from and how it is written.

use super::fields::{Field, Fields};
use super::read::{FORMATS, stream};
use super::tree::Value;
use super::types::{FormatKind, LogConfig, OrderBy, SourceKind};
use super::{schema, url};
use crate::domain::Result;
use crate::domain::schema::{NAME_LIMIT, Schema};
use std::collections::BTreeMap;

/// All logs, in order.
pub(super) fn read(field: &Field<'_>, schema: &Schema) -> Result<Vec<LogConfig>> {
    let Value::List(nodes) = &field.node.value else {
        return Err(field
            .wrong("log must be a list of tables")
            .cure("write [[log]] with double brackets, once for each source"));
    };
    let mut logs: Vec<LogConfig> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let fields = Fields::of(node, "log", "log")?;
        let name = fields.need("name", "\"cdc\"")?;
        let text = name.text()?;
        if logs.iter().any(|l| l.name == text) {
            return Err(name
                .wrong(format!("two logs are called {text:?}"))
                .cure("give each [[log]] a name of its own: evidence is told apart by it"));
        }
        logs.push(log(&fields, text, schema)?);
    }
    Ok(logs)
}

fn log(fields: &Fields<'_>, name: &str, schema: &Schema) -> Result<LogConfig> {
    let source = match fields.get("source") {
        Some(field) => field.choice(&[
            ("file", SourceKind::File),
            ("database", SourceKind::Database),
            ("kafka", SourceKind::Kafka),
            ("postgres", SourceKind::Postgres),
        ])?,
        None => SourceKind::File,
    };
    let columns = columns(fields)?;
    let whole_events = columns.contains_key("event");
    let format = match (fields.get("format"), source) {
        (Some(field), SourceKind::Postgres) => {
            let format = field.choice(FORMATS)?;
            if format != FormatKind::Native && !whole_events {
                return Err(field
                    .wrong("log.format says how whole events are written, and log.columns names no column of them")
                    .cure(
                        "add event = \"...\" to columns, or leave format out where each part has a column of its own",
                    ));
            }
            format
        }
        (Some(field), _) => field.choice(FORMATS)?,
        // The pre-restore instance is read as rows, not as events in a format.
        (None, SourceKind::Database) => FormatKind::Native,
        (None, SourceKind::Postgres) if !whole_events => FormatKind::Native,
        (None, _) => fields.need("format", "\"wal2json\"")?.choice(FORMATS)?,
    };
    let order = match fields.get("order") {
        Some(field) => Some(field.choice(&[("version", OrderBy::Version), ("position", OrderBy::Position)])?),
        None => None,
    };
    let (path, kafka, topic) = stream(fields, source)?;
    let database = url::database(fields)?;
    if matches!(source, SourceKind::Database | SourceKind::Postgres) && database.is_none() {
        fields.need("url", "\"postgres://triage@old.example:5432/om\"")?;
    }
    let slot = fields.text("slot")?;
    if slot.is_some() && database.is_none() {
        fields.need(
            "url",
            "\"postgres://triage@om.example:5432/om\", the database that has the slot",
        )?;
    }
    if source == SourceKind::Postgres {
        event_table(&fields.need("table", "\"audit.events\"")?)?;
    }
    Ok(LogConfig {
        name: name.to_owned(),
        source,
        path,
        format,
        order,
        entities: entities(fields, schema)?,
        database,
        table: fields.text("table")?,
        columns,
        kafka,
        topic,
        keep: fields.get("keep").map(|f| f.duration()).transpose()?,
        max_age: fields.get("max_age").map(|f| f.duration()).transpose()?,
        slot,
    })
}

/// Refuses a table's name of which the server would cut a part off without a word, and find another's table.
fn event_table(field: &Field<'_>) -> Result<()> {
    let too_long = |name: &str| name.trim_matches('"').len() > NAME_LIMIT;
    if field.text()?.split('.').any(too_long) {
        return Err(field
            .wrong(format!(
                "{}: a PostgreSQL name has at most {NAME_LIMIT} bytes",
                field.path
            ))
            .cure("give the table's name as \\d shows it"));
    }
    Ok(())
}

/// What the log calls entities otherwise than the site.
fn entities(fields: &Fields<'_>, schema: &Schema) -> Result<BTreeMap<String, String>> {
    let Some(field) = fields.get("entities") else {
        return Ok(BTreeMap::new());
    };
    let mut entities = BTreeMap::new();
    for (called, value) in Fields::any(field.node, "log.entities")?.all() {
        let name = value.text()?;
        if schema.index(name).is_none() {
            return Err(schema::unmapped(&value, name, schema));
        }
        entities.insert(called.to_owned(), name.to_owned());
    }
    Ok(entities)
}

/// The columns of a table of events, by the part that each plays.
fn columns(fields: &Fields<'_>) -> Result<BTreeMap<String, String>> {
    let Some(field) = fields.get("columns") else {
        return Ok(BTreeMap::new());
    };
    Fields::of(field.node, "log.columns", "log.columns")?
        .all()
        .map(|(part, column)| Ok((part.to_owned(), column.text()?.to_owned())))
        .collect()
}

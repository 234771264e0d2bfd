//! The columns that a log tells of, where no database says which there are.

use super::{LogInput, ReadError, Wants, read};
use crate::config::{LogConfig, SourceKind};
use crate::domain::Error;
use crate::domain::progress::Progress;
use crate::domain::schema::{Catalogue, Column, ColumnIx, Entity, Schema, Table};
use crate::domain::value::ColumnType;

/// Tables made up of the columns that the configuration names and those that events name, every one of them text. The log
/// is read for it.
///
/// # Errors
/// What the log refuses; a stream, which would be used up by looking.
pub fn columns(
    logs: &[LogConfig],
    schema: &Schema,
    reject_limit: f64,
    progress: &Progress,
) -> Result<Catalogue, ReadError> {
    let stream = |log: &&LogConfig| log.source == SourceKind::File && log.path.as_deref() == Some("-");
    if let Some(log) = logs.iter().find(stream) {
        return Err(
            Error::failed("no database says what the columns are, and standard input can be read only once")
                .at(format!("[[log]] {}: path", log.name))
                .cure("write the log to a file, or name in restored.url any database that has the tables")
                .into(),
        );
    }
    let mut catalogue = Catalogue {
        tables: schema.entities.iter().map(|entity| table(schema, entity)).collect(),
    };
    let input = LogInput {
        logs,
        schema,
        catalogue: &catalogue,
        reject_limit,
        wants: Wants::default(),
    };
    for (entity, name) in read(&input, progress)?.unknown {
        add(&mut catalogue.tables[entity], &name);
    }
    Ok(catalogue)
}

fn table(schema: &Schema, entity: &Entity) -> Table {
    let mut table = Table {
        name: entity.table.clone(),
        columns: Vec::new(),
        key: Vec::new(),
    };
    let one = [
        &entity.label,
        &entity.state,
        &entity.supersedes,
        &entity.rank,
        &entity.action,
        &entity.type_column,
        &entity.ponr,
    ];
    let referred = schema
        .entities
        .iter()
        .flat_map(|e| &e.refs)
        .filter(|r| r.entity == entity.name);
    let names = entity
        .key
        .iter()
        .chain(one.into_iter().flatten())
        .chain(&entity.identity)
        .chain(&entity.ignore)
        .chain(&entity.show)
        .chain(&entity.mask)
        .chain(entity.owner.as_ref().map(|owner| &owner.column))
        .chain(entity.refs.iter().map(|r| &r.column))
        .chain(referred.filter_map(|r| r.target.as_ref()));
    for name in names {
        add(&mut table, name);
    }
    table.key = entity.key.iter().filter_map(|name| table.column(name)).collect();
    table
}

fn add(table: &mut Table, name: &str) {
    if table.column(name).is_none() && table.columns.len() < usize::from(ColumnIx::MAX) {
        table.columns.push(Column {
            name: name.to_owned(),
            ty: ColumnType::Text,
            declared: "text".to_owned(),
        });
    }
}

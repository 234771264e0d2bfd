//! `sql` on a restored database in a SQLite file.

use super::plan::{Cell, Write};
use super::{End, before, changed, digest, no_marker, not_as_shown, written};
use crate::domain::schema::{Catalogue, Entity, Schema, Table};
use crate::domain::value::{self, ColumnType, LogKind, LogValue, Same, split_key};
use crate::domain::{Error, Result};
use crate::ledger::Pending;
use crate::resolve::steps::Act;
use crate::restored::Restored as _;
use crate::restored::pg::quoted;
use crate::restored::sqlite::{Sqlite, text};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params_from_iter};
use std::path::Path;

/// Writes the rows in one transaction, with the decision's key.
pub async fn run(path: &Path, schema: &Schema, writes: &[Write], effect: &Pending) -> End {
    // A process that died while it wrote may have left its journal: opening the file for writing rolls it back.
    let opened = Sqlite::open_to_write(path);
    let (mut file, catalogue) = match opened {
        Ok(mut file) => match file.catalogue(schema).await {
            Ok(catalogue) => (file, catalogue),
            Err(error) => return before(effect, error),
        },
        Err(error) => return before(effect, error),
    };
    let place = path.display().to_string();
    let failed = |e: &rusqlite::Error| {
        Error::failed(format!("nothing was written: {e}"))
            .at(place.clone())
            .cure("check that the file can be written and that no program locks it")
    };
    let tx = match file.file().transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(tx) => tx,
        Err(e) => return before(effect, failed(&e)),
    };
    match mark(&tx, effect, &digest(writes)) {
        Ok(Marked::New) => {}
        Ok(Marked::Before) => return End::Done("it was done before: its key is there".to_owned()),
        Ok(Marked::Other) => return End::Failed(Error::refused("its key was used for something else")),
        Ok(Marked::NoTable) => return before(effect, no_marker(&place)),
        Err(e) => return before(effect, failed(&e)),
    }
    let target = Target {
        db: &tx,
        schema,
        catalogue: &catalogue,
    };
    for write in writes {
        match target.write(write) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return End::Failed(error),
            Err(e) => return End::Failed(failed(&e)),
        }
    }
    match tx.commit() {
        Ok(()) => End::Done(written(writes)),
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => End::Failed(failed(&e)),
        Err(e) => End::Unknown(format!("the file did not say whether it was written: {e}")),
    }
}

/// Whether the file is there and has the table for keys.
pub fn ready(path: &Path) -> Result<()> {
    let mut file = Sqlite::open_to_write(path)?;
    let place = path.display().to_string();
    match has_marker(file.file()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(no_marker(&place)),
        Err(e) => Err(Error::failed(format!("the file cannot be read: {e}")).at(place)),
    }
}

fn has_marker(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'restitch_decisions')",
        [],
        |r| r.get(0),
    )
}

enum Marked {
    New,
    Before,
    Other,
    NoTable,
}

fn mark(db: &Connection, effect: &Pending, digest: &str) -> rusqlite::Result<Marked> {
    if !has_marker(db)? {
        return Ok(Marked::NoTable);
    }
    let known: Option<String> = db
        .query_row(
            "SELECT digest FROM restitch_decisions WHERE key = ?1",
            [&effect.key],
            |r| r.get(0),
        )
        .optional()?;
    if let Some(known) = known {
        return Ok(if known == digest { Marked::Before } else { Marked::Other });
    }
    db.execute(
        "INSERT INTO restitch_decisions (key, at, by, digest) VALUES (?1, datetime('now'), ?2, ?3)",
        (&effect.key, &effect.by, digest),
    )?;
    Ok(Marked::New)
}

struct Target<'a> {
    db: &'a Connection,
    schema: &'a Schema,
    catalogue: &'a Catalogue,
}

impl Target<'_> {
    /// Writes one row; the inner error says how it does not stand as it was shown.
    fn write(&self, write: &Write) -> rusqlite::Result<Result<()>> {
        let Some(ix) = self.schema.index(&write.entity) else {
            return Ok(Err(Error::usage(format!(
                "{} is not mapped to a table any more",
                write.entity
            ))));
        };
        let (entity, table) = (&self.schema.entities[ix], &self.catalogue.tables[ix]);
        for cell in write.set.iter().chain(&write.was) {
            if let Err(error) = table.require(&cell.column, "the effect") {
                return Ok(Err(error));
            }
        }
        let there = self.read(table, entity, &write.key)?;
        let told = |how: &str| Ok(Err(not_as_shown(&entity.table, &write.key, how)));
        let stands = match (write.act, there) {
            (Act::Insert, Some(_)) => return told("is there now"),
            (Act::Insert, None) if self.is_elsewhere(table, &write.was)? => {
                return told("is there now under another key");
            }
            (Act::Insert, None) => return self.insert(table, write).map(Ok),
            (Act::Set | Act::Delete, None) => return told("is not there any more"),
            (Act::Set | Act::Delete, Some(row)) => row,
        };
        for cell in write.was.iter().filter(|c| !c.ignored) {
            let Some(at) = table.column(&cell.column).map(usize::from) else {
                continue;
            };
            let now = stands.get(at).and_then(Option::as_deref);
            if !same(&table.columns[at].ty, cell, now) {
                let masked = entity.mask.contains(&cell.column);
                let was = cell.text.as_deref();
                return Ok(Err(changed(&entity.table, &write.key, &cell.column, masked, was, now)));
            }
        }
        self.change(table, write).map(Ok)
    }

    fn key(table: &Table, key: &str) -> (String, Vec<Value>) {
        let columns = table.key.iter().map(|c| &table.columns[usize::from(*c)]);
        let parts = split_key(key, table.key.len());
        let tests: Vec<String> = columns.clone().map(|c| format!("{} = ?", quoted(&c.name))).collect();
        let values = columns.zip(parts).map(|(c, part)| stored(&c.ty, Some(&part)));
        (tests.join(" AND "), values.collect())
    }

    /// All columns of the row, in the order of the table.
    fn read(&self, table: &Table, entity: &Entity, key: &str) -> rusqlite::Result<Option<Vec<Option<String>>>> {
        let names: Vec<String> = table.columns.iter().map(|c| quoted(&c.name)).collect();
        // A text key may be a Salesforce id, in its other length.
        let other = value::salesforce_id_other(key).filter(|_| entity.key.len() == 1);
        for key in [Some(key), other.as_deref()].into_iter().flatten() {
            let (test, values) = Self::key(table, key);
            let sql = format!("SELECT {} FROM {} WHERE {test}", names.join(", "), quoted(&table.name));
            let found = self
                .db
                .query_row(&sql, params_from_iter(values), |row| {
                    (0..table.columns.len())
                        .map(|at| Ok(text(row.get_ref(at)?, Some(&table.columns[at].ty))))
                        .collect::<rusqlite::Result<Vec<_>>>()
                })
                .optional()?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether a row of this identity is there.
    fn is_elsewhere(&self, table: &Table, identity: &[Cell]) -> rusqlite::Result<bool> {
        if identity.is_empty() {
            return Ok(false);
        }
        let tests: Vec<String> = identity.iter().map(|c| format!("{} = ?", quoted(&c.column))).collect();
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM {} WHERE {})",
            quoted(&table.name),
            tests.join(" AND ")
        );
        let values = identity.iter().map(|c| stored(&type_of(table, c), c.text.as_deref()));
        self.db.query_row(&sql, params_from_iter(values), |r| r.get(0))
    }

    fn insert(&self, table: &Table, write: &Write) -> rusqlite::Result<()> {
        let names: Vec<String> = write.set.iter().map(|c| quoted(&c.column)).collect();
        let marks = vec!["?"; names.len()];
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            quoted(&table.name),
            names.join(", "),
            marks.join(", ")
        );
        let values = write.set.iter().map(|c| stored(&type_of(table, c), c.text.as_deref()));
        self.db.execute(&sql, params_from_iter(values)).map(drop)
    }

    fn change(&self, table: &Table, write: &Write) -> rusqlite::Result<()> {
        let name = quoted(&table.name);
        let mut values: Vec<Value> = Vec::new();
        let verb = if write.act == Act::Delete {
            format!("DELETE FROM {name}")
        } else {
            values.extend(write.set.iter().map(|c| stored(&type_of(table, c), c.text.as_deref())));
            let set: Vec<String> = write.set.iter().map(|c| format!("{} = ?", quoted(&c.column))).collect();
            format!("UPDATE {name} SET {}", set.join(", "))
        };
        let other = value::salesforce_id_other(&write.key).filter(|_| table.key.len() == 1);
        let mut tests = Vec::new();
        for key in [Some(write.key.as_str()), other.as_deref()].into_iter().flatten() {
            let (test, parts) = Self::key(table, key);
            tests.push(format!("({test})"));
            values.extend(parts);
        }
        let rows = self.db.execute(
            &format!("{verb} WHERE {}", tests.join(" OR ")),
            params_from_iter(values),
        )?;
        if rows == 1 {
            Ok(())
        } else {
            Err(rusqlite::Error::StatementChangedRows(rows))
        }
    }
}

fn type_of(table: &Table, cell: &Cell) -> ColumnType {
    let at = table.column(&cell.column).map(usize::from);
    at.map_or(ColumnType::Other, |at| table.columns[at].ty.clone())
}

/// Whether a value stands as it was shown, or as it was written.
fn same(ty: &ColumnType, cell: &Cell, now: Option<&str>) -> bool {
    let was = match &cell.text {
        None => LogValue::NULL,
        Some(text) => LogValue::new(LogKind::Text, text.as_str()),
    };
    match value::same(ty, &was, now) {
        Same::Yes => true,
        Same::No => false,
        Same::AskServer => cell.text.as_deref() == now,
    }
}

/// A text as the file stores it: its columns give other texts their affinity.
fn stored(ty: &ColumnType, text: Option<&str>) -> Value {
    match (ty, text) {
        (_, None) => Value::Null,
        (ColumnType::Bool, Some("true")) => Value::Integer(1),
        (ColumnType::Bool, Some("false")) => Value::Integer(0),
        (ColumnType::Bytea, Some(text)) => hex(text).map_or_else(|| Value::Text(text.to_owned()), Value::Blob),
        (_, Some(text)) => Value::Text(text.to_owned()),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

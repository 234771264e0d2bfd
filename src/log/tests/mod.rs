//! What the contract says of reading logs, sentence by sentence.

mod asides;
mod debezium;
mod files;
mod gaps;
mod held;
mod native;
mod properties;
mod spoiled;
mod wal2json;

use super::*;
use crate::config::{BadChange, FormatKind, LogConfig, OrderBy};
use crate::domain::progress::Progress;
use crate::domain::schema::{Catalogue, Column, Entity, Schema, Table};
use crate::domain::value::{ColumnType, LogKind};
use std::path::Path;
use tempfile::TempDir;

/// An order with every kind of column, an item with a composite key.
pub(super) fn site() -> (Schema, Catalogue) {
    let entity = |name: &str, table: &str, key: &[&str]| Entity {
        name: name.to_owned(),
        table: table.to_owned(),
        key: key.iter().map(|k| (*k).to_owned()).collect(),
        ..Entity::default()
    };
    let mut order = entity("order", "om.orders", &["id"]);
    order.ignore = vec!["updated_at".to_owned(), "status".to_owned()];
    order.state = Some("status".to_owned());
    let schema = Schema {
        entities: vec![order, entity("order_item", "om.order_items", &["order_id", "line"])],
    };
    let table = |name: &str, key: &[u16], columns: &[(&str, ColumnType, &str)]| Table {
        name: name.to_owned(),
        key: key.to_vec(),
        columns: columns
            .iter()
            .map(|(name, ty, declared)| Column {
                name: (*name).to_owned(),
                ty: ty.clone(),
                declared: (*declared).to_owned(),
            })
            .collect(),
    };
    let orders = [
        ("id", ColumnType::Int8, "bigint"),
        ("status", ColumnType::Text, "text"),
        ("amount", ColumnType::Numeric, "numeric(12,2)"),
        ("note", ColumnType::Text, "text"),
        ("due_at", ColumnType::TimestampTz, "timestamp with time zone"),
        ("data", ColumnType::Jsonb, "jsonb"),
        ("updated_at", ColumnType::TimestampTz, "timestamp with time zone"),
        ("raw", ColumnType::Bytea, "bytea"),
    ];
    let items = [
        ("order_id", ColumnType::Int8, "bigint"),
        ("line", ColumnType::Text, "text"),
        ("product", ColumnType::Text, "text"),
    ];
    let catalogue = Catalogue {
        tables: vec![
            table("om.orders", &[0], &orders),
            table("om.order_items", &[0, 1], &items),
        ],
    };
    (schema, catalogue)
}

pub(super) const STATUS: u16 = 1;

/// A folder with logs in it.
pub(super) struct Logs {
    pub folder: TempDir,
    pub configs: Vec<LogConfig>,
    pub limit: f64,
    pub bad: Option<BadChange>,
    pub as_at: Option<i64>,
}

impl Logs {
    pub fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            configs: Vec::new(),
            limit: 0.01,
            bad: None,
            as_at: None,
        }
    }

    pub fn native(lines: &[&str]) -> Self {
        Self::new().with("cdc", FormatKind::Native, lines.join("\n").as_bytes())
    }

    pub fn with(mut self, name: &str, format: FormatKind, bytes: &[u8]) -> Self {
        let path = self.path().join(format!("{name}.ndjson"));
        std::fs::write(&path, bytes).unwrap();
        self.configs.push(LogConfig::file(name, path.to_str().unwrap(), format));
        self
    }

    pub fn order(mut self, order: OrderBy) -> Self {
        self.configs.last_mut().unwrap().order = Some(order);
        self
    }

    pub fn limit(mut self, limit: f64) -> Self {
        self.limit = limit;
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn try_read(&self) -> Result<Folded, ReadError> {
        let (schema, catalogue) = site();
        let input = LogInput {
            logs: &self.configs,
            schema: &schema,
            catalogue: &catalogue,
            reject_limit: self.limit,
            wants: Wants {
                without: self.bad.as_ref(),
                as_at: self.as_at,
                history: false,
            },
        };
        read(&input, &Progress::default())
    }

    pub fn read(&self) -> Folded {
        self.try_read().unwrap_or_else(|e| panic!("{}", e.error))
    }
}

/// A row as text: `status=New@12 amount=1.50@13`, with `deleted by …` and `contradicted`.
pub(super) fn show(folded: &Folded, entity: usize, key: &str) -> String {
    show_row(folded, entity, folded.get(entity, key))
}

pub(super) fn show_row(folded: &Folded, entity: usize, row: Option<LogRow<'_>>) -> String {
    let (_, catalogue) = site();
    let Some(row) = row else {
        return "unknown".to_owned();
    };
    let mut parts = Vec::new();
    for (column, value, by) in row.fields() {
        let text = if value.kind == LogKind::Null {
            "NULL"
        } else {
            &value.text
        };
        let name = &catalogue.tables[entity].columns[usize::from(column)].name;
        parts.push(format!("{name}={text}@{}", folded.evidence(by).position));
    }
    if let Some(by) = row.deleted_by() {
        parts.push(format!("deleted@{}", folded.evidence(by).position));
    }
    if let Some((winner, other)) = row.contradicted() {
        let of = |e| folded.evidence(e).position;
        parts.push(format!("contradicted@{}/{}", of(winner), of(other)));
    }
    assert_eq!(row.exists(), row.deleted_by().is_none());
    parts.join(" ")
}

//! References at every moment: when what an order refers to would not be there.

use super::count::{Span, outside, union};
use super::rows::{Room, Rows, is_null};
use crate::domain::schema::{Catalogue, ColumnIx, EntityIx, Schema};
use crate::domain::value::{self, ColumnType};
use crate::log::RowAt;
use hashbrown::HashMap;

/// A column of an entity's rows, and where it points.
struct Reference {
    column: ColumnIx,
    entity: EntityIx,
    /// The column referred to; `None`: the key.
    target: Option<ColumnIx>,
}

/// All references of the schema, and the rows by the columns that they name.
pub struct Refs<'a> {
    rows: &'a Rows<'a>,
    catalogue: &'a Catalogue,
    of: Vec<Vec<Reference>>,
    /// For each column that is referred to: the rows that have, or had, a value.
    named: HashMap<(EntityIx, ColumnIx), HashMap<u64, Vec<RowAt>>>,
}

impl<'a> Refs<'a> {
    pub fn new(schema: &Schema, catalogue: &'a Catalogue, rows: &'a Rows<'a>) -> Self {
        let of = schema.entities.iter().zip(&catalogue.tables).map(|(entity, table)| {
            let refs = entity.refs.iter().filter_map(|r| {
                let entity = schema.index(&r.entity)?;
                let to = &catalogue.tables[entity];
                let target = match &r.target {
                    Some(name) => Some(to.column(name)?),
                    None => None,
                };
                Some(Reference {
                    column: table.column(&r.column)?,
                    entity,
                    target,
                })
            });
            refs.collect()
        });
        let mut refs = Self {
            rows,
            catalogue,
            of: of.collect(),
            named: HashMap::new(),
        };
        let targets = refs.of.iter().flatten();
        let mut targets: Vec<_> = targets.filter_map(|r| Some((r.entity, r.target?))).collect();
        targets.sort_unstable();
        targets.dedup();
        for (entity, column) in targets {
            let mut named: HashMap<u64, Vec<RowAt>> = HashMap::new();
            for row in rows.log.rows_at(entity) {
                let former = rows
                    .log
                    .former(row)
                    .iter()
                    .filter(|f| f.column == column)
                    .map(|f| f.print);
                for print in former
                    .chain([rows.log.print_of(row, column)])
                    .filter(|print| *print != 0)
                {
                    let rows = named.entry(print).or_default();
                    if rows.last() != Some(&row) {
                        rows.push(row);
                    }
                }
            }
            refs.named.insert((entity, column), named);
        }
        refs
    }

    /// When something that the row refers to, in its last state, would not be there.
    pub fn missing(&self, row: RowAt, room: &mut Room, into: &mut Vec<Span>) {
        let log = self.rows.log.row_at(row);
        if !log.exists() {
            return;
        }
        for reference in &self.of[row.entity()] {
            let Some((value, _)) = log.field(reference.column).filter(|(v, _)| !is_null(v.kind)) else {
                continue;
            };
            match reference.target {
                None => self.by_key(reference.entity, &value, room, into),
                Some(column) => self.by_column(reference.entity, column, &value.text, room, into),
            }
        }
    }

    fn by_key(&self, entity: EntityIx, named: &value::LogValue<'_>, room: &mut Room, into: &mut Vec<Span>) {
        let table = &self.catalogue.tables[entity];
        let ty = match table.key[..] {
            [only] => Some(&table.columns[usize::from(only)].ty),
            _ => None,
        };
        let key = ty
            .and_then(|ty| value::key_text(ty, named))
            .unwrap_or_else(|| named.text.as_ref().into());
        let log = self.rows.log;
        let found = log.find(entity, &key).or_else(|| {
            let text = ty.is_some_and(|ty| matches!(ty, ColumnType::Text | ColumnType::Char));
            let other = value::salesforce_id_other(&key).filter(|_| text)?;
            log.find(entity, &other)
        });
        // What the log never names, it does not show.
        if let Some(target) = found
            && log.row_at(target).exists()
        {
            into.extend(self.rows.missing(target, room));
        }
    }

    fn by_column(&self, entity: EntityIx, column: ColumnIx, text: &str, room: &mut Room, into: &mut Vec<Span>) {
        let rows = self.rows;
        let print = rows.log.print_value(entity, column, text);
        let Some(named) = self.named.get(&(entity, column)).and_then(|named| named.get(&print)) else {
            return;
        };
        let has_it = |row: &&RowAt| rows.log.print_of(**row, column) == print;
        let exists = |row: &&RowAt| rows.log.row_at(**row).exists();
        if !named.iter().filter(has_it).any(|row| exists(&row)) && named.iter().any(|row| has_it(&row)) {
            // The log's last word on it is a delete: it lacks on purpose.
            return;
        }
        let mut there = Vec::new();
        for row in named {
            there.extend(rows.present(*row, room, |t| rows.column_at(*row, column, t) == print));
            // Before the log shows it, it is taken to be there as the log shows it first.
            if let Some(until) = rows.hidden_until(*row, room)
                && rows.column_at(*row, column, i64::MIN) == print
            {
                there.push((i64::MIN, until));
            }
        }
        union(&mut there);
        into.extend(outside(&there));
    }
}

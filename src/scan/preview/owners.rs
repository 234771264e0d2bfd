//! The rows by the order that owns them, owners followed in the log alone.

use super::order_entity;
use crate::domain::schema::{Catalogue, ColumnIx, EntityIx, Schema};
use crate::domain::value::{self, ColumnType};
use crate::log::{Folded, RowAt};
use hashbrown::HashMap;
use rayon::prelude::*;
use std::ops::Range;

/// Every order, numbered: those that the log names first, then those that only their rows name.
pub struct Owned {
    /// Orders are mapped at all.
    pub mapped: bool,
    /// Rows of the order table, in no order that matters.
    own: Vec<RowAt>,
    /// Orders that only their rows name.
    named: usize,
    /// Other rows and the number of their order, by that number.
    others: Vec<(u32, RowAt)>,
    /// Rows of tables that no order owns.
    pub alone: Vec<RowAt>,
    /// Rows whose owner the log does not say.
    pub nobodys: usize,
}

impl Owned {
    /// How many orders there are.
    pub fn orders(&self) -> usize {
        self.own.len() + self.named
    }

    /// The order's own row.
    pub fn own_row(&self, order: usize) -> Option<RowAt> {
        self.own.get(order).copied()
    }

    /// The other rows of these orders.
    pub fn rows_of(&self, orders: Range<usize>) -> &[(u32, RowAt)] {
        let from = self
            .others
            .partition_point(|(order, _)| (*order as usize) < orders.start);
        let to = self.others.partition_point(|(order, _)| (*order as usize) < orders.end);
        &self.others[from..to]
    }
}

/// How an entity's rows name their owner.
struct Owner {
    column: ColumnIx,
    entity: EntityIx,
    key: ColumnType,
}

/// Where a chain of owners ends.
enum End {
    Order(RowAt),
    /// An order that the log does not name itself.
    Named(Box<str>),
    Nobody,
}

/// Finds the order of every row.
pub fn owned(schema: &Schema, catalogue: &Catalogue, log: &Folded) -> Owned {
    let order = order_entity(schema);
    let owners: Vec<Option<Owner>> = schema
        .entities
        .iter()
        .zip(&catalogue.tables)
        .map(|(entity, table)| {
            let owner = entity.owner.as_ref()?;
            let of = schema.index(&owner.entity)?;
            let to = &catalogue.tables[of];
            Some(Owner {
                column: table.column(&owner.column)?,
                entity: of,
                key: to
                    .key
                    .first()
                    .map_or(ColumnType::Other, |key| to.columns[usize::from(*key)].ty.clone()),
            })
        })
        .collect();
    let own: Vec<RowAt> = order.map(|order| log.rows_at(order).collect()).unwrap_or_default();
    let mut found = Owned {
        mapped: order.is_some(),
        own,
        named: 0,
        others: Vec::new(),
        alone: Vec::new(),
        nobodys: 0,
    };
    let mut named: HashMap<Box<str>, u32> = HashMap::new();
    for entity in (0..schema.entities.len()).filter(|e| Some(*e) != order) {
        let rows: Vec<RowAt> = log.rows_at(entity).collect();
        if owners[entity].is_none() {
            found.alone.extend(rows);
            continue;
        }
        let ends: Vec<End> = rows.par_iter().map(|row| end(*row, &owners, order, log)).collect();
        for (row, end) in rows.into_iter().zip(ends) {
            let number = match end {
                // Rows of one table are handed out in order, so a row's number is found by looking for it.
                End::Order(at) => found.own.binary_search(&at).ok().and_then(|n| u32::try_from(n).ok()),
                End::Named(key) => {
                    let next = found.own.len() + named.len();
                    let next = u32::try_from(next).unwrap_or(u32::MAX);
                    Some(*named.entry(key).or_insert(next))
                }
                End::Nobody => None,
            };
            if let Some(number) = number {
                found.others.push((number, row));
            } else {
                found.nobodys += 1;
                found.alone.push(row);
            }
        }
    }
    found.named = named.len();
    found.others.par_sort_unstable();
    found
}

fn end(row: RowAt, owners: &[Option<Owner>], order: Option<EntityIx>, log: &Folded) -> End {
    let mut at = row;
    for _ in 0..=owners.len() {
        let Some(owner) = &owners[at.entity()] else {
            return End::Nobody;
        };
        let named = log.row_at(at).field(owner.column);
        let Some(key) = named.as_ref().and_then(|(value, _)| value::key_text(&owner.key, value)) else {
            return End::Nobody;
        };
        let found = log.find(owner.entity, &key);
        if Some(owner.entity) == order {
            return found.map_or_else(|| End::Named(key.as_ref().into()), End::Order);
        }
        let Some(next) = found else { return End::Nobody };
        at = next;
    }
    // Owners that own each other belong to no order.
    End::Nobody
}

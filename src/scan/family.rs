//! An order's family: every row that belongs to it, in the log or in the restored database, both sides at hand.

use super::owners::{Owners, Said};
use super::{Orders, RowId, Scan};
use crate::domain::Result;
use crate::domain::schema::{ColumnIx, EntityIx};
use crate::restored::{Lookup, Restored, rows_by_key};
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeMap;

/// The rows of some orders, and of rows that no order owns.
#[derive(Debug, Default)]
pub(super) struct Families {
    /// The rows of each order, the order's own first, then by entity and key.
    pub by_order: BTreeMap<Box<str>, Vec<RowId>>,
    /// All columns of every restored row of these families.
    pub restored: HashMap<RowId, Vec<Option<Box<str>>>>,
}

impl Families {
    /// A restored value.
    pub fn value(&self, entity: EntityIx, key: &str, column: ColumnIx) -> Option<&str> {
        self.restored
            .get(&(entity, key.into()))?
            .get(usize::from(column))?
            .as_deref()
    }
}

impl<R: Restored> Scan<'_, R> {
    /// Gathers the families of these orders, and reads these single rows along.
    pub(super) async fn families(
        &mut self,
        owners: &mut Owners,
        orders: &Orders,
        single: &[RowId],
    ) -> Result<Families> {
        let mut families = Families::default();
        let mut members: HashMap<RowId, Box<str>> = HashMap::new();
        if let Some(order) = self.order_entity() {
            for key in orders {
                members.insert((order, key.clone()), key.clone());
            }
            self.members_by_log(owners, orders, &mut members).await?;
            self.members_by_restored(order, &mut members, &mut families).await?;
        }
        let mut unread: HashMap<EntityIx, Vec<Box<str>>> = HashMap::new();
        let seen: HashSet<&RowId> = families.restored.keys().collect();
        for row in members.keys().chain(single).filter(|row| !seen.contains(row)) {
            unread.entry(row.0).or_default().push(row.1.clone());
        }
        drop(seen);
        for (entity, mut keys) in unread {
            keys.sort_unstable();
            let asked: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
            self.read_rows(entity, Lookup::Keys(&asked), &mut families).await?;
        }
        for ((entity, key), order) in members {
            families.by_order.entry(order).or_default().push((entity, key));
        }
        for rows in families.by_order.values_mut() {
            rows.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| super::cases::by_key(&a.1, &b.1)));
        }
        Ok(families)
    }

    /// Rows of which the log names the owner.
    async fn members_by_log(
        &mut self,
        owners: &mut Owners,
        orders: &Orders,
        members: &mut HashMap<RowId, Box<str>>,
    ) -> Result<()> {
        let log = self.log;
        for entity in 0..self.schema.entities.len() {
            let Some((_, owner)) = self.owner_column(entity)? else {
                continue;
            };
            let direct = Some(owner) == self.order_entity();
            let mut indirect: Vec<RowId> = Vec::new();
            for row in log.rows(entity) {
                let Said::Owner(named) = self.log_names_owner(entity, row.key())? else {
                    continue;
                };
                if !direct {
                    indirect.push((entity, row.key().into()));
                } else if orders.contains(&named) {
                    members.insert((entity, row.key().into()), named);
                }
            }
            let ends = self.orders_of(owners, &indirect).await?;
            for (row, order) in indirect.into_iter().zip(ends) {
                if let Some(order) = order.filter(|o| orders.contains(o)) {
                    members.insert(row, order);
                }
            }
        }
        Ok(())
    }

    /// Rows that the restored database counts among the orders', unless the log says otherwise; owners before the owned.
    async fn members_by_restored(
        &mut self,
        order: EntityIx,
        members: &mut HashMap<RowId, Box<str>>,
        families: &mut Families,
    ) -> Result<()> {
        let mut ready = vec![order];
        let mut done: HashSet<EntityIx> = HashSet::from([order]);
        while let Some(owner) = ready.pop() {
            let of_owner: HashMap<Box<str>, Box<str>> = members
                .iter()
                .filter(|((entity, _), _)| *entity == owner)
                .map(|((_, key), order)| (key.clone(), order.clone()))
                .collect();
            for entity in 0..self.schema.entities.len() {
                let Some((column, of)) = self.owner_column(entity)? else {
                    continue;
                };
                if of != owner || !done.insert(entity) {
                    continue;
                }
                ready.push(entity);
                let mut keys: Vec<&str> = of_owner.keys().map(AsRef::as_ref).collect();
                keys.sort_unstable();
                let tuples: Vec<Vec<&str>> = keys.into_iter().map(|k| vec![k]).collect();
                let lookup = Lookup::Values {
                    columns: &[column],
                    tuples: &tuples,
                };
                for row in self.read_rows(entity, lookup, families).await? {
                    let owner_key = families.value(entity, &row.1, column).unwrap_or_default();
                    let by_restored = of_owner.get(&self.owner_key(owner, owner_key)).cloned();
                    match self.log_names_owner(entity, &row.1)? {
                        // The log says whose it is; if it is one of ours it is a member already.
                        Said::Owner(_) | Said::Nobody if !members.contains_key(&row) => {
                            families.restored.remove(&row);
                        }
                        Said::Owner(_) | Said::Nobody => {}
                        Said::Nothing => {
                            if let Some(order) = by_restored {
                                members.insert(row, order);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn read_rows(&mut self, entity: EntityIx, lookup: Lookup<'_>, families: &mut Families) -> Result<Vec<RowId>> {
        let width = self.catalogue.tables[entity].columns.len();
        let columns: Vec<ColumnIx> = (0..).take(width).collect();
        let mut read = Vec::new();
        let mut each = |row: crate::restored::Row<'_>| {
            let id: RowId = (entity, row.key().into());
            families
                .restored
                .insert(id.clone(), row.values().map(|v| v.map(Into::into)).collect());
            read.push(id);
        };
        match lookup {
            Lookup::Keys(keys) => {
                let table = &self.catalogue.tables[entity];
                rows_by_key(self.restored, table, entity, keys, &columns, &mut each).await?;
            }
            values @ Lookup::Values { .. } => self.restored.rows(entity, values, &columns, &mut each).await?,
        }
        Ok(read)
    }
}

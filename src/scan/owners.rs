//! Which order a row belongs to: owners followed from row to row, from the log's row where it says, else from the
//! restored one.

use super::{RowId, Scan};
use crate::domain::Result;
use crate::domain::schema::{ColumnIx, EntityIx};
use crate::domain::value::{self, ColumnType, LogValue};
use crate::restored::{Restored, rows_by_key};
use hashbrown::{HashMap, HashSet};

/// Restored owners already read; `None`: the row is not there, or names none.
#[derive(Debug, Default)]
pub(super) struct Owners {
    restored: HashMap<RowId, Option<Box<str>>>,
}

/// What the log says of a row's owner.
pub(super) enum Said {
    /// Nothing: the restored row may.
    Nothing,
    /// That it has none.
    Nobody,
    /// This one.
    Owner(Box<str>),
}

/// How far a chain could be followed.
enum Step {
    /// It ends at this order, or at a row that no order owns.
    End(Option<Box<str>>),
    /// The restored row must be read first.
    Ask(RowId),
}

impl<R: Restored> Scan<'_, R> {
    /// The key of the order that owns each row; `None` where no order does.
    pub(super) async fn orders_of(&mut self, owners: &mut Owners, rows: &[RowId]) -> Result<Vec<Option<Box<str>>>> {
        loop {
            let mut ask: HashSet<RowId> = HashSet::new();
            let mut ends = Vec::with_capacity(rows.len());
            for (entity, key) in rows {
                match self.follow(owners, *entity, key)? {
                    Step::End(order) => ends.push(order),
                    Step::Ask(row) => {
                        ask.insert(row);
                    }
                }
            }
            if ask.is_empty() {
                return Ok(ends);
            }
            self.read_owners(owners, ask).await?;
        }
    }

    fn follow(&self, owners: &Owners, entity: EntityIx, key: &str) -> Result<Step> {
        let order = self.order_entity();
        let (mut entity, mut key): RowId = (entity, key.into());
        for _ in 0..=self.schema.entities.len() {
            if Some(entity) == order {
                return Ok(Step::End(Some(key)));
            }
            let Some((column, owner)) = self.owner_column(entity)? else {
                return Ok(Step::End(None));
            };
            let next = match self.owner_by_log(entity, &key, column, owner) {
                Said::Owner(next) => Some(next),
                Said::Nobody => None,
                Said::Nothing => match owners.restored.get(&(entity, key.clone())) {
                    Some(known) => known.clone(),
                    None => return Ok(Step::Ask((entity, key))),
                },
            };
            let Some(next) = next else { return Ok(Step::End(None)) };
            (entity, key) = (owner, next);
        }
        // Owners that own each other belong to no order.
        Ok(Step::End(None))
    }

    /// The column that names a row's owner, and the owner's entity.
    pub(super) fn owner_column(&self, entity: EntityIx) -> Result<Option<(ColumnIx, EntityIx)>> {
        let Some(owner) = &self.schema.entities[entity].owner else {
            return Ok(None);
        };
        let Some(of) = self.schema.index(&owner.entity) else {
            return Ok(None);
        };
        Ok(Some((self.column(entity, &owner.column)?, of)))
    }

    fn owner_by_log(&self, entity: EntityIx, key: &str, column: ColumnIx, owner: EntityIx) -> Said {
        let Some((named, _)) = self.log.get(entity, key).and_then(|row| row.field(column)) else {
            return Said::Nothing;
        };
        value::key_text(self.key_type(owner), &named).map_or(Said::Nobody, |k| Said::Owner(k.as_ref().into()))
    }

    /// The type of an owner's key: one column names it.
    fn key_type(&self, entity: EntityIx) -> &ColumnType {
        let table = &self.catalogue.tables[entity];
        table
            .key
            .first()
            .map_or(&ColumnType::Other, |first| &table.columns[usize::from(*first)].ty)
    }

    /// A restored row's owner as its key is spelled: `7.00` in a `numeric(10,2)` column names the row 7.
    pub(super) fn owner_key(&self, owner: EntityIx, text: &str) -> Box<str> {
        let named = LogValue::new(value::LogKind::Text, text);
        value::key_text(self.key_type(owner), &named).map_or_else(|| text.into(), |k| k.as_ref().into())
    }

    /// A row's owner by the log alone.
    pub(super) fn log_names_owner(&self, entity: EntityIx, key: &str) -> Result<Said> {
        let owner = self.owner_column(entity)?;
        Ok(owner.map_or(Said::Nothing, |(column, owner)| {
            self.owner_by_log(entity, key, column, owner)
        }))
    }

    async fn read_owners(&mut self, owners: &mut Owners, ask: HashSet<RowId>) -> Result<()> {
        let mut by_entity: HashMap<EntityIx, Vec<Box<str>>> = HashMap::new();
        for (entity, key) in ask {
            by_entity.entry(entity).or_default().push(key);
        }
        for (entity, mut keys) in by_entity {
            keys.sort_unstable();
            let Some((column, owner)) = self.owner_column(entity)? else {
                continue;
            };
            for key in &keys {
                owners.restored.insert((entity, key.clone()), None);
            }
            let asked: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
            let mut read: Vec<(Box<str>, Option<Box<str>>)> = Vec::new();
            let mut each = |row: crate::restored::Row<'_>| read.push((row.key().into(), row.value(0).map(Into::into)));
            let table = &self.catalogue.tables[entity];
            rows_by_key(self.restored, table, entity, &asked, &[column], &mut each).await?;
            for (key, named) in read {
                let named = named.map(|text| self.owner_key(owner, &text));
                owners.restored.insert((entity, key), named);
            }
        }
        Ok(())
    }
}

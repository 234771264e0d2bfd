//! Rows that a missing reference could be given instead: the same thing under another key, or the row that hangs on the
//! same asset.

use super::cases::by_key;
use super::refs::{Refers, Target, Targets};
use super::{RowId, Scan};
use crate::domain::Result;
use crate::domain::schema::{ColumnIx, EntityIx};
use crate::domain::value::{self, ColumnType};
use crate::restored::{Lookup, Restored};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// A missing reference, and the asset that its row names beside it: a row of the target that hangs on the same one fits.
#[derive(Debug, Clone)]
pub(super) struct Beside {
    pub target: Target,
    /// The target's own column that names such assets.
    column: ColumnIx,
    value: Box<str>,
}

/// By target: what the referring column could say instead.
pub(super) type Fits = HashMap<Target, Vec<String>>;

/// What is asked of one entity by one set of columns: which targets each tuple would serve.
type Asked = BTreeMap<Vec<String>, Vec<Target>>;

impl<R: Restored> Scan<'_, R> {
    /// Of the references of one row: for each, the others that its target makes too.
    pub(super) fn beside(&self, refers: &[Refers]) -> Result<Vec<Beside>> {
        let mut out = Vec::new();
        for missing in refers {
            let (entity, _, _) = &missing.target;
            for other in refers.iter().filter(|other| other.target.0 != *entity) {
                let (asset, by, value) = &other.target;
                let by = by.map(|c| &self.catalogue.tables[*asset].columns[usize::from(c)].name);
                let name = &self.schema.entities[*asset].name;
                for own in &self.schema.entities[*entity].refs {
                    if own.entity == *name && own.target.as_ref() == by {
                        out.push(Beside {
                            target: missing.target.clone(),
                            column: self.column(*entity, &own.column)?,
                            value: value.clone(),
                        });
                    }
                }
            }
        }
        Ok(out)
    }

    /// Looks for rows that fit what is missing: one look-up an entity and set of columns over all.
    pub(super) async fn fits(&mut self, missing: &[Refers], beside: &[Beside], targets: &Targets) -> Result<Fits> {
        let mut asked: BTreeMap<(EntityIx, Vec<ColumnIx>), Asked> = BTreeMap::new();
        let mut ask = |entity: EntityIx, columns: Vec<ColumnIx>, tuple: Vec<String>, target: &Target| {
            let of = asked.entry((entity, columns)).or_default().entry(tuple).or_default();
            if !of.contains(target) {
                of.push(target.clone());
            }
        };
        for refers in missing {
            for row in targets.rows(refers) {
                if let Some((columns, tuple)) = self.identity(row)? {
                    ask(row.0, columns, tuple, &refers.target);
                }
            }
        }
        for beside in beside.iter().filter(|b| missing.iter().any(|m| m.target == b.target)) {
            let entity = beside.target.0;
            let ty = &self.catalogue.tables[entity].columns[usize::from(beside.column)].ty;
            let tuple = value::normal(&[ty], &[beside.value.to_string()]);
            ask(entity, vec![beside.column], tuple, &beside.target);
        }
        let mut fits = Fits::new();
        for ((entity, columns), tuples) in asked {
            self.check_cancelled()?;
            self.fits_of(entity, &columns, &tuples, &mut fits).await?;
        }
        for keys in fits.values_mut() {
            keys.sort_unstable_by(|a, b| by_key(a, b));
            keys.dedup();
        }
        Ok(fits)
    }

    /// The log's last word on what a row is, whatever its key.
    fn identity(&self, (entity, key): &RowId) -> Result<Option<(Vec<ColumnIx>, Vec<String>)>> {
        let identity = &self.schema.entities[*entity].identity;
        let columns: Vec<ColumnIx> = identity
            .iter()
            .map(|c| self.column(*entity, c))
            .collect::<Result<_>>()?;
        let types = self.types(*entity, &columns);
        let Some(row) = self.log.get(*entity, key).filter(|_| !columns.is_empty()) else {
            return Ok(None);
        };
        let tuple: Option<Vec<String>> = columns
            .iter()
            .zip(&types)
            .map(|(column, ty)| value::key_text(ty, &row.field(*column)?.0).map(std::borrow::Cow::into_owned))
            .collect();
        let normal = tuple.map(|tuple| value::normal(&types, &tuple));
        Ok(normal.map(|tuple| (columns, tuple)))
    }

    fn types(&self, entity: EntityIx, columns: &[ColumnIx]) -> Vec<&ColumnType> {
        let table = &self.catalogue.tables[entity];
        columns.iter().map(|c| &table.columns[usize::from(*c)].ty).collect()
    }

    async fn fits_of(&mut self, entity: EntityIx, columns: &[ColumnIx], asked: &Asked, fits: &mut Fits) -> Result<()> {
        let cost = self.restored.cost(entity, columns).await?;
        if !cost.indexed && cost.table_bytes > self.config.scan.moved_limit {
            let table = &self.catalogue.tables[entity];
            let names: Vec<&str> = columns
                .iter()
                .map(|c| table.columns[usize::from(*c)].name.as_str())
                .collect();
            let names = names.join(", ");
            self.warnings.push(format!(
                "{}: not looked for rows that a missing reference could be given: no index serves ({names}) and {} is larger \
                 than scan.moved_limit; create one: CREATE INDEX ON {} ({names});",
                self.schema.entities[entity].name, table.name, table.name
            ));
            return Ok(());
        }
        let table = &self.catalogue.tables[entity];
        let types: Vec<&ColumnType> = columns.iter().map(|c| &table.columns[usize::from(*c)].ty).collect();
        let spelled: Vec<Vec<String>> = asked.keys().flat_map(|t| value::spellings(&types, t)).collect();
        let tuples: Vec<Vec<&str>> = spelled.iter().map(|t| t.iter().map(String::as_str).collect()).collect();
        // A reference by another column than the key would say that column's value.
        let mut wanted: Vec<ColumnIx> = columns.to_vec();
        wanted.extend(asked.values().flatten().filter_map(|t| t.1));
        wanted.dedup();
        let mut each = |row: crate::restored::Row<'_>| {
            let there: Vec<String> = (0..columns.len())
                .map(|at| row.value(at).unwrap_or_default().to_owned())
                .collect();
            for target in asked.get(&value::normal(&types, &there)).into_iter().flatten() {
                let instead = match target.1 {
                    None => Some(row.key()),
                    Some(column) => wanted.iter().position(|c| *c == column).and_then(|at| row.value(at)),
                };
                // Under its own key stands what took it.
                if let Some(instead) = instead.filter(|i| **i != *target.2) {
                    fits.entry(target.clone()).or_default().push(instead.to_owned());
                }
            }
        };
        let lookup = Lookup::Values {
            columns,
            tuples: &tuples,
        };
        self.restored.rows(entity, lookup, &wanted, &mut each).await
    }
}

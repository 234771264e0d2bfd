//! References: what the rows of an order refer to, and whether it is there.

use super::family::Families;
use super::{RowId, Scan};
use crate::domain::Result;
use crate::domain::finding::Missing;
use crate::domain::schema::{ColumnIx, EntityIx, Reference};
use crate::domain::value::{self, ColumnType, LogValue};
use crate::restored::{Lookup, Restored, rows_by_key};
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeSet;

/// A reference's target: an entity, a column (`None`: its key) and the value, as it was written.
pub(super) type Target = (EntityIx, Option<ColumnIx>, Box<str>);

/// A reference that some row makes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Refers {
    /// The referring column's name.
    pub column: String,
    pub target: Target,
}

/// What the references of a set of rows came to.
#[derive(Debug, Default)]
pub(super) struct Targets {
    present: HashSet<Target>,
    /// Targets that are not there on purpose: the log's last word on them is a delete.
    deleted: HashSet<Target>,
    /// Rows of the log that would be the target: who brings it back.
    rows: HashMap<Target, Vec<RowId>>,
}

impl Targets {
    /// Whether the restored database has it.
    pub fn is_present(&self, refers: &Refers) -> bool {
        self.present.contains(&refers.target)
    }

    /// Whether it is lacking, and not on purpose.
    pub fn is_missing(&self, refers: &Refers) -> bool {
        !self.present.contains(&refers.target) && !self.deleted.contains(&refers.target)
    }

    /// The log's rows that would bring it back.
    pub fn rows(&self, refers: &Refers) -> &[RowId] {
        self.rows.get(&refers.target).map_or(&[], Vec::as_slice)
    }
}

impl<R: Restored> Scan<'_, R> {
    /// The references of one row, in the log's state where there is one. None where the log's last word on the row is a
    /// delete.
    pub(super) fn refers(&self, entity: EntityIx, key: &str, families: &Families) -> Result<Vec<Refers>> {
        let log = self.log.get(entity, key);
        if log.is_some_and(|row| !row.exists()) {
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        for reference in &self.schema.entities[entity].refs {
            let column = self.column(entity, &reference.column)?;
            let refers = match log.and_then(|row| row.field(column)) {
                Some((value, _)) => self.target(reference, &value)?,
                None => match families.value(entity, key, column) {
                    Some(text) => self.target(reference, &LogValue::new(value::LogKind::Text, text))?,
                    None => None,
                },
            };
            out.extend(refers);
        }
        Ok(out)
    }

    /// What a referring value points at; `None` for null.
    pub(super) fn target(&self, reference: &Reference, named: &LogValue<'_>) -> Result<Option<Refers>> {
        let Some(entity) = self.schema.index(&reference.entity) else {
            return Ok(None);
        };
        if named.kind == value::LogKind::Null {
            return Ok(None);
        }
        let column = reference
            .target
            .as_deref()
            .map(|c| self.column(entity, c))
            .transpose()?;
        let text = self
            .target_type(entity, column)
            .and_then(|ty| value::key_text(ty, named))
            .map_or_else(|| named.text.as_ref().into(), |text| text.as_ref().into());
        Ok(Some(Refers {
            column: reference.column.clone(),
            target: (entity, column, text),
        }))
    }

    fn target_type(&self, entity: EntityIx, column: Option<ColumnIx>) -> Option<&ColumnType> {
        let table = &self.catalogue.tables[entity];
        // A reference holds one value, so a composite key cannot be referred to as a whole: its text is compared as it is.
        let column = match column {
            Some(column) => column,
            None if table.key.len() == 1 => table.key[0],
            None => return None,
        };
        Some(&table.columns[usize::from(column)].ty)
    }

    /// Asks the restored database and the log for all these targets. A key that was reused (`collided`) lacks its row.
    pub(super) async fn look_up(&mut self, refers: &[Refers], collided: &HashSet<RowId>) -> Result<Targets> {
        let mut targets = Targets::default();
        let mut groups: HashMap<(EntityIx, Option<ColumnIx>), BTreeSet<&str>> = HashMap::new();
        for r in refers {
            let (entity, column, text) = &r.target;
            groups.entry((*entity, *column)).or_default().insert(text);
        }
        for ((entity, column), texts) in groups {
            self.check_cancelled()?;
            match column {
                None => self.look_up_keys(entity, &texts, collided, &mut targets).await?,
                Some(column) => self.look_up_values(entity, column, &texts, &mut targets).await?,
            }
        }
        Ok(targets)
    }

    async fn look_up_keys(
        &mut self,
        entity: EntityIx,
        keys: &BTreeSet<&str>,
        collided: &HashSet<RowId>,
        targets: &mut Targets,
    ) -> Result<()> {
        let asked: Vec<&str> = keys.iter().copied().collect();
        let mut each = |row: crate::restored::Row<'_>| {
            let id = (entity, Box::from(row.key()));
            if !collided.contains(&id) {
                targets.present.insert((entity, None, id.1));
            }
        };
        let table = &self.catalogue.tables[entity];
        rows_by_key(self.restored, table, entity, &asked, &[], &mut each).await?;
        for key in keys {
            let target = (entity, None, Box::from(*key));
            match self.log.get(entity, key) {
                Some(row) if row.exists() => {
                    targets.rows.insert(target, vec![(entity, Box::from(*key))]);
                }
                Some(_) => {
                    targets.deleted.insert(target);
                }
                // What a whole log does not name is the same on both sides: not there either.
                None if self.log.is_whole() => {
                    targets.deleted.insert(target);
                }
                None => {}
            }
        }
        Ok(())
    }

    async fn look_up_values(
        &mut self,
        entity: EntityIx,
        column: ColumnIx,
        texts: &BTreeSet<&str>,
        targets: &mut Targets,
    ) -> Result<()> {
        let ty = [&self.catalogue.tables[entity].columns[usize::from(column)].ty];
        let normal = |text: &str| value::normal(&ty, &[text.to_owned()]).pop().unwrap_or_default();
        let mut wanted: HashMap<String, Vec<&str>> = HashMap::new();
        let mut asked: Vec<String> = Vec::new();
        for text in texts {
            wanted.entry(normal(text)).or_default().push(text);
            asked.extend(value::spellings(&ty, &[(*text).to_owned()]).into_iter().flatten());
        }
        let tuples: Vec<Vec<&str>> = asked.iter().map(|t| vec![t.as_str()]).collect();
        let mut each = |row: crate::restored::Row<'_>| {
            for text in row.value(0).and_then(|v| wanted.get(&normal(v))).into_iter().flatten() {
                targets.present.insert((entity, Some(column), Box::from(*text)));
            }
        };
        let lookup = Lookup::Values {
            columns: &[column],
            tuples: &tuples,
        };
        self.restored.rows(entity, lookup, &[column], &mut each).await?;
        wanted.retain(|_, texts| {
            texts
                .iter()
                .any(|t| !targets.present.contains(&(entity, Some(column), Box::from(*t))))
        });
        if wanted.is_empty() {
            return Ok(());
        }
        let mut dead: HashSet<Target> = HashSet::new();
        for row in self.log.rows(entity) {
            let Some((named, _)) = row.field(column).filter(|(v, _)| v.kind != value::LogKind::Null) else {
                continue;
            };
            for text in wanted.get(&normal(&named.text)).into_iter().flatten() {
                let target = (entity, Some(column), Box::from(*text));
                if row.exists() {
                    targets.rows.entry(target).or_default().push((entity, row.key().into()));
                } else {
                    dead.insert(target);
                }
            }
        }
        if self.log.is_whole() {
            let absent = wanted.values().flatten();
            dead.extend(absent.map(|text| (entity, Some(column), Box::from(*text))));
        }
        targets
            .deleted
            .extend(dead.into_iter().filter(|target| !targets.rows.contains_key(target)));
        Ok(())
    }

    /// A reference's target as files name it.
    pub(super) fn missing(&self, refers: &Refers) -> Missing {
        let (entity, column, text) = &refers.target;
        Missing {
            entity: self.schema.entities[*entity].name.clone(),
            column: column.map(|c| self.catalogue.tables[*entity].columns[usize::from(c)].name.clone()),
            key: text.to_string(),
        }
    }
}

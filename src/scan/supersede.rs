//! Orders that replace others: of two joined by `supersedes` the restored database may have one and lack the other.

use super::{RowFinding, Scan};
use crate::domain::Result;
use crate::domain::finding::Kind;
use crate::domain::value::{self, ColumnType};
use crate::restored::{Restored, rows_by_key};
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeMap;

/// What the log says of orders that replace others.
#[derive(Debug, Default)]
pub(super) struct Supersedes {
    /// The order that replaced each, by the replaced one's key.
    pub by: HashMap<Box<str>, Box<str>>,
    /// Orders of pairs of which one is missing.
    pub halves: BTreeMap<Box<str>, Half>,
}

/// One order of a pair of which one is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Half {
    /// The key of the other one.
    pub other: Box<str>,
    /// Whether this one is the missing half.
    pub missing: bool,
}

impl<R: Restored> Scan<'_, R> {
    /// Follows the log's `supersedes`. An order that came back under another key is there, one whose key was reused is not.
    pub(super) async fn supersedes(&mut self, findings: &[RowFinding]) -> Result<Supersedes> {
        let mut all = Supersedes::default();
        let Some(entity) = self.order_entity() else {
            return Ok(all);
        };
        let Some(column) = self.schema.entities[entity].supersedes.as_deref() else {
            return Ok(all);
        };
        let column = self.column(entity, column)?;
        let table = &self.catalogue.tables[entity];
        let ty = match table.key[..] {
            [key] => &table.columns[usize::from(key)].ty,
            _ => &ColumnType::Other,
        };
        let mut pairs: Vec<(Box<str>, Box<str>)> = Vec::new();
        for row in self.log.rows(entity).filter(|row| row.exists()) {
            let named = row.field(column).and_then(|(named, _)| value::key_text(ty, &named));
            if let Some(replaced) = named.filter(|replaced| **replaced != *row.key()) {
                let replaced: Box<str> = replaced.as_ref().into();
                all.by.insert(replaced.clone(), row.key().into());
                // What the log deleted itself is not there on purpose.
                if self.log.get(entity, &replaced).is_none_or(crate::log::LogRow::exists) {
                    pairs.push((row.key().into(), replaced));
                }
            }
        }
        let mut keys: Vec<&str> = pairs.iter().flat_map(|(a, b)| [&**a, &**b]).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Ok(all);
        }
        let mut there: HashSet<Box<str>> = HashSet::new();
        let mut each = |row: crate::restored::Row<'_>| {
            there.insert(row.key().into());
        };
        rows_by_key(self.restored, table, entity, &keys, &[], &mut each).await?;
        for finding in findings.iter().filter(|f| f.entity == entity) {
            match finding.kind {
                Kind::Collided => drop(there.remove(&finding.key)),
                Kind::Moved => drop(there.insert(finding.key.clone())),
                _ => {}
            }
        }
        for (new, old) in pairs {
            let (has_new, has_old) = (there.contains(&new), there.contains(&old));
            if has_new != has_old {
                let half = |other: &str, there: bool| Half {
                    other: other.into(),
                    missing: !there,
                };
                let of_new = half(&old, has_new);
                all.halves.entry(old.clone()).or_insert_with(|| half(&new, has_old));
                all.halves.entry(new).or_insert(of_new);
            }
        }
        Ok(all)
    }
}

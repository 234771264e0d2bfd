//! The orders in the hold: what they refer to is asked as of any order that the restore touched.

use super::Scan;
use super::refs::Refers;
use crate::config::{Config, SourceKind};
use crate::domain::Result;
use crate::domain::schema::{EntityIx, ORDER, ORDER_ITEM};
use crate::domain::value::{self, LogValue};
use crate::log::Folded;
use crate::log::hold::HeldOrder;
use crate::restored::{Lookup, Restored};
use hashbrown::HashMap;

/// Reads the hold, where it is a file. What could not be read joins the log's rejects and warnings.
pub(super) fn read(config: &Config, log: &mut Folded) -> Result<Vec<HeldOrder>> {
    let Some(hold) = &config.hold else {
        return Ok(Vec::new());
    };
    if let (SourceKind::File, Some(path)) = (hold.source, &hold.path) {
        let mut read = crate::log::hold::read(path, config.scan.reject_limit)?;
        log.rejects.append(&mut read.rejects);
        log.warnings.append(&mut read.warnings);
        return Ok(read.orders);
    }
    let why =
        "the hold is not a file and cannot be read by this version: what is held, and what it refers to, is not known";
    log.warnings.push(why.to_owned());
    Ok(Vec::new())
}

impl<R: Restored> Scan<'_, R> {
    /// For each held order, the key of the order that the log or the restored database already has under its label.
    pub(super) async fn known_orders(&mut self, held: &[HeldOrder]) -> Result<Vec<Option<Box<str>>>> {
        let Some((entity, label)) = self.order_label()? else {
            return Ok(vec![None; held.len()]);
        };
        let mut known: HashMap<&str, Option<Box<str>>> = held.iter().map(|h| (h.key.as_str(), None)).collect();
        let tuples: Vec<Vec<&str>> = known.keys().map(|label| vec![*label]).collect();
        if tuples.is_empty() {
            return Ok(Vec::new());
        }
        let mut each = |row: crate::restored::Row<'_>| {
            if let Some(found) = row.value(0).and_then(|v| known.get_mut(v)) {
                *found = Some(row.key().into());
            }
        };
        let lookup = Lookup::Values {
            columns: &[label],
            tuples: &tuples,
        };
        self.restored.rows(entity, lookup, &[label], &mut each).await?;
        for row in self.log.rows(entity).filter(|row| row.exists()) {
            let named = row.field(label).map(|(value, _)| value);
            if let Some(found @ None) = named.and_then(|v| known.get_mut(v.text.as_ref())) {
                *found = Some(row.key().into());
            }
        }
        Ok(held
            .iter()
            .map(|h| known.get(h.key.as_str()).cloned().flatten())
            .collect())
    }

    fn order_label(&self) -> Result<Option<(EntityIx, u16)>> {
        let Some(entity) = self.order_entity() else {
            return Ok(None);
        };
        let label = self.schema.entities[entity].label.as_deref();
        label.map(|label| Ok((entity, self.column(entity, label)?))).transpose()
    }

    /// What a held order and its items refer to, row by row.
    pub(super) fn held_refers(&self, held: &HeldOrder) -> Result<Vec<Vec<Refers>>> {
        let order = self.refers_of_columns(ORDER, &held.state);
        let items = held.items.iter().map(|item| self.refers_of_columns(ORDER_ITEM, item));
        std::iter::once(order).chain(items).collect()
    }

    fn refers_of_columns(&self, entity: &str, columns: &[(String, LogValue<'static>)]) -> Result<Vec<Refers>> {
        let Some(entity) = self.schema.index(entity) else {
            return Ok(Vec::new());
        };
        let mut out = Vec::new();
        for reference in &self.schema.entities[entity].refs {
            let named = columns.iter().find(|(name, _)| *name == reference.column);
            if let Some((_, value)) = named {
                out.extend(self.target(reference, value)?);
            }
        }
        Ok(out)
    }

    /// A held order's column as text, where it has it.
    pub(super) fn held_text(held: &HeldOrder, column: &str) -> Option<String> {
        let (_, value) = held.state.iter().find(|(name, _)| name == column)?;
        (value.kind != value::LogKind::Null).then(|| value.text.clone().into_owned())
    }
}

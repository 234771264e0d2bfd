//! The orders in the hold: what they refer to is asked as of any order that the restore touched.

use super::Scan;
use super::refs::Refers;
use crate::config::{Config, SourceKind};
use crate::domain::Result;
use crate::domain::hold::Seen;
use crate::domain::schema::{EntityIx, ORDER, ORDER_ITEM};
use crate::domain::value::{self, LogValue};
use crate::log::Folded;
use crate::log::hold::{HeldOrder, OnBroker};
use crate::restored::{Lookup, Restored};
use hashbrown::{HashMap, HashSet};

/// Reads the hold, where it is a file; on a broker it was read before. What could not be read joins the log's rejects and warnings.
pub(super) fn read(config: &Config, on_broker: Option<&OnBroker>, log: &mut Folded) -> Result<Vec<HeldOrder>> {
    let Some(hold) = &config.hold else {
        return Ok(Vec::new());
    };
    if let (SourceKind::File, Some(path)) = (hold.source, &hold.path) {
        let mut read = crate::log::hold::read(path, config.scan.reject_limit, config.schema.masks_any())?;
        log.rejects.append(&mut read.rejects);
        log.warnings.append(&mut read.warnings);
        return Ok(read.orders);
    }
    let Some(broker) = on_broker else {
        let why = "the hold was not read: what waits there, what it refers to and what expired is not known";
        log.warnings.push(why.to_owned());
        return Ok(Vec::new());
    };
    log.rejects.extend(broker.held.rejects.iter().cloned());
    log.warnings.extend(broker.held.warnings.iter().cloned());
    Ok(broker.held.orders.clone())
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

    /// Of the orders that the hold lost, those that the restored database has not got either, by the key that the log
    /// knows them under.
    pub(super) async fn expired_orders(&mut self, expired: &[Seen]) -> Result<Vec<(Option<Box<str>>, Seen)>> {
        let Some((entity, label)) = self.order_label()? else {
            return Ok(expired.iter().map(|seen| (None, seen.clone())).collect());
        };
        if expired.is_empty() {
            return Ok(Vec::new());
        }
        let tuples: Vec<Vec<&str>> = expired.iter().map(|seen| vec![seen.label.as_str()]).collect();
        let mut there: HashSet<String> = HashSet::new();
        let mut each = |row: crate::restored::Row<'_>| there.extend(row.value(0).map(str::to_owned));
        let lookup = Lookup::Values {
            columns: &[label],
            tuples: &tuples,
        };
        self.restored.rows(entity, lookup, &[label], &mut each).await?;
        let mut known: HashMap<&str, Box<str>> = HashMap::new();
        let wanted: HashSet<&str> = expired.iter().map(|seen| seen.label.as_str()).collect();
        for row in self.log.rows(entity).filter(|row| row.exists()) {
            if let Some((value, _)) = row.field(label)
                && let Some(wanted) = wanted.get(value.text.as_ref())
            {
                known.insert(*wanted, row.key().into());
            }
        }
        let gone = expired.iter().filter(|seen| !there.contains(&seen.label));
        Ok(gone
            .map(|seen| (known.get(seen.label.as_str()).cloned(), seen.clone()))
            .collect())
    }

    /// Orders that the log shows in the state Queued: Salesforce keeps them itself (`FFStatus`), apart from the hold.
    pub(super) fn queued(&self) -> Result<u64> {
        let Some(entity) = self.order_entity() else {
            return Ok(0);
        };
        let Some(state) = self.schema.entities[entity].state.as_deref() else {
            return Ok(0);
        };
        let column = self.column(entity, state)?;
        let is_queued =
            |row: &crate::log::LogRow<'_>| row.field(column).is_some_and(|(value, _)| value.text == "Queued");
        Ok(self
            .log
            .rows(entity)
            .filter(|row| row.exists() && is_queued(row))
            .count() as u64)
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

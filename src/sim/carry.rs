//! What the simulated order system does to its database when somebody decided something: row by row.

use crate::domain::case::{FamilyRow, FoundCase, Verb};
use crate::domain::finding::{Finding, Kind};
use crate::domain::queue::{CaseFile, Decision};
use crate::domain::schema::{Entity, ORDER, ORDER_ITEM, Schema};
use crate::domain::value;
use crate::resolve::steps::{self, Act};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value as Json;
use std::collections::HashMap;

/// New keys start so far beyond the highest there is that no lost row ever had them.
const BEYOND: i64 = 1_000_000;

/// Hands out keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    next: HashMap<String, i64>,
}

impl Keys {
    /// A key of this table that no row has and none has had.
    pub(super) fn fresh(&mut self, db: &Connection, table: &str, column: &str) -> rusqlite::Result<i64> {
        if let Some(next) = self.next.get_mut(table) {
            *next += 1;
            return Ok(*next);
        }
        let highest: Option<i64> = db.query_row(&format!("select max({column}) from {table}"), [], |r| r.get(0))?;
        let first = highest.unwrap_or(0) + BEYOND;
        self.next.insert(table.to_owned(), first);
        Ok(first)
    }
}

/// Carries the decision out, inside the caller's transaction; gives the evidence, or `None` where it cannot be done.
pub(super) fn out(
    db: &Connection,
    keys: &mut Keys,
    schema: &Schema,
    file: &CaseFile,
    decision: &Decision,
) -> rusqlite::Result<Option<String>> {
    let mut hand = Hand { db, keys, schema };
    let case = &file.found;
    match decision.verb {
        // What is done outside already: the order system catches up with it.
        Verb::Reapply | Verb::Complete => hand.reapply(case),
        Verb::Resubmit => hand.resubmit(case),
        Verb::Cancel => hand.cancel(case),
        Verb::Relink => hand.relink(case, decision),
        Verb::Supersede => Ok(decision.to.as_ref().map(|to| format!("{to} does all of it"))),
        Verb::Keep | Verb::Park | Verb::Escalate => Ok(None),
    }
}

struct Hand<'a> {
    db: &'a Connection,
    keys: &'a mut Keys,
    schema: &'a Schema,
}

impl<'a> Hand<'a> {
    fn entity(&self, name: &str) -> Option<&'a Entity> {
        self.schema.entities.get(self.schema.index(name)?)
    }

    fn reapply(&self, case: &FoundCase) -> rusqlite::Result<Option<String>> {
        let mut written = 0;
        for (act, finding) in steps::writes(case, self.schema) {
            written += self.write(case, act, finding)?;
        }
        Ok(Some(format!("the order system wrote {written} rows")))
    }

    fn write(&self, case: &FoundCase, act: Act, finding: &Finding) -> rusqlite::Result<usize> {
        let Some(entity) = self.entity(&finding.entity) else {
            return Ok(0);
        };
        match act {
            Act::Insert => {
                let is_it = |r: &&FamilyRow| r.entity == finding.entity && r.key == finding.key;
                let columns = case.family.iter().find(is_it).map(log_columns).unwrap_or_default();
                self.insert(entity, &columns)
            }
            Act::Set => {
                let columns: Vec<(&str, Sql)> = finding.fields.iter().map(|d| (&*d.name, sql(&d.log))).collect();
                self.update(entity, &finding.key, &columns)
            }
            Act::Delete => {
                let sql = format!("delete from {} where {}", entity.table, by_key(entity, 0));
                self.db
                    .execute(&sql, params_from_iter(key_values(entity, &finding.key)))
            }
        }
    }

    fn resubmit(&mut self, case: &FoundCase) -> rusqlite::Result<Option<String>> {
        let Some(key) = self.anew(case, "Submitted")? else {
            return Ok(None);
        };
        Ok(Some(format!("the order intake answered {key}")))
    }

    fn cancel(&mut self, case: &FoundCase) -> rusqlite::Result<Option<String>> {
        let (Some(order), Some(entity)) = (&case.order, self.entity(ORDER)) else {
            return Ok(None);
        };
        let (Some(state), Some(cancelled)) = (&entity.state, entity.cancelled.first()) else {
            return Ok(None);
        };
        let finding = case.findings.iter().find(|f| f.entity == ORDER && f.key == *order);
        let key = match finding.map(|f| f.kind) {
            Some(Kind::Moved) => finding.and_then(|f| f.moved_to.as_ref()),
            // Under its key stands another: it is taken in again only to be cancelled.
            Some(Kind::Collided) => {
                let key = self.anew(case, cancelled)?;
                return Ok(key.map(|key| format!("{} stands {cancelled} as {key}", case.label)));
            }
            Some(Kind::Lost) => {
                self.insert_lost(case)?;
                Some(order)
            }
            _ => Some(order),
        };
        let set = [(state.as_str(), Sql::Text(cancelled.clone()))];
        let written = match key {
            Some(key) => self.update(entity, key, &set)?,
            None => 0,
        };
        Ok((written > 0).then(|| format!("{} stands {cancelled}", case.label)))
    }

    /// The case's lost rows as the log has them.
    fn insert_lost(&self, case: &FoundCase) -> rusqlite::Result<usize> {
        let mut written = 0;
        for (act, finding) in steps::writes(case, self.schema) {
            if act == Act::Insert {
                written += self.write(case, act, finding)?;
            }
        }
        Ok(written)
    }

    /// The order and its items as the log has them, under keys of their own, in this state.
    fn anew(&mut self, case: &FoundCase, status: &str) -> rusqlite::Result<Option<i64>> {
        let (Some(orders), Some(items)) = (self.entity(ORDER), self.entity(ORDER_ITEM)) else {
            return Ok(None);
        };
        let is_order = |r: &&FamilyRow| r.entity == ORDER && Some(&r.key) == case.order.as_ref();
        let Some(row) = case.family.iter().find(is_order).filter(|r| r.log.is_some()) else {
            return Ok(None);
        };
        let order = self.keys.fresh(self.db, &orders.table, &orders.key[0])?;
        let set = |columns: &mut Vec<(&str, Sql)>, name: &str, value: Sql| {
            if let Some((_, v)) = columns.iter_mut().find(|(n, _)| *n == name) {
                *v = value;
            }
        };
        let mut columns = log_columns(row);
        set(&mut columns, &orders.key[0], Sql::Integer(order));
        if let Some(state) = &orders.state {
            set(&mut columns, state, Sql::Text(status.to_owned()));
        }
        self.insert(orders, &columns)?;
        for item in case
            .family
            .iter()
            .filter(|r| r.entity == ORDER_ITEM && r.log == Some(true))
        {
            let mut columns = log_columns(item);
            let key = self.keys.fresh(self.db, &items.table, &items.key[0])?;
            set(&mut columns, &items.key[0], Sql::Integer(key));
            if let Some(owner) = &items.owner {
                set(&mut columns, &owner.column, Sql::Integer(order));
            }
            if let Some(state) = &items.state {
                set(&mut columns, state, Sql::Text(status.to_owned()));
            }
            self.insert(items, &columns)?;
        }
        Ok(Some(order))
    }

    fn relink(&self, case: &FoundCase, decision: &Decision) -> rusqlite::Result<Option<String>> {
        let (Some(column), Some(to)) = (&decision.reference, &decision.to) else {
            return Ok(None);
        };
        self.insert_lost(case)?;
        let mut written = 0;
        for row in &case.family {
            let points = row.refs.iter().any(|r| r.column == *column && case.lacks(r));
            if let Some(entity) = self.entity(&row.entity).filter(|_| points) {
                written += self.update(entity, &row.key, &[(column, Sql::Text(to.clone()))])?;
            }
        }
        if written == 0 && case.missing.is_empty() {
            return Ok(Some("what was missing is back already".to_owned()));
        }
        Ok((written > 0).then(|| format!("{column} of {written} rows names {to}")))
    }

    fn insert(&self, entity: &Entity, columns: &[(&str, Sql)]) -> rusqlite::Result<usize> {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let sql = format!(
            "insert or ignore into {} ({}) values ({marks})",
            entity.table,
            names.join(", ")
        );
        self.db.execute(&sql, params_from_iter(columns.iter().map(|(_, v)| v)))
    }

    fn update(&self, entity: &Entity, key: &str, columns: &[(&str, Sql)]) -> rusqlite::Result<usize> {
        if columns.is_empty() {
            return Ok(0);
        }
        let sets: Vec<String> = columns.iter().map(|(name, _)| format!("{name} = ?")).collect();
        let sql = format!(
            "update {} set {} where {}",
            entity.table,
            sets.join(", "),
            by_key(entity, columns.len())
        );
        let values = columns.iter().map(|(_, v)| v.clone()).chain(key_values(entity, key));
        self.db.execute(&sql, params_from_iter(values))
    }
}

fn by_key(entity: &Entity, before: usize) -> String {
    let parts: Vec<String> = (1..)
        .zip(&entity.key)
        .map(|(n, column)| format!("{column} = ?{}", before + n))
        .collect();
    parts.join(" and ")
}

fn key_values(entity: &Entity, key: &str) -> Vec<Sql> {
    let parts = value::split_key(key, entity.key.len());
    parts.into_iter().map(|part| Sql::Text(part.into_owned())).collect()
}

fn log_columns(row: &FamilyRow) -> Vec<(&str, Sql)> {
    let said = row
        .fields
        .iter()
        .filter_map(|f| Some((f.name.as_str(), f.log.as_ref()?)));
    said.map(|(name, value)| (name, sql(value))).collect()
}

/// A value as files write it, as the database keeps it; its column's affinity does the rest.
fn sql(value: &Json) -> Sql {
    match value {
        Json::Null => Sql::Null,
        Json::Bool(b) => Sql::Integer(i64::from(*b)),
        Json::Number(n) => n
            .as_i64()
            .map_or_else(|| Sql::Real(n.as_f64().unwrap_or_default()), Sql::Integer),
        Json::String(s) => Sql::Text(s.clone()),
        Json::Array(_) | Json::Object(_) => Sql::Text(value.to_string()),
    }
}

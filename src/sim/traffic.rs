//! What workers do once they are back: new orders, some under ids that the log has seen and deleted, and progress on
//! orders that nobody has to decide any more. None of it is damage, and none of it may look like damage.

use super::carry::Keys;
use crate::domain::Result;
use crate::domain::case::State;
use crate::domain::queue::Filter;
use crate::domain::schema::{ORDER, Schema};
use crate::domain::time;
use crate::ledger::Ledger;
use rusqlite::{Connection, params};
use std::collections::HashSet;

/// The tables whose rows go on with an order: entity and table.
const WITH_ORDER: [&str; 3] = [ORDER, "plan", "plan_item"];

/// The order system's own traffic.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Orders that came in since, the latest last.
    arrived: Vec<i64>,
    /// Ids that sequences give again, though the log has seen them.
    again: Vec<i64>,
    /// Orders in which nothing is wrong.
    steady: Vec<i64>,
    /// Settled orders that went on already.
    gone_on: HashSet<String>,
}

impl Traffic {
    /// Before anything moves: who is steady is known from the cases.
    pub(super) fn begin(db: &Connection, ledger: &Ledger, again: Vec<i64>) -> Result<rusqlite::Result<Self>> {
        let mut cases: HashSet<i64> = HashSet::new();
        ledger.each_row(&Filter::default(), &mut |row| {
            let order: Option<i64> = row.id.strip_prefix("order:").and_then(|key| key.parse().ok());
            cases.extend(order);
            true
        })?;
        let steady = || -> rusqlite::Result<Vec<i64>> {
            let mut statement = db.prepare("select id from orders where status = 'Activated' order by id desc")?;
            let ids = statement.query_map([], |row| row.get(0))?;
            ids.collect()
        };
        Ok(steady().map(|ids| Self {
            again,
            steady: ids.into_iter().filter(|id| !cases.contains(id)).collect(),
            ..Self::default()
        }))
    }

    /// A new order comes in, and the ones before it go on: none of them is in a case.
    pub(super) fn arrive(&mut self, db: &Connection, keys: &mut Keys, now: i64) -> rusqlite::Result<()> {
        let tx = db.unchecked_transaction()?;
        let n = self.arrived.len() + 1;
        let id = match self.again.pop() {
            Some(id) => id,
            None => keys.fresh(&tx, "orders", "id")?,
        };
        let now = time::format(now);
        tx.execute(
            "insert or ignore into orders (id, external_id, order_number, account_id, segment, kind, status, amount,
                                           priority, expedite, created_at, updated_at)
             values (?1, ?2, ?3, ?4, 'consumer', 'New', 'Submitted', 19.90, 3, 0, ?5, ?5)",
            params![
                id,
                format!("8012y{n:010}"),
                format!("SFN-{n}"),
                format!("ACC-{}", 1 + n * 7 % 97),
                now
            ],
        )?;
        for (age, earlier) in self.arrived.iter().rev().take(4).enumerate() {
            let status = ["Submitted", "In Progress", "In Progress", "Activated"][age];
            tx.execute(
                "update orders set status = ?2, updated_at = ?3 where id = ?1",
                params![earlier, status, now],
            )?;
        }
        // What is installed is worked on without an order: a rank, a product, a place.
        if let Some(id) = self.steady.pop() {
            tx.execute(
                "update orders set priority = 9 - priority, updated_at = ?2 where id = ?1",
                params![id, now],
            )?;
            tx.execute(
                "update assets set status = 'Suspended', updated_at = ?2 where order_id = ?1",
                params![id, now],
            )?;
            tx.execute(
                "update inventory_items set site = 'depot', updated_at = ?2
                 where order_item_id in (select id from order_items where order_id = ?1)",
                params![id, now],
            )?;
        }
        tx.commit()?;
        self.arrived.push(id);
        Ok(())
    }

    /// An order that is settled goes on along its plan.
    pub(super) fn go_on(
        &mut self,
        db: &Connection,
        ledger: &Ledger,
        schema: &Schema,
        now: i64,
    ) -> Result<rusqlite::Result<()>> {
        let proven = Filter {
            state: Some(State::Proven),
            ..Filter::default()
        };
        let mut next = None;
        ledger.each_row(&proven, &mut |row| {
            if row.id.starts_with("order:") && !self.gone_on.contains(&*row.id) {
                next = Some(row.id.to_string());
            }
            next.is_none()
        })?;
        let Some(case) = next else { return Ok(Ok(())) };
        let order = case.strip_prefix("order:").unwrap_or_default().to_owned();
        self.gone_on.insert(case);
        Ok(forward(db, schema, &order, now))
    }
}

/// The order, its plan and its steps each take one step forward along their states; who is at the end stays.
pub(super) fn forward(db: &Connection, schema: &Schema, order: &str, now: i64) -> rusqlite::Result<()> {
    let entities = WITH_ORDER
        .iter()
        .filter_map(|name| schema.entities.get(schema.index(name)?));
    for entity in entities {
        let Some(state) = &entity.state else { continue };
        let of_order = entity.owner.as_ref().map_or("id", |owner| owner.column.as_str());
        // From behind, so that no row takes two steps.
        for step in entity.states.windows(2).rev() {
            db.execute(
                &format!(
                    "update {} set {state} = ?1, updated_at = ?2 where {of_order} = ?3 and {state} = ?4",
                    entity.table
                ),
                params![step[1], time::format(now), order, step[0]],
            )?;
        }
    }
    Ok(())
}

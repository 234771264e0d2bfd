//! After the stop: the orders that are held, and what reached the restored database before anybody looked.

use super::life::{Builder, MINUTE, Macd, SECOND, Service, share};
use super::model::{Change, Row, Table, Val, World};
use super::story::{Billed, Held, Times};
use crate::domain::event::Op;
use std::collections::BTreeSet;

/// Orders that arrived while the system was down.
pub(super) fn held(b: &mut Builder, times: &Times, orders: usize) -> Vec<Held> {
    let installed_late: BTreeSet<i64> = b
        .lives
        .iter()
        .filter(|l| l.at > times.restored_to)
        .map(|l| l.order)
        .collect();
    let (mut late, mut early): (Vec<Service>, Vec<Service>) = std::mem::take(&mut b.pool)
        .into_iter()
        .partition(|s| installed_late.contains(&s.order));
    let count = share(orders, 50, 3);
    let span = 24 * MINUTE / i64::try_from(count).unwrap_or(1);
    let mut held = Vec::new();
    for n in 0..count {
        let at = times.stopped_at
            + 8 * SECOND
            + span * i64::try_from(n).unwrap_or(0)
            + b.rng.within(0, span.min(20 * SECOND));
        let service = match n % 3 {
            0 => b.rng.take(&mut late),
            1 => b.rng.take(&mut early),
            _ => None,
        };
        let kind = if service.is_some() { Macd::Change } else { Macd::New };
        let (account, segment) = service
            .as_ref()
            .map_or_else(|| b.account(), |s| (s.account.clone(), s.segment));
        let product = b.product(times.restored_to);
        let label = b.label(2);
        let order = Row(vec![
            ("external_id", Val::Text(b.external("8012x"))),
            ("order_number", Val::Text(label.clone())),
            ("account_id", Val::Text(account)),
            ("segment", Val::text(segment)),
            ("kind", Val::text(kind.name())),
            (
                "prior_order_id",
                service.as_ref().map_or(Val::Null, |s| Val::Int(s.order)),
            ),
            ("created_at", Val::Time(at)),
        ]);
        let item = Row(vec![
            ("external_id", Val::Text(b.external("8022x"))),
            ("action", Val::text(if kind == Macd::New { "Add" } else { "Change" })),
            ("product_code", Val::Text(product)),
            ("quantity", Val::Int(1)),
            (
                "inventory_item_id",
                service.as_ref().map_or(Val::Null, |s| Val::Int(s.inventory)),
            ),
            (
                "asset_ref",
                service.map_or(Val::Null, |s| Val::Text(s.reference.clone())),
            ),
        ]);
        held.push(Held {
            at,
            label,
            order,
            items: vec![item],
        });
    }
    held
}

/// What reached the restored database before anybody looked: new orders that were given the keys of lost ones, orders
/// that Salesforce sent again by itself, under a new key or (the younger half of a pair) under their own, and devices
/// that the network reported again.
pub(super) fn afterwards(
    b: &mut Builder,
    times: &Times,
    orders: usize,
    (real, restored): (&World, &World),
    held: &[Held],
) -> Vec<Change> {
    let is_lost = |b: &Builder, i: usize| {
        let l = &b.lives[i];
        l.at > times.restored_to && real.contains_key(&(Table::Order, l.order.to_string()))
    };
    let mut out = Vec::new();
    let mut at = times.answers - 2 * MINUTE;
    let mut halves: Vec<usize> = (0..b.lives.len())
        .filter(|&i| is_lost(b, i) && b.lives[i].replaces.is_some_and(|old| is_lost(b, old)))
        .collect();
    let pairs: BTreeSet<usize> = halves
        .iter()
        .flat_map(|&i| [Some(i), b.lives[i].replaces])
        .flatten()
        .collect();
    halves.truncate(share(orders, 400, 1));
    for ix in halves {
        at += b.rng.within(200_000, 1_900_000);
        let rows = std::iter::once((Table::Order, b.lives[ix].order))
            .chain(b.lives[ix].items.iter().map(|item| (Table::OrderItem, *item)));
        out.extend(rows.map(|(table, key)| copy(real, table, key, at, |_| ())));
    }
    let mut lost: Vec<usize> = (0..b.lives.len())
        .filter(|&i| is_lost(b, i) && !pairs.contains(&i))
        .collect();
    // A sequence comes back up to 32 values ahead (domain knowledge: SEQ_LOG_VALS), then gives the lost ones again.
    let gap = (lost.len() / 2).min(33);
    let reused: Vec<usize> = lost.drain(gap..lost.len().min(gap + share(orders, 330, 1))).collect();
    for ix in reused {
        at += b.rng.within(200_000, 1_900_000);
        let order = b.lives[ix].order;
        // The new order's item gets the key of the lost order's first item as well.
        let Some(item) = b.lives[ix].items.first().copied() else {
            continue;
        };
        let (account, segment) = b.account();
        let (external, item_external) = (b.external("8012x"), b.external("8022x"));
        let label = b.label(0);
        let product = b.product(times.restored_to);
        out.push(copy(real, Table::Order, order, at, |row| {
            row.merge(&Row(vec![
                ("external_id", Val::Text(external.clone())),
                ("order_number", Val::Text(label.clone())),
                ("account_id", Val::Text(account.clone())),
                ("segment", Val::text(segment)),
                ("kind", Val::text("New")),
                ("status", Val::text("Submitted")),
                ("prior_order_id", Val::Null),
                ("superseded_order_id", Val::Null),
                ("created_at", Val::Time(at)),
            ]));
        }));
        out.push(copy(real, Table::OrderItem, item, at, |row| {
            row.merge(&Row(vec![
                ("external_id", Val::Text(item_external.clone())),
                ("action", Val::text("Add")),
                ("product_code", Val::Text(product.clone())),
                ("inventory_item_id", Val::Null),
                ("asset_ref", Val::Null),
                ("status", Val::text("Submitted")),
            ]));
        }));
    }
    for _ in 0..share(orders, 250, 1) {
        let Some(ix) = b.rng.take(&mut lost) else { break };
        at += b.rng.within(200_000, 1_900_000);
        // Another node's block of the sequence: keys that nobody has had.
        let new = b.id(Table::Order) + 10_000;
        let (old, items) = (b.lives[ix].order, b.lives[ix].items.clone());
        out.push(copy(real, Table::Order, old, at, |row| {
            row.merge(&Row(vec![
                ("id", Val::Int(new)),
                ("status", Val::text("Submitted")),
                ("created_at", Val::Time(at)),
            ]));
        }));
        for item in items {
            let key = b.id(Table::OrderItem) + 10_000;
            out.push(copy(real, Table::OrderItem, item, at, |row| {
                row.merge(&Row(vec![
                    ("id", Val::Int(key)),
                    ("order_id", Val::Int(new)),
                    ("status", Val::text("Submitted")),
                ]));
            }));
        }
    }
    out.extend(reported_again(b, orders, (real, restored), held, at));
    out
}

/// Devices that are lost and that somebody refers to, reported by the network: under a key of its own, some twice.
fn reported_again(
    b: &mut Builder,
    orders: usize,
    (real, restored): (&World, &World),
    held: &[Held],
    mut at: i64,
) -> Vec<Change> {
    let items = real.range((Table::OrderItem, String::new())..(Table::Plan, String::new()));
    let referred: BTreeSet<String> = items
        .map(|(_, row)| row)
        .chain(held.iter().flat_map(|h| &h.items))
        .filter_map(|row| row.text("inventory_item_id"))
        .collect();
    let devices = real.range((Table::InventoryItem, String::new())..(Table::Asset, String::new()));
    let mut lost: Vec<i64> = devices
        .map(|(key, _)| key)
        .filter(|key| referred.contains(&key.1) && !restored.contains_key(key))
        .filter_map(|key| key.1.parse().ok())
        .collect();
    let mut out = Vec::new();
    for n in 0..share(orders, 200, 2) {
        let Some(device) = b.rng.take(&mut lost) else { break };
        for _ in 0..=n % 2 {
            at += b.rng.within(200_000, 1_900_000);
            let key = b.id(Table::InventoryItem) + 10_000;
            out.push(copy(real, Table::InventoryItem, device, at, |row| {
                row.merge(&Row(vec![("id", Val::Int(key)), ("order_item_id", Val::Null)]));
            }));
        }
    }
    out
}

/// An insert of a row as the real world had it, altered.
fn copy(real: &World, table: Table, key: i64, at: i64, alter: impl Fn(&mut Row)) -> Change {
    let mut row = real.get(&(table, key.to_string())).cloned().unwrap_or_default();
    alter(&mut row);
    row.merge(&Row(vec![("updated_at", Val::Time(at))]));
    Change {
        at,
        table,
        key: row.text("id").unwrap_or_default(),
        op: Op::Insert,
        state: row,
        actor: "intake",
        bad: false,
    }
}

/// What billing says of its own work since T: it knows what became of steps that were under way when the system stopped,
/// and not of every step.
pub(super) fn billed(b: &mut Builder, times: &Times, real: &World) -> Vec<Billed> {
    let items = real.range((Table::PlanItem, String::new())..(Table::InventoryItem, String::new()));
    let mut out = Vec::new();
    for ((_, key), row) in items {
        let activity = row.text("name").unwrap_or_default();
        let Some(order) = row.text("order_id").filter(|_| activity.starts_with("billing.")) else {
            continue;
        };
        let completed = match row.get("completed_at") {
            Some(Val::Time(at)) => Some(*at),
            _ => None,
        };
        let dice = b.rng.below(100);
        let result = match (row.text("state").as_deref(), dice) {
            (Some("Completed"), _) if completed.is_none_or(|at| at <= times.restored_to) => continue,
            (Some("Completed"), 0..2) | (Some("Ready" | "Running" | "Failed"), 40..65) => "Rejected",
            (Some("Completed"), 2..70) | (Some("Ready" | "Running" | "Failed"), 0..40) => "Activated",
            (Some("Ready" | "Running" | "Failed"), 65..80) => "Queued",
            (Some("Pending"), 0..60) => "Not requested",
            _ => continue,
        };
        let named = real.get(&(Table::Order, order.clone()));
        let column = ["order_number", "order_number", "external_id", "id"][b.rng.below(4)];
        let at = completed.unwrap_or(times.stopped_at - SECOND);
        out.push(Billed {
            order: named.and_then(|row| row.text(column)).unwrap_or(order),
            // Without the item it is the activity that says which step is meant.
            item: b.rng.percent(70).then(|| key.clone()),
            activity,
            result,
            at: (result == "Activated").then_some(at),
        });
    }
    out
}

//! The story of the incident: hours of orders, the loss window, what happened after the restore, and what is held.

use super::life::{Builder, MINUTE, Macd, Product, SECOND, Service, change, joined};
use super::model::{Change, Row, Table, Val, World, apply};
use crate::domain::event::Op;
use std::collections::BTreeSet;

/// When what happened; microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The first order.
    pub first: i64,
    /// The first event that the log has.
    pub log_from: i64,
    /// T, the restore point.
    pub restored_to: i64,
    /// The last event: the cluster stopped.
    pub stopped_at: i64,
    /// When the restored database answers: the demo begins.
    pub answers: i64,
}

impl Times {
    /// The night of 22 November 2026: fixed, so that the same seed gives the same bytes on every day.
    pub const FIXED: Self = {
        let t = 1_795_356_300 * SECOND; // 2026-11-22T14:05:00Z
        Self {
            first: t - 240 * MINUTE,
            log_from: t - 150 * MINUTE,
            restored_to: t,
            stopped_at: t + 26 * MINUTE,
            answers: t + 51 * MINUTE + 30 * SECOND,
        }
    };
}

/// An order in the holding queue.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) at: i64,
    pub(super) label: String,
    pub(super) order: Row,
    pub(super) items: Vec<Row>,
}

/// Everything that happened.
pub(super) struct Story {
    pub(super) times: Times,
    /// In the order of their times; up to the stop.
    pub(super) changes: Vec<Change>,
    pub(super) held: Vec<Held>,
    /// The restored database, with what reached it after the restore and the log never heard of.
    pub(super) restored: World,
}

/// A fixed share of the orders, at least `least`.
fn share(orders: usize, per: usize, least: usize) -> usize {
    (orders / per).max(least)
}

/// Tells the story of this seed.
pub(super) fn tell(seed: u64, orders: usize) -> Story {
    let times = Times::FIXED;
    let mut b = Builder::new(seed, orders);
    let mut changes = settings(&mut b, &times, orders);
    arrivals(&mut b, &times, orders);
    retargets(&mut b, &times, orders);
    purge(&mut b, &times, orders);
    changes.extend(b.lives.iter_mut().flat_map(|l| std::mem::take(&mut l.changes)));
    changes.retain(|c| c.at <= times.stopped_at);
    changes.sort_by_key(|c| c.at);
    let (real, mut restored) = replay(&mut b, &times, &mut changes);
    let held = held(&mut b, &times, orders);
    let after = afterwards(&mut b, &times, orders, &real);
    apply(&mut restored, after.iter());
    Story {
        times,
        changes,
        held,
        restored,
    }
}

/// Plays all changes: gives the real world at the stop and the one at T, and makes the log talkative: some upserts carry
/// the whole row, deletes of catalogue and metadata rows say what the row was.
fn replay(b: &mut Builder, times: &Times, changes: &mut [Change]) -> (World, World) {
    let mut world = World::new();
    let mut at_t = None;
    for c in changes.iter_mut() {
        if c.at > times.restored_to && at_t.is_none() {
            at_t = Some(world.clone());
        }
        let key = (c.table, c.key.clone());
        if c.op == Op::Delete
            && matches!(c.table, Table::Catalog | Table::Metadata)
            && let Some(row) = world.get(&key)
        {
            c.state = row.clone();
        }
        apply(&mut world, std::iter::once(&*c));
        if c.op == Op::Upsert
            && b.rng.percent(20)
            && let Some(row) = world.get(&key)
        {
            c.state = row.clone();
        }
        // Some writers know only the short form of a Salesforce id.
        if c.op == Op::Insert && c.table == Table::Order && b.rng.percent(10) {
            let short = c.state.text("external_id").unwrap_or_default();
            c.state.merge(&Row(vec![("external_id", Val::text(&short[..15]))]));
        }
    }
    let at_t = at_t.unwrap_or_else(|| world.clone());
    (world, at_t)
}

/// Catalogue, metadata and system instances: what was there, and what people changed before and after T.
fn settings(b: &mut Builder, times: &Times, orders: usize) -> Vec<Change> {
    let mut out = Vec::new();
    let before = times.first - 1_440 * MINUTE;
    let window = |b: &mut Builder| b.rng.within(times.restored_to + MINUTE, times.stopped_at - MINUTE);
    let earlier = |b: &mut Builder| b.rng.within(times.log_from, times.restored_to - MINUTE);
    let few = share(orders, 500, 1).min(6);
    let product = |b: &mut Builder, out: &mut Vec<Change>, n: usize, from: i64, until: i64| {
        let (id, price) = (b.id(Table::Catalog), b.rng.within(490, 9_990));
        let code = format!("P{n}");
        let name = format!("{} {n}", ["Fibre", "Mobile", "Voice", "TV", "Cloud"][n % 5]);
        out.push(change(
            from,
            Table::Catalog,
            id.to_string(),
            Op::Insert,
            vec![
                ("id", Val::Int(id)),
                ("code", Val::Text(code.clone())),
                ("name", Val::Text(name)),
                ("price", Val::Cents(price)),
                ("version", Val::Int(3)),
                ("active", Val::Bool(true)),
            ],
        ));
        b.products.push(Product { code, from, until });
        id
    };
    for n in 1..=40 {
        // The last of them are not sold any more, long before they are retired.
        let until = if n > 40 - 3 * few { times.log_from } else { i64::MAX };
        let id = product(b, &mut out, n, before, until);
        let row = id.to_string();
        if n > 40 - few {
            let at = earlier(b);
            out.push(change(at, Table::Catalog, row, Op::Delete, Vec::new()));
        } else if n > 40 - 2 * few {
            let at = window(b);
            out.push(change(at, Table::Catalog, row, Op::Delete, Vec::new()));
        } else if n <= 2 * few {
            let at = if n <= few { window(b) } else { earlier(b) };
            let price = b.rng.within(490, 9_990);
            out.push(change(
                at,
                Table::Catalog,
                row,
                Op::Upsert,
                vec![("price", Val::Cents(price)), ("version", Val::Int(4))],
            ));
        }
    }
    for n in 0..few.min(3) {
        let at = times.restored_to + (3 + 6 * i64::try_from(n).unwrap_or(0)) * MINUTE;
        product(b, &mut out, 41 + n, at, i64::MAX);
    }
    out.extend(metadata(b, times, few));
    let names = ["HLR", "BILLING", "MAIL", "FIELD", "CRM", "NUMBERING"];
    let mut system = |b: &mut Builder, name: &str, at: i64| {
        let id = b.id(Table::SystemInstance);
        out.push(change(
            at,
            Table::SystemInstance,
            id.to_string(),
            Op::Insert,
            vec![
                ("id", Val::Int(id)),
                ("name", Val::text(name)),
                ("host", Val::Text(format!("{}.example", name.to_lowercase()))),
                ("status", Val::text("UP")),
            ],
        ));
        id
    };
    for name in names {
        let id = system(b, name, before);
        b.systems.push(id);
    }
    let second = times.restored_to + 5 * MINUTE;
    b.second_billing = (system(b, "BILLING-2", second), second);
    let set = |at: i64, id: i64, column: &'static str, value: &str| {
        change(
            at,
            Table::SystemInstance,
            id.to_string(),
            Op::Upsert,
            vec![(column, Val::text(value))],
        )
    };
    out.push(set(times.log_from + MINUTE, b.systems[3], "status", "DOWN"));
    out.push(set(times.log_from + 9 * MINUTE, b.systems[3], "status", "UP"));
    out.push(set(times.restored_to + 12 * MINUTE, b.systems[2], "status", "DOWN"));
    out.push(set(
        times.restored_to + 15 * MINUTE,
        b.systems[4],
        "host",
        "crm-b.example",
    ));
    out
}

fn metadata(b: &mut Builder, times: &Times, few: usize) -> Vec<Change> {
    let mut out = Vec::new();
    let before = times.first - 1_440 * MINUTE;
    let row = |kind: &str, name: &str, value: String| {
        vec![
            ("kind", Val::text(kind)),
            ("name", Val::text(name)),
            ("value", Val::Json(value)),
        ]
    };
    let mut n = 0;
    for kind in ["retry_policy", "scenario", "setting", "mapping"] {
        for name in ["fibre-new", "mobile/new", "change", "move", "billing", "mail", "hlr"] {
            let key = joined(&[kind, name]);
            let value = |v: i64| format!("{{\"active\": true, \"seconds\": [10, {v}]}}");
            let first = b.rng.within(60, 3_600);
            out.push(change(
                before,
                Table::Metadata,
                key.clone(),
                Op::Insert,
                row(kind, name, value(first)),
            ));
            let at = b.rng.within(times.restored_to + MINUTE, times.stopped_at - 2 * MINUTE);
            let put = |at: i64, op: Op, v: i64| change(at, Table::Metadata, key.clone(), op, row(kind, name, value(v)));
            let gone = |at: i64| change(at, Table::Metadata, key.clone(), Op::Delete, Vec::new());
            match n % 28 {
                i if i < few => out.push(put(at, Op::Upsert, first + 7)),
                i if i < 2 * few => out.push(gone(at)),
                // Deleted and made again: the delete is not the last word.
                i if i == 2 * few => {
                    out.push(gone(at));
                    out.push(put(at + 20 * SECOND, Op::Insert, first + 9));
                }
                i if i == 2 * few + 1 => out.push(gone(times.log_from + 2 * MINUTE)),
                _ => {}
            }
            n += 1;
        }
    }
    out.push(change(
        times.restored_to + 7 * MINUTE,
        Table::Metadata,
        joined(&["scenario", "fibre-upgrade"]),
        Op::Insert,
        row("scenario", "fibre-upgrade", "{\"active\": true}".to_owned()),
    ));
    out
}

/// Orders arrive, and build on what earlier ones left.
fn arrivals(b: &mut Builder, times: &Times, orders: usize) {
    // 26 of 266 minutes are after T.
    let late = (orders * 26 / 266).max(3).min(orders);
    let mut at: Vec<i64> = (0..orders)
        .map(|i| {
            if i < late {
                b.rng.within(times.restored_to + 1, times.stopped_at - SECOND)
            } else {
                b.rng.within(times.first, times.restored_to)
            }
        })
        .collect();
    at.sort_unstable();
    // What commits in the very microsecond of T is before it.
    if let Some(last) = at.iter_mut().rfind(|at| **at <= times.restored_to) {
        *last = times.restored_to;
    }
    for at in at {
        b.free(at);
        let kind = match b.rng.below(100) {
            0..4 if b.supersede(at) => continue,
            0..60 => Macd::New,
            60..78 => Macd::Change,
            78..86 => Macd::Add,
            86..94 => Macd::Move,
            _ => Macd::Disconnect,
        };
        let service = if kind == Macd::New { None } else { take_service(b) };
        match service {
            Some(s) => b.order(at, kind, Some(&s), None),
            None => b.order(at, Macd::New, None, None),
        }
    }
    b.free(times.stopped_at);
}

/// People change what they just bought more often than what they have had for long.
fn take_service(b: &mut Builder) -> Option<Service> {
    let n = b.pool.len();
    if n == 0 {
        return None;
    }
    Some(if b.rng.percent(50) {
        let ix = n - 1 - b.rng.below(n.min(12));
        b.pool.remove(ix)
    } else {
        let ix = b.rng.below(n);
        b.pool.swap_remove(ix)
    })
}

/// Orders under way at T whose item was pointed to something that was installed after T: orphans that survived.
fn retargets(b: &mut Builder, times: &Times, orders: usize) {
    let installed: Vec<(i64, i64)> = b
        .lives
        .iter()
        .flat_map(|l| &l.changes)
        .filter(|c| c.table == Table::InventoryItem && c.op == Op::Insert)
        .filter(|c| c.at > times.restored_to && c.at < times.stopped_at - MINUTE)
        .filter_map(|c| Some((c.at, c.key.parse().ok()?)))
        .collect();
    let mut open: Vec<usize> = (0..b.lives.len())
        .filter(|&i| {
            let l = &b.lives[i];
            l.kind != Macd::New && l.at < times.restored_to && l.end > times.restored_to && !l.items.is_empty()
        })
        .collect();
    for _ in 0..share(orders, 250, 1) {
        let Some(ix) = b.rng.take(&mut open) else { return };
        let Some(&(at, key)) = b.rng.pick(&installed) else {
            return;
        };
        let at = at + b.rng.within(SECOND, MINUTE - SECOND);
        let life = &mut b.lives[ix];
        let item = life.items[0];
        life.put(
            at,
            Table::OrderItem,
            item,
            Op::Upsert,
            vec![("inventory_item_id", Val::Int(key))],
        );
    }
}

/// Drafts that nobody wants are deleted: before T, after T, and some that T never saw.
fn purge(b: &mut Builder, times: &Times, orders: usize) {
    let drafts: Vec<usize> = (0..b.lives.len()).filter(|&i| b.lives[i].plan.is_none()).collect();
    let (mut old, young): (Vec<usize>, Vec<usize>) = drafts
        .into_iter()
        .partition(|&i| b.lives[i].at < times.restored_to - 30 * MINUTE);
    let few = share(orders, 400, 1);
    let mut doomed = Vec::new();
    for n in 0..2 * few {
        let Some(ix) = b.rng.take(&mut old) else { break };
        let at = if n < few {
            b.rng.within(times.restored_to + MINUTE, times.stopped_at)
        } else {
            b.rng.within(times.restored_to - 20 * MINUTE, times.restored_to)
        };
        doomed.push((ix, at));
    }
    for ix in young {
        let at = b.lives[ix].at + 90 * SECOND;
        if b.rng.percent(40) && at < times.stopped_at {
            doomed.push((ix, at));
        }
    }
    for (ix, at) in doomed {
        let life = &mut b.lives[ix];
        for item in std::mem::take(&mut life.items) {
            life.put(at, Table::OrderItem, item, Op::Delete, Vec::new());
        }
        life.put(at, Table::Order, life.order, Op::Delete, Vec::new());
    }
}

/// Orders that arrived while the system was down.
fn held(b: &mut Builder, times: &Times, orders: usize) -> Vec<Held> {
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

/// What reached the restored database before anybody looked: lost orders that Salesforce sent again by itself, under a
/// new key, and new orders that were given the keys of lost ones.
fn afterwards(b: &mut Builder, times: &Times, orders: usize, real: &World) -> Vec<Change> {
    let mut lost: Vec<usize> = (0..b.lives.len())
        .filter(|&i| {
            let l = &b.lives[i];
            l.at > times.restored_to && real.contains_key(&(Table::Order, l.order.to_string()))
        })
        .collect();
    // A sequence comes back up to 32 values ahead (domain knowledge: SEQ_LOG_VALS), then gives the lost ones again.
    let gap = (lost.len() / 2).min(33);
    let reused: Vec<usize> = lost.drain(gap..lost.len().min(gap + share(orders, 330, 1))).collect();
    let mut out = Vec::new();
    let mut at = times.stopped_at + 21 * MINUTE;
    for ix in reused {
        at += b.rng.within(2, 19) * SECOND;
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
        at += b.rng.within(2, 19) * SECOND;
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
    }
}

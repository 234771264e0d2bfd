//! The story of the incident: hours of orders, the loss window, what happened after the restore, and what is held.

use super::life::{Builder, MINUTE, Macd, Product, SECOND, Service, change, joined, share};
use super::model::{Change, Row, Table, Val, World, apply};
use super::{after, bad};
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
    /// Where the first restore ended instead.
    pub too_late: i64,
    /// From when to when the bad change was made.
    pub bad: (i64, i64),
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
            too_late: t + 10 * MINUTE,
            bad: (t + 10 * SECOND, t + 4 * MINUTE),
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

/// A line of the billing system's export.
#[derive(Debug, Clone)]
pub(super) struct Billed {
    /// Key, number or Salesforce id of the order.
    pub(super) order: String,
    /// The plan item, where billing was told.
    pub(super) item: Option<String>,
    pub(super) activity: String,
    pub(super) result: &'static str,
    pub(super) at: Option<i64>,
}

/// Everything that happened.
pub(super) struct Story {
    pub(super) times: Times,
    /// In the order of their times; up to the stop.
    pub(super) changes: Vec<Change>,
    pub(super) held: Vec<Held>,
    pub(super) billed: Vec<Billed>,
    /// What the first restore brought back: it ended too late.
    pub(super) first: World,
    /// The restored database, with what reached it after the restore and the log never heard of.
    pub(super) restored: World,
}

/// Tells the story of this seed.
pub(super) fn tell(seed: u64, orders: usize) -> Story {
    let times = Times::FIXED;
    let mut b = Builder::new(seed, orders);
    let mut changes = settings(&mut b, &times, orders);
    arrivals(&mut b, &times, orders);
    retargets(&mut b, &times, orders);
    purge(&mut b, &times, orders);
    fallen(&mut b, &times, orders);
    bad::run(&mut b, &times, orders);
    changes.append(&mut b.strays);
    changes.extend(b.lives.iter_mut().flat_map(|l| std::mem::take(&mut l.changes)));
    changes.retain(|c| c.at <= times.stopped_at);
    changes.sort_by_key(|c| c.at);
    let (real, mut restored, first) = replay(&mut b, &times, &mut changes);
    let held = after::held(&mut b, &times, orders);
    let after = after::afterwards(&mut b, &times, orders, (&real, &restored), &held);
    apply(&mut restored, after.iter());
    let billed = after::billed(&mut b, &times, &real);
    Story {
        times,
        changes,
        held,
        billed,
        first,
        restored,
    }
}

/// Plays all changes: gives the real world at the stop, the one at T and the one
/// where the first restore ended, and makes the log talkative: some upserts carry
/// the whole row, deletes of catalogue and metadata rows say what the row was.
fn replay(b: &mut Builder, times: &Times, changes: &mut [Change]) -> (World, World, World) {
    let mut world = World::new();
    let (mut at_t, mut first) = (None, None);
    for c in changes.iter_mut() {
        if c.at > times.restored_to && at_t.is_none() {
            at_t = Some(world.clone());
        }
        if c.at > times.too_late && first.is_none() {
            first = Some(world.clone());
        }
        let key = (c.table, c.key.clone());
        if c.op == Op::Delete
            && matches!(c.table, Table::Catalog | Table::Metadata)
            && let Some(row) = world.get(&key)
        {
            c.state = row.clone();
        }
        apply(&mut world, std::iter::once(&*c));
        // The batch job writes no more than it changes: its honest work must not look like the other.
        if c.op == Op::Upsert
            && c.actor != bad::ACTOR
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
    let first = first.unwrap_or_else(|| world.clone());
    (world, at_t, first)
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
    // Supersede chains that T cuts, and some that are younger than T altogether.
    let (t, pairs) = (times.restored_to, share(orders, 250, 1));
    let (mut cut, mut young, mut after) = (0, 0, 0);
    for at in at {
        b.free(at);
        if at > t {
            after += 1;
            if after % 5 == 2 && cut < pairs && b.supersede(at, 0..=t) {
                cut += 1;
                continue;
            }
            if after % 5 == 4 && young < pairs && b.supersede(at, t + 1..=at) {
                young += 1;
                continue;
            }
        }
        let kind = match b.rng.below(100) {
            0..4 if b.supersede(at, 0..=at) => continue,
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

/// Orders that were cancelled after others had built on them.
fn fallen(b: &mut Builder, times: &Times, orders: usize) {
    let built_on: BTreeSet<String> = (b.lives.iter().flat_map(|l| &l.changes))
        .filter(|c| c.table == Table::Order && c.op == Op::Insert)
        .filter_map(|c| c.state.text("prior_order_id"))
        .collect();
    let mut young: Vec<usize> = (0..b.lives.len())
        .filter(|&i| {
            let l = &b.lives[i];
            l.at > times.restored_to && l.end < times.stopped_at - MINUTE && built_on.contains(&l.order.to_string())
        })
        .collect();
    for _ in 0..share(orders, 250, 1) {
        let Some(ix) = b.rng.take(&mut young) else { return };
        let life = &mut b.lives[ix];
        let at = b.rng.within(life.end + SECOND, times.stopped_at);
        let fields = vec![("status", Val::text("Cancelled"))];
        life.put(at, Table::Order, life.order, Op::Upsert, fields);
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

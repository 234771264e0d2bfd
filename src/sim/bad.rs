//! The bad change that the restore undoes: a batch job cancels orders that nobody wanted cancelled.

use super::life::{Builder, Life, MINUTE, SECOND, change, share};
use super::model::{Change, Table, Val};
use super::story::Times;
use crate::domain::event::Op;

/// Who made it. Honest work is done under the same name, before, meanwhile and after.
pub(super) const ACTOR: &str = "batch-77";
/// The state that it sets.
pub(super) const STATE: &str = "Cancelled";

/// The batch job runs.
pub(super) fn run(b: &mut Builder, times: &Times, orders: usize) {
    let t = times.restored_to;
    let planned = |l: &Life| l.plan.is_some();
    let of = |b: &Builder, fits: &dyn Fn(&Life) -> bool| -> Vec<usize> {
        (0..b.lives.len())
            .filter(|&i| planned(&b.lives[i]) && fits(&b.lives[i]))
            .collect()
    };
    let mut hit = Vec::new();
    let mut pick = |b: &mut Builder, mut from: Vec<usize>, count: usize| {
        for _ in 0..count {
            hit.extend(b.rng.take(&mut from));
        }
    };
    // Through long before: the bad change is all that happened to them since.
    let settled = of(b, &|l| l.end < t - MINUTE);
    pick(b, settled, share(orders, 60, 1));
    // Under way: what they did after it was good again.
    let under_way = of(b, &|l| {
        l.at < t - MINUTE && l.end > times.bad.1 && l.end < times.stopped_at
    });
    pick(b, under_way, share(orders, 100, 1));
    let young = of(b, &|l| l.at > t && l.at < times.bad.1 - MINUTE);
    pick(b, young, share(orders, 300, 1));
    for &ix in &hit {
        let at = b.rng.within(times.bad.0, times.bad.1).max(b.lives[ix].at + SECOND);
        cancel(&mut b.lives[ix], at);
    }
    honest(b, times, orders, hit);
    for _ in 0..share(orders, 500, 1) {
        invent(b, times);
    }
}

fn by_job(mut change: Change, bad: bool) -> Change {
    change.actor = ACTOR;
    change.bad = bad;
    change
}

/// The order and its items are cancelled, and the items cost nothing any more.
fn cancel(life: &mut Life, at: i64) {
    for item in life.items.clone() {
        let fields = vec![("status", Val::text(STATE)), ("price", Val::Cents(0))];
        let change = change(at, Table::OrderItem, item.to_string(), Op::Upsert, fields);
        life.changes.push(by_job(change, true));
    }
    let fields = vec![("status", Val::text(STATE))];
    let change = change(at, Table::Order, life.order.to_string(), Op::Upsert, fields);
    life.changes.push(by_job(change, true));
}

/// What the job does every night: it cancels what is old, and ranks what it meets.
fn honest(b: &mut Builder, times: &Times, orders: usize, mut met: Vec<usize>) {
    let mut old: Vec<usize> = (0..b.lives.len())
        .filter(|&i| b.lives[i].plan.is_some() && b.lives[i].end < times.restored_to - 70 * MINUTE)
        .collect();
    for n in 0..share(orders, 100, 2) {
        let (ix, from, to, field) = if n % 2 == 0 {
            let t = times.restored_to;
            let ix = b.rng.take(&mut old);
            (ix, t - 60 * MINUTE, t - MINUTE, ("status", Val::text(STATE)))
        } else {
            let ix = b.rng.take(&mut met);
            let rank = Val::Int(b.rng.within(6, 9));
            (ix, times.bad.0, times.bad.1, ("priority", rank))
        };
        let Some(ix) = ix else { continue };
        let at = b.rng.within(from, to).max(b.lives[ix].at + SECOND);
        let order = b.lives[ix].order.to_string();
        let change = change(at, Table::Order, order, Op::Upsert, vec![field]);
        b.lives[ix].changes.push(by_job(change, false));
    }
}

/// An order that nobody placed, cancelled at once.
fn invent(b: &mut Builder, times: &Times) {
    let at = b.rng.within(times.bad.0, times.bad.1);
    let (account, segment) = b.account();
    let (order, external, label) = (b.id(Table::Order), b.external("8012x"), b.label(0));
    let fields = vec![
        ("id", Val::Int(order)),
        ("external_id", Val::Text(external)),
        ("order_number", Val::Text(label)),
        ("account_id", Val::Text(account)),
        ("segment", Val::text(segment)),
        ("kind", Val::text("New")),
        ("status", Val::text(STATE)),
        ("created_at", Val::Time(at)),
    ];
    let insert = change(at, Table::Order, order.to_string(), Op::Insert, fields);
    b.strays.push(by_job(insert, true));
}

//! An order's plan: decomposition, its steps, what it leaves installed, and how it ends early.

use super::life::{Builder, Fate, Life, Macd, SECOND, Service};
use super::model::{Table, Val, World, apply};
use super::rng::Rng;
use crate::domain::event::Op;

struct Step {
    name: &'static str,
    kind: &'static str,
    /// Index of the system instance it calls.
    system: Option<usize>,
    ponr: bool,
}

const fn step(name: &'static str, kind: &'static str, system: Option<usize>, ponr: bool) -> Step {
    Step {
        name,
        kind,
        system,
        ponr,
    }
}

fn steps(kind: Macd, fibre: bool, rng: &mut Rng) -> Vec<Step> {
    let mut steps = vec![step("order.validate", "Auto Task", None, false)];
    if kind == Macd::Move || (fibre && kind != Macd::Disconnect && kind != Macd::Change) {
        steps.push(step("field.visit", "Manual Task", Some(3), true));
    }
    match kind {
        Macd::New | Macd::Add => {
            steps.push(step("hlr.provision", "Callout", Some(0), true));
            steps.push(step("billing.activate", "Callout", Some(1), false));
        }
        Macd::Change | Macd::Move => {
            steps.push(step("hlr.modify", "Callout", Some(0), true));
            steps.push(step("billing.change", "Callout", Some(1), false));
        }
        Macd::Disconnect => {
            steps.push(step("hlr.remove", "Callout", Some(0), true));
            steps.push(step("billing.stop", "Callout", Some(1), false));
        }
    }
    if rng.percent(50) {
        steps.push(step("mail.confirm", "Push Event", Some(2), false));
    }
    if rng.percent(25) {
        steps.push(step("service.live", "Milestone", None, false));
    }
    steps
}
impl Builder {
    /// Decomposition and the plan's steps, up to where fate ends them.
    pub(super) fn run(&mut self, life: &mut Life, fate: Fate, products: &[String], base: Option<&Service>) {
        let span = life.end - life.at;
        let decomposed = life.at + self.rng.within(span / 40, span / 12);
        let plan = self.id(Table::Plan);
        life.plan = Some(plan);
        life.put(
            decomposed,
            Table::Order,
            life.order,
            Op::Upsert,
            vec![("status", Val::text("Decomposed"))],
        );
        life.put(
            decomposed,
            Table::Plan,
            plan,
            Op::Insert,
            vec![
                ("id", Val::Int(plan)),
                ("order_id", Val::Int(life.order)),
                ("state", Val::text("Not Started")),
                ("started_at", Val::Null),
            ],
        );
        let fibre = products
            .first()
            .is_some_and(|p| p.ends_with('0') || p.ends_with('5') || p.ends_with('1'));
        let steps = steps(life.kind, fibre, &mut self.rng);
        // Of a stalled or cancelled order, the step at which it ends.
        let last = match fate {
            Fate::Well | Fate::Draft => usize::MAX,
            Fate::Stalled | Fate::Cancelled => self.rng.below(steps.len()),
        };
        let started = decomposed + self.rng.within(2, 20) * SECOND;
        life.put(
            started,
            Table::Plan,
            plan,
            Op::Upsert,
            vec![("state", Val::text("In Progress")), ("started_at", Val::Time(started))],
        );
        life.put(
            started,
            Table::Order,
            life.order,
            Op::Upsert,
            vec![("status", Val::text("In Progress"))],
        );
        let slot = (life.end - started) / i64::try_from(steps.len()).unwrap_or(1);
        let mut from = started;
        for (ix, step) in steps.iter().enumerate() {
            let key = self.id(Table::PlanItem);
            let system = step.system.map(|s| {
                let (second, since) = self.second_billing;
                if s == 1 && life.at > since && self.rng.percent(12) {
                    second
                } else {
                    self.systems.get(s).copied().unwrap_or_default()
                }
            });
            life.put(
                decomposed,
                Table::PlanItem,
                key,
                Op::Insert,
                vec![
                    ("id", Val::Int(key)),
                    ("order_id", Val::Int(life.order)),
                    ("plan_id", Val::Int(plan)),
                    ("name", Val::text(step.name)),
                    ("item_type", Val::text(step.kind)),
                    ("state", Val::text("Pending")),
                    ("is_ponr", Val::Bool(false)),
                    ("attempts", Val::Int(0)),
                    ("system_instance_id", system.map_or(Val::Null, Val::Int)),
                    ("completed_at", Val::Null),
                ],
            );
            life.steps.push(key);
            if ix < last {
                self.step(life, key, step, from, from + slot);
            } else if ix == last && fate == Fate::Stalled {
                let state = ["Fatally Failed", "On Hold", "Scheduled", "Failed", "Skipped"][self.rng.below(5)];
                put_state(life, from + slot / 2, key, state, Val::Null, None);
            }
            from += slot;
        }
        match fate {
            Fate::Well => self.complete(life, products, base),
            Fate::Cancelled => {
                let when = started + slot * i64::try_from(last).unwrap_or(0) + slot / 2;
                settle(life, when, "Cancelled");
            }
            Fate::Stalled | Fate::Draft => {}
        }
    }

    fn step(&mut self, life: &mut Life, key: i64, step: &Step, from: i64, to: i64) {
        let slot = to - from;
        if step.kind == "Auto Task" || step.kind == "Milestone" {
            put_state(life, to - 1, key, "Completed", Val::Time(to - 1), None);
            return;
        }
        put_state(life, from + slot / 20, key, "Ready", Val::Null, None);
        let mut running = from + slot / 20 + self.rng.within(slot / 50, slot / 4);
        let mut attempt = 1;
        put_state(life, running, key, "Running", Val::Null, Some(attempt));
        if self.rng.percent(8) {
            put_state(life, running + slot / 5, key, "Failed", Val::Null, None);
            running += slot / 2;
            attempt += 1;
            put_state(life, running, key, "Running", Val::Null, Some(attempt));
        }
        put_state(life, to - 1, key, "Completed", Val::Time(to - 1), None);
        if step.ponr {
            // From here on nothing of the order can be taken back.
            life.put(
                to - 1,
                Table::PlanItem,
                key,
                Op::Upsert,
                vec![("is_ponr", Val::Bool(true))],
            );
        }
    }

    /// The plan is through: what it leaves installed, changed or removed.
    fn complete(&mut self, life: &mut Life, products: &[String], base: Option<&Service>) {
        let end = life.end;
        for (ix, item) in life.items.clone().into_iter().enumerate() {
            life.put(
                end,
                Table::OrderItem,
                item,
                Op::Upsert,
                vec![("status", Val::text("Activated"))],
            );
            if matches!(life.kind, Macd::New | Macd::Add) {
                let inventory = self.inventory(life, item, &products[ix]);
                let asset = self.id(Table::Asset);
                let reference = self.rng.uuid();
                life.put(
                    end,
                    Table::Asset,
                    asset,
                    Op::Insert,
                    vec![
                        ("id", Val::Int(asset)),
                        ("order_id", Val::Int(life.order)),
                        ("reference_id", Val::Text(reference.clone())),
                        ("product_code", Val::Text(products[ix].clone())),
                        ("status", Val::text("Installed")),
                        ("installed_at", Val::Time(end)),
                    ],
                );
                self.comes(Service {
                    order: life.order,
                    account: life.account.clone(),
                    segment: life.segment,
                    inventory,
                    asset,
                    reference,
                    product: products[ix].clone(),
                    free_at: end,
                });
            }
        }
        if let Some(service) = base {
            self.touch(life, products, service);
        }
        life.put(
            end,
            Table::Plan,
            life.plan.unwrap_or_default(),
            Op::Upsert,
            vec![("state", Val::text("Completed"))],
        );
        life.put(
            end,
            Table::Order,
            life.order,
            Op::Upsert,
            vec![("status", Val::text("Activated"))],
        );
    }

    fn inventory(&mut self, life: &mut Life, item: i64, product: &str) -> i64 {
        let key = self.id(Table::InventoryItem);
        let serial = format!("SN-{:06X}-{}", self.rng.below(0xff_ffff), key % 100_000);
        let site = format!("site-{}", self.rng.below(400));
        life.put(
            life.end - SECOND,
            Table::InventoryItem,
            key,
            Op::Insert,
            vec![
                ("id", Val::Int(key)),
                ("order_item_id", Val::Int(item)),
                ("serial", Val::Text(serial)),
                ("product_code", Val::text(product)),
                ("site", Val::Text(site)),
                ("status", Val::text("Active")),
            ],
        );
        key
    }

    /// What a MACD order does to the service it is about.
    fn touch(&mut self, life: &mut Life, products: &[String], service: &Service) {
        let end = life.end;
        let mut after = service.clone();
        after.order = life.order;
        after.free_at = end;
        let asset = |status: &'static str, product: &str| {
            vec![("status", Val::text(status)), ("product_code", Val::text(product))]
        };
        match life.kind {
            Macd::New => return,
            Macd::Add => {}
            Macd::Change => {
                after.product.clone_from(&products[0]);
                life.put(
                    end - SECOND,
                    Table::InventoryItem,
                    service.inventory,
                    Op::Upsert,
                    vec![("product_code", Val::Text(products[0].clone()))],
                );
                life.put(
                    end,
                    Table::Asset,
                    service.asset,
                    Op::Upsert,
                    asset("Installed", &products[0]),
                );
            }
            Macd::Move => {
                life.put(
                    end - 2 * SECOND,
                    Table::InventoryItem,
                    service.inventory,
                    Op::Delete,
                    Vec::new(),
                );
                let item = life.items.last().copied().unwrap_or_default();
                after.inventory = self.inventory(life, item, &service.product);
                life.put(
                    end,
                    Table::Asset,
                    service.asset,
                    Op::Upsert,
                    asset("Moved", &service.product),
                );
            }
            Macd::Disconnect => {
                life.put(
                    end - SECOND,
                    Table::InventoryItem,
                    service.inventory,
                    Op::Delete,
                    Vec::new(),
                );
                life.put(
                    end,
                    Table::Asset,
                    service.asset,
                    Op::Upsert,
                    asset("Disconnected", &service.product),
                );
                return;
            }
        }
        self.comes(after);
    }
}

fn put_state(life: &mut Life, at: i64, key: i64, state: &'static str, completed: Val, attempts: Option<i64>) {
    let mut fields = vec![("state", Val::text(state))];
    if completed != Val::Null {
        fields.push(("completed_at", completed));
    }
    if let Some(n) = attempts {
        fields.push(("attempts", Val::Int(n)));
    }
    life.put(at, Table::PlanItem, key, Op::Upsert, fields);
}

/// Freezes the plan, then ends the order as superseded or cancelled.
pub(super) fn settle(life: &mut Life, at: i64, status: &'static str) {
    let mut rows = World::new();
    // The life's changes are not in order yet, but those of one row are.
    apply(&mut rows, life.changes.iter().filter(|c| c.at < at));
    life.changes.retain(|c| c.at < at);
    if let Some(plan) = life.plan.filter(|p| rows.contains_key(&(Table::Plan, p.to_string()))) {
        for (after, state) in [(0, "Freezing"), (15, "Frozen"), (50, "Completed")] {
            life.put(
                at + after * SECOND,
                Table::Plan,
                plan,
                Op::Upsert,
                vec![("state", Val::text(state))],
            );
        }
    }
    for key in life.steps.clone() {
        let Some(row) = rows.get(&(Table::PlanItem, key.to_string())) else {
            continue;
        };
        let ends = match row.text("state").as_deref() {
            Some("Completed") if status == "Cancelled" => "Cancelled",
            Some("Completed") => "Amended",
            Some("Running") => {
                put_state(life, at + 10 * SECOND, key, "Frozen", Val::Null, None);
                "Discarded"
            }
            Some("Failed") => "Failed Discarded",
            _ => "Discarded",
        };
        put_state(life, at + 45 * SECOND, key, ends, Val::Null, None);
    }
    for item in life.items.clone() {
        life.put(
            at + 50 * SECOND,
            Table::OrderItem,
            item,
            Op::Upsert,
            vec![("status", Val::text(status))],
        );
    }
    life.put(
        at + 50 * SECOND,
        Table::Order,
        life.order,
        Op::Upsert,
        vec![("status", Val::text(status))],
    );
    life.end = at + 50 * SECOND;
}

//! The life of an order: intake, decomposition into a plan, its steps, what it leaves installed.

use super::model::{Change, Row, Table, Val, World, apply, push, sf18};
use super::rng::Rng;
use crate::domain::event::Op;

/// One second in microseconds.
pub(super) const SECOND: i64 = 1_000_000;
/// One minute in microseconds.
pub(super) const MINUTE: i64 = 60 * SECOND;

/// What an order does to the customer's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Macd {
    New,
    Add,
    Change,
    Move,
    Disconnect,
}

impl Macd {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Add => "Add",
            Self::Change => "Change",
            Self::Move => "Move",
            Self::Disconnect => "Disconnect",
        }
    }
}

/// Something installed at a customer, which later orders build on.
#[derive(Debug, Clone)]
pub(super) struct Service {
    /// The last order that touched it.
    pub(super) order: i64,
    pub(super) account: String,
    pub(super) segment: &'static str,
    pub(super) inventory: i64,
    pub(super) asset: i64,
    pub(super) reference: String,
    pub(super) product: String,
    /// When the order that touched it last is through.
    pub(super) free_at: i64,
}

/// An order and everything that happens to its rows.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) order: i64,
    pub(super) kind: Macd,
    pub(super) account: String,
    pub(super) segment: &'static str,
    pub(super) at: i64,
    /// When it is through, if nothing comes between.
    pub(super) end: i64,
    pub(super) items: Vec<i64>,
    pub(super) plan: Option<i64>,
    pub(super) steps: Vec<i64>,
    pub(super) changes: Vec<Change>,
    /// Whether a supplemental order may still replace it.
    pub(super) amendable: bool,
}

impl Life {
    pub(super) fn put(&mut self, at: i64, table: Table, key: i64, op: Op, state: Vec<(&'static str, Val)>) {
        self.changes.push(change(at, table, key.to_string(), op, state));
    }
}

/// A change, stamped.
pub(super) fn change(at: i64, table: Table, key: String, op: Op, mut state: Vec<(&'static str, Val)>) -> Change {
    if op != Op::Delete {
        state.push(("updated_at", Val::Time(at)));
    }
    Change {
        at,
        table,
        key,
        op,
        state: Row(state),
    }
}

/// How an order's life goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    Stalled,
    Cancelled,
    Draft,
}

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

/// A product of the catalogue that orders can name.
#[derive(Debug, Clone)]
pub(super) struct Product {
    pub(super) code: String,
    pub(super) from: i64,
    pub(super) until: i64,
}

/// Makes orders, one after the other in time.
pub(super) struct Builder {
    pub(super) rng: Rng,
    next: [i64; Table::ALL.len()],
    pub(super) lives: Vec<Life>,
    /// Installed services that no order is working on.
    pub(super) pool: Vec<Service>,
    coming: Vec<Service>,
    pub(super) products: Vec<Product>,
    /// Keys of the system instances, and the second billing system once it is there.
    pub(super) systems: Vec<i64>,
    pub(super) second_billing: (i64, i64),
    accounts: usize,
    labels: [u32; 3],
    externals: u64,
}

impl Builder {
    pub(super) fn new(seed: u64, orders: usize) -> Self {
        let mut rng = Rng::new(seed);
        let mut next = [0; Table::ALL.len()];
        for (i, n) in (0i64..).zip(next.iter_mut()) {
            // 17 digits, beyond 2^53, as OM Plus numbers them.
            *n = 77_405_618_597_879_914 + i * 3_000_000_000 + rng.within(0, 900) * 1_000_000;
        }
        Self {
            rng,
            next,
            lives: Vec::with_capacity(orders),
            pool: Vec::new(),
            coming: Vec::new(),
            products: Vec::new(),
            systems: Vec::new(),
            second_billing: (0, i64::MAX),
            accounts: (orders / 3).max(12),
            labels: [0; 3],
            externals: 0,
        }
    }

    /// The next key of a table.
    pub(super) fn id(&mut self, table: Table) -> i64 {
        let n = &mut self.next[table as usize];
        *n += 1;
        *n
    }

    /// `SFO-77` for new orders, `SFM-12` for those that change something, `SFH-118` for held ones.
    pub(super) fn label(&mut self, series: usize) -> String {
        self.labels[series] += 1;
        format!("{}-{}", ["SFO", "SFM", "SFH"][series], self.labels[series])
    }

    /// A Salesforce id: `8012x…` for orders, `8022x…` for order items.
    pub(super) fn external(&mut self, prefix: &str) -> String {
        const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        self.externals += 1;
        // Spread so that upper and lower case both occur.
        let mut n = self.externals * 7_919 + 14_776_336;
        let mut tail = [b'0'; 10];
        for d in tail.iter_mut().rev() {
            *d = DIGITS[usize::try_from(n % 62).unwrap_or(0)];
            n /= 62;
        }
        sf18(&format!("{prefix}{}", String::from_utf8_lossy(&tail)))
    }

    pub(super) fn product(&mut self, at: i64) -> String {
        let sold: Vec<usize> = (0..self.products.len())
            .filter(|&i| self.products[i].from <= at && at < self.products[i].until)
            .collect();
        // The newest products sell best.
        let ix = if self.rng.percent(12) {
            sold.last()
        } else {
            self.rng.pick(&sold)
        };
        ix.map_or_else(|| "P1".to_owned(), |&i| self.products[i].code.clone())
    }

    pub(super) fn account(&mut self) -> (String, &'static str) {
        let n = 1 + self.rng.below(self.accounts);
        (
            format!("ACC-{n}"),
            ["consumer", "consumer", "consumer", "business", "wholesale"][n % 5],
        )
    }

    /// Services whose order is through by then can be built on.
    pub(super) fn free(&mut self, at: i64) {
        let (free, coming) = std::mem::take(&mut self.coming)
            .into_iter()
            .partition::<Vec<_>, _>(|s| s.free_at < at);
        self.coming = coming;
        self.pool.extend(free);
    }

    /// An order arrives. A replacement names the order that it supersedes.
    pub(super) fn order(&mut self, at: i64, kind: Macd, base: Option<&Service>, replaces: Option<usize>) {
        let (account, segment) = match (base, replaces) {
            (Some(s), _) => (s.account.clone(), s.segment),
            (_, Some(i)) => (self.lives[i].account.clone(), self.lives[i].segment),
            _ => self.account(),
        };
        let order = self.id(Table::Order);
        let external = self.external("8012x");
        let label = self.label(usize::from(kind != Macd::New || replaces.is_some()));
        let fate = match self.rng.below(100) {
            0..3 => Fate::Stalled,
            3..6 => Fate::Cancelled,
            6..9 if kind == Macd::New && replaces.is_none() => Fate::Draft,
            _ => Fate::Well,
        };
        let minutes = match self.rng.below(10) {
            0..4 => self.rng.within(2, 7),
            4..9 => self.rng.within(12, 45),
            _ => self.rng.within(60, 150),
        };
        let end = at + minutes * MINUTE + self.rng.within(0, 59_999_999);
        let mut life = Life {
            order,
            kind,
            account: account.clone(),
            segment,
            at,
            end,
            items: Vec::new(),
            plan: None,
            steps: Vec::new(),
            changes: Vec::new(),
            amendable: fate == Fate::Well && replaces.is_none(),
        };
        let superseded = replaces.map(|i| self.lives[i].order);
        let status = if fate == Fate::Draft { "Draft" } else { "Submitted" };
        let cents = self.rng.within(990, 250_000);
        let priority = self.rng.within(1, 5);
        let expedite = self.rng.percent(8);
        let due = at - at % MINUTE + self.rng.within(1, 14) * 1_440 * MINUTE;
        let details = format!(
            "{{\"channel\": \"{}\", \"campaign\": {}}}",
            ["web", "shop", "call centre"][self.rng.below(3)],
            if self.rng.percent(30) { "\"autumn\"" } else { "null" }
        );
        let msisdn = format!("+4917{:08}", self.rng.below(100_000_000));
        life.put(
            at,
            Table::Order,
            order,
            Op::Insert,
            vec![
                ("id", Val::Int(order)),
                ("external_id", Val::Text(external)),
                ("order_number", Val::Text(label)),
                ("account_id", Val::Text(account.clone())),
                ("segment", Val::text(segment)),
                ("kind", Val::text(kind.name())),
                ("status", Val::text(status)),
                ("prior_order_id", base.map_or(Val::Null, |s| Val::Int(s.order))),
                ("superseded_order_id", superseded.map_or(Val::Null, Val::Int)),
                ("amount", Val::Cents(cents)),
                ("priority", Val::Int(priority)),
                ("expedite", Val::Bool(expedite)),
                ("due_at", Val::Time(due)),
                ("details", Val::Json(details)),
                ("msisdn", Val::Text(msisdn)),
                ("created_at", Val::Time(at)),
            ],
        );
        let products = self.items(&mut life, at, kind, base);
        if fate != Fate::Draft {
            self.run(&mut life, fate, &products, base);
        }
        self.lives.push(life);
    }

    /// The order's items; gives their products.
    fn items(&mut self, life: &mut Life, at: i64, kind: Macd, base: Option<&Service>) -> Vec<String> {
        let actions: &[&str] = match kind {
            Macd::New if self.rng.percent(35) => &["Add", "Add"],
            Macd::New | Macd::Add => &["Add"],
            Macd::Change => &["Change"],
            Macd::Move => &["Disconnect", "Move"],
            Macd::Disconnect => &["Disconnect"],
        };
        let mut products = Vec::new();
        for &action in actions {
            let product = match (base, action) {
                (Some(s), "Move" | "Disconnect") => s.product.clone(),
                _ => self.product(at),
            };
            let item = self.id(Table::OrderItem);
            let external = self.external("8022x");
            let refers = base.filter(|_| action != "Add");
            let price = self.rng.within(490, 9_990);
            life.put(
                at,
                Table::OrderItem,
                item,
                Op::Insert,
                vec![
                    ("id", Val::Int(item)),
                    ("order_id", Val::Int(life.order)),
                    ("external_id", Val::Text(external)),
                    ("action", Val::text(action)),
                    ("product_code", Val::Text(product.clone())),
                    ("quantity", Val::Int(1)),
                    ("price", Val::Cents(price)),
                    ("inventory_item_id", refers.map_or(Val::Null, |s| Val::Int(s.inventory))),
                    (
                        "asset_ref",
                        refers.map_or(Val::Null, |s| Val::Text(s.reference.clone())),
                    ),
                    ("status", Val::text("Submitted")),
                ],
            );
            life.items.push(item);
            products.push(product);
        }
        products
    }

    /// Decomposition and the plan's steps, up to where fate ends them.
    fn run(&mut self, life: &mut Life, fate: Fate, products: &[String], base: Option<&Service>) {
        let span = life.end - life.at;
        let decomposed = life.at + self.rng.within(span / 40, span / 12);
        let plan = self.id(Table::Plan);
        life.plan = Some(plan);
        life.put(
            decomposed,
            Table::Order,
            life.order,
            Op::Upsert,
            vec![("status", Val::text("In Progress"))],
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
                    ("is_ponr", Val::Bool(step.ponr)),
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
                self.coming.push(Service {
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
        self.coming.push(after);
    }

    /// A supplemental order replaces one that is under way; false where none can be.
    pub(super) fn supersede(&mut self, at: i64) -> bool {
        let open: Vec<usize> = (0..self.lives.len())
            .filter(|&i| {
                let l = &self.lives[i];
                l.amendable && l.kind == Macd::New && l.at + 2 * MINUTE < at && at < l.end - MINUTE
            })
            .collect();
        let Some(&ix) = self.rng.pick(&open) else { return false };
        let old = &mut self.lives[ix];
        old.amendable = false;
        old.changes.retain(|c| c.at < at);
        settle(old, at, "Superseded");
        let order = old.order;
        self.coming.retain(|s| s.order != order);
        self.order(at, Macd::New, None, Some(ix));
        true
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
fn settle(life: &mut Life, at: i64, status: &'static str) {
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

/// The text of a key made of several columns.
pub(super) fn joined(parts: &[&str]) -> String {
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push('/');
        }
        push(&mut out, part.replace('/', "%2F"));
    }
    out
}

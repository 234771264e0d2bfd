//! The life of an order: intake, decomposition into a plan, its steps, what it leaves installed.

use super::model::{Change, Row, Table, Val, push, sf18};
use super::plan::settle;
use super::rng::Rng;
use crate::domain::event::Op;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

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
    /// The order that it supersedes: its place among the lives.
    pub(super) replaces: Option<usize>,
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
    let actor = match (table, op) {
        (Table::Order | Table::OrderItem, Op::Insert) => "intake",
        (Table::Catalog | Table::Metadata | Table::SystemInstance, _) => "kim",
        _ => "orchestrator",
    };
    Change {
        at,
        table,
        key,
        op,
        state: Row(state),
        actor,
        bad: false,
    }
}

/// A fixed share of the orders, at least `least`.
pub(super) fn share(orders: usize, per: usize, least: usize) -> usize {
    (orders / per).max(least)
}

/// How an order's life goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Well,
    Stalled,
    Cancelled,
    Draft,
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
    /// Those that will be, by the time they are free.
    pub(super) coming: BTreeMap<(i64, i64), Service>,
    /// New orders that a supplemental order may replace.
    under_way: Vec<usize>,
    pub(super) products: Vec<Product>,
    /// Changes of rows that no life has.
    pub(super) strays: Vec<Change>,
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
            coming: BTreeMap::new(),
            under_way: Vec::new(),
            products: Vec::new(),
            strays: Vec::new(),
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
        let later = self.coming.split_off(&(at, i64::MIN));
        self.pool
            .extend(std::mem::replace(&mut self.coming, later).into_values());
    }

    /// This service is free again when the order working on it is through.
    pub(super) fn comes(&mut self, service: Service) {
        self.coming.insert((service.free_at, service.asset), service);
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
            replaces,
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
        if life.amendable && kind == Macd::New {
            self.under_way.push(self.lives.len());
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

    /// A supplemental order replaces one that is under way and arrived at such a time; false where none can be.
    pub(super) fn supersede(&mut self, at: i64, arrived: RangeInclusive<i64>) -> bool {
        let (lives, under_way) = (&self.lives, &mut self.under_way);
        under_way.retain(|&i| lives[i].amendable && at < lives[i].end - MINUTE);
        let old_enough = |i: &&usize| lives[**i].at + 2 * MINUTE < at && arrived.contains(&lives[**i].at);
        let open: Vec<usize> = under_way.iter().filter(old_enough).copied().collect();
        let Some(&ix) = self.rng.pick(&open) else { return false };
        let old = &mut self.lives[ix];
        let ended = old.end;
        old.amendable = false;
        old.changes.retain(|c| c.at < at);
        settle(old, at, "Superseded");
        let order = old.order;
        let dead: Vec<(i64, i64)> = self
            .coming
            .range((ended, i64::MIN)..=(ended, i64::MAX))
            .filter(|(_, s)| s.order == order)
            .map(|(at, _)| *at)
            .collect();
        for at in dead {
            self.coming.remove(&at);
        }
        self.order(at, Macd::New, None, Some(ix));
        true
    }
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

//! The tables of the simulated order system, their rows, and the changes that make them.

use crate::domain::event::Op;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A table of the simulated order system; each is one entity of the schema map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Table {
    Order,
    OrderItem,
    Plan,
    PlanItem,
    InventoryItem,
    Asset,
    Catalog,
    Metadata,
    SystemInstance,
}

/// A reference: the column, the table it refers to, and the column there (`None`: the key).
pub(super) type Ref = (&'static str, Table, Option<&'static str>);

/// What the schema map says of a table, as far as the truth needs it.
pub(super) struct Spec {
    pub(super) entity: &'static str,
    pub(super) table: &'static str,
    /// Names and declared types, as PostgreSQL writes them.
    pub(super) columns: &'static [(&'static str, &'static str)],
    /// How many of the first columns are the key.
    pub(super) key: usize,
    pub(super) owner: Option<(&'static str, Table)>,
    pub(super) refs: &'static [Ref],
    pub(super) identity: Option<&'static str>,
    pub(super) state: Option<(&'static str, &'static [&'static str])>,
}

const ORDER: Spec = Spec {
    entity: "order",
    table: "orders",
    columns: &[
        ("id", "bigint"),
        ("external_id", "varchar(18)"),
        ("order_number", "text"),
        ("account_id", "text"),
        ("segment", "text"),
        ("kind", "text"),
        ("status", "text"),
        ("prior_order_id", "bigint"),
        ("superseded_order_id", "bigint"),
        ("amount", "numeric(12,2)"),
        ("priority", "smallint"),
        ("expedite", "boolean"),
        ("due_at", "timestamptz"),
        ("details", "jsonb"),
        ("msisdn", "text"),
        ("created_at", "timestamptz"),
        ("updated_at", "timestamptz"),
    ],
    key: 1,
    owner: None,
    refs: &[("prior_order_id", Table::Order, None)],
    identity: Some("external_id"),
    state: None,
};

const ORDER_ITEM: Spec = Spec {
    entity: "order_item",
    table: "order_items",
    columns: &[
        ("id", "bigint"),
        ("order_id", "bigint"),
        ("external_id", "varchar(18)"),
        ("action", "text"),
        ("product_code", "text"),
        ("quantity", "integer"),
        ("price", "numeric(12,2)"),
        ("inventory_item_id", "bigint"),
        ("asset_ref", "uuid"),
        ("status", "text"),
        ("updated_at", "timestamptz"),
    ],
    key: 1,
    owner: Some(("order_id", Table::Order)),
    refs: &[
        ("inventory_item_id", Table::InventoryItem, None),
        ("asset_ref", Table::Asset, Some("reference_id")),
        ("product_code", Table::Catalog, Some("code")),
    ],
    identity: Some("external_id"),
    state: None,
};

const PLAN: Spec = Spec {
    entity: "plan",
    table: "orch_plans",
    columns: &[
        ("id", "bigint"),
        ("order_id", "bigint"),
        ("state", "text"),
        ("started_at", "timestamptz"),
        ("updated_at", "timestamptz"),
    ],
    key: 1,
    owner: Some(("order_id", Table::Order)),
    refs: &[],
    identity: None,
    state: Some(("state", &["In Progress", "Freezing"])),
};

const PLAN_ITEM: Spec = Spec {
    entity: "plan_item",
    table: "orch_items",
    columns: &[
        ("id", "bigint"),
        ("order_id", "bigint"),
        ("plan_id", "bigint"),
        ("name", "text"),
        ("item_type", "text"),
        ("state", "text"),
        ("is_ponr", "boolean"),
        ("attempts", "smallint"),
        ("system_instance_id", "bigint"),
        ("completed_at", "timestamptz"),
        ("updated_at", "timestamptz"),
    ],
    key: 1,
    owner: Some(("order_id", Table::Order)),
    refs: &[("system_instance_id", Table::SystemInstance, None)],
    identity: None,
    state: Some(("state", &["Running", "Ready", "Failed"])),
};

const INVENTORY_ITEM: Spec = Spec {
    entity: "inventory_item",
    table: "inventory_items",
    columns: &[
        ("id", "bigint"),
        ("order_item_id", "bigint"),
        ("serial", "text"),
        ("product_code", "text"),
        ("site", "text"),
        ("status", "text"),
        ("updated_at", "timestamptz"),
    ],
    key: 1,
    owner: Some(("order_item_id", Table::OrderItem)),
    refs: &[],
    identity: Some("serial"),
    state: None,
};

const ASSET: Spec = Spec {
    entity: "asset",
    table: "assets",
    columns: &[
        ("id", "bigint"),
        ("order_id", "bigint"),
        ("reference_id", "uuid"),
        ("product_code", "text"),
        ("status", "text"),
        ("installed_at", "timestamptz"),
        ("updated_at", "timestamptz"),
    ],
    key: 1,
    owner: Some(("order_id", Table::Order)),
    refs: &[],
    identity: Some("reference_id"),
    state: None,
};

const CATALOG: Spec = Spec {
    entity: "catalog",
    table: "catalog",
    columns: &[
        ("id", "bigint"),
        ("code", "text"),
        ("name", "text"),
        ("price", "numeric(12,2)"),
        ("version", "integer"),
        ("active", "boolean"),
        ("updated_at", "timestamptz"),
    ],
    key: 1,
    owner: None,
    refs: &[],
    identity: Some("code"),
    state: None,
};

const METADATA: Spec = Spec {
    entity: "metadata",
    table: "metadata",
    columns: &[
        ("kind", "text"),
        ("name", "text"),
        ("value", "jsonb"),
        ("updated_at", "timestamptz"),
    ],
    key: 2,
    owner: None,
    refs: &[],
    identity: None,
    state: None,
};

const SYSTEM_INSTANCE: Spec = Spec {
    entity: "system_instance",
    table: "system_instances",
    columns: &[
        ("id", "bigint"),
        ("name", "text"),
        ("host", "text"),
        ("status", "text"),
        ("updated_at", "timestamptz"),
    ],
    key: 1,
    owner: None,
    refs: &[],
    identity: Some("name"),
    state: None,
};

impl Table {
    /// All tables, in the order of the schema map.
    pub(super) const ALL: [Self; 9] = [
        Self::Order,
        Self::OrderItem,
        Self::Plan,
        Self::PlanItem,
        Self::InventoryItem,
        Self::Asset,
        Self::Catalog,
        Self::Metadata,
        Self::SystemInstance,
    ];

    /// What the schema map says of it.
    pub(super) const fn spec(self) -> &'static Spec {
        match self {
            Self::Order => &ORDER,
            Self::OrderItem => &ORDER_ITEM,
            Self::Plan => &PLAN,
            Self::PlanItem => &PLAN_ITEM,
            Self::InventoryItem => &INVENTORY_ITEM,
            Self::Asset => &ASSET,
            Self::Catalog => &CATALOG,
            Self::Metadata => &METADATA,
            Self::SystemInstance => &SYSTEM_INSTANCE,
        }
    }
}

/// The value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Val {
    Null,
    Int(i64),
    Bool(bool),
    /// A decimal with two digits, in hundredths.
    Cents(i64),
    /// Microseconds since 1970.
    Time(i64),
    Text(String),
    Json(String),
}

impl Val {
    /// A text.
    pub(super) fn text(t: impl Into<String>) -> Self {
        Self::Text(t.into())
    }

    /// As PostgreSQL writes it in text; `None` for null.
    pub(super) fn written(&self) -> Option<String> {
        let mut out = String::new();
        match self {
            Self::Null => return None,
            Self::Int(i) => push(&mut out, i),
            Self::Bool(b) => out.push(if *b { 't' } else { 'f' }),
            Self::Cents(c) => push(&mut out, format_args!("{}.{:02}", c / 100, c % 100)),
            Self::Time(at) => push_time(&mut out, *at, ' ', "+00"),
            Self::Text(t) | Self::Json(t) => out.push_str(t),
        }
        Some(out)
    }
}

/// Writes to a string, which cannot fail.
pub(super) fn push(out: &mut String, what: impl std::fmt::Display) {
    let _ = write!(out, "{what}");
}

/// Writes an instant; by hand because the incident has tens of thousands and must be there at once.
pub(super) fn push_time(out: &mut String, micros: i64, between: char, zone: &str) {
    let (days, of_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    // Days to civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (s, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (h, m, s) = (s / 3_600, s / 60 % 60, s % 60);
    push(
        out,
        format_args!("{year:04}-{month:02}-{day:02}{between}{h:02}:{m:02}:{s:02}"),
    );
    if fraction != 0 {
        let digits = format!(".{fraction:06}");
        out.push_str(digits.trim_end_matches('0'));
    }
    out.push_str(zone);
}

/// A row, whole or the part of it that somebody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<(&'static str, Val)>);

impl Row {
    /// The column's value, where it is known.
    pub(super) fn get(&self, column: &str) -> Option<&Val> {
        self.0.iter().find(|(name, _)| *name == column).map(|(_, v)| v)
    }

    /// The column's value as text, where it is known and not null.
    pub(super) fn text(&self, column: &str) -> Option<String> {
        self.get(column).and_then(Val::written)
    }

    /// Takes over what `other` says.
    pub(super) fn merge(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            match self.0.iter_mut().find(|(n, _)| n == name) {
                Some((_, v)) => v.clone_from(value),
                None => self.0.push((name, value.clone())),
            }
        }
    }
}

/// One change of one row, as it happened.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Microseconds since 1970.
    pub(super) at: i64,
    pub(super) table: Table,
    /// Canonical text of the key.
    pub(super) key: String,
    pub(super) op: Op,
    /// The whole row for an insert, the changed columns for an upsert, what the row was (or nothing) for a delete.
    pub(super) state: Row,
    /// Who made it, as the log says.
    pub(super) actor: &'static str,
    /// Part of the bad change that the restore undoes.
    pub(super) bad: bool,
}

/// The rows of a database.
pub(super) type World = BTreeMap<(Table, String), Row>;

/// Applies changes, in their order.
pub(super) fn apply<'a>(world: &mut World, changes: impl Iterator<Item = &'a Change>) {
    for change in changes {
        let at = (change.table, change.key.clone());
        match change.op {
            Op::Insert => {
                world.insert(at, change.state.clone());
            }
            Op::Upsert => world.entry(at).or_default().merge(&change.state),
            Op::Delete | Op::Truncate => {
                world.remove(&at);
            }
        }
    }
}

/// The 18-character form of a 15-character Salesforce id: a letter for each five characters says which are upper case
/// (Salesforce, "Understanding case safe Ids").
pub(super) fn sf18(fifteen: &str) -> String {
    let mut out = fifteen.to_owned();
    for chunk in fifteen.as_bytes().chunks(5) {
        let mut bits = 0;
        for (i, c) in chunk.iter().enumerate() {
            bits |= u8::from(c.is_ascii_uppercase()) << i;
        }
        out.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[usize::from(bits)]));
    }
    out
}

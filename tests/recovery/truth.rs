//! What is so: both servers compared row by row in SQL, through foreign tables on a third database.

use crate::capture::ENTITIES;
use crate::traffic::OWN_TYPES;
use crate::world::{DB, World};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Entity and key.
pub type Id = (String, String);

/// A row finding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Finding {
    /// Column: value as restored, value in the log.
    pub fields: BTreeMap<String, (Value, Value)>,
    /// The keys under which a moved row's identity is.
    pub moved_to: BTreeSet<String>,
}

/// What one side holds of a row, beyond what is compared.
#[derive(Debug, Clone)]
pub struct Side {
    pub columns: BTreeMap<String, Option<String>>,
}

#[derive(Debug, Default)]
pub struct Truth {
    /// Entity, key and kind of each row finding.
    pub rows: BTreeMap<(Id, &'static str), Finding>,
    /// Order: the rows in progress (entity, key, state).
    pub in_doubt: BTreeMap<String, BTreeSet<(String, String, String)>>,
    /// Orders that are orphaned, with what they lack: entity, column, value.
    pub missing: BTreeMap<String, BTreeSet<(String, Option<String>, String)>>,
    /// Orders of supersede chains of which one half is there.
    pub half: BTreeSet<String>,
    /// Case: its findings, order kinds included, as entity, key, kind.
    pub cases: BTreeMap<String, BTreeSet<(String, String, String)>>,
    /// Order or other case: the cases that would bring back what it lacks.
    pub blocked_by: BTreeMap<String, BTreeSet<String>>,
    /// Order: its label.
    pub labels: BTreeMap<String, String>,
    /// The rows that the log names.
    pub touched: BTreeSet<Id>,
}

/// Entity: the column that names the owner, and whose it is.
const OWNERS: &[(&str, &str, &str)] = &[
    ("order_item", "order_id", "order"),
    ("plan", "order_id", "order"),
    ("plan_item", "plan_id", "plan"),
];
/// Entity, column, entity referred to, column referred to (`None`: the key).
pub const REFS: &[(&str, &str, &str, Option<&str>)] = &[
    ("order", "prior_order_id", "order", None),
    ("order_item", "inventory_item_id", "inventory_item", None),
    ("order_item", "asset_ref", "asset", Some("reference_id")),
    ("order_item", "catalog_code", "catalog", Some("code")),
];
/// Entity: its identity.
const IDENTITY: &[(&str, &str)] = &[("order", "external_id"), ("asset", "reference_id")];
pub const IN_PROGRESS: &[(&str, &[&str])] = &[("plan", &["Running"]), ("plan_item", &["Ready", "Failed"])];
const IGNORED: &[(&str, &str)] = &[("order", "updated_at")];

/// What tells of the live server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// A log of events: of the rows that changed after it began.
    Events,
    /// The live server itself: every row, and a key that it lacks counts as deleted there.
    Whole,
}

struct Sides {
    log: Log,
    live: BTreeMap<Id, Side>,
    back: BTreeMap<Id, Side>,
    /// Keys that the log names: whether the last word is a delete, and the identity it last saw.
    touched: BTreeMap<Id, (bool, Option<String>)>,
}

impl Truth {
    pub fn read(world: &World, log: Log) -> Self {
        let db = match log {
            Log::Events => "truth",
            Log::Whole => "truth_whole",
        };
        world.live.psql("postgres", &format!("create database {db}"));
        let mut link = format!("{OWN_TYPES} create extension postgres_fdw;");
        for (name, pg) in [("live", &world.live), ("back", &world.back)] {
            write!(
                link,
                "create schema {name};
                 create server {name} foreign data wrapper postgres_fdw options (host '127.0.0.1', port '{}', dbname '{DB}');
                 create user mapping for demo server {name} options (user 'demo');
                 import foreign schema om from server {name} into {name};",
                pg.port
            )
            .unwrap();
        }
        link.push_str(&match log {
            Log::Events => "create view touched as select * from live.touched;".to_owned(),
            Log::Whole => touched_by_whole(),
        });
        world.live.psql(db, &link);
        let query = |sql: &str| -> Vec<Value> {
            let out = world.live.psql(db, &format!("select row_to_json(q) from ({sql}) q"));
            out.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
        };
        let mut truth = Self::default();
        let mut sides = Sides {
            log,
            live: BTreeMap::new(),
            back: BTreeMap::new(),
            touched: BTreeMap::new(),
        };
        for row in query("select entity, key, identity, deleted from touched") {
            let id = (text(&row["entity"]), text(&row["key"]));
            sides.touched.insert(
                id,
                (
                    row["deleted"].as_bool().unwrap(),
                    row["identity"].as_str().map(str::to_owned),
                ),
            );
        }
        for (entity, table, key) in ENTITIES {
            let columns: Vec<(String, String)> = query(&format!(
                "select attname, format_type(atttypid, atttypmod) as type from pg_attribute
                 where attrelid = 'live.{table}'::regclass and attnum > 0 and not attisdropped order by attnum"
            ))
            .iter()
            .map(|c| (text(&c["attname"]), text(&c["type"])))
            .collect();
            for (name, side) in [("live", &mut sides.live), ("back", &mut sides.back)] {
                let all: Vec<String> = columns.iter().map(|(c, _)| format!("'{c}', x.{c}::text")).collect();
                for row in query(&format!(
                    "select {} as k, json_build_object({}) as c from {name}.{table} x",
                    key_sql("x", key),
                    all.join(", ")
                )) {
                    let columns = row["c"].as_object().unwrap();
                    let columns = columns
                        .iter()
                        .map(|(n, v)| (n.clone(), v.as_str().map(str::to_owned)))
                        .collect();
                    side.insert(((*entity).to_owned(), text(&row["k"])), Side { columns });
                }
            }
            for row in query(&compare_sql(entity, table, key, &columns)) {
                truth.row(entity, &row);
            }
        }
        truth.orders(&sides);
        truth.touched = sides.touched.into_keys().collect();
        truth
    }

    /// One touched key of an entity, both sides beside each other.
    fn row(&mut self, entity: &str, row: &Value) {
        let id = (entity.to_owned(), text(&row["k"]));
        let yes = |name: &str| row[name].as_bool().unwrap_or(false);
        let (live, back) = (yes("live"), yes("back"));
        let mut finding = Finding::default();
        let kind = match (live, back) {
            (true, false) => {
                finding.moved_to = row["elsewhere"].as_array().into_iter().flatten().map(text).collect();
                if finding.moved_to.is_empty() { "lost" } else { "moved" }
            }
            (_, true) if yes("other_identity") => "collided",
            (false, true) => "undeleted",
            (true, true) => {
                for diff in row["diffs"].as_array().into_iter().flatten().filter(|d| !d.is_null()) {
                    finding
                        .fields
                        .insert(text(&diff[0]), (diff[1].clone(), diff[2].clone()));
                }
                if finding.fields.is_empty() {
                    return;
                }
                "regressed"
            }
            (false, false) => return,
        };
        self.rows.insert((id, kind), finding);
    }

    /// Whose row it is: read from the log's row, else from the restored one; the chain ends at the order.
    fn order_of(sides: &Sides, id: &Id) -> Option<String> {
        if id.0 == "order" {
            return Some(id.1.clone());
        }
        let (_, column, owner) = OWNERS.iter().find(|o| o.0 == id.0)?;
        let state = sides.of_log(id).or_else(|| sides.back.get(id))?;
        let key = state.columns[*column].clone()?;
        Self::order_of(sides, &((*owner).to_owned(), key))
    }

    fn case_of(sides: &Sides, id: &Id) -> String {
        Self::order_of(sides, id).map_or_else(|| format!("{}:{}", id.0, id.1), |order| format!("order:{order}"))
    }

    fn orders(&mut self, sides: &Sides) {
        let mut with_row_finding: BTreeSet<String> = BTreeSet::new();
        for (id, kind) in self.rows.keys() {
            let case = Self::case_of(sides, id);
            with_row_finding.extend(Self::order_of(sides, id));
            self.cases
                .entry(case)
                .or_default()
                .insert((id.0.clone(), id.1.clone(), (*kind).to_owned()));
        }
        for (id, side) in &sides.back {
            let Some((_, states)) = IN_PROGRESS.iter().find(|p| p.0 == id.0) else {
                continue;
            };
            let state = side.columns["state"].clone().unwrap_or_default();
            if let (true, Some(order)) = (states.contains(&state.as_str()), Self::order_of(sides, id)) {
                self.in_doubt
                    .entry(order)
                    .or_default()
                    .insert((id.0.clone(), id.1.clone(), state));
            }
        }
        let all: BTreeSet<&Id> = sides.live.keys().chain(sides.back.keys()).collect();
        for id in all {
            // The log's last word on the referring row is a delete.
            if sides.touched.get(id).is_some_and(|(deleted, _)| *deleted) {
                continue;
            }
            let Some(order) = Self::order_of(sides, id).filter(|o| with_row_finding.contains(o)) else {
                continue;
            };
            let Some(state) = sides.of_log(id).or_else(|| sides.back.get(id)) else {
                continue;
            };
            for (_, column, entity, target) in REFS.iter().filter(|r| r.0 == id.0) {
                let Some(value) = state.columns[*column].clone() else {
                    continue;
                };
                if self.lacks(sides, entity, *target, &value) {
                    let lacked = ((*entity).to_owned(), target.map(str::to_owned), value.clone());
                    self.missing.entry(order.clone()).or_default().insert(lacked);
                    let own = format!("order:{order}");
                    // A row that the log has and the restored server lacks is brought back by its own case; one whose
                    // key was reused, or that came back under another, is not.
                    let back: Vec<String> = sides
                        .bringers(entity, *target, &value)
                        .filter(|id| {
                            ["lost", "regressed"]
                                .iter()
                                .any(|k| self.rows.contains_key(&((*id).clone(), *k)))
                        })
                        .map(|id| Self::case_of(sides, id))
                        .filter(|case| *case != own)
                        .collect();
                    self.blocked_by.entry(own).or_default().extend(back);
                }
            }
        }
        for order in self.in_doubt.keys().cloned().collect::<Vec<_>>() {
            self.add(&order, "in_doubt");
        }
        for order in self.missing.keys().cloned().collect::<Vec<_>>() {
            self.add(&order, "orphaned");
        }
        self.halves(sides);
        for order in self.half.clone() {
            self.add(&order, "half_superseded");
        }
        for case in self.cases.keys() {
            let Some(order) = case.strip_prefix("order:") else {
                continue;
            };
            let id = ("order".to_owned(), order.to_owned());
            // As the log's row calls it; of an order that the log lacks: what it called it last, else the restored row.
            let said = |side: &Side| side.columns["external_id"].clone();
            let last = sides.touched.get(&id).and_then(|(_, identity)| identity.clone());
            let label = match sides.of_log(&id) {
                Some(row) => said(row),
                None => last.or_else(|| sides.back.get(&id).and_then(said)),
            };
            self.labels
                .insert(order.to_owned(), label.unwrap_or_else(|| order.to_owned()));
        }
    }

    /// Of two orders joined by the log the restored server has one, and lacks the other.
    fn halves(&mut self, sides: &Sides) {
        let id = |key: &str| ("order".to_owned(), key.to_owned());
        let has = |key: &str| sides.back.contains_key(&id(key)) && !self.rows.contains_key(&(id(key), "collided"));
        let orders = sides.live.keys().filter(|(entity, _)| entity == "order");
        for (_, key) in orders.filter(|id| sides.of_log(id).is_some()) {
            let Some(other) = sides.live[&id(key)].columns["superseded_order_id"].clone() else {
                continue;
            };
            if has(key) != has(&other) {
                self.half.extend([key.clone(), other]);
            }
        }
    }

    fn add(&mut self, order: &str, kind: &str) {
        let finding = ("order".to_owned(), order.to_owned(), kind.to_owned());
        self.cases.entry(format!("order:{order}")).or_default().insert(finding);
    }

    /// Whether the restored server lacks the row referred to, and not because the log deleted it.
    fn lacks(&self, sides: &Sides, entity: &str, target: Option<&str>, value: &str) -> bool {
        match target {
            None => {
                let id = (entity.to_owned(), value.to_owned());
                let deleted = match sides.log {
                    Log::Events => sides.touched.get(&id).is_some_and(|(deleted, _)| *deleted),
                    Log::Whole => !sides.live.contains_key(&id),
                };
                let reused = self.rows.contains_key(&(id.clone(), "collided"));
                !deleted && (reused || !sides.back.contains_key(&id))
            }
            Some(column) => {
                let has = |(id, side): (&Id, &Side)| id.0 == entity && side.columns[column].as_deref() == Some(value);
                let deleted = sides.log == Log::Whole
                    || sides.touched.iter().any(|(id, (deleted, identity))| {
                        id.0 == entity && *deleted && identity.as_deref() == Some(value)
                    });
                let live = sides.bringers(entity, target, value).next().is_some();
                !sides.back.iter().any(has) && (live || !deleted)
            }
        }
    }

    /// Where a log of events and the live server itself tell different things of one incident: only what the contract
    /// names. Of a row that the log names, they find the same, but for a deleted one that the log gave an identity.
    pub fn agrees_with_whole(&self, whole: &Self) {
        let kinds = |truth: &Self| -> BTreeMap<Id, (&'static str, Finding)> {
            let rows = truth.rows.iter();
            rows.map(|((id, kind), finding)| (id.clone(), (*kind, finding.clone())))
                .collect()
        };
        let (events, whole_rows) = (kinds(self), kinds(whole));
        for (id, (kind, finding)) in &events {
            let (other_kind, other) = whole_rows.get(id).unwrap_or_else(|| panic!("{id:?} {kind}"));
            let deleted_and_reused = (*kind, *other_kind) == ("collided", "undeleted");
            assert!(kind == other_kind || deleted_and_reused, "{id:?}: {kind}, {other_kind}");
            assert!(finding == other || deleted_and_reused, "{id:?}: {finding:?}, {other:?}");
        }
        for id in whole_rows.keys().filter(|id| !events.contains_key(*id)) {
            assert!(!self.touched.contains(id), "the log names {id:?}");
        }
    }

    /// The traffic made what it was meant to make; without it the comparison would prove nothing.
    pub fn covers_every_kind(&self) {
        for (entity, kind, least) in [
            ("order", "lost", 50),
            ("order", "moved", 4),
            ("order", "regressed", 60),
            ("order", "undeleted", 4),
            ("order", "collided", 10),
            ("order_item", "lost", 50),
            ("order_item", "undeleted", 2),
            ("order_item", "regressed", 5),
            ("plan_item", "lost", 10),
            ("plan", "regressed", 3),
            ("asset", "moved", 1),
            ("asset", "collided", 3),
            ("asset", "undeleted", 1),
            ("catalog", "lost", 2),
            ("catalog", "undeleted", 1),
            ("system_instance", "regressed", 1),
            ("system_instance", "undeleted", 1),
        ] {
            let found: Vec<_> = self
                .rows
                .iter()
                .filter(|((id, k), _)| id.0 == entity && *k == kind)
                .collect();
            assert!(found.len() >= least, "{entity} {kind}: {found:?}");
        }
        assert!(self.in_doubt.len() > 20 && self.missing.len() > 10);
        let fields: BTreeSet<&String> = self.rows.values().flat_map(|f| f.fields.keys()).collect();
        for (name, _, _) in crate::traffic::TYPES {
            assert!(fields.contains(&(*name).to_owned()), "no row differs in {name}");
        }
        assert!(fields.contains(&"big".to_owned()) && !fields.contains(&"updated_at".to_owned()));
        assert!(self.blocked_by.values().any(|b| !b.is_empty()));
    }
}

impl Sides {
    /// The log's row: touched, and there on the live server.
    fn of_log(&self, id: &Id) -> Option<&Side> {
        self.touched.get(id).filter(|(deleted, _)| !deleted)?;
        self.live.get(id)
    }

    /// The log's rows that are what a reference means.
    fn bringers<'a>(
        &'a self,
        entity: &'a str,
        target: Option<&'a str>,
        value: &'a str,
    ) -> impl Iterator<Item = &'a Id> + 'a {
        self.touched
            .iter()
            .filter(|(_, (deleted, _))| !deleted)
            .map(|(id, _)| id)
            .filter(move |id| {
                id.0 == entity
                    && match target {
                        None => id.1 == value,
                        Some(column) => self
                            .live
                            .get(*id)
                            .is_some_and(|s| s.columns[column].as_deref() == Some(value)),
                    }
            })
    }
}

fn text(v: &Value) -> String {
    v.as_str().map_or_else(|| v.to_string(), str::to_owned)
}

/// Every key of either server.
fn touched_by_whole() -> String {
    let of_entity = |(entity, table, key): &(&str, &str, &[&str])| {
        let identity = IDENTITY.iter().find(|i| i.0 == *entity);
        format!(
            "select '{entity}' as entity, coalesce(l.k, b.k) as key, l.identity, l.k is null as deleted
             from (select {} as k, {} as identity from live.{table} x) l
             full join (select {} as k from back.{table} x) b on l.k = b.k",
            key_sql("x", key),
            identity.map_or("null".to_owned(), |i| format!("x.{}", i.1)),
            key_sql("x", key),
        )
    };
    let all: Vec<String> = ENTITIES.iter().map(of_entity).collect();
    format!("create table touched as {}", all.join(" union all "))
}

/// Canonical key text.
fn key_sql(alias: &str, key: &[&str]) -> String {
    match key {
        [one] => format!("{alias}.{one}::text"),
        key => key
            .iter()
            .map(|k| format!("replace({alias}.{k}::text, '/', '%2F')"))
            .collect::<Vec<_>>()
            .join(" || '/' || "),
    }
}

/// Both sides of every key that the log names.
fn compare_sql(entity: &str, table: &str, key: &[&str], columns: &[(String, String)]) -> String {
    let identity = IDENTITY.iter().find(|i| i.0 == entity).map(|i| i.1);
    let json = |side: &str, name: &str, ty: &str| match ty {
        "smallint" | "integer" | "real" | "double precision" | "boolean" => format!("to_jsonb({side}.{name})"),
        "inet" => format!("to_jsonb(textin(inet_out({side}.{name})))"),
        _ => format!("to_jsonb({side}.{name}::text)"),
    };
    let diffs: Vec<String> = columns
        .iter()
        .filter(|(name, _)| !key.contains(&name.as_str()) && !IGNORED.contains(&(entity, name.as_str())))
        .map(|(name, ty)| {
            let cast = if ty == "json" { "::jsonb" } else { "" };
            format!(
                "case when l.{name}{cast} is distinct from b.{name}{cast}
                   then jsonb_build_array('{name}', {}, {}) end",
                json("b", name, ty),
                json("l", name, ty)
            )
        })
        .collect();
    let (other, elsewhere) = identity.map_or(("false".to_owned(), "null".to_owned()), |i| {
        (
            format!("case when t.deleted then t.identity else l.{i} end <> b.{i}"),
            format!(
                "(select jsonb_agg({}) from back.{table} o where o.{i} = l.{i})",
                key_sql("o", key)
            ),
        )
    });
    format!(
        "select t.key as k, l.{k} is not null as live, b.{k} is not null as back, {other} as other_identity,
           {elsewhere} as elsewhere, jsonb_build_array({}) as diffs
         from touched t
         left join live.{table} l on {} = t.key and not t.deleted
         left join back.{table} b on {} = t.key
         where t.entity = '{entity}'",
        diffs.join(", "),
        key_sql("l", key),
        key_sql("b", key),
        k = key[0],
    )
}

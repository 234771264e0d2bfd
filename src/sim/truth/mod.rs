//! What a scan of the incident must find, from the model of both worlds: written for clarity, not for speed, and
//! sharing no code with the scan that it judges.

mod advice;
mod outside;

use crate::domain::case::{Happened, Verb};
use crate::domain::event::Op;
use crate::domain::finding::{Kind, Missing, RowState};
use crate::sim::model::{Change, Ref, Row, Table, Val, World};
use crate::sim::story::Story;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What must be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// The cases by id.
    pub cases: BTreeMap<String, TrueCase>,
}

/// What must be found of one case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrueCase {
    /// The owning order.
    pub order: Option<String>,
    /// What people call it; empty where nothing says.
    pub label: String,
    /// Its findings by entity, key and kind.
    pub findings: BTreeMap<(String, String, Kind), TrueFinding>,
    /// What it refers to and is not there.
    pub missing: BTreeSet<Missing>,
    /// The cases of the lost rows that would bring the missing ones back, in no order, itself left out.
    pub waits_for: BTreeSet<String>,
    /// What its missing references could name instead.
    pub fits: BTreeMap<Missing, BTreeSet<String>>,
    /// Its effects outside: the step, whether it happened, whether the restored order would do it again.
    pub outside: BTreeSet<(Option<String>, Happened, bool)>,
    /// What to do first.
    pub advice: Option<Verb>,
}

/// What must be found of one row or order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrueFinding {
    /// The differing fields of a regressed row: name, restored, log.
    pub fields: BTreeMap<String, (Json, Json)>,
    /// The rows in progress of an order in doubt.
    pub rows: BTreeSet<RowState>,
    /// The key under which a moved row is.
    pub moved_to: Option<String>,
    /// The other order of a pair of which one is missing.
    pub other: Option<String>,
    /// Without the bad change it would not be there.
    pub undone: bool,
    /// The differing fields that would not differ without the bad change.
    pub undone_fields: BTreeSet<String>,
}

/// A row as the log tells it.
#[derive(Debug, Default)]
struct Told {
    live: bool,
    row: Row,
}

type Key = (Table, String);

struct Worlds<'a> {
    restored: &'a World,
    log: BTreeMap<Key, Told>,
    /// Restored rows by identity: table and normal form to key.
    by_identity: HashMap<(Table, String), &'a str>,
    findings: BTreeMap<Key, (Kind, TrueFinding)>,
    /// Every order's rows on both sides.
    family: BTreeMap<String, Vec<Key>>,
    /// Rows, by entity and key, of which something that differs rests on the bad change.
    on_bad: BTreeSet<(String, String)>,
    /// What the held orders do, by their cases.
    held_kinds: BTreeMap<String, String>,
}

/// The truth about the story.
pub(super) fn of(story: &Story) -> Truth {
    let mut worlds = Worlds::of(story, |_| true);
    let mut cases = worlds.cases(story);
    let without = Worlds::of(story, |c| !c.bad);
    worlds.on_bad = worlds.told_otherwise(&without);
    let clean = without.cases(story);
    for (id, case) in &mut cases {
        for (at, finding) in &mut case.findings {
            let without = clean.get(id).and_then(|c| c.findings.get(at));
            finding.undone = without.is_none();
            let stays = |field: &String| without.is_some_and(|w| w.fields.contains_key(field));
            finding.undone_fields = finding.fields.keys().filter(|f| !stays(f)).cloned().collect();
        }
    }
    let advice: Vec<Verb> = cases.keys().map(|id| worlds.advice(id, &cases)).collect();
    for (case, verb) in cases.values_mut().zip(advice) {
        case.advice = Some(verb);
    }
    Truth { cases }
}

fn fold<'a>(events: impl Iterator<Item = &'a Change>) -> BTreeMap<Key, Told> {
    let mut log: BTreeMap<Key, Told> = BTreeMap::new();
    for c in events {
        let told = log.entry((c.table, c.key.clone())).or_default();
        if c.op == Op::Delete {
            told.live = false;
        } else if !told.live {
            *told = Told {
                live: true,
                row: Row::default(),
            };
        }
        told.row.merge(&c.state);
    }
    log
}

/// The identity in a form in which equal ones are equal.
fn identity(table: Table, row: &Row) -> Option<String> {
    let text = row.text(table.spec().identity?)?;
    Some(normal(table.spec().identity?, &text))
}

/// Salesforce ids are equal when their first 15 characters are.
fn normal(column: &str, text: &str) -> String {
    if column == "external_id" {
        text.chars().take(15).collect()
    } else {
        text.to_owned()
    }
}

/// As a finding shows it.
fn shown(table: Table, column: &str, value: &Val) -> Json {
    let small = table
        .spec()
        .columns
        .iter()
        .any(|(name, ty)| *name == column && matches!(*ty, "smallint" | "integer" | "boolean"));
    match value {
        Val::Null => Json::Null,
        Val::Int(i) if small => Json::from(*i),
        Val::Bool(b) => Json::from(*b),
        other => Json::from(other.written()),
    }
}

impl<'a> Worlds<'a> {
    /// The restored world against a log of these changes alone.
    fn of(story: &'a Story, told: impl Fn(&Change) -> bool) -> Self {
        let events = story.changes.iter().filter(|c| c.at >= story.times.log_from && told(c));
        let held = story.held.iter();
        let mut worlds = Self {
            restored: &story.restored,
            log: fold(events),
            by_identity: HashMap::new(),
            findings: BTreeMap::new(),
            family: BTreeMap::new(),
            on_bad: BTreeSet::new(),
            held_kinds: held
                .filter_map(|h| Some((format!("held:{}", h.label), h.order.text("kind")?)))
                .collect(),
        };
        for (key, row) in worlds.restored {
            if let Some(identity) = identity(key.0, row) {
                // Where two carry it, the lower key counts.
                worlds.by_identity.entry((key.0, identity)).or_insert(&key.1);
            }
        }
        worlds.compare();
        worlds.gather();
        worlds
    }
}

impl Worlds<'_> {
    fn compare(&mut self) {
        let mut found = Vec::new();
        for (key, told) in &self.log {
            let (table, restored) = (key.0, self.restored.get(key));
            let mut finding = TrueFinding::default();
            let kind = match (told.live, restored) {
                (false, None) => continue,
                (true, None) => {
                    let elsewhere = identity(table, &told.row).and_then(|i| self.by_identity.get(&(table, i)));
                    finding.moved_to = elsewhere.map(|k| (*k).to_owned());
                    if elsewhere.is_some() { Kind::Moved } else { Kind::Lost }
                }
                (live, Some(row)) => {
                    let (ours, theirs) = (identity(table, &told.row), identity(table, row));
                    if ours.is_some() && theirs.is_some() && ours != theirs {
                        Kind::Collided
                    } else if live {
                        finding.fields = differences(table, row, &told.row);
                        if finding.fields.is_empty() {
                            continue;
                        }
                        Kind::Regressed
                    } else {
                        Kind::Undeleted
                    }
                }
            };
            found.push((key.clone(), (kind, finding)));
        }
        self.findings.extend(found);
    }

    /// A column's value: the log's where it has one, else the restored one.
    fn value(&self, key: &Key, column: &str) -> Option<String> {
        let told = self.log.get(key).filter(|t| t.live).and_then(|t| t.row.get(column));
        told.or_else(|| self.restored.get(key)?.get(column))?.written()
    }

    /// The order or the ownerless row that the row belongs to.
    fn owner(&self, key: &Key) -> Key {
        let mut at = key.clone();
        while let Some((column, table)) = at.0.spec().owner {
            match self.value(&at, column) {
                Some(owner) => at = (table, owner),
                None => break,
            }
        }
        at
    }

    /// What a reference from this row misses, where it misses something.
    fn missing(&self, from: &Key, &(column, table, target): &Ref) -> Option<Missing> {
        if self.log.get(from).is_some_and(|t| !t.live) {
            return None;
        }
        self.lacking(table, target, &self.value(from, column)?)
    }

    fn lacking(&self, table: Table, target: Option<&str>, value: &str) -> Option<Missing> {
        let is_it = |key: &Key, row: &Row| match target {
            None => key.1 == value,
            Some(column) => row.text(column).as_deref() == Some(value),
        };
        let collided = |key: &Key| self.findings.get(key).is_some_and(|f| f.0 == Kind::Collided);
        let of_table = |k: &&Key| k.0 == table;
        let there = match target {
            None => {
                let key = (table, value.to_owned());
                self.restored.contains_key(&key) && !collided(&key)
            }
            Some(_) => self
                .restored
                .range((table, String::new())..)
                .take_while(|(k, _)| k.0 == table)
                .any(|(k, row)| is_it(k, row) && !collided(k)),
        };
        if there {
            return None;
        }
        let told: Vec<bool> = match target {
            None => self
                .log
                .get(&(table, value.to_owned()))
                .iter()
                .map(|t| t.live)
                .collect(),
            Some(_) => self
                .log
                .iter()
                .filter(|(k, t)| of_table(k) && is_it(k, &t.row))
                .map(|(_, t)| t.live)
                .collect(),
        };
        if !told.is_empty() && told.iter().all(|live| !live) {
            return None;
        }
        Some(Missing {
            entity: table.spec().entity.to_owned(),
            column: target.map(str::to_owned),
            key: value.to_owned(),
        })
    }

    /// The case that would bring a missing row back.
    fn brings_back(&self, missing: &Missing) -> Option<String> {
        let table = Table::ALL.into_iter().find(|t| t.spec().entity == missing.entity)?;
        let key = match &missing.column {
            None => (table, missing.key.clone()),
            Some(column) => {
                let is_it = |t: &Told| t.live && t.row.text(column).as_deref() == Some(&missing.key);
                self.log.iter().find(|(k, t)| k.0 == table && is_it(t))?.0.clone()
            }
        };
        let lost = self.findings.get(&key).is_some_and(|f| f.0 == Kind::Lost);
        lost.then(|| case_id(&self.owner(&key)))
    }

    /// Rows with a finding that a log without the bad change tells otherwise, where that matters.
    fn told_otherwise(&self, without: &Self) -> BTreeSet<(String, String)> {
        let matters = |key: &Key, column: &str| match self.findings.get(key) {
            Some((Kind::Regressed, finding)) => finding.fields.contains_key(column),
            _ => column != "updated_at",
        };
        let rows = self.findings.keys().filter(|key| {
            let (Some(told), then) = (self.log.get(*key), without.log.get(*key)) else {
                return false;
            };
            let live = then.is_some_and(|then| then.live);
            let mut columns = told.row.0.iter().filter(|(column, _)| matters(key, column));
            let differs = columns.any(|(column, value)| then.and_then(|then| then.row.get(column)) != Some(value));
            told.live != live || differs
        });
        rows.map(|key| (key.0.spec().entity.to_owned(), key.1.clone()))
            .collect()
    }

    fn gather(&mut self) {
        let only_there = self.restored.keys().filter(|k| !self.log.contains_key(k));
        let mut family: BTreeMap<String, Vec<Key>> = BTreeMap::new();
        for key in self.log.keys().chain(only_there) {
            let (table, order) = self.owner(key);
            if table == Table::Order {
                family.entry(order).or_default().push(key.clone());
            }
        }
        self.family = family;
    }

    fn rows_of(&self, order: &str) -> &[Key] {
        self.family.get(order).map_or(&[], Vec::as_slice)
    }

    /// Pairs joined by the log of which the restored database has one and lacks the other. Who is back under another key
    /// is there, whose key was reused is not, and what the log deleted is lacking on purpose.
    fn halves(&self) -> Vec<(String, String)> {
        let there = |order: &str| {
            let key = (Table::Order, order.to_owned());
            match self.findings.get(&key).map(|f| f.0) {
                Some(Kind::Moved) => true,
                Some(Kind::Collided) => false,
                _ => self.restored.contains_key(&key),
            }
        };
        let orders = self.log.iter().filter(|(key, told)| key.0 == Table::Order && told.live);
        orders
            .filter_map(|(key, told)| Some((key.1.clone(), told.row.text("superseded_order_id")?)))
            .filter(|(_, old)| self.log.get(&(Table::Order, old.clone())).is_none_or(|told| told.live))
            .filter(|(new, old)| there(new) != there(old))
            .collect()
    }

    fn cases(&self, story: &Story) -> BTreeMap<String, TrueCase> {
        let mut cases: BTreeMap<String, TrueCase> = BTreeMap::new();
        let mut asked: BTreeSet<String> = BTreeSet::new();
        for (key, (kind, finding)) in &self.findings {
            let owner = self.owner(key);
            let case = self.case(&mut cases, &owner);
            let at = (key.0.spec().entity.to_owned(), key.1.clone(), *kind);
            case.findings.insert(at, finding.clone());
            if owner.0 == Table::Order {
                asked.insert(owner.1);
            }
        }
        for (key, row) in self.restored {
            let Some((column, states)) = key.0.spec().state else {
                continue;
            };
            let Some(state) = row.text(column).filter(|s| states.contains(&s.as_str())) else {
                continue;
            };
            let owner = self.owner(key);
            let at = ("order".to_owned(), owner.1.clone(), Kind::InDoubt);
            let finding = self.case(&mut cases, &owner).findings.entry(at).or_default();
            finding.rows.insert(RowState {
                entity: key.0.spec().entity.to_owned(),
                key: key.1.clone(),
                state,
            });
        }
        let is_there = |key: &Key| match self.findings.get(key).map(|(kind, _)| kind) {
            Some(Kind::Collided) => false,
            Some(Kind::Moved) => true,
            _ => self.restored.contains_key(key),
        };
        for (new, told) in self.log.iter().filter(|(key, told)| key.0 == Table::Order && told.live) {
            let Some(old) = told.row.text("superseded_order_id").map(|old| (Table::Order, old)) else {
                continue;
            };
            let deleted = self.log.get(&old).is_some_and(|told| !told.live);
            if !deleted && is_there(new) != is_there(&old) {
                for half in [new, &old] {
                    let at = ("order".to_owned(), half.1.clone(), Kind::HalfSuperseded);
                    self.case(&mut cases, half).findings.entry(at).or_default();
                }
            }
        }
        for order in asked {
            let missing = (self.rows_of(&order).iter())
                .flat_map(|key| key.0.spec().refs.iter().filter_map(|r| self.missing(key, r)))
                .collect();
            self.orphan(&mut cases, &format!("order:{order}"), &order, missing);
        }
        for held in &story.held {
            let id = format!("held:{}", held.label);
            let rows = std::iter::once((Table::Order, &held.order))
                .chain(held.items.iter().map(|item| (Table::OrderItem, item)));
            let missing = rows
                .flat_map(|(table, row)| {
                    let refs = table.spec().refs.iter();
                    refs.filter_map(|r| self.lacking(r.1, r.2, &row.text(r.0)?))
                })
                .collect();
            self.orphan(&mut cases, &id, &held.label, missing);
            if let Some(case) = cases.get_mut(&id) {
                case.label.clone_from(&held.label);
            }
        }
        for (new, old) in self.halves() {
            for (order, other) in [(&new, &old), (&old, &new)] {
                let case = self.case(&mut cases, &(Table::Order, order.clone()));
                let at = ("order".to_owned(), order.clone(), Kind::HalfSuperseded);
                case.findings.entry(at).or_default().other = Some(other.clone());
            }
        }
        let words = outside::Words::of(story);
        for case in cases.values_mut() {
            case.fits = (case.missing.iter().map(|m| (m.clone(), self.fitting(m))))
                .filter(|(_, to)| !to.is_empty())
                .collect();
            if let Some(order) = case.order.clone() {
                case.outside = self.outside(&order, &words);
            }
        }
        cases
    }

    /// Rows that are what the missing one was, under another key.
    fn fitting(&self, missing: &Missing) -> BTreeSet<String> {
        let of_entity = Table::ALL.into_iter().find(|t| t.spec().entity == missing.entity);
        let Some(table) = of_entity.filter(|_| missing.column.is_none()) else {
            // By another column than the key: that column is what it is, and no row has it.
            return BTreeSet::new();
        };
        let lost = self.log.get(&(table, missing.key.clone())).filter(|told| told.live);
        let Some(what) = lost.and_then(|told| identity(table, &told.row)) else {
            return BTreeSet::new();
        };
        let rows = self.restored.iter().filter(|(key, _)| key.0 == table);
        rows.filter(|(key, row)| key.1 != missing.key && identity(table, row).as_ref() == Some(&what))
            .map(|(key, _)| key.1.clone())
            .collect()
    }

    fn orphan(&self, cases: &mut BTreeMap<String, TrueCase>, id: &str, key: &str, missing: BTreeSet<Missing>) {
        if missing.is_empty() {
            return;
        }
        let case = cases.entry(id.to_owned()).or_default();
        let at = ("order".to_owned(), key.to_owned(), Kind::Orphaned);
        case.findings.insert(at, TrueFinding::default());
        case.waits_for = missing
            .iter()
            .filter_map(|m| self.brings_back(m))
            .filter(|c| c != id)
            .collect();
        case.missing = missing;
    }

    fn case<'c>(&self, cases: &'c mut BTreeMap<String, TrueCase>, owner: &Key) -> &'c mut TrueCase {
        cases.entry(case_id(owner)).or_insert_with(|| TrueCase {
            order: (owner.0 == Table::Order).then(|| owner.1.clone()),
            label: self.value(owner, "order_number").unwrap_or_default(),
            ..TrueCase::default()
        })
    }
}

fn case_id(owner: &Key) -> String {
    format!("{}:{}", owner.0.spec().entity, owner.1)
}

/// The fields that the log names and the database holds otherwise.
fn differences(table: Table, restored: &Row, log: &Row) -> BTreeMap<String, (Json, Json)> {
    let compared = log.0.iter().filter(|(name, _)| *name != "updated_at");
    compared
        .filter_map(|(name, theirs)| {
            let ours = restored.get(name).unwrap_or(&Val::Null);
            let same = match (ours.written(), theirs.written()) {
                (Some(a), Some(b)) => normal(name, &a) == normal(name, &b),
                (a, b) => a == b,
            };
            (!same).then(|| {
                let fields = (shown(table, name, ours), shown(table, name, theirs));
                ((*name).to_owned(), fields)
            })
        })
        .collect()
}

//! The preview against the scan: random small incidents, the log really folded up to random moments into a database, and
//! that database scanned.

mod told_again;

use super::{Point, Preview};
use crate::config::{Config, from_text};
use crate::domain::finding::Kind;
use crate::domain::progress::Progress;
use crate::domain::schema::Catalogue;
use crate::domain::{time, value::LogKind};
use crate::log::{Folded, LogInput, Wants, read};
use crate::restored::Restored as _;
use crate::restored::sqlite::Sqlite;
use crate::scan::{Past, run};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const TABLES: &str = "
    create table orders (id bigint primary key, external_id varchar(40), status text, amount numeric(12,2),
        changed timestamptz, prior_order_id bigint, updated_at timestamptz);
    create table order_items (id bigint primary key, order_id bigint, action text, inventory_item_id bigint,
        asset_ref varchar(40));
    create table plans (id bigint primary key, order_id bigint, state text);
    create table plan_items (id bigint primary key, plan_id bigint, state text);
    create table inventory_items (id bigint primary key, order_id bigint, state text);
    create table assets (id bigint primary key, reference_id varchar(40), name text);
";

const SCHEMA: &str = r#"
[incident]
id = "test"
[incident.bad]
transaction = ["bad"]
[restored]
url = "sqlite:restored.db"
[[log]]
name = "cdc"
source = "file"
path = "log*.ndjson"
format = "native"
order = "position"
[schema.order]
table = "orders"
key = "id"
identity = ["external_id"]
ignore = ["updated_at"]
refs = { prior_order_id = "order" }
[schema.order_item]
table = "order_items"
key = "id"
owner = "order_id"
refs = { inventory_item_id = "inventory_item", asset_ref = "asset.reference_id" }
[schema.plan]
table = "plans"
key = "id"
owner = "order_id"
state = "state"
in_progress = ["Running"]
[schema.plan_item]
table = "plan_items"
key = "id"
owner = { plan_id = "plan" }
state = "state"
in_progress = ["Running", "Ready"]
[schema.inventory_item]
table = "inventory_items"
key = "id"
owner = "order_id"
[schema.asset]
table = "assets"
key = "id"
"#;

const START: i64 = 1_795_356_000_000_000;

/// Columns and the values that they take.
type Columns = &'static [(&'static str, &'static [&'static str])];

/// For each entity its columns and the values that they take; the first is the owner or what identifies the row.
const ENTITIES: [(&str, Columns); 6] = [
    (
        "order",
        &[
            ("external_id", &["\"SF-1\"", "\"SF-2\"", "\"SF-3\"", "\"SF-4\"", "null"]),
            ("status", &["\"New\"", "\"Done\"", "\"Open\""]),
            ("amount", &["1.5", "\"1.50\"", "2", "null"]),
            (
                "changed",
                &[
                    "\"2026-11-22T14:00:00Z\"",
                    "\"2026-11-22T15:00:00+01:00\"",
                    "\"2026-11-22T14:00:01Z\"",
                ],
            ),
            ("prior_order_id", &["1", "2", "\"3\"", "null"]),
            ("updated_at", &["\"2026-11-22T14:00:00Z\"", "\"2026-11-22T14:00:01Z\""]),
        ],
    ),
    (
        "order_item",
        &[
            ("order_id", &["1", "2", "3", "9"]),
            ("action", &["\"New\"", "\"Change\""]),
            ("inventory_item_id", &["1", "2", "3", "null"]),
            ("asset_ref", &["\"A-1\"", "\"A-2\"", "null"]),
        ],
    ),
    (
        "plan",
        &[
            ("order_id", &["1", "2", "3"]),
            ("state", &["\"Running\"", "\"Completed\"", "\"Pending\""]),
        ],
    ),
    (
        "plan_item",
        &[
            ("plan_id", &["1", "2", "3"]),
            ("state", &["\"Running\"", "\"Ready\"", "\"Completed\""]),
        ],
    ),
    (
        "inventory_item",
        &[("order_id", &["1", "2", "3"]), ("state", &["\"Active\"", "\"Gone\""])],
    ),
    (
        "asset",
        &[
            ("reference_id", &["\"A-1\"", "\"A-2\"", "null"]),
            ("name", &["\"x\"", "\"y\""]),
        ],
    ),
];

/// One thing that happens: to which row, what, and with which values.
#[derive(Debug, Clone)]
struct Step {
    entity: usize,
    key: u8,
    delete: bool,
    /// Which columns an update carries, and which value each has.
    carries: u8,
    values: [u8; 6],
    seconds: u8,
    bad: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (
        prop_oneof![4 => Just(0_usize), 2 => Just(1), 2 => Just(2), 1 => Just(3), 2 => Just(4), 2 => Just(5)],
        1..4_u8,
        prop::bool::weighted(0.2),
        prop_oneof![any::<u8>(), Just(255)],
        any::<[u8; 6]>(),
        0..3_u8,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(entity, key, delete, carries, values, seconds, bad)| Step {
            entity,
            key,
            delete,
            carries,
            values,
            seconds,
            bad,
        })
}

/// How the log comes.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Lines are shuffled within such distances.
    shuffle: usize,
    /// Every so many events one tells a time that is some seconds off.
    crooked: usize,
    /// Cut into so many files.
    files: usize,
    /// Rows that the log first names with an upsert: keys from here on.
    hidden: u8,
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        prop_oneof![Just(0_usize), Just(3), Just(40)],
        prop_oneof![2 => Just(0_usize), 1 => Just(4)],
        1..4_usize,
        prop_oneof![2 => Just(4_u8), 1 => Just(3)],
    )
        .prop_map(|(shuffle, crooked, files, hidden)| Shape {
            shuffle,
            crooked,
            files,
            hidden,
        })
}

struct World {
    folder: tempfile::TempDir,
    config: Config,
    lines: Vec<(i64, String)>,
}

impl World {
    fn new(steps: &[Step], shape: Shape) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = from_text(SCHEMA, "restitch.toml", folder.path()).unwrap();
        rusqlite::Connection::open(folder.path().join("empty.db"))
            .unwrap()
            .execute_batch(&format!("pragma synchronous = off; begin; {TABLES} commit;"))
            .unwrap();
        let mut lines = Vec::new();
        let mut rows: BTreeMap<(usize, u8), bool> = BTreeMap::new();
        let mut owners: BTreeMap<(usize, u8), u8> = BTreeMap::new();
        let mut now = START;
        for (n, step) in steps.iter().enumerate() {
            now += i64::from(step.seconds) * 1_000_000;
            let id = (step.entity, step.key);
            let exists = rows.get(&id).copied();
            let op = match exists {
                Some(true) if step.delete => "delete",
                Some(true) => "upsert",
                None if step.key >= shape.hidden && step.delete => "delete",
                None if step.key >= shape.hidden => "upsert",
                _ => "insert",
            };
            rows.insert(id, op != "delete");
            let columns = ENTITIES[step.entity].1;
            let mut state = Map::new();
            for (at, (name, values)) in columns.iter().enumerate() {
                let whole = exists != Some(true);
                if whole || step.carries >> at & 1 == 1 {
                    // A row never changes its owner.
                    let value = if at == 0 && !matches!(step.entity, 0 | 5) {
                        *owners.entry(id).or_insert(step.values[0])
                    } else {
                        step.values[at]
                    };
                    let value = values[usize::from(value) % values.len()];
                    state.insert((*name).to_owned(), serde_json::from_str(value).unwrap());
                }
            }
            // What never stood in any state is not shown by the log: of assets, which are referred to by a value, that would
            // be hard to tell here.
            let crooked = shape.crooked > 0 && n % shape.crooked == 1 && ENTITIES[step.entity].0 != "asset";
            let at = if crooked { now - 2_500_000 } else { now };
            // What was deleted and was never shown before says what it was.
            let state = if op == "delete" && exists.is_some() {
                Json::Null
            } else {
                Json::Object(state)
            };
            let event = json!({
                "pos": n, "ts": time::format(at), "entity": ENTITIES[step.entity].0, "key": step.key,
                "op": op, "tx": if step.bad { "bad" } else { "good" }, "state": state,
            });
            lines.push((at, event.to_string()));
        }
        Self { folder, config, lines }
    }

    fn catalogue(&self) -> Catalogue {
        let mut empty = Sqlite::open(&self.folder.path().join("empty.db")).unwrap();
        wait(empty.catalogue(&self.config.schema)).unwrap()
    }

    /// Writes these lines as the log, in some files.
    fn write(&self, lines: &[&String], files: usize) {
        for old in glob::glob(&format!("{}/log*.ndjson", self.folder.path().display())).unwrap() {
            std::fs::remove_file(old.unwrap()).unwrap();
        }
        let size = lines.len().div_ceil(files).max(1);
        for (n, part) in lines.chunks(size).enumerate() {
            let text = part.iter().fold(String::new(), |mut text, line| {
                writeln!(text, "{line}").unwrap();
                text
            });
            std::fs::write(self.folder.path().join(format!("log{n}.ndjson")), text).unwrap();
        }
    }

    fn write_all(&self, shape: Shape) {
        let mut lines: Vec<&String> = self.lines.iter().map(|(_, line)| line).collect();
        if shape.shuffle > 0 {
            for chunk in lines.chunks_mut(shape.shuffle) {
                chunk.reverse();
            }
        }
        self.write(&lines, shape.files);
    }

    fn fold(&self, catalogue: &Catalogue, history: bool) -> Folded {
        let input = LogInput {
            logs: &self.config.logs,
            schema: &self.config.schema,
            catalogue,
            reject_limit: 0.0,
            wants: Wants {
                without: self.config.incident.bad.as_ref(),
                as_at: None,
                history,
            },
        };
        read(&input, &Progress::default()).unwrap_or_else(|e| panic!("{}", e.error))
    }

    /// The database that a restore to `t` would give; rows that the log shows only later are in it otherwise.
    fn restore(&self, t: i64, all: &Folded, catalogue: &Catalogue, path: &Path) {
        let _ = std::fs::remove_file(path);
        let db = rusqlite::Connection::open(path).unwrap();
        db.execute_batch(&format!("pragma synchronous = off; begin; {TABLES}"))
            .unwrap();
        let until: Vec<&String> = self.lines.iter().filter(|(at, _)| *at <= t).map(|(_, l)| l).collect();
        self.write(&until, 1);
        let then = (!until.is_empty()).then(|| self.fold(catalogue, false));
        for (entity, table) in catalogue.tables.iter().enumerate() {
            let insert = |key: &str, fields: Vec<(String, Option<String>)>| {
                let names: String = fields
                    .iter()
                    .fold(String::new(), |all, (name, _)| format!("{all}, {name}"));
                let marks = fields.iter().fold(String::new(), |all, _| format!("{all}, ?"));
                let sql = format!("insert into {} (id{names}) values (?{marks})", table.name);
                let mut values: Vec<Option<String>> = vec![Some(key.to_owned())];
                values.extend(fields.into_iter().map(|(_, value)| value));
                db.execute(&sql, rusqlite::params_from_iter(values)).unwrap();
            };
            let field = |(column, value): (u16, crate::domain::value::LogValue<'_>)| {
                let null = value.kind == LogKind::Null;
                let name = table.columns[usize::from(column)].name.clone();
                (name, (!null).then(|| value.text.into_owned()))
            };
            for row in then
                .iter()
                .flat_map(|then| then.rows(entity))
                .filter(|row| row.exists())
            {
                insert(row.key(), row.fields().map(|(c, v, _)| field((c, v))).collect());
            }
            // What the log never names, it does not show; here it is simply there.
            let said = |text: &str| self.lines.iter().any(|(_, line)| line.contains(text));
            if ENTITIES[entity].0 == "asset" {
                for name in ["A-1", "A-2"] {
                    if !said(&format!("\"reference_id\":\"{name}\"")) {
                        insert(
                            &format!("10{}", &name[2..]),
                            vec![("reference_id".to_owned(), Some(name.to_owned()))],
                        );
                    }
                }
            } else {
                for key in ["1", "2", "3"].into_iter().filter(|key| all.get(entity, key).is_none()) {
                    insert(key, Vec::new());
                }
            }
            for row in all.rows(entity) {
                if then.as_ref().is_some_and(|then| then.get(entity, row.key()).is_some()) {
                    continue;
                }
                let first = self.first(ENTITIES[entity].0, row.key());
                if first["op"] != "insert" {
                    let kept = |name: &str| matches!(name, "order_id" | "plan_id");
                    let mut fields: Vec<_> = row
                        .fields()
                        .map(|(c, v, _)| field((c, v)))
                        .filter(|f| kept(&f.0))
                        .collect();
                    let other = ["status", "action", "state", "name"]
                        .iter()
                        .find(|c| table.column(c).is_some());
                    fields.push(((*other.unwrap()).to_owned(), Some("otherwise".to_owned())));
                    let reference = first["state"]["reference_id"].as_str();
                    fields.extend(reference.map(|name| ("reference_id".to_owned(), Some(name.to_owned()))));
                    insert(row.key(), fields);
                }
            }
        }
        db.execute_batch("commit").unwrap();
    }

    /// The first event of the row, by its time.
    fn first(&self, entity: &str, key: &str) -> Json {
        let events = self
            .lines
            .iter()
            .map(|(at, line)| (at, serde_json::from_str::<Json>(line).unwrap()));
        let of_row = |(_, event): &(&i64, Json)| event["entity"] == entity && event["key"].to_string().as_str() == key;
        events.filter(of_row).min_by_key(|(at, _)| **at).unwrap().1
    }
}

/// What the scan finds in that database.
fn scanned(config: &Config, t: i64, path: &Path) -> Point {
    let mut restored = Sqlite::open(path).unwrap();
    let outcome = wait(run(config, &mut restored, &Past::default(), &Progress::default())).unwrap();
    let orders = |holds: &dyn Fn(Kind) -> bool| {
        let cases = outcome.cases.iter().filter(|case| case.order.is_some());
        cases.filter(|case| case.findings.iter().any(|f| holds(f.kind))).count() as u64
    };
    Point {
        at: t,
        orders: orders(&|kind| Kind::ROW.contains(&kind)),
        lost: orders(&|kind| kind == Kind::Lost),
        regressed: orders(&|kind| kind == Kind::Regressed),
        undeleted: orders(&|kind| kind == Kind::Undeleted),
        in_doubt: orders(&|kind| kind == Kind::InDoubt),
        orphaned: orders(&|kind| kind == Kind::Orphaned),
        ..Point::default()
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_preview_of_any_moment_is_what_a_scan_after_such_a_restore_finds(
        steps in prop::collection::vec(step(), 1..40),
        shape in shape(),
        moments in prop::collection::vec(-3..60_i64, 4),
    ) {
        let world = World::new(&steps, shape);
        let catalogue = world.catalogue();
        world.write_all(shape);
        let folded = world.fold(&catalogue, true);
        let preview = Preview::build(&world.config.schema, &catalogue, &folded);
        prop_assert_eq!(preview.buckets().iter().map(|b| b.events).sum::<u64>(), steps.len() as u64);
        let path = world.folder.path().join("restored.db");
        for seconds in moments {
            let t = START + seconds * 500_000;
            world.restore(t, &folded, &catalogue, &path);
            world.write_all(shape);
            let found = scanned(&world.config, t, &path);
            let told = preview.at(t);
            let told = Point { bad_left: 0, bad_rows: 0, not_shown: 0, ..told };
            prop_assert_eq!(told, found, "at {} of {:#?}", time::format(t), world.lines);
        }
    }
}

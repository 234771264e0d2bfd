//! The night around the scan: the gate before it, the opening and what traffic does after it.

use crate::formats::{self, Format, rfc3339};
use crate::world::{DB, World, restitch};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What the batch job that the restore undoes did, as the traffic has it.
pub const BAD: &str = "[incident.bad]\nentity = \"order\"\nwhere = { status = \"Accepted\" }\n";

/// A folder with a configuration and, where a format is named, its log.
pub struct Folder(tempfile::TempDir);

pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }

    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

impl Folder {
    /// The wal2json log against the database at this URL; `more` goes into `[incident]`.
    pub fn new(world: &World, url: &str, logs: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Format::Wal2json.log(&crate::capture::events(world), &world.wal2json);
        log.write(&folder.path().join("log"));
        let config =
            formats::config(logs, url, &world.restored_to).replacen("[restored]", &format!("{more}[restored]"), 1);
        std::fs::write(folder.path().join("restitch.toml"), config).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        let out = restitch(self.path()).args(args).output().unwrap();
        Ran {
            code: out.status.code().unwrap(),
            out: String::from_utf8(out.stdout).unwrap(),
            err: String::from_utf8(out.stderr).unwrap(),
        }
    }
}

/// The names of the red checks.
fn red(gate: &Value) -> Vec<String> {
    let checks = gate["checks"].as_array().unwrap();
    let red = checks.iter().filter(|c| c["light"] == "red");
    red.map(|c| c["check"].as_str().unwrap().to_owned()).collect()
}

/// A restore to a point after the bad change is red, and preview says what it would leave; a red gate stops the scan. The
/// old instance is told by its address where it is named as a log.
pub fn gate(world: &World) {
    let events = formats::events(Format::Wal2json);
    let late = Folder::new(world, &world.late.url(DB), &events, BAD);
    let gate = late.run(&["gate", "--json"]).ended(3).json();
    assert_eq!(gate["light"], "red", "{gate:#}");
    let stopped = late.run(&["scan", "--json"]).ended(4);
    assert!(stopped.err.contains("the gate is red"), "{}", stopped.err);
    let after_all = rfc3339(&world.after_all);
    let preview = late.run(&["preview", "--json", "--at", &after_all]).ended(0).json();
    let left = preview["points"][0]["bad_left"].as_u64().unwrap();
    assert!(left > 0, "{:#}", preview["points"]);
    // What the bad change did after T is gone after a restore to T: only what it did before is left.
    let preview = late.run(&["preview", "--json"]).ended(0).json();
    assert!(
        preview["points"][0]["bad_left"].as_u64().unwrap() < left,
        "{:#}",
        preview["points"]
    );

    let both = format!("{events}\n{}", formats::instance(&world.live.url(DB)));
    let itself = Folder::new(world, &world.live.url(DB), &both, "");
    let gate = itself.run(&["gate", "--json"]).ended(3).json();
    assert!(red(&gate).iter().any(|check| check == "address"), "{gate:#}");
    let right = Folder::new(world, &world.back.url(DB), &both, "");
    let gate = right.run(&["gate", "--json"]).json();
    assert_eq!(red(&gate), [""; 0], "{gate:#}");
}

/// For what the log shows, preview at T counts the orders that a scan after a restore to T finds.
pub fn preview(world: &World) {
    let folder = Folder::new(world, &world.untouched.url(DB), &formats::events(Format::Wal2json), "");
    let shown = shown(world);
    let lines: Vec<String> = world
        .wal2json
        .iter()
        .filter(|line| crate::capture::event(line).is_none_or(|e| shown.contains(&id_of(&e))))
        .cloned()
        .collect();
    std::fs::remove_dir_all(folder.path().join("log")).unwrap();
    std::fs::create_dir(folder.path().join("log")).unwrap();
    std::fs::write(folder.path().join("log/all.ndjson"), lines.join("\n") + "\n").unwrap();

    // What is missing shows only where the log names the row that it was.
    let mut values: BTreeSet<(String, String, String)> = BTreeSet::new();
    for event in crate::capture::events(world)
        .iter()
        .filter(|e| shown.contains(&id_of(e)))
    {
        let entity = id_of(event).0;
        let columns = event.columns.iter();
        values.extend(columns.map(|(name, value)| (entity.clone(), name.clone(), crate::capture::plain(value))));
    }
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let named = |missing: &Value| {
        let (entity, key) = (text(&missing["entity"]), text(&missing["key"]));
        match missing["column"].as_str() {
            Some(column) => values.contains(&(entity, column.to_owned(), key)),
            None => shown.contains(&(entity, key)),
        }
    };

    let preview = folder.run(&["preview", "--json"]).ended(0).json();
    let point = &preview["points"][0];
    folder
        .run(&["scan", "--json", "--despite-gate", "the log is in pieces"])
        .ended(3);
    let mut so: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for case in folder.run(&["cases", "--json"]).ended(0).lines() {
        let Some(order) = case["order"].as_str() else { continue };
        for finding in case["findings"].as_array().unwrap() {
            let kind = finding["kind"].as_str().unwrap();
            // Preview does not count these.
            if kind == "half_superseded" {
                continue;
            }
            if !["in_doubt", "orphaned"].contains(&kind) {
                so.entry("orders").or_default().insert(order.to_owned());
            }
            let counted = ["lost", "regressed", "undeleted", "in_doubt", "orphaned"];
            let Some(name) = counted.into_iter().find(|k| *k == kind) else {
                continue;
            };
            let rows = finding["rows"].as_array().into_iter().flatten();
            let known = rows.filter(|row| {
                let id = (
                    row["entity"].as_str().unwrap().to_owned(),
                    row["key"].as_str().unwrap().to_owned(),
                );
                shown.contains(&id)
            });
            if name == "in_doubt" && known.count() == 0 {
                continue;
            }
            if name == "orphaned" && !case["missing"].as_array().unwrap().iter().any(&named) {
                continue;
            }
            so.entry(name).or_default().insert(order.to_owned());
        }
    }
    for (name, orders) in &so {
        assert_eq!(
            point[name],
            orders.len(),
            "{name}: {orders:?}\n{point:#}\n{:#}",
            preview["warnings"]
        );
    }
    assert!(so.len() == 6, "{:?}", so.keys());
}

/// The rows that the log tells of from their beginning on. Of one that got another key it does not show whether there was
/// a row under that key before.
fn shown(world: &World) -> BTreeSet<(String, String)> {
    let mut seen = BTreeSet::new();
    let mut shown = BTreeSet::new();
    let mut moved = BTreeSet::new();
    for event in crate::capture::events(world).iter().filter(|e| e.action != 'T') {
        let id = id_of(event);
        if let Some(old) = &event.old_key {
            moved.insert((id.0.clone(), crate::capture::key_text(&event.table, old)));
            moved.insert(id.clone());
        }
        if seen.insert(id.clone()) && event.action == 'I' {
            shown.insert(id);
        }
    }
    // Truncated before it was ever logged: what was there is not shown.
    shown.retain(|id| id.0 != "system_instance" && !moved.contains(id));
    // An earlier version of this offer was there before the log began, and answers to its code.
    assert!(shown.remove(&("catalog".to_owned(), "C%2F1/2".to_owned())));
    shown
}

fn id_of(event: &crate::capture::Event) -> (String, String) {
    let (entity, _) = crate::capture::entity_of(&event.table).unwrap();
    if event.action == 'T' {
        return (entity.to_owned(), String::new());
    }
    (entity.to_owned(), crate::capture::key_text(&event.table, &event.key))
}

/// A log that ends two minutes before the stop: what changed since is not known, said with the time from which on.
pub fn coverage(world: &World) {
    let ended: jiff::Timestamp = rfc3339(&world.after_all).parse().unwrap();
    let stop = format!("stopped_at = \"{}\"\n", ended + jiff::SignedDuration::from_mins(2));
    let events = formats::events(Format::Wal2json);
    let folder = Folder::new(world, &world.back.url(DB), &events, &stop);
    let report = folder.run(&["scan", "--json"]).ended(3).json();
    let coverage = report["coverage"].as_array().unwrap();
    assert!(coverage.iter().all(|c| c["known"] != true), "{coverage:#?}");
    assert_eq!(report["not_known"]["after"], report["log"]["last"], "{report:#}");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("not known"), "{warnings}");
    // The instance itself tells of all until it was read.
    let both = format!("{events}\n{}", formats::instance(&world.live.url(DB)));
    let folder = Folder::new(world, &world.back.url(DB), &both, "");
    let report = folder.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(report["not_known"], json!({}), "{report:#}");
}

/// What comes after the first scan: new orders, and orders that go on; one of them was alike on both sides.
const AFTER_THE_OPENING: &str = "
    insert into om.orders (n, external_id, status) select n, 'SFM-' || n, 'New' from generate_series(5001, 5010) n;
    insert into om.plans (order_id, state) select id, 'Running' from om.orders where n between 5001 and 5010;
    update om.plans set state = 'Completed' where state = 'Running' and order_id in (select id from om.orders where n = 16);
    update om.plan_items set state = 'Completed' where plan_id in
      (select p.id from om.plans p join om.orders o on o.id = p.order_id where o.n in (2, 14, 16));
    update om.orders set status = 'Went on turn' where n in (61, 62, 63, 45 + turn);
    delete from om.order_items where order_id in (select id from om.orders where n = 64);";

/// Traffic that starts after the first scan opens no case and disproves nothing.
pub fn opening(world: &World) {
    let logs = [
        formats::events(Format::Wal2json),
        formats::instance(&world.live.url(DB)),
    ];
    for (turn, logs) in logs.iter().enumerate() {
        let folder = Folder::new(world, &world.back.url(DB), logs, "");
        let first = folder.run(&["scan", "--json"]).ended(3).json();
        let cases = folder.run(&["cases", "--json"]).ended(0).lines();
        let in_doubt: Vec<&str> = cases
            .iter()
            .filter(|c| c["kinds"] == json!(["in_doubt"]))
            .map(|c| c["case"].as_str().unwrap())
            .take(5)
            .collect();
        assert_eq!(in_doubt.len(), 5);
        for case in &in_doubt {
            folder.run(&["claim", case]).ended(0);
            folder
                .run(&["resolve", case, "keep", "--reason", "checked outside"])
                .ended(0);
        }
        let traffic = AFTER_THE_OPENING.replace("turn", &turn.to_string());
        world.back.psql(DB, &traffic);
        let second = folder.run(&["scan", "--json"]).ended(3).json();
        assert_eq!(second["cases"]["opened"], 0, "{second:#}");
        assert_eq!(second["cases"]["total"], first["cases"]["total"]);
        let moved: u64 = second["since_opening"]
            .as_object()
            .unwrap()
            .values()
            .map(|n| n.as_u64().unwrap())
            .sum();
        // A log of events names the rows that traffic moved; to a whole one they are none of the log's.
        assert!(moved > 0 || turn == 1, "{second:#}");
        let states: BTreeMap<String, Value> = folder
            .run(&["cases", "--json"])
            .ended(0)
            .lines()
            .into_iter()
            .map(|c| (c["case"].as_str().unwrap().to_owned(), c["state"].clone()))
            .collect();
        for case in &in_doubt {
            assert_eq!(states[*case], "proven", "{case}");
        }
        folder.run(&["prove", "--json"]);
        assert!(states.values().all(|state| state != "disproven"));
    }
}

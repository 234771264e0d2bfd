//! The gate, what came back, and the proposed schema, on a real server.

use crate::night::Night;
use crate::support::pg;
use serde_json::Value as Json;
use std::fmt::Write as _;

const SQL: &str = "
    create table orders (id bigint primary key, external_id text unique, status text, updated_at timestamptz);
    create table order_items (id bigint primary key, order_id bigint references orders, note text);
    create table metadata (code text primary key, value text);
    create table system_instance (id bigint primary key, name text, state text);
    create table leftover (id bigint primary key);
    insert into orders select n, 'SFO-' || n, 'Created', '2026-11-22 14:00Z' from generate_series(1, 20) n;
    insert into metadata values ('TARIFF', 'old');
    insert into system_instance values (7, 'MAIL', 'UP');
";

const SCHEMA: &str = "
[schema.order]
table = \"orders\"
key = \"id\"
label = \"external_id\"
identity = [\"external_id\"]
ignore = [\"updated_at\"]
state = \"status\"
[schema.metadata]
table = \"metadata\"
key = \"code\"
[schema.system_instance]
table = \"system_instance\"
key = \"id\"
label = \"name\"
state = \"state\"
";

/// Before T: orders 1 to 20 made. After T: order n moves on in minute n, and orders 21 to 30 are made.
fn log() -> String {
    let mut log = String::new();
    let mut pos = 0;
    let mut event = |ts: &str, entity: &str, key: &str, op: &str, state: &str| {
        pos += 1;
        writeln!(
            log,
            r#"{{"pos":{pos},"ts":"{ts}","entity":"{entity}","key":"{key}","op":"{op}","state":{state}}}"#
        )
        .unwrap();
    };
    for n in 1..=20 {
        let state = format!(r#"{{"external_id":"SFO-{n}","status":"Created"}}"#);
        event("2026-11-22T14:00:00Z", "order", &n.to_string(), "insert", &state);
    }
    for n in 1..=20 {
        let ts = format!("2026-11-22T14:{:02}:00Z", 5 + n);
        event(&ts, "order", &n.to_string(), "upsert", r#"{"status":"Activated"}"#);
    }
    for n in 21..=30 {
        let state = format!(r#"{{"external_id":"SFO-{n}","status":"Created"}}"#);
        event("2026-11-22T14:26:00Z", "order", &n.to_string(), "insert", &state);
    }
    event("2026-11-22T14:27:00Z", "metadata", "TARIFF", "delete", "null");
    event(
        "2026-11-22T14:28:00Z",
        "system_instance",
        "7",
        "upsert",
        r#"{"state":"DOWN"}"#,
    );
    log
}

struct World {
    night: Night,
    db: String,
}

impl World {
    fn new(more: &str) -> Self {
        let night = Night::new();
        let db = pg().create_db();
        pg().psql(&db, SQL);
        let world = Self { night, db };
        world.configure(more);
        world.night.write("log.ndjson", log());
        world
    }

    fn configure(&self, more: &str) {
        let url = pg().url(&self.db);
        let config = format!(
            "[incident]\nid = \"night\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n\n[restored]\nurl = \"{url}\"\n\
             sslmode = \"disable\"\n\n[[log]]\nname = \"cdc\"\npath = \"log.ndjson\"\nformat = \"native\"\n\n{SCHEMA}\n{more}"
        );
        self.night.write("restitch.toml", config);
    }

    fn old(&self, db: &str) -> String {
        let _ = self;
        let url = pg().url(db);
        format!("[[log]]\nname = \"before\"\nsource = \"database\"\nurl = \"{url}\"\nsslmode = \"disable\"\n")
    }

    fn sql(&self, sql: &str) {
        pg().psql(&self.db, sql);
    }

    /// The gate, which must end so.
    #[track_caller]
    fn gate(&self, code: i32) -> Json {
        self.night.run(&["gate", "--json"]).ended(code).json()
    }
}

#[track_caller]
fn check<'g>(gate: &'g Json, name: &str) -> (&'g str, &'g str) {
    let checks = gate["checks"].as_array().unwrap();
    let found = checks.iter().find(|c| c["check"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {gate:#}"));
    (found["light"].as_str().unwrap(), found["what"].as_str().unwrap())
}

#[test]
fn the_restored_database_is_green_and_says_what_that_does_not_mean() {
    let world = World::new("");
    let gate = world.gate(0);
    assert_eq!(gate["light"], "green", "{gate:#}");
    assert_eq!(
        check(&gate, "rows"),
        ("green", "30 rows that the log changes after T stand as at T")
    );
    assert_eq!(check(&gate, "counts").0, "green");
    assert_eq!(check(&gate, "traffic").0, "green");
    // A server that never recovered, without an old instance to compare with.
    for name in ["address", "timeline", "point"] {
        assert_eq!(check(&gate, name).0, "cannot_tell", "{gate:#}");
    }
    assert!(gate["means"].as_str().unwrap().contains("the world has moved on"));
    let phases = world.night.run(&["audit", "list", "--json"]).ended(0);
    assert!(phases.out.contains("gate done: green"), "{}", phases.out);
}

#[test]
fn a_database_at_a_later_point_is_red_and_stops_the_scan() {
    let world = World::new("");
    world.sql("update orders set status = 'Activated' where id <= 8");
    let gate = world.gate(3);
    let (light, what) = check(&gate, "rows");
    assert_eq!(light, "red", "{what}");
    assert!(
        what.contains("8 rows stand as the log commits them after T, like order 1"),
        "{what}"
    );
    assert!(
        what.contains("after 2026-11-22T14:13:00Z and before 2026-11-22T14:14:00Z"),
        "{what}"
    );
    world
        .night
        .run(&["scan"])
        .ended(4)
        .says(&["the gate is red: rows", "--despite-gate"]);
    world.night.run(&["cases", "--json"]).ended(0);
    assert_eq!(world.night.run(&["cases", "--json"]).out, "", "nothing was taken in");
    world.night.run(&["scan", "--despite-gate", ""]).ended(2);
    world
        .night
        .run(&["scan", "--despite-gate", "the lead looks at it"])
        .ended(3);
    let trail = world.night.run(&["audit", "list", "--json"]).ended(0).lines();
    let phases: Vec<&str> = trail
        .iter()
        .filter(|l| l["action"] == "phase")
        .map(|l| l["why"].as_str().unwrap())
        .collect();
    assert_eq!(phases.len(), 2, "{phases:?}");
    assert!(phases[0].starts_with("gate failed: RED: rows"), "{phases:?}");
    assert!(phases[1].contains("despite it: the lead looks at it"), "{phases:?}");
    // A wrong database stays wrong after it was scanned; the right one is right again.
    assert_eq!(check(&world.gate(3), "rows").0, "red");
    world.sql("update orders set status = 'Created'");
    assert_eq!(check(&world.gate(0), "rows").0, "green");
}

#[test]
fn traffic_that_takes_the_same_steps_again_is_never_red() {
    let world = World::new("");
    world.sql(
        "update orders set status = 'Activated' where id in (5, 9);
         insert into orders values (31, 'SFO-NEW', 'Created', now());",
    );
    let gate = world.gate(0);
    let (light, what) = check(&gate, "rows");
    assert_eq!(light, "green");
    assert!(what.ends_with("2 moved on like in the log: traffic"), "{what}");
    let (light, what) = check(&gate, "traffic");
    assert_eq!(light, "green");
    assert!(
        what.contains("rows newer than T that the log does not know: order 1"),
        "{what}"
    );
    world.sql("delete from orders where id = 12");
    assert_eq!(
        check(&world.gate(0), "counts").0,
        "cannot_tell",
        "traffic may explain it"
    );
    world.night.run(&["scan"]).ended(3);
    // After the opening rows have moved: that all stand later proves nothing.
    world.sql("update orders set status = 'Activated'");
    let gate = world.gate(3);
    let (light, what) = check(&gate, "rows");
    assert_eq!(light, "cannot_tell");
    assert!(what.ends_with("this proves nothing now"), "{what}");
    world.night.run(&["scan"]).ended(3);
}

#[test]
fn counts_that_nothing_explains_keep_it_from_green() {
    let world = World::new("");
    world.sql("delete from orders where id = 12");
    let gate = world.gate(3);
    assert_eq!(gate["light"], "cannot_tell");
    let (light, what) = check(&gate, "counts");
    assert_eq!(light, "cannot_tell");
    assert!(what.contains("order 19 of 20"), "{what}");
    world.night.run(&["scan"]).ended(3);
}

#[test]
fn address_port_and_timeline_of_the_old_instance_are_red() {
    let world = World::new("");
    world.configure(&world.old(&world.db));
    let gate = world.gate(3);
    let (light, what) = check(&gate, "address");
    assert_eq!(light, "red", "{what}");
    assert!(
        what.starts_with("this is the old instance: address, port and timeline are its own"),
        "{what}"
    );
    assert_eq!(check(&gate, "timeline").0, "red");
    // Another database of the same server may be a copy: nothing is proven.
    let other = pg().create_db();
    pg().psql(&other, SQL);
    world.configure(&world.old(&other));
    assert_eq!(check(&world.gate(3), "address").0, "cannot_tell");
    world.configure(&world.old("nowhere"));
    let gate = world.gate(3);
    assert_eq!(check(&gate, "address").0, "cannot_tell");
    assert!(check(&gate, "address").1.contains("cannot be asked"), "{gate:#}");
}

#[test]
fn the_sites_own_checks_are_red_when_false_and_open_when_they_cannot_be_asked() {
    let site = |sql: &str| format!("[gate]\nchecks = [{{ name = \"own\", sql = \"{sql}\" }}]\n");
    let world = World::new("");
    for (sql, light, code, words) in [
        ("select count(*) = 20 from orders", "green", 0, "holds"),
        ("select count(*) > 20 from orders", "red", 3, "does not hold"),
        ("select 1", "cannot_tell", 3, "not a boolean"),
        ("select null::boolean", "cannot_tell", 3, "null"),
        ("select true from orders", "cannot_tell", 3, "20 rows"),
        ("select true, true", "cannot_tell", 3, "more than one column"),
        ("select nothing", "cannot_tell", 3, "does not exist"),
        ("select true; select true", "cannot_tell", 3, "multiple commands"),
        ("delete from orders returning true", "cannot_tell", 3, "read-only"),
    ] {
        world.configure(&site(sql));
        let gate = world.gate(code);
        let (is, what) = check(&gate, "site: own");
        assert_eq!(is, light, "{sql}: {what}");
        assert!(what.contains(words), "{sql}: {what}");
    }
    assert_eq!(pg().psql(&world.db, "select count(*) from orders"), "20");
    world.configure(&site("select false"));
    world
        .night
        .run(&["scan"])
        .ended(4)
        .says(&["the gate is red: site: own: does not hold"]);
}

#[test]
fn what_cannot_be_read_stops_nothing() {
    let world = World::new("");
    std::fs::remove_file(world.night.path("log.ndjson")).unwrap();
    let gate = world.gate(3);
    assert_eq!(gate["light"], "cannot_tell");
    assert_eq!(check(&gate, "rows").0, "cannot_tell");
    let look = world.night.run(&["gate", "--readonly", "--json"]);
    assert_eq!(look.json()["light"], "cannot_tell");
}

#[test]
fn what_came_back_is_one_list_with_cures() {
    let world = World::new("");
    let report = world.night.run(&["scan", "--json"]).ended(3).json();
    let back = report["came_back"].as_array().unwrap();
    let of = |kind: &str| -> Vec<&Json> { back.iter().filter(|b| b["kind"] == kind).collect() };
    assert!(
        of("undeleted")[0]["what"]
            .as_str()
            .unwrap()
            .starts_with("metadata TARIFF is back"),
        "{back:#?}"
    );
    assert!(
        of("system")[0]["what"]
            .as_str()
            .unwrap()
            .contains("system_instance MAIL (7) is UP again"),
        "{back:#?}"
    );
    assert!(
        of("table")[0]["what"]
            .as_str()
            .unwrap()
            .contains("leftover, order_items"),
        "{back:#?}"
    );
    assert!(
        of("setting")[0]["what"].as_str().unwrap().contains("not known"),
        "{back:#?}"
    );
    assert!(back.iter().all(|b| !b["cure"].as_str().unwrap().is_empty()));
    let printed = world.night.run(&["scan"]).ended(3);
    assert!(
        printed.out.contains("do: take it DOWN before workers start"),
        "{}",
        printed.out
    );
}

#[test]
fn a_proposed_schema_loads_as_it_is_and_scans() {
    let world = World::new("");
    let toml = world.night.run(&["doctor", "--propose-schema"]).ended(0).out;
    let url = pg().url(&world.db);
    let config = format!(
        "[incident]\nid = \"proposed\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n\n[restored]\nurl = \"{url}\"\n\
         sslmode = \"disable\"\n\n[[log]]\nname = \"cdc\"\npath = \"log.ndjson\"\nformat = \"native\"\n\n{toml}"
    );
    world.night.write("restitch.toml", config);
    let report = world.night.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(report["findings"]["order"]["lost"], 10, "{toml}");
    assert_eq!(report["findings"]["order"]["regressed"], 20, "{toml}");
    assert!(report["findings"]["order_item"].is_object(), "{toml}");
    let case = world.night.run(&["cases", "--json", "--order", "21"]).lines();
    assert_eq!(case[0]["label"], "SFO-21", "the unique column is the label: {toml}");
    assert!(toml.contains("owner = { \"order_id\" = \"order\" }\n"), "{toml}");
    assert!(toml.contains("state = \"status\"   # guess"), "{toml}");
}

#[test]
fn a_proposed_schema_of_a_sqlite_file_loads_as_well() {
    let night = Night::new();
    let toml = night.run(&["doctor", "--propose-schema"]).ended(0).out;
    let config = "[incident]\nid = \"p\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n[restored]\nurl = \"sqlite:restored.db\"\n\
                  [[log]]\nname = \"cdc\"\npath = \"log.ndjson\"\nformat = \"native\"\n";
    night.write("restitch.toml", format!("{config}{toml}"));
    let report = night.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(report["findings"]["order"]["lost"], 1, "{toml}");
    assert_eq!(report["findings"]["order_item"]["lost"], 1, "{toml}");
}

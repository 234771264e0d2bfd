//! What happened outside of the order system, and what is advised for it: §1, §2.

use crate::world::World;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

const TABLES: &str = "
create table orders (id bigint primary key, sf text, status text, kind text, superseded bigint);
create table items (id bigint primary key, order_id bigint, action text, inv bigint, asset_ref text);
create table steps (id bigint primary key, order_id bigint, name text, kind text, state text, ponr boolean);
create table inv (id bigint primary key, serial text, asset_ref text);
create table asset (id bigint primary key, reference_id text);
insert into orders values (1, 'SFO-1', 'In Progress', 'Add', null), (2, 'SFO-2', 'In Progress', 'Add', null),
    (3, 'SFO-3', 'In Progress', 'Change', null), (4, 'SFO-4', 'In Progress', 'Change', null),
    (5, 'SFO-5', 'In Progress', 'Disconnect', null), (6, 'SFO-6', 'Activated', 'Add', null);
insert into steps values (10, 1, 'billing.activate', 'Callout', 'Running', false), (11, 1, 'count', 'Auto Task', 'Ready', false),
    (20, 2, 'billing.activate', 'Callout', 'Ready', false);
insert into inv values (55, 'S-12', 'A-3'), (61, 'S-61', 'A-4'), (62, 'S-62', 'A-4');
insert into asset values (1, 'A-3'), (2, 'A-4');
";

const SCHEMA: &str = r#"
[[outside]]
name = "billing"
path = "billing.csv"
order = "order_no"
effect = "activity"
state = "result"
done = ["Activated"]
none = ["Not requested"]
at = "at"
[schema.order]
table = "orders"
key = "id"
label = "sf"
identity = ["sf"]
state = "status"
cancelled = ["Cancelled"]
action = "kind"
supersedes = "superseded"
[schema.order_item]
table = "items"
key = "id"
owner = "order_id"
action = "action"
macd = ["Change", "Disconnect"]
refs = { inv = "inventory_item", asset_ref = "asset.reference_id" }
[schema.plan_item]
table = "steps"
key = "id"
owner = "order_id"
label = "name"
state = "state"
type = "kind"
outside = ["Callout"]
in_progress = ["Running", "Ready", "Failed"]
states = ["Pending", "Ready", "Running", "Completed"]
ponr = "ponr"
[schema.inventory_item]
table = "inv"
key = "id"
identity = ["serial"]
refs = { asset_ref = "asset.reference_id" }
[schema.asset]
table = "asset"
key = "id"
identity = ["reference_id"]
"#;

const BILLING: &str = "order_no,activity,result,at\nSFO-101,billing.activate,Not requested,\nSFO-102,billing.activate,Activated,2026-11-22T14:20:00Z\n";

const STEP: &str = r#"{"order_id":ORDER,"name":"billing.activate","kind":"Callout","state":"STATE"}"#;

/// One event: seconds after T, entity, key, state.
type Event = (i64, &'static str, &'static str, String);

fn step(at: i64, key: &'static str, order: &str, state: &str) -> Event {
    (
        at,
        "plan_item",
        key,
        STEP.replace("ORDER", order).replace("STATE", state),
    )
}

fn order(at: i64, key: &'static str, more: &str) -> Event {
    (
        at,
        "order",
        key,
        format!(r#"{{"sf":"SFO-{key}","status":"In Progress","kind":"Add"{more}}}"#),
    )
}

/// T at 14:05:00, stopped at 14:31:00; the log reaches from before T to `end` seconds after it.
fn night(events: &[Event], end: i64, billing: &str) -> World {
    let world = World::on_sqlite(TABLES, SCHEMA, &[]);
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    let stopped = config.replacen("[incident]\n", "[incident]\nstopped_at = \"2026-11-22T14:31:00Z\"\n", 1);
    world.night.write("restitch.toml", stopped);
    world.night.write("billing.csv", billing);
    let mut all = vec![step(-60, "90", "6", "Completed"), step(end, "91", "6", "Completed")];
    all.extend(events.iter().cloned());
    all.sort_by_key(|e| e.0);
    let mut log = String::new();
    for (pos, (at, entity, key, state)) in all.iter().enumerate() {
        let seconds = 14 * 3_600 + 5 * 60 + at;
        let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        writeln!(
            log,
            r#"{{"pos":{},"ts":"2026-11-22T{h:02}:{m:02}:{s:02}Z","entity":"{entity}","key":"{key}","op":"upsert","state":{state}}}"#,
            pos + 1
        )
        .unwrap();
    }
    world.night.write("log.ndjson", log);
    world.sql("insert into steps values (90, 6, 'x', 'Callout', 'Completed', false), (91, 6, 'x', 'Callout', 'Completed', false)");
    world.sql("update steps set name = 'billing.activate' where id in (90, 91)");
    world
}

/// The end of the log that reaches the stop.
const STOP: i64 = 26 * 60;

fn verb(case: &Json) -> &str {
    case["advice"]["verb"].as_str().unwrap()
}

fn facts(case: &Json) -> Vec<(String, String)> {
    let text = |o: &Json, key: &str| o[key].as_str().unwrap().to_owned();
    let all = case["outside"].as_array().unwrap();
    all.iter().map(|o| (text(o, "name"), text(o, "state"))).collect()
}

fn is(name: &str, state: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), state.to_owned())]
}

#[test]
fn a_lost_order_goes_the_way_that_its_effects_outside_allow() {
    let world = night(
        &[
            order(60, "100", ""),
            step(61, "1000", "100", "Ready"),
            order(70, "101", ""),
            step(71, "1010", "101", "Running"),
            order(80, "102", ""),
            step(81, "1020", "102", "Ready"),
            order(90, "103", ""),
            step(91, "1030", "103", "Completed"),
            order(100, "104", ""),
            step(101, "1040", "104", "Running"),
            order(110, "105", ""),
            order(120, "106", r#","status":"Cancelled""#),
            order(130, "107", r#","status":"Cancelled""#),
            step(131, "1070", "107", "Completed"),
        ],
        STOP,
        BILLING,
    );
    world.scan();
    for (id, wanted, outside) in [
        // The log says that it was not started.
        ("order:100", "resubmit", is("billing.activate", "NONE")),
        // The log does not know, and billing does.
        ("order:101", "resubmit", is("billing.activate", "NONE")),
        // Billing says DONE, whatever the log says.
        ("order:102", "reapply", is("billing.activate", "DONE")),
        ("order:103", "reapply", is("billing.activate", "DONE")),
        ("order:104", "park", is("billing.activate", "UNKNOWN")),
        // The log tells of steps all the time, and of none of this order.
        ("order:105", "resubmit", vec![]),
        ("order:106", "keep", vec![]),
        ("order:107", "cancel", is("billing.activate", "DONE")),
    ] {
        let case = world.case(id);
        assert_eq!(facts(&case), outside, "{id}");
        assert_eq!(verb(&case), wanted, "{id}: {}", case["advice"]["why"]);
    }
    let unknown = world.case("order:104");
    assert_eq!(
        unknown["advice"]["why"],
        "ask billing whether billing.activate of SFO-104 happened (started at 2026-11-22T14:06:41Z, no answer in the log)"
    );
    assert_eq!(unknown["outside"][0]["at"], "2026-11-22T14:06:41Z");
    let done = &world.case("order:102")["outside"][0];
    assert_eq!(
        done["evidence"],
        json!({"source": "billing", "position": "billing.csv:3", "ts": "2026-11-22T14:20:00Z"})
    );
    let shown = world.run(&["show", "order:102"]).ended(0).out;
    for words in [
        "outside billing.activate DONE 2026-11-22T14:20:00Z",
        "billing says Activated (billing.csv:3)",
    ] {
        assert!(shown.contains(words), "{shown}");
    }

    // The guards: what is done is not sent again, and what is not known only with an answer.
    world.run(&["claim", "order:103", "order:104"]).ended(0);
    world
        .run(&["resolve", "order:103", "resubmit", "--reason", "x"])
        .ended(4)
        .says(&["billing.activate is DONE: resubmitting would repeat it"]);
    world
        .run(&["resolve", "order:104", "resubmit", "--reason", "x"])
        .ended(4)
        .says(&[
            "first ask billing whether billing.activate of SFO-104 happened",
            "--evidence",
        ]);
    world
        .run(&[
            "resolve",
            "order:104",
            "resubmit",
            "--reason",
            "x",
            "--evidence",
            "kim at billing: nothing there",
        ])
        .ended(0);
}

#[test]
fn a_log_that_does_not_reach_the_stop_says_nothing_did_not_happen() {
    let events = [
        order(60, "100", ""),
        step(61, "1000", "100", "Ready"),
        order(110, "105", ""),
    ];
    let world = night(&events, STOP - 120, "order_no,activity,result,at\n");
    world.scan();
    let case = world.case("order:100");
    assert_eq!((facts(&case), verb(&case)), (is("billing.activate", "UNKNOWN"), "park"));
    let why = case["outside"][0]["why"].as_str().unwrap();
    assert!(
        why.contains("cdc ends at 2026-11-22T14:29:00Z, before the stop"),
        "{why}"
    );
    let case = world.case("order:105");
    assert_eq!((facts(&case), verb(&case)), (is("its plan", "UNKNOWN"), "park"));
    assert!(
        case["advice"]["why"]
            .as_str()
            .unwrap()
            .contains("the log does not tell of its plan")
    );
}

#[test]
fn an_order_that_would_do_it_again_is_completed_and_one_that_nobody_knows_of_is_parked() {
    let world = night(
        &[
            step(10, "10", "1", "Completed"),
            (20, "order", "1", r#"{"status":"Activated"}"#.to_owned()),
            (20, "order", "2", r#"{"status":"Activated"}"#.to_owned()),
        ],
        STOP,
        BILLING,
    );
    world.scan();
    let done = world.case("order:1");
    assert_eq!(
        (facts(&done), verb(&done)),
        (is("billing.activate", "DONE"), "complete")
    );
    assert_eq!(done["outside"][0]["again"], true);
    assert!(
        done["outside"][0]["why"]
            .as_str()
            .unwrap()
            .starts_with("sent before T, answered")
    );
    // The log's silence is no answer.
    let silent = world.case("order:2");
    assert_eq!(
        (facts(&silent), verb(&silent)),
        (is("billing.activate", "UNKNOWN"), "park")
    );
}

#[test]
fn an_orphan_goes_to_what_fits_or_stays_with_what_it_lost() {
    let item = |at, key, of: &str, inv: &str, asset: &str| {
        let state = format!(r#"{{"order_id":{of},"action":"Change","inv":{inv},"asset_ref":{asset}}}"#);
        (at, "order_item", key, state)
    };
    let world = night(
        &[
            // Its serial is there under another key: 55.
            (10, "inventory_item", "12", r#"{"serial":"S-12"}"#.to_owned()),
            item(20, "300", "3", "12", "null"),
            // Two hang on its asset.
            item(30, "400", "4", "13", "\"A-4\""),
            // One hangs on its asset.
            item(31, "600", "6", "15", "\"A-3\""),
            // Nothing brings it back, and the service lives.
            item(40, "500", "5", "14", "null"),
        ],
        STOP,
        BILLING,
    );
    world.sql("insert into items values (300, 3, 'Change', 12, null), (400, 4, 'Change', 13, 'A-4'), (600, 6, 'Change', 15, 'A-3'), (500, 5, 'Change', 14, null)");
    // Each has a difference, so that it is asked what it refers to.
    world.sql("update items set action = 'Old'");
    world.scan();
    let fits = |id: &str| world.case(id)["fits"].clone();
    let missing = |key: &str| json!({"entity": "inventory_item", "key": key});
    assert_eq!(fits("order:3"), json!([{"missing": missing("12"), "to": ["55"]}]));
    assert_eq!(fits("order:4"), json!([{"missing": missing("13"), "to": ["61", "62"]}]));
    assert_eq!(fits("order:6"), json!([{"missing": missing("15"), "to": ["55"]}]));
    assert_eq!(fits("order:5"), json!([]));
    for (id, wanted) in [
        ("order:3", "relink"),
        ("order:4", "escalate"),
        ("order:6", "relink"),
        ("order:5", "escalate"),
    ] {
        let case = world.case(id);
        assert_eq!(verb(&case), wanted, "{id}: {}", case["advice"]["why"]);
    }
    world.run(&["claim", "order:5", "order:3"]).ended(0);
    world
        .run(&["resolve", "order:5", "cancel", "--reason", "x"])
        .ended(4)
        .says(&["SFO-5 ends a service that still lives"]);
    let relink = [
        "resolve",
        "order:3",
        "relink",
        "--ref",
        "inv",
        "--to",
        "55",
        "--reason",
        "x",
        "--dry-run",
    ];
    let shown = world.run(&relink).ended(0).out;
    for words in ["55 fits instead of inventory item 12", "inv from 12 to 55"] {
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn halves_of_a_supersede_chain_are_found_on_both_orders() {
    let world = night(
        &[
            // 110 replaced 1, and 1 alone is there; 111 replaced 2 past return; 112 replaced 6 and both are there.
            order(10, "110", r#","superseded":1"#),
            order(20, "111", r#","superseded":2"#),
            (21, "plan_item", "20", r#"{"ponr":true}"#.to_owned()),
            order(30, "112", r#","superseded":6"#),
        ],
        STOP,
        BILLING,
    );
    world.sql("insert into orders values (112, 'SFO-112', 'In Progress', 'Add', 6)");
    let report = world.scan();
    assert_eq!(report["orders"]["half_superseded"], 4);
    let half = |id: &str| {
        let case = world.case(id);
        let findings = case["findings"].as_array().unwrap();
        let found = findings.iter().find(|f| f["kind"] == "half_superseded").unwrap();
        found["other"].as_str().unwrap().to_owned()
    };
    assert_eq!((half("order:110"), half("order:1")), ("1".to_owned(), "110".to_owned()));
    assert_eq!((half("order:111"), half("order:2")), ("2".to_owned(), "111".to_owned()));
    for (id, wanted, words) in [
        (
            "order:110",
            "resubmit",
            "SFO-110 is the missing half of a change, SFO-1 is there",
        ),
        ("order:1", "park", "SFO-110, the other half of the change, is missing"),
        ("order:111", "escalate", "past the point of no return"),
        ("order:2", "escalate", "past the point of no return"),
    ] {
        let case = world.case(id);
        assert_eq!(verb(&case), wanted, "{id}: {}", case["advice"]["why"]);
        assert!(case["advice"]["why"].as_str().unwrap().contains(words), "{id}");
    }
    assert!(
        world
            .cases()
            .iter()
            .all(|c| c["case"] != "order:6" && c["case"] != "order:112")
    );
}

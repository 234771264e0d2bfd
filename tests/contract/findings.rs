//! §1: when each finding holds, what it names, and whose case it joins.

use crate::world::World;
use serde_json::{Value as Json, json};

const TABLES: &str = "
create table orders (id bigint primary key, sf varchar(18), status text, prior bigint);
create table items (id uuid primary key, order_id bigint, inv bigint, asset_ref text);
create table plans (id bigint primary key, order_id bigint, state char(10));
create table plan_items (id bigint primary key, plan_id bigint, state text);
create table inv (id bigint primary key, s text);
create table asset (id text primary key, reference_id text);
insert into orders select i, 'SF' || i, 'Open', null from generate_series(1, 20) i;
insert into asset values ('a1', '0010000000abcde'), ('a2', 'r2');
insert into inv values (1, 'x');
insert into plans values (50, 14, 'Running'), (51, 15, 'Completed'), (52, null, 'Running');
insert into plan_items values (60, 50, 'Ready'), (61, 51, 'Failed'), (62, 999, 'Ready');
";

const SCHEMA: &str = r#"
[schema.order]
table = "orders"
key = "id"
label = "sf"
identity = ["sf"]
refs = { prior = "order" }
[schema.order_item]
table = "public.items"
key = "id"
owner = "order_id"
refs = { inv = "inv", asset_ref = "asset.reference_id" }
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
in_progress = ["Ready", "Failed"]
[schema.inv]
table = "inv"
key = "id"
[schema.asset]
table = "asset"
key = "id"
identity = ["reference_id"]
"#;

const UUID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

fn kinds_of<'a>(cases: &'a [Json], id: &str) -> &'a Json {
    let case = cases.iter().find(|c| c["case"] == id);
    &case.unwrap_or_else(|| panic!("no case {id} in {cases:#?}"))["kinds"]
}

fn finding<'a>(case: &'a Json, kind: &str) -> &'a Json {
    let findings = case["findings"].as_array().unwrap();
    findings.iter().find(|f| f["kind"] == kind).unwrap()
}

#[test]
fn lost_moved_collided_undeleted_are_told_apart_by_identity() {
    let world = World::new(
        TABLES,
        SCHEMA,
        &[
            ("order", "900", "insert", r#"{"sf":"SF900","status":"Open"}"#),
            ("order", "901", "insert", r#"{"sf":"SF19","status":"Open"}"#),
            ("order", "902", "insert", r#"{"status":"Open"}"#),
            // Deleted in the end: neither lost nor there.
            ("order", "903", "insert", r#"{"sf":"SF903"}"#),
            ("order", "903", "delete", "null"),
            ("order", "1", "upsert", r#"{"sf":"ANOTHER","status":"Closed"}"#),
            ("order", "2", "delete", r#"{"sf":"SF2"}"#),
            ("order", "3", "delete", r#"{"sf":"ANOTHER"}"#),
            ("order", "4", "delete", "null"),
            // Deleted and made again.
            ("order", "5", "delete", "null"),
            ("order", "5", "insert", r#"{"sf":"SF5","status":"Open"}"#),
            ("asset", "a9", "insert", r#"{"reference_id":"0010000000abcdeAAA"}"#),
        ],
    );
    world.scan();
    assert_eq!(
        world.found(),
        [
            "asset a9 moved",
            "order 1 collided",
            "order 14 in_doubt",
            "order 15 in_doubt",
            "order 2 undeleted",
            "order 3 collided",
            "order 4 undeleted",
            "order 900 lost",
            "order 901 moved",
            "order 902 lost"
        ]
    );
    assert_eq!(finding(&world.case("order:901"), "moved")["moved_to"], "19");
    assert_eq!(finding(&world.case("asset:a9"), "moved")["moved_to"], "a1");
    assert_eq!(world.case("asset:a9")["order"], Json::Null);
    assert_eq!(world.case("order:900")["label"], "SF900");
    let evidence = json!([{"source": "cdc", "position": "1", "ts": "2026-11-22T14:06:01Z"}]);
    assert_eq!(finding(&world.case("order:900"), "lost")["evidence"], evidence);
}

#[test]
fn an_orphan_names_what_is_missing_and_which_case_brings_it_back() {
    let world = World::new(
        TABLES,
        SCHEMA,
        &[
            ("order", "900", "insert", r#"{"sf":"SF900"}"#),
            ("order", "901", "insert", r#"{"sf":"SF19"}"#),
            ("order", "1", "upsert", r#"{"sf":"ANOTHER"}"#),
            ("order", "2", "delete", "null"),
            ("order", "999", "delete", "null"),
            // What they refer to: lost, moved, collided, deleted but there, deleted, never known, there.
            ("order", "3", "upsert", r#"{"prior":900}"#),
            ("order", "4", "upsert", r#"{"prior":901}"#),
            ("order", "5", "upsert", r#"{"prior":1}"#),
            ("order", "6", "upsert", r#"{"prior":2}"#),
            ("order", "7", "upsert", r#"{"prior":999}"#),
            ("order", "8", "upsert", r#"{"prior":77405618597879921}"#),
            ("order", "9", "upsert", r#"{"prior":10}"#),
            // A referring row that the log deleted refers to nothing.
            ("order", "11", "upsert", r#"{"prior":77}"#),
            ("order", "11", "delete", "null"),
            // By another column than the key, fifteen characters for eighteen; and one that is nowhere.
            (
                "order_item",
                UUID,
                "insert",
                r#"{"order_id":12,"inv":12,"asset_ref":"0010000000abcdeAAA"}"#,
            ),
            ("inv", "12", "insert", r#"{"s":"y"}"#),
            (
                "order_item",
                &UUID.replace('a', "b"),
                "insert",
                r#"{"order_id":13,"asset_ref":"gone"}"#,
            ),
        ],
    );
    let report = world.scan();
    let cases = world.cases();
    let orphaned: Vec<&str> = cases
        .iter()
        .filter(|c| c["kinds"].as_array().unwrap().contains(&json!("orphaned")))
        .map(|c| c["case"].as_str().unwrap())
        .collect();
    let mut sorted = orphaned.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        ["order:12", "order:13", "order:3", "order:4", "order:5", "order:8"]
    );
    assert_eq!(report["orders"]["orphaned"], 6);
    assert_eq!(world.case("order:3")["blocked_by"], json!(["order:900"]));
    assert_eq!(world.case("order:4")["blocked_by"], json!([]));
    assert_eq!(
        world.case("order:8")["missing"],
        json!([{"entity": "order", "key": "77405618597879921"}])
    );
    let twelve = world.case("order:12");
    assert_eq!(twelve["missing"], json!([{"entity": "inv", "key": "12"}]));
    assert_eq!(twelve["blocked_by"], json!(["inv:12"]));
    assert_eq!(
        twelve["advice"],
        json!({"verb": "park", "why": "inv 12 was lost with inv:12, which is decided first"})
    );
    assert_eq!(
        world.case("order:13")["missing"],
        json!([{"entity": "asset", "column": "reference_id", "key": "gone"}])
    );
}

#[test]
fn in_doubt_is_one_finding_an_order_with_its_rows_whether_or_not_the_log_names_them() {
    let world = World::new(TABLES, SCHEMA, &[("plan", "51", "upsert", r#"{"state":"Completed"}"#)]);
    let report = world.scan();
    assert_eq!(report["orders"]["in_doubt"], 2);
    let cases = world.cases();
    assert_eq!(kinds_of(&cases, "order:14"), &json!(["in_doubt"]));
    let both = finding(&world.case("order:14"), "in_doubt").clone();
    assert_eq!(
        both["rows"],
        json!([
            {"entity": "plan", "key": "50", "state": "Running"},
            {"entity": "plan_item", "key": "60", "state": "Ready"}
        ])
    );
    assert_eq!((&both["entity"], &both["key"]), (&json!("order"), &json!("14")));
    assert_eq!(
        finding(&world.case("order:15"), "in_doubt")["rows"],
        json!([{"entity": "plan_item", "key": "61", "state": "Failed"}])
    );
    assert_eq!(cases.len(), 2, "{cases:#?}");
}

#[test]
fn the_owner_is_read_from_the_log_else_from_the_restored_row_and_owns_even_where_it_is_nowhere() {
    let other = UUID.replace('a', "c");
    let world = World::new(
        &format!("{TABLES} insert into items values ('{other}', 17, 1, null);"),
        SCHEMA,
        &[
            // The plan of the item is only in the restored database; its order is there.
            ("plan_item", "60", "upsert", r#"{"state":"Done"}"#),
            // The log says another owner than the restored row does.
            ("order_item", &other, "upsert", r#"{"order_id":18}"#),
            // Owned by an order that exists nowhere.
            ("order_item", UUID, "insert", r#"{"order_id":77405618597879921}"#),
            // A plan that no order owns.
            ("plan", "52", "upsert", r#"{"state":"Completed"}"#),
        ],
    );
    world.scan();
    let cases = world.cases();
    assert_eq!(kinds_of(&cases, "order:14"), &json!(["regressed", "in_doubt"]));
    assert_eq!(kinds_of(&cases, "order:18"), &json!(["regressed"]));
    assert_eq!(kinds_of(&cases, "order:77405618597879921"), &json!(["lost"]));
    assert_eq!(kinds_of(&cases, "plan:52"), &json!(["regressed"]));
    let nobody = world.case("plan:52");
    assert_eq!((&nobody["order"], &nobody["label"]), (&Json::Null, &json!("52")));
    let nowhere = world.case("order:77405618597879921");
    assert_eq!(nowhere["order"], "77405618597879921");
    assert!(!cases.iter().any(|c| c["case"] == "order:17"), "{cases:#?}");
}

#[test]
fn a_chain_of_lost_orders_waits_in_order_and_a_ring_is_told() {
    let world = World::new(
        TABLES,
        SCHEMA,
        &[
            ("order", "900", "insert", r#"{"sf":"A"}"#),
            ("order", "901", "insert", r#"{"sf":"B","prior":900}"#),
            ("order", "902", "insert", r#"{"sf":"C","prior":901}"#),
            ("order", "910", "insert", r#"{"sf":"X","prior":911}"#),
            ("order", "911", "insert", r#"{"sf":"Y","prior":910}"#),
            // A row that refers to itself waits for nobody.
            ("order", "920", "insert", r#"{"sf":"Z","prior":920}"#),
        ],
    );
    let report = world.scan();
    assert_eq!(world.case("order:902")["blocked_by"], json!(["order:901"]));
    assert_eq!(world.case("order:901")["blocked_by"], json!(["order:900"]));
    assert_eq!(world.case("order:920")["blocked_by"], json!([]));
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("order:910") && warnings.contains("order:911"),
        "{warnings}"
    );
    assert!(!warnings.contains("order:920"), "{warnings}");
    // A chain is claimed whole.
    let claimed = world.run(&["claim", "order:902", "--json"]).ended(0).lines();
    let mut ids: Vec<&str> = claimed.iter().map(|c| c["case"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["order:900", "order:901", "order:902"]);
    // A decision that writes rows of other cases decides those too.
    let decided = world.run(&["resolve", "order:902", "reapply", "--reason", "all of them", "--json"]);
    assert_eq!(decided.ended(0).json()["cases"].as_array().unwrap().len(), 3);
    for id in ["order:900", "order:901", "order:902"] {
        assert_eq!(world.case(id)["state"], "to_do");
    }
}

#[test]
fn sequences_below_ids_that_the_log_has_seen_are_warned_of_with_the_cure() {
    let world = World::new(
        "create table orders (id bigserial primary key, sf text);
         create table \"Items\" (id bigint generated by default as identity primary key, order_id bigint);
         create table plans (id bigserial primary key, order_id bigint);
         select setval('plans_id_seq', 500);",
        "[schema.order]\ntable = \"orders\"\nkey = \"id\"\n[schema.order_item]\ntable = \"Items\"\nkey = \"id\"\n\
         [schema.plan]\ntable = \"plans\"\nkey = \"id\"\n",
        &[
            ("order", "70", "insert", r#"{"sf":"x"}"#),
            ("order", "70", "delete", "null"),
            ("order_item", "9", "insert", r#"{"order_id":1}"#),
            ("plan", "500", "insert", r#"{"order_id":1}"#),
        ],
    );
    let report = world.scan();
    let warnings: Vec<&str> = report["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w.as_str().unwrap())
        .collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    for warning in &warnings {
        let cure = &warning[warning.find("SELECT setval").unwrap()..];
        world.sql(cure);
    }
    assert_eq!(world.scan()["warnings"], json!([]));
    assert_eq!(world.sql("select nextval('orders_id_seq')"), "71");
}

#[test]
fn moved_is_left_out_with_a_warning_where_no_index_serves_a_large_table() {
    let limit = "[scan]\nmoved_limit = \"1kB\"\n";
    let world = World::new(
        TABLES,
        &format!("{SCHEMA}{limit}"),
        &[("order", "901", "insert", r#"{"sf":"SF19"}"#)],
    );
    let report = world.scan();
    assert_eq!(
        world.found(),
        ["order 14 in_doubt", "order 15 in_doubt", "order 901 lost"]
    );
    let warning = report["warnings"][0].as_str().unwrap();
    let index = &warning[warning.find("CREATE INDEX").unwrap()..];
    world.sql(index);
    let report = world.scan();
    assert_eq!(report["warnings"], json!([]));
    assert_eq!(
        world.found(),
        ["order 14 in_doubt", "order 15 in_doubt", "order 901 moved"]
    );
}

/// Every order in the hold is asked for what it refers to; the restored database or the log may know it already.
#[test]
fn held_orders_are_asked_for_what_they_refer_to() {
    let world = World::new(
        TABLES,
        SCHEMA,
        &[
            ("order", "900", "insert", r#"{"sf":"SF900"}"#),
            ("inv", "12", "insert", r#"{"s":"y"}"#),
            ("inv", "13", "delete", "null"),
        ],
    );
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    let section = "[hold]\nsource = \"file\"\npath = \"hold.ndjson\"\nformat = \"native\"\n";
    world.night.write("restitch.toml", format!("{config}\n{section}"));
    let message = |key: &str, state: &str| {
        format!(
            r#"{{"pos":1,"ts":"2026-11-22T14:10:00Z","entity":"order","key":"{key}","op":"insert","state":{state}}}"#
        )
    };
    let held = [
        message(
            "SF:1/02",
            r#"{"prior":"900","items":[{"inv":1},{"inv":12,"asset_ref":"nowhere"}]}"#,
        ),
        message(
            "SF:1/02",
            r#"{"prior":"900","items":[{"inv":1},{"inv":12,"asset_ref":"nowhere"}]}"#,
        ),
        // Nothing is missing: what the log deleted is not there on purpose.
        message("SF101", r#"{"prior":1,"items":[{"inv":1},{"inv":13}]}"#),
        message("SF2", r#"{"prior":77}"#),
        message("SF900", r#"{"prior":78}"#),
    ];
    world.night.write("hold.ndjson", held.join("\n"));
    let report = world.scan();
    assert_eq!(report["orders"]["orphaned"], 3);
    let case = world.case("held:SF:1/02");
    assert_eq!(case["order"], Json::Null);
    assert_eq!(case["kinds"], json!(["orphaned"]));
    assert_eq!(
        case["missing"],
        json!([
            {"entity": "asset", "column": "reference_id", "key": "nowhere"},
            {"entity": "inv", "key": "12"},
            {"entity": "order", "key": "900"}
        ])
    );
    assert_eq!(case["blocked_by"], json!(["inv:12", "order:900"]));
    // The first that is decided brings back the first that it names, not what nobody has.
    assert_eq!(
        case["advice"]["why"],
        "inv 12 was lost with inv:12, which is decided first"
    );
    assert_eq!(
        world.case("order:2")["missing"],
        json!([{"entity": "order", "key": "77"}])
    );
    assert_eq!(world.case("order:900")["kinds"], json!(["lost", "orphaned"]));
    // Still in the hold: it is sent from there, not from here.
    world.run(&["claim", "order:2", "SF:1/02"]).ended(0);
    world
        .run(&["resolve", "SF:1/02", "resubmit", "--reason", "x"])
        .ended(4)
        .says(&["hold"]);
}

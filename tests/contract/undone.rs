//! §1: what folding without the bad change would not give is undone: marked, behind all else, never reapplied.

use crate::world::World;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

const TABLES: &str = "
create table orders (id bigint primary key, sf text, status text, qty integer, by text, inv bigint);
create table inv (id bigint primary key, s text);
insert into orders select i, 'SF' || i, 'Open', 1, null, null from generate_series(1, 6) i;
";

const SCHEMA: &str = r#"
[schema.order]
table = "orders"
key = "id"
label = "sf"
identity = ["sf"]
ignore = ["by"]
refs = { inv = "inv" }
[schema.inv]
table = "inv"
key = "id"
"#;

const BAD: &str = "[incident.bad]\nfrom = \"2026-11-22T14:05:10Z\"\nwhere = { by = \"batch-77\" }\n\n";

/// The night, with these lines in place of the bad change.
fn world(bad: &str) -> World {
    let world = World::new(TABLES, SCHEMA, &[]);
    let events = [
        ("inv", 12, "delete", r#"{"s":"y"}"#),
        (
            "order",
            1,
            "upsert",
            r#"{"sf":"SF1","status":"Cancelled","by":"batch-77"}"#,
        ),
        ("order", 2, "upsert", r#"{"status":"Accepted","by":"ana"}"#),
        ("order", 2, "upsert", r#"{"status":"Cancelled","by":"batch-77"}"#),
        ("order", 3, "upsert", r#"{"status":"Cancelled","by":"batch-77"}"#),
        ("order", 3, "upsert", r#"{"qty":5,"by":"ana"}"#),
        ("order", 4, "upsert", r#"{"status":"Accepted","by":"ana"}"#),
        ("order", 5, "delete", r#"{"by":"batch-77"}"#),
        (
            "order",
            7,
            "insert",
            r#"{"sf":"SF7","status":"New","inv":99,"by":"batch-77"}"#,
        ),
        (
            "order",
            8,
            "insert",
            r#"{"sf":"SF8","status":"New","inv":12,"by":"ana"}"#,
        ),
        ("inv", 12, "insert", r#"{"s":"again"}"#),
    ];
    let mut log = String::new();
    for (pos, (entity, key, op, state)) in events.iter().enumerate() {
        let pos = pos + 1;
        let actor = if *entity == "inv" && *op == "insert" {
            r#""actor":"batch-77","#
        } else {
            ""
        };
        writeln!(
            log,
            r#"{{"pos":{pos},"ts":"2026-11-22T14:06:{pos:02}Z",{actor}"entity":"{entity}","key":{key},"op":"{op}","state":{state}}}"#
        )
        .unwrap();
    }
    world.night.write("log.ndjson", log);
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    world.night.write(
        "restitch.toml",
        config.replace("[restored]", &format!("{bad}[restored]")),
    );
    world
}

/// Every finding of a case as `entity key kind undone`.
fn undone(case: &Json) -> Vec<String> {
    let of = |f: &Json| {
        let text = |key: &str| f[key].as_str().unwrap().to_owned();
        format!("{} {} {} {}", text("entity"), text("key"), text("kind"), f["undone"])
    };
    case["findings"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn what_the_bad_change_alone_gives_is_undone() {
    let world = world(BAD);
    let report = world.scan();
    assert_eq!(undone(&world.case("order:1")), ["order 1 regressed true"]);
    assert_eq!(undone(&world.case("order:2")), ["order 2 regressed false"]);
    assert_eq!(undone(&world.case("order:3")), ["order 3 regressed false"]);
    assert_eq!(undone(&world.case("order:4")), ["order 4 regressed false"]);
    assert_eq!(undone(&world.case("order:5")), ["order 5 undeleted true"]);
    assert_eq!(
        undone(&world.case("order:7")),
        ["order 7 lost true", "order 7 orphaned true"]
    );
    assert_eq!(
        undone(&world.case("order:8")),
        ["order 8 lost false", "order 8 orphaned false"]
    );
    // Without the bad change qty would still differ, status would not.
    let case = world.case("order:3");
    let fields: Vec<(&Json, bool)> = case["findings"][0]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (&f["name"], f["undone"] == true))
        .collect();
    assert_eq!(fields, [(&json!("status"), true), (&json!("qty"), false)]);
    // What was undone on purpose stands behind everything that was not.
    let ids: Vec<String> = world
        .cases()
        .iter()
        .map(|c| c["case"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        ids,
        [
            "inv:12", "order:2", "order:3", "order:4", "order:8", "order:1", "order:5", "order:7"
        ]
        .map(str::to_owned),
        "{report}"
    );
    assert_eq!(report["undone"], json!(3));
}

#[test]
fn an_order_finding_is_undone_where_only_what_it_refers_to_is() {
    // The batch job brought a deleted row back, and a good order refers to it.
    let world = world("[incident.bad]\nactor = \"batch-77\"\n\n");
    world.scan();
    assert_eq!(
        undone(&world.case("order:8")),
        ["order 8 lost false", "order 8 orphaned true"]
    );
    assert_eq!(undone(&world.case("inv:12")), ["inv 12 lost true"]);
}

#[test]
fn reapply_is_refused_where_the_log_rests_on_the_bad_change() {
    let world = world(BAD);
    world.scan();
    for (case, words) in [
        (
            "order:1",
            "the bad change wrote status of order 1: reapplying would repeat it",
        ),
        (
            "order:2",
            "the bad change wrote status of order 2: reapplying would repeat it",
        ),
        (
            "order:3",
            "the bad change wrote status of order 3: reapplying would repeat it",
        ),
        ("order:5", "the bad change deleted order 5: reapplying would repeat it"),
        ("order:7", "the bad change created order 7: reapplying would repeat it"),
    ] {
        world.run(&["claim", case]).ended(0);
        let refused = world.run(&["resolve", case, "reapply", "--reason", "as the log says"]);
        assert_eq!(refused.code, 4, "{case}: {}", refused.err);
        assert!(refused.err.contains(words), "{case}: {}", refused.err);
    }
    world.run(&["claim", "order:4"]).ended(0);
    world
        .run(&["resolve", "order:4", "reapply", "--reason", "as the log says"])
        .ended(0);
}

#[test]
fn a_bad_change_that_no_event_is_is_said() {
    let world = world("[incident.bad]\nactor = \"nobody\"\n\n");
    let report = world.scan();
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("no event of the log is the bad change"), "{warnings}");
    let cases = world.cases();
    assert!(
        cases.iter().flat_map(undone).all(|f| f.ends_with("false")),
        "{cases:#?}"
    );
}

#[test]
fn a_column_of_the_bad_change_that_no_table_has_names_the_nearest() {
    let world = world("[incident.bad]\nwhere = { statsu = \"Cancelled\" }\n\n");
    let ran = world.run(&["scan", "--json"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("statsu") && ran.err.contains("status"), "{}", ran.err);
}

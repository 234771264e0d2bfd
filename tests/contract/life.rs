//! §1 and §2: what becomes of a case: scans, claims, decisions, proofs.

use crate::world::{World, found};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};

const TABLES: &str = "
create table orders (id bigint primary key, sf text, status text, prior bigint);
create table plans (id bigint primary key, order_id bigint, state text);
insert into orders select i, 'SF' || i, 'Open', null from generate_series(1, 9) i;
";

const SCHEMA: &str = r#"
[schema.order]
table = "orders"
key = "id"
label = "sf"
identity = ["sf"]
state = "status"
cancelled = ["Cancelled"]
refs = { prior = "order" }
[schema.plan]
table = "plans"
key = "id"
owner = "order_id"
state = "state"
states = ["Pending", "Running", "Completed"]
in_progress = ["Running"]
"#;

/// Orders 1 and 2 regressed, 3 refers to what nobody knows, 4 undeleted, 5 lost.
fn world() -> World {
    let world = World::new(
        TABLES,
        SCHEMA,
        &[
            ("order", "1", "upsert", r#"{"status":"Done"}"#),
            ("order", "2", "upsert", r#"{"status":"Done"}"#),
            ("order", "3", "upsert", r#"{"prior":77}"#),
            ("order", "4", "delete", "null"),
            ("order", "50", "insert", r#"{"sf":"SF50","status":"Done"}"#),
        ],
    );
    world.scan();
    world
}

fn resolve(world: &World, args: &[&str]) -> Json {
    let mut all = vec!["resolve"];
    all.extend(args);
    all.extend(["--reason", "so", "--json"]);
    world.run(&all).ended(0).json()
}

/// Reads again; how the case then stands, and what was read.
fn prove(world: &World, id: &str) -> (String, Json) {
    let ran = world.run(&["prove", id, "--json"]);
    assert!(matches!(ran.code, 0 | 3), "{}", ran.err);
    let told = ran.json();
    assert_eq!(told["case"], id);
    assert_eq!(told["state"], world.case(id)["state"]);
    (told["state"].as_str().unwrap().to_owned(), told["holds"].clone())
}

#[test]
fn a_scan_twice_changes_nothing_and_later_ones_open_update_and_let_go() {
    let world = world();
    let before = world.run(&["cases", "--json"]).out;
    let again = world.scan();
    assert_eq!(
        again["cases"],
        json!({"total": 5, "opened": 0, "updated": 0, "gone": 0})
    );
    assert_eq!(world.run(&["cases", "--json"]).out, before);
    world.sql(
        "update orders set status = 'Done' where id = 1; delete from orders where id = 8;
               delete from orders where id = 9; update orders set status = 'Half' where id = 2",
    );
    let third = world.scan();
    assert_eq!(
        third["cases"],
        json!({"total": 5, "opened": 0, "updated": 1, "gone": 1})
    );
    assert_eq!(world.case("order:1")["state"], "gone");
    // Gone is back as soon as a scan finds it again.
    world.sql("update orders set status = 'Open' where id = 1");
    let fourth = world.scan();
    assert_eq!(
        fourth["cases"],
        json!({"total": 5, "opened": 1, "updated": 0, "gone": 0})
    );
    assert_eq!(world.case("order:1")["state"], "open");
}

#[test]
fn the_counts_of_all_states_add_up_to_the_total() {
    let world = world();
    world
        .run(&["claim", "order:1", "order:2", "order:3", "order:4", "order:50"])
        .ended(0);
    resolve(&world, &["order:1", "keep"]);
    resolve(&world, &["order:2", "reapply"]);
    resolve(
        &world,
        &["order:3", "park", "--until", "2026-11-23T10:00:00.123456789+01:00"],
    );
    resolve(&world, &["order:4", "escalate", "--to", "sam"]);
    let mut counted = 0;
    for state in [
        "open",
        "to_do",
        "applied",
        "proven",
        "unconfirmed",
        "parked",
        "escalated",
        "gone",
    ] {
        let of_state = world.run(&["cases", "--json", "--state", state]).ended(0).lines();
        assert!(of_state.iter().all(|c| c["state"] == state));
        counted += of_state.len();
    }
    assert_eq!(json!(counted), world.scan()["cases"]["total"]);
    let parked = world.run(&["show", "order:3", "--json"]).json();
    assert_eq!(parked["decision"]["until"], "2026-11-23T09:00:00.123456Z");
    // Parked and escalated cases stay decidable; the others do not.
    resolve(
        &world,
        &["order:3", "escalate", "--to", "sam", "--until", "2026-11-23T10:00:00Z"],
    );
    resolve(&world, &["order:4", "park"]);
    for id in ["order:1", "order:2"] {
        world
            .run(&["resolve", id, "park", "--reason", "x"])
            .ended(4)
            .says(&["undo"]);
    }
}

#[test]
fn keep_proves_in_one_transaction_and_opens_again_only_for_new_findings() {
    let world = world();
    world.run(&["claim", "order:1"]).ended(0);
    let kept = resolve(&world, &["order:1", "keep"]);
    assert_eq!(kept["cases"], json!([{"case": "order:1", "state": "proven"}]));
    assert_eq!(world.scan()["cases"]["opened"], 0);
    // The same finding with other values is none that was not there.
    world.sql("update orders set status = 'Half' where id = 1");
    world.scan();
    assert_eq!(world.case("order:1")["state"], "proven");
    // What the order system runs since is traffic; what the log newly tells is news.
    world.sql("insert into plans values (11, 1, 'Running')");
    assert_eq!(world.scan()["cases"]["opened"], 0);
    world.log(&[
        ("order", "1", "upsert", r#"{"status":"Done"}"#),
        ("plan", "12", "insert", r#"{"order_id":1,"state":"Running"}"#),
    ]);
    assert_eq!(world.scan()["cases"]["opened"], 1);
    assert_eq!(world.case("order:1")["state"], "open");
    let trail = world.run(&["audit", "list", "--json"]).lines();
    assert!(
        trail.iter().any(|l| l["action"] == "open" && l["case"] == "order:1"),
        "{trail:#?}"
    );
}

#[test]
fn reapply_is_proven_by_the_rows_and_opens_again_where_the_proof_fails() {
    let world = world();
    world.run(&["claim", "order:1", "order:50", "order:4"]).ended(0);
    resolve(&world, &["order:1", "reapply"]);
    // Nobody has done it: still to do, whatever is read.
    assert_eq!(prove(&world, "order:1"), ("to_do".to_owned(), json!(false)));
    world.run(&["done", "order:1", "--evidence", "ticket 1"]).ended(0);
    assert_eq!(world.case("order:1")["state"], "applied");
    assert_eq!(prove(&world, "order:1"), ("open".to_owned(), json!(false)));
    let failed = world.run(&["show", "order:1", "--json"]).json();
    assert_eq!(failed["disproven"], true);
    assert_eq!(failed["decision"]["evidence"], "ticket 1");
    assert_eq!(failed["claimed_by"], failed["decision"]["by"]);
    resolve(&world, &["order:1", "reapply"]);
    world.sql("update orders set status = 'Done' where id = 1");
    assert_eq!(prove(&world, "order:1"), ("proven".to_owned(), json!(true)));
    // Insert and delete are proven as an update is.
    resolve(&world, &["order:50", "reapply"]);
    resolve(&world, &["order:4", "reapply"]);
    assert_eq!(prove(&world, "order:50").0, "to_do");
    world.sql("insert into orders values (50, 'SF50', 'Done'); delete from orders where id = 4");
    assert_eq!(prove(&world, "order:50").0, "proven");
    assert_eq!(prove(&world, "order:4").0, "proven");
    // A later scan finds nothing of them and leaves them proven.
    world.scan();
    for id in ["order:1", "order:50", "order:4"] {
        assert_eq!(world.case(id)["state"], "proven", "{id}");
    }
}

#[test]
fn relink_is_proven_when_the_reference_names_a_row_that_is_there_and_not_before() {
    let world = world();
    world.run(&["claim", "order:3"]).ended(0);
    let to_missing = [
        "resolve", "order:3", "relink", "--reason", "x", "--ref", "prior", "--to", "77",
    ];
    world.run(&to_missing).ended(4);
    let no_reference = [
        "resolve", "order:3", "relink", "--reason", "x", "--ref", "status", "--to", "5",
    ];
    world.run(&no_reference).ended(4).says(&["--ref prior"]);
    resolve(&world, &["order:3", "relink", "--ref", "prior", "--to", "5"]);
    // The restored row never had the reference: nothing was done yet.
    assert_eq!(prove(&world, "order:3"), ("to_do".to_owned(), json!(false)));
    world.sql("update orders set prior = 78 where id = 3");
    assert_eq!(prove(&world, "order:3").0, "to_do");
    world.sql("update orders set prior = 5 where id = 3");
    assert_eq!(prove(&world, "order:3"), ("proven".to_owned(), json!(true)));
    world.scan();
    assert_eq!(world.case("order:3")["state"], "proven");
}

#[test]
fn resubmit_cancel_supersede_and_complete_are_proven_each_in_its_way() {
    let world = world();
    world
        .run(&["claim", "order:1", "order:2", "order:4", "order:50"])
        .ended(0);
    resolve(&world, &["order:50", "resubmit"]);
    resolve(&world, &["order:4", "cancel"]);
    resolve(&world, &["order:1", "supersede", "--to", "order:60"]);
    for id in ["order:50", "order:4", "order:1"] {
        assert_eq!(prove(&world, id).0, "to_do", "{id}");
    }
    world.sql(
        "insert into orders values (1050, 'SF50', 'Created'), (60, 'SF60', 'Created');
               update orders set status = 'Cancelled' where id = 4",
    );
    for id in ["order:50", "order:4", "order:1"] {
        assert_eq!(prove(&world, id), ("proven".to_owned(), json!(true)), "{id}");
    }
    // Done outside: the evidence is recorded, the row must stand at or past the log's state.
    let completed = resolve(&world, &["order:2", "complete", "--evidence", "billing run 7"]);
    assert_eq!(completed["cases"], json!([{"case": "order:2", "state": "applied"}]));
    assert_ne!(prove(&world, "order:2").0, "proven");
    world.scan();
    for id in ["order:50", "order:4", "order:1"] {
        assert_eq!(world.case(id)["state"], "proven", "{id}");
    }
}

/// A lease that lapses is no claim: not shown, not enough to decide, and free for another.
#[test]
fn a_claim_lapses_with_its_lease_and_claiming_again_renews_it() {
    let world = world();
    let first = world
        .run(&["claim", "order:1", "--for", "30s", "--json"])
        .ended(0)
        .json();
    let renewed = world
        .run(&["claim", "order:1", "--for", "1s", "--json"])
        .ended(0)
        .json();
    assert_eq!(first["fence"], renewed["fence"]);
    assert!(renewed["claimed_until"].as_str() < first["claimed_until"].as_str());
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.case("order:1")["claimed_by"] != Json::Null {
        assert!(Instant::now() < deadline, "the lease never ends");
    }
    world
        .run(&["resolve", "order:1", "keep", "--reason", "x"])
        .ended(4)
        .says(&["claim"]);
    world.run(&["claim", "order:1"]).ended(0);
    world.run(&["drop", "order:1"]).ended(0);
    assert_eq!(world.case("order:1")["claimed_by"], Json::Null);
    world.run(&["resolve", "order:1", "keep", "--reason", "x"]).ended(4);
}

#[test]
fn incidents_and_attempts_stand_apart_in_one_ledger() {
    let world = world();
    world.run(&["claim", "order:1"]).ended(0);
    let other = ["--incident", "other"];
    let run = |args: &[&str]| world.run(&[&other[..], args].concat());
    assert_eq!(run(&["cases", "--json"]).ended(0).out, "");
    let report = run(&["scan", "--json"]).ended(3).json();
    assert_eq!(
        (&report["incident"], &report["cases"]["opened"]),
        (&json!("other"), &json!(5))
    );
    run(&["resolve", "order:1", "keep", "--reason", "x"]).ended(4);
    run(&["claim", "order:1"]).ended(0);
    run(&["resolve", "order:1", "keep", "--reason", "x"]).ended(0);
    assert_eq!(world.case("order:1")["state"], "open");
    let mine = world.run(&["audit", "list", "--json"]).lines();
    assert!(mine.iter().all(|l| l["action"] != "decide"), "{mine:#?}");
    // `verify` reads every chain of the ledger.
    let lines = mine.len() + run(&["audit", "list", "--json"]).lines().len();
    assert_eq!(world.run(&["audit", "verify", "--json"]).json()["lines"], json!(lines));
}

#[test]
fn every_verb_asks_for_what_it_needs() {
    let world = world();
    world.run(&["claim", "order:1", "order:3"]).ended(0);
    for (verb, flag) in [
        ("relink", "--ref"),
        ("complete", "--evidence"),
        ("supersede", "--to"),
        ("escalate", "--to"),
    ] {
        world
            .run(&["resolve", "order:3", verb, "--reason", "x"])
            .ended(2)
            .says(&[flag]);
    }
    for (id, verb) in [("order:1", "resubmit"), ("order:1", "relink"), ("order:3", "reapply")] {
        let mut args = vec!["resolve", id, verb, "--reason", "x"];
        if verb == "relink" {
            args.extend(["--ref", "prior", "--to", "5"]);
        }
        world.run(&args).ended(4);
        args.push("--dry-run");
        world.run(&args).ended(4);
    }
    world.run(&["resolve", "order:1", "keep", "--reason", " "]).ended(2);
    let wrong = ["resolve", "order:1", "keep", "--reason", "x", "--confirm", "order:2"];
    world.run(&wrong).ended(4).says(&["order:1"]);
    let dry = world
        .run(&["resolve", "order:1", "reapply", "--reason", "x", "--dry-run"])
        .ended(0);
    assert!(
        dry.out.contains("set orders 1: status from Open to Done"),
        "{}",
        dry.out
    );
    assert_eq!(world.case("order:1")["state"], "open");
    let refused = world.run(&["audit", "list", "--json"]).lines();
    let refused = refused.iter().filter(|l| l["outcome"] == "refused").count();
    assert_eq!(refused, 4, "each refusal but those of dry runs stands in the trail");
    assert_eq!(found(&[world.case("order:1")]), ["order 1 regressed"]);
}

//! §1: the opening, what traffic did since, and the second restore of an incident; on PostgreSQL and SQLite.

use crate::world::{Event, World, found};
use serde_json::{Value as Json, json};

const TABLES: &str = "
create table orders (id bigint primary key, sf text, status text, amount numeric(10,2), touched text, prior bigint);
create table items (id bigint primary key, order_id bigint, action text);
create table plans (id bigint primary key, order_id bigint, state text);
";

/// As the first restore left it: 1 and 2 as the log says, 3 regressed, 4 lost with its item, 5 in doubt, 7 regressed in
/// what a trigger writes.
const RESTORED: &str = "
insert into orders values (1, 'A', 'Open', 1, 'x', null), (2, 'B', 'Open', 2, 'x', null), (3, 'C', 'Created', 3, 'x', null),
  (5, 'E', 'Open', 5, 'x', null), (7, 'G', 'Open', 7, 'x', null);
insert into plans values (50, 5, 'Running');
";

const SCHEMA: &str = r#"
[schema.order]
table = "orders"
key = "id"
label = "sf"
identity = ["sf"]
state = "status"
states = ["Created", "Open", "Done"]
cancelled = ["Cancelled"]
refs = { prior = "order" }
[schema.order_item]
table = "items"
key = "id"
owner = "order_id"
[schema.plan]
table = "plans"
key = "id"
owner = "order_id"
state = "state"
in_progress = ["Running"]
"#;

const EVENTS: &[Event<'static>] = &[
    ("order", "1", "upsert", r#"{"status":"Open"}"#),
    ("order", "2", "upsert", r#"{"status":"Open"}"#),
    ("order", "4", "insert", r#"{"sf":"D","status":"Open","amount":"4"}"#),
    ("order_item", "40", "insert", r#"{"order_id":4,"action":"New"}"#),
    (
        "order",
        "3",
        "upsert",
        r#"{"status":"Open","amount":"3.5","touched":"x"}"#,
    ),
    ("order", "7", "upsert", r#"{"touched":"y"}"#),
];

/// The same on either database.
fn everywhere(test: impl Fn(World)) {
    let sql = format!("{TABLES}{RESTORED}");
    test(World::new(&sql, SCHEMA, EVENTS));
    test(World::on_sqlite(&sql, SCHEMA, EVENTS));
}

fn decide(world: &World, id: &str, verb: &str) {
    world.run(&["claim", id]).ended(0);
    world.run(&["resolve", id, verb, "--reason", "so"]).ended(0);
}

fn finding(world: &World, case: &str, entity: &str) -> Json {
    let case = world.case(case);
    let findings = case["findings"].as_array().unwrap();
    findings.iter().find(|f| f["entity"] == entity).unwrap().clone()
}

fn prove(world: &World, id: &str) -> String {
    let ran = world.run(&["prove", id, "--json"]);
    assert!(matches!(ran.code, 0 | 3), "{}", ran.err);
    ran.json()["state"].as_str().unwrap().to_owned()
}

#[test]
fn traffic_since_the_opening_opens_no_case() {
    everywhere(|world| {
        let first = world.scan();
        assert_eq!(first["cases"]["opened"], 4);
        let opened = world.found();
        world.sql(
            "update orders set status = 'Done' where id = 1; delete from orders where id = 2;
             insert into orders values (8, 'H', 'Open', 1, 'x', 4); insert into plans values (80, 8, 'Running');
             update plans set state = 'Completed' where id = 50",
        );
        let second = world.scan();
        assert_eq!(world.found(), opened, "in doubt is as at the opening");
        assert_eq!(
            second["cases"],
            json!({"total": 4, "opened": 0, "updated": 1, "gone": 0})
        );
        assert_eq!(second["since_opening"], json!({"order": 2, "order_item": 0, "plan": 0}));
        assert_eq!(second["opening"], first["opening"]);
        let words = world.run(&["scan"]).ended(3).out;
        assert!(
            words.contains("rows that traffic moved since the opening at") && words.contains("order 2"),
            "{words}"
        );
        // What the log tells late is damage still, where the row stood still.
        let mut events = EVENTS.to_vec();
        events.push(("order", "1", "upsert", r#"{"amount":"9"}"#));
        events.push(("order", "5", "upsert", r#"{"amount":"9"}"#));
        world.log(&events);
        world.scan();
        assert!(world.found().contains(&"order 5 regressed".to_owned()));
        assert!(!world.found().contains(&"order 1 regressed".to_owned()));
    });
}

#[test]
fn the_id_of_a_lost_order_that_traffic_took_is_never_written_under() {
    everywhere(|world| {
        world.scan();
        world.sql(
            "insert into orders values (4, 'another', 'Open', 1, 'x', null), (8, 'H', 'Open', 1, 'x', null);
             insert into items values (40, 8, 'Change')",
        );
        let second = world.scan();
        assert_eq!(second["cases"]["opened"], 0);
        let order = finding(&world, "order:4", "order");
        assert_eq!(
            (&order["kind"], &order["since_opening"], &order["there_at_opening"]),
            (&json!("collided"), &json!(true), &json!(false))
        );
        world.run(&["claim", "order:4"]).ended(0);
        let refused = world.run(&["resolve", "order:4", "reapply", "--reason", "so"]).ended(4);
        assert!(refused.err.contains("was reused"), "{}", refused.err);
        // The order's own key is free again, its item's still belongs to a new order.
        world.sql("delete from orders where id = 4");
        world.scan();
        assert_eq!(finding(&world, "order:4", "order")["kind"], "lost");
        let refused = world.run(&["resolve", "order:4", "reapply", "--reason", "so"]).ended(4);
        assert!(refused.err.contains("appeared after the opening"), "{}", refused.err);
        let shown = world.run(&["show", "order:4"]).ended(0).out;
        assert!(shown.contains("not there at the opening"), "{shown}");
    });
}

#[test]
fn what_moves_on_after_a_decision_disproves_nothing() {
    everywhere(|world| {
        world.scan();
        decide(&world, "order:3", "reapply");
        world.run(&["done", "order:3", "--evidence", "t"]).ended(0);
        // Given the log's values, then worked on: another amount, a trigger's column, a new reference.
        world.sql("update orders set status = 'Open', amount = 9.25, touched = 'z', prior = 1 where id = 3");
        assert_eq!(prove(&world, "order:3"), "proven");
        world.scan();
        assert_eq!(world.case("order:3")["state"], "proven");
        // Half of it was never written: that is no progress.
        decide(&world, "order:4", "reapply");
        world.run(&["done", "order:4", "--evidence", "t"]).ended(0);
        world.sql("insert into orders values (4, 'D', 'Created', 4, 'x', null)");
        assert_eq!(prove(&world, "order:4"), "open");
        // Decided anew before any scan: the row that came back half is no news.
        world.sql("insert into items values (40, 4, 'New')");
        world
            .run(&["resolve", "order:4", "keep", "--reason", "the shop agrees"])
            .ended(0);
        world.scan();
        assert_eq!(world.case("order:4")["state"], "proven");
    });
}

#[test]
fn a_field_that_moved_shows_what_it_was_at_the_opening() {
    everywhere(|world| {
        world.scan();
        world.sql("update orders set status = 'Half' where id = 3");
        world.scan();
        let moved = finding(&world, "order:3", "order");
        assert_eq!(moved["since_opening"], true);
        let field = |name: &str| {
            let fields = moved["fields"].as_array().unwrap();
            fields.iter().find(|f| f["name"] == name).unwrap().clone()
        };
        assert_eq!(
            (&field("status")["restored"], &field("status")["opening"]),
            (&json!("Half"), &json!("Created"))
        );
        assert_eq!(field("amount")["opening"], Json::Null, "it did not move");
        let shown = world.run(&["show", "order:3"]).ended(0).out;
        assert!(shown.contains("status: Created at the opening"), "{shown}");
    });
}

#[test]
fn a_second_restore_keeps_cases_notes_and_reasons_and_asks_for_every_proof_again() {
    everywhere(|world| {
        world.scan();
        decide(&world, "order:3", "reapply");
        decide(&world, "order:4", "reapply");
        decide(&world, "order:5", "keep");
        world.run(&["note", "order:3", "the shop knows"]).ended(0);
        world.sql(
            "update orders set status = 'Open', amount = 3.5 where id = 3; insert into orders values (4, 'D', 'Open', 4, 'x', null);
             insert into items values (40, 4, 'New')",
        );
        assert_eq!(
            (prove(&world, "order:3"), prove(&world, "order:4")),
            ("proven".to_owned(), "proven".to_owned())
        );
        // Restored once more, to a minute later: 3 is as before, and order 4 had come by then.
        world.sql(&format!(
            "delete from orders; delete from items; delete from plans; {RESTORED}
             insert into orders values (4, 'D', 'Open', 4, 'x', null); insert into items values (40, 4, 'New')"
        ));
        let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
        let later = config.replace("14:05:00Z", "14:06:04Z");
        world.night.write("restitch.toml", &later);
        world.run(&["scan"]).ended(4).says(&["attempt = 2"]);
        world.night.write(
            "restitch.toml",
            later.replace("id = \"night\"", "id = \"night\"\nattempt = 2"),
        );
        let first = world.scan();
        assert_eq!((&first["attempt"], &first["cases"]["total"]), (&json!(2), &json!(4)));
        for (id, state) in [
            ("order:3", "applied"),
            ("order:4", "applied"),
            ("order:5", "proven"),
            ("order:7", "open"),
        ] {
            assert_eq!(world.case(id)["state"], state, "{id}");
        }
        assert_eq!(
            (prove(&world, "order:3"), prove(&world, "order:4")),
            ("open".to_owned(), "proven".to_owned())
        );
        let again = world.run(&["show", "order:3", "--json"]).ended(0).json();
        assert_eq!(
            (&again["disproven"], &again["decision"]["reason"]),
            (&json!(true), &json!("so"))
        );
        assert_eq!(again["notes"][0]["text"], "the shop knows");
        // The opening is that of this restore.
        world.sql("update orders set status = 'Done' where id = 1");
        let second = world.scan();
        assert_eq!(
            (&second["opening"], &second["since_opening"]["order"]),
            (&first["opening"], &json!(1))
        );
        let trail = world.run(&["audit", "list", "--json"]).lines();
        let lines: Vec<&Json> = trail.iter().filter(|l| l["action"] == "attempt").collect();
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0]["why"]
                .as_str()
                .unwrap()
                .contains("2 proven cases are to be proven again"),
            "{lines:?}"
        );
        world.run(&["audit", "verify"]).ended(0);
    });
}

#[test]
fn a_field_that_is_noise_is_ignored_with_a_reason_and_compared_again() {
    everywhere(|world| {
        world.scan();
        let before = world.found();
        assert!(before.contains(&"order 7 regressed".to_owned()));
        world.run(&["ignore", "order.touched"]).ended(2);
        world
            .run(&["ignore", "order.tuched", "--reason", "x"])
            .ended(2)
            .says(&["no case has a difference in order.tuched"]);
        world
            .run(&["ignore", "order.touched", "--reason", "x", "--readonly"])
            .ended(4);
        let said = world
            .run(&["ignore", "order.touched", "--reason", "a trigger writes it"])
            .ended(0)
            .out;
        assert!(
            said.contains("[schema.order]") && said.contains(r#"ignore = ["touched"]"#),
            "{said}"
        );
        let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
        assert!(!config.contains("ignore"), "nothing is written to the configuration");
        let listed = world.run(&["ignore", "--json"]).ended(0).lines();
        assert_eq!(
            (&listed[0]["column"], &listed[0]["reason"]),
            (&json!("touched"), &json!("a trigger writes it"))
        );
        // What the log says of an ignored column is not shown any more: order 3 is told so too.
        let scanned = world.scan();
        assert_eq!(
            scanned["cases"],
            json!({"total": 4, "opened": 0, "updated": 1, "gone": 1})
        );
        assert_eq!(world.case("order:7")["state"], "gone");
        assert_eq!(
            scanned["since_opening"]["order"], 0,
            "a column ignored later is no change"
        );
        world
            .run(&["ignore", "order.touched", "--undo", "--reason", "it matters"])
            .ended(0);
        world.scan();
        assert_eq!(
            (world.case("order:7")["state"].clone(), found(&world.cases())),
            (json!("open"), before)
        );
        let trail = world.run(&["audit", "list", "--json"]).lines();
        assert_eq!(
            trail
                .iter()
                .filter(|l| l["action"] == "ignore" && l["outcome"] == "ok")
                .count(),
            1
        );
    });
}

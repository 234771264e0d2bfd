//! The ledger in the restored database itself: rows and decision are written in one transaction, or neither is.

use crate::world::{Event, Place, World};
use serde_json::json;

#[path = "effects_cut.rs"]
mod effects_cut;

/// No decision leaves its key in a table of its own here.
const MARKER: &str = "";

/// What is said where the answer was lost and found again: what the transaction itself had written.
const SETTLED: &str = "in one transaction with the ledger";
/// Whether it is said where nothing was lost too.
const UNCUT: bool = true;

/// How often something was done under this key.
fn done_by(world: &World, key: &str) -> String {
    world.sql(&format!(
        "select count(*) from restitch.effects where key = '{key}' and state = 'done'"
    ))
}

fn begin(sql: &str, schema: &str, events: &[Event<'_>]) -> World {
    World::with_ledger(Place::Restored, sql, schema, events)
}

const TABLES: &str = "
create table orders (id bigint primary key, status text);
insert into orders values (1, 'Open'), (2, 'Open');
";

fn world() -> World {
    let world = begin(
        TABLES,
        "[schema.order]\ntable = \"orders\"\nkey = \"id\"\nstate = \"status\"\n[effects]\nreapply = { do = \"sql\" }",
        &[
            ("order", "1", "upsert", r#"{"status":"Done"}"#),
            ("order", "2", "upsert", r#"{"status":"Done"}"#),
        ],
    );
    world.scan();
    world.run(&["claim", "order:1", "order:2"]).ended(0);
    world
}

const REAPPLY: [&str; 6] = ["resolve", "order:1", "reapply", "--reason", "so", "--json"];

#[test]
fn rows_and_ledger_are_written_in_one_transaction() {
    let world = world();
    world.sql(
        "create table seen (id bigint, effects text, at timestamptz default clock_timestamp());
         create function look() returns trigger language plpgsql as $$ begin
             insert into seen select new.id, string_agg(state, ' ') from restitch.kept_effects; return null;
         end $$;
         create constraint trigger look after update on orders deferrable initially deferred
             for each row execute function look()",
    );
    let doctor = world.run(&["doctor"]);
    assert!(
        doctor
            .out
            .contains("in one transaction: the ledger stands in this database"),
        "{}",
        doctor.out
    );
    let done = world.run(&REAPPLY).ended(0).json();
    assert_eq!(done["cases"], json!([{"case": "order:1", "state": "proven"}]));
    assert_eq!(
        done["effect"]["outcome"],
        "sql: 1 row written, in one transaction with the ledger"
    );
    assert_eq!(world.sql("select status from orders where id = 1"), "Done");
    world.run(&["undo", "order:1", "--reason", "wrong order"]).ended(0);
    assert_eq!(world.sql("select status from orders where id = 1"), "Open");
    // When the rows were committed, their own transaction had the effect as done.
    assert_eq!(
        world.sql("select id, effects from seen order by at"),
        "1|done\n1|done done"
    );
    assert_eq!(world.case("order:1")["state"], "open");
    world.run(&["audit", "verify"]).ended(0);
    let mut lines = world.run(&["audit", "list", "--json"]).ended(0).lines();
    lines.retain(|l| l["action"] == "apply");
    let outcomes: Vec<&str> = lines.iter().map(|l| l["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["unconfirmed", "ok", "unconfirmed", "ok"]);
}

#[test]
fn a_row_not_as_it_was_shown_leaves_the_case_open() {
    let world = world();
    world.sql("update orders set status = 'Half' where id = 1");
    world
        .run(&REAPPLY)
        .ended(4)
        .says(&["status is Half now, it was shown as Open"]);
    assert_eq!(world.case("order:1")["state"], "open");
    assert_eq!(world.sql("select status from orders where id = 1"), "Half");
    assert_eq!(world.sql("select state from restitch.kept_effects"), "failed");
}

/// The trail names whoever is logged in: under another login the effect is written in two steps, by its key, and that is said.
#[test]
fn another_login_writes_in_two_steps_and_says_so() {
    let world = world();
    let (port, db) = (world.port(), world.db.as_ref().unwrap());
    let to = format!("[effects]\nsslmode = \"disable\"\nurl = \"postgres://om_writer@127.0.0.1:{port}/{db}\"");
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    world.night.write("restitch.toml", config.replace("[effects]", &to));
    world.sql(
        "do $$ begin create role om_writer login; exception when duplicate_object then null; end $$;
               grant select, update on orders to om_writer",
    );
    world.run(&REAPPLY).ended(1).says(&["CREATE TABLE restitch_decisions"]);
    let grants = world.run(&["ledger", "grants"]).ended(0);
    let made = grants.out.split("too:\n").nth(1).unwrap();
    world
        .run(&["ledger", "create"])
        .ended(0)
        .says(&["CREATE TABLE restitch_decisions"]);
    world.sql(made);
    assert!(
        !world
            .run(&["ledger", "create"])
            .ended(0)
            .err
            .contains("restitch_decisions")
    );
    let doctor = world.run(&["doctor"]);
    assert!(
        doctor
            .out
            .contains("two steps, for the ledger in this database is opened by another login"),
        "{}",
        doctor.out
    );
    let done = world.run(&REAPPLY).ended(0).json();
    assert_eq!(done["effect"]["outcome"], "sql: 1 row written");
    assert_eq!(world.sql("select count(*) from restitch_decisions"), "1");
    assert_eq!(world.case("order:1")["state"], "proven");
}

//! The same with the ledger of a war room.

use crate::support::kafka::kafka;
use crate::world::{Event, Place, World};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[path = "effects.rs"]
mod effects;
#[path = "effects_sent.rs"]
mod effects_sent;

/// Tells these tests from those of other ledgers.
const NAME: &str = "server";

/// Nobody sits at it: it carries out what others decided, and may do nothing else.
#[test]
fn a_relay_sends_what_was_decided_after_its_decider_is_gone() {
    let topic = kafka().topic("relay", 1);
    let world = effects_sent::world(&format!(
        "grace = \"5s\"\nresubmit = {{ do = \"kafka\", topic = \"{topic}\", brokers = [\"{}\"] }}",
        kafka().brokers()
    ));
    let decide = [
        "resolve",
        "order:50",
        "resubmit",
        "--reason",
        "so",
        "--evidence",
        "billing: no",
        "--confirm",
        "order:50",
    ];
    let mut decider = world
        .night
        .command(&decide)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while world.case("order:50")["state"] != "to_do" {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is never decided");
    }
    decider.kill().unwrap();
    decider.wait().unwrap();
    let url = world.ledger_as("relay", "relay");
    let as_relay = |args: &[&str]| world.run(&[&["--ledger", &url], args].concat());
    while world.case("order:50")["state"] == "to_do" {
        assert!(begun.elapsed() < Duration::from_mins(1), "it is never sent");
        as_relay(&["prove"]).ended(3);
    }
    assert_eq!(world.case("order:50")["state"], "applied");
    assert_eq!(effects_sent::messages(&kafka().brokers(), &topic).len(), 1);
    world.sql("insert into orders values (1050, 'SF50', 'Created')");
    as_relay(&["prove", "order:50"]).ended(3);
    assert_eq!(world.case("order:50")["state"], "proven");
    for deed in [
        &["claim", "order:51"][..],
        &["drop", "order:51"],
        &["undo", "order:50", "--reason", "x"],
        &["note", "order:51", "x"],
    ] {
        as_relay(deed)
            .ended(4)
            .says(&["relay is a relay, which carries out what others decided"]);
    }
    world.run(&["audit", "verify"]).ended(0);
}

#[test]
fn an_anchor_outside_finds_a_tail_that_a_dba_cut() {
    let world = begin(
        "create table orders (id bigint primary key, status text); insert into orders values (1, 'Open')",
        "[schema.order]\ntable = \"orders\"\nkey = \"id\"",
        &[("order", "1", "upsert", r#"{"status":"Done"}"#)],
    );
    world.scan();
    world.run(&["note", "order:1", "asked billing"]).ended(0);
    world.run(&["note", "order:1", "they called back"]).ended(0);
    world.run(&["audit", "anchor", "--to", "anchors"]).ended(0);
    world.run(&["audit", "verify", "--anchor", "anchors"]).ended(0);
    world.ledger_sql(
        "delete from restitch.kept_audit where seq > 2;
         update restitch.kept_heads set seq = 2, hash = (select hash from restitch.kept_audit where seq = 2)",
    );
    world.run(&["audit", "verify"]).ended(0);
    world
        .run(&["audit", "verify", "--anchor", "anchors"])
        .ended(5)
        .says(&["is gone with all after it"]);
}

#[test]
fn a_report_has_its_four_forms() {
    let world = begin(
        "create table orders (id bigint primary key, status text); insert into orders values (1, 'Open'), (2, 'Open');
         create table restitch_decisions (key text primary key, at timestamptz not null, by text not null, digest text not null)",
        "[schema.order]\ntable = \"orders\"\nkey = \"id\"\n[effects]\nreapply = { do = \"sql\" }",
        &[("order", "1", "upsert", r#"{"status":"Done"}"#), ("order", "2", "upsert", r#"{"status":"Done"}"#)],
    );
    world.scan();
    world.run(&["claim", "order:1"]).ended(0);
    world
        .run(&["resolve", "order:1", "reapply", "--reason", "billing confirms"])
        .ended(0);
    world
        .run(&["resolve", "order:2", "keep", "--reason", "not mine"])
        .ended(4);
    for (form, words) in [
        (
            "md",
            &[
                "# Report of incident night",
                "| order:1 | reapply | demo | sql | done |",
                "billing confirms",
            ][..],
        ),
        ("html", &["<!doctype html>", "billing confirms", "1 row written"]),
        ("csv", &["order:1", "order:2", "proven", "open"]),
    ] {
        let told = world.run(&["report", "--format", form]).ended(0);
        for word in words {
            assert!(
                told.out.to_lowercase().contains(&word.to_lowercase()),
                "{form}: {word:?} is not in {}",
                told.out
            );
        }
    }
    let told = world.run(&["report", "--format", "json"]).ended(0).json();
    assert_eq!(
        (&told["figures"]["states"]["proven"], &told["figures"]["total"]),
        (&1.into(), &2.into())
    );
    assert_eq!(
        (&told["audit"]["whole"], &told["effects"][0]["state"]),
        (&true.into(), &"done".into())
    );
    assert_eq!(world.run(&["report", "--brief"]).ended(0).out.lines().count(), 5);
}

fn begin(sql: &str, schema: &str, events: &[Event<'_>]) -> World {
    World::with_ledger(Place::Server, sql, schema, events)
}

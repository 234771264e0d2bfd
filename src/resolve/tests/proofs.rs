//! Proofs against a real restored database.

use super::*;
use crate::domain::progress::Progress;
use crate::ledger::Ledger;
use crate::ledger::tests::{Room, asking, claim, store};
use crate::resolve::prove::{Proven, prove};
use crate::restored::sqlite::Sqlite;
use serde_json::Value as Json;
use std::path::PathBuf;

/// A ledger and a restored database that people change.
struct World {
    room: Room,
    ledger: Ledger,
}

const TABLES: &str = "
    CREATE TABLE orders (id bigint PRIMARY KEY, external_id text, status text, amount numeric(10,2), msisdn text,
                         prior_order_id bigint, data jsonb, changed timestamptz);
    CREATE TABLE order_items (id bigint PRIMARY KEY, order_id bigint, inventory_item_id bigint, asset_ref text);
    CREATE TABLE orch_items (id bigint PRIMARY KEY, order_id bigint, state text);
    CREATE TABLE inventory_items (id bigint PRIMARY KEY, reference_id text);";

impl World {
    fn new(sql: &str) -> Self {
        let mut room = Room::new();
        let entities = &mut room.config.schema.entities;
        entities[0].identity = vec!["external_id".to_owned()];
        entities[0].states = ["Created", "Accepted", "Activated"].map(str::to_owned).to_vec();
        entities[0].mask = vec!["msisdn".to_owned()];
        entities[0].ignore = vec!["changed".to_owned()];
        entities[2].state = Some("state".to_owned());
        entities[2].states = ["Ready", "Running", "Completed"].map(str::to_owned).to_vec();
        let ledger = room.open("ana");
        let world = Self { room, ledger };
        world.sql(TABLES);
        world.sql(sql);
        world
    }

    fn path(&self) -> PathBuf {
        self.room.path().with_file_name("restored.db")
    }

    fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    /// Stores the cases, and decides the first of them.
    fn decide(&mut self, cases: Vec<FoundCase>, verb: Verb) {
        self.decide_with(cases, verb, |_| ());
    }

    fn decide_with(
        &mut self,
        cases: Vec<FoundCase>,
        verb: Verb,
        change: impl FnOnce(&mut crate::domain::queue::Decide),
    ) {
        let id = cases[0].id.clone();
        store(&mut self.ledger, cases);
        let chain = self.ledger.chain(&id).unwrap();
        let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
        claim(&mut self.ledger, &chain);
        self.ledger.decide(&asking(&id, verb).tap(change)).unwrap();
    }

    fn prove(&mut self) -> Proven {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut restored = Sqlite::open(&self.path()).unwrap();
        let config = &self.room.config;
        runtime
            .block_on(prove(
                config,
                &mut self.ledger,
                &mut restored,
                None,
                &Progress::default(),
            ))
            .unwrap()
    }

    /// What a proof says of a case: its state, and what was read.
    fn read(&mut self, id: &str) -> (State, String) {
        self.prove();
        let file = self.ledger.case(id).unwrap().unwrap();
        let read = file.decision.and_then(|d| d.proof).map(|(_, read)| read);
        (file.state, read.unwrap_or_default())
    }
}

fn log(fields: &[(&str, Json)]) -> Vec<FamilyField> {
    fields
        .iter()
        .map(|(name, value)| FamilyField {
            name: (*name).to_owned(),
            restored: None,
            log: Some(value.clone()),
            by: None,
            differs: true,
            coarse: None,
        })
        .collect()
}

/// Order 1, SFO-1, Accepted, with these findings on its row.
fn sfo(kinds: &[Kind]) -> FoundCase {
    order("1", kinds).tap(|c| {
        c.family[0].fields = log(&[
            ("id", json!("1")),
            ("external_id", json!("SFO-1")),
            ("status", json!("Accepted")),
            ("amount", json!("1.5")),
        ]);
    })
}

fn row(entity: &str, key: &str, fields: &[(&str, Json)]) -> FamilyRow {
    FamilyRow {
        entity: entity.to_owned(),
        key: key.to_owned(),
        kinds: Vec::new(),
        restored: true,
        bad: None,
        log: Some(true),
        fields: log(fields),
        refs: Vec::new(),
    }
}

fn said(read: &(State, String), state: State, words: &str) {
    let (stands, read) = read;
    assert_eq!(*stands, state, "{read}");
    assert!(read.contains(words), "{read:?} says no {words:?}");
}

#[test]
fn reapplied_means_as_the_log_says_or_further() {
    for (sql, state, words) in [
        ("", State::ToDo, "SFO-1 is not there"),
        (
            "INSERT INTO orders (id, external_id, status, amount) VALUES (1, 'SFO-1', 'Accepted', 1.50)",
            State::Proven,
            "1 row as the log says",
        ),
        (
            "INSERT INTO orders (id, external_id, status, amount) VALUES (1, 'SFO-1', 'Created', 1.50)",
            State::ToDo,
            "status is Created, the log says Accepted",
        ),
        (
            "INSERT INTO orders (id, external_id, status, amount) VALUES (1, 'SFO-1', 'Accepted', 2)",
            State::ToDo,
            "amount is 2",
        ),
        (
            "INSERT INTO orders (id, external_id, status, amount) VALUES (1, 'SFO-1', 'Activated', 2)",
            State::Proven,
            "further than the log says",
        ),
        (
            "INSERT INTO orders (id, external_id, status, amount) VALUES (1, 'SFO-9', 'Accepted', 1.50)",
            State::ToDo,
            "the key of SFO-1 belongs to another",
        ),
    ] {
        let mut world = World::new("");
        world.decide(vec![sfo(&[Kind::Lost])], Verb::Reapply);
        world.sql(sql);
        said(&world.read("order:1"), state, words);
    }
}

#[test]
fn what_was_done_and_does_not_hold_is_open_again() {
    let mut world =
        World::new("INSERT INTO orders (id, external_id, status, amount) VALUES (1, 'SFO-1', 'Created', 1.5)");
    world.decide(vec![sfo(&[Kind::Regressed])], Verb::Reapply);
    assert_eq!(
        world.prove(),
        Proven {
            waiting: 1,
            ..Proven::default()
        }
    );
    world.ledger.done("order:1", "set by hand").unwrap();
    assert_eq!(
        world.prove(),
        Proven {
            disproven: 1,
            ..Proven::default()
        }
    );
    said(&world.read("order:1"), State::Open, "status is Created");
    assert_eq!(world.prove(), Proven::default(), "nothing is decided now");

    world.ledger.decide(&asking("order:1", Verb::Reapply)).unwrap();
    world.sql("UPDATE orders SET status = 'Accepted'");
    assert_eq!(
        world.prove(),
        Proven {
            proven: 1,
            ..Proven::default()
        }
    );
}

#[test]
fn deleted_again_means_gone_or_reused() {
    for (sql, state) in [
        ("", State::ToDo),
        ("DELETE FROM orders", State::Proven),
        ("UPDATE orders SET external_id = 'SFO-9'", State::Proven),
    ] {
        let mut world = World::new("INSERT INTO orders (id, external_id, status) VALUES (1, 'SFO-1', 'Accepted')");
        world.decide(vec![sfo(&[Kind::Undeleted])], Verb::Reapply);
        world.sql(sql);
        assert_eq!(world.read("order:1").0, state, "{sql}");
    }
}

#[test]
fn no_difference_that_is_none_and_no_masked_value() {
    let mut world = World::new(
        "INSERT INTO orders (id, external_id, status, amount, msisdn, data, changed)
         VALUES (1, 'SFO-1', 'Accepted', '1.50', '+491', '{\"b\": 1, \"a\": 2}', '2026-11-22 14:09:11+00')",
    );
    let case = sfo(&[Kind::Regressed]).tap(|c| {
        c.family[0].fields.extend(log(&[
            ("data", json!("{\"a\":2,\"b\":1.0}")),
            ("changed", json!("2025-01-01T00:00:00Z")),
            ("msisdn", json!("+492")),
            ("not_a_column", json!("ignored")),
        ]));
    });
    world.decide(vec![case], Verb::Reapply);
    said(&world.read("order:1"), State::ToDo, "SFO-1: msisdn differs");
    world.sql("UPDATE orders SET msisdn = '+492'");
    said(&world.read("order:1"), State::Proven, "as the log says");
}

/// Order 2, whose item 20 refers to inventory item 12, lost with order 1.
fn orphan() -> Vec<FoundCase> {
    let missing = Missing {
        entity: "inventory_item".to_owned(),
        column: None,
        key: "12".to_owned(),
    };
    let case = waiting("2", &[Kind::Orphaned], &["1"]).tap(|c| {
        c.missing = vec![missing.clone()];
        c.family
            .push(row("order_item", "20", &[("inventory_item_id", json!("12"))]).tap(|r| {
                r.refs.push(FamilyRef {
                    column: "inventory_item_id".to_owned(),
                    to: missing,
                    present: false,
                });
            }));
    });
    let blocker = sfo(&[Kind::Lost]).tap(|c| {
        c.findings.push(finding("inventory_item", "12", Kind::Lost));
        c.family
            .push(row("inventory_item", "12", &[("reference_id", json!("R-12"))]));
    });
    vec![case, blocker]
}

const ITEM: &str = "INSERT INTO orders (id, external_id, status) VALUES (2, 'SFO-2', 'Activated');
                    INSERT INTO order_items (id, order_id, inventory_item_id) VALUES (20, 2, 12);";

#[test]
fn reapplying_brings_back_what_it_refers_to() {
    let mut world = World::new(ITEM);
    world.decide(orphan(), Verb::Reapply);
    said(
        &world.read("order:2"),
        State::ToDo,
        "order item 20: inventory_item_id names 12, which is not there",
    );
    world.sql("INSERT INTO inventory_items VALUES (12, 'R-12')");
    said(&world.read("order:2"), State::Proven, "what it refers to is there");
    said(&world.read("order:1"), State::ToDo, "SFO-1 is not there");
}

#[test]
fn a_reused_key_is_not_what_was_missing() {
    let mut world = World::new(ITEM);
    world.room.config.schema.entities[3].identity = vec!["reference_id".to_owned()];
    world.decide(orphan(), Verb::Reapply);
    world.sql("INSERT INTO inventory_items VALUES (12, 'R-99')");
    said(&world.read("order:2"), State::ToDo, "names 12, which is not there");
    world.sql("UPDATE inventory_items SET reference_id = 'R-12'");
    assert_eq!(world.read("order:2").0, State::Proven);
}

#[test]
fn relinked_means_every_reference_names_a_row_that_is_there() {
    for (sql, state, words) in [
        ("", State::ToDo, "names 12, which is not there"),
        (
            "UPDATE order_items SET inventory_item_id = 15",
            State::ToDo,
            "names 15, which is not there",
        ),
        (
            "UPDATE order_items SET inventory_item_id = 13",
            State::Proven,
            "is there",
        ),
        (
            "UPDATE order_items SET inventory_item_id = NULL",
            State::ToDo,
            "inventory_item_id names nothing",
        ),
        (
            "INSERT INTO inventory_items VALUES (12, 'R-12')",
            State::Proven,
            "is there",
        ),
    ] {
        let mut world = World::new(ITEM);
        world.sql("INSERT INTO inventory_items VALUES (13, 'R-13')");
        world.decide_with(orphan(), Verb::Relink, |d| {
            d.reference = Some("inventory_item_id".to_owned());
            d.to = Some("13".to_owned());
        });
        world.sql(sql);
        said(&world.read("order:2"), state, words);
    }
}

#[test]
fn references_by_another_column_are_followed_too() {
    for (sql, state) in [
        ("", State::ToDo),
        ("INSERT INTO inventory_items VALUES (7, 'R-12')", State::Proven),
        ("UPDATE order_items SET asset_ref = 'R-13'", State::Proven),
        ("UPDATE order_items SET asset_ref = 'R-14'", State::ToDo),
    ] {
        let mut world = World::new(ITEM);
        world.sql("UPDATE order_items SET asset_ref = 'R-12'; INSERT INTO inventory_items VALUES (13, 'R-13')");
        let mut cases = orphan();
        let missing = Missing {
            entity: "inventory_item".to_owned(),
            column: Some("reference_id".to_owned()),
            key: "R-12".to_owned(),
        };
        cases[0].missing = vec![missing.clone()];
        cases[0].family[1].refs[0] = FamilyRef {
            column: "asset_ref".to_owned(),
            to: missing,
            present: false,
        };
        world.decide_with(cases, Verb::Relink, |d| {
            d.reference = Some("asset_ref".to_owned());
            d.to = Some("R-13".to_owned());
        });
        world.sql(sql);
        assert_eq!(world.read("order:2").0, state, "{sql}");
    }
}

#[test]
fn resubmitted_means_an_order_of_that_identity_is_there() {
    for (sql, state, words) in [
        ("", State::ToDo, "no order of the identity of SFO-1"),
        (
            "INSERT INTO orders (id, external_id) VALUES (1, 'SFO-9')",
            State::ToDo,
            "no order of the identity",
        ),
        (
            "INSERT INTO orders (id, external_id) VALUES (55, 'SFO-1')",
            State::Proven,
            "there as order 55",
        ),
        (
            "INSERT INTO orders (id, external_id) VALUES (1, 'SFO-1')",
            State::Proven,
            "there as order 1",
        ),
    ] {
        let mut world = World::new("");
        world.decide(vec![sfo(&[Kind::Lost])], Verb::Resubmit);
        world.sql(sql);
        said(&world.read("order:1"), state, words);
    }
}

#[test]
fn cancelled_means_in_a_state_that_counts_as_cancelled() {
    let mut world = World::new("INSERT INTO orders (id, external_id, status) VALUES (1, 'SFO-1', 'Accepted')");
    world.decide(vec![sfo(&[Kind::Regressed])], Verb::Cancel);
    said(&world.read("order:1"), State::ToDo, "SFO-1 is Accepted");
    world.sql("DELETE FROM orders");
    said(&world.read("order:1"), State::ToDo, "SFO-1 is not there");
    world.sql("INSERT INTO orders (id, external_id, status) VALUES (8, 'SFO-1', 'Cancelled')");
    said(&world.read("order:1"), State::Proven, "SFO-1 is Cancelled");
}

#[test]
fn superseded_means_the_other_order_is_there() {
    for to in ["99", "order:99", "SFO-99"] {
        let mut world = World::new("");
        world.decide_with(vec![sfo(&[Kind::Lost])], Verb::Supersede, |d| {
            d.to = Some(to.to_owned());
        });
        said(&world.read("order:1"), State::ToDo, "is not there");
        world.sql("INSERT INTO orders (id, external_id) VALUES (99, 'SFO-99')");
        said(&world.read("order:1"), State::Proven, "order 99 is there");
    }
}

#[test]
fn completed_means_at_or_past_the_log() {
    let case = || {
        order("1", &[Kind::InDoubt]).tap(|c| {
            c.family.push(row("plan_item", "71", &[("state", json!("Running"))]));
        })
    };
    for (now, state, words) in [
        ("Ready", State::Open, "stands before the log's state"),
        ("Running", State::Proven, "evidence is recorded"),
        ("Completed", State::Proven, "evidence is recorded"),
        ("Frozen", State::Applied, "cannot be held against"),
    ] {
        let mut world = World::new(&format!("INSERT INTO orch_items VALUES (71, 1, '{now}')"));
        world.decide(vec![case()], Verb::Complete);
        said(&world.read("order:1"), state, words);
    }
    // The log never names the row: it must not fall behind where it was.
    let mut world = World::new("INSERT INTO orch_items VALUES (71, 1, 'Completed')");
    let unnamed = case().tap(|c| c.family[1].fields.clear());
    world.decide(vec![unnamed], Verb::Complete);
    assert_eq!(world.read("order:1").0, State::Proven);
}

#[test]
fn proving_twice_adds_nothing() {
    let mut world = World::new("");
    world.decide(vec![sfo(&[Kind::Lost])], Verb::Reapply);
    world.prove();
    let before = world.ledger.revision().unwrap();
    assert_eq!(
        world.prove(),
        Proven {
            waiting: 1,
            ..Proven::default()
        }
    );
    assert_eq!(
        crate::ledger::tests::trail(&world.ledger)
            .iter()
            .filter(|l| l.action == "prove")
            .count(),
        1
    );
    assert!(world.ledger.revision().unwrap() >= before);
}

/// Order 1 with status and amount regressed, decided to be reapplied, and done.
fn reapplied(now: &str) -> World {
    let mut world = World::new(
        "INSERT INTO orders (id, external_id, status, amount, data) VALUES (1, 'SFO-1', 'Created', 1.00, 'null')",
    );
    let field = |name: &str, restored: Json, log: Json| FieldDiff {
        name: name.to_owned(),
        restored,
        log,
        by: 0,
        opening: None,
        undone: false,
    };
    let case = sfo(&[Kind::Regressed]).tap(|c| {
        c.family[0].restored = true;
        c.family[0].fields.extend(log(&[("prior_order_id", json!("7"))]));
        c.findings[0].fields = vec![
            field("status", json!("Created"), json!("Accepted")),
            field("amount", json!("1"), json!("1.5")),
        ];
    });
    world.sql("UPDATE orders SET prior_order_id = 7");
    world.decide(vec![case], Verb::Reapply);
    world.ledger.done("order:1", "ticket").unwrap();
    world.sql(now);
    world
}

#[test]
fn what_moves_on_after_a_reapply_disproves_nothing() {
    for (now, proven) in [
        // Forward in its states, and what the decision never wrote moves too.
        (
            "UPDATE orders SET status = 'Activated', amount = 1.50, prior_order_id = 8",
            true,
        ),
        (
            "UPDATE orders SET status = 'Accepted', amount = 1.50, prior_order_id = NULL",
            true,
        ),
        // One of the fields went on to a third value after both were written.
        ("UPDATE orders SET status = 'Accepted', amount = 9.00", true),
        // Half of it was forgotten: it stands as it did.
        ("UPDATE orders SET status = 'Accepted'", false),
        ("UPDATE orders SET amount = 1.50", false),
        // Neither was written.
        ("UPDATE orders SET prior_order_id = 8", false),
        ("UPDATE orders SET status = 'Unheard of', amount = 1.50", false),
    ] {
        let mut world = reapplied(now);
        let (state, read) = world.read("order:1");
        assert_eq!(state == State::Proven, proven, "{now}: {read}");
        if proven {
            assert!(
                read.contains("moved on from there") || read.contains("further than the log"),
                "{read}"
            );
        }
    }
}

#[test]
fn a_re_created_row_goes_on_but_is_not_half_written() {
    for (row, proven) in [
        ("(1, 'SFO-1', 'Accepted', 9.00)", false),
        ("(1, 'SFO-1', 'Activated', 9.00)", true),
        ("(1, 'SFO-1', 'Accepted', NULL)", false),
        ("(1, 'SFO-1', 'Created', 1.50)", false),
    ] {
        let mut world = World::new("");
        world.decide(vec![sfo(&[Kind::Lost])], Verb::Reapply);
        world.sql(&format!(
            "INSERT INTO orders (id, external_id, status, amount) VALUES {row}"
        ));
        let (state, read) = world.read("order:1");
        assert_eq!(state == State::Proven, proven, "{row}: {read}");
    }
}

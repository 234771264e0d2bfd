//! The list before workers start, by the real binary on PostgreSQL.

use crate::kubernetes::Kubernetes;
use crate::support::pg;
use crate::world::World;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

const SQL: &str = "
create table orders (id bigserial primary key, external_id text, status text);
create table items (id bigint primary key, order_id bigint, name text, type text, state text);
create table systems (id bigint primary key, name text, state text);
create table catalog (id bigint primary key, name text);
insert into orders values (1, 'SFO-1', 'In Progress'), (2, 'SFO-2', 'In Progress');
select setval('orders_id_seq', 2);
insert into items values (11, 1, 'billing.activate', 'Callout', 'Running'), (12, 2, 'mail.confirm', 'Callout', 'Running');
insert into systems values (7, 'MAIL', 'UP');
insert into catalog values (1, 'plan-a');
";

const SCHEMA: &str = r#"
[hold]
source = "file"
path = "held.ndjson"
[schema.order]
table = "orders"
key = "id"
label = "external_id"
identity = ["external_id"]
state = "status"
[schema.plan_item]
table = "items"
key = "id"
label = "name"
owner = "order_id"
state = "state"
type = "type"
in_progress = ["Running"]
outside = ["Callout"]
states = ["Pending", "Running", "Completed"]
[schema.system_instance]
table = "systems"
key = "id"
label = "name"
state = "state"
[schema.catalog]
table = "catalog"
key = "id"
"#;

/// Billing answered after T; mail was asked, and nobody knows. An order of id 40 was lost, MAIL was taken DOWN, a
/// catalogue row changed.
fn world() -> World {
    let world = World::new(
        SQL,
        SCHEMA,
        &[
            (
                "plan_item",
                "11",
                "upsert",
                r#"{"state":"Completed","order_id":1,"name":"billing.activate","type":"Callout"}"#,
            ),
            (
                "plan_item",
                "12",
                "upsert",
                r#"{"state":"Running","order_id":2,"name":"mail.confirm","type":"Callout"}"#,
            ),
            (
                "order",
                "40",
                "insert",
                r#"{"external_id":"SFO-40","status":"In Progress"}"#,
            ),
            ("system_instance", "7", "upsert", r#"{"name":"MAIL","state":"DOWN"}"#),
            ("catalog", "1", "upsert", r#"{"name":"plan-b"}"#),
        ],
    );
    world.night.write("held.ndjson", "");
    world
}

fn add(world: &World, more: &str) {
    let path = world.night.path("restitch.toml");
    let mut config = std::fs::read_to_string(&path).unwrap();
    write!(config, "\n{more}").unwrap();
    std::fs::write(path, config).unwrap();
}

/// The lines about something: how they stand, and what they say.
fn lines(list: &Json, about: &str) -> Vec<(String, String)> {
    let of = |l: &Json| l["about"] == about;
    let text = |l: &Json, key: &str| l[key].as_str().unwrap().to_owned();
    let lines = list["lines"].as_array().unwrap().iter().filter(|l| of(l));
    lines.map(|l| (text(l, "stand"), text(l, "what"))).collect()
}

#[track_caller]
fn says(list: &Json, about: &str, stand: &str, words: &[&str]) {
    let of = lines(list, about);
    let found = of
        .iter()
        .any(|(s, what)| s == stand && words.iter().all(|w| what.contains(w)));
    assert!(found, "{about} is not {stand} {words:?}: {of:#?}");
}

#[test]
fn what_will_happen_by_itself_is_one_list_with_cures() {
    let world = world();
    let old = pg().create_db();
    let before = format!(
        "[[log]]\nname = \"before\"\nsource = \"database\"\nurl = \"{}\"\nsslmode = \"disable\"\n",
        pg().url(&old)
    );
    // Before a scan hardly anything is known, and nothing is called clean.
    let list = world.run(&["restore", "ready", "--json"]).ended(3).json();
    says(&list, "opening", "red", &["the opening is not taken"]);
    says(&list, "fires", "cannot_tell", &["not known before a scan"]);
    says(&list, "hold", "cannot_tell", &["nobody has read the hold"]);
    says(&list, "old instance", "cannot_tell", &["not configured"]);

    world.scan();
    let list = world.run(&["restore", "ready", "--json"]).ended(3).json();
    says(
        &list,
        "fires",
        "red",
        &[
            "SFO-1: billing.activate would be done again",
            "it happened at 2026-11-22T14:06:01Z",
        ],
    );
    says(
        &list,
        "fires",
        "cannot_tell",
        &["SFO-2: mail.confirm", "nobody knows whether it happened"],
    );
    says(&list, "system", "red", &["MAIL", "is UP again"]);
    says(
        &list,
        "sequence",
        "red",
        &["orders_id_seq would next give 3", "ids up to 40"],
    );
    says(&list, "opening", "green", &["taken at"]);
    says(&list, "catalogue", "note", &["it changed after T (1 regressed)"]);
    says(&list, "way back", "note", &["is a way back until services start"]);
    says(&list, "grants cache", "note", &[]);
    for line in list["lines"].as_array().unwrap() {
        let cured = line["stand"] == "green" || !line["cure"].as_str().unwrap().is_empty();
        assert!(cured, "{line}");
    }
    // The worst first.
    let stands: Vec<&str> = list["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["stand"].as_str().unwrap())
        .collect();
    let rank = |s: &&str| ["red", "cannot_tell", "note", "green"].iter().position(|w| w == s);
    assert!(stands.is_sorted_by_key(rank), "{stands:?}");

    // The cures cure: the sequence is moved on, the system taken down, and a scan sees it.
    world.sql("select setval('orders_id_seq', 40); update systems set state = 'DOWN' where id = 7");
    world.scan();
    add(&world, &before);
    let list = world.run(&["restore", "ready", "--json"]).ended(3).json();
    says(&list, "sequence", "green", &["as of the scan of"]);
    says(&list, "system", "green", &["no system is UP"]);
    says(&list, "old instance", "green", &["(before) has no clients"]);
    let text = world.run(&["restore", "ready"]).ended(3).out;
    assert!(text.contains("RED          fires: SFO-1: billing.activate"), "{text}");
    assert!(
        text.contains("; do: decide case order:1 first, or hold its system DOWN"),
        "{text}"
    );
    assert!(
        text.lines().last().unwrap().starts_with("ready to open: 1 red, "),
        "{text}"
    );
}

#[test]
fn the_lead_says_go_and_what_stood_against_it_is_in_the_trail() {
    let world = world();
    world.scan();
    let user = restitch::ledger::who::current().system_user;
    // An operator cannot.
    add(&world, &format!("[roles]\noperator = [\"{user}\"]\n"));
    let refused = world.run(&["phase", "ready", "done", "--reason", "go"]).ended(4);
    assert!(
        refused.err.contains("it takes one to say that workers may start"),
        "{}",
        refused.err
    );
    world
        .run(&["phase", "services", "failed", "--reason", "two are missing"])
        .ended(0);
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    world
        .night
        .write("restitch.toml", config.replace("operator =", "lead ="));
    let ran = world
        .run(&["phase", "ready", "done", "--reason", "billing is held"])
        .ended(0);
    assert!(
        ran.err
            .contains("RED fires: SFO-1: billing.activate would be done again"),
        "{}",
        ran.err
    );
    let trail = world.run(&["audit", "list", "--json"]).ended(0).lines();
    let whys: Vec<&str> = trail
        .iter()
        .filter(|l| l["action"] == "phase")
        .filter_map(|l| l["why"].as_str())
        .collect();
    let go = whys.iter().find(|w| w.starts_with("ready done")).unwrap();
    assert!(go.contains("billing is held; 3 red, "), "{go}");
}

#[test]
fn services_that_did_not_wait_are_told_with_the_time() {
    let world = world();
    let api = Kubernetes::start();
    let kubeconfig = api.kubeconfig(&world.night.path(""));
    add(
        &world,
        &format!(
            "[cluster]\nnamespace = \"om\"\nkubeconfig = \"{}\"\n",
            kubeconfig.display()
        ),
    );
    api.deployment("web", &json!({"app": "web"}), 0, 0);
    world.scan();
    let list = world.run(&["restore", "ready", "--json"]).ended(3).json();
    assert_eq!(lines(&list, "services"), []);
    api.deployment("web", &json!({"app": "web"}), 1, 1);
    api.pod("web-1", &json!({"app": "web"}));
    let list = world.run(&["restore", "ready", "--json"]).ended(3).json();
    says(
        &list,
        "services",
        "red",
        &["services came up before anybody said go, ", ": web (1 ready)"],
    );
    says(&list, "way back", "note", &["is no way back since"]);
    // An API server that does not answer is a warning, and the rest is told all the same.
    drop(api);
    let ran = world.run(&["restore", "ready", "--json"]).ended(3);
    assert!(ran.err.contains("warning: "), "{}", ran.err);
    says(&ran.json(), "services", "red", &["web (1 ready)"]);
}

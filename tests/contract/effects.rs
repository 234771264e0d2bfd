//! §1, §3 and §5: what a decision does beyond the ledger, `sql` first: exactly what was shown, at most once, taken back
//! only while it stands as written.

use super::begin;
use crate::world::World;
use serde_json::{Value as Json, json};

pub const MARKER: &str = "create table restitch_decisions (key text primary key, at timestamptz not null, by text not null, digest text not null);";

const TABLES: &str = "
create schema om;
create domain om.sign as varchar(4) check (value <> 'bad');
create table om.orders (id bigint primary key, sf text, status text, prior bigint references om.orders, msisdn text,
                        touched timestamptz default now());
create table om.lines (order_id bigint references om.orders, nr int, what text, price numeric(10,2), primary key (order_id, nr));
insert into om.orders select i, 'SF' || i, 'Open', null, '+49170' || i from generate_series(1, 9) i;
insert into om.lines values (1, 1, 'a', 1.5), (4, 1, 'gone', 2);
";

const SCHEMA: &str = r#"
[schema.order]
table = "om.orders"
key = "id"
label = "sf"
identity = ["sf"]
state = "status"
cancelled = ["Cancelled"]
refs = { prior = "order" }
ignore = ["touched"]
mask = ["msisdn"]
[schema.order_item]
table = "om.lines"
key = ["order_id", "nr"]
owner = "order_id"
[effects]
grace = "0s"
reapply = { do = "sql" }
relink = { do = "sql" }
cancel = { do = "sql" }
"#;

/// Orders 1 and 2 regressed, 3 refers to what nobody knows, 4 was deleted, 50 and what it builds on are lost.
fn world() -> World {
    let world = begin(
        &format!("{TABLES}{MARKER}"),
        SCHEMA,
        &[
            ("order", "1", "upsert", r#"{"status":"Done","msisdn":"+49171"}"#),
            ("order_item", "1/1", "upsert", r#"{"price":"2.5"}"#),
            (
                "order_item",
                "1/2",
                "insert",
                r#"{"order_id":1,"nr":2,"what":"b","price":"0.1"}"#,
            ),
            ("order", "2", "upsert", r#"{"status":"Done"}"#),
            ("order", "3", "upsert", r#"{"prior":77}"#),
            ("order_item", "4/1", "delete", "null"),
            ("order", "4", "delete", "null"),
            (
                "order",
                "50",
                "insert",
                r#"{"id":50,"sf":"SF50","status":"Done","prior":51}"#,
            ),
            ("order", "51", "insert", r#"{"id":51,"sf":"SF51","status":"Done"}"#),
        ],
    );
    world.scan();
    world
}

fn resolve(world: &World, args: &[&str]) -> crate::night::Ran {
    let mut all = vec!["resolve"];
    all.extend(args);
    all.extend(["--reason", "so", "--json"]);
    world.run(&all)
}

fn trail(world: &World, action: &str) -> Vec<Json> {
    let mut lines = world.run(&["audit", "list", "--json"]).ended(0).lines();
    lines.retain(|l| l["action"] == action);
    lines
}

#[test]
fn reapply_writes_what_it_showed_in_one_transaction_and_proves_itself() {
    let world = world();
    world.run(&["claim", "order:1"]).ended(0);
    let dry = world
        .run(&["resolve", "order:1", "reapply", "--reason", "so", "--dry-run", "--json"])
        .ended(0)
        .json();
    assert_eq!(dry["kind"], "compensable");
    let writes = &dry["effect"]["writes"];
    assert_eq!(
        writes,
        &json!([
            {"act": "set", "entity": "order", "key": "1", "table": "om.orders",
             "set": {"status": "Done", "msisdn": "(masked)"},
             "was": {"id": "1", "sf": "SF1", "status": "Open", "prior": null, "msisdn": "(masked)", "touched": writes[0]["was"]["touched"]}},
            {"act": "set", "entity": "order_item", "key": "1/1", "table": "om.lines",
             "set": {"price": "2.50"}, "was": {"order_id": "1", "nr": "1", "what": "a", "price": "1.50"}},
            {"act": "insert", "entity": "order_item", "key": "1/2", "table": "om.lines",
             "set": {"order_id": "1", "nr": "2", "what": "b", "price": "0.1"}, "was": {}},
        ])
    );
    assert_eq!(world.sql("select count(*) from restitch_decisions"), "0");

    let done = resolve(&world, &["order:1", "reapply"]).ended(0).json();
    assert_eq!(done["cases"], json!([{"case": "order:1", "state": "proven"}]));
    assert_eq!(done["effect"]["state"], "done");
    assert_eq!(
        world.sql("select status, msisdn from om.orders where id = 1"),
        "Done|+49171"
    );
    assert_eq!(
        world.sql("select nr, price from om.lines where order_id = 1 order by 1"),
        "1|2.50\n2|0.10"
    );
    assert_eq!(
        world.sql("select key from restitch_decisions"),
        done["key"].as_str().unwrap()
    );
    let applied = trail(&world, "apply");
    let outcomes: Vec<&Json> = applied.iter().map(|l| &l["outcome"]).collect();
    assert_eq!(outcomes, ["unconfirmed", "ok"], "{applied:#?}");
    assert!(
        applied
            .iter()
            .all(|l| l["key"] == done["key"] && l["verb"] == "reapply")
    );
    assert_eq!(trail(&world, "prove").len(), 1);
    world.run(&["audit", "verify"]).ended(0);
    world.scan();
    assert_eq!(world.case("order:1")["state"], "proven");
}

#[test]
fn a_chain_is_written_in_the_order_of_its_references_and_deletes_go_last() {
    let world = world();
    world.run(&["claim", "order:50", "order:51", "order:4"]).ended(0);
    let done = resolve(&world, &["order:50", "reapply"]).ended(0).json();
    let states: Vec<&Json> = done["cases"].as_array().unwrap().iter().map(|c| &c["state"]).collect();
    assert_eq!(states, ["proven", "proven"], "{done}");
    assert_eq!(
        world.sql("select id, prior from om.orders where id >= 50 order by 1"),
        "50|51\n51|"
    );
    // The item goes before its order.
    resolve(&world, &["order:4", "reapply"]).ended(0);
    assert_eq!(world.sql("select count(*) from om.orders where id = 4"), "0");
    assert_eq!(world.case("order:4")["state"], "proven");
}

/// One row that is not as it was shown, and nothing at all is written; the case is open again and says why.
#[test]
fn one_row_not_as_it_was_shown_leaves_everything_as_it_was() {
    for (moved, words) in [
        (
            "update om.lines set what = 'z' where order_id = 1",
            "om.lines 1/1: what is z now, it was shown as a",
        ),
        (
            "insert into om.lines values (1, 2, 'c', 3)",
            "om.lines 1/2 is there now",
        ),
        (
            "delete from om.lines where order_id = 1",
            "om.lines 1/1 is not there any more",
        ),
        (
            "update om.orders set msisdn = '+1' where id = 1",
            "om.orders 1: msisdn is not as it was shown",
        ),
    ] {
        let world = world();
        world.run(&["claim", "order:1"]).ended(0);
        world.sql(moved);
        let before = world.sql("select * from om.orders natural full join om.lines order by id, nr");
        let ran = resolve(&world, &["order:1", "reapply"]).ended(4).says(&[words]);
        assert!(!ran.err.contains("+1"), "{}", ran.err);
        let told = ran.json();
        assert_eq!(told["cases"], json!([{"case": "order:1", "state": "open"}]));
        assert_eq!(told["effect"]["state"], "failed");
        assert_eq!(
            world.sql("select * from om.orders natural full join om.lines order by id, nr"),
            before
        );
        assert_eq!(
            world.sql("select count(*) from restitch_decisions"),
            "0",
            "its key is gone with it"
        );
        let shown = world.run(&["show", "order:1"]).ended(0);
        assert!(shown.out.contains(words), "{}", shown.out);
        assert_eq!(trail(&world, "apply")[1]["outcome"], "refused");
        // A column that the site ignores is none that counts.
        world.sql("delete from om.lines; insert into om.lines values (1, 1, 'a', 1.5); update om.orders set touched = now(), msisdn = '+491701'");
        world.scan();
        resolve(&world, &["order:1", "reapply"]).ended(0);
    }
}

/// The order came back under another key since the scan: it is not written a second time.
#[test]
fn an_identity_that_is_there_meanwhile_is_not_inserted_twice() {
    let world = world();
    world.run(&["claim", "order:51"]).ended(0);
    world.sql("insert into om.orders values (1051, 'SF51', 'Created')");
    resolve(&world, &["order:51", "reapply"])
        .ended(4)
        .says(&["om.orders 51 is there now under another key"]);
    assert_eq!(world.sql("select count(*) from om.orders where sf = 'SF51'"), "1");
}

/// A cascade would take rows along that nobody was shown.
#[test]
fn a_delete_never_takes_other_rows_along() {
    let world = world();
    world.sql(
        "create table om.notes (order_id bigint references om.orders on delete cascade, text text);
         insert into om.notes values (4, 'precious')",
    );
    world.run(&["claim", "order:4"]).ended(0);
    resolve(&world, &["order:4", "reapply"]).ended(4).says(&["om.notes"]);
    assert_eq!(world.sql("select count(*) from om.orders where id = 4"), "1");
    assert_eq!(world.sql("select text from om.notes"), "precious");
    assert_eq!(world.sql("select count(*) from om.lines where order_id = 4"), "1");
}

#[test]
fn relink_and_cancel_write_their_one_column() {
    let world = world();
    world.run(&["claim", "order:3", "order:2"]).ended(0);
    let relink = ["order:3", "relink", "--ref", "prior", "--to", "5"];
    let dry = world
        .run(&[
            "resolve",
            "order:3",
            "relink",
            "--ref",
            "prior",
            "--to",
            "5",
            "--reason",
            "so",
            "--dry-run",
        ])
        .ended(0);
    assert!(
        dry.out.contains("does: set om.orders 3: prior from null to 5"),
        "{}",
        dry.out
    );
    let done = resolve(&world, &relink).ended(0).json();
    assert_eq!(done["cases"][0]["state"], "proven", "{done}");
    assert_eq!(world.sql("select prior from om.orders where id = 3"), "5");
    let done = resolve(&world, &["order:2", "cancel"]).ended(0).json();
    assert_eq!(done["cases"][0]["state"], "proven", "{done}");
    assert_eq!(world.sql("select status from om.orders where id = 2"), "Cancelled");
    world.scan();
    assert_eq!(world.case("order:2")["state"], "proven");
}

#[test]
fn undo_writes_the_rows_back_under_a_key_of_its_own() {
    let world = world();
    let all =
        "select row_to_json(o) - 'touched' from (select to_jsonb(o) as row_to_json from om.orders o order by id) o";
    let all = all.replace("row_to_json(o) - 'touched'", "row_to_json - 'touched'");
    let (orders, lines) = (world.sql(&all), world.sql("select * from om.lines order by 1, 2"));
    world
        .run(&["claim", "order:1", "order:4", "order:50", "order:51"])
        .ended(0);
    for id in ["order:1", "order:4", "order:50"] {
        resolve(&world, &[id, "reapply"]).ended(0);
    }
    assert_ne!(world.sql(&all), orders);
    for id in ["order:1", "order:4", "order:50"] {
        world.run(&["undo", id, "--reason", "wrong order", "--json"]).ended(0);
        assert_eq!(world.case(id)["state"], "open", "{id}");
    }
    assert_eq!(
        world.case("order:51")["state"],
        "open",
        "what was decided with it is open with it"
    );
    assert_eq!(world.sql(&all), orders);
    assert_eq!(world.sql("select * from om.lines order by 1, 2"), lines);
    assert_eq!(world.sql("select count(*) from restitch_decisions"), "6");
    let undone = trail(&world, "undo");
    assert_eq!(undone.len(), 4, "{undone:#?}");
    world.scan();
    resolve(&world, &["order:1", "reapply"]).ended(0);
}

#[test]
fn undo_is_refused_where_somebody_built_on_it() {
    let world = world();
    world.run(&["claim", "order:1"]).ended(0);
    resolve(&world, &["order:1", "reapply"]).ended(0);
    world.sql("update om.orders set status = 'Billed' where id = 1");
    world
        .run(&["undo", "order:1", "--reason", "x"])
        .ended(4)
        .says(&["om.orders 1: status is Billed now, it was shown as Done"]);
    assert_eq!(world.sql("select status from om.orders where id = 1"), "Billed");
    assert_ne!(world.case("order:1")["state"], "open");
    assert_eq!(world.sql("select count(*) from om.lines where order_id = 1"), "2");
}

#[test]
fn without_the_table_for_keys_nothing_is_written_and_the_statement_is_told() {
    let world = world();
    world.sql("drop table restitch_decisions");
    world.run(&["claim", "order:1"]).ended(0);
    resolve(&world, &["order:1", "reapply"])
        .ended(1)
        .says(&["CREATE TABLE restitch_decisions (key text PRIMARY KEY"]);
    assert_eq!(world.case("order:1")["state"], "open");
    let doctor = world.run(&["doctor"]);
    assert!(doctor.out.contains("CREATE TABLE restitch_decisions"), "{}", doctor.out);
}

/// As a console leaves it that died after it wrote `unconfirmed`: with the answer lost, or before anything was sent.
#[test]
fn who_comes_next_settles_what_was_left_unconfirmed_by_the_same_key() {
    for written in [true, false] {
        let world = world();
        world.run(&["claim", "order:1"]).ended(0);
        let key = resolve(&world, &["order:1", "reapply"]).ended(0).json()["key"].clone();
        world.in_ledger(
            "update effects set state = 'running', leased_until = 9000000000000000;
             update cases set state = 'unconfirmed' where decision is not null;
             update decided set held = null, read = null",
        );
        assert_eq!(world.case("order:1")["state"], "unconfirmed");
        if !written {
            world.sql(
                "delete from restitch_decisions; delete from om.lines where order_id = 1 and nr = 2;
                 update om.lines set price = 1.5 where order_id = 1;
                 update om.orders set status = 'Open', msisdn = '+491701' where id = 1",
            );
        }
        world
            .run(&["resolve", "order:1", "keep", "--reason", "x"])
            .ended(4)
            .says(&["unconfirmed"]);
        world.run(&["undo", "order:1", "--reason", "x"]).ended(4);
        world.run(&["prove", "order:1"]).ended(3);
        assert_eq!(world.case("order:1")["state"], "proven", "written before: {written}");
        assert_eq!(
            world.sql("select nr, price from om.lines where order_id = 1 order by 1"),
            "1|2.50\n2|0.10"
        );
        assert_eq!(world.sql("select key from restitch_decisions"), key.as_str().unwrap());
    }
}

/// Every type that the scan compares is written as its text says, and found equal.
#[test]
fn every_type_is_written_as_the_log_says_it() {
    let columns = [
        ("a", "smallint", "-7"),
        ("b", "integer", "42"),
        ("c", "numeric(12,3)", "1.5"),
        ("d", "real", "0.1"),
        ("e", "double precision", "1e300"),
        ("f", "boolean", "true"),
        ("g", "varchar(5)", "a'b\\c"),
        ("h", "char(6)", "x"),
        ("i", "uuid", "6f1c0d52-5a2f-4a4f-9d0c-0a3a6f3f5a11"),
        ("j", "date", "2026-11-22"),
        ("k", "time", "14:05:00.5"),
        ("l", "timetz", "14:05:00+01"),
        ("m", "timestamp(3)", "2026-11-22 14:05:00.123"),
        ("n", "timestamptz", "2026-11-22T15:05:00.123456+01:00"),
        ("o", "interval", "1 year 2 mons 03:04:05"),
        ("p", "json", r#"{"b": 1,  "a": [1, 2]}"#),
        ("q", "jsonb", r#"{"b": 1,  "a": [1, 2]}"#),
        ("r", "bytea", "\\xdeadbeef"),
        ("s", "text[]", r#"{a,"b c",NULL}"#),
        ("t", "int[]", "{1,2}"),
        ("u", "inet", "10.0.0.1"),
        ("v", "point", "(1,2)"),
        ("w", "money", "$1.50"),
        ("x", "pg_temp_mood", "sad"),
        ("y", "signs", "ab"),
        ("z", "xml", "<a>1</a>"),
    ];
    let declared = |ty: &str| ty.replace("pg_temp_mood", "mood");
    let table: Vec<String> = columns
        .iter()
        .map(|(n, ty, _)| format!("{n} {}", declared(ty)))
        .collect();
    let sql = format!(
        "create type mood as enum ('sad', 'glad'); create domain signs as varchar(4) check (value <> 'bad');
         create table orders (id bigint generated always as identity primary key, {}, twice bigint generated always as (id * 2) stored);
         {MARKER}",
        table.join(", ")
    );
    let state: serde_json::Map<String, Json> = columns.iter().map(|(n, _, v)| ((*n).to_owned(), json!(v))).collect();
    let nulls: serde_json::Map<String, Json> = columns.iter().map(|(n, ..)| ((*n).to_owned(), Json::Null)).collect();
    let state = Json::from(state).to_string();
    let nulls = Json::from(nulls).to_string();
    let world = begin(
        &sql,
        "[schema.order]\ntable = \"orders\"\nkey = \"id\"\n[effects]\nreapply = { do = \"sql\" }",
        &[
            ("order", "1", "insert", &state),
            ("order", "2", "upsert", &state),
            ("order", "3", "upsert", &nulls),
            ("order", "4", "delete", "null"),
        ],
    );
    let names: Vec<&str> = columns.iter().map(|(n, ..)| *n).collect();
    let values: Vec<String> = columns
        .iter()
        .map(|(_, ty, v)| format!("'{}'::text::{}", v.replace('\'', "''"), declared(ty)))
        .collect();
    world.sql(&format!(
        "insert into orders (id) overriding system value values (2);
         insert into orders (id, {0}) overriding system value select i, {1} from generate_series(3, 4) i",
        names.join(", "),
        values.join(", ")
    ));
    world.scan();
    for id in ["order:1", "order:2", "order:3", "order:4"] {
        world.run(&["claim", id]).ended(0);
        let done = resolve(&world, &[id, "reapply"]).ended(0).json();
        assert_eq!(done["cases"][0]["state"], "proven", "{id} {done}");
    }
    assert_eq!(world.scan()["findings"]["order"]["regressed"], 0);
    for id in ["order:1", "order:2", "order:3", "order:4"] {
        world.run(&["undo", id, "--reason", "x"]).ended(0);
    }
    let back = world.sql("select id, a is null, z is null from orders order by 1");
    assert_eq!(back, "2|t|t\n3|f|f\n4|f|f");
}

/// The same in a SQLite file, as the demo has it.
#[test]
fn a_file_is_written_in_the_same_way() {
    let world = World::on_sqlite(
        "create table orders (id bigint primary key, sf text, status text, paid boolean);
         create table restitch_decisions (key text primary key, at timestamptz not null, by text not null, digest text not null);
         insert into orders values (1, 'SF1', 'Open', 0), (2, 'SF2', 'Open', 0), (4, 'SF4', 'Open', 1);",
        "[schema.order]\ntable = \"orders\"\nkey = \"id\"\nlabel = \"sf\"\nidentity = [\"sf\"]\n[effects]\nreapply = { do = \"sql\" }",
        &[
            ("order", "1", "upsert", r#"{"status":"Done","paid":true}"#),
            ("order", "2", "upsert", r#"{"status":"Done"}"#),
            ("order", "3", "insert", r#"{"sf":"SF3","status":"Done","paid":true}"#),
            ("order", "4", "delete", "null"),
        ],
    );
    world.scan();
    for id in ["order:1", "order:3", "order:4"] {
        world.run(&["claim", id]).ended(0);
        let done = resolve(&world, &[id, "reapply"]).ended(0).json();
        assert_eq!(done["cases"][0]["state"], "proven", "{id} {done}");
    }
    world.run(&["claim", "order:2"]).ended(0);
    world.sql("update orders set status = 'Half' where id = 2");
    resolve(&world, &["order:2", "reapply"])
        .ended(4)
        .says(&["orders 2: status is Half now, it was shown as Open"]);
    for id in ["order:1", "order:3", "order:4"] {
        world.run(&["undo", id, "--reason", "x"]).ended(0);
        assert_eq!(world.case(id)["state"], "open", "{id}");
    }
    let after = world.scan();
    assert_eq!(after["findings"]["order"]["lost"], 1);
    assert_eq!(after["findings"]["order"]["undeleted"], 1);
}

/// What only looks never writes.
#[test]
fn viewers_and_readonly_never_open_a_session_that_writes() {
    let world = world();
    world.run(&["claim", "order:1"]).ended(0);
    world
        .run(&["--readonly", "resolve", "order:1", "reapply", "--reason", "x"])
        .ended(4);
    assert_eq!(world.sql("select count(*) from restitch_decisions"), "0");
    assert_eq!(world.sql("select status from om.orders where id = 1"), "Open");
}

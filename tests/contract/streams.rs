//! §3, sources `kafka` and `postgres`, against a real PostgreSQL and a broker that is no Apache Kafka.

use crate::night::Ran;
use crate::sources::{NATIVE, debezium, logs_of, told, with_logs};
use crate::support::kafka::{Sent, kafka};
use crate::support::{free_port, pg};
use crate::world::World;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// A world whose one log is a topic.
fn topic(name: &str, format: &str) -> World {
    with_logs(&format!(
        "[[log]]\nname = \"cdc\"\nsource = \"kafka\"\nbrokers = [\"{}\"]\ntopic = \"{name}\"\nformat = \"{format}\"\n",
        kafka().brokers()
    ))
}

/// A world whose one log is a table of a database of its own, made by this SQL.
fn table(sql: &str, rest: &str) -> World {
    let events = pg().create_db();
    pg().psql(&events, sql);
    with_logs(&format!(
        "[[log]]\nname = \"cdc\"\nsource = \"postgres\"\nurl = \"{}\"\nsslmode = \"disable\"\n{rest}\n",
        pg().url(&events)
    ))
}

fn file(name: &str, format: &str, text: &str) -> World {
    let world = with_logs(&format!(
        "[[log]]\nname = \"cdc\"\npath = \"{name}\"\nformat = \"{format}\"\n"
    ));
    world.night.write(name, text);
    world
}

/// Scans; the report and all cases, evidence and all.
#[track_caller]
fn scanned(world: &World) -> (Json, String) {
    let report = world.run(&["scan", "--json"]).ended(3).json();
    (report, world.run(&["cases", "--json"]).ended(0).out)
}

fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// Native events as a table with a column for each part, each as this SQL type.
fn native_table(state: &str, time: &str) -> String {
    let mut sql = format!(
        "create schema audit; create table audit.events (pos bigint, ts {time}, entity text, key text, op text, state {state});"
    );
    // In another order than their positions.
    for line in NATIVE.lines().rev() {
        let event: Json = serde_json::from_str(line).unwrap();
        let text = |name: &str| {
            event[name]
                .as_str()
                .map_or_else(|| event[name].to_string(), str::to_owned)
        };
        let state = if event["state"].is_null() {
            "null".to_owned()
        } else {
            format!("'{}'", quoted(&event["state"].to_string()))
        };
        writeln!(
            sql,
            "insert into audit.events values ({}, '{}', '{}', '{}', '{}', {state});",
            text("pos"),
            text("ts"),
            text("entity"),
            text("key"),
            text("op")
        )
        .unwrap();
    }
    sql
}

#[test]
fn the_same_incident_by_file_table_and_topic_gives_the_same_cases() {
    let (report, wanted) = scanned(&file("a.ndjson", "native", NATIVE));
    let name = kafka().topic("native", 3);
    for (n, line) in (0..).zip(NATIVE.lines()) {
        let key = serde_json::from_str::<Json>(line).unwrap()["key"].to_string();
        kafka().send(&name, n % 3, "none", &[(&key, Some(line))]);
    }
    let (by_topic, cases) = scanned(&topic(&name, "native"));
    assert_eq!(cases, wanted);
    assert_eq!(by_topic["log"], report["log"]);
    assert_eq!(by_topic["coverage"], report["coverage"]);

    let columns = "table = \"audit.events\"";
    for (state, time) in [
        ("json", "timestamptz"),
        ("jsonb", "timestamptz"),
        ("text", "timestamp"),
        ("jsonb", "text"),
    ] {
        let (by_table, cases) = scanned(&table(&native_table(state, time), columns));
        assert_eq!(cases, wanted, "{state} {time}");
        assert_eq!(by_table["log"]["events"], report["log"]["events"]);
        assert_eq!(by_table["coverage"], report["coverage"], "{state} {time}");
    }
    // By the table's name instead of the entity's, with columns of other names, and the database's words for the acts.
    let renamed = native_table("jsonb", "timestamptz")
        + "alter table audit.events rename pos to id; alter table audit.events rename ts to at;
           alter table audit.events rename state to row_data; alter table audit.events rename op to act;
           alter table audit.events add relation text; update audit.events set relation = 'public.' || entity || 's';
           alter table audit.events drop entity;
           update audit.events set act = case act when 'upsert' then 'UPDATE' when 'insert' then 'I' else 'DELETE' end;";
    let columns = "table = \"audit.events\"\n\
                   columns = { position = \"id\", time = \"at\", table = \"relation\", op = \"act\", state = \"row_data\" }";
    let (_, cases) = scanned(&table(&renamed, columns));
    assert_eq!(cases, wanted);
}

#[test]
fn a_debezium_topic_with_tombstones_tells_the_same_however_it_is_packed() {
    let by_file = file("a.ndjson", "debezium", &debezium());
    let (report, wanted) = scanned(&by_file);
    for packed in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let name = kafka().topic(&format!("debezium-{packed}"), 1);
        let text = debezium();
        let messages: Vec<Sent<'_>> = text
            .lines()
            .map(|line| ("k", Some(line).filter(|line| *line != "null")))
            .collect();
        assert!(messages.iter().any(|(_, value)| value.is_none()));
        kafka().send(&name, 0, packed, &messages);
        let (by_topic, cases) = scanned(&topic(&name, "debezium"));
        assert_eq!(cases, wanted, "{packed}");
        assert_eq!(by_topic["log"]["events"], report["log"]["events"], "{packed}");
        assert_eq!(by_topic["log"]["rejected"], 0, "{packed}");
    }
    // The same messages in a table, whole; a tombstone is a null there.
    let rows: Vec<String> = debezium().lines().map(|line| format!("('{}')", quoted(line))).collect();
    for ty in ["text", "json", "jsonb"] {
        let sql = format!(
            "create table records (seq bigserial, record {ty}); insert into records (record) values {};
             insert into records (record) values (null);",
            rows.join(", ")
        );
        let rest = "table = \"records\"\nformat = \"debezium\"\ncolumns = { position = \"seq\", event = \"record\" }";
        let (_, cases) = scanned(&table(&sql, rest));
        assert_eq!(cases, wanted, "{ty}");
    }
}

/// Without positions of their own, messages are ordered by partition and offset, and evidence names these.
#[test]
fn the_position_of_a_message_is_its_partition_and_offset() {
    let name = kafka().topic("offsets", 2);
    let event = |key: u32, qty: u32| {
        format!(
            r#"{{"ts":"2026-11-22T14:07:00Z","entity":"order","key":{key},"op":"upsert",{}"state":{{"qty":{qty}}}}}"#,
            // A message may hold newlines.
            "\n"
        )
    };
    let (a, b, c, d) = (event(1, 10), event(1, 11), event(2, 20), event(2, 21));
    kafka().send(&name, 0, "none", &[("x", Some("{}")), ("2", Some(&c))]);
    kafka().send(
        &name,
        1,
        "none",
        &[("1", Some(&a)), ("1", Some(&b)), ("2", Some(&d)), ("1", None)],
    );
    kafka().delete_before(&name, 0, 1);
    let world = topic(&name, "native");
    let report = world.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(report["log"]["events"], 4);
    assert_eq!(report["log"]["rejected"], 0);
    for (case, qty, position) in [("order:1", "11.00", "1:1"), ("order:2", "21.00", "1:2")] {
        let finding = world.case(case)["findings"][0].clone();
        assert_eq!(finding["fields"][0]["log"], qty, "{case}");
        let positions: Vec<&str> = finding["evidence"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["position"].as_str().unwrap())
            .collect();
        assert_eq!(positions[0], position, "{case}");
    }
    // A message that is no event is named the same way.
    kafka().send(&name, 0, "none", &[("x", Some("nonsense"))]);
    let ran = world.run(&["scan"]).ended(1);
    ran.says(&["0:2: ", "1 of 5 lines are malformed"]);
    // Nothing was committed, and no group is left behind.
    assert_eq!(kafka().groups(), Vec::<String>::new());
}

/// What a topic's retention has passed is not known; what was before T is in the restored database.
#[test]
fn a_topic_whose_beginning_is_gone_says_so_unless_that_was_before_t() {
    let event = |key: u32, at: &str| {
        format!(r#"{{"ts":"2026-11-22T{at}Z","entity":"order","key":{key},"op":"upsert","state":{{"qty":70}}}}"#)
    };
    let (first, second) = (event(3, "14:07:00"), event(1, "14:08:00"));
    for (name, kept, gone) in [("late", "14:06:00", true), ("early", "14:04:00", false)] {
        let name = kafka().topic(name, 3);
        let kept = event(2, kept);
        kafka().send(
            &name,
            0,
            "none",
            &[("3", Some(&first)), ("2", Some(&kept)), ("1", Some(&second))],
        );
        kafka().delete_before(&name, 0, 1);
        kafka().send(&name, 1, "none", &[("1", Some(&second))]);
        kafka().delete_before(&name, 1, 1);
        let world = topic(&name, "native");
        let warnings = world.scan()["warnings"].to_string();
        let says = format!("partition 0 of topic {name} begins at offset 1: the messages before it are deleted");
        assert_eq!(warnings.contains(&says), gone, "{warnings}");
        let says =
            format!("partition 1 of topic {name} begins at offset 1: the messages before it are deleted, and nothing");
        assert!(warnings.contains(&says), "{warnings}");
        // Both rows were named after what is gone.
        assert_eq!(world.found(), ["order 1 regressed", "order 2 regressed"]);
    }
}

/// More messages than wait at a time, in several partitions; and the end is where it was when the reading began.
#[test]
fn a_long_topic_is_read_to_its_end() {
    let name = kafka().topic("long", 4);
    for partition in 0..4 {
        let values: Vec<String> = (0..5_000)
            .map(|n| {
                let key = 1_000 + n * 4 + partition;
                format!(
                    r#"{{"ts":"2026-11-22T14:07:00Z","entity":"order","key":{key},"op":"insert","state":{{"sf":"S{key}","big":"{}"}}}}"#,
                    "x".repeat(300)
                )
            })
            .collect();
        let messages: Vec<Sent<'_>> = values.iter().map(|v| ("k", Some(v.as_str()))).collect();
        kafka().send(&name, partition, "zstd", &messages);
    }
    let report = topic(&name, "native").scan();
    assert_eq!(report["log"]["events"], 20_000);
    assert_eq!(report["findings"]["order"]["lost"], 20_000);
}

#[test]
fn brokers_and_topics_that_are_not_there_are_said_in_time() {
    kafka().topic("om.changes", 1);
    let world = topic("om.chnages", "native");
    world.run(&["scan"]).ended(1).says(&[
        "there is no topic \"om.chnages\"",
        "topic om.chnages at 127.0.0.1",
        "om.changes",
    ]);
    world.night.run(&["doctor", "--json"]).ended(1);
    let nobody = with_logs(&format!(
        "[[log]]\nname = \"cdc\"\nsource = \"kafka\"\nbrokers = [\"127.0.0.1:{}\"]\ntopic = \"t\"\nformat = \"native\"\n",
        free_port()
    ));
    let begun = Instant::now();
    nobody
        .run(&["scan"])
        .ended(1)
        .says(&["no broker answers within 10 s", "Connection refused", "check brokers"]);
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    let empty = kafka().topic("nothing", 2);
    topic(&empty, "native")
        .run(&["scan"])
        .ended(1)
        .says(&["log cdc is empty", "nothing", "check the topic"]);
}

/// A row that is no event spoils nothing but itself; wrong names are said with the nearest ones.
#[test]
fn a_table_of_events_with_mistakes_in_it() {
    let sql = native_table("text", "timestamptz")
        + "insert into audit.events values (8, now(), 'order', '1', 'upsert', '{not json'), (9, now(), 'order', 'x', 'upsert', '{}'),
           (10, now(), 'order', '1', 'merge', '{}');";
    let world = table(&sql, "table = \"audit.events\"");
    world
        .run(&["scan"])
        .ended(1)
        .says(&["3 of 10 lines are malformed", "audit.events:8"]);
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    world
        .night
        .write("restitch.toml", format!("{config}\n[scan]\nreject_limit = \"50%\"\n"));
    let (report, _) = scanned(&world);
    assert_eq!(
        (&report["log"]["events"], &report["log"]["rejected"]),
        (&json!(6), &json!(3))
    );

    let wrong = |rest: &str, says: &[&str]| {
        let ran: Ran = table(&native_table("jsonb", "timestamptz"), rest).run(&["scan"]);
        ran.ended(2).says(says);
    };
    wrong("table = \"audit.event\"", &["no table \"audit.event\"", "audit.events"]);
    wrong(
        "table = \"audit.events\"\ncolumns = { position = \"ops\" }",
        &["no column \"ops\"", "pos"],
    );
    wrong(
        "table = \"audit.events\"\ncolumns = { table = \"entty\" }",
        &["no column \"entty\"", "entity"],
    );
    let missing = native_table("jsonb", "timestamptz") + "alter table audit.events rename key to k;";
    table(&missing, "table = \"audit.events\"")
        .run(&["scan"])
        .ended(2)
        .says(&["no column \"key\"", "columns"]);
    let sql = "create table e (pos int, ts timestamptz, entity text, key text, op text, state jsonb)";
    table(sql, "table = \"e\"")
        .run(&["scan"])
        .ended(1)
        .says(&["log cdc is empty", "check the table"]);
}

/// Where positions are no whole numbers, rows are counted in their order; events of equal keys keep that order.
#[test]
fn positions_of_any_type_order_a_table() {
    let sql = "create table e (pos timestamptz, entity text, key text, op text, state jsonb);
        insert into e values ('2026-11-22 14:09Z', 'order', '1', 'upsert', '{\"qty\": 9}'),
          ('2026-11-22 14:08Z', 'order', '1', 'upsert', '{\"qty\": 8}'), ('2026-11-22 14:07Z', 'order', '2', 'delete', null);";
    let world = table(sql, "table = \"e\"");
    world.scan();
    assert_eq!(world.found(), ["order 1 regressed", "order 2 undeleted"]);
    let finding = world.case("order:1")["findings"][0].clone();
    assert_eq!(finding["fields"][0]["log"], "9.00");
    assert_eq!(finding["evidence"][0]["position"], "e:3");
}

#[test]
fn doctor_looks_at_both() {
    let checks = |world: &World, code: i32| {
        let lines = world.run(&["doctor", "--json"]).ended(code).lines();
        let log = lines.into_iter().find(|l| l["check"] == "log cdc").unwrap();
        (
            log["state"].as_str().unwrap().to_owned(),
            log["what"].as_str().unwrap().to_owned(),
        )
    };
    let name = kafka().topic("seen", 2);
    kafka().send(&name, 1, "none", &[("k", Some(NATIVE.lines().next().unwrap()))]);
    assert_eq!(
        checks(&topic(&name, "native"), 0),
        ("ok".to_owned(), "topic seen, 2 partitions, native".to_owned())
    );
    let (state, what) = checks(&topic(&name, "debezium"), 1);
    assert!(
        state == "fail" && what.contains("looks like native, not debezium"),
        "{what}"
    );
    let (state, what) = checks(&topic("unseen", "native"), 1);
    assert!(state == "fail" && what.contains("there is no topic"), "{what}");
    let sound = table(&native_table("jsonb", "timestamptz"), "table = \"audit.events\"");
    assert_eq!(
        checks(&sound, 0),
        ("ok".to_owned(), "table audit.events, native".to_owned())
    );
    let (state, what) = checks(
        &table(&native_table("jsonb", "timestamptz"), "table = \"audit.evnts\""),
        1,
    );
    assert!(state == "fail" && what.contains("no table"), "{what}");
}

/// Change events of Salesforce against a table that is keyed by its ids, in their short form.
#[test]
fn change_events_of_salesforce_are_held_against_a_table_keyed_by_its_ids() {
    let tables = "create table orders (id text primary key, status text, billing_city text, description text);
        insert into orders values ('8012x000000mvqr', 'Draft', 'Wien', 'a'), ('8012x000000mvqW', 'Draft', null, null),
          ('8012x000000mvqX', 'Draft', null, null);";
    let schema = "[schema.order]\ntable = \"public.orders\"\nkey = \"id\"\n";
    let event = |kind: &str, ids: &str, replay: u32, rest: &str| {
        format!(
            r#"{{"data":{{"payload":{{"ChangeEventHeader":{{"entityName":"Order","recordIds":[{ids}],"changeType":"{kind}","commitTimestamp":1795356420000,"transactionKey":"t-1","commitUser":"0052x00000AbCdEAAV"}}{rest}}},"event":{{"replayId":{replay}}}}},"channel":"/data/ChangeEvents"}}"#
        )
    };
    let (a, b, c, d) = (
        "\"8012x000000mvqrAAA\"",
        "\"8012x000000mvqWAAQ\"",
        "\"8012x000000mvqXAAQ\"",
        "\"8012x000000mvqYAAQ\"",
    );
    let log = [
        event(
            "UPDATE",
            &format!("{a},{b}"),
            1,
            r#","Status":"Activated","BillingAddress":{"City":null}"#,
        ),
        event("DELETE", c, 2, ""),
        event("CREATE", d, 3, r#","Status":"Draft""#),
        event("GAP_UPDATE", b, 4, ""),
    ];
    let world = logs_of(
        tables,
        schema,
        "[[log]]\nname = \"sf\"\npath = \"sf.ndjson\"\nformat = \"salesforce-cdc\"\n",
    );
    world.night.write("sf.ndjson", log.join("\n"));
    let report = world.run(&["scan", "--json"]).ended(3).json();
    let wanted = [
        "order 8012x000000mvqWAAQ contradicted",
        "order 8012x000000mvqWAAQ regressed",
        "order 8012x000000mvqXAAQ undeleted",
        "order 8012x000000mvqYAAQ lost",
        "order 8012x000000mvqrAAA regressed",
    ];
    assert_eq!(world.found(), wanted);
    assert_eq!(
        (&report["log"]["events"], &report["log"]["first"]),
        (&json!(4), &json!("2026-11-22T14:07:00Z"))
    );
    let finding = world.case("order:8012x000000mvqrAAA")["findings"][0].clone();
    assert_eq!(
        finding["fields"],
        json!([
            {"name": "status", "restored": "Draft", "log": "Activated", "by": 0},
            {"name": "billing_city", "restored": "Wien", "log": null, "by": 0}
        ])
    );
    assert_eq!(finding["evidence"][0]["position"], "1");
}

/// The stream of OM Plus, end to end.
#[test]
fn records_of_om_plus_are_held_against_their_tables() {
    let record = |action: &str, id: &str, rest: &str| {
        format!(
            r#"{{"_action":"{action}","Object Type":"Order","Modified":"2026-11-22 14:07:00.5+00","id":{id}{rest}}}"#
        )
    };
    let om_plus = [
        record("update", "1", r#","SF":"SF1","Qty":1.5"#),
        record("delete", "2", ""),
        record("insert", "6", r#","SF":"SF6","Qty":6,"At":null,"Big":"y""#),
        record("update", "77405618597879921", r#","Qty":"50.00""#),
        r#"{"_action":"insert","Object Type":"Grant","id":1}"#.to_owned(),
    ];
    let world = file("a.ndjson", "om-plus", &om_plus.join("\n"));
    let report = world.run(&["scan", "--json"]).ended(3).json();
    let wanted = [
        "order 1 regressed",
        "order 2 undeleted",
        "order 6 lost",
        "order 77405618597879921 regressed",
    ];
    assert_eq!(world.found(), wanted);
    assert_eq!(report["log"]["first"], "2026-11-22T14:07:00.5Z");
    let name = kafka().topic("om-plus", 1);
    let messages: Vec<Sent<'_>> = om_plus.iter().map(|line| ("k", Some(line.as_str()))).collect();
    kafka().send(&name, 0, "none", &messages);
    let by_topic = topic(&name, "om-plus");
    by_topic.scan();
    assert_eq!(told(&by_topic.night), told(&world.night));
}

//! §3 and §4: the same traffic in every format, packing and arrangement tells the same.

use crate::night::Night;
use crate::world::World;
use serde_json::{Value as Json, json};
use std::io::Write;
use std::process::Stdio;

const TABLES: &str =
    "create table orders (id bigint primary key, sf text, qty numeric(12,2), at timestamptz, big text);
    insert into orders values (1, 'SF1', 1.00, '2026-11-22 14:00:00.5+00', repeat('x', 100)), (2, 'SF2', 2, null, null),
      (3, 'SF3', 3, null, null), (4, 'SF4', 4, null, null), (77405618597879921, 'SF5', 5, null, null);";

pub const SCHEMA: &str =
    "[schema.order]\ntable = \"public.orders\"\nkey = \"id\"\nlabel = \"sf\"\nidentity = [\"sf\"]\n";

/// Order 1 changes but for its large value; 2 is deleted; 3 gets another key; 6 is new; a long id is taken over.
pub const NATIVE: &str = r#"{"pos":1,"ts":"2026-11-22T14:07:00Z","entity":"order","key":1,"op":"upsert","state":{"sf":"SF1","qty":1.5,"at":"2026-11-22T15:00:00.5+01:00"}}
{"pos":2,"ts":"2026-11-22T14:07:01Z","entity":"order","key":2,"op":"delete","state":null}
{"pos":3,"ts":"2026-11-22T14:07:02Z","entity":"order","key":3,"op":"delete","state":null}
{"pos":4,"ts":"2026-11-22T14:07:02Z","entity":"order","key":33,"op":"insert","state":{"sf":"SF33","qty":"3.00","at":null,"big":null}}
{"pos":5,"ts":"2026-11-22T14:07:03Z","entity":"order","key":6,"op":"insert","state":{"sf":"SF6","qty":6,"at":null,"big":"y"}}
{"pos":6,"ts":"2026-11-22T14:07:04Z","entity":"order","key":"77405618597879921","op":"upsert","state":{"sf":"SF5","qty":50,"at":null,"big":null}}
{"pos":7,"ts":"2026-11-22T14:07:05Z","entity":"invoice","key":1,"op":"insert","state":{"sf":"SF6"}}
"#;

pub fn wal2json() -> String {
    let column = |name: &str, ty: &str, value: &str| format!(r#"{{"name":"{name}","type":"{ty}","value":{value}}}"#);
    let columns = |id: &str, sf: &str, qty: &str, at: &str, big: Option<&str>| {
        let mut all = vec![
            column("id", "bigint", id),
            column("sf", "text", &format!("\"{sf}\"")),
            column("qty", "numeric(12,2)", qty),
            column("at", "timestamp with time zone", at),
        ];
        all.extend(big.map(|b| column("big", "text", b)));
        all.join(",")
    };
    let line = |action: &str, n: u32, rest: &str| {
        format!(
            r#"{{"action":"{action}","xid":7,"lsn":"0/{n}","timestamp":"2026-11-22 15:07:0{n}+01","schema":"public","table":"orders",{rest}}}"#
        )
    };
    let identity = |id: &str| format!(r#""identity":[{}]"#, column("id", "bigint", id));
    [
        r#"{"action":"B","xid":7}"#.to_owned(),
        line(
            "U",
            0,
            &format!(
                r#""columns":[{}],{}"#,
                columns("1", "SF1", "1.50", "\"2026-11-22 14:00:00.5+00\"", None),
                identity("1")
            ),
        ),
        line("D", 1, &identity("2")),
        line(
            "U",
            2,
            &format!(
                r#""columns":[{}],{}"#,
                columns("33", "SF33", "3.00", "null", Some("null")),
                identity("3")
            ),
        ),
        line(
            "I",
            3,
            &format!(r#""columns":[{}]"#, columns("6", "SF6", "6.00", "null", Some("\"y\""))),
        ),
        line(
            "U",
            4,
            &format!(
                r#""columns":[{}],{}"#,
                columns("77405618597879921", "SF5", "50.00", "null", Some("null")),
                identity("77405618597879921")
            ),
        ),
        r#"{"action":"I","schema":"public","table":"invoices","columns":[{"name":"id","type":"bigint","value":1}]}"#
            .to_owned(),
        r#"{"action":"C","xid":7}"#.to_owned(),
    ]
    .join("\n")
}

pub fn debezium() -> String {
    let line = |op: &str, n: u32, before: &str, after: &str, table: &str| {
        let at = 1_795_356_420_000_i64 + i64::from(n) * 1_000;
        format!(
            r#"{{"before":{before},"after":{after},"op":"{op}","ts_ms":{at},"source":{{"connector":"postgresql","db":"om","schema":"public","table":"{table}","lsn":{n},"ts_ms":{at}}}}}"#
        )
    };
    let row = |id: &str, sf: &str, qty: &str, at: &str, big: &str| {
        format!(r#"{{"id":{id},"sf":"{sf}","qty":"{qty}","at":{at},"big":{big}}}"#)
    };
    [
        line(
            "u",
            0,
            "null",
            &row(
                "1",
                "SF1",
                "1.50",
                "\"2026-11-22T14:00:00.500000Z\"",
                "\"__debezium_unavailable_value\"",
            ),
            "orders",
        ),
        line("d", 1, r#"{"id":2}"#, "null", "orders"),
        "null".to_owned(),
        // A changed key is a delete and a create.
        line("d", 2, r#"{"id":3}"#, "null", "orders"),
        line("c", 2, "null", &row("33", "SF33", "3.00", "null", "null"), "orders"),
        line("c", 3, "null", &row("6", "SF6", "6.00", "null", "\"y\""), "orders"),
        line(
            "u",
            4,
            "null",
            &row("77405618597879921", "SF5", "50.00", "null", "null"),
            "orders",
        ),
        line("c", 5, "null", r#"{"id":1}"#, "invoices"),
    ]
    .join("\n")
}

/// Labels instead of columns; the key changes as a delete and an insert.
fn om_plus() -> String {
    let record = |action: &str, n: u32, id: &str, rest: &str| {
        format!(
            r#"{{"_action":"{action}","Object Type":"Order","Modified":"2026-11-22 14:07:0{n}+00","id":{id}{rest}}}"#
        )
    };
    [
        record(
            "update",
            0,
            "1",
            r#","Sf":"SF1","Qty":1.5,"At":"2026-11-22 14:00:00.5+00""#,
        ),
        record("delete", 1, "2", ""),
        record("delete", 2, "3", ""),
        record("insert", 2, "33", r#","Sf":"SF33","Qty":"3.00","At":null,"Big":null"#),
        record("insert", 3, "6", r#","Sf":"SF6","Qty":6,"At":null,"Big":"y""#),
        record(
            "update",
            4,
            "77405618597879921",
            r#","Sf":"SF5","Qty":50,"At":null,"Big":null"#,
        ),
        r#"{"_action":"insert","Object Type":"Invoice","id":1}"#.to_owned(),
    ]
    .join("\n")
}

/// The cases without their evidence, which names each source's own positions.
pub fn told(night: &Night) -> Vec<Json> {
    let mut cases = night.run(&["cases", "--json"]).ended(0).lines();
    for case in &mut cases {
        for finding in case["findings"].as_array_mut().unwrap() {
            finding["evidence"] = Json::Null;
        }
    }
    cases.sort_by_key(|c| c["case"].to_string());
    cases
}

/// A world with these `[[log]]` sections.
pub fn with_logs(logs: &str) -> World {
    logs_of(TABLES, SCHEMA, logs)
}

/// Another world with these.
pub fn logs_of(tables: &str, schema: &str, logs: &str) -> World {
    let world = World::new(tables, schema, &[]);
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    let usual = "[[log]]\nname = \"cdc\"\npath = \"log.ndjson\"\nformat = \"native\"\n";
    assert!(config.contains(usual));
    world.night.write("restitch.toml", config.replace(usual, logs));
    world
}

fn one_log(path: &str, format: &str) -> World {
    with_logs(&format!(
        "[[log]]\nname = \"cdc\"\npath = \"{path}\"\nformat = \"{format}\"\n"
    ))
}

fn gz(text: &str) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap()
}

#[test]
fn every_format_and_every_packing_tells_the_same() {
    let native = one_log("a.ndjson", "native");
    native.night.write("a.ndjson", NATIVE);
    let report = native.scan();
    assert_eq!(
        native.found(),
        [
            "order 1 regressed",
            "order 2 undeleted",
            "order 3 undeleted",
            "order 33 lost",
            "order 6 lost",
            "order 77405618597879921 regressed"
        ]
    );
    assert_eq!(
        report["log"],
        json!({
            "events": 6, "bytes": NATIVE.len(), "rejected": 0,
            "first": "2026-11-22T14:07:00Z", "last": "2026-11-22T14:07:04Z"
        })
    );
    let wanted = told(&native.night);
    for (format, text) in [
        ("native", NATIVE.to_owned()),
        ("wal2json", wal2json()),
        ("debezium", debezium()),
        ("om-plus", om_plus()),
    ] {
        for path in ["a.ndjson.gz", "a.ndjson.zst", "a.log"] {
            let world = one_log(path, format);
            let packed = match path {
                "a.ndjson.gz" => gz(&text),
                "a.ndjson.zst" => zstd::encode_all(text.as_bytes(), 3).unwrap(),
                _ => text.clone().into_bytes(),
            };
            world.night.write(path, packed);
            let again = world.scan();
            assert_eq!(told(&world.night), wanted, "{format} {path}");
            assert_eq!(again["log"]["rejected"], 0, "{format} {path}");
            for end in ["first", "last"] {
                assert_eq!(again["log"][end], report["log"][end], "{format} {path}");
            }
        }
    }
}

#[test]
fn a_log_split_over_files_sources_and_standard_input_tells_the_same() {
    let whole = one_log("a.ndjson", "native");
    whole.night.write("a.ndjson", NATIVE);
    whole.scan();
    let wanted = told(&whole.night);
    let lines: Vec<&str> = NATIVE.lines().collect();

    let globbed = one_log("p*.ndjson*", "native");
    globbed.night.write("p1.ndjson", lines[4..].join("\n"));
    globbed.night.write("p2.ndjson.gz", gz(&lines[..2].join("\n")));
    globbed.night.write(
        "p3.ndjson.zst",
        zstd::encode_all(lines[2..4].join("\n").as_bytes(), 3).unwrap(),
    );
    globbed.scan();
    assert_eq!(told(&globbed.night), wanted);

    let several = with_logs(
        "[[log]]\nname = \"one\"\npath = \"one.ndjson\"\nformat = \"native\"\n\
         [[log]]\nname = \"two\"\npath = \"-\"\nformat = \"native\"\n",
    );
    several.night.write("one.ndjson", lines[3..].join("\n"));
    let mut child = several
        .night
        .command(&["scan", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines[..3].join("\n").as_bytes())
        .unwrap();
    let report = Night::finish(child.wait_with_output().unwrap()).ended(3).json();
    assert_eq!(told(&several.night), wanted);
    // Coverage is stated for every source and entity.
    assert_eq!(
        report["coverage"],
        json!([
            {"source": "one", "entity": "order", "first": "2026-11-22T14:07:02Z", "last": "2026-11-22T14:07:04Z",
             "known": false, "why": "begins 2m after T"},
            {"source": "two", "entity": "order", "first": "2026-11-22T14:07:00Z", "last": "2026-11-22T14:07:02Z",
             "known": false, "why": "begins 2m after T"}
        ])
    );
}

/// A late older event fills only fields that no newer one has set; a delete clears all older ones; duplicates change
/// nothing; the same version with other content contradicts.
#[test]
fn events_apply_in_the_order_of_their_versions_whatever_order_they_stand_in() {
    let world = one_log("a.ndjson", "native");
    let event = |key: u32, version: u32, op: &str, state: &str| {
        format!(
            r#"{{"pos":1,"ts":"2026-11-22T14:07:00Z","entity":"order","key":{key},"op":"{op}","version":{version},"state":{state}}}"#
        )
    };
    let log = [
        event(1, 3, "upsert", r#"{"qty":30}"#),
        event(1, 2, "upsert", r#"{"qty":20,"big":"two"}"#),
        event(1, 3, "upsert", r#"{"qty":30}"#),
        event(2, 5, "delete", "null"),
        event(2, 4, "upsert", r#"{"qty":40}"#),
        event(3, 1, "delete", "null"),
        event(3, 2, "insert", r#"{"sf":"SF3","qty":3}"#),
        event(4, 1, "upsert", r#"{"qty":7}"#),
        event(4, 1, "upsert", r#"{"qty":8}"#),
    ];
    world.night.write("a.ndjson", log.join("\n"));
    world.scan();
    assert_eq!(
        world.found(),
        [
            "order 1 regressed",
            "order 2 undeleted",
            "order 4 contradicted",
            "order 4 regressed"
        ]
    );
    let fields = world.case("order:1")["findings"][0]["fields"].clone();
    let values: Vec<(Json, Json)> = fields
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["name"].clone(), f["log"].clone()))
        .collect();
    assert_eq!(values, [(json!("qty"), json!("30.00")), (json!("big"), json!("two"))]);
    // The later position wins.
    assert_eq!(world.case("order:4")["findings"][0]["fields"][0]["log"], "8.00");
}

/// Stop it and run it again at any time: nothing is half done, cases and decisions stay.
#[test]
fn a_scan_that_is_killed_while_it_reads_leaves_the_ledger_as_it_was() {
    let world = one_log("-", "native");
    let scan = |log: &str| {
        let mut child = world
            .night
            .command(&["scan", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(log.as_bytes()).unwrap();
        (child, input)
    };
    let (child, input) = scan(NATIVE);
    drop(input);
    Night::finish(child.wait_with_output().unwrap()).ended(3);
    world.run(&["claim", "order:1"]).ended(0);
    world.run(&["resolve", "order:1", "keep", "--reason", "x"]).ended(0);
    let before = world.run(&["cases", "--json"]).out;
    // It waits for the rest of its log, and never gets it.
    let (mut child, input) = scan(&NATIVE.lines().take(2).collect::<Vec<_>>().join("\n"));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    assert_eq!(world.run(&["cases", "--json"]).ended(0).out, before);
    world.run(&["audit", "verify"]).ended(0);
    let (child, input) = scan(NATIVE);
    drop(input);
    let again = Night::finish(child.wait_with_output().unwrap()).ended(3).json();
    assert_eq!(
        again["cases"],
        json!({"total": 6, "opened": 0, "updated": 0, "gone": 0})
    );
    assert_eq!(world.case("order:1")["state"], "proven");
}

//! §1 and §3: how far the log is known: coverage against T and the stop, sources that contradict each other, gaps.

use crate::world::{World, found};
use serde_json::Value as Json;
use std::fmt::Write as _;

const TABLES: &str = "
create table orders (id bigint primary key, sf text, status text);
insert into orders select i, 'SF' || i, 'New' from generate_series(1, 9) i;
create table assets (id bigint primary key, s text);
";

const SCHEMA: &str = r#"
[schema.order]
table = "orders"
key = "id"
label = "sf"
[schema.asset]
table = "assets"
key = "id"
"#;

/// Position, clock, key, state.
type Event<'a> = (u64, &'a str, u64, &'a str);

fn native(events: &[Event<'_>]) -> String {
    let mut log = String::new();
    for (pos, clock, key, state) in events {
        let op = if *state == "null" { "delete" } else { "upsert" };
        writeln!(
            log,
            r#"{{"pos":{pos},"ts":"2026-11-22T{clock}Z","entity":"order","key":{key},"op":"{op}","state":{state}}}"#
        )
        .unwrap();
    }
    log
}

/// A night that stopped at 14:30:00Z, with these logs beside `cdc`.
fn world(cdc: &[Event<'_>], others: &[(&str, &str, String)]) -> World {
    let world = World::new(TABLES, SCHEMA, &[]);
    world.night.write("log.ndjson", native(cdc));
    let mut more = String::new();
    for (name, format, text) in others {
        world.night.write(&format!("{name}.ndjson"), text);
        writeln!(
            more,
            "[[log]]\nname = \"{name}\"\npath = \"{name}.ndjson\"\nformat = \"{format}\"\n"
        )
        .unwrap();
    }
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    let config = config.replace(
        "[restored]",
        &format!("stopped_at = \"2026-11-22T14:30:00Z\"\n\n{more}[restored]"),
    );
    world.night.write("restitch.toml", config);
    world
}

fn covered<'a>(report: &'a Json, source: &str, entity: &str) -> &'a Json {
    let all = report["coverage"].as_array().unwrap();
    all.iter()
        .find(|c| c["source"] == source && c["entity"] == entity)
        .unwrap()
}

fn warned(report: &Json, words: &str) -> bool {
    report["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|w| w.as_str().unwrap().contains(words))
}

#[test]
fn a_log_that_ends_two_minutes_early_is_not_known_after() {
    let begin = (1, "14:04:00", 1, r#"{"status":"New"}"#);
    let report = world(&[begin, (2, "14:28:00", 2, r#"{"status":"New"}"#)], &[]).scan();
    let order = covered(&report, "cdc", "order");
    assert_eq!(
        (&order["known"], &order["why"]),
        (&false.into(), &"ends 2m before the stop".into()),
        "{report}"
    );
    assert_eq!(
        (&order["first"], &order["last"]),
        (&"2026-11-22T14:04:00Z".into(), &"2026-11-22T14:28:00Z".into())
    );
    assert_eq!(
        report["not_known"],
        serde_json::json!({"after": "2026-11-22T14:28:00Z"})
    );
    assert!(
        warned(&report, "its last event is at 2026-11-22T14:28:00Z, 2m before the stop"),
        "{report}"
    );
    // An entity of which the log never tells is not known either: silence is not clean.
    assert_eq!(covered(&report, "cdc", "asset")["known"], false);

    let report = world(&[begin, (2, "14:29:50", 2, r#"{"status":"New"}"#)], &[]).scan();
    assert_eq!(covered(&report, "cdc", "order")["known"], true, "{report}");
    assert_eq!(report["not_known"], serde_json::json!({}));
    assert_eq!(report["warnings"], serde_json::json!([]));
}

#[test]
fn a_log_that_begins_after_t_is_not_known_before() {
    let events = [
        (1, "14:08:00", 1, r#"{"status":"New"}"#),
        (2, "14:29:50", 2, r#"{"status":"New"}"#),
    ];
    let report = world(&events, &[]).scan();
    assert_eq!(covered(&report, "cdc", "order")["why"], "begins 3m after T", "{report}");
    assert_eq!(
        report["not_known"],
        serde_json::json!({"before": "2026-11-22T14:08:00Z"})
    );
}

#[test]
fn another_source_may_know_what_one_does_not() {
    let crm = native(&[
        (1, "14:10:00", 5, r#"{"status":"New"}"#),
        (2, "14:29:50", 5, r#"{"status":"New"}"#),
    ]);
    let cdc = [
        (1, "14:04:00", 1, r#"{"status":"New"}"#),
        (2, "14:28:00", 2, r#"{"status":"New"}"#),
    ];
    let report = world(&cdc, &[("crm", "native", crm)]).scan();
    assert_eq!(covered(&report, "cdc", "order")["known"], false);
    assert_eq!(report["not_known"], serde_json::json!({}), "{report}");
}

#[test]
fn sources_that_disagree_on_a_row_contradict_each_other_with_both_words() {
    let cdc = [
        (1, "14:06:00", 1, r#"{"status":"Accepted"}"#),
        (2, "14:06:01", 2, r#"{"status":"Accepted"}"#),
        (3, "14:06:02", 3, r#"{"status":"Accepted"}"#),
        (4, "14:29:50", 9, r#"{"status":"New"}"#),
    ];
    let crm = native(&[
        (1, "14:07:00", 1, r#"{"status":"Rejected"}"#),
        (2, "14:07:01", 2, r#"{"status":"Accepted"}"#),
        (3, "14:07:02", 3, "null"),
        (4, "14:29:55", 4, r#"{"status":"Rejected"}"#),
    ]);
    let world = world(&cdc, &[("crm", "native", crm)]);
    let report = world.scan();
    assert_eq!(report["findings"]["order"]["contradicted"], 2, "{report}");
    let cases = world.cases();
    let contradicted: Vec<String> = found(&cases)
        .into_iter()
        .filter(|f| f.ends_with("contradicted"))
        .collect();
    // Of 2 both say the same; of 4 cdc ended before crm spoke.
    assert_eq!(contradicted, ["order 1 contradicted", "order 3 contradicted"]);
    let case = world.case("order:1");
    let finding = case["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["kind"] == "contradicted")
        .unwrap();
    let by: Vec<String> = finding["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| format!("{} {}", e["source"].as_str().unwrap(), e["position"].as_str().unwrap()))
        .collect();
    assert_eq!(by, ["crm 1", "cdc 1"]);
    let shown = world.run(&["show", "order:1"]).ended(0);
    assert!(shown.out.contains("contradicted"), "{}", shown.out);
}

#[test]
fn missing_positions_and_gap_events_make_rows_contradicted() {
    let status = r#"{"status":"New"}"#;
    let clocks: Vec<String> = (0..40)
        .map(|n| format!("14:{:02}:{:02}", 6 + n / 2, (n % 2) * 30))
        .collect();
    let mut cdc: Vec<Event<'_>> = Vec::new();
    for n in 0..40_u64 {
        let clock = clocks[usize::try_from(n).unwrap()].as_str();
        // Rows 1 to 4 until the hole at 21 and 22, then 1 and 2.
        let key = if n < 20 { 1 + n % 4 } else { 1 + n % 2 };
        if !(20..22).contains(&n) {
            cdc.push((n + 1, clock, key, status));
        }
    }
    cdc.push((41, "14:29:50", 9, status));
    let gap = r#"{"ChangeEventHeader":{"entityName":"order","recordIds":["7"],"changeType":"GAP_UPDATE","commitTimestamp":1795356600000,"transactionKey":"t","commitUser":"u","commitNumber":1,"sequenceNumber":1,"changedFields":[],"nulledFields":[],"diffFields":[]}}"#;
    let world = world(&cdc, &[("crm", "salesforce-cdc", gap.to_owned())]);
    let report = world.scan();
    assert_eq!(
        world.found(),
        ["order 3 contradicted", "order 4 contradicted", "order 7 contradicted"],
        "{report}"
    );
    assert!(warned(&report, "positions 21 to 22 are missing"), "{report}");
    let order = covered(&report, "cdc", "order");
    assert_eq!(
        (&order["known"], &order["why"]),
        (&false.into(), &"positions 21 to 22 are missing".into())
    );
    let case = world.case("order:3");
    let evidence = case["findings"][0]["evidence"].to_string();
    assert!(evidence.contains("21 to 22 missing"), "{evidence}");
    assert_eq!(case["advice"]["verb"], "escalate");
}

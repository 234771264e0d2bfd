use crate::night::{Night, Ran};
use serde_json::Value as Json;
use std::fs;

/// The checks of this name: state and words.
fn checks(ran: &Ran, name: &str) -> Vec<(String, String)> {
    let of = |l: &Json, key: &str| l[key].as_str().unwrap_or_default().to_owned();
    let lines = ran.lines();
    let named = lines.iter().filter(|l| l["check"] == name);
    named
        .map(|l| (of(l, "state"), of(l, "what") + " | " + &of(l, "cure")))
        .collect()
}

#[test]
fn a_sound_incident_has_nothing_that_fails() {
    let night = Night::new();
    let ran = night.run(&["doctor", "--json"]).ended(0);
    for check in [
        "configuration",
        "clock",
        "restored",
        "schema.order",
        "schema.order.key",
        "snapshot",
        "log cdc",
        "ledger",
    ] {
        assert_eq!(checks(&ran, check)[0].0, "ok", "{check}: {}", ran.out);
    }
    assert!(!night.path("restitch.db").exists(), "looking made a ledger");
    night.run(&["scan"]).ended(3);
    let ran = night.run(&["doctor", "--json"]).ended(0);
    assert!(checks(&ran, "ledger")[0].1.contains("whole"));
    let text = night.run(&["doctor"]).ended(0).out;
    assert!(
        text.lines().all(|l| l.starts_with("ok ") || l.starts_with("warn ")),
        "{text}"
    );
}

#[test]
fn every_mistake_gets_its_own_line_with_the_cure() {
    let night = Night::new();
    night.configure("table = \"orders\"", "table = \"ordrs\"");
    let config = fs::read_to_string(night.path("restitch.toml")).unwrap();
    night.write("restitch.toml", config.replace("state = \"state\"", "state = \"stat\""));
    let ran = night.run(&["doctor", "--json"]).ended(1);
    let (state, what) = &checks(&ran, "schema.order")[0];
    assert!(
        state == "fail" && what.contains("ordrs") && what.contains("orders"),
        "{what}"
    );
    let (state, what) = &checks(&ran, "schema.plan")[0];
    assert!(
        state == "fail" && what.contains("stat") && what.contains("state"),
        "{what}"
    );
    assert_eq!(checks(&ran, "schema.order_item")[0].0, "ok");
    assert_eq!(checks(&ran, "ledger")[0].0, "ok");
}

#[test]
fn a_log_of_another_format_an_empty_and_a_missing_one_are_told_apart() {
    let night = Night::new();
    night.configure("format = \"native\"", "format = \"wal2json\"");
    let ran = night.run(&["doctor", "--json"]).ended(1);
    assert!(checks(&ran, "log cdc")[0].1.contains("looks like native, not wal2json"));
    night.write("log.ndjson", "");
    let ran = night.run(&["doctor", "--json"]).ended(1);
    assert!(checks(&ran, "log cdc")[0].1.contains("empty"));
    fs::remove_file(night.path("log.ndjson")).unwrap();
    let ran = night.run(&["doctor", "--json"]).ended(1);
    assert!(checks(&ran, "log cdc")[0].1.contains("log.ndjson"));
}

#[test]
fn a_database_that_is_not_there_does_not_hide_the_rest() {
    let night = Night::new();
    night.configure("sqlite:restored.db", "sqlite:restord.db");
    let ran = night.run(&["doctor", "--json"]).ended(1);
    assert_eq!(checks(&ran, "restored")[0].0, "fail");
    assert_eq!(checks(&ran, "log cdc")[0].0, "ok");
    assert!(!night.path("restord.db").exists(), "looking made a database");
}

#[test]
fn missing_indexes_a_wrong_clock_and_an_effect_that_cannot_be_are_said() {
    let night = Night::new();
    let ran = night.run(&["doctor", "--json"]).ended(0);
    let (state, what) = &checks(&ran, "schema.order.identity")[0];
    assert!(
        state == "warn" && what.contains("external_id") && what.contains("create index"),
        "{what}"
    );
    night.configure(
        "restored_to = \"2026-11-22T15:05:00+01:00\"",
        "restored_to = \"2199-01-01T00:00:00Z\"\n[effects]\nreapply = { do = \"sql\" }",
    );
    let ran = night.run(&["doctor", "--json"]).ended(1);
    assert_eq!(checks(&ran, "clock")[0].0, "fail");
    let (state, what) = &checks(&ran, "effects.reapply")[0];
    assert!(
        state == "fail" && what.contains("CREATE TABLE restitch_decisions"),
        "{what}"
    );
}

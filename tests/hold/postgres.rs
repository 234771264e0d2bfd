//! The hold with a ledger in PostgreSQL: what a scan, a rescue and a release keep there.

use crate::night::CONFIG;
use crate::support::Pg;
use crate::support::kafka::kafka;
use crate::world::{World, order};
use serde_json::json;

#[test]
fn a_ledger_in_postgresql_keeps_the_same() {
    let hold = World::new("held-postgres", 1, &[], "group = \"om-postgres\"");
    let config = std::fs::read_to_string(hold.night.path("restitch.toml")).unwrap();
    let (_, section) = config.split_once("[hold]").unwrap();
    // One that keeps what it acknowledges: no other takes decisions.
    let pg = Pg::start(&["fsync=on"]);
    let url = pg.url(&pg.create_db());
    let ledger = format!("[ledger]\nurl = \"{url}\"\nsslmode = \"disable\"\n");
    hold.night
        .write("restitch.toml", format!("{CONFIG}\n{ledger}\n[hold]{section}"));
    hold.run(&["ledger", "create"]).ended(0);
    let messages: Vec<(String, String)> = (0..6)
        .map(|n| (format!("SFH-{n}"), order(&format!("SFH-{n}"), &json!({"n": n}))))
        .collect();
    let sent: Vec<_> = messages.iter().map(|(k, v)| (k.as_str(), Some(v.as_str()))).collect();
    kafka().send(&hold.topic, 0, "none", &sent[..4]);
    hold.run(&["phase", "pods-down", "done", "--reason", "seen"]).ended(0);
    let status = hold.status();
    assert_eq!(
        (&status["held"], &status["recorded"]),
        (&json!(4), &json!(true)),
        "{status}"
    );
    hold.run(&["hold", "rescue"]).ended(0);
    // What comes after the rescue goes with the rest, unrescued.
    kafka().send(&hold.topic, 0, "none", &sent[4..]);
    assert_eq!(hold.status()["not_rescued"], 2);
    hold.run(&["scan"]).ended(3);
    kafka().delete_before(&hold.topic, 0, 6);
    let report = hold.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(report["orders"]["expired"], 2, "{report}");
    assert_eq!(hold.status()["lost"], 2);
    let release = ["hold", "release", "--in", "held-postgres.rescue", "--json"];
    let done = hold.run(&release).ended(0).json();
    assert_eq!((&done["sent"], &done["refused"]), (&json!(4), &json!(0)), "{done}");
    // From another folder, without its journal: the ledger knows.
    std::fs::copy(hold.night.path("held-postgres.rescue"), hold.night.path("copy")).unwrap();
    let copy = hold.run(&["hold", "release", "--in", "copy", "--json"]).ended(0).json();
    assert_eq!((&copy["sent"], &copy["sent_before"]), (&json!(0), &json!(4)), "{copy}");
    let audited = hold.run(&["audit", "list", "--json"]).ended(0).lines();
    let said: Vec<&str> = audited
        .iter()
        .filter(|l| l["action"] == "hold")
        .filter_map(|l| l["why"].as_str())
        .collect();
    for wanted in [
        "phase pods-down is done",
        "begun, 0 messages",
        "ended, complete",
        "4 messages to be sent",
        "ended: 4",
    ] {
        assert!(said.iter().any(|s| s.contains(wanted)), "{wanted} is not in {said:#?}");
    }
    hold.run(&["audit", "verify"]).ended(0);
    pg.stop();
}

use crate::night::Night;
use rusqlite::Connection;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Cuts the trail's last line, as only somebody with the file can, and tidies up after it.
fn cut_the_tail(night: &Night) {
    let ledger = Connection::open(night.path("restitch.db")).unwrap();
    ledger
        .execute_batch(
            "drop trigger if exists audit_is_append_only_d;
             delete from audit where seq = (select max(seq) from audit);
             update heads set seq = (select max(seq) from audit), hash = (select hash from audit order by seq desc limit 1)",
        )
        .unwrap();
}

#[test]
fn an_anchor_outside_finds_what_the_chain_cannot() {
    let night = Night::scanned();
    night
        .run(&["audit", "anchor"])
        .ended(2)
        .says(&["--to FILE", "audit.anchor"]);
    night.run(&["note", "order:2", "asked billing"]).ended(0);
    let head = night
        .run(&["audit", "anchor", "--to", "anchors", "--json"])
        .ended(0)
        .json();
    let trail = night.run(&["audit", "list", "--json"]).lines();
    let last = trail.last().unwrap();
    assert_eq!(
        (&head["seq"], &head["hash"], &head["incident"]),
        (&last["seq"], &last["hash"], &json!("night"))
    );
    assert_eq!(
        fs::metadata(night.path("anchors")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let verify = ["audit", "verify", "--anchor", "anchors"];
    night.run(&verify).ended(0);
    assert_eq!(
        night.run(&["audit", "verify", "--anchor", "anchors", "--json"]).json(),
        json!({"whole": true, "lines": trail.len(), "anchors": 1})
    );
    night.run(&["note", "order:2", "later"]).ended(0);
    night.run(&verify).ended(0);
    cut_the_tail(&night);
    night.run(&verify).ended(0);
    cut_the_tail(&night);
    // The chain that is left is whole: only the anchor knows better.
    night.run(&["audit", "verify"]).ended(0);
    night.run(&verify).ended(5).says(&["is gone", "incident night"]);
    night
        .run(&["audit", "verify", "--anchor", "nowhere"])
        .ended(1)
        .says(&["nowhere"]);
}

#[test]
fn the_configured_file_is_used_by_both() {
    let night = Night::scanned();
    night.configure("[incident]", "[audit]\nanchor = \"anchors\"\n\n[incident]");
    night.run(&["audit", "verify"]).ended(0);
    night.run(&["note", "order:2", "asked billing"]).ended(0);
    night.run(&["audit", "anchor"]).ended(0);
    assert_eq!(night.run(&["audit", "verify", "--json"]).ended(0).json()["anchors"], 1);
    cut_the_tail(&night);
    night.run(&["audit", "verify"]).ended(5);
}

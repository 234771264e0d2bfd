use crate::night::{Night, keys};
use rusqlite::Connection;
use serde_json::json;

fn user() -> String {
    let id = std::process::Command::new("id").arg("-run").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_case_is_claimed_decided_done_and_proven() {
    let night = Night::scanned();
    let claim = night.run(&["claim", "SFO-2", "--for", "20m", "--json"]).ended(0).json();
    assert_eq!(claim["case"], "order:2");
    assert_eq!(claim["claimed_by"], json!(user()));
    let listed = night.run(&["cases", "--json", "--order", "2"]).json();
    assert_eq!(listed["claimed_until"], claim["claimed_until"]);

    let dry = night.run(&[
        "resolve",
        "order:2",
        "reapply",
        "--reason",
        "billing confirms",
        "--dry-run",
        "--json",
    ]);
    let dry = dry.ended(0).json();
    assert_eq!(dry["dry_run"], true);
    assert!(!dry["steps"].as_array().unwrap().is_empty());
    assert_eq!(night.run(&["cases", "--json", "--order", "2"]).json()["state"], "open");

    let decided = night
        .run(&["--json", "resolve", "2", "reapply", "--reason", "billing confirms"])
        .ended(0)
        .json();
    assert_eq!(decided["cases"], json!([{"case": "order:2", "state": "to_do"}]));
    let shown = night.run(&["show", "order:2", "--json"]).ended(0).json();
    assert_eq!(shown["decision"]["verb"], "reapply");
    assert_eq!(shown["decision"]["steps"], dry["steps"]);

    night
        .run(&["resolve", "order:2", "keep", "--reason", "again"])
        .ended(4)
        .says(&["undo"]);
    // What is not done is not proven, and stays to do.
    night.run(&["prove", "order:2"]).ended(3);
    assert_eq!(night.run(&["show", "order:2", "--json"]).json()["state"], "to_do");
    let done = night
        .run(&["done", "order:2", "--evidence", "ticket 7", "--json"])
        .ended(0)
        .json();
    assert_eq!(done, json!({"case": "order:2", "state": "applied"}));
    night.sql("update orders set status = 'Accepted', qty = 7 where id = 2; update plans set state = 'Completed'");
    let proven = night.run(&["prove", "--json"]).ended(3).json();
    assert_eq!(keys(&proven), ["case", "verb", "state", "holds", "read"]);
    assert_eq!(proven["case"], "order:2");
    assert_eq!(proven["state"], "proven");
    assert_eq!(proven["holds"], true);
    // The restored database settled it: a later scan leaves it proven.
    night.run(&["scan"]).ended(3);
    assert_eq!(night.run(&["show", "order:2", "--json"]).json()["state"], "proven");
}

#[test]
fn notes_undo_and_drop() {
    let night = Night::scanned();
    night.run(&["claim", "order:4"]).ended(0);
    night.run(&["note", "order:4", "asked billing"]).ended(0);
    night
        .run(&[
            "resolve",
            "order:4",
            "park",
            "--reason",
            "wait",
            "--until",
            "2026-11-23T08:00:00+01:00",
        ])
        .ended(0);
    let shown = night.run(&["show", "SFO-4", "--json"]).json();
    assert_eq!(shown["state"], "parked");
    assert_eq!(shown["decision"]["until"], "2026-11-23T07:00:00Z");
    assert_eq!(shown["notes"][0]["text"], "asked billing");
    let undone = night
        .run(&["undo", "order:4", "--reason", "answered", "--json"])
        .ended(0)
        .json();
    assert_eq!(undone, json!({"case": "order:4", "state": "open"}));
    night.run(&["drop", "order:4"]).ended(0);
    assert_eq!(
        night.run(&["show", "order:4", "--json"]).json()["claimed_by"],
        json!(null)
    );
}

#[test]
fn keep_proves_at_once() {
    let night = Night::scanned();
    night.run(&["claim", "order:4"]).ended(0);
    let kept = night
        .run(&["resolve", "order:4", "keep", "--reason", "it may stay", "--json"])
        .ended(0)
        .json();
    assert_eq!(kept["cases"], json!([{"case": "order:4", "state": "proven"}]));
}

#[test]
fn what_is_refused_ends_with_4_and_stands_in_the_trail() {
    let night = Night::scanned();
    night
        .run(&["resolve", "order:2", "keep", "--reason", "x"])
        .ended(4)
        .says(&["claim"]);
    night.run(&["--readonly", "claim", "order:2"]).ended(4);
    night.run(&["scan", "--readonly"]).ended(4);
    night.run(&["claim", "order:2"]).ended(0);
    let wrong = ["resolve", "order:2", "keep", "--reason", "x", "--confirm", "order:3"];
    night.run(&wrong).ended(4);
    let trail = night.run(&["audit", "list", "--json"]).ended(0).lines();
    let refused: Vec<_> = trail.iter().filter(|l| l["outcome"] == "refused").collect();
    assert_eq!(refused.len(), 2, "{trail:#?}");
    night.configure("[incident]", "[roles]\nlead = [\"somebody-else\"]\n\n[incident]");
    night.run(&["claim", "order:4"]).ended(4).says(&["viewer"]);
}

#[test]
fn usage_is_checked_before_anything_happens() {
    let night = Night::scanned();
    night.run(&["resolve", "order:2", "keep"]).ended(2).says(&["--reason"]);
    night
        .run(&["resolve", "order:2", "burn", "--reason", "x"])
        .ended(2)
        .says(&["reapply"]);
    night
        .run(&["resolve", "order:2", "park", "--reason", "x", "--until", "noon"])
        .ended(2)
        .says(&["RFC 3339"]);
    night.run(&["claim", "order:2", "--for", "15"]).ended(2).says(&["15m"]);
    night
        .run(&["claim", "order:99"])
        .ended(2)
        .says(&["no case", "order:99"]);
    night.run(&["done", "order:2"]).ended(2).says(&["--evidence"]);
    night.run(&["cases", "--state", "opened"]).ended(2).says(&["to_do"]);
    night
        .run(&["phase", "gates", "done", "--reason", "x"])
        .ended(2)
        .says(&["org-told"]);
}

#[test]
fn the_trail_is_listed_to_the_letter_and_a_broken_chain_ends_with_5() {
    let night = Night::scanned();
    night.run(&["claim", "order:2"]).ended(0);
    night
        .run(&["phase", "org-told", "done", "--reason", "mail of 14:31"])
        .ended(0);
    let trail = night.run(&["audit", "list", "--json"]).ended(0).lines();
    for (i, line) in trail.iter().enumerate() {
        assert_eq!(
            keys(line),
            [
                "seq",
                "at",
                "who",
                "action",
                "case",
                "verb",
                "key",
                "outcome",
                "why",
                "hash",
                "system_user",
                "ssh"
            ]
        );
        assert_eq!(line["seq"], json!(i + 1));
        assert_eq!(line["who"], json!(user()));
        assert!(line["at"].as_str().unwrap().ends_with('Z'));
    }
    assert!(trail.iter().any(|l| l["action"] == "claim" && l["case"] == "order:2"));
    assert!(trail.iter().any(|l| l["action"] == "phase"));
    let whole = night.run(&["audit", "verify", "--json"]).ended(0).json();
    assert_eq!(whole, json!({"whole": true, "lines": trail.len()}));

    let ledger = Connection::open(night.path("restitch.db")).unwrap();
    ledger
        .execute_batch("pragma writable_schema = on; delete from sqlite_schema where type = 'trigger'")
        .unwrap();
    drop(ledger);
    let ledger = Connection::open(night.path("restitch.db")).unwrap();
    assert_eq!(
        ledger
            .execute("update audit set why = 'another' where seq = 1", [])
            .unwrap(),
        1
    );
    drop(ledger);
    night.run(&["audit", "verify"]).ended(5);
}

#[test]
fn a_proof_that_fails_opens_the_case_again() {
    let night = Night::scanned();
    night.run(&["claim", "order:4"]).ended(0);
    night
        .run(&["resolve", "order:4", "reapply", "--reason", "delete it"])
        .ended(0);
    night.run(&["done", "order:4", "--evidence", "ticket 9"]).ended(0);
    let failed = night.run(&["prove", "SFO-4", "--json"]).ended(3).json();
    assert_eq!((&failed["holds"], &failed["state"]), (&json!(false), &json!("open")));
    let shown = night.run(&["show", "order:4", "--json"]).json();
    assert_eq!(shown["disproven"], true);
}

#[test]
fn when_every_case_is_settled_prove_and_scan_end_with_0() {
    let night = Night::scanned();
    let lines = night.run(&["cases", "--json"]).lines();
    let ids: Vec<&str> = lines.iter().map(|l| l["case"].as_str().unwrap()).collect();
    for id in ids {
        night.run(&["claim", id]).ended(0);
        night.run(&["resolve", id, "keep", "--reason", "as it is"]).ended(0);
    }
    night.run(&["prove"]).ended(0);
    // What was kept stays lost: the advice of what refers to it says so from the next scan on.
    let report = night.run(&["scan", "--json"]).ended(0).json();
    assert_eq!(report["cases"]["opened"], 0);
    let report = night.run(&["scan", "--json"]).ended(0).json();
    assert_eq!(
        report["cases"],
        json!({"total": 5, "opened": 0, "updated": 0, "gone": 0})
    );
}

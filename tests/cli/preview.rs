use crate::night::{Night, keys};
use serde_json::json;
use std::fs::File;

const T: &str = "2026-11-22T14:05:00Z";

#[test]
fn preview_json_is_one_object_to_the_letter() {
    let night = Night::new();
    let ran = night
        .run(&["preview", "--at", T, "--at", "2026-11-22T15:08:30+01:00", "--json"])
        .ended(0);
    assert_eq!(ran.out.lines().count(), 1);
    let preview = ran.json();
    assert_eq!(keys(&preview), ["points", "buckets", "warnings"]);
    assert_eq!(
        preview["points"],
        json!([
            {"at": T, "orders": 5, "lost": 1, "regressed": 3, "undeleted": 1, "in_doubt": 0, "orphaned": 1,
             "bad_left": 0, "bad_rows": 0, "not_shown": 4},
            {"at": "2026-11-22T14:08:30Z", "orders": 2, "lost": 0, "regressed": 1, "undeleted": 1, "in_doubt": 0,
             "orphaned": 0, "bad_left": 0, "bad_rows": 0, "not_shown": 2},
        ])
    );
    let buckets = preview["buckets"].as_array().unwrap();
    assert_eq!(
        buckets[0],
        json!({"from": "2026-11-22T14:06:00Z", "to": "2026-11-22T14:06:05Z", "events": 1, "orders": 1})
    );
    assert_eq!(buckets.iter().map(|b| b["events"].as_u64().unwrap()).sum::<u64>(), 7);
    // An order and its item in one stretch are one order.
    let busy = buckets.iter().find(|b| b["events"] == 3).unwrap();
    assert_eq!(
        (&busy["from"], &busy["orders"]),
        (&json!("2026-11-22T14:08:00Z"), &json!(1))
    );
    let warnings = preview["warnings"].to_string();
    assert!(
        warnings.contains("4 rows that it changes later; they count as changed"),
        "{warnings}"
    );
}

#[test]
fn what_the_bad_change_did_is_left_from_its_moment_on() {
    let night = Night::new();
    night.configure(
        "restored_to = \"2026-11-22T15:05:00+01:00\"",
        "restored_to = \"2026-11-22T15:05:00+01:00\"\n[incident.bad]\nfrom = \"2026-11-22T14:09:00Z\"\nentity = \"order\"",
    );
    let at = |t: &str| night.run(&["preview", "--json", "--at", t]).ended(0).json()["points"][0]["bad_left"].clone();
    assert_eq!(at("2026-11-22T14:08:59Z"), 0);
    assert_eq!(at("2026-11-22T14:09:00Z"), 1);
    assert_eq!(at("2026-11-22T14:10:00Z"), 2);
    let text = night.run(&["preview", "--at", "2026-11-22T14:10:00Z"]).ended(0).out;
    assert!(
        text.contains("BAD CHANGE LEFT by a restore to 2026-11-22T14:10:00Z: 2 orders, 2 rows"),
        "{text}"
    );
}

#[test]
fn it_works_before_there_is_a_restored_database_and_says_what_it_does_not_know() {
    let night = Night::new();
    let with = night.run(&["preview", "--json", "--at", T]).ended(0).json();
    for (old, new) in [
        ("[restored]\nurl = \"sqlite:restored.db\"\n", ""),
        ("sqlite:restored.db", "sqlite:not-there-yet.db"),
    ] {
        night.configure(old, new);
        let without = night.run(&["preview", "--json", "--at", T]).ended(0).json();
        assert_eq!(without["points"], with["points"]);
        assert!(without["warnings"].to_string().contains("compared by its spelling"));
        assert!(!night.path("not-there-yet.db").exists());
    }
}

#[test]
fn without_a_point_it_is_the_configured_one_and_without_that_it_asks() {
    let night = Night::new();
    let table = night.run(&["preview", "--plain"]).ended(0).out;
    assert_eq!(
        table.lines().next().unwrap(),
        "2026-11-22T14:05:00Z\t5\t1\t3\t1\t0\t1\t0"
    );
    night.configure("restored_to = \"2026-11-22T15:05:00+01:00\"", "");
    night.run(&["preview"]).ended(2).says(&["no restore point", "--at"]);
    night.run(&["preview", "--at", "noon"]).ended(2).says(&["RFC 3339"]);
}

#[test]
fn a_log_from_a_stream_is_read_once() {
    let night = Night::new();
    night.configure("log.ndjson", "-");
    let log = File::open(night.path("log.ndjson")).unwrap();
    let ran = night
        .command(&["preview", "--json", "--at", T])
        .stdin(log)
        .output()
        .unwrap();
    assert_eq!(Night::finish(ran).ended(0).json()["points"][0]["orders"], 5);
}

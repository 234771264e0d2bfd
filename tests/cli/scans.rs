use crate::night::{BIG, Night, keys};
use serde_json::json;

#[test]
fn scan_json_is_one_object_to_the_letter() {
    let night = Night::new();
    let ran = night.run(&["scan", "--json"]).ended(3);
    assert_eq!(ran.out.lines().count(), 1);
    let mut report = ran.json();
    assert_eq!(
        keys(&report),
        [
            "incident",
            "attempt",
            "restored_to",
            "log",
            "rows_read",
            "findings",
            "orders",
            "opening",
            "since_opening",
            "came_back",
            "undone",
            "coverage",
            "not_known",
            "cases",
            "warnings",
            "elapsed_ms",
            "peak_rss_bytes"
        ]
    );
    assert!(report["elapsed_ms"].as_u64().unwrap() < 60_000);
    assert!(report["peak_rss_bytes"].as_u64().unwrap() > 1_000_000);
    assert!(report["rows_read"].as_u64().unwrap() >= 4);
    for volatile in [
        "elapsed_ms",
        "peak_rss_bytes",
        "rows_read",
        "warnings",
        "coverage",
        "opening",
        "came_back",
        "not_known",
    ] {
        report.as_object_mut().unwrap().remove(volatile);
    }
    let bytes = std::fs::metadata(night.path("log.ndjson")).unwrap().len();
    let none = json!({"lost":0,"moved":0,"regressed":0,"undeleted":0,"collided":0,"contradicted":0});
    let with = |kind: &str, n: u64| {
        let mut counts = none.clone();
        counts[kind] = json!(n);
        counts
    };
    let mut order = with("lost", 1);
    order["regressed"] = json!(2);
    order["undeleted"] = json!(1);
    assert_eq!(
        report,
        json!({
            "incident": "night", "attempt": 1, "restored_to": "2026-11-22T14:05:00Z",
            "log": {"events": 7, "bytes": bytes, "rejected": 0,
                    "first": "2026-11-22T14:06:00Z", "last": "2026-11-22T14:10:00Z"},
            "findings": {"order": order, "order_item": with("lost", 1), "inventory_item": with("lost", 1), "plan": none},
            "orders": {"in_doubt": 1, "orphaned": 1, "half_superseded": 0, "expired": 0},
            "since_opening": {"order": 0, "order_item": 0, "inventory_item": 0, "plan": 0}, "undone": 0,
            "cases": {"total": 5, "opened": 5, "updated": 0, "gone": 0},
        })
    );
}

#[test]
fn coverage_names_source_entity_first_and_last() {
    let report = Night::new().run(&["--json", "scan"]).ended(3).json();
    let order = &report["coverage"][0];
    assert_eq!(keys(order), ["source", "entity", "first", "last", "known", "why"]);
    assert_eq!(order["source"], "cdc");
    assert_eq!(order["entity"], "order");
    assert_eq!(order["first"], "2026-11-22T14:06:00Z");
    assert_eq!(order["last"], "2026-11-22T14:10:00Z");
    assert_eq!(order["known"], json!(null), "without stopped_at nobody can tell");
    assert_eq!(order["why"], "incident.stopped_at is not configured");
}

#[test]
fn a_second_scan_changes_nothing() {
    let night = Night::scanned();
    let report = night.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(
        report["cases"],
        json!({"total": 5, "opened": 0, "updated": 0, "gone": 0})
    );
}

#[test]
fn cases_that_are_no_longer_found_are_gone_and_all_settled_is_zero() {
    let night = Night::scanned();
    night.sql(
        "delete from orders where id = 4; update orders set status = 'Accepted', qty = 7 where id = 2;
         insert into orders values (3, 'SFO-3', 'Created', 3, null); update plans set state = 'Completed';
         insert into order_items values (30, 3, 11); insert into inventory_items values (12, 'Active');
         update orders set prior_order_id = 3 where external_id = 'SFO-5';",
    );
    let report = night.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(report["cases"]["total"], 5);
    assert_eq!(
        report["cases"]["gone"], 4,
        "what was in doubt at the opening is decided by a person"
    );
    night.run(&["claim", "order:2"]).ended(0);
    night
        .run(&["resolve", "order:2", "keep", "--reason", "it ended well"])
        .ended(0);
    night.run(&["scan"]).ended(0);
    assert!(
        night
            .run(&["cases", "--json", "--state", "gone"])
            .ended(0)
            .lines()
            .len()
            == 4
    );
}

#[test]
fn cases_json_is_one_object_a_line_to_the_letter() {
    let night = Night::scanned();
    let lines = night.run(&["cases", "--json"]).ended(0).lines();
    assert_eq!(lines.len(), 5);
    let of = |id: &str| lines.iter().find(|l| l["case"] == id).unwrap().clone();
    let evidence = |pos: &str, ts: &str| json!([{"source": "cdc", "position": pos, "ts": ts}]);

    let mut lost = of("order:3");
    assert_eq!(
        keys(&lost),
        [
            "case",
            "order",
            "label",
            "kinds",
            "state",
            "claimed_by",
            "claimed_until",
            "dies_at",
            "findings",
            "missing",
            "blocked_by",
            "advice",
            "outside",
            "fits"
        ]
    );
    lost.as_object_mut().unwrap().remove("advice").unwrap();
    let outside = lost.as_object_mut().unwrap().remove("outside").unwrap();
    // No step of a plan is mapped, so nobody says that nothing happened.
    assert_eq!(
        (&outside[0]["name"], &outside[0]["state"]),
        (&json!("its plan"), &json!("UNKNOWN"))
    );
    assert_eq!(
        lost,
        json!({
            "case": "order:3", "order": "3", "label": "SFO-3", "kinds": ["lost"], "state": "open",
            "claimed_by": null, "claimed_until": null, "dies_at": null,
            "findings": [
                {"entity": "order", "key": "3", "kind": "lost", "undone": false, "fields": [],
                 "evidence": evidence("3", "2026-11-22T14:08:00Z")},
                {"entity": "order_item", "key": "30", "kind": "lost", "undone": false, "fields": [],
                 "evidence": evidence("5", "2026-11-22T14:08:02Z")},
            ],
            "missing": [], "blocked_by": [], "fits": [],
        })
    );

    // A bigint is its text, an integer JSON; the evidence of each field is pointed at.
    let regressed = of("order:2");
    assert_eq!(regressed["kinds"], json!(["regressed", "in_doubt"]));
    let finding = &regressed["findings"][0];
    assert_eq!(
        finding["fields"],
        json!([
            {"name": "status", "restored": "Created", "log": "Accepted", "by": 0},
            {"name": "qty", "restored": 2, "log": 7, "by": 0},
        ])
    );
    assert_eq!(finding["evidence"], evidence("2", "2026-11-22T14:07:00Z"));
    let in_doubt = regressed["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["kind"] == "in_doubt")
        .unwrap();
    assert_eq!(
        in_doubt["rows"],
        json!([{"entity": "plan", "key": "9", "state": "Running"}])
    );

    // It refers to a lost order, whose case comes first.
    let orphan = of(&format!("order:{BIG}"));
    assert_eq!(orphan["order"], BIG);
    assert_eq!(orphan["kinds"], json!(["regressed", "orphaned"]));
    assert_eq!(orphan["missing"], json!([{"entity": "order", "key": "3"}]));
    assert_eq!(orphan["blocked_by"], json!(["order:3"]));
    assert_eq!(keys(&orphan["advice"]), ["verb", "why"]);
    assert_eq!(
        orphan["findings"][0]["fields"],
        json!([{"name": "prior_order_id", "restored": null, "log": "3", "by": 0}])
    );

    // No order owns it.
    let row = of("inventory_item:12");
    assert_eq!(row["order"], json!(null));
    assert_eq!(of("order:4")["kinds"], json!(["undeleted"]));
}

#[test]
fn cases_are_filtered_by_state_kind_and_order() {
    let night = Night::scanned();
    let ids = |args: &[&str]| -> Vec<String> {
        let mut all = vec!["cases", "--json"];
        all.extend(args);
        let lines = night.run(&all).ended(0).lines();
        lines.iter().map(|l| l["case"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["--kind", "undeleted"]), ["order:4"]);
    assert_eq!(ids(&["--order", "SFO-2"]), ["order:2"]);
    assert_eq!(ids(&["--order", "2"]), ["order:2"]);
    assert_eq!(ids(&["--state", "parked"]), Vec::<String>::new());
    assert_eq!(ids(&["--state", "open"]).len(), 5);
    let table = night.run(&["cases"]).ended(0).out;
    assert!(table.lines().next().unwrap().starts_with("order"), "{table}");
    assert_eq!(table.lines().count(), 6);
    let plain = night.run(&["cases", "--plain", "--kind", "undeleted"]).ended(0).out;
    assert!(plain.starts_with("SFO-4\torder:4\t"), "{plain}");
}

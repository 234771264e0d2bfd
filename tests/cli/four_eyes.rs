//! Bulk, approval, hand-over and sign-off on the command line. A SQLite ledger has one person: what takes two is tried
//! with a PostgreSQL ledger and in the ledger's own tests.

use crate::night::Night;
use serde_json::json;

/// The night with a second lost order of the shape of order 3.
fn night() -> Night {
    let night = Night::new();
    let more = r#"{"pos":9,"ts":"2026-11-22T14:12:00Z","entity":"order","key":6,"op":"insert","state":{"external_id":"SFO-6","status":"Created","qty":6}}
{"pos":10,"ts":"2026-11-22T14:12:01Z","entity":"order_item","key":60,"op":"insert","state":{"order_id":6,"inventory_item_id":11}}
"#;
    night.write("log.ndjson", format!("{}{more}", crate::night::LOG));
    night.run(&["scan"]).ended(3);
    night
}

const BULK: [&str; 6] = ["bulk", "resubmit", "--like", "order:3", "--reason", "nothing was done"];

#[test]
fn bulk_shows_counts_decides_and_adds_up() {
    let night = night();
    let dry = night
        .run(&[&BULK[..], &["--dry-run", "--json"]].concat())
        .ended(0)
        .json();
    assert_eq!(
        (&dry["count"], &dry["cases"]),
        (&json!(2), &json!(["order:3", "order:6"]))
    );
    assert_eq!(dry["dry_run"], true);
    night
        .run(&BULK)
        .ended(4)
        .says(&["2 cases would be decided", "--count 2"]);
    night
        .run(&[&BULK[..], &["--count", "3"]].concat())
        .ended(4)
        .says(&["not 3"]);
    assert_eq!(night.run(&["bulk", "--json"]).ended(0).out, "", "nothing was begun");
    let done = night
        .run(&[&BULK[..], &["--count", "2", "--json"]].concat())
        .ended(0)
        .json();
    let sums =
        |v: &serde_json::Value| ["total", "done", "failed", "skipped", "pending"].map(|k| v[k].as_u64().unwrap());
    assert_eq!(sums(&done), [2, 2, 0, 0, 0]);
    assert_eq!(
        done["cases"][1],
        json!({"case": "order:6", "state": "done", "why": null})
    );
    for id in ["order:3", "order:6"] {
        let shown = night.run(&["show", id, "--json"]).json();
        assert_eq!((&shown["state"], &shown["claimed_by"]), (&json!("to_do"), &json!(null)));
        assert_eq!(shown["decision"]["reason"], "nothing was done");
    }
    let id = done["id"].as_str().unwrap();
    assert_eq!(night.run(&["bulk", "--json"]).json()["id"], id);
    night.run(&["bulk", "--resume", id]).ended(0);
    night.run(&["bulk", "--resume", "nonsense"]).ended(2).says(&["no bulk"]);
}

#[test]
fn bulk_leaves_out_with_reasons_and_stops_after_failures() {
    let night = night();
    night.configure("[incident]", "[bulk]\nstop_after = 1\n\n[incident]");
    let filter = ["bulk", "resubmit", "--filter", "state:open", "--reason", "x"];
    let dry = night
        .run(&[&filter[..], &["--dry-run", "--json"]].concat())
        .ended(0)
        .json();
    let left = dry["excluded"].as_array().unwrap();
    assert_eq!(dry["count"].as_u64().unwrap() + left.len() as u64, 6, "{dry}");
    let why = |case: &str| {
        left.iter().find(|l| l["case"] == case).unwrap()["why"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(why("order:2"), "SFO-2 is there: it would be done twice");
    assert_eq!(why("inventory_item:12"), "no order owns this row");
    // One came back after the set was looked at: it fails, and that is enough.
    night.sql("insert into orders values (77, 'SFO-3', 'Created', 3, null)");
    let ran = night.run(&[&filter[..], &["--count", "2", "--json"]].concat()).ended(1);
    let (json, ran) = (ran.json(), ran.says(&["stopped after 1 failures", "bulk --resume"]));
    assert_eq!(
        (&json["failed"], &json["pending"]),
        (&json!(1), &json!(1)),
        "{}",
        ran.out
    );
    assert!(json["cases"][0]["why"].as_str().unwrap().contains("is there by now"));
    let id = json["id"].as_str().unwrap();
    let on = night.run(&["bulk", "--resume", id, "--json"]).ended(0).json();
    assert_eq!(
        (&on["done"], &on["failed"], &on["pending"]),
        (&json!(1), &json!(1), &json!(0))
    );
    night
        .run(&["bulk", "keep", "--filter", "state:opne", "--reason", "x"])
        .ended(2)
        .says(&["opne"]);
    night
        .run(&["bulk", "keep", "--reason", "x"])
        .ended(2)
        .says(&["which cases"]);
    night
        .run(&["bulk", "keep", "--like", "order:2"])
        .ended(2)
        .says(&["reason"]);
}

#[test]
fn what_needs_two_waits_is_listed_and_is_nobodys_own_to_approve() {
    let night = Night::scanned();
    night.configure("[incident]", "[approve]\nverbs = [\"keep\"]\nbulk = 2\n\n[incident]");
    night.run(&["claim", "order:4"]).ended(0);
    let keep = ["resolve", "order:4", "keep", "--reason", "as it is", "--json"];
    let asked = night.run(&keep).ended(0).json();
    assert_eq!(asked["awaits_approval"], true);
    assert_eq!(asked["cases"], json!([{"case": "order:4", "state": "open"}]));
    let listed = night.run(&["approve", "--json"]).ended(0).json();
    assert_eq!((&listed["key"], &listed["state"]), (&asked["key"], &json!("waits")));
    assert_eq!(listed["content"]["verb"], "keep");
    let key = listed["key"].as_str().unwrap();
    night.run(&["approve", key]).ended(4).says(&["takes another person"]);
    night
        .run(&["approve", "SFO-4"])
        .ended(4)
        .says(&["takes another person"]);
    night.run(&["approve", "SFO-4", "--dry-run"]).ended(0);
    night.run(&["approve", "nonsense"]).ended(2).says(&["nothing waits"]);
    assert_eq!(night.run(&["show", "order:4", "--json"]).json()["state"], "open");
    night.run(&["undo", "order:4", "--reason", "not that"]).ended(0);
    assert_eq!(night.run(&["approve", "--json"]).ended(0).out, "");
    let bulk = [
        "bulk",
        "park",
        "--filter",
        "state:open",
        "--reason",
        "wait",
        "--count",
        "5",
        "--json",
    ];
    let waits = night.run(&bulk).ended(0).json();
    assert_eq!(
        (&waits["awaits_approval"], &waits["pending"]),
        (&json!(true), &json!(5))
    );
    let id = waits["id"].as_str().unwrap();
    night
        .run(&["bulk", "--resume", id])
        .ended(4)
        .says(&["waits for another person"]);
    night.run(&["approve", id]).ended(4).says(&["takes another person"]);
}

#[test]
fn a_shift_is_handed_over_and_not_taken_by_who_gave_it() {
    let night = Night::scanned();
    night.run(&["handover", "--list"]).ended(2).says(&["no shift"]);
    night.run(&["claim", "order:2"]).ended(0);
    let given = night
        .run(&["handover", "--to", "li", "--note", "billing calls back", "--json"])
        .ended(0)
        .json();
    assert_eq!(
        (&given["kind"], &given["state"], &given["to"]),
        (&json!("handover"), &json!("waits"), &json!("li"))
    );
    assert_eq!(given["content"]["counts"]["open"], 5);
    let cases = given["content"]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    assert!(
        cases
            .iter()
            .any(|c| c["case"] == "order:2" && c["claimed_by"].is_string())
    );
    night.run(&["handover", "--take"]).ended(4).says(&["another person"]);
    night.run(&["handover", "--list"]).ended(0);
    let last = night.run(&["audit", "list", "--json"]).lines().pop().unwrap();
    assert_eq!(
        (&last["action"], &last["outcome"]),
        (&json!("refuse"), &json!("refused"))
    );
}

#[test]
fn signing_off_names_what_is_left_and_is_kept_when_nothing_is() {
    let night = Night::scanned();
    let refused = night.run(&["signoff", "--json"]).ended(4);
    let json = refused.json();
    refused.says(&["5 things are not settled"]);
    assert_eq!(json["signed_off"], false);
    assert_eq!(json["left"].as_array().unwrap().len(), 5);
    let ids: Vec<String> = night
        .run(&["cases", "--json"])
        .lines()
        .iter()
        .map(|l| l["case"].as_str().unwrap().to_owned())
        .collect();
    for id in &ids {
        night.run(&["claim", id]).ended(0);
    }
    for id in ids.iter().filter(|id| **id != "order:2") {
        night.run(&["resolve", id, "keep", "--reason", "as it is"]).ended(0);
    }
    night.run(&["resolve", "order:2", "reapply", "--reason", "x"]).ended(0);
    night.sql("update orders set status = 'Accepted', qty = 7 where id = 2");
    night.run(&["done", "order:2", "--evidence", "ticket 7"]).ended(0);
    night.run(&["prove"]).ended(0);
    // Proven once is not enough: what somebody undid since is found by reading again.
    night.sql("update orders set qty = 2 where id = 2");
    let undone = night.run(&["signoff", "--json"]).ended(4).json();
    assert_eq!(undone["left"][0]["case"], "order:2");
    assert_eq!(undone["left"][0]["why"], "its proof failed");
    night.sql("update orders set qty = 7 where id = 2");
    night.run(&["claim", "order:2"]).ended(0);
    night.run(&["resolve", "order:2", "reapply", "--reason", "x"]).ended(0);
    night.run(&["done", "order:2", "--evidence", "ticket 8"]).ended(0);
    let signed = night
        .run(&["signoff", "--reason", "the night is over", "--json"])
        .ended(0)
        .json();
    assert_eq!(
        (&signed["signed_off"], &signed["state"]),
        (&json!(true), &json!("signed"))
    );
    assert_eq!(signed["content"]["counts"]["proven"], 5);
    let last = night.run(&["audit", "list", "--json"]).lines().pop().unwrap();
    assert_eq!(last["action"], "signoff");
    night.configure("[incident]", "[roles]\nlead = [\"somebody-else\"]\n\n[incident]");
    night.run(&["signoff"]).ended(4).says(&["no lead"]);
    assert_eq!(night.run(&["audit", "verify"]).code, 0);
}

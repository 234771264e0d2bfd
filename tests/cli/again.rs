//! An order is looked up again before it is sent again; what was decided is opened again.

use crate::night::Night;
use serde_json::json;

const RESUBMIT: [&str; 5] = ["resolve", "order:3", "resubmit", "--reason", "nothing was done outside"];

#[test]
fn an_order_that_came_back_meanwhile_is_not_sent_again() {
    let night = Night::scanned();
    night.run(&["claim", "order:3"]).ended(0);
    // It was ordered again under another key after the scan.
    night.sql("insert into orders values (77, 'SFO-3', 'Created', 3, null)");
    let words = "SFO-3 is there by now, as order 77: it would be done twice";
    night.run(&RESUBMIT).ended(4).says(&[words]);
    let dry = night.run(&[&RESUBMIT[..], &["--dry-run", "--json"]].concat()).ended(4);
    assert!(dry.json()["refused"].as_str().unwrap().contains(words));
    assert_eq!(night.run(&["show", "order:3", "--json"]).json()["state"], "open");
    let last = night.run(&["audit", "list", "--json"]).lines().pop().unwrap();
    assert_eq!(
        (&last["action"], &last["outcome"]),
        (&json!("refuse"), &json!("refused"))
    );
    assert!(last["why"].as_str().unwrap().contains(words), "{last}");

    night.sql("delete from orders where id = 77");
    night.run(&RESUBMIT).ended(0);
}

#[test]
fn where_nobody_can_tell_whether_it_is_there_nothing_is_sent() {
    let night = Night::scanned();
    night.run(&["claim", "order:3"]).ended(0);
    std::fs::rename(night.path("restored.db"), night.path("away.db")).unwrap();
    night
        .run(&RESUBMIT)
        .ended(4)
        .says(&["nobody knows whether SFO-3 is there by now"]);
    std::fs::rename(night.path("away.db"), night.path("restored.db")).unwrap();
    night.run(&RESUBMIT).ended(0);
}

#[test]
fn reopen_takes_a_reason_and_opens_what_was_settled() {
    let night = Night::scanned();
    night.run(&["claim", "order:4"]).ended(0);
    night
        .run(&["reopen", "order:4", "--reason", "x"])
        .ended(4)
        .says(&["is open"]);
    night
        .run(&["resolve", "order:4", "keep", "--reason", "as it is"])
        .ended(0);
    night.run(&["reopen", "SFO-4"]).ended(2).says(&["--reason"]);
    let opened = night
        .run(&["reopen", "SFO-4", "--reason", "it is not", "--json"])
        .ended(0);
    assert_eq!(opened.json(), json!({"case": "order:4", "state": "open"}));
    let line = night.run(&["audit", "list", "--json"]).lines().pop().unwrap();
    assert_eq!(line["action"], "reopen");
    night.configure("[incident]", "[roles]\noperator = [\"nobody\"]\n\n[incident]");
    night
        .run(&["reopen", "order:2", "--reason", "x"])
        .ended(4)
        .says(&["no lead"]);
}

#[test]
fn escalated_has_an_owner_a_time_and_takes_an_answer() {
    let night = Night::scanned();
    night.run(&["claim", "order:2"]).ended(0);
    let escalate = ["resolve", "order:2", "escalate", "--reason", "past it", "--to", "sam"];
    night.run(&escalate).ended(0);
    let decision = night.run(&["show", "order:2", "--json"]).json()["decision"].clone();
    assert_eq!(decision["to"], "sam");
    assert!(
        decision["until"].as_str().unwrap() > decision["at"].as_str().unwrap(),
        "{decision}"
    );
    let answered = night
        .run(&["done", "order:2", "--evidence", "sam: keep it", "--json"])
        .ended(0);
    assert_eq!(answered.json(), json!({"case": "order:2", "state": "open"}));
    let shown = night.run(&["show", "order:2", "--json"]).json();
    assert_eq!(shown["notes"][0]["text"], "answer: sam: keep it");
}

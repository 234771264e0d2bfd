//! A scan whose hold is a topic.

use crate::night::CONFIG;
use crate::support::kafka::{Kafka, kafka};
use crate::world::{World, instant, now, order};
use serde_json::{Value as Json, json};

/// The usual night, with this topic as its hold.
fn night(topic: &str, settings: &[(&str, &str)], hold: &str) -> World {
    let world = World::new(topic, 2, settings, hold);
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    let (_, hold) = config.split_once("[hold]").unwrap();
    world.night.write("restitch.toml", format!("{CONFIG}\n[hold]{hold}"));
    world
}

fn cases(world: &World) -> Vec<Json> {
    world.run(&["cases", "--json"]).ended(0).lines()
}

fn case(world: &World, id: &str) -> Json {
    let all = cases(world);
    let found = all.iter().find(|c| c["case"] == id).cloned();
    found.unwrap_or_else(|| panic!("no case {id} in {all:#?}"))
}

#[test]
fn held_orders_have_their_deadline_until_they_are_rescued() {
    let hold = night("scan-held", &[("retention.ms", "1800000")], "");
    let stamp = now() - 1_000;
    // Refers to an order that the restored database lacks.
    let orphan = order("SFH-1", &json!({"prior_order_id": 999}));
    kafka().send_at(&hold.topic, 1, stamp, ("SFH-1", Some(&orphan)));
    kafka().send_at(
        &hold.topic,
        0,
        stamp,
        ("SFH-2", Some(&order("SFH-2", &json!({"prior_order_id": 1})))),
    );
    // Taken back: it waits no more.
    kafka().send_at(
        &hold.topic,
        0,
        stamp,
        ("SFH-3", Some(&order("SFH-3", &json!({"prior_order_id": 998})))),
    );
    let withdrawn = r#"{"entity":"order","key":"SFH-3","op":"delete","state":null}"#;
    kafka().send_at(&hold.topic, 0, stamp, ("SFH-3", Some(withdrawn)));
    let report = hold.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(
        (&report["orders"]["orphaned"], &report["orders"]["expired"]),
        (&json!(2), &json!(0)),
        "one in the log, one held: {report}"
    );
    let found = case(&hold, "held:SFH-1");
    assert_eq!(found["kinds"], json!(["orphaned"]));
    assert_eq!(found["dies_at"], instant(stamp + 1_800_000), "{found}");
    assert_eq!(found["order"], json!(null));
    assert!(
        cases(&hold)
            .iter()
            .all(|c| c["case"] != "held:SFH-2" && c["case"] != "held:SFH-3")
    );
    hold.run(&["hold", "rescue"]).ended(0);
    hold.run(&["scan"]).ended(3);
    assert_eq!(
        case(&hold, "held:SFH-1")["dies_at"],
        json!(null),
        "a copy of it is safe"
    );
    // The console and the header know as well.
    assert_eq!(hold.status()["rescued"], 4);
}

#[test]
fn what_the_broker_deleted_is_expired_unless_it_was_rescued_or_is_there() {
    let hold = night("scan-expired", &[], "group = \"om-expired\"");
    let send = |label: &str| {
        let message = order(label, &json!({"status": "Created"}));
        kafka().send_at(&hold.topic, 0, now(), (label, Some(&message)));
    };
    for label in ["SFH-0", "SFH-1"] {
        send(label);
    }
    hold.run(&["hold", "rescue"]).ended(0);
    // The last one is in the restored database under its label.
    for label in ["SFH-2", "SFH-3", "SFO-1"] {
        send(label);
    }
    kafka().commit("om-expired", &hold.topic, 0, 1);
    let report = hold.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(report["orders"]["expired"], 0);
    kafka().delete_before(&hold.topic, 0, 5);
    let report = hold.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(report["orders"]["expired"], 2, "{report}");
    let found = case(&hold, "held:SFH-2");
    assert_eq!(found["kinds"], json!(["expired"]));
    assert_eq!(found["label"], "SFH-2");
    assert_eq!(found["findings"][0]["evidence"][0]["source"], "hold");
    assert_eq!(found["findings"][0]["evidence"][0]["position"], "0:2");
    assert_eq!(found["advice"]["verb"], "resubmit", "{found}");
    case(&hold, "held:SFH-3");
    // Taken before, rescued before, there.
    for label in ["SFH-0", "SFH-1", "SFO-1"] {
        assert!(
            cases(&hold).iter().all(|c| c["case"] != format!("held:{label}")),
            "{label}"
        );
    }
}

#[test]
fn an_order_that_was_taken_back_does_not_expire_though_an_earlier_look_saw_it_wait() {
    let hold = night("scan-withdrawn", &[], "");
    let send = |message: &str| kafka().send_at(&hold.topic, 0, now(), ("SFH-1", Some(message)));
    send(&order("SFH-1", &json!({})));
    hold.status();
    send(r#"{"entity":"order","key":"SFH-1","op":"delete","state":null}"#);
    hold.status();
    kafka().delete_before(&hold.topic, 0, 2);
    let report = hold.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(report["orders"]["expired"], 0, "{report}");
}

#[test]
fn malformed_messages_are_counted_and_silent_brokers_end_no_scan() {
    let broker = Kafka::start();
    let topic = broker.topic("held", 1);
    let hold = World::at(&topic, &broker.brokers(), "");
    let config = std::fs::read_to_string(hold.night.path("restitch.toml")).unwrap();
    let (_, section) = config.split_once("[hold]").unwrap();
    let limit = "\n[scan]\nreject_limit = \"60%\"\n";
    hold.night
        .write("restitch.toml", format!("{CONFIG}\n[hold]{section}{limit}"));
    broker.send(
        &topic,
        0,
        "none",
        &[("a", Some("not json")), ("b", Some(&order("SFH-1", &json!({}))))],
    );
    let report = hold.run(&["scan", "--json"]).ended(3).json();
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("hold: 1 malformed message was rejected, the first at 0:0"),
        "{warnings}"
    );
    broker.stop();
    let report = hold.run(&["scan", "--json"]).ended(3).json();
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("no broker answers"), "{warnings}");
    assert!(warnings.contains("what expired is not known"), "{warnings}");
}

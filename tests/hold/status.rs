//! `hold status` and what it knows.

use crate::support::free_port;
use crate::support::kafka::{Kafka, kafka};
use crate::world::{World, instant, now, order};
use serde_json::json;

const HALF_HOUR: i64 = 1_800_000;

#[test]
fn the_deadline_of_each_partition_is_its_first_stamp_and_the_topics_retention() {
    let hold = World::new("held-deadlines", 3, &[("retention.ms", "1800000")], "");
    let first = now() - 60_000;
    for (n, label) in ["SFH-1", "SFH-2"].into_iter().enumerate() {
        let stamp = first + 1_000 * i64::try_from(n).unwrap();
        kafka().send_at(&hold.topic, 0, stamp, (label, Some(&order(label, &json!({})))));
    }
    kafka().send_at(&hold.topic, 2, first + 9_000, ("k", Some("no order")));
    let status = hold.status();
    assert_eq!(status["held"], 3, "{status}");
    assert_eq!(status["window"], "30m");
    assert_eq!(status["window_from"], "topic config");
    assert_eq!(status["stamps"], "the producer");
    assert_eq!(status["proven"], true, "{status}");
    assert_eq!(status["loss_possible_from"], instant(first + HALF_HOUR));
    let partitions = &status["partitions"];
    assert_eq!(
        partitions[0]["oldest"],
        json!({"offset": 0, "name": "SFH-1", "at": instant(first)})
    );
    assert_eq!(partitions[0]["loss_possible_from"], instant(first + HALF_HOUR));
    assert_eq!(partitions[1]["held"], 0);
    assert_eq!(partitions[1]["loss_possible_from"], json!(null));
    assert_eq!(partitions[2]["loss_possible_from"], instant(first + 9_000 + HALF_HOUR));
    assert_eq!(partitions[2]["oldest"]["name"], "k");
    let table = hold.run(&["hold", "status"]).ended(0).out;
    assert!(table.contains("SFH-1"), "{table}");
}

#[test]
fn retention_that_cannot_be_trusted_is_not() {
    // Longer than the window: something else may delete after half an hour, so the earliest of all stamps counts.
    let hold = World::new("held-unproven", 1, &[("retention.ms", "604800000")], "");
    let first = now() - 60_000;
    kafka().send_at(&hold.topic, 0, first, ("a", Some("x")));
    // Stamped twenty minutes before it was sent.
    kafka().send_at(&hold.topic, 0, first - 1_200_000, ("b", Some("x")));
    // By a clock that is ahead.
    kafka().send_at(&hold.topic, 0, first + 7_200_000, ("c", Some("x")));
    let status = hold.status();
    assert_eq!(status["proven"], false);
    assert_eq!(
        (&status["window"], &status["window_from"]),
        (&json!("30m"), &json!("configured"))
    );
    assert_eq!(
        status["loss_possible_from"],
        instant(first - 1_200_000 + HALF_HOUR),
        "{status}"
    );
    assert_eq!(status["partitions"][0]["future_stamps"], 1);
    // The shutdown was earlier than any stamp tells.
    let config = std::fs::read_to_string(hold.night.path("restitch.toml")).unwrap();
    let stopped = first - 1_500_000;
    let stop = format!("id = \"night\"\nstopped_at = \"{}\"", instant(stopped));
    hold.night
        .write("restitch.toml", config.replace("id = \"night\"", &stop));
    assert_eq!(hold.status()["loss_possible_from"], instant(stopped + HALF_HOUR));
}

#[test]
fn what_the_order_system_took_is_not_held_and_what_went_before_it_did_is_lost() {
    let hold = World::new("held-group", 2, &[("retention.ms", "1800000")], "group = \"om-hold\"");
    for n in 0..10 {
        for partition in 0..2 {
            kafka().send_at(
                &hold.topic,
                partition,
                now() - 60_000 + n,
                (&format!("K-{n}"), Some("x")),
            );
        }
    }
    kafka().commit("om-hold", &hold.topic, 0, 4);
    let status = hold.status();
    assert_eq!(status["partitions"][0]["committed"], 4);
    assert_eq!(status["partitions"][0]["held"], 6);
    assert_eq!(status["partitions"][0]["oldest"]["name"], "K-4");
    assert_eq!(status["partitions"][0]["lost"], 0);
    assert_eq!(
        status["partitions"][1]["lost"],
        json!(null),
        "nothing says where the group had got to"
    );
    hold.run(&["hold", "status", "--record"]).ended(0);
    // A drain, or retention by size: it deletes before any deadline.
    kafka().delete_before(&hold.topic, 0, 7);
    kafka().delete_before(&hold.topic, 1, 2);
    let status = hold.status();
    assert_eq!(status["partitions"][0]["lost"], 3, "{status}");
    assert_eq!(
        status["partitions"][1]["lost"], 2,
        "counted from the offsets recorded at the shutdown"
    );
    assert_eq!((&status["lost"], &status["held"]), (&json!(5), &json!(11)));
    // The order system goes on and jumps over the gap: what was lost stays lost.
    kafka().commit("om-hold", &hold.topic, 0, 8);
    assert_eq!(hold.status()["partitions"][0]["lost"], 3);
    // Only ever read.
    assert_eq!(kafka().committed("om-hold", &hold.topic, 0), Some(8));
    assert_eq!(kafka().committed("om-hold", &hold.topic, 1), None);
    let ours = kafka()
        .groups()
        .into_iter()
        .filter(|g| g.starts_with("restitch"))
        .count();
    assert_eq!(ours, 0, "no group is joined");
    let audited = hold.run(&["audit", "list", "--json"]).ended(0).lines();
    assert!(
        audited
            .iter()
            .any(|l| l["action"] == "hold" && l["why"].as_str().unwrap().contains("0: 0-10 taken to 4"))
    );
}

#[test]
fn retention_passes_while_one_looks() {
    let hold = World::new(
        "held-expiring",
        1,
        &[("retention.ms", "3000")],
        "services_back = \"2099-01-01T00:00:00Z\"",
    );
    for n in 0..5 {
        kafka().send_at(&hold.topic, 0, now(), (&format!("K-{n}"), Some("x")));
    }
    hold.run(&["hold", "status", "--record"]).ended(0);
    let status = hold.status();
    assert_eq!((&status["held"], &status["window"]), (&json!(5), &json!("3s")));
    assert_eq!(status["at_risk"], 5);
    let from = restitch::domain::time::parse(status["loss_possible_from"].as_str().unwrap()).unwrap();
    let status = hold.until("lost", |s| s["lost"] != 0);
    let read = restitch::domain::time::parse(status["read_at"].as_str().unwrap()).unwrap();
    assert!(read >= from, "lost at {read}, before it was possible at {from}");
    assert_eq!((&status["lost"], &status["held"]), (&json!(5), &json!(0)), "{status}");
}

#[test]
fn brokers_that_do_not_answer_are_shown_with_the_last_known_deadline() {
    let broker = Kafka::start();
    let topic = broker.topic_with("held", 1, &[("retention.ms", "1800000")]);
    let stamp = now();
    broker.send_at(&topic, 0, stamp, ("SFH-1", Some("x")));
    let hold = World::at(&topic, &broker.brokers(), "");
    assert_eq!(hold.status()["held"], 1);
    broker.stop();
    let ran = hold.run(&["hold", "status", "--json"]).ended(1);
    let ran = ran.says(&["no broker answers", "Connection refused"]);
    let status = ran.json();
    assert_eq!((&status["brokers"], &status["held"]), (&json!("silent"), &json!(1)));
    assert_eq!(status["loss_possible_from"], instant(stamp + HALF_HOUR));
    let table = hold.run(&["hold", "status"]).ended(1).out;
    assert!(
        table.contains("BROKERS SILENT since") && table.contains("as of"),
        "{table}"
    );
    // Where nothing was ever known, nothing is shown.
    let never = World::at("held", &format!("127.0.0.1:{}", free_port()), "");
    let ran = never.run(&["hold", "status"]).ended(1).says(&["no broker answers"]);
    assert_eq!(ran.out, "");
}

#[test]
fn mistakes_are_said_with_their_cure() {
    let missing = World::at("no-such-topic", &kafka().brokers(), "");
    missing
        .run(&["hold", "status"])
        .ended(2)
        .says(&["no-such-topic", "[hold] topic"]);
    let plain = World::at(
        "t",
        "b:9092",
        "sasl = \"plain\"\ntls = false\nusername = \"u\"\npassword_env = \"P\"",
    );
    plain
        .run(&["hold", "status"])
        .ended(2)
        .says(&["in the clear", "hold.tls"]);
    let no_password = World::at("t", "b:9092", "sasl = \"scram-sha-512\"\nusername = \"u\"");
    no_password
        .run(&["hold", "status"])
        .ended(2)
        .says(&["needs a password"]);
    let file = World::at("t", "b:9092", "");
    file.night
        .write("restitch.toml", "[hold]\nsource = \"file\"\npath = \"held.ndjson\"\n");
    file.run(&["hold", "status"]).ended(2).says(&["the hold is a file"]);
}

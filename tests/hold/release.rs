//! `hold release`: rescued orders go back once each, parents first, whatever happens to the release.

use crate::night::CONFIG;
use crate::support::kafka::kafka;
use crate::world::{World, order};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A topic of which everything was rescued and then deleted by the broker.
fn lost(topic: &str, partitions: i32, each: i32, hold: &str) -> World {
    let world = World::new(topic, partitions, &[], hold);
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    let (_, section) = config.split_once("[hold]").unwrap();
    world.night.write("restitch.toml", format!("{CONFIG}\n[hold]{section}"));
    for partition in 0..partitions {
        let messages: Vec<(String, String)> = (0..each)
            .map(|n| {
                let label = format!("SFH-{partition}-{n}");
                let message = order(&label, &json!({"n": n}));
                (label, message)
            })
            .collect();
        let sent: Vec<_> = messages.iter().map(|(k, v)| (k.as_str(), Some(v.as_str()))).collect();
        kafka().send(topic, partition, "none", &sent);
    }
    world.run(&["hold", "rescue"]).ended(0);
    for partition in 0..partitions {
        kafka().delete_before(topic, partition, i64::from(each));
    }
    world
}

/// What stands in the topic now: keys of releases, and how often each.
fn keys(topic: &str, partitions: i32) -> (BTreeMap<String, u32>, Vec<String>) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka().brokers())
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_uncommitted")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..partitions {
        let (low, high) = kafka().ends(topic, partition);
        from.add_partition_offset(topic, partition, Offset::Offset(low))
            .unwrap();
        left += high - low;
    }
    consumer.assign(&from).unwrap();
    let (mut keys, mut labels) = (BTreeMap::new(), Vec::new());
    let begun = Instant::now();
    while left > 0 && begun.elapsed() < Duration::from_mins(1) {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let m = message.unwrap();
        left -= 1;
        labels.push(String::from_utf8(m.key().unwrap().to_vec()).unwrap());
        let header = m.headers().and_then(|h| {
            h.iter()
                .find(|h| h.key == "idempotency-key")
                .map(|h| h.value.unwrap().to_vec())
        });
        if let Some(key) = header {
            *keys.entry(String::from_utf8(key).unwrap()).or_default() += 1;
        }
    }
    assert_eq!(left, 0, "the topic could not be read");
    (keys, labels)
}

#[test]
fn lost_orders_go_back_once_and_the_rest_is_refused_with_the_reason() {
    let hold = lost("release-plain", 2, 5, "group = \"om-release\"");
    // One that is still there, rescued as well; one that is in the restored database; one that was taken.
    kafka().send(
        &hold.topic,
        0,
        "none",
        &[
            ("SFO-1", Some(&order("SFO-1", &json!({})))),
            ("SFH-9", Some(&order("SFH-9", &json!({})))),
        ],
    );
    hold.run(&["hold", "rescue"]).ended(0);
    kafka().commit("om-release", &hold.topic, 1, 2);
    hold.run(&["hold", "status", "--record"]).ended(0);
    let dry = hold
        .run(&["hold", "release", "--in", "release-plain.rescue", "--dry-run", "--json"])
        .ended(0)
        .json();
    assert_eq!((&dry["sent"], &dry["refused"]), (&json!(8), &json!(4)), "{dry}");
    assert_eq!(keys(&hold.topic, 2).0.len(), 0, "--dry-run sends nothing");
    let why = |label: &str| {
        let all = dry["messages"].as_array().unwrap();
        all.iter().find(|m| m["label"] == label).unwrap()["why"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(why("SFO-1").contains("restored database"), "{dry}");
    assert!(why("SFH-9").contains("still in the topic"));
    assert!(why("SFH-1-0").contains("has taken it"));
    let done = hold
        .run(&["hold", "release", "--in", "release-plain.rescue", "--json"])
        .ended(0)
        .json();
    assert_eq!((&done["sent"], &done["refused"]), (&json!(8), &json!(4)), "{done}");
    let (found, _) = keys(&hold.topic, 2);
    assert_eq!(found.len(), 8);
    assert!(found.values().all(|n| *n == 1), "{found:?}");
    // Again: nothing is left to be sent, not even from a copy of the file without its journal.
    let again = hold
        .run(&["hold", "release", "--in", "release-plain.rescue", "--json"])
        .ended(0)
        .json();
    assert_eq!((&again["sent"], &again["sent_before"]), (&json!(0), &json!(8)));
    std::fs::copy(hold.night.path("release-plain.rescue"), hold.night.path("copy")).unwrap();
    let copy = hold.run(&["hold", "release", "--in", "copy", "--json"]).ended(0).json();
    assert_eq!((&copy["sent"], &copy["sent_before"]), (&json!(0), &json!(8)));
    let audited = hold.run(&["audit", "list", "--json"]).ended(0).lines();
    assert!(
        audited
            .iter()
            .any(|l| l["why"].as_str().is_some_and(|w| w.contains("ended: 8 messages sent"))),
        "{audited:?}"
    );
}

#[test]
fn parents_go_back_before_what_refers_to_them() {
    let hold = lost("release-order", 1, 0, "");
    let child = order("CHILD", &json!({"prior_order_id": "PARENT"}));
    let parent = order("PARENT", &json!({"prior_order_id": "GRANDPARENT"}));
    let first = order("GRANDPARENT", &json!({}));
    let sent = [
        ("CHILD", Some(child.as_str())),
        ("PARENT", Some(&parent)),
        ("GRANDPARENT", Some(&first)),
    ];
    kafka().send(&hold.topic, 0, "none", &sent);
    hold.run(&["hold", "rescue"]).ended(0);
    kafka().delete_before(&hold.topic, 0, 3);
    hold.run(&["hold", "release", "--in", "release-order.rescue"]).ended(0);
    assert_eq!(keys(&hold.topic, 1).1, ["GRANDPARENT", "PARENT", "CHILD"]);
}

#[test]
fn who_may_not_is_refused() {
    let hold = lost("release-role", 1, 1, "");
    let config = std::fs::read_to_string(hold.night.path("restitch.toml")).unwrap();
    let me = std::process::Command::new("id").arg("-un").output().unwrap();
    let me = String::from_utf8(me.stdout).unwrap();
    hold.night.write(
        "restitch.toml",
        format!("{config}\n[roles]\noperator = [\"{}\"]\n", me.trim()),
    );
    hold.run(&["hold", "release", "--in", "release-role.rescue"])
        .ended(4)
        .says(&["only a lead"]);
    let audited = hold.run(&["audit", "list", "--json"]).ended(0).lines();
    let refused = audited.iter().find(|l| l["outcome"] == "refused").unwrap();
    assert!(refused["why"].as_str().unwrap().contains("only a lead"), "{refused}");
    hold.run(&["hold", "release", "--in", "release-role.rescue", "--dry-run"])
        .ended(0);
    assert_eq!(keys(&hold.topic, 1).0.len(), 0);
    hold.run(&["hold", "release", "--in", "restitch.toml", "--dry-run"])
        .ended(2)
        .says(&["no rescue file"]);
}

/// Kills at moments spread over the whole release; counted are those that left the journal with something open or undone.
#[test]
fn fifty_kills_of_a_release_send_each_order_once() {
    const EACH: i32 = 6_000;
    let hold = lost("release-killed", 2, EACH, "");
    let journal = hold.night.path("release-killed.rescue.released");
    let (mut landed, mut open) = (0, 0);
    let begun = Instant::now();
    let mut kill = 0_u64;
    while landed < 50 {
        assert!(begun.elapsed() < Duration::from_mins(9), "{landed} kills landed");
        let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let before = size(&journal);
        let mut child = hold
            .night
            .command(&["hold", "release", "--in", "release-killed.rescue"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed so many microseconds after the journal grew: before the messages leave, while they do, after.
        let ended = loop {
            if size(&journal) > before {
                break false;
            }
            if child.try_wait().unwrap().is_some() {
                break true;
            }
        };
        if !ended {
            // No condition to wait for: any moment will do, and each is another one.
            let moment = Instant::now() + Duration::from_micros(kill * 977 % 20_000);
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
        }
        let killed = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        kill += 1;
        if killed {
            landed += 1;
            let text = std::fs::read_to_string(&journal).unwrap_or_default();
            open += u32::from(text.lines().last().is_some_and(|l| l.starts_with("{\"will_send\"")));
        } else {
            break;
        }
    }
    let done = hold
        .run(&["hold", "release", "--in", "release-killed.rescue", "--json"])
        .ended(0)
        .json();
    assert!(landed >= 50, "{landed} kills landed before everything was sent");
    assert!(open >= 5, "{open} kills left the fate of messages open");
    assert_eq!(done["refused"], 0);
    let (found, _) = keys(&hold.topic, 2);
    assert_eq!(found.len(), usize::try_from(2 * EACH).unwrap());
    assert!(found.values().all(|n| *n == 1), "some went back more than once");
}

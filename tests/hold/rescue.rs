//! `hold rescue`: nothing that the broker had is missing from the file, whatever happens to the rescue.

use crate::support::kafka::kafka;
use crate::world::{World, now, order};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use restitch::restore::hold::file::{self, Entry, Saved, Stamp};
use serde_json::json;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_mins(1);

/// Messages with everything that a message can have, and what it can lack.
fn fill(topic: &str, partitions: i32, each: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka().brokers())
        .set("compression.type", "zstd")
        .create()
        .unwrap();
    for partition in 0..partitions {
        for n in 0..each {
            let (key, value) = (format!("SFH-{n}"), format!("{n} \0 ü {}", "x".repeat(n % 300)));
            let headers = OwnedHeaders::new()
                .insert(Header {
                    key: "trace",
                    value: Some(&n.to_le_bytes()[..]),
                })
                .insert(Header {
                    key: "trace",
                    value: None::<&[u8]>,
                });
            let mut record = BaseRecord::<[u8], [u8]>::to(topic)
                .partition(partition)
                .timestamp(now() - i64::try_from(n).unwrap());
            if n % 3 > 0 {
                record = record.key(key.as_bytes());
            }
            if n % 5 > 0 {
                record = record.payload(value.as_bytes());
            }
            if n % 2 > 0 {
                record = record.headers(headers);
            }
            let mut record = record;
            while let Err((_, again)) = producer.send(record) {
                record = again;
                producer.poll(Duration::from_millis(10));
            }
        }
    }
    producer.flush(LIMIT).unwrap();
}

/// What a consumer of the tests' own sees of the topic.
fn on_broker(topic: &str, partitions: i32) -> Vec<Saved> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka().brokers())
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    let mut wanted = 0;
    for partition in 0..partitions {
        from.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        let (low, high) = kafka().ends(topic, partition);
        wanted += usize::try_from(high - low).unwrap();
    }
    consumer.assign(&from).unwrap();
    let mut all = Vec::new();
    let begun = Instant::now();
    while all.len() < wanted && begun.elapsed() < LIMIT {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let m = message.unwrap();
        let headers = m.headers().map_or_else(Vec::new, |h| {
            h.iter()
                .map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)))
                .collect()
        });
        all.push(Saved {
            partition: m.partition(),
            offset: m.offset(),
            from: m.offset(),
            stamp: m.timestamp().to_millis().map_or(Stamp::None, Stamp::CreateTime),
            key: m.key().map(<[u8]>::to_vec),
            value: m.payload().map(<[u8]>::to_vec),
            headers,
        });
    }
    all.sort_by_key(|m| (m.partition, m.offset));
    all
}

/// The messages of a file, each once.
pub fn in_file(path: &Path) -> Vec<Saved> {
    let mut all = Vec::new();
    file::read(path, |entry| {
        if let Entry::Message(m) = entry {
            all.push(m);
        }
        Ok(())
    })
    .unwrap();
    all.sort_by_key(|m| (m.partition, m.offset));
    all.dedup();
    all
}

fn start(hold: &World, args: &[&str]) -> Child {
    let mut command = hold.night.command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn every_message_comes_over_byte_for_byte() {
    let hold = World::new("rescue-whole", 3, &[("retention.ms", "1800000")], "");
    fill(&hold.topic, 3, 2_000);
    let done = hold.run(&["hold", "rescue", "--json"]).ended(0).json();
    assert_eq!(
        (&done["messages"], &done["complete"]),
        (&json!(6_000), &json!(true)),
        "{done}"
    );
    assert_eq!(done["partitions"][1]["complete_to"], 2_000);
    let (there, here) = (
        on_broker(&hold.topic, 3),
        in_file(&hold.night.path("rescue-whole.rescue")),
    );
    assert_eq!(there.len(), 6_000);
    assert!(there == here, "the file differs from the topic");
    let status = hold.status();
    assert_eq!(
        (&status["rescued"], &status["not_rescued"]),
        (&json!(6_000), &json!(0)),
        "{status}"
    );
    // Run again, it finds nothing to do and loses nothing; what came since is added.
    kafka().send(&hold.topic, 1, "none", &[("late", Some("late"))]);
    assert_eq!(hold.status()["not_rescued"], 1);
    let again = hold.run(&["hold", "rescue", "--json"]).ended(0).json();
    assert_eq!((&again["messages"], &again["id"]), (&json!(6_001), &done["id"]));
    assert_eq!(kafka().groups().iter().filter(|g| g.starts_with("restitch")).count(), 0);
    // Another topic does not go into the same file, nor does a file of others become one.
    kafka().topic("rescue-other", 1);
    hold.run(&[
        "hold",
        "rescue",
        "--topic",
        "rescue-other",
        "--out",
        "rescue-whole.rescue",
    ])
    .ended(2)
    .says(&["holds topic rescue-whole", "destroys the proof"]);
    hold.run(&["hold", "rescue", "--out", "restitch.toml"]).ended(2);
    hold.run(&["hold", "rescue", "--readonly"]).ended(4);
}

/// Kills at moments spread over the whole rescue: before the file is there, within it, behind its end.
#[test]
fn fifty_kills_of_a_rescue_lose_nothing() {
    const KILLS: u32 = 50;
    let hold = World::new("rescue-killed", 4, &[("retention.ms", "1800000")], "");
    fill(&hold.topic, 4, 15_000);
    let path = hold.night.path("rescue-killed.rescue");
    let (mut landed, mut within, mut torn) = (0, 0, 0);
    let mut size = 0;
    for kill in 0..KILLS {
        let before = size;
        let mut child = start(&hold, &["hold", "rescue"]);
        // Killed when the file has grown by so much; awaited by its size, since time says little on a busy machine.
        let grow = u64::from(kill % 10) * 9_973;
        let begun = Instant::now();
        let ended = loop {
            size = std::fs::metadata(&path).map_or(0, |m| m.len());
            if size >= before + grow && (grow > 0 || begun.elapsed() > Duration::from_millis(u64::from(kill))) {
                break false;
            }
            if child.try_wait().unwrap().is_some() {
                break true;
            }
            assert!(begun.elapsed() < LIMIT, "nothing is rescued");
        };
        if !ended {
            child.kill().unwrap();
            landed += 1;
        }
        child.wait().unwrap();
        size = std::fs::metadata(&path).map_or(0, |m| m.len());
        within += u32::from(size > before);
        // A crash of the machine, not of the process, also takes bytes that were never synced: cut within the last record,
        // where this run wrote something.
        if size > before + 100 && kill % 3 == 0 {
            let cut = size - u64::from(kill * 7 % 90);
            std::fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(cut)
                .unwrap();
            size = cut;
            torn += 1;
        }
        if ended {
            // Begun again: there is nothing left to be killed in.
            std::fs::remove_file(&path).unwrap();
            size = 0;
        }
    }
    assert!(landed >= 40, "{landed} kills landed");
    assert!(
        within >= 20 && torn >= 3,
        "{within} landed within the copying, {torn} ends were torn"
    );
    let done = hold.run(&["hold", "rescue", "--json"]).ended(0).json();
    assert_eq!(done["complete"], true);
    let (there, here) = (on_broker(&hold.topic, 4), in_file(&path));
    assert_eq!((there.len(), here.len()), (60_000, 60_000));
    assert!(there == here, "the file differs from the topic");
}

#[test]
fn armed_before_the_shutdown_it_outruns_the_retention() {
    let hold = World::new("rescue-armed", 2, &[("retention.ms", "2000")], "");
    let mut armed = start(&hold, &["hold", "rescue", "--follow", "--json"]);
    hold.until("armed", |_| hold.night.path("rescue-armed.rescue").exists());
    hold.run(&["hold", "status", "--record"]).ended(0);
    for n in 0..40 {
        let key = format!("SFH-{n}");
        kafka().send_at(&hold.topic, n % 2, now(), (&key, Some(&order(&key, &json!({"n": n})))));
    }
    let status = hold.until("deleted by the broker", |s| {
        let partitions = s["partitions"].as_array().unwrap();
        partitions.iter().all(|p| p["earliest"] == 20)
    });
    // The broker has none of them any more; all are safe, so none is lost.
    assert_eq!((&status["held"], &status["lost"]), (&json!(0), &json!(0)), "{status}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&armed), rustix::process::Signal::TERM).unwrap();
    let code = armed.wait().unwrap().code();
    assert_eq!(code, Some(0));
    let labels: Vec<String> = in_file(&hold.night.path("rescue-armed.rescue"))
        .into_iter()
        .map(|m| String::from_utf8(m.key.unwrap()).unwrap())
        .collect();
    assert_eq!(labels.len(), 40);
}

#[test]
fn what_went_before_it_was_copied_is_named() {
    let hold = World::new("rescue-late", 1, &[], "");
    fill(&hold.topic, 1, 10);
    hold.run(&["hold", "rescue"]).ended(0);
    fill(&hold.topic, 1, 10);
    kafka().delete_before(&hold.topic, 0, 14);
    let ran = hold
        .run(&["hold", "rescue", "--json"])
        .ended(1)
        .says(&["0: 10 to 13", "deleted them"]);
    let done = ran.json();
    assert_eq!(done["partitions"][0]["missing"], json!([[10, 14]]));
    assert_eq!((&done["messages"], &done["complete"]), (&json!(16), &json!(false)));
}

/// Marks of transactions use up offsets and are no messages.
#[test]
fn transactions_leave_no_gap() {
    let hold = World::new("rescue-transactions", 1, &[], "");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka().brokers())
        .set("transactional.id", "t")
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    for n in 0..3 {
        producer.begin_transaction().unwrap();
        producer
            .send(BaseRecord::<str, str>::to(&hold.topic).partition(0).payload("x"))
            .unwrap();
        producer.flush(LIMIT).unwrap();
        if n == 1 {
            producer.abort_transaction(LIMIT).unwrap();
        } else {
            producer.commit_transaction(LIMIT).unwrap();
        }
    }
    let (_, latest) = kafka().ends(&hold.topic, 0);
    let done = hold.run(&["hold", "rescue", "--json"]).ended(0).json();
    assert_eq!(
        (&done["messages"], &done["complete"]),
        (&json!(2), &json!(true)),
        "{done}"
    );
    assert_eq!(done["partitions"][0]["complete_to"], latest);
}

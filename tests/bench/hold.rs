//! The hold on a broker: `cargo bench --bench hold`.
//!
//! Follows 500 messages a second on 12 partitions in a console that stands on the Hold view, and says what that costs: the
//! processor time of the whole process, with few messages waiting and with many, less that of the same process while
//! nothing comes. Then rescues a topic, and has `kcat` (Debian's) consume the same one to a file, in turn.
//!
//! The broker is the tests' own (`tests/run` installs it), not Apache Kafka.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark talks to the person who started it, and stops when something is wrong"
)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../pty/terminal.rs"]
mod terminal;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::kafka::kafka;
use terminal::{RESTITCH, Terminal};

const PARTITIONS: i32 = 12;
const A_SECOND: u32 = 500;
/// As many as the tests' broker can hand out: it puts all there is into one answer, and clients take 100 MB.
const MANY: u32 = 200_000;
const WATCHED: Duration = Duration::from_mins(1);
const TO_RESCUE: u32 = 250_000;
const ROUNDS: usize = 5;

fn main() {
    follow();
    rescue();
}

fn producer() -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", kafka().brokers())
        .set("queue.buffering.max.messages", "1000000")
        .set("linger.ms", "5")
        .create()
        .unwrap()
}

/// Order number `n`, as the order intake would send it.
fn send(producer: &BaseProducer, topic: &str, n: u32) {
    let key = format!("SFM-{n}");
    let value = format!(
        r#"{{"entity":"order","key":"{key}","op":"upsert","version":{n},"state":{{"status":"Submitted","account_id":"ACC-{}","external_id":"{key}","due_at":"2026-11-23T12:00:00Z","prior_order_id":null,"items":[{{"action":"Add","product":"FIBRE-1000","asset_ref":"3ff25056-1d2f-c99f-c445-{n:012}"}}]}}}}"#,
        n % 5_000
    );
    let partition = (n % PARTITIONS.unsigned_abs()).cast_signed();
    let mut record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value);
    while let Err((_, again)) = producer.send(record) {
        producer.poll(Duration::from_millis(1));
        record = again;
    }
}

fn night(topic: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[incident]\nid = \"bench\"\n[hold]\nsource = \"kafka\"\nbrokers = [\"{}\"]\ntopic = \"{topic}\"\n",
        kafka().brokers()
    );
    std::fs::write(folder.path().join("restitch.toml"), config).unwrap();
    folder
}

fn follow() {
    let topic = kafka().topic_with("held", PARTITIONS, &[("retention.ms", "1800000")]);
    let folder = night(&topic);
    let mut console = Terminal::restitch(&[], folder.path(), (160, 48));
    console.keys("4");
    console.shows("brokers answer");
    let producer = producer();
    let mut sent = 0;
    println!("Hold view, {PARTITIONS} partitions, {A_SECOND} messages a second; of a core, over {WATCHED:?}");
    for (what, before) in [("empty", 0), ("with 200,000 waiting", MANY)] {
        while sent < before {
            send(&producer, &topic, sent);
            sent += 1;
        }
        producer.flush(Duration::from_mins(1)).unwrap();
        shows_held(&console, sent);
        // Time itself is the subject: first what the start still does dies down.
        std::thread::sleep(Duration::from_secs(10));
        let idle = share(&console, || std::thread::sleep(WATCHED));
        let busy = share(&console, || {
            let (begun, first) = (Instant::now(), sent);
            while begun.elapsed() < WATCHED {
                let due = first + u32::try_from(begun.elapsed().as_millis()).unwrap() * A_SECOND / 1_000;
                while sent < due {
                    send(&producer, &topic, sent);
                    sent += 1;
                }
                producer.poll(Duration::from_millis(10));
            }
        });
        producer.flush(Duration::from_mins(1)).unwrap();
        shows_held(&console, sent);
        println!(
            "{what}: {busy:.2} % following, {idle:.2} % idle, {:.2} % for following",
            busy - idle
        );
    }
    console.keys("q");
    console.ends().unwrap();
}

/// Waits until the view has them all.
fn shows_held(console: &Terminal, sent: u32) {
    let digits = |text: &str| text.replace(',', "");
    let wanted = format!("rescued 0 of {sent}");
    if sent > 0 {
        console.wait(&wanted, |s| digits(&s.contents()).contains(&wanted));
    }
}

/// Processor time of the console while this is done, in hundredths of a core.
fn share(console: &Terminal, done: impl FnOnce()) -> f64 {
    let (begun, before) = (Instant::now(), console.cpu().unwrap());
    done();
    let used = console.cpu().unwrap().saturating_sub(before);
    used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0
}

fn rescue() {
    let topic = kafka().topic_with("rescued", PARTITIONS, &[("retention.ms", "86400000")]);
    let producer = producer();
    for n in 0..TO_RESCUE {
        send(&producer, &topic, n);
    }
    producer.flush(Duration::from_mins(5)).unwrap();
    let folder = night(&topic);
    let has_kcat = Command::new("kcat").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !has_kcat {
        println!("kcat is not installed, so the rescue has no peer: apt-get install kcat");
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The first round warms the broker.
    for round in 0..=ROUNDS {
        let a = ours_once(folder.path());
        let b = if has_kcat {
            theirs_once(folder.path(), &topic)
        } else {
            0.0
        };
        if round > 0 {
            ours.push(a);
            theirs.push(b);
        }
    }
    let median = |runs: &mut Vec<f64>| {
        runs.sort_by(f64::total_cmp);
        runs[runs.len() / 2]
    };
    let (a, b) = (median(&mut ours), median(&mut theirs));
    println!("{TO_RESCUE} messages on {PARTITIONS} partitions to a file, medians of {ROUNDS}");
    println!("hold rescue  {a:.2} s  (with headers, stamps and seals; synced, read back, held against the broker)");
    if has_kcat {
        println!("kcat -C      {b:.2} s  (values)");
        println!("kcat / rescue {:.2}", b / a);
    }
}

fn ours_once(folder: &Path) -> f64 {
    let file = folder.join("ours");
    let _ = std::fs::remove_file(&file);
    let begun = Instant::now();
    let ran = Command::new(RESTITCH)
        .args(["hold", "rescue", "--json", "--out", "ours"])
        .current_dir(folder)
        .output()
        .unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let done: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(done["messages"], TO_RESCUE);
    seconds
}

fn theirs_once(folder: &Path, topic: &str) -> f64 {
    let file = folder.join("theirs");
    let out = std::fs::File::create(&file).unwrap();
    let begun = Instant::now();
    let ran = Command::new("kcat")
        .args([
            "-C",
            "-q",
            "-e",
            "-o",
            "beginning",
            "-b",
            &kafka().brokers(),
            "-t",
            topic,
        ])
        .stdout(out)
        .status()
        .unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    assert!(ran.success(), "kcat failed");
    let lines = memchr::memchr_iter(b'\n', &std::fs::read(&file).unwrap()).count();
    assert_eq!(lines, TO_RESCUE as usize, "kcat must see every message");
    seconds
}

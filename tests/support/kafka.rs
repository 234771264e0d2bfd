//! A broker for tests: noida-db, which `tests/run` installs. It is no Apache Kafka.

use super::{free_port, home};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// A running broker.
pub struct Kafka {
    pub port: u16,
    /// Holds the pipe whose end, however it comes, makes the watcher stop the broker.
    watcher: Child,
}

/// The broker shared by the tests of this binary.
pub fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    KAFKA.get_or_init(Kafka::start)
}

/// A message: its key, its value (`None` is a tombstone).
pub type Sent<'a> = (&'a str, Option<&'a str>);

/// Where `tests/run` puts the broker.
fn bin() -> PathBuf {
    if let Some(bin) = std::env::var_os("NOIDA_DB") {
        return PathBuf::from(bin);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"),
        PathBuf::from,
    );
    let pattern = cache.join("restitch-tests/noida-db-0.2.3/lib/python3*/site-packages/noida_db/noida-db");
    let found = glob::glob(pattern.to_str().unwrap()).unwrap().flatten().next();
    found.expect("the broker for the tests is not installed: tests/run does it, or NOIDA_DB names its program")
}

impl Kafka {
    #[allow(
        clippy::zombie_processes,
        reason = "the watcher ends with this process, and waits for what it started"
    )]
    pub fn start() -> Self {
        for _ in 0..5 {
            let port = free_port();
            let data = home();
            let script = r#"
                "$1" start --only kafka --kafka-port "$2" --data-dir "$3" >/dev/null 2>&1 &
                cat >/dev/null
                kill $!
                wait
                rm -rf "$3"
            "#;
            let watcher = Command::new("/bin/sh")
                .args(["-c", script, "sh"])
                .arg(bin())
                .arg(port.to_string())
                .arg(data)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let begun = Instant::now();
            while begun.elapsed() < LIMIT {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { port, watcher };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("the broker does not start");
    }

    /// Stops the broker and waits until it is gone.
    pub fn stop(mut self) {
        drop(self.watcher.stdin.take());
        self.watcher.wait().unwrap();
    }

    /// Stops it in its tracks: whoever asks waits; or lets it go on.
    pub fn pause(&self, stop: bool) {
        use rustix::process::{Pid, Signal, kill_process};
        let shell = self.watcher.id();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let signal = if stop { Signal::STOP } else { Signal::CONT };
        // The broker, and the shell's `cat`, which does not mind.
        for child in children.split_whitespace() {
            kill_process(Pid::from_raw(child.parse().unwrap()).unwrap(), signal).unwrap();
        }
    }

    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        config
    }

    /// A new topic of so many partitions; its name.
    pub fn topic(&self, name: &str, partitions: i32) -> String {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = runtime().block_on(admin.create_topics([&topic], &AdminOptions::new()));
        made.unwrap().remove(0).unwrap();
        name.to_owned()
    }

    /// As [`Kafka::topic`], with these settings.
    pub fn topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let made = runtime().block_on(admin.create_topics([&topic], &AdminOptions::new()));
        made.unwrap().remove(0).unwrap();
        name.to_owned()
    }

    /// Sends one message with this stamp, in milliseconds since 1970.
    pub fn send_at(&self, topic: &str, partition: i32, stamp: i64, (key, value): Sent<'_>) {
        let producer: BaseProducer = self.config().create().unwrap();
        let mut record = BaseRecord::<str, str>::to(topic)
            .partition(partition)
            .key(key)
            .timestamp(stamp);
        record.payload = value;
        producer.send(record).map_err(|(e, _)| e).unwrap();
        producer.flush(LIMIT).unwrap();
    }

    /// Commits for a group of the order system's: up to this offset it has taken messages.
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        consumer.commit(&offsets, CommitMode::Sync).unwrap();
    }

    /// What a group has committed.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition(topic, partition);
        let told = consumer.committed_offsets(offsets, LIMIT).unwrap();
        match told.elements()[0].offset() {
            Offset::Offset(at) => Some(at),
            _ => None,
        }
    }

    /// First offset and the one behind the last.
    pub fn ends(&self, topic: &str, partition: i32) -> (i64, i64) {
        let consumer: BaseConsumer = self.config().create().unwrap();
        consumer.fetch_watermarks(topic, partition, LIMIT).unwrap()
    }

    /// Sends messages to one partition, packed so, and waits until the broker has them.
    pub fn send(&self, topic: &str, partition: i32, packed: &str, messages: &[Sent<'_>]) {
        let producer: BaseProducer = self.config().set("compression.type", packed).create().unwrap();
        for (key, value) in messages {
            let mut record = BaseRecord::<str, str>::to(topic).partition(partition).key(key);
            record.payload = *value;
            producer.send(record).map_err(|(e, _)| e).unwrap();
        }
        producer.flush(LIMIT).unwrap();
    }

    /// Deletes the messages before this offset, as retention does.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        let deleted = runtime().block_on(admin.delete_records(&offsets, &AdminOptions::new()));
        deleted.unwrap();
    }

    /// The groups that the broker knows.
    pub fn groups(&self) -> Vec<String> {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let groups = consumer.fetch_group_list(None, LIMIT).unwrap();
        groups.groups().iter().map(|g| g.name().to_owned()).collect()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

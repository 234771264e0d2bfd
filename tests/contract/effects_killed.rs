//! §5, promise 4: whoever sends orders on their way is killed again and again. No message is lost, and every copy carries the
//! key of its decision.

use crate::support::dice::{Dice, is_soak};
use crate::world::{Event, World};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use restitch::config;
use restitch::domain::case::Verb;
use restitch::domain::queue::Decide;
use restitch::ledger::{Ledger, new_key};
use std::collections::HashMap;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// So many incidents at once.
const LANES: usize = 5;
/// So many orders wait to be sent whenever a relay starts.
const WAITING: usize = 6;
/// The broker answers this much later than it took a message: time enough to die in between.
const ROUND_TRIP: Duration = Duration::from_millis(25);

/// What the broker got, as long as it is there.
struct Topic {
    consumer: BaseConsumer,
    /// The key and the case that each copy names, by the order's key.
    copies: HashMap<String, Vec<(String, String)>>,
}

impl Topic {
    fn new(brokers: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "test")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "5")
            .create()
            .unwrap();
        let mut from = TopicPartitionList::new();
        from.add_partition_offset("intake", 0, Offset::Beginning).unwrap();
        consumer.assign(&from).unwrap();
        Self {
            consumer,
            copies: HashMap::new(),
        }
    }

    /// Reads up to what the broker has by now.
    fn read(&mut self) {
        let end = self
            .consumer
            .fetch_watermarks("intake", 0, Duration::from_secs(20))
            .unwrap()
            .1;
        let begun = Instant::now();
        while i64::try_from(self.all()).unwrap() < end {
            assert!(begun.elapsed() < Duration::from_secs(20), "the topic does not end");
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let (order, copy) = told(&message);
                    self.copies.entry(order).or_default().push(copy);
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    fn all(&self) -> usize {
        self.copies.values().map(Vec::len).sum()
    }
}

/// The order, and the decision and the case by the headers.
fn told(message: &BorrowedMessage<'_>) -> (String, (String, String)) {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.expect("a value").to_vec()).unwrap();
    let headers = message.headers().expect("headers");
    let header = |name: &str| {
        let found = headers.iter().find(|h| h.key == name);
        text(found.unwrap_or_else(|| panic!("no header {name}")).value)
    };
    (
        text(message.key()),
        (header("idempotency-key"), header("restitch-case")),
    )
}

/// What came of the kills.
#[derive(Debug, Default)]
struct Told {
    /// Kills while an order was on its way.
    within: usize,
    /// Of these, when the broker had it already: its second copies.
    between: usize,
    orders: usize,
    messages: usize,
}

#[test]
fn a_relay_killed_again_and_again_loses_nothing_and_keeps_the_keys() {
    let kills = if is_soak() { 5_000 } else { 200 };
    // Side by side, each with a broker and a ledger of its own: they mostly wait.
    let told: Vec<Told> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| scope.spawn(move || kill(kills / LANES, lane as u64)))
            .collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect()
    });
    let sum = |of: fn(&Told) -> usize| told.iter().map(of).sum::<usize>();
    let (within, between) = (sum(|t| t.within), sum(|t| t.between));
    let story = format!(
        "{kills} kills, {within} with an order on its way, {between} of them after the broker had it; {} orders, {} messages",
        sum(|t| t.orders),
        sum(|t| t.messages)
    );
    println!("{story}");
    assert!(between >= kills / 40 && within - between >= kills / 20, "{story}");
}

/// Kills so many relays, one after the other.
fn kill(kills: usize, seed: u64) -> Told {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("intake", 1, 1).unwrap();
    cluster.broker_round_trip_time(1, ROUND_TRIP).unwrap();
    let orders: Vec<String> = (1..=2 * kills + 2 * WAITING).map(|k| k.to_string()).collect();
    let events: Vec<Event<'_>> = orders
        .iter()
        .map(|key| ("order", &**key, "insert", r#"{"status":"Done"}"#))
        .collect();
    let world = World::on_sqlite(
        "create table orders (id bigint primary key, status text)",
        &format!(
            "[schema.order]\ntable = \"orders\"\nkey = \"id\"\n[effects]\ngrace = \"0s\"\n\
             resubmit = {{ do = \"kafka\", topic = \"intake\", brokers = [\"{}\"] }}",
            cluster.bootstrap_servers()
        ),
        &events,
    );
    world.scan();
    let folder = world.night.path(".");
    let config = config::from_text(
        &std::fs::read_to_string(world.night.path("restitch.toml")).unwrap(),
        "restitch.toml",
        &folder,
    )
    .unwrap();
    let mut ledger = Ledger::open(&config, false).unwrap();
    let file = rusqlite::Connection::open(world.night.path("restitch.db")).unwrap();
    file.busy_timeout(Duration::from_secs(20)).unwrap();
    let running = || -> Option<String> {
        let sql = "SELECT cases ->> 0 FROM effects WHERE state = 'running' AND leased_until > 1";
        let mut read = file.prepare_cached(sql).unwrap();
        let mut rows = read.query([]).unwrap();
        rows.next().unwrap().map(|row| row.get(0).unwrap())
    };
    let mut topic = Topic::new(&cluster.bootstrap_servers());
    let mut decided: HashMap<String, String> = HashMap::new();
    let mut undecided = orders.iter();
    let mut dice = Dice::new(seed);
    // How often a relay was killed while it was at this order.
    let mut killed_at: HashMap<String, usize> = HashMap::new();
    // How long one order is on its way here and now.
    let order = undecided.next().unwrap();
    decided.insert(order.clone(), decide(&mut ledger, order));
    let mut first = relay(&world);
    await_that("the relay does not start", || running().is_some());
    let begun = Instant::now();
    await_that("the order does not arrive", || running().is_none());
    let usual = usize::try_from(begun.elapsed().as_micros()).unwrap();
    first.wait().unwrap();
    for n in 0..kills {
        for _ in ledger.pending_effects().unwrap().len()..WAITING {
            let order = undecided.next().expect("more orders than are sent");
            decided.insert(order.clone(), decide(&mut ledger, order));
        }
        let mut relay = relay(&world);
        await_that("the relay does not start", || running().is_some());
        // Any moment of the first order or two, and as often one about the time when the first arrives: time is the subject.
        let (from, to) = [(0, 2 * usual), (usual * 3 / 4, usual + usual / 16)][n % 2];
        thread::sleep(Duration::from_micros((from + dice.roll(to - from)) as u64));
        relay.kill().unwrap();
        relay.wait().unwrap();
        if let Some(case) = running() {
            *killed_at.entry(case.replace("order:", "")).or_default() += 1;
        }
        // The lease of the dead, fifteen seconds, is over.
        file.execute("UPDATE effects SET leased_until = 1 WHERE state = 'running'", [])
            .unwrap();
    }
    while !ledger.pending_effects().unwrap().is_empty() {
        world.run(&["prove"]).ended(3);
    }
    topic.read();
    assert_eq!(ledger.verify().unwrap(), ledger.newest_line().unwrap().unsigned_abs());
    held(&topic, &decided, &killed_at);
    Told {
        within: killed_at.values().sum(),
        between: topic.all() - decided.len(),
        orders: decided.len(),
        messages: topic.all(),
    }
}

/// What carries out all that waits.
fn relay(world: &World) -> Child {
    world
        .night
        .command(&["prove"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn await_that(or: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{or}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn decide(ledger: &mut Ledger, order: &str) -> String {
    let case = format!("order:{order}");
    ledger
        .claim(std::slice::from_ref(&case), Duration::from_mins(1))
        .unwrap();
    let key = new_key();
    let decision = Decide {
        key: key.clone(),
        verb: Some(Verb::Resubmit),
        reason: "so".to_owned(),
        reference: None,
        to: None,
        evidence: Some("billing: no".to_owned()),
        until: None,
        confirm: Some(case.clone()),
        fence: None,
        seen: None,
        case,
    };
    ledger.decide(&decision).unwrap();
    key
}

/// No order is lost, every copy names its decision and its case, and there are no more copies than relays died at it.
fn held(topic: &Topic, decided: &HashMap<String, String>, killed_at: &HashMap<String, usize>) {
    for (order, key) in decided {
        let copies = topic
            .copies
            .get(order)
            .unwrap_or_else(|| panic!("order {order} was lost"));
        let named = (key.clone(), format!("order:{order}"));
        assert!(copies.iter().all(|copy| *copy == named), "{order}: {copies:?}");
        // At least once, and not exactly once: who dies between the broker and the ledger has it sent again.
        let killed = killed_at.get(order).copied().unwrap_or_default();
        assert!(
            copies.len() <= 1 + killed,
            "{order} was sent {} times, killed {killed} times",
            copies.len()
        );
    }
    assert_eq!(topic.copies.len(), decided.len(), "nothing else was sent");
}

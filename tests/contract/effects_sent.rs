//! §3 and §5: orders sent on their way, as messages and as requests: exactly what was shown, under one key, and never
//! blindly again.

use super::begin;
use crate::support::kafka::kafka;
use crate::world::World;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::{Value as Json, json};
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TABLES: &str = "
create table orders (id bigint primary key, sf text, status text, msisdn text);
create table lines (id bigint primary key, order_id bigint, what text);
";

const SCHEMA: &str = r#"
[schema.order]
table = "orders"
key = "id"
label = "sf"
identity = ["sf"]
state = "status"
mask = ["msisdn"]
[schema.order_item]
table = "lines"
key = "id"
owner = "order_id"
"#;

/// A topic that the same test with another ledger does not use.
fn topic(name: &str) -> String {
    kafka().topic(&format!("{name}.{}", super::NAME), 1)
}

/// Two lost orders, one with an item.
pub fn world(effects: &str) -> World {
    let world = begin(
        TABLES,
        &format!("{SCHEMA}\n[effects]\n{effects}"),
        &[
            (
                "order",
                "50",
                "insert",
                r#"{"id":50,"sf":"SF50","status":"Done","msisdn":"+4917"}"#,
            ),
            ("order_item", "7", "insert", r#"{"id":7,"order_id":50,"what":"fibre"}"#),
            ("order", "51", "insert", r#"{"id":51,"sf":"SF51","status":"Done"}"#),
        ],
    );
    world.scan();
    world.run(&["claim", "order:50", "order:51"]).ended(0);
    world
}

fn resubmit(world: &World, id: &str, more: &[&str]) -> crate::night::Ran {
    let mut args = vec![
        "resolve",
        id,
        "resubmit",
        "--reason",
        "so",
        "--evidence",
        "billing: no",
        "--json",
    ];
    args.extend(more);
    world.run(&args)
}

fn sent(world: &World, id: &str) -> crate::night::Ran {
    resubmit(world, id, &["--confirm", id])
}

/// What the order intake would get.
fn order() -> Json {
    json!({"entity": "order", "key": "50", "op": "insert",
           "state": {"id": "50", "sf": "SF50", "status": "Done", "msisdn": "+4917",
                     "items": [{"id": "7", "order_id": "50", "what": "fibre"}]}})
}

/// Key, headers, payload.
type Sent = (String, Vec<(String, String)>, Json);

/// Every message of a topic.
pub fn messages(brokers: &str, topic: &str) -> Vec<Sent> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        // The client asks for one; as nothing is committed under it, the broker knows no such group.
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let mut all = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(m)) => {
                let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
                let headers = m.headers().map(|h| {
                    h.iter()
                        .map(|h| (h.key.to_owned(), text(h.value.unwrap_or_default())))
                        .collect()
                });
                all.push((
                    text(m.key().unwrap()),
                    headers.unwrap_or_default(),
                    serde_json::from_slice(m.payload().unwrap()).unwrap(),
                ));
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return all,
            _ => {}
        }
    }
    panic!("the topic {topic} does not end");
}

#[test]
fn a_message_is_shown_confirmed_and_sent_under_the_decisions_key() {
    let topic = topic("intake");
    let world = world(&format!(
        "grace = \"0s\"\nresubmit = {{ do = \"kafka\", topic = \"{topic}\", brokers = [\"{}\"] }}",
        kafka().brokers()
    ));
    let dry = resubmit(&world, "order:50", &["--dry-run"]).ended(0).json();
    assert_eq!(dry["kind"], "one-way");
    let mut shown = order();
    shown["state"]["msisdn"] = json!("(masked)");
    assert_eq!(
        dry["effect"],
        json!({"do": "kafka", "topic": topic, "key": "50", "payload": shown})
    );
    assert!(dry["steps"].to_string().contains("at least once"), "{dry}");
    resubmit(&world, "order:50", &[])
        .ended(4)
        .says(&["one-way", "--confirm order:50"]);
    assert!(messages(&kafka().brokers(), &topic).is_empty());
    let done = sent(&world, "order:50").ended(0).json();
    // It is on its way: that it is not there yet proves nothing.
    assert_eq!(done["cases"], json!([{"case": "order:50", "state": "applied"}]));
    let key = done["key"].as_str().unwrap().to_owned();
    let headers = vec![
        ("idempotency-key".to_owned(), key),
        ("restitch-case".to_owned(), "order:50".to_owned()),
    ];
    assert_eq!(
        messages(&kafka().brokers(), &topic),
        [("50".to_owned(), headers, order())]
    );
    world
        .run(&["undo", "order:50", "--reason", "x"])
        .ended(4)
        .says(&["one-way"]);
    world.run(&["prove", "order:50"]).ended(3);
    assert_eq!(world.case("order:50")["state"], "applied");
    world.sql("insert into orders values (1050, 'SF50', 'Created')");
    world.run(&["prove", "order:50"]).ended(3);
    assert_eq!(world.case("order:50")["state"], "proven");
    // What is there by now is not sent.
    world.sql("insert into orders values (1051, 'SF51', 'Created')");
    sent(&world, "order:51").ended(4);
    assert_eq!(messages(&kafka().brokers(), &topic).len(), 1);
}

/// As a console leaves it that died between the broker's answer and the ledger: sent again, and both copies can be told.
#[test]
fn a_message_whose_answer_was_lost_is_sent_again_under_the_same_key() {
    let topic = topic("again");
    let world = world(&format!(
        "grace = \"0s\"\nresubmit = {{ do = \"kafka\", topic = \"{topic}\", brokers = [\"{}\"] }}",
        kafka().brokers()
    ));
    sent(&world, "order:50").ended(0);
    world.in_ledger(
        "update effects set state = 'running', leased_until = 9000000000000000;
             update cases set state = 'unconfirmed' where decision is not null",
    );
    // Somebody may be at it still.
    world.run(&["prove", "order:50"]).ended(6);
    assert_eq!(messages(&kafka().brokers(), &topic).len(), 1);
    world.in_ledger("update effects set leased_until = 1");
    world.run(&["prove", "order:50"]).ended(3);
    assert_eq!(world.case("order:50")["state"], "applied");
    let all = messages(&kafka().brokers(), &topic);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0], all[1]);
}

#[test]
fn a_grace_passes_before_a_message_leaves_and_undo_takes_it_back() {
    let topic = topic("grace");
    let world = world(&format!(
        "grace = \"8s\"\nresubmit = {{ do = \"kafka\", topic = \"{topic}\", brokers = [\"{}\"] }}",
        kafka().brokers()
    ));
    std::thread::scope(|scope| {
        let deciding = scope.spawn(|| sent(&world, "order:50"));
        let begun = Instant::now();
        while world.case("order:50")["state"] != "to_do" {
            assert!(begun.elapsed() < Duration::from_secs(7), "it is never decided");
        }
        world
            .run(&["done", "order:50", "--evidence", "x"])
            .ended(4)
            .says(&["restitch does it itself"]);
        world.run(&["undo", "order:50", "--reason", "wrong order"]).ended(0);
        let ran = deciding.join().unwrap();
        assert!(ran.err.contains("leaves at"), "{}", ran.err);
        assert_eq!(ran.json()["effect"], Json::Null, "{}", ran.out);
    });
    assert_eq!(world.case("order:50")["state"], "open");
    assert!(messages(&kafka().brokers(), &topic).is_empty());
}

/// It was looked for when it was decided; a grace has passed since.
#[test]
fn an_order_that_appears_during_the_grace_is_not_sent() {
    let topic = topic("appears");
    let world = world(&format!(
        "grace = \"6s\"\nresubmit = {{ do = \"kafka\", topic = \"{topic}\", brokers = [\"{}\"] }}",
        kafka().brokers()
    ));
    std::thread::scope(|scope| {
        let deciding = scope.spawn(|| sent(&world, "order:50"));
        let begun = Instant::now();
        while world.case("order:50")["state"] != "to_do" {
            assert!(begun.elapsed() < Duration::from_secs(6), "it is never decided");
        }
        world.sql("insert into orders values (1050, 'SF50', 'Created')");
        deciding
            .join()
            .unwrap()
            .ended(4)
            .says(&["nothing was sent: SF50 is there by now, as order 1050"]);
    });
    assert_eq!(world.case("order:50")["state"], "open");
    let shown = world.run(&["show", "order:50"]).ended(0);
    assert!(shown.out.contains("SF50 is there by now"), "{}", shown.out);
    assert!(messages(&kafka().brokers(), &topic).is_empty());
}

/// Whoever sent it died before the broker's answer; the order is there by now.
#[test]
fn a_message_that_arrived_is_not_sent_again() {
    let topic = topic("arrived");
    let world = world(&format!(
        "grace = \"0s\"\nresubmit = {{ do = \"kafka\", topic = \"{topic}\", brokers = [\"{}\"] }}",
        kafka().brokers()
    ));
    sent(&world, "order:50").ended(0);
    world.in_ledger(
        "update effects set state = 'running', leased_until = 1;
         update cases set state = 'unconfirmed' where decision is not null",
    );
    world.sql("insert into orders values (1050, 'SF50', 'Created')");
    world.run(&["prove", "order:50"]).ended(3);
    assert_eq!(world.case("order:50")["state"], "proven");
    assert_eq!(messages(&kafka().brokers(), &topic).len(), 1);
}

#[test]
fn a_broker_that_is_not_there_or_says_no_leaves_the_case_open() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let world_at = |brokers: &str, topic: &str| {
        world(&format!(
            "grace = \"0s\"\nresubmit = {{ do = \"kafka\", topic = \"{topic}\", brokers = [\"{brokers}\"] }}"
        ))
    };
    let world = world_at(&format!("127.0.0.1:{nobody}"), "intake");
    sent(&world, "order:50").ended(1).says(&["nothing was sent"]);
    assert_eq!(world.case("order:50")["state"], "open");
    let there = topic("orders.in");
    let world = world_at(&kafka().brokers(), &format!("{there}n"));
    sent(&world, "order:50").ended(1).says(&["there is no topic", &there]);
    assert_eq!(world.case("order:50")["state"], "open");
}

/// A broker that takes no message and says so until nobody waits any more: nobody knows, and the same is sent again later.
#[test]
fn a_broker_that_never_confirms_leaves_it_unconfirmed_until_one_does() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("intake", 1, 1).unwrap();
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND; 2_000];
    cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    let brokers = cluster.bootstrap_servers();
    let world = world(&format!(
        "grace = \"0s\"\nresubmit = {{ do = \"kafka\", topic = \"intake\", brokers = [\"{brokers}\"] }}"
    ));
    let ran = sent(&world, "order:50")
        .ended(6)
        .says(&["no broker said that it has it"]);
    assert_eq!(
        ran.json()["cases"],
        json!([{"case": "order:50", "state": "unconfirmed"}])
    );
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
    world.run(&["prove", "order:50"]).ended(3);
    assert_eq!(world.case("order:50")["state"], "applied");
    let (key, headers, payload) = messages(&brokers, "intake").pop().unwrap();
    assert_eq!((key.as_str(), payload), ("50", order()));
    assert_eq!(headers[0].0, "idempotency-key");
}

/// What the receiver does with a request.
#[derive(Clone, Copy)]
pub enum Answer {
    /// Status, headers, body.
    Says(u16, &'static str, &'static str),
    /// Reads it, and closes the connection hard.
    Resets,
    /// Reads it, and says nothing.
    Silence,
}
use Answer::{Resets, Says, Silence};

/// A receiver that answers request after request as told, and keeps what it got: head and body.
pub struct Peer {
    pub url: String,
    got: Arc<Mutex<Vec<(String, Json)>>>,
}

impl Peer {
    pub fn new(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/orders", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<(String, Json)>>> = Arc::default();
        let (answers, seen) = (answers.to_vec(), Arc::clone(&got));
        std::thread::spawn(move || {
            let mut quiet = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = Vec::new();
                let (head, length) = loop {
                    let mut part = [0; 4_096];
                    let n = stream.read(&mut part).unwrap();
                    bytes.extend_from_slice(&part[..n]);
                    let text = String::from_utf8_lossy(&bytes).to_lowercase();
                    if let Some(end) = text.find("\r\n\r\n") {
                        let length = text.split("content-length: ").nth(1).unwrap();
                        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
                        if bytes.len() >= end + 4 + length {
                            break (text[..end].to_owned(), length);
                        }
                    }
                };
                let body = serde_json::from_slice(&bytes[bytes.len() - length..]).unwrap();
                seen.lock().unwrap().push((head, body));
                match answer {
                    Says(status, headers, body) => {
                        let length = body.len();
                        write!(
                            stream,
                            "HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                        )
                        .unwrap();
                    }
                    Resets => {
                        // Closed with an answer still owed, it is reset.
                        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
                    }
                    Silence => quiet.push(stream),
                }
            }
        });
        Self { url, got }
    }

    pub fn got(&self) -> Vec<(String, Json)> {
        self.got.lock().unwrap().clone()
    }

    pub fn world(&self, more: &str) -> World {
        world(&format!(
            "grace = \"0s\"\nresubmit = {{ do = \"http\", url = \"{}\", timeout = \"2s\"{more} }}",
            self.url
        ))
    }
}

#[test]
fn a_request_carries_the_key_and_says_what_was_shown() {
    let peer = Peer::new(&[Says(201, "", "order 4711")]);
    let world = peer.world(", headers = { X-Desk = \"triage\" }, token_file = \"intake.token\"");
    world.night.write("intake.token", "s3cret-canary\n");
    std::fs::set_permissions(
        world.night.path("intake.token"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let dry = resubmit(&world, "order:50", &["--dry-run"]).ended(0);
    assert_eq!(dry.json()["effect"]["url"], peer.url);
    let ran = sent(&world, "order:50").ended(0);
    let done = ran.json();
    assert_eq!(done["cases"][0]["state"], "applied");
    assert_eq!(done["effect"]["outcome"], "http: answered 201: order 4711");
    let (head, body) = peer.got().remove(0);
    for line in [
        "post /orders http/1.1",
        &format!("idempotency-key: {}", done["key"].as_str().unwrap()),
        "restitch-case: order:50",
        "x-desk: triage",
        "authorization: bearer s3cret-canary",
        "content-type: application/json",
    ] {
        assert!(head.contains(line), "{line:?} is not in {head}");
    }
    assert_eq!(body, order());
    let shown = world.run(&["show", "order:50", "-v", "-v"]);
    let trail = world.run(&["audit", "list", "--json"]);
    for text in [
        &dry.out, &dry.err, &ran.out, &ran.err, &shown.out, &shown.err, &trail.out,
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
}

/// Sent again only where nothing can have happened.
#[test]
fn a_request_is_sent_again_after_429_and_503_and_never_else() {
    for (answers, code, requests, state, words) in [
        (
            &[
                Says(429, "retry-after: 1\r\n", ""),
                Says(503, "", ""),
                Says(200, "", ""),
            ][..],
            0,
            3,
            "applied",
            "",
        ),
        (
            &[Says(503, "retry-after: 3600\r\n", "")],
            1,
            1,
            "open",
            "it asks to wait 3600 s",
        ),
        (
            &[Says(422, "", "no such product")],
            4,
            1,
            "open",
            "answered 422: no such product",
        ),
        (&[Says(500, "", "oops")], 6, 1, "unconfirmed", "answered 500: oops"),
        (
            &[Says(307, "location: http://127.0.0.1:1/\r\n", "")],
            6,
            1,
            "unconfirmed",
            "answered 307",
        ),
        (&[Resets], 6, 1, "unconfirmed", "no answer"),
        (&[Silence], 6, 1, "unconfirmed", "no answer"),
    ] {
        let peer = Peer::new(answers);
        let world = peer.world("");
        let ran = sent(&world, "order:50").ended(code).says(&[words]);
        assert_eq!(ran.json()["cases"][0]["state"], state, "{words}");
        let got = peer.got();
        assert_eq!(got.len(), requests, "{words}");
        let keys = |head: &str| head.split("idempotency-key: ").nth(1).unwrap()[..36].to_owned();
        assert!(
            got.iter().all(|(head, _)| keys(head) == keys(&got[0].0)),
            "every try has the same key"
        );
        assert_eq!(world.case("order:50")["state"], state);
        if state == "unconfirmed" {
            // It is read back, and never sent again.
            world.run(&["resolve", "order:50", "keep", "--reason", "x"]).ended(4);
            world.run(&["prove", "order:50"]).ended(6);
            world.sql("insert into orders values (1050, 'SF50', 'Created')");
            world.run(&["prove", "order:50"]).ended(3);
            assert_eq!(world.case("order:50")["state"], "proven");
            assert_eq!(peer.got().len(), requests);
        }
    }
}

#[test]
fn a_refused_connection_is_tried_again_and_then_nothing_was_sent() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = world(&format!(
        "grace = \"0s\"\nresubmit = {{ do = \"http\", url = \"http://{free}/\" }}"
    ));
    std::thread::scope(|scope| {
        let deciding = scope.spawn(|| sent(&world, "order:50"));
        // Whoever listens by the second try gets it.
        let begun = Instant::now();
        while world.case("order:50")["state"] != "unconfirmed" {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never starts");
        }
        deciding
            .join()
            .unwrap()
            .ended(1)
            .says(&["nothing was sent", "the connection was refused 4 times"]);
    });
    assert_eq!(world.case("order:50")["state"], "open");
}

/// Who sent it died before the answer: never sent again, whoever comes next.
#[test]
fn a_request_whose_sender_died_is_only_read_back() {
    let peer = Peer::new(&[Says(200, "", ""), Says(200, "", "")]);
    let world = peer.world("");
    sent(&world, "order:50").ended(0);
    world.in_ledger(
        "update effects set state = 'running', leased_until = 1;
             update cases set state = 'unconfirmed' where decision is not null",
    );
    world.run(&["prove", "order:50"]).ended(6);
    assert_eq!(peer.got().len(), 1);
    let shown = world.run(&["show", "order:50", "--json"]).ended(0).json();
    assert_eq!(shown["effect"]["state"], "unknown");
    world.run(&["undo", "order:50", "--reason", "x"]).ended(4);
    // Who asked the receiver says what became of it.
    world
        .run(&["done", "order:50", "--evidence", "the intake has it as 4711"])
        .ended(0);
    assert_eq!(world.case("order:50")["state"], "applied");

    // Or a lead says that nothing did, and it is decided anew.
    sent(&world, "order:51").ended(0);
    world.in_ledger(
        "update effects set state = 'running', leased_until = 1 where state = 'done' and cases like '%51%';
             update cases set state = 'unconfirmed' where id = 'order:51'",
    );
    world
        .run(&["reopen", "order:51", "--reason", "x"])
        .ended(4)
        .says(&["unconfirmed"]);
    world.run(&["prove", "order:51"]).ended(6);
    world
        .run(&["reopen", "order:51", "--reason", "the intake never got it"])
        .ended(0);
    assert_eq!(world.case("order:51")["state"], "open");
}

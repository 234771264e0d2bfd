//! Brokers that err, with librdkafka's own mock of a cluster.

use super::*;
use crate::config::{FormatKind, SourceKind};
use crate::kafka::ANSWER;
use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

type Cluster = MockCluster<'static, rdkafka::producer::DefaultProducerContext>;

/// A cluster with a topic of one partition and so many messages.
fn cluster(messages: usize) -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .unwrap();
    for n in 0..messages {
        let text = n.to_string();
        let record = BaseRecord::<str, str>::to("t").partition(0).payload(&text);
        producer.send(record).map_err(|(e, _)| e).unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
    }
    cluster
}

fn log(brokers: String) -> LogConfig {
    let mut log = LogConfig::file("cdc", "", FormatKind::Native);
    log.source = SourceKind::Kafka;
    log.kafka.brokers = vec![brokers];
    log.topic = Some("t".to_owned());
    log
}

/// All messages, with their numbers.
fn read(log: &LogConfig, progress: &Progress) -> Result<Vec<(u64, String)>> {
    let feed = open(log, progress)?;
    let mut block = Block::default();
    let mut all = Vec::new();
    while feed.next(&mut block)? {
        let text = |at: std::ops::Range<usize>| String::from_utf8(block.bytes()[at].to_vec()).unwrap();
        all.extend(block.lines().map(|(number, at)| (number, text(at))));
    }
    Ok(all)
}

#[test]
fn what_passes_by_itself_is_waited_for() {
    let cluster = cluster(3);
    let leaving = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 2];
    cluster.request_errors(RDKafkaApiKey::Fetch, &leaving);
    let wanted: Vec<_> = (0..3).map(|n| (n, n.to_string())).collect();
    assert_eq!(
        read(&log(cluster.bootstrap_servers()), &Progress::default()),
        Ok(wanted)
    );
}

#[test]
fn messages_that_are_deleted_before_they_are_read_are_never_jumped_over() {
    let cluster = cluster(3);
    let gone = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE];
    cluster.request_errors(RDKafkaApiKey::Fetch, &gone);
    let error = read(&log(cluster.bootstrap_servers()), &Progress::default()).unwrap_err();
    assert!(
        error.what.contains("deleted messages while they were about to be read"),
        "{error}"
    );
    assert!(error.place.unwrap().contains("topic t"));
}

#[test]
fn a_topic_that_may_not_be_read_is_said() {
    let cluster = cluster(1);
    cluster
        .topic_error("t", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        .unwrap();
    let error = read(&log(cluster.bootstrap_servers()), &Progress::default()).unwrap_err();
    assert!(error.what.contains("refuses the topic"), "{error}");
    assert!(error.cure.unwrap().contains("Describe and Read"));
}

#[test]
fn a_reader_that_is_cancelled_does_not_wait_for_a_broker() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let progress = Progress::default();
    progress.cancel();
    let begun = Instant::now();
    let error = read(&log(silent.local_addr().unwrap().to_string()), &progress).unwrap_err();
    assert!(error.what.contains("stopped"), "{error}");
    assert!(begun.elapsed() < ANSWER / 2, "{:?}", begun.elapsed());
}

//! `kafka`: one message under the decision's key. At least once: an idempotent producer tells its own copies from one
//! another only as long as it lives, so whoever dies between the broker's answer and the ledger leaves a second copy to be
//! sent; both carry the same `idempotency-key`.

use super::{End, before};
use crate::config::KafkaConfig;
use crate::domain::Error;
use crate::domain::schema::nearest;
use crate::kafka::{self, Complaints};
use crate::ledger::Pending;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;
use std::time::Duration;

/// Brokers that do not answer within it are not there.
const ANSWER: Duration = Duration::from_secs(5);

/// Sends the message and waits until every broker that must have it has it.
pub async fn run(cluster: &KafkaConfig, topic: &str, key: &str, payload: &str, effect: &Pending) -> End {
    let place = place(cluster, topic);
    let nothing = |what: String| Error::failed(format!("nothing was sent: {what}")).at(place.clone());
    let (producer, complaints) = match open(cluster, topic) {
        Ok(open) => open,
        Err(error) => return before(effect, error),
    };
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "idempotency-key",
            value: Some(&effect.key),
        })
        .insert(Header {
            key: "restitch-case",
            value: effect.cases.first(),
        });
    let record = FutureRecord::to(topic).key(key).payload(payload).headers(headers);
    match producer.send(record, Timeout::Never).await {
        Ok(delivered) => End::Done(format!(
            "delivered to {topic}, partition {}, offset {}",
            delivered.partition, delivered.offset
        )),
        Err((e, _)) if e.rdkafka_error_code().is_some_and(is_refusal) => {
            before(effect, nothing(format!("the broker refuses it: {e}")))
        }
        Err((e, _)) => {
            let why = complaints.last().map_or_else(String::new, |why| format!(" ({why})"));
            End::Unknown(format!("no broker said that it has it: {e}{why}"))
        }
    }
}

/// Whether the brokers answer and have the topic.
pub fn ready(cluster: &KafkaConfig, topic: &str) -> Result<(), Error> {
    open(cluster, topic).map(drop)
}

fn place(cluster: &KafkaConfig, topic: &str) -> String {
    format!("topic {topic} at {}", cluster.brokers.join(", "))
}

fn open(cluster: &KafkaConfig, topic: &str) -> Result<(FutureProducer<Complaints>, Complaints), Error> {
    let place = place(cluster, topic);
    let (mut config, complaints) = kafka::client(cluster, &place)?;
    // A producer knows no such setting, and would say so.
    config.remove("allow.auto.create.topics");
    let producer: FutureProducer<Complaints> = config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // After it the client gives up, and what it gave up may have arrived.
        .set("message.timeout.ms", "10000")
        .set("socket.timeout.ms", "5000")
        .create_with_context(complaints.clone())
        .map_err(|e| Error::usage(format!("the Kafka client cannot be set up: {e}")).at(place.clone()))?;
    there(&producer, topic, &complaints).map_err(|e| e.at(place))?;
    Ok((producer, complaints))
}

/// Whether the topic is there, asked before anything is sent: a broker might make it otherwise.
fn there(producer: &FutureProducer<Complaints>, topic: &str, complaints: &Complaints) -> Result<(), Error> {
    let metadata = producer.client().fetch_metadata(None, ANSWER).map_err(|e| {
        let why = complaints.last().unwrap_or_else(|| e.to_string());
        Error::failed(format!("nothing was sent: no broker answers: {why}"))
            .cure("check effects.*.brokers and the network; decide it again when they are back")
    })?;
    let names: Vec<&str> = metadata
        .topics()
        .iter()
        .map(rdkafka::metadata::MetadataTopic::name)
        .collect();
    if names.contains(&topic) {
        return Ok(());
    }
    let near = nearest(topic, names.into_iter().filter(|n| !n.starts_with("__")));
    Err(
        Error::failed(format!("nothing was sent: there is no topic {topic:?}")).cure(if near.is_empty() {
            "the broker shows no topic at all to this client: check brokers".to_owned()
        } else {
            format!("nearest topics: {near}")
        }),
    )
}

/// Whether the broker said no to the message itself: then it has it not.
const fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::InvalidRecord
    )
}

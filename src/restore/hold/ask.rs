//! What the brokers are asked: the partitions of a topic, their offsets.

use crate::config::KafkaConfig;
use crate::domain::{Error, Result};
use crate::kafka::Reader;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;

/// The offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// The first that the broker still has.
    pub earliest: i64,
    /// Behind the last.
    pub latest: i64,
}

/// What a topic is called in errors.
pub(super) fn place(cluster: &KafkaConfig, topic: &str) -> String {
    format!("[hold] topic {topic} at {}", cluster.brokers.join(", "))
}

/// The broker deleted what was asked for.
pub(super) fn is_out_of_range(e: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        e.rdkafka_error_code(),
        Some(Code::OffsetOutOfRange | Code::AutoOffsetReset)
    )
}

pub(super) fn list(topic: &str, ids: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for id in ids {
        list.add_partition(topic, *id);
    }
    list
}

/// The topic's partitions, in order.
pub(super) fn partitions(reader: &Reader, topic: &str, stopped: &dyn Fn() -> bool) -> Result<Vec<i32>> {
    let metadata = reader.ask(stopped, |limit| reader.consumer.fetch_metadata(Some(topic), limit))?;
    let topics = metadata.topics();
    if let Some(error) = topics.iter().find_map(rdkafka::metadata::MetadataTopic::error) {
        let error = RDKafkaErrorCode::from(error);
        if error == RDKafkaErrorCode::UnknownTopicOrPartition {
            return Err(Error::usage(format!("there is no topic {topic:?}"))
                .at("[hold] topic")
                .cure("check the name; `kcat -L -b BROKER` lists the topics"));
        }
        return Err(reader
            .failed(format!("the broker refuses the topic: {error}"))
            .cure("ask for the right to Describe and Read it"));
    }
    let all = topics.iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
    let mut ids: Vec<i32> = all.map(rdkafka::metadata::MetadataPartition::id).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// First and last offsets of these partitions: two requests, however many there are.
pub(super) fn offsets(
    reader: &Reader,
    topic: &str,
    ids: &[i32],
    stopped: &dyn Fn() -> bool,
) -> Result<Vec<(i32, Offsets)>> {
    // In place of a time, ListOffsets takes -2 for the first offset and -1 for the one behind the last.
    let ends = |which: Offset| {
        let mut asked = TopicPartitionList::new();
        for id in ids {
            asked
                .add_partition_offset(topic, *id, which)
                .map_err(|e| reader.failed(e.to_string()))?;
        }
        let told = reader.ask(stopped, |limit| {
            let told = reader.consumer.offsets_for_times(asked.clone(), limit)?;
            for element in told.elements() {
                element.error()?;
            }
            Ok(told)
        })?;
        let at = |e: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match e.offset() {
            Offset::Offset(at) => Ok((e.partition(), at)),
            other => Err(reader.failed(format!(
                "partition {}: the broker tells no offset but {other:?}",
                e.partition()
            ))),
        };
        told.elements()
            .into_iter()
            .map(at)
            .collect::<Result<BTreeMap<i32, i64>>>()
    };
    let (earliest, latest) = (ends(Offset::Beginning)?, ends(Offset::End)?);
    let both = earliest.into_iter().filter_map(|(id, earliest)| {
        let latest = latest.get(&id)?.max(&earliest);
        Some((
            id,
            Offsets {
                earliest,
                latest: *latest,
            },
        ))
    });
    Ok(both.collect())
}

//! How long the logs keep what they say: by `[[log]] keep`, and by the retention of their topics.

use crate::config::{Config, LogConfig, SourceKind};
use crate::domain::deadline::Kept;
use crate::kafka::{self, Complaints};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use std::time::{Duration, Instant};

/// The retention of a topic is asked for so often.
const ASK: Duration = Duration::from_mins(5);
/// And for so long.
const LIMIT: Duration = Duration::from_secs(5);

/// The logs that forget, their topics asked now and then.
#[derive(Debug, Default)]
pub struct Logs {
    asked: Option<(Instant, Vec<Kept>)>,
}

impl Logs {
    /// What is known of them.
    pub fn kept(&mut self, config: &Config) -> Vec<Kept> {
        if let Some((at, kept)) = &self.asked
            && at.elapsed() < ASK
        {
            return kept.clone();
        }
        let kept: Vec<Kept> = config.logs.iter().filter_map(keeps).collect();
        self.asked = Some((Instant::now(), kept.clone()));
        kept
    }
}

/// How long this log keeps an event; `None` where it keeps it, or nobody says.
fn keeps(log: &LogConfig) -> Option<Kept> {
    let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
    let kept = |keeps, source: String| Kept {
        name: log.name.clone(),
        keeps,
        source,
    };
    if let Some(keep) = log.keep {
        return Some(kept(micros(keep), format!("keep of [[log]] {}", log.name)));
    }
    let topic = log.topic.as_ref().filter(|_| log.source == SourceKind::Kafka)?;
    let keeps = retention(log, topic)?;
    Some(kept(micros(keeps), format!("retention.ms of topic {topic}")))
}

/// `retention.ms` of a topic; `None` where it keeps everything, or the brokers do not say.
fn retention(log: &LogConfig, topic: &str) -> Option<Duration> {
    let (settings, complaints) = kafka::client(&log.kafka, &format!("[[log]] {}", log.name)).ok()?;
    let client: AdminClient<Complaints> = settings.create_with_context(complaints).ok()?;
    let options = AdminOptions::new().request_timeout(Some(LIMIT));
    let asked = [ResourceSpecifier::Topic(topic)];
    let asked = client.describe_configs(&asked, &options);
    let answer = crate::job::runtime().ok()?.block_on(asked).ok()?;
    let topic = answer.into_iter().next()?.ok()?;
    let value = topic.get("retention.ms")?.value.as_ref()?;
    // Kafka documentation, topic configs: -1 keeps everything.
    value.parse().ok().map(Duration::from_millis)
}

//! How long the logs keep what they say: by `[[log]] keep`, and by the retention of their topics.

use crate::config::{Config, LogConfig, SourceKind};
use crate::domain::deadline::Kept;
use crate::kafka::topic::Topics;
use std::time::{Duration, Instant};

/// The retention of a topic is asked for so often.
const ASK: Duration = Duration::from_mins(5);

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
    let topics = Topics::open(&log.kafka, &format!("[[log]] {}", log.name)).ok()?;
    let settings = topics.settings(topic).ok()?;
    // Kafka documentation, topic configs: -1 keeps everything.
    settings.get("retention.ms")?.parse().ok().map(Duration::from_millis)
}

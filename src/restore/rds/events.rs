//! Events of RDS: no ids, at best once, unordered, up to five minutes late, kept for 14 days (RDS User Guide, "Amazon RDS event
//! notification"; API reference of `DescribeEvents`). They follow the name: after a rename the list of a name mixes two
//! instances.

use super::client::{Aws, AwsError, told};
use super::db::{Kind, micros};
use crate::domain::time;
use aws_sdk_rds::primitives::DateTime;
use aws_sdk_rds::types::SourceType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const MINUTE: i64 = 60_000_000;
/// Events are kept for so long.
const FORTNIGHT: i64 = 14 * 24 * 60 * MINUTE;
/// A restore is looked for in the events of so long before its end.
const EPISODE: i64 = 12 * 60 * MINUTE;
/// So many pages of 100 are read at most.
const PAGES: usize = 30;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Event {
    /// When, microseconds since 1970.
    pub at: i64,
    /// Name of the instance or cluster.
    pub name: String,
    /// `restoration`, `recovery`, …; several are joined.
    pub category: String,
    /// What it says.
    pub message: String,
}

/// A restore that events of the last fortnight show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// What was made.
    pub target: String,
    /// When it ended, microseconds since 1970.
    pub at: i64,
    /// From its first event to the last of the restore, microseconds: at least so long it took, for no event says when it was
    /// asked for.
    pub took: i64,
}

/// How long restores took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Microseconds.
    pub shortest: i64,
    /// Microseconds.
    pub longest: i64,
    /// Of so many.
    pub restores: usize,
}

impl Range {
    /// With its basis.
    pub fn words(&self) -> String {
        let minutes = |micros: i64| micros.div_euclid(MINUTE);
        let (from, to) = (minutes(self.shortest), minutes(self.longest + MINUTE - 1));
        let span = if from == to {
            format!("{to} min")
        } else {
            format!("{from}-{to} min")
        };
        match self.restores {
            1 => format!("at least {span} in 1 past restore"),
            n => format!("at least {span} in {n} past restores"),
        }
    }
}

/// The range over these; `None` where there are none.
pub fn range(past: &[Past]) -> Option<Range> {
    Some(Range {
        shortest: past.iter().map(|p| p.took).min()?,
        longest: past.iter().map(|p| p.took).max()?,
        restores: past.len(),
    })
}

/// Events of one name, or of all instances, between two moments.
pub async fn read(aws: &Aws, of: Option<(Kind, &str)>, from: i64, to: i64) -> Result<Vec<Event>, AwsError> {
    // The API refuses a start that lies more than 14 days back.
    let from = from.max(to - FORTNIGHT + MINUTE);
    let mut asked = aws
        .rds
        .describe_events()
        .source_type(match of {
            Some((Kind::Cluster, _)) => SourceType::DbCluster,
            _ => SourceType::DbInstance,
        })
        .start_time(DateTime::from_secs(from.div_euclid(1_000_000)))
        .end_time(DateTime::from_secs(to.div_euclid(1_000_000) + 1))
        .max_records(100);
    if let Some((_, name)) = of {
        asked = asked.source_identifier(name);
    }
    let mut events = Vec::new();
    let mut marker: Option<String> = None;
    for _ in 0..PAGES {
        let page = asked.clone().set_marker(marker).send().await;
        let page = page.map_err(|e| told("rds:DescribeEvents", &e))?;
        events.extend(page.events().iter().filter_map(|e| {
            Some(Event {
                at: micros(e.date()?),
                name: e.source_identifier().unwrap_or_default().to_owned(),
                category: e.event_categories().join(", "),
                message: e.message().unwrap_or_default().trim().to_owned(),
            })
        }));
        marker = page.marker().map(str::to_owned);
        if marker.is_none() {
            break;
        }
    }
    events.sort();
    events.dedup();
    Ok(events)
}

/// The point in time restores of the last fortnight in this region and account.
pub async fn past(aws: &Aws, now: i64) -> Result<Vec<Past>, AwsError> {
    Ok(restores(&read(aws, None, now - FORTNIGHT, now).await?))
}

/// The restores that these events show. Message 0019: "Restored from DB instance NAME to NAME."
fn restores(events: &[Event]) -> Vec<Past> {
    let mut by_name: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_name.entry(&event.name).or_default().push(event);
    }
    let mut past = Vec::new();
    for (name, events) in by_name {
        for (nth, event) in events.iter().enumerate() {
            if !event.message.starts_with("Restored from DB instance") {
                continue;
            }
            let first = events[..nth].iter().find(|e| event.at - e.at <= EPISODE);
            if let Some(first) = first.filter(|first| first.at < event.at) {
                past.push(Past {
                    target: name.to_owned(),
                    at: event.at,
                    took: event.at - first.at,
                });
            }
        }
    }
    past
}

/// An event in one line.
pub fn words(event: &Event) -> String {
    format!("{} {}: {}", time::clock(event.at), event.category, event.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(minute: i64, name: &str, message: &str) -> Event {
        Event {
            at: minute * MINUTE,
            name: name.to_owned(),
            category: "restoration".to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn past_restores_are_told_by_message_and_name() {
        let mut events = vec![
            event(0, "a", "DB instance created"),
            event(8, "a", "Restored from DB instance p to a."),
            event(3, "b", "Backing up DB instance"),
            event(28, "b", "Restored from DB instance p to b."),
            // A snapshot, and a restore of which nothing but its end is left.
            event(30, "c", "Restored from snapshot s."),
            event(31, "d", "Restored from DB instance p to d."),
        ];
        events.sort();
        let past = restores(&events);
        assert_eq!(past.iter().map(|p| p.target.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let range = range(&past).unwrap();
        assert_eq!(range.words(), "at least 8-25 min in 2 past restores");
        assert_eq!(super::range(&[]), None);
    }
}

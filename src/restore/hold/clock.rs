//! From when on a loss is possible, and what is lost already.
//!
//! Kafka deletes whole segments, the oldest first, once the largest stamp in one is older than `retention.ms`
//! (`UnifiedLog.deletableSegments`). So a message cannot go before the stamp of any message at or before it in its
//! partition is that old: stamp of the first message + retention is never later than the first loss by time. It is not
//! "safe until": `retention.bytes`, a drain, a deleted topic, or settings changed meanwhile delete earlier.

use crate::domain::hold::{BaselineOffsets, Keeping};
use crate::domain::time::span;
use std::collections::HashMap;

const MILLI: i64 = 1_000;
/// Stamps further ahead than this are the fault of somebody's clock.
pub(super) const AHEAD: i64 = 60_000_000;

/// The settings of the topic, where they could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TopicSettings {
    pub retention_ms: Option<i64>,
    pub retention_bytes: Option<i64>,
    pub cleanup: Option<String>,
    pub stamps: Option<String>,
}

impl TopicSettings {
    /// Out of all that the broker told.
    pub fn of(mut told: HashMap<String, String>) -> Result<Self, String> {
        let mut take = |name: &str| told.remove(name);
        let retention = take("retention.ms").and_then(|ms| ms.parse().ok());
        Ok(Self {
            retention_ms: Some(retention.ok_or("retention.ms is not among them")?),
            retention_bytes: take("retention.bytes").and_then(|bytes| bytes.parse().ok()),
            cleanup: take("cleanup.policy"),
            stamps: take("message.timestamp.type"),
        })
    }
}

/// How long messages are kept: the topic's retention where it can be read and is no longer than the configured window,
/// else that. Whatever is longer may be outdone by something that restitch cannot see, so the shorter one counts.
pub(super) fn keeping(window: i64, topic: Result<&TopicSettings, &str>) -> Keeping {
    let configured = |stamps: &str, notes: Vec<String>| Keeping {
        window,
        from: "configured".to_owned(),
        proven: false,
        stamps: stamps.to_owned(),
        notes,
    };
    let settings = match topic {
        Ok(settings) => settings,
        Err(why) => {
            let note = format!(
                "the topic's settings cannot be read ({why}): the configured window counts, from the shutdown or from each \
                 stamp, whichever ends first"
            );
            return configured("not known", vec![note]);
        }
    };
    let stamps = match settings.stamps.as_deref() {
        Some("LogAppendTime") => "the broker",
        Some("CreateTime") => "the producer",
        _ => "not known",
    };
    let mut notes = Vec::new();
    let mut proven = true;
    if let Some(bytes) = settings.retention_bytes.filter(|b| *b >= 0) {
        notes.push(format!(
            "retention.bytes is {bytes}: messages may be deleted by size at any time"
        ));
        proven = false;
    }
    match settings.cleanup.as_deref() {
        Some("delete") | None => {}
        Some(policy) => {
            notes.push(format!(
                "cleanup.policy is {policy}: an order's older messages go when it is compacted"
            ));
            proven = false;
        }
    }
    let retention = settings.retention_ms.filter(|ms| *ms >= 0);
    match retention.map(|ms| ms.saturating_mul(MILLI)) {
        Some(retention) if retention <= window => Keeping {
            window: retention,
            from: "topic config".to_owned(),
            proven,
            stamps: stamps.to_owned(),
            notes,
        },
        longer => {
            notes.push(match longer {
                Some(retention) => format!(
                    "the topic keeps messages for {}, longer than the window: if nothing else removes them, say so with \
                     hold.window",
                    span(retention)
                ),
                None => "the topic keeps messages for ever: if nothing else removes them, say so with hold.window".to_owned(),
            });
            configured(stamps, notes)
        }
    }
}

/// When a message may go, microseconds since 1970, for all that is known; `None` where nothing tells.
pub(super) fn dies_at(keeping: &Keeping, shutdown: Option<i64>, stamp: Option<i64>) -> Option<i64> {
    let by_stamp = stamp.map(|at| at.saturating_add(keeping.window));
    let by_shutdown = shutdown.map(|at| at.saturating_add(keeping.window));
    match (keeping.proven, by_stamp) {
        (true, Some(at)) => Some(at),
        _ => by_stamp.into_iter().chain(by_shutdown).min(),
    }
}

/// From when on a loss is possible among these messages, given by their stamps in the order of their offsets: that of the
/// first where the retention is proven, the earliest of all where it is not.
pub(super) fn loss_from(
    keeping: &Keeping,
    shutdown: Option<i64>,
    mut stamps: impl Iterator<Item = Option<i64>>,
) -> Option<i64> {
    let first = dies_at(keeping, shutdown, stamps.next()?);
    if keeping.proven {
        return first;
    }
    stamps.filter_map(|s| dies_at(keeping, shutdown, s)).chain(first).min()
}

/// The offsets that the broker deleted before the order system took them. Where the order system
/// had got to: what its group committed, now or at the shutdown, else the first message that was there at the shutdown.
pub(super) fn gone(earliest: i64, committed: Option<i64>, baseline: Option<&BaselineOffsets>) -> Option<(i64, i64)> {
    let from = committed.or_else(|| baseline.map(|b| b.committed.unwrap_or(b.earliest)))?;
    Some((from, earliest.max(from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn settings(ms: i64) -> TopicSettings {
        TopicSettings {
            retention_ms: Some(ms),
            retention_bytes: Some(-1),
            cleanup: Some("delete".to_owned()),
            stamps: Some("CreateTime".to_owned()),
        }
    }

    #[test]
    fn the_shorter_of_retention_and_window_counts_and_says_where_it_is_from() {
        let window = 30 * MINUTE;
        let topic = keeping(window, Ok(&settings(1_800_000)));
        assert_eq!(
            (topic.window, topic.from.as_str(), topic.proven),
            (window, "topic config", true)
        );
        assert_eq!(topic.stamps, "the producer");
        let shorter = keeping(window, Ok(&settings(60_000)));
        assert_eq!((shorter.window, shorter.proven), (MINUTE, true));
        let longer = keeping(window, Ok(&settings(604_800_000)));
        assert_eq!(
            (longer.window, longer.from.as_str(), longer.proven),
            (window, "configured", false)
        );
        assert!(longer.notes[0].contains("7d"), "{:?}", longer.notes);
        let unread = keeping(window, Err("not allowed"));
        assert!(!unread.proven && unread.notes[0].contains("not allowed"));
        let mut by_size = settings(60_000);
        by_size.retention_bytes = Some(1_000);
        assert!(!keeping(window, Ok(&by_size)).proven);
        let mut compacted = settings(60_000);
        compacted.cleanup = Some("compact,delete".to_owned());
        assert!(!keeping(window, Ok(&compacted)).proven);
    }

    #[test]
    fn the_first_stamp_counts_where_retention_is_proven_the_earliest_of_all_where_not() {
        let proven = keeping(30 * MINUTE, Ok(&settings(600_000)));
        let unproven = keeping(10 * MINUTE, Err("x"));
        // The second message was stamped twenty minutes before it was sent.
        let stamps = || [Some(100 * MINUTE), Some(80 * MINUTE), None].into_iter();
        assert_eq!(loss_from(&proven, Some(0), stamps()), Some(110 * MINUTE));
        assert_eq!(loss_from(&unproven, None, stamps()), Some(90 * MINUTE));
        assert_eq!(loss_from(&unproven, Some(70 * MINUTE), stamps()), Some(80 * MINUTE));
        assert_eq!(
            loss_from(&proven, None, [None, Some(5)].into_iter()),
            None,
            "a first message without a stamp"
        );
        assert_eq!(loss_from(&proven, Some(MINUTE), [None].into_iter()), Some(11 * MINUTE));
        assert_eq!(
            loss_from(&proven, Some(MINUTE), std::iter::empty()),
            None,
            "nothing waits"
        );
    }

    #[test]
    fn gone_is_what_was_deleted_before_it_was_taken() {
        let baseline = BaselineOffsets {
            earliest: 10,
            latest: 50,
            committed: Some(20),
        };
        let none = BaselineOffsets {
            committed: None,
            ..baseline
        };
        assert_eq!(
            gone(30, None, None),
            None,
            "nothing says where the order system had got to"
        );
        assert_eq!(gone(30, Some(25), None), Some((25, 30)));
        assert_eq!(gone(30, Some(31), Some(&baseline)), Some((31, 31)));
        assert_eq!(gone(30, None, Some(&baseline)), Some((20, 30)));
        assert_eq!(gone(30, None, Some(&none)), Some((10, 30)));
    }
}

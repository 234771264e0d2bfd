//! The hold on a broker: what waits, from when on it may be lost, what was copied to safety.

use super::queue::HoldClock;
use super::time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long the hold keeps a message, and who says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeping {
    /// Microseconds.
    pub window: i64,
    /// `topic config`, or `configured`.
    pub from: String,
    /// The topic's own settings say so, and nothing else of them deletes earlier.
    pub proven: bool,
    /// Who stamps the messages: `the producer`, `the broker`, `not known`.
    pub stamps: String,
    /// What a person should know of the topic's settings.
    pub notes: Vec<String>,
}

/// A message of the hold, as the view names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oldest {
    /// Its offset.
    pub offset: i64,
    /// The order's label, or the message's key; empty where it has neither.
    pub name: String,
    /// Its stamp, microseconds since 1970; `None` where it has none.
    pub at: Option<i64>,
}

/// One partition of the hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPartition {
    /// Its number.
    pub id: i32,
    /// The first offset that the broker still has.
    pub earliest: i64,
    /// The offset behind its last message.
    pub latest: i64,
    /// Up to here the order system has taken messages; `None` where no group is configured, or it never committed.
    pub committed: Option<i64>,
    /// Messages that wait: an upper bound, since offsets are also used up by marks of transactions and compaction.
    pub held: u64,
    /// Of them copied to safety.
    pub rescued: u64,
    /// Deleted before the order system took them, and not rescued; `None` where nothing says where it had got to.
    pub lost: Option<u64>,
    /// The offsets that were deleted before they were taken, rescued or not: what is committed later jumped over them.
    #[serde(default)]
    pub gone: Ranges,
    /// Microseconds since 1970 from which a loss is possible: of the first that is not rescued, where there is one.
    pub loss_from: Option<i64>,
    /// The first that waits.
    pub oldest: Option<Oldest>,
    /// Not rescued, and past its time when the services are expected back.
    pub at_risk: u64,
    /// Stamps that lie in the future.
    pub future: u64,
    /// Messages that wait and have no stamp.
    pub unstamped: u64,
}

/// The hold as the brokers last showed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReading {
    /// The topic.
    pub topic: String,
    /// When the brokers last answered, microseconds since 1970.
    pub read_at: i64,
    /// Since when they do not; `None` while they do.
    pub silent_since: Option<i64>,
    /// Why not, as far as the client knows.
    pub why: Option<String>,
    /// How long a message is kept.
    pub keeping: Keeping,
    /// When the order system stopped taking messages, and who says so.
    pub shutdown: Option<(i64, String)>,
    /// When services are expected back, and who says so.
    pub services_back: Option<(i64, String)>,
    /// In the order of their numbers.
    pub partitions: Vec<HeldPartition>,
    /// Whether the offsets at the shutdown are recorded.
    pub recorded: bool,
    /// What a person should know besides.
    pub notes: Vec<String>,
    /// Orders that Salesforce itself keeps queued, by the log, and when that was read.
    #[serde(default)]
    pub queued: Option<(u64, i64)>,
}

impl HoldReading {
    /// The sums.
    pub fn clock(&self) -> HoldClock {
        let sum = |of: fn(&HeldPartition) -> u64| self.partitions.iter().map(of).sum::<u64>();
        let waits = |rescued: bool| {
            let those = self.partitions.iter().filter(|p| p.held > 0);
            those.filter(move |p| rescued || p.rescued < p.held)
        };
        // Of what is not rescued, where there is any: the rest has no deadline that matters.
        let first = waits(false).filter_map(|p| p.loss_from).min();
        HoldClock {
            held: sum(|p| p.held),
            rescued: sum(|p| p.rescued),
            lost: sum(|p| p.lost.unwrap_or(0)),
            loss_from: first.or_else(|| waits(true).filter_map(|p| p.loss_from).min()),
        }
    }

    /// What is known of the topic, in one line.
    pub fn head(&self) -> String {
        let brokers = match self.silent_since {
            None => "brokers answer".to_owned(),
            Some(since) => format!(
                "BROKERS SILENT since {}, as of {}",
                time::format(since),
                time::format(self.read_at)
            ),
        };
        let stamps = match self.keeping.stamps.as_str() {
            "not known" => "stamps by whom not known".to_owned(),
            by => format!("stamps by {by}"),
        };
        format!(
            "{}   window {} ({})   {stamps}   {brokers}",
            self.topic,
            time::span(self.keeping.window),
            self.keeping.from
        )
    }

    /// What will be gone when services are back, as far as that can be said.
    pub fn forecast(&self) -> String {
        let Some((back, by)) = &self.services_back else {
            return "when services are back is not known (hold.services_back), so neither is what may be gone by then"
                .to_owned();
        };
        let back = time::format(*back);
        match self.at_risk() {
            0 => format!("services back {back} ({by}): nothing unrescued is past its time by then"),
            n => format!("services back {back} ({by}): {n} unrescued orders may be gone by then"),
        }
    }

    /// Messages that are not rescued and may be gone when services are back.
    pub fn at_risk(&self) -> u64 {
        self.partitions.iter().map(|p| p.at_risk).sum()
    }
}

/// An order that was once seen in the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its label.
    pub label: String,
    /// Where its newest message stood.
    pub partition: i32,
    /// At which offset.
    pub offset: i64,
    /// The message's stamp, microseconds since 1970.
    pub at: Option<i64>,
    /// That message took it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

impl Seen {
    /// Whether this was said after the other.
    pub fn is_newer(&self, other: &Self) -> bool {
        if self.partition == other.partition {
            self.offset > other.offset
        } else {
            self.at > other.at
        }
    }
}

/// The offsets of the hold when the order system stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldBaseline {
    /// The topic.
    pub topic: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// By partition.
    pub partitions: BTreeMap<i32, BaselineOffsets>,
}

/// A partition of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineOffsets {
    /// Its first offset then.
    pub earliest: i64,
    /// The offset behind its last message then.
    pub latest: i64,
    /// Up to where the order system had taken messages, where its group is known and had committed.
    pub committed: Option<i64>,
}

/// Offsets from the first of each pair up to, not with, the second; in order, apart from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges(pub Vec<(i64, i64)>);

impl Ranges {
    /// Adds the offsets from `from` up to `to`.
    pub fn add(&mut self, from: i64, to: i64) {
        if from >= to {
            return;
        }
        // Almost always the next one.
        if let Some(last) = self.0.last_mut().filter(|last| last.1 == from) {
            last.1 = to;
            return;
        }
        let first = self.0.partition_point(|r| r.1 < from);
        let behind = self.0.partition_point(|r| r.0 <= to);
        let touched = &self.0[first..behind.max(first)];
        let from = touched.first().map_or(from, |r| r.0.min(from));
        let to = touched.last().map_or(to, |r| r.1.max(to));
        self.0.splice(first..behind.max(first), [(from, to)]);
    }

    /// How many of the offsets from `from` up to `to` are in it.
    pub fn count(&self, from: i64, to: i64) -> u64 {
        let within = |r: &(i64, i64)| r.1.min(to).saturating_sub(r.0.max(from)).max(0).unsigned_abs();
        self.0.iter().map(within).sum()
    }

    /// Whether this offset is in it.
    pub fn has(&self, offset: i64) -> bool {
        let at = self.0.partition_point(|r| r.1 <= offset);
        self.0.get(at).is_some_and(|r| r.0 <= offset)
    }

    /// The first offset from `from` on that is not in it.
    pub fn first_gap(&self, from: i64) -> i64 {
        let at = self.0.partition_point(|r| r.1 <= from);
        self.0.get(at).filter(|r| r.0 <= from).map_or(from, |r| r.1)
    }
}

/// What was rescued of a topic, by partition.
pub type Rescued = BTreeMap<i32, Ranges>;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_the_set_of_what_was_added(adds in prop::collection::vec((0_i64..60, 0_i64..12), 0..40)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (from, len) in adds {
                ranges.add(from, from + len);
                set.extend(from..from + len);
            }
            for n in 0..80 {
                prop_assert_eq!(ranges.has(n), set.contains(&n), "{:?} {}", ranges, n);
                let gap = (n..200).find(|i| !set.contains(i)).unwrap();
                prop_assert_eq!(ranges.first_gap(n), gap);
            }
            prop_assert_eq!(ranges.count(5, 40), set.range(5..40).count() as u64);
            prop_assert!(ranges.0.windows(2).all(|w| w[0].1 < w[1].0), "{:?} touch", ranges);
        }
    }

    #[test]
    fn the_deadline_is_that_of_what_is_not_rescued() {
        let partition = |id, rescued, loss_from| HeldPartition {
            id,
            held: 10,
            rescued,
            loss_from: Some(loss_from),
            lost: Some(1),
            ..HeldPartition::default()
        };
        let mut reading = HoldReading {
            partitions: vec![partition(0, 10, 100), partition(1, 9, 200)],
            ..HoldReading::default()
        };
        let clock = reading.clock();
        assert_eq!((clock.held, clock.rescued, clock.lost), (20, 19, 2));
        assert_eq!(clock.loss_from, Some(200));
        reading.partitions[1].rescued = 10;
        assert_eq!(reading.clock().loss_from, Some(100));
    }
}

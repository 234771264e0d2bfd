//! What is known of the hold on a broker: the last reading, the offsets at the shutdown, what was rescued. All of it facts.

use super::audit::Deed;
use super::{Ledger, Said};
use crate::domain::hold::{HoldBaseline, HoldReading, Rescued, Seen};
use crate::domain::{Error, Result, time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const READING: &str = "hold";
const BASELINE: &str = "hold-at-shutdown";

/// What one rescue file holds of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescue {
    /// Where the file is, on the host of whoever wrote it.
    pub file: String,
    /// When it last grew, microseconds since 1970.
    pub at: i64,
    /// The offsets in it, by partition.
    pub offsets: Rescued,
}

/// Each file has a fact of its own: two rescues at once do not write over each other.
fn rescues_of(topic: &str) -> String {
    format!("hold-rescue {topic} ")
}

impl Ledger {
    /// The hold as the brokers last showed it.
    pub fn hold_reading(&self) -> Result<Option<HoldReading>> {
        self.fact(READING)
    }

    /// Keeps a reading of the hold, and its clocks: no deed, so the audit trail says nothing of it.
    pub fn keep_hold_reading(&mut self, reading: &HoldReading) -> Result<()> {
        self.set_hold_clock(&reading.clock())?;
        self.keep_fact(READING, reading, None)
    }

    /// The orders that were ever seen in this topic, and that the order system has not taken since.
    pub fn hold_seen(&self, topic: &str) -> Result<Vec<Seen>> {
        Ok(self.fact(&format!("hold-seen {topic}"))?.unwrap_or_default())
    }

    /// Keeps them: a reading, no deed.
    pub fn keep_hold_seen(&mut self, topic: &str, seen: &[Seen]) -> Result<()> {
        self.keep_fact(&format!("hold-seen {topic}"), &seen, None)
    }

    /// The offsets of the hold when the order system stopped.
    pub fn hold_baseline(&self) -> Result<Option<HoldBaseline>> {
        self.fact(BASELINE)
    }

    /// Records the offsets of the hold at the shutdown, in place of any recorded before. Audited.
    pub fn record_hold(&mut self, baseline: &HoldBaseline, why: &str) -> Result<()> {
        let offsets = baseline.partitions.iter().map(|(id, o)| match o.committed {
            Some(at) => format!("{id}: {}-{} taken to {at}", o.earliest, o.latest),
            None => format!("{id}: {}-{}", o.earliest, o.latest),
        });
        let why = format!(
            "offsets of {} at {}: {}; {why}",
            baseline.topic,
            time::format(baseline.at),
            offsets.collect::<Vec<_>>().join(", ")
        );
        self.keep_fact(BASELINE, baseline, Some(said(&why)))
    }

    /// What was rescued of this topic, by the id of the rescue file.
    pub fn rescues(&self, topic: &str) -> Result<BTreeMap<String, Rescue>> {
        self.facts_under(&rescues_of(topic))
    }

    /// What was rescued of this topic, all files together.
    pub fn rescued(&self, topic: &str) -> Result<Rescued> {
        let mut all = Rescued::new();
        for rescue in self.rescues(topic)?.into_values() {
            for (id, ranges) in rescue.offsets {
                let known = all.entry(id).or_default();
                ranges.0.into_iter().for_each(|(from, to)| known.add(from, to));
            }
        }
        Ok(all)
    }

    /// Notes how far the rescue of a topic is. Audited where `why` says so: its begin and its end are, its progress is not.
    pub fn keep_rescue(&mut self, topic: &str, id: &str, rescue: &Rescue, why: Option<&str>) -> Result<()> {
        self.keep_fact(&format!("{}{id}", rescues_of(topic)), rescue, why.map(said))
    }

    /// Writes down that a release was refused for what stands outside the ledger, and gives the refusal back.
    pub fn refuse_release(&mut self, error: Error) -> Error {
        let deed = Deed {
            action: "hold",
            ..Deed::default()
        };
        match self.refuse_readonly(deed) {
            Ok(()) => self.refuse(deed, error),
            Err(readonly) => readonly,
        }
    }

    /// What was released of a rescue file, by its id.
    pub fn released(&self, id: &str) -> Result<Rescued> {
        Ok(self.fact(&format!("hold-released {id}"))?.unwrap_or_default())
    }

    /// Notes what was released of a rescue file. Audited where `why` says so.
    pub fn keep_released(&mut self, id: &str, offsets: &Rescued, why: Option<&str>) -> Result<()> {
        self.keep_fact(&format!("hold-released {id}"), offsets, why.map(said))
    }
}

const fn said(why: &str) -> Said<'_> {
    Said { action: "hold", why }
}

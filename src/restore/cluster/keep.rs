//! What a reading comes to in the ledger: the phases, and how the cluster stood before the shutdown.

use super::queues;
use crate::domain::Result;
use crate::domain::cluster::{Before, Reading, phases};
use crate::domain::finding::Kind;
use crate::domain::phase::{Phase, PhaseState};
use crate::domain::queue::Filter;
use crate::ledger::Ledger;
use std::collections::HashSet;

/// The fact that says how the cluster stood.
const BEFORE: &str = "cluster-before";

/// Keeps readings.
#[derive(Debug, Default)]
pub struct Keeper {
    /// As of which scan it is known which queues the log says were deleted, and which.
    deleted: Option<(Option<i64>, HashSet<String>)>,
}

impl Keeper {
    /// Marks in the reading what the ledger knows of it, and sets the phases that it changes; with `may_set` only, else
    /// it is looked at. `now`: when it was read, microseconds since 1970.
    pub fn take(&mut self, ledger: &mut Ledger, reading: &mut Reading, may_set: bool, now: i64) -> Result<()> {
        let deleted = self.deleted(ledger)?;
        for queue in reading.queues.iter_mut().flatten().flatten() {
            queue.deleted = deleted.contains(&queue.name);
        }
        if !reading.whole || !may_set {
            return Ok(());
        }
        let known = ledger.phases()?;
        let mut before: Before = ledger.fact(BEFORE)?.unwrap_or_default();
        let down = known
            .iter()
            .find(|line| line.phase == Phase::PodsDown)
            .map(|line| line.state);
        let open = !matches!(down, Some(PhaseState::Done | PhaseState::Failed));
        if open && before.learn(reading) {
            ledger.keep_fact(BEFORE, &before, None)?;
        }
        for line in phases(reading, &before, &known, now) {
            let why = format!("the cluster shows it: {}", line.evidence);
            ledger.set_phase(&line, &why)?;
        }
        Ok(())
    }

    /// The queues that came back though the log says that they were deleted, by what people call them.
    fn deleted(&mut self, ledger: &Ledger) -> Result<&HashSet<String>> {
        let scanned = ledger.last_scan()?.map(|(at, _)| at);
        if self.deleted.as_ref().is_none_or(|(of, _)| *of != scanned) {
            let mut names = HashSet::new();
            let undeleted = Filter {
                kind: Some(Kind::Undeleted),
                ..Filter::default()
            };
            ledger.each_row(&undeleted, &mut |row| {
                if let Some(key) = row
                    .id
                    .strip_prefix(queues::ENTITY)
                    .and_then(|key| key.strip_prefix(':'))
                {
                    names.extend([key.to_owned(), row.label.to_string()]);
                }
                true
            })?;
            self.deleted = Some((scanned, names));
        }
        Ok(&self.deleted.get_or_insert_default().1)
    }
}

//! What happened outside of the order system, as far as anybody can know it.

use super::{Key, Told, Worlds};
use crate::domain::case::Happened;
use crate::sim::life::MINUTE;
use crate::sim::model::Table;
use crate::sim::story::Story;
use std::collections::{BTreeMap, BTreeSet};

/// Types of steps with an effect outside.
const OUTSIDE: [&str; 3] = ["Callout", "Push Event", "Manual Task"];

/// What billing says: by order (however it is called) and step (by its key, or its activity).
pub(super) struct Words<'a> {
    said: BTreeMap<(&'a str, &'a str), Happened>,
    /// Whether the log tells of the time from T to the stop, so that a step that it has waiting was not begun.
    whole: bool,
}

/// A Salesforce id is called by its first 15 characters, anything else by all.
fn called(order: &str) -> &str {
    order.get(..15).filter(|_| order.starts_with("8012")).unwrap_or(order)
}

impl<'a> Words<'a> {
    pub(super) fn of(story: &'a Story) -> Self {
        let said = story.billed.iter().map(|line| {
            let step = line.item.as_deref().unwrap_or(&line.activity);
            let state = match line.result {
                "Activated" => Happened::Done,
                "Rejected" | "Not requested" => Happened::None,
                _ => Happened::Unknown,
            };
            ((called(&line.order), step), state)
        });
        let times = &story.times;
        let mut told = story.changes.iter().filter(|c| c.at >= times.log_from).map(|c| c.at);
        let first = told.next();
        let last = told.next_back().or(first);
        let steps = |c: &&crate::sim::model::Change| c.table == Table::PlanItem && c.at >= times.log_from;
        Self {
            said: said.collect(),
            whole: story.changes.iter().any(|c| steps(&c))
                && first.is_some_and(|at| at <= times.restored_to)
                && last.is_some_and(|at| at >= times.stopped_at - MINUTE),
        }
    }
}

impl Worlds<'_> {
    /// The order's effects outside since T.
    pub(super) fn outside(&self, order: &str, words: &Words<'_>) -> BTreeSet<(Option<String>, Happened, bool)> {
        let steps = self.rows_of(order).iter().filter(|key| key.0 == Table::PlanItem);
        let known: BTreeSet<_> = steps
            .filter_map(|key| {
                let (state, again) = self.effect(key, order, words)?;
                Some((Some(key.1.clone()), state, again))
            })
            .collect();
        let row = (Table::Order, order.to_owned());
        let lost = self.log.get(&row).is_some_and(|told| told.live)
            && self.findings.get(&row).is_some_and(|f| f.0 == super::Kind::Lost);
        if known.is_empty() && lost && !words.whole {
            // A plan that the log did not get to tell of.
            return BTreeSet::from([(None, Happened::Unknown, false)]);
        }
        known
    }

    fn effect(&self, key: &Key, order: &str, words: &Words<'_>) -> Option<(Happened, bool)> {
        let kind = self.value(key, "item_type")?;
        if !OUTSIDE.contains(&kind.as_str()) {
            return None;
        }
        let told = self.log.get(key).and_then(|told: &Told| told.row.text("state"));
        let there = self.restored.get(key).and_then(|row| row.text("state"));
        let (told, there) = (told.as_deref(), there.as_deref());
        let done = Some("Completed");
        if there == done && (told == done || told.is_none()) {
            // Before T: both worlds have it behind them.
            return None;
        }
        let by_log = match told {
            Some("Completed") => Happened::Done,
            // It waited to the end, and the log would tell if it had not.
            Some("Pending" | "Ready") if words.whole && matches!(there, None | Some("Pending" | "Ready")) => {
                Happened::None
            }
            _ => Happened::Unknown,
        };
        let name = self.value(key, "name").unwrap_or_default();
        let names = [
            Some(order.to_owned()),
            self.value(&(Table::Order, order.to_owned()), "order_number"),
            self.value(&(Table::Order, order.to_owned()), "external_id"),
        ];
        let by_billing = names.iter().flatten().find_map(|order| {
            let said = |step: &str| words.said.get(&(called(order), step)).copied();
            said(&key.1).or_else(|| said(&name))
        });
        let state = match (by_log, by_billing) {
            (Happened::Done, _) | (_, Some(Happened::Done)) => Happened::Done,
            (_, Some(said)) => said,
            (log, None) => log,
        };
        let runs = matches!(there, Some("Pending" | "Ready" | "Running" | "Failed"));
        Some((state, runs && state != Happened::None))
    }
}

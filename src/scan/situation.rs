//! What the advice asks besides a case's own findings: who waits for whom, how the log says that an order ended, what is
//! past return.

use super::Scan;
use super::advice::{self, Situation};
use super::cases::Brought;
use super::family::Families;
use super::supersede::Supersedes;
use crate::domain::case::{FoundCase, Verb};
use crate::domain::schema::ORDER;
use crate::domain::value::LogKind;
use crate::resolve::rules;
use crate::restored::Restored;
use hashbrown::{HashMap, HashSet};

impl<R: Restored> Scan<'_, R> {
    /// One verb and why for every case.
    pub(super) fn advise(
        &self,
        cases: &mut [FoundCase],
        families: &Families,
        supersedes: &Supersedes,
        brought: &Brought,
    ) {
        let advice: Vec<_> = {
            let around = Around {
                cases,
                at: cases.iter().enumerate().map(|(ix, c)| (c.id.as_str(), ix)).collect(),
                families,
                supersedes,
                decided: &self.past.decided,
            };
            let advise = |case| advice::advise(&self.situation(case, &around, brought));
            cases.iter().map(advise).collect()
        };
        for (case, advice) in cases.iter_mut().zip(advice) {
            case.advice = advice;
        }
    }

    fn situation<'a>(&'a self, case: &'a FoundCase, around: &Around<'a>, brought: &'a Brought) -> Situation<'a> {
        let (undecided, settled) = around.waits_for(case);
        let lacks = brought.get(&case.id).map_or(&[][..], Vec::as_slice);
        let why: Vec<Option<String>> = lacks.iter().map(|(_, by)| self.stays_lost(case, by, around)).collect();
        let stays_lost = lacks.iter().zip(&why).find_map(|((missing, _), why)| {
            let fits = case.fits.iter().any(|f| f.missing == *missing);
            Some((missing, why.clone()?)).filter(|_| !fits)
        });
        let first = case.blocked_by.iter().find_map(|id| {
            let mut coming = lacks.iter().zip(&why).filter(|(_, why)| why.is_none());
            let ((missing, _), _) = coming.find(|((_, by), _)| by.contains(id))?;
            Some((id.as_str(), missing))
        });
        let order = case.order.as_deref().unwrap_or_default();
        let half = around.supersedes.halves.get(order);
        let past = |order: &str| self.is_past_return(order, around.families);
        Situation {
            case,
            schema: self.schema,
            facts: rules::Facts {
                found: case,
                schema: self.schema,
                undecided,
                settled,
                touched: around
                    .decided
                    .keys()
                    .map(String::as_str)
                    .filter(|id| around.at.contains_key(id))
                    .collect(),
            },
            brought: first,
            stays_lost,
            ended: self.ended(order, around.supersedes),
            past_return: past(order) || half.is_some_and(|h| past(&h.other)),
            half,
            other: half.map_or_else(String::new, |h| around.label(&h.other)),
        }
    }

    /// Why nothing brings back what this case lacks, where nothing does.
    fn stays_lost(&self, case: &FoundCase, by: &[String], around: &Around<'_>) -> Option<String> {
        if by.is_empty() {
            return Some("nothing brings it back".to_owned());
        }
        let mut why = None;
        for id in by {
            if *id == case.id {
                return None;
            }
            let label = around
                .at
                .get(id.as_str())
                .map_or(id.as_str(), |ix| &around.cases[*ix].label);
            let order = id.strip_prefix("order:").unwrap_or_default();
            // A resubmitted one comes back under another key, and fits then.
            let never = |v: &&Verb| matches!(v, Verb::Keep | Verb::Cancel | Verb::Supersede);
            let verb = around.decided.get(id).filter(never);
            let gone = match verb {
                Some(verb) => format!("{label} was decided {}", verb.name()),
                None => format!("{label} {}", self.ended(order, around.supersedes)?),
            };
            why = why.or(Some(gone));
        }
        why
    }

    /// How the log says that an order ended, where it was cancelled or superseded: `is Cancelled`.
    fn ended(&self, order: &str, supersedes: &Supersedes) -> Option<String> {
        let entity = self.order_entity()?;
        let mapped = &self.schema.entities[entity];
        let row = self.log.get(entity, order).filter(|row| row.exists())?;
        let state = mapped
            .state
            .as_deref()
            .and_then(|s| self.catalogue.tables[entity].column(s));
        let state = state
            .and_then(|column| row.field(column))
            .filter(|(v, _)| v.kind != LogKind::Null);
        if let Some((state, _)) = state {
            // Salesforce OM Plus calls an order that was amended so (order fulfilment status).
            if mapped.cancelled.iter().any(|c| *c == *state.text) || state.text == "Superseded" {
                return Some(format!("is {}", state.text));
            }
        }
        let by = supersedes.by.get(order)?;
        Some(format!("is superseded by order {by}"))
    }

    /// Whether a step of the order is past the point of no return, on either side.
    fn is_past_return(&self, order: &str, families: &Families) -> bool {
        let rows = families.by_order.get(order).into_iter().flatten();
        rows.filter_map(|row| {
            let column = self.schema.entities[row.0].ponr.as_deref()?;
            Some((row, self.catalogue.tables[row.0].column(column)?))
        })
        .any(|((entity, key), column)| {
            let by_log = self.log.get(*entity, key).and_then(|row| row.field(column));
            let is = |text: &str| matches!(text, "true" | "t" | "1" | "True" | "TRUE" | "yes");
            by_log.is_some_and(|(v, _)| is(&v.text)) || families.value(*entity, key, column).is_some_and(is)
        })
    }
}

/// All cases, and what is known of them together.
struct Around<'a> {
    cases: &'a [FoundCase],
    at: HashMap<&'a str, usize>,
    families: &'a Families,
    supersedes: &'a Supersedes,
    decided: &'a std::collections::HashMap<String, Verb>,
}

impl<'a> Around<'a> {
    fn label(&self, order: &str) -> String {
        let case = self.at.get(format!("{ORDER}:{order}").as_str());
        case.map_or_else(|| format!("order {order}"), |ix| self.cases[*ix].label.clone())
    }

    /// The cases that it waits for: those that are undecided, transitively, and what was decided on those it names itself.
    fn waits_for(&self, case: &'a FoundCase) -> (Vec<&'a FoundCase>, Vec<(&'a str, Verb)>) {
        let (mut undecided, mut settled) = (Vec::new(), Vec::new());
        let mut seen: HashSet<&str> = HashSet::from([case.id.as_str()]);
        let mut ahead: Vec<&FoundCase> = vec![case];
        while let Some(next) = ahead.pop() {
            for id in next.blocked_by.iter().filter(|id| !self.is_decided(id)) {
                let Some(&ix) = self.at.get(id.as_str()) else { continue };
                if seen.insert(id) {
                    undecided.push(&self.cases[ix]);
                    ahead.push(&self.cases[ix]);
                }
            }
        }
        for id in case.blocked_by.iter().filter(|id| self.is_decided(id)) {
            let label = self
                .at
                .get(id.as_str())
                .map_or(id.as_str(), |ix| self.cases[*ix].label.as_str());
            settled.extend(self.decided.get(id).map(|verb| (label, *verb)));
        }
        (undecided, settled)
    }

    /// Parked and escalated cases are still to be decided.
    fn is_decided(&self, id: &str) -> bool {
        let verb = self.decided.get(id);
        verb.is_some_and(|v| !matches!(v, Verb::Park | Verb::Escalate))
    }
}

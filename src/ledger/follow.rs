//! Which findings of a settled case are new: not there when it was decided, and no consequence of the decision.

use crate::domain::case::{FoundCase, Verb};
use crate::domain::finding::{Finding, Kind};
use serde::{Deserialize, Serialize};

/// A finding as far as it tells one from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    entity: String,
    key: String,
    kind: Kind,
}

/// What was found when the case was decided. Rows in doubt go on where they stood: that they then differ from the log
/// is known from the start.
pub(super) fn seen(case: &FoundCase) -> Vec<Seen> {
    let mut seen = Vec::with_capacity(case.findings.len());
    for f in &case.findings {
        let mut push = |entity: &str, key: &str, kind| {
            seen.push(Seen {
                entity: entity.to_owned(),
                key: key.to_owned(),
                kind,
            });
        };
        push(&f.entity, &f.key, f.kind);
        if f.kind == Kind::InDoubt {
            push(&f.entity, &f.key, Kind::Regressed);
            for row in &f.rows {
                push(&row.entity, &row.key, Kind::Regressed);
            }
        }
    }
    seen
}

/// A decision as far as it tells what follows from it.
pub(super) struct Decided {
    pub verb: Verb,
    /// The referring column, for `relink`.
    pub reference: Option<String>,
    /// What was found when it was made.
    pub seen: Vec<Seen>,
}

/// Whether a scan found something that none of the decisions on the case knew or brings with it. What moved after the
/// opening is traffic, and no news of what the restore did.
pub(super) fn is_news(decisions: &[Decided], found: &FoundCase) -> bool {
    found.findings.iter().filter(|f| !f.since_opening).any(|f| {
        !decisions.iter().any(|d| {
            let row_had = |kinds: &[Kind]| {
                d.seen
                    .iter()
                    .any(|s| s.entity == f.entity && s.key == f.key && kinds.contains(&s.kind))
            };
            row_had(&[f.kind]) || follows(d.verb, d.reference.as_deref(), f, &row_had)
        })
    })
}

fn follows(verb: Verb, reference: Option<&str>, f: &Finding, row_had: &dyn Fn(&[Kind]) -> bool) -> bool {
    match (verb, f.kind) {
        // The row came back, and the order system went on with it.
        (Verb::Reapply | Verb::Complete, Kind::Regressed)
        // The order came back under other keys.
        | (Verb::Resubmit | Verb::Complete | Verb::Cancel, Kind::Moved) => row_had(&[Kind::Lost]),
        (Verb::Relink, Kind::Regressed) => f.fields.iter().all(|d| Some(d.name.as_str()) == reference),
        // Its rows leave the state that the log knows.
        (Verb::Cancel | Verb::Supersede, Kind::Regressed)
        | (Verb::Supersede, Kind::HalfSuperseded)
        // What was not under way at the opening came back so, or the order system runs it: nothing cut it off.
        | (_, Kind::InDoubt) => true,
        _ => false,
    }
}

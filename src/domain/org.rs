//! What Salesforce shows of the order system, and what we told it.

use super::phase::{Phase, PhaseLine, PhaseState};
use super::time;
use serde::{Deserialize, Serialize};

/// A state that Salesforce shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// `Operational`, `Offline`, ….
    pub state: String,
    /// Since when this program has seen it, microseconds since 1970.
    pub since: i64,
    /// What it showed before, and since when.
    pub before: Option<(String, i64)>,
}

/// A notice of a phase that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The phase's word.
    pub phase: String,
    /// The word of its state.
    pub state: String,
    /// Whose restitch sends it.
    pub by: String,
    /// When it began to, microseconds since 1970.
    pub at: i64,
    /// How often it tried.
    pub tries: u32,
    /// What came of it; `None` while it tries, and for ever where it died over it: nobody knows then.
    pub outcome: Option<Result<String, String>>,
}

/// So long a notice may be under way, microseconds.
const UNDER_WAY: i64 = 120_000_000;

impl Notice {
    /// Whether it told of this phase.
    pub fn is_about(&self, phase: Option<Phase>) -> bool {
        phase.is_some_and(|phase| phase.name() == self.phase)
    }

    /// What became of it, for people.
    pub fn words(&self, now: i64) -> String {
        let what = format!("notice of {} {}", self.phase, self.state);
        let tries = if self.tries > 1 {
            format!(" after {} tries", self.tries)
        } else {
            String::new()
        };
        match &self.outcome {
            Some(Ok(said)) => format!("{what}: {said}{tries}"),
            Some(Err(why)) => format!("{what}: FAILED{tries}, {why}"),
            None if now - self.at > UNDER_WAY => format!("{what}: unconfirmed, {}'s restitch ended over it", self.by),
            None => format!("{what}: under way"),
        }
    }
}

/// What this comes to for the phase "org told", where it changes it. `offline`: the states that say that the org knows.
pub fn phase(
    shown: Result<&Shown, &str>,
    offline: &[String],
    known: Option<&PhaseLine>,
    now: i64,
) -> Option<PhaseLine> {
    let state = known.map_or(PhaseState::Waiting, |l| l.state);
    let (next, evidence) = match shown {
        Ok(shown) => {
            let words = format!("OM+ Status: {} (first seen {})", shown.state, time::clock(shown.since));
            let is_off = offline.iter().any(|o| o.eq_ignore_ascii_case(&shown.state));
            match (is_off, state) {
                (true, _) => (PhaseState::Done, words),
                // It was told; that it is shown as up again is news, not a step back.
                (false, PhaseState::Done) => {
                    let before = shown.before.as_ref().map_or_else(String::new, |(state, since)| {
                        format!(", after {state} from {}", time::clock(*since))
                    });
                    (PhaseState::Done, format!("{words}{before}"))
                }
                (false, state) => (state, words),
            }
        }
        Err(why) => (state, why.to_owned()),
    };
    if known
        .is_some_and(|l| l.state == next && (l.evidence == evidence || l.evidence.starts_with(super::phase::BY_HAND)))
    {
        return None;
    }
    Some(PhaseLine {
        phase: Phase::OrgTold,
        state: next,
        since: match (next == state, known) {
            (true, Some(known)) => known.since,
            _ => Some(now),
        },
        took: known.filter(|l| l.state == next).and_then(|l| l.took),
        evidence,
        per_mille: None,
    })
}

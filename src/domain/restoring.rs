//! The restore as AWS shows it: for the screen, for plain lines, and for the next one who looks.

use super::phase::PhaseState;
use serde::{Deserialize, Serialize};

/// What AWS says of the restore, and since when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restoring {
    /// Of which attempt.
    pub attempt: u32,
    /// When AWS last answered, microseconds since 1970.
    pub read_at: Option<i64>,
    /// Since when it does not, microseconds since 1970; what is said below is what was known then.
    pub lost_since: Option<i64>,
    /// Why it does not answer, and what to do.
    pub trouble: Option<(String, String)>,
    /// The identifier now: a label.
    pub name: String,
    /// The resource id: what is followed, whatever it is called.
    pub resource: Option<String>,
    /// It is a cluster.
    pub cluster: bool,
    /// The status, as AWS writes it.
    pub status: String,
    /// When it was first seen, microseconds since 1970.
    pub since: Option<i64>,
    /// When it was first seen to answer, microseconds since 1970.
    pub done: Option<i64>,
    /// Why it will come to no good end by itself, and what to do.
    pub failed: Option<(String, String)>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What AWS told, the newest last.
    pub events: Vec<Told>,
    /// Settings that the source has and it has not, each with what puts it right.
    pub lacks: Vec<String>,
    /// `host:port`, once there is one.
    pub endpoint: Option<String>,
}

/// A step of the restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// For people.
    pub name: String,
    /// How it stands.
    pub state: PhaseState,
    /// When this state was first seen, microseconds since 1970.
    pub since: Option<i64>,
    /// What says so; where AWS gives no signal, that.
    pub evidence: String,
}

/// Something that was told once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When it happened, else when it was seen; microseconds since 1970.
    pub at: i64,
    /// `status`, `rename`, `trouble`, …; of an event its category.
    pub kind: String,
    /// What.
    pub text: String,
}

impl Restoring {
    /// Its steps' one: `None` where there is none of this name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// How the whole stands.
    pub fn state(&self) -> PhaseState {
        match (&self.failed, self.done, &self.resource) {
            (Some(_), _, _) => PhaseState::Failed,
            (_, Some(_), _) => PhaseState::Done,
            (_, _, Some(_)) => PhaseState::Running,
            _ => PhaseState::Waiting,
        }
    }
}

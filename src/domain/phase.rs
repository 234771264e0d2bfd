//! The phases of a restore, in the order they happen.

use serde::{Deserialize, Serialize};

/// How the evidence of a phase begins that a person ticked; who, and why, follow.
pub const BY_HAND: &str = "by hand, ";

/// One phase of the restore, from the notice to the org to the end of triage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Salesforce knows that the order system is offline.
    OrgTold,
    /// No pod of the cluster runs.
    PodsDown,
    /// RDS restores the database.
    Restoring,
    /// Right database, right point.
    Gate,
    /// The stop before workers start.
    Ready,
    /// The queues are drained.
    Drained,
    /// The services are back.
    Services,
    /// The catalogue is reloaded.
    Catalogue,
    /// Workers are allocated.
    Workers,
    /// The hold is replayed.
    Hold,
    /// The queue of cases is worked.
    Triage,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Self; 11] = [
        Self::OrgTold,
        Self::PodsDown,
        Self::Restoring,
        Self::Gate,
        Self::Ready,
        Self::Drained,
        Self::Services,
        Self::Catalogue,
        Self::Workers,
        Self::Hold,
        Self::Triage,
    ];

    /// The word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrgTold => "org-told",
            Self::PodsDown => "pods-down",
            Self::Restoring => "restoring",
            Self::Gate => "gate",
            Self::Ready => "ready",
            Self::Drained => "drained",
            Self::Services => "services",
            Self::Catalogue => "catalogue",
            Self::Workers => "workers",
            Self::Hold => "hold",
            Self::Triage => "triage",
        }
    }

    /// The words on the screen.
    pub const fn title(self) -> &'static str {
        match self {
            Self::OrgTold => "org told",
            Self::PodsDown => "pods down",
            Self::Restoring => "database restoring",
            Self::Gate => "right database, point",
            Self::Ready => "ready to open",
            Self::Drained => "queues drained",
            Self::Services => "services back",
            Self::Catalogue => "catalogue reloaded",
            Self::Workers => "workers allocated",
            Self::Hold => "hold replayed",
            Self::Triage => "triage",
        }
    }

    /// The phase of this command-line word.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// How a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhaseState {
    /// Not begun, as far as anyone has said.
    Waiting,
    /// Under way.
    Running,
    /// Over, well.
    Done,
    /// Over, badly.
    Failed,
}

impl PhaseState {
    /// The word in the ledger and on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// The state of this word.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Running, Self::Done, Self::Failed]
            .into_iter()
            .find(|s| s.name() == name)
    }
}

/// One line of the Restore view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseLine {
    /// Which phase.
    pub phase: Phase,
    /// How it stands.
    pub state: PhaseState,
    /// Microseconds since 1970 at which this state began.
    pub since: Option<i64>,
    /// Microseconds it took, once over.
    pub took: Option<i64>,
    /// What says so; where nothing watches the phase, that.
    pub evidence: String,
    /// Share done in per mille, where a real signal gives one.
    pub per_mille: Option<u16>,
}

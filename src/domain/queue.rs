//! The work queue as the ledger keeps it and the console shows it: rows, claims, decisions, counts.

use super::case::{FoundCase, State, Verb};
use super::finding::Kind;
use super::schema::ORDER;
use super::time;
use serde::{Deserialize, Serialize};

/// The entity whose row a case is, where its findings say no more than that the row is there although the log deleted it;
/// such rows of catalogue and metadata are one group a table, counted apart from orders.
fn undeleted<'c>(id: &'c str, kinds: &[Kind]) -> Option<&'c str> {
    let (entity, _) = id.split_once(':').filter(|(entity, _)| *entity != ORDER)?;
    (kinds == [Kind::Undeleted]).then_some(entity)
}

/// A person's lease on a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The ledger login (SQLite: the system user).
    pub by: String,
    /// Microseconds since 1970 at which it lapses.
    pub until: i64,
    /// Raised at every change of holder: a sleeper who wakes up with an older one is refused.
    pub fence: i64,
}

/// One line of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRow {
    /// The case's id.
    pub id: Box<str>,
    /// What people call it.
    pub label: Box<str>,
    /// MACD action, or the entity's name where no order owns it.
    pub action: Box<str>,
    /// The distinct kinds of its findings, in order.
    pub kinds: Vec<Kind>,
    /// All of them are there only because of the bad change: the restore removed it on purpose.
    pub undone: bool,
    /// Where it stands.
    pub state: State,
    /// The verb of its last decision.
    pub verb: Option<Verb>,
    /// A live lease; a lapsed one is none.
    pub claim: Option<Claim>,
    /// Cases to decide first, and their labels, first first.
    pub blocked_by: Vec<(Box<str>, Box<str>)>,
    /// How many cases wait for this one.
    pub waited_for: u32,
    /// The configured columns.
    pub show: Vec<Box<str>>,
    /// A proof failed, and this is where it was decided before.
    pub disproven: bool,
    /// Microseconds since 1970 at which a held order may be lost.
    pub dies_at: Option<i64>,
    /// It was parked or escalated until a time that has come.
    pub due: bool,
}

/// A decision as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Idempotency key.
    pub key: String,
    /// What was decided.
    pub verb: Verb,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub by: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// The referring column to relink (`--ref`).
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Key, case or person (`--to`).
    pub to: Option<String>,
    /// Evidence, given with the decision or by `done`.
    pub evidence: Option<String>,
    /// Microseconds since 1970 (`--until`).
    pub until: Option<i64>,
    /// What a person must do outside, step by step.
    pub steps: Vec<String>,
    /// Who must act, where somebody must.
    pub assignee: Option<String>,
    /// The evidence that closes the to-do, in words.
    pub wanted: Option<String>,
    /// The last proof: whether it held (`None`: nobody can tell), and what was read.
    pub proof: Option<(Option<bool>, String)>,
}

/// What a person asks for when deciding.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decide {
    /// The case decided.
    pub case: String,
    /// Its idempotency key: the same key with the same content is the same decision.
    pub key: String,
    /// The verb.
    pub verb: Option<Verb>,
    /// Why.
    pub reason: String,
    /// `--ref`.
    pub reference: Option<String>,
    /// `--to`.
    pub to: Option<String>,
    /// `--evidence`.
    pub evidence: Option<String>,
    /// `--until`, microseconds since 1970.
    pub until: Option<i64>,
    /// `--confirm`.
    pub confirm: Option<String>,
    /// The fence of the claim under which the screen was drawn; `None` takes the claim as it is now.
    pub fence: Option<i64>,
    /// What tells the cases as the screen showed them from any others; `None` takes them as they are now.
    pub seen: Option<String>,
}

/// How far an effect is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// It has not left yet.
    Queued,
    /// It is on its way.
    Running,
    /// It was done.
    Done,
    /// It was not done, for sure.
    Failed,
    /// Its answer was lost on the way.
    Unknown,
    /// It was taken back before it left.
    Cancelled,
}

impl Course {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Unknown,
        Self::Cancelled,
    ];

    /// The word in files and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
        }
    }

    /// The course of this word.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    /// Whether it is over, one way or the other.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// The effect of a decision, or of taking one back, as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectLine {
    /// Its own idempotency key: the decision's; another one where it takes a decision back.
    pub key: String,
    /// `sql`, `kafka` or `http`.
    #[serde(rename = "do")]
    pub does: String,
    /// It takes the decision back.
    pub undoes: bool,
    /// How far it is.
    pub state: Course,
    /// Microseconds since 1970 before which it does not leave.
    #[serde(serialize_with = "rfc3339")]
    pub leaves_at: i64,
    /// Microseconds since 1970 at which it was over.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub ended_at: Option<i64>,
    /// What came of it, in words.
    pub outcome: Option<String>,
}

/// An effect with whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseEffect {
    /// The cases that it is about, the one that was decided first.
    pub cases: Vec<String>,
    /// What was decided.
    pub verb: Verb,
    /// Who decided.
    pub by: String,
    /// The effect itself.
    #[serde(flatten)]
    pub line: EffectLine,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn rfc3339<S: serde::Serializer>(at: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time::format(*at))
}

#[expect(clippy::ref_option, reason = "the form that serde asks for")]
fn rfc3339_or_null<S: serde::Serializer>(at: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(time::format).serialize(serializer)
}

impl EffectLine {
    /// `sql done at 14:41:07Z: 3 rows written`
    pub fn words(&self) -> String {
        let back = if self.undoes { "taking it back: " } else { "" };
        match (self.state, &self.outcome) {
            (Course::Queued, _) => format!("{back}{} leaves at {}", self.does, time::format(self.leaves_at)),
            (Course::Running, _) => format!("{back}{} is on its way", self.does),
            // The outcome begins with what it was.
            (state, Some(outcome)) => format!("{back}{}, {outcome}", state.name()),
            (state, None) => format!("{back}{} {}", self.does, state.name()),
        }
    }
}

/// A note somebody wrote on a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Who.
    pub by: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// The text.
    pub text: String,
}

/// Everything the ledger has on one case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseFile {
    /// As the last scan found it.
    pub found: FoundCase,
    /// Where it stands.
    pub state: State,
    /// A live lease.
    pub claim: Option<Claim>,
    /// A proof failed since it was decided.
    pub disproven: bool,
    /// The decision that counts now.
    pub decision: Option<Decision>,
    /// Its effect, where it has one: the one that takes it back while that is under way.
    pub effect: Option<EffectLine>,
    /// Notes, oldest first.
    pub notes: Vec<Note>,
    /// Cases that wait for this one: id and label.
    pub waited_for_by: Vec<(String, String)>,
}

/// What stands in the queue, all together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By [`State::ALL`].
    pub states: [u64; State::ALL.len()],
    /// Cases not yet settled, by the first of their kinds in [`Kind::ALL`]; with `undone` and `undeleted_rows` they add up to
    /// the unsettled.
    pub kinds: [u64; Kind::ALL.len()],
    /// Cases not yet settled that are there only because of the bad change.
    pub undone: u64,
    /// Cases both lost and orphaned among the unsettled.
    pub lost_and_orphaned: u64,
    /// Of the unsettled the undeleted rows that no order owns, by table, and how many; no kind counts them.
    pub undeleted_rows: Vec<(String, u64)>,
}

impl Counts {
    /// Every case ever opened in the incident.
    pub fn total(&self) -> u64 {
        self.states.iter().sum()
    }

    /// Cases in this state.
    pub fn of(&self, state: State) -> u64 {
        State::ALL
            .iter()
            .position(|s| *s == state)
            .map_or(0, |i| self.states[i])
    }

    /// Cases that are still work.
    pub fn unsettled(&self) -> u64 {
        State::ALL
            .iter()
            .zip(self.states)
            .filter(|(s, _)| !s.is_settled())
            .map(|(_, n)| n)
            .sum()
    }
}

impl CaseRow {
    /// The table whose undeleted row the case is, where no order owns it.
    pub fn undeleted_row(&self) -> Option<&str> {
        undeleted(&self.id, &self.kinds)
    }
}

impl FoundCase {
    /// The table whose undeleted row the case is, where no order owns it.
    pub fn undeleted_row(&self) -> Option<&str> {
        undeleted(&self.id, &self.kinds())
    }
}

/// Which cases to list; empty lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this state.
    pub state: Option<State>,
    /// Only cases with a finding of this kind.
    pub kind: Option<Kind>,
    /// Only cases of this order: its key or its label.
    pub order: Option<String>,
}

/// What a scan did to the ledger's cases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCounts {
    /// Every case ever opened in the incident.
    pub total: u64,
    /// Opened by this scan (new, or open again for new findings).
    pub opened: u64,
    /// Changed in content by this scan.
    pub updated: u64,
    /// No longer found, and nobody had decided.
    pub gone: u64,
}

/// A log line that could not be read as an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// Name of the `[[log]]` (or `hold`).
    pub source: String,
    /// File and line.
    pub position: String,
    /// Why.
    pub reason: String,
    /// Its first bytes.
    pub excerpt: String,
}

/// One line of the audit trail, as `audit list --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Number within the chain, from 1, without gaps.
    pub seq: u64,
    /// RFC 3339, UTC, microseconds.
    pub at: String,
    /// The ledger login.
    pub who: String,
    /// `claim`, `drop`, `decide`, `prove`, `refuse`, …
    pub action: String,
    /// The case, where it is about one.
    pub case: Option<String>,
    /// The verb, where it is about one.
    pub verb: Option<String>,
    /// The decision's idempotency key.
    pub key: Option<String>,
    /// `ok`, `refused` or `unconfirmed`.
    pub outcome: String,
    /// Reason, note text, refusal.
    pub why: Option<String>,
    /// SHA-256 over this line and the hash before it, hex.
    pub hash: String,
    /// The system user that ran restitch.
    pub system_user: String,
    /// Where they came from, where it was over SSH: client address and port.
    pub ssh: Option<String>,
}

/// A column that people ignore from now on, beside those of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignore {
    /// The entity.
    pub entity: String,
    /// Its column.
    pub column: String,
    /// Why it is noise.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// Microseconds since 1970.
    pub at: i64,
}

/// What the hold is about to lose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldClock {
    /// Orders held.
    pub held: u64,
    /// Of them copied to safety.
    pub rescued: u64,
    /// Lost by age.
    pub lost: u64,
    /// Microseconds since 1970 from which loss is possible.
    pub loss_from: Option<i64>,
}

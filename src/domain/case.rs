//! What a person decides: the case, its states, the verbs.

use super::finding::{Evidence, Finding, Kind, Missing};
use super::value::LogKind;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Where a case stands. A claim is not a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// To be decided.
    Open,
    /// Decided; a person must act outside.
    ToDo,
    /// Decided; an effect ran, or a person said it is done.
    Applied,
    /// The effect's outcome was lost on the way and is being read back.
    Unconfirmed,
    /// Put off until a time or an answer.
    Parked,
    /// Handed to a person with a time.
    Escalated,
    /// Settled, and read again to be sure.
    Proven,
    /// A later scan no longer finds it, and nobody decided.
    Gone,
}

impl State {
    /// All states in the order in which they are counted.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::ToDo,
        Self::Applied,
        Self::Unconfirmed,
        Self::Parked,
        Self::Escalated,
        Self::Proven,
        Self::Gone,
    ];

    /// The word in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::ToDo => "to_do",
            Self::Applied => "applied",
            Self::Unconfirmed => "unconfirmed",
            Self::Parked => "parked",
            Self::Escalated => "escalated",
            Self::Proven => "proven",
            Self::Gone => "gone",
        }
    }

    /// The word on screens.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ToDo => "to do",
            other => other.name(),
        }
    }

    /// The state of this word.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Only `proven` and `gone` leave the work.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Proven | Self::Gone)
    }

    /// Whether a verb may be chosen in this state.
    pub const fn is_decidable(self) -> bool {
        matches!(self, Self::Open | Self::Parked | Self::Escalated)
    }
}

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// The log's state to the order and to what it needs.
    Reapply,
    /// To the order intake again.
    Resubmit,
    /// A reference to another row.
    Relink,
    /// Done outside, with the evidence.
    Complete,
    /// By an order that redid it.
    Supersede,
    /// Cancel the order.
    Cancel,
    /// Until a time or an answer.
    Park,
    /// To a person with a time.
    Escalate,
    /// As restored.
    Keep,
}

impl Verb {
    /// All verbs in the order of the menu.
    pub const ALL: [Self; 9] = [
        Self::Reapply,
        Self::Resubmit,
        Self::Relink,
        Self::Complete,
        Self::Supersede,
        Self::Cancel,
        Self::Park,
        Self::Escalate,
        Self::Keep,
    ];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reapply => "reapply",
            Self::Resubmit => "resubmit",
            Self::Relink => "relink",
            Self::Complete => "complete",
            Self::Supersede => "supersede",
            Self::Cancel => "cancel",
            Self::Park => "park",
            Self::Escalate => "escalate",
            Self::Keep => "keep",
        }
    }

    /// Its letter in the verb menu.
    pub const fn letter(self) -> char {
        match self {
            Self::Reapply => 'r',
            Self::Resubmit => 's',
            Self::Relink => 'l',
            Self::Complete => 'd',
            Self::Supersede => 'x',
            Self::Cancel => 'c',
            Self::Park => 'p',
            Self::Escalate => 'e',
            Self::Keep => 'k',
        }
    }

    /// The verb of this word.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|v| v.name() == name)
    }
}

/// What the scan suggests for a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The verb.
    pub verb: Verb,
    /// Why, for a person.
    pub why: String,
}

/// One field of a row of the order's family, both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FamilyField {
    /// The column.
    pub name: String,
    /// As restored; `None` where the row is not there.
    pub restored: Option<Json>,
    /// As the log says; `None` where it does not say.
    pub log: Option<Json>,
    /// The event behind the log's value.
    pub by: Option<Evidence>,
    /// Whether the two differ.
    pub differs: bool,
    /// The form of a log's value that carries less than its column: milliseconds, a double, averaged months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coarse: Option<LogKind>,
}

/// SQL null, where a value is lent.
static NULL: Json = Json::Null;

impl FamilyField {
    /// What the log says of it; `None` where it says nothing. In the ledger's JSON the two look alike, but for the event.
    pub fn said(&self) -> Option<&Json> {
        self.log.as_ref().or_else(|| self.by.as_ref().map(|_| &NULL))
    }

    /// How it stands in a row that is there.
    pub fn stood(&self) -> &Json {
        self.restored.as_ref().unwrap_or(&NULL)
    }
}

/// What a referring column points at, and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyRef {
    /// The referring column.
    pub column: String,
    /// What it refers to.
    pub to: Missing,
    /// Whether the restored database has it.
    pub present: bool,
}

/// What is known of an effect outside of the order system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Happened {
    /// It happened: somebody says so.
    Done,
    /// It did not: somebody who would know says so.
    None,
    /// Nobody says. Silence is this, never [`Happened::None`].
    Unknown,
}

impl Happened {
    /// The word, in files and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::None => "NONE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// One effect outside of the order system: a callout, a push event, a manual task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The plan item behind it (its key), where there is one.
    pub item: Option<String>,
    /// What people call it: `billing.activate`.
    pub name: String,
    /// Whether it happened.
    pub state: Happened,
    /// When, RFC 3339; or since when it is not known.
    pub at: Option<String>,
    /// Why that is said, for a person.
    pub why: String,
    /// The event or the line of the file that says so.
    pub evidence: Option<Evidence>,
    /// Whether the restored order would do it again when workers start.
    pub again: bool,
}

/// Rows that a missing reference could be given instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    /// The reference.
    pub missing: Missing,
    /// What the referring column could say instead: of each row that fits by identity or by asset reference its key, or
    /// the value of the column referred to.
    pub to: Vec<String>,
}

/// A row of the order's family: the order itself, its items, plans, …
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FamilyRow {
    /// The row's entity.
    pub entity: String,
    /// Its key.
    pub key: String,
    /// The row findings on it.
    pub kinds: Vec<Kind>,
    /// Whether the restored database has the row.
    pub restored: bool,
    /// What the bad change did to its state in the log, where that rests on it: `created`, `deleted`, `wrote status of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
    /// What the log says of it: `None` where it never names it, `Some(false)` where its last word is a delete.
    pub log: Option<bool>,
    /// Its fields, both sides.
    pub fields: Vec<FamilyField>,
    /// Its references.
    pub refs: Vec<FamilyRef>,
}

/// A case as a scan finds it, before the ledger knows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FoundCase {
    /// `<entity>:<key>` of the owning order, else of the row itself; `held:<key>`.
    pub id: String,
    /// The owning order's key.
    pub order: Option<String>,
    /// What people call it.
    pub label: String,
    /// MACD action of the order (`Change`), or the entity's name where no order owns it.
    pub action: String,
    /// The configured `show` columns' values, in order.
    pub show: Vec<String>,
    /// The configured `rank` column's value.
    pub rank: Option<String>,
    /// All findings, in the order of the schema's entities, then key, then kind.
    pub findings: Vec<Finding>,
    /// What it refers to and is not there.
    pub missing: Vec<Missing>,
    /// Cases that would bring the missing rows back, the first to decide first.
    pub blocked_by: Vec<String>,
    /// It waits in the hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// When a held, unrescued order may be lost; RFC 3339.
    pub dies_at: Option<String>,
    /// The scan's suggestion.
    pub advice: Option<Advice>,
    /// What is known of its effects outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<Outside>,
    /// What its missing references could be relinked to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fits: Vec<Fit>,
    /// The rows of the family, for the case screen and for the proof.
    pub family: Vec<FamilyRow>,
}

impl FoundCase {
    /// Whether the reference of one of its rows lacks its row. What the log itself deleted is not there either, but on
    /// purpose: nothing is missing then.
    pub fn lacks(&self, reference: &FamilyRef) -> bool {
        !reference.present && self.missing.contains(&reference.to)
    }

    /// The distinct kinds of its findings, in the order of [`Kind`].
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.findings.iter().map(|f| f.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}

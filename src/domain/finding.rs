//! What a scan finds: one fact about one row or one order.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The kinds of findings, in the order in which they are listed everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The log's row exists; the restored database has it neither by key nor by identity.
    Lost,
    /// As lost, but its identity is there under another key.
    Moved,
    /// Both exist and a compared field differs.
    Regressed,
    /// The log's last word is a delete, and the row is there.
    Undeleted,
    /// Both exist under one key with different identities.
    Collided,
    /// A plan or plan item was under way when the restore cut it off.
    InDoubt,
    /// It refers to a row that the restored database lacks.
    Orphaned,
    /// Of two orders joined by `supersedes`, one is there and the other is not.
    HalfSuperseded,
    /// The hold lost it by age.
    Expired,
    /// The log's sources disagree on it.
    Contradicted,
}

impl Kind {
    /// All kinds in order.
    pub const ALL: [Self; 10] = [
        Self::Lost,
        Self::Moved,
        Self::Regressed,
        Self::Undeleted,
        Self::Collided,
        Self::InDoubt,
        Self::Orphaned,
        Self::HalfSuperseded,
        Self::Expired,
        Self::Contradicted,
    ];
    /// The kinds that are about one row, as `scan --json` counts them by entity.
    pub const ROW: [Self; 6] = [
        Self::Lost,
        Self::Moved,
        Self::Regressed,
        Self::Undeleted,
        Self::Collided,
        Self::Contradicted,
    ];
    /// The kinds that are about an order.
    pub const ORDER: [Self; 4] = [Self::InDoubt, Self::Orphaned, Self::HalfSuperseded, Self::Expired];

    /// The word in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Moved => "moved",
            Self::Regressed => "regressed",
            Self::Undeleted => "undeleted",
            Self::Collided => "collided",
            Self::InDoubt => "in_doubt",
            Self::Orphaned => "orphaned",
            Self::HalfSuperseded => "half_superseded",
            Self::Expired => "expired",
            Self::Contradicted => "contradicted",
        }
    }

    /// The word on screens.
    pub const fn words(self) -> &'static str {
        match self {
            Self::InDoubt => "in doubt",
            Self::HalfSuperseded => "half superseded",
            other => other.name(),
        }
    }

    /// The kind of this word.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }

    /// `regressed`, `in_doubt` and `contradicted` are shown together as *unknown state*.
    pub const fn is_unknown_state(self) -> bool {
        matches!(self, Self::Regressed | Self::InDoubt | Self::Contradicted)
    }
}

/// The log event behind a statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// Name of the `[[log]]`.
    pub source: String,
    /// The source's own position, or file and line.
    pub position: String,
    /// RFC 3339, UTC; null where the event does not say.
    pub ts: Option<String>,
}

/// A compared field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldDiff {
    /// The column.
    pub name: String,
    /// As restored; small numbers and booleans as JSON, every other type as its text.
    pub restored: Json,
    /// As the log says, in the same form.
    pub log: Json,
    /// Index into the finding's evidence.
    pub by: usize,
    /// As it stood at the opening, where it has moved since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Json>,
    /// The log's value rests on the bad change: without it this field would not differ.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

/// A row in a state, for `in_doubt`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowState {
    /// The row's entity.
    pub entity: String,
    /// Its key.
    pub key: String,
    /// The state it was in.
    pub state: String,
}

/// A row that something refers to and that is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Missing {
    /// The entity referred to.
    pub entity: String,
    /// The column referred to, where it is not the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The value referred to.
    pub key: String,
}

/// One fact about one row (or, for the order kinds, about one order).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The row's entity.
    pub entity: String,
    /// The row's key.
    pub key: String,
    /// What holds.
    pub kind: Kind,
    /// Folding without the bad change would not give it.
    pub undone: bool,
    /// The row moved after the opening: traffic, not damage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub since_opening: bool,
    /// Whether the row was there at the opening, where it moved since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there_at_opening: Option<bool>,
    /// The differing fields of a regressed or collided row.
    pub fields: Vec<FieldDiff>,
    /// The events behind it.
    pub evidence: Vec<Evidence>,
    /// The rows in progress, for `in_doubt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowState>,
    /// The key under which a `moved` row is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
    /// The key of the other order, for `half_superseded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
}

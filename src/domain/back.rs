//! What came back with the restore, or is left behind by it, besides orders.

use serde::{Deserialize, Serialize};

/// One thing, with its cure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameBack {
    /// `undeleted`, `system`, `sequence`, `prepared`, `slot`, `setting`, `user`, `host`, `table`.
    pub kind: String,
    /// What it is, and why it matters.
    pub what: String,
    /// What to do about it.
    pub cure: String,
}

impl CameBack {
    /// One thing of this kind.
    pub fn new(kind: &str, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            what: what.into(),
            cure: cure.into(),
        }
    }
}

//! The case that is open, or shown beside the list.

use crate::domain::case::Verb;
use crate::domain::queue::CaseFile;

/// Whether an act can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Undo restores what was.
    Reversible,
    /// Another act makes up for it.
    Compensable,
    /// Nothing takes it back.
    OneWay,
}

impl Way {
    /// The word on the screen.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reversible => "reversible",
            Self::Compensable => "compensable",
            Self::OneWay => "one-way",
        }
    }
}

/// One verb as it stands for one case: what it would do, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The verb.
    pub verb: Verb,
    /// What it will do, in words.
    pub what: String,
    /// Why it may not be chosen now.
    pub refused: Option<String>,
    /// Whether it can be taken back.
    pub way: Way,
    /// What takes it back, or makes up for it.
    pub back: Option<String>,
    /// Exactly what will happen, line by line.
    pub steps: Vec<String>,
    /// The evidence that closes the to-do it makes; `None` where it makes none.
    pub wanted: Option<String>,
    /// What must be asked before; the answer goes with it as evidence.
    pub asks: Option<String>,
    /// Other cases that it decides: ids.
    pub also: Vec<String>,
    /// What tells the cases as they are shown from any others, where it has an effect.
    pub seen: Option<String>,
}

/// A case with what may be done about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Everything the ledger has on it.
    pub file: CaseFile,
    /// One for each verb, in the order of the menu.
    pub choices: Vec<Choice>,
    /// When it was read, microseconds since 1970.
    pub read_at: i64,
}

/// How much of the case is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// Of rows that differ, the fields that differ.
    #[default]
    Differences,
    /// Every field of every row.
    Fields,
    /// Every field, long values in full.
    Full,
}

impl Detail {
    /// The next in the round.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Differences => Self::Fields,
            Self::Fields => Self::Full,
            Self::Full => Self::Differences,
        }
    }

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Differences => "fields that differ",
            Self::Fields => "all fields",
            Self::Full => "all fields in full",
        }
    }
}

/// So long a field stays unmasked, microseconds.
pub const UNMASKED_FOR: i64 = 60_000_000;

/// A masked column that is shown for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmasked {
    /// In this case only.
    pub case: String,
    /// The entity.
    pub entity: String,
    /// Its column.
    pub column: String,
    /// Microseconds since 1970 at which it is masked again.
    pub until: i64,
}

/// The case pane.
#[derive(Debug, Default)]
pub struct CasePane {
    /// The case wanted.
    pub id: Option<String>,
    /// The number of the reading under way, or of the last.
    pub reading: u64,
    /// The case as last read; may be another one while the wanted one is being read.
    pub loaded: Option<Box<Loaded>>,
    /// The ledger has no such case.
    pub missing: bool,
    /// The first line on the screen.
    pub top: usize,
    /// How much is shown.
    pub detail: Detail,
    /// The events instead of the rows.
    pub events: bool,
    /// Only rows with findings.
    pub only_found: bool,
    /// What somebody has just unmasked.
    pub unmasked: Option<Unmasked>,
}

impl CasePane {
    /// The wanted case, once read.
    pub fn current(&self) -> Option<&Loaded> {
        let loaded = self.loaded.as_deref()?;
        (self.id.as_deref() == Some(&loaded.file.found.id)).then_some(loaded)
    }
}

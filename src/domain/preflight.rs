//! Before a restore: may it work? Line by line.

use serde::{Deserialize, Serialize};

/// How a line of the pre-flight stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As it must be.
    Good,
    /// Nothing that stops the restore: to know, or to do afterwards.
    Note,
    /// What would show it cannot be read.
    CannotTell,
    /// The restore fails, or gives something else than the site expects.
    Bad,
}

impl Mark {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Good => "green",
            Self::Note => "note",
            Self::CannotTell => "cannot tell",
            Self::Bad => "RED",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its name: `identity`, `window`, …
    pub check: String,
    /// How it stands.
    pub mark: Mark,
    /// What was found.
    pub what: String,
    /// What says so: the call that was made.
    pub evidence: String,
    /// What to do about it.
    pub cure: Option<String>,
}

impl Line {
    /// A line.
    pub fn new(check: impl Into<String>, mark: Mark, what: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            mark,
            what: what.into(),
            evidence: evidence.into(),
            cure: None,
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

/// All lines, as somebody asked for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// Of which attempt.
    pub attempt: u32,
    /// When, microseconds since 1970.
    pub at: i64,
    /// The lines, in the order in which one asks.
    pub lines: Vec<Line>,
}

impl Preflight {
    /// The worst of all lines; a note is as good as green.
    pub fn mark(&self) -> Mark {
        let worst = self.lines.iter().map(|line| line.mark).max();
        worst.filter(|mark| *mark > Mark::Note).unwrap_or(Mark::Good)
    }

    /// In one sentence: how it stands, and what made it so.
    pub fn words(&self) -> String {
        let count = |mark| self.lines.iter().filter(|line| line.mark == mark).count();
        let (good, notes) = (count(Mark::Good), count(Mark::Note));
        let mark = self.mark();
        match self.lines.iter().find(|line| line.mark == mark) {
            Some(line) if mark > Mark::Note => format!("{}: {}: {}", mark.words(), line.check, line.what),
            _ => format!("green: {good} of {} lines, {notes} notes", self.lines.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_green_unless_a_line_speaks_against_it() {
        let of = |marks: &[Mark]| Preflight {
            attempt: 1,
            at: 0,
            lines: marks.iter().map(|mark| Line::new("c", *mark, "w", "e")).collect(),
        };
        assert_eq!(of(&[]).mark(), Mark::Good);
        assert_eq!(of(&[Mark::Good, Mark::Note]).mark(), Mark::Good);
        assert_eq!(of(&[Mark::Note]).words(), "green: 0 of 1 lines, 1 notes");
        assert_eq!(of(&[Mark::Good, Mark::CannotTell]).mark(), Mark::CannotTell);
        assert_eq!(of(&[Mark::Bad, Mark::CannotTell]).words(), "RED: c: w");
    }
}

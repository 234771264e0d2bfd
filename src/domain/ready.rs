//! The stop before workers start: what will happen by itself when they do, and the cure beside each.

use serde::{Deserialize, Serialize};

/// How a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// It does harm when workers start now.
    Red,
    /// What would show it cannot be read.
    CannotTell,
    /// To be known, or to be done once they are up; it stops nobody.
    Note,
    /// As it should be.
    Green,
}

impl Stand {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Red => "RED",
            Self::CannotTell => "cannot tell",
            Self::Note => "note",
            Self::Green => "green",
        }
    }
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What it is about: `fires`, `system`, `sequence`, `hold`, `opening`, `old instance`, …
    pub about: String,
    /// How it stands.
    pub stand: Stand,
    /// What was found.
    pub what: String,
    /// What to do about it; empty where nothing needs doing.
    pub cure: String,
}

impl Line {
    /// A line with its cure.
    pub fn new(about: &str, stand: Stand, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            about: about.to_owned(),
            stand,
            what: what.into(),
            cure: cure.into(),
        }
    }

    /// A line that needs no cure.
    pub fn green(about: &str, what: impl Into<String>) -> Self {
        Self::new(about, Stand::Green, what, "")
    }
}

/// The list as it was last made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Microseconds since 1970.
    pub at: i64,
    /// The lines, the worst first.
    pub lines: Vec<Line>,
}

impl Ready {
    /// How many lines stand so.
    pub fn count(&self, stand: Stand) -> usize {
        self.lines.iter().filter(|l| l.stand == stand).count()
    }

    /// Nothing is red, and everything could be told.
    pub fn is_green(&self) -> bool {
        self.count(Stand::Red) + self.count(Stand::CannotTell) == 0
    }

    /// Whether these are the words of such a list.
    pub fn is_like(words: &str) -> bool {
        let part = |part: &str| {
            let (count, what) = part.split_once(' ').unwrap_or_default();
            count.parse::<usize>().is_ok() && ["red", "cannot be told", "green"].contains(&what)
        };
        !words.is_empty() && words.split(", ").all(part)
    }

    /// `2 red, 1 cannot be told, 9 green`.
    pub fn words(&self) -> String {
        let (red, unknown) = (self.count(Stand::Red), self.count(Stand::CannotTell));
        let parts = [
            (red, "red"),
            (unknown, "cannot be told"),
            (self.count(Stand::Green), "green"),
        ];
        let said: Vec<String> = parts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, w)| format!("{n} {w}"))
            .collect();
        said.join(", ")
    }
}

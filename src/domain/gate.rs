//! The gate: is it the right database, at the right point? Check by check.

use serde::{Deserialize, Serialize};

/// How a check went, and the gate as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// What was read shows that it is right.
    Green,
    /// What would show it cannot be read, or does not decide it.
    CannotTell,
    /// What was read proves that it is wrong.
    Red,
}

impl Light {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::CannotTell => "cannot tell",
            Self::Red => "RED",
        }
    }
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Is it the restored database, not the old instance?
    Database,
    /// Is it at the point that was asked for?
    Point,
    /// Both at once: a row that stands as the log has it after T is in the wrong database or at the wrong point.
    Both,
    /// What must hold besides: the server is out of recovery, and what the site asks.
    Besides,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name: `address`, `timeline`, …, `site: orders of the day`.
    pub check: String,
    /// What it is about.
    pub about: Question,
    /// How it went.
    pub light: Light,
    /// It found something that speaks against a green gate, without proving it wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubt: bool,
    /// What was read.
    pub what: String,
    /// What to do about it.
    pub cure: Option<String>,
}

impl Check {
    /// A check that went so.
    pub fn new(check: impl Into<String>, about: Question, light: Light, what: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            about,
            light,
            doubt: false,
            what: what.into(),
            cure: None,
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    /// The same, speaking against a green gate.
    #[must_use]
    pub const fn doubted(mut self) -> Self {
        self.doubt = true;
        self
    }
}

/// What a green gate does not mean.
pub const MEANS: &str = "green says that this is the restored database at the point asked for: its data is intact, and the \
                         world has moved on since; what that means for orders is what the scan finds";

/// The gate as somebody found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Of which attempt.
    pub attempt: u32,
    /// When, microseconds since 1970.
    pub at: i64,
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
}

impl Gate {
    /// Red where one check is. Green where the database and its point are each vouched for by at least one check, and
    /// no check speaks against it.
    pub fn light(&self) -> Light {
        if self.red().is_some() {
            return Light::Red;
        }
        let vouched = |question| {
            let about = |c: &&Check| c.about == question || c.about == Question::Both;
            self.checks.iter().filter(about).any(|c| c.light == Light::Green)
        };
        if vouched(Question::Database) && vouched(Question::Point) && !self.checks.iter().any(|c| c.doubt) {
            Light::Green
        } else {
            Light::CannotTell
        }
    }

    /// The first check that is red.
    pub fn red(&self) -> Option<&Check> {
        self.checks.iter().find(|c| c.light == Light::Red)
    }

    /// In one sentence: the light, and what made it so.
    pub fn words(&self) -> String {
        let count = |light| self.checks.iter().filter(|c| c.light == light).count();
        let (green, open) = (count(Light::Green), count(Light::CannotTell));
        let all = self.checks.len();
        match (self.light(), self.red()) {
            (_, Some(red)) => format!("RED: {}: {}", red.check, red.what),
            (Light::Green, _) => {
                let open = if open == 0 {
                    String::new()
                } else {
                    format!(", {open} cannot tell")
                };
                format!("green: {green} of {all} checks{open}; the data is intact, the world has moved on")
            }
            _ => {
                let doubt = self.checks.iter().find(|c| c.doubt);
                let why = doubt.map_or(String::new(), |c| format!("; {}: {}", c.check, c.what));
                format!("cannot tell: {green} of {all} checks green, none red{why}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(checks: &[(Question, Light)]) -> Gate {
        let checks = checks.iter().map(|(q, l)| Check::new("c", *q, *l, "w")).collect();
        Gate {
            attempt: 1,
            at: 0,
            checks,
        }
    }

    #[test]
    fn is_green_only_where_both_questions_are_vouched_for() {
        use Light::{CannotTell, Green, Red};
        use Question::{Besides, Both, Database, Point};
        assert_eq!(gate(&[]).light(), CannotTell);
        assert_eq!(gate(&[(Database, Green)]).light(), CannotTell);
        assert_eq!(
            gate(&[(Database, Green), (Point, Green), (Point, CannotTell)]).light(),
            Green
        );
        assert_eq!(gate(&[(Both, Green)]).light(), Green);
        assert_eq!(gate(&[(Both, Green), (Besides, CannotTell)]).light(), Green);
        assert_eq!(gate(&[(Both, Green), (Besides, Green)]).light(), Green);
        assert_eq!(gate(&[(Both, Green), (Database, Red)]).light(), Red);
        let mut doubted = gate(&[(Both, Green), (Point, CannotTell)]);
        doubted.checks[1].doubt = true;
        assert_eq!(doubted.light(), CannotTell);
        assert_eq!(doubted.words(), "cannot tell: 1 of 2 checks green, none red; c: w");
    }
}

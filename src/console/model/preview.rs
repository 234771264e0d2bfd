//! The preview in the Restore view: another restore point, looked at before it is taken.

use crate::domain::Error;
use crate::domain::progress::Stage;
use crate::scan::preview::Preview;
use std::sync::Arc;

/// How far the preview is.
#[derive(Debug, Clone, Default)]
pub enum State {
    /// Nobody asked for it.
    #[default]
    Never,
    /// The log is read.
    Running {
        /// Its stage.
        stage: Stage,
        /// So much of it is done.
        done: u64,
        /// Of so much; 0 where it is not known.
        total: u64,
    },
    /// It answers.
    Ready(Arc<Preview>),
    /// It could not be made.
    Failed(Error),
}

/// How far one key moves the cursor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    /// One second.
    #[default]
    Second,
    /// One minute.
    Minute,
    /// One bar of the histogram.
    Bar,
}

impl Step {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Second => Self::Minute,
            Self::Minute => Self::Bar,
            Self::Bar => Self::Second,
        }
    }

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Second => "a second",
            Self::Minute => "a minute",
            Self::Bar => "a bar",
        }
    }
}

/// The preview and its cursor.
#[derive(Debug, Clone, Default)]
pub struct PreviewPane {
    /// It is what the Restore view shows.
    pub shown: bool,
    /// How far it is.
    pub state: State,
    /// Where the cursor is, microseconds since 1970.
    pub at: Option<i64>,
    /// How far it moves.
    pub step: Step,
}

impl PreviewPane {
    /// The preview, once it answers.
    pub fn ready(&self) -> Option<&Preview> {
        match &self.state {
            State::Ready(preview) => Some(preview),
            _ => None,
        }
    }

    /// Moves the cursor; it stays within the log, and a second on either side of it.
    pub fn go(&mut self, to: i64) {
        if let Some((first, last)) = self.ready().and_then(Preview::span) {
            self.at = Some(to.clamp(first - 1_000_000, last + 1_000_000));
        }
    }
}

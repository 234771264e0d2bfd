//! What can go wrong on the way to the server, and what it means for what was asked.

use super::link::{Line, SILENCE};
use crate::domain::{Error, ErrorKind};
use std::time::Duration;

/// What a statement is for: how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// What a person waits for.
    Quick,
    /// Whole queues, trails and scans.
    Long,
    /// Whether anybody is there.
    Glance,
}

impl Doing {
    pub const fn limit(self) -> Duration {
        match self {
            Self::Quick => SILENCE,
            Self::Long => Duration::from_mins(15),
            Self::Glance => Duration::from_secs(8),
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection is lost: nobody knows whether it was done. Never "failed".
    Lost(String),
    /// Somebody else's deed is in the way; nothing was done.
    Busy(String, Option<Line>),
    /// The server does not let this person; nothing was done.
    Forbidden(String, Option<Line>),
    /// It failed; nothing was done.
    Failed(Error),
}

impl Trouble {
    pub fn of(error: &tokio_postgres::Error, client: Line) -> Self {
        let Some(said) = error.as_db_error() else {
            // A closed connection carries no SQLSTATE, and neither does a broken answer.
            return Self::Lost(chain(error));
        };
        let words = said.message().to_owned();
        let told = |error: Error| match said.hint() {
            Some(hint) if !hint.is_empty() => error.cure(hint),
            _ => error,
        };
        match said.code().code() {
            "RS001" => Self::Failed(told(Error::failed(words))),
            "RS002" => Self::Failed(told(Error::usage(words))),
            // Lock not available, deadlock, serialization.
            "55P03" | "40P01" | "40001" => Self::Busy(words, Some(client)),
            "42501" => Self::Forbidden(words, Some(client)),
            "25006" => Self::Failed(
                Error::failed("the ledger's server only reads: nothing can be written down")
                    .cure("`ledger.url` must name the writer, not a standby or reader endpoint"),
            ),
            "42883" | "42P01" | "42703" => Self::Failed(
                Error::failed(format!("the ledger is of another version than this restitch: {words}"))
                    .cure("run `restitch ledger create` with the newer restitch: it brings the ledger up to date"),
            ),
            "53100" => Self::Failed(
                Error::failed("the disk of the ledger's server is full; nothing was written")
                    .cure("make room there, then do it again: the ledger is as it was before"),
            ),
            "57014" => Self::Failed(
                Error::failed(
                    "the server ended the statement, as it took too long or a DBA ended it; nothing was written",
                )
                .cure("do it again; if it stays so, look what holds it up (pg_stat_activity)"),
            ),
            // The server or the connection goes away, or is not there yet.
            code if code.starts_with("57P") || code.starts_with("08") || code == "25P03" => Self::Lost(words),
            code => Self::Failed(
                Error::failed(format!("the ledger's server failed: {words} ({code})"))
                    .cure("look into the server's log; nothing was written"),
            ),
        }
    }

    /// For people, where it is not tried again.
    pub fn told(self, place: &str) -> Error {
        match self {
            Self::Failed(error) if error.place.is_some() => error,
            Self::Failed(error) => error.at(place),
            Self::Lost(why) => Error::new(ErrorKind::Lost, format!("the ledger's server does not answer: {why}"))
                .at(place)
                .cure("look whether the instance is available; restitch connects again by itself"),
            Self::Busy(why, _) => Error::failed(format!(
                "somebody else's deed is in the way: {why}; nothing was written"
            ))
            .at(place)
            .cure("do it again; if it stays so, look who holds the lock (pg_blocking_pids)"),
            Self::Forbidden(why, _) => Error::refused(format!("the ledger does not let you: {why}"))
                .at(place)
                .cure("a DBA makes your login a member of restitch_viewer, restitch_operator or restitch_lead"),
        }
    }
}

/// Nobody knows whether it was done, and the server stays away.
pub(super) fn unconfirmed(why: &str, place: &str) -> Error {
    Error::new(
        ErrorKind::Unconfirmed,
        format!("nobody knows whether it was done: the ledger's server went away meanwhile ({why})"),
    )
    .at(place)
    .cure("do the same again when the server is back, or look at the case: the same key is never done twice")
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

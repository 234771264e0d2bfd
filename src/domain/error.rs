//! The one error type: what went wrong, where, and what to do about it.

use std::fmt;

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command ends without success; decides its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something failed while running.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// A role, a claim or a guard forbids it.
    Refused,
    /// The audit chain is broken.
    BrokenChain,
    /// The outcome of an effect is not known.
    Unconfirmed,
    /// The ledger's server does not answer; nothing was done. It may answer later.
    Lost,
}

impl ErrorKind {
    /// The exit code that the contract gives this kind.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed | Self::Lost => 1,
            Self::Usage => 2,
            Self::Refused => 4,
            Self::BrokenChain => 5,
            Self::Unconfirmed => 6,
        }
    }
}

/// An error a tired person can act on: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Decides the exit code.
    pub kind: ErrorKind,
    /// What went wrong, one sentence without a full stop.
    pub what: String,
    /// File and line, table and column, host and port: where to look.
    pub place: Option<String>,
    /// What to do next.
    pub cure: Option<String>,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            place: None,
            cure: None,
        }
    }

    /// A failure while running (exit code 1).
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, what)
    }

    /// A mistake in the command line or configuration (exit code 2).
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, what)
    }

    /// Refused by role, claim or guard (exit code 4).
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, what)
    }

    /// The same error, saying where.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// The same error, saying what to do.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(place) = &self.place {
            write!(f, "\n  where: {place}")?;
        }
        if let Some(cure) = &self.cure {
            write!(f, "\n  do:    {cure}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Self::failed(e.to_string())
    }
}

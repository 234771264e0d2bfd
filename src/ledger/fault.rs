//! What can go wrong inside a transaction, and how it is told outside.

use crate::domain::{Error, ErrorKind};
use rusqlite::ErrorCode;

/// Inside this room: an error of the store, or one already told for people.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Json(serde_json::Error),
    Told(Error),
}

pub(super) type Res<T> = std::result::Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sql(e)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(e: serde_json::Error) -> Self {
        Self::Json(e)
    }
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        Self::Told(e)
    }
}

impl Fault {
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Told(e) if e.kind == ErrorKind::Refused)
    }

    /// For people; `path` is the ledger's file or server.
    pub fn told(self, path: &str) -> Error {
        let sql = match self {
            Self::Told(e) => return e,
            Self::Json(e) => {
                return Error::failed(format!("the ledger holds what restitch cannot read: {e}"))
                    .at(path)
                    .cure("was it edited by hand? `restitch audit verify` checks the trail");
            }
            Self::Sql(e) => e,
        };
        // SQLite's shared memory is a file too: where it cannot grow, the disk is full.
        let full = sql
            .sqlite_error()
            .is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        let code = if full {
            Some(ErrorCode::DiskFull)
        } else {
            sql.sqlite_error_code()
        };
        let (what, cure) = match code {
            Some(ErrorCode::DiskFull) => (
                "the disk is full; nothing was written",
                "make room, then do it again: the ledger is as it was before",
            ),
            Some(ErrorCode::ReadOnly) => (
                "the ledger cannot be written",
                "its file, folder or file system is read-only; move it (`ledger.url`) or use --readonly to look",
            ),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                "another restitch is writing to the ledger; nothing was written",
                "do it again; if it stays so, look who holds the file",
            ),
            Some(ErrorCode::NotADatabase) => ("this file is no ledger", "`ledger.url` names another kind of file"),
            Some(ErrorCode::DatabaseCorrupt) => (
                "the ledger's file is damaged",
                "put it aside and restore it from a copy; a new scan opens the cases again, decisions are in the copy only",
            ),
            Some(ErrorCode::CannotOpen) => (
                "the ledger cannot be opened",
                "its folder must exist and be writable: SQLite keeps two files beside it",
            ),
            Some(ErrorCode::SystemIoFailure) => (
                "the ledger's disk failed to read or write; nothing was written",
                "look at the system's log",
            ),
            _ => return Error::failed(format!("the ledger failed: {sql}")).at(path),
        };
        Error::failed(what).at(path).cure(cure)
    }
}

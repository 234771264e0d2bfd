//! What a database says of itself, and the shapes of all its tables.

use crate::domain::schema::ColumnIx;

/// What was read, or why it cannot be.
pub type Known<T> = Result<T, String>;

/// What a database says of itself; every part on its own, because each wants another privilege.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where it was asked for: `host:port/database`, or the file.
    pub place: String,
    /// `host:port` as the server sees itself.
    pub address: Known<String>,
    /// The database connected to.
    pub database: Known<String>,
    /// When the server started, microseconds since 1970.
    pub started: Known<i64>,
    /// Its timeline.
    pub timeline: Known<i64>,
    /// Whether it is still recovering, or a standby.
    pub in_recovery: Known<bool>,
    /// Commit time of the last transaction that a recovery replayed, microseconds since 1970.
    pub replayed: Known<i64>,
    /// Transactions that are prepared and wait for their second phase: name, owner, when prepared.
    pub prepared: Known<Vec<(String, String, i64)>>,
    /// Names of the replication slots.
    pub slots: Known<Vec<String>>,
    /// Server settings with their values; these are never shown.
    pub settings: Known<Vec<(String, String)>>,
    /// Roles with what they may do.
    pub roles: Known<Vec<(String, String)>>,
    /// Who may connect from where, a rule an element (`pg_hba.conf`).
    pub hosts: Known<Vec<String>>,
}

/// A row's key and a time that stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// Canonical key.
    pub key: String,
    /// Microseconds since 1970.
    pub at: i64,
}

/// Which rows to read with [`super::Restored::newest`].
#[derive(Debug, Clone, Copy)]
pub struct Newest {
    /// The column that holds the time.
    pub column: ColumnIx,
    /// At most so many rows, the newest first.
    pub limit: usize,
}

/// A table as the catalogue shows it, mapped or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// As `[schema.*] table` names it.
    pub name: String,
    /// Its columns, in order: name and declared type.
    pub columns: Vec<(String, String)>,
    /// The primary key's columns.
    pub key: Vec<String>,
    /// The columns of each other unique constraint or index.
    pub unique: Vec<Vec<String>>,
    /// Foreign keys of one column: the column, the table referred to, its column.
    pub refers: Vec<(String, String, String)>,
    /// Rows, as the server estimates them; `None` where it does not.
    pub rows: Option<u64>,
}

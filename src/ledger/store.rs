//! What the stores have in common. A reading is written once, over a [`Snapshot`]: both stores have the same tables, or
//! views of the same names. A deed is an [`Act`]: SQLite does it in Rust, inside a transaction of this process; PostgreSQL
//! in a function of its name, which checks role, claim and fence in the database itself.
//!
//! To add a deed: a struct that implements [`Act`] in the file of its topic, a method of
//! [`Ledger`](super::Ledger) that hands it to `act`, and the function in [`postgres`](super::postgres).

use super::audit::Deed;
use super::fault::{Fault, Res};
use super::sqlite::Tx;
use super::who::Role;
use crate::domain::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value of a statement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Int(i64),
    Text(&'a str),
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

/// A row of an answer; columns from 0. `None` is NULL.
pub(super) trait Row {
    fn get_int(&self, at: usize) -> Res<Option<i64>>;
    fn get_bool(&self, at: usize) -> Res<Option<bool>>;
    fn get_text(&self, at: usize) -> Res<Option<&str>>;
    fn get_blob(&self, at: usize) -> Res<Option<&[u8]>>;
}

impl dyn Row + '_ {
    pub fn int(&self, at: usize) -> Res<i64> {
        self.get_int(at)?.ok_or_else(|| null(at))
    }

    pub fn bool(&self, at: usize) -> Res<bool> {
        self.get_bool(at)?.ok_or_else(|| null(at))
    }

    pub fn text(&self, at: usize) -> Res<&str> {
        self.get_text(at)?.ok_or_else(|| null(at))
    }

    pub fn blob(&self, at: usize) -> Res<&[u8]> {
        self.get_blob(at)?.ok_or_else(|| null(at))
    }

    /// A text, as whatever is made of texts.
    pub fn own<T: for<'t> From<&'t str>>(&self, at: usize) -> Res<T> {
        Ok(T::from(self.text(at)?))
    }

    pub fn own_or_null(&self, at: usize) -> Res<Option<String>> {
        Ok(self.get_text(at)?.map(str::to_owned))
    }

    /// What a column holds as JSON text.
    pub fn json<T: DeserializeOwned>(&self, at: usize) -> Res<T> {
        Ok(serde_json::from_str(self.text(at)?)?)
    }
}

fn null(at: usize) -> Fault {
    Error::failed(format!(
        "the ledger holds nothing where something must be (column {at})"
    ))
    .cure("was it edited by hand? `restitch audit verify` checks the trail")
    .into()
}

/// The ledger at one moment. Statements name their values `?1`, `?2`, …
pub(super) trait Snapshot {
    /// The incident's number, 0 where the ledger does not know it yet.
    fn incident(&self) -> i64;

    /// The moment, by the clock that leases run on: microseconds since 1970.
    fn now(&self) -> i64;

    /// What whoever reads may do.
    fn role(&self) -> Role;

    /// Hands over row by row, however many, until `row` says `false`; other statements may run meanwhile.
    fn each(&self, sql: &str, values: &[Value<'_>], row: &mut dyn FnMut(&dyn Row) -> Res<bool>) -> Res<()>;

    /// As [`Snapshot::each`], of rows that are few.
    fn few(&self, sql: &str, values: &[Value<'_>], row: &mut dyn FnMut(&dyn Row) -> Res<()>) -> Res<()>;
}

impl dyn Snapshot + '_ {
    /// The first row, where there is one.
    pub fn one<T>(&self, sql: &str, values: &[Value<'_>], read: impl Fn(&dyn Row) -> Res<T>) -> Res<Option<T>> {
        Ok(self.all(sql, values, read)?.into_iter().next())
    }

    /// All rows, which are few.
    pub fn all<T>(&self, sql: &str, values: &[Value<'_>], read: impl Fn(&dyn Row) -> Res<T>) -> Res<Vec<T>> {
        let mut all = Vec::new();
        self.few(sql, values, &mut |row| {
            all.push(read(row)?);
            Ok(())
        })?;
        Ok(all)
    }
}

/// A deed as data: what a person, or a job for them, does to the ledger in one transaction, all of it or nothing, with
/// its line of the audit trail in it. A refusal is written down as well.
pub(super) trait Act: Serialize {
    /// What it comes to.
    type Answer: DeserializeOwned;

    /// The name of its function in a PostgreSQL ledger.
    const NAME: &'static str;

    /// Whether doing it twice would differ from doing it once: then PostgreSQL keeps the answer of each call under a key, and a
    /// call whose answer was lost is made again without harm.
    fn counts_once(&self) -> bool {
        true
    }

    /// What the audit trail says of it where it is refused: action, case, verb, key.
    fn deed(&self) -> Deed<'_>;

    /// Does it to a SQLite ledger.
    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<Self::Answer>;
}

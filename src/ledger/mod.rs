//! The ledger: cases, claims, decisions, the audit trail. A SQLite file of one person, shared by their consoles.
//!
//! Everything a person does is one transaction here, with its line of the audit trail in it; refusals are written down
//! as well. [`scan`] takes in what a scan found, [`rows`] reads the queue and the cases, [`claims`] and [`decide`] are
//! the deeds, [`audit`] the chain.
//!
//! | file | what it does |
//! | --- | --- |
//! | `body` | a found case, packed |
//! | `file`, `fault` | the file's rights; errors for people |
//! | `opening` | how the rows stood when an attempt was first scanned |
//! | `ignores` | columns that people ignore |
//! | `place` | where a case stands in the queue |
//! | `follow` | which findings are new after a decision |

mod audit;
mod body;
mod claims;
mod decide;
mod fault;
mod file;
mod follow;
mod ignores;
mod opening;
mod phases;
mod place;
mod rows;
mod scan;
pub mod who;

#[cfg(test)]
pub(crate) mod tests;

use crate::config::{Config, DbUrl, EffectConfig};
use crate::domain::schema::Schema;
use crate::domain::{Error, Result, time};
use audit::Deed;
pub use decide::new_key;
use fault::{Fault, Res};
pub use ignores::{to_paste, with_ignores};
pub use phases::Asker;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
pub use who::{Role, Who};

/// What each version adds to the one before: an older ledger is brought up to the newest when it is opened.
const VERSIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("schema_2.sql")];
/// An older restitch refuses a ledger of a newer version.
const VERSION: usize = VERSIONS.len();
/// Long enough for a scan of a million cases to finish writing.
const PATIENCE: Duration = Duration::from_mins(1);

/// The ledger of one incident, opened by one thread.
pub struct Ledger {
    db: Connection,
    path: String,
    name: String,
    attempt: u32,
    restored_to: Option<i64>,
    who: Who,
    role: Role,
    readonly: bool,
    schema: Schema,
    effects: BTreeMap<String, EffectConfig>,
    clock: Box<dyn Fn() -> i64 + Send>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({}, {}, {})", self.path, self.name, self.who.user)
    }
}

/// A transaction, and who does what when.
struct Tx<'a> {
    db: Transaction<'a>,
    incident: i64,
    name: &'a str,
    attempt: u32,
    restored_to: Option<i64>,
    who: &'a Who,
    role: Role,
    schema: &'a Schema,
    effects: &'a BTreeMap<String, EffectConfig>,
    now: i64,
}

impl Ledger {
    /// Opens the ledger of the configured incident as whoever runs this process, and makes it where there is none.
    ///
    /// Fails on a file of others, on one of a newer version, and when the ledger knows this attempt with another
    /// `restored_to`.
    pub fn open(config: &Config, readonly: bool) -> Result<Self> {
        Self::open_as(config, readonly, who::current())
    }

    /// As [`Ledger::open`], for somebody else: the demo's colleagues and the tests.
    pub fn open_as(config: &Config, readonly: bool, who: Who) -> Result<Self> {
        let DbUrl::Sqlite(path) = &config.ledger.database.url else {
            return Err(Error::usage("a PostgreSQL ledger is not available yet")
                .at("ledger.url")
                .cure("use `sqlite:FILE`"));
        };
        let shown = path.display().to_string();
        let db = connect(path, readonly).map_err(|e| e.told(&shown))?;
        let ledger = Self {
            db,
            path: shown,
            name: config.incident.id.clone(),
            attempt: config.incident.attempt,
            restored_to: config.incident.restored_to,
            role: Role::of(&who.system_user, config.roles.as_ref()),
            who,
            readonly,
            schema: config.schema.clone(),
            effects: config.effects.clone(),
            clock: Box::new(time::now),
        };
        ledger.read(|db, incident| check_attempt(db, incident, ledger.attempt, ledger.restored_to))?;
        Ok(ledger)
    }

    /// Who acts.
    pub const fn who(&self) -> &Who {
        &self.who
    }

    /// What they may do.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Takes leases and times from another clock (microseconds since 1970) than the system's.
    pub fn set_clock(&mut self, clock: impl Fn() -> i64 + Send + 'static) {
        self.clock = Box::new(clock);
    }

    /// A number that differs whenever anyone changed anything: consoles poll it.
    pub fn revision(&self) -> Result<i64> {
        // `data_version` moves with the commits of others, `total_changes` with our own.
        let others = self.db.query_row("PRAGMA data_version", [], |r| r.get::<_, i64>(0));
        let others = others.map_err(|e| Fault::from(e).told(&self.path))?;
        let own = i64::try_from(self.db.total_changes()).unwrap_or(i64::MAX);
        Ok((others << 32).wrapping_add(own))
    }

    /// The newest line of the audit trail, 0 where there is none: where it stays the same, no case changed, though leases
    /// may have been renewed and clocks read.
    pub fn newest_line(&self) -> Result<i64> {
        self.read(|db, incident| {
            let mut head = db.prepare_cached("SELECT seq FROM heads WHERE incident = ?1")?;
            Ok(head.query_row([incident], |r| r.get(0)).optional()?.unwrap_or(0))
        })
    }

    /// Reads in one snapshot; `incident` is 0 where the ledger does not know the incident yet.
    fn read<T>(&self, what: impl FnOnce(&Connection, i64) -> Res<T>) -> Result<T> {
        let run = || -> Res<T> {
            let snapshot = self.db.unchecked_transaction()?;
            let incident = snapshot
                .prepare_cached("SELECT no FROM incidents WHERE name = ?1")?
                .query_row([&self.name], |r| r.get(0))
                .optional()?;
            what(&snapshot, incident.unwrap_or(0))
        };
        run().map_err(|e| e.told(&self.path))
    }

    /// Does a deed in one transaction: all of it or nothing. A refusal is written into the audit trail under the
    /// deed's case, verb and key.
    fn deed<T>(&mut self, deed: Deed<'_>, what: impl FnOnce(&Tx<'_>) -> Res<T>) -> Result<T> {
        if self.readonly {
            return Err(
                Error::refused(format!("{}: this restitch only looks", deed.action)).cure("run it without --readonly")
            );
        }
        let done = self.begin().and_then(|tx| {
            let value = what(&tx)?;
            tx.db.commit()?;
            Ok(value)
        });
        done.map_err(|fault| {
            let refused = fault.is_refusal();
            let error = fault.told(&self.path);
            if refused {
                let why = format!("{}: {}", deed.action, error.what);
                let written = self.begin().and_then(|tx| {
                    tx.audit(Deed {
                        action: "refuse",
                        outcome: "refused",
                        why: Some(&why),
                        ..deed
                    })?;
                    Ok(tx.db.commit()?)
                });
                if let Err(lost) = written {
                    return lost.told(&self.path);
                }
            }
            error
        })
    }

    fn begin(&mut self) -> Res<Tx<'_>> {
        // IMMEDIATE: a transaction that reads first and writes later would fail instead of waiting its turn.
        let db = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let no = db
            .prepare_cached("SELECT no FROM incidents WHERE name = ?1")?
            .query_row([&self.name], |r| r.get(0))
            .optional()?;
        let incident = if let Some(no) = no {
            no
        } else {
            db.execute("INSERT INTO incidents (name) VALUES (?1)", [&self.name])?;
            db.last_insert_rowid()
        };
        Ok(Tx {
            db,
            incident,
            name: &self.name,
            attempt: self.attempt,
            restored_to: self.restored_to,
            who: &self.who,
            role: self.role,
            schema: &self.schema,
            effects: &self.effects,
            now: (self.clock)(),
        })
    }
}

impl Tx<'_> {
    /// Refuses who may only look.
    fn require_operator(&self) -> Res<()> {
        if self.role < Role::Operator {
            return Err(
                Error::refused(format!("{} is a viewer, who may look but not act", self.who.user))
                    .cure("`[roles]` in the configuration names operators and leads")
                    .into(),
            );
        }
        Ok(())
    }

    /// The number of a case of this incident.
    fn case_no(&self, id: &str) -> Res<i64> {
        rows::case_no(&self.db, self.incident, id)?.ok_or_else(|| {
            Error::usage(format!("there is no case {id:?} in incident {}", self.name))
                .cure("`restitch cases` lists them")
                .into()
        })
    }
}

fn connect(path: &Path, readonly: bool) -> Res<Connection> {
    let real = file::prepare(path, readonly)?;
    let mut db = open_file(&real, path, readonly)?;
    db.busy_timeout(PATIENCE)?;
    db.set_prepared_statement_cache_capacity(64);
    let shown = path.display().to_string();
    let found = version(&db, &shown)?;
    if found < VERSION {
        if readonly {
            let what = match found {
                0 => "there is no ledger yet: the file is empty".to_owned(),
                older => format!("the ledger has version {older}, this restitch writes version {VERSION}"),
            };
            return Err(Error::failed(what)
                .at(shown)
                .cure("run `restitch scan` without --readonly first: it brings the ledger up to date")
                .into());
        }
        raise(&mut db, &shown)?;
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "cache_size", -32_768)?;
    if readonly {
        db.pragma_update(None, "query_only", true)?;
    } else {
        file::tighten(&real)?;
        // The first scan of a large incident leaves a large write-ahead log behind.
        db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    }
    Ok(db)
}

/// Opens the file for deeds, or to look. SQLite keeps two files beside it; where those cannot be made, nobody can write,
/// and the file is read as it stands.
fn open_file(real: &Path, shown: &Path, readonly: bool) -> Res<Connection> {
    let common = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    if !file::is_sealed(real) {
        return Ok(Connection::open_with_flags(
            real,
            common | OpenFlags::SQLITE_OPEN_READ_WRITE,
        )?);
    }
    if !readonly {
        return Err(
            Error::failed("the ledger cannot be written: its folder or file system is read-only")
                .at(shown.display().to_string())
                .cure("move it to where you may write (`ledger.url`); to look needs no writing")
                .into(),
        );
    }
    if file::has_changes_beside(real) {
        return Err(Error::failed(
            "the ledger's last changes stand in the -wal file beside it, which cannot be read in a read-only folder",
        )
        .at(shown.display().to_string())
        .cure("copy the file and those beside it to where you may write, and name the copy in `ledger.url`")
        .into());
    }
    let name: String = real
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|b| match b {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(*b).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let flags = common | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Ok(Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?)
}

/// The version of the ledger in this file, 0 where it is new.
fn version(db: &Connection, shown: &str) -> Res<usize> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > VERSION {
        return Err(Error::failed(format!(
            "the ledger has version {version}, this restitch knows versions up to {VERSION}"
        ))
        .at(shown)
        .cure("use the newer restitch that wrote it, or another file (`ledger.url`)")
        .into());
    }
    if version == 0 {
        let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
        if tables > 0 {
            return Err(Error::failed("this SQLite file belongs to another program")
                .at(shown)
                .cure("set `ledger.url` to a file of its own")
                .into());
        }
    }
    Ok(version)
}

/// Makes the ledger, or brings an older one up to this version.
fn raise(db: &mut Connection, shown: &str) -> Res<()> {
    // Journal modes cannot change inside a transaction.
    db.pragma_update(None, "journal_mode", "WAL")?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another restitch may have done it while we waited.
    for sql in VERSIONS.iter().skip(version(&tx, shown)?) {
        tx.execute_batch(sql)?;
    }
    tx.pragma_update(None, "user_version", i64::try_from(VERSION).unwrap_or(i64::MAX))?;
    Ok(tx.commit()?)
}

/// The same attempt with another restore point is another restore: its cases must not be mixed up with these.
fn check_attempt(db: &Connection, incident: i64, attempt: u32, restored_to: Option<i64>) -> Res<()> {
    let known: Option<Option<i64>> = db
        .query_row(
            "SELECT restored_to FROM attempts WHERE incident = ?1 AND attempt = ?2",
            (incident, attempt),
            |r| r.get(0),
        )
        .optional()?;
    match (known.flatten(), restored_to) {
        (Some(known), Some(asked)) if known != asked => Err(Error::refused(format!(
            "attempt {attempt} was restored to {}, the configuration says {}",
            time::format(known),
            time::format(asked)
        ))
        .at("incident.restored_to")
        .cure(format!(
            "a second restore of the incident is a new attempt: set `incident.attempt = {}`; else put the time right",
            attempt + 1
        ))
        .into()),
        _ => Ok(()),
    }
}

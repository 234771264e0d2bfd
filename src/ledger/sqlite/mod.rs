//! The ledger as a SQLite file of one person, shared by their consoles.

mod file;

use super::audit::Deed;
use super::fault::{Fault, Res};
use super::rows;
use super::store::{Act, Row, Snapshot, Value};
use super::{Here, Role, check_attempt};
use crate::domain::{Error, Result, time};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, Transaction, TransactionBehavior, params_from_iter};
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

/// What each version adds to the one before: an older ledger is brought up to the newest when it is opened.
const VERSIONS: [&str; 3] = [
    include_str!("../schema.sql"),
    include_str!("../schema_2.sql"),
    include_str!("../schema_3.sql"),
];
/// An older restitch refuses a ledger of a newer version.
const VERSION: usize = VERSIONS.len();
/// Long enough for a scan of a million cases to finish writing.
const PATIENCE: Duration = Duration::from_mins(1);

/// An open file.
pub(super) struct Sqlite {
    pub db: Connection,
    pub path: String,
    pub clock: Box<dyn Fn() -> i64 + Send>,
}

/// A transaction, and who does what when.
pub(super) struct Tx<'a> {
    pub db: Transaction<'a>,
    pub incident: i64,
    pub here: &'a Here,
    pub now: i64,
}

impl Deref for Tx<'_> {
    type Target = Here;

    fn deref(&self) -> &Here {
        self.here
    }
}

/// The file at one moment.
pub(super) struct Moment<'a> {
    pub db: &'a Connection,
    pub incident: i64,
    pub now: i64,
    pub role: Role,
}

impl Sqlite {
    pub fn open(path: &Path, readonly: bool) -> Result<Self> {
        let shown = path.display().to_string();
        let db = connect(path, readonly).map_err(|e| e.told(&shown))?;
        Ok(Self {
            db,
            path: shown,
            clock: Box::new(time::now),
        })
    }

    /// A number that differs whenever anyone changed anything.
    pub fn revision(&self) -> Res<i64> {
        // `data_version` moves with the commits of others, `total_changes` with our own.
        let others: i64 = self.db.query_row("PRAGMA data_version", [], |r| r.get(0))?;
        let own = i64::try_from(self.db.total_changes()).unwrap_or(i64::MAX);
        Ok((others << 32).wrapping_add(own))
    }

    /// Reads in one snapshot.
    pub fn read<T>(&self, here: &Here, what: impl FnOnce(&dyn Snapshot) -> Res<T>) -> Res<T> {
        let snapshot = self.db.unchecked_transaction()?;
        let incident = snapshot
            .prepare_cached("SELECT no FROM incidents WHERE name = ?1")?
            .query_row([&here.name], |r| r.get(0))
            .optional()?;
        what(&Moment {
            db: &snapshot,
            incident: incident.unwrap_or(0),
            now: (self.clock)(),
            role: here.role,
        })
    }

    /// Does an act in one transaction; a refusal is written down in another.
    pub fn act<A: Act>(&mut self, here: &Here, act: &A) -> Res<A::Answer> {
        let deed = act.deed();
        self.transact(here, deed, |tx| act.on_sqlite(tx))
    }

    pub fn transact<T>(&mut self, here: &Here, deed: Deed<'_>, what: impl FnOnce(&Tx<'_>) -> Res<T>) -> Res<T> {
        let done = self.begin(here).and_then(|tx| {
            let value = what(&tx)?;
            tx.db.commit()?;
            Ok(value)
        });
        if let Err(Fault::Told(error)) = &done
            && done.as_ref().is_err_and(Fault::is_refusal)
        {
            self.write_refusal(here, deed, error)?;
        }
        done
    }

    /// Writes down that somebody was refused.
    pub fn write_refusal(&mut self, here: &Here, deed: Deed<'_>, error: &Error) -> Res<()> {
        let why = format!("{}: {}", deed.action, error.what);
        let tx = self.begin(here)?;
        tx.audit(Deed {
            action: "refuse",
            outcome: "refused",
            why: Some(&why),
            ..deed
        })?;
        Ok(tx.db.commit()?)
    }

    fn begin<'a>(&'a mut self, here: &'a Here) -> Res<Tx<'a>> {
        // IMMEDIATE: a transaction that reads first and writes later would fail instead of waiting its turn.
        let db = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let no = db
            .prepare_cached("SELECT no FROM incidents WHERE name = ?1")?
            .query_row([&here.name], |r| r.get(0))
            .optional()?;
        let incident = if let Some(no) = no {
            no
        } else {
            db.execute("INSERT INTO incidents (name) VALUES (?1)", [&here.name])?;
            db.last_insert_rowid()
        };
        Ok(Tx {
            db,
            incident,
            here,
            now: (self.clock)(),
        })
    }
}

impl Tx<'_> {
    /// Refuses who may only look.
    pub fn require_operator(&self) -> Res<()> {
        self.here.require_operator(self.role)
    }

    /// Refuses who is no lead.
    pub fn require_lead(&self, what: &str) -> Res<()> {
        if self.role < Role::Lead {
            return Err(
                Error::refused(format!("{} is no lead, and it takes one {what}", self.who.user))
                    .cure("`[roles]` in the configuration names the leads")
                    .into(),
            );
        }
        Ok(())
    }

    /// The number of a case of this incident.
    pub fn case_no(&self, id: &str) -> Res<i64> {
        rows::known_case_no(self, self.here, id)
    }

    /// The same attempt with another restore point is another restore.
    pub fn check_attempt(&self) -> Res<()> {
        check_attempt(self, self.here)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Int(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

impl Row for rusqlite::Row<'_> {
    fn get_int(&self, at: usize) -> Res<Option<i64>> {
        Ok(self.get(at)?)
    }

    fn get_bool(&self, at: usize) -> Res<Option<bool>> {
        Ok(self.get(at)?)
    }

    fn get_text(&self, at: usize) -> Res<Option<&str>> {
        Ok(self.get_ref(at)?.as_str_or_null().map_err(rusqlite::Error::from)?)
    }

    fn get_blob(&self, at: usize) -> Res<Option<&[u8]>> {
        Ok(self.get_ref(at)?.as_blob_or_null().map_err(rusqlite::Error::from)?)
    }
}

fn each(db: &Connection, sql: &str, values: &[Value<'_>], row: &mut dyn FnMut(&dyn Row) -> Res<bool>) -> Res<()> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(next) = rows.next()? {
        if !row(next)? {
            break;
        }
    }
    Ok(())
}

/// Both read the same way: SQLite hands over one row at a time anyway.
macro_rules! reads {
    () => {
        fn each(&self, sql: &str, values: &[Value<'_>], row: &mut dyn FnMut(&dyn Row) -> Res<bool>) -> Res<()> {
            each(&self.db, sql, values, row)
        }

        fn few(&self, sql: &str, values: &[Value<'_>], row: &mut dyn FnMut(&dyn Row) -> Res<()>) -> Res<()> {
            each(&self.db, sql, values, &mut |r| row(r).map(|()| true))
        }
    };
}

impl Snapshot for Moment<'_> {
    fn incident(&self) -> i64 {
        self.incident
    }

    fn now(&self) -> i64 {
        self.now
    }

    fn role(&self) -> Role {
        self.role
    }

    reads!();
}

impl Snapshot for Tx<'_> {
    fn incident(&self) -> i64 {
        self.incident
    }

    fn now(&self) -> i64 {
        self.now
    }

    fn role(&self) -> Role {
        self.here.role
    }

    reads!();
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

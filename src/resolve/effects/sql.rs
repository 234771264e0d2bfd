//! `sql` on a restored database in PostgreSQL: one transaction, each row conditional on how it was shown.
//!
//! Where the ledger stands in that very database and this login may use it, the effect begins and ends in the ledger in the
//! same transaction: rows and decision are there together or not at all. Elsewhere the decision's key is left in a table of
//! the target, so that whoever lost the answer can ask again by doing the same again.

mod target;

use super::plan::Write;
use super::{End, before, digest, written};
use crate::config::Database;
use crate::domain::schema::Schema;
use crate::domain::{Error, Result};
use crate::ledger::{Beside, Pending, Place};
use crate::restored::pg::{self, Connection, Session};
use std::time::Duration;
use target::{Marked, Target};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// Pauses before each further try after an answer was lost: half a minute altogether.
const PAUSES: [u64; 5] = [1, 2, 4, 8, 15];

/// The one session that may write; it is opened for an effect and closed after it.
const SESSION: Session<'static> = Session {
    purpose: "effect",
    read_only: false,
    statement_timeout: Duration::from_mins(1),
    idle_timeout: Duration::from_secs(15),
};

/// How far a try came before it failed.
enum Stopped {
    /// The ledger stands in another database, or this is another login.
    Elsewhere,
    /// Before the key was written: of an earlier try nothing is known.
    Early(Error),
    /// After: the whole of it was rolled back, and no earlier try can have been written either, for the key was free.
    RolledBack(Error),
    /// The end was asked for and the answer was lost.
    Lost(String),
}

/// Which database this is, and as whom; `None` where it does not say. Who writes meets the same error, and tells it.
pub async fn whereabouts(database: &Database) -> Option<Place> {
    let pg = pg::connect(database, SESSION).await.ok()?;
    Place::of(&pg.client).await.ok()
}

/// Writes the rows, together with what the ledger says of them where it stands `beside` them. Where the answer is lost the
/// same is done again: the key, or the ledger itself, says whether it was done. `None` where the ledger stands elsewhere.
pub async fn run(
    database: &Database,
    schema: &Schema,
    writes: &[Write],
    effect: &Pending,
    beside: Option<&Beside>,
) -> Option<End> {
    let mut lost = None;
    let mut pauses = PAUSES.into_iter();
    loop {
        let tried = match beside {
            Some(ledger) => attempt_beside(database, schema, writes, effect, ledger).await,
            None => attempt(database, schema, writes, effect).await,
        };
        let error = match tried {
            Ok(words) => return Some(End::Done(words)),
            Err(Stopped::RolledBack(error)) => return Some(End::Failed(error)),
            Err(Stopped::Elsewhere) if lost.is_none() => return None,
            Err(Stopped::Elsewhere) => "this is not the database of the ledger any more".to_owned(),
            Err(Stopped::Early(error)) if lost.is_none() => return Some(before(effect, error)),
            Err(Stopped::Early(error)) => error.what,
            Err(Stopped::Lost(why)) => why,
        };
        lost = Some(error);
        match pauses.next() {
            // The server may be restarting: that takes its time, and there is nothing to wait for but that.
            Some(pause) => tokio::time::sleep(Duration::from_secs(pause)).await,
            None => return Some(End::Unknown(lost.unwrap_or_default())),
        }
    }
}

/// Whether the server takes writes of this login, as far as can be told without writing, and has the table for keys.
pub async fn ready(database: &Database, schema: &Schema) -> Result<()> {
    let pg = pg::connect(database, SESSION).await?;
    let target = Target::read(&pg, schema).await?;
    let failed = |e: tokio_postgres::Error| failed(&pg, &e);
    let marker = target.marker()?;
    let sql = "select has_table_privilege($1, 'insert') and has_table_privilege($1, 'select'), pg_is_in_recovery()";
    let row = pg
        .client
        .query_typed_one(sql, &[(&marker, Type::TEXT)])
        .await
        .map_err(failed)?;
    if row.try_get(1).map_err(failed)? {
        return Err(
            Error::failed("this server takes no writes: it is a standby, or still recovering").at(pg.place.clone()),
        );
    }
    if !row.try_get::<_, bool>(0).map_err(failed)? {
        return Err(Error::failed(format!("this user may not write into {marker}"))
            .at(pg.place.clone())
            .cure(format!("a DBA runs: GRANT SELECT, INSERT ON {marker} TO this user")));
    }
    Ok(())
}

// Nobody may lose what was acknowledged, whatever the server's default is.
const BEGIN: &str = "begin isolation level read committed read write; set local synchronous_commit = on; \
                     set constraints all deferred";

async fn attempt(database: &Database, schema: &Schema, writes: &[Write], effect: &Pending) -> Result<String, Stopped> {
    let pg = pg::connect(database, SESSION).await.map_err(Stopped::Early)?;
    let target = Target::read(&pg, schema).await.map_err(Stopped::Early)?;
    let early = |e: tokio_postgres::Error| Stopped::Early(failed(&pg, &e));
    pg.client.batch_execute(BEGIN).await.map_err(early)?;
    match target.mark(effect, &digest(writes)).await.map_err(Stopped::Early)? {
        Marked::New => {}
        Marked::Before => return Ok("it was done before: its key is there".to_owned()),
        Marked::Other => {
            return Err(Stopped::RolledBack(Error::refused(
                "its key was used for something else",
            )));
        }
    }
    for write in writes {
        target.write(write).await.map_err(Stopped::RolledBack)?;
    }
    commit(&pg).await?;
    Ok(written(writes))
}

/// As [`attempt`], in the database of the ledger: it says whether the effect was done, and no key is left.
async fn attempt_beside(
    database: &Database,
    schema: &Schema,
    writes: &[Write],
    effect: &Pending,
    ledger: &Beside,
) -> Result<String, Stopped> {
    let pg = pg::connect(database, SESSION).await.map_err(Stopped::Early)?;
    let early = |e: tokio_postgres::Error| Stopped::Early(failed(&pg, &e));
    if !ledger.is(&Place::of(&pg.client).await.map_err(early)?) {
        return Err(Stopped::Elsewhere);
    }
    let target = Target::read(&pg, schema).await.map_err(Stopped::Early)?;
    pg.client.batch_execute(BEGIN).await.map_err(early)?;
    // Whoever else carries it out waits here, and finds it done.
    match ledger.lock(&pg.client, &effect.key).await.map_err(early)?.as_deref() {
        Some("queued") => {}
        Some("done") => return Ok("it was done before: the ledger says so".to_owned()),
        other => {
            let now = other.unwrap_or("gone");
            return Err(Stopped::RolledBack(Error::refused(format!(
                "nothing was written: the effect is {now} now"
            ))));
        }
    }
    for write in writes {
        target.write(write).await.map_err(Stopped::RolledBack)?;
    }
    // Last, since the head of the trail is locked from here on.
    match ledger.note(&pg.client).await {
        Ok(noted) => noted.map_err(Stopped::RolledBack)?,
        // Somebody is in the middle of a deed on these cases; or the answer was lost, with everything that was written.
        Err(e) if is_busy(&e) || e.code().is_none() => return Err(Stopped::Lost(failed(&pg, &e).what)),
        Err(e) => return Err(Stopped::RolledBack(failed(&pg, &e))),
    }
    commit(&pg).await?;
    Ok(written(writes))
}

fn is_busy(e: &tokio_postgres::Error) -> bool {
    e.code()
        .is_some_and(|code| [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code))
}

async fn commit(pg: &Connection) -> Result<(), Stopped> {
    // What was swallowed by anything in between ends the transaction, and a `commit` would then roll back without a word.
    let alive = pg.client.query_typed("select txid_current_if_assigned()", &[]).await;
    alive.map_err(|e| Stopped::RolledBack(failed(pg, &e)))?;
    match pg.client.batch_execute("commit").await {
        Ok(()) => Ok(()),
        Err(e) if e.code().is_some() => Err(Stopped::RolledBack(failed(pg, &e))),
        Err(_) => Err(Stopped::Lost(
            "the connection was lost before the server said whether it was written".to_owned(),
        )),
    }
}

/// An error of a statement: the transaction is gone with it. Details may carry values of masked columns: left out.
fn failed(pg: &Connection, e: &tokio_postgres::Error) -> Error {
    let Some(db) = e.as_db_error() else {
        let why = if e.is_closed() {
            "the server closed the connection".to_owned()
        } else {
            e.to_string()
        };
        return Error::failed(format!("nothing was written: {why}"))
            .at(pg.place.clone())
            .cure("decide it again when the server is back");
    };
    let cure = match *db.code() {
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "a DBA must grant this user what it writes (INSERT, UPDATE, DELETE, SELECT), and INSERT and SELECT on \
             restitch_decisions; or `[effects] url` names another user"
        }
        SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => {
            "another session holds the row: look at it, then decide again"
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => "this server takes no writes: it is a standby, or still recovering",
        SqlState::UNIQUE_VIOLATION => "scan again, and look at the case again: another row has it",
        _ => "scan again, and look at the case again",
    };
    Error::failed(format!("nothing was written: {}", db.message()))
        .at(pg.place.clone())
        .cure(cure)
}

//! What a decision does beyond the ledger: rows written, a message sent, a request made.
//!
//! [`plan`] says what will be done, exactly, before anything is; it is pure. [`carry_out`] does it, between two lines in the
//! ledger: `unconfirmed` before the effect starts, what came of it afterwards. Who dies in between leaves `unconfirmed`,
//! and whoever comes next settles it: `sql` and `kafka` by doing the same again under the same key, `http` never, for
//! nobody can tell whether the receiver would do it twice: there the proof reads back what happened.

mod http;
mod kafka;
pub mod plan;
mod sql;
mod sqlite;

use crate::config::{Config, Database, DbUrl, Effect, secrets};
use crate::domain::queue::Course;
use crate::domain::schema::Schema;
use crate::domain::{Error, ErrorKind, Result};
use crate::job;
use crate::ledger::{Ledger, Pending, Role};
use plan::{Plan, Write};
use std::time::Duration;

/// Longer than any effect takes: whoever is at it still after that is dead.
const LEASE: Duration = Duration::from_secs(15);
/// As [`LEASE`], for a request that may be tried again and told to wait.
const LONG_LEASE: Duration = Duration::from_mins(6);

/// What became of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It was done.
    Done(String),
    /// It was surely not done.
    Failed(Error),
    /// Nobody knows.
    Unknown(String),
}

/// An effect that was carried out, or tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Its cases.
    pub cases: Vec<String>,
    /// `sql`, `kafka` or `http`.
    pub does: &'static str,
    /// It took a decision back.
    pub undoes: bool,
    /// `Done`, `Failed` or `Unknown`.
    pub state: Course,
    /// What came of it.
    pub words: String,
    /// Why it failed.
    pub error: Option<Error>,
}

/// Carries out the effects that are due, all of them or those of these cases, and settles those whose answers were lost.
pub fn carry_out(config: &Config, ledger: &mut Ledger, cases: Option<&[String]>) -> Result<Vec<Carried>> {
    let mut all = Vec::new();
    if ledger.is_readonly() || ledger.role() < Role::Operator {
        return Ok(all);
    }
    for effect in ledger.pending_effects()? {
        if cases.is_some_and(|ids| !effect.cases.iter().any(|id| ids.contains(id))) {
            continue;
        }
        let lease = match effect.plan {
            Plan::Http { .. } => LONG_LEASE,
            _ => LEASE,
        };
        if !ledger.start_effect(&effect.key, lease)? {
            continue;
        }
        let (state, words, error) = match run(config, &effect) {
            End::Done(words) => (Course::Done, words, None),
            End::Failed(error) => (Course::Failed, error.what.clone(), Some(error)),
            End::Unknown(words) => (Course::Unknown, words, None),
        };
        let does = effect.plan.name();
        let words = format!("{does}: {words}");
        ledger.end_effect(&effect.key, state, &words).map_err(|e| {
            Error::new(
                ErrorKind::Unconfirmed,
                format!("{words}; but the ledger could not be told: {}", e.what),
            )
            .cure("`restitch prove` settles it once the ledger is back")
        })?;
        all.push(Carried {
            undoes: effect.undoes(),
            cases: effect.cases,
            does,
            state,
            words,
            error,
        });
    }
    Ok(all)
}

fn run(config: &Config, effect: &Pending) -> End {
    let runtime = match job::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return before(effect, error),
    };
    runtime.block_on(async {
        match &effect.plan {
            Plan::Sql { writes } => match target(config) {
                Ok(database) => match &database.url {
                    DbUrl::Sqlite(path) => sqlite::run(path, &schema_of(config, writes), writes, effect).await,
                    DbUrl::Postgres { .. } => sql::run(&database, &schema_of(config, writes), writes, effect).await,
                },
                Err(error) => before(effect, error),
            },
            Plan::Kafka { topic, key, payload } => match config.effects.of(effect.verb) {
                Effect::Kafka(to) => kafka::run(&to.cluster, topic, key, payload, effect).await,
                other => before(effect, not_any_more(effect, other)),
            },
            Plan::Http { url, payload } => match config.effects.of(effect.verb) {
                Effect::Http(to) => http::run(to, url, payload, effect).await,
                other => before(effect, not_any_more(effect, other)),
            },
        }
    })
}

/// An error before anything was tried: of a first try, nothing happened; of a later one, nobody knows still.
fn before(effect: &Pending, error: Error) -> End {
    if effect.state == Course::Queued {
        End::Failed(error)
    } else {
        End::Unknown(error.what)
    }
}

fn not_any_more(effect: &Pending, now: &Effect) -> Error {
    Error::usage(format!(
        "it was decided as {}, and the configuration says {} now",
        effect.plan.name(),
        now.name()
    ))
    .at(format!("effects.{}", effect.verb.name()))
}

/// Where `sql` writes, with its password.
pub fn target(config: &Config) -> Result<Database> {
    match &config.effects.database {
        Some(database) => secrets::with_password(database),
        None => job::restored(config),
    }
}

/// The entities that are written, and no others: this login may see no other table.
fn schema_of(config: &Config, writes: &[Write]) -> Schema {
    let written = |name: &str| writes.iter().any(|w| w.entity == name);
    let entities = config.schema.entities.iter().filter(|e| written(&e.name));
    Schema {
        entities: entities.cloned().collect(),
    }
}

/// What tells this plan from another under the same key.
fn digest(writes: &[Write]) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write as _;
    let bytes = Sha256::digest(serde_json::to_vec(writes).unwrap_or_default());
    bytes.iter().fold(String::with_capacity(64), |mut out, b| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// `3 rows written`
fn written(writes: &[Write]) -> String {
    match writes.len() {
        1 => "1 row written".to_owned(),
        n => format!("{n} rows written"),
    }
}

/// The statement that makes the table in which a decision leaves its key where it wrote.
pub const MARKER: &str = "CREATE TABLE restitch_decisions (key text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), \
                          by text NOT NULL, digest text NOT NULL)";

fn no_marker(place: &str) -> Error {
    Error::failed(
        "nothing was written: the table restitch_decisions is not there, in which each decision leaves its key",
    )
    .at(place)
    .cure(format!("a DBA runs, where `sql` writes: {MARKER};"))
}

/// How a value that is not as it was shown is told; nothing masked.
fn changed(table: &str, key: &str, column: &str, masked: bool, was: Option<&str>, now: Option<&str>) -> Error {
    let word = |text: Option<&str>| super::steps::cut(text.unwrap_or("null"));
    let how = if masked {
        format!("{column} is not as it was shown")
    } else {
        format!("{column} is {} now, it was shown as {}", word(now), word(was))
    };
    Error::refused(format!("nothing was written: {table} {key}: {how}")).cure("scan again, and look at the case again")
}

fn not_as_shown(table: &str, key: &str, how: &str) -> Error {
    Error::refused(format!("nothing was written: {table} {key} {how}")).cure("scan again, and look at the case again")
}

/// Whether an effect could be carried out now, without doing anything: the words, or what is in the way.
pub fn ready(config: &Config, effect: &Effect) -> Result<String> {
    match effect {
        Effect::Record => Ok("a to-do for a person".to_owned()),
        Effect::Sql => {
            let database = target(config)?;
            let none = Schema::default();
            job::runtime()?.block_on(async {
                match &database.url {
                    DbUrl::Sqlite(path) => sqlite::ready(path),
                    DbUrl::Postgres { .. } => sql::ready(&database, &none).await,
                }
            })?;
            Ok("writes rows, and the decision's key into restitch_decisions".to_owned())
        }
        Effect::Kafka(to) => {
            kafka::ready(&to.cluster, &to.topic)?;
            Ok(format!(
                "sends to topic {} at {}, at least once",
                to.topic,
                to.cluster.brokers.join(", ")
            ))
        }
        Effect::Http(to) => {
            let token = secrets::token(to)?;
            let with = if token.is_some() { " with a token" } else { "" };
            Ok(format!("posts to {}{with}; nothing was asked of it", to.url))
        }
    }
}

//! What a decision does beyond the ledger: rows written, a message sent, a request made.
//!
//! [`plan`] says what will be done, exactly, before anything is; it is pure. [`carry_out`] does it, between two lines in the
//! ledger: `unconfirmed` before the effect starts, what came of it afterwards; or with both of them, where it writes rows in
//! the ledger's own database. Who dies in between leaves `unconfirmed`, and whoever comes next settles it: `sql` and `kafka` by doing the same again under the same key, `http` never, for
//! nobody can tell whether the receiver would do it twice: there the proof reads back what happened.

mod http;
mod kafka;
pub mod plan;
mod sql;
mod sqlite;

use crate::config::{Config, Database, DbUrl, Effect, secrets};
use crate::domain::case::Verb;
use crate::domain::queue::Course;
use crate::domain::schema::Schema;
use crate::domain::{Error, ErrorKind, Result};
use crate::job;
use crate::ledger::{Beside, Ledger, Pending, Role};
use crate::restored::pg;
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
    if ledger.is_readonly() || ledger.role() < Role::Relay {
        return Ok(all);
    }
    for effect in ledger.pending_effects()? {
        if cases.is_some_and(|ids| !effect.cases.iter().any(|id| ids.contains(id))) {
            continue;
        }
        let Some(end) = carry(config, ledger, &effect)? else {
            continue;
        };
        let (state, words, error) = end.told(&effect);
        all.push(Carried {
            undoes: effect.undoes(),
            does: effect.plan.name(),
            cases: effect.cases,
            state,
            words,
            error,
        });
    }
    Ok(all)
}

/// Carries out one effect, with what the ledger is told of it; `None` where it is not to be done now.
fn carry(config: &Config, ledger: &mut Ledger, effect: &Pending) -> Result<Option<End>> {
    if let Some(beside) = beside(config, ledger, effect) {
        match run(config, ledger, effect, Some(&beside)) {
            // It is another database than the ledger's, or another login.
            None => {}
            // Nothing was written: that is told as of any other.
            Some(end @ End::Failed(_)) => {
                return if ledger.start_effect(&effect.key, LEASE)? {
                    tell(ledger, effect, &end).map(|()| Some(end))
                } else {
                    Ok(None)
                };
            }
            end => return Ok(end),
        }
    }
    let lease = match effect.plan {
        Plan::Http { .. } => LONG_LEASE,
        _ => LEASE,
    };
    if !ledger.start_effect(&effect.key, lease)? {
        return Ok(None);
    }
    let end = run(config, ledger, effect, None);
    end.as_ref().map_or(Ok(()), |end| tell(ledger, effect, end))?;
    Ok(end)
}

fn tell(ledger: &mut Ledger, effect: &Pending, end: &End) -> Result<()> {
    let (state, words, _) = end.told(effect);
    ledger.end_effect(&effect.key, state, &words).map(drop).map_err(|e| {
        Error::new(
            ErrorKind::Unconfirmed,
            format!("{words}; but the ledger could not be told what came of it: {}", e.what),
        )
        .cure("`restitch prove` settles it once the ledger is back")
    })
}

impl End {
    /// As the ledger keeps it, and why it failed.
    fn told(&self, effect: &Pending) -> (Course, String, Option<Error>) {
        let (state, words, error) = match self {
            Self::Done(words) => (Course::Done, words, None),
            Self::Failed(error) => (Course::Failed, &error.what, Some(error.clone())),
            Self::Unknown(words) => (Course::Unknown, words, None),
        };
        (state, format!("{}: {words}", effect.plan.name()), error)
    }
}

/// What the ledger is told in the transaction that writes the rows, should it stand in the same database.
fn beside(config: &Config, ledger: &Ledger, effect: &Pending) -> Option<Beside> {
    let Plan::Sql { writes } = &effect.plan else {
        return None;
    };
    // What began in the two-step way may have been written so: its key tells.
    if effect.state != Course::Queued {
        return None;
    }
    let DbUrl::Postgres { .. } = target(config).ok()?.url else {
        return None;
    };
    let words = format!("sql: {}, in one transaction with the ledger", written(writes));
    ledger.beside(effect, &words).ok().flatten()
}

/// Does it; `None` where it is to be done `beside` the ledger, and that is elsewhere.
fn run(config: &Config, ledger: &Ledger, effect: &Pending, beside: Option<&Beside>) -> Option<End> {
    if effect.verb == Verb::Resubmit
        && let Some(end) = is_there_by_now(config, ledger, effect)
    {
        return Some(end);
    }
    let runtime = match job::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return Some(before(effect, error)),
    };
    runtime.block_on(async {
        Some(match &effect.plan {
            Plan::Sql { writes } => match target(config) {
                Ok(database) => match &database.url {
                    DbUrl::Sqlite(path) => sqlite::run(path, &schema_of(config, writes), writes, effect).await,
                    DbUrl::Postgres { .. } => {
                        return sql::run(&database, &schema_of(config, writes), writes, effect, beside).await;
                    }
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
        })
    })
}

/// Looks right before an order leaves whether it is in the restored database by now: it was looked for when it was decided,
/// and a grace has passed since. What was sent before and is there has arrived, and is not sent again.
fn is_there_by_now(config: &Config, ledger: &Ledger, effect: &Pending) -> Option<End> {
    let case = effect.cases.first()?;
    match job::order_by_now(config, ledger, case) {
        Ok(None) => None,
        Ok(Some(found)) if effect.state == Course::Queued => Some(End::Failed(
            Error::refused(format!("nothing was sent: {found}: it would be done twice"))
                .cure("scan again: the case is out of date"),
        )),
        Ok(Some(found)) => Some(End::Done(format!("read back: {found}; it is not sent again"))),
        Err(error) => Some(before(
            effect,
            Error::refused(format!(
                "nothing was sent: nobody knows whether {case} is there by now: {}",
                error.what
            ))
            .cure("it is sent only when the restored database says that it is not there"),
        )),
    }
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

/// What the DBA of the database that `sql` writes must run; `None` where no verb does it.
pub fn marker(config: &Config) -> Option<String> {
    if !config.effects.verbs.values().any(|e| *e == Effect::Sql) {
        return None;
    }
    let database = config.effects.database.as_ref().or(config.restored.as_ref())?;
    let (place, grant) = match &database.url {
        DbUrl::Postgres {
            host,
            port,
            database,
            user,
            ..
        } => (
            format!("{host}:{port}/{database}"),
            format!("\nGRANT SELECT, INSERT ON restitch_decisions TO {};", pg::quoted(user)),
        ),
        DbUrl::Sqlite(path) => (path.display().to_string(), String::new()),
    };
    let made = MARKER.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1);
    Some(format!(
        "-- Where decisions are written, in {place}, its DBA runs this, unless the ledger stands in that database too:\n{made};{grant}"
    ))
}

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

/// Whether rows and ledger can be written in one transaction: `None` where they are not in one database, `false` where they
/// are, but under two logins.
fn stands_beside(config: &Config, database: &Database) -> Option<bool> {
    let DbUrl::Postgres { .. } = config.ledger.database.url else {
        return None;
    };
    let ledger = Ledger::open(config, true).ok()?.whereabouts().ok()??;
    let there = job::runtime().ok()?.block_on(sql::whereabouts(database))?;
    (ledger.database == there.database).then_some(ledger.login == there.login)
}

/// Whether an effect could be carried out now, without doing anything: the words, or what is in the way.
pub fn ready(config: &Config, effect: &Effect) -> Result<String> {
    match effect {
        Effect::Record => Ok("a to-do for a person".to_owned()),
        Effect::Sql => {
            let database = target(config)?;
            let none = Schema::default();
            let beside = stands_beside(config, &database);
            if beside == Some(true) {
                return Ok(
                    "writes rows and ends the decision in one transaction: the ledger stands in this database"
                        .to_owned(),
                );
            }
            job::runtime()?.block_on(async {
                match &database.url {
                    DbUrl::Sqlite(path) => sqlite::ready(path),
                    DbUrl::Postgres { .. } => sql::ready(&database, &none).await,
                }
            })?;
            let two_steps = "; two steps, for the ledger in this database is opened by another login";
            let two_steps = if beside.is_some() { two_steps } else { "" };
            Ok(format!(
                "writes rows, and the decision's key into restitch_decisions{two_steps}"
            ))
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

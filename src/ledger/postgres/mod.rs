//! The ledger of a war room: a PostgreSQL database that many consoles share.
//!
//! Nobody but `restitch_owner` may touch a table. Everyone reads views, which are named as the tables of the SQLite ledger,
//! and calls functions, which check the role of `session_user`, claim, fence and key under lock, and write the audit trail.
//! A deed is one call, which is one transaction: its answer comes after the commit. Where the answer is lost, the same call
//! with the same key is made again, until the server says what became of it.
//!
//! To add a deed beside its [`Act`]: a function `do_NAME(a act, args jsonb) RETURNS jsonb` in the SQL file of its topic, with
//! `SELECT publish('NAME', 'restitch_operator')` at its end. To add a reading: a view in `views.sql`. A table or column goes
//! into the newest `tables_N.sql`.
//!
//! | file | what it does |
//! | --- | --- |
//! | `link` | connections, and the thread that drives them |
//! | `trouble` | what a lost connection or an error of the server means |
//! | `create` | roles, schema, versions |
//! | `ears` | hearing of what others change, and whether the server is there |
//! | `intent` | decisions that were asked for and not answered yet, kept in a file |
//! | `beside` | the ledger in the very database that an effect writes |
//! | `scan` | taking in what a scan found, piece by piece |
//! | `core.sql` | what every deed goes through: role, key, refusal, the seal of the trail |

mod beside;
mod create;
mod ears;
mod intent;
mod link;
mod scan;
mod trouble;

use super::audit::Deed;
use super::fault::{Fault, Res};
use super::store::{Act, Row, Snapshot, Value};
use super::{Here, Role, Who, new_key};
use crate::config::{Config, Database, DbUrl, LedgerConfig};
use crate::domain::{Error, ErrorKind, Result};
pub use beside::{Beside, Place};
pub(super) use create::{create, grants};
pub(super) use ears::Ears;
use intent::Intents;
use link::{Bound, IMPATIENT, Line, Link, PATIENT, ask, end_later, run};
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use trouble::{Doing, Trouble, unconfirmed};

/// So long a deed is asked for again after its answer was lost: an RDS cluster fails over in less than 35 s, and a person
/// waits for it.
const PATIENCE: Duration = Duration::from_secs(40);
/// Rows fetched at a time.
const FETCH: usize = 1_000;

/// The way to the ledger.
pub(super) struct Postgres {
    link: Arc<Link>,
    pub place: String,
    /// What became of decisions that were not answered when an earlier restitch ended.
    pub resumed: Vec<String>,
    /// Where decisions wait for their answers, if not below the user's state folder.
    decisions: Option<PathBuf>,
}

/// A moment of the ledger: a transaction that only reads.
struct Moment<'a> {
    store: &'a Postgres,
    client: RefCell<Option<Line>>,
    incident: i64,
    now: i64,
    role: Role,
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = restitch, pg_temp; \
                     SET LOCAL statement_timeout = '15min'; SET LOCAL idle_in_transaction_session_timeout = '15min'; \
                     SET LOCAL timezone = 'UTC'";

const HERE: &str = "SELECT coalesce((SELECT no FROM restitch.incidents WHERE name = $1), 0), \
                    restitch.micros(), \
                    CASE WHEN pg_has_role(session_user, 'restitch_lead', 'MEMBER') THEN 'lead' \
                         WHEN pg_has_role(session_user, 'restitch_operator', 'MEMBER') THEN 'operator' \
                         WHEN pg_has_role(session_user, 'restitch_relay', 'MEMBER') THEN 'relay' ELSE 'viewer' END";

/// Others who are there under the same login, by what their consoles are called.
const LIVE: &str = "SELECT a.application_name FROM pg_stat_activity a \
                    WHERE a.usename = session_user AND a.datname = current_database() AND a.pid <> pg_backend_pid() \
                      AND a.application_name LIKE 'restitch ledger %'";

const KNOWN: &str = "SELECT session_user::text, EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace('restitch') AND relname = 'version'), \
                     CASE WHEN to_regnamespace('restitch') IS NULL THEN NULL \
                          ELSE has_schema_privilege('restitch', 'USAGE') END";

impl Postgres {
    /// Connects, and says who the server knows this person as.
    ///
    /// Fails where there is no ledger, where it is of another version, and where somebody else is there under the same
    /// login, unless the configuration allows it.
    pub fn open(config: &LedgerConfig, who: &mut Who) -> Result<Self> {
        let database = &config.database;
        let place = place(database);
        let person = format!("{}@{}", who.system_user, host());
        let link = Arc::new(Link::new(database.clone(), called(&person)));
        let told = |trouble: Trouble| trouble.told(&place);
        let (client, known) = ask(link.take()?, KNOWN, Vec::new(), Doing::Quick).map_err(told)?;
        let known = known
            .first()
            .ok_or_else(|| Error::failed("the server answers nothing").at(place.clone()))?;
        let told_sql = |e: tokio_postgres::Error| Error::failed(format!("the ledger's server: {e}")).at(place.clone());
        who.user = known.try_get(0).map_err(told_sql)?;
        let (there, may): (bool, Option<bool>) =
            (known.try_get(1).map_err(told_sql)?, known.try_get(2).map_err(told_sql)?);
        match (may, there) {
            (None, _) => {
                return Err(Error::failed("there is no ledger in this database")
                    .at(place)
                    .cure("`restitch ledger create` makes it; `restitch ledger grants` prints what a DBA must run where you may not"));
            }
            (Some(false), _) => {
                return Err(
                    Error::refused(format!("{} may not use the ledger in this database", who.user))
                        .at(place)
                        .cure(format!(
                            "a DBA runs: GRANT restitch_operator TO {}",
                            crate::restored::pg::quoted(&who.user)
                        )),
                );
            }
            (Some(true), false) => {
                return Err(Error::failed("the ledger in this database is not finished")
                    .at(place)
                    .cure("run `restitch ledger create` again"));
            }
            (Some(true), true) => {}
        }
        let (client, version) =
            ask(client, "SELECT n FROM restitch.version", Vec::new(), Doing::Quick).map_err(told)?;
        let version: i64 = version.first().map_or(Ok(0), |r| r.try_get(0)).map_err(told_sql)?;
        create::check_version(version).map_err(|e| e.at(place.clone()))?;
        let (client, live) = ask(client, LIVE, Vec::new(), Doing::Quick).map_err(told)?;
        if !config.shared_login {
            for row in live {
                let name: String = row.try_get(0).map_err(told_sql)?;
                let other = name.strip_prefix("restitch ledger ").unwrap_or_default();
                let other = other.rsplit_once(' ').map_or(other, |(person, _)| person);
                if !called(&person).starts_with(&format!("restitch ledger {other}")) {
                    return Err(Error::refused(format!(
                        "{other} is there under the same database login {:?}: nobody could tell who did what",
                        who.user
                    ))
                    .at(place)
                    .cure(
                        "give every person a login of their own; `ledger.shared_login = true` allows one for several",
                    ));
                }
            }
        }
        link.give_back(client);
        Ok(Self {
            link,
            place,
            resumed: Vec::new(),
            decisions: config.decisions.clone(),
        })
    }

    /// Another handle on the same connections.
    pub fn another(&self) -> Self {
        Self {
            link: Arc::clone(&self.link),
            place: self.place.clone(),
            resumed: Vec::new(),
            decisions: self.decisions.clone(),
        }
    }

    /// What hears of others' changes.
    pub fn ears(&self) -> Ears {
        Ears::new(Arc::clone(&self.link), self.place.clone())
    }

    /// Reads in one snapshot.
    pub fn read<T>(&self, here: &Here, what: impl FnOnce(&dyn Snapshot) -> Res<T>) -> Res<T> {
        let moment = self.begin(here)?;
        let read = what(&moment);
        if let Some(client) = moment.client.into_inner() {
            end_later(&self.link, client);
        }
        read
    }

    /// A kept connection may be dead already: then a new one is tried, once.
    fn begin(&self, here: &Here) -> Res<Moment<'_>> {
        let begin = || {
            let client = run(self.link.take().map_err(Trouble::Failed)?, BEGIN, Doing::Quick)?;
            ask(client, HERE, vec![Bound::Text(here.name.clone())], Doing::Quick)
        };
        let moment = begin().or_else(|trouble| match trouble {
            Trouble::Lost(_) => {
                self.link.forget();
                begin()
            }
            other => Err(other),
        });
        let (client, rows) = moment.map_err(|t| t.told(&self.place))?;
        let row = rows
            .first()
            .ok_or_else(|| Error::failed("the ledger's server answers nothing"))?;
        let row: &dyn Row = row;
        Ok(Moment {
            store: self,
            client: RefCell::new(Some(client)),
            incident: row.int(0)?,
            now: row.int(1)?,
            role: match row.text(2)? {
                "lead" => Role::Lead,
                "operator" => Role::Operator,
                "relay" => Role::Relay,
                _ => Role::Viewer,
            },
        })
    }

    /// Whether what the server acknowledges survives its crash; `require_safety` in `core.sql` asks before every deed.
    pub fn keeps_its_word(&self, here: &Here) -> Res<()> {
        let settings = self.read(here, |at| {
            at.one(
                "SELECT current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery()",
                &[],
                |r| Ok((r.own::<String>(0)?, r.own::<String>(1)?, r.bool(2)?)),
            )
        })?;
        let why = match settings {
            Some((_, _, true)) => "the ledger's server is a standby, which only reads",
            Some((fsync, _, _)) if fsync == "off" => "the ledger's server runs with fsync = off",
            Some((_, commit, _)) if commit == "off" || commit == "local" => {
                "the ledger's sessions run with synchronous_commit off or local"
            }
            _ => return Ok(()),
        };
        Err(Error::failed(format!("{why}: nothing can be decided"))
            .cure("a DBA puts the setting right; `ledger.url` must name the writer")
            .into())
    }

    /// A number that differs whenever anyone changed anything.
    pub fn revision(&self, here: &Here) -> Res<i64> {
        self.read(here, |at| {
            let mark = at.one(
                "SELECT ('x' || left(mark, 16))::bit(64)::bigint FROM revision WHERE incident = ?1",
                &[at.incident().into()],
                |r| r.int(0),
            )?;
            Ok(mark.unwrap_or(0))
        })
    }

    /// The ledger's database, and the login.
    pub fn whereabouts(&self, here: &Here) -> Res<Option<Place>> {
        self.read(here, |at| {
            at.one(beside::WHERE, &[], |r| {
                Ok(Place {
                    database: r.own(0)?,
                    login: r.own(1)?,
                })
            })
        })
    }

    /// Does an act, at most once.
    pub fn act<A: Act>(&mut self, here: &Here, act: &A) -> Res<A::Answer> {
        let mut origin = origin(here, act.deed());
        let args = clean(serde_json::to_value(act)?);
        // A renewal or a reading done twice is done once.
        if act.counts_once() {
            origin["call"] = json!(new_key());
        }
        let kept = match A::NAME {
            "decide" => Some(self.intents()?.keep(&self.place, here, &origin, &args)?),
            _ => None,
        };
        let answer = self.call(A::NAME, &origin, &args, Doing::Quick);
        if let Some(kept) = kept {
            // While nobody knows what became of it, the next restitch asks.
            if answer.as_ref().err().is_none_or(|e| e.kind != ErrorKind::Unconfirmed) {
                kept.done();
            }
        }
        Ok(serde_json::from_value(answer?)?)
    }

    /// Writes down that somebody was refused.
    pub fn write_refusal(&mut self, here: &Here, deed: Deed<'_>, error: &Error) -> Res<()> {
        let mut origin = origin(here, deed);
        origin["call"] = json!(new_key());
        let args = clean(json!({"deed": origin["deed"], "why": error.what}));
        self.call("refused", &origin, &args, Doing::Quick)?;
        Ok(())
    }

    /// Calls a function until the server says what became of it.
    fn call(&self, name: &str, origin: &Json, args: &Json, doing: Doing) -> Result<Json> {
        let sql = format!("SELECT restitch.{name}($1::jsonb, $2::jsonb)::text");
        let bound = || vec![Bound::Text(origin.to_string()), Bound::Text(args.to_string())];
        let began = Instant::now();
        let mut lost: Option<String> = None;
        for attempt in 0_u32.. {
            let trouble = match self.ask_once(&sql, bound(), doing) {
                Ok(rows) => return answered(&rows, &self.place),
                Err(trouble) => trouble,
            };
            let patient = began.elapsed() < PATIENCE;
            match trouble {
                Trouble::Lost(why) => {
                    self.link.forget();
                    if !patient {
                        return Err(unconfirmed(&why, &self.place));
                    }
                    lost = Some(why);
                }
                // It was sent before: whether it was done is still to be found out.
                Trouble::Failed(error)
                    if lost.is_some() && matches!(error.kind, ErrorKind::Failed | ErrorKind::Lost) =>
                {
                    if !patient {
                        return Err(unconfirmed(&error.what, &self.place));
                    }
                }
                Trouble::Failed(error) if error.kind == ErrorKind::Lost => {
                    let what = format!("nothing was sent: {}", error.what);
                    return Err(Error { what, ..error });
                }
                Trouble::Busy(_, client) if patient => {
                    self.link.give_back_some(client.filter(|_| doing != Doing::Long));
                }
                Trouble::Forbidden(why, client) => {
                    self.link.give_back_some(client);
                    return Err(self.forbidden(name, origin, Trouble::Forbidden(why, None)));
                }
                other => return Err(other.told(&self.place)),
            }
            // Nothing tells when a server answers again: it is asked, each time a little later.
            thread::sleep(pause(attempt));
        }
        Err(unconfirmed(lost.as_deref().unwrap_or_default(), &self.place))
    }

    fn ask_once(&self, sql: &str, bound: Vec<Bound>, doing: Doing) -> Result<Vec<tokio_postgres::Row>, Trouble> {
        let mut line = self.link.take().map_err(Trouble::Failed)?;
        if doing == Doing::Long {
            line = run(line, PATIENT, Doing::Quick)?;
        }
        let (mut line, rows) = ask(line, sql, bound, doing)?;
        if doing == Doing::Long {
            line = run(line, IMPATIENT, Doing::Quick)?;
        }
        self.link.give_back(line);
        Ok(rows)
    }

    /// Whom the server does not let call a function is told why, and that is written down too.
    fn forbidden(&self, name: &str, origin: &Json, trouble: Trouble) -> Error {
        if name != "denied" {
            let mut origin = origin.clone();
            origin["call"] = json!(new_key());
            if let Err(told) = self.call("denied", &origin, &json!({"function": name}), Doing::Quick) {
                return told;
            }
        }
        trouble.told(&self.place)
    }

    fn intents(&self) -> Result<Intents> {
        Intents::open(self.decisions.as_deref())
    }

    /// Settles the decisions that an earlier restitch asked for and got no answer to.
    pub fn resume(&self, here: &Here) -> Result<Vec<String>> {
        let mut resumed = Vec::new();
        for kept in self.intents()?.left(&self.place, here)? {
            let answer = self.call("decide", &kept.origin, &kept.args, Doing::Quick);
            resumed.push(match &answer {
                Ok(Json::Null) => kept.words("was not decided: the case changed meanwhile"),
                Ok(_) => kept.words("is decided"),
                Err(error) if error.kind == ErrorKind::Refused => {
                    kept.words(&format!("was not decided: {}", error.what))
                }
                Err(_) => return answer.map(|_| resumed),
            });
            kept.done();
        }
        Ok(resumed)
    }
}

impl Link {
    fn give_back_some(&self, client: Option<Line>) {
        if let Some(client) = client {
            self.give_back(client);
        }
    }
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

    fn each(&self, sql: &str, values: &[Value<'_>], row: &mut dyn FnMut(&dyn Row) -> Res<bool>) -> Res<()> {
        // One cursor at a time: a reading inside another would have to have a name of its own.
        self.ask(
            &format!("DECLARE walk NO SCROLL CURSOR FOR {}", dialect(sql)),
            bind(values),
        )?;
        'all: loop {
            let rows = self.ask(&format!("FETCH {FETCH} FROM walk"), Vec::new())?;
            for next in &rows {
                if !row(next)? {
                    break 'all;
                }
            }
            if rows.len() < FETCH {
                break;
            }
        }
        self.ask("CLOSE walk", Vec::new())?;
        Ok(())
    }

    fn few(&self, sql: &str, values: &[Value<'_>], row: &mut dyn FnMut(&dyn Row) -> Res<()>) -> Res<()> {
        for next in &self.ask(&dialect(sql), bind(values))? {
            row(next)?;
        }
        Ok(())
    }
}

impl Moment<'_> {
    fn ask(&self, sql: &str, bound: Vec<Bound>) -> Res<Vec<tokio_postgres::Row>> {
        let client = self.client.borrow_mut().take();
        let client = client
            .ok_or_else(|| Error::failed("the reading of the ledger was cut off").at(self.store.place.clone()))?;
        let (client, rows) = ask(client, sql, bound, Doing::Long).map_err(|t| t.told(&self.store.place))?;
        *self.client.borrow_mut() = Some(client);
        Ok(rows)
    }
}

impl Row for tokio_postgres::Row {
    fn get_int(&self, at: usize) -> Res<Option<i64>> {
        self.try_get(at).map_err(|e| unreadable(&e))
    }

    fn get_bool(&self, at: usize) -> Res<Option<bool>> {
        self.try_get(at).map_err(|e| unreadable(&e))
    }

    fn get_text(&self, at: usize) -> Res<Option<&str>> {
        self.try_get(at).map_err(|e| unreadable(&e))
    }

    fn get_blob(&self, at: usize) -> Res<Option<&[u8]>> {
        self.try_get(at).map_err(|e| unreadable(&e))
    }
}

fn unreadable(error: &tokio_postgres::Error) -> Fault {
    Error::failed(format!("the ledger holds what restitch cannot read: {error}"))
        .cure("was it edited by hand? `restitch audit verify` checks the trail")
        .into()
}

fn bind(values: &[Value<'_>]) -> Vec<Bound> {
    let bind = |value: &Value<'_>| match value {
        Value::Int(number) => Bound::Int(*number),
        Value::Text(text) => Bound::Text((*text).to_owned()),
    };
    values.iter().map(bind).collect()
}

/// The statement as PostgreSQL wants it: its values are named otherwise, and a `+` before a column is only for SQLite's
/// planner.
fn dialect(sql: &str) -> String {
    sql.replace('?', "$").replace("+c.", "c.")
}

/// What the server answered: what the deed came to, or why it was refused.
fn answered(rows: &[tokio_postgres::Row], place: &str) -> Result<Json> {
    let broken = || Error::failed("the ledger's server answers what restitch cannot read").at(place);
    let text: &str = rows.first().and_then(|r| r.try_get(0).ok()).ok_or_else(broken)?;
    let mut answer: Json = serde_json::from_str(text).map_err(|_| broken())?;
    let Some(why) = answer["refused"].as_str() else {
        return Ok(answer["ok"].take());
    };
    let error = Error::refused(why);
    Err(match answer["cure"].as_str() {
        Some(cure) => error.cure(cure),
        None => error,
    })
}

fn origin(here: &Here, deed: Deed<'_>) -> Json {
    clean(json!({
        "incident": here.name,
        "attempt": here.attempt,
        "restored_to": here.restored_to,
        "system_user": here.who.system_user,
        "ssh": here.who.ssh,
        "deed": {"action": deed.action, "case": deed.case, "verb": deed.verb, "key": deed.key},
    }))
}

/// PostgreSQL keeps no NUL in a text.
fn clean(json: Json) -> Json {
    match json {
        Json::String(text) if text.contains('\0') => Json::String(text.replace('\0', "\u{fffd}")),
        Json::Array(items) => Json::Array(items.into_iter().map(clean).collect()),
        Json::Object(fields) => Json::Object(fields.into_iter().map(|(k, v)| (k, clean(v))).collect()),
        other => other,
    }
}

/// Longer every time, and not the same for everybody.
fn pause(attempt: u32) -> Duration {
    let longest = Duration::from_millis(50)
        .saturating_mul(1 << attempt.min(6))
        .min(Duration::from_secs(3));
    let part = u32::from(uuid::Uuid::now_v7().as_bytes()[15]);
    longest / 2 + longest * part / 512
}

/// `host:port/database`
pub(super) fn place(database: &Database) -> String {
    match &database.url {
        DbUrl::Postgres {
            host, port, database, ..
        } => format!("{host}:{port}/{database}"),
        DbUrl::Sqlite(path) => path.display().to_string(),
    }
}

/// A ledger inside the database that is being restored goes with the next restore of it.
pub(super) fn refuse_inside_restored(config: &Config) -> Result<()> {
    let ledger = place(&config.ledger.database);
    if !config.ledger.inside_restored && config.restored.as_ref().is_some_and(|r| place(r) == ledger) {
        return Err(Error::refused(
            "the ledger stands in the database that is being restored: the next restore would take it along",
        )
        .at(ledger)
        .cure("keep it in a database of its own; `ledger.inside_restored = true` insists"));
    }
    Ok(())
}

/// What the server's lists call a console; it keeps 63 bytes.
fn called(person: &str) -> String {
    let mut name = format!("restitch ledger {person}");
    while name.len() > 52 {
        name.pop();
    }
    format!("{name} {}", std::process::id())
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned())
}

//! The ledger: cases, claims, decisions, the audit trail. A SQLite file of one person, shared by their consoles, or a
//! PostgreSQL database that a war room shares.
//!
//! Everything a person does is one transaction here, with its line of the audit trail in it; refusals are written down
//! as well. [`scan`] takes in what a scan found, [`rows`] reads the queue and the cases, [`claims`], [`decide`] and
//! [`settle`] are the deeds, [`audit`] the chain. [`store`] says what the stores have in common, and how a deed is added.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`anchor`] | the head of the trail, written down outside |
//! | `unmask` | who saw a masked field |
//! | `plan` | a decision, made of what was read, as it is written |
//! | `body` | a found case, packed |
//! | `bulks` | the same decision for many cases: the journal |
//! | `ears` | what tells a console that others changed something |
//! | `fault` | errors for people |
//! | `effects` | what leaves restitch after a decision, and what came of it |
//! | `opening` | how the rows stood when an attempt was first scanned |
//! | `facts` | small things about an incident, such as clocks |
//! | `hold` | the hold on a broker: last reading, offsets at the shutdown, rescues |
//! | `presence` | who has which case open |
//! | `once` | facts that count once |
//! | `papers` | what people sign: decisions that wait for another person, hand-overs, the end |
//! | `ignores` | columns that people ignore |
//! | `policy` | what takes another person, whatever a configuration says |
//! | `place` | where a case stands in the queue |
//! | `follow` | which findings are new after a decision |
//! | `sqlite` | the file, its rights and versions |
//! | `postgres` | the server: roles and deeds in the database itself, connections, lost answers |

pub mod anchor;
mod audit;
mod body;
mod bulks;
mod claims;
mod decide;
mod ears;
mod effects;
mod facts;
mod fault;
mod follow;
mod hold;
mod ignores;
mod once;
mod opening;
mod papers;
mod phases;
mod place;
mod plan;
mod policy;
mod postgres;
mod presence;
mod reopen;
mod rows;
mod scan;
mod settle;
mod sqlite;
mod store;
mod unmask;
pub mod who;

#[cfg(test)]
pub(crate) mod tests;

use crate::config::{Approve, Config, DbUrl, Effects};
use crate::domain::schema::Schema;
use crate::domain::{Error, Result, time};
use audit::Deed;
pub use claims::Next;
pub use decide::new_key;
pub use ears::Ears;
pub use effects::Pending;
pub use facts::Said;
use fault::{Fault, Res};
pub use hold::Rescue;
pub use ignores::{to_paste, with_ignores};
pub use papers::asked;
pub use phases::Asker;
pub(crate) use plan::hex;
use postgres::Postgres;
pub use postgres::{Beside, Place};
use sqlite::Sqlite;
use std::path::Path;
use store::{Act, Snapshot};
pub use who::{Role, Who};

/// Whose ledger it is: the incident, who acts, and what the configuration says of both.
#[derive(Clone)]
struct Here {
    name: String,
    attempt: u32,
    restored_to: Option<i64>,
    who: Who,
    role: Role,
    schema: Schema,
    effects: Effects,
    approve: Approve,
}

/// Where it is kept.
enum Store {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// The ledger of one incident, opened by one thread.
pub struct Ledger {
    store: Store,
    here: Here,
    readonly: bool,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Ledger({}, {}, {})",
            self.place(),
            self.here.name,
            self.here.who.user
        )
    }
}

impl Ledger {
    /// Opens the ledger of the configured incident as whoever runs this process. A SQLite ledger is made where there is none,
    /// a PostgreSQL one by [`create`].
    ///
    /// Fails on a file of others, on a ledger of another version, on a login that somebody else uses, and when the ledger
    /// knows this attempt with another `restored_to`.
    pub fn open(config: &Config, readonly: bool) -> Result<Self> {
        Self::open_as(config, readonly, who::current())
    }

    /// As [`Ledger::open`], for somebody else: the demo's colleagues and the tests. In a PostgreSQL ledger everybody is their
    /// login.
    pub fn open_as(config: &Config, readonly: bool, mut who: Who) -> Result<Self> {
        let configured = Role::of(&who.system_user, config.roles.as_ref());
        let store = match &config.ledger.database.url {
            DbUrl::Sqlite(path) => Store::Sqlite(Sqlite::open(path, readonly)?),
            DbUrl::Postgres { .. } => {
                postgres::refuse_inside_restored(config)?;
                Store::Postgres(Postgres::open(&config.ledger, &mut who)?)
            }
        };
        let mut ledger = Self {
            store,
            here: Here {
                name: config.incident.id.clone(),
                attempt: config.incident.attempt,
                restored_to: config.incident.restored_to,
                role: configured,
                who,
                schema: config.schema.clone(),
                effects: config.effects.clone(),
                approve: config.approve.clone(),
            },
            readonly,
        };
        ledger.here.role = ledger.read(|at| {
            check_attempt(at, &ledger.here)?;
            Ok(at.role())
        })?;
        let resumed = ledger.resume()?;
        if let Store::Postgres(postgres) = &mut ledger.store {
            postgres.resumed = resumed;
        }
        ledger.settle_policy()?;
        Ok(ledger)
    }

    /// Another handle on the same ledger, for another thread: of a PostgreSQL ledger it shares the connections.
    pub fn another(&self) -> Result<Self> {
        Ok(Self {
            store: match &self.store {
                Store::Sqlite(sqlite) => Store::Sqlite(Sqlite::open(Path::new(&sqlite.path), self.readonly)?),
                Store::Postgres(postgres) => Store::Postgres(postgres.another()),
            },
            here: self.here.clone(),
            readonly: self.readonly,
        })
    }

    /// What became of decisions that an earlier restitch of this person asked for and got no answer to, one sentence each:
    /// they were settled when the ledger was opened.
    pub fn resumed(&self) -> &[String] {
        match &self.store {
            Store::Sqlite(_) => &[],
            Store::Postgres(postgres) => &postgres.resumed,
        }
    }

    /// Who acts.
    pub const fn who(&self) -> &Who {
        &self.here.who
    }

    /// Whether deeds are refused, whatever the role.
    pub const fn is_readonly(&self) -> bool {
        self.readonly
    }

    /// What they may do.
    pub const fn role(&self) -> Role {
        self.here.role
    }

    /// Takes leases and times from another clock (microseconds since 1970) than the system's. A PostgreSQL ledger has its
    /// server's.
    pub fn set_clock(&mut self, clock: impl Fn() -> i64 + Send + 'static) {
        if let Store::Sqlite(sqlite) = &mut self.store {
            sqlite.clock = Box::new(clock);
        }
    }

    /// A number that differs whenever anyone changed anything: consoles poll it.
    pub fn revision(&self) -> Result<i64> {
        let revision = match &self.store {
            Store::Sqlite(sqlite) => sqlite.revision(),
            Store::Postgres(postgres) => postgres.revision(&self.here),
        };
        revision.map_err(|e| self.told(e))
    }

    /// What they may do now: a role that was given or taken meanwhile counts.
    pub fn role_now(&self) -> Result<Role> {
        self.read(|at| Ok(at.role()))
    }

    /// Settles the decisions that this person asked for and got no answer to; what became of them, one sentence each.
    pub fn resume(&mut self) -> Result<Vec<String>> {
        match &mut self.store {
            Store::Postgres(postgres) if !self.readonly => postgres.resume(&self.here),
            _ => Ok(Vec::new()),
        }
    }

    /// The newest line of the audit trail, 0 where there is none: where it stays the same, no case changed, though leases
    /// may have been renewed and clocks read.
    pub fn newest_line(&self) -> Result<i64> {
        self.read(|at| {
            let seq = at.one(
                "SELECT seq FROM heads WHERE incident = ?1",
                &[at.incident().into()],
                |r| r.int(0),
            )?;
            Ok(seq.unwrap_or(0))
        })
    }

    /// Reads in one snapshot.
    fn read<T>(&self, what: impl FnOnce(&dyn Snapshot) -> Res<T>) -> Result<T> {
        let read = match &self.store {
            Store::Sqlite(sqlite) => sqlite.read(&self.here, what),
            Store::Postgres(postgres) => postgres.read(&self.here, what),
        };
        read.map_err(|e| self.told(e))
    }

    /// Does an act.
    fn act<A: Act>(&mut self, act: &A) -> Result<A::Answer> {
        self.refuse_readonly(act.deed())?;
        let done = match &mut self.store {
            Store::Sqlite(sqlite) => sqlite.act(&self.here, act),
            Store::Postgres(postgres) => postgres.act(&self.here, act),
        };
        done.map_err(|e| self.told(e))
    }

    /// Writes a refusal down that was found before the store was asked to act, and gives it back.
    fn refuse(&mut self, deed: Deed<'_>, error: Error) -> Error {
        let written = match &mut self.store {
            Store::Sqlite(sqlite) => sqlite.write_refusal(&self.here, deed, &error),
            Store::Postgres(postgres) => postgres.write_refusal(&self.here, deed, &error),
        };
        match written {
            Ok(()) => error,
            Err(lost) => self.told(lost),
        }
    }

    /// Whether what the ledger acknowledges survives a crash of its server, and may be written at all: else nothing is
    /// decided in it. A file is written so that it does.
    pub fn keeps_its_word(&self) -> Result<()> {
        match &self.store {
            Store::Sqlite(_) => Ok(()),
            Store::Postgres(postgres) => postgres.keeps_its_word(&self.here).map_err(|e| self.told(e)),
        }
    }

    /// The file, or server and database.
    pub fn place(&self) -> &str {
        match &self.store {
            Store::Sqlite(sqlite) => &sqlite.path,
            Store::Postgres(postgres) => &postgres.place,
        }
    }

    fn told(&self, fault: Fault) -> Error {
        fault.told(self.place())
    }

    /// Whether the server would let this person write nothing at all, not even what they read.
    fn only_looks(&self) -> bool {
        matches!(self.store, Store::Postgres(_)) && self.here.role < Role::Operator
    }

    fn refuse_readonly(&self, deed: Deed<'_>) -> Result<()> {
        if self.readonly {
            return Err(
                Error::refused(format!("{}: this restitch only looks", deed.action)).cure("run it without --readonly")
            );
        }
        Ok(())
    }
}

/// Makes the configured PostgreSQL ledger, or brings it up to date; says what it did. Again and again without harm.
///
/// Refused where it would stand inside a database that is being restored, unless somebody insists.
pub fn create(config: &Config, insist: bool) -> Result<String> {
    match &config.ledger.database.url {
        DbUrl::Postgres { .. } => postgres::create(config, insist),
        DbUrl::Sqlite(_) => Err(needs_postgres()),
    }
}

/// The SQL that a DBA runs where whoever makes the ledger may not.
pub fn grants(config: &Config) -> Result<String> {
    match &config.ledger.database.url {
        DbUrl::Postgres { .. } => Ok(postgres::grants(&config.ledger.database)),
        DbUrl::Sqlite(_) => Err(needs_postgres()),
    }
}

fn needs_postgres() -> Error {
    Error::usage("this is about a PostgreSQL ledger, and a SQLite one is configured: it is made when it is first used")
        .at("ledger.url")
        .cure("set `ledger.url = \"postgres://…\"`, or give --ledger")
}

impl Here {
    /// Refuses who may only look.
    fn require_operator(&self, role: Role) -> Res<()> {
        if role < Role::Operator {
            return Err(
                Error::refused(format!("{} is a viewer, who may look but not act", self.who.user))
                    .cure("`[roles]` in the configuration names operators and leads")
                    .into(),
            );
        }
        Ok(())
    }
}

/// The same attempt with another restore point is another restore: its cases must not be mixed up with these.
fn check_attempt(at: &dyn Snapshot, here: &Here) -> Res<()> {
    let attempt = here.attempt;
    let known = at.one(
        "SELECT restored_to FROM attempts WHERE incident = ?1 AND attempt = ?2",
        &[at.incident().into(), attempt.into()],
        |r| r.get_int(0),
    )?;
    match (known.flatten(), here.restored_to) {
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

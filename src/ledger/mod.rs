//! The ledger: cases, claims, decisions, the audit trail. A SQLite file of one person, shared by their consoles.
//!
//! Everything a person does is one transaction here, with its line of the audit trail in it; refusals are written down
//! as well. [`scan`] takes in what a scan found, [`rows`] reads the queue and the cases, [`claims`], [`decide`] and
//! [`settle`] are the deeds, [`audit`] the chain. [`store`] says what the stores have in common, and how a deed is added.
//!
//! | file | what it does |
//! | --- | --- |
//! | `plan` | a decision, made of what was read, as it is written |
//! | `body` | a found case, packed |
//! | `bulks` | the same decision for many cases: the journal |
//! | `fault` | errors for people |
//! | `effects` | what leaves restitch after a decision, and what came of it |
//! | `opening` | how the rows stood when an attempt was first scanned |
//! | `facts` | small things about an incident, such as clocks |
//! | `hold` | the hold on a broker: last reading, offsets at the shutdown, rescues |
//! | `once` | facts that count once |
//! | `papers` | what people sign: decisions that wait for another person, hand-overs, the end |
//! | `ignores` | columns that people ignore |
//! | `place` | where a case stands in the queue |
//! | `follow` | which findings are new after a decision |
//! | `sqlite` | the file, its rights and versions |

mod audit;
mod body;
mod bulks;
mod claims;
mod decide;
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
mod reopen;
mod rows;
mod scan;
mod settle;
mod sqlite;
mod store;
pub mod who;

#[cfg(test)]
pub(crate) mod tests;

use crate::config::{Approve, Config, DbUrl, Effects};
use crate::domain::schema::Schema;
use crate::domain::{Error, Result, time};
use audit::Deed;
pub use decide::new_key;
pub use effects::Pending;
pub use facts::Said;
use fault::Res;
pub use hold::Rescue;
pub use ignores::{to_paste, with_ignores};
pub use papers::asked;
pub use phases::Asker;
pub(crate) use plan::hex;
use sqlite::Sqlite;
use store::{Act, Snapshot};
pub use who::{Role, Who};

/// Whose ledger it is: the incident, who acts, and what the configuration says of both.
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

/// The ledger of one incident, opened by one thread.
pub struct Ledger {
    store: Sqlite,
    here: Here,
    readonly: bool,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Ledger({}, {}, {})",
            self.store.path, self.here.name, self.here.who.user
        )
    }
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
        let ledger = Self {
            store: Sqlite::open(path, readonly)?,
            here: Here {
                name: config.incident.id.clone(),
                attempt: config.incident.attempt,
                restored_to: config.incident.restored_to,
                role: Role::of(&who.system_user, config.roles.as_ref()),
                who,
                schema: config.schema.clone(),
                effects: config.effects.clone(),
                approve: config.approve.clone(),
            },
            readonly,
        };
        ledger.read(|at| check_attempt(at, &ledger.here))?;
        Ok(ledger)
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

    /// Takes leases and times from another clock (microseconds since 1970) than the system's.
    pub fn set_clock(&mut self, clock: impl Fn() -> i64 + Send + 'static) {
        self.store.clock = Box::new(clock);
    }

    /// A number that differs whenever anyone changed anything: consoles poll it.
    pub fn revision(&self) -> Result<i64> {
        self.store.revision().map_err(|e| e.told(&self.store.path))
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
        self.store.read(&self.here, what).map_err(|e| e.told(&self.store.path))
    }

    /// Does an act.
    fn act<A: Act>(&mut self, act: &A) -> Result<A::Answer> {
        self.refuse_readonly(act.deed())?;
        self.store.act(&self.here, act).map_err(|e| e.told(&self.store.path))
    }

    /// Writes a refusal down that was found before the store was asked to act, and gives it back.
    fn refuse(&mut self, deed: Deed<'_>, error: Error) -> Error {
        match self.store.write_refusal(&self.here, deed, &error) {
            Ok(()) => error,
            Err(lost) => lost.told(&self.store.path),
        }
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

//! A database with a ledger, a clock that the tests turn, and people with logins of their own.

use crate::contract::{T0, roles, schema};
use crate::raw::Raw;
use crate::support::{Pg, database};
use restitch::config::{Config, DbUrl};
use restitch::domain::Result;
use restitch::ledger::{self, Ledger, Who};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// The server of these tests, which keeps what it acknowledges.
pub fn server() -> &'static Pg {
    static SERVER: OnceLock<Pg> = OnceLock::new();
    SERVER.get_or_init(with_people)
}

/// A server of its own with the same people.
pub fn with_people() -> Pg {
    let pg = Pg::start(&[
        "fsync=on",
        "max_connections=300",
        "track_commit_timestamp=on",
        "shared_preload_libraries=plpgsql",
    ]);
    let people = [
        ("bo", "viewer"),
        ("pat", "relay"),
        ("ana", "operator"),
        ("li", "operator"),
        ("kim", "operator"),
        ("sam", "lead"),
        ("mallory", "viewer"),
        ("nobody", ""),
    ];
    for (name, _) in people {
        pg.psql("postgres", &format!("CREATE ROLE {name} LOGIN"));
    }
    // The roles of the ledger are made with the first one.
    let first = Room::in_database(&pg, &pg.create_db());
    ledger::create(&first, false).unwrap();
    for (name, role) in people.iter().filter(|(_, role)| !role.is_empty()) {
        pg.psql("postgres", &format!("GRANT restitch_{role} TO {name}"));
    }
    pg
}

/// A ledger of its own.
pub struct Room {
    pub pg: &'static Pg,
    pub db: String,
    pub config: Config,
    /// Of whoever owns the tables.
    raw: OnceLock<Raw>,
}

impl Room {
    /// So many times any deeds are done in any order.
    pub const RUNS: u32 = 10;

    /// With a clock that stands still until [`Room::pass`].
    pub fn new() -> Self {
        let room = Self::on_time();
        room.sql(&format!(
            "CREATE TABLE public.clock AS SELECT {T0}::bigint AS us;
             GRANT SELECT ON public.clock TO PUBLIC;
             CREATE OR REPLACE FUNCTION restitch.micros() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT us FROM public.clock'"
        ));
        room
    }

    /// With the server's clock.
    pub fn on_time() -> Self {
        Self::on(server())
    }

    /// The same on this server.
    pub fn on(pg: &'static Pg) -> Self {
        let db = pg.create_db();
        let config = Self::in_database(pg, &db);
        ledger::create(&config, false).unwrap();
        Self {
            pg,
            db,
            config,
            raw: OnceLock::new(),
        }
    }

    /// The configuration of a ledger in this database, as its superuser.
    pub fn in_database(pg: &Pg, db: &str) -> Config {
        Self::at(pg.port, db, pg.home.join("decisions"))
    }

    /// The same where another process started the server, or by way of another port; with the folder for decisions that are
    /// not answered yet.
    pub fn at(port: u16, db: &str, decisions: PathBuf) -> Config {
        let mut config = Config::default();
        "2026-11-22-prod".clone_into(&mut config.incident.id);
        config.incident.restored_to = Some(T0);
        config.ledger.database = database(port, db);
        // Not among the real ones of who runs the tests.
        config.ledger.decisions = Some(decisions);
        config.schema = schema();
        config.roles = Some(roles());
        config
    }

    /// The same for a person.
    pub fn config_of(&self, person: &str) -> Config {
        Self::with_login(&self.config, person)
    }

    fn with_login(config: &Config, person: &str) -> Config {
        let mut config = config.clone();
        if let DbUrl::Postgres { user, .. } = &mut config.ledger.database.url {
            person.clone_into(user);
        }
        config
    }

    pub fn open(&self, person: &str) -> Ledger {
        self.try_open(person, false).unwrap()
    }

    pub fn try_open(&self, person: &str, readonly: bool) -> Result<Ledger> {
        Self::open_as(&self.config, person, readonly)
    }

    /// As configured, by this person.
    pub fn open_as(config: &Config, person: &str, readonly: bool) -> Result<Ledger> {
        let who = Who {
            user: person.to_owned(),
            system_user: person.to_owned(),
            ssh: None,
        };
        Ledger::open_as(&Self::with_login(config, person), readonly, who)
    }

    pub fn pass(&self, time: Duration) {
        self.sql(&format!("UPDATE public.clock SET us = us + {}", time.as_micros()));
    }

    /// Rewrites the trail as who owns the tables can; in the words of a SQLite ledger.
    pub fn forge(&self, sql: &str) {
        let mut here = String::new();
        for word in sql.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let is_table =
                ["audit", "heads", "incidents"].contains(&word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()));
            here.push_str(if is_table { "restitch.kept_" } else { "" });
            here.push_str(word);
        }
        let raw = self.raw.get_or_init(|| Raw::new(self, "demo"));
        raw.sql(&format!("SET synchronous_commit = off; BEGIN; {here}; COMMIT"))
            .unwrap();
    }

    /// As the superuser, behind the ledger's back.
    pub fn sql(&self, sql: &str) -> String {
        self.pg.psql(&self.db, sql)
    }
}

//! An incident on a PostgreSQL database of its own, or on a SQLite file, and the binary run on it.

use crate::night::{Night, Ran};
use crate::support::{Pg, pg};
use restitch::config::Config;
use restitch::ledger;
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::sync::OnceLock;

/// Where the ledger of a world stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a SQLite file.
    File,
    /// In a PostgreSQL database of its own, on another server than the restored one.
    Server,
    /// In the restored database.
    Restored,
}

pub struct World {
    pub night: Night,
    /// The PostgreSQL database; without one the file of the night.
    pub db: Option<String>,
    place: Place,
    /// The database of a ledger on a server.
    ledger: Option<String>,
}

/// The server of the ledgers, which keeps what it acknowledges; with a ledger in its database `ledger`, to be copied.
fn ledgers() -> &'static Pg {
    static SERVER: OnceLock<Pg> = OnceLock::new();
    SERVER.get_or_init(|| {
        let pg = Pg::start(&["fsync=on"]);
        pg.psql("postgres", "create database ledger");
        make_ledger(&pg, "ledger");
        pg
    })
}

fn make_ledger(pg: &Pg, db: &str) {
    let mut config = Config::default();
    config.ledger.database = pg.database(db);
    ledger::create(&config, true).unwrap();
}

impl World {
    /// A database made by `sql`, the entities mapped by `schema`, a native log of these events; the ledger in a file.
    pub fn new(sql: &str, schema: &str, events: &[Event<'_>]) -> Self {
        Self::with_ledger(Place::File, sql, schema, events)
    }

    /// As [`World::new`], with the ledger there.
    pub fn with_ledger(place: Place, sql: &str, schema: &str, events: &[Event<'_>]) -> Self {
        let night = Night::new();
        let server = server(place);
        let db = server.create_db();
        server.psql(&db, sql);
        let at = |url: String| format!("url = \"{url}\"\nsslmode = \"disable\"");
        let (ledger, more) = match place {
            Place::File => (None, String::new()),
            Place::Server => {
                let name = ledgers().copy_db("ledger");
                let more = format!("[ledger]\n{}\n\n", at(ledgers().url(&name)));
                (Some(name), more)
            }
            Place::Restored => {
                make_ledger(server, &db);
                let more = format!("[ledger]\n{}\ninside_restored = true\n\n", at(server.url(&db)));
                (Some(db.clone()), more)
            }
        };
        let mut world = Self::begin(
            night,
            Some(db.clone()),
            &at(server.url(&db)),
            &format!("{more}{schema}"),
            events,
        );
        (world.place, world.ledger) = (place, ledger);
        world
    }

    /// As [`World::new`], in a SQLite file.
    pub fn on_sqlite(sql: &str, schema: &str, events: &[Event<'_>]) -> Self {
        let night = Night::new();
        std::fs::remove_file(night.path("restored.db")).unwrap();
        night.sql(sql);
        Self::begin(night, None, "url = \"sqlite:restored.db\"", schema, events)
    }

    fn begin(night: Night, db: Option<String>, restored: &str, schema: &str, events: &[Event<'_>]) -> Self {
        let config = format!(
            "[incident]\nid = \"night\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n\n[restored]\n{restored}\n\n\
             [[log]]\nname = \"cdc\"\npath = \"log.ndjson\"\nformat = \"native\"\n\n{schema}"
        );
        night.write("restitch.toml", config);
        let world = Self {
            night,
            db,
            place: Place::File,
            ledger: None,
        };
        world.log(events);
        world
    }

    /// Another log.
    pub fn log(&self, events: &[Event<'_>]) {
        let mut log = String::new();
        for (pos, (entity, key, op, state)) in events.iter().enumerate() {
            let pos = pos + 1;
            let (minute, second) = (6 + pos / 60, pos % 60);
            writeln!(
                log,
                r#"{{"pos":{pos},"ts":"2026-11-22T14:{minute:02}:{second:02}Z","entity":"{entity}","key":"{key}","op":"{op}","state":{state}}}"#
            )
            .unwrap();
        }
        self.night.write("log.ndjson", log);
    }

    /// Changes the restored database.
    pub fn sql(&self, sql: &str) -> String {
        if let Some(db) = &self.db {
            return server(self.place).psql(db, sql);
        }
        self.night.sql(sql);
        String::new()
    }

    /// The port of the server of the restored database.
    pub fn port(&self) -> u16 {
        server(self.place).port
    }

    /// The port of the server of the ledger.
    pub fn ledger_port() -> u16 {
        ledgers().port
    }

    /// Asks a ledger on a server behind its back.
    pub fn ledger_sql(&self, sql: &str) -> String {
        ledgers().psql(self.ledger.as_ref().unwrap(), sql)
    }

    /// The URL of a ledger on a server for a login of this role.
    pub fn ledger_as(&self, person: &str, role: &str) -> String {
        let port = ledgers().port;
        self.ledger_sql(&format!(
            "do $$ begin create role {person} login; exception when duplicate_object or unique_violation then null; end $$;
             grant restitch_{role} to {person}"
        ));
        format!("postgres://{person}@127.0.0.1:{port}/{}", self.ledger.as_ref().unwrap())
    }

    /// Changes tables of the ledger behind its back: `update TABLE …;` as often as wanted.
    pub fn in_ledger(&self, sql: &str) {
        match &self.ledger {
            None => {
                let file = rusqlite::Connection::open(self.night.path("restitch.db")).unwrap();
                file.execute_batch(sql).unwrap();
            }
            Some(db) => {
                ledgers().psql(db, &sql.replace("update ", "update restitch.kept_"));
            }
        }
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.night.run(args)
    }

    /// Scans; its report. Ends with 0 where nothing is left, else with 3.
    #[track_caller]
    pub fn scan(&self) -> Json {
        let ran = self.run(&["scan", "--json"]);
        assert!(matches!(ran.code, 0 | 3), "{}", ran.err);
        ran.json()
    }

    /// All cases.
    pub fn cases(&self) -> Vec<Json> {
        self.run(&["cases", "--json"]).ended(0).lines()
    }

    /// One case.
    #[track_caller]
    pub fn case(&self, id: &str) -> Json {
        let cases = self.cases();
        let found = cases.iter().find(|c| c["case"] == id).cloned();
        found.unwrap_or_else(|| panic!("no case {id} in {cases:#?}"))
    }

    /// Every row finding as `entity key kind`, sorted.
    pub fn found(&self) -> Vec<String> {
        found(&self.cases())
    }
}

/// The server of the restored database.
fn server(place: Place) -> &'static Pg {
    match place {
        Place::Restored => ledgers(),
        Place::File | Place::Server => pg(),
    }
}

/// Every finding as `entity key kind`, sorted.
pub fn found(cases: &[Json]) -> Vec<String> {
    let findings = cases.iter().flat_map(|c| c["findings"].as_array().unwrap());
    let text = |f: &Json, key: &str| f[key].as_str().unwrap().to_owned();
    let mut found: Vec<String> = findings
        .map(|f| format!("{} {} {}", text(f, "entity"), text(f, "key"), text(f, "kind")))
        .collect();
    found.sort();
    found
}

/// Entity, key, op, state.
pub type Event<'a> = (&'a str, &'a str, &'a str, &'a str);

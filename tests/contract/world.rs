//! An incident on a PostgreSQL database of its own, or on a SQLite file, and the binary run on it.

use crate::night::{Night, Ran};
use crate::support::pg;
use serde_json::Value as Json;
use std::fmt::Write as _;

pub struct World {
    pub night: Night,
    /// The PostgreSQL database; without one the file of the night.
    pub db: Option<String>,
}

impl World {
    /// A database made by `sql`, the entities mapped by `schema`, a native log of these events.
    pub fn new(sql: &str, schema: &str, events: &[Event<'_>]) -> Self {
        let night = Night::new();
        let db = pg().create_db();
        pg().psql(&db, sql);
        let restored = format!("url = \"{}\"\nsslmode = \"disable\"", pg().url(&db));
        Self::begin(night, Some(db), &restored, schema, events)
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
        let world = Self { night, db };
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
            return pg().psql(db, sql);
        }
        self.night.sql(sql);
        String::new()
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

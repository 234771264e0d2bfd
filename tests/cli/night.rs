//! A small incident in a folder: a restored database, a log, a configuration; and the binary run in it.

use rusqlite::Connection;
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub const CONFIG: &str = r#"
[incident]
id = "night"
restored_to = "2026-11-22T15:05:00+01:00"

[restored]
url = "sqlite:restored.db"

[[log]]
name = "cdc"
path = "log.ndjson"
format = "native"

[schema.order]
table = "orders"
key = "id"
label = "external_id"
identity = ["external_id"]
state = "status"
refs = { prior_order_id = "order" }

[schema.order_item]
table = "order_items"
key = "id"
owner = "order_id"
refs = { inventory_item_id = "inventory_item" }

[schema.inventory_item]
table = "inventory_items"
key = "id"

[schema.plan]
table = "plans"
key = "id"
owner = "order_id"
state = "state"
in_progress = ["Running"]
"#;

/// Ids above 2^53: every digit counts.
pub const BIG: &str = "77405618597879921";

const RESTORED: &str = "
create table orders (id bigint primary key, external_id text, status text, qty integer, prior_order_id bigint);
create table order_items (id bigint primary key, order_id bigint, inventory_item_id bigint);
create table inventory_items (id bigint primary key, status text);
create table plans (id bigint primary key, order_id bigint, state text);
insert into orders values (1, 'SFO-1', 'Accepted', 1, null), (2, 'SFO-2', 'Created', 2, null),
  (4, 'SFO-4', 'Created', 4, null), (77405618597879921, 'SFO-5', 'Created', 5, null);
insert into plans values (9, 2, 'Running');
insert into inventory_items values (11, 'Active');
";

pub const LOG: &str = r#"{"pos":1,"ts":"2026-11-22T14:06:00Z","entity":"order","key":1,"op":"upsert","state":{"status":"Accepted"}}
{"pos":2,"ts":"2026-11-22T14:07:00Z","entity":"order","key":2,"op":"upsert","state":{"status":"Accepted","qty":7}}
{"pos":3,"ts":"2026-11-22T14:08:00Z","entity":"order","key":3,"op":"insert","state":{"external_id":"SFO-3","status":"Created","qty":3}}
{"pos":4,"ts":"2026-11-22T14:08:01Z","entity":"inventory_item","key":12,"op":"insert","state":{"status":"Active"}}
{"pos":5,"ts":"2026-11-22T14:08:02Z","entity":"order_item","key":30,"op":"insert","state":{"order_id":3,"inventory_item_id":11}}
{"pos":6,"ts":"2026-11-22T14:09:00Z","entity":"order","key":4,"op":"delete","state":null}
{"pos":7,"ts":"2026-11-22T14:10:00Z","entity":"order","key":"77405618597879921","op":"upsert","state":{"prior_order_id":3}}
{"pos":8,"ts":"2026-11-22T14:11:00Z","entity":"invoice","key":1,"op":"insert","state":{}}
"#;

pub struct Night {
    folder: tempfile::TempDir,
}

/// How a run of the binary ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The one JSON value on stdout.
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {:?} {:?}", self.out, self.err))
    }

    /// The JSON values on stdout, one a line.
    pub fn lines(&self) -> Vec<Json> {
        self.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// Fails unless the run ended so.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Fails unless stderr says all of this.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {:?}", self.err);
        }
        self
    }
}

impl Night {
    pub fn new() -> Self {
        let night = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        night.write("restitch.toml", CONFIG);
        night.write("log.ndjson", LOG);
        night.sql(RESTORED);
        night
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, body: impl AsRef<[u8]>) {
        fs::write(self.path(name), body).unwrap();
    }

    /// Another configuration: a piece of the usual one replaced.
    pub fn configure(&self, old: &str, new: &str) {
        assert!(CONFIG.contains(old));
        self.write("restitch.toml", CONFIG.replace(old, new));
    }

    /// Changes the restored database.
    pub fn sql(&self, sql: &str) {
        let db = Connection::open(self.path("restored.db")).unwrap();
        db.execute_batch(sql).unwrap();
    }

    /// The binary, in the folder, knowing nothing of this machine's user.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restitch"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("RESTITCH_") || name.starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("home"))
            .env("XDG_STATE_HOME", self.path("state"))
            .stdin(Stdio::null())
            .args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Self::finish(self.command(args).output().unwrap())
    }

    pub fn finish(output: Output) -> Ran {
        Ran {
            code: output.status.code().expect("ended by itself"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Scans; cases are left.
    pub fn scanned() -> Self {
        let night = Self::new();
        night.run(&["scan"]).ended(3);
        night
    }
}

/// The keys of an object in their order.
pub fn keys(object: &Json) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A file of this repository.
pub fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

//! The old instance: clients that stay, tables that still grow.

use crate::support::pg;
use restitch::config::{Config, LogConfig, SourceKind};
use restitch::domain::old::Old;
use restitch::domain::time;
use restitch::restore::old::{Watch, watches};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

fn watch(db: &str) -> Watch {
    let log = LogConfig {
        source: SourceKind::Database,
        database: Some(pg().database(db)),
        path: None,
        ..LogConfig::file("before", "", restitch::config::FormatKind::Native)
    };
    let config = Config {
        logs: vec![log],
        ..Config::default()
    };
    watches(&config).pop().unwrap()
}

/// Somebody who stays connected.
struct Client(Child);

impl Client {
    fn of(db: &str) -> Self {
        let psql = Command::new(crate::support::bin().join("psql"))
            .args([
                "-X",
                "-q",
                "-h",
                "127.0.0.1",
                "-U",
                "demo",
                "-p",
                &pg().port.to_string(),
                "-d",
                db,
            ])
            .env("PGAPPNAME", "billing")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(psql)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// Looks until it is like this: the server tells of what was written a second later.
async fn until(watch: &mut Watch, what: &str, like: impl Fn(&Old) -> bool) -> Old {
    let end = Instant::now() + LIMIT;
    loop {
        let old = watch.look(time::now()).await;
        if like(&old) {
            return old;
        }
        assert!(Instant::now() < end, "never {what}: {old:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn one_that_still_takes_commits_raises_the_alarm() {
    let db = pg().create_db();
    pg().psql(&db, "create table orders (id int); insert into orders values (1), (2)");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut watch = watch(&db);
        // What was written before anybody looked is no alarm; it may still be on its way into the statistics.
        pg().psql(&db, "select pg_stat_force_next_flush()");
        until(&mut watch, "reachable", |old| old.seen.is_ok()).await;
        let quiet = until(&mut watch, "without clients", |old| {
            old.seen.as_ref().is_ok_and(|s| s.clients.is_empty())
        })
        .await;
        assert_eq!(quiet.alarm(), None);

        // Somebody is there and writes nothing: named, no alarm.
        let client = Client::of(&db);
        let idle = until(&mut watch, "with a client", |old| {
            old.seen.as_ref().is_ok_and(|s| !s.clients.is_empty())
        })
        .await;
        assert_eq!(idle.clients(), "demo from 127.0.0.1 (billing)");
        assert_eq!(idle.alarm(), None);
        assert!(idle.seen.unwrap().writable);

        pg().psql(&db, "insert into orders select generate_series(3, 14)");
        let taken = until(&mut watch, "an alarm", |old| old.alarm().is_some()).await;
        let alarm = taken.alarm().unwrap();
        assert!(
            alarm.starts_with("THE OLD INSTANCE (before) TAKES COMMITS: 12 rows until "),
            "{alarm}"
        );
        assert!(alarm.ends_with(", demo from 127.0.0.1 (billing)"), "{alarm}");
        drop(client);
        // It stays one when the client is gone: what it wrote is in neither world.
        let after = until(&mut watch, "without clients", |old| {
            old.seen.as_ref().is_ok_and(|s| s.clients.is_empty())
        })
        .await;
        assert!(after.alarm().unwrap().contains("12 rows"));
    });
}

#[test]
fn restitch_itself_and_its_reading_are_no_clients() {
    let db = pg().create_db();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut one, mut two) = (watch(&db), watch(&db));
        one.look(time::now()).await;
        let seen = two.look(time::now()).await.seen.unwrap();
        assert_eq!(seen.clients, []);
        assert_eq!(seen.written, None);
    });
}

#[test]
fn one_that_cannot_be_asked_says_why_and_is_asked_again() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let name = "not_there_yet";
        let mut watch = watch(name);
        let why = watch.look(time::now()).await.seen.unwrap_err();
        assert!(why.contains("has no database \"not_there_yet\""), "{why}");
        pg().psql("postgres", &format!("create database {name}"));
        until(&mut watch, "back", |old| old.seen.is_ok()).await;
    });
}

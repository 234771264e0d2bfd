//! SSH sessions that drop in the middle of a decision, on a ledger in PostgreSQL that others share: the cases are free soon,
//! and the last decision is done or it is not.

use super::server as pg;
use super::terminal::{RESTITCH, Terminal};
use crate::support::dice::{Dice, is_soak};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Ledgers side by side, a console at each: two of one person at one ledger would have the same cases.
const INCIDENTS: usize = 6;
/// A lease, microseconds: whoever is gone holds nothing after it.
const LEASE: i64 = 60_000_000;

/// An incident with so many lost orders, its ledger, and one person who works on it: whoever runs this, by their login.
struct Incident {
    folder: TempDir,
    db: String,
}

impl Incident {
    fn new(orders: usize) -> Self {
        let (folder, db) = (tempfile::tempdir().unwrap(), pg().create_db());
        let incident = Self { folder, db };
        let folder = incident.folder.path();
        std::fs::write(folder.join("restitch.toml"), incident.config("demo")).unwrap();
        let restored = Connection::open(folder.join("restored.db")).unwrap();
        restored
            .execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT)")
            .unwrap();
        let mut log = String::new();
        for order in 1..=orders {
            writeln!(
                log,
                r#"{{"pos":{order},"ts":"2026-11-22T14:09:11Z","entity":"order","key":{order},"op":"insert","state":{{"status":"New"}}}}"#
            )
            .unwrap();
        }
        std::fs::write(folder.join("log.ndjson"), log).unwrap();
        run(folder, &["ledger", "create"]);
        run(folder, &["scan"]);
        let person = person();
        pg().psql(
            "postgres",
            &format!(
                "DO $$ BEGIN CREATE ROLE \"{person}\" LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                 GRANT restitch_operator TO \"{person}\""
            ),
        );
        incident
    }

    fn config(&self, login: &str) -> String {
        let url = pg().url(&self.db).replace("demo@", &format!("{login}@"));
        format!(
            "[incident]\nid = \"dropped\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n[restored]\nurl = \"sqlite:{0}/restored.db\"\n\
             [[log]]\nname = \"cdc\"\npath = \"{0}/log.ndjson\"\nformat = \"native\"\n[ledger]\nurl = \"{url}\"\n\
             sslmode = \"disable\"\n[schema.order]\ntable = \"orders\"\nkey = \"id\"\n",
            self.folder.path().display()
        )
    }

    fn sql(&self, sql: &str) -> String {
        pg().psql(&self.db, sql)
    }
}

fn person() -> String {
    restitch::ledger::who::current().user
}

/// Runs a command as whoever has this home.
fn run(home: &Path, args: &[&str]) -> (String, String) {
    let output = Command::new(RESTITCH)
        .args(args)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 3)), "{args:?}: {out}{err}");
    (out, err)
}

/// Decisions that were asked for from this home and have no answer.
fn unresolved(home: &Path) -> usize {
    let folder = home.join(".local/state/restitch/decisions");
    std::fs::read_dir(folder).map_or(0, |files| {
        files
            .flatten()
            .filter(|f| f.path().extension().is_some_and(|e| e == "json"))
            .count()
    })
}

/// What became of all of them.
#[derive(Default)]
struct Told {
    done: AtomicUsize,
    not_done: AtomicUsize,
    unresolved: AtomicUsize,
    longest: AtomicU32,
}

#[test]
fn a_dropped_session_frees_its_cases_and_its_decision_is_done_or_not() {
    let each = if is_soak() { 1_000 } else { 102 } / INCIDENTS;
    // More cases than are worked on, so that there is always a next one.
    let incidents: Vec<Incident> = (0..INCIDENTS).map(|_| Incident::new(2 * each)).collect();
    let told = Told::default();
    thread::scope(|scope| {
        for (lane, incident) in incidents.iter().enumerate() {
            let told = &told;
            scope.spawn(move || {
                let mut dice = Dice::new(lane as u64);
                for _ in 0..each {
                    hang_up(incident, &mut dice, told);
                }
            });
        }
    });
    let [done, not_done, unresolved] = [told.done, told.not_done, told.unresolved].map(AtomicUsize::into_inner);
    let longest = told.longest.into_inner();
    let story = format!(
        "{} hang-ups: {done} decisions done, {not_done} not, {unresolved} settled at the next start; cases free after {longest} s \
         at most",
        INCIDENTS * each
    );
    println!("{story}");
    assert_eq!(done + not_done, INCIDENTS * each);
    assert!(done >= each && not_done >= each, "{story}");
    let mut written = 0;
    for incident in &incidents {
        let all = incident.sql(
            "SELECT (SELECT count(*) FROM restitch.kept_decisions), (SELECT count(*) FROM restitch.kept_decided),
                    (SELECT count(*) FROM restitch.kept_cases WHERE state = 'proven'),
                    (SELECT count(*) FROM restitch.kept_audit WHERE action = 'decide' AND outcome = 'ok')",
        );
        let counts: Vec<usize> = all.split('|').map(|n| n.parse().unwrap()).collect();
        assert!(counts.iter().all(|n| *n == counts[0]), "half of a decision: {all}");
        written += counts[0];
        run(incident.folder.path(), &["audit", "verify"]);
    }
    assert_eq!(written, done);
}

/// A person claims a case, decides it, and is cut off meanwhile.
fn hang_up(incident: &Incident, dice: &mut Dice, told: &Told) {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("restitch.toml"), incident.config(&person())).unwrap();
    let mut terminal = Terminal::restitch(&[], home.path(), (80, 24));
    terminal.shows("1 of ");
    terminal.keys("J");
    terminal.shows(" is yours");
    let newest =
        "SELECT c.id FROM restitch.kept_claims l JOIN restitch.kept_cases c USING (no) ORDER BY l.until DESC LIMIT 1";
    let case = incident.sql(newest);
    terminal.keys("a");
    terminal.in_dialog("what shall happen?", "k");
    terminal.in_dialog("esc leave it alone", "1");
    terminal.shows("y ");
    // From before the last key to well after its answer: time is the subject.
    if dice.percent(80) {
        terminal.keys("y");
        thread::sleep(Duration::from_millis(dice.roll(60) as u64));
    }
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'restitch ledger % {}'",
        incident.db,
        terminal.pid()
    );
    assert_ne!(pg().psql("postgres", &sessions), "0");
    terminal.hang_up();
    assert_eq!(terminal.ends(), Ok(129));
    let begun = Instant::now();
    while pg().psql("postgres", &sessions) != "0" {
        assert!(begun.elapsed() < Duration::from_secs(20), "its sessions stay");
    }
    let left = incident.sql(&format!(
        "SELECT coalesce(max(l.until) - restitch.micros(), 0) FROM restitch.kept_claims l
         JOIN restitch.kept_cases c USING (no) WHERE c.id = '{case}'"
    ));
    let left: i64 = left.parse().unwrap();
    assert!(left <= LEASE, "{case} is held for {left} us more, and nobody renews it");
    told.longest
        .fetch_max(u32::try_from(left.max(0) / 1_000_000).unwrap(), Ordering::Relaxed);
    told.unresolved.fetch_add(unresolved(home.path()), Ordering::Relaxed);
    // The next start settles it before it does anything.
    let (_, said) = run(home.path(), &["drop", &case]);
    assert_eq!(unresolved(home.path()), 0, "{said}");
    let (shown, _) = run(home.path(), &["show", &case, "--json"]);
    let file: Json = serde_json::from_str(&shown).unwrap();
    match file["state"].as_str().unwrap() {
        "proven" => &told.done,
        "open" => &told.not_done,
        other => panic!("{case} is {other}"),
    }
    .fetch_add(1, Ordering::Relaxed);
}

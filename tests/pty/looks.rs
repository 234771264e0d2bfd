//! Whoever may only look: every view of the console as a viewer, and every key that would do something with `--readonly`,
//! against a server that keeps a list of all statements. None of them writes.

use super::server;
use super::terminal::{PATIENCE, RESTITCH, Terminal};
use crate::support::{Pg, dice::Dice};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Orders that were lost, and one that changed.
const RESTORED: &str = "
create table orders (id int primary key, external_id text, status text);
create table lines (id int primary key, order_id int, what text);
insert into orders values (1, 'SFO-1', 'Created'), (2, 'SFO-2', 'Created');
insert into lines values (1, 1, 'fibre');
grant select on orders, lines to looker;
";

const LOG: &str = r#"{"pos":1,"ts":"2026-11-22T14:06:00Z","entity":"order","key":1,"op":"upsert","state":{"status":"Activated"}}
{"pos":2,"ts":"2026-11-22T14:07:00Z","entity":"order","key":3,"op":"insert","state":{"external_id":"SFO-3","status":"Created"}}
{"pos":3,"ts":"2026-11-22T14:08:00Z","entity":"line","key":7,"op":"insert","state":{"order_id":3,"what":"fibre"}}
{"pos":4,"ts":"2026-11-22T14:09:00Z","entity":"order","key":2,"op":"delete","state":null}
"#;

fn configure(folder: &Path, pg: &Pg, [restored, ledger]: [&str; 2], user: &str) {
    let url = |db: &str| pg.url(db).replace("demo@", &format!("{user}@"));
    let config = format!(
        "[incident]\nid = \"looked-at\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n[restored]\nurl = \"{}\"\nsslmode = \"disable\"\n\
         [[log]]\nname = \"cdc\"\npath = \"log.ndjson\"\nformat = \"native\"\n[ledger]\nurl = \"{}\"\nsslmode = \"disable\"\n\
         [schema.order]\ntable = \"orders\"\nkey = \"id\"\nlabel = \"external_id\"\nstate = \"status\"\n\
         [schema.line]\ntable = \"lines\"\nkey = \"id\"\nowner = \"order_id\"\n",
        url(restored),
        url(ledger)
    );
    std::fs::write(folder.join("restitch.toml"), config).unwrap();
}

/// Waits until the sessions are gone: what they wrote is counted then.
fn nobody_is_there(pg: &Pg, [restored, ledger]: [&str; 2]) {
    let there = format!("SELECT count(*) FROM pg_stat_activity WHERE datname IN ('{restored}', '{ledger}')");
    let begun = Instant::now();
    while pg.psql("postgres", &there) != "0" {
        assert!(begun.elapsed() < PATIENCE, "the sessions stay");
    }
}

/// Rows written to tables of these databases since they were made; to the catalogue autovacuum writes too.
fn rows_written(pg: &Pg, databases: [&str; 2]) -> String {
    databases
        .map(|db| {
            pg.psql(
                db,
                "SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) FROM pg_stat_user_tables",
            )
        })
        .join(" ")
}

/// The statements of this login, each once, with how often it came.
fn statements(pg: &Pg, user: &str) -> BTreeMap<String, usize> {
    let log = std::fs::read(pg.home.join("log")).unwrap();
    let log = String::from_utf8_lossy(&log);
    let mut all = BTreeMap::new();
    for line in log.lines().filter(|l| l.starts_with(&format!("{user}@"))) {
        let told = line.split_once("statement: ").or_else(|| line.split_once("execute "));
        let Some((_, statement)) = told else { continue };
        let statement = statement
            .split_once(": ")
            .filter(|(name, _)| name.starts_with('<'))
            .map_or(statement, |(_, s)| s);
        *all.entry(statement.trim().to_lowercase()).or_default() += 1;
    }
    all
}

/// Whether a statement could change a row, or anything else that outlives its session.
fn writes(statement: &str) -> bool {
    let words: Vec<&str> = statement
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
        .collect();
    let reads = [
        "begin", "select", "with", "declare", "fetch", "close", "rollback", "commit", "set", "show", "end", "start",
        "explain", "listen",
    ];
    let changes = [
        "insert",
        "update",
        "delete",
        "truncate",
        "merge",
        "create",
        "alter",
        "drop",
        "grant",
        "revoke",
        "copy",
        "call",
        "lock",
        "nextval",
        "setval",
        "notify",
        "pg_notify",
        "lo_create",
    ];
    // A deed is a function of the ledger; its clock is none.
    let is_deed = |word: &&str| word.starts_with("restitch.") && statement.contains(&format!("{word}("));
    !reads.contains(&words[0])
        || words.iter().any(|w| changes.contains(w))
        || words.iter().any(|w| is_deed(w) && *w != "restitch.micros")
}

/// Opens every view, every overlay and a case.
fn walk_everywhere(folder: &Path) {
    let mut terminal = Terminal::restitch(&[], folder, (160, 48));
    terminal.shows("of 3");
    for (keys, shown) in [
        ("<enter>", "said by"),
        ("+l", "events"),
        ("<esc>", "enter open"),
        ("1", "RESTORE"),
        ("3", "differences, of"),
        ("<enter>", "all counts"),
        ("<esc>", "differences, of"),
        ("4", "HOLD"),
        ("5", "BOARD"),
        ("2", "QUEUE"),
        ("?", "keys in Queue"),
        ("<esc>", "held by"),
        (":", "command"),
    ] {
        terminal.keys(keys);
        terminal.shows(shown);
    }
    terminal.keys("<ctrl-c>");
    terminal.shows("enter open");
    terminal.keys("q");
    assert_eq!(terminal.ends(), Ok(0));
}

/// Presses what would do something, in every view, where the console was told to do nothing.
fn press_everything(folder: &Path) {
    let mut terminal = Terminal::restitch(&["--readonly"], folder, (160, 48));
    terminal.shows("of 3");
    let mut dice = Dice::new(20_261_128);
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').filter(|c| !"qQ".contains(*c)).collect();
    for view in ["1", "2", "3", "4", "5", "2"] {
        terminal.keys("<esc>");
        // With a digit right behind it, escape would be alt.
        std::thread::sleep(Duration::from_millis(100));
        terminal.keys(view);
        for _ in 0..2 * letters.len() {
            terminal.keys(&dice.pick(&letters).to_string());
            // One after the other: all at once they would be a paste.
            std::thread::sleep(Duration::from_millis(8));
        }
    }
}

#[test]
fn who_may_only_look_sends_no_statement_that_writes() {
    let pg = server();
    pg.psql("postgres", "CREATE ROLE looker LOGIN");
    let (restored, ledger) = (pg.create_db(), pg.create_db());
    let databases = [restored.as_str(), ledger.as_str()];
    pg.psql(&restored, RESTORED);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log.ndjson"), LOG).unwrap();
    configure(folder.path(), pg, databases, "demo");
    for args in [&["ledger", "create"][..], &["scan"]] {
        let ran = Command::new(RESTITCH)
            .args(args)
            .current_dir(&folder)
            .env_clear()
            .env("HOME", folder.path())
            .output();
        let ran = ran.unwrap();
        assert!(
            matches!(ran.status.code(), Some(0 | 3)),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
    pg.psql("postgres", "GRANT restitch_viewer TO looker");
    pg.psql(
        "postgres",
        &format!(
            "ALTER DATABASE {restored} SET log_statement = 'all'; ALTER DATABASE {ledger} SET log_statement = 'all'"
        ),
    );
    configure(folder.path(), pg, databases, "looker");
    nobody_is_there(pg, databases);
    let before = rows_written(pg, databases);

    walk_everywhere(folder.path());
    press_everything(folder.path());
    nobody_is_there(pg, databases);
    let sent = statements(pg, "looker");
    assert!(sent.values().sum::<usize>() > 50, "{sent:#?}");
    let written: Vec<&String> = sent.keys().filter(|s| writes(s)).collect();
    assert_eq!(written, Vec::<&String>::new());
    assert_eq!(rows_written(pg, databases), before);
}

//! What people do in a night, by keys: see a masked field, take back what has not left yet, decide many cases together.

use super::terminal::{PATIENCE, RESTITCH, Terminal};
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Orders 1 to 4 regressed, with a masked number; 50 and 51 are lost. `more` goes into the configuration.
fn incident(more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(
        at("restitch.toml"),
        format!(
            "[incident]\nid = \"night\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n[restored]\nurl = \"sqlite:restored.db\"\n\
             [[log]]\nname = \"cdc\"\nsource = \"file\"\npath = \"log.ndjson\"\nformat = \"native\"\n\
             [ledger]\nurl = \"sqlite:night.db\"\n\
             [schema.order]\ntable = \"orders\"\nkey = \"id\"\nlabel = \"sf\"\nidentity = [\"sf\"]\nstate = \"status\"\nmask = [\"msisdn\"]\n{more}"
        ),
    )
    .unwrap();
    let restored = rusqlite::Connection::open(at("restored.db")).unwrap();
    restored
        .execute_batch("CREATE TABLE orders (id bigint PRIMARY KEY, sf text, status text, msisdn text)")
        .unwrap();
    let mut log = String::new();
    for n in 1..=4 {
        let row = format!("INSERT INTO orders VALUES ({n}, 'SF{n}', 'Open', '+49170{n}')");
        restored.execute_batch(&row).unwrap();
        writeln!(log, r#"{{"pos":{n},"ts":"2026-11-22T14:09:11Z","entity":"order","key":"{n}","op":"upsert","state":{{"status":"Done","msisdn":"+49171{n}"}}}}"#).unwrap();
    }
    for n in 50..=51 {
        writeln!(log, r#"{{"pos":{n},"ts":"2026-11-22T14:10:00Z","entity":"order","key":"{n}","op":"insert","state":{{"id":{n},"sf":"SF{n}","status":"Created"}}}}"#).unwrap();
    }
    std::fs::write(at("log.ndjson"), log).unwrap();
    run(folder.path(), &["scan"]);
    folder
}

/// Another terminal's command; what it printed, as JSON lines where it is that.
fn run(folder: &Path, args: &[&str]) -> Vec<Json> {
    let output = Command::new(RESTITCH)
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{args:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn state(folder: &Path, id: &str) -> String {
    let cases = run(folder, &["cases", "--json"]);
    let case = cases.iter().find(|c| c["case"] == id).unwrap();
    case["state"].as_str().unwrap().to_owned()
}

/// Waits for what another command sees.
fn becomes(folder: &Path, id: &str, wanted: &str) {
    let until = Instant::now() + PATIENCE;
    while state(folder, id) != wanted {
        assert!(Instant::now() < until, "{id} is {}, never {wanted}", state(folder, id));
    }
}

/// Types in pieces: many letters at once nobody types, and they would be taken for a paste.
fn types(terminal: &mut Terminal, pieces: &[&str]) {
    let mut whole = String::new();
    for piece in pieces {
        terminal.keys(piece);
        whole.push_str(piece);
        terminal.shows(whole.trim_end());
    }
}

/// The console in this case.
fn open(folder: &Path, label: &str) -> Terminal {
    let mut terminal = Terminal::restitch(&[], folder, (120, 40));
    terminal.shows("1 of 6");
    terminal.keys("/");
    terminal.shows("verb:park");
    terminal.keys(&format!("{label}<enter>"));
    terminal.shows("1 of 1");
    terminal.keys("<enter>");
    terminal.shows("a verbs");
    terminal
}

#[test]
fn a_masked_field_is_seen_with_a_reason() {
    let folder = incident("");
    let mut terminal = open(folder.path(), "sf2");
    assert!(!terminal.text().contains("+491712"), "{}", terminal.text());
    terminal.shows("****");
    terminal.keys("U");
    terminal.in_dialog("show a masked field of SF2", "");
    types(&mut terminal, &["the custo", "mer calls"]);
    terminal.keys("<enter>");
    terminal.shows("y show it for a minute");
    terminal.keys("y");
    let text = terminal.shows("+491712");
    assert!(text.contains("+491702"), "{text}");
    // Another case is masked still.
    terminal.keys("<esc>");
    terminal.shows("1 of 1");
    let seen = run(folder.path(), &["audit", "list", "--json"]);
    let line = seen.iter().find(|l| l["action"] == "unmask").unwrap();
    assert_eq!((&line["case"], &line["outcome"]), (&"order:2".into(), &"ok".into()));
    assert_eq!(line["why"], "order.msisdn: the customer calls");
    drop(terminal);
    assert!(!open(folder.path(), "sf2").text().contains("+491712"));
}

/// A receiver of requests, and how many came.
fn peer() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/orders", listener.local_addr().unwrap());
    let came: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&came);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let mut all = Vec::new();
            let mut part = [0; 4_096];
            // Its body is one JSON object, and ends the request.
            while !all.ends_with(b"}") {
                let n = stream.read(&mut part).unwrap();
                all.extend_from_slice(&part[..n]);
            }
            stream
                .write_all(b"HTTP/1.1 201 x\r\ncontent-length: 4\r\nconnection: close\r\n\r\n4711")
                .unwrap();
        }
    });
    (url, came)
}

/// Resubmits the open case as far as it waits for its grace.
fn resubmit(terminal: &mut Terminal, number: &str) {
    terminal.keys("a");
    terminal.in_dialog("what shall happen?", "s");
    terminal.in_dialog("leave it alone", "1");
    types(terminal, &["resubmit", &format!(" {number}")]);
    terminal.keys("<enter>");
    terminal.shows("http leaves in");
}

#[test]
fn what_has_not_left_is_stopped_by_one_key_and_what_has_is_told() {
    let (url, came) = peer();
    let folder = incident(&format!(
        "[effects]\ngrace = \"12s\"\nresubmit = {{ do = \"http\", url = \"{url}\" }}\n"
    ));
    run(folder.path(), &["claim", "order:50", "order:51"]);
    let mut terminal = open(folder.path(), "sf50");
    resubmit(&mut terminal, "50");
    terminal.keys("u");
    becomes(folder.path(), "order:50", "open");
    terminal.hides("leaves in");
    drop(terminal);
    let mut terminal = open(folder.path(), "sf51");
    resubmit(&mut terminal, "51");
    terminal.shows("answered 201: 4711");
    becomes(folder.path(), "order:51", "applied");
    assert_eq!(came.load(Ordering::SeqCst), 1, "the one that was taken back never left");
    terminal.keys("u");
    terminal.in_dialog("take back the decision on SF51", "1y");
    terminal.shows("one-way");
    assert_eq!(state(folder.path(), "order:51"), "applied");
}

#[test]
fn many_cases_are_decided_together_by_their_typed_count() {
    let folder = incident("");
    run(folder.path(), &["claim", "order:3"]);
    run(
        folder.path(),
        &["resolve", "order:3", "reapply", "--reason", "billing confirms"],
    );
    let mut terminal = Terminal::restitch(&[], folder.path(), (120, 40));
    terminal.shows("1 of 6");
    terminal.keys("/");
    terminal.shows("verb:park");
    terminal.keys("kind:regr");
    terminal.keys("essed<enter>");
    terminal.shows("of 4");
    for marked in 1..=4 {
        terminal.keys(" ");
        terminal.shows(&format!("{marked} marked"));
    }
    terminal.keys("B");
    terminal.in_dialog("what shall happen?", "k");
    terminal.in_dialog("look which", "1");
    terminal.shows("y look which");
    terminal.keys("y");
    let text = terminal.shows("type the number of cases: 3");
    assert!(
        text.contains("1 left out, it is to do") && text.contains("SF3"),
        "{text}"
    );
    terminal.in_dialog("keep 3 cases", "4<enter>");
    terminal.shows("type \"3\" exactly");
    assert!(
        run(folder.path(), &["audit", "list", "--json"])
            .iter()
            .all(|l| l["action"] != "bulk")
    );
    terminal.keys("<backspace>3<enter>");
    terminal.shows("bulk: 3 = 3 done, 0 failed, 0 skipped, 0 pending");
    for id in ["order:1", "order:2", "order:4"] {
        assert_eq!(state(folder.path(), id), "proven");
    }
    assert_eq!(state(folder.path(), "order:3"), "to_do");
    // Begun and ended: the end is written when the last is.
    let until = Instant::now() + Duration::from_secs(20);
    while run(folder.path(), &["audit", "list", "--json"])
        .iter()
        .filter(|l| l["action"] == "bulk")
        .count()
        != 2
    {
        assert!(Instant::now() < until, "the bulk's end is not written");
    }
}

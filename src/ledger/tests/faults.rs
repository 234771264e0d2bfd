//! Races, crashes, tampering, full disks: what must hold whatever happens.

use super::trail::worked;
use super::*;
use crate::ledger::Store;
use std::process::{Command, Stdio};

/// The child of the test below: decides case after case, and says so only after the ledger did.
#[test]
fn decides_until_killed() {
    use std::io::Write as _;
    let Ok(path) = std::env::var("RESTITCH_TEST_LEDGER") else {
        return;
    };
    let mut room = Room::new();
    room.config.ledger.database.url = DbUrl::Sqlite(path.into());
    let mut ledger = room.open("ana");
    let mut out = std::io::stderr();
    for row in rows(&ledger) {
        if row.state == State::Open {
            claim(&mut ledger, &[&row.id]);
            ledger.decide(&asking(&row.id, Verb::Keep)).unwrap();
            writeln!(out, "ack {}", row.id).unwrap();
        }
    }
}

/// Kills deciding processes: every acknowledged decision is there, none is half there, the chain is whole.
#[test]
fn a_killed_console_leaves_whole_decisions() {
    use std::io::{BufRead as _, BufReader};
    const CASES: u64 = 3_000;
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(
        &mut ledger,
        (0..CASES).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    let mut acked = Vec::new();
    for kill in 0..15 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ledger::tests::faults::decides_until_killed", "--nocapture"])
            .env("RESTITCH_TEST_LEDGER", room.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        for (n, line) in said
            .lines()
            .map_while(Result::ok)
            .filter(|l| l.starts_with("ack "))
            .enumerate()
        {
            acked.push(line["ack ".len()..].to_owned());
            if n > kill % 5 {
                // Killed while it goes on with the next ones; what it still said is read to the end.
                let _ = child.kill();
            }
        }
        child.wait().unwrap();
    }
    assert!(acked.len() >= 15 * 2, "{}", acked.len());
    let proven = ledger.counts().unwrap().of(State::Proven);
    assert!(
        proven >= acked.len() as u64 && proven < CASES,
        "it was killed, not finished: {proven}"
    );
    for id in &acked {
        assert_eq!(state(&ledger, id), State::Proven, "acknowledged and lost: {id}");
    }
    let lines = trail(&ledger);
    let decided = |id: &str| {
        lines
            .iter()
            .filter(|l| l.action == "decide" && l.case.as_deref() == Some(id))
            .count()
    };
    for row in rows(&ledger).iter().filter(|r| r.state == State::Proven) {
        assert_eq!(decided(&row.id), 1);
        assert!(ledger.case(&row.id).unwrap().unwrap().decision.is_some());
    }
    assert_eq!(ledger.verify().unwrap(), lines.len() as u64);
}

/// SQLite says that the disk is full when a file may not grow: the same error, without filling a disk.
#[test]
fn a_full_disk_refuses_and_forgets_nothing() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    claim(&mut ledger, &["order:1"]);
    let limit = |ledger: &Ledger, pages: Option<i64>| {
        let Store::Sqlite(file) = &ledger.store else {
            panic!("a file")
        };
        let now: i64 = file.db.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
        let most = pages.unwrap_or(now);
        file.db.pragma_update(None, "max_page_count", most).unwrap();
    };
    limit(&ledger, None);
    let big = (0..500).map(|k| order(&format!("9{k}"), &[Kind::Lost]));
    let error = ledger
        .store_scan(&mut big.into_iter(), &[], &json!({}), None, &Progress::default())
        .unwrap_err();
    assert!(error.what.contains("disk is full") && error.cure.is_some(), "{error}");
    let note = ledger.note("order:1", &"long ".repeat(10_000)).unwrap_err();
    assert!(note.what.contains("disk is full"), "{note}");
    assert_eq!(labels(&ledger), ["SFO-1"]);
    assert_eq!(trail(&ledger).len(), 2);
    limit(&ledger, Some(1 << 30));
    ledger.decide(&asking("order:1", Verb::Keep)).unwrap();
    ledger.verify().unwrap();
}

#[test]
fn the_table_refuses_to_be_rewritten() {
    let room = worked();
    let db = rusqlite::Connection::open(room.path()).unwrap();
    for sql in ["UPDATE audit SET who = 'li'", "DELETE FROM audit"] {
        let error = db.execute_batch(sql).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
}

#[test]
fn lines_cannot_move_between_incidents() {
    let mut room = worked();
    room.config.incident.id = "another".to_owned();
    store(&mut room.open("ana"), Vec::new());
    assert_eq!(room.open("ana").verify().unwrap(), 12);
    room.free();
    room.sql("UPDATE incidents SET no = 3 WHERE no = 1; UPDATE incidents SET no = 1 WHERE no = 2; UPDATE incidents SET no = 2 WHERE no = 3");
    assert_eq!(room.open("ana").verify().unwrap_err().kind, ErrorKind::BrokenChain);
}

#[test]
fn no_audit_line_no_deed() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost]), order("2", &[Kind::Lost])]);
    claim(&mut ledger, &["order:1"]);
    room.sql("CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'no'); END");
    ledger.decide(&asking("order:1", Verb::Keep)).unwrap_err();
    ledger.note("order:1", "hm").unwrap_err();
    ledger.claim(&["order:2".to_owned()], MINUTE).unwrap_err();
    let file = ledger.case("order:1").unwrap().unwrap();
    assert_eq!((file.state, file.decision, file.notes.len()), (State::Open, None, 0));
    assert_eq!(ledger.case("order:2").unwrap().unwrap().claim, None);
}

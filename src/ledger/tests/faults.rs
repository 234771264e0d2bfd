//! Races, crashes, tampering, full disks: what must hold whatever happens.

use super::*;
use crate::ledger::sqlite::Moment;
use crate::ledger::{Role, Store};
use std::process::{Command, Stdio};

/// A seed in, the same numbers out.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A thousand edits by hand: a bit of any column, a line dropped, doubled, swapped or made up, the tail cut.
#[test]
fn every_random_edit_of_the_trail_is_found() {
    const COLUMNS: [&str; 10] = [
        "at",
        "who",
        "system_user",
        "ssh",
        "action",
        "case_id",
        "verb",
        "key",
        "outcome",
        "why",
    ];
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(
        &mut ledger,
        (0..10).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    for k in 0..10 {
        let id = format!("order:{k}");
        claim(&mut ledger, &[&id]);
        ledger.decide(&asking(&id, Verb::Reapply)).unwrap();
        ledger.note(&id, "noted").unwrap();
    }
    let lines = ledger.verify().unwrap();
    let mut db = rusqlite::Connection::open(room.path()).unwrap();
    db.execute_batch("DROP TRIGGER audit_is_append_only_u; DROP TRIGGER audit_is_append_only_d;")
        .unwrap();
    let mut dice = Dice(20_261_122);
    let mut landed = 0;
    for n in 0..1_000 {
        let (a, b) = (1 + dice.roll(lines), 1 + dice.roll(lines));
        let column = COLUMNS[usize::try_from(dice.roll(10)).unwrap()];
        let edit = match dice.roll(7) {
            0 => format!(
                "UPDATE audit SET {column} = coalesce({column}, 0) || 'x' WHERE seq = {a} AND '{column}' <> 'at'"
            ),
            1 => format!("UPDATE audit SET at = at + 1 + {b} WHERE seq = {a}"),
            2 => format!("UPDATE audit SET {column} = (SELECT {column} FROM audit WHERE seq = {b}) WHERE seq = {a}"),
            3 => format!("DELETE FROM audit WHERE seq = {a}"),
            4 => format!("DELETE FROM audit WHERE seq >= {a}"),
            5 => format!(
                "UPDATE audit SET seq = -1 WHERE seq = {a}; UPDATE audit SET seq = {a} WHERE seq = {b}; UPDATE audit SET seq = {b} WHERE seq = -1"
            ),
            _ => format!(
                "INSERT INTO audit SELECT incident, {lines} + 1, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash FROM audit WHERE seq = {a}"
            ),
        };
        let snapshot = |db: &rusqlite::Connection| -> Vec<String> {
            let sql = "SELECT json_array(seq, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash) FROM audit ORDER BY seq";
            let mut read = db.prepare(sql).unwrap();
            let rows = read.query_map([], |r| r.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let before = snapshot(&db);
        let tx = db.transaction().unwrap();
        tx.execute_batch(&edit).unwrap();
        let changed = snapshot(&tx) != before;
        landed += u32::from(changed);
        let found = crate::ledger::audit::verify_all(&Moment {
            db: &tx,
            incident: 1,
            now: T0,
            role: Role::Viewer,
        });
        assert_eq!(found.is_err(), changed, "edit {n}: {edit}");
        tx.rollback().unwrap();
    }
    assert!(landed > 800, "{landed} edits changed something");
    assert_eq!(ledger.verify().unwrap(), lines);
}

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

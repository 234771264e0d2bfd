//! What the owner of the tables can do to the trail, and how it shows. SQL is in the words of a SQLite ledger.

use super::dice::Dice;
use super::trail::{noted, worked};
use super::*;

/// What [`worked`] writes.
const LINES: i64 = 11;

/// A copy of the trail beside it, to undo an edit from.
fn keep(room: &Room) {
    room.forge(
        "CREATE TABLE copy_audit AS SELECT * FROM audit; CREATE TABLE copy_heads AS SELECT * FROM heads;
         CREATE TABLE copy_incidents AS SELECT * FROM incidents",
    );
}

fn undo(room: &Room) {
    room.forge(
        "DELETE FROM audit; INSERT INTO audit SELECT * FROM copy_audit;
         DELETE FROM heads; INSERT INTO heads SELECT * FROM copy_heads;
         UPDATE incidents SET name = (SELECT c.name FROM copy_incidents c WHERE c.no = incidents.no)",
    );
}

/// The tail is cut, and the head says that it was always so.
fn cut(room: &Room, after: i64) {
    room.forge(&format!(
        "DELETE FROM audit WHERE seq > {after};
         UPDATE heads SET seq = {after}, hash = coalesce((SELECT hash FROM audit WHERE seq = {after}), '')"
    ));
}

const COLUMNS: [&str; 11] = [
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
    "hash",
];

fn change(column: &str, seq: i64) -> String {
    let to = match column {
        "at" => "at + 1".to_owned(),
        _ => format!("coalesce({column}, '') || 'x'"),
    };
    format!("UPDATE audit SET {column} = {to} WHERE seq = {seq}")
}

fn remove(seq: i64) -> String {
    format!(
        "DELETE FROM audit WHERE seq = {seq}; UPDATE audit SET seq = -seq WHERE seq > {seq};
         UPDATE audit SET seq = -seq - 1 WHERE seq < 0"
    )
}

fn swap(one: i64, other: i64) -> String {
    format!(
        "UPDATE audit SET seq = -1 WHERE seq = {one}; UPDATE audit SET seq = {one} WHERE seq = {other};
         UPDATE audit SET seq = {other} WHERE seq = -1"
    )
}

/// A copy of a line, in front of another.
fn insert(of: i64, before: i64) -> String {
    format!(
        "UPDATE audit SET seq = -seq - 1 WHERE seq >= {before}; UPDATE audit SET seq = -seq WHERE seq < 0;
         INSERT INTO audit SELECT incident, {before}, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash
         FROM copy_audit WHERE seq = {of};
         UPDATE heads SET seq = seq + 1"
    )
}

/// Every edit of one kind at every line.
fn every_edit() -> Vec<String> {
    let mut edits = Vec::new();
    for seq in 1..=LINES {
        edits.extend(COLUMNS.map(|column| change(column, seq)));
        edits.push(format!("DELETE FROM audit WHERE seq = {seq}"));
        edits.push(format!("DELETE FROM audit WHERE seq >= {seq}"));
        edits.push(remove(seq));
        edits.extend((seq < LINES).then(|| swap(seq, seq + 1)));
    }
    edits.extend(
        [
            "INSERT INTO audit SELECT incident, 12, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash
             FROM audit WHERE seq = 11",
            "UPDATE audit SET case_id = verb, verb = case_id WHERE seq = 3",
            "UPDATE audit SET why = NULL WHERE seq = 3",
            "UPDATE audit SET hash = upper(hash) WHERE seq = 2",
            "UPDATE heads SET seq = 10",
            "UPDATE heads SET seq = 10, hash = (SELECT hash FROM audit WHERE seq = 10)",
            "UPDATE heads SET hash = hash || 'x'",
            "DELETE FROM heads",
            "UPDATE incidents SET name = 'another'",
        ]
        .map(str::to_owned),
    );
    edits
}

#[track_caller]
fn is_found(error: crate::domain::Result<impl std::fmt::Debug>, edit: &str) {
    let error = error.expect_err(edit);
    assert_eq!(error.kind, ErrorKind::BrokenChain, "{edit}: {error}");
    assert_eq!(error.kind.exit_code(), 5);
}

#[test]
fn any_change_removal_insertion_or_reorder_is_found() {
    let room = worked();
    let ledger = room.open("bo");
    assert_eq!(ledger.verify().unwrap(), 11);
    keep(&room);
    let edits = every_edit();
    assert!(edits.len() > 150);
    for edit in &edits {
        room.forge(edit);
        is_found(ledger.verify(), edit);
        undo(&room);
        assert_eq!(ledger.verify().unwrap(), 11, "whole again after {edit}");
    }
}

/// Any line of the trail.
fn any_line(dice: &mut Dice) -> i64 {
    1 + i64::try_from(dice.roll(usize::try_from(LINES).unwrap())).unwrap()
}

#[test]
fn a_thousand_random_edits_are_found() {
    let room = worked();
    let ledger = room.open("bo");
    let anchor = ledger.head().unwrap().unwrap();
    keep(&room);
    let mut dice = Dice::new(4);
    let (mut kinds, mut found) = ([0; 6], 0);
    for n in 0..1_000 {
        let kind = dice.roll(6);
        kinds[kind] += 1;
        let (seq, other) = (any_line(&mut dice), any_line(&mut dice));
        let edit = match kind {
            0 => change(COLUMNS[dice.roll(11)], seq),
            1 => remove(seq),
            2 if seq != other => swap(seq, other),
            2 => format!("DELETE FROM audit WHERE seq = {seq}"),
            3 => insert(seq, other),
            // One character of it.
            4 => format!(
                "UPDATE audit SET hash = substr(hash, 1, {seq}) || 'z' || substr(hash, {seq} + 2) WHERE seq = {other}"
            ),
            _ => {
                // This one only the anchor finds.
                cut(&room, seq - 1);
                is_found(ledger.verify_anchors(std::slice::from_ref(&anchor)), "cut");
                format!("DELETE FROM audit WHERE seq >= {seq}")
            }
        };
        if kind < 5 {
            room.forge(&edit);
            is_found(ledger.verify(), &edit);
        }
        found += 1;
        undo(&room);
        if n % 50 == 0 {
            assert_eq!(ledger.verify().unwrap(), 11, "whole again after {edit}");
            ledger.verify_anchors(std::slice::from_ref(&anchor)).unwrap();
        }
    }
    assert_eq!(found, 1_000);
    assert!(kinds.iter().all(|n| *n > 100), "{kinds:?}");
}

#[test]
fn a_hundred_clean_trails_raise_no_alarm() {
    let mut room = Room::new();
    let mut dice = Dice::new(7);
    for n in 0..100 {
        room.config.incident.id = format!("night {n}");
        let mut ledger = room.open("ana");
        store(&mut ledger, vec![order("1", &[Kind::Lost])]);
        for note in 0..=dice.roll(5) {
            ledger
                .note("order:1", &format!("{note} \u{1f600} \"\\ \u{7}\n{}", dice.roll(1_000)))
                .unwrap();
        }
    }
    let ledger = room.open("bo");
    assert!(ledger.verify().unwrap() >= 200);
}

#[test]
fn a_tail_cut_at_any_point_after_an_anchor_is_found() {
    let room = noted(51);
    let anchor = room.open("ana").head().unwrap().unwrap();
    assert_eq!(anchor.seq, 51);
    let mut ledger = room.open("ana");
    for n in 0..9 {
        ledger.note("order:1", &format!("later {n}")).unwrap();
    }
    keep(&room);
    let mut found = 0;
    for after in 1..=50 {
        cut(&room, after);
        assert_eq!(
            ledger.verify().unwrap(),
            u64::try_from(after).unwrap(),
            "without the anchor it looks whole"
        );
        is_found(ledger.verify_anchors(std::slice::from_ref(&anchor)), "a cut tail");
        undo(&room);
        found += 1;
    }
    assert_eq!(found, 50);
    // What was cut behind the anchor, no anchor knows of; an uncut trail holds.
    for after in 51..=60 {
        cut(&room, after);
        ledger.verify_anchors(std::slice::from_ref(&anchor)).unwrap();
        undo(&room);
    }
}

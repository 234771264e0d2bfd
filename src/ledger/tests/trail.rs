//! The audit trail: what is written down, and that nobody can rewrite it unseen.

use super::*;

const FREE: &str = "DROP TRIGGER audit_is_append_only_u; DROP TRIGGER audit_is_append_only_d;";

/// A ledger with a trail of more than ten lines.
fn worked() -> Room {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(
        &mut ledger,
        (1..=4).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    for (key, verb) in (1..).zip([Verb::Keep, Verb::Park, Verb::Reapply]) {
        let id = format!("order:{key}");
        claim(&mut ledger, &[&id]);
        ledger.decide(&asking(&id, verb)).unwrap();
    }
    ledger.done("order:3", "by hand").unwrap();
    ledger.prove("order:3", Some(true), "it is there").unwrap();
    ledger.note("order:4", "hm").unwrap();
    refused(ledger.decide(&asking("order:4", Verb::Keep)));
    room
}

#[test]
fn every_deed_has_its_line() {
    let room = worked();
    let ledger = room.open("ana");
    let lines: Vec<String> = trail(&ledger)
        .into_iter()
        .map(|l| {
            let case = l.case.unwrap_or_default().replace("order:", "");
            format!(
                "{} {} {case} {} {}",
                l.seq,
                l.action,
                l.verb.unwrap_or_default(),
                l.outcome
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "1 scan   ok",
            "2 claim 1  ok",
            "3 decide 1 keep ok",
            "4 claim 2  ok",
            "5 decide 2 park ok",
            "6 claim 3  ok",
            "7 decide 3 reapply ok",
            "8 done 3 reapply ok",
            "9 prove 3 reapply ok",
            "10 note 4  ok",
            "11 refuse 4 keep refused"
        ]
    );
    assert_eq!(ledger.verify().unwrap(), 11);
}

#[test]
fn a_line_has_the_shape_of_the_contract() {
    let room = worked();
    let lines = trail(&room.open("ana"));
    let line = serde_json::to_value(&lines[2]).unwrap();
    assert_eq!(
        line.as_object().unwrap().keys().collect::<Vec<_>>(),
        [
            "seq", "at", "who", "action", "case", "verb", "key", "outcome", "why", "hash"
        ]
    );
    assert_eq!(line["at"], "2026-11-22T14:05:00Z");
    assert_eq!(line["who"], "ana");
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
fn any_change_removal_insertion_or_reorder_is_found() {
    let edits = [
        "UPDATE audit SET why = 'another reason' WHERE seq = 3",
        "UPDATE audit SET who = 'li' WHERE seq = 11",
        "UPDATE audit SET system_user = 'li' WHERE seq = 5",
        "UPDATE audit SET ssh = '10.0.0.1 22' WHERE seq = 5",
        "UPDATE audit SET at = at + 1 WHERE seq = 1",
        "UPDATE audit SET why = NULL WHERE seq = 4",
        "UPDATE audit SET case_id = verb, verb = case_id WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 6",
        "DELETE FROM audit WHERE seq = 11",
        "DELETE FROM audit WHERE seq > 4",
        "DELETE FROM audit",
        "DELETE FROM audit; DELETE FROM heads WHERE seq < 0; UPDATE heads SET seq = 0",
        "DELETE FROM heads",
        "UPDATE heads SET seq = 10, hash = (SELECT hash FROM audit WHERE seq = 10)",
        "DELETE FROM audit WHERE seq = 6; UPDATE audit SET seq = seq - 1 WHERE seq > 6",
        "UPDATE audit SET seq = -1 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = -1",
        "INSERT INTO audit SELECT incident, 12, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash FROM audit WHERE seq = 11",
        "UPDATE incidents SET name = 'another'",
        "DELETE FROM incidents",
        "UPDATE audit SET hash = upper(hash) WHERE seq = 2",
    ];
    for edit in edits {
        let room = worked();
        assert_eq!(room.open("ana").verify().unwrap(), 11);
        room.sql(FREE);
        room.sql(edit);
        let error = room.open("ana").verify().unwrap_err();
        assert_eq!(error.kind, ErrorKind::BrokenChain, "{edit}: {error}");
        assert_eq!(error.kind.exit_code(), 5);
    }
}

#[test]
fn lines_cannot_move_between_incidents() {
    let mut room = worked();
    room.config.incident.id = "another".to_owned();
    store(&mut room.open("ana"), Vec::new());
    assert_eq!(room.open("ana").verify().unwrap(), 12);
    room.sql(FREE);
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

//! What nobody can do to the trail of a SQLite ledger unnoticed.

use super::trail::worked;
use super::*;

const FREE: &str = "DROP TRIGGER audit_is_append_only_u; DROP TRIGGER audit_is_append_only_d;";

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

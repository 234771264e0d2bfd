//! What the owner of the tables can do to the trail, and how it shows.

use crate::contract::{Kind, Verb, asking, claim, order, refused, store};
use crate::room::Room;
use restitch::domain::ErrorKind;

/// A ledger with a trail of eleven lines.
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
    ledger
        .done("order:3", "by hand: \u{1f600} \u{7} \"quoted\" \\ \u{e4}\u{2028}\t\n")
        .unwrap();
    ledger.prove("order:3", Some(true), "it is there").unwrap();
    ledger.note("order:4", "a \u{0} b").unwrap();
    refused(ledger.decide(&asking("order:4", Verb::Keep)));
    room
}

#[test]
fn any_change_removal_insertion_or_reorder_is_found() {
    let room = worked();
    let ledger = room.open("bo");
    assert_eq!(ledger.verify().unwrap(), 11);
    let columns = [
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
    let mut edits: Vec<String> = Vec::new();
    for seq in 1..=11 {
        for column in columns {
            let to = match column {
                "at" => "at + 1".to_owned(),
                _ => format!("coalesce({column}, '') || 'x'"),
            };
            edits.push(format!(
                "UPDATE restitch.kept_audit SET {column} = {to} WHERE seq = {seq}"
            ));
        }
        edits.push(format!("DELETE FROM restitch.kept_audit WHERE seq = {seq}"));
        edits.push(format!("DELETE FROM restitch.kept_audit WHERE seq >= {seq}"));
        edits.push(format!(
            "DELETE FROM restitch.kept_audit WHERE seq = {seq}; UPDATE restitch.kept_audit SET seq = -seq WHERE seq > {seq};
             UPDATE restitch.kept_audit SET seq = -seq - 1 WHERE seq < 0"
        ));
        if seq < 11 {
            edits.push(format!(
                "UPDATE restitch.kept_audit SET seq = -1 WHERE seq = {seq}; UPDATE restitch.kept_audit SET seq = {seq} WHERE seq = {n};
                 UPDATE restitch.kept_audit SET seq = {n} WHERE seq = -1",
                n = seq + 1
            ));
        }
    }
    edits.extend(
        [
            "INSERT INTO restitch.kept_audit SELECT incident, 12, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash
             FROM restitch.kept_audit WHERE seq = 11",
            "UPDATE restitch.kept_heads SET seq = 10",
            "UPDATE restitch.kept_heads SET hash = hash || 'x'",
            "DELETE FROM restitch.kept_heads",
            "UPDATE restitch.kept_incidents SET name = 'another'",
        ]
        .map(str::to_owned),
    );
    assert!(edits.len() > 150);
    // All in one transaction of a session of its own would not be seen: each is made, found, and undone from a copy.
    room.sql("CREATE TABLE public.audit AS TABLE restitch.kept_audit; CREATE TABLE public.heads AS TABLE restitch.kept_heads");
    for edit in &edits {
        room.sql(edit);
        let error = ledger.verify().expect_err(edit);
        assert_eq!(error.kind, ErrorKind::BrokenChain, "{edit}: {error}");
        assert_eq!(error.kind.exit_code(), 5);
        room.sql(
            "DELETE FROM restitch.kept_audit; INSERT INTO restitch.kept_audit TABLE public.audit;
             DELETE FROM restitch.kept_heads; INSERT INTO restitch.kept_heads TABLE public.heads;
             UPDATE restitch.kept_incidents SET name = '2026-11-22-prod'",
        );
        assert_eq!(ledger.verify().unwrap(), 11, "whole again after {edit}");
    }
}

#[test]
fn what_cannot_be_written_down_is_not_done() {
    let room = Room::on_time();
    let mut ledger = room.open("ana");
    store(
        &mut ledger,
        (1..=100).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    for k in 1..=100 {
        claim(&mut ledger, &[&format!("order:{k}")]);
    }
    room.sql(
        "CREATE FUNCTION public.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
         CREATE TRIGGER broken BEFORE INSERT ON restitch.kept_audit FOR EACH ROW EXECUTE FUNCTION public.broken()",
    );
    for k in 1..=100 {
        let error = ledger.decide(&asking(&format!("order:{k}"), Verb::Keep)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{error}");
    }
    let decided = "SELECT (SELECT count(*) FROM restitch.kept_decided) + (SELECT count(*) FROM restitch.kept_cases WHERE state <> 'open')";
    assert_eq!(room.sql(decided), "0");
    room.sql("DROP TRIGGER broken ON restitch.kept_audit");
    for k in 1..=100 {
        ledger.decide(&asking(&format!("order:{k}"), Verb::Keep)).unwrap();
    }
    assert_eq!(room.sql(decided), "200");
    assert_eq!(ledger.verify().unwrap(), 201);
}

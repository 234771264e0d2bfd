//! The audit trail: what is written down.

use super::*;

/// A ledger with a trail of more than ten lines.
pub(super) fn worked() -> Room {
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

/// A trail of so many lines.
pub(super) fn noted(lines: usize) -> Room {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    for n in 1..lines {
        ledger.note("order:1", &format!("note {n}")).unwrap();
    }
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
            "seq",
            "at",
            "who",
            "action",
            "case",
            "verb",
            "key",
            "outcome",
            "why",
            "hash",
            "system_user",
            "ssh"
        ]
    );
    assert_eq!(line["at"], "2026-11-22T14:05:00Z");
    assert_eq!(line["who"], "ana");
}

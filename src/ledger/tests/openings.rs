//! The opening in the ledger: kept, shown, begun again.

use super::*;
use crate::domain::finding::FieldDiff;
use crate::scan::{Baseline, InDoubt, Mark, Opening};
use serde_json::Value as Json;

pub(super) fn baseline(entity: &str, rows: impl Iterator<Item = u64>) -> Baseline {
    // Spread as hashes are.
    let spread = |n: u64| {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(31)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let marks = rows.map(|n| Mark {
        key: spread(n),
        row: spread(!n),
    });
    Baseline::new(entity.to_owned(), vec!["status".to_owned()], false, marks.collect())
}

pub(super) fn opening(at: i64, tables: Vec<Baseline>) -> Opening {
    Opening {
        at,
        place: "db:5432/om".to_owned(),
        timeline: Some(3),
        tables,
        in_doubt: vec![InDoubt {
            order: "5".to_owned(),
            row: RowState {
                entity: "plan_item".to_owned(),
                key: "50".to_owned(),
                state: "Running".to_owned(),
            },
        }],
    }
}

pub(super) fn store_with(ledger: &mut Ledger, cases: Vec<FoundCase>, opening: &Opening) {
    ledger
        .store_scan(
            &mut cases.into_iter(),
            &[],
            &json!({}),
            Some(opening),
            &Progress::default(),
        )
        .unwrap();
}

#[test]
fn an_opening_comes_back_as_it_was_kept_with_what_was_learned_since() {
    let mut room = Room::new();
    let mut ledger = room.open("ana");
    assert_eq!(ledger.past().unwrap().opening, None);
    let mut none = baseline("inventory_item", 0..0);
    none.whole = true;
    let first = opening(
        T0,
        vec![none, baseline("order", 0..150_000), baseline("plan_item", 0..3)],
    );
    store_with(&mut ledger, vec![order("1", &[Kind::Lost])], &first);
    assert_eq!(ledger.past().unwrap().opening.as_ref(), Some(&first));
    // A second scan that began before the first one ended, and took an opening of its own.
    store_with(&mut ledger, vec![], &opening(T0 + 1, vec![baseline("order", 7..9)]));
    assert_eq!(ledger.past().unwrap().opening.as_ref(), Some(&first));
    // A later scan learns of two rows, one of them known.
    let known = first.tables[1].marks()[7];
    let later = vec![
        Mark {
            key: known.key,
            row: known.row | 1,
        },
        Mark { key: 42, row: 0 },
    ];
    let learned = Opening {
        at: T0,
        tables: vec![Baseline::new(
            "order".to_owned(),
            vec!["status".to_owned()],
            false,
            later.clone(),
        )],
        ..Opening::default()
    };
    store_with(&mut ledger, vec![], &learned);
    let now = ledger.past().unwrap().opening.unwrap();
    assert_eq!(now.in_doubt, first.in_doubt);
    assert_eq!(now.tables[1].marks().len(), 150_001);
    assert!(later.iter().all(|m| now.tables[1].marks().contains(m)));
    room.config.incident.attempt = 2;
    assert_eq!(
        room.open("ana").past().unwrap().opening,
        None,
        "another restore, another opening"
    );
}

#[test]
fn what_stands_decided_is_part_of_the_past() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    let cases = ["1", "2", "3", "4"].map(|key| order(key, &[Kind::Lost])).to_vec();
    store(&mut ledger, cases);
    claim(&mut ledger, &["order:1", "order:2", "order:3"]);
    ledger.decide(&asking("order:1", Verb::Cancel)).unwrap();
    ledger.decide(&asking("order:2", Verb::Keep)).unwrap();
    ledger.decide(&asking("order:3", Verb::Reapply)).unwrap();
    ledger.undo("order:3", "wrong").unwrap();
    let decided = ledger.past().unwrap().decided;
    assert_eq!(decided.len(), 2);
    assert_eq!((decided["order:1"], decided["order:2"]), (Verb::Cancel, Verb::Keep));
}

/// Order 1, its status regressed to this.
fn regressed(status: &str, since_opening: bool) -> FoundCase {
    order("1", &[Kind::Regressed]).tap(|c| {
        c.family[0].fields[0].restored = Some(json!(status));
        c.findings[0].since_opening = since_opening;
        c.findings[0].fields = vec![FieldDiff {
            name: "status".to_owned(),
            restored: json!(status),
            log: json!("Activated"),
            by: 0,
            opening: None,
            undone: false,
        }];
    })
}

fn opening_value(ledger: &Ledger) -> Option<Json> {
    ledger.case("order:1").unwrap().unwrap().found.findings[0].fields[0]
        .opening
        .clone()
}

#[test]
fn a_field_that_moved_shows_its_value_at_the_opening() {
    let mut room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![regressed("Created", false)]);
    assert_eq!(opening_value(&ledger), None);
    for status in ["Accepted", "Ready", "Ready"] {
        store(&mut ledger, vec![regressed(status, true)]);
        assert_eq!(opening_value(&ledger), Some(json!("Created")), "{status}");
    }
    assert_eq!(
        store(&mut ledger, vec![regressed("Ready", true)]).updated,
        0,
        "the same again is no news"
    );
    store(&mut ledger, vec![regressed("Created", false)]);
    assert_eq!(opening_value(&ledger), None);
    room.config.incident.attempt = 2;
    let mut second = room.open("ana");
    store(&mut second, vec![regressed("Draft", false)]);
    store(&mut second, vec![regressed("Accepted", true)]);
    assert_eq!(
        opening_value(&second),
        Some(json!("Draft")),
        "as the second restore left it"
    );
}

#[test]
fn another_attempt_asks_for_every_proof_again_and_keeps_the_rest() {
    let mut room = Room::new();
    let mut ledger = room.open("ana");
    let all = || {
        vec![
            order("1", &[Kind::Lost]),
            order("2", &[Kind::Lost]),
            order("3", &[Kind::Lost]),
        ]
    };
    store(&mut ledger, all());
    claim(&mut ledger, &["order:1", "order:2", "order:3"]);
    ledger.decide(&asking("order:1", Verb::Reapply)).unwrap();
    ledger.decide(&asking("order:2", Verb::Keep)).unwrap();
    ledger.decide(&asking("order:3", Verb::Cancel)).unwrap();
    ledger.prove("order:1", Some(true), "1 row as the log says").unwrap();
    ledger.prove("order:3", Some(true), "SFO-3 is Cancelled").unwrap();
    ledger.note("order:1", "the shop knows").unwrap();
    room.config.incident.attempt = 2;
    room.config.incident.restored_to = Some(T0 + 60_000_000);
    let mut ledger = room.open("ana");
    store(&mut ledger, all());
    assert_eq!(state(&ledger, "order:1"), State::Applied);
    assert_eq!(
        state(&ledger, "order:2"),
        State::Proven,
        "kept as restored, and restored so again"
    );
    assert_eq!(state(&ledger, "order:3"), State::Applied);
    let lines: Vec<AuditLine> = trail(&ledger).into_iter().filter(|l| l.action == "attempt").collect();
    assert_eq!(lines.len(), 1);
    let why = lines[0].why.as_deref().unwrap();
    assert!(
        why.contains("attempt 2, restored to") && why.contains("2 proven cases are to be proven again"),
        "{why}"
    );
    // Another scan of the same attempt asks for nothing more.
    ledger.prove("order:3", Some(true), "SFO-3 is Cancelled").unwrap();
    store(&mut ledger, all());
    assert_eq!(state(&ledger, "order:3"), State::Proven);
    assert_eq!(
        ledger.prove("order:1", Some(false), "SFO-1 is not there").unwrap(),
        State::Open
    );
    let file = ledger.case("order:1").unwrap().unwrap();
    assert!(file.disproven);
    assert_eq!(file.notes[0].text, "the shop knows");
    assert_eq!(
        file.decision.unwrap().reason,
        "lost window, billing confirms",
        "at hand for who decides again"
    );
    ledger.verify().unwrap();
}

#[test]
fn keeping_what_was_disproven_stands_until_there_is_news() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    claim(&mut ledger, &["order:1"]);
    ledger.decide(&asking("order:1", Verb::Reapply)).unwrap();
    ledger.done("order:1", "ticket 3").unwrap();
    ledger
        .prove("order:1", Some(false), "status is Created, the log says Activated")
        .unwrap();
    ledger.decide(&asking("order:1", Verb::Keep)).unwrap();
    // The row that the reapply brought back differs: no news to who kept it.
    store(&mut ledger, vec![order("1", &[Kind::Regressed])]);
    assert_eq!(state(&ledger, "order:1"), State::Proven);
    // Nor is what traffic did since.
    let traffic = order("1", &[Kind::Regressed]).tap(|c| {
        let mut item = finding("order_item", "11", Kind::Lost);
        item.since_opening = true;
        c.findings.push(item);
    });
    store(&mut ledger, vec![traffic]);
    assert_eq!(state(&ledger, "order:1"), State::Proven);
    let news = order("1", &[Kind::Regressed]).tap(|c| c.findings.push(finding("order_item", "11", Kind::Lost)));
    assert_eq!(store(&mut ledger, vec![news]).opened, 1);
    assert_eq!(state(&ledger, "order:1"), State::Open);
}

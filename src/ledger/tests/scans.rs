//! Cases open, update and go; decisions stay.

use super::*;
use crate::domain::queue::Reject;

#[test]
fn every_filter_serves_lines_and_whole_cases_alike() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(
        &mut ledger,
        vec![order("1", &[Kind::Lost]), order("2", &[Kind::Regressed])],
    );
    let with = |filter: Filter| {
        let (mut lines, mut whole) = (Vec::new(), Vec::new());
        ledger
            .each_row(&filter, &mut |row| {
                lines.push(row.id.to_string());
                true
            })
            .unwrap();
        ledger
            .each_found(&filter, &mut |file| {
                whole.push(file.found.id);
                Ok(())
            })
            .unwrap();
        assert_eq!(lines, whole, "{filter:?}");
        lines
    };
    let all = Filter::default();
    assert_eq!(with(all.clone()), ["order:1", "order:2"]);
    for (kind, state, order, expected) in [
        (Some(Kind::Regressed), None, None, vec!["order:2"]),
        (None, Some(State::Open), None, vec!["order:1", "order:2"]),
        (None, Some(State::Parked), None, vec![]),
        (None, None, Some("SFO-2"), vec!["order:2"]),
        (Some(Kind::Lost), Some(State::Open), Some("1"), vec!["order:1"]),
    ] {
        let order = order.map(str::to_owned);
        assert_eq!(with(Filter { state, kind, order }), expected);
    }
}

#[test]
fn a_scan_twice_changes_nothing() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    let cases = || {
        vec![
            order("41", &[Kind::Lost]),
            waiting("958", &[Kind::Lost, Kind::Orphaned], &["41"]),
            order("7", &[Kind::InDoubt]),
        ]
    };
    let first = store(&mut ledger, cases());
    assert_eq!((first.total, first.opened, first.updated, first.gone), (3, 3, 0, 0));
    let before = rows(&ledger);
    for _ in 0..2 {
        let again = store(&mut ledger, cases());
        assert_eq!((again.total, again.opened, again.updated, again.gone), (3, 0, 0, 0));
        assert_eq!(rows(&ledger), before);
    }
    let actions: Vec<String> = trail(&ledger).into_iter().map(|l| l.action).collect();
    assert_eq!(actions, ["scan", "scan", "scan"]);
}

#[test]
fn a_case_comes_back_as_it_was_stored() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    let case = waiting("958", &[Kind::Lost, Kind::Orphaned], &["41"]);
    store(&mut ledger, vec![case.clone(), order("41", &[Kind::Lost])]);
    let file = ledger.case("order:958").unwrap().unwrap();
    assert_eq!(file.found, case);
    let blocker = ledger.case("order:41").unwrap().unwrap();
    assert_eq!(blocker.waited_for_by, [("order:958".to_owned(), "SFO-958".to_owned())]);
    let mut files = Vec::new();
    ledger
        .each_found(&Filter::default(), &mut |f| {
            files.push(f.found.id);
            Ok(())
        })
        .unwrap();
    assert_eq!(files, ["order:41", "order:958"]);
    assert_eq!(ledger.case("order:1").unwrap(), None);
}

#[test]
fn undeleted_rows_that_no_order_owns_are_one_group_a_table_behind_the_orders() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    let row = |entity: &str, key: u32| FoundCase {
        id: format!("{entity}:{key}"),
        order: None,
        label: format!("{key}"),
        action: entity.to_owned(),
        findings: vec![finding(entity, &key.to_string(), Kind::Undeleted)],
        ..FoundCase::default()
    };
    let mut cases: Vec<FoundCase> = (0..40).map(|n| row("catalog", n)).collect();
    cases.extend([row("asset", 1), row("asset", 2)]);
    cases.extend([order("7", &[Kind::Undeleted]), order("8", &[Kind::Lost])]);
    // A row that lacks something, too, is a case like any other.
    let mut torn = row("catalog", 99);
    torn.findings.push(finding("catalog", "99", Kind::Regressed));
    cases.push(torn);
    store(&mut ledger, cases);
    let apart = |ledger: &Ledger| ledger.counts().unwrap().undeleted_rows;
    assert_eq!(apart(&ledger), [("asset".to_owned(), 2), ("catalog".to_owned(), 40)]);
    let counts = ledger.counts().unwrap();
    let of = |kind: Kind| counts.kinds[Kind::ALL.iter().position(|k| *k == kind).unwrap()];
    assert_eq!((of(Kind::Lost), of(Kind::Undeleted), of(Kind::Regressed)), (1, 1, 1));
    let ids: Vec<String> = rows(&ledger).iter().map(|row| row.id.to_string()).collect();
    let tables: Vec<&str> = ids.iter().map(|id| id.split_once(':').unwrap().0).collect();
    assert!(!tables[..3].contains(&"asset"), "{ids:?}");
    assert_eq!(tables[3..5], ["asset"; 2]);
    assert!(tables[5..].iter().all(|table| *table == "catalog"), "{ids:?}");
    claim(&mut ledger, &["asset:2"]);
    ledger.decide(&asking("asset:2", Verb::Keep)).unwrap();
    assert_eq!(apart(&ledger)[0].1, 1, "what is settled is no work");
}

#[test]
fn cases_open_update_and_go() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost]), order("2", &[Kind::Lost])]);
    let next = store(
        &mut ledger,
        vec![order("2", &[Kind::Regressed]), order("3", &[Kind::Lost])],
    );
    assert_eq!((next.total, next.opened, next.updated, next.gone), (3, 1, 1, 1));
    assert_eq!(state(&ledger, "order:1"), State::Gone);
    let back = store(
        &mut ledger,
        vec![
            order("1", &[Kind::Lost]),
            order("2", &[Kind::Regressed]),
            order("3", &[Kind::Lost]),
        ],
    );
    assert_eq!((back.opened, back.updated, back.gone), (1, 0, 0));
    assert_eq!(state(&ledger, "order:1"), State::Open);
}

#[test]
fn decisions_stay_when_a_scan_finds_the_case_or_does_not() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    let cases = || -> Vec<FoundCase> { (1..=6).map(|k| order(&k.to_string(), &[Kind::Lost])).collect() };
    store(&mut ledger, cases());
    let verbs = [Verb::Keep, Verb::Park, Verb::Escalate, Verb::Reapply, Verb::Complete];
    for (key, verb) in (1..).zip(verbs) {
        let id = format!("order:{key}");
        claim(&mut ledger, &[&id]);
        ledger.decide(&asking(&id, verb)).unwrap();
    }
    let states = |ledger: &Ledger| -> Vec<State> { (1..=6).map(|k| state(ledger, &format!("order:{k}"))).collect() };
    let decided = [
        State::Proven,
        State::Parked,
        State::Escalated,
        State::ToDo,
        State::Applied,
        State::Open,
    ];
    assert_eq!(states(&ledger), decided);
    assert_eq!(store(&mut ledger, cases()).opened, 0);
    assert_eq!(states(&ledger), decided);
    assert_eq!(store(&mut ledger, Vec::new()).gone, 1, "only what nobody decided goes");
    assert_eq!(states(&ledger)[..5], decided[..5]);
}

#[test]
fn a_kept_case_opens_again_only_for_what_is_new() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::InDoubt])]);
    claim(&mut ledger, &["order:1"]);
    ledger.decide(&asking("order:1", Verb::Keep)).unwrap();

    // The plan goes on where it stood.
    let mut moved_on = order("1", &[Kind::InDoubt]);
    moved_on.findings.push(finding("plan_item", "71", Kind::Regressed));
    assert_eq!(store(&mut ledger, vec![moved_on]).opened, 0);
    assert_eq!(state(&ledger, "order:1"), State::Proven);

    let mut worse = order("1", &[Kind::InDoubt]);
    worse.findings.push(finding("order_item", "3", Kind::Lost));
    assert_eq!(store(&mut ledger, vec![worse.clone()]).opened, 1);
    assert_eq!(state(&ledger, "order:1"), State::Open);
    let last = trail(&ledger);
    assert!(
        last.iter()
            .any(|l| l.action == "open" && l.case.as_deref() == Some("order:1"))
    );

    ledger.decide(&asking("order:1", Verb::Keep)).unwrap();
    assert_eq!(store(&mut ledger, vec![worse]).opened, 0, "now it is known");
}

#[test]
fn a_resubmitted_order_that_is_found_moved_stays_proven() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    claim(&mut ledger, &["order:1"]);
    ledger.decide(&asking("order:1", Verb::Resubmit)).unwrap();
    ledger.done("order:1", "order 55").unwrap();
    ledger.prove("order:1", Some(true), "order 55 is there").unwrap();
    assert_eq!(store(&mut ledger, vec![order("1", &[Kind::Moved])]).opened, 0);
    assert_eq!(state(&ledger, "order:1"), State::Proven);
    assert_eq!(store(&mut ledger, vec![order("1", &[Kind::Collided])]).opened, 1);
}

#[test]
fn an_order_that_came_back_under_way_stays_proven() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    for (key, verb) in [("1", Verb::Reapply), ("2", Verb::Cancel)] {
        let id = format!("order:{key}");
        store(&mut ledger, vec![order(key, &[Kind::Lost])]);
        claim(&mut ledger, &[&id]);
        ledger.decide(&asking(&id, verb)).unwrap();
        ledger.prove(&id, Some(true), "it is there").unwrap();
        // Its plan was under way in the log; a cancelled one may have come back under another key.
        assert_eq!(store(&mut ledger, vec![order(key, &[Kind::InDoubt])]).opened, 0);
        assert_eq!(state(&ledger, &id), State::Proven);
        let moved = store(&mut ledger, vec![order(key, &[Kind::Moved, Kind::InDoubt])]);
        assert_eq!(moved.opened, u64::from(verb == Verb::Reapply));
    }
}

#[test]
fn the_queue_stands_in_the_order_of_urgency() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    let ranked = |key: &str, rank: &str| order(key, &[Kind::Lost]).tap(|c| c.rank = Some(rank.to_owned()));
    let dying = |key: &str, at: &str| {
        order(key, &[Kind::Orphaned]).tap(|c| {
            c.id = format!("held:{key}");
            c.dies_at = Some(at.to_owned());
        })
    };
    store(
        &mut ledger,
        vec![
            order("80", &[Kind::Lost]),
            order("79", &[Kind::Lost]),
            ranked("70", "10"),
            ranked("71", "9"),
            ranked("72", "-3"),
            ranked("73", "soon"),
            waiting("60", &[Kind::Orphaned], &["50", "51"]),
            waiting("61", &[Kind::Orphaned], &["51"]),
            order("50", &[Kind::Lost]),
            order("51", &[Kind::Lost]),
            dying("41", "2026-11-22T14:52:09Z"),
            dying("40", "2026-11-22T14:52:08.5Z"),
            order("30", &[Kind::Regressed, Kind::InDoubt]),
        ],
    );
    let order: Vec<String> = labels(&ledger).iter().map(|l| l.replace("SFO-", "")).collect();
    assert_eq!(
        order,
        [
            "30", "40", "41", "51", "50", "72", "71", "70", "73", "60", "61", "79", "80"
        ]
    );
    let waited: Vec<u32> = rows(&ledger)[3..5].iter().map(|r| r.waited_for).collect();
    assert_eq!(waited, [2, 1]);

    // Nobody waits for 51 any more: it loses its place.
    claim(&mut ledger, &["order:60"]);
    ledger.decide(&asking("order:60", Verb::Keep)).unwrap();
    store(
        &mut ledger,
        vec![self::order("50", &[Kind::Lost]), self::order("51", &[Kind::Lost])],
    );
    let left: Vec<(String, u32)> = rows(&ledger)
        .into_iter()
        .filter(|r| r.state == State::Open)
        .map(|r| (r.label.into(), r.waited_for))
        .collect();
    assert_eq!(left, [("SFO-50".to_owned(), 0), ("SFO-51".to_owned(), 0)]);
}

#[test]
fn filters_and_names_find_cases() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    let twin = order("5", &[Kind::Regressed]).tap(|c| c.label = "SFO-1".to_owned());
    store(
        &mut ledger,
        vec![
            order("1", &[Kind::Lost]),
            order("2", &[Kind::Lost, Kind::Orphaned]),
            twin,
        ],
    );
    let list = |filter: Filter| {
        let mut ids = Vec::new();
        ledger
            .each_row(&filter, &mut |r| {
                ids.push(r.id.to_string());
                true
            })
            .unwrap();
        ids
    };
    let by = |kind, order: Option<&str>, state| Filter {
        state,
        kind,
        order: order.map(str::to_owned),
    };
    assert_eq!(list(by(Some(Kind::Orphaned), None, None)), ["order:2"]);
    assert_eq!(list(by(None, Some("SFO-1"), None)), ["order:1", "order:5"]);
    assert_eq!(list(by(None, Some("2"), None)), ["order:2"]);
    assert_eq!(list(by(None, None, Some(State::Gone))), [""; 0]);
    assert_eq!(ledger.find("order:2").unwrap(), ["order:2"]);
    assert_eq!(ledger.find("5").unwrap(), ["order:5"]);
    assert_eq!(ledger.find("SFO-1").unwrap(), ["order:1", "order:5"]);
    assert_eq!(ledger.find("nobody").unwrap(), [""; 0]);
    assert_eq!(
        ledger.rows_of(&["order:5", "none", "order:1"]).unwrap().len(),
        2,
        "what is not there is left out"
    );
}

#[test]
fn a_stopped_scan_leaves_everything_as_it_was() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    let progress = Progress::default();
    progress.cancel();
    let stopped = ledger.store_scan(
        &mut [order("2", &[Kind::Lost])].into_iter(),
        &[],
        &json!({}),
        None,
        &progress,
    );
    assert_eq!(stopped.unwrap_err().kind, ErrorKind::Failed);
    assert_eq!(labels(&ledger), ["SFO-1"]);
    assert_eq!(state(&ledger, "order:1"), State::Open);
    assert_eq!(trail(&ledger).len(), 1);
}

#[test]
fn rejects_and_the_report_are_those_of_the_last_scan() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    assert_eq!(ledger.last_scan().unwrap(), None);
    let reject = |position: &str| Reject {
        source: "cdc".to_owned(),
        position: position.to_owned(),
        reason: "no JSON".to_owned(),
        excerpt: "\u{1b}[2J".to_owned(),
    };
    for position in ["log:3", "log:9"] {
        ledger
            .store_scan(
                &mut std::iter::empty(),
                &[reject(position)],
                &json!({"at": position}),
                None,
                &Progress::default(),
            )
            .unwrap();
        assert_eq!(ledger.rejects().unwrap(), [reject(position)]);
        assert_eq!(ledger.last_scan().unwrap(), Some((T0, json!({"at": position}))));
    }
}

#[test]
fn incidents_in_one_ledger_do_not_meet() {
    let mut room = Room::new();
    let mut one = room.open("ana");
    store(&mut one, vec![order("1", &[Kind::Lost])]);
    room.config.incident.id = "another".to_owned();
    let mut two = room.open("li");
    assert_eq!(labels(&two), [""; 0]);
    store(
        &mut two,
        vec![order("1", &[Kind::Regressed]), order("2", &[Kind::Lost])],
    );
    assert_eq!(labels(&one), ["SFO-1"]);
    assert_eq!(one.case("order:1").unwrap().unwrap().found.kinds(), [Kind::Lost]);
    assert_eq!(trail(&two)[0].seq, 1);
    assert_eq!(one.verify().unwrap(), 2);
}

#[test]
fn an_attempt_has_one_restore_point() {
    let mut room = Room::new();
    store(&mut room.open("ana"), vec![order("1", &[Kind::Lost])]);
    room.config.incident.restored_to = Some(T0 + 1);
    let why = refused(room.try_open("ana", false));
    assert!(why.contains("attempt 1"), "{why}");
    room.config.incident.attempt = 2;
    let mut ledger = room.open("ana");
    claim(&mut ledger, &["order:1"]);
    ledger.decide(&asking("order:1", Verb::Reapply)).unwrap();
    ledger.prove("order:1", Some(true), "there").unwrap();
    assert_eq!(
        store(&mut ledger, vec![order("1", &[Kind::Lost])]).opened,
        0,
        "decided in this attempt"
    );
    assert_eq!(state(&ledger, "order:1"), State::Proven);
    room.config.incident.attempt = 3;
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    assert_eq!(
        state(&ledger, "order:1"),
        State::Applied,
        "restored over: to be proven again"
    );
    room.config.incident.attempt = 2;
    let mut late = room.open("ana");
    let stored = late.store_scan(&mut std::iter::empty(), &[], &json!({}), None, &Progress::default());
    assert!(refused(stored).contains("attempt 3"));
}

use super::*;
use crate::domain::case::{FoundCase, State};
use crate::domain::finding::Kind;
use crate::ledger::tests::{Room, Tap, asking, claim, order, state, store, trail, waiting};

fn room(cases: Vec<FoundCase>) -> (Room, Ledger) {
    let mut room = Room::new();
    room.config.bulk.per_second = 10_000;
    let mut ana = room.open("ana");
    store(&mut ana, cases);
    (room, ana)
}

fn lost(keys: std::ops::RangeInclusive<u32>) -> Vec<FoundCase> {
    keys.map(|k| order(&k.to_string(), &[Kind::Lost])).collect()
}

fn ask(verb: Verb) -> BulkAsk {
    BulkAsk {
        verb,
        reason: "lost window".to_owned(),
        reference: None,
        to: None,
        evidence: None,
        until: None,
    }
}

fn like(case: &str) -> Scope {
    Scope::Like(case.to_owned())
}

fn adds_up(sums: Sums) {
    assert_eq!(
        sums.total,
        sums.done + sums.failed + sums.skipped + sums.pending,
        "{sums:?}"
    );
}

#[test]
fn all_of_a_shape_are_decided_and_the_others_stay() {
    let mut cases = lost(1..=4);
    cases.push(order("5", &[Kind::Regressed]));
    cases.push(order("6", &[Kind::Lost]).tap(|c| c.findings[0].undone = true));
    let (room, mut ana) = room(cases);
    claim(&mut room.open("li"), &["order:3"]);
    claim(&mut ana, &["order:4"]);
    let sifted = sift(&room.config, &ana, &like("order:1"), ask(Verb::Reapply)).unwrap();
    let taken: Vec<&str> = sifted.taken.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(taken, ["order:1", "order:2", "order:4"]);
    let left: Vec<String> = sifted
        .excluded
        .iter()
        .map(|e| format!("{}: {}", e.case, e.why))
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left[0], "order:3: li holds it");
    assert!(
        left[1].starts_with("order:6: the restore removed it on purpose"),
        "{left:?}"
    );
    assert_eq!(
        trail(&ana).iter().filter(|l| l.action == "bulk").count(),
        0,
        "looking changed nothing"
    );

    let id = freeze(&mut ana, &sifted).unwrap();
    let mut seen = Vec::new();
    let bulk = run(&room.config, &mut ana, &id, &mut |sums| {
        adds_up(sums);
        seen.push(sums.done);
        true
    })
    .unwrap();
    assert_eq!(seen, [1, 2, 3]);
    assert_eq!((bulk.sums.done, bulk.sums.pending, bulk.stopped), (3, 0, None));
    for (key, expected) in [
        (1, State::ToDo),
        (2, State::ToDo),
        (3, State::Open),
        (4, State::ToDo),
        (5, State::Open),
        (6, State::Open),
    ] {
        assert_eq!(state(&ana, &format!("order:{key}")), expected, "{key}");
    }
    // What was held before is held still, the others are given back.
    let held = |id: &str| ana.case(id).unwrap().unwrap().claim.map(|c| c.by);
    assert_eq!((held("order:1"), held("order:4")), (None, Some("ana".to_owned())));
    assert_eq!(
        run(&room.config, &mut ana, &id, &mut |_| true).unwrap().sums.done,
        3,
        "done is done"
    );
}

#[test]
fn what_changed_since_it_was_frozen_is_skipped_and_refusals_end_it() {
    let (room, mut ana) = room(lost(1..=7));
    let sifted = sift(&room.config, &ana, &like("order:1"), ask(Verb::Resubmit)).unwrap();
    assert_eq!(sifted.taken.len(), 7);
    let id = freeze(&mut ana, &sifted).unwrap();
    claim(&mut ana, &["order:1"]);
    ana.decide(&asking("order:1", Verb::Keep)).unwrap();
    claim(&mut room.open("li"), &["order:2"]);
    // No restored database answers: nobody can tell whether the orders are there.
    let bulk = run(&room.config, &mut ana, &id, &mut |sums| {
        adds_up(sums);
        true
    })
    .unwrap();
    let items = ana.bulk_items(&id, false).unwrap();
    let why = |nth: usize| items[nth].why.clone().unwrap_or_default();
    assert_eq!(
        (items[0].state, why(0).as_str()),
        (ItemState::Skipped, "it is proven by now")
    );
    assert_eq!((items[1].state, why(1).as_str()), (ItemState::Skipped, "li holds it"));
    assert_eq!((bulk.sums.failed, bulk.sums.skipped, bulk.sums.pending), (3, 2, 2));
    assert!(bulk.stopped.unwrap().starts_with("3 failures, the last: order:5"));
    assert!(why(4).contains("nobody knows whether"), "{}", why(4));
}

#[test]
fn a_bulk_whose_console_died_goes_on_where_it_was_and_decides_nothing_twice() {
    let (room, mut ana) = room(lost(1..=6));
    let sifted = sift(&room.config, &ana, &like("order:1"), ask(Verb::Reapply)).unwrap();
    let id = freeze(&mut ana, &sifted).unwrap();
    let bulk = run(&room.config, &mut ana, &id, &mut |sums| sums.done < 2).unwrap();
    assert_eq!((bulk.sums.done, bulk.sums.pending), (2, 4));
    assert_eq!(bulk.stopped.as_deref(), Some("ana stopped it"));
    // Death between the decision and its mark: the case is decided, the journal does not know.
    let died = ana.bulk(&id).unwrap().unwrap();
    let item = ana.bulk_items(&id, true).unwrap().remove(0);
    assert!(matches!(
        turn(&room.config, &mut ana, &died, &item).unwrap(),
        Turn::Done
    ));
    drop(ana);

    let mut li = room.open("li");
    assert_eq!(
        run(&room.config, &mut li, &id, &mut |_| true).unwrap_err().kind,
        ErrorKind::Refused
    );
    let mut again = room.open("ana");
    let bulk = run(&room.config, &mut again, &id, &mut |sums| {
        adds_up(sums);
        true
    })
    .unwrap();
    assert_eq!(
        (bulk.sums.done, bulk.sums.failed, bulk.sums.pending, bulk.stopped),
        (6, 0, 0, None)
    );
    let decided = trail(&again)
        .into_iter()
        .filter(|l| l.action == "decide" && l.outcome == "ok");
    let mut keys: Vec<String> = decided.map(|l| l.key.unwrap()).collect();
    assert_eq!(keys.len(), 6);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 6);
}

#[test]
fn a_chain_is_decided_whole_and_its_cases_once() {
    let cases = vec![
        order("1", &[Kind::Lost]),
        waiting("2", &[Kind::Lost, Kind::Orphaned], &["1"]),
    ];
    let (room, mut ana) = room(cases);
    let these = Scope::These(vec!["order:2".to_owned(), "order:1".to_owned()]);
    let sifted = sift(&room.config, &ana, &these, ask(Verb::Reapply)).unwrap();
    let id = freeze(&mut ana, &sifted).unwrap();
    let bulk = run(&room.config, &mut ana, &id, &mut |_| true).unwrap();
    assert_eq!((bulk.sums.done, bulk.sums.skipped), (1, 1));
    assert_eq!(
        (state(&ana, "order:1"), state(&ana, "order:2")),
        (State::ToDo, State::ToDo)
    );
}

#[test]
fn a_bulk_that_needs_two_runs_when_another_person_signed_it() {
    let (mut room, _) = room(lost(1..=3));
    room.config.approve.bulk = Some(3);
    room.config.approve.verbs = vec![Verb::Keep];
    let mut ana = room.open("ana");
    let sifted = sift(&room.config, &ana, &like("order:1"), ask(Verb::Keep)).unwrap();
    assert!(sifted.waits);
    let id = freeze(&mut ana, &sifted).unwrap();
    let waits = |ledger: &mut Ledger| run(&room.config, ledger, &id, &mut |_| true).unwrap_err();
    assert!(waits(&mut ana).what.contains("waits for another person"));
    let paper = ana.paper(&id).unwrap().unwrap();
    assert_eq!(ana.sign(&paper, "").unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(ana.bulk(&id).unwrap().unwrap().sums.pending, 3);
    room.open("li").sign(&paper, "").unwrap();
    let bulk = run(&room.config, &mut ana, &id, &mut |_| true).unwrap();
    assert_eq!(bulk.sums.done, 3, "{:?}", ana.bulk_items(&id, false));
    assert_eq!(state(&ana, "order:2"), State::Proven);
}

#[test]
fn filters_and_nothing_to_decide() {
    let (room, mut ana) = room(lost(1..=3));
    let by = |text: &str| sift(&room.config, &ana, &Scope::Filter(text.to_owned()), ask(Verb::Keep));
    assert_eq!(by("sfo-2").unwrap().taken.len(), 1);
    assert_eq!(by("state:opne").unwrap_err().kind, ErrorKind::Usage);
    let none = by("kind:regressed").unwrap();
    assert_eq!(freeze(&mut ana, &none).unwrap_err().kind, ErrorKind::Refused);
    let all = sift(&room.config, &ana, &Scope::Filter(String::new()), ask(Verb::Keep));
    let unreasoned = all.unwrap().tap(|s| s.ask.reason = " ".to_owned());
    assert_eq!(freeze(&mut ana, &unreasoned).unwrap_err().kind, ErrorKind::Usage);
    assert_eq!(ana.bulks().unwrap(), []);
}

//! Papers: what waits for another person, hand-overs, the end. And bulks: the journal adds up.

use super::*;
use crate::config::Approve;
use crate::domain::paper::{BulkAsk, ItemState, Paper, PaperKind, PaperState, Sums};

fn room() -> (Room, Ledger) {
    let mut room = Room::new();
    room.config.approve = Approve {
        verbs: vec![Verb::Cancel],
        bulk: None,
    };
    let mut ana = room.open("ana");
    store(
        &mut ana,
        (1..=3).map(|k| order(&k.to_string(), &[Kind::Regressed])).collect(),
    );
    (room, ana)
}

/// Ana's decision on order 1, which waits.
fn asked(ana: &mut Ledger) -> (Decide, Paper) {
    claim(ana, &["order:1"]);
    let decide = asking("order:1", Verb::Cancel);
    assert_eq!(ana.decide(&decide).unwrap(), [("order:1".to_owned(), State::Open)]);
    let paper = ana.paper(&decide.key).unwrap().unwrap();
    assert_eq!(
        (paper.state, paper.case.as_deref()),
        (PaperState::Waits, Some("order:1"))
    );
    (decide, paper)
}

#[test]
fn a_decision_that_needs_two_takes_effect_when_another_person_signs_it() {
    let (room, mut ana) = room();
    let (decide, paper) = asked(&mut ana);
    assert_eq!(ana.decide(&decide).unwrap()[0].1, State::Open, "asked again: the same");
    assert_eq!(ana.waiting_papers().unwrap().len(), 1);
    let mut li = room.open("li");
    assert_eq!(li.sign(&paper, "seen").unwrap(), [("order:1".to_owned(), State::ToDo)]);
    let decision = li.case("order:1").unwrap().unwrap().decision.unwrap();
    assert_eq!(
        (decision.by.as_str(), decision.key.as_str()),
        ("ana", decide.key.as_str())
    );
    assert_eq!(decision.assignee.as_deref(), Some("ana"));
    // Sent again after all, it answers as decided.
    assert_eq!(ana.decide(&decide).unwrap()[0].1, State::ToDo);
    let signed = ana.paper(&decide.key).unwrap().unwrap();
    assert_eq!(
        (signed.state, signed.answered_by.as_deref()),
        (PaperState::Signed, Some("li"))
    );
    let told: Vec<String> = trail(&ana)
        .into_iter()
        .filter(|l| l.key.as_deref() == Some(&*decide.key))
        .map(|l| format!("{} {} {}", l.who, l.action, l.why.unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            "ana ask lost window, billing confirms",
            "li decide lost window, billing confirms",
            "li approve asked by ana: seen",
        ]
    );
    assert!(refused(li.sign(&paper, "")).contains("signed already"));
}

#[test]
fn nobody_approves_their_own_in_whatever_role() {
    let (mut room, mut ana) = room();
    let (_, paper) = asked(&mut ana);
    for _ in 0..100 {
        assert!(refused(ana.sign(&paper, "")).contains("takes another person"));
    }
    // The same person with more rights is the same person.
    room.config.roles.as_mut().unwrap().lead.push("ana".to_owned());
    assert!(refused(room.open("ana").sign(&paper, "")).contains("takes another person"));
    assert!(refused(ana.decline(&paper, "no")).contains("takes another person"));
    assert!(refused(room.open("bo").sign(&paper, "")).contains("viewer"));
    assert_eq!(state(&ana, "order:1"), State::Open);
}

#[test]
fn what_is_signed_is_what_was_asked_and_nothing_newer() {
    let (room, mut ana) = room();
    let (_, paper) = asked(&mut ana);
    let mut li = room.open("li");
    let forged = Paper {
        digest: "00".repeat(32),
        ..paper.clone()
    };
    refused(li.sign(&forged, ""));
    let other = paper.clone().tap(|p| p.content["reason"] = json!("another"));
    assert!(refused(li.sign(&other, "")).contains("changed since"));
    // A scan finds the case otherwise than it was.
    store(
        &mut ana,
        (1..=3)
            .map(|k| order(&k.to_string(), &[Kind::Regressed, Kind::InDoubt]))
            .collect(),
    );
    assert!(refused(li.sign(&paper, "")).contains("changed since it was asked for"));
    assert_eq!(state(&ana, "order:1"), State::Open);
}

#[test]
fn the_decider_may_have_gone_but_nobody_else_may_hold_the_case() {
    let (room, mut ana) = room();
    let (_, paper) = asked(&mut ana);
    room.pass(2 * MINUTE);
    let (mut li, mut sam) = (room.open("li"), room.open("sam"));
    claim(&mut sam, &["order:1"]);
    assert!(refused(li.sign(&paper, "")).contains("sam holds"));
    room.pass(2 * MINUTE);
    assert_eq!(li.sign(&paper, "").unwrap()[0].1, State::ToDo);
    assert_eq!(li.case("order:1").unwrap().unwrap().claim.unwrap().by, "ana");
}

#[test]
fn a_paper_is_declined_withdrawn_or_overtaken() {
    let (room, mut ana) = room();
    let mut li = room.open("li");
    let (decide, paper) = asked(&mut ana);
    assert_eq!(li.decline(&paper, " ").unwrap_err().kind, ErrorKind::Usage);
    assert!(refused(li.withdraw(&paper, "")).contains("ana wrote it"));
    li.decline(&paper, "ask the customer first").unwrap();
    assert!(refused(ana.decide(&decide)).contains("was declined"));

    let (_, second) = asked(&mut ana);
    assert_eq!(ana.undo("order:1", "not that").unwrap(), State::Open);
    assert_eq!(ana.paper(&second.key).unwrap().unwrap().state, PaperState::Withdrawn);
    assert!(refused(li.sign(&second, "")).contains("withdrawn already"));

    let (_, third) = asked(&mut ana);
    let (_, fourth) = asked(&mut ana);
    assert_eq!(ana.paper(&third.key).unwrap().unwrap().state, PaperState::Withdrawn);
    ana.decide(&asking("order:1", Verb::Keep)).unwrap();
    assert_eq!(ana.paper(&fourth.key).unwrap().unwrap().state, PaperState::Withdrawn);
    assert_eq!(ana.waiting_papers().unwrap(), []);
}

#[test]
fn other_verbs_are_decided_at_once() {
    let (_room, mut ana) = room();
    claim(&mut ana, &["order:1"]);
    assert_eq!(ana.decide(&asking("order:1", Verb::Reapply)).unwrap()[0].1, State::ToDo);
    assert_eq!(ana.papers().unwrap(), []);
}

/// Sam's configuration says what takes two; Ana's says nothing, and she was there before.
fn stale() -> (Room, Ledger) {
    let mut room = Room::new();
    let mut ana = room.open("ana");
    store(
        &mut ana,
        (1..=3).map(|k| order(&k.to_string(), &[Kind::Regressed])).collect(),
    );
    room.config.approve = Approve {
        verbs: vec![Verb::Cancel],
        bulk: Some(2),
    };
    room.open("li");
    let told = |ledger: &Ledger| trail(ledger).into_iter().filter(|l| l.action == "policy").count();
    assert_eq!(told(&ana), 0, "it takes a lead");
    room.open("sam");
    room.open("sam");
    assert_eq!(told(&ana), 1, "said once");
    room.config.approve = Approve::default();
    (room, ana)
}

#[test]
fn what_takes_two_takes_two_whatever_a_configuration_says() {
    let (room, mut ana) = stale();
    claim(&mut ana, &["order:1"]);
    let cancel = asking("order:1", Verb::Cancel);
    assert!(refused(ana.decide(&cancel)).contains("takes another person's approval: the ledger says so"));
    let line = trail(&ana).pop().unwrap();
    assert_eq!((line.action.as_str(), line.outcome.as_str()), ("refuse", "refused"));
    refused(ana.keep_fact("approve", &Approve::default(), Some(said())));
    refused(ana.first_fact("approve", &Approve::default()));
    // A lead without a configuration of it changes nothing, and is bound as well.
    let mut sam = room.open("sam");
    assert_eq!(sam.approve().verbs, [Verb::Cancel]);
    drop(sam.decide(&cancel));
    assert_eq!(state(&ana, "order:1"), State::Open);
    // Who starts anew asks, and another person signs.
    let mut ana = room.open("ana");
    assert_eq!(ana.decide(&cancel).unwrap()[0].1, State::Open);
    let paper = ana.paper(&cancel.key).unwrap().unwrap();
    for _ in 0..100 {
        assert!(refused(ana.sign(&paper, "")).contains("takes another person"));
    }
    assert_eq!(room.open("li").sign(&paper, "seen").unwrap()[0].1, State::ToDo);
    // Other verbs need nobody.
    claim(&mut ana, &["order:2"]);
    ana.decide(&asking("order:2", Verb::Reapply)).unwrap();
}

fn said() -> crate::ledger::Said<'static> {
    crate::ledger::Said {
        action: "policy",
        why: "mine",
    }
}

#[test]
fn a_large_bulk_takes_two_whatever_a_configuration_says() {
    let (room, mut ana) = stale();
    let items: Vec<(String, String)> = (1..=2).map(|k| (format!("order:{k}"), "d".to_owned())).collect();
    let ask = BulkAsk {
        reason: "lost window, billing confirms".to_owned(),
        ..ask()
    };
    ana.freeze_bulk("b1", &ask, "2 cases", &items, &[]).unwrap();
    ana.freeze_bulk("small", &ask, "1 case", &items[..1], &[]).unwrap();
    claim(&mut ana, &["order:1", "order:2", "order:3"]);
    let (first, last) = (asking("order:1", Verb::Keep), asking("order:3", Verb::Keep));
    assert!(refused(ana.decide_in_bulk(&first, "b1")).contains("the bulk b1 takes another person's approval"));
    let content = json!({"ask": ask, "scope": "2 cases", "cases": ["order:1", "order:2"]});
    let paper = ana
        .write_paper(PaperKind::Bulk, Some("b1"), &content, None, "2 cases")
        .unwrap();
    assert!(
        refused(ana.decide_in_bulk(&first, "b1")).contains("approval"),
        "it waits"
    );
    room.open("li").sign(&paper, "").unwrap();
    ana.decide_in_bulk(&first, "b1").unwrap();
    // What was signed, and nothing else, in nobody else's name.
    assert!(refused(ana.decide_in_bulk(&last, "b1")).contains("approval"));
    let other = asking("order:2", Verb::Keep).tap(|d| d.reason = "another".to_owned());
    assert!(refused(ana.decide_in_bulk(&other, "b1")).contains("approval"));
    ana.decide_in_bulk(&last, "small").unwrap();
}

#[test]
fn a_shift_is_signed_by_two_and_by_whom_it_is_for() {
    let (room, mut ana) = room();
    let content = json!({"cases": ["order:1"]});
    let paper = ana
        .write_paper(PaperKind::Handover, None, &content, Some("sam"), "3 cases are open")
        .unwrap();
    assert!(refused(ana.sign(&paper, "")).contains("another person"));
    assert!(refused(room.open("li").sign(&paper, "")).contains("for sam to sign"));
    let mut sam = room.open("sam");
    sam.sign(&paper, "read").unwrap();
    let signed = sam.paper(&paper.key).unwrap().unwrap();
    assert_eq!((signed.state, signed.content), (PaperState::Signed, content));
    let told: Vec<String> = trail(&sam)
        .into_iter()
        .filter(|l| l.action == "handover")
        .map(|l| format!("{}: {}", l.who, l.why.unwrap()))
        .collect();
    assert_eq!(told, ["ana: 3 cases are open", "sam: asked by ana: read"]);
}

#[test]
fn the_end_takes_a_lead_and_one_signature() {
    let (room, mut ana) = room();
    refused(ana.write_paper(PaperKind::Signoff, None, &json!({}), None, "done"));
    let mut sam = room.open("sam");
    let paper = sam
        .write_paper(PaperKind::Signoff, None, &json!({}), None, "done")
        .unwrap();
    assert_eq!(paper.state, PaperState::Signed);
}

fn ask() -> BulkAsk {
    BulkAsk {
        verb: Verb::Keep,
        reason: "does no harm".to_owned(),
        reference: None,
        to: None,
        evidence: None,
        until: None,
    }
}

#[test]
fn the_journal_of_a_bulk_adds_up_after_every_step() {
    let (_room, mut ana) = room();
    let items: Vec<(String, String)> = (1..=3).map(|k| (format!("order:{k}"), "d".to_owned())).collect();
    ana.freeze_bulk("b1", &ask(), "3 marked cases", &items, &[]).unwrap();
    ana.freeze_bulk("b1", &ask(), "3 marked cases", &items, &[]).unwrap();
    let sums = |ledger: &Ledger| ledger.bulk("b1").unwrap().unwrap().sums;
    let adds_up = |s: Sums| assert_eq!(s.total, s.done + s.failed + s.skipped + s.pending, "{s:?}");
    assert_eq!((sums(&ana).total, sums(&ana).pending), (3, 3));
    let ends = [ItemState::Done, ItemState::Failed, ItemState::Skipped];
    for (nth, end) in (1..).zip(ends) {
        ana.mark_bulk("b1", nth, end, Some("why")).unwrap();
        adds_up(sums(&ana));
        // What ended stays so.
        ana.mark_bulk("b1", nth, ItemState::Pending, None).unwrap();
        assert_eq!(sums(&ana).pending, 3 - u64::from(nth));
    }
    let s = sums(&ana);
    assert_eq!((s.done, s.failed, s.skipped, s.pending), (1, 1, 1, 0));
    assert_eq!(ana.bulk_items("b1", true).unwrap(), []);
    ana.turn_bulk("b1", Some("3 failures"), "stopped").unwrap();
    assert_eq!(ana.bulks().unwrap()[0].stopped.as_deref(), Some("3 failures"));
    ana.turn_bulk("b1", None, "goes on").unwrap();
    assert_eq!(ana.bulks().unwrap()[0].stopped, None);
    assert_eq!(trail(&ana).iter().filter(|l| l.action == "bulk").count(), 3);
}

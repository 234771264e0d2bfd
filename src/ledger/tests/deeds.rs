//! Claims, decisions, proofs: who may, who was first, what adds up.

use super::*;

fn room_with(cases: Vec<FoundCase>) -> (Room, Ledger) {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, cases);
    (room, ledger)
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|i| (*i).to_owned()).collect()
}

#[test]
fn a_claim_is_a_lease() {
    let (room, mut ana) = room_with(vec![order("1", &[Kind::Lost])]);
    let mut li = room.open("li");
    let one = ids(&["order:1"]);
    let first = ana.claim(&one, MINUTE).unwrap().remove(0);
    assert_eq!((first.by.as_str(), first.fence), ("ana", 1));
    let why = refused(li.claim(&one, MINUTE));
    assert!(why.contains("ana holds order:1 until 2026-11-22T14:06:00Z"), "{why}");

    room.pass(MINUTE / 2);
    let again = ana.claim(&one, MINUTE).unwrap().remove(0);
    assert_eq!((again.fence, again.until), (1, first.until + 30_000_000), "renewed");

    room.pass(MINUTE);
    assert_eq!(rows(&li)[0].claim, None, "lapsed");
    assert_eq!(li.claim(&one, MINUTE).unwrap()[0].fence, 2);
    refused(ana.claim(&one, MINUTE));
    refused(ana.drop_claims(&one));
    li.drop_claims(&one).unwrap();
    li.drop_claims(&one).unwrap();
    assert_eq!(ana.claim(&one, MINUTE).unwrap()[0].fence, 3);
}

#[test]
fn several_are_claimed_all_or_none() {
    let (room, mut ana) = room_with((1..=3).map(|k| order(&k.to_string(), &[Kind::Lost])).collect());
    let mut li = room.open("li");
    claim(&mut li, &["order:3"]);
    let lines = trail(&ana).len();
    assert!(refused(ana.claim(&ids(&["order:1", "order:2", "order:3"]), MINUTE)).contains("li holds order:3"));
    assert!(rows(&ana).iter().all(|r| r.claim.as_ref().is_none_or(|c| c.by == "li")));
    assert_eq!(trail(&ana).len(), lines + 1, "the refusal alone");
    assert_eq!(
        ana.claim(&ids(&["order:1", "order:9"]), MINUTE).unwrap_err().kind,
        ErrorKind::Usage
    );
    assert_eq!(rows(&ana).iter().filter(|r| r.claim.is_some()).count(), 1);
}

#[test]
fn a_chain_is_the_case_and_what_it_waits_for() {
    let (_room, mut ana) = room_with(vec![
        order("1", &[Kind::Lost]),
        waiting("2", &[Kind::Lost], &["1"]),
        waiting("3", &[Kind::Orphaned], &["2", "8"]),
        waiting("8", &[Kind::Lost], &["9"]),
        waiting("9", &[Kind::Lost], &["8"]),
    ]);
    assert_eq!(
        ana.chain("order:3").unwrap(),
        ["order:3", "order:2", "order:8", "order:1", "order:9"]
    );
    assert_eq!(ana.chain("order:9").unwrap(), ["order:9", "order:8"], "a cycle ends");
    claim(&mut ana, &["order:1"]);
    ana.decide(&asking("order:1", Verb::Keep)).unwrap();
    assert_eq!(ana.chain("order:2").unwrap(), ["order:2"]);
    let row = &ana.rows_of(&["order:2"]).unwrap()[0];
    assert_eq!(row.blocked_by, [], "what is settled is not waited for");
}

#[test]
fn roles_bound_what_one_may_do() {
    let (room, mut ana) = room_with(vec![order("1", &[Kind::Lost])]);
    claim(&mut ana, &["order:1"]);
    ana.decide(&asking("order:1", Verb::Reapply)).unwrap();
    let one = ids(&["order:1"]);
    for user in ["bo", "mallory"] {
        let mut viewer = room.open(user);
        let before = trail(&viewer).len();
        refused(viewer.claim(&one, MINUTE));
        refused(viewer.drop_claims(&one));
        refused(viewer.decide(&asking("order:1", Verb::Keep)));
        refused(viewer.note("order:1", "hm"));
        refused(viewer.done("order:1", "it is"));
        refused(viewer.undo("order:1", "no"));
        refused(viewer.prove("order:1", Some(true), "read"));
        let lines = trail(&viewer);
        assert_eq!(lines.len(), before + 7);
        assert!(
            lines[before..]
                .iter()
                .all(|l| l.action == "refuse" && l.outcome == "refused" && l.who == user)
        );
    }
    assert_eq!(state(&ana, "order:1"), State::ToDo);
}

#[test]
fn deciding_needs_the_claim() {
    let (room, mut ana) = room_with(vec![order("1", &[Kind::Lost])]);
    let mut li = room.open("li");
    assert!(refused(ana.decide(&asking("order:1", Verb::Keep))).contains("nobody holds"));
    claim(&mut li, &["order:1"]);
    assert!(refused(ana.decide(&asking("order:1", Verb::Keep))).contains("li holds"));
    room.pass(MINUTE);
    assert!(
        refused(li.decide(&asking("order:1", Verb::Keep))).contains("nobody holds"),
        "lapsed"
    );
    assert_eq!(state(&ana, "order:1"), State::Open);
}

#[test]
fn a_sleeper_with_an_old_fence_is_refused() {
    let (room, mut ana) = room_with(vec![order("1", &[Kind::Lost])]);
    let mut li = room.open("li");
    let one = ids(&["order:1"]);
    let old = ana.claim(&one, MINUTE).unwrap()[0].fence;
    room.pass(MINUTE);
    li.claim(&one, MINUTE).unwrap();
    li.drop_claims(&one).unwrap();
    let new = ana.claim(&one, MINUTE).unwrap()[0].fence;
    let stale = asking("order:1", Verb::Keep).tap(|d| d.fence = Some(old));
    assert!(refused(ana.decide(&stale)).contains("in between"));
    ana.decide(&asking("order:1", Verb::Keep).tap(|d| d.fence = Some(new)))
        .unwrap();
}

#[test]
fn the_same_key_decides_once() {
    let (_room, mut ana) = room_with(vec![order("1", &[Kind::Lost]), order("2", &[Kind::Lost])]);
    claim(&mut ana, &["order:1", "order:2"]);
    let once = asking("order:1", Verb::Reapply);
    let first = ana.decide(&once).unwrap();
    let lines = trail(&ana).len();
    assert_eq!(ana.decide(&once).unwrap(), first);
    ana.done("order:1", "by hand").unwrap();
    assert_eq!(ana.decide(&once).unwrap(), first, "also when the case went on");
    assert_eq!(trail(&ana).len(), lines + 1);
    let others: [fn(&mut Decide); 4] = [
        |d| d.reason = "another".to_owned(),
        |d| d.verb = Some(Verb::Keep),
        |d| d.case = "order:2".to_owned(),
        |d| d.until = Some(1),
    ];
    for change in others {
        assert!(refused(ana.decide(&once.clone().tap(change))).contains("another decision"));
    }
    assert_eq!(state(&ana, "order:2"), State::Open);
}

#[test]
fn every_verb_leads_to_its_state() {
    let (_room, mut ana) = room_with((1..=9).map(|k| order(&k.to_string(), &[Kind::Lost])).collect());
    let expected = [
        (Verb::Reapply, State::ToDo),
        (Verb::Resubmit, State::ToDo),
        (Verb::Complete, State::Applied),
        (Verb::Supersede, State::ToDo),
        (Verb::Cancel, State::ToDo),
        (Verb::Park, State::Parked),
        (Verb::Escalate, State::Escalated),
        (Verb::Keep, State::Proven),
    ];
    for (key, (verb, after)) in (1..).zip(expected) {
        let id = format!("order:{key}");
        claim(&mut ana, &[&id]);
        assert_eq!(
            ana.decide(&asking(&id, verb)).unwrap(),
            [(id.clone(), after)],
            "{verb:?}"
        );
        let file = ana.case(&id).unwrap().unwrap();
        let decision = file.decision.unwrap();
        assert_eq!((decision.verb, decision.by.as_str()), (verb, "ana"));
        assert_eq!(decision.steps.is_empty(), after != State::ToDo, "{verb:?}");
        assert_eq!(decision.wanted.is_some(), after == State::ToDo, "{verb:?}");
        assert_eq!(rows(&ana).iter().find(|r| *r.id == *id).unwrap().verb, Some(verb));
        let next = ana.decide(&asking(&id, Verb::Keep));
        if matches!(after, State::Parked | State::Escalated) {
            assert_eq!(next.unwrap()[0].1, State::Proven, "{verb:?} stays decidable");
        } else {
            refused(next);
        }
    }
}

type Change = fn(&mut Decide);

#[test]
fn a_decision_without_what_its_verb_needs_is_a_usage_error() {
    let (_room, mut ana) = room_with(vec![waiting("1", &[Kind::Lost, Kind::Orphaned], &["2"])]);
    claim(&mut ana, &["order:1"]);
    let missing: [(Verb, Change); 8] = [
        (Verb::Keep, |d| d.reason = " ".to_owned()),
        (Verb::Keep, |d| d.verb = None),
        (Verb::Keep, |d| d.key = String::new()),
        (Verb::Relink, |d| d.to = None),
        (Verb::Relink, |d| d.reference = None),
        (Verb::Supersede, |d| d.to = None),
        (Verb::Escalate, |d| d.to = Some(String::new())),
        (Verb::Complete, |d| d.evidence = None),
    ];
    for (verb, change) in missing {
        let error = ana.decide(&asking("order:1", verb).tap(change)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage, "{verb:?} {error}");
    }
    let unknown = ana.decide(&asking("order:77", Verb::Keep)).unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::Usage);
    let other = asking("order:1", Verb::Keep).tap(|d| d.confirm = Some("order:2".to_owned()));
    refused(ana.decide(&other));
    ana.decide(&asking("order:1", Verb::Keep).tap(|d| d.confirm = Some("order:1".to_owned())))
        .unwrap();
}

#[test]
fn reapplying_decides_what_it_waits_for_too() {
    let (room, mut ana) = room_with(vec![
        order("1", &[Kind::Lost]),
        waiting("2", &[Kind::Lost, Kind::Orphaned], &["1"]),
    ]);
    claim(&mut ana, &["order:2"]);
    let why = refused(ana.decide(&asking("order:2", Verb::Reapply)));
    assert!(why.contains("order:1"), "{why}");
    claim(&mut room.open("li"), &["order:1"]);
    assert!(refused(ana.decide(&asking("order:2", Verb::Reapply))).contains("li holds SFO-1"));
    room.open("li").drop_claims(&ids(&["order:1"])).unwrap();
    assert_eq!(state(&ana, "order:1"), State::Open);

    let chain = ana.chain("order:2").unwrap();
    ana.claim(&chain, MINUTE).unwrap();
    let d = asking("order:2", Verb::Reapply);
    let done = ana.decide(&d).unwrap();
    assert_eq!(
        done,
        [("order:2".to_owned(), State::ToDo), ("order:1".to_owned(), State::ToDo)]
    );
    let steps = |id: &str| ana.case(id).unwrap().unwrap().decision.unwrap().steps;
    assert_eq!(steps("order:2"), ["insert om.orders 2: Activated"]);
    assert_eq!(steps("order:1"), ["insert om.orders 1: Activated"]);
    let decided: Vec<String> = trail(&ana)
        .into_iter()
        .filter(|l| l.action == "decide")
        .map(|l| format!("{} {}", l.case.unwrap(), l.key.unwrap() == d.key))
        .collect();
    assert_eq!(decided, ["order:2 true", "order:1 true"]);

    ana.undo("order:1", "too early").unwrap();
    assert_eq!(
        (state(&ana, "order:1"), state(&ana, "order:2")),
        (State::Open, State::Open)
    );
}

#[test]
fn a_to_do_is_done_then_proven() {
    let (_room, mut ana) = room_with(vec![order("1", &[Kind::Lost])]);
    claim(&mut ana, &["order:1"]);
    refused(ana.done("order:1", "nothing was asked"));
    ana.decide(&asking("order:1", Verb::Reapply)).unwrap();
    assert_eq!(ana.to_prove(None).unwrap().len(), 1);
    assert_eq!(ana.prove("order:1", Some(false), "not there").unwrap(), State::ToDo);
    let lines = trail(&ana).len();
    assert_eq!(ana.prove("order:1", Some(false), "not there").unwrap(), State::ToDo);
    assert_eq!(trail(&ana).len(), lines, "the same reading is no news");
    assert_eq!(ana.done("order:1", " ").unwrap_err().kind, ErrorKind::Usage);
    assert_eq!(ana.done("order:1", "inserted, ticket 7").unwrap(), State::Applied);
    refused(ana.done("order:1", "again"));
    assert_eq!(
        ana.prove("order:1", None, "the database does not answer").unwrap(),
        State::Applied
    );
    let unclear = ana.case("order:1").unwrap().unwrap().decision.unwrap().proof;
    assert_eq!(unclear, Some((None, "the database does not answer".to_owned())));
    assert_eq!(
        ana.prove("order:1", Some(true), "order 1 is there").unwrap(),
        State::Proven
    );
    let decision = ana.case("order:1").unwrap().unwrap().decision.unwrap();
    assert_eq!(decision.evidence.as_deref(), Some("inserted, ticket 7"));
    assert_eq!(decision.proof, Some((Some(true), "order 1 is there".to_owned())));
    assert_eq!(ana.to_prove(None).unwrap(), []);
    refused(ana.undo("order:1", "proven by reading"));
}

#[test]
fn a_failed_proof_opens_the_case_for_its_decider_first() {
    let (room, mut ana) = room_with(vec![order("1", &[Kind::Lost])]);
    let mut li = room.open("li");
    claim(&mut ana, &["order:1"]);
    ana.decide(&asking("order:1", Verb::Reapply)).unwrap();
    ana.done("order:1", "done").unwrap();
    ana.drop_claims(&ids(&["order:1"])).unwrap();
    assert_eq!(
        li.prove("order:1", Some(false), "status is Created").unwrap(),
        State::Open
    );
    let file = ana.case("order:1").unwrap().unwrap();
    assert!(file.disproven && rows(&ana)[0].disproven);
    assert_eq!(file.claim.unwrap().by, "ana");
    assert_eq!(
        file.decision.unwrap().proof,
        Some((Some(false), "status is Created".to_owned()))
    );
    refused(li.claim(&ids(&["order:1"]), MINUTE));
    ana.decide(&asking("order:1", Verb::Keep)).unwrap();
    assert!(!ana.case("order:1").unwrap().unwrap().disproven);
}

#[test]
fn undo_takes_back_what_nobody_proved() {
    let (room, mut ana) = room_with((1..=5).map(|k| order(&k.to_string(), &[Kind::Lost])).collect());
    let verbs = [Verb::Keep, Verb::Park, Verb::Escalate, Verb::Reapply, Verb::Complete];
    refused(ana.undo("order:1", "nothing yet"));
    for (key, verb) in (1..).zip(verbs) {
        let id = format!("order:{key}");
        claim(&mut ana, &[&id]);
        ana.decide(&asking(&id, verb)).unwrap();
        assert_eq!(ana.undo(&id, " ").unwrap_err().kind, ErrorKind::Usage);
        assert!(refused(room.open("li").undo(&id, "mine")).contains("ana holds"));
        assert_eq!(ana.undo(&id, "pressed the wrong key").unwrap(), State::Open);
        let file = ana.case(&id).unwrap().unwrap();
        assert_eq!((file.state, file.decision), (State::Open, None));
        refused(ana.undo(&id, "again"));
    }
    assert_eq!(trail(&ana).iter().filter(|l| l.action == "undo").count(), verbs.len());
}

#[test]
fn notes_are_kept_in_order() {
    let (room, mut ana) = room_with(vec![order("1", &[Kind::Lost])]);
    ana.note("order:1", "billing says yes").unwrap();
    room.open("li").note("order:1", "so does the customer").unwrap();
    let notes = ana.case("order:1").unwrap().unwrap().notes;
    let said: Vec<(&str, &str)> = notes.iter().map(|n| (n.by.as_str(), n.text.as_str())).collect();
    assert_eq!(said, [("ana", "billing says yes"), ("li", "so does the customer")]);
    assert_eq!(ana.note("order:1", "").unwrap_err().kind, ErrorKind::Usage);
}

#[test]
fn a_lead_may_confirm_what_was_completed() {
    let (room, mut ana) = room_with(vec![order("1", &[Kind::Lost])]);
    claim(&mut ana, &["order:1"]);
    ana.decide(&asking("order:1", Verb::Complete)).unwrap();
    refused(ana.done("order:1", "I saw it"));
    ana.drop_claims(&ids(&["order:1"])).unwrap();
    let mut sam = room.open("sam");
    assert_eq!(sam.done("order:1", "I saw it").unwrap(), State::Proven);
    refused(sam.done("order:1", "again"));
    let last = trail(&sam).into_iter().rfind(|l| l.action == "done").unwrap();
    assert_eq!(
        (last.who.as_str(), last.why.as_deref()),
        ("sam", Some("confirmed: I saw it"))
    );
}

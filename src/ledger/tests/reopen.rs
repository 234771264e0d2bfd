//! Opening again: by a lead, by an answer.

use super::*;

#[test]
fn a_lead_opens_again_whatever_was_decided() {
    let room = Room::new();
    let mut sam = room.open("sam");
    store(
        &mut sam,
        (1..=4).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    let verbs = [Verb::Keep, Verb::Reapply, Verb::Park, Verb::Complete];
    for (key, verb) in (1..).zip(verbs) {
        let id = format!("order:{key}");
        assert!(refused(sam.reopen(&id, "wrong")).contains("is open"));
        claim(&mut sam, &[&id]);
        sam.decide(&asking(&id, verb)).unwrap();
        assert!(refused(room.open("ana").reopen(&id, "wrong")).contains("no lead"));
        let mut other = room.open("li");
        assert_eq!(sam.reopen(&id, " ").unwrap_err().kind, ErrorKind::Usage);
        let before = state(&sam, &id);
        assert_eq!(sam.reopen(&id, "wrong").unwrap(), State::Open);
        let line = trail(&sam).pop().unwrap();
        assert_eq!(
            (line.action.as_str(), line.verb.as_deref()),
            ("reopen", Some(verb.name()))
        );
        assert_eq!(line.why.unwrap(), format!("was {}: wrong", before.words()));
        let file = sam.case(&id).unwrap().unwrap();
        assert_eq!((file.state, file.decision), (State::Open, None));
        assert!(refused(other.claim(&[id], MINUTE)).contains("sam holds"));
    }
}

#[test]
fn a_case_that_somebody_else_holds_is_not_opened_behind_them() {
    let room = Room::new();
    let mut ana = room.open("ana");
    store(&mut ana, vec![order("1", &[Kind::Lost])]);
    claim(&mut ana, &["order:1"]);
    ana.decide(&asking("order:1", Verb::Keep)).unwrap();
    let mut sam = room.open("sam");
    assert!(refused(sam.reopen("order:1", "wrong")).contains("ana holds"));
    room.pass(2 * MINUTE);
    assert_eq!(sam.reopen("order:1", "wrong").unwrap(), State::Open);
}

#[test]
fn a_case_that_is_gone_can_be_worked_on_again() {
    let room = Room::new();
    let mut sam = room.open("sam");
    store(&mut sam, vec![order("1", &[Kind::Lost])]);
    store(&mut sam, Vec::new());
    assert_eq!(state(&sam, "order:1"), State::Gone);
    assert_eq!(sam.reopen("order:1", "the log lacked an hour").unwrap(), State::Open);
    claim(&mut sam, &["order:1"]);
    sam.decide(&asking("order:1", Verb::Keep)).unwrap();
}

#[test]
fn the_answer_opens_what_waited_for_it() {
    for verb in [Verb::Park, Verb::Escalate] {
        let room = Room::new();
        let mut ana = room.open("ana");
        store(&mut ana, vec![order("1", &[Kind::Lost])]);
        claim(&mut ana, &["order:1"]);
        let decide = asking("order:1", verb);
        ana.decide(&decide).unwrap();
        assert!(refused(room.open("li").done("order:1", "yes")).contains("ana holds"));
        ana.drop_claims(&["order:1".to_owned()]).unwrap();
        let mut sam = room.open("sam");
        assert_eq!(sam.done("order:1", "the customer wants it").unwrap(), State::Open);
        let file = sam.case("order:1").unwrap().unwrap();
        let note = file.notes.last().unwrap();
        assert_eq!(
            (note.by.as_str(), note.text.as_str()),
            ("sam", "answer: the customer wants it")
        );
        let line = trail(&sam).pop().unwrap();
        assert_eq!((line.action.as_str(), line.who.as_str()), ("done", "sam"));
        assert_eq!(line.key.as_deref(), Some(decide.key.as_str()));
        assert_eq!(line.why.as_deref(), Some("answered: the customer wants it"));
    }
}

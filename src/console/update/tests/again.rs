//! Cases that are opened again: by a lead, by an answer.

use super::*;

/// The cursor on a case in this state.
fn on(run: &mut Run, state: State) -> String {
    let id = run.rows.iter().find(|r| r.state == state).unwrap().id.clone();
    run.keys("/state:any<enter>");
    run.model.queue.go_to(&id);
    run.keys("<enter>");
    id.into()
}

#[test]
fn a_lead_opens_a_settled_case_again_with_a_reason() {
    let mut run = Run::with(|m| m.setup.role = "lead".to_owned());
    let id = on(&mut run, State::Proven);
    run.keys("R");
    assert!(run.form().lines.iter().any(|l| l.contains("is proven now")));
    run.keys("y");
    assert_eq!(run.deeds, [], "no reason yet");
    run.keys("1y");
    let reason = run.model.setup.reasons.of("reopen")[0].clone();
    assert_eq!(run.deeds, [Deed::Reopen { case: id, reason }]);
    assert!(run.model.layer.is_none());
}

#[test]
fn who_is_no_lead_is_told_so() {
    let mut run = Run::new();
    on(&mut run, State::Proven);
    run.keys("R");
    assert!(run.model.layer.is_none());
    assert!(run.notice().contains("it takes a lead"), "{}", run.notice());
}

#[test]
fn what_was_parked_takes_its_answer() {
    let mut run = Run::new();
    let id = on(&mut run, State::Parked);
    run.keys("Dyes, says sam<enter>y");
    let evidence = "yes, says sam".to_owned();
    assert_eq!(run.deeds, [Deed::Done { case: id, evidence }]);
}

//! A red gate: a scan stops at it, unless a lead says why not.

use super::*;
use crate::domain::gate::{Check, Gate, Light, Question};

fn gate(light: Light) -> Gate {
    let mut check = Check::new(
        "rows newer than T",
        Question::Point,
        light,
        "order 9 stands as of 14:06:11Z",
    );
    check.cure = Some("restore again, to T".to_owned());
    Gate {
        at: NOW,
        attempt: 1,
        checks: vec![check],
    }
}

fn at(light: Light, role: &str) -> Run {
    let role = role.to_owned();
    Run::with(|m| {
        m.setup.role = role;
        m.gate = Some(gate(light));
    })
}

#[test]
fn a_lead_is_offered_to_scan_despite_it_with_a_reason() {
    let mut run = at(Light::Red, "lead");
    run.keys("<ctrl-r>");
    assert_eq!((run.scans, run.despite.len()), (1, 0), "the gate is asked again");
    let lines = run.form().lines.join("\n");
    assert!(
        lines.contains("rows newer than T") && lines.contains("restore again, to T"),
        "{lines}"
    );
    run.keys("y");
    assert_eq!(run.despite, [""; 0], "no reason yet");
    run.keys("<esc>");
    assert_eq!((run.scans, run.despite.len()), (1, 0), "looking changed nothing");
    run.keys("<ctrl-r>1y");
    assert_eq!(run.despite.len(), 1);
    assert!(!run.despite[0].is_empty() && run.model.layer.is_none());
    assert!(run.notice().contains("despite the red gate"), "{}", run.notice());
}

#[test]
fn others_are_told_and_a_gate_that_is_not_red_asks_nothing() {
    let mut run = at(Light::Red, "operator");
    run.keys("<ctrl-r>");
    assert!(run.model.layer.is_none());
    assert!(
        run.notice().contains("RED") && run.notice().contains("takes a lead"),
        "{}",
        run.notice()
    );
    for light in [Light::Green, Light::CannotTell] {
        let mut run = at(light, "lead");
        run.keys("<ctrl-r>");
        assert!(run.model.layer.is_none() && run.scans == 1);
    }
    let mut run = at(Light::Red, "lead");
    run.model.setup.readonly = true;
    run.keys("<ctrl-r>");
    assert!(run.model.layer.is_none() && run.scans == 0);
}

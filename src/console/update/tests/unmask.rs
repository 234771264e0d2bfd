//! A masked field: shown for a minute, with a reason, in one case alone.

use super::*;
use crate::console::widget::snapshot;

const VALUE: &str = "+15550102";

fn screen(run: &mut Run) -> String {
    snapshot::text(&snapshot::draw(&mut run.model, 120, 60)).join("\n")
}

/// The console in a case that has the masked field.
fn in_case() -> Run {
    let mut run = Run::new();
    run.keys("<enter>");
    for _ in 0..run.rows.len() {
        let both = run.model.case.current().is_some_and(|c| {
            let mut rows = c.file.found.family.iter().flat_map(|r| &r.fields);
            rows.any(|f| f.name == "msisdn" && f.log == Some(VALUE.into()))
        });
        if both {
            return run;
        }
        run.keys("<esc>j<enter>");
    }
    panic!("no case of the fixture has {VALUE}");
}

#[test]
fn a_masked_field_is_shown_for_a_minute_with_a_reason() {
    let mut run = in_case();
    let case = run.model.case.id.clone().unwrap();
    assert!(!screen(&mut run).contains(VALUE));
    run.keys("U");
    run.keys("<tab>y");
    assert_eq!(run.deeds, [], "no reason, no look");
    run.keys("<esc>U");
    run.keys("the customer is on the phone");
    assert_eq!(run.deeds, [], "typing decides nothing");
    run.keys("<enter>y");
    assert_eq!(
        run.deeds,
        [Deed::Unmask {
            case: case.clone(),
            entity: "order".to_owned(),
            column: "msisdn".to_owned(),
            reason: "the customer is on the phone".to_owned(),
        }]
    );
    assert!(screen(&mut run).contains(VALUE), "{}", screen(&mut run));
    let shown_at = run.model.now;
    run.msg(Msg::Tick(shown_at + 59_000_000));
    assert!(screen(&mut run).contains(VALUE));
    run.msg(Msg::Tick(shown_at + 61_000_000));
    assert!(!screen(&mut run).contains(VALUE));
}

#[test]
fn another_case_stays_masked_and_a_refusal_shows_nothing() {
    let mut run = in_case();
    run.refuse = Some(Error::refused("bo is a viewer"));
    run.keys("Uwhy<enter>y");
    assert!(!screen(&mut run).contains(VALUE));
    let form = run.form();
    assert!(form.problem.as_deref().is_some_and(|p| p.contains("viewer")));
    run.keys("y");
    assert!(screen(&mut run).contains(VALUE));
    let case = run.model.case.id.clone();
    run.keys("<esc>j<enter>");
    if run.model.case.id != case {
        assert!(!screen(&mut run).contains(VALUE));
    }
}

#[test]
fn readonly_binds_no_unmasking() {
    let mut run = in_case();
    run.model.setup.readonly = true;
    run.keys("U");
    assert!(run.model.layer.is_none());
    assert_eq!(run.deeds, []);
}

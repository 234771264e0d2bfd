//! Effects: what has not left is stopped by a key, what came of one is said.

use super::{Run, update};
use crate::console::effect::{Deed, Effect};
use crate::console::msg::Msg;
use crate::domain::queue::{Course, EffectLine};

#[test]
fn what_has_not_left_yet_is_stopped_by_one_key() {
    let mut run = Run::new();
    run.keys("/sfo-93<enter><enter>");
    let leaves_at = run.model.now + 7_000_000;
    let effect = EffectLine {
        key: "k".to_owned(),
        does: "kafka".to_owned(),
        undoes: false,
        state: Course::Queued,
        leaves_at,
        ended_at: None,
        outcome: None,
    };
    run.model.case.loaded.as_mut().unwrap().file.effect = Some(effect.clone());
    run.keys("u");
    assert!(run.model.layer.is_none(), "there is no time for a form");
    assert!(matches!(run.deeds.last(), Some(Deed::Undo { reason, .. }) if reason == "taken back before it left"));
    // What has left asks, and says what it would come to.
    let done = EffectLine {
        state: Course::Done,
        ..effect
    };
    let mut run = Run::new();
    run.keys("/sfo-93<enter><enter>");
    run.model.case.loaded.as_mut().unwrap().file.effect = Some(done);
    run.keys("u");
    assert!(
        run.form().lines.iter().any(|l| l.contains("this will be refused")),
        "{:?}",
        run.form().lines
    );
}

#[test]
fn what_came_of_an_effect_is_said_and_read_again() {
    let mut run = Run::new();
    let told = Msg::Carried {
        cases: vec!["order:958".to_owned()],
        words: "sql: 3 rows written".to_owned(),
        well: true,
    };
    let effects = update(&mut run.model, told);
    assert_eq!(run.notice(), "SFM-12: sql: 3 rows written");
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::LoadSome(ids) if ids == &["order:958".to_owned()]))
    );
}

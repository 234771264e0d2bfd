//! Claims: taken, given back, taken over; the next case; who is on what.

use super::*;

#[test]
fn a_chain_is_claimed_and_given_back_whole() {
    let mut run = Run::new();
    run.keys("c");
    assert_eq!(
        run.deeds,
        [Deed::Drop(vec!["order:958".to_owned()])],
        "one claim goes back at once"
    );
    let mut run = Run::new();
    run.rows[0].claim = None;
    run.keys("<ctrl-r>");
    run.keys("c");
    assert_eq!(run.deeds, [Deed::Claim(vec!["order:958".to_owned()])]);
    assert!(run.model.held.contains("order:41"), "the whole chain is held");
    run.keys("c");
    assert_eq!(run.deeds.len(), 1, "more than one claim goes back only after a word");
    run.keys("y");
    assert_eq!(
        run.deeds[1],
        Deed::Drop(vec!["order:958".to_owned(), "order:41".to_owned()])
    );
    assert!(run.model.held.is_empty());
}

#[test]
fn the_next_free_case_is_opened_and_claimed() {
    let mut run = Run::new();
    run.keys("jJ");
    assert_eq!(run.cursor(), "order:41", "the one under the cursor is as free as any");
    assert!(run.model.in_case && run.model.is_mine("order:41"));
    run.keys("J");
    assert_eq!(run.cursor(), "order:91", "order 90 is held by li");
    run.keys("K");
    assert_eq!(run.model.case.id.as_deref(), Some("order:41"));
    // The first of all is not passed over.
    let mut run = Run::new();
    run.rows[0].claim = None;
    run.keys("<ctrl-r>J");
    assert_eq!(run.cursor(), "order:958");
    assert!(
        run.model.is_mine("order:958") && run.model.is_mine("order:41"),
        "its chain too"
    );
    // Who may only look, only opens.
    let mut run = Run::with(|m| m.setup.readonly = true);
    run.keys("Jacu");
    assert!(run.model.in_case && run.model.layer.is_none() && run.deeds.is_empty());
}

#[test]
fn the_end_gives_claims_back_after_a_word() {
    let mut run = Run::new();
    run.keys("J<esc>q");
    assert!(run.quit.is_none());
    run.keys("<esc>qy");
    assert_eq!(run.quit, Some(vec!["order:41".to_owned()]));
    let mut run = Run::new();
    run.keys("q");
    assert_eq!(run.quit, Some(vec![]));
}

#[test]
fn a_range_marks_and_marked_cases_are_claimed_together() {
    let mut run = Run::new();
    run.keys("jjjvjjv");
    assert_eq!(run.model.queue.marks.len(), 3);
    run.keys("c");
    assert_eq!(
        run.deeds,
        [Deed::Claim(vec![
            "order:118".to_owned(),
            "order:91".to_owned(),
            "order:92".to_owned()
        ])]
    );
    run.keys("-");
    assert!(run.model.queue.marks.is_empty());
}

#[test]
fn the_next_case_is_whatever_is_still_free_when_the_ledger_is_asked() {
    let mut run = Run::new();
    run.keys("jJ");
    let Some(Deed::Next { among, whole, .. }) = run.deeds.last() else {
        panic!("{:?}", run.deeds)
    };
    assert!(
        *whole && among[0] == "order:41" && !among.contains(&"order:90".to_owned()),
        "{among:?}"
    );
    // In a filter nothing else is taken.
    run.keys("<esc>/sfo<enter>J");
    assert!(
        matches!(run.deeds.last(), Some(Deed::Next { whole: false, .. })),
        "{:?}",
        run.deeds
    );
    // Others were faster everywhere.
    let outcome = Ok(Outcome::default());
    run.held = Some(VecDeque::new());
    run.keys("J");
    let (number, deed) = match run.held.take().unwrap().pop_back() {
        Some(Effect::Deed { number, deed }) => (number, deed),
        other => panic!("{other:?}"),
    };
    let before = run.model.case.id.clone();
    run.msg(Msg::Deed { number, deed, outcome });
    assert!(
        run.notice()
            .starts_with("no undecided case left that nobody holds (in this filter"),
        "{}",
        run.notice()
    );
    assert_eq!(run.model.case.id, before);
}

#[test]
fn who_began_something_else_is_not_torn_away_by_the_next_case() {
    let mut run = Run::new();
    run.keys("jjj");
    run.held = Some(VecDeque::new());
    run.keys("Ji");
    assert!(run.model.layer.is_some());
    let here = run.cursor().to_owned();
    for effect in run.held.take().unwrap() {
        run.carry_out(vec![effect]);
    }
    assert!(run.model.layer.is_some() && run.cursor() == here, "{here}");
    assert!(run.notice().contains("is yours"), "{}", run.notice());
}

#[test]
fn who_went_back_to_the_list_stays_there_when_the_next_case_comes() {
    let mut run = Run::new();
    run.keys("jjj<enter>");
    run.held = Some(VecDeque::new());
    run.keys("J<esc>");
    assert!(!run.model.in_case);
    for effect in run.held.take().unwrap() {
        run.carry_out(vec![effect]);
    }
    assert!(!run.model.in_case);
    assert!(run.notice().contains("is yours"), "{}", run.notice());
}

#[test]
fn a_lead_takes_a_case_over_with_a_reason() {
    let mut run = Run::with(|m| m.setup.role = "lead".to_owned());
    run.model.queue.go_to("order:90");
    run.keys("<enter>c");
    assert!(
        run.notice().contains("li holds it until") && run.notice().contains("T takes it over"),
        "{}",
        run.notice()
    );
    run.keys("T");
    assert!(
        run.form().lines[0].starts_with("li holds it until"),
        "{:?}",
        run.form().lines
    );
    run.keys("y");
    assert_eq!(run.deeds, [], "no reason yet");
    run.keys("1y");
    assert_eq!(
        run.deeds,
        [Deed::TakeOver {
            case: "order:90".to_owned(),
            reason: "they are away, and it cannot wait".to_owned()
        }]
    );
    assert!(run.model.layer.is_none() && run.model.is_mine("order:90") && run.model.held.contains("order:90"));
}

#[test]
fn who_may_not_take_a_case_over_is_told_why() {
    let mut run = Run::new();
    run.model.queue.go_to("order:90");
    run.keys("<enter>T");
    assert!(run.model.layer.is_none());
    assert!(
        run.notice()
            .contains("it takes a lead, and your role is operator; li holds it until"),
        "{}",
        run.notice()
    );
    run.keys("c");
    assert!(run.notice().contains("when they give it back"), "{}", run.notice());
    let mut run = Run::with(|m| m.setup.role = "lead".to_owned());
    run.model.queue.go_to("order:41");
    run.keys("<enter>T");
    assert_eq!(run.notice(), "take over: nobody holds it: c claims it");
    run.keys("cT");
    assert_eq!(run.notice(), "take over: it is yours");
}

#[test]
fn others_are_told_which_case_is_open_here() {
    let mut run = Run::new();
    run.keys("jj");
    assert_eq!(run.looked, [], "the list is no case");
    run.keys("<enter>");
    let id = run.cursor().to_owned();
    run.keys("j?<esc><esc>");
    assert_eq!(run.looked, [Some(id.clone()), None]);
    run.keys("a");
    assert_eq!(run.looked.last(), Some(&Some(id)), "a dialog is about it");
    run.keys("<esc>");
    assert_eq!(run.looked.last(), Some(&None));
}

//! The ledger's server goes away and comes back.

use super::*;
use crate::console::model::Source;

fn lost() -> Msg {
    let source = Source {
        name: "ledger".to_owned(),
        read_at: Some(NOW),
        lost_since: Some(NOW),
        late_after: 0,
    };
    Msg::Ledger(Some((source, "nothing listens at 10.1.2.3:5432".to_owned())))
}

#[test]
fn while_it_is_away_nothing_moves_and_verbs_say_why() {
    let mut run = Run::new();
    run.keys("jj");
    let (at, cursor) = (run.model.queue.at, run.cursor().to_owned());
    run.msg(lost());
    // Ages of other sources come in and leave it.
    run.msg(Msg::Sources(Vec::new()));
    for key in ["a", "c", "i", "T"] {
        run.keys(key);
        assert!(
            run.notice().ends_with("the ledger does not answer"),
            "{key}: {}",
            run.notice()
        );
    }
    assert_eq!((run.model.queue.at, run.cursor()), (at, cursor.as_str()));
    assert_eq!(run.deeds, []);
    assert_eq!(run.model.sources.iter().filter(|s| s.lost_since.is_some()).count(), 1);
}

#[test]
fn when_it_is_back_everything_is_read_again_with_the_cursor_where_it_was() {
    let mut run = Run::new();
    run.keys("j<enter>");
    let cursor = run.cursor().to_owned();
    // A reading was under way, and is lost with it.
    run.held = Some(VecDeque::new());
    run.keys("<ctrl-r>");
    run.msg(lost());
    assert!(run.model.queue.busy);
    run.held = Some(VecDeque::new());
    run.msg(Msg::Ledger(None));
    let asked = run.held.take().unwrap();
    let asks = |wanted: fn(&Effect) -> bool| asked.iter().any(wanted);
    assert!(asks(|e| matches!(e, Effect::LoadRows { .. })), "{asked:?}");
    assert!(asks(|e| matches!(e, Effect::LoadOverview)) && asks(|e| matches!(e, Effect::LoadCase { .. })));
    for effect in asked {
        run.carry_out(vec![effect]);
    }
    assert!(!run.model.queue.busy && run.model.sources.iter().all(|s| s.lost_since.is_none()));
    assert_eq!(run.cursor(), cursor);
    run.keys("c");
    assert!(matches!(run.deeds.last(), Some(Deed::Claim(_))), "{:?}", run.deeds);
}

#[test]
fn what_a_worker_lost_is_asked_for_again() {
    let mut run = Run::new();
    run.held = Some(VecDeque::new());
    run.keys("<ctrl-r>");
    run.held = Some(VecDeque::new());
    run.msg(Msg::Again(Feed::Rows));
    let asked = run.held.take().unwrap();
    assert!(asked.iter().any(|e| matches!(e, Effect::LoadRows { .. })), "{asked:?}");
}

#[test]
fn the_role_is_the_ledgers() {
    let mut run = Run::new();
    run.msg(Msg::Person {
        who: "ana".to_owned(),
        role: "viewer",
        may_act: false,
    });
    run.keys("jc");
    assert_eq!(run.notice(), "claim: your role is viewer: it may look");
}

use super::*;
use crate::domain::case::FamilyRow;
use crate::domain::finding::Evidence;

fn steps() -> Entity {
    let words = |w: &[&str]| w.iter().map(|s| (*s).to_owned()).collect();
    Entity {
        name: "plan_item".to_owned(),
        states: words(&["Pending", "Ready", "Running", "Completed"]),
        in_progress: words(&["Running", "Ready", "Failed"]),
        ..Entity::default()
    }
}

#[test]
fn a_step_is_judged_by_what_both_sides_say() {
    use Happened::{Done, None as Not, Unknown};
    let at = time::parse("2026-11-22T14:08:59Z");
    for (log, restored, covered, wanted, words) in [
        // Both have it behind them; the restored one knows and the log is silent.
        (Some("Completed"), Some("Completed"), true, None, ""),
        (None, Some("Completed"), true, None, ""),
        (
            Some("Completed"),
            None,
            false,
            Some(Done),
            "the log has it Completed at 2026-11-22T14:08:59Z",
        ),
        (Some("Completed"), Some("Ready"), false, Some(Done), "has it Completed"),
        (
            Some("Completed"),
            Some("Running"),
            false,
            Some(Done),
            "sent before T, answered at",
        ),
        (Some("Completed"), Some("Failed"), false, Some(Done), "sent before T"),
        (
            Some("Running"),
            Some("Pending"),
            true,
            Some(Unknown),
            "started at 2026-11-22T14:08:59Z, no answer",
        ),
        (Some("Running"), None, true, Some(Unknown), "no answer in the log"),
        (
            Some("Ready"),
            Some("Pending"),
            true,
            Some(Not),
            "not started, and the log tells of it from T to the stop",
        ),
        (Some("Pending"), None, true, Some(Not), "not started"),
        (
            Some("Ready"),
            None,
            false,
            Some(Unknown),
            "has it Ready at 2026-11-22T14:08:59Z, but cdc ends early",
        ),
        // It may have run before it came to stand there.
        (Some("Ready"), Some("Running"), true, Some(Unknown), "was Running at T"),
        (Some("Pending"), Some("Failed"), true, Some(Unknown), "was Failed at T"),
        (
            Some("Failed"),
            Some("Pending"),
            true,
            Some(Unknown),
            "whether it had its effect",
        ),
        (
            Some("Cancelled"),
            Some("Completed"),
            true,
            Some(Unknown),
            "may have been taken back",
        ),
        // Silence is not NONE, whatever the log covers.
        (
            None,
            Some("Pending"),
            true,
            Some(Unknown),
            "says nothing of it since T (Pending at T)",
        ),
        (None, Some("Running"), true, Some(Unknown), "says nothing of it"),
    ] {
        let log = log.map(|state| Stands { state, at });
        let uncovered = (!covered).then_some("cdc ends early");
        let judged = judge(&steps(), log, restored, uncovered);
        assert_eq!(judged.as_ref().map(|(s, _)| *s), wanted, "{log:?} {restored:?}");
        assert!(
            judged.is_none_or(|(_, why)| why.contains(words)),
            "{log:?} {restored:?}"
        );
    }
    let unordered = Entity {
        states: Vec::new(),
        ..steps()
    };
    let log = Some(Stands { state: "Completed", at });
    assert_eq!(judge(&unordered, log, None, None).map(|(s, _)| s), Some(Unknown));
}

#[test]
fn what_stands_before_the_end_runs_when_workers_start() {
    for (state, again) in [
        ("Pending", true),
        ("Failed", true),
        ("Completed", false),
        ("Discarded", false),
    ] {
        assert_eq!(would_run(&steps(), state), again, "{state}");
    }
}

fn word(export: usize, effect: &str, state: Happened, at: Option<&str>) -> Word {
    Word {
        export,
        order: "SFO-7".to_owned(),
        item: None,
        effect: effect.to_owned(),
        said: format!("{state:?}"),
        state,
        at: at.and_then(time::parse),
        evidence: Evidence {
            source: format!("export{export}"),
            position: format!("e.csv:{}", at.map_or(2, str::len)),
            ts: None,
        },
    }
}

fn by_log(state: Happened) -> Outside {
    Outside {
        item: Some("77".to_owned()),
        name: "billing.activate".to_owned(),
        state,
        at: None,
        why: "the log".to_owned(),
        evidence: None,
        again: true,
    }
}

fn joined(outside: Vec<Outside>, words: Vec<Word>, exports: usize) -> Vec<Outside> {
    let row = |entity: &str, key: &str| FamilyRow {
        entity: entity.to_owned(),
        key: key.to_owned(),
        kinds: Vec::new(),
        restored: true,
        log: Some(true),
        fields: Vec::new(),
        refs: Vec::new(),
        bad: None,
    };
    let mut case = FoundCase {
        order: Some("7".to_owned()),
        outside,
        family: vec![row("order", "7"), row("plan_item", "70")],
        ..FoundCase::default()
    };
    join(&mut case, words, exports, time::parse("2026-11-22T14:05:00Z"));
    nothing_again(&mut case.outside);
    case.outside
}

#[test]
fn words_of_exports_are_weighed() {
    use Happened::{Done, None as Not, Unknown};
    let one = |log, words: &[Word]| {
        let mut all = joined(vec![by_log(log)], words.to_vec(), 2);
        assert_eq!(all.len(), 1);
        all.remove(0)
    };
    let says = |export, state| word(export, "billing.activate", state, None);
    // An explicit word beats what the log does not know, and DONE beats all.
    for (log, words, wanted) in [
        (Unknown, vec![says(0, Not)], Not),
        (Unknown, vec![says(0, Done)], Done),
        (Unknown, vec![says(0, Unknown)], Unknown),
        (Done, vec![says(0, Not)], Done),
        (Not, vec![says(0, Done)], Done),
        (Not, vec![says(0, Unknown)], Unknown),
        (Not, vec![says(0, Not)], Not),
        (Unknown, vec![says(0, Not), says(1, Done)], Done),
        (Unknown, vec![says(0, Done), says(1, Not)], Done),
        // Another export's question is not settled by this one's answer.
        (Unknown, vec![says(0, Unknown), says(1, Not)], Unknown),
        (Not, vec![says(0, Unknown), says(1, Not)], Unknown),
    ] {
        let outside = one(log, &words);
        assert_eq!(outside.state, wanted, "{log:?} {words:?}");
        assert_eq!(outside.again, wanted != Not, "{log:?} {words:?}");
    }
    assert_eq!(
        one(Done, &[says(0, Not)]).why,
        "the log; but export0 says None (e.csv:2)"
    );
    assert_eq!(
        one(Not, &[says(0, Done)]).why,
        "export0 says Done (e.csv:2); but the log"
    );
    // The later line of an export corrects the earlier one.
    let lines = [
        word(0, "billing.activate", Unknown, Some("2026-11-22T14:20:00Z")),
        word(0, "billing.activate", Not, Some("2026-11-22T14:08:00Z")),
    ];
    assert_eq!(one(Unknown, &lines).state, Unknown);
}

#[test]
fn what_is_older_than_the_restore_or_behind_it_is_no_fact_since_t() {
    let before = word(0, "mail", Happened::Done, Some("2026-11-22T14:04:00Z"));
    let after = word(0, "mail", Happened::Done, Some("2026-11-22T14:06:00Z"));
    assert!(joined(vec![], vec![before], 1).is_empty());
    assert_eq!(joined(vec![], vec![after.clone()], 1).len(), 1);
    // Its step is restored and has no fact of its own: both sides have it behind them.
    let done = Word {
        item: Some("70".to_owned()),
        ..after.clone()
    };
    assert!(joined(vec![], vec![done], 1).is_empty());
    // The item says which step is meant, whatever it is called.
    let step = Word {
        item: Some("77".to_owned()),
        ..after
    };
    let all = joined(vec![by_log(Happened::Unknown)], vec![step], 1);
    assert_eq!((all.len(), all[0].state), (1, Happened::Done));
}

#[test]
fn a_plan_that_is_not_known_is_asked_for_until_every_export_has_spoken() {
    let plan = || Outside {
        item: None,
        name: ITS_PLAN.to_owned(),
        ..by_log(Happened::Unknown)
    };
    let said = |n| word(n, "x", Happened::None, Some("2026-11-22T14:06:00Z"));
    assert!(
        joined(vec![plan()], vec![said(0)], 2)
            .iter()
            .any(|o| o.name == ITS_PLAN)
    );
    let all = joined(vec![plan()], vec![said(0), said(1)], 2);
    assert!(all.iter().all(|o| o.name != ITS_PLAN && o.state == Happened::None));
}

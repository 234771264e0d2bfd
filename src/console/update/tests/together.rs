//! Bulks, approvals, hand-overs, the end, what comes back by itself, and drafts: by keyboard.

use super::*;
use crate::domain::paper::{Bulk, PaperKind, PaperState, Sums};
use serde_json::json;

fn paper(kind: PaperKind, case: Option<&str>, by: &str) -> Paper {
    Paper {
        key: "k1".to_owned(),
        kind,
        case: case.map(str::to_owned),
        digest: "d".to_owned(),
        content: json!({"verb": "cancel", "reason": "it builds on nothing", "to": null, "counts": {"open": 7}}),
        by: by.to_owned(),
        at: NOW,
        to: None,
        state: PaperState::Waits,
        answered_by: None,
        answered_at: None,
        answer: None,
    }
}

fn told(run: &mut Run, papers: Vec<Paper>) {
    run.papers.clone_from(&papers);
    run.msg(Msg::Papers {
        waiting: papers,
        bulks: Vec::new(),
    });
}

#[test]
fn a_bulk_of_marked_cases_takes_their_typed_count() {
    let mut run = Run::new();
    run.keys("  ");
    let marked = run.model.queue.marks.len();
    assert_eq!(marked, 2);
    run.keys("B");
    run.keys("k1y");
    assert!(
        run.form().lines.iter().any(|l| l.contains("2 marked cases")),
        "{:?}",
        run.form().lines
    );
    assert!(run.bulks.is_empty(), "looking changes nothing");
    run.keys("y<enter>3<enter>");
    assert!(run.bulks.is_empty() && run.form().problem.is_some());
    run.keys("<ctrl-u>2<enter>");
    let [Bulking::New(sifted)] = run.bulks.as_slice() else {
        panic!("{:?}", run.bulks);
    };
    assert_eq!((sifted.taken.len(), sifted.ask.verb), (2, Verb::Keep));
    assert!(run.model.bulk_runs && run.model.queue.marks.is_empty());

    let sums = Sums {
        total: 2,
        done: 1,
        pending: 1,
        ..Sums::default()
    };
    run.msg(Msg::BulkRuns(sums));
    assert_eq!(
        run.model.pending[0].1,
        "bulk: 2 = 1 done, 0 failed, 0 skipped, 1 pending"
    );
    let bulk = Bulk {
        id: "b".to_owned(),
        ask: sifted_ask(),
        scope: String::new(),
        by: "ana".to_owned(),
        at: NOW,
        excluded: Vec::new(),
        sums,
        stopped: Some("3 failures".to_owned()),
    };
    run.msg(Msg::BulkEnded(Ok(Box::new((bulk.clone(), false)))));
    assert!(
        run.notice().contains("1 pending") && run.notice().contains("3 failures"),
        "{}",
        run.notice()
    );
    assert!(run.model.pending.is_empty() && !run.model.bulk_runs);
    run.msg(Msg::Papers {
        waiting: Vec::new(),
        bulks: vec![bulk],
    });
    run.keys("By");
    assert_eq!(run.bulks.last(), Some(&Bulking::Resume("b".to_owned())));
}

fn sifted_ask() -> BulkAsk {
    BulkAsk {
        verb: Verb::Keep,
        reason: "r".to_owned(),
        reference: None,
        to: None,
        evidence: None,
        until: None,
    }
}

#[test]
fn without_marks_a_bulk_is_about_what_is_like_the_case() {
    let mut run = Run::new();
    run.keys("Bp2y");
    let lines = run.form().lines.clone();
    assert!(lines[0].starts_with("like order:"), "{lines:?}");
    assert!(lines.iter().any(|l| l.contains("1 left out, li holds it")), "{lines:?}");
    run.keys("<esc>");
    assert!(run.bulks.is_empty() && run.deeds.is_empty());
}

#[test]
fn what_another_asks_for_is_shown_whole_and_approved_or_declined() {
    let mut run = Run::new();
    run.keys("A");
    assert!(run.notice().contains("nothing of others waits"), "{}", run.notice());
    told(&mut run, vec![paper(PaperKind::Decision, Some("order:90"), "ana")]);
    run.keys("A");
    assert!(
        run.notice().contains("nothing of others waits"),
        "one's own: {}",
        run.notice()
    );
    let asked = paper(PaperKind::Decision, Some("order:90"), "li");
    told(&mut run, vec![asked.clone()]);
    run.keys("A");
    let lines = run.form().lines.join("\n");
    assert!(
        lines.contains("cancel order:90") && lines.contains("it builds on nothing"),
        "{lines}"
    );
    run.keys("y");
    let reason = String::new();
    let paper = Box::new(asked.clone());
    assert_eq!(run.deeds, [Deed::Sign { paper, reason }]);
    told(&mut run, vec![asked]);
    run.keys("Xy");
    assert_eq!(run.deeds.len(), 1, "to decline takes a reason");
    run.keys("ask first<enter>y");
    assert!(matches!(&run.deeds[1], Deed::Decline { reason, .. } if reason == "ask first"));
}

#[test]
fn a_shift_is_given_and_taken_and_the_end_is_a_leads() {
    let mut run = Run::new();
    run.keys("H<tab>li<tab>billing calls back<tab>y");
    let (to, note) = (Some("li".to_owned()), "billing calls back".to_owned());
    assert_eq!(run.deeds, [Deed::HandOver { to, note }]);
    told(&mut run, vec![paper(PaperKind::Handover, None, "li")]);
    run.keys("H");
    assert_eq!(run.form().title, "take the shift over from li");
    run.keys("y");
    assert!(matches!(&run.deeds[1], Deed::Sign { .. }));
    run.keys("S");
    assert!(run.notice().contains("it takes a lead"), "{}", run.notice());
    let mut run = Run::with(|m| m.setup.role = "lead".to_owned());
    run.keys("S1y");
    assert_eq!(
        run.deeds,
        [Deed::SignOff {
            reason: "every case is settled".to_owned()
        }]
    );
}

#[test]
fn what_was_put_off_rings_when_its_time_has_come() {
    let mut run = Run::new();
    run.msg(Msg::Due(vec!["SFO-94".to_owned(), "SFO-91".to_owned()]));
    assert_eq!(run.bells, 1);
    assert!(run.notice().contains("SFO-94 and 1 more"), "{}", run.notice());
    let parked = run.rows.iter_mut().find(|r| &*r.label == "SFO-94").unwrap();
    parked.due = true;
    let row = parked.clone();
    run.msg(Msg::Patched(vec![row]));
    run.keys("/due:yes<enter>");
    assert_eq!(run.model.queue.shown.len(), 1);
}

#[test]
fn a_reason_typed_and_not_sent_is_there_again() {
    let mut run = Run::new();
    run.keys("ak<tab>billing calls ba");
    run.msg(Msg::Tick(NOW + 60_000_000));
    let case = run.cursor().to_owned();
    let name = format!("keep {case}");
    assert_eq!(run.kept.get(&name).map(|d| d.text.as_str()), Some("billing calls ba"));
    // The link is lost; another session begins with what was kept.
    let kept = run.kept.clone();
    let mut run = Run::with(|m| m.drafts = kept);
    run.keys("ak");
    let field = run.form().fields[0].input.text().to_owned();
    assert_eq!(field, "billing calls ba");
    assert!(run.form().lines.iter().any(|l| l.contains("are here again")));
    run.keys("y");
    assert_eq!(run.decided().unwrap().reason, "billing calls ba");
    run.msg(Msg::Tick(NOW + 120_000_000));
    assert!(run.kept.is_empty(), "{:?}", run.kept);
}

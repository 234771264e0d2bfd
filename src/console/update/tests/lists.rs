//! The list: filters, fresh readings, and what feeds it.

use super::*;

#[test]
fn a_filter_narrows_lifts_and_is_walked() {
    let mut run = Run::new();
    run.keys("/sta");
    assert!(run.model.queue.shown.is_empty() || run.model.queue.query.text == "sta");
    run.keys("te:opn");
    let Overlay::Filter(typed) = &run.model.layer.as_ref().unwrap().overlay else {
        panic!("still typing")
    };
    assert!(typed.problem.as_ref().unwrap().contains("no state"));
    run.keys("<esc>");
    assert!(run.model.queue.query.is_empty(), "esc leaves the list as before");
    run.keys("/acc-12<enter>");
    assert_eq!(run.model.queue.shown.len(), 2);
    run.keys("<esc>gn");
    assert_eq!(run.cursor(), "order:90");
    run.keys("n");
    assert_eq!(run.cursor(), "order:91");
    run.keys("N");
    assert_eq!(run.cursor(), "order:90");
    run.keys("f");
    assert_eq!(run.model.queue.query.text, "state:open kind:regressed");
    run.keys("<esc>o");
    assert!(run.notice().contains("by order"));
    assert_eq!(run.cursor(), "order:90", "sorting keeps the cursor on its case");
}

#[test]
fn a_refresh_never_moves_what_the_cursor_is_on() {
    let mut run = Run::new();
    run.rows.extend((3000..3030).map(fixture::row));
    run.keys("<ctrl-r>");
    run.keys("jjj");
    assert_eq!((run.cursor(), run.model.queue.at), ("order:91", 3));
    for n in 1000..1005 {
        run.rows.insert(0, fixture::row(n));
    }
    run.now += 5_000_000;
    run.msg(Msg::Changed);
    run.msg(Msg::Tick(run.now));
    assert_eq!((run.cursor(), run.model.queue.at), ("order:91", 8));
    assert_eq!(run.model.queue.top, 5, "it stands on the same line of the screen");
    // Marks freeze the list; what is new waits.
    run.keys("<space>");
    let shown = run.model.queue.shown.len();
    run.rows.insert(0, fixture::row(2000));
    run.now += 5_000_000;
    run.msg(Msg::Changed);
    run.msg(Msg::Tick(run.now));
    assert_eq!(run.model.queue.shown.len(), shown);
    assert!(run.model.queue.has_news());
    run.keys("<esc>");
    assert_eq!(run.model.queue.shown.len(), shown + 1);
    assert_eq!(run.cursor(), "order:92");
    // Its case gone, the cursor stays near.
    run.rows.retain(|r| &*r.id != "order:92");
    run.now += 5_000_000;
    run.msg(Msg::Changed);
    run.msg(Msg::Tick(run.now));
    assert!(!run.cursor().is_empty());
}

#[test]
fn rows_of_an_older_reading_are_ignored() {
    let mut run = Run::new();
    let shown = run.model.queue.shown.len();
    run.msg(Msg::Rows {
        reading: 0,
        rows: vec![fixture::row(7)],
        last: true,
    });
    run.msg(Msg::Case { reading: 0, case: None });
    assert_eq!(run.model.queue.shown.len(), shown);
    assert!(!run.model.case.missing);
}

#[test]
fn a_dead_task_is_said_and_started_again() {
    let mut run = Run::new();
    run.msg(Msg::Died {
        feed: Feed::Rows,
        why: "disk is gone".to_owned(),
    });
    assert_eq!(run.model.dead.len(), 1);
    run.keys("<ctrl-r>");
    assert!(run.model.dead.is_empty());
    assert_eq!(run.scans, 1);
    run.msg(Msg::Scan(Scan::Running {
        stage: crate::domain::progress::Stage::Comparing,
        done: 1,
        total: 2,
        since: NOW,
    }));
    run.keys("<ctrl-r>");
    assert_eq!(run.scans, 1, "one scan at a time");
    run.msg(Msg::Scan(Scan::Failed {
        at: NOW,
        error: Error::failed("no route"),
    }));
    assert!(run.notice().contains("no route"));
}

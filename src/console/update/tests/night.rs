//! The Restore view: ticking a phase, the go, alarms and deadlines.

use super::*;
use crate::console::model::restore::{Night, alarms, clocks};
use crate::console::widget::snapshot;
use crate::domain::cluster::Reading;
use crate::domain::phase::{Phase, PhaseState};
use crate::domain::queue::HoldClock;
use crate::domain::ready::Stand;

/// The Restore view with the cursor on this phase.
fn on(phase: Phase) -> Run {
    let mut run = Run::new();
    let at = Phase::ALL.iter().position(|p| *p == phase).unwrap();
    run.keys(&format!("1{}", "j".repeat(at)));
    run
}

fn set(run: &mut Run, phase: Phase, state: PhaseState, evidence: &str) {
    let line = run
        .model
        .phases
        .as_mut()
        .unwrap()
        .iter_mut()
        .find(|l| l.phase == phase)
        .unwrap();
    (line.state, line.evidence) = (state, evidence.to_owned());
}

#[test]
fn a_phase_is_ticked_with_a_reason_and_a_second_key() {
    let mut run = on(Phase::Drained);
    run.keys("a");
    assert_eq!(run.form().title, "queues drained, waiting now");
    run.keys("y");
    assert_eq!(run.deeds, [], "no reason yet");
    run.keys("<esc>a1y");
    let ticked = |phase, state, reason: &str, open: Option<&str>| Deed::Tick {
        phase,
        state,
        reason: reason.to_owned(),
        open: open.map(str::to_owned),
    };
    assert_eq!(
        run.deeds,
        [ticked(Phase::Drained, PhaseState::Done, "seen by me", None)]
    );
    assert_eq!(run.notice(), "queues drained is done");
    // It may have ended badly, and nothing else.
    run.keys("a1");
    run.form().fields[0].input.set("perhaps");
    run.keys("y");
    assert_eq!(run.form().problem.as_deref(), Some("ended: done, or failed"));
    run.keys("<esc>a1");
    run.form().fields[0].input.set("failed");
    run.keys("y");
    assert_eq!(
        run.deeds[1],
        ticked(Phase::Drained, PhaseState::Failed, "seen by me", None)
    );
}

#[test]
fn the_go_shows_what_stands_against_it_and_writes_it_down() {
    let mut run = on(Phase::Ready);
    run.msg(Msg::Night(Box::new(fixture::night())));
    run.keys("a");
    let lines = run.form().lines.join("\n");
    assert!(
        lines.contains("done says go: workers may start. It takes a lead."),
        "{lines}"
    );
    assert!(lines.contains("RED fires: SFO-91: billing.activate"), "{lines}");
    assert!(!lines.contains("green"), "{lines}");
    run.keys("1y");
    let Some(Deed::Tick { phase, open, .. }) = run.deeds.last() else {
        panic!("{:?}", run.deeds)
    };
    assert_eq!(
        (*phase, open.as_deref()),
        (Phase::Ready, Some("2 red, 1 cannot be told, 1 green"))
    );
}

#[test]
fn the_old_instance_is_an_alarm_once_the_shutdown_is_behind() {
    let mut run = Run::with(|m| m.setup.stopped_at = None);
    for phase in [Phase::PodsDown, Phase::Restoring] {
        set(&mut run, phase, PhaseState::Waiting, "");
    }
    run.msg(Msg::Night(Box::new(fixture::night())));
    assert_eq!(
        alarms(&run.model),
        Vec::<String>::new(),
        "before it, it takes commits as it should"
    );
    set(&mut run, Phase::PodsDown, PhaseState::Done, "0 of 42 running");
    let alarm = "THE OLD INSTANCE (before) TAKES COMMITS: 12 rows until 14:40:57Z, om from 10.0.3.7 (billing)";
    assert_eq!(alarms(&run.model), [alarm]);
    for view in View::ALL {
        run.model.view = view;
        let top = snapshot::text(&snapshot::draw(&mut run.model, 160, 48))[0].clone();
        assert!(top.contains(alarm), "{view:?}: {top}");
        let top = snapshot::text(&snapshot::draw(&mut run.model, 50, 12))[0].clone();
        assert!(top.contains("THE OLD INSTANCE"), "{view:?}: {top}");
    }
}

#[test]
fn pods_that_are_up_and_services_that_did_not_wait_are_alarms() {
    let mut run = Run::new();
    set(
        &mut run,
        Phase::PodsDown,
        PhaseState::Failed,
        "web-7 (since 14:40:02Z) is up during the restore",
    );
    assert_eq!(alarms(&run.model), ["web-7 (since 14:40:02Z) is up during the restore"]);
    let beaten = "services came up before anybody said go, 14:40:30Z: web (1 ready)";
    set(&mut run, Phase::Ready, PhaseState::Failed, beaten);
    assert_eq!(alarms(&run.model), [beaten]);
    set(&mut run, Phase::Ready, PhaseState::Failed, "by hand, sam: not yet");
    assert_eq!(alarms(&run.model).len(), 1, "a lead's own word is no alarm");
}

#[test]
fn the_deadline_that_comes_first_stands_on_top() {
    let top = |run: &mut Run| snapshot::text(&snapshot::draw(&mut run.model, 160, 48))[0].clone();
    let mut run = Run::new();
    let mut night = fixture::night();
    night.old.clear();
    run.model.hold = Some(fixture::hold());
    run.msg(Msg::Night(Box::new(night)));
    let names: Vec<String> = clocks(&run.model).into_iter().map(|d| d.name).collect();
    assert_eq!(names, ["AWS session", "hold", "log cdc"]);
    // The session ends in nine minutes, the hold in eleven.
    assert!(
        top(&mut run).contains("AWS session ends 14:50:07Z: 9:00 left"),
        "{}",
        top(&mut run)
    );
    run.model.now = NOW + 9 * 60_000_000 - 1_000_000;
    assert!(
        top(&mut run).contains("AWS session ends 14:50:07Z: 0:01 LEFT"),
        "{}",
        top(&mut run)
    );
    // What has passed leaves the place to the next.
    run.model.now = NOW + 9 * 60_000_000;
    assert!(
        top(&mut run).contains("hold: loss possible from 14:52:09Z"),
        "{}",
        top(&mut run)
    );
    // A hold that is safe stays on top until another clock is in its last hour.
    let safe = HoldClock {
        rescued: 1204,
        ..fixture::hold()
    };
    run.model.hold = Some(safe);
    assert!(
        top(&mut run).contains("hold rescued 1,204 of 1,204"),
        "{}",
        top(&mut run)
    );
    run.model.now = fixture::T + (24 * 60 - 50) * 60_000_000;
    assert!(top(&mut run).contains("log cdc ends 14:05:00Z"), "{}", top(&mut run));
}

#[test]
fn a_cluster_that_is_lost_shows_in_every_view_with_its_age_and_in_the_restore_view_with_the_reason() {
    let mut run = Run::new();
    let reading = Reading {
        whole: true,
        heard_at: Some(NOW - 45_000_000),
        lost: Some((
            NOW - 40_000_000,
            "the API server answers 500: etcd has no leader".to_owned(),
        )),
        ..Reading::default()
    };
    run.msg(Msg::Cluster(Box::new(reading.clone())));
    // Other sources come and go; it stays.
    run.msg(Msg::Sources(fixture::sources()));
    run.keys("1");
    let text = snapshot::text(&snapshot::draw(&mut run.model, 160, 48)).join("\n");
    assert!(text.contains("cluster LOST 0:40"), "{text}");
    assert!(
        text.contains("LOST 0:40: the API server answers 500: etcd has no leader"),
        "{text}"
    );
    run.msg(Msg::Cluster(Box::new(Reading { lost: None, ..reading })));
    let text = snapshot::text(&snapshot::draw(&mut run.model, 160, 48)).join("\n");
    assert!(text.contains("cluster 45s late"), "{text}");
}

#[test]
fn the_cursor_stays_on_its_line_when_others_come() {
    let mut run = on(Phase::Ready);
    run.msg(Msg::Night(Box::new(fixture::night())));
    run.keys("jj");
    assert_eq!(run.model.below, Some(1));
    let lines = |run: &Run| run.model.night.ready.clone().unwrap().lines;
    let was = lines(&run)[1].clone();
    let mut night: Night = fixture::night();
    let ready = night.ready.as_mut().unwrap();
    ready.lines.insert(
        0,
        crate::domain::ready::Line::new("system", Stand::Red, "MAIL is UP again", "take it DOWN"),
    );
    run.msg(Msg::Night(Box::new(night)));
    assert_eq!(lines(&run)[run.model.below.unwrap()], was);
}

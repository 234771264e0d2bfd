//! What a ledger keeps of the hold and of the phases: the same on both stores.

use super::*;
use crate::domain::hold::{BaselineOffsets, HeldPartition, HoldBaseline, HoldReading, Ranges, Rescued, Seen};
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::ledger::Rescue;

fn offsets(ranges: &[(i64, i64)]) -> Rescued {
    [(0, Ranges(ranges.to_vec()))].into()
}

fn rescue(file: &str, ranges: &[(i64, i64)]) -> Rescue {
    Rescue {
        file: file.to_owned(),
        at: T0,
        offsets: offsets(ranges),
    }
}

/// The lines of the trail about the hold: who, how it ended, why.
fn said(ledger: &Ledger) -> Vec<(String, String, String)> {
    let about = |l: &AuditLine| l.action == "hold" || l.action == "refuse";
    let lines = trail(ledger).into_iter().filter(about);
    lines.map(|l| (l.who, l.outcome, l.why.unwrap_or_default())).collect()
}

fn line(phase: Phase, state: PhaseState, since: i64, evidence: &str) -> PhaseLine {
    PhaseLine {
        phase,
        state,
        since: Some(since),
        took: None,
        evidence: evidence.to_owned(),
        per_mille: None,
    }
}

#[test]
fn rescues_of_several_files_add_up_and_only_begin_and_end_are_in_the_trail() {
    let room = Room::new();
    let (mut ana, mut li) = (room.open("ana"), room.open("li"));
    ana.keep_rescue("om.held", "a", &rescue("/a", &[(0, 5)]), Some("begun"))
        .unwrap();
    li.keep_rescue("om.held", "b", &rescue("/b", &[(3, 9)]), Some("begun"))
        .unwrap();
    // Of a topic whose name LIKE would take for the other's.
    li.keep_rescue("om_held", "c", &rescue("/c", &[(100, 200)]), None)
        .unwrap();
    ana.keep_rescue("om.held", "a", &rescue("/a", &[(0, 7)]), None).unwrap();
    let known = room.open("bo");
    assert_eq!(known.rescued("om.held").unwrap(), offsets(&[(0, 9)]));
    assert_eq!(known.rescued("om_held").unwrap(), offsets(&[(100, 200)]));
    assert_eq!(known.rescued("om").unwrap(), Rescued::new());
    let files: Vec<String> = known
        .rescues("om.held")
        .unwrap()
        .into_values()
        .map(|r| r.file)
        .collect();
    assert_eq!(files, ["/a", "/b"]);
    let said: Vec<_> = said(&known).into_iter().map(|l| (l.0, l.2)).collect();
    assert_eq!(said, [("ana".into(), "begun".into()), ("li".into(), "begun".into())]);
}

#[test]
fn the_offsets_at_the_shutdown_and_releases_are_deeds_of_people_who_may() {
    let room = Room::new();
    let baseline = HoldBaseline {
        topic: "held".to_owned(),
        at: T0,
        partitions: [(
            0,
            BaselineOffsets {
                earliest: 1,
                latest: 9,
                committed: Some(4),
            },
        )]
        .into(),
    };
    refused(room.open("bo").record_hold(&baseline, "by hand"));
    assert_eq!(room.open("ana").hold_baseline().unwrap(), None);
    room.open("ana").record_hold(&baseline, "by hand").unwrap();
    assert_eq!(room.open("li").hold_baseline().unwrap(), Some(baseline));
    let mut sam = room.open("sam");
    sam.keep_released("id", &offsets(&[(0, 2)]), Some("2 messages to be sent"))
        .unwrap();
    refused(room.open("bo").keep_released("id", &offsets(&[(0, 9)]), Some("x")));
    assert_eq!(room.open("ana").released("id").unwrap(), offsets(&[(0, 2)]));
    let error = room
        .open("ana")
        .refuse_release(crate::domain::Error::refused("only a lead sends"));
    assert_eq!(error.kind, ErrorKind::Refused);
    let said = said(&sam);
    let outcomes: Vec<_> = said.iter().map(|l| (l.0.as_str(), l.1.as_str())).collect();
    assert_eq!(
        outcomes,
        [
            ("bo", "refused"),
            ("ana", "ok"),
            ("sam", "ok"),
            ("bo", "refused"),
            ("ana", "refused")
        ],
        "{said:?}"
    );
    assert!(said[1].2.contains("0: 1-9 taken to 4; by hand"), "{said:?}");
    assert!(said[4].2.contains("only a lead sends"), "{said:?}");
}

#[test]
fn readings_are_kept_for_everybody_and_the_trail_says_nothing_of_them() {
    let room = Room::new();
    let mut ana = room.open("ana");
    let reading = HoldReading {
        topic: "held".to_owned(),
        read_at: T0,
        partitions: vec![HeldPartition {
            held: 3,
            rescued: 1,
            loss_from: Some(T0 + 9),
            ..HeldPartition::default()
        }],
        ..HoldReading::default()
    };
    ana.keep_hold_reading(&reading).unwrap();
    let seen: Vec<Seen> = (0..3_000)
        .map(|n| Seen {
            label: format!("SFH-{n} \u{e9}'\""),
            partition: 0,
            offset: n,
            at: Some(T0),
            withdrawn: n == 2,
        })
        .collect();
    ana.keep_hold_seen("held", &seen).unwrap();
    let li = room.open("li");
    assert_eq!(li.hold_reading().unwrap(), Some(reading.clone()));
    assert_eq!(li.hold_clock().unwrap(), Some(reading.clock()));
    assert_eq!(li.hold_seen("held").unwrap(), seen);
    assert_eq!(li.hold_seen("other").unwrap(), []);
    assert_eq!(trail(&li).len(), 0);
}

#[test]
fn a_phase_begins_when_the_first_says_so_and_its_progress_is_no_news() {
    let room = Room::new();
    let (mut ana, mut li) = (room.open("ana"), room.open("li"));
    let (down, running, done) = (Phase::PodsDown, PhaseState::Running, PhaseState::Done);
    refused(room.open("bo").set_phase(&line(down, running, 1, "x"), "x"));
    ana.set_phase(&line(down, running, 10, "7 of 42 are up"), "the cluster shows it")
        .unwrap();
    li.set_phase(&line(down, running, 12, "5 of 42 are up"), "the cluster shows it")
        .unwrap();
    ana.set_phase(&line(down, done, 20, "0 of 42 are up"), "the cluster shows it")
        .unwrap();
    let of = |ledger: &Ledger, phase| {
        let line = ledger.phases().unwrap().into_iter().find(|l| l.phase == phase).unwrap();
        (line.state, line.since, line.evidence)
    };
    assert_eq!(of(&li, down), (done, Some(20), "0 of 42 are up".to_owned()));
    // Going is for a lead.
    refused(ana.tick(Phase::Ready, done, "go", Some("1 red")));
    room.open("sam").tick(Phase::Ready, done, "go", Some("1 red")).unwrap();
    let (state, _, evidence) = of(&li, Phase::Ready);
    assert_eq!((state, evidence.as_str()), (done, "by hand, sam: go"));
    let said: Vec<String> = trail(&li)
        .into_iter()
        .filter(|l| l.action == "phase" && l.outcome == "ok")
        .map(|l| l.why.unwrap())
        .collect();
    assert_eq!(
        said,
        [
            "pods-down running: the cluster shows it",
            "pods-down done: the cluster shows it",
            "ready done: go; 1 red"
        ]
    );
}

#[test]
fn of_many_who_would_be_the_first_one_is() {
    let room = Room::new();
    refused(room.open("bo").first_fact("notice", &0));
    let first: Vec<u32> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|n| {
                let mut ledger = room.open(if n % 2 == 0 { "ana" } else { "li" });
                scope.spawn(move || ledger.first_fact("notice", &n).unwrap().then_some(n))
            })
            .collect();
        tries.into_iter().filter_map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(room.open("ana").fact::<u32>("notice").unwrap(), Some(first[0]));
}

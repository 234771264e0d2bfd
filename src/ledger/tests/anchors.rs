//! Anchors outside the ledger, and lines for everyone who was refused.

use super::trail::noted;
use super::*;
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::ledger::anchor::{self, Anchor, EVERY, EVERY_LINES, Keeper};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

#[test]
fn another_chain_of_the_same_length_is_found() {
    let room = noted(20);
    let anchor = room.open("ana").head().unwrap().unwrap();
    let other = Room::new();
    let mut ledger = other.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    for n in 1..20 {
        ledger.note("order:1", &format!("another {n}")).unwrap();
    }
    assert_eq!(ledger.verify().unwrap(), 20);
    let error = ledger.verify_anchors(std::slice::from_ref(&anchor)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BrokenChain);
    assert!(error.what.contains("another line"), "{error}");
    // An incident that was removed as a whole.
    let gone = Anchor {
        incident: "gone".to_owned(),
        ..anchor
    };
    assert_eq!(
        room.open("ana").verify_anchors(&[gone]).unwrap_err().kind,
        ErrorKind::BrokenChain
    );
}

#[test]
fn the_file_is_private_appended_to_and_believed_only_where_nobody_else_writes() {
    let room = noted(3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anchors");
    let anchor = room.open("ana").head().unwrap().unwrap();
    anchor.append(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // A crash cut the line short: the next one begins on a line of its own.
    let mut torn = fs::read(&path).unwrap();
    torn.extend(b"{\"incident\":");
    fs::write(&path, &torn).unwrap();
    anchor.append(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    let error = anchor::read(&path).unwrap_err().to_string();
    assert!(error.contains("line 2 is no anchor"), "{error}");
    let lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    fs::write(&path, format!("{}\n{}\n", lines[0], lines[2])).unwrap();
    assert_eq!(anchor::read(&path).unwrap(), [anchor.clone(), anchor.clone()]);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
    for refused in [anchor.append(&path), anchor::read(&path).map(drop)] {
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Refused);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    for wrong in [
        anchor.append(&link),
        anchor.append(folder.path()),
        anchor::read(&link).map(drop),
    ] {
        assert_eq!(wrong.unwrap_err().kind, ErrorKind::Failed);
    }
    assert_eq!(anchor::read(&path).unwrap().len(), 2);
    assert_eq!(
        anchor.append(Path::new("/nowhere/anchors")).unwrap_err().kind,
        ErrorKind::Failed
    );
}

#[test]
fn a_console_anchors_at_once_then_every_hundred_lines_and_every_ten_minutes() {
    let room = noted(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anchors");
    let mut ledger = room.open("ana");
    let mut keeper = Keeper::default();
    let mut now = T0;
    let mut keep = |ledger: &Ledger, now: i64| {
        keeper.keep(ledger, &path, ledger.newest_line().unwrap(), now).unwrap();
        anchor::read(&path)
            .unwrap()
            .into_iter()
            .map(|a| a.seq)
            .collect::<Vec<_>>()
    };
    assert_eq!(keep(&ledger, now), [2]);
    for _ in 1..EVERY_LINES {
        ledger.note("order:1", "n").unwrap();
    }
    assert_eq!(keep(&ledger, now), [2]);
    ledger.note("order:1", "n").unwrap();
    assert_eq!(keep(&ledger, now), [2, 2 + EVERY_LINES]);
    now += i64::try_from(EVERY.as_micros()).unwrap();
    assert_eq!(keep(&ledger, now), [2, 2 + EVERY_LINES], "nothing new");
    ledger.note("order:1", "n").unwrap();
    assert_eq!(keep(&ledger, now).len(), 3);
    ledger.note("order:1", "n").unwrap();
    assert_eq!(keep(&ledger, now).len(), 3, "too soon");
}

#[test]
fn everyone_who_is_refused_has_one_line() {
    type Attempt = Box<dyn Fn(&mut Ledger) -> crate::domain::Result<()>>;
    let phase = PhaseLine {
        phase: Phase::OrgTold,
        state: PhaseState::Done,
        since: None,
        took: None,
        evidence: String::new(),
        per_mille: None,
    };
    let one = || vec!["order:1".to_owned()];
    let attempts: Vec<(&str, Attempt)> = vec![
        ("claim", Box::new(move |l| l.claim(&one(), MINUTE).map(drop))),
        ("drop", Box::new(move |l| l.drop_claims(&one()))),
        (
            "decide",
            Box::new(|l| l.decide(&asking("order:1", Verb::Keep)).map(drop)),
        ),
        ("done", Box::new(|l| l.done("order:1", "ticket").map(drop))),
        ("note", Box::new(|l| l.note("order:1", "hm"))),
        ("undo", Box::new(|l| l.undo("order:1", "why").map(drop))),
        ("unmask", Box::new(|l| l.unmask("order:1", "order", "msisdn", "why"))),
        ("ignore", Box::new(|l| l.ignore("order", "status", "noise"))),
        ("phase", Box::new(move |l| l.set_phase(&phase, "mail"))),
    ];
    // Whoever may only look …
    for (name, attempt) in &attempts {
        let room = noted(1);
        let mut ledger = room.open("bo");
        let error = attempt(&mut ledger).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{name}: {error}");
        let lines = trail(&ledger);
        assert_eq!(lines.len(), 2, "{name}: {lines:?}");
        let line = lines.last().unwrap();
        assert_eq!(
            (line.action.as_str(), line.outcome.as_str(), line.who.as_str()),
            ("refuse", "refused", "bo")
        );
        let why = line.why.as_deref().unwrap();
        assert!(why.starts_with(&format!("{name}: ")), "{name}: {why}");
        assert_eq!(ledger.verify().unwrap(), 2);
    }
    // … and whoever reads only may not even write that down.
    let room = noted(1);
    let mut ledger = room.try_open("ana", true).unwrap();
    for (name, attempt) in &attempts {
        assert_eq!(attempt(&mut ledger).unwrap_err().kind, ErrorKind::Refused, "{name}");
    }
    assert_eq!(trail(&ledger).len(), 1);
}

#[test]
fn who_saw_a_masked_field_and_why_is_written_down() {
    let room = noted(1);
    let mut ledger = room.open("ana");
    ledger
        .unmask("order:1", "order", "msisdn", "customer on the phone")
        .unwrap();
    let lines = trail(&ledger);
    let line = lines.last().unwrap();
    assert_eq!(
        (line.action.as_str(), line.case.as_deref()),
        ("unmask", Some("order:1"))
    );
    assert_eq!(line.why.as_deref(), Some("order.msisdn: customer on the phone"));
    assert_eq!(line.system_user, "ana");
    assert_eq!(
        ledger.unmask("order:1", "order", "msisdn", " ").unwrap_err().kind,
        ErrorKind::Usage
    );
    assert_eq!(
        ledger.unmask("order:9", "order", "msisdn", "x").unwrap_err().kind,
        ErrorKind::Usage
    );
    assert_eq!(trail(&ledger).len(), 2);
}

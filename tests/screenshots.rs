//! The pictures in `screenshots/`, taken of the real program in a real terminal. Stale ones fail; `UPDATE=1` takes them anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

#[path = "pty/svg.rs"]
mod svg;
#[path = "pty/terminal.rs"]
mod terminal;

use restitch::config::{Overrides, Surroundings, load_in};
use restitch::domain::phase::{Phase, PhaseLine, PhaseState};
use restitch::domain::queue::HoldClock;
use restitch::domain::time;
use restitch::ledger::{Ledger, Who};
use restitch::sim::Incident;
use std::path::Path;
use terminal::{RESTITCH, Terminal, command};

/// When the pictures are taken: the restored database answers, the way back is not open yet.
const NOW: &str = "2026-11-22T14:57:30Z";

/// The ledger as the simulated restore has left it by then.
fn restore(folder: &Path) {
    let overrides = Overrides {
        config: Some(folder.join("restitch.toml")),
        ..Overrides::default()
    };
    let config = load_in(&overrides, &Surroundings::default()).unwrap();
    let system = Who {
        user: "order-system (simulated)".to_owned(),
        system_user: "order-system".to_owned(),
        ssh: None,
    };
    let mut config_of_system = config;
    config_of_system.roles = None;
    let mut ledger = Ledger::open_as(&config_of_system, false, system).unwrap();
    ledger.set_clock(|| time::parse(NOW).unwrap());
    let at = |clock: &str| time::parse(&format!("2026-11-22T{clock}Z"));
    let second = 1_000_000;
    for (phase, state, since, took, evidence) in [
        (
            Phase::OrgTold,
            PhaseState::Done,
            "14:31:02",
            Some(4),
            "OM+ Status: Offline (read 14:33:00Z); webhook 200",
        ),
        (
            Phase::PodsDown,
            PhaseState::Done,
            "14:31:06",
            Some(38),
            "0 of 42 running",
        ),
        (
            Phase::Restoring,
            PhaseState::Done,
            "14:44:20",
            Some(630),
            "attempt 2: available. The gate of attempt 1 was RED: rows that are as after 14:05:00Z",
        ),
        (
            Phase::Gate,
            PhaseState::Done,
            "14:55:10",
            Some(31),
            "green: 7 of 7 checks",
        ),
        (
            Phase::Ready,
            PhaseState::Running,
            "14:56:31",
            None,
            "waits for the lead: 9 steps will fire by themselves",
        ),
    ] {
        let line = PhaseLine {
            phase,
            state,
            since: at(since),
            took: took.map(|s: i64| s * second),
            evidence: evidence.to_owned(),
            per_mille: None,
        };
        ledger.set_phase(&line, "simulated").unwrap();
    }
    let hold = HoldClock {
        held: 42,
        rescued: 38,
        lost: 0,
        loss_from: at("15:01:12"),
    };
    ledger.set_hold_clock(&hold).unwrap();
}

/// Waits until nothing new has come for a moment: the screen is settled.
fn settle(terminal: &Terminal) {
    let mut before = terminal.text();
    loop {
        std::thread::sleep(std::time::Duration::from_millis(700));
        let now = terminal.text();
        if now == before {
            return;
        }
        before = now;
    }
}

/// Holds a picture against the file, or takes it anew.
fn take(terminal: &Terminal, name: &str, stale: &mut Vec<String>) {
    settle(terminal);
    let mut text = String::new();
    for line in terminal.text().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let picture = terminal.screen(svg::picture);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("screenshots");
    for (kind, content) in [("txt", text), ("svg", picture)] {
        let path = folder.join(format!("{name}.{kind}"));
        if std::env::var("UPDATE").is_ok_and(|v| v == "1") {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &content).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != content {
            stale.push(format!("screenshots/{name}.{kind}"));
            if kind == "txt" {
                stale.push(content);
            }
        }
    }
}

#[test]
fn screenshots_show_the_program_as_it_is() {
    // In a release build time does not stand still for pictures.
    if !cfg!(debug_assertions) {
        return;
    }
    let mut stale = Vec::new();
    for size in [(80, 24), (160, 48)] {
        let folder = tempfile::tempdir().unwrap();
        Incident::new(1, 2_000).write(folder.path()).unwrap();
        restore(folder.path());
        let mut restitch = command(RESTITCH, &["console"], folder.path());
        restitch.env("STAGE_OF_RESTITCH", format!("{NOW} ana"));
        let mut terminal = Terminal::start(restitch, size);
        let name = |view: &str| format!("{view}-{}x{}", size.0, size.1);
        terminal.shows("1 of ");
        take(&terminal, &name("queue"), &mut stale);
        terminal.keys("<enter>");
        terminal.shows("log says");
        terminal.keys("c");
        terminal.shows("yours");
        take(&terminal, &name("case"), &mut stale);
        terminal.keys("a");
        terminal.shows("what shall happen?");
        take(&terminal, &name("verbs"), &mut stale);
        terminal.keys("r");
        terminal.in_dialog("leave it alone", "1");
        take(&terminal, &name("decision"), &mut stale);
        terminal.keys("<esc>");
        terminal.hides("leave it alone");
        terminal.keys("1");
        terminal.shows("org told");
        take(&terminal, &name("restore"), &mut stale);
        terminal.keys("p");
        terminal.shows("at the cursor");
        take(&terminal, &name("preview"), &mut stale);
        terminal.keys("<esc>");
        terminal.hides("at the cursor");
        terminal.keys("3");
        terminal.shows("differences, of");
        take(&terminal, &name("diff"), &mut stale);
    }
    assert!(
        stale.is_empty(),
        "stale, take them anew with UPDATE=1 cargo test --test screenshots:\n{}",
        stale.join("\n")
    );
}

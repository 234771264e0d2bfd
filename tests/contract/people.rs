//! §1 and §5: several people and several processes on one ledger.

use crate::night::{Night, Ran};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;

/// Runs as somebody else by the real user id, who by the effective one may use the ledger's file: the nearest that two
/// people can come to sharing it. `None`, said aloud, where this user may not be another.
fn as_other(night: &Night, args: &[&str]) -> Option<Ran> {
    let restitch = night.command(args);
    let mut other = Command::new("setpriv");
    other
        .args(["--ruid=65534", "--euid=0", env!("CARGO_BIN_EXE_restitch")])
        .args(args);
    let known = restitch.get_envs().filter_map(|(k, v)| Some((k, v?)));
    other.envs(known).current_dir(night.path("")).stdin(Stdio::null());
    match other.output() {
        Ok(out) if !String::from_utf8_lossy(&out.stderr).contains("setpriv:") => Some(Night::finish(out)),
        refused => {
            eprintln!("SKIPPED: only root can act as another user: {refused:?}");
            None
        }
    }
}

#[test]
fn what_one_holds_another_neither_takes_nor_drops_nor_decides() {
    let night = Night::scanned();
    night.run(&["claim", "order:2"]).ended(0);
    let me = night.run(&["cases", "--json", "--order", "2"]).json()["claimed_by"].clone();
    let Some(refused) = as_other(&night, &["claim", "order:2"]) else {
        return;
    };
    refused.ended(4).says(&[me.as_str().unwrap(), "order:2"]);
    let other = |args: &[&str]| as_other(&night, args).unwrap();
    other(&["drop", "order:2"]).ended(4).says(&[me.as_str().unwrap()]);
    other(&["resolve", "order:2", "keep", "--reason", "x"])
        .ended(4)
        .says(&[me.as_str().unwrap()]);
    // All or none: a refused chain leaves nothing claimed.
    other(&["claim", "order:4", "order:2"]).ended(4);
    assert_eq!(
        night.run(&["show", "order:4", "--json"]).json()["claimed_by"],
        Json::Null
    );
    night.run(&["resolve", "order:2", "reapply", "--reason", "x"]).ended(0);
    for deed in [
        &["done", "order:2", "--evidence", "e"][..],
        &["undo", "order:2", "--reason", "x"],
    ] {
        other(deed).ended(4);
    }
    // A note changes nothing of the case: anybody may write one.
    other(&["note", "order:2", "seen"]).ended(0);
    night.run(&["drop", "order:2"]).ended(0);
    other(&["claim", "order:2"]).ended(0);
    night.run(&["done", "order:2", "--evidence", "e"]).ended(4);
    let trail = night.run(&["audit", "list", "--json"]).lines();
    let who: BTreeSet<&str> = trail.iter().map(|l| l["who"].as_str().unwrap()).collect();
    assert_eq!(who.len(), 2, "{who:?}");
    assert_eq!(trail.iter().filter(|l| l["outcome"] == "refused").count(), 7);
    night.run(&["audit", "verify"]).ended(0);
}

#[test]
fn a_chain_that_somebody_else_holds_a_part_of_is_neither_claimed_nor_decided() {
    let night = Night::scanned();
    // Order 77405618597879921 refers to lost order 3.
    let Some(held) = as_other(&night, &["claim", "order:3"]) else {
        return;
    };
    held.ended(0);
    night.run(&["claim", "SFO-5"]).ended(4).says(&["order:3"]);
    assert_eq!(night.run(&["show", "SFO-5", "--json"]).json()["claimed_by"], Json::Null);
}

#[test]
fn roles_decide_who_may_act() {
    let night = Night::scanned();
    let Some(probe) = as_other(&night, &["cases"]) else {
        return;
    };
    probe.ended(0);
    night.configure("[incident]", "[roles]\noperator = [\"nobody\"]\n\n[incident]");
    for deed in [
        &["claim", "order:2"][..],
        &["note", "order:2", "x"],
        &["drop", "order:2"],
        &["undo", "order:2", "--reason", "x"],
        &["phase", "gate", "done", "--reason", "x"],
    ] {
        night.run(deed).ended(4).says(&["viewer", "[roles]"]);
    }
    night.run(&["cases"]).ended(0);
    as_other(&night, &["claim", "order:2"]).unwrap().ended(0);
    as_other(&night, &["resolve", "order:2", "keep", "--reason", "x"])
        .unwrap()
        .ended(0);
    // `$USER` makes nobody somebody.
    let pretending = night
        .command(&["claim", "order:4"])
        .env("USER", "nobody")
        .env("LOGNAME", "nobody")
        .output();
    Night::finish(pretending.unwrap()).ended(4);
}

/// Runs all of these at once.
fn at_once(night: &Night, runs: &[Vec<&str>]) -> Vec<Ran> {
    let start = Barrier::new(runs.len());
    thread::scope(|scope| {
        let threads: Vec<_> = runs
            .iter()
            .map(|args| {
                scope.spawn(|| {
                    let mut command = night.command(args);
                    start.wait();
                    Night::finish(command.output().unwrap())
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn processes_at_once_wait_their_turn_and_one_decision_takes_effect_once() {
    let night = Night::scanned();
    night.run(&["claim", "order:2"]).ended(0);
    let scan = vec!["scan"];
    let decide = vec!["resolve", "order:2", "keep", "--reason", "x"];
    let note = vec!["note", "order:2", "n"];
    let ran = at_once(
        &night,
        &[
            scan.clone(),
            decide.clone(),
            note.clone(),
            decide.clone(),
            scan.clone(),
            note,
            decide.clone(),
            scan,
            decide,
        ],
    );
    let codes: Vec<i32> = ran.iter().map(|r| r.code).collect();
    assert!(
        codes.iter().all(|c| matches!(c, 0 | 3 | 4)),
        "{codes:?} {:?}",
        ran.iter().map(|r| &r.err).collect::<Vec<_>>()
    );
    let decided = [1, 3, 6, 8].iter().filter(|at| codes[**at] == 0).count();
    assert_eq!(decided, 1, "{codes:?}");
    let trail = night.run(&["audit", "list", "--json"]).lines();
    assert_eq!(trail.iter().filter(|l| l["action"] == "decide").count(), 1);
    assert_eq!(trail.iter().filter(|l| l["action"] == "note").count(), 2);
    assert_eq!(trail.iter().filter(|l| l["action"] == "refuse").count(), 3);
    night.run(&["audit", "verify"]).ended(0);
}

#[test]
fn first_scans_at_once_make_one_ledger() {
    let night = Night::new();
    let ran = at_once(
        &night,
        &[vec!["scan", "--json"], vec!["scan", "--json"], vec!["scan", "--json"]],
    );
    let opened: Vec<Json> = ran
        .into_iter()
        .map(|r| r.ended(3).json()["cases"]["opened"].clone())
        .collect();
    let total: u64 = opened.iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(total, 5, "{opened:?}");
    assert_eq!(
        night.run(&["audit", "verify", "--json"]).ended(0).json(),
        json!({"whole": true, "lines": 3})
    );
}

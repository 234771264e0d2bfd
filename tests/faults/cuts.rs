//! The line to the ledger's server is cut at every message of every deed: one byte into it, one byte before its end, and at its
//! end, in both directions. Whatever the answer that got through, the same deed asked for again settles it: done, once.

use crate::contract::{Kind, MINUTE, Verb, asking, order, store};
use crate::raw::Raw;
use crate::room::Room;
use crate::support::database;
use crate::support::dice::is_soak;
use crate::support::wire::{Cut, Keep, Wire};
use crate::truth::Told;
use crate::{domain, size, with_effects};
use restitch::config::Approve;
use restitch::domain::ErrorKind;
use restitch::domain::queue::Decide;
use restitch::ledger::Ledger;
use std::thread;
use std::time::Instant;

type Act = fn(&mut Ledger, &Decide) -> domain::Result<()>;

/// A deed, cut at every message.
#[derive(Clone, Copy)]
pub struct Deed {
    pub name: &'static str,
    by: &'static str,
    kind: Kind,
    /// What is decided, where something is.
    verb: Verb,
    /// Ana does this before, on a whole line.
    before: Act,
    does: Act,
    /// The action in the trail.
    line: &'static str,
    /// SQL: what else is 0 before it was done to `this_case`, and 1 after.
    also: &'static [&'static str],
    /// It takes at least so many messages, there and back.
    least: usize,
}

const CLAIM: Deed = Deed {
    name: "claim",
    by: "ana",
    kind: Kind::Lost,
    verb: Verb::Keep,
    before: |_, _| Ok(()),
    does: claim,
    line: "claim",
    also: &[
        "(SELECT coalesce(max(fence), 0) FROM restitch.kept_claims JOIN restitch.kept_cases USING (no) WHERE id = this_case)",
    ],
    least: 10,
};
const DECIDE: Deed = Deed {
    name: "decide",
    verb: Verb::Reapply,
    before: claim,
    does: |ledger, asked| ledger.decide(asked).map(drop),
    line: "decide",
    also: &[
        DECIDED,
        "(SELECT count(*) FROM restitch.kept_effects WHERE cases = format('[\"%s\"]', this_case))",
    ],
    least: 60,
    ..CLAIM
};
pub const PARK: Deed = Deed {
    name: "park",
    verb: Verb::Park,
    line: "decide",
    also: &[DECIDED],
    ..DECIDE
};
const UNDO: Deed = Deed {
    name: "undo",
    before: decided,
    does: |ledger, asked| ledger.undo(&asked.case, "not so").map(drop),
    line: "undo",
    also: &["(SELECT count(*) FROM restitch.kept_cases WHERE id = this_case AND state = 'open')"],
    least: 30,
    ..CLAIM
};
const DROP: Deed = Deed {
    name: "drop",
    before: claim,
    does: |ledger, asked| ledger.drop_claims(std::slice::from_ref(&asked.case)),
    line: "drop",
    also: &[],
    ..CLAIM
};
pub const TAKEOVER: Deed = Deed {
    name: "takeover",
    by: "sam",
    before: claim,
    does: |ledger, asked| ledger.take_over(&asked.case, "asleep", MINUTE).map(drop),
    line: "takeover",
    also: &["(SELECT fence - 1 FROM restitch.kept_claims JOIN restitch.kept_cases USING (no) WHERE id = this_case)"],
    ..CLAIM
};
const APPROVE: Deed = Deed {
    name: "approve",
    by: "li",
    kind: Kind::Regressed,
    verb: Verb::Cancel,
    before: decided,
    does: |ledger, asked| {
        let paper = ledger.paper(&asked.key)?.unwrap();
        ledger.sign(&paper, "seen").map(drop)
    },
    line: "approve",
    also: &[
        DECIDED,
        "(SELECT count(*) FROM restitch.kept_papers WHERE state = 'signed' AND case_id = this_case)",
    ],
    least: 60,
};

const DECIDED: &str =
    "(SELECT count(*) FROM restitch.kept_decided JOIN restitch.kept_cases USING (no) WHERE id = this_case)";

fn claim(ledger: &mut Ledger, asked: &Decide) -> domain::Result<()> {
    ledger.claim(std::slice::from_ref(&asked.case), MINUTE).map(drop)
}

fn decided(ledger: &mut Ledger, asked: &Decide) -> domain::Result<()> {
    claim(ledger, asked)?;
    ledger.decide(asked).map(drop)
}

/// What a walk along the messages of a deed came to.
#[derive(Debug, Default)]
pub struct Walk {
    pub cuts: usize,
    /// Deeds that failed, were not done, and were done when they were asked for again.
    again: usize,
    /// What the first deed that was not done just once came to.
    pub wrong: Option<String>,
}

/// Cuts a deed at its first message, its second, and so on, until one is over before it is cut: at both sides of every
/// boundary, or, of a night, at every byte.
pub fn walk(room: &Room, deed: Deed) -> Walk {
    let wire = Wire::to(room.pg.port);
    let mut near = room.open("ana");
    let mut config = room.config.clone();
    config.ledger.database = database(wire.port, &room.db);
    let mut far = Room::open_as(&config, deed.by, false).unwrap();
    let raw = Raw::new(room, "demo");
    // More than any deed has cuts.
    let orders = size(900, 40_000);
    store(
        &mut near,
        (0..orders).map(|k| order(&k.to_string(), &[deed.kind])).collect(),
    );
    let mut cases = 0..orders;
    let mut walk = Walk::default();
    for from_server in [false, true] {
        for message in 0.. {
            // Whether the line was cut; nothing is, once something went wrong.
            let mut cut = |keep: Keep| {
                if walk.wrong.is_some() {
                    return false;
                }
                let case = format!("order:{}", cases.next().expect("enough orders"));
                let asked = asking(&case, deed.verb);
                (deed.before)(&mut near, &asked).unwrap();
                let cut = Cut {
                    from_server,
                    message,
                    keep,
                };
                wire.arm(cut);
                let settled = settle(&mut far, &raw, deed, &asked, &mut walk.again);
                walk.wrong = settled.err().map(|wrong| format!("{cut:?}: {wrong}"));
                let landed = wire.disarm();
                walk.cuts += usize::from(landed);
                landed
            };
            if !cut(Keep::Whole) {
                break;
            }
            if is_soak() {
                // A message ends.
                let mut bytes = 1;
                while cut(Keep::Bytes(bytes)) {
                    bytes += 1;
                }
            } else {
                cut(Keep::Bytes(1));
                cut(Keep::AllButLast);
            }
        }
    }
    walk
}

/// Asks until it is done. It must then be done once; whenever it was said to have failed, not at all.
fn settle(far: &mut Ledger, raw: &Raw, deed: Deed, asked: &Decide, again: &mut usize) -> Result<(), String> {
    let line = format!(
        "(SELECT count(*) FROM restitch.kept_audit WHERE outcome = 'ok' AND action = '{}' AND case_id = this_case)",
        deed.line
    );
    let traces = std::iter::once(&*line)
        .chain(deed.also.iter().copied())
        .collect::<Vec<_>>()
        .join(", ");
    let sql = format!(
        "SELECT concat_ws(',', {traces}) FROM (SELECT '{}'::text AS this_case) c",
        asked.case
    );
    let done = || raw.sql(&sql).unwrap().remove(0);
    let all = |n: &str| vec![n; deed.also.len() + 1].join(",");
    loop {
        match (deed.does)(far, asked) {
            Ok(()) if done() == all("1") => return Ok(()),
            Ok(()) => return Err(format!("done, it was said, and it is {}", done())),
            Err(error) if matches!(error.kind, ErrorKind::Failed | ErrorKind::Lost) && done() == all("0") => {
                *again += 1;
            }
            Err(error) => return Err(format!("{error}, and it is {}", done())),
        }
    }
}

#[test]
fn a_line_cut_at_any_message_of_any_deed_leaves_it_done_once() {
    let began = Instant::now();
    let (mut cuts, mut again) = (0, 0);
    thread::scope(|scope| {
        let walks: Vec<_> = [CLAIM, DECIDE, PARK, UNDO, DROP, TAKEOVER, APPROVE]
            .into_iter()
            .map(|deed| {
                scope.spawn(move || {
                    let mut room = Room::on_time();
                    with_effects(&mut room.config);
                    room.config.approve = Approve {
                        verbs: vec![Verb::Cancel],
                        bulk: None,
                    };
                    let walk = walk(&room, deed);
                    Told::default().assert_holds(&room);
                    (deed, walk)
                })
            })
            .collect();
        for walk in walks {
            let (deed, walk) = walk.join().unwrap();
            println!("cuts: {} of {}", walk.cuts, deed.name);
            assert_eq!(walk.wrong, None, "{}", deed.name);
            assert!(walk.cuts >= deed.least * 3, "{} cuts of {}", walk.cuts, deed.name);
            cuts += walk.cuts;
            again += walk.again;
        }
    });
    println!(
        "cuts: {cuts} in {:.0} s, at every message of 7 deeds; {again} asked for again",
        began.elapsed().as_secs_f64()
    );
    assert!(cuts >= 900, "{cuts} cuts");
}

//! Bugs on purpose, in the database of one test or in the console of one test: each is found by the checks that the ledger
//! passes without it.

use crate::contract::{MINUTE, T0, Verb, asking};
use crate::cuts::{PARK, TAKEOVER, walk};
use crate::decider::Sabotage;
use crate::kills::{kill, room_for};
use crate::raw::Raw;
use crate::room::Room;
use crate::support::database;
use crate::support::wire::Wire;
use crate::truth::{GHOST, LOST, Told};
use crate::{seed, store_orders, with_effects};
use restitch::domain::ErrorKind;
use restitch::ledger::new_key;
use restitch::text::{self, Safe};
use serde_json::json;
use std::sync::Barrier;
use std::thread;

/// Puts other text into a function of the ledger.
fn plant(room: &Room, function: &str, text: &str, with: &str) {
    let was = room.sql(&format!("SELECT pg_get_functiondef('restitch.{function}'::regproc)"));
    let now = was.replace(text, with);
    assert_ne!(was, now, "{function} has no {text:?}");
    room.sql(&format!("SET search_path = restitch, pg_temp; {now}"));
}

/// A ledger with so many lost orders.
fn room(orders: usize) -> Room {
    let mut room = Room::on_time();
    with_effects(&mut room.config);
    store_orders(&mut room.open("ana"), orders);
    room
}

fn assert_finds(bug: &str, rule: &str, told: &Told, room: &Room) {
    let found = told.violations(room);
    println!("planted: {bug}: {found:?}");
    assert!(found.iter().any(|(r, n)| r == rule && *n > 0), "{bug}: {found:?}");
}

const ROUNDS: usize = 20;

/// Two consoles of one person decide the same orders at the same moments, each under keys of its own.
fn presses(room: &Room) -> Told {
    let barrier = Barrier::new(2);
    let mut told = Told::default();
    thread::scope(|scope| {
        let consoles: Vec<_> = (0..2)
            .map(|_| {
                let mut ledger = room.open("ana");
                let barrier = &barrier;
                scope.spawn(move || {
                    let mut told = Told::default();
                    for k in 0..ROUNDS {
                        let id = format!("order:{k}");
                        ledger.claim(std::slice::from_ref(&id), MINUTE).unwrap();
                        let asked = asking(&id, Verb::Keep);
                        barrier.wait();
                        answer(&mut told, &asked.key, ledger.decide(&asked));
                    }
                    told
                })
            })
            .collect();
        for console in consoles {
            told.add(console.join().unwrap());
        }
    });
    told
}

fn answer<T: std::fmt::Debug>(told: &mut Told, key: &str, answer: restitch::domain::Result<T>) {
    match answer {
        Ok(_) => told.done.push(key.to_owned()),
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Refused, "{error}");
            told.not_done.push(key.to_owned());
        }
    }
}

#[test]
fn no_row_lock() {
    let room = room(ROUNDS);
    presses(&room).assert_holds(&room);
    let room = self::room(ROUNDS);
    plant(&room, "lock_cases", "FOR NO KEY UPDATE", "");
    assert_finds(
        "no row lock",
        "two decisions that stand on one case",
        &presses(&room),
        &room,
    );
}

#[test]
fn no_unique_constraint() {
    let room = Room::on_time();
    room.sql("ALTER TABLE restitch.kept_answers DROP CONSTRAINT kept_answers_pkey");
    let wrong = walk(&room, TAKEOVER)
        .wrong
        .expect("a call that was made twice is done twice");
    println!("planted: no unique constraint on calls: {wrong}");
    assert!(wrong.contains("is yours already"), "{wrong}");
}

/// Ana's console is slow: between what she sees and what she asks for the case is taken over and comes back to her.
fn stale(room: &Room, k: usize) -> restitch::domain::Result<()> {
    let id = format!("order:{k}");
    let mut ana = room.open("ana");
    let fence = ana.claim(std::slice::from_ref(&id), MINUTE)?[0].fence;
    let behind = Raw::new(room, "demo");
    let call = |person: &str, function: &str, args: serde_json::Value| {
        behind
            .sql(&format!(
                "SET SESSION AUTHORIZATION {person}; SELECT restitch.{function}('{}', '{args}')",
                origin(person)
            ))
            .unwrap();
    };
    behind
        .sql(&format!(
            "BEGIN; SELECT 1 FROM restitch.kept_cases WHERE id = '{id}' FOR UPDATE"
        ))
        .unwrap();
    thread::scope(|scope| {
        let asked = asking(&id, Verb::Keep);
        let waits = scope.spawn(move || {
            let mut asked = asked;
            asked.fence = Some(fence);
            ana.decide(&asked).map(drop)
        });
        // She is at the lock of the case.
        while room.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        ) == "0"
        {
            thread::yield_now();
        }
        let lease = 60_000_000;
        call(
            "sam",
            "takeover",
            json!({"case": id, "reason": "asleep", "lease": lease}),
        );
        call("sam", "give_back", json!({"cases": [id]}));
        call("ana", "claim", json!({"cases": [id], "lease": lease}));
        behind.sql("RESET SESSION AUTHORIZATION; COMMIT").unwrap();
        waits.join().unwrap()
    })
}

fn origin(person: &str) -> serde_json::Value {
    json!({"incident": "2026-11-22-prod", "attempt": 1, "restored_to": T0, "system_user": person, "ssh": null,
           "deed": {"action": "decide", "case": null, "verb": null, "key": null}})
}

#[test]
fn no_fence_check() {
    let room = room(2);
    let error = stale(&room, 0).unwrap_err();
    assert!(error.what.contains("in between"), "{error}");
    plant(&room, "require_claim", "l.fence <> fence", "false");
    let planted = stale(&room, 1);
    println!("planted: no fence check: a stale console is answered {planted:?}");
    assert!(planted.is_ok(), "{planted:?}");
}

/// A decision by hand: nothing of the console's own rules stands before it.
fn by_hand(case: &str, key: &str, person: &str) -> String {
    let args = json!({
        "key": key, "digest": "00", "verb": "keep", "reason": "so", "reference": null, "to": null, "evidence": null,
        "until": null, "fence": null, "effect": null, "seen": [],
        "cases": [{"id": case, "next": "proven", "findings": "[]", "steps": "[]", "assignee": null, "wanted": null}],
    });
    format!("SELECT restitch.decide('{}', '{args}')::text", origin(person))
}

#[test]
fn no_claim_check() {
    let room = room(2);
    let (ana, li) = (Raw::new(&room, "ana"), Raw::new(&room, "li"));
    let claim = |k: usize| {
        let args = json!({"cases": [format!("order:{k}")], "lease": 60_000_000});
        ana.sql(&format!("SELECT restitch.claim('{}', '{args}')", origin("ana")))
            .unwrap();
    };
    claim(0);
    assert!(li.sql(&by_hand("order:0", "k0", "li")).unwrap()[0].contains("ana holds"));
    Told::default().assert_holds(&room);
    plant(&room, "require_claim", "l.until > a.now AND l.\"by\" <> who", "false");
    claim(1);
    li.sql(&by_hand("order:1", "k1", "li")).unwrap();
    assert_finds(
        "no claim check",
        "decided by who did not hold the case",
        &Told::default(),
        &room,
    );
}

/// Enough that some die between the answer and what was left to do after it.
const KILLS: usize = 60;

#[test]
fn an_effect_outside_the_transaction() {
    let room = room_for(KILLS);
    plant(&room, "decide_for", "PERFORM queue_effect(", "PERFORM concat(");
    let killed = kill(&room, KILLS, seed(), Some(Sabotage::EffectOutside));
    assert_finds(
        "an effect outside the transaction",
        "a decision whose effect is missing",
        &killed.told,
        &room,
    );
}

#[test]
fn an_audit_line_outside_the_transaction() {
    let room = room_for(KILLS);
    plant(&room, "decide_for", "PERFORM audit(a, ", "PERFORM concat(");
    let killed = kill(&room, KILLS, seed(), Some(Sabotage::AuditOutside));
    assert_finds(
        "an audit line outside the transaction",
        "a decision without its line",
        &killed.told,
        &room,
    );
}

#[test]
fn a_dropped_row_of_an_effect() {
    let room = room(2);
    let mut ana = room.open("ana");
    let mut decide = |k: usize| {
        let id = format!("order:{k}");
        ana.claim(std::slice::from_ref(&id), MINUTE).unwrap();
        ana.decide(&asking(&id, Verb::Reapply)).unwrap();
    };
    decide(0);
    Told::default().assert_holds(&room);
    plant(&room, "decide_for", "PERFORM queue_effect(", "PERFORM concat(");
    decide(1);
    assert_finds(
        "a dropped row of an effect",
        "a decision whose effect is missing",
        &Told::default(),
        &room,
    );
}

#[test]
fn a_retry_with_a_new_key() {
    let room = Room::on_time();
    let new = "gen_random_uuid()::text";
    plant(&room, "deed", "origin->>'call'", new);
    plant(
        &room,
        "decide_for",
        "    PERFORM lock_cases(",
        &format!("    args := args || jsonb_build_object('key', {new});\n    PERFORM lock_cases("),
    );
    let wrong = walk(&room, PARK)
        .wrong
        .expect("a decision that was asked for twice is made twice");
    println!("planted: a retry with a new key: {wrong}");
    assert!(wrong.contains("it is 2,2"), "{wrong}");
}

#[test]
fn a_commit_tag_that_is_ignored() {
    let room = room(1);
    let id = "order:0".to_owned();
    room.open("ana").claim(std::slice::from_ref(&id), MINUTE).unwrap();
    let ana = Raw::new(&room, "ana");
    let key = new_key();
    ana.sql("BEGIN").unwrap();
    ana.sql(&by_hand(&id, &key, "ana")).unwrap();
    ana.sql("SELECT 1 / 0").unwrap_err();
    // It answers ROLLBACK, which is no error.
    ana.sql("COMMIT").unwrap();
    let told = Told {
        done: vec![key],
        ..Told::default()
    };
    assert_finds("a commit tag that is ignored", LOST, &told, &room);
}

/// Ana's decision waits for a lock when her line is cut. By restitch it is asked for again; a `naive` console looks it up
/// instead, and does not find it.
fn cut_while_it_waits(room: &Room, k: usize, naive: bool) -> Told {
    let id = format!("order:{k}");
    let wire = Wire::to(room.pg.port);
    let mut near = room.open("ana");
    near.claim(std::slice::from_ref(&id), MINUTE).unwrap();
    let behind = Raw::new(room, "demo");
    behind
        .sql(&format!(
            "BEGIN; SELECT 1 FROM restitch.kept_cases WHERE id = '{id}' FOR UPDATE"
        ))
        .unwrap();
    let activity = |what: &str| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'ana' AND state = 'active'";
        room.sql(&format!("{sql} {what}"))
    };
    let asked = asking(&id, Verb::Keep);
    let mut told = Told::default();
    thread::scope(|scope| {
        let ask = scope.spawn(|| {
            if naive {
                return Raw::at(wire.port, &room.db, "ana")
                    .sql(&by_hand(&id, &asked.key, "ana"))
                    .map_err(|(code, _)| code)
                    .map(drop);
            }
            let mut config = room.config.clone();
            config.ledger.database = database(wire.port, &room.db);
            let mut far = Room::open_as(&config, "ana", false).unwrap();
            far.decide(&asked).map_err(|e| e.to_string()).map(drop)
        });
        while activity("AND wait_event_type = 'Lock'") == "0" {
            thread::yield_now();
        }
        wire.cut_now();
        if naive {
            assert_eq!(ask.join().unwrap(), Err("lost".to_owned()));
            assert!(!near.knows_decision(&asked.key).unwrap());
            told.not_done.push(asked.key.clone());
            behind.sql("COMMIT").unwrap();
        } else {
            behind.sql("COMMIT").unwrap();
            ask.join().unwrap().unwrap();
            told.done.push(asked.key.clone());
        }
    });
    while activity("") != "0" {
        thread::yield_now();
    }
    told
}

#[test]
fn a_look_up_that_takes_not_yet_for_never() {
    let room = room(2);
    cut_while_it_waits(&room, 0, false).assert_holds(&room);
    let told = cut_while_it_waits(&room, 1, true);
    assert_finds("a look-up that takes not yet for never", GHOST, &told, &room);
}

#[test]
fn a_lease_on_the_clients_clock() {
    let room = room(1);
    let id = ["order:0".to_owned()];
    room.open("ana").claim(&id, MINUTE).unwrap();
    let mut li = room.open("li");
    assert_eq!(li.claim(&id, MINUTE).unwrap_err().kind, ErrorKind::Refused);
    Told::default().assert_holds(&room);
    plant(
        &room,
        "micros",
        "clock_timestamp()",
        "clock_timestamp() + CASE session_user WHEN 'li' THEN interval '2 minutes' ELSE interval '0' END",
    );
    li.claim(&id, MINUTE).unwrap();
    assert_finds(
        "a lease on the client's clock",
        "held by two at once",
        &Told::default(),
        &room,
    );
}

/// Characters that turn, hide or move what stands around them.
fn hostile() -> impl Iterator<Item = char> {
    let ranges = [
        '\0'..='\u{9}',
        '\u{b}'..='\u{1f}',
        '\u{7f}'..='\u{9f}',
        '\u{200b}'..='\u{200f}',
        '\u{202a}'..='\u{202e}',
        '\u{2060}'..='\u{2069}',
    ];
    ranges.into_iter().flatten().chain(['\u{61c}', '\u{feff}', '\u{e0041}'])
}

/// What is wrong with how a text with such a character in it is shown.
fn shown_wrong(show: impl Fn(&str) -> String) -> Option<String> {
    hostile().find_map(|c| {
        let shown = show(&format!("a{c}b"));
        if shown.contains(c) {
            Some(format!("U+{:04X} reaches the screen", u32::from(c)))
        } else if shown == show("ab") {
            Some(format!("U+{:04X} is gone, and nothing says so", u32::from(c)))
        } else {
            None
        }
    })
}

#[test]
fn unescaped_bidi_and_silent_strips() {
    assert_eq!(shown_wrong(|t| Safe::of(t).to_string()), None);
    assert_eq!(shown_wrong(|t| Safe::id(t).to_string()), None);
    assert_eq!(shown_wrong(|t| text::lines(t).into_owned()), None);
    let controls = |t: &str| t.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    assert_eq!(shown_wrong(controls).unwrap(), "U+200B reaches the screen");
    let strips = |t: &str| t.chars().filter(|c| !hostile().any(|h| h == *c)).collect();
    assert_eq!(shown_wrong(strips).unwrap(), "U+0000 is gone, and nothing says so");
}

#[test]
fn a_trail_that_strips_silently() {
    let room = room(2);
    let mut ana = room.open("ana");
    let mut decide = |k: usize| {
        let id = format!("order:{k}");
        ana.claim(std::slice::from_ref(&id), MINUTE).unwrap();
        let mut asked = asking(&id, Verb::Keep);
        asked.reason = "billed \u{202e}yllacitamotua".to_owned();
        ana.decide(&asked).unwrap();
    };
    decide(0);
    Told::default().assert_holds(&room);
    plant(
        &room,
        "audit",
        "audit.why, ''",
        "translate(audit.why, U&'\\202E', ''), ''",
    );
    decide(1);
    assert_finds(
        "a trail that strips silently",
        "a line with another reason than its decision",
        &Told::default(),
        &room,
    );
}

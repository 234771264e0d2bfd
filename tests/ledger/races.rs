//! Many at once on one ledger, each with a connection of their own, let go at the same moment.

use crate::contract::{Kind, MINUTE, Tap, Verb, asking, claim, order, store, trail};
use crate::room::Room;
use restitch::domain::ErrorKind;
use restitch::domain::case::State;
use restitch::ledger::Ledger;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const LOGINS: [&str; 3] = ["ana", "li", "sam"];

fn cases(n: usize) -> Vec<restitch::domain::case::FoundCase> {
    (0..n).map(|k| order(&k.to_string(), &[Kind::Lost])).collect()
}

/// So many people, each with a ledger of their own.
fn people(room: &Room, n: usize) -> Vec<Ledger> {
    (0..n).map(|k| room.open(LOGINS[k % LOGINS.len()])).collect()
}

/// `n` people press the same keys at the same moment on one case after the other: claim it and decide it. Exactly one
/// decides each; the others are told who has it.
fn race(n: usize, rounds: usize) {
    let room = Room::on_time();
    let mut ledger = room.open("ana");
    store(&mut ledger, cases(rounds));
    let barrier = Barrier::new(n);
    let (wins, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for mut person in people(&room, n) {
            let (barrier, wins, told) = (&barrier, &wins, &told);
            scope.spawn(move || {
                for k in 0..rounds {
                    let id = format!("order:{k}");
                    barrier.wait();
                    let won = person
                        .claim(std::slice::from_ref(&id), MINUTE)
                        .and_then(|_| person.decide(&asking(&id, Verb::Keep)));
                    match won {
                        Ok(_) => _ = wins.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            assert_eq!(error.kind, ErrorKind::Refused, "{error}");
                            let words = [" holds ", "is proven already", "nobody holds"];
                            assert!(words.iter().any(|w| error.what.contains(w)), "{error}");
                            told.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(wins.into_inner(), rounds, "each case once");
    assert_eq!(told.into_inner(), rounds * (n - 1));
    assert_eq!(ledger.counts().unwrap().of(State::Proven), rounds as u64);
    let decided = room.sql("SELECT count(*), count(DISTINCT no) FROM restitch.kept_decided");
    assert_eq!(decided, format!("{rounds}|{rounds}"));
    assert_eq!(ledger.verify().unwrap(), trail(&ledger).len() as u64);
}

#[test]
fn of_two_exactly_one_decides() {
    race(2, 2_000);
}

#[test]
fn of_eight_exactly_one_decides() {
    race(8, 1_000);
}

#[test]
fn of_fifty_exactly_one_decides() {
    race(50, 300);
}

#[test]
fn the_next_case_is_nobody_elses() {
    const CASES: usize = 400;
    let room = Room::on_time();
    let mut ledger = room.open("ana");
    store(&mut ledger, cases(CASES));
    let barrier = Barrier::new(8);
    let got: Vec<Vec<String>> = thread::scope(|scope| {
        let running: Vec<_> = people(&room, 8)
            .into_iter()
            .map(|mut person| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let mut got = Vec::new();
                    while let Some(next) = person.claim_next(&[], MINUTE).unwrap() {
                        got.extend(next.chain);
                    }
                    got
                })
            })
            .collect();
        running.into_iter().map(|r| r.join().unwrap()).collect()
    });
    let mut all: Vec<String> = got.into_iter().flatten().collect();
    assert_eq!(all.len(), CASES);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), CASES, "none twice");
}

#[test]
fn a_chain_is_claimed_whole_or_not_at_all() {
    let room = Room::on_time();
    let mut ledger = room.open("ana");
    // Each odd order waits for the one before and the one after it.
    let found = (0..60_usize)
        .map(|k| {
            let key = k.to_string();
            match k % 2 {
                1 => crate::contract::waiting(
                    &key,
                    &[Kind::Lost],
                    &[&(k - 1).to_string(), &((k + 1) % 60).to_string()],
                ),
                _ => order(&key, &[Kind::Lost]),
            }
        })
        .collect();
    store(&mut ledger, found);
    let barrier = Barrier::new(3);
    thread::scope(|scope| {
        for (n, mut person) in people(&room, 3).into_iter().enumerate() {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for k in 0..60 {
                    let id = format!("order:{}", (k * 7 + n * 11) % 60);
                    let chain = person.chain(&id).unwrap();
                    match person.claim(&chain, MINUTE) {
                        Ok(claims) => {
                            assert_eq!(claims.len(), chain.len());
                            let me = person.who().user.clone();
                            for id in &chain {
                                let holder = person.case(id).unwrap().unwrap().claim.map(|c| c.by);
                                assert_eq!(holder.as_ref(), Some(&me));
                            }
                            person.drop_claims(&chain).unwrap();
                        }
                        Err(error) => assert_eq!(error.kind, ErrorKind::Refused, "{error}"),
                    }
                }
            });
        }
    });
    ledger.verify().unwrap();
}

#[test]
fn no_sleeper_decides_after_a_takeover() {
    const ROUNDS: usize = 1_000;
    let room = Room::on_time();
    let (mut sleeper, mut lead) = (room.open("ana"), room.open("sam"));
    store(&mut sleeper, cases(ROUNDS));
    let mut late = 0;
    for k in 0..ROUNDS {
        let id = format!("order:{k}");
        claim(&mut sleeper, &[&id]);
        let fence = sleeper.case(&id).unwrap().unwrap().claim.unwrap().fence;
        let asked = asking(&id, Verb::Keep).tap(|d| d.fence = Some(fence));
        lead.take_over(&id, "asleep", MINUTE).unwrap();
        if k % 2 == 0 {
            // The sleeper even gets it back: what they saw is of before.
            lead.drop_claims(std::slice::from_ref(&id)).unwrap();
            claim(&mut sleeper, &[&id]);
        }
        let error = sleeper.decide(&asked).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        late += 1;
    }
    assert_eq!(late, ROUNDS);
    assert_eq!(sleeper.counts().unwrap().of(State::Open), ROUNDS as u64);
    sleeper.verify().unwrap();
}

#[test]
fn a_lease_ends_by_the_servers_clock_whatever_its_holder_thinks() {
    let room = Room::on_time();
    let (mut ana, mut li) = (room.open("ana"), room.open("li"));
    store(&mut ana, cases(1));
    let one = ["order:0".to_owned()];
    let until = ana.claim(&one, Duration::from_millis(300)).unwrap().remove(0).until;
    // Waits for the server's clock, which is the subject.
    loop {
        let now: i64 = room.sql("SELECT restitch.micros()").parse().unwrap();
        if now > until {
            break;
        }
        thread::sleep(Duration::from_micros(u64::try_from(until - now).unwrap()));
    }
    assert_eq!(li.claim(&one, MINUTE).unwrap()[0].fence, 2);
    assert_eq!(
        ana.decide(&asking("order:0", Verb::Keep)).unwrap_err().kind,
        ErrorKind::Refused
    );
}

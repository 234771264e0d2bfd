//! The server crashes, again and again, while several people decide.

use crate::contract::{MINUTE, Verb, asking};
use crate::room::{Room, with_people};
use crate::support::dice::Dice;
use crate::support::{Pg, bin, command};
use crate::truth::Told;
use crate::{seed, size, store_orders, with_effects};
use restitch::domain::ErrorKind;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PEOPLE: [&str; 4] = ["ana", "li", "kim", "sam"];
/// More than anyone decides between two crashes.
const ORDERS: usize = 500;

/// At least so many decisions are made between two crashes.
const BETWEEN: usize = 80;

#[derive(Default)]
struct Load {
    over: AtomicBool,
    acks: AtomicUsize,
    /// Deeds that were asked for and not answered yet.
    in_flight: AtomicUsize,
    /// Deeds that failed and were asked for again.
    again: AtomicUsize,
}

/// Claims and decides one order after the other; whatever fails is asked for again, under the same key.
fn decide(room: &Room, person: &str, cases: Range<usize>, load: &Load) -> Told {
    let mut ledger = room.open(person);
    let mut told = Told::default();
    let until_done = |deed: &mut dyn FnMut() -> restitch::domain::Result<()>| {
        load.in_flight.fetch_add(1, Ordering::SeqCst);
        while let Err(error) = deed() {
            assert!(
                matches!(error.kind, ErrorKind::Failed | ErrorKind::Lost | ErrorKind::Unconfirmed),
                "{error}"
            );
            load.again.fetch_add(1, Ordering::Relaxed);
            // A person presses the key again.
            thread::sleep(Duration::from_millis(10));
        }
        load.in_flight.fetch_sub(1, Ordering::SeqCst);
    };
    for k in cases {
        if load.over.load(Ordering::Relaxed) {
            break;
        }
        let case = format!("order:{k}");
        until_done(&mut || ledger.claim(std::slice::from_ref(&case), MINUTE).map(drop));
        let asked = asking(&case, if k % 2 == 0 { Verb::Reapply } else { Verb::Keep });
        until_done(&mut || ledger.decide(&asked).map(drop));
        told.done.push(asked.key);
        load.acks.fetch_add(1, Ordering::Relaxed);
    }
    told
}

/// As when its machine loses power, but for the disk: nothing is flushed or said; then it recovers.
fn crash(pg: &Pg) {
    let data = pg.home.join("data");
    let done = command(&bin().join("pg_ctl"))
        .args(["-m", "immediate", "-w", "-t", "120", "-l"])
        .arg(pg.home.join("log"))
        .arg("-D")
        .arg(data)
        .arg("restart")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_server_that_crashes_loses_nothing_it_acknowledged() {
    let crashes = size(10, 500);
    let pg: &'static Pg = Box::leak(Box::new(with_people()));
    let mut room = Room::on(pg);
    with_effects(&mut room.config);
    let orders = ORDERS * crashes / 10;
    store_orders(&mut room.open("ana"), orders * PEOPLE.len());
    let mut dice = Dice::new(seed());
    let load = Load::default();
    let began = Instant::now();
    let mut caught = 0;
    let mut told = Told::default();
    thread::scope(|scope| {
        let people: Vec<_> = PEOPLE
            .iter()
            .enumerate()
            .map(|(n, person)| {
                let (room, load) = (&room, &load);
                scope.spawn(move || decide(room, person, n * orders..(n + 1) * orders, load))
            })
            .collect();
        for _ in 0..crashes {
            let enough = load.acks.load(Ordering::Relaxed) + BETWEEN;
            while load.acks.load(Ordering::Relaxed) < enough {
                assert!(
                    !people.iter().any(thread::ScopedJoinHandle::is_finished),
                    "a person left"
                );
                thread::sleep(Duration::from_millis(5));
            }
            // The moment of the crash, which is the subject.
            thread::sleep(Duration::from_micros(dice.next() % 20_000));
            caught += load.in_flight.load(Ordering::SeqCst);
            crash(pg);
        }
        load.over.store(true, Ordering::Relaxed);
        for person in people {
            told.add(person.join().unwrap());
        }
    });
    println!(
        "crashes: {crashes} of the server in {:.0} s; {} acknowledged decisions; {caught} deeds under way, {} asked for again by hand",
        began.elapsed().as_secs_f64(),
        told.done.len(),
        load.again.load(Ordering::Relaxed)
    );
    assert!(caught >= crashes, "{caught} deeds were under way");
    assert!(told.done.len() >= BETWEEN * crashes, "{} acknowledged", told.done.len());
    told.assert_holds(&room);
}

//! Consoles that decide are killed with SIGKILL at random moments, and started again: what they left is settled then.

use crate::decider::{Decider, Orders, Sabotage, after, intent, intents};
use crate::raw::Raw;
use crate::room::Room;
use crate::support::dice::Dice;
use crate::truth::Told;
use crate::{seed, size, store_orders, with_effects};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// So many at once, each with a login of their own.
const LANES: [&str; 4] = ["ana", "li", "sam", "kim"];

/// What became of so many kills.
#[derive(Debug, Default)]
pub struct Killed {
    pub told: Told,
    pub kills: usize,
    /// Killed while a decision was asked for.
    pub mid: usize,
    /// Killed while what an earlier one left was settled.
    pub settling: usize,
    /// Decided, but killed before the answer; later settled by the same key.
    pub settled: usize,
}

/// Kills so many consoles.
pub fn kill(room: &Room, kills: usize, seed: u64, sabotage: Option<Sabotage>) -> Killed {
    let left = AtomicUsize::new(kills);
    let mut all = Killed::default();
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES.len())
            .map(|n| {
                let left = &left;
                scope.spawn(move || Lane::new(room, n, kills, seed, sabotage).run(left))
            })
            .collect();
        for lane in lanes {
            all.add(lane.join().unwrap());
        }
    });
    all
}

impl Killed {
    fn add(&mut self, other: Self) {
        self.told.add(other.told);
        self.kills += other.kills;
        self.mid += other.mid;
        self.settling += other.settling;
        self.settled += other.settled;
    }
}

/// One console after the other, of one person.
struct Lane<'a> {
    room: &'a Room,
    person: &'static str,
    raw: Raw,
    /// What was not answered yet.
    decisions: tempfile::TempDir,
    dice: Dice,
    sabotage: Option<Sabotage>,
    next: usize,
    end: usize,
    /// A console is killed within this time after it is up.
    span: Duration,
    /// The decision that the last one got no answer to, and whether it was made.
    pending: Option<(String, bool)>,
    so_far: Killed,
}

impl<'a> Lane<'a> {
    fn new(room: &'a Room, n: usize, kills: usize, seed: u64, sabotage: Option<Sabotage>) -> Self {
        let orders = orders_of_a_lane(kills);
        Self {
            room,
            person: LANES[n],
            raw: Raw::new(room, "demo"),
            decisions: tempfile::tempdir().unwrap(),
            dice: Dice::new(seed.wrapping_add(n as u64)),
            sabotage,
            next: n * orders,
            end: (n + 1) * orders,
            span: Duration::from_millis(50),
            pending: None,
            so_far: Killed::default(),
        }
    }

    fn run(mut self, left: &AtomicUsize) -> Killed {
        let one_more = |left: usize| left.checked_sub(1);
        while left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
        {
            self.kill_one();
        }
        // The last one is left alone: it settles what there is, and ends.
        let (status, said) = self.decider(self.next).ended();
        assert!(status.success(), "{said:?}");
        self.settled(&said);
        assert_eq!(
            intents(self.decisions.path()),
            0,
            "every decision was answered in the end"
        );
        self.so_far
    }

    fn decider(&self, to: usize) -> Decider {
        let mut orders = Orders::of(self.room, self.person, self.next..to, self.decisions.path());
        orders.sabotage = self.sabotage;
        Decider::start(&orders)
    }

    fn kill_one(&mut self) {
        let mut decider = self.decider(self.end);
        // One in four is killed while it decides, whatever else it does.
        let midway = self.dice.percent(25);
        if self.sabotage.is_some() {
            // What is left to do after the answer is what it dies in.
            decider.says("ack ");
        } else {
            if midway {
                decider.says("try ");
            }
            // The moment of the kill, which is the subject.
            let span = if midway { self.span / 4 } else { self.span };
            thread::sleep(span * u32::try_from(self.dice.roll(1_000)).unwrap() / 1_000);
        }
        decider.kill();
        let (status, said) = decider.ended();
        assert_eq!(status.signal(), Some(9), "{said:?}");
        self.so_far.kills += 1;
        self.settled(&said);
        let (tries, acks) = (after(&said, "try "), after(&said, "ack "));
        // About as many die before they decide as after they decided twice, however fast the machine is.
        if tries.is_empty() {
            self.span = self.span * 11 / 10;
        } else if acks.len() > 1 && !midway {
            self.span = self.span * 9 / 10;
        }
        self.next += tries.len();
        if tries.len() > acks.len() {
            self.so_far.mid += 1;
            let key = tries.last().unwrap().clone();
            let made = self
                .raw
                .sql(&format!("SELECT 1 FROM restitch.kept_decisions WHERE key = '{key}'"))
                .unwrap();
            // Where it is not written down, nothing was sent, or it was answered and not said yet.
            if intent(self.decisions.path(), &key).exists() {
                self.pending = Some((key, !made.is_empty()));
            } else if !made.is_empty() {
                self.so_far.told.done.push(key);
            }
        }
        self.so_far.told.done.extend(acks);
    }

    /// What became of the decision that the last one got no answer to.
    fn settled(&mut self, said: &[String]) {
        let Some((key, made)) = self.pending.take() else { return };
        if intent(self.decisions.path(), &key).exists() {
            self.so_far.settling += 1;
            self.pending = Some((key, made));
            return;
        }
        self.so_far.settled += usize::from(made);
        // Unless it was killed before it could say so.
        if let Some(words) = after(said, "settled ").first() {
            let told = &mut self.so_far.told;
            let told = if words.ends_with("is decided") {
                &mut told.done
            } else {
                &mut told.not_done
            };
            told.push(key);
        }
    }
}

/// More than one decides: about two for each kill.
const fn orders_of_a_lane(kills: usize) -> usize {
    kills * 3 / LANES.len() + 100
}

/// Enough orders for so many kills.
pub fn room_for(kills: usize) -> Room {
    let mut room = Room::on_time();
    with_effects(&mut room.config);
    store_orders(&mut room.open("ana"), orders_of_a_lane(kills) * LANES.len());
    room
}

#[test]
fn killed_consoles_lose_nothing_and_double_nothing() {
    let kills = size(5_000, 100_000);
    let room = room_for(kills);
    let began = Instant::now();
    let killed = kill(&room, kills, seed(), None);
    println!(
        "kills: {} of deciding consoles in {:.0} s; {} acknowledged decisions; {} killed mid-decision, {} while settling; {} decided but not acknowledged, settled by the same key",
        killed.kills,
        began.elapsed().as_secs_f64(),
        killed.told.done.len(),
        killed.mid,
        killed.settling,
        killed.settled
    );
    assert_eq!(killed.kills, kills);
    assert!(killed.mid * 100 >= kills * 30, "{} mid-decision", killed.mid);
    assert!(killed.settled * 100 >= kills, "{} settled", killed.settled);
    assert!(
        killed.told.done.len() > kills / 4,
        "{} acknowledged",
        killed.told.done.len()
    );
    killed.told.assert_holds(&room);
}

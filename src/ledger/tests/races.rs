//! Many at once, and any deeds in any order.

use super::*;
use proptest::prelude::*;
use std::sync::Barrier;
use std::thread;

/// Runs `people` at the same time, each with a ledger of their own, and says what each got.
fn at_once<T: Send>(room: &Room, people: &[&str], deed: impl Fn(&mut Ledger) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(people.len());
    thread::scope(|scope| {
        let running: Vec<_> = people
            .iter()
            .map(|who| {
                let (deed, start) = (&deed, &start);
                let mut ledger = room.open(who);
                scope.spawn(move || {
                    start.wait();
                    deed(&mut ledger)
                })
            })
            .collect();
        running.into_iter().map(|r| r.join().unwrap()).collect()
    })
}

#[test]
fn of_several_who_claim_at_once_exactly_one_wins() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(
        &mut ledger,
        (0..40).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    for k in 0..40 {
        let id = [format!("order:{k}")];
        let won = at_once(&room, &["ana", "li", "sam"], |l| l.claim(&id, MINUTE).is_ok());
        assert_eq!(won.iter().filter(|w| **w).count(), 1);
    }
    let lines = trail(&ledger);
    let of = |action: &str| lines.iter().filter(|l| l.action == action).count();
    assert_eq!((of("claim"), of("refuse")), (40, 80));
    assert_eq!(ledger.verify().unwrap(), lines.len() as u64);
}

#[test]
fn two_consoles_of_one_person_decide_once() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(
        &mut ledger,
        (0..30).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    for k in 0..30 {
        let id = format!("order:{k}");
        claim(&mut ledger, &[&id]);
        let verbs = at_once(&room, &["ana", "ana"], |l| {
            l.decide(&asking(&id, Verb::Reapply)).is_ok()
        });
        assert_eq!(verbs.iter().filter(|w| **w).count(), 1, "two keys, one decision");
    }
    for k in 0..30 {
        let id = format!("order:{k}");
        ledger.undo(&id, "again").unwrap();
        let once = asking(&id, Verb::Keep);
        let same = at_once(&room, &["ana", "ana"], |l| l.decide(&once).unwrap());
        assert_eq!(same[0], same[1], "one key, one answer");
    }
    let decided = trail(&ledger).iter().filter(|l| l.action == "decide").count();
    assert_eq!(decided, 60);
    assert_eq!(ledger.counts().unwrap().of(State::Proven), 30);
}

/// What a person may do next, by number.
#[derive(Debug, Clone, Copy)]
enum Act {
    Claim(u8, u8),
    Drop(u8, u8),
    Decide(u8, u8, u8),
    Done(u8, u8),
    Undo(u8, u8),
    Prove(u8, u8),
    Note(u8, u8),
    Scan(u16),
    Wait,
}

fn act() -> impl Strategy<Value = Act> {
    let (who, case) = (0..3_u8, 0..6_u8);
    prop_oneof![
        4 => (who.clone(), case.clone()).prop_map(|(w, c)| Act::Claim(w, c)),
        1 => (who.clone(), case.clone()).prop_map(|(w, c)| Act::Drop(w, c)),
        6 => (who.clone(), case.clone(), 0..9_u8).prop_map(|(w, c, v)| Act::Decide(w, c, v)),
        3 => (who.clone(), case.clone()).prop_map(|(w, c)| Act::Done(w, c)),
        2 => (who.clone(), case.clone()).prop_map(|(w, c)| Act::Undo(w, c)),
        3 => (case.clone(), 0..3_u8).prop_map(|(c, h)| Act::Prove(c, h)),
        1 => (who, case).prop_map(|(w, c)| Act::Note(w, c)),
        2 => any::<u16>().prop_map(Act::Scan),
        1 => Just(Act::Wait),
    ]
}

fn kinds_of(k: u8) -> Vec<Kind> {
    vec![Kind::ALL[usize::from(k) % Kind::ALL.len()], Kind::Orphaned]
}

/// The cases whose bit is set; every other one waits for the one before.
fn world(bits: u16) -> Vec<FoundCase> {
    (0..6_u8)
        .filter(|k| bits & (1 << k) != 0)
        .map(|k| {
            let kinds = kinds_of(k + u8::from(bits & (64 << k) != 0));
            match k {
                1 | 3 | 5 => waiting(&k.to_string(), &kinds, &[&(k - 1).to_string()]),
                _ => order(&k.to_string(), &kinds),
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(Room::RUNS))]

    /// Whatever people do in whatever order: the states add up to the total, an unsettled case counts under exactly one
    /// kind, no case is forgotten, what is refused changes nothing but the trail, and the trail is whole.
    #[test]
    fn counts_add_up_after_any_deeds(acts in proptest::collection::vec(act(), 1..60)) {
        let room = Room::new();
        let mut people = ["ana", "li", "bo"].map(|who| room.open(who));
        let mut total = store(&mut people[0], world(0b01_0111)).total;
        for act in acts {
            let before: Vec<CaseRow> = rows(&people[0]);
            let id = |c: u8| format!("order:{c}");
            let (refused, looks) = match act {
                Act::Claim(w, c) => (people[usize::from(w)].claim(&[id(c)], MINUTE).err(), true),
                Act::Drop(w, c) => (people[usize::from(w)].drop_claims(&[id(c)]).err(), true),
                Act::Decide(w, c, v) => {
                    let d = asking(&id(c), Verb::ALL[usize::from(v)]);
                    (people[usize::from(w)].decide(&d).err(), true)
                }
                Act::Done(w, c) => (people[usize::from(w)].done(&id(c), "did it").err(), true),
                Act::Undo(w, c) => (people[usize::from(w)].undo(&id(c), "no").err(), true),
                Act::Prove(c, h) => {
                    let holds = [None, Some(false), Some(true)][usize::from(h)];
                    (people[0].prove(&id(c), holds, "read").err(), true)
                }
                Act::Note(w, c) => (people[usize::from(w)].note(&id(c), "hm").err(), true),
                Act::Scan(bits) => {
                    total = store(&mut people[1], world(bits)).total;
                    (None, false)
                }
                Act::Wait => {
                    room.pass(MINUTE);
                    (None, false)
                }
            };
            if refused.is_some() && looks {
                prop_assert_eq!(&rows(&people[0]), &before, "refused, and yet it changed");
            }
            let counts = people[0].counts().unwrap();
            let now = rows(&people[0]);
            prop_assert_eq!(counts.total(), total);
            prop_assert_eq!(now.len() as u64, total);
            prop_assert_eq!(counts.kinds.iter().sum::<u64>() + counts.undone + counts.undeleted_rows.iter().map(|(_, n)| n).sum::<u64>(), counts.unsettled());
            for state in State::ALL {
                let listed = now.iter().filter(|r| r.state == state).count() as u64;
                prop_assert_eq!(counts.of(state), listed, "{:?}", state);
            }
            for row in &now {
                let file = people[0].case(&row.id).unwrap().unwrap();
                prop_assert_eq!(file.state, row.state);
                prop_assert_eq!(file.found.kinds(), row.kinds.clone());
                let decided = !matches!(row.state, State::Open | State::Gone);
                prop_assert!(!decided || file.decision.is_some());
                prop_assert_eq!(file.decision.map(|d| d.verb), row.verb);
            }
        }
        let lines = trail(&people[0]).len() as u64;
        prop_assert_eq!(people[0].verify().unwrap(), lines);
    }
}

//! Races, crashes, tampering, full disks: what must hold whatever happens.

use super::*;
use crate::ledger::Role;
use crate::ledger::sqlite::Moment;
use proptest::prelude::*;
use std::process::{Command, Stdio};
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
    #![proptest_config(ProptestConfig::with_cases(40))]

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

/// A seed in, the same numbers out.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A thousand edits by hand: a bit of any column, a line dropped, doubled, swapped or made up, the tail cut.
#[test]
fn every_random_edit_of_the_trail_is_found() {
    const COLUMNS: [&str; 10] = [
        "at",
        "who",
        "system_user",
        "ssh",
        "action",
        "case_id",
        "verb",
        "key",
        "outcome",
        "why",
    ];
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(
        &mut ledger,
        (0..10).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    for k in 0..10 {
        let id = format!("order:{k}");
        claim(&mut ledger, &[&id]);
        ledger.decide(&asking(&id, Verb::Reapply)).unwrap();
        ledger.note(&id, "noted").unwrap();
    }
    let lines = ledger.verify().unwrap();
    let mut db = rusqlite::Connection::open(room.path()).unwrap();
    db.execute_batch("DROP TRIGGER audit_is_append_only_u; DROP TRIGGER audit_is_append_only_d;")
        .unwrap();
    let mut dice = Dice(20_261_122);
    let mut landed = 0;
    for n in 0..1_000 {
        let (a, b) = (1 + dice.roll(lines), 1 + dice.roll(lines));
        let column = COLUMNS[usize::try_from(dice.roll(10)).unwrap()];
        let edit = match dice.roll(7) {
            0 => format!(
                "UPDATE audit SET {column} = coalesce({column}, 0) || 'x' WHERE seq = {a} AND '{column}' <> 'at'"
            ),
            1 => format!("UPDATE audit SET at = at + 1 + {b} WHERE seq = {a}"),
            2 => format!("UPDATE audit SET {column} = (SELECT {column} FROM audit WHERE seq = {b}) WHERE seq = {a}"),
            3 => format!("DELETE FROM audit WHERE seq = {a}"),
            4 => format!("DELETE FROM audit WHERE seq >= {a}"),
            5 => format!(
                "UPDATE audit SET seq = -1 WHERE seq = {a}; UPDATE audit SET seq = {a} WHERE seq = {b}; UPDATE audit SET seq = {b} WHERE seq = -1"
            ),
            _ => format!(
                "INSERT INTO audit SELECT incident, {lines} + 1, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash FROM audit WHERE seq = {a}"
            ),
        };
        let snapshot = |db: &rusqlite::Connection| -> Vec<String> {
            let sql = "SELECT json_array(seq, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash) FROM audit ORDER BY seq";
            let mut read = db.prepare(sql).unwrap();
            let rows = read.query_map([], |r| r.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let before = snapshot(&db);
        let tx = db.transaction().unwrap();
        tx.execute_batch(&edit).unwrap();
        let changed = snapshot(&tx) != before;
        landed += u32::from(changed);
        let found = crate::ledger::audit::verify_all(&Moment {
            db: &tx,
            incident: 1,
            now: T0,
            role: Role::Viewer,
        });
        assert_eq!(found.is_err(), changed, "edit {n}: {edit}");
        tx.rollback().unwrap();
    }
    assert!(landed > 800, "{landed} edits changed something");
    assert_eq!(ledger.verify().unwrap(), lines);
}

/// The child of the test below: decides case after case, and says so only after the ledger did.
#[test]
fn decides_until_killed() {
    use std::io::Write as _;
    let Ok(path) = std::env::var("RESTITCH_TEST_LEDGER") else {
        return;
    };
    let mut room = Room::new();
    room.config.ledger.database.url = DbUrl::Sqlite(path.into());
    let mut ledger = room.open("ana");
    let mut out = std::io::stderr();
    for row in rows(&ledger) {
        if row.state == State::Open {
            claim(&mut ledger, &[&row.id]);
            ledger.decide(&asking(&row.id, Verb::Keep)).unwrap();
            writeln!(out, "ack {}", row.id).unwrap();
        }
    }
}

/// Kills deciding processes: every acknowledged decision is there, none is half there, the chain is whole.
#[test]
fn a_killed_console_leaves_whole_decisions() {
    use std::io::{BufRead as _, BufReader};
    const CASES: u64 = 3_000;
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(
        &mut ledger,
        (0..CASES).map(|k| order(&k.to_string(), &[Kind::Lost])).collect(),
    );
    let mut acked = Vec::new();
    for kill in 0..15 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ledger::tests::faults::decides_until_killed", "--nocapture"])
            .env("RESTITCH_TEST_LEDGER", room.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        for (n, line) in said
            .lines()
            .map_while(Result::ok)
            .filter(|l| l.starts_with("ack "))
            .enumerate()
        {
            acked.push(line["ack ".len()..].to_owned());
            if n > kill % 5 {
                // Killed while it goes on with the next ones; what it still said is read to the end.
                let _ = child.kill();
            }
        }
        child.wait().unwrap();
    }
    assert!(acked.len() >= 15 * 2, "{}", acked.len());
    let proven = ledger.counts().unwrap().of(State::Proven);
    assert!(
        proven >= acked.len() as u64 && proven < CASES,
        "it was killed, not finished: {proven}"
    );
    for id in &acked {
        assert_eq!(state(&ledger, id), State::Proven, "acknowledged and lost: {id}");
    }
    let lines = trail(&ledger);
    let decided = |id: &str| {
        lines
            .iter()
            .filter(|l| l.action == "decide" && l.case.as_deref() == Some(id))
            .count()
    };
    for row in rows(&ledger).iter().filter(|r| r.state == State::Proven) {
        assert_eq!(decided(&row.id), 1);
        assert!(ledger.case(&row.id).unwrap().unwrap().decision.is_some());
    }
    assert_eq!(ledger.verify().unwrap(), lines.len() as u64);
}

/// SQLite says that the disk is full when a file may not grow: the same error, without filling a disk.
#[test]
fn a_full_disk_refuses_and_forgets_nothing() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    claim(&mut ledger, &["order:1"]);
    let pages: i64 = ledger
        .store
        .db
        .query_row("PRAGMA page_count", [], |r| r.get(0))
        .unwrap();
    ledger.store.db.pragma_update(None, "max_page_count", pages).unwrap();
    let big = (0..500).map(|k| order(&format!("9{k}"), &[Kind::Lost]));
    let error = ledger
        .store_scan(&mut big.into_iter(), &[], &json!({}), None, &Progress::default())
        .unwrap_err();
    assert!(error.what.contains("disk is full") && error.cure.is_some(), "{error}");
    let note = ledger.note("order:1", &"long ".repeat(10_000)).unwrap_err();
    assert!(note.what.contains("disk is full"), "{note}");
    assert_eq!(labels(&ledger), ["SFO-1"]);
    assert_eq!(trail(&ledger).len(), 2);
    ledger.store.db.pragma_update(None, "max_page_count", 1 << 30).unwrap();
    ledger.decide(&asking("order:1", Verb::Keep)).unwrap();
    ledger.verify().unwrap();
}

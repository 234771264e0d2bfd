//! Claims and decisions of four consoles over a bad network: requests that come late, twice or never, answers that are
//! lost, leases that run out, screens drawn before somebody else held the case. After each request the ledger must stand as
//! the reference does, and the trail must tell of nothing that must not be.

use crate::reference::{Ask, Decision, Model, No, PEOPLE};
use crate::support::dice::{Dice, seeds};
use restitch::config::{Config, DbUrl, Roles};
use restitch::domain::ErrorKind;
use restitch::domain::case::{FamilyRow, FoundCase, State, Verb};
use restitch::domain::finding::{Finding, Kind};
use restitch::domain::progress::Progress;
use restitch::domain::queue::{AuditLine, Decide};
use restitch::domain::schema::{Entity, Schema};
use restitch::ledger::{Ledger, Who};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const SECOND: i64 = 1_000_000;
const LEASE: i64 = 60 * SECOND;
/// What is done in one seed.
const STEPS: usize = 10;
/// Seeds of one ledger: each has two cases of its own in it.
const CHUNK: u64 = 100;

/// What came up, by name.
type Seen = BTreeMap<&'static str, u64>;

/// A request on its way.
#[derive(Debug, Clone)]
struct Flight {
    console: usize,
    ask: Ask,
}

/// A ledger with four consoles at it, and a clock.
struct Room {
    _folder: TempDir,
    clock: Arc<AtomicI64>,
    consoles: Vec<Ledger>,
}

fn id(seed: u64, case: usize) -> String {
    format!("order:{seed}-{case}")
}

fn found(seed: u64, case: usize) -> FoundCase {
    let key = format!("{seed}-{case}");
    FoundCase {
        id: id(seed, case),
        label: format!("SFO-{key}"),
        action: "New".to_owned(),
        findings: vec![Finding {
            entity: "order".to_owned(),
            key: key.clone(),
            kind: Kind::Lost,
            undone: false,
            since_opening: false,
            there_at_opening: None,
            fields: Vec::new(),
            evidence: Vec::new(),
            rows: Vec::new(),
            moved_to: None,
            other: None,
        }],
        blocked_by: (case == 1).then(|| id(seed, 0)).into_iter().collect(),
        family: vec![FamilyRow {
            entity: "order".to_owned(),
            key: key.clone(),
            kinds: vec![Kind::Lost],
            restored: false,
            bad: None,
            log: Some(true),
            fields: Vec::new(),
            refs: Vec::new(),
        }],
        order: Some(key),
        show: Vec::new(),
        rank: None,
        missing: Vec::new(),
        held: false,
        dies_at: None,
        advice: None,
        outside: Vec::new(),
        fits: Vec::new(),
    }
}

impl Room {
    fn new(of: std::ops::Range<u64>) -> Self {
        // In memory where the system has such a folder: a disk is no subject here.
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let mut config = Config::default();
        "model".clone_into(&mut config.incident.id);
        config.ledger.database.url = DbUrl::Sqlite(folder.path().join("restitch.db"));
        config.schema = Schema {
            entities: vec![Entity {
                name: "order".to_owned(),
                table: "om.orders".to_owned(),
                key: vec!["id".to_owned()],
                ..Entity::default()
            }],
        };
        config.roles = Some(Roles {
            viewer: Vec::new(),
            operator: vec!["ana".to_owned(), "li".to_owned()],
            lead: vec!["sam".to_owned()],
        });
        let clock = Arc::new(AtomicI64::new(1_795_356_300 * SECOND));
        let console = |user: &&str| {
            let who = Who {
                user: (*user).to_owned(),
                system_user: (*user).to_owned(),
                ssh: None,
            };
            let mut ledger = Ledger::open_as(&config, false, who).unwrap();
            let clock = Arc::clone(&clock);
            ledger.set_clock(move || clock.load(Ordering::Relaxed));
            ledger
        };
        let mut consoles: Vec<Ledger> = PEOPLE.iter().map(console).collect();
        let mut cases = of.flat_map(|seed| [found(seed, 0), found(seed, 1)]);
        let report = serde_json::json!({});
        consoles[0]
            .store_scan(&mut cases, &[], &report, None, &Progress::default())
            .unwrap();
        Self {
            _folder: folder,
            clock,
            consoles,
        }
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Asks the ledger; what it answers, the cases by their numbers.
    fn ask(&mut self, seed: u64, flight: &Flight) -> Result<Vec<(usize, State)>, restitch::domain::Error> {
        let ledger = &mut self.consoles[flight.console];
        let lease = Duration::from_micros(LEASE.unsigned_abs());
        match &flight.ask {
            Ask::Claim(case) => ledger.claim(&[id(seed, *case)], lease).map(drop),
            Ask::Drop(case) => ledger.drop_claims(&[id(seed, *case)]),
            Ask::TakeOver(case) => ledger.take_over(&id(seed, *case), "asleep", lease).map(drop),
            Ask::Undo(case) => ledger.undo(&id(seed, *case), "wrong").map(drop),
            Ask::Decide(d) => {
                let decide = Decide {
                    case: id(seed, d.case),
                    key: format!("{seed}-{}", d.key),
                    verb: Some(d.verb),
                    reason: format!("reason {}", d.reason),
                    reference: None,
                    to: None,
                    evidence: None,
                    until: None,
                    confirm: None,
                    fence: d.fence,
                    seen: None,
                };
                let number = |id: &str| usize::from(id.ends_with("-1"));
                let answer = ledger.decide(&decide)?;
                return Ok(answer.iter().map(|(id, state)| (number(id), *state)).collect());
            }
        }
        .map(|()| Vec::new())
    }
}

/// One seed: the consoles, what they remember, and what is on its way.
struct Run<'r> {
    room: &'r mut Room,
    seed: u64,
    dice: Dice,
    model: Model,
    flights: Vec<Flight>,
    /// The fence that each console saw last on each case.
    fences: [[Option<i64>; 2]; PEOPLE.len()],
    /// What each console asked to decide last.
    last: [Option<Decision>; PEOPLE.len()],
    keys: u64,
    log: Vec<String>,
}

impl Run<'_> {
    fn step(&mut self, seen: &mut Seen) {
        match self.dice.roll(12) {
            0 => {
                let seconds = self.dice.pick(&[1, 20, 40, 60, 61]);
                self.pass(seconds);
            }
            1..=4 => self.send(),
            _ if self.flights.is_empty() => {
                self.send();
                self.deliver(seen);
            }
            _ => self.deliver(seen),
        }
    }

    /// A console sends a request, by what its screen shows.
    fn send(&mut self) {
        let console = self.dice.roll(PEOPLE.len());
        let case = self.dice.roll(2);
        let fence = self.fences[console][case];
        let ask = match self.dice.roll(16) {
            // Who does not hold a case mostly claims it, who holds it mostly decides.
            0..=7 if fence.is_none() => Ask::Claim(case),
            0 => Ask::Claim(case),
            8 => Ask::Drop(case),
            9..=10 => Ask::TakeOver(case),
            11..=12 => Ask::Undo(case),
            // A mistake of the client: the key of the last decision with something else in it.
            13 if self.last[console].is_some() => {
                let mut again = self.last[console].clone().unwrap();
                if self.dice.percent(50) {
                    again.reason += 1;
                } else {
                    again.verb = if again.verb == Verb::Keep {
                        Verb::Park
                    } else {
                        Verb::Keep
                    };
                }
                Ask::Decide(again)
            }
            _ => self.decide(console, case),
        };
        self.flights.push(Flight { console, ask });
    }

    /// A new decision, by the fence that the console saw or by none.
    fn decide(&mut self, console: usize, case: usize) -> Ask {
        self.keys += 1;
        let decision = Decision {
            key: self.keys,
            case,
            verb: self.dice.pick(&[Verb::Keep, Verb::Park, Verb::Reapply, Verb::Reapply]),
            reason: 0,
            fence: self.fences[console][case].filter(|_| self.dice.percent(80)),
        };
        self.last[console] = Some(decision.clone());
        Ask::Decide(decision)
    }

    fn pass(&mut self, seconds: i64) {
        self.room.clock.fetch_add(seconds * SECOND, Ordering::Relaxed);
        self.log.push(format!("{seconds} s pass"));
    }

    /// How some seeds begin: so that what needs many steps comes up often enough.
    fn begin(&mut self, seen: &mut Seen) {
        let case = self.dice.roll(2);
        let mut arrive = |run: &mut Self, console, ask| run.arrive(Flight { console, ask }, seen);
        match self.seed % 4 {
            // A console's case went through other hands and came back to another console of the same person.
            0 => {
                arrive(self, 0, Ask::Claim(case));
                self.pass(61);
                arrive(self, 2, Ask::Claim(case));
                arrive(self, 2, Ask::Drop(case));
                arrive(self, 1, Ask::Claim(case));
            }
            // A decision, of which another copy is still on its way.
            1 => {
                arrive(self, 2, Ask::Claim(case));
                let decide = self.decide(2, case);
                arrive(self, 2, decide.clone());
                if self.dice.percent(30) {
                    arrive(self, 2, Ask::Undo(case));
                }
                self.flights.push(Flight {
                    console: 2,
                    ask: decide,
                });
            }
            _ => {}
        }
    }

    /// One of the requests arrives.
    fn deliver(&mut self, seen: &mut Seen) {
        let flight = self.flights.swap_remove(self.dice.roll(self.flights.len()));
        self.arrive(flight, seen);
    }

    /// A request arrives; its answer may not.
    fn arrive(&mut self, flight: Flight, seen: &mut Seen) {
        let by = PEOPLE[flight.console];
        let now = self.room.now();
        let known = matches!(&flight.ask, Ask::Decide(d) if self.model.knows(d.key));
        let lapsed = matches!(&flight.ask, Ask::Claim(c) if self.model.has_lapsed(*c, now));
        let wanted = self.model.ask(by, &flight.ask, now, LEASE);
        let got = self.room.ask(self.seed, &flight);
        self.log.push(format!("{by} {:?}: {wanted:?}", flight.ask));
        match (&got, &wanted) {
            (Ok(got), Ok(wanted)) => assert_eq!(got, wanted, "{}", self.story()),
            (Err(error), Err(no)) => {
                assert_eq!(error.kind, ErrorKind::Refused, "{error} {}", self.story());
                let told = no.says().iter().any(|words| error.what.contains(words));
                assert!(told, "{:?} is not {no:?}: {}", error.what, self.story());
            }
            _ => panic!("the ledger answered {got:?}: {}", self.story()),
        }
        self.stands();
        let mut note = |name: &'static str, came: bool| *seen.entry(name).or_default() += u64::from(came);
        note(
            "a lease ran out and somebody else took the case",
            lapsed && wanted.is_ok(),
        );
        note(
            "a case was decided",
            matches!(flight.ask, Ask::Decide(_)) && !known && wanted.is_ok(),
        );
        note(
            "decided without a claim",
            wanted == Err(No::NobodyHolds) && matches!(flight.ask, Ask::Decide(_)),
        );
        note("a stale fence was refused", wanted == Err(No::StaleFence));
        note("a decision was asked for again under its key", known && wanted.is_ok());
        note("a key came with another content", wanted == Err(No::KeyUsed));
        note("two wanted one case", wanted == Err(No::Held));
        note("a decided case was decided", wanted == Err(No::Decided));
        note(
            "a chain was decided",
            matches!(&wanted, Ok(cases) if cases.len() == 2) && !known,
        );
        note("a chain was held by others", wanted == Err(No::ChainNotMine));
        note(
            "a case was taken over",
            matches!(flight.ask, Ask::TakeOver(_)) && wanted.is_ok(),
        );
        note(
            "a decision was undone",
            matches!(flight.ask, Ask::Undo(_)) && wanted.is_ok(),
        );
        let late = matches!(&flight.ask, Ask::Decide(d) if known && self.model.sight(d.case, now).1.is_none());
        note("a late copy came after the undo", late && wanted.is_ok());
        let (lost, doubled) = (self.dice.percent(15), self.dice.percent(5));
        if lost || doubled {
            note("an answer was lost, or a request doubled", true);
            self.flights.push(flight);
        } else {
            // What a console was told stays on its screen, however it stands by now.
            let case = flight.ask.case();
            let held = self.model.sight(case, now).2.filter(|(holder, ..)| *holder == by);
            self.fences[flight.console][case] = held.map(|(_, _, fence)| fence);
        }
    }

    /// The ledger stands as the reference does.
    fn stands(&self) {
        let now = self.room.now();
        let ids = [id(self.seed, 0), id(self.seed, 1)];
        let rows = self.room.consoles[0].rows_of(&[&ids[0], &ids[1]]).unwrap();
        assert_eq!(rows.len(), 2);
        for (case, row) in rows.iter().enumerate() {
            let (state, verb, held) = self.model.sight(case, now);
            let claim = row.claim.as_ref().map(|c| (c.by.as_str(), c.until, c.fence));
            assert_eq!(
                (row.state, row.verb, claim),
                (state, verb, held),
                "case {case} {}",
                self.story()
            );
        }
    }

    fn story(&self) -> String {
        format!("\nRESTITCH_SEED={}\n{}", self.seed, self.log.join("\n"))
    }
}

fn run(room: &mut Room, seed: u64, came_up: &mut Seen) {
    // The leases of the seed before have run out.
    room.clock.fetch_add(2 * LEASE, Ordering::Relaxed);
    let lines = room.consoles[0].newest_line().unwrap();
    let mut run = Run {
        room,
        seed,
        dice: Dice::new(seed),
        model: Model::new(),
        flights: Vec::new(),
        fences: Default::default(),
        last: Default::default(),
        keys: 0,
        log: Vec::new(),
    };
    run.begin(came_up);
    for _ in 0..STEPS {
        run.step(came_up);
    }
    let written = run.room.consoles[0].newest_line().unwrap() - lines;
    assert_eq!(written, run.model.lines, "lines of the trail {}", run.story());
}

/// By the trail alone: nobody decided a case that somebody else held or nobody did, or that was decided already, and no
/// decision was written twice.
fn holds_by_the_trail(ledger: &Ledger) {
    let mut holders: HashMap<String, String> = HashMap::new();
    let mut standing: HashMap<String, String> = HashMap::new();
    let mut written: HashMap<(String, String), u64> = HashMap::new();
    let mut lines = 0;
    let mut each = |line: AuditLine| {
        lines += 1;
        let (Some(case), "ok") = (line.case, line.outcome.as_str()) else {
            return;
        };
        match line.action.as_str() {
            "claim" | "takeover" => _ = holders.insert(case, line.who),
            "drop" => _ = holders.remove(&case),
            "undo" => _ = standing.remove(&case),
            "decide" => {
                assert_eq!(
                    holders.get(&case),
                    Some(&line.who),
                    "who decided {case} does not hold it"
                );
                let key = line.key.unwrap();
                *written.entry((case.clone(), key.clone())).or_default() += 1;
                assert_eq!(
                    written[&(case.clone(), key)],
                    1,
                    "{case} was decided twice under one key"
                );
                let before = standing.insert(case.clone(), line.verb.unwrap());
                assert!(before.is_none_or(|verb| verb == "park"), "{case} was decided twice");
            }
            other => panic!("{other} of {case}"),
        }
    };
    ledger
        .audit(&mut |line| {
            each(line);
            Ok(())
        })
        .unwrap();
    assert_eq!(ledger.verify().unwrap(), lines);
}

#[test]
fn consoles_over_a_bad_network_leave_the_ledger_as_the_reference_says() {
    let all = seeds(20_000, 10_000_000);
    let next = AtomicU64::new(all.start);
    let seen = Mutex::new(Seen::new());
    let work = || {
        let mut own = Seen::new();
        loop {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            let chunk = from..all.end.min(from + CHUNK);
            if chunk.is_empty() {
                break;
            }
            let mut room = Room::new(chunk.clone());
            for seed in chunk {
                run(&mut room, seed, &mut own);
            }
            holds_by_the_trail(&room.consoles[0]);
        }
        for (name, n) in own {
            *seen.lock().unwrap().entry(name).or_default() += n;
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(work);
        }
    });
    let seen = seen.into_inner().unwrap();
    println!("{} seeds: {seen:#?}", all.end - all.start);
    if all.end - all.start > 1 {
        assert_eq!(seen.len(), 14, "{seen:#?}");
        assert!(seen.values().all(|n| *n >= 100), "a fault never came up: {seen:#?}");
    }
}

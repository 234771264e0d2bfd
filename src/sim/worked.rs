//! A test that works the demo to the end as a person would, without a terminal: every case decided, every decision
//! carried out by the simulated order system, and everything proven.

use super::{Demo, ORDER_SYSTEM, ORDERS, Pace};
use crate::domain::case::{State, Verb};
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::progress::Progress;
use crate::domain::queue::{CaseFile, Decide, Filter};
use crate::job;
use crate::ledger::{Ledger, Who, new_key};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Nobody waits longer than this for a thing to happen; it takes a fraction of it.
const PATIENCE: Duration = Duration::from_mins(2);

struct Night {
    demo: Demo,
    ledger: Ledger,
    db: Connection,
    began: Instant,
}

impl Night {
    fn begin(seed: u64, orders: usize) -> Self {
        let mut demo = Demo::new(seed, orders).unwrap();
        let who = Who {
            user: "ana".to_owned(),
            system_user: "ana".to_owned(),
            ssh: None,
        };
        let mut ledger = Ledger::open_as(demo.config(), false, who).unwrap();
        let clock = demo.clock().clone();
        ledger.set_clock(move || clock.now());
        demo.start(Pace::times_faster(100)).unwrap();
        let db = Connection::open(demo.folder().join("restored.db")).unwrap();
        Self {
            demo,
            ledger,
            db,
            began: Instant::now(),
        }
    }

    fn scan(&mut self) -> job::Scanned {
        job::scan(self.demo.config(), &mut self.ledger, None, &Progress::default()).unwrap()
    }

    fn wait(&self, why: &str, until: impl Fn(&Ledger) -> bool) {
        while !until(&self.ledger) {
            if self.began.elapsed() > PATIENCE {
                let stuck = self.ledger.to_prove(None).unwrap();
                let stuck: Vec<_> = stuck
                    .iter()
                    .map(|f| (&f.found.findings, f.state, &f.decision))
                    .collect();
                let triage = self.ledger.phases().unwrap().pop().unwrap();
                panic!("{why}: {triage:?}: {stuck:#?}");
            }
            // The condition is awaited; the ledger is a file and tells nobody.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn undecided(&self) -> Vec<String> {
        let mut ids = Vec::new();
        let mut each = |row: crate::domain::queue::CaseRow| {
            let mine = row.claim.is_none_or(|c| c.by == "ana");
            if row.state.is_decidable() && mine {
                ids.push(row.id.into());
            }
            true
        };
        self.ledger.each_row(&Filter::default(), &mut each).unwrap();
        ids
    }

    /// Decides one case; the verbs take turns where several fit. Says which it was.
    fn decide(&mut self, id: &str, turn: usize) -> Option<Verb> {
        const TURNS: [Verb; 6] = [
            Verb::Reapply,
            Verb::Resubmit,
            Verb::Complete,
            Verb::Cancel,
            Verb::Relink,
            Verb::Keep,
        ];
        let file = self.ledger.case(id).unwrap().unwrap();
        if !file.state.is_decidable() {
            return None;
        }
        let chain = self.ledger.chain(id).unwrap();
        // The colleague holds one of them: later.
        self.ledger.claim(&chain, Duration::from_mins(1)).ok()?;
        let offers = self.ledger.offers(id).unwrap();
        // One decision points one reference elsewhere: where two are missing the proof would fail.
        let lacks_one = file.found.missing.len() == 1;
        let allowed = |verb: Verb| {
            (verb != Verb::Relink || lacks_one) && offers.iter().any(|o| o.verb == verb && o.refused.is_none())
        };
        let advised = offers.iter().find(|o| o.advised).map(|o| o.verb);
        let advised = advised.filter(|v| !matches!(v, Verb::Park | Verb::Escalate) && allowed(*v));
        let moved = file.found.findings.iter().find_map(|f| f.moved_to.clone());
        let mut verbs = (0..TURNS.len()).map(|n| TURNS[(turn + n) % TURNS.len()]);
        let verb = match advised {
            _ if file.disproven => Verb::Keep,
            Some(Verb::Supersede) if moved.is_none() => Verb::Keep,
            Some(verb) => verb,
            None => verbs.find(|v| allowed(*v)).unwrap(),
        };
        let (reference, to) = match verb {
            Verb::Relink => self.other_row(&file)?,
            Verb::Supersede => (None, moved),
            _ => (None, None),
        };
        let decided = self.ledger.decide(&Decide {
            case: id.to_owned(),
            key: new_key(),
            verb: Some(verb),
            reason: "the night is long".to_owned(),
            reference,
            to,
            evidence: Some("billing confirms".to_owned()),
            ..Decide::default()
        });
        let decided = decided.unwrap_or_else(|e| panic!("{} {id}: {e}", verb.name()));
        assert!(decided.iter().any(|(case, _)| case == id));
        // Half of the cases are given back, so that the order system meets held and free ones.
        if turn.is_multiple_of(2) {
            self.ledger.drop_claims(&chain).unwrap();
        }
        Some(verb)
    }

    /// A referring column whose row is missing, and a row that is there instead.
    fn other_row(&self, file: &CaseFile) -> Option<(Option<String>, Option<String>)> {
        let refs = file.found.family.iter().flat_map(|row| &row.refs);
        let lacking = refs.into_iter().find(|r| file.found.lacks(r))?;
        if let Some(fit) = file.found.fits.iter().find(|f| f.missing == lacking.to) {
            return Some((Some(lacking.column.clone()), fit.to.first().cloned()));
        }
        let schema = &self.demo.config().schema;
        let entity = &schema.entities[schema.index(&lacking.to.entity).unwrap()];
        let column = lacking.to.column.as_ref().unwrap_or(&entity.key[0]);
        let sql = format!("select cast(min({column}) as text) from {}", entity.table);
        let to = self.db.query_row(&sql, [], |r| r.get(0)).unwrap();
        Some((Some(lacking.column.clone()), Some(to)))
    }
}

#[test]
fn the_demo_is_worked_to_zero_and_everything_is_proven() {
    let verbs = work(1, ORDERS);
    for verb in [
        "reapply",
        "resubmit",
        "complete",
        "cancel",
        "relink",
        "supersede",
        "keep",
    ] {
        assert!(verbs.contains_key(verb), "never decided: {verb}: {verbs:?}");
    }
}

#[test]
fn held_orders_come_in_and_parked_cases_come_back() {
    let mut night = Night::begin(5, 300);
    night.scan();
    let parked = night.undecided().into_iter().find_map(|id| {
        let chain = night.ledger.chain(&id).unwrap();
        night.ledger.claim(&chain, Duration::from_mins(1)).ok()?;
        let park = Decide {
            case: id.clone(),
            key: new_key(),
            verb: Some(Verb::Park),
            reason: "waits until services are back".to_owned(),
            ..Decide::default()
        };
        night.ledger.decide(&park).unwrap();
        night.ledger.drop_claims(&chain).unwrap();
        Some(id)
    });
    let parked = parked.expect("one can be parked");
    let state = |ledger: &Ledger| ledger.case(&parked).unwrap().unwrap().state;
    assert_eq!(state(&night.ledger), State::Parked);
    night.wait("the parked case does not come back", |ledger| {
        state(ledger) == State::Open
    });
    let waiting = super::replay::waiting(&night.ledger).unwrap();
    let held = night.demo.held_orders();
    assert!(!waiting.is_empty() && waiting.len() < held.len(), "{waiting:?}");
    for order in &held {
        let sql = "select count(*) from orders join order_items on order_id = orders.id where order_number = ?1";
        let items: i64 = night.db.query_row(sql, [order], |r| r.get(0)).unwrap();
        assert_eq!(items, i64::from(!waiting.contains(order)), "{order}");
    }
    let again = night.scan().counts;
    assert_eq!(again.opened, 0, "held orders that came in are no damage");
}

#[test]
fn small_demos_are_worked_to_zero_as_well() {
    for (seed, orders) in [(2, 1), (3, 12), (4, 150)] {
        work(seed, orders);
    }
}

/// Works a demo to the end; gives how often each verb was decided.
fn work(seed: u64, orders: usize) -> BTreeMap<&'static str, usize> {
    let mut night = Night::begin(seed, orders);
    let scanned = night.scan();
    let total = scanned.counts.opened;
    assert!(total > 0);
    let mut turn = 0;
    let mut verbs: BTreeMap<&'static str, usize> = BTreeMap::new();
    loop {
        for id in night.undecided() {
            turn += 1;
            if let Some(verb) = night.decide(&id, turn) {
                *verbs.entry(verb.name()).or_default() += 1;
            }
        }
        // Something to decide again, or the end.
        night.wait("nothing happens any more", |ledger| {
            let counts = ledger.counts().unwrap();
            counts.of(State::Open) > 0 || counts.unsettled() == 0
        });
        let counts = night.ledger.counts().unwrap();
        if counts.unsettled() == 0 {
            break;
        }
        if counts.of(State::Open) > 0 {
            // What did not hold has changed the database all the same: look before deciding again.
            night.scan();
        }
    }
    let counts = night.ledger.counts().unwrap();
    // A case that waited may be gone: what it lacked came back with another.
    let (proven, gone) = (counts.of(State::Proven), counts.of(State::Gone));
    assert_eq!((counts.total(), proven + gone), (total, total));
    assert!(gone * 10 <= total, "{gone} of {total} went by themselves");

    // Looking again opens nothing: what is left in the database follows from what was decided.
    let again = night.scan().counts;
    // What opened again says in the failure what was found, and what was decided before.
    let opened: Vec<_> = night
        .undecided()
        .iter()
        .map(|id| night.ledger.case(id).unwrap().unwrap())
        .map(|file| (file.found.findings, file.decision))
        .collect();
    assert!(opened.is_empty(), "{opened:#?}");
    assert_eq!((again.opened, again.total), (0, total));

    // The restore has walked every phase, and each says that it is simulated.
    night.wait("the restore does not end", |ledger| {
        // What the gate says of a file is its own affair: it may not be able to tell.
        let done = |p: &PhaseLine| p.state == PhaseState::Done || p.phase == Phase::Gate;
        ledger.phases().unwrap().iter().all(done)
    });
    let hold = night.ledger.hold_clock().unwrap().unwrap();
    assert!(hold.held > 0 && hold.rescued == hold.held);
    let (mut proofs, mut red) = (0, false);
    let mut each = |line: crate::domain::queue::AuditLine| {
        let why = line.why.as_deref().unwrap_or_default();
        red |= why.starts_with("gate failed: RED");
        // Whoever scans asks the gate as well.
        if matches!(&*line.action, "phase" | "done" | "prove") && !why.starts_with("gate ") {
            assert_eq!(line.who, ORDER_SYSTEM, "{line:?}");
            proofs += usize::from(line.action == "prove");
        }
        Ok(())
    };
    night.ledger.audit(&mut each).unwrap();
    // Of a handful of orders none may show that the first restore ended too late.
    assert!(red || orders < 100, "the gate of the first restore was not red");
    let kept = verbs.get("keep").copied().unwrap_or_default();
    assert!(proofs + kept >= usize::try_from(proven).unwrap());
    night.ledger.verify().unwrap();
    let folder = night.demo.folder().to_owned();
    drop(night);
    assert!(!folder.exists());
    verbs
}

//! A console that decides, as a process of its own that can be killed: this binary run again. It says what it is about to ask
//! for and what it was answered, line by line:
//!
//! | line | when |
//! | --- | --- |
//! | `up` | before it opens the ledger, which settles what an earlier one left |
//! | `settled WORDS` | such a decision, and what became of it |
//! | `try KEY` | before a decision is asked for |
//! | `ack KEY` | after it was answered |

use crate::contract::{MINUTE, Verb, asking};
use crate::raw::Raw;
use crate::room::Room;
use crate::truth::Told;
use crate::{store_orders, with_effects};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

const ORDERS: &str = "RESTITCH_DECIDER";

/// What a decider is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    pub port: u16,
    pub db: String,
    pub person: String,
    /// It decides the orders from here, up to there.
    pub from: usize,
    pub to: usize,
    /// The folder of the decisions that are not answered yet.
    pub decisions: PathBuf,
    pub sabotage: Option<Sabotage>,
}

impl Orders {
    pub fn of(room: &Room, person: &str, cases: Range<usize>, decisions: &Path) -> Self {
        Self {
            port: room.pg.port,
            db: room.db.clone(),
            person: person.to_owned(),
            from: cases.start,
            to: cases.end,
            decisions: decisions.to_owned(),
            sabotage: None,
        }
    }
}

/// Work that a planted bug leaves to the console, after the ledger answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sabotage {
    /// The row of the effect.
    EffectOutside,
    /// The line of the trail.
    AuditOutside,
}

impl Sabotage {
    /// What is left to do after this decision was answered.
    fn late(self, key: &str) -> String {
        match self {
            Self::EffectOutside => format!(
                "INSERT INTO restitch.kept_effects (key, incident, attempt, of, does, cases, plan, leaves_at, state)
                 SELECT d.key, d.incident, d.attempt, d.key, 'sql', '[]', '{{}}', d.at, 'queued'
                 FROM restitch.kept_decisions d WHERE d.key = '{key}' AND d.verb = 'reapply'"
            ),
            Self::AuditOutside => format!(
                "SET search_path = restitch, pg_temp;
                 SELECT restitch.audit(ROW(d.incident, i.name, 1, NULL, d.\"by\", d.\"by\", NULL, d.at)::restitch.act,
                                       'decide', c.id, d.verb, d.key, 'ok', d.reason)
                 FROM restitch.kept_decisions d JOIN restitch.kept_incidents i ON i.no = d.incident
                 JOIN restitch.kept_cases c ON c.decision = d.key WHERE d.key = '{key}'"
            ),
        }
    }
}

/// A running decider.
pub struct Decider {
    process: Child,
    out: BufReader<ChildStdout>,
    said: String,
}

impl Decider {
    /// Starts one; it is `up` when this returns.
    pub fn start(orders: &Orders) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["decider::decides", "--exact", "--nocapture", "--test-threads=1"])
            .env(ORDERS, serde_json::to_string(orders).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let said = String::new();
        let mut decider = Self { process, out, said };
        decider.says("up");
        decider
    }

    /// Waits until it says that.
    pub fn says(&mut self, word: &str) {
        let mut line = String::new();
        while !line.starts_with(word) {
            line.clear();
            assert!(
                self.out.read_line(&mut line).unwrap() > 0,
                "a decider ends before it says {word}"
            );
            self.said.push_str(&line);
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
    }

    /// How it ended, and all it said.
    pub fn ended(mut self) -> (ExitStatus, Vec<String>) {
        self.out.read_to_string(&mut self.said).unwrap();
        let status = self.process.wait().unwrap();
        (status, self.said.lines().map(str::to_owned).collect())
    }
}

/// What stands after a word in what was said.
pub fn after(said: &[String], word: &str) -> Vec<String> {
    said.iter()
        .filter_map(|l| l.strip_prefix(word))
        .map(str::to_owned)
        .collect()
}

/// The file of a decision that was not answered yet.
pub fn intent(decisions: &Path, key: &str) -> PathBuf {
    decisions.join(format!("{key}.json"))
}

/// The decisions that were not answered yet.
pub fn intents(decisions: &Path) -> usize {
    fs::read_dir(decisions).map_or(0, |files| {
        files
            .filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "json"))
            .count()
    })
}

/// What every decider does: claim an order, decide it, and so on. Every other one writes rows.
fn decide(orders: &Orders) {
    // The harness has begun a line.
    println!("\nup");
    let mut config = Room::at(orders.port, &orders.db, orders.decisions.clone());
    with_effects(&mut config);
    let mut ledger = Room::open_as(&config, &orders.person, false).unwrap();
    for line in ledger.resumed() {
        println!("settled {line}");
    }
    let late = orders
        .sabotage
        .map(|what| (what, Raw::at(orders.port, &orders.db, "demo")));
    for k in orders.from..orders.to {
        let case = format!("order:{k}");
        ledger.claim(std::slice::from_ref(&case), MINUTE).unwrap();
        let asked = asking(&case, if k % 2 == 0 { Verb::Reapply } else { Verb::Keep });
        println!("try {}", asked.key);
        ledger.decide(&asked).unwrap();
        println!("ack {}", asked.key);
        if let Some((what, raw)) = &late {
            raw.sql(&what.late(&asked.key)).unwrap();
        }
    }
}

/// Run again by [`Decider::start`], this is the decider. By itself it tells that one does what it says.
#[test]
fn decides() {
    if let Ok(orders) = std::env::var(ORDERS) {
        return decide(&serde_json::from_str(&orders).unwrap());
    }
    let mut room = Room::on_time();
    with_effects(&mut room.config);
    store_orders(&mut room.open("ana"), 4);
    let decisions = tempfile::tempdir().unwrap();
    let orders = Orders::of(&room, "ana", 0..4, decisions.path());
    let (status, said) = Decider::start(&orders).ended();
    assert!(status.success(), "{said:?}");
    let (tries, acks) = (after(&said, "try "), after(&said, "ack "));
    assert_eq!((tries.len(), &tries), (4, &acks));
    assert_eq!(
        room.sql("SELECT string_agg(key, ',' ORDER BY key) FROM restitch.kept_decisions"),
        tries.join(",")
    );
    assert_eq!(room.sql("SELECT count(*) FROM restitch.kept_effects"), "2");
    assert_eq!(intents(decisions.path()), 0);
    Told {
        done: acks,
        ..Told::default()
    }
    .assert_holds(&room);
}

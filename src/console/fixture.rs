//! Cases for the tests of the console: a small night with one of everything.

mod watched;

use super::model::case::{Choice, Loaded, Way};
use super::model::diff::{Group, Tally};
use super::model::{Model, Setup, Source};
use crate::domain::case::{Advice, FamilyField, FamilyRef, FamilyRow, FoundCase, Happened, Outside, State, Verb};
use crate::domain::finding::{Evidence, FieldDiff, Finding, Kind, Missing, RowState};
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::queue::{CaseFile, CaseRow, Claim, Counts, Decision, HoldClock, Note};
use serde_json::json;
pub use watched::{hold_reading, night, red_gate, restoring, scanned};

/// 2026-11-22T14:05:00Z
pub const T: i64 = 1_795_356_300_000_000;
/// 14:31:00Z
pub const STOP: i64 = T + 26 * 60_000_000;
/// 14:41:07Z: now.
pub const NOW: i64 = T + (36 * 60 + 7) * 1_000_000;

pub fn setup() -> Setup {
    Setup {
        incident: "om-prod".to_owned(),
        attempt: 1,
        restored_to: Some(T),
        stopped_at: Some(STOP),
        who: "ana".to_owned(),
        role: "operator".to_owned(),
        may_act: true,
        readonly: false,
        session: "s1".to_owned(),
        show: vec!["account_id".to_owned()],
        mask: vec![("order".to_owned(), "msisdn".to_owned())],
        reasons: crate::config::Reasons::default(),
        scan_at_start: false,
    }
}

/// A model with its rows, sums and phases, as after the first reading.
pub fn model() -> Model {
    let mut model = Model::new(setup(), NOW, (80, 24));
    let reading = model.queue.begin(NOW, 0);
    assert_eq!(reading, 1);
    model.queue.append(rows(), true, "ana", NOW);
    model.counts = Some(counts());
    model.phases = Some(phases());
    model.hold = Some(hold());
    model.sources = sources();
    model
}

pub fn sources() -> Vec<Source> {
    let source = |name: &str, ago: i64| Source {
        name: name.to_owned(),
        read_at: Some(NOW - ago * 1_000_000),
        lost_since: None,
        late_after: 0,
    };
    vec![source("restored", 2), source("log", 2)]
}

pub fn hold() -> HoldClock {
    HoldClock {
        held: 1204,
        rescued: 1167,
        lost: 0,
        loss_from: Some(T + (47 * 60 + 9) * 1_000_000),
    }
}

pub fn counts() -> Counts {
    let mut counts = Counts {
        states: [420, 40, 0, 0, 31, 8, 113, 0],
        ..Counts::default()
    };
    counts.kinds = [96, 3, 120, 7, 2, 250, 18, 1, 2, 0];
    counts.lost_and_orphaned = 28;
    counts
}

pub fn phases() -> Vec<PhaseLine> {
    let line = |phase, state, since: Option<i64>, took: Option<i64>, evidence: &str| PhaseLine {
        phase,
        state,
        since: since.map(|m| STOP + m * 1_000_000),
        took: took.map(|s| s * 1_000_000),
        evidence: evidence.to_owned(),
        per_mille: None,
    };
    let mut phases = vec![
        line(
            Phase::OrgTold,
            PhaseState::Done,
            Some(2),
            Some(4),
            "OM+ Status: Offline (read 14:33); webhook 200",
        ),
        line(Phase::PodsDown, PhaseState::Done, Some(40), Some(38), "0 of 42 running"),
        line(
            Phase::Restoring,
            PhaseState::Running,
            Some(78),
            None,
            "recovery at 13:58:12Z, to 14:05:00Z",
        ),
    ];
    phases[2].per_mille = Some(733);
    for phase in Phase::ALL.into_iter().skip(3) {
        phases.push(line(
            phase,
            PhaseState::Waiting,
            None,
            None,
            "nothing watches this phase",
        ));
    }
    phases
}

pub fn claim(by: &str) -> Claim {
    Claim {
        by: by.to_owned(),
        until: NOW + 60_000_000,
        fence: 3,
    }
}

/// A plain lost order, the `n`th of many.
pub fn row(n: usize) -> CaseRow {
    CaseRow {
        id: format!("order:{n}").into(),
        label: format!("SFO-{n}").into(),
        action: "New".into(),
        kinds: vec![Kind::Lost],
        undone: false,
        state: State::Open,
        verb: None,
        claim: None,
        blocked_by: Vec::new(),
        waited_for: 0,
        show: vec![format!("ACC-{n}").into()],
        disproven: false,
        due: false,
        dies_at: None,
    }
}

/// The queue of the drawings.
pub fn rows() -> Vec<CaseRow> {
    let named = |n: usize, label: &str, account: &str, kinds: &[Kind]| CaseRow {
        label: label.into(),
        kinds: kinds.to_vec(),
        show: vec![account.into()],
        ..row(n)
    };
    vec![
        CaseRow {
            action: "Change".into(),
            claim: Some(claim("ana")),
            blocked_by: vec![("order:41".into(), "SFO-77".into())],
            waited_for: 1,
            ..named(958, "SFM-12", "ACC-M", &[Kind::Lost, Kind::Orphaned])
        },
        CaseRow {
            waited_for: 3,
            ..named(41, "SFO-77", "ACC-311", &[Kind::Lost])
        },
        CaseRow {
            claim: Some(claim("li")),
            ..named(90, "SFO-90", "ACC-12", &[Kind::Regressed])
        },
        named(91, "SFO-91", "ACC-12", &[Kind::InDoubt]),
        named(92, "SFO-92", "ACC-13", &[Kind::Lost]),
        CaseRow {
            dies_at: Some(T + (47 * 60 + 9) * 1_000_000),
            ..named(118, "SFH-118", "ACC-7", &[Kind::Orphaned])
        },
        CaseRow {
            state: State::ToDo,
            verb: Some(Verb::Cancel),
            claim: Some(claim("ana")),
            ..named(93, "SFO-93", "ACC-14", &[Kind::Undeleted])
        },
        CaseRow {
            state: State::Parked,
            verb: Some(Verb::Park),
            ..named(94, "SFO-94", "ACC-15", &[Kind::Lost])
        },
        CaseRow {
            disproven: true,
            verb: Some(Verb::Reapply),
            ..named(95, "SFO-95", "ACC-16", &[Kind::Lost])
        },
        CaseRow {
            state: State::Proven,
            verb: Some(Verb::Keep),
            ..named(3, "SFO-3", "ACC-3", &[Kind::Lost])
        },
    ]
}

pub fn evidence(position: &str, seconds: i64) -> Evidence {
    Evidence {
        source: "cdc".to_owned(),
        position: position.to_owned(),
        ts: Some(crate::domain::time::format(T + seconds * 1_000_000)),
    }
}

fn finding(entity: &str, key: &str, kind: Kind, evidence: Vec<Evidence>) -> Finding {
    Finding {
        entity: entity.to_owned(),
        key: key.to_owned(),
        kind,
        undone: false,
        since_opening: false,
        there_at_opening: None,
        fields: Vec::new(),
        evidence,
        rows: Vec::new(),
        moved_to: None,
        other: None,
    }
}

fn field(name: &str, restored: Option<&str>, log: &str, by: Evidence) -> FamilyField {
    let restored = restored.map(|r| json!(r));
    let log = Some(json!(log));
    FamilyField {
        name: name.to_owned(),
        differs: restored != log,
        restored,
        log,
        by: Some(by),
        coarse: None,
    }
}

fn outside(name: &str, state: Happened, at: Option<&str>) -> Outside {
    Outside {
        item: None,
        name: name.to_owned(),
        state,
        at: at.map(str::to_owned),
        why: "the log".to_owned(),
        evidence: None,
        again: false,
    }
}

fn file(found: FoundCase) -> CaseFile {
    CaseFile {
        found,
        state: State::Open,
        claim: None,
        disproven: false,
        decision: None,
        effect: None,
        notes: Vec::new(),
        waited_for_by: Vec::new(),
    }
}

/// SFM-12: a lost change of a lost order's asset.
pub fn orphan() -> CaseFile {
    let family = vec![
        FamilyRow {
            entity: "order".to_owned(),
            key: "958".to_owned(),
            kinds: vec![Kind::Lost],
            restored: false,
            bad: None,
            log: Some(true),
            fields: vec![
                field("status", None, "Activated", evidence("9911", 251)),
                field("msisdn", None, "+15550100", evidence("9911", 251)),
            ],
            refs: vec![FamilyRef {
                column: "prior_order_id".to_owned(),
                to: Missing {
                    entity: "order".to_owned(),
                    column: None,
                    key: "40".to_owned(),
                },
                present: true,
            }],
        },
        FamilyRow {
            entity: "order_item".to_owned(),
            key: "1201".to_owned(),
            kinds: vec![Kind::Lost],
            restored: false,
            bad: None,
            log: Some(true),
            fields: vec![field("action", None, "Change", evidence("9912", 252))],
            refs: vec![FamilyRef {
                column: "inventory_item_id".to_owned(),
                to: Missing {
                    entity: "inventory_item".to_owned(),
                    column: None,
                    key: "12".to_owned(),
                },
                present: false,
            }],
        },
        FamilyRow {
            entity: "plan".to_owned(),
            key: "973".to_owned(),
            kinds: vec![],
            restored: true,
            bad: None,
            log: Some(true),
            fields: vec![field("state", Some("Running"), "Running", evidence("9034", -120))],
            refs: vec![],
        },
    ];
    CaseFile {
        claim: Some(claim("ana")),
        notes: vec![Note {
            by: "li".to_owned(),
            at: NOW - 60_000_000,
            text: "billing was asked".to_owned(),
        }],
        waited_for_by: vec![("order:977".to_owned(), "SFM-15".to_owned())],
        ..file(FoundCase {
            id: "order:958".to_owned(),
            order: Some("958".to_owned()),
            label: "SFM-12".to_owned(),
            action: "Change".to_owned(),
            show: vec!["ACC-M".to_owned()],
            rank: None,
            findings: vec![
                finding("order", "958", Kind::Lost, vec![evidence("9911", 251)]),
                finding("order", "958", Kind::Orphaned, vec![]),
                finding("order_item", "1201", Kind::Lost, vec![evidence("9912", 252)]),
            ],
            missing: vec![Missing {
                entity: "inventory_item".to_owned(),
                column: None,
                key: "12".to_owned(),
            }],
            blocked_by: vec!["order:41".to_owned()],
            held: false,
            dies_at: None,
            advice: Some(Advice {
                verb: Verb::Park,
                why: "inventory item 12 was lost with SFO-77, which is decided first".to_owned(),
            }),
            outside: vec![
                outside("billing.activate", Happened::Done, Some("2026-11-22T14:08:59Z")),
                outside("hlr.provision", Happened::Done, Some("2026-11-22T14:09:04Z")),
                outside("mail.confirm", Happened::Unknown, None),
            ],
            fits: Vec::new(),
            family,
        })
    }
}

/// SFO-90: there, but older than the log says, and in doubt.
pub fn regressed() -> CaseFile {
    let by = evidence("8800", 30);
    let mut row = finding("order", "90", Kind::Regressed, vec![by.clone()]);
    row.fields.push(FieldDiff {
        name: "status".to_owned(),
        restored: json!("Created"),
        log: json!("Accepted"),
        by: 0,
        opening: None,
        undone: false,
    });
    row.fields.push(FieldDiff {
        name: "msisdn".to_owned(),
        restored: json!("+15550101"),
        log: json!("+15550102"),
        by: 0,
        opening: None,
        undone: false,
    });
    let mut doubt = finding("order", "90", Kind::InDoubt, vec![]);
    doubt.rows.push(RowState {
        entity: "plan".to_owned(),
        key: "9".to_owned(),
        state: "Running".to_owned(),
    });
    file(FoundCase {
        id: "order:90".to_owned(),
        order: Some("90".to_owned()),
        label: "SFO-90".to_owned(),
        action: "New".to_owned(),
        show: vec!["ACC-12".to_owned()],
        rank: None,
        findings: vec![row, doubt],
        missing: vec![],
        blocked_by: vec![],
        held: false,
        dies_at: None,
        advice: Some(Advice {
            verb: Verb::Reapply,
            why: "plain values differ".to_owned(),
        }),
        outside: Vec::new(),
        fits: Vec::new(),
        family: vec![FamilyRow {
            entity: "order".to_owned(),
            key: "90".to_owned(),
            kinds: vec![Kind::Regressed],
            restored: true,
            bad: None,
            log: Some(true),
            fields: vec![
                field("status", Some("Created"), "Accepted", by.clone()),
                field("msisdn", Some("+15550101"), "+15550102", by.clone()),
                field("segment", Some("gold"), "gold", by),
            ],
            refs: vec![],
        }],
    })
}

/// SFO-93: decided, waiting for a person.
pub fn to_do() -> CaseFile {
    let mut case = regressed();
    case.found.id = "order:93".to_owned();
    case.found.label = "SFO-93".to_owned();
    case.state = State::ToDo;
    case.claim = Some(claim("ana"));
    case.decision = Some(Decision {
        key: "s1-1".to_owned(),
        verb: Verb::Cancel,
        reason: "customer was called".to_owned(),
        by: "ana".to_owned(),
        at: NOW - 120_000_000,
        reference: None,
        to: None,
        evidence: None,
        until: None,
        steps: vec![
            "cancel SFO-93 in the order system".to_owned(),
            "write down its ticket".to_owned(),
        ],
        assignee: Some("ana".to_owned()),
        wanted: Some("the order's state after it".to_owned()),
        proof: Some((Some(false), "order 93 is Created".to_owned())),
    });
    case
}

/// A choice for every verb, as a holder has them.
pub fn choices() -> Vec<Choice> {
    Verb::ALL
        .into_iter()
        .map(|verb| Choice {
            verb,
            what: match verb {
                Verb::Reapply => "re-create SFO-77, inventory 12, SFM-12: 6 rows".to_owned(),
                Verb::Keep => "stays as restored".to_owned(),
                verb => format!("{} it, by a person outside", verb.name()),
            },
            refused: (verb == Verb::Resubmit).then(|| "billing.activate is DONE, it would be done twice".to_owned()),
            way: match verb {
                Verb::Cancel => Way::OneWay,
                Verb::Complete => Way::Compensable,
                _ => Way::Reversible,
            },
            back: Some(match verb {
                Verb::Cancel => "nothing takes it back".to_owned(),
                _ => "undo takes the to-do back".to_owned(),
            }),
            steps: vec![format!("{} SFM-12 in the order system", verb.name())],
            wanted: (verb != Verb::Keep).then(|| "the order's state after it".to_owned()),
            asks: None,
            seen: None,
            also: if verb == Verb::Reapply {
                vec!["order:41".to_owned()]
            } else {
                vec![]
            },
        })
        .collect()
}

pub fn loaded(file: CaseFile) -> Box<Loaded> {
    Box::new(Loaded {
        file,
        choices: choices(),
        read_at: NOW,
    })
}

/// The counts of the Diff view over the cases here.
pub fn groups() -> Vec<Group> {
    let mut tally = Tally::new(setup().span().unwrap());
    tally.add(&orphan().found);
    tally.add(&regressed().found);
    tally.groups(&[])
}

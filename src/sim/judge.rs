//! Tests that hold the scan against the truth, finding by finding.

use super::{Incident, ORDERS, TrueCase, TrueFinding, Truth};
use crate::config::{Config, Overrides, Surroundings, load_in};
use crate::domain::case::FoundCase;
use crate::domain::finding::Kind;
use crate::domain::progress::Progress;
use crate::domain::time;
use crate::restored::sqlite::Sqlite;
use crate::scan::{self, Outcome, Past};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;

fn config(incident: &Incident, folder: &Path) -> Config {
    let overrides = Overrides {
        config: Some(incident.write(folder).unwrap()),
        ..Overrides::default()
    };
    load_in(&overrides, &Surroundings::default()).unwrap()
}

/// Scans the incident, after somebody meddled with its database.
fn scanned(incident: &Incident, meddle: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let config = config(incident, folder.path());
    let database = folder.path().join("restored.db");
    rusqlite::Connection::open(&database)
        .unwrap()
        .execute_batch(meddle)
        .unwrap();
    let mut restored = Sqlite::open(&database).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime
        .block_on(scan::run(
            &config,
            &mut restored,
            &Past::default(),
            &Progress::default(),
        ))
        .unwrap()
}

/// Values that are the same are written the same: the scale of a decimal, the form of an instant, the spaces in JSON.
fn plain(value: &Json) -> Json {
    let Json::String(text) = value else {
        return value.clone();
    };
    let instant = text.replacen(' ', "T", 1).replace("+00", "Z");
    if let Some(at) = time::parse(&instant) {
        return Json::from(at);
    }
    match serde_json::from_str::<Json>(text) {
        Ok(Json::Number(n)) if text.len() < 15 => Json::from(n.as_f64()),
        Ok(whole @ (Json::Object(_) | Json::Array(_))) => whole,
        _ => value.clone(),
    }
}

fn found(case: &FoundCase) -> TrueCase {
    let findings = case.findings.iter().map(|f| {
        let fields = f.fields.iter().filter(|_| f.kind == Kind::Regressed);
        let finding = TrueFinding {
            fields: fields
                .map(|d| (d.name.clone(), (plain(&d.restored), plain(&d.log))))
                .collect(),
            rows: f.rows.iter().cloned().collect(),
            moved_to: f.moved_to.clone(),
            other: f.other.clone(),
            undone: f.undone,
            undone_fields: (f.fields.iter().filter(|d| d.undone && f.kind == Kind::Regressed))
                .map(|d| d.name.clone())
                .collect(),
        };
        let of_row = Kind::ROW.contains(&f.kind);
        assert_eq!(of_row, !f.evidence.is_empty(), "{} {:?}: evidence", case.id, f.kind);
        ((f.entity.clone(), f.key.clone(), f.kind), finding)
    });
    TrueCase {
        order: case.order.clone(),
        label: case.label.clone(),
        findings: findings.collect(),
        missing: case.missing.iter().cloned().collect(),
        waits_for: case.blocked_by.iter().cloned().collect(),
        fits: (case.fits.iter())
            .map(|fit| (fit.missing.clone(), fit.to.iter().cloned().collect()))
            .collect(),
        outside: (case.outside.iter())
            .map(|o| (o.item.clone(), o.state, o.again))
            .collect(),
        advice: case.advice.as_ref().map(|a| a.verb),
    }
}

/// Everything in which the scan and the truth differ.
fn differences(truth: Truth, outcome: &Outcome) -> Vec<String> {
    let mut cases: BTreeMap<String, TrueCase> = outcome.cases.iter().map(|c| (c.id.clone(), found(c))).collect();
    assert_eq!(cases.len(), outcome.cases.len(), "a case twice");
    let mut wrong = Vec::new();
    for (id, mut wanted) in truth.cases {
        for finding in wanted.findings.values_mut() {
            for (ours, theirs) in finding.fields.values_mut() {
                (*ours, *theirs) = (plain(ours), plain(theirs));
            }
        }
        let Some(mut case) = cases.remove(&id) else {
            wrong.push(format!("{id} was not found: {wanted:#?}"));
            continue;
        };
        if wanted.label.is_empty() {
            case.label.clear();
        }
        if case != wanted {
            let advice = (case.advice, wanted.advice);
            wrong.push(format!("{id}: advice {advice:?}: found {case:#?}\nwanted {wanted:#?}"));
        }
    }
    wrong.extend(cases.iter().map(|(id, case)| format!("too much: {id}: {case:#?}")));
    wrong
}

fn judge(seed: u64, orders: usize) {
    let incident = Incident::new(seed, orders);
    let outcome = scanned(&incident, "");
    let wrong = differences(incident.truth(), &outcome);
    assert!(
        wrong.is_empty(),
        "seed {seed}, {orders} orders: {} wrong: {}",
        wrong.len(),
        wrong[0]
    );
    assert_eq!(outcome.report.log.rejected, outcome.rejects.len() as u64);
}

#[test]
fn the_scan_finds_the_truth() {
    judge(1, ORDERS);
    for seed in 2..40 {
        judge(seed, 20 + usize::try_from(seed).unwrap() * 9);
    }
}

#[test]
fn an_incident_of_any_size_has_its_truth_found() {
    for orders in 1..20 {
        judge(99, orders);
    }
}

/// A judge who lets everything pass would prove nothing.
#[test]
fn the_judge_sees_a_single_wrong_value_or_row() {
    let incident = Incident::new(3, 200);
    for meddle in [
        "delete from assets where id = (select max(id) from assets)",
        "update order_items set price = price + 0.01 where id = (select max(id) from order_items where status = 'Activated')",
        "update orch_items set state = 'Running' where id = (select max(id) from orch_items where state = 'Completed')",
        "delete from system_instances where name = 'HLR'",
        "update metadata set value = '{}' where kind = 'retry_policy' and name = 'fibre-new'",
    ] {
        let wrong = differences(incident.truth(), &scanned(&incident, meddle));
        assert!(!wrong.is_empty(), "not seen: {meddle}");
    }
}

/// Every case has its advice, and the menu allows it.
#[test]
fn every_case_of_a_night_has_an_advice_that_its_guards_allow() {
    use crate::domain::case::State;
    use crate::domain::queue::CaseFile;
    use crate::ledger::Role;
    use crate::resolve::guards::{Around, offers};
    let file = |found: &FoundCase| CaseFile {
        found: found.clone(),
        state: State::Open,
        claim: None,
        disproven: false,
        decision: None,
        effect: None,
        notes: Vec::new(),
        waited_for_by: Vec::new(),
    };
    let mut verbs = std::collections::BTreeSet::new();
    for seed in 1..6 {
        let incident = Incident::new(seed, 600);
        let folder = tempfile::tempdir().unwrap();
        let config = config(&incident, folder.path());
        let cases = scanned(&incident, "").cases;
        for case in &cases {
            // The chain, as the ledger follows it.
            let mut waits_for: Vec<CaseFile> = Vec::new();
            let mut ahead = case.blocked_by.clone();
            while let Some(id) = ahead.pop() {
                let known = id == case.id || waits_for.iter().any(|c| c.found.id == id);
                if let Some(next) = cases.iter().find(|c| c.id == id).filter(|_| !known) {
                    ahead.extend(next.blocked_by.clone());
                    waits_for.push(file(next));
                }
            }
            let around = Around {
                schema: &config.schema,
                effects: &config.effects,
                who: "ana",
                role: Role::Operator,
                waits_for: &waits_for,
            };
            let file = file(case);
            let advised: Vec<_> = offers(&file, around).into_iter().filter(|o| o.advised).collect();
            assert_eq!(advised.len(), 1, "{}", case.id);
            assert_eq!(advised[0].refused, None, "{}: {:?}", case.id, case.advice);
            verbs.insert(advised[0].verb.name());
        }
    }
    for verb in [
        "cancel",
        "complete",
        "escalate",
        "keep",
        "park",
        "reapply",
        "relink",
        "resubmit",
        "supersede",
    ] {
        assert!(verbs.contains(verb), "never advised: {verb}");
    }
}

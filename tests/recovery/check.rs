//! Runs the program on the restored server and a log, and holds everything it finds against the truth.

use crate::capture::{ENTITIES, Event, Rows, fold};
use crate::formats::{self, Format};
use crate::truth::Truth;
use crate::world::{DB, World, restitch};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

type Named = (String, String, String);

/// A log of events in this format.
pub fn agrees(world: &World, truth: &Truth, events: &[Event], format: Format) {
    let log = format.log(events, &world.wal2json);
    let events: Vec<Event> = log.events.iter().map(|(event, _)| event.clone()).collect();
    let place = Evidence {
        rows: fold(&events, |_, _, _| {}),
        log: &log,
        format,
        world,
    };
    scans_agree(world, truth, &formats::events(format), Some(&place));
}

/// The pre-restore instance as the log.
pub fn instance_agrees(world: &World, truth: &Truth) {
    scans_agree(world, truth, &formats::instance(&world.live.url(DB)), None);
}

fn scans_agree(world: &World, truth: &Truth, logs: &str, place: Option<&Evidence<'_>>) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(place) = place {
        place.log.write(&folder.path().join("log"));
    }
    let config = formats::config(logs, &world.back.url(DB), &world.restored_to);
    std::fs::write(folder.path().join("restitch.toml"), config).unwrap();

    let out = restitch(folder.path()).args(["scan", "--json"]).output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{logs}: cases are left\n{errors}");
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    let cases = restitch(folder.path()).args(["cases", "--json"]).output().unwrap();
    assert!(cases.status.success(), "{}", String::from_utf8_lossy(&cases.stderr));
    let cases: Vec<Value> = String::from_utf8(cases.stdout)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();

    let again = restitch(folder.path()).args(["scan", "--json"]).output().unwrap();
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    let nothing = json!({"total": truth.cases.len(), "opened": 0, "updated": 0, "gone": 0});
    let mut wrong = Wrong(Vec::new());
    wrong.same("cases of a second scan", nothing, again["cases"].clone());
    wrong.same("findings of a second scan", &report["findings"], &again["findings"]);
    counts(&mut wrong, truth, &report, cases.len());
    let found: BTreeMap<String, &Value> = cases.iter().map(|c| (text(&c["case"]), c)).collect();
    wrong.sets(
        "cases",
        truth.cases.keys().cloned().collect(),
        found.keys().cloned().collect(),
    );
    for (id, case) in &found {
        if let Some(expected) = truth.cases.get(id) {
            one_case(&mut wrong, truth, place, id, expected, case);
        }
    }
    wrong.none(logs, &report);
}

/// What disagrees; all of it is shown at once.
struct Wrong(Vec<String>);

impl Wrong {
    fn sets<T: Ord + std::fmt::Debug>(&mut self, what: &str, truth: BTreeSet<T>, found: BTreeSet<T>) {
        for missing in truth.difference(&found) {
            self.0.push(format!("{what}: not found: {missing:?}"));
        }
        for extra in found.difference(&truth) {
            self.0.push(format!("{what}: not so: {extra:?}"));
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, truth: T, found: T) {
        if truth != found {
            self.0.push(format!("{what}: {truth:?} is so, {found:?} was found"));
        }
    }

    fn none(self, logs: &str, report: &Value) {
        let shown: Vec<&str> = self.0.iter().take(60).map(String::as_str).collect();
        assert!(
            self.0.is_empty(),
            "{logs}: {} disagreements\n{}\nwarnings: {}",
            self.0.len(),
            shown.join("\n"),
            report["warnings"]
        );
    }
}

fn counts(wrong: &mut Wrong, truth: &Truth, report: &Value, cases: usize) {
    for (entity, _, _) in ENTITIES {
        for kind in ["lost", "moved", "regressed", "undeleted", "collided", "contradicted"] {
            let so = truth
                .rows
                .keys()
                .filter(|(id, k)| id.0 == *entity && *k == kind)
                .count();
            wrong.same(
                &format!("count of {entity} {kind}"),
                json!(so),
                report["findings"][entity][kind].clone(),
            );
        }
    }
    for (kind, so) in [
        ("in_doubt", truth.in_doubt.len()),
        ("orphaned", truth.missing.len()),
        ("half_superseded", truth.half.len()),
        ("expired", 0),
    ] {
        wrong.same(&format!("count of {kind}"), json!(so), report["orders"][kind].clone());
    }
    wrong.same("rejected lines", json!(0), report["log"]["rejected"].clone());
    for name in ["total", "opened"] {
        wrong.same(
            &format!("cases {name}"),
            json!(truth.cases.len()),
            report["cases"][name].clone(),
        );
    }
    wrong.same("lines of cases --json", truth.cases.len(), cases);
    assert!(report["rows_read"].as_u64().unwrap() > 0 && report["log"]["bytes"].as_u64().unwrap() > 10_000);
}

/// Where the log says what, by the plainest fold.
struct Evidence<'a> {
    rows: Rows,
    log: &'a formats::Log,
    format: Format,
    world: &'a World,
}

impl Evidence<'_> {
    fn position(&self, event: usize) -> &str {
        &self.log.events[event].1
    }

    /// Debezium writes a `timetz` in GMT and an interval as one number: equal values, but not always the same text.
    fn says_less(&self, column: &str) -> bool {
        self.format == Format::Debezium && ["zoned", "span"].contains(&column)
    }

    fn same_in_sql(&self, wrong: &mut Wrong, what: &str, column: &str, so: &Value, found: &Value) {
        let (Some(so), Some(found)) = (so.as_str(), found.as_str()) else {
            wrong.same(what, so, found);
            return;
        };
        let same = match column {
            "zoned" => format!("select timetz '{so}' at time zone 'utc' = timetz '{found}' at time zone 'utc'"),
            _ => format!("select interval '{so}' = interval '{found}'"),
        };
        if self.world.live.psql("postgres", &same) != "t" {
            wrong.same(what, so, found);
        }
    }

    fn row(&self, entity: &str, key: &str) -> Option<&crate::capture::Folded> {
        let table = ENTITIES.iter().find(|e| e.0 == entity)?.1;
        self.rows.get(&(table.to_owned(), key.to_owned()))
    }
}

fn one_case(
    wrong: &mut Wrong,
    truth: &Truth,
    place: Option<&Evidence<'_>>,
    id: &str,
    expected: &BTreeSet<Named>,
    case: &Value,
) {
    let order = id.strip_prefix("order:");
    wrong.same(&format!("{id} order"), json!(order), case["order"].clone());
    wrong.same(&format!("{id} state"), &json!("open"), &case["state"]);
    if let Some(label) = order.and_then(|o| truth.labels.get(o)) {
        wrong.same(&format!("{id} label"), &json!(label), &case["label"]);
    }
    let findings = case["findings"].as_array().unwrap();
    let name = |f: &Value| (text(&f["entity"]), text(&f["key"]), text(&f["kind"]));
    wrong.sets(
        &format!("{id} findings"),
        expected.clone(),
        findings.iter().map(name).collect(),
    );
    wrong.same(&format!("{id} findings, each once"), expected.len(), findings.len());
    let order_of_kinds = [
        "lost",
        "moved",
        "regressed",
        "undeleted",
        "collided",
        "in_doubt",
        "orphaned",
        "half_superseded",
    ];
    let kinds: Vec<Value> = order_of_kinds
        .iter()
        .filter(|k| expected.iter().any(|(_, _, kind)| kind == *k))
        .map(|k| json!(k))
        .collect();
    wrong.same(&format!("{id} kinds"), &json!(kinds), &case["kinds"]);
    for finding in findings {
        one_finding(wrong, truth, place, id, finding);
    }
    let empty = BTreeSet::new();
    let missing: BTreeSet<Named> = order
        .and_then(|o| truth.missing.get(o))
        .into_iter()
        .flatten()
        .map(|(entity, column, key)| (entity.clone(), column.clone().unwrap_or_default(), key.clone()))
        .collect();
    let found = case["missing"].as_array().unwrap();
    let column = |m: &Value| m["column"].as_str().unwrap_or_default().to_owned();
    let found = found
        .iter()
        .map(|m| (text(&m["entity"]), column(m), text(&m["key"])))
        .collect();
    wrong.sets(&format!("{id} missing"), missing, found);
    let found = case["blocked_by"].as_array().unwrap().iter().map(text).collect();
    wrong.sets(
        &format!("{id} blocked_by"),
        truth.blocked_by.get(id).unwrap_or(&empty).clone(),
        found,
    );
}

fn one_finding(wrong: &mut Wrong, truth: &Truth, place: Option<&Evidence<'_>>, case: &str, finding: &Value) {
    let (entity, key, kind) = (text(&finding["entity"]), text(&finding["key"]), text(&finding["kind"]));
    let what = format!("{case}: {entity} {key} {kind}");
    wrong.same(&format!("{what} undone"), &json!(false), &finding["undone"]);
    let evidence = finding["evidence"].as_array().unwrap();
    let position = |at: usize| evidence.get(at).map(|e| text(&e["position"])).unwrap_or_default();
    if kind == "in_doubt" {
        let rows = finding["rows"].as_array().unwrap();
        let rows = rows
            .iter()
            .map(|r| (text(&r["entity"]), text(&r["key"]), text(&r["state"])))
            .collect();
        wrong.sets(&what, truth.in_doubt.get(&key).cloned().unwrap_or_default(), rows);
        return;
    }
    let Some(kind) = ["lost", "moved", "regressed", "undeleted", "collided"]
        .into_iter()
        .find(|k| *k == kind)
    else {
        return;
    };
    let Some(so) = truth.rows.get(&((entity.clone(), key.clone()), kind)) else {
        return;
    };
    if kind == "moved" {
        let to = text(&finding["moved_to"]);
        wrong.same(
            &format!("{what} moved to one of {:?}", so.moved_to),
            true,
            so.moved_to.contains(&to),
        );
    }
    if kind == "regressed" {
        fields(wrong, so, place, &what, finding);
    }
    let Some(place) = place else {
        evidence_of_instance(wrong, &what, finding);
        return;
    };
    let Some(row) = place.row(&entity, &key) else {
        wrong.0.push(format!("{what}: the log never names it"));
        return;
    };
    match kind {
        "regressed" => {
            for field in finding["fields"].as_array().unwrap() {
                let name = text(&field["name"]);
                let by = usize::try_from(field["by"].as_u64().unwrap()).unwrap();
                let said = row.columns.get(&name);
                let said = said.map(|(_, event)| place.position(*event).to_owned());
                wrong.same(&format!("{what} {name} by"), said, Some(position(by)));
            }
        }
        "undeleted" => {
            let by = row.deleted.map(|event| place.position(event).to_owned());
            wrong.same(&format!("{what} by"), by, Some(position(0)));
        }
        "lost" | "moved" => {
            let columns = row.columns.values();
            let behind: BTreeSet<String> = columns.map(|(_, event)| place.position(*event).to_owned()).collect();
            wrong.sets(
                &format!("{what} evidence"),
                behind,
                (0..evidence.len()).map(position).collect(),
            );
        }
        _ => {}
    }
}

/// Every differing column with both values.
fn fields(wrong: &mut Wrong, so: &crate::truth::Finding, place: Option<&Evidence<'_>>, what: &str, finding: &Value) {
    let fields = finding["fields"].as_array().unwrap();
    let found: BTreeMap<String, &Value> = fields.iter().map(|f| (text(&f["name"]), f)).collect();
    wrong.sets(
        &format!("{what} fields"),
        so.fields.keys().cloned().collect(),
        found.keys().cloned().collect(),
    );
    for (name, (back, live)) in &so.fields {
        let Some(field) = found.get(name) else { continue };
        wrong.same(
            &format!("{what} {name} restored"),
            Ok(back),
            same_number(back, &field["restored"]),
        );
        match place.filter(|place| place.says_less(name)) {
            Some(place) => place.same_in_sql(wrong, &format!("{what} {name} log"), name, live, &field["log"]),
            None => wrong.same(
                &format!("{what} {name} log"),
                Ok(live),
                same_number(live, &field["log"]),
            ),
        }
    }
}

/// One read of one row, named as such, and no time: when it was read is not when it changed.
fn evidence_of_instance(wrong: &mut Wrong, what: &str, finding: &Value) {
    let (entity, key) = (text(&finding["entity"]), text(&finding["key"]));
    let table = ENTITIES.iter().find(|e| e.0 == entity).unwrap().1;
    let place = format!("{DB}@127.0.0.1 om.{table} {key}");
    let place = match finding["kind"].as_str().unwrap() {
        "undeleted" => place + ": not there (deleted, or added to the restored database since)",
        _ => place,
    };
    let so = json!([{"source": "old", "position": place, "ts": null}]);
    wrong.same(&format!("{what} evidence"), &so, &finding["evidence"]);
}

/// Numbers are the same when they are equal: 1.0 and 1.
fn same_number<'a>(so: &'a Value, found: &'a Value) -> Result<&'a Value, &'a Value> {
    let equal = match (so.as_f64(), found.as_f64()) {
        (Some(a), Some(b)) => a.to_bits() == b.to_bits(),
        _ => so == found,
    };
    if equal { Ok(so) } else { Err(found) }
}

fn text(v: &Value) -> String {
    v.as_str().map_or_else(|| v.to_string(), str::to_owned)
}

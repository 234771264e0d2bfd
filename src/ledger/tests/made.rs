//! Cases, people's questions and short readings, for the tests of both stores.

pub(crate) use crate::config::Roles;
pub(crate) use crate::domain::ErrorKind;
pub(crate) use crate::domain::case::{FamilyField, FamilyRow, FoundCase, State, Verb};
pub(crate) use crate::domain::finding::{Evidence, Finding, Kind, Missing, RowState};
pub(crate) use crate::domain::progress::Progress;
pub(crate) use crate::domain::queue::{AuditLine, CaseRow, Decide, Filter, ScanCounts};
pub(crate) use crate::domain::schema::{Entity, Schema};
pub(crate) use crate::ledger::{Ledger, new_key};
pub(crate) use serde_json::json;
pub(crate) use std::time::Duration;

pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const T0: i64 = 1_795_356_300_000_000;

/// Who may what in the tests.
pub(crate) fn roles() -> Roles {
    Roles {
        viewer: vec!["bo".to_owned()],
        operator: vec!["ana".to_owned(), "li".to_owned()],
        lead: vec!["sam".to_owned()],
    }
}

pub(crate) fn schema() -> Schema {
    let entity = |name: &str, table: &str| Entity {
        name: name.to_owned(),
        table: table.to_owned(),
        key: vec!["id".to_owned()],
        ..Entity::default()
    };
    Schema {
        entities: vec![
            Entity {
                label: Some("external_id".to_owned()),
                state: Some("status".to_owned()),
                cancelled: vec!["Cancelled".to_owned()],
                ..entity("order", "om.orders")
            },
            entity("order_item", "om.order_items"),
            entity("plan_item", "om.orch_items"),
            entity("inventory_item", "om.inventory_items"),
        ],
    }
}

pub(crate) fn finding(entity: &str, key: &str, kind: Kind) -> Finding {
    Finding {
        entity: entity.to_owned(),
        key: key.to_owned(),
        kind,
        undone: false,
        since_opening: false,
        there_at_opening: None,
        fields: Vec::new(),
        evidence: vec![Evidence {
            source: "cdc".to_owned(),
            position: "9911".to_owned(),
            ts: Some("2026-11-22T14:09:11Z".to_owned()),
        }],
        rows: match kind {
            Kind::InDoubt => vec![RowState {
                entity: "plan_item".to_owned(),
                key: format!("7{key}"),
                state: "Running".to_owned(),
            }],
            _ => Vec::new(),
        },
        moved_to: (kind == Kind::Moved).then(|| "55".to_owned()),
        other: None,
    }
}

/// The case of an order with these findings on its own row.
pub(crate) fn order(key: &str, kinds: &[Kind]) -> FoundCase {
    let lost = kinds.contains(&Kind::Lost) || kinds.contains(&Kind::Moved);
    FoundCase {
        id: format!("order:{key}"),
        order: Some(key.to_owned()),
        label: format!("SFO-{key}"),
        action: "New".to_owned(),
        show: vec!["ACC-1".to_owned()],
        rank: None,
        findings: kinds.iter().map(|k| finding("order", key, *k)).collect(),
        missing: Vec::new(),
        blocked_by: Vec::new(),
        held: false,
        dies_at: None,
        advice: None,
        outside: Vec::new(),
        fits: Vec::new(),
        family: vec![FamilyRow {
            entity: "order".to_owned(),
            key: key.to_owned(),
            kinds: kinds.iter().copied().filter(|k| Kind::ROW.contains(k)).collect(),
            restored: !lost,
            bad: None,
            log: Some(true),
            fields: vec![FamilyField {
                name: "status".to_owned(),
                restored: (!lost).then(|| json!("Created")),
                log: Some(json!("Activated")),
                by: None,
                coarse: None,
                differs: true,
            }],
            refs: Vec::new(),
        }],
    }
}

/// As [`order`], waiting for other orders: what it refers to was lost with them.
pub(crate) fn waiting(key: &str, kinds: &[Kind], blockers: &[&str]) -> FoundCase {
    let mut case = order(key, kinds);
    case.blocked_by = blockers.iter().map(|b| format!("order:{b}")).collect();
    case.missing = blockers
        .iter()
        .map(|b| Missing {
            entity: "order".to_owned(),
            column: None,
            key: (*b).to_owned(),
        })
        .collect();
    case
}

pub(crate) fn store(ledger: &mut Ledger, cases: Vec<FoundCase>) -> ScanCounts {
    let report = json!({"attempt": 1});
    ledger
        .store_scan(&mut cases.into_iter(), &[], &report, None, &Progress::default())
        .unwrap()
}

pub(crate) fn claim(ledger: &mut Ledger, ids: &[&str]) {
    let ids: Vec<String> = ids.iter().map(|i| (*i).to_owned()).collect();
    ledger.claim(&ids, MINUTE).unwrap();
}

pub(crate) fn asking(case: &str, verb: Verb) -> Decide {
    Decide {
        case: case.to_owned(),
        key: new_key(),
        verb: Some(verb),
        reason: "lost window, billing confirms".to_owned(),
        reference: (verb == Verb::Relink).then(|| "prior_order_id".to_owned()),
        to: matches!(verb, Verb::Relink | Verb::Supersede | Verb::Escalate).then(|| "order:99".to_owned()),
        evidence: (verb == Verb::Complete).then(|| "ticket 12".to_owned()),
        until: None,
        confirm: None,
        fence: None,
        seen: None,
    }
}

pub(crate) trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
impl<T> Tap for T {}

pub(crate) fn rows(ledger: &Ledger) -> Vec<CaseRow> {
    let mut rows = Vec::new();
    ledger
        .each_row(&Filter::default(), &mut |row| {
            rows.push(row);
            true
        })
        .unwrap();
    rows
}

pub(crate) fn labels(ledger: &Ledger) -> Vec<String> {
    rows(ledger).into_iter().map(|r| r.label.into()).collect()
}

pub(crate) fn state(ledger: &Ledger, id: &str) -> State {
    ledger.case(id).unwrap().unwrap().state
}

pub(crate) fn trail(ledger: &Ledger) -> Vec<AuditLine> {
    let mut lines = Vec::new();
    ledger
        .audit(&mut |line| {
            lines.push(line);
            Ok(())
        })
        .unwrap();
    lines
}

pub(crate) fn refused<T: std::fmt::Debug>(result: crate::domain::Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    error.what
}

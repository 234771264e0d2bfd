//! The scan on small worlds: a log of a few lines against a `SQLite` database of a few rows.

mod traffic;

use super::{Outcome, Past, run};
use crate::domain::Result;
use crate::domain::case::{FoundCase, Verb};
use crate::domain::finding::Kind;
use crate::domain::progress::Progress;
use crate::restored::sqlite::Sqlite;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::path::Path;

const TABLES: &str = "
    create table orders (id bigint primary key, external_id varchar(40), status text, amount numeric(12,2),
        changed timestamptz, prior_order_id bigint, account_id text, updated_at timestamptz);
    create index orders_external on orders (external_id);
    create table order_items (id bigint primary key, order_id bigint, action text, inventory_item_id bigint,
        asset_ref varchar(40));
    create table plans (id bigint primary key, order_id bigint, state text);
    create table plan_items (id bigint primary key, plan_id bigint, state text);
    create table inventory_items (id bigint primary key, order_id bigint, state text);
    create table assets (id bigint primary key, reference_id varchar(40), name text);
    create table catalog (id text primary key, name text);
";

const SCHEMA: &str = r#"
[incident]
id = "test"
restored_to = "2026-11-22T14:05:00Z"
[restored]
url = "sqlite:restored.db"
[[log]]
name = "cdc"
source = "file"
path = "log.ndjson"
format = "native"
[hold]
source = "file"
path = "hold.ndjson"
format = "native"
[schema.order]
table = "orders"
key = "id"
label = "external_id"
identity = ["external_id"]
ignore = ["updated_at"]
refs = { prior_order_id = "order" }
show = ["account_id"]
[schema.order_item]
table = "order_items"
key = "id"
owner = "order_id"
action = "action"
macd = ["Change"]
refs = { inventory_item_id = "inventory_item", asset_ref = "asset.reference_id" }
[schema.plan]
table = "plans"
key = "id"
owner = "order_id"
state = "state"
in_progress = ["Running"]
[schema.plan_item]
table = "plan_items"
key = "id"
owner = { plan_id = "plan" }
state = "state"
in_progress = ["Running", "Ready"]
[schema.inventory_item]
table = "inventory_items"
key = "id"
owner = "order_id"
[schema.asset]
table = "assets"
key = "id"
[schema.catalog]
table = "catalog"
key = "id"
"#;

/// A restored database, a log and a hold.
#[derive(Default)]
struct World {
    rows: String,
    log: String,
    hold: String,
    pos: u64,
}

impl World {
    fn row(&mut self, sql: &str) -> &mut Self {
        let _ = writeln!(self.rows, "insert into {sql};");
        self
    }

    fn event(&mut self, entity: &str, key: &str, op: &str, state: &Json) -> &mut Self {
        self.pos += 1;
        let ts = format!("2026-11-22T14:{:02}:00Z", 6 + self.pos % 20);
        let event = json!({"pos": self.pos, "ts": ts, "entity": entity, "key": key, "op": op, "state": state});
        let _ = writeln!(self.log, "{event}");
        self
    }

    fn says(&mut self, entity: &str, key: &str, state: &Json) -> &mut Self {
        self.event(entity, key, "upsert", state)
    }

    fn held(&mut self, key: &str, state: &Json) -> &mut Self {
        let line = json!({"pos": 1, "ts": "2026-11-22T14:22:09Z", "entity": "order", "key": key, "op": "insert", "state": state});
        let _ = writeln!(self.hold, "{line}");
        self
    }

    fn write(&self, folder: &Path) {
        let db = rusqlite::Connection::open(folder.join("restored.db")).unwrap();
        db.execute_batch(TABLES).unwrap();
        db.execute_batch(&self.rows).unwrap();
        // A log that says nothing at all is an error of its own; these worlds always know one settled order.
        let known =
            r#"{"pos":0,"ts":"2026-11-22T13:00:00Z","entity":"catalog","key":"none","op":"delete","state":null}"#;
        std::fs::write(folder.join("log.ndjson"), format!("{known}\n{}", self.log)).unwrap();
        std::fs::write(folder.join("hold.ndjson"), &self.hold).unwrap();
    }

    fn try_scan(&self, schema: &str) -> Result<Outcome> {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        let config = crate::config::from_text(schema, "restitch.toml", folder.path())?;
        let mut restored = Sqlite::open(&folder.path().join("restored.db"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Ok(runtime.block_on(run(&config, &mut restored, &Past::default(), &Progress::default()))?)
    }

    fn scan(&self) -> Outcome {
        self.try_scan(SCHEMA).unwrap()
    }
}

/// `entity key kind` of every finding, by case.
fn summary(outcome: &Outcome) -> Vec<(String, Vec<String>)> {
    let findings = |case: &FoundCase| {
        case.findings
            .iter()
            .map(|f| format!("{} {} {}", f.entity, f.key, f.kind.name()))
            .collect::<Vec<_>>()
    };
    outcome
        .cases
        .iter()
        .map(|case| (case.id.clone(), findings(case)))
        .collect()
}

fn expect(outcome: &Outcome, wanted: &[(&str, &[&str])]) {
    let wanted: Vec<(String, Vec<String>)> = wanted
        .iter()
        .map(|(id, findings)| ((*id).to_owned(), findings.iter().map(|f| (*f).to_owned()).collect()))
        .collect();
    assert_eq!(summary(outcome), wanted);
}

fn case<'a>(outcome: &'a Outcome, id: &str) -> &'a FoundCase {
    outcome.cases.iter().find(|c| c.id == id).unwrap()
}

#[test]
fn equal_sides_give_nothing_however_they_are_spelled() {
    let mut w = World::default();
    w.row("orders values (77405618597879921, '8024R000000p73zQAA', 'New', '1.50', '2026-11-22 14:05:00+00', null, 'A', 'x')")
        .says(
            "order",
            "77405618597879921",
            &json!({"external_id": "8024R000000p73z", "status": "New", "amount": 1.5, "changed": "2026-11-22T15:05:00+01:00",
                    "prior_order_id": null, "updated_at": "2026-11-22T14:09:00Z", "unheard_of": 7}),
        )
        .row("orders values (2, null, null, null, null, null, null, null)")
        .says("order", "2", &json!({"external_id": null}));
    let outcome = w.scan();
    expect(&outcome, &[]);
    assert_eq!(
        outcome
            .report
            .warnings
            .iter()
            .filter(|w| w.contains("unheard_of"))
            .count(),
        1
    );
    assert_eq!(outcome.report.findings["order"]["lost"], 0);
}

#[test]
fn a_lost_row_is_lost_and_one_under_another_key_has_moved() {
    let mut w = World::default();
    w.says("order", "41", &json!({"external_id": "SFO-77", "status": "Activated"}))
        .says("order", "42", &json!({"external_id": "SFO-78", "status": "Activated"}))
        .says("order", "43", &json!({"status": "Activated"}))
        .row("orders (id, external_id) values (970, 'SFO-78')");
    let outcome = w.scan();
    expect(
        &outcome,
        &[
            ("order:41", &["order 41 lost"]),
            ("order:42", &["order 42 moved"]),
            ("order:43", &["order 43 lost"]),
        ],
    );
    let moved = case(&outcome, "order:42");
    assert_eq!(moved.findings[0].moved_to.as_deref(), Some("970"));
    assert_eq!(moved.advice.as_ref().map(|a| a.verb), Some(Verb::Supersede));
    let lost = case(&outcome, "order:41");
    assert_eq!(lost.label, "SFO-77");
    assert_eq!(lost.findings[0].evidence[0].position, "1");
    assert_eq!(lost.findings[0].evidence[0].source, "cdc");
}

#[test]
fn a_regressed_row_names_each_field_with_both_values_and_the_event() {
    let mut w = World::default();
    w.row("orders values (250, 'SFO-1', 'Created', 10, null, null, 'ACC-1', null)")
        .says("order", "250", &json!({"external_id": "SFO-1", "amount": "12.5"}))
        .says("order", "250", &json!({"status": "Accepted"}));
    let outcome = w.scan();
    expect(&outcome, &[("order:250", &["order 250 regressed"])]);
    let case = case(&outcome, "order:250");
    let fields = serde_json::to_value(&case.findings[0].fields).unwrap();
    assert_eq!(
        fields,
        json!([{"name": "status", "restored": "Created", "log": "Accepted", "by": 1},
               {"name": "amount", "restored": "10", "log": "12.5", "by": 0}])
    );
    assert_eq!(case.show, ["ACC-1"]);
}

#[test]
fn a_deleted_row_that_is_there_is_undeleted_and_a_reused_id_collided() {
    let mut w = World::default();
    w.row("orders (id, external_id) values (1, 'SFO-1'), (2, 'SFO-9'), (3, 'SFO-8')")
        .says("order", "1", &json!({"external_id": "SFO-1"}))
        .event("order", "1", "delete", &Json::Null)
        .says("order", "2", &json!({"external_id": "SFO-2", "status": "New"}))
        .says("order", "3", &json!({"external_id": "SFO-3"}))
        .event("order", "3", "delete", &Json::Null)
        .row("catalog values ('P3', 'Fibre')")
        .event("catalog", "P3", "delete", &Json::Null)
        .says("order", "4", &json!({"external_id": "SFO-4"}))
        .event("order", "4", "delete", &Json::Null);
    let outcome = w.scan();
    expect(
        &outcome,
        &[
            ("catalog:P3", &["catalog P3 undeleted"]),
            ("order:1", &["order 1 undeleted"]),
            ("order:2", &["order 2 collided"]),
            ("order:3", &["order 3 collided"]),
        ],
    );
    assert_eq!(case(&outcome, "catalog:P3").order, None);
}

#[test]
fn owners_are_followed_to_the_order_even_where_it_exists_nowhere() {
    let mut w = World::default();
    w.row("plans values (7, 500, 'Done')")
        .row("plan_items values (70, 7, 'Done')")
        .says("plan_item", "70", &json!({"state": "Failed"}))
        .says("plan_item", "71", &json!({"plan_id": 7, "state": "Done"}))
        .says("plan_item", "72", &json!({"plan_id": 8, "state": "Done"}))
        .says("plan", "8", &json!({"order_id": 501}))
        .says("plan_item", "73", &json!({"state": "Done"}));
    let outcome = w.scan();
    expect(
        &outcome,
        &[
            ("order:500", &["plan_item 70 regressed", "plan_item 71 lost"]),
            ("order:501", &["plan 8 lost", "plan_item 72 lost"]),
            ("plan_item:73", &["plan_item 73 lost"]),
        ],
    );
    assert_eq!(case(&outcome, "order:500").order.as_deref(), Some("500"));
}

#[test]
fn plans_in_progress_put_their_order_in_doubt_whether_or_not_the_log_names_them() {
    let mut w = World::default();
    w.row("orders (id) values (5)")
        .row("plans values (7, 5, 'Running'), (8, 6, 'Completed')")
        .row("plan_items values (70, 7, 'Ready'), (71, 7, 'Pending')");
    let outcome = w.scan();
    expect(&outcome, &[("order:5", &["order 5 in_doubt"])]);
    let rows = serde_json::to_value(&case(&outcome, "order:5").findings[0].rows).unwrap();
    assert_eq!(
        rows,
        json!([{"entity": "plan", "key": "7", "state": "Running"}, {"entity": "plan_item", "key": "70", "state": "Ready"}])
    );
    assert_eq!(outcome.report.orders["in_doubt"], 1);
}

#[test]
fn an_orphan_names_what_is_missing_and_who_brings_it_back() {
    let mut w = World::default();
    // SFM-12's own order survived; its item refers to an inventory item that was lost with SFO-77.
    w.row("orders (id, external_id, account_id) values (958, 'SFM-12', 'ACC-M')")
        .says("order", "41", &json!({"external_id": "SFO-77"}))
        .says("inventory_item", "12", &json!({"order_id": 41, "state": "Active"}))
        .says(
            "order_item",
            "1201",
            &json!({"order_id": 958, "action": "Change", "inventory_item_id": 12, "asset_ref": "A-1"}),
        );
    let outcome = w.scan();
    expect(
        &outcome,
        &[
            ("order:41", &["order 41 lost", "inventory_item 12 lost"]),
            ("order:958", &["order_item 1201 lost", "order 958 orphaned"]),
        ],
    );
    let orphan = case(&outcome, "order:958");
    assert_eq!(orphan.blocked_by, ["order:41"]);
    assert_eq!(orphan.action, "Change");
    assert_eq!(
        serde_json::to_value(&orphan.missing).unwrap(),
        json!([{"entity": "asset", "column": "reference_id", "key": "A-1"}, {"entity": "inventory_item", "key": "12"}])
    );
    assert_eq!(orphan.advice.as_ref().map(|a| a.verb), Some(Verb::Park));
}

#[test]
fn a_row_that_is_there_brings_back_the_column_that_a_reference_means() {
    let mut w = World::default();
    w.row("assets (id, reference_id) values (7, 'A-old')")
        .says("asset", "7", &json!({"reference_id": "A-new"}))
        .says("order_item", "1", &json!({"order_id": 3, "asset_ref": "A-new"}));
    let outcome = w.scan();
    expect(
        &outcome,
        &[
            ("asset:7", &["asset 7 regressed"]),
            ("order:3", &["order_item 1 lost", "order 3 orphaned"]),
        ],
    );
    assert_eq!(case(&outcome, "order:3").blocked_by, ["asset:7"]);
}

#[test]
fn a_reference_to_what_the_log_deleted_is_no_orphan() {
    let mut w = World::default();
    w.says("order", "1", &json!({"prior_order_id": 9}))
        .says("order", "9", &json!({"status": "New"}))
        .event("order", "9", "delete", &Json::Null)
        // The referring row is deleted by the log: what it refers to does not matter.
        .says("order", "2", &json!({"prior_order_id": 99}))
        .event("order", "2", "delete", &Json::Null)
        .row("orders (id, prior_order_id) values (2, 99)")
        // By another column: the log deleted the asset of that reference.
        .says("order_item", "5", &json!({"order_id": 1, "asset_ref": "A-9"}))
        .says("asset", "90", &json!({"reference_id": "A-9"}))
        .event("asset", "90", "delete", &Json::Null);
    expect(
        &w.scan(),
        &[
            ("order:1", &["order 1 lost", "order_item 5 lost"]),
            ("order:2", &["order 2 undeleted"]),
        ],
    );
}

#[test]
fn a_collided_or_moved_row_is_lacking_under_its_old_key() {
    let mut w = World::default();
    w.row("orders (id, external_id) values (41, 'SFO-99'), (970, 'SFO-78')")
        .says("order", "41", &json!({"external_id": "SFO-77"}))
        .says("order", "42", &json!({"external_id": "SFO-78"}))
        .says("order", "50", &json!({"external_id": "SFO-80", "prior_order_id": 41}))
        .says("order", "51", &json!({"external_id": "SFO-81", "prior_order_id": 42}));
    let outcome = w.scan();
    expect(
        &outcome,
        &[
            ("order:41", &["order 41 collided"]),
            ("order:42", &["order 42 moved"]),
            ("order:50", &["order 50 lost", "order 50 orphaned"]),
            ("order:51", &["order 51 lost", "order 51 orphaned"]),
        ],
    );
    assert!(case(&outcome, "order:50").blocked_by.is_empty());
}

#[test]
fn restored_rows_of_an_order_count_among_its_references() {
    let mut w = World::default();
    // The item is in the restored database only, and refers to nothing that is there.
    w.row("orders (id, external_id, status) values (1, 'SFO-1', 'New')")
        .row("order_items values (10, 1, 'Add', 777, null)")
        .says("order", "1", &json!({"status": "Accepted"}));
    let outcome = w.scan();
    expect(&outcome, &[("order:1", &["order 1 regressed", "order 1 orphaned"])]);
    assert_eq!(case(&outcome, "order:1").missing[0].key, "777");
    // Without a row finding the order is not asked.
    let mut w = World::default();
    w.row("orders (id, external_id, status) values (1, 'SFO-1', 'New')")
        .row("order_items values (10, 1, 'Add', 777, null)");
    expect(&w.scan(), &[]);
}

#[test]
fn held_orders_are_asked_for_what_they_refer_to() {
    let mut w = World::default();
    w.says("order", "41", &json!({"external_id": "SFO-77"}))
        .says("inventory_item", "12", &json!({"order_id": 41}))
        .row("orders (id, external_id) values (3, 'SFO-3')")
        .held("SFH-1", &json!({"external_id": "SFH-1", "account_id": "ACC-7", "items": [{"inventory_item_id": 12, "action": "Change"}]}))
        .held("SFH-2", &json!({"external_id": "SFH-2", "prior_order_id": 3}))
        .held("SFO-3", &json!({"external_id": "SFO-3", "prior_order_id": 41}));
    let outcome = w.scan();
    expect(
        &outcome,
        &[
            ("held:SFH-1", &["order SFH-1 orphaned"]),
            ("order:3", &["order 3 orphaned"]),
            ("order:41", &["order 41 lost", "inventory_item 12 lost"]),
        ],
    );
    let held = case(&outcome, "held:SFH-1");
    assert_eq!(
        (held.order.as_deref(), held.label.as_str(), held.action.as_str()),
        (None, "SFH-1", "Change")
    );
    assert_eq!(held.show, ["ACC-7"]);
    assert_eq!(held.blocked_by, ["order:41"]);
}

#[test]
fn cases_that_wait_for_each_other_are_reported() {
    let mut w = World::default();
    w.says("order", "1", &json!({"prior_order_id": 2}))
        .says("order", "2", &json!({"prior_order_id": 1}))
        .says("order", "3", &json!({"prior_order_id": 2}))
        .says("order", "4", &json!({"prior_order_id": 4}));
    let outcome = w.scan();
    assert_eq!(case(&outcome, "order:3").blocked_by, ["order:2"]);
    assert!(case(&outcome, "order:4").blocked_by.is_empty());
    assert!(case(&outcome, "order:4").kinds().contains(&Kind::Orphaned));
    let rings: Vec<_> = outcome
        .report
        .warnings
        .iter()
        .filter(|w| w.contains("order:1, order:2"))
        .collect();
    assert_eq!(rings.len(), 1);
}

#[test]
fn a_key_that_is_a_salesforce_id_is_found_in_either_length() {
    let mut w = World::default();
    w.row(
        "catalog values ('8024R000000p73zQAA', 'Fibre'), ('8012x000000mvqr', 'Mobile'), ('8024R000000p73a', 'Other')",
    )
    .says("catalog", "8024R000000p73z", &json!({"name": "Fibre"}))
    .says("catalog", "8012x000000mvqrAAM", &json!({"name": "Mobile"}))
    .says("catalog", "8024R000000p73b", &json!({"name": "Gone"}));
    assert_eq!(
        crate::domain::value::salesforce_id("8012x000000mvqrAAM"),
        "8012x000000mvqrAAM",
        "no such checksum"
    );
    expect(
        &w.scan(),
        &[
            ("catalog:8012x000000mvqrAAM", &["catalog 8012x000000mvqrAAM lost"]),
            ("catalog:8024R000000p73b", &["catalog 8024R000000p73b lost"]),
        ],
    );
    let mut w = World::default();
    w.row("catalog values ('8012x000000mvqr', 'Mobile')").says(
        "catalog",
        &crate::domain::value::salesforce_id_18("8012x000000mvqr").unwrap(),
        &json!({"name": "Mobile 2"}),
    );
    assert_eq!(w.scan().report.findings["catalog"]["regressed"], 1);
}

#[test]
fn a_scan_needs_a_log_and_tables() {
    let without_log = SCHEMA.replace("[[log]]", "[[ignored]]");
    assert!(World::default().try_scan(&without_log).is_err());
    let wrong_column = SCHEMA.replace("label = \"external_id\"", "label = \"externalid\"");
    let error = World::default().try_scan(&wrong_column).unwrap_err().to_string();
    assert!(error.contains("externalid") && error.contains("external_id"), "{error}");
}

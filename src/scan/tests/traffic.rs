//! Later scans: what traffic moved since the opening, and what the log tells late.

use super::*;
use crate::scan::Opening;
use tempfile::TempDir;

/// A world that goes on after its first scan.
struct Night {
    folder: TempDir,
    schema: String,
    past: Past,
}

impl Night {
    /// The world, scanned once.
    fn begin(world: &World) -> (Self, Outcome) {
        let folder = tempfile::tempdir().unwrap();
        world.write(folder.path());
        let mut night = Self {
            folder,
            schema: SCHEMA.to_owned(),
            past: Past::default(),
        };
        let first = night.scan();
        assert!(night.past.opening.is_some());
        (night, first)
    }

    fn sql(&self, sql: &str) {
        let db = rusqlite::Connection::open(self.folder.path().join("restored.db")).unwrap();
        db.execute_batch(sql).unwrap();
    }

    /// An event that arrives late.
    fn says(&self, entity: &str, key: &str, op: &str, state: &Json) {
        let path = self.folder.path().join("log.ndjson");
        let mut log = std::fs::read_to_string(&path).unwrap();
        let pos = 1_000 + log.lines().count();
        let event =
            json!({"pos": pos, "ts": "2026-11-22T14:40:00Z", "entity": entity, "key": key, "op": op, "state": state});
        writeln!(log, "{event}").unwrap();
        std::fs::write(path, log).unwrap();
    }

    /// Scans, and keeps what it learned as a ledger does.
    fn scan(&mut self) -> Outcome {
        let config = crate::config::from_text(&self.schema, "restitch.toml", self.folder.path()).unwrap();
        let mut restored = Sqlite::open(&self.folder.path().join("restored.db")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let outcome = runtime
            .block_on(run(&config, &mut restored, &self.past, &Progress::default()))
            .unwrap();
        match (&mut self.past.opening, outcome.opening.clone()) {
            (known @ None, first) => *known = first,
            (Some(known), Some(Opening { at, tables, .. })) => {
                assert_eq!(known.at, at);
                for table in tables {
                    match known.tables.iter_mut().find(|t| t.entity == table.entity) {
                        Some(of_entity) => of_entity.extend(table.marks().to_vec()),
                        None => known.tables.push(table),
                    }
                }
            }
            (Some(_), None) => {}
        }
        outcome
    }
}

/// Orders 1 and 2 as the log says, 3 regressed, 4 lost with its item, 5 in doubt.
fn world() -> World {
    let mut world = World::default();
    world
        .row("orders (id, external_id, status) values (1, 'A', 'Open'), (2, 'B', 'Open'), (3, 'C', 'Created'), (5, 'E', 'Open')")
        .row("plans values (50, 5, 'Running')")
        .says("order", "1", &json!({"status": "Open"}))
        .says("order", "2", &json!({"status": "Open"}))
        .says("order", "3", &json!({"status": "Done"}))
        .event("order", "4", "insert", &json!({"external_id": "D", "status": "Open"}))
        .event("order_item", "40", "insert", &json!({"order_id": 4, "action": "New"}))
        .event("order", "6", "delete", &Json::Null);
    world
}

fn finding<'o>(outcome: &'o Outcome, case: &str, entity: &str, key: &str) -> &'o crate::domain::finding::Finding {
    let case = outcome.cases.iter().find(|c| c.id == case).unwrap();
    case.findings
        .iter()
        .find(|f| f.entity == entity && f.key == key)
        .unwrap()
}

#[test]
fn traffic_opens_no_case_and_is_counted() {
    let (mut night, first) = Night::begin(&world());
    let opened = summary(&first);
    assert_eq!(opened.len(), 3, "{opened:?}");
    assert_eq!(first.report.since_opening["order"], 0);
    // 1 goes on, 2 is deleted, 6 (which the log deleted) is a key that a new order took.
    night.sql(
        "update orders set status = 'Done' where id = 1; delete from orders where id = 2;
         insert into orders (id, external_id, status) values (6, 'new', 'Open');",
    );
    let second = night.scan();
    assert_eq!(summary(&second), opened);
    assert!(second.cases.iter().all(|c| c.findings.iter().all(|f| !f.since_opening)));
    assert_eq!(second.report.since_opening["order"], 3);
    assert_eq!(second.report.opening, first.report.opening);
    assert!(second.opening.is_none(), "nothing new was learned");
    // Back as it was at the opening: neither traffic nor damage.
    night.sql("update orders set status = 'Open' where id = 1");
    assert_eq!(night.scan().report.since_opening["order"], 2);
}

#[test]
fn a_case_keeps_the_rows_that_moved_and_marks_them() {
    let (mut night, _) = Night::begin(&world());
    night.sql("update orders set status = 'Half' where id = 3");
    let second = night.scan();
    let moved = finding(&second, "order:3", "order", "3");
    assert_eq!(
        (moved.kind, moved.since_opening, moved.there_at_opening),
        (Kind::Regressed, true, Some(true))
    );
    night.sql("delete from orders where id = 3");
    let gone = night.scan();
    let gone = finding(&gone, "order:3", "order", "3");
    assert_eq!(
        (gone.kind, gone.since_opening, gone.there_at_opening),
        (Kind::Lost, true, Some(true))
    );
    // What equals the log has no finding, whoever wrote it.
    night.sql("insert into orders (id, external_id, status) values (3, 'C', 'Done')");
    assert!(night.scan().cases.iter().all(|c| c.id != "order:3"));
}

#[test]
fn what_the_log_tells_late_opens_cases_of_rows_that_stood_still() {
    let (mut night, first) = Night::begin(&world());
    night.says("order", "1", "upsert", &json!({"status": "Done"}));
    night.says("order", "9", "insert", &json!({"external_id": "I"}));
    let second = night.scan();
    assert_eq!(second.cases.len(), first.cases.len() + 2);
    assert!(!finding(&second, "order:1", "order", "1").since_opening);
    assert!(!finding(&second, "order:9", "order", "9").since_opening);
    assert!(second.opening.is_some(), "order 9 is known from now on");
    // Once it has a case, what moves later stays in it.
    night.sql(
        "update orders set status = 'Half' where id = 1; insert into orders (id, external_id) values (9, 'other')",
    );
    let third = night.scan();
    let moved = finding(&third, "order:1", "order", "1");
    assert!(moved.since_opening && moved.there_at_opening == Some(true));
    let reused = finding(&third, "order:9", "order", "9");
    assert_eq!((reused.kind, reused.there_at_opening), (Kind::Collided, Some(false)));
    assert_eq!(third.report.since_opening["order"], 0);
}

#[test]
fn the_id_of_a_lost_row_that_traffic_reused_collides_in_its_case() {
    let (mut night, _) = Night::begin(&world());
    night.sql(
        "insert into orders (id, external_id, status) values (4, 'another', 'Open'), (8, 'H', 'Open');
         insert into order_items (id, order_id, action) values (40, 8, 'Change')",
    );
    let second = night.scan();
    let order = finding(&second, "order:4", "order", "4");
    assert_eq!(
        (order.kind, order.since_opening, order.there_at_opening),
        (Kind::Collided, true, Some(false))
    );
    let item = finding(&second, "order:4", "order_item", "40");
    assert_eq!(
        (item.kind, item.since_opening, item.there_at_opening),
        (Kind::Regressed, true, Some(false))
    );
    assert_eq!(second.cases.len(), 3, "no case of its own: {:?}", summary(&second));
}

#[test]
fn in_doubt_is_what_was_under_way_at_the_opening() {
    let (mut night, first) = Night::begin(&world());
    let rows = |outcome: &Outcome| finding(outcome, "order:5", "order", "5").rows.clone();
    let at_opening = rows(&first);
    assert_eq!(at_opening[0].state, "Running");
    night.sql("update plans set state = 'Completed'; insert into plans values (51, 1, 'Running')");
    let second = night.scan();
    assert_eq!(rows(&second), at_opening);
    assert!(
        second.cases.iter().all(|c| c.id != "order:1"),
        "traffic is in nobody's doubt"
    );
    night.sql("delete from plans");
    assert_eq!(rows(&night.scan()), at_opening);
}

#[test]
fn a_column_ignored_later_does_not_look_like_a_change() {
    let (mut night, first) = Night::begin(&world());
    night.schema = SCHEMA.replace(
        r#"ignore = ["updated_at"]"#,
        r#"ignore = ["updated_at", "account_id", "changed"]"#,
    );
    assert_ne!(night.schema, SCHEMA);
    let second = night.scan();
    assert_eq!(summary(&second), summary(&first));
    assert!(!finding(&second, "order:3", "order", "3").since_opening);
    assert_eq!(second.report.since_opening["order"], 0);
}

/// The pre-restore instance is the log: it names no row that is alike, and so nothing of it is listed at the opening.
#[test]
fn of_a_whole_log_what_was_not_listed_was_alike() {
    let mut world = World::default();
    world
        .row("orders (id, external_id, status) values (1, 'A', 'Open'), (2, 'B', 'Open'), (3, 'C', 'Created')")
        .row("plans values (50, 1, 'Done')");
    let folder = tempfile::tempdir().unwrap();
    world.write(folder.path());
    let old = rusqlite::Connection::open(folder.path().join("old.db")).unwrap();
    old.execute_batch(TABLES).unwrap();
    old.execute_batch(
        "insert into orders (id, external_id, status) values (1, 'A', 'Open'), (2, 'B', 'Open'), (3, 'C', 'Done'), (4, 'D', 'Open');
         insert into plans values (50, 1, 'Done');",
    )
    .unwrap();
    let log = SCHEMA.find("[[log]]").unwrap()..SCHEMA.find("[hold]").unwrap();
    let mut schema = SCHEMA.to_owned();
    schema.replace_range(
        log,
        "[[log]]\nname = \"old\"\nsource = \"database\"\nurl = \"sqlite:old.db\"\n",
    );
    let mut night = Night {
        folder,
        schema,
        past: Past::default(),
    };
    let first = night.scan();
    let opened = summary(&first);
    assert_eq!(
        opened.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(),
        ["order:3", "order:4"]
    );
    night.sql(
        "update orders set status = 'Done' where id = 1; delete from orders where id = 2;
         insert into orders (id, external_id, status) values (9, 'new', 'Open');
         update plans set state = 'Failed'; insert into plans values (51, 9, 'Done');
         insert into assets values (1, 'R1', 'new');
         update orders set status = 'Half' where id = 3",
    );
    let second = night.scan();
    assert_eq!(summary(&second), opened);
    assert!(finding(&second, "order:3", "order", "3").since_opening);
    assert!(!finding(&second, "order:4", "order", "4").since_opening);
    let counted = |entity: &str| second.report.since_opening[entity].as_u64().unwrap();
    assert_eq!((counted("order"), counted("plan"), counted("asset")), (3, 2, 1));
}

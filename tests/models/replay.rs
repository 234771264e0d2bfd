//! Logs of orders against the rows that they make: every order has its own sequence of events, which comes out of turn,
//! again, and mixed with those of all others. Each event must count once, and in the order of its sequence.

use crate::support::dice::{Dice, seeds};
use crate::support::pg;
use restitch::config::{FormatKind, LogConfig, SourceKind};
use restitch::domain::progress::Progress;
use restitch::domain::schema::{Catalogue, Column, Entity, Schema, Table};
use restitch::domain::value::ColumnType;
use restitch::log::{Folded, LogInput, Wants, read};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const COLUMNS: [&str; 3] = ["status", "amount", "note"];
/// Sequences of one log.
const TOGETHER: usize = 500;

#[derive(Debug, Clone)]
struct Event {
    position: usize,
    key: usize,
    op: &'static str,
    values: [Option<usize>; 3],
}

/// A row as the events say, one after the other: each column's newest value with the position of its event, and the
/// position of the delete where that came last.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    fields: BTreeMap<&'static str, (String, String)>,
    deleted: Option<String>,
}

impl Row {
    fn apply(&mut self, event: &Event) {
        let position = event.position.to_string();
        if event.op == "delete" {
            self.deleted = Some(position);
            return;
        }
        if self.deleted.take().is_some() {
            self.fields.clear();
        }
        for (name, value) in COLUMNS.iter().zip(event.values) {
            if let Some(value) = value {
                self.fields.insert(name, (value.to_string(), position.clone()));
            }
        }
    }
}

/// The sequences of as many orders, and the rows that they make. Positions go through all of them, as in one log.
fn sequences(dice: &mut Dice, orders: usize) -> (Vec<Event>, Vec<Row>) {
    let mut rows: Vec<Row> = (0..orders).map(|_| Row::default()).collect();
    let mut events = Vec::new();
    let mut left: Vec<(usize, usize)> = (0..orders).map(|key| (key, 1 + dice.roll(12))).collect();
    while !left.is_empty() {
        let at = dice.roll(left.len());
        let key = left[at].0;
        let row = &mut rows[key];
        let there = row.deleted.is_none() && !row.fields.is_empty();
        let op = if !there {
            "insert"
        } else if dice.percent(25) {
            "delete"
        } else {
            "upsert"
        };
        let mut values = [(); 3].map(|()| (op != "delete" && dice.percent(60)).then(|| dice.roll(4)));
        if op == "insert" {
            values[0] = Some(dice.roll(4));
        }
        let event = Event {
            position: events.len() + 1,
            key,
            op,
            values,
        };
        row.apply(&event);
        events.push(event);
        left[at].1 -= 1;
        if left[at].1 == 0 {
            left.swap_remove(at);
        }
    }
    (events, rows)
}

/// As they are delivered: in any order, every third one again, some of those yet again.
fn delivered(dice: &mut Dice, events: &[Event]) -> Vec<Event> {
    let mut all = events.to_vec();
    for event in events {
        let mut again = 33;
        while dice.percent(again) {
            all.push(event.clone());
            again /= 2;
        }
    }
    for at in (1..all.len()).rev() {
        all.swap(at, dice.roll(at + 1));
    }
    all
}

fn state(event: &Event) -> String {
    let mut state = String::new();
    for (name, value) in COLUMNS.iter().zip(event.values) {
        if let Some(value) = value {
            let comma = if state.is_empty() { "" } else { "," };
            write!(state, "{comma}\"{name}\":\"{value}\"").unwrap();
        }
    }
    format!("{{{state}}}")
}

fn line(event: &Event) -> String {
    let (position, key, op) = (event.position, event.key, event.op);
    format!(
        r#"{{"pos":{position},"entity":"order","key":{key},"op":"{op}","state":{}}}"#,
        state(event)
    )
}

fn folded(log: LogConfig) -> Folded {
    let schema = Schema {
        entities: vec![Entity {
            name: "order".to_owned(),
            table: "om.orders".to_owned(),
            key: vec!["id".to_owned()],
            ..Entity::default()
        }],
    };
    let column = |name: &str, ty| Column {
        name: name.to_owned(),
        ty,
        declared: "any".to_owned(),
    };
    let columns = COLUMNS.map(|name| column(name, ColumnType::Text));
    let catalogue = Catalogue {
        tables: vec![Table {
            name: "om.orders".to_owned(),
            key: vec![0],
            columns: std::iter::once(column("id", ColumnType::Int8)).chain(columns).collect(),
        }],
    };
    let input = LogInput {
        logs: &[log],
        schema: &schema,
        catalogue: &catalogue,
        reject_limit: 0.0,
        wants: Wants {
            without: None,
            as_at: None,
            history: false,
        },
    };
    read(&input, &Progress::default()).unwrap_or_else(|e| panic!("{}", e.error))
}

fn row_of(folded: &Folded, key: usize) -> Row {
    let row = folded.get(0, &key.to_string()).expect("every order has a row");
    let position = |by| folded.evidence(by).position;
    Row {
        fields: row
            .fields()
            .map(|(column, value, by)| {
                let name = COLUMNS[usize::from(column) - 1];
                (name, (value.text.into_owned(), position(by)))
            })
            .collect(),
        deleted: row.deleted_by().map(position),
    }
}

/// The rows of a log are those that its events make.
fn holds(folded: &Folded, rows: &[Row], events: &[Event], seed: u64) {
    assert_eq!(folded.len(0), rows.len());
    for (key, row) in rows.iter().enumerate() {
        let of_it: Vec<String> = events.iter().filter(|e| e.key == key).map(line).collect();
        assert_eq!(row_of(folded, key), *row, "RESTITCH_SEED={seed}\n{}", of_it.join("\n"));
    }
}

#[test]
fn every_event_counts_once_and_in_its_order_however_it_is_delivered() {
    // Twenty thousand sequences, or a million.
    let (mut deleted, mut again) = (0, 0);
    for seed in seeds(40, 2_000) {
        let mut dice = Dice::new(seed);
        let (events, rows) = sequences(&mut dice, TOGETHER);
        let delivered = delivered(&mut dice, &events);
        let folder = tempfile::tempdir().unwrap();
        let files = 1 + dice.roll(4);
        for (n, part) in delivered.chunks(delivered.len().div_ceil(files)).enumerate() {
            let lines: Vec<String> = part.iter().map(line).collect();
            std::fs::write(folder.path().join(format!("{n}.log")), lines.join("\n")).unwrap();
        }
        let path = folder.path().join("*.log").display().to_string();
        let read = folded(LogConfig::file("cdc", &path, FormatKind::Native));
        assert_eq!(read.stats.events, delivered.len() as u64);
        holds(&read, &rows, &events, seed);
        deleted += rows.iter().filter(|row| row.deleted.is_some()).count();
        again += delivered.len() - events.len();
    }
    assert!(
        deleted > 10 && again > 100,
        "{deleted} rows ended deleted, {again} events came again"
    );
}

#[test]
fn every_row_of_a_table_of_events_counts_once_and_in_its_order() {
    let mut dice = Dice::new(20_261_128);
    let (events, rows) = sequences(&mut dice, 300);
    let delivered = delivered(&mut dice, &events);
    let db = pg().create_db();
    let values: Vec<String> = delivered
        .iter()
        .map(|e| format!("({}, 'order', '{}', '{}', '{}')", e.position, e.key, e.op, state(e)))
        .collect();
    pg().psql(
        &db,
        &format!(
            "create table events (pos bigint, entity text, key text, op text, state jsonb); insert into events values {}",
            values.join(", ")
        ),
    );
    let mut log = LogConfig::file("cdc", "-", FormatKind::Native);
    log.source = SourceKind::Postgres;
    log.path = None;
    log.database = Some(pg().database(&db));
    log.table = Some("events".to_owned());
    let folded = folded(log);
    assert_eq!(folded.stats.events, delivered.len() as u64);
    holds(&folded, &rows, &events, 0);
}

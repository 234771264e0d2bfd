//! A preview over 2,000,000 events against the plain fold of the same log, in turn, in one run, and how long its cursor
//! takes: `cargo bench --bench preview`. The ratio is what counts; the times are those of this machine while it ran.

#![allow(
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark talks to the person who started it, and stops when something is wrong"
)]

mod traffic;

use restitch::config::{FormatKind, LogConfig};
use restitch::domain::progress::Progress;
use restitch::domain::schema::{Catalogue, Column, Entity, Schema, Table};
use restitch::domain::value::ColumnType;
use restitch::log::{LogInput, Wants, read};
use restitch::scan::preview::Preview;
use std::process::Command;
use std::time::Instant;
use traffic::{EVENTS, FIELDS, ORDERS};

const ROUNDS: usize = 5;
/// Cursor moves that are timed.
const MOVES: u32 = 100_000;

/// One measured run.
struct Run {
    seconds: f64,
    megabytes: f64,
    /// Bytes an event that the preview holds, and microseconds that a move of its cursor takes; 0 for the fold.
    held: f64,
    micros: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, path] = &arguments[..]
        && matches!(mode.as_str(), "fold" | "preview")
    {
        return once(path, mode == "preview");
    }
    let log = traffic::generate(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")), EVENTS);
    let (mut plain, mut with) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let run = |mode: &str| run(Command::new(std::env::current_exe().unwrap()).arg(mode).arg(&log));
        let (a, b) = (run("fold"), run("preview"));
        // The first round warms the page cache.
        if round > 0 {
            plain.push(a);
            with.push(b);
        }
    }
    let median = |runs: &[Run], of: fn(&Run) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (a, b) = (median(&plain, |r| r.seconds), median(&with, |r| r.seconds));
    let (am, bm) = (median(&plain, |r| r.megabytes), median(&with, |r| r.megabytes));
    println!("{EVENTS} native events, {ORDERS} orders, {} state fields", FIELDS.len());
    println!("fold      {a:.2} s  {am:.0} MB");
    println!("preview   {b:.2} s  {bm:.0} MB");
    println!(
        "ratio     {:.2}   {:.1} bytes an event more while reading",
        b / a,
        (bm - am) * 1e6 / EVENTS as f64
    );
    println!(
        "held      {:.1} bytes an event   cursor {:.2} us a move",
        median(&with, |r| r.held),
        median(&with, |r| r.micros)
    );
}

fn run(command: &mut Command) -> Run {
    let output = command.output().expect("the child starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut words = text
        .split_whitespace()
        .map(|word| word.parse::<f64>().expect("a number"));
    let mut next = || words.next().expect("four numbers");
    Run {
        seconds: next(),
        megabytes: next() / 1000.0,
        held: next(),
        micros: next(),
    }
}

fn once(path: &str, history: bool) {
    let (schema, catalogue) = site();
    let logs = [LogConfig::file("bench", path, FormatKind::Native)];
    let input = LogInput {
        logs: &logs,
        schema: &schema,
        catalogue: &catalogue,
        reject_limit: 0.0,
        wants: Wants {
            history,
            ..Wants::default()
        },
    };
    let start = Instant::now();
    let folded = read(&input, &Progress::default())
        .map_err(|e| e.error.to_string())
        .unwrap();
    assert_eq!(folded.stats.events, EVENTS);
    let preview = history.then(|| Preview::build(&schema, &catalogue, &folded));
    let seconds = start.elapsed().as_secs_f64();
    let (mut held, mut micros) = (0.0, 0.0);
    if let Some(preview) = preview {
        let (first, last) = preview.span().unwrap();
        assert_eq!(preview.at(first - 1).lost, ORDERS, "nothing was there before the log");
        assert_eq!(preview.at(last).orders, 0, "a restore to the end loses nothing");
        held = preview.bytes() as f64 / EVENTS as f64;
        let start = Instant::now();
        let mut sum = 0;
        for n in 0..i64::from(MOVES) {
            sum += preview.at(first + (last - first) / i64::from(MOVES) * n).orders;
        }
        std::hint::black_box(sum);
        micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(MOVES);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    println!("{seconds} {} {held} {micros}", peak.trim().trim_end_matches(" kB"));
}

fn site() -> (Schema, Catalogue) {
    let column = |name: &str| Column {
        name: name.to_owned(),
        ty: ColumnType::Text,
        declared: "text".to_owned(),
    };
    let mut columns = vec![Column {
        name: "id".to_owned(),
        ty: ColumnType::Int8,
        declared: "bigint".to_owned(),
    }];
    columns.extend(FIELDS.map(column));
    let table = Table {
        name: "om.orders".to_owned(),
        columns,
        key: vec![0],
    };
    let order = Entity {
        name: "order".to_owned(),
        table: "om.orders".to_owned(),
        key: vec!["id".to_owned()],
        ..Entity::default()
    };
    (Schema { entities: vec![order] }, Catalogue { tables: vec![table] })
}

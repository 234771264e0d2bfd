//! Reads and folds an order log of 2,000,000 events, and has `DuckDB` do the nearest it can, in turn, in one run:
//! `cargo bench --bench fold`. The ratio is what counts; the times are those of this machine while it ran.
//!
//! `DuckDB` is installed with pip into a folder under `target` when it is not there.

#![allow(
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
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use traffic::{EVENTS, FIELDS, ORDERS};

const ROUNDS: usize = 5;

/// One measured run: seconds, peak memory in megabytes, rows.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    megabytes: f64,
    rows: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, path] = &arguments[..]
        && mode == "fold"
    {
        return fold(path);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let log = traffic::generate(folder, EVENTS);
    let python = duckdb(folder);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let a = run(Command::new(std::env::current_exe().unwrap()).arg("fold").arg(&log));
        let b = run(Command::new(&python).arg("-c").arg(PEER).arg(&log));
        assert_eq!((a.rows, b.rows), (ORDERS, ORDERS), "both must see every order");
        // The first round warms the page cache.
        if round > 0 {
            ours.push(a);
            theirs.push(b);
        }
    }
    let median = |runs: &[Run], of: fn(&Run) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (a, b) = (median(&ours, |r| r.seconds), median(&theirs, |r| r.seconds));
    let (am, bm) = (median(&ours, |r| r.megabytes), median(&theirs, |r| r.megabytes));
    println!("{EVENTS} native events, {ORDERS} orders, {} state fields", FIELDS.len());
    println!("restitch  {a:.2} s  {am:.0} MB   (read and fold, every field with its event)");
    println!("DuckDB    {b:.2} s  {bm:.0} MB   (read_json, arg_max(state, version) group by key)");
    println!("ratio     {:.2}    {:.2}", a / b, am / bm);
}

/// Runs a child that prints seconds, kilobytes and rows.
fn run(command: &mut Command) -> Run {
    let output = command.output().expect("the child starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Slow machines see a progress bar before it.
    let mut words = text.lines().last().unwrap_or_default().split_whitespace();
    let mut next = || words.next().expect("three numbers").parse::<f64>().expect("a number");
    let (seconds, kilobytes) = (next(), next());
    Run {
        seconds,
        megabytes: kilobytes / 1000.0,
        rows: words.next().expect("three numbers").parse().expect("a count"),
    }
}

fn fold(path: &str) {
    let (schema, catalogue) = site();
    let logs = [LogConfig::file("bench", path, FormatKind::Native)];
    let input = LogInput {
        logs: &logs,
        schema: &schema,
        catalogue: &catalogue,
        reject_limit: 0.0,
        wants: Wants::default(),
    };
    let start = Instant::now();
    let folded = read(&input, &Progress::default())
        .map_err(|e| e.error.to_string())
        .unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(folded.stats.events, EVENTS);
    assert!(folded.rows(0).all(|row| row.fields().count() == FIELDS.len()));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    println!("{seconds} {} {}", peak.trim().trim_end_matches(" kB"), folded.len(0));
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

/// A Python that has `DuckDB`.
fn duckdb(folder: &Path) -> PathBuf {
    let venv = folder.join("duckdb");
    let python = venv.join("bin/python");
    let works = || {
        Command::new(&python)
            .args(["-c", "import duckdb"])
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if !works() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status();
        assert!(
            made.is_ok_and(|s| s.success()),
            "python3 -m venv failed: install python3-venv"
        );
        let installed = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "duckdb"])
            .status();
        assert!(installed.is_ok_and(|s| s.success()), "pip could not install duckdb");
    }
    python
}

/// Every column is declared, so that nothing is sniffed; the result is kept as a table, as ours is kept in memory.
const PEER: &str = r"
import sys, time, resource, duckdb
start = time.perf_counter()
db = duckdb.connect()
db.execute('set enable_progress_bar = false')
db.execute('''create table folded as select key, arg_max(state, version) as state from read_json(?,
  format = 'newline_delimited', columns = {pos: 'BIGINT', ts: 'VARCHAR', entity: 'VARCHAR', key: 'VARCHAR', op: 'VARCHAR',
  version: 'BIGINT', state: 'JSON'}) group by key''', [sys.argv[1]])
seconds = time.perf_counter() - start
rows = db.execute('select count(*) from folded').fetchone()[0]
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, rows)
";

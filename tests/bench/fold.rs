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

use restitch::config::{FormatKind, LogConfig};
use restitch::domain::progress::Progress;
use restitch::domain::schema::{Catalogue, Column, Entity, Schema, Table};
use restitch::domain::value::ColumnType;
use restitch::log::{LogInput, read};
use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const EVENTS: u64 = 2_000_000;
const ORDERS: u64 = 300_000;
const ROUNDS: usize = 5;
const FIELDS: [&str; 7] = [
    "external_id",
    "status",
    "amount",
    "account_id",
    "segment",
    "due_at",
    "note",
];

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
    let log = generate(folder);
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

/// The same log every time: each order is inserted, then changed at random moments; ids are beyond 2^53.
fn generate(folder: &Path) -> PathBuf {
    let path = folder.join(format!("fold-{EVENTS}-{ORDERS}.ndjson"));
    if path.exists() {
        return path;
    }
    let states = [
        "Draft",
        "Created",
        "Accepted",
        "In Progress",
        "Submitted",
        "Activated",
        "Rejected",
    ];
    let segments = ["consumer", "business", "wholesale"];
    let mut versions = vec![0_u32; usize::try_from(ORDERS).unwrap()];
    let mut seed = 42_u64;
    let mut random = move || {
        // Knuth, MMIX.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let part = path.with_extension("part");
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(&part).unwrap());
    let mut line = String::new();
    for n in 0..EVENTS {
        let order = if n < ORDERS { n } else { random() % ORDERS };
        let version = &mut versions[usize::try_from(order).unwrap()];
        *version += 1;
        let op = if *version == 1 { "insert" } else { "upsert" };
        let state = states[usize::try_from(u64::from(*version) + order).unwrap() % states.len()];
        let segment = segments[usize::try_from(order).unwrap() % segments.len()];
        let (minutes, seconds, millis) = (n / 60_000 % 60, n / 1000 % 60, n % 1000);
        let cents = random() % 100;
        line.clear();
        write!(
            line,
            r#"{{"pos":{n},"ts":"2026-11-22T14:{minutes:02}:{seconds:02}.{millis:03}Z","entity":"order","key":"{}","op":"{op}","version":{version},"state":{{"external_id":"SFM-{order:07}","status":"{state}","amount":"{}.{cents:02}","account_id":"ACC-{:08}","segment":"{segment}","due_at":"2026-12-{:02}T00:00:00Z","note":"step {:05} of the plan"}}}}"#,
            9_007_199_254_740_993 + order,
            order % 9_999,
            order / 3,
            order % 28 + 1,
            random() % 99_999,
        )
        .unwrap();
        line.push('\n');
        out.write_all(line.as_bytes()).unwrap();
    }
    out.flush().unwrap();
    std::fs::rename(&part, &path).unwrap();
    path
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

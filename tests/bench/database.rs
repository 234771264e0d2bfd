//! A scan with the pre-restore instance as the log, and reladiff 0.6 on the same two tables, in turn, in one run:
//! `cargo bench --bench database`. The ratio is what counts; the times are those of this machine while it ran.
//!
//! It ends by itself: rounds are made until five are measured or a minute is spent, and no child runs for longer than one.
//! The peer comes from `PyPI`: `pip install reladiff==0.6.0 psycopg2-binary` in a virtual environment; `RELADIFF` names the
//! program where it is not on the path.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark talks to the person who started it, and stops when something is wrong"
)]
#![allow(dead_code, reason = "the server starter is shared with tests that use more of it")]

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const ROWS: u64 = 1_000_000;
/// One row in so many differs in a value; as many are only in the one, as many only in the other: 1.5 % of the rows.
const EACH: u64 = 200;
const ROUNDS: usize = 5;
/// No further round begins after so long: the peer takes twelve seconds a round on two idle cores, and more on busy ones.
const ENOUGH: Duration = Duration::from_mins(1);
/// A child that takes longer is ended by `timeout` (coreutils), and the benchmark with it.
const MOST: &str = "60";

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // As much as a server of this size would have; durability costs both sides nothing here, they only read.
    let pg = support::Pg::start(&["shared_buffers=1GB", "max_wal_size=8GB", "jit=off"]);
    let (restored, old) = (pg.create_db(), pg.create_db());
    let make = format!(
        "create table orders (id bigint primary key, status text, amount numeric(12,2), updated timestamptz, account text);
         insert into orders select n, 'Created', n / 7.0, timestamptz '2026-01-01' + n * interval '1.01 s', md5(n::text)
           from generate_series(1, {ROWS}) n;"
    );
    for db in [&restored, &old] {
        pg.psql(db, &make);
    }
    pg.psql(
        &old,
        &format!(
            "update orders set status = 'Accepted' where id % {EACH} = 1; delete from orders where id % {EACH} = 51;"
        ),
    );
    pg.psql(&restored, &format!("delete from orders where id % {EACH} = 151;"));
    for db in [&restored, &old] {
        pg.psql(db, "vacuum analyze orders;");
    }
    let config = folder.join("database-bench.toml");
    let text = format!(
        "[incident]\nid = \"bench\"\n[restored]\nurl = {:?}\nsslmode = \"disable\"\n[[log]]\nname = \"old\"\n\
         source = \"database\"\nurl = {:?}\nsslmode = \"disable\"\n[ledger]\nurl = \"sqlite:database-bench.db\"\n\
         [schema.order]\ntable = \"orders\"\nkey = \"id\"\n",
        pg.url(&restored),
        pg.url(&old),
    );
    std::fs::write(&config, text).unwrap();
    let (mut ours, mut theirs, mut copies, mut peaks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // Once, so that the pages of both are in the cache.
    for db in [&restored, &old] {
        pg.psql(db, "\\copy orders to /dev/null");
    }
    scan(&config);
    let began = Instant::now();
    while ours.len() < ROUNDS && (ours.is_empty() || began.elapsed() < ENOUGH) {
        let (seconds, report) = scan(&config);
        let findings = &report["findings"]["order"];
        for kind in ["regressed", "lost", "undeleted"] {
            assert_eq!(findings[kind], ROWS / EACH, "{kind}");
        }
        let start = Instant::now();
        // A changed row is told twice, before and after.
        assert_eq!(
            reladiff(&pg, &restored, &old),
            4 * ROWS / EACH,
            "both must find the same rows"
        );
        let peer = start.elapsed().as_secs_f64();
        let start = Instant::now();
        pg.psql(&old, "\\copy orders to /dev/null");
        let copy = start.elapsed().as_secs_f64();
        ours.push(seconds);
        theirs.push(peer);
        copies.push(copy);
        peaks.push(report["peak_rss_bytes"].as_f64().unwrap() / 1e6);
    }
    let rounds = ours.len();
    let (a, b) = (median(ours), median(theirs));
    println!(
        "two tables of {ROWS} rows, 5 columns, {} rows differ; median of {rounds} rounds",
        3 * ROWS / EACH
    );
    println!(
        "restitch scan  {a:.2} s  {:.0} MB   (ledger written, peak memory of the whole process)",
        median(peaks)
    );
    println!("reladiff       {b:.2} s");
    println!("one plain COPY {:.2} s", median(copies));
    println!("ratio          {:.3}, or 1/{:.1}", a / b, b / a);
    pg.stop();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn scan(config: &Path) -> (f64, serde_json::Value) {
    let _ = std::fs::remove_file(config.with_file_name("database-bench.db"));
    let start = Instant::now();
    let output = Command::new("timeout")
        .args([MOST, env!("CARGO_BIN_EXE_restitch")])
        .args(["scan", "--json", "--config"])
        .arg(config)
        .output()
        .expect("restitch starts");
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (seconds, serde_json::from_slice(&output.stdout).expect("one object"))
}

/// The number of rows that the peer tells of.
fn reladiff(pg: &support::Pg, a: &str, b: &str) -> u64 {
    let program = std::env::var_os("RELADIFF").unwrap_or_else(|| "reladiff".into());
    let url = |db: &str| pg.url(db).replace("postgres://", "postgresql://");
    let output = Command::new("timeout")
        .arg(MOST)
        .arg(program)
        .args([
            url(a).as_str(),
            "orders",
            url(b).as_str(),
            "orders",
            "--json",
            "-k",
            "id",
        ])
        .args(["-c", "status", "-c", "amount", "-c", "updated", "-c", "account"])
        .output()
        .expect("timeout starts");
    assert!(
        output.status.success(),
        "reladiff: {} (124: it took longer than {MOST} s; 127: it is not there: pip install reladiff==0.6.0 \
         psycopg2-binary, or RELADIFF names it): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    // One a line, and a long one over several.
    let told = String::from_utf8_lossy(&output.stdout);
    told.lines().filter(|line| line.starts_with("[\"")).count() as u64
}

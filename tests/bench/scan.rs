//! A whole scan (2,000,000 events of 300,000 orders against a table of 1,000,000 rows) and what a person with psql would
//! do for the same answer, in turn, in one run: `cargo bench --bench scan`. The ratio is what counts; the times are those
//! of this machine while it ran. Then the same orders with twice the log: memory must stay flat.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark talks to the person who started it, and stops when something is wrong"
)]
#![allow(
    dead_code,
    reason = "the server starter and the log maker are shared with tests that use more of them"
)]

#[path = "../support/mod.rs"]
mod support;
mod traffic;

use std::path::Path;
use std::process::Command;
use std::time::Instant;
use traffic::{EVENTS, FIELDS, ORDERS};

const ROWS: u64 = 1_000_000;
const ROUNDS: usize = 5;
/// Events after the restore point: about 1.5 % of the orders differ.
const AFTER: u64 = 4_500;

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let log = traffic::generate(folder, EVENTS);
    let longer = traffic::generate(folder, 2 * EVENTS);
    // As much as a server of this size would have; durability costs both sides nothing here, they only read.
    let pg = support::Pg::start(&["shared_buffers=1GB", "work_mem=256MB", "max_wal_size=8GB", "jit=off"]);
    let (db, longer_db) = (pg.create_db(), pg.create_db());
    load(&pg, &db, &log, EVENTS - AFTER);
    load(&pg, &longer_db, &longer, 2 * EVENTS - AFTER);
    let config = |name: &str, log: &Path, db: &str| {
        let path = folder.join(name);
        let text = format!(
            "[incident]\nid = \"bench\"\n[restored]\nurl = {:?}\nsslmode = \"disable\"\n[[log]]\nname = \"cdc\"\n\
             source = \"file\"\npath = {:?}\nformat = \"native\"\n[ledger]\nurl = \"sqlite:{name}.db\"\n\
             [schema.order]\ntable = \"orders\"\nkey = \"id\"\n",
            pg.url(db),
            log.display().to_string(),
        );
        std::fs::write(&path, text).unwrap();
        path
    };
    let once = config("scan-bench.toml", &log, &db);
    let twice = config("scan-bench-twice.toml", &longer, &longer_db);
    let peer = peer(&log);
    let (mut ours, mut theirs, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let _ = std::fs::remove_file(once.with_extension("toml.db"));
        let (seconds, report) = scan(&once);
        let start = Instant::now();
        let answer: u64 = pg.psql(&db, &peer).lines().last().unwrap().trim().parse().unwrap();
        let psql = start.elapsed().as_secs_f64();
        assert_eq!(
            report["findings"]["order"]["regressed"], answer,
            "both must find the same orders"
        );
        assert!(answer > 0);
        // The first round warms the page cache.
        if round > 0 {
            ours.push(seconds);
            theirs.push(psql);
            peaks.push(report["peak_rss_bytes"].as_f64().unwrap() / 1e6);
        }
    }
    let _ = std::fs::remove_file(twice.with_extension("toml.db"));
    let (_, report) = scan(&twice);
    let doubled = report["peak_rss_bytes"].as_f64().unwrap() / 1e6;
    let (a, b, peak) = (median(ours), median(theirs), median(peaks));
    println!(
        "{EVENTS} native events, {ORDERS} orders, {} state fields, {ROWS} restored rows",
        FIELDS.len()
    );
    println!("restitch scan  {a:.2} s  {peak:.0} MB   (ledger written, peak memory of the whole process)");
    println!("psql           {b:.2} s           (log into a jsonb temp table, distinct on, join)");
    println!("ratio          {:.3}, or 1/{:.1}", a / b, b / a);
    println!(
        "the same orders with {} events: {doubled:.0} MB, {:.2} of the memory",
        2 * EVENTS,
        doubled / peak
    );
    pg.stop();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn scan(config: &Path) -> (f64, serde_json::Value) {
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_restitch"))
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

/// The restored table: what the log says at the restore point, and orders that the log never names.
fn load(pg: &support::Pg, db: &str, log: &Path, events: u64) {
    let columns = FIELDS.map(|f| format!("{f} text")).join(", ");
    let picked = FIELDS.map(|f| format!("l.e->'state'->>'{f}'")).join(", ");
    let filler = FIELDS
        .map(|f| format!("'{f} of an order that nothing changed'"))
        .join(", ");
    pg.psql(
        db,
        &format!(
            "create table orders (id bigint primary key, {columns});
             create temp table l (e jsonb);
             \\copy l from '{}' with (format csv, quote e'\\x01', delimiter e'\\x02')
             insert into orders select distinct on (l.e->>'key') (l.e->>'key')::bigint, {picked} from l
                 where (l.e->>'pos')::bigint < {events} order by l.e->>'key', (l.e->>'version')::bigint desc;
             insert into orders select 1000 + n, {filler} from generate_series(1, {ROWS} - (select count(*) from orders)) n;
             vacuum analyze orders;",
            log.display(),
        ),
    );
}

/// The same question asked with psql: the newest state of each order against its row.
fn peer(log: &Path) -> String {
    let differs = FIELDS
        .map(|f| format!("o.{f} is distinct from l.e->'state'->>'{f}'"))
        .join(" or ");
    format!(
        "create temp table l (e jsonb);
         \\copy l from '{}' with (format csv, quote e'\\x01', delimiter e'\\x02')
         select count(*) from (select distinct on (e->>'key') e from l order by e->>'key', (e->>'version')::bigint desc) l
             left join orders o on o.id = (l.e->>'key')::bigint where o.id is null or {differs};",
        log.display()
    )
}

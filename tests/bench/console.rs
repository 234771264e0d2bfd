//! The console with 1,000,000 cases in a real terminal: `cargo bench --bench console`.
//!
//! Says how soon the first frame stands, how long 1,000 keys take from the byte that goes in to the end of the frame that
//! answers (while a scan reads an endless log), and what an idle minute sends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark talks to the person who started it, and stops when something is wrong"
)]

#[path = "../pty/terminal.rs"]
mod terminal;

use restitch::config::{Overrides, Surroundings, load_in};
use restitch::domain::case::FoundCase;
use restitch::domain::finding::{Evidence, FieldDiff, Finding, Kind};
use restitch::domain::progress::Progress;
use restitch::ledger::Ledger;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use terminal::{RESTITCH, Terminal, command};

const CASES: u64 = 1_000_000;
const KEYS: usize = 1_000;
const SIZE: (u16, u16) = (160, 48);
const CONFIG: &str = r#"
[incident]
id = "large"
restored_to = "2026-11-22T14:05:00Z"
stopped_at = "2026-11-22T14:31:00Z"
[restored]
url = "sqlite:restored.db"
[[log]]
name = "cdc"
source = "file"
path = "-"
format = "native"
[schema.order]
table = "orders"
key = "id"
label = "external_id"
state = "status"
show = ["account_id"]
[ledger]
url = "sqlite:large.db"
"#;

fn main() {
    let folder = prepare();
    println!("{CASES} cases, {}x{}", SIZE.0, SIZE.1);
    first_frame(&folder);
    let mut terminal = keys_under_a_scan(&folder);
    terminal.keys("q");
    let _ = terminal.child.wait();
    idle_minute(&folder);
}

/// A folder with the ledger, made once, and an empty restored table.
fn prepare() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console-bench");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("restitch.toml"), CONFIG).unwrap();
    let fifo = folder.join("log");
    if !fifo.exists() {
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    }
    let made = folder.join("made");
    if !made.exists() {
        let began = Instant::now();
        for old in ["large.db", "large.db-wal", "large.db-shm", "restored.db"] {
            let _ = std::fs::remove_file(folder.join(old));
        }
        let restored = rusqlite::Connection::open(folder.join("restored.db")).unwrap();
        restored
            .execute_batch(
                "CREATE TABLE orders (id BIGINT PRIMARY KEY, external_id TEXT, status TEXT, account_id TEXT)",
            )
            .unwrap();
        let overrides = Overrides {
            config: Some(folder.join("restitch.toml")),
            ..Overrides::default()
        };
        let config = load_in(&overrides, &Surroundings::default()).unwrap();
        let mut ledger = Ledger::open(&config, false).unwrap();
        let report = serde_json::json!({"log": {"events": CASES}, "rows_read": CASES});
        ledger
            .store_scan(&mut (1..=CASES).map(case), &[], &report, None, &Progress::default())
            .unwrap();
        std::fs::write(made, "").unwrap();
        println!("ledger made in {:.0} s", began.elapsed().as_secs_f64());
    }
    folder
}

fn case(n: u64) -> FoundCase {
    let lost = n.is_multiple_of(3);
    let evidence = Evidence {
        source: "cdc".to_owned(),
        position: (n * 3).to_string(),
        ts: Some("2026-11-22T14:09:11Z".to_owned()),
    };
    let difference = FieldDiff {
        name: "status".to_owned(),
        restored: "Created".into(),
        log: "Activated".into(),
        by: 0,
        opening: None,
        undone: false,
    };
    FoundCase {
        id: format!("order:{n}"),
        order: Some(n.to_string()),
        label: format!("SFO-{n}"),
        action: "New".to_owned(),
        show: vec![format!("ACC-{}", n % 5_000)],
        rank: None,
        findings: vec![Finding {
            entity: "order".to_owned(),
            key: n.to_string(),
            kind: if lost { Kind::Lost } else { Kind::Regressed },
            undone: false,
            since_opening: false,
            there_at_opening: None,
            fields: if lost { vec![] } else { vec![difference] },
            evidence: vec![evidence],
            rows: vec![],
            moved_to: None,
            other: None,
        }],
        missing: vec![],
        blocked_by: vec![],
        held: false,
        dies_at: None,
        advice: None,
        outside: Vec::new(),
        fits: Vec::new(),
        family: vec![],
    }
}

fn start(folder: &Path) -> Terminal {
    // Keys come from the terminal, the log from the pipe.
    let script = "exec \"$0\" \"$@\" <> log";
    Terminal::start(command("/bin/sh", &["-c", script, RESTITCH], folder), SIZE)
}

/// From the start of the process to the end of the first frame, and until all cases are in the list.
fn first_frame(folder: &Path) {
    let mut first = Vec::new();
    let mut all = Vec::new();
    for _ in 0..5 {
        let mut terminal = start(folder);
        first.push(terminal.frame_after(0) - terminal.started);
        terminal.shows("of 1,000,000");
        all.push(terminal.started.elapsed());
        terminal.keys("q");
        let _ = terminal.child.wait();
    }
    first.sort();
    all.sort();
    println!("first frame {} (worst of 5: {})", ms(first[2]), ms(first[4]));
    println!("all cases in the list after {}", ms(all[2]));
}

/// 1,000 keys, each awaited, while a scan reads as fast as it can.
fn keys_under_a_scan(folder: &Path) -> Terminal {
    let mut terminal = start(folder);
    terminal.shows("1 of 1,000,000");
    let log = folder.join("log");
    std::thread::spawn(move || feed(&log));
    terminal.keys("<ctrl-r>");
    terminal.shows("reading the log");
    let (mut times, mut at) = (Vec::with_capacity(KEYS), 1_u64);
    let round: Vec<(&str, i64)> = vec![
        ("j", 1),
        ("j", 1),
        ("j", 1),
        ("k", -1),
        ("<ctrl-d>", 0),
        ("j", 1),
        ("<ctrl-u>", 0),
        ("k", -1),
    ];
    for n in 0..KEYS {
        // Now and then to the other end of the list.
        let (key, by) = match n % 100 {
            98 => ("G", CASES.cast_signed()),
            99 => ("g", -CASES.cast_signed()),
            _ => round[n % round.len()],
        };
        let before = terminal.text();
        let frames = terminal.frames().0;
        let since = Instant::now();
        terminal.keys(key);
        let ended = loop {
            let ended = terminal.frame_after(frames);
            if at_row(&terminal.text()) != at_row(&before) {
                break ended;
            }
            assert!(
                since.elapsed() < Duration::from_secs(20),
                "{key} at {at}:\n{}",
                terminal.text()
            );
            std::thread::yield_now();
        };
        times.push(ended.saturating_duration_since(since));
        let now = at_row(&terminal.text());
        if by != 0 {
            let wanted = at.cast_signed().saturating_add(by).clamp(1, CASES.cast_signed());
            assert_eq!(now.cast_signed(), wanted, "after {key}");
        }
        at = now;
    }
    assert!(
        terminal.text().contains("reading the log"),
        "the scan ended before the keys did"
    );
    times.sort();
    println!(
        "{KEYS} keys while a scan runs: p50 {}, p99 {}, worst {}",
        ms(times[KEYS / 2]),
        ms(times[KEYS * 99 / 100]),
        ms(times[KEYS - 1])
    );
    terminal
}

/// The number before `of 1,000,000`.
fn at_row(text: &str) -> u64 {
    let before = text.split(" of 1,000,000").next().expect("the footer counts");
    let digits: String = before.rsplit(' ').next().unwrap_or_default().replace(',', "");
    digits.parse().unwrap_or(0)
}

/// Writes events without end.
fn feed(fifo: &Path) {
    let mut pipe = std::fs::OpenOptions::new().read(true).write(true).open(fifo).unwrap();
    for block in 0_u64.. {
        let mut text = String::new();
        for n in 0..2_000_u64 {
            let (pos, key) = (block * 2_000 + n, n * 7 % 300_000);
            writeln!(
                text,
                r#"{{"pos":{pos},"ts":"2026-11-22T14:09:11Z","entity":"order","key":"{key}","op":"upsert","version":{pos},"state":{{"status":"Activated","external_id":"SFO-{key}"}}}}"#
            )
            .unwrap();
        }
        if pipe.write_all(text.as_bytes()).is_err() {
            break;
        }
    }
}

/// What a console sends that nobody touches for a minute, with a claim whose lease is renewed meanwhile.
fn idle_minute(folder: &Path) {
    let mut terminal = start(folder);
    terminal.shows("1 of 1,000,000");
    terminal.keys("c");
    terminal.shows("you");
    // Time itself is the subject: first what the start still does dies down, then an idle minute is counted.
    std::thread::sleep(Duration::from_secs(15));
    let cpu = terminal.cpu().unwrap();
    let (frames, bytes) = (terminal.frames().0, terminal.bytes().len());
    std::thread::sleep(Duration::from_mins(1));
    println!(
        "idle minute: {} frames, {} bytes, {} of processor time",
        terminal.frames().0 - frames,
        terminal.bytes().len() - bytes,
        ms(terminal.cpu().unwrap().saturating_sub(cpu))
    );
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

//! `audit verify` of 1,000,000 lines, which must take at most 10 s; and a report over as many deeds.
//!
//! The lines are sealed here by a second implementation of the chain: what it makes, `verify` must find whole.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const LINES: i64 = 1_000_000;
const LIMIT: Duration = Duration::from_secs(10);

fn restitch(folder: &Path, args: &[&str]) -> (Duration, String) {
    let began = Instant::now();
    let ran = Command::new(env!("CARGO_BIN_EXE_restitch"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{args:?}: {said}");
    (began.elapsed(), said)
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("restitch.toml"),
        "[incident]\nid = \"bench\"\n[ledger]\nurl = \"sqlite:bench.db\"\n",
    )
    .unwrap();
    restitch(folder.path(), &["phase", "org-told", "done", "--reason", "mail"]);
    let mut db = Connection::open(folder.path().join("bench.db")).unwrap();
    let (incident, mut hash): (i64, String) = db
        .query_row("select incident, hash from heads", [], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap();
    let tx = db.transaction().unwrap();
    {
        let mut insert = tx
            .prepare(
                "insert into audit (incident, seq, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash)
                 values (?1, ?2, ?3, 'ana', 'ana', '10.0.0.7 51022', 'decide', ?4, 'reapply', ?5, 'ok', ?6, ?7)",
            )
            .unwrap();
        for seq in 2..=LINES {
            let at = 1_795_356_300_000_000 + seq;
            let case = format!("order:{seq}");
            let key = format!("01940d2e-7c1b-7000-8000-{seq:012}");
            let why = "lost window: every effect outside is done, billing confirms the amount";
            let line = serde_json::to_string(&(
                ("bench", seq, at),
                ("ana", "ana", Some("10.0.0.7 51022")),
                ("decide", &case, "reapply", &key),
                ("ok", why),
            ))
            .unwrap();
            let digest = Sha256::digest(format!("{hash}\n{line}"));
            hash.clear();
            for byte in digest {
                write!(hash, "{byte:02x}").unwrap();
            }
            insert
                .execute(params![incident, seq, at, case, key, why, hash])
                .unwrap();
        }
        tx.execute("update heads set seq = ?1, hash = ?2", params![LINES, hash])
            .unwrap();
    }
    tx.commit().unwrap();
    drop(db);
    restitch(folder.path(), &["audit", "anchor", "--to", "anchors"]);
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let (took, said) = restitch(folder.path(), &["audit", "verify", "--anchor", "anchors"]);
            assert!(said.contains("1000000 lines"), "{said}");
            took
        })
        .collect();
    times.sort();
    let median = times[times.len() / 2];
    println!(
        "audit verify --anchor, {LINES} lines: {:.2} s (limit {} s)",
        median.as_secs_f64(),
        LIMIT.as_secs()
    );
    assert!(median <= LIMIT, "{median:?}");
    let (took, _) = restitch(folder.path(), &["report", "--format", "html", "--out", "report.html"]);
    let size = std::fs::metadata(folder.path().join("report.html")).unwrap().len();
    println!(
        "report --format html over them: {:.2} s, {} MB",
        took.as_secs_f64(),
        size / 1_000_000
    );
}

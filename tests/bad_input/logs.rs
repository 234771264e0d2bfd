//! A log that is damaged, or not the one meant. Cases that an earlier scan opened stay as they are.

use crate::night::{CONFIG, Night};
use flate2::Compression;
use flate2::write::GzEncoder;
use rusqlite::Connection;
use std::fs;
use std::io::Write;

/// An incident scanned once, with the log of that scan put away.
struct Scanned {
    night: Night,
    log: Vec<u8>,
    before: String,
}

fn scanned() -> Scanned {
    let night = Night::scanned();
    let log = fs::read(night.path("log.ndjson")).unwrap();
    fs::remove_file(night.path("log.ndjson")).unwrap();
    let before = night.run(&["cases", "--json"]).out;
    Scanned { night, log, before }
}

impl Scanned {
    /// Scans this log, which must fail, saying so; nothing is lost.
    #[track_caller]
    fn fails(&self, name: &str, log: &[u8], code: i32, words: &[&str]) {
        self.night.configure("log.ndjson", name);
        self.night.write(name, log);
        let ran = self
            .night
            .run(&["scan"])
            .ended(code)
            .says(words)
            .says(&["where:", "do:"]);
        assert_eq!(ran.out, "");
        assert_eq!(self.night.run(&["cases", "--json"]).out, self.before);
        self.night.run(&["audit", "verify"]).ended(0);
    }

    /// Scans it allowing rejects: the good lines count, the bad one is kept with place and reason, and shown.
    #[track_caller]
    fn rejects(&self, name: &str, reason: &str) {
        let config = CONFIG.replace("log.ndjson", name);
        self.night
            .write("restitch.toml", format!("{config}\n[scan]\nreject_limit = \"90%\"\n"));
        let ran = self.night.run(&["scan", "--json"]).ended(3);
        let report = ran.json();
        assert_eq!(report["log"]["rejected"], 1, "{report:#}");
        let ledger = Connection::open(self.night.path("restitch.db")).unwrap();
        let (position, why): (String, String) = ledger
            .query_row("select position, reason from rejects", [], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })
            .unwrap();
        assert!(position.starts_with(&format!("{name}:")), "{position}");
        assert!(why.contains(reason), "{why}");
        let warnings = report["warnings"].to_string();
        assert!(warnings.contains(&position) && warnings.contains(reason), "{warnings}");
    }
}

fn gz(log: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(log).unwrap();
    gz.finish().unwrap()
}

#[test]
fn an_empty_log_says_nothing_and_is_refused() {
    let scanned = scanned();
    scanned.fails("a.ndjson", b"", 1, &["log cdc is empty", "a.ndjson"]);
    scanned.fails("b.ndjson", b"\n\n", 1, &["log cdc is empty"]);
    scanned.fails("c.ndjson.gz", &gz(b""), 1, &["log cdc is empty"]);
    scanned.night.configure("log.ndjson", "nowhere/*.zst");
    scanned.night.run(&["scan"]).ended(2).says(&["nowhere/*.zst", "do:"]);
}

#[test]
fn a_log_that_ends_in_mid_line_is_read_up_to_there() {
    let scanned = scanned();
    let cut = &scanned.log[..scanned.log.len() - 40];
    scanned.fails("cut.ndjson", cut, 1, &["cut.ndjson:8", "ends within this line"]);
    scanned.rejects("cut.ndjson", "ends within this line");
    assert_eq!(scanned.night.run(&["cases", "--json"]).out, scanned.before);
}

#[test]
fn a_cut_gzip_or_zstd_is_read_up_to_there() {
    let scanned = scanned();
    let whole = gz(&scanned.log);
    scanned.fails(
        "cut.ndjson.gz",
        &whole[..whole.len() - 30],
        1,
        &["cut.ndjson.gz", "gzip", "ends early"],
    );
    let whole = zstd::encode_all(&scanned.log[..], 3).unwrap();
    scanned.fails(
        "cut.ndjson.zst",
        &whole[..whole.len() - 30],
        1,
        &["cut.ndjson.zst", "zstd", "ends early"],
    );
    // Whole, it is read whole.
    scanned.night.configure("log.ndjson", "all.ndjson.gz");
    scanned.night.write("all.ndjson.gz", gz(&scanned.log));
    scanned.night.run(&["scan"]).ended(3);
    let before = scanned.before.replace("log.ndjson", "all.ndjson.gz");
    assert_eq!(scanned.night.run(&["cases", "--json"]).out, before);
}

#[test]
fn a_line_that_is_not_utf_8_is_rejected_with_its_place() {
    let scanned = scanned();
    let mut log = scanned.log.clone();
    log.extend_from_slice(b"{\"pos\":9,\"entity\":\"order\",\"key\":\"\xff\xfe\",\"op\":\"delete\",\"state\":null}\n");
    scanned.fails("latin.ndjson", &log, 1, &["latin.ndjson:9", "not UTF-8"]);
    scanned.rejects("latin.ndjson", "not UTF-8");
}

#[test]
fn a_line_of_100_mb_is_rejected_and_the_rest_is_read() {
    let scanned = scanned();
    let mut log = scanned.log.clone();
    log.extend_from_slice(b"{\"pos\":9,\"entity\":\"order\",\"key\":\"5\",\"op\":\"insert\",\"state\":{\"status\":\"");
    log.resize(log.len() + 100_000_000, b'a');
    log.extend_from_slice(b"\"}}\n");
    log.extend_from_slice(&scanned.log);
    scanned.fails("long.ndjson", &log, 1, &["long.ndjson:9", "100000"]);
    scanned.rejects("long.ndjson", "bytes");
}

#[test]
fn a_log_of_another_format_is_told_by_its_look() {
    let scanned = scanned();
    let config = CONFIG.replace("format = \"native\"", "format = \"wal2json\"");
    scanned.night.write("log.ndjson", &scanned.log);
    for format in ["wal2json", "debezium"] {
        scanned.night.write("restitch.toml", config.replace("wal2json", format));
        scanned.night.run(&["scan"]).ended(1).says(&[
            "log.ndjson:1",
            "look like format native",
            &format!("configured is {format}"),
        ]);
    }
    let w2j =
        br#"{"action":"I","schema":"public","table":"orders","columns":[{"name":"id","type":"bigint","value":1}]}"#;
    scanned.fails("w.ndjson", w2j, 1, &["wal2json", "native"]);
    let debezium =
        br#"{"before":null,"after":{"id":1},"op":"c","source":{"schema":"public","table":"orders"},"ts_ms":1}"#;
    scanned.fails("d.ndjson", debezium, 1, &["debezium", "native"]);
    scanned.fails("x.ndjson", b"\x00\x01\x02\x03", 1, &["x.ndjson:1"]);
    scanned.fails("y.csv", b"id,status\n1,Open\n", 1, &["y.csv:1"]);
}

/// Whatever stands in a line, the scan ends with an answer.
#[test]
fn nonsense_lines_are_rejected_one_by_one() {
    let scanned = scanned();
    for (n, line) in [
        "[]",
        "{}",
        "1",
        "\"x\"",
        "{\"entity\":7}",
        "{\"entity\":\"order\",\"key\":[],\"op\":\"insert\",\"state\":{}}",
        "{\"entity\":\"order\",\"key\":\"x\",\"op\":\"insert\",\"state\":{}}",
        "{\"entity\":\"order\",\"key\":\"1\",\"op\":\"burn\",\"state\":{}}",
        "{\"entity\":\"order\",\"key\":\"1\",\"op\":\"insert\",\"state\":[]}",
        "{\"entity\":\"order\",\"key\":\"99999999999999999999\",\"op\":\"insert\",\"state\":{}}",
        "{\"entity\":\"order\",\"key\":1.5,\"op\":\"insert\",\"state\":{}}",
        "{\"entity\":\"order\",\"key\":null,\"op\":\"insert\",\"state\":{}}",
        "{\"pos\":1,\"ts\":\"noon\",\"entity\":\"order\",\"key\":\"1\",\"op\":\"insert\",\"state\":{}}",
        "{\"pos\":1,\"entity\":\"order\",\"key\":\"1\",\"op\":\"insert\",\"state\":{}} trailing",
    ]
    .into_iter()
    .enumerate()
    {
        let mut log = scanned.log.clone();
        writeln!(log, "{line}").unwrap();
        let name = format!("n{n}.ndjson");
        scanned.night.write(&name, &log);
        let config = CONFIG.replace("log.ndjson", &name);
        scanned
            .night
            .write("restitch.toml", format!("{config}\n[scan]\nreject_limit = \"90%\"\n"));
        let report = scanned.night.run(&["scan", "--json"]).ended(3).json();
        assert_eq!(report["log"]["rejected"], 1, "{line}");
        assert_eq!(report["cases"]["total"], 5, "{line}");
    }
}

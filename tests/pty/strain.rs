//! Pastes, and terminals that do not read.

use super::terminal::{PATIENCE, RESTITCH, Terminal};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A demo with a case of this person's open.
fn demo() -> (TempDir, Terminal) {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::restitch(&["demo", "--orders", "60"], folder.path(), (80, 24));
    terminal.shows("1 of ");
    terminal.keys("J");
    terminal.shows(" is yours");
    (folder, terminal)
}

/// The demo's private folder.
fn inside(folder: &Path) -> PathBuf {
    let entry = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    entry.path()
}

/// What a command prints about the demo, as JSON lines.
fn ask(folder: &Path, args: &[&str]) -> Vec<serde_json::Value> {
    let output = Command::new(RESTITCH)
        .args(args)
        .current_dir(inside(folder))
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Decisions of anybody so far.
fn decisions(folder: &Path) -> usize {
    let audit = ask(folder, &["audit", "list", "--json"]);
    assert!(
        audit.iter().any(|line| line["action"] == "claim"),
        "the claim is in the audit trail"
    );
    audit.iter().filter(|line| line["action"] == "decide").count()
}

/// Random bytes, the same in every run.
fn noise(seed: &mut u64) -> u8 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    u8::try_from(*seed >> 56).unwrap()
}

#[test]
fn a_paste_decides_nothing() {
    let (folder, mut terminal) = demo();
    // Where one key would decide: the verb menu, and the decision.
    terminal.keys("a");
    terminal.in_dialog("what shall happen?", "k");
    terminal.in_dialog("leave it alone", "1");
    // What a clipboard may hold, with the end of a paste inside it.
    let mut paste = b"\x1b[200~".to_vec();
    for _ in 0..60_000 {
        paste.extend(b"ary1\ny\nJ\x1b[2J");
    }
    paste.extend(b"\x1b[201~y1y\ry\r\x1b[200~y\x1b[201~");
    let since = Instant::now();
    terminal.send(&paste);
    // The same without brackets, as older terminals send it.
    terminal.send(&b"reason: ary1\ry\r".repeat(2_000));
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..1_000 {
        let blob: Vec<u8> = (0..200).map(|_| noise(&mut seed)).collect();
        terminal.send(&blob);
    }
    // Whatever mode the noise left the parser in: the end of a paste ends it, and escape what is open.
    terminal.send(b"\x1b[201~");
    let open = |t: &mut Terminal| {
        let frames = t.frames().0;
        t.keys("<esc>");
        t.frame_after(frames);
        // The noise may have gone to another view.
        if t.text().contains("read again  tab next view") {
            t.keys("2");
        }
    };
    while !terminal.text().contains("enter open") {
        assert!(since.elapsed() < PATIENCE, "{}", terminal.text());
        // The condition is the screen; a key is sent again only so often.
        std::thread::sleep(Duration::from_millis(200));
        open(&mut terminal);
    }
    assert_eq!(decisions(folder.path()), 0);
    terminal.keys("q");
    terminal.in_dialog("given back", "y");
    assert_eq!(terminal.ends(), Ok(0));
}

#[test]
fn a_terminal_that_does_not_read_delays_no_lease() {
    let (folder, mut terminal) = demo();
    // Read from the ledger itself: a command's clock is not the demo's.
    let ledger = rusqlite::Connection::open(inside(folder.path()).join("ledger.db")).unwrap();
    let until = || -> i64 {
        let newest = "SELECT max(until) FROM claims WHERE by <> 'li'";
        ledger.query_row(newest, [], |row| row.get(0)).unwrap()
    };
    let memory = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap()
    };
    terminal.keys("<esc>");
    terminal.shows("enter open");
    terminal.read(false);
    let (first, before) = (until(), memory(terminal.pid()));
    // More frames than the kernel keeps for a reader: from here on the console's write stands still.
    for _ in 0..400 {
        terminal.keys("jk");
        // As fast as a hand on a repeating key: time is the subject.
        std::thread::sleep(Duration::from_millis(5));
    }
    // Two renewals, ten seconds apart.
    let since = Instant::now();
    let mut renewed = 0;
    let mut last = first;
    while renewed < 2 {
        assert!(since.elapsed() < 2 * PATIENCE, "renewed {renewed} times");
        // A lease is asked for by another process: not more often than its ten seconds deserve.
        std::thread::sleep(Duration::from_millis(500));
        let now = until();
        renewed += usize::from(now > last);
        last = now;
    }
    let grown = memory(terminal.pid()).saturating_sub(before);
    assert!(grown < 5_000, "{grown} kB more");
    // It reads again, and everything is as it was.
    terminal.read(true);
    terminal.keys("?");
    terminal.shows("keys in Queue");
    terminal.keys("<ctrl-c>");
    terminal.shows("enter open");
    terminal.keys("q");
    terminal.in_dialog("given back", "y");
    assert_eq!(terminal.ends(), Ok(0));
}

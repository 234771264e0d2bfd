//! Pastes, and terminals that do not read.

use super::terminal::{PATIENCE, RESTITCH, Terminal};
use crate::support::dice::Dice;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Ten megabytes are taken in within this; unoptimised and beside other tests it takes longer.
const DRAINED: Duration = Duration::from_secs(if cfg!(debug_assertions) { 8 } else { 2 });

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

#[test]
fn a_paste_decides_nothing() {
    let (folder, mut terminal) = demo();
    // Where one key would decide: the verb menu, and the decision.
    terminal.keys("a");
    terminal.in_dialog("what shall happen?", "k");
    terminal.in_dialog("leave it alone", "1");
    // Ten megabytes of what a clipboard may hold.
    let mut paste = b"\x1b[200~".to_vec();
    while paste.len() < 10_000_000 {
        paste.extend(b"ary1\ny\nJ\x1b[2J");
    }
    paste.extend(b"\x1b[201~");
    let since = Instant::now();
    terminal.send(&paste);
    terminal.shows("pasted text is ignored here");
    let drained = since.elapsed();
    println!("10 MB drained in {drained:?}");
    assert!(drained < DRAINED, "drained after {drained:?}");
    // The end of a paste inside it, and the same without brackets, as older terminals send it.
    terminal.send(b"\x1b[200~reason\x1b[201~y1y\ry\r\x1b[200~y\x1b[201~");
    terminal.send(&b"reason: ary1\ry\r".repeat(2_000));
    let mut dice = Dice::new(20_261_128);
    for _ in 0..1_000 {
        let mut blob: Vec<u8> = (0..200).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect();
        let at = dice.roll(blob.len());
        blob.splice(at..at, *dice.pick(&[b"\x1b[201~", b"\x1b[200~"]));
        terminal.send(&blob);
    }
    // Whatever mode the noise left the parser in: the end of a paste ends it.
    terminal.send(b"\x1b[201~");
    // Some of it may have come so slowly that it passed for typing, and typing goes where it likes: to another view, into a
    // text. That nothing was decided is what is promised.
    while !terminal.text().contains("enter open") {
        assert!(since.elapsed() < 2 * PATIENCE, "{}", terminal.text());
        for key in ["<esc>", "2"] {
            // The condition is the screen; a key is sent again only so often, and not so soon as to be a paste's rest.
            std::thread::sleep(Duration::from_millis(200));
            let frames = terminal.frames().0;
            terminal.keys(key);
            terminal.frame_after(frames);
        }
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
    // Renewals, ten seconds apart: two minutes.
    let since = Instant::now();
    let mut renewed = 0;
    let mut last = first;
    while renewed < 12 {
        assert!(since.elapsed() < 6 * PATIENCE, "renewed {renewed} times");
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

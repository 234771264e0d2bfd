//! The console in a real terminal: it starts, it gives the terminal back however it ends, and no terminal is too small,
//! too slow or too dead for it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

#[path = "pty/demo.rs"]
mod demo;
#[path = "pty/hangup.rs"]
mod hangup;
#[path = "pty/hostile.rs"]
mod hostile;
#[path = "pty/looks.rs"]
mod looks;
#[path = "pty/stories.rs"]
mod stories;
#[path = "pty/strain.rs"]
mod strain;
#[path = "support/mod.rs"]
mod support;
#[path = "pty/terminal.rs"]
mod terminal;

use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use terminal::{PATIENCE, RESTITCH, Terminal, command};

/// A server that keeps what it acknowledges, and lists whose statement is whose.
fn server() -> &'static support::Pg {
    static SERVER: OnceLock<support::Pg> = OnceLock::new();
    SERVER.get_or_init(|| {
        let pg = support::Pg::start(&["fsync=on", "autovacuum=off", "log_line_prefix=%u@%d:"]);
        // The roles of the ledger are made with the first one, and not by two at once.
        let mut first = restitch::config::Config::default();
        first.ledger.database = pg.database(&pg.create_db());
        restitch::ledger::create(&first, false).unwrap();
        pg
    })
}

/// A folder with the configuration of an incident that has nothing in it yet.
fn quiet_incident() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config =
        "[incident]\nid = \"quiet\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n[ledger]\nurl = \"sqlite:quiet.db\"\n";
    std::fs::write(folder.path().join("restitch.toml"), config).unwrap();
    folder
}

/// What every screen of the quiet incident shows.
const QUIET: &str = "no case yet";

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The process that a shell started and waits for.
fn child_of(pid: u32) -> u32 {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let until = Instant::now() + PATIENCE;
    loop {
        let children = std::fs::read_to_string(&path).unwrap();
        if let Some(child) = children.split_whitespace().next() {
            return child.parse().unwrap();
        }
        assert!(Instant::now() < until, "{pid} has no child");
        std::thread::yield_now();
    }
}

/// Does it so many times, some at once.
fn many(times: usize, each: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= times {
                        break;
                    }
                    each(n);
                }
            });
        }
    });
}

/// A shell that notes the terminal's settings before and after restitch, and its exit code.
fn in_a_shell(folder: &Path, env: &[(&str, &str)]) -> Terminal {
    let script = "stty -g > before; \"$0\" \"$@\"; echo $? > code; stty -g > after; echo '[the shell again]'; read x";
    let mut sh = command("/bin/sh", &["-c", script, RESTITCH], folder);
    for (name, value) in env {
        sh.env(name, value);
    }
    Terminal::start(sh, (80, 24))
}

#[test]
fn the_terminal_is_whole_after_every_end() {
    type End = fn(&mut Terminal);
    let ends: [(&str, End, &str); 6] = [
        ("q", |t| t.keys("q"), "0"),
        ("ctrl-c", |t| t.keys("<ctrl-c>"), "0"),
        ("a panic", |t| t.keys("<f12>"), "101"),
        ("SIGTERM", |t| send(child_of(t.pid()), Signal::TERM), "143"),
        ("SIGINT", |t| send(child_of(t.pid()), Signal::INT), "130"),
        ("SIGQUIT", |t| send(child_of(t.pid()), Signal::QUIT), "131"),
    ];
    many(20 * ends.len(), |n| {
        let (name, end, code) = ends[n % ends.len()];
        if name == "a panic" && !cfg!(debug_assertions) {
            return;
        }
        let folder = quiet_incident();
        let mut terminal = in_a_shell(folder.path(), &[("TEST_BUG_IN_RESTITCH", "screen")]);
        terminal.shows(QUIET);
        assert!(terminal.screen(|s| s.alternate_screen() && s.hide_cursor() && s.bracketed_paste()));
        end(&mut terminal);
        let text = terminal.shows("[the shell again]");
        let (alternate, hidden, paste) =
            terminal.screen(|s| (s.alternate_screen(), s.hide_cursor(), s.bracketed_paste()));
        assert!(
            !alternate && !hidden && !paste,
            "after {name}: {alternate} {hidden} {paste}"
        );
        let read = |file| std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(read("before"), read("after"), "stty after {name}");
        assert_eq!(read("code").trim(), code, "exit code after {name}");
        if name == "a panic" {
            assert!(text.contains("on purpose <U+001B>]0;owned<U+0007>"), "{text}");
            let bytes = terminal.bytes();
            assert!(
                !bytes.windows(4).any(|w| w == b"\x1b]0;"),
                "the panic wrote to the terminal"
            );
        }
    });
}

#[test]
fn a_closed_terminal_ends_it_at_once() {
    // SIGHUP as it comes, ignored as under nohup, and blocked; each time the terminal's end is read and written as well.
    let ways = [
        "exec \"$0\"",
        "trap '' HUP; exec \"$0\"",
        "exec env --block-signal=HUP \"$0\"",
    ];
    many(20 * ways.len(), |n| {
        let way = ways[n % ways.len()];
        let folder = quiet_incident();
        let sh = command("/bin/sh", &["-c", way, RESTITCH], folder.path());
        let mut terminal = Terminal::start(sh, (80, 24));
        terminal.shows(QUIET);
        let before = terminal.cpu().expect("it runs");
        terminal.hang_up();
        let since = Instant::now();
        let mut after = before;
        let status = loop {
            after = terminal.cpu().unwrap_or(after);
            if let Some(status) = terminal.child.try_wait().unwrap() {
                break status;
            }
            assert!(since.elapsed() < Duration::from_secs(2), "{way}: still there after 2 s");
            // Another's turn: many wait here.
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(status.exit_code(), 129, "{way}: {status:?}");
        let used = after.saturating_sub(before);
        assert!(used < Duration::from_millis(200), "{way}: {used:?} of processor time");
    });
}

/// So often it is stopped and comes back.
const SUSPENDED: usize = 50;

#[test]
fn ctrl_z_stops_it_and_fg_brings_it_back_whole() {
    let folder = quiet_incident();
    let mut bash = command("/bin/bash", &["--norc", "-i"], folder.path());
    bash.env("PS1", "ready> ");
    let mut terminal = Terminal::start(bash, (80, 24));
    let prompt = |t: &Terminal| {
        t.wait("the prompt", |s| {
            !s.alternate_screen() && s.contents().trim_end().ends_with("ready>") && s.cursor_position().1 == 7
        })
    };
    prompt(&terminal);
    terminal.keys("clear; stty -g > before<enter>");
    prompt(&terminal);
    terminal.keys(&format!("{RESTITCH}<enter>"));
    let first = terminal.shows(QUIET);
    for again in 0..SUSPENDED {
        if again % 2 == 0 {
            terminal.keys("<ctrl-z>");
        } else {
            send(child_of(terminal.pid()), Signal::TSTP);
        }
        let text = prompt(&terminal);
        assert!(
            text.contains("Stopped") && terminal.screen(|s| !s.hide_cursor()),
            "{text}"
        );
        terminal.keys(&format!("clear; stty -g > stopped{again}; fg<enter>"));
        let text = terminal.wait("the console again", |s| {
            s.alternate_screen() && s.contents().contains(QUIET)
        });
        assert_eq!(text.lines().last(), first.lines().last());
    }
    terminal.keys("q");
    prompt(&terminal);
    terminal.keys("stty -g > after; echo '[the ''end]'<enter>");
    terminal.shows("[the end]");
    let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
    assert_eq!(read("before"), read("after"));
    for again in 0..SUSPENDED {
        assert_eq!(read("before"), read(&format!("stopped{again}")));
    }
}

#[test]
fn a_stop_that_nobody_could_end_is_refused() {
    // The program is the session's leader: no shell is there to bring it back.
    let folder = quiet_incident();
    let mut terminal = Terminal::restitch(&[], folder.path(), (80, 24));
    terminal.shows(QUIET);
    terminal.keys("<ctrl-z>?");
    terminal.hides(QUIET);
    terminal.keys("<esc>");
    terminal.shows(QUIET);
    terminal.keys("q");
    assert_eq!(terminal.ends(), Ok(0));
}

#[test]
fn no_size_is_too_small_and_resizing_repaints() {
    let folder = quiet_incident();
    let mut terminal = Terminal::restitch(&[], folder.path(), (10, 3));
    terminal.shows("too small");
    for (columns, rows) in [
        (80, 24),
        (160, 48),
        (40, 10),
        (29, 5),
        (1, 1),
        (200, 60),
        (30, 6),
        (80, 24),
    ] {
        terminal.resize(columns, rows);
        if columns >= 80 {
            terminal.shows(QUIET);
        }
    }
    // A storm, with a terminal of no rows or columns in it: the last size counts.
    for n in 0..10_000 {
        terminal.resize(n % 120, n % 41);
    }
    terminal.resize(100, 30);
    terminal.wait("the last size", |s| {
        let text = s.contents();
        text.contains(QUIET) && text.lines().count() >= 29
    });
    terminal.keys("q");
    assert_eq!(terminal.ends(), Ok(0));
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let folder = quiet_incident();
    let mut dumb = command(RESTITCH, &[], folder.path());
    dumb.env("TERM", "dumb");
    let mut terminal = Terminal::start(dumb, (80, 24));
    assert_eq!(terminal.ends(), Ok(2));
    let text = terminal.wait("the error", |s| s.contents().contains("cases --json"));
    assert!(text.contains("TERM"), "{text}");
    assert!(!terminal.bytes().contains(&0x1b));

    for arguments in [&[][..], &["console"]] {
        let output = Command::new(RESTITCH)
            .args(arguments)
            .current_dir(folder.path())
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains("the output is no terminal") && stderr.contains("--json"),
            "{stderr}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_idle_console_sends_the_clock_and_nothing_else() {
    let folder = quiet_incident();
    let terminal = Terminal::restitch(&[], folder.path(), (80, 24));
    terminal.shows(QUIET);
    // Once nothing comes in any more, four seconds hold at most five ticks, a few cells each.
    let (mut frames, mut since) = terminal.frames();
    let until = Instant::now() + PATIENCE;
    while since.elapsed() < Duration::from_millis(1_500) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
        if terminal.frames().0 > frames + 1 {
            (frames, since) = terminal.frames();
        }
    }
    let (frames, bytes) = (terminal.frames().0, terminal.bytes().len());
    std::thread::sleep(Duration::from_secs(4));
    assert!(
        terminal.frames().0 - frames <= 5,
        "{} frames",
        terminal.frames().0 - frames
    );
    assert!(
        terminal.bytes().len() - bytes <= 5 * 120,
        "{} bytes",
        terminal.bytes().len() - bytes
    );
}

#[test]
fn a_worker_that_dies_says_so_where_it_is_missed() {
    if !cfg!(debug_assertions) {
        return;
    }
    let folder = quiet_incident();
    let mut restitch = command(RESTITCH, &[], folder.path());
    restitch.env("TEST_BUG_IN_RESTITCH", "rows");
    let mut terminal = Terminal::start(restitch, (80, 24));
    let text = terminal.shows("on purpose");
    assert!(text.contains("ctrl-r"), "{text}");
    assert!(!terminal.bytes().windows(4).any(|w| w == b"\x1b]0;"));
    terminal.keys("<ctrl-r>");
    terminal.shows(QUIET);
    assert!(!terminal.text().contains("on purpose"));
    terminal.keys("q");
    assert_eq!(terminal.ends(), Ok(0));
}

#[test]
fn a_ledger_that_cannot_be_read_ends_it_with_words() {
    let folder = quiet_incident();
    std::fs::write(
        folder.path().join("quiet.db"),
        "no database, but long enough to look like one to nobody",
    )
    .unwrap();
    let mut terminal = in_a_shell(folder.path(), &[]);
    let text = terminal.shows("[the shell again]");
    assert!(text.contains("quiet.db") && text.contains("restitch:"), "{text}");
    assert!(terminal.screen(|s| !s.alternate_screen()));
    terminal.keys("<enter>");
    assert_eq!(std::fs::read_to_string(folder.path().join("code")).unwrap().trim(), "1");
}

#[test]
fn ascii_and_no_colour_are_kept_to_the_letter() {
    let folder = quiet_incident();
    let mut plain = command(RESTITCH, &["--ascii"], folder.path());
    plain.env("NO_COLOR", "1");
    let mut terminal = Terminal::start(plain, (80, 24));
    terminal.shows(QUIET);
    for (keys, shown) in [
        ("1", "RESTORE"),
        ("3", "DIFF"),
        ("?", "keys in"),
        ("<ctrl-c>", "3 DIFF"),
        ("2", QUIET),
    ] {
        terminal.keys(keys);
        terminal.shows(shown);
    }
    terminal.keys("q");
    assert_eq!(terminal.ends(), Ok(0));
    let text = String::from_utf8(terminal.bytes()).unwrap();
    assert!(text.is_ascii());
    // Of the attributes only bold, dim, underline, reverse and their ends; no colour (3x, 4x, 38, 48, 9x).
    for sgr in text.split("\u{1b}[").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        rest[end..].starts_with('m').then(|| &rest[..end])
    }) {
        for code in sgr.split(';') {
            assert!(
                matches!(
                    code,
                    "" | "0" | "1" | "2" | "4" | "7" | "22" | "24" | "27" | "39" | "49"
                ),
                "{sgr}"
            );
        }
    }
}

use crate::night::{LOG, Night};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::io::{Read, Write};

/// A scan whose log does not end until the test says so, on a terminal of its own.
#[test]
fn long_work_shows_how_far_it_is_on_a_terminal() {
    let night = Night::new();
    let log = night.path("log.ndjson");
    fs::remove_file(&log).unwrap();
    mknodat(CWD, &log, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let pty = native_pty_system()
        .openpty(PtySize {
            rows: 24,
            cols: 80,
            pixel_width: 0,
            pixel_height: 0,
        })
        .unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_restitch"));
    command.arg("scan");
    command.cwd(night.path(""));
    command.env("TERM", "xterm-256color");
    command.env("HOME", night.path("home"));
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let mut screen = pty.master.try_clone_reader().unwrap();
    // Opens once the scan opens it for reading.
    let mut writer = fs::OpenOptions::new().write(true).open(&log).unwrap();
    let mut shown = Vec::new();
    let mut bytes = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains("reading the log") {
        let n = screen.read(&mut bytes).unwrap();
        assert_ne!(n, 0, "it ended: {}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&bytes[..n]);
    }
    writer.write_all(LOG.as_bytes()).unwrap();
    drop(writer);
    // A pseudo-terminal whose last user is gone ends with an error.
    while let Ok(n @ 1..) = screen.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..n]);
    }
    assert_eq!(child.wait().unwrap().exit_code(), 3);
    let mut terminal = vt100::Parser::default();
    terminal.process(&shown);
    let left = terminal.screen().contents();
    assert!(left.contains("cases: 5 in all"), "{left}");
    assert!(!left.contains("reading the log"), "the bar was left behind: {left}");
}

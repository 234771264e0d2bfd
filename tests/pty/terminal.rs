//! A terminal for tests: a real PTY, a screen that follows it, and waiting for what shall be seen instead of sleeping.
#![allow(dead_code, reason = "each test binary uses its part")]

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What is awaited must come within this, on a loaded machine too.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Ends a frame (synchronised output).
const FRAME_END: &[u8] = b"\x1b[?2026l";

/// What the program has sent.
struct Seen {
    screen: vt100::Parser,
    bytes: Vec<u8>,
    frames: u64,
    /// When the last frame ended.
    last_frame: Instant,
    closed: bool,
    paused: bool,
    /// The terminal's side is being closed: the reader lets go of it.
    letting_go: bool,
}

/// The terminal and the program in it.
pub struct Terminal {
    seen: Arc<(Mutex<Seen>, Condvar)>,
    keyboard: Option<Box<dyn Write + Send>>,
    master: Option<Box<dyn MasterPty + Send>>,
    pub child: Box<dyn Child + Send + Sync>,
    pub started: Instant,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}

/// The program under test.
pub const RESTITCH: &str = env!("CARGO_BIN_EXE_restitch");

/// A command with a clean environment and a private home.
pub fn command(program: &str, args: &[&str], folder: &Path) -> CommandBuilder {
    let mut command = CommandBuilder::new(program);
    command.args(args);
    command.env_clear();
    command.cwd(folder);
    for (name, value) in [
        ("TERM", "xterm-256color"),
        ("PATH", "/usr/bin:/bin"),
        ("LANG", "C.UTF-8"),
    ] {
        command.env(name, value);
    }
    for name in ["HOME", "TMPDIR"] {
        command.env(name, folder);
    }
    command
}

impl Terminal {
    /// Starts the command in a terminal of this size.
    pub fn start(command: CommandBuilder, (columns, rows): (u16, u16)) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).expect("a PTY");
        let started = Instant::now();
        let child = pair.slave.spawn_command(command).expect("the command starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let keyboard = pair.master.take_writer().expect("a writer");
        let (w, h) = (
            NonZeroU16::new(columns).expect("columns"),
            NonZeroU16::new(rows).expect("rows"),
        );
        let seen = Arc::new((
            Mutex::new(Seen {
                screen: vt100::Parser::new(h, w, 0),
                bytes: Vec::new(),
                frames: 0,
                last_frame: started,
                closed: false,
                paused: false,
                letting_go: false,
            }),
            Condvar::new(),
        ));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            loop {
                {
                    let seen = shared.0.lock().expect("the screen");
                    drop(shared.1.wait_while(seen, |s| s.paused).expect("the screen"));
                }
                // A PTY whose other side is closed gives an error, not an end.
                let n = reader.read(&mut buffer).unwrap_or(0);
                let mut seen = shared.0.lock().expect("the screen");
                let from = seen.bytes.len().saturating_sub(FRAME_END.len() - 1);
                seen.bytes.extend_from_slice(&buffer[..n]);
                let ended = seen.bytes[from..]
                    .windows(FRAME_END.len())
                    .filter(|w| *w == FRAME_END)
                    .count();
                if ended > 0 {
                    seen.frames += ended as u64;
                    seen.last_frame = Instant::now();
                }
                seen.screen.process(&buffer[..n]);
                seen.closed = n == 0 || seen.letting_go;
                if seen.closed {
                    break;
                }
                shared.1.notify_all();
            }
            drop(reader);
            shared.1.notify_all();
        });
        Self {
            seen,
            keyboard: Some(keyboard),
            master: Some(pair.master),
            child,
            started,
        }
    }

    /// Starts restitch.
    pub fn restitch(args: &[&str], folder: &Path, size: (u16, u16)) -> Self {
        Self::start(command(RESTITCH, args, folder), size)
    }

    /// Types. `<enter>`, `<esc>`, `<ctrl-d>` and the like stand for keys.
    pub fn keys(&mut self, keys: &str) {
        let mut rest = keys;
        let mut bytes = Vec::new();
        while let Some(c) = rest.chars().next() {
            let named = rest.strip_prefix('<').and_then(|r| r.split_once('>'));
            if let Some((name, after)) = named {
                match name {
                    "enter" => bytes.push(b'\r'),
                    "esc" => bytes.push(0x1b),
                    "tab" => bytes.push(b'\t'),
                    "backspace" => bytes.push(0x7f),
                    "up" => bytes.extend(b"\x1b[A"),
                    "down" => bytes.extend(b"\x1b[B"),
                    "f12" => bytes.extend(b"\x1b[24~"),
                    _ => match name.strip_prefix("ctrl-").and_then(|l| l.bytes().next()) {
                        Some(letter) => bytes.push(letter & 0x1f),
                        None => panic!("no key <{name}>"),
                    },
                }
                rest = after;
            } else {
                bytes.extend(c.to_string().as_bytes());
                rest = &rest[c.len_utf8()..];
            }
        }
        self.send(&bytes);
    }

    /// Types into a dialog that shows this text, once it takes keys: half a second after it was drawn.
    pub fn in_dialog(&mut self, text: &str, keys: &str) {
        self.shows(text);
        std::thread::sleep(Duration::from_millis(600));
        self.keys(keys);
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        let keyboard = self.keyboard.as_mut().expect("the terminal is open");
        keyboard
            .write_all(bytes)
            .and_then(|()| keyboard.flush())
            .expect("the terminal takes input");
    }

    /// Another size, of none too: no screen can follow that.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        if let (Some(w), Some(h)) = (NonZeroU16::new(columns), NonZeroU16::new(rows)) {
            let mut seen = self.seen.0.lock().expect("the screen");
            seen.screen.screen_mut().set_size(h, w);
        }
        self.master
            .as_ref()
            .expect("the terminal is open")
            .resize(size(columns, rows))
            .expect("a resize");
    }

    /// Whether the terminal reads what is sent.
    pub fn read(&self, reads: bool) {
        self.seen.0.lock().expect("the screen").paused = !reads;
        self.seen.1.notify_all();
    }

    /// Closes the terminal, as a broken SSH session does. A last key brings a frame: the reader lets go of its side after
    /// the next bytes.
    pub fn hang_up(&mut self) {
        self.seen.0.lock().expect("the screen").letting_go = true;
        self.keys("?");
        let (lock, changed) = &*self.seen;
        let waited = changed.wait_timeout_while(lock.lock().expect("the screen"), PATIENCE, |s| !s.closed);
        assert!(!waited.expect("the screen").1.timed_out(), "the program sends nothing");
        // The reader's thread drops its side right after it says so; dropping the others twice over hurts nobody.
        while Arc::strong_count(&self.seen) > 1 {
            std::thread::yield_now();
        }
        self.keyboard = None;
        self.master = None;
    }

    /// Processor time that the program has used, as long as it is there.
    pub fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // Fields 14 and 15 of proc(5), user and system, in ticks of a hundredth.
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 10))
    }

    /// Waits until the screen is as `wanted` says; its text then.
    pub fn wait(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) -> String {
        let (lock, changed) = &*self.seen;
        let until = Instant::now() + PATIENCE;
        let mut seen = lock.lock().expect("the screen");
        loop {
            if wanted(seen.screen.screen()) {
                return seen.screen.screen().contents();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !seen.closed,
                "{} without {what}:\n{}\n",
                if seen.closed { "ended" } else { "waited" },
                seen.screen.screen().contents()
            );
            seen = changed.wait_timeout(seen, left).expect("the screen").0;
        }
    }

    /// Waits until the screen shows this text.
    pub fn shows(&self, text: &str) -> String {
        self.wait(&format!("{text:?}"), |s| s.contents().contains(text))
    }

    /// Waits until the screen no longer shows this text.
    pub fn hides(&self, text: &str) -> String {
        self.wait(&format!("the end of {text:?}"), |s| !s.contents().contains(text))
    }

    /// The screen's text now.
    pub fn text(&self) -> String {
        self.screen(vt100::Screen::contents)
    }

    /// Looks at the screen.
    pub fn screen<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.seen.0.lock().expect("the screen").screen.screen())
    }

    /// Everything that was sent so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.0.lock().expect("the screen").bytes.clone()
    }

    /// Frames so far, and when the last one ended.
    pub fn frames(&self) -> (u64, Instant) {
        let seen = self.seen.0.lock().expect("the screen");
        (seen.frames, seen.last_frame)
    }

    /// Waits for more frames than so many; when the last one ended.
    pub fn frame_after(&self, frames: u64) -> Instant {
        let (lock, changed) = &*self.seen;
        let (seen, timeout) = changed
            .wait_timeout_while(lock.lock().expect("the screen"), PATIENCE, |s| {
                s.frames <= frames && !s.closed
            })
            .expect("the screen");
        assert!(
            !timeout.timed_out() && !seen.closed,
            "no frame after {frames}:\n{}",
            seen.screen.screen().contents()
        );
        seen.last_frame
    }

    /// Waits for the end of the program; its exit code, or the signal's name.
    pub fn ends(&mut self) -> Result<u32, String> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.signal().map_or(Ok(status.exit_code()), |s| Err(s.to_owned()));
            }
            assert!(Instant::now() < until, "does not end:\n{}", self.text());
            std::thread::yield_now();
        }
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that fails leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Raw mode and the alternate screen. The state is one for the process, so that a panic hook or a signal can give the
//! terminal back from any thread.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

static HELD: AtomicBool = AtomicBool::new(false);

/// Alternate screen, cursor hidden, bracketed paste.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?2004h";
/// The same back: synchronised output ended, attributes reset, cursor shown.
const LEAVE: &[u8] = b"\x1b[?2026l\x1b[?2004l\x1b[0m\x1b[?25h\x1b[?1049l";

/// Takes the terminal: raw mode, alternate screen, bracketed paste.
pub fn hold() -> io::Result<()> {
    crossterm::terminal::enable_raw_mode()?;
    HELD.store(true, Ordering::SeqCst);
    stdout()?.write_all(ENTER)
}

/// Gives the terminal back as it was; does nothing where it is not held.
pub fn restore() {
    if !HELD.swap(false, Ordering::SeqCst) {
        return;
    }
    // On the way out there is nobody to tell that it failed.
    let _ = stdout().and_then(|mut out| out.write_all(LEAVE));
    let _ = crossterm::terminal::disable_raw_mode();
}

/// As [`restore`], for a terminal that may not read: writes only what it takes at once.
pub fn restore_without_waiting() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let out = rustix::stdio::stdout();
    let mut fds = [PollFd::new(&out, PollFlags::OUT)];
    let ready = poll(&mut fds, Some(&Timespec::default())).is_ok_and(|n| n > 0);
    if ready && fds[0].revents() == PollFlags::OUT {
        restore();
    } else if HELD.swap(false, Ordering::SeqCst) {
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// The terminal without the standard library's line buffer.
pub(super) fn stdout() -> io::Result<File> {
    Ok(File::from(rustix::io::dup(rustix::stdio::stdout())?))
}

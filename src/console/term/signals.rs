//! Signals, and terminals that go away.
//!
//! A dead terminal ends the process at once with 129 and without a byte to it: by SIGHUP, and, where that is ignored or
//! blocked, by a thread that waits for the terminal's end. Neither crossterm nor a write would tell (crossterm issue 793).

use super::mode;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpgrp, getppid, getsid, kill_current_process_group};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use std::io;
use std::thread;
use std::time::Duration;

/// Exit code of a process whose terminal hung up.
const HUNG_UP: i32 = 129;
/// So long the console may take to give claims and terminal back after SIGTERM before it is ended.
const LAST_DEEDS: Duration = Duration::from_secs(3);

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// End; the number of the signal.
    End(i32),
    /// Stop, as ctrl-z does.
    Suspend,
    /// It was stopped and goes on; somebody else may have had the terminal.
    Continued,
}

/// Begins to listen; `tell` is called on the listening thread.
pub fn listen(tell: impl Fn(Asked) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGTSTP, SIGCONT])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGHUP => hung_up(),
                SIGTSTP => tell(Asked::Suspend),
                SIGCONT => tell(Asked::Continued),
                _ => {
                    tell(Asked::End(signal));
                    insist(signal);
                }
            }
        }
    })?;
    let tty = rustix::io::dup(rustix::stdio::stdout())?;
    thread::Builder::new().name("hang-up".to_owned()).spawn(move || {
        loop {
            // Nothing is asked for: the call returns when the other side is closed, and not before.
            let mut fds = [PollFd::new(&tty, PollFlags::empty())];
            if poll(&mut fds, None).is_ok_and(|n| n > 0) {
                hung_up();
            }
        }
    })?;
    Ok(())
}

/// Ends the process when it does not end by itself: the screen may be stuck in a terminal that does not read.
fn insist(signal: i32) {
    // Where no thread can be had the process must end now.
    let end = move || {
        mode::restore_without_waiting();
        die_of(signal);
    };
    let waiting = thread::Builder::new().spawn(move || {
        // Time is the subject: so long the last deeds may take.
        thread::sleep(LAST_DEEDS);
        end();
    });
    if waiting.is_err() {
        end();
    }
}

/// Ends the process as the signal would have, so that whoever waits for it sees why.
pub fn die_of(signal: i32) -> ! {
    let _ = low_level::emulate_default_handler(signal);
    low_level::exit(128 + signal)
}

/// Ends the process because its terminal is gone: at once, and without a byte to it.
pub fn hung_up() -> ! {
    low_level::exit(HUNG_UP)
}

/// Whether this is what a terminal answers that is gone.
pub fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::IO | Errno::PIPE | Errno::NXIO | Errno::BADF)
    )
}

/// Whether a shell could wake this process after a stop: its group must be a job of a session, not the session itself,
/// and its parent in the same session (POSIX calls the group orphaned otherwise).
pub fn can_suspend() -> bool {
    let Ok(session) = getsid(None) else { return false };
    getpgrp() != session && getppid().is_some_and(|parent| getsid(Some(parent)) == Ok(session))
}

/// Stops the whole job (`cargo run` is part of it) and returns when it is continued.
pub fn stop_until_continued() {
    // SIGSTOP cannot fail for one's own group.
    let _ = kill_current_process_group(Signal::STOP);
}

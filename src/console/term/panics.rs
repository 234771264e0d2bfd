//! Panics. On the thread that owns the screen, or any other that nobody watches, the terminal is given back first and the
//! message is made harmless; on a watched thread the message is kept for the pane that the thread feeds.

use super::mode;
use crate::text;
use std::any::Any;
use std::cell::RefCell;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// `Some` on a watched thread: the last panic's message and place.
    static WATCHED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs the hook; once a process.
pub fn install() {
    std::panic::set_hook(Box::new(hook));
}

fn hook(info: &PanicHookInfo<'_>) {
    let place = info
        .location()
        .map(|l| format!(" ({}:{})", l.file(), l.line()))
        .unwrap_or_default();
    let message = format!("{}{place}", said(info.payload()));
    let kept = WATCHED.try_with(|slot| match slot.borrow_mut().as_mut() {
        Some(kept) => {
            kept.clone_from(&message);
            true
        }
        None => false,
    });
    if kept.unwrap_or(false) {
        return;
    }
    mode::restore();
    // Nothing can be done when stderr is gone too.
    let _ = writeln!(
        std::io::stderr(),
        "restitch: this is a bug: {}\n  do:    nothing decided is lost; start restitch again and report this line",
        text::lines(&message)
    );
}

/// Runs a task; a panic in it becomes its message, and the rest of the program goes on.
pub fn watch<T>(task: impl FnOnce() -> T) -> Result<T, String> {
    WATCHED.with(|slot| *slot.borrow_mut() = Some(String::new()));
    // What the task had is gone with it: a handle that a panic left half changed is never used again.
    let done = catch_unwind(AssertUnwindSafe(task));
    let message = WATCHED.with(|slot| slot.borrow_mut().take()).unwrap_or_default();
    done.map_err(|payload| {
        if message.is_empty() {
            said(payload.as_ref())
        } else {
            message
        }
    })
}

/// In a debug build, panics once where the tests ask for it by this name: what becomes of terminal and panes then is theirs
/// to see.
#[allow(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "the bug that tests ask for; not in a release build"
)]
pub fn bug_on_purpose(place: &str) {
    static DONE: AtomicBool = AtomicBool::new(false);
    if cfg!(debug_assertions)
        && std::env::var("TEST_BUG_IN_RESTITCH").is_ok_and(|wanted| wanted == place)
        && !DONE.swap(true, Ordering::SeqCst)
    {
        panic!("on purpose \u{1b}]0;owned\u{7}");
    }
}

fn said(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_panic_is_told_and_goes_no_further() {
        let died = watch(|| -> u8 { std::panic::panic_any(String::from("no row 7")) });
        assert!(died.is_err_and(|why| why.contains("no row 7")));
        assert_eq!(watch(|| 7), Ok(7));
    }
}

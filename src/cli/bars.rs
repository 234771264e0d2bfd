//! Progress of long work, on a terminal's stderr only.

use super::Globals;
use crate::domain::progress::{Progress, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How often a bar looks.
const EVERY: Duration = Duration::from_millis(100);

/// Does the work, and shows how far it is where somebody can see it.
pub fn watch<T>(globals: &Globals, progress: &Progress, work: impl FnOnce() -> T) -> T {
    let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
    if globals.plain || dumb || !stderr().is_terminal() {
        return work();
    }
    thread::scope(|scope| {
        let (working, over) = channel::<()>();
        scope.spawn(move || {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            while over.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                show(&bar, progress.read(), globals.ascii);
            }
            bar.finish_and_clear();
        });
        let result = work();
        drop(working);
        result
    })
}

fn show(bar: &ProgressBar, (stage, done, total): (Stage, u64, u64), ascii: bool) {
    let figures = match stage {
        Stage::ReadingLog => "{bytes} of {total_bytes}",
        _ => "{human_pos} of {human_len}",
    };
    let template = match total {
        0 => "{spinner} {msg}".to_owned(),
        _ => format!("{{spinner}} {{msg:21}} {{bar:30}} {figures}, {{eta}} left"),
    };
    let Ok(style) = ProgressStyle::with_template(&template) else {
        return;
    };
    let (ticks, bar_chars) = if ascii {
        ("-\\|/ ", "#> ")
    } else {
        ("⠋⠙⠸⠴⠦⠇ ", "█▌░")
    };
    bar.set_style(style.tick_chars(ticks).progress_chars(bar_chars));
    bar.set_message(stage.words());
    if total > 0 {
        bar.set_length(total);
        bar.set_position(done.min(total));
    }
    bar.tick();
}

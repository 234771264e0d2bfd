//! The preview in the background: it is asked for by the person, and reads the log once.

use super::super::model::preview::State;
use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::work::{Shared, stand_back};
use crate::domain::Result;
use crate::domain::progress::Progress;
use crate::job;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How often it says how far it is.
const EVERY: Duration = Duration::from_millis(250);

/// Tells the preview when asked.
pub fn run(shared: &Shared) -> Result<()> {
    stand_back();
    loop {
        shared.preview.next();
        bug_on_purpose("preview");
        let progress = Progress::default();
        let ended = thread::scope(|scope| {
            let (working, over) = channel::<()>();
            let progress = &progress;
            scope.spawn(move || {
                tell(shared, progress);
                while over.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    tell(shared, progress);
                }
            });
            let ended = job::preview(&shared.config, progress);
            drop(working);
            ended
        });
        shared.mailbox.tell(Msg::Preview(match ended {
            Ok(preview) => State::Ready(Arc::new(preview)),
            Err(error) => State::Failed(error),
        }));
    }
}

fn tell(shared: &Shared, progress: &Progress) {
    let (stage, done, total) = progress.read();
    shared.mailbox.tell(Msg::Preview(State::Running { stage, done, total }));
}

//! A connection that listens, and by which it is known whether the server is there.
//!
//! Behind a pooler that lends connections transaction by transaction, LISTEN would stay on a connection that serves
//! others: the ears ask which backend answers them, and listen to none that answers somebody else too.

use super::link::{Line, Link, ask, run};
use super::pause;
use super::trouble::{Doing, Trouble};
use crate::domain::Result;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// A server of which nothing was heard for so long is asked whether it is there.
const ASK: Duration = Duration::from_secs(3);
/// The same where nothing can be heard.
const ASK_DEAF: Duration = Duration::from_secs(1);
/// Who gets no answer so soon has a connection that was closed.
const CLOSED: Duration = Duration::from_secs(1);
/// Which backend answers, and whether it is the one that listens.
const WHICH: &str = "SELECT pg_backend_pid(), 'restitch' IN (SELECT pg_listening_channels()), pg_is_in_recovery()";

/// The ears of one console.
#[derive(Debug)]
pub(in crate::ledger) struct Ears {
    link: Arc<Link>,
    place: String,
    line: Option<Line>,
    /// The backend that listens.
    backend: i32,
    /// Holds one: however much was heard, it is looked once.
    tell: SyncSender<()>,
    told: Receiver<()>,
    /// Attempts to connect that failed, one after the other.
    failed: u32,
    /// A pooler stands in between.
    pub pooled: bool,
}

impl Ears {
    pub(super) fn new(link: Arc<Link>, place: String) -> Self {
        let (tell, told) = sync_channel(1);
        Self {
            link,
            place,
            line: None,
            backend: 0,
            tell,
            told,
            failed: 0,
            pooled: false,
        }
    }

    pub fn hear(&mut self) -> Result<()> {
        let heard = match self.line.take() {
            None => {
                if let Some(before) = self.failed.checked_sub(1) {
                    // Nothing tells when a server answers again: it is asked, each time a little later.
                    thread::sleep(pause(before));
                }
                // Listens first: what changes from now on is heard, what changed before is read after this.
                self.listen()
            }
            Some(line) => self.wait(line),
        };
        match heard {
            Ok(line) => {
                self.line = Some(line);
                self.failed = 0;
                Ok(())
            }
            Err(trouble) => {
                self.failed = self.failed.saturating_add(1);
                self.link.cut();
                Err(trouble.told(&self.place))
            }
        }
    }

    fn wait(&mut self, line: Line) -> Result<Line, Trouble> {
        let patience = if self.pooled { ASK_DEAF } else { ASK };
        if self.told.recv_timeout(patience).is_ok() {
            // A closed connection tells too. The server may well be there.
            return if line.is_closed() { self.listen() } else { Ok(line) };
        }
        let asked = Instant::now();
        let (line, backend, listens) = match which(line) {
            // Closed, not silent: it may have been this connection alone.
            Err(Trouble::Lost(_)) if asked.elapsed() < CLOSED => return self.listen(),
            which => which?,
        };
        // Behind a pooler it is another one sooner or later.
        self.pooled |= backend != self.backend;
        if self.pooled || listens {
            return Ok(line);
        }
        self.listen()
    }

    fn listen(&mut self) -> Result<Line, Trouble> {
        let tell = self.tell.clone();
        let heard = move || match tell.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        };
        let line = self.link.open(Doing::Glance.limit(), heard).map_err(Trouble::Failed)?;
        let (line, backend, _) = which(line)?;
        // The connection that was used last is what a pooler lends next.
        let (other, others, _) = which(self.link.take().map_err(Trouble::Failed)?)?;
        self.link.give_back(other);
        self.backend = backend;
        self.pooled = backend == others;
        if self.pooled {
            return Ok(line);
        }
        run(line, "LISTEN restitch", Doing::Glance)
    }
}

/// The backend that answers on a connection, and whether it listens; lost where it is a standby by now.
fn which(line: Line) -> Result<(Line, i32, bool), Trouble> {
    let (line, rows) = ask(line, WHICH, Vec::new(), Doing::Glance)?;
    let said = rows
        .first()
        .and_then(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?, row.try_get(2).ok()?)));
    match said {
        Some((backend, listens, false)) => Ok((line, backend, listens)),
        Some((_, _, true)) => Err(Trouble::Lost("it is a standby by now".to_owned())),
        None => Err(Trouble::Lost("it answers what restitch cannot read".to_owned())),
    }
}

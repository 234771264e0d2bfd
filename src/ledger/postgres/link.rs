//! Connections to the ledger's server, kept while they are good, and one thread that drives them all: whoever asks waits for
//! the answer on a thread of their own, and nothing that was sent is ever dropped half-way.

use super::trouble::{Doing, Trouble};
use crate::config::{Database, secrets};
use crate::domain::{Error, ErrorKind, Result};
use crate::restored::pg;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, SimpleQueryMessage};

/// Connections that are kept for the next who asks; a console seldom needs more at once.
const KEPT: usize = 2;
/// A server that says nothing for so long is as good as gone: the connection is given up.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

/// How a session is: nothing waits longer than a person does, and nothing of a console that is gone goes on. The limit of a
/// statement is below [`SILENCE`]: the server gives it up first, and then it is known that nothing was done. (By a
/// reading of `pg_settings`, as servers before 14 do not know the last one.)
const SETTINGS: &str = "SET statement_timeout = '10s'; SET lock_timeout = '2s'; \
                        SET idle_in_transaction_session_timeout = '15s'; \
                        SELECT set_config(name, '5s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'; \
                        SELECT pg_is_in_recovery()";
/// A statement may take longer, and may not any more.
pub(super) const PATIENT: &str = "SET statement_timeout = '15min'";
pub(super) const IMPATIENT: &str = "SET statement_timeout = '10s'";

/// The timeline: the first eight digits of a segment's name (PostgreSQL manual, `pg_walfile_name`). Some servers do not tell.
const TIMELINE: &str = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)";

/// A connection, and what cuts it.
#[derive(Debug)]
pub(super) struct Line {
    // Boxed: it goes along with every error, too.
    client: Box<Client>,
    cut: watch::Receiver<()>,
}

impl Line {
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// A value that goes along with a statement.
#[derive(Debug, Clone)]
pub(super) enum Bound {
    Int(i64),
    Text(String),
    Texts(Vec<String>),
}

impl Bound {
    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Int(number) => (number, Type::INT8),
            Self::Text(text) => (text, Type::TEXT),
            Self::Texts(texts) => (texts, Type::TEXT_ARRAY),
        }
    }
}

/// The way to one server as one person.
#[derive(Debug)]
pub(super) struct Link {
    database: Database,
    /// What the server's own lists call this console: purpose, person, process.
    name: String,
    idle: Mutex<Vec<Line>>,
    /// Ends every wait for an answer.
    cut: watch::Sender<()>,
    /// The timeline that the server was on first, where it tells.
    timeline: OnceLock<String>,
}

impl Link {
    pub fn new(database: Database, name: String) -> Self {
        Self {
            database,
            name,
            idle: Mutex::default(),
            cut: watch::Sender::new(()),
            timeline: OnceLock::new(),
        }
    }

    /// A connection: one that was kept, else a new one, to whatever address the server's name has now.
    pub fn take(&self) -> Result<Line> {
        let kept = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|line| !line.is_closed());
            idle.pop()
        };
        match kept {
            Some(line) => Ok(line),
            None => self.open(SILENCE, || ()),
        }
    }

    /// A connection that is not among those kept, within so long; `heard` is told of notifications and of its end.
    ///
    /// Refused by a standby, which shows what was, and by a server on another timeline than at first.
    pub fn open(&self, within: Duration, heard: impl Fn() + Send + 'static) -> Result<Line> {
        let database = secrets::with_password(&self.database)?;
        let name = self.name.clone();
        let cut = self.cut.subscribe();
        let opened = wait(async move {
            let opening = async {
                let connection = pg::open_and_hear(&database, &name, heard).await?;
                let settled = settle(&connection.client).await;
                let timeline = settled.map_err(|e| connection.error("preparing the session", &e))?;
                Ok((connection, timeline))
            };
            let silent = |_| {
                Err(Error::failed(format!(
                    "the server said nothing for {} s",
                    within.as_secs()
                )))
            };
            tokio::time::timeout(within, opening).await.unwrap_or_else(silent)
        })?;
        let (connection, timeline) = opened.map_err(away)?;
        match timeline {
            Timeline::Standby => Err(Error::new(
                ErrorKind::Lost,
                "the ledger's server is a standby: what it shows may be old, and it only reads",
            )
            .at(connection.place)
            .cure("wait until it has taken over, or let `ledger.url` name the writer")),
            Timeline::Told(now) if self.timeline.get_or_init(|| now.clone()) != &now => Err(Error::new(
                ErrorKind::Lost,
                format!(
                    "the ledger's server is on timeline {now} and was on {}: a standby took over, or it was restored, and \
                     what it acknowledged last may be missing",
                    self.timeline.get().map_or("another", String::as_str)
                ),
            )
            .at(connection.place)
            .cure("look at `restitch audit verify --anchor` and the last decisions, then end restitch and start it again")),
            Timeline::Told(_) | Timeline::Untold => Ok(Line {
                client: Box::new(connection.client),
                cut,
            }),
        }
    }

    /// Keeps a connection for the next who asks.
    pub fn give_back(&self, line: Line) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT && !line.is_closed() {
            idle.push(line);
        }
    }

    /// Forgets the connections kept: one of them turned out to lead nowhere.
    pub fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Gives every connection up, those on which an answer is awaited too: the server is not there any more.
    pub fn cut(&self) {
        self.forget();
        self.cut.send_replace(());
    }
}

/// What a server tells of its timeline.
enum Timeline {
    Standby,
    Told(String),
    Untold,
}

/// Makes the session as it shall be.
async fn settle(client: &Client) -> Result<Timeline, tokio_postgres::Error> {
    let said = client.simple_query(SETTINGS).await?;
    let rows = said.iter().filter_map(|m| match m {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    if rows.last() == Some("t") {
        return Ok(Timeline::Standby);
    }
    let told = client.query_typed(TIMELINE, &[]).await;
    let told = told.ok().and_then(|rows| rows.first()?.try_get(0).ok());
    Ok(told.map_or(Timeline::Untold, Timeline::Told))
}

/// Where no connection can be had, for whatever reason, one may be had later.
fn away(error: Error) -> Error {
    match error.kind {
        ErrorKind::Failed => Error {
            kind: ErrorKind::Lost,
            cure: Some(
                "look whether the ledger's instance is available and lets you in; consoles try again by themselves"
                    .to_owned(),
            ),
            ..error
        },
        _ => error,
    }
}

/// Runs a statement; the connection comes back with the answer, unless it is lost.
pub(super) fn ask(mut line: Line, sql: &str, bound: Vec<Bound>, doing: Doing) -> Result<(Line, Vec<Row>), Trouble> {
    let sql = sql.to_owned();
    let asked = wait(async move {
        let typed: Vec<_> = bound.iter().map(Bound::typed).collect();
        let answer = tokio::select! {
            answer = tokio::time::timeout(doing.limit(), line.client.query_typed(&sql, &typed)) => Some(answer),
            Ok(()) = line.cut.changed() => None,
        };
        (line, answer)
    });
    told(asked, doing)
}

/// Runs statements that answer nothing.
pub(super) fn run(mut line: Line, sql: &str, doing: Doing) -> Result<Line, Trouble> {
    let sql = sql.to_owned();
    let asked = wait(async move {
        let answer = tokio::select! {
            answer = tokio::time::timeout(doing.limit(), line.client.batch_execute(&sql)) => Some(answer),
            Ok(()) = line.cut.changed() => None,
        };
        (line, answer)
    });
    told(asked, doing).map(|(line, ())| line)
}

/// An answer in time; none where the connection was cut.
type Answer<T> = Option<Result<Result<T, tokio_postgres::Error>, tokio::time::error::Elapsed>>;

/// What came of a statement. A connection without an answer is dropped: nobody knows what was done on it.
fn told<T>(asked: Result<(Line, Answer<T>)>, doing: Doing) -> Result<(Line, T), Trouble> {
    match asked.map_err(Trouble::Failed)? {
        (line, Some(Ok(Ok(answer)))) => Ok((line, answer)),
        (line, Some(Ok(Err(error)))) => Err(Trouble::of(&error, line)),
        (_, Some(Err(_))) => Err(Trouble::Lost(format!(
            "the server said nothing for {} s",
            doing.limit().as_secs()
        ))),
        (_, None) => Err(Trouble::Lost("the connection was given up".to_owned())),
    }
}

/// Waits on this thread for what the other one does.
pub(super) fn wait<T: Send + 'static>(what: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let (send, receive) = mpsc::sync_channel(1);
    runtime()?.spawn(async move {
        // Nobody drops the receiver before it has an answer.
        let _ = send.send(what.await);
    });
    receive
        .recv()
        .map_err(|_| Error::failed("what talks to the ledger's server ended: this is a bug of restitch"))
}

/// Ends what a connection had begun, without waiting for it, and keeps the connection.
pub(super) fn end_later(link: &Arc<Link>, begun: Line) {
    let link = Arc::clone(link);
    if let Ok(runtime) = runtime() {
        runtime.spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(SILENCE, begun.client.batch_execute("ROLLBACK")).await {
                link.give_back(begun);
            }
        });
    }
}

fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ledger")
            .enable_all()
            .build()
    });
    made.as_ref()
        .map_err(|e| Error::failed(format!("no thread can be started for the ledger: {e}")))
}

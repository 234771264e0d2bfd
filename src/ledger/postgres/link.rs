//! Connections to the ledger's server, kept while they are good, and one thread that drives them all: whoever asks waits for
//! the answer on a thread of their own, and nothing that was sent is ever dropped half-way.

use super::trouble::{Doing, Trouble};
use crate::config::{Database, secrets};
use crate::domain::{Error, Result};
use crate::restored::pg;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

/// Connections that are kept for the next who asks; a console seldom needs more at once.
const KEPT: usize = 2;
/// A server that says nothing for so long is as good as gone: the connection is given up.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

/// A connection.
pub(super) type Line = Arc<Client>;

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
}

impl Link {
    pub fn new(database: Database, name: String) -> Self {
        Self {
            database,
            name,
            idle: Mutex::default(),
        }
    }

    /// A connection: one that was kept, else a new one, to whatever address the server's name has now.
    pub fn take(&self) -> Result<Line> {
        let kept = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|client| !client.is_closed());
            idle.pop()
        };
        match kept {
            Some(client) => Ok(client),
            None => self.open(),
        }
    }

    /// A connection that is not among those kept.
    pub fn open(&self) -> Result<Line> {
        let database = secrets::with_password(&self.database)?;
        let name = self.name.clone();
        wait(async move { pg::open(&database, &name).await })?.map(|connection| Arc::new(connection.client))
    }

    /// Keeps a connection for the next who asks.
    pub fn give_back(&self, client: Line) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT && !client.is_closed() {
            idle.push(client);
        }
    }

    /// Forgets the connections kept: one of them turned out to lead nowhere.
    pub fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Runs a statement; the connection comes back with the answer, unless it is lost.
pub(super) fn ask(client: Line, sql: &str, bound: Vec<Bound>, doing: Doing) -> Result<(Line, Vec<Row>), Trouble> {
    let sql = sql.to_owned();
    let asked = wait(async move {
        let typed: Vec<_> = bound.iter().map(Bound::typed).collect();
        let answer = tokio::time::timeout(doing.limit(), client.query_typed(&sql, &typed)).await;
        (client, answer)
    });
    match asked.map_err(Trouble::Failed)? {
        (client, Ok(Ok(rows))) => Ok((client, rows)),
        (client, Ok(Err(error))) => Err(Trouble::of(&error, client)),
        (_, Err(_)) => Err(Trouble::Lost(format!(
            "the server said nothing for {} s",
            doing.limit().as_secs()
        ))),
    }
}

/// Runs statements that answer nothing.
pub(super) fn run(client: Line, sql: &str, doing: Doing) -> Result<Line, Trouble> {
    let sql = sql.to_owned();
    let asked = wait(async move {
        let answer = tokio::time::timeout(doing.limit(), client.batch_execute(&sql)).await;
        (client, answer)
    });
    match asked.map_err(Trouble::Failed)? {
        (client, Ok(Ok(()))) => Ok(client),
        (client, Ok(Err(error))) => Err(Trouble::of(&error, client)),
        (_, Err(_)) => Err(Trouble::Lost(format!(
            "the server said nothing for {} s",
            doing.limit().as_secs()
        ))),
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
pub(super) fn end_later(link: &Arc<Link>, client: Line) {
    let link = Arc::clone(link);
    if let Ok(runtime) = runtime() {
        runtime.spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(SILENCE, client.batch_execute("ROLLBACK")).await {
                link.give_back(client);
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

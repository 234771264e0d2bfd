//! Looks at the old instance: who is connected, and whether its tables are still written to.
//!
//! Rows written are counted by the server's own statistics of the tables of this database (PostgreSQL manual, The
//! Cumulative Statistics System): a heartbeat that the platform keeps in a database of its own does not count, and neither
//! does a vacuum. They lag by a second or so, and tell of what was rolled back as well.

use crate::config::{Config, Database, DbUrl, LogConfig, SourceKind, secrets};
use crate::domain::old::{Client, Old, Seen};
use crate::domain::phase::{Phase, PhaseState};
use crate::domain::{Error, Result};
use crate::ledger::Ledger;
use crate::restored::pg::{self, Connection, Session};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const WRITTEN: &str = "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint from pg_stat_user_tables";

// What others do may be hidden from this user: then they are clients without a place.
const CLIENTS: &str = "\
    select coalesce(usename::text, ''), coalesce(host(client_addr), ''), coalesce(application_name, ''), \
      (extract(epoch from xact_start) * 1000000)::bigint \
    from pg_stat_activity \
    where datname = current_database() and pid <> pg_backend_pid() and usename is not null and usename <> 'rdsadmin' \
      and coalesce(backend_type, 'client backend') = 'client backend' and application_name not like 'restitch %' \
    order by xact_start desc nulls last limit 100";

const WRITABLE: &str = "select not pg_is_in_recovery() and current_setting('transaction_read_only') is not null";

/// How many rows an old instance had ever written, and when it said so, microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    rows: i64,
    at: i64,
}

/// One old instance under watch.
pub struct Watch {
    name: String,
    database: Option<Database>,
    connection: Option<Connection>,
    /// Rows written as of the first look, and as of the last.
    base: Option<(i64, i64)>,
    written: Option<(u64, i64)>,
    last: Option<i64>,
    first: Option<i64>,
    /// The fact of the ledger that looks are held against.
    since: Option<String>,
}

/// Has what the old instances take counted from the first look that anybody took at them behind the shutdown: one who
/// looks later, and once only, says the same. With `may_keep`, a first look is kept in the ledger.
pub fn count_from_shutdown(watches: &mut [Watch], ledger: &mut Ledger, attempt: u32, may_keep: bool) -> Result<()> {
    let phases = ledger.phases()?;
    let down = phases
        .iter()
        .find(|l| l.phase == Phase::PodsDown && l.state == PhaseState::Done);
    let Some(down) = down.and_then(|l| l.since) else {
        return Ok(());
    };
    for watch in watches {
        let name = format!("old-instance {attempt} {} {down}", watch.name);
        if watch.since.as_ref() == Some(&name) {
            continue;
        }
        match (ledger.fact::<Count>(&name)?, watch.count()) {
            (Some(first), _) => watch.hold_against(name, first),
            (None, Some(first)) if may_keep && first.at >= down => {
                ledger.first_fact(&name, &first)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A watch for each instance that a `[[log]]` of source `database` names. A file takes no commits from afar.
pub fn watches(config: &Config) -> Vec<Watch> {
    let servers = config.logs.iter().filter(|log| {
        let server = log
            .database
            .as_ref()
            .is_some_and(|d| matches!(d.url, DbUrl::Postgres { .. }));
        log.source == SourceKind::Database && server
    });
    servers.map(Watch::new).collect()
}

impl Watch {
    fn new(log: &LogConfig) -> Self {
        Self {
            name: log.name.clone(),
            database: log.database.clone(),
            connection: None,
            base: None,
            written: None,
            last: None,
            first: None,
            since: None,
        }
    }

    /// As of the last look; `None` before it.
    fn count(&self) -> Option<Count> {
        let (rows, at) = (self.base?.1, self.last?);
        Some(Count { rows, at })
    }

    fn hold_against(&mut self, name: String, first: Count) {
        self.since = Some(name);
        self.first = Some(first.at);
        self.written = None;
        self.base = Some((first.rows, first.rows));
    }

    /// Looks once; `now` is microseconds since 1970. The first look gives what later ones are held against.
    pub async fn look(&mut self, now: i64) -> Old {
        let first = *self.first.get_or_insert(now);
        let seen = self.ask(now).await;
        if seen.is_err() {
            self.connection = None;
        }
        Old {
            name: self.name.clone(),
            looked: (first, now),
            seen: seen.map_err(|e| e.what),
        }
    }

    async fn ask(&mut self, now: i64) -> Result<Seen> {
        let connection = match self.connection.take() {
            Some(connection) if !connection.client.is_closed() => connection,
            _ => {
                let database = self.database.as_ref();
                let database = database.ok_or_else(|| Error::usage("its url is not configured"))?;
                let session = Session {
                    purpose: "old instance",
                    read_only: true,
                    statement_timeout: Duration::from_secs(10),
                    idle_timeout: Duration::from_secs(30),
                };
                pg::connect(&secrets::with_password(database)?, session).await?
            }
        };
        let failed = |e: &tokio_postgres::Error| connection.error("looking at the old instance", e);
        let one = async |sql| connection.client.query_typed_one(sql, &[]).await;
        let written: i64 = one(WRITTEN).await.and_then(|r| r.try_get(0)).map_err(|e| failed(&e))?;
        let writable: bool = one(WRITABLE).await.and_then(|r| r.try_get(0)).map_err(|e| failed(&e))?;
        let rows = connection
            .client
            .query_typed(CLIENTS, &[])
            .await
            .map_err(|e| failed(&e))?;
        let (mut clients, mut newest) = (Vec::with_capacity(rows.len()), None);
        for row in &rows {
            let client = Client {
                user: row.try_get(0).map_err(|e| failed(&e))?,
                from: row.try_get(1).map_err(|e| failed(&e))?,
                application: row.try_get(2).map_err(|e| failed(&e))?,
            };
            newest = newest.max(row.try_get(3).map_err(|e| failed(&e))?);
            // Ten connections of one pool are one client.
            if !clients.contains(&client) {
                clients.push(client);
            }
        }
        self.connection = Some(connection);
        Ok(Seen {
            clients,
            newest,
            written: self.grown(written, now),
            writable,
        })
    }

    /// What was written since the first look. Statistics that were reset begin anew.
    fn grown(&mut self, written: i64, now: i64) -> Option<(u64, i64)> {
        let (base, last) = self.base.unwrap_or((written, written));
        let base = if written < last { written } else { base };
        if written > last {
            self.written = Some((u64::try_from(written - base).unwrap_or(0), now));
        }
        self.base = Some((base, written));
        self.last = Some(now);
        self.written
    }
}

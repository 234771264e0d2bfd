//! The orchestration queues of the restored database: by `[schema.orchestration_queue]`, or by the site's own query.

use crate::config::{ClusterConfig, Config, DbUrl, secrets};
use crate::domain::cluster::Queue;
use crate::domain::{Error, Result};
use crate::restored::pg::{self, Session, quoted};
use crate::restored::sqlite::Sqlite;
use std::time::Duration;

/// The entity whose rows are queues.
pub const ENTITY: &str = "orchestration_queue";
/// More queues than a site has.
const LIMIT: usize = 10_000;

/// Their names, or why they cannot be read; `None` where nothing says what they are.
pub async fn names(config: &Config, cluster: &ClusterConfig) -> Option<Result<Vec<String>, String>> {
    let entity = config.schema.entities.iter().find(|e| e.name == ENTITY);
    if cluster.queues.is_none() && entity.is_none() {
        return None;
    }
    // A SQLite file has no schemas in it.
    let sql = |schemas: bool| match (&cluster.queues, entity) {
        (Some(sql), _) => sql.trim_end_matches([';', ' ', '\n']).to_owned(),
        (None, Some(entity)) => {
            let column = entity.label.as_ref().or(entity.key.first());
            let mut parts: Vec<String> = entity.table.split('.').map(quoted).collect();
            if !schemas {
                parts.drain(..parts.len() - 1);
            }
            let column = column.map_or_else(|| "*".to_owned(), |c| quoted(c));
            format!("select {column} from {} limit {LIMIT}", parts.join("."))
        }
        (None, None) => String::new(),
    };
    Some(read(config, sql).await.map_err(|e| e.what))
}

async fn read(config: &Config, sql: impl Fn(bool) -> String) -> Result<Vec<String>> {
    let database = config.restored.as_ref();
    let database = database.ok_or_else(|| Error::usage("no restored database is configured"))?;
    let database = secrets::with_password(database)?;
    if let DbUrl::Sqlite(path) = &database.url {
        return Sqlite::open(path)?.texts(&sql(false));
    }
    let session = Session {
        purpose: "queues",
        read_only: true,
        statement_timeout: Duration::from_secs(15),
        idle_timeout: Duration::from_secs(30),
    };
    let connection = pg::connect(&database, session).await?;
    let doing = "reading the orchestration queues";
    // As text, whatever the type of the column.
    let sql = format!("select q::text from ({}) as queues(q)", sql(true));
    let rows = connection.client.query_typed(&sql, &[]).await;
    let rows = rows.map_err(|e| connection.error(doing, &e))?;
    let names = rows.iter().map(|row| row.try_get::<_, Option<String>>(0));
    let names: Result<Vec<_>, _> = names.collect();
    Ok(names
        .map_err(|e| connection.error(doing, &e))?
        .into_iter()
        .flatten()
        .collect())
}

/// Queues that nobody says were deleted.
pub fn plain(names: Vec<String>) -> Vec<Queue> {
    let plain = |name| Queue { name, deleted: false };
    names.into_iter().map(plain).collect()
}

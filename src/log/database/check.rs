//! Whether the old instance can serve as the log, without reading its rows.

use super::{Source, name};
use crate::config::{Config, Database, DbUrl, LogConfig, secrets};
use crate::domain::{Error, Result};
use crate::restored::postgres::Postgres;
use crate::restored::sqlite::Sqlite;
use crate::restored::{Origin, Restored};

/// What a look at the old instance came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// `om@old.example`
    pub name: String,
    /// Rows of the mapped tables, about.
    pub rows: u64,
    /// It is the restored database itself.
    pub is_restored: bool,
    /// As of when it speaks, microseconds since 1970.
    pub as_of: i64,
}

/// Connects to the instance that a log of source `database` names, and reads its catalogue.
pub async fn check(config: &Config, log: &LogConfig) -> Result<Checked> {
    let database = log.database.as_ref();
    let database = database.ok_or_else(|| Error::usage(format!("log {} names no database", log.name)))?;
    let database = secrets::with_password(database)?;
    let source = Source {
        ix: 0,
        log,
        name: name(&database),
        restored_to: config.incident.restored_to,
    };
    let (origin, rows) = look(config, &database, true).await.map_err(|e| source.blamed(e))?;
    let restored = match &config.restored {
        Some(restored) => look(config, &secrets::with_password(restored)?, false).await.ok(),
        None => None,
    };
    Ok(Checked {
        rows,
        is_restored: restored.is_some_and(|(restored, _)| restored.instance == origin.instance),
        as_of: source.as_of(&origin),
        name: source.name,
    })
}

async fn look(config: &Config, database: &Database, tables: bool) -> Result<(Origin, u64)> {
    match &database.url {
        DbUrl::Sqlite(path) => look_in(config, &mut Sqlite::open(path)?, tables).await,
        DbUrl::Postgres { .. } => look_in(config, &mut Postgres::connect(database, &config.scan).await?, tables).await,
    }
}

async fn look_in<D: Restored>(config: &Config, database: &mut D, tables: bool) -> Result<(Origin, u64)> {
    let mut rows = 0;
    if tables {
        let catalogue = database.catalogue(&config.schema).await?;
        for entity in 0..catalogue.tables.len() {
            rows += database.about(entity).await?;
        }
    }
    Ok((database.origin().await?, rows))
}

//! The long jobs that commands, console and demo share: a scan into the ledger, and the proof of decisions.

use crate::config::{Config, Database, DbUrl, secrets};
use crate::domain::progress::Progress;
use crate::domain::queue::ScanCounts;
use crate::domain::{Error, Result};
use crate::ledger::Ledger;
use crate::log::ReadError;
use crate::resolve::prove::{self, Proven};
use crate::restored::postgres::Postgres;
use crate::restored::sqlite::Sqlite;
use crate::scan::{self, Outcome, ScanReport};
use tokio::runtime::{Builder, Runtime};

/// What a scan found, and what became of it in the ledger.
#[derive(Debug)]
pub struct Scanned {
    /// In figures.
    pub report: ScanReport,
    /// What it did to the ledger's cases.
    pub counts: ScanCounts,
}

/// Reads log and restored database, and takes what it finds into the ledger. A scan that fails or is cancelled leaves
/// the ledger as it was, but for the rejected lines that made it fail.
pub fn scan(config: &Config, ledger: &mut Ledger, progress: &Progress) -> Result<Scanned> {
    let past = ledger.past()?;
    let ended = runtime()?.block_on(async {
        let database = restored(config)?;
        match &database.url {
            DbUrl::Sqlite(path) => scan::run(config, &mut Sqlite::open(path)?, &past, progress).await,
            DbUrl::Postgres { .. } => {
                let mut server = Postgres::connect(&database, &config.scan).await?;
                scan::run(config, &mut server, &past, progress).await
            }
        }
    });
    let Outcome {
        report,
        cases,
        rejects,
        opening,
    } = match ended {
        Ok(outcome) => outcome,
        Err(ReadError { error, rejects }) => {
            if !rejects.is_empty() {
                ledger.keep_rejects(&rejects, &error.what)?;
            }
            return Err(error);
        }
    };
    let json = serde_json::to_value(&report).map_err(|e| Error::failed(format!("cannot write the report: {e}")))?;
    let counts = ledger.store_scan(&mut cases.into_iter(), &rejects, &json, opening.as_ref(), progress)?;
    Ok(Scanned { report, counts })
}

/// Reads the restored database again for decided cases, all of them or these, and notes in the ledger what holds.
pub fn prove(config: &Config, ledger: &mut Ledger, ids: Option<&[String]>, progress: &Progress) -> Result<Proven> {
    runtime()?.block_on(async {
        let database = restored(config)?;
        match &database.url {
            DbUrl::Sqlite(path) => prove::prove(config, ledger, &mut Sqlite::open(path)?, ids, progress).await,
            DbUrl::Postgres { .. } => {
                let mut server = Postgres::connect(&database, &config.scan).await?;
                prove::prove(config, ledger, &mut server, ids, progress).await
            }
        }
    })
}

/// The restored database with its password.
pub fn restored(config: &Config) -> Result<Database> {
    let database = config.restored.as_ref().ok_or_else(|| {
        Error::usage("no restored database is configured")
            .at("[restored]")
            .cure("set restored.url; `restitch print-config` shows how")
    })?;
    secrets::with_password(database)
}

/// One thread drives the connections; the readers of the log bring their own.
pub fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Error::failed(format!("no thread can be started: {e}")))
}

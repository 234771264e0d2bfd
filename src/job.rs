//! The long jobs that commands, console and demo share: the gate, a scan into the ledger, and the proof of decisions.

pub mod bulk;
mod signoff;

pub use signoff::{Left, SignedOff, hand_over, sign_off};

use crate::config::{Config, Database, DbUrl, ScanConfig, SourceKind, secrets};
use crate::domain::ErrorKind;
use crate::domain::case::{State, Verb};
use crate::domain::cluster::Reading;
use crate::domain::gate::Gate;
use crate::domain::paper::{Paper, PaperKind};
use crate::domain::preflight::Preflight;
use crate::domain::progress::Progress;
use crate::domain::progress::Stage;
use crate::domain::queue::{CaseFile, Course, Decide, ScanCounts};
use crate::domain::ready::Ready;
use crate::domain::schema::{Catalogue, ORDER};
use crate::domain::{Error, Result, time};
use crate::ledger::{self, Asker, Ledger, Role};
use crate::log::{LogInput, ReadError, Wants};
use crate::resolve::effects::{self, Carried};
use crate::resolve::prove::{self, Proven};
use crate::restore::gate::{self, Asked, Old, Witness};
use crate::restore::rds::check;
use crate::restore::rds::client::Aws;
use crate::restore::rds::command::{self, Commands, Plan};
use crate::restore::rds::inside::Export;
use crate::restore::{cluster, hold, old, org, ready};
use crate::restored::facts::Facts;
use crate::restored::postgres::Postgres;
use crate::restored::propose;
use crate::restored::sqlite::Sqlite;
use crate::restored::{Lookup, Restored, Row};
use crate::scan::preview::{Point, Preview};
use crate::scan::{self, Outcome, ScanReport, Stopped};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Facts of the ledger: what the old instance had, the source as AWS described it, the pre-flight.
const EXPORT: &str = "aws-export";
/// See [`EXPORT`].
pub const SOURCE: &str = "aws-source";
/// See [`EXPORT`].
pub const PREFLIGHT: &str = "aws-preflight";

/// What a scan found, and what became of it in the ledger.
#[derive(Debug)]
pub struct Scanned {
    /// In figures.
    pub report: ScanReport,
    /// What it did to the ledger's cases.
    pub counts: ScanCounts,
}

/// Asks the gate, reads log and restored database, and takes what it finds into the ledger. A scan that fails or is
/// cancelled leaves the ledger as it was, but for the rejected lines that made it fail, and what the gate said. A red gate
/// stops it, unless `despite` says why not.
pub fn scan(config: &Config, ledger: &mut Ledger, despite: Option<&str>, progress: &Progress) -> Result<Scanned> {
    let config = &with_ignores(config, ledger)?;
    let mut past = ledger.past()?;
    past.gate = Asked {
        despite: despite.map(str::to_owned),
        ..asked(Some(ledger))?
    };
    // Before the database: an order that is taken meanwhile is found there.
    let mut silent = None;
    let hold = match hold::status::for_scan(config, ledger) {
        Some(Ok(read)) => Some(read),
        Some(Err(ReadError { error, rejects })) if !rejects.is_empty() => {
            ledger.keep_rejects(&rejects, &error.what)?;
            return Err(error);
        }
        Some(Err(ReadError { error, .. })) => {
            silent = Some(format!("hold: {}", error.what));
            None
        }
        None => None,
    };
    let kept = hold.map(|h| {
        past.hold = Some(h.on_broker);
        (h.reading, h.seen)
    });
    let ended = runtime()?.block_on(async {
        let database = restored(config)?;
        past.gate.old = old_instances(config).await;
        match &database.url {
            DbUrl::Sqlite(path) => scan::run(config, &mut Sqlite::open(path)?, &past, progress).await,
            DbUrl::Postgres { .. } => {
                let mut server = Postgres::connect(&database, &config.scan).await?;
                Box::pin(scan::run(config, &mut server, &past, progress)).await
            }
        }
    });
    let Outcome {
        mut report,
        cases,
        rejects,
        opening,
        gate,
    } = match ended {
        Ok(outcome) => outcome,
        Err(Stopped { error, rejects, gate }) => {
            if let Some(gate) = gate {
                ledger.keep_gate(&gate, Asker::Scan)?;
            }
            if !rejects.is_empty() {
                ledger.keep_rejects(&rejects, &error.what)?;
            }
            return Err(error);
        }
    };
    let by = despite.filter(|_| gate.red().is_some());
    ledger.keep_gate(&gate, by.map_or(Asker::Scan, Asker::ScanDespite))?;
    report.warnings.extend(silent);
    let json = serde_json::to_value(&report).map_err(|e| Error::failed(format!("cannot write the report: {e}")))?;
    let counts = ledger.store_scan(&mut cases.into_iter(), &rejects, &json, opening.as_ref(), progress)?;
    if let Some((reading, seen)) = kept {
        ledger.keep_fact(hold::status::QUEUED, &(report.queued, time::now()), None)?;
        ledger.keep_hold_reading(&reading)?;
        ledger.keep_hold_seen(&reading.topic, &seen)?;
    }
    Ok(Scanned { report, counts })
}

/// Decides a case. Before an order is sent to the intake again, its identity is looked up in the restored database as it
/// is at that moment: refused where it is there, and where nobody can tell.
pub fn decide(config: &Config, ledger: &mut Ledger, d: &Decide) -> Result<Vec<(String, State)>> {
    look_up_again(config, ledger, d)?;
    ledger.decide(d)
}

/// As [`decide`], on a case of a bulk.
fn decide_in_bulk(config: &Config, ledger: &mut Ledger, d: &Decide, bulk: &str) -> Result<Vec<(String, State)>> {
    look_up_again(config, ledger, d)?;
    ledger.decide_in_bulk(d, bulk)
}

/// Signs a paper that somebody else wrote: the decision that it asks for is made with that.
pub fn approve(config: &Config, ledger: &mut Ledger, paper: &Paper, why: &str) -> Result<Vec<(String, State)>> {
    if paper.kind == PaperKind::Decision {
        look_up_again(config, ledger, &ledger::asked(paper)?)?;
    }
    ledger.sign(paper, why)
}

fn look_up_again(config: &Config, ledger: &mut Ledger, d: &Decide) -> Result<()> {
    if d.verb == Some(Verb::Resubmit)
        && !ledger.knows_decision(&d.key)?
        && let Some(why) = why_not_resubmit(config, ledger, &d.case)?
    {
        return Err(ledger.refuse_decision(d, why));
    }
    Ok(())
}

/// Why an order must not be sent to the intake now, by the restored database itself. Where role, claim or a guard are
/// against it already, it is not asked.
pub fn why_not_resubmit(config: &Config, ledger: &Ledger, case: &str) -> Result<Option<Error>> {
    let Some(file) = ledger.case(case)? else {
        return Ok(None);
    };
    let offers = ledger.offers(case)?;
    if offers.iter().any(|o| o.verb == Verb::Resubmit && o.refused.is_some()) {
        return Ok(None);
    }
    Ok(match order_of(config, ledger, &file) {
        Ok(None) => None,
        Ok(Some(found)) => Some(
            Error::refused(format!("resubmit {case}: {found}: it would be done twice"))
                .cure("scan again: the case is out of date"),
        ),
        Err(error) => Some(
            Error::refused(format!(
                "resubmit {case}: nobody knows whether {} is there by now: {}",
                file.found.label, error.what
            ))
            .cure("it is sent only when the restored database says that it is not there"),
        ),
    })
}

/// Under which key the order of a case is in the restored database as it is at this moment, in words; `None` where it is
/// not there.
pub fn order_by_now(config: &Config, ledger: &Ledger, case: &str) -> Result<Option<String>> {
    match ledger.case(case)? {
        Some(file) => order_of(config, ledger, &file),
        None => Ok(None),
    }
}

fn order_of(config: &Config, ledger: &Ledger, file: &CaseFile) -> Result<Option<String>> {
    let config = &with_ignores(config, ledger)?;
    let found = runtime()?.block_on(async {
        let database = restored(config)?;
        match &database.url {
            DbUrl::Sqlite(path) => prove::whereabouts(config, &mut Sqlite::open(path)?, file).await,
            DbUrl::Postgres { .. } => {
                let mut server = Postgres::connect(&database, &config.scan).await?;
                prove::whereabouts(config, &mut server, file).await
            }
        }
    })?;
    Ok(found.map(|key| format!("{} is there by now, as order {key}", file.found.label)))
}

/// Carries out the effects that are due, all of them or those of these cases, and reads again what they did.
pub fn carry_out(config: &Config, ledger: &mut Ledger, cases: Option<&[String]>) -> Result<Vec<Carried>> {
    let carried = effects::carry_out(config, ledger, cases)?;
    let read: Vec<String> = carried
        .iter()
        .filter(|c| c.state == Course::Done && !c.undoes)
        .flat_map(|c| c.cases.iter().cloned())
        .collect();
    if !read.is_empty() {
        // That it cannot be read again now takes nothing from what was done: the cases wait for their proof.
        let _ = read_again(config, ledger, Some(&read), &Progress::default());
    }
    Ok(carried)
}

/// Settles the effects whose answers were lost, then reads the restored database again for decided cases, all of them or
/// these, and notes in the ledger what holds.
pub fn prove(config: &Config, ledger: &mut Ledger, ids: Option<&[String]>, progress: &Progress) -> Result<Proven> {
    effects::carry_out(config, ledger, ids)?;
    read_again(config, ledger, ids, progress)
}

fn read_again(config: &Config, ledger: &mut Ledger, ids: Option<&[String]>, progress: &Progress) -> Result<Proven> {
    let config = &with_ignores(config, ledger)?;
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

/// Asks whether it is the right database, at the right point; nothing is kept. `ledger` tells what was found before.
pub fn gate(config: &Config, ledger: Option<&Ledger>, progress: &Progress) -> Result<Gate> {
    let mut asked = asked(ledger)?;
    runtime()?.block_on(async {
        let database = restored(config)?;
        asked.old = old_instances(config).await;
        match &database.url {
            DbUrl::Sqlite(path) => ask_gate(config, &asked, &mut Sqlite::open(path)?, progress).await,
            DbUrl::Postgres { .. } => {
                let mut server = Postgres::connect(&database, &config.scan).await?;
                Box::pin(ask_gate(config, &asked, &mut server, progress)).await
            }
        }
    })
}

/// What will happen by itself when workers start. The old instances are looked at twice, so that what they take shows, and
/// held against what a console first saw of them behind the shutdown.
pub fn ready(config: &Config, ledger: &mut Ledger) -> Result<Ready> {
    let mut watches = old::watches(config);
    old::count_from_shutdown(&mut watches, ledger, config.incident.attempt, false)?;
    let runtime = runtime()?;
    let mut seen = Vec::new();
    for watch in &mut watches {
        let first = runtime.block_on(watch.look(time::now()));
        // Time is the subject: PostgreSQL reports what a session wrote about a second after it became idle.
        let second = async {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            watch.look(time::now()).await
        };
        seen.push(if first.seen.is_ok() {
            runtime.block_on(second)
        } else {
            first
        });
    }
    ready::list(config, ledger, &seen, time::now())
}

/// Reads the cluster once and sets the phases that it shows, where `may_set` says so.
pub fn cluster(config: &Config, ledger: &mut Ledger, may_set: bool) -> Result<Reading> {
    let mut reading = runtime()?.block_on(cluster::look(config, time::now()))?;
    cluster::Keeper::default().take(ledger, &mut reading, may_set, time::now())?;
    Ok(reading)
}

/// Tells the org of the phases that changed, where that is configured, and whoever asks may act.
pub fn tell_org(config: &Config, ledger: &mut Ledger) -> Result<()> {
    if config.org.is_none() || ledger.role() < Role::Operator {
        return Ok(());
    }
    runtime()?.block_on(org::tell(config, ledger, &time::now)).map(drop)
}

/// Asks whether the restore may work. What the old instance has is kept in the ledger, to be compared afterwards; so is what
/// was found. `keep`: whether anything is.
pub fn preflight(config: &Config, ledger: Option<&mut Ledger>, keep: bool) -> Result<Preflight> {
    let plan = Plan::of(config)?;
    let before: Option<Export> = match &ledger {
        Some(ledger) => ledger.fact(EXPORT)?,
        None => None,
    };
    let now = time::now();
    let read = runtime()?.block_on(async {
        let aws = Aws::open(&config.aws).await?;
        Ok::<_, Error>(Box::pin(check::read(&aws, config, &plan, before.as_ref(), now)).await)
    })?;
    let found = Preflight {
        attempt: config.incident.attempt,
        at: now,
        lines: check::judge(config, &plan, &read),
    };
    if let Some(ledger) = ledger.filter(|_| keep) {
        // The first export counts: it is how things stood before anything was done about the incident.
        if let (None, Ok(export)) = (&before, &read.inside.old) {
            ledger.keep_fact(EXPORT, export, None)?;
        }
        if let Ok(Some(source)) = &read.source {
            ledger.keep_fact(SOURCE, source, None)?;
        }
        ledger.keep_fact(PREFLIGHT, &found, None)?;
    }
    Ok(found)
}

/// The command lines of the restore.
pub fn restore_commands(config: &Config) -> Result<Commands> {
    let plan = Plan::of(config)?;
    runtime()?.block_on(async {
        let aws = Aws::open(&config.aws).await?;
        let source = aws.source(plan.source).await?.ok_or_else(|| {
            Error::failed(format!("there is no instance or cluster called {}", plan.source))
                .at("aws.source")
                .cure("check aws.source, aws.region and the account of the identity")
        })?;
        let key = config
            .aws
            .kms_key
            .as_deref()
            .filter(|key| source.key.as_deref() != Some(key));
        command::commands(&source, &plan, &aws.region, key)
    })
}

/// Which of these labels are those of orders in the restored database.
pub fn labels_there(config: &Config, labels: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let order = config.schema.entities.iter().position(|e| e.name == ORDER);
    let label = order.and_then(|ix| config.schema.entities[ix].label.as_deref());
    let (Some(order), Some(label)) = (order, label) else {
        return Err(Error::refused(
            "without [schema.order] and its label nobody can tell whether an order is there already",
        )
        .at("[schema.order] label")
        .cure("map the table of orders, and the column that the hold calls them by"));
    };
    runtime()?.block_on(async {
        let database = restored(config)?;
        match &database.url {
            DbUrl::Sqlite(path) => labels_in(config, &mut Sqlite::open(path)?, order, label, labels).await,
            DbUrl::Postgres { .. } => {
                let mut server = Postgres::connect(&database, &config.scan).await?;
                labels_in(config, &mut server, order, label, labels).await
            }
        }
    })
}

async fn labels_in<R: Restored>(
    config: &Config,
    restored: &mut R,
    order: usize,
    label: &str,
    labels: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let catalogue = restored.catalogue(&config.schema).await?;
    restored.snapshot(&catalogue).await?;
    let column = catalogue.tables[order].require(label, "[schema.order] label")?;
    let tuples: Vec<Vec<&str>> = labels.iter().map(|l| vec![l.as_str()]).collect();
    let mut there = BTreeSet::new();
    let lookup = Lookup::Values {
        columns: &[column],
        tuples: &tuples,
    };
    let mut each = |row: Row<'_>| there.extend(row.value(0).map(str::to_owned));
    restored.rows(order, lookup, &[column], &mut each).await?;
    Ok(there)
}

/// `[schema.*]` as the catalogue of the restored database suggests it, as TOML.
pub fn propose(config: &Config) -> Result<String> {
    runtime()?.block_on(async {
        let database = restored(config)?;
        let shapes = match &database.url {
            DbUrl::Sqlite(path) => Sqlite::open(path)?.shapes().await?,
            DbUrl::Postgres { .. } => Postgres::connect(&database, &config.scan).await?.shapes().await?,
        };
        Ok(propose::propose(&shapes))
    })
}

/// What the ledger knows of the gate.
fn asked(ledger: Option<&Ledger>) -> Result<Asked> {
    Ok(Asked {
        before: ledger.map_or(Ok(None), Ledger::gate)?,
        scanned: ledger.map_or(Ok(false), Ledger::was_scanned)?,
        ..Asked::default()
    })
}

async fn ask_gate<R: Restored>(config: &Config, asked: &Asked, restored: &mut R, progress: &Progress) -> Result<Gate> {
    let read = scan::read(config, restored, progress).await;
    let witness = match &read {
        Ok(held) => Ok(Witness {
            catalogue: &held.catalogue,
            log: &held.log,
        }),
        Err(e) => Err(e.error.what.clone()),
    };
    gate::check(config, asked, restored, witness).await
}

/// What the instances say of themselves that a `[[log]]` of source `database` names.
async fn old_instances(config: &Config) -> Vec<Old> {
    let mut all = Vec::new();
    for log in config.logs.iter().filter(|log| log.source == SourceKind::Database) {
        let facts = match &log.database {
            Some(database) => facts_of(database, &config.scan).await.map_err(|e| e.what),
            None => Err("its url is not configured".to_owned()),
        };
        all.push(Old {
            name: log.name.clone(),
            facts,
        });
    }
    all
}

async fn facts_of(database: &Database, scan: &ScanConfig) -> Result<Facts> {
    let database = secrets::with_password(database)?;
    match &database.url {
        DbUrl::Sqlite(path) => Sqlite::open(path)?.facts().await,
        DbUrl::Postgres { .. } => Postgres::connect(&database, scan).await?.facts().await,
    }
}

/// The configuration, with what people ignore besides.
fn with_ignores<'c>(config: &'c Config, ledger: &Ledger) -> Result<Cow<'c, Config>> {
    let ignores = ledger.ignores()?;
    if ignores.is_empty() {
        return Ok(Cow::Borrowed(config));
    }
    let mut config = config.clone();
    ledger::with_ignores(&mut config.schema, &ignores);
    Ok(Cow::Owned(config))
}

/// Tells from the log what a restore to any moment would find. Types and columns come from the configured database, be it
/// the restored one or, before there is one, any with the same tables; where none answers, values are compared by their
/// spelling, and a warning says so.
pub fn preview(config: &Config, progress: &Progress) -> Result<Preview> {
    if config.logs.is_empty() {
        return Err(
            Error::usage("no log is configured, so nothing is known of what really happened")
                .at("[[log]]")
                .cure("add a [[log]] with name, source, path and format; `restitch print-config` shows one"),
        );
    }
    progress.begin(Stage::Connecting, 0);
    let (catalogue, warning) = match runtime()?.block_on(tables(config)) {
        Ok(catalogue) => (catalogue, None),
        // A configuration that does not fit the tables is a mistake; a database that is not there yet is none.
        Err(error) if error.kind == ErrorKind::Usage && config.restored.is_some() => return Err(error),
        Err(error) => {
            let catalogue = crate::log::columns(&config.logs, &config.schema, config.scan.reject_limit, progress)?;
            let warning = format!(
                "no database says what the columns are ({}): every value is compared by its spelling",
                error.what
            );
            (catalogue, Some(warning))
        }
    };
    let input = LogInput {
        logs: &config.logs,
        schema: &config.schema,
        catalogue: &catalogue,
        reject_limit: config.scan.reject_limit,
        wants: Wants {
            without: config.incident.bad.as_ref(),
            as_at: None,
            history: true,
        },
    };
    let log = crate::log::read(&input, progress)?;
    let mut preview = Preview::build(&config.schema, &catalogue, &log).knowing_bad(config.incident.bad.is_some());
    if let Some(warning) = warning {
        preview.warn_of(warning);
    }
    for log in config.logs.iter().filter(|log| log.source == SourceKind::Database) {
        preview.warn_of(format!(
            "log {} is a database: it shows what is, not when it came to be, so its rows count as not shown at any T",
            log.name
        ));
    }
    Ok(preview)
}

/// What the log alone says of a restore to the configured T, or why that is not known.
pub fn foretold(config: &Config, progress: &Progress) -> std::result::Result<Point, String> {
    let Some(t) = config.incident.restored_to else {
        return Err("no restored_to is configured".to_owned());
    };
    if config.logs.iter().any(|log| log.source == SourceKind::Database) {
        return Err("a log of source database does not show when its rows came to be".to_owned());
    }
    if config.logs.iter().any(|log| log.path.as_deref() == Some("-")) {
        return Err("a log is standard input, which was read before".to_owned());
    }
    let told = preview(config, progress).map_err(|e| e.what)?;
    Ok(told.at(t))
}

async fn tables(config: &Config) -> Result<Catalogue> {
    let database = restored(config)?;
    match &database.url {
        DbUrl::Sqlite(path) => Sqlite::open(path)?.catalogue(&config.schema).await,
        DbUrl::Postgres { .. } => {
            let mut server = Postgres::connect(&database, &config.scan).await?;
            server.catalogue(&config.schema).await
        }
    }
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

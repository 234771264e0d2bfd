//! The scan: the log folded, held against the restored database, every difference a finding, every order with findings
//! a case.
//!
//! [`run`] is the whole of it. `compare` reads the rows that the log names and says how they differ, `owners` finds the
//! order behind each, `family` gathers an order's rows from both sides, `refs` asks whether what they refer to is there,
//! `hold` does so for the orders that are still held, `cases` puts it together, `chain` orders who waits for whom,
//! `advice` says what to do, `undone` what is there only because of the bad change. `opening` keeps how the rows stood when the attempt was first scanned, and tells what moved
//! since. Nothing here knows a driver: rows come through [`Restored`].

mod advice;
mod cases;
mod chain;
mod compare;
mod coverage;
mod family;
mod fits;
mod hold;
mod opening;
mod outside;
mod owners;
pub mod preview;
mod refs;
mod report;
mod situation;
mod supersede;
mod undone;

pub use opening::{Baseline, InDoubt, Mark, Opening, Past};
pub use report::{LogReport, ScanReport};

use crate::config::Config;
use crate::domain::back::CameBack;
use crate::domain::case::FoundCase;
use crate::domain::finding::{Evidence, FieldDiff, Kind, RowState};
use crate::domain::gate::Gate;
use crate::domain::progress::{Progress, Stage};
use crate::domain::queue::Reject;
use crate::domain::schema::{Catalogue, ColumnIx, EntityIx, ORDER, Schema};
use crate::domain::{Error, Result, time};
use crate::log::{Folded, LogInput, LogView, ReadError, Wants};
use crate::restore::back::{self, Found};
use crate::restore::gate::{self, Witness};
use crate::restored::{Lookup, Restored};
use hashbrown::HashSet;
use owners::Owners;

/// A row: its entity and its canonical key.
type RowId = (EntityIx, Box<str>);

/// What a scan found.
#[derive(Debug)]
pub struct Outcome {
    /// What `scan --json` prints, but for the ledger's counts.
    pub report: ScanReport,
    /// One for each order, or row that no order owns, with findings; in the order of their ids.
    pub cases: Vec<FoundCase>,
    /// Lines that were no events.
    pub rejects: Vec<Reject>,
    /// How the rows stood, where no scan of the attempt was completed before; later, what is new in it.
    pub opening: Option<Opening>,
    /// The gate as it was found.
    pub gate: Gate,
}

/// Why a scan ended before it was done, and what it leaves.
#[derive(Debug)]
pub struct Stopped {
    /// What to tell the person.
    pub error: Error,
    /// Lines that were no events, read until then.
    pub rejects: Vec<Reject>,
    /// The gate, where it was asked.
    pub gate: Option<Gate>,
}

impl From<ReadError> for Stopped {
    fn from(ReadError { error, rejects }: ReadError) -> Self {
        Self {
            error,
            rejects,
            gate: None,
        }
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        ReadError::from(error).into()
    }
}

impl From<Stopped> for Error {
    fn from(e: Stopped) -> Self {
        e.error
    }
}

/// A finding on a row, before it has a case.
#[derive(Debug, Clone)]
struct RowFinding {
    entity: EntityIx,
    key: Box<str>,
    kind: Kind,
    fields: Vec<FieldDiff>,
    evidence: Vec<Evidence>,
    moved_to: Option<Box<str>>,
    /// Without the bad change it would not be.
    undone: bool,
    since: opening::Since,
}

/// One scan under way: what it reads from, and what it has to say on the side.
struct Scan<'a, R> {
    config: &'a Config,
    schema: &'a Schema,
    catalogue: &'a Catalogue,
    log: LogView<'a>,
    restored: &'a mut R,
    progress: &'a Progress,
    past: &'a Past,
    /// What this scan learned of the rows' state at the opening.
    learned: Vec<Baseline>,
    /// By entity: rows that traffic moved, and that open no case.
    traffic: Vec<u64>,
    /// Lines of exports that could not be read.
    rejects: Vec<Reject>,
    warnings: Vec<String>,
}

/// Reads the log and the restored database and finds every difference.
///
/// # Errors
/// What the log or the database refuses, a configuration that does not fit the tables, or a scan that was cancelled; with
/// the lines that were rejected until then.
pub async fn run<R: Restored>(
    config: &Config,
    restored: &mut R,
    past: &Past,
    progress: &Progress,
) -> Result<Outcome, Stopped> {
    let Held { catalogue, mut log, at } = read(config, restored, progress).await?;
    let held = hold::read(config, past.hold.as_ref(), &mut log)?;
    let witness = Witness {
        catalogue: &catalogue,
        log: &log,
    };
    let gate = gate::check(config, &past.gate, restored, Ok(witness)).await?;
    if let Some(red) = gate.red().filter(|_| past.gate.despite.is_none()) {
        return Err(Stopped {
            error: Error::refused(format!("the gate is red: {}: {}", red.check, red.what)).cure(format!(
                "{}; `restitch gate` shows every check, and `restitch scan --despite-gate REASON` scans it all the same",
                red.cure.as_deref().unwrap_or("find out why")
            )),
            rejects: std::mem::take(&mut log.rejects),
            gate: Some(gate),
        });
    }
    let facts = restored.facts().await?;
    let opening = past.opening.as_ref();
    let elsewhere = opening.map_or(Ok(None), |o| o.check(&facts, config.incident.attempt))?;
    let mut scan = Scan {
        config,
        schema: &config.schema,
        catalogue: &catalogue,
        log: LogView::of(&log),
        restored,
        progress,
        past,
        learned: Vec::new(),
        traffic: vec![0; config.schema.entities.len()],
        rejects: Vec::new(),
        warnings: elsewhere.into_iter().collect(),
    };
    let mut findings = scan.compare().await?;
    let clean = scan.undone(&mut findings).await?;
    let in_doubt = scan.in_doubt().await?;
    let cases = scan.cases(findings, clean, &in_doubt, &held).await?;
    let behind = scan.sequences().await?;
    let facts = scan.restored.facts().await?;
    let shapes = scan.restored.shapes().await.map_err(|e| e.what);
    let mut came_back = back::list(
        config,
        &Found {
            facts: &facts,
            old: &past.gate.old,
            shapes,
            catalogue: &catalogue,
            cases: &cases,
        },
    );
    came_back.extend(behind);
    let queued = scan.queued()?;
    let rows_read = log.rows_read + scan.restored.rows_read();
    let mut warnings = log.warnings.clone();
    warnings.append(&mut scan.warnings);
    let unread = std::mem::take(&mut scan.rejects);
    let (learned, traffic) = (std::mem::take(&mut scan.learned), std::mem::take(&mut scan.traffic));
    let mut report = ScanReport::new(config, &log, &cases, rows_read, warnings);
    report.opening = Some(time::format(past.opening.as_ref().map_or(at, |o| o.at)));
    report.queued = queued;
    report.came_back = came_back;
    report.since_opening = config
        .schema
        .entities
        .iter()
        .zip(traffic)
        .map(|(e, n)| (e.name.clone(), n.into()))
        .collect();
    let opening = match &past.opening {
        None => Some(Opening {
            at,
            place: facts.place,
            timeline: facts.timeline.ok(),
            tables: learned,
            in_doubt,
        }),
        Some(known) => (!learned.is_empty()).then(|| Opening {
            at: known.at,
            tables: learned,
            ..Opening::default()
        }),
    };
    let mut rejects = std::mem::take(&mut log.rejects);
    rejects.extend(unread);
    Ok(Outcome {
        report,
        cases,
        rejects,
        opening,
        gate,
    })
}

/// The log, and the snapshot that it is held against.
#[derive(Debug)]
pub struct Held {
    /// The restored tables.
    pub catalogue: Catalogue,
    /// The log.
    pub log: Folded,
    /// When the snapshot was taken, microseconds since 1970.
    pub at: i64,
}

/// Reads the catalogue and the log, and takes the snapshot.
///
/// # Errors
/// As [`run`].
pub async fn read<R: Restored>(config: &Config, restored: &mut R, progress: &Progress) -> Result<Held, ReadError> {
    if config.logs.is_empty() {
        return Err(
            Error::usage("no log is configured, so nothing is known of what really happened")
                .at("[[log]]")
                .cure("add a [[log]] with name, source, path and format; `restitch print-config` shows one")
                .into(),
        );
    }
    if config.schema.entities.is_empty() {
        return Err(Error::usage("no entity is mapped to a table")
            .at("[schema.*]")
            .cure("add at least [schema.order] with its table and key; `restitch print-config` shows one")
            .into());
    }
    progress.begin(Stage::Connecting, 0);
    let catalogue = restored.catalogue(&config.schema).await?;
    let input = LogInput {
        logs: &config.logs,
        schema: &config.schema,
        catalogue: &catalogue,
        reject_limit: config.scan.reject_limit,
        wants: Wants {
            without: config.incident.bad.as_ref(),
            as_at: config.incident.restored_to,
            history: false,
        },
    };
    let mut gathered = crate::log::gather(&input, progress)?;
    restored.snapshot(&catalogue).await?;
    let at = time::now();
    crate::log::database::read(&mut gathered, &input, config, restored, progress).await?;
    let log = gathered.finish(&catalogue);
    Ok(Held { catalogue, log, at })
}

impl<R: Restored> Scan<'_, R> {
    /// All row findings of all entities.
    async fn compare(&mut self) -> Result<Vec<RowFinding>> {
        let total: usize = (0..self.schema.entities.len()).map(|e| self.log.len(e)).sum();
        self.progress.begin(Stage::Comparing, total as u64);
        let mut findings = Vec::new();
        for entity in 0..self.schema.entities.len() {
            self.check_cancelled()?;
            self.compare_entity(entity, &mut findings).await?;
        }
        Ok(findings)
    }

    /// The rows that were under way when the restore cut them off, with their orders: read at the opening, remembered
    /// from then on.
    async fn in_doubt(&mut self) -> Result<Vec<InDoubt>> {
        if let Some(opening) = &self.past.opening {
            return Ok(opening.in_doubt.clone());
        }
        let mut rows = Vec::new();
        for entity in 0..self.schema.entities.len() {
            self.check_cancelled()?;
            self.rows_in_progress(entity, &mut rows).await?;
        }
        let ids: Vec<RowId> = rows
            .iter()
            .map(|(entity, row)| (*entity, row.key.as_str().into()))
            .collect();
        let orders = self.orders_of(&mut Owners::default(), &ids).await?;
        // A plan that no order owns is nobody's order: there is none to be in doubt of.
        let owned = rows.into_iter().zip(orders).filter_map(|((_, row), order)| {
            Some(InDoubt {
                order: order?.into(),
                row,
            })
        });
        Ok(owned.collect())
    }

    /// Rows in a state that the schema names as in progress.
    async fn rows_in_progress(&mut self, entity: EntityIx, out: &mut Vec<(EntityIx, RowState)>) -> Result<()> {
        let mapped = &self.schema.entities[entity];
        let Some(state) = mapped.state.as_deref().filter(|_| !mapped.in_progress.is_empty()) else {
            return Ok(());
        };
        let column = self.column(entity, state)?;
        let tuples: Vec<Vec<&str>> = mapped.in_progress.iter().map(|s| vec![s.as_str()]).collect();
        let name = &mapped.name;
        let lookup = Lookup::Values {
            columns: &[column],
            tuples: &tuples,
        };
        self.restored
            .rows(entity, lookup, &[column], &mut |row| {
                let state = row.value(0).unwrap_or_default().to_owned();
                out.push((
                    entity,
                    RowState {
                        entity: name.clone(),
                        key: row.key().to_owned(),
                        state,
                    },
                ));
            })
            .await
    }

    /// Warns of sequences that would give ids which the log has seen.
    async fn sequences(&mut self) -> Result<Vec<CameBack>> {
        let mut behind = Vec::new();
        for entity in 0..self.schema.entities.len() {
            let Some(seen) = self.log.max_int_key(entity) else {
                continue;
            };
            for sequence in self.restored.sequences(entity).await? {
                let table = &self.catalogue.tables[entity];
                if table.key != [sequence.column] {
                    continue;
                }
                let quoted = sequence.name.replace('\'', "''");
                let set = format!("before workers start, run: SELECT setval('{quoted}', {seen});");
                let (what, cure) = match sequence.next {
                    Some(next) if next > seen => continue,
                    Some(next) => (
                        format!(
                            "sequence {} would next give {next} to {}, but the log has seen ids up to {seen}: new rows would \
                             take the ids of lost ones",
                            sequence.name, table.name
                        ),
                        set,
                    ),
                    None => (
                        format!(
                            "sequence {} of {} may not be read by this user, so its next value is not known; the log has seen \
                             ids up to {seen}",
                            sequence.name, table.name
                        ),
                        format!("if it is not above them, {set}"),
                    ),
                };
                self.warnings.push(format!("{what}; {cure}"));
                behind.push(CameBack::new("sequence", what, cure));
            }
        }
        Ok(behind)
    }

    fn column(&self, entity: EntityIx, name: &str) -> Result<ColumnIx> {
        self.catalogue.tables[entity].require(name, &format!("[schema.{}]", self.schema.entities[entity].name))
    }

    fn order_entity(&self) -> Option<EntityIx> {
        self.schema.index(ORDER)
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.progress.is_cancelled() {
            return Err(
                Error::failed("the scan was stopped before it was done; nothing was changed")
                    .cure("run it again at any time"),
            );
        }
        Ok(())
    }
}

/// A set of orders' keys.
type Orders = HashSet<Box<str>>;

#[cfg(test)]
mod tests;

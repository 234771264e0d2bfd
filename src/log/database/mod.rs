//! The pre-restore instance as a log: it and the restored database are streamed side by side, table by table, each in one
//! snapshot; rows that differ, and rows that another log names, become events of the fold. So whatever comes after the
//! fold works on it as on any log.
//!
//! `pair` matches the two streams, [`stream`] keeps each going, [`look`] reads the rows that may differ and says what the
//! old instance says of them.

mod check;
mod look;
mod pair;
mod stream;

pub use check::{Checked, check};

use super::fold::{Batch, Fold};
use super::read::{Gathered, LogInput};
use super::source::Part;
use super::wants::Sieve;
use crate::config::{Config, Database, DbUrl, LogConfig, SourceKind, secrets};
use crate::domain::progress::{Progress, Stage};
use crate::domain::schema::{Catalogue, ColumnIx, EntityIx};
use crate::domain::{Error, Result};
use crate::restored::marks::{Ask, AskColumn};
use crate::restored::postgres::Postgres;
use crate::restored::sqlite::Sqlite;
use crate::restored::{Origin, Restored};
use std::hash::BuildHasher;

/// Reads every log of source `database` into what the other logs gave. The restored database is in its snapshot.
pub async fn read<R: Restored>(
    gathered: &mut Gathered,
    input: &LogInput<'_>,
    config: &Config,
    restored: &mut R,
    progress: &Progress,
) -> Result<()> {
    for (ix, log) in input.logs.iter().enumerate() {
        let Some(database) = log.database.as_ref().filter(|_| log.source == SourceKind::Database) else {
            continue;
        };
        let database = secrets::with_password(database)?;
        let source = Source {
            ix,
            log,
            name: name(&database),
            restored_to: config.incident.restored_to,
        };
        match &database.url {
            DbUrl::Sqlite(path) => {
                let mut old = Sqlite::open(path).map_err(|e| source.blamed(e))?;
                read_one(gathered, input, &source, &mut old, restored, progress).await?;
            }
            DbUrl::Postgres { .. } => {
                let old = Postgres::connect(&database, &config.scan).await;
                let mut old = old.map_err(|e| source.blamed(e))?;
                read_one(gathered, input, &source, &mut old, restored, progress).await?;
            }
        }
    }
    Ok(())
}

/// One `[[log]]` of source `database`.
struct Source<'i> {
    ix: usize,
    log: &'i LogConfig,
    /// As evidence names it: `om@old.example`.
    name: String,
    restored_to: Option<i64>,
}

impl Source<'_> {
    /// What its word is as of: a copy that was itself restored, to a later point, speaks as of that point.
    fn as_of(&self, origin: &Origin) -> i64 {
        let replayed = origin.replayed.zip(self.restored_to).filter(|(at, t)| at > t);
        replayed.map_or(origin.at, |(at, _)| at)
    }

    /// Says which of the two databases an error is about.
    fn blamed(&self, mut error: Error) -> Error {
        error.what = format!("log {}: {}", self.log.name, error.what);
        error
    }
}

/// How people call a database.
fn name(database: &Database) -> String {
    match &database.url {
        DbUrl::Sqlite(path) => path.display().to_string(),
        DbUrl::Postgres { host, database, .. } => format!("{database}@{host}"),
    }
}

/// What is read of one entity's tables, and how their columns belong together.
struct Plan {
    entity: EntityIx,
    old: Ask,
    restored: Ask,
    /// Columns that both tables have, in the order of the restored one: where they stand in either.
    both: Vec<(ColumnIx, ColumnIx)>,
    /// Which of them make a difference.
    compared: Vec<bool>,
}

/// One source under way.
struct Reader<'a, O, R> {
    input: &'a LogInput<'a>,
    source: &'a Source<'a>,
    progress: &'a Progress,
    old: &'a mut O,
    restored: &'a mut R,
    tables: Catalogue,
    /// What the other logs say.
    others: &'a Fold,
    fold: Fold,
    batch: Batch,
    /// What its word is as of.
    at: i64,
    sieve: &'a Sieve<'a>,
    /// For each entity its table by name, and the rows that events were made of.
    parts: Vec<Part>,
    events: u64,
    /// How often a connection was lost.
    lost: u32,
    seen_ids: look::SeenIds,
    warnings: Vec<String>,
}

async fn read_one<O: Restored, R: Restored>(
    gathered: &mut Gathered,
    input: &LogInput<'_>,
    source: &Source<'_>,
    old: &mut O,
    restored: &mut R,
    progress: &Progress,
) -> Result<()> {
    let tables = old.catalogue(input.schema).await.map_err(|e| source.blamed(e))?;
    old.snapshot(&tables).await.map_err(|e| source.blamed(e))?;
    let origin = old.origin().await.map_err(|e| source.blamed(e))?;
    if origin.instance == restored.origin().await?.instance {
        let what = format!(
            "log {} is the restored database itself: nothing could differ",
            source.log.name
        );
        return Err(Error::usage(what)
            .at(format!("[[log]] {}: url", source.log.name))
            .cure("give the address of the pre-restore instance, or of a second restore to the latest point"));
    }
    let at = source.as_of(&origin);
    let sieve = Sieve::new(input.wants, input.schema, input.catalogue)?;
    let mut rows = 0;
    for entity in 0..tables.tables.len() {
        rows += old.about(entity).await.map_err(|e| source.blamed(e))? + restored.about(entity).await?;
    }
    progress.begin(Stage::Databases, rows);
    let parts = tables
        .tables
        .iter()
        .map(|t| Part::table(format!("{} {}", source.name, t.name)));
    let mut reader = Reader {
        input,
        source,
        progress,
        parts: parts.collect(),
        old,
        restored,
        tables,
        fold: gathered.another(),
        others: &gathered.fold,
        batch: Batch::default(),
        at,
        sieve: &sieve,
        events: 0,
        lost: 0,
        seen_ids: look::SeenIds::new(),
        warnings: Vec::new(),
    };
    if input.wants.without.is_some() {
        let marked = if sieve.judges_rows() {
            "of what only it tells, undone is marked where both databases have the row and it stands as [incident.bad] where says"
        } else {
            "nothing that only it tells of is marked undone"
        };
        reader.warnings.push(format!(
            "log {}: a row does not say when it changed or by whom; {marked}",
            source.log.name
        ));
    }
    let mut told = Told { at, ..Told::default() };
    for entity in 0..input.schema.entities.len() {
        let plan = reader.plan(entity);
        let streamed = reader.stream(&plan).await?;
        reader.named(&plan).await?;
        told.largest.push(streamed.largest);
        told.rows.push(streamed.old);
        told.restored_rows += streamed.restored;
        told.bytes += streamed.bytes;
    }
    let Reader {
        fold,
        parts,
        events,
        warnings,
        ..
    } = reader;
    told.events = events;
    told.parts = parts;
    told.warnings = warnings;
    gathered.add_whole(source.ix, fold, told, input);
    Ok(())
}

/// What a source had to say besides rows.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub at: i64,
    /// For each entity the largest key, where it is one integer.
    pub largest: Vec<Option<i64>>,
    /// For each entity the rows of the old instance.
    pub rows: Vec<u64>,
    pub restored_rows: u64,
    pub bytes: u64,
    pub events: u64,
    pub parts: Vec<Part>,
    pub warnings: Vec<String>,
}

impl<O: Restored, R: Restored> Reader<'_, O, R> {
    fn plan(&mut self, entity: EntityIx) -> Plan {
        let mapped = &self.input.schema.entities[entity];
        let (old, restored) = (&self.tables.tables[entity], &self.input.catalogue.tables[entity]);
        let seed = foldhash::fast::RandomState::default().hash_one(self.at).cast_signed();
        let alike = |o: ColumnIx, r: ColumnIx| {
            let (o, r) = (&old.columns[usize::from(o)], &restored.columns[usize::from(r)]);
            o.ty == r.ty && o.declared == r.declared
        };
        let ask = |columns: Vec<(ColumnIx, bool)>, key: Vec<(ColumnIx, bool)>| {
            let asked = |list: Vec<(ColumnIx, bool)>| {
                let asked = list.into_iter().map(|(column, alike)| AskColumn { column, alike });
                asked.collect()
            };
            Ask {
                key: asked(key),
                columns: asked(columns),
                seed,
            }
        };
        let keys: Vec<(ColumnIx, ColumnIx)> = old.key.iter().copied().zip(restored.key.iter().copied()).collect();
        let both: Vec<(ColumnIx, ColumnIx)> = (0..)
            .zip(&restored.columns)
            .filter_map(|(r, column)| Some((old.column(&column.name)?, r)))
            .collect();
        let compared: Vec<bool> = both
            .iter()
            .map(|(_, r)| {
                let name = &restored.columns[usize::from(*r)].name;
                !restored.key.contains(r) && (!mapped.ignore.contains(name) || mapped.reads(name))
            })
            .collect();
        let of =
            |pairs: &[(ColumnIx, ColumnIx)], side: fn(&(ColumnIx, ColumnIx)) -> ColumnIx| -> Vec<(ColumnIx, bool)> {
                pairs.iter().map(|pair| (side(pair), alike(pair.0, pair.1))).collect()
            };
        let differing: Vec<(ColumnIx, ColumnIx)> = both
            .iter()
            .zip(&compared)
            .filter(|(_, c)| **c)
            .map(|(pair, _)| *pair)
            .collect();
        for column in &old.columns {
            if restored.column(&column.name).is_none() {
                self.warnings.push(format!(
                    "log {}: {} of {} is not in the restored table {} and is ignored",
                    self.source.log.name, column.name, mapped.name, restored.name
                ));
            }
        }
        Plan {
            entity,
            old: ask(of(&differing, |p| p.0), of(&keys, |p| p.0)),
            restored: ask(of(&differing, |p| p.1), of(&keys, |p| p.1)),
            both,
            compared,
        }
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.progress.is_cancelled() {
            return Err(Error::failed("stopped while reading the databases"));
        }
        Ok(())
    }
}

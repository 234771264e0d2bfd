//! Reads all configured logs on all cores into one fold.

use super::again;
use super::database::Told;
use super::fold::{self, Batch, Fold, MOST_FILES, MOST_SOURCES, Move, Rules, Says, Stamp, Taken, Tracking, Truncate};
use super::folded::{Folded, SourceNames, Whole};
use super::format::{self, FormatContext, Line};
use super::found::{Found, widest};
use super::gaps::{Concerned, SourceGap};
use super::source::{Block, Source};
use super::turns::Turns;
use super::wants::{Sieve, Wants};
use super::{Coverage, LogStats};
use crate::config::{FormatKind, LogConfig, OrderBy, SourceKind};
use crate::domain::event::{Change, Op, Position};
use crate::domain::progress::{Progress, Stage};
use crate::domain::queue::Reject;
use crate::domain::schema::{Catalogue, EntityIx, Schema};
use crate::domain::value::LogValue;
use crate::domain::{Error, Result};
use foldhash::fast::RandomState;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct LogInput<'a> {
    /// `[[log]]`, in order.
    pub logs: &'a [LogConfig],
    /// `[schema.*]`
    pub schema: &'a Schema,
    /// The restored tables.
    pub catalogue: &'a Catalogue,
    /// Share of rejected lines, 0 to 1, above which reading fails.
    pub reject_limit: f64,
    /// Second readings of the rows.
    pub wants: Wants<'a>,
}

/// Why the logs could not be read, and what was rejected until then.
#[derive(Debug)]
pub struct ReadError {
    /// What to tell the person.
    pub error: Error,
    /// The rejected lines.
    pub rejects: Vec<Reject>,
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self {
            error,
            rejects: Vec::new(),
        }
    }
}

impl From<ReadError> for Error {
    fn from(e: ReadError) -> Self {
        e.error
    }
}

/// Reads and folds all logs that tell of events; stops early when `progress` is cancelled. A log that is a database has
/// none: see [`gather`].
pub fn read(input: &LogInput<'_>, progress: &Progress) -> Result<Folded, ReadError> {
    let mut gathered = gather(input, progress)?;
    for log in input.logs.iter().filter(|log| is_whole(log)) {
        gathered.total.warnings.push(format!(
            "log {} is a database: it shows what is there, not when it changed, and is left out here",
            log.name
        ));
    }
    again::finish(input, gathered, progress)
}

/// What the logs that tell of events came to; [`super::database::read`] adds those that are databases.
#[derive(Debug)]
pub struct Gathered {
    pub(super) fold: Fold,
    /// For each entity the time of the last event.
    until: Vec<Option<i64>>,
    total: Total,
    kept: fold::AsAt,
    pub(super) hasher: RandomState,
    /// Where a history is kept.
    pub(super) tracking: Option<Arc<Tracking>>,
    /// Those of several sources.
    pub(super) histories: Vec<Taken>,
}

/// Whether the log is a database, which the restored one must be at hand for.
pub(super) fn is_whole(log: &LogConfig) -> bool {
    log.source == SourceKind::Database
}

/// Reads and folds all logs that tell of events; stops early when `progress` is cancelled.
pub fn gather(input: &LogInput<'_>, progress: &Progress) -> Result<Gathered, ReadError> {
    if input.logs.is_empty() {
        return Err(Error::usage("no log is configured")
            .at("[[log]]")
            .cure("say where the order log is: [[log]] name, source, path, format")
            .into());
    }
    if input.logs.len() > MOST_SOURCES {
        return Err(Error::usage(format!("more than {MOST_SOURCES} logs are configured"))
            .at("[[log]]")
            .into());
    }
    let sieve = Sieve::new(input.wants, input.schema, input.catalogue)?;
    let mut sources = Vec::new();
    let mut total = Total::default();
    for log in input.logs {
        let source = (!is_whole(log)).then(|| open(log, input.schema, progress));
        sources.push(source.transpose()?);
    }
    progress.begin(Stage::ReadingLog, sources.iter().flatten().map(Source::size).sum());
    let hasher = RandomState::default();
    let tracking = input
        .wants
        .history
        .then(|| Arc::new(Tracking::new(input.schema, input.catalogue, hasher.clone())));
    let begin = |rules: Rules| {
        let fold = Fold::new(input.schema.entities.len(), rules, sieve.kept(), hasher.clone());
        match &tracking {
            Some(tracking) => fold.with_history(Arc::clone(tracking)),
            None => fold,
        }
    };
    let mut folds = Vec::new();
    for (ix, (log, source)) in input.logs.iter().zip(sources).enumerate() {
        let Some(source) = source else {
            total.await_whole(log, input);
            continue;
        };
        let fold = read_source(input, &sieve, (ix, log, &source), &begin, progress, &mut total)?;
        total.names.push(SourceNames {
            name: log.name.clone(),
            parts: source.parts().to_vec(),
        });
        folds.push(fold);
    }
    let entities = input.schema.entities.len();
    let until: Vec<Vec<Option<i64>>> = input
        .logs
        .iter()
        .zip(total.coverage.chunks(entities.max(1)))
        .filter(|(log, _)| !is_whole(log))
        .map(|(_, of_source)| of_source.iter().map(|c| c.last).collect())
        .collect();
    let sources = fold::Sources {
        catalogue: input.catalogue,
        until: &until,
        whole: false,
        as_at: input.wants.as_at,
    };
    let histories = match (&tracking, folds.len()) {
        (Some(_), 2..) => folds.iter_mut().map(Fold::take_history).collect(),
        _ => Vec::new(),
    };
    Ok(Gathered {
        fold: fold::merge(folds, &sources).unwrap_or_else(|| begin(Rules::default())),
        until: (0..entities)
            .map(|entity| until.iter().filter_map(|u| u[entity]).max())
            .collect(),
        total,
        kept: sieve.kept(),
        hasher,
        tracking,
        histories,
    })
}

impl Gathered {
    /// A fold for one more source, of which every word is its last.
    pub(super) fn another(&self) -> Fold {
        Fold::new(self.until.len(), Rules::default(), self.kept, self.hasher.clone())
    }

    /// Adds what a database says.
    pub(super) fn add_whole(&mut self, source: usize, fold: Fold, told: Told, input: &LogInput<'_>) {
        let total = &mut self.total;
        let coverage = total.coverage.chunks_mut(self.until.len().max(1)).nth(source);
        for (coverage, rows) in coverage.into_iter().flatten().zip(&told.rows) {
            (coverage.last, coverage.rows) = (Some(told.at), Some(*rows));
        }
        if let Some(names) = total.names.get_mut(source) {
            names.parts = told.parts;
        }
        total.stats.events += told.events;
        total.stats.bytes += told.bytes;
        total.stats.last = total.stats.last.max(Some(told.at));
        total.warnings.extend(told.warnings);
        total.wholes.push(Whole {
            source,
            largest: told.largest,
        });
        total.rows_read += told.restored_rows;
        let until = [self.until.clone(), vec![Some(told.at); self.until.len()]];
        let sources = fold::Sources {
            catalogue: input.catalogue,
            until: &until,
            whole: true,
            as_at: input.wants.as_at,
        };
        let empty = self.another();
        let others = std::mem::replace(&mut self.fold, empty);
        if let Some(merged) = fold::merge(vec![others, fold], &sources) {
            self.fold = merged;
        }
    }

    /// All of it, row by row.
    pub fn finish(self, catalogue: &Catalogue) -> Folded {
        let total = self.total;
        let rows = fold::finish(self.fold, catalogue);
        let covered = total.concerned.settle(&rows, &total.gaps);
        Folded {
            covered,
            stats: total.stats,
            coverage: total.coverage,
            gaps: total.gaps,
            rejects: total.rejects,
            warnings: total.warnings,
            rows_read: total.rows_read,
            rows,
            sources: total.names,
            wholes: total.wholes,
            timeless: total.timeless,
            unknown: total.unknown,
            out_of_time: 0,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Total {
    pub stats: LogStats,
    pub coverage: Vec<Coverage>,
    pub gaps: Vec<SourceGap>,
    pub concerned: Concerned,
    pub rejects: Vec<Reject>,
    pub warnings: Vec<String>,
    pub names: Vec<SourceNames>,
    pub wholes: Vec<Whole>,
    pub rows_read: u64,
    pub timeless: u64,
    pub unknown: BTreeSet<(EntityIx, String)>,
}

impl Total {
    /// Keeps the place of a source that is read later.
    fn await_whole(&mut self, log: &LogConfig, input: &LogInput<'_>) {
        self.names.push(SourceNames {
            name: log.name.clone(),
            parts: Vec::new(),
        });
        self.coverage
            .extend(input.schema.entities.iter().map(|entity| Coverage {
                source: log.name.clone(),
                entity: entity.name.clone(),
                first: None,
                last: None,
                events: 0,
                rows: None,
            }));
    }
}

pub(super) fn open<'p>(log: &LogConfig, schema: &Schema, progress: &'p Progress) -> Result<Source<'p>> {
    let place = |key: &str| format!("[[log]] {}: {key}", log.name);
    if log.order == Some(OrderBy::Version) && log.format != FormatKind::Native {
        return Err(
            Error::usage(format!("events of format {} have no version", format::name(log.format)))
                .at(place("order"))
                .cure("leave order out, or set order = \"position\""),
        );
    }
    let source = Source::open(log, schema, progress)?;
    if source.parts().len() > MOST_FILES {
        let (key, value) = log.place();
        return Err(Error::usage(format!("{value} is more than {MOST_FILES} files or partitions")).at(place(key)));
    }
    Ok(source)
}

/// Whether the first event that can be read has a version.
fn first_has_version(source: &Source<'_>) -> Result<bool> {
    let mut found = None;
    source.peek(|block| {
        found = block.lines().find_map(|(_, at)| {
            let event = format::native::Event::read(std::str::from_utf8(&block.bytes()[at]).ok()?).ok()?;
            Some(event.version.is_some())
        });
        found.is_some()
    })?;
    Ok(found.unwrap_or(false))
}

pub(super) fn read_source(
    input: &LogInput<'_>,
    sieve: &Sieve<'_>,
    (ix, log, source): (usize, &LogConfig, &Source<'_>),
    begin: &dyn Fn(Rules) -> Fold,
    progress: &Progress,
    total: &mut Total,
) -> Result<Fold, ReadError> {
    let versions = match log.order {
        Some(order) => order == OrderBy::Version,
        None => log.format == FormatKind::Native && first_has_version(source)?,
    };
    let mut fold = begin(Rules { versions });
    let failed = AtomicBool::new(false);
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let turns = Turns::new(fold.in_order(), threads);
    let worker = || {
        let mut worker = Worker::new(input, sieve, (ix, log, versions), &fold);
        let result = worker.run(source, progress, &failed, &turns);
        failed.fetch_or(result.is_err(), Ordering::Relaxed);
        (worker.found, worker.ctx.unknown(), result)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut found = Found::new(input.schema.entities.len(), input.schema.masks_any());
    let mut unknown = BTreeSet::new();
    for result in results {
        let (part, names, result) =
            result.map_err(|_| Error::failed("a thread that read the log died: this is a mistake in restitch"))?;
        result?;
        found.join(part);
        unknown.extend(names);
    }
    if progress.is_cancelled() {
        return Err(Error::failed("stopped while reading the log").into());
    }
    let untimed = found.beginnings_gone(ix, source, input.wants.as_at);
    total.warnings.extend(untimed.iter().map(|why| {
        let title = &log.name;
        format!("log {title}: {why}, and nothing is left of it: whether they were written after T is not known")
    }));
    found.report(input, log, &unknown, total)?;
    for (entity, when) in found.truncated() {
        total.warnings.push(format!(
            "log {}: table {} was truncated {when}: every row that the log knew of it counts as deleted there",
            log.name, input.catalogue.tables[entity].name
        ));
    }
    let source = u16::try_from(ix).unwrap_or(u16::MAX);
    let unread = found.rejects.count + found.stats.skipped;
    found.gaps.extend(found.runs.holes(source, unread));
    found.gaps.sort_by_key(|g| (g.gap.from, g.gap.to));
    fold.settle(found.truncates, found.moves);
    total.concerned.add(&mut fold, &found.gaps, total.gaps.len());
    total.gaps.append(&mut found.gaps);
    Ok(fold)
}

/// One thread that reads blocks and folds their events.
struct Worker<'i> {
    ctx: FormatContext<'i>,
    source: usize,
    format: FormatKind,
    versions: bool,
    /// Lines are numbered by their partitions, and each counts for itself.
    partitions: bool,
    fold: &'i Fold,
    sieve: &'i Sieve<'i>,
    batch: Batch,
    found: Found,
}

impl<'i> Worker<'i> {
    fn new(
        input: &LogInput<'i>,
        sieve: &'i Sieve<'i>,
        (source, log, versions): (usize, &LogConfig, bool),
        fold: &'i Fold,
    ) -> Self {
        let mut ctx = FormatContext::new(input.schema, input.catalogue).calling(&log.entities);
        for entity in 0..input.schema.entities.len() {
            ctx.want(entity, sieve.columns(entity));
        }
        Self {
            ctx,
            sieve,
            source,
            format: log.format,
            versions,
            partitions: log.source == SourceKind::Kafka,
            fold,
            batch: Batch::default(),
            found: Found::new(input.schema.entities.len(), input.schema.masks_any()),
        }
    }

    fn run(&mut self, source: &Source<'_>, progress: &Progress, failed: &AtomicBool, turns: &Turns) -> Result<()> {
        let mut block = Block::default();
        let _stop = turns.stop_others();
        while let Some(turn) = turns.take(|| source.next(&mut block))? {
            self.block(&block, source);
            turns.in_turn(turn, &mut self.batch, |batch| self.fold.fold(batch));
            if progress.is_cancelled() || failed.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &Block, source: &Source<'_>) {
        let bytes = block.bytes();
        self.found.stats.bytes += bytes.len() as u64;
        let reject = |found: &mut Found, number: u64, line: &[u8], reason: String| {
            let part = &source.parts()[block.part];
            found.rejects.add(part, block.part, number, line, reason);
        };
        // Nearly always the whole block is UTF-8, and checking it at once is cheaper than line by line.
        let text = std::str::from_utf8(bytes).ok();
        for (number, at) in block.lines() {
            let line = &bytes[at.clone()];
            let last = at.end == bytes.len();
            self.found.lines += 1;
            match text.map_or_else(|| std::str::from_utf8(line), |t| Ok(&t[at])) {
                Ok(line) => match self.line(line, block.part, number) {
                    Ok(()) => {}
                    Err(reason) if last && block.unfinished => {
                        let reason = format!("the file ends within this line: {reason}");
                        reject(&mut self.found, number, line.as_bytes(), reason);
                    }
                    Err(reason) => reject(&mut self.found, number, line.as_bytes(), reason),
                },
                Err(e) => {
                    let reason = format!("not UTF-8 at byte {}", e.valid_up_to() + 1);
                    reject(&mut self.found, number, line, reason);
                }
            }
        }
        if let Some(broken) = &block.broken {
            self.found.lines += 1;
            reject(&mut self.found, broken.line, &broken.text, broken.reason.clone());
        }
    }

    fn line(&mut self, line: &str, part: usize, number: u64) -> Result<(), String> {
        let mut first_error = None;
        let Self {
            ctx,
            source,
            format,
            versions,
            partitions,
            fold,
            sieve,
            batch,
            found,
        } = self;
        let place = (*source, part, number);
        let decoded = format::decode(*format, ctx, line, &mut |change| {
            if let Err(e) = take(change, place, (*versions, *partitions), (*fold, *sieve, batch), found) {
                first_error.get_or_insert(e);
            }
        });
        match decoded {
            Ok(Line::Changes) => match first_error {
                Some(e) => return Err(e),
                None => found.stats.events += 1,
            },
            Ok(Line::Gap(gap)) => {
                found.stats.events += 1;
                found.gaps.push(SourceGap::told(gap, place));
            }
            Ok(Line::SkippedTable | Line::SkippedOther) => found.stats.skipped += 1,
            Err(_) if line.trim_ascii().is_empty() => {
                found.stats.skipped += 1;
                found.blank += 1;
            }
            Err(reason) => return Err(reason),
        }
        Ok(())
    }
}

/// Gives one change to the fold.
fn take(
    mut change: Change<'_>,
    place: (usize, usize, u64),
    (versions, partitions): (bool, bool),
    (fold, sieve, batch): (&Fold, &Sieve<'_>, &mut Batch),
    found: &mut Found,
) -> Result<(), String> {
    let version = if versions {
        change
            .version
            .ok_or("no `version`, and this log is ordered by version")?
    } else {
        0
    };
    let by = Stamp::new(version, change.position, place, change.at);
    match change.position {
        Some(Position::Number(n)) => found.runs.see(0, n, change.at, (place.1, place.2)),
        // Of a topic each partition counts for itself.
        None if partitions => found.runs.see(place.1, place.2, change.at, (place.1, place.2)),
        _ => {}
    }
    let entity = change.entity;
    let left_out = sieve.left_out(&change);
    found.counts[entity] += 1;
    if place.2 == 0 {
        found.beginnings.push((place.1, change.at));
    }
    match change.at {
        Some(at) => found.spans[entity] = widest(found.spans[entity], Some((at, at))),
        None => found.timeless += 1,
    }
    if !change.fields.is_sorted_by(|a, b| a.0 < b.0) {
        // Of a column that stands twice the last counts, as in jsonb.
        change.fields.reverse();
        change.fields.sort_by_key(|(column, _)| *column);
        change.fields.dedup_by_key(|(column, _)| *column);
    }
    let fields: &[(u16, LogValue<'_>)] = &change.fields;
    match change.op {
        Op::Insert => fold.gather(batch, (entity, &change.key), Says::New, (by, left_out), fields),
        Op::Upsert => fold.gather(batch, (entity, &change.key), Says::Exists, (by, left_out), fields),
        Op::Delete => fold.gather(batch, (entity, &change.key), Says::Gone, (by, left_out), fields),
        Op::Truncate => found.truncates.push(Truncate { entity, by, left_out }),
    }
    if let Some(from) = change.moved_from {
        fold.gather(batch, (entity, &from), Says::Moved, (by, left_out), &[]);
        found.moves.push(Move {
            entity,
            from: from.as_ref().into(),
            to: change.key.as_ref().into(),
            by,
            left_out,
        });
    }
    Ok(())
}

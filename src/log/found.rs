//! What reading a source comes to besides its rows: counts, spans, rejects, what concerns more than one key.

use super::fold::{Move, Truncate};
use super::gaps::{Runs, SourceGap};
use super::read::{LogInput, ReadError, Total};
use super::rejects::Rejects;
use super::source::Source;
use super::{Coverage, LogStats};
use crate::config::LogConfig;
use crate::domain::schema::EntityIx;
use crate::domain::{Error, time};
use std::collections::BTreeSet;

/// What one thread, or all of them, found in a source besides rows.
pub(super) struct Found {
    pub lines: u64,
    pub blank: u64,
    pub stats: LogStats,
    pub spans: Vec<Option<(i64, i64)>>,
    pub counts: Vec<u64>,
    pub rejects: Rejects,
    pub moves: Vec<Move>,
    pub truncates: Vec<Truncate>,
    pub gaps: Vec<SourceGap>,
    pub runs: Runs,
    /// Part and time of the first line of parts whose lines are numbered from 0.
    pub beginnings: Vec<(usize, Option<i64>)>,
    pub timeless: u64,
}

impl Found {
    pub fn new(entities: usize, masks: bool) -> Self {
        Self {
            lines: 0,
            blank: 0,
            stats: LogStats::default(),
            spans: vec![None; entities],
            counts: vec![0; entities],
            rejects: Rejects::new(masks),
            moves: Vec::new(),
            truncates: Vec::new(),
            gaps: Vec::new(),
            runs: Runs::default(),
            beginnings: Vec::new(),
            timeless: 0,
        }
    }

    pub fn join(&mut self, other: Self) {
        self.lines += other.lines;
        self.blank += other.blank;
        self.stats.events += other.stats.events;
        self.stats.bytes += other.stats.bytes;
        self.stats.skipped += other.stats.skipped;
        for (mine, other) in self.spans.iter_mut().zip(other.spans) {
            *mine = widest(*mine, other);
        }
        self.counts
            .iter_mut()
            .zip(other.counts)
            .for_each(|(mine, other)| *mine += other);
        self.rejects.join(other.rejects);
        self.moves.extend(other.moves);
        self.truncates.extend(other.truncates);
        self.gaps.extend(other.gaps);
        self.runs.join(other.runs);
        self.beginnings.extend(other.beginnings);
        self.timeless += other.timeless;
    }

    /// Notes what is gone of the source's parts, unless all of it was before T: that the restore kept. Of parts that hold
    /// nothing any more it cannot be told: these are given back.
    pub fn beginnings_gone(&mut self, ix: usize, source: &Source<'_>, t: Option<i64>) -> Vec<String> {
        let mut untimed = Vec::new();
        for mut missing in source.missing() {
            // The event's own time where it has one; when a message was written is a little later.
            let first = self.beginnings.iter().find(|(part, _)| *part == missing.part);
            missing.until = first.and_then(|(_, at)| *at).or(missing.until);
            match missing.until {
                None => untimed.push(missing.why),
                Some(until) if t.is_some_and(|t| until <= t) => {}
                Some(_) => self.gaps.push(SourceGap::shown(ix, missing)),
            }
        }
        untimed
    }

    /// Adds what was found to the total; fails where it shows that this is not the log that was meant.
    pub fn report(
        &mut self,
        input: &LogInput<'_>,
        log: &LogConfig,
        unknown: &BTreeSet<(EntityIx, String)>,
        total: &mut Total,
    ) -> Result<(), ReadError> {
        let rejected = self.rejects.count;
        let lines = self.lines - self.blank;
        let title = format!("log {}", log.name);
        let too_many = self.rejects.too_many(&title, log.format, lines, input.reject_limit);
        let before = total.rejects.len();
        total.rejects.extend(std::mem::take(&mut self.rejects).named(&log.name));
        let empty = || {
            let (key, place) = log.place();
            Error::failed(format!("{title} is empty"))
                .at(format!("[[log]] {}: {place}", log.name))
                .cure(format!(
                    "without the log nothing can be said of what was lost: check the {key}, and what wrote the log"
                ))
        };
        if let Some(error) = too_many.or_else(|| (lines == 0).then(empty)) {
            let rejects = std::mem::take(&mut total.rejects);
            return Err(ReadError { error, rejects });
        }
        let warn = &mut total.warnings;
        if let Some(first) = total.rejects.get(before) {
            let lines = if rejected == 1 { "line was" } else { "lines were" };
            warn.push(format!(
                "{title}: {rejected} malformed {lines} rejected, the first at {}: {}",
                first.position, first.reason
            ));
        }
        if self.stats.events == 0 {
            warn.push(format!(
                "{title}: none of its {lines} lines is an event of a mapped entity; mapped are {}",
                input
                    .schema
                    .entities
                    .iter()
                    .map(|e| e.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
        total.unknown.extend(unknown.iter().cloned());
        for (entity, column) in unknown {
            warn.push(format!(
                "{title}: {} of {} is not in the restored table {} and is ignored",
                column, input.schema.entities[*entity].name, input.catalogue.tables[*entity].name
            ));
        }
        for ((entity, span), events) in input.schema.entities.iter().zip(&self.spans).zip(&self.counts) {
            total.coverage.push(Coverage {
                source: log.name.clone(),
                entity: entity.name.clone(),
                first: span.map(|s| s.0),
                last: span.map(|s| s.1),
                events: *events,
                rows: None,
            });
        }
        total.timeless += self.timeless;
        let span = self.spans.iter().copied().fold(None, widest);
        let stats = &mut total.stats;
        let known = stats.first.zip(stats.last);
        (stats.first, stats.last) = widest(known, span).unzip();
        stats.events += self.stats.events;
        stats.bytes += self.stats.bytes;
        stats.rejected += rejected;
        stats.skipped += self.stats.skipped;
        Ok(())
    }

    /// The truncated entities and when that was.
    pub fn truncated(&self) -> Vec<(EntityIx, String)> {
        let mut last: Vec<&Truncate> = self.truncates.iter().collect();
        last.sort_by_key(|t| (t.entity, t.by));
        last.dedup_by_key(|t| t.entity);
        let when = |t: &&Truncate| {
            t.by.event()
                .at
                .map_or_else(String::new, |at| format!("at {}", time::format(at)))
        };
        last.iter().map(|t| (t.entity, when(t))).collect()
    }
}

pub(super) fn widest(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

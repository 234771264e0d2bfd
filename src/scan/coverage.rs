//! How far the log reaches, against T and the stop: what lies outside is not known, never clean.

use super::report::{CoverageReport, NotKnown};
use crate::config::Config;
use crate::domain::time;
use crate::log::{Coverage, Folded};

/// A source that is silent for so long before the stop, or begins so long after T, may have ended, or begun, there:
/// microseconds.
const SILENCE: i64 = 90 * 1_000_000;
/// An entity with at least so many events has a rhythm; silent for so many of its usual pauses it is out of it.
const RHYTHM: u64 = 10;

/// What can be said of the log's reach.
pub(super) struct Reach {
    pub coverage: Vec<CoverageReport>,
    pub not_known: NotKnown,
    pub warnings: Vec<String>,
}

/// Holds every source and entity against T and the stop.
pub(super) fn reach(config: &Config, log: &Folded) -> Reach {
    let (t, stop) = (config.incident.restored_to, config.incident.stopped_at);
    let mut coverage = Vec::new();
    let mut warnings = log.gap_warnings(t);
    let entities = config.schema.entities.len();
    // For each entity, as far as any source tells of it.
    let mut from = vec![None; entities];
    let mut until = vec![None; entities];
    for (source, of_source) in log.coverage.chunks(entities.max(1)).enumerate() {
        let source = Source::new(of_source, source, t, stop);
        warnings.extend(source.warnings(t, stop));
        for (entity, covered) in of_source.iter().enumerate() {
            let (known, why) = source.judge(covered, entity, log, t, stop);
            if covered.first.is_some() || covered.rows.is_some() {
                let begins = if source.late.is_some() { source.first } else { t };
                let ends = if source.early.is_some() { source.last } else { stop };
                from[entity] = earliest(from[entity], begins);
                until[entity] = until[entity].max(ends);
            }
            coverage.push(CoverageReport {
                source: covered.source.clone(),
                entity: covered.entity.clone(),
                first: covered.first.map(time::format),
                last: covered.last.map(time::format),
                known,
                why,
                whole: covered.rows,
            });
        }
    }
    let before = from
        .into_iter()
        .flatten()
        .max()
        .filter(|from| t.is_some_and(|t| *from > t));
    let after = until
        .into_iter()
        .flatten()
        .min()
        .filter(|until| stop.is_some_and(|stop| *until < stop));
    Reach {
        coverage,
        not_known: NotKnown {
            before: before.map(time::format),
            after: after.map(time::format),
        },
        warnings,
    }
}

fn earliest(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// One source, all entities together: it is one stream, alive as long as anything comes.
struct Source {
    nth: usize,
    name: String,
    first: Option<i64>,
    last: Option<i64>,
    /// How long after T it begins, and how long before the stop it ends, where that is too long.
    late: Option<i64>,
    early: Option<i64>,
}

impl Source {
    fn new(of_source: &[Coverage], nth: usize, t: Option<i64>, stop: Option<i64>) -> Self {
        let events = || of_source.iter().filter(|c| c.rows.is_none());
        let (first, last) = (
            events().filter_map(|c| c.first).min(),
            events().filter_map(|c| c.last).max(),
        );
        let long = |micros: &i64| *micros > SILENCE;
        Self {
            nth,
            name: of_source.first().map_or_else(String::new, |c| c.source.clone()),
            first,
            last,
            late: first.zip(t).map(|(first, t)| first - t).filter(long),
            early: last.zip(stop).map(|(last, stop)| stop - last).filter(long),
        }
    }

    fn warnings(&self, t: Option<i64>, stop: Option<i64>) -> Vec<String> {
        let mut warnings = Vec::new();
        if let (Some(late), Some(first), Some(_)) = (self.late, self.first, t) {
            warnings.push(format!(
                "log {}: its first event is at {}, {} after T: what happened between is not known",
                self.name,
                time::format(first),
                time::age(late)
            ));
        }
        if let (Some(early), Some(last), Some(_)) = (self.early, self.last, stop) {
            warnings.push(format!(
                "log {}: its last event is at {}, {} before the stop: what happened after it is not known",
                self.name,
                time::format(last),
                time::age(early)
            ));
        }
        warnings
    }

    /// Whether the entity's rows are known from T to the stop by this source, and why not; `None` where it cannot be told.
    fn judge(
        &self,
        covered: &Coverage,
        entity: usize,
        log: &Folded,
        t: Option<i64>,
        stop: Option<i64>,
    ) -> (Option<bool>, Option<String>) {
        let not = |why: String| (Some(false), Some(why));
        if covered.rows.is_some() {
            return (Some(true), None);
        }
        let (Some(first), Some(last)) = (covered.first, covered.last) else {
            return not("no event of it has a time: whether this log covers it is not known".to_owned());
        };
        if let Some(late) = self.late {
            return not(format!("begins {} after T", time::age(late)));
        }
        if let Some(early) = self.early {
            return not(format!("ends {} before the stop", time::age(early)));
        }
        let here = |gap: &&crate::log::SourceGap| {
            usize::from(gap.source) == self.nth
                && gap.gap.keys.is_empty()
                && gap.gap.entity.is_none_or(|of| of == entity)
                && t.zip(gap.gap.to).is_none_or(|(t, to)| to > t)
        };
        if let Some(gap) = log.gaps.iter().find(here) {
            return not(gap.gap.why.clone());
        }
        let pause = i64::try_from(covered.events).map_or(0, |n| (last - first) / n.max(1));
        let silent = stop.map(|stop| stop - last).filter(|silent| {
            let out_of_rhythm = i64::try_from(RHYTHM).unwrap_or(i64::MAX).saturating_mul(pause);
            covered.events >= RHYTHM && *silent > SILENCE.max(out_of_rhythm)
        });
        if let Some(silent) = silent {
            return not(format!(
                "silent for {} before the stop, while the log went on",
                time::age(silent)
            ));
        }
        match (t, stop) {
            (Some(_), Some(_)) => (Some(true), None),
            (None, _) => (None, Some("incident.restored_to is not configured".to_owned())),
            (_, None) => (None, Some("incident.stopped_at is not configured".to_owned())),
        }
    }
}

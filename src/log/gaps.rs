//! What the sources left out: gaps that their events tell of, and positions that are missing.

use super::fold::{Fold, Rows};
use crate::domain::event::{EventRef, Gap};
use crate::domain::finding::Evidence;
use crate::domain::schema::EntityIx;
use crate::domain::time;
use std::collections::{BTreeMap, HashMap};

/// A source numbers its events without holes where it has so many events to each hole; otherwise holes say nothing.
const EVENTS_A_HOLE: u64 = 20;
/// So many holes are possible in a short log, and one more for every so many events.
const MOST_HOLES: u64 = 3;
const EVENTS_FOR_ANOTHER: u64 = 10_000;

/// So many runs are kept, and one more for every so many events: more are no runs.
const MOST_RUNS: u64 = 4_096;
const EVENTS_A_RUN: u64 = 64;

/// A [`Gap`] and the source that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceGap {
    /// Index of the `[[log]]`.
    pub source: u16,
    /// What is missing.
    pub gap: Gap,
    /// The event that says so; `None` where it shows by positions that are missing.
    pub told_by: Option<EventRef>,
    /// The first and last position that is missing, where that is known.
    pub positions: Option<(u64, u64)>,
}

impl SourceGap {
    /// A gap that an event at this source, file and line tells of.
    pub(super) fn told(gap: Gap, place: (usize, usize, u64)) -> Self {
        let by = super::fold::Stamp::new(0, None, place, gap.to).event();
        Self {
            source: by.source,
            gap,
            told_by: Some(by),
            positions: None,
        }
    }

    /// A gap that shows by what is not there any more.
    pub(super) fn shown(source: usize, missing: super::source::Missing) -> Self {
        Self {
            source: u16::try_from(source).unwrap_or(u16::MAX),
            gap: Gap {
                entity: None,
                keys: Vec::new(),
                from: None,
                to: missing.until,
                why: missing.why,
            },
            told_by: None,
            positions: None,
        }
    }

    /// What stands for the event that is missing.
    pub(super) fn missing(&self, source: &str) -> Evidence {
        let position = match self.positions {
            Some((first, last)) if first == last => format!("{first} missing"),
            Some((first, last)) => format!("{first} to {last} missing"),
            None => "missing".to_owned(),
        };
        Evidence {
            source: source.to_owned(),
            position,
            ts: self.gap.to.map(time::format),
        }
    }

    /// Whether a word on a row at this time comes after the gap. The event that tells of a gap may carry what it can say
    /// of the row; the event after missing positions says what the row is then.
    fn is_over_by(&self, at: Option<i64>) -> bool {
        match (at, self.gap.to) {
            (Some(at), Some(to)) if self.gap.keys.is_empty() => at >= to,
            (Some(at), Some(to)) => at > to,
            _ => false,
        }
    }
}

/// A run of consecutive positions, its ends with their times and places.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    last: u64,
    from: (Option<i64>, usize, u64),
    to: (Option<i64>, usize, u64),
}

/// The positions of a source's events as far as they are numbers, as runs: by partition where each has its own.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// The last run is the one that grows.
    known: Vec<(usize, Run)>,
    events: u64,
    /// The numbers mostly do not follow each other: they say nothing of what is missing.
    sparse: bool,
}

impl Runs {
    /// An event at this position; `at` is when, `place` its file and line.
    #[inline]
    pub fn see(&mut self, partition: usize, position: u64, at: Option<i64>, (part, line): (usize, u64)) {
        self.events += 1;
        let here = (at, part, line);
        if let Some((of, run)) = self.known.last_mut()
            && *of == partition
            && position.wrapping_sub(run.last) <= 1
        {
            run.last = position;
            run.to = here;
            return;
        }
        self.begin(partition, position, here);
    }

    #[inline(never)]
    fn begin(&mut self, partition: usize, position: u64, here: (Option<i64>, usize, u64)) {
        if self.known.len() as u64 > MOST_RUNS + self.events / EVENTS_A_RUN {
            self.sparse = true;
            self.known = Vec::new();
        }
        if self.sparse {
            return;
        }
        let run = Run {
            first: position,
            last: position,
            from: here,
            to: here,
        };
        self.known.push((partition, run));
    }

    pub fn join(&mut self, other: Self) {
        self.known.extend(other.known);
        self.events += other.events;
        self.sparse |= other.sparse;
    }

    /// Whether the lines stand in the order of their positions; the runs are sorted by position.
    fn is_in_order(&self) -> bool {
        self.known.windows(2).all(|two| {
            let [(of, before), (next, after)] = two else {
                return true;
            };
            of != next || (before.to.1, before.to.2) <= (after.from.1, after.from.2)
        })
    }

    /// The holes between the runs, where there are few. `unread` says how many lines could not be read or are of other
    /// tables: positions may be theirs.
    pub fn holes(mut self, source: u16, unread: u64) -> Vec<SourceGap> {
        if self.sparse {
            return Vec::new();
        }
        self.known
            .sort_unstable_by_key(|(partition, run)| (*partition, run.first));
        let in_order = self.is_in_order();
        let mut found = Vec::new();
        let mut last: Option<(usize, Run)> = None;
        for (partition, run) in self.known {
            match &mut last {
                Some((of, known)) if *of == partition => {
                    if run.first > known.last + 1 && !is_explained(known, &run, in_order, unread) {
                        found.push(hole(source, known, &run));
                    }
                    if run.last >= known.last {
                        (known.last, known.to) = (run.last, run.to);
                    }
                }
                _ => last = Some((partition, run)),
            }
        }
        let holes = found.len() as u64;
        let dense = holes * EVENTS_A_HOLE <= self.events && holes <= MOST_HOLES + self.events / EVENTS_FOR_ANOTHER;
        if dense { found } else { Vec::new() }
    }
}

/// Whether lines that are no events of mapped tables may hold the positions between two runs.
fn is_explained(before: &Run, after: &Run, in_order: bool, unread: u64) -> bool {
    let missing = after.first - before.last - 1;
    let ((_, part, line), (_, next_part, next_line)) = (before.to, after.from);
    if in_order && part == next_part && next_line > line {
        next_line - line > missing
    } else {
        // In disorder, or in files that are read side by side, it cannot be told where they would stand.
        unread >= missing
    }
}

fn hole(source: u16, before: &Run, after: &Run) -> SourceGap {
    let (first, last) = (before.last + 1, after.first - 1);
    let positions = if first == last {
        format!("position {first} is missing")
    } else {
        format!("positions {first} to {last} are missing")
    };
    SourceGap {
        source,
        gap: Gap {
            entity: None,
            keys: Vec::new(),
            from: before.to.0,
            to: after.from.0,
            why: positions,
        },
        told_by: None,
        positions: Some((first, last)),
    }
}

/// Gaps that are told one by one; of more only the number is.
const MOST_TOLD: usize = 5;

/// What a person should know of a source's gaps; `rows` is how many each covers.
pub(super) fn warnings(name: &str, gaps: &[(&SourceGap, usize)]) -> Vec<String> {
    let rows = |n: usize| match n {
        0 => "no row that is named was named before it only".to_owned(),
        1 => "1 row that nothing names since is contradicted".to_owned(),
        n => format!("{n} rows that nothing names since are contradicted"),
    };
    let (of_keys, of_all): (Vec<_>, Vec<_>) = gaps.iter().partition(|(gap, _)| !gap.gap.keys.is_empty());
    let mut told = Vec::new();
    for (gap, covered) in of_all.iter().take(MOST_TOLD) {
        let clock = |at: Option<i64>, none: &str| at.map_or_else(|| none.to_owned(), time::format);
        told.push(format!(
            "log {name}: {}; what happened between {} and {} is not known: {}",
            gap.gap.why,
            clock(gap.gap.from, "its beginning"),
            clock(gap.gap.to, "its end"),
            rows(*covered)
        ));
    }
    if of_all.len() > MOST_TOLD {
        told.push(format!("log {name}: {} more gaps", of_all.len() - MOST_TOLD));
    }
    if let Some((first, _)) = of_keys.first() {
        told.push(format!(
            "log {name}: {} events say that it cannot tell what became of their rows, the first: {}; {}",
            of_keys.len(),
            first.gap.why,
            rows(of_keys.iter().map(|(_, covered)| covered).sum())
        ));
    }
    told
}

/// Rows that a gap may concern: entity, key, and the gap's number.
#[derive(Debug, Default)]
pub(super) struct Concerned(Vec<(EntityIx, Box<str>, usize)>);

impl Concerned {
    /// Adds the rows that these gaps of one source concern: those that they name, or that the source names, and not after
    /// them. `nth` is the number of the first.
    pub fn add(&mut self, fold: &mut Fold, gaps: &[SourceGap], nth: usize) {
        for (gap, nth) in gaps.iter().zip(nth..) {
            for key in &gap.gap.keys {
                self.0.extend(gap.gap.entity.map(|entity| (entity, key.clone(), nth)));
            }
        }
        let keyless: Vec<(&SourceGap, usize)> = gaps.iter().zip(nth..).filter(|(g, _)| g.gap.keys.is_empty()).collect();
        if keyless.is_empty() {
            return;
        }
        fold.each_row(|entity, row| {
            let over = |gap: &SourceGap| match gap.positions {
                Some((_, last)) => row.highest_position().is_some_and(|at| at > last),
                None => gap.is_over_by(row.newest()),
            };
            // The latest gap is the one that is over last.
            let mut concerns = keyless.iter().rev();
            let concerns = concerns.find(|(gap, _)| gap.gap.entity.is_none_or(|of| of == entity) && !over(gap));
            self.0.extend(concerns.map(|(_, nth)| (entity, row.key().into(), *nth)));
        });
    }

    /// The rows of which no source says after the gap what they are, by entity, each with its gap.
    pub fn settle(self, rows: &Rows, gaps: &[SourceGap]) -> Vec<BTreeMap<Box<str>, usize>> {
        let mut covered: HashMap<(EntityIx, Box<str>), usize> = HashMap::new();
        for (entity, key, nth) in self.0 {
            let newest = rows.get(entity, &key).and_then(super::fold::Row::newest);
            if gaps.get(nth).is_some_and(|gap| !gap.is_over_by(newest)) {
                covered.insert((entity, key), nth);
            }
        }
        let mut by_entity = vec![BTreeMap::new(); rows.order.len()];
        for ((entity, key), nth) in covered {
            if let Some(of) = by_entity.get_mut(entity) {
                of.insert(key, nth);
            }
        }
        by_entity
    }
}

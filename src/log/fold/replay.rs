//! Rows told again: those whose history one reading does not give, because their events are not in the order of time,
//! come from several sources, move or empty the table.
//!
//! The log is read a second time for these rows alone, and their events are folded in the order of time, whatever their
//! order in the log.

use super::batch::Batch;
use super::fields::Encoded;
use super::finish::Rows;
use super::merge::as_one;
use super::track::{Former, State, kept, moment};
use super::{Fold, Move, Row, Rules, Says, Stamp, Tracking, Truncate};
use crate::domain::schema::{Catalogue, EntityIx};
use hashbrown::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// Events put aside instead of being folded.
#[derive(Debug, Default)]
pub(in crate::log) struct Keeping {
    /// Hashes of the rows whose events are wanted.
    pub wanted: HashSet<u64>,
    pub events: Mutex<Vec<Kept>>,
    pub moves: Vec<Move>,
    pub truncates: Vec<Truncate>,
}

/// One event.
#[derive(Debug)]
pub(in crate::log) struct Kept {
    pub entity: EntityIx,
    pub key: Box<str>,
    pub says: Says,
    pub by: Stamp,
    pub bad: bool,
    pub fields: Box<[u8]>,
}

impl Keeping {
    /// Of the rows with these hashes.
    pub fn of(wanted: HashSet<u64>) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// Takes the events of a batch.
    pub fn put_aside(&self, batch: &mut Batch) {
        let kept = batch.events.iter().map(|event| Kept {
            entity: event.entity,
            key: String::from_utf8_lossy(batch.key(event)).into(),
            says: event.says,
            by: event.by,
            bad: event.left_out.by_bad,
            fields: batch.fields(event).0.into(),
        });
        self.events.lock().unwrap_or_else(PoisonError::into_inner).extend(kept);
        batch.clear();
    }
}

/// A row's history, told again.
#[derive(Debug, Default)]
pub(in crate::log) struct Told {
    pub states: Vec<State>,
    pub former: Vec<Former>,
    watched: Vec<u64>,
}

/// What happens next.
enum Step {
    Event(Kept),
    Truncate(Truncate),
}

type Key = (EntityIx, Box<str>);

/// Rows while they are told again: one in each source that names them.
struct Replay<'a> {
    tracking: &'a Tracking,
    catalogue: &'a Catalogue,
    rows: HashMap<Key, Vec<(usize, Row)>>,
    told: HashMap<Key, Told>,
    scratch: Vec<u8>,
}

/// Tells rows again from what each source's reading kept.
pub(in crate::log) fn replay(sources: Vec<Fold>, tracking: &Tracking, catalogue: &Catalogue, into: &mut Rows) {
    let mut steps: Vec<((i64, usize, Stamp), Step)> = Vec::new();
    let mut moves: HashMap<(usize, EntityIx, Stamp), Move> = HashMap::new();
    let mut rules: Vec<Rules> = Vec::new();
    for (source, fold) in sources.into_iter().enumerate() {
        rules.push(fold.rules);
        let Some(keeping) = fold.keeping else { continue };
        let events = keeping.events.into_inner().unwrap_or_else(PoisonError::into_inner);
        let place = |by: Stamp| (moment(by), source, by);
        steps.extend(events.into_iter().map(|event| (place(event.by), Step::Event(event))));
        steps.extend(keeping.truncates.into_iter().map(|t| (place(t.by), Step::Truncate(t))));
        moves.extend(keeping.moves.into_iter().map(|m| ((source, m.entity, m.by), m)));
    }
    // Of one event's steps the row that it moved to comes first, as they were gathered.
    steps.sort_by_key(|(place, _)| *place);
    let mut replay = Replay {
        tracking,
        catalogue,
        rows: HashMap::new(),
        told: HashMap::new(),
        scratch: Vec::new(),
    };
    for ((_, source, by), step) in steps {
        match step {
            Step::Event(event) => {
                let with = moves.get(&(source, event.entity, by));
                replay.event(source, rules[source], event, with);
            }
            Step::Truncate(truncate) => replay.truncate(source, rules[source], &truncate),
        }
    }
    into.told = replay
        .told
        .into_iter()
        .filter_map(|((entity, key), told)| Some(((entity, into.place(entity, &key)?), told)))
        .collect();
}

impl Replay<'_> {
    fn event(&mut self, source: usize, rules: Rules, event: Kept, moved: Option<&Move>) {
        let says_exists = matches!(event.says, Says::New | Says::Exists);
        let moved = moved.filter(|m| says_exists && m.to == event.key);
        let taken = moved
            .and_then(|m| self.rows.get(&(m.entity, m.from.clone())))
            .and_then(|rows| rows.iter().find(|(of, _)| *of == source))
            .map(|(_, row)| row.as_moved_by(event.by));
        let Kept {
            entity,
            key,
            says,
            by,
            bad,
            fields,
        } = event;
        let rows = self.rows.entry((entity, key.clone())).or_default();
        let at = rows.iter().position(|(of, _)| *of >= source).unwrap_or(rows.len());
        if rows.get(at).is_none_or(|(of, _)| *of != source) {
            rows.insert(at, (source, Row::new(key.as_bytes())));
        }
        let row = &mut rows[at].1;
        if says_exists {
            row.set(by, Encoded(&fields), rules, &mut self.scratch);
        } else {
            row.delete(by, says == Says::Moved, Encoded(&fields), rules, &mut self.scratch);
        }
        if let Some(taken) = taken {
            row.take_over(by, &taken);
        }
        // The key that a row moved to was free.
        self.look((entity, key), moment(by), says == Says::New || moved.is_some(), bad);
    }

    fn truncate(&mut self, source: usize, rules: Rules, truncate: &Truncate) {
        let mut emptied = Vec::new();
        for (key, rows) in self.rows.iter_mut().filter(|(key, _)| key.0 == truncate.entity) {
            for (_, row) in rows.iter_mut().filter(|(of, _)| *of == source) {
                if row.concerned_by(truncate.by) {
                    row.delete(truncate.by, false, Encoded::NONE, rules, &mut self.scratch);
                    emptied.push(key.clone());
                }
            }
        }
        for key in emptied {
            self.look(key, moment(truncate.by), false, truncate.left_out.by_bad);
        }
    }

    /// Notes what the row is now.
    fn look(&mut self, key: Key, at: i64, inserted: bool, bad: bool) {
        let entity = key.0;
        let rows: Vec<(usize, &Row)> = self
            .rows
            .get(&key)
            .into_iter()
            .flatten()
            .map(|(n, row)| (*n, row))
            .collect();
        let merged;
        let row = match rows[..] {
            [] => return,
            [(_, only)] => only,
            _ => {
                merged = as_one(entity, &rows, self.catalogue);
                &merged
            }
        };
        let exists = row.exists();
        let state = State {
            at,
            print: if exists {
                kept(self.tracking.print_row(entity, row))
            } else {
                0
            },
            exists,
            inserted,
            in_progress: exists && self.tracking.in_progress(entity, row),
            bad,
        };
        let columns = self.tracking.watched(entity);
        let watched: Vec<u64> = columns.iter().map(|c| self.tracking.print_column(row, c)).collect();
        let told = self.told.entry(key).or_default();
        if !told.states.is_empty() {
            let changed = columns
                .iter()
                .zip(&told.watched)
                .zip(&watched)
                .filter(|((_, old), new)| old != new);
            told.former.extend(changed.map(|((column, old), _)| Former {
                column: column.0,
                until: at,
                print: *old,
            }));
        }
        told.watched = watched;
        told.states.push(state);
    }
}

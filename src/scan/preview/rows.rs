//! One row: what a restore to each moment would find of it, told from its states.

use super::count::{Span, add, both, outside, union};
use crate::domain::schema::{Catalogue, ColumnIx, EntityIx, Schema};
use crate::domain::value::LogKind;
use crate::log::{Folded, RowAt, State};
use hashbrown::HashMap;

/// When a restore would give each finding on a row.
#[derive(Debug, Default)]
pub struct Findings {
    pub lost: Vec<Span>,
    pub regressed: Vec<Span>,
    pub undeleted: Vec<Span>,
    /// Other row findings: `moved`, `collided`, `contradicted`.
    pub other: Vec<Span>,
    pub in_doubt: Vec<Span>,
    /// The row would stand as the bad change left it.
    pub bad: Vec<Span>,
    /// Until when the log does not show the row.
    pub hidden_until: Option<i64>,
}

impl Findings {
    /// Forgets them, for the next row or order.
    pub fn clear(&mut self) {
        for spans in [
            &mut self.lost,
            &mut self.regressed,
            &mut self.undeleted,
            &mut self.other,
            &mut self.in_doubt,
            &mut self.bad,
        ] {
            spans.clear();
        }
        self.hidden_until = None;
    }

    /// Puts those of another row to these.
    pub fn join(&mut self, other: &Self) {
        self.lost.extend_from_slice(&other.lost);
        self.regressed.extend_from_slice(&other.regressed);
        self.undeleted.extend_from_slice(&other.undeleted);
        self.other.extend_from_slice(&other.other);
        self.in_doubt.extend_from_slice(&other.in_doubt);
        self.bad.extend_from_slice(&other.bad);
    }

    /// When there is any row finding.
    pub fn any(&self) -> Vec<Span> {
        let mut all = [&self.lost[..], &self.regressed, &self.undeleted, &self.other].concat();
        union(&mut all);
        all
    }
}

/// Reads rows' states, and what the rows of an entity are known by.
pub struct Rows<'a> {
    pub log: &'a Folded,
    identity: Vec<Identity>,
}

/// What identifies the rows of one entity.
#[derive(Default)]
struct Identity {
    columns: Vec<ColumnIx>,
    /// Rows that share what identifies them with another, at whatever time, by its fingerprint.
    shared: HashMap<u64, Vec<RowAt>>,
}

/// Room for the states of one row.
#[derive(Debug, Default)]
pub struct Room {
    states: Vec<State>,
}

impl<'a> Rows<'a> {
    pub fn new(schema: &Schema, catalogue: &Catalogue, log: &'a Folded) -> Self {
        let columns = schema
            .entities
            .iter()
            .zip(&catalogue.tables)
            .map(|(entity, table)| Identity {
                columns: entity.identity.iter().filter_map(|c| table.column(c)).collect(),
                shared: HashMap::new(),
            });
        let mut rows = Self {
            log,
            identity: columns.collect(),
        };
        for entity in 0..schema.entities.len() {
            let shared = rows.share(entity);
            rows.identity[entity].shared = shared;
        }
        rows
    }

    /// The rows of an entity that have an identity in common with another.
    fn share(&self, entity: EntityIx) -> HashMap<u64, Vec<RowAt>> {
        let mut shared: HashMap<u64, Vec<RowAt>> = HashMap::new();
        if self.identity[entity].columns.is_empty() {
            return shared;
        }
        let mut all: Vec<(u64, RowAt)> = Vec::with_capacity(self.log.len(entity));
        for row in self.log.rows_at(entity) {
            let moments = self.log.former(row).iter().map(|f| f.until - 1).chain([i64::MAX]);
            all.extend(moments.filter_map(|t| Some((self.identity_at(row, t)?, row))));
        }
        all.sort_unstable();
        all.dedup();
        for group in all.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
            shared.insert(group[0].0, group.iter().map(|(_, row)| *row).collect());
        }
        shared
    }

    /// A column's fingerprint at a moment when the row was there; 0 for null.
    pub fn column_at(&self, row: RowAt, column: ColumnIx, t: i64) -> u64 {
        let former = self.log.former(row).iter().find(|f| f.column == column && f.until > t);
        former.map_or_else(|| self.log.print_of(row, column), |f| f.print)
    }

    /// What identifies the row at this moment; `None` where part of it is null.
    fn identity_at(&self, row: RowAt, t: i64) -> Option<u64> {
        let columns = &self.identity[row.entity()].columns;
        columns
            .iter()
            .try_fold(0_u64, |all, column| match self.column_at(row, *column, t) {
                0 => None,
                print => Some(all.rotate_left(9) ^ print),
            })
    }

    /// Whether the id was reused since: something that identifies the row was set then, is set now, and differs.
    fn collides(&self, row: RowAt, t: i64) -> bool {
        !self.log.former(row).is_empty()
            && self.identity[row.entity()].columns.iter().any(|column| {
                let (then, now) = (self.column_at(row, *column, t), self.log.print_of(row, *column));
                then != 0 && now != 0 && then != now
            })
    }

    /// What a restore to each moment would find of the row; the times of its events go to `each`.
    pub fn findings(&self, row: RowAt, room: &mut Room, found: &mut Findings, mut each: impl FnMut(i64)) {
        found.clear();
        self.log.states(row, &mut room.states);
        let states = &room.states[..];
        let (Some(first), Some(last)) = (states.first(), states.last()) else {
            return;
        };
        let reused = !self.log.former(row).is_empty();
        if !first.inserted {
            found.hidden_until = Some(first.at);
        }
        match (first.inserted, last.exists) {
            (false, true) => found.regressed.push((i64::MIN, first.at)),
            (false, false) => found.undeleted.push((i64::MIN, first.at)),
            (true, true) => found.lost.push((i64::MIN, first.at)),
            (true, false) => {}
        }
        let mut bad = false;
        for (at, state) in states.iter().enumerate() {
            each(state.at);
            let to = states.get(at + 1).map_or(i64::MAX, |next| next.at);
            bad = state.bad || (bad && state.exists);
            if bad {
                add(&mut found.bad, (state.at, to));
            }
            if state.at >= to {
                continue;
            }
            let span = (state.at, to);
            if state.in_progress {
                add(&mut found.in_doubt, span);
            }
            match (state.exists, last.exists) {
                (true, _) if reused && self.reused_within(row, span, found) => {}
                (true, true) if state.print != last.print => add(&mut found.regressed, span),
                (true, false) => add(&mut found.undeleted, span),
                (false, true) => add(&mut found.lost, span),
                _ => {}
            }
        }
        if !found.lost.is_empty() {
            self.moved(row, found);
        }
        if self.log.row_at(row).contradicted().is_some() {
            found.other.push((i64::MIN, i64::MAX));
        }
        union(&mut found.bad);
        union(&mut found.lost);
        union(&mut found.regressed);
        union(&mut found.undeleted);
        union(&mut found.in_doubt);
    }

    /// What identified the row changes with its events alone, so it is one thing for the whole span.
    fn reused_within(&self, row: RowAt, span: Span, found: &mut Findings) -> bool {
        let collides = self.collides(row, span.0);
        if collides {
            found.other.push(span);
        }
        collides
    }

    /// Where a lost row's identity was there under another key, it has only moved.
    fn moved(&self, row: RowAt, found: &mut Findings) {
        let identity = &self.identity[row.entity()];
        if identity.shared.is_empty() {
            return;
        }
        let Some(print) = self.identity_at(row, i64::MAX) else {
            return;
        };
        let mut there = Vec::new();
        let mut room = Room::default();
        for other in identity.shared.get(&print).into_iter().flatten().filter(|o| **o != row) {
            there.extend(self.present(*other, &mut room, |t| self.identity_at(*other, t) == Some(print)));
        }
        union(&mut there);
        union(&mut found.lost);
        found.other.extend(both(&found.lost, &there));
        found.lost = both(&found.lost, &outside(&there));
    }

    /// When the row was there, as far as the log shows, and this held of it.
    pub fn present(&self, row: RowAt, room: &mut Room, holds: impl Fn(i64) -> bool) -> Vec<Span> {
        self.log.states(row, &mut room.states);
        let states = &room.states[..];
        let to = |at: usize| states.get(at + 1).map_or(i64::MAX, |next: &State| next.at);
        let spans = states.iter().enumerate().filter(|(_, state)| state.exists);
        let mut spans: Vec<Span> = spans
            .map(|(at, state)| (state.at, to(at)))
            .filter(|s| holds(s.0))
            .collect();
        union(&mut spans);
        spans
    }

    /// Until when the log does not show the row.
    pub fn hidden_until(&self, row: RowAt, room: &mut Room) -> Option<i64> {
        self.log.states(row, &mut room.states);
        room.states
            .first()
            .filter(|first| !first.inserted)
            .map(|first| first.at)
    }

    /// When the row that the log names was not there under its key, or another one was.
    pub fn missing(&self, row: RowAt, room: &mut Room) -> Vec<Span> {
        self.log.states(row, &mut room.states);
        let states = &room.states[..];
        let mut spans = Vec::new();
        if let Some(first) = states.first().filter(|first| first.inserted) {
            spans.push((i64::MIN, first.at));
        }
        for (at, state) in states.iter().enumerate() {
            let to = states.get(at + 1).map_or(i64::MAX, |next| next.at);
            if !state.exists || (state.at < to && self.collides(row, state.at)) {
                spans.push((state.at, to));
            }
        }
        union(&mut spans);
        spans
    }
}

/// Whether a value is null.
pub fn is_null(kind: LogKind) -> bool {
    kind == LogKind::Null
}

//! The history of rows, where a preview asks for one: after each event, whether the row is there and a fingerprint of what
//! it is, in 16 bytes.
//!
//! The row itself is folded as always. As its events come in the order of time, what it is after one of them is what it
//! was at that moment, whatever their order in the log is. A row whose events come otherwise is marked as late: it is
//! told again from the log by `replay`.

use super::batch::Event;
use super::fields::Encoded;
use super::{Row, Rules, Says, Stamp};
use crate::domain::schema::{Catalogue, ColumnIx, EntityIx, Schema};
use crate::domain::value::{ColumnType, fingerprint};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

/// What a history looks at, by entity.
#[derive(Debug)]
pub(in crate::log) struct Tracking {
    tables: Vec<Tracked>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Tracked {
    /// For each column its type, where it is compared.
    compared: Vec<Option<ColumnType>>,
    /// The state column, and the states that are under way.
    state: Option<(ColumnIx, Vec<String>)>,
    /// Columns whose former values are kept: what identifies a row, and what others refer to it by.
    watched: Vec<(ColumnIx, ColumnType)>,
}

impl Tracking {
    pub fn new(schema: &Schema, catalogue: &Catalogue, hasher: RandomState) -> Self {
        let tables = schema.entities.iter().zip(&catalogue.tables).map(|(entity, table)| {
            let compared = (0..).zip(&table.columns).map(|(ix, column)| {
                let left_out = entity.ignore.contains(&column.name) || table.key.contains(&ix);
                (!left_out).then(|| column.ty.clone())
            });
            let state = entity.state.as_deref().filter(|_| !entity.in_progress.is_empty());
            let refs = schema.entities.iter().flat_map(|e| &e.refs);
            let named = refs
                .filter(|r| r.entity == entity.name)
                .filter_map(|r| r.target.as_ref());
            let mut watched: Vec<ColumnIx> = named.chain(&entity.identity).filter_map(|c| table.column(c)).collect();
            watched.sort_unstable();
            watched.dedup();
            Tracked {
                compared: compared.collect(),
                state: state.and_then(|c| Some((table.column(c)?, entity.in_progress.clone()))),
                watched: watched
                    .into_iter()
                    .map(|c| (c, table.columns[usize::from(c)].ty.clone()))
                    .collect(),
            }
        });
        Self {
            tables: tables.collect(),
            hasher,
        }
    }

    /// The fingerprint of an event's compared columns.
    pub fn print(&self, entity: EntityIx, fields: Encoded<'_>) -> u64 {
        let tracked = &self.tables[entity];
        let one = |said: super::fields::Said<'_>| match &tracked.compared[usize::from(said.column)] {
            Some(ty) => said.print(&self.hasher, ty),
            None => 0,
        };
        fields.iter().fold(0, |all, said| all ^ one(said))
    }

    /// The fingerprint of a row's compared columns.
    pub fn print_row(&self, entity: EntityIx, row: &Row) -> u64 {
        self.print(entity, row.encoded())
    }

    /// As [`Tracking::print_row`], of these columns alone.
    fn print_some(&self, entity: EntityIx, row: &Row, columns: Encoded<'_>) -> u64 {
        let tracked = &self.tables[entity];
        let mut wanted = columns.iter().map(|said| said.column).peekable();
        let mut print = 0;
        for said in row.encoded().iter() {
            while wanted.next_if(|column| *column < said.column).is_some() {}
            if wanted.next_if_eq(&said.column).is_some()
                && let Some(ty) = &tracked.compared[usize::from(said.column)]
            {
                print ^= said.print(&self.hasher, ty);
            }
        }
        print
    }

    pub fn watched(&self, entity: EntityIx) -> &[(ColumnIx, ColumnType)] {
        &self.tables[entity].watched
    }

    /// The fingerprint of one column's value; 0 where the row has none.
    pub fn print_column(&self, row: &Row, (column, ty): &(ColumnIx, ColumnType)) -> u64 {
        row.encoded()
            .iter()
            .find(|said| said.column == *column)
            .map_or(0, |said| said.print(&self.hasher, ty))
    }

    /// As [`Tracking::print_column`], for a value from elsewhere.
    pub fn print_value(&self, column: ColumnIx, ty: &ColumnType, text: &str) -> u64 {
        fingerprint(&self.hasher, column, ty, crate::domain::value::LogKind::Text, text)
    }

    pub fn in_progress(&self, entity: EntityIx, row: &Row) -> bool {
        let Some((column, states)) = &self.tables[entity].state else {
            return false;
        };
        let state = row.encoded().iter().find(|said| said.column == *column);
        state.is_some_and(|said| said.is_one_of(states))
    }
}

/// What a row was from one of its events to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, a bit each")]
pub struct State {
    /// The event's time, microseconds since 1970; 0 where it does not say.
    pub at: i64,
    /// Equal for equal compared columns.
    pub print: u64,
    /// Whether the row was there.
    pub exists: bool,
    /// The event says that it was absent before.
    pub inserted: bool,
    /// Its state is one that the schema calls in progress.
    pub in_progress: bool,
    /// The event belongs to the bad change.
    pub bad: bool,
}

/// A [`State`] and the place of the one before it, in 16 bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Time, then the upper bits of the fingerprint.
    when: u64,
    /// Place plus one; 0: it is the first.
    before: u32,
    /// The lower bits of the fingerprint, then four flags.
    low: u32,
}

const TIME_BITS: u32 = 52;
const HIGH_BITS: u32 = 64 - TIME_BITS;
const LOW_BITS: u32 = 28;
/// Until 2112; what is later, or before 1970, counts as the nearest.
const LATEST: i64 = (1 << TIME_BITS) - 1;

/// So much of a fingerprint is kept.
pub(in crate::log) const fn kept(print: u64) -> u64 {
    print >> (64 - HIGH_BITS - LOW_BITS)
}

/// An event's time as entries keep it.
pub(in crate::log) fn moment(by: Stamp) -> i64 {
    by.at().clamp(0, LATEST)
}

impl Entry {
    fn new(state: &State, before: u32) -> Self {
        let flags = [state.exists, state.inserted, state.in_progress, state.bad];
        let flags = flags.iter().fold(0, |all, flag| all << 1 | u32::from(*flag));
        let low = (state.print & ((1 << LOW_BITS) - 1)) as u32;
        Self {
            when: state.at.cast_unsigned() << HIGH_BITS | state.print >> LOW_BITS,
            before,
            low: low << 4 | flags,
        }
    }

    fn at(&self) -> i64 {
        (self.when >> HIGH_BITS).cast_signed()
    }

    fn state(&self) -> State {
        let flag = |n: u32| self.low >> n & 1 == 1;
        State {
            at: self.at(),
            print: (self.when & ((1 << HIGH_BITS) - 1)) << LOW_BITS | u64::from(self.low >> 4),
            exists: flag(3),
            inserted: flag(2),
            in_progress: flag(1),
            bad: flag(0),
        }
    }
}

/// Entries are kept in pieces of so many, so that growing copies and wastes nothing.
const PIECE: usize = 1 << 12;

/// A watched column had another value until then.
#[derive(Debug, Clone, Copy)]
pub struct Former {
    /// The column.
    pub column: ColumnIx,
    /// Time of the event that changed it, microseconds since 1970.
    pub until: i64,
    /// Fingerprint of the value; 0 for null.
    pub print: u64,
}

/// The history of the rows of one shard.
#[derive(Debug, Default)]
pub(in crate::log) struct Track {
    pieces: Vec<Vec<Entry>>,
    /// For each entity and row the place of its last entry, plus one.
    last: Vec<Vec<u32>>,
    /// Rows whose events did not come in the order of time.
    pub late: HashSet<(EntityIx, u32)>,
    /// Of rows, in the order of their events.
    former: HashMap<(EntityIx, u32), Vec<Former>>,
}

impl Track {
    pub fn new(entities: usize) -> Self {
        Self {
            last: vec![Vec::new(); entities],
            ..Self::default()
        }
    }

    fn entry(&self, place: u32) -> Option<&Entry> {
        let at = (place as usize).checked_sub(1)?;
        self.pieces.get(at / PIECE)?.get(at % PIECE)
    }

    /// The place of a row's last entry; 0 where it has none.
    fn last(&self, entity: EntityIx, row: usize) -> u32 {
        self.last[entity].get(row).copied().unwrap_or_default()
    }

    /// What the row is after its last event so far.
    pub fn now(&self, entity: EntityIx, row: usize) -> Option<State> {
        self.entry(self.last(entity, row)).map(Entry::state)
    }

    /// The states of a row, in the order of their events.
    pub fn states(&self, entity: EntityIx, row: usize, into: &mut Vec<State>) {
        into.clear();
        let mut at = self.entry(self.last(entity, row));
        while let Some(entry) = at {
            into.push(entry.state());
            at = self.entry(entry.before);
        }
        into.reverse();
    }

    /// What watched columns of a row were, in the order of its events.
    pub fn former(&self, entity: EntityIx, row: u32) -> &[Former] {
        self.former.get(&(entity, row)).map_or(&[], Vec::as_slice)
    }

    /// Takes over the history of a row of another source.
    pub fn adopt(&mut self, entity: EntityIx, row: usize, (from, from_row): (&Self, usize)) {
        let mut states = Vec::new();
        from.states(entity, from_row, &mut states);
        for state in &states {
            self.push(entity, row, state);
        }
        let number = |row: usize| u32::try_from(row).unwrap_or(u32::MAX);
        if let Some(former) = from.former.get(&(entity, number(from_row))) {
            self.former.insert((entity, number(row)), former.clone());
        }
        if from.late.contains(&(entity, number(from_row))) {
            self.late.insert((entity, number(row)));
        }
    }

    /// Adds what a row became.
    pub fn push(&mut self, entity: EntityIx, row: usize, state: &State) {
        let before = self.last(entity, row);
        if self.entry(before).is_some_and(|entry| entry.at() > state.at) {
            self.late.insert((entity, u32::try_from(row).unwrap_or(u32::MAX)));
        }
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let full = (self.pieces.len() - 1) * PIECE;
        if let Some(piece) = self.pieces.last_mut() {
            piece.push(Entry::new(state, before));
            let place = u32::try_from(full + piece.len()).unwrap_or(u32::MAX);
            let last = &mut self.last[entity];
            if last.len() <= row {
                if row >= last.capacity() {
                    last.reserve_exact((row + 1 - last.len()).max(row / 4).max(16));
                }
                last.resize(row + 1, 0);
            }
            last[row] = place;
        }
    }

    /// Folds an event into its row, and keeps what the row became.
    pub(super) fn apply(
        &mut self,
        tracking: &Tracking,
        ix: usize,
        row: &mut Row,
        (event, fields): (&Event, Encoded<'_>),
        rules: Rules,
        scratch: &mut Vec<u8>,
    ) {
        let entity = event.entity;
        let known = self.now(entity, ix);
        let watched = tracking.watched(entity);
        let may_differ =
            known.is_some() && !watched.is_empty() && (!row.exists() || fields.iter().any(|said| row.is_unlike(&said)));
        let former: SmallVec<[u64; 4]> = if may_differ {
            watched
                .iter()
                .map(|column| tracking.print_column(row, column))
                .collect()
        } else {
            SmallVec::new()
        };
        let at = moment(event.by);
        let row_number = u32::try_from(ix).unwrap_or(u32::MAX);
        // Of events of one moment, the log's order tells which came first.
        if known.is_some_and(|known| known.at == at) && row.set_by().max(row.deleted_by()) > Some(event.by) {
            self.late.insert((entity, row_number));
        }
        let print = Self::change(tracking, known, row, (event, fields), rules, scratch);
        for (column, before) in watched.iter().zip(former) {
            let now = tracking.print_column(row, column);
            if now != before {
                self.former.entry((entity, row_number)).or_default().push(Former {
                    column: column.0,
                    until: at,
                    print: before,
                });
            }
        }
        let exists = row.exists();
        let state = State {
            at,
            print: if exists { print } else { 0 },
            exists,
            inserted: event.says == Says::New,
            in_progress: exists && tracking.in_progress(entity, row),
            bad: event.left_out.by_bad,
        };
        self.push(entity, ix, &state);
    }

    /// Folds the event; the fingerprint of what the row is then.
    fn change(
        tracking: &Tracking,
        known: Option<State>,
        row: &mut Row,
        (event, fields): (&Event, Encoded<'_>),
        rules: Rules,
        scratch: &mut Vec<u8>,
    ) -> u64 {
        let entity = event.entity;
        let says_exists = matches!(event.says, Says::New | Says::Exists);
        if says_exists && row.set_whole(event.by, fields, rules) {
            return kept(event.print);
        }
        let (existed, floor) = (row.exists(), row.floor());
        let touched = tracking.print_some(entity, row, fields);
        if says_exists {
            row.set(event.by, fields, rules, scratch);
        } else {
            row.delete(event.by, event.says == Says::Moved, fields, rules, scratch);
        }
        match known {
            Some(known) if existed && row.exists() && row.floor() == floor => {
                known.print ^ kept(touched ^ tracking.print_some(entity, row, fields))
            }
            _ => kept(tracking.print_row(entity, row)),
        }
    }
}

//! The history of rows, where a preview asks for one: after each event, whether the row is there and a fingerprint of what
//! it is.
//!
//! The row itself is folded as always. As its events come in the order of time, what it is after one of them is what it
//! was at that moment, whatever their order in the log is. A row whose events come otherwise is marked as late: it is
//! told again from the log by `replay`.
//!
//! What the rows became is written down as it comes, in some ten bytes an event, and put in order by row once the log is
//! read ([`Track::settle`]). So nothing is kept for a row while its events come, and one row's history lies together.

use super::batch::Event;
use super::fields::Encoded;
use super::packed::{Bytes, Cursor};
use super::tracking::Tracking;
use super::{Row, Rules, Says, Stamp};
use crate::domain::schema::{ColumnIx, EntityIx};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

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

/// Bits of a fingerprint that are kept: of two million states that differ from their row's last one, one looks like it with
/// a chance of 1 in 17,000.
const PRINT_BITS: u32 = 35;
const FLAGS: u32 = 5;
/// Until 2112; what is later, or before 1970, counts as the nearest.
const LATEST: i64 = (1 << 52) - 1;

/// So much of a fingerprint is kept.
pub(in crate::log) const fn kept(print: u64) -> u64 {
    print >> (u64::BITS - PRINT_BITS)
}

/// An event's time as a history keeps it.
pub(in crate::log) fn moment(by: Stamp) -> i64 {
    by.at().clamp(0, LATEST)
}

/// Fingerprint and flags of a state; `change`: the fingerprint says how it differs from that of the row's state before.
fn pack(state: &State, change: bool) -> u64 {
    let flags = [state.exists, state.inserted, state.in_progress, state.bad, change];
    flags.iter().fold(state.print, |all, flag| all << 1 | u64::from(*flag))
}

fn unpack(at: i64, packed: u64) -> State {
    let flag = |n: u32| packed >> n & 1 == 1;
    State {
        at,
        print: packed >> FLAGS,
        exists: flag(4),
        inserted: flag(3),
        in_progress: flag(2),
        bad: flag(1),
    }
}

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

/// What the rows of one entity became.
#[derive(Debug, Default)]
struct Told {
    bytes: Bytes,
    /// Time of the first, which the others count from, and of the last.
    span: Option<(i64, i64)>,
    /// Once settled: where in `bytes` the states of each row begin.
    begin: Vec<u32>,
}

impl Told {
    /// Another state, of whichever row.
    fn push(&mut self, row: usize, state: &State, change: bool) {
        let (first, last) = self.span.unwrap_or((state.at, state.at));
        self.bytes.reserve();
        self.bytes.number(row as u64);
        self.bytes.time(state.at - last);
        self.bytes.five(pack(state, change));
        self.span = Some((first, state.at));
    }

    /// Puts them in order by row; what a state says of its row's state before is looked up.
    fn settle(&mut self) {
        let Some((first, _)) = self.span else { return };
        let mut places: Vec<u32> = Vec::new();
        let mut cursor = Cursor::default();
        while let Some(row) = cursor.number(&self.bytes) {
            let row = usize::try_from(row).unwrap_or_default();
            cursor.skip(&self.bytes);
            if places.len() <= row {
                places.resize(row + 1, 0);
            }
            places[row] += 1;
        }
        let mut events = 0;
        for place in &mut places {
            events += std::mem::replace(place, events);
        }
        let mut sorted: Vec<(i64, u64)> = vec![(0, 0); events as usize];
        let (mut cursor, mut at) = (Cursor::default(), first);
        while let Some(row) = cursor.number(&self.bytes) {
            at += cursor.time(&self.bytes);
            let place = &mut places[usize::try_from(row).unwrap_or_default()];
            sorted[*place as usize] = (at, cursor.five(&self.bytes));
            *place += 1;
        }
        self.bytes.clear();
        self.begin.reserve_exact(places.len());
        let mut from = 0;
        for end in places {
            let (mut last, mut print) = (first, 0);
            self.bytes.reserve();
            self.begin.push(self.bytes.end());
            for (at, packed) in &sorted[from as usize..end as usize] {
                let change = packed & 1 == 1;
                print = (packed >> FLAGS) ^ if change { print } else { 0 };
                self.bytes.reserve();
                self.bytes.time(at - last);
                self.bytes.five(print << FLAGS | (packed & ((1 << FLAGS) - 1)));
                last = *at;
            }
            from = end;
        }
        self.bytes.shrink();
    }

    /// From where to where the states of a row lie; `None`: there are none.
    fn place(&self, row: usize) -> Option<(u32, u32)> {
        let begin = *self.begin.get(row)?;
        let end = self.begin.get(row + 1).map_or_else(|| self.bytes.end(), |end| *end);
        (begin < end).then_some((begin, end))
    }

    fn states(&self, row: usize, into: &mut Vec<State>) {
        into.clear();
        let (Some((first, _)), Some((begin, end))) = (self.span, self.place(row)) else {
            return;
        };
        let (mut cursor, mut at) = (Cursor::at(begin), first);
        while cursor.is_before(&self.bytes, end) {
            at += cursor.time(&self.bytes);
            into.push(unpack(at, cursor.five(&self.bytes)));
        }
    }
}

/// The history of the rows of one shard.
#[derive(Debug, Default)]
pub(in crate::log) struct Track {
    told: Vec<Told>,
    /// Rows whose events did not come in the order of time.
    pub late: HashSet<(EntityIx, u32)>,
    /// Of rows, in the order of their events.
    former: HashMap<(EntityIx, u32), Vec<Former>>,
}

impl Track {
    pub fn new(entities: usize) -> Self {
        Self {
            told: (0..entities).map(|_| Told::default()).collect(),
            ..Self::default()
        }
    }

    /// Puts it in order, once all is told.
    pub fn settle(&mut self) {
        self.told.iter_mut().for_each(Told::settle);
    }

    /// The states of a row, in the order of their events.
    pub fn states(&self, entity: EntityIx, row: usize, into: &mut Vec<State>) {
        self.told[entity].states(row, into);
    }

    /// Whether anything was told of the row.
    pub fn knows(&self, entity: EntityIx, row: usize) -> bool {
        self.told[entity].place(row).is_some()
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
            self.told[entity].push(row, state, false);
        }
        let number = |row: usize| u32::try_from(row).unwrap_or(u32::MAX);
        if let Some(former) = from.former.get(&(entity, number(from_row))) {
            self.former.insert((entity, number(row)), former.clone());
        }
        if from.late.contains(&(entity, number(from_row))) {
            self.late.insert((entity, number(row)));
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
        let row_number = u32::try_from(ix).unwrap_or(u32::MAX);
        let at = moment(event.by);
        // The row has its newest event: as long as they come in the log's order and in that of time, it is the last one too.
        let newest = row.set_by().max(row.deleted_by());
        if newest.is_some_and(|newest| event.by < newest || at < moment(newest)) {
            self.late.insert((entity, row_number));
        }
        let watched = tracking.watched(entity);
        let may_differ = newest.is_some()
            && !watched.is_empty()
            && (!row.exists() || fields.iter().any(|said| row.is_unlike(&said)));
        let former: SmallVec<[u64; 4]> = if may_differ {
            watched
                .iter()
                .map(|column| tracking.print_column(row, column))
                .collect()
        } else {
            SmallVec::new()
        };
        let (print, change) = change(tracking, row, (event, fields), rules, scratch);
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
            print: if exists { kept(print) } else { 0 },
            exists,
            inserted: event.says == Says::New,
            in_progress: exists && tracking.in_progress(entity, row),
            bad: event.left_out.by_bad,
        };
        self.told[entity].push(ix, &state, change);
    }
}

/// Folds the event; the fingerprint of what the row is then, or, with `true`, what of it the event changed.
fn change(
    tracking: &Tracking,
    row: &mut Row,
    (event, fields): (&Event, Encoded<'_>),
    rules: Rules,
    scratch: &mut Vec<u8>,
) -> (u64, bool) {
    let entity = event.entity;
    let says_exists = matches!(event.says, Says::New | Says::Exists);
    if says_exists && row.set_whole(event.by, fields, rules) {
        return (event.print, false);
    }
    let (existed, floor) = (row.exists(), row.floor());
    let touched = tracking.print_some(entity, row, fields);
    if says_exists {
        row.set(event.by, fields, rules, scratch);
    } else {
        row.delete(event.by, event.says == Says::Moved, fields, rules, scratch);
    }
    if existed && row.exists() && row.floor() == floor {
        (touched ^ tracking.print_some(entity, row, fields), true)
    } else {
        (tracking.print_row(entity, row), false)
    }
}

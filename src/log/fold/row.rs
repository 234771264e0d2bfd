//! One row of the log while its events arrive, in whatever order they do.
//!
//! What is kept follows from three things that no order of arrival changes: the newest event that says the row exists
//! (`set`), the deletes newer than it, and the newest delete before it (`floor`). Visible is, for each column, the newest
//! value above the floor: the live row while no delete is newer than `set`, else its last state.

use super::batch::{Event, Says};
use super::fields::{Encoded, Said, kind_of, push};
use super::stamp::Stamp;
use crate::domain::schema::ColumnIx;
use crate::domain::value::{LogKind, LogValue};
use std::borrow::Cow;
use std::cmp::Ordering;

/// Deletes of one key kept while nothing says that the row came back between them; more are one run.
const MOST_DELETES: usize = 16;

/// A row and the events that its values came from.
///
/// One line of the processor's cache, and another few that it points to.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct Row {
    /// The key, then for each field its head and text, by column; then room.
    data: Box<[u8]>,
    used: u32,
    key_len: u32,
    set: Stamp,
    more: Option<Box<More>>,
}

/// What few rows have.
#[derive(Debug, Clone, Default)]
struct More {
    /// Events of fields other than `set`; a head names them by their place here plus one.
    stamps: Vec<Stamp>,
    floor: Option<Stamp>,
    /// Newer than `set`, in order.
    deletes: Vec<Stamp>,
    /// Of the newest version: the last event, and the last of those that say otherwise.
    clash: Option<(Stamp, Stamp)>,
    /// Columns whose newest value was contradicted by an event of the same version.
    clashes: Vec<(ColumnIx, Stamp)>,
    /// Deletes of this key that moved the row to another one.
    moves: Vec<Stamp>,
    /// What such a move took with it, where the key was used again later.
    moved: Vec<Moved>,
}

/// The row as it was when it moved away. Complete unless the key was used again and that was read before the move, which
/// logs that come nearly in order do not do.
#[derive(Debug, Clone)]
struct Moved {
    by: Stamp,
    floor: Option<Stamp>,
    fields: Vec<Owned>,
}

/// A field outside of a row.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub column: ColumnIx,
    pub kind: LogKind,
    pub text: Box<str>,
    pub stamp: Stamp,
}

impl Owned {
    pub fn value(&self) -> LogValue<'_> {
        LogValue::new(self.kind, &*self.text)
    }
}

/// A field inside of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'r> {
    pub column: ColumnIx,
    kind: u8,
    text: &'r [u8],
    pub stamp: Stamp,
}

impl<'r> Field<'r> {
    pub fn value(self) -> LogValue<'r> {
        LogValue {
            kind: kind_of(self.kind),
            text: Cow::Borrowed(std::str::from_utf8(self.text).unwrap_or_default()),
        }
    }

    fn says(&self, said: &Said<'_>) -> bool {
        // 7 and "7" are one value: what they mean is the column's business.
        let null = |kind| kind_of(kind) == LogKind::Null;
        null(self.kind) == null(said.kind) && self.text == said.text
    }
}

/// How the events of a log are ordered, as far as a row must know.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// By version: events of one version must say the same.
    pub versions: bool,
}

impl Row {
    pub fn new(key: &[u8]) -> Self {
        let len = u32::try_from(key.len()).unwrap_or(u32::MAX);
        Self {
            data: key.into(),
            used: len,
            key_len: len,
            set: Stamp::BEFORE,
            more: None,
        }
    }

    pub fn key_bytes(&self) -> &[u8] {
        &self.data[..self.key_len as usize]
    }

    /// Reads what [`Row::set`] is going to: all of its cache lines.
    pub fn touch(&self) -> usize {
        let lines = self.data.iter().step_by(64).map(|b| usize::from(*b));
        lines.sum::<usize>() + usize::from(self.more.is_some())
    }

    pub(super) fn encoded(&self) -> Encoded<'_> {
        Encoded(&self.data[self.key_len as usize..self.used as usize])
    }

    /// Puts these fields in the place of all.
    fn write(&mut self, fields: &[u8]) {
        let from = self.key_len as usize;
        let to = from + fields.len();
        if to > self.data.len() {
            // Values of a row keep their lengths, nearly: a little room serves the next events.
            let mut data = Vec::with_capacity((to + to / 16).next_multiple_of(16));
            data.extend_from_slice(&self.data[..from]);
            data.resize(data.capacity(), 0);
            self.data = data.into_boxed_slice();
        }
        self.data[from..to].copy_from_slice(fields);
        self.used = u32::try_from(to).unwrap_or(u32::MAX);
    }

    pub fn key(&self) -> &str {
        std::str::from_utf8(self.key_bytes()).unwrap_or_default()
    }

    /// The event that says the row exists, unless a later one deletes it.
    pub fn exists(&self) -> bool {
        self.deleted_by().is_none() && self.set != Stamp::BEFORE
    }

    /// The newest event that says the row exists, if any does.
    pub fn set_by(&self) -> Option<Stamp> {
        (self.set != Stamp::BEFORE).then_some(self.set)
    }

    pub fn deleted_by(&self) -> Option<Stamp> {
        self.more.as_ref()?.deletes.last().copied()
    }

    /// Whether any event tells of it.
    pub fn is_told(&self) -> bool {
        self.set != Stamp::BEFORE || self.more.is_some()
    }

    pub fn floor(&self) -> Option<Stamp> {
        self.more.as_ref()?.floor
    }

    /// The time of the latest event that left something here, microseconds since 1970.
    pub fn newest(&self) -> Option<i64> {
        let fields = self.fields().map(|f| f.stamp);
        let all = fields.chain(self.set_by()).chain(self.deleted_by()).chain(self.floor());
        all.map(|s| s.at()).max().filter(|at| *at != i64::MIN)
    }

    /// The highest position, where positions are numbers, of the events that left something here.
    pub fn highest_position(&self) -> Option<u64> {
        let fields = self.fields().map(|f| f.stamp);
        let all = fields.chain(self.set_by()).chain(self.deleted_by()).chain(self.floor());
        all.filter_map(|s| s.number()).max()
    }

    /// Two events that contradict each other on what the row is.
    pub fn contradicted(&self) -> Option<(Stamp, Stamp)> {
        let more = self.more.as_ref()?;
        more.clash.or_else(|| {
            let (column, other) = more.clashes.iter().min_by_key(|(column, _)| *column)?;
            let winner = self.fields().find(|f| f.column == *column)?;
            Some((winner.stamp, *other))
        })
    }

    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let stamps = self.more.as_ref().map_or(&[][..], |m| &m.stamps[..]);
        self.encoded().iter().map(move |said| Field {
            column: said.column,
            kind: said.kind,
            text: said.text,
            stamp: usize::from(said.event).checked_sub(1).map_or(self.set, |n| stamps[n]),
        })
    }

    /// One event.
    pub(super) fn take(&mut self, event: &Event, fields: Encoded<'_>, rules: Rules, scratch: &mut Vec<u8>) {
        match event.says {
            Says::New | Says::Exists => self.set(event.by, fields, rules, scratch),
            says => self.delete(event.by, says == Says::Moved, fields, rules, scratch),
        }
    }

    /// An event that says the row exists, with these values.
    pub fn set(&mut self, by: Stamp, fields: Encoded<'_>, rules: Rules, scratch: &mut Vec<u8>) {
        if self.set_whole(by, fields, rules) {
            return;
        }
        if self.more.is_none() {
            let tie = rules.versions && by.version() == self.set.version();
            if by < self.set && !tie && self.covers(fields) {
                return;
            }
        }
        self.set_slowly(by, fields, rules, scratch);
    }

    /// As [`Row::set`], where the event leaves nothing of the row; `false`: it does not, and nothing is done.
    pub fn set_whole(&mut self, by: Stamp, fields: Encoded<'_>, rules: Rules) -> bool {
        let tie = rules.versions && by.version() == self.set.version();
        let whole = self.more.is_none() && by > self.set && !tie && self.covered_by(fields);
        if whole {
            self.write(fields.0);
            self.set = by;
        }
        whole
    }

    /// Whether the row has another value of this column, or none.
    pub(super) fn is_unlike(&self, said: &Said<'_>) -> bool {
        let known = self.encoded().iter().find(|known| known.column == said.column);
        known.is_none_or(|known| known.kind != said.kind || known.text != said.text)
    }

    #[inline(never)]
    fn set_slowly(&mut self, by: Stamp, fields: Encoded<'_>, rules: Rules, scratch: &mut Vec<u8>) {
        if rules.versions {
            self.note_clash(by, false, fields);
        }
        self.fill_moved(by, fields);
        if self.floor().is_some_and(|floor| by < floor) {
            return;
        }
        let mut set = self.set;
        if by > set {
            set = by;
            if self.deleted_by().is_some() {
                self.raise_floor(by);
            }
        }
        self.rebuild(set, by, fields, rules, scratch);
    }

    /// An event that says the row is gone; `fields` is what it says the row was.
    pub fn delete(&mut self, by: Stamp, moves: bool, fields: Encoded<'_>, rules: Rules, scratch: &mut Vec<u8>) {
        if rules.versions {
            self.note_clash(by, true, fields);
        }
        let set = self.set;
        let more = self.more.get_or_insert_default();
        if moves && !more.moves.contains(&by) {
            more.moves.push(by);
        }
        if moves && by < set {
            self.keep_moved(by);
        }
        let more = self.more.get_or_insert_default();
        for moved in &mut more.moved {
            if by < moved.by {
                moved.floor = moved.floor.max(Some(by));
                moved.fields.retain(|f| f.stamp > by);
            }
        }
        if more.floor.is_some_and(|floor| by <= floor) {
            return;
        }
        if by > set {
            if let Err(at) = more.deletes.binary_search(&by) {
                more.deletes.insert(at, by);
                if more.deletes.len() > MOST_DELETES {
                    more.deletes.remove(1);
                }
            }
        } else {
            more.floor = Some(by);
        }
        self.rebuild(set, by, fields, rules, scratch);
    }

    /// The newest delete before this event becomes the floor.
    fn raise_floor(&mut self, set: Stamp) {
        let Some(more) = &mut self.more else { return };
        let below = more.deletes.partition_point(|d| *d < set);
        let passed: Vec<Stamp> = more.deletes.drain(..below).collect();
        for delete in passed {
            self.keep_moved(delete);
            if let Some(more) = &mut self.more {
                more.floor = more.floor.max(Some(delete));
            }
        }
    }

    /// Puts aside what a move took with it, before the floor rises above it.
    fn keep_moved(&mut self, delete: Stamp) {
        let Some(more) = &self.more else { return };
        if !more.moves.contains(&delete) || more.moved.iter().any(|m| m.by == delete) {
            return;
        }
        let floor = more.floor.filter(|floor| *floor < delete);
        let fields = self.owned(|f| f.stamp < delete);
        let by = delete;
        if let Some(more) = &mut self.more {
            more.moved.push(Moved { by, floor, fields });
        }
    }

    /// An event older than the floor still tells what a move took with it.
    fn fill_moved(&mut self, by: Stamp, fields: Encoded<'_>) {
        let Some(more) = &mut self.more else { return };
        let taken_by = |m: &&mut Moved| by < m.by && m.floor.is_none_or(|floor| by > floor);
        for moved in more.moved.iter_mut().filter(taken_by) {
            for said in fields.iter() {
                let known = moved.fields.iter_mut().find(|f| f.column == said.column);
                let new = Owned {
                    column: said.column,
                    kind: kind_of(said.kind),
                    text: String::from_utf8_lossy(said.text).into(),
                    stamp: by,
                };
                match known {
                    Some(known) if known.stamp >= by => {}
                    Some(known) => *known = new,
                    None => moved.fields.push(new),
                }
            }
        }
    }

    /// The row as it was when this event moved it away.
    pub fn as_moved_by(&self, by: Stamp) -> Vec<Owned> {
        let kept = self.more.as_ref().and_then(|m| m.moved.iter().find(|m| m.by == by));
        kept.map_or_else(|| self.owned(|f| f.stamp <= by), |moved| moved.fields.clone())
    }

    fn owned(&self, keep: impl Fn(&Field<'_>) -> bool) -> Vec<Owned> {
        let own = |f: Field<'_>| Owned {
            column: f.column,
            kind: kind_of(f.kind),
            text: f.value().text.as_ref().into(),
            stamp: f.stamp,
        };
        self.fields().filter(keep).map(own).collect()
    }

    /// Gives a row what the move that made it left out.
    pub fn take_over(&mut self, by: Stamp, fields: &[Owned]) {
        if self.floor().is_none_or(|floor| floor < by) {
            self.inherit(by, fields);
        } else {
            self.inherit_moved(by, fields);
        }
    }

    /// Gives a moved row the values that its move left out; `by` is the move.
    fn inherit(&mut self, by: Stamp, fields: &[Owned]) {
        let mut all = self.owned(|f| f.stamp >= by || !fields.iter().any(|o| o.column == f.column));
        for field in fields {
            if !all.iter().any(|f| f.column == field.column) {
                all.push(field.clone());
            }
        }
        all.sort_by_key(|f| f.column);
        self.replace_fields(&all);
    }

    /// As [`Row::inherit`], where the row has moved on since and its key was used again.
    fn inherit_moved(&mut self, by: Stamp, fields: &[Owned]) {
        let Some(more) = &mut self.more else { return };
        let through = |m: &&mut Moved| by < m.by && m.floor.is_none_or(|floor| floor < by);
        for moved in more.moved.iter_mut().filter(through) {
            for field in fields {
                match moved.fields.iter_mut().find(|f| f.column == field.column) {
                    Some(known) if known.stamp >= by => {}
                    Some(known) => *known = field.clone(),
                    None => moved.fields.push(field.clone()),
                }
            }
        }
    }

    /// Whether a truncate at this place changes anything here.
    pub fn concerned_by(&self, truncate: Stamp) -> bool {
        self.more.is_some() || self.set < truncate
    }

    /// The visible fields, taken out.
    pub fn owned_fields(&self) -> Vec<Owned> {
        self.owned(|_| true)
    }

    fn replace_fields(&mut self, fields: &[Owned]) {
        let mut stamps = Stamps::default();
        let mut data = Vec::new();
        for f in fields {
            let event = stamps.place(self.set, f.stamp);
            push(&mut data, f.column, event, f.kind as u8, f.text.as_bytes());
        }
        self.write(&data);
        if !stamps.0.is_empty() || self.more.is_some() {
            self.more.get_or_insert_default().stamps = stamps.0;
        }
    }

    /// Lets go of what only further events would need.
    pub fn settle(&mut self) {
        if let Some(more) = &mut self.more {
            more.moves = Vec::new();
            more.moved = Vec::new();
            let last = more.deletes.len().saturating_sub(1);
            more.deletes.drain(..last);
        }
    }

    /// Puts a row together that several sources tell of.
    pub fn assemble(
        &mut self,
        set: Option<Stamp>,
        delete: Option<Stamp>,
        fields: &[Owned],
        clash: Option<(Stamp, Stamp)>,
    ) {
        self.set = set.unwrap_or(Stamp::BEFORE);
        self.more = None;
        self.replace_fields(fields);
        if delete.is_some() || clash.is_some() {
            let more = self.more.get_or_insert_default();
            more.deletes = delete.into_iter().collect();
            more.clash = clash;
        }
    }

    /// Whether an event with these columns leaves nothing of the row.
    fn covered_by(&self, fields: Encoded<'_>) -> bool {
        let mut fields = fields.iter();
        self.encoded()
            .iter()
            .all(|old| fields.any(|new| new.column == old.column))
    }

    /// Whether the row has all these columns.
    fn covers(&self, fields: Encoded<'_>) -> bool {
        let mut known = self.encoded().iter();
        fields.iter().all(|new| known.any(|old| old.column == new.column))
    }

    /// Events of the newest version that say different things: the last of them, and the last that says otherwise.
    fn note_clash(&mut self, by: Stamp, gone: bool, fields: Encoded<'_>) {
        let deleted = self.deleted_by();
        let top = deleted.unwrap_or(self.set);
        let clash = self.more.as_ref().and_then(|m| m.clash);
        let new = match by.version().cmp(&top.version()) {
            Ordering::Less => clash,
            Ordering::Greater => None,
            Ordering::Equal => {
                // Nothing is newer than the last event, so all that it said is still there.
                let said = || self.fields().filter(|f| f.stamp == top);
                let same = deleted.is_some() == gone
                    && said().count() == fields.iter().count()
                    && said()
                        .zip(fields.iter())
                        .all(|(f, new)| f.column == new.column && f.says(&new));
                let other = clash.map(|(_, other)| other);
                let other = match (same, by > top) {
                    (true, _) => other,
                    (false, true) => Some(top),
                    (false, false) => other.max(Some(by)),
                };
                other.map(|other| (by.max(top), other))
            }
        };
        if new != clash {
            self.more.get_or_insert_default().clash = new;
        }
    }

    /// Merges an event's fields into the visible ones and drops what lies under the floor.
    fn rebuild(&mut self, set: Stamp, by: Stamp, fields: Encoded<'_>, rules: Rules, scratch: &mut Vec<u8>) {
        let floor = self.floor();
        let mut stamps = Stamps::default();
        let mut clashes = self
            .more
            .as_mut()
            .map(|m| std::mem::take(&mut m.clashes))
            .unwrap_or_default();
        scratch.clear();
        let fields = if floor.is_some_and(|floor| by <= floor) {
            Encoded::NONE
        } else {
            fields
        };
        let mut new = fields.iter().peekable();
        let mut keep =
            |stamp, said: Said<'_>| push(scratch, said.column, stamps.place(set, stamp), said.kind, said.text);
        for old in self.fields() {
            if floor.is_some_and(|floor| old.stamp <= floor) {
                continue;
            }
            while let Some(said) = new.next_if(|said| said.column < old.column) {
                keep(by, said);
            }
            let kept = Said {
                column: old.column,
                event: 0,
                kind: old.kind,
                text: old.text,
            };
            match new.next_if(|said| said.column == old.column) {
                Some(said) => {
                    if rules.versions {
                        note_field(&mut clashes, &old, by, &said);
                    }
                    if by > old.stamp {
                        keep(by, said);
                    } else {
                        keep(old.stamp, kept);
                    }
                }
                None => keep(old.stamp, kept),
            }
        }
        for said in new {
            keep(by, said);
        }
        if !stamps.0.is_empty() || !clashes.is_empty() || self.more.is_some() {
            let more = self.more.get_or_insert_default();
            more.stamps = stamps.0;
            clashes.retain(|(_, stamp)| floor.is_none_or(|floor| *stamp > floor));
            more.clashes = clashes;
        }
        self.write(scratch);
        self.set = set;
    }
}

/// Remembers, for one column, the newest event that contradicts the winner within the winner's version.
fn note_field(clashes: &mut Vec<(ColumnIx, Stamp)>, old: &Field<'_>, by: Stamp, said: &Said<'_>) {
    let known = clashes.iter_mut().find(|(column, _)| *column == old.column);
    if by.version() != old.stamp.version() {
        if by > old.stamp {
            clashes.retain(|(column, _)| *column != old.column);
        }
        return;
    }
    if old.says(said) {
        return;
    }
    let loser = by.min(old.stamp);
    match known {
        Some((_, other)) => *other = if by > old.stamp { loser } else { loser.max(*other) },
        None => clashes.push((old.column, loser)),
    }
}

/// The events behind a row's fields, each once.
#[derive(Default)]
struct Stamps(Vec<Stamp>);

impl Stamps {
    fn place(&mut self, set: Stamp, stamp: Stamp) -> u16 {
        if stamp == set {
            return 0;
        }
        let at = self.0.iter().position(|s| *s == stamp).unwrap_or_else(|| {
            self.0.push(stamp);
            self.0.len() - 1
        });
        // PostgreSQL allows 1,600 columns (limits, appendix K), so there are never more events than fit.
        u16::try_from(at + 1).unwrap_or(u16::MAX)
    }
}

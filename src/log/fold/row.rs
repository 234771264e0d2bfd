//! One row of the log while its events arrive, in whatever order they do.
//!
//! What is kept follows from three things that no order of arrival changes: the newest event that says the row exists
//! (`set`), the deletes newer than it, and the newest delete before it (`floor`). Visible is, for each column, the newest
//! value above the floor: the live row while no delete is newer than `set`, else its last state.

use super::stamp::Stamp;
use crate::domain::schema::ColumnIx;
use crate::domain::value::{LogKind, LogValue};
use std::cmp::Ordering;

/// The columns of an event: each once, in the order of the table.
pub(crate) type Fields<'f, 'a> = &'f [(ColumnIx, LogValue<'a>)];

/// Deletes of one key kept while nothing says that the row came back between them; more are one run.
const MOST_DELETES: usize = 16;
/// Bytes before the text of each field: column, event, kind and length.
const HEAD: usize = 8;

/// A row and the events that its values came from.
#[derive(Debug)]
pub(crate) struct Row {
    /// The key, then for each field its head and text, by column.
    data: Vec<u8>,
    key_len: u32,
    /// Hash of entity and key, kept so that the table of rows can grow without reading them.
    pub hash: u32,
    set: Stamp,
    more: Option<Box<More>>,
}

/// What few rows have.
#[derive(Debug, Default)]
struct More {
    /// Events of fields other than `set`; a head names them by their place here plus one.
    stamps: Vec<Stamp>,
    floor: Option<Stamp>,
    /// Newer than `set`, in order.
    deletes: Vec<Stamp>,
    /// Same version as `set`, other content.
    clash: Option<(Stamp, Stamp)>,
    /// Columns whose newest value was contradicted by an event of the same version.
    clashes: Vec<(ColumnIx, Stamp)>,
    /// Deletes of this key that moved the row to another one.
    moves: Vec<Stamp>,
    /// What such a move took with it, where the key was used again later.
    moved: Vec<Moved>,
}

/// The row as it was when it moved away.
#[derive(Debug)]
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
            text: String::from_utf8_lossy(self.text),
        }
    }

    fn says(&self, value: &LogValue<'_>) -> bool {
        // 7 and "7" are one value: what they mean is the column's business.
        let null = |kind| kind == LogKind::Null;
        null(kind_of(self.kind)) == null(value.kind) && self.text == value.text.as_bytes()
    }
}

/// How the events of a log are ordered, as far as a row must know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// By version: events of one version must say the same.
    pub versions: bool,
}

impl Row {
    pub fn new(key: &str, hash: u32) -> Self {
        Self {
            data: key.as_bytes().to_vec(),
            key_len: u32::try_from(key.len()).unwrap_or(u32::MAX),
            hash,
            set: Stamp::BEFORE,
            more: None,
        }
    }

    pub fn key_bytes(&self) -> &[u8] {
        &self.data[..self.key_len as usize]
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

    pub fn floor(&self) -> Option<Stamp> {
        self.more.as_ref()?.floor
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
        let mut rest = &self.data[self.key_len as usize..];
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_first_chunk::<HEAD>()?;
            let head = u64::from_le_bytes(*head);
            let len = (head >> 35) as usize;
            let event = (head >> 16 & 0xffff) as usize;
            let (text, tail) = tail.split_at_checked(len)?;
            rest = tail;
            Some(Field {
                column: (head & 0xffff) as u16,
                kind: (head >> 32 & 7) as u8,
                text,
                stamp: event.checked_sub(1).map_or(self.set, |n| stamps[n]),
            })
        })
    }

    /// An event that says the row exists, with these values.
    pub fn set(&mut self, by: Stamp, fields: Fields<'_, '_>, rules: Rules, scratch: &mut Vec<u8>) {
        if self.more.is_none() {
            let newer = by > self.set;
            let tie = rules.versions && by.version() == self.set.version();
            if newer && !tie && self.covered_by(fields) {
                self.data.truncate(self.key_len as usize);
                let len: usize = fields.iter().map(|(_, v)| HEAD + v.text.len()).sum();
                if self.data.capacity() - self.data.len() < len {
                    // Values of a row keep their lengths, nearly: a little room serves the next events.
                    self.data.reserve_exact(len + len / 16);
                }
                for (column, value) in fields {
                    push(&mut self.data, *column, 0, value.kind as u8, value.text.as_bytes());
                }
                self.set = by;
                return;
            }
            if !newer && !tie && self.covers(fields) {
                return;
            }
        }
        self.set_slowly(by, fields, rules, scratch);
    }

    #[inline(never)]
    fn set_slowly(&mut self, by: Stamp, fields: Fields<'_, '_>, rules: Rules, scratch: &mut Vec<u8>) {
        if self.floor().is_some_and(|floor| by < floor) {
            self.fill_moved(by, fields);
            return;
        }
        if rules.versions {
            self.note_clash(by, fields);
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
    pub fn delete(&mut self, by: Stamp, moves: bool, fields: Fields<'_, '_>, rules: Rules, scratch: &mut Vec<u8>) {
        let tie = rules.versions && by.version() == self.set.version();
        let set = self.set;
        let more = self.more.get_or_insert_default();
        if tie {
            let (winner, other) = if by > set { (by, set) } else { (set, by) };
            more.clash = Some((winner, other));
        }
        if moves && !more.moves.contains(&by) {
            more.moves.push(by);
        }
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
            self.keep_moved(by);
            if let Some(more) = &mut self.more {
                more.floor = Some(by);
            }
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
        let floor = more.floor;
        let fields = self.owned(|f| f.stamp < delete);
        if let Some(more) = &mut self.more {
            more.moved.push(Moved {
                by: delete,
                floor,
                fields,
            });
        }
    }

    /// An event older than the floor still tells what a move took with it.
    fn fill_moved(&mut self, by: Stamp, fields: Fields<'_, '_>) {
        let Some(more) = &mut self.more else { return };
        let taken_by = |m: &&mut Moved| by < m.by && m.floor.is_none_or(|floor| by > floor);
        for moved in more.moved.iter_mut().filter(taken_by) {
            for (column, value) in fields {
                let known = moved.fields.iter_mut().find(|f| f.column == *column);
                let new = Owned {
                    column: *column,
                    kind: value.kind,
                    text: value.text.as_ref().into(),
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

    /// Gives a moved row the values that its move left out; `by` is the move.
    pub fn inherit(&mut self, by: Stamp, fields: &[Owned]) {
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
    pub fn inherit_moved(&mut self, by: Stamp, fields: &[Owned]) {
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
        self.data.truncate(self.key_len as usize);
        let mut stamps = Stamps::default();
        for f in fields {
            let event = stamps.place(self.set, f.stamp);
            push(&mut self.data, f.column, event, f.kind as u8, f.text.as_bytes());
        }
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
    fn covered_by(&self, fields: Fields<'_, '_>) -> bool {
        let mut fields = fields.iter();
        self.columns().all(|column| fields.any(|(c, _)| *c == column))
    }

    /// Whether the row has all these columns.
    fn covers(&self, fields: Fields<'_, '_>) -> bool {
        let mut columns = self.columns();
        fields.iter().all(|(column, _)| columns.any(|c| c == *column))
    }

    fn columns(&self) -> impl Iterator<Item = ColumnIx> {
        let mut rest = &self.data[self.key_len as usize..];
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_first_chunk::<HEAD>()?;
            let head = u64::from_le_bytes(*head);
            rest = tail.get((head >> 35) as usize..)?;
            Some((head & 0xffff) as u16)
        })
    }

    /// Events of one version that say different things.
    fn note_clash(&mut self, by: Stamp, fields: Fields<'_, '_>) {
        let set = self.set;
        if by > set
            && by.version() != set.version()
            && let Some(more) = &mut self.more
        {
            more.clash = None;
        }
        let deleted = self.deleted_by().filter(|d| d.version() == by.version());
        if let Some(delete) = deleted {
            let (winner, other) = if by > delete { (by, delete) } else { (delete, by) };
            self.more.get_or_insert_default().clash = Some((winner, other));
        }
        if by.version() != set.version() || set == Stamp::BEFORE {
            return;
        }
        let said: Vec<Field<'_>> = self.fields().filter(|f| f.stamp == set).collect();
        let same = said.len() == fields.len()
            && said
                .iter()
                .zip(fields)
                .all(|(f, (column, value))| f.column == *column && f.says(value));
        if same {
            // The later of two equals stands for both.
            if let Some(More {
                clash: Some((winner, _)),
                ..
            }) = self.more.as_deref_mut()
            {
                *winner = (*winner).max(by);
            }
            return;
        }
        let clash = &mut self.more.get_or_insert_default().clash;
        *clash = Some(match clash.take() {
            _ if by > set => (by, set),
            Some((winner, other)) => (winner, other.max(by)),
            None => (set, by),
        });
    }

    /// Merges an event's fields into the visible ones and drops what lies under the floor.
    fn rebuild(&mut self, set: Stamp, by: Stamp, fields: Fields<'_, '_>, rules: Rules, scratch: &mut Vec<u8>) {
        let floor = self.floor();
        let mut stamps = Stamps::default();
        let mut clashes = self
            .more
            .as_mut()
            .map(|m| std::mem::take(&mut m.clashes))
            .unwrap_or_default();
        scratch.clear();
        scratch.extend_from_slice(self.key_bytes());
        let fields = if floor.is_some_and(|floor| by <= floor) {
            &[]
        } else {
            fields
        };
        let mut new = fields.iter().peekable();
        let mut keep = |data: &mut Vec<u8>, column, stamp, kind, text: &[u8]| {
            push(data, column, stamps.place(set, stamp), kind, text);
        };
        for old in self.fields() {
            if floor.is_some_and(|floor| old.stamp <= floor) {
                continue;
            }
            while let Some((column, value)) = new.next_if(|(c, _)| *c < old.column) {
                keep(scratch, *column, by, value.kind as u8, value.text.as_bytes());
            }
            let Some((_, value)) = new.next_if(|(c, _)| *c == old.column) else {
                keep(scratch, old.column, old.stamp, old.kind, old.text);
                continue;
            };
            let order = by.cmp(&old.stamp);
            if rules.versions {
                note_field(&mut clashes, &old, by, value);
            }
            if order == Ordering::Greater {
                keep(scratch, old.column, by, value.kind as u8, value.text.as_bytes());
            } else {
                keep(scratch, old.column, old.stamp, old.kind, old.text);
            }
        }
        for (column, value) in new {
            keep(scratch, *column, by, value.kind as u8, value.text.as_bytes());
        }
        if !stamps.0.is_empty() || !clashes.is_empty() || self.more.is_some() {
            let more = self.more.get_or_insert_default();
            more.stamps = stamps.0;
            clashes.retain(|(_, stamp)| floor.is_none_or(|floor| *stamp > floor));
            more.clashes = clashes;
        }
        if scratch.len() > self.data.capacity() {
            self.data.reserve_exact(scratch.len() - self.data.len());
        }
        self.data.clear();
        self.data.extend_from_slice(scratch);
        self.set = set;
    }
}

/// Remembers, for one column, the newest event that contradicts the winner within the winner's version.
fn note_field(clashes: &mut Vec<(ColumnIx, Stamp)>, old: &Field<'_>, by: Stamp, value: &LogValue<'_>) {
    let known = clashes.iter_mut().find(|(column, _)| *column == old.column);
    if by.version() != old.stamp.version() {
        if by > old.stamp {
            clashes.retain(|(column, _)| *column != old.column);
        }
        return;
    }
    if old.says(value) {
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

fn push(data: &mut Vec<u8>, column: ColumnIx, event: u16, kind: u8, text: &[u8]) {
    let head = u64::from(column) | u64::from(event) << 16 | u64::from(kind) << 32 | (text.len() as u64) << 35;
    data.extend_from_slice(&head.to_le_bytes());
    data.extend_from_slice(text);
}

fn kind_of(kind: u8) -> LogKind {
    const KINDS: [LogKind; 8] = [
        LogKind::Null,
        LogKind::Bool,
        LogKind::Number,
        LogKind::Text,
        LogKind::Json,
        LogKind::Millis,
        LogKind::Double,
        LogKind::Duration,
    ];
    KINDS.get(usize::from(kind)).copied().unwrap_or(LogKind::Text)
}

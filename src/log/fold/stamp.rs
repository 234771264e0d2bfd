//! Where an event stands among the events of its source, small enough to be kept with every row.

use crate::domain::event::{EventRef, Position};
use std::cmp::Ordering;

/// Most `[[log]]` sources.
pub(crate) const MOST_SOURCES: usize = 1 << SOURCE_BITS;
/// Most files of one source.
pub(crate) const MOST_FILES: usize = 1 << FILE_BITS;

const LINE_BITS: u32 = 34;
const FILE_BITS: u32 = 18;
const SOURCE_BITS: u32 = 10;
const IS_LSN: u64 = 1 << 62;
const NO_NUMBER: u64 = 1 << 63;

/// Ordered as the events of one source are: by version (0 where versions do not order it), by the source's own position,
/// then by file and line. No two events of a source are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    version: i64,
    number: u64,
    /// From the top: no number, number is an LSN, source, file, line.
    place: u64,
    /// Microseconds since 1970; `i64::MIN` where the event does not say.
    at: i64,
}

impl Stamp {
    /// Before every event.
    pub const BEFORE: Self = Self {
        version: i64::MIN,
        number: 0,
        place: 0,
        at: i64::MIN,
    };

    pub fn new(
        version: i64,
        position: Option<Position>,
        (source, file, line): (usize, usize, u64),
        at: Option<i64>,
    ) -> Self {
        let (flag, number) = match position {
            Some(Position::Number(n)) => (0, n),
            Some(Position::Lsn(n)) => (IS_LSN, n),
            Some(Position::Line { .. }) | None => (NO_NUMBER, 0),
        };
        let place = ((source as u64) << (LINE_BITS + FILE_BITS)) | ((file as u64) << LINE_BITS) | line;
        Self {
            version,
            number,
            place: flag | place,
            at: at.unwrap_or(i64::MIN),
        }
    }

    pub fn version(&self) -> i64 {
        self.version
    }

    pub fn at(&self) -> i64 {
        self.at
    }

    /// The event's own number among those of its source or, in a partition, its offset.
    pub fn number(&self) -> Option<u64> {
        match self.event().position {
            Position::Number(n) => Some(n),
            Position::Line { line, .. } => Some(line),
            Position::Lsn(_) => None,
        }
    }

    pub fn source(&self) -> u16 {
        let source = (self.place >> (LINE_BITS + FILE_BITS)) & ((1 << SOURCE_BITS) - 1);
        u16::try_from(source).unwrap_or(u16::MAX)
    }

    pub fn event(&self) -> EventRef {
        let position = if self.place & NO_NUMBER != 0 {
            Position::Line {
                file: u32::try_from((self.place >> LINE_BITS) & ((1 << FILE_BITS) - 1)).unwrap_or(u32::MAX),
                line: self.place & ((1 << LINE_BITS) - 1),
            }
        } else if self.place & IS_LSN != 0 {
            Position::Lsn(self.number)
        } else {
            Position::Number(self.number)
        };
        EventRef {
            source: self.source(),
            position,
            at: (self.at != i64::MIN).then_some(self.at),
        }
    }
}

impl Ord for Stamp {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |s: &Self| (s.version, s.place & NO_NUMBER, s.number, s.place);
        rank(self).cmp(&rank(other))
    }
}

impl PartialOrd for Stamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

//! Numbers as few bytes, in pieces, so that growing copies and wastes nothing.

/// Bytes of a piece.
const PIECE: usize = 1 << 13;
/// Most bytes between two calls of [`Bytes::reserve`]: two numbers of up to ten bytes, and five.
const MOST: usize = 25;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    pieces: Vec<Vec<u8>>,
    /// Pieces with something in them; the others are kept for what comes.
    used: usize,
}

impl Bytes {
    /// Makes room for one record, which then lies in one piece.
    pub fn reserve(&mut self) {
        let fits = |piece: &Vec<u8>| piece.len() + MOST <= PIECE;
        if self.used.checked_sub(1).is_some_and(|last| fits(&self.pieces[last])) {
            return;
        }
        if self.used == self.pieces.len() {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        self.used += 1;
    }

    fn last(&mut self) -> Option<&mut Vec<u8>> {
        self.pieces.get_mut(self.used.checked_sub(1)?)
    }

    /// Seven bits a byte, the low ones first (as LEB128 has it).
    pub fn number(&mut self, mut number: u64) {
        let Some(piece) = self.last() else { return };
        while number >= 0x80 {
            piece.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        piece.push((number & 0x7f) as u8);
    }

    /// Microseconds from one moment to another. Many logs tell whole milliseconds: those take a byte or two less.
    pub fn time(&mut self, micros: i64) {
        let whole = micros % 1_000 == 0;
        let shown = if whole { micros / 1_000 } else { micros };
        let zigzag = (shown << 1 ^ shown >> 63).cast_unsigned();
        self.number(zigzag << 1 | u64::from(!whole));
    }

    /// The low five bytes.
    pub fn five(&mut self, number: u64) {
        if let Some(piece) = self.last() {
            piece.extend_from_slice(&number.to_le_bytes()[..5]);
        }
    }

    /// The place after the last byte.
    pub fn end(&self) -> u32 {
        let Some(last) = self.used.checked_sub(1) else { return 0 };
        u32::try_from(last * PIECE + self.pieces[last].len()).unwrap_or(u32::MAX)
    }

    /// Empties it; the pieces are used again.
    pub fn clear(&mut self) {
        self.pieces.iter_mut().for_each(Vec::clear);
        self.used = 0;
    }

    /// Gives back what nothing was written into.
    pub fn shrink(&mut self) {
        self.pieces.truncate(self.used);
    }
}

/// Where somebody reads.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    piece: usize,
    at: usize,
}

impl Cursor {
    pub fn at(place: u32) -> Self {
        let place = place as usize;
        Self {
            piece: place / PIECE,
            at: place % PIECE,
        }
    }

    /// Goes on to the next piece where this one is read; whether there is more before `end`.
    pub fn is_before(&mut self, bytes: &Bytes, end: u32) -> bool {
        if self.piece + 1 < bytes.used && self.at == bytes.pieces[self.piece].len() {
            (self.piece, self.at) = (self.piece + 1, 0);
        }
        self.piece * PIECE + self.at < end as usize
    }

    fn raw(&mut self, bytes: &Bytes) -> u64 {
        let piece = bytes.pieces.get(self.piece).map_or(&[][..], |piece| &piece[self.at..]);
        let mut number = 0;
        for (byte, shift) in piece.iter().zip((0..).step_by(7)) {
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    /// A number; `None`: there is no more.
    pub fn number(&mut self, bytes: &Bytes) -> Option<u64> {
        self.is_before(bytes, bytes.end()).then(|| self.raw(bytes))
    }

    /// As [`Bytes::time`].
    pub fn time(&mut self, bytes: &Bytes) -> i64 {
        let raw = self.raw(bytes);
        let zigzag = raw >> 1;
        let shown = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        if raw & 1 == 0 { shown * 1_000 } else { shown }
    }

    /// As [`Bytes::five`].
    pub fn five(&mut self, bytes: &Bytes) -> u64 {
        let rest = bytes.pieces.get(self.piece).and_then(|piece| piece.get(self.at..));
        let Some(five) = rest.and_then(|rest| rest.first_chunk::<5>()) else {
            return 0;
        };
        self.at += five.len();
        let mut eight = [0; 8];
        eight[..5].copy_from_slice(five);
        u64::from_le_bytes(eight)
    }

    /// Passes over a time and five bytes.
    pub fn skip(&mut self, bytes: &Bytes) {
        self.raw(bytes);
        self.at += 5;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            records in prop::collection::vec((any::<u32>(), prop_oneof![-(1_i64 << 52)..1 << 52, (-9_i64..9).prop_map(|n| n * 1_000)], 0..1_u64 << 40), 0..3_000),
        ) {
            let mut bytes = Bytes::default();
            // A second time the pieces are used again.
            for _ in 0..2 {
                bytes.clear();
                let mut places = Vec::new();
                for (number, time, five) in &records {
                    bytes.reserve();
                    places.push(bytes.end());
                    bytes.number(u64::from(*number));
                    bytes.time(*time);
                    bytes.five(*five);
                }
                let mut cursor = Cursor::default();
                for (at, (number, time, five)) in records.iter().enumerate() {
                    prop_assert!(cursor.is_before(&bytes, bytes.end()));
                    let mut from_here = Cursor::at(places[at]);
                    for cursor in [&mut cursor, &mut from_here] {
                        prop_assert_eq!(cursor.number(&bytes), Some(u64::from(*number)));
                        prop_assert_eq!(cursor.time(&bytes), *time);
                        prop_assert_eq!(cursor.five(&bytes), *five);
                    }
                }
                prop_assert_eq!(cursor.number(&bytes), None);
            }
        }
    }
}

//! Columns and their values as bytes: what an event says of a row, and what a row keeps of its events.

use crate::domain::schema::ColumnIx;
use crate::domain::value::{ColumnType, LogKind, LogValue, fingerprint};
use std::hash::BuildHasher;

/// Bytes before the text of each field: column, event, kind and length.
const HEAD: usize = 8;

/// The columns of an event as a row keeps them: each once, in the order of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoded<'e>(pub &'e [u8]);

impl<'e> Encoded<'e> {
    pub const NONE: Encoded<'static> = Encoded(&[]);

    pub(super) fn iter(self) -> impl Iterator<Item = Said<'e>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (said, tail) = split(rest)?;
            rest = tail;
            Some(said)
        })
    }
}

/// One column of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'e> {
    pub column: ColumnIx,
    /// The event it comes from, as a row numbers its events; 0 in an event.
    pub event: u16,
    pub kind: u8,
    pub text: &'e [u8],
}

impl<'e> Said<'e> {
    fn text(&self) -> &'e str {
        std::str::from_utf8(self.text).unwrap_or_default()
    }

    /// The value's fingerprint.
    pub fn print(&self, hasher: &impl BuildHasher, ty: &ColumnType) -> u64 {
        fingerprint(hasher, self.column, ty, kind_of(self.kind), self.text())
    }

    pub fn is_one_of(&self, words: &[String]) -> bool {
        kind_of(self.kind) != LogKind::Null && words.iter().any(|word| word == self.text())
    }
}

fn split(bytes: &[u8]) -> Option<(Said<'_>, &[u8])> {
    let (head, tail) = bytes.split_first_chunk::<HEAD>()?;
    let head = u64::from_le_bytes(*head);
    let (text, tail) = tail.split_at_checked((head >> 35) as usize)?;
    let said = Said {
        column: (head & 0xffff) as u16,
        event: (head >> 16 & 0xffff) as u16,
        kind: (head >> 32 & 7) as u8,
        text,
    };
    Some((said, tail))
}

/// Writes the columns of an event, which are in the order of the table.
pub(super) fn encode(into: &mut Vec<u8>, fields: &[(ColumnIx, LogValue<'_>)]) {
    for (column, value) in fields {
        push(into, *column, 0, value.kind as u8, value.text.as_bytes());
    }
}

pub(super) fn push(data: &mut Vec<u8>, column: ColumnIx, event: u16, kind: u8, text: &[u8]) {
    let head = u64::from(column) | u64::from(event) << 16 | u64::from(kind) << 32 | (text.len() as u64) << 35;
    data.extend_from_slice(&head.to_le_bytes());
    data.extend_from_slice(text);
}

pub(super) fn kind_of(kind: u8) -> LogKind {
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

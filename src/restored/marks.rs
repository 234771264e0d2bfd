//! Every row of a table as its key and a mark, in the order of the key: two databases are held against each other by
//! these without either being read whole, on the wire or in memory.

use super::RowBuf;
use crate::domain::Error;
use crate::domain::schema::{ColumnIx, Table};
use crate::domain::value::{ColumnType, key_form};
use bytes::Bytes;
use futures_util::Stream;
use std::pin::Pin;

/// What to mark rows by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The key columns, in the order of the key.
    pub key: Vec<AskColumn>,
    /// The columns that must not differ unseen.
    pub columns: Vec<AskColumn>,
    /// Chosen anew for each scan, so that no data can be made to pass for other data.
    pub seed: i64,
}

/// One column of an [`Ask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskColumn {
    /// The column, as this side's table counts it.
    pub column: ColumnIx,
    /// Both sides declare it alike; else its text is compared.
    pub alike: bool,
}

/// A row: equal bytes are equal rows, equal keys the same row. Rows that differ in bytes may still be equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    bytes: Bytes,
    key: usize,
}

/// Why a stream of marks ended early.
#[derive(Debug)]
pub enum Broken {
    /// The connection was lost: it may go on after the last key.
    Lost(Error),
    /// It cannot go on.
    Failed(Error),
}

/// Marks, some at a time.
pub type Marks = Pin<Box<dyn Stream<Item = Result<Vec<Mark>, Broken>> + Send>>;

impl Mark {
    /// From bytes that begin with a key of this length.
    pub fn new(bytes: Bytes, key: usize) -> Self {
        Self { bytes, key }
    }

    /// The whole of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key's part.
    pub fn key(&self) -> &[u8] {
        self.bytes.get(..self.key).unwrap_or_default()
    }

    /// What follows the key.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.key..).unwrap_or_default()
    }
}

/// The texts of a mark's key, as they are written in [`Mark`]: each with its length in four bytes before it, integers in
/// their two, four or eight bytes where both sides have them.
pub fn key_parts(table: &Table, ask: &Ask, key: &[u8]) -> Vec<String> {
    let mut rest = key;
    let mut parts = Vec::with_capacity(ask.key.len());
    for asked in &ask.key {
        let Some((len, tail)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let len = usize::try_from(i32::from_be_bytes(*len)).unwrap_or(0);
        let Some((part, tail)) = tail.split_at_checked(len) else {
            break;
        };
        rest = tail;
        let ty = &table.columns[usize::from(asked.column)].ty;
        let number = match part {
            _ if !asked.alike || !is_integer(ty) => None,
            [a, b] => Some(i64::from(i16::from_be_bytes([*a, *b]))),
            [a, b, c, d] => Some(i64::from(i32::from_be_bytes([*a, *b, *c, *d]))),
            part => <[u8; 8]>::try_from(part).ok().map(i64::from_be_bytes),
        };
        parts.push(number.map_or_else(|| String::from_utf8_lossy(part).into_owned(), |n| n.to_string()));
    }
    parts
}

/// A mark's key as [`super::Row::key`] spells it.
pub fn key_text(table: &Table, ask: &Ask, key: &[u8]) -> String {
    let parts = key_parts(table, ask, key);
    let types = ask.key.iter().map(|k| &table.columns[usize::from(k.column)].ty);
    let forms: Vec<&str> = parts.iter().zip(types).map(|(part, ty)| key_form(ty, part)).collect();
    let mut buf = RowBuf::default();
    buf.set_key(forms.into_iter());
    buf.row().key().to_owned()
}

/// Writes a value as marks hold it.
pub(crate) fn push(bytes: &mut Vec<u8>, value: Option<&[u8]>) {
    let len = value.map_or(-1, |v| i32::try_from(v.len()).unwrap_or(i32::MAX));
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(value.unwrap_or_default());
}

/// Whether marks hold a key column of this type as a number.
pub(crate) fn is_integer(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8)
}

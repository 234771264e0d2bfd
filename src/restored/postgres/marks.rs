//! Marks from PostgreSQL: one binary `COPY` in the order of the key, on a connection of its own that sees the snapshot.

use super::catalogue::Relation;
use crate::domain::value::ColumnType;
use crate::restored::marks::{Ask, AskColumn, Broken, Mark, Marks, is_integer};
use crate::restored::pg::Connection;
use bytes::Bytes;
use futures_util::StreamExt;
use std::fmt::Write as _;
use tokio_postgres::CopyOutStream;
use tokio_postgres::error::SqlState;

/// Rows handed over at once.
const CHUNK: usize = 1_024;

// PostgreSQL manual, COPY, binary format: signature, flags, and the length of an extension.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The statement; `resumes` where rows up to a key in the settings [`after_setting`] are left out.
pub(super) fn statement(relation: &Relation, ask: &Ask, resumes: bool) -> String {
    let mut read: Vec<String> = Vec::new();
    let mut order: Vec<String> = Vec::new();
    let mut after: Vec<String> = Vec::new();
    for (n, key) in ask.key.iter().enumerate() {
        let Some(column) = relation.columns.get(usize::from(key.column)) else {
            continue;
        };
        let number = key.alike && is_integer(&column.ty);
        read.push(if number {
            column.sql.clone()
        } else {
            column.read.clone()
        });
        let setting = format!("current_setting('{}')", after_setting(n));
        if has_order(&column.ty) {
            order.push(column.sql.clone());
            after.push(format!("{setting}::{}", column.cast));
        } else {
            order.push(format!("({}) collate \"C\"", column.read));
            after.push(setting);
        }
    }
    for asked in &ask.columns {
        if let Some(column) = relation.columns.get(usize::from(asked.column)) {
            read.push(if is_sent_whole(*asked, &column.ty) {
                column.sql.clone()
            } else {
                format!("hashtextextended(({})::text collate \"C\", {})", column.read, ask.seed)
            });
        }
    }
    let mut sql = format!("copy (select {} from {}", read.join(", "), relation.sql);
    if resumes {
        let _ = write!(sql, " where ({}) > ({})", order.join(", "), after.join(", "));
    }
    let _ = write!(sql, " order by {}) to stdout (format binary)", order.join(", "));
    sql
}

/// The setting that holds a part of the key to go on after: `COPY` takes no parameters.
pub(super) fn after_setting(part: usize) -> String {
    format!("restitch.after_{part}")
}

/// Whether the type has an order of its own, which its index has too.
fn has_order(ty: &ColumnType) -> bool {
    !matches!(ty, ColumnType::Json | ColumnType::Other | ColumnType::Array(_))
}

/// What is short goes over the wire as it is; of anything else a hash, which may be shorter and is never wrong about a
/// difference but once in 2^64.
fn is_sent_whole(asked: AskColumn, ty: &ColumnType) -> bool {
    let fixed = matches!(
        ty,
        ColumnType::Bool
            | ColumnType::Int2
            | ColumnType::Int4
            | ColumnType::Int8
            | ColumnType::Numeric
            | ColumnType::Float4
            | ColumnType::Float8
            | ColumnType::Uuid
            | ColumnType::Date
            | ColumnType::Time
            | ColumnType::TimeTz
            | ColumnType::Timestamp
            | ColumnType::TimestampTz
            | ColumnType::Interval
    );
    asked.alike && fixed
}

/// The rows of the `COPY`; the connection is kept open as long as they are read.
pub(super) fn stream(connection: Connection, rows: CopyOutStream, keys: usize) -> Marks {
    let chunks = Box::pin(rows).ready_chunks(CHUNK);
    Box::pin(chunks.map(move |chunk| {
        let mut marks = Vec::with_capacity(chunk.len());
        for message in chunk {
            let bytes = message.map_err(|e| broken(&connection, &e))?;
            marks.extend(mark(bytes, keys));
        }
        Ok(marks)
    }))
}

/// One row; `None` for the end, and for a row without a key: nobody could name it.
fn mark(mut bytes: Bytes, keys: usize) -> Option<Mark> {
    if bytes.starts_with(SIGNATURE) {
        let extension = bytes.get(SIGNATURE.len() + 4..SIGNATURE.len() + 8)?;
        let extension = usize::try_from(i32::from_be_bytes(extension.try_into().ok()?)).ok()?;
        bytes = bytes.slice_ref(bytes.get(SIGNATURE.len() + 8 + extension..)?);
    }
    let (fields, rest) = bytes.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*fields) < 0 {
        return None;
    }
    let mut end = 0;
    for _ in 0..keys {
        let len = rest.get(end..end + 4)?;
        let len = i32::from_be_bytes(len.try_into().ok()?);
        end += 4 + usize::try_from(len).ok()?;
    }
    Some(Mark::new(bytes.slice_ref(rest), end))
}

/// Sorts an error of a stream.
pub(super) fn broken(connection: &Connection, e: &tokio_postgres::Error) -> Broken {
    let error = connection.error("reading a table", e);
    if is_lost(e) {
        Broken::Lost(error)
    } else {
        Broken::Failed(error)
    }
}

/// Whether an error says that the connection is gone: closed, cut, or ended by the server's shutdown or a DBA.
pub(super) fn is_lost(e: &tokio_postgres::Error) -> bool {
    match e.code() {
        // Class 57: admin_shutdown, crash_shutdown, cannot_connect_now; class 08: connection exceptions.
        Some(code) => {
            [
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
            ]
            .contains(code)
                || code.code().starts_with("08")
        }
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_cut_into_its_key_and_the_rest() {
        let row = [
            &[0, 2][..],
            &4_i32.to_be_bytes(),
            &7_i32.to_be_bytes(),
            &1_i32.to_be_bytes(),
            b"x",
        ]
        .concat();
        let found = mark(Bytes::from(row.clone()), 1).unwrap();
        assert_eq!(found.key(), &row[2..10]);
        assert_eq!(found.rest(), &row[10..]);
        let first = [SIGNATURE, &[0; 8], &row[..]].concat();
        assert_eq!(mark(Bytes::from(first), 1), Some(found));
        assert_eq!(mark(Bytes::from_static(&[0xff, 0xff]), 1), None);
        let null = [&[0, 2][..], &(-1_i32).to_be_bytes(), &(-1_i32).to_be_bytes()].concat();
        assert_eq!(mark(Bytes::from(null), 1), None);
    }
}

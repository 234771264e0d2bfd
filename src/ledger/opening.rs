//! What an attempt's first scan saw, kept for the later ones.

use super::Ledger;
use super::body::{packed, unpack, unpacked};
use super::fault::Res;
use super::sqlite::Tx;
use super::store::{Row, Snapshot};
use crate::domain::case::{FamilyRow, FoundCase, Verb};
use crate::domain::{Error, Result};
use crate::restore::gate::Asked;
use crate::scan::{Baseline, Mark, Opening, Past};
use rusqlite::{OptionalExtension, params};
use std::borrow::Cow;
use std::collections::HashMap;

/// Rows of one stored piece: about half a megabyte.
const PIECE: usize = 1 << 16;

impl Ledger {
    /// What the next scan must know of the incident: the opening of this attempt, and what was decided.
    pub fn past(&self) -> Result<Past> {
        self.read(|at| {
            let mut decided = HashMap::new();
            let each = &mut |row: &dyn Row| {
                if let Some(verb) = Verb::of_name(row.text(1)?) {
                    decided.insert(row.own(0)?, verb);
                }
                Ok(true)
            };
            at.each(
                "SELECT id, verb FROM cases WHERE incident = ?1 AND verb IS NOT NULL AND state NOT IN ('open', 'gone')",
                &[at.incident().into()],
                each,
            )?;
            Ok(Past {
                gate: Asked::default(),
                hold: None,
                opening: opening(at, self.here.attempt)?,
                decided,
            })
        })
    }
}

fn opening(at: &dyn Snapshot, attempt: u32) -> Res<Option<Opening>> {
    let values = [at.incident().into(), attempt.into()];
    let found = at.one(
        "SELECT at, place, timeline, in_doubt FROM openings WHERE incident = ?1 AND attempt = ?2",
        &values,
        |r| {
            Ok(Opening {
                at: r.int(0)?,
                place: r.own(1)?,
                timeline: r.get_int(2)?,
                in_doubt: serde_json::from_slice(&unpacked(r.blob(3)?)?)?,
                ..Opening::default()
            })
        },
    )?;
    let Some(opening) = found else {
        return Ok(None);
    };
    let mut tables: Vec<(String, Vec<String>, bool, Vec<Mark>)> = Vec::new();
    at.each(
        "SELECT entity, columns, whole, body FROM opening_rows WHERE incident = ?1 AND attempt = ?2 ORDER BY entity, nth",
        &values,
        &mut |piece| {
            if tables.last().is_none_or(|t| t.0 != piece.text(0).unwrap_or_default()) {
                tables.push((piece.own(0)?, piece.json(1)?, piece.bool(2)?, Vec::new()));
            }
            if let Some(table) = tables.last_mut() {
                table.3.extend(marks(&unpacked(piece.blob(3)?)?)?);
            }
            Ok(true)
        },
    )?;
    let tables = tables.into_iter();
    Ok(Some(Opening {
        tables: tables
            .map(|(entity, columns, whole, marks)| Baseline::new(entity, columns, whole, marks))
            .collect(),
        ..opening
    }))
}

impl Tx<'_> {
    /// The case with the values that its rows had at the opening, where they moved since.
    pub(super) fn with_opening<'c>(&self, no: i64, case: &'c FoundCase) -> Res<Cow<'c, FoundCase>> {
        if !case.findings.iter().any(|f| f.since_opening) {
            return Ok(Cow::Borrowed(case));
        }
        let body: Vec<u8> = self
            .db
            .prepare_cached("SELECT coalesce(opening, body) FROM found WHERE no = ?1")?
            .query_row([no], |r| r.get(0))?;
        as_opened(case, &body)
    }

    /// Keeps the opening of this attempt, or what a later scan learned of it. Of two scans that both took it at once the
    /// first that ends counts.
    pub(super) fn store_opening(&self, opening: &Opening) -> Res<()> {
        let known: Option<i64> = self
            .db
            .query_row(
                "SELECT at FROM openings WHERE incident = ?1 AND attempt = ?2",
                (self.incident, self.attempt),
                |r| r.get(0),
            )
            .optional()?;
        match known {
            Some(at) if at != opening.at => return Ok(()),
            Some(_) => {}
            None => {
                self.db.execute(
                    "INSERT INTO openings (incident, attempt, at, place, timeline, in_doubt) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        self.incident,
                        self.attempt,
                        opening.at,
                        opening.place,
                        opening.timeline,
                        packed(&serde_json::to_vec(&opening.in_doubt)?)?
                    ],
                )?;
            }
        }
        for piece in pieces(opening)? {
            self.db
                .prepare_cached(
                    "INSERT INTO opening_rows (incident, attempt, entity, nth, columns, whole, body)
                     SELECT ?1, ?2, ?3, coalesce(max(nth), 0) + 1, ?4, ?5, ?6 FROM opening_rows
                     WHERE incident = ?1 AND attempt = ?2 AND entity = ?3",
                )?
                .execute(params![
                    self.incident,
                    self.attempt,
                    piece.entity,
                    piece.columns,
                    piece.whole,
                    piece.body
                ])?;
        }
        Ok(())
    }
}

/// The case with the values that its rows had when the opening saw it so, where they moved since.
pub(super) fn as_opened<'c>(case: &'c FoundCase, body: &[u8]) -> Res<Cow<'c, FoundCase>> {
    // Empty where the opening did not see the case.
    if body.is_empty() {
        return Ok(Cow::Borrowed(case));
    }
    let opening = unpack(body)?;
    let mut case = case.clone();
    for finding in case.findings.iter_mut().filter(|f| f.since_opening) {
        let of_row = |r: &&FamilyRow| r.entity == finding.entity && r.key == finding.key;
        let Some(row) = opening.family.iter().find(of_row) else {
            continue;
        };
        for field in &mut finding.fields {
            let then = row.fields.iter().find(|f| f.name == field.name);
            field.opening = then.and_then(|f| f.restored.clone()).filter(|v| *v != field.restored);
        }
    }
    Ok(Cow::Owned(case))
}

/// A piece of an opening's rows, packed.
pub(super) struct Piece<'o> {
    pub entity: &'o str,
    /// JSON list.
    pub columns: String,
    pub whole: bool,
    pub body: Vec<u8>,
}

/// The rows of an opening as they are stored.
pub(super) fn pieces(opening: &Opening) -> Res<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    for table in &opening.tables {
        // A table without rows says something too: nothing of it was listed.
        let none = table.marks().is_empty().then_some(table.marks());
        for piece in none.into_iter().chain(table.marks().chunks(PIECE)) {
            pieces.push(Piece {
                entity: &table.entity,
                columns: serde_json::to_string(&table.columns)?,
                whole: table.whole,
                body: packed(&bytes(piece))?,
            });
        }
    }
    Ok(pieces)
}

/// The keys as steps from one to the next, then the rows, each number's bytes apart: the high bytes of steps are alike,
/// and a packer finds them.
fn bytes(marks: &[Mark]) -> Vec<u8> {
    let mut before = 0;
    let steps: Vec<[u8; 8]> = marks
        .iter()
        .map(|m| {
            let step = m.key.wrapping_sub(before);
            before = m.key;
            step.to_le_bytes()
        })
        .collect();
    let rows: Vec<[u8; 8]> = marks.iter().map(|m| m.row.to_le_bytes()).collect();
    let mut out = Vec::with_capacity(16 * marks.len());
    for numbers in [&steps, &rows] {
        for byte in 0..8 {
            out.extend(numbers.iter().map(|n| n[byte]));
        }
    }
    out
}

fn marks(bytes: &[u8]) -> Res<Vec<Mark>> {
    if !bytes.len().is_multiple_of(16) {
        return Err(
            Error::failed("the opening cannot be read from the ledger: it is damaged")
                .cure("was the file edited by hand? restore it from a copy")
                .into(),
        );
    }
    let n = bytes.len() / 16;
    let number = |at: usize| {
        let mut number = [0; 8];
        for (byte, out) in number.iter_mut().enumerate() {
            *out = bytes[at + byte * n];
        }
        u64::from_le_bytes(number)
    };
    let mut key = 0_u64;
    Ok((0..n)
        .map(|at| {
            key = key.wrapping_add(number(at));
            Mark {
                key,
                row: number(8 * n + at),
            }
        })
        .collect())
}

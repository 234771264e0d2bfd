//! Reading the queue and the cases.

use super::fault::{Fault, Res};
use super::store::{Row, Snapshot, Value};
use super::{Here, Ledger, body, effects};
use crate::domain::case::{FoundCase, State, Verb};
use crate::domain::finding::Kind;
use crate::domain::queue::{CaseFile, CaseRow, Claim, Counts, Decision, Filter, Note, Reject};
use crate::domain::schema::ORDER;
use crate::domain::{Error, Result};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Kinds as bits, in the order of [`Kind::ALL`].
pub(super) fn mask(kinds: &[Kind]) -> i64 {
    kinds.iter().map(|k| 1_i64 << bit(*k)).sum()
}

/// The bit beside the kinds that says all findings of a case are undone.
const UNDONE: i64 = 1 << 32;

/// The kinds of a case as bits, and whether it is undone.
pub(super) fn mask_of(case: &FoundCase) -> i64 {
    mask(&case.kinds()) | if case.is_undone() { UNDONE } else { 0 }
}

fn bit(kind: Kind) -> usize {
    Kind::ALL.iter().position(|k| *k == kind).unwrap_or(0)
}

fn kinds_of(mask: i64) -> Vec<Kind> {
    Kind::ALL.into_iter().filter(|k| mask & (1 << bit(*k)) != 0).collect()
}

/// A state as stored; the table's own check leaves no other words.
pub(super) fn state_of(word: &str) -> State {
    State::of_name(word).unwrap_or(State::Open)
}

pub(super) fn case_no(at: &dyn Snapshot, id: &str) -> Res<Option<i64>> {
    at.one(
        "SELECT no FROM cases WHERE incident = ?1 AND id = ?2",
        &[at.incident().into(), id.into()],
        |r| r.int(0),
    )
}

/// The number of a case that must be there.
pub(super) fn known_case_no(at: &dyn Snapshot, here: &Here, id: &str) -> Res<i64> {
    case_no(at, id)?.ok_or_else(|| {
        Error::usage(format!("there is no case {id:?} in incident {}", here.name))
            .cure("`restitch cases` lists them")
            .into()
    })
}

/// The live lease on a case.
pub(super) fn claim_on(at: &dyn Snapshot, no: i64) -> Res<Option<Claim>> {
    at.one(
        "SELECT by, until, fence FROM claims WHERE no = ?1 AND until > ?2",
        &[no.into(), at.now().into()],
        |r| {
            Ok(Claim {
                by: r.own(0)?,
                until: r.int(1)?,
                fence: r.int(2)?,
            })
        },
    )
}

/// What follows `FROM queue c` for a filter: condition and order, with the condition's values.
///
/// A `+` keeps SQLite from walking the whole queue where few cases are looked for: they are found first, then sorted.
fn selection(filter: &Filter, incident: i64) -> (String, Vec<Value<'_>>) {
    let few = filter.order.is_some() || filter.state.is_some_and(|s| s != State::Open);
    let mut sql = if filter.order.is_some() {
        "+c.incident = ?1"
    } else {
        "c.incident = ?1"
    }
    .to_owned();
    let mut values = vec![Value::Int(incident)];
    let mut value = |value| {
        values.push(value);
        values.len()
    };
    if let Some(state) = filter.state {
        let n = value(Value::Text(state.name()));
        let _ = write!(sql, " AND c.state = ?{n}");
    }
    if let Some(kind) = filter.kind {
        let n = value(Value::Int(mask(&[kind])));
        let _ = write!(sql, " AND c.kinds & ?{n} <> 0");
    }
    if let Some(order) = &filter.order {
        let n = value(Value::Text(order));
        let _ = write!(
            sql,
            " AND c.no IN (SELECT no FROM cases WHERE incident = ?1 AND id = '{ORDER}:' || ?{n}
                           UNION SELECT no FROM cases WHERE incident = ?1 AND label = ?{n})"
        );
    }
    let place = if few { "+c.place" } else { "c.place" };
    (format!("WHERE {sql} ORDER BY {place}, c.no"), values)
}

const ROW: &str = "c.no, c.id, c.label, c.action, c.kinds, c.state, c.verb, c.blocked_by, c.waited_for, c.show, c.disproven, c.dies_at, c.until";

fn read_row(row: &dyn Row, claims: &HashMap<i64, Claim>, now: i64) -> Res<CaseRow> {
    let no = row.int(0)?;
    Ok(CaseRow {
        id: row.own(1)?,
        label: row.own(2)?,
        action: row.own(3)?,
        kinds: kinds_of(row.int(4)?),
        undone: row.int(4)? & UNDONE != 0,
        state: state_of(row.text(5)?),
        verb: row.get_text(6)?.and_then(Verb::of_name),
        claim: claims.get(&no).cloned(),
        blocked_by: match row.text(7)? {
            "[]" => Vec::new(),
            some => serde_json::from_str(some)?,
        },
        waited_for: u32::try_from(row.int(8)?).unwrap_or(u32::MAX),
        show: row.json(9)?,
        disproven: row.bool(10)?,
        dies_at: row.get_int(11)?,
        due: row.get_int(12)?.is_some_and(|until| until <= now),
    })
}

/// Every live lease of the incident: few, whatever the number of cases.
fn claims(at: &dyn Snapshot) -> Res<HashMap<i64, Claim>> {
    let live = at.all(
        "SELECT l.by, l.until, l.fence, l.no FROM claims l JOIN cases c ON c.no = l.no
         WHERE l.until > ?2 AND +c.incident = ?1",
        &[at.incident().into(), at.now().into()],
        |r| {
            Ok((
                r.int(3)?,
                Claim {
                    by: r.own(0)?,
                    until: r.int(1)?,
                    fence: r.int(2)?,
                },
            ))
        },
    )?;
    Ok(live.into_iter().collect())
}

/// The columns of `files` as [`read_file`] wants them.
pub(super) const FILE: &str = "body, state, holder, held_until, fence, disproven, notes, waited_for_by,
    decision, verb, reason, decided_by, decided_at, reference, target, evidence, until, steps, assignee, wanted, held, read, effect";

/// Everything on one case.
pub(super) fn case_file(at: &dyn Snapshot, id: &str) -> Res<Option<CaseFile>> {
    at.one(
        &format!("SELECT {FILE} FROM files WHERE incident = ?1 AND id = ?2"),
        &[at.incident().into(), id.into()],
        |r| read_file(r, at.now()),
    )
}

pub(super) fn read_file(row: &dyn Row, now: i64) -> Res<CaseFile> {
    let notes: Vec<(String, i64, String)> = row.json(6)?;
    Ok(CaseFile {
        found: body::unpack(row.blob(0)?)?,
        state: state_of(row.text(1)?),
        claim: match (row.own_or_null(2)?, row.get_int(3)?, row.get_int(4)?) {
            (Some(by), Some(until), Some(fence)) if until > now => Some(Claim { by, until, fence }),
            _ => None,
        },
        disproven: row.bool(5)?,
        effect: match (row.get_text(22)?, row.get_text(8)?) {
            (Some(json), Some(decision)) => Some(effects::line_of(json, decision)?),
            _ => None,
        },
        decision: decision(row)?,
        notes: notes.into_iter().map(|(by, at, text)| Note { by, at, text }).collect(),
        waited_for_by: row.json(7)?,
    })
}

fn decision(row: &dyn Row) -> Res<Option<Decision>> {
    let Some(verb) = row.get_text(9)? else {
        return Ok(None);
    };
    Ok(Some(Decision {
        key: row.own(8)?,
        verb: Verb::of_name(verb).unwrap_or(Verb::Keep),
        reason: row.own(10)?,
        by: row.own(11)?,
        at: row.int(12)?,
        reference: row.own_or_null(13)?,
        to: row.own_or_null(14)?,
        evidence: row.own_or_null(15)?,
        until: row.get_int(16)?,
        steps: row.json(17)?,
        assignee: row.own_or_null(18)?,
        wanted: row.own_or_null(19)?,
        proof: match row.own_or_null(21)? {
            Some(read) => Some((row.get_bool(20)?, read)),
            None => None,
        },
    }))
}

/// Takes the undeleted rows that no order owns out of their kind's count, by table.
fn count_undeleted(at: &dyn Snapshot, counts: &mut Counts) -> Res<()> {
    // Where no order owns the row, the action is its entity.
    let sql = format!(
        "SELECT action, count(*) FROM cases
         WHERE incident = ?1 AND state NOT IN ('proven', 'gone') AND kinds = ?2 AND id NOT LIKE '{ORDER}:%' GROUP BY action"
    );
    let values = [at.incident().into(), mask(&[Kind::Undeleted]).into()];
    let mut found = at.all(&sql, &values, |row| Ok((row.own(0)?, row.int(1)?.unsigned_abs())))?;
    found.sort();
    let rows: u64 = found.iter().map(|(_, n)| n).sum();
    counts.kinds[bit(Kind::Undeleted)] = counts.kinds[bit(Kind::Undeleted)].saturating_sub(rows);
    counts.undeleted_rows = found;
    Ok(())
}

impl Ledger {
    /// What stands in the queue, all together.
    pub fn counts(&self) -> Result<Counts> {
        self.read(|at| {
            let mut counts = Counts::default();
            let both = mask(&[Kind::Lost, Kind::Orphaned]);
            at.few(
                "SELECT state, kinds, count(*) FROM cases WHERE incident = ?1 GROUP BY state, kinds",
                &[at.incident().into()],
                &mut |row| {
                    let state = state_of(row.text(0)?);
                    let (kinds, cases) = (row.int(1)?, row.int(2)?.unsigned_abs());
                    if let Some(i) = State::ALL.iter().position(|s| *s == state) {
                        counts.states[i] += cases;
                    }
                    if !state.is_settled() && kinds & UNDONE != 0 {
                        counts.undone += cases;
                    } else if !state.is_settled() {
                        if let Some(first) = kinds_of(kinds).first() {
                            counts.kinds[bit(*first)] += cases;
                        }
                        if kinds & both == both {
                            counts.lost_and_orphaned += cases;
                        }
                    }
                    Ok(())
                },
            )?;
            if counts.kinds[bit(Kind::Undeleted)] > 0 {
                count_undeleted(at, &mut counts)?;
            }
            Ok(counts)
        })
    }

    /// Hands over the queue in its order, line by line, until `each` says `false`.
    pub fn each_row(&self, filter: &Filter, each: &mut dyn FnMut(CaseRow) -> bool) -> Result<()> {
        self.read(|at| {
            let (selection, values) = selection(filter, at.incident());
            let claims = claims(at)?;
            at.each(&format!("SELECT {ROW} FROM queue c {selection}"), &values, &mut |row| {
                Ok(each(read_row(row, &claims, at.now())?))
            })
        })
    }

    /// The parked and escalated cases whose time came after `since` (microseconds since 1970), with their labels.
    pub fn due(&self, since: i64) -> Result<Vec<(String, String)>> {
        self.read(|at| {
            at.all(
                "SELECT c.id, c.label FROM queue c
                 WHERE c.incident = ?1 AND c.state IN ('parked', 'escalated') AND c.until > ?2 AND c.until <= ?3
                 ORDER BY c.until",
                &[at.incident().into(), since.into(), at.now().into()],
                |r| Ok((r.own(0)?, r.own(1)?)),
            )
        })
    }

    /// The lines of these cases, in the order asked; those that do not exist are left out.
    pub fn rows_of(&self, ids: &[&str]) -> Result<Vec<CaseRow>> {
        self.read(|at| {
            let claims = claims(at)?;
            let sql = format!("SELECT {ROW} FROM queue c WHERE c.incident = ?1 AND c.id = ?2");
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                let values = [at.incident().into(), (*id).into()];
                found.extend(at.one(&sql, &values, |row| read_row(row, &claims, at.now()))?);
            }
            Ok(found)
        })
    }

    /// Hands over whole cases in the order of the queue.
    pub fn each_found(&self, filter: &Filter, each: &mut dyn FnMut(CaseFile) -> Result<()>) -> Result<()> {
        self.read(|at| {
            let (selection, values) = selection(filter, at.incident());
            at.each(
                &format!("SELECT {FILE} FROM files c {selection}"),
                &values,
                &mut |row| {
                    each(read_file(row, at.now())?).map_err(Fault::Told)?;
                    Ok(true)
                },
            )
        })
    }

    /// Everything on one case.
    pub fn case(&self, id: &str) -> Result<Option<CaseFile>> {
        self.read(|at| case_file(at, id))
    }

    /// The cases that somebody may mean: by id, else by label or the order's key.
    pub fn find(&self, text: &str) -> Result<Vec<String>> {
        self.read(|at| {
            if case_no(at, text)?.is_some() {
                return Ok(vec![text.to_owned()]);
            }
            let filter = Filter {
                order: Some(text.to_owned()),
                ..Filter::default()
            };
            let (selection, values) = selection(&filter, at.incident());
            at.all(&format!("SELECT c.id FROM cases c {selection}"), &values, |r| r.own(0))
        })
    }

    /// The log lines that the last scan could not read.
    pub fn rejects(&self) -> Result<Vec<Reject>> {
        self.read(|at| {
            at.all(
                "SELECT source, position, reason, excerpt FROM rejects WHERE incident = ?1 ORDER BY rowid",
                &[at.incident().into()],
                |r| {
                    Ok(Reject {
                        source: r.own(0)?,
                        position: r.own(1)?,
                        reason: r.own(2)?,
                        excerpt: r.own(3)?,
                    })
                },
            )
        })
    }
}

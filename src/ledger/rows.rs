//! Reading the queue and the cases.

use super::fault::{Fault, Res};
use super::{Ledger, body};
use crate::domain::Result;
use crate::domain::case::{FoundCase, State, Verb};
use crate::domain::finding::Kind;
use crate::domain::queue::{CaseFile, CaseRow, Claim, Counts, Decision, Filter, Note, Reject};
use crate::domain::schema::ORDER;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use std::collections::HashMap;

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

pub(super) fn case_no(db: &Connection, incident: i64, id: &str) -> Res<Option<i64>> {
    Ok(db
        .prepare_cached("SELECT no FROM cases WHERE incident = ?1 AND id = ?2")?
        .query_row((incident, id), |r| r.get(0))
        .optional()?)
}

/// The live lease on a case.
pub(super) fn claim_on(db: &Connection, no: i64, now: i64) -> Res<Option<Claim>> {
    Ok(db
        .prepare_cached("SELECT by, until, fence FROM claims WHERE no = ?1 AND until > ?2")?
        .query_row((no, now), read_claim)
        .optional()?)
}

fn read_claim(row: &Row<'_>) -> rusqlite::Result<Claim> {
    Ok(Claim {
        by: row.get(0)?,
        until: row.get(1)?,
        fence: row.get(2)?,
    })
}

/// What follows `FROM cases c` for a filter: condition and order, with the condition's values.
///
/// A `+` keeps SQLite from walking the whole queue where few cases are looked for: they are found first, then sorted.
fn selection(filter: &Filter, incident: i64) -> (String, Vec<Value>) {
    let few = filter.order.is_some() || filter.state.is_some_and(|s| s != State::Open);
    let mut sql = if filter.order.is_some() {
        "+c.incident = ?"
    } else {
        "c.incident = ?"
    }
    .to_owned();
    let mut values = vec![Value::Integer(incident)];
    if let Some(state) = filter.state {
        sql.push_str(" AND c.state = ?");
        values.push(Value::Text(state.name().to_owned()));
    }
    if let Some(kind) = filter.kind {
        sql.push_str(" AND c.kinds & ? <> 0");
        values.push(Value::Integer(mask(&[kind])));
    }
    if let Some(order) = &filter.order {
        sql.push_str(" AND c.no IN (SELECT no FROM cases WHERE incident = ? AND id = ? UNION SELECT no FROM cases WHERE incident = ? AND label = ?)");
        let incident = Value::Integer(incident);
        values.extend([incident.clone(), Value::Text(format!("{ORDER}:{order}"))]);
        values.extend([incident, Value::Text(order.clone())]);
    }
    let place = if few { "+c.place" } else { "c.place" };
    (format!("WHERE {sql} ORDER BY {place}, c.no"), values)
}

const ROW: &str =
    "c.no, c.id, c.label, c.action, c.kinds, c.state, c.verb, c.waits, c.waited_for, c.show, c.disproven, c.dies_at";

fn read_row(db: &Connection, row: &Row<'_>, claims: &HashMap<i64, Claim>) -> Res<CaseRow> {
    let no: i64 = row.get(0)?;
    let verb = row.get_ref(6)?.as_str_or_null().map_err(rusqlite::Error::from)?;
    let blocked_by = match row.get::<_, i64>(7)? {
        0 => Vec::new(),
        _ => waits_for(db, no)?,
    };
    Ok(CaseRow {
        id: row.get(1)?,
        label: row.get(2)?,
        action: row.get(3)?,
        kinds: kinds_of(row.get(4)?),
        undone: row.get::<_, i64>(4)? & UNDONE != 0,
        state: state_of(row.get_ref(5)?.as_str().map_err(rusqlite::Error::from)?),
        verb: verb.and_then(Verb::of_name),
        claim: claims.get(&no).cloned(),
        blocked_by,
        waited_for: row.get(8)?,
        show: serde_json::from_str(row.get_ref(9)?.as_str().map_err(rusqlite::Error::from)?)?,
        disproven: row.get(10)?,
        dies_at: row.get(11)?,
    })
}

/// The unsettled cases that this one waits for, first first, with their labels.
fn waits_for(db: &Connection, no: i64) -> Res<Vec<(Box<str>, Box<str>)>> {
    let mut statement = db.prepare_cached(
        "SELECT w.for_id, coalesce(c.label, w.for_id) FROM waits w
         LEFT JOIN cases c ON c.incident = w.incident AND c.id = w.for_id
         WHERE w.no = ?1 AND coalesce(c.state, 'open') NOT IN ('proven', 'gone') ORDER BY w.nth",
    )?;
    let found = statement.query_map([no], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Every live lease of the incident: few, whatever the number of cases.
fn claims(db: &Connection, incident: i64, now: i64) -> Res<HashMap<i64, Claim>> {
    let mut statement = db.prepare_cached(
        "SELECT l.by, l.until, l.fence, l.no FROM claims l CROSS JOIN cases c ON c.no = l.no
         WHERE l.until > ?2 AND c.incident = ?1",
    )?;
    let found = statement.query_map((incident, now), |r| Ok((r.get(3)?, read_claim(r)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Everything on one case.
pub(super) fn case_file(db: &Connection, incident: i64, no: i64, now: i64) -> Res<CaseFile> {
    let (id, state, disproven, key, body) = db
        .prepare_cached(
            "SELECT c.id, c.state, c.disproven, c.decision, f.body FROM cases c JOIN found f ON f.no = c.no WHERE c.no = ?1",
        )?
        .query_row([no], |r| {
            Ok((
                r.get::<_, String>(0)?,
                r.get::<_, String>(1)?,
                r.get::<_, bool>(2)?,
                r.get::<_, Option<String>>(3)?,
                r.get::<_, Vec<u8>>(4)?,
            ))
        })?;
    let notes = db
        .prepare_cached("SELECT by, at, text FROM notes WHERE no = ?1 ORDER BY rowid")?
        .query_map([no], |r| {
            Ok(Note {
                by: r.get(0)?,
                at: r.get(1)?,
                text: r.get(2)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let waited_for_by = db
        .prepare_cached(
            "SELECT c.id, c.label FROM waits w JOIN cases c ON c.no = w.no
             WHERE w.incident = ?1 AND w.for_id = ?2 AND c.state NOT IN ('proven', 'gone') ORDER BY c.place",
        )?
        .query_map((incident, &id), |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(CaseFile {
        found: body::unpack(&body)?,
        state: state_of(&state),
        claim: claim_on(db, no, now)?,
        disproven,
        decision: match key {
            Some(key) => decision(db, &key, no)?,
            None => None,
        },
        notes,
        waited_for_by,
    })
}

fn decision(db: &Connection, key: &str, no: i64) -> Res<Option<Decision>> {
    let read = db
        .prepare_cached(
            "SELECT d.verb, d.reason, d.by, d.at, d.reference, d.target, coalesce(c.evidence, d.evidence), d.until, c.steps,
                    c.assignee, c.wanted, c.held, c.read
             FROM decisions d JOIN decided c ON c.key = d.key WHERE d.key = ?1 AND c.no = ?2",
        )?
        .query_row((key, no), |r| {
            Ok((
                Decision {
                    key: key.to_owned(),
                    verb: Verb::of_name(r.get_ref(0)?.as_str()?).unwrap_or(Verb::Keep),
                    reason: r.get(1)?,
                    by: r.get(2)?,
                    at: r.get(3)?,
                    reference: r.get(4)?,
                    to: r.get(5)?,
                    evidence: r.get(6)?,
                    until: r.get(7)?,
                    steps: Vec::new(),
                    assignee: r.get(9)?,
                    wanted: r.get(10)?,
                    proof: match r.get::<_, Option<String>>(12)? {
                        Some(read) => Some((r.get(11)?, read)),
                        None => None,
                    },
                },
                r.get::<_, String>(8)?,
            ))
        })
        .optional()?;
    Ok(match read {
        Some((decision, steps)) => Some(Decision {
            steps: serde_json::from_str(&steps)?,
            ..decision
        }),
        None => None,
    })
}

impl Ledger {
    /// What stands in the queue, all together.
    pub fn counts(&self) -> Result<Counts> {
        self.read(|db, incident| {
            let mut counts = Counts::default();
            let mut statement = db
                .prepare_cached("SELECT state, kinds, count(*) FROM cases WHERE incident = ?1 GROUP BY state, kinds")?;
            let mut rows = statement.query([incident])?;
            let both = mask(&[Kind::Lost, Kind::Orphaned]);
            while let Some(row) = rows.next()? {
                let state = state_of(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
                let (kinds, cases) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?.unsigned_abs());
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
            }
            Ok(counts)
        })
    }

    /// Hands over the queue in its order, line by line, until `each` says `false`.
    pub fn each_row(&self, filter: &Filter, each: &mut dyn FnMut(CaseRow) -> bool) -> Result<()> {
        let now = (self.clock)();
        self.read(|db, incident| {
            let (selection, values) = selection(filter, incident);
            let claims = claims(db, incident, now)?;
            let mut statement = db.prepare_cached(&format!("SELECT {ROW} FROM cases c {selection}"))?;
            let mut rows = statement.query(params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                if !each(read_row(db, row, &claims)?) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The lines of these cases, in the order asked; those that do not exist are left out.
    pub fn rows_of(&self, ids: &[&str]) -> Result<Vec<CaseRow>> {
        let now = (self.clock)();
        self.read(|db, incident| {
            let claims = claims(db, incident, now)?;
            let mut statement = db.prepare_cached(&format!(
                "SELECT {ROW} FROM cases c WHERE c.incident = ?1 AND c.id = ?2"
            ))?;
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                let mut rows = statement.query((incident, id))?;
                if let Some(row) = rows.next()? {
                    found.push(read_row(db, row, &claims)?);
                }
            }
            Ok(found)
        })
    }

    /// Hands over whole cases in the order of the queue.
    pub fn each_found(&self, filter: &Filter, each: &mut dyn FnMut(CaseFile) -> Result<()>) -> Result<()> {
        let now = (self.clock)();
        self.read(|db, incident| {
            let (selection, values) = selection(filter, incident);
            let mut statement = db.prepare_cached(&format!("SELECT c.no FROM cases c {selection}"))?;
            let mut rows = statement.query(params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                each(case_file(db, incident, row.get(0)?, now)?).map_err(Fault::Told)?;
            }
            Ok(())
        })
    }

    /// Everything on one case.
    pub fn case(&self, id: &str) -> Result<Option<CaseFile>> {
        let now = (self.clock)();
        self.read(|db, incident| match case_no(db, incident, id)? {
            Some(no) => case_file(db, incident, no, now).map(Some),
            None => Ok(None),
        })
    }

    /// The cases that somebody may mean: by id, else by label or the order's key.
    pub fn find(&self, text: &str) -> Result<Vec<String>> {
        self.read(|db, incident| {
            if case_no(db, incident, text)?.is_some() {
                return Ok(vec![text.to_owned()]);
            }
            let filter = Filter {
                order: Some(text.to_owned()),
                ..Filter::default()
            };
            let (selection, values) = selection(&filter, incident);
            let mut statement = db.prepare_cached(&format!("SELECT c.id FROM cases c {selection}"))?;
            let found = statement.query_map(params_from_iter(values), |r| r.get(0))?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The log lines that the last scan could not read.
    pub fn rejects(&self) -> Result<Vec<Reject>> {
        self.read(|db, incident| {
            let mut statement = db.prepare_cached(
                "SELECT source, position, reason, excerpt FROM rejects WHERE incident = ?1 ORDER BY rowid",
            )?;
            let found = statement.query_map([incident], |r| {
                Ok(Reject {
                    source: r.get(0)?,
                    position: r.get(1)?,
                    reason: r.get(2)?,
                    excerpt: r.get(3)?,
                })
            })?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }
}

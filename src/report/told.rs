//! What a report tells once, however many cases there are.

use super::sql::{Gathered, Query};
use super::{Dialect, Source};
use crate::config::{Config, Incident};
use crate::domain::case::State;
use crate::domain::finding::Kind;
use crate::domain::gate::Gate;
use crate::domain::paper::{Bulk, Paper};
use crate::domain::phase::PhaseLine;
use crate::domain::queue::Filter;
use crate::domain::schema::ORDER;
use crate::domain::{ErrorKind, Result};
use crate::ledger::Ledger;
use crate::scan::preview::Point;
use serde_json::Value as Json;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// So many different accounts are listed; the others are counted.
const MOST_ACCOUNTS: usize = 10_000;

/// Everything that is told once.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Why the restore was made.
    pub incident: Incident,
    /// Who asks for the report, and when (microseconds since 1970).
    pub made: (String, i64),
    /// The gate as last found.
    pub gate: Option<Gate>,
    /// How far the restore is.
    pub phases: Vec<PhaseLine>,
    /// When the last scan ended, and what it reported.
    pub scan: Option<(i64, Json)>,
    /// Log lines that it could not read.
    pub rejected: usize,
    /// What the log says that a restore to T finds, or why nobody knows.
    pub preview: std::result::Result<Point, String>,
    /// Cases by kind and state.
    pub figures: Figures,
    /// The orders among all cases ever opened, in the words of the preview.
    pub found: Orders,
    /// Accounts: the columns that the queue shows, and what they have in the queue.
    pub accounts: Accounts,
    /// The audit trail in figures.
    pub trail: Trail,
    /// The same decision for many cases, oldest first.
    pub bulks: Vec<Bulk>,
    /// What was signed, and what waits for that; oldest first.
    pub papers: Vec<Paper>,
}

/// Cases by the first of their kinds, or as undone, and by state; rows and columns add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// By [`Kind::ALL`], the undone last; each by [`State::ALL`].
    pub cells: [[u64; State::ALL.len()]; Kind::ALL.len() + 1],
    /// Unsettled cases by who holds them.
    pub held: BTreeMap<String, u64>,
}

impl Figures {
    /// The names of the rows, for people.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &[u64; State::ALL.len()])> {
        let words = Kind::ALL.into_iter().map(Kind::words).chain(["undone"]);
        words.zip(&self.cells)
    }

    /// Cases in this state.
    pub fn of(&self, state: State) -> u64 {
        let at = State::ALL.iter().position(|s| *s == state).unwrap_or(0);
        self.cells.iter().map(|row| row[at]).sum()
    }

    /// Every case ever opened.
    pub fn total(&self) -> u64 {
        self.cells.iter().flatten().sum()
    }

    /// Cases that are still work.
    pub fn unsettled(&self) -> u64 {
        let states = State::ALL.into_iter().filter(|s| !s.is_settled());
        states.map(|s| self.of(s)).sum()
    }
}

/// Orders, as the preview counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Orders {
    /// With any row finding.
    pub orders: u64,
    /// With a lost row.
    pub lost: u64,
    /// With a regressed row.
    pub regressed: u64,
    /// With a row that the log deleted.
    pub undeleted: u64,
    /// With a row in progress.
    pub in_doubt: u64,
    /// That refer to what is not there.
    pub orphaned: u64,
}

/// What the queue shows of cases, counted; masked where the column is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// The columns, as configured.
    pub columns: Vec<String>,
    /// Their values: cases, and cases not settled. Most cases first.
    pub rows: Vec<(Vec<String>, u64, u64)>,
    /// Cases of accounts beyond those listed.
    pub others: u64,
}

/// The audit trail in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trail {
    /// Its lines.
    pub lines: u64,
    /// The hash of the newest.
    pub head: String,
    /// Why its chain is not whole, where it is not.
    pub broken: Option<String>,
    /// By action: done, refused, unconfirmed.
    pub actions: BTreeMap<String, [u64; 3]>,
    /// By person: deeds done and refused.
    pub people: BTreeMap<String, [u64; 2]>,
}

impl Trail {
    /// Deeds that were refused.
    pub fn refused(&self) -> u64 {
        self.actions.values().map(|[_, refused, _]| refused).sum()
    }
}

/// Reads what is told once. `preview` is what the log alone says of T, or why that is not known.
pub fn gather(config: &Config, ledger: &Ledger, preview: std::result::Result<Point, String>, now: i64) -> Result<Told> {
    let mut told = Told {
        incident: config.incident.clone(),
        made: (ledger.who().user.clone(), now),
        gate: ledger.gate()?,
        phases: ledger.phases()?,
        scan: ledger.last_scan()?,
        rejected: ledger.rejects()?.len(),
        preview,
        figures: Figures::default(),
        found: Orders::default(),
        accounts: Accounts::default(),
        trail: trail(ledger)?,
        bulks: ledger.bulks()?,
        papers: ledger.papers()?,
    };
    let schema = &config.schema;
    let mut accounts: HashMap<Vec<String>, (u64, u64)> = HashMap::new();
    told.accounts.columns = schema.shown().to_vec();
    ledger.each_row(&Filter::default(), &mut |row| {
        let first = row
            .kinds
            .first()
            .and_then(|kind| Kind::ALL.iter().position(|k| k == kind));
        let kind = if row.undone {
            Kind::ALL.len()
        } else {
            first.unwrap_or(Kind::ALL.len())
        };
        let state = State::ALL.iter().position(|s| *s == row.state).unwrap_or(0);
        told.figures.cells[kind][state] += 1;
        let open = u64::from(!row.state.is_settled());
        if let Some(claim) = row.claim.as_ref().filter(|_| open > 0) {
            *told.figures.held.entry(claim.by.clone()).or_default() += 1;
        }
        if row.id.strip_prefix(ORDER).is_some_and(|rest| rest.starts_with(':')) {
            told.found.count(&row.kinds);
        }
        if !told.accounts.columns.is_empty() && row.show.iter().any(|v| !v.is_empty()) {
            let value = |n: usize, value: &str| {
                if schema.masks_shown(&row.id, n) && !value.is_empty() {
                    crate::domain::mask::MASKED.to_owned()
                } else {
                    value.to_owned()
                }
            };
            let shown: Vec<String> = row.show.iter().enumerate().map(|(n, v)| value(n, v)).collect();
            let room = accounts.len() < MOST_ACCOUNTS;
            match accounts.entry(shown) {
                Entry::Occupied(mut known) => {
                    let (all, unsettled) = known.get();
                    let counted = (all + 1, unsettled + open);
                    known.insert(counted);
                }
                Entry::Vacant(new) if room => {
                    new.insert((1, open));
                }
                Entry::Vacant(_) => told.accounts.others += 1,
            }
        }
        true
    })?;
    let mut rows: Vec<_> = accounts
        .into_iter()
        .map(|(shown, (all, open))| (shown, all, open))
        .collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    told.accounts.rows = rows;
    Ok(told)
}

impl Orders {
    fn count(&mut self, kinds: &[Kind]) {
        let has = |kind: Kind| u64::from(kinds.contains(&kind));
        self.orders += u64::from(kinds.iter().any(|k| Kind::ROW.contains(k)));
        self.lost += has(Kind::Lost);
        self.regressed += has(Kind::Regressed);
        self.undeleted += has(Kind::Undeleted);
        self.in_doubt += has(Kind::InDoubt);
        self.orphaned += has(Kind::Orphaned);
    }
}

fn trail(ledger: &Ledger) -> Result<Trail> {
    let mut trail = Trail::default();
    ledger.audit(&mut |line| {
        let outcome = match line.outcome.as_str() {
            "refused" => 1,
            "unconfirmed" => 2,
            _ => 0,
        };
        trail.actions.entry(line.action).or_default()[outcome] += 1;
        trail.people.entry(line.who).or_default()[usize::from(outcome == 1)] += 1;
        trail.lines = line.seq;
        trail.head = line.hash;
        Ok(())
    })?;
    match ledger.verify() {
        Ok(_) => {}
        Err(e) if e.kind == ErrorKind::BrokenChain => trail.broken = Some(e.what),
        Err(e) => return Err(e),
    }
    Ok(trail)
}

/// The statements behind the kinds of findings, over all cases.
pub(super) fn queries(source: Source<'_>, dialect: Dialect) -> Result<Vec<Query>> {
    let mut all = Gathered::default();
    source.each_case(&mut |file| {
        all.take(&file.found, &source.config.schema);
        Ok(())
    })?;
    Ok(all.queries(&source.config.schema, dialect))
}

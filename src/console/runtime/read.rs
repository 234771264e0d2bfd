//! Readings of the ledger, each kind on a thread of its own: opening a case does not wait for a million rows.

use super::super::model::case::{Choice, Loaded, Way};
use super::super::model::diff::{self, GroupKey, Ignored, MOST_BEHIND, Tally};
use super::super::model::query::{self, Query, Sort};
use super::super::model::table::{Rows, Table};
use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::work::{Shared, stand_back};
use crate::domain::mask::{MASKED, mask_references};
use crate::domain::queue::{CaseRow, Filter};
use crate::domain::{Error, Result};
use crate::ledger::Ledger;
use crate::resolve::guards::{self, Offer};

/// Rows of a batch: the first fills a screen at once, the others cost the loop about a millisecond.
const BATCH: (usize, usize) = (200, 2_000);

/// Reads all rows, again and again.
pub fn rows(shared: &Shared) -> Result<()> {
    let ledger = shared.open()?;
    loop {
        let reading = shared.rows.next();
        bug_on_purpose("rows");
        let outdated = || shared.rows.has(|_| true);
        let mut batch = Vec::with_capacity(BATCH.0);
        let mut limit = BATCH.0;
        let mut stopped = false;
        ledger.each_row(&Filter::default(), &mut |row| {
            batch.push(masked(shared, row));
            if batch.len() == limit {
                limit = BATCH.1;
                let rows = std::mem::replace(&mut batch, Vec::with_capacity(limit));
                shared.mailbox.tell_bulk(Msg::Rows {
                    reading,
                    rows,
                    last: false,
                });
                stopped = outdated();
            }
            !stopped
        })?;
        if !stopped {
            shared.mailbox.tell_bulk(Msg::Rows {
                reading,
                rows: batch,
                last: true,
            });
        }
    }
}

/// The row without the values of masked columns: what the list does not have cannot be filtered by either.
fn masked(shared: &Shared, mut row: CaseRow) -> CaseRow {
    for (n, value) in row.show.iter_mut().enumerate() {
        if !value.is_empty() && shared.config.schema.masks_shown(&row.id, n) {
            *value = MASKED.into();
        }
    }
    row
}

/// A case to be read.
#[derive(Debug)]
pub struct CaseJob {
    pub reading: u64,
    pub id: String,
}

/// Reads cases, and what may be done about them.
pub fn cases(shared: &Shared) -> Result<()> {
    let ledger = shared.open()?;
    loop {
        let CaseJob { reading, id } = shared.cases.next();
        bug_on_purpose("case");
        let case = match ledger.case(&id)? {
            None => None,
            Some(mut file) => Some(Box::new(Loaded {
                choices: ledger.offers(&id)?.into_iter().map(choice).collect(),
                file: {
                    mask_references(&mut file.found, &shared.config.schema);
                    file
                },
                read_at: shared.clock.now(),
            })),
        };
        shared.mailbox.tell(Msg::Case { reading, case });
    }
}

fn choice(offer: Offer) -> Choice {
    Choice {
        verb: offer.verb,
        what: offer.what,
        refused: offer.refused,
        way: match offer.kind {
            guards::REVERSIBLE => Way::Reversible,
            guards::COMPENSABLE => Way::Compensable,
            _ => Way::OneWay,
        },
        back: Some(offer.undo),
        seen: offer.seen,
        steps: offer.steps,
        wanted: offer.wanted.map(str::to_owned),
        asks: offer.asks,
        also: offer.also,
    }
}

/// Sums or single rows to be read.
#[derive(Debug)]
pub enum SumsJob {
    Overview,
    Some(Vec<String>),
}

/// Reads sums, phases, the hold's clock, and single rows.
pub fn sums(shared: &Shared) -> Result<()> {
    let ledger = shared.open()?;
    loop {
        let job = shared.sums.next();
        bug_on_purpose("sums");
        shared.mailbox.tell(match job {
            SumsJob::Overview => {
                shared.mailbox.tell(Msg::Gate(ledger.gate()?));
                let mut bulks = ledger.bulks()?;
                bulks.retain(|b| b.sums.pending > 0);
                shared.mailbox.tell(Msg::Papers {
                    waiting: ledger.waiting_papers()?,
                    bulks,
                });
                overview(&ledger)?
            }
            SumsJob::Some(ids) => {
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let rows = ledger.rows_of(&ids)?;
                Msg::Patched(rows.into_iter().map(|row| masked(shared, row)).collect())
            }
        });
    }
}

fn overview(ledger: &Ledger) -> Result<Msg> {
    Ok(Msg::Overview {
        counts: ledger.counts()?,
        phases: ledger.phases()?,
        hold: ledger.hold_clock()?,
    })
}

/// Differences to be counted or listed.
#[derive(Debug)]
pub enum DiffJob {
    Groups { reading: u64, span: (i64, i64) },
    Behind(GroupKey),
}

/// Counts differences over all cases that are work, and lists those behind a count.
pub fn diff(shared: &Shared) -> Result<()> {
    stand_back();
    let ledger = shared.open()?;
    loop {
        let job = shared.diff.next();
        bug_on_purpose("diff");
        match job {
            DiffJob::Groups { reading, span } => {
                let mut tally = Tally::new(span);
                let whole = each_unsettled(&ledger, |case| {
                    tally.add(&case.found);
                    !shared.diff.has(|job| matches!(job, DiffJob::Groups { .. }))
                })?;
                if whole {
                    let ignored = ignored(shared, &ledger)?;
                    shared.mailbox.tell(Msg::Diff {
                        reading,
                        groups: tally.groups(&ignored),
                        ignored,
                    });
                }
            }
            DiffJob::Behind(key) => {
                let mut rows = Vec::new();
                let whole = each_unsettled(&ledger, |case| {
                    rows.extend(diff::behind(&case.found, &key));
                    rows.len() < MOST_BEHIND && !shared.diff.has(|job| matches!(job, DiffJob::Behind(_)))
                })?;
                if whole || rows.len() >= MOST_BEHIND {
                    rows.truncate(MOST_BEHIND);
                    shared.mailbox.tell(Msg::Behind { key, rows });
                }
            }
        }
    }
}

/// The columns that people ignore, with the lines that say so in a configuration.
fn ignored(shared: &Shared, ledger: &Ledger) -> Result<Vec<Ignored>> {
    let all = ledger.ignores()?;
    let paste = |entity: &str| {
        let of_entity: Vec<_> = all.iter().filter(|i| i.entity == entity).cloned().collect();
        crate::ledger::to_paste(&shared.config.schema, &of_entity).join(" ")
    };
    Ok(all
        .iter()
        .map(|i| Ignored {
            entity: i.entity.clone(),
            column: i.column.clone(),
            why: format!("{}, says {}", i.reason, i.by),
            paste: paste(&i.entity),
        })
        .collect())
}

/// Every case that is still work, until `each` says that it is enough; whether all were read.
fn each_unsettled(ledger: &Ledger, mut each: impl FnMut(crate::domain::queue::CaseFile) -> bool) -> Result<bool> {
    let mut enough = false;
    let read = ledger.each_found(&Filter::default(), &mut |case| {
        if case.state.is_settled() || each(case) {
            return Ok(());
        }
        enough = true;
        Err(Error::failed("enough"))
    });
    if enough { Ok(false) } else { read.map(|()| true) }
}

/// Lists to be arranged, or given up.
#[derive(Debug)]
pub enum SortJob {
    Arrange {
        number: u64,
        rows: Rows,
        query: Query,
        sort: Sort,
    },
    Discard(Table),
}

/// Filters and sorts.
pub fn sort(shared: &Shared) -> Result<()> {
    let me = shared.open()?.who().user.clone();
    loop {
        match shared.sort.next() {
            SortJob::Arrange {
                number,
                rows,
                query,
                sort,
            } => {
                bug_on_purpose("sort");
                let shown = query::arrange(&rows, &query, sort, &me);
                shared.mailbox.tell(Msg::Arranged { number, shown });
            }
            SortJob::Discard(table) => drop(table),
        }
    }
}

//! The list of cases: what is read, what is shown of it, and where the cursor stands.
//!
//! The selection is an id. A fresh reading is built beside the shown one and put in its place at once, with the cursor's
//! row where it was on the screen; while the list is frozen it waits.

use super::query::{Query, Sort, arrange};
use super::table::Table;
use crate::domain::case::State;
use crate::domain::queue::CaseRow;
use std::collections::BTreeSet;

/// Up to so many rows are arranged at once; more are a worker's job.
pub const AT_ONCE: usize = 20_000;

/// A reading of all rows under way or done, not yet shown.
#[derive(Debug, Default)]
pub struct Reading {
    /// The rows so far.
    pub table: Table,
    /// The numbers of those that the query shows.
    pub shown: Vec<u32>,
    /// The query that `shown` answers.
    query: Query,
    /// The sort that `shown` answers.
    sort: Sort,
}

/// Which list a worker is arranging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arranging {
    /// The one on the screen.
    Shown,
    /// A fresh reading.
    Fresh,
}

/// What the caller must do with what the queue gives back.
#[derive(Debug, Default)]
pub struct Step {
    /// Rows to be arranged by a worker, under this number.
    pub arrange: Option<u64>,
    /// An old table to be dropped elsewhere: freeing a million rows takes time.
    pub trash: Option<Table>,
    /// The cursor stands on another case now.
    pub moved: bool,
}

/// The list.
#[derive(Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are independent: a reading can be complete, busy and out of date"
)]
pub struct Queue {
    /// The rows on the screen.
    pub table: Table,
    /// The numbers of those that the query shows, in the order of the sort.
    pub shown: Vec<u32>,
    /// The filter.
    pub query: Query,
    /// The sort.
    pub sort: Sort,
    /// The filter that `n` and `N` walk after it was lifted.
    pub last_query: Option<Query>,
    /// Where the cursor stands among the shown.
    pub at: usize,
    /// The first shown line on the screen.
    pub top: usize,
    /// The id under the cursor.
    pub cursor: Option<Box<str>>,
    /// Marked cases.
    pub marks: BTreeSet<Box<str>>,
    /// The id where a range of marks began.
    pub range: Option<Box<str>>,
    /// A first reading is complete.
    pub complete: bool,
    /// The number of the reading under way, or of the last.
    pub reading: u64,
    /// A reading is under way.
    pub busy: bool,
    /// Something changed since the reading under way began.
    pub again: bool,
    /// When the last reading began, microseconds since 1970.
    pub began: i64,
    /// How long the last complete reading took, microseconds.
    pub took: i64,
    fresh: Option<Reading>,
    fresh_done: bool,
    arranging: Option<(u64, Arranging)>,
    arrangements: u64,
}

impl Queue {
    /// Begins a reading of all rows, of which there are about `expected`; returns its number.
    pub fn begin(&mut self, now: i64, expected: u64) -> u64 {
        self.reading += 1;
        self.busy = true;
        self.again = false;
        self.began = now;
        let expected = usize::try_from(expected).unwrap_or(0).min(4_000_000);
        if self.complete {
            self.fresh = Some(Reading {
                table: Table::with_capacity(expected),
                shown: Vec::with_capacity(expected),
                query: self.query.clone(),
                sort: self.sort,
            });
            self.fresh_done = false;
        } else {
            self.table = Table::with_capacity(expected);
            self.shown = Vec::new();
        }
        self.reading
    }

    /// Rows of the reading under way. The first reading shows them as they come.
    pub fn append(&mut self, rows: Vec<CaseRow>, last: bool, me: &str, now: i64) -> Step {
        let mut step = Step::default();
        if let Some(fresh) = self.fresh.as_mut() {
            for row in rows {
                let shows = fresh.query.matches(&row, me);
                let number = fresh.table.push(row);
                if shows {
                    fresh.shown.push(number);
                }
            }
        } else {
            for row in rows {
                let shows = self.query.matches(&row, me);
                let number = self.table.push(row);
                if shows {
                    self.shown.push(number);
                }
            }
            if self.cursor.is_none() && !self.shown.is_empty() {
                self.go(0);
                step.moved = true;
            }
        }
        if last {
            self.busy = false;
            self.took = now - self.began;
            self.fresh_done = self.fresh.is_some();
            if !self.complete {
                self.complete = true;
                if self.sort != Sort::Queue {
                    step = Step {
                        moved: step.moved,
                        ..self.rearrange(me)
                    };
                }
            }
        }
        step
    }

    /// A complete fresh reading waits for the list to thaw.
    pub fn has_news(&self) -> bool {
        self.fresh_done
    }

    /// Shows a complete fresh reading, the cursor's row where it was.
    pub fn thaw(&mut self, me: &str) -> Step {
        if !self.fresh_done || matches!(self.arranging, Some((_, Arranging::Fresh))) {
            return Step::default();
        }
        let Some(fresh) = self.fresh.as_mut() else {
            return Step::default();
        };
        if fresh.query != self.query || fresh.sort != self.sort || self.sort != Sort::Queue {
            fresh.query = self.query.clone();
            fresh.sort = self.sort;
            if fresh.table.rows.len() > AT_ONCE {
                self.arrangements += 1;
                self.arranging = Some((self.arrangements, Arranging::Fresh));
                return Step {
                    arrange: Some(self.arrangements),
                    ..Step::default()
                };
            }
            fresh.shown = arrange(&fresh.table.rows, &self.query, self.sort, me);
        }
        self.swap()
    }

    fn swap(&mut self) -> Step {
        self.fresh_done = false;
        let Some(fresh) = self.fresh.take() else {
            return Step::default();
        };
        let trash = std::mem::replace(&mut self.table, fresh.table);
        let moved = self.show(fresh.shown);
        Step {
            arrange: None,
            trash: Some(trash),
            moved,
        }
    }

    /// Puts other numbers on the screen; the cursor stays on its case, else near where it was.
    fn show(&mut self, shown: Vec<u32>) -> bool {
        self.shown = shown;
        let line = self.at.saturating_sub(self.top);
        let place = self
            .cursor
            .as_ref()
            .and_then(|id| self.table.find(id))
            .and_then(|n| self.place_of(n));
        let before = self.cursor.clone();
        match place {
            Some(at) => {
                self.at = at;
                self.top = at.saturating_sub(line);
            }
            None => self.go(self.at),
        }
        self.cursor != before
    }

    fn place_of(&self, number: u32) -> Option<usize> {
        if self.sort == Sort::Queue {
            return self.shown.binary_search(&number).ok();
        }
        self.shown.iter().position(|n| *n == number)
    }

    /// Arranges the rows on the screen again, after another filter or sort.
    pub fn rearrange(&mut self, me: &str) -> Step {
        if self.table.rows.len() > AT_ONCE {
            self.arrangements += 1;
            self.arranging = Some((self.arrangements, Arranging::Shown));
            return Step {
                arrange: Some(self.arrangements),
                ..Step::default()
            };
        }
        let shown = arrange(&self.table.rows, &self.query, self.sort, me);
        Step {
            moved: self.show(shown),
            ..Step::default()
        }
    }

    /// The rows that the arrangement of this number is about.
    pub fn rows_to_arrange(&self) -> super::table::Rows {
        match (self.arranging, &self.fresh) {
            (Some((_, Arranging::Fresh)), Some(fresh)) => fresh.table.rows.clone(),
            _ => self.table.rows.clone(),
        }
    }

    /// A worker's arrangement came; only the latest counts.
    pub fn arranged(&mut self, number: u64, shown: Vec<u32>) -> Step {
        match self.arranging {
            Some((n, what)) if n == number => {
                self.arranging = None;
                match (what, self.fresh.as_mut()) {
                    (Arranging::Fresh, Some(fresh)) => {
                        fresh.shown = shown;
                        self.swap()
                    }
                    _ => Step {
                        moved: self.show(shown),
                        ..Step::default()
                    },
                }
            }
            _ => Step::default(),
        }
    }

    /// A worker is arranging.
    pub fn is_arranging(&self) -> bool {
        self.arranging.is_some()
    }

    /// Newer readings of single rows: they change in place and never move. A row that the filter no longer shows leaves,
    /// unless the cursor is on it.
    pub fn patch(&mut self, rows: Vec<CaseRow>, me: &str) {
        let mut leave: Vec<u32> = Vec::new();
        for row in rows {
            if let Some(fresh) = self.fresh.as_mut() {
                fresh.table.replace(row.clone());
            }
            let keep = self.query.matches(&row, me) || self.cursor.as_deref() == Some(&*row.id);
            let number = self.table.find(&row.id);
            self.table.replace(row);
            if let Some(number) = number
                && !keep
            {
                leave.push(number);
            }
        }
        if !leave.is_empty() && self.marks.is_empty() {
            let shown = std::mem::take(&mut self.shown);
            let shown = shown.into_iter().filter(|n| !leave.contains(n)).collect();
            self.show(shown);
        }
    }

    /// The row under the cursor.
    pub fn current(&self) -> Option<&CaseRow> {
        self.cursor.as_ref().and_then(|id| self.table.by_id(id))
    }

    /// The row at this place of the list.
    pub fn row_at(&self, place: usize) -> Option<&CaseRow> {
        self.shown.get(place).and_then(|n| self.table.rows.get(*n))
    }

    /// Puts the cursor on this place, or the nearest.
    pub fn go(&mut self, place: usize) {
        self.at = place.min(self.shown.len().saturating_sub(1));
        self.cursor = self.row_at(self.at).map(|r| r.id.clone());
    }

    /// Puts the cursor on this case where the list shows it.
    pub fn go_to(&mut self, id: &str) -> bool {
        let Some(at) = self.table.find(id).and_then(|n| self.place_of(n)) else {
            return false;
        };
        self.go(at);
        true
    }

    /// Moves the cursor by so many lines.
    pub fn step(&mut self, by: isize) {
        self.go(self.at.saturating_add_signed(by));
    }

    /// Scrolls so that the cursor is inside `height` lines.
    pub fn scroll_into(&mut self, height: usize) {
        if height == 0 {
            return;
        }
        if self.at < self.top {
            self.top = self.at;
        } else if self.at >= self.top + height {
            self.top = self.at + 1 - height;
        }
        self.top = self.top.min(self.shown.len().saturating_sub(height));
    }

    /// The cases from the cursor on, its own among them unless it is to be `passed`, round the list, that are undecided, that
    /// nobody holds, and whose way is not held by somebody else.
    pub fn free<'q>(&'q self, me: &'q str, passed: bool) -> impl Iterator<Item = &'q CaseRow> {
        let count = self.shown.len();
        let first = usize::from(passed);
        (first..count)
            .filter_map(move |i| self.row_at((self.at + i) % count))
            .filter(move |row| {
                row.state == State::Open
                    && row.claim.is_none()
                    && row.blocked_by.iter().all(|(id, _)| {
                        self.table
                            .by_id(id)
                            .and_then(|b| b.claim.as_ref())
                            .is_none_or(|c| c.by == me)
                    })
            })
    }

    /// The next (or the one before) of the shown rows that the last filter matches.
    pub fn next_match(&self, forward: bool, me: &str) -> Option<usize> {
        let query = self.last_query.as_ref()?;
        let count = self.shown.len();
        (1..=count)
            .map(|i| {
                if forward {
                    (self.at + i) % count
                } else {
                    (self.at + count - i) % count
                }
            })
            .find(|place| self.row_at(*place).is_some_and(|r| query.matches(r, me)))
    }

    /// Marks or unmarks the case under the cursor.
    pub fn toggle_mark(&mut self) {
        if let Some(id) = self.cursor.clone()
            && !self.marks.remove(&id)
        {
            self.marks.insert(id);
        }
    }

    /// Begins a range of marks at the cursor, or closes it: every row between is marked.
    pub fn toggle_range(&mut self) {
        let Some(begin) = self.range.take() else {
            self.range.clone_from(&self.cursor);
            return;
        };
        let begin = self
            .table
            .find(&begin)
            .and_then(|n| self.place_of(n))
            .unwrap_or(self.at);
        for place in begin.min(self.at)..=begin.max(self.at) {
            if let Some(id) = self.row_at(place).map(|r| r.id.clone()) {
                self.marks.insert(id);
            }
        }
    }

    /// The first and last place of a range being drawn.
    pub fn range_bounds(&self) -> Option<(usize, usize)> {
        let begin = self.range.as_ref().and_then(|id| self.table.find(id))?;
        let begin = self.place_of(begin)?;
        Some((begin.min(self.at), begin.max(self.at)))
    }
}

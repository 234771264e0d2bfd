//! The preview: from the log alone, what a restore to any moment would lose, leave in doubt, orphan, undelete, and leave
//! of the bad change.
//!
//! [`Preview::build`] reads the history that the fold kept of every row ([`crate::log::Wants::history`]), tells for each
//! row and then for each order in which spans of time a restore would find what (`rows`, `refs`), and keeps nothing but
//! when such spans begin and end (`count`): what a restore to T would find is then a few binary searches.

mod count;
mod owners;
mod refs;
mod rows;
#[cfg(test)]
mod tests;

use crate::domain::schema::{Catalogue, EntityIx, Schema};
use crate::domain::time;
use crate::log::{Folded, RowAt};
use count::{Count, Gathered, Span, both, union};
use owners::{Owned, owned};
use rayon::prelude::*;
use refs::Refs;
use rows::{Findings, Room, Rows};
use serde::{Serialize, Serializer};

/// What a restore to one moment would find: orders, but for the last two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Point {
    /// T, microseconds since 1970.
    #[serde(serialize_with = "as_time")]
    pub at: i64,
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
    /// That refer to what would not be there.
    pub orphaned: u64,
    /// That would stand as the bad change left them.
    pub bad_left: u64,
    /// Rows that would, whether or not an order owns them.
    pub bad_rows: u64,
    /// Rows that the log changes later and does not show at T.
    pub not_shown: u64,
}

/// A stretch of the log's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Microseconds since 1970.
    #[serde(serialize_with = "as_time")]
    pub from: i64,
    /// Not part of it.
    #[serde(serialize_with = "as_time")]
    pub to: i64,
    /// Events.
    pub events: u64,
    /// Distinct orders that they change.
    pub orders: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn as_time<S: Serializer>(at: &i64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&time::format(*at))
}

/// What a restore to any moment would find.
#[derive(Debug, Clone, Default)]
pub struct Preview {
    /// First and last event that say when, microseconds since 1970.
    span: Option<(i64, i64)>,
    counts: Counts<Count>,
    buckets: Vec<Bucket>,
    /// Events by `cell` microseconds from `origin`.
    cells: Vec<u32>,
    origin: i64,
    cell: i64,
    warnings: Vec<String>,
    knows_bad: bool,
}

/// One for each figure of a [`Point`].
#[derive(Debug, Clone, Default)]
struct Counts<C> {
    orders: C,
    lost: C,
    regressed: C,
    undeleted: C,
    in_doubt: C,
    orphaned: C,
    bad_left: C,
    bad_rows: C,
    not_shown: C,
}

impl<C> Counts<C> {
    fn map<D>(self, mut one: impl FnMut(C) -> D) -> Counts<D> {
        Counts {
            orders: one(self.orders),
            lost: one(self.lost),
            regressed: one(self.regressed),
            undeleted: one(self.undeleted),
            in_doubt: one(self.in_doubt),
            orphaned: one(self.orphaned),
            bad_left: one(self.bad_left),
            bad_rows: one(self.bad_rows),
            not_shown: one(self.not_shown),
        }
    }
}

impl Counts<Gathered> {
    fn join(self, other: Self) -> Self {
        let Counts {
            orders,
            lost,
            regressed,
            undeleted,
            in_doubt,
            orphaned,
            bad_left,
            bad_rows,
            not_shown,
        } = other;
        Self {
            orders: self.orders.join(orders),
            lost: self.lost.join(lost),
            regressed: self.regressed.join(regressed),
            undeleted: self.undeleted.join(undeleted),
            in_doubt: self.in_doubt.join(in_doubt),
            orphaned: self.orphaned.join(orphaned),
            bad_left: self.bad_left.join(bad_left),
            bad_rows: self.bad_rows.join(bad_rows),
            not_shown: self.not_shown.join(not_shown),
        }
    }
}

/// Most buckets of [`Preview::buckets`].
const BUCKETS: i64 = 60;
/// Widths that people count in, seconds.
const WIDTHS: [i64; 22] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    2_592_000, 31_536_000,
];
/// Most cells that events are counted in.
const CELLS: i64 = 1 << 18;
/// Orders that one thread looks at, at a time.
const CHUNK: usize = 2_048;
const SECOND: i64 = 1_000_000;

/// The narrowest width, in microseconds, that people count in and that needs no more than so many of it for this span.
pub fn width_for(span: (i64, i64), most: i64) -> i64 {
    let fits = |seconds: &&i64| {
        let width = **seconds * SECOND;
        span.1.div_euclid(width) - span.0.div_euclid(width) < most
    };
    WIDTHS
        .iter()
        .find(fits)
        .map_or(i64::MAX / 4, |seconds| seconds * SECOND)
}

/// A grid over a span of time.
#[derive(Debug, Clone, Copy)]
struct Grid {
    origin: i64,
    width: i64,
    len: usize,
}

impl Grid {
    fn over(span: Option<(i64, i64)>, most: i64) -> Self {
        let Some(span) = span else {
            return Self {
                origin: 0,
                width: SECOND,
                len: 0,
            };
        };
        let width = width_for(span, most);
        let origin = span.0.div_euclid(width) * width;
        let len = (span.1 - origin).div_euclid(width) + 1;
        Self {
            origin,
            width,
            len: usize::try_from(len).unwrap_or_default(),
        }
    }

    fn at(self, t: i64) -> Option<usize> {
        let from_origin = u64::try_from(t.checked_sub(self.origin)?).ok()?;
        // Widths are whole seconds: dividing by what the compiler knows, and then in 32 bits, is much the faster.
        let seconds = from_origin / SECOND.cast_unsigned();
        let width = self.width.cast_unsigned() / SECOND.cast_unsigned();
        let at = match (u32::try_from(seconds), u32::try_from(width)) {
            (Ok(seconds), Ok(width)) => (seconds / width) as usize,
            _ => usize::try_from(seconds / width).ok()?,
        };
        (at < self.len).then_some(at)
    }
}

/// What one thread, or all of them, gathered.
struct Part {
    counts: Counts<Gathered>,
    cells: Vec<u32>,
    bucket_orders: Vec<u32>,
}

impl Part {
    fn new(cells: Grid, buckets: Grid) -> Self {
        Self {
            counts: Counts::<()>::default().map(|()| Gathered::default()),
            cells: vec![0; cells.len],
            bucket_orders: vec![0; buckets.len],
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.counts = self.counts.join(other.counts);
        for (mine, other) in [
            (&mut self.cells, other.cells),
            (&mut self.bucket_orders, other.bucket_orders),
        ] {
            for (mine, other) in mine.iter_mut().zip(other) {
                *mine += other;
            }
        }
        self
    }
}

impl Preview {
    /// Tells it from a log that was read with [`crate::log::Wants::history`].
    pub fn build(schema: &Schema, catalogue: &Catalogue, log: &Folded) -> Self {
        let span = log.stats.first.zip(log.stats.last);
        let (cells, buckets) = (Grid::over(span, CELLS), Grid::over(span, BUCKETS));
        let rows = Rows::new(schema, catalogue, log);
        let refs = Refs::new(schema, catalogue, &rows);
        let owned = owned(schema, catalogue, log);
        let teller = Teller {
            rows: &rows,
            refs: &refs,
            owned: &owned,
            cells,
            buckets,
        };
        let part = teller.tell();
        let (counts, found_cells, bucket_orders) = (part.counts, part.cells, part.bucket_orders);
        let mut preview = Self {
            span,
            counts: counts.map(Count::from),
            buckets: Vec::new(),
            cells: found_cells,
            origin: cells.origin,
            cell: cells.width,
            warnings: log.warnings.clone(),
            knows_bad: false,
        };
        preview.buckets = preview.histogram(buckets.origin, buckets.width, buckets.len);
        for (bucket, orders) in preview.buckets.iter_mut().zip(bucket_orders) {
            bucket.orders = u64::from(orders);
        }
        preview.warn(log, &owned);
        preview
    }

    fn warn(&mut self, log: &Folded, owned: &Owned) {
        if !owned.mapped {
            self.warnings.push(format!(
                "no [schema.{}] is mapped: what a restore does to orders is not known",
                crate::domain::schema::ORDER
            ));
        }
        if owned.nobodys > 0 {
            self.warnings.push(format!(
                "{} rows of tables that orders own name no order in the log: they are counted for none",
                owned.nobodys
            ));
        }
        let timeless = log.timeless();
        if timeless > 0 {
            self.warnings.push(format!(
                "{timeless} events do not say when they happened: they count as before every T"
            ));
        }
        if log.out_of_time() > 0 {
            self.warnings.push(format!(
                "{} rows have events that are not in the order of time, and the log cannot be read a second time: their \
                 state at T is not exact",
                log.out_of_time()
            ));
        }
    }

    /// First and last event that say when, microseconds since 1970.
    pub const fn span(&self) -> Option<(i64, i64)> {
        self.span
    }

    /// What a restore to `t`, microseconds since 1970, would find.
    pub fn at(&self, t: i64) -> Point {
        let counts = &self.counts;
        Point {
            at: t,
            orders: counts.orders.at(t),
            lost: counts.lost.at(t),
            regressed: counts.regressed.at(t),
            undeleted: counts.undeleted.at(t),
            in_doubt: counts.in_doubt.at(t),
            orphaned: counts.orphaned.at(t),
            bad_left: counts.bad_left.at(t),
            bad_rows: counts.bad_rows.at(t),
            not_shown: counts.not_shown.at(t),
        }
    }

    /// The log's time in at most sixty stretches of a width that people count in.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The events of stretches of this width from this moment on, microseconds; their orders are not counted.
    pub fn histogram(&self, from: i64, width: i64, len: usize) -> Vec<Bucket> {
        let edge = |n: usize| from.saturating_add(width.saturating_mul(i64::try_from(n).unwrap_or(i64::MAX)));
        let cell = |t: i64| {
            let at = (t - self.origin + self.cell - 1).div_euclid(self.cell.max(1));
            usize::try_from(at.max(0)).unwrap_or_default().min(self.cells.len())
        };
        let bucket = |n: usize| Bucket {
            from: edge(n),
            to: edge(n + 1),
            events: self.cells[cell(edge(n))..cell(edge(n + 1)).max(cell(edge(n)))]
                .iter()
                .map(|n| u64::from(*n))
                .sum(),
            orders: 0,
        };
        (0..len).map(bucket).collect()
    }

    /// What a person should know besides.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What a person should know of one answer.
    pub fn warnings_at(&self, point: &Point) -> Vec<String> {
        let at = time::format(point.at);
        let mut warnings = Vec::new();
        if point.not_shown > 0 {
            warnings.push(format!(
                "restore to {at}: the log does not show the state of {} rows that it changes later; they count as changed",
                point.not_shown
            ));
        }
        match self.span {
            Some((first, _)) if point.at < first => {
                warnings.push(format!("{at} is before the log's first event, {}", time::format(first)));
            }
            Some((_, last)) if point.at > last => {
                warnings.push(format!("{at} is after the log's last event, {}", time::format(last)));
            }
            _ => {}
        }
        warnings
    }

    /// Adds one more.
    pub fn warn_of(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Whether it is configured what the bad change is.
    pub const fn knows_bad(&self) -> bool {
        self.knows_bad
    }

    /// Says that it is.
    #[must_use]
    pub const fn knowing_bad(mut self, knows_bad: bool) -> Self {
        self.knows_bad = knows_bad;
        self
    }

    /// Bytes held for answering.
    pub fn bytes(&self) -> usize {
        let Counts {
            orders,
            lost,
            regressed,
            undeleted,
            in_doubt,
            orphaned,
            bad_left,
            bad_rows,
            not_shown,
        } = &self.counts;
        let counts = [
            orders, lost, regressed, undeleted, in_doubt, orphaned, bad_left, bad_rows, not_shown,
        ];
        counts.iter().map(|c| c.bytes()).sum::<usize>() + self.cells.len() * size_of::<u32>()
    }
}

/// Goes through all orders.
struct Teller<'a> {
    rows: &'a Rows<'a>,
    refs: &'a Refs<'a>,
    owned: &'a Owned,
    cells: Grid,
    buckets: Grid,
}

/// What one thread uses again for every order.
#[derive(Default)]
struct Desk {
    room: Room,
    row: Findings,
    order: Findings,
    missing: Vec<Span>,
    buckets: Vec<u32>,
}

impl Teller<'_> {
    fn tell(&self) -> Part {
        let new = || (Part::new(self.cells, self.buckets), Desk::default());
        let chunks = self.owned.orders().div_ceil(CHUNK);
        let orders = (0..chunks).into_par_iter().fold(new, |(mut part, mut desk), chunk| {
            let orders = chunk * CHUNK..((chunk + 1) * CHUNK).min(self.owned.orders());
            let mut others = self.owned.rows_of(orders.clone());
            for order in orders {
                let mine = others.partition_point(|(of, _)| *of as usize == order);
                let (of_order, rest) = others.split_at(mine);
                others = rest;
                self.order(order, of_order, &mut part, &mut desk);
            }
            (part, desk)
        });
        let orders = orders.map(|(part, _)| part);
        let alone = self
            .owned
            .alone
            .par_chunks(CHUNK)
            .fold(new, |(mut part, mut desk), rows| {
                for row in rows {
                    self.row(*row, &mut part, &mut desk);
                }
                (part, desk)
            });
        let alone = alone.map(|(part, _)| part);
        let none = || Part::new(self.cells, self.buckets);
        orders.chain(alone).reduce(none, Part::join)
    }

    /// One row's findings, and what is counted by row.
    fn row(&self, row: RowAt, part: &mut Part, desk: &mut Desk) {
        let (cells, buckets) = (self.cells, self.buckets);
        self.rows.findings(row, &mut desk.room, &mut desk.row, |at| {
            if let Some(cell) = cells.at(at) {
                part.cells[cell] += 1;
                let bucket = buckets.at(at).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
                if desk.buckets.last() != Some(&bucket) {
                    desk.buckets.push(bucket);
                }
            }
        });
        part.counts.bad_rows.add(&desk.row.bad);
        if let Some(until) = desk.row.hidden_until {
            part.counts.not_shown.add(&[(i64::MIN, until)]);
        }
    }

    fn order(&self, order: usize, others: &[(u32, RowAt)], part: &mut Part, desk: &mut Desk) {
        let own = self.owned.own_row(order);
        desk.buckets.clear();
        desk.missing.clear();
        if let (Some(own), []) = (own, others) {
            self.row(own, part, desk);
            std::mem::swap(&mut desk.row, &mut desk.order);
            self.refs.missing(own, &mut desk.room, &mut desk.missing);
        } else {
            desk.order.clear();
            for row in own.into_iter().chain(others.iter().map(|(_, row)| *row)) {
                self.row(row, part, desk);
                desk.order.join(&desk.row);
                self.refs.missing(row, &mut desk.room, &mut desk.missing);
            }
            let found = &mut desk.order;
            for spans in [
                &mut found.lost,
                &mut found.regressed,
                &mut found.undeleted,
                &mut found.in_doubt,
                &mut found.bad,
            ] {
                union(spans);
            }
            desk.buckets.sort_unstable();
            desk.buckets.dedup();
        }
        for bucket in &desk.buckets {
            if let Some(orders) = part.bucket_orders.get_mut(*bucket as usize) {
                *orders += 1;
            }
        }
        let found = &desk.order;
        let any = found.any();
        let counts = &mut part.counts;
        counts.lost.add(&found.lost);
        counts.regressed.add(&found.regressed);
        counts.undeleted.add(&found.undeleted);
        counts.in_doubt.add(&found.in_doubt);
        counts.bad_left.add(&found.bad);
        if !desk.missing.is_empty() {
            union(&mut desk.missing);
            // References are asked of orders that a restore would change.
            counts.orphaned.add(&both(&any, &desk.missing));
        }
        counts.orders.add(&any);
    }
}

/// The entity of orders.
fn order_entity(schema: &Schema) -> Option<EntityIx> {
    schema.index(crate::domain::schema::ORDER)
}

//! What is wanted of the log besides its last word: the rows without the bad change, the rows as at T.

use super::fold::{AsAt, LeftOut};
use crate::config::BadChange;
use crate::domain::event::{Change, Op};
use crate::domain::schema::{Catalogue, ColumnIx, EntityIx, Schema, nearest};
use crate::domain::value::{ColumnType, LogKind, LogValue, Same, canonical, same};
use crate::domain::{Error, Result};

/// Which second readings to keep, for the rows where they differ from the first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wants<'a> {
    /// As if these events had not been.
    pub without: Option<&'a BadChange>,
    /// As at this instant (microseconds since 1970, inclusive): of the first some thousand rows that are touched later.
    pub as_at: Option<i64>,
    /// The history of every row, for a preview.
    pub history: bool,
}

/// Tells which events the second readings leave out.
#[derive(Debug)]
pub(super) struct Sieve<'a> {
    bad: Option<Bad<'a>>,
    as_at: Option<i64>,
}

#[derive(Debug)]
struct Bad<'a> {
    change: &'a BadChange,
    entity: Option<EntityIx>,
    /// For each entity the columns of `where`; `None` where it lacks one, so that no event of it is meant.
    values: Vec<Option<Vec<Wanted<'a>>>>,
}

#[derive(Debug)]
struct Wanted<'a> {
    column: ColumnIx,
    ty: &'a ColumnType,
    text: std::borrow::Cow<'a, str>,
}

impl<'a> Sieve<'a> {
    /// Checks what is wanted against the tables.
    pub fn new(wants: Wants<'a>, schema: &Schema, catalogue: &'a Catalogue) -> Result<Self> {
        let bad = wants.without.map(|change| Bad::new(change, schema, catalogue));
        Ok(Self {
            bad: bad.transpose()?,
            as_at: wants.as_at,
        })
    }

    /// Which readings are kept.
    pub fn kept(&self) -> AsAt {
        AsAt {
            without_bad: self.bad.is_some(),
            at_t: self.as_at.is_some(),
        }
    }

    /// Columns that must be read although the schema may ignore them.
    pub fn columns(&self, entity: EntityIx) -> impl Iterator<Item = ColumnIx> {
        let bad = self.bad.iter().filter_map(move |bad| bad.values.get(entity)?.as_ref());
        bad.flatten().map(|wanted| wanted.column)
    }

    /// Whether a row of a database, of which nobody knows how it came about, stands as the bad change leaves rows: all values
    /// are there, and one of them `differs` from what was restored.
    pub fn is_as_bad(
        &self,
        entity: EntityIx,
        fields: &[(ColumnIx, LogValue<'_>)],
        differs: impl Fn(ColumnIx) -> bool,
    ) -> bool {
        let Some(bad) = self.bad.as_ref().filter(|_| self.judges_rows()) else {
            return false;
        };
        let wanted = bad.values.get(entity).and_then(Option::as_ref);
        bad.entity.is_none_or(|only| only == entity)
            && wanted.is_some_and(|wanted| {
                let value = |column| fields.iter().find(|(c, _)| *c == column).map(|(_, value)| value);
                wanted
                    .iter()
                    .all(|w| value(w.column).is_some_and(|value| w.says(value)))
                    && wanted.iter().any(|w| differs(w.column))
            })
    }

    /// Whether the bad change is told by values, which a row shows, and not by who made it, which no row shows.
    pub fn judges_rows(&self) -> bool {
        self.bad.as_ref().is_some_and(|bad| {
            let change = bad.change;
            !change.values.is_empty() && change.transaction.is_empty() && change.actor.is_none()
        })
    }

    /// Which readings leave this event out.
    pub fn left_out(&self, change: &Change<'_>) -> LeftOut {
        LeftOut {
            by_bad: self.bad.as_ref().is_some_and(|bad| bad.is(change)),
            by_t: self.as_at.zip(change.at).is_some_and(|(t, at)| at > t),
            inserts: change.op == Op::Insert,
        }
    }
}

impl<'a> Bad<'a> {
    fn new(change: &'a BadChange, schema: &Schema, catalogue: &'a Catalogue) -> Result<Self> {
        let entity = change.entity.as_deref().and_then(|name| schema.index(name));
        let meant = |ix: &EntityIx| entity.is_none_or(|only| only == *ix);
        for column in change.values.keys() {
            let tables = || {
                (0..catalogue.tables.len())
                    .filter(meant)
                    .map(|ix| &catalogue.tables[ix])
            };
            if tables().all(|table| table.column(column).is_none()) {
                let names: Vec<&str> = tables().map(|t| t.name.as_str()).collect();
                let mut known: Vec<&str> = tables()
                    .flat_map(|t| t.columns.iter().map(|c| c.name.as_str()))
                    .collect();
                known.sort_unstable();
                known.dedup();
                let what = match &names[..] {
                    [only] => format!("table {only} has no column {column:?}"),
                    _ => format!("no mapped table has a column {column:?}"),
                };
                return Err(Error::usage(what)
                    .at("[incident.bad] where")
                    .cure(format!("nearest columns: {}", nearest(column, known.into_iter()))));
            }
        }
        let values = catalogue.tables.iter().map(|table| {
            let wanted = change.values.iter().map(|(name, text)| {
                let column = table.column(name)?;
                let ty = &table.columns[usize::from(column)].ty;
                let text = canonical(ty, text).unwrap_or(text.as_str().into());
                Some(Wanted { column, ty, text })
            });
            wanted.collect()
        });
        Ok(Self {
            change,
            entity,
            values: values.collect(),
        })
    }

    /// All that is given must hold; what an event does not say holds of nothing.
    fn is(&self, event: &Change<'_>) -> bool {
        let bad = self.change;
        let holds = |wanted: &Wanted<'_>| {
            let said = event.fields.iter().rev().find(|(column, _)| *column == wanted.column);
            said.is_some_and(|(_, value)| wanted.says(value))
        };
        self.entity.is_none_or(|entity| entity == event.entity)
            && bad.from.is_none_or(|from| event.at.is_some_and(|at| at >= from))
            && bad.to.is_none_or(|to| event.at.is_some_and(|at| at <= to))
            && (bad.transaction.is_empty()
                || event
                    .transaction
                    .as_ref()
                    .is_some_and(|by| bad.transaction.iter().any(|t| t == by)))
            && bad
                .actor
                .as_ref()
                .is_none_or(|actor| event.actor.as_ref().is_some_and(|by| by == actor))
            && (bad.values.is_empty()
                || self
                    .values
                    .get(event.entity)
                    .and_then(Option::as_ref)
                    .is_some_and(|wanted| wanted.iter().all(holds)))
    }
}

impl Wanted<'_> {
    fn says(&self, value: &LogValue<'_>) -> bool {
        value.kind != LogKind::Null && same(self.ty, value, Some(&self.text)) == Same::Yes
    }
}

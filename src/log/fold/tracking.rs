//! What a history of rows looks at: the compared columns, the state, what identifies a row.

use super::Row;
use super::fields::{Encoded, Said};
use crate::domain::schema::{Catalogue, ColumnIx, EntityIx, Schema};
use crate::domain::value::{ColumnType, LogValue, fingerprint};
use foldhash::fast::RandomState;

/// What a history looks at, by entity.
#[derive(Debug)]
pub(in crate::log) struct Tracking {
    tables: Vec<Tracked>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Tracked {
    /// For each column its type, where it is compared.
    compared: Vec<Option<ColumnType>>,
    /// The state column, and the states that are under way.
    state: Option<(ColumnIx, Vec<String>)>,
    /// Columns whose former values are kept: what identifies a row, and what others refer to it by.
    watched: Vec<(ColumnIx, ColumnType)>,
}

impl Tracking {
    pub fn new(schema: &Schema, catalogue: &Catalogue, hasher: RandomState) -> Self {
        let tables = schema.entities.iter().zip(&catalogue.tables).map(|(entity, table)| {
            let compared = (0..).zip(&table.columns).map(|(ix, column)| {
                let left_out = entity.ignore.contains(&column.name) || table.key.contains(&ix);
                (!left_out).then(|| column.ty.clone())
            });
            let state = entity.state.as_deref().filter(|_| !entity.in_progress.is_empty());
            let refs = schema.entities.iter().flat_map(|e| &e.refs);
            let named = refs
                .filter(|r| r.entity == entity.name)
                .filter_map(|r| r.target.as_ref());
            let mut watched: Vec<ColumnIx> = named.chain(&entity.identity).filter_map(|c| table.column(c)).collect();
            watched.sort_unstable();
            watched.dedup();
            Tracked {
                compared: compared.collect(),
                state: state.and_then(|c| Some((table.column(c)?, entity.in_progress.clone()))),
                watched: watched
                    .into_iter()
                    .map(|c| (c, table.columns[usize::from(c)].ty.clone()))
                    .collect(),
            }
        });
        Self {
            tables: tables.collect(),
            hasher,
        }
    }

    /// The fingerprint of an event's compared columns.
    pub fn print_event(&self, entity: EntityIx, fields: &[(ColumnIx, LogValue<'_>)]) -> u64 {
        let compared = &self.tables[entity].compared;
        let one = |(column, value): &(ColumnIx, LogValue<'_>)| match &compared[usize::from(*column)] {
            Some(ty) => fingerprint(&self.hasher, *column, ty, value.kind, &value.text),
            None => 0,
        };
        fields.iter().fold(0, |all, field| all ^ one(field))
    }

    /// The fingerprint of a row's compared columns.
    pub fn print_row(&self, entity: EntityIx, row: &Row) -> u64 {
        let compared = &self.tables[entity].compared;
        let one = |said: Said<'_>| match &compared[usize::from(said.column)] {
            Some(ty) => said.print(&self.hasher, ty),
            None => 0,
        };
        row.encoded().iter().fold(0, |all, said| all ^ one(said))
    }

    /// As [`Tracking::print_row`], of these columns alone.
    pub(super) fn print_some(&self, entity: EntityIx, row: &Row, columns: Encoded<'_>) -> u64 {
        let tracked = &self.tables[entity];
        let mut wanted = columns.iter().map(|said| said.column).peekable();
        let mut print = 0;
        for said in row.encoded().iter() {
            while wanted.next_if(|column| *column < said.column).is_some() {}
            if wanted.next_if_eq(&said.column).is_some()
                && let Some(ty) = &tracked.compared[usize::from(said.column)]
            {
                print ^= said.print(&self.hasher, ty);
            }
        }
        print
    }

    pub fn watched(&self, entity: EntityIx) -> &[(ColumnIx, ColumnType)] {
        &self.tables[entity].watched
    }

    /// The fingerprint of one column's value; 0 where the row has none.
    pub fn print_column(&self, row: &Row, (column, ty): &(ColumnIx, ColumnType)) -> u64 {
        row.encoded()
            .iter()
            .find(|said| said.column == *column)
            .map_or(0, |said| said.print(&self.hasher, ty))
    }

    /// As [`Tracking::print_column`], for a value from elsewhere.
    pub fn print_value(&self, column: ColumnIx, ty: &ColumnType, text: &str) -> u64 {
        fingerprint(&self.hasher, column, ty, crate::domain::value::LogKind::Text, text)
    }

    pub fn in_progress(&self, entity: EntityIx, row: &Row) -> bool {
        let Some((column, states)) = &self.tables[entity].state else {
            return false;
        };
        let state = row.encoded().iter().find(|said| said.column == *column);
        state.is_some_and(|said| said.is_one_of(states))
    }
}

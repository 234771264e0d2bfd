//! The rows that may differ, read on both sides, and what the old instance says of them as events.

use super::pair::Side;
use super::{Plan, Reader};
use crate::domain::Result;
use crate::domain::schema::{ColumnIx, EntityIx, Table};
use crate::domain::value::{self, ColumnType, LogKind, LogValue, Same};
use crate::log::fold::{LeftOut, Says, Stamp};
use crate::restored::{Restored, rows_by_key};
use hashbrown::{HashMap, HashSet};
use tokio::sync::mpsc;

/// A row's columns, as they were asked for.
type Values = [Option<Box<str>>];
/// Rows by key.
type Found = HashMap<String, Vec<Option<Box<str>>>>;

impl<O: Restored, R: Restored> Reader<'_, O, R> {
    /// Looks at keys as they come, until no more do.
    pub(super) async fn look(&mut self, plan: &Plan, mut receive: mpsc::Receiver<Vec<String>>) -> Result<()> {
        while let Some(keys) = receive.recv().await {
            self.look_at(plan, keys).await?;
            self.check_cancelled()?;
        }
        Ok(())
    }

    /// Reads these rows on both sides; those that differ become events. What another log names has its turn later.
    async fn look_at(&mut self, plan: &Plan, mut keys: Vec<String>) -> Result<()> {
        let entity = plan.entity;
        self.spell_once(entity, &mut keys);
        keys.retain(|key| !self.others.names(entity, key));
        if keys.is_empty() {
            return Ok(());
        }
        let (old, restored) = self.both(plan, &keys).await?;
        for key in &keys {
            match (old.get(key), restored.get(key)) {
                (Some(old), Some(restored)) if self.is_same(plan, old, restored) => {}
                (Some(old), restored) => self.exists(plan, key, (old, restored.map(Vec::as_slice)), |_, _| true),
                (None, Some(_)) => self.gone(entity, key),
                (None, None) => {}
            }
        }
        self.fold.fold(&mut self.batch);
        Ok(())
    }

    /// A Salesforce id may stand with 15 characters on one side and with 18 on the other: it is one key.
    fn spell_once(&mut self, entity: EntityIx, keys: &mut Vec<String>) {
        let seen = &mut self.seen_ids;
        if self.input.catalogue.tables[entity].key.len() == 1 {
            keys.retain(|key| {
                value::salesforce_id_other(key).is_none() || seen.insert((entity, value::salesforce_id(key).into()))
            });
        }
        keys.sort_unstable();
        keys.dedup();
    }

    async fn both(&mut self, plan: &Plan, keys: &[String]) -> Result<(Found, Found)> {
        let entity = plan.entity;
        let columns: (Vec<ColumnIx>, Vec<ColumnIx>) = plan.both.iter().copied().unzip();
        loop {
            let tables = (&self.tables.tables[entity], &self.input.catalogue.tables[entity]);
            let old = read(self.old, tables.0, entity, keys, &columns.0);
            let restored = read(self.restored, tables.1, entity, keys, &columns.1);
            match tokio::join!(old, restored) {
                (Ok(old), Ok(restored)) => return Ok((old, restored)),
                (Err(e), _) => self.again(plan, Side::Old, e, false).await?,
                (_, Err(e)) => self.again(plan, Side::Restored, e, false).await?,
            }
        }
    }

    async fn old_rows(&mut self, plan: &Plan, keys: &[String]) -> Result<Found> {
        let entity = plan.entity;
        let columns: Vec<ColumnIx> = plan.both.iter().map(|(old, _)| *old).collect();
        loop {
            match read(self.old, &self.tables.tables[entity], entity, keys, &columns).await {
                Ok(found) => return Ok(found),
                Err(e) => self.again(plan, Side::Old, e, false).await?,
            }
        }
    }

    fn is_same(&self, plan: &Plan, old: &Values, restored: &Values) -> bool {
        let values = old.iter().zip(restored).zip(&plan.both).zip(&plan.compared);
        values
            .filter(|(_, compared)| **compared)
            .all(|(((old, restored), (_, column)), _)| {
                let ty = self.column_type(plan.entity, *column);
                value::same(ty, &said(old.as_deref()), restored.as_deref()) == Same::Yes
            })
    }

    fn column_type(&self, entity: EntityIx, column: ColumnIx) -> &ColumnType {
        &self.input.catalogue.tables[entity].columns[usize::from(column)].ty
    }

    /// An event that the row is there, with the columns that `tell` picks.
    fn exists(
        &mut self,
        plan: &Plan,
        key: &str,
        (old, restored): (&Values, Option<&Values>),
        tell: impl Fn(ColumnIx, &LogValue<'_>) -> bool,
    ) {
        let fields: Vec<(ColumnIx, LogValue<'_>)> = plan
            .both
            .iter()
            .zip(old)
            .map(|((_, column), text)| (*column, said(text.as_deref())))
            .filter(|(column, value)| tell(*column, value))
            .collect();
        let differs = |column: ColumnIx| {
            let at = plan.both.iter().position(|(_, c)| *c == column);
            at.zip(restored).is_some_and(|(at, restored)| old[at] != restored[at])
        };
        let left_out = LeftOut {
            by_bad: self.sieve.is_as_bad(plan.entity, &fields, differs),
            by_t: false,
            inserts: false,
        };
        let by = self.stamp(plan.entity, key, false);
        let at = (plan.entity, key);
        self.fold
            .gather(&mut self.batch, at, Says::Exists, (by, left_out), &fields);
    }

    /// An event that the row is not there.
    fn gone(&mut self, entity: EntityIx, key: &str) {
        let by = self.stamp(entity, key, true);
        self.fold.gather(
            &mut self.batch,
            (entity, key),
            Says::Gone,
            (by, LeftOut::default()),
            &[],
        );
    }

    fn stamp(&mut self, entity: EntityIx, key: &str, gone: bool) -> Stamp {
        self.events += 1;
        let number = self.parts[entity].add_row(key, gone);
        Stamp::new(0, None, (self.source.ix, entity, number), Some(self.at))
    }

    /// What another log names is asked of the old instance too. Where it says the same, the log's events stay the evidence;
    /// where it does not, or says more, its own word is as of its snapshot.
    pub(super) async fn named(&mut self, plan: &Plan) -> Result<()> {
        const BATCH: usize = 4_096;
        let others = self.others;
        for keys in others.keys(plan.entity) {
            for keys in keys.chunks(BATCH) {
                self.check_cancelled()?;
                let mut keys = keys.to_vec();
                keys.sort_unstable();
                let found = self.old_rows(plan, &keys).await?;
                for key in &keys {
                    self.one_named(plan, key, found.get(key).map(Vec::as_slice));
                }
                self.fold.fold(&mut self.batch);
            }
        }
        Ok(())
    }

    fn one_named(&mut self, plan: &Plan, key: &str, old: Option<&Values>) {
        let entity = plan.entity;
        let known: Option<HashMap<ColumnIx, (LogKind, Box<str>)>> = self.others.read(entity, key, |row| {
            let fields = row.fields().map(|f| {
                let value = f.value();
                (f.column, (value.kind, value.text.as_ref().into()))
            });
            row.exists().then(|| fields.collect())
        });
        match (old, known) {
            (None, None) => {}
            (None, Some(_)) => self.gone(entity, key),
            (Some(old), None) => self.exists(plan, key, (old, None), |_, _| true),
            (Some(old), Some(known)) => {
                let tables = self.input.catalogue;
                let told = |column: ColumnIx, value: &LogValue<'_>| {
                    let ty = &tables.tables[entity].columns[usize::from(column)].ty;
                    let text = (value.kind != LogKind::Null).then_some(value.text.as_ref());
                    known.get(&column).is_none_or(|(kind, log)| {
                        let log = LogValue::new(*kind, log.as_ref());
                        value::same(ty, &log, text) != Same::Yes
                    })
                };
                let more = plan
                    .both
                    .iter()
                    .zip(old)
                    .any(|((_, column), text)| told(*column, &said(text.as_deref())));
                if more {
                    self.exists(plan, key, (old, None), told);
                }
            }
        }
    }
}

/// A column's text as a log says it.
fn said(text: Option<&str>) -> LogValue<'_> {
    match text {
        Some(text) => LogValue::new(LogKind::Text, text),
        None => LogValue::new(LogKind::Null, ""),
    }
}

async fn read<D: Restored>(
    database: &mut D,
    table: &Table,
    entity: EntityIx,
    keys: &[String],
    columns: &[ColumnIx],
) -> Result<Found> {
    let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut found = Found::with_capacity(keys.len());
    let mut each = |row: crate::restored::Row<'_>| {
        let values = row.values().map(|v| v.map(Into::into)).collect();
        found.insert(row.key().to_owned(), values);
    };
    rows_by_key(database, table, entity, &asked, columns, &mut each).await?;
    Ok(found)
}

/// Ids that were looked at, in whichever length they were seen first.
pub(super) type SeenIds = HashSet<(EntityIx, Box<str>)>;

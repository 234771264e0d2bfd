//! Proof: the restored database is read again for what was decided.

use super::verdict::{self, Now, Pair, RowId, Sought, Values};
use crate::config::Config;
use crate::domain::case::{FamilyRow, State, Verb};
use crate::domain::finding::{Kind, Missing};
use crate::domain::progress::{Progress, Stage};
use crate::domain::queue::CaseFile;
use crate::domain::schema::{ColumnIx, EntityIx, ORDER};
use crate::domain::value::{self, ColumnType, Same};
use crate::domain::{Error, Result};
use crate::ledger::Ledger;
use crate::restored::{Lookup, Restored, rows_by_key};
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeSet;

/// What came of it, in cases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Proven {
    /// Hold, and are settled.
    pub proven: u64,
    /// Were done and do not hold: open again.
    pub disproven: u64,
    /// Are not done yet.
    pub waiting: u64,
    /// Nobody can tell.
    pub unclear: u64,
}

/// What to read: keys, and tuples of other columns.
#[derive(Default)]
struct Wanted {
    keys: HashMap<EntityIx, BTreeSet<String>>,
    sought: HashSet<Sought>,
}

impl Wanted {
    fn key(&mut self, entity: EntityIx, key: &str) {
        self.keys.entry(entity).or_default().insert(key.to_owned());
    }

    fn target(&mut self, now: &Now<'_>, missing: &Missing) {
        match (&missing.column, now.entity(&missing.entity)) {
            (None, Some((ix, _))) => self.key(ix, &missing.key),
            _ => self.sought.extend(verdict::target(now, missing)),
        }
    }
}

/// Reads again what the decided cases say they did, all of them or those asked for, and notes in the ledger what holds.
pub async fn prove<R: Restored>(
    config: &Config,
    ledger: &mut Ledger,
    restored: &mut R,
    ids: Option<&[String]>,
    progress: &Progress,
) -> Result<Proven> {
    let files: Vec<CaseFile> = ledger
        .to_prove(ids)?
        .into_iter()
        // The decision itself is the proof; there is nothing to read.
        .filter(|f| f.decision.as_ref().is_some_and(|d| d.verb != Verb::Keep))
        .collect();
    let mut counts = Proven::default();
    if files.is_empty() {
        return Ok(counts);
    }
    progress.begin(Stage::Connecting, 0);
    let catalogue = restored.catalogue(&config.schema).await?;
    restored.snapshot(&catalogue).await?;
    let mut now = Now {
        schema: &config.schema,
        catalogue: &catalogue,
        rows: HashMap::new(),
        sought: HashMap::new(),
        equal: HashSet::new(),
    };
    let mut blockers = Vec::with_capacity(files.len());
    for file in &files {
        blockers.push(blockers_of(ledger, file)?);
    }
    progress.begin(Stage::Comparing, files.len() as u64);
    let mut wanted = Wanted::default();
    for (file, blockers) in files.iter().zip(&blockers) {
        want(&now, file, blockers, &mut wanted);
    }
    read(restored, &mut now, wanted).await?;
    // What the repaired references name is known only now.
    let mut wanted = Wanted::default();
    for file in &files {
        for (row, r) in file
            .found
            .family
            .iter()
            .flat_map(|row| row.refs.iter().map(move |r| (row, r)))
        {
            if let Some(other) = verdict::repointed(&now, row, r).filter(|_| !r.present) {
                wanted.target(&now, &other);
            }
        }
    }
    read(restored, &mut now, wanted).await?;
    let rows = files
        .iter()
        .chain(blockers.iter().flatten())
        .flat_map(|f| &f.found.family);
    ask_server(restored, &mut now, rows).await?;
    for (file, blockers) in files.iter().zip(&blockers) {
        let (holds, read) = verdict::verdict(&now, file, blockers);
        match (holds, ledger.prove(&file.found.id, holds, &read)?) {
            (_, State::Proven) => counts.proven += 1,
            (Some(false), State::Open) => counts.disproven += 1,
            (None, _) => counts.unclear += 1,
            _ => counts.waiting += 1,
        }
        progress.add(1);
    }
    progress.begin(Stage::Done, 0);
    Ok(counts)
}

/// The key under which the order of a case is in the restored database now, by its identity or as its own row; `None` where
/// it is not there.
///
/// Fails where the database cannot be read, or where no table of orders is mapped.
pub async fn whereabouts<R: Restored>(config: &Config, restored: &mut R, file: &CaseFile) -> Result<Option<String>> {
    let catalogue = restored.catalogue(&config.schema).await?;
    restored.snapshot(&catalogue).await?;
    let mut now = Now {
        schema: &config.schema,
        catalogue: &catalogue,
        rows: HashMap::new(),
        sought: HashMap::new(),
        equal: HashSet::new(),
    };
    let Some((orders, _)) = now.entity(ORDER) else {
        return Err(Error::failed("no table of orders is mapped").cure("add [schema.order]"));
    };
    let mut wanted = Wanted::default();
    if let Some(key) = &file.found.order {
        wanted.key(orders, key);
    }
    wanted.sought.extend(verdict::identity_of(&now, file));
    read(restored, &mut now, wanted).await?;
    ask_server(restored, &mut now, file.found.family.iter()).await?;
    Ok(now.whereabouts(file).map(|(_, key)| key))
}

/// The cases whose log tells what a missing row was.
fn blockers_of(ledger: &Ledger, file: &CaseFile) -> Result<Vec<CaseFile>> {
    let verb = file.decision.as_ref().map(|d| d.verb);
    let mut blockers = Vec::new();
    if matches!(verb, Some(Verb::Reapply | Verb::Relink)) {
        for id in &file.found.blocked_by {
            blockers.extend(ledger.case(id)?);
        }
    }
    Ok(blockers)
}

fn want(now: &Now<'_>, file: &CaseFile, blockers: &[CaseFile], wanted: &mut Wanted) {
    let case = &file.found;
    let in_doubt = case
        .findings
        .iter()
        .filter(|f| f.kind == Kind::InDoubt)
        .flat_map(|f| &f.rows);
    let named = case.findings.iter().map(|f| (&f.entity, &f.key));
    for (entity, key) in named.chain(in_doubt.map(|r| (&r.entity, &r.key))) {
        if let Some((ix, _)) = now.entity(entity) {
            wanted.key(ix, key);
        }
    }
    for row in case.family.iter().filter(|r| r.refs.iter().any(|r| !r.present)) {
        if let Some((ix, _)) = now.entity(&row.entity) {
            wanted.key(ix, &row.key);
        }
    }
    for missing in &case.missing {
        wanted.target(now, missing);
    }
    for row in blockers.iter().flat_map(|b| &b.found.family) {
        if let Some((ix, _)) = now
            .entity(&row.entity)
            .filter(|_| case.missing.iter().any(|m| m.entity == row.entity))
        {
            wanted.key(ix, &row.key);
        }
    }
    let Some((orders, _)) = now.entity(ORDER) else { return };
    if let Some(key) = &case.order {
        wanted.key(orders, key);
    }
    match file.decision.as_ref().map(|d| d.verb) {
        Some(Verb::Resubmit | Verb::Cancel) => wanted.sought.extend(verdict::identity_of(now, file)),
        Some(Verb::Supersede) => {
            if let Some(to) = verdict::other_order(file) {
                wanted.key(orders, to);
                wanted.sought.extend(verdict::by_label(now, to));
            }
        }
        _ => {}
    }
}

/// Reads the wanted rows with all their columns, and the keys of what was sought otherwise with theirs.
async fn read<R: Restored>(restored: &mut R, now: &mut Now<'_>, wanted: Wanted) -> Result<()> {
    let mut keys = wanted.keys;
    let mut by_columns: HashMap<(EntityIx, Vec<ColumnIx>), Vec<Vec<String>>> = HashMap::new();
    for (entity, columns, tuple) in wanted.sought {
        by_columns.entry((entity, columns)).or_default().push(tuple);
    }
    for ((entity, columns), tuples) in by_columns {
        let table = &now.catalogue.tables[entity];
        let types: Vec<&ColumnType> = columns.iter().map(|c| &table.columns[usize::from(*c)].ty).collect();
        let wanted: HashSet<&Vec<String>> = tuples.iter().collect();
        let asked: Vec<Vec<String>> = tuples.iter().flat_map(|t| value::spellings(&types, t)).collect();
        let asked: Vec<Vec<&str>> = asked.iter().map(|t| t.iter().map(String::as_str).collect()).collect();
        let lookup = Lookup::Values {
            columns: &columns,
            tuples: &asked,
        };
        let sought = &mut now.sought;
        let mut each = |row: crate::restored::Row<'_>| {
            let there: Vec<String> = row.values().map(|v| v.unwrap_or_default().to_owned()).collect();
            let normal = value::normal(&types, &there);
            if wanted.contains(&normal) {
                keys.entry(entity).or_default().insert(row.key().to_owned());
                let key = sought
                    .entry((entity, columns.clone(), normal))
                    .or_insert_with(|| row.key().into());
                if row.key() < &**key {
                    *key = row.key().into();
                }
            }
        };
        restored.rows(entity, lookup, &columns, &mut each).await?;
    }
    for (entity, keys) in keys {
        let unread: Vec<&str> = keys
            .iter()
            .map(String::as_str)
            .filter(|key| now.row(entity, key).is_none())
            .collect();
        if unread.is_empty() {
            continue;
        }
        let columns: Vec<ColumnIx> = (0..).take(now.catalogue.tables[entity].columns.len()).collect();
        let rows = &mut now.rows;
        let mut read: Vec<(RowId, Values)> = Vec::new();
        let mut each = |row: crate::restored::Row<'_>| {
            read.push((
                (entity, row.key().into()),
                row.values().map(|v| v.map(Into::into)).collect(),
            ));
        };
        rows_by_key(
            restored,
            &now.catalogue.tables[entity],
            entity,
            &unread,
            &columns,
            &mut each,
        )
        .await?;
        rows.extend(read);
    }
    Ok(())
}

/// Settles the comparisons that only the server can, one round a column.
async fn ask_server<R: Restored>(
    restored: &mut R,
    now: &mut Now<'_>,
    rows: impl Iterator<Item = &FamilyRow>,
) -> Result<()> {
    let mut open: HashMap<(EntityIx, ColumnIx), BTreeSet<(String, String)>> = HashMap::new();
    for row in rows {
        let Some((ix, _)) = now.entity(&row.entity) else {
            continue;
        };
        let Some(there) = now.row(ix, &row.key) else { continue };
        for (column, _, log) in verdict::log_fields(now, ix, row) {
            let ty = &now.catalogue.tables[ix].columns[usize::from(column)].ty;
            let there = there.get(usize::from(column)).and_then(Option::as_deref);
            if value::same(ty, &log, there) == Same::AskServer {
                let (.., log, there) = verdict::pair(ty, ix, column, &log, there);
                open.entry((ix, column)).or_default().insert((log, there));
            }
        }
    }
    for ((entity, column), pairs) in open {
        let asked: Vec<(String, String)> = pairs.into_iter().collect();
        let answers = restored
            .equal(&now.catalogue.tables[entity].columns[usize::from(column)], &asked)
            .await?;
        let equal = asked.into_iter().zip(answers).filter(|(_, equal)| *equal);
        now.equal
            .extend(equal.map(|((log, there), _)| -> Pair { (entity, column, log, there) }));
    }
    Ok(())
}

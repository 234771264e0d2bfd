//! Whether a decision came true, told from the rows as they are now. Pure: [`super::prove`] reads them.

use crate::domain::case::{FamilyRef, FamilyRow, Verb};
use crate::domain::finding::{Finding, Kind, Missing};
use crate::domain::queue::CaseFile;
use crate::domain::schema::{Catalogue, ColumnIx, Entity, EntityIx, ORDER, Schema};
use crate::domain::value::{self, ColumnType, LogKind, LogValue, Same};
use crate::resolve::steps;
use hashbrown::{HashMap, HashSet};
use serde_json::Value as Json;

/// A look-up by columns: entity, columns, the tuple as [`value::normal`] writes it.
pub(super) type Sought = (EntityIx, Vec<ColumnIx>, Vec<String>);
/// Two texts that only the server can compare, and their column.
pub(super) type Pair = (EntityIx, ColumnIx, String, String);

/// A row: its entity and its key.
pub(super) type RowId = (EntityIx, Box<str>);
/// All columns of a row; `None` is SQL null.
pub(super) type Values = Vec<Option<Box<str>>>;

/// What was read again.
pub(super) struct Now<'a> {
    pub schema: &'a Schema,
    pub catalogue: &'a Catalogue,
    /// All columns of the rows under the keys asked for; those that are not there are absent.
    pub rows: HashMap<RowId, Values>,
    /// What was sought by other columns and is there: the lowest key that has it.
    pub sought: HashMap<Sought, Box<str>>,
    /// What the server called equal.
    pub equal: HashSet<Pair>,
}

/// Holds, does not hold, or nobody can tell; and what was read.
pub(super) type Verdict = (Option<bool>, String);

/// How a row of the log stands in the restored database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stands {
    /// It is not there.
    Absent,
    /// Its key belongs to another.
    Reused,
    /// As the log says, in every compared field.
    Equal,
    /// The order system went on from there: its state comes after the log's.
    Past,
    /// It differs; in words.
    Differs(String),
}

/// What of a log's value a comparison needs.
pub(super) fn log_value(json: &Json, coarse: Option<LogKind>) -> LogValue<'static> {
    match json {
        Json::Null => LogValue::NULL,
        Json::Bool(b) => LogValue::new(LogKind::Bool, b.to_string()),
        Json::Number(n) => LogValue::new(coarse.unwrap_or(LogKind::Number), n.to_string()),
        Json::String(s) => LogValue::new(coarse.unwrap_or(LogKind::Text), s.clone()),
        other => LogValue::new(LogKind::Json, other.to_string()),
    }
}

/// The fields of a row that the log speaks of, with their columns.
pub(super) fn log_fields<'r>(
    now: &Now<'_>,
    entity: EntityIx,
    row: &'r FamilyRow,
) -> Vec<(ColumnIx, &'r str, LogValue<'static>)> {
    row.fields
        .iter()
        .filter_map(|f| {
            let column = now.catalogue.tables[entity].column(&f.name)?;
            Some((column, f.name.as_str(), log_value(f.said()?, f.coarse)))
        })
        .collect()
}

impl<'a> Now<'a> {
    pub fn entity(&self, name: &str) -> Option<(EntityIx, &'a Entity)> {
        let ix = self.schema.index(name)?;
        Some((ix, self.schema.entities.get(ix)?))
    }

    pub fn row(&self, entity: EntityIx, key: &str) -> Option<&[Option<Box<str>>]> {
        self.rows.get(&(entity, Box::from(key))).map(Vec::as_slice)
    }

    fn value(&self, entity: EntityIx, key: &str, column: &str) -> Option<&str> {
        let ix = self.catalogue.tables[entity].column(column)?;
        self.row(entity, key)?.get(usize::from(ix))?.as_deref()
    }

    fn ty(&self, entity: EntityIx, column: ColumnIx) -> &'a ColumnType {
        &self.catalogue.tables[entity].columns[usize::from(column)].ty
    }

    fn same(&self, entity: EntityIx, column: ColumnIx, log: &LogValue<'_>, there: Option<&str>) -> bool {
        let ty = self.ty(entity, column);
        match value::same(ty, log, there) {
            Same::Yes => true,
            Same::No => false,
            Same::AskServer => self.equal.contains(&pair(ty, entity, column, log, there)),
        }
    }

    /// How a row of a case stands against what the log says of it.
    pub fn stands(&self, row: &FamilyRow) -> Option<Stands> {
        let (ix, entity) = self.entity(&row.entity)?;
        let Some(there) = self.row(ix, &row.key) else {
            return Some(Stands::Absent);
        };
        let at = |column: ColumnIx| there.get(usize::from(column)).and_then(Option::as_deref);
        let fields = log_fields(self, ix, row);
        let unequal: Vec<&(ColumnIx, &str, LogValue<'_>)> = fields
            .iter()
            .filter(|(column, _, log)| !self.same(ix, *column, log, at(*column)))
            .collect();
        let is_identity = |name: &str| entity.identity.iter().any(|i| i == name);
        let reused = unequal
            .iter()
            .any(|(column, name, log)| is_identity(name) && log.kind != LogKind::Null && at(*column).is_some());
        if reused {
            return Some(Stands::Reused);
        }
        let table = &self.catalogue.tables[ix];
        let differing: Vec<String> = unequal
            .iter()
            .filter(|(column, name, _)| !entity.ignore.iter().any(|i| i == name) && !table.key.contains(column))
            .map(|(column, name, log)| differs(entity, name, at(*column), log))
            .collect();
        if differing.is_empty() {
            return Some(Stands::Equal);
        }
        Some(match self.progress(row, None) {
            Some(std::cmp::Ordering::Greater) => Stands::Past,
            _ => Stands::Differs(differing.join(", ")),
        })
    }

    /// Whether a row that differs from the log was given the log's values, and went on from there: its state is not
    /// behind the log's, something that the decision writes is as the log says, and nothing stands as it did before.
    fn went_on(&self, row: &FamilyRow, finding: &Finding) -> bool {
        let Some((ix, entity)) = self.entity(&row.entity) else {
            return false;
        };
        let Some(there) = self.row(ix, &row.key) else {
            return false;
        };
        let table = &self.catalogue.tables[ix];
        // A row that was not there is written whole: what differs in it may as well be written wrong.
        if finding.kind == Kind::Lost || finding.there_at_opening == Some(false) {
            return false;
        }
        let at_or_past = self.progress(row, None).is_some_and(std::cmp::Ordering::is_ge);
        let mut written = false;
        for (column, name, log) in log_fields(self, ix, row) {
            if entity.ignore.iter().any(|i| i == name) || table.key.contains(&column) {
                continue;
            }
            let value = there.get(usize::from(column)).and_then(Option::as_deref);
            let damaged = finding.fields.iter().find(|f| f.name == name);
            let is_state = entity.state.as_deref() == Some(name);
            if self.same(ix, column, &log, value) {
                written |= damaged.is_some();
                continue;
            }
            if is_state {
                if !at_or_past {
                    return false;
                }
                written = true;
                continue;
            }
            let now = value::json(self.ty(ix, column), value);
            if damaged.is_some_and(|field| now == *field.opening.as_ref().unwrap_or(&field.restored)) {
                return false;
            }
        }
        written
    }

    /// How the row's state now compares with the log's, or, where the log names none, with `seen`; `None` where the
    /// states are not in order.
    fn progress(&self, row: &FamilyRow, seen: Option<&str>) -> Option<std::cmp::Ordering> {
        let (ix, entity) = self.entity(&row.entity)?;
        let column = entity.state.as_deref()?;
        let now = self.value(ix, &row.key, column)?;
        let field = row.fields.iter().find(|f| f.name == column);
        let log = field.and_then(|f| f.log.as_ref()?.as_str()).or(seen)?;
        let place = |state: &str| entity.states.iter().position(|s| s == state);
        if now == log {
            return Some(std::cmp::Ordering::Equal);
        }
        Some(place(now)?.cmp(&place(log)?))
    }

    /// Where an order is now: under its key, or under another with the same identity.
    pub fn whereabouts(&self, file: &CaseFile) -> Option<(EntityIx, String)> {
        let (ix, _) = self.entity(ORDER)?;
        if let Some(row) = order_row(file) {
            match self.stands(row) {
                None | Some(Stands::Absent | Stands::Reused) => {}
                Some(_) => return Some((ix, row.key.clone())),
            }
        } else if let Some(key) = &file.found.order
            && self.row(ix, key).is_some()
        {
            return Some((ix, key.clone()));
        }
        let sought = identity_of(self, file)?;
        self.sought.get(&sought).map(|key| (ix, key.to_string()))
    }

    /// Whether what was missing is there, and is what was missing.
    fn is_there(&self, missing: &Missing, blockers: &[CaseFile]) -> bool {
        let Some((ix, entity)) = self.entity(&missing.entity) else {
            return false;
        };
        if missing.column.is_some() {
            return target(self, missing).is_some_and(|s| self.sought.contains_key(&s));
        }
        if self.row(ix, &missing.key).is_none() {
            return false;
        }
        // Under a reused key stands another row: only the log of the case it was lost with can tell.
        entity.identity.is_empty()
            || blockers
                .iter()
                .flat_map(|b| &b.found.family)
                .filter(|r| r.entity == missing.entity && r.key == missing.key)
                .any(|r| !matches!(self.stands(r), Some(Stands::Absent | Stands::Reused)))
    }
}

/// Two values as the server would be asked to compare them.
pub(super) fn pair(
    ty: &ColumnType,
    entity: EntityIx,
    column: ColumnIx,
    log: &LogValue<'_>,
    there: Option<&str>,
) -> Pair {
    let log = value::input_text(ty, log).unwrap_or_default().into_owned();
    (entity, column, log, there.unwrap_or_default().to_owned())
}

/// The columns by which the case's order is found under whatever key: its identity, else its label.
pub(super) fn identity_of(now: &Now<'_>, file: &CaseFile) -> Option<Sought> {
    let (ix, entity) = now.entity(ORDER)?;
    let table = &now.catalogue.tables[ix];
    let row = order_row(file);
    let log = |column: &String| {
        let field = row?.fields.iter().find(|f| f.name == *column)?;
        let value = log_value(field.log.as_ref()?, field.coarse);
        let ty = now.ty(ix, table.column(column)?);
        value::key_text(ty, &value).map(std::borrow::Cow::into_owned)
    };
    let of_columns = |columns: &[String]| -> Option<Sought> {
        let ixs: Vec<ColumnIx> = columns.iter().map(|c| table.column(c)).collect::<Option<_>>()?;
        let tuple: Vec<String> = columns.iter().map(log).collect::<Option<_>>()?;
        let types: Vec<&ColumnType> = ixs.iter().map(|c| now.ty(ix, *c)).collect();
        (!ixs.is_empty()).then(|| (ix, ixs, value::normal(&types, &tuple)))
    };
    of_columns(&entity.identity).or_else(|| by_label(now, &file.found.label))
}

/// The order that people call so.
pub(super) fn by_label(now: &Now<'_>, label: &str) -> Option<Sought> {
    let (ix, entity) = now.entity(ORDER)?;
    let column = now.catalogue.tables[ix].column(entity.label.as_ref()?)?;
    let normal = value::normal(&[now.ty(ix, column)], &[label.to_owned()]);
    Some((ix, vec![column], normal))
}

/// A reference's target by another column than the key.
pub(super) fn target(now: &Now<'_>, missing: &Missing) -> Option<Sought> {
    let (ix, _) = now.entity(&missing.entity)?;
    let column = now.catalogue.tables[ix].column(missing.column.as_ref()?)?;
    let normal = value::normal(&[now.ty(ix, column)], std::slice::from_ref(&missing.key));
    Some((ix, vec![column], normal))
}

/// What a repaired reference names now: the same target column with another value.
pub(super) fn repointed(now: &Now<'_>, row: &FamilyRow, r: &FamilyRef) -> Option<Missing> {
    let (ix, _) = now.entity(&row.entity)?;
    let named = now.value(ix, &row.key, &r.column)?;
    let named = key_of(now, &r.to, named);
    (named != r.to.key).then(|| Missing {
        key: named,
        ..r.to.clone()
    })
}

/// A referring value as the key that it names is spelled.
fn key_of(now: &Now<'_>, to: &Missing, named: &str) -> String {
    let ty = now
        .entity(&to.entity)
        .filter(|_| to.column.is_none())
        .and_then(|(ix, _)| {
            let table = &now.catalogue.tables[ix];
            match table.key[..] {
                [only] => Some(now.ty(ix, only)),
                _ => None,
            }
        });
    ty.and_then(|ty| value::key_text(ty, &LogValue::new(LogKind::Text, named)))
        .map_or_else(|| named.to_owned(), std::borrow::Cow::into_owned)
}

/// The order that `supersede --to` names: a case, a key or a label.
pub(super) fn other_order(file: &CaseFile) -> Option<&str> {
    let to = file.decision.as_ref()?.to.as_deref()?;
    Some(to.strip_prefix("order:").unwrap_or(to))
}

fn order_row(file: &CaseFile) -> Option<&FamilyRow> {
    let case = &file.found;
    let own = |r: &&FamilyRow| r.entity == ORDER && case.order.as_ref().is_none_or(|key| *key == r.key);
    case.family.iter().find(own)
}

fn differs(entity: &Entity, name: &str, there: Option<&str>, log: &LogValue<'_>) -> String {
    if entity.mask.iter().any(|m| m == name) {
        return format!("{name} differs");
    }
    let log = match log.kind {
        LogKind::Null => "null",
        _ => &log.text,
    };
    format!(
        "{name} is {}, the log says {}",
        steps::cut(there.unwrap_or("null")),
        steps::cut(log)
    )
}

/// Whether the decision on this case came true.
pub(super) fn verdict(now: &Now<'_>, file: &CaseFile, blockers: &[CaseFile]) -> Verdict {
    let Some(decision) = &file.decision else {
        return (None, "nothing is decided".to_owned());
    };
    match decision.verb {
        Verb::Reapply => all([rows_as_logged(now, file), references(now, file, blockers)]),
        Verb::Relink => all([rows_back(now, file), references(now, file, blockers)]),
        Verb::Resubmit => resubmitted(now, file),
        Verb::Cancel => cancelled(now, file),
        Verb::Complete => completed(now, file),
        Verb::Supersede => superseded(now, file),
        Verb::Keep => (Some(true), "kept as restored".to_owned()),
        Verb::Park | Verb::Escalate => (None, "put off, not settled".to_owned()),
    }
}

/// The first that does not hold, else the first that cannot be told, else all that was read.
fn all(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let verdicts: Vec<Verdict> = verdicts.into_iter().collect();
    for wanted in [Some(false), None] {
        if let Some(found) = verdicts.iter().find(|(holds, _)| *holds == wanted) {
            return found.clone();
        }
    }
    let read: Vec<String> = verdicts
        .into_iter()
        .map(|(_, read)| read)
        .filter(|r| !r.is_empty())
        .collect();
    (Some(true), read.join("; "))
}

/// The case's rows with such a finding.
fn rows_with<'f>(
    file: &'f CaseFile,
    kinds: &'f [Kind],
) -> impl Iterator<Item = (&'f Finding, String, Option<&'f FamilyRow>)> {
    let case = &file.found;
    case.findings.iter().filter(|f| kinds.contains(&f.kind)).map(move |f| {
        let row = case.family.iter().find(|r| r.entity == f.entity && r.key == f.key);
        (f, steps::name(case, &f.entity, &f.key), row)
    })
}

/// Every row that was lost, regressed or undeleted is as the log says, or further.
fn rows_as_logged(now: &Now<'_>, file: &CaseFile) -> Verdict {
    let (mut equal, mut past, mut went_on, mut deleted) = (0, 0, 0, 0);
    for (finding, name, row) in rows_with(file, &[Kind::Lost, Kind::Regressed, Kind::Undeleted]) {
        let Some(stands) = row.and_then(|r| now.stands(r)) else {
            return (None, format!("{name} is not mapped to a table any more"));
        };
        match (finding.kind, stands) {
            (Kind::Undeleted, Stands::Absent | Stands::Reused) => deleted += 1,
            (Kind::Undeleted, _) => return (Some(false), format!("{name} is still there")),
            (_, Stands::Absent) => return (Some(false), format!("{name} is not there")),
            (_, Stands::Reused) => return (Some(false), format!("the key of {name} belongs to another")),
            (_, Stands::Differs(how)) => match row.filter(|r| now.went_on(r, finding)) {
                Some(_) => went_on += 1,
                None => return (Some(false), format!("{name}: {how}")),
            },
            (_, Stands::Equal) => equal += 1,
            (_, Stands::Past) => past += 1,
        }
    }
    let words = [
        (equal, "as the log says"),
        (past, "further than the log says"),
        (went_on, "as the log says, and moved on from there"),
        (deleted, "deleted"),
    ];
    let words: Vec<String> = words
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {} {what}", if n == 1 { "row" } else { "rows" }))
        .collect();
    (Some(true), words.join(", "))
}

/// Every lost row is there again, whatever it holds.
fn rows_back(now: &Now<'_>, file: &CaseFile) -> Verdict {
    for (_, name, row) in rows_with(file, &[Kind::Lost]) {
        match row.and_then(|r| now.stands(r)) {
            None => return (None, format!("{name} is not mapped to a table any more")),
            Some(Stands::Absent) => return (Some(false), format!("{name} is not there")),
            Some(Stands::Reused) => return (Some(false), format!("the key of {name} belongs to another")),
            Some(_) => {}
        }
    }
    (Some(true), String::new())
}

/// Every reference that lacked its row has it, or names another that is there.
fn references(now: &Now<'_>, file: &CaseFile, blockers: &[CaseFile]) -> Verdict {
    let case = &file.found;
    let mut named_by_rows = HashSet::new();
    for row in &case.family {
        for r in row.refs.iter().filter(|r| case.lacks(r)) {
            named_by_rows.insert(&r.to);
            let Some((ix, _)) = now.entity(&row.entity) else {
                return (None, format!("{} is not mapped to a table any more", row.entity));
            };
            let null_now = now.row(ix, &row.key).is_some() && now.value(ix, &row.key, &r.column).is_none();
            let was = row.fields.iter().find(|f| f.name == r.column);
            let null_before = row.restored
                && was
                    .and_then(|f| f.restored.as_ref())
                    .is_none_or(serde_json::Value::is_null);
            // A reference that was null all along was not cleared by anybody, and a relinked one must name a row.
            let cleared = null_now && !null_before && !relinks(file, &r.column);
            let repaired = cleared
                || match repointed(now, row, r) {
                    Some(other) => points_at_something(now, &other),
                    None => now.is_there(&r.to, blockers),
                };
            if !repaired {
                let name = steps::name(case, &row.entity, &row.key);
                if null_now {
                    return (Some(false), format!("{name}: {} names nothing", r.column));
                }
                let named = repointed(now, row, r).unwrap_or_else(|| r.to.clone());
                let named = now.schema.key_shown(&named);
                return (
                    Some(false),
                    format!("{name}: {} names {named}, which is not there", r.column),
                );
            }
        }
    }
    // A held order's message is no row that could be pointed elsewhere.
    let lacking = case
        .missing
        .iter()
        .find(|m| !named_by_rows.contains(m) && !now.is_there(m, blockers));
    if let Some(m) = lacking {
        return (
            Some(false),
            format!(
                "{} {} is not there",
                m.entity.replace('_', " "),
                now.schema.key_shown(m)
            ),
        );
    }
    let read = match case.missing.len() {
        0 => String::new(),
        1 => "what it refers to is there".to_owned(),
        n => format!("all {n} rows it refers to are there"),
    };
    (Some(true), read)
}

/// Whether the decision points this reference at another row.
fn relinks(file: &CaseFile, column: &str) -> bool {
    let decision = file.decision.as_ref().filter(|d| d.verb == Verb::Relink);
    decision.is_some_and(|d| d.reference.as_deref() == Some(column))
}

fn points_at_something(now: &Now<'_>, to: &Missing) -> bool {
    match (&to.column, now.entity(&to.entity)) {
        (None, Some((ix, _))) => now.row(ix, &to.key).is_some(),
        (Some(_), _) => target(now, to).is_some_and(|s| now.sought.contains_key(&s)),
        (None, None) => false,
    }
}

fn resubmitted(now: &Now<'_>, file: &CaseFile) -> Verdict {
    let label = &file.found.label;
    if now.entity(ORDER).is_none() {
        return (None, "no table of orders is mapped".to_owned());
    }
    match now.whereabouts(file) {
        Some((_, key)) => (Some(true), format!("{label} is there as order {key}")),
        None => (Some(false), format!("no order of the identity of {label} is there")),
    }
}

fn cancelled(now: &Now<'_>, file: &CaseFile) -> Verdict {
    let label = &file.found.label;
    let Some((_, entity)) = now.entity(ORDER) else {
        return (None, "no table of orders is mapped".to_owned());
    };
    let Some((ix, key)) = now.whereabouts(file) else {
        return (Some(false), format!("{label} is not there"));
    };
    let Some(column) = &entity.state else {
        return (None, "no state column is configured for orders".to_owned());
    };
    let state = now.value(ix, &key, column).unwrap_or("null");
    (
        Some(entity.cancelled.iter().any(|c| c == state)),
        format!("{label} is {}", steps::cut(state)),
    )
}

fn completed(now: &Now<'_>, file: &CaseFile) -> Verdict {
    use std::cmp::Ordering::Less;
    let evidence = file.decision.as_ref().and_then(|d| d.evidence.as_deref());
    if evidence.is_none_or(|e| e.trim().is_empty()) {
        return (Some(false), "no evidence is recorded".to_owned());
    }
    let mut unclear = None;
    let kinds = [Kind::Lost, Kind::Regressed, Kind::Contradicted];
    for (_, name, row) in rows_with(file, &kinds) {
        let Some((row, found)) = row.and_then(|r| Some((r, now.stands(r)?))) else {
            unclear = Some(format!("{name} is not mapped to a table any more"));
            continue;
        };
        match found {
            Stands::Equal | Stands::Past => {}
            Stands::Absent => return (Some(false), format!("{name} is not there")),
            Stands::Reused => return (Some(false), format!("the key of {name} belongs to another")),
            Stands::Differs(how) => match now.progress(row, None) {
                Some(Less) => return (Some(false), format!("{name}: {how}")),
                // At the log's state: what else differs was settled outside.
                Some(_) => {}
                None => unclear = Some(format!("{name}: {how}, and no order of states is configured")),
            },
        }
    }
    let in_doubt = file.found.findings.iter().filter(|f| f.kind == Kind::InDoubt);
    for at_opening in in_doubt.flat_map(|f| &f.rows) {
        let name = steps::name(&file.found, &at_opening.entity, &at_opening.key);
        let of_row = |r: &&FamilyRow| r.entity == at_opening.entity && r.key == at_opening.key;
        let Some(row) = file.found.family.iter().find(of_row) else {
            unclear = Some(format!("{name} is not known any more"));
            continue;
        };
        match now.progress(row, Some(&at_opening.state)) {
            Some(Less) => return (Some(false), format!("{name} stands before the log's state")),
            Some(_) => {}
            None => unclear = Some(format!("{name}: its state cannot be held against the log's")),
        }
    }
    match unclear {
        Some(why) => (None, format!("{why}; a lead may confirm it with `done`")),
        None => (
            Some(true),
            "evidence is recorded, and nothing stands before the log's state".to_owned(),
        ),
    }
}

fn superseded(now: &Now<'_>, file: &CaseFile) -> Verdict {
    let Some(to) = other_order(file) else {
        return (None, "no other order is named".to_owned());
    };
    let Some((ix, _)) = now.entity(ORDER) else {
        return (None, "no table of orders is mapped".to_owned());
    };
    let key = if now.row(ix, to).is_some() {
        Some(Box::from(to))
    } else {
        by_label(now, to).and_then(|s| now.sought.get(&s).cloned())
    };
    match key {
        Some(key) => (Some(true), format!("order {key} is there")),
        None => (Some(false), format!("order {} is not there", steps::cut(to))),
    }
}

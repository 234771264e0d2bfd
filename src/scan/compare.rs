//! Row by row: what the log says of a key against the row under that key.

use super::opening::{self, Baseline, Digest, Mark};
use super::{RowFinding, Scan};
use crate::domain::event::EventRef;
use crate::domain::finding::{FieldDiff, Kind};
use crate::domain::schema::{ColumnIx, EntityIx};
use crate::domain::value::{self, ColumnType, LogValue, Same};
use crate::domain::{Result, schema::Entity};
use crate::log::{LogRow, LogView, SourceGap};
use crate::restored::{Lookup, Restored, rows_by_key};
use hashbrown::HashMap;
use serde_json::Value as Json;

/// A row that is there and not surely equal, with the columns that are not.
struct Candidate<'a> {
    row: LogRow<'a>,
    unequal: Vec<Unequal<'a>>,
    digest: Digest,
}

struct Unequal<'a> {
    column: ColumnIx,
    log: LogValue<'a>,
    by: EventRef,
    restored: Option<Box<str>>,
    verdict: Same,
}

/// What is compared of an entity's rows.
struct Plan {
    columns: Vec<ColumnIx>,
    /// For each column of the table: where it stands in `columns`.
    at: Vec<Option<usize>>,
    identity: Vec<ColumnIx>,
    /// For each column of the table: compared, not only looked at for identity.
    compared: Vec<bool>,
}

/// How the rows of one entity are held against the opening.
struct Watch<'a> {
    /// What is known of it; `None` where this is the first look.
    opening: Option<&'a Baseline>,
    /// The names of the columns that the digests cover, and where they stand in [`Plan::columns`].
    columns: Vec<String>,
    at: Vec<usize>,
    /// What is learned by this look.
    marks: Vec<Mark>,
}

impl Watch<'_> {
    fn digest(&self, row: crate::restored::Row<'_>) -> Digest {
        Digest::of(self.at.iter().map(|at| row.value(*at)))
    }

    /// Notes how a row stands that was not looked at before.
    fn note(&mut self, key: &str, digest: Option<Digest>) {
        if self
            .opening
            .is_none_or(|known| !known.whole && known.get(key).is_none())
        {
            self.marks.push(Mark::new(key, digest));
        }
    }
}

impl<'a, R: Restored> Scan<'a, R> {
    /// All row findings of one entity.
    pub(super) async fn compare_entity(&mut self, entity: EntityIx, out: &mut Vec<RowFinding>) -> Result<()> {
        let log = self.log;
        let rows = log.compared(entity);
        if rows.is_empty() && !log.is_whole() && log.unnamed(entity).is_empty() {
            return Ok(());
        }
        let mut plan = self.plan(entity)?;
        let mut watch = self.watch(entity, &mut plan);
        if rows.is_empty() {
            self.remember(entity, watch, &[]);
            return Ok(());
        }
        let from = out.len();
        let keys: Vec<&str> = rows.iter().map(|row| row.key()).collect();
        let mut missing: HashMap<&str, LogRow<'_>> = HashMap::with_capacity(keys.len());
        for row in rows.iter().copied() {
            missing.insert(row.key(), row);
        }
        let types: Vec<&ColumnType> = self.catalogue.tables[entity].columns.iter().map(|c| &c.ty).collect();
        let mut candidates = Vec::new();
        let progress = self.progress;
        let mut each = |restored: crate::restored::Row<'_>| {
            progress.add(1);
            let Some(row) = missing.remove(restored.key()) else {
                return;
            };
            let digest = watch.digest(restored);
            watch.note(row.key(), Some(digest));
            let unequal: Vec<Unequal<'_>> = row
                .fields()
                .filter_map(|(column, log, by)| {
                    let at = (*plan.at.get(usize::from(column))?)?;
                    let there = restored.value(at);
                    let verdict = value::same(types[usize::from(column)], &log, there);
                    (verdict != Same::Yes).then(|| Unequal {
                        column,
                        log,
                        by,
                        restored: there.map(Into::into),
                        verdict,
                    })
                })
                .collect();
            if !unequal.is_empty() || !row.exists() {
                candidates.push(Candidate { row, unequal, digest });
            }
        };
        let table = &self.catalogue.tables[entity];
        rows_by_key(self.restored, table, entity, &keys, &plan.columns, &mut each).await?;
        drop(keys);
        for row in &rows {
            if let Some((a, b)) = row.contradicted() {
                let mut finding = RowFinding::new(entity, row.key(), Kind::Contradicted);
                finding.evidence = vec![log.evidence(a), log.evidence(b)];
                out.push(finding);
            } else if let Some(gap) = log.folded().gap_over(entity, row.key()) {
                out.push(self.covered(entity, row.key(), Some(*row), gap));
            }
        }
        for key in log.unnamed(entity) {
            if let Some(gap) = log.folded().gap_over(entity, key) {
                out.push(self.covered(entity, key, None, gap));
            }
        }
        self.ask_server(entity, &mut candidates).await?;
        self.classify(entity, &plan, &watch, candidates, out).await?;
        for key in missing.keys() {
            watch.note(key, None);
        }
        let mut lost: Vec<LogRow<'_>> = missing.into_values().filter(|row| row.exists()).collect();
        lost.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        self.lost_or_moved(entity, &plan, &watch, &lost, out).await?;
        self.remember(entity, watch, &out[from..]);
        Ok(())
    }

    /// A gap covers the row: what was said of it last, if anything was, may not be the last that happened to it.
    fn covered(&self, entity: EntityIx, key: &str, row: Option<LogRow<'_>>, gap: &SourceGap) -> RowFinding {
        let mut finding = RowFinding::new(entity, key, Kind::Contradicted);
        let last = row.and_then(|row| row.events().last().copied());
        finding.evidence = last.into_iter().map(|by| self.log.evidence(by)).collect();
        finding.evidence.push(self.log.folded().evidence_of_gap(gap));
        finding
    }

    /// What is known of the entity's rows at the opening. The columns of its digests are read along, ignored by now or not.
    fn watch(&mut self, entity: EntityIx, plan: &mut Plan) -> Watch<'a> {
        let mapped: &Entity = &self.schema.entities[entity];
        let table = &self.catalogue.tables[entity];
        let known = self.past.opening.as_ref().and_then(|o| o.table(&mapped.name));
        let mut watch = Watch {
            opening: known,
            columns: known.map(|k| k.columns.clone()).unwrap_or_default(),
            at: Vec::new(),
            marks: Vec::new(),
        };
        if known.is_none() {
            let compared = table
                .columns
                .iter()
                .zip(&plan.compared)
                .filter(|(_, compared)| **compared);
            watch.columns = compared.map(|(column, _)| column.name.clone()).collect();
        }
        for name in &watch.columns {
            let Some(ix) = table.column(name) else {
                self.warnings.push(format!(
                    "{}: column {name:?} was there at the opening and is not any more: what moved since then cannot be told \
                     from what the restore damaged",
                    mapped.name
                ));
                watch.opening = None;
                watch.at.clear();
                break;
            };
            let at = plan.columns.iter().position(|c| *c == ix).unwrap_or_else(|| {
                plan.columns.push(ix);
                plan.columns.len() - 1
            });
            watch.at.push(at);
        }
        watch
    }

    /// Keeps what this look learned: rows not looked at before, and findings that the log brought since.
    fn remember(&mut self, entity: EntityIx, mut watch: Watch<'_>, findings: &[RowFinding]) {
        let mapped: &Entity = &self.schema.entities[entity];
        if watch.at.len() < watch.columns.len() {
            return;
        }
        let mut learned = Baseline::new(
            mapped.name.clone(),
            watch.columns,
            self.log.is_whole(),
            std::mem::take(&mut watch.marks),
        );
        let mut found = Vec::new();
        for finding in findings.iter().filter(|f| !f.since.traffic) {
            let known = watch
                .opening
                .and_then(|o| o.get(&finding.key))
                .or_else(|| learned.get(&finding.key));
            found.extend(known.filter(|mark| !mark.had_finding()).map(Mark::with_finding));
        }
        learned.extend(found);
        // Of a whole log it is worth knowing that nothing was listed.
        if !learned.marks().is_empty() || (learned.whole && watch.opening.is_none()) {
            self.learned.push(learned);
        }
    }

    fn plan(&self, entity: EntityIx) -> Result<Plan> {
        let mapped: &Entity = &self.schema.entities[entity];
        let table = &self.catalogue.tables[entity];
        let identity = mapped
            .identity
            .iter()
            .map(|c| self.column(entity, c))
            .collect::<Result<Vec<_>>>()?;
        let mut columns = Vec::new();
        let mut at = vec![None; table.columns.len()];
        let mut compared = vec![false; table.columns.len()];
        for (ix, column) in (0..).zip(&table.columns) {
            compared[usize::from(ix)] = !mapped.ignore.contains(&column.name) && !table.key.contains(&ix);
            if compared[usize::from(ix)] || identity.contains(&ix) {
                at[usize::from(ix)] = Some(columns.len());
                columns.push(ix);
            }
        }
        Ok(Plan {
            columns,
            at,
            identity,
            compared,
        })
    }

    /// Settles every comparison that only the server can, one round a column.
    async fn ask_server(&mut self, entity: EntityIx, candidates: &mut Vec<Candidate<'_>>) -> Result<()> {
        let mut open: HashMap<ColumnIx, Vec<(usize, usize)>> = HashMap::new();
        for (c, candidate) in candidates.iter().enumerate() {
            for (u, unequal) in candidate.unequal.iter().enumerate() {
                if unequal.verdict == Same::AskServer {
                    open.entry(unequal.column).or_default().push((c, u));
                }
            }
        }
        for (column, places) in open {
            let column = &self.catalogue.tables[entity].columns[usize::from(column)];
            let pairs: Vec<(String, String)> = places
                .iter()
                .map(|(c, u)| {
                    let unequal = &candidates[*c].unequal[*u];
                    let log = value::input_text(&column.ty, &unequal.log)
                        .unwrap_or_default()
                        .into_owned();
                    (log, unequal.restored.as_deref().unwrap_or_default().to_owned())
                })
                .collect();
            let answers = self.restored.equal(column, &pairs).await?;
            for ((c, u), equal) in places.into_iter().zip(answers) {
                candidates[c].unequal[u].verdict = if equal { Same::Yes } else { Same::No };
            }
        }
        candidates.retain_mut(|candidate| {
            candidate.unequal.retain(|u| u.verdict != Same::Yes);
            !candidate.unequal.is_empty() || !candidate.row.exists()
        });
        Ok(())
    }

    async fn classify(
        &mut self,
        entity: EntityIx,
        plan: &Plan,
        watch: &Watch<'_>,
        candidates: Vec<Candidate<'_>>,
        out: &mut Vec<RowFinding>,
    ) -> Result<()> {
        let log = self.log;
        let mut regressed: Vec<(RowFinding, Vec<Unequal<'_>>)> = Vec::new();
        for candidate in candidates {
            let row = candidate.row;
            let since = opening::since(watch.opening, row.key(), Some(candidate.digest), || by_whole(log, row));
            let reused: Vec<EventRef> = candidate
                .unequal
                .iter()
                .filter(|u| plan.identity.contains(&u.column) && u.restored.is_some() && !is_null(&u.log))
                .map(|u| u.by)
                .collect();
            if !reused.is_empty() {
                let mut finding = RowFinding::new(entity, row.key(), Kind::Collided);
                let mut events = reused;
                events.extend(row.deleted_by());
                finding.evidence = distinct(events).into_iter().map(|e| log.evidence(e)).collect();
                finding.since = since;
                out.push(finding);
            } else if let Some(by) = row.deleted_by().filter(|_| !row.exists()) {
                let mut finding = RowFinding::new(entity, row.key(), Kind::Undeleted);
                finding.evidence = vec![log.evidence(by)];
                finding.since = since;
                out.push(finding);
            } else {
                let unequal: Vec<Unequal<'_>> = candidate
                    .unequal
                    .into_iter()
                    .filter(|u| plan.compared[usize::from(u.column)])
                    .collect();
                if !unequal.is_empty() {
                    let mut finding = RowFinding::new(entity, row.key(), Kind::Regressed);
                    finding.since = since;
                    let events = distinct(unequal.iter().map(|u| u.by).collect());
                    finding.fields = unequal
                        .iter()
                        .map(|u| {
                            let column = &self.catalogue.tables[entity].columns[usize::from(u.column)];
                            FieldDiff {
                                name: column.name.clone(),
                                restored: value::json(&column.ty, u.restored.as_deref()),
                                log: Json::Null,
                                by: events.iter().position(|e| *e == u.by).unwrap_or_default(),
                                opening: None,
                                undone: false,
                            }
                        })
                        .collect();
                    finding.evidence = events.into_iter().map(|e| log.evidence(e)).collect();
                    regressed.push((finding, unequal));
                }
            }
        }
        self.show_log_values(entity, &mut regressed).await?;
        out.extend(regressed.into_iter().map(|(finding, _)| finding));
        Ok(())
    }

    /// Writes the log's differing values as the column's type writes them, one round a column.
    async fn show_log_values(
        &mut self,
        entity: EntityIx,
        regressed: &mut [(RowFinding, Vec<Unequal<'_>>)],
    ) -> Result<()> {
        let mut by_column: HashMap<ColumnIx, Vec<(usize, usize)>> = HashMap::new();
        for (r, (_, unequal)) in regressed.iter().enumerate() {
            for (u, field) in unequal.iter().enumerate().filter(|(_, f)| !is_null(&f.log)) {
                by_column.entry(field.column).or_default().push((r, u));
            }
        }
        for (column, places) in by_column {
            let column = &self.catalogue.tables[entity].columns[usize::from(column)];
            let texts: Vec<String> = places
                .iter()
                .map(|(r, u)| {
                    value::input_text(&column.ty, &regressed[*r].1[*u].log)
                        .unwrap_or_default()
                        .into_owned()
                })
                .collect();
            let shown: Vec<Option<String>> = if value::written_by_server(&column.ty) {
                self.restored.cast(column, &texts).await?
            } else {
                texts
                    .iter()
                    .map(|t| value::canonical(&column.ty, t).map(std::borrow::Cow::into_owned))
                    .collect()
            };
            for (((r, u), text), shown) in places.into_iter().zip(texts).zip(shown) {
                regressed[r].0.fields[u].log = value::json(&column.ty, Some(&shown.unwrap_or(text)));
            }
        }
        Ok(())
    }

    /// A row that is not under its key may have come back by itself under another: one look-up by identity.
    async fn lost_or_moved(
        &mut self,
        entity: EntityIx,
        plan: &Plan,
        watch: &Watch<'_>,
        lost: &[LogRow<'_>],
        out: &mut Vec<RowFinding>,
    ) -> Result<()> {
        let moved = self.by_identity(entity, &plan.identity, lost).await?;
        for row in lost {
            let moved_to = moved.get(row.key()).cloned();
            let kind = if moved_to.is_some() { Kind::Moved } else { Kind::Lost };
            let mut finding = RowFinding::new(entity, row.key(), kind);
            finding.moved_to = moved_to;
            finding.since = opening::since(watch.opening, row.key(), None, || by_whole(self.log, *row));
            finding.evidence = row.events().into_iter().map(|e| self.log.evidence(e)).collect();
            out.push(finding);
        }
        Ok(())
    }

    async fn by_identity<'l>(
        &mut self,
        entity: EntityIx,
        identity: &[ColumnIx],
        lost: &[LogRow<'l>],
    ) -> Result<HashMap<&'l str, Box<str>>> {
        let mut moved = HashMap::new();
        if identity.is_empty() || lost.is_empty() {
            return Ok(moved);
        }
        let mapped = &self.schema.entities[entity];
        let table = &self.catalogue.tables[entity];
        let cost = self.restored.cost(entity, identity).await?;
        if !cost.indexed && cost.table_bytes > self.config.scan.moved_limit {
            self.warnings.push(format!(
                "{}: not looked for rows that came back under another key: no index serves ({}) and {} is larger than \
                 scan.moved_limit; create one: CREATE INDEX ON {} ({});",
                mapped.name,
                mapped.identity.join(", "),
                table.name,
                table.name,
                mapped.identity.join(", ")
            ));
            return Ok(moved);
        }
        let types: Vec<&ColumnType> = identity.iter().map(|c| &table.columns[usize::from(*c)].ty).collect();
        let mut wanted: HashMap<Vec<String>, Vec<&'l str>> = HashMap::new();
        let mut asked: Vec<Vec<String>> = Vec::new();
        for row in lost {
            let tuple: Option<Vec<String>> = identity
                .iter()
                .zip(&types)
                .map(|(c, ty)| {
                    let (log, _) = row.field(*c)?;
                    value::key_text(ty, &log).map(std::borrow::Cow::into_owned)
                })
                .collect();
            let Some(tuple) = tuple else { continue };
            asked.extend(value::spellings(&types, &tuple));
            wanted.entry(value::normal(&types, &tuple)).or_default().push(row.key());
        }
        let tuples: Vec<Vec<&str>> = asked.iter().map(|t| t.iter().map(String::as_str).collect()).collect();
        let mut each = |row: crate::restored::Row<'_>| {
            let there: Vec<String> = row.values().map(|v| v.unwrap_or_default().to_owned()).collect();
            for key in wanted.get(&value::normal(&types, &there)).into_iter().flatten() {
                let other: &mut Box<str> = moved.entry(*key).or_insert_with(|| row.key().into());
                // Two rows may carry the identity: the lower key is named, whatever order they arrive in.
                if row.key() < &**other {
                    *other = row.key().into();
                }
            }
        };
        let lookup = Lookup::Values {
            columns: identity,
            tuples: &tuples,
        };
        self.restored.rows(entity, lookup, identity, &mut each).await?;
        Ok(moved)
    }
}

impl RowFinding {
    fn new(entity: EntityIx, key: &str, kind: Kind) -> Self {
        Self {
            entity,
            key: key.into(),
            kind,
            fields: Vec::new(),
            evidence: Vec::new(),
            moved_to: None,
            undone: false,
            since: opening::Since::default(),
        }
    }
}

/// Whether sources that are the whole log alone tell of the row, and that it is there.
fn by_whole(log: LogView<'_>, row: LogRow<'_>) -> (bool, bool) {
    let whole = |by: &EventRef| log.folded().is_of_whole(*by);
    (row.events().iter().all(whole), row.exists())
}

fn is_null(value: &LogValue<'_>) -> bool {
    value.kind == value::LogKind::Null
}

fn distinct(mut events: Vec<EventRef>) -> Vec<EventRef> {
    events.sort_unstable();
    events.dedup();
    events
}

//! Findings put together: a case for each order, or for each row that no order owns.

use super::family::Families;
use super::fits::{Beside, Fits};
use super::owners::Owners;
use super::refs::{Refers, Targets};
use super::supersede::{Half, Supersedes};
use super::{InDoubt, Orders, RowFinding, RowId, Scan, chain};
use crate::domain::case::{FamilyField, FamilyRef, FamilyRow, Fit, FoundCase};
use crate::domain::finding::{Evidence, Finding, Kind, Missing, RowState};
use crate::domain::hold::Seen;
use crate::domain::schema::{ORDER, ORDER_ITEM};
use crate::domain::value::{self, ColumnType, LogKind, LogValue};
use crate::domain::{Result, time};
use crate::log::hold::HeldOrder;
use crate::restored::Restored;
use hashbrown::{HashMap, HashSet};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Keys in the order people expect: by number where both are numbers.
pub(super) fn by_key(a: &str, b: &str) -> Ordering {
    match (a.parse::<i128>(), b.parse::<i128>()) {
        (Ok(x), Ok(y)) => x.cmp(&y),
        _ => a.cmp(b),
    }
}

/// For each case what it lacks, and the cases that bring it back.
pub(super) type Brought = HashMap<String, Vec<(Missing, Vec<String>)>>;

/// A case being put together.
#[derive(Default)]
struct Draft {
    order: Option<Box<str>>,
    held: Option<usize>,
    rows: Vec<RowFinding>,
    in_doubt: Vec<RowState>,
    refers: Vec<Refers>,
    beside: Vec<Beside>,
    half: Option<Half>,
    expired: Option<Seen>,
}

impl Draft {
    /// Traffic moved all its rows, and nothing was wrong with any of them before.
    fn is_traffic(&self) -> bool {
        self.in_doubt.is_empty() && !self.rows.is_empty() && self.rows.iter().all(|f| f.since.traffic)
    }
}

/// Cases, who waits for whom, what each would bring back that others wait for, and what they were told from.
pub(super) struct Assembled {
    pub cases: Vec<FoundCase>,
    pub waits: BTreeMap<String, Vec<String>>,
    pub brought: Brought,
    pub families: Families,
    pub supersedes: Supersedes,
}

impl<R: Restored> Scan<'_, R> {
    /// Opens the cases: who owns what, what is missing, who waits for whom, what to do.
    /// `clean` is the row findings as they would be without the bad change, where there was one.
    pub(super) async fn cases(
        &mut self,
        findings: Vec<RowFinding>,
        clean: Option<Vec<RowFinding>>,
        in_doubt: &[InDoubt],
        held: &[HeldOrder],
    ) -> Result<Vec<FoundCase>> {
        let Assembled {
            mut cases,
            mut waits,
            brought,
            families,
            supersedes,
        } = self.assemble(findings, in_doubt, held, None).await?;
        if let Some(clean) = clean {
            self.undone_orders(&mut cases, clean, in_doubt, held).await?;
        }
        for ring in chain::order(&mut waits) {
            self.warnings.push(format!(
                "these cases wait for each other, decide them together: {}",
                ring.join(", ")
            ));
        }
        for case in &mut cases {
            case.blocked_by = waits.remove(&case.id).unwrap_or_default();
        }
        self.outside(&mut cases, &families)?;
        self.advise(&mut cases, &families, &supersedes, &brought);
        Ok(cases)
    }

    /// The cases, or only those of these ids, before they are put in order.
    pub(super) async fn assemble(
        &mut self,
        findings: Vec<RowFinding>,
        in_doubt: &[InDoubt],
        held: &[HeldOrder],
        only: Option<&HashSet<String>>,
    ) -> Result<Assembled> {
        let mut owners = Owners::default();
        let supersedes = self.supersedes(&findings).await?;
        let (mut drafts, single) = self.drafts(&mut owners, findings, in_doubt).await?;
        for rows in drafts
            .values_mut()
            .filter(|d| d.is_traffic())
            .map(|d| std::mem::take(&mut d.rows))
        {
            for finding in rows {
                self.traffic[finding.entity] += 1;
            }
        }
        drafts.retain(|_, d| !d.rows.is_empty() || !d.in_doubt.is_empty());
        for (order, half) in &supersedes.halves {
            let draft = drafts.entry(format!("{ORDER}:{order}")).or_default();
            draft.order = Some(order.clone());
            draft.half = Some(half.clone());
        }
        let known = self.known_orders(held).await?;
        for (n, order) in known.iter().enumerate() {
            let id = match order {
                Some(order) => format!("{ORDER}:{order}"),
                None => format!("held:{}", held[n].key),
            };
            let draft = drafts.entry(id).or_default();
            draft.order.clone_from(order);
            draft.held = Some(n);
        }
        let expired = self.past.hold.as_ref().map_or(&[][..], |h| &h.expired);
        for (order, seen) in self.expired_orders(expired).await? {
            let id = match &order {
                Some(order) => format!("{ORDER}:{order}"),
                None => format!("held:{}", seen.label),
            };
            let draft = drafts.entry(id).or_default();
            draft.order = order;
            draft.expired = Some(seen);
        }
        if let Some(only) = only {
            drafts.retain(|id, _| only.contains(id));
        }
        self.progress
            .begin(crate::domain::progress::Stage::Following, drafts.len() as u64);
        let orders: Orders = drafts.values().filter_map(|d| d.order.clone()).collect();
        let families = self.families(&mut owners, &orders, &single).await?;
        for draft in drafts.values_mut() {
            self.refers_of_case(draft, &families, held)?;
            self.progress.add(1);
        }
        let collided: HashSet<RowId> = drafts
            .values()
            .flat_map(|d| &d.rows)
            .filter(|f| f.kind == Kind::Collided)
            .map(|f| (f.entity, f.key.clone()))
            .collect();
        let all: Vec<Refers> = drafts.values().flat_map(|d| d.refers.iter().cloned()).collect();
        let targets = self.look_up(&all, &collided).await?;
        let missing: Vec<Refers> = all.into_iter().filter(|r| targets.is_missing(r)).collect();
        let beside: Vec<Beside> = drafts.values().flat_map(|d| d.beside.iter().cloned()).collect();
        let fits = self.fits(&missing, &beside, &targets).await?;
        // A reference by another column than the key is also mended by giving a row that is there its column back.
        let brings: HashMap<RowId, String> = drafts
            .iter()
            .flat_map(|(id, d)| d.rows.iter().map(move |f| (id, f)))
            .filter(|(_, f)| matches!(f.kind, Kind::Lost | Kind::Regressed))
            .map(|(id, f)| ((f.entity, f.key.clone()), id.clone()))
            .collect();
        let mut waits: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut brought = Brought::new();
        let mut cases = Vec::new();
        for (id, draft) in drafts {
            // Who brings back what.
            let mut blockers: BTreeMap<String, Missing> = BTreeMap::new();
            let mut by_each = Vec::new();
            for refers in draft.refers.iter().filter(|r| targets.is_missing(r)) {
                let by: Vec<&String> = targets.rows(refers).iter().filter_map(|row| brings.get(row)).collect();
                for blocker in by.iter().filter(|blocker| ***blocker != id) {
                    blockers
                        .entry((*blocker).clone())
                        .or_insert_with(|| self.missing(refers));
                }
                by_each.push((self.missing(refers), by.into_iter().cloned().collect()));
            }
            if let Some(case) = self.finish(id, draft, &families, (&targets, &fits), held)? {
                if !blockers.is_empty() {
                    waits.insert(case.id.clone(), blockers.into_keys().collect());
                }
                if !by_each.is_empty() {
                    brought.insert(case.id.clone(), by_each);
                }
                cases.push(case);
            }
        }
        Ok(Assembled {
            cases,
            waits,
            brought,
            families,
            supersedes,
        })
    }

    /// Groups findings by case; the second result is the rows that stand for themselves.
    async fn drafts(
        &mut self,
        owners: &mut Owners,
        findings: Vec<RowFinding>,
        in_doubt: &[InDoubt],
    ) -> Result<(BTreeMap<String, Draft>, Vec<RowId>)> {
        let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
        let mut single = Vec::new();
        let rows: Vec<RowId> = findings.iter().map(|f| (f.entity, f.key.clone())).collect();
        let orders = self.orders_of(owners, &rows).await?;
        for (finding, order) in findings.into_iter().zip(orders) {
            let id = match &order {
                Some(order) => format!("{ORDER}:{order}"),
                None => format!("{}:{}", self.schema.entities[finding.entity].name, finding.key),
            };
            if order.is_none() {
                single.push((finding.entity, finding.key.clone()));
            }
            let draft = drafts.entry(id).or_default();
            draft.order = order;
            draft.rows.push(finding);
        }
        for InDoubt { order, row } in in_doubt {
            let draft = drafts.entry(format!("{ORDER}:{order}")).or_default();
            draft.order = Some(order.as_str().into());
            draft.in_doubt.push(row.clone());
        }
        Ok((drafts, single))
    }

    /// References are asked of every order with a row finding and of every held one.
    fn refers_of_case(&self, draft: &mut Draft, families: &Families, held: &[HeldOrder]) -> Result<()> {
        let mut rows = Vec::new();
        if let Some(n) = draft.held {
            rows.extend(self.held_refers(&held[n])?);
        }
        if !draft.rows.is_empty() || draft.held.is_some() {
            for (entity, key) in draft
                .order
                .as_ref()
                .and_then(|o| families.by_order.get(o))
                .into_iter()
                .flatten()
            {
                rows.push(self.refers(*entity, key, families)?);
            }
        }
        for refers in rows {
            draft.beside.extend(self.beside(&refers)?);
            draft.refers.extend(refers);
        }
        Ok(())
    }

    /// What the missing references of a case could say instead.
    fn fit(&self, draft: &Draft, targets: &Targets, fits: &Fits) -> Vec<Fit> {
        let mut fit: Vec<Fit> = Vec::new();
        for refers in draft.refers.iter().filter(|r| targets.is_missing(r)) {
            if let Some(to) = fits.get(&refers.target)
                && !fit.iter().any(|f| f.missing == self.missing(refers))
            {
                fit.push(Fit {
                    missing: self.missing(refers),
                    to: to.clone(),
                });
            }
        }
        fit
    }

    /// Findings in the order of the schema's entities, then of the keys.
    fn sort(&self, draft: &mut Draft) {
        draft.rows.sort_by(|a, b| {
            a.entity
                .cmp(&b.entity)
                .then_with(|| by_key(&a.key, &b.key))
                .then_with(|| a.kind.cmp(&b.kind))
        });
        draft.in_doubt.sort_by(|a, b| {
            let entity = |row: &RowState| self.schema.index(&row.entity);
            entity(a).cmp(&entity(b)).then_with(|| by_key(&a.key, &b.key))
        });
    }

    /// The case as the ledger gets it; `None` where there is nothing to decide (a held order that lacks nothing).
    fn finish(
        &self,
        id: String,
        mut draft: Draft,
        families: &Families,
        (targets, fits): (&Targets, &Fits),
        held: &[HeldOrder],
    ) -> Result<Option<FoundCase>> {
        self.sort(&mut draft);
        let missing: BTreeSet<_> = draft
            .refers
            .iter()
            .filter(|r| targets.is_missing(r))
            .map(|r| self.missing(r))
            .collect();
        let fit = self.fit(&draft, targets, fits);
        let held = draft.held.map(|n| &held[n]);
        let single = draft
            .rows
            .first()
            .map(|f| (f.entity, f.key.clone()))
            .filter(|_| draft.order.is_none());
        let family = match (&draft.order, &single, held) {
            (Some(order), _, _) => {
                let asked = !draft.rows.is_empty() || held.is_some();
                let rows = families.by_order.get(order).into_iter().flatten();
                rows.map(|row| self.family_row(row, &draft.rows, families, targets, asked))
                    .collect::<Result<_>>()?
            }
            (None, Some(row), _) => vec![self.family_row(row, &draft.rows, families, targets, false)?],
            (None, None, Some(held)) => Self::held_family(held),
            (None, None, None) => Vec::new(),
        };
        let about = draft
            .order
            .as_deref()
            .or(held.map(|h| h.key.as_str()))
            .or(draft.expired.as_ref().map(|seen| seen.label.as_str()))
            .unwrap_or_default()
            .to_owned();
        let mut findings: Vec<Finding> = std::mem::take(&mut draft.rows)
            .into_iter()
            .map(|f| self.finding(f))
            .collect();
        Self::order_findings(&mut draft, &about, !missing.is_empty(), &mut findings);
        if findings.is_empty() {
            return Ok(None);
        }
        let main = match (&draft.order, single) {
            (Some(order), _) => self.order_entity().map(|e| (e, order.clone())),
            (None, single) => single,
        };
        let text = |column: &str| self.text_of(main.as_ref(), held, column, families);
        let mapped = main
            .as_ref()
            .map(|(e, _)| *e)
            .or(self.order_entity())
            .map(|e| &self.schema.entities[e]);
        // A label stands everywhere: one that is masked is none.
        let named = mapped.and_then(|m| m.label.as_deref().filter(|label| !m.masks(label)));
        let label = named.and_then(text);
        let fallback = main.as_ref().map_or_else(|| about.clone(), |(_, key)| key.to_string());
        let order_mapped = self.order_entity().map(|e| &self.schema.entities[e]);
        Ok(Some(FoundCase {
            id,
            order: draft.order.as_deref().map(str::to_owned),
            label: label.unwrap_or(fallback),
            action: self.action(draft.order.as_deref(), held, mapped.map(|m| m.name.as_str()), &family),
            show: order_mapped
                .map_or(&[][..], |m| &m.show)
                .iter()
                .map(|c| text(c).unwrap_or_default())
                .collect(),
            rank: order_mapped.and_then(|m| m.rank.as_deref()).and_then(text),
            findings,
            missing: missing.into_iter().collect(),
            blocked_by: Vec::new(),
            held: held.is_some(),
            // Messages of a hold file stay whatever their age.
            dies_at: held.and_then(|h| h.dies_at).map(time::format),
            advice: None,
            outside: Vec::new(),
            fits: fit,
            family,
        }))
    }

    /// The findings about the order itself.
    fn order_findings(draft: &mut Draft, about: &str, orphaned: bool, findings: &mut Vec<Finding>) {
        let order_finding = |kind, rows| Finding {
            entity: ORDER.to_owned(),
            key: about.to_owned(),
            kind,
            undone: false,
            since_opening: false,
            there_at_opening: None,
            fields: Vec::new(),
            evidence: Vec::new(),
            rows,
            moved_to: None,
            other: None,
        };
        if !draft.in_doubt.is_empty() {
            findings.push(order_finding(Kind::InDoubt, std::mem::take(&mut draft.in_doubt)));
        }
        if orphaned {
            findings.push(order_finding(Kind::Orphaned, Vec::new()));
        }
        if let Some(half) = draft.half.take() {
            findings.push(Finding {
                other: Some(half.other.into()),
                ..order_finding(Kind::HalfSuperseded, Vec::new())
            });
        }
        if let Some(seen) = &draft.expired {
            findings.push(Finding {
                evidence: vec![Evidence {
                    source: "hold".to_owned(),
                    position: format!("{}:{}", seen.partition, seen.offset),
                    ts: seen.at.map(time::format),
                }],
                ..order_finding(Kind::Expired, Vec::new())
            });
        }
    }

    fn finding(&self, found: RowFinding) -> Finding {
        Finding {
            entity: self.schema.entities[found.entity].name.clone(),
            key: found.key.into(),
            kind: found.kind,
            undone: found.undone,
            since_opening: found.since.moved,
            there_at_opening: found.since.was_there,
            fields: found.fields,
            evidence: found.evidence,
            rows: Vec::new(),
            moved_to: found.moved_to.map(Into::into),
            other: None,
        }
    }

    fn family_row(
        &self,
        (entity, key): &RowId,
        findings: &[RowFinding],
        families: &Families,
        targets: &Targets,
        asked: bool,
    ) -> Result<FamilyRow> {
        let log = self.log.get(*entity, key);
        let there = families.restored.get(&(*entity, key.clone()));
        let of_row = || findings.iter().filter(|f| f.entity == *entity && f.key == *key);
        let differs = |column: &str| of_row().any(|f| f.fields.iter().any(|d| d.name == column));
        let table = &self.catalogue.tables[*entity];
        let fields = (0..).zip(&table.columns).filter_map(|(ix, column)| {
            let said = log.and_then(|row| row.field(ix));
            let restored = there.map(|values| value::json(&column.ty, values[usize::from(ix)].as_deref()));
            (said.is_some() || restored.is_some()).then(|| FamilyField {
                name: column.name.clone(),
                restored,
                log: said.as_ref().map(|(v, _)| log_json(&column.ty, v)),
                by: said.as_ref().map(|(_, by)| self.log.evidence(*by)),
                differs: differs(&column.name),
                coarse: said.and_then(|(v, _)| v.kind.coarse()),
            })
        });
        let refs = if asked {
            self.refers(*entity, key, families)?
        } else {
            Vec::new()
        };
        Ok(FamilyRow {
            entity: self.schema.entities[*entity].name.clone(),
            key: key.to_string(),
            kinds: of_row().map(|f| f.kind).collect(),
            restored: there.is_some(),
            bad: self.bad_did(&(*entity, key.clone()), there.is_some(), differs),
            log: log.map(crate::log::LogRow::exists),
            fields: fields.collect(),
            refs: refs
                .into_iter()
                .map(|r| FamilyRef {
                    to: self.missing(&r),
                    present: targets.is_present(&r),
                    column: r.column,
                })
                .collect(),
        })
    }

    /// A held order's message as rows: the order's and its items'.
    fn held_family(held: &HeldOrder) -> Vec<FamilyRow> {
        let row = |entity: &str, key: String, columns: &[(String, LogValue<'static>)]| FamilyRow {
            entity: entity.to_owned(),
            key,
            kinds: Vec::new(),
            restored: false,
            bad: None,
            log: None,
            fields: columns
                .iter()
                .map(|(name, v)| FamilyField {
                    name: name.clone(),
                    restored: None,
                    log: Some(log_json(&ColumnType::Other, v)),
                    by: None,
                    differs: false,
                    coarse: None,
                })
                .collect(),
            refs: Vec::new(),
        };
        let items = held.items.iter().enumerate();
        std::iter::once(row(ORDER, held.key.clone(), &held.state))
            .chain(items.map(|(n, item)| row(ORDER_ITEM, format!("{}#{}", held.key, n + 1), item)))
            .collect()
    }

    /// A column of the case's main row: the log's word, else the restored one, else the held message's.
    fn text_of(
        &self,
        main: Option<&RowId>,
        held: Option<&HeldOrder>,
        column: &str,
        families: &Families,
    ) -> Option<String> {
        let of_row = || {
            let (entity, key) = main?;
            let ix = self.catalogue.tables[*entity].column(column)?;
            match self.log.get(*entity, key).and_then(|row| row.field(ix)) {
                Some((v, _)) => (v.kind != LogKind::Null).then(|| v.text.into_owned()),
                None => families.value(*entity, key, ix).map(str::to_owned),
            }
        };
        of_row().or_else(|| Self::held_text(held?, column))
    }

    /// What the order does: its own action, else the first of its items' that changes something that exists.
    fn action(
        &self,
        order: Option<&str>,
        held: Option<&HeldOrder>,
        entity: Option<&str>,
        family: &[FamilyRow],
    ) -> String {
        if order.is_none() && held.is_none() {
            return entity.unwrap_or_default().replace('_', " ");
        }
        let mut others = false;
        for row in family {
            let Some(mapped) = self.schema.index(&row.entity).map(|e| &self.schema.entities[e]) else {
                continue;
            };
            let Some(column) = &mapped.action else { continue };
            let field = row.fields.iter().find(|f| f.name == *column);
            let Some(action) = field
                .and_then(|f| f.log.as_ref().or(f.restored.as_ref()))
                .and_then(|v| v.as_str())
            else {
                continue;
            };
            if row.entity == ORDER || mapped.macd.iter().any(|m| m == action) {
                return action.to_owned();
            }
            others = true;
        }
        if others { "New".to_owned() } else { ORDER.to_owned() }
    }
}

fn log_json(ty: &ColumnType, log: &LogValue<'_>) -> serde_json::Value {
    let text = value::input_text(ty, log);
    let text = text
        .as_deref()
        .map(|t| value::canonical(ty, t).unwrap_or(std::borrow::Cow::Borrowed(t)));
    value::json(ty, text.as_deref())
}

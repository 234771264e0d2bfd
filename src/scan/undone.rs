//! What exists only because of the bad change: the comparison and the cases again, for the rows that it touched, as if it
//! had not been. What this second run does not find, the restore has undone on purpose.

use super::cases::Assembled;
use super::{InDoubt, RowFinding, RowId, Scan};
use crate::domain::Result;
use crate::domain::case::{FamilyRow, FoundCase};
use crate::domain::finding::Kind;
use crate::domain::schema::EntityIx;
use crate::domain::value::{self, LogKind};
use crate::log::LogRow;
use crate::log::hold::HeldOrder;
use crate::restored::Restored;
use hashbrown::{HashMap, HashSet};

impl<R: Restored> Scan<'_, R> {
    /// The same scan, of the log without the bad change; what it has to say on the side is nobody's.
    fn clean(&mut self) -> Scan<'_, R> {
        Scan {
            config: self.config,
            schema: self.schema,
            catalogue: self.catalogue,
            log: self.log.without_bad(),
            restored: &mut *self.restored,
            progress: self.progress,
            past: self.past,
            learned: Vec::new(),
            traffic: vec![0; self.traffic.len()],
            rejects: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn is_touched(&self, entity: EntityIx, key: &str) -> bool {
        self.log.folded().without_bad(entity, key).is_some()
    }

    /// Marks the row findings and fields that the bad change alone gives; hands out the findings as they would be without
    /// it. `None` where it touched no row.
    pub(super) async fn undone(&mut self, findings: &mut [RowFinding]) -> Result<Option<Vec<RowFinding>>> {
        if self.config.incident.bad.is_none() {
            return Ok(None);
        }
        let entities = 0..self.schema.entities.len();
        let touched = |entity| self.log.folded().touched_by_bad(entity).next().is_some();
        if !entities.clone().any(touched) {
            self.warnings.push(
                "no event of the log is the bad change that [incident.bad] describes: nothing can be marked as undone"
                    .to_owned(),
            );
            return Ok(None);
        }
        let mut clean = Vec::new();
        let mut scan = self.clean();
        for entity in entities {
            scan.check_cancelled()?;
            scan.compare_entity(entity, &mut clean).await?;
        }
        let mut without: HashMap<(EntityIx, &str, Kind), &RowFinding> = HashMap::new();
        without.extend(clean.iter().map(|f| ((f.entity, &*f.key, f.kind), f)));
        for finding in findings.iter_mut().filter(|f| self.is_touched(f.entity, &f.key)) {
            let same = without.get(&(finding.entity, &*finding.key, finding.kind));
            finding.undone = same.is_none();
            for field in &mut finding.fields {
                field.undone = same.is_none_or(|same| same.fields.iter().all(|f| f.name != field.name));
            }
        }
        drop(without);
        let untouched = findings.iter().filter(|f| !self.is_touched(f.entity, &f.key));
        clean.extend(untouched.cloned());
        Ok(Some(clean))
    }

    /// Marks the order findings that the bad change alone gives: the cases of the orders that it could concern, put
    /// together once more from the findings without it.
    pub(super) async fn undone_orders(
        &mut self,
        cases: &mut [FoundCase],
        clean: Vec<RowFinding>,
        in_doubt: &[InDoubt],
        held: &[HeldOrder],
    ) -> Result<()> {
        let concerned: HashSet<String> = cases
            .iter()
            .filter(|case| case.findings.iter().any(|f| !Kind::ROW.contains(&f.kind)) && self.is_concerned(case))
            .map(|case| case.id.clone())
            .collect();
        if concerned.is_empty() {
            return Ok(());
        }
        let mut scan = self.clean();
        let Assembled { cases: without, .. } = scan.assemble(clean, in_doubt, held, Some(&concerned)).await?;
        let mut kinds: HashSet<(&str, Kind)> = HashSet::new();
        for case in &without {
            kinds.extend(case.findings.iter().map(|f| (case.id.as_str(), f.kind)));
        }
        for case in cases.iter_mut().filter(|case| concerned.contains(&case.id)) {
            let of_order = case.findings.iter_mut().filter(|f| !Kind::ROW.contains(&f.kind));
            for finding in of_order {
                finding.undone = !kinds.contains(&(case.id.as_str(), finding.kind));
            }
        }
        Ok(())
    }

    /// Whether the bad change touched a row of the case, or one that a row of it refers to.
    fn is_concerned(&self, case: &FoundCase) -> bool {
        let touched = |entity: &str, key: &str| self.schema.index(entity).is_some_and(|e| self.is_touched(e, key));
        case.family.iter().any(|row| touched(&row.entity, &row.key))
            || case.findings.iter().any(|f| touched(&f.entity, &f.key))
            || case.missing.iter().any(|missing| match &missing.column {
                None => touched(&missing.entity, &missing.key),
                // Which rows had the value is not looked up: any that was touched could have.
                Some(_) => self
                    .schema
                    .index(&missing.entity)
                    .is_some_and(|e| self.log.folded().touched_by_bad(e).next().is_some()),
            })
    }

    /// What the bad change did to a row's state in the log, where that still rests on it: `created`, `deleted`, or
    /// `wrote status of`.
    /// `there`: the restored database has the row, so that only what `differs` of it could be written.
    pub(super) fn bad_did(&self, (entity, key): &RowId, there: bool, differs: impl Fn(&str) -> bool) -> Option<String> {
        let log = self.log.folded();
        let clean = log.without_bad(*entity, key)?;
        let now = log.get(*entity, key)?;
        if !now.exists() {
            // Where nothing else tells of it, the restored row shows that it was there.
            let was_there = clean.map_or(there, LogRow::exists);
            return was_there.then(|| "deleted".to_owned());
        }
        if clean.map_or(!there, |row| !row.exists()) {
            return Some("created".to_owned());
        }
        let table = &self.catalogue.tables[*entity];
        let ignored = &self.schema.entities[*entity].ignore;
        let mut wrote = Vec::new();
        for (column, value, _) in now.fields() {
            let meta = &table.columns[usize::from(column)];
            let before = clean.and_then(|row| row.field(column));
            let text = before
                .as_ref()
                .filter(|(v, _)| v.kind != LogKind::Null)
                .map(|(v, _)| v.text.as_ref());
            let same = before.is_some() && value::same(&meta.ty, &value, text) == value::Same::Yes;
            if !same && (!there || differs(&meta.name)) && !ignored.contains(&meta.name) && !table.key.contains(&column)
            {
                wrote.push(meta.name.as_str());
            }
        }
        (!wrote.is_empty()).then(|| format!("wrote {} of", wrote.join(", ")))
    }
}

impl FoundCase {
    /// Whether every finding is there only because of the bad change: the restore removed it on purpose.
    pub fn is_undone(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(|f| f.undone)
    }

    /// A row that `reapply` would write and whose state in the log rests on the bad change, with what that did.
    pub fn rests_on_bad(&self) -> Option<(&FamilyRow, &str)> {
        let written = self.family.iter().filter(|row| !row.kinds.is_empty());
        written.into_iter().find_map(|row| Some((row, row.bad.as_deref()?)))
    }
}

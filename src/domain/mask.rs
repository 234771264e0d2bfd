//! Personal data: what stands for the values of the columns that the site masks, wherever a whole case goes out at once.
//!
//! Screens mask field by field, since a person may unmask one; files, JSON and reports take a case that is masked whole.

use super::case::{Fit, FoundCase};
use super::finding::Missing;
use super::schema::{Entity, ORDER, Schema};
use serde_json::Value as Json;
use std::collections::HashSet;

/// What stands for a masked value, whatever its length.
pub const MASKED: &str = "****";

impl Entity {
    /// Whether this column's values are masked.
    pub fn masks(&self, column: &str) -> bool {
        self.mask.iter().any(|m| m == column)
    }
}

impl Schema {
    /// Whether the site masks any column at all.
    pub fn masks_any(&self) -> bool {
        self.entities.iter().any(|e| !e.mask.is_empty())
    }

    /// Whether this column of this entity is masked.
    pub fn masks(&self, entity: &str, column: &str) -> bool {
        self.index(entity).is_some_and(|ix| self.entities[ix].masks(column))
    }

    /// The key of a reference, or what stands for it where the column that it names is masked.
    pub fn key_shown<'m>(&self, to: &'m Missing) -> &'m str {
        let masked = to.column.as_ref().is_some_and(|c| self.masks(&to.entity, c));
        if masked { MASKED } else { &to.key }
    }

    /// What a reference could say instead, masked likewise.
    pub fn fits_shown<'m>(&self, fit: &'m Fit) -> Vec<&'m str> {
        let masked = fit
            .missing
            .column
            .as_ref()
            .is_some_and(|c| self.masks(&fit.missing.entity, c));
        let shown = |to: &'m String| if masked { MASKED } else { to.as_str() };
        fit.to.iter().map(shown).collect()
    }

    /// Whether the `n`-th column that the queue shows is masked in the case of this id: what the order shows, read from the
    /// case's own row.
    pub fn masks_shown(&self, case: &str, n: usize) -> bool {
        let column = self.shown().get(n);
        let own = case.split_once(':').map_or(ORDER, |(entity, _)| entity);
        column.is_some_and(|c| self.masks(ORDER, c) || self.masks(own, c))
    }

    /// The columns that the queue shows of every case: those of the order.
    pub fn shown(&self) -> &[String] {
        self.index(ORDER).map_or(&[], |ix| &self.entities[ix].show)
    }
}

/// Puts [`MASKED`] for every masked value of the case; what is null stays so.
pub fn mask(case: &mut FoundCase, schema: &Schema) {
    if !schema.masks_any() {
        return;
    }
    for (n, value) in case.show.iter_mut().enumerate() {
        if schema.masks_shown(&case.id, n) && !value.is_empty() {
            MASKED.clone_into(value);
        }
    }
    if schema
        .entities
        .iter()
        .any(|e| e.rank.as_ref().is_some_and(|r| e.masks(r)))
    {
        case.rank = case.rank.take().map(|_| MASKED.to_owned());
    }
    for finding in &mut case.findings {
        for field in &mut finding.fields {
            if schema.masks(&finding.entity, &field.name) {
                hide(&mut field.restored);
                hide(&mut field.log);
                field.opening.iter_mut().for_each(hide);
            }
        }
        for row in &mut finding.rows {
            let entity = schema.index(&row.entity).map(|ix| &schema.entities[ix]);
            if entity.is_some_and(|e| e.state.as_ref().is_some_and(|s| e.masks(s))) {
                MASKED.clone_into(&mut row.state);
            }
        }
    }
    for row in &mut case.family {
        for field in row.fields.iter_mut().filter(|f| schema.masks(&row.entity, &f.name)) {
            field.restored.iter_mut().for_each(hide);
            field.log.iter_mut().for_each(hide);
        }
    }
    mask_references(case, schema);
}

/// Puts [`MASKED`] for every masked value that a reference names; fields stay, for whoever may unmask one.
pub fn mask_references(case: &mut FoundCase, schema: &Schema) {
    if !schema.masks_any() {
        return;
    }
    // A reference is masked where the referring column is, or the one referred to.
    let named = |to: &Missing| to.column.as_ref().is_some_and(|c| schema.masks(&to.entity, c));
    let mut hidden: HashSet<Missing> = HashSet::new();
    for row in &mut case.family {
        for reference in &mut row.refs {
            if schema.masks(&row.entity, &reference.column) || named(&reference.to) {
                hidden.insert(reference.to.clone());
                MASKED.clone_into(&mut reference.to.key);
            }
        }
    }
    let fits = case.fits.iter_mut().map(|fit| (&mut fit.missing, Some(&mut fit.to)));
    for (missing, to) in case.missing.iter_mut().map(|m| (m, None)).chain(fits) {
        if hidden.contains(missing) || named(missing) {
            MASKED.clone_into(&mut missing.key);
            to.into_iter().flatten().for_each(|key| MASKED.clone_into(key));
        }
    }
}

fn hide(value: &mut Json) {
    if !value.is_null() {
        *value = Json::from(MASKED);
    }
}

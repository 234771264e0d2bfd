//! Names that a log spells in its own way: `Salesforce Id`, `AccountId`. Only case, spaces and underscores are forgiven: the
//! prefix of a package or the `__c` of a custom field tell it from a standard one that may stand beside it.

use crate::domain::schema::{Catalogue, ColumnIx, EntityIx, Schema};
use std::collections::{BTreeMap, HashMap};

/// Entities and columns by their names in small letters and digits alone.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Names that the configuration maps, as the log spells them.
    given: HashMap<String, EntityIx>,
    entities: HashMap<String, Option<EntityIx>>,
    tables: HashMap<String, Option<EntityIx>>,
    /// For each entity; a name that two columns share is none's.
    columns: Vec<HashMap<String, Option<ColumnIx>>>,
}

impl Names {
    pub fn new(schema: &Schema, catalogue: &Catalogue) -> Self {
        let entities = || schema.entities.iter().enumerate();
        Self {
            given: HashMap::new(),
            entities: distinct(entities().map(|(ix, e)| (e.name.as_str(), ix))),
            tables: distinct(entities().map(|(ix, e)| (e.table.rsplit('.').next().unwrap_or_default(), ix))),
            columns: catalogue
                .tables
                .iter()
                .map(|t| distinct((0..).zip(&t.columns).map(|(ix, c)| (c.name.as_str(), ix))))
                .collect(),
        }
    }

    /// Adds the names of `[[log]] entities`.
    pub fn give(&mut self, entities: &BTreeMap<String, String>, schema: &Schema) {
        let known = |(log, entity): (&String, &String)| Some((log.clone(), schema.index(entity)?));
        self.given.extend(entities.iter().filter_map(known));
    }

    /// The entity that the log calls so: by the configuration, by its name, by the last part of its table's name.
    pub fn entity(&self, name: &str) -> Option<EntityIx> {
        let plain = || plain(name);
        let given = self.given.get(name).copied();
        given
            .or_else(|| self.entities.get(&plain()).copied().flatten())
            .or_else(|| self.tables.get(&plain()).copied().flatten())
    }

    /// The column that the log calls so.
    pub fn column(&self, entity: EntityIx, name: &str) -> Option<ColumnIx> {
        self.columns.get(entity)?.get(&plain(name)).copied().flatten()
    }
}

/// Small letters and digits alone.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

fn distinct<'n, T: Copy>(names: impl Iterator<Item = (&'n str, T)>) -> HashMap<String, Option<T>> {
    let mut all = HashMap::new();
    for (name, ix) in names {
        all.entry(plain(name)).and_modify(|v| *v = None).or_insert(Some(ix));
    }
    all
}

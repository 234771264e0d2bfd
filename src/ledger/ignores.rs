//! Columns that turned out to be noise: ignored for the rest of the incident by one audited action.

use super::audit::Deed;
use super::{Ledger, Role, Tx};
use crate::domain::queue::Ignore;
use crate::domain::schema::{Entity, Schema, nearest};
use crate::domain::{Error, Result};
use crate::ledger::fault::Res;
use rusqlite::params;

impl Ledger {
    /// What people ignore in this incident beside what the configuration does, by entity and column.
    pub fn ignores(&self) -> Result<Vec<Ignore>> {
        self.read(|db, incident| {
            let mut statement = db.prepare_cached(
                "SELECT entity, name, reason, by, at FROM ignores WHERE incident = ?1 ORDER BY entity, name",
            )?;
            let found = statement.query_map([incident], |r| {
                Ok(Ignore {
                    entity: r.get(0)?,
                    column: r.get(1)?,
                    reason: r.get(2)?,
                    by: r.get(3)?,
                    at: r.get(4)?,
                })
            })?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Ignores a column from the next scan on, in scans and proofs. It settles cases that nobody looked at, so it takes a
    /// lead.
    pub fn ignore(&mut self, entity: &str, column: &str, reason: &str) -> Result<()> {
        if reason.trim().is_empty() {
            return Err(Error::usage("`ignore` needs a reason").cure("--reason TEXT"));
        }
        let mapped = mapped(&self.schema, entity)?;
        if mapped.key.iter().any(|k| k == column) {
            return Err(Error::usage(format!(
                "{entity}.{column} is the key: it is never compared"
            )));
        }
        if mapped.ignore.iter().any(|i| i == column) {
            return Err(Error::usage(format!(
                "{entity}.{column} is ignored already, by the configuration"
            )));
        }
        let why = format!("{entity}.{column}: {reason}");
        let deed = Deed {
            action: "ignore",
            ..Deed::default()
        };
        self.deed(deed, |tx| {
            tx.require_lead("to ignore a column")?;
            let new = tx.db.execute(
                "INSERT INTO ignores (incident, entity, name, reason, by, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO NOTHING",
                params![tx.incident, entity, column, reason, tx.who.user, tx.now],
            )?;
            if new == 0 {
                return Err(Error::refused(format!("{entity}.{column} is ignored already")).into());
            }
            tx.audit(Deed {
                outcome: "ok",
                why: Some(&why),
                ..deed
            })
        })
    }

    /// Compares a column again that was ignored by [`Ledger::ignore`].
    pub fn compare_again(&mut self, entity: &str, column: &str, reason: &str) -> Result<()> {
        if reason.trim().is_empty() {
            return Err(Error::usage("to compare a column again needs a reason").cure("--reason TEXT"));
        }
        let why = format!("{entity}.{column} is compared again: {reason}");
        let deed = Deed {
            action: "undo",
            ..Deed::default()
        };
        self.deed(deed, |tx| {
            tx.require_lead("to compare a column again")?;
            let gone = tx.db.execute(
                "DELETE FROM ignores WHERE incident = ?1 AND entity = ?2 AND name = ?3",
                params![tx.incident, entity, column],
            )?;
            if gone == 0 {
                return Err(
                    Error::refused(format!("nobody ignored {entity}.{column} in this incident"))
                        .cure(
                            "`restitch ignore` lists what is ignored; what the configuration ignores is changed there",
                        )
                        .into(),
                );
            }
            tx.audit(Deed {
                outcome: "ok",
                why: Some(&why),
                ..deed
            })
        })
    }
}

impl Tx<'_> {
    /// Refuses who is no lead.
    fn require_lead(&self, what: &str) -> Res<()> {
        if self.role < Role::Lead {
            return Err(
                Error::refused(format!("{} is no lead, and it takes one {what}", self.who.user))
                    .cure("`[roles]` in the configuration names the leads")
                    .into(),
            );
        }
        Ok(())
    }
}

/// The entity of this name, or an error that names the nearest.
fn mapped<'s>(schema: &'s Schema, entity: &str) -> Result<&'s Entity> {
    schema.entities.iter().find(|e| e.name == entity).ok_or_else(|| {
        let near = nearest(entity, schema.entities.iter().map(|e| e.name.as_str()));
        Error::usage(format!("no entity {entity:?} is mapped")).cure(format!("nearest: {near}"))
    })
}

/// The configuration's schema with these columns ignored too.
pub fn with_ignores(schema: &mut Schema, ignores: &[Ignore]) {
    for ignore in ignores {
        if let Some(entity) = schema.entities.iter_mut().find(|e| e.name == ignore.entity)
            && !entity.ignore.contains(&ignore.column)
        {
            entity.ignore.push(ignore.column.clone());
        }
    }
}

/// The lines that say the same in a configuration, one section for each entity; what it ignores already goes along.
pub fn to_paste(schema: &Schema, ignores: &[Ignore]) -> Vec<String> {
    let mut merged = schema.clone();
    with_ignores(&mut merged, ignores);
    let of_people = |e: &&Entity| ignores.iter().any(|i| i.entity == e.name);
    let quoted = |text: &String| toml::Value::String(text.clone()).to_string();
    let mut lines = Vec::new();
    for entity in merged.entities.iter().filter(of_people) {
        let columns: Vec<String> = entity.ignore.iter().map(quoted).collect();
        lines.push(format!("[schema.{}]", entity.name));
        lines.push(format!("ignore = [{}]", columns.join(", ")));
    }
    lines
}

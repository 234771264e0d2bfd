//! Columns that turned out to be noise: ignored for the rest of the incident by one audited action.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::sqlite::Tx;
use super::store::Act;
use crate::domain::queue::Ignore;
use crate::domain::schema::{Entity, Schema, nearest};
use crate::domain::{Error, Result};
use rusqlite::params;
use serde::Serialize;

impl Ledger {
    /// What people ignore in this incident beside what the configuration does, by entity and column.
    pub fn ignores(&self) -> Result<Vec<Ignore>> {
        self.read(|at| {
            at.all(
                "SELECT entity, name, reason, by, at FROM ignores WHERE incident = ?1 ORDER BY entity, name",
                &[at.incident().into()],
                |r| {
                    Ok(Ignore {
                        entity: r.own(0)?,
                        column: r.own(1)?,
                        reason: r.own(2)?,
                        by: r.own(3)?,
                        at: r.int(4)?,
                    })
                },
            )
        })
    }

    /// Ignores a column from the next scan on, in scans and proofs. It settles cases that nobody looked at, so it takes a
    /// lead.
    pub fn ignore(&mut self, entity: &str, column: &str, reason: &str) -> Result<()> {
        if reason.trim().is_empty() {
            return Err(Error::usage("`ignore` needs a reason").cure("--reason TEXT"));
        }
        let mapped = mapped(&self.here.schema, entity)?;
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
        self.act(&IgnoreIt { entity, column, reason })
    }

    /// Compares a column again that was ignored by [`Ledger::ignore`].
    pub fn compare_again(&mut self, entity: &str, column: &str, reason: &str) -> Result<()> {
        if reason.trim().is_empty() {
            return Err(Error::usage("to compare a column again needs a reason").cure("--reason TEXT"));
        }
        self.act(&CompareAgain { entity, column, reason })
    }
}

/// A column is ignored.
#[derive(Debug, Serialize)]
struct IgnoreIt<'a> {
    entity: &'a str,
    column: &'a str,
    reason: &'a str,
}

/// A column is compared again.
#[derive(Debug, Serialize)]
struct CompareAgain<'a> {
    entity: &'a str,
    column: &'a str,
    reason: &'a str,
}

impl Act for IgnoreIt<'_> {
    type Answer = ();
    const NAME: &'static str = "ignore";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "ignore",
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        let Self { entity, column, reason } = self;
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
            why: Some(&format!("{entity}.{column}: {reason}")),
            ..self.deed()
        })
    }
}

impl Act for CompareAgain<'_> {
    type Answer = ();
    const NAME: &'static str = "compare_again";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "undo",
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        let Self { entity, column, reason } = self;
        tx.require_lead("to compare a column again")?;
        let gone = tx.db.execute(
            "DELETE FROM ignores WHERE incident = ?1 AND entity = ?2 AND name = ?3",
            params![tx.incident, entity, column],
        )?;
        if gone == 0 {
            return Err(
                Error::refused(format!("nobody ignored {entity}.{column} in this incident"))
                    .cure("`restitch ignore` lists what is ignored; what the configuration ignores is changed there")
                    .into(),
            );
        }
        tx.audit(Deed {
            outcome: "ok",
            why: Some(&format!("{entity}.{column} is compared again: {reason}")),
            ..self.deed()
        })
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

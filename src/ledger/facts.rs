//! Small things about an incident, as JSON under a name: clocks, what was last read, who was told.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::policy::refuse_policy;
use super::sqlite::Tx;
use super::store::Act;
use crate::domain::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// What the audit trail says of a fact that somebody made true.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Said<'a> {
    /// The action, as `audit list` prints it.
    pub action: &'a str,
    /// What was done, and why.
    pub why: &'a str,
}

/// A fact to keep.
#[derive(Debug, Serialize)]
struct KeepFact<'a> {
    name: &'a str,
    /// JSON.
    value: String,
    said: Option<Said<'a>>,
}

impl Ledger {
    /// What was last kept under this name; `None` where nothing was.
    pub fn fact<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.read(|at| {
            at.one(
                "SELECT value FROM facts WHERE incident = ?1 AND name = ?2",
                &[at.incident().into(), name.into()],
                |r| r.json(0),
            )
        })
    }

    /// What is kept under names that begin so, by the rest of the name.
    pub fn facts_under<T: DeserializeOwned>(&self, prefix: &str) -> Result<BTreeMap<String, T>> {
        self.read(|at| {
            // What LIKE takes for more than itself is sorted out below.
            let like = format!("{prefix}%");
            let found = at.all(
                "SELECT name, value FROM facts WHERE incident = ?1 AND name LIKE ?2",
                &[at.incident().into(), like.as_str().into()],
                |r| {
                    let rest = r.text(0)?.strip_prefix(prefix).map(str::to_owned);
                    rest.map(|rest| Ok((rest, r.json(1)?))).transpose()
                },
            )?;
            Ok(found.into_iter().flatten().collect())
        })
    }

    /// Keeps a fact in place of the one before. A deed takes an operator and is written into the audit trail as `said`; a
    /// mere reading (`None`) the trail says nothing of, and a PostgreSQL ledger does not keep it for a viewer.
    pub fn keep_fact(&mut self, name: &str, value: &impl Serialize, said: Option<Said<'_>>) -> Result<()> {
        if said.is_none() && self.only_looks() {
            return Ok(());
        }
        let value = serde_json::to_string(value).map_err(|e| Error::failed(e.to_string()))?;
        self.act(&KeepFact { name, value, said })
    }
}

impl Act for KeepFact<'_> {
    type Answer = ();
    const NAME: &'static str = "keep_fact";

    fn counts_once(&self) -> bool {
        self.said.is_some()
    }

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: self.said.map_or(self.name, |s| s.action),
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        refuse_policy(self.name)?;
        if let Some(said) = self.said {
            tx.require_operator()?;
            tx.audit(Deed {
                outcome: "ok",
                why: Some(said.why),
                ..self.deed()
            })?;
        }
        tx.put_fact(self.name, &self.value)
    }
}

impl Tx<'_> {
    pub(super) fn put_fact(&self, name: &str, json: &str) -> Res<()> {
        self.db.execute(
            "INSERT OR REPLACE INTO facts (incident, name, value) VALUES (?1, ?2, ?3)",
            (self.incident, name, json),
        )?;
        Ok(())
    }
}

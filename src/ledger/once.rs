//! Facts that count once: of several who would keep one under the same name, the first does.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::policy::refuse_policy;
use super::sqlite::Tx;
use super::store::Act;
use crate::domain::{Error, Result};
use serde::Serialize;

/// A fact to keep where there is none.
#[derive(Debug, Serialize)]
struct FirstFact<'a> {
    name: &'a str,
    /// JSON.
    value: String,
}

impl Ledger {
    /// Keeps a fact where there is none of this name yet; whether this was the one. It takes an operator.
    pub fn first_fact(&mut self, name: &str, value: &impl Serialize) -> Result<bool> {
        let value = serde_json::to_string(value).map_err(|e| Error::failed(e.to_string()))?;
        self.act(&FirstFact { name, value })
    }
}

impl Act for FirstFact<'_> {
    type Answer = bool;
    const NAME: &'static str = "first_fact";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: self.name,
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<bool> {
        tx.require_operator()?;
        refuse_policy(self.name)?;
        let kept = tx.db.execute(
            "INSERT OR IGNORE INTO facts (incident, name, value) VALUES (?1, ?2, ?3)",
            (tx.incident, self.name, &self.value),
        )?;
        Ok(kept > 0)
    }
}

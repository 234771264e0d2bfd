//! Showing a masked field: nothing changes but the audit trail, which has who saw what, and why.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::sqlite::Tx;
use super::store::Act;
use crate::domain::{Error, Result};
use serde::Serialize;

/// A person wants to see a masked field of a case.
#[derive(Debug, Serialize)]
struct Unmask<'a> {
    case: &'a str,
    /// `entity.column: reason`.
    why: String,
}

impl Ledger {
    /// Writes down that somebody sees a masked column of a case, and why; only then may it be shown.
    pub fn unmask(&mut self, id: &str, entity: &str, column: &str, reason: &str) -> Result<()> {
        if reason.trim().is_empty() {
            return Err(Error::usage("to see a masked field needs a reason").cure("--reason TEXT"));
        }
        self.act(&Unmask {
            case: id,
            why: format!("{entity}.{column}: {reason}"),
        })
    }
}

impl Act for Unmask<'_> {
    type Answer = ();
    const NAME: &'static str = "unmask";

    fn deed(&self) -> Deed<'_> {
        Deed::on("unmask", self.case)
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        tx.require_operator()?;
        tx.case_no(self.case)?;
        tx.audit(Deed {
            outcome: "ok",
            why: Some(&self.why),
            ..self.deed()
        })
    }
}

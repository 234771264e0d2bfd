//! Who has which case open. Nothing of it is a deed, and the trail says nothing of it.

use super::audit::Deed;
use super::fault::Res;
use super::sqlite::Tx;
use super::store::Act;
use super::{Ledger, Store};
use crate::domain::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// Which case a console has open.
#[derive(Debug, Serialize)]
struct Look<'a> {
    console: &'a str,
    case: Option<&'a str>,
}

impl Ledger {
    /// Says which case a console has open, for half a minute unless it says so again. A SQLite ledger is one person's, and
    /// keeps nothing of it.
    pub fn look(&mut self, console: &str, case: Option<&str>) -> Result<()> {
        self.act(&Look { console, case })
    }

    /// The others who have a case open, by case, nobody twice.
    pub fn lookers(&self) -> Result<BTreeMap<String, Vec<String>>> {
        if matches!(self.store, Store::Sqlite(_)) {
            return Ok(BTreeMap::new());
        }
        let all = self.read(|at| {
            at.all(
                "SELECT DISTINCT case_id, login FROM lookers
                 WHERE incident = ?1 AND case_id IS NOT NULL AND login <> ?2 AND at > ?3 ORDER BY case_id, login",
                &[
                    at.incident().into(),
                    (&self.here.who.user).into(),
                    at.now().saturating_sub(30_000_000).into(),
                ],
                |r| Ok((r.own(0)?, r.own(1)?)),
            )
        })?;
        let mut lookers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (case, who) in all {
            lookers.entry(case).or_default().push(who);
        }
        Ok(lookers)
    }
}

impl Act for Look<'_> {
    type Answer = ();
    const NAME: &'static str = "look";

    fn counts_once(&self) -> bool {
        false
    }

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "look",
            case: self.case,
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, _: &Tx<'_>) -> Res<()> {
        Ok(())
    }
}

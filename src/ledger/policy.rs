//! What takes another person, as the ledger itself keeps it: `[approve]` of a lead's configuration. Whatever the
//! configuration of anybody else says, a decision without approval is refused here.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::plan::Plan;
use super::sqlite::Tx;
use super::store::{Act, Snapshot};
use super::who::Role;
use crate::config::Approve;
use crate::domain::{Error, ErrorKind, Result};
use rusqlite::{OptionalExtension, params};
use serde::Serialize;

/// The name of the fact that it is; only its own deed may set it.
const POLICY: &str = "approve";

/// A lead says what takes another person from here on.
#[derive(Debug, Serialize)]
struct SetPolicy<'a> {
    policy: &'a Approve,
    /// The same for people.
    words: String,
}

fn kept(at: &dyn Snapshot) -> Res<Option<Approve>> {
    at.one(
        "SELECT value FROM facts WHERE incident = ?1 AND name = ?2",
        &[at.incident().into(), POLICY.into()],
        |r| r.json(0),
    )
}

impl Ledger {
    /// What takes another person: by the ledger, and by the configuration of whoever acts.
    pub const fn approve(&self) -> &Approve {
        &self.here.approve
    }

    /// Takes the ledger's policy over. A lead whose configuration has another puts that in its place first; one that has
    /// none leaves it as it is.
    pub(super) fn settle_policy(&mut self) -> Result<()> {
        let known = self.read(|at| kept(at))?;
        let own = self.here.approve.clone();
        let sets = !self.readonly && self.here.role == Role::Lead && own != Approve::default();
        if sets && known.as_ref() != Some(&own) {
            let words = own.words();
            match self.act(&SetPolicy { policy: &own, words }) {
                // Where nothing can be written, nothing can be decided either.
                Err(error) if error.kind != ErrorKind::Failed => return Err(error),
                _ => return Ok(()),
            }
        }
        if let Some(known) = known {
            self.here.approve.add(&known);
        }
        Ok(())
    }
}

impl Act for SetPolicy<'_> {
    type Answer = ();
    const NAME: &'static str = "set_policy";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "policy",
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        tx.require_lead("to say what takes another person")?;
        tx.put_fact(POLICY, &serde_json::to_string(self.policy)?)?;
        tx.audit(Deed {
            outcome: "ok",
            why: Some(&self.words),
            ..self.deed()
        })
    }
}

impl Tx<'_> {
    /// Refuses a decision that takes another person's approval, but for one of a bulk that somebody else signed.
    pub(super) fn require_approval(&self, plan: &Plan) -> Res<()> {
        let Some(policy) = kept(self)? else { return Ok(()) };
        let Some(bulk) = &plan.bulk else {
            if policy.needs(plan.verb) {
                return Err(takes_two(plan.verb.name()).into());
            }
            return Ok(());
        };
        let size: i64 = self.db.query_row(
            "SELECT count(*) FROM bulk_items i JOIN bulks b ON b.no = i.bulk WHERE b.incident = ?1 AND b.id = ?2",
            (self.incident, bulk),
            |r| r.get(0),
        )?;
        if !policy.needs_for_bulk(plan.verb, usize::try_from(size).unwrap_or(0)) {
            return Ok(());
        }
        // What counts is what was signed: this decision, on these cases, asked for by whoever decides.
        let signed: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT 1 FROM papers p WHERE p.incident = ?1 AND p.key = ?2 AND p.kind = 'bulk' AND p.state = 'signed' AND p.by = ?3
                   AND p.content ->> '$.ask.verb' = ?4 AND p.content ->> '$.ask.reason' = ?5
                   AND p.content ->> '$.ask.ref' IS ?6 AND p.content ->> '$.ask.to' IS ?7
                   AND EXISTS (SELECT 1 FROM json_each(p.content, '$.cases') c WHERE c.value = ?8)",
            )?
            .query_row(
                params![
                    self.incident,
                    bulk,
                    self.who.user,
                    plan.verb.name(),
                    plan.reason,
                    plan.reference,
                    plan.to,
                    plan.cases.first().map(|c| &c.id)
                ],
                |r| r.get(0),
            )
            .optional()?;
        match signed {
            Some(_) => Ok(()),
            None => Err(takes_two(&format!("the bulk {bulk}")).into()),
        }
    }
}

/// What takes another person is no fact of whoever keeps facts.
pub(super) fn refuse_policy(name: &str) -> Res<()> {
    if name == POLICY {
        return Err(Error::refused("what takes another person is no fact of anybody").into());
    }
    Ok(())
}

fn takes_two(what: &str) -> Error {
    Error::refused(format!("{what} takes another person's approval: the ledger says so"))
        .cure("start restitch again: it then asks for approval")
}

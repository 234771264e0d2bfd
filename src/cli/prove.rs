//! `restitch prove`

use super::{Context, DONE, LEFT, bars, complain, one_case};
use crate::domain::case::State;
use crate::domain::progress::Progress;
use crate::domain::{Error, ErrorKind, Result};
use crate::job;
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::json;

/// Arguments of `prove`.
#[derive(Debug, Args)]
pub struct Prove {
    /// Only these cases: ids, labels or order keys
    #[arg(value_name = "CASE")]
    cases: Vec<String>,
}

impl Prove {
    /// Reads the restored database again for decided cases: 0 where every case is settled.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let mut ledger = context.ledger(&config)?;
        let ids = self.cases.iter().map(|case| one_case(&ledger, case));
        let ids = ids.collect::<Result<Vec<String>>>()?;
        let asked = (!ids.is_empty()).then_some(ids.as_slice());
        let files = ledger.to_prove(asked)?;
        let progress = Progress::default();
        let counts = bars::watch(context.globals, &progress, || {
            job::prove(&config, &mut ledger, asked, &progress)
        })?;
        let mut unconfirmed = 0_u64;
        for file in &files {
            let Some(now) = ledger.case(&file.found.id)? else {
                continue;
            };
            unconfirmed += u64::from(now.state == State::Unconfirmed);
            // A failed proof opens the case again: what was read stands in the decision that it failed.
            let decision = now.decision.as_ref().or(file.decision.as_ref());
            let proof = decision.and_then(|d| d.proof.as_ref());
            if context.out.wants_json() {
                context.out.json(&json!({
                    "case": now.found.id, "verb": decision.map(|d| d.verb), "state": now.state.name(),
                    "holds": proof.map(|(holds, _)| holds), "read": proof.map(|(_, read)| read),
                }))?;
            } else {
                let read = proof.map_or("", |(_, read)| read);
                context.out.line(&safe!(
                    "{} is {}: {}",
                    Safe::id(&now.found.id),
                    now.state.words(),
                    Safe::of(read)
                ))?;
            }
        }
        complain(&format!(
            "{} proven, {} failed and open again, {} not done yet, {} not to be told",
            counts.proven, counts.disproven, counts.waiting, counts.unclear
        ));
        if unconfirmed > 0 {
            let cases = if unconfirmed == 1 { "case is" } else { "cases are" };
            return Err(Error::new(
                ErrorKind::Unconfirmed,
                format!("{unconfirmed} {cases} unconfirmed still: nobody can tell whether the effect took place"),
            )
            .cure("prove again later; who knows from the receiver says so with `restitch done CASE --evidence TEXT`"));
        }
        Ok(if ledger.counts()?.unsettled() == 0 { DONE } else { LEFT })
    }
}

//! `restitch claim`, `drop` and `takeover`

use super::{Context, DONE, parse};
use crate::domain::{Result, queue, time};
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::json;
use std::time::Duration;

/// Arguments of `claim`.
#[derive(Debug, Args)]
pub struct Claim {
    /// Cases: ids, labels or order keys
    #[arg(required = true, value_name = "CASE")]
    cases: Vec<String>,
    /// For how long; claiming again renews
    #[arg(long = "for", value_name = "SPAN", default_value = "15m", value_parser = parse::span)]
    lease: Duration,
}

impl Claim {
    /// Takes the cases and those they wait for: a chain is claimed whole or not at all.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut ledger = context.ledger(&context.config()?)?;
        let mut ids: Vec<String> = Vec::new();
        for case in &self.cases {
            for id in ledger.chain(&super::one_case(&ledger, case)?)? {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        let claims = ledger.claim(&ids, self.lease)?;
        for (id, claim) in ids.iter().zip(&claims) {
            tell(context, id, claim)?;
        }
        Ok(DONE)
    }
}

/// Arguments of `drop`.
#[derive(Debug, Args)]
pub struct Drop {
    /// Cases: ids, labels or order keys
    #[arg(required = true, value_name = "CASE")]
    cases: Vec<String>,
}

impl Drop {
    /// Gives the cases back.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut ledger = context.ledger(&context.config()?)?;
        let ids = self.cases.iter().map(|case| super::one_case(&ledger, case));
        let ids = ids.collect::<Result<Vec<String>>>()?;
        ledger.drop_claims(&ids)?;
        for id in &ids {
            if context.out.wants_json() {
                context.out.json(&json!({"case": id, "claimed_by": null}))?;
            } else {
                context.out.line(&safe!("{} is given back", Safe::id(id)))?;
            }
        }
        Ok(DONE)
    }
}

/// Arguments of `takeover`.
#[derive(Debug, Args)]
pub struct Takeover {
    /// The case: id, label or order key
    case: String,
    /// Why; whoever held it is told
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how long
    #[arg(long = "for", value_name = "SPAN", default_value = "15m", value_parser = parse::span)]
    lease: Duration,
}

impl Takeover {
    /// Takes the case from whoever holds it.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut ledger = context.ledger(&context.config()?)?;
        let id = super::one_case(&ledger, &self.case)?;
        let claim = ledger.take_over(&id, &self.reason, self.lease)?;
        tell(context, &id, &claim)?;
        Ok(DONE)
    }
}

/// Says until when a case is whose.
fn tell(context: &mut Context<'_>, id: &str, claim: &queue::Claim) -> Result<()> {
    let until = time::format(claim.until);
    if context.out.wants_json() {
        return context
            .out
            .json(&json!({"case": id, "claimed_by": claim.by, "claimed_until": until, "fence": claim.fence}));
    }
    context
        .out
        .line(&safe!("{} is yours until {}", Safe::id(id), Safe::of(&until)))
}

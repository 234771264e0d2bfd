//! `restitch ledger`

use super::{Context, DONE};
use crate::domain::Result;
use crate::ledger;
use crate::text::Safe;
use clap::{Args, Subcommand};
use serde_json::json;

/// Arguments of `ledger`.
#[derive(Debug, Args)]
pub struct OfLedger {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a PostgreSQL ledger, or bring it up to date; again and again without harm
    Create {
        /// Even in the database that is being restored
        #[arg(long)]
        inside_restored: bool,
    },
    /// Print what a DBA must run where you may not make it
    Grants,
}

impl OfLedger {
    /// Makes the ledger, or prints SQL.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        match self.what {
            What::Create { inside_restored } => {
                let did = ledger::create(&config, inside_restored)?;
                if context.out.wants_json() {
                    context.out.json(&json!({"did": did}))?;
                } else {
                    context.out.line(&Safe::of(&did))?;
                }
            }
            What::Grants => {
                for line in ledger::grants(&config)?.lines() {
                    context.out.line(&Safe::of(line))?;
                }
            }
        }
        Ok(DONE)
    }
}

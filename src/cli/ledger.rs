//! `restitch ledger`

use super::{Context, DONE, complain};
use crate::config::Effect;
use crate::domain::Result;
use crate::ledger;
use crate::resolve::effects;
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
                // What is not made here and is missing there.
                if effects::marker(&config).is_some()
                    && let Err(error) = effects::ready(&config, &Effect::Sql)
                {
                    let cure = error.cure.as_deref().unwrap_or_default();
                    complain(&format!("effects `sql`: {}: {cure}", error.what));
                }
            }
            What::Grants => {
                let grants = [Some(ledger::grants(&config)?), effects::marker(&config)];
                for line in grants.iter().flatten().flat_map(|sql| sql.lines()) {
                    context.out.line(&Safe::of(line))?;
                }
            }
        }
        Ok(DONE)
    }
}

//! `restitch audit`

use super::{Context, DONE};
use crate::domain::Result;
use crate::safe;
use crate::text::Safe;
use clap::{Args, Subcommand};
use serde_json::json;

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct Audit {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the trail
    List,
    /// Check that the trail's chain is whole
    Verify,
}

impl Audit {
    /// Prints the trail, or says whether its chain is whole.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let ledger = context.reading(&context.config()?)?;
        match self.what {
            What::List if context.out.wants_json() => ledger.audit(&mut |line| context.out.json(&line))?,
            What::List => {
                let mut table = context
                    .out
                    .table(&["seq", "at", "who", "action", "case", "verb", "outcome", "why"]);
                ledger.audit(&mut |line| {
                    let own = |text: &str| Safe::of(text).into_owned();
                    let optional = |text: &Option<String>| own(text.as_deref().unwrap_or(""));
                    table.row(vec![
                        safe!("{}", line.seq),
                        own(&line.at),
                        own(&line.who),
                        own(&line.action),
                        Safe::id(line.case.as_deref().unwrap_or("")).into_owned(),
                        optional(&line.verb),
                        own(&line.outcome),
                        optional(&line.why),
                    ])
                })?;
                table.end()?;
            }
            What::Verify => {
                let lines = ledger.verify()?;
                if context.out.wants_json() {
                    context.out.json(&json!({"whole": true, "lines": lines}))?;
                } else {
                    context.out.line(&safe!("the chain is whole: {} lines", lines))?;
                }
            }
        }
        Ok(DONE)
    }
}

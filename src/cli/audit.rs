//! `restitch audit`

use super::{Context, DONE};
use crate::domain::{Error, Result};
use crate::ledger::anchor;
use crate::safe;
use crate::text::Safe;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;

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
    /// Check that the trail's chain is whole, and that no anchored line is gone
    Verify {
        /// Hold it against the anchors of this file, beside that of `audit.anchor`
        #[arg(long, value_name = "FILE")]
        anchor: Option<PathBuf>,
    },
    /// Write the newest line's hash to a file outside the ledger
    Anchor {
        /// Append it to this file; `audit.anchor` unless given
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

impl Audit {
    /// Prints the trail, says whether it is whole, or anchors it.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let ledger = context.reading(&config)?;
        match self.what {
            What::List if context.out.wants_json() => ledger.audit(&mut |line| context.out.json(&line))?,
            What::List => {
                let mut table = context
                    .out
                    .table(&["seq", "at", "who", "from", "action", "case", "verb", "outcome", "why"]);
                ledger.audit(&mut |line| {
                    let own = |text: &str| Safe::of(text).into_owned();
                    let optional = |text: &Option<String>| own(text.as_deref().unwrap_or(""));
                    let user = if line.system_user == line.who {
                        ""
                    } else {
                        &line.system_user
                    };
                    let from = [user, line.ssh.as_deref().unwrap_or("")];
                    let from: Vec<&str> = from.into_iter().filter(|t| !t.is_empty()).collect();
                    table.row(vec![
                        safe!("{}", line.seq),
                        own(&line.at),
                        own(&line.who),
                        own(&from.join(" ")),
                        own(&line.action),
                        Safe::id(line.case.as_deref().unwrap_or("")).into_owned(),
                        optional(&line.verb),
                        own(&line.outcome),
                        optional(&line.why),
                    ])
                })?;
                table.end()?;
            }
            What::Verify { anchor } => {
                let mut anchors = Vec::new();
                // The configured file may not be there yet; one that is named must be.
                for path in config.anchor.iter().filter(|p| p.exists()).chain(&anchor) {
                    anchors.extend(anchor::read(path)?);
                }
                let lines = ledger.verify()?;
                ledger.verify_anchors(&anchors)?;
                if context.out.wants_json() {
                    let mut told = json!({"whole": true, "lines": lines});
                    if !anchors.is_empty() {
                        told["anchors"] = json!(anchors.len());
                    }
                    context.out.json(&told)?;
                } else {
                    context.out.line(&safe!("the chain is whole: {} lines", lines))?;
                    if !anchors.is_empty() {
                        let words = safe!("{} anchors stand in it", anchors.len());
                        context.out.line(&words)?;
                    }
                }
            }
            What::Anchor { to } => {
                let path = to.or(config.anchor).ok_or_else(|| {
                    Error::usage("no file is given to write the anchor to")
                        .cure("--to FILE, or `audit.anchor` in the configuration")
                })?;
                let head = ledger
                    .head()?
                    .ok_or_else(|| Error::failed("the trail has no line yet, so nothing can be anchored"))?;
                head.append(&path)?;
                if context.out.wants_json() {
                    context.out.json(&head)?;
                } else {
                    let shown = path.display().to_string();
                    let words = safe!("line {} is anchored in {}", head.seq, Safe::of(&shown));
                    context.out.line(&words)?;
                }
            }
        }
        Ok(DONE)
    }
}

//! `restitch handover` and `restitch signoff`.

use super::approve::paper_json;
use super::{Context, DONE, bars};
use crate::domain::paper::{Paper, PaperKind, PaperState};
use crate::domain::progress::Progress;
use crate::domain::{Error, Result, time};
use crate::job::{self, SignedOff};
use crate::ledger::Ledger;
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::{Value as Json, json};

/// Arguments of `handover`.
#[derive(Debug, Args)]
pub struct Handover {
    /// Who takes over; they alone may sign
    #[arg(long, value_name = "PERSON", conflicts_with = "take")]
    to: Option<String>,
    /// What they should know
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Sign for what was handed over to you; without a key the last
    #[arg(long, value_name = "KEY", num_args = 0..=1, default_missing_value = "")]
    take: Option<String>,
    /// Show the last hand-over, and do nothing
    #[arg(long, conflicts_with_all = ["to", "take"])]
    list: bool,
}

impl Handover {
    /// Hands the open list over, or takes it over.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        if self.list {
            let ledger = context.reading(&config)?;
            let last = last(&ledger, None)?;
            return match last {
                Some(paper) => show(context, &paper),
                None => Err(Error::usage("no shift was handed over in this incident")),
            };
        }
        let mut ledger = context.ledger(&config)?;
        let Some(key) = &self.take else {
            let paper = job::hand_over(&mut ledger, self.to.as_deref(), &self.note)?;
            return show(context, &paper);
        };
        let paper = match key.as_str() {
            "" => last(&ledger, Some(PaperState::Waits))?,
            key => ledger.paper(key)?.filter(|p| p.kind == PaperKind::Handover),
        };
        let paper = paper.ok_or_else(|| {
            Error::usage("no hand-over waits for a signature")
                .cure("`restitch handover`, by whoever gives the shift away")
        })?;
        ledger.sign(&paper, &self.note)?;
        let signed = ledger.paper(&paper.key)?.unwrap_or(paper);
        show(context, &signed)
    }
}

fn last(ledger: &Ledger, state: Option<PaperState>) -> Result<Option<Paper>> {
    let mut papers = ledger.papers()?;
    papers.retain(|p| p.kind == PaperKind::Handover && state.is_none_or(|s| s == p.state));
    Ok(papers.pop())
}

fn show(context: &mut Context<'_>, paper: &Paper) -> Result<u8> {
    let out = &mut *context.out;
    if out.wants_json() {
        out.json(&paper_json(paper))?;
        return Ok(DONE);
    }
    let (by, at) = (Safe::id(&paper.by), time::format(paper.at));
    let key = Safe::id(&paper.key);
    out.line(&safe!("{}: handed over by {} at {}", key, by, Safe::of(&at)))?;
    for line in paper.lines() {
        out.line(&safe!("  {}", Safe::of(&line)))?;
    }
    let signed = match (&paper.answered_by, &paper.to) {
        (Some(by), _) => safe!("  {} by {}", paper.state.name(), Safe::id(by)),
        (None, Some(to)) => safe!("  it waits for {}: restitch handover --take", Safe::id(to)),
        (None, None) => safe!("  it waits for whoever takes over: restitch handover --take"),
    };
    out.line(&signed)?;
    Ok(DONE)
}

/// Arguments of `signoff`.
#[derive(Debug, Args)]
pub struct Signoff {
    /// A word to go with it
    #[arg(long, value_name = "TEXT", default_value = "every case is settled")]
    reason: String,
}

impl Signoff {
    /// Reads all decided cases again, and signs the incident off where every one is settled.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let mut ledger = context.ledger(&config)?;
        let progress = Progress::default();
        let ended = bars::watch(context.globals, &progress, || {
            job::sign_off(&config, &mut ledger, &self.reason, &progress)
        })?;
        let out = &mut *context.out;
        match ended {
            SignedOff::Yes(paper) => {
                if out.wants_json() {
                    let mut json = paper_json(&paper);
                    json["signed_off"] = json!(true);
                    out.json(&json)?;
                } else {
                    let (by, at) = (Safe::id(&paper.by), time::format(paper.at));
                    out.line(&safe!("signed off by {} at {}", by, Safe::of(&at)))?;
                    let read = paper.content["read_again"].as_u64().unwrap_or(0);
                    let total = paper.content["counts"]["total"].as_u64().unwrap_or(0);
                    out.line(&safe!("  {} cases settled, {} read again", total, read))?;
                }
                Ok(DONE)
            }
            SignedOff::No(left, error) => {
                if out.wants_json() {
                    let left: Vec<Json> = left
                        .iter()
                        .map(|l| json!({"case": l.case, "label": l.label, "state": l.state, "why": l.why}))
                        .collect();
                    out.json(&json!({"signed_off": false, "left": left}))?;
                } else {
                    for l in &left {
                        let why = match l.why.as_str() {
                            "" => safe!(""),
                            why => safe!(": {}", Safe::of(why)),
                        };
                        out.line(&safe!("{} is {}{}", Safe::id(&l.case), l.state.words(), why))?;
                    }
                }
                Err(error)
            }
        }
    }
}

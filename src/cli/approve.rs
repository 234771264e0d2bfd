//! `restitch approve`: what waits for another person, and their yes or no.

use super::{Context, DONE, deeds, effects};
use crate::domain::paper::{Paper, PaperKind};
use crate::domain::{Error, Result, time};
use crate::job;
use crate::ledger::Ledger;
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::{Value as Json, json};

/// Arguments of `approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// The key of what waits, or its case; without it all that waits is listed
    #[arg(value_name = "KEY|CASE")]
    what: Option<String>,
    /// Say no instead, and why
    #[arg(long, value_name = "REASON")]
    decline: Option<String>,
    /// A word to go with the approval
    #[arg(long, value_name = "TEXT", conflicts_with = "decline", default_value = "")]
    reason: String,
    /// Show exactly what would be approved, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Approve {
    /// Lists what waits for approval, or approves or declines what somebody else asked for.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let Some(what) = &self.what else {
            let ledger = context.reading(&config)?;
            for paper in waiting(&ledger)? {
                show(context, &paper)?;
            }
            return Ok(DONE);
        };
        let mut ledger = context.ledger(&config)?;
        let paper = one(&ledger, what)?;
        if self.dry_run {
            show(context, &paper)?;
            return Ok(DONE);
        }
        if let Some(why) = &self.decline {
            ledger.decline(&paper, why)?;
            return said(context, &paper, "declined", &[]);
        }
        let decided = job::approve(&config, &mut ledger, &paper, &self.reason)?;
        let after = effects::carry_out(context, &config, &mut ledger, &decided)?;
        let told = said(context, &paper, "approved", &after.cases)?;
        after.failure.map_or(Ok(told), Err)
    }
}

/// What waits for another person's approval, oldest first.
pub fn waiting(ledger: &Ledger) -> Result<Vec<Paper>> {
    let mut papers = ledger.waiting_papers()?;
    papers.retain(|p| matches!(p.kind, PaperKind::Decision | PaperKind::Bulk));
    Ok(papers)
}

/// The paper that somebody means by its key or its case.
fn one(ledger: &Ledger, what: &str) -> Result<Paper> {
    if let Some(paper) = ledger.paper(what)? {
        return Ok(paper);
    }
    let case = super::one_case(ledger, what).ok();
    let mut papers = waiting(ledger)?;
    papers.retain(|p| p.case.is_some() && p.case == case);
    papers.pop().ok_or_else(|| {
        Error::usage(format!("nothing waits for approval under {what:?}")).cure("`restitch approve` lists what waits")
    })
}

fn said(
    context: &mut Context<'_>,
    paper: &Paper,
    word: &'static str,
    decided: &[(String, crate::domain::case::State)],
) -> Result<u8> {
    if context.out.wants_json() {
        let cases: Vec<Json> = decided
            .iter()
            .map(|(case, state)| json!({"case": case, "state": state.name()}))
            .collect();
        context
            .out
            .json(&json!({"key": paper.key, "kind": paper.kind, "answer": word, "by": paper.by, "cases": cases}))?;
        return Ok(DONE);
    }
    for (case, state) in decided {
        deeds::stands(context, case, *state)?;
    }
    let key = Safe::id(&paper.key);
    context
        .out
        .line(&safe!("{} of {} is {}", paper.kind.name(), Safe::id(&paper.by), word))?;
    if paper.kind == PaperKind::Bulk && word == "approved" {
        let by = Safe::id(&paper.by);
        context
            .out
            .line(&safe!("{} runs it now: restitch bulk --resume {}", by, key))?;
    }
    Ok(DONE)
}

/// Prints a paper whole: what exactly is signed.
pub fn show(context: &mut Context<'_>, paper: &Paper) -> Result<()> {
    let out = &mut *context.out;
    if out.wants_json() {
        return out.json(&paper_json(paper));
    }
    let at = time::format(paper.at);
    let what = match &paper.case {
        Some(case) => safe!("{} on {}", paper.kind.name(), Safe::id(case)),
        None => safe!("{}", paper.kind.name()),
    };
    out.line(&safe!(
        "{}: {} by {} at {}",
        Safe::id(&paper.key),
        what,
        Safe::id(&paper.by),
        Safe::of(&at)
    ))?;
    for line in paper.lines() {
        out.line(&safe!("  {}", Safe::of(&line)))?;
    }
    out.line(&safe!("  digest {}", Safe::of(&paper.digest)))
}

/// The object that `--json` prints for a paper.
pub fn paper_json(paper: &Paper) -> Json {
    json!({
        "key": paper.key, "kind": paper.kind, "case": paper.case, "digest": paper.digest, "content": paper.content,
        "by": paper.by, "at": time::format(paper.at), "to": paper.to, "state": paper.state,
        "answered_by": paper.answered_by, "answered_at": paper.answered_at.map(time::format), "answer": paper.answer,
    })
}

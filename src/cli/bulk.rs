//! `restitch bulk`: the same decision for many cases.

use super::{Context, DONE, complain, effects, one_case, parse};
use crate::domain::case::{State, Verb};
use crate::domain::paper::{Bulk, BulkAsk, ItemState, PaperState, Scope, Sifted};
use crate::domain::{Error, Result, time};
use crate::job::bulk;
use crate::ledger::Ledger;
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::{Value as Json, json};

/// Arguments of `bulk`.
#[derive(Debug, Args)]
pub struct BulkRun {
    /// The verb; without one, and without --resume, all bulks are listed
    #[arg(value_parser = parse::verb)]
    verb: Option<Verb>,
    /// All undecided cases of the same shape as this one
    #[arg(long, value_name = "CASE", conflicts_with = "filter", requires = "verb")]
    like: Option<String>,
    /// All cases that this filter shows, in the words of the console: state:open kind:lost
    #[arg(long, value_name = "FILTER", requires = "verb")]
    filter: Option<String>,
    /// Why; without it the reason given when the case of --like was decided so
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// relink: the referring column
    #[arg(long = "ref", value_name = "COLUMN")]
    reference: Option<String>,
    /// relink: the row to refer to; escalate: the person
    #[arg(long, value_name = "KEY|PERSON")]
    to: Option<String>,
    /// What shows it
    #[arg(long, value_name = "TEXT")]
    evidence: Option<String>,
    /// park, escalate: until when
    #[arg(long, value_name = "TIME", value_parser = parse::instant)]
    until: Option<i64>,
    /// So many cases must be left to decide, as --dry-run says: nothing is done where it is another number
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// Show which cases it would decide and which not, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on with a bulk that was cut short
    #[arg(long, value_name = "ID", conflicts_with_all = ["verb", "dry_run"])]
    resume: Option<String>,
}

impl BulkRun {
    /// Decides all cases meant, or shows what it would do, or goes on where it was cut short.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        if let Some(id) = &self.resume {
            let mut ledger = context.ledger(&config)?;
            return work_off(context, &config, &mut ledger, id);
        }
        let Some(verb) = self.verb else {
            let ledger = context.reading(&config)?;
            for bulk in ledger.bulks()? {
                tell(context, &ledger, &bulk)?;
            }
            return Ok(DONE);
        };
        let mut ledger = context.ledger(&config)?;
        let scope = match (&self.like, &self.filter) {
            (Some(case), _) => Scope::Like(one_case(&ledger, case)?),
            (None, Some(filter)) => Scope::Filter(filter.clone()),
            (None, None) => {
                return Err(Error::usage("`bulk` needs to know which cases").cure("--like CASE or --filter FILTER"));
            }
        };
        let ask = self.ask(&ledger, &scope, verb)?;
        let sifted = bulk::sift(&config, &ledger, &scope, ask)?;
        if self.dry_run {
            show(context, &sifted)?;
            return Ok(DONE);
        }
        if self.count != Some(sifted.taken.len()) {
            show(context, &sifted)?;
            let cases = sifted.taken.len();
            let what = match self.count {
                Some(count) => format!("{cases} cases would be decided, not {count}; nothing was done"),
                None => format!("{cases} cases would be decided; nothing was done"),
            };
            return Err(Error::refused(what).cure(format!("look at them, then say so: --count {cases}")));
        }
        let id = bulk::freeze(&mut ledger, &sifted)?;
        if sifted.waits {
            let bulk = known(&ledger, &id)?;
            tell(context, &ledger, &bulk)?;
            return Ok(DONE);
        }
        work_off(context, &config, &mut ledger, &id)
    }

    fn ask(&self, ledger: &Ledger, scope: &Scope, verb: Verb) -> Result<BulkAsk> {
        let decided = match scope {
            Scope::Like(case) => ledger.case(case)?.and_then(|c| c.decision),
            _ => None,
        };
        let before = decided.filter(|d| d.verb == verb).map(|d| d.reason);
        let reason = self.reason.clone().or(before);
        Ok(BulkAsk {
            verb,
            reason: reason.ok_or_else(|| Error::usage("a decision needs a reason").cure("--reason TEXT"))?,
            reference: self.reference.clone(),
            to: self.to.clone(),
            evidence: self.evidence.clone(),
            until: self.until,
        })
    }
}

fn known(ledger: &Ledger, id: &str) -> Result<Bulk> {
    let none = || Error::usage(format!("there is no bulk {id:?}")).cure("`restitch bulk` lists them");
    ledger.bulk(id)?.ok_or_else(none)
}

fn work_off(context: &mut Context<'_>, config: &crate::config::Config, ledger: &mut Ledger, id: &str) -> Result<u8> {
    let speak = context.globals.verbose > 0;
    let bulk = bulk::run(config, ledger, id, &mut |sums| {
        if speak {
            complain(&sums.words());
        }
        true
    })?;
    let mut failure = None;
    for item in ledger
        .bulk_items(id, false)?
        .iter()
        .filter(|i| i.state == ItemState::Done)
    {
        let after = effects::carry_out(context, config, ledger, &[(item.case.clone(), State::ToDo)])?;
        failure = failure.or(after.failure);
    }
    tell(context, ledger, &bulk)?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    match &bulk.stopped {
        None => Ok(DONE),
        Some(why) => Err(Error::failed(format!("stopped after {why}")).cure(format!("restitch bulk --resume {id}"))),
    }
}

/// What it would do.
fn show(context: &mut Context<'_>, sifted: &Sifted) -> Result<()> {
    let out = &mut *context.out;
    if out.wants_json() {
        let cases: Vec<&String> = sifted.taken.iter().map(|(id, ..)| id).collect();
        return out.json(&json!({
            "verb": sifted.ask.verb, "reason": sifted.ask.reason, "scope": sifted.scope, "dry_run": true,
            "count": cases.len(), "cases": cases, "excluded": sifted.excluded, "kind": sifted.kind,
            "awaits_approval": sifted.waits,
        }));
    }
    let verb = sifted.ask.verb.name();
    out.line(&safe!(
        "{} {} cases, {}: {}",
        verb,
        sifted.taken.len(),
        Safe::of(&sifted.scope),
        sifted.kind
    ))?;
    for (id, label, _) in &sifted.taken {
        out.line(&safe!("  {} {}", Safe::id(label), Safe::id(id)))?;
    }
    for left in &sifted.excluded {
        out.line(&safe!("  not {}: {}", Safe::id(&left.label), Safe::of(&left.why)))?;
    }
    if sifted.waits {
        out.line(&Safe::ours("  another person must approve it first"))?;
    }
    Ok(())
}

/// How far a bulk is.
fn tell(context: &mut Context<'_>, ledger: &Ledger, bulk: &Bulk) -> Result<()> {
    let paper = ledger.paper(&bulk.id)?;
    let waits = paper.is_some_and(|p| p.state == PaperState::Waits);
    let items = ledger.bulk_items(&bulk.id, false)?;
    let out = &mut *context.out;
    if out.wants_json() {
        let items: Vec<Json> = items
            .iter()
            .map(|i| json!({"case": i.case, "state": i.state, "why": i.why}))
            .collect();
        return out.json(&json!({
            "id": bulk.id, "verb": bulk.ask.verb, "reason": bulk.ask.reason, "scope": bulk.scope, "dry_run": false,
            "by": bulk.by, "at": time::format(bulk.at), "total": bulk.sums.total, "done": bulk.sums.done,
            "failed": bulk.sums.failed, "skipped": bulk.sums.skipped, "pending": bulk.sums.pending,
            "stopped": bulk.stopped, "awaits_approval": waits, "cases": items, "excluded": bulk.excluded,
        }));
    }
    let verb = bulk.ask.verb.name();
    let id = Safe::id(&bulk.id);
    out.line(&safe!(
        "{}: {} by {}: {}",
        id.clone(),
        verb,
        Safe::id(&bulk.by),
        Safe::of(&bulk.sums.words())
    ))?;
    for item in items.iter().filter(|i| i.why.is_some()) {
        let why = item.why.as_deref().unwrap_or_default();
        out.line(&safe!(
            "  {} {}: {}",
            Safe::id(&item.case),
            item.state.name(),
            Safe::of(why)
        ))?;
    }
    if waits {
        out.line(&safe!("  it waits for another person: restitch approve {}", id))?;
    }
    Ok(())
}

//! `restitch resolve`

use super::{Context, DONE, deeds, effects, one_case, parse};
use crate::config::Config;
use crate::domain::case::Verb;
use crate::domain::paper::PaperState;
use crate::domain::queue::Decide;
use crate::domain::{Error, Result};
use crate::job;
use crate::ledger::{self, Ledger};
use crate::resolve::effects::plan::{self, Asked};
use crate::resolve::guards::{self, Offer};
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::json;

/// Arguments of `resolve`.
#[derive(Debug, Args)]
pub struct Resolve {
    /// The case: id, label or order key
    case: String,
    /// keep, reapply, resubmit, relink, complete, supersede, cancel, park or escalate
    #[arg(value_parser = parse::verb)]
    verb: Verb,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// relink: the referring column
    #[arg(long = "ref", value_name = "COLUMN")]
    reference: Option<String>,
    /// relink: the row to refer to; supersede: the other order's case or key; escalate: the person
    #[arg(long, value_name = "KEY|CASE|PERSON")]
    to: Option<String>,
    /// complete: what shows that it was done outside
    #[arg(long, value_name = "TEXT")]
    evidence: Option<String>,
    /// park, escalate: until when
    #[arg(long, value_name = "TIME", value_parser = parse::instant)]
    until: Option<i64>,
    /// Show exactly what it would do, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// The case id once more, for a verb that cannot be taken back
    #[arg(long, value_name = "CASE")]
    confirm: Option<String>,
}

impl Resolve {
    /// Decides a case that one holds.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let mut ledger = context.ledger(&config)?;
        let id = one_case(&ledger, &self.case)?;
        let decide = Decide {
            case: id,
            key: ledger::new_key(),
            verb: Some(self.verb),
            reason: self.reason,
            reference: self.reference,
            to: self.to,
            evidence: self.evidence,
            until: self.until,
            confirm: self.confirm,
            fence: None,
            seen: None,
        };
        if self.dry_run {
            let mut offer = offer(&ledger, &config, &decide, self.verb)?;
            if self.verb == Verb::Resubmit && offer.refused.is_none() {
                offer.refused = job::why_not_resubmit(&config, &ledger, &decide.case)?.map(|e| e.what);
            }
            return show(context, &decide, &offer);
        }
        let stand = job::decide(&config, &mut ledger, &decide)?;
        let paper = ledger.paper(&decide.key)?;
        let waits = paper.is_some_and(|p| p.state == PaperState::Waits);
        let after = effects::carry_out(context, &config, &mut ledger, &stand)?;
        if context.out.wants_json() {
            let cases: Vec<_> = after
                .cases
                .iter()
                .map(|(case, state)| json!({"case": case, "state": state.name()}))
                .collect();
            context.out.json(&json!({
                "case": decide.case, "verb": self.verb, "key": decide.key, "dry_run": false, "awaits_approval": waits,
                "cases": cases, "effect": after.effect,
            }))?;
        } else {
            for (case, state) in &after.cases {
                deeds::stands(context, case, *state)?;
            }
            if let Some(words) = after.effect.as_ref().and_then(|e| e.outcome.as_ref()) {
                context.out.line(&safe!("  {}", Safe::of(words)))?;
            }
        }
        if waits && !context.out.wants_json() {
            let key = Safe::id(&decide.key);
            context
                .out
                .line(&safe!("it waits for another person: restitch approve {}", key))?;
        }
        after.failure.map_or(Ok(DONE), Err)
    }
}

/// What the verb would do with these arguments.
fn offer(ledger: &Ledger, config: &Config, decide: &Decide, verb: Verb) -> Result<Offer> {
    let gone = || Error::usage(format!("there is no case {:?}", decide.case));
    let offers = ledger.offers(&decide.case)?;
    let mut offer = offers.into_iter().find(|o| o.verb == verb).ok_or_else(gone)?;
    let asked = Asked {
        reference: decide.reference.as_deref(),
        to: decide.to.as_deref(),
    };
    // What these depend on, the menu does not know.
    if matches!(verb, Verb::Relink | Verb::Supersede) {
        let file = ledger.case(&decide.case)?.ok_or_else(gone)?;
        offer.steps = guards::own_steps(&file, verb, asked.reference, asked.to, &config.schema);
        match plan::plan(config.effects.of(verb), verb, &file.found, &[], asked, &config.schema) {
            Ok(None) => {}
            Ok(Some(planned)) => (offer.steps, offer.effect) = (planned.lines, Some(planned.json)),
            Err(why) => offer.refused = offer.refused.or(Some(why)),
        }
    }
    Ok(offer)
}

/// Prints what the verb would do; refused where it may not.
fn show(context: &mut Context<'_>, decide: &Decide, offer: &Offer) -> Result<u8> {
    let out = &mut *context.out;
    if out.wants_json() {
        out.json(&json!({
            "case": decide.case, "verb": offer.verb, "dry_run": true, "what": offer.what, "refused": offer.refused,
            "kind": offer.kind, "undo": offer.undo, "steps": offer.steps, "evidence_wanted": offer.wanted,
            "also": offer.also, "asks": offer.asks, "effect": offer.effect,
        }))?;
    } else {
        out.line(&safe!(
            "{} {}: {}",
            offer.verb.name(),
            Safe::id(&decide.case),
            Safe::of(&offer.what)
        ))?;
        let does = if offer.effect.is_some() { "does" } else { "to do" };
        for step in &offer.steps {
            out.line(&safe!("  {}: {}", does, Safe::of(step)))?;
        }
        if let Some(wanted) = offer.wanted {
            out.line(&safe!("  evidence wanted: {}", Safe::ours(wanted)))?;
        }
        if let Some(asks) = &offer.asks {
            out.line(&safe!("  first: {}; the answer is its --evidence", Safe::of(asks)))?;
        }
        for case in &offer.also {
            out.line(&safe!("  decides too: {}", Safe::id(case)))?;
        }
        out.line(&safe!("  {}: {}", offer.kind, Safe::of(&offer.undo)))?;
        out.line(&Safe::ours("  nothing was changed (--dry-run)"))?;
    }
    match &offer.refused {
        None => Ok(DONE),
        Some(why) => Err(Error::refused(format!(
            "{} is refused for {}: {why}",
            offer.verb.name(),
            decide.case
        ))),
    }
}

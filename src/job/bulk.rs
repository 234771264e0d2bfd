//! The same decision for many cases: a set is sifted, frozen in the ledger, and worked off one by one.
//!
//! Each case of it is an ordinary decision under a key made of the bulk's id and its place, so a bulk that died may be
//! begun again at any place: what was decided is not decided twice.

use super::{carry_out, decide_in_bulk};
use crate::config::{Approve, Config};
use crate::console::model::query::Query;
use crate::domain::case::Verb;
use crate::domain::paper::{Bulk, BulkAsk, BulkItem, Excluded, ItemState, PaperKind, PaperState, Scope, Sifted, Sums};
use crate::domain::queue::{CaseFile, Course, Decide, Filter};
use crate::domain::{Error, ErrorKind, Result};
use crate::ledger::{self, Ledger};
use crate::resolve::bulk::{seen, shape, why_not};
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};

/// A case is held so long while its turn lasts.
const LEASE: Duration = Duration::from_mins(1);

/// Says which of the meant cases the verb can be decided on, and why the others cannot. Changes nothing.
pub fn sift(config: &Config, ledger: &Ledger, scope: &Scope, ask: BulkAsk) -> Result<Sifted> {
    let mut sifted = Sifted {
        scope: scope.words(),
        taken: Vec::new(),
        excluded: Vec::new(),
        waits: false,
        kind: crate::resolve::guards::REVERSIBLE,
        ask,
    };
    for id in meant(ledger, scope)? {
        let Some(file) = ledger.case(&id)? else {
            return Err(Error::usage(format!("there is no case {id:?}")).cure("`restitch cases` lists them"));
        };
        let offers = ledger.offers(&id)?;
        let Some(offer) = offers.iter().find(|o| o.verb == sifted.ask.verb) else {
            continue;
        };
        let label = file.found.label.clone();
        match why_not(&file, offer) {
            None => {
                if offer.kind != sifted.kind && sifted.kind != crate::resolve::guards::ONE_WAY {
                    sifted.kind = offer.kind;
                }
                sifted.taken.push((id, label, seen(&file.found)));
            }
            Some(why) => sifted.excluded.push(Excluded { case: id, label, why }),
        }
    }
    let mut approve: Approve = config.approve.clone();
    approve.add(ledger.approve());
    sifted.waits = approve.needs_for_bulk(sifted.ask.verb, sifted.taken.len());
    Ok(sifted)
}

/// The ids of the cases meant, in queue order.
fn meant(ledger: &Ledger, scope: &Scope) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    match scope {
        Scope::These(these) => ids.clone_from(these),
        Scope::Filter(text) => {
            let query = Query::parse(text).map_err(|problem| Error::usage(problem).at("--filter"))?;
            let me = &ledger.who().user;
            ledger.each_row(&Filter::default(), &mut |row| {
                if query.matches(&row, me) {
                    ids.push(row.id.into());
                }
                true
            })?;
        }
        Scope::Like(case) => {
            let Some(like) = ledger.case(case)? else {
                return Err(Error::usage(format!("there is no case {case:?}")).cure("`restitch cases` lists them"));
            };
            let (shape_wanted, kinds) = (shape(&like.found), like.found.kinds());
            let mut alike = Vec::new();
            ledger.each_row(&Filter::default(), &mut |row| {
                if row.state.is_decidable() && row.kinds == kinds {
                    alike.push(String::from(row.id));
                }
                true
            })?;
            for id in alike {
                if ledger.case(&id)?.is_some_and(|c| shape(&c.found) == shape_wanted) {
                    ids.push(id);
                }
            }
        }
    }
    Ok(ids)
}

/// Freezes what was sifted, and asks for approval where it takes that. Gives the bulk's id.
pub fn freeze(ledger: &mut Ledger, sifted: &Sifted) -> Result<String> {
    if sifted.ask.reason.trim().is_empty() {
        return Err(Error::usage("a decision needs a reason").cure("--reason TEXT"));
    }
    if sifted.taken.is_empty() {
        return Err(Error::refused("no case is left that could be decided so"));
    }
    let id = ledger::new_key();
    let items: Vec<(String, String)> = sifted
        .taken
        .iter()
        .map(|(id, _, seen)| (id.clone(), seen.clone()))
        .collect();
    ledger.freeze_bulk(&id, &sifted.ask, &sifted.scope, &items, &sifted.excluded)?;
    if sifted.waits {
        let cases: Vec<&String> = sifted.taken.iter().map(|(id, _, _)| id).collect();
        let content = json!({"ask": sifted.ask, "scope": sifted.scope, "cases": cases});
        let why = format!("{} cases: {}", cases.len(), sifted.ask.reason);
        ledger.write_paper(PaperKind::Bulk, Some(&id), &content, None, &why)?;
    }
    Ok(id)
}

/// How a case's turn ended.
enum Turn {
    Done,
    Skipped(String),
    Failed(String),
}

/// Works a bulk off, or goes on with one that was cut short, until it is done, fails too often, or `go_on` says `false`.
/// Only who began it may: the decisions are theirs.
pub fn run(config: &Config, ledger: &mut Ledger, id: &str, go_on: &mut dyn FnMut(Sums) -> bool) -> Result<Bulk> {
    let bulk = known(ledger, id)?;
    if bulk.by != ledger.who().user {
        let by = &bulk.by;
        return Err(Error::refused(format!("{by} began it: the decisions would be {by}'s"))
            .cure("begin one of your own: what is decided already is left out"));
    }
    if let Some(paper) = ledger.paper(id)?.filter(|p| p.state != PaperState::Signed) {
        return Err(Error::refused(match paper.state {
            PaperState::Waits => "it waits for another person's approval".to_owned(),
            state => format!("it was {}", state.name()),
        })
        .cure(format!("`restitch approve {id}`, by somebody else")));
    }
    if bulk.sums.pending == 0 {
        return Ok(bulk);
    }
    if bulk.stopped.is_some() || bulk.sums.pending < bulk.sums.total {
        ledger.turn_bulk(id, None, &format!("goes on: {}", bulk.sums.words()))?;
    }
    let gap = Duration::from_secs(1) / config.bulk.per_second.max(1);
    let (mut sums, mut failures) = (bulk.sums, 0);
    let mut stopped = None;
    for item in ledger.bulk_items(id, true)? {
        let began = Instant::now();
        let (state, why) = match turn(config, ledger, &bulk, &item)? {
            Turn::Done => (ItemState::Done, None),
            Turn::Skipped(why) => (ItemState::Skipped, Some(why)),
            Turn::Failed(why) => (ItemState::Failed, Some(why)),
        };
        ledger.mark_bulk(id, item.nth, state, why.as_deref())?;
        sums.pending -= 1;
        match state {
            ItemState::Done => sums.done += 1,
            ItemState::Skipped => sums.skipped += 1,
            _ => {
                sums.failed += 1;
                failures += 1;
            }
        }
        if !go_on(sums) && sums.pending > 0 {
            stopped = Some(format!("{} stopped it", bulk.by));
            break;
        }
        if failures >= config.bulk.stop_after && sums.pending > 0 {
            let why = why.unwrap_or_default();
            stopped = Some(format!("{failures} failures, the last: {}: {why}", item.case));
            break;
        }
        // Time is the subject: whoever acts on the decisions is not run over.
        thread::sleep(gap.saturating_sub(began.elapsed()));
    }
    let end = if stopped.is_some() { "stopped" } else { "ended" };
    ledger.turn_bulk(id, stopped.as_deref(), &format!("{end}: {}", sums.words()))?;
    known(ledger, id)
}

fn known(ledger: &Ledger, id: &str) -> Result<Bulk> {
    ledger
        .bulk(id)?
        .ok_or_else(|| Error::usage(format!("there is no bulk {id:?}")).cure("`restitch bulk` lists them"))
}

/// One case's turn. An error is one of the ledger: the case is still pending then.
fn turn(config: &Config, ledger: &mut Ledger, bulk: &Bulk, item: &BulkItem) -> Result<Turn> {
    let key = format!("{}-{}", bulk.id, item.nth);
    // Decided before this was written down.
    if ledger.knows_decision(&key)? {
        return Ok(Turn::Done);
    }
    let Some(file) = ledger.case(&item.case)? else {
        return Ok(Turn::Skipped("the ledger has no such case any more".to_owned()));
    };
    if let Some(why) = why_skipped(&file, item, &ledger.who().user) {
        return Ok(Turn::Skipped(why));
    }
    let chain = match bulk.ask.verb {
        Verb::Reapply => ledger.chain(&item.case)?,
        _ => vec![item.case.clone()],
    };
    let mut taken = Vec::new();
    for id in &chain {
        if ledger.case(id)?.is_none_or(|c| c.claim.is_none()) {
            taken.push(id.clone());
        }
    }
    match ledger.claim(&chain, LEASE) {
        Err(error) if error.kind == ErrorKind::Refused => return Ok(Turn::Skipped(error.what)),
        claimed => drop(claimed?),
    }
    let ask = &bulk.ask;
    let decide = Decide {
        case: item.case.clone(),
        key,
        verb: Some(ask.verb),
        reason: ask.reason.clone(),
        reference: ask.reference.clone(),
        to: ask.to.clone(),
        evidence: ask.evidence.clone(),
        until: ask.until,
        // The count that was typed confirms them all.
        confirm: Some(item.case.clone()),
        fence: None,
        seen: None,
    };
    let decided = decide_in_bulk(config, ledger, &decide, &bulk.id);
    // The lease ends by itself where it cannot be given back.
    let _ = ledger.drop_claims(&taken);
    match decided {
        Ok(stand) => {
            let ids: Vec<String> = stand.into_iter().map(|(id, _)| id).collect();
            // What leaves later, leaves by itself; what came of the others is known now.
            let carried = carry_out(config, ledger, Some(&ids))?;
            let bad = carried
                .into_iter()
                .find(|c| matches!(c.state, Course::Failed | Course::Unknown));
            Ok(bad.map_or(Turn::Done, |c| Turn::Failed(c.words)))
        }
        Err(error) if error.kind == ErrorKind::Refused => Ok(Turn::Failed(error.what)),
        Err(error) => Err(error),
    }
}

/// Why a case is passed over: it is not what was frozen, or somebody has it in hand.
fn why_skipped(file: &CaseFile, item: &BulkItem, me: &str) -> Option<String> {
    if !file.state.is_decidable() {
        return Some(format!("it is {} by now", file.state.words()));
    }
    if let Some(claim) = file.claim.as_ref().filter(|c| c.by != me) {
        return Some(format!("{} holds it", claim.by));
    }
    (seen(&file.found) != item.seen).then(|| "it is not as it was when the set was frozen".to_owned())
}

#[cfg(test)]
mod tests;

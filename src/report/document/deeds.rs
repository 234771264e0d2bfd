//! What people did: what left restitch, bulks, what was signed, and the trail of it all.

use super::super::Source;
use super::super::paper::{Paper, figures, words};
use super::{MOST_LISTED, fact, own};
use crate::domain::paper::{Bulk, ItemState, Paper as Signed, PaperKind};
use crate::domain::{Result, time};
use crate::safe;
use crate::text::Safe;

/// What decisions did beyond the ledger.
pub(super) fn effects(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
    paper.heading(&Safe::ours("What left restitch"))?;
    let effects = source.ledger.effects()?;
    if effects.is_empty() {
        return paper.text(&Safe::ours(
            "Nothing: every decision was written down as what a person has to do.",
        ));
    }
    paper.table(&[
        words("cases"),
        words("verb"),
        words("decided by"),
        words("by"),
        words("state"),
        words("left at"),
        words("ended at"),
        words("what came of it"),
    ])?;
    for effect in effects {
        let line = &effect.line;
        let back = if line.undoes { "undo of " } else { "" };
        let cells = [
            own(&effect.cases.join(" ")),
            own(&format!("{back}{}", effect.verb.name())),
            own(&effect.by),
            own(&line.does),
            Safe::ours(line.state.name()),
            own(&time::format(line.leaves_at)),
            own(&line.ended_at.map(time::format).unwrap_or_default()),
            own(line.outcome.as_deref().unwrap_or("")),
        ];
        paper.row(&cells, false)?;
    }
    paper.end_table()
}

/// The same decision for many cases.
pub(super) fn bulks(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
    paper.heading(&Safe::ours("Bulks"))?;
    if source.told.bulks.is_empty() {
        return paper.text(&Safe::ours("None: every case was decided by itself."));
    }
    paper.text(&Safe::ours(
        "Of each frozen set, done, failed, skipped and pending add up to all; what was left out from the beginning is not \
         among them.",
    ))?;
    for bulk in &source.told.bulks {
        paper.entry(
            &safe!(
                "{} of {} cases by {}",
                bulk.ask.verb.name(),
                bulk.sums.total,
                own(&bulk.by)
            ),
            &facts_of(bulk),
        )?;
        let ended = source.ledger.bulk_items(&bulk.id, false)?.into_iter();
        let ended = ended.filter(|i| matches!(i.state, ItemState::Failed | ItemState::Skipped));
        let ended = ended.map(|i| (i.case, i.state.name(), i.why.unwrap_or_default()));
        let left_out = bulk
            .excluded
            .iter()
            .map(|e| (e.case.clone(), "left out", e.why.clone()));
        let mut rest = ended.chain(left_out).peekable();
        if rest.peek().is_none() {
            continue;
        }
        paper.table(&[words("case"), words("how it ended"), words("why")])?;
        for (case, how, why) in rest.take(MOST_LISTED) {
            paper.row(&[Safe::id(&case), Safe::ours(how), own(&why)], false)?;
        }
        paper.end_table()?;
    }
    Ok(())
}

fn facts_of(bulk: &Bulk) -> Vec<(Safe<'static>, Safe<'static>)> {
    let mut facts = vec![
        fact("frozen", &time::format(bulk.at)),
        fact("which", &bulk.scope),
        fact("reason", &bulk.ask.reason),
        fact("all", &bulk.sums.words()),
        fact("left out", &bulk.excluded.len().to_string()),
    ];
    facts.extend(bulk.stopped.as_ref().map(|why| fact("stopped", why)));
    facts
}

/// Approvals, hand-overs and the end.
pub(super) fn papers(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
    paper.heading(&Safe::ours("Approvals, hand-overs, sign-off"))?;
    if source.told.papers.is_empty() {
        return paper.text(&Safe::ours("Nothing was signed, and nothing waits for a signature."));
    }
    for signed in &source.told.papers {
        let what = match signed.kind {
            PaperKind::Decision => "decision of two",
            PaperKind::Bulk => "bulk of two",
            PaperKind::Handover => "hand-over",
            PaperKind::Signoff => "sign-off",
        };
        paper.entry(
            &safe!("{} by {}, {}", what, own(&signed.by), signed.state.name()),
            &facts_of_paper(signed),
        )?;
    }
    Ok(())
}

fn facts_of_paper(signed: &Signed) -> Vec<(Safe<'static>, Safe<'static>)> {
    let mut facts = vec![fact(
        "written",
        &format!("{} by {}", time::format(signed.at), signed.by),
    )];
    facts.extend(signed.to.as_ref().map(|who| fact("for", who)));
    if let (Some(who), Some(at)) = (&signed.answered_by, signed.answered_at) {
        let said = signed.answer.as_deref().filter(|a| !a.is_empty());
        let said = said.map_or(String::new(), |a| format!(": {a}"));
        let word = signed.state.name();
        facts.push(fact("answered", &format!("{word} {} by {who}{said}", time::format(at))));
    }
    let lines = signed.lines();
    facts.extend(lines.iter().take(MOST_LISTED).map(|line| fact("says", line)));
    facts.push(fact("digest", &signed.digest));
    facts
}

/// What is told one by one of the trail: everything but leases and readings, and every refusal.
fn is_told(action: &str, outcome: &str) -> bool {
    outcome != "ok" || !matches!(action, "claim" | "drop" | "scan" | "hold")
}

pub(super) fn deeds(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
    let trail = &source.told.trail;
    paper.heading(&Safe::ours("Deeds, approvals and refusals"))?;
    match &trail.broken {
        None => paper.text(&safe!(
            "The audit trail has {} lines, and its chain is whole; its newest hash is {}.",
            trail.lines,
            own(if trail.head.is_empty() { "none" } else { &trail.head })
        ))?,
        Some(why) => paper.warning(&safe!("The audit trail is not whole: {}", own(why)))?,
    }
    paper.table(&[
        words("deed"),
        figures("done"),
        figures("refused"),
        figures("unconfirmed"),
    ])?;
    let mut sum = [0; 3];
    for (action, counts) in &trail.actions {
        let mut cells = vec![own(action)];
        cells.extend(counts.iter().map(|n| safe!("{}", *n)));
        paper.row(&cells, false)?;
        sum.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
    }
    let mut cells = vec![Safe::ours("all")];
    cells.extend(sum.iter().map(|n| safe!("{}", *n)));
    paper.row(&cells, true)?;
    paper.end_table()?;
    paper.table(&[words("person"), figures("done"), figures("refused")])?;
    for (who, counts) in &trail.people {
        let mut cells = vec![own(who)];
        cells.extend(counts.iter().map(|n| safe!("{}", *n)));
        paper.row(&cells, false)?;
    }
    paper.end_table()?;
    paper.text(&Safe::ours(
        "One by one, without claims given and taken, scans and readings of the hold:",
    ))?;
    paper.table(&[
        figures("line"),
        words("at"),
        words("who"),
        words("deed"),
        words("case"),
        words("verb"),
        words("outcome"),
        words("why"),
    ])?;
    source.ledger.audit(&mut |line| {
        if !is_told(&line.action, &line.outcome) {
            return Ok(());
        }
        let optional = |text: &Option<String>| own(text.as_deref().unwrap_or(""));
        let cells = [
            safe!("{}", line.seq),
            own(&line.at),
            own(&line.who),
            own(&line.action),
            Safe::id(line.case.as_deref().unwrap_or("")),
            optional(&line.verb),
            own(&line.outcome),
            optional(&line.why),
        ];
        paper.row(&cells, false)
    })?;
    paper.end_table()
}

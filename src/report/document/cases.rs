//! The cases: every decision, what is open, and whose accounts it is about.

use super::super::paper::{Column, Paper, figures, words};
use super::super::told::Told;
use super::super::{Source, sql};
use super::{MOST_LISTED, fact, own, statements};
use crate::domain::case::State;
use crate::domain::finding::{Evidence, Finding};
use crate::domain::queue::{CaseFile, Filter};
use crate::domain::{Result, time};
use crate::safe;
use crate::text::Safe;
use serde_json::Value as Json;
use std::fmt::Write as _;

pub(super) fn decisions(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
    paper.heading(&Safe::ours("Every decision"))?;
    paper.text(&Safe::ours(
        "The decision that counts now for each case, in the order of the queue. Decisions taken back stand among the deeds below. \
         The statements only read; each says what it shows while the finding holds.",
    ))?;
    let mut any = false;
    source.each_case(&mut |file| {
        if file.decision.is_none() {
            return Ok(());
        }
        any = true;
        decision(&file, source, paper)
    })?;
    if any {
        return Ok(());
    }
    paper.text(&Safe::ours("Nothing was decided yet."))
}

fn decision(file: &CaseFile, source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
    let Some(decision) = &file.decision else { return Ok(()) };
    let found = &file.found;
    let title = safe!(
        "{} ({}): {}, {}",
        Safe::id(&found.label),
        Safe::id(&found.id),
        decision.verb.name(),
        file.state.words()
    );
    let mut facts = Vec::new();
    facts.extend(found.findings.iter().map(|f| (Safe::ours("found"), told_finding(f))));
    facts.extend(found.missing.iter().map(|m| {
        let column = m.column.as_deref().map_or(String::new(), |c| format!(" with {c}"));
        fact("not there", &format!("{}{column} {}", m.entity, m.key))
    }));
    facts.push(fact(
        "decided",
        &format!("{} by {}", time::format(decision.at), decision.by),
    ));
    facts.push(fact("reason", &decision.reason));
    let column = decision.reference.as_ref().map(|r| fact("reference", r));
    facts.extend(column);
    facts.extend(decision.to.as_ref().map(|to| fact("to", to)));
    facts.extend(decision.until.map(|t| fact("until", &time::format(t))));
    facts.extend(decision.steps.iter().map(|step| fact("to do", step)));
    facts.extend(decision.assignee.as_ref().map(|who| fact("assignee", who)));
    facts.extend(decision.evidence.as_ref().map(|e| fact("evidence", e)));
    match &decision.proof {
        Some((holds, read)) => {
            let words = match holds {
                Some(true) => "holds",
                Some(false) => "FAILS",
                None => "cannot tell",
            };
            facts.push(fact("proof", &format!("{words}: {read}")));
        }
        None if file.state == State::Proven => facts.push(fact("proof", "the decision itself")),
        None => facts.push(fact("proof", "none yet")),
    }
    if let Some(claim) = &file.claim {
        facts.push(fact(
            "held by",
            &format!("{} until {}", claim.by, time::format(claim.until)),
        ));
    }
    for note in &file.notes {
        facts.push(fact(
            "note",
            &format!("{} {}: {}", time::format(note.at), note.by, note.text),
        ));
    }
    paper.entry(&title, &facts)?;
    statements(&sql::of_case(found, &source.config.schema, source.dialect()), paper)
}

/// The finding, its fields and the events behind it, in one line.
fn told_finding(finding: &Finding) -> Safe<'static> {
    let mut line = format!("{} {} {}", finding.kind.words(), finding.entity, finding.key);
    if finding.undone {
        line.push_str(", undone on purpose");
    }
    if let Some(to) = &finding.moved_to {
        // Writing to a String cannot fail.
        let _ = write!(line, ", now under {to}");
    }
    for row in &finding.rows {
        let _ = write!(line, ", {} {} was {}", row.entity, row.key, row.state);
    }
    for field in &finding.fields {
        let _ = write!(
            line,
            "; {} is {}, the log says {}",
            field.name,
            value(&field.restored),
            value(&field.log)
        );
    }
    let by: Vec<String> = finding.evidence.iter().map(event).collect();
    if !by.is_empty() {
        let _ = write!(line, "  [{}]", by.join(", "));
    }
    own(&line)
}

fn event(by: &Evidence) -> String {
    let ts = by.ts.as_deref().map_or(String::new(), |ts| format!(" {ts}"));
    format!("{}@{}{ts}", by.source, by.position)
}

fn value(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn open(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
    let told = source.told;
    paper.heading(&Safe::ours("What is open, and who holds it"))?;
    let unsettled = told.figures.unsettled();
    if unsettled == 0 {
        return paper.text(&Safe::ours("Nothing is open: every case is proven, or gone by itself."));
    }
    let held: Vec<Safe<'static>> = told
        .figures
        .held
        .iter()
        .map(|(who, n)| safe!("{} holds {}", own(who), *n))
        .collect();
    if !held.is_empty() {
        paper.list(&held)?;
    }
    let columns = [
        "order",
        "case",
        "kinds",
        "state",
        "verb",
        "waits for",
        "held by",
        "until",
    ]
    .map(words);
    paper.table(&columns)?;
    let (mut listed, mut failed) = (0, Ok(()));
    source.ledger.each_row(&Filter::default(), &mut |row| {
        if row.state.is_settled() {
            return true;
        }
        if listed == MOST_LISTED {
            return false;
        }
        listed += 1;
        let kinds: Vec<&str> = row.kinds.iter().map(|k| k.words()).collect();
        let waits: Vec<&str> = row.blocked_by.iter().map(|(_, label)| &**label).collect();
        let undone = if row.undone { ", undone" } else { "" };
        let state = if row.disproven {
            "open, proof failed"
        } else {
            row.state.words()
        };
        let cells = [
            Safe::id(&row.label),
            Safe::id(&row.id),
            own(&format!("{}{undone}", kinds.join(", "))),
            Safe::ours(state),
            Safe::ours(row.verb.map_or("", |v| v.name())),
            own(&waits.join(", ")),
            own(row.claim.as_ref().map_or("", |c| &c.by)),
            own(&row.claim.as_ref().map(|c| time::format(c.until)).unwrap_or_default()),
        ];
        failed = paper.row(&cells, false);
        failed.is_ok()
    })?;
    failed?;
    paper.end_table()?;
    let rest = unsettled.saturating_sub(listed as u64);
    if rest > 0 {
        paper.text(&safe!(
            "And {} more, in the order of the queue: `restitch report --format csv` lists every case.",
            rest
        ))?;
    }
    Ok(())
}

pub(super) fn accounts(told: &Told, paper: &mut dyn Paper) -> Result<()> {
    paper.heading(&Safe::ours("Accounts affected"))?;
    let accounts = &told.accounts;
    if accounts.columns.is_empty() {
        return paper.text(&Safe::ours(
            "Not known: no columns are configured to be shown (`schema.order.show`), so cases carry no account.",
        ));
    }
    let mut columns: Vec<Column> = accounts
        .columns
        .iter()
        .map(|c| Column {
            name: Safe::id(c).into_owned(),
            figures: false,
        })
        .collect();
    columns.extend([figures("cases"), figures("not settled")]);
    paper.table(&columns)?;
    for (shown, cases, unsettled) in accounts.rows.iter().take(MOST_LISTED) {
        let mut cells: Vec<Safe<'_>> = shown.iter().map(|v| Safe::of(v)).collect();
        cells.extend([safe!("{}", *cases), safe!("{}", *unsettled)]);
        paper.row(&cells, false)?;
    }
    paper.end_table()?;
    let more = accounts.rows.iter().skip(MOST_LISTED).map(|(_, n, _)| n).sum::<u64>() + accounts.others;
    if more > 0 {
        paper.text(&safe!(
            "And {} cases of further accounts: the CSV form has the columns of every case.",
            more
        ))?;
    }
    Ok(())
}

//! The restore: why and to which point, what was foretold and found, how far is known, phase by phase.

use super::super::brief;
use super::super::paper::{Paper, figures, words};
use super::super::told::Told;
use super::{MOST_LISTED, fact, own};
use crate::domain::case::State;
use crate::domain::gate::Light;
use crate::domain::{Result, time};
use crate::safe;
use crate::text::Safe;
use serde_json::Value as Json;

pub(super) fn why(told: &Told, paper: &mut dyn Paper) -> Result<()> {
    let incident = &told.incident;
    paper.heading(&Safe::ours("Why it was restored, and to which point"))?;
    let mut facts = vec![fact("restored to (T)", &at(incident.restored_to))];
    facts.push(fact("stopped at", &at(incident.stopped_at)));
    if let (Some(t), Some(stop)) = (incident.restored_to, incident.stopped_at) {
        facts.push(fact("window of loss", &time::age(stop - t)));
    }
    match &incident.bad {
        None => facts.push(fact("bad change", "none is configured")),
        Some(bad) => {
            let mut parts: Vec<String> = Vec::new();
            parts.extend(bad.from.map(|t| format!("from {}", time::format(t))));
            parts.extend(bad.to.map(|t| format!("to {}", time::format(t))));
            if !bad.transaction.is_empty() {
                parts.push(format!("transaction {}", bad.transaction.join(", ")));
            }
            parts.extend(bad.actor.iter().map(|a| format!("by {a}")));
            parts.extend(bad.entity.iter().map(|e| format!("to rows of {e}")));
            parts.extend(bad.values.iter().map(|(column, value)| format!("{column} = {value}")));
            facts.push(fact("bad change", &parts.join(", ")));
        }
    }
    match &told.gate {
        None => facts.push(fact("gate", "nobody asked")),
        Some(gate) => facts.push(fact("gate", &format!("{}, at {}", gate.words(), time::format(gate.at)))),
    }
    paper.entry(&Safe::ours("The restore"), &facts)?;
    let Some(gate) = &told.gate else { return Ok(()) };
    if gate.light() == Light::Red {
        paper.warning(&Safe::ours(
            "The gate is red: everything below may be about the wrong database.",
        ))?;
    }
    paper.table(&[words("check"), words("light"), words("what was read")])?;
    for check in &gate.checks {
        paper.row(
            &[own(&check.check), Safe::ours(check.light.words()), own(&check.what)],
            false,
        )?;
    }
    paper.end_table()
}

pub(super) fn counts(told: &Told, paper: &mut dyn Paper) -> Result<()> {
    paper.heading(&Safe::ours("Cases by kind and state"))?;
    paper.text(&Safe::ours(
        "Every case ever opened, under the first of its kinds; undone are those that only the bad change made. Rows and \
         columns add up. Only proven and gone have left the work.",
    ))?;
    let mut columns = vec![words("kind")];
    columns.extend(State::ALL.map(|s| figures(s.words())));
    columns.push(figures("all"));
    paper.table(&columns)?;
    for (name, cells) in told.figures.rows() {
        let all: u64 = cells.iter().sum();
        if all == 0 {
            continue;
        }
        let mut row = vec![Safe::ours(name)];
        row.extend(cells.iter().map(|n| safe!("{}", *n)));
        row.push(safe!("{}", all));
        paper.row(&row, false)?;
    }
    let mut sum = vec![Safe::ours("all")];
    sum.extend(State::ALL.map(|s| safe!("{}", told.figures.of(s))));
    sum.push(safe!("{}", told.figures.total()));
    paper.row(&sum, true)?;
    paper.end_table()
}

pub(super) fn preview(told: &Told, paper: &mut dyn Paper) -> Result<()> {
    paper.heading(&Safe::ours("What the log foretells, and what was found"))?;
    let found = &told.found;
    let point = match &told.preview {
        Ok(point) => Some(point),
        Err(why) => {
            paper.text(&safe!(
                "What the log alone says of a restore to T is not known: {}.",
                own(why)
            ))?;
            None
        }
    };
    paper.table(&[
        words("orders"),
        figures("from the log alone"),
        figures("found"),
        figures("difference"),
    ])?;
    for (name, foretold, found) in [
        ("with any row finding", point.map(|p| p.orders), found.orders),
        ("with a lost row", point.map(|p| p.lost), found.lost),
        ("with a regressed row", point.map(|p| p.regressed), found.regressed),
        ("with an undeleted row", point.map(|p| p.undeleted), found.undeleted),
        ("in doubt", point.map(|p| p.in_doubt), found.in_doubt),
        ("orphaned", point.map(|p| p.orphaned), found.orphaned),
    ] {
        let not_known = Safe::ours("not known");
        let difference = foretold.map(|n| i64::try_from(found).unwrap_or(0) - i64::try_from(n).unwrap_or(0));
        let cells = [
            Safe::ours(name),
            foretold.map_or(not_known.clone(), |n| safe!("{}", n)),
            safe!("{}", found),
            difference.map_or(not_known, |n| {
                own(&if n == 0 { "0".to_owned() } else { format!("{n:+}") })
            }),
        ];
        paper.row(&cells, false)?;
    }
    paper.end_table()?;
    if let Some(left) = point.filter(|p| p.bad_left > 0) {
        paper.warning(&safe!(
            "A restore to T leaves the bad change on {} orders.",
            left.bad_left
        ))?;
    }
    paper.text(&Safe::ours(
        "Found counts the cases of all scans. The log cannot know of rows that it never names.",
    ))?;
    match point.map_or(0, |p| p.not_shown) {
        0 => Ok(()),
        rows => paper.text(&safe!(
            "Of {} rows the log does not show how they stood at T: it counts them as changed.",
            rows
        )),
    }
}

pub(super) fn coverage(told: &Told, paper: &mut dyn Paper) -> Result<()> {
    paper.heading(&Safe::ours("What is known, and what is not"))?;
    let Some((scanned, report)) = &told.scan else {
        return paper.text(&Safe::ours("Nothing was scanned yet."));
    };
    let text = |of: &Json, key: &str| of.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    let number = |of: &Json, key: &str| of.get(key).and_then(Json::as_u64).unwrap_or(0);
    let log = report.get("log").unwrap_or(&Json::Null);
    paper.text(&safe!(
        "Last scan {}: {} events of the log from {} to {}, {} rows of the restored database; {} log lines rejected. {}.",
        own(&time::format(*scanned)),
        number(log, "events"),
        own(&text(log, "first")),
        own(&text(log, "last")),
        number(report, "rows_read"),
        number(log, "rejected"),
        capital(&brief::coverage(told))
    ))?;
    paper.table(&[
        words("log"),
        words("entity"),
        words("first"),
        words("last"),
        words("known"),
        words("why not"),
    ])?;
    for line in report.get("coverage").and_then(Json::as_array).into_iter().flatten() {
        let known = match line.get("known").and_then(Json::as_bool) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "cannot tell",
        };
        let cells = [
            own(&text(line, "source")),
            own(&text(line, "entity")),
            own(&text(line, "first")),
            own(&text(line, "last")),
            Safe::ours(known),
            own(&text(line, "why")),
        ];
        paper.row(&cells, false)?;
    }
    paper.end_table()?;
    let warnings: Vec<Safe<'static>> = report
        .get("warnings")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .take(MOST_LISTED)
        .map(own)
        .collect();
    if !warnings.is_empty() {
        paper.text(&Safe::ours("Warnings of that scan:"))?;
        paper.list(&warnings)?;
    }
    let back: Vec<Safe<'static>> = report
        .get("came_back")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .take(MOST_LISTED)
        .map(|b| {
            safe!(
                "{}: {}; to do: {}",
                own(&text(b, "kind")),
                own(&text(b, "what")),
                own(&text(b, "cure"))
            )
        })
        .collect();
    if !back.is_empty() {
        paper.text(&Safe::ours("What came back besides orders, or is left behind:"))?;
        paper.list(&back)?;
    }
    Ok(())
}

pub(super) fn phases(told: &Told, paper: &mut dyn Paper) -> Result<()> {
    paper.heading(&Safe::ours("The restore, phase by phase"))?;
    paper.table(&[
        words("phase"),
        words("state"),
        words("since"),
        words("took"),
        words("what says so"),
    ])?;
    for phase in &told.phases {
        let cells = [
            Safe::ours(phase.phase.title()),
            Safe::ours(phase.state.name()),
            own(&phase.since.map(time::format).unwrap_or_default()),
            own(&phase.took.map(time::age).unwrap_or_default()),
            own(&phase.evidence),
        ];
        paper.row(&cells, false)?;
    }
    paper.end_table()
}

fn at(t: Option<i64>) -> String {
    t.map_or_else(|| "not configured".to_owned(), time::format)
}

/// The same, with a capital letter.
fn capital(text: &Safe<'static>) -> Safe<'static> {
    let mut letters = text.as_str().chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    Safe::assembled(first.into_iter().chain(letters).collect())
}

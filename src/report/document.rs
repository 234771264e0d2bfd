//! The report in its order, for people.

use super::paper::{Column, Paper, figures, words};
use super::sql::{self, Dialect};
use super::told::{self, Told};
use super::{Source, brief};
use crate::domain::case::State;
use crate::domain::finding::{Evidence, Finding};
use crate::domain::gate::Light;
use crate::domain::queue::{CaseFile, Filter};
use crate::domain::{Result, time};
use crate::safe;
use crate::text::Safe;
use serde_json::Value as Json;
use std::fmt::Write as _;

/// So many open cases, accounts and rejected things are listed one by one; the CSV and JSON forms have all.
const MOST_LISTED: usize = 2_000;

/// Writes it.
pub fn write(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
    let told = source.told;
    paper.begin(&safe!(
        "Report of incident {}, attempt {}",
        Safe::id(&told.incident.id),
        told.incident.attempt
    ))?;
    paper.list(&brief::lines(told))?;
    why(told, paper)?;
    counts(told, paper)?;
    preview(told, paper)?;
    coverage(told, paper)?;
    phases(told, paper)?;
    decisions(source, paper)?;
    open(source, paper)?;
    accounts(told, paper)?;
    deeds(source, paper)?;
    by_hand(source, paper)?;
    let newest = source.ledger.newest_line()?.unsigned_abs();
    if newest != told.trail.lines {
        paper.warning(&safe!(
            "While this report was written the trail grew from line {} to line {}: its parts may be from different moments. Write it again.",
            told.trail.lines,
            newest
        ))?;
    }
    paper.end()
}

fn why(told: &Told, paper: &mut dyn Paper) -> Result<()> {
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

fn counts(told: &Told, paper: &mut dyn Paper) -> Result<()> {
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

fn preview(told: &Told, paper: &mut dyn Paper) -> Result<()> {
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

fn coverage(told: &Told, paper: &mut dyn Paper) -> Result<()> {
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

fn phases(told: &Told, paper: &mut dyn Paper) -> Result<()> {
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

fn decisions(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
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

fn open(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
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

fn accounts(told: &Told, paper: &mut dyn Paper) -> Result<()> {
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

/// What is told one by one of the trail: everything but leases and readings, and every refusal.
fn is_told(action: &str, outcome: &str) -> bool {
    outcome != "ok" || !matches!(action, "claim" | "drop" | "scan" | "hold")
}

fn deeds(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
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

fn by_hand(source: Source<'_>, paper: &mut dyn Paper) -> Result<()> {
    paper.heading(&Safe::ours("Check it by hand"))?;
    let reader = match source.dialect() {
        Dialect::Postgres => "psql",
        Dialect::Sqlite => "sqlite3",
    };
    paper.text(&safe!(
        "These statements only read the restored database ({}). Each says what it shows while the findings hold: a case that was \
         settled since shows what was decided instead. No masked column is named.",
        reader
    ))?;
    statements(&told::queries(source, source.dialect())?, paper)?;
    paper.text(&Safe::ours(
        "The figures come from the ledger; these print what they are made of:",
    ))?;
    paper.list(&[
        Safe::ours("restitch cases --plain | cut -f5 | sort | uniq -c: cases by state and verb"),
        Safe::ours("restitch audit verify: whether the trail is whole"),
        Safe::ours("restitch audit list --json: the trail, line by line"),
    ])
}

fn statements(queries: &[sql::Query], paper: &mut dyn Paper) -> Result<()> {
    if queries.is_empty() {
        return Ok(());
    }
    let one = |q: &sql::Query| {
        let entity = Safe::id(&q.entity);
        format!("-- {} {entity}: {}\n{}", q.kind.words(), Safe::of(&q.shows), q.sql)
    };
    paper.code(&queries.iter().map(one).collect::<Vec<_>>().join("\n"))
}

fn fact(name: &'static str, value: &str) -> (Safe<'static>, Safe<'static>) {
    (Safe::ours(name), own(value))
}

fn at(t: Option<i64>) -> String {
    t.map_or_else(|| "not configured".to_owned(), time::format)
}

fn own(text: &str) -> Safe<'static> {
    Safe::of(text).into_owned()
}

/// The same, with a capital letter.
fn capital(text: &Safe<'static>) -> Safe<'static> {
    let mut letters = text.as_str().chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    Safe::assembled(first.into_iter().chain(letters).collect())
}

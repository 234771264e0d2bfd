//! The report in its order, for people.

mod cases;
mod deeds;
mod restore;

use super::paper::Paper;
use super::sql::{self, Dialect};
use super::{Source, brief, told};
use crate::domain::Result;
use crate::safe;
use crate::text::Safe;

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
    restore::why(told, paper)?;
    restore::counts(told, paper)?;
    restore::preview(told, paper)?;
    restore::coverage(told, paper)?;
    restore::phases(told, paper)?;
    cases::decisions(source, paper)?;
    deeds::effects(source, paper)?;
    deeds::bulks(source, paper)?;
    deeds::papers(source, paper)?;
    cases::open(source, paper)?;
    cases::accounts(told, paper)?;
    deeds::deeds(source, paper)?;
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

fn own(text: &str) -> Safe<'static> {
    Safe::of(text).into_owned()
}

//! The report as CSV: one line a case, RFC 4180 (commas, CRLF, quotes where a cell needs them). A cell that a spreadsheet
//! could take for a formula is led by `'`; so is one that begins with `'`, so that every cell can be read back.

use super::{Sink, Source, sql};
use crate::domain::queue::CaseFile;
use crate::domain::schema::Schema;
use crate::domain::{Error, Result, time};
use crate::text::Safe;
use std::borrow::Cow;

const HEAD: [&str; 21] = [
    "case",
    "order",
    "label",
    "kinds",
    "undone",
    "state",
    "claimed_by",
    "claimed_until",
    "verb",
    "reason",
    "decided_by",
    "decided_at",
    "reference",
    "to",
    "until",
    "evidence",
    "proof",
    "read",
    "found_by",
    "missing",
    "queries",
];

/// Writes it.
pub fn write(source: Source<'_>, to: &mut Sink<'_>) -> Result<()> {
    let schema = &source.config.schema;
    let mut line = Line::new();
    let shown = schema.shown().iter().map(|c| format!("show {c}"));
    let head: Vec<String> = HEAD.iter().map(|h| (*h).to_owned()).chain(shown).collect();
    to(line.of(&head)?)?;
    source.each_case(&mut |file| {
        let cells = cells(&file, schema, source.dialect());
        to(line.of(&cells)?)
    })
}

fn cells(file: &CaseFile, schema: &Schema, dialect: sql::Dialect) -> Vec<String> {
    let found = &file.found;
    let kinds: Vec<&str> = found.kinds().iter().map(|k| k.name()).collect();
    let decision = file.decision.as_ref();
    let some = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let at = |t: Option<i64>| t.map(time::format).unwrap_or_default();
    let proof = decision.and_then(|d| d.proof.as_ref());
    let mut events: Vec<String> = Vec::new();
    for by in found.findings.iter().flat_map(|f| &f.evidence) {
        let event = format!("{}@{}", by.source, by.position);
        if !events.contains(&event) {
            events.push(event);
        }
    }
    let missing: Vec<String> = found
        .missing
        .iter()
        .map(|m| match &m.column {
            Some(column) => format!("{}.{column}={}", m.entity, m.key),
            None => format!("{}:{}", m.entity, m.key),
        })
        .collect();
    let queries: Vec<String> = sql::of_case(found, schema, dialect)
        .into_iter()
        .map(|q| q.sql)
        .collect();
    let mut cells = vec![
        found.id.clone(),
        some(found.order.as_deref()),
        found.label.clone(),
        kinds.join(" "),
        found.is_undone().to_string(),
        file.state.name().to_owned(),
        some(file.claim.as_ref().map(|c| c.by.as_str())),
        at(file.claim.as_ref().map(|c| c.until)),
        some(decision.map(|d| d.verb.name())),
        some(decision.map(|d| d.reason.as_str())),
        some(decision.map(|d| d.by.as_str())),
        at(decision.map(|d| d.at)),
        some(decision.and_then(|d| d.reference.as_deref())),
        some(decision.and_then(|d| d.to.as_deref())),
        at(decision.and_then(|d| d.until)),
        some(decision.and_then(|d| d.evidence.as_deref())),
        some(proof.map(|(holds, _)| match holds {
            Some(true) => "holds",
            Some(false) => "fails",
            None => "cannot tell",
        })),
        some(proof.map(|(_, read)| read.as_str())),
        events.join(" "),
        missing.join(" "),
        queries.join(" "),
    ];
    let shown = schema.shown().len();
    cells.extend((0..shown).map(|n| found.show.get(n).cloned().unwrap_or_default()));
    cells
}

/// One line of text.
struct Line {
    text: String,
}

impl Line {
    const fn new() -> Self {
        Self { text: String::new() }
    }

    fn of(&mut self, cells: &[String]) -> Result<&str> {
        let lost = |e: &dyn std::fmt::Display| Error::failed(format!("cannot write CSV: {e}"));
        let mut writer = ::csv::WriterBuilder::new()
            .terminator(::csv::Terminator::CRLF)
            .from_writer(Vec::new());
        let cells = cells.iter().map(|c| cell(c).into_owned());
        writer.write_record(cells).map_err(|e| lost(&e))?;
        let bytes = writer.into_inner().map_err(|e| lost(&e))?;
        self.text = String::from_utf8(bytes).map_err(|e| lost(&e))?;
        Ok(&self.text)
    }
}

/// What stands in a cell: no control character, nothing that hides or reorders, nothing that runs.
pub(super) fn cell(text: &str) -> Cow<'_, str> {
    // A tab, CR or NUL in front is written as `<U+0009>` by `Safe`, and runs no more; it is led all the same, for whoever
    // undoes the escapes. Spreadsheets take the fullwidth forms for the plain ones.
    const RUNS: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '\0', '＝', '＋', '－', '＠', '\''];
    let safe = Safe::of(text);
    if text.starts_with(RUNS) {
        Cow::Owned(format!("'{safe}"))
    } else {
        Cow::Owned(safe.to_string())
    }
}

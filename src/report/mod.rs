//! The report of an incident: why it was restored, what that cost, what was decided of every case and by whom, what is
//! open, and how to check any of it by hand. Pure over what the ledger tells; cases and audit lines are passed on one by
//! one, so that a million of them take no more memory than ten.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`told`] | what is told once: figures, gate, coverage, preview against what was found |
//! | [`case`] | one case as JSON, for `cases`, `show` and the report |
//! | [`sql`] | read-only statements that show what a finding says |
//! | `document` | the report in its order, for the two papers |
//! | `paper` | Markdown and HTML |
//! | `json`, `csv`, `brief` | the other forms |

mod brief;
pub mod case;
mod csv;
mod document;
mod json;
mod paper;
pub mod sql;
#[cfg(test)]
mod tests;
pub mod told;

use crate::config::{Config, DbUrl};
use crate::domain::Result;
use crate::domain::queue::CaseFile;
use crate::domain::{Error, mask};
use crate::ledger::Ledger;
use sql::Dialect;
use told::Told;

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Markdown.
    Md,
    /// One self-contained HTML file: no script, no network, printable, light and dark.
    Html,
    /// One JSON object.
    Json,
    /// One line a case, RFC 4180, safe to open in a spreadsheet.
    Csv,
}

/// Where the text of a report goes, piece by piece.
pub type Sink<'a> = dyn FnMut(&str) -> Result<()> + 'a;

/// What a report is made from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The ledger of the incident.
    pub ledger: &'a Ledger,
    /// The site's tables, and what the incident is about.
    pub config: &'a Config,
    /// What is told once.
    pub told: &'a Told,
}

/// Writes the report in this form.
pub fn write(source: Source<'_>, format: Format, to: &mut Sink<'_>) -> Result<()> {
    match format {
        Format::Md => document::write(source, &mut paper::Markdown::new(to)),
        Format::Html => document::write(source, &mut paper::Html::new(to)),
        Format::Json => json::write(source, to),
        Format::Csv => csv::write(source, to),
    }
}

/// The report in five lines; as JSON `{"brief":[…]}`.
pub fn brief(told: &Told, as_json: bool, to: &mut Sink<'_>) -> Result<()> {
    let lines = brief::lines(told);
    if as_json {
        let lines: Vec<&str> = lines.iter().map(crate::text::Safe::as_str).collect();
        return to(&format!("{}\n", json_text(&serde_json::json!({ "brief": lines }))?));
    }
    lines.iter().try_for_each(|line| to(&format!("{line}\n")))
}

impl Source<'_> {
    /// How the restored database writes SQL.
    fn dialect(&self) -> Dialect {
        match self.config.restored.as_ref().map(|d| &d.url) {
            Some(DbUrl::Sqlite(_)) => Dialect::Sqlite,
            _ => Dialect::Postgres,
        }
    }

    /// Hands over every case in the order of the queue, masked.
    fn each_case(&self, each: &mut dyn FnMut(CaseFile) -> Result<()>) -> Result<()> {
        self.ledger
            .each_found(&crate::domain::queue::Filter::default(), &mut |mut file| {
                mask::mask(&mut file.found, &self.config.schema);
                each(file)
            })
    }
}

/// JSON in which no character can act on a terminal.
fn json_text(value: &impl serde::Serialize) -> Result<String> {
    let json = serde_json::to_string(value).map_err(|e| Error::failed(format!("cannot write JSON: {e}")))?;
    Ok(crate::text::json(&json).into_owned())
}

//! A look at the first lines of a log, without reading it: does it look like what was configured?

use super::format::{self, FormatContext, Line};
use super::read::open;
use crate::config::LogConfig;
use crate::domain::Result;
use crate::domain::progress::Progress;
use crate::domain::schema::{Catalogue, Schema};

/// So many lines are looked at.
const LINES: usize = 200;

/// What the first lines of a log are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// Files that the path names, or partitions of the topic.
    pub parts: usize,
    /// Their bytes on disk, or about as many.
    pub bytes: u64,
    /// Lines looked at.
    pub lines: usize,
    /// The format that they look like, in the words of the configuration.
    pub looks: Option<&'static str>,
    /// Lines that are events of mapped entities.
    pub events: usize,
    /// Lines that are none, and why the first of them is not.
    pub rejected: usize,
    /// Why the first of those is none.
    pub reason: Option<String>,
}

/// Opens the log and looks at its first lines; with the tables, decodes them. Standard input would be used up
/// by looking: do not ask for it.
pub fn glance(log: &LogConfig, schema: &Schema, catalogue: Option<&Catalogue>) -> Result<Glance> {
    let progress = Progress::default();
    let source = open(log, schema, &progress)?;
    let mut glance = Glance {
        parts: source.parts().len(),
        bytes: source.size(),
        ..Glance::default()
    };
    let context = catalogue.map(|catalogue| FormatContext::new(schema, catalogue).calling(&log.entities));
    source.peek(|block| {
        let first: Vec<&str> = block
            .lines()
            .map(|(_, at)| &block.bytes()[at])
            .filter(|line| !line.trim_ascii().is_empty())
            .take(LINES)
            .map(|line| std::str::from_utf8(line).unwrap_or("\u{fffd}"))
            .collect();
        glance.lines = first.len();
        glance.looks = format::detect(&first);
        let decoded = context
            .iter()
            .flat_map(|context| first.iter().map(move |line| (context, line)));
        for (context, line) in decoded {
            match format::decode(log.format, context, line, &mut |_| {}) {
                Ok(Line::Changes | Line::Gap(_)) => glance.events += 1,
                Ok(Line::SkippedTable | Line::SkippedOther) => {}
                Err(reason) => {
                    glance.rejected += 1;
                    glance.reason.get_or_insert(reason);
                }
            }
        }
        glance.lines > 0
    })?;
    Ok(glance)
}

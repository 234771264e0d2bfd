//! A second reading, of few rows: those whose history the first one does not give.

use super::Folded;
use super::fold::{AsAt, Fold, Keeping, Rules, replay};
use super::read::{Gathered, LogInput, ReadError, Total, is_whole, open, read_source};
use super::wants::Sieve;
use crate::config::{LogConfig, SourceKind};
use crate::domain::progress::{Progress, Stage};
use std::sync::Arc;

/// All rows, and their history where it is wanted.
pub(super) fn finish(input: &LogInput<'_>, mut gathered: Gathered, progress: &Progress) -> Result<Folded, ReadError> {
    let (tracking, hasher) = (gathered.tracking.take(), gathered.hasher.clone());
    let histories = std::mem::take(&mut gathered.histories);
    let mut folded = gathered.finish(input.catalogue);
    let Some(tracking) = tracking else {
        return Ok(folded);
    };
    if !histories.is_empty() {
        folded.rows.join_histories(histories, Arc::clone(&tracking));
    }
    let wanted = folded.rows.late();
    let is_stream = |log: &LogConfig| log.source == SourceKind::File && log.path.as_deref() == Some("-");
    if wanted.is_empty() || input.logs.iter().any(is_stream) {
        folded.out_of_time = wanted.len();
        return Ok(folded);
    }
    let begin = |rules: Rules| {
        let fold = Fold::new(input.schema.entities.len(), rules, AsAt::default(), hasher.clone());
        fold.keeping(Keeping::of(wanted.clone()))
    };
    let sieve = Sieve::new(input.wants, input.schema, input.catalogue)?;
    let mut kept = Vec::new();
    for (ix, log) in input.logs.iter().enumerate().filter(|(_, log)| !is_whole(log)) {
        let source = open(log, input.schema, progress)?;
        progress.begin(Stage::ReadingLog, source.size());
        let mut total = Total::default();
        kept.push(read_source(
            input,
            &sieve,
            (ix, log, &source),
            &begin,
            progress,
            &mut total,
        )?);
    }
    replay(kept, &tracking, input.catalogue, &mut folded.rows);
    Ok(folded)
}

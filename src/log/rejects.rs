//! Lines that are no events: counted, kept with place and reason, and too many of them are a mistake of the operator's.

use super::format;
use super::source::Part;
use crate::config::FormatKind;
use crate::domain::Error;
use crate::domain::mask::MASKED;
use crate::domain::queue::Reject;

/// Rejected lines that are kept; more are only counted.
const MOST_KEPT: usize = 100_000;
/// Bytes of a rejected line that are kept.
const EXCERPT: usize = 160;
/// Rejected lines that are kept longer, to see what format they have.
const SAMPLES: usize = 8;
const SAMPLE: usize = 64 << 10;

/// The rejected lines of one source.
#[derive(Debug, Default)]
pub(super) struct Rejects {
    /// Columns are masked: no value may be kept.
    masks: bool,
    /// All of them, kept or not.
    pub count: u64,
    /// With file and line, to be put in order.
    kept: Vec<(usize, u64, Reject)>,
    samples: Vec<(usize, u64, String)>,
}

impl Rejects {
    /// None yet; `masks` where any column is masked. What a malformed line holds in which column nobody can tell, so then
    /// none of it is kept but where it stands, and why it is no event.
    pub fn new(masks: bool) -> Self {
        Self {
            masks,
            ..Self::default()
        }
    }

    pub fn add(&mut self, part: &Part, file: usize, line: u64, text: &[u8], reason: String) {
        self.count += 1;
        if self.samples.len() < SAMPLES {
            let sample = &text[..text.len().min(SAMPLE)];
            self.samples
                .push((file, line, String::from_utf8_lossy(sample).into_owned()));
        }
        if self.kept.len() < MOST_KEPT {
            let excerpt = if self.masks {
                "not kept: columns are masked".to_owned()
            } else {
                String::from_utf8_lossy(&text[..text.len().min(EXCERPT)]).into_owned()
            };
            let reason = if self.masks { without_values(&reason) } else { reason };
            let reject = Reject {
                source: String::new(),
                position: part.place(line),
                reason,
                excerpt,
            };
            self.kept.push((file, line, reject));
        }
    }

    pub fn join(&mut self, other: Self) {
        self.count += other.count;
        self.kept.extend(other.kept);
        self.samples.extend(other.samples);
    }

    /// The error, if their share of all lines is above the limit. It says what format they look like.
    pub fn too_many(&mut self, log: &str, kind: FormatKind, lines: u64, limit: f64) -> Option<Error> {
        #[allow(
            clippy::cast_precision_loss,
            reason = "a share of lines, held against a limit in percents"
        )]
        let share = self.count as f64 / lines.max(1) as f64;
        if share <= limit {
            return None;
        }
        self.sort();
        let what = format!(
            "{log}: {} of {lines} lines are malformed, more than the limit of {} %",
            self.count,
            limit * 100.0
        );
        let error = match self.kept.first() {
            Some((_, _, first)) => Error::failed(what).at(format!("{}: {}", first.position, first.reason)),
            None => Error::failed(what),
        };
        let samples: Vec<&str> = self.samples.iter().map(|(_, _, text)| text.as_str()).collect();
        let configured = format::name(kind);
        Some(match format::detect(&samples) {
            Some(looks) if looks != configured => error.cure(format!(
                "the first lines look like format {looks}; configured is {configured}"
            )),
            _ => error.cure("look at the rejected lines; raise scan.reject_limit if they may be left out"),
        })
    }

    fn sort(&mut self) {
        self.kept.sort_by_key(|(file, line, _)| (*file, *line));
        self.kept.truncate(MOST_KEPT);
        self.samples.sort_by_key(|(file, line, _)| (*file, *line));
        self.samples.truncate(SAMPLES);
    }

    /// Those kept, in order, under the name of their source.
    pub fn named(mut self, source: &str) -> Vec<Reject> {
        self.sort();
        let name = |(_, _, mut reject): (usize, u64, Reject)| {
            source.clone_into(&mut reject.source);
            reject
        };
        self.kept.into_iter().map(name).collect()
    }
}

/// A reason without what a parser quotes of the line: `invalid type: string "1555", expected a map`.
fn without_values(reason: &str) -> String {
    for begins in ["invalid type: ", "invalid value: ", "unknown variant "] {
        let (Some(from), Some(to)) = (reason.find(begins), reason.rfind(", expected")) else {
            continue;
        };
        if from < to {
            return format!("{}{begins}{MASKED}{}", &reason[..from], &reason[to..]);
        }
    }
    reason.to_owned()
}

//! Everything the console asks of the world, as data. An executor carries it out and answers with messages.

use super::model::Draft;
use super::model::diff::GroupKey;
use super::model::query::{Query, Sort};
use super::model::table::{Rows, Table};
use crate::domain::paper::{BulkAsk, Paper, Scope, Sifted};
use crate::domain::phase::{Phase, PhaseState};
use crate::domain::queue::Decide;
use std::collections::BTreeMap;

/// One thing to be done outside.
#[derive(Debug)]
pub enum Effect {
    /// Read all rows in queue order; answer with [`super::msg::Msg::Rows`] in batches. The latest number wins: an older
    /// reading may stop.
    LoadRows {
        /// Its number.
        reading: u64,
    },
    /// Read these rows again; answer with [`super::msg::Msg::Patched`].
    LoadSome(Vec<String>),
    /// Read sums, phases and the hold's clock; answer with [`super::msg::Msg::Overview`].
    LoadOverview,
    /// Read one case and what may be done about it; the latest number wins.
    LoadCase {
        /// Its number.
        reading: u64,
        /// The case.
        id: String,
    },
    /// Count what differs over all cases that are work, with [`super::model::diff::Tally`].
    LoadDiff {
        /// Its number.
        reading: u64,
        /// The span of the time lines, microseconds since 1970.
        span: (i64, i64),
    },
    /// List the rows behind a count, at most [`super::model::diff::MOST_BEHIND`].
    LoadBehind(GroupKey),
    /// Filter and sort rows with [`super::model::query::arrange`], away from the screen; the latest number wins.
    Arrange {
        /// Its number.
        number: u64,
        /// The rows.
        rows: Rows,
        /// The filter.
        query: Query,
        /// The sort.
        sort: Sort,
    },
    /// Change the ledger; answer with [`super::msg::Msg::Deed`]. Deeds are done in order, one at a time, and are never
    /// dropped.
    Deed {
        /// Its number.
        number: u64,
        /// What to do.
        deed: Deed,
    },
    /// Look which cases a bulk would decide; answer with [`super::msg::Msg::Sifted`].
    Sift {
        /// Which cases.
        scope: Scope,
        /// What on each.
        ask: BulkAsk,
    },
    /// Work a bulk off; answer with [`super::msg::Msg::BulkRuns`] and [`super::msg::Msg::BulkEnded`].
    Bulk(Bulking),
    /// Stop the bulk that runs after the case it is at.
    StopBulk,
    /// Tell others which case is open here.
    Look(Option<String>),
    /// Keep these drafts on this machine.
    KeepDrafts(BTreeMap<String, Draft>),
    /// Tell the preview from the log; answer with [`super::msg::Msg::Preview`].
    LoadPreview,
    /// Ask AWS now; answer with [`super::msg::Msg::Restoring`].
    AskAws,
    /// Begin a scan.
    StartScan {
        /// Why it goes on although the gate is red; else a red gate stops it.
        despite: Option<String>,
    },
    /// Start the tasks again that died.
    Restart,
    /// Ring the terminal's bell.
    Bell,
    /// Put this on the clipboard (OSC 52).
    Copy(String),
    /// Drop this away from the screen: freeing a million rows takes time.
    Discard(Table),
    /// Give these claims back and end.
    Quit {
        /// Cases.
        give_back: Vec<String>,
    },
}

/// A bulk to be worked off.
#[derive(Debug, Clone, PartialEq)]
pub enum Bulking {
    /// One that is frozen now.
    New(Box<Sifted>),
    /// One that was cut short: its id.
    Resume(String),
}

/// A change to the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// Claim these cases, and what they wait for: all or none.
    Claim(Vec<String>),
    /// Claim the next case, and what it waits for.
    Next {
        /// Those that may be it, the most wanted first.
        among: Vec<String>,
        /// Those that are passed over.
        pass: Vec<String>,
        /// Where none of them is free any more, any other does.
        whole: bool,
    },
    /// Give these claims back.
    Drop(Vec<String>),
    /// Take a case from whoever holds it.
    TakeOver {
        /// The case.
        case: String,
        /// Why: they are told.
        reason: String,
    },
    /// Decide a case.
    Decide(Box<Decide>),
    /// A to-do is done.
    Done {
        /// The case.
        case: String,
        /// The evidence.
        evidence: String,
    },
    /// Write a note.
    Note {
        /// The case.
        case: String,
        /// The text.
        text: String,
    },
    /// See a masked column of a case.
    Unmask {
        /// The case.
        case: String,
        /// The entity.
        entity: String,
        /// Its column.
        column: String,
        /// Why.
        reason: String,
    },
    /// Take the last decision back.
    Undo {
        /// The case.
        case: String,
        /// Why.
        reason: String,
    },
    /// Open a decided or settled case again.
    Reopen {
        /// The case.
        case: String,
        /// Why.
        reason: String,
    },
    /// Sign what somebody else wrote: a decision takes effect, a bulk may run, a shift is taken over.
    Sign {
        /// What was read.
        paper: Box<Paper>,
        /// A word to go with it.
        reason: String,
    },
    /// Say no to what somebody else asked for.
    Decline {
        /// What was read.
        paper: Box<Paper>,
        /// Why.
        reason: String,
    },
    /// Hand the shift's open list over.
    HandOver {
        /// To whom; `None`: to whoever signs.
        to: Option<String>,
        /// What they should know.
        note: String,
    },
    /// Read all decided cases again and sign the incident off.
    SignOff {
        /// A word to go with it.
        reason: String,
    },
    /// Read the restored database again for these decided cases.
    Prove(Vec<String>),
    /// Say how a phase ended.
    Tick {
        /// The phase.
        phase: Phase,
        /// How.
        state: PhaseState,
        /// Why.
        reason: String,
        /// What stood against it on the screen.
        open: Option<String>,
    },
    /// Ignore a column from the next scan on.
    Ignore {
        /// The entity.
        entity: String,
        /// Its column.
        column: String,
        /// Why.
        reason: String,
    },
    /// Compare a column again that people ignored.
    CompareAgain {
        /// The entity.
        entity: String,
        /// Its column.
        column: String,
        /// Why.
        reason: String,
    },
}

impl Deed {
    /// What is being done, while it lasts.
    pub fn words(&self) -> String {
        match self {
            Self::Claim(ids) => format!("claiming {}", many(ids)),
            Self::Next { .. } => "claiming the next case".to_owned(),
            Self::Drop(ids) => format!("giving back {}", many(ids)),
            Self::TakeOver { case, .. } => format!("taking {} over", short(case)),
            Self::Decide(d) => format!(
                "deciding {}: {}",
                d.case,
                d.verb.map_or("", crate::domain::case::Verb::name)
            ),
            Self::Done { case, .. } => format!("recording that {} is done", short(case)),
            Self::Note { case, .. } => format!("writing a note on {}", short(case)),
            Self::Unmask { entity, column, .. } => format!("unmasking {}", short(&format!("{entity}.{column}"))),
            Self::Undo { case, .. } => format!("taking back the decision on {}", short(case)),
            Self::Reopen { case, .. } => format!("opening {} again", short(case)),
            Self::Sign { paper, .. } => format!("signing the {} of {}", paper.kind.name(), short(&paper.by)),
            Self::Decline { paper, .. } => format!("declining the {} of {}", paper.kind.name(), short(&paper.by)),
            Self::HandOver { .. } => "handing the shift over".to_owned(),
            Self::SignOff { .. } => "reading all again to sign off".to_owned(),
            Self::Prove(ids) => format!("reading again for {}", many(ids)),
            Self::Tick { phase, state, .. } => format!("saying that {} is {}", phase.title(), state.name()),
            Self::Ignore { entity, column, .. } => format!("ignoring {}", short(&format!("{entity}.{column}"))),
            Self::CompareAgain { entity, column, .. } => {
                format!("comparing {} again", short(&format!("{entity}.{column}")))
            }
        }
    }
}

fn many(ids: &[String]) -> String {
    match ids {
        [one] => short(one),
        ids => format!("{} cases", ids.len()),
    }
}

/// An id or label as a sentence can hold it: one of ten thousand letters would push the sentence off the screen.
pub fn short(name: &str) -> String {
    const MOST: usize = 40;
    const TAIL: usize = 8;
    let letters = name.chars().count();
    if letters <= MOST {
        return name.to_owned();
    }
    let head: String = name.chars().take(MOST - TAIL).collect();
    let tail: String = name.chars().skip(letters - TAIL).collect();
    format!("{head}...{tail}")
}

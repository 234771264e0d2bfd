//! Everything that can happen to the console.

use super::effect::Deed;
use super::model::case::Loaded;
use super::model::diff::{Behind, Group, GroupKey, Ignored};
use super::model::restore::Night;
use super::model::{Feed, Scan, Source};
use crate::domain::cluster::Reading;
use crate::domain::gate::Gate;
use crate::domain::hold::HoldReading;
use crate::domain::paper::{Bulk, Paper, Sifted, Sums};
use crate::domain::phase::PhaseLine;
use crate::domain::preflight::Preflight;
use crate::domain::queue::{CaseRow, Counts, HoldClock};
use crate::domain::restoring::Restoring;
use crate::domain::{Error, Result};
use crossterm::event::KeyEvent;
use std::collections::BTreeMap;

/// One thing that happened.
#[derive(Debug)]
pub enum Msg {
    /// A key, and when the terminal gave it: microseconds of the same clock as in [`Msg::Drawn`].
    Key(KeyEvent, i64),
    /// Pasted text. It never decides anything.
    Paste(String),
    /// The terminal has so many columns and rows now.
    Resize(u16, u16),
    /// The time, microseconds since 1970; at most once a second.
    Tick(i64),
    /// A frame is on the screen since then: a dialog takes keys half a second later. Hands have a clock of their own: the
    /// one on the screen may be a demo's.
    Drawn(i64),
    /// Rows of a reading, in queue order; `last` ends it.
    Rows {
        /// The number of the reading they belong to.
        reading: u64,
        /// The rows.
        rows: Vec<CaseRow>,
        /// No more follow.
        last: bool,
    },
    /// Newer readings of single rows.
    Patched(Vec<CaseRow>),
    /// The numbers of the rows to show, for [`super::effect::Effect::Arrange`].
    Arranged {
        /// The number of the arrangement.
        number: u64,
        /// Row numbers.
        shown: Vec<u32>,
    },
    /// The sums, the phases and the hold's clock, as the ledger has them.
    Overview {
        /// The sums.
        counts: Counts,
        /// The phases.
        phases: Vec<PhaseLine>,
        /// The hold.
        hold: Option<HoldClock>,
    },
    /// The hold as its brokers show it.
    Hold(Box<HoldReading>),
    /// The gate as somebody last found it; `None` where nobody looked.
    Gate(Option<Gate>),
    /// A case was read; `None`: the ledger has none of this id.
    Case {
        /// The number of the reading.
        reading: u64,
        /// The case.
        case: Option<Box<Loaded>>,
    },
    /// The counts of the Diff view.
    Diff {
        /// The number of the counting.
        reading: u64,
        /// The counts.
        groups: Vec<Group>,
        /// The columns that people ignore.
        ignored: Vec<Ignored>,
    },
    /// The rows behind a count.
    Behind {
        /// Which count.
        key: GroupKey,
        /// The rows.
        rows: Vec<Behind>,
    },
    /// How far the scan is, or how it ended.
    Scan(Scan),
    /// How far the preview is, or how it ended.
    Preview(super::model::preview::State),
    /// A deed was done, or not.
    Deed {
        /// Its number.
        number: u64,
        /// The deed.
        deed: Deed,
        /// What came of it: words for the person (empty for the usual ones) and the cases it changed.
        outcome: Result<Outcome>,
    },
    /// What lacks a signature, and the bulks that are not done.
    Papers {
        /// Papers, oldest first.
        waiting: Vec<Paper>,
        /// Bulks, oldest first.
        bulks: Vec<Bulk>,
    },
    /// Which cases a bulk would decide.
    Sifted(Result<Sifted>),
    /// How far the bulk is.
    BulkRuns(Sums),
    /// The bulk ended; `true`: it waits for another person.
    BulkEnded(Result<Box<(Bulk, bool)>>),
    /// The time came that these parked or escalated cases waited for: their labels.
    Due(Vec<String>),
    /// An effect was carried out, or it was not.
    Carried {
        /// Its cases.
        cases: Vec<String>,
        /// What came of it.
        words: String,
        /// It was done.
        well: bool,
    },
    /// Somebody changed the ledger.
    Changed,
    /// The ledger's server does not answer: since when, and why. `None`: it is back.
    Ledger(Option<(Source, String)>),
    /// What feeds this began anew after it had lost the ledger's server: what it was asked for is to be asked again.
    Again(Feed),
    /// Who the ledger says sits here: the login, the role, and whether it may act.
    Person {
        /// The login.
        who: String,
        /// The role's word.
        role: &'static str,
        /// It may claim and decide.
        may_act: bool,
    },
    /// Who else has which case open.
    Lookers(BTreeMap<String, Vec<String>>),
    /// Something besides failed that a person should know of.
    Warning(Error),
    /// Ages of the sources.
    Sources(Vec<Source>),
    /// Old instances, deadlines, notices, and the list before workers start.
    Night(Box<Night>),
    /// The cluster as it was just read.
    Cluster(Box<Reading>),
    /// The restore as AWS shows it, and the pre-flight as it was last kept.
    Restoring {
        /// The restore.
        view: Box<Restoring>,
        /// The pre-flight.
        preflight: Option<Box<Preflight>>,
    },
    /// A background task died.
    Died {
        /// What it fed.
        feed: Feed,
        /// Why.
        why: String,
    },
}

/// What a deed changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// For the person; empty where the usual words do.
    pub words: String,
    /// The cases whose rows are to be read again.
    pub changed: Vec<String>,
}

//! Everything the console knows. Changed by `update` alone, read by `view`.

pub mod case;
pub mod diff;
pub mod input;
pub mod overlay;
pub mod preview;
pub mod query;
pub mod queue;
pub mod restore;
pub mod table;

use crate::config::Reasons;
use crate::domain::Error;
use crate::domain::back::CameBack;
use crate::domain::cluster::Reading;
use crate::domain::gate::Gate;
use crate::domain::hold::HoldReading;
use crate::domain::paper::{Bulk, Paper};
use crate::domain::phase::PhaseLine;
use crate::domain::preflight::Preflight;
use crate::domain::progress::Stage;
use crate::domain::queue::{Claim, Counts, HoldClock};
use crate::domain::restoring::Restoring;
use crate::domain::schema::ORDER;
use case::CasePane;
use diff::DiffPane;
use overlay::{Layer, Overlay};
use preview::PreviewPane;
use queue::Queue;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is known before anything is read.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The incident's id.
    pub incident: String,
    /// Its attempt, from 1.
    pub attempt: u32,
    /// T, microseconds since 1970.
    pub restored_to: Option<i64>,
    /// When the cluster stopped, microseconds since 1970.
    pub stopped_at: Option<i64>,
    /// The ledger login.
    pub who: String,
    /// The role's word: `viewer`, `operator`, `lead`.
    pub role: String,
    /// The role may claim and decide.
    pub may_act: bool,
    /// `--readonly`
    pub readonly: bool,
    /// Unique to this run of the program: idempotency keys begin with it.
    pub session: String,
    /// Names of the columns in `CaseRow::show`.
    pub show: Vec<String>,
    /// Masked columns: entity and column.
    pub mask: Vec<(String, String)>,
    /// The reasons that a digit picks.
    pub reasons: Reasons,
    /// A scan begins with the console.
    pub scan_at_start: bool,
}

impl Setup {
    /// Whether this column's values are masked.
    pub fn masks(&self, entity: &str, column: &str) -> bool {
        self.mask.iter().any(|(e, c)| e == entity && c == column)
    }

    /// The span of the log that matters: some time before T to the stop.
    pub fn span(&self) -> Option<(i64, i64)> {
        let t = self.restored_to?;
        let stop = self.stopped_at.unwrap_or(t + 3_600_000_000);
        Some((t - (stop - t).max(60_000_000) / 4, stop.max(t)))
    }
}

/// The views, by their digit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum View {
    /// How far is the restore?
    Restore,
    /// What do I do next?
    #[default]
    Queue,
    /// What differs?
    Diff,
    /// What is about to be lost?
    Hold,
    /// How far are we?
    Board,
}

impl View {
    /// All views in the order of their digits.
    pub const ALL: [Self; 5] = [Self::Restore, Self::Queue, Self::Diff, Self::Hold, Self::Board];

    /// Its name on the tab.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restore => "Restore",
            Self::Queue => "Queue",
            Self::Diff => "Diff",
            Self::Hold => "Hold",
            Self::Board => "Board",
        }
    }
}

/// Where a source of what is shown stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `restored`, `log`, `ledger`.
    pub name: String,
    /// When it was last read, microseconds since 1970.
    pub read_at: Option<i64>,
    /// Since when it does not answer.
    pub lost_since: Option<i64>,
    /// Older than so many microseconds is late; 0: it has no age to watch.
    pub late_after: i64,
}

/// Parts of the screen that a background task feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feed {
    /// The list of cases.
    Rows,
    /// The open case.
    Case,
    /// The counts of the Diff view.
    Diff,
    /// The phases.
    Phases,
    /// Counts, phases and the hold's clock.
    Overview,
    /// What is sent to the ledger, the leases, what leaves after a decision.
    Deeds,
    /// What others do.
    Watch,
    /// Old instances, deadlines, notices, and the list before workers start.
    Night,
    /// The restore in AWS.
    Aws,
    /// The scan.
    Scan,
    /// The preview.
    Preview,
    /// The hold on a broker.
    Hold,
}

impl Feed {
    /// For people: what stopped.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Rows => "reading the cases",
            Self::Case => "reading the case",
            Self::Diff => "counting differences",
            Self::Phases => "watching the cluster",
            Self::Night => "watching the old instance and the deadlines",
            Self::Overview => "reading the ledger",
            Self::Deeds => "carrying out what is decided",
            Self::Watch => "watching what others do",
            Self::Aws => "watching AWS",
            Self::Scan => "the scan",
            Self::Preview => "the preview",
            Self::Hold => "following the hold",
        }
    }
}

/// The scan as far as this console knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Scan {
    /// None ran in this ledger.
    #[default]
    Never,
    /// One runs.
    Running {
        /// Its stage.
        stage: Stage,
        /// So much of it is done.
        done: u64,
        /// Of so much; 0 where it is not known.
        total: u64,
        /// When it began, microseconds since 1970.
        since: i64,
    },
    /// The last one ended well.
    Done {
        /// When, microseconds since 1970.
        at: i64,
        /// Events read.
        events: u64,
        /// Rows read.
        rows: u64,
        /// Lines rejected.
        rejected: u64,
        /// What it warns of.
        warnings: Vec<String>,
        /// First and last event of each source and entity, in words.
        coverage: Vec<String>,
        /// What came back besides orders.
        back: Vec<CameBack>,
        /// The part of the night that no log covers, in words; empty where all of it is.
        not_known: String,
    },
    /// The last one failed.
    Failed {
        /// When, microseconds since 1970.
        at: i64,
        /// Why.
        error: Error,
    },
}

/// A line about what was just done, gone with the next key or after some seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The text.
    pub text: String,
    /// It is about something that did not work.
    pub bad: bool,
    /// When, microseconds since 1970.
    pub at: i64,
}

/// Words that were typed and not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// When, microseconds since 1970.
    pub at: i64,
    /// The words.
    pub text: String,
}

/// Everything.
#[derive(Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other: a bulk can run while a case is open and the end was asked for"
)]
pub struct Model {
    /// What was known at the start.
    pub setup: Setup,
    /// The time of the last message that brought one, microseconds since 1970.
    pub now: i64,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// The view.
    pub view: View,
    /// Keys go to the case, not to the list; on a narrow screen the case covers the list.
    pub in_case: bool,
    /// The list of cases.
    pub queue: Queue,
    /// The open case.
    pub case: CasePane,
    /// The Diff view.
    pub diff: DiffPane,
    /// The line under the cursor in the Restore view.
    pub phase_at: usize,
    /// The line below that phase that the cursor is on: one of its checks.
    pub below: Option<usize>,
    /// The preview in the Restore view.
    pub preview: PreviewPane,
    /// What lies over the view.
    pub layer: Option<Layer>,
    /// The sums, once read.
    pub counts: Option<Counts>,
    /// The phases, once read.
    pub phases: Option<Vec<PhaseLine>>,
    /// The hold's clock, where there is one.
    pub hold: Option<HoldClock>,
    /// The hold, where this console follows its brokers.
    pub hold_reading: Option<Box<HoldReading>>,
    /// So many bells have rung for the hold: at ten, five and two minutes.
    pub hold_bells: u8,
    /// The scan.
    pub scan: Scan,
    /// The part of the night that the last scan could not know, in words; empty where there is none.
    pub not_known: String,
    /// Ages of the sources.
    pub sources: Vec<Source>,
    /// Why the ledger's server does not answer, while it does not.
    pub ledger_lost: Option<String>,
    /// The cluster, where one is configured and was read.
    pub cluster: Option<Box<Reading>>,
    /// What else is watched.
    pub night: restore::Night,
    /// The restore as AWS shows it, where one is configured.
    pub restoring: Option<Box<Restoring>>,
    /// The pre-flight, where somebody made one for this attempt.
    pub preflight: Option<Box<Preflight>>,
    /// The gate, where somebody looked.
    pub gate: Option<Gate>,
    /// Papers that lack a signature, oldest first.
    pub papers: Vec<Paper>,
    /// Bulks that are not done, oldest first.
    pub bulks: Vec<Bulk>,
    /// A bulk runs here.
    pub bulk_runs: bool,
    /// What was typed and not sent, by act and case.
    pub drafts: BTreeMap<String, Draft>,
    /// They are not kept as they are now.
    pub drafts_new: bool,
    /// What was just done.
    pub notice: Option<Notice>,
    /// Background tasks that died, and why.
    pub dead: Vec<(Feed, String)>,
    /// Cases that this console claimed and still holds.
    pub held: BTreeSet<String>,
    /// The case that `J` asked for is opened when it comes: the person did not leave meanwhile.
    pub opens_next: bool,
    /// Who else has which case open.
    pub lookers: BTreeMap<String, Vec<String>>,
    /// The case that others were last told is open here.
    pub looked: Option<String>,
    /// Cases opened before the one now, for the way back.
    pub trail: Vec<String>,
    /// The last reason given.
    pub last_reason: Option<String>,
    /// Deeds sent and not yet answered: number, words.
    pub pending: Vec<(u64, String)>,
    /// Deeds and decisions so far; numbers them.
    pub deeds: u64,
    /// The end was asked for.
    pub quitting: bool,
}

impl Model {
    /// The model before anything is read.
    pub fn new(setup: Setup, now: i64, size: (u16, u16)) -> Self {
        Self {
            setup,
            now,
            size,
            ..Self::default()
        }
    }

    /// Whether this column's values are masked in the open case: one that somebody unmasked is not, for a while.
    pub fn masks(&self, entity: &str, column: &str) -> bool {
        let shown = self.case.unmasked.as_ref().is_some_and(|u| {
            u.entity == entity
                && u.column == column
                && self.now < u.until
                && self.case.current().is_some_and(|c| c.file.found.id == u.case)
        });
        self.setup.masks(entity, column) && !shown
    }

    /// The masked columns of which the open case has a value, by entity and name.
    pub fn masked_here(&self) -> Vec<(String, String)> {
        let Some(loaded) = self.case.current() else {
            return Vec::new();
        };
        let has = |entity: &str, column: &str| {
            let rows = &loaded.file.found.family;
            let in_rows = rows
                .iter()
                .any(|row| row.entity == entity && row.fields.iter().any(|f| f.name == column));
            in_rows || (entity == ORDER && self.setup.show.iter().any(|c| c == column))
        };
        let all = self.setup.mask.iter();
        all.filter(|(entity, column)| has(entity, column)).cloned().collect()
    }

    /// The list waits: a dialog is open, or rows are marked.
    pub fn is_frozen(&self) -> bool {
        self.layer.is_some() || !self.queue.marks.is_empty() || self.queue.range.is_some()
    }

    /// The case that a key is about: the open one, else the one under the cursor.
    pub fn subject(&self) -> Option<&str> {
        if self.in_case {
            return self.case.id.as_deref();
        }
        match self.view {
            View::Queue => self.queue.cursor.as_deref(),
            _ => None,
        }
    }

    /// The form that is open.
    pub fn form_mut(&mut self) -> Option<&mut overlay::Form> {
        match self.layer.as_mut().map(|l| &mut l.overlay) {
            Some(Overlay::Form(form)) => Some(form),
            _ => None,
        }
    }

    /// Whether a case is held by this person.
    pub fn is_mine(&self, id: &str) -> bool {
        self.claim_on(id).is_some_and(|claim| claim.by == self.setup.who)
    }

    /// The live claim on a case.
    pub fn claim_on(&self, id: &str) -> Option<&Claim> {
        match self.case.loaded.as_deref() {
            Some(l) if l.file.found.id == id && self.in_case => l.file.claim.as_ref(),
            _ => self.queue.table.by_id(id).and_then(|r| r.claim.as_ref()),
        }
    }

    /// Who else has this case open; nobody twice.
    pub fn lookers(&self, id: &str) -> &[String] {
        self.lookers.get(id).map_or(&[], Vec::as_slice)
    }

    /// The case that is open here, or that a dialog is about: where others see this person.
    pub fn looking(&self) -> Option<&str> {
        let about = match self.layer.as_ref().map(|l| &l.overlay) {
            Some(Overlay::Menu(menu)) => Some(menu.case.as_str()),
            Some(Overlay::Form(form)) => Some(form.case.as_str()),
            _ => None,
        };
        let open = self.case.id.as_deref().filter(|_| self.in_case);
        about.filter(|case| !case.is_empty()).or(open)
    }
}

//! What lies over the view: the verb menu, the form that confirms an act, the filter, help, the palette, a message.

use super::case::Choice;
use super::input::Input;
use crate::console::effect::Bulking;
use crate::domain::Error;
use crate::domain::case::Verb;
use crate::domain::paper::{Paper, Scope};
use crate::domain::phase::Phase;

/// For so long after it was drawn a dialog takes no key: what comes sooner was typed for something else.
pub const QUIET: i64 = 500_000;

/// An overlay and when it may take keys.
#[derive(Debug)]
pub struct Layer {
    /// What it is.
    pub overlay: Overlay,
    /// When it was first drawn, microseconds since 1970.
    pub drawn: Option<i64>,
    /// A key came too early and was ignored.
    pub early: bool,
}

impl Layer {
    /// A layer not yet drawn.
    pub const fn new(overlay: Overlay) -> Self {
        Self {
            overlay,
            drawn: None,
            early: false,
        }
    }

    /// Whether a key given at this time was given by someone who could have read the dialog.
    pub fn takes(&self, at: i64) -> bool {
        !self.overlay.is_guarded() || self.drawn.is_some_and(|d| at >= d + QUIET)
    }
}

/// One of the overlays.
#[derive(Debug)]
pub enum Overlay {
    /// The verbs of a case.
    Menu(Menu),
    /// An act, what it does, what it needs, and its confirmation.
    Form(Box<Form>),
    /// The filter being typed.
    Filter(FilterBox),
    /// The keys that work here.
    Help {
        /// The first line on the screen.
        top: usize,
    },
    /// A command by its name.
    Palette(Palette),
    /// An error, to be read.
    Message(Error),
}

impl Overlay {
    /// Whether a key in it can change something.
    pub fn is_guarded(&self) -> bool {
        match self {
            Self::Menu(_) => true,
            Self::Form(form) => form.confirm != Confirm::Enter,
            Self::Filter(_) | Self::Help { .. } | Self::Palette(_) | Self::Message(_) => false,
        }
    }
}

/// The verb menu.
#[derive(Debug)]
pub struct Menu {
    /// The case.
    pub case: String,
    /// The line under the cursor.
    pub at: usize,
    /// Why the verb just pressed may not be chosen.
    pub refused: Option<String>,
    /// It is about many cases at once.
    pub together: bool,
}

/// The filter being typed.
#[derive(Debug)]
pub struct FilterBox {
    /// The line.
    pub input: Input,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// The filter before.
    pub before: super::query::Query,
}

/// The command palette.
#[derive(Debug, Default)]
pub struct Palette {
    /// The line.
    pub input: Input,
    /// The line under the cursor, among the matches.
    pub at: usize,
}

/// How an act is confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirm {
    /// `y`.
    Yes,
    /// These words, typed, and enter.
    Words(String),
    /// Enter in the last field: for what changes no order.
    Enter,
}

/// What a form does when confirmed.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A verb.
    Decide {
        /// What it would do.
        choice: Choice,
        /// The claim's fence when the form was opened.
        fence: Option<i64>,
        /// The decision's idempotency key.
        key: String,
    },
    /// A to-do is done.
    Done,
    /// A case is taken from whoever holds it.
    TakeOver,
    /// The last decision is taken back.
    Undo,
    /// A decided or settled case is opened again.
    Reopen,
    /// It is looked up which cases a bulk would decide.
    Sift {
        /// The verb.
        verb: Verb,
        /// Which cases.
        scope: Scope,
    },
    /// A bulk begins or goes on.
    Bulk(Bulking),
    /// The bulk that runs stops.
    StopBulk,
    /// A paper of somebody else is signed.
    Sign(Box<Paper>),
    /// A paper of somebody else is declined.
    Decline(Box<Paper>),
    /// The shift is handed over.
    HandOver,
    /// The incident is signed off.
    SignOff,
    /// Nothing: it was only to be read.
    Nothing,
    /// A note.
    Note,
    /// A masked column is shown for a while: one of these, by entity and name.
    Unmask(Vec<(String, String)>),
    /// Reads the restored database again for these cases.
    Prove(Vec<String>),
    /// A column is ignored, or compared again.
    Ignore {
        /// The entity.
        entity: String,
        /// Its column.
        column: String,
        /// It is ignored now.
        again: bool,
    },
    /// A scan begins although the gate is red.
    ScanDespite,
    /// A person says how a phase ended.
    Tick(Phase),
    /// Claims are given back.
    Drop(Vec<String>),
    /// The end; these claims are given back.
    Quit(Vec<String>),
}

/// What a field of a form asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Why.
    Reason,
    /// `--to`
    To,
    /// `--ref`
    Ref,
    /// `--evidence`
    Evidence,
    /// `--until`
    Until,
    /// How it ended.
    Ended,
    /// The text of a note.
    Text,
    /// A column.
    Column,
    /// The words that confirm.
    Confirm,
}

/// A field of a form.
#[derive(Debug, Clone)]
pub struct Field {
    /// What it asks for.
    pub asks: Asks,
    /// Its name on the screen.
    pub name: &'static str,
    /// What to write there.
    pub hint: String,
    /// It may not stay blank.
    pub required: bool,
    /// The line.
    pub input: Input,
}

/// An act waiting to be confirmed.
#[derive(Debug, Clone)]
pub struct Form {
    /// The case; empty where it is about none or many.
    pub case: String,
    /// The title.
    pub title: String,
    /// What it does.
    pub act: Act,
    /// What will happen, line by line.
    pub lines: Vec<String>,
    /// The first of them on the screen.
    pub top: usize,
    /// What it needs.
    pub fields: Vec<Field>,
    /// The field that letters go to; `None`: keys are answers.
    pub focus: Option<usize>,
    /// Reasons by digit.
    pub presets: Vec<String>,
    /// How it is confirmed.
    pub confirm: Confirm,
    /// What `y` is called here: `apply`.
    pub yes: &'static str,
    /// The number of the deed that was sent; the form waits for its answer.
    pub sent: Option<u64>,
    /// Why it cannot go yet, or what the ledger answered.
    pub problem: Option<String>,
}

impl Form {
    /// What stands in a field.
    pub fn text(&self, asks: Asks) -> Option<&str> {
        let text = self.fields.iter().find(|f| f.asks == asks)?.input.text().trim();
        (!text.is_empty()).then_some(text)
    }

    /// The first required field that is blank.
    pub fn blank(&self) -> Option<usize> {
        self.fields
            .iter()
            .position(|f| f.required && f.asks != Asks::Confirm && f.input.is_blank())
    }

    /// The verb, where it is a decision.
    pub fn verb(&self) -> Option<Verb> {
        match &self.act {
            Act::Decide { choice, .. } => Some(choice.verb),
            _ => None,
        }
    }
}

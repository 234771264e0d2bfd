//! The one table of commands: dispatch, footer, help and palette are made of it.

use super::model::{Model, View};
use super::update::waits_for_me;
use crate::domain::case::State;
use crate::domain::time;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of each stand in the table below")]
pub enum Id {
    Open,
    Claim,
    TakeOver,
    Verbs,
    NextFree,
    Back,
    Note,
    Unmask,
    Undo,
    Reopen,
    Bulk,
    Approve,
    Decline,
    HandOver,
    SignOff,
    Done,
    Prove,
    Ignore,
    Tick,
    Filter,
    NextMatch,
    PreviousMatch,
    Like,
    Sort,
    Mark,
    Range,
    Unmark,
    Copy,
    CopyId,
    Events,
    Found,
    More,
    Down,
    Up,
    Top,
    Bottom,
    HalfDown,
    HalfUp,
    View(View),
    NextView,
    PreviousView,
    Preview,
    Earlier,
    Later,
    Step,
    ToT,
    Refresh,
    Palette,
    Help,
    Close,
    Quit,
}

/// Where keys are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The open case.
    Case,
    /// A view's own list.
    View(View),
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 6] = [
        Self::Case,
        Self::View(View::Restore),
        Self::View(View::Queue),
        Self::View(View::Diff),
        Self::View(View::Hold),
        Self::View(View::Board),
    ];

    const fn bit(self) -> u8 {
        match self {
            Self::Case => CASE,
            Self::View(View::Restore) => RESTORE,
            Self::View(View::Queue) => QUEUE,
            Self::View(View::Diff) => DIFF,
            Self::View(View::Hold) => HOLD,
            Self::View(View::Board) => BOARD,
        }
    }

    /// Its name on the help page.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Case => "the case",
            Self::View(view) => view.name(),
        }
    }
}

const CASE: u8 = 1;
const RESTORE: u8 = 2;
const QUEUE: u8 = 4;
const DIFF: u8 = 8;
const HOLD: u8 = 16;
const BOARD: u8 = 32;
const LISTS: u8 = RESTORE | QUEUE | DIFF;
const EVERYWHERE: u8 = CASE | LISTS | HOLD | BOARD;

/// One command.
#[derive(Debug)]
pub struct Command {
    /// What it does.
    pub id: Id,
    /// Its name in the palette.
    pub name: &'static str,
    /// Its keys, the one to show first.
    pub keys: &'static [&'static str],
    scopes: u8,
    /// One line of help.
    pub words: &'static str,
    /// Its words in the footer; the first commands of the table go first, and the footer takes what fits.
    pub hint: Option<&'static str>,
    /// It changes something: not bound in `--readonly`.
    pub changes: bool,
}

impl Command {
    /// Whether its keys are bound there.
    pub const fn is_in(&self, scope: Scope) -> bool {
        self.scopes & scope.bit() != 0
    }
}

const fn look(
    id: Id,
    name: &'static str,
    keys: &'static [&'static str],
    scopes: u8,
    hint: Option<&'static str>,
    words: &'static str,
) -> Command {
    Command {
        id,
        name,
        keys,
        scopes,
        words,
        hint,
        changes: false,
    }
}

const fn change(
    id: Id,
    name: &'static str,
    keys: &'static [&'static str],
    scopes: u8,
    hint: Option<&'static str>,
    words: &'static str,
) -> Command {
    Command {
        id,
        name,
        keys,
        scopes,
        words,
        hint,
        changes: true,
    }
}

/// All commands, the most needed first.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    look(Id::Open, "open", &["enter"], QUEUE | DIFF, Some("open"), "open the case, or the rows behind a count"),
    change(Id::Verbs, "verbs", &["a"], CASE | QUEUE, Some("verbs"), "choose what shall happen to the order (nothing happens yet)"),
    change(Id::Claim, "claim", &["c"], CASE | QUEUE, Some("claim"), "claim the case and what it waits for, or give it back"),
    change(Id::TakeOver, "take over", &["T"], CASE | QUEUE, Some("take over"), "a lead takes the case from whoever holds it, and says why"),
    look(Id::NextFree, "next", &["J", "]"], CASE | QUEUE, Some("next"), "open and claim the next undecided case that nobody holds"),
    look(Id::Back, "back", &["K", "["], CASE | QUEUE, None, "go back to the case before"),
    change(Id::Note, "note", &["i"], CASE | QUEUE, Some("note"), "write a note on the case"),
    change(Id::Done, "done", &["D"], CASE | QUEUE, Some("done"), "a to-do is done, or an answer came: say so, with the evidence"),
    change(Id::Unmask, "unmask", &["U"], CASE, None, "show a masked field for a minute; the audit trail has who and why"),
    change(Id::Prove, "prove", &["P"], CASE | QUEUE, Some("prove"), "read the restored database again: this case, or the marked"),
    change(Id::Undo, "undo", &["u"], CASE | QUEUE, Some("undo"), "take the decision back"),
    change(Id::Reopen, "reopen", &["R"], CASE | QUEUE, None, "a lead opens a decided or settled case again"),
    change(Id::Tick, "tick", &["a"], RESTORE, Some("tick"), "say how the phase under the cursor ended (nothing happens yet)"),
    change(Id::Bulk, "bulk", &["B"], CASE | QUEUE, None, "decide the marked cases, or all like this one, together"),
    change(Id::Approve, "approve", &["A"], CASE | QUEUE | BOARD, None, "another person's decision or bulk: look at it and approve it"),
    change(Id::Decline, "decline", &["X"], CASE | QUEUE | BOARD, None, "another person's decision or bulk: decline it"),
    change(Id::HandOver, "hand over", &["H"], QUEUE | BOARD, None, "hand the shift's open list over, or take it over"),
    change(Id::SignOff, "sign off", &["S"], QUEUE | BOARD, None, "the end: read all again, and sign where every case is settled"),
    change(Id::Ignore, "ignore", &["x"], DIFF, Some("ignore"), "a field that is noise: ignore it in this incident, or compare it again"),
    look(Id::Filter, "filter", &["/"], QUEUE, Some("filter"), "filter: text state:open kind:lost by:me waits:no verb:park"),
    look(Id::NextMatch, "next match", &["n"], QUEUE, None, "to the next match of the last filter"),
    look(Id::PreviousMatch, "previous match", &["N"], QUEUE, None, "to the match before"),
    look(Id::Like, "like this", &["f"], QUEUE, None, "filter: open cases with the same findings as this one"),
    look(Id::Found, "found", &["f"], CASE, None, "only rows with findings, or the whole family of the order"),
    look(Id::More, "more", &["+"], CASE, Some("more"), "fields that differ, all fields, all in full"),
    look(Id::Events, "events", &["l"], CASE, Some("events"), "the log events behind the values, in their order"),
    look(Id::Sort, "sort", &["o"], QUEUE, None, "sort by the next column; at last in queue order again"),
    look(Id::Mark, "mark", &["space"], QUEUE, Some("mark"), "mark the case; while any is marked the list stands still"),
    look(Id::Range, "range", &["v"], QUEUE, None, "begin a range of marks, and close it"),
    look(Id::Unmark, "unmark", &["-"], QUEUE, None, "forget all marks"),
    look(Id::Copy, "copy label", &["y"], CASE | QUEUE | DIFF, Some("copy"), "copy what people call the order"),
    look(Id::CopyId, "copy id", &["Y"], CASE | QUEUE | DIFF, None, "copy the case's id"),
    look(Id::Preview, "preview", &["p"], RESTORE, Some("preview"), "what would a restore to another moment find? open or close it"),
    look(Id::Earlier, "earlier", &["h", "left"], RESTORE, None, "in the preview: the cursor goes back by a step"),
    look(Id::Later, "later", &["l", "right"], RESTORE, None, "in the preview: the cursor goes on by a step"),
    look(Id::Step, "step", &["+"], RESTORE, None, "in the preview: the cursor's step is a second, a minute, a bar"),
    look(Id::ToT, "to T", &["t"], RESTORE, None, "in the preview: the cursor goes to the configured T"),
    look(Id::Down, "down", &["j", "down"], CASE | LISTS, None, "down"),
    look(Id::Up, "up", &["k", "up"], CASE | LISTS, None, "up"),
    look(Id::Top, "top", &["g", "home"], CASE | LISTS, None, "to the first line"),
    look(Id::Bottom, "bottom", &["G", "end"], CASE | LISTS, None, "to the last line"),
    look(Id::HalfDown, "half down", &["ctrl-d", "pagedown"], CASE | LISTS, None, "half a screen down"),
    look(Id::HalfUp, "half up", &["ctrl-u", "pageup"], CASE | LISTS, None, "half a screen up"),
    look(Id::Close, "close", &["esc"], EVERYWHERE, None, "back; forget marks; lift the filter"),
    look(Id::Refresh, "refresh", &["ctrl-r"], EVERYWHERE, Some("read again"), "read again: scan, and restart what stopped"),
    look(Id::View(View::Restore), "restore view", &["1"], EVERYWHERE, None, "Restore: how far is it, and what says so?"),
    look(Id::View(View::Queue), "queue view", &["2"], EVERYWHERE, None, "Queue: what do I do next?"),
    look(Id::View(View::Diff), "diff view", &["3"], EVERYWHERE, None, "Diff: what differs, by table, kind and field?"),
    look(Id::View(View::Hold), "hold view", &["4"], EVERYWHERE, None, "Hold: what is about to be lost?"),
    look(Id::View(View::Board), "board view", &["5"], EVERYWHERE, None, "Board: how far are we?"),
    look(Id::NextView, "next view", &["tab"], EVERYWHERE, Some("next view"), "to the next view"),
    look(Id::PreviousView, "previous view", &["shift-tab"], EVERYWHERE, None, "to the view before"),
    look(Id::Palette, "commands", &[":"], EVERYWHERE, Some("command"), "find a command by its name"),
    look(Id::Quit, "quit", &["q", "ctrl-c"], EVERYWHERE, None, "end; claims are given back"),
    look(Id::Help, "help", &["?"], EVERYWHERE, Some("help"), "the keys that work here"),
];

/// The command with this id.
pub fn of(id: Id) -> Option<&'static Command> {
    COMMANDS.iter().find(|c| c.id == id)
}

/// Where keys are read now.
pub fn scope(model: &Model) -> Scope {
    if model.in_case {
        Scope::Case
    } else {
        Scope::View(model.view)
    }
}

/// The commands that are bound now, most needed first.
pub fn bound(model: &Model) -> impl Iterator<Item = &'static Command> {
    let (scope, readonly) = (scope(model), model.setup.readonly);
    COMMANDS
        .iter()
        .filter(move |c| c.is_in(scope) && !(readonly && c.changes))
}

/// Why a command cannot be used now, for the palette, help and whoever presses its key.
pub fn refused(model: &Model, command: &Command) -> Option<String> {
    if command.changes && !model.setup.may_act {
        return Some(format!("your role is {}: it may look", model.setup.role));
    }
    let lost = |name: &str| model.sources.iter().any(|s| s.name == name && s.lost_since.is_some());
    if command.changes && lost("ledger") {
        return Some("the ledger does not answer".to_owned());
    }
    let subject = model.subject();
    match command.id {
        Id::Tick if model.preview.shown => Some("the preview is open: p closes it".to_owned()),
        Id::Tick if model.phases.is_none() => Some("the phases are still being read".to_owned()),
        Id::Ignore | Id::Reopen | Id::SignOff if model.setup.role != "lead" => {
            Some(format!("it takes a lead, and your role is {}", model.setup.role))
        }
        Id::TakeOver => held(model),
        Id::NextFree if lost("ledger") && model.setup.may_act => Some("the ledger does not answer".to_owned()),
        Id::Approve | Id::Decline if waits_for_me(model, false).is_none() => {
            Some("nothing of others waits for your approval".to_owned())
        }
        Id::Ignore if model.diff.group().is_none_or(|g| g.key.field.is_none()) => {
            Some("only a field can be ignored: this count is about whole rows".to_owned())
        }
        Id::Prove if lost("restored") => Some("the restored database does not answer".to_owned()),
        Id::Open if model.view == View::Diff && model.diff.is_empty() => Some("nothing to open".to_owned()),
        Id::Open if model.view == View::Queue && subject.is_none() => Some("no case under the cursor".to_owned()),
        Id::Claim | Id::Prove if !model.queue.marks.is_empty() && !model.in_case => None,
        Id::Bulk if subject.is_none() && !model.bulk_runs => Some("no case under the cursor".to_owned()),
        Id::Verbs | Id::Claim | Id::Note | Id::Undo | Id::Reopen | Id::Done | Id::Prove if subject.is_none() => {
            Some("no case under the cursor".to_owned())
        }
        Id::Unmask if model.masked_here().is_empty() => Some("no masked field in this case".to_owned()),
        Id::Undo if matches!(state(model), Some(State::Open | State::Gone)) => {
            Some("it has no decision to take back".to_owned())
        }
        Id::Reopen if state(model) == Some(State::Open) => Some("it is open".to_owned()),
        Id::Undo | Id::Reopen if state(model) == Some(State::Unconfirmed) => {
            Some("nobody knows yet whether its effect took place: P reads it back".to_owned())
        }
        Id::Done if state(model).is_some_and(|s| !can_be_done(s)) => {
            Some("nothing of it is to do, and it waits for no answer".to_owned())
        }
        Id::Prove if state(model).is_some_and(|s| s.is_decidable() || s == State::Gone) => {
            Some("nothing is decided that could be proven".to_owned())
        }
        Id::Copy | Id::CopyId if subject.is_none() && model.view != View::Diff => {
            Some("no case under the cursor".to_owned())
        }
        Id::Back if model.trail.is_empty() => Some("no case before this one".to_owned()),
        Id::NextMatch | Id::PreviousMatch if model.queue.last_query.is_none() => {
            Some("no filter yet: / begins one".to_owned())
        }
        Id::Unmark if model.queue.marks.is_empty() && model.queue.range.is_none() => {
            Some("no case is marked".to_owned())
        }
        Id::Earlier | Id::Later | Id::Step | Id::ToT if !model.preview.shown => {
            Some("the preview is closed: p opens it".to_owned())
        }
        Id::ToT if model.setup.restored_to.is_none() => Some("no restored_to is configured".to_owned()),
        _ => None,
    }
}

/// Why the case cannot be taken over: nobody else holds it, or it takes a lead.
fn held(model: &Model) -> Option<String> {
    let Some(id) = model.subject() else {
        return Some("no case under the cursor".to_owned());
    };
    match model.claim_on(id) {
        None => Some("nobody holds it: c claims it".to_owned()),
        Some(claim) if claim.by == model.setup.who => Some("it is yours".to_owned()),
        Some(claim) if model.setup.role != "lead" => Some(format!(
            "it takes a lead, and your role is {}; {} holds it until {}",
            model.setup.role,
            claim.by,
            time::clock(claim.until)
        )),
        Some(_) => None,
    }
}

/// Whether `done` says something of a case in this state.
pub const fn can_be_done(state: State) -> bool {
    matches!(state, State::ToDo | State::Parked | State::Escalated)
}

/// The state of the case that a key is about.
fn state(model: &Model) -> Option<State> {
    let id = model.subject()?;
    let row = model.queue.table.by_id(id).map(|r| r.state);
    row.or_else(|| model.case.current().map(|l| l.file.state))
}

/// The footer's words for a command, as things stand.
pub fn hint(model: &Model, command: &Command) -> Option<&'static str> {
    let words = command.hint?;
    if command.id != Id::Claim {
        return Some(words);
    }
    if !model.queue.marks.is_empty() && !model.in_case {
        return Some("claim marked");
    }
    let Some(id) = model.subject() else { return Some(words) };
    if model.is_mine(id) {
        return Some("give back");
    }
    let waits = match model.case.current() {
        Some(loaded) if model.in_case => !loaded.file.found.blocked_by.is_empty(),
        _ => model.queue.table.by_id(id).is_some_and(|r| !r.blocked_by.is_empty()),
    };
    Some(if waits { "claim chain" } else { "claim" })
}

/// Commands whose name or words hold the letters of `typed` in order, the best first.
pub fn find(model: &Model, typed: &str) -> Vec<&'static Command> {
    let typed = typed.trim().to_lowercase();
    let mut found: Vec<(usize, &'static Command)> = bound(model)
        .filter(|c| c.id != Id::Palette)
        .filter_map(|c| {
            fuzzy(c.name, &typed)
                .or_else(|| fuzzy(c.words, &typed).map(|n| n + 100))
                .map(|n| (n, c))
        })
        .collect();
    found.sort_by_key(|(score, _)| *score);
    found.into_iter().map(|(_, c)| c).collect()
}

/// How far apart the letters stand; `None` when they are not all there in order. Lower is better.
fn fuzzy(text: &str, typed: &str) -> Option<usize> {
    let text = text.to_lowercase();
    if let Some(at) = text.find(typed) {
        return Some(at.min(20));
    }
    let (mut from, mut score) = (0, 20);
    for c in typed.chars().filter(|c| !c.is_whitespace()) {
        let at = text.get(from..)?.find(c)?;
        score += at;
        from += at + c.len_utf8();
    }
    Some(score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::keymap::Key;
    use std::collections::HashMap;

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for scope in Scope::ALL {
            let mut seen: HashMap<Key, &str> = HashMap::new();
            for command in COMMANDS.iter().filter(|c| c.is_in(scope)) {
                for key in command.keys {
                    let parsed = Key::parse(key).unwrap_or_else(|| panic!("no key {key:?}"));
                    if let Some(other) = seen.insert(parsed, command.name) {
                        panic!("{key:?} is {other:?} and {:?} in {scope:?}", command.name);
                    }
                }
            }
        }
    }

    #[test]
    fn every_command_can_be_pressed_named_and_read() {
        for command in COMMANDS {
            assert!(!command.keys.is_empty() && !command.name.is_empty() && !command.words.is_empty());
            assert!(
                Scope::ALL.into_iter().any(|s| command.is_in(s)),
                "{} is nowhere",
                command.name
            );
            assert_eq!(COMMANDS.iter().filter(|c| c.name == command.name).count(), 1);
            assert_eq!(COMMANDS.iter().filter(|c| c.id == command.id).count(), 1);
        }
    }

    #[test]
    fn readonly_binds_nothing_that_changes() {
        let mut model = crate::console::fixture::model();
        model.setup.readonly = true;
        for in_case in [false, true] {
            model.in_case = in_case;
            let keys: Vec<&str> = bound(&model).flat_map(|c| c.keys).copied().collect();
            for key in ["a", "c", "i", "u", "D", "P"] {
                assert!(!keys.contains(&key), "{key}");
            }
            assert!(keys.contains(&"J"));
        }
    }

    #[test]
    fn the_palette_finds_by_letters() {
        let model = crate::console::fixture::model();
        assert_eq!(find(&model, "undo")[0].id, Id::Undo);
        assert_eq!(find(&model, "rsv")[0].id, Id::View(View::Restore));
        assert_eq!(find(&model, "").len(), bound(&model).count() - 1);
        assert!(find(&model, "zzzz").is_empty());
    }
}

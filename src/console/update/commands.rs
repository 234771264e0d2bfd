//! Keys outside dialogs: each is a command of the table.

use super::{acts, claims, complain, follow, lay, peek, read_rows, say, tick, together, want_case};
use crate::console::command::{self, Command, Id};
use crate::console::effect::Effect;
use crate::console::keymap;
use crate::console::model::diff::Inside;
use crate::console::model::overlay::{FilterBox, Menu, Overlay, Palette};
use crate::console::model::preview::{State, Step};
use crate::console::model::query::Query;
use crate::console::model::restore;
use crate::console::model::{Model, Scan, View};
use crate::console::pane;
use crate::console::view::layout;
use crate::domain::case;
use crate::domain::gate::Gate;
use crate::domain::progress::Stage;
use crate::scan::preview::Preview;
use crate::text::Safe;
use crossterm::event::KeyEvent;

/// One key.
pub fn key(model: &mut Model, key: KeyEvent, out: &mut Vec<Effect>) {
    if let Some(command) = keymap::command(model, key) {
        run(model, command, out);
    }
}

/// Runs a command, or says why not.
pub fn run(model: &mut Model, command: &Command, out: &mut Vec<Effect>) {
    if let Some(why) = command::refused(model, command) {
        complain(model, format!("{}: {why}", command.name));
        return;
    }
    if matches!(command.id, Id::Close | Id::View(_) | Id::NextView | Id::PreviousView) {
        model.opens_next = false;
    }
    match command.id {
        Id::Open => open(model, out),
        Id::Verbs => verbs(model, out),
        Id::Claim => claims::claim(model, out),
        Id::TakeOver => claims::take_over(model),
        Id::NextFree => claims::next_free(model, out),
        Id::Back => back(model, out),
        Id::Note => acts::note(model),
        Id::Unmask => acts::unmask(model),
        Id::Undo => acts::undo(model, out),
        Id::Reopen => acts::reopen(model),
        Id::Bulk => together::bulk(model, out),
        Id::Approve => together::approve(model, true),
        Id::Decline => together::approve(model, false),
        Id::HandOver => together::hand_over(model),
        Id::SignOff => together::sign_off(model),
        Id::Done => acts::done(model),
        Id::Prove => acts::prove(model),
        Id::Ignore => acts::ignore(model),
        Id::Tick => tick::form_of(model),
        Id::Filter => lay(
            model,
            Overlay::Filter(FilterBox {
                input: crate::console::model::input::Input::new(model.queue.query.text.clone()),
                problem: None,
                before: model.queue.query.clone(),
            }),
        ),
        Id::NextMatch => find(model, true, out),
        Id::PreviousMatch => find(model, false, out),
        Id::Like => like(model, out),
        Id::Sort => {
            model.queue.sort = model.queue.sort.next(model.setup.show.len());
            say(model, format!("sorted: {}", model.queue.sort.words(&model.setup.show)));
            let step = model.queue.rearrange(&model.setup.who);
            follow(model, step, out);
        }
        Id::Mark => {
            model.queue.toggle_mark();
            model.queue.step(1);
            peek(model, out);
        }
        Id::Range => model.queue.toggle_range(),
        Id::Unmark => unmark(model),
        Id::Copy => copy(model, true, out),
        Id::CopyId => copy(model, false, out),
        Id::Events => {
            model.case.events = !model.case.events;
            model.case.top = 0;
        }
        Id::Found => {
            model.case.only_found = !model.case.only_found;
            model.case.top = 0;
        }
        Id::More => {
            model.case.detail = model.case.detail.next();
            say(model, format!("shown: {}", model.case.detail.words()));
        }
        Id::Down => go(model, 1, out),
        Id::Up => go(model, -1, out),
        Id::Top => go(model, isize::MIN, out),
        Id::Bottom => go(model, isize::MAX, out),
        Id::HalfDown => go(model, half(model), out),
        Id::HalfUp => go(model, -half(model), out),
        Id::View(view) => show(model, view, out),
        Id::NextView => turn(model, 1, out),
        Id::PreviousView => turn(model, View::ALL.len() - 1, out),
        Id::Preview => preview(model, out),
        Id::Earlier => step(model, -1),
        Id::Later => step(model, 1),
        Id::Step => {
            model.preview.step = model.preview.step.next();
            say(model, format!("the cursor moves by {}", model.preview.step.words()));
        }
        Id::ToT => {
            if let Some(t) = model.setup.restored_to {
                model.preview.go(t);
            }
        }
        Id::Refresh => refresh(model, out),
        Id::Palette => lay(model, Overlay::Palette(Palette::default())),
        Id::Help => lay(model, Overlay::Help { top: 0 }),
        Id::Close => close(model, out),
        Id::Quit => acts::quit(model, out),
    }
}

fn half(model: &Model) -> isize {
    let areas = layout::areas(model);
    let height = if model.in_case {
        areas.case.height
    } else {
        areas.list.height
    };
    isize::from(height.cast_signed() / 2).max(1)
}

/// Moves in whatever has the keys.
fn go(model: &mut Model, by: isize, out: &mut Vec<Effect>) {
    let moved = |at: usize, len: usize| at.saturating_add_signed(by).min(len.saturating_sub(1));
    if model.in_case {
        let last = pane::case::height(model).saturating_sub(usize::from(layout::areas(model).case.height));
        model.case.top = model.case.top.min(last).saturating_add_signed(by).min(last);
        return;
    }
    match model.view {
        View::Queue => {
            model.queue.step(by);
            peek(model, out);
        }
        View::Diff => {
            let len = model.diff.len();
            let height = usize::from(layout::areas(model).list.height).max(1);
            let (at, top) = match model.diff.inside.as_mut() {
                Some(inside) => (&mut inside.at, &mut inside.top),
                None => (&mut model.diff.at, &mut model.diff.top),
            };
            *at = moved(*at, len);
            *top = (*top).clamp((*at + 1).saturating_sub(height), *at);
        }
        View::Restore if model.preview.shown => match (by, model.preview.ready().and_then(Preview::span)) {
            (isize::MIN, Some((first, _))) => model.preview.go(first),
            (isize::MAX, Some((_, last))) => model.preview.go(last),
            // Down is later, as in a list of moments: a minute at a time.
            (by, _) => {
                let at = model.preview.at.unwrap_or_default();
                model
                    .preview
                    .go(at.saturating_add(60_000_000 * i64::try_from(by.signum()).unwrap_or_default()));
            }
        },
        View::Restore => {
            let rows = restore::rows(model);
            let here = rows
                .iter()
                .position(|row| *row == (model.phase_at, model.below))
                .or_else(|| rows.iter().position(|row| row.0 == model.phase_at))
                .unwrap_or(0);
            if let Some((phase, below)) = rows.get(moved(here, rows.len())) {
                (model.phase_at, model.below) = (*phase, *below);
            }
        }
        View::Hold | View::Board => {}
    }
}

fn open(model: &mut Model, out: &mut Vec<Effect>) {
    match model.view {
        View::Queue => {
            if let Some(id) = model.queue.cursor.clone() {
                enter(model, &id, out);
            }
        }
        View::Diff => {
            let case = model
                .diff
                .inside
                .as_ref()
                .map(|i| i.rows.as_ref().and_then(|r| r.get(i.at)));
            match case {
                Some(Some(row)) => {
                    let id = row.case.clone();
                    enter(model, &id, out);
                }
                Some(None) => {}
                None => {
                    if let Some(key) = model.diff.group().map(|g| g.key.clone()) {
                        out.push(Effect::LoadBehind(key.clone()));
                        model.diff.inside = Some(Inside {
                            key,
                            rows: None,
                            at: 0,
                            top: 0,
                        });
                    }
                }
            }
        }
        _ => {}
    }
}

/// Opens a case; the one opened before it stays on the trail.
pub(super) fn enter(model: &mut Model, id: &str, out: &mut Vec<Effect>) {
    if model.in_case
        && let Some(before) = model.case.id.clone().filter(|b| b != id)
    {
        model.trail.push(before);
    }
    model.in_case = true;
    want_case(model, id, out);
}

fn verbs(model: &mut Model, out: &mut Vec<Effect>) {
    let Some(id) = model.subject().map(str::to_owned) else {
        return;
    };
    want_case(model, &id, out);
    lay(
        model,
        Overlay::Menu(Menu {
            case: id,
            at: 0,
            refused: None,
            together: false,
        }),
    );
}

fn back(model: &mut Model, out: &mut Vec<Effect>) {
    let Some(id) = model.trail.pop() else { return };
    model.queue.go_to(&id);
    model.in_case = true;
    want_case(model, &id, out);
}

fn find(model: &mut Model, forward: bool, out: &mut Vec<Effect>) {
    match model.queue.next_match(forward, &model.setup.who) {
        Some(place) => {
            model.queue.go(place);
            peek(model, out);
        }
        None => complain(model, "no match"),
    }
}

fn like(model: &mut Model, out: &mut Vec<Effect>) {
    let Some(row) = model.queue.current() else { return };
    let mut text = "state:open".to_owned();
    for kind in &row.kinds {
        text.push_str(" kind:");
        text.push_str(kind.name());
    }
    // Rows that no order owns go by table.
    if let Some(entity) = row.undeleted_row() {
        text.push_str(" action:");
        text.push_str(entity);
    }
    if let Ok(query) = Query::parse(&text) {
        filter(model, query, out);
    }
}

/// Shows what this filter shows.
pub fn filter(model: &mut Model, query: Query, out: &mut Vec<Effect>) {
    if !query.is_empty() {
        model.queue.last_query = Some(query.clone());
    }
    model.queue.query = query;
    let step = model.queue.rearrange(&model.setup.who);
    follow(model, step, out);
}

fn unmark(model: &mut Model) {
    model.queue.marks.clear();
    model.queue.range = None;
}

fn copy(model: &mut Model, label: bool, out: &mut Vec<Effect>) {
    let behind = model.diff.inside.as_ref().and_then(|i| i.rows.as_ref()?.get(i.at));
    let text = match (model.subject(), behind) {
        (Some(id), _) if label => {
            let loaded = model
                .case
                .current()
                .filter(|l| l.file.found.id == id)
                .map(|l| l.file.found.label.as_str());
            loaded
                .or_else(|| model.queue.table.by_id(id).map(|r| &*r.label))
                .unwrap_or(id)
        }
        (Some(id), _) => id,
        (None, Some(row)) if label => &row.label,
        (None, Some(row)) => &row.case,
        (None, None) => {
            complain(model, "no case here to copy");
            return;
        }
    };
    // What is copied is pasted somewhere, perhaps into a shell: no control character goes along.
    let text = Safe::of(text).as_str().to_owned();
    say(model, format!("{text} is copied, if the terminal takes it (OSC 52)"));
    out.push(Effect::Copy(text));
}

fn show(model: &mut Model, view: View, out: &mut Vec<Effect>) {
    model.view = view;
    model.in_case = false;
    match view {
        View::Diff => count(model, false, out),
        View::Queue => peek(model, out),
        _ => {}
    }
}

/// Counts differences where there is no count yet, or an old one.
pub fn count(model: &mut Model, again: bool, out: &mut Vec<Effect>) {
    let wanted = model.diff.groups.is_none() || model.diff.stale || again;
    if !wanted || model.diff.busy {
        return;
    }
    model.diff.busy = true;
    model.diff.reading += 1;
    out.push(Effect::LoadDiff {
        reading: model.diff.reading,
        span: model.setup.span().unwrap_or((0, 0)),
    });
    if let Some(inside) = &model.diff.inside {
        out.push(Effect::LoadBehind(inside.key.clone()));
    }
}

fn turn(model: &mut Model, by: usize, out: &mut Vec<Effect>) {
    let at = View::ALL.iter().position(|v| *v == model.view).unwrap_or(0);
    show(model, View::ALL[(at + by) % View::ALL.len()], out);
}

/// Opens or closes the preview; the first time it is told.
fn preview(model: &mut Model, out: &mut Vec<Effect>) {
    model.preview.shown = !model.preview.shown;
    if model.preview.shown && matches!(model.preview.state, State::Never | State::Failed(_)) {
        tell_preview(model, out);
    }
}

fn tell_preview(model: &mut Model, out: &mut Vec<Effect>) {
    if !matches!(model.preview.state, State::Running { .. }) {
        model.preview.state = State::Running {
            stage: Stage::Idle,
            done: 0,
            total: 0,
        };
        out.push(Effect::LoadPreview);
    }
}

/// Moves the preview's cursor.
fn step(model: &mut Model, by: i64) {
    let width = usize::from(layout::areas(model).list.width);
    let pane = &model.preview;
    let (Some(at), Some(preview)) = (pane.at, pane.ready()) else {
        return;
    };
    let step = match pane.step {
        Step::Second => 1_000_000,
        Step::Minute => 60_000_000,
        Step::Bar => pane::preview::bars(preview, width)
            .first()
            .map_or(0, |bar| bar.to - bar.from),
    };
    model.preview.go(at.saturating_add(by * step));
}

fn refresh(model: &mut Model, out: &mut Vec<Effect>) {
    if model.view == View::Restore && model.preview.shown {
        tell_preview(model, out);
    }
    if !model.dead.is_empty() {
        model.dead.clear();
        out.push(Effect::Restart);
    }
    out.push(Effect::LoadOverview);
    out.push(Effect::AskAws);
    read_rows(model, out);
    super::reload_case(model, out);
    if model.view == View::Diff {
        count(model, true, out);
    }
    if model.setup.readonly || !model.setup.may_act {
        say(model, "reading again; a scan is not for who may only look");
    } else if matches!(model.scan, Scan::Running { .. }) {
        say(model, "reading again; a scan is under way");
    } else {
        out.push(Effect::StartScan { despite: None });
        let red = model.gate.as_ref().filter(|gate| gate.red().is_some()).map(Gate::words);
        match red {
            None => say(model, "reading again; a scan begins"),
            Some(_) if model.setup.role == "lead" => acts::scan_despite(model),
            Some(words) => complain(
                model,
                format!("the gate is {words}. A scan asks it again; to go on while it is red takes a lead"),
            ),
        }
    }
}

fn close(model: &mut Model, out: &mut Vec<Effect>) {
    if model.in_case {
        model.in_case = false;
        peek(model, out);
    } else if model.view == View::Restore {
        model.preview.shown = false;
    } else if model.view == View::Diff {
        model.diff.inside = None;
    } else if model.view == View::Queue {
        if model.queue.range.take().is_some() {
        } else if !model.queue.marks.is_empty() {
            unmark(model);
        } else if !model.queue.query.is_empty() {
            filter(model, Query::default(), out);
        }
    }
}

/// Whether a case in this state has a decision that may be taken back.
pub const fn can_undo(state: case::State) -> bool {
    !matches!(state, case::State::Open | case::State::Gone)
}

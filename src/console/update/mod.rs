//! What a message changes, and what it asks for. Pure: no clock, no input, no output.

mod acts;
mod claims;
mod commands;
mod data;
mod dialog;
mod drafts;
mod submit;
mod tick;
mod together;

#[cfg(test)]
mod tests;

use super::effect::{Deed, Effect};
use super::model::overlay::{Layer, Overlay};
use super::model::queue::Step;
use super::model::{Feed, Model, Notice, View};
use super::msg::Msg;
use super::view::layout;
pub use acts::when;
use crossterm::event::KeyEventKind;
pub use together::{scope as bulk_scope, waits_for_me};

/// A reading begins at most so often while others work in the ledger; a long one takes no more than a fifth of the time.
const READ_EVERY: i64 = 2_000_000;
/// A notice stays for so long.
const NOTICE_STAYS: i64 = 12_000_000;

/// What the console asks for before anything happened.
pub fn start(model: &mut Model) -> Vec<Effect> {
    let mut out = vec![Effect::LoadOverview];
    read_rows(model, &mut out);
    if model.setup.scan_at_start {
        out.push(Effect::StartScan { despite: None });
    }
    out
}

/// Changes the model as the message says; returns what is to be done outside.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let mut out = Vec::new();
    match msg {
        Msg::Key(key, at) => {
            if key.kind != KeyEventKind::Release && !model.quitting {
                model.notice = None;
                if model.layer.is_some() {
                    dialog::key(model, key, at, &mut out);
                } else {
                    commands::key(model, key, &mut out);
                }
            }
        }
        Msg::Paste(text) => dialog::paste(model, &text, &mut out),
        Msg::Resize(columns, rows) => model.size = (columns, rows),
        Msg::Tick(now) => {
            model.now = model.now.max(now);
            if model.notice.as_ref().is_some_and(|n| model.now - n.at > NOTICE_STAYS) {
                model.notice = None;
            }
            drafts::keep(model, &mut out);
            ring(model, &mut out);
        }
        Msg::Drawn(at) => {
            if let Some(layer) = model.layer.as_mut() {
                layer.drawn.get_or_insert(at);
            }
        }
        other => {
            if let Some(other) = together::take(model, other, &mut out) {
                data::take(model, other, &mut out);
            }
        }
    }
    settle(model, &mut out);
    drafts::note(model);
    out
}

/// Rings once each when ten, five and two minutes are left before the hold may lose what is not rescued.
fn ring(model: &mut Model, out: &mut Vec<Effect>) {
    const MINUTE: i64 = 60_000_000;
    let open = model.hold.filter(|hold| hold.held > hold.rescued);
    let left = open.and_then(|hold| hold.loss_from).map(|at| at - model.now);
    let due = left.map_or(0, |left| [10, 5, 2].iter().filter(|m| left <= *m * MINUTE).count());
    let due = u8::try_from(due).unwrap_or(0);
    if due > model.hold_bells {
        out.push(Effect::Bell);
    }
    // What was rescued meanwhile may ring again.
    model.hold_bells = due;
}

/// What follows from any change: a waiting reading is shown once the list thaws, a due one begins, the cursor is on the
/// screen.
fn settle(model: &mut Model, out: &mut Vec<Effect>) {
    if !model.is_frozen() && model.queue.has_news() {
        let step = model.queue.thaw(&model.setup.who);
        follow(model, step, out);
    }
    if model.queue.again && !model.queue.busy && model.now - model.queue.began >= READ_EVERY.max(5 * model.queue.took) {
        read_rows(model, out);
    }
    let looking = model.looking().map(str::to_owned);
    if looking != model.looked {
        model.looked.clone_from(&looking);
        out.push(Effect::Look(looking));
    }
    let areas = layout::areas(model);
    model.queue.scroll_into(usize::from(areas.list.height));
}

/// Does what the queue asked for.
fn follow(model: &mut Model, step: Step, out: &mut Vec<Effect>) {
    if let Some(number) = step.arrange {
        out.push(Effect::Arrange {
            number,
            rows: model.queue.rows_to_arrange(),
            query: model.queue.query.clone(),
            sort: model.queue.sort,
        });
    }
    if let Some(table) = step.trash {
        out.push(Effect::Discard(table));
    }
    if step.moved {
        peek(model, out);
    }
}

/// Begins a reading of all rows, or remembers that one is wanted after the one under way.
fn read_rows(model: &mut Model, out: &mut Vec<Effect>) {
    if model.queue.busy {
        model.queue.again = true;
        return;
    }
    model.dead.retain(|(feed, _)| *feed != Feed::Rows);
    let expected = model.counts.as_ref().map_or(0, crate::domain::queue::Counts::total);
    let reading = model.queue.begin(model.now, expected);
    out.push(Effect::LoadRows { reading });
}

/// Reads the case under the cursor, to be shown beside or below the list.
fn peek(model: &mut Model, out: &mut Vec<Effect>) {
    if model.view == View::Queue
        && !model.in_case
        && let Some(id) = model.queue.cursor.clone()
    {
        want_case(model, &id, out);
    }
}

/// Makes this case the one in the case pane.
fn want_case(model: &mut Model, id: &str, out: &mut Vec<Effect>) {
    if model.case.id.as_deref() == Some(id) && (model.case.current().is_some() || model.case.missing) {
        return;
    }
    if model.case.id.as_deref() != Some(id) {
        model.case.id = Some(id.to_owned());
        model.case.top = 0;
        model.case.events = false;
        model.case.missing = false;
    }
    reload_case(model, out);
}

/// Reads the case in the pane again.
fn reload_case(model: &mut Model, out: &mut Vec<Effect>) {
    if let Some(id) = model.case.id.clone() {
        model.case.reading += 1;
        out.push(Effect::LoadCase {
            reading: model.case.reading,
            id,
        });
    }
}

/// Sends a deed; returns its number.
fn send(model: &mut Model, deed: Deed, out: &mut Vec<Effect>) -> u64 {
    model.deeds += 1;
    let number = model.deeds;
    model.pending.push((number, deed.words()));
    out.push(Effect::Deed { number, deed });
    number
}

fn say(model: &mut Model, text: impl Into<String>) {
    model.notice = Some(Notice {
        text: text.into(),
        bad: false,
        at: model.now,
    });
}

fn complain(model: &mut Model, text: impl Into<String>) {
    model.notice = Some(Notice {
        text: text.into(),
        bad: true,
        at: model.now,
    });
}

fn lay(model: &mut Model, mut overlay: Overlay) {
    if let Overlay::Form(form) = &mut overlay {
        drafts::offer(model, form);
    }
    model.layer = Some(Layer::new(overlay));
}

//! Claims: taken, given back, taken over, and the next case opened and claimed in one step.

use super::acts::{field, form, names, subject};
use super::commands::enter;
use super::{complain, lay, send};
use crate::console::effect::{Deed, Effect};
use crate::console::model::overlay::{Act, Asks, Confirm, Overlay};
use crate::console::model::{Model, Scan, View};
use crate::domain::time;

/// So many cases are offered to the ledger at once: others may have taken the first of them just now.
const MOST: usize = 50;
/// What `J` says where nothing is left.
pub const NONE_LEFT: &str = "no undecided case left that nobody holds";

/// Claims the case and what it waits for, or gives it back; the marked ones where some are.
pub fn claim(model: &mut Model, out: &mut Vec<Effect>) {
    let who = model.setup.who.clone();
    if !model.in_case && !model.queue.marks.is_empty() {
        let marks: Vec<String> = model.queue.marks.iter().map(ToString::to_string).collect();
        let (mine, others): (Vec<_>, Vec<_>) = marks.into_iter().partition(|id| model.is_mine(id));
        if others.is_empty() {
            drop_claims(model, mine, out);
        } else {
            send(model, Deed::Claim(others), out);
        }
        return;
    }
    let Some(id) = model.subject().map(str::to_owned) else {
        return;
    };
    if model.is_mine(&id) {
        let mut ids = chain(model, &id);
        ids.retain(|other| *other == id || model.is_mine(other));
        drop_claims(model, ids, out);
        return;
    }
    match model.claim_on(&id).filter(|claim| claim.by != who) {
        Some(claim) => {
            let until = time::clock(claim.until);
            let more = if model.setup.role == "lead" {
                "T takes it over"
            } else {
                "it is free when they give it back or are gone for a minute"
            };
            let text = format!("{} holds it until {until}: {more}", claim.by);
            complain(model, text);
        }
        None => {
            send(model, Deed::Claim(vec![id]), out);
        }
    }
}

/// Takes a case from whoever holds it.
pub fn take_over(model: &mut Model) {
    let Some((id, label)) = subject(model) else { return };
    let Some(claim) = model.claim_on(&id).cloned() else {
        return;
    };
    let mut form = form(
        &id,
        format!("take {label} over from {}", claim.by),
        Act::TakeOver,
        Confirm::Yes,
        "take it over",
    );
    form.lines = vec![
        format!(
            "{} holds it until {}, and longer while they are there",
            claim.by,
            time::clock(claim.until)
        ),
        "what they were about to decide on it is refused from then on, and they are told who took it and why"
            .to_owned(),
        "what it waits for is not taken over".to_owned(),
    ];
    form.presets = ["they are away, and it cannot wait", "agreed with them"]
        .map(str::to_owned)
        .to_vec();
    form.fields
        .push(field(Asks::Reason, "reason", "a digit, or your own words", true));
    lay(model, Overlay::Form(Box::new(form)));
}

/// The case and what it waits for, as far as the screen knows.
fn chain(model: &Model, id: &str) -> Vec<String> {
    let mut ids = vec![id.to_owned()];
    if let Some(row) = model.queue.table.by_id(id) {
        ids.extend(row.blocked_by.iter().map(|(b, _)| b.to_string()));
    }
    ids
}

/// Opens the next case that nobody holds and claims it in one step: the first of those shown from the cursor on that is still
/// free when the ledger is asked; without a filter whatever else is free there. Who may only look, only opens.
pub fn next_free(model: &mut Model, out: &mut Vec<Effect>) {
    let claims = !model.setup.readonly && model.setup.may_act;
    let whole = model.queue.query.is_empty();
    let among: Vec<String> = model
        .queue
        .free(&model.setup.who, model.in_case)
        .take(MOST)
        .map(|row| row.id.to_string())
        .collect();
    let may_be_new = claims && whole && model.queue.complete && !model.queue.table.rows.is_empty();
    match among.first() {
        Some(first) if !claims => {
            let first = first.clone();
            go_to(model, &first, out);
        }
        None if !may_be_new => {
            let why = match (&model.scan, model.queue.complete) {
                (_, false) => "cases are still being read",
                (Scan::Running { .. }, _) if model.queue.table.rows.is_empty() => "no case yet: the scan is under way",
                _ => NONE_LEFT,
            };
            let more = if whole { "" } else { " (in this filter: esc lifts it)" };
            complain(model, format!("{why}{more}"));
        }
        _ => {
            let open = model.subject().filter(|_| model.in_case);
            let pass = open.map(str::to_owned).into_iter().collect();
            send(model, Deed::Next { among, pass, whole }, out);
            model.opens_next = true;
        }
    }
}

/// The next case was claimed, or there was none.
pub fn took_next(model: &mut Model, chain: &[String], out: &mut Vec<Effect>) {
    let Some(case) = chain.first() else { return };
    model.held.extend(chain.iter().cloned());
    // Somebody who began something else meanwhile is not torn away from it.
    if model.layer.is_none() && model.opens_next {
        go_to(model, case, out);
    }
}

fn go_to(model: &mut Model, id: &str, out: &mut Vec<Effect>) {
    model.queue.go_to(id);
    model.view = View::Queue;
    enter(model, id, out);
}

/// Gives claims back: one at once, more after a word.
pub fn drop_claims(model: &mut Model, ids: Vec<String>, out: &mut Vec<Effect>) {
    if ids.len() < 2 {
        send(model, Deed::Drop(ids), out);
        return;
    }
    let mut form = form(
        "",
        format!("give back {} claims", ids.len()),
        Act::Drop(ids.clone()),
        Confirm::Yes,
        "give back",
    );
    form.lines = names(model, &ids);
    form.lines.push("others can claim them at once".to_owned());
    lay(model, Overlay::Form(Box::new(form)));
}

//! Words that were typed and not sent: they are offered again when the same form opens, in another session too.

use crate::console::effect::Effect;
use crate::console::model::overlay::{Act, Asks, Form, Overlay};
use crate::console::model::{Draft, Model};
use crate::domain::time;

/// Under which name a form's words are kept; `None` for forms without words of one's own.
fn name(form: &Form) -> Option<String> {
    let act = match &form.act {
        Act::Decide { choice, .. } => choice.verb.name(),
        Act::Done => "done",
        Act::Undo => "undo",
        Act::Reopen => "reopen",
        Act::Note => "note",
        Act::HandOver => "handover",
        _ => return None,
    };
    Some(format!("{act} {}", form.case))
}

/// The field of a form whose words are kept.
fn place(form: &Form) -> Option<usize> {
    let wanted = [Asks::Reason, Asks::Text, Asks::Evidence];
    wanted
        .into_iter()
        .find_map(|asks| form.fields.iter().position(|f| f.asks == asks))
}

/// Puts the words of the last time into a form that opens.
pub fn offer(model: &Model, form: &mut Form) {
    let draft = name(form).and_then(|name| model.drafts.get(&name));
    let (Some(draft), Some(place)) = (draft, place(form)) else {
        return;
    };
    form.lines
        .push(format!("your words of {} are here again", time::clock(draft.at)));
    form.fields[place].input.set(&draft.text);
}

/// Takes note of what is typed.
pub fn note(model: &mut Model) {
    let Some(Overlay::Form(form)) = model.layer.as_ref().map(|l| &l.overlay) else {
        return;
    };
    let (Some(name), Some(place)) = (name(form), place(form)) else {
        return;
    };
    let text = form.fields[place].input.text();
    if model.drafts.get(&name).map_or("", |d| &d.text) == text {
        return;
    }
    let text = text.to_owned();
    let at = model.now;
    if text.trim().is_empty() || form.presets.contains(&text) {
        model.drafts.remove(&name);
    } else {
        model.drafts.insert(name, Draft { at, text });
    }
    model.drafts_new = true;
}

/// The words of this form arrived: they are no draft any more.
pub fn forget(model: &mut Model) {
    let Some(form) = model.form_mut() else { return };
    if let Some(name) = name(form) {
        model.drafts_new |= model.drafts.remove(&name).is_some();
    }
}

/// Keeps what changed since it was kept, once a second at most.
pub fn keep(model: &mut Model, out: &mut Vec<Effect>) {
    if std::mem::take(&mut model.drafts_new) {
        out.push(Effect::KeepDrafts(model.drafts.clone()));
    }
}

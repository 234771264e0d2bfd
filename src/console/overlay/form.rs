//! The decision screen and its smaller kin: exactly what will happen, what it needs, and the key that does it.

use super::sheet::Sheet;
use crate::console::model::Model;
use crate::console::model::overlay::{Act, Asks, Confirm, Form};
use crate::console::pane::value::instant;
use crate::console::update::when;
use crate::console::widget::{Pen, Strip};
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

/// Draws it.
pub fn draw(model: &Model, form: &Form, early: bool, pen: &mut Pen<'_>, screen: Rect) {
    let mut sheet = Sheet::new(screen, 96);
    for line in &form.lines {
        sheet.say(Tone::Text, &Safe::of(line));
    }
    if !form.lines.is_empty() && !form.fields.is_empty() {
        sheet.put(Strip::new());
    }
    for (at, field) in form.fields.iter().enumerate() {
        let typing = form.focus == Some(at);
        let needed = if field.required { "" } else { " (may stay blank)" };
        let hint = safe!("{}{}", Safe::of(&field.hint), needed);
        sheet.input(field.name, &field.input, &hint, typing);
        if field.asks == Asks::Until
            && let Some(at) = when(field.input.text(), model.now)
        {
            sheet.put(Strip::new().with(Tone::Dim, safe!("          that is {}", instant(at, Some(model.now)))));
        }
        if field.asks == Asks::Reason {
            reasons(model, form, &mut sheet);
        }
    }
    sheet.foot();
    if let Some(problem) = &form.problem {
        sheet.say(Tone::Bad, &Safe::of(problem));
    }
    if early {
        sheet.say(
            Tone::Warn,
            &Safe::ours("a key came before this could be read: press it again"),
        );
    }
    sheet.put(keys(form));
    sheet.draw(pen, screen, &Safe::of(&form.title), form.top);
}

fn reasons(model: &Model, form: &Form, sheet: &mut Sheet) {
    let last = model.last_reason.as_ref().map(|r| (0, r));
    let presets = (1_usize..).zip(&form.presets);
    for (digit, reason) in presets.chain(last) {
        let text = safe!("          {} {}", digit, Safe::of(reason));
        sheet.put(Strip::new().with(Tone::Dim, text));
    }
}

fn keys(form: &Form) -> Strip<'static> {
    if form.sent.is_some() {
        return Strip::new().ours(Tone::Accent, "… sent, waiting for the answer");
    }
    let leave = match form.act {
        Act::Decide { .. } => " leave it alone",
        _ => " back",
    };
    let mut strip = Strip::new();
    let mut add = |key: &'static str, words: &'static str| {
        if strip.width() > 0 {
            strip.add(Tone::Text, Safe::ours("   "));
        }
        strip.add(Tone::Key, Safe::ours(key));
        strip.add(Tone::Text, Safe::ours(" "));
        strip.add(Tone::Text, Safe::ours(words));
    };
    match (&form.confirm, form.focus) {
        (Confirm::Yes, None) => {
            add("y", form.yes);
            if !form.fields.is_empty() {
                add("tab", "write");
            }
        }
        (Confirm::Yes, Some(_)) => {
            add("enter", "next");
            add("tab", "to the answers");
        }
        (Confirm::Words(_), Some(at)) if form.fields.get(at).is_some_and(|f| f.asks == Asks::Confirm) => {
            add("enter", "apply, when the words are typed");
        }
        (Confirm::Words(_), _) => add("tab", "write"),
        (Confirm::Enter, _) => add("enter", form.yes),
    }
    strip
        .ours(Tone::Text, "   ")
        .ours(Tone::Key, "esc")
        .ours(Tone::Text, leave)
}

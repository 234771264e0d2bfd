//! Help, made of the command table; and messages.

use super::sheet::Sheet;
use crate::console::command::{self, Id};
use crate::console::model::Model;
use crate::console::widget::{Pen, Strip};
use crate::domain::Error;
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

/// Draws the keys that work where help was asked for.
pub fn draw(model: &Model, top: usize, pen: &mut Pen<'_>, screen: Rect) {
    let mut sheet = Sheet::new(screen, 100);
    for command in command::bound(model) {
        let keys = command.keys.join(" ");
        let why = command::refused(model, command);
        let (key, words) = if why.is_some() {
            (Tone::Disabled, Tone::Disabled)
        } else {
            (Tone::Key, Tone::Text)
        };
        let mut strip = Strip::new().column(key, Safe::of(&keys), 12).ours(words, command.words);
        if let (Some(why), true) = (why, command.changes || matches!(command.id, Id::Back)) {
            strip = strip.with(Tone::Warn, safe!("  now: {}", Safe::of(&why)));
        }
        sheet.put(strip);
    }
    if model.setup.readonly {
        sheet.say(
            Tone::Warn,
            &Safe::ours("readonly: no key that changes anything is bound"),
        );
    }
    sheet.foot();
    sheet.put(
        Strip::new()
            .ours(Tone::Key, "j k")
            .ours(Tone::Text, " scroll   ")
            .ours(Tone::Key, "esc")
            .ours(Tone::Text, " back"),
    );
    let title = safe!("keys in {}", command::scope(model).name());
    sheet.draw(pen, screen, &title, top);
}

/// Draws an error to be read: what, where, what to do.
pub fn message(error: &Error, pen: &mut Pen<'_>, screen: Rect) {
    let mut sheet = Sheet::new(screen, 84);
    sheet.say(Tone::Bad, &Safe::of(&error.what));
    if let Some(place) = &error.place {
        sheet.say(Tone::Text, &safe!("where: {}", Safe::of(place)));
    }
    if let Some(cure) = &error.cure {
        sheet.say(Tone::Text, &safe!("do: {}", Safe::of(cure)));
    }
    sheet.foot();
    sheet.put(
        Strip::new()
            .ours(Tone::Key, "enter")
            .ours(Tone::Text, " I have read it"),
    );
    sheet.draw(pen, screen, &Safe::ours("that did not work"), 0);
}

//! The command palette: a command by its name.

use super::sheet::Sheet;
use crate::console::command;
use crate::console::model::Model;
use crate::console::model::overlay::Palette;
use crate::console::widget::{Pen, Strip};
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

/// Lines of commands shown at once.
const SHOWN: usize = 12;

/// Draws it.
pub fn draw(model: &Model, palette: &Palette, pen: &mut Pen<'_>, screen: Rect) {
    let mut sheet = Sheet::new(screen, 84);
    sheet.input("command", &palette.input, &Safe::ours("some letters of its name"), true);
    sheet.put(Strip::new());
    let found = command::find(model, palette.input.text());
    let room = SHOWN.min(usize::from(screen.height).saturating_sub(5)).max(1);
    let top = (palette.at + 1).saturating_sub(room);
    for (line, command) in found.iter().enumerate().skip(top).take(room) {
        let why = command::refused(model, command);
        let tone = if why.is_some() { Tone::Disabled } else { Tone::Text };
        let mut strip = Strip::new();
        strip.ground = (line == palette.at).then_some(Tone::Selected);
        let key = command.keys.first().copied().unwrap_or("");
        strip = strip
            .column(Tone::Key, Safe::ours(key), 9)
            .column(tone, Safe::ours(command.name), 15);
        strip = match why {
            Some(why) => strip.with(Tone::Warn, safe!("not now: {}", Safe::of(&why))),
            None => strip.ours(Tone::Dim, command.words),
        };
        sheet.put(strip);
    }
    if found.is_empty() {
        sheet.say(Tone::Dim, &Safe::ours("no command of that name"));
    }
    sheet.draw(pen, screen, &Safe::ours("commands"), 0);
}

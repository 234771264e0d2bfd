//! The verb menu: what shall happen?

use super::sheet::Sheet;
use crate::console::model::Model;
use crate::console::model::case::Way;
use crate::console::model::overlay::Menu;
use crate::console::widget::{Pen, Strip};
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

/// Draws it.
pub fn draw(model: &Model, menu: &Menu, early: bool, pen: &mut Pen<'_>, screen: Rect) {
    let mut sheet = Sheet::new(screen, 96);
    let Some(loaded) = model.case.current().filter(|l| l.file.found.id == menu.case) else {
        let words = if model.case.missing {
            "the ledger has no such case any more"
        } else {
            "reading what may be done…"
        };
        sheet.say(Tone::Dim, &Safe::ours(words));
        sheet.draw(pen, screen, &Safe::id(&menu.case), 0);
        return;
    };
    let width = sheet.width;
    for (line, choice) in loaded.choices.iter().enumerate() {
        let cursor = line == menu.at;
        let mut strip = Strip::new();
        strip.ground = cursor.then_some(Tone::Selected);
        let (key, name) = if choice.refused.is_some() {
            (Tone::Disabled, Tone::Disabled)
        } else {
            (Tone::Key, Tone::Text)
        };
        let mut letter = String::new();
        letter.push(choice.verb.letter());
        strip =
            strip
                .with(key, Safe::of(&letter))
                .ours(Tone::Text, " ")
                .column(name, Safe::ours(choice.verb.name()), 9);
        let strip = if let Some(why) = &choice.refused {
            strip.with(Tone::Disabled, safe!("no: {}", Safe::of(why)))
        } else {
            let tone = if choice.way == Way::OneWay {
                Tone::Warn
            } else {
                Tone::Dim
            };
            let way = Strip::new().ours(tone, choice.way.words());
            strip.with(Tone::Text, Safe::of(&choice.what)).beside(way, width)
        };
        if cursor {
            sheet.focus = Some(sheet.len());
        }
        sheet.put(strip);
    }
    sheet.foot();
    if let Some(advice) = &loaded.file.found.advice {
        sheet.say(
            Tone::Accent,
            &safe!(
                "advice: {} ({}), {}",
                advice.verb.letter(),
                advice.verb.name(),
                Safe::of(&advice.why)
            ),
        );
    }
    if let Some(why) = &menu.refused {
        sheet.say(Tone::Bad, &Safe::of(why));
    }
    if menu.together {
        let scope = crate::console::update::bulk_scope(model, &menu.case).words();
        sheet.say(
            Tone::Warn,
            &safe!("together: {}; nothing happens yet", Safe::of(&scope)),
        );
    } else if !model.queue.marks.is_empty() && !model.in_case {
        let label = Safe::id(&loaded.file.found.label);
        sheet.say(
            Tone::Warn,
            &safe!(
                "{} cases are marked: each is decided by itself, this is about {}",
                model.queue.marks.len(),
                label
            ),
        );
    }
    if early {
        sheet.say(
            Tone::Warn,
            &Safe::ours("a key came before this could be read: press it again"),
        );
    }
    let title = safe!("{}: what shall happen?", Safe::id(&loaded.file.found.label));
    sheet.draw(pen, screen, &title, 0);
}

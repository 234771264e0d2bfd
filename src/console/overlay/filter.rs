//! The filter, typed in the last line while the list follows.

use crate::console::model::overlay::FilterBox;
use crate::console::widget::{Pen, Strip, typed};
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

/// Draws it over the footer.
pub fn draw(filter: &FilterBox, pen: &mut Pen<'_>, area: Rect) {
    pen.clear(area);
    let width = usize::from(area.width);
    let (before, after) = filter.input.halves();
    let mut line = Strip::new()
        .ours(Tone::Key, " /")
        .with(Tone::Input, typed(before).clip_start(width.saturating_sub(12).max(4)))
        .ours(Tone::Accent, "│")
        .with(Tone::Input, typed(after));
    line = match &filter.problem {
        Some(problem) => line.with(Tone::Bad, safe!("  {}", Safe::of(problem))),
        None if filter.input.text().is_empty() => {
            line.ours(Tone::Dim, "text, state:open kind:lost by:me waits:no verb:park")
        }
        None => line
            .ours(Tone::Text, "  ")
            .ours(Tone::Key, "enter")
            .ours(Tone::Text, " keep  ")
            .ours(Tone::Key, "esc")
            .ours(Tone::Text, " as before"),
    };
    pen.strip(area, 0, &line.cut(width));
}

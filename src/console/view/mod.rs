//! Draws the model: two lines on top, the view, one line at the bottom, and what lies over it.

mod frame;
pub mod layout;
#[cfg(test)]
mod tests;

use super::model::{Model, View};
use super::overlay;
use super::pane;
use super::widget::{Pen, Strip};
use crate::safe;
use crate::text::Safe;
use crate::theme::{Theme, Tone};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws one frame.
pub fn view(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    view_in(model, theme, frame.buffer_mut());
}

/// Draws into a buffer of any size; nothing is drawn outside it.
pub fn view_in(model: &Model, theme: &Theme, buffer: &mut Buffer) {
    let whole = buffer.area;
    let plain = theme.style(Tone::Text);
    if plain != ratatui::style::Style::new() {
        buffer.set_style(whole, plain);
    }
    let mut pen = Pen::new(buffer, theme);
    let areas = layout::areas(model);
    if areas.too_small {
        let words = safe!("too small: {}x{} needed", layout::LEAST.0, layout::LEAST.1);
        pen.strip(whole, 0, &Strip::new().with(Tone::Warn, words));
        return;
    }
    frame::header(model, &mut pen, &areas);
    pen.rule(areas.rule);
    frame::scanning(model, &mut pen, areas.rule);
    pen.rule(areas.footer_rule);
    if areas.list.area() > 0 {
        match model.view {
            View::Queue => pane::queue::draw(model, &mut pen, &areas),
            View::Restore if model.preview.shown => pane::preview::draw(model, &mut pen, areas.list),
            View::Restore => pane::restore::draw(model, &mut pen, &areas),
            View::Diff => pane::diff::draw(model, &mut pen, &areas),
            View::Hold => pane::hold::draw(model, &mut pen, areas.list),
            View::Board => pane::board::draw(model, &mut pen, areas.list),
        }
    }
    if areas.case.area() > 0 {
        pen.upright(areas.between);
        pane::case::draw(model, &mut pen, areas.case, areas.footer_rule);
    }
    stale(model, &mut pen, &areas);
    frame::footer(model, &mut pen, areas.footer);
    overlay::draw(model, &mut pen, whole, &areas);
}

/// A lost database greys what it fed.
fn stale(model: &Model, pen: &mut Pen<'_>, areas: &layout::Areas) {
    let Some(ledger) = model
        .sources
        .iter()
        .find(|s| s.lost_since.is_some() && s.name == "ledger")
    else {
        return;
    };
    pen.tint(areas.body, Tone::Stale);
    let at = ledger
        .read_at
        .map_or(Safe::ours("the start"), |at| pane::value::instant(at, Some(model.now)));
    // On the rule, where it hides nothing; without one on the last line of the view.
    let place = match (areas.rule.height, areas.body.height) {
        (0, 0) => return,
        (0, _) => Rect {
            y: areas.body.bottom() - 1,
            height: 1,
            ..areas.body
        },
        _ => areas.rule,
    };
    pen.strip(
        place,
        0,
        &Strip::new().with(
            Tone::Loud,
            safe!(
                " as of {}: {} ",
                at,
                Safe::of(model.ledger_lost.as_deref().unwrap_or("the ledger does not answer"))
            ),
        ),
    );
}

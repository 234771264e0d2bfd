//! Draws the model: two lines on top, the view, one line at the bottom, and what lies over it.

mod frame;
pub mod layout;

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
    buffer.set_style(whole, theme.style(Tone::Text));
    let mut pen = Pen::new(buffer, theme);
    let areas = layout::areas(model);
    if areas.too_small {
        let words = safe!("too small: {}x{} needed", layout::LEAST.0, layout::LEAST.1);
        pen.strip(whole, 0, &Strip::new().with(Tone::Warn, words));
        return;
    }
    frame::header(model, &mut pen, &areas);
    pen.rule(areas.rule);
    pen.rule(areas.footer_rule);
    if areas.list.area() > 0 {
        match model.view {
            View::Queue => pane::queue::draw(model, &mut pen, &areas),
            View::Restore | View::Diff | View::Hold | View::Board => {}
        }
    }
    if areas.case.area() > 0 {
        pen.upright(areas.between);
        pane::case::draw(model, &mut pen, areas.case);
    }
    stale(model, &mut pen, areas.body);
    frame::footer(model, &mut pen, areas.footer);
    overlay::draw(model, &mut pen, whole, &areas);
}

/// A lost database greys what it fed.
fn stale(model: &Model, pen: &mut Pen<'_>, body: Rect) {
    if model
        .sources
        .iter()
        .any(|s| s.lost_since.is_some() && s.name == "ledger")
    {
        pen.tint(body, Tone::Stale);
        let at = model
            .sources
            .iter()
            .find(|s| s.name == "ledger")
            .and_then(|s| s.read_at);
        let at = at.map_or(Safe::ours("the start"), |at| pane::value::instant(at, Some(model.now)));
        pen.strip(
            body,
            0,
            &Strip::new().with(Tone::Loud, safe!(" as of {}: the ledger does not answer ", at)),
        );
    }
}

//! What lies over the view.

mod filter;
mod form;
mod help;
mod menu;
mod palette;
mod sheet;

use super::model::Model;
use super::model::overlay::Overlay;
use super::view::layout::Areas;
use super::widget::Pen;
use ratatui::layout::Rect;

/// Draws the overlay, if there is one.
pub fn draw(model: &Model, pen: &mut Pen<'_>, screen: Rect, areas: &Areas) {
    let Some(layer) = &model.layer else { return };
    match &layer.overlay {
        Overlay::Menu(m) => menu::draw(model, m, layer.early, pen, screen),
        Overlay::Form(f) => form::draw(model, f, layer.early, pen, screen),
        Overlay::Filter(f) => filter::draw(f, pen, areas.footer),
        Overlay::Help { top } => help::draw(model, *top, pen, screen),
        Overlay::Palette(p) => palette::draw(model, p, pen, screen),
        Overlay::Message(e) => help::message(e, pen, screen),
    }
}

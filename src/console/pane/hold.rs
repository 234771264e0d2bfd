//! Hold: what is about to be lost? As far as the ledger knows it.

use super::value::{count, instant, span};
use crate::console::model::Model;
use crate::console::widget::{Pen, Strip};
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

/// Draws the hold's clock, and says what it does not show.
pub fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let mut lines: Vec<Strip<'_>> = Vec::new();
    let figure = |name: &'static str, n: u64, tone: Tone| {
        Strip::new()
            .ours(Tone::Text, " ")
            .column(Tone::Dim, Safe::ours(name), 16)
            .with(tone, count(n).right(10))
    };
    match &model.hold {
        None => lines.push(Strip::new().ours(Tone::Dim, " no hold is known: none is configured, or none was read yet")),
        Some(hold) => {
            let at_risk = hold.held.saturating_sub(hold.rescued);
            lines.push(figure("held", hold.held, Tone::Text));
            lines.push(figure("rescued", hold.rescued, Tone::Good));
            lines.push(figure(
                "not rescued",
                at_risk,
                if at_risk > 0 { Tone::Warn } else { Tone::Text },
            ));
            lines.push(figure(
                "lost by age",
                hold.lost,
                if hold.lost > 0 { Tone::Loud } else { Tone::Text },
            ));
            lines.push(Strip::new());
            lines.push(match hold.loss_from {
                None => Strip::new().ours(Tone::Warn, " from when on loss is possible is not known"),
                Some(from) if from > model.now => Strip::new().with(
                    Tone::Text,
                    safe!(
                        " loss possible from {}, in {}",
                        instant(from, Some(model.now)),
                        span(from - model.now)
                    ),
                ),
                Some(from) => Strip::new().with(
                    if at_risk > 0 { Tone::Loud } else { Tone::Text },
                    safe!(" loss possible since {}", instant(from, Some(model.now))),
                ),
            });
        }
    }
    lines.push(Strip::new());
    lines.push(Strip::new().ours(Tone::Dim, " these are the whole hold's figures, as last read"));
    lines.push(Strip::new().ours(Tone::Dim, " not shown: partitions, brokers, rescue and release"));
    pen.strips(area, &lines);
}

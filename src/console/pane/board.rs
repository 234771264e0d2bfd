//! Board: how far are we? For the wall.

use super::case::state_tone;
use super::queue::{by_kind, sums};
use super::value::count;
use crate::console::model::Model;
use crate::console::widget::{Pen, Strip, blank, blocks};
use crate::domain::case::State;
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

/// Digits of three by five cells, a bit a cell, the top row first.
const DIGITS: [[u8; 5]; 10] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 7, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 1, 1, 1],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
];

/// Draws the figures, the states as bars and who holds what.
pub fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let width = usize::from(area.width);
    let Some(counts) = &model.counts else {
        pen.strip(area, 0, &Strip::new().ours(Tone::Dim, " reading the ledger…"));
        return;
    };
    let mut lines: Vec<Strip<'static>> = Vec::new();
    if area.height >= 18 {
        lines.extend(large(counts.unsettled(), if area.height >= 30 { 2 } else { 1 }));
        lines.push(
            Strip::new()
                .ours(Tone::Heading, "  left to settle")
                .ours(Tone::Dim, "   (not shown: pace, burn-down, finished by)"),
        );
        lines.push(Strip::new());
    }
    lines.push(sums(counts, width));
    lines.push(by_kind(counts, width));
    lines.push(Strip::new());
    let most = State::ALL.into_iter().map(|s| counts.of(s)).max().unwrap_or(0).max(1);
    let cells = width.saturating_sub(28).min(100) as u64;
    for state in State::ALL {
        let n = counts.of(state);
        if n == 0 {
            continue;
        }
        let line = Strip::new()
            .ours(Tone::Text, " ")
            .column(state_tone(state), Safe::ours(state.words()), 12)
            .column(Tone::Text, count(n).right(10), 10);
        let cells = usize::try_from((n * cells / most).max(1)).unwrap_or(0);
        lines.push(line.with(state_tone(state), blocks(cells)));
    }
    lines.push(Strip::new());
    let holders = model.queue.table.holders();
    if holders.is_empty() {
        lines.push(Strip::new().ours(Tone::Dim, " nobody holds a case"));
    }
    for (who, cases) in holders {
        let who = Safe::id(who).into_owned();
        lines.push(
            Strip::new()
                .ours(Tone::Text, " ")
                .column(Tone::Held, who, 14)
                .with(Tone::Text, safe!("holds {}", count(*cases))),
        );
    }
    for paper in &model.papers {
        let what = paper.lines().into_iter().next().unwrap_or_default();
        let text = safe!(
            " {} of {} waits for a signature: {}",
            paper.kind.name(),
            Safe::id(&paper.by),
            Safe::of(&what)
        );
        lines.push(Strip::new().with(Tone::Warn, text).cut(width).into_owned());
    }
    for bulk in &model.bulks {
        let (verb, by) = (bulk.ask.verb.name(), Safe::id(&bulk.by));
        let text = safe!(" bulk {} by {}: {}", verb, by, Safe::of(&bulk.sums.words()));
        lines.push(Strip::new().with(Tone::Accent, text).cut(width).into_owned());
    }
    pen.strips(area, lines.iter().map(|l| l as &Strip<'_>));
}

/// A number in large digits, each bit `scale` cells high and twice as many wide.
fn large(n: u64, scale: usize) -> Vec<Strip<'static>> {
    let digits: Vec<usize> = n.to_string().bytes().map(|b| usize::from(b - b'0')).collect();
    let mut lines = Vec::new();
    for row in 0..5 {
        let mut line = Strip::new().ours(Tone::Text, "  ");
        for digit in &digits {
            for bit in [4, 2, 1] {
                let on = DIGITS.get(*digit).is_some_and(|d| d[row] & bit != 0);
                line.add(Tone::Heading, if on { blocks(scale * 2) } else { blank(scale * 2) });
            }
            line.add(Tone::Text, Safe::ours("  "));
        }
        for _ in 0..scale {
            lines.push(line.clone());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use crate::console::fixture;
    use crate::console::model::View;
    use crate::console::widget::snapshot;

    #[test]
    fn looks_as_drawn() {
        let mut model = fixture::model();
        model.view = View::Board;
        snapshot::check("board-80x24", &mut model, 80, 24);
        model.view = View::Hold;
        snapshot::check("hold-80x24", &mut model, 80, 24);
    }
}

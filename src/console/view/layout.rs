//! Where things stand on the screen, by its size alone: `update` scrolls and `view` draws by the same figures.

use crate::console::model::{Model, View, restore};
use ratatui::layout::Rect;

/// Under this the console only says how large it must be.
pub const LEAST: (u16, u16) = (30, 6);
/// Under this the list stands alone.
pub const FULL: (u16, u16) = (60, 16);
/// From so many columns the case stands beside the list.
pub const WIDE: u16 = 140;

/// The parts of the screen; a part that is not there has no area.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Areas {
    /// Smaller than [`LEAST`].
    pub too_small: bool,
    /// The two lines on top.
    pub header: Rect,
    /// The rule below them.
    pub rule: Rect,
    /// What the view fills.
    pub body: Rect,
    /// Sums above the list.
    pub sums: Rect,
    /// The rule below the sums.
    pub sums_rule: Rect,
    /// Names of the columns.
    pub head: Rect,
    /// The list's lines.
    pub list: Rect,
    /// The rule above the words about the line under the cursor.
    pub about_rule: Rect,
    /// Words about the line under the cursor.
    pub about: Rect,
    /// Between list and case.
    pub between: Rect,
    /// The case.
    pub case: Rect,
    /// The rule above the footer.
    pub footer_rule: Rect,
    /// The last line.
    pub footer: Rect,
}

/// Cuts lines off a rectangle.
struct Cut(Rect);

impl Cut {
    fn top(&mut self, lines: u16) -> Rect {
        let lines = lines.min(self.0.height);
        let cut = Rect {
            height: lines,
            ..self.0
        };
        self.0.y += lines;
        self.0.height -= lines;
        cut
    }

    fn bottom(&mut self, lines: u16) -> Rect {
        let lines = lines.min(self.0.height);
        self.0.height -= lines;
        Rect {
            y: self.0.y + self.0.height,
            height: lines,
            ..self.0
        }
    }
}

/// The parts for this model's size and view.
pub fn areas(model: &Model) -> Areas {
    let (width, height) = model.size;
    let mut cut = Cut(Rect::new(0, 0, width, height));
    let mut areas = Areas::default();
    if width < LEAST.0 || height < LEAST.1 {
        areas.too_small = true;
        areas.body = cut.0;
        return areas;
    }
    areas.footer = cut.bottom(1);
    if width < FULL.0 || height < FULL.1 {
        // There is no room for the lines on top, but a red gate is on every view.
        let red = model.gate.as_ref().is_some_and(|gate| gate.red().is_some()) || !restore::alarms(model).is_empty();
        areas.header = cut.top(u16::from(red));
        areas.body = cut.0;
        if model.in_case {
            areas.case = cut.0;
        } else {
            areas.list = cut.0;
        }
        return areas;
    }
    let ruled = u16::from(height >= 20);
    areas.header = cut.top(2);
    areas.rule = cut.top(ruled);
    areas.footer_rule = cut.bottom(ruled);
    areas.body = cut.0;
    let lists_cases = model.view == View::Queue;
    if width >= WIDE && (lists_cases || model.in_case) {
        let left = (width / 2).min(90);
        areas.between = Rect {
            x: left,
            width: 1,
            ..cut.0
        };
        areas.case = Rect {
            x: left + 2,
            width: width.saturating_sub(left + 3),
            ..cut.0
        };
        cut.0.width = left;
    } else if model.in_case {
        areas.case = cut.0;
        return areas;
    }
    match model.view {
        View::Queue => {
            areas.sums = cut.top(2);
            areas.sums_rule = cut.top(ruled);
            areas.about = cut.bottom(if height >= 22 { 2 } else { 0 });
            areas.about_rule = cut.bottom(u16::from(height >= 22));
        }
        View::Diff => {
            areas.sums = cut.top(1);
            areas.sums_rule = cut.top(ruled);
            areas.about = cut.bottom(if height >= 22 { 3 } else { 1 });
            areas.about_rule = cut.bottom(ruled);
        }
        View::Restore if model.preview.shown => {
            areas.list = cut.0;
            return areas;
        }
        View::Restore => {
            areas.about = cut.bottom(match height {
                40.. => 14,
                22.. => 4,
                _ => 1,
            });
            areas.about_rule = cut.bottom(ruled);
        }
        View::Hold | View::Board => {}
    }
    areas.head = cut.top(u16::from(!matches!(model.view, View::Hold | View::Board)));
    areas.list = cut.0;
    areas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture;

    #[test]
    fn every_part_lies_inside_the_screen_at_every_size() {
        let mut model = fixture::model();
        for view in View::ALL {
            for in_case in [false, true] {
                (model.view, model.in_case) = (view, in_case);
                for width in 0..=200 {
                    for height in 0..=60 {
                        model.size = (width, height);
                        let screen = Rect::new(0, 0, width, height);
                        let a = areas(&model);
                        for part in [
                            a.header, a.body, a.sums, a.head, a.list, a.about, a.between, a.case, a.footer,
                        ] {
                            assert_eq!(
                                part.intersection(screen).area(),
                                part.area(),
                                "{view:?} {width}x{height}"
                            );
                        }
                        if width >= FULL.0 && height >= FULL.1 && !in_case {
                            assert!(a.list.height >= 4, "{view:?} {width}x{height}: {}", a.list.height);
                        }
                    }
                }
            }
        }
    }
}

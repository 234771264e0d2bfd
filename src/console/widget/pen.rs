//! Draws lines, rules and boxes into a buffer; what lies outside is left out.

use super::strip::Strip;
use crate::text::Safe;
use crate::theme::{Theme, Tone};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A buffer and the colours to draw with.
pub struct Pen<'a> {
    buffer: &'a mut Buffer,
    theme: &'a Theme,
}

impl<'a> Pen<'a> {
    /// A pen on this buffer.
    pub const fn new(buffer: &'a mut Buffer, theme: &'a Theme) -> Self {
        Self { buffer, theme }
    }

    /// Draws a line at a row of an area, cut at its right edge.
    pub fn strip(&mut self, area: Rect, row: usize, strip: &Strip<'_>) {
        let Ok(row) = u16::try_from(row) else { return };
        if row >= area.height {
            return;
        }
        let line = Rect {
            y: area.y + row,
            height: 1,
            ..area
        }
        .intersection(self.buffer.area);
        if line.is_empty() {
            return;
        }
        if let Some(ground) = strip.ground {
            self.buffer.set_style(line, self.theme.style(ground));
        }
        let mut x = line.x;
        for (text, tone) in strip.pieces() {
            let left = line.right().saturating_sub(x);
            if left == 0 {
                break;
            }
            let text = text.clone().clip(usize::from(left));
            let mut style = self.theme.style(*tone);
            if let Some(ground) = strip.ground {
                // On the cursor's line the ground's colours win: a reversed or dim colour on it cannot be read.
                style = match tone {
                    Tone::Dim | Tone::Rule | Tone::Disabled | Tone::Stale => self.theme.style(ground),
                    _ => style.patch(self.theme.style(ground)),
                };
            }
            x = self.text(x, line.y, &text, left, style);
        }
    }

    /// Draws text that fits `room` cells; returns where it ends.
    fn text(&mut self, x: u16, y: u16, text: &Safe<'_>, room: u16, style: Style) -> u16 {
        if !text.as_str().is_ascii() {
            return self.buffer.set_stringn(x, y, text.as_str(), usize::from(room), style).0;
        }
        // Nearly all text is ASCII: a letter a cell, and no search for where letters end.
        let mut x = x;
        for letter in text.as_str().bytes().take(usize::from(room)) {
            if let Some(cell) = self.buffer.cell_mut((x, y)) {
                cell.set_char(char::from(letter)).set_style(style);
            }
            x += 1;
        }
        x
    }

    /// Draws lines from the top of an area.
    pub fn strips<'s>(&mut self, area: Rect, strips: impl IntoIterator<Item = &'s Strip<'s>>) {
        for (row, strip) in strips.into_iter().take(usize::from(area.height)).enumerate() {
            self.strip(area, row, strip);
        }
    }

    /// A horizontal rule over the area's first row.
    pub fn rule(&mut self, area: Rect) {
        self.fill(
            Rect {
                height: area.height.min(1),
                ..area
            },
            "─",
            Tone::Rule,
        );
    }

    /// A vertical rule in the area's first column.
    pub fn upright(&mut self, area: Rect) {
        self.fill(
            Rect {
                width: area.width.min(1),
                ..area
            },
            "│",
            Tone::Rule,
        );
    }

    /// Fills an area with one of the program's own characters.
    pub fn fill(&mut self, area: Rect, symbol: &'static str, tone: Tone) {
        let style = self.theme.style(tone);
        for position in area.intersection(self.buffer.area).positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.set_symbol(symbol).set_style(style);
            }
        }
    }

    /// Clears an area.
    pub fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for position in area.positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.reset();
            }
        }
    }

    /// A cleared box with a title; returns its inside.
    pub fn framed(&mut self, area: Rect, title: &Safe<'_>) -> Rect {
        self.clear(area);
        if area.width < 4 || area.height < 3 {
            return area;
        }
        let line = |y: u16| Rect { y, height: 1, ..area };
        for (y, left, right) in [(area.y, "┌", "┐"), (area.bottom() - 1, "└", "┘")] {
            self.fill(line(y), "─", Tone::Rule);
            self.fill(Rect { width: 1, ..line(y) }, left, Tone::Rule);
            self.fill(
                Rect {
                    x: area.right() - 1,
                    width: 1,
                    ..line(y)
                },
                right,
                Tone::Rule,
            );
        }
        let room = usize::from(area.width).saturating_sub(5);
        let title = Strip::new()
            .ours(Tone::Text, " ")
            .with(Tone::Heading, title.clone().clip(room))
            .ours(Tone::Text, " ");
        let width = u16::try_from(title.width()).unwrap_or(0).min(area.width - 2);
        self.strip(
            Rect {
                x: area.x + 1,
                width,
                ..line(area.y)
            },
            0,
            &title,
        );
        let side = Rect {
            y: area.y + 1,
            height: area.height - 2,
            ..area
        };
        self.upright(side);
        self.upright(Rect {
            x: area.right() - 1,
            width: 1,
            ..side
        });
        Rect {
            x: area.x + 2,
            width: area.width.saturating_sub(4),
            ..side
        }
    }

    /// Gives an area the style of a tone, over what stands there.
    pub fn tint(&mut self, area: Rect, tone: Tone) {
        let area = area.intersection(self.buffer.area);
        self.buffer.set_style(area, self.theme.style(tone));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::Depth;

    #[test]
    fn nothing_is_drawn_outside() {
        let theme = Theme::named("sixteen", Depth::Sixteen).unwrap();
        let strip = Strip::new().ours(Tone::Text, "some words");
        for width in 0..12 {
            for height in 0..4 {
                let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                let mut pen = Pen::new(&mut buffer, &theme);
                for area in [
                    Rect::new(0, 0, width, height),
                    Rect::new(3, 1, 40, 9),
                    Rect::new(99, 99, 5, 5),
                ] {
                    pen.strip(area, 0, &strip);
                    pen.strip(area, 7, &strip);
                    pen.rule(area);
                    pen.upright(area);
                    pen.framed(area, &Safe::ours("title"));
                    pen.tint(area, Tone::Stale);
                }
            }
        }
    }

    #[test]
    fn a_cut_line_says_so() {
        let theme = Theme::named("mono", Depth::None).unwrap();
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 1));
        Pen::new(&mut buffer, &theme).strip(buffer_area(), 0, &Strip::new().ours(Tone::Text, "abcdefgh"));
        assert_eq!(buffer, Buffer::with_lines(["abcde…"]));
    }

    fn buffer_area() -> Rect {
        Rect::new(0, 0, 6, 1)
    }
}

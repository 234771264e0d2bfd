//! A box of lines in the middle of the screen: as large as it needs, never larger than the screen.

use crate::console::model::input::Input;
use crate::console::widget::{Pen, Strip, blank, typed};
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

/// Lines being gathered, cut or wrapped to the width they will have.
pub struct Sheet {
    /// Cells inside the frame.
    pub width: usize,
    lines: Vec<Strip<'static>>,
    /// Lines that stay when the box is lower than all of them: the last ones.
    keep: usize,
    /// The line to keep in sight, counted from the first.
    pub focus: Option<usize>,
}

impl Sheet {
    /// A sheet on this screen, at most `most` cells wide.
    pub fn new(screen: Rect, most: u16) -> Self {
        let width = screen.width.min(most);
        let inside = if width >= 4 && screen.height >= 3 {
            width.saturating_sub(4)
        } else {
            width
        };
        Self {
            width: usize::from(inside),
            lines: Vec::new(),
            keep: 0,
            focus: None,
        }
    }

    /// Adds a line.
    pub fn put(&mut self, line: Strip<'_>) {
        self.lines.push(line.cut(self.width).into_owned());
    }

    /// Adds text in as many lines as it takes.
    pub fn say(&mut self, tone: Tone, text: &Safe<'_>) {
        for part in text.wrap(self.width) {
            self.lines.push(Strip::new().with(tone, part));
        }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// From here on, lines stay whatever is cut.
    pub fn foot(&mut self) {
        self.keep = self.lines.len();
    }

    /// A line in which one types: name, text, cursor, and what to write there while it is blank.
    pub fn input(&mut self, name: &'static str, input: &Input, hint: &Safe<'_>, typing: bool) {
        let mut line = Strip::new()
            .with(if typing { Tone::Heading } else { Tone::Dim }, Safe::ours(name).pad(9))
            .ours(Tone::Text, " ");
        let room = self.width.saturating_sub(11);
        let (before, after) = input.halves();
        if typing {
            self.focus = Some(self.lines.len());
            let before = typed(before).clip_start(room.saturating_sub(8).max(4));
            let after = typed(after).clip(room.saturating_sub(before.width() + 1));
            let rest = room.saturating_sub(before.width() + after.width() + 1);
            line = line
                .with(Tone::Input, before.into_owned())
                .ours(Tone::Accent, "│")
                .with(Tone::Input, after.into_owned());
            if input.text().is_empty() {
                line = line.with(Tone::Dim, hint.clone().into_owned().clip(rest));
            } else {
                line = line.with(Tone::Input, blank(rest));
            }
        } else if input.text().is_empty() {
            line = line.with(Tone::Dim, hint.clone().into_owned());
        } else {
            line = line.with(Tone::Text, typed(input.text()));
        }
        self.put(line);
    }

    /// Draws it, `top` lines scrolled away where they do not fit.
    pub fn draw(self, pen: &mut Pen<'_>, screen: Rect, title: &Safe<'_>, top: usize) {
        let (lines, keep) = (self.lines, self.keep);
        let framed = screen.width >= 4 && screen.height >= 3;
        let edge = if framed { 2 } else { 0 };
        let wanted = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(edge);
        let height = wanted.min(screen.height);
        let width = u16::try_from(self.width)
            .unwrap_or(screen.width)
            .saturating_add(2 * edge)
            .min(screen.width);
        let area = Rect {
            x: screen.x + (screen.width - width) / 2,
            y: screen.y + (screen.height - height) / 2,
            width,
            height,
        };
        let inside = if framed {
            pen.framed(area, title)
        } else {
            pen.clear(area);
            area
        };
        let room = usize::from(inside.height);
        if lines.len() <= room {
            pen.strips(inside, &lines);
            return;
        }
        // The foot stays; of what is above, as much as fits, with the line one types in in sight.
        let foot = lines.len().saturating_sub(keep).min(room.saturating_sub(1));
        let body = lines.len() - foot;
        let above = room - foot;
        let last = body.saturating_sub(above);
        let top = match self.focus {
            Some(focus) if focus < body => top.max((focus + 1).saturating_sub(above)).min(last),
            _ => top.min(last),
        };
        for (row, line) in lines[top..top + above].iter().enumerate() {
            pen.strip(inside, row, line);
        }
        if top < last && above > 1 {
            let more = safe!("… {} more lines: page down", last - top + 1);
            pen.strip(
                Rect {
                    height: 1,
                    y: inside.y + u16::try_from(above - 1).unwrap_or(0),
                    ..inside
                },
                0,
                &Strip::new().with(Tone::Dim, more.pad(self.width)),
            );
        }
        for (row, line) in lines[body..].iter().enumerate() {
            pen.strip(inside, above + row, line);
        }
    }
}

//! One line of the screen: pieces of safe text, each with what it means.

use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;

/// Pieces from left to right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strip<'a> {
    pieces: Vec<(Safe<'a>, Tone)>,
    /// The tone behind the whole line: the cursor, a mark.
    pub ground: Option<Tone>,
}

/// Text being typed: blanks at its ends are blanks, not escapes, since whoever types them knows.
pub fn typed(text: &str) -> Safe<'static> {
    let rest = text.trim_start_matches(' ');
    let middle = rest.trim_end_matches(' ');
    safe!(
        "{}{}{}",
        blank(text.len() - rest.len()),
        Safe::of(middle),
        blank(rest.len() - middle.len())
    )
}

/// At most this many cells of one character come from one piece.
const LONGEST: usize = 120;

/// So many full blocks, for bars.
pub fn blocks(cells: usize) -> Safe<'static> {
    const FULL: &str = "████████████████████████████████████████████████████████████████████████████████████████████████████████████████████████";
    same(FULL, cells)
}

/// So many cells of a rule, for time lines.
pub fn rules(cells: usize) -> Safe<'static> {
    const LINE: &str = "────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────";
    same(LINE, cells)
}

fn same(all: &'static str, cells: usize) -> Safe<'static> {
    Safe::ours(all.get(..cells.min(LONGEST) * (all.len() / LONGEST)).unwrap_or(all))
}

/// So many blanks.
pub fn blank(width: usize) -> Safe<'static> {
    Safe::ours("").pad(width)
}

impl<'a> Strip<'a> {
    /// An empty line.
    pub const fn new() -> Self {
        Self {
            pieces: Vec::new(),
            ground: None,
        }
    }

    /// Adds a piece.
    pub fn add(&mut self, tone: Tone, text: Safe<'a>) {
        if !text.is_empty() {
            self.pieces.push((text, tone));
        }
    }

    /// The line with a piece more.
    #[must_use]
    pub fn with(mut self, tone: Tone, text: Safe<'a>) -> Self {
        self.add(tone, text);
        self
    }

    /// The line with the program's own words more.
    #[must_use]
    pub fn ours(self, tone: Tone, words: &'static str) -> Self {
        self.with(tone, Safe::ours(words))
    }

    /// A piece in a column of this width, and a blank after it.
    #[must_use]
    pub fn column(self, tone: Tone, text: Safe<'a>, width: usize) -> Self {
        self.with(tone, text.pad(width)).ours(Tone::Text, " ")
    }

    /// The pieces.
    pub fn pieces(&self) -> &[(Safe<'a>, Tone)] {
        &self.pieces
    }

    /// Cells it takes.
    pub fn width(&self) -> usize {
        self.pieces.iter().map(|(text, _)| text.width()).sum()
    }

    /// The line with `right` at the right end of `width` cells; where both do not fit, the left is cut.
    #[must_use]
    pub fn beside(self, right: Self, width: usize) -> Self {
        let (own, other) = (self.width(), right.width());
        if other == 0 {
            return self;
        }
        let mut line = if own + other < width {
            self
        } else {
            self.cut(width.saturating_sub(other + 1))
        };
        let gap = width.saturating_sub(line.width() + other);
        line.add(Tone::Text, blank(gap));
        line.pieces.extend(right.pieces);
        line
    }

    /// The line cut to so many cells, with an ellipsis where it was cut.
    #[must_use]
    pub fn cut(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut line = Self {
            pieces: Vec::new(),
            ground: self.ground,
        };
        let mut left = width;
        for (text, tone) in self.pieces {
            let wide = text.width();
            // The last piece that fits whole still gives a cell to the ellipsis that follows it.
            let text = text.clip(left);
            left = left.saturating_sub(wide);
            line.add(tone, text);
            if left == 0 {
                break;
            }
        }
        line
    }

    /// The same line, owning its text.
    pub fn into_owned(self) -> Strip<'static> {
        let pieces = self
            .pieces
            .into_iter()
            .map(|(text, tone)| (text.into_owned(), tone))
            .collect();
        Strip {
            pieces,
            ground: self.ground,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(strip: &Strip<'_>) -> String {
        strip.pieces().iter().map(|(t, _)| t.as_str()).collect()
    }

    #[test]
    fn the_right_end_stays_when_the_line_is_too_long() {
        let left = || Strip::new().ours(Tone::Text, "a long beginning");
        let right = || Strip::new().ours(Tone::Text, "end");
        assert_eq!(text(&left().beside(right(), 22)), "a long beginning   end");
        assert_eq!(text(&left().beside(right(), 10)), "a lon… end");
        assert_eq!(text(&left().beside(right(), 2)).chars().last(), Some('d'));
    }
}

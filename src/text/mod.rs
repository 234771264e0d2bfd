//! Text that may stand on a terminal. [`Safe`] is the only text that views accept: what comes from a database, a log, a
//! file or an error passes through [`Safe::of`] or [`Safe::id`] once, and can then neither move the cursor nor recolour
//! the screen nor pass for another value. [`lines`] does the same for messages on stderr, [`json`] for JSON output.

mod escape;
#[cfg(test)]
mod tests;

use crate::domain::mask::MASKED;
use escape::{Rule, escape, is_hostile};
use ratatui::buffer::CellWidth as _;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use unicode_segmentation::UnicodeSegmentation as _;

/// Stands where text was cut. Data cannot contain it: it would be shown as `<U+2026>`.
pub const ELLIPSIS: &str = "…";

/// One line of text that shows as itself and takes the cells it says. Two different values never show alike.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Safe<'a>(Cow<'a, str>);

impl Safe<'static> {
    /// The program's own words.
    pub const fn ours(words: &'static str) -> Self {
        Self(Cow::Borrowed(words))
    }

    /// What a masked value shows.
    pub const fn masked() -> Self {
        Self(Cow::Borrowed(MASKED))
    }

    /// Used by [`safe!`](crate::safe), which lets only safe pieces in.
    #[doc(hidden)]
    pub const fn assembled(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl<'a> Safe<'a> {
    /// Text of any origin.
    pub fn of(text: &'a str) -> Self {
        Self(escape(text, Rule::Line))
    }

    /// An id, key or label of any origin: letters outside ASCII are shown as `<U+0430>`, since people decide by it.
    pub fn id(text: &'a str) -> Self {
        Self(escape(text, Rule::Id))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Cells it takes.
    pub fn width(&self) -> usize {
        if self.0.is_ascii() {
            return self.0.len();
        }
        self.0.graphemes(true).map(|g| usize::from(g.cell_width())).sum()
    }

    /// The same text, owned.
    pub fn into_owned(self) -> Safe<'static> {
        Safe(Cow::Owned(self.0.into_owned()))
    }

    /// The same text at most `width` cells wide, cut between letters, with an ellipsis where it was cut.
    #[must_use]
    pub fn clip(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let (head, _) = fitting(self.0.graphemes(true), width.saturating_sub(1));
        let mut text = head;
        if width > 0 {
            text.push_str(ELLIPSIS);
        }
        Self(Cow::Owned(text))
    }

    /// The same, keeping the end: the last digits are what people say.
    #[must_use]
    pub fn clip_start(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let (tail, _) = fitting(self.0.graphemes(true).rev(), width.saturating_sub(1));
        let tail: String = tail.graphemes(true).rev().collect();
        Self(Cow::Owned(if width > 0 { format!("{ELLIPSIS}{tail}") } else { tail }))
    }

    /// Exactly `width` cells, at the left.
    #[must_use]
    pub fn pad(self, width: usize) -> Self {
        let clipped = self.clip(width);
        match width - clipped.width() {
            0 => clipped,
            blank => Self(Cow::Owned(format!("{}{:blank$}", clipped.0, ""))),
        }
    }

    /// Exactly `width` cells, at the right.
    #[must_use]
    pub fn right(self, width: usize) -> Self {
        let clipped = self.clip(width);
        match width - clipped.width() {
            0 => clipped,
            blank => Self(Cow::Owned(format!("{:blank$}{}", "", clipped.0))),
        }
    }

    /// Cut into lines of at most `width` cells, between words where there are any.
    pub fn wrap(&self, width: usize) -> Vec<Safe<'static>> {
        let width = width.max(1);
        let mut lines = Vec::new();
        let mut line = String::new();
        let mut used = 0;
        // At spaces only: a mark belongs to the word before it.
        for word in self.0.split_inclusive(' ') {
            let text = word.trim_end_matches(' ');
            let wide = Safe(Cow::Borrowed(text)).width();
            if used + wide > width && used > 0 {
                lines.push(Safe(Cow::Owned(line.trim_end().to_owned())));
                line.clear();
                used = 0;
            }
            for g in text.graphemes(true) {
                let wide = usize::from(g.cell_width());
                if used + wide > width && used > 0 {
                    lines.push(Safe(Cow::Owned(std::mem::take(&mut line))));
                    used = 0;
                }
                line.push_str(g);
                used += wide;
            }
            if text.len() < word.len() && used < width {
                line.push(' ');
                used += 1;
            }
        }
        if used > 0 || lines.is_empty() {
            lines.push(Safe(Cow::Owned(line)));
        }
        lines
    }

    /// As a span of this style.
    pub fn styled(self, style: impl Into<Style>) -> Span<'a> {
        Span::styled(self.0, style)
    }
}

/// The first graphemes that fit, joined, and the cells they take.
fn fitting<'g>(graphemes: impl Iterator<Item = &'g str>, width: usize) -> (String, usize) {
    let mut text = String::new();
    let mut used = 0;
    for g in graphemes {
        let wide = usize::from(g.cell_width());
        if used + wide > width {
            break;
        }
        text.push_str(g);
        used += wide;
    }
    (text, used)
}

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'a> From<Safe<'a>> for Span<'a> {
    fn from(text: Safe<'a>) -> Self {
        Self::raw(text.0)
    }
}

impl<'a> From<Safe<'a>> for Line<'a> {
    fn from(text: Safe<'a>) -> Self {
        Self::from(Span::from(text))
    }
}

/// What may stand in a [`safe!`](crate::safe) text: safe text, numbers and the program's own words, but no other string.
pub trait Shown: fmt::Display {}
impl Shown for Safe<'_> {}
impl Shown for &'static str {}
impl Shown for char {}
impl Shown for u8 {}
impl Shown for u16 {}
impl Shown for u32 {}
impl Shown for u64 {}
impl Shown for usize {}
impl Shown for i64 {}
impl<T: Shown> Shown for &T {}

/// Lets only safe pieces through; used by [`safe!`](crate::safe).
#[doc(hidden)]
pub const fn shown<T: Shown>(piece: T) -> T {
    piece
}

/// A [`Safe`] text of a format and pieces that are [`Shown`]: `safe!("{} cases wait for {}", 3_u64, Safe::id(label))`.
/// Names inside the braces are not taken, so that nothing slips past the check.
#[macro_export]
macro_rules! safe {
    ($format:literal $(, $piece:expr)* $(,)?) => {
        $crate::text::Safe::assembled(format!(concat!($format) $(, $crate::text::shown($piece))*))
    };
}

/// A message of several lines for stderr or a log: line breaks stay, everything else is as in [`Safe::of`].
pub fn lines(text: &str) -> Cow<'_, str> {
    escape(text, Rule::Lines)
}

/// JSON text whose strings hold no character that a terminal could act on: they are written as `\u202e`.
pub fn json(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c == '\n' || !is_hostile(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

/// Whether a cell's text could act on the terminal, hide or reorder: the wall behind [`Safe`].
pub(crate) fn is_harmful(symbol: &str) -> bool {
    symbol.chars().any(is_hostile)
}

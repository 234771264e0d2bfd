//! Which characters may reach a terminal, and what the others look like.

use std::borrow::Cow;
use std::fmt::Write as _;
use unicode_normalization::IsNormalized;
use unicode_normalization::char::{canonical_combining_class, compose, is_combining_mark};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthChar as _;

/// So many marks may stand on one letter; more only make a tower that leaves its line.
const MARKS: u8 = 4;

/// What is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Text of one line.
    Line,
    /// Text of several lines: `\n` passes.
    Lines,
    /// An identifier: ASCII alone passes, since a look-alike letter is another identifier.
    Id,
}

/// The text with every character that could move the cursor, hide, reorder, or pass for another shown as `<U+202E>`.
/// Different texts give different results: a `<` before `U+` is escaped as well, so that every `<U+` is an escape.
pub(super) fn escape(text: &str, rule: Rule) -> Cow<'_, str> {
    let plain = |b: &u8| matches!(b, b' '..=b'~') || (*b == b'\n' && rule == Rule::Lines);
    if text.as_bytes().iter().all(plain) && !text.contains("<U+") && !text.starts_with(' ') && !text.ends_with(' ') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut letter = Letter::default();
    for (at, c) in text.char_indices() {
        let outer_space = c == ' ' && (at == 0 || at + 1 == text.len());
        let look_alike = c == '<' && text[at + 1..].starts_with("U+");
        let passes = match rule {
            Rule::Lines if c == '\n' => {
                letter = Letter::default();
                out.push(c);
                continue;
            }
            Rule::Lines => !look_alike && letter.takes(c),
            Rule::Line => !outer_space && !look_alike && letter.takes(c),
            Rule::Id => c.is_ascii() && !outer_space && !look_alike && letter.takes(c),
        };
        if passes {
            out.push(c);
        } else {
            letter = Letter::default();
            // Writing to a String cannot fail.
            let _ = write!(out, "<U+{:04X}>", u32::from(c));
        }
    }
    Cow::Owned(out)
}

/// Whether the character could move the cursor, hide, reorder or draw nothing, whatever stands around it.
pub(super) fn is_hostile(c: char) -> bool {
    match c {
        ' '..='~' => false,
        _ if is_combining_mark(c) => is_invisible(c),
        _ => is_blank_or_control(c),
    }
}

/// The letter that marks would stand on.
#[derive(Default)]
struct Letter {
    base: Option<char>,
    marks: u8,
    class: u8,
}

impl Letter {
    /// Whether `c` shows as itself here.
    fn takes(&mut self, c: char) -> bool {
        if !is_combining_mark(c) {
            if !shows(c) {
                return false;
            }
            *self = Self {
                base: (c != ' ').then_some(c),
                ..Self::default()
            };
            return true;
        }
        let Some(base) = self.base else { return false };
        let class = canonical_combining_class(c);
        // A mark that has a composed twin, or that could stand in another order, would look like another text.
        let twin = compose(base, c).is_some() || (class != 0 && class < self.class) || !is_nfc(c);
        if twin || self.marks == MARKS || is_invisible(c) || !joins(base, c) {
            return false;
        }
        self.marks += 1;
        self.class = class;
        true
    }
}

/// Whether the terminal's cell of a letter takes the mark in: a mark so new that the tables of letters do not know it yet
/// (U+0B53) would get a cell of no width, and vanish.
fn joins(base: char, mark: char) -> bool {
    let mut pair = [0; 8];
    let start = base.encode_utf8(&mut pair).len();
    let end = start + mark.encode_utf8(&mut pair[start..]).len();
    std::str::from_utf8(&pair[..end]).is_ok_and(|pair| pair.graphemes(true).count() == 1)
}

/// Whether a character that is no combining mark shows as itself and has no twin.
fn shows(c: char) -> bool {
    matches!(c, ' '..='~') || !(is_blank_or_control(c) || is_ours(c)) && is_nfc(c)
}

/// Whether a character that is no combining mark acts on the terminal, or has no cell of its own.
fn is_blank_or_control(c: char) -> bool {
    let category = matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
            | GeneralCategory::SpaceSeparator
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    );
    let no_cell = c.width().unwrap_or(0) == 0;
    category || no_cell || is_invisible(c)
}

/// Characters outside the categories above that draw nothing, or whose width no two terminals agree on: fillers,
/// variation selectors, the braille blank, sound marks of halfwidth katakana, halves of flags, skin tones (Unicode, `Default_Ignorable_Code_Point`,
/// `Regional_Indicator`, `Emoji_Modifier`).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{2800}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FF9E}'..='\u{FFA0}' | '\u{1F1E6}'..='\u{1F1FF}' | '\u{1F3FB}'..='\u{1F3FF}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// The characters that the console draws itself with: data cannot draw a frame, a tick or an ellipsis.
fn is_ours(c: char) -> bool {
    matches!(c, '…' | '\u{2500}'..='\u{25FF}' | '✓' | '✗')
}

/// Whether the character is its own composed form: U+212B (Ångström sign) looks like U+00C5 and is not.
fn is_nfc(c: char) -> bool {
    unicode_normalization::is_nfc_quick(std::iter::once(c)) != IsNormalized::No
}

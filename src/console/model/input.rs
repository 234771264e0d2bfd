//! A line of text being typed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;

/// More than anybody types as a reason; a paste of megabytes ends here.
const LONGEST: usize = 2_000;

/// What a key did to the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// It changed, or the cursor moved.
    Yes,
    /// The key means nothing here.
    No,
}

/// The line and its cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    text: String,
    /// Byte offset, on a grapheme's edge.
    at: usize,
}

impl Input {
    /// A line with this text, the cursor at its end.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { at: text.len(), text }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands before the cursor, and after it.
    pub fn halves(&self) -> (&str, &str) {
        self.text.split_at(self.at)
    }

    /// Whether it is blank.
    pub fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Puts another text there.
    pub fn set(&mut self, text: impl Into<String>) {
        *self = Self::new(text);
    }

    /// Inserts pasted text on one line: line breaks become spaces, other controls are left out.
    pub fn paste(&mut self, text: &str) {
        let room = LONGEST.saturating_sub(self.text.chars().count());
        let clean: String = text
            .chars()
            .map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c })
            .filter(|c| !c.is_control())
            .take(room)
            .collect();
        self.text.insert_str(self.at, &clean);
        self.at += clean.len();
    }

    /// One key.
    pub fn key(&mut self, key: KeyEvent) -> Typed {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if ctrl => {
                self.text.drain(..self.at);
                self.at = 0;
            }
            KeyCode::Char('w') if ctrl => {
                let begin = self.text[..self.at].trim_end().rfind(' ').map_or(0, |i| i + 1);
                self.text.drain(begin..self.at);
                self.at = begin;
            }
            KeyCode::Char('a') if ctrl => self.at = 0,
            KeyCode::Char('e') if ctrl => self.at = self.text.len(),
            KeyCode::Char(_) if ctrl || key.modifiers.contains(KeyModifiers::ALT) => return Typed::No,
            KeyCode::Char(c) => self.paste(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace => {
                let begin = self.before();
                self.text.drain(begin..self.at);
                self.at = begin;
            }
            KeyCode::Delete => {
                let end = self.after();
                self.text.drain(self.at..end);
            }
            KeyCode::Left => self.at = self.before(),
            KeyCode::Right => self.at = self.after(),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = self.text.len(),
            _ => return Typed::No,
        }
        Typed::Yes
    }

    fn before(&self) -> usize {
        self.text[..self.at]
            .grapheme_indices(true)
            .next_back()
            .map_or(0, |(i, _)| i)
    }

    fn after(&self) -> usize {
        self.text[self.at..]
            .graphemes(true)
            .next()
            .map_or(self.at, |g| self.at + g.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut Input, code: KeyCode) {
        input.key(KeyEvent::new(code, KeyModifiers::NONE));
    }

    #[test]
    fn edits_by_grapheme_and_word() {
        let mut input = Input::new("to café");
        press(&mut input, KeyCode::Backspace);
        assert_eq!(input.text(), "to caf");
        input.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(input.text(), "to ");
        press(&mut input, KeyCode::Home);
        press(&mut input, KeyCode::Char('x'));
        assert_eq!(input.halves(), ("x", "to "));
        press(&mut input, KeyCode::Delete);
        assert_eq!(input.text(), "xo ");
    }

    #[test]
    fn a_paste_is_one_line_and_ends_somewhere() {
        let mut input = Input::default();
        input.paste("one\r\ntwo\x1b[201~\u{7}");
        assert_eq!(input.text(), "one  two[201~");
        input.paste(&"x".repeat(10_000_000));
        assert_eq!(input.text().chars().count(), LONGEST);
    }
}

//! Keys as they are written (`ctrl-d`, `space`, `J`), and the command that a key means.

use super::command::{Command, bound};
use super::model::Model;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key with its modifiers, in one form: a capital is a letter of its own, not shift and the small one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

impl Key {
    /// The key of this name.
    pub fn parse(name: &str) -> Option<Self> {
        let (modifiers, rest) = match name.split_once('-') {
            Some(("ctrl", rest)) => (KeyModifiers::CONTROL, rest),
            Some(("alt", rest)) => (KeyModifiers::ALT, rest),
            Some(("shift", rest)) => (KeyModifiers::SHIFT, rest),
            _ => (KeyModifiers::NONE, name),
        };
        let code = match rest {
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" if modifiers == KeyModifiers::SHIFT => KeyCode::BackTab,
            "tab" => KeyCode::Tab,
            "space" => KeyCode::Char(' '),
            "backspace" => KeyCode::Backspace,
            "delete" => KeyCode::Delete,
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "left" => KeyCode::Left,
            "right" => KeyCode::Right,
            "home" => KeyCode::Home,
            "end" => KeyCode::End,
            "pageup" => KeyCode::PageUp,
            "pagedown" => KeyCode::PageDown,
            _ => {
                let mut chars = rest.chars();
                let c = chars.next()?;
                if chars.next().is_some() {
                    return None;
                }
                KeyCode::Char(c)
            }
        };
        Some(Self::of(KeyEvent::new(code, modifiers)))
    }

    /// The key that the terminal reports.
    pub fn of(event: KeyEvent) -> Self {
        let mut modifiers = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT);
        let code = match event.code {
            // With ctrl, terminals report either case.
            KeyCode::Char(c) if modifiers.contains(KeyModifiers::CONTROL) => KeyCode::Char(c.to_ascii_lowercase()),
            KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
            code => code,
        };
        if code == KeyCode::BackTab {
            modifiers = KeyModifiers::NONE;
        }
        Self { code, modifiers }
    }

    /// The event that a terminal would report.
    pub const fn event(self) -> KeyEvent {
        KeyEvent::new(self.code, self.modifiers)
    }
}

/// The command that the key means now.
pub fn command(model: &Model, event: KeyEvent) -> Option<&'static Command> {
    let key = Key::of(event);
    bound(model).find(|c| c.keys.iter().any(|k| Key::parse(k) == Some(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_terminals_report() {
        let of = |code, modifiers| Key::of(KeyEvent::new(code, modifiers));
        assert_eq!(Key::parse("J"), Some(of(KeyCode::Char('J'), KeyModifiers::SHIFT)));
        assert_eq!(
            Key::parse("ctrl-d"),
            Some(of(KeyCode::Char('D'), KeyModifiers::CONTROL))
        );
        assert_eq!(Key::parse("shift-tab"), Some(of(KeyCode::BackTab, KeyModifiers::SHIFT)));
        assert_eq!(Key::parse("-"), Some(of(KeyCode::Char('-'), KeyModifiers::NONE)));
        assert_ne!(Key::parse("j"), Key::parse("J"));
        assert_eq!(Key::parse("nonsense"), None);
    }
}

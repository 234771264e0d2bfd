//! The last look at every cell: nothing is sent that could act on the terminal, and with `--ascii` the console's own
//! drawing characters become ASCII. Data never holds those: [`crate::text`] escapes them.

use crate::text;
use ratatui::buffer::Buffer;

/// Checks a finished frame, and makes it ASCII where that is asked for.
pub fn check(buffer: &mut Buffer, ascii: bool) {
    for at in 0..buffer.content.len() {
        let symbol = buffer.content[at].symbol();
        if matches!(symbol.as_bytes(), [] | [b' '..=b'~']) {
            continue;
        }
        if text::is_harmful(symbol) {
            buffer.content[at].set_symbol("?");
        } else if ascii && let Some(twin) = twin(symbol) {
            buffer.content[at].set_symbol(twin);
        }
    }
}

/// The ASCII twin of a character that the console draws with.
fn twin(symbol: &str) -> Option<&'static str> {
    Some(match symbol {
        "▸" | "▶" | "►" | "→" => ">",
        "◂" | "◀" | "←" => "<",
        "✗" => "x",
        "─" | "━" | "╌" | "┄" | "═" | "–" | "—" => "-",
        "│" | "┃" | "║" | "┆" | "╎" => "|",
        "✓" | "┌" | "┐" | "└" | "┘" | "├" | "┤" | "┬" | "┴" | "┼" | "╭" | "╮" | "╰" | "╯" => {
            "+"
        }
        "█" | "▓" | "▇" | "▆" | "▅" | "■" => "#",
        "▒" | "░" | "▏" | "▁" | "▂" | "·" => ".",
        "▌" | "▍" | "▎" | "▋" | "▊" | "▉" | "▐" | "▃" | "▄" => "=",
        "●" | "◆" | "○" | "◇" | "□" => "o",
        "▲" | "△" | "↑" => "^",
        "▼" | "▽" | "↓" => "v",
        "…" => "~",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    #[test]
    fn what_slipped_through_is_not_sent() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 1));
        // The one way past every check of the library.
        buffer[(0, 0)].set_symbol("\u{1b}[2J");
        buffer[(1, 0)].set_symbol("a\u{202e}");
        buffer[(2, 0)].set_symbol("é");
        buffer[(3, 0)].set_symbol("▸");
        check(&mut buffer, false);
        assert_eq!(buffer, Buffer::with_lines(["??é▸"]));
        check(&mut buffer, true);
        assert_eq!(buffer, Buffer::with_lines(["??é>"]));
    }
}

//! Bytes to the terminal: a frame is gathered, marked as one (DECSET 2026) and written at once; a frame in which no cell
//! changed is not written at all.

use super::mode;
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use std::fs::File;
use std::io::{self, Write as _};

const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// The backend.
#[derive(Debug)]
pub struct Tty {
    out: File,
    /// The frame so far, after [`BEGIN`].
    frame: Vec<u8>,
    /// Where the cursor blinks; `None` where it is hidden.
    cursor: Option<Position>,
    shown: Option<Position>,
}

impl Tty {
    /// Standard output.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            out: mode::stdout()?,
            frame: BEGIN.to_vec(),
            cursor: None,
            shown: None,
        })
    }

    /// Columns and rows as the kernel has them; 0 of both when the terminal is gone.
    pub fn measure(&self) -> Size {
        rustix::termios::tcgetwinsize(&self.out)
            .map(|s| Size::new(s.ws_col, s.ws_row))
            .unwrap_or_default()
    }

    /// Writes the frame, if there is anything in it.
    pub fn send(&mut self) -> io::Result<()> {
        let changed = self.frame.len() > BEGIN.len();
        if changed || self.cursor != self.shown {
            match self.cursor {
                Some(at) => write!(self.frame, "\x1b[{};{}H\x1b[?25h", at.y + 1, at.x + 1)?,
                None if self.shown.is_some() => self.frame.extend_from_slice(b"\x1b[?25l"),
                None => {}
            }
            self.shown = self.cursor;
            self.frame.extend_from_slice(END);
            let sent = self.out.write_all(&self.frame);
            self.frame.truncate(BEGIN.len());
            return sent;
        }
        Ok(())
    }

    /// Writes bytes that are no part of a frame.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }
}

impl Backend for Tty {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut content = content.peekable();
        if content.peek().is_none() {
            return Ok(());
        }
        CrosstermBackend::new(&mut self.frame).draw(content)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.cursor = None;
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.cursor.unwrap_or_default())
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.cursor = Some(position.into());
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        // Part of the next frame: a screen cleared ahead of it would flicker.
        self.frame.extend_from_slice(b"\x1b[0m\x1b[2J\x1b[?25l");
        self.shown = None;
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.measure())
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize {
            columns_rows: self.measure(),
            pixels: Size::default(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

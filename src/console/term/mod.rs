//! The terminal itself: taken and given back, frames on it, its clipboard, its death.
//!
//! | file | what it does |
//! | --- | --- |
//! | `mode` | raw mode and alternate screen, given back on every way out |
//! | `tty` | bytes to the terminal: one write a frame, none where nothing changed |
//! | `ascii` | `--ascii`, and the last look at every cell before it is sent |
//! | `signals` | signals, and a terminal that is gone |
//! | `panics` | a panic gives the terminal back before it says anything |

mod ascii;
mod mode;
pub mod panics;
pub mod signals;
mod tty;

pub use mode::{hold, restore};

use crate::domain::{Error, Result};
use crate::text;
use base64::Engine as _;
use ratatui::{Frame, Terminal};
use std::io;
use tty::Tty;

/// The terminal, for as long as the console runs; dropping it gives it back.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<Tty>,
    ascii: bool,
}

impl Screen {
    /// Takes the terminal. Fails where there is none, or none that can show a console.
    pub fn enter(ascii: bool) -> Result<Self> {
        let term = std::env::var("TERM").unwrap_or_default();
        if !rustix::termios::isatty(rustix::stdio::stdout()) {
            return Err(no_terminal("the output is no terminal"));
        }
        if term.is_empty() || term == "dumb" {
            return Err(no_terminal(
                "this terminal cannot show a console (TERM is empty or `dumb`)",
            ));
        }
        let tty = Tty::open().map_err(|e| no_terminal(&format!("the terminal cannot be opened: {e}")))?;
        hold().map_err(|e| no_terminal(&format!("the terminal cannot be taken: {e}")))?;
        let terminal = Terminal::new(tty).map_err(|e| no_terminal(&e.to_string()))?;
        Ok(Self { terminal, ascii })
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        let size = self.terminal.backend().measure();
        (size.width, size.height)
    }

    /// Draws a frame and sends what changed, all of it in one write; sends nothing where nothing changed. Blocks while
    /// the terminal does not read.
    pub fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let ascii = self.ascii;
        self.terminal.draw(|frame| {
            view(frame);
            ascii::check(frame.buffer_mut(), ascii);
        })?;
        self.terminal.backend_mut().send()
    }

    /// Forgets what is on the screen: the next frame is sent whole.
    pub fn repaint(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Puts text on the clipboard of whoever sits at the terminal (OSC 52), wherever this runs. What could harm a shell
    /// that it is pasted into is escaped.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        let payload = base64::engine::general_purpose::STANDARD.encode(text::lines(text).as_bytes());
        self.terminal
            .backend_mut()
            .send_raw(format!("\x1b]52;c;{payload}\x07").as_bytes())
    }

    /// Rings the bell.
    pub fn bell(&mut self) -> io::Result<()> {
        self.terminal.backend_mut().send_raw(b"\x07")
    }

    /// Stops the process as ctrl-z does, and goes on where it was when it is woken.
    pub fn suspend(&mut self) -> Result<()> {
        if !signals::can_suspend() {
            return Err(Error::refused(
                "nothing could wake this console again: it runs without a job-control shell",
            ));
        }
        restore();
        signals::stop_until_continued();
        self.resume()
    }

    /// Takes the terminal again after somebody else had it. A hang-up wakes whoever is stopped, too: then there is none.
    pub fn resume(&mut self) -> Result<()> {
        restore();
        hold().and_then(|()| self.repaint()).map_err(|e| {
            if signals::is_gone(&e) {
                signals::hung_up();
            }
            Error::failed(format!("the terminal cannot be taken again: {e}"))
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn no_terminal(why: &str) -> Error {
    Error::usage(format!("no console: {why}")).cure(
        "run it in a terminal, or use the commands: `restitch scan --json`, `restitch cases --json`, `restitch show CASE`",
    )
}

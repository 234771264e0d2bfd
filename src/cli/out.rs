//! Standard output: results, and nothing but results. A reader that goes away (`| head`) ends them quietly.

use crate::domain::{Error, Result};
use crate::text::{self, Safe};
use serde::Serialize;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

/// Rows that decide how wide the columns of a table are; later ones are cut to fit.
const MEASURED: usize = 500;

/// Where results go.
#[derive(Debug)]
pub struct Out {
    to: BufWriter<Stdout>,
    closed: bool,
    json: bool,
    plain: bool,
}

impl Out {
    /// Standard output; as JSON, or as plain lines.
    pub fn new(json: bool, plain: bool) -> Self {
        Self {
            to: BufWriter::with_capacity(1 << 16, io::stdout()),
            closed: false,
            json,
            plain,
        }
    }

    /// Whether JSON is wanted.
    pub const fn wants_json(&self) -> bool {
        self.json
    }

    /// Whether nobody reads any more.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    fn settle(&mut self, written: io::Result<()>) -> Result<()> {
        match written {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(e) => Err(Error::failed(format!("cannot write the result: {e}")).at("standard output")),
        }
    }

    /// Text that this program made itself.
    pub fn raw(&mut self, text: &str) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.to.write_all(text.as_bytes());
        self.settle(written)
    }

    /// One line.
    pub fn line(&mut self, line: &Safe<'_>) -> Result<()> {
        self.raw(line.as_str())?;
        self.raw("\n")
    }

    /// One JSON value on a line of its own.
    pub fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(value).map_err(|e| Error::failed(format!("cannot write JSON: {e}")))?;
        self.raw(&text::json(&json))?;
        self.raw("\n")
    }

    /// Everything written so far is on its way.
    pub fn finish(&mut self) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.to.flush();
        self.settle(flushed)
    }

    /// A table under this head.
    pub fn table(&mut self, head: &[&'static str]) -> Table<'_> {
        let head: Vec<Safe<'static>> = head.iter().map(|words| Safe::ours(words)).collect();
        Table {
            widths: Vec::new(),
            waiting: if self.plain { Vec::new() } else { vec![head] },
            out: self,
        }
    }
}

/// Lines of columns: as wide as their contents, or separated by tabs for `--plain`.
#[derive(Debug)]
pub struct Table<'a> {
    out: &'a mut Out,
    waiting: Vec<Vec<Safe<'static>>>,
    widths: Vec<usize>,
}

impl Table<'_> {
    /// One more line.
    pub fn row(&mut self, cells: Vec<Safe<'static>>) -> Result<()> {
        if self.out.plain {
            let line: Vec<&str> = cells.iter().map(Safe::as_str).collect();
            self.out.raw(&line.join("\t"))?;
            return self.out.raw("\n");
        }
        if self.widths.is_empty() {
            self.waiting.push(cells);
            return if self.waiting.len() > MEASURED {
                self.measure()
            } else {
                Ok(())
            };
        }
        self.print(&cells)
    }

    /// Whether nobody reads any more.
    pub const fn is_closed(&self) -> bool {
        self.out.is_closed()
    }

    /// No more lines come.
    pub fn end(mut self) -> Result<()> {
        self.measure()
    }

    fn measure(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(Safe::width).max();
        self.widths = (0..columns).map(|i| width(i).unwrap_or(0).max(1)).collect();
        rows.iter().try_for_each(|row| self.print(row))
    }

    fn print(&mut self, cells: &[Safe<'static>]) -> Result<()> {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&self.widths) {
            line.push_str(cell.clone().pad(*width).as_str());
            line.push_str("  ");
        }
        self.out.raw(line.trim_end())?;
        self.out.raw("\n")
    }
}

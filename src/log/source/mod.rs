//! The sources: where a log's lines come from, as blocks of them.

mod feed;
pub mod file;
mod kafka;
mod postgres;

use crate::config::{LogConfig, SourceKind};
use crate::domain::progress::Progress;
use crate::domain::schema::Schema;
use crate::domain::{Error, Result};
pub(super) use feed::{Feed, Missing};
pub(super) use file::Files;
use std::ops::Range;

/// A part of a source with lines of its own: a file, or a partition of a topic.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// As evidence names it.
    pub name: String,
    /// What is added to a line's number for people: partitions begin anywhere, and few bits are kept of a number.
    pub base: u64,
    /// The rows that the lines stand for, where they are rows of a table.
    rows: Vec<TableRow>,
}

#[derive(Debug, Clone)]
struct TableRow {
    key: Box<str>,
    gone: bool,
}

impl Part {
    /// A file; its lines are counted from 1.
    pub fn file(name: String) -> Self {
        Self {
            name,
            base: 0,
            rows: Vec::new(),
        }
    }

    /// Messages, of which the first one has this number.
    pub fn messages(name: String, base: u64) -> Self {
        Self {
            base,
            ..Self::file(name)
        }
    }

    /// A table; its rows are added as they are named.
    pub fn table(name: String) -> Self {
        Self::file(name)
    }

    /// Names a row of a table, there or not there; gives the line that stands for it.
    pub fn add_row(&mut self, key: &str, gone: bool) -> u64 {
        self.rows.push(TableRow { key: key.into(), gone });
        self.rows.len() as u64
    }

    /// A line's place for people.
    pub fn place(&self, line: u64) -> String {
        let row = line
            .checked_sub(1)
            .and_then(|at| self.rows.get(usize::try_from(at).ok()?));
        match row {
            Some(TableRow { key, gone: false }) => format!("{} {key}", self.name),
            Some(TableRow { key, gone: true }) => {
                format!(
                    "{} {key}: not there (deleted, or added to the restored database since)",
                    self.name
                )
            }
            None => format!("{}:{}", self.name, self.base + line),
        }
    }
}

/// An opened source. Any number of threads take its blocks, each as it comes free.
pub(super) enum Source<'p> {
    Files(Files<'p>),
    Feed(Feed<'p>),
}

impl<'p> Source<'p> {
    /// Opens what the `[[log]]` names.
    pub fn open(log: &LogConfig, schema: &Schema, progress: &'p Progress) -> Result<Self> {
        let place = |key: &str| format!("[[log]] {}: {key}", log.name);
        match log.source {
            SourceKind::File => {
                let path = log.path.as_deref().ok_or_else(|| {
                    Error::usage("a log of source file needs a path")
                        .at(place("path"))
                        .cure("a file, a glob, or - for stdin")
                })?;
                Files::open(path, &place("path"), progress).map(Self::Files)
            }
            SourceKind::Kafka => kafka::open(log, progress).map(Self::Feed),
            SourceKind::Postgres => postgres::open(log, schema, progress).map(Self::Feed),
            SourceKind::Database => Err(Error::usage("this version reads no log from the pre-restore instance")
                .at(place("source"))
                .cure("write the log to a file, and set source = \"file\" and path")),
        }
    }

    /// What is gone of it; known once it is read.
    pub fn missing(&self) -> Vec<Missing> {
        match self {
            Self::Files(_) => Vec::new(),
            Self::Feed(feed) => feed.missing(),
        }
    }

    /// What it consists of; a block names its part by its place here.
    pub fn parts(&self) -> &[Part] {
        match self {
            Self::Files(files) => &files.parts,
            Self::Feed(feed) => &feed.opened.parts,
        }
    }

    /// Bytes to read, or about as many; 0 where that is not known.
    pub fn size(&self) -> u64 {
        match self {
            Self::Files(files) => files.size,
            Self::Feed(feed) => feed.opened.size,
        }
    }

    /// Reads the next lines into `block`; `false` when there are no more.
    pub fn next(&self, block: &mut Block) -> Result<bool> {
        match self {
            Self::Files(files) => files.next(block),
            Self::Feed(feed) => feed.next(block),
        }
    }

    /// Shows the first lines of each part in turn until `enough`, without taking them.
    pub fn peek(&self, enough: impl FnMut(&Block) -> bool) -> Result<()> {
        match self {
            Self::Files(files) => files.peek(enough),
            Self::Feed(feed) => feed.peek(enough),
        }
    }
}

/// Whole lines of one part.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub part: usize,
    /// Number of its first line, where they follow one another: in files, from 1.
    pub line: u64,
    bytes: Vec<u8>,
    len: usize,
    /// Number and end of each message, where the lines are messages: these may hold newlines, and numbers be left out.
    messages: Vec<(u64, usize)>,
    /// The line after the last of these, where it could not be read, and why.
    pub broken: Option<Broken>,
    /// The last line has no newline: it is the file's last.
    pub unfinished: bool,
}

/// A line that could not be read.
#[derive(Debug)]
pub(super) struct Broken {
    /// Its number.
    pub line: u64,
    pub reason: String,
    /// Its beginning, where that is known.
    pub text: Vec<u8>,
}

impl Block {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The lines: the number of each, and where in the bytes it stands, without its newline.
    pub fn lines(&self) -> Lines<'_> {
        Lines {
            bytes: self.bytes(),
            messages: self.messages.iter(),
            line: self.line,
            from: 0,
        }
    }
}

/// The lines of a block.
pub(super) struct Lines<'b> {
    bytes: &'b [u8],
    messages: std::slice::Iter<'b, (u64, usize)>,
    line: u64,
    from: usize,
}

impl Iterator for Lines<'_> {
    type Item = (u64, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.from;
        if from >= self.bytes.len() {
            return None;
        }
        let (number, to) = if let Some(message) = self.messages.next() {
            *message
        } else {
            self.line += 1;
            let end = memchr::memchr(b'\n', &self.bytes[from..]);
            (self.line - 1, end.map_or(self.bytes.len(), |at| from + at))
        };
        self.from = to + 1;
        Some((number, from..to))
    }
}

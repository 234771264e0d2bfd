//! What the systems around the order system export of their own work: CSV with a header, or NDJSON.
//!
//! A word of theirs is a fact about one effect of one order. What cannot be read is counted and kept, and stops nothing:
//! what is then not said stays unknown.

use super::rejects::Rejects;
use super::source::{Block, Broken, Files, Part};
use crate::config::OutsideConfig;
use crate::domain::case::Happened;
use crate::domain::finding::Evidence;
use crate::domain::progress::Progress;
use crate::domain::queue::Reject;
use crate::domain::schema::nearest;
use crate::domain::value::instant;
use crate::domain::{Error, Result, time};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::io::{self, Read};

/// Characters of a cell that are kept: names and states are words, not texts.
const LONGEST: usize = 120;

/// What one line of an export says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Index into the configured exports.
    pub export: usize,
    /// The order's key, label or identity, as written.
    pub order: String,
    /// The key of the plan item, where the line names it.
    pub item: Option<String>,
    /// The name of the effect.
    pub effect: String,
    /// What the state column says, as written.
    pub said: String,
    /// What that means.
    pub state: Happened,
    /// Microseconds since 1970.
    pub at: Option<i64>,
    /// File and line.
    pub evidence: Evidence,
}

/// What was noticed on the way.
#[derive(Debug, Default)]
pub struct Noticed {
    /// Lines that could not be read.
    pub rejects: Vec<Reject>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Reads every export and hands out each word; nothing is kept here, however large the files are.
/// `masks`: columns are masked, so rejects keep no value.
pub fn read(
    exports: &[OutsideConfig],
    masks: bool,
    progress: &Progress,
    each: &mut dyn FnMut(Word),
) -> Result<Noticed> {
    let mut noticed = Noticed::default();
    for (ix, export) in exports.iter().enumerate() {
        let mut reader = Reader {
            export,
            ix,
            rejects: Rejects::new(masks),
            lines: 0,
            each,
        };
        let files = Files::open(&export.path, &place(export, "path"), progress)?;
        reader.files(&files)?;
        let (read, rejected) = (reader.lines, reader.rejects.count);
        let rejects = reader.rejects.named(&export.name);
        if let Some(first) = rejects.first() {
            let many = if rejected == 1 { "line was" } else { "lines were" };
            noticed.warnings.push(format!(
                "outside {}: {rejected} malformed {many} rejected, the first at {}: {}",
                export.name, first.position, first.reason
            ));
        } else if read == 0 {
            noticed
                .warnings
                .push(format!("outside {}: {} holds no line", export.name, export.path));
        }
        noticed.rejects.extend(rejects);
    }
    Ok(noticed)
}

fn place(export: &OutsideConfig, key: &str) -> String {
    format!("[[outside]] {}: {key}", export.name)
}

struct Reader<'e, 'f> {
    export: &'e OutsideConfig,
    ix: usize,
    rejects: Rejects,
    lines: u64,
    each: &'f mut dyn FnMut(Word),
}

impl Reader<'_, '_> {
    fn files(&mut self, files: &Files<'_>) -> Result<()> {
        let mut stream = Stream {
            files,
            block: Block::default(),
            at: 0,
            broken: Vec::new(),
            failed: None,
        };
        while stream.fill()? {
            let file = stream.block.part;
            let part = &files.parts[file];
            if is_json(&part.name, stream.rest()) {
                self.ndjson(&mut stream, file, part)?;
            } else {
                self.csv(&mut stream, file, part)?;
            }
        }
        for (file, broken) in stream.broken {
            let part = &files.parts[file];
            self.rejects.add(part, file, broken.line, &broken.text, broken.reason);
        }
        Ok(())
    }

    fn ndjson(&mut self, stream: &mut Stream<'_, '_>, file: usize, part: &Part) -> Result<()> {
        while stream.fill()? && stream.block.part == file {
            for (number, at) in stream.block.lines() {
                let line = &stream.block.bytes()[at];
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let word = serde_json::from_slice::<HashMap<String, Json>>(line)
                    .map_err(|e| format!("no JSON object: {e}"))
                    .and_then(|object| self.word((part, file, number), &|column| cell_of(&object, column)));
                self.take(word, (part, file, number), line);
            }
            stream.at = stream.block.bytes().len();
        }
        Ok(())
    }

    fn csv(&mut self, stream: &mut Stream<'_, '_>, file: usize, part: &Part) -> Result<()> {
        let export = self.export;
        let first = stream.rest().split(|b| *b == b'\n').next().unwrap_or_default();
        // Spreadsheets write what their country uses.
        let has = |delimiter: u8| {
            let mut cells = first.split(|b| *b == delimiter);
            cells.any(|cell| unquoted(cell) == export.order.as_bytes())
        };
        let delimiter = [b',', b';', b'\t'].into_iter().find(|d| has(*d)).unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(OneFile { stream, file });
        let header: Vec<String> = match reader.byte_headers() {
            Ok(header) => header.iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect(),
            Err(e) => return Err(reader.get_mut().stream.failure(&e, part)),
        };
        for (key, column) in columns(export) {
            if !header.iter().any(|h| h == column) {
                let near = nearest(column, header.iter().map(String::as_str));
                return Err(Error::usage(format!("{} has no column {column:?}", part.name))
                    .at(place(export, key))
                    .cure(format!("nearest columns of its header: {near}")));
            }
        }
        let mut record = csv::ByteRecord::new();
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(false) => return Ok(()),
                Ok(true) => {}
                Err(e) => return Err(reader.get_mut().stream.failure(&e, part)),
            }
            let number = record.position().map_or(0, csv::Position::line);
            let cell = |column: &str| {
                let at = header.iter().position(|h| h == column);
                let cell = at.and_then(|at| record.get(at)).unwrap_or_default();
                let text = std::str::from_utf8(cell).map_err(|_| format!("{column} is not UTF-8"))?;
                Ok((!text.is_empty()).then(|| text.to_owned()))
            };
            let word = if record.len() == header.len() {
                self.word((part, file, number), &cell)
            } else {
                Err(format!("{} cells, the header has {}", record.len(), header.len()))
            };
            self.take(word, (part, file, number), record.as_slice());
        }
    }

    /// A line as a word, by the cells of its columns.
    fn word(
        &mut self,
        (part, file, number): (&Part, usize, u64),
        cell: &dyn Fn(&str) -> Result<Option<String>, String>,
    ) -> Result<Word, String> {
        let export = self.export;
        let of = |column: &Option<String>| column.as_deref().map_or(Ok(None), cell);
        let order = cell(&export.order)?.ok_or_else(|| format!("{} is empty: whose line is it?", export.order))?;
        let said = cell(&export.state)?.unwrap_or_default();
        let at = of(&export.at)?;
        let when = at
            .as_deref()
            .and_then(|t| time::parse(t).or_else(|| instant::timestamptz(t)));
        if let (Some(at), None) = (&at, when) {
            // What it says counts all the same: only when is not known.
            let reason = format!("{:?} is no time; the rest of the line counts", cut(at.clone()));
            self.rejects.add(part, file, number, at.as_bytes(), reason);
        }
        let state = if export.done.contains(&said) {
            Happened::Done
        } else if export.none.contains(&said) {
            Happened::None
        } else {
            Happened::Unknown
        };
        Ok(Word {
            export: self.ix,
            order,
            item: of(&export.item)?,
            effect: cut(of(&export.effect)?.unwrap_or_else(|| export.name.clone())),
            said: cut(said),
            state,
            at: when,
            evidence: Evidence {
                source: export.name.clone(),
                position: part.place(number),
                ts: when.map(time::format),
            },
        })
    }

    fn take(&mut self, word: Result<Word, String>, (part, file, number): (&Part, usize, u64), text: &[u8]) {
        self.lines += 1;
        match word {
            Ok(word) => (self.each)(word),
            Err(reason) => self.rejects.add(part, file, number, text, reason),
        }
    }
}

/// The configured columns of an export, with their keys.
fn columns(export: &OutsideConfig) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("order", Some(&export.order)),
        ("item", export.item.as_ref()),
        ("effect", export.effect.as_ref()),
        ("state", Some(&export.state)),
        ("at", export.at.as_ref()),
    ]
    .into_iter()
    .filter_map(|(key, column)| Some((key, column?.as_str())))
}

fn cell_of(object: &HashMap<String, Json>, column: &str) -> Result<Option<String>, String> {
    match object.get(column) {
        None => Err(format!("no {column}")),
        Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.trim().to_owned()).filter(|t| !t.is_empty())),
        Some(value @ (Json::Number(_) | Json::Bool(_))) => Ok(Some(value.to_string())),
        Some(_) => Err(format!("{column} is no single value")),
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

fn unquoted(cell: &[u8]) -> &[u8] {
    let cell = cell.trim_ascii();
    let inner = cell.strip_prefix(b"\"").and_then(|c| c.strip_suffix(b"\""));
    inner.unwrap_or(cell)
}

/// NDJSON, by what its name ends in, else by its first byte.
fn is_json(name: &str, begins: &[u8]) -> bool {
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    match name.rsplit_once('.').map(|(_, ext)| ext) {
        Some("csv" | "tsv") => false,
        Some("ndjson" | "jsonl") => true,
        _ => begins.trim_ascii_start().first() == Some(&b'{'),
    }
}

/// The blocks of the files as a stream of bytes.
struct Stream<'f, 'p> {
    files: &'f Files<'p>,
    block: Block,
    at: usize,
    broken: Vec<(usize, Broken)>,
    /// Why a block could not be read, where the reader in between can only say that something failed.
    failed: Option<Error>,
}

impl Stream<'_, '_> {
    fn rest(&self) -> &[u8] {
        &self.block.bytes()[self.at..]
    }

    /// Whether there is something to read, of this file or the next one.
    fn fill(&mut self) -> Result<bool> {
        while self.rest().is_empty() {
            let more = self.files.next(&mut self.block)?;
            if let Some(broken) = self.block.broken.take() {
                self.broken.push((self.block.part, broken));
            }
            if !more {
                // The last block stays behind as it was.
                self.at = self.block.bytes().len();
                return Ok(false);
            }
            self.at = 0;
        }
        Ok(true)
    }

    fn failure(&mut self, e: &csv::Error, part: &Part) -> Error {
        let plain = || Error::failed(format!("reading failed: {e}")).at(part.name.clone());
        self.failed.take().unwrap_or_else(plain)
    }
}

/// The stream as far as one file goes.
struct OneFile<'s, 'f, 'p> {
    stream: &'s mut Stream<'f, 'p>,
    file: usize,
}

impl Read for OneFile<'_, '_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let more = match self.stream.fill() {
            Ok(more) => more,
            Err(error) => {
                let told = io::Error::other(error.to_string());
                self.stream.failed = Some(error);
                return Err(told);
            }
        };
        if !more || self.stream.block.part != self.file {
            return Ok(0);
        }
        let rest = self.stream.rest();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        self.stream.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests;

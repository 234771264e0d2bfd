//! Source `file`: plain, gzip and zstd files, globs and stdin, as blocks of whole lines.
//!
//! A reader is behind a lock, and whoever needs work takes the next block from the first file that nobody else is
//! reading: one plain file is read by all threads in turn, several compressed ones side by side, and what is in memory is
//! one block a thread, however long the log is.

use super::{Block, Broken, Part};
use crate::domain::progress::Progress;
use crate::domain::schema::nearest;
use crate::domain::{Error, Result};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, TryLockError};

/// Bytes read at a time: small enough to stay in the cache until they are parsed.
const BLOCK: usize = 512 << 10;
/// A longer line is rejected instead of kept.
const LONGEST_LINE: usize = 64 << 20;

/// The files of one source, in order.
pub(in crate::log) struct Files<'p> {
    /// As evidence names them.
    pub parts: Vec<Part>,
    readers: Vec<Mutex<Reader<'p>>>,
    /// Bytes on disk, 0 for stdin.
    pub size: u64,
}

struct Reader<'p> {
    path: Option<PathBuf>,
    input: Option<Box<dyn Read + Send + 'p>>,
    progress: &'p Progress,
    compressed: Option<&'static str>,
    /// The beginning of the line that the last block broke off.
    rest: Vec<u8>,
    line: u64,
    done: bool,
    peeked: Option<Block>,
}

impl<'p> Files<'p> {
    /// Finds the files of a path, glob or `-`; `place` is the configuration that named them.
    pub fn open(path: &str, place: &str, progress: &'p Progress) -> Result<Self> {
        let paths = if path == "-" {
            vec![None]
        } else {
            find(path, place)?.into_iter().map(Some).collect()
        };
        let mut size = 0;
        for path in paths.iter().flatten() {
            let meta = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
            size += meta.len();
        }
        Ok(Self {
            parts: names(&paths).into_iter().map(Part::file).collect(),
            readers: paths
                .into_iter()
                .map(|path| Mutex::new(Reader::new(path, progress)))
                .collect(),
            size,
        })
    }

    /// Reads the next lines into `block`; `false` when there are no more.
    pub fn next(&self, block: &mut Block) -> Result<bool> {
        loop {
            let mut busy = None;
            for (ix, reader) in self.readers.iter().enumerate() {
                let mut reader = match reader.try_lock() {
                    Ok(reader) => reader,
                    Err(TryLockError::Poisoned(e)) => e.into_inner(),
                    Err(TryLockError::WouldBlock) => {
                        busy = busy.or(Some(ix));
                        continue;
                    }
                };
                if reader.next(ix, block)? {
                    return Ok(true);
                }
            }
            let Some(ix) = busy else { return Ok(false) };
            let mut reader = self.readers[ix].lock().unwrap_or_else(PoisonError::into_inner);
            if reader.next(ix, block)? {
                return Ok(true);
            }
        }
    }

    /// Shows the first lines of each file in turn until `enough`, without taking them.
    pub fn peek(&self, mut enough: impl FnMut(&Block) -> bool) -> Result<()> {
        for (ix, reader) in self.readers.iter().enumerate() {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let mut block = Block::default();
            if reader.next(ix, &mut block)? {
                let enough = enough(&block);
                reader.peeked = Some(block);
                if enough {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl<'p> Reader<'p> {
    fn new(path: Option<PathBuf>, progress: &'p Progress) -> Self {
        Self {
            path,
            input: None,
            progress,
            compressed: None,
            rest: Vec::new(),
            line: 1,
            done: false,
            peeked: None,
        }
    }

    fn next(&mut self, file: usize, block: &mut Block) -> Result<bool> {
        if let Some(peeked) = self.peeked.take() {
            *block = peeked;
            return Ok(true);
        }
        if self.done {
            return Ok(false);
        }
        if self.input.is_none() {
            self.start()?;
        }
        block.part = file;
        block.line = self.line;
        block.broken = None;
        block.unfinished = false;
        block.messages.clear();
        block.len = 0;
        if block.bytes.len() < BLOCK || block.bytes.len() > 4 * BLOCK {
            block.bytes = vec![0; BLOCK];
        }
        let kept = std::mem::take(&mut self.rest);
        while block.bytes.len() < kept.len() + BLOCK / 2 {
            block.bytes.resize(block.bytes.len() * 2, 0);
        }
        block.bytes[..kept.len()].copy_from_slice(&kept);
        let mut len = kept.len();
        // Lines before this offset are whole.
        let mut whole = memchr::memrchr(b'\n', &kept).map_or(0, |at| at + 1);
        loop {
            if len == block.bytes.len() {
                if whole > 0 {
                    break;
                }
                if len >= LONGEST_LINE {
                    return self.pass_long_line(block).map(|()| true);
                }
                let room = (len * 2).min(LONGEST_LINE);
                block.bytes.resize(room, 0);
            }
            match self.read(&mut block.bytes[len..]) {
                Ok(0) => {
                    self.done = true;
                    self.input = None;
                    block.unfinished = len > whole;
                    whole = len;
                    break;
                }
                Ok(n) => {
                    if let Some(at) = memchr::memrchr(b'\n', &block.bytes[len..len + n]) {
                        whole = len + at + 1;
                    }
                    len += n;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    // The beginning of a line that the stream broke off goes with the stream.
                    self.break_off(block, whole, &e)?;
                    len = whole;
                    break;
                }
            }
        }
        self.rest = block.bytes[whole..len].to_vec();
        block.len = whole;
        self.line += memchr::memchr_iter(b'\n', block.bytes()).count() as u64;
        if let Some(broken) = &mut block.broken {
            broken.line = self.line;
        }
        Ok(block.len > 0 || block.broken.is_some())
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.input.as_mut().map_or(Ok(0), |input| input.read(into))
    }

    fn break_off(&mut self, block: &mut Block, whole: usize, e: &io::Error) -> Result<()> {
        let Some(kind) = self.compressed else {
            return Err(Error::failed(format!("reading failed: {e}")).at(self.place()));
        };
        self.done = true;
        self.input = None;
        block.len = whole;
        let reason = if e.kind() == io::ErrorKind::UnexpectedEof {
            format!("the {kind} stream ends early: the file is cut off, what it held before was read")
        } else {
            format!("the {kind} stream is damaged ({e}): what it held before was read, nothing after")
        };
        block.broken = Some(Broken {
            line: self.line,
            reason,
            text: Vec::new(),
        });
        Ok(())
    }

    /// Passes over a line that is too long to keep.
    fn pass_long_line(&mut self, block: &mut Block) -> Result<()> {
        let mut length = block.bytes.len() as u64;
        let text = block.bytes[..256].to_vec();
        // Its room is given back.
        block.bytes = Vec::new();
        let mut chunk = vec![0; BLOCK];
        loop {
            match self.read(&mut chunk) {
                Ok(0) => {
                    self.done = true;
                    self.input = None;
                    break;
                }
                Ok(n) => {
                    if let Some(end) = memchr::memchr(b'\n', &chunk[..n]) {
                        length += end as u64;
                        self.rest = chunk[end + 1..n].to_vec();
                        break;
                    }
                    length += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.break_off(block, 0, &e)?;
                    break;
                }
            }
        }
        let reason = format!("the line has {length} bytes, more than {LONGEST_LINE}");
        block.broken = Some(Broken {
            line: self.line,
            reason,
            text,
        });
        block.len = 0;
        self.line += 1;
        Ok(())
    }

    fn place(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "stdin".to_owned(), |p| p.display().to_string())
    }

    /// Opens the input; what it is compressed with shows in its first bytes, whatever its name says.
    fn start(&mut self) -> Result<()> {
        let raw: Box<dyn Read + Send> = match &self.path {
            Some(path) => Box::new(File::open(path).map_err(|e| unreadable(path, &e))?),
            None => Box::new(io::stdin()),
        };
        let mut raw = Counted {
            raw,
            progress: self.progress,
        };
        let mut first = [0; 4];
        let mut n = 0;
        while n < first.len() {
            match raw.read(&mut first[n..]) {
                Ok(0) => break,
                Ok(read) => n += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::failed(format!("reading failed: {e}")).at(self.place())),
            }
        }
        let whole = io::Cursor::new(first[..n].to_vec()).chain(raw);
        self.input = Some(match first[..n] {
            // RFC 1952, 2.3.1: ID1, ID2, deflate.
            [0x1f, 0x8b, 8, ..] => {
                self.compressed = Some("gzip");
                Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(
                    64 << 10,
                    whole,
                )))
            }
            // RFC 8878, 3.1.1: magic number; 3.1.2: a skippable frame may come first.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                self.compressed = Some("zstd");
                let decoder = zstd::stream::read::Decoder::new(whole)
                    .map_err(|e| Error::failed(format!("zstd: {e}")).at(self.place()))?;
                Box::new(decoder)
            }
            [0xef, 0xbb, 0xbf, ..] => {
                // A byte order mark is no part of the first line.
                self.rest = first[3..n].to_vec();
                Box::new(whole.into_inner().1)
            }
            _ => {
                self.rest = first[..n].to_vec();
                Box::new(whole.into_inner().1)
            }
        });
        Ok(())
    }
}

/// Tells the progress how much of the file was read.
struct Counted<'p, R> {
    raw: R,
    progress: &'p Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.raw.read(buf)?;
        self.progress.add(n as u64);
        Ok(n)
    }
}

fn unreadable(path: &Path, e: &io::Error) -> Error {
    Error::failed(format!("cannot read the log: {e}")).at(path.display().to_string())
}

fn find(path: &str, place: &str) -> Result<Vec<PathBuf>> {
    // A file whose own name holds a glob's characters is meant as it is.
    if Path::new(path).is_file() {
        return Ok(vec![PathBuf::from(path)]);
    }
    let found = glob::glob(path).map_err(|e| Error::usage(format!("{path:?} is no glob: {e}")).at(place.to_owned()))?;
    let mut paths: Vec<PathBuf> = found.filter_map(Result::ok).filter(|p| !p.is_dir()).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(Error::usage(format!("no file matches {path}"))
            .at(place.to_owned())
            .cure(neighbours(path)));
    }
    Ok(paths)
}

/// What is there instead of the file that is not.
fn neighbours(path: &str) -> String {
    let mut folder = Path::new(path).parent().unwrap_or(Path::new(""));
    // The last part of the way that exists.
    while !folder.as_os_str().is_empty() && !folder.is_dir() {
        folder = folder.parent().unwrap_or(Path::new(""));
    }
    let shown = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let wanted = Path::new(path).strip_prefix(folder).unwrap_or(Path::new(path));
    let wanted = wanted
        .components()
        .next()
        .map(|c| c.as_os_str().to_string_lossy().into_owned());
    let entries = std::fs::read_dir(shown).into_iter().flatten().flatten();
    let names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    if names.is_empty() {
        return format!("the folder {} is empty", shown.display());
    }
    let near = nearest(&wanted.unwrap_or_default(), names.iter().map(String::as_str));
    format!("nearest in {}: {near}", shown.display())
}

/// File names, or whole paths where two files share a name.
fn names(paths: &[Option<PathBuf>]) -> Vec<String> {
    let short = |p: &Option<PathBuf>| {
        let name = p.as_ref().and_then(|p| p.file_name());
        name.map_or_else(|| "stdin".to_owned(), |n| n.to_string_lossy().into_owned())
    };
    let names: Vec<String> = paths.iter().map(short).collect();
    let mut distinct = names.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() == names.len() {
        return names;
    }
    paths
        .iter()
        .map(|p| {
            p.as_ref()
                .map_or_else(|| "stdin".to_owned(), |p| p.display().to_string())
        })
        .collect()
}

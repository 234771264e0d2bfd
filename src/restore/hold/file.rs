//! The rescue file: messages of a topic, byte for byte, in a file that survives a crash at any byte.
//!
//! A file is a row of records: the mark `RSCU`, the length of the body (4 bytes, little endian), its seal (8 bytes), the
//! body. The seal is SipHash-1-3 of the record's place in the file and the body, under the file's id as the key, so that
//! nothing within a message passes for a record. The first body is JSON: [`Origin`], sealed under key 0. Every other one is
//! a [`Saved`] message, numbers little endian, or an [`Entry::Nothing`]. A record is whole or it does not count. Where bytes between whole records are damaged, the records
//! behind them are found by their mark and still count; what only trails behind the last whole record was never
//! acknowledged, and is cut when the file is written on.

use crate::domain::hold::Rescued;
use crate::domain::{Error, Result};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use std::fs::{File, OpenOptions};
use std::hash::Hasher;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MARK: [u8; 4] = *b"RSCU";
const HEAD: usize = 16;
/// No record is larger: Kafka's requests carry their size in 31 bits.
const MOST: usize = 1 << 30;
/// A file is scanned in pieces of this size.
const PIECE: usize = 1 << 20;

/// Where the messages of a file come from: its first record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Told apart by this, wherever the file is copied to: part of the key under which a message is released.
    pub id: String,
    /// The topic.
    pub topic: String,
    /// The brokers, as configured when it was begun.
    pub brokers: Vec<String>,
    /// RFC 3339.
    pub begun: String,
}

/// Who stamped a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "Kafka's own words")]
pub enum Stamp {
    None,
    CreateTime(i64),
    LogAppendTime(i64),
}

/// A message as it was on the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// From here up to its offset the broker had nothing else: offsets used up by marks of transactions or compaction.
    pub from: i64,
    /// Milliseconds since 1970.
    pub stamp: Stamp,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record behind the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A message.
    Message(Saved),
    /// From the first of these offsets up to the second the broker has no message of this partition.
    Nothing(i32, i64, i64),
}

/// What a whole file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Where it comes from.
    pub origin: Origin,
    /// Whole messages.
    pub messages: u64,
    /// The offsets that are safe, by partition.
    pub offsets: Rescued,
    /// Bytes between whole records that are none.
    pub damaged: u64,
    /// Bytes behind the last whole record.
    pub torn: u64,
    /// Where the last whole record ends.
    end: u64,
}

/// A rescue file being written. Locked: a second writer is refused.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    end: u64,
    key: Key,
    batch: Vec<u8>,
}

/// What the records of a file are sealed under.
type Key = (u64, u64);

fn key_of(origin: &Origin) -> Option<Key> {
    Some(uuid::Uuid::parse_str(&origin.id).ok()?.as_u64_pair())
}

fn seal(key: Key, position: u64, body: &[u8]) -> u64 {
    let mut sip = SipHasher13::new_with_keys(key.0, key.1);
    sip.write_u64(position.to_le());
    sip.write(body);
    sip.finish()
}

fn at(path: &Path) -> String {
    path.display().to_string()
}

fn io(path: &Path, what: &str) -> impl Fn(std::io::Error) -> Error {
    let (place, what) = (at(path), what.to_owned());
    move |e| Error::failed(format!("{what}: {e}")).at(place.clone())
}

impl Writer {
    /// Opens the file to write on, or begins it. What trails behind its last whole record is cut, and counted in
    /// [`Contents::torn`].
    pub fn open(path: &Path, origin: impl FnOnce() -> Origin) -> Result<(Self, Contents)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(io(path, "the rescue file cannot be opened"))?;
        let meta = file.metadata().map_err(io(path, "the rescue file cannot be read"))?;
        if meta.mode() & 0o077 != 0 {
            return Err(Error::usage("the rescue file is open to others: orders stand in it")
                .at(at(path))
                .cure(format!("chmod 0600 {}", at(path))));
        }
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Error::refused("another rescue writes this file")
                .at(at(path))
                .cure("let it go on, or name another file with --out")
        })?;
        let mut writer = Self {
            file,
            path: path.to_owned(),
            end: 0,
            key: (0, 0),
            batch: Vec::new(),
        };
        let contents = match scan(&writer.file, path, &mut |_| Ok(()))? {
            Some(contents) => {
                writer.end = contents.end;
                writer.cut()?;
                contents
            }
            // Empty, or torn within its very first record: nothing was acknowledged yet.
            None => writer.begin(origin())?,
        };
        writer.key = key_of(&contents.origin).ok_or_else(|| foreign(path))?;
        Ok((writer, contents))
    }

    fn begin(&mut self, origin: Origin) -> Result<Contents> {
        self.cut()?;
        let json = serde_json::to_vec(&origin).map_err(|e| Error::failed(e.to_string()))?;
        self.record(|out| out.extend_from_slice(&json));
        self.sync()?;
        // The name itself must survive, too.
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(io(&self.path, "the folder of the rescue file cannot be synced"))?;
        Ok(Contents {
            origin,
            messages: 0,
            offsets: Rescued::new(),
            damaged: 0,
            torn: 0,
            end: self.end,
        })
    }

    fn cut(&mut self) -> Result<()> {
        let wrong = io(&self.path, "the torn end of the rescue file cannot be cut");
        self.file
            .set_len(self.end)
            .and_then(|()| self.file.sync_all())
            .map_err(wrong)
    }

    /// Adds an entry to the batch; nothing is safe before [`Writer::sync`].
    pub fn add(&mut self, entry: &Entry) {
        self.record(|out| encode(entry, out));
    }

    /// The body is written behind its head, which is filled in afterwards: large messages are copied once.
    fn record(&mut self, body: impl FnOnce(&mut Vec<u8>)) {
        let head = self.batch.len();
        self.batch.extend_from_slice(&[0; HEAD]);
        body(&mut self.batch);
        let body = &self.batch[head + HEAD..];
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let seal = seal(self.key, self.end + head as u64, body);
        self.batch[head..head + 4].copy_from_slice(&MARK);
        self.batch[head + 4..head + 8].copy_from_slice(&len.to_le_bytes());
        self.batch[head + 8..head + HEAD].copy_from_slice(&seal.to_le_bytes());
    }

    /// Bytes in the batch.
    pub const fn waiting(&self) -> usize {
        self.batch.len()
    }

    /// Writes the batch and waits until the disk has it: from then on it is safe.
    pub fn sync(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.file
            .write_all_at(&self.batch, self.end)
            .and_then(|()| self.file.sync_data())
            .map_err(io(&self.path, "the rescue file cannot be written"))?;
        self.end += self.batch.len() as u64;
        self.batch.clear();
        Ok(())
    }
}

/// Reads a whole file; each entry as it comes. A file that is none of restitch's is refused.
pub fn read(path: &Path, mut each: impl FnMut(Entry) -> Result<()>) -> Result<Contents> {
    let file = File::open(path).map_err(|e| {
        Error::usage(format!("the rescue file cannot be read: {e}"))
            .at(at(path))
            .cure("give the file that `restitch hold rescue` wrote")
    })?;
    scan(&file, path, &mut each)?.ok_or_else(|| foreign(path))
}

fn foreign(path: &Path) -> Error {
    Error::usage("this is no rescue file of restitch")
        .at(at(path))
        .cure("give the file that `restitch hold rescue` wrote; it is left as it is")
}

/// `None` where the file is empty, or holds nothing but the beginning of its first record.
fn scan(file: &File, path: &Path, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<Option<Contents>> {
    let wrong = io(path, "the rescue file cannot be read");
    let size = file.metadata().map_err(&wrong)?.len();
    let mut bytes = Bytes::over(file).map_err(&wrong)?;
    let Some(first) = bytes.record().map_err(&wrong)? else {
        let begun = bytes.look(MARK.len()).map_err(&wrong)?;
        // A crash may leave room for the first record without its bytes.
        let ours = MARK.starts_with(begun) || (size < 4_096 && begun.iter().all(|b| *b == 0));
        // Nothing is cut from a file that may be somebody else's.
        return if ours && !bytes.find_next().map_err(&wrong)? {
            Ok(None)
        } else {
            Err(foreign(path))
        };
    };
    let origin: Origin = serde_json::from_slice(&first).map_err(|_| foreign(path))?;
    bytes.key = key_of(&origin).ok_or_else(|| foreign(path))?;
    let mut contents = Contents {
        origin,
        messages: 0,
        offsets: Rescued::new(),
        damaged: 0,
        torn: 0,
        end: bytes.position,
    };
    loop {
        while let Some(body) = bytes.record().map_err(&wrong)? {
            contents.end = bytes.position;
            let Some(entry) = decode(&body) else {
                return Err(Error::failed("a newer restitch wrote this rescue file").at(at(path)));
            };
            let (id, from, to) = match &entry {
                Entry::Message(m) => (m.partition, m.from.min(m.offset), m.offset.saturating_add(1)),
                Entry::Nothing(id, from, to) => (*id, *from, *to),
            };
            contents.messages += u64::from(matches!(entry, Entry::Message(_)));
            contents.offsets.entry(id).or_default().add(from, to);
            each(entry)?;
        }
        let broken = bytes.position;
        if !bytes.find_next().map_err(&wrong)? {
            contents.torn = size - contents.end;
            return Ok(Some(contents));
        }
        contents.damaged += bytes.position - broken;
    }
}

/// A file read record by record.
struct Bytes<'f> {
    from: BufReader<&'f File>,
    buffer: Vec<u8>,
    at: usize,
    /// Where the next record begins, or should.
    position: u64,
    key: Key,
}

impl<'f> Bytes<'f> {
    fn over(file: &'f File) -> std::io::Result<Self> {
        let mut from = BufReader::with_capacity(PIECE, file);
        from.seek(SeekFrom::Start(0))?;
        Ok(Self {
            from,
            buffer: Vec::new(),
            at: 0,
            position: 0,
            key: (0, 0),
        })
    }

    /// The next bytes, `want` of them unless the file ends before.
    fn look(&mut self, want: usize) -> std::io::Result<&[u8]> {
        let have = self.buffer.len() - self.at;
        if have < want {
            self.buffer.drain(..self.at);
            self.at = 0;
            let missing = (want - have).max(PIECE) as u64;
            (&mut self.from).take(missing).read_to_end(&mut self.buffer)?;
        }
        Ok(&self.buffer[self.at..(self.at + want).min(self.buffer.len())])
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
        self.position += bytes as u64;
    }

    /// The length of the whole record that begins here, its head counted; `None` where none does.
    fn whole(&mut self) -> std::io::Result<Option<usize>> {
        let (key, position) = (self.key, self.position);
        let Some((len, sealed)) = head(self.look(HEAD)?) else {
            return Ok(None);
        };
        let body = self.look(HEAD + len)?.get(HEAD..HEAD + len);
        Ok(body
            .filter(|body| seal(key, position, body) == sealed)
            .map(|_| HEAD + len))
    }

    /// The body of the record that begins here; `None` where none does.
    fn record(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let Some(len) = self.whole()? else {
            return Ok(None);
        };
        let body = self.look(len)?[HEAD..].to_vec();
        self.skip(len);
        Ok(Some(body))
    }

    /// Goes on to the next whole record behind here; `false` where there is none.
    fn find_next(&mut self) -> std::io::Result<bool> {
        let mut behind = self.look(1)?.len();
        loop {
            self.skip(behind);
            let seen = self.look(PIECE)?;
            match memchr::memmem::find(seen, &MARK) {
                Some(found) => {
                    self.skip(found);
                    if self.whole()?.is_some() {
                        return Ok(true);
                    }
                    behind = 1;
                }
                None if seen.len() < PIECE => return Ok(false),
                // The mark may stand across the end of the piece.
                None => behind = PIECE - MARK.len() + 1,
            }
        }
    }
}

/// Length and seal of the record that these bytes begin.
fn head(bytes: &[u8]) -> Option<(usize, u64)> {
    let len = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    let len = usize::try_from(len).ok().filter(|len| *len <= MOST)?;
    let seal = u64::from_le_bytes(bytes.get(8..HEAD)?.try_into().ok()?);
    (bytes.get(..4)? == MARK).then_some((len, seal))
}

const MESSAGE: u8 = 1;
const NOTHING: u8 = 2;
const NULL: u32 = u32::MAX;

fn encode(entry: &Entry, out: &mut Vec<u8>) {
    match entry {
        Entry::Nothing(id, from, to) => {
            out.push(NOTHING);
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&from.to_le_bytes());
            out.extend_from_slice(&to.to_le_bytes());
        }
        Entry::Message(m) => {
            out.push(MESSAGE);
            out.extend_from_slice(&m.partition.to_le_bytes());
            out.extend_from_slice(&m.offset.to_le_bytes());
            out.extend_from_slice(&m.from.to_le_bytes());
            let (by, at) = match m.stamp {
                Stamp::None => (0, -1),
                Stamp::CreateTime(at) => (1, at),
                Stamp::LogAppendTime(at) => (2, at),
            };
            out.push(by);
            out.extend_from_slice(&at.to_le_bytes());
            let mut bytes = |bytes: Option<&[u8]>| {
                let len = bytes.map_or(NULL, |b| u32::try_from(b.len()).unwrap_or(NULL));
                out.extend_from_slice(&len.to_le_bytes());
                out.extend_from_slice(bytes.unwrap_or_default());
            };
            bytes(m.key.as_deref());
            bytes(m.value.as_deref());
            for (name, value) in &m.headers {
                bytes(Some(name.as_bytes()));
                bytes(value.as_deref());
            }
        }
    }
}

fn decode(body: &[u8]) -> Option<Entry> {
    let mut rest = body;
    let mut take = |n: usize| {
        let (taken, left) = rest.split_at_checked(n)?;
        rest = left;
        Some(taken)
    };
    let kind = take(1)?[0];
    let partition = i32::from_le_bytes(take(4)?.try_into().ok()?);
    let first = i64::from_le_bytes(take(8)?.try_into().ok()?);
    let second = i64::from_le_bytes(take(8)?.try_into().ok()?);
    match kind {
        NOTHING => Some(Entry::Nothing(partition, first, second)),
        MESSAGE => {
            let by = take(1)?[0];
            let at = i64::from_le_bytes(take(8)?.try_into().ok()?);
            let stamp = match by {
                0 => Stamp::None,
                1 => Stamp::CreateTime(at),
                2 => Stamp::LogAppendTime(at),
                _ => return None,
            };
            let mut bytes = || -> Option<Option<Vec<u8>>> {
                let len = u32::from_le_bytes(take(4)?.try_into().ok()?);
                if len == NULL {
                    return Some(None);
                }
                Some(Some(take(usize::try_from(len).ok()?)?.to_vec()))
            };
            let (key, value) = (bytes()?, bytes()?);
            let mut headers = Vec::new();
            // Until nothing is left.
            while let Some(name) = bytes() {
                headers.push((String::from_utf8(name?).ok()?, bytes()?));
            }
            Some(Entry::Message(Saved {
                partition,
                offset: first,
                from: second,
                stamp,
                key,
                value,
                headers,
            }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;

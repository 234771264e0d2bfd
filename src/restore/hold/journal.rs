//! What a release is about to do, and what it did: lines of JSON beside the rescue file, each on the disk before the next
//! step is taken.

use crate::domain::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Partition and offset of a message in the rescued topic.
pub type Place = (i32, i64);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The rescue file's id.
    File(String),
    /// These are about to be sent; the topic's partition then ended at the last number.
    WillSend(Vec<(i32, i64, i64)>),
    /// The broker has these.
    Sent(Vec<Place>),
    /// These were looked for and never arrived.
    NotSent(Vec<Place>),
}

/// The journal of one rescue file. Locked: one release at a time.
#[derive(Debug)]
pub struct Journal {
    file: Option<File>,
    path: PathBuf,
    /// What the broker has.
    pub sent: BTreeSet<Place>,
    /// What was about to be sent, and nobody said since what became of it; with the end of its partition then.
    pub open: BTreeMap<Place, i64>,
}

impl Journal {
    /// Opens the journal of this rescue file, or begins it; only to look, nothing is made or changed.
    pub fn open(rescue: &Path, id: &str, to_look: bool) -> Result<Self> {
        let mut path = rescue.as_os_str().to_owned();
        path.push(".released");
        let path = PathBuf::from(path);
        let wrong = |e: std::io::Error| {
            Error::failed(format!("the journal of the release cannot be opened: {e}")).at(path.display().to_string())
        };
        let opened = OpenOptions::new()
            .read(true)
            .append(!to_look)
            .create(!to_look)
            .mode(0o600)
            .open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(e) if to_look && e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self {
                    file: None,
                    path,
                    sent: BTreeSet::new(),
                    open: BTreeMap::new(),
                });
            }
            Err(e) => return Err(wrong(e)),
        };
        if !to_look {
            rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
                Error::refused("another release of this file is under way").at(path.display().to_string())
            })?;
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(wrong)?;
        // A line without its end was torn: what it would have announced was not begun, what it would have confirmed is
        // looked up.
        let whole = memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1);
        if !to_look && whole < text.len() {
            file.set_len(whole as u64)
                .and_then(|()| file.sync_all())
                .map_err(wrong)?;
        }
        let mut journal = Self {
            file: (!to_look).then_some(file),
            path: path.clone(),
            sent: BTreeSet::new(),
            open: BTreeMap::new(),
        };
        let mut of = None;
        for line in text[..whole].split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let line: Line = serde_json::from_slice(line).map_err(|e| {
                Error::failed(format!("the journal of the release is damaged: {e}"))
                    .at(path.display().to_string())
                    .cure(
                        "keep it, and look in the topic for the header idempotency-key before anything is sent by hand",
                    )
            })?;
            match line {
                Line::File(id) => of = Some(id),
                line => journal.take(&line),
            }
        }
        match of {
            Some(of) if of == id => {}
            Some(_) => {
                return Err(Error::usage("the journal belongs to another rescue file")
                    .at(path.display().to_string())
                    .cure("move it away, to where its file is"));
            }
            None if to_look => {}
            None => journal.write(&Line::File(id.to_owned()))?,
        }
        Ok(journal)
    }

    fn take(&mut self, line: &Line) {
        match line {
            Line::File(_) => {}
            Line::WillSend(all) => self.open.extend(all.iter().map(|(p, o, tail)| ((*p, *o), *tail))),
            Line::Sent(all) => {
                self.open.retain(|place, _| !all.contains(place));
                self.sent.extend(all);
            }
            Line::NotSent(all) => self.open.retain(|place, _| !all.contains(place)),
        }
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        self.take(line);
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut text = serde_json::to_vec(line).map_err(|e| Error::failed(e.to_string()))?;
        text.push(b'\n');
        file.write_all(&text).and_then(|()| file.sync_data()).map_err(|e| {
            Error::failed(format!("the journal of the release cannot be written: {e}"))
                .at(self.path.display().to_string())
        })
    }

    /// These are about to be sent; with the end of each one's partition.
    pub fn will_send(&mut self, all: impl Iterator<Item = (Place, i64)>) -> Result<()> {
        self.write(&Line::WillSend(all.map(|((p, o), tail)| (p, o, tail)).collect()))
    }

    /// The broker has these.
    pub fn was_sent(&mut self, all: impl Iterator<Item = Place>) -> Result<()> {
        let all: Vec<Place> = all.collect();
        if all.is_empty() {
            return Ok(());
        }
        self.write(&Line::Sent(all))
    }

    /// These never arrived.
    pub fn was_not_sent(&mut self, all: &[Place]) -> Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        self.write(&Line::NotSent(all.to_vec()))
    }
}

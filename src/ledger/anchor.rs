//! Anchors: the head of a trail written down outside the ledger. Whoever can rewrite the whole ledger can also cut its
//! tail and make a shorter chain that is whole; a copy of the head elsewhere, out of their reach, shows it.

use super::audit::broken;
use super::{Ledger, store::Snapshot};
use crate::domain::{Error, Result, time};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// A console writes an anchor after so many lines of the trail …
pub const EVERY_LINES: i64 = 100;
/// … and when the last one is so old and there are new lines.
pub const EVERY: Duration = Duration::from_mins(10);

/// The newest line of an incident's trail at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The incident.
    pub incident: String,
    /// The line's number.
    pub seq: i64,
    /// Its hash, over everything before it.
    pub hash: String,
    /// When it was anchored, RFC 3339.
    pub at: String,
}

impl Ledger {
    /// The newest line of the incident's trail; `None` where there is none.
    pub fn head(&self) -> Result<Option<Anchor>> {
        let name = self.here.name.clone();
        self.read(|at| {
            let head = at.one(
                "SELECT seq, hash FROM heads WHERE incident = ?1",
                &[at.incident().into()],
                |r| Ok((r.int(0)?, r.own(1)?)),
            )?;
            Ok(head.map(|(seq, hash)| Anchor {
                incident: name,
                seq,
                hash,
                at: time::format(at.now()),
            }))
        })
    }

    /// Holds the trail against anchors written before: each must be a line of it, of the same hash. Those of incidents
    /// that this ledger does not have are broken too.
    pub fn verify_anchors(&self, anchors: &[Anchor]) -> Result<()> {
        let hash_of = |at: &dyn Snapshot, anchor: &Anchor| {
            at.one(
                "SELECT a.hash FROM audit a JOIN incidents i ON i.no = a.incident WHERE i.name = ?1 AND a.seq = ?2",
                &[(&anchor.incident).into(), anchor.seq.into()],
                |r| r.own::<String>(0),
            )
        };
        self.read(|at| {
            for anchor in anchors {
                let told = |what: &str| {
                    broken(
                        &anchor.incident,
                        anchor.seq,
                        &format!("{what} (anchored {})", anchor.at),
                    )
                };
                match hash_of(at, anchor)? {
                    None => return Err(told("it was there when it was anchored, and is gone with all after it")),
                    Some(hash) if hash != anchor.hash => {
                        return Err(told("it is another line than the one that was anchored"));
                    }
                    Some(_) => {}
                }
            }
            Ok(())
        })
    }
}

impl Anchor {
    /// Appends it to a file that is only for its owner, and waits until it is on the disk.
    pub fn append(&self, path: &Path) -> Result<()> {
        let wrong = |e: std::io::Error| cannot("write", path, &e);
        let mut line = serde_json::to_vec(self).map_err(|e| Error::failed(e.to_string()))?;
        line.push(b'\n');
        let new = !path.exists();
        let mut file = open(
            path,
            OpenOptions::new().read(true).append(true).create(true).mode(0o600),
            "write",
        )?;
        // A line that a crash cut short ends here.
        if file.metadata().map_err(wrong)?.len() > 0 && !ends_in_newline(&mut file).map_err(wrong)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line).and_then(|()| file.sync_all()).map_err(wrong)?;
        if new {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))
                .and_then(|f| f.sync_all())
                .map_err(wrong)?;
        }
        Ok(())
    }
}

/// Reads the anchors of a file, oldest first.
pub fn read(path: &Path) -> Result<Vec<Anchor>> {
    let mut text = String::new();
    open(path, OpenOptions::new().read(true), "read")?
        .read_to_string(&mut text)
        .map_err(|e| cannot("read", path, &e))?;
    let mut anchors = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        anchors.push(serde_json::from_str(line).map_err(|e| {
            Error::failed(format!("line {} is no anchor: {e}", n + 1))
                .at(path.display().to_string())
                .cure("`restitch audit anchor --to FILE` writes them; a line that a crash cut short may be deleted")
        })?);
    }
    if anchors.is_empty() {
        return Err(Error::failed("there is no anchor in it")
            .at(path.display().to_string())
            .cure("`restitch audit anchor --to FILE` writes one"));
    }
    Ok(anchors)
}

fn ends_in_newline(file: &mut File) -> std::io::Result<bool> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Opens a file that nobody else may write to, never through a link.
fn open(path: &Path, how: &mut OpenOptions, doing: &str) -> Result<File> {
    let wrong = |e: std::io::Error| cannot(doing, path, &e);
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = how.custom_flags(no_follow).open(path).map_err(wrong)?;
    let meta = file.metadata().map_err(wrong)?;
    if !meta.is_file() {
        return Err(wrong(std::io::Error::other("it is no plain file")));
    }
    let me = rustix::process::geteuid().as_raw();
    if (meta.uid() != me && meta.uid() != 0) || meta.mode() & 0o022 != 0 {
        return Err(Error::refused(format!(
            "others can write to the anchors (owner {}, mode {:04o})",
            meta.uid(),
            meta.mode() & 0o7777
        ))
        .at(path.display().to_string())
        .cure("keep them where only you can write: `chmod go-w` it, or name another file"));
    }
    Ok(file)
}

fn cannot(doing: &str, path: &Path, e: &std::io::Error) -> Error {
    Error::failed(format!("cannot {doing} the anchors: {e}"))
        .at(path.display().to_string())
        .cure("name a plain file, not a link, in a folder that you can use")
}

/// Anchors by itself, while a console runs.
#[derive(Debug, Default)]
pub struct Keeper {
    last: Option<(i64, i64)>,
    failed_at: Option<i64>,
}

impl Keeper {
    /// Writes an anchor when it is time: at the first call that finds a line, after [`EVERY_LINES`] lines, and after
    /// [`EVERY`] where there are new ones. `newest` is the newest line now.
    pub fn keep(&mut self, ledger: &Ledger, path: &Path, newest: i64, now: i64) -> Result<()> {
        let every = i64::try_from(EVERY.as_micros()).unwrap_or(i64::MAX);
        let due = match self.last {
            None => newest > 0,
            Some((line, at)) => newest - line >= EVERY_LINES || (newest != line && now - at >= every),
        };
        if !due || self.failed_at.is_some_and(|at| now - at < every) {
            return Ok(());
        }
        if let Some(head) = ledger.head()? {
            head.append(path)?;
            self.last = Some((head.seq, now));
        }
        Ok(())
    }

    /// It could not be written: the next try is [`EVERY`] later, so that nobody is told twice a second.
    pub const fn failed(&mut self, now: i64) {
        self.failed_at = Some(now);
    }
}

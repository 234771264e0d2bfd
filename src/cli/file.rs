//! Files that commands write for one person.

use crate::domain::{Error, Result};
use crate::report::Sink;
use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file that nobody else can read: all of it or nothing, never through a link at its name.
pub fn write_private(path: &Path, write: &mut dyn FnMut(&mut Sink<'_>) -> Result<()>) -> Result<()> {
    let wrong = |e: std::io::Error| {
        Error::failed(format!("cannot write the file: {e}"))
            .at(path.display().to_string())
            .cure("name a file in a folder that you may write to")
    };
    let name = path
        .file_name()
        .ok_or_else(|| wrong(std::io::Error::other("the path names no file")))?;
    if path.is_dir() {
        return Err(wrong(std::io::Error::other("it is a folder")));
    }
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(beside);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .map_err(wrong)?;
    let mut to = BufWriter::with_capacity(1 << 16, file);
    let written = write(&mut |text| to.write_all(text.as_bytes()).map_err(wrong)).and_then(|()| {
        let file = to.into_inner().map_err(|e| wrong(e.into_error()))?;
        file.sync_all().and_then(|()| fs::rename(&beside, path)).map_err(wrong)
    });
    if written.is_err() {
        // What is left of it helps nobody; where it cannot be removed, the error said enough.
        let _ = fs::remove_file(&beside);
    }
    written
}

//! Files that others could change or read: refused before they are believed.

use crate::domain::{Error, Result};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Reads a configuration file that only root and its reader can write.
pub fn read(path: &Path, name: &str) -> Result<String> {
    let (bytes, meta) = open(path, name)?;
    let mode = meta.mode();
    if mode & 0o022 != 0 {
        return Err(Error::usage(format!(
            "{name} can be written by others (mode {:04o}): whoever does, decides what restitch runs",
            mode & 0o7777
        ))
        .at(name)
        .cure(format!("chmod go-w {name}")));
    }
    refuse_strangers(&meta, name, "chmod go-w")?;
    String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        Error::usage(format!("{name} is not UTF-8"))
            .at(format!("{name}:{line}"))
            .cure("save it as UTF-8")
    })
}

/// Reads a file with a secret in it, which nobody else can read: the rule that libpq has for password files.
pub fn read_secret(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    let (bytes, meta) = open(path, &name)?;
    let mode = meta.mode();
    if mode & 0o077 != 0 {
        return Err(Error::usage(format!(
            "{name} holds a secret and is open to others (mode {:04o})",
            mode & 0o7777
        ))
        .at(&name)
        .cure(format!("chmod 0600 {name}")));
    }
    refuse_strangers(&meta, &name, "chmod 0600")?;
    String::from_utf8(bytes).map_err(|_| Error::usage(format!("{name} is not UTF-8")).at(&name))
}

fn open(path: &Path, name: &str) -> Result<(Vec<u8>, Metadata)> {
    let wrong = |e: std::io::Error| {
        Error::usage(format!("cannot read {name}: {e}"))
            .at(name)
            .cure("give the path of a file that you can read")
    };
    let mut file = File::open(path).map_err(wrong)?;
    // Of the open file, not of the path: what is checked is what is read.
    let meta = file.metadata().map_err(wrong)?;
    if !meta.is_file() {
        return Err(wrong(std::io::Error::other("it is not a plain file")));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(wrong)?;
    Ok((bytes, meta))
}

fn refuse_strangers(meta: &Metadata, name: &str, chmod: &str) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() == me || meta.uid() == 0 {
        return Ok(());
    }
    Err(
        Error::usage(format!("{name} belongs to somebody else (user id {})", meta.uid()))
            .at(name)
            .cure(format!(
                "take a copy of your own, read it, then {chmod} it; or chown it to user id {me}"
            )),
    )
}

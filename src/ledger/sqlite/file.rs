//! The ledger's file: private to one person, never somebody else's, never through a link.

use crate::domain::{Error, Result};
use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind as Io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes sure that the file is there and fit to hold order data, and says by which path to open it: links in its folder
/// are resolved, the file itself must be none.
pub(super) fn prepare(path: &Path, readonly: bool) -> Result<PathBuf> {
    let shown = path.display().to_string();
    let name = path
        .file_name()
        .ok_or_else(|| Error::usage("`ledger.url` names no file").at(shown.clone()))?;
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|e| {
        Error::failed(format!("the ledger's folder cannot be used: {e}"))
            .at(folder.display().to_string())
            .cure("make the folder, or set `ledger.url`")
    })?;
    let path = folder.join(name);
    match fs::symlink_metadata(&path) {
        Ok(meta) => check(&meta).map_err(|e| e.at(shown))?,
        Err(e) if e.kind() == Io::NotFound && readonly => {
            return Err(Error::failed("there is no ledger yet")
                .at(shown)
                .cure("run `restitch scan` without --readonly first, or set `ledger.url`"));
        }
        Err(e) if e.kind() == Io::NotFound => create(&path).map_err(|e| {
            Error::failed(format!("the ledger cannot be made: {e}"))
                .at(shown)
                .cure("set `ledger.url` to a file in a folder you may write to")
        })?,
        Err(e) => return Err(Error::failed(format!("the ledger cannot be opened: {e}")).at(shown)),
    }
    Ok(path)
}

fn check(meta: &fs::Metadata) -> Result<()> {
    if meta.is_symlink() {
        return Err(
            Error::failed("the ledger is a symbolic link, which restitch does not follow")
                .cure("name the file itself in `ledger.url`"),
        );
    }
    if !meta.is_file() {
        return Err(Error::failed("the ledger is no plain file").cure("set `ledger.url` to a file"));
    }
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return Err(
            Error::failed(format!("the ledger belongs to user {}, not to you ({me})", meta.uid()))
                .cure("several people share a PostgreSQL ledger, not a file"),
        );
    }
    if meta.mode() & 0o022 != 0 {
        return Err(Error::failed(format!(
            "the ledger can be written by others (mode {:04o})",
            meta.mode() & 0o7777
        ))
        .cure("find out who changed it, then `chmod 600` it"));
    }
    Ok(())
}

fn create(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // Another restitch was quicker, and made it just so.
        Err(e) if e.kind() == Io::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

/// Whether nobody may write beside the file: a read-only file system, or a folder without the right to.
pub(super) fn is_sealed(path: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    path.parent()
        .is_some_and(|folder| accessat(CWD, folder, Access::WRITE_OK, AtFlags::EACCESS).is_err())
}

/// Whether changes wait beside the file that it does not hold yet.
pub(super) fn has_changes_beside(path: &Path) -> bool {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-wal");
    fs::metadata(beside).is_ok_and(|meta| meta.len() > 0)
}

/// Takes the reading rights of others away from a file that somebody copied or made by other means.
pub(super) fn tighten(path: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_file() && meta.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

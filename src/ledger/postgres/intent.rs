//! Decisions that were asked for: each in a file of its own, written and synced before it is sent, gone when it is answered.
//! Whatever crashes meanwhile, the next restitch asks for it again under the same key before it shows anything.

use super::super::{Here, new_key};
use crate::domain::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind as Io, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A decision as it was sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Intent {
    /// Server and database.
    place: String,
    incident: String,
    login: String,
    pub origin: Json,
    pub args: Json,
    #[serde(skip)]
    path: PathBuf,
}

impl Intent {
    /// It is known what became of it.
    pub fn done(self) {
        // One that stays is asked for again, and answered the same.
        let _ = fs::remove_file(&self.path);
    }

    /// The decision, and what became of it.
    pub fn words(&self, became: &str) -> String {
        let word = |name: &str| self.origin["deed"][name].as_str().unwrap_or("?").to_owned();
        format!(
            "{} {}, asked for before the connection was lost, {became}",
            word("verb"),
            word("case")
        )
    }
}

/// The folder in which they lie, private to the user.
pub(super) struct Intents {
    folder: PathBuf,
}

impl Intents {
    /// Opens the folder, and makes it where there is none.
    pub fn open(folder: Option<&Path>) -> Result<Self> {
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => users()?,
        };
        make(&folder)?;
        Ok(Self { folder })
    }

    /// Writes a decision down before it is sent.
    pub fn keep(&self, place: &str, here: &Here, origin: &Json, args: &Json) -> Result<Intent> {
        let folder = &self.folder;
        let key = args["key"].as_str().unwrap_or_default();
        let name: String = key
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        let intent = Intent {
            place: place.to_owned(),
            incident: here.name.clone(),
            login: here.who.user.clone(),
            origin: origin.clone(),
            args: args.clone(),
            path: folder.join(format!("{}.json", name.get(..100).unwrap_or(&name))),
        };
        write(folder, &intent).map_err(|e| {
            Error::failed(format!(
                "the decision cannot be written down before it is sent: {e}; nothing was sent"
            ))
            .at(intent.path.display().to_string())
            .cure("make room, or set XDG_STATE_HOME to a folder that you may write to")
        })?;
        Ok(intent)
    }

    /// The decisions that this person asked for in this ledger and got no answer to, oldest first.
    pub fn left(&self, place: &str, here: &Here) -> Result<Vec<Intent>> {
        let folder = &self.folder;
        let unreadable = |e: std::io::Error| {
            Error::failed(format!("decisions that were not answered cannot be read: {e}"))
                .at(folder.display().to_string())
        };
        let mut left = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let text = match fs::read(&path) {
                Ok(text) => text,
                // Another restitch got its answer just now.
                Err(e) if e.kind() == Io::NotFound => continue,
                Err(e) => return Err(unreadable(e)),
            };
            let mut intent: Intent = serde_json::from_slice(&text).map_err(|e| {
                Error::failed(format!("a decision that was not answered cannot be read: {e}"))
                    .at(path.display().to_string())
                    .cure("was the file edited by hand? look at the case it names, then remove the file")
            })?;
            if intent.place == place && intent.incident == here.name && intent.login == here.who.user {
                intent.path = path;
                left.push(intent);
            }
        }
        left.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(left)
    }
}

fn write(folder: &Path, intent: &Intent) -> std::io::Result<()> {
    let beside = intent.path.with_extension(format!("{}.new", new_key()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&beside)?;
    file.write_all(&serde_json::to_vec(intent)?)?;
    file.sync_all()?;
    fs::rename(&beside, &intent.path)?;
    File::open(folder)?.sync_all()
}

/// The user's folder for them.
fn users() -> Result<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "restitch")
        .ok_or_else(|| Error::failed("there is no home folder to keep decisions in").cure("set HOME"))?;
    let state = dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir());
    Ok(state.join("decisions"))
}

/// Makes the folder, and refuses one that others could write into.
fn make(folder: &Path) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::failed(format!("the folder for decisions cannot be made: {e}"))
            .at(folder.display().to_string())
            .cure("set XDG_STATE_HOME to a folder that you may write to")
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    let meta = fs::symlink_metadata(folder).map_err(failed)?;
    if meta.is_symlink() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
        return Err(Error::failed(
            "the folder for decisions is a link, belongs to somebody else, or can be written by others",
        )
        .at(folder.display().to_string())
        .cure("make it yours alone: chmod 700"));
    }
    Ok(())
}

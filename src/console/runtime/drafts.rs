//! Words that were typed and not sent: kept in a private file, so that a lost link costs nobody their reason.

use super::super::model::Draft;
use crate::config::Config;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

/// The file of this person's drafts in this incident, in the user's state folder; `None` where there is no such folder.
pub fn place(config: &Config, who: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let folder = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let ledger = format!("{:?}", config.ledger.database.url);
    let digest = Sha256::digest(format!("{}\n{ledger}\n{who}", config.incident.id));
    let name = crate::ledger::hex(&digest)[..16].to_owned();
    Some(folder.join("restitch").join(format!("drafts-{name}.json")))
}

/// The drafts of the last time; none where they cannot be read or are not this user's alone.
pub fn read(place: &PathBuf) -> BTreeMap<String, Draft> {
    let me = rustix::process::geteuid().as_raw();
    let fit = fs::symlink_metadata(place).is_ok_and(|m| m.is_file() && m.uid() == me && m.mode().trailing_zeros() >= 6);
    let text = if fit { fs::read_to_string(place).ok() } else { None };
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// Keeps them, mode 0600. Where that fails they are lost with the console: nothing is decided by it.
pub fn keep(place: &PathBuf, drafts: &BTreeMap<String, Draft>) {
    if drafts.is_empty() {
        let _ = fs::remove_file(place);
        return;
    }
    let write = || -> std::io::Result<()> {
        if let Some(folder) = place.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let beside = place.with_extension("new");
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(serde_json::to_string(drafts)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, place)
    };
    let _ = write();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn drafts_come_back_and_are_nobody_elses_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state/restitch/drafts.json");
        assert!(read(&place).is_empty());
        let draft = Draft {
            at: 7,
            text: "billing says \u{1b}[31mno".to_owned(),
        };
        let drafts = BTreeMap::from([("keep order:1".to_owned(), draft)]);
        keep(&place, &drafts);
        keep(&place, &drafts);
        assert_eq!(read(&place), drafts);
        let mode = |p: &std::path::Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(place.parent().unwrap())), (0o600, 0o700));
        fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&place).is_empty(), "others could have written it");
        keep(&place, &BTreeMap::new());
        assert!(!place.exists());
    }
}

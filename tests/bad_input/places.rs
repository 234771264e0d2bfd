//! A ledger that cannot be written: full disk, read-only file system, somebody else's file.

use crate::night::Night;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, gone with the value.
struct Mounted(PathBuf);

impl Mounted {
    /// A tmpfs of this many kilobytes; `None`, said aloud, where this user may not mount.
    fn new(at: &Path, kilobytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={kilobytes}k,mode=0700");
        let made = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "restitch-test"])
            .arg(at)
            .output();
        match made {
            Ok(out) if out.status.success() => Some(Self(at.to_owned())),
            other => {
                eprintln!("SKIPPED: no tmpfs may be mounted here: {other:?}");
                None
            }
        }
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(&self.0)
            .status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_the_deed_and_keeps_what_was_there() {
    let night = Night::new();
    let Some(disk) = Mounted::new(&night.path("disk"), 700) else {
        return;
    };
    let ledger = format!("sqlite:{}", night.path("disk/restitch.db").display());
    let run = |args: &[&str]| night.run(&[&["--ledger", &ledger], args].concat());
    run(&["scan"]).ended(3);
    run(&["claim", "order:2"]).ended(0);
    let before = run(&["cases", "--json"]).out;
    let filler = disk.0.join("filler");
    // What `dd` says when the disk is full is of no interest.
    Command::new("dd")
        .args(["if=/dev/zero", "bs=1k"])
        .arg(format!("of={}", filler.display()))
        .output()
        .unwrap();
    let mut refused = 0;
    for n in 0..50 {
        let ran = run(&["note", "order:2", &format!("{n} {}", "x".repeat(4_000))]);
        if ran.code != 0 {
            ran.ended(1).says(&["disk is full", "restitch.db", "do:"]);
            refused += 1;
        }
    }
    assert!(refused > 0, "the disk never filled");
    run(&["scan"]).ended(1).says(&["disk is full"]);
    fs::remove_file(filler).unwrap();
    assert_eq!(run(&["cases", "--json"]).ended(0).out, before);
    run(&["audit", "verify"]).ended(0);
    let shown = run(&["show", "order:2", "--json"]).json();
    assert_eq!(shown["notes"].as_array().unwrap().len(), 50 - refused);
    run(&["note", "order:2", "there is room again"]).ended(0);
    run(&["scan"]).ended(3);
}

#[test]
fn a_read_only_file_system_lets_look_and_refuses_deeds() {
    let night = Night::new();
    let Some(disk) = Mounted::new(&night.path("disk"), 4_000) else {
        return;
    };
    let ledger = format!("sqlite:{}", night.path("disk/restitch.db").display());
    let run = |args: &[&str]| night.run(&[&["--ledger", &ledger], args].concat());
    run(&["scan"]).ended(3);
    let before = run(&["cases", "--json"]).ended(0).out;
    disk.remount("ro");
    for deed in [&["claim", "order:2"][..], &["note", "order:2", "x"], &["scan"]] {
        run(deed).ended(1).says(&["restitch.db", "read-only", "do:"]);
    }
    assert_eq!(run(&["cases", "--json"]).ended(0).out, before);
    run(&["show", "order:2"]).ended(0);
    run(&["audit", "verify"]).ended(0);
    disk.remount("rw");
    run(&["claim", "order:2"]).ended(0);
}

#[test]
fn a_ledger_that_is_no_file_of_ones_own_is_refused() {
    let night = Night::scanned();
    let run = |ledger: &str| night.run(&["cases", "--ledger", &format!("sqlite:{ledger}")]);
    symlink(night.path("restitch.db"), night.path("link.db")).unwrap();
    run("link.db").ended(1).says(&["symbolic link", "link.db"]);
    fs::create_dir(night.path("folder.db")).unwrap();
    run("folder.db").ended(1).says(&["no plain file", "folder.db"]);
    run("nowhere/restitch.db").ended(1).says(&["folder", "nowhere", "do:"]);
    night.write(
        "text.db",
        "this is no ledger, it is a text of more than a hundred bytes. ".repeat(4),
    );
    fs::set_permissions(night.path("text.db"), fs::Permissions::from_mode(0o600)).unwrap();
    run("text.db").ended(1).says(&["no ledger", "text.db"]);
    fs::copy(night.path("restitch.db"), night.path("open.db")).unwrap();
    fs::set_permissions(night.path("open.db"), fs::Permissions::from_mode(0o666)).unwrap();
    run("open.db").ended(1).says(&["written by others", "chmod 600"]);
    // A ledger that others may read is taken from them.
    fs::set_permissions(night.path("restitch.db"), fs::Permissions::from_mode(0o644)).unwrap();
    night.run(&["note", "order:2", "mine alone"]).ended(0);
    let mode = fs::metadata(night.path("restitch.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if chown(night.path("restitch.db"), Some(65_534), None).is_ok() {
        run("restitch.db")
            .ended(1)
            .says(&["belongs to user 65534", "PostgreSQL ledger"]);
    } else {
        eprintln!("SKIPPED: a file of somebody else's can only be made as root");
    }
}

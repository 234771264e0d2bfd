//! The ledger's file: whose it is, who may read it, what is wrong with it.

use super::openings::{baseline, opening, store_with};
use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn why(room: &Room) -> String {
    room.try_open("ana", false).unwrap_err().to_string()
}

#[test]
fn the_file_is_private() {
    let room = Room::new();
    drop(room.open("ana"));
    assert_eq!(fs::metadata(room.path()).unwrap().mode() & 0o777, 0o600);
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o644)).unwrap();
    drop(room.open("ana"));
    assert_eq!(fs::metadata(room.path()).unwrap().mode() & 0o777, 0o600);
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(room.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(why(&room).contains("can be written by others"), "{mode:o}");
    }
}

#[test]
fn links_and_folders_are_refused() {
    let room = Room::new();
    let elsewhere = room.folder.path().join("elsewhere.db");
    fs::write(&elsewhere, "").unwrap();
    symlink(&elsewhere, room.path()).unwrap();
    assert!(why(&room).contains("symbolic link"));
    assert_eq!(fs::read(&elsewhere).unwrap(), b"", "what it points at stays as it is");
    fs::remove_file(room.path()).unwrap();
    fs::create_dir(room.path()).unwrap();
    assert!(why(&room).contains("no plain file"));
}

#[test]
fn a_linked_folder_is_no_obstacle() {
    let mut room = Room::new();
    let real = room.folder.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, room.folder.path().join("link")).unwrap();
    room.config.ledger.database.url = DbUrl::Sqlite(room.folder.path().join("link/restitch.db"));
    drop(room.open("ana"));
    assert!(real.join("restitch.db").exists());
}

#[test]
fn the_file_of_somebody_else_is_refused() {
    let room = Room::new();
    drop(room.open("ana"));
    if std::os::unix::fs::chown(room.path(), Some(65_534), None).is_err() {
        // Only root can give files away; without it nothing here can belong to somebody else.
        assert!(!rustix::process::geteuid().is_root());
        return;
    }
    assert!(why(&room).contains("belongs to user 65534"));
}

#[test]
fn a_newer_ledger_names_both_versions_and_the_cure() {
    let room = Room::new();
    drop(room.open("ana"));
    room.sql("PRAGMA user_version = 99");
    let why = why(&room);
    assert!(
        why.contains("version 99") && why.contains("up to 3") && why.contains("newer restitch"),
        "{why}"
    );
}

#[test]
fn files_of_others_programs_are_left_alone() {
    let room = Room::new();
    room.sql("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    assert!(why(&room).contains("another program"));
    fs::write(
        room.path(),
        "Dear diary, this is not a database at all, only text of some length. ".repeat(99),
    )
    .unwrap();
    assert!(why(&room).contains("no ledger"));
}

#[test]
fn a_folder_that_is_not_there_or_not_writable_says_so() {
    let mut room = Room::new();
    room.config.ledger.database.url = DbUrl::Sqlite(room.folder.path().join("none/restitch.db"));
    assert!(why(&room).contains("make the folder"));
    // A file system that nobody can write to, root neither.
    room.config.ledger.database.url = DbUrl::Sqlite(PathBuf::from("/proc/restitch.db"));
    assert!(why(&room).contains("cannot be made"));
}

#[test]
fn readonly_looks_and_writes_nothing() {
    let room = Room::new();
    let none = room.try_open("ana", true).unwrap_err();
    assert!(none.what.contains("no ledger yet") && !room.path().exists());
    let mut ledger = room.open("ana");
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    let lines = trail(&ledger).len();
    let mut looking = room.try_open("ana", true).unwrap();
    assert_eq!(labels(&looking), ["SFO-1"]);
    let id = ["order:1".to_owned()];
    refused(looking.claim(&id, MINUTE));
    refused(looking.decide(&asking("order:1", Verb::Keep)));
    refused(looking.note("order:1", "hm"));
    refused(looking.drop_claims(&id));
    refused(looking.done("order:1", "done"));
    refused(looking.undo("order:1", "why not"));
    refused(looking.prove("order:1", Some(true), "read"));
    refused(looking.store_scan(&mut std::iter::empty(), &[], &json!({}), None, &Progress::default()));
    assert_eq!(trail(&ledger).len(), lines);
}

#[test]
fn the_revision_moves_with_every_change_of_anyone() {
    let room = Room::new();
    let mut one = room.open("ana");
    let mut two = room.open("li");
    let mut seen = vec![one.revision().unwrap()];
    assert_eq!(one.revision().unwrap(), seen[0]);
    store(&mut one, vec![order("1", &[Kind::Lost])]);
    seen.push(one.revision().unwrap());
    two.note("order:1", "hm").unwrap();
    seen.push(one.revision().unwrap());
    claim(&mut two, &["order:1"]);
    seen.push(one.revision().unwrap());
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), all);
    assert_eq!(one.revision().unwrap(), one.revision().unwrap());
}

#[test]
fn a_row_takes_no_more_than_sixteen_bytes() {
    let room = Room::new();
    let mut ledger = room.open("ana");
    let size = || std::fs::metadata(room.path()).unwrap().len();
    let before = size();
    store_with(&mut ledger, vec![], &opening(T0, vec![baseline("order", 0..200_000)]));
    drop(ledger);
    let rows = (size() - before) / 200_000;
    assert!(rows <= 16, "{rows} bytes a row");
}

#[test]
fn a_ledger_of_version_1_is_brought_up_to_date() {
    let room = Room::new();
    room.sql(include_str!("../schema.sql"));
    room.sql(
        "INSERT INTO incidents VALUES (1, '2026-11-22-prod');
         INSERT INTO cases (incident, id, place, state, kinds, label, action, show, waits, digest)
         VALUES (1, 'order:1', x'00', 'open', 1, 'SFO-1', 'New', '[]', 0, x'00');
         INSERT INTO found VALUES (1, x'00');
         PRAGMA user_version = 1",
    );
    let looking = room.try_open("ana", true).unwrap_err().to_string();
    assert!(
        looking.contains("version 1") && looking.contains("without --readonly"),
        "{looking}"
    );
    let mut ledger = room.open("ana");
    assert_eq!(labels(&ledger), ["SFO-1"]);
    store_with(&mut ledger, vec![order("1", &[Kind::Lost])], &opening(T0, vec![]));
    assert!(ledger.past().unwrap().opening.is_some());
    ledger.verify().unwrap();
}

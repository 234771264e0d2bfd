//! The gate on the two servers: the restored one passes, the old one does not, whatever tells of it.

use crate::capture::Event;
use crate::formats::{self, Format};
use crate::world::{DB, World, restitch};
use serde_json::Value;
use std::path::Path;

/// A folder with the whole log, and this database as the restored one.
fn folder(world: &World, events: &[Event], url: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log = Format::Wal2json.log(events, &world.wal2json);
    log.write(&folder.path().join("log"));
    let logs = formats::events(Format::Wal2json);
    let config = formats::config(&logs, url, &world.restored_to);
    std::fs::write(folder.path().join("restitch.toml"), format!("{config}\n{more}")).unwrap();
    folder
}

/// Exit code and the gate as JSON.
fn gate(folder: &Path) -> (Option<i32>, Value) {
    let out = restitch(folder).args(["gate", "--json"]).output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    let gate = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {errors}"));
    (out.status.code(), gate)
}

#[track_caller]
fn light<'g>(gate: &'g Value, check: &str) -> &'g str {
    let found = gate["checks"].as_array().unwrap().iter().find(|c| c["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {gate:#}"))["light"]
        .as_str()
        .unwrap()
}

pub fn tells_the_servers_apart(world: &World, events: &[Event]) {
    let (back, live) = (world.back.url(DB), world.live.url(DB));
    let right = folder(
        world,
        events,
        &back,
        "[gate]\nchecks = [{ name = \"orders\", sql = \"select count(*) > 0 from om.orders\" }]",
    );
    let (code, found) = gate(right.path());
    assert_eq!(code, Some(0), "{found:#}");
    assert_eq!(found["light"], "green");
    for check in ["timeline", "recovery", "point", "rows", "site: orders"] {
        assert_eq!(light(&found, check), "green", "{check}: {found:#}");
    }
    assert_eq!(
        light(&found, "address"),
        "cannot_tell",
        "no old instance is named: {found:#}"
    );

    let old = formats::instance(&live);
    let compared = folder(world, events, &back, &old);
    let (_, found) = gate(compared.path());
    assert_eq!(light(&found, "address"), "green", "{found:#}");
    assert_eq!(light(&found, "timeline"), "green", "{found:#}");
    assert_ne!(found["light"], "red", "{found:#}");
    let same = folder(world, events, &live, &old);
    let (code, found) = gate(same.path());
    assert_eq!((code, light(&found, "address")), (Some(3), "red"), "{found:#}");

    let wrong = folder(world, events, &live, "");
    let (code, found) = gate(wrong.path());
    assert_eq!(code, Some(3), "{found:#}");
    assert_eq!(found["light"], "red");
    assert_eq!(light(&found, "rows"), "red", "{found:#}");
    assert_eq!(light(&found, "timeline"), "cannot_tell", "{found:#}");
    let scan = restitch(wrong.path()).args(["scan"]).output().unwrap();
    let errors = String::from_utf8_lossy(&scan.stderr);
    assert_eq!(scan.status.code(), Some(4), "{errors}");
    assert!(errors.contains("the gate is red: rows:"), "{errors}");
    let despite = ["scan", "--json", "--despite-gate", "the lead wants to see it"];
    let scan = restitch(wrong.path()).args(despite).output().unwrap();
    assert!(
        matches!(scan.status.code(), Some(0 | 3)),
        "{}",
        String::from_utf8_lossy(&scan.stderr)
    );
    let trail = restitch(wrong.path())
        .args(["audit", "list", "--json"])
        .output()
        .unwrap();
    let trail = String::from_utf8(trail.stdout).unwrap();
    assert!(trail.contains("the lead wants to see it"), "{trail}");
}

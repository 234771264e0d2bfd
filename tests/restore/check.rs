//! `restore check` and `restore command`.

use crate::Site;
use crate::peer::{Cluster, Instance, KEY};
use serde_json::Value as Json;
use std::process::Command;

#[track_caller]
fn line<'j>(found: &'j Json, check: &str) -> (&'j str, &'j str) {
    let lines = found["checks"].as_array().unwrap();
    let line = lines.iter().find(|l| l["check"] == check);
    let line = line.unwrap_or_else(|| panic!("no {check} in {found:#}"));
    (line["mark"].as_str().unwrap(), line["what"].as_str().unwrap())
}

impl Site {
    #[track_caller]
    fn check(&self, code: i32) -> Json {
        self.run(&["restore", "check", "--json"]).ended(code).json()
    }
}

#[test]
fn a_restore_that_may_work_is_green_and_kept() {
    let site = Site::new();
    site.configure(&format!("[aws.expects]\nencrypted = true\nkms_key = \"{KEY}\"\n"), "");
    let found = site.check(0);
    for check in [
        "identity",
        "permissions",
        "source",
        "window",
        "retention",
        "encryption",
        "storage key",
        "target",
        "settings",
    ] {
        assert_eq!(line(&found, check).0, "good", "{check}: {found:#}");
    }
    let (_, permissions) = line(&found, "permissions");
    assert!(
        permissions.contains("arn:aws:iam::111122223333:role/teams/triage has all 7"),
        "of a session the role is asked for, with its path: {permissions}"
    );
    let (_, tail) = line(&found, "blind tail");
    assert!(tail.contains("2026-11-22T14:27:30Z to 2026-11-22T14:31:00Z"), "{tail}");
    let (_, key) = line(&found, "storage key");
    assert!(
        key.contains("for its whole life; not the key of personal data"),
        "{key}"
    );
    assert!(line(&found, "policies").1.contains("db-OLD"));
    for line in found["checks"].as_array().unwrap() {
        assert!(!line["evidence"].as_str().unwrap().is_empty(), "{line}");
        assert!(line["mark"] == "good" || line["cure"].is_string(), "{line}");
    }
    let printed = site.run(&["restore", "check"]).ended(0);
    assert!(
        printed.out.ends_with("notes\n") && printed.out.contains("green        identity: "),
        "{}",
        printed.out
    );
    // To look changes nothing, and needs no ledger.
    std::fs::remove_file(site.night.path("restitch.db")).unwrap();
    site.run(&["restore", "check", "--readonly"]).ended(0);
    assert!(!site.night.path("restitch.db").exists());
}

#[test]
fn each_refusal_of_encryption_has_its_own_words() {
    let site = Site::new();
    let other = KEY.replace("1234abcd", "9999abcd");
    for (encrypted, expects, begins) in [
        ("true", format!("kms_key = \"{other}\""), "KEY CHANGED: "),
        ("true", "encrypted = false".to_owned(), "ENCRYPTED TO PLAIN: "),
        ("false", "encrypted = true".to_owned(), "PLAIN TO ENCRYPTED: "),
        ("false", format!("kms_key = \"{KEY}\""), "PLAIN TO ENCRYPTED: "),
    ] {
        site.configure(&format!("[aws.expects]\n{expects}"), "");
        site.peer.world().instances[0]
            .more
            .insert("StorageEncrypted", encrypted.to_owned());
        let found = site.check(3);
        let (mark, what) = line(&found, "encryption");
        assert_eq!(mark, "bad");
        assert!(what.starts_with(begins), "{what}");
    }
    // The restore of a cluster can take another key, and its command carries it.
    let mut world = site.peer.world();
    world.instances.clear();
    world.clusters.push(Cluster::new("om-prod", "cluster-OLD", "available"));
    drop(world);
    site.configure(&format!("[aws.expects]\nkms_key = \"{other}\""), "");
    let found = site.check(0);
    assert!(line(&found, "encryption").1.starts_with("KEY CHANGED: "));
    let command = site.run(&["restore", "command"]).ended(0).out;
    assert!(command.contains(&format!("--kms-key-id {other}")), "{command}");
}

#[test]
fn the_window_its_ends_and_backups_that_are_off_decide() {
    let site = Site::new();
    let with_t = |t: &str| {
        let usual = std::fs::read_to_string(site.night.path("restitch.toml")).unwrap();
        site.night
            .write("restitch.toml", usual.replace("2026-11-22T15:05:00+01:00", t));
        let found = site.check(3);
        site.configure("", "");
        let (mark, what) = line(&found, "window");
        assert_eq!(mark, "bad");
        what.to_owned()
    };
    assert!(with_t("2026-11-22T14:30:00Z").contains("lies 2m after the latest restorable time"));
    assert!(with_t("2026-11-14T00:00:00Z").contains("before the earliest restorable time"));
    let mut world = site.peer.world();
    world.instances[0].more.insert("BackupRetentionPeriod", "0".to_owned());
    world.instances[0].more.remove("LatestRestorableTime");
    world.windows.clear();
    drop(world);
    let found = site.check(3);
    assert!(line(&found, "retention").1.contains("PointInTimeRestoreNotEnabled"));
    assert_eq!(line(&found, "window").0, "bad");
}

#[test]
fn a_missing_permission_is_named_for_whoever_runs_the_restore() {
    let site = Site::new();
    site.configure("restorer = \"arn:aws:iam::111122223333:user/sam\"", "");
    site.peer.world().denied = vec!["rds:RestoreDBInstanceToPointInTime", "kms:CreateGrant"];
    let found = site.check(3);
    let (mark, what) = line(&found, "permissions");
    assert_eq!(mark, "bad");
    for word in [
        "user/sam may not",
        "rds:RestoreDBInstanceToPointInTime on arn:aws:rds",
        "kms:CreateGrant on arn:aws:kms",
    ] {
        assert!(what.contains(word), "{what}");
    }
    // Our own missing permission is ours, not the restorer's, and proves nothing against the restore.
    let mut world = site.peer.world();
    let message =
        "User: arn:aws:sts::1:assumed-role/triage/ana is not authorized to perform: iam:SimulatePrincipalPolicy";
    world.fail("iam:SimulatePrincipalPolicy", "AccessDenied", 403, message, None);
    drop(world);
    let found = site.check(3);
    let (mark, what) = line(&found, "permissions");
    assert_eq!(mark, "cannot_tell");
    assert!(
        what.contains("permission iam:SimulatePrincipalPolicy is missing"),
        "{what}"
    );
    assert!(site.peer.world().landed["AccessDenied"] > 0);
}

#[test]
fn who_is_nobody_and_whose_session_is_over_are_told_apart() {
    let site = Site::new();
    let expired = "The security token included in the request is expired";
    site.peer
        .world()
        .fail("sts:GetCallerIdentity", "ExpiredToken", 403, expired, None);
    let found = site.check(3);
    let (mark, what) = line(&found, "identity");
    assert_eq!(
        (mark, what.starts_with("the AWS session has expired")),
        ("bad", true),
        "{what}"
    );
    site.peer.world().heal("sts:GetCallerIdentity");
    let mut nobody = site.command(&["restore", "check", "--json"]);
    nobody
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let found = crate::night::Night::finish(nobody.output().unwrap()).ended(3);
    let (mark, what) = line(&found.json(), "identity").to_owned_pair();
    assert_eq!(
        (mark.as_str(), what.starts_with("AWS does not know who asks")),
        ("bad", true),
        "{what}"
    );
    assert!(!found.out.contains("this-is-secret") && !found.err.contains("this-is-secret"));
}

trait Owned {
    fn to_owned_pair(self) -> (String, String);
}

impl Owned for (&str, &str) {
    fn to_owned_pair(self) -> (String, String) {
        (self.0.to_owned(), self.1.to_owned())
    }
}

#[test]
fn the_target_must_be_free_and_keys_usable() {
    let site = Site::new();
    site.peer
        .world()
        .instances
        .push(Instance::new("om-prod-restored", "db-OTHER", "available"));
    let found = site.check(3);
    let (mark, what) = line(&found, "target");
    assert_eq!(mark, "bad");
    assert!(what.contains("taken by db-OTHER"), "{what}");
    site.peer.world().instances.pop();
    site.peer
        .world()
        .keys
        .insert(KEY.to_owned(), "PendingDeletion".to_owned());
    let found = site.check(3);
    let (mark, what) = line(&found, "storage key");
    assert_eq!(mark, "bad");
    assert!(what.contains("inaccessible-encryption-credentials"), "{what}");
    site.peer.world().keys.clear();
    site.configure("[aws.pii]\nkms_key = \"alias/om-pii\"", "");
    let found = site.check(0);
    assert!(
        line(&found, "PII key").1.contains("another key than the storage's"),
        "{found:#}"
    );
}

#[test]
fn the_hold_is_held_against_past_restores() {
    let site = Site::new();
    let hold = "[hold]\nsource = \"kafka\"\nbrokers = [\"b-1.example:9098\"]\ntopic = \"om.orders.held\"\n";
    site.configure("", hold);
    let found = site.check(0);
    let (mark, what) = line(&found, "hold");
    assert_eq!(mark, "note");
    assert!(what.contains("how long one takes is not known"), "{what}");
    let now = jiff::Timestamp::now();
    let minutes = |n: i64| {
        (now - jiff::SignedDuration::from_mins(n))
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    };
    let event = |at: i64, message: &str| {
        (
            "drill".to_owned(),
            minutes(at),
            "restoration".to_owned(),
            message.to_owned(),
        )
    };
    site.peer.world().events = vec![
        event(100, "DB instance created"),
        event(60, "Restored from DB instance om-prod to drill."),
    ];
    let found = site.check(3);
    let (mark, what) = line(&found, "hold");
    assert_eq!(mark, "bad");
    assert!(
        what.contains("at least 40 min in 1 past restore: the restore alone outlasts the hold"),
        "{what}"
    );
    let cure = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["check"] == "hold")
        .unwrap()["cure"]
        .clone();
    assert!(
        cure.as_str()
            .unwrap()
            .contains("--entity-name om.orders.held --add-config retention.ms=86400000")
    );
}

#[test]
fn a_throttled_or_silent_aws_decides_nothing() {
    let site = Site::new();
    site.peer
        .world()
        .fail("rds:DescribeDBInstances", "Throttling", 400, "Rate exceeded", None);
    let found = site.check(3);
    assert_eq!(line(&found, "source").0, "cannot_tell");
    assert!(
        line(&found, "source")
            .1
            .starts_with("AWS throttles rds:DescribeDBInstances")
    );
    assert!(site.peer.world().landed["Throttling"] >= 3, "the SDK tries again");
    let mut world = site.peer.world();
    world.heal("rds:DescribeDBInstances");
    world.fail("rds:DescribeDBInstances", "cut", 200, "", None);
    drop(world);
    let found = site.check(3);
    assert!(line(&found, "source").1.starts_with("AWS does not answer"), "{found:#}");
}

/// What a shell makes of a printed command.
fn words(line: &str) -> Vec<String> {
    let script = format!("aws() {{ printf '%s\\n' \"$@\"; }}; {line}");
    let ran = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    assert!(ran.status.success());
    String::from_utf8(ran.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_command_carries_what_the_restore_would_lose() {
    let site = Site::new();
    site.peer.world().instances[0]
        .more
        .insert("StorageType", "it's $HOME".to_owned());
    let printed = site.run(&["restore", "command"]).ended(0).out;
    let mut lines = printed.lines();
    let words = words(lines.next().unwrap());
    assert_eq!(&words[..2], ["rds", "restore-db-instance-to-point-in-time"]);
    let after = |flag: &str| words.iter().position(|w| w == flag).map(|at| words[at + 1].as_str());
    assert_eq!(after("--source-db-instance-identifier"), Some("om-prod"));
    assert_eq!(after("--target-db-instance-identifier"), Some("om-prod-restored"));
    assert_eq!(after("--restore-time"), Some("2026-11-22T14:05:00Z"));
    assert_eq!(after("--db-parameter-group-name"), Some("om-pg15"));
    assert_eq!(after("--db-subnet-group-name"), Some("om-private"));
    assert_eq!(after("--storage-type"), Some("it's $HOME"));
    let groups = words.iter().position(|w| w == "--vpc-security-group-ids").unwrap();
    assert_eq!(&words[groups + 1..=groups + 2], ["sg-1", "sg-2"]);
    for switch in [
        "--multi-az",
        "--no-publicly-accessible",
        "--enable-iam-database-authentication",
        "--deletion-protection",
    ] {
        assert!(words.contains(&switch.to_owned()), "{switch}: {words:?}");
    }
    // The rest is behind a #: run as it stands, the output makes one call.
    assert!(lines.all(|line| line.starts_with("# ")));
    assert!(
        printed.contains("# aws rds modify-db-instance --db-instance-identifier om-prod-restored"),
        "{printed}"
    );
    site.peer.world().instances[0]
        .more
        .insert("StorageType", "a\u{202e}b".to_owned());
    site.run(&["restore", "command"])
        .ended(1)
        .says(&["cannot stand in a command line"]);
}

#[test]
fn a_cluster_and_a_backup_without_its_instance_have_their_own_commands() {
    let site = Site::new();
    {
        let mut world = site.peer.world();
        world.instances.clear();
        world.clusters.push(Cluster::new("om-prod", "cluster-OLD", "available"));
        for (name, resource) in [("om-prod-a", "db-A"), ("om-prod-b", "db-B")] {
            let mut member = Instance::new(name, resource, "available");
            member.cluster = Some("om-prod".to_owned());
            world.instances.push(member);
        }
    }
    let printed = site.run(&["restore", "command"]).ended(0).out;
    let all: Vec<&str> = printed.lines().collect();
    let restore = words(all[0]);
    assert_eq!(restore[1], "restore-db-cluster-to-point-in-time");
    assert!(restore.join(" ").contains("--restore-type full-copy"));
    assert!(!restore.contains(&"--kms-key-id".to_owned()));
    let made = all
        .iter()
        .filter(|l| l.starts_with("# aws rds create-db-instance"))
        .count();
    assert_eq!(made, 2, "{printed}");
    assert!(line(&site.check(0), "instances").1.contains("without an instance"));
    {
        let mut world = site.peer.world();
        world.instances.clear();
        world.clusters.clear();
        world.kept.push(("om-prod".to_owned(), "db-OLD".to_owned()));
    }
    let ran = site.run(&["restore", "command"]).ended(0).says(&["the source is gone"]);
    assert!(ran.out.contains("--source-dbi-resource-id db-OLD"), "{}", ran.out);
    assert!(
        line(&site.check(0), "source")
            .1
            .contains("its automated backups are kept")
    );
}

/// A Multi-AZ DB cluster: its engine is PostgreSQL's own, its class is the cluster's, and AWS makes its three instances.
#[test]
fn a_multi_az_cluster_is_restored_with_its_class_and_its_instances() {
    let site = Site::new();
    {
        let mut world = site.peer.world();
        world.instances.clear();
        let mut cluster = Cluster::new("om-prod", "cluster-OLD", "available");
        for (member, value) in [
            ("Engine", "postgres"),
            ("EngineVersion", "15.8"),
            ("DBClusterInstanceClass", "db.m6gd.large"),
            ("StorageType", "io1"),
            ("Iops", "3000"),
            ("MultiAZ", "true"),
        ] {
            cluster.more.insert(member, value.to_owned());
        }
        world.clusters.push(cluster);
        for (name, resource) in [("om-prod-1", "db-A"), ("om-prod-2", "db-B"), ("om-prod-3", "db-C")] {
            let mut member = Instance::new(name, resource, "available");
            member.cluster = Some("om-prod".to_owned());
            world.instances.push(member);
        }
    }
    let printed = site.run(&["restore", "command"]).ended(0).out;
    let restore = words(printed.lines().next().unwrap()).join(" ");
    for wanted in [
        "restore-db-cluster-to-point-in-time --source-db-cluster-identifier om-prod",
        "--db-cluster-instance-class db.m6gd.large",
        "--storage-type io1",
        "--iops 3000",
    ] {
        assert!(restore.contains(wanted), "{wanted} is not in {restore}");
    }
    assert!(!printed.contains("create-db-instance"), "AWS makes them: {printed}");
    let found = site.check(0);
    let checks = found["checks"].as_array().unwrap();
    assert!(checks.iter().all(|c| c["check"] != "instances"), "{found}");
    assert!(line(&found, "window").1.contains("2026-11-22"), "{found}");
}

#[test]
fn what_is_not_configured_is_said_before_anything_is_asked() {
    let site = Site::new();
    site.configure("", "");
    let usual = std::fs::read_to_string(site.night.path("restitch.toml")).unwrap();
    site.night
        .write("restitch.toml", usual.replace("target = \"om-prod-restored\"\n", ""));
    site.run(&["restore", "command"])
        .ended(2)
        .says(&["aws.target is not configured"]);
    site.night
        .write("restitch.toml", usual.replace("om-prod-restored", "om--prod"));
    site.run(&["restore", "check"])
        .ended(2)
        .says(&["aws.target", "AWS would refuse"]);
    assert_eq!(site.peer.world().calls.len(), 0);
}

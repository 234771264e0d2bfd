//! Against moto, which others wrote, and with AWS's own command line: the printed commands are what it takes.

use crate::Site;
use crate::night::Night;
use crate::peer::{Cluster, Instance};
use crate::support::free_port;
use serde_json::Value as Json;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A running moto, one a test: what one restores there would be taken for another's. A watcher stops it when this
/// process ends.
struct Moto {
    url: String,
    bin: PathBuf,
    _watcher: Child,
}

/// Where `tests/run` puts it.
fn bin() -> PathBuf {
    if let Some(bin) = std::env::var_os("MOTO_BIN") {
        return PathBuf::from(bin);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"),
        PathBuf::from,
    );
    let bin = cache.join("restitch-tests/moto-5.2.5/bin");
    assert!(
        bin.join("moto_server").exists(),
        "moto is not installed: tests/run does it, or MOTO_BIN names the folder of its programs"
    );
    bin
}

impl Moto {
    #[allow(
        clippy::zombie_processes,
        reason = "the watcher ends with this process, and waits for what it started"
    )]
    fn start() -> Self {
        let bin = bin();
        for _ in 0..5 {
            let port = free_port();
            let script = r#"
                "$1" -H 127.0.0.1 -p "$2" >/dev/null 2>&1 &
                cat >/dev/null
                kill $!
                wait
            "#;
            let watcher = Command::new("/bin/sh")
                .args(["-c", script, "sh"])
                .arg(bin.join("moto_server"))
                .arg(port.to_string())
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let end = Instant::now() + Duration::from_mins(1);
            while Instant::now() < end {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    let url = format!("http://127.0.0.1:{port}");
                    return Self {
                        url,
                        bin,
                        _watcher: watcher,
                    };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("moto does not start");
    }

    /// Runs a line of shell in which `aws` is AWS's command line, pointed at moto.
    fn shell(&self, line: &str) -> Output {
        let path = format!("{}:{}", self.bin.display(), std::env::var("PATH").unwrap());
        Command::new("/bin/sh")
            .args(["-c", line])
            .env("PATH", path)
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "this-is-secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", "/nonexistent")
            .output()
            .unwrap()
    }

    #[track_caller]
    fn aws(&self, arguments: &str) -> Json {
        let ran = self.shell(&format!("aws {arguments} --region eu-central-1 --output json"));
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice(&ran.stdout).unwrap_or(Json::Null)
    }
}

fn restored(found: &Json) -> &Json {
    &found["DBInstances"][0]
}

#[test]
fn the_printed_command_restores_what_it_says_and_the_watch_sees_it() {
    let moto = Moto::start();
    let key = moto.aws("kms create-key");
    let key = key["KeyMetadata"]["Arn"].as_str().unwrap();
    moto.aws(&format!(
        "rds create-db-instance --kms-key-id {key} --db-instance-identifier om-prod --engine postgres --db-instance-class db.r6g.large \
         --allocated-storage 100 --master-username om --master-user-password not-a-secret-1 --storage-encrypted \
         --backup-retention-period 7 --multi-az --enable-iam-database-authentication --deletion-protection \
         --enable-cloudwatch-logs-exports postgresql upgrade",
    ));
    let site = Site::new();
    let config = std::fs::read_to_string(site.night.path("restitch.toml")).unwrap();
    site.night
        .write("restitch.toml", config.replace(&site.peer.url, &moto.url));
    // moto does not simulate policies: that line cannot tell, all others can.
    let found = site.run(&["restore", "check", "--json"]).ended(3).json();
    let marks = |mark: &str| -> Vec<&str> {
        let lines = found["checks"].as_array().unwrap().iter();
        let lines = lines.filter(|l| l["mark"] == mark);
        lines.map(|l| l["check"].as_str().unwrap()).collect()
    };
    assert_eq!(marks("cannot_tell"), ["permissions"], "{found:#}");
    assert!(marks("bad").is_empty(), "{found:#}");
    for check in ["identity", "source", "window", "retention", "target"] {
        assert!(marks("good").contains(&check), "{check}: {found:#}");
    }
    let printed = site.run(&["restore", "command"]).ended(0).out;
    let ran = moto.shell(&printed);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let made = moto.aws("rds describe-db-instances --db-instance-identifier om-prod-restored");
    let source = moto.aws("rds describe-db-instances --db-instance-identifier om-prod");
    for member in [
        "DBInstanceClass",
        "MultiAZ",
        "StorageEncrypted",
        "KmsKeyId",
        "EnabledCloudwatchLogsExports",
        "DeletionProtection",
    ] {
        assert_eq!(
            restored(&made)[member],
            restored(&source)[member],
            "{member}: {printed}"
        );
    }
    let ran = site.run(&["restore", "watch", "--json"]).ended(0);
    assert!(ran.out.contains("om-prod-restored answers"), "{}", ran.out);
    let found = site.run(&["restore", "check", "--json"]).ended(3).json();
    let target = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["check"] == "target")
        .unwrap();
    assert!(
        target["what"]
            .as_str()
            .unwrap()
            .contains("om-prod-restored is taken by"),
        "{target}"
    );
    assert!(site.peer.world().calls.is_empty());
}

#[test]
fn aws_knows_every_argument_of_every_printed_line() {
    let moto = Moto::start();
    let site = Site::new();
    {
        let mut world = site.peer.world();
        let source = &mut world.instances[0];
        for (member, value) in [
            ("Iops", "3000"),
            ("StorageThroughput", "125"),
            ("MaxAllocatedStorage", "1000"),
            ("CACertificateIdentifier", "rds-ca-rsa2048-g1"),
            ("NetworkType", "IPV4"),
            ("CopyTagsToSnapshot", "true"),
            ("AutoMinorVersionUpgrade", "true"),
            ("DedicatedLogVolume", "true"),
            ("MonitoringInterval", "60"),
            ("MonitoringRoleArn", "arn:aws:iam::111122223333:role/monitor"),
            ("PerformanceInsightsEnabled", "true"),
        ] {
            source.more.insert(member, value.to_owned());
        }
    }
    let mut lines: Vec<String> = Vec::new();
    let mut take = || {
        let printed = site.run(&["restore", "command"]).ended(0).out;
        let of = |l: &str| l.trim_start_matches("# ").to_owned();
        lines.extend(printed.lines().filter(|l| l.contains("aws rds ")).map(of));
    };
    take();
    {
        let mut world = site.peer.world();
        world.instances.clear();
        let mut cluster = Cluster::new("om-prod", "cluster-OLD", "available");
        for (member, value) in [
            ("StorageType", "aurora-iopt1"),
            ("NetworkType", "IPV4"),
            ("MonitoringInterval", "60"),
            ("MonitoringRoleArn", "arn:aws:iam::1:role/m"),
        ] {
            cluster.more.insert(member, value.to_owned());
        }
        world.clusters.push(cluster);
        let mut member = Instance::new("om-prod-a", "db-A", "available");
        member.cluster = Some("om-prod".to_owned());
        world.instances.push(member);
    }
    take();
    {
        let mut world = site.peer.world();
        world.instances.clear();
        world.clusters.clear();
        world.kept.push(("om-prod".to_owned(), "db-OLD".to_owned()));
    }
    take();
    assert_eq!(lines.len(), 6, "{lines:#?}");
    for line in &lines {
        assert_eq!(refused(&moto.shell(line)), None, "{line}");
    }
    // A line that is wrong would be told.
    let wrong = lines[0].replace("--multi-az", "--multi-azure");
    assert!(refused(&moto.shell(&wrong)).unwrap().contains("--multi-azure"));
}

/// What the command line says where it does not take a line; it then calls nobody. moto does not know every call.
fn refused(ran: &Output) -> Option<String> {
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let refused = ran.status.code() == Some(2) || said.contains("Unknown options") || said.contains("usage:");
    refused.then_some(said)
}

#[test]
fn a_region_is_needed_and_asked_for() {
    let site = Site::new();
    let config = std::fs::read_to_string(site.night.path("restitch.toml")).unwrap();
    site.night
        .write("restitch.toml", config.replace("region = \"eu-central-1\"\n", ""));
    let ran = Night::finish(site.command(&["restore", "check"]).output().unwrap()).ended(2);
    ran.says(&["no AWS region is known", "aws.region"]);
}

//! `restore watch`: transitions, faults and swaps, as plain lines and in the ledger.

use crate::Site;
use crate::night::{Night, Ran};
use crate::peer::{Cluster, Instance};
use serde_json::Value as Json;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_mins(1);

/// A watch that runs, and the lines that it prints.
struct Watching {
    child: Child,
    lines: Receiver<Json>,
    /// All so far.
    seen: Vec<Json>,
}

impl Site {
    fn watch(&self) -> Watching {
        let mut command = self.command(&["restore", "watch", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if send.send(serde_json::from_str(&line).unwrap()).is_err() {
                    break;
                }
            }
        });
        Watching {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// The restored instance, being made.
    pub fn begin(&self) {
        let made = Instance::new("om-prod-restored", "db-NEW", "creating").with("PercentProgress", "37");
        self.peer.world().instances.push(made);
    }

    fn phase(&self) -> String {
        let trail = self.run(&["audit", "list", "--json"]).ended(0).lines();
        let phases = trail.iter().filter(|l| l["action"] == "phase");
        phases
            .map(|l| l["why"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Watching {
    /// Waits for a line of this kind that says this.
    #[track_caller]
    fn until(&mut self, kind: &str, words: &str) -> Json {
        let is = |line: &Json| line["kind"] == kind && line["text"].as_str().unwrap().contains(words);
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(line) = self.seen.iter().find(|line| is(line)) {
                return line.clone();
            }
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(e) => panic!("{e}: no {kind} {words:?} in {:#?}", self.seen),
            }
        }
    }

    fn count(&self, words: &str) -> usize {
        let says = |line: &&Json| line["text"].as_str().unwrap().contains(words);
        self.seen.iter().filter(says).count()
    }

    /// Waits for its end.
    #[track_caller]
    fn ended(&mut self, code: i32) -> Ran {
        let end = Instant::now() + LIMIT;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.seen.push(line);
        }
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let ended = self.child.wait().unwrap();
        let lines: Vec<String> = self.seen.iter().map(ToString::to_string).collect();
        let out = lines.join("\n");
        Ran {
            code: ended.code().unwrap(),
            out,
            err,
        }
        .ended(code)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ago(minutes: i64) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn event(name: &str, minutes: i64, category: &str, message: &str) -> crate::peer::Event {
    (name.to_owned(), ago(minutes), category.to_owned(), message.to_owned())
}

#[test]
fn a_restore_is_followed_from_nothing_to_the_first_answer() {
    let site = Site::new();
    let past = [
        event("drill", 4_000, "creation", "DB instance created"),
        event(
            "drill",
            3_982,
            "restoration",
            "Restored from DB instance om-prod to drill.",
        ),
    ];
    site.peer.world().events.extend(past);
    let mut watch = site.watch();
    watch.until("status", "there is no om-prod-restored yet");
    site.begin();
    watch.until("found", "instance om-prod-restored is db-NEW");
    watch.until("status", "creating: being made; nobody can connect");
    watch.until("step", "made running: creating; at least 18 min in 1 past restore");
    let recovering = event(
        "om-prod-restored",
        1,
        "recovery",
        "Recovery of the DB instance has started.",
    );
    site.peer.world().events.push(recovering.clone());
    watch.until("recovery", "Recovery of the DB instance has started");
    // The same again, and one that comes late.
    site.peer.world().events.push(recovering);
    site.peer
        .world()
        .events
        .push(event("om-prod-restored", 5, "availability", "DB instance restarted"));
    watch.until("availability", "DB instance restarted");
    site.peer.world().set_status("om-prod-restored", "backing-up");
    watch.until("status", "backing-up: being changed");
    watch.until("step", "settled running: backing-up; no signal from AWS in this phase");
    {
        let mut world = site.peer.world();
        world.set_status("om-prod-restored", "available");
        let made = world.instances.last_mut().unwrap();
        made.more.insert("MultiAZ", "false".to_owned());
        made.more.insert("StorageOperationStatus", "Initializing".to_owned());
        made.more.insert("StorageOperationPercentProgress", "12".to_owned());
    }
    watch.until("available", "om-prod-restored answers");
    watch.until("endpoint", "om-prod-restored.abc.eu-central-1.rds.amazonaws.com:5432");
    watch.until(
        "setting",
        "Multi-AZ was on, is off; do: aws rds modify-db-instance --db-instance-identifier om-prod-restored --multi-az",
    );
    watch.until(
        "step",
        "storage running: storage initializing 12%: it answers, first reads of a block are slow",
    );
    let ran = watch.ended(0);
    assert_eq!(watch.count("Recovery of the DB instance has started"), 1, "{}", ran.out);
    // PercentProgress is something else, and no percentage of the restore is ever shown.
    assert!(!ran.out.contains("37"), "{}", ran.out);
    let phases = site.phase();
    assert!(
        phases.contains("restoring running: AWS: creating; at least 18 min in 1 past restore"),
        "{phases}"
    );
    assert!(
        phases.contains("restoring done: AWS: available, om-prod-restored.abc"),
        "{phases}"
    );
    assert_eq!(phases.lines().count(), 2, "progress is no line of the trail: {phases}");
}

#[test]
fn a_refused_backup_a_failed_infrastructure_and_a_key_end_it_each_in_its_words() {
    for (status, words) in [
        ("restore-error", "AWS REFUSES THE BACKUP"),
        ("incompatible-restore", "AWS REFUSES THE BACKUP"),
        ("insufficient-capacity", "INFRASTRUCTURE: AWS has no room"),
        ("incompatible-parameters", "INFRASTRUCTURE: it cannot start"),
        (
            "inaccessible-encryption-credentials-recoverable",
            "THE KEY of the storage cannot be used; it can be brought back within 7 days",
        ),
        (
            "inaccessible-encryption-credentials",
            "THE KEY of the storage cannot be used, for good",
        ),
    ] {
        let site = Site::new();
        site.begin();
        let mut watch = site.watch();
        watch.until("status", "creating");
        site.peer.world().set_status("om-prod-restored", status);
        watch.until("status", words);
        let ran = watch.ended(1).says(&[words, "do:"]);
        assert!(
            site.phase()
                .contains(&format!("restoring failed: om-prod-restored is {status}: {words}")),
            "{}",
            ran.err
        );
    }
}

#[test]
fn an_unknown_status_is_shown_as_such_and_counts_as_under_way() {
    let site = Site::new();
    site.begin();
    site.peer.world().set_status("om-prod-restored", "defragmenting-moons");
    let mut watch = site.watch();
    watch.until(
        "status",
        "defragmenting-moons: a status that this restitch does not know; it counts as under way",
    );
    site.peer.world().set_status("om-prod-restored", "available");
    watch.until("available", "answers");
    watch.ended(0);
}

#[test]
fn an_expired_session_keeps_what_was_known_and_says_how_old_it_is() {
    let site = Site::new();
    site.begin();
    let mut watch = site.watch();
    watch.until("status", "creating");
    let said = "The security token included in the request is expired";
    for action in ["rds:DescribeDBInstances", "rds:DescribeEvents"] {
        site.peer.world().fail(action, "ExpiredToken", 403, said, None);
    }
    let line = watch.until("trouble", "the AWS session has expired");
    let text = line["text"].as_str().unwrap();
    assert!(
        text.contains("last known") && text.contains("ago: creating; do: log in again"),
        "{text}"
    );
    let landed = site.peer.world().landed["ExpiredToken"];
    // It goes on asking, and says it once.
    let end = Instant::now() + LIMIT;
    while site.peer.world().landed["ExpiredToken"] < landed + 3 {
        assert!(Instant::now() < end);
        std::thread::yield_now();
    }
    for action in ["rds:DescribeDBInstances", "rds:DescribeEvents"] {
        site.peer.world().heal(action);
    }
    watch.until("back", "AWS answers again");
    assert_eq!(watch.count("the AWS session has expired"), 1);
    site.peer.world().set_status("om-prod-restored", "available");
    watch.until("available", "answers");
    watch.ended(0);
}

#[test]
fn throttling_and_garbage_are_survived() {
    let site = Site::new();
    site.begin();
    let mut watch = site.watch();
    watch.until("status", "creating");
    // Three tries of the SDK's a look.
    site.peer
        .world()
        .fail("rds:DescribeDBInstances", "Throttling", 400, "Rate exceeded", Some(3));
    watch.until(
        "trouble",
        "AWS throttles rds:DescribeDBInstances: Rate exceeded (Throttling); last known",
    );
    watch.until("back", "AWS answers again");
    site.peer
        .world()
        .fail("rds:DescribeDBInstances", "cut", 200, "", Some(2));
    watch.until("trouble", "AWS does not answer rds:DescribeDBInstances");
    site.peer.world().fail(
        "rds:DescribeEvents",
        "AccessDenied",
        403,
        "not authorized to perform: rds:DescribeEvents",
        None,
    );
    site.peer.world().set_status("om-prod-restored", "available");
    watch.until("available", "answers");
    watch.ended(0);
    let world = site.peer.world();
    assert!(world.landed["Throttling"] == 3 && world.landed["cut"] >= 1);
    assert!(world.called("rds:DescribeEvents") > 0);
}

#[test]
fn a_rename_swap_is_followed_by_the_resource_id() {
    let site = Site::new();
    site.begin();
    let mut watch = site.watch();
    watch.until("status", "creating");
    {
        // In one step, as it looks between two polls: the old one steps aside, the new one takes its name.
        let mut world = site.peer.world();
        for instance in &mut world.instances {
            instance.name = match instance.name.as_str() {
                "om-prod" => "om-prod-old".to_owned(),
                _ => "om-prod".to_owned(),
            };
        }
    }
    let line = watch.until("rename", "db-NEW was om-prod-restored and is om-prod now");
    assert!(line["text"].as_str().unwrap().contains("ten minutes"));
    site.peer.world().set_status("om-prod", "available");
    watch.until("available", "om-prod answers");
    watch.ended(0);
    assert!(site.phase().contains("db-NEW"));
}

#[test]
fn a_restored_cluster_answers_when_one_of_its_instances_does() {
    let site = Site::new();
    let restored = Cluster::new("om-prod-restored", "cluster-NEW", "creating");
    site.peer.world().clusters.push(restored);
    let mut watch = site.watch();
    watch.until("found", "cluster om-prod-restored is cluster-NEW");
    "available".clone_into(&mut site.peer.world().clusters[0].status);
    watch.until("status", "available: answers");
    watch.until("step", "instances running: none yet: run the create-db-instance lines");
    let mut member = Instance::new("om-prod-restored-1", "db-M", "creating");
    member.cluster = Some("om-prod-restored".to_owned());
    site.peer.world().instances.push(member);
    // Counted, not done: the phase is not over before somebody can connect.
    assert!(!site.phase().contains("restoring done"));
    site.peer
        .world()
        .set_status("om-prod-restored-1", "insufficient-capacity");
    watch
        .ended(1)
        .says(&["om-prod-restored-1 is insufficient-capacity: INFRASTRUCTURE"]);
    site.peer.world().set_status("om-prod-restored-1", "available");
    let mut watch = site.watch();
    watch.until("available", "om-prod-restored answers");
    watch.ended(0);
}

#[test]
fn a_restored_multi_az_cluster_gets_its_instances_from_aws() {
    let site = Site::new();
    let mut restored = Cluster::new("om-prod-restored", "cluster-NEW", "creating");
    for (member, value) in [("Engine", "postgres"), ("DBClusterInstanceClass", "db.m6gd.large")] {
        restored.more.insert(member, value.to_owned());
    }
    site.peer.world().clusters.push(restored);
    let mut watch = site.watch();
    watch.until("found", "cluster om-prod-restored is cluster-NEW");
    "available".clone_into(&mut site.peer.world().clusters[0].status);
    watch.until("step", "instances running: none yet: AWS makes them with the cluster");
    for nth in 1..=3 {
        let mut member = Instance::new(&format!("om-prod-restored-{nth}"), &format!("db-M{nth}"), "creating");
        member.cluster = Some("om-prod-restored".to_owned());
        site.peer.world().instances.push(member);
    }
    assert!(!site.phase().contains("restoring done"));
    site.peer.world().set_status("om-prod-restored-1", "available");
    watch.until("available", "om-prod-restored answers");
    watch.ended(0);
}

#[test]
fn recovery_is_read_from_the_log_files_where_they_can_be_read() {
    let site = Site::new();
    site.begin();
    let mut watch = site.watch();
    watch.until("step", "recovery running: not known: ");
    let p = "2026-11-22 14:33:01 UTC::@:[412]:LOG:  ";
    let log = format!(
        "{p}starting point-in-time recovery to 2026-11-22 14:05:00+00\n{p}restored log file \"00000001000000A1000000F3\" from archive\n"
    );
    site.peer.world().log = Some(log);
    watch.until("recovery", "replaying, to 14:05:00Z: ");
    let over = format!(
        "{p}last completed transaction was at log time 2026-11-22 14:04:59.83+00\n{p}archive recovery complete\n"
    );
    site.peer.world().log = Some(over);
    watch.until(
        "recovery",
        "the last transaction in it was committed at 2026-11-22T14:04:59.83Z",
    );
    site.peer.world().set_status("om-prod-restored", "available");
    watch.ended(0);
}

#[test]
fn a_watch_goes_on_where_the_last_one_ended_and_tells_a_deletion() {
    let site = Site::new();
    site.begin();
    site.peer
        .world()
        .events
        .push(event("om-prod-restored", 1, "creation", "DB instance created"));
    let mut watch = site.watch();
    watch.until("creation", "DB instance created");
    site.peer.world().set_status("om-prod-restored", "available");
    watch.ended(0);
    let mut watch = site.watch();
    watch.ended(0);
    assert_eq!(watch.count("DB instance created"), 0, "it was told before");
    site.peer.world().instances.retain(|i| i.resource != "db-NEW");
    // Another instance takes the name: it is not the one that was followed.
    let other = Instance::new("om-prod-restored", "db-OTHER", "available");
    site.peer.world().instances.push(other);
    let mut watch = site.watch();
    watch.until("status", "db-NEW is gone");
    watch.ended(1).says(&["db-NEW is gone: it was deleted"]);
}

#[test]
fn a_restore_that_came_to_nothing_is_begun_again_under_its_name() {
    let site = Site::new();
    site.begin();
    site.peer
        .world()
        .set_status("om-prod-restored", "insufficient-capacity");
    site.watch().ended(1);
    site.peer.world().instances.retain(|i| i.resource != "db-NEW");
    site.peer
        .world()
        .instances
        .push(Instance::new("om-prod-restored", "db-SECOND", "creating"));
    let mut watch = site.watch();
    watch.until("found", "instance om-prod-restored is db-SECOND");
    watch.until("status", "creating");
    site.peer.world().set_status("om-prod-restored", "available");
    watch.ended(0);
    assert!(site.phase().ends_with("db-SECOND"), "{}", site.phase());
}

#[test]
fn plain_lines_carry_no_more_than_they_say() {
    let site = Site::new();
    site.begin();
    site.peer.world().set_status("om-prod-restored", "available");
    let hostile = event("om-prod-restored", 1, "notification", "a\u{1b}[2Jb\u{202e}c");
    site.peer.world().events.push(hostile);
    let ran = site.run(&["restore", "watch"]).ended(0);
    assert!(
        !ran.out.contains('\u{1b}') && !ran.out.contains('\u{202e}'),
        "{:?}",
        ran.out
    );
    assert!(ran.out.contains(" available: om-prod-restored answers"), "{}", ran.out);
    // To look changes nothing.
    let site = Site::new();
    site.begin();
    site.peer.world().set_status("om-prod-restored", "available");
    Night::finish(site.command(&["restore", "watch", "--readonly"]).output().unwrap()).ended(0);
    assert!(!site.night.path("restitch.db").exists());
}

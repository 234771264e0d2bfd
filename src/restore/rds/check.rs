//! `restore check`: may it work? What AWS and the databases say, line by line, before anybody starts the restore.

use super::client::{Aws, AwsError, Trouble};
use super::command::Plan;
use super::db::{Db, Setting, Way};
use super::events::{self, Past};
use super::inside::{self, Inside};
use super::keys::{self, Key};
use super::permit::{Identity, Permits};
use super::status::{self, Meaning};
use crate::config::Config;
use crate::domain::preflight::{Line, Mark};
use crate::domain::time;
use crate::restore::rds::inside::Export;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 86_400_000_000;
/// Credentials that end sooner are renewed before a restore, not during it.
const TOO_SOON: i64 = 30 * MINUTE;

/// Everything that was read.
#[derive(Debug)]
pub struct Read {
    /// When, microseconds since 1970.
    pub now: i64,
    /// Who asks.
    pub identity: Result<Identity, AwsError>,
    /// What is restored from.
    pub source: Result<Option<Db>, AwsError>,
    /// What has the target's name.
    pub target: Result<Option<Db>, AwsError>,
    /// What whoever runs the restore may; `None` where it could not be asked.
    pub permits: Option<Result<Permits, AwsError>>,
    /// The key of the storage, the one that the site expects, and the one of personal data, as far as there are any.
    pub keys: [Option<Result<Key, AwsError>>; 3],
    /// Restores of the last fortnight.
    pub past: Result<Vec<Past>, AwsError>,
    /// What the databases say.
    pub inside: Inside,
}

/// Asks AWS and the databases; nothing is changed anywhere. `before` is what was exported earlier.
pub async fn read(aws: &Aws, config: &Config, plan: &Plan<'_>, before: Option<&Export>, now: i64) -> Read {
    let (identity, source, target, past) = tokio::join!(
        aws.identity(),
        aws.source(plan.source),
        aws.find(plan.target),
        events::past(aws, now)
    );
    let db = source.as_ref().ok().and_then(Option::as_ref);
    let restorer = config.aws.restorer.as_deref();
    let restorer = restorer.or(identity.as_ref().ok().map(|who| who.arn.as_str()));
    let permits = async {
        match (restorer, db) {
            (Some(who), Some(db)) => Some(aws.permits(who, db, plan.target).await),
            _ => None,
        }
    };
    let key = async |id: Option<&str>| match id {
        Some(id) => Some(keys::describe(aws, id).await),
        None => None,
    };
    let pii = config.aws.pii.as_ref().and_then(|pii| pii.kms_key.as_deref());
    let (permits, storage, expected, pii, inside) = tokio::join!(
        permits,
        key(db.and_then(|db| db.key.as_deref())),
        key(config.aws.kms_key.as_deref()),
        key(pii),
        inside::look(config, before, now)
    );
    Read {
        now,
        permits,
        keys: [storage, expected, pii],
        identity,
        source,
        target,
        past,
        inside,
    }
}

/// A call that failed, as a line: a missing permission and a silent AWS decide nothing.
fn failed(check: &str, e: &AwsError) -> Line {
    let mark = match e.trouble {
        Trouble::Nobody | Trouble::Expired => Mark::Bad,
        _ => Mark::CannotTell,
    };
    Line::new(check, mark, e.words(), e.action).cure(e.cure())
}

/// The lines, in the order in which one asks.
pub fn judge(config: &Config, plan: &Plan<'_>, read: &Read) -> Vec<Line> {
    let mut lines = vec![identity(read)];
    lines.push(permissions(read));
    match &read.source {
        Err(e) => lines.push(failed("source", e)),
        Ok(None) => lines.push(
            Line::new(
                "source",
                Mark::Bad,
                format!(
                    "there is neither an instance, nor a cluster, nor a kept backup called {}",
                    plan.source
                ),
                "rds:DescribeDBInstances, DescribeDBClusters, DescribeDBInstanceAutomatedBackups",
            )
            .cure("check aws.source, aws.region and the account of the identity"),
        ),
        Ok(Some(db)) => {
            lines.push(source(db));
            lines.push(window(db, plan));
            lines.push(tail(db, config.incident.stopped_at, read.now));
            lines.push(retention(db, plan));
            lines.push(keys::encryption(db, config, &read.keys));
            lines.extend(keys::storage_key(db, &read.keys));
        }
    }
    lines.extend(keys::pii(config, read));
    lines.push(target(plan, read));
    if let Ok(Some(db)) = &read.source {
        lines.extend(carried(db));
        lines.extend(lacking(db, plan));
    }
    lines.extend(inside::lines(config, &read.inside));
    lines.push(hold(config, read));
    lines
}

fn identity(read: &Read) -> Line {
    let who = match &read.identity {
        Ok(who) => who,
        Err(e) => return failed("identity", e),
    };
    let evidence = "sts:GetCallerIdentity";
    let Some(until) = who.until else {
        let what = format!("{}; its credentials say no end", who.arn);
        return Line::new("identity", Mark::Good, what, evidence);
    };
    let left = until - read.now;
    let what = format!("{}, until {} ({} left)", who.arn, time::format(until), time::age(left));
    if left < TOO_SOON {
        return Line::new(
            "identity",
            Mark::Bad,
            format!("{what}: it ends during the restore"),
            evidence,
        )
        .cure("log in again now (aws sso login, or new keys of the role)");
    }
    Line::new("identity", Mark::Good, what, evidence)
}

fn permissions(read: &Read) -> Line {
    let evidence =
        "iam:SimulatePrincipalPolicy; key policies and those of the organisation only as far as AWS simulates them";
    let permits = match &read.permits {
        None => {
            let what = "not asked: neither identity nor source is known";
            return Line::new("permissions", Mark::CannotTell, what, evidence).cure("put the lines above right first");
        }
        Some(Err(e)) if e.trouble == Trouble::Denied => {
            // To run a restore one needs no right to simulate: nothing is said against the restore.
            let what = format!("cannot be asked: {}", e.words());
            return Line::new("permissions", Mark::CannotTell, what, evidence).cure(format!(
                "allow {}, or set aws.restorer and ask as somebody who may",
                e.action
            ));
        }
        Some(Err(e)) => return failed("permissions", e),
        Some(Ok(permits)) => permits,
    };
    if permits.missing.is_empty() {
        let unknown = match permits.unknown.as_slice() {
            [] => String::new(),
            keys => format!(
                "; its policies also look at {}, which is not known here",
                keys.join(", ")
            ),
        };
        let what = format!(
            "{} has all {} that the restore needs{unknown}",
            permits.principal, permits.asked
        );
        return Line::new("permissions", Mark::Good, what, evidence);
    }
    let missing: Vec<String> = permits
        .missing
        .iter()
        .map(|m| format!("{} on {} ({})", m.action, m.resource, m.why))
        .collect();
    let names: Vec<&str> = permits.missing.iter().map(|m| m.action.as_str()).collect();
    Line::new(
        "permissions",
        Mark::Bad,
        format!("{} may not: {}", permits.principal, missing.join("; ")),
        evidence,
    )
    .cure(format!("let the owner of the account allow {}", names.join(", ")))
}

fn source(db: &Db) -> Line {
    if db.from_backup {
        let what = format!("{} is gone; its automated backups are kept ({})", db.name, db.resource);
        return Line::new("source", Mark::Note, what, "rds:DescribeDBInstanceAutomatedBackups")
            .cure("there is no old instance to go back to or to compare with");
    }
    let (meaning, cure) = status::words(&db.status);
    let what = format!(
        "{} {}, {} {}, {}: {meaning}",
        db.kind.word(),
        db.name,
        db.engine,
        db.version,
        db.status
    );
    let evidence = format!("rds:Describe, {}", db.resource);
    let mark = match status::meaning(&db.status) {
        Meaning::Usable | Meaning::Changing => Mark::Good,
        Meaning::Away if db.status == "deleting" || db.status == "delete-precheck" => Mark::Bad,
        Meaning::Away => Mark::Note,
        Meaning::BadKey(_) => Mark::Bad,
        _ => Mark::CannotTell,
    };
    let line = Line::new("source", mark, what, evidence);
    match (mark, cure, db.status.as_str()) {
        (Mark::Bad, _, "deleting" | "delete-precheck") => {
            line.cure("its automated backups go with it unless they are retained: make sure of that first")
        }
        (_, Some(cure), _) => line.cure(cure),
        _ => line,
    }
}

fn window(db: &Db, plan: &Plan<'_>) -> Line {
    let evidence = "LatestRestorableTime, RestoreWindow";
    let Some(latest) = db.latest else {
        let what = "AWS names no restorable time: there is nothing to restore from";
        return Line::new("window", Mark::Bad, what, evidence).cure("automated backups must be on; look at snapshots");
    };
    let earliest = db.earliest.map_or("not known".to_owned(), time::format);
    let within = format!("{earliest} to {}", time::format(latest));
    let to = time::format(plan.to);
    if plan.to > latest {
        let what = format!(
            "T {to} lies {} after the latest restorable time; restorable is {within}",
            time::age(plan.to - latest)
        );
        return Line::new("window", Mark::Bad, what, evidence)
            .cure("wait until AWS has uploaded its logs (about five minutes), or take an earlier T");
    }
    if db.earliest.is_some_and(|earliest| plan.to < earliest) {
        let what = format!("T {to} lies before the earliest restorable time; restorable is {within}");
        return Line::new("window", Mark::Bad, what, evidence).cure("use a snapshot, or a later T");
    }
    let line = Line::new("window", Mark::Good, format!("T {to} is within {within}"), evidence);
    if plan.to.rem_euclid(1_000_000) == 0 {
        return line;
    }
    Line {
        mark: Mark::Note,
        ..line.cure("RestoreTime has whole seconds: rows of that second are on the boundary")
    }
}

/// What no backup holds: the last minutes before the stop, which only the log can tell.
fn tail(db: &Db, stopped_at: Option<i64>, now: i64) -> Line {
    let evidence = "LatestRestorableTime against incident.stopped_at";
    let Some(latest) = db.latest else {
        return Line::new("blind tail", Mark::CannotTell, "no restorable time is known", evidence);
    };
    let (end, words) = match stopped_at {
        Some(stop) => (stop, "the stop"),
        None => (now, "now (incident.stopped_at is not configured)"),
    };
    if latest >= end {
        let what = format!("none: AWS holds everything up to {}, {words}", time::format(end));
        return Line::new("blind tail", Mark::Good, what, evidence);
    }
    let what = format!(
        "the last {} before {words} ({} to {}) are in no backup: a second restore to the latest point does not show them",
        time::age(end - latest),
        time::format(latest),
        time::format(end)
    );
    Line::new("blind tail", Mark::Note, what, evidence)
        .cure("keep the old instance, or a log that covers these minutes; nothing else tells what was lost in them")
}

fn retention(db: &Db, plan: &Plan<'_>) -> Line {
    let evidence = "BackupRetentionPeriod";
    match db.retention {
        Some(0) => Line::new(
            "retention",
            Mark::Bad,
            "automated backups are off (0 days): AWS answers PointInTimeRestoreNotEnabled",
            evidence,
        )
        .cure("restore a snapshot instead; a point in time cannot be had"),
        Some(days) => {
            let until = plan.to + i64::from(days) * DAY;
            let what = format!("{days} days: T can be restored to until about {}", time::format(until));
            Line::new("retention", Mark::Good, what, evidence)
        }
        None => Line::new(
            "retention",
            Mark::CannotTell,
            "AWS does not say for how long backups are kept",
            evidence,
        ),
    }
}

fn target(plan: &Plan<'_>, read: &Read) -> Line {
    let evidence = "rds:DescribeDBInstances, DescribeDBClusters";
    if plan.target == plan.source {
        let what = format!(
            "{} is the source: AWS restores into a new instance, never in place",
            plan.target
        );
        return Line::new("target", Mark::Bad, what, evidence).cure("give aws.target another name");
    }
    match &read.target {
        Err(e) => failed("target", e),
        Ok(None) => {
            let what = format!("the name {} is free", plan.target);
            Line::new("target", Mark::Good, what, evidence)
        }
        Ok(Some(db)) => {
            let made = db
                .created
                .map_or(String::new(), |at| format!(", made {}", time::format(at)));
            let what = format!("{} is taken by {} ({}{made})", plan.target, db.resource, db.status);
            Line::new("target", Mark::Bad, what, evidence).cure(
                "if it is this restore, follow it with `restitch restore watch`; else give aws.target another name",
            )
        }
    }
}

fn list(settings: &[&Setting]) -> String {
    let words: Vec<String> = settings.iter().map(|s| format!("{} {}", s.name, s.value)).collect();
    words.join("; ")
}

/// What the restored instance would not have by itself, and `restore command` carries.
fn carried(db: &Db) -> Vec<Line> {
    let of = |carried: bool| -> Vec<&Setting> {
        db.settings
            .iter()
            .filter(|s| matches!(s.way, Way::Carried(_)) == carried)
            .collect()
    };
    let evidence = "rds:Describe of the source; defaults by the API reference of the restore call";
    let mut lines = Vec::new();
    let arguments = of(true);
    if !arguments.is_empty() {
        let what = format!("`restitch restore command` carries over: {}", list(&arguments));
        lines.push(Line::new("settings", Mark::Good, what, evidence));
    }
    let after: Vec<&Setting> = of(false);
    let (kept, after): (Vec<&Setting>, Vec<&Setting>) = after.into_iter().partition(|s| s.way == Way::Kept);
    if !after.is_empty() {
        let what = format!("no argument of the restore takes: {}", list(&after));
        lines.push(
            Line::new("settings later", Mark::Note, what, evidence)
                .cure("run the second line of `restitch restore command` once it is available"),
        );
    }
    if !kept.is_empty() {
        let what = format!("AWS keeps: {}; `restore watch` looks at it again", list(&kept));
        lines.push(Line::new("settings kept", Mark::Good, what, evidence));
    }
    lines
}

/// What the restored one will lack whatever the command says.
fn lacking(db: &Db, plan: &Plan<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    if db.setting("IAM authentication") == Some("on") {
        let what = format!(
            "policies that allow rds-db:connect to {} name its resource id: they do not let anybody into {}, which gets another",
            db.resource, plan.target
        );
        lines.push(
            Line::new(
                "policies",
                Mark::Note,
                what,
                "RDS User Guide, IAM policy for IAM database access",
            )
            .cure("add the new resource id, which `restitch restore watch` prints, to these policies"),
        );
    }
    let what = format!(
        "{} gets an endpoint of its own, and passwords as they were at T; clients reach it by name only after a rename",
        plan.target
    );
    lines.push(
        Line::new("address", Mark::Note, what, "RDS User Guide, point in time recovery").cure(
            "after a rename AWS says that the new name works in about ten minutes; the old instance keeps running",
        ),
    );
    if db.is_aurora() {
        let what = format!(
            "the restore makes the volume of {} without an instance: nobody can connect to it yet",
            plan.target
        );
        lines.push(
            Line::new(
                "instances",
                Mark::Note,
                what,
                "API reference of RestoreDBClusterToPointInTime",
            )
            .cure("run the create-db-instance lines of `restitch restore command` as soon as the cluster is there"),
        );
    }
    if db.setting("deletion protection") == Some("off") && !db.from_backup {
        let what = format!(
            "{} can be deleted: with it go the way back, and its backups unless they are retained",
            db.name
        );
        lines.push(
            Line::new("old instance", Mark::Note, what, "DeletionProtection")
                .cure("turn deletion protection on for the old instance until triage is over"),
        );
    }
    lines
}

/// The hold's window against how long the restore takes.
fn hold(config: &Config, read: &Read) -> Line {
    let estimate = match &read.past {
        Ok(past) => events::range(past),
        Err(_) => None,
    };
    let basis = match (&read.past, &estimate) {
        (Err(e), _) => format!("past restores cannot be read: {}", e.words()),
        (Ok(_), None) => "no restore in the events of the last 14 days: how long one takes is not known".to_owned(),
        (Ok(_), Some(range)) => range.words(),
    };
    let evidence = "rds:DescribeEvents against [hold] window";
    let Some(hold) = &config.hold else {
        let what = format!("no [hold] is configured; {basis}");
        return Line::new("hold", Mark::Note, what, evidence).cure("configure [hold] where orders wait in a queue");
    };
    let window = i64::try_from(hold.window.as_micros()).unwrap_or(i64::MAX);
    let words = format!("orders are held for {}; {basis}", time::age(window));
    let lengthen = match (&hold.topic, hold.kafka.brokers.first()) {
        (Some(topic), Some(broker)) => format!(
            "lengthen the topic's retention before the stop: kafka-configs.sh --bootstrap-server {broker} --alter --entity-type \
             topics --entity-name {topic} --add-config retention.ms=86400000; and arm `restitch hold rescue`"
        ),
        _ => "lengthen the window of the holding queue, and arm `restitch hold rescue`".to_owned(),
    };
    match estimate {
        Some(range) if range.longest >= window => {
            let what = format!("{words}: the restore alone outlasts the hold");
            Line::new("hold", Mark::Bad, what, evidence).cure(lengthen)
        }
        _ => Line::new("hold", Mark::Note, words, evidence).cure(lengthen),
    }
}

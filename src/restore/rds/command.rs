//! The exact command lines of a restore. restitch prints them; a person runs them.

use super::db::{Db, Kind, Way};
use crate::config::Config;
use crate::domain::{Error, Result, time};
use crate::text::Safe;
use serde::Serialize;

/// Commands to be run by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commands {
    /// The restore.
    pub restore: String,
    /// What is to be run once it is available.
    pub then: Vec<String>,
    /// What to know about them.
    pub notes: Vec<String>,
}

/// What the configuration says of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan<'c> {
    /// Identifier of the source.
    pub source: &'c str,
    /// Identifier of the target.
    pub target: &'c str,
    /// T, microseconds since 1970.
    pub to: i64,
}

impl<'c> Plan<'c> {
    /// What is configured; an error names the key that is not.
    pub fn of(config: &'c Config) -> Result<Self> {
        let missing = |key: &str, example: &str| {
            Error::usage(format!("{key} is not configured"))
                .at(key.to_owned())
                .cure(format!("set it, like {example}"))
        };
        let aws = &config.aws;
        Ok(Self {
            source: aws
                .source
                .as_deref()
                .ok_or_else(|| missing("aws.source", "source = \"om-prod\""))?,
            target: aws
                .target
                .as_deref()
                .ok_or_else(|| missing("aws.target", "target = \"om-prod-restored\""))?,
            to: config
                .incident
                .restored_to
                .ok_or_else(|| missing("incident.restored_to", "restored_to = \"2026-11-22T14:05:00Z\""))?,
        })
    }
}

/// The commands that restore this source so. `key` is the key that the site expects and the source has not: only the restore
/// of a cluster takes one.
pub fn commands(db: &Db, plan: &Plan<'_>, region: &str, key: Option<&str>) -> Result<Commands> {
    // RestoreTime has whole seconds; the later half of a second would bring back what T leaves out.
    let second = plan.to.div_euclid(1_000_000);
    let to = time::format(second * 1_000_000);
    let mut words: Vec<&str> = vec!["aws", "rds"];
    match (db.kind, db.from_backup) {
        (Kind::Instance, false) => words.extend([
            "restore-db-instance-to-point-in-time",
            "--source-db-instance-identifier",
            &db.name,
        ]),
        (Kind::Instance, true) => words.extend([
            "restore-db-instance-to-point-in-time",
            "--source-dbi-resource-id",
            &db.resource,
        ]),
        (Kind::Cluster, _) => words.extend([
            "restore-db-cluster-to-point-in-time",
            "--source-db-cluster-identifier",
            &db.name,
        ]),
    }
    match db.kind {
        Kind::Instance => words.extend(["--target-db-instance-identifier", plan.target, "--restore-time", &to]),
        Kind::Cluster => words.extend([
            "--db-cluster-identifier",
            plan.target,
            "--restore-to-time",
            &to,
            "--restore-type",
            "full-copy",
        ]),
    }
    for setting in &db.settings {
        if let Way::Carried(arguments) = &setting.way {
            words.extend(arguments.iter().map(String::as_str));
        }
    }
    if let (Kind::Cluster, Some(key)) = (db.kind, key) {
        words.extend(["--kms-key-id", key]);
    }
    words.extend(["--region", region]);
    let restore = line(&words)?;
    let mut then = members(db, plan, region)?;
    let after: Vec<&str> = db
        .settings
        .iter()
        .filter_map(|s| match &s.way {
            Way::Afterwards(arguments) => Some(arguments),
            _ => None,
        })
        .flatten()
        .map(String::as_str)
        .collect();
    if !after.is_empty() {
        let mut words = match db.kind {
            Kind::Instance => vec!["aws", "rds", "modify-db-instance", "--db-instance-identifier"],
            Kind::Cluster => vec!["aws", "rds", "modify-db-cluster", "--db-cluster-identifier"],
        };
        words.push(plan.target);
        words.extend(after);
        words.extend(["--apply-immediately", "--region", region]);
        then.push(line(&words)?);
    }
    let mut notes = Vec::new();
    if plan.to.rem_euclid(1_000_000) != 0 {
        notes.push(format!(
            "AWS restores to whole seconds: {to} instead of {}; rows of that second are on the boundary",
            time::format(plan.to)
        ));
    }
    if db.from_backup {
        notes.push(
            "the source is gone: its class, subnet group, security groups and parameter group are not in its backups, add them"
                .to_owned(),
        );
    }
    Ok(Commands { restore, then, notes })
}

/// The restore of an Aurora cluster makes the volume alone: without an instance nobody can connect to it.
fn members(db: &Db, plan: &Plan<'_>, region: &str) -> Result<Vec<String>> {
    if !db.is_aurora() {
        return Ok(Vec::new());
    }
    let mut members: Vec<_> = db.members.iter().collect();
    members.sort_by_key(|m| !m.writer);
    let mut commands = Vec::with_capacity(members.len());
    for (nth, member) in (1..).zip(members) {
        let name = format!("{}-{nth}", plan.target);
        let mut words = vec!["aws", "rds", "create-db-instance", "--db-instance-identifier", &name];
        words.extend(["--db-cluster-identifier", plan.target, "--engine", &db.engine]);
        for (flag, value) in [
            ("--db-instance-class", &member.class),
            ("--db-parameter-group-name", &member.parameters),
        ] {
            if let Some(value) = value {
                words.extend([flag, value]);
            }
        }
        words.extend(["--region", region]);
        commands.push(line(&words)?);
    }
    Ok(commands)
}

/// One line for a POSIX shell.
fn line(words: &[&str]) -> Result<String> {
    let mut line = String::new();
    for word in words {
        // What would be shown otherwise than it is must not be pasted.
        if Safe::of(word).as_str() != *word {
            return Err(Error::failed(format!(
                "AWS gives the value {word:?}, which cannot stand in a command line"
            ))
            .cure("write the command by hand"));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&quoted(word));
    }
    Ok(line)
}

/// A word as a POSIX shell takes it literally.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_every_word_back() {
        let words = [
            "printf",
            "%s\\n",
            "a b",
            "it's",
            "$HOME `id` \"x\"",
            "*",
            "",
            "~",
            "a;b&c|d",
            "--x=1",
        ];
        let line = line(&words).unwrap();
        let ran = Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
        let out = String::from_utf8(ran.stdout).unwrap();
        assert_eq!(out.split_terminator('\n').collect::<Vec<_>>(), &words[2..]);
    }

    #[test]
    fn what_would_act_on_a_terminal_is_not_put_into_a_command() {
        for word in ["a\u{1b}[31mb", "a\nb", "a\u{202e}b"] {
            assert!(
                line(&["aws", word]).unwrap_err().what.contains("cannot stand"),
                "{word:?}"
            );
        }
    }
}

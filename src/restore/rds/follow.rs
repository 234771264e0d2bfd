//! What one reading after the other makes of a restore. Pure: no clock, no AWS.
//!
//! A status is followed by the resource id, whatever its name; what is not known stays as it was last known, with its age; and
//! nothing here is a percentage of the restore, since AWS gives none.

use super::client::{AwsError, Trouble};
use super::db::{Db, Kind, Way};
use super::events::{Event, Range};
use super::log::Recovery;
use super::status::{self, Meaning};
use crate::domain::phase::PhaseState;
use crate::domain::restoring::{Restoring, Step, Told};
use crate::domain::time;
use std::collections::HashSet;

/// So many events and changes are kept.
const KEPT: usize = 200;
const NO_SIGNAL: &str = "no signal from AWS in this phase";

/// What one look at AWS gave.
#[derive(Debug)]
pub struct Reading {
    /// The instance or cluster; `None`: there is none.
    pub db: Result<Option<Db>, AwsError>,
    /// Its events.
    pub events: Result<Vec<Event>, AwsError>,
    /// New lines of its log files; `None` where they were not asked for.
    pub log: Option<Result<String, AwsError>>,
}

/// The restore so far.
#[derive(Debug)]
pub struct Follow {
    /// What is shown.
    pub view: Restoring,
    target: String,
    source: Option<Db>,
    range: Result<Option<Range>, String>,
    stopped_at: Option<i64>,
    seen: HashSet<Event>,
    recovery: Recovery,
    log_trouble: Option<String>,
}

impl Follow {
    /// From nothing, or from what was last known of the same attempt. `source` is what the settings are held against.
    pub fn new(target: &str, attempt: u32, before: Option<Restoring>, stopped_at: Option<i64>) -> Self {
        let view = before.filter(|view| view.attempt == attempt).unwrap_or(Restoring {
            attempt,
            name: target.to_owned(),
            ..Restoring::default()
        });
        Self {
            view,
            target: target.to_owned(),
            source: None,
            range: Ok(None),
            stopped_at,
            seen: HashSet::new(),
            recovery: Recovery::default(),
            log_trouble: None,
        }
    }

    /// What the settings are held against.
    pub fn set_source(&mut self, source: Option<Db>) {
        self.source = source;
    }

    /// How long past restores took, or why that is not known.
    pub fn set_range(&mut self, range: Result<Option<Range>, String>) {
        self.range = range;
    }

    /// Takes a reading in; what is new in it, in order.
    pub fn take(&mut self, reading: &Reading, now: i64) -> Vec<Told> {
        let mut told = Vec::new();
        match &reading.db {
            Err(e) => {
                self.lost(e, now, &mut told);
                self.keep(&told);
                return told;
            }
            Ok(found) => {
                self.back(now, &mut told);
                self.view.read_at = Some(now);
                match found {
                    Some(db) => self.there(db, now, &mut told),
                    None => self.absent(now, &mut told),
                }
            }
        }
        if let Ok(events) = &reading.events {
            self.events(events, &mut told);
        }
        match &reading.log {
            Some(Ok(text)) => {
                let before = self.recovery.words();
                self.recovery.take(text);
                self.log_trouble = None;
                let words = self.recovery.words();
                if let Some(words) = words.filter(|words| before.as_ref() != Some(words)) {
                    told.push(say(now, "recovery", words));
                }
            }
            Some(Err(e)) => self.log_trouble = Some(e.words()),
            None => {}
        }
        if let Ok(Some(db)) = &reading.db {
            self.steps(db, now, &mut told);
        }
        self.keep(&told);
        told
    }

    fn keep(&mut self, told: &[Told]) {
        self.view.events.extend(told.iter().cloned());
        let more = self.view.events.len().saturating_sub(KEPT);
        self.view.events.drain(..more);
    }

    /// AWS does not answer: what was known stays. Throttling is no silence yet; it is tried again more slowly.
    fn lost(&mut self, e: &AwsError, now: i64, told: &mut Vec<Told>) {
        let first = self.view.lost_since.is_none();
        self.view.lost_since.get_or_insert(now);
        let trouble = (e.words(), e.cure());
        if first || self.view.trouble.as_ref().map(|(_, cure)| cure) != Some(&trouble.1) {
            let known = match self.view.read_at {
                Some(at) if !self.view.status.is_empty() => {
                    format!("; last known {} ago: {}", time::age(now - at), self.view.status)
                }
                _ => "; nothing is known of the restore yet".to_owned(),
            };
            told.push(say(now, "trouble", format!("{}{known}; do: {}", trouble.0, trouble.1)));
        }
        self.view.trouble = Some(trouble);
    }

    fn back(&mut self, now: i64, told: &mut Vec<Told>) {
        if let Some(since) = self.view.lost_since.take() {
            let gap = time::age(now - since);
            told.push(say(
                now,
                "back",
                format!("AWS answers again; nothing was seen for {gap}"),
            ));
        }
        self.view.trouble = None;
    }

    fn absent(&mut self, now: i64, told: &mut Vec<Told>) {
        if self.view.resource.is_none() {
            if self.view.status != "absent" {
                "absent".clone_into(&mut self.view.status);
                let text = format!(
                    "there is no {} yet: `restitch restore command` prints what makes it",
                    self.target
                );
                told.push(say(now, "status", text));
            }
            return;
        }
        if self.view.status != "gone" {
            "gone".clone_into(&mut self.view.status);
            let resource = self.view.resource.as_deref().unwrap_or_default();
            told.push(say(
                now,
                "status",
                format!("{resource} is gone: AWS has nothing of this id any more"),
            ));
            self.view.failed = Some((
                format!("{resource} is gone: it was deleted"),
                "find out who deleted it; then restore again as a new attempt".to_owned(),
            ));
        }
    }

    fn there(&mut self, db: &Db, now: i64, told: &mut Vec<Told>) {
        if self.view.resource.as_ref() != Some(&db.resource) {
            let before = std::mem::take(&mut self.view);
            self.view = Restoring {
                attempt: before.attempt,
                read_at: before.read_at,
                name: db.name.clone(),
                resource: Some(db.resource.clone()),
                cluster: db.kind == Kind::Cluster,
                since: Some(now),
                events: before.events,
                ..Restoring::default()
            };
            self.recovery = Recovery::default();
            let old = db.created.zip(self.stopped_at).filter(|(made, stop)| made < stop);
            let doubt = old.map_or(String::new(), |(made, _)| {
                format!(", made {}, before the stop: IS IT THIS RESTORE?", time::format(made))
            });
            let text = format!("{} {} is {}{doubt}", db.kind.word(), db.name, db.resource);
            told.push(say(now, "found", text));
        }
        if self.view.name != db.name {
            let text = format!(
                "renamed: {} was {} and is {} now; its endpoint changes with it, and a new name works after about ten minutes",
                db.resource, self.view.name, db.name
            );
            told.push(say(now, "rename", text));
            self.view.name.clone_from(&db.name);
        }
        let endpoint = db.endpoint.as_ref().map(|(host, port)| format!("{host}:{port}"));
        if endpoint.is_some() && self.view.endpoint != endpoint {
            told.push(say(now, "endpoint", endpoint.clone().unwrap_or_default()));
            self.view.endpoint = endpoint;
        }
        if self.view.status != db.status {
            self.view.status.clone_from(&db.status);
            let (meaning, cure) = status::words(&db.status);
            let cure = cure.map_or(String::new(), |cure| format!("; do: {cure}"));
            told.push(say(now, "status", format!("{}: {meaning}{cure}", db.status)));
        }
        let bad = bad(db);
        if let (None, Some((what, _))) = (&self.view.failed, &bad)
            && !status::meaning(&db.status).is_bad()
        {
            told.push(say(now, "status", what.clone()));
        }
        self.view.failed = bad;
        if self.view.done.is_none() && self.view.failed.is_none() && answers(db) {
            self.view.done = Some(now);
            self.view.lacks = self.source.as_ref().map_or_else(Vec::new, |source| lacks(source, db));
            let took = self.view.since.map_or(0, |since| now - since);
            told.push(say(
                now,
                "available",
                format!("{} answers, {} after it was first seen", db.name, time::age(took)),
            ));
            for lack in &self.view.lacks {
                told.push(say(now, "setting", lack.clone()));
            }
        }
    }

    /// Events come unordered, late and again: each is told once.
    fn events(&mut self, all: &[Event], told: &mut Vec<Told>) {
        for event in all {
            let known = |t: &Told| t.at == event.at && t.text == event.message;
            if !self.seen.insert(event.clone()) || self.view.events.iter().any(known) {
                continue;
            }
            // The list of a name mixes what ever had it.
            let earlier = self.view.since.is_some_and(|since| event.at < since - EARLY);
            if !earlier {
                told.push(say(event.at, &event.category, event.message.clone()));
            }
        }
    }

    fn steps(&mut self, db: &Db, now: i64, told: &mut Vec<Told>) {
        let meaning = status::meaning(&db.status);
        let past = match &self.range {
            Ok(Some(range)) => range.words(),
            Ok(None) => format!("{NO_SIGNAL}; no restore in the events of 14 days"),
            Err(why) => format!("{NO_SIGNAL}; past restores: {why}"),
        };
        let made = meaning != Meaning::Making;
        let failed = self.view.failed.as_ref().map(|(what, _)| what.as_str());
        let recovered = self.recovery.words();
        let files = match (&recovered, &self.log_trouble, made) {
            (Some(words), _, _) => words.clone(),
            (None, Some(why), _) => format!("not known: {why}"),
            (None, None, _) => "not known: its log files say nothing of it".to_owned(),
        };
        let mut steps = vec![
            ("made", stand(made, failed, true), format!("{}; {past}", db.status)),
            (
                "recovery",
                if self.recovery.complete || self.recovery.last.is_some() {
                    PhaseState::Done
                } else if made && recovered.is_none() {
                    PhaseState::Waiting
                } else {
                    stand(made, failed, true)
                },
                files,
            ),
            (
                "settled",
                stand(matches!(meaning, Meaning::Usable), failed, made),
                if meaning == Meaning::Changing || meaning == Meaning::Unknown {
                    format!("{}; {NO_SIGNAL}", db.status)
                } else {
                    db.status.clone()
                },
            ),
        ];
        if db.kind == Kind::Cluster {
            let (there, up) = (
                db.members.len(),
                db.members.iter().filter(|m| is_up(m.status.as_deref())).count(),
            );
            let words = match there {
                0 if db.is_aurora() => {
                    "none yet: run the create-db-instance lines of `restitch restore command`".to_owned()
                }
                0 => "none yet: AWS makes them with the cluster".to_owned(),
                _ => format!("{up} of {there} answer"),
            };
            steps.push(("instances", stand(up > 0, failed, meaning == Meaning::Usable), words));
        }
        let at = self
            .view
            .endpoint
            .clone()
            .unwrap_or_else(|| "no endpoint yet".to_owned());
        steps.push(("answers", stand(answers(db), failed, false), at));
        steps.push(storage(db));
        for (name, state, evidence) in steps {
            let known = self.view.steps.iter().position(|s| s.name == name);
            let at = known.unwrap_or(self.view.steps.len());
            if known.is_none() {
                self.view.steps.push(Step {
                    name: name.to_owned(),
                    state,
                    since: None,
                    evidence: String::new(),
                });
            }
            let (step, is_new) = (&mut self.view.steps[at], known.is_none());
            let begun = is_new && state != PhaseState::Waiting;
            if begun || step.state != state {
                told.push(say(now, "step", format!("{name} {}: {evidence}", state.name())));
            }
            if is_new || step.state != state {
                step.since = (state != PhaseState::Waiting).then_some(now);
                step.state = state;
            }
            step.evidence = evidence;
        }
    }

    /// In one sentence, for the phase.
    pub fn evidence(&self) -> String {
        if let Some((what, cure)) = &self.view.failed {
            return format!("{what}; do: {cure}");
        }
        let status = &self.view.status;
        if self.view.done.is_some() {
            let place = self.view.endpoint.as_deref().unwrap_or("no endpoint");
            let resource = self.view.resource.as_deref().unwrap_or_default();
            let storage = self.view.step("storage").filter(|s| s.state == PhaseState::Running);
            let storage = storage.map_or(String::new(), |s| format!("; {}", s.evidence));
            return format!("AWS: {status}, {place}, {resource}{storage}");
        }
        let recovery = self
            .recovery
            .words()
            .map_or(String::new(), |words| format!("; {words}"));
        match &self.range {
            Ok(Some(range)) => format!("AWS: {status}; {}{recovery}", range.words()),
            _ if recovery.is_empty() => format!("AWS: {status}; {NO_SIGNAL}"),
            _ => format!("AWS: {status}{recovery}"),
        }
    }
}

/// Events of so long before the instance was first seen still belong to it: the restore began before anybody looked.
const EARLY: i64 = 3_600_000_000;

fn say(at: i64, kind: &str, text: impl Into<String>) -> Told {
    Told {
        at,
        kind: kind.to_owned(),
        text: text.into(),
    }
}

fn stand(done: bool, failed: Option<&str>, begun: bool) -> PhaseState {
    match (done, failed, begun) {
        (true, _, _) => PhaseState::Done,
        (_, Some(_), true) => PhaseState::Failed,
        (_, _, true) => PhaseState::Running,
        _ => PhaseState::Waiting,
    }
}

fn is_up(status: Option<&str>) -> bool {
    status.is_some_and(|status| status::meaning(status) == Meaning::Usable)
}

/// Somebody can connect to it.
fn answers(db: &Db) -> bool {
    status::meaning(&db.status) == Meaning::Usable
        && (db.kind == Kind::Instance || db.members.iter().any(|m| is_up(m.status.as_deref())))
}

/// Why it comes to no good end by itself: its own status, or that of an instance of the cluster.
fn bad(db: &Db) -> Option<(String, String)> {
    let of = |name: &str, status: &str| {
        let (what, cure) = status::words(status);
        let cure = cure.unwrap_or("look at its events");
        status::meaning(status)
            .is_bad()
            .then(|| (format!("{name} is {status}: {what}"), cure.to_owned()))
    };
    let members = db.members.iter().filter_map(|m| of(&m.name, m.status.as_deref()?));
    of(&db.name, &db.status).into_iter().chain(members).next()
}

/// Blocks are fetched from S3 when they are first touched, and behind the scenes: usable, but slow.
fn storage(db: &Db) -> (&'static str, PhaseState, String) {
    match &db.storage {
        Some((status, percent)) => {
            let share = percent.map_or(String::new(), |percent| format!(" {percent}%"));
            let words = format!(
                "storage {}{share}: it answers, first reads of a block are slow",
                status.to_lowercase()
            );
            ("storage", PhaseState::Running, words)
        }
        None if db.status == "storage-optimization" => {
            let words = "storage is being optimised, which may last a day: it answers".to_owned();
            ("storage", PhaseState::Running, words)
        }
        None if answers(db) => {
            let words = "AWS names no storage operation; blocks that nobody touched may still be in S3".to_owned();
            ("storage", PhaseState::Done, words)
        }
        None => ("storage", PhaseState::Waiting, String::new()),
    }
}

/// Settings of the source that the restored one has not, each with what puts it right.
fn lacks(source: &Db, db: &Db) -> Vec<String> {
    let mut all = Vec::new();
    for setting in &source.settings {
        let now = db.setting(&setting.name);
        if now == Some(setting.value.as_str()) {
            continue;
        }
        let modify = match (&setting.way, db.kind) {
            (Way::Kept, _) => "modify it".to_owned(),
            (Way::Carried(words) | Way::Afterwards(words), Kind::Instance) => format!(
                "aws rds modify-db-instance --db-instance-identifier {} {}",
                db.name,
                words.join(" ")
            ),
            (Way::Carried(words) | Way::Afterwards(words), Kind::Cluster) => format!(
                "aws rds modify-db-cluster --db-cluster-identifier {} {}",
                db.name,
                words.join(" ")
            ),
        };
        let is = now.unwrap_or("not set");
        all.push(format!("{} was {}, is {is}; do: {modify}", setting.name, setting.value));
    }
    all
}

/// Whether it is worth asking again soon: throttling wants patience.
pub fn is_throttled(reading: &Reading) -> bool {
    let throttled = |e: &AwsError| e.trouble == Trouble::Throttled;
    reading.db.as_ref().is_err_and(throttled) || reading.events.as_ref().is_err_and(throttled)
}

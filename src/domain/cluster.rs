//! The cluster as its API tells it, and what that says of the phases of a restore.
//!
//! Evidence drives a phase forward; none of it is taken for an opinion: what a reading shows is set, whoever ticked before.

use super::phase::{BY_HAND, Phase, PhaseLine, PhaseState};
use super::time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the evidence of the phase "ready" says where services did not wait for the lead.
pub const BEFORE_GO: &str = "before anybody said go";

/// So many names are said one by one.
const MOST: usize = 3;

/// Labels that an object must have: `app=kafka`, `app`, joined by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(Vec<(String, Option<String>)>);

impl Selector {
    /// Reads it; `None` where it is more than labels with or without their value.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |part: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            !part.is_empty() && part.chars().all(fits)
        };
        let label = |part: &str| {
            let (name, value) = match part.trim().split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim_start_matches('=').trim())),
                None => (part.trim(), None),
            };
            let fits = plain(name) && value.is_none_or(|v| v.is_empty() || plain(v));
            fits.then(|| (name.to_owned(), value.map(str::to_owned)))
        };
        text.split(',').map(label).collect::<Option<_>>().map(Self)
    }

    /// Whether an object with these labels is meant.
    pub fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |(name, value): &(String, Option<String>)| {
            let there = labels.get(name);
            there.is_some_and(|there| value.as_ref().is_none_or(|value| value == there))
        };
        self.0.iter().all(has)
    }
}

/// A pod that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Since when it is there, microseconds since 1970.
    pub since: Option<i64>,
    /// It answers.
    pub ready: bool,
}

/// A deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployment {
    /// Its name.
    pub name: String,
    /// How many pods it is to have.
    pub desired: u32,
    /// How many of them answer, of the version asked for.
    pub ready: u32,
    /// It is one of the orchestration workers.
    pub worker: bool,
    /// The queue that it works, as its label says.
    pub queue: Option<String>,
    /// It holds the catalogue's cache.
    pub catalogue: bool,
}

impl Deployment {
    const fn is_back(&self) -> bool {
        self.desired > 0 && self.ready >= self.desired
    }
}

/// An orchestration queue as the restored database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// The log says that it was deleted after T.
    pub deleted: bool,
}

/// What was read, and how old it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The namespace.
    pub namespace: String,
    /// Pods that are not over, without the brokers.
    pub pods: Vec<Pod>,
    /// Deployments, without the brokers.
    pub deployments: Vec<Deployment>,
    /// Pods and deployments were read whole at least once.
    pub whole: bool,
    /// When the API server was last heard on both, microseconds since 1970.
    pub heard_at: Option<i64>,
    /// Since when it is not, and why.
    pub lost: Option<(i64, String)>,
    /// What the probe of the catalogue said: loaded, not yet, or why it cannot be asked. `None`: none is configured.
    pub probe: Option<Result<(), String>>,
    /// The queues, or why they cannot be read. `None`: nothing is configured that would tell.
    pub queues: Option<Result<Vec<Queue>, String>>,
    /// Some labels mark the catalogue's or the workers' deployments.
    pub knows: Knows,
}

/// What the configuration lets a reading tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Knows {
    /// Which deployments hold the catalogue's cache.
    pub catalogue: bool,
    /// Which deployments are workers.
    pub workers: bool,
}

/// How the cluster stood before the shutdown: what "back" is held against. The most that was seen of each counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Pods.
    pub pods: usize,
    /// Deployments that were to have pods, and how many.
    pub deployments: BTreeMap<String, u32>,
}

impl Before {
    /// Takes in a reading from before the shutdown, or from the midst of it; whether it taught anything.
    pub fn learn(&mut self, reading: &Reading) -> bool {
        let before = self.clone();
        self.pods = self.pods.max(reading.pods.len());
        // Workers come and go with their queues.
        for deployment in reading.deployments.iter().filter(|d| d.desired > 0 && !d.worker) {
            let most = self.deployments.entry(deployment.name.clone()).or_default();
            *most = deployment.desired.max(*most);
        }
        *self != before
    }
}

/// What a reading says of a phase.
type Said = (PhaseState, String);

/// The phases that this reading changes, as they are to stand in the ledger; `now` is when it was taken, microseconds
/// since 1970. A reading that is not whole changes nothing.
pub fn phases(reading: &Reading, before: &Before, known: &[PhaseLine], now: i64) -> Vec<PhaseLine> {
    if !reading.whole {
        return Vec::new();
    }
    let settled = settled(reading, known);
    let night = Night {
        reading: settled.as_ref().unwrap_or(reading),
        before,
        known,
        now,
    };
    let down = night.pods_down();
    // What the others say depends on whether the shutdown is behind.
    let is_down = matches!(down.0, PhaseState::Done | PhaseState::Failed);
    let all = [
        (Phase::PodsDown, Some(down)),
        (Phase::Ready, night.beaten(is_down)),
        (Phase::Services, Some(night.services(is_down))),
        (Phase::Catalogue, night.catalogue(is_down)),
        (Phase::Workers, night.workers(is_down)),
    ];
    let changed = all.into_iter().filter_map(|(phase, said)| night.change(phase, said?));
    changed.collect()
}

/// Pods and deployments are watched apart. While the doors are closed and no pod is up, nothing is ready, whatever a status
/// says that is a moment older: what just went down did not come up. `None` where nothing says otherwise.
fn settled(reading: &Reading, known: &[PhaseLine]) -> Option<Reading> {
    let opened = known
        .iter()
        .any(|l| l.phase == Phase::Ready && l.state == PhaseState::Done);
    if opened || !reading.pods.is_empty() || reading.deployments.iter().all(|d| d.ready == 0) {
        return None;
    }
    let mut settled = reading.clone();
    settled.deployments.iter_mut().for_each(|d| d.ready = 0);
    Some(settled)
}

/// Whether pods are meant to be down: the shutdown is behind, and nobody said go.
pub fn is_closed(known: &[PhaseLine]) -> bool {
    let state = |phase| known.iter().find(|l| l.phase == phase).map(|l| l.state);
    let down = matches!(state(Phase::PodsDown), Some(PhaseState::Done | PhaseState::Failed));
    down && state(Phase::Ready) != Some(PhaseState::Done)
}

struct Night<'a> {
    reading: &'a Reading,
    before: &'a Before,
    known: &'a [PhaseLine],
    now: i64,
}

impl Night<'_> {
    fn line(&self, phase: Phase) -> Option<&PhaseLine> {
        self.known.iter().find(|line| line.phase == phase)
    }

    fn state(&self, phase: Phase) -> PhaseState {
        self.line(phase).map_or(PhaseState::Waiting, |line| line.state)
    }

    /// The phase as it is to stand, where that is news.
    fn change(&self, phase: Phase, (state, evidence): Said) -> Option<PhaseLine> {
        let line = self.line(phase);
        // What a person ticked off stays so; only a pod that is up is no matter of opinion.
        let by_hand = |l: &PhaseLine| l.state == PhaseState::Done && l.evidence.starts_with(BY_HAND);
        let stays = line.is_some_and(|l| by_hand(l) && (phase != Phase::PodsDown || state == PhaseState::Done));
        if stays || line.is_some_and(|l| l.state == state && l.evidence == evidence) {
            return None;
        }
        let before = line.filter(|l| l.state == state);
        let running = line.filter(|l| l.state == PhaseState::Running).and_then(|l| l.since);
        let over = matches!(state, PhaseState::Done | PhaseState::Failed);
        Some(PhaseLine {
            phase,
            state,
            since: match (state, before) {
                (PhaseState::Waiting, _) => None,
                (_, Some(before)) => before.since,
                _ => Some(self.now),
            },
            took: match before {
                Some(before) => before.took,
                None if over => running.map(|since| self.now - since),
                None => None,
            },
            evidence,
            per_mille: None,
        })
    }

    fn pods_down(&self) -> Said {
        let (up, most) = (&self.reading.pods, self.before.pods);
        let of = |n: usize| {
            if most > 0 {
                format!("{n} of {most} running")
            } else {
                format!("{n} running")
            }
        };
        let known = self.line(Phase::PodsDown);
        let state = self.state(Phase::PodsDown);
        let was = known.filter(|_| matches!(state, PhaseState::Done | PhaseState::Failed));
        if let Some(was) = was {
            if self.state(Phase::Ready) == PhaseState::Done {
                // Opened: pods are meant to be up again.
                return match state {
                    PhaseState::Done => (state, was.evidence.clone()),
                    _ => (
                        PhaseState::Done,
                        format!("down until somebody said go; {}", was.evidence),
                    ),
                };
            }
            if up.is_empty() {
                let since = was
                    .since
                    .map_or_else(String::new, |at| format!(" from {} on", time::clock(at)));
                return match state {
                    PhaseState::Failed => (PhaseState::Done, format!("{}; some were up{since}", of(0))),
                    _ if was.evidence.starts_with(&of(0)) => (state, was.evidence.clone()),
                    _ => (state, of(0)),
                };
            }
            let names: Vec<String> = up.iter().map(with_since).collect();
            let are = if up.len() == 1 { "is" } else { "are" };
            return (
                PhaseState::Failed,
                format!("{} {are} up during the restore", named(&names)),
            );
        }
        if up.is_empty() {
            if most == 0 && self.reading.deployments.is_empty() {
                let where_ = format!(
                    "namespace {} has neither pods nor deployments: is it the right one?",
                    self.reading.namespace
                );
                return (PhaseState::Waiting, where_);
            }
            return (PhaseState::Done, of(0));
        }
        let scaled = |d: &Deployment| d.desired == 0 && self.before.deployments.get(&d.name).is_some_and(|n| *n > 0);
        if self.reading.deployments.iter().any(scaled) || state == PhaseState::Running && up.len() < most {
            let names: Vec<String> = up.iter().map(|p| p.name.clone()).collect();
            return (PhaseState::Running, format!("{}: {}", of(up.len()), named(&names)));
        }
        (PhaseState::Waiting, format!("{} running", up.len()))
    }

    /// Services that came up before anybody said go.
    fn beaten(&self, down: bool) -> Option<Said> {
        let known = self.line(Phase::Ready);
        if !down || known.is_some_and(|l| l.state == PhaseState::Done || l.evidence.contains(BEFORE_GO)) {
            return None;
        }
        let names: Vec<String> = self.up().map(|d| format!("{} ({} ready)", d.name, d.ready)).collect();
        let at = time::clock(self.now);
        (!names.is_empty()).then(|| {
            (
                PhaseState::Failed,
                format!("services came up {BEFORE_GO}, {at}: {}", named(&names)),
            )
        })
    }

    fn up(&self) -> impl Iterator<Item = &Deployment> {
        self.reading.deployments.iter().filter(|d| d.ready > 0)
    }

    /// How many of these are back, of how many that are meant to be, and what is left.
    fn back<'d>(&'d self, of: impl Fn(&Deployment) -> bool) -> (usize, usize, Vec<String>) {
        let there: Vec<&Deployment> = self.reading.deployments.iter().filter(|d| of(d)).collect();
        let meant = |d: &&&'d Deployment| d.desired > 0 || self.before.deployments.contains_key(&d.name);
        let meant: Vec<&&Deployment> = there.iter().filter(meant).collect();
        let left: Vec<String> = meant
            .iter()
            .filter(|d| !d.is_back())
            .map(|d| match d.desired {
                0 => format!("{} scaled to 0", d.name),
                desired => format!("{} {} of {desired}", d.name, d.ready),
            })
            .collect();
        (meant.len() - left.len(), meant.len(), left)
    }

    fn services(&self, down: bool) -> Said {
        let (back, all, mut left) = self.back(|d| !d.worker);
        let gone = self.before.deployments.keys();
        let gone = gone.filter(|name| !self.reading.deployments.iter().any(|d| d.name == **name));
        let gone: Vec<String> = gone.map(|name| format!("{name} is not there")).collect();
        let all = all + gone.len();
        left.extend(gone);
        let words = format!("{back} of {all} deployments ready");
        if !down {
            return (PhaseState::Waiting, format!("{words}, before the shutdown"));
        }
        let started = self.reading.deployments.iter().any(|d| !d.worker && d.desired > 0);
        match (started, left.is_empty() && all > 0) {
            (false, _) => (PhaseState::Waiting, format!("{all} deployments, none started")),
            (true, true) => (PhaseState::Done, words),
            (true, false) => (PhaseState::Running, format!("{words}: {}", named(&left))),
        }
    }

    fn catalogue(&self, down: bool) -> Option<Said> {
        let (labelled, probe) = (self.reading.knows.catalogue, &self.reading.probe);
        if !labelled && probe.is_none() {
            return None;
        }
        let mut words = Vec::new();
        let (mut started, mut loaded) = (!labelled, true);
        if labelled {
            let (back, all, left) = self.back(|d| d.catalogue);
            started = self.reading.deployments.iter().any(|d| d.catalogue && d.desired > 0);
            loaded = left.is_empty() && all > 0;
            words.push(format!("{back} of {all} catalogue deployments ready"));
        }
        match probe {
            Some(Ok(())) => words.push("the probe says loaded".to_owned()),
            Some(Err(why)) => {
                loaded = false;
                words.push(format!("the probe: {why}"));
            }
            None => {}
        }
        let words = words.join("; ");
        // A probe that answers while everything is down asks somebody else.
        let begun = down && started && self.up().next().is_some();
        Some(match (begun, loaded) {
            (false, _) => (PhaseState::Waiting, words),
            (true, true) => (PhaseState::Done, words),
            (true, false) => (PhaseState::Running, words),
        })
    }

    fn workers(&self, down: bool) -> Option<Said> {
        if !self.reading.knows.workers {
            return None;
        }
        let workers = || self.reading.deployments.iter().filter(|d| d.worker);
        let (queues, mut wrong) = match &self.reading.queues {
            None => (None, Vec::new()),
            Some(Ok(queues)) => (Some(queues), Vec::new()),
            Some(Err(why)) => (None, vec![format!("the queues are not known: {why}")]),
        };
        let mut words = queues.map_or_else(String::new, |q| {
            format!("{} queues", q.iter().filter(|q| !q.deleted).count())
        });
        let deleted = queues.into_iter().flatten().filter(|q| q.deleted);
        if !(down && workers().any(|d| d.desired > 0)) {
            let again = list("queue", deleted, |q| q.name.clone(), "deleted after T, and there again");
            return Some((PhaseState::Waiting, joined(&words, again.into_iter().chain(wrong))));
        }
        if let Some(queues) = queues {
            let serves = |d: &Deployment, q: &Queue| d.queue.as_deref().unwrap_or(&d.name) == q.name;
            let idle = |q: &&Queue| !q.deleted && !workers().any(|d| serves(d, q) && d.desired > 0);
            let idle = queues.iter().filter(idle);
            wrong.extend(list("queue", idle, |q| q.name.clone(), "without a worker"));
            for worker in workers().filter(|d| d.desired > 0 || d.ready > 0) {
                let why = match queues.iter().find(|q| serves(worker, q)) {
                    Some(q) if q.deleted => "deleted after T",
                    Some(_) => continue,
                    None => "which the restored database lacks",
                };
                let queue = worker.queue.as_deref().unwrap_or(&worker.name);
                wrong.push(format!("worker {} serves queue {queue}, {why}", worker.name));
            }
        }
        let (back, all, left) = self.back(|d| d.worker);
        if !words.is_empty() {
            words.push_str(", ");
        }
        words = format!("{words}{back} of {all} workers ready");
        if !left.is_empty() {
            words = format!("{words}: {}", named(&left));
        }
        let done = left.is_empty() && wrong.is_empty() && all > 0;
        let state = if done { PhaseState::Done } else { PhaseState::Running };
        Some((state, joined(&words, wrong.into_iter())))
    }
}

/// The words and those that follow, where there are any.
fn joined(words: &str, more: impl Iterator<Item = String>) -> String {
    let own = (!words.is_empty()).then(|| words.to_owned());
    own.into_iter().chain(more).collect::<Vec<_>>().join("; ")
}

fn with_since(pod: &Pod) -> String {
    match pod.since {
        Some(at) => format!("{} (since {})", pod.name, time::clock(at)),
        None => pod.name.clone(),
    }
}

/// `queue a without a worker`, `queues a, b without a worker`; nothing where there is none.
fn list<'a, T: 'a>(
    noun: &str,
    of: impl Iterator<Item = &'a T>,
    name: impl Fn(&T) -> String,
    what: &str,
) -> Option<String> {
    let names: Vec<String> = of.map(name).collect();
    let s = if names.len() == 1 { "" } else { "s" };
    (!names.is_empty()).then(|| format!("{noun}{s} {} {what}", named(&names)))
}

/// The first few names, and how many more.
pub fn named(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(MOST)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().checked_sub(MOST).filter(|n| *n > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}

#[cfg(test)]
mod tests;

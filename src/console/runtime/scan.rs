//! The scan in the background: asked for by the person, or at the start where none ever ran.

use super::super::model::{Scan, Source};
use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::lane::Lane;
use super::work::{Shared, stand_back};
use crate::config::Config;
use crate::domain::progress::Progress;
use crate::domain::{Error, Result, time};
use crate::job;
use crate::ledger::Ledger;
use serde_json::Value as Json;
use std::sync::{Arc, Mutex, PoisonError};

/// A reading older than this is shown as late, microseconds.
const LATE: i64 = 600_000_000;

/// What is asked for, and how far it is.
#[derive(Debug, Default)]
pub struct Desk {
    /// Why the scan goes on although the gate is red, where somebody said so.
    asked: Lane<Option<String>>,
    running: Mutex<Option<(Arc<Progress>, i64)>>,
}

impl Desk {
    /// Asks for a scan; one that runs or is asked for already serves both, but for one that a red gate shall not stop.
    pub fn ask(&self, despite: Option<String>) {
        if despite.is_some() {
            self.asked.replace(despite, |_| true);
        } else if self.running().is_none() && !self.asked.has(|_| true) {
            self.asked.push(None);
        }
    }

    /// Asks the running one to stop.
    pub fn stop(&self) {
        if let Some((progress, _)) = self.running() {
            progress.cancel();
        }
    }

    /// The worker died.
    pub fn abandon(&self) {
        self.run_none();
        self.asked.abandon();
    }

    fn running(&self) -> Option<(Arc<Progress>, i64)> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn run_none(&self) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Shows the last scan; asks for one where none ever ran and this console may write.
pub fn at_the_start(shared: &Shared, ledger: &Ledger) -> Result<()> {
    match ledger.last_scan()? {
        Some((at, report)) => {
            shared.mailbox.tell(Msg::Scan(done(at, &report)));
            tell_sources(shared, Some(at));
        }
        None if !shared.readonly && shared.config.restored.is_some() => shared.scan.ask(None),
        None => {}
    }
    Ok(())
}

/// Scans when asked.
pub fn run(shared: &Shared) -> Result<()> {
    stand_back();
    let mut ledger = shared.open()?;
    loop {
        let despite = shared.scan.asked.next();
        bug_on_purpose("scan");
        let progress = Arc::new(Progress::default());
        let since = shared.clock.now();
        *shared.scan.running.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&progress), since));
        report_progress(shared);
        let ended = scan_once(&shared.config, &mut ledger, despite.as_deref(), &progress);
        shared.scan.run_none();
        let at = shared.clock.now();
        shared.mailbox.tell(Msg::Scan(match ended {
            Ok(report) => done(at, &report),
            Err(error) => Scan::Failed { at, error },
        }));
        tell_sources(shared, ledger.last_scan()?.map(|(at, _)| at));
    }
}

/// Says how far the running scan is.
pub fn report_progress(shared: &Shared) {
    if let Some((progress, since)) = shared.scan.running() {
        let (stage, done, total) = progress.read();
        shared.mailbox.tell(Msg::Scan(Scan::Running {
            stage,
            done,
            total,
            since,
        }));
    }
}

/// Says how old the readings of log and restored database are.
pub fn tell_sources(shared: &Shared, scanned: Option<i64>) {
    let source = |name: &str| Source {
        name: name.to_owned(),
        read_at: scanned,
        lost_since: None,
        late_after: LATE,
    };
    // One log needs no name of its own.
    let logs = match &shared.config.logs[..] {
        [] | [_] => vec![source("log")],
        several => several.iter().map(|log| source(&log.name)).collect(),
    };
    let all = std::iter::once(source("restored")).chain(logs).collect();
    shared.mailbox.tell(Msg::Sources(all));
}

/// Reads log and restored database and takes what is found into the ledger; the report.
fn scan_once(config: &Config, ledger: &mut Ledger, despite: Option<&str>, progress: &Progress) -> Result<Json> {
    let scanned = job::scan(config, ledger, despite, progress)?;
    serde_json::to_value(&scanned.report).map_err(|e| Error::failed(e.to_string()))
}

/// The part of the night that no log covers, in words; empty where all of it is.
fn not_known(report: &Json) -> String {
    let at = |name: &str| {
        let at = report.pointer(name).and_then(Json::as_str).and_then(time::parse)?;
        Some(time::clock(at))
    };
    match (at("/not_known/before"), at("/not_known/after")) {
        (Some(before), Some(after)) => format!("not known before {before} and after {after}"),
        (Some(before), None) => format!("not known before {before}"),
        (None, Some(after)) => format!("not known after {after}"),
        (None, None) => String::new(),
    }
}

/// A report in the model's words.
fn done(at: i64, report: &Json) -> Scan {
    let number = |pointer: &str| report.pointer(pointer).and_then(Json::as_u64).unwrap_or(0);
    let list = |name: &str| report[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let word = |json: &Json, name: &str| json[name].as_str().unwrap_or("nothing").to_owned();
    Scan::Done {
        at,
        events: number("/log/events"),
        rows: number("/rows_read"),
        rejected: number("/log/rejected"),
        warnings: list("warnings")
            .iter()
            .filter_map(|w| w.as_str().map(str::to_owned))
            .collect(),
        back: list("came_back")
            .iter()
            .filter_map(|b| serde_json::from_value(b.clone()).ok())
            .collect(),
        coverage: list("coverage")
            .iter()
            .map(|c| {
                let (source, entity) = (word(c, "source"), word(c, "entity"));
                let span = format!("{source} {entity}: {} to {}", word(c, "first"), word(c, "last"));
                match c["why"].as_str() {
                    Some(why) if c["known"] == false => format!("{span}, not known: {why}"),
                    Some(why) => format!("{span}, cannot tell whether all: {why}"),
                    None => span,
                }
            })
            .collect(),
        not_known: not_known(report),
    }
}

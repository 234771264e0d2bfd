//! What ledger and brokers know of the hold together.

use super::follow::{Beside, Follower};
use crate::config::{Config, FormatKind, HoldConfig, SourceKind};
use crate::domain::hold::{HoldReading, Seen};
use crate::domain::phase::{Phase, PhaseState};
use crate::domain::{Error, Result, time};
use crate::ledger::Ledger;
use crate::log::ReadError;
use crate::log::hold::{Messages, OnBroker};
use std::time::Duration;

/// Messages that wait are read for at most so long; what is not read by then counts as at risk.
const READ: Duration = Duration::from_mins(1);

/// The fact with the orders that Salesforce itself keeps queued, and when a scan read them.
pub const QUEUED: &str = "hold-queued";

/// The configured hold, which must be on a broker.
pub fn on_broker(config: &Config) -> Result<&HoldConfig> {
    let hold = config.hold.as_ref().ok_or_else(|| {
        Error::usage("no hold is configured")
            .at("[hold]")
            .cure("add [hold] with source = \"kafka\", brokers and topic; `restitch print-config` shows one")
    })?;
    if hold.source == SourceKind::Kafka {
        return Ok(hold);
    }
    Err(
        Error::usage("the hold is a file: nothing deletes from it, and it needs no rescue")
            .at("hold.source")
            .cure("set source = \"kafka\", brokers and topic where the orders wait on a broker"),
    )
}

/// What the ledger and the configuration know that the brokers do not tell.
pub fn beside(config: &Config, hold: &HoldConfig, ledger: Option<&Ledger>, topic: &str, now: i64) -> Result<Beside> {
    let Some(ledger) = ledger else {
        return Ok(Beside {
            now,
            shutdown: config
                .incident
                .stopped_at
                .map(|at| (at, "incident.stopped_at".to_owned())),
            services_back: hold.services_back.map(|at| (at, "hold.services_back".to_owned())),
            ..Beside::default()
        });
    };
    let phases = ledger.phases()?;
    let done = |phase: Phase| {
        let line = phases.iter().find(|l| l.phase == phase && l.state == PhaseState::Done);
        Some((line?.since?, format!("phase {}", phase.name())))
    };
    let baseline = ledger.hold_baseline()?;
    let stopped = config
        .incident
        .stopped_at
        .map(|at| (at, "incident.stopped_at".to_owned()));
    let recorded = || Some((baseline.as_ref()?.at, "offsets recorded".to_owned()));
    let expected = || hold.services_back.map(|at| (at, "hold.services_back".to_owned()));
    Ok(Beside {
        now,
        shutdown: stopped.or_else(recorded).or_else(|| done(Phase::PodsDown)),
        services_back: done(Phase::Services).or_else(expected),
        rescued: ledger.rescued(topic)?,
        queued: ledger.fact(QUEUED)?,
        before: ledger.hold_reading()?,
        baseline,
    })
}

/// Whether the shutdown is over and nobody recorded the offsets yet.
pub fn wants_record(ledger: &Ledger) -> Result<bool> {
    let down = |l: &crate::domain::phase::PhaseLine| l.phase == Phase::PodsDown && l.state == PhaseState::Done;
    Ok(ledger.hold_baseline()?.is_none() && ledger.phases()?.iter().any(down))
}

/// A look at the brokers.
pub struct Look {
    /// The hold: as it is, or as it was last known where nobody answers.
    pub reading: HoldReading,
    /// Why nobody answers.
    pub silent: Option<Error>,
    /// The offsets, where they were told.
    pub follower: Option<Follower>,
}

/// Asks the brokers once, and reads what waits. Brokers that do not answer are no error where the ledger has a reading.
pub fn look(config: &Config, ledger: Option<&Ledger>) -> Result<Look> {
    let hold = on_broker(config)?;
    let mut follower = Follower::open(hold, None)?;
    let topic = hold.topic.clone().unwrap_or_default();
    let asked = follower
        .ask(&|| false)
        .and_then(|()| follower.follow(READ, true))
        // Meanwhile more may have come, and some have gone.
        .and_then(|()| follower.ask(&|| false));
    let beside = beside(config, hold, ledger, &topic, time::now())?;
    match asked {
        Ok(()) => Ok(Look {
            reading: follower.reading(&beside),
            silent: None,
            follower: Some(follower),
        }),
        Err(error) => {
            let known = beside.before.filter(|r| r.topic == topic);
            let Some(reading) = known else {
                return Err(error);
            };
            Ok(Look {
                reading: silent(reading, beside.now, &error),
                silent: Some(error),
                follower: None,
            })
        }
    }
}

/// The hold as a scan needs it, and what is to be kept of it once the scan is done.
pub struct Scanned {
    /// What waits, and what expired.
    pub on_broker: OnBroker,
    /// The reading.
    pub reading: HoldReading,
    /// The orders seen.
    pub seen: Vec<Seen>,
}

/// Reads the hold for a scan; `None` where it is not on a broker. Brokers that do not answer end no scan: the error says
/// what is not known, and why.
pub fn for_scan(config: &Config, ledger: &Ledger) -> Option<Result<Scanned, ReadError>> {
    let hold = config.hold.as_ref().filter(|h| h.source == SourceKind::Kafka)?;
    Some(read_for_scan(config, hold, ledger))
}

fn read_for_scan(config: &Config, hold: &HoldConfig, ledger: &Ledger) -> Result<Scanned, ReadError> {
    let topic = hold.topic.clone().unwrap_or_default();
    let mut follower = Follower::open(hold, None)?;
    follower.ask(&|| false)?;
    let mut values: Vec<(i32, i64, Vec<u8>)> = Vec::new();
    follower.follow_each(READ, true, &mut |partition, offset, value| {
        values.push((partition, offset, value.to_vec()));
    })?;
    follower.ask(&|| false)?;
    let complete = follower.is_read();
    let beside = beside(config, hold, Some(ledger), &topic, time::now())?;
    let deadlines = follower.deadlines(&beside);
    let mut messages = Messages::new(config.schema.masks_any());
    if hold.format == FormatKind::Native {
        for (partition, offset, value) in &values {
            let rescued = beside.rescued.get(partition).is_some_and(|r| r.has(*offset));
            let dies_at = deadlines.get(&(*partition, *offset)).copied().filter(|_| !rescued);
            messages.take_from_broker(*partition, *offset, value, dies_at);
        }
    }
    let mut found = messages.finish(config.scan.reject_limit)?;
    if hold.format != FormatKind::Native {
        found.warnings.push(format!(
            "hold: {} messages wait whose format has no order that refers to anything: only native has; they are counted, \
             rescued and released all the same",
            values.len()
        ));
    }
    if !complete {
        found
            .warnings
            .push("hold: not everything that waits was read within a minute".to_owned());
    }
    follower.remember(ledger.hold_seen(&topic)?);
    Ok(Scanned {
        on_broker: OnBroker {
            held: found,
            expired: follower.expired(&beside.rescued),
        },
        reading: follower.reading(&beside),
        seen: follower.seen(),
    })
}

/// The last known reading, with the silence said.
pub fn silent(reading: HoldReading, now: i64, error: &Error) -> HoldReading {
    HoldReading {
        silent_since: reading.silent_since.or(Some(now)),
        why: Some(error.what.clone()),
        ..reading
    }
}

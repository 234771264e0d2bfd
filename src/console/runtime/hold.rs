//! The hold on a broker, followed: its offsets every second, the stamp of every message that waits. Nothing is joined,
//! nothing is committed.

use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::work::{Shared, stand_back};
use crate::domain::Result;
use crate::domain::hold::HoldReading;
use crate::ledger::Role;
use crate::restore::hold::follow::Follower;
use crate::restore::hold::status;
use std::time::{Duration, Instant};

/// So often the screen hears of it.
const EVERY: Duration = Duration::from_secs(1);
/// So often the ledger does: other consoles and commands read it there.
const KEEP: Duration = Duration::from_secs(5);
/// A hundred thousand orders seen are megabytes: keeping them takes no more than this share of the time, but is done at
/// least once a minute.
const SHARE: u32 = 200;
const AT_LEAST: Duration = Duration::from_mins(1);

/// Follows the hold; ends where there is none on a broker.
pub fn run(shared: &Shared) -> Result<()> {
    let Ok(hold) = status::on_broker(&shared.config) else {
        return Ok(());
    };
    stand_back();
    let mut ledger = shared.open()?;
    let topic = hold.topic.clone().unwrap_or_default();
    let mut follower = Follower::open(hold, None)?;
    let mut last: Option<HoldReading> = ledger.hold_reading()?.filter(|r| r.topic == topic);
    let mut kept: Option<Instant> = None;
    let mut rest = KEEP;
    loop {
        bug_on_purpose("hold");
        let asked = follower.ask(&|| false);
        let asked = asked.and_then(|()| follower.follow(EVERY, false));
        let now = shared.clock.now();
        let mut beside = status::beside(&shared.config, hold, Some(&ledger), &topic, now)?;
        if last.is_some() {
            beside.before.clone_from(&last);
        }
        let reading = match (asked, last.take()) {
            (Ok(()), _) => follower.reading(&beside),
            (Err(error), Some(known)) => status::silent(known, now, &error),
            (Err(error), None) => {
                let nothing = HoldReading {
                    topic: topic.clone(),
                    ..HoldReading::default()
                };
                status::silent(nothing, now, &error)
            }
        };
        let answered = reading.silent_since.is_none();
        if answered && !shared.readonly && kept.is_none_or(|at| at.elapsed() >= rest) {
            let begun = Instant::now();
            if ledger.role() >= Role::Operator && status::wants_record(&ledger)? {
                ledger.record_hold(&follower.baseline(now), "phase pods-down is done")?;
            }
            follower.remember(ledger.hold_seen(&topic)?);
            ledger.keep_hold_seen(&topic, &follower.seen())?;
            ledger.keep_hold_reading(&reading)?;
            kept = Some(begun);
            rest = (begun.elapsed() * SHARE).clamp(KEEP, AT_LEAST);
        }
        shared.mailbox.tell(Msg::Hold(Box::new(reading.clone())));
        last = Some(reading);
    }
}

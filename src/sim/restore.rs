//! The simulated restore: every phase of the Restore view on a fast clock, and the hold's window running meanwhile.
//!
//! The hours before the database answers are over in a second, stamped with the times of the story: a first restore that
//! ended too late, as its gate shows, and a second one that did not. What comes after takes its time while the queue is
//! worked.

use super::demo::{ORDER_SYSTEM, Pace, Stop, ledger_of};
use super::story::Times;
use super::{Incident, replay};
use crate::config::Config;
use crate::domain::Result;
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::progress::Progress;
use crate::domain::queue::HoldClock;
use crate::domain::time::{self, Clock};
use crate::job;
use crate::ledger::{Asker, Ledger};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const SECOND: i64 = 1_000_000;
/// What the audit trail gives as the reason for every phase.
const WHY: &str = "simulated by restitch demo";

/// One thing that the restore says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Beat {
    /// Milliseconds after the beat before.
    after: u64,
    phase: Phase,
    state: PhaseState,
    /// When the phase began, where the story says so; else the clock does.
    since: Option<i64>,
    /// How long it took in the story, seconds.
    took: Option<i64>,
    per_mille: Option<u16>,
    evidence: String,
}

fn beat(after: u64, phase: Phase, evidence: impl Into<String>) -> Beat {
    Beat {
        after,
        phase,
        state: PhaseState::Running,
        since: None,
        took: None,
        per_mille: None,
        evidence: evidence.into(),
    }
}

impl Beat {
    fn since(mut self, at: i64) -> Self {
        self.since = Some(at);
        self
    }

    fn share(mut self, per_mille: u16) -> Self {
        self.per_mille = Some(per_mille);
        self
    }

    fn done(mut self) -> Self {
        self.state = PhaseState::Done;
        self
    }

    /// Over, after so many seconds of the story.
    fn took(mut self, seconds: i64) -> Self {
        self.took = Some(seconds);
        self.done()
    }
}

/// Seconds after the stop at which the first restore is through, and the second begins and is through.
const FIRST: (i64, i64) = (44, 724);
const SECOND_TRY: (i64, i64) = (800, 1_430);

/// What is said until the first gate: the past, told quickly.
fn until_it_answers(times: &Times) -> Vec<Beat> {
    let at = |seconds: i64| times.stopped_at + seconds * SECOND;
    let offline = format!("OM+ Status: Offline (read {}); webhook 200", time::clock(at(120)));
    vec![
        beat(0, Phase::OrgTold, "webhook sent").since(at(2)),
        beat(60, Phase::OrgTold, offline).since(at(2)).took(4),
        beat(20, Phase::PodsDown, "31 of 42 running").since(at(6)),
        beat(60, Phase::PodsDown, "0 of 42 running").since(at(6)).took(38),
        beat(
            20,
            Phase::Restoring,
            "attempt 1: creating; 8 to 25 min in 12 past restores",
        )
        .since(at(FIRST.0)),
        beat(100, Phase::Restoring, "attempt 1: available")
            .since(at(FIRST.0))
            .took(FIRST.1 - FIRST.0),
    ]
}

/// The second restore; `why` is what the gate said of the first.
fn once_more(times: &Times, why: &str) -> Vec<Beat> {
    let since = times.stopped_at + SECOND_TRY.0 * SECOND;
    let t = time::clock(times.restored_to);
    let recovery = |minutes: i64, left: &str| {
        let at = time::clock(times.restored_to - minutes * 60 * SECOND);
        format!("attempt 2: recovery at {at}, to {t}, {left} of log left")
    };
    let done = format!("attempt 2: available. The gate of attempt 1 was {why}");
    vec![
        beat(100, Phase::Restoring, recovery(31, "31m02"))
            .since(since)
            .share(240),
        beat(100, Phase::Restoring, recovery(7, "6m48")).since(since).share(780),
        beat(100, Phase::Restoring, done)
            .since(since)
            .took(SECOND_TRY.1 - SECOND_TRY.0),
    ]
}

/// What happens while the queue is worked.
fn after_it_answers(held: u64) -> Vec<Beat> {
    vec![
        beat(
            200,
            Phase::Ready,
            "waits for the rescue; MAIL is UP again, was DOWN after T",
        ),
        beat(
            9_000,
            Phase::Ready,
            format!("opening scanned; rescued {held} of {held}; sequences moved on; MAIL taken DOWN; the lead said go"),
        )
        .done(),
        beat(
            300,
            Phase::Drained,
            "draining: \"step finished\" messages are destroyed",
        ),
        beat(1_700, Phase::Drained, "completer queue empty").done(),
        beat(300, Phase::Services, "5 of 14 deployments"),
        beat(1_200, Phase::Services, "11 of 14 deployments"),
        beat(1_000, Phase::Services, "14 of 14 deployments").done(),
        beat(300, Phase::Catalogue, "full sync needed after T: 2 of 5 deltas"),
        beat(1_700, Phase::Catalogue, "full sync done; grants cache reloaded").done(),
        beat(300, Phase::Workers, "6 queues, 3 of 8 workers"),
        beat(1_700, Phase::Workers, "6 queues, 8 of 8 workers").done(),
        beat(300, Phase::Hold, format!("0 of {held} sent, in order")),
        beat(2_500, Phase::Hold, format!("{held} of {held} sent, in order")).done(),
    ]
}

/// The night as the restore tells it.
pub(super) struct Night {
    pub(super) config: Config,
    pub(super) incident: Arc<Incident>,
    pub(super) folder: PathBuf,
    pub(super) pace: Pace,
    pub(super) clock: Clock,
}

impl Night {
    /// Plays the restore until told to stop.
    pub(super) fn play(self, ledger: &mut Ledger, stop: &Stop) -> Result<()> {
        let (times, held) = (*self.incident.times(), self.incident.held());
        let mut window = HoldClock {
            held,
            rescued: 0,
            lost: 0,
            loss_from: Some(times.stopped_at + 8 * SECOND + 30 * 60 * SECOND),
        };
        ledger.set_hold_clock(&window)?;
        let first = self.incident.write_first(&self.config, &self.folder)?;
        let mut before = ledger_of(&first, &self.clock, ORDER_SYSTEM)?;
        let goes_on = self.tell(&mut before, until_it_answers(&times), &mut window, stop)?;
        if !goes_on {
            return Ok(());
        }
        let gate = gate_at(&first, &mut before, times.stopped_at + (FIRST.1 + 20) * SECOND)?;
        drop(before);
        let goes_on = self.tell(ledger, once_more(&times, &gate), &mut window, stop)?;
        if !goes_on {
            return Ok(());
        }
        gate_at(&self.config, ledger, times.stopped_at + (SECOND_TRY.1 + 20) * SECOND)?;
        if self.tell(ledger, after_it_answers(held), &mut window, stop)? {
            triage(ledger, (self.pace, &self.clock), stop)?;
        }
        Ok(())
    }

    /// Says it, beat by beat; false where told to stop.
    fn tell(&self, ledger: &mut Ledger, beats: Vec<Beat>, window: &mut HoldClock, stop: &Stop) -> Result<bool> {
        let mut began = [None; Phase::ALL.len()];
        let held = window.held;
        for beat in beats {
            let mut left = self.pace.of(beat.after);
            // The rescue goes on between the beats: all of it within the nine seconds before `ready` is done.
            let tick = self.pace.of(200);
            while !left.is_zero() {
                let nap = left.min(tick);
                if stop.wait(nap) {
                    return Ok(false);
                }
                left -= nap;
                if beat.phase == Phase::Ready && window.rescued < held && nap == tick {
                    window.rescued = (window.rescued + held.div_ceil(40)).min(held);
                    ledger.set_hold_clock(window)?;
                }
            }
            if beat.phase == Phase::Ready && beat.state == PhaseState::Done {
                if window.rescued < held {
                    window.rescued = held;
                    ledger.set_hold_clock(window)?;
                }
                // Workers start only after the opening.
                while !ledger.was_scanned()? {
                    if stop.wait(tick) {
                        return Ok(false);
                    }
                }
            }
            let mut beat = beat;
            if beat.phase == Phase::Hold && beat.state == PhaseState::Done {
                let waiting = replay::waiting(ledger)?.len() as u64;
                let sent = held.saturating_sub(waiting);
                beat.evidence = format!("{sent} of {held} sent, in order; {waiting} wait for their case");
            }
            say(ledger, &beat, &mut began, self.clock.now())?;
        }
        Ok(true)
    }
}

/// Makes the gate's checks, and keeps them as of this time of the story; gives it in words.
fn gate_at(config: &Config, ledger: &mut Ledger, at: i64) -> Result<String> {
    let mut gate = job::gate(config, Some(ledger), &Progress::default())?;
    gate.at = at;
    ledger.keep_gate(&gate, Asker::Person)?;
    Ok(gate.words())
}

fn say(ledger: &mut Ledger, beat: &Beat, began: &mut [Option<i64>], now: i64) -> Result<()> {
    let began = &mut began[beat.phase as usize];
    let since = *began.get_or_insert(beat.since.unwrap_or(now));
    let over = beat.state == PhaseState::Done;
    ledger.set_phase(
        &PhaseLine {
            phase: beat.phase,
            state: beat.state,
            since: Some(since),
            took: over.then(|| beat.took.map_or(now - since, |s| s * SECOND)),
            evidence: beat.evidence.clone(),
            per_mille: beat.per_mille,
        },
        WHY,
    )
}

/// The last phase is as far as the queue is.
fn triage(ledger: &mut Ledger, (pace, clock): (Pace, &Clock), stop: &Stop) -> Result<()> {
    let mut said = None;
    let since = clock.now();
    loop {
        let counts = ledger.counts()?;
        let (total, left) = (counts.total(), counts.unsettled());
        if total > 0 && said != Some((total, left)) {
            said = Some((total, left));
            let over = left == 0;
            let evidence = format!("{} of {total} cases settled", total - left);
            ledger.set_phase(
                &PhaseLine {
                    phase: Phase::Triage,
                    state: if over { PhaseState::Done } else { PhaseState::Running },
                    since: Some(since),
                    took: over.then(|| clock.now() - since),
                    evidence,
                    per_mille: u16::try_from((total - left) * 1_000 / total).ok(),
                },
                WHY,
            )?;
        }
        if stop.wait(pace.of(500).max(Duration::from_millis(20))) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before() -> Vec<Beat> {
        let times = Times::FIXED;
        [until_it_answers(&times), once_more(&times, "RED")].concat()
    }

    #[test]
    fn every_phase_is_walked_in_order_and_ends() {
        let beats = [before(), after_it_answers(40)].concat();
        assert!(beats.is_sorted_by_key(|b| b.phase));
        // The gate is asked, and triage follows the ledger: neither follows the script.
        for phase in Phase::ALL.iter().filter(|p| !matches!(p, Phase::Gate | Phase::Triage)) {
            let of: Vec<PhaseState> = beats.iter().filter(|b| b.phase == *phase).map(|b| b.state).collect();
            assert_eq!(of.first(), Some(&PhaseState::Running), "{}", phase.name());
            assert_eq!(of.last(), Some(&PhaseState::Done), "{}", phase.name());
        }
    }

    #[test]
    fn the_database_answers_at_once_and_the_rest_takes_half_a_minute() {
        let ms = |beats: Vec<Beat>| beats.iter().map(|b| b.after).sum::<u64>();
        assert!(ms(before()) < 1_000);
        let rest = ms(after_it_answers(40));
        assert!((15_000..30_000).contains(&rest), "{rest} ms");
    }

    #[test]
    fn the_story_is_told_before_the_database_answers() {
        let times = Times::FIXED;
        for beat in before() {
            let end = beat.since.unwrap() + beat.took.unwrap_or_default() * SECOND;
            assert!(end <= times.answers, "{beat:?}");
        }
        assert!(FIRST.1 < SECOND_TRY.0 && times.stopped_at + (SECOND_TRY.1 + 20) * SECOND < times.answers);
    }
}

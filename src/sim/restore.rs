//! The simulated restore: every phase of the Restore view on a fast clock, and the hold's window running meanwhile.
//!
//! The hours before the database answers are over in a second, stamped with the times of the story; what comes after
//! takes its time while the queue is worked.

use super::demo::{Pace, Stop};
use super::story::Times;
use crate::domain::Result;
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::queue::HoldClock;
use crate::domain::time::{self, Clock};
use crate::ledger::Ledger;
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

/// What is said until the gate: the past, told quickly.
fn before_it_answers(times: &Times) -> Vec<Beat> {
    let at = |seconds: i64| times.stopped_at + seconds * SECOND;
    let clock = |seconds: i64| time::clock(at(seconds));
    let t = time::clock(times.restored_to);
    let offline = format!("OM+ Status: Offline (read {}); webhook 200", clock(120));
    let recovery = |minutes: i64, log: &str| {
        format!(
            "creating; recovery at {}, to {t}, {log} of log left",
            time::clock(times.restored_to - minutes * 60 * SECOND)
        )
    };
    vec![
        beat(0, Phase::OrgTold, "webhook sent").since(at(2)),
        beat(80, Phase::OrgTold, offline).since(at(2)).took(4),
        beat(20, Phase::PodsDown, "31 of 42 running").since(at(6)),
        beat(80, Phase::PodsDown, "0 of 42 running").since(at(6)).took(38),
        beat(20, Phase::Restoring, "creating; 8 to 25 min in 12 past restores").since(at(44)),
        beat(120, Phase::Restoring, recovery(31, "31m02"))
            .since(at(44))
            .share(240),
        beat(120, Phase::Restoring, recovery(7, "6m48"))
            .since(at(44))
            .share(780),
        beat(
            120,
            Phase::Restoring,
            format!("available; last commit replayed before {t}"),
        )
        .since(at(44))
        .took(24 * 60),
        beat(20, Phase::Gate, "7 checks, 3 green").since(at(1_486)),
        beat(
            120,
            Phase::Gate,
            "green: 7 of 7 checks; the data is intact, the world has moved on",
        )
        .since(at(1_486))
        .took(31),
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
            format!("rescued {held} of {held}; sequences moved on; MAIL taken DOWN; the lead said go"),
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

/// Plays the restore until told to stop.
pub(super) fn play(
    ledger: &mut Ledger,
    times: &Times,
    held: u64,
    (pace, clock): (Pace, &Clock),
    stop: &Stop,
) -> Result<()> {
    let mut window = HoldClock {
        held,
        rescued: 0,
        lost: 0,
        loss_from: Some(times.stopped_at + 8 * SECOND + 30 * 60 * SECOND),
    };
    ledger.set_hold_clock(&window)?;
    let mut began = [None; Phase::ALL.len()];
    for beat in before_it_answers(times).into_iter().chain(after_it_answers(held)) {
        let mut left = pace.of(beat.after);
        // The rescue goes on between the beats: all of it within the nine seconds before `ready` is done.
        let tick = pace.of(200);
        while !left.is_zero() {
            let nap = left.min(tick);
            if stop.wait(nap) {
                return Ok(());
            }
            left -= nap;
            if beat.phase == Phase::Ready && window.rescued < held && nap == tick {
                window.rescued = (window.rescued + held.div_ceil(40)).min(held);
                ledger.set_hold_clock(&window)?;
            }
        }
        if beat.phase == Phase::Ready && beat.state == PhaseState::Done && window.rescued < held {
            window.rescued = held;
            ledger.set_hold_clock(&window)?;
        }
        say(ledger, &beat, &mut began, clock.now())?;
    }
    triage(ledger, (pace, clock), stop)
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

    #[test]
    fn every_phase_is_walked_in_order_and_ends() {
        let beats: Vec<Beat> = before_it_answers(&Times::FIXED)
            .into_iter()
            .chain(after_it_answers(40))
            .collect();
        assert!(beats.is_sorted_by_key(|b| b.phase));
        // Triage follows the ledger, not the script.
        for phase in &Phase::ALL[..Phase::ALL.len() - 1] {
            let of: Vec<PhaseState> = beats.iter().filter(|b| b.phase == *phase).map(|b| b.state).collect();
            assert_eq!(of.first(), Some(&PhaseState::Running), "{}", phase.name());
            assert_eq!(of.last(), Some(&PhaseState::Done), "{}", phase.name());
        }
    }

    #[test]
    fn the_database_answers_at_once_and_the_rest_takes_half_a_minute() {
        let ms = |beats: Vec<Beat>| beats.iter().map(|b| b.after).sum::<u64>();
        assert!(ms(before_it_answers(&Times::FIXED)) < 1_000);
        let rest = ms(after_it_answers(40));
        assert!((15_000..30_000).contains(&rest), "{rest} ms");
    }

    #[test]
    fn the_story_is_told_before_the_database_answers() {
        for beat in before_it_answers(&Times::FIXED) {
            let end = beat.since.unwrap() + beat.took.unwrap_or_default() * SECOND;
            assert!(end <= Times::FIXED.answers, "{beat:?}");
        }
    }
}

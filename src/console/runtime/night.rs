//! What is watched beside the cluster: the old instances, the deadlines, what Salesforce shows, and the list of what will
//! happen by itself when workers start.

use super::super::model::restore::Night;
use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::work::{Shared, stand_back};
use crate::domain::deadline::{ROOMS, fact};
use crate::domain::old::Old;
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::ready::Ready;
use crate::domain::{Result, org};
use crate::job;
use crate::ledger::{Ledger, Role};
use crate::restore::{clocks, old, org as room, ready};
use std::time::{Duration, Instant};

/// So often somebody looks.
const EVERY: Duration = Duration::from_secs(5);
/// What Salesforce shows changes every five minutes at most.
const ASK_ORG: Duration = Duration::from_secs(20);

/// Looks again and again.
pub fn run(shared: &Shared) -> Result<()> {
    stand_back();
    let mut ledger = shared.open()?;
    let may_set = !shared.readonly && ledger.role() >= Role::Operator;
    let runtime = job::runtime()?;
    let mut instances = old::watches(&shared.config);
    let mut kept = clocks::Logs::default();
    let mut asked_org: Option<Instant> = None;
    let mut list: Option<Made> = None;
    let mut told = Night::default();
    loop {
        bug_on_purpose("night");
        let now = shared.clock.now();
        let mut night = Night::default();
        for instance in &mut instances {
            night.old.push(runtime.block_on(instance.look(now)));
        }
        let attempt = shared.config.incident.attempt;
        old::count_from_shutdown(&mut instances, &mut ledger, attempt, may_set)?;
        for room in ROOMS {
            night
                .told
                .extend(ledger.fact::<Vec<_>>(&fact(room))?.unwrap_or_default());
        }
        night.kept = kept.kept(&shared.config);
        if may_set {
            if asked_org.is_none_or(|at| at.elapsed() >= ASK_ORG) {
                asked_org = Some(Instant::now());
                runtime.block_on(ask_org(shared, &mut ledger, now))?;
            }
            let clock = || shared.clock.now();
            runtime.block_on(room::tell(&shared.config, &mut ledger, &clock))?;
        }
        night.notices = room::notices(shared.config.incident.attempt, &ledger)?;
        // The list rests on the cases: it is made anew where the trail has a new line, and told anew where an old
        // instance changed.
        let newest = ledger.newest_line()?;
        let made = match list.take() {
            Some(made) if !made.is_old(newest, &night.old) => made,
            _ => {
                let began = Instant::now();
                let ready = ready::list(&shared.config, &ledger, &night.old, now)?;
                let of = (newest, night.old.iter().map(Old::alarm).collect());
                Made {
                    of,
                    took: began.elapsed(),
                    at: Instant::now(),
                    ready,
                }
            }
        };
        if may_set {
            set_ready(&mut ledger, &made.ready, now)?;
        }
        night.ready = Some(made.ready.clone());
        list = Some(made);
        if night != told {
            told = night.clone();
            shared.mailbox.tell(Msg::Night(Box::new(night)));
        }
        // Time is the subject: ages and deadlines are looked at so often.
        std::thread::sleep(EVERY);
    }
}

/// The list as it was last made.
struct Made {
    /// The newest line of the trail then, and the alarms of the old instances.
    of: (i64, Vec<Option<String>>),
    took: Duration,
    at: Instant,
    ready: Ready,
}

impl Made {
    /// Whether it is time for another: of a million cases it takes a while, which must stay a small share.
    fn is_old(&self, newest: i64, old: &[Old]) -> bool {
        let alarms = || old.iter().map(Old::alarm);
        let changed = newest != self.of.0 || !alarms().eq(self.of.1.iter().cloned());
        let rested = self.at.elapsed() >= self.took * 20;
        rested && (changed || self.at.elapsed() >= Duration::from_secs(30) && !old.is_empty())
    }
}

/// What Salesforce shows, and the phase that it says of.
async fn ask_org(shared: &Shared, ledger: &mut Ledger, now: i64) -> Result<()> {
    let Some(config) = &shared.config.org else {
        return Ok(());
    };
    let Some(answer) = room::status(config).await else {
        return Ok(());
    };
    let phases = ledger.phases()?;
    let known = phases.iter().find(|line| line.phase == Phase::OrgTold);
    let line = match answer {
        Ok(state) => {
            let shown = room::keep(ledger, state, now)?;
            org::phase(Ok(&shown), &config.offline, known, now)
        }
        Err(error) => org::phase(Err(&error.what), &config.offline, known, now),
    };
    if let Some(line) = line {
        let why = line.evidence.clone();
        ledger.set_phase(&line, &why)?;
    }
    Ok(())
}

/// Once the gate is passed and nobody said go, the phase waits for what is red.
fn set_ready(ledger: &mut Ledger, ready: &Ready, now: i64) -> Result<()> {
    let phases = ledger.phases()?;
    let line = |phase| phases.iter().find(|line| line.phase == phase);
    // What somebody else said of it stays.
    let own = |l: &PhaseLine| l.state == PhaseState::Waiting || Ready::is_like(&l.evidence);
    let open = line(Phase::Ready).is_none_or(own);
    let passed = line(Phase::Gate).is_some_and(|l| l.state == PhaseState::Done);
    let words = ready.words();
    if !open || !passed || line(Phase::Ready).is_some_and(|l| l.evidence == words) {
        return Ok(());
    }
    let line = PhaseLine {
        phase: Phase::Ready,
        state: PhaseState::Running,
        since: Some(now),
        took: None,
        evidence: words.clone(),
        per_mille: None,
    };
    ledger.set_phase(&line, &words)
}

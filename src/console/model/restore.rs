//! The lines of the Restore view: the phases, and below the one under the cursor what it consists of.

use super::{Model, Scan};
use crate::domain::back::CameBack;
use crate::domain::cluster::BEFORE_GO;
use crate::domain::deadline::{Deadline, Kept, Known, deadlines};
use crate::domain::gate::Check;
use crate::domain::old::Old;
use crate::domain::org::Notice;
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::preflight;
use crate::domain::ready::{Line, Ready};
use crate::domain::restoring::Step;

/// What is watched beside the cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Night {
    /// The old instances.
    pub old: Vec<Old>,
    /// What will happen by itself when workers start.
    pub ready: Option<Ready>,
    /// The logs that forget.
    pub kept: Vec<Kept>,
    /// Deadlines that others told of.
    pub told: Vec<Deadline>,
    /// What was told to the org.
    pub notices: Vec<Notice>,
}

/// All deadlines, the one that comes first first.
pub fn clocks(model: &Model) -> Vec<Deadline> {
    deadlines(&Known {
        restored_to: model.setup.restored_to,
        logs: &model.night.kept,
        hold: model.hold.as_ref(),
        told: &model.night.told,
    })
}

/// What every view must say, the worst first: what harms both worlds at once.
pub fn alarms(model: &Model) -> Vec<String> {
    let line = |phase| model.phases.iter().flatten().find(|l: &&PhaseLine| l.phase == phase);
    let begun = |phase| line(phase).is_some_and(|l| l.state != PhaseState::Waiting);
    // Before the shutdown the old instance is the only one, and takes commits as it should.
    let down = line(Phase::PodsDown).is_some_and(|l| matches!(l.state, PhaseState::Done | PhaseState::Failed));
    let stopped = model.setup.stopped_at.is_some_and(|at| at <= model.now);
    let behind = down || stopped || begun(Phase::Restoring) || begun(Phase::Gate);
    let old = model.night.old.iter().filter(|_| behind).filter_map(Old::alarm);
    let pods = line(Phase::PodsDown).filter(|l| l.state == PhaseState::Failed);
    let beaten = line(Phase::Ready).filter(|l| l.state == PhaseState::Failed && l.evidence.contains(BEFORE_GO));
    let others = beaten.or(pods).map(|l| l.evidence.clone());
    old.chain(others).collect()
}

/// What a phase consists of.
#[derive(Debug, Clone, Copy)]
pub enum Below<'m> {
    /// A check of the gate.
    Check(&'m Check),
    /// Something that came back, to be cured before workers start.
    Back(&'m CameBack),
    /// A line of what will happen by itself when workers start.
    Line(&'m Line),
    /// A line of the pre-flight.
    Ahead(&'m preflight::Line),
    /// A step of the restore in AWS.
    Step(&'m Step),
    /// A setting that the restored one lacks.
    Lacks(&'m str),
}

/// What the phase consists of, in order.
pub fn below(model: &Model, phase: Phase) -> Vec<Below<'_>> {
    if let (Phase::Ready, Some(ready)) = (phase, &model.night.ready) {
        return ready.lines.iter().map(Below::Line).collect();
    }
    if phase == Phase::Restoring {
        return restoring(model);
    }
    match (phase, &model.gate, &model.scan) {
        (Phase::Gate, Some(gate), _) => gate.checks.iter().map(Below::Check).collect(),
        (Phase::Ready, _, Scan::Done { back, .. }) => back.iter().map(Below::Back).collect(),
        _ => Vec::new(),
    }
}

/// Before the restore, whether it may work; from then on, its steps and what it lacks.
fn restoring(model: &Model) -> Vec<Below<'_>> {
    let begun = model.restoring.as_ref().filter(|view| view.resource.is_some());
    let Some(view) = begun else {
        let lines = model.preflight.iter().flat_map(|p| &p.lines);
        return lines.map(Below::Ahead).collect();
    };
    let steps = view.steps.iter().map(Below::Step);
    steps.chain(view.lacks.iter().map(|lack| Below::Lacks(lack))).collect()
}

/// Every line: a phase, or a line below it.
pub fn rows(model: &Model) -> Vec<(usize, Option<usize>)> {
    let mut rows = Vec::new();
    for (at, line) in model.phases.iter().flatten().enumerate() {
        rows.push((at, None));
        if at == model.phase_at {
            let n = below(model, line.phase).len();
            rows.extend((0..n).map(|nth| (at, Some(nth))));
        }
    }
    rows
}

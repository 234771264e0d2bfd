//! The lines of the Restore view: the phases, and below the one under the cursor what it consists of.

use super::{Model, Scan};
use crate::domain::back::CameBack;
use crate::domain::gate::Check;
use crate::domain::phase::Phase;

/// What a phase consists of.
#[derive(Debug, Clone, Copy)]
pub enum Below<'m> {
    /// A check of the gate.
    Check(&'m Check),
    /// Something that came back, to be cured before workers start.
    Back(&'m CameBack),
}

/// What the phase consists of, in order.
pub fn below(model: &Model, phase: Phase) -> Vec<Below<'_>> {
    match (phase, &model.gate, &model.scan) {
        (Phase::Gate, Some(gate), _) => gate.checks.iter().map(Below::Check).collect(),
        (Phase::Ready, _, Scan::Done { back, .. }) => back.iter().map(Below::Back).collect(),
        _ => Vec::new(),
    }
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

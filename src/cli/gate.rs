//! `restitch gate`

use super::{Context, DONE, LEFT, bars, complain};
use crate::domain::gate::{Gate, Light, MEANS};
use crate::domain::progress::Progress;
use crate::domain::{Result, time};
use crate::ledger::{Asker, Ledger};
use crate::text::Safe;
use crate::{job, safe};
use serde_json::json;

/// Checks database and point: 0 where the gate is green. What was found is kept in the ledger.
pub fn run(context: &mut Context<'_>) -> Result<u8> {
    let config = context.config()?;
    let progress = Progress::default();
    let mut ledger = match Ledger::open(&config, context.globals.readonly) {
        Ok(ledger) => Some(ledger),
        // To look, nothing is made: there may be no ledger yet.
        Err(_) if context.globals.readonly => None,
        Err(error) => return Err(error),
    };
    let gate = bars::watch(context.globals, &progress, || {
        job::gate(&config, ledger.as_ref(), &progress)
    })?;
    print(context, &gate, config.incident.restored_to)?;
    match &mut ledger {
        Some(ledger) if !context.globals.readonly => {
            ledger.keep_gate(&gate, Asker::Person)?;
            job::tell_org(&config, ledger)?;
        }
        _ => complain("restitch: not kept in the ledger: this restitch only looks"),
    }
    Ok(if gate.light() == Light::Green { DONE } else { LEFT })
}

fn print(context: &mut Context<'_>, gate: &Gate, restored_to: Option<i64>) -> Result<()> {
    let out = &mut *context.out;
    if out.wants_json() {
        return out.json(&json!({
            "light": gate.light(),
            "at": time::format(gate.at),
            "attempt": gate.attempt,
            "restored_to": restored_to.map(time::format),
            "checks": gate.checks,
            "means": MEANS,
        }));
    }
    for check in &gate.checks {
        let cure = match &check.cure {
            Some(cure) if check.light != Light::Green => format!("; do: {cure}"),
            _ => String::new(),
        };
        out.line(&safe!(
            "{}{}: {}{}",
            Safe::ours(check.light.words()).pad(13),
            Safe::of(&check.check),
            Safe::of(&check.what),
            Safe::of(&cure)
        ))?;
    }
    out.line(&safe!("{}", Safe::of(&gate.words())))?;
    if gate.light() == Light::Green {
        out.line(&Safe::ours(MEANS))?;
    }
    Ok(())
}

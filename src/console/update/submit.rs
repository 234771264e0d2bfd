//! What a filled form sends.

use super::acts::when;
use super::{say, send, tick, together};
use crate::console::effect::{Deed, Effect};
use crate::console::model::Model;
use crate::console::model::overlay::{Act, Asks, Confirm, Form};
use crate::domain::queue::Decide;

/// The time that the form names; an error where it is none, which the form then says.
pub(super) fn submit_until(model: &mut Model) -> Result<Option<i64>, ()> {
    let now = model.now;
    let Some(form) = model.form_mut() else { return Ok(None) };
    match form.text(Asks::Until).map(|text| when(text, now)) {
        Some(None) => {
            form.problem = Some("until: 2h, 15:30, or 2026-11-22T15:30:00Z".to_owned());
            form.focus = form.fields.iter().position(|f| f.asks == Asks::Until);
            Err(())
        }
        Some(at) => Ok(at),
        None => Ok(None),
    }
}

/// The masked column that the form names, by itself or with its entity; says so where there is none.
fn unmasking(form: &mut Form, columns: &[(String, String)]) -> Option<(String, String)> {
    let typed = form.text(Asks::Column).unwrap_or_default().to_owned();
    let named = |(entity, column): &&(String, String)| typed == *column || typed == format!("{entity}.{column}");
    let found = columns.iter().find(named).cloned();
    if found.is_none() {
        form.problem = Some(format!("{typed} is none of the masked columns of this case"));
        form.focus = form.fields.iter().position(|f| f.asks == Asks::Column);
    }
    found
}

/// What a form says of a decision.
fn decision(form: &Form) -> Decide {
    let own = |asks| form.text(asks).map(str::to_owned);
    Decide {
        case: form.case.clone(),
        confirm: (form.confirm != Confirm::Yes).then(|| form.case.clone()),
        reason: own(Asks::Reason).unwrap_or_default(),
        reference: own(Asks::Ref),
        to: own(Asks::To),
        evidence: own(Asks::Evidence),
        ..Decide::default()
    }
}

/// Sends what the form says, or says what is missing.
pub fn submit(model: &mut Model, out: &mut Vec<Effect>) {
    let Some(form) = model.form_mut() else { return };
    form.problem = None;
    if let Some(blank) = form.blank() {
        form.problem = Some(format!("{} is missing", form.fields[blank].name));
        form.focus = Some(blank);
        return;
    }
    if together::submit(model, out) {
        return;
    }
    let Ok(until) = submit_until(model) else { return };
    let Some(form) = model.form_mut() else { return };
    let own = |asks| form.text(asks).map(str::to_owned);
    let case = form.case.clone();
    let deed = match form.act.clone() {
        Act::Decide { choice, fence, key } => Deed::Decide(Box::new(Decide {
            key,
            verb: Some(choice.verb),
            until,
            fence,
            seen: choice.seen,
            ..decision(form)
        })),
        Act::Done => Deed::Done {
            case,
            evidence: own(Asks::Evidence).unwrap_or_default(),
        },
        Act::TakeOver => Deed::TakeOver {
            case,
            reason: own(Asks::Reason).unwrap_or_default(),
        },
        Act::Undo => Deed::Undo {
            case,
            reason: own(Asks::Reason).unwrap_or_default(),
        },
        Act::Reopen => Deed::Reopen {
            case,
            reason: own(Asks::Reason).unwrap_or_default(),
        },
        Act::Unmask(columns) => match unmasking(form, &columns) {
            Some((entity, column)) => Deed::Unmask {
                case,
                entity,
                column,
                reason: form.text(Asks::Reason).unwrap_or_default().to_owned(),
            },
            None => return,
        },
        Act::Note => Deed::Note {
            case,
            text: own(Asks::Text).unwrap_or_default(),
        },
        Act::Prove(ids) => Deed::Prove(ids),
        Act::Ignore { entity, column, again } => {
            let reason = own(Asks::Reason).unwrap_or_default();
            if again {
                Deed::CompareAgain { entity, column, reason }
            } else {
                Deed::Ignore { entity, column, reason }
            }
        }
        Act::Tick(phase) => match tick::deed(model, phase) {
            Some(deed) => deed,
            None => return,
        },
        Act::Drop(ids) => Deed::Drop(ids),
        Act::ScanDespite => {
            let despite = own(Asks::Reason);
            model.layer = None;
            out.push(Effect::StartScan { despite });
            say(model, "a scan begins despite the red gate; the audit trail says why");
            return;
        }
        Act::Sift { .. }
        | Act::Bulk(_)
        | Act::StopBulk
        | Act::Sign(_)
        | Act::Decline(_)
        | Act::HandOver
        | Act::SignOff
        | Act::Nothing => return,
        Act::Quit(ids) => {
            model.quitting = true;
            model.layer = None;
            out.push(Effect::Quit { give_back: ids });
            return;
        }
    };
    if let Deed::Decide(decide) = &deed
        && decide.fence.is_none()
    {
        send(model, Deed::Claim(vec![decide.case.clone()]), out);
    }
    let number = send(model, deed, out);
    if let Some(form) = model.form_mut() {
        form.sent = Some(number);
        form.focus = None;
    }
}

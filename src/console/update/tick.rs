//! Ticking a phase that nothing watches, and the lead's go.

use super::acts::{field, form};
use super::lay;
use crate::console::effect::Deed;
use crate::console::model::Model;
use crate::console::model::overlay::{Act, Asks, Confirm, Overlay};
use crate::domain::phase::{Phase, PhaseState};
use crate::domain::ready::{Ready, Stand};

/// So many lines of the list stand in the form.
const MOST: usize = 6;

/// Asks how the phase under the cursor ended.
pub fn form_of(model: &mut Model) {
    let line = model.phases.iter().flatten().nth(model.phase_at);
    let Some((phase, state)) = line.map(|l| (l.phase, l.state)) else {
        return;
    };
    let title = format!("{}, {} now", phase.title(), state.name());
    let mut form = form("", title, Act::Tick(phase), Confirm::Yes, "say so");
    if phase == Phase::Ready {
        form.lines
            .push("done says go: workers may start. It takes a lead.".to_owned());
        form.lines.extend(against(model));
    } else {
        form.lines
            .push("what watches a phase goes on saying what it sees; your word stays beside your name".to_owned());
    }
    let mut ended = field(Asks::Ended, "ended", "done, or failed", true);
    ended.input.set("done");
    form.fields.push(ended);
    form.fields
        .push(field(Asks::Reason, "reason", "a digit, or your own words", true));
    form.presets = ["seen by me", "said by whoever did it"].map(str::to_owned).to_vec();
    lay(model, Overlay::Form(Box::new(form)));
}

/// What stands against a go.
fn against(model: &Model) -> Vec<String> {
    let Some(ready) = &model.night.ready else {
        return vec!["what will happen by itself is not known yet".to_owned()];
    };
    let open = |stand| ready.lines.iter().filter(move |l| l.stand == stand);
    let open = open(Stand::Red).chain(open(Stand::CannotTell));
    let mut lines: Vec<String> = open
        .map(|l| format!("{} {}: {}", l.stand.words(), l.about, l.what))
        .collect();
    if let Some(more) = lines.len().checked_sub(MOST).filter(|n| *n > 0) {
        lines.truncate(MOST);
        lines.push(format!("and {more} more, below the phase"));
    }
    lines
}

/// What the form comes to; `None` where it says something else than done or failed.
pub fn deed(model: &mut Model, phase: Phase) -> Option<Deed> {
    let open = (phase == Phase::Ready).then(|| model.night.ready.as_ref().map(Ready::words));
    let form = model.form_mut()?;
    let own = |asks| form.text(asks).map(str::to_owned).unwrap_or_default();
    let state = match own(Asks::Ended).as_str() {
        "done" => PhaseState::Done,
        "failed" => PhaseState::Failed,
        _ => {
            form.problem = Some("ended: done, or failed".to_owned());
            form.focus = form.fields.iter().position(|f| f.asks == Asks::Ended);
            return None;
        }
    };
    Some(Deed::Tick {
        phase,
        state,
        reason: own(Asks::Reason),
        open: open.flatten(),
    })
}

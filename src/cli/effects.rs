//! What follows a decision, or taking one back, on the command line: its effect, waited for, and how the cases then stand.

use super::{Context, complain};
use crate::config::Config;
use crate::domain::case::State;
use crate::domain::queue::{Course, EffectLine};
use crate::domain::{Error, ErrorKind, Result, time};
use crate::job;
use crate::ledger::Ledger;
use std::thread;
use std::time::Duration;

/// How everything stands after the effect of a deed on this case.
pub struct After {
    /// Every case of the deed.
    pub cases: Vec<(String, State)>,
    /// The effect; `None` where there was none.
    pub effect: Option<EffectLine>,
    /// Why it did not come about, or why nobody knows.
    pub failure: Option<Error>,
}

/// Carries out the effect of a deed: waits until it leaves, lets it, and reads again what it did.
pub fn carry_out(_: &Context<'_>, config: &Config, ledger: &mut Ledger, stand: &[(String, State)]) -> Result<After> {
    let ids: Vec<String> = stand.iter().map(|(id, _)| id.clone()).collect();
    let mut after = After {
        cases: stand.to_vec(),
        effect: None,
        failure: None,
    };
    let Some(id) = ids.first() else { return Ok(after) };
    let Some(line) = ledger
        .case(id)?
        .and_then(|file| file.effect)
        .filter(|l| !l.state.is_over())
    else {
        return Ok(after);
    };
    wait(id, &line);
    let carried = job::carry_out(config, ledger, Some(&ids))?;
    for (id, state) in &mut after.cases {
        if let Some(file) = ledger.case(id)? {
            *state = file.state;
            after.effect = after.effect.or(file.effect);
        }
    }
    let own = carried
        .into_iter()
        .find(|c| c.cases.iter().any(|case| ids.contains(case)));
    after.failure = match own {
        // Somebody took it back while it waited, or another restitch carried it out.
        None => None,
        Some(carried) => match carried.state {
            Course::Failed => carried.error,
            Course::Unknown => Some(
                Error::new(ErrorKind::Unconfirmed, carried.words)
                    .cure("`restitch prove` reads back what became of it; nothing is sent blindly again"),
            ),
            _ => after
                .cases
                .iter()
                .find(|(_, state)| *state == State::Open && !carried.undoes)
                .map(|(id, _)| {
                    Error::failed(format!("{}, but {id} does not stand as decided", carried.words))
                        .cure(format!("`restitch show {id}` says what was read"))
                }),
        },
    };
    Ok(after)
}

/// Waits until a one-way effect leaves.
fn wait(id: &str, line: &EffectLine) {
    let Ok(left) = u64::try_from(line.leaves_at - time::now()) else {
        return;
    };
    complain(&format!(
        "{}: {} leaves at {}; until then `restitch undo {id} --reason …` takes it back",
        id,
        line.does,
        time::format(line.leaves_at)
    ));
    // Time is the subject: the grace before it leaves.
    thread::sleep(Duration::from_micros(left));
}

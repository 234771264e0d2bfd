//! Effects that are due: carried out when they leave, settled where whoever was at it died, read back where their answers
//! were lost. Apart from the deeds: a receiver that does not answer must not hold up what people do.

use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::work::Shared;
use crate::domain::Result;
use crate::domain::progress::Progress;
use crate::domain::queue::Course;
use crate::job;
use crate::ledger::{Ledger, Pending, Role};
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

/// So often somebody looks what has to leave.
const EVERY: Duration = Duration::from_millis(500);
/// What is not known is asked again so often.
const AGAIN: Duration = Duration::from_secs(30);

/// Carries out what is due.
pub fn run(shared: &Shared) -> Result<()> {
    let mut ledger = shared.open()?;
    if shared.readonly || ledger.role() < Role::Operator {
        return Ok(());
    }
    let mut asked: HashMap<String, Instant> = HashMap::new();
    loop {
        // Time is the subject: an effect leaves when it was said that it would.
        thread::sleep(EVERY);
        bug_on_purpose("effects");
        let now = shared.clock.now();
        for effect in ledger.pending_effects()? {
            let rested = asked.get(&effect.key).is_none_or(|at| at.elapsed() >= AGAIN);
            if is_due(&effect, now, rested) {
                asked.insert(effect.key.clone(), Instant::now());
                carry_out(shared, &mut ledger, &effect)?;
            }
        }
    }
}

/// Whether it is this console's to do something about it now.
fn is_due(effect: &Pending, now: i64, rested: bool) -> bool {
    match effect.state {
        Course::Queued => effect.leaves_at <= now,
        Course::Running => rested && effect.leased_until.is_none_or(|until| until <= now),
        _ => rested,
    }
}

fn carry_out(shared: &Shared, ledger: &mut Ledger, effect: &Pending) -> Result<()> {
    let cases = effect.cases.as_slice();
    let carried = job::carry_out(&shared.config, ledger, Some(cases))?;
    if carried.is_empty() && effect.state != Course::Queued {
        // It is not tried again: whether it took place, the restored database may say. Where that does not answer, the
        // next look asks again.
        let _ = job::prove(&shared.config, ledger, Some(cases), &Progress::default());
        return Ok(());
    }
    for done in carried {
        shared.mailbox.tell(Msg::Carried {
            cases: done.cases,
            words: done.words,
            well: done.state == Course::Done,
        });
    }
    Ok(())
}

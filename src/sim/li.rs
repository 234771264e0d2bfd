//! A colleague: holds a case now and then, so that the queue is not a lonely place, and decides nothing.

use super::demo::{Pace, Stop};
use crate::domain::Result;
use crate::domain::case::State;
use crate::domain::queue::Filter;
use crate::ledger::Ledger;
use std::time::Duration;

/// What the colleague is called.
pub(super) const NAME: &str = "li";
/// Who has so few cases left needs nobody in the way.
const FEW: u64 = 12;
/// How long a case is held, in seconds.
const HELD: u32 = 20;
/// Seconds between two cases.
const PAUSE: u64 = 4;

/// Takes a case for a while and gives it back, until told to stop.
pub(super) fn work(ledger: &mut Ledger, pace: Pace, stop: &Stop) -> Result<()> {
    loop {
        let mine = choose(ledger)?;
        // Somebody may have been faster: then another one, later.
        if !mine.is_empty() && ledger.claim(&mine, Duration::from_mins(1)).is_ok() {
            for _ in 0..HELD {
                if stop.wait(pace.of(1_000)) || open(ledger)? <= FEW {
                    break;
                }
            }
            ledger.drop_claims(&mine)?;
        }
        if stop.wait(pace.of(PAUSE * 1_000)) {
            return Ok(());
        }
    }
}

fn open(ledger: &Ledger) -> Result<u64> {
    Ok(ledger.counts()?.of(State::Open))
}

/// The last open case of the queue that nobody holds and that no other is tied to.
fn choose(ledger: &Ledger) -> Result<Vec<String>> {
    if open(ledger)? <= FEW {
        return Ok(Vec::new());
    }
    let filter = Filter {
        state: Some(State::Open),
        ..Filter::default()
    };
    let mut last = Vec::new();
    ledger.each_row(&filter, &mut |row| {
        if row.claim.is_none() && row.blocked_by.is_empty() && row.waited_for == 0 {
            last = vec![row.id.into()];
        }
        true
    })?;
    Ok(last)
}

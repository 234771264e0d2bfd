//! Bulks in the background: what one would decide, and the decisions one by one. Its journal stands in the ledger.

use super::super::effect::Bulking;
use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::lane::Lane;
use super::work::Shared;
use crate::domain::Result;
use crate::domain::paper::{Bulk, BulkAsk, PaperState, Scope};
use crate::job::bulk;
use crate::ledger::Ledger;
use std::sync::atomic::{AtomicBool, Ordering};

/// A look, or the work itself.
#[derive(Debug)]
pub enum Job {
    Sift { scope: Scope, ask: BulkAsk },
    Work(Bulking),
}

/// What is asked for, and whether the one that runs shall stop.
#[derive(Debug, Default)]
pub struct Desk {
    pub asked: Lane<Job>,
    pub stop: AtomicBool,
}

/// Sifts and works when asked.
pub fn run(shared: &Shared) -> Result<()> {
    let mut ledger = shared.open()?;
    loop {
        let job = shared.bulk.asked.next();
        bug_on_purpose("bulk");
        match job {
            Job::Sift { scope, ask } => {
                let sifted = bulk::sift(&shared.config, &ledger, &scope, ask);
                shared.mailbox.tell(Msg::Sifted(sifted));
            }
            Job::Work(bulking) => {
                shared.bulk.stop.store(false, Ordering::SeqCst);
                let ended = work(shared, &mut ledger, bulking);
                shared.mailbox.tell(Msg::BulkEnded(ended.map(Box::new)));
                shared.mailbox.tell(Msg::Changed);
            }
        }
    }
}

fn work(shared: &Shared, ledger: &mut Ledger, bulking: Bulking) -> Result<(Bulk, bool)> {
    let id = match bulking {
        Bulking::New(sifted) => bulk::freeze(ledger, &sifted)?,
        Bulking::Resume(id) => id,
    };
    let waits = ledger.paper(&id)?.is_some_and(|p| p.state == PaperState::Waits);
    if waits && let Some(bulk) = ledger.bulk(&id)? {
        return Ok((bulk, true));
    }
    let done = bulk::run(&shared.config, ledger, &id, &mut |sums| {
        shared.mailbox.tell(Msg::BulkRuns(sums));
        !shared.bulk.stop.load(Ordering::SeqCst)
    })?;
    Ok((done, false))
}

//! What others do in the ledger: a look every half second, never two at once.

use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::scan;
use super::work::Shared;
use crate::domain::Result;
use std::thread;
use std::time::Duration;

/// So often somebody looks.
const EVERY: Duration = Duration::from_millis(500);

/// Looks for changes.
pub fn run(shared: &Shared) -> Result<()> {
    let ledger = shared.open()?;
    let mut seen = ledger.revision()?;
    let mut scanned = None;
    loop {
        bug_on_purpose("watch");
        scan::report_progress(shared);
        let now = ledger.revision()?;
        if now != seen {
            seen = now;
            shared.mailbox.tell(Msg::Changed);
            // Another console's scan makes what this one shows older than it says.
            let last = ledger.last_scan()?.map(|(at, _)| at);
            if last != scanned {
                scanned = last;
                scan::tell_sources(shared, last);
            }
        }
        thread::sleep(EVERY);
    }
}

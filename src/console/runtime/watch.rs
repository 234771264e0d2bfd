//! What others do in the ledger: a look whenever the ears heard something, and every few seconds anyway; never two at once.
//!
//! Renewed leases and read clocks change the ledger all the time; they make only their own rows and the sums be read again.

use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::read::SumsJob;
use super::scan;
use super::work::Shared;
use crate::domain::{Error, Result};
use crate::ledger::anchor::Keeper;
use crate::ledger::{Ledger, Role};
use std::thread;
use std::time::{Duration, Instant};

/// So often the running scan tells how far it is.
const EVERY: Duration = Duration::from_millis(500);
/// Two looks are at least so far apart, however much is heard.
const GAP: Duration = Duration::from_millis(200);
/// Leases end by themselves: their rows are read again so often.
const LEASES: Duration = Duration::from_secs(10);

/// Parked and escalated cases come back by themselves: their times are looked at so often, microseconds.
const DUE: i64 = 2_000_000;

/// Says who sits here, as the ledger knows it.
pub fn tell_person(shared: &Shared, ledger: &Ledger, role: Role) {
    shared.mailbox.tell(Msg::Person {
        who: ledger.who().user.clone(),
        role: role.name(),
        may_act: role >= Role::Operator && !shared.readonly,
    });
}

/// Looks for changes.
pub fn run(shared: &Shared) -> Result<()> {
    let mut ledger = shared.open()?;
    // After the server was lost: what became of decisions that got no answer.
    for words in ledger.resume()? {
        shared.mailbox.tell(Msg::Warning(Error::failed(words)));
    }
    let mut revision = ledger.revision()?;
    let mut line = ledger.newest_line()?;
    let mut scanned = ledger.last_scan()?.map(|(at, _)| at);
    let mut lookers = ledger.lookers()?;
    shared.mailbox.tell(Msg::Lookers(lookers.clone()));
    let mut due_read = 0;
    let mut leases_read = Instant::now();
    let mut role = ledger.role_now()?;
    tell_person(shared, &ledger, role);
    let mut keeper = Keeper::default();
    loop {
        let heard = shared.news.wait(EVERY);
        bug_on_purpose("watch");
        scan::report_progress(shared);
        let mut changed = false;
        if heard {
            // Time is the subject: who hears much does not look all the time.
            thread::sleep(GAP);
            let now = ledger.revision()?;
            changed = now != revision;
            revision = now;
            let now = ledger.role_now()?;
            if now != role {
                role = now;
                tell_person(shared, &ledger, role);
            }
        }
        if changed {
            let others = ledger.lookers()?;
            if others != lookers {
                lookers.clone_from(&others);
                shared.mailbox.tell(Msg::Lookers(others));
            }
            let newest = ledger.newest_line()?;
            if newest == line {
                shared
                    .sums
                    .replace(SumsJob::Overview, |job| matches!(job, SumsJob::Overview));
            } else {
                line = newest;
                shared.mailbox.tell(Msg::Changed);
            }
            // Another console's scan makes what this one shows older than it says.
            let last = ledger.last_scan()?.map(|(at, _)| at);
            if last != scanned {
                scanned = last;
                scan::tell_sources(shared, last);
            }
        }
        let now = shared.clock.now();
        if now >= due_read + DUE {
            let due = ledger.due(due_read)?;
            due_read = now;
            if !due.is_empty() {
                let (ids, labels) = due.into_iter().unzip();
                shared.sums.push(SumsJob::Some(ids));
                shared.mailbox.tell(Msg::Due(labels));
            }
        }
        anchor(shared, &mut keeper, &ledger, line);
        if changed || leases_read.elapsed() >= LEASES {
            leases_read = Instant::now();
            let leased = ledger.leased(2 * LEASES)?;
            if !leased.is_empty() {
                shared.sums.push(SumsJob::Some(leased));
            }
        }
    }
}

/// Anchors the trail when it is time. Where that fails, the rest goes on, and the screen says since when.
fn anchor(shared: &Shared, keeper: &mut Keeper, ledger: &Ledger, newest: i64) {
    if let Some(path) = &shared.config.anchor
        && let Err(error) = keeper.keep(ledger, path, newest, shared.clock.now())
    {
        keeper.failed(shared.clock.now());
        shared.mailbox.tell(Msg::Warning(error));
    }
}

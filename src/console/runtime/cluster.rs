//! The cluster, and the phases that it tells of.

use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::work::Shared;
use crate::domain::Result;
use crate::job;
use crate::ledger::Role;
use crate::restore::cluster::{self, Keeper, Patience};

/// Watches the cluster, where one is configured. Who may change nothing sees it all the same; the phases are then set by
/// somebody else's console.
pub fn run(shared: &Shared) -> Result<()> {
    if shared.config.cluster.is_none() {
        return Ok(());
    }
    let mut ledger = shared.open()?;
    let may_set = !shared.readonly && ledger.role() >= Role::Operator;
    let mut keeper = Keeper::default();
    let mut broken = None;
    let watch = cluster::watch(&shared.config, &shared.clock, Patience::default(), |reading| {
        bug_on_purpose("cluster");
        let mut reading = reading.clone();
        let kept = keeper.take(&mut ledger, &mut reading, may_set, shared.clock.now());
        shared.mailbox.tell(Msg::Cluster(Box::new(reading)));
        broken = kept.err();
        broken.is_none()
    });
    job::runtime()?.block_on(watch)?;
    broken.map_or(Ok(()), Err)
}

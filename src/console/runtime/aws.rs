//! AWS in the background: the restore as it goes, read gently.

use super::super::msg::Msg;
use super::super::term::panics::bug_on_purpose;
use super::work::Shared;
use crate::domain::Result;
use crate::job;
use crate::restore::rds::watch::Watch;

/// Follows the configured restore, where one is. Who may change nothing sees it all the same; the phase is then set by
/// somebody else's console.
pub fn run(shared: &Shared) -> Result<()> {
    let aws = &shared.config.aws;
    if aws.source.is_none() || aws.target.is_none() || shared.config.incident.restored_to.is_none() {
        return Ok(());
    }
    let mut ledger = shared.open()?;
    let mut watch = Watch::new(&shared.config, Some(&ledger), shared.clock.clone())?;
    let runtime = job::runtime()?;
    let mut preflight = ledger.fact(job::PREFLIGHT)?;
    loop {
        shared.mailbox.tell(Msg::Restoring {
            view: Box::new(watch.view().clone()),
            preflight: preflight.map(Box::new),
        });
        bug_on_purpose("aws");
        let (_, pause) = runtime.block_on(watch.look())?;
        if !shared.readonly {
            watch.keep(&mut ledger)?;
        }
        preflight = ledger.fact(job::PREFLIGHT)?;
        shared.mailbox.tell(Msg::Restoring {
            view: Box::new(watch.view().clone()),
            preflight: preflight.clone().map(Box::new),
        });
        // A poll: AWS tells nothing by itself. A person may want to know at once.
        shared.aws.next_within(pause);
    }
}

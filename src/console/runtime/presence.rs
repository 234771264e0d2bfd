//! Tells others which case is open here.

use super::super::term::panics::bug_on_purpose;
use super::work::Shared;
use crate::domain::{ErrorKind, Result};
use crate::ledger::{Ledger, Role, new_key};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// It is said again so often: who says nothing for half a minute is gone.
const AGAIN: Duration = Duration::from_secs(10);

/// The case that is open here.
#[derive(Debug)]
pub struct Desk {
    /// This console, for as long as it runs.
    console: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    case: Option<String>,
    /// Others were not told yet.
    new: bool,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            console: new_key(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }
}

impl Desk {
    /// Another case is open now, or none.
    pub fn open(&self, case: Option<String>) {
        *self.lock() = State { case, new: true };
        self.changed.notify_all();
    }

    /// Whether a case is open.
    pub fn is_open(&self) -> bool {
        self.lock().case.is_some()
    }

    /// Others are told again: the server may have forgotten it.
    pub fn again(&self) {
        self.lock().new = true;
        self.changed.notify_all();
    }

    /// Waits until another case is open, or until it is time to say it again.
    fn next(&self) -> Option<String> {
        let state = self.lock();
        // Where none is open there is nothing to say again.
        let waits = |s: &mut State| !s.new && s.case.is_none();
        let state = self
            .changed
            .wait_while(state, waits)
            .unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, AGAIN, |s| !s.new);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.new = false;
        state.case.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells, as long as this person may act: who only looks is on nothing.
pub fn run(shared: &Shared) -> Result<()> {
    let mut ledger = shared.open()?;
    loop {
        let case = shared.presence.next();
        bug_on_purpose("presence");
        tell(shared, &mut ledger, case.as_deref())?;
    }
}

/// Tells others that nothing is open here any more.
pub fn leave(shared: &Shared, ledger: &mut Ledger) -> Result<()> {
    shared.presence.open(None);
    tell(shared, ledger, None)
}

fn tell(shared: &Shared, ledger: &mut Ledger, case: Option<&str>) -> Result<()> {
    // Asked every time: the trail keeps it when somebody is refused.
    if shared.readonly || ledger.role_now()? < Role::Operator {
        return Ok(());
    }
    match ledger.look(&shared.presence.console, case) {
        Err(error) if error.kind == ErrorKind::Lost => Err(error),
        // Who cannot be told sees the claim, which is what counts.
        Ok(()) | Err(_) => Ok(()),
    }
}

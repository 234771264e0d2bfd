//! The hold on a broker: its deadlines, the rescue of what waits, the release of what was rescued.
//!
//! | file | what it does |
//! | --- | --- |
//! | `clock` | from when on a loss is possible, what is lost already: arithmetic, told everything |
//! | [`follow`] | reads offsets, settings and messages from the brokers, and goes on doing so |
//! | [`status`] | what ledger and brokers know together |

mod clock;
pub mod follow;
pub mod status;

//! The hold on a broker: its deadlines, the rescue of what waits, the release of what was rescued.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`ask`] | partitions and offsets, asked of the brokers |
//! | `clock` | from when on a loss is possible, what is lost already: arithmetic, told everything |
//! | [`mod@file`] | the rescue file, which survives a crash at any byte |
//! | [`follow`] | reads the whole topic, and goes on doing so |
//! | `journal` | what a release is about to do, and what it did |
//! | [`order`] | in which order rescued messages go back |
//! | [`release`] | sends rescued messages back, once each |
//! | [`rescue`] | copies every message into a file, and follows |
//! | [`status`] | what ledger and brokers know together |
//! | `watched` | one partition that is followed |

pub mod ask;
mod clock;
pub mod file;
pub mod follow;
mod journal;
pub mod order;
pub mod release;
pub mod rescue;
pub mod status;
mod watched;

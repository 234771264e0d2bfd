//! RDS, read-only: may the restore work, which command does it, how far is it? Every call describes, lists or gets.
//!
//! | file | what it does |
//! | --- | --- |
//! | `client` | the credential chain, and what an error asks of a person |
//! | `db` | an instance or a cluster |
//! | `permit` | who asks, and what whoever runs the restore may |
//! | `status` | what a status means for a restore |
//! | `events` | events, and how long past restores took |
//! | `keys` | the key of the storage and the key of personal data |
//! | `inside` | settings and system instances, before and after |
//! | `check` | the pre-flight |
//! | `command` | the command lines |
//! | `watch`, `follow` | looking again and again; what the readings make of the restore |
//! | `log` | how far recovery is, by the log files |
//! | `token` | RDS IAM authentication |

pub mod check;
pub mod client;
pub mod command;
pub mod db;
pub mod events;
pub mod follow;
pub mod inside;
mod keys;
pub mod log;
pub mod permit;
pub mod status;
pub mod token;
pub mod watch;

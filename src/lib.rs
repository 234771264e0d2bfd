//! restitch: a console for the hours after a database restore.
//!
//! One binary, one crate, one direction of data:
//!
//! ```text
//!  log sources ──▶ formats ──▶ fold ─┐
//!                         restored ──┼─▶ scan ──▶ ledger: cases ──▶ console / commands
//!                         hold ──────┘              ▲    ▼
//!                                        resolve: decide ─▶ effect ─▶ prove
//! ```
//!
//! Where is …?
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`cli`] | the command line: one file a command |
//! | [`console`] | the terminal program |
//! | [`config`] | layers of configuration, checks, errors with file and line |
//! | [`domain`] | the words of the trade as types: schema, values, findings, cases, verbs, errors; no I/O |
//! | [`job`] | the long jobs that commands, console and demo share: scan, prove |
//! | [`kafka`] | the Kafka client: how every room reaches a cluster, and what it says when it cannot |
//! | [`log`] | the order log: sources, formats, and the fold that makes one row of all events of a key |
//! | [`ledger`] | cases, claims, decisions, the audit trail: what everyone sees and does goes through it |
//! | [`report`] | the report of an incident, for people, spreadsheets and programs |
//! | [`resolve`] | which verbs a case allows and why not, the to-do behind each, the proof |
//! | [`restore`] | what belongs to a restore itself: the gate, what came back, the hold |
//! | [`restored`] | the restored database: PostgreSQL and SQLite behind one trait |
//! | [`scan`] | log against restored database: findings, families, references, cases, advice |
//! | [`text`] | text that may stand on a terminal: nothing in the data can move a cursor or pass for something else |
//! | [`theme`] | the colours by what they mean, from files |
//! | [`sim`] | a seeded incident with its truth, a simulated restore and order system: the demo |

pub mod cli;
pub mod config;
pub mod console;
#[cfg(test)]
#[path = "../tests/support/dice.rs"]
mod dice;
pub mod domain;
pub mod job;
pub mod kafka;
pub mod ledger;
pub mod log;
pub mod report;
pub mod resolve;
pub mod restore;
pub mod restored;
pub mod scan;
pub mod sim;
pub mod text;
pub mod theme;

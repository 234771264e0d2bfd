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
//! | [`domain`] | the words of the trade as types: schema, values, findings, cases, verbs, errors; no I/O |

pub mod domain;

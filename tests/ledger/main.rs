//! The ledger in PostgreSQL: the contract of both stores, then what only a war room has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_imports,
    missing_docs,
    reason = "tests"
)]

#[path = "../pty/hands.rs"]
mod hands;
#[path = "../support/mod.rs"]
mod support;
#[path = "../pty/terminal.rs"]
mod terminal;

mod console;
mod contract;
mod create;
mod ears;
mod outcomes;
mod pooler;
mod races;
mod raw;
mod roles;
mod room;
mod tamper;
mod tls;

// The tests of both stores name their parts as the crate does.
use restitch::{config, domain, ledger, scan};

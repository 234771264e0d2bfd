//! The restored database: one contract for PostgreSQL and SQLite, then what only a server has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod contract;
mod iam;
mod names;
mod server;
mod tls;

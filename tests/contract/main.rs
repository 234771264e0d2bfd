//! The contract sentence by sentence, held against the real binary on PostgreSQL and SQLite.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]
#![allow(clippy::duplicate_mod, reason = "the same tests with the ledger elsewhere")]

#[path = "../cli/night.rs"]
#[allow(dead_code, reason = "shared with another binary, which uses the rest")]
mod night;
#[path = "../support/mod.rs"]
mod support;

mod database;
mod differences;
mod effects_killed;
mod findings;
mod gate;
mod intent;
mod known;
mod life;
mod on_file;
mod on_restored;
mod on_server;
mod opening;
mod outside;
mod people;
mod sources;
mod streams;
mod undone;
mod world;

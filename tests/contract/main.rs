//! The contract sentence by sentence, held against the real binary on PostgreSQL and SQLite.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

#[path = "../cli/night.rs"]
#[allow(dead_code, reason = "shared with another binary, which uses the rest")]
mod night;
#[path = "../support/mod.rs"]
mod support;

mod database;
mod differences;
mod effects;
mod effects_cut;
mod effects_sent;
mod findings;
mod gate;
mod known;
mod life;
mod opening;
mod outside;
mod people;
mod sources;
mod streams;
mod undone;
mod world;

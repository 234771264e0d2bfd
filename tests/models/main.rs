//! Seeded models: what restitch does, step by step, against what a few lines of a reference say.
//!
//! `RESTITCH_SEED=N` replays one seed, `RESTITCH_SOAK=1` runs many more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod claims;
mod export;
mod reference;
mod replay;

//! Bad input of every kind through the real binary: a clear error (what, where, what to do), the right exit code, and
//! nothing lost.
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

mod data;
mod logs;
mod places;
mod server;

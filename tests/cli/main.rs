//! The real binary on a SQLite database and a native log: exit codes, JSON to the letter, messages for bad input.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod again;
mod anchors;
mod bad_input;
mod bars;
mod deeds;
mod demo;
mod doctor;
mod four_eyes;
mod masked;
mod night;
mod preview;
mod report;
mod scans;
mod secrets;
mod surface;

//! The hold on a broker: deadlines, rescue, release. The broker is real and keeps to its retention while the tests run; it
//! is no Apache Kafka.
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
#[path = "../pty/terminal.rs"]
mod terminal;

mod console;
mod faults;
mod postgres;
mod relay;
mod release;
mod rescue;
mod sasl;
mod scan;
mod status;
mod tls;
mod world;

//! What is watched around a restore, through everything that goes wrong: the cluster as a Kubernetes API server tells it,
//! the old instance, the org, the clocks; and the list before workers start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

#[path = "../support/kubernetes.rs"]
mod kubernetes;
#[path = "../cli/night.rs"]
#[allow(dead_code, reason = "shared with another binary, which uses the rest")]
mod night;
#[path = "../support/mod.rs"]
mod support;
#[path = "../pty/terminal.rs"]
mod terminal;
#[path = "../contract/world.rs"]
#[allow(dead_code, reason = "shared with another binary, which uses the rest")]
mod world;

mod console;
mod doctor;
mod old;
mod org;
mod phases;
mod ready;

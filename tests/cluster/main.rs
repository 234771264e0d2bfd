//! The cluster as a Kubernetes API server tells it, through everything that goes wrong between the two.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

#[path = "../support/kubernetes.rs"]
mod kubernetes;

mod phases;

//! The restore in AWS: against a peer that speaks its protocol, and against moto.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

#[path = "../support/kubernetes.rs"]
#[allow(dead_code, reason = "shared with another binary, which uses the rest")]
mod kubernetes;
#[path = "../cli/night.rs"]
#[allow(dead_code, reason = "shared with another binary, which uses the rest")]
mod night;
#[path = "../support/mod.rs"]
mod support;
#[path = "../pty/terminal.rs"]
mod terminal;

mod check;
mod console;
mod moto;
mod peer;
mod story;
mod watch;

use night::{Night, Ran};
use peer::Peer;
use std::process::Command;

/// A night whose restore is looked after by this peer.
struct Site {
    night: Night,
    peer: Peer,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            night: Night::new(),
            peer: Peer::start(),
        };
        site.configure("", "");
        site
    }

    /// More keys of `[aws]`, and more tables.
    fn configure(&self, aws: &str, more: &str) {
        let usual = night::CONFIG.replace("[restored]", "stopped_at = \"2026-11-22T14:31:00Z\"\n\n[restored]");
        let config = format!(
            "{usual}\n{more}\n[aws]\nregion = \"eu-central-1\"\nendpoint = \"{}\"\nsource = \"om-prod\"\n\
             target = \"om-prod-restored\"\n{aws}\n",
            self.peer.url
        );
        self.night.write("restitch.toml", config);
    }

    /// The binary, with credentials of its own and without this machine's.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.night.command(args);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "this-is-secret")
            .env("PACE_OF_RESTITCH", "0.002");
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Night::finish(self.command(args).output().unwrap())
    }
}

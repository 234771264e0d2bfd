//! `restitch hold`

mod release;
mod rescue;
mod status;

use super::Context;
use crate::domain::Result;
use clap::{Args, Subcommand};

/// Arguments of `hold`.
#[derive(Debug, Args)]
pub struct Hold {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Clocks and counts, partition by partition; commits nothing
    Status(status::Status),
    /// Copy every message of the topic into a file, byte for byte, before the broker deletes it
    Rescue(rescue::Rescue),
    /// Send rescued messages back to the topic, parents before what refers to them, once each
    Release(release::Release),
}

impl Hold {
    /// Runs the command under `hold`.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            Command::Status(args) => args.run(context),
            Command::Rescue(args) => args.run(context),
            Command::Release(args) => args.run(context),
        }
    }
}

//! `restitch completions SHELL`

use super::{Cli, Context, DONE};
use crate::domain::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell
    shell: Shell,
}

impl Completions {
    /// Prints the completions.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "restitch", &mut script);
        context.out.raw(&String::from_utf8_lossy(&script))?;
        Ok(DONE)
    }
}

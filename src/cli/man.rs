//! `restitch man`

use super::{Cli, Context, DONE};
use crate::domain::Result;
use clap::CommandFactory;

/// Prints the manual page, its sub-commands' pages behind it.
pub fn run(context: &mut Context<'_>) -> Result<u8> {
    let mut page = Vec::new();
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for sub in command.get_subcommands() {
        clap_mangen::Man::new(sub.clone()).render(&mut page)?;
    }
    context.out.raw(&String::from_utf8_lossy(&page))?;
    Ok(DONE)
}

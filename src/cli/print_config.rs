//! `restitch print-config`

use super::{Context, DONE};
use crate::config;
use crate::domain::Result;

/// Prints the commented default configuration.
pub fn run(context: &mut Context<'_>) -> Result<u8> {
    context.out.raw(config::DEFAULT)?;
    Ok(DONE)
}

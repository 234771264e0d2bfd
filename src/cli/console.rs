//! `restitch console`, and `restitch` alone

use super::{Context, DONE, Globals};
use crate::config::Config;
use crate::console::{self, Ended, Options};
use crate::domain::time::Clock;
use crate::domain::{Error, Result};

/// Opens the console on the configured incident.
pub fn run(context: &mut Context<'_>) -> Result<u8> {
    let config = context.config()?;
    open(context.globals, &config, Clock::default())?.pass_on();
    Ok(DONE)
}

/// Opens the console on an incident, in which it is this time.
pub fn open(globals: &Globals, config: &Config, clock: Clock) -> Result<Ended> {
    if globals.no_input || globals.json || globals.plain {
        return Err(Error::usage("the console needs a person at a terminal")
            .cure("without one use scan, cases, show, claim, resolve and prove; `restitch --help` lists them"));
    }
    let options = Options {
        readonly: globals.readonly,
        ascii: globals.ascii,
        color: globals.color,
        clock,
        ..Options::default()
    };
    console::run(config, options)
}

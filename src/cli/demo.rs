//! `restitch demo`

use super::{Context, DONE, console, scan};
use crate::domain::{Error, Result};
use crate::sim::{Demo, ORDERS, Pace};
use clap::Args;

/// Makes a seeded incident in a private folder and shows it.
#[derive(Debug, Args)]
pub struct Show {
    /// Make the incident of this number: the same one makes the same incident
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many orders it has
    #[arg(long, value_name = "N", default_value_t = ORDERS, value_parser = orders)]
    orders: usize,
    /// Scan it without a terminal and print what `scan` prints
    #[arg(long)]
    headless: bool,
}

fn orders(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=1_000_000) => Ok(n),
        _ => Err("a number from 1 to 1000000".to_owned()),
    }
}

impl Show {
    /// Runs it; the folder is gone afterwards.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let globals = context.globals;
        let own = [
            ("--config", globals.config.is_some()),
            ("--incident", globals.incident.is_some()),
            ("--ledger", globals.ledger.is_some()),
        ];
        if let Some((flag, _)) = own.iter().find(|(_, given)| *given) {
            return Err(Error::usage(format!("{flag} does not go with `demo`"))
                .cure("the demo brings its own incident, configuration and ledger"));
        }
        let mut demo = Demo::new(self.seed, self.orders)?;
        if self.headless {
            return scan::scan(context, demo.config(), None);
        }
        demo.start(Pace::LIVE)?;
        let ended = console::open(globals, demo.config(), demo.clock().clone());
        // The folder goes first: a signal passed on leaves nobody to remove it.
        drop(demo);
        ended?.pass_on();
        Ok(DONE)
    }
}

//! The PostgreSQL ledger under faults: consoles killed while they decide, lines cut at every message, a server that
//! crashes. Nothing that was acknowledged is lost, nothing is done twice, whatever happens when. Each test counts the faults
//! that landed; `planted` shows that the same checks find what they are for.
//!
//! `RESTITCH_SEED` repeats a run's random moments; with `RESTITCH_SOAK` the sizes are those of a night.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../../src/ledger/tests/made.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of the ledger use all of it")]
mod contract;
#[path = "../ledger/raw.rs"]
#[allow(dead_code, reason = "the tests of the ledger use all of it")]
mod raw;
#[path = "../ledger/room.rs"]
#[allow(dead_code, reason = "the tests of the ledger use all of it")]
mod room;

mod crashes;
mod cuts;
mod decider;
mod kills;
mod planted;
mod truth;

use contract::Verb;
use restitch::config::{Config, Effect};
use restitch::ledger::Ledger;
// What the ledger's tests share names its parts as the crate does.
use restitch::{config, domain, ledger};
use support::dice::is_soak;

/// The size of a test: on every push, or of a night.
fn size(ci: usize, soak: usize) -> usize {
    if is_soak() { soak } else { ci }
}

/// The seed of the random moments, printed: the same seed picks the same.
fn seed() -> u64 {
    let given = std::env::var("RESTITCH_SEED");
    let seed = given.map_or_else(|_| any_seed(), |seed| seed.parse().expect("RESTITCH_SEED is a number"));
    println!("RESTITCH_SEED={seed}");
    seed
}

/// A fresh key ends with random digits.
fn any_seed() -> u64 {
    let key = ledger::new_key();
    u64::from_str_radix(&key[key.len() - 8..], 16).unwrap()
}

/// Reapplying writes rows: its effect is stored with the decision.
fn with_effects(config: &mut Config) {
    config.effects.verbs.insert(Verb::Reapply, Effect::Sql);
}

/// Lost orders 0 to `n`.
fn store_orders(ledger: &mut Ledger, n: usize) {
    let cases = (0..n).map(|k| contract::order(&k.to_string(), &[contract::Kind::Lost]));
    contract::store(ledger, cases.collect());
}

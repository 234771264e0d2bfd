//! What a decision does beyond the ledger, with the ledger in a SQLite file.

use crate::world::{Event, Place, World};

#[path = "effects.rs"]
mod effects;
#[path = "effects_cut.rs"]
mod effects_cut;
#[path = "effects_secret.rs"]
mod effects_secret;
#[path = "effects_sent.rs"]
mod effects_sent;

use effects::MARKER;

/// Tells these tests from those of other ledgers.
const NAME: &str = "file";
/// What is said where the answer was lost and found again.
const SETTLED: &str = "done before";
/// Whether it is said where nothing was lost too.
const UNCUT: bool = false;

/// How often something was done under this key.
fn done_by(world: &World, key: &str) -> String {
    world.sql(&format!("select count(*) from restitch_decisions where key = '{key}'"))
}

fn begin(sql: &str, schema: &str, events: &[Event<'_>]) -> World {
    World::with_ledger(Place::File, sql, schema, events)
}

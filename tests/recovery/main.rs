//! A real point-in-time recovery, made here: WAL archive, base backup, traffic, recovery to T, promotion, more traffic.
//! The log comes from the same server by wal2json; the truth comes from comparing both servers in SQL. `restitch` must
//! agree with it finding by finding and field by field, in every format of the log, and with the live server itself as the log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "comparisons read better with values made on the spot"
)]

#[path = "../support/mod.rs"]
mod support;

mod capture;
mod check;
mod formats;
mod gate;
mod night;
mod traffic;
mod truth;
mod world;

use truth::{Log, Truth};
use world::World;

#[test]
fn a_scan_after_a_real_recovery_agrees_with_the_truth_in_every_format_and_with_the_old_instance() {
    let world = World::make();
    let events = capture::events(&world);
    let truth = Truth::read(&world, Log::Events);
    truth.covers_every_kind();
    gate::tells_the_servers_apart(&world, &events);
    for format in formats::Format::ALL {
        check::agrees(&world, &truth, &events, format);
    }
    let whole = Truth::read(&world, Log::Whole);
    truth.agrees_with_whole(&whole);
    check::instance_agrees(&world, &whole);
    night::gate(&world);
    night::preview(&world);
    night::coverage(&world);
    // From here on the restored server is no longer as it was at the opening.
    night::opening(&world);
}

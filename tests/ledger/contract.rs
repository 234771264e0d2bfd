//! What a SQLite ledger is held to, held against PostgreSQL: the same files.

use crate::room::Room;
use crate::support::dice;

#[path = "../../src/ledger/tests/anchors.rs"]
mod anchors;
#[path = "../../src/ledger/tests/deeds.rs"]
mod deeds;
#[path = "../../src/ledger/tests/hold.rs"]
mod hold;
#[path = "../../src/ledger/tests/ignores.rs"]
mod ignores;
#[path = "../../src/ledger/tests/keys.rs"]
mod keys;
#[path = "../../src/ledger/tests/lines.rs"]
mod lines;
#[path = "../../src/ledger/tests/made.rs"]
mod made;
#[path = "../../src/ledger/tests/openings.rs"]
mod openings;
#[path = "../../src/ledger/tests/papers.rs"]
mod papers;
#[path = "../../src/ledger/tests/races.rs"]
mod races;
#[path = "../../src/ledger/tests/reopen.rs"]
mod reopen;
#[path = "../../src/ledger/tests/scans.rs"]
mod scans;
#[path = "../../src/ledger/tests/tamper.rs"]
mod tamper;
#[path = "../../src/ledger/tests/trail.rs"]
mod trail;

pub(crate) use made::*;

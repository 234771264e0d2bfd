//! The journal of bulks: a frozen set of cases, and how each of them ended. It survives the death of whoever works it off.

use super::Ledger;
use super::audit::Deed;
use super::fault::Res;
use super::sqlite::Tx;
use super::store::{Act, Row};
use crate::domain::Result;
use crate::domain::paper::{Bulk, BulkAsk, BulkItem, Excluded, ItemState, Sums};
use rusqlite::params;
use serde::Serialize;

/// A set is frozen.
#[derive(Debug, Serialize)]
struct Freeze<'a> {
    id: &'a str,
    ask: &'a BulkAsk,
    scope: &'a str,
    excluded: &'a [Excluded],
    /// Cases and the digests of what was seen of them.
    items: &'a [(String, String)],
}

/// A case of it ended.
#[derive(Debug, Serialize)]
struct Mark<'a> {
    id: &'a str,
    nth: u32,
    state: ItemState,
    why: Option<&'a str>,
}

/// Work on it begins or goes on, stops, or is done.
#[derive(Debug, Serialize)]
struct Turn<'a> {
    id: &'a str,
    /// Why it stopped; `None` where it goes on or is done.
    stopped: Option<&'a str>,
    why: &'a str,
}

const BULK: &str =
    "SELECT b.id, b.ask, b.scope, b.by, b.at, b.excluded, b.stopped, b.total, b.done, b.failed, b.skipped, b.pending
    FROM bulk_list b WHERE b.incident = ?1";

fn read_bulk(row: &dyn Row) -> Res<Bulk> {
    let sum = |at| -> Res<u64> { Ok(row.get_int(at)?.unwrap_or(0).unsigned_abs()) };
    Ok(Bulk {
        id: row.own(0)?,
        ask: row.json(1)?,
        scope: row.own(2)?,
        by: row.own(3)?,
        at: row.int(4)?,
        excluded: row.json(5)?,
        stopped: row.own_or_null(6)?,
        sums: Sums {
            total: sum(7)?,
            done: sum(8)?,
            failed: sum(9)?,
            skipped: sum(10)?,
            pending: sum(11)?,
        },
    })
}

impl Ledger {
    /// All bulks, oldest first.
    pub fn bulks(&self) -> Result<Vec<Bulk>> {
        self.read(|at| at.all(&format!("{BULK} ORDER BY b.no"), &[at.incident().into()], read_bulk))
    }

    /// The bulk of this id.
    pub fn bulk(&self, id: &str) -> Result<Option<Bulk>> {
        self.read(|at| {
            at.one(
                &format!("{BULK} AND b.id = ?2"),
                &[at.incident().into(), id.into()],
                read_bulk,
            )
        })
    }

    /// The cases of a bulk, in their order; `pending`: only those that are still to come.
    pub fn bulk_items(&self, id: &str, pending: bool) -> Result<Vec<BulkItem>> {
        let only = if pending { " AND i.state = 'pending'" } else { "" };
        self.read(|at| {
            at.all(
                &format!(
                    "SELECT i.nth, i.id, i.seen, i.state, i.why FROM bulk_items i JOIN bulks b ON b.no = i.bulk
                     WHERE b.incident = ?1 AND b.id = ?2{only} ORDER BY i.nth"
                ),
                &[at.incident().into(), id.into()],
                |r| {
                    Ok(BulkItem {
                        nth: u32::try_from(r.int(0)?).unwrap_or(u32::MAX),
                        case: r.own(1)?,
                        seen: r.own(2)?,
                        state: ItemState::of_name(r.text(3)?).unwrap_or(ItemState::Pending),
                        why: r.own_or_null(4)?,
                    })
                },
            )
        })
    }

    /// Freezes a set of cases for the same decision: cases, and the digests of what was seen of them.
    pub fn freeze_bulk(
        &mut self,
        id: &str,
        ask: &BulkAsk,
        scope: &str,
        items: &[(String, String)],
        excluded: &[Excluded],
    ) -> Result<()> {
        self.act(&Freeze {
            id,
            ask,
            scope,
            excluded,
            items,
        })
    }

    /// Notes how a case of a bulk ended.
    pub fn mark_bulk(&mut self, id: &str, nth: u32, state: ItemState, why: Option<&str>) -> Result<()> {
        self.act(&Mark { id, nth, state, why })
    }

    /// Notes that work on a bulk goes on, stops (and why) or is done.
    pub fn turn_bulk(&mut self, id: &str, stopped: Option<&str>, why: &str) -> Result<()> {
        self.act(&Turn { id, stopped, why })
    }
}

fn deed(id: &str) -> Deed<'_> {
    Deed {
        action: "bulk",
        key: Some(id),
        ..Deed::default()
    }
}

impl Act for Freeze<'_> {
    type Answer = ();
    const NAME: &'static str = "freeze_bulk";

    fn deed(&self) -> Deed<'_> {
        Deed {
            verb: Some(self.ask.verb.name()),
            ..deed(self.id)
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        tx.require_operator()?;
        let new = tx.db.execute(
            "INSERT INTO bulks (incident, id, ask, scope, by, at, excluded) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO NOTHING",
            params![
                tx.incident,
                self.id,
                serde_json::to_string(self.ask)?,
                self.scope,
                tx.who.user,
                tx.now,
                serde_json::to_string(self.excluded)?
            ],
        )?;
        // Frozen before, and the answer was lost.
        if new == 0 {
            return Ok(());
        }
        let bulk = tx.db.last_insert_rowid();
        let mut item = tx
            .db
            .prepare_cached("INSERT INTO bulk_items (bulk, nth, id, seen) VALUES (?1, ?2, ?3, ?4)")?;
        for (nth, (case, seen)) in (1_i64..).zip(self.items) {
            item.execute(params![bulk, nth, case, seen])?;
        }
        let why = format!(
            "{} cases, {} left out; {}: {}",
            self.items.len(),
            self.excluded.len(),
            self.scope,
            self.ask.reason
        );
        tx.audit(Deed {
            outcome: "ok",
            why: Some(&why),
            ..self.deed()
        })
    }
}

impl Act for Mark<'_> {
    type Answer = ();
    const NAME: &'static str = "mark_bulk";

    fn deed(&self) -> Deed<'_> {
        deed(self.id)
    }

    /// The decision has its own line in the audit trail, and a refused one too.
    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        tx.require_operator()?;
        tx.db
            .prepare_cached(
                "UPDATE bulk_items SET state = ?4, why = ?5
                 WHERE bulk = (SELECT no FROM bulks WHERE incident = ?1 AND id = ?2 AND by = ?6) AND nth = ?3 AND state = 'pending'",
            )?
            .execute(params![
                tx.incident,
                self.id,
                self.nth,
                self.state.name(),
                self.why,
                tx.who.user
            ])?;
        Ok(())
    }
}

impl Act for Turn<'_> {
    type Answer = ();
    const NAME: &'static str = "turn_bulk";

    fn deed(&self) -> Deed<'_> {
        deed(self.id)
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        tx.require_operator()?;
        tx.db.execute(
            "UPDATE bulks SET stopped = ?3 WHERE incident = ?1 AND id = ?2 AND by = ?4",
            params![tx.incident, self.id, self.stopped, tx.who.user],
        )?;
        tx.audit(Deed {
            outcome: "ok",
            why: Some(self.why),
            ..self.deed()
        })
    }
}

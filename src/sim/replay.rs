//! What comes back: the held orders once the hold is replayed, and parked cases once what they wait for is there.

use super::carry::Keys;
use super::model::{Row, Table};
use super::story::Held;
use super::write::sql;
use crate::domain::Result;
use crate::domain::case::State;
use crate::domain::phase::{Phase, PhaseState};
use crate::domain::queue::Filter;
use crate::domain::time;
use crate::domain::{Error, ErrorKind};
use crate::ledger::Ledger;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use std::collections::HashSet;

/// A parked case waits at least so long for its answer, microseconds.
const ANSWER: i64 = 3_000_000;

/// The held orders that wait for the decision on their case, by label: they are not sent.
pub(super) fn waiting(ledger: &Ledger) -> Result<HashSet<String>> {
    let mut labels = HashSet::new();
    ledger.each_row(&Filter::default(), &mut |row| {
        labels.extend(row.id.strip_prefix("held:").map(str::to_owned));
        true
    })?;
    Ok(labels)
}

/// Whether the hold was sent, so that services answer again.
pub(super) fn is_sent(ledger: &Ledger) -> Result<bool> {
    let phases = ledger.phases()?;
    Ok(phases
        .iter()
        .any(|line| line.phase == Phase::Hold && line.state == PhaseState::Done))
}

/// Sends the held orders to the order intake, in order, all but those that wait.
pub(super) fn send(db: &Connection, keys: &mut Keys, held: &[Held], waiting: &HashSet<String>) -> Result<()> {
    let mut send = || -> rusqlite::Result<()> {
        let tx = db.unchecked_transaction()?;
        let status = ("status", Sql::Text("Submitted".to_owned()));
        for held in held.iter().filter(|held| !waiting.contains(&held.label)) {
            let order = keys.fresh(&tx, Table::Order.spec().table, "id")?;
            insert(
                &tx,
                Table::Order,
                &held.order,
                &[("id", Sql::Integer(order)), status.clone()],
            )?;
            for item in &held.items {
                let id = keys.fresh(&tx, Table::OrderItem.spec().table, "id")?;
                let own = [
                    ("id", Sql::Integer(id)),
                    ("order_id", Sql::Integer(order)),
                    status.clone(),
                ];
                insert(&tx, Table::OrderItem, item, &own)?;
            }
        }
        tx.commit()
    };
    send().map_err(|e| Error::failed(format!("the held orders: {e}")))
}

fn insert(db: &Connection, table: Table, row: &Row, own: &[(&str, Sql)]) -> rusqlite::Result<()> {
    let said = row.0.iter().map(|(name, value)| (*name, sql(value)));
    let (names, values): (Vec<&str>, Vec<Sql>) = said.chain(own.iter().cloned()).unzip();
    let marks = vec!["?"; names.len()].join(", ");
    let sql = format!(
        "insert into {} ({}) values ({marks})",
        table.spec().table,
        names.join(", ")
    );
    db.execute(&sql, params_from_iter(values)).map(|_| ())
}

/// Opens parked cases again: those whose time has come, and once services are back those that wait for an answer.
pub(super) fn parked(ledger: &mut Ledger, services_are_back: bool, now: i64) -> Result<()> {
    let mut ids: Vec<String> = Vec::new();
    let parked = Filter {
        state: Some(State::Parked),
        ..Filter::default()
    };
    ledger.each_row(&parked, &mut |row| {
        ids.push(row.id.into());
        true
    })?;
    for id in ids {
        let file = ledger.case(&id)?;
        let Some(decision) = file.and_then(|file| file.decision) else {
            continue;
        };
        let why = match decision.until {
            Some(until) if until <= now => format!("parked until {}, and that is now", time::clock(until)),
            None if services_are_back && decision.at + ANSWER <= now => {
                "services are back and can be asked: what it was parked for has its answer".to_owned()
            }
            _ => continue,
        };
        match ledger.undo(&id, &why) {
            // Somebody holds it, or decided it at this very moment.
            Err(e) if e.kind == ErrorKind::Refused => {}
            other => drop(other?),
        }
    }
    Ok(())
}

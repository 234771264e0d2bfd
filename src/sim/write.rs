//! Writes the incident down: the restored database, the log, the hold and the configuration.

use super::bad;
use super::model::{Change, Row, Table, Val, World, push, push_time};
use super::rng::Rng;
use super::story::{Story, Times};
use crate::domain::event::Op;
use crate::domain::{Error, Result, time};
use rusqlite::Connection;
use rusqlite::types::{Value as Sql, ValueRef};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The database's file in the folder.
pub(super) const DATABASE: &str = "restored.db";
/// What the first restore brought back.
pub(super) const FIRST: &str = "first.db";
/// The configuration's file in the folder.
pub(super) const CONFIG: &str = "restitch.toml";

/// Writes all files of the incident into the folder.
pub(super) fn all(story: &Story, seed: u64, folder: &Path) -> Result<()> {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|e| Error::from(e).at(path.display().to_string()))
    };
    database(&story.restored, &folder.join(DATABASE))?;
    let mut rng = Rng::new(seed ^ 0x006c_6f67);
    file("log.ndjson", &log(story, &mut rng))?;
    file("hold.ndjson", &hold(story))?;
    file("billing.csv", &billing(story))?;
    file(CONFIG, &config(seed, &story.times))
}

fn failed(e: &rusqlite::Error) -> Error {
    Error::failed(format!("the simulated database cannot be written: {e}")).at(DATABASE)
}

/// The value as the restored database keeps it.
pub(super) fn sql(value: &Val) -> Sql {
    match value {
        Val::Null => Sql::Null,
        Val::Int(i) => Sql::Integer(*i),
        Val::Bool(b) => Sql::Integer(i64::from(*b)),
        other => other.written().map_or(Sql::Null, Sql::Text),
    }
}

pub(super) fn database(world: &World, path: &Path) -> Result<()> {
    let write = || -> rusqlite::Result<()> {
        let mut db = Connection::open(path)?;
        // Nothing to lose: a crash while it is written leaves no demo.
        db.pragma_update(None, "journal_mode", "off")?;
        db.pragma_update(None, "synchronous", "off")?;
        let tx = db.transaction()?;
        for table in Table::ALL {
            tx.execute_batch(&ddl(table))?;
            let spec = table.spec();
            let marks = vec!["?"; spec.columns.len()].join(", ");
            let mut insert = tx.prepare(&format!("insert into {} values ({marks})", spec.table))?;
            let rows = world
                .range((table, String::new())..)
                .take_while(|((t, _), _)| *t == table);
            for (_, row) in rows {
                let values = spec
                    .columns
                    .iter()
                    .map(|(name, _)| row.get(name).map_or(Sql::Null, sql));
                insert.execute(rusqlite::params_from_iter(values))?;
            }
        }
        // Indexes last: built in one go.
        for table in Table::ALL {
            tx.execute_batch(&indexes(table))?;
        }
        tx.commit()?;
        // From now on the order system writes while the console reads.
        db.pragma_update_and_check(None, "journal_mode", "wal", |row| {
            row.get_ref(0).map(|mode| matches!(mode, ValueRef::Text(b"wal")))
        })?;
        Ok(())
    };
    write().map_err(|e| failed(&e))
}

fn ddl(table: Table) -> String {
    let spec = table.spec();
    let mut out = format!("create table {} (", spec.table);
    for (name, ty) in spec.columns {
        push(&mut out, format_args!("{name} {ty}, "));
    }
    let key: Vec<&str> = spec.columns[..spec.key].iter().map(|(name, _)| *name).collect();
    push(
        &mut out,
        format_args!("primary key ({})) without rowid;", key.join(", ")),
    );
    out
}

fn indexes(table: Table) -> String {
    let spec = table.spec();
    let mut out = String::new();
    let columns = [spec.identity, spec.owner.map(|o| o.0), spec.state.map(|s| s.0)];
    for column in columns.into_iter().flatten() {
        push(
            &mut out,
            format_args!("create index {0}_{column} on {0} ({column});", spec.table),
        );
    }
    out
}

fn push_json(out: &mut String, value: &Val, rng: &mut Rng) {
    match value {
        Val::Null => out.push_str("null"),
        Val::Bool(b) => push(out, b),
        Val::Int(i) if rng.percent(20) => push(out, format_args!("\"{i}\"")),
        Val::Int(i) => push(out, i),
        // The scale of a decimal is no difference.
        Val::Cents(c) if c % 10 == 0 && rng.percent(50) => push(out, format_args!("{}.{}", c / 100, c / 10 % 10)),
        Val::Cents(c) => push(out, format_args!("\"{}.{:02}\"", c / 100, c % 100)),
        Val::Time(at) => {
            out.push('"');
            // Nor is the time zone.
            match rng.below(10) {
                0 => push_time(out, *at, ' ', "+00"),
                1 => push_time(out, at + 3_600_000_000, 'T', "+01:00"),
                _ => push_time(out, *at, 'T', "Z"),
            }
            out.push('"');
        }
        Val::Text(t) => push(out, serde_json::Value::from(t.as_str())),
        Val::Json(t) => out.push_str(t),
    }
}

fn push_state(out: &mut String, row: &Row, rng: &mut Rng) {
    for (i, (name, value)) in row.0.iter().enumerate() {
        push(out, format_args!("{}\"{name}\":", if i > 0 { "," } else { "" }));
        push_json(out, value, rng);
    }
}

fn line(c: &Change, (pos, tx): (usize, u32), version: u32, rng: &mut Rng) -> String {
    let mut out = String::with_capacity(320);
    push(&mut out, format_args!("{{\"pos\":{pos},\"ts\":\""));
    push_time(&mut out, c.at, 'T', "Z");
    let op = match c.op {
        Op::Insert => "insert",
        Op::Upsert => "upsert",
        Op::Delete | Op::Truncate => "delete",
    };
    let bare = c.table.spec().key == 1 && rng.percent(50);
    let quote = if bare { "" } else { "\"" };
    push(
        &mut out,
        format_args!(
            "\",\"tx\":{tx},\"actor\":\"{}\",\"version\":{version},\"entity\":\"{}\",\"key\":{quote}{}{quote},\"op\":\"{op}\",\"state\":",
            c.actor,
            c.table.spec().entity,
            c.key
        ),
    );
    if c.op == Op::Delete && c.state.0.is_empty() {
        out.push_str("null}\n");
        return out;
    }
    out.push('{');
    push_state(&mut out, &c.state, rng);
    if c.op == Op::Insert && c.table == Table::Order {
        // A field that the database does not have.
        push(&mut out, format_args!(",\"trace_id\":\"t-{pos}\""));
    }
    out.push_str("}}\n");
    out
}

/// The log as native NDJSON: in disorder, with some lines twice, a few that are broken, and other tables between.
fn log(story: &Story, rng: &mut Rng) -> String {
    let mut versions: HashMap<(Table, &str), u32> = HashMap::new();
    let mut lines = Vec::with_capacity(story.changes.len());
    // What happens at one instant is one transaction.
    let (mut tx, mut before) = (7_340, 0);
    for c in &story.changes {
        tx += u32::from(before != c.at);
        before = c.at;
        let version = versions.entry((c.table, &c.key)).or_default();
        *version += 1;
        if c.at < story.times.log_from {
            continue;
        }
        if rng.below(150) == 0 {
            let mut other = format!("{{\"pos\":{},\"ts\":\"", lines.len() + 1);
            push_time(&mut other, c.at, 'T', "Z");
            push(
                &mut other,
                format_args!(
                    "\",\"version\":1,\"entity\":\"grant\",\"key\":{0},\"op\":\"upsert\",\"state\":{{\"id\":{0}}}}}\n",
                    lines.len()
                ),
            );
            lines.push(other);
        }
        lines.push(line(c, (lines.len() + 1, tx), *version, rng));
    }
    let mut order: Vec<usize> = (0..lines.len()).collect();
    for i in 0..order.len() {
        if rng.percent(3) {
            let j = (i + 1 + rng.below(40)).min(order.len() - 1);
            order.swap(i, j);
        }
    }
    let mut out = String::with_capacity(lines.iter().map(String::len).sum::<usize>() * 21 / 20);
    let broken = (lines.len() / 400).min(5);
    let every = lines.len() / (broken + 1) + 1;
    for (i, &ix) in order.iter().enumerate() {
        out.push_str(&lines[ix]);
        if rng.percent(2) {
            out.push_str(&lines[order[i - rng.below(i.min(50) + 1)]]);
        }
        if i % every == every - 1 {
            out.push_str(match i / every {
                0 => "{\"pos\":1,\"ts\":\"2026-11-22T11:3\n",
                1 => "connection reset by peer\n",
                2 => "{\"pos\":2,\"ts\":\"2026-11-22T12:00:00Z\",\"version\":1,\"entity\":\"order\",\"key\":\"77405618x\",\"op\":\"upsert\",\"state\":{\"status\":\"Activated\"}}\n",
                3 => "{\"pos\":3,\"ts\":\"2026-11-22T12:30:00Z\",\"version\":1,\"entity\":\"order\",\"key\":77405618,\"op\":\"merge\",\"state\":{}}\n",
                _ => "{]\n",
            });
        }
    }
    out
}

fn hold(story: &Story) -> String {
    let mut out = String::new();
    // The intake writes each value in one way only.
    let mut rng = Rng::new(0);
    for (i, held) in story.held.iter().enumerate() {
        push(&mut out, format_args!("{{\"pos\":{},\"ts\":\"", i + 1));
        push_time(&mut out, held.at, 'T', "Z");
        push(
            &mut out,
            format_args!(
                "\",\"entity\":\"order\",\"key\":\"{}\",\"op\":\"insert\",\"state\":{{",
                held.label
            ),
        );
        push_state(&mut out, &held.order, &mut rng);
        out.push_str(",\"items\":[");
        for (n, item) in held.items.iter().enumerate() {
            out.push_str(if n > 0 { ",{" } else { "{" });
            push_state(&mut out, item, &mut rng);
            out.push('}');
        }
        out.push_str("]}}\n");
    }
    out
}

/// What billing exports: a word on some of its activities.
fn billing(story: &Story) -> String {
    let mut out = "order_number,item_id,activity,result,activated_at\n".to_owned();
    for line in &story.billed {
        let item = line.item.as_deref().unwrap_or_default();
        push(
            &mut out,
            format_args!("{},{item},{},{},", line.order, line.activity, line.result),
        );
        if let Some(at) = line.at {
            push_time(&mut out, at, 'T', "Z");
        }
        out.push('\n');
    }
    out
}

fn config(seed: u64, times: &Times) -> String {
    include_str!("incident.toml")
        .replace("SEED", &seed.to_string())
        .replace("RESTORED_TO", &time::format(times.restored_to))
        .replace("STOPPED_AT", &time::format(times.stopped_at))
        .replace("BAD_FROM", &time::format(times.bad.0))
        .replace("BAD_TO", &time::format(times.bad.1))
        .replace("ACTOR", bad::ACTOR)
}

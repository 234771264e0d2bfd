//! Source `postgres`: a table of events, read in the order of its positions in one snapshot of one read-only session.
//!
//! Each row becomes a line: the event that one of its columns holds, or a `native` event put together from several. It is
//! put together as text, so that a state that is no JSON spoils its own line and nothing else.

use super::feed::{FULL, Feed, Opened, Tap};
use super::{Block, Part};
use crate::config::{LogConfig, secrets};
use crate::domain::progress::Progress;
use crate::domain::schema::{Schema, nearest};
use crate::domain::{Error, Result};
use crate::restored::pg::{self, Connection, Session, quoted};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Builder;

/// The first batch may sort the whole table.
const STATEMENT_LIMIT: Duration = Duration::from_mins(15);
/// Between two batches lies the folding of the one before.
const IDLE_LIMIT: Duration = Duration::from_mins(10);
/// Rows of the first batch; the next ones aim at [`FULL`] bytes.
const FIRST_BATCH: usize = 500;
const LARGEST_BATCH: usize = 20_000;
/// How often a wait looks whether it was stopped.
const LOOK: Duration = Duration::from_millis(100);
/// A line's number has so many bits in the fold.
const NUMBERS: i64 = 1 << 34;

/// The parts of an event, and the columns that hold them unless the configuration says otherwise: as the native format
/// calls them.
const USUAL: [(&str, &str); 9] = [
    ("position", "pos"),
    ("time", "ts"),
    ("entity", "entity"),
    ("key", "key"),
    ("op", "op"),
    ("state", "state"),
    ("version", "version"),
    ("transaction", "tx"),
    ("actor", "actor"),
];

const TABLE: &str = "\
    select quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.oid, \
      coalesce((select sum(pg_table_size(relid))::bigint from pg_partition_tree(c.oid)), pg_table_size(c.oid)) \
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)";

const COLUMNS: &str = "\
    select attname::text, format_type(atttypid, null) from pg_attribute \
    where attrelid = $1 and attnum > 0 and not attisdropped order by attnum";

const NEAR: &str = "\
    select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')";

/// Opens the table of this log.
pub fn open<'p>(log: &LogConfig, schema: &Schema, progress: &'p Progress) -> Result<Feed<'p>> {
    let place = format!("[[log]] {}", log.name);
    let database = log.database.as_ref().ok_or_else(|| {
        Error::usage("a log of source postgres needs a url")
            .at(place.clone())
            .cure("url = \"postgres://triage@audit.example:5432/audit\"")
    })?;
    let database = secrets::with_password(database)?;
    let plan = Plan {
        table: log.table.clone().unwrap_or_default(),
        place: format!("[[log]] {}: table", log.name),
        columns: log.columns.clone(),
        entities: schema
            .entities
            .iter()
            .map(|e| (e.table.clone(), e.name.clone()))
            .collect(),
    };
    Feed::start(progress, move |tap| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::failed(format!("no thread can be started: {e}")))?;
        runtime.block_on(async {
            let session = Session {
                purpose: "log",
                read_only: true,
                statement_timeout: STATEMENT_LIMIT,
                idle_timeout: IDLE_LIMIT,
            };
            // A table of events that was not asked for by key is read from end to end.
            let read = async {
                let pg = pg::connect(&database, session).await?;
                plan.read(&pg, tap).await
            };
            unless_stopped(tap, read).await
        })
    })
}

/// Drops the work, and its connection with it, once nobody wants it any more.
async fn unless_stopped(tap: &Tap, work: impl Future<Output = Result<()>>) -> Result<()> {
    let stopped = async {
        while !tap.stopped() {
            // The reader is another thread, and its mark a flag: it is looked at.
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        ended = work => ended,
        () = stopped => Ok(()),
    }
}

/// What to read, as configured.
struct Plan {
    table: String,
    place: String,
    columns: BTreeMap<String, String>,
    /// Table and name of each entity.
    entities: Vec<(String, String)>,
}

impl Plan {
    async fn read(&self, pg: &Connection, tap: &Tap) -> Result<()> {
        let failed = |e: tokio_postgres::Error| pg.error(&format!("reading events from {}", self.table), &e);
        let begin = "begin isolation level repeatable read read only";
        pg.client.batch_execute(begin).await.map_err(failed)?;
        let Some(found) = pg.client.query_opt(TABLE, &[&self.table]).await.map_err(failed)? else {
            return Err(self.no_table(pg).await);
        };
        let (name, oid): (String, u32) = (found.try_get(0).map_err(failed)?, found.try_get(1).map_err(failed)?);
        let size: Option<i64> = found.try_get(2).map_err(failed)?;
        let rows = pg.client.query(COLUMNS, &[&oid]).await.map_err(failed)?;
        let mut types: Vec<(String, String)> = Vec::new();
        for row in rows {
            types.push((row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?));
        }
        let lines = Lines::new(self, &types, &pg.place)?;
        let mut numbers = Numbers::default();
        if lines.whole_numbers {
            let sql = format!("select min({0})::bigint, max({0})::bigint from {name}", lines.position);
            let row = pg.client.query_one(&sql, &[]).await.map_err(failed)?;
            numbers.between(row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        }
        tap.opened(Opened {
            parts: vec![Part::messages(self.table.clone(), numbers.base())],
            size: size.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        });
        let number = if numbers.from.is_some() {
            format!("{}::bigint", lines.position)
        } else {
            "null::bigint".to_owned()
        };
        let declare = format!(
            "declare restitch_events no scroll cursor for select {number}, {} from {name} order by {}",
            lines.line, lines.position
        );
        pg.client.batch_execute(&declare).await.map_err(failed)?;
        let mut batch = FIRST_BATCH;
        loop {
            let fetch = format!("fetch forward {batch} from restitch_events");
            let rows = pg.client.query(&fetch, &[]).await.map_err(failed)?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut block = Block::default();
            let mut bytes = 0;
            for row in &rows {
                let line: Option<&str> = row.try_get(1).map_err(failed)?;
                let line = line.unwrap_or_default();
                bytes += line.len() + 1;
                block.push(numbers.of(row.try_get(0).map_err(failed)?), line.as_bytes());
                if block.bytes().len() >= FULL {
                    let full = std::mem::take(&mut block);
                    let size = full.bytes().len() as u64;
                    if !tap.hand_on(full, size) {
                        return Ok(());
                    }
                }
            }
            let size = block.bytes().len() as u64;
            if !tap.hand_on(block, size) {
                return Ok(());
            }
            batch = (rows.len() * FULL / bytes.max(1)).clamp(1, LARGEST_BATCH);
        }
    }

    async fn no_table(&self, pg: &Connection) -> Error {
        let names: Vec<String> = match pg.client.query(NEAR, &[]).await {
            Ok(rows) => rows.iter().filter_map(|row| row.try_get(0).ok()).collect(),
            Err(_) => Vec::new(),
        };
        let near = nearest(&self.table, names.iter().map(String::as_str));
        let cure = if near.is_empty() {
            "the database holds no table that this user may see".to_owned()
        } else {
            format!("nearest tables: {near}")
        };
        Error::usage(format!("{} has no table {:?}", pg.place, self.table))
            .at(self.place.clone())
            .cure(cure)
    }
}

/// The numbers of the lines: the positions, where these are whole numbers close enough to one another; else they are
/// counted from 1.
#[derive(Default)]
struct Numbers {
    from: Option<i64>,
    next: u64,
}

impl Numbers {
    fn between(&mut self, least: Option<i64>, most: Option<i64>) {
        let near = |(least, most): &(i64, i64)| *least >= 0 && most - least < NUMBERS / 2;
        self.from = least.zip(most).filter(near).map(|(least, _)| least);
    }

    fn base(&self) -> u64 {
        self.from.and_then(|from| u64::try_from(from).ok()).unwrap_or(0)
    }

    /// A row without a position comes after all that have one.
    fn of(&mut self, position: Option<i64>) -> u64 {
        let number = self
            .from
            .zip(position)
            .and_then(|(from, n)| u64::try_from(n - from).ok());
        let number = number.unwrap_or(self.next + 1);
        self.next = number;
        number
    }
}

/// How a row becomes a line, in SQL.
struct Lines {
    position: String,
    /// Whether the positions are whole numbers.
    whole_numbers: bool,
    line: String,
}

impl Lines {
    fn new(plan: &Plan, types: &[(String, String)], at: &str) -> Result<Self> {
        let known: HashMap<&str, &str> = types.iter().map(|(name, ty)| (name.as_str(), ty.as_str())).collect();
        // A column as SQL and its type; `None` where none is configured and the table has none of the usual name.
        let column = |part: &str| -> Result<Option<(String, &str)>> {
            let usual = USUAL.iter().find(|(p, _)| *p == part).map(|(_, name)| *name);
            let configured = plan.columns.get(part).map(String::as_str);
            let Some(name) = configured.or(usual) else {
                return Ok(None);
            };
            match known.get(name) {
                Some(ty) => Ok(Some((quoted(name), *ty))),
                None if configured.is_none() => Ok(None),
                None => Err(no_column(plan, name, types, at)),
            }
        };
        let need = |part: &str| -> Result<(String, &str)> {
            let usual = USUAL.iter().find(|(p, _)| *p == part).map_or("", |(_, name)| *name);
            column(part)?.ok_or_else(|| no_column(plan, usual, types, at))
        };
        let (position, ty) = need("position")?;
        let whole_numbers = matches!(ty, "smallint" | "integer" | "bigint");
        let line = match column("event")? {
            Some((event, _)) => format!("{event}::text"),
            None => native(&column, &need, plan, (whole_numbers, &position))?,
        };
        Ok(Self {
            position,
            whole_numbers,
            line,
        })
    }
}

fn no_column(plan: &Plan, name: &str, types: &[(String, String)], at: &str) -> Error {
    let near = nearest(name, types.iter().map(|(name, _)| name.as_str()));
    Error::usage(format!("table {} in {at} has no column {name:?}", plan.table))
        .at(format!("{}, columns", plan.place))
        .cure(format!("say in columns which column holds what; nearest: {near}"))
}

/// An expression for the whole event in the native format.
fn native<'t>(
    column: &impl Fn(&str) -> Result<Option<(String, &'t str)>>,
    need: &impl Fn(&str) -> Result<(String, &'t str)>,
    plan: &Plan,
    (whole_numbers, position): (bool, &str),
) -> Result<String> {
    let json = |sql: &str| format!("coalesce(to_json({sql})::text, 'null')");
    let mut members = Vec::new();
    if whole_numbers {
        members.push(("pos", json(position)));
    }
    if let Some((time, ty)) = column("time")? {
        // Without a time zone it is taken for UTC, which is the session's.
        let instant = ty.starts_with("timestamp") || ty == "date";
        members.push(("ts", json(&if instant { format!("{time}::timestamptz") } else { time })));
    }
    let entity = match column("table")? {
        Some((table, _)) => entity_of(&table, &plan.entities),
        None => format!("{}::text", need("entity")?.0),
    };
    members.push(("entity", json(&entity)));
    members.push(("key", json(&format!("{}::text", need("key")?.0))));
    let op = need("op")?.0;
    members.push((
        "op",
        json(&format!(
            "case when lower({op}::text) in ('i', 'insert') then 'insert' when lower({op}::text) in ('u', 'update', 'upsert') \
             then 'upsert' when lower({op}::text) in ('d', 'delete') then 'delete' else {op}::text end"
        )),
    ));
    if let Some((version, _)) = column("version")? {
        members.push(("version", json(&version)));
    }
    for (part, member) in [("transaction", "tx"), ("actor", "actor")] {
        if let Some((sql, _)) = column(part)? {
            members.push((member, json(&format!("{sql}::text"))));
        }
    }
    members.push(("state", format!("coalesce({}::text, 'null')", need("state")?.0)));
    let members: Vec<String> = members
        .iter()
        .map(|(name, sql)| format!("'\"{name}\":' || {sql}"))
        .collect();
    Ok(format!("'{{' || {} || '}}'", members.join(" || ',' || ")))
}

/// The entity of a table's name, which may come with or without its schema; the name itself where none is mapped.
fn entity_of(table: &str, entities: &[(String, String)]) -> String {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut sql = "case".to_owned();
    for (mapped, entity) in entities {
        let bare = mapped.rsplit('.').next().unwrap_or(mapped);
        let any_schema = if bare == mapped {
            format!(
                " or right({table}::text, {}) = {}",
                bare.chars().count() + 1,
                literal(&format!(".{bare}"))
            )
        } else {
            String::new()
        };
        let _ = write!(
            sql,
            " when {table}::text in ({}, {}){any_schema} then {}",
            literal(mapped),
            literal(bare),
            literal(entity)
        );
    }
    if entities.is_empty() {
        return format!("{table}::text");
    }
    format!("{sql} else {table}::text end")
}

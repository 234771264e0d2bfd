//! Whether a log is being captured now: how old its newest event is, and whether somebody reads the replication slot that
//! feeds it. Nothing is decoded but the time.

use super::source::Source;
use crate::config::{Database, DbUrl, FormatKind, LogConfig, SourceKind, secrets};
use crate::domain::progress::Progress;
use crate::domain::schema::Schema;
use crate::domain::value::instant;
use crate::domain::{Error, Result, time};
use crate::kafka::Reader;
use crate::restored::pg::{self, Connection, Session, quoted};
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::Offset;
use serde_json::Value as Json;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So many bytes at the end of a file are looked at.
const TAIL: u64 = 256 << 10;

/// What a look at the end of a log came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Newest {
    /// The time of its newest event, microseconds since 1970.
    At(i64),
    /// Something came after the time asked about; of a topic it is not known when the last did.
    After,
    /// Nothing came after it.
    Before,
}

/// Whether a log has events after `since` (microseconds since 1970), or when its newest one was.
pub async fn newest(log: &LogConfig, since: i64) -> Result<Newest> {
    let at = match log.source {
        SourceKind::Kafka => return topic(log, since),
        SourceKind::Database => return Ok(Newest::After),
        SourceKind::File => file(log)?,
        SourceKind::Postgres => table(log).await?,
    };
    Ok(at.map_or(Newest::Before, Newest::At))
}

/// The newest time in the last lines of the newest file.
fn file(log: &LogConfig) -> Result<Option<i64>> {
    let path = log.path.as_deref().unwrap_or_default();
    if path == "-" {
        return Ok(None);
    }
    let changed = |path: &PathBuf| path.metadata().and_then(|m| m.modified()).ok();
    let found = glob::glob(path).map_err(|e| Error::usage(format!("{path:?} is no path: {e}")))?;
    let Some(newest) = found.flatten().max_by_key(changed) else {
        return Err(Error::failed(format!("no file is there: {path}")).at(format!("[[log]] {}", log.name)));
    };
    let text = match newest.extension().and_then(|e| e.to_str()) {
        Some("gz" | "zst") => last_block(log, &newest)?,
        _ => tail(&newest)?,
    };
    let lines = text.lines().rev();
    Ok(lines.filter_map(|line| of_line(log.format, line)).take(1_000).max())
}

fn tail(path: &Path) -> Result<String> {
    let failed = |e: std::io::Error| Error::failed(e.to_string()).at(path.display().to_string());
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL))).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What is compressed is read through: there is no other way to its end.
fn last_block(log: &LogConfig, path: &Path) -> Result<String> {
    let progress = Progress::default();
    let of_file = LogConfig {
        path: Some(glob::Pattern::escape(&path.to_string_lossy())),
        ..log.clone()
    };
    let source = Source::open(&of_file, &Schema::default(), &progress)?;
    let (mut block, mut last) = (super::source::Block::default(), Vec::new());
    while source.next(&mut block)? {
        last = block.bytes().to_vec();
    }
    Ok(String::from_utf8_lossy(&last).into_owned())
}

/// When the event of this line happened, as its format says.
fn of_line(format: FormatKind, line: &str) -> Option<i64> {
    let json: Json = serde_json::from_str(line).ok()?;
    let text = |pointer: &str| json.pointer(pointer).and_then(Json::as_str);
    let milli = |pointer: &str| json.pointer(pointer)?.as_i64()?.checked_mul(1_000);
    match format {
        FormatKind::Native => time::parse(text("/ts")?),
        FormatKind::Wal2json => instant::timestamptz(text("/timestamp")?),
        FormatKind::OmPlus => instant::timestamptz(text("/Modified")?),
        FormatKind::Debezium => ["/payload/source/ts_ms", "/source/ts_ms", "/payload/ts_ms", "/ts_ms"]
            .into_iter()
            .find_map(milli),
        FormatKind::SalesforceCdc => [
            "/ChangeEventHeader/commitTimestamp",
            "/payload/ChangeEventHeader/commitTimestamp",
        ]
        .into_iter()
        .find_map(milli),
    }
}

/// Whether a topic has a message after `since`: the broker looks it up by its own index of time.
fn topic(log: &LogConfig, since: i64) -> Result<Newest> {
    let name = log.topic.clone().unwrap_or_default();
    let place = format!("[[log]] {}: topic {name}", log.name);
    let reader = Reader::open(&log.kafka, place)?;
    let metadata = reader.ask(|| false, |limit| reader.consumer.fetch_metadata(Some(&name), limit))?;
    let topic = metadata.topics().iter().find(|t| t.name() == name);
    let topic = topic.filter(|t| t.error().is_none() && !t.partitions().is_empty());
    let topic = topic.ok_or_else(|| reader.failed(format!("there is no topic {name:?}")))?;
    let mut asked = rdkafka::TopicPartitionList::new();
    for partition in topic.partitions() {
        let added = asked.add_partition_offset(&name, partition.id(), Offset::Offset(since / 1_000));
        added.map_err(|e| reader.failed(e.to_string()))?;
    }
    let found = reader.ask(
        || false,
        |limit| reader.consumer.offsets_for_times(asked.clone(), limit),
    )?;
    for partition in found.elements() {
        let Offset::Offset(at) = partition.offset() else {
            continue;
        };
        let ends = |limit| reader.consumer.fetch_watermarks(&name, partition.partition(), limit);
        let (_, high) = reader.ask(|| false, ends)?;
        // Kafka protocol, ListOffsets: the first message with a later stamp, and none where there is none.
        if (0..high).contains(&at) {
            return Ok(Newest::After);
        }
    }
    Ok(Newest::Before)
}

async fn open(log: &LogConfig, purpose: &str) -> Result<Connection> {
    let database = log.database.as_ref();
    let database = database.ok_or_else(|| Error::usage("no url is configured").at(format!("[[log]] {}", log.name)))?;
    connect(database, purpose).await
}

async fn connect(database: &Database, purpose: &str) -> Result<Connection> {
    let session = Session {
        purpose,
        read_only: true,
        statement_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(30),
    };
    pg::connect(&secrets::with_password(database)?, session).await
}

/// The newest event of a table of events, by what orders them.
async fn table(log: &LogConfig) -> Result<Option<i64>> {
    let connection = open(log, "capture").await?;
    let failed = |e: &tokio_postgres::Error| connection.error("looking for the newest event", e);
    let column = |part: &str, default: &str| quoted(log.columns.get(part).map_or(default, String::as_str));
    let (value, whole) = match log.columns.get("event") {
        Some(event) => (format!("{}::text", quoted(event)), true),
        None => (
            format!("(extract(epoch from {}) * 1000000)::bigint::text", column("time", "ts")),
            false,
        ),
    };
    let table: Vec<String> = log
        .table
        .as_deref()
        .unwrap_or_default()
        .split('.')
        .map(quoted)
        .collect();
    let order = column("position", "pos");
    let sql = format!("select {value} from {} order by {order} desc limit 1", table.join("."));
    let row = connection.client.query_typed(&sql, &[]).await.map_err(|e| failed(&e))?;
    let text: Option<String> = match row.first() {
        Some(row) => row.try_get(0).map_err(|e| failed(&e))?,
        None => None,
    };
    Ok(text.and_then(|text| {
        if whole {
            of_line(log.format, &text)
        } else {
            text.parse().ok()
        }
    }))
}

/// How a replication slot stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Somebody reads it.
    pub active: bool,
    /// What the server says of the log that it needs: `reserved`, `extended`, `unreserved`, `lost`.
    pub wal: String,
    /// Bytes that its reader is behind; `None` where nobody knows.
    pub behind: Option<i64>,
}

// PostgreSQL manual, pg_replication_slots; wal_status came with version 13.
const SLOT: &str = "\
    select s.active, coalesce(to_jsonb(s)->>'wal_status', ''), \
      pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, \
        coalesce(s.confirmed_flush_lsn, s.restart_lsn))::bigint \
    from pg_replication_slots s where s.slot_name::text = $1";

/// How the slot that feeds this log stands; `None` where the database has none of its name.
pub async fn slot(log: &LogConfig, name: &str) -> Result<Option<Slot>> {
    let connection = open(log, "slot").await?;
    let failed = |e: tokio_postgres::Error| connection.error("looking at the replication slot", &e);
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), tokio_postgres::types::Type); 1] =
        [(&name, tokio_postgres::types::Type::TEXT)];
    let rows = connection.client.query_typed(SLOT, &parameters).await.map_err(failed)?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Slot {
        active: row.try_get(0).map_err(failed)?,
        wal: row.try_get(1).map_err(failed)?,
        behind: row.try_get(2).map_err(failed)?,
    }))
}

/// How far this host's clock is from a database's: microseconds that it is ahead, and the largest error of that, half the
/// time that the answer took. The best of a few questions counts.
pub async fn clock(database: &Database) -> Result<Option<(i64, i64)>> {
    if let DbUrl::Sqlite(_) = &database.url {
        return Ok(None);
    }
    let connection = connect(database, "clock").await?;
    let mut best: Option<(i64, i64)> = None;
    for _ in 0..5 {
        let asked = time::now();
        let sql = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
        let row = connection.client.query_typed_one(sql, &[]).await;
        let there: i64 = row
            .and_then(|row| row.try_get(0))
            .map_err(|e| connection.error("asking for the time", &e))?;
        let answered = time::now();
        let half = (answered - asked) / 2;
        if best.is_none_or(|(_, least)| half < least) {
            best = Some((asked + half - there, half));
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_says_when_an_event_happened() {
        let at = time::parse("2026-11-22T14:09:11Z");
        let lines = [
            (
                FormatKind::Native,
                r#"{"pos":1,"ts":"2026-11-22T14:09:11Z","entity":"order"}"#.to_owned(),
            ),
            (
                FormatKind::Wal2json,
                r#"{"action":"C","timestamp":"2026-11-22 15:09:11+01"}"#.to_owned(),
            ),
            (
                FormatKind::OmPlus,
                r#"{"id":1,"Modified":"2026-11-22 14:09:11.000+00"}"#.to_owned(),
            ),
            (
                FormatKind::Debezium,
                format!(r#"{{"source":{{"ts_ms":{}}},"ts_ms":1}}"#, 1_795_356_551_000_i64),
            ),
            (
                FormatKind::SalesforceCdc,
                format!(
                    r#"{{"ChangeEventHeader":{{"commitTimestamp":{}}}}}"#,
                    1_795_356_551_000_i64
                ),
            ),
        ];
        for (format, line) in lines {
            assert_eq!(of_line(format, &line), at, "{format:?}");
            assert_eq!(of_line(format, "{"), None);
        }
    }
}

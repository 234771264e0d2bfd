//! What the databases themselves say: settings and system instances, exported from the old instance before the restore and
//! compared with the restored one after it. Values of settings are kept as digests and never shown.

use crate::config::{Config, Database, DbUrl, SourceKind, secrets};
use crate::domain::preflight::{Line, Mark};
use crate::domain::{Result, time};
use crate::restored::Restored;
use crate::restored::facts::Known;
use crate::restored::pg::{self, Connection, Session};
use crate::restored::postgres::Postgres;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// The entity that stands for a system that orders are sent to.
const SYSTEM: &str = "system_instance";
/// More system instances than this are not kept.
const MOST: usize = 5_000;
/// So many differences are named in a line.
const NAMED: usize = 12;

/// What a database had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// When, microseconds since 1970.
    pub at: i64,
    /// Of which database.
    pub place: String,
    /// Settings by name, their values as digests.
    pub settings: BTreeMap<String, String>,
    /// System instances by name or key, with their state; `None` where they are not mapped.
    pub systems: Option<BTreeMap<String, String>>,
}

/// What was found.
#[derive(Debug)]
pub struct Inside {
    /// The old instance now, or why it was not asked.
    pub old: Known<Export>,
    /// What was exported before.
    pub before: Option<Export>,
    /// The restored database now, or why it was not asked.
    pub restored: Known<Export>,
    /// The newest version in the restored table of PII keys.
    pub pii_newest: Known<i64>,
}

/// Asks the old instance and the restored database, as far as they are configured and answer.
pub async fn look(config: &Config, before: Option<&Export>, now: i64) -> Inside {
    let old = config
        .logs
        .iter()
        .filter(|log| log.source == SourceKind::Database)
        .find_map(|log| log.database.as_ref());
    let old = async {
        match old {
            Some(database) => export(config, database, now).await.map_err(|e| e.what),
            None => Err("no [[log]] of source \"database\" names the old instance".to_owned()),
        }
    };
    let restored = async {
        let Some(database) = &config.restored else {
            let why = "no [restored] database is configured".to_owned();
            return (Err(why.clone()), Err(why));
        };
        let export = export(config, database, now).await.map_err(|e| e.what);
        let newest = match &export {
            Ok(_) => newest_pii(config, database).await,
            Err(why) => Err(why.clone()),
        };
        (export, newest)
    };
    let (old, (restored, pii_newest)) = tokio::join!(old, restored);
    Inside {
        old,
        before: before.cloned(),
        restored,
        pii_newest,
    }
}

async fn export(config: &Config, database: &Database, now: i64) -> Result<Export> {
    let database = secrets::with_password(database)?;
    if !matches!(database.url, DbUrl::Postgres { .. }) {
        return Err(crate::domain::Error::failed("it is no PostgreSQL server"));
    }
    let facts = Postgres::connect(&database, &config.scan).await?.facts().await?;
    let settings = facts.settings.map_err(crate::domain::Error::failed)?;
    let systems = match systems_sql(config) {
        Some(sql) => Some(systems(&session(&database).await?, &sql).await?),
        None => None,
    };
    Ok(Export {
        at: now,
        place: facts.place,
        settings: settings
            .into_iter()
            .map(|(name, value)| (name, digest(&value)))
            .collect(),
        systems,
    })
}

fn digest(value: &str) -> String {
    let hash = Sha256::digest(value.as_bytes());
    let mut text = String::with_capacity(16);
    for byte in hash.iter().take(8) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

async fn session(database: &Database) -> Result<Connection> {
    let session = Session {
        purpose: "preflight",
        read_only: true,
        statement_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_mins(1),
    };
    pg::connect(database, session).await
}

/// Name and state of every system instance; `None` where they, or their state, are not mapped.
fn systems_sql(config: &Config) -> Option<String> {
    let mapped = config.schema.entities.iter().find(|e| e.name == SYSTEM)?;
    let state = mapped.state.as_ref()?;
    let name = mapped.label.as_ref().or(mapped.key.first())?;
    let table: Vec<String> = mapped.table.split('.').map(pg::quoted).collect();
    Some(format!(
        "select {}::text, coalesce({}::text, '') from {} order by 1 limit {MOST}",
        pg::quoted(name),
        pg::quoted(state),
        table.join(".")
    ))
}

async fn systems(pg: &Connection, sql: &str) -> Result<BTreeMap<String, String>> {
    let failed = |e: tokio_postgres::Error| pg.error("reading the system instances", &e);
    let mut all = BTreeMap::new();
    for row in pg.client.query_typed(sql, &[]).await.map_err(failed)? {
        let name: Option<String> = row.try_get(0).map_err(failed)?;
        all.insert(name.unwrap_or_default(), row.try_get(1).map_err(failed)?);
    }
    Ok(all)
}

async fn newest_pii(config: &Config, database: &Database) -> Known<i64> {
    let sql = config.aws.pii.as_ref().and_then(|pii| pii.sql.as_deref());
    let sql = sql.ok_or("aws.pii.sql is not configured")?;
    let ask = async {
        let database = secrets::with_password(database)?;
        let pg = session(&database).await?;
        let failed = |e: tokio_postgres::Error| pg.error("asking for the newest PII key", &e);
        // The extended protocol takes one statement and no more; a number of any type is read as text.
        let wrapped = format!("select (({}))::text", sql.trim().trim_end_matches(';'));
        let row = pg.client.query_typed_one(&wrapped, &[]).await.map_err(failed)?;
        let text: Option<String> = row.try_get(0).map_err(failed)?;
        let number = text.as_deref().unwrap_or("null").parse::<i64>();
        number.map_err(|_| {
            crate::domain::Error::usage(format!("aws.pii.sql gives {text:?}, no whole number")).at("aws.pii.sql")
        })
    };
    ask.await.map_err(|e| e.what)
}

fn names(of: &[String]) -> String {
    let shown: Vec<&str> = of.iter().take(NAMED).map(String::as_str).collect();
    match of.len().checked_sub(NAMED).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", shown.join(", ")),
        None => shown.join(", "),
    }
}

/// What to say of it.
pub fn lines(config: &Config, inside: &Inside) -> Vec<Line> {
    let mut lines = Vec::new();
    let evidence = "the old instance, kept in the ledger";
    match (&inside.old, &inside.before) {
        (Ok(old), _) => {
            let systems = match &old.systems {
                Some(systems) => format!("{} system instances", systems.len()),
                None => format!("no system instances ([schema.{SYSTEM}] with table, key and state is not mapped)"),
            };
            let what = format!(
                "{}: {} settings and {systems} exported, to compare afterwards",
                old.place,
                old.settings.len()
            );
            lines.push(Line::new("export", Mark::Good, what, evidence));
        }
        (Err(why), Some(before)) => {
            let what = format!(
                "of {} there is an export of {}; now: {why}",
                before.place,
                time::format(before.at)
            );
            lines.push(Line::new("export", Mark::Good, what, evidence));
        }
        (Err(why), None) => lines.push(
            Line::new(
                "export",
                Mark::Note,
                format!("settings and system instances were not exported: {why}"),
                evidence,
            )
            .cure("name the old instance in a [[log]] with source = \"database\" and check again before the stop"),
        ),
    }
    if let (Some(before), Ok(now)) = (inside.before.as_ref().or(inside.old.as_ref().ok()), &inside.restored)
        && before.place != now.place
    {
        lines.extend(differences(config, before, now));
    }
    lines
}

fn differences(config: &Config, before: &Export, now: &Export) -> Vec<Line> {
    let evidence = format!("{} at {} against {}", before.place, time::format(before.at), now.place);
    let differs = |name: &&String| before.settings.get(*name) != now.settings.get(*name);
    let mut drifted: Vec<String> = before.settings.keys().filter(differs).cloned().collect();
    drifted.extend(
        now.settings
            .keys()
            .filter(|name| !before.settings.contains_key(*name))
            .cloned(),
    );
    let mut lines = vec![if drifted.is_empty() {
        let what = format!("all {} settings are as they were", before.settings.len());
        Line::new("settings after", Mark::Good, what, evidence.clone())
    } else {
        let what = format!("{} settings differ: {}", drifted.len(), names(&drifted));
        Line::new("settings after", Mark::Note, what, evidence.clone())
            .cure("give the restored one the parameter group of the old, and reboot it where a parameter asks for that")
    }];
    let Some((then, now)) = before.systems.as_ref().zip(now.systems.as_ref()) else {
        return lines;
    };
    let up = |state: &str| state.eq_ignore_ascii_case("up");
    let back: Vec<String> = then
        .iter()
        .filter(|(name, state)| !up(state) && now.get(*name).is_some_and(|now| up(now)))
        .map(|(name, state)| format!("{name} (was {state})"))
        .collect();
    let what_is = if config.incident.stopped_at.is_some() {
        "at the export"
    } else {
        "then"
    };
    lines.push(if back.is_empty() {
        let what = format!("none of {} is UP that was not {what_is}", then.len());
        Line::new("systems after", Mark::Good, what, evidence)
    } else {
        let what = format!("UP again, and not so {what_is}: {}", names(&back));
        Line::new("systems after", Mark::Bad, what, evidence).cure("take them DOWN before workers start")
    });
    lines
}

//! The gate's checks. Red only on proof: address, port and timeline are the old instance's, a row stands in a state that
//! the log commits after T, or a check of the site's own fails. What cannot be read is *cannot tell* and stops nothing.

mod rows;
mod server;

use crate::config::Config;
use crate::domain::gate::{Check, Gate, Light, Question};
use crate::domain::schema::{Catalogue, ColumnIx, EntityIx};
use crate::domain::value::ColumnType;
use crate::domain::{Result, time};
use crate::log::Folded;
use crate::restored::Restored;
use crate::restored::facts::{Facts, Known, Newest, Stamped};

/// A table larger than this is not searched for its newest rows where no index serves, bytes.
const MOST_UNINDEXED: u64 = 64_000_000;
/// So many of a table's newest rows are looked at.
const NEWEST: usize = 1_000;

/// What an instance that a `[[log]]` of source `database` names says of itself.
#[derive(Debug, Clone)]
pub struct Old {
    /// Name of the `[[log]]`.
    pub name: String,
    /// What it says, or why it cannot be asked.
    pub facts: Known<Facts>,
}

/// What the gate asks with, besides the configuration and the restored database.
#[derive(Debug, Default)]
pub struct Asked {
    /// The old instances.
    pub old: Vec<Old>,
    /// The gate as it was found last, in this attempt.
    pub before: Option<Gate>,
    /// This attempt was scanned before: rows may have moved since.
    pub scanned: bool,
    /// Why somebody goes on although it is red.
    pub despite: Option<String>,
}

/// Tables and log, where both can be read.
pub struct Witness<'a> {
    /// The restored tables; the restored database stands in a snapshot of them.
    pub catalogue: &'a Catalogue,
    /// The log, with its rows as at T.
    pub log: &'a Folded,
}

/// Makes every check.
///
/// # Errors
/// Only where the restored database does not answer at all.
pub async fn check<R: Restored>(
    config: &Config,
    asked: &Asked,
    restored: &mut R,
    witness: Known<Witness<'_>>,
) -> Result<Gate> {
    let facts = restored.facts().await?;
    let mut checks = server::checks(&facts, &asked.old);
    let newest = match &witness {
        Ok(witness) => newest(config, restored, witness.catalogue).await?,
        Err(_) => Vec::new(),
    };
    let mut point = point(config, &facts, &newest);
    match &witness {
        Ok(witness) => {
            let rows = rows::Rows::new(config, asked, witness);
            if let (Light::Green, Ok(replayed)) = (point.light, &facts.replayed) {
                point = rows.against_replayed(point, *replayed);
            }
            checks.push(point);
            checks.extend(rows.checks(restored, &newest).await?);
        }
        Err(why) => {
            checks.push(point);
            checks.push(
                Check::new(
                    "rows",
                    Question::Both,
                    Light::CannotTell,
                    format!("rows cannot be held against the log: {why}"),
                )
                .cure("`restitch doctor` checks log and tables one by one"),
            );
        }
    }
    for (name, sql) in &config.gate_checks {
        checks.push(site(name, restored.check(sql).await?));
    }
    Ok(Gate {
        attempt: config.incident.attempt,
        at: time::now(),
        checks,
    })
}

/// The newest rows of an entity.
struct Recent {
    entity: EntityIx,
    rows: Known<Vec<Stamped>>,
}

/// The newest rows of every mapped table that has a column of time.
async fn newest<R: Restored>(config: &Config, restored: &mut R, catalogue: &Catalogue) -> Result<Vec<Recent>> {
    let mut all = Vec::new();
    for (entity, table) in catalogue.tables.iter().enumerate().take(config.schema.entities.len()) {
        let Some(column) = time_column(catalogue, entity) else {
            continue;
        };
        let cost = restored.cost(entity, &[column]).await?;
        let rows = if cost.indexed || cost.table_bytes <= MOST_UNINDEXED {
            let asked = Newest { column, limit: NEWEST };
            restored.newest(entity, asked).await.map_err(|e| e.what)
        } else {
            let name = &table.columns[usize::from(column)].name;
            Err(format!("no index serves {name} of {} MB", cost.table_bytes / 1_000_000))
        };
        all.push(Recent { entity, rows });
    }
    Ok(all)
}

/// The column that says when a row was changed, else when it was made, by its type and name.
fn time_column(catalogue: &Catalogue, entity: EntityIx) -> Option<ColumnIx> {
    const CHANGED: [&str; 3] = ["modif", "updat", "chang"];
    const MADE: [&str; 2] = ["creat", "insert"];
    let columns = &catalogue.tables.get(entity)?.columns;
    let find = |words: &[&str]| {
        columns.iter().position(|c| {
            let name = c.name.to_lowercase();
            matches!(c.ty, ColumnType::Timestamp | ColumnType::TimestampTz) && words.iter().any(|w| name.contains(w))
        })
    };
    find(&CHANGED)
        .or_else(|| find(&MADE))
        .and_then(|at| ColumnIx::try_from(at).ok())
}

/// The last commit that the recovery replayed, against T.
fn point(config: &Config, facts: &Facts, newest: &[Recent]) -> Check {
    let new = |light, what: String| Check::new("point", Question::Point, light, what);
    let Some(t) = config.incident.restored_to else {
        return new(
            Light::CannotTell,
            "the point that was asked for is not configured".to_owned(),
        )
        .cure("set incident.restored_to");
    };
    let asked = time::format(t);
    let hint = newest
        .iter()
        .filter_map(|r| {
            let newest = r.rows.as_ref().ok()?.first()?;
            let name = &config.schema.entities.get(r.entity)?.name;
            Some(format!("{name} {}", time::format(newest.at)))
        })
        .collect::<Vec<_>>();
    let hint = if hint.is_empty() {
        String::new()
    } else {
        format!("; newest row (a hint): {}", hint.join(", "))
    };
    match &facts.replayed {
        Ok(at) if *at > t => new(
            Light::CannotTell,
            format!(
                "the last commit replayed is of {}, after {asked}, which was asked for{hint}",
                time::format(*at)
            ),
        )
        .doubted()
        .cure("check the restore time that was given: the database holds more than was asked for"),
        Ok(at) => new(
            Light::Green,
            format!(
                "the last commit replayed is of {}, {} before {asked}, which was asked for{hint}",
                time::format(*at),
                apart(t - at)
            ),
        ),
        Err(why) => new(
            Light::CannotTell,
            format!("the last commit replayed is not known ({why}); {asked} was asked for{hint}"),
        )
        .cure("look for \"last completed transaction was at log time\" in the log that the server wrote while it recovered"),
    }
}

/// A span as people say it, down to milliseconds.
fn apart(micros: i64) -> String {
    if micros < 10_000_000 {
        format!("{} ms", micros / 1_000)
    } else {
        time::age(micros)
    }
}

/// A check of the site's own.
fn site(name: &str, holds: Known<bool>) -> Check {
    let new = |light, what: String| Check::new(format!("site: {name}"), Question::Besides, light, what);
    match holds {
        Ok(true) => new(Light::Green, "holds".to_owned()),
        Ok(false) => new(Light::Red, "does not hold".to_owned())
            .cure("find out why before anything is decided on this database; the statement stands in [gate] checks"),
        Err(why) => new(Light::CannotTell, format!("cannot be asked: {why}"))
            .doubted()
            .cure("correct its statement in [gate] checks: it must give one row with one boolean"),
    }
}

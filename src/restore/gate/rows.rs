//! The restored rows against the log at T.
//!
//! A database at a later point than T stands, for every row, as the log has it there. So a row in a later state proves that
//! the point is wrong only where no row lacks a change that was committed earlier: else the row was moved by traffic, which
//! may well take the same steps again.

use super::{Asked, Recent, Witness};
use crate::config::Config;
use crate::domain::gate::{Check, Light, Question};
use crate::domain::schema::{ColumnIx, EntityIx, Table};
use crate::domain::value::{self, LogKind, LogValue, Same};
use crate::domain::{Result, time};
use crate::log::{Folded, LogRow};
use crate::restored::{Restored, Row, rows_by_key};
use hashbrown::HashMap;

/// So many rows of an entity are looked at that change after T, and as many that do not.
const SAMPLE: usize = 2_000;
/// An instant of whole seconds may be meant with its second: RDS takes no finer restore time (`RestoreTime`, API
/// reference), and a commit in that second may be on either side.
const SECOND: i64 = 1_000_000;
/// Log and server may have clocks of their own.
const CLOCKS: i64 = 2 * SECOND;

/// What is compared.
pub(super) struct Rows<'a> {
    config: &'a Config,
    asked: &'a Asked,
    witness: &'a Witness<'a>,
}

/// A row that the log changes after T, in both readings.
struct Sampled<'a> {
    later: LogRow<'a>,
    /// `None`: there was no such row at T.
    then: Option<LogRow<'a>>,
    /// Commit time of the first change that tells the two apart, and of the last.
    changed: (i64, i64),
}

/// How a sampled row stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// Under a key that the log gave to another row: what the log means is not there.
    Reused,
    AsAtT,
    Later,
    Otherwise,
}

/// How the sampled rows stand.
#[derive(Default)]
struct Standing {
    /// As at T, or not there where they were not then.
    then: u64,
    /// Otherwise than at T and later.
    otherwise: u64,
    /// By entity: keys under which another row is than the log's.
    reused: Vec<(EntityIx, u64)>,
    /// Commit time of the earliest change that is lacking.
    lacks: Option<i64>,
    /// In the later state: commit time, entity and key.
    later: Vec<(i64, String)>,
}

impl<'a> Rows<'a> {
    pub fn new(config: &'a Config, asked: &'a Asked, witness: &'a Witness<'a>) -> Self {
        Self { config, asked, witness }
    }

    fn log(&self) -> &'a Folded {
        self.witness.log
    }

    fn name(&self, entity: EntityIx) -> &'a str {
        self.config.schema.entities.get(entity).map_or("?", |e| e.name.as_str())
    }

    /// The checks of rows, traffic and counts.
    pub async fn checks<R: Restored>(&self, restored: &mut R, newest: &[Recent]) -> Result<Vec<Check>> {
        let Some(t) = self.config.incident.restored_to else {
            let what = "the point that was asked for is not configured".to_owned();
            let check = Check::new("rows", Question::Both, Light::CannotTell, what);
            return Ok(vec![check.cure("set incident.restored_to")]);
        };
        let mut standing = Standing::default();
        for entity in 0..self.witness.catalogue.tables.len() {
            self.stand(entity, restored, &mut standing).await?;
        }
        let (traffic, moved) = self.traffic(t, newest, &standing);
        let counts = self.counts(t, restored, moved).await?;
        Ok(vec![self.rows(t, standing), traffic, counts])
    }

    /// The rows of an entity that change after T: those that change first, and some of the others.
    fn sample(&self, entity: EntityIx) -> Vec<Sampled<'a>> {
        let log = self.log();
        let table = &self.witness.catalogue.tables[entity];
        let mut all: Vec<Sampled<'a>> = log
            .at_t(entity)
            .filter_map(|(key, then)| {
                let later = log
                    .get(entity, key)
                    .filter(|row| row.exists() && row.contradicted().is_none())?;
                let then = match then {
                    Some(then) if then.exists() => Some(then),
                    // Only an insert says that there was no such row.
                    _ if log.is_inserted_after_t(entity, key) => None,
                    _ => return None,
                };
                let mut at = self.told_apart(table, entity, later, then).filter_map(|(_, _, at)| at);
                let first = at.next()?;
                let changed = at.fold((first, first), |(a, b), at| (a.min(at), b.max(at)));
                Some(Sampled { later, then, changed })
            })
            .collect();
        all.sort_unstable_by(|a, b| (a.changed, a.later.key()).cmp(&(b.changed, b.later.key())));
        if all.len() > SAMPLE {
            let rest = all.split_off(SAMPLE / 2);
            let step = rest.len().div_ceil(SAMPLE / 2);
            all.extend(rest.into_iter().step_by(step));
        }
        all
    }

    /// The compared columns whose later values tell the row from what it was at T, with the commit times of those values.
    fn told_apart<'s>(
        &'s self,
        table: &'s Table,
        entity: EntityIx,
        later: LogRow<'a>,
        then: Option<LogRow<'a>>,
    ) -> impl Iterator<Item = (ColumnIx, LogValue<'a>, Option<i64>)> + use<'s, 'a> {
        let ignored = self.config.schema.entities.get(entity).map(|e| &e.ignore);
        later.fields().filter_map(move |(column, value, by)| {
            let of = table.columns.get(usize::from(column))?;
            if table.key.contains(&column) || ignored.is_some_and(|i| i.contains(&of.name)) {
                return None;
            }
            if let Some(then) = then {
                let (before, _) = then.field(column)?;
                let differs = match value::input_text(&of.ty, &before) {
                    Some(text) => value::same(&of.ty, &value, Some(&text)) == Same::No,
                    None => value.kind != LogKind::Null,
                };
                if !differs {
                    return None;
                }
            }
            Some((column, value, by.at))
        })
    }

    async fn stand<R: Restored>(&self, entity: EntityIx, restored: &mut R, out: &mut Standing) -> Result<()> {
        let sample = self.sample(entity);
        if sample.is_empty() {
            return Ok(());
        }
        let table = &self.witness.catalogue.tables[entity];
        let columns: Vec<ColumnIx> = (0..).zip(&table.columns).map(|(ix, _)| ix).collect();
        let keys: Vec<&str> = sample.iter().map(|s| s.later.key()).collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        let by_key: HashMap<&str, usize> = keys.iter().enumerate().map(|(at, key)| (*key, at)).collect();
        let mut stands: Vec<Option<Stands>> = vec![None; sample.len()];
        let mut each = |row: Row<'_>| {
            if let Some(at) = by_key.get(row.key()) {
                stands[*at] = Some(self.stands(table, entity, &sample[*at], row));
            }
        };
        rows_by_key(restored, table, entity, &sorted, &columns, &mut each).await?;
        let reused = stands.iter().filter(|s| **s == Some(Stands::Reused)).count();
        if reused > 0 {
            out.reused.push((entity, u64::try_from(reused).unwrap_or(0)));
        }
        for (row, stands) in sample.iter().zip(stands) {
            let (first, last) = row.changed;
            match (stands, row.then) {
                // A row of T that is not there any more says nothing of the point.
                (None | Some(Stands::Reused), Some(_)) | (Some(Stands::Otherwise), _) => out.otherwise += 1,
                (None | Some(Stands::Reused), None) | (Some(Stands::AsAtT), _) => {
                    out.then += 1;
                    out.lacks = Some(out.lacks.map_or(first, |at| at.min(first)));
                }
                (Some(Stands::Later), _) => out
                    .later
                    .push((last, format!("{} {}", self.name(entity), row.later.key()))),
            }
        }
        Ok(())
    }

    fn stands(&self, table: &Table, entity: EntityIx, of: &Sampled<'_>, row: Row<'_>) -> Stands {
        let mapped = self.config.schema.entities.get(entity);
        let same = |column: ColumnIx, value: &LogValue<'_>| {
            let of = table.columns.get(usize::from(column));
            of.is_some_and(|of| value::same(&of.ty, value, row.value(usize::from(column))) == Same::Yes)
        };
        let identity = mapped.map(|m| m.identity.as_slice()).unwrap_or_default();
        let another = identity.iter().filter_map(|name| table.column(name)).any(|column| {
            let told = of.later.field(column).or_else(|| of.then?.field(column));
            told.is_some_and(|(value, _)| value.kind != LogKind::Null && !same(column, &value))
        });
        if another {
            return Stands::Reused;
        }
        let mut apart = self.told_apart(table, entity, of.later, of.then).peekable();
        if apart.peek().is_some() && apart.all(|(column, value, _)| same(column, &value)) {
            return Stands::Later;
        }
        let as_then = |then: LogRow<'_>| {
            self.told_apart(table, entity, of.later, of.then)
                .all(|(column, _, _)| then.field(column).is_some_and(|(value, _)| same(column, &value)))
        };
        match of.then {
            Some(then) if as_then(then) => Stands::AsAtT,
            _ => Stands::Otherwise,
        }
    }

    fn rows(&self, t: i64, standing: Standing) -> Check {
        let new = |light, what: String| Check::new("rows", Question::Both, light, what);
        let Standing {
            then,
            otherwise,
            lacks,
            mut later,
            ..
        } = standing;
        later.sort_unstable();
        let boundary = if t % SECOND == 0 { t + SECOND } else { t };
        let proof: Vec<&(i64, String)> = later
            .iter()
            .filter(|(at, _)| *at > boundary && lacks.is_none_or(|lacks| *at < lacks))
            .collect();
        let moved = later.iter().filter(|(at, _)| *at > boundary).count() - proof.len();
        if let (Some((first, row)), Some((last, _))) = (proof.first(), proof.last()) {
            let n = proof.len();
            let (rows, stand) = if n == 1 { ("row", "stands") } else { ("rows", "stand") };
            let what = format!(
                "{n} {rows} {stand} as the log commits {} after T, like {row} ({}); the last is of {}",
                if n == 1 { "it" } else { "them" },
                time::format(*first),
                time::format(*last)
            );
            let was_red = self.asked.before.as_ref().is_some_and(|gate| {
                let rows = |c: &&Check| c.check == "rows" && c.light == Light::Red;
                gate.checks.iter().any(|c| rows(&c))
            });
            if self.asked.scanned && !was_red {
                let what = format!("{what}; rows have moved since the first scan, so this proves nothing now");
                return new(Light::CannotTell, what);
            }
            let until = lacks.map_or_else(String::new, |at| format!(" and before {}", time::format(at)));
            return new(
                Light::Red,
                format!(
                    "{what}: the database stands after {}{until}, not at {}",
                    time::format(*last),
                    time::format(t)
                ),
            )
            .cure("check the restore time and which instance [restored] url names; restore again, or correct incident.restored_to");
        }
        let aside = |n: u64, words: &str| {
            if n == 0 {
                String::new()
            } else {
                format!("; {n} {words}")
            }
        };
        let rest = format!(
            "{}{}",
            aside(otherwise, "stand otherwise"),
            aside(u64::try_from(moved).unwrap_or(0), "moved on like in the log: traffic")
        );
        let at_boundary = later.len() - moved;
        if at_boundary > 0 {
            return new(
                Light::CannotTell,
                format!("{at_boundary} rows stand as the log commits them within the second after T{rest}"),
            )
            .cure("the restore may have taken that second in: see whether those changes were meant to be there");
        }
        if then == 0 {
            return new(
                Light::CannotTell,
                format!(
                    "no row tells T from later: the log shows none that changes after T and that stands as then{rest}"
                ),
            );
        }
        new(
            Light::Green,
            format!("{then} rows that the log changes after T stand as at T{rest}"),
        )
    }

    /// Rows newer than T that the log does not know; whether there are any.
    fn traffic(&self, t: i64, newest: &[Recent], standing: &Standing) -> (Check, bool) {
        let new = |light, what: String| Check::new("traffic", Question::Besides, light, what);
        let mut known = 0;
        let mut found = Vec::new();
        let mut unread = Vec::new();
        for recent in newest {
            let rows = match &recent.rows {
                Ok(rows) => rows,
                Err(why) => {
                    unread.push(format!("{}: {why}", self.name(recent.entity)));
                    continue;
                }
            };
            known += 1;
            let strange = |key: &str| {
                let row = self.log().get(recent.entity, key);
                row.is_none_or(|row| row.events().iter().all(|e| e.at.is_some_and(|at| at <= t)))
            };
            let n = rows.iter().filter(|r| r.at > t && strange(&r.key)).count();
            if n > 0 {
                found.push(format!("{} {n}", self.name(recent.entity)));
            }
        }
        let mut said = Vec::new();
        if !found.is_empty() {
            said.push(format!(
                "rows newer than T that the log does not know: {}",
                found.join(", ")
            ));
        }
        if !standing.reused.is_empty() {
            let reused = standing
                .reused
                .iter()
                .map(|(entity, n)| format!("{} {n}", self.name(*entity)));
            let reused: Vec<String> = reused.collect();
            said.push(format!(
                "rows under ids that the log gave to others: {}",
                reused.join(", ")
            ));
        }
        if !said.is_empty() {
            let what = format!("{}: something writes here since the restore", said.join("; "));
            return (new(Light::Green, what), true);
        }
        let unread = if unread.is_empty() {
            String::new()
        } else {
            format!("; not known of {}", unread.join(", "))
        };
        if known == 0 {
            let what = format!("no mapped table has a time by which its newest rows can be found{unread}");
            return (new(Light::CannotTell, what), false);
        }
        (
            new(
                Light::Green,
                format!("no row newer than T that the log does not know{unread}"),
            ),
            false,
        )
    }

    /// Keys that the log shows existing at T against those that are there.
    async fn counts<R: Restored>(&self, t: i64, restored: &mut R, moved: bool) -> Result<Check> {
        let new = |light, what: String| Check::new("counts", Question::Point, light, what);
        let log = self.log();
        let (mut said, mut lacking) = (Vec::new(), 0);
        for entity in 0..self.witness.catalogue.tables.len() {
            let untouched = |row: &LogRow<'_>| {
                row.exists()
                    && row.contradicted().is_none()
                    && row.events().iter().all(|e| e.at.is_some_and(|at| at <= t))
            };
            let step = log.len(entity).div_ceil(2 * SAMPLE).max(1);
            let quiet = log
                .rows(entity)
                .step_by(step)
                .filter(untouched)
                .map(LogRow::key)
                .take(SAMPLE);
            let changed = self.sample(entity).into_iter().filter(|s| s.then.is_some());
            let mut keys: Vec<&str> = quiet.chain(changed.map(|s| s.later.key())).collect();
            keys.sort_unstable();
            keys.dedup();
            if keys.is_empty() {
                continue;
            }
            let mut there = 0;
            let table = &self.witness.catalogue.tables[entity];
            rows_by_key(restored, table, entity, &keys, &[], &mut |_| there += 1).await?;
            said.push(format!("{} {there} of {}", self.name(entity), keys.len()));
            lacking += keys.len().saturating_sub(there);
        }
        if said.is_empty() {
            return Ok(new(
                Light::CannotTell,
                "the log shows no row that existed at T".to_owned(),
            ));
        }
        let what = format!(
            "of the rows that the log shows existing at T there are: {}",
            said.join(", ")
        );
        Ok(match lacking {
            // That they are there says nothing of what came later.
            0 => Check {
                about: Question::Besides,
                ..new(Light::Green, what)
            },
            _ if moved || self.asked.scanned => new(
                Light::CannotTell,
                format!("{what}; traffic may have deleted the others"),
            ),
            _ => new(Light::CannotTell, what).doubted().cure(
                "if nothing wrote since the restore, the database stands before T or the log tells of other tables",
            ),
        })
    }

    /// Doubts a point that the recovery reached where the log has commits between it and T.
    pub fn against_replayed(&self, point: Check, replayed: i64) -> Check {
        let Some(t) = self.config.incident.restored_to else {
            return point;
        };
        let log = self.log();
        let mut newest: Option<i64> = None;
        for entity in 0..self.witness.catalogue.tables.len() {
            let step = log.len(entity).div_ceil(10 * SAMPLE).max(1);
            let at_t = log.at_t(entity).filter_map(|(_, row)| row);
            for row in log.rows(entity).step_by(step).chain(at_t) {
                let times = row.events().into_iter().filter_map(|e| e.at);
                newest = newest.max(times.filter(|at| *at <= t).max());
            }
        }
        match newest.filter(|at| *at > replayed + CLOCKS) {
            None => point,
            Some(at) => {
                let what = format!(
                    "{}; the log has a commit of {} that is not in it",
                    point.what,
                    time::format(at)
                );
                Check {
                    light: Light::CannotTell,
                    what,
                    ..point
                }
                .doubted()
                .cure("check the restore time that was given: the database may stand before T")
            }
        }
    }
}

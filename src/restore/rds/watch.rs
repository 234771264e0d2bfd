//! Looks at AWS again and again, gently, and keeps what it says where everybody sees it.

use super::client::{Aws, Trouble};
use super::command::Plan;
use super::db::{Db, Kind};
use super::events;
use super::follow::{Follow, Reading, is_throttled};
use super::log::{self, Place};
use super::permit;
use super::status::{self, Meaning};
use crate::config::Config;
use crate::domain::deadline::{self, Deadline};
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::restoring::{Restoring, Told};
use crate::domain::time::{self, Clock};
use crate::domain::{Error, Result};
use crate::ledger::{Ledger, Role};
use std::time::Duration;

/// The fact under which the ledger keeps what was last known.
pub const FACT: &str = "aws-restore";

/// Events are read again from so long before the last look: they come up to five minutes late.
const OVERLAP: i64 = 15 * 60_000_000;
/// The first look goes so far back, as `DescribeEvents` does by itself.
const FIRST: i64 = 60 * 60_000_000;

/// Follows one restore.
pub struct Watch<'c> {
    config: &'c Config,
    plan: Plan<'c>,
    clock: Clock,
    aws: Option<Aws>,
    follow: Follow,
    log: Place,
    prepared: bool,
    deadlines: Vec<Deadline>,
    kept: Option<(PhaseState, String)>,
}

impl<'c> Watch<'c> {
    /// A watch over the configured restore; `ledger` says what was known before.
    pub fn new(config: &'c Config, ledger: Option<&Ledger>, clock: Clock) -> Result<Self> {
        let plan = Plan::of(config)?;
        let (before, source) = match ledger {
            Some(ledger) => (ledger.fact::<Restoring>(FACT)?, ledger.fact::<Db>(crate::job::SOURCE)?),
            None => (None, None),
        };
        let incident = &config.incident;
        let mut follow = Follow::new(plan.target, incident.attempt, before, incident.stopped_at);
        follow.set_source(source);
        Ok(Self {
            config,
            plan,
            clock,
            aws: None,
            follow,
            log: Place::default(),
            prepared: false,
            deadlines: Vec::new(),
            kept: None,
        })
    }

    /// What is known.
    pub const fn view(&self) -> &Restoring {
        &self.follow.view
    }

    /// Looks once; what is new. Never fails for what AWS does: that is part of what is told.
    ///
    /// Fails where no region is known, which no waiting mends.
    pub async fn look(&mut self) -> Result<(Vec<Told>, Duration)> {
        let aws = match &self.aws {
            Some(aws) => aws.clone(),
            None => Aws::open(&self.config.aws).await?,
        };
        let reading = self.read(&aws).await;
        let lost = reading.db.as_ref().err().map(|e| e.trouble);
        // Who logged in again is found by a new chain only.
        self.aws = (!matches!(lost, Some(Trouble::Expired | Trouble::Nobody))).then_some(aws);
        let told = self.follow.take(&reading, self.clock.now());
        let view = &self.follow.view;
        // What is done changes little: only its storage does.
        let calm = view.done.is_some() && view.step("storage").is_none_or(|s| s.state == PhaseState::Done);
        Ok((told, pause(is_throttled(&reading) || calm, self.clock.now())))
    }

    async fn read(&mut self, aws: &Aws) -> Reading {
        let now = self.clock.now();
        if !self.prepared {
            self.prepare(aws, now).await;
        }
        let view = &self.follow.view;
        let kind = if view.cluster { Kind::Cluster } else { Kind::Instance };
        let db = match &view.resource {
            None => aws.find(self.plan.target).await,
            Some(resource) => match aws.find(&view.name).await {
                // The name may lead to another one by now.
                Ok(Some(db)) if db.resource == *resource => Ok(Some(db)),
                Ok(_) => match aws.find_again(kind, resource).await {
                    // A restore that came to nothing was deleted and begun again under the same name.
                    Ok(None) if view.done.is_none() => aws.find(self.plan.target).await,
                    found => found,
                },
                Err(e) => Err(e),
            },
        };
        let Ok(Some(found)) = &db else {
            return Reading {
                db,
                events: Ok(Vec::new()),
                log: None,
            };
        };
        let from = view.read_at.map_or(now - FIRST, |at| at - OVERLAP);
        let from = view.since.map_or(from, |since| from.min(since));
        let events = events::read(
            aws,
            Some((found.kind, &found.name)),
            from.max(now - 14 * 24 * FIRST),
            now,
        )
        .await;
        let wanted =
            found.kind == Kind::Instance && view.done.is_none() && status::meaning(&found.status) != Meaning::Unknown;
        let log = if wanted {
            Some(match log::read(aws, &found.name, &self.log).await {
                Ok((text, place)) => {
                    self.log = place;
                    Ok(text)
                }
                Err(e) => Err(e),
            })
        } else {
            None
        };
        Reading { db, events, log }
    }

    /// What is asked once: how the source is, and how long past restores took.
    async fn prepare(&mut self, aws: &Aws, now: i64) {
        let (source, past) = tokio::join!(aws.source(self.plan.source), events::past(aws, now));
        let until = aws.credentials().await.ok().and_then(|keys| permit::end(&keys));
        self.deadlines = deadlines(source.as_ref().ok().and_then(Option::as_ref), &self.plan, until);
        if let Ok(Some(source)) = source
            && source.name == self.plan.source
        {
            self.follow.set_source(Some(source));
        }
        self.prepared = past.is_ok();
        self.follow.set_range(match past {
            Ok(past) => Ok(events::range(&past)),
            Err(e) => Err(e.words()),
        });
    }

    /// Keeps what is known in the ledger: for the screens of others, and for the next watch. The phase changes with it.
    pub fn keep(&mut self, ledger: &mut Ledger) -> Result<()> {
        let view = &self.follow.view;
        ledger.keep_fact(FACT, view, None)?;
        ledger.keep_fact(&deadline::fact("aws"), &self.deadlines, None)?;
        let state = view.state();
        if state == PhaseState::Waiting || ledger.role() < Role::Operator {
            return Ok(());
        }
        let evidence = self.follow.evidence();
        let now = Some((state, evidence.clone()));
        if self.kept == now {
            return Ok(());
        }
        let end = view.done.filter(|_| state == PhaseState::Done);
        let line = PhaseLine {
            phase: Phase::Restoring,
            state,
            since: view.since,
            took: end.zip(view.since).map(|(end, since)| end - since),
            evidence: evidence.clone(),
            per_mille: None,
        };
        ledger.set_phase(&line, &evidence)?;
        self.kept = now;
        Ok(())
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<Result<()>> {
        if let Some((what, cure)) = &self.follow.view.failed {
            return Some(Err(Error::failed(what.clone())
                .at(self.follow.view.name.clone())
                .cure(cure.clone())));
        }
        self.follow.view.done.map(|_| Ok(()))
    }
}

/// What ends by itself: the session, the way to restore to T again, and the rest of a stopped old instance.
fn deadlines(source: Option<&Db>, plan: &Plan<'_>, until: Option<i64>) -> Vec<Deadline> {
    let of = |name: &str, at: i64, lost: String, source: &str| Deadline {
        name: name.to_owned(),
        at,
        lost,
        source: source.to_owned(),
    };
    let mut all = Vec::new();
    if let Some(at) = until {
        let lost = "restitch reads nothing from AWS any more, and no IAM token can be made".to_owned();
        all.push(of("AWS session", at, lost, "the credentials in use"));
    }
    if let Some(days) = source.and_then(|db| db.retention).filter(|days| *days > 0) {
        let at = plan.to + i64::from(days) * 86_400_000_000;
        let lost = "T cannot be restored to again".to_owned();
        all.push(of("backups of T", at, lost, "BackupRetentionPeriod"));
    }
    if let Some((db, at)) = source.and_then(|db| Some((db, db.restarts?))) {
        let lost = format!("{} starts by itself and takes commits again", db.name);
        all.push(of("old instance stopped", at, lost, "AutomaticRestartTime"));
    }
    all
}

/// Until the next look: 15 to 30 s, so that several consoles do not ask at once; a minute longer where AWS throttles.
fn pause(throttled: bool, now: i64) -> Duration {
    let jitter = u64::try_from(now.rem_euclid(15_000_000)).unwrap_or(0);
    let base = if throttled { 75_000_000 } else { 15_000_000 };
    let pause = Duration::from_micros(base + jitter);
    // In a debug build the tests may hurry it.
    match std::env::var("PACE_OF_RESTITCH")
        .ok()
        .and_then(|pace| pace.parse::<f64>().ok())
    {
        Some(pace) if cfg!(debug_assertions) && (0.0..1.0).contains(&pace) => pause.mul_f64(pace),
        _ => pause,
    }
}

/// A line for people, and its JSON.
pub fn line(told: &Told) -> String {
    format!("{} {}: {}", time::clock(told.at), told.kind, told.text)
}

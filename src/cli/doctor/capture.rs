//! Is the log being captured now, does the host's clock agree with the databases', does the cluster answer?

use super::{Doctor, State};
use crate::config::{Database, DbUrl, LogConfig};
use crate::domain::{Result, time};
use crate::job;
use crate::log::capture::{self, Newest};
use crate::restore::cluster;

/// A clock that is farther off misleads every deadline and lease, microseconds.
const OFF: i64 = 2_000_000;
/// Who reads a slot may be so far behind, bytes.
const BEHIND: i64 = 1 << 30;

impl Doctor<'_, '_> {
    /// How old the newest event of a log is, and who reads the slot that feeds it.
    pub(super) fn capture(&mut self, log: &LogConfig) -> Result<()> {
        let check = format!("capture {}", log.name);
        if let Some(max_age) = log.max_age {
            let age = i64::try_from(max_age.as_micros()).unwrap_or(i64::MAX);
            // Once the cluster has stopped there is nothing to capture.
            let stopped = self.config.incident.stopped_at;
            let now = stopped.map_or_else(time::now, |at| at.min(time::now()));
            let since = now.saturating_sub(age);
            match job::runtime()?.block_on(capture::newest(log, since)) {
                Err(error) => self.fails(&check, &error)?,
                Ok(Newest::At(at)) if at >= since => {
                    let what = format!(
                        "its newest event is {} old, of {}",
                        time::age(now - at),
                        time::format(at)
                    );
                    self.ok(&check, &what)?;
                }
                Ok(Newest::After) => self.ok(&check, &format!("it has events after {}", time::format(since)))?,
                Ok(newest) => {
                    let what = match newest {
                        Newest::At(at) => format!(
                            "its newest event is {} old, of {}",
                            time::age(now - at),
                            time::format(at)
                        ),
                        _ => format!("it has no event after {}", time::format(since)),
                    };
                    let cure = format!(
                        "start what writes it again: after a restore what it missed is not known (max_age is {})",
                        time::age(age)
                    );
                    self.say(State::Fail, &check, &what, Some(&cure))?;
                }
            }
        }
        let Some(name) = &log.slot else { return Ok(()) };
        let slot = match job::runtime()?.block_on(capture::slot(log, name)) {
            Err(error) => return self.fails(&check, &error),
            Ok(None) => {
                let what = format!("there is no replication slot {name}");
                return self.say(
                    State::Fail,
                    &check,
                    &what,
                    Some("create it again and have its reader start anew"),
                );
            }
            Ok(Some(slot)) => slot,
        };
        let behind = slot
            .behind
            .map_or_else(String::new, |n| format!(", {} MB behind", n / 1_000_000));
        if slot.wal == "lost" {
            let what = format!("slot {name} lost the log that its reader needs");
            return self.say(
                State::Fail,
                &check,
                &what,
                Some("create it again and have its reader start anew"),
            );
        }
        if !slot.active {
            let what = format!("nobody reads slot {name}{behind}");
            return self.say(
                State::Fail,
                &check,
                &what,
                Some("start its reader: what it missed waits in the slot"),
            );
        }
        if slot.wal == "unreserved" || slot.behind.is_some_and(|n| n > BEHIND) {
            let what = format!("the reader of slot {name} is late{behind}");
            return self.say(
                State::Warn,
                &check,
                &what,
                Some("see why: the server may throw away what it needs"),
            );
        }
        self.ok(&check, &format!("slot {name} is being read{behind}"))
    }

    /// The host's clock against those of the databases.
    pub(super) fn clocks(&mut self) -> Result<()> {
        let config = self.config;
        let old = config.logs.iter().filter_map(|log| log.database.as_ref());
        let places = config
            .restored
            .iter()
            .chain(old)
            .chain(std::iter::once(&config.ledger.database));
        let mut asked: Vec<&Database> = Vec::new();
        for database in places.filter(|d| matches!(d.url, DbUrl::Postgres { .. })) {
            if asked.iter().any(|other| other.url == database.url) {
                continue;
            }
            asked.push(database);
            // One that does not answer has a line of its own.
            let Ok(Some((ahead, half))) = job::runtime()?.block_on(capture::clock(database)) else {
                continue;
            };
            let DbUrl::Postgres { host, .. } = &database.url else {
                continue;
            };
            let side = if ahead >= 0 { "ahead of" } else { "behind" };
            let what = format!(
                "this host is {:.3} s {side} {host} (give or take {:.3} s)",
                seconds(ahead.abs()),
                seconds(half)
            );
            if ahead.abs() - half > OFF {
                let cure = "put the clock right (chrony, NTP): deadlines and leases depend on it";
                self.say(State::Fail, "clock", &what, Some(cure))?;
            } else {
                self.ok("clock", &what)?;
            }
        }
        Ok(())
    }

    /// Pods and deployments, read once.
    pub(super) fn cluster(&mut self) -> Result<()> {
        let Some(cluster) = &self.config.cluster else {
            return Ok(());
        };
        let reading = match job::runtime()?.block_on(cluster::look(self.config, time::now())) {
            Ok(reading) => reading,
            Err(error) => return self.fails("cluster", &error),
        };
        let (pods, deployments) = (reading.pods.len(), reading.deployments.len());
        let what = format!(
            "namespace {}: {pods} pods, {deployments} deployments",
            cluster.namespace
        );
        if pods + deployments == 0 {
            return self.say(State::Warn, "cluster", &what, Some("check cluster.namespace"));
        }
        self.ok("cluster", &what)?;
        let workers = reading.deployments.iter().filter(|d| d.worker).count();
        if cluster.workers.is_some() && workers == 0 {
            let what = "no deployment has the workers' labels";
            self.say(
                State::Warn,
                "cluster.workers",
                what,
                Some("check cluster.workers against `kubectl get deploy --show-labels`"),
            )?;
        }
        for (check, said) in [
            (
                "cluster.queues",
                reading.queues.map(|q| q.map(|q| format!("{} queues", q.len()))),
            ),
            (
                "cluster.catalogue_url",
                reading.probe.map(|p| p.map(|()| "says loaded".to_owned())),
            ),
        ] {
            match said {
                Some(Ok(what)) => self.ok(check, &what)?,
                Some(Err(why)) => self.say(
                    State::Warn,
                    check,
                    &why,
                    Some("it must answer once the restore is through"),
                )?,
                None => {}
            }
        }
        Ok(())
    }

    /// What `[org]` needs from the environment.
    pub(super) fn org(&mut self) -> Result<()> {
        let Some(org) = &self.config.org else { return Ok(()) };
        if let Some(answer) = job::runtime()?.block_on(crate::restore::org::status(org)) {
            match answer {
                Ok(state) => self.ok("org.status_url", &format!("Salesforce shows {state}"))?,
                Err(error) => self.fails("org.status_url", &error)?,
            }
        }
        for name in org.notify_token_env.iter().filter(|_| org.notify.is_some()) {
            if let Err(error) = crate::config::secrets::of_variable(name) {
                self.fails("org.notify_token_env", &error)?;
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1_000_000.0
}

//! Readings in, phases in the ledger out.

use crate::kubernetes::{Did, Kubernetes};
use restitch::config::{ClusterConfig, Config, Database, DbUrl};
use restitch::domain::cluster::{Reading, Selector};
use restitch::domain::phase::{BY_HAND, Phase, PhaseLine, PhaseState};
use restitch::domain::time::Clock;
use restitch::ledger::Ledger;
use restitch::restore::cluster::{Keeper, Patience, watch};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);

/// Short, so that what a server does not say is noticed within a test.
const PATIENCE: Patience = Patience {
    watch: Duration::from_secs(1),
    silence: Duration::from_millis(1_500),
    pause: Duration::from_millis(20),
};

/// A cluster, and somebody who watches it into a ledger.
struct Night {
    api: Kubernetes,
    folder: TempDir,
    seen: Arc<Seen>,
    watcher: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    last: Mutex<Option<Reading>>,
    came: Condvar,
    enough: AtomicBool,
}

fn config(folder: &Path, api: &Kubernetes) -> Config {
    let mut config = Config::default();
    config.ledger.database = Database::at(DbUrl::Sqlite(folder.join("ledger.db")));
    config.cluster = Some(ClusterConfig {
        namespace: "om".to_owned(),
        kubeconfig: Some(api.kubeconfig(folder)),
        brokers: Selector::parse("app=kafka"),
        workers: Selector::parse("app=worker"),
        queue_label: "queue".to_owned(),
        queues: Some("select name from queues".to_owned()),
        catalogue: Selector::parse("app=catalogue"),
        ..ClusterConfig::default()
    });
    config.restored = Some(Database::at(DbUrl::Sqlite(folder.join("restored.db"))));
    config
}

impl Night {
    /// A cluster of two services, a catalogue, a worker and a broker, all up, and its watcher.
    fn begin() -> Self {
        let api = Kubernetes::start();
        let folder = tempfile::tempdir().unwrap();
        let restored = rusqlite::Connection::open(folder.path().join("restored.db")).unwrap();
        let sql = "create table queues (name text); insert into queues values ('bulk')";
        restored.execute_batch(sql).unwrap();
        let night = Self {
            seen: Arc::default(),
            watcher: None,
            folder,
            api,
        };
        night.scale(1);
        night.api.pod("kafka-0", &json!({"app": "kafka"}));
        night.api.finished_pod("migration-1");
        night.watched()
    }

    fn watched(mut self) -> Self {
        let config = config(self.folder.path(), &self.api);
        let seen = Arc::clone(&self.seen);
        self.watcher = Some(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let mut ledger = Ledger::open(&config, false).unwrap();
            let mut keeper = Keeper::default();
            let clock = Clock::default();
            let watching = watch(&config, &clock, PATIENCE, |reading| {
                let mut reading = reading.clone();
                keeper.take(&mut ledger, &mut reading, true, clock.now()).unwrap();
                *seen.last.lock().unwrap() = Some(reading);
                seen.came.notify_all();
                !seen.enough.load(SeqCst)
            });
            runtime.block_on(watching).unwrap();
        }));
        self
    }

    /// Every deployment has so many pods, which answer.
    fn scale(&self, n: u32) {
        for name in ["web", "api"] {
            self.api.deployment(name, &json!({"app": name}), n, n);
        }
        self.api.deployment("catalogue", &json!({"app": "catalogue"}), n, n);
        self.api
            .deployment("worker-bulk", &json!({"app": "worker", "queue": "bulk"}), n, n);
        for name in ["web-1", "api-1", "catalogue-1", "worker-bulk-1"] {
            if n > 0 {
                self.api.pod(name, &json!({"app": "x"}));
            } else {
                self.api.no_pod(name);
            }
        }
    }

    fn ledger(&self) -> Ledger {
        Ledger::open(&config(self.folder.path(), &self.api), false).unwrap()
    }

    fn did(&self) -> &Did {
        self.api.did()
    }

    /// Waits for a reading like this.
    #[track_caller]
    fn reads(&self, what: &str, like: impl Fn(&Reading) -> bool) -> Reading {
        let until = Instant::now() + LIMIT;
        let mut last = self.seen.last.lock().unwrap();
        loop {
            if let Some(reading) = last.as_ref().filter(|r| like(r)) {
                return reading.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never {what}: {:?}", *last);
            last = self.seen.came.wait_timeout(last, left).unwrap().0;
        }
    }

    /// Waits until the phase stands so in the ledger.
    #[track_caller]
    fn stands(&self, phase: Phase, state: PhaseState, evidence: &str) -> PhaseLine {
        let ledger = self.ledger();
        let line = || ledger.phases().unwrap().into_iter().find(|l| l.phase == phase).unwrap();
        self.reads(
            &format!("{} {} {evidence:?} but {:?}", phase.name(), state.name(), line()),
            |_| {
                let line = line();
                line.state == state && line.evidence.contains(evidence)
            },
        );
        line()
    }

    /// Somebody ticks a phase.
    fn tick(&self, phase: Phase) {
        let line = PhaseLine {
            phase,
            state: PhaseState::Done,
            since: Some(restitch::domain::time::now()),
            took: None,
            evidence: format!("{BY_HAND}sam: go"),
            per_mille: None,
        };
        self.ledger().set_phase(&line, "go").unwrap();
    }
}

impl Drop for Night {
    fn drop(&mut self) {
        self.seen.enough.store(true, SeqCst);
        if let Some(watcher) = self.watcher.take() {
            watcher.join().unwrap();
        }
    }
}

/// Waits until this happened once more than before.
#[track_caller]
fn landed(count: &AtomicU32, before: u32) {
    let until = Instant::now() + LIMIT;
    while count.load(SeqCst) <= before {
        assert!(Instant::now() < until, "the fault hit nobody");
        std::thread::yield_now();
    }
}

#[test]
fn pods_go_down_and_services_come_back() {
    use Phase::{Catalogue, PodsDown, Ready, Services, Workers};
    use PhaseState::{Done, Failed, Running, Waiting};
    let night = Night::begin();
    night.stands(PodsDown, Waiting, "4 running");
    night.stands(Services, Waiting, "3 of 3 deployments ready, before the shutdown");
    night.api.deployment("web", &json!({"app": "web"}), 0, 1);
    night.stands(
        PodsDown,
        Running,
        "4 of 4 running: api-1, catalogue-1, web-1 and 1 more",
    );
    night.scale(0);
    night.stands(PodsDown, Done, "0 of 4 running");
    night.stands(Services, Waiting, "3 deployments, none started");
    // One comes up although nobody said go.
    night.api.pod("api-7", &json!({"app": "api"}));
    night.stands(PodsDown, Failed, "api-7 (since 14:40:02Z) is up during the restore");
    night.api.no_pod("api-7");
    night.stands(PodsDown, Done, "0 of 4 running; some were up from ");
    night.tick(Ready);
    night.api.deployment("web", &json!({"app": "web"}), 2, 1);
    night.stands(
        Services,
        Running,
        "0 of 3 deployments ready: api scaled to 0, catalogue scaled to 0, web 1 of 2",
    );
    night.scale(1);
    night.stands(Services, Done, "3 of 3 deployments ready");
    night.stands(Catalogue, Done, "1 of 1 catalogue deployments ready");
    night.stands(Workers, Done, "1 queues, 1 of 1 workers ready");
    let ready = night.stands(Ready, Done, "by hand, sam: go");
    assert_eq!(ready.evidence, "by hand, sam: go");
}

#[test]
fn every_fault_shows_as_age_and_nothing_is_missed() {
    let mut night = Night::begin();
    night.stands(Phase::PodsDown, PhaseState::Waiting, "4 running");
    let pods = |n: usize| move |r: &Reading| r.pods.len() == n && r.lost.is_none();

    // The answer breaks off; what changes meanwhile comes after.
    let before = night.did().cut.load(SeqCst);
    night.api.cut();
    landed(&night.did().cut, before + 1);
    night.api.pod("late-1", &json!({}));
    night.reads("the pod after the cut", pods(5));

    // The server forgets: running watches are told so within their answer, and list again.
    let (gone, lists) = (night.did().gone_midway.load(SeqCst), night.did().lists.load(SeqCst));
    night.api.compact();
    night.api.pod("late-2", &json!({}));
    night.reads("the pod after the compaction", pods(6));
    landed(&night.did().gone_midway, gone + 1);
    landed(&night.did().lists, lists + 1);

    // It forgets while it is away: watches that go on from an old version are told 410 at once.
    let gone = night.did().gone.load(SeqCst);
    night.api.down();
    let lost = night.reads("lost", |r| r.lost.is_some());
    assert_eq!(lost.pods.len(), 6, "what was known is still shown");
    night.api.compact();
    night.api.no_pod("late-1");
    night.api.no_pod("late-2");
    night.api.up();
    night.reads("back after the restart", pods(4));
    landed(&night.did().gone, gone + 1);

    // It refuses, and says why.
    night.api.refuse(Some((403, "pods is forbidden")));
    night.api.cut();
    let refused = night.reads("refused", |r| {
        r.lost.as_ref().is_some_and(|(_, why)| why.contains("forbidden"))
    });
    let (since, why) = refused.lost.unwrap();
    assert_eq!(
        why,
        "the API server refuses: pods is forbidden; grant get, list and watch on it"
    );
    night.reads("an age that grows", |r| {
        r.lost.as_ref().is_some_and(|(s, _)| *s == since)
    });
    landed(&night.did().refused, 2);
    night.api.refuse(Some((500, "etcd has no leader")));
    night.reads("an error of the server", |r| {
        r.lost
            .as_ref()
            .is_some_and(|(_, why)| why.contains("answers 500: etcd"))
    });
    night.api.refuse(None);
    night.reads("back after the refusals", pods(4));

    // It takes the request and says nothing: neither a list nor a watch waits for ever.
    night.api.silence(true);
    let silent = night.reads("silent", |r| {
        r.lost.as_ref().is_some_and(|(_, why)| why.contains("says nothing"))
    });
    assert_eq!(silent.pods.len(), 4);
    assert!(night.did().silent.load(SeqCst) >= 1);
    night.api.silence(false);
    night.api.pod("late-3", &json!({}));
    night.reads("back after the silence", pods(5));

    // None of it was taken for a shutdown.
    let trail = night.ledger().phases().unwrap();
    assert!(trail.iter().all(|l| l.state == PhaseState::Waiting), "{trail:?}");
}

#[test]
fn a_quiet_cluster_is_heard_of_all_the_same() {
    let night = Night::begin();
    let first = night.reads("a reading", |r| r.whole).heard_at.unwrap();
    night.reads("heard again though nothing changed", |r| {
        r.heard_at.unwrap() > first && r.lost.is_none()
    });
    assert!(night.did().watches.load(SeqCst) >= 2);
}

#[test]
fn no_way_to_the_server_is_an_error_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let api = Kubernetes::start();
    let mut config = config(folder.path(), &api);
    config.cluster.as_mut().unwrap().kubeconfig = Some(folder.path().join("nowhere"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime
        .block_on(watch(&config, &Clock::default(), PATIENCE, |_| true))
        .unwrap_err();
    assert!(
        error.what.starts_with("no way to the Kubernetes API: "),
        "{}",
        error.what
    );
    assert!(error.cure.unwrap().contains("cluster.kubeconfig"));
}

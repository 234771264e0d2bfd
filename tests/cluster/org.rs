//! The org: what it shows, and what it is told: once, with a few tries.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use restitch::config::{Config, Database, DbUrl, Notify, OrgConfig};
use restitch::domain::org::{Notice, phase};
use restitch::domain::phase::{Phase, PhaseLine, PhaseState};
use restitch::domain::time;
use restitch::ledger::Ledger;
use restitch::restore::org::{keep, notices, status, tell};
use serde_json::Value as Json;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What came: the token and the body.
type Told = (Option<String>, Json);

/// Somebody who is told: what it answers, and what it was told.
#[derive(Clone, Default)]
struct Peer {
    answers: Arc<Mutex<VecDeque<u16>>>,
    told: Arc<Mutex<Vec<Told>>>,
    shows: Arc<Mutex<String>>,
}

impl Peer {
    async fn start(answers: &[u16]) -> (Self, String) {
        let peer = Self::default();
        peer.answers.lock().unwrap().extend(answers);
        let app = Router::new()
            .route("/told", post(told))
            .route("/state", get(shown))
            .with_state(peer.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (peer, format!("http://{at}"))
    }

    fn told(&self) -> Vec<Json> {
        self.told.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }
}

async fn told(State(peer): State<Peer>, headers: HeaderMap, body: axum::Json<Json>) -> StatusCode {
    let token = headers.get("authorization").map(|h| h.to_str().unwrap().to_owned());
    peer.told.lock().unwrap().push((token, body.0));
    let code = peer.answers.lock().unwrap().pop_front().unwrap_or(200);
    StatusCode::from_u16(code).unwrap()
}

async fn shown(State(peer): State<Peer>) -> (StatusCode, String) {
    let shows = peer.shows.lock().unwrap().clone();
    let code = if shows.is_empty() { 503 } else { 200 };
    (StatusCode::from_u16(code).unwrap(), shows)
}

fn config(folder: &Path, notify: Notify) -> Config {
    let mut config = Config::default();
    config.ledger.database = Database::at(DbUrl::Sqlite(folder.join("ledger.db")));
    "night".clone_into(&mut config.incident.id);
    config.org = Some(OrgConfig {
        notify: Some(notify),
        ..OrgConfig::default()
    });
    config
}

fn set(ledger: &mut Ledger, phase: Phase, state: PhaseState, since: i64) {
    let line = PhaseLine {
        phase,
        state,
        since: Some(since),
        took: None,
        evidence: "0 of 42 running".to_owned(),
        per_mille: None,
    };
    ledger.set_phase(&line, "test").unwrap();
}

fn run<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(what)
}

#[test]
fn a_change_is_told_once_whoever_tries() {
    run(async {
        let (peer, url) = Peer::start(&[]).await;
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), Notify::Url(format!("{url}/told")));
        let mut ledger = Ledger::open(&config, false).unwrap();
        set(&mut ledger, Phase::PodsDown, PhaseState::Done, 1_000_000);
        // Six consoles at once, each with its own handle.
        let tellers: Vec<_> = (0..6)
            .map(|_| {
                let config = config.clone();
                std::thread::spawn(move || {
                    let mut ledger = Ledger::open(&config, false).unwrap();
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .unwrap();
                    runtime.block_on(tell(&config, &mut ledger, &time::now)).unwrap().len()
                })
            })
            .collect();
        let told: usize = tellers.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(told, 1);
        let bodies = peer.told();
        assert_eq!(bodies.len(), 1);
        assert_eq!(bodies[0]["incident"], "night");
        assert_eq!(
            (&bodies[0]["phase"], &bodies[0]["state"]),
            (&"pods-down".into(), &"done".into())
        );
        assert_eq!(bodies[0]["since"], "1970-01-01T00:00:01Z");
        // Another look at the same change, at another moment, is no change; another state is.
        set(&mut ledger, Phase::PodsDown, PhaseState::Done, 2_000_000);
        assert_eq!(tell(&config, &mut ledger, &time::now).await.unwrap(), []);
        set(&mut ledger, Phase::PodsDown, PhaseState::Failed, 3_000_000);
        assert_eq!(tell(&config, &mut ledger, &time::now).await.unwrap().len(), 1);
        assert_eq!(peer.told()[1]["state"], "failed");
        let words: Vec<String> = notices(1, &ledger)
            .unwrap()
            .iter()
            .map(|n| n.words(time::now()))
            .collect();
        assert_eq!(words, ["notice of pods-down failed: webhook 200"]);
    });
}

#[test]
fn a_peer_in_trouble_is_tried_again_a_few_times_and_one_that_refuses_is_not() {
    run(async {
        for (answers, tries, outcome) in [
            (&[503, 503, 200][..], 3, Ok("webhook 200")),
            (&[503, 503, 503, 200][..], 3, Err("webhook 503")),
            (&[403, 200][..], 1, Err("webhook 403")),
        ] {
            let (peer, url) = Peer::start(answers).await;
            let folder = tempfile::tempdir().unwrap();
            let config = config(folder.path(), Notify::Url(format!("{url}/told")));
            let mut ledger = Ledger::open(&config, false).unwrap();
            set(&mut ledger, Phase::PodsDown, PhaseState::Done, 1);
            let told = tell(&config, &mut ledger, &time::now).await.unwrap();
            assert_eq!(told[0].tries, tries, "{answers:?}");
            assert_eq!(
                told[0].outcome,
                Some(outcome.map(str::to_owned).map_err(str::to_owned)),
                "{answers:?}"
            );
            assert_eq!(peer.told().len(), tries as usize);
            assert_eq!(tell(&config, &mut ledger, &time::now).await.unwrap(), [], "not again");
        }
    });
}

#[test]
fn a_notice_that_somebody_died_over_is_unconfirmed_and_never_sent_again() {
    run(async {
        let (peer, url) = Peer::start(&[]).await;
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), Notify::Url(format!("{url}/told")));
        let mut ledger = Ledger::open(&config, false).unwrap();
        set(&mut ledger, Phase::PodsDown, PhaseState::Done, 7);
        let died = Notice {
            phase: "pods-down".to_owned(),
            state: "done".to_owned(),
            by: "ana".to_owned(),
            at: 0,
            tries: 0,
            outcome: None,
        };
        assert!(ledger.first_fact("notice 1 pods-down done 7", &died).unwrap());
        assert_eq!(tell(&config, &mut ledger, &time::now).await.unwrap(), []);
        assert_eq!(peer.told(), Vec::<Json>::new());
        let words = notices(1, &ledger).unwrap()[0].words(time::now());
        assert_eq!(
            words,
            "notice of pods-down done: unconfirmed, ana's restitch ended over it"
        );
    });
}

#[test]
fn a_command_gets_the_change_on_its_input() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("told");
        let script = format!("cat > {}", to.display());
        let command = |script: &str| Notify::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec());
        let config = config(folder.path(), command(&script));
        let mut ledger = Ledger::open(&config, false).unwrap();
        set(&mut ledger, Phase::Services, PhaseState::Running, 1);
        let told = tell(&config, &mut ledger, &time::now).await.unwrap();
        assert_eq!(told[0].outcome, Some(Ok("command 0".to_owned())));
        let body: Json = serde_json::from_str(&std::fs::read_to_string(&to).unwrap()).unwrap();
        assert_eq!(
            (&body["phase"], &body["evidence"]),
            (&"services".into(), &"0 of 42 running".into())
        );
        // One that cannot be started is not tried again.
        let broken = Config {
            org: Some(OrgConfig {
                notify: Some(Notify::Command(vec!["/nowhere/tell".to_owned()])),
                ..OrgConfig::default()
            }),
            ..config.clone()
        };
        set(&mut ledger, Phase::Services, PhaseState::Done, 2);
        let told = tell(&broken, &mut ledger, &time::now).await.unwrap();
        assert_eq!(told[0].tries, 1);
        let why = told[0].outcome.clone().unwrap().unwrap_err();
        assert!(why.starts_with("/nowhere/tell cannot be started"), "{why}");
    });
}

#[test]
fn what_salesforce_shows_is_read_apart_and_sets_the_phase() {
    run(async {
        let (peer, url) = Peer::start(&[]).await;
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path(), Notify::Url(url.clone()));
        let org = OrgConfig {
            status_url: Some(format!("{url}/state")),
            status_field: "/records/0/State__c".to_owned(),
            offline: vec!["Offline".to_owned()],
            ..OrgConfig::default()
        };
        config.org = Some(org.clone());
        let mut ledger = Ledger::open(&config, false).unwrap();
        let mut read = async |body: &str, now: i64| {
            *peer.shows.lock().unwrap() = body.to_owned();
            let known = ledger.phases().unwrap().into_iter().find(|l| l.phase == Phase::OrgTold);
            let line = match status(&org).await.unwrap() {
                Ok(state) => {
                    let shown = keep(&mut ledger, state, now).unwrap();
                    phase(Ok(&shown), &org.offline, known.as_ref(), now)
                }
                Err(error) => phase(Err(&error.what), &org.offline, known.as_ref(), now),
            };
            if let Some(line) = line {
                ledger.set_phase(&line, "read").unwrap();
            }
            let line = ledger
                .phases()
                .unwrap()
                .into_iter()
                .find(|l| l.phase == Phase::OrgTold)
                .unwrap();
            (line.state, line.evidence)
        };
        let shows = |state: &str| format!(r#"{{"records":[{{"State__c":{state}}}]}}"#);
        let (waiting, done) = (PhaseState::Waiting, PhaseState::Done);
        let words = |text: &str| text.to_owned();
        let minute = 60_000_000;
        assert_eq!(
            read(&shows("\"Operational\""), 0).await,
            (waiting, words("OM+ Status: Operational (first seen 00:00:00Z)"))
        );
        let (state, why) = read("", minute).await;
        assert_eq!(state, waiting);
        assert!(why.contains("cannot be read: 503"), "{why}");
        assert_eq!(
            read(&shows("\"Offline\""), 2 * minute).await,
            (done, words("OM+ Status: Offline (first seen 00:02:00Z)"))
        );
        assert_eq!(
            read(&shows("null"), 9 * minute).await,
            (
                done,
                words("OM+ Status: Empty (first seen 00:09:00Z), after Offline from 00:02:00Z")
            ),
        );
        let (_, why) = read("{}", 10 * minute).await;
        assert!(why.contains("no single value at \"/records/0/State__c\""), "{why}");
    });
}

#[test]
fn the_command_line_tells_too_with_the_token_of_its_variable_which_nobody_sees() {
    run(async {
        let (peer, url) = Peer::start(&[]).await;
        let night = crate::night::Night::new();
        let org = format!("[org]\nnotify = \"{url}/told\"\nnotify_token_env = \"ORG_TOKEN\"\n");
        night.write("restitch.toml", format!("{}\n{org}", crate::night::CONFIG));
        let tick = |phase: &str| {
            let mut command = night.command(&["-v", "phase", phase, "done", "--reason", "seen"]);
            command.env("ORG_TOKEN", "canary-8f2e");
            crate::night::Night::finish(command.output().unwrap()).ended(0)
        };
        let ran = tick("drained");
        let told = peer.told.lock().unwrap().clone();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0.as_deref(), Some("Bearer canary-8f2e"));
        assert_eq!(told[0].1["phase"], "drained");
        assert!(
            told[0].1["evidence"].as_str().unwrap().starts_with("by hand, "),
            "{told:?}"
        );
        assert!(!format!("{}{}", ran.out, ran.err).contains("canary"), "{}", ran.err);
        // A second tick of the same phase is the same change.
        tick("drained");
        assert_eq!(peer.told().len(), 1);
        // What changed where nobody told of it is told by whoever comes next, once.
        night.write("quiet.toml", crate::night::CONFIG);
        for phase in ["services", "workers"] {
            night
                .run(&["--config", "quiet.toml", "phase", phase, "done", "--reason", "seen"])
                .ended(0);
        }
        assert_eq!(peer.told().len(), 1);
        let with_token = |args: &[&str]| {
            let mut command = night.command(args);
            crate::night::Night::finish(command.env("ORG_TOKEN", "canary-8f2e").output().unwrap())
        };
        with_token(&["restore", "ready", "--readonly"]);
        assert_eq!(peer.told().len(), 1, "who only looks tells nobody");
        for command in [
            ["restore", "ready"].as_slice(),
            &["gate"],
            &["scan"],
            &["restore", "ready"],
        ] {
            with_token(command);
        }
        let told: Vec<Json> = peer.told().iter().map(|t| t["phase"].clone()).collect();
        for phase in ["drained", "services", "workers"] {
            assert_eq!(told.iter().filter(|t| *t == phase).count(), 1, "{phase}: {told:?}");
        }
    });
}

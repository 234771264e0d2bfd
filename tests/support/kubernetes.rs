//! A Kubernetes API server for tests: pods and deployments of one namespace, listed and watched, that forgets, breaks off
//! and refuses when told to. It counts what it did. It is no Kubernetes: nothing runs, and states are what a test says.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use futures_util::stream;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

const NAMESPACE: &str = "om";

/// The server, on a port and a thread of its own.
pub struct Kubernetes {
    pub port: u16,
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
    server: Option<tokio::task::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    world: Mutex<World>,
    /// Moves with everything that a watch must look at.
    moved: watch::Sender<u64>,
    did: Did,
}

/// How often what was done to whoever asked.
#[derive(Default)]
pub struct Did {
    pub lists: AtomicU32,
    pub watches: AtomicU32,
    pub cut: AtomicU32,
    pub gone: AtomicU32,
    pub gone_midway: AtomicU32,
    pub refused: AtomicU32,
    pub silent: AtomicU32,
}

#[derive(Default)]
struct World {
    version: u64,
    objects: BTreeMap<(String, String), Json>,
    /// Version, kind, type of event, object.
    events: Vec<(u64, String, &'static str, Json)>,
    /// Versions before this one are forgotten.
    oldest: u64,
    /// Watches of an older generation break off.
    generation: u64,
    refuses: Option<(u16, &'static str)>,
    silent: bool,
}

impl Kubernetes {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut server = Self {
            port: 0,
            shared: Arc::default(),
            runtime,
            server: None,
        };
        server.up();
        server
    }

    /// Listens, on the same port as before.
    pub fn up(&mut self) {
        let at = SocketAddr::from(([127, 0, 0, 1], self.port));
        let listener = self.runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(at).unwrap();
            socket.listen(64).unwrap()
        });
        self.port = listener.local_addr().unwrap().port();
        self.server = Some(self.runtime.spawn(serve(listener, Arc::clone(&self.shared))));
    }

    /// Is gone: every watch breaks off and nothing listens.
    pub fn down(&mut self) {
        let server = self.server.take().unwrap();
        server.abort();
        self.runtime.block_on(server).unwrap_err();
        self.cut();
    }

    pub fn did(&self) -> &Did {
        &self.shared.did
    }

    /// A kubeconfig that leads here.
    pub fn kubeconfig(&self, folder: &std::path::Path) -> PathBuf {
        let path = folder.join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{}", self.port)}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    fn change<T>(&self, with: impl FnOnce(&mut World) -> T) -> T {
        let done = with(&mut self.shared.world.lock().unwrap());
        self.shared.moved.send_modify(|n| *n += 1);
        done
    }

    fn put(&self, kind: &str, name: &str, mut object: Json) {
        self.change(|world| {
            world.version += 1;
            let version = world.version;
            object["metadata"]["name"] = json!(name);
            object["metadata"]["namespace"] = json!(NAMESPACE);
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            let key = (kind.to_owned(), name.to_owned());
            let event = if world.objects.insert(key, object.clone()).is_some() {
                "MODIFIED"
            } else {
                "ADDED"
            };
            world.events.push((version, kind.to_owned(), event, object));
        });
    }

    fn remove(&self, kind: &str, name: &str) {
        self.change(|world| {
            let mut object = world.objects.remove(&(kind.to_owned(), name.to_owned())).unwrap();
            world.version += 1;
            object["metadata"]["resourceVersion"] = json!(world.version.to_string());
            world.events.push((world.version, kind.to_owned(), "DELETED", object));
        });
    }

    /// A pod that runs, with these labels.
    pub fn pod(&self, name: &str, labels: &Json) {
        let status = json!({"phase": "Running", "startTime": "2026-11-22T14:40:02Z",
            "conditions": [{"type": "Ready", "status": "True"}]});
        self.put(
            "pods",
            name,
            json!({"metadata": {"labels": labels}, "spec": {"containers": []}, "status": status}),
        );
    }

    /// A pod that is over.
    pub fn finished_pod(&self, name: &str) {
        self.put(
            "pods",
            name,
            json!({"metadata": {}, "spec": {"containers": []}, "status": {"phase": "Succeeded"}}),
        );
    }

    pub fn no_pod(&self, name: &str) {
        self.remove("pods", name);
    }

    /// A deployment with so many pods asked for, and so many that answer.
    pub fn deployment(&self, name: &str, labels: &Json, desired: u32, ready: u32) {
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": []}});
        let spec = json!({"replicas": desired, "selector": {}, "template": template});
        let status = json!({"readyReplicas": ready, "updatedReplicas": ready});
        self.put(
            "deployments",
            name,
            json!({"metadata": {"labels": labels}, "spec": spec, "status": status}),
        );
    }

    /// Breaks every watch off in the middle of its answer.
    pub fn cut(&self) {
        self.change(|world| world.generation += 1);
    }

    /// Forgets everything but how things stand: watches that begin before now are told 410 Gone, and so are those that run.
    pub fn compact(&self) {
        self.change(|world| {
            world.version += 1;
            world.oldest = world.version;
            world.events.clear();
        });
    }

    /// Answers every request so, or as it should again.
    pub fn refuse(&self, with: Option<(u16, &'static str)>) {
        self.change(|world| world.refuses = with);
    }

    /// Takes requests and says nothing, or speaks again.
    pub fn silence(&self, silent: bool) {
        self.change(|world| world.silent = silent);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let app = Router::new()
        .route("/api/v1/namespaces/{namespace}/{kind}", get(answer))
        .route("/apis/apps/v1/namespaces/{namespace}/{kind}", get(answer))
        .with_state(shared);
    axum::serve(listener, app).await.unwrap();
}

fn status(code: u16, reason: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code});
    Response::builder()
        .status(StatusCode::from_u16(code).unwrap())
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path((namespace, kind)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let (refuses, silent, oldest) = {
        let world = shared.world.lock().unwrap();
        (world.refuses, world.silent, world.oldest)
    };
    if let Some((code, reason)) = refuses {
        shared.did.refused.fetch_add(1, SeqCst);
        return status(code, reason);
    }
    if silent {
        shared.did.silent.fetch_add(1, SeqCst);
        std::future::pending::<()>().await;
    }
    assert_eq!(namespace, NAMESPACE);
    if query.get("watch").is_none_or(|w| w != "true") {
        shared.did.lists.fetch_add(1, SeqCst);
        let world = shared.world.lock().unwrap();
        let items: Vec<&Json> = world
            .objects
            .iter()
            .filter(|(k, _)| k.0 == kind)
            .map(|(_, o)| o)
            .collect();
        let list = json!({"metadata": {"resourceVersion": world.version.to_string()}, "items": items});
        return Response::new(Body::from(list.to_string()));
    }
    shared.did.watches.fetch_add(1, SeqCst);
    let from: u64 = query["resourceVersion"].parse().unwrap();
    if from < oldest {
        shared.did.gone.fetch_add(1, SeqCst);
        return status(410, "too old resource version");
    }
    let seconds: u64 = query["timeoutSeconds"].parse().unwrap();
    let generation = shared.world.lock().unwrap().generation;
    let watching = Watching {
        moved: shared.moved.subscribe(),
        shared,
        kind,
        from,
        generation,
        until: tokio::time::Instant::now() + Duration::from_secs(seconds),
        over: false,
    };
    Response::new(Body::from_stream(stream::unfold(watching, |mut w| async move {
        let next = w.next().await;
        next.map(|part| (part, w))
    })))
}

struct Watching {
    shared: Arc<Shared>,
    moved: watch::Receiver<u64>,
    kind: String,
    from: u64,
    generation: u64,
    until: tokio::time::Instant,
    over: bool,
}

impl Watching {
    /// The next part of the answer; `None` ends it well, an error breaks it off.
    async fn next(&mut self) -> Option<io::Result<String>> {
        loop {
            if self.over {
                return None;
            }
            let silent = {
                let world = self.shared.world.lock().unwrap();
                if world.generation > self.generation {
                    self.over = true;
                    self.shared.did.cut.fetch_add(1, SeqCst);
                    return Some(Err(io::Error::other("broken off on purpose")));
                }
                if world.oldest > self.from {
                    self.over = true;
                    self.shared.did.gone_midway.fetch_add(1, SeqCst);
                    let gone = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired",
                        "message": "too old resource version"});
                    return Some(Ok(format!("{}\n", json!({"type": "ERROR", "object": gone}))));
                }
                if !world.silent
                    && let Some(event) = world.events.iter().find(|e| e.0 > self.from && e.1 == self.kind)
                {
                    self.from = event.0;
                    return Some(Ok(format!("{}\n", json!({"type": event.2, "object": event.3}))));
                }
                world.silent
            };
            if silent {
                self.shared.did.silent.fetch_add(1, SeqCst);
                self.moved.changed().await.ok()?;
            } else if tokio::time::timeout_at(self.until, self.moved.changed()).await.is_err() {
                return None;
            }
        }
    }
}

//! One kind of object, listed once and watched from there.
//!
//! kube's own `watcher` does the same, but tells nothing while nothing changes: a quiet cluster and a dead connection look
//! alike for minutes. Here every watch is short, and each that the server ends says that it was there.

use super::chain;
use futures_util::TryStreamExt as _;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The server is asked to end a watch after so long.
    pub watch: Duration,
    /// A server that says nothing for so long is lost.
    pub silence: Duration,
    /// Between attempts at first, doubled from one to the next up to sixteen times it.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            watch: Duration::from_secs(15),
            silence: Duration::from_secs(20),
            pause: Duration::from_secs(1),
        }
    }
}

/// News of one kind of object.
pub enum Told<K> {
    /// These are all there are.
    All(Vec<K>),
    /// This one is new or changed.
    Is(K),
    /// This one is gone.
    Gone(K),
    /// Nothing is new.
    Heard,
    /// The server does not answer, or refuses.
    Lost(String),
}

/// Why a watch ended.
enum Ended {
    /// The server ended it as asked.
    Well,
    /// It no longer knows the version to go on from: 410 Gone.
    Outdated,
    /// It failed.
    Badly(String),
    /// Nobody listens.
    Unheard,
}

/// Tells of all objects, and of each change, until nobody listens.
pub async fn follow<K>(api: Api<K>, patience: Patience, to: mpsc::Sender<Told<K>>)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut pause = patience.pause;
    // `None`: from a list.
    let mut version: Option<String> = None;
    loop {
        let began = Instant::now();
        let ended = match &mut version {
            None => match timeout(patience.silence, api.list(&ListParams::default())).await {
                Ok(Ok(list)) => {
                    version = list.metadata.resource_version;
                    if to.send(Told::All(list.items)).await.is_err() {
                        return;
                    }
                    pause = patience.pause;
                    continue;
                }
                Ok(Err(e)) => Ended::Badly(words(&e)),
                Err(_) => Ended::Badly(silent(patience)),
            },
            Some(version) => watch(&api, version, patience, &to).await,
        };
        match ended {
            Ended::Unheard => return,
            Ended::Outdated => {
                // What was known is still shown until the list comes.
                version = None;
                continue;
            }
            Ended::Well => {
                pause = patience.pause;
                if to.send(Told::Heard).await.is_err() {
                    return;
                }
                // A server that ends a watch at once would be asked in a tight circle.
                if began.elapsed() >= patience.watch.min(patience.pause) {
                    continue;
                }
            }
            Ended::Badly(why) => {
                if to.send(Told::Lost(why)).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(patience.pause * 16);
                continue;
            }
        }
        tokio::time::sleep(patience.pause).await;
    }
}

/// All objects, once; or why not.
pub async fn list<K>(api: &Api<K>, patience: Patience) -> Result<Vec<K>, String>
where
    K: Clone + DeserializeOwned + Debug,
{
    match timeout(patience.silence, api.list(&ListParams::default())).await {
        Ok(Ok(list)) => Ok(list.items),
        Ok(Err(e)) => Err(words(&e)),
        Err(_) => Err(silent(patience)),
    }
}

async fn watch<K>(api: &Api<K>, version: &mut String, patience: Patience, to: &mpsc::Sender<Told<K>>) -> Ended
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let seconds = u32::try_from(patience.watch.as_secs()).unwrap_or(u32::MAX).max(1);
    let params = WatchParams::default().timeout(seconds);
    let opened = timeout(patience.silence, api.watch(&params, version)).await;
    let stream = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(kube::Error::Api(status))) if status.code == 410 => return Ended::Outdated,
        Ok(Err(e)) => return Ended::Badly(words(&e)),
        Err(_) => return Ended::Badly(silent(patience)),
    };
    let mut stream = std::pin::pin!(stream);
    loop {
        let event = match timeout(patience.silence, stream.try_next()).await {
            Ok(Ok(Some(event))) => event,
            Ok(Ok(None)) => return Ended::Well,
            Ok(Err(e)) => return Ended::Badly(words(&e)),
            Err(_) => return Ended::Badly(silent(patience)),
        };
        let news = match event {
            WatchEvent::Added(one) | WatchEvent::Modified(one) => {
                version.clone_from(&one.resource_version().unwrap_or_default());
                Told::Is(one)
            }
            WatchEvent::Deleted(one) => {
                version.clone_from(&one.resource_version().unwrap_or_default());
                Told::Gone(one)
            }
            WatchEvent::Bookmark(mark) => {
                *version = mark.metadata.resource_version;
                Told::Heard
            }
            WatchEvent::Error(status) if status.code == 410 => return Ended::Outdated,
            WatchEvent::Error(status) => return Ended::Badly(format!("the API server: {}", status.message)),
        };
        if to.send(news).await.is_err() {
            return Ended::Unheard;
        }
    }
}

fn silent(patience: Patience) -> String {
    format!("the API server says nothing for {} s", patience.silence.as_secs_f32())
}

/// A failure for people.
fn words(e: &kube::Error) -> String {
    match e {
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "the API server refuses: {}; grant get, list and watch on it",
                status.message
            )
        }
        kube::Error::Api(status) if status.code == 401 => {
            "the API server does not know this login: its token is wrong or has expired".to_owned()
        }
        kube::Error::Api(status) => format!("the API server answers {}: {}", status.code, status.message),
        other => chain(other),
    }
}

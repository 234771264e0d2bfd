//! The cluster through the Kubernetes API: pods and deployments of one namespace, listed and watched; nothing is changed.
//!
//! `follow` keeps one kind of object up to date, `queues` reads the orchestration queues of the restored database, `keep`
//! sets the phases. What a reading says of them is [`crate::domain::cluster`].

mod api;
mod follow;
mod keep;
mod queues;

use crate::config::{ClusterConfig, Config};
use crate::domain::cluster::{Deployment, Knows, Pod, Reading};
use crate::domain::time::Clock;
use crate::domain::{Error, Result};
pub use follow::Patience;
use follow::Told;
pub use keep::Keeper;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt as _};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

/// What is asked beside the API server is asked so often.
const ASK: Duration = Duration::from_secs(10);

/// The API server as kubeconfig names it, else as the pod that restitch runs in does.
pub async fn client(config: &ClusterConfig) -> Result<Client> {
    let failed = |what: String| {
        Error::usage(format!("no way to the Kubernetes API: {what}"))
            .at("[cluster]")
            .cure("set cluster.kubeconfig (and cluster.context) to a file that `kubectl` works with")
    };
    let options = KubeConfigOptions {
        context: config.context.clone(),
        ..KubeConfigOptions::default()
    };
    let found = match &config.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|e| failed(chain(&e)))?;
            kube::Config::from_custom_kubeconfig(file, &options).await
        }
        None => match kube::Config::from_kubeconfig(&options).await {
            // Inside a pod there is no such file.
            Err(_) if config.context.is_none() => match kube::Config::incluster() {
                Ok(found) => Ok(found),
                Err(e) => {
                    return Err(failed(format!(
                        "there is no kubeconfig, and this is no pod ({})",
                        chain(&e)
                    )));
                }
            },
            other => other,
        },
    };
    let mut found = found.map_err(|e| failed(chain(&e)))?;
    found.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(found).map_err(|e| failed(chain(&e)))
}

/// Watches the cluster until `tell` says that it is enough; it gets every reading that differs from the one before, and
/// one every few seconds for its age. Fails only where the configuration leads to no API server.
pub async fn watch(
    config: &Config,
    clock: &Clock,
    patience: Patience,
    mut tell: impl FnMut(&Reading) -> bool,
) -> Result<()> {
    let Some(cluster) = &config.cluster else {
        return Ok(());
    };
    let client = client(cluster).await?;
    let (pods_in, mut pods_out) = mpsc::channel(64);
    let (deployments_in, mut deployments_out) = mpsc::channel(64);
    let pods = api::pods(client.clone(), &cluster.namespace);
    let deployments = api::deployments(client, &cluster.namespace);
    let (asked_in, mut asked_out) = mpsc::channel(1);
    let tasks = [
        tokio::spawn(follow::follow(pods, patience, pods_in)),
        tokio::spawn(follow::follow(deployments, patience, deployments_in)),
        tokio::spawn(ask(config.clone(), asked_in)),
    ];
    let _end = End(&tasks);
    let mut seen = Seen::new(cluster);
    let mut told = None;
    let mut beat = tokio::time::interval(Duration::from_secs(2));
    loop {
        let beaten = tokio::select! {
            Some(news) = pods_out.recv() => { seen.pods.take(news, clock.now()); false }
            Some(news) = deployments_out.recv() => { seen.deployments.take(news, clock.now()); false }
            Some(news) = asked_out.recv() => { seen.asked = news; false }
            _ = beat.tick() => true,
            else => return Ok(()),
        };
        let reading = seen.reading(cluster);
        // A reading that only got older waits for the beat.
        let same = told.as_ref().is_some_and(|told: &Reading| {
            let aged = Reading {
                heard_at: told.heard_at,
                ..reading.clone()
            };
            aged == *told
        });
        if !same || beaten {
            if !tell(&reading) {
                return Ok(());
            }
            told = Some(reading);
        }
    }
}

/// Reads the cluster once, and whom else the configuration names; `now` is microseconds since 1970.
pub async fn look(config: &Config, now: i64) -> Result<Reading> {
    let Some(cluster) = &config.cluster else {
        return Err(Error::usage("no cluster is configured").at("[cluster]"));
    };
    let client = client(cluster).await?;
    let pods = api::pods(client.clone(), &cluster.namespace);
    let deployments = api::deployments(client, &cluster.namespace);
    let patience = Patience::default();
    let failed = |why: String| Error::failed(why).at(format!("[cluster] namespace {}", cluster.namespace));
    let mut seen = Seen::new(cluster);
    seen.pods
        .take(Told::All(follow::list(&pods, patience).await.map_err(failed)?), now);
    seen.deployments.take(
        Told::All(follow::list(&deployments, patience).await.map_err(failed)?),
        now,
    );
    seen.asked = Asked::of(config, cluster).await;
    Ok(seen.reading(cluster))
}

/// Ends the tasks with the watch.
struct End<'t>(&'t [tokio::task::JoinHandle<()>]);

impl Drop for End<'_> {
    fn drop(&mut self) {
        for task in self.0 {
            task.abort();
        }
    }
}

/// What others than the API server say.
#[derive(Debug, Clone, Default)]
struct Asked {
    probe: Option<Result<(), String>>,
    queues: Option<Result<Vec<String>, String>>,
}

impl Asked {
    async fn of(config: &Config, cluster: &ClusterConfig) -> Self {
        Self {
            probe: match &cluster.catalogue_url {
                Some(url) => Some(probe(url).await),
                None => None,
            },
            queues: queues::names(config, cluster).await,
        }
    }
}

/// Asks the catalogue's probe and the restored database again and again.
async fn ask(config: Config, to: mpsc::Sender<Asked>) {
    let Some(cluster) = &config.cluster else { return };
    loop {
        if to.send(Asked::of(&config, cluster).await).await.is_err() {
            return;
        }
        tokio::time::sleep(ASK).await;
    }
}

/// Whether this address answers with success.
async fn probe(url: &str) -> Result<(), String> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build();
    let answer = match client {
        Ok(client) => client.get(url).send().await,
        Err(e) => Err(e),
    };
    // The address stands in the configuration; a message that repeats it says nothing more.
    let answer = answer.map_err(|e| chain(&e.without_url()))?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(answer.status().to_string())
    }
}

/// One kind of object as it is known.
struct Kind<T> {
    of: BTreeMap<String, T>,
    whole: bool,
    heard_at: Option<i64>,
    lost: Option<(i64, String)>,
}

impl<T> Default for Kind<T> {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            whole: false,
            heard_at: None,
            lost: None,
        }
    }
}

impl<T: kube::Resource> Kind<T> {
    fn take(&mut self, news: Told<T>, now: i64) {
        match news {
            Told::Lost(why) => {
                let since = self.lost.as_ref().map_or(now, |(since, _)| *since);
                self.lost = Some((since, why));
                return;
            }
            Told::Heard => {}
            Told::All(all) => {
                self.of = all.into_iter().map(|one| (one.name_any(), one)).collect();
                self.whole = true;
            }
            Told::Is(one) => {
                self.of.insert(one.name_any(), one);
            }
            Told::Gone(one) => {
                self.of.remove(&one.name_any());
            }
        }
        self.heard_at = Some(now);
        self.lost = None;
    }
}

struct Seen {
    pods: Kind<api::Pod>,
    deployments: Kind<api::Deployment>,
    asked: Asked,
    knows: Knows,
}

impl Seen {
    fn new(cluster: &ClusterConfig) -> Self {
        Self {
            pods: Kind::default(),
            deployments: Kind::default(),
            asked: Asked::default(),
            knows: Knows {
                catalogue: cluster.catalogue.is_some(),
                workers: cluster.workers.is_some(),
            },
        }
    }

    fn reading(&self, cluster: &ClusterConfig) -> Reading {
        let broker = |labels: &BTreeMap<String, String>| cluster.brokers.as_ref().is_some_and(|b| b.fits(labels));
        let pods = self.pods.of.values().filter(|p| !is_over(p) && !broker(p.labels()));
        let mine = self
            .deployments
            .of
            .values()
            .filter(|d| !broker(pod_labels(d)) && !broker(d.labels()));
        let lost = self.pods.lost.iter().chain(&self.deployments.lost);
        Reading {
            namespace: cluster.namespace.clone(),
            pods: pods.map(pod).collect(),
            deployments: mine.map(|d| deployment(d, cluster)).collect(),
            whole: self.pods.whole && self.deployments.whole,
            heard_at: self.pods.heard_at.zip(self.deployments.heard_at).map(|(a, b)| a.min(b)),
            lost: lost.min_by_key(|(since, _)| *since).cloned(),
            probe: self.asked.probe.clone(),
            queues: self.asked.queues.clone().map(|names| names.map(queues::plain)),
            knows: self.knows,
        }
    }
}

/// Kubernetes documentation, Pod Lifecycle: the two phases in which no container runs or will run again.
fn is_over(pod: &api::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn pod(pod: &api::Pod) -> Pod {
    let status = pod.status.as_ref();
    let ready = |c: &api::Condition| c.kind == "Ready" && c.status == "True";
    let since = status
        .and_then(|s| s.start_time.as_ref())
        .or(pod.metadata.creation_timestamp.as_ref());
    Pod {
        name: pod.name_any(),
        since: since.map(|at| at.0.as_microsecond()),
        ready: status.is_some_and(|s| s.conditions.iter().flatten().any(ready)),
    }
}

fn pod_labels(deployment: &api::Deployment) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    let template = deployment.spec.template.metadata.as_ref();
    template.and_then(|m| m.labels.as_ref()).unwrap_or(&NONE)
}

fn deployment(deployment: &api::Deployment, cluster: &ClusterConfig) -> Deployment {
    let labels = [deployment.labels(), pod_labels(deployment)];
    let has = |selector: &Option<crate::domain::cluster::Selector>| {
        selector.as_ref().is_some_and(|s| labels.iter().any(|l| s.fits(l)))
    };
    let count = |n: Option<i32>, absent: u32| n.map_or(absent, |n| u32::try_from(n).unwrap_or(0));
    let status = deployment.status.as_ref();
    // Until the controller has seen what was asked for, its figures are of what was asked for before.
    let asked = deployment.metadata.generation;
    let current = status.is_none_or(|s| s.observed_generation >= asked);
    let ready = status.map_or(0, |s| {
        let ready = count(s.ready_replicas, 0);
        match s.updated_replicas {
            Some(updated) => ready.min(count(Some(updated), 0)),
            None => ready,
        }
    });
    let desired = count(deployment.spec.replicas, 1);
    Deployment {
        name: deployment.name_any(),
        desired,
        ready: if current {
            ready
        } else {
            ready.min(desired.saturating_sub(1))
        },
        worker: has(&cluster.workers),
        queue: labels.iter().find_map(|l| l.get(&cluster.queue_label)).cloned(),
        catalogue: has(&cluster.catalogue),
    }
}

/// An error and what caused it, in one line.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(e) = next {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = e.source();
    }
    text
}

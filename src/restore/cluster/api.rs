//! What is read of a pod and of a deployment: few of the many fields that the Kubernetes API has. Field names and their
//! meaning: Kubernetes API reference, core/v1 Pod and apps/v1 Deployment.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::core::{ApiResource, NotUsed, Object};
use kube::{Api, Client};
use serde::Deserialize;

/// A pod.
pub type Pod = Object<NotUsed, PodStatus>;
/// A deployment.
pub type Deployment = Object<DeploymentSpec, DeploymentStatus>;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    pub phase: Option<String>,
    pub start_time: Option<Time>,
    pub conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct DeploymentSpec {
    /// 1 where it is absent.
    pub replicas: Option<i32>,
    pub template: Template,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Template {
    pub metadata: Option<ObjectMeta>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    pub observed_generation: Option<i64>,
    pub ready_replicas: Option<i32>,
    pub updated_replicas: Option<i32>,
}

/// The pods of a namespace.
pub fn pods(client: Client, namespace: &str) -> Api<Pod> {
    let kind = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
    Api::namespaced_with(client, namespace, &kind)
}

/// The deployments of a namespace.
pub fn deployments(client: Client, namespace: &str) -> Api<Deployment> {
    let kind = ApiResource::erase::<k8s_openapi::api::apps::v1::Deployment>(&());
    Api::namespaced_with(client, namespace, &kind)
}

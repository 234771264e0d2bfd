//! The settings of topics, as the brokers tell them.

use super::Complaints;
use crate::config::{KafkaConfig, SaslMechanism};
use crate::domain::{Error, Result};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use std::collections::HashMap;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Brokers are given so long to tell.
const TOLD: Duration = Duration::from_secs(5);

/// A client that asks for the settings of topics.
pub struct Topics {
    /// `None` where the login is one that this client cannot make.
    client: Option<AdminClient<Complaints>>,
    runtime: Runtime,
}

impl Topics {
    /// Sets the client up; asks nobody yet. `place` is for people.
    pub fn open(cluster: &KafkaConfig, place: &str) -> Result<Self> {
        // rdkafka's AdminClient never takes the token that its callback makes (rust-rdkafka, issue 757).
        let by_token = cluster
            .sasl
            .as_ref()
            .is_some_and(|s| s.mechanism == SaslMechanism::MskIam);
        let open = || {
            let (config, complaints) = super::client(cluster, place)?;
            let client = config.create_with_context(complaints);
            client.map_err(|e| Error::usage(format!("the Kafka client cannot be set up: {e}")).at(place))
        };
        Ok(Self {
            client: (!by_token).then(open).transpose()?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| Error::failed(format!("no thread can be started: {e}")))?,
        })
    }

    /// The settings of a topic by their names, or why they cannot be read.
    pub fn settings(&self, topic: &str) -> Result<HashMap<String, String>, String> {
        let client = self.client.as_ref().ok_or("not with an IAM login")?;
        let options = AdminOptions::new().request_timeout(Some(TOLD));
        let resource = [ResourceSpecifier::Topic(topic)];
        let told = self.runtime.block_on(client.describe_configs(&resource, &options));
        let told = told
            .map_err(|e| e.to_string())?
            .pop()
            .ok_or("the broker tells nothing")?;
        let told = told.map_err(|e| e.to_string())?;
        Ok(told
            .entries
            .into_iter()
            .filter_map(|e| Some((e.name, e.value?)))
            .collect())
    }
}

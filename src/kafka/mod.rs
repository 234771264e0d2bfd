//! The Kafka client: how every room reaches a cluster, and what it says when it cannot.
//!
//! A [`Reader`] assigns partitions by hand: it joins no group, stores and commits no offset, and never jumps over what is
//! gone (`auto.offset.reset` is `error`: `earliest` and `latest` pass silently over deleted records). Only committed
//! transactions are read. [`msk`] makes the tokens of Amazon MSK, [`topic`] asks for the settings of topics.

pub mod msk;
pub mod topic;

use crate::config::{KafkaConfig, SaslMechanism, secrets};
use crate::domain::{Error, Result};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Brokers that do not answer within it are not there.
pub const ANSWER: Duration = Duration::from_secs(10);
/// One wait; between two the caller is asked whether it was stopped.
pub const LOOK: Duration = Duration::from_millis(200);

/// Keeps the last thing that a client complained of: its errors say only that no broker is there, this says why. Makes
/// tokens where the login needs them.
#[derive(Clone, Default)]
pub struct Complaints {
    last: Arc<Mutex<Option<String>>>,
    /// The AWS region of the brokers, where they want tokens.
    region: Option<String>,
}

impl Complaints {
    /// What it was.
    pub fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, what: String) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }
}

impl ClientContext for Complaints {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, _: &str, message: &str) {
        if (level as i32) <= (RDKafkaLogLevel::Error as i32) {
            // "[thrd:…]: host:port/bootstrap: Connect to … failed: Connection refused (after 0ms in state CONNECT)"
            let message = message.split_once("]: ").map_or(message, |(_, rest)| rest);
            let message = message.split_once(" (after ").map_or(message, |(why, _)| why);
            self.keep(message.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // What a broker says of a login or a certificate comes only here.
        use RDKafkaErrorCode as Code;
        if matches!(
            error.rdkafka_error_code(),
            Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL)
        ) {
            let reason = reason.split_once(" (after ").map_or(reason, |(why, _)| why);
            self.keep(reason.to_owned());
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let region = self.region.clone().unwrap_or_default();
        msk::token(&region).map_err(|e| {
            self.keep(format!("no token for the login: {}", e.what));
            Box::from(e.what)
        })
    }
}

impl ConsumerContext for Complaints {}

/// The settings of any client of this cluster, and who hears what it complains of. `place` is for people: which table of
/// the configuration, which topic.
pub fn client(cluster: &KafkaConfig, place: &str) -> Result<(ClientConfig, Complaints)> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.brokers.join(","))
        .set("client.id", "restitch")
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.max.ms", "1000")
        .set_log_level(RDKafkaLogLevel::Error);
    let mut complaints = Complaints::default();
    if cluster.tls {
        // The vendored OpenSSL knows no folder of roots: `probe` looks where systems keep them (librdkafka, CONFIGURATION.md).
        let roots = cluster.sslrootcert.as_ref();
        let roots = roots.map_or_else(|| "probe".into(), |path| path.to_string_lossy());
        config
            .set("ssl.ca.location", roots)
            .set("enable.ssl.certificate.verification", "true")
            .set("ssl.endpoint.identification.algorithm", "https");
    }
    let protocol = match (&cluster.sasl, cluster.tls) {
        (None, false) => "plaintext",
        (None, true) => "ssl",
        (Some(_), false) => "sasl_plaintext",
        (Some(_), true) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(sasl) = &cluster.sasl {
        let mechanism = match sasl.mechanism {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            SaslMechanism::MskIam => "OAUTHBEARER",
        };
        config.set("sasl.mechanisms", mechanism);
        if sasl.mechanism == SaslMechanism::MskIam {
            let region = sasl.region.clone().or_else(|| msk::region(&cluster.brokers));
            complaints.region = Some(region.ok_or_else(|| {
                Error::usage("the AWS region of the brokers is not known: their names do not tell it")
                    .at(place)
                    .cure("add region = \"eu-central-1\", or whichever it is")
            })?);
        } else {
            let password = secrets::of_sasl(sasl).map_err(|e| Error {
                place: Some(place.to_owned()),
                ..e
            })?;
            config
                .set("sasl.username", &sasl.username)
                .set("sasl.password", password.reveal());
        }
    }
    Ok((config, complaints))
}

/// A consumer without a group, and where its topic is.
pub struct Reader {
    /// The client.
    pub consumer: BaseConsumer<Complaints>,
    complaints: Complaints,
    /// `[[log]] cdc: topic om.changes at b-1:9092`
    place: String,
}

impl Reader {
    /// A consumer of this cluster under a group id that nobody else has.
    pub fn open(cluster: &KafkaConfig, place: String) -> Result<Self> {
        Self::open_with(cluster, place, &[])
    }

    /// As [`Reader::open`], with these settings of the client besides.
    pub fn open_with(cluster: &KafkaConfig, place: String, settings: &[(&str, &str)]) -> Result<Self> {
        Self::under(cluster, place, &format!("restitch-{}", uuid::Uuid::now_v7()), settings)
    }

    /// A consumer under this group id: to read what the group has committed. It must never be assigned anything, nor
    /// subscribe, so that it joins nothing. `settings` go to the client as they are.
    pub fn under(cluster: &KafkaConfig, place: String, group: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let (mut config, complaints) = client(cluster, &place)?;
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", "16384");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let consumer = config.create_with_context(complaints.clone());
        Ok(Self {
            consumer: consumer
                .map_err(|e| Error::usage(format!("the Kafka client cannot be set up: {e}")).at(place.clone()))?,
            complaints,
            place,
        })
    }

    /// An error about this topic.
    pub fn failed(&self, what: impl Into<String>) -> Error {
        Error::failed(what).at(self.place.clone())
    }

    /// Nobody answers, and why, as far as the client knows.
    pub fn no_answer(&self, within: Duration) -> Error {
        let why = self
            .complaints
            .last()
            .map_or_else(String::new, |why| format!(": {why}"));
        self.failed(format!("no broker answers within {} s{why}", within.as_secs()))
            .cure(
                "check brokers (host and port), tls and sasl, and that this machine may reach them; a listener that wants \
                 TLS or a login drops whoever comes without",
            )
    }

    /// Asks until there is an answer, the time is up, or nobody wants it any more. A broker that answers late is given
    /// longer the next time.
    pub fn ask<T>(&self, stopped: impl Fn() -> bool, ask: impl Fn(Duration) -> Result<T, KafkaError>) -> Result<T> {
        let begun = Instant::now();
        let mut limit = LOOK * 5;
        loop {
            match ask(limit) {
                Ok(answer) => return Ok(answer),
                Err(e) if passing(&e) => {}
                Err(e) => return Err(self.failed(format!("the broker refuses: {e}"))),
            }
            // Hears what the client complains of, and makes the token that it waits for.
            if self.consumer.assignment().is_ok_and(|a| a.count() == 0) {
                let _ = self.consumer.poll(Duration::ZERO);
            }
            if stopped() || begun.elapsed() > ANSWER {
                return Err(self.no_answer(ANSWER));
            }
            limit = (limit * 2).min(ANSWER.saturating_sub(begun.elapsed())).max(LOOK);
        }
    }
}

/// What passes by itself, or does not concern a reader without a group.
pub fn passing(e: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let passing = [
        Code::BrokerTransportFailure,
        Code::AllBrokersDown,
        Code::Resolve,
        Code::OperationTimedOut,
        Code::TimedOutQueue,
        Code::RequestTimedOut,
        Code::NetworkException,
        // While another leader is being found: the client or the broker knows an older one.
        Code::LeaderNotAvailable,
        Code::NotLeaderForPartition,
        Code::FencedLeaderEpoch,
        Code::UnknownLeaderEpoch,
        Code::OffsetNotAvailable,
        Code::KafkaStorageError,
        // The client lets go of a broker that left the cluster.
        Code::DestroyBroker,
        Code::BrokerNotAvailable,
        Code::CoordinatorLoadInProgress,
        Code::CoordinatorNotAvailable,
        Code::NotCoordinator,
        Code::GroupAuthorizationFailed,
        // Also of a login that is refused: the client goes on trying, and the last complaint says why.
        Code::Authentication,
        Code::SSL,
    ];
    e.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_needs_longer_is_given_longer() {
        let cluster = KafkaConfig {
            brokers: vec!["127.0.0.1:1".to_owned()],
            ..KafkaConfig::default()
        };
        let reader = Reader::open(&cluster, "here".to_owned()).unwrap();
        let needs = Duration::from_secs(3);
        let answer = reader.ask(
            || false,
            |limit| {
                // Time is the subject: a broker that answers late.
                std::thread::sleep(limit.min(needs));
                if limit < needs {
                    return Err(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut));
                }
                Ok(limit)
            },
        );
        assert_eq!(answer, Ok(Duration::from_secs(4)), "after one second and two");
    }
}

//! The way to AWS: the ordinary credential chain, and errors told apart by what a person can do about them.

use crate::config::AwsConfig;
use crate::domain::{Error, ErrorKind};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_rds::config::ProvideCredentials as _;
use aws_sdk_rds::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_rds::error::{ProvideErrorMetadata, SdkError};
use std::fmt::Write as _;
use std::time::Duration;

/// What stands in the way. Each wants something else of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No credentials, or none that AWS knows.
    Nobody,
    /// The credentials or the session are over.
    Expired,
    /// A permission is missing.
    Denied,
    /// Too many calls: not by us alone, the limit is the account's.
    Throttled,
    /// AWS does not answer: network, name, time-out, or a fault of theirs.
    Unreachable,
    /// There is nothing of this name.
    Missing,
    /// AWS refuses the backup: it cannot be restored from, whoever asks.
    Backup,
    /// The key of the storage cannot be used.
    Key,
    /// AWS has no room, or the network it is to stand in does not fit.
    Infrastructure,
    /// Anything else.
    Other,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// What stands in the way.
    pub trouble: Trouble,
    /// The call, as IAM names it: `rds:DescribeDBInstances`.
    pub action: &'static str,
    /// The code on the wire, where AWS answered.
    pub code: Option<String>,
    /// What AWS, or the network, says.
    pub message: String,
}

impl AwsError {
    /// In one sentence, without what to do.
    pub fn words(&self) -> String {
        let said = match &self.code {
            Some(code) => format!("{} ({code})", self.message),
            None => self.message.clone(),
        };
        match self.trouble {
            Trouble::Nobody => format!("AWS does not know who asks: {said}"),
            Trouble::Expired => format!("the AWS session has expired: {said}"),
            Trouble::Denied => format!("permission {} is missing: {said}", self.action),
            Trouble::Throttled => format!("AWS throttles {}: {said}", self.action),
            Trouble::Unreachable => format!("AWS does not answer {}: {said}", self.action),
            Trouble::Backup => format!("AWS refuses the backup: {said}"),
            Trouble::Key => format!("the key of the storage cannot be used: {said}"),
            Trouble::Infrastructure => format!("AWS has no room or network for it: {said}"),
            Trouble::Missing | Trouble::Other => format!("{}: {said}", self.action),
        }
    }

    /// What to do.
    pub fn cure(&self) -> String {
        match self.trouble {
            Trouble::Nobody => {
                "log in as for the AWS command line (aws sso login, AWS_PROFILE, a role), then try again; \
                                `aws sts get-caller-identity` must answer"
                    .to_owned()
            }
            Trouble::Expired => {
                "log in again (aws sso login, or new keys of the role); what was known before stays".to_owned()
            }
            Trouble::Denied => format!(
                "ask the owner of the account to allow {} for this identity",
                self.action
            ),
            Trouble::Throttled => {
                "nothing: restitch asks again later; other tools of this account share the limit".to_owned()
            }
            Trouble::Unreachable => {
                "check network, proxy, aws.region and aws.endpoint; nothing is known of the restore meanwhile"
                    .to_owned()
            }
            Trouble::Missing => "check the identifier, aws.region and the account".to_owned(),
            Trouble::Backup => {
                "choose another restore point or backup; AWS Support can say what is wrong with this one".to_owned()
            }
            Trouble::Key => {
                "let the owner of the key enable it and allow its use (kms:DescribeKey, kms:CreateGrant)".to_owned()
            }
            Trouble::Infrastructure => {
                "choose another instance class, subnet group or zone, or raise the quota".to_owned()
            }
            Trouble::Other => "look the code up in the API reference of RDS".to_owned(),
        }
    }
}

impl From<AwsError> for Error {
    fn from(e: AwsError) -> Self {
        Self::new(ErrorKind::Failed, e.words()).at(e.action).cure(e.cure())
    }
}

/// Clients of the four services, as one identity in one region.
#[derive(Debug, Clone)]
pub struct Aws {
    /// Describes instances, clusters, backups, events, log files.
    pub rds: aws_sdk_rds::Client,
    /// Says who asks.
    pub sts: aws_sdk_sts::Client,
    /// Says how a key stands.
    pub kms: aws_sdk_kms::Client,
    /// Says what somebody may do.
    pub iam: aws_sdk_iam::Client,
    /// The region.
    pub region: String,
    credentials: Option<SharedCredentialsProvider>,
}

impl Aws {
    /// Clients for this configuration. Nothing is sent yet but what the credential chain needs.
    ///
    /// Fails where no region is known.
    pub async fn open(config: &AwsConfig) -> Result<Self, Error> {
        let sdk = sdk(config).await;
        let region = sdk.region().map(ToString::to_string).ok_or_else(|| {
            Error::usage("no AWS region is known")
                .at("[aws] region")
                .cure("set aws.region, AWS_REGION, or the region of the profile")
        })?;
        Ok(Self {
            rds: aws_sdk_rds::Client::new(&sdk),
            sts: aws_sdk_sts::Client::new(&sdk),
            kms: aws_sdk_kms::Client::new(&sdk),
            iam: aws_sdk_iam::Client::new(&sdk),
            region,
            credentials: sdk.credentials_provider(),
        })
    }

    /// The credentials in use now.
    pub async fn credentials(&self) -> Result<Credentials, AwsError> {
        let nobody = |message: String| AwsError {
            trouble: if is_over(&message) {
                Trouble::Expired
            } else {
                Trouble::Nobody
            },
            action: "sts:GetCallerIdentity",
            code: None,
            message,
        };
        match &self.credentials {
            Some(provider) => provider.provide_credentials().await.map_err(|e| nobody(chain(&e))),
            None => Err(nobody("no credentials are configured".to_owned())),
        }
    }
}

/// What the SDK finds on this machine, with what `[aws]` says over it.
pub async fn sdk(config: &AwsConfig) -> SdkConfig {
    let limits = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(15))
        .operation_timeout(Duration::from_secs(40))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(limits);
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    loader.load().await
}

/// What a failed call of this action means.
pub fn told<E, R>(action: &'static str, e: &SdkError<E, R>) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let meta = e.as_service_error().map(ProvideErrorMetadata::meta);
    let code = meta.and_then(|m| m.code()).map(str::to_owned);
    let said = meta.and_then(|m| m.message()).map(str::to_owned);
    let (trouble, message) = match (&code, e) {
        (Some(code), _) => (of_code(code), said.unwrap_or_else(|| "without a word".to_owned())),
        (None, SdkError::TimeoutError(_)) => (Trouble::Unreachable, "no answer in time".to_owned()),
        (None, SdkError::ServiceError(_) | SdkError::ResponseError(_)) => (
            Trouble::Unreachable,
            said.unwrap_or_else(|| format!("an answer that is not AWS's: {}", chain(e))),
        ),
        _ => {
            let text = chain(e);
            let about_credentials = text.contains("credential") || text.contains("identity");
            match (about_credentials, is_over(&text)) {
                (_, true) => (Trouble::Expired, text),
                (true, _) => (Trouble::Nobody, text),
                _ => (Trouble::Unreachable, text),
            }
        }
    };
    AwsError {
        trouble,
        action,
        code,
        message,
    }
}

/// Whether a credential provider says that a session is over: those of SSO and of roles have no code.
fn is_over(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("expired") && (text.contains("token") || text.contains("session") || text.contains("sso"))
}

/// Codes on the wire, which are not always the names of the SDK's types (`DBInstanceNotFound`, not …Fault). Throttling as
/// botocore's standard retry mode lists it; the rest from the RDS API reference and the common errors of AWS.
fn of_code(code: &str) -> Trouble {
    match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown"
        | "PriorRequestNotComplete"
        | "TransactionInProgressException"
        | "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "EC2ThrottledException"
        | "ProvisionedThroughputExceededException" => Trouble::Throttled,
        c if c.starts_with("ExpiredToken") || c == "RequestExpired" => Trouble::Expired,
        c if c.starts_with("AccessDenied") || c.starts_with("UnauthorizedOperation") || c == "NotAuthorized" => {
            Trouble::Denied
        }
        "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "AuthFailure"
        | "MissingAuthenticationToken"
        | "InvalidAccessKeyId" => Trouble::Nobody,
        "DBInstanceNotFound"
        | "DBClusterNotFoundFault"
        | "DBInstanceAutomatedBackupNotFound"
        | "DBClusterAutomatedBackupNotFoundFault"
        | "DBLogFileNotFoundFault"
        | "NoSuchEntity"
        | "NotFoundException" => Trouble::Missing,
        "PointInTimeRestoreNotEnabled"
        | "InvalidRestoreFault"
        | "InvalidDBSnapshotState"
        | "InvalidDBClusterSnapshotStateFault" => Trouble::Backup,
        "KMSKeyNotAccessibleFault" | "DisabledException" | "KMSInvalidStateException" => Trouble::Key,
        "InstanceQuotaExceeded"
        | "StorageQuotaExceeded"
        | "InsufficientDBInstanceCapacity"
        | "InsufficientDBClusterCapacityFault"
        | "InsufficientStorageClusterCapacity"
        | "DBClusterQuotaExceededFault"
        | "DBSubnetGroupDoesNotCoverEnoughAZs"
        | "InvalidSubnet"
        | "InvalidVPCNetworkStateFault"
        | "StorageTypeNotSupported"
        | "ProvisionedIopsNotAvailableInAZFault" => Trouble::Infrastructure,
        "InternalFailure" | "InternalError" | "ServiceUnavailable" | "ServiceUnavailableException" => {
            Trouble::Unreachable
        }
        _ => Trouble::Other,
    }
}

/// An error and what caused it, in one line.
pub(super) fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(e) = next {
        let _ = write!(text, ": {e}");
        next = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_backup_missing_room_and_a_missing_permission_never_look_alike() {
        for (code, begins) in [
            ("InvalidDBSnapshotState", "AWS refuses the backup"),
            ("InsufficientDBInstanceCapacity", "AWS has no room or network"),
            ("KMSKeyNotAccessibleFault", "the key of the storage cannot be used"),
            ("AccessDenied", "permission rds:X is missing"),
            ("ExpiredTokenException", "the AWS session has expired"),
            ("Throttling", "AWS throttles rds:X"),
            ("UnrecognizedClientException", "AWS does not know who asks"),
        ] {
            let error = AwsError {
                trouble: of_code(code),
                action: "rds:X",
                code: Some(code.to_owned()),
                message: "m".to_owned(),
            };
            assert!(error.words().starts_with(begins), "{}", error.words());
        }
    }

    #[test]
    fn an_sso_session_that_is_over_is_no_missing_login() {
        assert!(is_over("the SSO session has expired or is otherwise invalid"));
        assert!(is_over("error loading SSO Token: Token for https://x has Expired"));
        assert!(!is_over("no providers in chain provided credentials"));
    }
}

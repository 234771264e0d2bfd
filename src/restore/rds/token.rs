//! RDS IAM authentication: instead of a password, a request that is signed and never sent.
//!
//! A token is good for 15 minutes and checked only when connecting, so one is made for each attempt and none is kept. It is
//! signed for the endpoint and the port of the instance: an alias (Route 53) is refused. The policy that allows it names the
//! resource id, so that policies for the old instance do not let anybody into the restored one. It is a credential, and travels
//! only inside TLS. (RDS User Guide, "IAM database authentication".)

use crate::config::{AwsConfig, Secret};
use crate::domain::{Error, Result};
use aws_sdk_rds::config::{Credentials, ProvideCredentials as _};
use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SignatureLocation, SigningSettings};
use aws_sigv4::sign::v4;
use std::time::{Duration, SystemTime};

/// How long a token may be used to connect.
const GOOD_FOR: Duration = Duration::from_mins(15);

/// A server and a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Login<'a> {
    /// The endpoint of the instance itself.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The database user.
    pub user: &'a str,
}

/// A token for one attempt to connect, with the credentials and the region that the SDK finds on this machine; a region in the
/// host name counts more: it is the instance's.
pub async fn token(aws: &AwsConfig, login: Login<'_>) -> Result<Secret> {
    let sdk = super::client::sdk(aws).await;
    let place = format!("{}:{}", login.host, login.port);
    let cure = "log in as for the AWS command line (aws sso login, AWS_PROFILE, a role), or remove iam_auth";
    let region = region_of(login.host)
        .map(str::to_owned)
        .or_else(|| sdk.region().map(ToString::to_string));
    let region = region.ok_or_else(|| {
        Error::usage("no AWS region is known, so no token can be signed")
            .at(place.clone())
            .cure("set aws.region, or give the endpoint's own name as the host")
    })?;
    let provider = sdk.credentials_provider().ok_or_else(|| {
        Error::failed("AWS credentials are not configured")
            .at(place.clone())
            .cure(cure)
    })?;
    let credentials = provider.provide_credentials().await;
    let credentials = credentials.map_err(|e| {
        Error::failed(format!("no AWS credentials for a token: {}", super::client::chain(&e)))
            .at(place.clone())
            .cure(cure)
    })?;
    sign(credentials, &region, login, SystemTime::now()).map_err(|e| e.at(place))
}

/// `om.abc.eu-central-1.rds.amazonaws.com` stands in `eu-central-1`.
fn region_of(host: &str) -> Option<&str> {
    let (head, _) = host.split_once(".rds.amazonaws.com")?;
    head.rsplit('.').next().filter(|region| region.contains('-'))
}

/// The token: a presigned request to connect, without its scheme.
pub fn sign(credentials: Credentials, region: &str, login: Login<'_>, at: SystemTime) -> Result<Secret> {
    let failed = |why: String| Error::failed(format!("a token cannot be signed: {why}"));
    let base = format!("https://{}:{}/", login.host, login.port);
    let mut url = reqwest::Url::parse(&base).map_err(|e| failed(e.to_string()))?;
    url.query_pairs_mut()
        .append_pair("Action", "connect")
        .append_pair("DBUser", login.user);
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(GOOD_FOR);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(at)
        .settings(settings)
        .build()
        .map_err(|e| failed(e.to_string()))?
        .into();
    let request = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::empty());
    let request = request.map_err(|e| failed(e.to_string()))?;
    let signed = http_request::sign(request, &parameters).map_err(|e| failed(e.to_string()))?;
    let (instructions, _) = signed.into_parts();
    for (name, value) in instructions.params() {
        url.query_pairs_mut().append_pair(name, value);
    }
    Ok(Secret::new(url.as_str().trim_start_matches("https://")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const LOGIN: Login<'_> = Login {
        host: "prod-instance.us-east-1.rds.amazonaws.com",
        port: 3306,
        user: "peccy",
    };

    fn keys() -> Credentials {
        Credentials::new("akid", "secret", None, None, "test")
    }

    #[test]
    fn signs_as_the_sdk_of_aws_does() {
        // The expected token is that of the SDK's own test (aws-sdk-rds, auth_token.rs).
        let at = UNIX_EPOCH + Duration::from_hours(479_086);
        let token = sign(keys(), "us-east-1", LOGIN, at).unwrap();
        assert_eq!(
            token.reveal(),
            "prod-instance.us-east-1.rds.amazonaws.com:3306/?Action=connect&DBUser=peccy&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=akid%2F20240826%2Fus-east-1%2Frds-db%2Faws4_request&X-Amz-Date=20240826T220000Z&X-Amz-Expires=900\
             &X-Amz-SignedHeaders=host&X-Amz-Signature=dd0cba843009474347af724090233265628ace491ea17ce3eb3da098b983ad89"
        );
        assert_eq!(format!("{token:?}"), "<secret>");
    }

    #[test]
    fn every_attempt_has_a_token_of_its_own_time() {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_724_709_600 + seconds);
        let date = |seconds| {
            let token = sign(keys(), "us-east-1", LOGIN, at(seconds)).unwrap();
            let url = reqwest::Url::parse(&format!("https://{}", token.reveal())).unwrap();
            let mut pairs = url.query_pairs();
            pairs.find(|(name, _)| name == "X-Amz-Date").unwrap().1.into_owned()
        };
        assert_eq!(
            [date(0), date(14 * 60), date(16 * 60)],
            ["20240826T220000Z", "20240826T221400Z", "20240826T221600Z"]
        );
    }

    #[test]
    fn a_user_and_a_session_token_are_escaped_once() {
        let login = Login {
            user: "triage+x@om",
            ..LOGIN
        };
        let keys = Credentials::new("akid", "secret", Some("se/ss+ion=".to_owned()), None, "test");
        let token = sign(keys, "us-east-1", login, UNIX_EPOCH).unwrap();
        assert!(token.reveal().contains("DBUser=triage%2Bx%40om&"), "{}", token.reveal());
        assert!(
            token.reveal().contains("X-Amz-Security-Token=se%2Fss%2Bion%3D"),
            "{}",
            token.reveal()
        );
    }

    #[test]
    fn the_region_is_the_instances_own() {
        assert_eq!(region_of("om.abc.eu-central-1.rds.amazonaws.com"), Some("eu-central-1"));
        assert_eq!(region_of("om.abc.cn-north-1.rds.amazonaws.com.cn"), Some("cn-north-1"));
        assert_eq!(region_of("db.example"), None);
    }
}

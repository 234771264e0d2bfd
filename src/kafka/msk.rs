//! Tokens for Amazon MSK with IAM: a presigned request of the service `kafka-cluster`, as the OAUTHBEARER login carries it
//! (aws-msk-iam-sasl-signer, all languages: action `kafka-cluster:Connect`, 900 s, base64url without padding).

use crate::domain::{Error, Result};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A token lives so long at most; the client asks for another when four fifths of its time are over (librdkafka,
/// `rdkafka_sasl_oauthbearer.c`).
const LIFE: Duration = Duration::from_mins(15);

/// The region in the names that MSK gives its brokers: `b-1.cluster.abc123.c2.kafka.eu-central-1.amazonaws.com:9098`.
pub fn region(brokers: &[String]) -> Option<String> {
    brokers.iter().find_map(|broker| {
        let (_, rest) = broker.split_once(".kafka")?;
        let rest = rest.strip_prefix("-serverless").unwrap_or(rest).strip_prefix('.')?;
        let (region, rest) = rest.split_once('.')?;
        rest.starts_with("amazonaws.com").then(|| region.to_owned())
    })
}

/// A token of whoever runs this process, by the ordinary chain of credentials. Blocks while the chain is asked.
pub fn token(region: &str) -> Result<OAuthToken> {
    let chosen = aws_config::Region::new(region.to_owned());
    // The client calls from a thread that may be driving other futures.
    let asked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
                .region(chosen)
                .load()
                .await;
            let provider = config.credentials_provider().ok_or("there are no AWS credentials")?;
            provider
                .provide_credentials()
                .await
                .map_err(|e| format!("no AWS credentials: {e}"))
        })
    });
    let credentials: Result<Credentials, String> = asked
        .join()
        .unwrap_or_else(|_| Err("the thread that asks for AWS credentials died".to_owned()));
    let credentials = credentials.map_err(|why| {
        Error::failed(why).cure("log in as for the aws command line: AWS_PROFILE, `aws sso login`, or a role")
    })?;
    signed(region, credentials, SystemTime::now())
}

/// The token of these credentials at this moment.
fn signed(region: &str, credentials: Credentials, now: SystemTime) -> Result<OAuthToken> {
    let wrong = |e: &dyn std::fmt::Display| Error::failed(format!("the token cannot be signed: {e}"));
    // It is good for nothing once its credentials are not.
    let ends = (now + LIFE).min(credentials.expiry().unwrap_or(now + LIFE));
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(LIFE);
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("kafka-cluster")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|e| wrong(&e))?
        .into();
    let mut url = format!("https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect");
    let host = format!("kafka.{region}.amazonaws.com");
    let request = SignableRequest::new(
        "GET",
        url.as_str(),
        std::iter::once(("host", host.as_str())),
        SignableBody::Bytes(&[]),
    )
    .map_err(|e| wrong(&e))?;
    let (instructions, _) = sign(request, &params).map_err(|e| wrong(&e))?.into_parts();
    for (name, value) in instructions.params() {
        url.push('&');
        url.push_str(name);
        url.push('=');
        url.push_str(&escaped(value));
    }
    // Not signed; the brokers write it into their log.
    url.push_str("&User-Agent=restitch");
    let expires = ends.duration_since(UNIX_EPOCH).map_err(|e| wrong(&e))?;
    Ok(OAuthToken {
        token: URL_SAFE_NO_PAD.encode(url),
        principal_name: "restitch".to_owned(),
        lifetime_ms: i64::try_from(expires.as_millis()).map_err(|e| wrong(&e))?,
    })
}

/// Percent-encoding as signatures want it: all but letters, digits and `-_.~`.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) {
            out.push(char::from(b));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_names_tell_the_region() {
        let of = |name: &str| region(&[name.to_owned()]);
        let plain = "b-1.om.abc123.c2.kafka.eu-central-1.amazonaws.com:9098";
        assert_eq!(of(plain).as_deref(), Some("eu-central-1"));
        let serverless = "boot-x.c1.kafka-serverless.us-east-1.amazonaws.com:9098";
        assert_eq!(of(serverless).as_deref(), Some("us-east-1"));
        assert_eq!(of("kafka.example:9098"), None);
    }

    #[test]
    fn a_token_is_a_presigned_request_of_fifteen_minutes() {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("a/b+c=".to_owned()), None, "test");
        let now = UNIX_EPOCH + Duration::from_mins(29_922_605);
        let token = signed("eu-central-1", credentials, now).unwrap();
        assert_eq!(token.lifetime_ms, (1_795_356_300 + 900) * 1_000);
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(&token.token).unwrap()).unwrap();
        let (place, query) = url.split_once('?').unwrap();
        assert_eq!(place, "https://kafka.eu-central-1.amazonaws.com/");
        let parts: Vec<&str> = query.split('&').collect();
        for wanted in [
            "Action=kafka-cluster%3AConnect",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "X-Amz-Credential=AKIDEXAMPLE%2F20261122%2Feu-central-1%2Fkafka-cluster%2Faws4_request",
            "X-Amz-Date=20261122T140500Z",
            "X-Amz-Expires=900",
            "X-Amz-SignedHeaders=host",
            "X-Amz-Security-Token=a%2Fb%2Bc%3D",
            "User-Agent=restitch",
        ] {
            assert!(parts.contains(&wanted), "{wanted} is not in {url}");
        }
        let signature = parts.iter().find_map(|p| p.strip_prefix("X-Amz-Signature=")).unwrap();
        assert!(signature.len() == 64 && signature.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(!url.contains("secret"), "the key itself never leaves");
        let soon = now + Duration::from_mins(2);
        let brief = Credentials::new("AKIDEXAMPLE", "secret", None, Some(soon), "test");
        let token = signed("eu-central-1", brief, now).unwrap();
        assert_eq!(
            token.lifetime_ms,
            (1_795_356_300 + 120) * 1_000,
            "no longer than its credentials"
        );
    }
}

//! `http`: one POST under the decision's key. It is sent again only where nothing can have happened: the connection was
//! refused, or the receiver said 429 or 503.

use super::{End, before};
use crate::config::{HttpEffect, Secret, secrets};
use crate::domain::Error;
use crate::ledger::Pending;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use std::time::Duration;

/// So often it is sent at most, and so long it waits altogether between two tries.
const TRIES: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(30);
/// As much of an answer as is kept.
const ANSWER: usize = 300;

/// Sends the request.
pub async fn run(to: &HttpEffect, url: &str, payload: &str, effect: &Pending) -> End {
    let (client, headers, token) = match prepare(to, effect) {
        Ok(ready) => ready,
        Err(error) => return before(effect, error),
    };
    let refused = |what: String| {
        End::Failed(
            Error::failed(format!("nothing was sent: {what}"))
                .at(url.to_owned())
                .cure("decide it again when the receiver is back"),
        )
    };
    let mut waited = Duration::ZERO;
    let mut tries = 0;
    loop {
        tries += 1;
        let sent = client
            .post(url)
            .headers(headers.clone())
            .body(payload.to_owned())
            .send()
            .await;
        let (what, asked) = match sent {
            Ok(answer) => match told(answer, token.as_ref()).await {
                Told::End(end) => return end,
                Told::Wait(what, asked) => (what, asked),
            },
            // Before a connection is there no byte of the request has left.
            Err(e) if e.is_connect() && is_refused(&e) => ("the connection was refused".to_owned(), None),
            Err(e) if e.is_builder() || e.is_connect() => return refused(chain(&e)),
            Err(e) => return End::Unknown(format!("no answer: {}", chain(&e))),
        };
        let pause = asked.unwrap_or_else(|| Duration::from_secs(1 << tries.min(4)) / 2);
        if tries == TRIES || waited + pause > PATIENCE {
            let wants = asked.map_or_else(String::new, |a| format!(", it asks to wait {} s", a.as_secs()));
            return refused(format!("{what} {tries} times{wants}"));
        }
        waited += pause;
        tokio::time::sleep(pause).await;
    }
}

fn prepare(to: &HttpEffect, effect: &Pending) -> Result<(reqwest::Client, HeaderMap, Option<Secret>), Error> {
    let unfit = |what: &str| Error::usage(format!("{what} is no HTTP header")).at("[effects]");
    let mut headers = HeaderMap::new();
    for (name, value) in &to.headers {
        let name = HeaderName::try_from(name).map_err(|_| unfit(name))?;
        headers.insert(name, HeaderValue::try_from(value).map_err(|_| unfit(value))?);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let key = HeaderValue::try_from(&effect.key).map_err(|_| unfit("the decision's key"))?;
    headers.insert("idempotency-key", key);
    if let Some(case) = effect.cases.first().and_then(|c| HeaderValue::try_from(c).ok()) {
        headers.insert("restitch-case", case);
    }
    let token = secrets::token(to)?;
    if let Some(token) = &token {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.reveal())).map_err(|_| unfit("the token"))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    let client = reqwest::Client::builder()
        // A redirect would send the order on to somebody whom nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(to.timeout)
        .user_agent("restitch")
        .build()
        .map_err(|e| Error::failed(format!("no request can be made: {}", chain(&e))))?;
    Ok((client, headers, token))
}

enum Told {
    End(End),
    /// Nothing happened; how long the receiver asks to wait.
    Wait(String, Option<Duration>),
}

async fn told(answer: Response, token: Option<&Secret>) -> Told {
    let status = answer.status();
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        let asked = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|v| retry_after(v.to_str().ok()?));
        return Told::Wait(format!("the receiver answered {}", status.as_u16()), asked);
    }
    let place = answer.url().to_string();
    // What was answered counts by its status; the words are for people, and may be missing.
    let words = words(answer, token).await;
    let said = if words.is_empty() {
        format!("answered {}", status.as_u16())
    } else {
        format!("answered {}: {words}", status.as_u16())
    };
    Told::End(match status.as_u16() {
        200..=299 => End::Done(said),
        400..=499 => End::Failed(
            Error::refused(format!("refused, nothing was done: {said}"))
                .at(place)
                .cure("mend what it names, then decide it again"),
        ),
        _ => End::Unknown(said),
    })
}

/// The beginning of what was answered. A receiver may repeat the token that it does not know: that is kept nowhere.
async fn words(mut answer: Response, token: Option<&Secret>) -> String {
    let secret = token.map_or("", Secret::reveal);
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER + secret.len() {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if !secret.is_empty() {
        text = text.replace(secret, "(token)");
    }
    text.truncate(text.floor_char_boundary(ANSWER));
    text.trim().to_owned()
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp().as_second();
    let now = jiff::Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(at - now).unwrap_or(0)))
}

fn is_refused(e: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(e) = next {
        let io = e.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        next = e.source();
    }
    false
}

/// An error and what caused it, in one line.
fn chain(e: &reqwest::Error) -> String {
    let mut text = e.to_string();
    let mut next = std::error::Error::source(e);
    while let Some(e) = next {
        text = format!("{text}: {e}");
        next = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_long_to_wait() {
        assert_eq!(retry_after("3"), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let later = retry_after("Sat, 06 Nov 2094 08:49:37 GMT").unwrap();
        assert!(later > Duration::from_hours(24 * 365), "{later:?}");
        assert_eq!(retry_after("soon"), None);
    }
}

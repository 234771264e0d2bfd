//! The org: what Salesforce itself shows of the order system, read from a probe, apart from our own notice, which is sent
//! once whenever a phase changes.

use crate::config::{Config, Notify, OrgConfig, secrets};
use crate::domain::org::{Notice, Shown};
use crate::domain::phase::{PhaseLine, PhaseState};
use crate::domain::{Error, Result, time};
use crate::ledger::Ledger;
use serde_json::{Value as Json, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// A notice is tried so often.
const TRIES: u32 = 3;
/// The first pause between tries; the next is twice as long.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest that a try may take.
const LIMIT: Duration = Duration::from_secs(10);

fn client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder().timeout(LIMIT);
    client
        .build()
        .map_err(|e| Error::failed(format!("no HTTP client: {e}")))
}

fn token(name: Option<&String>) -> Result<Option<crate::config::Secret>> {
    name.map(|name| secrets::of_variable(name)).transpose()
}

/// Asks the probe what Salesforce shows; `None` where none is configured.
pub async fn status(org: &OrgConfig) -> Option<Result<String>> {
    let url = org.status_url.as_ref()?;
    Some(ask(org, url).await)
}

async fn ask(org: &OrgConfig, url: &str) -> Result<String> {
    let failed = |what: String| {
        Error::failed(format!("what Salesforce shows cannot be read: {what}"))
            .at("org.status_url")
            .cure("ask for it by hand with curl; it must answer with JSON")
    };
    let mut request = client()?.get(url);
    if let Some(token) = token(org.status_token_env.as_ref())? {
        request = request.bearer_auth(token.reveal());
    }
    let answer = request.send().await.map_err(|e| failed(words(e)))?;
    if !answer.status().is_success() {
        return Err(failed(answer.status().to_string()));
    }
    let body: Json = answer.json().await.map_err(|e| failed(words(e)))?;
    match body.pointer(&org.status_field) {
        Some(Json::String(text)) => Ok(text.clone()),
        // Salesforce shows an empty state where it has no record.
        Some(Json::Null) => Ok("Empty".to_owned()),
        Some(Json::Object(_) | Json::Array(_)) | None => Err(failed(format!(
            "the answer has no single value at {:?}",
            org.status_field
        ))),
        Some(other) => Ok(other.to_string()),
    }
}

/// A failed request, without its address: that may hold what is nobody's business.
fn words(e: reqwest::Error) -> String {
    let e = e.without_url();
    let mut text = e.to_string();
    let mut next = std::error::Error::source(&e);
    while let Some(e) = next {
        text = format!("{text}: {e}");
        next = e.source();
    }
    text
}

/// The fact of a notice: one a change of a phase.
fn fact(attempt: u32, line: &PhaseLine) -> String {
    format!(
        "notice {attempt} {} {} {}",
        line.phase.name(),
        line.state.name(),
        line.since.unwrap_or(0)
    )
}

/// Tells the org of every phase that changed and that nobody told of yet. Each change is told of once, whoever tries: the
/// ledger's fact says who does. Gives what became of the ones told now.
pub async fn tell(config: &Config, ledger: &mut Ledger, now: &dyn Fn() -> i64) -> Result<Vec<Notice>> {
    let Some(notify) = config.org.as_ref().and_then(|org| org.notify.as_ref()) else {
        return Ok(Vec::new());
    };
    let mut told = Vec::new();
    for line in ledger.phases()? {
        if line.state == PhaseState::Waiting {
            continue;
        }
        let name = fact(config.incident.attempt, &line);
        let mut notice = Notice {
            phase: line.phase.name().to_owned(),
            state: line.state.name().to_owned(),
            by: ledger.who().user.clone(),
            at: now(),
            tries: 0,
            outcome: None,
        };
        // Written before the first try: after a crash nobody knows whether it was sent, and it is not sent again.
        if !ledger.first_fact(&name, &notice)? {
            continue;
        }
        let body = body(config, &line);
        loop {
            notice.tries += 1;
            let sent = tokio::time::timeout(LIMIT, send(config, notify, &body)).await;
            let sent = sent.unwrap_or_else(|_| Err(Trouble::again(format!("no answer within {} s", LIMIT.as_secs()))));
            match sent {
                Ok(words) => notice.outcome = Some(Ok(words)),
                Err(trouble) if trouble.again && notice.tries < TRIES => {
                    tokio::time::sleep(PAUSE * notice.tries).await;
                    continue;
                }
                Err(trouble) => notice.outcome = Some(Err(trouble.words)),
            }
            break;
        }
        ledger.keep_fact(&name, &notice, None)?;
        told.push(notice);
    }
    Ok(told)
}

/// What was told of the phases as they stand.
pub fn notices(attempt: u32, ledger: &Ledger) -> Result<Vec<Notice>> {
    let mut all = Vec::new();
    for line in ledger.phases()? {
        if line.state != PhaseState::Waiting {
            all.extend(ledger.fact::<Notice>(&fact(attempt, &line))?);
        }
    }
    Ok(all)
}

fn body(config: &Config, line: &PhaseLine) -> Json {
    json!({
        "incident": config.incident.id,
        "attempt": config.incident.attempt,
        "phase": line.phase.name(),
        "state": line.state.name(),
        "since": line.since.map(time::format),
        "words": format!("{} {}", line.phase.title(), line.state.name()),
        "evidence": line.evidence,
    })
}

/// Why a try did not work, and whether another may.
struct Trouble {
    words: String,
    again: bool,
}

impl Trouble {
    fn again(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            again: true,
        }
    }

    fn over(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            again: false,
        }
    }
}

async fn send(config: &Config, notify: &Notify, body: &Json) -> Result<String, Trouble> {
    match notify {
        Notify::Url(url) => {
            let org = config.org.as_ref();
            let token = token(org.and_then(|o| o.notify_token_env.as_ref())).map_err(|e| Trouble::over(e.what))?;
            let mut request = client().map_err(|e| Trouble::over(e.what))?.post(url).json(body);
            if let Some(token) = token {
                request = request.bearer_auth(token.reveal());
            }
            let answer = request.send().await.map_err(|e| Trouble::again(words(e)))?;
            let status = answer.status();
            let said = format!("webhook {}", status.as_u16());
            match status {
                s if s.is_success() => Ok(said),
                s if s.is_server_error() || s.as_u16() == 429 => Err(Trouble::again(said)),
                _ => Err(Trouble::over(said)),
            }
        }
        Notify::Command(words) => run(words, body).await,
    }
}

async fn run(words: &[String], body: &Json) -> Result<String, Trouble> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Trouble::over("no command"));
    };
    let mut command = tokio::process::Command::new(program);
    let started = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|e| Trouble::over(format!("{program} cannot be started: {e}")))?;
    if let Some(mut input) = child.stdin.take() {
        // A command that reads nothing closes its end, which is its own business.
        let _ = input.write_all(body.to_string().as_bytes()).await;
    }
    let ended = child.wait().await.map_err(|e| Trouble::again(e.to_string()))?;
    match ended.code() {
        Some(0) => Ok("command 0".to_owned()),
        Some(code) => Err(Trouble::again(format!("command {code}"))),
        None => Err(Trouble::again("the command was killed")),
    }
}

/// What Salesforce shows, and since when this program has seen that; kept as a fact, so that every console says the same.
pub fn keep(ledger: &mut Ledger, state: String, now: i64) -> Result<Shown> {
    const SHOWN: &str = "org-shows";
    let before: Option<Shown> = ledger.fact(SHOWN)?;
    let shown = match before {
        Some(before) if before.state == state => return Ok(before),
        Some(before) => Shown {
            state,
            since: now,
            before: Some((before.state, before.since)),
        },
        None => Shown {
            state,
            since: now,
            before: None,
        },
    };
    ledger.keep_fact(SHOWN, &shown, None)?;
    Ok(shown)
}

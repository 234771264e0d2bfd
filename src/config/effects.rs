//! `[effects]`: what a verb does beyond the ledger.

use super::fields::{Field, Fields};
use super::tree::{Node, Value};
use super::types::{Database, Effect, Effects, HoldConfig, HttpEffect, KafkaEffect, SourceKind};
use super::{kafka, units, url};
use crate::domain::Result;
use crate::domain::case::Verb;
use crate::domain::schema::nearest;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the verbs can do beyond the ledger. The order intake takes orders by its own door only, so `resubmit` is never
/// `sql`; `park` and its like put nothing anywhere.
const KINDS: &[(&[Verb], &[&str])] = &[
    (
        &[Verb::Reapply, Verb::Relink, Verb::Cancel],
        &["record", "sql", "kafka", "http"],
    ),
    (&[Verb::Resubmit], &["record", "kafka", "http"]),
    (
        &[Verb::Complete, Verb::Supersede, Verb::Park, Verb::Escalate, Verb::Keep],
        &["record"],
    ),
];

/// Reads the table; `hold` names the cluster where an effect names none.
pub fn read(node: &Node, hold: Option<&HoldConfig>) -> Result<Effects> {
    let fields = Fields::any(node, "effects")?;
    let mut effects = Effects::default();
    for (key, field) in fields.all() {
        if let Some(verb) = Verb::of_name(key) {
            effects.verbs.insert(verb, effect(&field, verb, hold)?);
        } else if !super::keys::of("effects").contains(&key) {
            let near = nearest(key, Verb::ALL.iter().map(|v| v.name()));
            return Err(field
                .wrong(format!("unknown key {key:?} in effects: there is no such verb"))
                .cure(format!("the nearest verbs are {near}")));
        }
    }
    if let Some(field) = fields.get("grace") {
        let Value::Text(text) = &field.node.value else {
            return Err(field.mistyped("a text with a unit", "\"10s\""));
        };
        effects.grace = units::duration(text)
            .filter(|d| *d <= Duration::from_mins(10))
            .ok_or_else(|| {
                field
                    .wrong(format!(
                        "{} is {text:?}, which is no span of up to ten minutes",
                        field.path
                    ))
                    .cure("write a number and ms, s or m, like \"10s\"; \"0s\" leaves no time to take it back")
            })?;
    }
    effects.database = database(&fields)?;
    Ok(effects)
}

fn database(fields: &Fields<'_>) -> Result<Option<Database>> {
    let database = url::database(fields)?;
    if database.is_none()
        && let Some(field) = ["sslmode", "sslrootcert", "password_file", "iam_auth"]
            .iter()
            .find_map(|key| fields.get(key))
    {
        return Err(field
            .wrong("it says how to reach a database that [effects] does not name")
            .cure("add url = \"postgres://…\", or leave it out: effects are then written where [restored] is"));
    }
    Ok(database)
}

fn effect(field: &Field<'_>, verb: Verb, hold: Option<&HoldConfig>) -> Result<Effect> {
    let effect = Fields::of(field.node, &field.path, "effects.*")?;
    let all = [
        ("record", "record"),
        ("sql", "sql"),
        ("kafka", "kafka"),
        ("http", "http"),
    ];
    let does = effect.need("do", "\"record\"")?;
    let kind = does.choice(&all)?;
    let may = KINDS
        .iter()
        .find(|(verbs, _)| verbs.contains(&verb))
        .map_or(&[][..], |(_, kinds)| kinds);
    if !may.contains(&kind) {
        return Err(does
            .wrong(format!("{} cannot be done by {kind}", verb.name()))
            .cure(format!("use one of {}", may.join(", "))));
    }
    Ok(match kind {
        "sql" => Effect::Sql,
        "kafka" => {
            let topic = effect.need("topic", "\"om.orders.in\"")?.text()?.to_owned();
            let shared = hold.filter(|h| h.source == SourceKind::Kafka && effect.get("brokers").is_none());
            Effect::Kafka(KafkaEffect {
                topic,
                cluster: match shared {
                    Some(hold) => hold.kafka.clone(),
                    None => kafka::cluster(&effect, SourceKind::Kafka)?,
                },
            })
        }
        "http" => http(&effect)?,
        _ => Effect::Record,
    })
}

fn http(effect: &Fields<'_>) -> Result<Effect> {
    let field = effect.need("url", "\"https://intake.example/orders\"")?;
    let url = field.text()?.to_owned();
    let parsed = reqwest::Url::parse(&url)
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
    let Some(parsed) = parsed else {
        return Err(field
            .wrong(format!("{} is no http:// or https:// URL", field.path))
            .cure("write it like \"https://intake.example/orders\""));
    };
    if parsed.password().is_some() || !parsed.username().is_empty() {
        return Err(field
            .wrong(format!(
                "{}: the URL holds a login; secrets never stand in a file",
                field.path
            ))
            .cure("take it out and use token_env = \"NAME\" or token_file = \"…\" (mode 0600)"));
    }
    let mut headers = BTreeMap::new();
    if let Some(field) = effect.get("headers") {
        for (name, value) in Fields::any(field.node, field.path.clone())?.all() {
            if name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("idempotency-key") {
                return Err(value
                    .wrong(format!("the header {name} is not set here"))
                    .cure("a bearer token comes from token_env or token_file; Idempotency-Key is the decision's own"));
            }
            let text = value.text()?;
            let fits = reqwest::header::HeaderName::try_from(name).is_ok()
                && reqwest::header::HeaderValue::try_from(text).is_ok();
            if !fits {
                return Err(value
                    .wrong(format!("{name:?} with this value is no HTTP header"))
                    .cure("names are letters, digits and dashes; values one line of visible letters"));
            }
            headers.insert(name.to_owned(), text.to_owned());
        }
    }
    let token_env = effect.text("token_env")?;
    let token_file = effect.get("token_file").map(|f| f.path()).transpose()?;
    Ok(Effect::Http(HttpEffect {
        url,
        headers,
        token_env,
        token_file,
        timeout: match effect.get("timeout") {
            Some(field) => field.duration()?.min(Duration::from_mins(1)),
            None => Duration::from_secs(10),
        },
    }))
}

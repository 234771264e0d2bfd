//! `[cluster]`: where the order system runs; `[org]`: who believes what of it.

use super::fields::{Field, Fields};
use super::tree::{Node, Value};
use super::types::{ClusterConfig, Notify, OrgConfig};
use crate::domain::Result;
use crate::domain::cluster::Selector;

/// Reads it.
pub fn read(node: &Node) -> Result<ClusterConfig> {
    let fields = Fields::of(node, "cluster", "cluster")?;
    let selector = |key| fields.get(key).map(|f| selector(&f)).transpose();
    Ok(ClusterConfig {
        namespace: fields.need("namespace", "\"om-plus\"")?.text()?.to_owned(),
        kubeconfig: fields.get("kubeconfig").map(|f| f.path()).transpose()?,
        context: fields.text("context")?,
        brokers: selector("brokers")?,
        workers: selector("workers")?,
        queue_label: fields.text("queue_label")?.unwrap_or_else(|| "queue".to_owned()),
        queues: fields.text("queues")?,
        catalogue: selector("catalogue")?,
        catalogue_url: fields.get("catalogue_url").map(|f| web(&f)).transpose()?,
    })
}

/// Reads `[org]`.
pub fn org(node: &Node) -> Result<OrgConfig> {
    let fields = Fields::of(node, "org", "org")?;
    let offline = fields.texts("offline")?;
    let notify = match fields.get("notify") {
        Some(field) => Some(match &field.node.value {
            Value::List(_) => Notify::Command(field.items(|f| f.text().map(str::to_owned))?),
            _ => Notify::Url(web(&field)?),
        }),
        None => None,
    };
    if matches!(&notify, Some(Notify::Command(words)) if words.is_empty()) {
        return Err(fields
            .wrong("org.notify is an empty list, which names no command")
            .cure("write the program and its arguments, like [\"/usr/local/bin/tell-org\", \"--prod\"]"));
    }
    let status_field = fields.text("status_field")?.unwrap_or_else(|| "/status".to_owned());
    if !status_field.starts_with('/') {
        return Err(fields
            .wrong(format!(
                "org.status_field is {status_field:?}, which is no JSON pointer"
            ))
            .cure("write the way to the value from the top, like \"/records/0/State__c\""));
    }
    Ok(OrgConfig {
        status_url: fields.get("status_url").map(|f| web(&f)).transpose()?,
        status_field,
        // Salesforce help, OM+ Status: the states in which it takes no orders.
        offline: if offline.is_empty() {
            vec!["Offline".to_owned(), "Partially Offline".to_owned()]
        } else {
            offline
        },
        status_token_env: fields.text("status_token_env")?,
        notify,
        notify_token_env: fields.text("notify_token_env")?,
    })
}

fn selector(field: &Field<'_>) -> Result<Selector> {
    let text = field.text()?;
    Selector::parse(text).ok_or_else(|| {
        field
            .wrong(format!("{} is {text:?}, which is no list of labels", field.path))
            .cure("write labels with their values, joined by commas, like \"app=kafka,tier=data\"")
    })
}

/// An address of the web without a secret in it.
pub(super) fn web(field: &Field<'_>) -> Result<String> {
    let text = field.text()?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match host {
        Some(host) if host.contains('@') => Err(field
            .wrong(format!(
                "{}: the address holds a login; secrets never stand in a file",
                field.path
            ))
            .cure("take it out; where one is needed, its key for a token says so")),
        Some(host) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err(field
            .wrong(format!("{} is no address of the web", field.path))
            .cure("write it like \"https://om.example/health\"")),
    }
}

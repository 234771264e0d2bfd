//! From the merged tree to [`Config`]: one function a table.

use super::fields::{Field, Fields};
use super::tree::{Node, Value};
use super::types::{
    BadChange, Config, Database, DbUrl, FormatKind, HoldConfig, Incident, KafkaConfig, LedgerConfig, Roles, ScanConfig,
    SourceKind,
};
use super::{aws, cluster, deeds, effects, kafka, keys, log, outside, schema, url};
use crate::domain::Result;
use crate::domain::schema::Schema;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(super) const FORMATS: &[(&str, FormatKind)] = &[
    ("native", FormatKind::Native),
    ("wal2json", FormatKind::Wal2json),
    ("debezium", FormatKind::Debezium),
    ("om-plus", FormatKind::OmPlus),
    ("salesforce-cdc", FormatKind::SalesforceCdc),
];

/// Reads and checks everything in the tree; default paths are relative to `home`.
pub fn config(root: &Node, home: &Path) -> Result<Config> {
    let top = Fields::with_keys(root, "", keys::TOP)?;
    let mut config = Config::default();
    config.ledger.database = Database::at(DbUrl::Sqlite(home.join("restitch.db")));
    if let Some(field) = top.get("schema") {
        config.schema = schema::read(field.node)?;
    }
    if let Some(field) = top.get("incident") {
        config.incident = incident(field.node, &config.schema)?;
    }
    if let Some(field) = top.get("restored") {
        let fields = Fields::of(field.node, "restored", "restored")?;
        config.restored = url::database(&fields)?;
        if config.restored.is_none() {
            fields.need("url", "\"postgres://triage@restored.example:5432/om\"")?;
        }
    }
    if let Some(field) = top.get("log") {
        config.logs = log::read(&field, &config.schema)?;
    }
    if let Some(field) = top.get("hold") {
        config.hold = Some(hold(field.node)?);
    }
    if let Some(field) = top.get("outside") {
        config.outside = outside::read(&field)?;
    }
    if let Some(field) = top.get("scan") {
        config.scan = scan(field.node)?;
    }
    if let Some(field) = top.get("ledger") {
        ledger(field.node, &mut config.ledger)?;
    }
    if let Some(field) = top.get("audit") {
        let fields = Fields::of(field.node, "audit", "audit")?;
        config.anchor = fields.get("anchor").map(|f| f.path()).transpose()?;
    }
    if let Some(field) = top.get("effects") {
        config.effects = effects::read(field.node, config.hold.as_ref())?;
    }
    if let Some(field) = top.get("approve") {
        config.approve = deeds::approve(field.node)?;
    }
    if let Some(field) = top.get("bulk") {
        config.bulk = deeds::bulk(field.node)?;
    }
    if let Some(field) = top.get("reasons") {
        config.reasons = deeds::reasons(field.node)?;
    }
    if let Some(field) = top.get("gate") {
        config.gate_checks = gate(field.node)?;
    }
    if let Some(field) = top.get("aws") {
        config.aws = aws::read(field.node)?;
        let logs = config.logs.iter_mut().filter_map(|log| log.database.as_mut());
        for database in logs.chain(&mut config.restored).chain([&mut config.ledger.database]) {
            database.region.clone_from(&config.aws.region);
        }
    }
    if let Some(field) = top.get("cluster") {
        config.cluster = Some(cluster::read(field.node)?);
    }
    if let Some(field) = top.get("org") {
        config.org = Some(cluster::org(field.node)?);
    }
    if let Some(field) = top.get("roles") {
        config.roles = Some(roles(field.node)?);
    }
    one_standard_input(&config, &top)?;
    Ok(config)
}

fn incident(node: &Node, schema: &Schema) -> Result<Incident> {
    let fields = Fields::of(node, "incident", "incident")?;
    let mut incident = Incident::default();
    if let Some(field) = fields.get("id") {
        let id = field.text()?;
        if id.chars().any(char::is_control) || id.len() > 200 || id.trim() != id {
            return Err(field
                .wrong("incident.id is no plain name")
                .cure("use at most 200 letters, digits and signs, like \"2026-11-22-prod\""));
        }
        id.clone_into(&mut incident.id);
    }
    if let Some(field) = fields.get("attempt") {
        incident.attempt = u32::try_from(field.int(1..=1_000_000)?).unwrap_or(1);
    }
    incident.restored_to = fields.time("restored_to")?;
    incident.stopped_at = fields.time("stopped_at")?;
    if let (Some(to), Some(stopped), Some(field)) =
        (incident.restored_to, incident.stopped_at, fields.get("stopped_at"))
        && stopped < to
    {
        return Err(field
            .wrong("incident.stopped_at lies before incident.restored_to")
            .cure("a restore goes back in time: stopped_at is when the cluster stopped, after T"));
    }
    if let Some(field) = fields.get("bad") {
        incident.bad = Some(bad_change(field.node, schema)?);
    }
    Ok(incident)
}

fn bad_change(node: &Node, schema: &Schema) -> Result<BadChange> {
    let fields = Fields::of(node, "incident.bad", "incident.bad")?;
    let bad = BadChange {
        from: fields.time("from")?,
        to: fields.time("to")?,
        transaction: match fields.get("transaction") {
            Some(field) => field.items(Field::scalar)?,
            None => Vec::new(),
        },
        actor: fields.text("actor")?,
        entity: fields.text("entity")?,
        values: match fields.get("where") {
            Some(field) => Fields::any(field.node, "incident.bad.where")?
                .all()
                .map(|(column, value)| Ok((column.to_owned(), value.scalar()?)))
                .collect::<Result<_>>()?,
            None => BTreeMap::new(),
        },
    };
    if bad == BadChange::default() {
        return Err(fields
            .wrong("incident.bad says nothing of the bad change, so every event would be it")
            .cure("give one or more of from, to, transaction, actor, entity, where"));
    }
    if let (Some(name), Some(field)) = (&bad.entity, fields.get("entity"))
        && schema.index(name).is_none()
    {
        return Err(schema::unmapped(&field, name, schema));
    }
    if bad.from.zip(bad.to).is_some_and(|(from, to)| to < from) {
        return Err(fields
            .wrong("incident.bad.to lies before incident.bad.from")
            .cure("swap them"));
    }
    Ok(bad)
}

/// Path, cluster and topic; those that the source needs are there.
pub(super) fn stream(fields: &Fields<'_>, source: SourceKind) -> Result<(Option<String>, KafkaConfig, Option<String>)> {
    let path = match fields.get("path") {
        Some(field) => match field.text()? {
            "-" => Some("-".to_owned()),
            path => Some(field.resolve(path).to_string_lossy().into_owned()),
        },
        None => None,
    };
    if source == SourceKind::File && path.is_none() {
        fields.need("path", "\"log/*.ndjson.zst\"")?;
    }
    let topic = fields.text("topic")?;
    if source == SourceKind::Kafka {
        fields.need("topic", "\"om.orders.held\"")?;
    }
    Ok((path, kafka::cluster(fields, source)?, topic))
}

fn hold(node: &Node) -> Result<HoldConfig> {
    let fields = Fields::of(node, "hold", "hold")?;
    let source = fields
        .need("source", "\"file\"")?
        .choice(&[("file", SourceKind::File), ("kafka", SourceKind::Kafka)])?;
    let (path, kafka, topic) = stream(&fields, source)?;
    Ok(HoldConfig {
        source,
        path,
        kafka,
        topic,
        group: fields.text("group")?,
        services_back: fields.time("services_back")?,
        window: match fields.get("window") {
            Some(field) => field.duration()?,
            None => Duration::from_mins(30),
        },
        format: match fields.get("format") {
            Some(field) => field.choice(FORMATS)?,
            None => FormatKind::Native,
        },
    })
}

fn scan(node: &Node) -> Result<ScanConfig> {
    let fields = Fields::of(node, "scan", "scan")?;
    let mut scan = ScanConfig::default();
    if let Some(field) = fields.get("moved_limit") {
        scan.moved_limit = field.size()?;
    }
    if let Some(field) = fields.get("reject_limit") {
        scan.reject_limit = field.share()?;
    }
    if let Some(field) = fields.get("connections") {
        scan.connections = usize::try_from(field.int(1..=64)?).unwrap_or(scan.connections);
    }
    if let Some(field) = fields.get("batch_target") {
        scan.batch_target = field.duration()?;
    }
    Ok(scan)
}

fn ledger(node: &Node, ledger: &mut LedgerConfig) -> Result<()> {
    let fields = Fields::of(node, "ledger", "ledger")?;
    if let Some(database) = url::database(&fields)? {
        ledger.database = database;
    }
    ledger.shared_login = fields.flag("shared_login")?;
    ledger.inside_restored = fields.flag("inside_restored")?;
    Ok(())
}

fn gate(node: &Node) -> Result<Vec<(String, String)>> {
    let fields = Fields::of(node, "gate", "gate")?;
    let Some(field) = fields.get("checks") else {
        return Ok(Vec::new());
    };
    let Value::List(nodes) = &field.node.value else {
        return Err(field
            .wrong("gate.checks must be a list of tables")
            .cure("write checks = [{ name = \"...\", sql = \"select ...\" }]"));
    };
    let mut checks: Vec<(String, String)> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let check = Fields::of(node, "gate.checks", "gate.checks")?;
        let name = check.need("name", "\"orders of the day\"")?;
        let text = name.text()?.to_owned();
        if checks.iter().any(|(other, _)| *other == text) {
            return Err(name
                .wrong(format!("two checks are called {text:?}"))
                .cure("give each a name of its own"));
        }
        let sql = check.need("sql", "\"select count(*) > 1000 from om.orders\"")?;
        checks.push((text, sql.text()?.to_owned()));
    }
    Ok(checks)
}

fn roles(node: &Node) -> Result<Roles> {
    let fields = Fields::of(node, "roles", "roles")?;
    Ok(Roles {
        viewer: fields.texts("viewer")?,
        operator: fields.texts("operator")?,
        lead: fields.texts("lead")?,
    })
}

/// Standard input can be read by one reader only.
fn one_standard_input(config: &Config, top: &Fields<'_>) -> Result<()> {
    let held = config.hold.as_ref().and_then(|h| h.path.as_deref());
    let paths = config.logs.iter().filter_map(|l| l.path.as_deref()).chain(held);
    if paths.filter(|p| *p == "-").count() > 1 {
        let field = top.need("log", "…")?;
        return Err(field
            .wrong("more than one log.path (or hold.path) is \"-\", standard input")
            .cure("keep one of them, and read the others from files"));
    }
    Ok(())
}

//! Every key there is. An unknown one is answered with the nearest of these.

/// The tables of the file. `schema.*` and `effects.*` stand for each table below them.
pub const SECTIONS: &[(&str, &[&str])] = &[
    ("incident", &["id", "attempt", "restored_to", "stopped_at", "bad"]),
    (
        "incident.bad",
        &["from", "to", "transaction", "actor", "entity", "where"],
    ),
    (
        "restored",
        &["url", "url_env", "password_file", "sslmode", "sslrootcert", "iam_auth"],
    ),
    (
        "log",
        &[
            "name",
            "source",
            "path",
            "format",
            "order",
            "entities",
            "url",
            "url_env",
            "password_file",
            "sslmode",
            "sslrootcert",
            "iam_auth",
            "table",
            "columns",
            "brokers",
            "topic",
            "tls",
            "sasl",
            "username",
            "password_env",
            "region",
            "keep",
            "max_age",
            "slot",
        ],
    ),
    (
        "log.columns",
        &[
            "position",
            "time",
            "entity",
            "table",
            "key",
            "op",
            "state",
            "version",
            "transaction",
            "actor",
            "event",
        ],
    ),
    (
        "hold",
        &[
            "source",
            "path",
            "brokers",
            "topic",
            "group",
            "window",
            "services_back",
            "format",
            "tls",
            "sslrootcert",
            "sasl",
            "username",
            "password_env",
            "password_file",
            "region",
        ],
    ),
    (
        "outside",
        &["name", "path", "order", "item", "effect", "state", "done", "none", "at"],
    ),
    (
        "schema.*",
        &[
            "table",
            "key",
            "label",
            "identity",
            "ignore",
            "state",
            "cancelled",
            "supersedes",
            "owner",
            "refs",
            "show",
            "rank",
            "mask",
            "action",
            "macd",
            "in_progress",
            "type",
            "outside",
            "ponr",
            "states",
        ],
    ),
    ("scan", &["moved_limit", "reject_limit", "connections", "batch_target"]),
    (
        "ledger",
        &[
            "url",
            "url_env",
            "password_file",
            "sslmode",
            "sslrootcert",
            "iam_auth",
            "shared_login",
            "inside_restored",
        ],
    ),
    ("audit", &["anchor"]),
    (
        "effects",
        &[
            "grace",
            "url",
            "url_env",
            "password_file",
            "sslmode",
            "sslrootcert",
            "iam_auth",
        ],
    ),
    (
        "effects.*",
        &[
            "do",
            "topic",
            "brokers",
            "tls",
            "sslrootcert",
            "sasl",
            "username",
            "password_env",
            "password_file",
            "region",
            "url",
            "headers",
            "token_env",
            "token_file",
            "timeout",
        ],
    ),
    ("approve", &["verbs", "bulk"]),
    ("bulk", &["per_second", "stop_after"]),
    (
        "reasons",
        &[
            "reapply",
            "resubmit",
            "relink",
            "complete",
            "supersede",
            "cancel",
            "park",
            "escalate",
            "keep",
            "undo",
            "reopen",
        ],
    ),
    ("gate", &["checks"]),
    ("gate.checks", &["name", "sql"]),
    (
        "aws",
        &["region", "endpoint", "source", "target", "restorer", "expects", "pii"],
    ),
    ("aws.expects", &["encrypted", "kms_key"]),
    ("aws.pii", &["kms_key", "sql", "newest"]),
    (
        "cluster",
        &[
            "namespace",
            "kubeconfig",
            "context",
            "brokers",
            "workers",
            "queue_label",
            "queues",
            "catalogue",
            "catalogue_url",
        ],
    ),
    (
        "org",
        &[
            "status_url",
            "status_field",
            "offline",
            "status_token_env",
            "notify",
            "notify_token_env",
        ],
    ),
    ("roles", &["viewer", "operator", "lead"]),
];

/// The tables at the top of a file.
pub const TOP: &[&str] = &[
    "incident", "restored", "log", "hold", "outside", "schema", "scan", "ledger", "audit", "effects", "approve",
    "bulk", "reasons", "gate", "aws", "cluster", "org", "roles",
];

/// The keys of this table; empty where there is none of this name.
pub fn of(section: &str) -> &'static [&'static str] {
    SECTIONS
        .iter()
        .find(|(name, _)| *name == section)
        .map_or(&[], |(_, keys)| keys)
}

/// Keys that hold tables or lists of tables: a variable cannot carry them.
const TABLES: &[&str] = &[
    "incident.bad",
    "incident.bad.where",
    "schema.*.refs",
    "effects.*.headers",
    "gate.checks",
    "aws.expects",
    "aws.pii",
];

/// Whether an environment variable may set the key at this path.
pub fn from_environment(path: &[&str]) -> bool {
    let (section, key) = match *path {
        [section, key] => (section.to_owned(), key),
        [section @ ("schema" | "effects"), _, key] => (format!("{section}.*"), key),
        [section, sub, key] => (format!("{section}.{sub}"), key),
        _ => return false,
    };
    // One of a list has no name to address it by before it is read.
    let listed = matches!(section.as_str(), "log" | "log.columns" | "outside" | "gate.checks");
    !listed && of(&section).contains(&key) && !TABLES.contains(&format!("{section}.{key}").as_str())
}

/// The variables there are, with `order` for each table of the schema.
pub fn environment_names() -> Vec<String> {
    let mut names = Vec::new();
    for (section, keys) in SECTIONS {
        let section = section
            .replace("schema.*", "schema.order")
            .replace("effects.*", "effects.reapply");
        for key in *keys {
            let mut path: Vec<&str> = section.split('.').collect();
            path.push(key);
            if from_environment(&path) {
                names.push(format!("RESTITCH_{}", path.join("__").to_uppercase()));
            }
        }
    }
    names
}

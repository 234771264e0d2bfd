//! The configuration after all layers are merged and checked: what the rest of the program reads.

use crate::domain::case::Verb;
use crate::domain::cluster::Selector;
use crate::domain::schema::Schema;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Everything configured.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `[incident]`
    pub incident: Incident,
    /// `[restored]`
    pub restored: Option<Database>,
    /// `[[log]]`, in order; an index into this is `EventRef::source`.
    pub logs: Vec<LogConfig>,
    /// `[hold]`
    pub hold: Option<HoldConfig>,
    /// `[[outside]]`, in order.
    pub outside: Vec<OutsideConfig>,
    /// `[schema.*]`, checked: owners and references name entities that exist.
    pub schema: Schema,
    /// `[scan]`
    pub scan: ScanConfig,
    /// `[ledger]`
    pub ledger: LedgerConfig,
    /// `[audit]` anchor: the file to which heads of the trail are appended.
    pub anchor: Option<PathBuf>,
    /// `[effects]`
    pub effects: Effects,
    /// `[approve]`
    pub approve: super::Approve,
    /// `[bulk]`
    pub bulk: super::BulkConfig,
    /// `[reasons]`
    pub reasons: super::Reasons,
    /// `[gate]` checks: name and SQL.
    pub gate_checks: Vec<(String, String)>,
    /// `[aws]`
    pub aws: AwsConfig,
    /// `[cluster]`
    pub cluster: Option<ClusterConfig>,
    /// `[org]`
    pub org: Option<OrgConfig>,
    /// `[roles]`; `None`: whoever runs restitch is lead.
    pub roles: Option<Roles>,
    /// The layers read, strongest first, for `doctor`.
    pub layers: Vec<String>,
    /// Things worth a warning (an environment variable that means nothing).
    pub warnings: Vec<String>,
}

/// `[incident]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Names the incident in the ledger.
    pub id: String,
    /// Raised by one for a second restore.
    pub attempt: u32,
    /// T, microseconds since 1970.
    pub restored_to: Option<i64>,
    /// When the cluster stopped, microseconds since 1970.
    pub stopped_at: Option<i64>,
    /// `[incident.bad]`
    pub bad: Option<BadChange>,
}

impl Default for Incident {
    fn default() -> Self {
        Self {
            id: "incident".to_owned(),
            attempt: 1,
            restored_to: None,
            stopped_at: None,
            bad: None,
        }
    }
}

/// What the restore undoes; all that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BadChange {
    /// Microseconds since 1970.
    pub from: Option<i64>,
    /// Microseconds since 1970.
    pub to: Option<i64>,
    /// Transaction ids.
    pub transaction: Vec<String>,
    /// Actor.
    pub actor: Option<String>,
    /// Entity.
    pub entity: Option<String>,
    /// Column values.
    pub values: BTreeMap<String, String>,
}

/// How TLS is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SslMode {
    /// Chain and host name are verified.
    #[default]
    VerifyFull,
    /// In the clear, because the configuration asks for it.
    Disable,
}

/// A secret: never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DbUrl {
    /// `sqlite:path`
    Sqlite(PathBuf),
    /// `postgres://user@host:port/database`
    Postgres {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// Database.
        database: String,
        /// User.
        user: String,
        /// Password from the URL's variable, `password_file`, `PGPASSWORD` or `.pgpass`.
        password: Option<Secret>,
    },
}

/// `[restored]`, and every other place that names a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Where.
    pub url: DbUrl,
    /// `verify-full` unless `disable` is asked for.
    pub sslmode: SslMode,
    /// PEM bundle; the system's roots otherwise.
    pub sslrootcert: Option<PathBuf>,
    /// RDS IAM authentication: a token for each attempt to connect instead of a password.
    pub iam_auth: bool,
    /// `[aws] region`, for tokens where the host does not say its region.
    pub region: Option<String>,
    /// File whose first line is the password, mode 0600; read when connecting, not when loading.
    pub password_file: Option<PathBuf>,
}

impl Database {
    /// A database at this URL, with the defaults for everything else.
    pub const fn at(url: DbUrl) -> Self {
        Self {
            url,
            sslmode: SslMode::VerifyFull,
            sslrootcert: None,
            iam_auth: false,
            region: None,
            password_file: None,
        }
    }
}

/// Kinds of log sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the configuration, said there")]
pub enum SourceKind {
    File,
    Database,
    Kafka,
    Postgres,
}

/// Kinds of log formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the configuration, said there")]
pub enum FormatKind {
    Native,
    Wal2json,
    Debezium,
    OmPlus,
    SalesforceCdc,
}

/// What orders the events of a key within one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderBy {
    /// The event's `version`.
    Version,
    /// Its position.
    Position,
}

/// One `[[log]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Names it in evidence.
    pub name: String,
    /// Where it comes from.
    pub source: SourceKind,
    /// Path or glob for `file`, resolved against the configuration file's folder; `-` is stdin.
    pub path: Option<String>,
    /// How it is written.
    pub format: FormatKind,
    /// `None`: version for `native` whose first event has one, else position.
    pub order: Option<OrderBy>,
    /// What `om-plus` and `salesforce-cdc` call entities: their name to the site's.
    pub entities: BTreeMap<String, String>,
    /// For `database` and `postgres`.
    pub database: Option<Database>,
    /// The table of events for `postgres`.
    pub table: Option<String>,
    /// Its columns: the part of an event (`position`, `time`, …) to the column that holds it.
    pub columns: BTreeMap<String, String>,
    /// The cluster for `kafka`.
    pub kafka: KafkaConfig,
    /// Topic for `kafka`.
    pub topic: Option<String>,
    /// How long it keeps an event, where it forgets.
    pub keep: Option<Duration>,
    /// Its newest event is at most so old while orders run.
    pub max_age: Option<Duration>,
    /// The replication slot that feeds it, in the database of `url`.
    pub slot: Option<String>,
}

/// A Kafka cluster: where it is, and how one comes in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, one or more; empty where the source is none of Kafka's.
    pub brokers: Vec<String>,
    /// TLS, with chain and host name verified.
    pub tls: bool,
    /// PEM bundle; the system's roots otherwise.
    pub sslrootcert: Option<PathBuf>,
    /// The login; `None` where the brokers ask for none.
    pub sasl: Option<SaslConfig>,
}

/// A login at a Kafka broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslConfig {
    /// How the brokers check it.
    pub mechanism: SaslMechanism,
    /// The user; empty for [`SaslMechanism::MskIam`].
    pub username: String,
    /// Variable that holds the password; stronger than the file.
    pub password_env: Option<String>,
    /// File whose first line is the password, mode 0600; read when connecting, not when loading.
    pub password_file: Option<PathBuf>,
    /// AWS region for [`SaslMechanism::MskIam`]; `None` takes it from the brokers' names.
    pub region: Option<String>,
}

/// How a Kafka broker checks a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the configuration, said there")]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
    MskIam,
}

impl LogConfig {
    /// The key of the configuration that says what is read, and its value.
    pub fn place(&self) -> (&'static str, &str) {
        let (key, value) = match self.source {
            SourceKind::File => ("path", &self.path),
            SourceKind::Kafka => ("topic", &self.topic),
            SourceKind::Postgres => ("table", &self.table),
            SourceKind::Database => ("url", &None),
        };
        (key, value.as_deref().unwrap_or_default())
    }

    /// A log of files, ordered as its format does by default.
    pub fn file(name: impl Into<String>, path: impl Into<String>, format: FormatKind) -> Self {
        Self {
            name: name.into(),
            source: SourceKind::File,
            path: Some(path.into()),
            format,
            order: None,
            entities: BTreeMap::new(),
            database: None,
            table: None,
            columns: BTreeMap::new(),
            kafka: KafkaConfig::default(),
            topic: None,
            keep: None,
            max_age: None,
            slot: None,
        }
    }
}

/// `[hold]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldConfig {
    /// `file` or `kafka`.
    pub source: SourceKind,
    /// Path or glob for `file`.
    pub path: Option<String>,
    /// The cluster for `kafka`.
    pub kafka: KafkaConfig,
    /// Topic for `kafka`.
    pub topic: Option<String>,
    /// The order system's consumer group, whose committed offsets say what it has taken; only ever read.
    pub group: Option<String>,
    /// When the services are expected back, microseconds since 1970.
    pub services_back: Option<i64>,
    /// How long it keeps an order.
    pub window: Duration,
    /// How it is written.
    pub format: FormatKind,
}

/// One `[[outside]]`: what a system around the order system exported of its own work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutsideConfig {
    /// Names it in evidence; the name of the effect, where no column has it.
    pub name: String,
    /// Path or glob, resolved against the configuration file's folder.
    pub path: String,
    /// Column with the order's key, label or identity.
    pub order: String,
    /// Column with the key of the plan item.
    pub item: Option<String>,
    /// Column with the name of the effect.
    pub effect: Option<String>,
    /// Column that says what became of it.
    pub state: String,
    /// Values of `state` that mean that it happened.
    pub done: Vec<String>,
    /// Values of `state` that mean that it did not.
    pub none: Vec<String>,
    /// Column with the time at which it happened.
    pub at: Option<String>,
}

/// `[scan]`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanConfig {
    /// Largest table, in bytes, that is searched for moved rows without an index.
    pub moved_limit: u64,
    /// Share of malformed lines, 0 to 1, above which the scan fails.
    pub reject_limit: f64,
    /// Most connections to the restored database at once.
    pub connections: usize,
    /// A batch of rows aims at this.
    pub batch_target: Duration,
}

impl Default for ScanConfig {
    fn default() -> Self {
        Self {
            moved_limit: 10_000_000_000,
            reject_limit: 0.01,
            connections: 2,
            batch_target: Duration::from_millis(200),
        }
    }
}

/// `[ledger]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    /// SQLite file or PostgreSQL.
    pub database: Database,
    /// One PostgreSQL login for several people.
    pub shared_login: bool,
    /// A PostgreSQL ledger in the database that is being restored.
    pub inside_restored: bool,
    /// Where decisions that were asked for wait for their answers; `None`: below the user's state folder. No key sets it.
    pub decisions: Option<PathBuf>,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            database: Database::at(DbUrl::Sqlite(PathBuf::from("restitch.db"))),
            shared_login: false,
            inside_restored: false,
            decisions: None,
        }
    }
}

/// `[effects]`: what verbs do beyond the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects {
    /// By verb; one that is not here is recorded.
    pub verbs: BTreeMap<Verb, Effect>,
    /// So long a one-way effect waits before it leaves.
    pub grace: Duration,
    /// Where `sql` writes; `None`: where the restored database is read.
    pub database: Option<Database>,
}

impl Default for Effects {
    fn default() -> Self {
        Self {
            verbs: BTreeMap::new(),
            grace: Duration::from_secs(10),
            database: None,
        }
    }
}

impl Effects {
    /// What this verb does.
    pub fn of(&self, verb: Verb) -> &Effect {
        self.verbs.get(&verb).unwrap_or(&Effect::Record)
    }
}

/// What a verb does beyond the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A to-do for a person.
    Record,
    /// The rows are written to the restored database.
    Sql,
    /// A message to a topic.
    Kafka(KafkaEffect),
    /// A request.
    Http(HttpEffect),
}

impl Effect {
    /// The word in files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Sql => "sql",
            Self::Kafka(_) => "kafka",
            Self::Http(_) => "http",
        }
    }
}

/// `{ do = "kafka" }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaEffect {
    /// Where the message goes.
    pub topic: String,
    /// The cluster; that of `[hold]` where none is given.
    pub cluster: KafkaConfig,
}

/// `{ do = "http" }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpEffect {
    /// Where the request goes.
    pub url: String,
    /// Headers besides those that restitch sets.
    pub headers: BTreeMap<String, String>,
    /// The variable that holds a bearer token; read when sending, not when loading.
    pub token_env: Option<String>,
    /// File whose first line is a bearer token, mode 0600; read when sending, where no variable is named.
    pub token_file: Option<PathBuf>,
    /// So long an answer may take.
    pub timeout: Duration,
}

/// `[cluster]`: where the order system runs, and which of its parts is what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The namespace of the order system.
    pub namespace: String,
    /// Where the API server is said to be; `None`: where `kubectl` would look, else the pod that restitch runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The context of that file; `None`: its current one.
    pub context: Option<String>,
    /// Labels of the brokers, which stay up.
    pub brokers: Option<Selector>,
    /// Labels of the orchestration workers.
    pub workers: Option<Selector>,
    /// The label that says which queue a worker works.
    pub queue_label: String,
    /// A query of the restored database that gives the names of the queues.
    pub queues: Option<String>,
    /// Labels of the deployments whose readiness says that the catalogue's cache is loaded.
    pub catalogue: Option<Selector>,
    /// An address that answers with success once it is.
    pub catalogue_url: Option<String>,
}

/// `[org]`: what Salesforce shows of the order system, and whom to tell when a phase changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgConfig {
    /// An address that answers with what Salesforce shows, as JSON.
    pub status_url: Option<String>,
    /// Where in the answer it stands: a JSON pointer (RFC 6901).
    pub status_field: String,
    /// The states that say that the org knows.
    pub offline: Vec<String>,
    /// The environment variable with the bearer token for it.
    pub status_token_env: Option<String>,
    /// Whom to tell.
    pub notify: Option<Notify>,
    /// The environment variable with the bearer token for a webhook.
    pub notify_token_env: Option<String>,
}

/// Whom to tell of a phase that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    /// A webhook: the change is posted to it as JSON.
    Url(String),
    /// A command and its arguments: the change is on its standard input, as JSON.
    Command(Vec<String>),
}

/// `[roles]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    /// May look.
    pub viewer: Vec<String>,
    /// May claim and decide.
    pub operator: Vec<String>,
    /// May also take over, confirm and reopen.
    pub lead: Vec<String>,
}

/// `[aws]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsConfig {
    /// Region; `None`: as the AWS SDK finds it.
    pub region: Option<String>,
    /// One address for all of AWS instead of its own.
    pub endpoint: Option<String>,
    /// Identifier of the instance or cluster that was, and is restored from.
    pub source: Option<String>,
    /// Identifier of the instance or cluster that the restore makes.
    pub target: Option<String>,
    /// ARN of whoever will run the restore; `None`: whoever runs restitch.
    pub restorer: Option<String>,
    /// Whether the site expects encrypted storage.
    pub encrypted: Option<bool>,
    /// The key that the site expects storage to be encrypted with.
    pub kms_key: Option<String>,
    /// The keys of personal data.
    pub pii: Option<PiiKeys>,
}

/// `[aws.pii]`: the keys that personal data is encrypted with, which are not the key of the storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PiiKeys {
    /// The KMS key that wraps them.
    pub kms_key: Option<String>,
    /// Asks the restored database for the newest version in its key table.
    pub sql: Option<String>,
    /// The newest version that was in use when the cluster stopped.
    pub newest: Option<i64>,
}

//! One way to a PostgreSQL server: verified TLS, time limits, a session in known settings, errors that say what to do.

use crate::config::{AwsConfig, Database, DbUrl, Secret, SslMode};
use crate::domain::{Error, Result};
use crate::restore::rds::token::{self, Login};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{AsyncMessage, Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What a session is for.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// Shown to the DBA in `pg_stat_activity`, after `restitch`.
    pub purpose: &'a str,
    /// Whether writes are refused by the server.
    pub read_only: bool,
    /// The longest a statement may take.
    pub statement_timeout: Duration,
    /// The longest a transaction may wait for this program.
    pub idle_timeout: Duration,
}

/// An open connection; dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    /// For statements.
    pub client: Client,
    /// `host:port/database`, for errors.
    pub place: String,
}

impl Connection {
    /// An error of a statement on this connection.
    pub fn error(&self, doing: &str, e: &tokio_postgres::Error) -> Error {
        statement_error(doing, e, &self.place)
    }
}

/// Connects, and sets the session up for reading rows.
pub async fn connect(database: &Database, session: Session<'_>) -> Result<Connection> {
    let name = format!("restitch {} {}", session.purpose, std::process::id());
    let connection = open(database, &name).await?;
    let settings = settings(&connection, session).await?;
    let set = connection.client.batch_execute(&settings).await;
    set.map_err(|e| connection.error("preparing the session", &e))?;
    Ok(connection)
}

/// Connects, having verified chain and host name unless `sslmode = "disable"`; nothing in between, and no password
/// before that. Never falls back to plain text. The session is as the server makes it; `name` is what its lists show.
pub async fn open(database: &Database, name: &str) -> Result<Connection> {
    open_and_hear(database, name, || ()).await
}

/// As [`open`]; `heard` is told of every notification that comes, and of the end of the connection.
pub async fn open_and_hear(database: &Database, name: &str, heard: impl Fn() + Send + 'static) -> Result<Connection> {
    let DbUrl::Postgres {
        host,
        port,
        database: dbname,
        user,
        password,
    } = &database.url
    else {
        return Err(Error::usage("this is no PostgreSQL database").cure("give a postgres:// URL"));
    };
    let place = format!("{host}:{port}/{dbname}");
    let mut config = tokio_postgres::Config::new();
    config
        .host(host)
        .port(*port)
        .user(user)
        .dbname(dbname)
        .application_name(name)
        .connect_timeout(Duration::from_secs(5))
        .tcp_user_timeout(Duration::from_secs(15))
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3);
    // A token is made for this attempt and kept nowhere.
    let token = if database.iam_auth {
        let login = Login {
            host,
            port: *port,
            user,
        };
        // Boxed: what finds credentials is large, and every reader would carry it.
        Some(Box::pin(iam_token(database, login)).await?)
    } else {
        None
    };
    if let Some(password) = token.as_ref().or(password.as_ref()) {
        config.password(password.reveal());
    }
    let failed = |e: &tokio_postgres::Error| connect_error(e, database, &place);
    // The library's limit covers the TCP connection alone; a server that then says nothing is as dead.
    let limit = Duration::from_secs(15);
    let silent = || {
        Error::failed("the server accepts connections but does not answer within 15 s")
            .at(place.clone())
            .cure("check that this is the database's own port and that the instance is available")
    };
    let client = match database.sslmode {
        SslMode::Disable => {
            config.ssl_mode(tokio_postgres::config::SslMode::Disable);
            let opened = tokio::time::timeout(limit, config.connect(NoTls)).await;
            let (client, connection) = opened.map_err(|_| silent())?.map_err(|e| failed(&e))?;
            tokio::spawn(drive(connection, heard));
            client
        }
        SslMode::VerifyFull => {
            config.ssl_mode(tokio_postgres::config::SslMode::Require);
            let tls = MakeRustlsConnect::new(tls(database.sslrootcert.as_deref())?);
            let opened = tokio::time::timeout(limit, config.connect(tls)).await;
            let (client, connection) = opened.map_err(|_| silent())?.map_err(|e| failed(&e))?;
            tokio::spawn(drive(connection, heard));
            client
        }
    };
    Ok(Connection { client, place })
}

/// Carries what goes over a connection until it ends. Why it ended is told to whoever waits for an answer on it.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, heard: impl Fn())
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
        if matches!(message, AsyncMessage::Notification(_)) {
            heard();
        }
    }
    // Dropped first: whoever hears of the end finds it closed.
    drop(connection);
    heard();
}

/// A token for this attempt; none for a connection in the clear.
async fn iam_token(database: &Database, login: Login<'_>) -> Result<Secret> {
    if database.sslmode == SslMode::Disable {
        return Err(
            Error::usage("iam_auth needs TLS: a token is a credential and is never sent in the clear")
                .at(format!("{}:{}", login.host, login.port))
                .cure("remove sslmode = \"disable\""),
        );
    }
    let aws = AwsConfig {
        region: database.region.clone(),
        ..AwsConfig::default()
    };
    token::token(&aws, login).await
}

/// The settings that make one text of one value, and that keep a session from waiting or reading the wrong rows.
async fn settings(connection: &Connection, session: Session<'_>) -> Result<String> {
    let version = connection
        .client
        .query_typed_one("select current_setting('server_version_num')::int", &[])
        .await;
    let version: i32 = version
        .and_then(|row| row.try_get(0))
        .map_err(|e| connection.error("asking the server's version", &e))?;
    if version < 120_000 {
        return Err(Error::failed(format!("PostgreSQL {} is too old", version / 10_000))
            .at(connection.place.clone())
            .cure("restitch reads PostgreSQL 12 and later"));
    }
    // Keys come in batches of some thousands: the planner would rather read a whole table for each, which costs a table of
    // 1,000,000 rows eight times as much, and a cold volume everything. Where no index serves, it still reads the table.
    let mut sql = format!(
        "set default_transaction_read_only = {}; set statement_timeout = {}; set lock_timeout = '10s'; \
         set idle_in_transaction_session_timeout = {}; set timezone = 'UTC'; set datestyle = 'ISO, MDY'; \
         set intervalstyle = 'postgres'; set bytea_output = 'hex'; set extra_float_digits = 1; \
         set standard_conforming_strings = on; set row_security = off; set jit = off; \
         set max_parallel_workers_per_gather = 0; set enable_seqscan = off;",
        if session.read_only { "on" } else { "off" },
        session.statement_timeout.as_millis(),
        session.idle_timeout.as_millis(),
    );
    if version >= 140_000 {
        // A scan that is stopped must not leave its statement running on the server.
        sql.push_str(" set client_connection_check_interval = '5s';");
    }
    if version >= 170_000 {
        sql.push_str(" set transaction_timeout = 0;");
    }
    Ok(sql)
}

/// TLS that verifies chain and host name, against the given bundle or the system's roots.
fn tls(bundle: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = bundle {
        let unreadable = |why: String| {
            Error::usage(format!("cannot read the certificates: {why}"))
                .at(path.display().to_string())
                .cure("sslrootcert must name a PEM file; for RDS it is the region's bundle, such as global-bundle.pem")
        };
        for cert in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(e.to_string()))? {
            roots
                .add(cert.map_err(|e| unreadable(e.to_string()))?)
                .map_err(|e| unreadable(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unreadable("the file holds none".to_owned()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(
                Error::usage("this system has no root certificates to verify the server with")
                    .cure("set sslrootcert to a PEM bundle; for RDS it is the region's, such as global-bundle.pem"),
            );
        }
    }
    // The provider is named here, so that nothing depends on a process-wide default that may not be there.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::failed(format!("TLS cannot be set up: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// The first error of this type in the chain behind `e`, looking into I/O errors too.
fn cause<'a, T: std::error::Error + 'static>(e: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    let mut next = Some(e);
    while let Some(e) = next {
        if let Some(found) = e.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = e.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<T>()) {
            return Some(found);
        }
        next = e.source();
    }
    None
}

/// An error and what caused it, in one line.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(e) = next {
        let _ = write!(text, ": {e}");
        next = e.source();
    }
    text
}

fn connect_error(e: &tokio_postgres::Error, database: &Database, place: &str) -> Error {
    let DbUrl::Postgres {
        host,
        port,
        database: dbname,
        user,
        ..
    } = &database.url
    else {
        return Error::failed(chain(e)).at(place);
    };
    let plain = database.sslmode == SslMode::Disable;
    if let Some(db) = e.as_db_error() {
        let said = db.message();
        let (what, cure) = match db.code().code() {
            "28P01" | "28000" if database.iam_auth => (
                format!("the server refuses the IAM token of user {user:?}: {said}"),
                "the user must be a member of rds_iam, the instance have IAM authentication on, the policy allow \
                 rds-db:connect for its DbiResourceId (a restored instance has a new one), and the host be its own endpoint, \
                 no alias"
                    .to_owned(),
            ),
            "28P01" => (
                format!("the server refuses the password of user {user:?}"),
                "check password_file, the variable named by url_env, PGPASSWORD or .pgpass; after a restore the \
                 passwords are those of the restore point"
                    .to_owned(),
            ),
            "28000" if said.contains("pg_hba.conf") => (
                format!("the server admits no such connection: {said}"),
                if plain {
                    "remove sslmode = \"disable\": the server may want TLS; else a DBA must admit this host in pg_hba.conf"
                } else {
                    "a DBA must admit this host, user and database in pg_hba.conf (RDS: the security group and rds.force_ssl)"
                }
                .to_owned(),
            ),
            "28000" => (format!("the server refuses user {user:?}: {said}"), "check the user in the URL".to_owned()),
            "3D000" => (
                format!("the server has no database {dbname:?}"),
                "check the database at the end of the URL; psql -l lists those that exist".to_owned(),
            ),
            "42501" => (
                format!("user {user:?} may not connect to database {dbname:?}"),
                format!("a DBA runs: GRANT CONNECT ON DATABASE {} TO {}", quoted(dbname), quoted(user)),
            ),
            "53300" => ("the server has no connection left".to_owned(), "close others, or wait and try again".to_owned()),
            "57P03" => (format!("the server is not ready: {said}"), "wait until recovery is over and try again".to_owned()),
            _ => (format!("the server refuses the connection: {said}"), "ask the DBA, naming the message".to_owned()),
        };
        return Error::failed(what).at(place).cure(cure);
    }
    if let Some(tls) = cause::<rustls::Error>(e) {
        return tls_error(tls, host).at(place);
    }
    let text = chain(e);
    if text.contains("server does not support TLS") {
        return Error::failed("the server refuses TLS, so nothing was sent to it")
            .at(place)
            .cure("turn TLS on at the server; only sslmode = \"disable\" talks in the clear");
    }
    if text.contains("password missing") {
        return Error::usage(format!(
            "the server asks for the password of user {user:?} and none is configured"
        ))
        .at(place)
        .cure("give it by password_file, url_env, PGPASSWORD or .pgpass");
    }
    if let Some(io) = cause::<io::Error>(e) {
        let (what, cure) = match io.kind() {
            io::ErrorKind::ConnectionRefused => (
                format!("nothing listens at {host}:{port}"),
                "check host and port, and that the restored instance is available",
            ),
            io::ErrorKind::TimedOut => (
                format!("{host}:{port} does not answer within 5 s"),
                "check that the instance is available and that its security group lets this machine in",
            ),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => (
                format!("{host}:{port} closed the connection before it was set up"),
                "check that this port is PostgreSQL's and look into the server's log",
            ),
            _ if text.contains("lookup") => (
                format!("no address is known for host {host:?}"),
                "check the host name; a restored RDS instance has a name of its own",
            ),
            _ => (format!("cannot connect: {text}"), "check host, port and network"),
        };
        return Error::failed(what).at(place).cure(cure);
    }
    Error::failed(format!("cannot connect: {text}"))
        .at(place)
        .cure("check that this port is PostgreSQL's")
}

/// Why the server's certificate is not trusted, and what to do.
fn tls_error(e: &rustls::Error, host: &str) -> Error {
    let bundle = "set sslrootcert to the bundle that signed it (RDS: the region's, such as global-bundle.pem), and be sure \
                  that this is the server you mean";
    let (why, cure) = match e {
        rustls::Error::InvalidCertificate(bad) => match bad {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "the server's certificate has expired".to_owned(),
                "renew it at the server; check this machine's clock too",
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                "the server's certificate is not valid yet".to_owned(),
                "check this machine's clock",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                format!("the server's certificate is not for host {host:?}"),
                "connect by the name in the certificate: for RDS the instance's own endpoint, not an alias or address",
            ),
            // A false signature is that of an authority that only bears the name of one trusted here.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => (
                "the server's certificate is signed by nobody that is trusted here".to_owned(),
                bundle,
            ),
            other => (format!("the server's certificate is not trusted: {other:?}"), bundle),
        },
        other => (
            format!("the server's TLS cannot be used: {other}"),
            "check that this port is PostgreSQL's and that the server speaks TLS 1.2 or later",
        ),
    };
    Error::failed(format!("{why}, so nothing was sent to it")).cure(cure)
}

/// An error of a statement, with the cures that are known.
fn statement_error(doing: &str, e: &tokio_postgres::Error, place: &str) -> Error {
    let Some(db) = e.as_db_error() else {
        let what = if e.is_closed() {
            "the server closed the connection".to_owned()
        } else {
            chain(e)
        };
        return Error::failed(format!("{doing}: {what}"))
            .at(place)
            .cure("run it again: nothing was changed; if it happens again, look into the server's log");
    };
    let said = said(db);
    let cure = match *db.code() {
        SqlState::INSUFFICIENT_PRIVILEGE if said.contains("row-level security") => {
            "some rows are hidden from this user, and hidden rows would look lost: read as a role with BYPASSRLS or as the \
             table's owner"
                .to_owned()
        }
        SqlState::INSUFFICIENT_PRIVILEGE => "a DBA must grant this user SELECT on it and USAGE on its schema".to_owned(),
        SqlState::LOCK_NOT_AVAILABLE => {
            "another session holds a lock on the table: see pg_blocking_pids and try again".to_owned()
        }
        SqlState::QUERY_CANCELED => "the statement took longer than its limit, or a DBA ended it: try again when the volume \
                                     is warm"
            .to_owned(),
        _ => "run it again; if it happens again, look into the server's log".to_owned(),
    };
    Error::failed(format!("{doing}: {said}")).at(place).cure(cure)
}

/// What the server says, without values: its DETAIL lines are never told, for they hold keys, and a message about data
/// (class 22: `invalid input syntax for type bigint: "1555"`) is told up to the value.
pub fn said(db: &DbError) -> &str {
    let message = db.message();
    match message.find(": \"") {
        Some(at) if db.code().code().starts_with("22") => &message[..at],
        _ => message,
    }
}

/// An identifier as SQL wants it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

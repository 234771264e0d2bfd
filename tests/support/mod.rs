//! Real services for tests: PostgreSQL, one server a test binary, gone when the binary is.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod dice;
pub mod kafka;
pub mod line;
pub mod tls;
pub mod wire;

use restitch::config::{Database, DbUrl, SslMode};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The unprivileged user that servers run as when the tests run as root, which PostgreSQL refuses.
const NOBODY: u32 = 65_534;

/// A running PostgreSQL server with a superuser `demo` and no password.
pub struct Pg {
    pub port: u16,
    pub home: PathBuf,
    bin: PathBuf,
    /// Holds the pipe whose end, however it comes, makes the watcher stop the server.
    watcher: Child,
    databases: AtomicU32,
}

/// The server shared by the tests of this binary.
pub fn pg() -> &'static Pg {
    static PG: OnceLock<Pg> = OnceLock::new();
    PG.get_or_init(|| Pg::start(&[]))
}

/// A fresh directory that the servers' user owns.
pub fn home() -> PathBuf {
    let home = tempfile::Builder::new()
        .prefix("restitch-pg-")
        .tempdir()
        .unwrap()
        .keep();
    if is_root() {
        chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    home
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command of PostgreSQL's, run as the servers' user.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/");
    command
}

/// Where PostgreSQL's programs are: `$PG_BIN`, else the newest of Debian's.
pub fn bin() -> PathBuf {
    if let Some(bin) = std::env::var_os("PG_BIN") {
        return PathBuf::from(bin);
    }
    let mut found: Vec<(u32, PathBuf)> = glob::glob("/usr/lib/postgresql/*/bin")
        .unwrap()
        .flatten()
        .filter(|p| p.join("postgres").exists())
        .filter_map(|p| Some((p.parent()?.file_name()?.to_str()?.parse().ok()?, p)))
        .collect();
    found.sort();
    found
        .pop()
        .expect("PostgreSQL is installed (apt-get install postgresql), or PG_BIN names its programs")
        .1
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A database of a server of the tests, as configured.
pub fn database(port: u16, db: &str) -> Database {
    let mut database = Database::at(DbUrl::Postgres {
        host: "127.0.0.1".to_owned(),
        port,
        database: db.to_owned(),
        user: "demo".to_owned(),
        password: None,
    });
    database.sslmode = SslMode::Disable;
    database
}

/// Makes the cluster `home/data`.
pub fn init(home: &Path) {
    let made = command(&bin().join("initdb"))
        .args([
            "-U",
            "demo",
            "-A",
            "trust",
            "--no-sync",
            "--no-locale",
            "-E",
            "UTF8",
            "-D",
        ])
        .arg(home.join("data"))
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}

impl Pg {
    /// A new cluster with these settings, started.
    pub fn start(settings: &[&str]) -> Self {
        let home = home();
        init(&home);
        Self::start_in(home, settings)
    }

    /// Starts the cluster in `home/data`; `home` goes when the server goes.
    pub fn start_in(home: PathBuf, settings: &[&str]) -> Self {
        let mut failure = String::new();
        // Between choosing a port and listening on it another process may take it.
        for _ in 0..5 {
            let port = free_port();
            match Self::try_start(&home, port, settings) {
                Ok(watcher) => {
                    return Self {
                        port,
                        home,
                        bin: bin(),
                        watcher,
                        databases: AtomicU32::new(0),
                    };
                }
                Err(why) => failure = why,
            }
        }
        panic!("PostgreSQL does not start: {failure}");
    }

    fn try_start(home: &Path, port: u16, settings: &[&str]) -> Result<Child, String> {
        let mut options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c log_min_messages=log"
        );
        for setting in settings {
            write!(options, " -c {setting}").unwrap();
        }
        // When this process ends, cleanly or not, `cat` reads the end of its input.
        let script = r#"
            "$1/pg_ctl" -D "$2/data" -w -t 120 -o "$3" -l "$2/log" start >/dev/null || { tail -20 "$2/log" >&2; exit 1; }
            echo ready
            cat >/dev/null
            "$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null
            rm -rf "$2"
        "#;
        let mut watcher = command(Path::new("/bin/sh"))
            .args(["-c", script, "sh"])
            .arg(bin())
            .arg(home)
            .arg(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(watcher.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        if line.trim() == "ready" {
            return Ok(watcher);
        }
        let mut why = String::new();
        watcher.stderr.take().unwrap().read_to_string(&mut why).unwrap();
        watcher.wait().unwrap();
        Err(why)
    }

    /// Stops the server and waits until it is gone.
    pub fn stop(mut self) {
        drop(self.watcher.stdin.take());
        self.watcher.wait().unwrap();
    }

    /// A new, empty database; its name.
    pub fn create_db(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("create database {name}"));
        name
    }

    /// A copy of a database that nobody is connected to; its name.
    pub fn copy_db(&self, of: &str) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("create database {name} template {of}"));
        name
    }

    pub fn url(&self, db: &str) -> String {
        format!("postgres://demo@127.0.0.1:{}/{db}", self.port)
    }

    /// The same as configured.
    pub fn database(&self, db: &str) -> Database {
        database(self.port, db)
    }

    /// Runs SQL; what it printed, unaligned and without headers. Panics on any error.
    pub fn psql(&self, db: &str, sql: &str) -> String {
        let mut psql = Command::new(self.bin.join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-U",
                "demo",
            ])
            .args(["-p", &self.port.to_string(), "-d", db, "-f", "-"])
            .env("PGTZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = psql.stdin.take().unwrap();
        let out = std::thread::scope(|scope| {
            scope.spawn(move || drop(input.write_all(sql.as_bytes())));
            psql.wait_with_output().unwrap()
        });
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(
            out.status.success(),
            "{errors}\n{}",
            sql.chars().take(2_000).collect::<String>()
        );
        String::from_utf8(out.stdout).unwrap().trim_end_matches('\n').to_owned()
    }
}

//! Canaries in every place a secret may come from, and in nothing that the program says, writes or leaves behind.

use crate::night::{CONFIG, Night};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

const CANARY: &str = "canary-7d2f";

/// A PostgreSQL server that asks for the password in clear text, keeps it, and refuses it.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is none of this server's business.
                let _ = Self::serve(stream, &kept);
            }
        });
        Self { port, heard }
    }

    fn serve(mut stream: TcpStream, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut startup = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
        stream.read_exact(&mut startup)?;
        // AuthenticationCleartextPassword
        stream.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
        let mut kind = [0; 5];
        stream.read_exact(&mut kind)?;
        let size = u32::from_be_bytes([kind[1], kind[2], kind[3], kind[4]]);
        let mut body = vec![0; usize::try_from(size).unwrap() - 4];
        stream.read_exact(&mut body)?;
        heard
            .lock()
            .unwrap()
            .push(String::from_utf8_lossy(&body).trim_end_matches('\0').to_owned());
        let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0";
        let mut error = vec![b'E'];
        error.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
        error.extend(fields);
        stream.write_all(&error)
    }

    fn has_heard(&self) -> bool {
        self.heard.lock().unwrap().iter().any(|p| p == CANARY)
    }
}

/// Every command that a secret could get into, as loud as they are.
const SURFACE: &[&[&str]] = &[
    &["scan"],
    &["scan", "--json"],
    &["gate"],
    &["gate", "--json"],
    &["doctor"],
    &["doctor", "--json"],
    &["doctor", "--propose-schema"],
    &["preview", "--at", "2026-11-22T14:05:00Z"],
    &["prove"],
    &["cases", "--json"],
    &["show", "order:2", "--json"],
    &["note", "order:2", "x"],
    &["claim", "order:2"],
    &["resolve", "order:2", "reapply", "--reason", "x"],
    &["audit", "list", "--json"],
    &["audit", "verify"],
    &["audit", "anchor", "--to", "anchors"],
    &["report"],
    &["report", "--json"],
    &["report", "--format", "html", "--out", "report.html"],
    &["report", "--format", "csv"],
    &["print-config"],
    &["console"],
    &["nonsense"],
];

/// Where the canary is in what was said or is left in the folder.
fn sightings(night: &Night, said: &[(String, String)], own: &[&str]) -> Vec<String> {
    let mut seen: Vec<String> = said
        .iter()
        .filter(|(_, text)| text.contains(CANARY))
        .map(|(what, _)| what.clone())
        .collect();
    for entry in fs::read_dir(night.path(".")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file()
            && !own.contains(&name.as_str())
            && fs::read(entry.path())
                .unwrap()
                .windows(CANARY.len())
                .any(|w| w == CANARY.as_bytes())
        {
            seen.push(name);
        }
    }
    seen
}

#[test]
fn a_secret_is_sent_where_it_belongs_and_seen_nowhere() {
    type Place = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
        Option<&'static str>,
    );
    let places: &[Place] = &[
        (
            "url_env",
            "url_env = \"OM_URL\"",
            &[("OM_URL", "postgres://triage:{canary}@127.0.0.1:{port}/om")],
            None,
        ),
        (
            "the environment's url",
            "",
            &[(
                "RESTITCH_RESTORED__URL",
                "postgres://triage:{canary}@127.0.0.1:{port}/om",
            )],
            None,
        ),
        (
            "password_file",
            "url = \"{url}\"\npassword_file = \"secret\"",
            &[],
            Some("secret"),
        ),
        ("PGPASSWORD", "url = \"{url}\"", &[("PGPASSWORD", "{canary}")], None),
        (
            "PGPASSFILE",
            "url = \"{url}\"",
            &[("PGPASSFILE", "secret")],
            Some("secret"),
        ),
        (".pgpass", "url = \"{url}\"", &[], Some(".pgpass")),
    ];
    for (place, keys, variables, file) in places {
        let night = Night::scanned();
        let server = Server::start();
        let fill = |text: &str| {
            text.replace("{url}", &format!("postgres://triage@127.0.0.1:{}/om", server.port))
                .replace("{canary}", CANARY)
                .replace("{port}", &server.port.to_string())
        };
        night.configure(
            "url = \"sqlite:restored.db\"",
            &format!("{}\nsslmode = \"disable\"", fill(keys)),
        );
        if let Some(file) = file {
            let whole = if *place == "password_file" {
                CANARY.to_owned()
            } else {
                format!("*:*:*:*:{CANARY}")
            };
            night.write(file, whole);
            fs::set_permissions(night.path(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let mut said = Vec::new();
        for args in SURFACE {
            let mut command = night.command(args);
            command
                .args(["-v", "-v"])
                .env("RUST_LOG", "trace")
                .env("RUST_BACKTRACE", "full");
            for (name, value) in *variables {
                command.env(name, fill(value));
            }
            let output = command.output().unwrap();
            for bytes in [output.stdout, output.stderr] {
                said.push((format!("{args:?}"), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
        assert!(
            server.has_heard(),
            "{place}: the secret was never used, so nothing is shown by its absence"
        );
        let own: Vec<&str> = file.iter().copied().collect();
        assert_eq!(sightings(&night, &said, &own), Vec::<String>::new(), "{place}");
        night.write("restitch.toml", CONFIG);
        // And it would have been seen: in the ledger's file, and in what is said.
        night.run(&["note", "order:2", CANARY]).ended(0);
        let shown = night.run(&["show", "order:2"]).ended(0);
        let seen = sightings(&night, &[("show".to_owned(), shown.out)], &own);
        assert!(
            seen.contains(&"show".to_owned()) && seen.iter().any(|s| s.starts_with("restitch.db")),
            "{seen:?}"
        );
    }
}

#[test]
fn a_secret_on_the_command_line_or_in_the_file_is_refused_and_not_repeated() {
    let night = Night::scanned();
    let url = format!("postgres://triage:{CANARY}@127.0.0.1:1/om");
    let ran = night
        .run(&["cases", "--ledger", &url])
        .ended(2)
        .says(&["holds a password", "password_file"]);
    assert!(!ran.err.contains(CANARY));
    for (old, new) in [
        ("url = \"sqlite:restored.db\"", format!("url = \"{url}\"")),
        ("[incident]", format!("[ledger]\nurl = \"{url}\"\n[incident]")),
        (
            "[[log]]",
            format!("[[log]]\nname = \"old\"\nsource = \"database\"\nurl = \"{url}\"\n[[log]]"),
        ),
    ] {
        night.configure(old, &new);
        let ran = night.run(&["doctor", "-v", "-v"]).ended(2).says(&["holds a password"]);
        assert!(!ran.err.contains(CANARY) && !ran.out.contains(CANARY), "{}", ran.err);
    }
}

#[test]
fn what_holds_secrets_leaves_no_core_behind() {
    let night = Night::scanned();
    night.configure("path = \"log.ndjson\"", "path = \"-\"");
    let mut waiting = night
        .command(&["scan"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It waits at standard input until we say so. The hard limit is the one that nobody but itself lowers here.
    let mut stdin = waiting.stdin.take().unwrap();
    let limits = loop {
        let limits = fs::read_to_string(format!("/proc/{}/limits", waiting.id())).unwrap();
        let core = limits
            .lines()
            .find(|l| l.starts_with("Max core file size"))
            .unwrap()
            .to_owned();
        let fields: Vec<String> = core.split_whitespace().map(str::to_owned).collect();
        if fields[5] == "0" || waiting.try_wait().unwrap().is_some() {
            break fields;
        }
        std::thread::yield_now();
    };
    assert_eq!((limits[4].as_str(), limits[5].as_str()), ("0", "0"), "{limits:?}");
    stdin.write_all(b"\n").unwrap();
    drop(stdin);
    waiting.wait().unwrap();
}

#[test]
fn files_are_private_whatever_the_umask() {
    let night = Night::new();
    let loose = |args: &[&str]| {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "umask 000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_restitch")])
            .args(args)
            .current_dir(night.path("."))
            .env_clear()
            .env("HOME", night.path("."))
            .stdin(Stdio::null());
        Night::finish(command.output().unwrap())
    };
    loose(&["scan"]).ended(3);
    loose(&["audit", "anchor", "--to", "anchors"]).ended(0);
    loose(&["report", "--out", "report.md"]).ended(0);
    let mut looked = 0;
    for entry in fs::read_dir(night.path(".")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("restitch.db") || name == "anchors" || name == "report.md" {
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name} has mode {mode:04o}");
            looked += 1;
        }
    }
    assert!(looked >= 3, "{looked}");
}

#[test]
fn configuration_and_secrets_of_others_or_open_to_them_are_refused() {
    let night = Night::scanned();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mode = |name: &str, mode: u32| fs::set_permissions(night.path(name), fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o666, 0o620, 0o602] {
        mode("restitch.toml", open);
        night
            .run(&["cases"])
            .ended(2)
            .says(&["can be written by others", "restitch.toml"]);
    }
    mode("restitch.toml", 0o644);
    night.run(&["cases"]).ended(0);
    let url =
        format!("url = \"postgres://triage@127.0.0.1:{port}/om\"\nsslmode = \"disable\"\npassword_file = \"secret\"");
    night.configure("url = \"sqlite:restored.db\"", &url);
    night.write("secret", CANARY);
    for open in [0o644, 0o640, 0o604, 0o620] {
        mode("secret", open);
        let ran = night.run(&["gate"]);
        assert_ne!(ran.code, 0);
        assert!(!ran.err.contains(CANARY));
        ran.says(&["open to others", "chmod 0600"]);
    }
    // What counts is the file behind a link.
    night.write("behind", CANARY);
    mode("behind", 0o644);
    fs::remove_file(night.path("secret")).unwrap();
    std::os::unix::fs::symlink(night.path("behind"), night.path("secret")).unwrap();
    night.run(&["gate"]).says(&["open to others"]);
    mode("behind", 0o600);
    night.run(&["gate"]).says(&["nothing listens"]);
    fs::remove_file(night.path("secret")).unwrap();
    fs::create_dir(night.path("secret")).unwrap();
    night.run(&["gate"]).says(&["no", "plain file"]);
    fs::remove_dir(night.path("secret")).unwrap();
    night.write("secret", CANARY);
    mode("secret", 0o600);
    for (name, words) in [
        ("secret", "belongs to somebody else"),
        ("restitch.toml", "belongs to somebody else"),
    ] {
        if std::os::unix::fs::chown(night.path(name), Some(65_534), None).is_err() {
            eprintln!("SKIPPED: a file of somebody else's can only be made as root");
            return;
        }
        night.run(&["gate"]).says(&[words, name]);
    }
}

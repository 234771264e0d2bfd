//! RDS IAM authentication: a token for each attempt, inside TLS alone.

use crate::tls::{Peer, ca, contains, identity, roots, serve};
use std::path::Path;
use std::process::{Command, Output};

/// The binary's `doctor` on a database at this port, with credentials in the environment.
fn doctor(port: u16, more: &str, folder: &Path) -> Output {
    let config = format!(
        "[restored]\nurl = \"postgres://triage@localhost:{port}/om\"\niam_auth = true\n{more}\n\
         [aws]\nregion = \"eu-central-1\"\n[schema.order]\ntable = \"orders\"\nkey = \"id\"\n"
    );
    std::fs::write(folder.join("restitch.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_restitch"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["RESTITCH_", "PG", "AWS_"].iter().any(|own| name.starts_with(own)) {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "canary-secret-4711")
        .env("AWS_SESSION_TOKEN", "canary/session+4711")
        .env("PGPASSWORD", "canary-pass-4711")
        .arg("doctor");
    command.output().unwrap()
}

/// The password message inside: everything after its length.
fn password(inside: &[u8]) -> String {
    let text = String::from_utf8_lossy(inside).into_owned();
    let at = text.find("localhost:").expect("a token was sent");
    text[at..].split('\0').next().unwrap().to_owned()
}

#[test]
fn each_attempt_sends_a_token_of_its_own_and_never_a_password() {
    let ours = ca();
    let (dir, roots) = roots(&ours);
    let more = format!("sslrootcert = \"{}\"", roots.display());
    let mut tokens = Vec::new();
    let mut ports = Vec::new();
    for _ in 0..2 {
        let (port, thread) = serve(Peer::Tls(identity(Some(&ours), "localhost", 2090)));
        let out = doctor(port, &more, dir.path());
        let heard = thread.join().unwrap();
        let token = password(&heard.inside);
        assert!(!contains(&heard.raw, b"X-Amz-Signature"), "only inside TLS");
        assert!(
            !contains(&heard.inside, b"canary-pass-4711"),
            "no password where a token is asked for"
        );
        for said in [&out.stdout, &out.stderr] {
            for secret in ["X-Amz", "canary", &token[token.len() - 16..]] {
                assert!(!contains(said, secret.as_bytes()), "{}", String::from_utf8_lossy(said));
            }
        }
        tokens.push(token);
        ports.push(port);
    }
    for (token, port) in tokens.iter().zip(&ports) {
        for part in [
            format!("localhost:{port}/?Action=connect&DBUser=triage&"),
            "X-Amz-Expires=900".to_owned(),
            "%2Feu-central-1%2Frds-db%2Faws4_request".to_owned(),
            "X-Amz-Security-Token=canary%2Fsession%2B4711".to_owned(),
        ] {
            assert!(token.contains(&part), "{part} is not in {token}");
        }
        // No shorter than AWS's own: nothing cut it.
        assert!(token.len() > 300);
    }
    assert_ne!(tokens[0], tokens[1]);
}

#[test]
fn a_token_is_never_made_for_a_connection_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing listens there: it must not even be tried.
    let out = doctor(1, "sslmode = \"disable\"", dir.path());
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("iam_auth") && said.contains("TLS"), "{said}");
    assert!(!said.contains("nothing listens"), "{said}");
}

//! Logins: by password, and by the tokens of Amazon MSK.

use crate::relay::{Login, Relay, hmac};
use crate::support::kafka::kafka;
use crate::world::{World, now};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::ClientConfig;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

const PASSWORD: &str = "s3cret, with = and ,";

/// A topic with one message behind a door, and a configuration that comes through it.
fn world(relay: &Relay, topic: &str, lines: &str) -> World {
    kafka().topic(topic, 1);
    kafka().send_at(topic, 0, now(), ("SFH-1", Some("x")));
    let world = World::at(topic, &relay.brokers(), &format!("sslrootcert = \"ca.pem\"\n{lines}"));
    world.night.write("ca.pem", &relay.certificate);
    world
}

#[test]
fn the_client_was_built_with_every_login() {
    let config = ClientConfig::new().create_native_config().unwrap();
    let features = config.get("builtin.features").unwrap();
    for wanted in [
        "ssl",
        "sasl_plain",
        "sasl_scram",
        "sasl_oauthbearer",
        "gzip",
        "zstd",
        "lz4",
        "snappy",
    ] {
        assert!(
            features.split(',').any(|f| f == wanted),
            "{wanted} is not in {features}"
        );
    }
}

#[test]
fn logins_by_password_are_made_and_refusals_said() {
    let own = || PASSWORD.to_owned();
    let doors = [
        ("plain", Login::Plain(own())),
        ("scram-sha-256", Login::Scram256(own())),
        ("scram-sha-512", Login::Scram512(own())),
    ];
    for (name, login) in doors {
        let relay = Relay::start(login);
        let lines = format!("sasl = \"{name}\"\nusername = \"restitch\"\npassword_env = \"HOLD_PASSWORD\"");
        let hold = world(&relay, &format!("held-{name}"), &lines);
        let status = |password: &str| {
            let mut command = hold.night.command(&["hold", "status", "--json"]);
            let output = command.env("HOLD_PASSWORD", password).output().unwrap();
            crate::night::Night::finish(output)
        };
        let told = status(PASSWORD).ended(0).json();
        assert_eq!(
            (&told["held"], &told["window_from"]),
            (&json!(1), &json!("configured")),
            "{name}: {told}"
        );
        let logins = relay.logins.lock().unwrap().len();
        assert!(
            logins >= 2,
            "{name}: {logins} logins, of the reader and of who asks for the settings"
        );
        let refused = status("another").ended(1).says(&["uthentication", "no such login"]);
        assert!(!refused.err.contains("another"), "{name}: {}", refused.err);
        assert_eq!(
            relay.logins.lock().unwrap().len(),
            logins,
            "{name}: nobody else came in"
        );
    }
}

/// The parts of a token's query, and what it was signed for.
/// Everything that lies in the folder and holds this text, but for the password's own file.
fn left_behind(hold: &World, secret: &str) -> Vec<String> {
    let files = std::fs::read_dir(hold.night.path(".")).unwrap().flatten();
    let names = files.filter(|f| f.path().is_file() && f.file_name() != "broker.password");
    names
        .filter(|f| String::from_utf8_lossy(&std::fs::read(f.path()).unwrap()).contains(secret))
        .map(|f| f.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_password_goes_to_the_broker_and_is_seen_nowhere_else() {
    const CANARY: &str = "canary-91be44";
    let relay = Relay::start(Login::Plain(CANARY.to_owned()));
    for (place, key) in [
        ("env", "password_env = \"HOLD_PASSWORD\""),
        ("file", "password_file = \"broker.password\""),
    ] {
        let lines = format!("sasl = \"plain\"\nusername = \"restitch\"\n{key}");
        let hold = world(&relay, &format!("secret-{place}"), &lines);
        hold.night.write("broker.password", format!("{CANARY}\n"));
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(hold.night.path("broker.password"), private).unwrap();
        let logins = relay.logins.lock().unwrap().len();
        let mut said = String::new();
        for args in [
            &["hold", "status"][..],
            &["hold", "status", "--json"],
            &["doctor"],
            &["doctor", "--json"],
            &["print-config"],
            &["ready"],
            &["scan"],
            &["audit", "list", "--json"],
        ] {
            let mut command = hold.night.command(args);
            command
                .args(["-v", "-v"])
                .env("HOLD_PASSWORD", CANARY)
                .env("RUST_LOG", "trace")
                .env("RUST_BACKTRACE", "full")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let child = command.spawn().unwrap();
            // As `ps` lists it.
            let listed = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
            let output = child.wait_with_output().unwrap();
            for bytes in [listed, output.stdout, output.stderr] {
                said.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        assert!(
            relay.logins.lock().unwrap().len() > logins,
            "{place}: it was never used"
        );
        assert!(!said.contains(CANARY), "{place}: {said}");
        assert_eq!(left_behind(&hold, CANARY), Vec::<String>::new(), "{place}");
        // And it would have been seen.
        hold.night.write("note", CANARY);
        assert_eq!(left_behind(&hold, CANARY), ["note"]);
    }
}

fn query(token: &str) -> Vec<(String, String)> {
    let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
    let query = url.strip_prefix("https://kafka.eu-central-1.amazonaws.com/?").unwrap();
    let pair = |part: &str| part.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap();
    query.split('&').map(pair).collect()
}

/// The signature of a presigned request by AWS's documentation (Signature Version 4, query parameters), computed here anew.
fn signature(parts: &[(String, String)], secret: &str) -> String {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut out, b| {
            write!(out, "{b:02x}").unwrap();
            out
        })
    };
    let own = |name: &str| parts.iter().find(|p| p.0 == name).unwrap().1.clone();
    // The brokers take the User-Agent out before they check.
    let mut signed: Vec<&(String, String)> = parts
        .iter()
        .filter(|p| p.0 != "X-Amz-Signature" && p.0 != "User-Agent")
        .collect();
    signed.sort();
    let query: Vec<String> = signed.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let canonical = format!(
        "GET\n/\n{}\nhost:kafka.eu-central-1.amazonaws.com\n\nhost\n{}",
        query.join("&"),
        hex(&Sha256::digest(b""))
    );
    let at = own("X-Amz-Date");
    let scope = format!("{}/eu-central-1/kafka-cluster/aws4_request", &at[..8]);
    let to_sign = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = scope
        .split('/')
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
            hmac::<Sha256>(64, &key, part.as_bytes())
        });
    hex(&hmac::<Sha256>(64, &key, to_sign.as_bytes()))
}

#[test]
fn a_token_of_msk_is_signed_as_aws_documents_it() {
    let relay = Relay::start(Login::Bearer);
    let hold = world(
        &relay,
        "held-msk",
        "group = \"om-msk\"\nsasl = \"msk-iam\"\nregion = \"eu-central-1\"",
    );
    let mut command = hold.night.command(&["hold", "status", "--json"]);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        .env("AWS_SESSION_TOKEN", "a/b+c=");
    let told = crate::night::Night::finish(command.output().unwrap()).ended(0).json();
    assert_eq!(told["held"], 1, "{told}");
    // The client that asks for settings cannot log in this way: said, and not waited for.
    assert_eq!(told["window_from"], "configured");
    assert!(
        told["notes"][0].as_str().unwrap().contains("not with an IAM login"),
        "{told}"
    );
    let tokens = relay.logins.lock().unwrap().clone();
    assert!(
        tokens.len() >= 2,
        "{} logins, of the reader and of who reads the group",
        tokens.len()
    );
    for token in tokens {
        let parts = query(&token);
        let own = |name: &str| parts.iter().find(|p| p.0 == name).map(|p| p.1.as_str());
        assert_eq!(own("Action"), Some("kafka-cluster%3AConnect"));
        assert_eq!(own("X-Amz-Expires"), Some("900"));
        assert_eq!(own("X-Amz-Security-Token"), Some("a%2Fb%2Bc%3D"));
        assert!(own("X-Amz-Credential").unwrap().starts_with("AKIDEXAMPLE%2F"));
        let signed = signature(&parts, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        assert_eq!(own("X-Amz-Signature"), Some(signed.as_str()));
    }
}

/// Sessions end, tokens do: whoever follows makes another before its own is over, and logs in with that one.
#[test]
fn whoever_follows_makes_another_token_in_time() {
    let relay = Relay::start(Login::Bearer);
    let hold = world(&relay, "held-msk-long", "sasl = \"msk-iam\"\nregion = \"eu-central-1\"");
    // Credentials of ten seconds: the token lives no longer than they do.
    hold.night.write(
        "credentials.sh",
        "#!/bin/sh\nexec printf '{\"Version\":1,\"AccessKeyId\":\"AKIDEXAMPLE\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\",\"Expiration\":\"%s\"}' \"$(date -u -d '+10 seconds' +%Y-%m-%dT%H:%M:%SZ)\"\n",
    );
    let script = hold.night.path("credentials.sh");
    hold.night.write(
        "aws",
        format!("[default]\ncredential_process = /bin/sh {}\n", script.display()),
    );
    let mut follower = hold
        .night
        .command(&["hold", "rescue", "--follow"])
        .env("AWS_CONFIG_FILE", hold.night.path("aws"))
        .env("AWS_SHARED_CREDENTIALS_FILE", hold.night.path("none"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    loop {
        let tokens: BTreeSet<String> = relay.logins.lock().unwrap().iter().cloned().collect();
        if tokens.len() >= 2 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{} tokens", tokens.len());
        assert!(follower.try_wait().unwrap().is_none(), "the rescue ended");
        std::thread::sleep(Duration::from_millis(500));
        relay.drop_all();
    }
    let long = begun.elapsed();
    // It goes on copying through the doors that were opened since.
    kafka().send_at("held-msk-long", 0, now(), ("SFH-2", Some("y")));
    let file = hold.night.path("held-msk-long.rescue");
    while crate::rescue::in_file(&file).len() < 2 {
        assert!(
            begun.elapsed() < long + Duration::from_mins(1),
            "nothing more is copied"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
}

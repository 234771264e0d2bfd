//! §7: the bearer token of `http` goes to the receiver, and is seen nowhere else: not even where the receiver repeats it.

use super::effects_sent::{Answer, Peer};
use crate::world::World;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

const CANARY: &str = "canary-5e1f09";

/// What says something about an order that was sent, or about the receiver.
const SURFACE: &[&[&str]] = &[
    &["show", "order:50"],
    &["show", "order:50", "--json"],
    &["prove"],
    &["prove", "--json"],
    &["cases", "--json"],
    &["audit", "list"],
    &["audit", "list", "--json"],
    &["report"],
    &["report", "--json"],
    &["report", "--format", "html"],
    &["doctor"],
    &["doctor", "--json"],
    &["print-config"],
    &["ready"],
    &["scan"],
];

/// Runs a command, as loud as it is; what it said, and whether the token stood where anybody may read it meanwhile.
fn said(world: &World, args: &[&str]) -> String {
    let mut command = world.night.command(args);
    command
        .args(["-v", "-v"])
        .env("INTAKE_TOKEN", CANARY)
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let listed = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
    let output = child.wait_with_output().unwrap();
    [listed, output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

/// Everything that lies in the folder, but for the token's own file.
fn left_behind(world: &World) -> Vec<String> {
    let mut seen = Vec::new();
    for entry in fs::read_dir(world.night.path(".")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let holds = |bytes: Vec<u8>| bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes());
        if entry.path().is_file() && name != "intake.token" && holds(fs::read(entry.path()).unwrap()) {
            seen.push(name);
        }
    }
    seen
}

#[test]
fn a_token_goes_to_the_receiver_and_is_seen_nowhere_else() {
    let echo = "{\"error\":\"Bearer canary-5e1f09 is not known here\"}";
    let places = [", token_env = \"INTAKE_TOKEN\"", ", token_file = \"intake.token\""];
    let answers = [
        (Answer::Says(201, "", echo), 0),
        (Answer::Says(401, "", echo), 4),
        (Answer::Says(500, "", echo), 6),
        (Answer::Resets, 6),
    ];
    for (place, (answer, code)) in places.iter().flat_map(|place| answers.map(|a| (place, a))) {
        let peer = Peer::new(&[answer]);
        let world = peer.world(place);
        world.night.write("intake.token", format!("{CANARY}\n"));
        fs::set_permissions(world.night.path("intake.token"), fs::Permissions::from_mode(0o600)).unwrap();
        let resubmit = ["resolve", "order:50", "resubmit", "--reason", "so", "--evidence", "no"];
        let with = |more: &[&'static str]| [&resubmit, more].concat();
        let mut all = said(&world, &with(&["--dry-run"]));
        all += &said(&world, &with(&["--confirm", "order:50"]));
        let (head, _) = peer.got().remove(0);
        assert!(head.contains(&format!("authorization: bearer {CANARY}")), "{head}");
        let state = world.case("order:50")["state"].as_str().unwrap().to_owned();
        let wanted = [(0, "applied"), (4, "open"), (6, "unconfirmed")];
        assert!(wanted.contains(&(code, &state)), "{code} {state}: {all}");
        for args in SURFACE {
            all += &said(&world, args);
        }
        assert!(!all.contains(CANARY), "{place}: {all}");
        assert_eq!(left_behind(&world), Vec::<String>::new(), "{place}");
        // And it would have been seen.
        world.run(&["note", "order:51", CANARY]).ended(0);
        assert!(said(&world, &["show", "order:51"]).contains(CANARY));
        assert!(!left_behind(&world).is_empty());
    }
}

/// While it waits for an answer it is listed among the processes, without its token.
#[test]
fn a_process_that_sends_shows_no_token_in_the_list_of_processes() {
    let peer = Peer::new(&[Answer::Silence]);
    let world = peer.world(", token_env = \"INTAKE_TOKEN\"");
    let mut sending = world
        .night
        .command(&[
            "resolve",
            "order:50",
            "resubmit",
            "--reason",
            "so",
            "--evidence",
            "no",
            "--confirm",
            "order:50",
        ])
        .env("INTAKE_TOKEN", CANARY)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while peer.got().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is sent");
        std::thread::yield_now();
    }
    for file in ["cmdline", "comm", "status"] {
        let text = fs::read(format!("/proc/{}/{file}", sending.id())).unwrap();
        assert!(
            !text.is_empty() && !String::from_utf8_lossy(&text).contains(CANARY),
            "{file}"
        );
    }
    assert_eq!(sending.wait().unwrap().code(), Some(6));
}

//! §5, promise 2: a decision whose asker died is settled by whoever starts restitch next, by its key; and it is said what
//! became of it.

use crate::world::{Place, World};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What is held back for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// The decision itself.
    Call,
    /// What it was answered.
    Answer,
}

#[derive(Default)]
struct Line {
    hold: Mutex<Option<Hold>>,
    held: AtomicBool,
}

/// A line to the ledger that can fall silent at a decision.
fn line(to: u16) -> (u16, Arc<Line>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let line: Arc<Line> = Arc::default();
    let shared = Arc::clone(&line);
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let mute = Arc::new(AtomicBool::new(false));
            for from_server in [false, true] {
                let (from, to) = if from_server {
                    (&server, &client)
                } else {
                    (&client, &server)
                };
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let (line, mute) = (Arc::clone(&shared), Arc::clone(&mute));
                thread::spawn(move || pump(&line, &mute, from, to, from_server));
            }
        }
    });
    (port, line)
}

fn pump(line: &Line, mute: &AtomicBool, mut from: TcpStream, mut to: TcpStream, from_server: bool) {
    const CALL: &[u8] = b"restitch.decide(";
    let mut buf = vec![0; 65_536];
    loop {
        let n = from.read(&mut buf).unwrap_or(0);
        if n == 0 {
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
        let decides = !from_server && buf[..n].windows(CALL.len()).any(|w| w == CALL);
        let hold = if decides {
            line.hold.lock().unwrap().take()
        } else {
            None
        };
        if hold.is_some() {
            mute.store(true, Ordering::SeqCst);
            line.held.store(true, Ordering::SeqCst);
        }
        // Of a call that is held back nothing more goes there; of an answer nothing comes back.
        let silent = mute.load(Ordering::SeqCst) && (from_server || hold == Some(Hold::Call));
        if !silent && to.write_all(&buf[..n]).is_err() {
            return;
        }
    }
}

fn wait(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_decision_whose_asker_was_killed_is_settled_and_told_at_the_next_start() {
    let world = World::with_ledger(
        Place::Server,
        "create table orders (id bigint primary key, status text);
         insert into orders select i, 'Open' from generate_series(1, 3) i",
        "[schema.order]\ntable = \"orders\"\nkey = \"id\"\nstate = \"status\"",
        &[
            ("order", "1", "upsert", r#"{"status":"Done"}"#),
            ("order", "2", "upsert", r#"{"status":"Done"}"#),
            ("order", "3", "upsert", r#"{"status":"Done"}"#),
        ],
    );
    let direct = world.ledger_as("chief", "lead");
    let (port, line) = line(World::ledger_port());
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    let (whole, cut) = (format!(":{}/", World::ledger_port()), format!(":{port}/"));
    assert_eq!(config.matches(&whole).count(), 1);
    world.night.write("restitch.toml", config.replace(&whole, &cut));
    world.scan();
    let decided = || world.ledger_sql("select count(*) from restitch.kept_decisions");
    let intents = || {
        std::fs::read_dir(world.night.path("state/restitch/decisions"))
            .unwrap()
            .count()
    };
    for (nth, (hold, overtaken, told)) in (1..).zip([
        (Hold::Call, false, "is decided"),
        (Hold::Answer, false, "is decided"),
        (Hold::Call, true, "was not decided: the case changed meanwhile"),
    ]) {
        let id = format!("order:{nth}");
        world.run(&["claim", &id]).ended(0);
        let before: u32 = decided().parse().unwrap();
        *line.hold.lock().unwrap() = Some(hold);
        line.held.store(false, Ordering::SeqCst);
        let mut asker = world
            .night
            .command(&["resolve", &id, "keep", "--reason", "so"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait("the decision is asked for", || line.held.load(Ordering::SeqCst));
        if hold == Hold::Answer {
            wait("the decision is written", || decided() == (before + 1).to_string());
        }
        asker.kill().unwrap();
        asker.wait().unwrap();
        assert_eq!(intents(), 1, "{hold:?}: it was written down before it was sent");
        if overtaken {
            for deed in [
                &["takeover", &id, "--reason", "they are gone"][..],
                &["resolve", &id, "keep", "--reason", "mine"],
            ] {
                let mut all = vec!["--ledger", &direct];
                all.extend(deed);
                world.run(&all).ended(0);
            }
        }
        let next = world.run(&["note", &id, "who is next"]).ended(0);
        let words = format!("keep {id}, asked for before the connection was lost, {told}");
        assert!(next.err.contains(&words), "{hold:?}: {}", next.err);
        assert_eq!(decided(), (before + 1).to_string(), "{hold:?}: once");
        assert_eq!(world.case(&id)["state"], "proven");
        assert_eq!(intents(), 0);
        assert_eq!(world.run(&["note", &id, "and then"]).ended(0).err, "", "said once");
    }
    world.run(&["audit", "verify"]).ended(0);
}

//! §5, promise 2: the line to where `sql` writes is cut at every message, in both directions; a decision takes effect once or
//! not at all, and who asks again is told which.

use super::{MARKER, SETTLED, UNCUT, begin, done_by};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Where to cut: after so many messages, to the server or from it; the connections after that are whole. Messages, not
/// bytes: a session is named after its process, whose number may have fewer digits than that of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    from_server: bool,
    after: usize,
}

#[derive(Default)]
struct Line {
    cut: Option<Cut>,
    landed: usize,
    /// How many messages the last connection had that has ended, to the server and from it.
    messages: [Option<usize>; 2],
}

/// A line to the server that can be cut.
fn line(to: u16) -> (u16, Arc<Mutex<Line>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let line: Arc<Mutex<Line>> = Arc::default();
    let shared = Arc::clone(&line);
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let cut = {
                let mut line = shared.lock().unwrap();
                line.messages = [None; 2];
                line.cut.take()
            };
            for from_server in [false, true] {
                let (from, to) = if from_server {
                    (&server, &client)
                } else {
                    (&client, &server)
                };
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let (shared, cut) = (Arc::clone(&shared), cut.filter(|c| c.from_server == from_server));
                thread::spawn(move || pump(&shared, from, to, from_server, cut));
            }
        }
    });
    (port, line)
}

fn pump(line: &Mutex<Line>, mut from: TcpStream, mut to: TcpStream, from_server: bool, cut: Option<Cut>) {
    let (mut all, mut buf) = (Vec::new(), vec![0; 65_536]);
    loop {
        let n = from.read(&mut buf).unwrap_or(0);
        let before = all.len();
        all.extend_from_slice(&buf[..n]);
        // The first message to the server has no letter.
        let ends = ends(&all, usize::from(from_server));
        let cut_at = cut.and_then(|c| ends.get(c.after - 1).copied());
        let left = cut_at.map_or(n, |at| at - before);
        let passed = to.write_all(&buf[..left]).is_ok();
        if n == 0 || !passed || cut_at.is_some() {
            let mut line = line.lock().unwrap();
            line.landed += usize::from(cut_at.is_some());
            line.messages[usize::from(from_server)] = Some(ends.len());
            // Both ways at once, as when a machine dies.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// Looks until it is there: the line's threads end after the process that they served.
fn await_line<T>(line: &Mutex<Line>, read: impl Fn(&Line) -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(read) = read(&line.lock().unwrap()) {
            return read;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the line does not end");
        thread::yield_now();
    }
}

/// Where each whole message ends: a letter, then its length without the letter.
fn ends(bytes: &[u8], first_letter: usize) -> Vec<usize> {
    let (mut at, mut letter, mut ends) = (0, first_letter, Vec::new());
    while let Some(length) = bytes.get(at + letter..at + letter + 4) {
        at += letter + u32::from_be_bytes(length.try_into().unwrap()) as usize;
        letter = 1;
        if at > bytes.len() {
            break;
        }
        ends.push(at);
    }
    ends
}

#[test]
fn a_line_cut_at_any_message_leaves_a_decision_done_once_or_not_at_all() {
    const FIRST: i64 = 1_001;
    const LAST: i64 = 1_300;
    let events: Vec<(String, &str)> = (FIRST..=LAST)
        .map(|i| (i.to_string(), r#"{"status":"Done"}"#))
        .collect();
    let events: Vec<_> = events
        .iter()
        .map(|(key, state)| ("order", key.as_str(), "upsert", *state))
        .collect();
    let world = begin(
        &format!(
            "create table orders (id bigint primary key, status text);
             insert into orders select i, 'Open' from generate_series({FIRST}, {LAST}) i; {MARKER}"
        ),
        "[schema.order]\ntable = \"orders\"\nkey = \"id\"\nstate = \"status\"\n[effects]\nsslmode = \"disable\"\nurl = \"URL\"\nreapply = { do = \"sql\" }",
        &events,
    );
    let (port, line) = line(world.port());
    let url = format!("postgres://demo@127.0.0.1:{port}/{}", world.db.as_ref().unwrap());
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    world
        .night
        .write("restitch.toml", config.replace("\"URL\"", &format!("\"{url}\"")));
    world.scan();
    let mut next = FIRST - 1;
    let mut decide = |cut: Option<Cut>| {
        next += 1;
        assert!(next <= LAST);
        line.lock().unwrap().cut = cut;
        let id = format!("order:{next}");
        world.run(&["claim", &id]).ended(0);
        let ran = world.run(&["resolve", &id, "reapply", "--reason", "so", "--json"]);
        assert_eq!(line.lock().unwrap().cut, None, "no line was opened");
        let told = ran.json();
        let key = told["key"].as_str().unwrap().to_owned();
        let state = || world.case(&id)["state"].as_str().unwrap().to_owned();
        if ran.code == 6 {
            assert_eq!(state(), "unconfirmed");
            world.run(&["prove", &id]);
        }
        let written = world.sql(&format!("select status from orders where id = {next}"));
        let marked = done_by(&world, &key);
        let told_of_it = (state(), written.as_str().to_owned(), marked.as_str().to_owned());
        let done = ("proven".to_owned(), "Done".to_owned(), "1".to_owned());
        let not = ("open".to_owned(), "Open".to_owned(), "0".to_owned());
        assert!(
            told_of_it == done && matches!(ran.code, 0 | 6) || told_of_it == not && ran.code == 1,
            "{cut:?}: {told_of_it:?} {}",
            ran.err
        );
        let settled = told["effect"]["outcome"].as_str().unwrap_or_default().contains(SETTLED);
        (told_of_it == done, settled)
    };
    assert_eq!(decide(None), (true, UNCUT));
    let messages = await_line(&line, |l| Some([l.messages[0]?, l.messages[1]?]));
    let (mut cuts, mut done, mut not_done, mut settled) = (0, 0, 0, 0);
    for (from_server, messages) in [(false, messages[0]), (true, messages[1])] {
        // The connection ends with the client's last message: nothing is lost after it.
        for after in 1..=messages {
            cuts += 1;
            let (was_done, by_key) = decide(Some(Cut { from_server, after }));
            await_line(&line, |l| (l.landed == cuts).then_some(()));
            done += usize::from(was_done);
            not_done += usize::from(!was_done);
            settled += usize::from(by_key);
        }
    }
    assert!(cuts > 40 && not_done > 20, "{cuts} cuts, {not_done} not done");
    assert!(
        done > 0 && settled > 0,
        "{done} done, {settled} of them told by their key"
    );
}

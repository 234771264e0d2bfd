//! A line to a PostgreSQL server that can be cut at any message, to the byte.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, Weak};
use std::thread;

/// How much of the message at which the line is cut still passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So many bytes; a message that has no more is not cut.
    Bytes(usize),
    AllButLast,
    Whole,
}

/// Where to cut: at the message with this number, from 0, that passes in this direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub from_server: bool,
    pub message: usize,
    pub keep: Keep,
}

/// The client's end and the server's.
type Ends = [TcpStream; 2];

#[derive(Default)]
struct State {
    cut: Option<Cut>,
    /// Messages since the line was armed, to the server and from it.
    passed: [usize; 2],
    landed: bool,
    open: Vec<Weak<Ends>>,
}

/// The line: what connects to its port is connected to the server. After a cut new connections are whole.
pub struct Wire {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Wire {
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", server)));
                // A server that is away refuses: so does the line.
                let Ok(server) = server else { continue };
                connect(&shared, [client, server]);
            }
        });
        Self { port, state }
    }

    /// Counts from here, and cuts there.
    pub fn arm(&self, cut: Cut) {
        let mut state = self.state.lock().unwrap();
        state.cut = Some(cut);
        state.passed = [0, 0];
        state.landed = false;
    }

    /// Cuts no more; whether it was cut.
    pub fn disarm(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        state.cut = None;
        state.landed
    }

    /// Cuts whatever is connected.
    pub fn cut_now(&self) {
        for ends in self.state.lock().unwrap().open.drain(..) {
            ends.upgrade().iter().for_each(|ends| close(ends));
        }
    }
}

/// Both ends at once, as when a machine dies.
fn close(ends: &Ends) {
    for end in ends {
        let _ = end.shutdown(Shutdown::Both);
    }
}

fn connect(state: &Arc<Mutex<State>>, ends: Ends) {
    for end in &ends {
        end.set_nodelay(true).unwrap();
    }
    let ends = Arc::new(ends);
    {
        let mut state = state.lock().unwrap();
        state.open.retain(|ends| ends.strong_count() > 0);
        state.open.push(Arc::downgrade(&ends));
    }
    for from_server in [false, true] {
        let (state, ends) = (Arc::clone(state), Arc::clone(&ends));
        thread::spawn(move || {
            pump(&state, &ends, from_server);
            close(&ends);
        });
    }
}

/// Hands message by message over, until an end or the cut.
fn pump(state: &Mutex<State>, ends: &Ends, from_server: bool) {
    let (mut from, mut to) = (&ends[usize::from(from_server)], &ends[usize::from(!from_server)]);
    let (mut held, mut buf) = (Vec::new(), vec![0; 65_536]);
    // The first message to the server has no letter.
    let mut letter = usize::from(from_server);
    loop {
        let n = from.read(&mut buf).unwrap_or(0);
        if n == 0 {
            return;
        }
        held.extend_from_slice(&buf[..n]);
        while let Some(length) = message(&held, letter) {
            letter = 1;
            let cut = state.lock().unwrap().cut(from_server, length);
            if to.write_all(&held[..cut.unwrap_or(length)]).is_err() || cut.is_some() {
                return;
            }
            held.drain(..length);
        }
    }
}

impl State {
    /// Counts a message; how much of it passes where it is the one to cut at.
    fn cut(&mut self, from_server: bool, length: usize) -> Option<usize> {
        let passed = &mut self.passed[usize::from(from_server)];
        let cut = self
            .cut
            .filter(|c| (c.from_server, c.message) == (from_server, *passed));
        *passed += 1;
        let keep = match cut?.keep {
            Keep::Bytes(n) if n >= length => return None,
            Keep::Bytes(n) => n,
            Keep::AllButLast => length - 1,
            Keep::Whole => length,
        };
        self.cut = None;
        self.landed = true;
        Some(keep)
    }
}

/// The length of the first message, where all of it is there: a letter, then its length without the letter.
fn message(bytes: &[u8], letter: usize) -> Option<usize> {
    let length = bytes.get(letter..letter + 4)?;
    let all = letter + u32::from_be_bytes(length.try_into().unwrap()) as usize;
    (bytes.len() >= all).then_some(all)
}

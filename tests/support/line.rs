//! A line to a server that goes silent, breaks, and leads elsewhere when the tests say so.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What the line does with what goes over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It carries it.
    Open,
    /// It takes connections and bytes, and nothing ever comes out: a black hole.
    Silent,
    /// It is cut, and whoever comes is sent away.
    Cut,
}

struct State {
    mode: Mode,
    to: u16,
    /// Both ends of every connection.
    ends: Vec<TcpStream>,
    /// Connections that were taken, and bytes that were swallowed.
    taken: usize,
    swallowed: usize,
}

/// The line.
#[derive(Clone)]
pub struct Line {
    pub port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Line {
    /// A line to a port of this machine.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::new((
                Mutex::new(State {
                    mode: Mode::Open,
                    to: port,
                    ends: Vec::new(),
                    taken: 0,
                    swallowed: 0,
                }),
                Condvar::new(),
            )),
        };
        let shared = line.clone();
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming() {
                shared.take(&client.unwrap());
            }
        });
        line
    }

    fn take(&self, client: &TcpStream) {
        let mut state = self.state.0.lock().unwrap();
        state.taken += 1;
        if state.mode == Mode::Cut {
            return;
        }
        // Where nobody listens any more, the client is sent away as well.
        let Ok(server) = TcpStream::connect(("127.0.0.1", state.to)) else {
            return;
        };
        for end in [client, &server] {
            end.set_nodelay(true).unwrap();
            state.ends.push(end.try_clone().unwrap());
        }
        for (from, to) in [(client, &server), (&server, client)] {
            let (line, from, to) = (self.clone(), from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || line.pump(from, to));
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 65_536];
        // What went into a silent line never comes out, not even later.
        let mut lost = false;
        loop {
            let n = from.read(&mut buffer).unwrap_or(0);
            if n > 0 {
                let mut state = self.state.0.lock().unwrap();
                lost |= state.mode == Mode::Silent;
                if lost {
                    state.swallowed += n;
                    self.state.1.notify_all();
                    continue;
                }
            }
            if n == 0 || to.write_all(&buffer[..n]).is_err() {
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        let mut state = self.state.0.lock().unwrap();
        state.mode = mode;
        if mode == Mode::Cut {
            for end in state.ends.drain(..) {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }

    /// Leads elsewhere from now on.
    pub fn lead_to(&self, port: u16) {
        self.state.0.lock().unwrap().to = port;
    }

    /// Waits until so many bytes were swallowed: the silence landed.
    pub fn waits_for_swallowed(&self, bytes: usize) {
        let state = self.state.0.lock().unwrap();
        let patience = std::time::Duration::from_secs(30);
        let waited = self
            .state
            .1
            .wait_timeout_while(state, patience, |s| s.swallowed < bytes);
        assert!(!waited.unwrap().1.timed_out(), "nothing went into the silent line");
    }

    /// Connections that were taken so far.
    pub fn taken(&self) -> usize {
        self.state.0.lock().unwrap().taken
    }
}

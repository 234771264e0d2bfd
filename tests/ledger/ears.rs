//! Who listens hears of others' deeds, and of the server going away and coming back, whatever happens in between.

use crate::contract::{Kind, MINUTE, claim, order, store};
use crate::room::{Room, server};
use crate::support::line::{Line, Mode};
use crate::support::{Pg, bin, command, free_port, home};
use restitch::config::{Config, DbUrl};
use restitch::domain::ErrorKind;
use restitch::ledger::{Ears, Ledger, Who};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Ana's ledger, reached by this port.
fn at(config: &Config, port: u16) -> Ledger {
    let mut config = config.clone();
    if let DbUrl::Postgres { port: of, .. } = &mut config.ledger.database.url {
        *of = port;
    }
    let who = Who {
        user: "ana".to_owned(),
        system_user: "ana".to_owned(),
        ssh: None,
    };
    Ledger::open_as(&config, false, who).unwrap()
}

/// Hears until the server is there; how long it took.
fn back(ears: &mut Ears) -> Duration {
    let since = Instant::now();
    while let Err(error) = ears.hear() {
        assert_eq!(error.kind, ErrorKind::Lost, "{error}");
        assert!(since.elapsed() < Duration::from_mins(1), "not back: {error}");
    }
    since.elapsed()
}

/// Hears until the server is gone; how long it took, and why.
fn gone(ears: &mut Ears) -> (Duration, String) {
    let since = Instant::now();
    loop {
        match ears.hear() {
            Ok(()) => assert!(since.elapsed() < Duration::from_mins(1), "never noticed"),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Lost, "{error}");
                return (since.elapsed(), error.what);
            }
        }
    }
}

#[test]
fn a_deed_is_heard_at_once_and_looking_on_is_no_news() {
    let room = Room::on_time();
    let (mut ana, mut li) = (room.open("ana"), room.open("li"));
    store(&mut li, vec![order("1", &[Kind::Lost])]);
    let mut ears = ana.ears();
    ears.hear().unwrap();
    // What is said when it connects.
    let heard_within = |ears: &mut Ears| {
        let since = Instant::now();
        ears.hear().unwrap();
        since.elapsed()
    };
    for round in 0..10 {
        let before = ana.revision().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                if round % 2 == 0 {
                    claim(&mut li, &["order:1"]);
                } else {
                    li.drop_claims(&["order:1".to_owned()]).unwrap();
                }
            });
            let since = Instant::now();
            while ana.revision().unwrap() == before {
                assert!(heard_within(&mut ears) < Duration::from_secs(2), "nothing was heard");
            }
            assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
        });
    }
    // Presence: once it is news, then it is not.
    li.look("li's console", Some("order:1")).unwrap();
    let since = Instant::now();
    while ana.lookers().unwrap().is_empty() {
        assert!(heard_within(&mut ears) < Duration::from_secs(2));
    }
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(ana.lookers().unwrap()["order:1"], ["li"]);
    assert!(li.lookers().unwrap().is_empty(), "who looks is no news to themselves");
    // Until nothing more is heard.
    let quiet_by = Instant::now() + Duration::from_secs(30);
    while heard_within(&mut ears) < Duration::from_secs(2) {
        assert!(Instant::now() < quiet_by);
    }
    li.look("li's console", Some("order:1")).unwrap();
    assert!(heard_within(&mut ears) >= Duration::from_secs(2), "looking on was told");
    li.look("li's console", None).unwrap();
    while !ana.lookers().unwrap().is_empty() {
        assert!(heard_within(&mut ears) < Duration::from_secs(2));
    }
    ana.look("ana's", Some("order:1")).unwrap();
    assert_eq!(ana.verify().unwrap(), 11, "the trail says nothing of looking");
}

/// T9: the backend that listens is killed at 50 random moments with a writer on: what is written is seen within 6 s.
#[test]
fn what_is_written_is_seen_though_the_listener_is_killed_again_and_again() {
    const KILLS: u32 = 50;
    let room = Room::on_time();
    let (ana, mut li) = (room.open("ana"), room.open("li"));
    store(&mut li, vec![order("1", &[Kind::Lost])]);
    let mut ears = ana.ears();
    ears.hear().unwrap();
    let (over, written, seen) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    let killed = thread::scope(|scope| {
        let (over, written, seen, done) = (&over, &written, &seen, &done);
        scope.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let n = written.load(Ordering::SeqCst) + 1;
                li.note("order:1", &n.to_string()).unwrap();
                written.store(n, Ordering::SeqCst);
                // What was just written, and all before it, is in the view in time.
                let since = Instant::now();
                while seen.load(Ordering::SeqCst) < n {
                    assert!(since.elapsed() < Duration::from_secs(6), "note {n} is not seen");
                    thread::yield_now();
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(move || {
            while !done.load(Ordering::SeqCst) {
                ears.hear().unwrap();
                let notes = ana.case("order:1").unwrap().unwrap().notes.len();
                seen.store(u64::try_from(notes).unwrap(), Ordering::SeqCst);
            }
        });
        let mut killed = 0;
        let mut random = u64::from(std::process::id());
        while killed < KILLS {
            // Any moment is as good as another: after nothing, or some milliseconds later.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            thread::sleep(Duration::from_millis(random >> 33 & 63));
            let landed = room.sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE usename = 'ana' AND datname = current_database() AND query = 'LISTEN restitch'",
            );
            killed += landed.parse::<u32>().unwrap();
        }
        over.store(true, Ordering::SeqCst);
        killed
    });
    assert!(killed >= KILLS);
    assert!(written.into_inner() > 10, "hardly anything was written meanwhile");
}

/// T7: the line goes silent, not closed, while nothing is asked, while something is read, while something is written, and
/// while a connection is made. It is noticed, nobody waits for ever, nothing is done twice, and it comes back by itself.
#[test]
fn a_silent_line_is_noticed_and_comes_back() {
    type Act = fn(&mut Ledger) -> Option<ErrorKind>;
    let phases: [(&str, Act); 4] = [
        ("idle", |_| None),
        ("reading", |ledger| Some(ledger.counts().unwrap_err().kind)),
        ("writing", |ledger| ledger.note("order:1", "once").err().map(|e| e.kind)),
        ("connecting", |ledger| {
            // The kept connections are in use by others: a new one is made.
            Some(ledger.another().unwrap().revision().unwrap_err().kind)
        }),
    ];
    let room = Room::on_time();
    store(&mut room.open("sam"), vec![order("1", &[Kind::Lost])]);
    let config = room.config_of("ana");
    thread::scope(|scope| {
        for (phase, act) in phases {
            let config = &config;
            scope.spawn(move || {
                let line = Line::to(server().port);
                let mut ledger = at(config, line.port);
                let mut ears = ledger.ears();
                ears.hear().unwrap();
                line.set(Mode::Silent);
                let acting = thread::spawn(move || (act(&mut ledger), ledger));
                let (noticed, why) = gone(&mut ears);
                assert!(noticed <= Duration::from_secs(12), "{phase}: {noticed:?}");
                assert!(why.contains("said nothing"), "{phase}: {why}");
                line.waits_for_swallowed(1);
                // Still silent: the next attempt fails as well, and says so.
                assert!(gone(&mut ears).0 <= Duration::from_secs(12), "{phase}");
                line.set(Mode::Open);
                let returned = back(&mut ears);
                assert!(returned <= Duration::from_secs(12), "{phase}: {returned:?}");
                let (came, ledger) = acting.join().unwrap();
                match phase {
                    "reading" | "connecting" => assert_eq!(came, Some(ErrorKind::Lost), "{phase}"),
                    // Asked for again under the same key when the server was back.
                    _ => assert_eq!(came, None, "{phase}"),
                }
                assert_eq!(ledger.counts().unwrap().total(), 1, "{phase}");
            });
        }
    });
    assert_eq!(room.open("ana").case("order:1").unwrap().unwrap().notes.len(), 1);
}

/// T8: the server goes away and answers elsewhere, 20 times, with a writer on. Nothing is lost, and it is found at once.
#[test]
fn a_server_that_moves_is_found_and_nothing_is_lost() {
    const FLIPS: u16 = 20;
    let room = Room::on_time();
    store(&mut room.open("sam"), vec![order("1", &[Kind::Lost])]);
    // The name stays, what it leads to changes; the second address is a line of its own.
    let (name, other) = (Line::to(server().port), Line::to(server().port));
    let ledger = at(&room.config_of("ana"), name.port);
    let mut ears = ledger.ears();
    ears.hear().unwrap();
    let mut writer = ledger.another().unwrap();
    let (over, lost) = (AtomicBool::new(false), AtomicU64::new(0));
    let written = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut written = 0;
            while !over.load(Ordering::SeqCst) {
                match writer.note("order:1", "hm") {
                    Ok(()) => written += 1,
                    // Not sent at all.
                    Err(error) => assert_eq!(error.kind, ErrorKind::Lost, "{error}"),
                }
            }
            written
        });
        for flip in 0..FLIPS {
            name.set(Mode::Cut);
            lost.fetch_add(u64::from(!gone(&mut ears).1.is_empty()), Ordering::SeqCst);
            name.lead_to(if flip % 2 == 0 { other.port } else { server().port });
            name.set(Mode::Open);
            let returned = back(&mut ears);
            assert!(returned <= Duration::from_secs(10), "flip {flip}: {returned:?}");
        }
        over.store(true, Ordering::SeqCst);
        writing.join().unwrap()
    });
    assert_eq!(lost.into_inner(), u64::from(FLIPS));
    assert!(other.taken() > 0 && written > 0);
    let notes = ledger.case("order:1").unwrap().unwrap().notes.len();
    assert_eq!(notes, written, "each note once");
    ledger.verify().unwrap();
}

/// A standby of this server, following it; where it lies.
fn standby(of: &Pg) -> (std::path::PathBuf, u16) {
    let (home, port) = (home(), free_port());
    let data = home.join("data");
    let run = |program: &str, args: &[&str]| {
        let out = command(&bin().join(program)).args(args).output().unwrap();
        assert!(
            out.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    };
    let data = data.to_str().unwrap();
    let from = of.port.to_string();
    run(
        "pg_basebackup",
        &[
            "-h",
            "127.0.0.1",
            "-p",
            &from,
            "-U",
            "demo",
            "-D",
            data,
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
        ],
    );
    let options = format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=on");
    let log = home.join("log");
    run(
        "pg_ctl",
        &[
            "-D",
            data,
            "-w",
            "-t",
            "60",
            "-o",
            &options,
            "-l",
            log.to_str().unwrap(),
            "start",
        ],
    );
    (home, port)
}

fn pg_ctl(home: &Path, args: &[&str]) {
    let data = home.join("data");
    let out = command(&bin().join("pg_ctl"))
        .arg("-D")
        .arg(data)
        .args(args)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_standby_and_another_timeline_are_refused() {
    let pg = Pg::start(&["fsync=on"]);
    let config = Room::in_database(&pg, &pg.create_db());
    restitch::ledger::create(&config, false).unwrap();
    let (home, port) = standby(&pg);
    let line = Line::to(pg.port);
    let mut ledger = at(&config, line.port);
    store(&mut ledger, vec![order("1", &[Kind::Lost])]);
    let mut ears = ledger.ears();
    ears.hear().unwrap();
    // The name leads to the standby.
    line.lead_to(port);
    line.set(Mode::Cut);
    line.set(Mode::Open);
    let (_, why) = gone(&mut ears);
    assert!(why.contains("is a standby"), "{why}");
    let error = ledger.counts().unwrap_err();
    assert!(
        error.kind == ErrorKind::Lost && error.what.contains("is a standby"),
        "{error}"
    );
    // It takes over: what it did not have yet is gone, and nobody goes on as if nothing had happened.
    pg_ctl(&home, &["-w", "-t", "60", "promote"]);
    let mut told = String::new();
    while !told.contains("timeline") {
        told = gone(&mut ears).1;
    }
    assert!(told.contains("00000002") && told.contains("00000001"), "{told}");
    assert_eq!(
        ledger.claim(&["order:1".to_owned()], MINUTE).unwrap_err().kind,
        ErrorKind::Lost
    );
    // Who starts anew takes it as it is.
    let mut anew = at(&config, line.port);
    anew.ears().hear().unwrap();
    claim(&mut anew, &["order:1"]);
    pg_ctl(&home, &["-m", "immediate", "stop"]);
    std::fs::remove_dir_all(home).unwrap();
    pg.stop();
}

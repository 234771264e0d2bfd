//! Three consoles on one ledger: killed, stopped, cut off, and working one queue to zero all the same.

use crate::hands::{NOTHING, decide, is_settled, notice, sums};
use crate::room::{Room, server};
use crate::support::line::{Line, Mode};
use crate::terminal::{RESTITCH, Terminal, command};
use restitch::ledger::Ledger;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A ledger, a restored database, and a folder for each person with a configuration of their own.
struct War {
    room: Room,
    restored: String,
    folder: TempDir,
}

impl War {
    /// So many orders that the restore put back.
    fn new(orders: usize) -> Self {
        let room = Room::on_time();
        let restored = server().create_db();
        server().psql(
            &restored,
            &format!(
                "CREATE TABLE orders (id bigint PRIMARY KEY, sf text, status text);
                 INSERT INTO orders SELECT i, 'SFO-' || i, 'Open' FROM generate_series(101, {}) i;
                 CREATE TABLE restitch_decisions (key text PRIMARY KEY, at timestamptz NOT NULL, by text NOT NULL, digest text NOT NULL)",
                100 + orders
            ),
        );
        let folder = tempfile::tempdir().unwrap();
        let mut log = String::new();
        for n in 1..=orders {
            writeln!(
                log,
                r#"{{"pos":{n},"ts":"2026-11-22T14:{:02}:{:02}Z","entity":"order","key":"{}","op":"upsert","state":{{"status":"Done"}}}}"#,
                6 + n / 60,
                n % 60,
                100 + n
            )
            .unwrap();
        }
        std::fs::write(folder.path().join("log.ndjson"), log).unwrap();
        let war = Self { room, restored, folder };
        let scanned = war.run("sam", &["scan"]);
        assert_eq!(scanned.status.code(), Some(3), "{scanned:?}");
        war
    }

    /// The folder of a person whose console reaches the ledger by this port.
    fn home(&self, person: &str, port: u16) -> PathBuf {
        let home = self.folder.path().join(format!("{person}-{port}"));
        if home.exists() {
            return home;
        }
        std::fs::create_dir(&home).unwrap();
        let restored = server().url(&self.restored);
        let config = format!(
            "[incident]\nid = \"2026-11-22-prod\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n\
             [ledger]\nurl = \"postgres://{person}@127.0.0.1:{port}/{db}\"\nsslmode = \"disable\"\n\
             [restored]\nurl = \"{restored}\"\nsslmode = \"disable\"\n\
             [effects]\nurl = \"{restored}\"\nsslmode = \"disable\"\nreapply = {{ do = \"sql\" }}\n\
             [[log]]\nname = \"cdc\"\npath = \"../log.ndjson\"\nformat = \"native\"\n\
             [schema.order]\ntable = \"orders\"\nkey = \"id\"\nlabel = \"sf\"\nstate = \"status\"\n",
            db = self.room.db
        );
        std::fs::write(home.join("restitch.toml"), config).unwrap();
        home
    }

    fn run(&self, person: &str, args: &[&str]) -> Output {
        let home = self.home(person, server().port);
        std::process::Command::new(RESTITCH)
            .args(args)
            .current_dir(&home)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &home)
            .output()
            .unwrap()
    }

    fn console(&self, person: &str, size: (u16, u16)) -> Terminal {
        self.console_at(person, server().port, size)
    }

    /// A console that shows its queue.
    fn console_at(&self, person: &str, port: u16, size: (u16, u16)) -> Terminal {
        let home = self.home(person, port);
        let terminal = Terminal::start(command(RESTITCH, &[], &home), size);
        terminal.wait("the queue", |s| {
            let text = s.contents();
            text.contains(" of ") && sums(&text).is_some() && text.contains(&format!("{person}, "))
        });
        terminal
    }

    fn ledger(&self, person: &str) -> Ledger {
        self.room.open(person)
    }

    fn cases(&self) -> Vec<Json> {
        let listed = self.run("sam", &["cases", "--json"]);
        let text = String::from_utf8(listed.stdout).unwrap();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

fn signal(terminal: &Terminal, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(terminal.pid()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The line of the list with this label.
fn line(text: &str, label: &str) -> String {
    let line = text.lines().find(|l| l.contains(&format!("{label} ")));
    line.unwrap_or_else(|| panic!("no {label}:\n{text}")).to_owned()
}

/// Leaves the case, where one is open, for the list.
fn to_the_list(terminal: &mut Terminal) {
    terminal.keys("<esc>");
    // What the hints of the list have room for, depends on the case.
    terminal.wait("the list", |s| {
        ["enter open", "/ filter"]
            .iter()
            .any(|hint| s.contents().contains(hint))
    });
}

/// Opens the next case; its label.
fn next(terminal: &mut Terminal) -> String {
    terminal.keys("J");
    let text = terminal.wait("the next case", |s| notice(&s.contents()).contains(" is yours"));
    let words = notice(&text).trim_start_matches('✓').trim().to_owned();
    words.split_whitespace().next().unwrap().to_owned()
}

/// Opens the decision screen of a verb with its reason, all but the `y`.
fn all_but_yes(terminal: &mut Terminal, verb: &str) {
    terminal.keys("a");
    terminal.in_dialog("what shall happen?", verb);
    terminal.in_dialog("esc leave it alone", "1");
    terminal.shows("y ");
}

/// Works until nothing undecided is left that nobody holds; how many this person decided.
fn work(terminal: &mut Terminal, first_turn: usize) -> usize {
    let mut decided = 0;
    loop {
        terminal.keys("J");
        let text = terminal.wait("a case, or none", |s| {
            let text = s.contents();
            [" is yours", NOTHING].iter().any(|said| notice(&text).contains(said))
        });
        if !notice(&text).contains(" is yours") {
            to_the_list(terminal);
            return decided;
        }
        decide(terminal, &['k', 'r'], first_turn + decided);
        decided += 1;
    }
}

#[test]
fn two_killed_and_one_stopped_the_queue_is_worked_to_zero() {
    const ORDERS: usize = 15;
    let war = War::new(ORDERS);
    let mut ana = war.console("ana", (80, 24));
    let mut li = war.console("li", (160, 48));
    let mut sam = war.console("sam", (80, 24));
    // The role is the server's.
    assert!(
        ana.text().contains("ana, operator") && sam.text().contains("sam, lead"),
        "{}",
        sam.text()
    );
    let (of_ana, of_li, of_sam) = (next(&mut ana), next(&mut li), next(&mut sam));
    assert!(
        of_ana != of_li && of_li != of_sam && of_sam != of_ana,
        "{of_ana} {of_li} {of_sam}"
    );

    // Ana is stopped with her finger over `y`; sam takes her case over and decides it.
    all_but_yes(&mut ana, "r");
    signal(&ana, Signal::STOP);
    to_the_list(&mut sam);
    sam.keys("/");
    sam.shows("verb:park");
    sam.keys("by:ana<enter>");
    sam.shows("1 of 1");
    sam.keys("<enter>");
    sam.shows("ana holds it");
    sam.keys("T");
    sam.in_dialog("take it over", "1y");
    sam.wait("the case", |s| {
        notice(&s.contents()).contains(&format!("{of_ana} is yours"))
    });
    sam.hides("ana holds it");
    assert_eq!(decide(&mut sam, &['k'], 0), 'k');
    signal(&ana, Signal::CONT);
    ana.keys("y");
    ana.shows("it is proven already");
    ana.keys("<esc>");
    ana.hides("it is proven already");

    // Li is killed right after `y`, sam with a form open.
    all_but_yes(&mut li, "r");
    li.keys("y");
    signal(&li, Signal::KILL);
    assert_eq!(li.ends(), Err("Killed".to_owned()));
    to_the_list(&mut sam);
    sam.keys("<esc>");
    sam.hides("by:ana");
    let again = next(&mut sam);
    all_but_yes(&mut sam, "k");
    signal(&sam, Signal::KILL);
    assert_eq!(sam.ends(), Err("Killed".to_owned()));
    let mut li = war.console("li", (160, 48));
    let mut sam = war.console("sam", (80, 24));
    // Whose console died, still holds what it held.
    assert!(line(&sam.text(), &again).contains("you"), "{}", sam.text());

    let decided: usize = thread::scope(|scope| {
        let people = [&mut ana, &mut li, &mut sam];
        let working: Vec<_> = (0..)
            .zip(people)
            .map(|(n, t)| scope.spawn(move || work(t, n)))
            .collect();
        working.into_iter().map(|w| w.join().unwrap()).sum()
    });
    // What was claimed by a console that died is still held: sam sees to it.
    let mut left = 0;
    for case in war.cases().iter().filter(|c| c["state"] == "open") {
        let id = case["case"].as_str().unwrap();
        if !war.run("sam", &["claim", id]).status.success() {
            let taken = war.run("sam", &["takeover", id, "--reason", "their console died"]);
            assert!(taken.status.success(), "{taken:?}");
        }
        let done = war.run("sam", &["resolve", id, "keep", "--reason", "no harm"]);
        assert!(done.status.success(), "{done:?}");
        left += 1;
    }
    assert!(left >= 1, "sam died with a form open");
    let decided = decided + left;
    // One was decided by sam before; li's last may have been.
    assert!((ORDERS - 2..ORDERS).contains(&decided), "{decided}");
    for terminal in [&ana, &li, &sam] {
        terminal.wait("every case proven", |s| is_settled(&s.contents()));
    }
    let cases = war.cases();
    assert_eq!(cases.len(), ORDERS);
    assert!(cases.iter().all(|c| c["state"] == "proven"), "{cases:?}");
    // Each was decided once, and each reapply wrote once.
    let counts = war.room.sql(
        "SELECT (SELECT count(*) FROM restitch.kept_decided), (SELECT count(DISTINCT no) FROM restitch.kept_decided),
                (SELECT count(*) FROM restitch.kept_decisions WHERE verb = 'reapply')",
    );
    let reapplied = counts.rsplit('|').next().unwrap();
    assert_eq!(counts, format!("{ORDERS}|{ORDERS}|{reapplied}"));
    let written =
        "SELECT (SELECT count(*) FROM restitch_decisions), (SELECT count(*) FROM orders WHERE status = 'Done')";
    assert_eq!(
        server().psql(&war.restored, written),
        format!("{reapplied}|{reapplied}")
    );
    assert_ne!(reapplied, "0");

    assert_eq!(war.run("sam", &["audit", "verify"]).status.code(), Some(0));
    war.room
        .sql("UPDATE restitch.kept_audit SET why = 'nothing to see here' WHERE seq = 5");
    assert_eq!(war.run("sam", &["audit", "verify"]).status.code(), Some(5));
}

#[test]
fn what_others_do_is_on_the_screen_within_two_seconds() {
    const SOON: Duration = Duration::from_secs(2);
    let war = War::new(5);
    let ana = war.console("ana", (80, 24));
    let mut li = war.ledger("li");
    let one = ["order:102".to_owned()];
    let within = |what: &str, wanted: &dyn Fn(&str) -> bool| {
        let since = Instant::now();
        ana.wait(what, |s| wanted(&s.contents()));
        assert!(since.elapsed() <= SOON, "{what} after {:?}", since.elapsed());
    };
    for _ in 0..5 {
        li.claim(&one, Duration::from_mins(1)).unwrap();
        within("the claim", &|text| line(text, "SFO-102").contains(" li "));
        li.drop_claims(&one).unwrap();
        within("its end", &|text| !line(text, "SFO-102").contains(" li "));
    }
    // Open at li's, and held by nobody.
    li.look("li's", Some("order:103")).unwrap();
    within("who is on it", &|text| line(text, "SFO-103").contains("(li)"));
    li.look("li's", None).unwrap();
    within("that nobody is", &|text| !text.contains("(li)"));

    // And the other way: what ana has open is known to li.
    let mut ana = ana;
    ana.keys("jj<enter>");
    let since = Instant::now();
    while li.lookers().unwrap().get("order:103").is_none_or(|who| who != &["ana"]) {
        assert!(since.elapsed() <= SOON, "{:?}", li.lookers());
        thread::yield_now();
    }
    li.look("li's", Some("order:103")).unwrap();
    let since = Instant::now();
    ana.shows("li is on it");
    assert!(since.elapsed() <= SOON);
    // A role that is taken away is gone from the header too.
    server().psql("postgres", "CREATE ROLE jo LOGIN; GRANT restitch_lead TO jo");
    let jo = war.console("jo", (80, 24));
    jo.shows("jo, lead");
    server().psql("postgres", "REVOKE restitch_lead FROM jo; GRANT restitch_viewer TO jo");
    jo.shows("jo, viewer");
}

/// T7 and what the screen says: the line goes silent in five moments; it is on the screen within 20 s, nothing moves, and it
/// comes back by itself with what changed meanwhile.
#[test]
fn a_silent_line_is_on_the_screen_and_comes_back_by_itself() {
    let war = War::new(5);
    let moments: [(&str, &str, &str); 5] = [
        ("idle", "jj", ""),
        ("with a case open", "jj<enter>", ""),
        ("reading", "jj", "<ctrl-r>"),
        ("claiming", "jj", "c"),
        ("connecting", "jj", ""),
    ];
    thread::scope(|scope| {
        for (n, (moment, before, press)) in (1..).zip(moments) {
            let war = &war;
            scope.spawn(move || {
                let line_to = Line::to(server().port);
                let mut ana = war.console_at("ana", line_to.port, (80, 24));
                ana.keys(before);
                let cursor = |text: &str| text.lines().position(|l| l.contains('▸'));
                let shown = if before.contains("enter") {
                    "nobody holds it"
                } else {
                    "▸ SFO-103"
                };
                let stood = cursor(&ana.shows(shown));
                if moment == "connecting" {
                    line_to.set(Mode::Cut);
                    ana.shows("ledger LOST");
                    line_to.set(Mode::Silent);
                    line_to.waits_for_swallowed(1);
                } else {
                    line_to.set(Mode::Silent);
                    ana.keys(press);
                    line_to.waits_for_swallowed(1);
                }
                let since = Instant::now();
                let text = ana.shows("ledger LOST");
                assert!(
                    since.elapsed() <= Duration::from_secs(20),
                    "{moment}: {:?}",
                    since.elapsed()
                );
                assert!(text.contains("as of "), "{moment}:\n{text}");
                assert_eq!(cursor(&text), stood, "{moment}:\n{text}");
                ana.keys("i");
                let said = ana.shows("the ledger does not answer");
                assert!(!said.contains("note on"), "{said}");
                // Somebody else goes on meanwhile.
                let mut li = war.ledger("li");
                li.note("order:101", &format!("{moment}, said {n}")).unwrap();
                line_to.set(Mode::Open);
                let since = Instant::now();
                ana.hides("ledger LOST");
                assert!(
                    since.elapsed() <= Duration::from_secs(20),
                    "{moment}: {:?}",
                    since.elapsed()
                );
                if moment == "claiming" {
                    // It was asked for again under the same key, or never sent: then it is done now.
                    let yours = |text: &str| line(text, "SFO-103").contains(" you ");
                    let text = ana.wait("an answer", |s| !s.contents().contains("claiming SFO-103"));
                    if !yours(&text) {
                        ana.keys("c");
                    }
                    ana.wait("the claim", |s| yours(&s.contents()));
                }
                to_the_list(&mut ana);
                ana.keys("g<enter>");
                ana.shows(&format!("said {n}"));
            });
        }
    });
    let claims = "SELECT count(*) FROM restitch.kept_audit WHERE action = 'claim' AND outcome = 'ok'";
    assert_eq!(war.room.sql(claims), "1");
}

//! Behind pgbouncer, which lends connections transaction by transaction: nothing listens on what serves others, others'
//! changes are seen all the same, and it is said.

use crate::contract::{Kind, Verb, asking, claim, order, store};
use crate::room::{Room, server};
use crate::support::{command, free_port, home};
use restitch::config::DbUrl;
use restitch::domain::case::State;
use restitch::ledger::{Ledger, Who};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

struct Pooler {
    port: u16,
    home: PathBuf,
    child: Child,
}

impl Pooler {
    fn start(mode: &str) -> Self {
        let (home, port) = (home(), free_port());
        let users = home.join("users");
        std::fs::write(&users, "\"ana\" \"\"\n").unwrap();
        let config = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\nlogfile = {}\n",
            server().port,
            users.display(),
            home.join("log").display()
        );
        let ini = home.join("pgbouncer.ini");
        std::fs::write(&ini, config).unwrap();
        let child = command(Path::new("/usr/sbin/pgbouncer"))
            .arg(&ini)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer is installed (apt-get install pgbouncer)");
        let mut pooler = Self { port, home, child };
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(pooler.child.try_wait().unwrap().is_none(), "{}", pooler.log());
            assert!(Instant::now() < until, "{}", pooler.log());
            std::thread::yield_now();
        }
        pooler
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    fn open(&self, room: &Room, person: &str) -> Ledger {
        let mut config = room.config_of(person);
        if let DbUrl::Postgres { port, .. } = &mut config.ledger.database.url {
            *port = self.port;
        }
        let who = Who {
            user: person.to_owned(),
            system_user: person.to_owned(),
            ssh: None,
        };
        Ledger::open_as(&config, false, who).unwrap()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

#[test]
fn a_pool_by_transaction_is_told_and_nothing_listens_in_it() {
    let room = Room::on_time();
    let pooler = Pooler::start("transaction");
    let (mut ana, mut li) = (pooler.open(&room, "ana"), room.open("li"));
    store(&mut ana, vec![order("1", &[Kind::Lost]), order("2", &[Kind::Lost])]);
    let mut ears = ana.ears();
    assert!(!ears.are_deaf());
    ears.hear().unwrap();
    assert!(ears.are_deaf(), "{}", pooler.log());
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'ana' AND query ILIKE '%listen restitch%' AND query NOT ILIKE '%pg_stat%'";
    assert_eq!(room.sql(listening), "0");
    // What others do is seen within two seconds, and what is done by way of the pool holds.
    for _ in 0..3 {
        let before = ana.revision().unwrap();
        claim(&mut li, &["order:1"]);
        let since = Instant::now();
        while ana.revision().unwrap() == before {
            ears.hear().unwrap();
        }
        assert!(since.elapsed() <= Duration::from_secs(2), "{:?}", since.elapsed());
        li.drop_claims(&["order:1".to_owned()]).unwrap();
    }
    claim(&mut ana, &["order:2"]);
    ana.decide(&asking("order:2", Verb::Keep)).unwrap();
    assert_eq!(ana.counts().unwrap().of(State::Proven), 1);
    ana.verify().unwrap();
}

#[test]
fn a_pool_by_session_is_as_good_as_the_server() {
    let room = Room::on_time();
    let pooler = Pooler::start("session");
    let mut ana = pooler.open(&room, "ana");
    store(&mut ana, vec![order("1", &[Kind::Lost])]);
    let mut ears = ana.ears();
    ears.hear().unwrap();
    ears.hear().unwrap();
    assert!(!ears.are_deaf());
}

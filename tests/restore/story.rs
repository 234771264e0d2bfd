//! One night from the check to the open doors. AWS, cluster, broker and the old instance are peers of the tests; a person
//! follows it in the console, and every phase shows what says so.

use crate::Site;
use crate::kubernetes::Kubernetes;
use crate::support::kafka::kafka;
use crate::support::pg;
use crate::terminal::Terminal;
use restitch::restore::hold::file::{self, Entry};
use serde_json::json;
use std::process::Stdio;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_mins(1);
const TITLES: [&str; 11] = [
    "org told",
    "pods down",
    "database restoring",
    "right database, point",
    "ready to open",
    "queues drained",
    "services back",
    "catalogue reloaded",
    "workers allocated",
    "hold replayed",
    "triage",
];

/// Two services, the catalogue and a worker, all or none of them up; the broker's pod stays.
fn scale(api: &Kubernetes, n: u32) {
    api.pod("kafka-0", &json!({"app": "kafka"}));
    for (name, labels) in [
        ("web", json!({"app": "web"})),
        ("api", json!({"app": "api"})),
        ("catalogue", json!({"app": "catalogue"})),
        ("worker-bulk", json!({"app": "worker", "queue": "bulk"})),
    ] {
        api.deployment(name, &labels, n, n);
        if n > 0 {
            api.pod(&format!("{name}-1"), &labels);
        } else {
            api.no_pod(&format!("{name}-1"));
        }
    }
}

/// The line of a phase.
fn phase(terminal: &Terminal, title: &str, says: &str) {
    terminal.wait(&format!("{title}: {says}"), |screen| {
        let text = screen.contents();
        text.lines().any(|line| line.contains(title) && line.contains(says))
    });
}

fn rescued(site: &Site) -> usize {
    let mut messages = 0;
    // Not there yet, at first.
    let _ = file::read(&site.night.path("om.held.rescue"), |entry| {
        messages += usize::from(matches!(entry, Entry::Message(_)));
        Ok(())
    });
    messages
}

/// Waits until the console has seen the old instance behind the shutdown.
fn await_first_look(site: &Site) {
    let ledger = rusqlite::Connection::open(site.night.path("restitch.db")).unwrap();
    let kept = "select exists (select 1 from facts where name like 'old-instance %')";
    let begun = Instant::now();
    while !ledger.query_row(kept, [], |r| r.get::<_, bool>(0)).unwrap() {
        assert!(begun.elapsed() < LIMIT, "nobody looked at the old instance");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The site, its cluster, the topic of its hold, and the name of the old instance's database.
fn night() -> (Site, Kubernetes, String, String) {
    let site = Site::new();
    let api = Kubernetes::start();
    let kubeconfig = api.kubeconfig(&site.night.path(""));
    let topic = kafka().topic_with("om.held", 2, &[("retention.ms", "6000")]);
    let old = pg().create_db();
    pg().psql(&old, "create table orders (id int); insert into orders values (1)");
    site.configure(
        "",
        &format!(
            "[hold]\nsource = \"kafka\"\nbrokers = [\"{}\"]\ntopic = \"{topic}\"\n\
             [cluster]\nnamespace = \"om\"\nkubeconfig = \"{}\"\nbrokers = \"app=kafka\"\nworkers = \"app=worker\"\n\
             catalogue = \"app=catalogue\"\nqueues = \"select 'bulk'\"\n\
             [[log]]\nname = \"before\"\nsource = \"database\"\nurl = \"{}\"\nsslmode = \"disable\"\n",
            kafka().brokers(),
            kubeconfig.display(),
            pg().url(&old)
        ),
    );
    scale(&api, 1);
    (site, api, topic, old)
}

fn is_in_the_trail(site: &Site) {
    site.run(&["audit", "verify"]).ended(0);
    let trail = site.run(&["audit", "list", "--json"]).ended(0).lines();
    for name in [
        "pods-down",
        "restoring",
        "ready",
        "services",
        "catalogue",
        "workers",
        "hold",
        "triage",
    ] {
        let wanted = format!("{name} done: ");
        assert!(
            trail
                .iter()
                .any(|l| l["why"].as_str().is_some_and(|w| w.starts_with(&wanted))),
            "{name} is not in the trail"
        );
    }
}

#[test]
fn a_restore_from_the_check_to_the_open_doors() {
    let (site, api, topic, old) = night();
    let checked = site.run(&["restore", "check", "--json"]).json();
    assert!(checked["checks"].as_array().unwrap().len() > 8, "{checked}");
    let tick = |phase: &str, reason: &str| {
        site.run(&["phase", phase, "done", "--reason", reason]).ended(0);
    };
    let mut terminal = site.console(&[]);
    terminal.resize(160, 48);

    tick("org-told", "mail to the desk");
    phase(&terminal, "org told", "mail to the desk");
    let mut armed = site.command(&["hold", "rescue", "--follow"]);
    let mut armed = armed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    site.run(&["hold", "status", "--record"]).ended(0);
    scale(&api, 0);
    phase(&terminal, "pods down", "0 of 4 running");
    let stamp = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for n in 0..4 {
        let label = format!("SFH-{n}");
        let message = json!({"entity": "order", "key": label, "op": "upsert", "state": {"n": n}}).to_string();
        kafka().send_at(&topic, n % 2, stamp, (&label, Some(&message)));
    }

    site.begin();
    phase(&terminal, "database restoring", "creating");
    // Meanwhile the retention passes: the broker has none of them any more, the file has all.
    let begun = Instant::now();
    let held = loop {
        let status = site.run(&["hold", "status", "--json"]).ended(0).json();
        if status["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|p| p["earliest"] == 2)
        {
            break status;
        }
        assert!(begun.elapsed() < LIMIT, "the broker keeps them: {status}");
    };
    assert_eq!((&held["held"], &held["lost"]), (&json!(0), &json!(0)), "{held}");
    assert_eq!(rescued(&site), 4);
    armed.kill().unwrap();
    armed.wait().unwrap();
    site.peer.world().set_status("om-prod-restored", "available");
    phase(&terminal, "database restoring", "AWS: available");

    let gate = site.run(&["gate", "--json"]).json();
    assert!(gate["checks"].as_array().unwrap().len() > 2, "{gate}");
    tick("gate", "the desk counted the orders of the day");
    phase(&terminal, "right database, point", "counted the orders");

    // A client goes on writing to the old instance: every view says so, and so does the list before workers start.
    await_first_look(&site);
    pg().psql(&old, "insert into orders select generate_series(2, 9)");
    terminal.shows("TAKES COMMITS");
    terminal.keys("2");
    terminal.shows("THE OLD INSTANCE (before) TAKES COMMITS");
    terminal.keys("1");
    let ready = site.run(&["restore", "ready"]).ended(3);
    assert!(!ready.out.contains("before anybody said go"), "{}", ready.out);
    // It looks once, and is held against what the console saw first.
    assert!(ready.out.contains("TAKES COMMITS"), "{}", ready.out);
    site.run(&["phase", "ready", "done", "--reason", "clients are cut off"])
        .ended(0)
        .says(&["TAKES COMMITS"]);
    phase(&terminal, "ready to open", "clients are cut off");

    tick("drained", "completer queue is empty");
    scale(&api, 1);
    phase(&terminal, "services back", "3 of 3 deployments ready");
    phase(&terminal, "catalogue reloaded", "✓");
    phase(&terminal, "workers allocated", "✓");
    let release = site
        .run(&["hold", "release", "--in", "om.held.rescue", "--json"])
        .ended(0)
        .json();
    assert_eq!(
        (&release["sent"], &release["refused"]),
        (&json!(4), &json!(0)),
        "{release}"
    );
    tick("hold", "4 of 4 went back");
    tick("triage", "nothing is left");
    for title in TITLES {
        phase(&terminal, title, "✓");
    }
    terminal.keys("q");
    terminal.ends().unwrap();
    is_in_the_trail(&site);
}

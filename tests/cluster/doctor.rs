//! `doctor`, as cron runs it: is the log being captured now, and is the clock right?

use crate::kubernetes::Kubernetes;
use crate::support::kafka::kafka;
use crate::support::pg;
use crate::world::World;
use serde_json::json;
use std::fmt::Write as _;

fn world(log: &str) -> World {
    let schema = "[schema.order]\ntable = \"orders\"\nkey = \"id\"\n";
    let world = World::new(
        "create table orders (id bigint primary key)",
        schema,
        &[("order", "1", "upsert", "{}")],
    );
    let path = world.night.path("restitch.toml");
    let mut config = std::fs::read_to_string(&path).unwrap();
    config = config.replace("[[log]]\n", &format!("[[log]]\n{log}\n"));
    std::fs::write(path, config).unwrap();
    world
}

fn event(at: i64) -> String {
    let ts = restitch::domain::time::format(at);
    format!("{{\"pos\":1,\"ts\":\"{ts}\",\"entity\":\"order\",\"key\":\"1\",\"op\":\"upsert\",\"state\":{{}}}}\n")
}

/// The line of a check: its state and words.
#[track_caller]
fn line(world: &World, code: i32, check: &str) -> (String, String) {
    let lines = world.run(&["doctor", "--json"]).ended(code).lines();
    let found = lines.iter().find(|l| l["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check} in {lines:#?}"));
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("state"), text("what"))
}

#[test]
fn a_log_whose_newest_event_is_too_old_fails() {
    let world = world("max_age = \"10m\"");
    let now = restitch::domain::time::now();
    let minute = 60_000_000;
    let mut log = event(now - 90 * minute);
    log.push_str(&event(now - 3 * minute));
    world.night.write("log.ndjson", &log);
    let (state, what) = line(&world, 0, "capture cdc");
    assert_eq!(state, "ok");
    assert!(
        what.starts_with("its newest event is 3m old") || what.starts_with("its newest event is 18"),
        "{what}"
    );
    world.night.write("log.ndjson", event(now - 90 * minute));
    let (state, what) = line(&world, 1, "capture cdc");
    assert_eq!(state, "fail");
    assert!(what.starts_with("its newest event is 90m old"), "{what}");
    // The newest file counts, compressed or not.
    let zst = zstd::encode_all(event(now - minute).as_bytes(), 3).unwrap();
    world.night.write("log.ndjson.zst", zst);
    let config = std::fs::read_to_string(world.night.path("restitch.toml")).unwrap();
    world
        .night
        .write("restitch.toml", config.replace("\"log.ndjson\"", "\"log.ndjson*\""));
    assert_eq!(line(&world, 0, "capture cdc").0, "ok");
}

#[test]
fn a_topic_without_new_records_fails() {
    let broker = kafka();
    let topic = broker.topic("capture", 2);
    let now = restitch::domain::time::now();
    broker.send(&topic, 1, "none", &[("1", Some(event(now).trim()))]);
    let kafka = format!(
        "source = \"kafka\"\nbrokers = [\"{}\"]\ntopic = \"{topic}\"",
        broker.brokers()
    );
    let fresh = world(&format!("max_age = \"10m\"\n{kafka}"));
    let (state, what) = line(&fresh, 0, "capture cdc");
    assert_eq!(state, "ok", "{what}");
    // The same record, asked with less patience than it is old.
    let late = world(&format!("max_age = \"1ms\"\n{kafka}"));
    let (state, what) = line(&late, 1, "capture cdc");
    assert_eq!(state, "fail");
    assert!(what.starts_with("it has no event after "), "{what}");
}

#[test]
fn a_slot_that_nobody_reads_or_that_is_not_there_fails() {
    let server = crate::support::Pg::start(&["wal_level=logical"]);
    let db = server.create_db();
    let world = world(&format!(
        "url = \"{}\"\nsslmode = \"disable\"\nslot = \"cdc\"",
        server.url(&db)
    ));
    let (state, what) = line(&world, 1, "capture cdc");
    assert_eq!(
        (state.as_str(), what.as_str()),
        ("fail", "there is no replication slot cdc")
    );
    server.psql(&db, "select pg_create_logical_replication_slot('cdc', 'wal2json')");
    let (state, what) = line(&world, 1, "capture cdc");
    assert_eq!(state, "fail");
    assert!(what.starts_with("nobody reads slot cdc, 0 MB behind"), "{what}");
    // Somebody reads it.
    let mut reader = std::process::Command::new(crate::support::bin().join("pg_recvlogical"))
        .args([
            "-h",
            "127.0.0.1",
            "-U",
            "demo",
            "-p",
            &server.port.to_string(),
            "-d",
            &db,
        ])
        .args(["--slot", "cdc", "--start", "-f", "-"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while server.psql(&db, "select active from pg_replication_slots") != "t" {
        assert!(std::time::Instant::now() < until, "nobody reads it");
    }
    let (state, what) = line(&world, 0, "capture cdc");
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert_eq!(state, "ok", "{what}");
    assert!(what.starts_with("slot cdc is being read"), "{what}");
}

#[test]
fn a_clock_that_is_off_fails() {
    let world = world("");
    let lines = |code: i32| world.run(&["doctor", "--json"]).ended(code).lines();
    let clock = |lines: &[serde_json::Value]| {
        let of = lines.iter().filter(|l| l["check"] == "clock");
        of.filter_map(|l| Some((l["state"].as_str()?.to_owned(), l["what"].as_str()?.to_owned())))
            .find(|(_, what)| what.contains("give or take"))
            .unwrap()
    };
    assert_eq!(clock(&lines(0)).0, "ok");
    // The server's clock as this database tells it is ten seconds behind.
    let mut sql = String::from(
        "create schema late; create function late.clock_timestamp() returns timestamptz language sql as \
         $$select pg_catalog.clock_timestamp() - interval '10 s'$$;",
    );
    let db = world.db.clone().unwrap();
    write!(sql, "alter database {db} set search_path = late, pg_catalog, public").unwrap();
    pg().psql(&db, &sql);
    let (state, what) = clock(&lines(1));
    assert_eq!(state, "fail");
    assert!(
        what.starts_with("this host is 10.0") && what.contains(" s ahead of 127.0.0.1"),
        "{what}"
    );
}

#[test]
fn the_cluster_has_its_lines() {
    let world = world("");
    let api = Kubernetes::start();
    let kubeconfig = api.kubeconfig(&world.night.path(""));
    let path = world.night.path("restitch.toml");
    let mut config = std::fs::read_to_string(&path).unwrap();
    write!(
        config,
        "\n[cluster]\nnamespace = \"om\"\nworkers = \"app=worker\"\nkubeconfig = \"{}\"\n",
        kubeconfig.display()
    )
    .unwrap();
    std::fs::write(path, config).unwrap();
    assert_eq!(
        line(&world, 0, "cluster"),
        ("warn".to_owned(), "namespace om: 0 pods, 0 deployments".to_owned())
    );
    api.deployment("web", &json!({"app": "web"}), 1, 1);
    api.pod("web-1", &json!({"app": "web"}));
    assert_eq!(
        line(&world, 0, "cluster"),
        ("ok".to_owned(), "namespace om: 1 pods, 1 deployments".to_owned())
    );
    assert_eq!(line(&world, 0, "cluster.workers").0, "warn");
    api.refuse(Some((401, "Unauthorized")));
    let (state, what) = line(&world, 1, "cluster");
    assert_eq!(state, "fail");
    assert!(what.contains("does not know this login"), "{what}");
}

use crate::night::{CONFIG, Night};
use rusqlite::Connection;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

#[test]
fn an_unknown_key_names_file_line_and_nearest_key() {
    let night = Night::new();
    night.configure("identity = [", "identitty = [");
    night.run(&["scan"]).ended(2).says(&[
        "unknown key \"identitty\"",
        "restitch.toml:18, schema.order.identitty",
        "\"identity\"",
    ]);
}

#[test]
fn a_schema_map_that_leads_nowhere_is_refused() {
    let night = Night::new();
    night.configure("owner = \"order_id\"\nrefs", "owner = { order_id = \"ordr\" }\nrefs");
    night
        .run(&["scan"])
        .ended(2)
        .says(&["\"ordr\"", "schema.order_item.owner", "order"]);
    night.configure(
        "inventory_item_id = \"inventory_item\"",
        "inventory_item_id = \"inventory\"",
    );
    night
        .run(&["cases"])
        .ended(2)
        .says(&["refs.inventory_item_id", "inventory_item"]);
}

#[test]
fn a_configuration_that_others_can_write_is_refused() {
    let night = Night::new();
    fs::set_permissions(night.path("restitch.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    night
        .run(&["scan"])
        .ended(2)
        .says(&["can be written by others", "chmod go-w restitch.toml"]);
}

#[test]
fn missing_tables_columns_and_keys_are_named_with_the_nearest() {
    let night = Night::new();
    night.configure("table = \"orders\"", "table = \"order\"");
    night.run(&["scan"]).ended(2).says(&["order", "orders", "schema.order"]);
    night.configure("state = \"status\"", "state = \"statsu\"");
    night
        .run(&["scan"])
        .ended(2)
        .says(&["statsu", "status", "schema.order"]);
    night.configure("table = \"plans\"\nkey = \"id\"", "table = \"plans\"\nkey = \"idd\"");
    night.run(&["scan"]).ended(2).says(&["idd", "schema.plan"]);
}

#[test]
fn nothing_configured_says_what_to_do() {
    let night = Night::new();
    night.write("restitch.toml", "");
    night.run(&["scan"]).ended(2).says(&["do:", "print-config"]);
    night.write("restitch.toml", "[restored]\nurl = \"sqlite:restored.db\"\n");
    night.run(&["scan"]).ended(2).says(&["[[log]]"]);
}

#[test]
fn a_source_that_is_not_there_and_another_format_stop_the_scan_alone() {
    let night = Night::scanned();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let kafka = format!("source = \"kafka\"\nbrokers = [\"127.0.0.1:{port}\"]\ntopic = \"t\"");
    night.configure("path = \"log.ndjson\"", &kafka);
    night.run(&["cases"]).ended(0);
    night.run(&["scan"]).ended(1).says(&["cdc", "no broker answers"]);
    night.configure("format = \"native\"", "format = \"om-plus\"");
    night
        .run(&["scan"])
        .ended(1)
        .says(&["look like format native; configured is om-plus"]);
}

#[test]
fn a_log_that_is_not_there_is_named() {
    let night = Night::new();
    fs::rename(night.path("log.ndjson"), night.path("log.ndjsn")).unwrap();
    let ran = night.run(&["scan"]);
    assert_ne!(ran.code, 0);
    ran.says(&["log.ndjson"]);
    assert!(!night.path("restitch.db").exists() || night.run(&["cases", "--json"]).out.is_empty());
}

#[test]
fn a_database_that_does_not_answer_is_named_and_no_password_shown() {
    let night = Night::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("url = \"postgres://triage@127.0.0.1:{port}/om\"");
    night.configure("url = \"sqlite:restored.db\"", &url);
    let output = night
        .command(&["scan", "-v"])
        .env("PGPASSWORD", "hunter2")
        .output()
        .unwrap();
    let ran = Night::finish(output).ended(1).says(&["127.0.0.1", &port.to_string()]);
    assert!(!ran.err.contains("hunter2") && !ran.out.contains("hunter2"));
}

#[test]
fn a_url_from_the_environment_may_hold_a_password_and_one_in_the_file_may_not() {
    let night = Night::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://triage:hunter2@127.0.0.1:{port}/om");
    for name in ["OM_URL", "RESTITCH_RESTORED__URL"] {
        night.configure(
            "url = \"sqlite:restored.db\"",
            "url_env = \"OM_URL\"\nurl = \"sqlite:restored.db\"",
        );
        let ran = Night::finish(night.command(&["scan"]).env(name, &url).output().unwrap());
        let ran = ran.ended(1).says(&[&port.to_string()]);
        assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    }
    night.configure("sqlite:restored.db", &url);
    let ran = night.run(&["scan"]).ended(2).says(&["password", "password_file"]);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    let ran = night.run(&["cases", "--ledger", &url]).ended(2);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
}

#[test]
fn an_open_password_file_is_refused_when_connecting() {
    let night = Night::new();
    night.configure(
        "url = \"sqlite:restored.db\"",
        "url = \"postgres://t@127.0.0.1:1/om\"\npassword_file = \"secret\"",
    );
    night.write("secret", "hunter2\n");
    fs::set_permissions(night.path("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    night.run(&["scan"]).ended(2).says(&["chmod 0600", "secret"]);
}

#[test]
fn a_ledger_of_a_newer_version_is_left_alone() {
    let night = Night::scanned();
    let ledger = Connection::open(night.path("restitch.db")).unwrap();
    ledger.pragma_update(None, "user_version", 99).unwrap();
    drop(ledger);
    night.run(&["cases"]).ended(1).says(&["version 99", "restitch.db"]);
    night.run(&["scan"]).ended(1).says(&["version 99"]);
}

#[test]
fn another_restore_point_under_the_same_attempt_is_refused() {
    let night = Night::scanned();
    night.configure("15:05:00+01:00", "15:06:00+01:00");
    night.run(&["scan"]).ended(4).says(&["2026-11-22T14:05:00Z", "attempt"]);
    night.configure(
        "restored_to = \"2026-11-22T15:05:00+01:00\"",
        "restored_to = \"2026-11-22T14:06:00Z\"\nattempt = 2",
    );
    night.run(&["scan"]).ended(3);
}

#[test]
fn an_unknown_variable_warns_and_an_unknown_configuration_file_fails() {
    let night = Night::scanned();
    let ran = Night::finish(
        night
            .command(&["cases", "--json"])
            .env("RESTITCH_LEGDER__URL", "x")
            .output()
            .unwrap(),
    );
    ran.ended(0).says(&["RESTITCH_LEGDER__URL", "RESTITCH_LEDGER__URL"]);
    night
        .run(&["cases", "--config", "nowhere.toml"])
        .ended(2)
        .says(&["nowhere.toml"]);
}

#[test]
fn too_many_malformed_lines_fail_the_scan_and_leave_the_ledger_as_it_was() {
    let night = Night::scanned();
    let before = night.run(&["cases", "--json"]).out;
    let mut log = fs::read(night.path("log.ndjson")).unwrap();
    log.extend_from_slice(b"{\"pos\":9,\"ts\":\"2026-11-22T14:12:00Z\",\"entity\":\"order\",\"key\":5,\"op\":\"ins");
    night.write("log.ndjson", &log);
    night.run(&["scan"]).ended(1);
    assert_eq!(night.run(&["cases", "--json"]).out, before);
    night.write("restitch.toml", format!("{CONFIG}\n[scan]\nreject_limit = \"50%\"\n"));
    let report = night.run(&["scan", "--json"]).ended(3).json();
    assert_eq!(report["log"]["rejected"], 1);
}

//! A restored database that is not the one meant, or does not let us in.

use crate::night::{Night, Ran};
use crate::support::{Pg, home, init};
use std::fs;
use std::sync::OnceLock;

/// A server that asks everyone but `demo` for a password.
fn pg() -> &'static Pg {
    static PG: OnceLock<Pg> = OnceLock::new();
    PG.get_or_init(|| {
        let home = home();
        init(&home);
        let rules = home.join("data/pg_hba.conf");
        let trusting = fs::read_to_string(&rules).unwrap();
        fs::write(
            &rules,
            format!("host all triage 127.0.0.1/32 scram-sha-256\n{trusting}"),
        )
        .unwrap();
        let pg = Pg::start_in(home, &[]);
        pg.psql(
            "postgres",
            "create role triage login password 'right'; create database om;",
        );
        pg.psql(
            "om",
            "create schema om; create table om.orders (id bigint primary key, status text);
                       create table om.\"Orders\" (id bigint primary key);",
        );
        pg
    })
}

/// Scans this URL's database with these lines more in `[restored]`, `[schema.order]` as given.
fn scan(url: &str, more: &str, schema: &str, password: Option<&str>) -> Ran {
    let night = Night::new();
    night.write(
        "restitch.toml",
        format!(
            "[incident]\nid = \"night\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n[restored]\nurl = \"{url}\"\n{more}\n\
             [[log]]\nname = \"cdc\"\npath = \"log.ndjson\"\nformat = \"native\"\n[schema.order]\n{schema}\n"
        ),
    );
    let mut command = night.command(&["scan"]);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    let ran = Night::finish(command.output().unwrap());
    assert!(ran.out.is_empty(), "{}", ran.out);
    for secret in ["right", "wrong-one"] {
        assert!(!ran.err.contains(secret), "{}", ran.err);
    }
    ran
}

const OPEN: &str = "sslmode = \"disable\"";
const ORDERS: &str = "table = \"om.orders\"\nkey = \"id\"";

fn url(user: &str, db: &str) -> String {
    format!("postgres://{user}@127.0.0.1:{}/{db}", pg().port)
}

#[test]
fn a_password_that_is_missing_or_wrong_is_told_apart_and_never_shown() {
    let triage = url("triage", "om");
    let place = format!("127.0.0.1:{}/om", pg().port);
    scan(&triage, OPEN, ORDERS, None)
        .ended(2)
        .says(&["asks for the password", "triage", &place, "password_file"]);
    scan(&triage, OPEN, ORDERS, Some("wrong-one"))
        .ended(1)
        .says(&["refuses the password", "triage", &place, "do:"]);
}

#[test]
fn a_table_that_may_not_be_read_is_named_with_the_grant_that_cures_it() {
    let ran = scan(&url("triage", "om"), OPEN, ORDERS, Some("right"));
    ran.ended(1).says(&[
        "permission denied",
        "[schema.order]",
        "GRANT SELECT ON \"om\".\"orders\" TO triage",
    ]);
}

#[test]
fn a_database_that_is_not_there_is_named() {
    scan(&url("demo", "nowhere"), OPEN, ORDERS, None).ended(1).says(&[
        "no database \"nowhere\"",
        &format!("127.0.0.1:{}", pg().port),
        "do:",
    ]);
}

#[test]
fn a_server_without_tls_gets_nothing_unless_it_is_asked_for() {
    scan(&url("triage", "om"), "", ORDERS, Some("right"))
        .ended(1)
        .says(&["refuses TLS", "sslmode = \"disable\""]);
    scan(&url("triage", "om"), "sslmode = \"prefer\"", ORDERS, None)
        .ended(2)
        .says(&["restored.sslmode", "verify-full"]);
}

#[test]
fn a_host_that_does_not_exist_is_named() {
    scan("postgres://demo@nohost.invalid/om", OPEN, ORDERS, None)
        .ended(1)
        .says(&["nohost.invalid", "do:"]);
}

#[test]
fn missing_tables_columns_and_keys_are_named_with_the_nearest_of_the_server() {
    let scan = |schema: &str| scan(&url("demo", "om"), OPEN, schema, None).ended(2);
    scan("table = \"om.order\"\nkey = \"id\"").says(&[
        "\"om.order\"",
        "[schema.order] table",
        "nearest tables: om.orders",
    ]);
    scan("table = \"orders\"\nkey = \"id\"").says(&["\"orders\"", "om.orders"]);
    scan("table = \"om.ORDERS\"\nkey = \"id\"").says(&["om.orders", "om.Orders"]);
    scan("table = \"om.orders\"\nkey = \"idd\"").says(&["\"idd\"", "[schema.order] key", "nearest columns: id"]);
    scan("table = \"om.orders\"\nkey = \"id\"\nstate = \"statu\"").says(&[
        "\"statu\"",
        "[schema.order] state",
        "status",
    ]);
    scan("table = \"om.orders\"\nkey = \"id\"\nmask = [\"msisdn\"]").says(&["\"msisdn\"", "[schema.order] mask"]);
    scan("table = \"om.orders\"\nkey = \"id\"\nrefs = { status = \"order.nr\" }").says(&["\"nr\"", "refs.status"]);
    let long = "o".repeat(64);
    scan(&format!("table = \"{long}\"\nkey = \"id\"")).says(&["63 bytes", "[schema.order] table"]);
    scan("table = \"om.orders; drop table om.orders\"\nkey = \"id\"").says(&["om.orders"]);
    assert_eq!(pg().psql("om", "select count(*) from om.orders"), "0");
}

//! Names from a configuration are names, whatever stands in them: to a real server, in bulk.

use crate::contract::entity;
use crate::support::{dice::is_soak, pg};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use restitch::config::ScanConfig;
use restitch::domain::schema::Schema;
use restitch::restored::Restored;
use restitch::restored::pg::quoted;
use restitch::restored::postgres::Postgres;

/// What a PostgreSQL name may have at most; a longer one is silently cut.
const NAME_LIMIT: usize = 63;

/// Names made of what ends a name, begins a comment or a string, reorders, or is only strange.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            "\"", "\"\"", "'", "''", ";", "--", "/*", "*/", "\\", "$$", "$1", "$x$", "E'", "U&\"", "::text", ".", ",", "(", ")",
            " ", "\n", "\r", "\t", "%s", "{}", "?1", "drop table canary", " union select 1", "orders", "id", "\u{202e}",
            "\u{feff}", "\u{212a}", "\u{0}", "\u{7f}", "\u{1b}[2J",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-zA-Z_0-9]{1,8}",
    ];
    prop::collection::vec(piece, 1..9).prop_map(|pieces| pieces.concat())
}

fn names(n: usize) -> Vec<String> {
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(20_261_128),
        ..Config::default()
    });
    let names = hostile();
    (0..n).map(|_| names.new_tree(&mut runner).unwrap().current()).collect()
}

fn fits(name: &str) -> bool {
    name.len() <= NAME_LIMIT && !name.contains('\0')
}

/// The server takes every one as one name and gives it back to the letter.
#[tokio::test]
async fn a_hundred_thousand_hostile_names_are_one_name_each() {
    let config = format!("host=127.0.0.1 port={} user=demo dbname=postgres", pg().port);
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let wanted = if is_soak() { 2_000_000 } else { 100_000 };
    let names: Vec<String> = names(wanted + wanted / 4)
        .into_iter()
        .filter(|name| fits(name))
        .take(wanted)
        .collect();
    assert_eq!(names.len(), wanted);
    for some in names.chunks(1_000) {
        let columns: Vec<String> = some.iter().map(|name| format!("1 as {}", quoted(name))).collect();
        let statement = client.prepare(&format!("select {}", columns.join(", "))).await.unwrap();
        let got: Vec<&str> = statement.columns().iter().map(tokio_postgres::Column::name).collect();
        assert_eq!(got, *some);
    }
}

/// As tables and as keys they are looked up, not run: they are not there, or not possible.
#[tokio::test]
async fn hostile_tables_and_columns_are_looked_up_and_never_run() {
    let db = pg().create_db();
    pg().psql(
        &db,
        "create table canary (id int primary key); insert into canary values (1)",
    );
    let mut restored = Postgres::connect(&pg().database(&db), &ScanConfig::default())
        .await
        .unwrap();
    let (mut absent, mut impossible) = (0, 0);
    for name in names(1_000) {
        let none = Schema {
            entities: vec![entity("order", &name, &["id"])],
        };
        let error = restored.catalogue(&none).await.unwrap_err();
        if error.what.contains("no table") {
            absent += 1;
        } else {
            assert!(error.what.contains("at most 63 bytes and no NUL"), "{name:?}: {error}");
            impossible += 1;
        }
        let none = Schema {
            entities: vec![entity("order", "canary", &[&name])],
        };
        assert_eq!(restored.catalogue(&none).await.is_err(), name != "id", "{name:?}");
    }
    assert!(
        absent > 500 && impossible > 20,
        "{absent} were not there, {impossible} not possible"
    );
    assert_eq!(pg().psql(&db, "select count(*) from canary"), "1");
}

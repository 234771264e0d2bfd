//! What only a server has: its types, its privileges, its snapshot, its sequences.

use crate::contract::{entity, read};
use crate::support;
use restitch::config::ScanConfig;
use restitch::domain::Error;
use restitch::domain::schema::{ColumnIx, Schema, Table};
use restitch::domain::value::ColumnType as T;
use restitch::restored::postgres::Postgres;
use restitch::restored::{Lookup, Restored};

async fn connect(db: &str) -> Postgres {
    Postgres::connect(&support::pg().database(db), &ScanConfig::default())
        .await
        .unwrap()
}

fn one(table: &str, key: &[&str]) -> Schema {
    Schema {
        entities: vec![entity("order", table, key)],
    }
}

/// Column, declaration, value, what it is, what it is declared as, its text.
const TYPES: &[(&str, &str, T, &str, &str)] = &[
    ("bool", "true", T::Bool, "boolean", "true"),
    ("int2", "-32768", T::Int2, "smallint", "-32768"),
    ("int4", "5", T::Int4, "integer", "5"),
    ("int8", "9223372036854775807", T::Int8, "bigint", "9223372036854775807"),
    ("numeric(12,2)", "1.5", T::Numeric, "numeric(12,2)", "1.50"),
    ("numeric", "1e-20", T::Numeric, "numeric", "0.00000000000000000001"),
    ("real", "0.1", T::Float4, "real", "0.1"),
    (
        "float8",
        "0.30000000000000004",
        T::Float8,
        "double precision",
        "0.30000000000000004",
    ),
    ("text", "x", T::Text, "text", "x"),
    ("varchar(9)", "x ", T::Text, "character varying", "x "),
    ("char(9)", "x", T::Char, "bpchar", "x"),
    ("name", "n", T::Text, "name", "n"),
    ("text collate ci", "X", T::TextCi, "text COLLATE public.ci", "X"),
    (
        "uuid",
        "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        T::Uuid,
        "uuid",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ),
    ("date", "2026-11-22", T::Date, "date", "2026-11-22"),
    (
        "time(3)",
        "14:05:00.1234",
        T::Time,
        "time(3) without time zone",
        "14:05:00.123",
    ),
    ("timetz", "14:05:00+02", T::TimeTz, "time with time zone", "14:05:00+02"),
    (
        "timestamp(0)",
        "2026-11-22 14:05:00.6",
        T::Timestamp,
        "timestamp(0) without time zone",
        "2026-11-22 14:05:01",
    ),
    (
        "timestamptz",
        "2026-11-22 14:05:00.000001+02",
        T::TimestampTz,
        "timestamp with time zone",
        "2026-11-22 12:05:00.000001+00",
    ),
    ("interval", "1 day 02:00", T::Interval, "interval", "1 day 02:00:00"),
    ("json", "{\"b\": 1, \"a\":2}", T::Json, "json", "{\"b\": 1, \"a\":2}"),
    (
        "jsonb",
        "{\"b\": 1, \"a\":2}",
        T::Jsonb,
        "jsonb",
        "{\"a\": 2, \"b\": 1}",
    ),
    ("bytea", "\\xDEADBEEF", T::Bytea, "bytea", "\\xdeadbeef"),
    ("inet", "10.0.0.1", T::Other, "inet", "10.0.0.1"),
    ("cidr", "10.0.0.0/8", T::Other, "cidr", "10.0.0.0/8"),
    ("mood", "ok", T::Text, "mood", "ok"),
    ("price", "7", T::Numeric, "numeric(10,2)", "7.00"),
    ("nested_price", "7", T::Numeric, "numeric(10,2)", "7.00"),
    ("point", "(1,2)", T::Other, "point", "(1,2)"),
    ("bit(4)", "1010", T::Other, "\"bit\"", "1010"),
    ("int4range", "[1,3]", T::Other, "int4range", "[1,4)"),
];

#[tokio::test]
async fn every_type_is_known_read_and_declared_so_that_nothing_is_cut_off() {
    let pg = support::pg();
    let db = pg.create_db();
    let columns: Vec<String> = TYPES.iter().enumerate().map(|(n, t)| format!("c{n} {}", t.0)).collect();
    let values: Vec<String> = TYPES.iter().map(|t| format!("'{}'", t.1)).collect();
    pg.psql(
        &db,
        &format!(
            "create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             create type mood as enum ('ok', 'sad'); create domain price as numeric(10,2) check (value > 0);
             create domain nested_price as price;
             create table t (id int primary key, ints int[], texts text[], moods mood[], {});
             insert into t values (1, '{{1,NULL}}', '{{\"a b\"}}', '{{ok}}', {})",
            columns.join(", "),
            values.join(", ")
        ),
    );
    let mut r = connect(&db).await;
    let catalogue = r.catalogue(&one("t", &["id"])).await.unwrap();
    let table = &catalogue.tables[0];
    assert_eq!(table.name, "public.t");
    let arrays: Vec<(&T, &str)> = table.columns[1..4]
        .iter()
        .map(|c| (&c.ty, c.declared.as_str()))
        .collect();
    let array = |t: T| T::Array(Box::new(t));
    assert_eq!(
        arrays,
        [
            (&array(T::Int4), "integer[]"),
            (&array(T::Text), "text[]"),
            (&array(T::Text), "mood[]")
        ]
    );
    for (column, (_, _, ty, declared, _)) in table.columns[4..].iter().zip(TYPES) {
        assert_eq!((&column.ty, column.declared.as_str()), (ty, *declared));
    }
    r.snapshot(&catalogue).await.unwrap();
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let rows = read(&mut r, &catalogue, 0, Lookup::Keys(&["1"]), &names[1..]).await;
    let row: Vec<&str> = rows["1"].iter().map(|v| v.as_deref().unwrap()).collect();
    assert_eq!(row[..3], ["{1,NULL}", "{\"a b\"}", "{ok}"]);
    for (text, (ty, _, _, _, expected)) in row[3..].iter().zip(TYPES) {
        assert_eq!(text, expected, "{ty}");
    }

    // The server's own cast gives the same text, and every column can be looked up by it, whatever else is asked for.
    for (n, (ty, input, _, _, expected)) in TYPES.iter().enumerate() {
        let column = &table.columns[4 + n];
        let cast = r.cast(column, &[(*input).to_owned(), "\0".to_owned()]).await.unwrap();
        assert_eq!(cast, [Some((*expected).to_owned()), None], "{ty}");
        let equal = r
            .equal(column, &[((*input).to_owned(), (*expected).to_owned())])
            .await
            .unwrap();
        assert_eq!(equal, [true], "{ty}");
        if ["json", "point"].contains(ty) {
            continue;
        }
        let by = [ColumnIx::try_from(4 + n).unwrap()];
        let tuples = [
            vec![*expected],
            vec!["no such value of anything, or at least not in the table"],
        ];
        let found = read(
            &mut r,
            &catalogue,
            0,
            Lookup::Values {
                columns: &by,
                tuples: &tuples,
            },
            &[],
        )
        .await;
        assert_eq!(found.len(), 1, "{ty}");
        let by = [0, by[0]];
        let tuples = [vec!["1", *expected], vec!["2", *expected]];
        let found = read(
            &mut r,
            &catalogue,
            0,
            Lookup::Values {
                columns: &by,
                tuples: &tuples,
            },
            &[],
        )
        .await;
        assert_eq!(found.len(), 1, "{ty} beside another column");
    }
    types_compare_as_themselves(&mut r, table).await;
}

async fn types_compare_as_themselves(r: &mut Postgres, table: &Table) {
    let at = |ty: &str| &table.columns[4 + TYPES.iter().position(|t| t.0 == ty).unwrap()];
    let mut equal = async |ty: &str, a: &str, b: &str| {
        r.equal(
            at(ty),
            &[("garbage".to_owned(), b.to_owned()), (a.to_owned(), b.to_owned())],
        )
        .await
        .unwrap()[1]
    };
    assert!(equal("text collate ci", "Straße", "STRASSE").await || equal("text collate ci", "abc", "ABC").await);
    assert!(equal("interval", "24:00", "1 day").await);
    assert!(equal("inet", "10.0.0.1/32", "10.0.0.1").await && !equal("inet", "10.0.0.1", "10.0.0.2").await);
    assert!(equal("point", "(1,2)", "( 1 , 2 )").await && !equal("point", "(1,2)", "(2,1)").await);
    assert!(!equal("mood", "ok", "sad").await);
}

#[tokio::test]
async fn views_partitions_and_odd_names_are_tables_too() {
    let pg = support::pg();
    let db = pg.create_db();
    pg.psql(
        &db,
        "create schema om; create schema \"We\"\"ird\";
         create table om.parts (id int, day date, primary key (id, day)) partition by range (day);
         create table om.part1 partition of om.parts for values from ('2026-01-01') to ('2027-01-01');
         insert into om.parts values (1, '2026-11-22');
         create view om.view as select id, day from om.parts;
         create table \"We\"\"ird\".\"drop table x; --\" (\"k\"\"ey; select\" int primary key, \"gro\u{df}\" text);
         insert into \"We\"\"ird\".\"drop table x; --\" values (3, 'y')",
    );
    let mut r = connect(&db).await;
    let schema = Schema {
        entities: vec![
            entity("order", "om.parts", &["id", "day"]),
            entity("plan", "om.view", &["id"]),
            entity("odd", "We\"ird.drop table x; --", &["k\"ey; select"]),
        ],
    };
    let catalogue = r.catalogue(&schema).await.unwrap();
    r.snapshot(&catalogue).await.unwrap();
    assert_eq!(
        read(&mut r, &catalogue, 0, Lookup::Keys(&["1/2026-11-22", "1/x"]), &[])
            .await
            .len(),
        1
    );
    assert_eq!(
        read(&mut r, &catalogue, 1, Lookup::Keys(&["1"]), &["day"]).await["1"],
        [Some("2026-11-22".to_owned())]
    );
    assert_eq!(
        read(&mut r, &catalogue, 2, Lookup::Keys(&["3"]), &["gro\u{df}"]).await["3"],
        [Some("y".to_owned())]
    );
    let cost = r.cost(0, &[0, 1]).await.unwrap();
    assert!(cost.indexed && cost.table_bytes > 0, "the partitions count: {cost:?}");
    assert!(!r.cost(1, &[0]).await.unwrap().indexed);

    let long = "o".repeat(70);
    pg.psql(&db, &format!("create table {long} (id int primary key)"));
    let e = r.catalogue(&one(&long, &["id"])).await.unwrap_err();
    assert!(e.what.contains("63 bytes"), "{e}");
    for hostile in [
        "orders\"; drop table om.parts; --",
        "om.parts; select 1",
        "'",
        "",
        ".",
        "\u{202e}",
    ] {
        let e: Error = r.catalogue(&one(hostile, &["id"])).await.unwrap_err();
        assert!(e.what.contains("no table"), "{e}");
    }
    assert_eq!(pg.psql(&db, "select count(*) from om.parts"), "1");
}

#[tokio::test]
async fn all_connections_see_one_snapshot_and_none_can_write() {
    let pg = support::pg();
    let db = pg.create_db();
    pg.psql(
        &db,
        "create table t (id int primary key, v text); insert into t select n, 'old' from generate_series(1, 5000) n",
    );
    let scan = ScanConfig {
        connections: 4,
        ..ScanConfig::default()
    };
    let mut r = Postgres::connect(&pg.database(&db), &scan).await.unwrap();
    let catalogue = r.catalogue(&one("t", &["id"])).await.unwrap();
    r.snapshot(&catalogue).await.unwrap();
    pg.psql(&db, "update t set v = 'new'; delete from t where id > 2500");
    let keys: Vec<String> = (1..=6000).map(|n| n.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let seen = read(&mut r, &catalogue, 0, Lookup::Keys(&keys), &["v"]).await;
    assert_eq!(seen.len(), 5000);
    assert!(seen.values().all(|v| v[0].as_deref() == Some("old")));
    let busy = "select count(*), count(*) filter (where backend_xmin is not null) from pg_stat_activity \
                where datname = current_database() and application_name like 'restitch scan %'";
    assert_eq!(pg.psql(&db, busy), "4|4", "four connections, each in a snapshot");

    r.snapshot(&catalogue).await.unwrap();
    let seen = read(&mut r, &catalogue, 0, Lookup::Keys(&keys), &["v"]).await;
    assert!(
        seen.len() == 2500 && seen.values().all(|v| v[0].as_deref() == Some("new")),
        "the next snapshot is newer"
    );

    let session = restitch::restored::pg::Session {
        purpose: "test",
        read_only: true,
        statement_timeout: std::time::Duration::from_secs(5),
        idle_timeout: std::time::Duration::from_secs(5),
    };
    let plain = restitch::restored::pg::connect(&pg.database(&db), session)
        .await
        .unwrap();
    let e = plain.client.batch_execute("delete from t").await.unwrap_err();
    assert_eq!(e.code().unwrap().code(), "25006");
}

#[tokio::test]
async fn more_values_than_a_batch_find_each_row_once_with_an_index_and_without() {
    let pg = support::pg();
    let db = pg.create_db();
    pg.psql(
        &db,
        "create table t (id int primary key, plain text, indexed text);
         insert into t select n, 'V' || n % 20000, 'V' || n % 20000 from generate_series(1, 40000) n;
         create index on t (indexed); analyze t",
    );
    let mut r = connect(&db).await;
    let catalogue = r.catalogue(&one("t", &["id"])).await.unwrap();
    r.snapshot(&catalogue).await.unwrap();
    let values: Vec<String> = (0..30000).map(|n| format!("V{n}")).collect();
    let tuples: Vec<Vec<&str>> = values.iter().map(|v| vec![v.as_str()]).collect();
    for by in [1, 2] {
        let found = read(
            &mut r,
            &catalogue,
            0,
            Lookup::Values {
                columns: &[by],
                tuples: &tuples,
            },
            &["plain"],
        )
        .await;
        assert_eq!(found.len(), 40000);
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_named_with_its_grant() {
    let pg = support::pg();
    let db = pg.create_db();
    pg.psql(
        &db,
        "create schema om; create table om.orders (id int primary key, a int, b int); create role lowly login;
         create table free (id int primary key); alter table free enable row level security; grant select on free to lowly;
         create sequence hidden; create table s (id int primary key default nextval('hidden'), n serial); grant select on s to lowly",
    );
    let mut database = pg.database(&db);
    if let restitch::config::DbUrl::Postgres { user, .. } = &mut database.url {
        "lowly".clone_into(user);
    }
    let mut r = Postgres::connect(&database, &ScanConfig::default()).await.unwrap();
    let orders = one("om.orders", &["id"]);
    let e = r.catalogue(&orders).await.unwrap_err();
    assert!(e.what.contains("lowly may not read \"om\".\"orders\""), "{e}");
    assert!(
        e.cure
            .as_deref()
            .unwrap()
            .contains("GRANT USAGE ON SCHEMA \"om\" TO lowly; GRANT SELECT ON \"om\".\"orders\" TO lowly")
    );
    pg.psql(
        &db,
        "grant usage on schema om to lowly; grant select (id, a) on om.orders to lowly",
    );
    let e = r.catalogue(&orders).await.unwrap_err();
    assert!(e.what.contains("(columns b)"), "{e}");
    pg.psql(&db, "grant select on om.orders to lowly");
    r.catalogue(&orders).await.unwrap();

    // Rows that a policy hides would look lost.
    let catalogue = r.catalogue(&one("free", &["id"])).await.unwrap();
    r.snapshot(&catalogue).await.unwrap();
    let e = r.rows(0, Lookup::Keys(&["1"]), &[], &mut |_| {}).await.unwrap_err();
    assert!(e.what.contains("row-level security") && e.cure.unwrap().contains("BYPASSRLS"));

    // A sequence that may not be read is still named.
    let mut r = Postgres::connect(&database, &ScanConfig::default()).await.unwrap();
    r.catalogue(&one("s", &["id"])).await.unwrap();
    let found = r.sequences(0).await.unwrap();
    assert_eq!((found[0].name.as_str(), found[0].next), ("public.hidden", None));
}

#[tokio::test]
async fn sequences_that_feed_a_key_say_their_next_value() {
    let pg = support::pg();
    let db = pg.create_db();
    pg.psql(
        &db,
        "create table a (id bigserial primary key, other serial); insert into a default values; insert into a default values;
         create table b (id int generated always as identity (start 100 increment 10) primary key);
         create sequence \"Shared Ids\" start 7; create table c (id bigint primary key default nextval('\"Shared Ids\"'));
         create table d (id int primary key)",
    );
    let mut r = connect(&db).await;
    let names = ["a", "b", "c", "d"];
    let schema = Schema {
        entities: names.map(|n| entity(n, n, &["id"])).to_vec(),
    };
    r.catalogue(&schema).await.unwrap();
    let mut found = Vec::new();
    for entity in 0..names.len() {
        found.extend(
            r.sequences(entity)
                .await
                .unwrap()
                .into_iter()
                .map(|s| (s.column, s.name, s.next)),
        );
    }
    let expected = [
        ("public.a_id_seq", 3),
        ("public.b_id_seq", 100),
        ("public.\"Shared Ids\"", 7),
    ];
    assert_eq!(found, expected.map(|(name, next)| (0, name.to_owned(), Some(next))));
}

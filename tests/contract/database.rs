//! §1 and §3: the pre-restore instance as the log.

use crate::night::{Night, Ran};
use crate::support::pg;
use crate::world::found;
use serde_json::{Value as Json, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// The restored database and the old instance.
struct Pair {
    night: Night,
    restored: String,
    old: String,
}

impl Pair {
    /// Both made by `sql`; then each goes its own way.
    fn new(sql: &str, on_old: &str, on_restored: &str, schema: &str) -> Self {
        let (restored, old) = (pg().create_db(), pg().create_db());
        for (db, more) in [(&restored, on_restored), (&old, on_old)] {
            pg().psql(db, sql);
            pg().psql(db, more);
        }
        let pair = Self {
            night: Night::new(),
            restored,
            old,
        };
        pair.configure(&pg().url(&pair.old), "", schema);
        pair
    }

    fn configure(&self, old: &str, more: &str, schema: &str) {
        let config = format!(
            "[incident]\nid = \"night\"\nrestored_to = \"2026-11-22T14:05:00Z\"\n\n[restored]\nurl = \"{}\"\n\
             sslmode = \"disable\"\n\n[[log]]\nname = \"old\"\nsource = \"database\"\nurl = \"{old}\"\nsslmode = \"disable\"\n\n\
             {more}{schema}",
            pg().url(&self.restored)
        );
        self.night.write("restitch.toml", config);
    }

    fn scan(&self) -> Json {
        let ran: Ran = self.night.run(&["scan", "--json"]);
        assert!(matches!(ran.code, 0 | 3), "{}", ran.err);
        ran.json()
    }

    fn cases(&self) -> Vec<Json> {
        self.night.run(&["cases", "--json"]).ended(0).lines()
    }

    fn found(&self) -> Vec<String> {
        found(&self.cases())
    }
}

fn warnings(report: &Json) -> Vec<&str> {
    let list = report["warnings"].as_array().unwrap();
    list.iter().map(|w| w.as_str().unwrap()).collect()
}

const TYPES: &str = r#"create schema om; create type om.mood as enum ('ok', 'sad');
create domain om.price as numeric(10,2);
create table om.orders (id bigint primary key, external_id char(18), status text, qty numeric(12,2), ratio double precision,
  single real, at timestamptz, at_local timestamp, d date, t time, ttz timetz, iv interval, j json, jb jsonb, arr int[],
  tarr text[], b bytea, u uuid, flag boolean, c char(5), v varchar(9), sm smallint, i int, ip inet, r int4range, m money,
  bits bit(4), x xml, mood om.mood, price om.price, updated_at timestamptz);
insert into om.orders select n, '8012w000001abcdAAA', 'Open', 1.5, 0.1, 0.1, '2026-11-22 14:00:00.123456+00',
  '2026-11-22 14:00:00.5', '2026-11-22', '14:00:00', '14:00:00+01', '1 day 02:00:00', '{"a":1,"b":2}',
  '{"a":9007199254740993,"b":2.50}', '{1,2,NULL}', '{"a b","c,d"}', '\x00ff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  true, 'ab', 'v ', 7, 8, '10.0.0.1', '[1,5)', 12.5, '1010', '<a/>', 'ok', 2.5, now() from generate_series(1, 100) n;
create table om.refs (id int primary key, order_id bigint, other bigint);"#;

const ORDER: &str =
    "[schema.order]\ntable = \"om.orders\"\nkey = \"id\"\nlabel = \"external_id\"\nignore = [\"updated_at\"]\n";

/// Every type differs in one row; spelling alone differs in none.
#[test]
fn every_type_is_compared_as_its_values_are() {
    let changed = "update om.orders set external_id = '8012w000001abcd' where id = 1;
        update om.orders set iv = '26:00:00', j = '{\"b\":2,\"a\":1}', ttz = '13:00:00Z' where id = 2;
        update om.orders set ratio = '-0', single = '-0' where id = 3; update om.orders set updated_at = null where id = 4;
        update om.orders set qty = 1.51 where id = 10; update om.orders set ratio = 0.2 where id = 11;
        update om.orders set single = 0.2 where id = 12; update om.orders set at = at + interval '1 us' where id = 13;
        update om.orders set at_local = null where id = 14; update om.orders set d = '2026-11-23' where id = 15;
        update om.orders set t = '14:00:00.000001' where id = 16; update om.orders set iv = '3 days' where id = 17;
        update om.orders set j = '{\"a\":1}' where id = 18; update om.orders set jb = '{\"a\":9007199254740992}' where id = 19;
        update om.orders set arr = '{1,2}' where id = 20; update om.orders set tarr = '{NULL}' where id = 21;
        update om.orders set b = '\\x00fe' where id = 22; update om.orders set u = null where id = 23;
        update om.orders set flag = false where id = 24; update om.orders set c = ' ab' where id = 25;
        update om.orders set v = 'v' where id = 26; update om.orders set sm = 8 where id = 27;
        update om.orders set i = null where id = 28; update om.orders set ip = '10.0.0.1/31' where id = 29;
        update om.orders set r = '[1,6)' where id = 30; update om.orders set m = 13 where id = 31;
        update om.orders set bits = '1011' where id = 32; update om.orders set x = '<b/>' where id = 33;
        update om.orders set mood = 'sad' where id = 34; update om.orders set price = 3 where id = 35;
        update om.orders set status = '' where id = 36;";
    let restored = "update om.orders set ratio = 0, single = 0 where id = 3;";
    let pair = Pair::new(TYPES, changed, restored, ORDER);
    let report = pair.scan();
    let mut expected: Vec<String> = (10..=36).map(|id| format!("order {id} regressed")).collect();
    expected.sort();
    assert_eq!(pair.found(), expected, "{report:#}");
    for case in pair.cases() {
        assert_eq!(case["findings"][0]["fields"].as_array().unwrap().len(), 1, "{case:#}");
    }
    assert_eq!(report["coverage"][0]["whole"], 100);
    assert_eq!(report["coverage"][0]["first"], Json::Null);
    assert_eq!(report["coverage"][0]["last"], report["log"]["last"]);
    assert!(report["rows_read"].as_u64().unwrap() >= 100);
}

/// What the restored database lacks is lost, what the old instance lacks counts as deleted; each says where it was read.
#[test]
fn rows_of_one_side_are_lost_or_undeleted_and_the_evidence_names_the_database() {
    let schema = format!(
        "{ORDER}[schema.ref]\ntable = \"om.refs\"\nkey = \"id\"\nowner = \"order_id\"\nrefs = {{ other = \"order\" }}\n"
    );
    let old = "delete from om.orders where id in (1, 2); insert into om.orders (id, status) values (500, 'New');
        insert into om.refs values (1, 50, 500), (2, 51, 7777), (3, 52, 1);";
    let restored = "insert into om.orders (id, status) values (1000, 'traffic');
        insert into om.refs values (1, 50, 3), (2, 51, 3), (3, 52, 3);";
    let pair = Pair::new(TYPES, old, restored, &schema);
    pair.scan();
    // An order that neither has counts as deleted, and so does one that the old instance lacks: no orphans of those.
    assert_eq!(
        pair.found(),
        [
            "order 1 undeleted",
            "order 1000 undeleted",
            "order 2 undeleted",
            "order 50 orphaned",
            "order 500 lost",
            "ref 1 regressed",
            "ref 2 regressed",
            "ref 3 regressed"
        ]
    );
    let case = |id: &str| pair.cases().into_iter().find(|c| c["case"] == id).unwrap();
    let lost = &case("order:500")["findings"][0]["evidence"][0];
    assert_eq!(lost["source"], "old");
    assert_eq!(lost["position"], format!("{}@127.0.0.1 om.orders 500", pair.old));
    // When it was read is no word on when it changed.
    assert_eq!(lost["ts"], Json::Null);
    let gone = &case("order:1000")["findings"][0]["evidence"][0]["position"];
    assert!(
        gone.as_str()
            .unwrap()
            .ends_with("om.orders 1000: not there (deleted, or added to the restored database since)")
    );
    assert_eq!(case("order:50")["missing"], json!([{"entity": "order", "key": "500"}]));
    // The program that scans again finds the same.
    let again = pair.scan();
    assert_eq!(
        again["cases"],
        json!({"total": 7, "opened": 0, "updated": 0, "gone": 0})
    );
}

/// Keys of any type, and text in a collation whose order is not that of its bytes.
#[test]
fn keys_of_any_type_are_matched() {
    for (ty, value) in [
        ("bigint", "9007199254740993 + n"),
        ("smallint", "n - 100"),
        ("uuid", "md5(n::text)::uuid"),
        ("numeric(20,4)", "n / 8.0"),
        ("timestamptz", "timestamptz '2026-01-01' + n * interval '1 us'"),
        ("date", "date '2026-01-01' + n"),
        (
            "text collate \"en-x-icu\"",
            "case n % 3 when 0 then 'é' when 1 then 'E/' else 'e ' end || n",
        ),
        ("varchar(20) collate \"C\"", "chr(65 + n % 60) || n"),
        ("char(9)", "'c' || n"),
        ("inet", "('10.0.' || n / 250 || '.' || n % 250)::inet"),
        ("bytea", "decode(md5(n::text), 'hex')"),
        ("boolean", "n % 2 = 0"),
    ] {
        let make = format!(
            "create table t (k {ty}, n int, v text, primary key (k, n)); create table one (k {ty} primary key, n int, v text);
             insert into t select {value}, n, 'x' from generate_series(1, 300) n;
             insert into one select distinct on ({value}) {value}, n, 'x' from generate_series(1, 300) n order by 1, n;"
        );
        let old = "update t set v = 'y' where n in (7, 290); update one set v = 'y' where n in (1, 2);
            delete from t where n in (8, 9, 300); insert into t select k, 1000, 'new' from t where n = 10;";
        let schema = "[schema.a]\ntable = \"t\"\nkey = [\"k\", \"n\"]\n[schema.b]\ntable = \"one\"\nkey = \"k\"\n";
        let pair = Pair::new(&make, old, "", schema);
        let report = pair.scan();
        let count = |entity: &str, kind: &str| report["findings"][entity][kind].as_u64().unwrap();
        assert_eq!(
            [
                count("a", "regressed"),
                count("a", "undeleted"),
                count("a", "lost"),
                count("b", "regressed")
            ],
            [2, 3, 1, 2],
            "{ty}: {:#?}",
            pair.found()
        );
        assert_eq!(report["cases"]["total"], 8, "{ty}: {:#?}", pair.found());
    }
}

/// Columns of other types on the two sides, columns that one side lacks.
#[test]
fn tables_that_are_not_alike_are_compared_by_what_both_have() {
    let old = "create table t (id int primary key, a text, n int, gone text);
        insert into t select i, 'a' || i, i, 'x' from generate_series(1, 50) i; update t set a = 'other' where id = 5;";
    let restored = "create table t (id bigint primary key, n numeric(9,2), a varchar(20), newer text default 'y');
        insert into t select i, i, 'a' || i from generate_series(1, 50) i; update t set n = 0 where id = 6;";
    let pair = Pair::new("", old, restored, "[schema.order]\ntable = \"t\"\nkey = \"id\"\n");
    let report = pair.scan();
    assert_eq!(pair.found(), ["order 5 regressed", "order 6 regressed"]);
    assert_eq!(report["log"]["events"], 2);
    assert_eq!(
        warnings(&report),
        ["log old: gone of order is not in the restored table public.t and is ignored"]
    );
}

/// With another log: its events stay the evidence where both say the same; where they do not, the database is later.
#[test]
fn another_log_is_the_evidence_where_the_database_says_the_same() {
    let make = "create table t (id int primary key, a text, b text); insert into t select i, 'a', 'b' from generate_series(1, 9) i;";
    let old =
        "update t set a = 'new' where id = 1; update t set a = 'later' where id = 2; delete from t where id in (3, 4);
        update t set a = 'unlogged' where id = 6;";
    let schema = "[schema.order]\ntable = \"t\"\nkey = \"id\"\n";
    let pair = Pair::new(make, old, "", schema);
    let more = "[[log]]\nname = \"cdc\"\npath = \"log.ndjson\"\nformat = \"native\"\n";
    pair.configure(&pg().url(&pair.old), more, schema);
    let line = |pos: u32, key: u32, op: &str, state: &str| {
        format!(
            r#"{{"pos":{pos},"ts":"2026-11-22T14:06:{pos:02}Z","entity":"order","key":{key},"op":"{op}","state":{state}}}"#
        )
    };
    let log = [
        line(1, 1, "upsert", r#"{"a":"new"}"#),
        line(2, 2, "upsert", r#"{"a":"earlier"}"#),
        line(3, 3, "delete", "null"),
        line(4, 4, "upsert", r#"{"a":"before it went"}"#),
        line(5, 5, "upsert", r#"{"a":"never"}"#),
        line(6, 70, "insert", r#"{"a":"came and went"}"#),
    ];
    pair.night.write("log.ndjson", log.join("\n") + "\n");
    let report = pair.scan();
    assert_eq!(
        pair.found(),
        [
            "order 1 regressed",
            "order 2 regressed",
            "order 3 undeleted",
            "order 4 undeleted",
            "order 6 regressed"
        ],
        "{report:#}"
    );
    let by: Vec<(String, String)> = pair
        .cases()
        .iter()
        .map(|c| {
            let evidence = &c["findings"][0]["evidence"][0];
            (
                c["case"].as_str().unwrap().to_owned(),
                evidence["source"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let of = |id: &str| by.iter().find(|(case, _)| case == id).unwrap().1.clone();
    assert_eq!(
        [
            of("order:1"),
            of("order:2"),
            of("order:3"),
            of("order:4"),
            of("order:6")
        ],
        ["cdc", "old", "cdc", "old", "old"]
    );
}

/// Forwards to the server; the first connection that has had so many bytes from it is cut.
fn cutting_proxy(to: u16, after: u64) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let cuts = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut up_from, &mut up_to);
                let _ = up_to.shutdown(Shutdown::Both);
            });
            let cuts = Arc::clone(&cuts);
            thread::spawn(move || {
                let (mut from, mut into) = (server, client);
                let (mut buffer, mut passed) = ([0_u8; 8_192], 0);
                while let Ok(n @ 1..) = from.read(&mut buffer) {
                    passed += n as u64;
                    if passed > after && cuts.fetch_add(1, Ordering::Relaxed) == 0 {
                        break;
                    }
                    if into.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
                let _ = into.shutdown(Shutdown::Both);
                let _ = from.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

/// A connection that is lost in the middle of a table is taken up after the last key, and said.
#[test]
fn a_lost_connection_goes_on_after_the_last_key() {
    let make = "create table t (k text, n int, v text, primary key (k, n));
        insert into t select chr(65 + n % 26) || '''/\\' || n, n, 'x' from generate_series(1, 30000) n;";
    let old = "update t set v = 'y' where n % 1000 = 7; delete from t where n % 1000 = 8;";
    let schema = "[schema.order]\ntable = \"t\"\nkey = [\"k\", \"n\"]\n";
    let pair = Pair::new(make, old, "", schema);
    let port = cutting_proxy(pg().port, 400_000);
    pair.configure(&format!("postgres://demo@127.0.0.1:{port}/{}", pair.old), "", schema);
    let report = pair.scan();
    assert_eq!(report["findings"]["order"]["regressed"], 30, "{report:#}");
    assert_eq!(report["findings"]["order"]["undeleted"], 30);
    assert_eq!(report["cases"]["total"], 60);
    let said = warnings(&report);
    assert!(
        said.len() == 1
            && said[0].contains("was lost while public.t was read")
            && said[0].contains("in the same snapshot"),
        "{said:?}"
    );
    // Every row was read once, and the last chunk again at most.
    let read = report["coverage"][0]["whole"].as_u64().unwrap();
    assert!((29_970..32_000).contains(&read), "{read}");
}

/// A row does not say who changed it: what both have, and stands in the old instance as the bad change leaves rows, is undone.
#[test]
fn rows_that_stand_as_the_bad_change_left_them_are_undone() {
    let make = "create table t (id int primary key, status text, by text, n int);
        insert into t select i, 'Open', 'ana', i from generate_series(1, 9) i;";
    let old = "update t set status = 'Cancelled', by = 'batch-77' where id in (1, 2); update t set n = 0 where id = 3;
        insert into t values (20, 'Cancelled', 'batch-77', 1); update t set status = 'Cancelled', by = 'li' where id = 4;";
    let schema = "[schema.order]\ntable = \"t\"\nkey = \"id\"\n";
    let pair = Pair::new(make, old, "", schema);
    let bad = "[incident.bad]\nfrom = \"2026-11-22T14:05:10Z\"\nentity = \"order\"\n\
        where = { status = \"Cancelled\", by = \"batch-77\" }\n";
    pair.configure(&pg().url(&pair.old), bad, schema);
    let report = pair.scan();
    let told: Vec<(String, bool)> = pair
        .cases()
        .iter()
        .flat_map(|c| c["findings"].as_array().unwrap().clone())
        .map(|f| {
            let what = format!("{} {}", f["key"].as_str().unwrap(), f["kind"].as_str().unwrap());
            (what, f["undone"].as_bool().unwrap())
        })
        .collect();
    let mut told = told;
    told.sort();
    let so = [
        ("1 regressed", true),
        ("2 regressed", true),
        ("20 lost", false),
        ("3 regressed", false),
        ("4 regressed", false),
    ];
    assert_eq!(told, so.map(|(what, undone)| (what.to_owned(), undone)));
    let said = warnings(&report);
    let word = "a row does not say when it changed or by whom";
    assert!(said.iter().any(|w| w.contains(word)), "{said:?}");
}

/// One instance cannot be held against itself: it would find nothing, whatever was lost.
#[test]
fn what_is_wrong_with_the_old_instance_is_said_of_it() {
    let schema = "[schema.order]\ntable = \"t\"\nkey = \"id\"\n";
    let pair = Pair::new(
        "create table t (id int primary key)",
        "alter table t rename to u",
        "",
        schema,
    );
    let ran = pair.night.run(&["scan"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(
        ran.err.contains("log old: the database has no table \"t\""),
        "{}",
        ran.err
    );
}

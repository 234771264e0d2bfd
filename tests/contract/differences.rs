//! §1: what is no difference, and how a difference is told.

use crate::world::World;
use serde_json::json;

const ORDER: &str =
    "[schema.order]\ntable = \"om.orders\"\nkey = \"id\"\nlabel = \"external_id\"\nidentity = [\"external_id\"]\n";

const TABLE: &str = r#"create schema om;
create table om.orders (id bigint primary key, external_id char(18), status text, qty numeric(12,2), ratio double precision,
  single real, at timestamptz, at_local timestamp, d date, t time, ttz timetz, iv interval, j json, jb jsonb, arr int[],
  tarr text[], b bytea, u uuid, flag boolean, c char(5), sm smallint, i int, ip inet, r int4range, m money, bits bit(4),
  x xml, prior_order_id bigint);
insert into om.orders values (77405618597879921, '8012w000001abcdAAA', 'Open', 1.50, 0.1, 0.1,
  '2026-11-22 14:00:00.123456+00', '2026-11-22 14:00:00.5', '2026-11-22', '14:00:00', '14:00:00+01', '1 day 02:00:00',
  '{"a":1,"b":2}', '{"a":9007199254740993,"b":2.50}', '{1,2,NULL}', '{"a b","c,d"}', '\x00ff',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true, 'ab', 7, 8, '10.0.0.1', '[1,5)', 12.5, '1010', '<a/>', null);"#;

#[test]
fn spelling_is_no_difference_and_an_unknown_field_is_one_warning() {
    let spelled = r#"{"external_id":"8012w000001abcd","status":"Open","qty":1.5,"ratio":"0.10000000000000001","single":0.1,
        "at":"2026-11-22T15:00:00.123456+01:00","at_local":"2026-11-22T14:00:00.500","d":"2026-11-22","t":"14:00:00.000",
        "ttz":"13:00:00Z","iv":"26:00:00","j":"{\"b\":2,\"a\":1}","jb":{"b":2.5,"a":9007199254740993.0},"arr":[1,2,null],
        "tarr":"{a b,\"c,d\"}","b":"\\x00FF","u":"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11","flag":"t","c":"ab","sm":"7","i":8,
        "ip":"10.0.0.1/32","r":"[1,4]","m":"$12.50","bits":"1010","x":"<a/>","prior_order_id":null,"nowhere":5}"#
        .replace('\n', "");
    let world = World::new(
        TABLE,
        ORDER,
        &[
            ("order", "77405618597879921", "upsert", &spelled),
            ("order", "077405618597879921", "upsert", r#"{"nowhere":6}"#),
        ],
    );
    let report = world.scan();
    assert_eq!(report["cases"]["total"], 0, "{:#?}", world.cases());
    assert_eq!(report["log"]["events"], 2);
    let warnings: Vec<&str> = report["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w.as_str().unwrap())
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("nowhere"), "{warnings:?}");
}

#[test]
fn each_field_of_a_regressed_row_has_both_values_as_its_type_writes_them() {
    let other = r#"{"status":"open","qty":1.51,"single":0.2,"at":"2026-11-22T14:00:00.123Z","j":{"b":2,"a":1,"c":null},
        "arr":"{1,2,3}","b":"\\x00fe","flag":false,"c":" ab","sm":"8","i":null,"prior_order_id":9007199254740993}"#
        .replace('\n', "");
    let world = World::new(TABLE, ORDER, &[("order", "77405618597879921", "upsert", &other)]);
    world.scan();
    let case = world.case("order:77405618597879921");
    let fields = case["findings"][0]["fields"].as_array().unwrap();
    let told: Vec<_> = fields
        .iter()
        .map(|f| json!([f["name"], f["restored"], f["log"], f["by"]]))
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["status", "Open", "open", 0],
            ["qty", "1.50", "1.51", 0],
            ["single", 0.1, 0.2, 0],
            ["at", "2026-11-22 14:00:00.123456+00", "2026-11-22 14:00:00.123+00", 0],
            ["j", "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1,\"c\":null}", 0],
            ["arr", "{1,2,NULL}", "{1,2,3}", 0],
            ["b", "\\x00ff", "\\x00fe", 0],
            ["flag", true, false, 0],
            ["c", "ab", " ab", 0],
            ["sm", 7, 8, 0],
            ["i", 8, null, 0],
            ["prior_order_id", null, "9007199254740993", 0],
        ])
    );
    assert_eq!(case["findings"][0]["evidence"].as_array().unwrap().len(), 1);
}

/// `2`, `2.0` and `2.00` are one number, so they are one key, whatever scale a side writes.
#[test]
fn a_numeric_key_has_one_spelling() {
    let sql = "create schema om;
        create table om.orders (id numeric primary key, external_id text, status text, prior_order_id numeric);
        create table om.items (id numeric(12,2) primary key, order_id numeric(12,2), v int);
        insert into om.orders values (1, 'A', 'Open', null), (2.0, 'B', 'Open', 1), (10, 'C', 'Open', 2);
        insert into om.items values (5, 10, 1), (6, 2, 1);";
    let schema = "[schema.order]\ntable = \"om.orders\"\nkey = \"id\"\nrefs = { prior_order_id = \"order\" }\n\
        [schema.order_item]\ntable = \"om.items\"\nkey = \"id\"\nowner = \"order_id\"\n";
    let world = World::new(
        sql,
        schema,
        &[
            ("order", "1.00", "upsert", r#"{"status":"Open"}"#),
            ("order", "2", "upsert", r#"{"prior_order_id":"1.0"}"#),
            ("order_item", "5", "upsert", r#"{"v":2}"#),
            ("order_item", "6.000", "upsert", r#"{"v":2}"#),
            ("order", "1.50", "insert", r#"{"status":"Open","prior_order_id":7.10}"#),
        ],
    );
    world.scan();
    assert_eq!(
        world.found(),
        [
            "order 1.5 lost",
            "order 1.5 orphaned",
            "order_item 5 regressed",
            "order_item 6 regressed"
        ]
    );
    let ids: Vec<_> = world.cases().iter().map(|c| c["case"].clone()).collect();
    assert_eq!(ids, [json!("order:1.5"), json!("order:10"), json!("order:2")]);
    assert_eq!(
        world.case("order:1.5")["missing"],
        json!([{"entity": "order", "key": "7.1"}])
    );
}

#[test]
fn names_of_every_kind_are_found_as_the_catalogue_spells_them() {
    let long = "L".repeat(63);
    let sql = format!(
        r#"create schema "Odd.Schema";
        create table "Odd.Schema"."Weird.Table" ("Select" text, "Key/Two" int, "order" bigint, "a;b--" text,
          primary key ("Select", "Key/Two"));
        insert into "Odd.Schema"."Weird.Table" values ('a/b', 1, 7, 'x');
        create table "ORDER" (id bigint primary key, "FROM" text);
        insert into "ORDER" values (7, 'a');
        create view "{long}" as select id, "FROM" from "ORDER";"#
    );
    let schema = format!(
        "[schema.order]\ntable = \"ORDER\"\nkey = \"id\"\n[schema.weird]\ntable = \"Odd.Schema.Weird.Table\"\n\
         key = [\"Select\", \"Key/Two\"]\nowner = {{ order = \"order\" }}\n[schema.view]\ntable = \"{long}\"\nkey = \"id\"\n"
    );
    let world = World::new(
        &sql,
        &schema,
        &[
            ("weird", "a%2Fb/1", "upsert", r#"{"a;b--":"y"}"#),
            ("weird", "c%2F/2", "insert", r#"{"order":8}"#),
            ("order", "7", "upsert", r#"{"FROM":"b"}"#),
            ("view", "7", "upsert", r#"{"FROM":"b"}"#),
        ],
    );
    world.scan();
    assert_eq!(
        world.found(),
        [
            "order 7 regressed",
            "view 7 regressed",
            "weird a%2Fb/1 regressed",
            "weird c%2F/2 lost"
        ]
    );
    assert_eq!(world.case("order:7")["kinds"], json!(["regressed"]));
    assert_eq!(world.case("order:8")["kinds"], json!(["lost"]));
}

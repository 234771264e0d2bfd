//! What both implementations promise.

use crate::support;
use restitch::config::ScanConfig;
use restitch::domain::schema::{Catalogue, ColumnIx, Entity, EntityIx, Reference, Schema};
use restitch::domain::value::ColumnType as T;
use restitch::restored::postgres::Postgres;
use restitch::restored::sqlite::Sqlite;
use restitch::restored::{Lookup, Restored};
use std::collections::BTreeMap;

/// The same statements make both databases.
const TABLES: &str = "
create table orders (
    id bigint primary key, external_id text, status varchar(40), amount numeric(12,2), rush boolean, qty smallint,
    due_at timestamptz, payload jsonb, weight double precision);
create index orders_by_identity on orders (external_id);
create table items (order_id bigint not null, line varchar(10) not null, sku text, primary key (order_id, line));
insert into orders values
    (9007199254740993, 'SFM-1', 'Created', 10.5, true, 3, '2026-11-22 14:00:00+00', '{\"a\": 1}', 1.5),
    (9007199254740994, 'SFM-2', null, null, false, -1, null, null, null),
    (7, '', 'It''s \\ \"quoted\" {1,2}', -0.25, null, 0, '2026-11-22 14:00:00.123456+00', '[]', 100);
insert into items values (7, 'a/b', 'x'), (7, 'c', 'y'), (9007199254740993, 'NULL', null);
";

pub fn entity(name: &str, table: &str, key: &[&str]) -> Entity {
    Entity {
        name: name.to_owned(),
        table: table.to_owned(),
        key: key.iter().map(|k| (*k).to_owned()).collect(),
        ..Entity::default()
    }
}

fn schema() -> Schema {
    let mut order = entity("order", "orders", &["id"]);
    order.identity = vec!["external_id".to_owned()];
    Schema {
        entities: vec![order, entity("order_item", "items", &["order_id", "line"])],
    }
}

/// Keys and the asked-for columns of all rows that a lookup finds.
pub async fn read(
    r: &mut impl Restored,
    catalogue: &Catalogue,
    entity: EntityIx,
    lookup: Lookup<'_>,
    columns: &[&str],
) -> BTreeMap<String, Vec<Option<String>>> {
    let table = &catalogue.tables[entity];
    let columns: Vec<ColumnIx> = columns.iter().map(|c| table.column(c).unwrap()).collect();
    let mut found = BTreeMap::new();
    let mut each = |row: restitch::restored::Row<'_>| {
        let values = row.values().map(|v| v.map(str::to_owned)).collect();
        assert_eq!(found.insert(row.key().to_owned(), values), None, "each row comes once");
    };
    r.rows(entity, lookup, &columns, &mut each).await.unwrap();
    found
}

fn keys(rows: &BTreeMap<String, Vec<Option<String>>>) -> Vec<&str> {
    rows.keys().map(String::as_str).collect()
}

async fn holds(r: &mut impl Restored) {
    let catalogue = r.catalogue(&schema()).await.unwrap();
    let [orders, items] = &catalogue.tables[..] else {
        panic!("two tables")
    };
    let types: Vec<&T> = orders.columns.iter().map(|c| &c.ty).collect();
    assert_eq!(
        types,
        [
            &T::Int8,
            &T::Text,
            &T::Text,
            &T::Numeric,
            &T::Bool,
            &T::Int2,
            &T::TimestampTz,
            &T::Jsonb,
            &T::Float8
        ]
    );
    assert_eq!(
        (orders.key.as_slice(), items.key.as_slice()),
        ([0].as_slice(), [0, 1].as_slice())
    );

    let err = r.rows(0, Lookup::Keys(&["7"]), &[], &mut |_| {}).await.unwrap_err();
    assert!(err.what.contains("before the snapshot"), "{err}");
    r.snapshot(&catalogue).await.unwrap();

    // By key: ids above 2^53, keys that are not there, keys that are no numbers.
    let all = ["external_id", "status", "amount", "rush", "qty", "payload"];
    let found = read(
        r,
        &catalogue,
        0,
        Lookup::Keys(&["7", "8", "nonsense", "9007199254740993", "9007199254740994"]),
        &all,
    )
    .await;
    assert_eq!(keys(&found), ["7", "9007199254740993", "9007199254740994"]);
    let texts = |key: &str| -> Vec<Option<&str>> { found[key].iter().map(Option::as_deref).collect() };
    assert_eq!(
        texts("9007199254740994"),
        [Some("SFM-2"), None, None, Some("false"), Some("-1"), None]
    );
    assert_eq!(
        texts("9007199254740993")[3..],
        [Some("true"), Some("3"), Some("{\"a\": 1}")]
    );
    assert_eq!(texts("7")[..2], [Some(""), Some("It's \\ \"quoted\" {1,2}")]);
    assert_eq!(texts("7")[3], None);

    // Composite keys, with a slash inside.
    let found = read(
        r,
        &catalogue,
        1,
        Lookup::Keys(&["7/a%2Fb", "7/c", "7/d", "9007199254740993/NULL", "7"]),
        &["sku"],
    )
    .await;
    assert_eq!(keys(&found), ["7/a%2Fb", "7/c", "9007199254740993/NULL"]);
    assert_eq!(found["7/a%2Fb"], [Some("x".to_owned())]);
    assert_eq!(found["9007199254740993/NULL"], [None]);

    // By value, one column and several; a text that is no value matches nothing and spoils nothing.
    let by = [orders.column("external_id").unwrap()];
    let lookup = Lookup::Values {
        columns: &by,
        tuples: &[vec!["SFM-1"], vec![""], vec!["nul\0"], vec!["'; drop table orders; --"]],
    };
    assert_eq!(
        keys(&read(r, &catalogue, 0, lookup, &[]).await),
        ["7", "9007199254740993"]
    );
    let by = [orders.column("qty").unwrap()];
    let lookup = Lookup::Values {
        columns: &by,
        tuples: &[vec!["three"], vec!["99999999999999999999"], vec!["-1"], vec!["-01"]],
    };
    assert_eq!(keys(&read(r, &catalogue, 0, lookup, &[]).await), ["9007199254740994"]);
    let by = [orders.column("rush").unwrap(), orders.column("qty").unwrap()];
    let lookup = Lookup::Values {
        columns: &by,
        tuples: &[vec!["true", "3"], vec!["false", "3"], vec!["maybe", "3"]],
    };
    assert_eq!(
        keys(&read(r, &catalogue, 0, lookup, &["status"]).await),
        ["9007199254740993"]
    );
    let by = [items.column("order_id").unwrap()];
    let lookup = Lookup::Values {
        columns: &by,
        tuples: &[vec!["7"]],
    };
    assert_eq!(keys(&read(r, &catalogue, 1, lookup, &[]).await), ["7/a%2Fb", "7/c"]);
    assert!(read(r, &catalogue, 0, Lookup::Keys(&[]), &[]).await.is_empty());
    assert_eq!(r.rows_read(), 3 + 3 + 2 + 1 + 1 + 2);

    what_a_lookup_costs(r, &catalogue).await;
    what_a_type_makes_of_texts(r, &catalogue).await;
}

async fn what_a_lookup_costs(r: &mut impl Restored, catalogue: &Catalogue) {
    for (entity, columns, indexed) in [
        (0, vec!["id"], true),
        (0, vec!["external_id"], true),
        (0, vec!["status"], false),
        (1, vec!["order_id"], true),
        (1, vec!["line"], false),
        (1, vec!["line", "order_id"], true),
    ] {
        let table = &catalogue.tables[entity];
        let by: Vec<ColumnIx> = columns.iter().map(|c| table.column(c).unwrap()).collect();
        let cost = r.cost(entity, &by).await.unwrap();
        assert_eq!(cost.indexed, indexed, "{columns:?}");
        assert!(cost.table_bytes > 0);
    }
}

async fn what_a_type_makes_of_texts(r: &mut impl Restored, catalogue: &Catalogue) {
    let orders = &catalogue.tables[0];
    let text = |t: &str| t.to_owned();
    let qty = &orders.columns[usize::from(orders.column("qty").unwrap())];
    let cast = r
        .cast(qty, &[text(" 07"), text("x"), text("70000"), text("-3"), text("\0")])
        .await
        .unwrap();
    assert_eq!(cast, [Some(text("7")), None, None, Some(text("-3")), None]);
    let amount = &orders.columns[usize::from(orders.column("amount").unwrap())];
    let pairs = [
        ("1.50", "1.5"),
        ("1e2", "100"),
        ("1", "2"),
        ("one", "one"),
        ("NaN", "NaN"),
    ];
    let pairs: Vec<(String, String)> = pairs.iter().map(|(a, b)| (text(a), text(b))).collect();
    let equal = r.equal(amount, &pairs).await.unwrap();
    assert_eq!((&equal[..3], equal[4]), ([true, true, false].as_slice(), true));
}

async fn names_what_is_near(r: &mut impl Restored) {
    let mut schema = schema();
    schema.entities[0] = entity("order", "order", &["id"]);
    let e = r.catalogue(&schema).await.unwrap_err();
    assert_eq!(e.place.as_deref(), Some("[schema.order] table"));
    assert!(
        e.what.contains("no table \"order\"") && e.cure.as_deref().unwrap().contains("orders"),
        "{e}"
    );

    let mut schema = self::schema();
    schema.entities[0].label = Some("extrenal_id".to_owned());
    let e = r.catalogue(&schema).await.unwrap_err();
    assert_eq!(e.place.as_deref(), Some("[schema.order] label"));
    assert!(
        e.what.contains("\"extrenal_id\"") && e.cure.as_deref().unwrap().contains("external_id"),
        "{e}"
    );

    let mut schema = self::schema();
    schema.entities[1].refs = vec![Reference {
        column: "sku".to_owned(),
        entity: "order".to_owned(),
        target: Some("externalid".to_owned()),
    }];
    let e = r.catalogue(&schema).await.unwrap_err();
    assert_eq!(e.place.as_deref(), Some("[schema.order_item] refs.sku"));
    assert!(e.cure.as_deref().unwrap().contains("external_id"), "{e}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_holds_the_contract() {
    let pg = support::pg();
    let db = pg.create_db();
    pg.psql(&db, TABLES);
    for connections in [1, 3] {
        let scan = ScanConfig {
            connections,
            ..ScanConfig::default()
        };
        let mut r = Postgres::connect(&pg.database(&db), &scan).await.unwrap();
        names_what_is_near(&mut r).await;
        holds(&mut r).await;
    }
}

#[tokio::test]
async fn sqlite_holds_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("restored.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(TABLES)
        .unwrap();
    let mut r = Sqlite::open(&path).unwrap();
    names_what_is_near(&mut r).await;
    holds(&mut r).await;
    assert!(
        Sqlite::open(&dir.path().join("none.db"))
            .unwrap_err()
            .cure
            .unwrap()
            .contains("restored.url")
    );
}

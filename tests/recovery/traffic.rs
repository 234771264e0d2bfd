//! What happens: before the log, before T, after T, and on the restored server.

use std::fmt::Write as _;

/// A column of `om.orders` for each common type: name, type, value as a function of a number, `#`.
pub const TYPES: &[(&str, &str, &str)] = &[
    ("rush", "boolean", "# % 2 = 0"),
    ("prio", "smallint", "(# % 30000 - 15000)::smallint"),
    ("qty", "integer", "# % 1000000 - 500"),
    ("total", "bigint", "9007199254740993 + #"),
    ("amount", "numeric(12,2)", "# / 7.0"),
    ("factor", "numeric", "#::numeric / 3"),
    ("ratio", "real", "# / 3.0"),
    ("exact", "double precision", "# / 3.0::double precision"),
    ("note", "text", "E'n\"o\\\\te\\n\\u00e9\\u260e ' || #"),
    ("code", "varchar(12)", "'c ' || # || ' '"),
    ("flag", "char(6)", "'f' || # % 1000"),
    ("uid", "uuid", "md5(#::text)::uuid"),
    ("day", "date", "date '2026-01-01' + # % 1000"),
    ("clock", "time", "time '00:00' + # % 80000 * interval '1.000001 s'"),
    (
        "zoned",
        "timetz",
        "('10:00:' || lpad((# % 60)::text, 2, '0') || '.123456+02')::timetz",
    ),
    (
        "stamp",
        "timestamp",
        "timestamp '2026-01-01' + # * interval '1.000001 s'",
    ),
    (
        "stamped",
        "timestamptz",
        "timestamptz '2026-01-01 00:00:00+00' + # * interval '1.000001 s'",
    ),
    ("span", "interval", "# * interval '1.5 s' + # % 40 * interval '1 day'"),
    ("doc", "json", "json_build_object('b', #, 'a', 'x' || #)"),
    (
        "docb",
        "jsonb",
        "jsonb_build_object('n', #, 'list', jsonb_build_array(#, null, 1.50))",
    ),
    ("bin", "bytea", "decode(md5(#::text), 'hex')"),
    ("ints", "int[]", "array[#, null, # + 1]"),
    ("texts", "text[]", "array['a \"q\", ' || #, null, 'NULL', '', '\\']"),
    ("ip", "inet", "('10.' || # % 256 || '.0.1')::inet"),
    ("mood", "om.mood", "(array['ok', 'sad', 'mad'])[1 + # % 3]::om.mood"),
    ("price", "om.price", "(# % 1000 + 1) / 4.0"),
];

/// Types that both servers and the server of the truth need.
pub const OWN_TYPES: &str = "create schema om; create type om.mood as enum ('ok', 'sad', 'mad');
    create domain om.price as numeric(10,2) check (value > 0);";

/// The value of a column for the number that SQL calls `s`; null now and then.
fn value(expression: &str, s: &str) -> String {
    format!(
        "case when ({s}) % 11 = 0 then null else {} end",
        expression.replace('#', &format!("({s})"))
    )
}

fn columns() -> String {
    TYPES.iter().map(|t| t.0).collect::<Vec<_>>().join(", ")
}

/// Values of all typed columns for row `n`.
fn values(s: &str) -> String {
    TYPES.iter().map(|t| value(t.2, s)).collect::<Vec<_>>().join(", ")
}

/// Orders `from ..= to` with items, plans and plan items, in the order of their numbers. Every tenth has a text that is
/// stored out of line.
fn orders(from: u32, to: u32, status: &str) -> String {
    format!(
        "insert into om.orders (n, external_id, status, prior_order_id, big, updated_at, {columns})
           select n, case when n % 17 <> 0 then 'SFM-' || n end, '{status}',
             case when n % 5 = 0 then 9007199254740991 + n end, case when n % 10 = 0 then om.big(n) end, clock_timestamp(), {values}
           from generate_series({from}, {to}) n order by n;
         insert into om.order_items (order_id, action, inventory_item_id, asset_ref, catalog_code, qty)
           select o.id, case when i = 1 then 'Add' else 'Change' end, o.n % 40 + 1, 'AR-' || o.n % 30 + 1, 'C/' || o.n % 10 + 1, i
           from om.orders o, generate_series(1, 2) i where o.n between {from} and {to} order by o.n, i;
         insert into om.plans (order_id, state)
           select id, case when n % 8 = 0 then 'Running' else 'Completed' end
           from om.orders where n between {from} and {to} and n % 2 = 0 order by n;
         insert into om.plan_items (plan_id, seq, state, item_type)
           select p.id, i, (array['Completed', 'Ready', 'Failed', 'Completed', 'Completed'])[1 + (o.n + i) % 5], 'Callout'
           from om.plans p join om.orders o on o.id = p.order_id, generate_series(1, 2) i
           where o.n between {from} and {to} order by o.n, i;",
        columns = columns(),
        values = values("n"),
    )
}

/// Schema and rows that the log never shows, except where they change later.
pub fn before_the_log() -> String {
    let typed: Vec<String> = TYPES.iter().map(|(name, ty, _)| format!("{name} {ty}")).collect();
    let typed = typed.join(", ");
    let mut sql = format!(
        "{OWN_TYPES}
         create sequence om.order_ids start 9007199254740993;
         create table om.orders (id bigint primary key default nextval('om.order_ids'), n int, external_id text, status text,
           prior_order_id bigint, superseded_order_id bigint, big text, updated_at timestamptz, {typed});
         alter table om.orders alter column big set storage external;
         create index on om.orders (external_id);
         create table om.order_items (id bigserial primary key, order_id bigint, action text, inventory_item_id bigint,
           asset_ref text, catalog_code text, qty int);
         create index on om.order_items (order_id);
         create table om.plans (id serial primary key, order_id bigint, state text);
         create table om.plan_items (plan_id int, seq smallint, state text, item_type text, primary key (plan_id, seq));
         create table om.inventory_items (id bigserial primary key, asset_ref text, name varchar(20));
         create table om.assets (id bigserial primary key, reference_id text, name text);
         alter table om.assets replica identity full;
         create table om.catalog (code text, version int, name text, primary key (code, version));
         create table om.systems (id int primary key, status text);
         create table om.noise (id serial primary key, what text);
         create table om.touched (entity text, key text, identity text, deleted bool, primary key (entity, key));
         create function om.id_of(int) returns bigint language sql stable as 'select min(id) from om.orders where n = $1';
         create function om.big(int) returns text language sql immutable as
           'select string_agg(md5($1 || '' '' || i), '''') from generate_series(1, 300) i';
         create function om.touch() returns trigger language plpgsql as $$
           declare old_key text; new_key text; named text; gone text;
           begin
             if tg_op = 'TRUNCATE' then
               update om.touched set deleted = true where entity = tg_argv[0];
               return null;
             end if;
             execute format('select %s, %s', tg_argv[1], tg_argv[1])
               into old_key using case when tg_op = 'INSERT' then to_jsonb(new) else to_jsonb(old) end;
             if tg_op <> 'DELETE' then
               execute format('select %s', tg_argv[1]) into new_key using to_jsonb(new);
               execute format('select %s', tg_argv[2]) into named using to_jsonb(new);
             end if;
             if tg_op = 'DELETE' or old_key <> new_key then
               -- What the log knows of a row that it only sees go is its replica identity.
               if tg_argv[0] = 'asset' then gone := to_jsonb(old) ->> 'reference_id'; end if;
               insert into om.touched as t values (tg_argv[0], old_key, gone, true)
                 on conflict (entity, key) do update set deleted = true, identity = coalesce(excluded.identity, t.identity);
             end if;
             if tg_op <> 'DELETE' then
               insert into om.touched values (tg_argv[0], new_key, named, false)
                 on conflict (entity, key) do update set deleted = false, identity = excluded.identity;
             end if;
             return null;
           end $$;"
    );
    let one = "$1 ->> 'id'";
    for (entity, table, key, identity) in [
        ("order", "orders", one, "$1 ->> 'external_id'"),
        ("order_item", "order_items", one, "null"),
        ("plan", "plans", one, "null"),
        (
            "plan_item",
            "plan_items",
            "($1 ->> 'plan_id') || '/' || ($1 ->> 'seq')",
            "null",
        ),
        ("inventory_item", "inventory_items", one, "null"),
        ("asset", "assets", one, "$1 ->> 'reference_id'"),
        (
            "catalog",
            "catalog",
            "replace($1 ->> 'code', '/', '%2F') || '/' || ($1 ->> 'version')",
            "$1 ->> 'code'",
        ),
        ("system_instance", "systems", one, "null"),
    ] {
        let quote = |t: &str| t.replace('\'', "''").replace('%', "%%");
        write!(
            sql,
            "create trigger touch after insert or update or delete on om.{table} for each row
               execute function om.touch('{entity}', '{}', '{}');
             create trigger touch_all after truncate on om.{table} for each statement execute function om.touch('{entity}');",
            quote(key).replace("%%", "%"),
            quote(identity),
        )
        .unwrap();
    }
    sql.push_str(
        "insert into om.assets (reference_id, name) select 'AR-' || n, 'asset ' || n from generate_series(1, 30) n order by n;
         insert into om.inventory_items (asset_ref, name) select 'AR-' || n % 30 + 1, 'item ' || n from generate_series(1, 40) n order by n;
         insert into om.catalog select 'C/' || n, 1, 'offer ' || n from generate_series(1, 10) n;
         insert into om.systems select n, 'UP' from generate_series(1, 4) n;",
    );
    sql.push_str(&orders(1, 60, "Created"));
    sql.push_str(
        "update om.order_items set inventory_item_id = 9999 where order_id = om.id_of(33) and qty = 1;
         insert into om.order_items (order_id, action, inventory_item_id, qty) values (777, 'Add', 1, 1), (777, 'Add', 2, 2);
         update om.orders set factor = 1.5, doc = '{\"b\": 1, \"a\": [1.0]}' where n in (45, 46);",
    );
    sql
}

/// Logged, and part of the restored state.
pub fn before_t() -> String {
    orders(61, 120, "Created")
        + "update om.orders set status = 'Accepted' where n between 10 and 20;
           delete from om.orders where n = 55;
           update om.orders set id = id + 1000000 where n = 21;
           truncate om.systems;
           insert into om.systems select n, 'UP' from generate_series(1, 3) n;
           insert into om.catalog values ('C/11', 1, 'late offer');
           insert into om.noise (what) values ('unmapped');
           begin; update om.orders set status = 'never' where n < 5; rollback;"
}

/// Logged, and lost by the restore.
pub fn after_t() -> String {
    let mut sql = String::from(
        "insert into om.assets (reference_id, name) select 'AR-' || n, 'asset ' || n from generate_series(31, 75) n order by n;
         insert into om.inventory_items (asset_ref, name) select 'AR-' || n, 'item ' || n from generate_series(41, 90) n order by n;
         insert into om.catalog values ('C/12', 1, 'new offer'), ('C/1', 2, 'new version');",
    );
    sql.push_str(&orders(121, 240, "Created"));
    // Every type, one column an order; partial updates that leave the out-of-line text alone.
    for (k, (name, _, expression)) in TYPES.iter().enumerate() {
        let value = value(expression, "n + 1000");
        write!(
            sql,
            "update om.orders set {name} = {value}, updated_at = clock_timestamp()
               where n between 22 and 110 and n % {} = {k} and n not in (45, 46, 47);",
            TYPES.len()
        )
        .unwrap();
    }
    sql.push_str(
        "update om.orders set status = 'Accepted' where n between 28 and 42;
         update om.orders set big = om.big(-n) where n in (50, 60, 100);
         update om.orders set big = null where n = 110;
         update om.orders set status = 'Done' where n in (50, 130, 140);
         -- Not a difference: scale, JSON key order, nothing at all.
         update om.orders set factor = 1.500, doc = '{\"a\":[1.00],\"b\":1}' where n in (45, 46);
         update om.orders set n = n, updated_at = clock_timestamp() where n = 47;
         -- Deletes: rows that the log knew and rows that it did not, with and without what belongs to them.
         delete from om.orders where n in (48, 49, 70, 71, 150);
         delete from om.order_items where order_id in (om.id_of(72), om.id_of(73), 777) and qty = 2;
         delete from om.plans where order_id = om.id_of(74);
         delete from om.assets where reference_id in ('AR-5', 'AR-8', 'AR-33');
         delete from om.inventory_items where id = 7;
         delete from om.catalog where code = 'C/11';
         delete from om.systems where id = 2;
         truncate om.systems;
         insert into om.systems values (1, 'DOWN'), (4, 'UP');
         -- Deleted and made again, as another order and as the same.
         create temp table again as select * from om.orders where n in (75, 76);
         delete from om.orders where n in (75, 76);
         insert into om.orders select * from again;
         update om.orders set external_id = 'SFM-75-again' where n = 75;
         update om.orders set status = 'Redone' where n = 76;
         -- Other keys.
         update om.orders set id = id + 1000000 where n in (77, 52);
         update om.plan_items set seq = seq + 10 where plan_id = (select id from om.plans where order_id = om.id_of(78)) and seq = 1;
         update om.catalog set code = 'C/3b' where code = 'C/3';
         -- References to what came after T.
         update om.order_items set inventory_item_id = 45 where order_id = om.id_of(31) and qty = 1;
         update om.orders set prior_order_id = om.id_of(135) where n in (79, 81);
         update om.order_items set asset_ref = 'AR-40' where order_id = om.id_of(82) and qty = 2;
         update om.order_items set catalog_code = 'C/12' where order_id = om.id_of(83);
         update om.orders set superseded_order_id = om.id_of(84) where n = 131;
         update om.orders set superseded_order_id = om.id_of(131) where n = 132;
         update om.orders set prior_order_id = om.id_of(134) where n = 133;
         update om.orders set prior_order_id = om.id_of(133) where n = 134;
         update om.assets set reference_id = 'AR-6b' where reference_id = 'AR-6';
         update om.order_items set asset_ref = 'AR-6b' where order_id = om.id_of(86) and qty = 1;
         update om.order_items set inventory_item_id = 50 where order_id = om.id_of(88) and qty = 1;
         delete from om.inventory_items where id = 50;
         -- An item goes to another order; plans go on.
         update om.order_items set order_id = om.id_of(85) where order_id = om.id_of(87) and qty = 2;
         update om.plans set state = 'Completed' where order_id in (om.id_of(8), om.id_of(64), om.id_of(24));
         update om.plan_items set state = 'Completed' where state = 'Failed' and plan_id < 20;
         insert into om.plans (order_id, state) values (om.id_of(89), 'Running');
         insert into om.noise (what) select 'unmapped ' || n from generate_series(1, 20) n;",
    );
    sql
}

/// What people and services did on the restored server before anyone looked.
pub fn on_the_restored() -> String {
    // New orders take the ids of lost ones, and so do their items and plans.
    let mut sql = orders(1001, 1040, "New");
    write!(
        sql,
        "insert into om.orders (n, external_id, status) values (2001, 'SFM-200', 'Back'), (2002, 'SFM-201', 'Back');
         insert into om.assets (reference_id, name) values ('AR-71', 'by itself'), ('AR-999', 'reused id');
         -- Back under its own key, just as it was; and back with another state.
         insert into om.orders (id, n, external_id, status, prior_order_id, big, {columns})
           select {id}, n, 'SFM-' || n, 'Created', {id} - 1, om.big(n), {values} from generate_series(230, 230) n;
         insert into om.orders (id, n, external_id, status) values ({id} + 1, 231, 'SFM-231', 'Other');
         delete from om.orders where n in (90, 12, 5);
         delete from om.inventory_items where id in (21, 22);
         update om.orders set status = 'Changed here' where n in (91, 6);
         delete from om.orders where n = 92;
         insert into om.orders (n, external_id, status) values (92, 'SFM-92', 'Moved here');
         update om.orders set external_id = null where n = 93;
         update om.assets set reference_id = 'AR-5 of another' where reference_id = 'AR-5';
         insert into om.plans (order_id, state) values (9007199254740993, 'Running');",
        columns = columns(),
        values = values("n"),
        id = 9_007_199_254_740_992_u64 + 230,
    )
    .unwrap();
    sql
}

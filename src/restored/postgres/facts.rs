//! What the server says of itself. Each question is asked alone, outside the snapshot, because each wants a privilege of
//! its own and a refusal must harm nothing.

use super::catalogue::Relation;
use crate::domain::value::{ColumnType, join_key, key_form};
use crate::domain::{Error, Result};
use crate::restored::facts::{Facts, Known, Newest, Shape, Stamped};
use crate::restored::pg::Connection;
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;
use tokio_postgres::types::{FromSqlOwned, Oid};

/// The longest that a site's own check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(30);

// PostgreSQL manual, pg_walfile_name: the first eight hexadecimal digits of a segment's name are the timeline. It is the
// one written to now; the control file's lags behind until the first checkpoint after a promotion.
const TIMELINE: &str = "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int::bigint";
const TIMELINE_OF_STANDBY: &str = "select timeline_id::bigint from pg_control_checkpoint()";

const STARTED: &str = "select (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint";

const REPLAYED: &str = "select (extract(epoch from pg_last_xact_replay_timestamp()) * 1000000)::bigint";

// What the startup process logs at the end of a recovery (xlogrecovery.c). It stands near the start of its file; the
// sixteen megabytes are for a file that is written on.
const LOGGED: &str = "\
    select (extract(epoch from max(m[1]::timestamptz)) * 1000000)::bigint \
    from (select name from pg_ls_logdir() where name like '%.log' order by modification desc limit 10) f, \
      lateral regexp_matches(pg_read_file(current_setting('log_directory') || '/' || f.name, 0, 16777216), \
        'last completed transaction was at log time ([0-9: .+-]+)', 'g') m";

const PREPARED: &str = "\
    select gid, owner::text, (extract(epoch from prepared) * 1000000)::bigint from pg_prepared_xacts order by prepared";

const SLOTS: &str = "select slot_name::text from pg_replication_slots order by 1";

// Not compared: what belongs to one server (its paths, port and name), to its recovery, or to this session.
const SETTINGS: &str = "\
    select name, coalesce(reset_val, '') from pg_settings \
    where context <> 'internal' and source <> 'client' and name !~ '^(recovery_|primary_|promote_|transaction_|lc_messages$)' \
      and name not in ('port', 'listen_addresses', 'data_directory', 'config_file', 'hba_file', 'ident_file', \
        'external_pid_file', 'unix_socket_directories', 'cluster_name', 'restore_command', 'archive_cleanup_command', \
        'application_name', 'client_encoding', 'log_filename') \
    union all \
    select coalesce(r.rolname, 'all roles') || '@' || coalesce(d.datname, 'all databases') || ' ' || split_part(c, '=', 1), c \
    from pg_db_role_setting s cross join unnest(s.setconfig) c left join pg_roles r on r.oid = s.setrole \
      left join pg_database d on d.oid = s.setdatabase order by 1";

const ROLES: &str = "\
    select r.rolname::text, concat_ws(' ', r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, \
      r.rolreplication, r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil, \
      (select string_agg(g.rolname, ',' order by g.rolname) from pg_auth_members m join pg_roles g on g.oid = m.roleid \
         where m.member = r.oid)) \
    from pg_roles r where r.rolname !~ '^pg_' order by 1";

const HOSTS: &str = "\
    select concat_ws(' ', type, array_to_string(database, ','), array_to_string(user_name, ','), address, netmask, \
      auth_method) from pg_hba_file_rules where error is null order by 1";

// Named as KNOWN_TABLES of the catalogue does; partitions belong to their table.
const TABLES: &str = "\
    select c.oid, case when pg_table_is_visible(c.oid) and n.nspname = 'public' then c.relname::text \
        else n.nspname || '.' || c.relname end, c.reltuples::bigint \
    from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p') and not c.relispartition and n.nspname not in ('pg_catalog', 'information_schema') \
      and n.nspname not like 'pg\\_toast%' and n.nspname not like 'pg\\_temp%' \
      and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') order by 2 limit 20000";

const COLUMNS: &str = "\
    select attrelid, attname::text, format_type(atttypid, atttypmod) from pg_attribute \
    where attrelid = any($1::oid[]) and attnum > 0 and not attisdropped order by attrelid, attnum";

const UNIQUE: &str = "\
    select i.indrelid, i.indisprimary, array(select a.attname::text from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) \
      with ordinality as k(number, place) join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number order by place) \
    from pg_index i where i.indrelid = any($1::oid[]) and i.indisunique and i.indpred is null and i.indexprs is null \
    order by i.indrelid, i.indexrelid";

const FOREIGN: &str = "\
    select k.conrelid, a.attname::text, k.confrelid, b.attname::text from pg_constraint k \
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1] \
    join pg_attribute b on b.attrelid = k.confrelid and b.attnum = k.confkey[1] \
    where k.contype = 'f' and k.conrelid = any($1::oid[]) and array_length(k.conkey, 1) = 1 order by k.conrelid, a.attnum";

fn why(e: &tokio_postgres::Error) -> String {
    e.as_db_error()
        .map_or_else(|| e.to_string(), |db| db.message().to_owned())
}

/// The one value of a query; an error and a null are not known.
async fn one<T: FromSqlOwned>(pg: &Connection, sql: &str, null: &str) -> Known<T> {
    let row = pg.client.query_typed_one(sql, &[]).await.map_err(|e| why(&e))?;
    let value: Option<T> = row.try_get(0).map_err(|e| why(&e))?;
    value.ok_or_else(|| null.to_owned())
}

async fn list<T>(
    pg: &Connection,
    sql: &str,
    each: impl Fn(&tokio_postgres::Row) -> Result<T, tokio_postgres::Error>,
) -> Known<Vec<T>> {
    let rows = pg.client.query_typed(sql, &[]).await.map_err(|e| why(&e))?;
    rows.iter().map(|row| each(row).map_err(|e| why(&e))).collect()
}

fn pair(row: &tokio_postgres::Row) -> Result<(String, String), tokio_postgres::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// All of it.
pub(super) async fn facts(pg: &Connection) -> Facts {
    let in_recovery: Known<bool> = one(pg, "select pg_is_in_recovery()", "").await;
    let timeline = match one(pg, TIMELINE, "").await {
        Ok(timeline) => Ok(timeline),
        Err(_) => one(pg, TIMELINE_OF_STANDBY, "").await,
    };
    let replayed = match one(
        pg,
        REPLAYED,
        "the server was started again since it recovered, or never did",
    )
    .await
    {
        Ok(at) => Ok(at),
        Err(first) => {
            let logged = one(pg, LOGGED, "its log files name no recovery").await;
            logged.map_err(|second| format!("{first}; {second}"))
        }
    };
    let address = "select host(inet_server_addr()) || ':' || inet_server_port()";
    Facts {
        place: pg.place.clone(),
        address: one(pg, address, "the connection is a local socket").await,
        database: one(pg, "select current_database()::text", "").await,
        started: one(pg, STARTED, "").await,
        timeline,
        in_recovery,
        replayed,
        prepared: list(pg, PREPARED, |r| Ok((r.try_get(0)?, r.try_get(1)?, r.try_get(2)?))).await,
        slots: list(pg, SLOTS, |r| r.try_get(0)).await,
        settings: list(pg, SETTINGS, pair).await,
        roles: list(pg, ROLES, pair).await,
        hosts: list(pg, HOSTS, |r| r.try_get(0)).await,
    }
}

/// Runs the site's own statement in a transaction that cannot write, for half a minute at most.
pub(super) async fn check(pg: &Connection, sql: &str) -> Result<Known<bool>> {
    let failed = |e: tokio_postgres::Error| pg.error("asking the site's own check", &e);
    let begin = format!(
        "begin read only; set local statement_timeout = {}; set local enable_seqscan = on",
        CHECK_LIMIT.as_millis()
    );
    pg.client.batch_execute(&begin).await.map_err(failed)?;
    // The extended protocol takes one statement and no more.
    let asked = pg.client.query_typed(sql, &[]).await;
    pg.client.batch_execute("rollback").await.map_err(failed)?;
    Ok(match asked {
        Err(e) => Err(why(&e)),
        Ok(rows) => match rows.as_slice() {
            [row] if row.len() == 1 => match row.try_get::<_, Option<bool>>(0) {
                Ok(Some(holds)) => Ok(holds),
                Ok(None) => Err("it gives null".to_owned()),
                Err(_) => Err(format!("it gives a {}, not a boolean", row.columns()[0].type_().name())),
            },
            [_] => Err("it gives more than one column".to_owned()),
            rows => Err(format!("it gives {} rows, not one", rows.len())),
        },
    })
}

/// The newest rows by a column of time.
pub(super) async fn newest(pg: &Connection, relation: &Relation, asked: Newest) -> Result<Vec<Stamped>> {
    let failed = |e: tokio_postgres::Error| pg.error("reading the newest rows", &e);
    let column = relation
        .columns
        .get(usize::from(asked.column))
        .filter(|c| matches!(c.ty, ColumnType::Timestamp | ColumnType::TimestampTz))
        .ok_or_else(|| Error::failed("rows were asked for by a column that holds no time"))?;
    let key: Vec<_> = relation.key.iter().filter_map(|k| relation.columns.get(*k)).collect();
    let reads: Vec<&str> = key.iter().map(|c| c.read.as_str()).collect();
    // A time that is infinite says nothing of when.
    let sql = format!(
        "select (extract(epoch from {at}) * 1000000)::bigint, {} from {} where {at} is not null and isfinite({at}) \
         order by {at} desc limit {}",
        reads.join(", "),
        relation.sql,
        asked.limit,
        at = column.sql
    );
    let rows = pg.client.query_typed(&sql, &[]).await.map_err(failed)?;
    let mut out = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut parts = Vec::with_capacity(key.len());
        for (at, column) in (1..).zip(&key) {
            let part: Option<String> = row.try_get(at).map_err(failed)?;
            parts.extend(part.map(|p| Cow::Owned(key_form(&column.ty, &p).to_owned())));
        }
        if parts.len() == key.len() {
            out.push(Stamped {
                key: join_key(&parts).into_owned(),
                at: row.try_get(0).map_err(failed)?,
            });
        }
    }
    Ok(out)
}

/// Every table that this user may read.
pub(super) async fn shapes(pg: &Connection) -> Result<Vec<Shape>> {
    let failed = |e: tokio_postgres::Error| pg.error("reading the catalogue", &e);
    let mut shapes = Vec::new();
    let mut at: HashMap<Oid, usize> = HashMap::new();
    for row in pg.client.query_typed(TABLES, &[]).await.map_err(failed)? {
        let rows: i64 = row.try_get(2).map_err(failed)?;
        at.insert(row.try_get(0).map_err(failed)?, shapes.len());
        shapes.push(Shape {
            name: row.try_get(1).map_err(failed)?,
            // -1: never analysed.
            rows: u64::try_from(rows).ok(),
            ..Shape::default()
        });
    }
    let oids: Vec<Oid> = at.keys().copied().collect();
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), tokio_postgres::types::Type); 1] =
        [(&oids, tokio_postgres::types::Type::OID_ARRAY)];
    for row in pg.client.query_typed(COLUMNS, &parameters).await.map_err(failed)? {
        let of: Oid = row.try_get(0).map_err(failed)?;
        if let Some(shape) = at.get(&of).and_then(|at| shapes.get_mut(*at)) {
            let column = (row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?);
            shape.columns.push(column);
        }
    }
    for row in pg.client.query_typed(UNIQUE, &parameters).await.map_err(failed)? {
        let of: Oid = row.try_get(0).map_err(failed)?;
        let (primary, columns): (bool, Vec<String>) =
            (row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?);
        if let Some(shape) = at.get(&of).and_then(|at| shapes.get_mut(*at)) {
            if primary {
                shape.key = columns;
            } else {
                shape.unique.push(columns);
            }
        }
    }
    let names: Vec<String> = shapes.iter().map(|s| s.name.clone()).collect();
    for row in pg.client.query_typed(FOREIGN, &parameters).await.map_err(failed)? {
        let (of, to): (Oid, Oid) = (row.try_get(0).map_err(failed)?, row.try_get(2).map_err(failed)?);
        let Some(target) = at.get(&to).and_then(|at| names.get(*at)) else {
            continue;
        };
        if let Some(shape) = at.get(&of).and_then(|at| shapes.get_mut(*at)) {
            let column = (
                row.try_get(1).map_err(failed)?,
                target.clone(),
                row.try_get(3).map_err(failed)?,
            );
            shape.refers.push(column);
        }
    }
    Ok(shapes)
}

//! What `pg_catalog` says of the mapped tables. Every name in SQL comes from here, looked up by parameter, then quoted.

use crate::domain::schema::{Catalogue, Column, EntityIx, NAME_LIMIT, Schema, Table};
use crate::domain::value::ColumnType;
use crate::domain::{Error, Result};
use crate::restored::pg::{Connection, quoted};
use crate::restored::{check_columns, check_targets, no_table};
use std::collections::HashMap;
use tokio_postgres::types::{Oid, Type};

/// A mapped table as statements need it.
#[derive(Debug)]
pub(super) struct Relation {
    /// Its object id.
    pub oid: Oid,
    /// `"schema"."table"`.
    pub sql: String,
    /// One for each column of the table.
    pub columns: Vec<Attribute>,
    /// The key columns.
    pub key: Vec<usize>,
}

/// A column as statements need it.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    /// Quoted.
    pub sql: String,
    /// How its values compare.
    pub ty: ColumnType,
    /// Its number in `pg_attribute`.
    pub number: i16,
    /// The base type without a modifier, as SQL; values cast to it are never cut off.
    pub cast: String,
    /// The text output of the column.
    pub read: String,
    /// Which texts are surely values of it.
    pub takes: Takes,
}

/// Which texts can be handed to a type without asking the server first. A statement that fails inside the snapshot ends
/// the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Those that read as this type here.
    Known,
    /// Only the server knows.
    Ask,
}

impl Relation {
    /// A lookup's condition for these columns; `$1` and on are arrays.
    pub fn condition(&self, columns: &[usize]) -> String {
        if let [one] = columns {
            return format!("{} = any($1)", self.columns[*one].sql);
        }
        let names: Vec<&str> = columns.iter().map(|c| self.columns[*c].sql.as_str()).collect();
        let arrays: Vec<String> = columns
            .iter()
            .zip(1..)
            .map(|(c, n)| format!("${n}::{}[]", self.columns[*c].cast))
            .collect();
        format!(
            "({}) in (select * from unnest({}))",
            names.join(", "),
            arrays.join(", ")
        )
    }
}

const TABLES: &str = "\
    select w.ordinality, c.oid, n.nspname::text, c.relname::text, has_schema_privilege(n.oid, 'usage') \
    from unnest($1::text[], $2::text[]) with ordinality as w(schema, name, ordinality) \
    join pg_class c on c.relname::text = w.name and c.relkind in ('r', 'p', 'v', 'm', 'f') \
    join pg_namespace n on n.oid = c.relnamespace \
    where case when w.schema = '' then pg_table_is_visible(c.oid) else n.nspname::text = w.schema end \
    order by w.ordinality";

const KNOWN_TABLES: &str = "\
    select case when pg_table_is_visible(c.oid) and n.nspname = 'public' then c.relname else n.nspname || '.' || c.relname end \
    from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema') \
      and n.nspname not like 'pg\\_toast%' and n.nspname not like 'pg\\_temp%' limit 20000";

// A domain is followed to the type under it; the modifier is that of the innermost domain that has one.
const COLUMNS: &str = "\
    with recursive base(oid, number, typ, typmod) as ( \
      select attrelid, attnum, atttypid, atttypmod from pg_attribute \
      where attrelid = any($1::oid[]) and attnum > 0 and not attisdropped \
      union all \
      select b.oid, b.number, t.typbasetype, t.typtypmod from base b join pg_type t on t.oid = b.typ where t.typtype = 'd') \
    select a.attrelid, a.attnum, a.attname::text, t.oid, t.typtype::text, coalesce(el.oid, 0::oid), coalesce(el.typtype, '')::text, \
      format_type(t.oid, case when coalesce(nullif(t.typelem, 0), t.oid) in (1700, 1083, 1266, 1114, 1184, 1186) then b.typmod \
                              else -1 end), \
      format_type(t.oid, -1), \
      t.typname::text, coalesce(el.typname, '')::text, \
      (select quote_ident(cn.nspname) || '.' || quote_ident(co.collname) from pg_collation co \
         join pg_namespace cn on cn.oid = co.collnamespace where co.oid = a.attcollation and not co.collisdeterministic), \
      has_column_privilege(a.attrelid, a.attnum, 'select') \
    from base b join pg_type t on t.oid = b.typ and t.typtype <> 'd' \
    join pg_attribute a on a.attrelid = b.oid and a.attnum = b.number \
    left join pg_type el on el.oid = t.typelem and t.typlen = -1 and t.typcategory = 'A' \
    order by a.attrelid, a.attnum";

/// Reads the mapped tables and checks every configured name.
pub(super) async fn read(pg: &Connection, schema: &Schema) -> Result<(Catalogue, Vec<Relation>)> {
    let failed = |e: tokio_postgres::Error| pg.error("reading the catalogue", &e);
    let found = tables(pg, schema).await?;
    let oids: Vec<Oid> = found.iter().map(|(oid, _, _)| *oid).collect();
    let rows = pg
        .client
        .query_typed(COLUMNS, &[(&oids, Type::OID_ARRAY)])
        .await
        .map_err(failed)?;
    let mut columns: HashMap<Oid, (Vec<Column>, Vec<Attribute>)> = HashMap::new();
    let mut hidden: HashMap<Oid, Vec<String>> = HashMap::new();
    for row in &rows {
        let oid: Oid = row.try_get(0).map_err(failed)?;
        let name: String = row.try_get(2).map_err(failed)?;
        if !row.try_get::<_, bool>(12).map_err(failed)? {
            hidden.entry(oid).or_default().push(name.clone());
        }
        let (column, attribute) = column(row, name).map_err(failed)?;
        let (columns, attributes) = columns.entry(oid).or_default();
        columns.push(column);
        attributes.push(attribute);
    }
    let mut catalogue = Catalogue::default();
    let mut relations = Vec::new();
    for (ix, (oid, name, sql)) in found.into_iter().enumerate() {
        if let Some(hidden) = hidden.get(&oid) {
            return Err(no_privilege(pg, schema, ix, &sql, hidden).await);
        }
        // Two entities may stand in one table.
        let (columns, attributes) = columns
            .get(&oid)
            .map_or_else(Default::default, |(c, a)| (c.clone(), a.clone()));
        let mut table = Table {
            name,
            columns,
            key: Vec::new(),
        };
        table.key = check_columns(schema, ix, &table)?;
        relations.push(Relation {
            oid,
            sql,
            columns: attributes,
            key: table.key.iter().map(|k| usize::from(*k)).collect(),
        });
        catalogue.tables.push(table);
    }
    check_targets(schema, &catalogue)?;
    Ok((catalogue, relations))
}

/// A configured table as schema and name, the likeliest reading first: both may hold dots themselves.
fn readings(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let dots = table.match_indices('.').map(|(at, _)| (&table[..at], &table[at + 1..]));
    dots.chain(std::iter::once(("", table)))
}

/// Object id, name for people and name for SQL of each entity's table.
pub async fn tables(pg: &Connection, schema: &Schema) -> Result<Vec<(Oid, String, String)>> {
    let failed = |e: tokio_postgres::Error| pg.error("reading the catalogue", &e);
    let mut names: Vec<(usize, (&str, &str))> = Vec::with_capacity(schema.entities.len());
    for (ix, entity) in schema.entities.iter().enumerate() {
        let before = names.len();
        let fits = |name: &str| name.len() <= NAME_LIMIT && !name.contains('\0');
        let read = readings(&entity.table).filter(|(s, t)| fits(s) && fits(t));
        names.extend(read.map(|name| (ix, name)));
        if names.len() == before {
            return Err(Error::usage("a PostgreSQL name has at most 63 bytes and no NUL")
                .at(format!("[schema.{}] table", entity.name))
                .cure("give the table's name as \\d shows it"));
        }
    }
    let (schemas, tables): (Vec<&str>, Vec<&str>) = names.iter().map(|(_, name)| *name).unzip();
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&schemas, Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY)];
    let rows = pg.client.query_typed(TABLES, &parameters).await.map_err(failed)?;
    let mut found: Vec<Option<(Oid, String, String)>> = vec![None; schema.entities.len()];
    for row in &rows {
        let at: i64 = row.try_get(0).map_err(failed)?;
        let (oid, s, t): (Oid, String, String) = (
            row.try_get(1).map_err(failed)?,
            row.try_get(2).map_err(failed)?,
            row.try_get(3).map_err(failed)?,
        );
        let Some((ix, _)) = usize::try_from(at - 1).ok().and_then(|at| names.get(at)) else {
            continue;
        };
        let ix = *ix;
        if found[ix].is_some() {
            continue;
        }
        if !row.try_get::<_, bool>(4).map_err(failed)? {
            return Err(no_privilege(pg, schema, ix, &format!("{}.{}", quoted(&s), quoted(&t)), &[]).await);
        }
        found[ix] = Some((oid, format!("{s}.{t}"), format!("{}.{}", quoted(&s), quoted(&t))));
    }
    let mut all = Vec::with_capacity(found.len());
    for (ix, table) in found.into_iter().enumerate() {
        let Some(table) = table else {
            let rows = pg.client.query_typed(KNOWN_TABLES, &[]).await.map_err(failed)?;
            let known = rows
                .iter()
                .map(|r| r.try_get(0))
                .collect::<Result<Vec<String>, _>>()
                .map_err(failed)?;
            return Err(no_table(schema, ix, &known));
        };
        all.push(table);
    }
    Ok(all)
}

/// The error for a table that this user may not read, with the statements that cure it.
async fn no_privilege(pg: &Connection, schema: &Schema, entity: EntityIx, sql: &str, hidden: &[String]) -> Error {
    let me = pg.client.query_typed_one("select quote_ident(current_user)", &[]).await;
    let me: String = me
        .and_then(|row| row.try_get(0))
        .unwrap_or_else(|_| "this user".to_owned());
    let namespace = sql.split("\".").next().map_or_else(String::new, |s| format!("{s}\""));
    let which = match hidden {
        [] => String::new(),
        hidden => format!(" (columns {})", hidden.join(", ")),
    };
    Error::failed(format!("permission denied: {me} may not read {sql}{which}"))
        .at(format!("[schema.{}] table, {}", schema.entities[entity].name, pg.place))
        .cure(format!(
            "a DBA runs: GRANT USAGE ON SCHEMA {namespace} TO {me}; GRANT SELECT ON {sql} TO {me};"
        ))
}

/// One row of [`COLUMNS`].
fn column(row: &tokio_postgres::Row, name: String) -> Result<(Column, Attribute), tokio_postgres::Error> {
    let (oid, kind): (Oid, String) = (row.try_get(3)?, row.try_get(4)?);
    let (element, element_kind): (Oid, String) = (row.try_get(5)?, row.try_get(6)?);
    let (mut declared, cast): (String, String) = (row.try_get(7)?, row.try_get(8)?);
    let (typname, element_name): (String, String) = (row.try_get(9)?, row.try_get(10)?);
    let collation: Option<String> = row.try_get(11)?;
    let ci = collation.is_some();
    let ty = if element == 0 {
        scalar(oid, &kind, &typname, ci)
    } else {
        ColumnType::Array(Box::new(scalar(element, &element_kind, &element_name, ci)))
    };
    if let Some(collation) = collation {
        // `x::text COLLATE c` reads as one cast wherever `declared` is used as one.
        declared = format!("{declared} COLLATE {collation}");
    }
    let sql = quoted(&name);
    // The casts of these two to text add the netmask; their output functions do not.
    let read = match oid {
        869 => format!("textin(inet_out({sql}))"),
        650 => format!("textin(cidr_out({sql}))"),
        25 | 1043 => sql.clone(),
        _ => format!("{sql}::text"),
    };
    let takes = match ty {
        ColumnType::Bool | ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8 | ColumnType::Uuid => Takes::Known,
        ColumnType::Text | ColumnType::Char | ColumnType::TextCi if kind != "e" => Takes::Known,
        _ => Takes::Ask,
    };
    let number = row.try_get(1)?;
    Ok((
        Column {
            name,
            ty: ty.clone(),
            declared,
        },
        Attribute {
            sql,
            ty,
            number,
            cast,
            read,
            takes,
        },
    ))
}

/// How values of a type compare. The numbers are those of `pg_type.dat`, the same in every PostgreSQL.
fn scalar(oid: Oid, kind: &str, name: &str, ci: bool) -> ColumnType {
    match oid {
        16 => ColumnType::Bool,
        21 => ColumnType::Int2,
        23 => ColumnType::Int4,
        20 => ColumnType::Int8,
        1700 => ColumnType::Numeric,
        700 => ColumnType::Float4,
        701 => ColumnType::Float8,
        25 | 1043 | 1042 | 19 if ci => ColumnType::TextCi,
        25 | 1043 | 19 => ColumnType::Text,
        1042 => ColumnType::Char,
        2950 => ColumnType::Uuid,
        1082 => ColumnType::Date,
        1083 => ColumnType::Time,
        1266 => ColumnType::TimeTz,
        1114 => ColumnType::Timestamp,
        1184 => ColumnType::TimestampTz,
        1186 => ColumnType::Interval,
        114 => ColumnType::Json,
        3802 => ColumnType::Jsonb,
        17 => ColumnType::Bytea,
        _ if name == "citext" => ColumnType::TextCi,
        // An enum's labels are equal when their bytes are.
        _ if kind == "e" => ColumnType::Text,
        _ => ColumnType::Other,
    }
}

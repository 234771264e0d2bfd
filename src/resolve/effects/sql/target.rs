//! Rows of the restored database as statements write them: what they are called, how they must stand, and why one does not.

use super::super::plan::{Cell, Write};
use super::super::{changed, no_marker, not_as_shown};
use super::failed;
use crate::domain::schema::{Entity, Schema};
use crate::domain::value::{salesforce_id_other, split_key};
use crate::domain::{Error, Result};
use crate::ledger::Pending;
use crate::resolve::steps::Act;
use crate::restored::pg::{Connection, quoted};
use crate::restored::postgres::tables;
use std::collections::HashMap;
use tokio_postgres::types::{Oid, ToSql, Type};

/// Whether a decision's key was free.
pub(super) enum Marked {
    New,
    /// The same was written under it.
    Before,
    /// Something else was.
    Other,
}

/// A column as statements need it.
#[derive(Clone)]
struct Column {
    /// Quoted.
    sql: String,
    /// The base type, as SQL: values cast to it are never cut off, the column's own limit judges them.
    cast: String,
    /// The base type with its modifier: as the column would write it.
    declared: String,
    generated: bool,
    always_identity: bool,
}

/// A table as statements need it.
struct Table {
    oid: Oid,
    /// `"schema"."table"`
    sql: String,
    columns: HashMap<String, Column>,
}

/// Where the rows are written.
pub(super) struct Target<'a> {
    pg: &'a Connection,
    schema: &'a Schema,
    tables: Vec<Table>,
    /// The table for keys, as SQL names it.
    marker: Option<String>,
}

/// Parameters of a statement being put together; all go as text, and the server casts them.
#[derive(Default)]
struct Parameters {
    texts: Vec<Option<String>>,
}

impl Parameters {
    /// `$3::text`
    fn add(&mut self, text: Option<&str>) -> String {
        self.texts.push(text.map(str::to_owned));
        format!("${}::text", self.texts.len())
    }

    fn typed(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        let mut all: Vec<(&(dyn ToSql + Sync), Type)> = Vec::with_capacity(self.texts.len());
        for text in &self.texts {
            all.push((text, Type::TEXT));
        }
        all
    }
}

const MARKERS: &str = "select quote_ident(n.nspname) || '.' || quote_ident(c.relname) from pg_class c \
    join pg_namespace n on n.oid = c.relnamespace \
    where c.relname = 'restitch_decisions' and c.relkind in ('r', 'p') and pg_table_is_visible(c.oid)";

// As the catalogue of the scan: a domain is followed to the type under it; the modifier is that of the innermost domain.
const COLUMNS: &str = "\
    with recursive base(oid, number, typ, typmod) as ( \
      select attrelid, attnum, atttypid, atttypmod from pg_attribute \
      where attrelid = any($1::oid[]) and attnum > 0 and not attisdropped \
      union all \
      select b.oid, b.number, t.typbasetype, t.typtypmod from base b join pg_type t on t.oid = b.typ where t.typtype = 'd') \
    select a.attrelid, a.attname::text, format_type(t.oid, -1), format_type(t.oid, b.typmod), \
      a.attgenerated <> '', a.attidentity = 'a' \
    from base b join pg_type t on t.oid = b.typ and t.typtype <> 'd' \
    join pg_attribute a on a.attrelid = b.oid and a.attnum = b.number";

// Who refers to rows of this table in such a way that deleting one deletes or changes others.
const FOLLOWERS: &str = "\
    select quote_ident(n.nspname) || '.' || quote_ident(c.relname), \
      (select array_agg(quote_ident(a.attname) order by k.nth) from unnest(f.conkey) with ordinality k(attnum, nth) \
       join pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.attnum), \
      (select array_agg(quote_ident(a.attname) order by k.nth) from unnest(f.confkey) with ordinality k(attnum, nth) \
       join pg_attribute a on a.attrelid = f.confrelid and a.attnum = k.attnum) \
    from pg_constraint f join pg_class c on c.oid = f.conrelid join pg_namespace n on n.oid = c.relnamespace \
    where f.contype = 'f' and f.confrelid = $1 and f.confdeltype in ('c', 'n', 'd')";

impl<'a> Target<'a> {
    pub async fn read(pg: &'a Connection, schema: &'a Schema) -> Result<Self> {
        let failed = |e: tokio_postgres::Error| pg.error("reading the catalogue", &e);
        let found = tables(pg, schema).await?;
        let oids: Vec<Oid> = found.iter().map(|(oid, ..)| *oid).collect();
        let rows = pg
            .client
            .query_typed(COLUMNS, &[(&oids, Type::OID_ARRAY)])
            .await
            .map_err(failed)?;
        let mut columns: HashMap<Oid, HashMap<String, Column>> = HashMap::new();
        for row in rows {
            let name: String = row.try_get(1).map_err(failed)?;
            let column = Column {
                sql: quoted(&name),
                cast: row.try_get(2).map_err(failed)?,
                declared: row.try_get(3).map_err(failed)?,
                generated: row.try_get(4).map_err(failed)?,
                always_identity: row.try_get(5).map_err(failed)?,
            };
            columns
                .entry(row.try_get(0).map_err(failed)?)
                .or_default()
                .insert(name, column);
        }
        let marker = pg.client.query_typed(MARKERS, &[]).await.map_err(failed)?;
        let table = |(oid, _, sql): (Oid, String, String)| Table {
            oid,
            sql,
            // Two entities may stand in one table.
            columns: columns.get(&oid).cloned().unwrap_or_default(),
        };
        Ok(Self {
            pg,
            schema,
            tables: found.into_iter().map(table).collect(),
            marker: marker.first().map(|row| row.try_get(0)).transpose().map_err(failed)?,
        })
    }

    /// The table in which decisions leave their keys.
    pub fn marker(&self) -> Result<&str> {
        self.marker.as_deref().ok_or_else(|| no_marker(&self.pg.place))
    }

    /// Leaves the decision's key. Another transaction that is leaving it is waited for.
    pub async fn mark(&self, effect: &Pending, digest: &str) -> Result<Marked> {
        let failed = |e: tokio_postgres::Error| failed(self.pg, &e);
        let marker = self.marker()?;
        let sql = format!(
            "insert into {marker} (key, at, by, digest) values ($1, clock_timestamp(), $2, $3) on conflict (key) do nothing"
        );
        let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
            (&effect.key, Type::TEXT),
            (&effect.by, Type::TEXT),
            (&digest, Type::TEXT),
        ];
        if self.pg.client.execute_typed(&sql, &parameters).await.map_err(failed)? == 1 {
            return Ok(Marked::New);
        }
        let sql = format!("select digest from {marker} where key = $1");
        let known = self
            .pg
            .client
            .query_typed_one(&sql, &[(&effect.key, Type::TEXT)])
            .await
            .map_err(failed)?;
        let known: String = known.try_get(0).map_err(failed)?;
        Ok(if known == digest { Marked::Before } else { Marked::Other })
    }

    /// Writes one row, where it stands as it was shown.
    pub async fn write(&self, write: &Write) -> Result<()> {
        let Some(ix) = self.schema.index(&write.entity) else {
            return Err(Error::usage(format!(
                "{} is not mapped to a table any more",
                write.entity
            )));
        };
        let (entity, table) = (&self.schema.entities[ix], &self.tables[ix]);
        let mut parameters = Parameters::default();
        let sql = match write.act {
            Act::Insert => insert(entity, table, write, &mut parameters)?,
            Act::Set => set(entity, table, write, &mut parameters)?,
            Act::Delete => {
                self.refuse_followers(entity, table, write).await?;
                let test = stands(entity, table, write, &mut parameters)?;
                format!("delete from {} where {test}", table.sql)
            }
        };
        match self.pg.client.execute_typed(&sql, &parameters.typed()).await {
            Ok(1) => Ok(()),
            Ok(0) => Err(self.why_not(entity, table, write).await),
            Ok(_) => Err(not_as_shown(&entity.table, &write.key, "is there more than once")),
            Err(e) => Err(failed(self.pg, &e)),
        }
    }

    /// Only the rows that were shown go: a foreign key must not take others along.
    async fn refuse_followers(&self, entity: &Entity, table: &Table, write: &Write) -> Result<()> {
        let failed = |e: tokio_postgres::Error| failed(self.pg, &e);
        let found = self
            .pg
            .client
            .query_typed(FOLLOWERS, &[(&table.oid, Type::OID)])
            .await
            .map_err(failed)?;
        for row in found {
            let (child, theirs, ours): (String, Vec<String>, Vec<String>) = (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
                row.try_get(2).map_err(failed)?,
            );
            let mut parameters = Parameters::default();
            let key = key_test(entity, table, &write.key, &mut parameters, "p.")?;
            let join: Vec<String> = theirs
                .iter()
                .zip(&ours)
                .map(|(t, o)| format!("f.{t} = p.{o}"))
                .collect();
            let sql = format!(
                "select 1 from {child} f join {} p on {} where {key} limit 1",
                table.sql,
                join.join(" and ")
            );
            let rows = self
                .pg
                .client
                .query_typed(&sql, &parameters.typed())
                .await
                .map_err(failed)?;
            if !rows.is_empty() {
                let how = format!("cannot go alone: rows of {child} would go with it, or lose what they name");
                return Err(not_as_shown(&entity.table, &write.key, &how));
            }
        }
        Ok(())
    }

    /// Why no row was touched: read in the same transaction, before it is rolled back.
    async fn why_not(&self, entity: &Entity, table: &Table, write: &Write) -> Error {
        match self.look(entity, table, write).await {
            Ok(error) | Err(error) => error,
        }
    }

    async fn look(&self, entity: &Entity, table: &Table, write: &Write) -> Result<Error> {
        let failed = |e: tokio_postgres::Error| failed(self.pg, &e);
        let mut parameters = Parameters::default();
        let mut read = vec!["1".to_owned()];
        let compared: Vec<&Cell> = write.was.iter().filter(|c| !c.ignored).collect();
        for cell in &compared {
            let column = column(entity, table, &cell.column)?;
            let was = parameters.add(cell.text.as_deref());
            read.push(format!("({})::text", column.sql));
            read.push(is_as(column, &was));
        }
        let key = key_test(entity, table, &write.key, &mut parameters, "")?;
        let sql = format!("select {} from {} where {key}", read.join(", "), table.sql);
        let rows = self
            .pg
            .client
            .query_typed(&sql, &parameters.typed())
            .await
            .map_err(failed)?;
        let told = |how: &str| not_as_shown(&entity.table, &write.key, how);
        let Some(row) = rows.first() else {
            return Ok(told(match write.act {
                Act::Insert => "is there now under another key",
                Act::Set | Act::Delete => "is not there any more",
            }));
        };
        if write.act == Act::Insert {
            return Ok(told("is there now"));
        }
        for (at, cell) in compared.into_iter().enumerate() {
            if !row.try_get::<_, bool>(2 + 2 * at).map_err(failed)? {
                let now: Option<String> = row.try_get(1 + 2 * at).map_err(failed)?;
                let masked = entity.mask.contains(&cell.column);
                let (was, now) = (cell.text.as_deref(), now.as_deref());
                return Ok(changed(&entity.table, &write.key, &cell.column, masked, was, now));
            }
        }
        Ok(told("moved while it was written"))
    }
}

fn column<'t>(entity: &Entity, table: &'t Table, name: &str) -> Result<&'t Column> {
    table.columns.get(name).ok_or_else(|| {
        Error::usage(format!("table {} has no column {name:?} any more", entity.table)).cure("scan again")
    })
}

/// Whether the column stands as this text would if it were written there; as the type writes both.
fn is_as(column: &Column, text: &str) -> String {
    format!(
        "(({})::text collate \"C\" is not distinct from ({text}::{})::text collate \"C\")",
        column.sql, column.declared
    )
}

fn key_test(entity: &Entity, table: &Table, key: &str, parameters: &mut Parameters, of: &str) -> Result<String> {
    let parts = split_key(key, entity.key.len());
    if parts.len() != entity.key.len() {
        return Err(Error::usage(format!("{key:?} is no key of {}", entity.table)));
    }
    let mut tests = Vec::new();
    for (name, part) in entity.key.iter().zip(&parts) {
        let column = column(entity, table, name)?;
        // A text key may be a Salesforce id, in its other length.
        let is_text = matches!(&*column.cast, "text" | "character varying" | "bpchar");
        let other = salesforce_id_other(key).filter(|_| is_text && parts.len() == 1);
        let spellings: Vec<String> = [Some(&**part), other.as_deref()]
            .into_iter()
            .flatten()
            .map(|text| format!("{}::{}", parameters.add(Some(text)), column.cast))
            .collect();
        tests.push(format!("{of}{} in ({})", column.sql, spellings.join(", ")));
    }
    Ok(tests.join(" and "))
}

/// The row under the key, standing as it was shown.
fn stands(entity: &Entity, table: &Table, write: &Write, parameters: &mut Parameters) -> Result<String> {
    let mut tests = vec![key_test(entity, table, &write.key, parameters, "")?];
    for cell in write.was.iter().filter(|c| !c.ignored) {
        let column = column(entity, table, &cell.column)?;
        tests.push(is_as(column, &parameters.add(cell.text.as_deref())));
    }
    Ok(tests.join(" and "))
}

fn set(entity: &Entity, table: &Table, write: &Write, parameters: &mut Parameters) -> Result<String> {
    let mut assigned = Vec::with_capacity(write.set.len());
    for cell in &write.set {
        let column = column(entity, table, &cell.column)?;
        // The server computes it from the others.
        if !column.generated {
            let value = parameters.add(cell.text.as_deref());
            assigned.push(format!("{} = {value}::{}", column.sql, column.cast));
        }
    }
    if assigned.is_empty() {
        return Err(not_as_shown(
            &entity.table,
            &write.key,
            "differs only in what the server computes itself",
        ));
    }
    let test = stands(entity, table, write, parameters)?;
    Ok(format!("update {} set {} where {test}", table.sql, assigned.join(", ")))
}

/// The row, where neither its key nor its identity is there.
fn insert(entity: &Entity, table: &Table, write: &Write, parameters: &mut Parameters) -> Result<String> {
    let (mut names, mut values, mut overriding) = (Vec::new(), Vec::new(), "");
    for cell in &write.set {
        let column = column(entity, table, &cell.column)?;
        if column.generated {
            continue;
        }
        if column.always_identity {
            overriding = " overriding system value";
        }
        names.push(column.sql.clone());
        values.push(format!("{}::{}", parameters.add(cell.text.as_deref()), column.cast));
    }
    let mut absent = vec![format!(
        "not exists (select 1 from {} where {})",
        table.sql,
        key_test(entity, table, &write.key, parameters, "")?
    )];
    let mut identity = Vec::new();
    for cell in &write.was {
        let column = column(entity, table, &cell.column)?;
        identity.push(format!(
            "{} = {}::{}",
            column.sql,
            parameters.add(cell.text.as_deref()),
            column.cast
        ));
    }
    if !identity.is_empty() {
        absent.push(format!(
            "not exists (select 1 from {} where {})",
            table.sql,
            identity.join(" and ")
        ));
    }
    Ok(format!(
        "insert into {} ({}){overriding} select {} where {}",
        table.sql,
        names.join(", "),
        values.join(", "),
        absent.join(" and ")
    ))
}

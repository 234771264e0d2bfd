//! The restored database in a SQLite file, as the demo has it: columns declared with PostgreSQL's type names.

mod facts;

use super::facts::{Facts, Known, Newest, Shape, Stamped};
use super::marks::{self, Ask, Broken, Mark, Marks};
use super::{
    Lookup, LookupCost, Origin, Restored, Row, RowBuf, Sequence, check_columns, check_targets, no_table, pg::quoted,
};
use crate::domain::schema::{Catalogue, Column, ColumnIx, EntityIx, Schema, Table};
use crate::domain::value::{self, ColumnType, LogKind, LogValue, Same, split_key};
use crate::domain::{Error, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Tuples of one statement.
const BATCH: usize = 4_096;

/// A restored SQLite database.
#[derive(Debug)]
pub struct Sqlite {
    file: Connection,
    path: PathBuf,
    tables: Vec<Table>,
    rows_read: u64,
}

impl Sqlite {
    /// Opens the file; nothing is ever written to it.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_for(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens the file for an effect.
    pub fn open_to_write(path: &Path) -> Result<Self> {
        Self::open_for(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// For statements of an effect.
    pub const fn file(&mut self) -> &mut Connection {
        &mut self.file
    }

    fn open_for(path: &Path, access: OpenFlags) -> Result<Self> {
        let failed = |e: rusqlite::Error| {
            Error::failed(format!("cannot open the restored database: {e}"))
                .at(path.display().to_string())
                .cure("check restored.url: it must name an existing SQLite file")
        };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = Connection::open_with_flags(path, flags).map_err(failed)?;
        file.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
        file.query_row("select count(*) from sqlite_master", [], |_| Ok(()))
            .map_err(failed)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            tables: Vec::new(),
            rows_read: 0,
        })
    }

    /// The first column of a query of the site's own, as texts; nulls are left out.
    pub fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.file.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut texts = Vec::new();
            while let Some(row) = rows.next()? {
                texts.extend(text(row.get_ref(0)?, None));
            }
            Ok(texts)
        };
        read().map_err(|e| self.error("asking the site's own query", &e))
    }

    fn error(&self, doing: &str, e: &rusqlite::Error) -> Error {
        Error::failed(format!("{doing}: {e}"))
            .at(self.path.display().to_string())
            .cure("check that the file is a whole SQLite database and that no program locks it")
    }

    fn table(&self, entity: EntityIx) -> Result<&Table> {
        self.tables
            .get(entity)
            .ok_or_else(|| Error::failed("the catalogue was not read before the rows"))
    }

    /// The columns of a table, and the name without its schema where only that exists.
    fn columns(&self, table: &str) -> rusqlite::Result<Option<(String, Vec<Column>)>> {
        let mut statement = self
            .file
            .prepare_cached("select name from sqlite_master where type in ('table', 'view') and name = ?1")?;
        let short = table.rsplit('.').next().unwrap_or(table);
        for name in [table, short] {
            let found: Option<String> = statement.query_row([name], |row| row.get(0)).optional()?;
            let Some(name) = found else { continue };
            let mut info = self
                .file
                .prepare_cached("select name, type, pk > 0 from pragma_table_info(?1) order by cid")?;
            let columns = info.query_map([&name], |row| {
                let (name, declared): (String, String) = (row.get(0)?, row.get(1)?);
                let mut ty = type_of(&declared);
                if ty == ColumnType::Int4 && row.get(2)? && declared.eq_ignore_ascii_case("integer") {
                    // SQLite's own `integer primary key` holds 64 bits.
                    ty = ColumnType::Int8;
                }
                Ok(Column { name, ty, declared })
            })?;
            let columns = columns.collect::<Result<_, _>>()?;
            return Ok(Some((name, columns)));
        }
        Ok(None)
    }

    fn known_tables(&self) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.file.prepare(
            "select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite\\_%' escape '\\'",
        )?;
        statement.query_map([], |row| row.get(0))?.collect()
    }

    /// Reads one batch of a lookup; the tuples come as JSON, which keeps every digit of an integer.
    fn batch(
        &self,
        sql: &str,
        tuples: &str,
        table: &Table,
        columns: &[ColumnIx],
        each: &mut (dyn FnMut(Row<'_>) + Send),
    ) -> rusqlite::Result<u64> {
        let mut statement = self.file.prepare_cached(sql)?;
        let mut rows = statement.query([tuples])?;
        let mut buf = RowBuf::default();
        let (mut read, width) = (0, table.key.len());
        while let Some(row) = rows.next()? {
            buf.clear();
            let mut key = Vec::with_capacity(width);
            for (at, column) in table.key.iter().enumerate() {
                key.extend(text(
                    row.get_ref(at)?,
                    table.columns.get(usize::from(*column)).map(|c| &c.ty),
                ));
            }
            if key.len() != width {
                continue;
            }
            let types = table
                .key
                .iter()
                .map(|c| table.columns.get(usize::from(*c)).map(|c| &c.ty));
            let forms: Vec<&str> = key
                .iter()
                .zip(types)
                .map(|(text, ty)| ty.map_or(text.as_str(), |ty| value::key_form(ty, text)))
                .collect();
            buf.set_key(forms.into_iter());
            for (at, column) in columns.iter().enumerate() {
                let ty = table.columns.get(usize::from(*column)).map(|c| &c.ty);
                buf.push(text(row.get_ref(width + at)?, ty).as_deref());
            }
            each(buf.row());
            read += 1;
        }
        Ok(read)
    }

    fn all_marks(&self, table: &Table, ask: &Ask) -> rusqlite::Result<Vec<Mark>> {
        let asked: Vec<&Column> = ask
            .key
            .iter()
            .chain(&ask.columns)
            .filter_map(|c| table.columns.get(usize::from(c.column)))
            .collect();
        let names: Vec<String> = asked.iter().map(|c| quoted(&c.name)).collect();
        let keys = ask.key.len();
        let sql = format!(
            "select {} from {} order by {}",
            names.join(", "),
            quoted(&table.name),
            names[..keys].join(", ")
        );
        let mut statement = self.file.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut marks = Vec::new();
        while let Some(row) = rows.next()? {
            let (mut bytes, mut key, mut whole) = (Vec::new(), 0, true);
            for (at, column) in asked.iter().enumerate() {
                let value = row.get_ref(at)?;
                match (text(value, Some(&column.ty)), value) {
                    (_, ValueRef::Integer(n)) if at < keys && ask.key[at].alike && marks::is_integer(&column.ty) => {
                        marks::push(&mut bytes, Some(&n.to_be_bytes()));
                    }
                    (text, _) => {
                        whole &= at >= keys || text.is_some();
                        marks::push(&mut bytes, text.as_deref().map(str::as_bytes));
                    }
                }
                if at + 1 == keys {
                    key = bytes.len();
                }
            }
            if whole {
                marks.push(Mark::new(bytes.into(), key));
            }
        }
        Ok(marks)
    }

    fn lookup_cost(&self, table: &Table, columns: &[ColumnIx]) -> rusqlite::Result<LookupCost> {
        let wanted: Vec<&str> = columns
            .iter()
            .filter_map(|c| table.columns.get(usize::from(*c)))
            .map(|c| c.name.as_str())
            .collect();
        // An integer primary key is the row's own number and has no index of its own.
        let mut served = self
            .file
            .prepare("select count(*) = 1 and max(upper(type)) = 'INTEGER' and max(name) = ?2 from pragma_table_info(?1) where pk > 0")?
            .query_row([table.name.as_str(), wanted.first().copied().unwrap_or_default()], |row| row.get(0))?;
        let mut listed = self
            .file
            .prepare("select name from pragma_index_list(?1) where partial = 0")?;
        let indexes: Vec<String> = listed
            .query_map([&table.name], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for index in indexes {
            let mut names = self
                .file
                .prepare("select coalesce(name, '') from pragma_index_info(?1) order by seqno")?;
            let names: Vec<String> = names.query_map([&index], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let n = names.len().min(wanted.len());
            served |= n > 0 && names.iter().take(n).all(|name| wanted.contains(&name.as_str()));
        }
        let pages: i64 = self.file.query_row(
            "select page_count * page_size from pragma_page_count, pragma_page_size",
            [],
            |row| row.get(0),
        )?;
        Ok(LookupCost {
            indexed: served,
            table_bytes: u64::try_from(pages).unwrap_or(0),
        })
    }

    fn next_values(&self, table: &Table) -> rusqlite::Result<Vec<Sequence>> {
        let exists = "select count(*) from sqlite_master where name = 'sqlite_sequence'";
        let counts: i64 = self.file.query_row(exists, [], |row| row.get(0))?;
        let [column] = table.key[..] else { return Ok(Vec::new()) };
        if counts == 0 {
            return Ok(Vec::new());
        }
        let last: Option<i64> = self
            .file
            .query_row(
                "select seq from sqlite_sequence where name = ?1",
                [&table.name],
                |row| row.get(0),
            )
            .optional()?;
        let name = format!("sqlite_sequence of {}", quoted(&table.name));
        Ok(last
            .map(|last| Sequence {
                column,
                name,
                next: Some(last.saturating_add(1)),
            })
            .into_iter()
            .collect())
    }
}

impl Restored for Sqlite {
    async fn catalogue(&mut self, schema: &Schema) -> Result<Catalogue> {
        let mut catalogue = Catalogue::default();
        for (ix, entity) in schema.entities.iter().enumerate() {
            let found = self
                .columns(&entity.table)
                .map_err(|e| self.error("reading the catalogue", &e))?;
            let Some((name, columns)) = found else {
                let known = self
                    .known_tables()
                    .map_err(|e| self.error("reading the catalogue", &e))?;
                return Err(no_table(schema, ix, &known));
            };
            let mut table = Table {
                name,
                columns,
                key: Vec::new(),
            };
            table.key = check_columns(schema, ix, &table)?;
            catalogue.tables.push(table);
        }
        check_targets(schema, &catalogue)?;
        self.tables.clone_from(&catalogue.tables);
        Ok(catalogue)
    }

    async fn snapshot(&mut self, catalogue: &Catalogue) -> Result<()> {
        self.tables.clone_from(&catalogue.tables);
        if !self.file.is_autocommit() {
            self.file
                .execute_batch("rollback")
                .map_err(|e| self.error("ending the last snapshot", &e))?;
        }
        // A deferred transaction sees what its first read sees, until it ends.
        let begin = "begin deferred; select count(*) from sqlite_master;";
        self.file
            .execute_batch(begin)
            .map_err(|e| self.error("taking a snapshot", &e))
    }

    async fn rows(
        &mut self,
        entity: EntityIx,
        lookup: Lookup<'_>,
        columns: &[ColumnIx],
        each: &mut (dyn FnMut(Row<'_>) + Send),
    ) -> Result<()> {
        if self.file.is_autocommit() {
            return Err(Error::failed("rows were asked for before the snapshot"));
        }
        let table = self.table(entity)?;
        let (by, len) = match lookup {
            Lookup::Keys(keys) => (table.key.as_slice(), keys.len()),
            Lookup::Values { columns, tuples } => (columns, tuples.len()),
        };
        let name = |c: &ColumnIx| {
            table
                .columns
                .get(usize::from(*c))
                .map_or_else(String::new, |c| quoted(&c.name))
        };
        let read: Vec<String> = table.key.iter().chain(columns).map(name).collect();
        let names: Vec<String> = by.iter().map(name).collect();
        let parts: Vec<String> = (0..by.len())
            .map(|n| format!("json_extract(value, '$[{n}]')"))
            .collect();
        let sql = format!(
            "select {} from {} where ({}) in (select {} from json_each(?1))",
            read.join(", "),
            quoted(&table.name),
            names.join(", "),
            parts.join(", ")
        );
        // A row may match two tuples that stand in different batches.
        let mut seen = (matches!(lookup, Lookup::Values { .. }) && len > BATCH).then(std::collections::HashSet::new);
        let mut once = |row: Row<'_>| {
            if seen.as_mut().is_none_or(|seen| seen.insert(row.key().to_owned())) {
                each(row);
            }
        };
        let mut total = 0;
        for from in (0..len).step_by(BATCH) {
            let mut json = String::from("[");
            for at in from..(from + BATCH).min(len) {
                let parts: Vec<_> = match lookup {
                    Lookup::Keys(keys) => split_key(keys[at], by.len()),
                    Lookup::Values { tuples, .. } => tuples[at].iter().map(|t| (*t).into()).collect(),
                };
                if parts.len() == by.len() {
                    let types = by.iter().map(|c| table.columns.get(usize::from(*c)).map(|c| &c.ty));
                    push_tuple(&mut json, parts.iter().map(AsRef::as_ref).zip(types));
                }
            }
            json.push(']');
            let read = self.batch(&sql, &json, table, columns, &mut once);
            total += read.map_err(|e| self.error("reading rows", &e))?;
        }
        self.rows_read += total;
        Ok(())
    }

    async fn cost(&mut self, entity: EntityIx, columns: &[ColumnIx]) -> Result<LookupCost> {
        self.lookup_cost(self.table(entity)?, columns)
            .map_err(|e| self.error("reading the catalogue", &e))
    }

    async fn cast(&mut self, column: &Column, texts: &[String]) -> Result<Vec<Option<String>>> {
        Ok(texts
            .iter()
            .map(|t| value::canonical(&column.ty, t).map(std::borrow::Cow::into_owned))
            .collect())
    }

    async fn equal(&mut self, column: &Column, pairs: &[(String, String)]) -> Result<Vec<bool>> {
        // SQLite has no types of its own to ask; what is not known here is equal when the text is.
        let equal = |(a, b): &(String, String)| match value::same(
            &column.ty,
            &LogValue::new(LogKind::Text, a.as_str()),
            Some(b),
        ) {
            Same::Yes => true,
            Same::No => false,
            Same::AskServer if column.ty == ColumnType::TextCi => a.to_lowercase() == b.to_lowercase(),
            Same::AskServer => a == b,
        };
        Ok(pairs.iter().map(equal).collect())
    }

    async fn sequences(&mut self, entity: EntityIx) -> Result<Vec<Sequence>> {
        self.next_values(self.table(entity)?)
            .map_err(|e| self.error("reading the sequences", &e))
    }

    async fn facts(&mut self) -> Result<Facts> {
        Ok(self.facts_of_file())
    }

    async fn check(&mut self, sql: &str) -> Result<Known<bool>> {
        Ok(self.check_of_site(sql))
    }

    async fn newest(&mut self, entity: EntityIx, asked: Newest) -> Result<Vec<Stamped>> {
        self.newest_rows(entity, asked)
            .map_err(|e| self.error("reading the newest rows", &e))
    }

    async fn shapes(&mut self) -> Result<Vec<Shape>> {
        self.all_shapes().map_err(|e| self.error("reading the catalogue", &e))
    }

    /// All of them at once: a demo's file is small.
    async fn marks(&mut self, entity: EntityIx, ask: &Ask, after: Option<&[String]>) -> Result<Marks, Broken> {
        if after.is_some() {
            return Err(Broken::Failed(Error::failed("a file is not read from the middle")));
        }
        let table = self.table(entity).map_err(Broken::Failed)?;
        let marks = self
            .all_marks(table, ask)
            .map_err(|e| Broken::Failed(self.error("reading a table", &e)))?;
        Ok(Box::pin(futures_util::stream::once(async { Ok(marks) })))
    }

    async fn revive(&mut self) -> Result<Option<bool>> {
        Ok(None)
    }

    async fn about(&mut self, entity: EntityIx) -> Result<u64> {
        let sql = format!("select count(*) from {}", quoted(&self.table(entity)?.name));
        let rows: i64 = self
            .file
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|e| self.error("reading a table", &e))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    async fn origin(&mut self) -> Result<Origin> {
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        Ok(Origin {
            instance: path.display().to_string(),
            at: crate::domain::time::now(),
            replayed: None,
        })
    }

    fn rows_read(&self) -> u64 {
        self.rows_read
    }
}

/// Adds a JSON array of the tuple's texts; SQLite gives each the affinity of the column it is compared with.
fn push_tuple<'a>(json: &mut String, parts: impl Iterator<Item = (&'a str, Option<&'a ColumnType>)>) {
    if !json.ends_with('[') {
        json.push(',');
    }
    json.push('[');
    for (at, (part, ty)) in parts.enumerate() {
        if at > 0 {
            json.push(',');
        }
        match (ty, part) {
            (Some(ColumnType::Bool), "true") => json.push('1'),
            (Some(ColumnType::Bool), "false") => json.push('0'),
            _ => {
                let _ = write!(json, "{}", serde_json::Value::from(part));
            }
        }
    }
    json.push(']');
}

/// A stored value as PostgreSQL would write it.
pub fn text(value: ValueRef<'_>, ty: Option<&ColumnType>) -> Option<String> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(n) if ty == Some(&ColumnType::Bool) => if n == 0 { "false" } else { "true" }.to_owned(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(f) => f.to_string(),
        ValueRef::Text(t) => {
            let t = String::from_utf8_lossy(t);
            match ty {
                Some(ty @ (ColumnType::Bool | ColumnType::Char)) => {
                    value::canonical(ty, &t).map_or_else(|| t.clone().into_owned(), std::borrow::Cow::into_owned)
                }
                _ => t.into_owned(),
            }
        }
        ValueRef::Blob(bytes) => {
            let mut hex = String::with_capacity(2 + 2 * bytes.len());
            hex.push_str("\\x");
            for byte in bytes {
                let _ = write!(hex, "{byte:02x}");
            }
            hex
        }
    })
}

/// The type that a declaration names, in PostgreSQL's words.
fn type_of(declared: &str) -> ColumnType {
    let lower = declared.trim().to_ascii_lowercase();
    if let Some(inner) = lower.strip_suffix("[]") {
        return ColumnType::Array(Box::new(type_of(inner)));
    }
    let base = lower.split('(').next().unwrap_or_default().trim();
    let zoned = lower.contains("with time zone");
    match base {
        "boolean" | "bool" => ColumnType::Bool,
        "smallint" | "int2" => ColumnType::Int2,
        "integer" | "int" | "int4" => ColumnType::Int4,
        "bigint" | "int8" => ColumnType::Int8,
        "numeric" | "decimal" => ColumnType::Numeric,
        "real" | "float4" => ColumnType::Float4,
        "double precision" | "double" | "float8" => ColumnType::Float8,
        "text" | "varchar" | "character varying" | "name" | "" => ColumnType::Text,
        "char" | "character" | "bpchar" => ColumnType::Char,
        "citext" => ColumnType::TextCi,
        "uuid" => ColumnType::Uuid,
        "date" => ColumnType::Date,
        "timetz" => ColumnType::TimeTz,
        "timestamptz" => ColumnType::TimestampTz,
        _ if base.starts_with("timestamp") && zoned => ColumnType::TimestampTz,
        _ if base.starts_with("timestamp") => ColumnType::Timestamp,
        _ if base.starts_with("time") && zoned => ColumnType::TimeTz,
        _ if base.starts_with("time") => ColumnType::Time,
        "interval" => ColumnType::Interval,
        "json" => ColumnType::Json,
        "jsonb" => ColumnType::Jsonb,
        "bytea" | "blob" => ColumnType::Bytea,
        _ => ColumnType::Other,
    }
}

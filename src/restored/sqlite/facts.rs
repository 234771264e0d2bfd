//! What a SQLite file says of itself: little, for there is no server behind it.

use super::{Sqlite, text};
use crate::domain::schema::EntityIx;
use crate::domain::value::{ColumnType, instant, join_key, key_form};
use crate::restored::facts::{Facts, Known, Newest, Shape, Stamped};
use crate::restored::pg::quoted;
use rusqlite::types::ValueRef;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// The longest that a site's own check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(30);

impl Sqlite {
    pub(super) fn facts_of_file(&self) -> Facts {
        fn none<T>() -> Known<T> {
            Err("a SQLite file has none".to_owned())
        }
        Facts {
            place: self.path.display().to_string(),
            address: none(),
            database: Ok(self.path.display().to_string()),
            started: none(),
            timeline: none(),
            in_recovery: Ok(false),
            replayed: none(),
            prepared: none(),
            slots: none(),
            settings: none(),
            roles: none(),
            hosts: none(),
        }
    }

    pub(super) fn check_of_site(&self, sql: &str) -> Known<bool> {
        let (done, waits) = channel::<()>();
        let handle = self.file.get_interrupt_handle();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if waits.recv_timeout(CHECK_LIMIT) == Err(RecvTimeoutError::Timeout) {
                    handle.interrupt();
                }
            });
            let holds = self.boolean(sql);
            drop(done);
            holds
        })
    }

    fn boolean(&self, sql: &str) -> Known<bool> {
        let why = |e: rusqlite::Error| e.to_string();
        let mut statement = self.file.prepare(sql).map_err(why)?;
        if statement.column_count() != 1 {
            return Err(format!("it gives {} columns, not one", statement.column_count()));
        }
        let mut rows = statement.query([]).map_err(why)?;
        let Some(row) = rows.next().map_err(why)? else {
            return Err("it gives no row".to_owned());
        };
        // SQLite manual, datatype3: booleans are the integers 0 and 1.
        let holds = match row.get_ref(0).map_err(why)? {
            ValueRef::Integer(0) => Ok(false),
            ValueRef::Integer(1) => Ok(true),
            ValueRef::Null => Err("it gives null".to_owned()),
            other => Err(format!("it gives a value of type {}, not a boolean", other.data_type())),
        };
        if holds.is_ok() && rows.next().map_err(why)?.is_some() {
            return Err("it gives more than one row".to_owned());
        }
        holds
    }

    pub(super) fn newest_rows(&self, entity: EntityIx, asked: Newest) -> rusqlite::Result<Vec<Stamped>> {
        let Some(table) = self.tables.get(entity) else {
            return Ok(Vec::new());
        };
        let Some(column) = table.columns.get(usize::from(asked.column)) else {
            return Ok(Vec::new());
        };
        let key: Vec<_> = table
            .key
            .iter()
            .filter_map(|k| table.columns.get(usize::from(*k)))
            .collect();
        let names: Vec<String> = key.iter().map(|c| quoted(&c.name)).collect();
        let sql = format!(
            "select {at}, {} from {} where {at} is not null order by {at} desc limit {}",
            names.join(", "),
            quoted(&table.name),
            asked.limit,
            at = quoted(&column.name)
        );
        let mut statement = self.file.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let at = text(row.get_ref(0)?, Some(&column.ty)).and_then(|at| match column.ty {
                ColumnType::Timestamp => instant::timestamp(&at),
                _ => instant::timestamptz(&at),
            });
            let mut parts: Vec<Cow<'_, str>> = Vec::with_capacity(key.len());
            for (place, column) in (1..).zip(&key) {
                let part = text(row.get_ref(place)?, Some(&column.ty));
                parts.extend(part.map(|p| Cow::Owned(key_form(&column.ty, &p).to_owned())));
            }
            if let Some(at) = at.filter(|at| (i64::MIN + 1..i64::MAX).contains(at) && parts.len() == key.len()) {
                out.push(Stamped {
                    key: join_key(&parts).into_owned(),
                    at,
                });
            }
        }
        Ok(out)
    }

    pub(super) fn all_shapes(&self) -> rusqlite::Result<Vec<Shape>> {
        let mut tables = self.file.prepare(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name",
        )?;
        let names: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        names.into_iter().map(|name| self.shape(name)).collect()
    }

    fn shape(&self, name: String) -> rusqlite::Result<Shape> {
        let mut info = self
            .file
            .prepare_cached("select name, type, pk from pragma_table_info(?1) order by cid")?;
        let columns: Vec<(String, String, i64)> = info
            .query_map([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut key: Vec<(i64, String)> = columns.iter().filter(|c| c.2 > 0).map(|c| (c.2, c.0.clone())).collect();
        key.sort_unstable();
        let mut indexes = self
            .file
            .prepare_cached("select name from pragma_index_list(?1) where \"unique\" = 1 and partial = 0 and origin <> 'pk' order by seq desc")?;
        let indexes: Vec<String> = indexes
            .query_map([&name], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut unique = Vec::new();
        for index in indexes {
            let mut of = self
                .file
                .prepare_cached("select name from pragma_index_info(?1) order by seqno")?;
            let columns: Vec<Option<String>> = of.query_map([&index], |row| row.get(0))?.collect::<Result<_, _>>()?;
            // An expression has no name.
            unique.extend(columns.into_iter().collect::<Option<Vec<String>>>());
        }
        let mut foreign = self.file.prepare_cached(
            "select id, \"table\", \"from\", \"to\" from pragma_foreign_key_list(?1) order by id, seq",
        )?;
        let mut keys: BTreeMap<i64, Vec<(String, String, Option<String>)>> = BTreeMap::new();
        let mut rows = foreign.query([&name])?;
        while let Some(row) = rows.next()? {
            let part = (row.get(2)?, row.get(1)?, row.get(3)?);
            keys.entry(row.get(0)?).or_default().push(part);
        }
        let mut refers = Vec::new();
        for key in keys.into_values() {
            if let [(column, table, target)] = &key[..] {
                let target = match target {
                    Some(target) => target.clone(),
                    // SQLite manual, foreignkeys: without a column the primary key is meant.
                    None => self.file.query_row(
                        "select coalesce(max(name), '') from pragma_table_info(?1) where pk = 1",
                        [table],
                        |row| row.get(0),
                    )?,
                };
                refers.push((column.clone(), table.clone(), target));
            }
        }
        Ok(Shape {
            name,
            columns: columns.into_iter().map(|(name, ty, _)| (name, ty)).collect(),
            key: key.into_iter().map(|(_, name)| name).collect(),
            unique,
            refers,
            rows: None,
        })
    }
}

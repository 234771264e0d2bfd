//! The restored database in PostgreSQL: read-only sessions that share one exported snapshot.

mod catalogue;
mod facts;
mod lookup;
mod marks;
mod values;

use super::facts::{Facts, Known, Newest, Shape, Stamped};
use super::marks::{Ask, Broken, Marks};
use super::pg::{self, Connection, Session};
use super::{Lookup, LookupCost, Origin, Restored, Row, Sequence};
use crate::config::{Database, ScanConfig};
use crate::domain::schema::{Catalogue, Column, ColumnIx, EntityIx, Schema};
use crate::domain::{Error, Result};
use catalogue::Relation;
pub use catalogue::tables;
use futures_util::future::try_join_all;
use lookup::{Plan, Tuples};
use std::collections::HashSet;
use std::time::Duration;
use tokio_postgres::types::{Oid, ToSql, Type};

/// A lazily loaded volume may take minutes for a statement that reads a whole table.
const STATEMENT_LIMIT: Duration = Duration::from_mins(15);
/// Between two statements of a scan lies work of its own, not a person.
const IDLE_LIMIT: Duration = Duration::from_mins(10);

/// A restored PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    database: Database,
    scan: ScanConfig,
    /// The first one holds the snapshot that the others import.
    readers: Vec<Connection>,
    /// Casts and compares outside the snapshot, where an error harms nothing; opened when first needed.
    judge: Option<Connection>,
    relations: Vec<Relation>,
    in_snapshot: bool,
    /// What other connections import to see the same, while the first reader is there.
    exported: Option<String>,
    rows_read: u64,
    /// Rows that a batch may ask for, as the last ones went.
    batch: usize,
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `15.18`
    pub version: String,
    /// The database connected to.
    pub database: String,
    /// The user connected as.
    pub user: String,
    /// The address that the server sees itself at; `None` over a local socket.
    pub address: Option<String>,
    /// Its timeline, where this user may read it.
    pub timeline: Option<i64>,
    /// Whether it is still a standby or recovering.
    pub in_recovery: bool,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

const SERVER: &str = "\
    select current_setting('server_version'), current_database()::text, current_user::text, \
      host(inet_server_addr()) || ':' || inet_server_port(), \
      case when has_function_privilege('pg_control_checkpoint()', 'execute') \
        then (select timeline_id::bigint from pg_control_checkpoint()) end, \
      pg_is_in_recovery(), coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false)";

const BEGIN: &str = "begin isolation level repeatable read read only";

const SIZE: &str = "\
    select coalesce(sum(pg_total_relation_size(relid)), 0)::bigint from \
      (select $1::oid as relid union select relid from pg_partition_tree($1::oid)) parts";

const ROWS: &str = "\
    select coalesce(sum(greatest(reltuples, 0)), 0)::bigint from pg_class where relkind <> 'p' and oid in \
      (select $1::oid union select relid from pg_partition_tree($1::oid))";

// Copies share their system identifier, and containers may share an address, but none its start to the microsecond.
const ORIGIN: &str = "\
    select concat_ws('/', host(inet_server_addr()), inet_server_port(), current_database(), pg_postmaster_start_time()), \
      (extract(epoch from transaction_timestamp()) * 1000000)::bigint, \
      (extract(epoch from pg_last_xact_replay_timestamp()) * 1000000)::bigint";

const INDEXES: &str = "\
    select (indkey::int2[])[0:indnkeyatts - 1] from pg_index \
    where indrelid = $1::oid and indisvalid and indpred is null";

// A sequence belongs to a column (serial, identity), or the column's default calls it.
const SEQUENCES: &str = "\
    select distinct a.attnum, s.oid, quote_ident(n.nspname) || '.' || quote_ident(s.relname), \
      has_sequence_privilege(s.oid, 'select'), q.seqincrement \
    from pg_attribute a \
    join pg_depend d on \
      (d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid \
         and d.refobjsubid = a.attnum and d.deptype in ('a', 'i')) \
      or (d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass \
         and d.objid = (select f.oid from pg_attrdef f where f.adrelid = a.attrelid and f.adnum = a.attnum)) \
    join pg_class s on s.relkind = 'S' \
      and s.oid = case when d.classid = 'pg_class'::regclass then d.objid else d.refobjid end \
    join pg_namespace n on n.oid = s.relnamespace \
    join pg_sequence q on q.seqrelid = s.oid \
    where a.attrelid = $1::oid and a.attnum = any($2::int2[]) order by 1, 3";

impl Postgres {
    /// Connects to the restored database with a session that cannot write.
    pub async fn connect(database: &Database, scan: &ScanConfig) -> Result<Self> {
        let first = open(database).await?;
        Ok(Self {
            database: database.clone(),
            scan: *scan,
            readers: vec![first],
            judge: None,
            relations: Vec::new(),
            in_snapshot: false,
            exported: None,
            rows_read: 0,
            batch: lookup::FIRST_BATCH,
        })
    }

    /// What the server says of itself.
    pub async fn server(&self) -> Result<Server> {
        let pg = self.reader()?;
        let failed = |e: tokio_postgres::Error| pg.error("asking the server about itself", &e);
        let row = pg.client.query_typed_one(SERVER, &[]).await.map_err(failed)?;
        Ok(Server {
            version: row.try_get(0).map_err(failed)?,
            database: row.try_get(1).map_err(failed)?,
            user: row.try_get(2).map_err(failed)?,
            address: row.try_get(3).map_err(failed)?,
            timeline: row.try_get(4).map_err(failed)?,
            in_recovery: row.try_get(5).map_err(failed)?,
            tls: row.try_get(6).map_err(failed)?,
        })
    }

    fn reader(&self) -> Result<&Connection> {
        self.readers
            .first()
            .ok_or_else(|| Error::failed("not connected to the restored database"))
    }

    fn relation(&self, entity: EntityIx) -> Result<&Relation> {
        self.relations
            .get(entity)
            .ok_or_else(|| Error::failed("the catalogue was not read before the rows"))
    }

    /// Whether an index has these columns, or the first of them that it has, in front.
    async fn is_indexed(&self, entity: EntityIx, columns: &[ColumnIx]) -> Result<bool> {
        let pg = self.reader()?;
        let relation = self.relation(entity)?;
        let failed = |e: tokio_postgres::Error| pg.error("reading the catalogue", &e);
        let wanted: Vec<i16> = columns
            .iter()
            .filter_map(|c| relation.columns.get(usize::from(*c)))
            .map(|a| a.number)
            .collect();
        let indexes = pg
            .client
            .query_typed(INDEXES, &[(&relation.oid, Type::OID)])
            .await
            .map_err(failed)?;
        for index in &indexes {
            let leading: Vec<i16> = index.try_get(0).map_err(failed)?;
            let n = leading.len().min(wanted.len());
            if n > 0 && leading.iter().take(n).all(|c| wanted.contains(c)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The connection on which an error harms nothing.
    async fn judge(&mut self) -> Result<&Connection> {
        if self.judge.as_ref().is_none_or(|judge| judge.client.is_closed()) {
            self.judge = Some(open(&self.database).await?);
        }
        self.judge
            .as_ref()
            .ok_or_else(|| Error::failed("not connected to the restored database"))
    }

    /// Takes the snapshot anew, and opens the other readers to see the same.
    async fn share_snapshot(&mut self) -> Result<()> {
        for reader in &self.readers {
            let ended = reader.client.batch_execute("rollback").await;
            ended.map_err(|e| reader.error("ending the last snapshot", &e))?;
        }
        self.readers.truncate(self.scan.connections.max(1));
        let first = self.reader()?;
        let failed = |e: tokio_postgres::Error| first.error("taking a snapshot", &e);
        first.client.batch_execute(BEGIN).await.map_err(failed)?;
        let exported = export(first).await;
        if exported.is_none() {
            // It cannot be exported here (a pooler, a standby): one connection reads alone.
            first.client.batch_execute("rollback").await.map_err(failed)?;
            first.client.batch_execute(BEGIN).await.map_err(failed)?;
            self.readers.truncate(1);
        }
        self.exported = exported;
        if self.exported.is_none() {
            return Ok(());
        }
        let imports = self.readers.iter().skip(1).map(|reader| self.import(reader));
        if try_join_all(imports).await.is_err() {
            self.readers.truncate(1);
        }
        self.open_readers().await;
        Ok(())
    }

    /// Opens readers until there are as many as may be; a server short of connections still serves those that we have.
    async fn open_readers(&mut self) {
        while self.exported.is_some() && self.readers.len() < self.scan.connections {
            let Ok(reader) = open(&self.database).await else { break };
            if self.import(&reader).await.is_err() {
                break;
            }
            self.readers.push(reader);
        }
    }

    /// Lets a connection see what the first reader sees.
    async fn import(&self, connection: &Connection) -> Result<(), tokio_postgres::Error> {
        // The server made this name: hexadecimal digits and dashes.
        let name = self.exported.as_deref().unwrap_or_default().chars();
        let name: String = name.filter(|c| c.is_ascii_hexdigit() || *c == '-').collect();
        let import = format!("{BEGIN}; set transaction snapshot '{name}'");
        connection.client.batch_execute(&import).await
    }

    /// A connection for one long statement, which may take as long as the volume makes it.
    async fn streamer(&self) -> Result<Connection> {
        let session = Session {
            purpose: "scan",
            read_only: true,
            statement_timeout: Duration::ZERO,
            idle_timeout: IDLE_LIMIT,
        };
        let streamer = pg::connect(&self.database, session).await?;
        let failed = |e: tokio_postgres::Error| streamer.error("taking a snapshot", &e);
        if self.exported.is_some() {
            self.import(&streamer).await.map_err(failed)?;
        } else {
            streamer.client.batch_execute(BEGIN).await.map_err(failed)?;
        }
        // Every row is read: what is cheapest is the planner's to say, the index where it serves or a sort where none does.
        let settings = "set local enable_seqscan = on";
        streamer.client.batch_execute(settings).await.map_err(failed)?;
        Ok(streamer)
    }

    /// The readers wait while a table is streamed, however long that takes.
    async fn let_readers_wait(&self) -> Result<()> {
        for reader in &self.readers {
            let waits = reader
                .client
                .batch_execute("set local idle_in_transaction_session_timeout = 0");
            waits.await.map_err(|e| reader.error("preparing the session", &e))?;
        }
        Ok(())
    }
}

/// A snapshot's name for other connections, where the server gives one.
async fn export(from: &Connection) -> Option<String> {
    let exported = from.client.query_typed_one("select pg_export_snapshot()", &[]).await;
    exported.ok()?.try_get(0).ok()
}

async fn open(database: &Database) -> Result<Connection> {
    let session = Session {
        purpose: "scan",
        read_only: true,
        statement_timeout: STATEMENT_LIMIT,
        idle_timeout: IDLE_LIMIT,
    };
    pg::connect(database, session).await
}

impl Restored for Postgres {
    async fn catalogue(&mut self, schema: &Schema) -> Result<Catalogue> {
        let (catalogue, relations) = catalogue::read(self.reader()?, schema).await?;
        self.relations = relations;
        Ok(catalogue)
    }

    async fn snapshot(&mut self, catalogue: &Catalogue) -> Result<()> {
        if catalogue.tables.len() != self.relations.len() {
            return Err(Error::failed("the catalogue was not read on this connection"));
        }
        self.share_snapshot().await?;
        self.in_snapshot = true;
        Ok(())
    }

    async fn rows(
        &mut self,
        entity: EntityIx,
        lookup: Lookup<'_>,
        columns: &[ColumnIx],
        each: &mut (dyn FnMut(Row<'_>) + Send),
    ) -> Result<()> {
        if !self.in_snapshot {
            return Err(Error::failed("rows were asked for before the snapshot"));
        }
        let tuples = Tuples::new(self.relation(entity)?, lookup);
        let doubtful: Vec<(usize, String, Vec<String>)> = tuples
            .doubtful()
            .into_iter()
            .map(|(place, texts)| (place, tuples.cast(place).to_owned(), texts))
            .collect();
        let mut refused = vec![HashSet::new(); tuples.width()];
        for (place, cast, texts) in doubtful {
            let judged = values::cast(self.judge().await?, &cast, &texts).await?;
            let none = texts.into_iter().zip(judged).filter(|(_, value)| value.is_none());
            refused[place] = none.map(|(text, _)| text).collect();
        }
        let plan = Plan::new(Tuples::new(self.relation(entity)?, lookup), columns, refused);
        let target = self.scan.batch_target;
        let whole = match lookup {
            // Without an index every batch reads the whole table, so there had better be one.
            Lookup::Values { columns, tuples } if tuples.len() > lookup::MOST_BATCH => {
                !self.is_indexed(entity, columns).await?
            }
            _ => false,
        };
        let read = if whole {
            lookup::run(&self.readers, &plan, lookup::WHOLE_BATCH, target, each)
                .await?
                .0
        } else {
            let (read, batch) = lookup::run(&self.readers, &plan, self.batch, target, each).await?;
            self.batch = batch;
            read
        };
        self.rows_read += read;
        Ok(())
    }

    async fn cost(&mut self, entity: EntityIx, columns: &[ColumnIx]) -> Result<LookupCost> {
        let indexed = self.is_indexed(entity, columns).await?;
        let pg = self.reader()?;
        let failed = |e: tokio_postgres::Error| pg.error("reading the catalogue", &e);
        let oid = self.relation(entity)?.oid;
        let size = pg
            .client
            .query_typed_one(SIZE, &[(&oid, Type::OID)])
            .await
            .map_err(failed)?;
        let bytes: i64 = size.try_get(0).map_err(failed)?;
        Ok(LookupCost {
            indexed,
            table_bytes: u64::try_from(bytes).unwrap_or(0),
        })
    }

    async fn cast(&mut self, column: &Column, texts: &[String]) -> Result<Vec<Option<String>>> {
        values::cast(self.judge().await?, &column.declared, texts).await
    }

    async fn equal(&mut self, column: &Column, pairs: &[(String, String)]) -> Result<Vec<bool>> {
        values::equal(self.judge().await?, column, pairs).await
    }

    async fn sequences(&mut self, entity: EntityIx) -> Result<Vec<Sequence>> {
        let pg = self.reader()?;
        let relation = self.relation(entity)?;
        let failed = |e: tokio_postgres::Error| pg.error("reading the sequences", &e);
        let keys: Vec<i16> = relation.key.iter().map(|k| relation.columns[*k].number).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&relation.oid, Type::OID), (&keys, Type::INT2_ARRAY)];
        let rows = pg.client.query_typed(SEQUENCES, &parameters).await.map_err(failed)?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let (number, _oid, name): (i16, Oid, String) = (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
                row.try_get(2).map_err(failed)?,
            );
            let (readable, step): (bool, i64) = (row.try_get(3).map_err(failed)?, row.try_get(4).map_err(failed)?);
            let next = if readable {
                let state = format!("select last_value, is_called from {name}");
                let state = pg.client.query_typed_one(&state, &[]).await.map_err(failed)?;
                let (last, called): (i64, bool) =
                    (state.try_get(0).map_err(failed)?, state.try_get(1).map_err(failed)?);
                Some(if called { last.saturating_add(step) } else { last })
            } else {
                None
            };
            let column = relation.columns.iter().position(|a| a.number == number);
            if let Some(column) = column.and_then(|c| ColumnIx::try_from(c).ok()) {
                found.push(Sequence { column, name, next });
            }
        }
        Ok(found)
    }

    async fn facts(&mut self) -> Result<Facts> {
        Ok(facts::facts(self.judge().await?).await)
    }

    async fn check(&mut self, sql: &str) -> Result<Known<bool>> {
        facts::check(self.judge().await?, sql).await
    }

    async fn newest(&mut self, entity: EntityIx, asked: Newest) -> Result<Vec<Stamped>> {
        self.judge().await?;
        let judge = self
            .judge
            .as_ref()
            .ok_or_else(|| Error::failed("not connected to the restored database"))?;
        facts::newest(judge, self.relation(entity)?, asked).await
    }

    async fn shapes(&mut self) -> Result<Vec<Shape>> {
        facts::shapes(self.judge().await?).await
    }

    async fn marks(&mut self, entity: EntityIx, ask: &Ask, after: Option<&[String]>) -> Result<Marks, Broken> {
        let ended = |error| {
            // A server that takes no connection now may take one later.
            Broken::Lost(error)
        };
        let relation = self.relation(entity).map_err(Broken::Failed)?;
        self.let_readers_wait().await.map_err(ended)?;
        let streamer = self.streamer().await.map_err(ended)?;
        let failed = |e: tokio_postgres::Error| marks::broken(&streamer, &e);
        for (n, part) in after.unwrap_or_default().iter().enumerate() {
            let name = marks::after_setting(n);
            let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&name, Type::TEXT), (part, Type::TEXT)];
            let set = "select set_config($1, $2, true)";
            streamer.client.query_typed(set, &parameters).await.map_err(failed)?;
        }
        let sql = marks::statement(relation, ask, after.is_some());
        let rows = streamer.client.copy_out(&sql).await.map_err(failed)?;
        Ok(marks::stream(streamer, rows, ask.key.len()))
    }

    async fn revive(&mut self) -> Result<Option<bool>> {
        let before = self.readers.len();
        self.readers.retain(|reader| !reader.client.is_closed());
        if self.readers.len() == before {
            return Ok(None);
        }
        let same = !self.readers.is_empty();
        if same {
            // Whoever sees the snapshot can hand it on.
            self.exported = export(self.reader()?).await;
            self.open_readers().await;
        } else {
            self.readers.push(open(&self.database).await?);
            self.share_snapshot().await?;
        }
        Ok(Some(same))
    }

    async fn about(&mut self, entity: EntityIx) -> Result<u64> {
        let pg = self.reader()?;
        let failed = |e: tokio_postgres::Error| pg.error("reading the catalogue", &e);
        let oid = self.relation(entity)?.oid;
        let rows = pg
            .client
            .query_typed_one(ROWS, &[(&oid, Type::OID)])
            .await
            .map_err(failed)?;
        let rows: i64 = rows.try_get(0).map_err(failed)?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    async fn origin(&mut self) -> Result<Origin> {
        let pg = self.reader()?;
        let failed = |e: tokio_postgres::Error| pg.error("asking the server about itself", &e);
        let row = pg.client.query_typed_one(ORIGIN, &[]).await.map_err(failed)?;
        Ok(Origin {
            instance: row.try_get(0).map_err(failed)?,
            at: row.try_get(1).map_err(failed)?,
            replayed: row.try_get(2).map_err(failed)?,
        })
    }

    fn rows_read(&self) -> u64 {
        self.rows_read
    }
}

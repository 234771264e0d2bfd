//! `restitch doctor`

mod capture;

use super::{Context, DONE};
use crate::config::{Config, Database, DbUrl, Effect, LogConfig, SourceKind, SslMode};
use crate::domain::schema::{Catalogue, Entity, EntityIx, Schema};
use crate::domain::{Error, Result, time};
use crate::job;
use crate::ledger::{self, Ledger, Role};
use crate::log::{database, glance};
use crate::resolve::effects;
use crate::restore::hold;
use crate::restore::rds::client::Aws;
use crate::restored::Restored;
use crate::restored::postgres::Postgres;
use crate::restored::sqlite::Sqlite;
use crate::safe;
use crate::text::Safe;
use crate::theme::Depth;
use clap::Args;
use serde_json::json;
use std::io::IsTerminal;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warn,
    Fail,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Prints one line a check, as each is made.
struct Doctor<'a, 'b> {
    context: &'a mut Context<'b>,
    config: &'a Config,
    failed: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Check {
    /// Print a schema map proposed from the restored database's catalogue instead
    #[arg(long)]
    propose_schema: bool,
}

impl Check {
    /// Checks everything configured: 0 where nothing fails.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        if self.propose_schema {
            let proposed = job::propose(&config)?;
            context.out.raw(&proposed)?;
            return Ok(DONE);
        }
        check(context, &config)
    }
}

fn check(context: &mut Context<'_>, config: &Config) -> Result<u8> {
    let mut doctor = Doctor {
        context,
        config,
        failed: false,
    };
    doctor.configuration()?;
    doctor.clock()?;
    doctor.clocks()?;
    let catalogue = doctor.restored()?;
    doctor.logs(catalogue.as_ref())?;
    doctor.aws()?;
    doctor.cluster()?;
    doctor.org()?;
    doctor.ledger()?;
    doctor.effects()?;
    doctor.terminal()?;
    Ok(if doctor.failed { 1 } else { DONE })
}

impl Doctor<'_, '_> {
    fn say(&mut self, state: State, check: &str, what: &str, cure: Option<&str>) -> Result<()> {
        self.failed |= state == State::Fail;
        let out = &mut *self.context.out;
        if out.wants_json() {
            out.json(&json!({"check": check, "state": state.word(), "what": what, "cure": cure}))?;
        } else {
            let cure = cure.map_or(String::new(), |cure| format!("; do: {cure}"));
            out.line(&safe!(
                "{}{}: {}{}",
                Safe::ours(state.word()).pad(6),
                Safe::of(check),
                Safe::of(what),
                Safe::of(&cure)
            ))?;
        }
        // Some checks take their time: what is known is shown.
        out.finish()
    }

    fn ok(&mut self, check: &str, what: &str) -> Result<()> {
        self.say(State::Ok, check, what, None)
    }

    fn fails(&mut self, check: &str, error: &Error) -> Result<()> {
        let what = match &error.place {
            Some(place) => format!("{} ({place})", error.what),
            None => error.what.clone(),
        };
        self.say(State::Fail, check, &what, error.cure.as_deref())
    }

    fn configuration(&mut self) -> Result<()> {
        let config = self.config;
        self.ok("configuration", &config.layers.join(" over "))?;
        for warning in &config.warnings {
            self.say(
                State::Warn,
                "configuration",
                warning,
                Some("unset it, or correct its name"),
            )?;
        }
        let incident = &config.incident;
        let name = format!("{}, attempt {}", incident.id, incident.attempt);
        match incident.restored_to {
            Some(t) => self.ok("incident", &format!("{name}, restored to {}", time::format(t)))?,
            None => self.say(
                State::Warn,
                "incident",
                &format!("{name}: the point that was restored to is not known"),
                Some("set incident.restored_to"),
            )?,
        }
        Ok(())
    }

    /// What the verbs do beyond the ledger, as far as can be told without doing it.
    fn effects(&mut self) -> Result<()> {
        let config = self.config;
        for (verb, effect) in config.effects.verbs.iter().filter(|(_, e)| **e != Effect::Record) {
            let name = format!("effects.{}", verb.name());
            match effects::ready(config, effect) {
                Ok(words) => self.ok(&name, &format!("{}: {words}", effect.name()))?,
                Err(error) => self.fails(&name, &error)?,
            }
        }
        Ok(())
    }

    fn clock(&mut self) -> Result<()> {
        let now = time::now();
        let incident = &self.config.incident;
        let latest = [incident.restored_to, incident.stopped_at].into_iter().flatten().max();
        if latest.is_some_and(|t| t > now) {
            return self.say(
                State::Fail,
                "clock",
                &format!("it is {}, before the restore that is configured", time::format(now)),
                Some("put the host's clock right, or incident.restored_to and stopped_at"),
            );
        }
        self.ok("clock", &time::format(now))
    }

    fn restored(&mut self) -> Result<Option<Catalogue>> {
        let database = match job::restored(self.config) {
            Ok(database) => database,
            Err(error) => return self.fails("restored", &error).map(|()| None),
        };
        let runtime = job::runtime()?;
        match &database.url {
            DbUrl::Sqlite(path) => match Sqlite::open(path) {
                Ok(mut file) => {
                    self.ok("restored", &format!("SQLite file {}", path.display()))?;
                    runtime.block_on(self.tables(&mut file))
                }
                Err(error) => self.fails("restored", &error).map(|()| None),
            },
            DbUrl::Postgres { .. } => {
                let scan = &self.config.scan;
                match runtime.block_on(Postgres::connect(&database, scan)) {
                    Ok(mut server) => runtime.block_on(async {
                        self.server(&server, &database).await?;
                        self.tables(&mut server).await
                    }),
                    Err(error) => self.fails("restored", &error).map(|()| None),
                }
            }
        }
    }

    async fn server(&mut self, server: &Postgres, database: &Database) -> Result<()> {
        let about = match server.server().await {
            Ok(about) => about,
            Err(error) => return self.fails("restored", &error),
        };
        let words = format!(
            "PostgreSQL {} database {} as {}, session read-only",
            about.version, about.database, about.user
        );
        self.ok("restored", &words)?;
        if about.in_recovery {
            let what = "the server is still recovering or a standby: it is not at its final point";
            self.say(
                State::Warn,
                "restored",
                what,
                Some("wait until it is promoted, or use the writer endpoint"),
            )?;
        }
        match (about.tls, database.sslmode) {
            (true, _) => self.ok("TLS", "on; certificate and host name verified"),
            (false, SslMode::Disable) => self.say(
                State::Warn,
                "TLS",
                "off: password and rows travel in the clear",
                Some("remove sslmode = \"disable\""),
            ),
            (false, SslMode::VerifyFull) => self.say(State::Fail, "TLS", "off although verify-full is set", None),
        }
    }

    /// Each mapped table by itself, so that one mistake does not hide the next; then all together.
    async fn tables<R: Restored>(&mut self, restored: &mut R) -> Result<Option<Catalogue>> {
        let config = self.config;
        if config.schema.entities.is_empty() {
            let cure = Some("add at least [schema.order] with its table and key");
            self.say(State::Fail, "schema", "no entity is mapped to a table", cure)?;
            return Ok(None);
        }
        let mut whole = true;
        for entity in &config.schema.entities {
            let alone = Schema {
                entities: vec![entity.clone()],
            };
            let check = format!("schema.{}", entity.name);
            match restored.catalogue(&alone).await {
                Ok(found) => {
                    let columns = found.tables.first().map_or(0, |t| t.columns.len());
                    self.ok(&check, &format!("table {}, {columns} columns", entity.table))?;
                }
                Err(error) => {
                    whole = false;
                    self.fails(&check, &error)?;
                }
            }
        }
        if !whole {
            return Ok(None);
        }
        let catalogue = match restored.catalogue(&config.schema).await {
            Ok(catalogue) => catalogue,
            Err(error) => return self.fails("schema", &error).map(|()| None),
        };
        match restored.snapshot(&catalogue).await {
            Ok(()) => self.ok("snapshot", "one snapshot can be taken and shared")?,
            Err(error) => self.fails("snapshot", &error)?,
        }
        for (ix, entity) in config.schema.entities.iter().enumerate() {
            self.indexes(restored, &catalogue, ix, entity).await?;
        }
        Ok(Some(catalogue))
    }

    async fn indexes<R: Restored>(
        &mut self,
        restored: &mut R,
        catalogue: &Catalogue,
        ix: EntityIx,
        entity: &Entity,
    ) -> Result<()> {
        let Some(table) = catalogue.tables.get(ix) else {
            return Ok(());
        };
        let identity: Vec<_> = entity.identity.iter().filter_map(|c| table.column(c)).collect();
        for (what, names, columns) in [
            ("key", &entity.key, &table.key),
            ("identity", &entity.identity, &identity),
        ] {
            if columns.is_empty() {
                continue;
            }
            let check = format!("schema.{}.{what}", entity.name);
            let names = names.join(", ");
            match restored.cost(ix, columns).await {
                Ok(cost) if cost.indexed => self.ok(&check, &format!("an index serves {names}"))?,
                Ok(cost) => {
                    let megabytes = cost.table_bytes / 1_000_000;
                    let skipped = what == "identity" && cost.table_bytes > self.config.scan.moved_limit;
                    let then = if skipped {
                        "rows that moved are not looked for"
                    } else {
                        "each look-up reads it whole"
                    };
                    let say = format!("no index on {names} of {megabytes} MB: {then}");
                    let cure = format!(
                        "create index concurrently on {} ({names}), or raise scan.moved_limit",
                        entity.table
                    );
                    self.say(State::Warn, &check, &say, Some(&cure))?;
                }
                Err(error) => self.fails(&check, &error)?,
            }
        }
        Ok(())
    }

    fn logs(&mut self, catalogue: Option<&Catalogue>) -> Result<()> {
        let config = self.config;
        if config.logs.is_empty() {
            let cure = Some("add a [[log]] with name, path and format");
            self.say(
                State::Fail,
                "log",
                "no log is configured: nothing is known of what really happened",
                cure,
            )?;
        }
        for log in &config.logs {
            self.log(&format!("log {}", log.name), log, catalogue)?;
            self.capture(log)?;
        }
        let Some(hold) = &config.hold else {
            return self.say(
                State::Warn,
                "hold",
                "not configured: what waits there is not known",
                Some("add [hold], or ignore this where there is none"),
            );
        };
        match &hold.path {
            Some(path) if path != "-" => {
                let log = LogConfig::file("hold", path.clone(), hold.format);
                self.log("hold", &log, None)
            }
            Some(_) => self.ok("hold", "standard input: not looked at"),
            None => self.hold_on_broker(),
        }
    }

    fn hold_on_broker(&mut self) -> Result<()> {
        let look = match hold::status::look(self.config, None) {
            Ok(look) => look,
            Err(error) => return self.fails("hold", &error),
        };
        let clock = look.reading.clock();
        let words = format!(
            "{}, {} partitions, {} messages wait",
            look.reading.head(),
            look.reading.partitions.len(),
            clock.held
        );
        let notes = look.reading.keeping.notes.iter().chain(&look.reading.notes);
        let odd: Vec<&str> = notes.map(String::as_str).collect();
        if odd.is_empty() {
            return self.ok("hold", &words);
        }
        let cure = "its deadline is shown as the earliest that is possible; `restitch hold rescue` copies what waits to safety";
        self.say(State::Warn, "hold", &format!("{words}; {}", odd.join("; ")), Some(cure))
    }

    fn old_instance(&mut self, check: &str, log: &LogConfig) -> Result<()> {
        let found = match job::runtime()?.block_on(database::check(self.config, log)) {
            Ok(found) => found,
            Err(error) => return self.fails(check, &error),
        };
        if found.is_restored {
            return self.say(
                State::Fail,
                check,
                &format!("{} is the restored database itself: nothing could differ", found.name),
                Some("give the address of the pre-restore instance, or of a second restore to the latest point"),
            );
        }
        let words = format!(
            "{}: another instance than the restored one, about {} rows, as of {}",
            found.name,
            found.rows,
            time::format(found.as_of)
        );
        self.ok(check, &words)
    }

    fn log(&mut self, check: &str, log: &LogConfig, catalogue: Option<&Catalogue>) -> Result<()> {
        if log.path.as_deref() == Some("-") {
            return self.ok(check, "standard input: not looked at");
        }
        if log.source == SourceKind::Database {
            return self.old_instance(check, log);
        }
        let found = match glance(log, &self.config.schema, catalogue) {
            Ok(found) => found,
            Err(error) => return self.fails(check, &error),
        };
        let (key, place) = log.place();
        let size = match log.source {
            SourceKind::File => format!("{} files, {} bytes", found.parts, found.bytes),
            SourceKind::Kafka => format!("topic {place}, {} partitions", found.parts),
            SourceKind::Database | SourceKind::Postgres => format!("{key} {place}"),
        };
        let format = crate::log::format::name(log.format);
        if found.lines == 0 {
            return self.say(
                State::Fail,
                check,
                &format!("{size}: empty"),
                Some(&format!("check {key}: there are no events")),
            );
        }
        if let Some(looks) = found.looks.filter(|looks| *looks != format) {
            let cure = format!("set format = {looks:?}");
            return self.say(
                State::Fail,
                check,
                &format!("{size}: looks like {looks}, not {format}"),
                Some(&cure),
            );
        }
        match &found.reason {
            Some(reason) => {
                let what = format!(
                    "{size}: {} of the first {} lines are no events: {reason}",
                    found.rejected, found.lines
                );
                let state = if found.events == 0 { State::Fail } else { State::Warn };
                self.say(state, check, &what, Some("check format and the entity's table and key"))
            }
            None if catalogue.is_some() && found.events == 0 => {
                let what = format!(
                    "{size}: none of the first {} lines is about a mapped table",
                    found.lines
                );
                self.say(
                    State::Warn,
                    check,
                    &what,
                    Some("check [schema.*].table against the log's table names"),
                )
            }
            None => self.ok(check, &format!("{size}, {format}")),
        }
    }

    fn ledger(&mut self) -> Result<()> {
        let config = self.config;
        if let DbUrl::Sqlite(path) = &config.ledger.database.url
            && !path.exists()
        {
            let role = Role::of(&ledger::who::current().system_user, config.roles.as_ref());
            let name = path.display();
            return self.ok(
                "ledger",
                &format!("{name}: made by the first scan; you are {}", role.name()),
            );
        }
        let ledger = match Ledger::open(config, true) {
            Ok(ledger) => ledger,
            Err(error) => return self.fails("ledger", &error),
        };
        let (name, role) = (ledger.place().to_owned(), ledger.role());
        if let Err(error) = ledger.keeps_its_word() {
            self.fails("ledger", &error)?;
        }
        match ledger.verify() {
            Ok(lines) => self.ok(
                "ledger",
                &format!("{name}: audit chain of {lines} lines whole; you are {}", role.name()),
            )?,
            Err(error) => self.fails("ledger", &error)?,
        }
        let mut ears = ledger.ears();
        match ears.hear() {
            Ok(()) if ears.are_deaf() => self.say(
                State::Warn,
                "ledger",
                "a pooler stands before it: consoles do not hear of others' changes, they ask every second",
                Some("let `ledger.url` name the server itself, or a pool in session mode"),
            )?,
            Ok(()) => {}
            Err(error) => self.fails("ledger", &error)?,
        }
        match ledger.last_scan() {
            Ok(Some((at, _))) if at > time::now() => self.say(
                State::Fail,
                "clock",
                &format!("the last scan ended at {}, in the future", time::format(at)),
                Some("put the host's clock right: leases depend on it"),
            ),
            Ok(_) => Ok(()),
            Err(error) => self.fails("ledger", &error),
        }
    }

    /// Who asks AWS, and whether source and target can be seen.
    fn aws(&mut self) -> Result<()> {
        let config = self.config;
        let (Some(source), Some(target)) = (&config.aws.source, &config.aws.target) else {
            let cure = Some("set source and target in [aws], or ignore this where the restore is not one of RDS");
            return self.say(
                State::Warn,
                "aws",
                "not configured: the restore itself is not watched",
                cure,
            );
        };
        let runtime = job::runtime()?;
        let aws = match runtime.block_on(Aws::open(&config.aws)) {
            Ok(aws) => aws,
            Err(error) => return self.fails("aws", &error),
        };
        let who = match runtime.block_on(aws.identity()) {
            Ok(who) => who,
            Err(e) => return self.fails("aws", &e.into()),
        };
        let until = who
            .until
            .map_or(String::new(), |at| format!(", until {}", time::format(at)));
        self.ok("aws", &format!("{} in {}{until}", who.arn, aws.region))?;
        for (name, what) in [(source, "aws.source"), (target, "aws.target")] {
            match runtime.block_on(aws.find(name)) {
                Ok(Some(db)) => self.ok(
                    what,
                    &format!("{} {name}, {}, {}", db.kind.word(), db.resource, db.status),
                )?,
                Ok(None) if what == "aws.target" => self.ok(what, &format!("{name} is not there yet"))?,
                Ok(None) => {
                    let cure = Some("check the identifier, aws.region and the account");
                    self.say(
                        State::Fail,
                        what,
                        &format!("there is no instance or cluster called {name}"),
                        cure,
                    )?;
                }
                Err(e) => self.fails(what, &e.into())?,
            }
        }
        Ok(())
    }

    fn terminal(&mut self) -> Result<()> {
        if !std::io::stdin().is_terminal() {
            let cure = Some("run it in one to see what the console would find");
            return self.say(State::Warn, "terminal", "none: the console cannot run here", cure);
        }
        let env = |name: &str| std::env::var(name).ok();
        let (columns, rows) = crossterm::terminal::size().unwrap_or((0, 0));
        let colours = match Depth::of(self.context.globals.color, env) {
            Depth::None => "no colours",
            Depth::Sixteen => "16 colours",
            Depth::C256 => "256 colours",
            Depth::True => "true colour",
        };
        let what = format!("{columns}x{rows}, {colours}");
        let charset = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(env)
            .find(|v| !v.is_empty());
        let utf8 = charset.is_some_and(|c| c.to_lowercase().replace('-', "").ends_with("utf8"));
        if columns < 60 || rows < 16 {
            return self.say(State::Warn, "terminal", &what, Some("make it 80x24 or larger"));
        }
        if !utf8 && !self.context.globals.ascii {
            let cure = Some("set LC_ALL=C.UTF-8, or use --ascii");
            return self.say(
                State::Warn,
                "terminal",
                &format!("{what}; the locale is not UTF-8"),
                cure,
            );
        }
        self.ok("terminal", &what)
    }
}

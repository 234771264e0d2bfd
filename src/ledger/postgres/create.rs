//! Making the ledger: roles, schema, versions. Everything in one transaction, again and again without harm.

use super::link::{Line, Link, ask, run};
use super::place;
use super::trouble::{Doing, Trouble};
use crate::config::{Config, Database};
use crate::domain::{Error, Result};
use std::fmt::Write as _;

const ROLES: &str = include_str!("roles.sql");
/// What each version adds to the tables of the one before.
const TABLES: [&str; 1] = [include_str!("tables.sql")];
/// Views and functions are made anew every time, in this order.
const REST: [&str; 9] = [
    include_str!("core.sql"),
    include_str!("views.sql"),
    include_str!("claims.sql"),
    include_str!("effects.sql"),
    include_str!("decide.sql"),
    include_str!("settle.sql"),
    include_str!("incident.sql"),
    include_str!("scan.sql"),
    include_str!("papers.sql"),
];

/// Away with the views and functions of before, whatever they were.
const CLEAR: &str = "DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT c.oid::regclass AS name FROM pg_class c WHERE c.relnamespace = 'restitch'::regnamespace AND c.relkind = 'v' LOOP
        EXECUTE format('DROP VIEW IF EXISTS %s CASCADE', one.name);
    END LOOP;
    FOR one IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = 'restitch'::regnamespace LOOP
        EXECUTE format('DROP FUNCTION IF EXISTS %s CASCADE', one.name);
    END LOOP;
    DROP TYPE IF EXISTS act CASCADE;
END $$;
";

/// Who may what of what was just made: nobody anything but to read views and to call what is published.
const GRANTS: &str = "
REVOKE ALL ON ALL TABLES IN SCHEMA restitch FROM PUBLIC;
REVOKE ALL ON SCHEMA restitch FROM PUBLIC;
GRANT USAGE ON SCHEMA restitch TO restitch_viewer;
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = 'restitch'::regnamespace LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', one.name);
    END LOOP;
    -- The clock is everyone's.
    GRANT EXECUTE ON FUNCTION micros() TO restitch_viewer;
    FOR one IN SELECT c.oid::regclass AS name FROM pg_class c WHERE c.relnamespace = 'restitch'::regnamespace AND c.relkind = 'v' LOOP
        EXECUTE format('GRANT SELECT ON %s TO restitch_viewer', one.name);
    END LOOP;
END $$;
";

/// Refuses a ledger that another restitch made.
pub(super) fn check_version(found: i64) -> Result<()> {
    let mine = i64::try_from(TABLES.len()).unwrap_or(i64::MAX);
    if found > mine {
        return Err(Error::failed(format!(
            "the ledger has version {found}, this restitch knows versions up to {mine}"
        ))
        .cure("use the newer restitch that made it"));
    }
    if found < mine {
        return Err(Error::failed(format!(
            "the ledger has version {found}, this restitch writes version {mine}"
        ))
        .cure("`restitch ledger create` brings it up to date"));
    }
    Ok(())
}

/// Makes the ledger or brings it up to date; says what it did.
///
/// Refused in a database that holds tables of the schema map, since a restore of it would take the ledger along, unless
/// somebody insists.
pub(in crate::ledger) fn create(config: &Config, insist: bool) -> Result<String> {
    let database = &config.ledger.database;
    let place = place(database);
    let link = Link::new(
        database.clone(),
        format!("restitch ledger create {}", std::process::id()),
    );
    let told = |trouble: Trouble| trouble.told(&place);
    let mut client = link.take()?;
    if !(insist || config.ledger.inside_restored) {
        client = refuse_restored(client, config, &place)?;
    }
    let (client, found) = ask(
        client,
        "SELECT to_regclass('restitch.kept_version') IS NOT NULL, \
                (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database())",
        Vec::new(),
        Doing::Quick,
    )
    .map_err(told)?;
    let sql = |e: tokio_postgres::Error| Error::failed(format!("the ledger's server: {e}")).at(place.clone());
    let row = found
        .first()
        .ok_or_else(|| Error::failed("the server answers nothing").at(place.clone()))?;
    let (there, encoding): (bool, String) = (row.try_get(0).map_err(sql)?, row.try_get(1).map_err(sql)?);
    if encoding != "UTF8" {
        return Err(Error::failed(format!(
            "the database keeps text as {encoding}, which cannot hold every name"
        ))
        .at(place)
        .cure("make the ledger in a database with ENCODING 'UTF8'"));
    }
    // It waits for whoever reads just now, and takes its time.
    let begin = "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0";
    let client = run(client, begin, Doing::Quick).map_err(told)?;
    let client = run(client, ROLES, Doing::Long).map_err(|t| without_right(t, &place))?;
    let client = run(
        client,
        "SET LOCAL ROLE restitch_owner; SET LOCAL search_path = restitch, pg_temp",
        Doing::Quick,
    )
    .map_err(|t| without_right(t, &place))?;
    let (client, version) = if there {
        let (client, rows) =
            ask(client, "SELECT n FROM kept_version FOR UPDATE", Vec::new(), Doing::Long).map_err(told)?;
        (client, rows.first().map_or(Ok(0), |r| r.try_get(0)).map_err(sql)?)
    } else {
        let make = "CREATE TABLE kept_version (n bigint NOT NULL); INSERT INTO kept_version VALUES (0)";
        (
            run(client, make, Doing::Quick).map_err(|t| without_right(t, &place))?,
            0_i64,
        )
    };
    let mine = i64::try_from(TABLES.len()).unwrap_or(i64::MAX);
    if version > mine {
        check_version(version).map_err(|e| e.at(place.clone()))?;
    }
    let mut all =
        String::from("ALTER DEFAULT PRIVILEGES FOR ROLE restitch_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;\n");
    for tables in TABLES.iter().skip(usize::try_from(version).unwrap_or(0)) {
        all.push_str(tables);
    }
    all.push_str(CLEAR);
    for rest in REST {
        all.push_str(rest);
    }
    all.push_str(GRANTS);
    let _ = write!(all, "UPDATE kept_version SET n = {mine};");
    let client = run(client, &all, Doing::Long).map_err(told)?;
    // In a transaction that failed unnoticed COMMIT would roll back and say nothing.
    let (client, _) = ask(
        client,
        "SELECT pg_current_xact_id_if_assigned()::text",
        Vec::new(),
        Doing::Quick,
    )
    .map_err(told)?;
    run(client, "COMMIT", Doing::Long).map_err(told)?;
    Ok(match (there, version == mine) {
        (false, _) => format!("made the ledger, version {mine}, in {place}"),
        (true, true) => {
            format!("the ledger in {place} is of version {mine} already; its functions and grants were made anew")
        }
        (true, false) => format!("brought the ledger in {place} from version {version} to {mine}"),
    })
}

fn refuse_restored(client: Line, config: &Config, place: &str) -> Result<Line> {
    let restored = config.restored.as_ref().is_some_and(|r| super::place(r) == place);
    let tables: Vec<String> = config.schema.entities.iter().map(|e| e.table.clone()).collect();
    let (client, found) = ask(
        client,
        "SELECT t FROM unnest($1::text[]) t WHERE to_regclass(t) IS NOT NULL LIMIT 1",
        vec![super::Bound::Texts(tables)],
        Doing::Quick,
    )
    .map_err(|t| t.told(place))?;
    let table: Option<String> = found.first().and_then(|r| r.try_get(0).ok());
    let why = match (restored, table) {
        (true, _) => "this is the database that is being restored".to_owned(),
        (false, Some(table)) => format!("this database holds {table}, as the one that is being restored"),
        (false, None) => return Ok(client),
    };
    Err(
        Error::refused(format!("{why}: the next restore would take the ledger along"))
            .at(place)
            .cure("make it in a database of its own; --inside-restored (or `ledger.inside_restored = true`) insists"),
    )
}

fn without_right(trouble: Trouble, place: &str) -> Error {
    match trouble {
        Trouble::Forbidden(why, _) => Error::refused(format!("you may not make the ledger: {why}"))
            .at(place)
            .cure("`restitch ledger grants` prints what a DBA must run; then run this again"),
        other => other.told(place),
    }
}

/// What a DBA runs where whoever makes the ledger may not: roles and schema, then that person as a member of its owner.
pub(in crate::ledger) fn grants(database: &Database) -> String {
    let (name, user) = match &database.url {
        crate::config::DbUrl::Postgres { database, user, .. } => (database.as_str(), user.as_str()),
        crate::config::DbUrl::Sqlite(_) => ("restitch", "restitch"),
    };
    let quoted = crate::restored::pg::quoted;
    format!(
        "-- Run this in the database {name} as a role with CREATEROLE that may create schemas there.\n\
         -- Then {user} runs `restitch ledger create`.\n\
         BEGIN;\n{ROLES}GRANT restitch_owner TO {user};\nCOMMIT;\n\n\
         -- Every person has a login of their own, and one of these:\n\
         -- GRANT CONNECT ON DATABASE {name} TO ana;\n\
         -- GRANT restitch_viewer TO ana;      looks\n\
         -- GRANT restitch_relay TO intake;    carries out what others decided, unattended: `restitch prove`\n\
         -- GRANT restitch_operator TO ana;    claims and decides\n\
         -- GRANT restitch_lead TO ana;        also takes over, confirms and reopens\n",
        name = quoted(name),
        user = quoted(user),
    )
}

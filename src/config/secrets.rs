//! Passwords: from where they may come, in order. They are read when connecting, never when loading.

use super::file;
use super::types::{Database, DbUrl, HttpEffect, SaslConfig, Secret};
use crate::domain::{Error, Result};
use std::path::{Path, PathBuf};

/// The same database with its password: from its URL's variable, `password_file`, `PGPASSWORD`, or the password file
/// that libpq reads (`PGPASSFILE`, else `~/.pgpass`). None of them is fine: the server may not ask.
pub fn with_password(database: &Database) -> Result<Database> {
    let mut database = database.clone();
    let DbUrl::Postgres {
        host,
        port,
        database: name,
        user,
        password,
    } = &mut database.url
    else {
        return Ok(database);
    };
    if password.is_none() {
        *password = match &database.password_file {
            Some(path) => Some(first_line(path)?),
            None => match std::env::var("PGPASSWORD") {
                Ok(text) if !text.is_empty() => Some(Secret::new(text)),
                _ => from_passfile(&Login {
                    host,
                    port: *port,
                    database: name,
                    user,
                })?,
            },
        };
    }
    Ok(database)
}

/// The password of a login at a Kafka broker, from its variable or its file.
pub fn of_sasl(sasl: &SaslConfig) -> Result<Secret> {
    if let Some(name) = &sasl.password_env {
        match std::env::var(name) {
            Ok(text) if !text.is_empty() => return Ok(Secret::new(text)),
            _ if sasl.password_file.is_none() => {
                return Err(Error::usage(format!("the variable {name} holds no password"))
                    .at("password_env")
                    .cure(format!("set {name}, or use password_file")));
            }
            _ => {}
        }
    }
    match &sasl.password_file {
        Some(path) => first_line(path),
        None => Err(Error::usage("no password is configured for this login")
            .at("sasl")
            .cure("add password_env or password_file")),
    }
}

/// The secret in this environment variable, which the configuration names.
pub fn of_variable(name: &str) -> Result<Secret> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => Ok(Secret::new(text)),
        _ => Err(Error::usage(format!("the environment variable {name} is not set")).cure(format!("set {name}"))),
    }
}

/// The bearer token of an effect: of its variable, else of its file; `None` where neither is configured.
pub fn token(effect: &HttpEffect) -> Result<Option<Secret>> {
    if let Some(name) = &effect.token_env {
        return match std::env::var(name) {
            Ok(text) if !text.trim().is_empty() => Ok(Some(Secret::new(text.trim()))),
            _ => Err(Error::usage(format!(
                "token_env names the environment variable {name}, which is not set"
            ))
            .at("[effects]")
            .cure(format!("set {name} to the bearer token"))),
        };
    }
    effect.token_file.as_deref().map(first_line).transpose()
}

/// What a line of a password file is matched against.
struct Login<'a> {
    host: &'a str,
    port: u16,
    database: &'a str,
    user: &'a str,
}

fn first_line(path: &Path) -> Result<Secret> {
    let text = file::read_secret(path)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Error::usage(format!("{} holds no password", path.display()))
            .at(path.display().to_string())
            .cure("write the password on its first line"));
    }
    Ok(Secret::new(line))
}

fn from_passfile(login: &Login<'_>) -> Result<Option<Secret>> {
    let path = match std::env::var_os("PGPASSFILE").filter(|p| !p.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => match directories::BaseDirs::new() {
            Some(base) => base.home_dir().join(".pgpass"),
            None => return Ok(None),
        },
    };
    if !path.exists() {
        return Ok(None);
    }
    Ok(search(&file::read_secret(&path)?, login))
}

/// The password of the first line that fits: `host:port:database:user:password`, each of the first four literal or `*`,
/// `\:` and `\\` escaped (PostgreSQL documentation, "The Password File").
fn search(text: &str, login: &Login<'_>) -> Option<Secret> {
    let port = login.port.to_string();
    let wanted = [login.host, &port, login.database, login.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for want in wanted {
            let (field, after) = field(rest)?;
            if field.raw != "*" && field.text != want {
                return None;
            }
            rest = after;
        }
        let password = unescape(rest);
        (!password.is_empty()).then(|| Secret::new(password))
    })
}

/// A field as written and as meant: an escaped `\*` is the same as `*`, as in libpq.
struct Word<'a> {
    raw: &'a str,
    text: String,
}

/// The field before the next bare colon, and what follows it.
fn field(line: &str) -> Option<(Word<'_>, &str)> {
    let mut escaped = false;
    let end = line.char_indices().find_map(|(i, c)| {
        let bare = !escaped;
        escaped = bare && c == '\\';
        (bare && c == ':').then_some(i)
    })?;
    let raw = &line[..end];
    Some((
        Word {
            raw,
            text: unescape(raw),
        },
        &line[end + 1..],
    ))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Option<String> {
        let login = Login {
            host: "db.example",
            port: 5432,
            database: "om",
            user: "tri:age",
        };
        search(text, &login).map(|s| s.reveal().to_owned())
    }

    #[test]
    fn a_password_file_is_read_as_libpq_reads_it() {
        let exact =
            "# host:port:database:user:password\nother:5432:om:tri\\:age:no\ndb.example:5432:om:tri\\:age:p\\:a\\\\ss";
        assert_eq!(find(exact).as_deref(), Some("p:a\\ss"));
        assert_eq!(find("*:*:*:*:any").as_deref(), Some("any"));
        assert_eq!(
            find("db.example:*:om:tri\\:age:first\n*:*:*:*:second").as_deref(),
            Some("first")
        );
        assert_eq!(find("db.example:5433:om:tri\\:age:no"), None);
        assert_eq!(find("db.example:5432:om:tri:age:no"), None);
        assert_eq!(find("#*:*:*:*:no\nshort:line"), None);
        assert_eq!(find("*:*:*:*:"), None);
    }
}

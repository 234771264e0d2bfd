//! Where a database is: `postgres://user@host:port/database` or `sqlite:path`.

use super::fields::{Field, Fields};
use super::tree::Layer;
use super::types::{Database, DbUrl, Secret, SslMode};
use crate::domain::{Error, Result};

const EXAMPLE: &str = "\"postgres://triage@restored.example:5432/om\" or \"sqlite:path\"";

/// The database that this table names; `None` where it names none.
pub fn database(fields: &Fields<'_>) -> Result<Option<Database>> {
    let Some(url) = locate(fields)? else {
        return Ok(None);
    };
    let mut database = Database::at(url);
    if let Some(field) = fields.get("sslmode") {
        database.sslmode = sslmode(&field)?;
    }
    database.sslrootcert = fields.get("sslrootcert").map(|f| f.path()).transpose()?;
    database.password_file = fields.get("password_file").map(|f| f.path()).transpose()?;
    database.iam_auth = fields.flag("iam_auth")?;
    if let (true, SslMode::Disable, Some(field)) = (database.iam_auth, database.sslmode, fields.get("iam_auth")) {
        return Err(field
            .wrong(format!(
                "{} needs TLS: a token is a credential and is never sent in the clear",
                field.path
            ))
            .cure("remove sslmode = \"disable\"; for RDS, sslrootcert names the region's bundle"));
    }
    Ok(Some(database))
}

/// `url`, or what the variable named by `url_env` holds; the stronger layer counts, on a tie the variable.
fn locate(fields: &Fields<'_>) -> Result<Option<DbUrl>> {
    let url = fields.get("url");
    if let Some(named) = fields.get("url_env") {
        let name = named.text()?;
        let wins = url.as_ref().is_none_or(|u| named.layer() >= u.layer());
        match std::env::var(name) {
            Ok(text) if wins && !text.is_empty() => return parse(&named, &text, true).map(Some),
            _ if url.is_none() => {
                return Err(named
                    .wrong(format!(
                        "{} names the environment variable {name}, which is not set",
                        named.path
                    ))
                    .cure(format!("set {name} to {EXAMPLE}")));
            }
            _ => {}
        }
    }
    let Some(url) = url else { return Ok(None) };
    let text = url.text()?;
    parse(&url, text, url.layer() == Layer::Environment).map(Some)
}

fn sslmode(field: &Field<'_>) -> Result<SslMode> {
    let weaker = ["require", "prefer", "allow", "verify-ca"];
    if weaker.contains(&field.text()?) {
        return Err(field
            .wrong(format!(
                "{} does not check whom it talks to, and is not offered",
                field.path
            ))
            .cure("use \"verify-full\", with sslrootcert where the server's authority is not one of the system's"));
    }
    field.choice(&[("verify-full", SslMode::VerifyFull), ("disable", SslMode::Disable)])
}

/// Reads a URL; never repeats it in a message, for it may hold a password.
fn parse(field: &Field<'_>, text: &str, may_hold_password: bool) -> Result<DbUrl> {
    let wrong = |what: &str| -> Error {
        field
            .wrong(format!("{}: {what}", field.path))
            .cure(format!("write it like {EXAMPLE}"))
    };
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(wrong("the URL names no file"));
        }
        return Ok(DbUrl::Sqlite(field.resolve(path)));
    }
    let Some(rest) = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
    else {
        return Err(wrong("the URL begins with neither postgres:// nor sqlite:"));
    };
    if rest.contains(['?', '#']) {
        return Err(field
            .wrong(format!("{}: the URL carries options", field.path))
            .cure("take everything from the ? on out of the URL, and write sslmode, sslrootcert as keys beside it"));
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    if password.is_some() && !may_hold_password {
        return Err(field
            .wrong(format!(
                "{}: the URL holds a password; secrets never stand in a file or on a command line",
                field.path
            ))
            .cure(
                "take it out and use password_file = \"...\" (mode 0600), url_env = \"NAME\", PGPASSWORD or ~/.pgpass",
            ));
    }
    let (host, port) = match place.strip_prefix('[').and_then(|p| p.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(port) => port
            .parse()
            .ok()
            .filter(|p| *p != 0)
            .ok_or_else(|| wrong("the port is no number from 1 to 65535"))?,
        None => 5432,
    };
    let decode = |part: &str| decode(part).ok_or_else(|| wrong("a % is not followed by two hexadecimal digits"));
    let (host, user, database) = (decode(host)?, decode(user)?, decode(database)?);
    if host.is_empty() || host.contains(',') {
        return Err(wrong("the URL must name one host"));
    }
    if database.is_empty() {
        return Err(wrong("the URL names no database"));
    }
    let user = if user.is_empty() { login_name(&wrong)? } else { user };
    Ok(DbUrl::Postgres {
        host,
        port,
        database,
        user,
        password: password
            .map(decode)
            .transpose()?
            .filter(|p| !p.is_empty())
            .map(Secret::new),
    })
}

/// Whom to log in as where the URL does not say: as libpq does, `PGUSER`, else the system user.
fn login_name(wrong: &impl Fn(&str) -> Error) -> Result<String> {
    ["PGUSER", "USER"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|user| !user.is_empty())
        .ok_or_else(|| wrong("the URL names no user"))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (
                char::from(rest.next()?).to_digit(16)?,
                char::from(rest.next()?).to_digit(16)?,
            );
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|t| !t.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn undoes_percent_encoding() {
        assert_eq!(decode("a%2Fb%40c"), Some("a/b@c".to_owned()));
        assert_eq!(decode("caf%C3%A9"), Some("café".to_owned()));
        for wrong in ["%", "%4", "%zz", "%FF", "%00"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}

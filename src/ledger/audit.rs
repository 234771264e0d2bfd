//! The audit trail: one chain of SHA-256 for each incident, each line written in the transaction of its deed.

use super::Ledger;
use super::fault::{Fault, Res};
use super::sqlite::Tx;
use super::store::{Row, Snapshot};
use crate::domain::queue::AuditLine;
use crate::domain::{Error, ErrorKind, Result, time};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

/// What is written down of a deed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deed<'a> {
    pub action: &'a str,
    pub case: Option<&'a str>,
    pub verb: Option<&'a str>,
    pub key: Option<&'a str>,
    pub outcome: &'a str,
    pub why: Option<&'a str>,
}

impl<'a> Deed<'a> {
    /// A deed on a case.
    pub const fn on(action: &'a str, case: &'a str) -> Self {
        Self {
            action,
            case: Some(case),
            verb: None,
            key: None,
            outcome: "",
            why: None,
        }
    }
}

/// A stored line, whole: also what `audit list` does not print but the hash covers.
struct Line {
    seq: i64,
    at: i64,
    who: String,
    system_user: String,
    ssh: Option<String>,
    action: String,
    case: Option<String>,
    verb: Option<String>,
    key: Option<String>,
    outcome: String,
    why: Option<String>,
    hash: String,
}

impl Line {
    const COLUMNS: &str = "seq, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash";

    fn read(row: &dyn Row) -> Res<Self> {
        Ok(Self {
            seq: row.int(0)?,
            at: row.int(1)?,
            who: row.own(2)?,
            system_user: row.own(3)?,
            ssh: row.own_or_null(4)?,
            action: row.own(5)?,
            case: row.own_or_null(6)?,
            verb: row.own_or_null(7)?,
            key: row.own_or_null(8)?,
            outcome: row.own(9)?,
            why: row.own_or_null(10)?,
            hash: row.own(11)?,
        })
    }

    /// SHA-256 over the hash before it and the line as a JSON list: no two lines have the same bytes.
    fn seal(&self, incident: &str, before: &str) -> Result<String, serde_json::Error> {
        let bytes = serde_json::to_vec(&(
            (incident, self.seq, self.at),
            (&self.who, &self.system_user, &self.ssh),
            (&self.action, &self.case, &self.verb, &self.key),
            (&self.outcome, &self.why),
        ))?;
        let mut sha = Sha256::new();
        sha.update(before.as_bytes());
        sha.update([b'\n']);
        sha.update(bytes);
        Ok(hex(&sha.finalize()))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut out, b| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

impl Tx<'_> {
    /// Adds a line to the chain.
    pub fn audit(&self, deed: Deed<'_>) -> Res<()> {
        let head: Option<(i64, String)> = self
            .db
            .prepare_cached("SELECT seq, hash FROM heads WHERE incident = ?1")?
            .query_row([self.incident], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let (last, before) = head.unwrap_or_default();
        let own = |text: Option<&str>| text.map(str::to_owned);
        let mut line = Line {
            seq: last + 1,
            at: self.now,
            who: self.who.user.clone(),
            system_user: self.who.system_user.clone(),
            ssh: self.who.ssh.clone(),
            action: deed.action.to_owned(),
            case: own(deed.case),
            verb: own(deed.verb),
            key: own(deed.key),
            outcome: deed.outcome.to_owned(),
            why: own(deed.why),
            hash: String::new(),
        };
        line.hash = line.seal(&self.name, &before)?;
        self.db
            .prepare_cached(
                "INSERT INTO audit (incident, seq, at, who, system_user, ssh, action, case_id, verb, key, outcome, why, hash)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                self.incident,
                line.seq,
                line.at,
                line.who,
                line.system_user,
                line.ssh,
                line.action,
                line.case,
                line.verb,
                line.key,
                line.outcome,
                line.why,
                line.hash
            ])?;
        self.db
            .prepare_cached("INSERT OR REPLACE INTO heads (incident, seq, hash) VALUES (?1, ?2, ?3)")?
            .execute(params![self.incident, line.seq, line.hash])?;
        Ok(())
    }
}

impl Ledger {
    /// The trail of the incident, oldest first.
    pub fn audit(&self, each: &mut dyn FnMut(AuditLine) -> Result<()>) -> Result<()> {
        self.read(|at| {
            lines(at, at.incident(), &mut |line| {
                each(AuditLine {
                    seq: line.seq.unsigned_abs(),
                    at: time::format(line.at),
                    who: line.who,
                    action: line.action,
                    case: line.case,
                    verb: line.verb,
                    key: line.key,
                    outcome: line.outcome,
                    why: line.why,
                    hash: line.hash,
                    system_user: line.system_user,
                    ssh: line.ssh,
                })
                .map_err(Fault::Told)
            })
        })
    }

    /// Reads every chain in the ledger and says how many lines are whole; the first that is not ends it with
    /// [`ErrorKind::BrokenChain`].
    pub fn verify(&self) -> Result<u64> {
        let told = self.read(verify_all);
        told.map_err(|mut e| {
            // A page that SQLite cannot make sense of is a broken chain too.
            if e.what.contains("damaged") {
                e.kind = ErrorKind::BrokenChain;
            }
            e
        })
    }
}

fn lines(at: &dyn Snapshot, incident: i64, each: &mut dyn FnMut(Line) -> Res<()>) -> Res<()> {
    let sql = format!("SELECT {} FROM audit WHERE incident = ?1 ORDER BY seq", Line::COLUMNS);
    at.each(&sql, &[incident.into()], &mut |row| {
        each(Line::read(row)?)?;
        Ok(true)
    })
}

pub(super) fn broken(incident: &str, seq: i64, what: &str) -> Fault {
    Fault::Told(
        Error::new(
            ErrorKind::BrokenChain,
            format!("the audit trail is broken at line {seq}: {what}"),
        )
        .at(format!("incident {incident}"))
        .cure("keep the file as it is, compare it with a copy, and find out who wrote to it"),
    )
}

pub(super) fn verify_all(at: &dyn Snapshot) -> Res<u64> {
    let incidents = at.all(
        "SELECT i.incident, n.name FROM (SELECT incident FROM audit UNION SELECT incident FROM heads) i
         LEFT JOIN incidents n ON n.no = i.incident ORDER BY 1",
        &[],
        |r| Ok((r.int(0)?, r.own_or_null(1)?)),
    )?;
    let mut checked = 0;
    for (incident, name) in incidents {
        let name = name.ok_or_else(|| broken(&incident.to_string(), 1, "its incident was removed"))?;
        checked += verify_one(at, incident, &name)?;
    }
    Ok(checked)
}

fn verify_one(at: &dyn Snapshot, incident: i64, name: &str) -> Res<u64> {
    let (mut seq, mut before) = (0, String::new());
    lines(at, incident, &mut |line| {
        if line.seq != seq + 1 {
            return Err(broken(name, seq + 1, "it is missing"));
        }
        if line.seal(name, &before)? != line.hash {
            return Err(broken(name, line.seq, "it was changed, or the line before it was"));
        }
        (seq, before) = (line.seq, line.hash);
        Ok(())
    })?;
    let head = at.one(
        "SELECT seq, hash FROM heads WHERE incident = ?1",
        &[incident.into()],
        |r| Ok((r.int(0)?, r.own::<String>(1)?)),
    )?;
    match head {
        Some((last, hash)) if (last, &hash) == (seq, &before) => Ok(seq.unsigned_abs()),
        Some((last, _)) if last > seq => Err(broken(name, seq + 1, "the newest lines were removed")),
        _ => Err(broken(name, seq, "its head says otherwise")),
    }
}

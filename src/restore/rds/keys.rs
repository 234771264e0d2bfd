//! The key of the storage and the key of personal data: two keys, never one line.
//!
//! Encryption is chosen when a database is made, for the life of it: an instance's key cannot be changed, encryption cannot
//! be turned off, and an unencrypted backup cannot be restored to encrypted storage (RDS User Guide, "Encrypting Amazon RDS
//! resources"). The restore of an instance has no parameter for it at all; that of a cluster has `KmsKeyId`.

use super::check::Read;
use super::client::{Aws, AwsError, told};
use super::db::{Db, Kind, micros};
use crate::config::Config;
use crate::domain::preflight::{Line, Mark};
use crate::domain::time;

/// A key of KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its ARN.
    pub arn: String,
    /// `Enabled`, `Disabled`, `PendingDeletion`, …
    pub state: String,
    /// `AWS` or `CUSTOMER`.
    pub manager: String,
    /// When it will be deleted, microseconds since 1970.
    pub deleted_at: Option<i64>,
}

/// Describes a key by id, ARN or alias.
pub async fn describe(aws: &Aws, id: &str) -> Result<Key, AwsError> {
    let asked = aws.kms.describe_key().key_id(id).send().await;
    let found = asked.map_err(|e| told("kms:DescribeKey", &e))?;
    let key = found.key_metadata();
    Ok(Key {
        arn: key.and_then(|k| k.arn()).unwrap_or(id).to_owned(),
        state: key
            .and_then(|k| k.key_state())
            .map_or_else(|| "not known".to_owned(), |s| s.as_str().to_owned()),
        manager: key
            .and_then(|k| k.key_manager())
            .map_or_else(String::new, |m| m.as_str().to_owned()),
        deleted_at: key.and_then(|k| k.deletion_date()).map(micros),
    })
}

/// Whether two ids name one key: by what KMS says of them, else by their spelling. `None`: it cannot be told.
fn same(
    a: &str,
    a_key: Option<&Result<Key, AwsError>>,
    b: &str,
    b_key: Option<&Result<Key, AwsError>>,
) -> Option<bool> {
    let arn = |key: Option<&Result<Key, AwsError>>, id: &str| match key {
        Some(Ok(key)) => Some(key.arn.clone()),
        _ => id.contains(":key/").then(|| id.to_owned()),
    };
    if let (Some(a), Some(b)) = (arn(a_key, a), arn(b_key, b)) {
        return Some(a == b);
    }
    let short = |id: &str| id.rsplit('/').next().unwrap_or(id).to_owned();
    let aliased = |id: &str| id.contains("alias/");
    match aliased(a) || aliased(b) {
        true if a == b => Some(true),
        true => None,
        false => Some(short(a) == short(b)),
    }
}

/// What the site expects against what the backup is: each of the three refusals in its own words.
pub fn encryption(db: &Db, config: &Config, keys: &[Option<Result<Key, AwsError>>; 3]) -> Line {
    let evidence = "StorageEncrypted, KmsKeyId against [aws.expects]";
    let line = |mark, what: String| Line::new("encryption", mark, what, evidence);
    let key = db.key.as_deref().unwrap_or("a key that AWS does not name");
    let is = match db.encrypted {
        Some(true) => format!("storage is encrypted with {key}"),
        Some(false) => "storage is not encrypted".to_owned(),
        None => {
            return line(
                Mark::CannotTell,
                "AWS does not say whether storage is encrypted".to_owned(),
            );
        }
    };
    let expects = (config.aws.encrypted, config.aws.kms_key.as_deref());
    match (db.encrypted == Some(true), expects) {
        (false, (Some(true), _) | (_, Some(_))) => line(
            Mark::Bad,
            format!(
                "PLAIN TO ENCRYPTED: {is} and the site expects encryption: AWS does not restore an unencrypted backup to \
                 encrypted storage"
            ),
        )
        .cure("restore it plain and let the site accept that, or copy a snapshot with a key and restore the copy: then T is the snapshot's"),
        (true, (Some(false), _)) => line(
            Mark::Bad,
            format!("ENCRYPTED TO PLAIN: {is} and the site expects plain storage: AWS cannot turn encryption off"),
        )
        .cure("let the site accept encrypted storage; only a dump and a reload make it plain"),
        (true, (_, Some(wanted))) => match same(key, keys[0].as_ref(), wanted, keys[1].as_ref()) {
            Some(true) => line(Mark::Good, format!("{is}, as the site expects")),
            None => line(Mark::CannotTell, format!("{is}; whether that is {wanted} cannot be told"))
                .cure("allow kms:DescribeKey, or write the key's ARN into aws.expects.kms_key"),
            Some(false) if db.kind == Kind::Cluster => line(
                Mark::Note,
                format!("KEY CHANGED: {is} and the site expects {wanted}; the restore of a cluster can take another key"),
            )
            .cure("`restitch restore command` carries --kms-key-id; both keys must be usable"),
            Some(false) => line(
                Mark::Bad,
                format!(
                    "KEY CHANGED: {is} and the site expects {wanted}: the restored instance keeps the key of the backup, the call \
                     has no parameter for another"
                ),
            )
            .cure("set aws.expects.kms_key to the key of the backup, or find out who changed what the site expects"),
        },
        (_, (None, None)) => line(
            Mark::Note,
            format!("{is}, and so will the restored one be; what the site expects is not configured"),
        )
        .cure("set encrypted and kms_key in [aws.expects]"),
        (_, _) => line(Mark::Good, format!("{is}, as the site expects")),
    }
}

/// Whether the key of the storage can be used.
pub fn storage_key(db: &Db, keys: &[Option<Result<Key, AwsError>>; 3]) -> Option<Line> {
    let evidence = "kms:DescribeKey";
    let for_life = "set once, when the database was made, for its whole life; not the key of personal data";
    let key = match keys[0].as_ref()? {
        Ok(key) => key,
        Err(e) => {
            let id = db.key.as_deref().unwrap_or_default();
            let what = format!("{}; the key is {id}, {for_life}", e.words());
            return Some(Line::new("storage key", Mark::CannotTell, what, evidence).cure(e.cure()));
        }
    };
    let manager = match key.manager.as_str() {
        "AWS" => "AWS's own",
        _ => "the customer's",
    };
    let what = format!("{} is {}, {manager}; {for_life}", key.arn, key.state);
    if key.state == "Enabled" {
        return Some(Line::new("storage key", Mark::Good, what, evidence));
    }
    let until = key
        .deleted_at
        .map_or(String::new(), |at| format!(", it goes for good {}", time::format(at)));
    let what = format!("{what}{until}: what is restored with it becomes inaccessible-encryption-credentials");
    Some(
        Line::new("storage key", Mark::Bad, what, evidence)
            .cure("let the owner of the key enable it, or cancel its deletion, before the restore"),
    )
}

/// The keys of personal data: which KMS key wraps them, and whether the restored key table has the newest version.
pub fn pii(config: &Config, read: &Read) -> Vec<Line> {
    let Some(pii) = &config.aws.pii else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    if let (Some(wanted), Some(key)) = (&pii.kms_key, &read.keys[2]) {
        let evidence = "kms:DescribeKey";
        let storage = read
            .source
            .as_ref()
            .ok()
            .and_then(Option::as_ref)
            .and_then(|db| db.key.as_deref());
        let one = storage.and_then(|id| same(id, read.keys[0].as_ref(), wanted, Some(key)));
        lines.push(match (key, one) {
            (Err(e), _) => Line::new("PII key", Mark::CannotTell, e.words(), evidence).cure(e.cure()),
            (Ok(key), Some(true)) => Line::new(
                "PII key",
                Mark::Note,
                format!(
                    "{} is configured as the key of personal data, and storage is encrypted with it too",
                    key.arn
                ),
                evidence,
            )
            .cure("they should be two keys: look whether aws.pii.kms_key is the right one"),
            (Ok(key), _) if key.state != "Enabled" => Line::new(
                "PII key",
                Mark::Bad,
                format!(
                    "{} is {}: the encryption service cannot unwrap its data keys",
                    key.arn, key.state
                ),
                evidence,
            )
            .cure("let the owner of the key enable it before services start"),
            (Ok(key), _) => Line::new(
                "PII key",
                Mark::Good,
                format!(
                    "{} is Enabled; another key than the storage's, rotated on its own",
                    key.arn
                ),
                evidence,
            ),
        });
    }
    if pii.sql.is_some() {
        lines.push(pii_version(pii.newest, &read.inside.pii_newest));
    }
    lines
}

fn pii_version(newest: Option<i64>, found: &Result<i64, String>) -> Line {
    let evidence = "aws.pii.sql on the restored database";
    match (found, newest) {
        (Err(why), _) => Line::new(
            "PII key table",
            Mark::Note,
            format!("not asked yet: {why}"),
            evidence,
        )
        .cure("run `restitch restore check` again once the restored database answers"),
        (Ok(found), Some(newest)) if *found < newest => Line::new(
            "PII key table",
            Mark::Bad,
            format!(
                "the restored key table ends at version {found}, {newest} was in use: what was encrypted with the newer ones, in \
                 queues, Salesforce or streams, cannot be read"
            ),
            evidence,
        )
        .cure("bring the missing key versions back from the old instance before services start"),
        (Ok(found), Some(newest)) => Line::new(
            "PII key table",
            Mark::Good,
            format!("the restored key table ends at version {found}; {newest} was in use"),
            evidence,
        ),
        (Ok(found), None) => Line::new(
            "PII key table",
            Mark::Note,
            format!("the restored key table ends at version {found}; which one was in use is not configured"),
            evidence,
        )
        .cure("set aws.pii.newest"),
    }
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn keys_are_told_apart_by_their_arn_not_by_how_they_are_written() {
        let arn = "arn:aws:kms:eu-central-1:1:key/abc";
        assert_eq!(same(arn, None, "abc", None), Some(true));
        assert_eq!(same(arn, None, "arn:aws:kms:eu-central-1:1:key/abd", None), Some(false));
        assert_eq!(same(arn, None, "alias/om", None), None);
        let key = Ok(super::Key {
            arn: arn.to_owned(),
            state: "Enabled".to_owned(),
            manager: "CUSTOMER".to_owned(),
            deleted_at: None,
        });
        assert_eq!(same(arn, None, "alias/om", Some(&key)), Some(true));
    }
}

//! `[aws]`: where the restore runs, and what the site expects of it.

use super::fields::Fields;
use super::tree::Node;
use super::types::{AwsConfig, PiiKeys};
use crate::domain::Result;

/// Reads `[aws]`.
pub fn read(node: &Node) -> Result<AwsConfig> {
    let fields = Fields::of(node, "aws", "aws")?;
    let mut aws = AwsConfig {
        region: fields.text("region")?,
        endpoint: fields.text("endpoint")?,
        source: fields.text("source")?,
        target: fields.text("target")?,
        restorer: fields.text("restorer")?,
        ..AwsConfig::default()
    };
    if let Some(field) = fields.get("endpoint") {
        let url = field.text()?;
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(field
                .wrong(format!("aws.endpoint is {url:?}, which is no address"))
                .cure("write it like \"https://vpce-1.rds.eu-central-1.vpce.amazonaws.com\""));
        }
    }
    if let Some(field) = fields.get("target")
        && let name = field.text()?
        && !is_identifier(name)
    {
        return Err(field
            .wrong(format!(
                "aws.target is {name:?}, which AWS would refuse as an identifier"
            ))
            .cure(
                "use 1 to 63 letters, digits and single hyphens, beginning with a letter and not ending with a hyphen",
            ));
    }
    if let Some(field) = fields.get("restorer") {
        let arn = field.text()?;
        if !arn.starts_with("arn:") {
            return Err(field
                .wrong(format!("aws.restorer is {arn:?}, which is no ARN"))
                .cure("write it like \"arn:aws:iam::111122223333:role/restore\""));
        }
    }
    if let Some(field) = fields.get("expects") {
        let expects = Fields::of(field.node, "aws.expects", "aws.expects")?;
        aws.encrypted = expects.get("encrypted").map(|f| f.flag()).transpose()?;
        aws.kms_key = expects.text("kms_key")?;
        if aws.encrypted == Some(false) && aws.kms_key.is_some() {
            return Err(expects
                .wrong("aws.expects names a kms_key and says that storage is not encrypted")
                .cure("take one of them out"));
        }
    }
    if let Some(field) = fields.get("pii") {
        let pii = Fields::of(field.node, "aws.pii", "aws.pii")?;
        aws.pii = Some(PiiKeys {
            kms_key: pii.text("kms_key")?,
            sql: pii.text("sql")?,
            newest: pii.get("newest").map(|f| f.int(0..=i64::MAX)).transpose()?,
        });
    }
    Ok(aws)
}

/// Whether AWS takes this as the identifier of an instance or cluster (RDS API, `TargetDBInstanceIdentifier`).
fn is_identifier(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(plain)
        && !name.ends_with('-')
        && !name.contains("--")
}

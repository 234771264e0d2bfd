//! A Kafka cluster in `[hold]` or `[[log]]`: brokers, TLS, login.

use super::fields::Fields;
use super::types::{KafkaConfig, SaslConfig, SaslMechanism, SourceKind};
use crate::domain::Result;

/// The cluster that these keys name. A login needs TLS, unless its mechanism proves the password without sending it.
pub(super) fn cluster(fields: &Fields<'_>, source: SourceKind) -> Result<KafkaConfig> {
    if source != SourceKind::Kafka {
        return Ok(KafkaConfig {
            brokers: fields.texts("brokers")?,
            ..KafkaConfig::default()
        });
    }
    let sasl = sasl(fields)?;
    let tls = match fields.get("tls") {
        Some(field) => field.flag()?,
        None => sasl.is_some(),
    };
    if let (false, Some(sasl), Some(field)) = (tls, &sasl, fields.get("tls"))
        && matches!(sasl.mechanism, SaslMechanism::Plain | SaslMechanism::MskIam)
    {
        return Err(field
            .wrong("without TLS this login would send its secret in the clear")
            .cure("take tls = false out, or use scram-sha-512 where the brokers offer it without TLS"));
    }
    Ok(KafkaConfig {
        brokers: fields.need("brokers", "[\"b-1.example:9098\"]")?.some_texts()?,
        tls,
        sslrootcert: fields.get("sslrootcert").map(|f| f.path()).transpose()?,
        sasl,
    })
}

fn sasl(fields: &Fields<'_>) -> Result<Option<SaslConfig>> {
    let Some(field) = fields.get("sasl") else {
        return Ok(None);
    };
    let mechanism = field.choice(&[
        ("plain", SaslMechanism::Plain),
        ("scram-sha-256", SaslMechanism::ScramSha256),
        ("scram-sha-512", SaslMechanism::ScramSha512),
        ("msk-iam", SaslMechanism::MskIam),
    ])?;
    let sasl = SaslConfig {
        mechanism,
        username: fields.text("username")?.unwrap_or_default(),
        password_env: fields.text("password_env")?,
        password_file: fields.get("password_file").map(|f| f.path()).transpose()?,
        region: fields.text("region")?,
    };
    if mechanism != SaslMechanism::MskIam {
        fields.need("username", "\"restitch\"")?;
        if sasl.password_env.is_none() && sasl.password_file.is_none() {
            return Err(field
                .wrong("a login with this mechanism needs a password")
                .cure("add password_env = \"NAME\" or password_file = \"FILE\" (mode 0600)"));
        }
    }
    Ok(Some(sasl))
}

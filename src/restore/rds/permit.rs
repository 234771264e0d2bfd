//! Who asks, until when, and whether whoever runs the restore may.

use super::client::{Aws, AwsError, Trouble, told};
use super::db::{Db, Kind};
use aws_sdk_rds::config::Credentials;
use serde::Serialize;
use std::time::UNIX_EPOCH;

/// Who AWS says that we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// `arn:aws:sts::111122223333:assumed-role/restore/ana`
    pub arn: String,
    /// The account.
    pub account: String,
    /// When the credentials end, microseconds since 1970; `None` where they say no end.
    pub until: Option<i64>,
}

/// What somebody may not do, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The permission: `rds:RestoreDBInstanceToPointInTime`.
    pub action: String,
    /// On which resource.
    pub resource: String,
    /// No statement allows it, or one forbids it.
    pub why: &'static str,
}

/// What the policies of a principal say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permits {
    /// Whom they were asked for.
    pub principal: String,
    /// How many permissions were asked for.
    pub asked: usize,
    /// Those that are missing.
    pub missing: Vec<Missing>,
    /// Context keys that policies look at and that were not known.
    pub unknown: Vec<String>,
}

/// The permissions that whoever runs the restore needs: API reference of the restore calls, and of the settings to be put right
/// afterwards. A key of the customer's needs `kms:CreateGrant` too (RDS User Guide, "AWS KMS key management").
pub const fn needed(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Instance => &[
            "rds:RestoreDBInstanceToPointInTime",
            "rds:AddTagsToResource",
            "rds:DescribeDBInstances",
            "rds:DescribeEvents",
            "rds:ModifyDBInstance",
        ],
        Kind::Cluster => &[
            "rds:RestoreDBClusterToPointInTime",
            "rds:AddTagsToResource",
            "rds:CreateDBInstance",
            "rds:DescribeDBClusters",
            "rds:DescribeDBInstances",
            "rds:DescribeEvents",
            "rds:ModifyDBCluster",
        ],
    }
}

/// What a key of the customer's needs besides.
pub const NEEDED_OF_KEY: &[&str] = &["kms:CreateGrant", "kms:DescribeKey"];

/// When these credentials end, microseconds since 1970; `None` where they say no end.
pub fn end(credentials: &Credentials) -> Option<i64> {
    let since = credentials.expiry()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

impl Aws {
    /// Who we are.
    pub async fn identity(&self) -> Result<Identity, AwsError> {
        let asked = self.sts.get_caller_identity().send().await;
        let who = asked.map_err(|e| told("sts:GetCallerIdentity", &e))?;
        let until = end(&self.credentials().await?);
        Ok(Identity {
            arn: who.arn().unwrap_or_default().to_owned(),
            account: who.account().unwrap_or_default().to_owned(),
            until,
        })
    }

    /// What the policies of this principal lack for a restore of `db` into `target`. The policy of the key itself and those of
    /// the organisation's accounts are only partly among what AWS simulates.
    pub async fn permits(&self, principal: &str, db: &Db, target: &str) -> Result<Permits, AwsError> {
        let principal = self.policy_holder(principal).await?;
        // The source's ARN with the target's name: arn:aws:rds:REGION:ACCOUNT:db:NAME.
        let made = db.arn.rsplit_once(':').map(|(prefix, _)| format!("{prefix}:{target}"));
        let resources: Vec<String> = std::iter::once(db.arn.clone())
            .chain(made)
            .filter(|arn| arn.starts_with("arn:"))
            .collect();
        let actions = needed(db.kind);
        let mut permits = Permits {
            principal: principal.clone(),
            asked: actions.len(),
            missing: Vec::new(),
            unknown: Vec::new(),
        };
        self.simulate(&mut permits, actions, &resources).await?;
        if let Some(key) = db.key.as_ref().filter(|key| key.starts_with("arn:")) {
            permits.asked += NEEDED_OF_KEY.len();
            self.simulate(&mut permits, NEEDED_OF_KEY, std::slice::from_ref(key))
                .await?;
        }
        Ok(permits)
    }

    async fn simulate(&self, permits: &mut Permits, actions: &[&str], resources: &[String]) -> Result<(), AwsError> {
        let mut marker = None;
        loop {
            let asked = self
                .iam
                .simulate_principal_policy()
                .policy_source_arn(&permits.principal)
                .set_action_names(Some(actions.iter().map(|a| (*a).to_owned()).collect()))
                .set_resource_arns((!resources.is_empty()).then(|| resources.to_vec()))
                .set_marker(marker)
                .send()
                .await;
            let out = asked.map_err(|e| told("iam:SimulatePrincipalPolicy", &e))?;
            for result in out.evaluation_results() {
                for key in result.missing_context_values() {
                    if !permits.unknown.contains(key) {
                        permits.unknown.push(key.clone());
                    }
                }
                let why = match result.eval_decision().as_str() {
                    "allowed" => continue,
                    "explicitDeny" => "a statement forbids it",
                    _ => "no statement allows it",
                };
                let missing = Missing {
                    action: result.eval_action_name().to_owned(),
                    resource: result.eval_resource_name().unwrap_or("*").to_owned(),
                    why,
                };
                if !permits.missing.iter().any(|m| m.action == missing.action) {
                    permits.missing.push(missing);
                }
            }
            marker = out.marker().map(str::to_owned);
            if !out.is_truncated() || marker.is_none() {
                return Ok(());
            }
        }
    }

    /// Who has the policies: of a session, its role. Its ARN does not say the role's path, which the role itself does.
    async fn policy_holder(&self, arn: &str) -> Result<String, AwsError> {
        let Some((_, session)) = arn.split_once(":assumed-role/") else {
            return Ok(arn.to_owned());
        };
        let role = session.split('/').next().unwrap_or_default();
        let asked = self.iam.get_role().role_name(role).send().await;
        let found = asked.map_err(|e| told("iam:GetRole", &e))?;
        match found.role() {
            Some(role) => Ok(role.arn().to_owned()),
            None => Err(AwsError {
                trouble: Trouble::Missing,
                action: "iam:GetRole",
                code: None,
                message: format!("there is no role {role}"),
            }),
        }
    }
}

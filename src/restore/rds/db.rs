//! An instance or an Aurora cluster as AWS describes it: what matters for a restore, under one roof.

use super::client::{Aws, AwsError, Trouble, told};
use aws_sdk_rds::operation::describe_db_clusters::DescribeDbClustersOutput;
use aws_sdk_rds::operation::describe_db_instances::DescribeDbInstancesOutput;
use aws_sdk_rds::primitives::DateTime;
use aws_sdk_rds::types::{DbCluster, DbInstance, DbInstanceAutomatedBackup, Endpoint, Filter};
use serde::{Deserialize, Serialize};

/// Which of the two AWS restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A DB instance.
    Instance,
    /// An Aurora or Multi-AZ DB cluster: its volume is restored, its instances are made afterwards.
    Cluster,
}

impl Kind {
    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Cluster => "cluster",
        }
    }
}

/// How a setting of the source gets to the restored one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By these arguments of the restore command; without them the default counts.
    Carried(Vec<String>),
    /// AWS keeps it.
    Kept,
    /// By these arguments of a modify command, once it is available.
    Afterwards(Vec<String>),
}

/// A setting that a restore may lose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// For people.
    pub name: String,
    /// Its value.
    pub value: String,
    /// How it is kept.
    pub way: Way,
}

/// An instance of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its identifier.
    pub name: String,
    /// Whether it is the one that writes.
    pub writer: bool,
    /// How it stands; `None` where it was not asked.
    pub status: Option<String>,
    /// Its instance class.
    pub class: Option<String>,
    /// Its parameter group.
    pub parameters: Option<String>,
}

/// An instance or a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Db {
    /// Which of the two.
    pub kind: Kind,
    /// Its identifier: a label, which a rename changes.
    pub name: String,
    /// `DbiResourceId` or `DbClusterResourceId`: never changes, never used again. What is the same is told by this alone.
    pub resource: String,
    /// Its ARN; it changes with the name.
    pub arn: String,
    /// Its status, as AWS writes it.
    pub status: String,
    /// `postgres`, `aurora-postgresql`.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// Host and port.
    pub endpoint: Option<(String, i32)>,
    /// Storage is encrypted; `None` where AWS does not say.
    pub encrypted: Option<bool>,
    /// With this key.
    pub key: Option<String>,
    /// The earliest point that can be restored to, microseconds since 1970.
    pub earliest: Option<i64>,
    /// The latest one.
    pub latest: Option<i64>,
    /// Days that automated backups are kept.
    pub retention: Option<i32>,
    /// When it was made, microseconds since 1970.
    pub created: Option<i64>,
    /// When it starts by itself, being stopped; microseconds since 1970.
    pub restarts: Option<i64>,
    /// Gibibytes allocated.
    pub gib: Option<i32>,
    /// `StorageOperationStatus` and its percentage: what is still fetched or rewritten after the restore. `PercentProgress`
    /// is something else (the progress of a storage optimisation) and is not read at all.
    pub storage: Option<(String, Option<i32>)>,
    /// What a restore may lose.
    pub settings: Vec<Setting>,
    /// The instances of a cluster.
    pub members: Vec<Member>,
    /// It is gone, and only its automated backups are kept.
    pub from_backup: bool,
}

/// Microseconds since 1970.
pub fn micros(at: &DateTime) -> i64 {
    at.secs()
        .saturating_mul(1_000_000)
        .saturating_add(i64::from(at.subsec_nanos() / 1_000))
}

/// Takes settings down.
#[derive(Default)]
struct Settings(Vec<Setting>);

impl Settings {
    fn add(&mut self, name: &str, value: impl Into<String>, way: Way) {
        self.0.push(Setting {
            name: name.to_owned(),
            value: value.into(),
            way,
        });
    }

    /// An argument with a value.
    fn carry(&mut self, name: &str, flag: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            let value = value.to_string();
            let way = Way::Carried(vec![flag.to_owned(), value.clone()]);
            self.add(name, value, way);
        }
    }

    /// A group; AWS's own default (`default:postgres-15`, `default.postgres15`) comes without being named.
    fn group(&mut self, name: &str, flag: &str, value: Option<&str>) {
        if value.is_some_and(|value| value.starts_with("default")) {
            self.kept(name, value);
        } else {
            self.carry(name, flag, value);
        }
    }

    /// An argument with several values; nothing where there are none.
    fn carry_all(&mut self, name: &str, flag: &str, values: Vec<String>) {
        if !values.is_empty() {
            let words = values.join(", ");
            let way = Way::Carried(std::iter::once(flag.to_owned()).chain(values).collect());
            self.add(name, words, way);
        }
    }

    /// `--flag` or `--no-flag`.
    fn switch(&mut self, name: &str, flag: &str, on: Option<bool>) {
        if let Some(on) = on {
            let no = if on { "" } else { "no-" };
            let way = Way::Carried(vec![format!("--{no}{flag}")]);
            self.add(name, if on { "on" } else { "off" }, way);
        }
    }

    fn after(&mut self, name: &str, flag: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            let value = value.to_string();
            let way = Way::Afterwards(vec![flag.to_owned(), value.clone()]);
            self.add(name, value, way);
        }
    }

    fn kept(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.add(name, value.to_string(), Way::Kept);
        }
    }

    /// Enhanced monitoring and Performance Insights: arguments of a modify command only.
    fn watched(&mut self, interval: Option<i32>, role: Option<&str>, insights: Option<bool>) {
        if let (Some(seconds @ 1..), Some(role)) = (interval, role) {
            let seconds = seconds.to_string();
            let way = Way::Afterwards(vec![
                "--monitoring-interval".to_owned(),
                seconds.clone(),
                "--monitoring-role-arn".to_owned(),
                role.to_owned(),
            ]);
            self.add("monitoring", format!("every {seconds} s"), way);
        }
        if insights == Some(true) {
            let way = Way::Afterwards(vec!["--enable-performance-insights".to_owned()]);
            self.add("performance insights", "on", way);
        }
    }
}

fn owned(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

impl Db {
    /// Whether its restore makes a volume alone: the instances of a Multi-AZ DB cluster AWS makes.
    pub fn is_aurora(&self) -> bool {
        self.kind == Kind::Cluster && self.engine.starts_with("aurora")
    }

    /// An instance. Defaults of the call are in the API reference of `RestoreDBInstanceToPointInTime`.
    pub fn of_instance(i: &DbInstance) -> Self {
        let mut s = Settings::default();
        s.carry("class", "--db-instance-class", i.db_instance_class());
        let subnets = i.db_subnet_group().and_then(|g| g.db_subnet_group_name());
        s.carry("subnet group", "--db-subnet-group-name", subnets);
        let groups = i.vpc_security_groups().iter();
        let groups = groups.filter_map(|g| g.vpc_security_group_id()).map(str::to_owned);
        s.carry_all("security groups", "--vpc-security-group-ids", groups.collect());
        let parameters = i.db_parameter_groups().first();
        s.group(
            "parameter group",
            "--db-parameter-group-name",
            parameters.and_then(|g| g.db_parameter_group_name()),
        );
        let options = i.option_group_memberships().first();
        s.group(
            "option group",
            "--option-group-name",
            options.and_then(|g| g.option_group_name()),
        );
        let port = i.endpoint().and_then(Endpoint::port).or(i.db_instance_port());
        s.carry("port", "--port", port.filter(|port| *port > 0));
        s.switch("Multi-AZ", "multi-az", i.multi_az());
        if i.multi_az() == Some(false) {
            s.carry("zone", "--availability-zone", i.availability_zone());
        }
        s.switch("public address", "publicly-accessible", i.publicly_accessible());
        s.switch(
            "IAM authentication",
            "enable-iam-database-authentication",
            i.iam_database_authentication_enabled(),
        );
        s.switch("deletion protection", "deletion-protection", i.deletion_protection());
        s.switch("tags on snapshots", "copy-tags-to-snapshot", i.copy_tags_to_snapshot());
        s.switch(
            "minor upgrades",
            "auto-minor-version-upgrade",
            i.auto_minor_version_upgrade(),
        );
        s.carry("storage type", "--storage-type", i.storage_type());
        s.carry("iops", "--iops", i.iops());
        s.carry("throughput", "--storage-throughput", i.storage_throughput());
        s.carry("largest storage", "--max-allocated-storage", i.max_allocated_storage());
        s.carry("CA", "--ca-certificate-identifier", i.ca_certificate_identifier());
        s.carry("network", "--network-type", i.network_type());
        s.carry_all(
            "log exports",
            "--enable-cloudwatch-logs-exports",
            i.enabled_cloudwatch_logs_exports().to_vec(),
        );
        if i.dedicated_log_volume() == Some(true) {
            s.switch("log volume", "dedicated-log-volume", Some(true));
        }
        if let Some(domain) = i.domain_memberships().first() {
            s.carry("domain", "--domain", domain.domain());
            s.carry("domain role", "--domain-iam-role-name", domain.iam_role_name());
        }
        s.kept(
            "backup retention",
            i.backup_retention_period().map(|days| format!("{days} days")),
        );
        s.after(
            "maintenance window",
            "--preferred-maintenance-window",
            i.preferred_maintenance_window(),
        );
        s.watched(
            i.monitoring_interval(),
            i.monitoring_role_arn(),
            i.performance_insights_enabled(),
        );
        let at = i.endpoint().and_then(|e| Some((e.address()?.to_owned(), e.port()?)));
        Self {
            kind: Kind::Instance,
            name: owned(i.db_instance_identifier()),
            resource: owned(i.dbi_resource_id()),
            arn: owned(i.db_instance_arn()),
            status: owned(i.db_instance_status()),
            engine: owned(i.engine()),
            version: owned(i.engine_version()),
            endpoint: at,
            encrypted: i.storage_encrypted(),
            key: i.kms_key_id().map(str::to_owned),
            earliest: None,
            latest: i.latest_restorable_time().map(micros),
            retention: i.backup_retention_period(),
            created: i.instance_create_time().map(micros),
            restarts: i.automatic_restart_time().map(micros),
            gib: i.allocated_storage(),
            storage: i
                .storage_operation_status()
                .map(|status| (status.to_owned(), i.storage_operation_percent_progress())),
            settings: s.0,
            members: Vec::new(),
            from_backup: false,
        }
    }

    /// A cluster. Defaults of the call are in the API reference of `RestoreDBClusterToPointInTime`.
    pub fn of_cluster(c: &DbCluster) -> Self {
        let mut s = Settings::default();
        s.carry("subnet group", "--db-subnet-group-name", c.db_subnet_group());
        let groups = c.vpc_security_groups().iter();
        let groups = groups.filter_map(|g| g.vpc_security_group_id()).map(str::to_owned);
        s.carry_all("security groups", "--vpc-security-group-ids", groups.collect());
        s.group(
            "parameter group",
            "--db-cluster-parameter-group-name",
            c.db_cluster_parameter_group(),
        );
        s.carry("port", "--port", c.port().filter(|port| *port > 0));
        s.switch(
            "IAM authentication",
            "enable-iam-database-authentication",
            c.iam_database_authentication_enabled(),
        );
        s.switch("deletion protection", "deletion-protection", c.deletion_protection());
        s.switch("tags on snapshots", "copy-tags-to-snapshot", c.copy_tags_to_snapshot());
        s.carry("storage type", "--storage-type", c.storage_type());
        s.carry("network", "--network-type", c.network_type());
        s.carry_all(
            "log exports",
            "--enable-cloudwatch-logs-exports",
            c.enabled_cloudwatch_logs_exports().to_vec(),
        );
        // Only Multi-AZ DB clusters have a class of their own; Aurora's instances have theirs.
        s.carry("class", "--db-cluster-instance-class", c.db_cluster_instance_class());
        if c.db_cluster_instance_class().is_some() {
            s.carry("iops", "--iops", c.iops());
            s.switch("public address", "publicly-accessible", c.publicly_accessible());
        }
        if let Some(domain) = c.domain_memberships().first() {
            s.carry("domain", "--domain", domain.domain());
            s.carry("domain role", "--domain-iam-role-name", domain.iam_role_name());
        }
        s.kept(
            "backup retention",
            c.backup_retention_period().map(|days| format!("{days} days")),
        );
        s.after(
            "maintenance window",
            "--preferred-maintenance-window",
            c.preferred_maintenance_window(),
        );
        s.watched(
            c.monitoring_interval(),
            c.monitoring_role_arn(),
            c.performance_insights_enabled(),
        );
        let members = c.db_cluster_members().iter().map(|m| Member {
            name: owned(m.db_instance_identifier()),
            writer: m.is_cluster_writer() == Some(true),
            status: None,
            class: None,
            parameters: None,
        });
        Self {
            kind: Kind::Cluster,
            name: owned(c.db_cluster_identifier()),
            resource: owned(c.db_cluster_resource_id()),
            arn: owned(c.db_cluster_arn()),
            status: owned(c.status()),
            engine: owned(c.engine()),
            version: owned(c.engine_version()),
            endpoint: c.endpoint().map(|host| (host.to_owned(), c.port().unwrap_or(5432))),
            encrypted: c.storage_encrypted(),
            key: c.kms_key_id().map(str::to_owned),
            earliest: c.earliest_restorable_time().map(micros),
            latest: c.latest_restorable_time().map(micros),
            retention: c.backup_retention_period(),
            created: c.cluster_create_time().map(micros),
            restarts: c.automatic_restart_time().map(micros),
            gib: c.allocated_storage().filter(|gib| *gib > 1),
            storage: None,
            settings: s.0,
            members: members.collect(),
            from_backup: false,
        }
    }

    /// What is left of an instance that was deleted with its automated backups kept.
    fn of_backup(b: &DbInstanceAutomatedBackup) -> Self {
        let mut s = Settings::default();
        s.carry("port", "--port", b.port());
        s.carry("storage type", "--storage-type", b.storage_type());
        s.carry("iops", "--iops", b.iops());
        s.carry("throughput", "--storage-throughput", b.storage_throughput());
        s.carry("option group", "--option-group-name", b.option_group_name());
        s.switch(
            "IAM authentication",
            "enable-iam-database-authentication",
            b.iam_database_authentication_enabled(),
        );
        s.kept(
            "backup retention",
            b.backup_retention_period().map(|days| format!("{days} days")),
        );
        Self {
            kind: Kind::Instance,
            name: owned(b.db_instance_identifier()),
            resource: owned(b.dbi_resource_id()),
            arn: owned(b.db_instance_arn()),
            status: owned(b.status()),
            engine: owned(b.engine()),
            version: owned(b.engine_version()),
            endpoint: None,
            encrypted: b.encrypted(),
            key: b.kms_key_id().map(str::to_owned),
            earliest: b.restore_window().and_then(|w| w.earliest_time()).map(micros),
            latest: b.restore_window().and_then(|w| w.latest_time()).map(micros),
            retention: b.backup_retention_period(),
            created: b.instance_create_time().map(micros),
            restarts: None,
            gib: b.allocated_storage(),
            storage: None,
            settings: s.0,
            members: Vec::new(),
            from_backup: true,
        }
    }

    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let setting = self.settings.iter().find(|s| s.name == name)?;
        Some(&setting.value)
    }
}

/// What a name leads to, where nothing is no error.
fn or_none<T>(found: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.trouble == Trouble::Missing => Ok(None),
        Err(e) => Err(e),
    }
}

impl Aws {
    /// The instance or cluster of this identifier; an instance of a cluster leads to its cluster.
    pub async fn find(&self, name: &str) -> Result<Option<Db>, AwsError> {
        let asked = self.rds.describe_db_instances().db_instance_identifier(name);
        let found = asked.send().await.map_err(|e| told("rds:DescribeDBInstances", &e));
        if let Some(instance) = or_none(found)?.as_ref().and_then(|out| out.db_instances().first()) {
            return match instance.db_cluster_identifier() {
                Some(cluster) => self.cluster(cluster).await,
                None => Ok(Some(Db::of_instance(instance))),
            };
        }
        self.cluster(name).await
    }

    async fn cluster(&self, name: &str) -> Result<Option<Db>, AwsError> {
        let asked = self.rds.describe_db_clusters().db_cluster_identifier(name);
        let found = asked.send().await.map_err(|e| told("rds:DescribeDBClusters", &e));
        let found = or_none(found)?;
        let Some(cluster) = found.as_ref().and_then(|out| out.db_clusters().first()) else {
            return Ok(None);
        };
        let mut db = Db::of_cluster(cluster);
        self.fill_members(&mut db).await?;
        Ok(Some(db))
    }

    /// What has this resource id, whatever it is called now. Filters: API reference of `DescribeDBInstances` (`dbi-resource-id`)
    /// and `DescribeDBClusters` (`db-cluster-resource-id`).
    pub async fn find_again(&self, kind: Kind, resource: &str) -> Result<Option<Db>, AwsError> {
        let filter = |name: &str| Filter::builder().name(name).values(resource).build();
        match kind {
            Kind::Instance => {
                let asked = self.rds.describe_db_instances().filters(filter("dbi-resource-id"));
                let found = or_none(asked.send().await.map_err(|e| told("rds:DescribeDBInstances", &e)))?;
                let all = found.iter().flat_map(DescribeDbInstancesOutput::db_instances);
                // A server that does not know the filter answers with everything.
                let same = all.into_iter().find(|i| i.dbi_resource_id() == Some(resource));
                Ok(same.map(Db::of_instance))
            }
            Kind::Cluster => {
                let asked = self
                    .rds
                    .describe_db_clusters()
                    .filters(filter("db-cluster-resource-id"));
                let found = or_none(asked.send().await.map_err(|e| told("rds:DescribeDBClusters", &e)))?;
                let all = found.iter().flat_map(DescribeDbClustersOutput::db_clusters);
                let same = all.into_iter().find(|c| c.db_cluster_resource_id() == Some(resource));
                let Some(mut db) = same.map(Db::of_cluster) else {
                    return Ok(None);
                };
                self.fill_members(&mut db).await?;
                Ok(Some(db))
            }
        }
    }

    async fn fill_members(&self, db: &mut Db) -> Result<(), AwsError> {
        if db.members.is_empty() {
            return Ok(());
        }
        let filter = Filter::builder().name("db-cluster-id").values(&db.name).build();
        let asked = self.rds.describe_db_instances().filters(filter).send().await;
        let found = asked.map_err(|e| told("rds:DescribeDBInstances", &e))?;
        for member in &mut db.members {
            let mut all = found.db_instances().iter();
            if let Some(i) = all.find(|i| i.db_instance_identifier() == Some(&member.name)) {
                member.status = i.db_instance_status().map(str::to_owned);
                member.class = i.db_instance_class().map(str::to_owned);
                let parameters = i.db_parameter_groups().first();
                member.parameters = parameters.and_then(|g| g.db_parameter_group_name()).map(str::to_owned);
            }
        }
        Ok(())
    }

    /// The source: what is there, with the window of its automated backups; else what only its backups are left of.
    pub async fn source(&self, name: &str) -> Result<Option<Db>, AwsError> {
        let found = self.find(name).await?;
        if found.as_ref().is_some_and(|db| db.kind == Kind::Cluster) {
            return Ok(found);
        }
        let mut asked = self.rds.describe_db_instance_automated_backups();
        asked = match &found {
            Some(db) => asked.dbi_resource_id(&db.resource),
            None => asked.db_instance_identifier(name),
        };
        let answer = asked
            .send()
            .await
            .map_err(|e| told("rds:DescribeDBInstanceAutomatedBackups", &e));
        let backups = or_none(answer)?;
        let backups = backups.map(|out| out.db_instance_automated_backups.unwrap_or_default());
        let backups = backups.unwrap_or_default();
        let mut backups = backups.iter();
        let Some(mut db) = found else {
            return Ok(backups
                .max_by_key(|b| b.restore_window().and_then(|w| w.latest_time()).map(micros))
                .map(Db::of_backup));
        };
        if let Some(window) = backups.find_map(|b| b.restore_window()) {
            db.earliest = window.earliest_time().map(micros);
            db.latest = db.latest.or(window.latest_time().map(micros));
        }
        Ok(Some(db))
    }
}

//! A peer that speaks as AWS does: RDS, STS and IAM as form posts answered in XML, KMS as JSON. It has a small world that tests
//! change, and fails as it is told. It records every call, and no test may make one that does more than look.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

/// The calls that may ever be made: all of them read.
pub const ALLOWED: &[&str] = &[
    "rds:DescribeDBInstances",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstanceAutomatedBackups",
    "rds:DescribeEvents",
    "rds:DescribeDBLogFiles",
    "rds:DownloadDBLogFilePortion",
    "sts:GetCallerIdentity",
    "kms:DescribeKey",
    "iam:GetRole",
    "iam:SimulatePrincipalPolicy",
];

/// An instance.
#[derive(Debug, Clone)]
pub struct Instance {
    pub name: String,
    pub resource: String,
    pub status: String,
    /// Any other member: name and text.
    pub more: BTreeMap<&'static str, String>,
    pub cluster: Option<String>,
}

impl Instance {
    pub fn new(name: &str, resource: &str, status: &str) -> Self {
        let mut more = BTreeMap::new();
        for (member, value) in [
            ("Engine", "postgres"),
            ("EngineVersion", "15.7"),
            ("DBInstanceClass", "db.r6g.large"),
            ("AllocatedStorage", "100"),
            ("StorageEncrypted", "true"),
            ("KmsKeyId", KEY),
            ("BackupRetentionPeriod", "7"),
            ("MultiAZ", "true"),
            ("PubliclyAccessible", "false"),
            ("IAMDatabaseAuthenticationEnabled", "true"),
            ("DeletionProtection", "true"),
            ("StorageType", "gp3"),
            ("PreferredMaintenanceWindow", "sun:03:00-sun:03:30"),
        ] {
            more.insert(member, value.to_owned());
        }
        Self {
            name: name.to_owned(),
            resource: resource.to_owned(),
            status: status.to_owned(),
            more,
            cluster: None,
        }
    }

    /// The same with this member.
    pub fn with(mut self, member: &'static str, value: &str) -> Self {
        self.more.insert(member, value.to_owned());
        self
    }

    fn xml(&self) -> String {
        let mut xml = format!(
            "<DBInstance><DBInstanceIdentifier>{0}</DBInstanceIdentifier><DbiResourceId>{1}</DbiResourceId>\
             <DBInstanceStatus>{2}</DBInstanceStatus><DBInstanceArn>arn:aws:rds:eu-central-1:111122223333:db:{0}</DBInstanceArn>\
             <VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-1</VpcSecurityGroupId></VpcSecurityGroupMembership>\
             <VpcSecurityGroupMembership><VpcSecurityGroupId>sg-2</VpcSecurityGroupId></VpcSecurityGroupMembership></VpcSecurityGroups>\
             <DBParameterGroups><DBParameterGroup><DBParameterGroupName>om-pg15</DBParameterGroupName></DBParameterGroup></DBParameterGroups>\
             <DBSubnetGroup><DBSubnetGroupName>om-private</DBSubnetGroupName></DBSubnetGroup>\
             <EnabledCloudwatchLogsExports><member>postgresql</member><member>upgrade</member></EnabledCloudwatchLogsExports>",
            self.name, self.resource, self.status
        );
        if self.status != "creating" {
            write!(
                xml,
                "<Endpoint><Address>{}.abc.eu-central-1.rds.amazonaws.com</Address><Port>5432</Port></Endpoint>",
                self.name
            )
            .unwrap();
        }
        if let Some(cluster) = &self.cluster {
            write!(xml, "<DBClusterIdentifier>{cluster}</DBClusterIdentifier>").unwrap();
        }
        for (member, value) in &self.more {
            write!(xml, "<{member}>{value}</{member}>").unwrap();
        }
        xml + "</DBInstance>"
    }
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub name: String,
    pub resource: String,
    pub status: String,
    pub more: BTreeMap<&'static str, String>,
}

impl Cluster {
    pub fn new(name: &str, resource: &str, status: &str) -> Self {
        let mut more = BTreeMap::new();
        for (member, value) in [
            ("Engine", "aurora-postgresql"),
            ("EngineVersion", "15.4"),
            ("Port", "5432"),
            ("StorageEncrypted", "true"),
            ("KmsKeyId", KEY),
            ("BackupRetentionPeriod", "7"),
            ("DBSubnetGroup", "om-private"),
            ("DBClusterParameterGroup", "om-aurora15"),
            ("EarliestRestorableTime", "2026-11-15T14:00:00Z"),
            ("LatestRestorableTime", "2026-11-22T14:29:30Z"),
            ("DeletionProtection", "true"),
        ] {
            more.insert(member, value.to_owned());
        }
        Self {
            name: name.to_owned(),
            resource: resource.to_owned(),
            status: status.to_owned(),
            more,
        }
    }

    fn xml(&self, instances: &[Instance]) -> String {
        let mut xml = format!(
            "<DBCluster><DBClusterIdentifier>{0}</DBClusterIdentifier><DbClusterResourceId>{1}</DbClusterResourceId>\
             <Status>{2}</Status><DBClusterArn>arn:aws:rds:eu-central-1:111122223333:cluster:{0}</DBClusterArn>\
             <Endpoint>{0}.cluster-abc.eu-central-1.rds.amazonaws.com</Endpoint>\
             <VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-1</VpcSecurityGroupId>\
             </VpcSecurityGroupMembership></VpcSecurityGroups><DBClusterMembers>",
            self.name, self.resource, self.status
        );
        let members = instances.iter().filter(|i| i.cluster.as_ref() == Some(&self.name));
        for (nth, member) in members.enumerate() {
            write!(
                xml,
                "<DBClusterMember><DBInstanceIdentifier>{}</DBInstanceIdentifier><IsClusterWriter>{}</IsClusterWriter></DBClusterMember>",
                member.name,
                nth == 0
            )
            .unwrap();
        }
        xml += "</DBClusterMembers>";
        for (member, value) in &self.more {
            write!(xml, "<{member}>{value}</{member}>").unwrap();
        }
        xml + "</DBCluster>"
    }
}

pub const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// An event: name, time, category, message.
pub type Event = (String, String, String, String);

/// A fault: code, HTTP status, message, how often (`None`: from now on).
type Fault = (String, u16, String, Option<usize>);

/// What the peer knows.
#[derive(Debug, Default)]
pub struct World {
    pub instances: Vec<Instance>,
    pub clusters: Vec<Cluster>,
    /// Window of the automated backups: earliest, latest; by resource id.
    pub windows: BTreeMap<String, (String, String)>,
    /// Names and resource ids of instances that are gone and whose backups are kept.
    pub kept: Vec<(String, String)>,
    pub events: Vec<Event>,
    /// Lines of the log file of the restored instance.
    pub log: Option<String>,
    /// Permissions that are not allowed.
    pub denied: Vec<&'static str>,
    /// State by key id or ARN; others are `Enabled`.
    pub keys: BTreeMap<String, String>,
    /// Who asks.
    pub arn: String,
    faults: BTreeMap<String, VecDeque<Fault>>,
    /// Every call: action, and its parameters.
    pub calls: Vec<(String, BTreeMap<String, String>)>,
    /// Faults that were answered.
    pub landed: BTreeMap<String, usize>,
}

impl World {
    /// The next calls of this action fail so; `None`: all of them, until [`World::heal`].
    pub fn fail(&mut self, action: &str, code: &str, http: u16, message: &str, times: Option<usize>) {
        let fault = (code.to_owned(), http, message.to_owned(), times);
        self.faults.entry(action.to_owned()).or_default().push_back(fault);
    }

    pub fn heal(&mut self, action: &str) {
        self.faults.remove(action);
    }

    pub fn set_status(&mut self, name: &str, status: &str) {
        let instance = self.instances.iter_mut().find(|i| i.name == name).unwrap();
        status.clone_into(&mut instance.status);
    }

    pub fn called(&self, action: &str) -> usize {
        self.calls.iter().filter(|(a, _)| a == action).count()
    }

    fn fault(&mut self, action: &str) -> Option<Fault> {
        let queue = self.faults.get_mut(action)?;
        let fault = queue.front_mut()?;
        let now = fault.clone();
        if let Some(left) = &mut fault.3 {
            *left -= 1;
            if *left == 0 {
                queue.pop_front();
            }
        }
        *self.landed.entry(now.0.clone()).or_default() += 1;
        Some(now)
    }
}

/// A running peer; it ends with the process.
pub struct Peer {
    pub url: String,
    world: Arc<Mutex<World>>,
}

impl Peer {
    /// A peer with the source `om-prod`, restorable to shortly before the stop.
    pub fn start() -> Self {
        let mut world = World {
            arn: "arn:aws:sts::111122223333:assumed-role/triage/ana".to_owned(),
            ..World::default()
        };
        let source =
            Instance::new("om-prod", "db-OLD", "available").with("LatestRestorableTime", "2026-11-22T14:27:30Z");
        world.instances.push(source);
        let window = ("2026-11-15T03:00:00Z".to_owned(), "2026-11-22T14:27:30Z".to_owned());
        world.windows.insert("db-OLD".to_owned(), window);
        let world = Arc::new(Mutex::new(world));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Arc::clone(&world);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let app = Router::new().fallback(answer).with_state(served);
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { url, world }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for (action, _) in &self.world().calls {
            assert!(ALLOWED.contains(&action.as_str()), "{action} does more than look");
        }
    }
}

async fn answer(State(world): State<Arc<Mutex<World>>>, headers: HeaderMap, body: Bytes) -> Response {
    let mut world = world.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(target) = headers.get("x-amz-target") {
        return kms(&mut world, target.to_str().unwrap(), &body);
    }
    let form: BTreeMap<String, String> = reqwest::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(&body)))
        .unwrap()
        .query_pairs()
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    let action = form.get("Action").cloned().unwrap_or_default();
    let service = match form.get("Version").map(String::as_str) {
        Some("2014-10-31") => "rds",
        Some("2011-06-15") => "sts",
        Some("2010-05-08") => "iam",
        other => panic!("an API of version {other:?} is not AWS's"),
    };
    let name = format!("{service}:{action}");
    world.calls.push((name.clone(), form.clone()));
    if let Some((code, http, message, _)) = world.fault(&name) {
        return fault(&code, http, &message);
    }
    let inner = match name.as_str() {
        "rds:DescribeDBInstances" => instances(&world, &form),
        "rds:DescribeDBClusters" => clusters(&world, &form),
        "rds:DescribeDBInstanceAutomatedBackups" => backups(&world, &form),
        "rds:DescribeEvents" => Ok(events(&world, &form)),
        "rds:DescribeDBLogFiles" => match &world.log {
            Some(log) => Ok(format!(
                "<DescribeDBLogFiles><DescribeDBLogFilesDetails><LogFileName>error/postgresql.log.2026-11-22-14</LogFileName>\
                 <LastWritten>1795358000000</LastWritten><Size>{}</Size></DescribeDBLogFilesDetails></DescribeDBLogFiles>",
                log.len()
            )),
            None => Err((
                "InvalidDBInstanceState",
                400,
                "the instance is being created".to_owned(),
            )),
        },
        "rds:DownloadDBLogFilePortion" => {
            let log = world
                .log
                .clone()
                .unwrap_or_default()
                .replace('&', "&amp;")
                .replace('<', "&lt;");
            Ok(format!(
                "<LogFileData>{log}</LogFileData><Marker>0:1</Marker><AdditionalDataPending>false</AdditionalDataPending>"
            ))
        }
        "sts:GetCallerIdentity" => Ok(format!(
            "<Arn>{}</Arn><UserId>AROA:ana</UserId><Account>111122223333</Account>",
            world.arn
        )),
        "iam:GetRole" => Ok(format!(
            "<Role><Path>/teams/</Path><RoleName>{0}</RoleName><RoleId>AROA</RoleId>\
             <Arn>arn:aws:iam::111122223333:role/teams/{0}</Arn><CreateDate>2024-01-01T00:00:00Z</CreateDate></Role>",
            form["RoleName"]
        )),
        "iam:SimulatePrincipalPolicy" => Ok(simulate(&world, &form)),
        _ => Err(("InvalidAction", 400, format!("{name} is not scripted"))),
    };
    match inner {
        Ok(inner) => xml(
            200,
            &format!(
                "<{action}Response><{action}Result>{inner}</{action}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
            ),
        ),
        Err((code, http, message)) => fault(code, http, &message),
    }
}

type Answer = Result<String, (&'static str, u16, String)>;

fn xml(http: u16, body: &str) -> Response {
    let status = StatusCode::from_u16(http).unwrap();
    (status, [("content-type", "text/xml")], body.to_owned()).into_response()
}

fn fault(code: &str, http: u16, message: &str) -> Response {
    if code == "cut" {
        // An answer that is none.
        return (StatusCode::OK, "<html>proxy login</html>").into_response();
    }
    xml(
        http,
        &format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>r</RequestId></ErrorResponse>"
        ),
    )
}

/// The value of a filter.
fn filter<'f>(form: &'f BTreeMap<String, String>, name: &str) -> Option<&'f String> {
    let at = (1..10).find(|n| form.get(&format!("Filters.Filter.{n}.Name")).is_some_and(|v| v == name))?;
    form.get(&format!("Filters.Filter.{at}.Values.Value.1"))
}

fn instances(world: &World, form: &BTreeMap<String, String>) -> Answer {
    let name = form.get("DBInstanceIdentifier");
    let (resource, cluster) = (filter(form, "dbi-resource-id"), filter(form, "db-cluster-id"));
    let found: Vec<&Instance> = world
        .instances
        .iter()
        .filter(|i| name.is_none_or(|n| i.name == *n))
        .filter(|i| resource.is_none_or(|r| i.resource == *r))
        .filter(|i| cluster.is_none_or(|c| i.cluster.as_ref() == Some(c)))
        .collect();
    if let (Some(name), true) = (name, found.is_empty()) {
        return Err(("DBInstanceNotFound", 404, format!("DBInstance {name} not found.")));
    }
    let all: String = found.iter().map(|i| i.xml()).collect();
    Ok(format!("<DBInstances>{all}</DBInstances>"))
}

fn clusters(world: &World, form: &BTreeMap<String, String>) -> Answer {
    let name = form.get("DBClusterIdentifier");
    let resource = filter(form, "db-cluster-resource-id");
    let found: Vec<&Cluster> = world
        .clusters
        .iter()
        .filter(|c| name.is_none_or(|n| c.name == *n))
        .filter(|c| resource.is_none_or(|r| c.resource == *r))
        .collect();
    if let (Some(name), true) = (name, found.is_empty()) {
        return Err(("DBClusterNotFoundFault", 404, format!("DBCluster {name} not found.")));
    }
    let all: String = found.iter().map(|c| c.xml(&world.instances)).collect();
    Ok(format!("<DBClusters>{all}</DBClusters>"))
}

fn backups(world: &World, form: &BTreeMap<String, String>) -> Answer {
    let resource = match (form.get("DbiResourceId"), form.get("DBInstanceIdentifier")) {
        (Some(resource), _) => Some(resource.clone()),
        (_, Some(name)) => world.kept.iter().find(|(n, _)| n == name).map(|(_, r)| r.clone()),
        _ => None,
    };
    let found = resource.as_ref().and_then(|r| Some((r, world.windows.get(r)?)));
    let Some((resource, (earliest, latest))) = found else {
        return Err((
            "DBInstanceAutomatedBackupNotFound",
            404,
            "no automated backup".to_owned(),
        ));
    };
    let name = world
        .kept
        .iter()
        .find(|(_, r)| r == resource)
        .map_or("om-prod", |(n, _)| n);
    Ok(format!(
        "<DBInstanceAutomatedBackups><DBInstanceAutomatedBackup><DBInstanceIdentifier>{name}</DBInstanceIdentifier>\
         <DBInstanceArn>arn:aws:rds:eu-central-1:111122223333:db:{name}</DBInstanceArn>\
         <DbiResourceId>{resource}</DbiResourceId><Status>active</Status><Engine>postgres</Engine><Encrypted>true</Encrypted>\
         <KmsKeyId>{KEY}</KmsKeyId><BackupRetentionPeriod>7</BackupRetentionPeriod><RestoreWindow>\
         <EarliestTime>{earliest}</EarliestTime><LatestTime>{latest}</LatestTime></RestoreWindow></DBInstanceAutomatedBackup>\
         </DBInstanceAutomatedBackups>"
    ))
}

fn events(world: &World, form: &BTreeMap<String, String>) -> String {
    let of = form.get("SourceIdentifier");
    let from = form.get("StartTime").cloned().unwrap_or_default();
    let mut xml = "<Events>".to_owned();
    for (name, at, category, message) in &world.events {
        if of.is_none_or(|of| of == name) && *at >= from {
            write!(
                xml,
                "<Event><SourceIdentifier>{name}</SourceIdentifier><SourceType>{}</SourceType><Message>{message}</Message>\
                 <EventCategories><EventCategory>{category}</EventCategory></EventCategories><Date>{at}</Date></Event>",
                form["SourceType"]
            )
            .unwrap();
        }
    }
    xml + "</Events>"
}

fn simulate(world: &World, form: &BTreeMap<String, String>) -> String {
    let mut xml = "<IsTruncated>false</IsTruncated><EvaluationResults>".to_owned();
    let actions = (1..).map_while(|n| form.get(&format!("ActionNames.member.{n}")));
    for action in actions {
        let decision = if world.denied.contains(&action.as_str()) {
            "implicitDeny"
        } else {
            "allowed"
        };
        write!(
            xml,
            "<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{}</EvalResourceName>\
             <EvalDecision>{decision}</EvalDecision></member>",
            form.get("ResourceArns.member.1").map_or("*", String::as_str)
        )
        .unwrap();
    }
    xml + "</EvaluationResults>"
}

fn kms(world: &mut World, target: &str, body: &Bytes) -> Response {
    let action = target.split('.').next_back().unwrap();
    let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
    let id = asked["KeyId"].as_str().unwrap_or_default().to_owned();
    let parameters = BTreeMap::from([("KeyId".to_owned(), id.clone())]);
    world.calls.push((format!("kms:{action}"), parameters));
    let json = |http: u16, body: serde_json::Value| {
        let head = [("content-type", "application/x-amz-json-1.1")];
        (StatusCode::from_u16(http).unwrap(), head, body.to_string()).into_response()
    };
    if let Some((code, http, message, _)) = world.fault(&format!("kms:{action}")) {
        return json(http, serde_json::json!({"__type": code, "message": message}));
    }
    let state = world.keys.get(&id).map_or("Enabled", String::as_str);
    let arn = if id.starts_with("arn:") {
        id.clone()
    } else {
        format!(
            "arn:aws:kms:eu-central-1:111122223333:key/{}",
            id.replace("alias/", "of-")
        )
    };
    json(
        200,
        serde_json::json!({"KeyMetadata": {"KeyId": id, "Arn": arn, "KeyState": state, "Enabled": state == "Enabled", "KeyManager": "CUSTOMER"}}),
    )
}

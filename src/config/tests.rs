use super::*;
use crate::domain::ErrorKind;
use crate::domain::case::Verb;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn corpus(kind: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus/config")
        .join(kind);
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn text(text: &str) -> Result<Config> {
    from_text(text, "restitch.toml", Path::new("/site"))
}

#[test]
fn every_valid_file_loads() {
    let files = corpus("valid");
    assert!(files.len() >= 7);
    for (name, body) in files {
        if let Err(e) = text(&body) {
            panic!("{name}: {e}");
        }
    }
}

#[test]
fn every_invalid_file_is_refused_with_line_key_and_cure() {
    let files = corpus("invalid");
    assert!(files.len() >= 80);
    for (name, body) in files {
        let expected = |what: &str| {
            let line = body.lines().find_map(|l| l.strip_prefix(&format!("## {what}: ")));
            line.unwrap_or_else(|| panic!("{name} does not say which {what} it expects"))
                .trim()
                .to_owned()
        };
        let Err(error) = text(&body) else {
            panic!("{name} was believed");
        };
        assert_eq!(error.kind, ErrorKind::Usage, "{name}");
        let place = error.place.clone().unwrap_or_default();
        let cure = error.cure.clone().unwrap_or_default();
        let line = format!("restitch.toml:{},", expected("line"));
        assert!(place.starts_with(&line), "{name}: {place:?} is not {line:?}");
        assert!(place.contains(&expected("key")), "{name}: {place:?}");
        assert!(error.what.contains(&expected("says")), "{name}: {:?}", error.what);
        assert!(cure.contains(&expected("cure")), "{name}: {cure:?}");
        assert!(!error.to_string().contains("hunter2"), "{name} gives a password away");
    }
}

#[test]
fn the_printed_default_says_nothing() {
    let config = text(DEFAULT).unwrap();
    assert!(config.logs.is_empty() && config.restored.is_none() && config.hold.is_none());
    assert!(config.schema.entities.is_empty() && config.roles.is_none() && config.effects == Effects::default());
    assert_eq!(config.scan, ScanConfig::default());
    assert_eq!(config.incident, Incident::default());
}

/// The default with every commented key made live; prose stands behind a second `#` and stays a comment.
fn uncommented() -> String {
    let lines = DEFAULT.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_printed_default_loads_with_every_line_uncommented() {
    let config = text(&uncommented()).unwrap();
    assert_eq!(config.incident.attempt, 1);
    assert_eq!(config.logs.len(), 4);
    assert_eq!(config.schema.entities[0].name, "order");
    // What it shows as defaults are the defaults.
    assert_eq!(config.scan, ScanConfig::default());
    assert_eq!(config.outside.len(), 1);
    assert_eq!(config.outside[0].path, "/site/billing/*.csv");
    assert_eq!(config.hold.unwrap().window, Duration::from_mins(30));
    assert_eq!(config.ledger.database.url, DbUrl::Sqlite("/site/restitch.db".into()));
}

#[test]
fn the_printed_default_names_every_key() {
    let origin = Origin {
        layer: Layer::Main,
        name: "default".to_owned(),
        folder: Path::new("").into(),
    };
    let tree = tree::parse(&uncommented(), &Arc::new(origin)).unwrap();
    let mut named = std::collections::BTreeSet::new();
    collect("", &tree, &mut named);
    for (section, known) in keys::SECTIONS {
        for key in *known {
            assert!(
                named.contains(&format!("{section}.{key}")),
                "{section}.{key} is not in default.toml"
            );
        }
    }
}

fn collect(path: &str, node: &Node, named: &mut std::collections::BTreeSet<String>) {
    match &node.value {
        Value::Table(entries) => {
            for (key, node) in entries {
                let whole = match path {
                    "" => key.clone(),
                    "schema" => "schema.*".to_owned(),
                    "effects" if Verb::of_name(key).is_some() => "effects.*".to_owned(),
                    path => format!("{path}.{key}"),
                };
                named.insert(whole.clone());
                collect(&whole, node, named);
            }
        }
        Value::List(nodes) => nodes.iter().for_each(|n| collect(path, n, named)),
        _ => {}
    }
}

#[test]
fn short_forms_mean_what_the_contract_says() {
    let config = text(
        "[schema.plan]\ntable = 'p'\nkey = 'id'\nowner = 'order_id'\n\
         [schema.order]\ntable = 'om.orders'\nkey = ['a', 'b']\nrefs = { x = 'plan', y = 'plan.name' }\n",
    )
    .unwrap();
    let order = &config.schema.entities[0];
    assert_eq!((order.name.as_str(), order.key.len()), ("order", 2));
    assert_eq!(order.refs[0].target, None);
    assert_eq!(order.refs[1].target.as_deref(), Some("name"));
    let owner = config.schema.entities[1].owner.as_ref().unwrap();
    assert_eq!((owner.column.as_str(), owner.entity.as_str()), ("order_id", "order"));
}

#[test]
fn paths_are_relative_to_the_file() {
    let config =
        text("[restored]\nurl = 'sqlite:data/r.db'\n[[log]]\nname = 'a'\npath = 'log/*.gz'\nformat = 'native'\n");
    let config = config.unwrap();
    assert_eq!(config.restored.unwrap().url, DbUrl::Sqlite("/site/data/r.db".into()));
    assert_eq!(config.logs[0].path.as_deref(), Some("/site/log/*.gz"));
    assert_eq!(config.ledger.database.url, DbUrl::Sqlite("/site/restitch.db".into()));
}

#[test]
fn a_url_is_taken_apart() {
    let config = text("restored.url = 'postgresql://tri%40ge@[::1]:6432/o%6D'").unwrap();
    let DbUrl::Postgres {
        host,
        port,
        database,
        user,
        password,
    } = config.restored.unwrap().url
    else {
        panic!("not PostgreSQL");
    };
    assert_eq!(
        (host.as_str(), port, database.as_str(), user.as_str()),
        ("::1", 6432, "om", "tri@ge")
    );
    assert_eq!(password, None);
}

/// A folder with a main file, a user's file, and nothing of this process's environment.
struct Site {
    folder: tempfile::TempDir,
    around: Surroundings,
}

impl Site {
    fn new(main: &str, user: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self {
            around: Surroundings {
                variables: Vec::new(),
                user_file: Some(folder.path().join("home/restitch.toml")),
                folder: folder.path().join("work"),
            },
            folder,
        };
        site.write("work/restitch.toml", main);
        site.write("home/restitch.toml", user);
        site
    }

    fn write(&self, name: &str, body: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, body).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.around.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn load(&self) -> Result<Config> {
        load_in(&Overrides::default(), &self.around)
    }
}

#[test]
fn stronger_layers_win_key_by_key() {
    let site = Site::new(
        "[incident]\nid = 'main'\n[scan]\nconnections = 3\n[schema.order]\ntable = 'main'\nkey = 'id'\n",
        "[incident]\nid = 'user'\nattempt = 7\n[scan]\nconnections = 5\nreject_limit = '5%'\n[schema.order]\ntable = 'user'\nkey = 'id'\nlabel = 'l'\n",
    )
    .with("RESTITCH_SCAN__CONNECTIONS", "9")
    .with("RESTITCH_SCHEMA__ORDER__SHOW", "a, b")
    .with("RESTITCH_LEDGER__SHARED_LOGIN", "true")
    .with("RESTITCH_INCIDENT__ID", "env");
    let config = site.load().unwrap();
    assert_eq!(config.incident.id, "env");
    assert_eq!(config.incident.attempt, 7);
    assert_eq!(config.scan.connections, 9);
    assert!((config.scan.reject_limit - 0.05).abs() < 1e-9);
    assert!(config.ledger.shared_login);
    let order = &config.schema.entities[0];
    assert_eq!((order.table.as_str(), order.label.as_deref()), ("main", Some("l")));
    assert_eq!(order.show, ["a", "b"]);
    let flags = Overrides {
        incident: Some("flag".to_owned()),
        ledger: Some("sqlite:other.db".to_owned()),
        ..Overrides::default()
    };
    let config = load_in(&flags, &site.around).unwrap();
    assert_eq!(config.incident.id, "flag");
    assert_eq!(
        config.ledger.database.url,
        DbUrl::Sqlite(site.around.folder.join("other.db"))
    );
    assert_eq!(config.layers[0], "flag --ledger");
    assert_eq!(config.layers.last().unwrap(), "defaults");
    assert!(config.warnings.is_empty());
}

#[test]
fn a_variable_may_set_every_key_that_is_no_table() {
    for name in keys::environment_names() {
        let path = name["RESTITCH_".len()..].to_lowercase();
        let path: Vec<&str> = path.split("__").collect();
        assert!(keys::from_environment(&path), "{name}");
    }
    assert!(keys::environment_names().contains(&"RESTITCH_RESTORED__URL".to_owned()));
    assert!(keys::environment_names().contains(&"RESTITCH_INCIDENT__BAD__FROM".to_owned()));
}

#[test]
fn an_unknown_variable_warns_and_a_wrong_value_is_refused() {
    let site = Site::new("", "").with("RESTITCH_RESTORED__ULR", "sqlite:x");
    let config = site.load().unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].contains("RESTITCH_RESTORED__ULR"));
    assert!(config.warnings[0].contains("RESTITCH_RESTORED__URL"));
    let error = Site::new("", "")
        .with("RESTITCH_SCAN__CONNECTIONS", "many")
        .load()
        .unwrap_err();
    assert!(
        error
            .place
            .unwrap()
            .contains("environment variable RESTITCH_SCAN__CONNECTIONS")
    );
}

#[test]
fn a_password_is_allowed_in_the_environment_only() {
    let site = Site::new("", "").with("RESTITCH_RESTORED__URL", "postgres://t:hunter2@db/om");
    let DbUrl::Postgres { password, .. } = site.load().unwrap().restored.unwrap().url else {
        panic!("not PostgreSQL");
    };
    assert_eq!(password.unwrap().reveal(), "hunter2");
    let flags = Overrides {
        ledger: Some("postgres://t:hunter2@db/om".to_owned()),
        ..Overrides::default()
    };
    let error = load_in(&flags, &Site::new("", "").around).unwrap_err();
    assert!(error.to_string().contains("flag --ledger") && !error.to_string().contains("hunter2"));
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let site = Site::new("", "");
    let path = site.folder.path().join("work/restitch.toml");
    for mode in [0o664, 0o646, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = site.load().unwrap_err();
        assert!(error.what.contains("can be written by others"), "{error}");
        assert_eq!(error.cure.as_deref(), Some("chmod go-w restitch.toml"));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    site.load().unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
        let error = site.load().unwrap_err();
        assert!(error.what.contains("belongs to somebody else"), "{error}");
    }
}

#[test]
fn a_missing_file_is_an_error_only_where_it_was_asked_for() {
    let site = Site::new("", "");
    fs::remove_file(site.folder.path().join("work/restitch.toml")).unwrap();
    fs::remove_file(site.folder.path().join("home/restitch.toml")).unwrap();
    site.load().unwrap();
    let asked = Overrides {
        config: Some("nowhere.toml".into()),
        ..Overrides::default()
    };
    let error = load_in(&asked, &site.around).unwrap_err();
    assert!(error.what.contains("cannot read nowhere.toml"), "{error}");
}

#[test]
fn a_file_that_is_not_utf8_names_its_line() {
    let site = Site::new("", "");
    let path = site.folder.path().join("work/restitch.toml");
    fs::write(&path, b"[incident]\nid = \"\xff\"\n").unwrap();
    let error = site.load().unwrap_err();
    assert_eq!(error.place.as_deref(), Some("restitch.toml:2"));
}

#[test]
fn a_password_file_is_read_when_connecting_and_must_be_private() {
    let site = Site::new("[restored]\nurl = 'postgres://t@db/om'\npassword_file = 'secret'\n", "");
    let database = site.load().unwrap().restored.unwrap();
    assert!(
        secrets::with_password(&database)
            .unwrap_err()
            .what
            .contains("cannot read")
    );
    let path = site.write("work/secret", "hunter2\n");
    let error = secrets::with_password(&database).unwrap_err();
    assert!(error.what.contains("open to others (mode 0644)"), "{error}");
    assert!(error.cure.unwrap().starts_with("chmod 0600 "));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let DbUrl::Postgres { password, .. } = secrets::with_password(&database).unwrap().url else {
        panic!("not PostgreSQL");
    };
    assert_eq!(password.unwrap().reveal(), "hunter2");
    fs::write(&path, "\n").unwrap();
    assert!(
        secrets::with_password(&database)
            .unwrap_err()
            .what
            .contains("holds no password")
    );
}

//! Making the ledger: again and again, in the wrong place, by the wrong person; and what a server must be like.

use crate::contract::{Kind, Verb, asking, claim, order, store};
use crate::room::{Room, server};
use crate::support::Pg;
use restitch::config::DbUrl;
use restitch::domain::ErrorKind;
use restitch::ledger::{self, Ledger};

#[test]
fn it_is_made_again_and_again_without_harm() {
    let room = Room::on_time();
    let mut ana = room.open("ana");
    store(&mut ana, vec![order("1", &[Kind::Lost])]);
    claim(&mut ana, &["order:1"]);
    let functions = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'restitch'::regnamespace";
    let before = room.sql(functions);
    for _ in 0..3 {
        let did = ledger::create(&room.config, false).unwrap();
        assert!(did.contains("already"), "{did}");
    }
    assert_eq!(room.sql(functions), before);
    // Whoever is connected goes on.
    ana.decide(&asking("order:1", Verb::Keep)).unwrap();
    assert_eq!(ana.verify().unwrap(), 3);
}

#[test]
fn another_version_is_refused_with_the_cure() {
    let room = Room::on_time();
    room.sql("UPDATE restitch.kept_version SET n = 99");
    let error = room.try_open("ana", true).unwrap_err();
    assert!(
        error.what.contains("version 99") && error.cure.unwrap().contains("newer restitch"),
        "{}",
        error.what
    );
    assert!(
        ledger::create(&room.config, false)
            .unwrap_err()
            .what
            .contains("version 99")
    );
    room.sql("UPDATE restitch.kept_version SET n = 0");
    let error = room.try_open("ana", true).unwrap_err();
    assert!(error.cure.unwrap().contains("ledger create"));
}

#[test]
fn a_database_without_a_ledger_says_how_to_make_one() {
    let pg = server();
    let config = Room::in_database(pg, &pg.create_db());
    let error = Ledger::open(&config, true).unwrap_err();
    assert!(error.what.contains("no ledger") && error.cure.unwrap().contains("restitch ledger create"));
}

#[test]
fn inside_the_restored_database_somebody_must_insist() {
    let pg = server();
    let db = pg.create_db();
    pg.psql(&db, "CREATE SCHEMA om; CREATE TABLE om.orders (id int)");
    let mut config = Room::in_database(pg, &db);
    let error = ledger::create(&config, false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        error.what.contains("om.orders") && error.what.contains("would take the ledger along"),
        "{error}"
    );
    config.restored = Some(config.ledger.database.clone());
    assert!(
        ledger::create(&config, false)
            .unwrap_err()
            .what
            .contains("is being restored")
    );
    ledger::create(&config, true).unwrap();
    assert_eq!(Ledger::open(&config, true).unwrap_err().kind, ErrorKind::Refused);
    config.ledger.inside_restored = true;
    Ledger::open(&config, true).unwrap();
}

#[test]
fn who_may_not_make_it_gets_the_sql_for_a_dba() {
    let pg = server();
    let db = pg.create_db();
    let mut config = Room::in_database(pg, &db);
    if let DbUrl::Postgres { user, .. } = &mut config.ledger.database.url {
        "mallory".clone_into(user);
    }
    let error = ledger::create(&config, false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    assert!(error.cure.unwrap().contains("restitch ledger grants"));
    pg.psql(&db, &ledger::grants(&config).unwrap());
    ledger::create(&config, false).unwrap();
    pg.psql("postgres", "REVOKE restitch_owner FROM mallory");
    Ledger::open(&config, false).unwrap();
}

#[test]
fn a_server_that_may_forget_what_it_acknowledged_decides_nothing() {
    let room = Room::on_time();
    let mut ana = room.open("ana");
    store(&mut ana, vec![order("1", &[Kind::Lost])]);
    for (wrong, right, says) in [
        (
            format!("ALTER DATABASE {} SET synchronous_commit = off", room.db),
            format!("ALTER DATABASE {} RESET synchronous_commit", room.db),
            "synchronous_commit = off",
        ),
        (
            format!("ALTER DATABASE {} SET synchronous_commit = local", room.db),
            format!("ALTER DATABASE {} RESET synchronous_commit", room.db),
            "synchronous_commit = local",
        ),
        (
            format!("ALTER DATABASE {} SET default_transaction_read_only = on", room.db),
            format!("ALTER DATABASE {} SET default_transaction_read_only = off", room.db),
            "only reads",
        ),
    ] {
        room.sql(&wrong);
        let error = room.open("ana").note("order:1", "hm").unwrap_err();
        assert!(error.what.contains(says) && error.kind == ErrorKind::Failed, "{error}");
        server().psql("postgres", &right);
    }
    room.open("ana").note("order:1", "hm").unwrap();

    let careless = Pg::start(&[]);
    let config = Room::in_database(&careless, &careless.create_db());
    ledger::create(&config, false).unwrap();
    let error = Ledger::open(&config, false)
        .unwrap()
        .keep_rejects(&[], "why")
        .unwrap_err();
    assert!(error.what.contains("fsync = off"), "{error}");
    careless.stop();
}

#[test]
fn one_login_is_one_person_unless_configured() {
    let room = Room::on_time();
    let first = room.open("ana");
    let who = restitch::ledger::Who {
        user: String::new(),
        system_user: "eve".to_owned(),
        ssh: None,
    };
    let mut config = room.config_of("ana");
    let error = Ledger::open_as(&config, true, who.clone()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        error.what.contains("ana@") && error.cure.unwrap().contains("shared_login"),
        "{}",
        error.what
    );
    config.ledger.shared_login = true;
    assert_eq!(Ledger::open_as(&config, true, who.clone()).unwrap().who().user, "ana");
    drop(first);
}

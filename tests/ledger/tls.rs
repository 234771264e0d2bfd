//! The way to a ledger whose server speaks TLS: verified, on every connection, and never in the clear.

use crate::contract::{Kind, claim, order, store};
use crate::room::Room;
use crate::support::tls;
use restitch::config::{DbUrl, SslMode};
use restitch::ledger::{self, Ledger};

#[test]
fn every_connection_is_verified_tls_and_a_stranger_hears_nothing() {
    let ours = tls::ca();
    let (_dir, roots) = tls::roots(&ours);
    // `demo` sets up; the ledger's people must come by TLS.
    let pg = tls::server(
        &ours,
        "hostssl all ana all trust\nhost all demo all trust\n",
        &["fsync=on"],
    );
    let db = pg.create_db();
    let mut config = Room::in_database(&pg, &db);
    ledger::create(&config, false).unwrap();
    pg.psql(&db, "CREATE ROLE ana LOGIN; GRANT restitch_lead TO ana");
    config.ledger.database.sslmode = SslMode::VerifyFull;
    config.ledger.database.sslrootcert = Some(roots);
    if let DbUrl::Postgres { host, user, .. } = &mut config.ledger.database.url {
        "localhost".clone_into(host);
        "ana".clone_into(user);
    }
    let mut ana = Ledger::open(&config, false).unwrap();
    let mut ears = ana.ears();
    ears.hear().unwrap();
    store(&mut ana, vec![order("1", &[Kind::Lost])]);
    claim(&mut ana, &["order:1"]);
    assert_eq!(ana.verify().unwrap(), 2);
    // Those that are kept, and the one that listens.
    let open = "SELECT count(*), count(*) FILTER (WHERE s.ssl AND s.version >= 'TLSv1.2')
                FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.usename = 'ana'";
    let counts = pg.psql(&db, open);
    let (all, encrypted) = counts.split_once('|').unwrap();
    assert!(all == encrypted && all.parse::<u32>().unwrap() >= 2, "{counts}");

    let (_other_dir, strangers) = tls::roots(&tls::ca());
    let mut wrong = config.clone();
    wrong.ledger.database.sslrootcert = Some(strangers);
    let error = Ledger::open(&wrong, false).unwrap_err();
    assert!(error.what.contains("signed by nobody that is trusted"), "{error}");
    let mut elsewhere = config.clone();
    if let DbUrl::Postgres { host, .. } = &mut elsewhere.ledger.database.url {
        "127.0.0.1".clone_into(host);
    }
    let error = Ledger::open(&elsewhere, false).unwrap_err();
    assert!(error.what.contains("not for host"), "{error}");
    let mut plain = config.clone();
    plain.ledger.database.sslmode = SslMode::Disable;
    let error = Ledger::open(&plain, false).unwrap_err();
    assert!(error.what.contains("pg_hba.conf"), "{error}");
    drop(ears);
    pg.stop();
}

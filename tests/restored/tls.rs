//! Nothing is sent to a server that is not proven to be the one meant.

pub use crate::support::tls::{Ca, Identity, ca, identity, roots};
use crate::support::{self, Pg, tls::server};
use restitch::config::{Database, DbUrl, ScanConfig, Secret, SslMode};
use restitch::domain::Error;
use restitch::restored::postgres::Postgres;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

const PASSWORD: &str = "canary-pass-4711";
/// `SSLRequest`, as every client of PostgreSQL begins.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// `AuthenticationCleartextPassword`.
const ASK_PASSWORD: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];

/// What a peer does with a client that asks for TLS.
pub enum Peer {
    Answers(Vec<u8>),
    Tls(Identity),
}

/// What went over the wire: raw bytes, and what of them was readable inside TLS.
pub struct Heard {
    pub raw: Vec<u8>,
    pub inside: Vec<u8>,
}

struct Tap {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Read for Tap {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.stream.read(buf)?;
        self.heard.extend_from_slice(&buf[..n]);
        Ok(n)
    }
}

impl Write for Tap {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.stream.write(buf)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

/// Takes one client, lures it for its password, and listens until it hangs up.
pub fn serve(peer: Peer) -> (u16, JoinHandle<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut tap = Tap {
            stream,
            heard: Vec::new(),
        };
        let mut request = [0; 8];
        tap.read_exact(&mut request).unwrap();
        assert_eq!(request, SSL_REQUEST);
        let mut inside = Vec::new();
        match peer {
            Peer::Answers(bytes) => {
                tap.write_all(&bytes).unwrap();
                // A reset counts as hanging up.
                let _ = tap.read_to_end(&mut Vec::new());
                Heard { raw: tap.heard, inside }
            }
            Peer::Tls(identity) => {
                tap.write_all(b"S").unwrap();
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
                let config = ServerConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_no_client_auth()
                    .with_single_cert(vec![identity.cert], key)
                    .unwrap();
                let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tap);
                let mut buf = [0; 1024];
                while let Ok(n @ 1..) = tls.read(&mut buf) {
                    inside.extend_from_slice(&buf[..n]);
                    if tls.write_all(&ASK_PASSWORD).is_err() {
                        break;
                    }
                }
                Heard {
                    raw: tls.sock.heard,
                    inside,
                }
            }
        }
    });
    (port, thread)
}

fn database(port: u16, roots: &Path) -> Database {
    let mut database = Database::at(DbUrl::Postgres {
        host: "localhost".to_owned(),
        port,
        database: "postgres".to_owned(),
        user: "triage".to_owned(),
        password: Some(Secret::new(PASSWORD)),
    });
    database.sslrootcert = Some(roots.to_owned());
    database
}

pub fn contains(heard: &[u8], needle: &[u8]) -> bool {
    heard.windows(needle.len()).any(|w| w == needle)
}

async fn refused(peer: Peer, roots: &Path) -> (Error, Heard) {
    let (port, thread) = serve(peer);
    let e = Postgres::connect(&database(port, roots), &ScanConfig::default())
        .await
        .unwrap_err();
    assert!(
        e.place.as_deref().unwrap().contains(&format!("localhost:{port}")) && e.cure.is_some(),
        "{e}"
    );
    assert!(!e.to_string().contains(PASSWORD));
    (e, thread.join().unwrap())
}

#[tokio::test]
async fn six_bad_servers_are_refused_before_any_byte_of_the_password() {
    let ours = ca();
    let (_dir, roots) = roots(&ours);
    let bad = [
        ("answers N", Peer::Answers(b"N".to_vec()), "refuses TLS"),
        (
            "asks for the password in the clear",
            Peer::Answers(ASK_PASSWORD.to_vec()),
            "refuses TLS",
        ),
        (
            "wrong host",
            Peer::Tls(identity(Some(&ours), "other.example", 2090)),
            "not for host",
        ),
        (
            "expired",
            Peer::Tls(identity(Some(&ours), "localhost", 2020)),
            "expired",
        ),
        (
            "unknown CA",
            Peer::Tls(identity(Some(&ca()), "localhost", 2090)),
            "nobody that is trusted",
        ),
        (
            "self-signed",
            Peer::Tls(identity(None, "localhost", 2090)),
            "nobody that is trusted",
        ),
    ];
    for (name, peer, why) in bad {
        let (e, heard) = refused(peer, &roots).await;
        assert!(e.what.contains(why), "{name}: {e}");
        assert!(heard.inside.is_empty(), "{name}: something was said inside TLS");
        assert!(
            !contains(&heard.raw, PASSWORD.as_bytes()) && !contains(&heard.raw, b"triage"),
            "{name}"
        );
        if why == "refuses TLS" {
            assert_eq!(
                heard.raw, SSL_REQUEST,
                "{name}: nothing but the request for TLS was sent"
            );
        }
    }
}

/// The peers above would hear a password if one were sent: the same peer with the right certificate does.
#[tokio::test]
async fn a_verified_server_gets_the_password_and_only_inside_tls() {
    let ours = ca();
    let (_dir, roots) = roots(&ours);
    let (_, heard) = refused(Peer::Tls(identity(Some(&ours), "localhost", 2090)), &roots).await;
    assert!(
        contains(&heard.inside, PASSWORD.as_bytes()),
        "the peer hears what it is told"
    );
    assert!(!contains(&heard.raw, PASSWORD.as_bytes()));
}

/// PostgreSQL with TLS on, whose user `triage` must come by TLS and with a password.
fn tls_server(ca: &Ca) -> Pg {
    let pg = server(ca, "host all demo all trust\nhostssl all triage all password\n", &[]);
    pg.psql("postgres", &format!("create role triage login password '{PASSWORD}'"));
    pg
}

#[tokio::test]
async fn a_real_server_is_verified_and_its_refusals_say_what_to_do() {
    let ours = ca();
    let (_dir, roots) = roots(&ours);
    let pg = tls_server(&ours);
    let good = database(pg.port, &roots);
    let connected = Postgres::connect(&good, &ScanConfig::default()).await.unwrap();
    let server = connected.server().await.unwrap();
    assert!(
        server.tls && !server.in_recovery && server.timeline == Some(1),
        "{server:?}"
    );
    assert_eq!((server.user.as_str(), server.database.as_str()), ("triage", "postgres"));

    let told = async |change: &dyn Fn(&mut Database)| {
        let mut database = good.clone();
        change(&mut database);
        Postgres::connect(&database, &ScanConfig::default()).await.unwrap_err()
    };
    let set = |edit: fn(&mut String, &mut u16, &mut String, &mut Option<Secret>)| {
        move |d: &mut Database| {
            if let DbUrl::Postgres {
                host,
                port,
                database,
                password,
                ..
            } = &mut d.url
            {
                edit(host, port, database, password);
            }
        }
    };
    let e = told(&set(|_, _, _, password| *password = Some(Secret::new("wrong")))).await;
    assert!(e.what.contains("password of user \"triage\"") && e.cure.unwrap().contains("password_file"));
    let e = told(&set(|_, _, _, password| *password = None)).await;
    assert!(e.what.contains("none is configured"), "{e}");
    let e = told(&set(|_, _, database, _| *database = "om".to_owned())).await;
    assert!(e.what.contains("no database \"om\""), "{e}");
    let e = told(&set(|host, _, _, _| *host = "127.0.0.1".to_owned())).await;
    assert!(e.what.contains("not for host \"127.0.0.1\""), "{e}");
    let e = told(&set(|_, port, _, _| *port = support::free_port())).await;
    assert!(e.what.contains("nothing listens at localhost:"), "{e}");
    let e = told(&set(|host, _, _, _| *host = "no-such-host.invalid".to_owned())).await;
    assert!(
        e.what.contains("no address is known") || e.what.contains("cannot connect"),
        "{e}"
    );
    let e = told(&|d| d.sslmode = SslMode::Disable).await;
    assert!(
        e.what.contains("pg_hba.conf") && e.cure.as_deref().unwrap().contains("sslmode"),
        "{e}"
    );
    let e = told(&|d| d.sslrootcert = Some(PathBuf::from("/none.pem"))).await;
    assert!(
        e.what.contains("cannot read the certificates") && e.place.as_deref() == Some("/none.pem"),
        "{e}"
    );
}

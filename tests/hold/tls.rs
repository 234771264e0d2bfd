//! A listener that wants TLS: a proxy of the tests' own before the broker, which speaks none.

use crate::support::kafka::kafka;
use crate::world::{World, now};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Ends TLS and passes everything on; names itself where the broker names its own address.
struct Proxy {
    port: u16,
    certificate: String,
    /// Connections whose TLS was made.
    spoke: Arc<AtomicU32>,
}

fn proxy() -> Proxy {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], der)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let spoke = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&spoke);
    // Ends with the process.
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (config, counter) = (Arc::clone(&config), Arc::clone(&counter));
            std::thread::spawn(move || serve(client.unwrap(), &config, port, &counter));
        }
    });
    Proxy {
        port,
        certificate: certificate.pem(),
        spoke,
    }
}

fn serve(client: TcpStream, config: &Arc<ServerConfig>, port: u16, spoke: &AtomicU32) {
    let server = TcpStream::connect(("127.0.0.1", kafka().port)).unwrap();
    let wait = Some(Duration::from_millis(5));
    client.set_read_timeout(wait).unwrap();
    server.set_read_timeout(wait).unwrap();
    let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), client);
    let mut server = server;
    let address = |port: u16| [&b"127.0.0.1"[..], &u32::from(port).to_be_bytes()].concat();
    let (theirs, ours) = (address(kafka().port), address(port));
    let mut buffer = vec![0; 1 << 16];
    let mut told = false;
    loop {
        match tls.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => server.write_all(&buffer[..n]).unwrap(),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
        if !told && !tls.conn.is_handshaking() {
            told = true;
            spoke.fetch_add(1, Ordering::SeqCst);
        }
        match server.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                // Answers about the cluster are small: the address does not stand across two reads.
                let mut bytes = buffer[..n].to_vec();
                while let Some(at) = bytes.windows(theirs.len()).position(|w| w == theirs) {
                    bytes[at..at + ours.len()].copy_from_slice(&ours);
                }
                if tls.write_all(&bytes).and_then(|()| tls.flush()).is_err() {
                    return;
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

#[test]
fn tls_is_spoken_and_the_certificate_is_verified() {
    let proxy = proxy();
    let topic = kafka().topic("held-tls", 1);
    kafka().send_at(&topic, 0, now(), ("SFH-1", Some("x")));
    let brokers = format!("127.0.0.1:{}", proxy.port);
    let hold = World::at(&topic, &brokers, "tls = true\nsslrootcert = \"ca.pem\"");
    hold.night.write("ca.pem", &proxy.certificate);
    assert_eq!(hold.status()["held"], 1);
    hold.run(&["hold", "rescue"]).ended(0);
    let spoke = proxy.spoke.load(Ordering::SeqCst);
    assert!(spoke >= 2, "{spoke} connections spoke TLS");
    // Another authority's certificate is not believed, nor is the system's word for it.
    let other = KeyPair::generate().unwrap();
    let other = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .self_signed(&other)
        .unwrap();
    let stranger = World::at(&topic, &brokers, "tls = true\nsslrootcert = \"ca.pem\"");
    stranger.night.write("ca.pem", other.pem());
    stranger.run(&["hold", "status"]).ended(1).says(&["certificate"]);
    // In the clear, the listener answers nothing.
    let plain = World::at(&topic, &brokers, "");
    plain
        .run(&["hold", "status"])
        .ended(1)
        .says(&["no broker answers", "tls"]);
    assert_eq!(proxy.spoke.load(Ordering::SeqCst), spoke, "nobody else came in");
}

//! A listener that wants TLS.

use crate::relay::{Login, Relay};
use crate::support::kafka::kafka;
use crate::world::{World, now};
use rcgen::{CertificateParams, KeyPair};
use std::sync::atomic::Ordering;

#[test]
fn tls_is_spoken_and_the_certificate_is_verified() {
    let relay = Relay::start(Login::None);
    let topic = kafka().topic("held-tls", 1);
    kafka().send_at(&topic, 0, now(), ("SFH-1", Some("x")));
    let brokers = relay.brokers();
    let hold = World::at(&topic, &brokers, "tls = true\nsslrootcert = \"ca.pem\"");
    hold.night.write("ca.pem", &relay.certificate);
    assert_eq!(hold.status()["held"], 1);
    hold.run(&["hold", "rescue"]).ended(0);
    let spoke = relay.spoke.load(Ordering::SeqCst);
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
    assert_eq!(relay.spoke.load(Ordering::SeqCst), spoke, "nobody else came in");
}

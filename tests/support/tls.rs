//! Authorities and certificates for tests, and a PostgreSQL server that speaks TLS.

use super::Pg;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

pub fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    Ca {
        issuer: Issuer::new(params, key),
        pem: cert.pem(),
    }
}

pub struct Identity {
    pub cert: CertificateDer<'static>,
    pub cert_pem: String,
    pub key: KeyPair,
}

pub fn identity(ca: Option<&Ca>, host: &str, last_year: i32) -> Identity {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let cert = match ca {
        Some(ca) => params.signed_by(&key, &ca.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Identity {
        cert: cert.der().clone(),
        cert_pem: cert.pem(),
        key,
    }
}

/// A file with the authority's certificate.
pub fn roots(ca: &Ca) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("roots.pem");
    std::fs::write(&path, &ca.pem).unwrap();
    (dir, path)
}

/// PostgreSQL with TLS on, for `localhost`; who may come how stands in `hba`.
pub fn server(ca: &Ca, hba: &str, more: &[&str]) -> Pg {
    let home = super::home();
    let id = identity(Some(ca), "localhost", 2090);
    for (name, pem) in [("server.crt", id.cert_pem), ("server.key", id.key.serialize_pem())] {
        let path = home.join(name);
        std::fs::write(&path, pem).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let owner = std::fs::metadata(&home).unwrap();
        chown(&path, Some(owner.uid()), None).unwrap();
    }
    let file = home.join("hba.conf");
    std::fs::write(&file, hba).unwrap();
    super::init(&home);
    let at = |name: &str| home.join(name).display().to_string();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", at("server.crt")),
        format!("ssl_key_file={}", at("server.key")),
        format!("hba_file={}", at("hba.conf")),
    ];
    let settings: Vec<&str> = settings
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    Pg::start_in(home.clone(), &settings)
}

//! A listener before the broker, which speaks neither TLS nor logins: ends TLS, asks for a login where it is told to, and
//! passes everything on. It is no broker's own login: what it checks is written from the RFCs and Kafka's protocol guide.

use crate::support::kafka::kafka;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest, Sha256, Sha512};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Tls = StreamOwned<ServerConnection, TcpStream>;

const USER: &str = "restitch";

/// What whoever comes must do.
#[derive(Clone)]
pub enum Login {
    /// Nothing.
    None,
    /// The password of `restitch`, as it is.
    Plain(String),
    /// That it is known, by SCRAM-SHA-256.
    Scram256(String),
    /// By SCRAM-SHA-512.
    Scram512(String),
    /// Any token.
    Bearer,
}

/// A running listener; ends with the process.
pub struct Relay {
    pub port: u16,
    pub certificate: String,
    /// Connections whose TLS was made.
    pub spoke: Arc<AtomicU32>,
    /// What was said in each login that was granted.
    pub logins: Arc<Mutex<Vec<String>>>,
    /// Raised to end every connection.
    dropped: Arc<AtomicU32>,
}

struct Door {
    config: Arc<ServerConfig>,
    port: u16,
    login: Login,
    spoke: Arc<AtomicU32>,
    logins: Arc<Mutex<Vec<String>>>,
    dropped: Arc<AtomicU32>,
}

impl Relay {
    pub fn start(login: Login) -> Self {
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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = Self {
            port,
            certificate: certificate.pem(),
            spoke: Arc::default(),
            logins: Arc::default(),
            dropped: Arc::default(),
        };
        let door = Arc::new(Door {
            config: Arc::new(config),
            port,
            login,
            spoke: Arc::clone(&relay.spoke),
            logins: Arc::clone(&relay.logins),
            dropped: Arc::clone(&relay.dropped),
        });
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let door = Arc::clone(&door);
                std::thread::spawn(move || door.serve(client.unwrap()));
            }
        });
        relay
    }

    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends every connection, as brokers do whose sessions expire.
    pub fn drop_all(&self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Door {
    fn serve(&self, client: TcpStream) {
        let dropped = self.dropped.load(Ordering::SeqCst);
        let mut server = TcpStream::connect(("127.0.0.1", kafka().port)).unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&self.config)).unwrap(), client);
        while tls.conn.is_handshaking() {
            if tls.conn.complete_io(&mut tls.sock).is_err() {
                return;
            }
        }
        self.spoke.fetch_add(1, Ordering::SeqCst);
        if !matches!(self.login, Login::None) {
            match self.admit(&mut tls, &mut server) {
                Some(said) => self.logins.lock().unwrap().push(said),
                None => return,
            }
        }
        let wait = Some(Duration::from_millis(5));
        tls.sock.set_read_timeout(wait).unwrap();
        server.set_read_timeout(wait).unwrap();
        // Ends with either side, or when all are dropped.
        while dropped == self.dropped.load(Ordering::SeqCst) && self.pass(&mut tls, &mut server).is_some() {}
    }

    /// Passes on what there is; names itself where the broker names its own address.
    fn pass(&self, tls: &mut Tls, server: &mut TcpStream) -> Option<()> {
        let address = |port: u16| [&b"127.0.0.1"[..], &u32::from(port).to_be_bytes()].concat();
        let (theirs, ours) = (address(kafka().port), address(self.port));
        let mut buffer = vec![0; 1 << 16];
        let n = some(tls.read(&mut buffer))?;
        server.write_all(&buffer[..n]).ok()?;
        let n = some(server.read(&mut buffer))?;
        // Answers about the cluster are small: the address does not stand across two reads.
        let mut bytes = buffer[..n].to_vec();
        while let Some(at) = bytes.windows(theirs.len()).position(|w| w == theirs) {
            bytes[at..at + ours.len()].copy_from_slice(&ours);
        }
        tls.write_all(&bytes).and_then(|()| tls.flush()).ok()
    }

    /// Holds the dialogue of a login; what was said, `None` where it failed.
    fn admit(&self, tls: &mut Tls, server: &mut TcpStream) -> Option<String> {
        let mut scram = None;
        loop {
            let request = Request::read(tls)?;
            match request.api {
                18 => {
                    server.write_all(&framed(&request.whole)).ok()?;
                    let answer = with_logins(frame(server)?, request.version);
                    tls.write_all(&framed(&answer)).and_then(|()| tls.flush()).ok()?;
                }
                17 => {
                    let (len, rest) = request.body.split_at(2);
                    assert_eq!(usize::from(u16::from_be_bytes([len[0], len[1]])), rest.len());
                    let known = rest == self.mechanism().as_bytes();
                    let error: i16 = if known { 0 } else { 33 };
                    let offered = self.mechanism().as_bytes();
                    let len = u16::try_from(offered.len()).unwrap();
                    request.answer(
                        tls,
                        &[
                            &error.to_be_bytes()[..],
                            &1_i32.to_be_bytes(),
                            &len.to_be_bytes(),
                            offered,
                        ],
                    )?;
                }
                36 => match self.check(&request.body[4..], &mut scram) {
                    Step::Goes(say) => request.authenticated(tls, 0, "", say.as_bytes())?,
                    Step::Granted(say, said) => {
                        request.authenticated(tls, 0, "", say.as_bytes())?;
                        return Some(said);
                    }
                    Step::Refused => {
                        request.authenticated(tls, 58, "Authentication failed: no such login", b"")?;
                        return None;
                    }
                },
                other => panic!("request {other} before the login"),
            }
        }
    }

    const fn mechanism(&self) -> &'static str {
        match self.login {
            Login::None => "",
            Login::Plain(_) => "PLAIN",
            Login::Scram256(_) => "SCRAM-SHA-256",
            Login::Scram512(_) => "SCRAM-SHA-512",
            Login::Bearer => "OAUTHBEARER",
        }
    }

    fn check(&self, said: &[u8], scram: &mut Option<(String, String)>) -> Step {
        let text = String::from_utf8(said.to_vec()).unwrap();
        let granted = |fits: bool, say: String, said: String| {
            if fits { Step::Granted(say, said) } else { Step::Refused }
        };
        match &self.login {
            Login::None => Step::Refused,
            Login::Plain(password) => granted(text == format!("\0{USER}\0{password}"), String::new(), text),
            Login::Bearer => {
                let token = text
                    .strip_prefix("n,,\u{1}auth=Bearer ")
                    .and_then(|t| t.strip_suffix("\u{1}\u{1}"));
                granted(token.is_some(), String::new(), token.unwrap_or_default().to_owned())
            }
            Login::Scram256(password) | Login::Scram512(password) => match scram.take() {
                None => {
                    let first = text.strip_prefix("n,,").unwrap().to_owned();
                    let nonce = first.strip_prefix(&format!("n={USER},r=")).unwrap();
                    let ours = format!("r={nonce}5f1e,s={},i=4096", STANDARD.encode("salt of the test"));
                    *scram = Some((first, ours.clone()));
                    Step::Goes(ours)
                }
                Some((first, ours)) => {
                    let (bare, proof) = text.rsplit_once(",p=").unwrap();
                    let message = format!("{first},{ours},{bare}");
                    let proof = STANDARD.decode(proof).unwrap();
                    let (fits, signature) = match self.login {
                        Login::Scram256(_) => scram_fits::<Sha256>(64, password, &message, &proof),
                        _ => scram_fits::<Sha512>(128, password, &message, &proof),
                    };
                    granted(fits, format!("v={}", STANDARD.encode(signature)), first)
                }
            },
        }
    }
}

enum Step {
    Goes(String),
    /// With the last word, and what was said.
    Granted(String, String),
    Refused,
}

/// RFC 5802: whether the proof fits, and the server's own.
fn scram_fits<D: Digest>(block: usize, password: &str, message: &str, proof: &[u8]) -> (bool, Vec<u8>) {
    let mac = |key: &[u8], data: &[u8]| hmac::<D>(block, key, data);
    let mut round = mac(
        password.as_bytes(),
        &[&b"salt of the test"[..], &1_u32.to_be_bytes()].concat(),
    );
    let mut salted = round.clone();
    for _ in 1..4_096 {
        round = mac(password.as_bytes(), &round);
        salted.iter_mut().zip(&round).for_each(|(s, r)| *s ^= r);
    }
    let stored = D::digest(mac(&salted, b"Client Key"));
    let signature = mac(&stored, message.as_bytes());
    let key: Vec<u8> = signature.iter().zip(proof).map(|(s, p)| s ^ p).collect();
    let fits = proof.len() == signature.len() && D::digest(&key) == stored;
    (fits, mac(&mac(&salted, b"Server Key"), message.as_bytes()))
}

/// RFC 2104.
pub fn hmac<D: Digest>(block: usize, key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut padded = if key.len() > block {
        D::digest(key).to_vec()
    } else {
        key.to_vec()
    };
    padded.resize(block, 0);
    let pad = |with: u8| padded.iter().map(|b| b ^ with).collect::<Vec<u8>>();
    let inner = D::digest([pad(0x36), data.to_vec()].concat());
    D::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

/// A request of Kafka's protocol.
struct Request {
    api: i16,
    version: i16,
    correlation: [u8; 4],
    body: Vec<u8>,
    whole: Vec<u8>,
}

impl Request {
    fn read(from: &mut impl Read) -> Option<Self> {
        let whole = frame(from)?;
        let short = |at: usize| i16::from_be_bytes([whole[at], whole[at + 1]]);
        let client = usize::try_from(short(8)).unwrap_or(0);
        Some(Self {
            api: short(0),
            version: short(2),
            correlation: whole[4..8].try_into().unwrap(),
            body: whole[10 + client..].to_vec(),
            whole,
        })
    }

    fn answer(&self, to: &mut Tls, parts: &[&[u8]]) -> Option<()> {
        let bytes = framed(&[&self.correlation[..], &parts.concat()].concat());
        to.write_all(&bytes).and_then(|()| to.flush()).ok()
    }

    fn authenticated(&self, to: &mut Tls, error: i16, why: &str, say: &[u8]) -> Option<()> {
        let (words, len) = (i16::try_from(why.len()).unwrap(), i32::try_from(say.len()).unwrap());
        self.answer(
            to,
            &[
                &error.to_be_bytes(),
                &words.to_be_bytes(),
                why.as_bytes(),
                &len.to_be_bytes(),
                say,
            ],
        )
    }
}

fn frame(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len).ok()?;
    let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap()];
    from.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// The broker's list of what it speaks, with the two requests of a login.
fn with_logins(mut answer: Vec<u8>, version: i16) -> Vec<u8> {
    let ranges: [[i16; 3]; 2] = [[17, 0, 1], [36, 0, 0]];
    let entry = |range: [i16; 3]| range.map(i16::to_be_bytes).concat();
    if answer[4..6] != [0, 0] {
        return answer;
    }
    if version >= 3 {
        // One more than there are, in one byte; a byte of tags behind each.
        assert!(answer[6] < 0x7e, "the broker speaks too much");
        answer[6] += 2;
        let added: Vec<u8> = ranges.into_iter().flat_map(|r| [entry(r), vec![0]].concat()).collect();
        answer.splice(7..7, added);
    } else {
        let count = i32::from_be_bytes(answer[6..10].try_into().unwrap()) + 2;
        answer[6..10].copy_from_slice(&count.to_be_bytes());
        answer.splice(10..10, ranges.into_iter().flat_map(entry));
    }
    answer
}

/// How much was read; 0 where nothing was there yet, `None` at the end.
fn some(read: std::io::Result<usize>) -> Option<usize> {
    match read {
        Ok(0) => None,
        Ok(n) => Some(n),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some(0),
        Err(_) => None,
    }
}

//! Servers that are as they should be, or not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::Arc;

use crate::support::{RunningProcess, SpawnGuarded as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Serves each connection with `serve`, on a thread of its own; ends with the test's process.
pub(crate) fn tcp(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(connection));
        }
    });
    address
}

/// Answers every request as `answer` says of its method, path and body: a status, headers, a body.
pub(super) fn answer_http(
    connection: impl Read + Write,
    answer: &impl Fn(&str, &str, &[u8]) -> (u16, &'static str, String),
) {
    let mut connection = BufReader::new(connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(connection.read_line(&mut head), Ok(1..)) {
                return;
            }
        }
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        connection.read_exact(&mut body).unwrap();
        let (status, headers, body) = answer(&method, &path, &body);
        let reply = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
        if connection.get_mut().write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

pub(super) fn http(
    answer: impl Fn(&str, &str, &[u8]) -> (u16, &'static str, String) + Send + Sync + 'static,
) -> SocketAddr {
    tcp(move |connection| answer_http(connection, &answer))
}

/// A Form queue that says OK to health, knows no topic, and answers writes with `write`.
pub(super) fn form(method: &str, path: &str, body: &[u8], write: &str) -> (u16, &'static str, String) {
    match (method, path) {
        ("GET", "/queue/health") => (200, "content-type: text/plain\r\n", "OK".into()),
        ("GET", _) => (200, "", r#"{"Failure":{"reason":"no such queue"}}"#.into()),
        ("POST", "/queue/write_local") if body.starts_with(br#"{"Write""#) => (200, "", write.into()),
        ("POST", "/queue/write_local") => (422, "", "wrong shape".into()),
        _ => (404, "", String::new()),
    }
}

/// An authority of the test's own, and what it issued.
pub(crate) struct Issued {
    pub(crate) root_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    pub(super) leaf_pem: String,
    pub(super) key_pem: String,
}

/// A certificate for `name`, valid for these years.
pub(crate) fn issue(name: &str, from: i32, to: i32) -> Issued {
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(rcgen::DnType::CommonName, "The test's own authority");
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(from, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(to, 1, 1);
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &root).unwrap();
    Issued {
        root_pem: root.pem(),
        chain: vec![leaf.der().clone()],
        key: key.serialize_der(),
        leaf_pem: leaf.pem(),
        key_pem: key.serialize_pem(),
    }
}

/// The same as [`http`], behind TLS.
pub(crate) fn https(
    issued: &Issued,
    answer: impl Fn(&str, &str, &[u8]) -> (u16, &'static str, String) + Send + Sync + 'static,
) -> SocketAddr {
    tls(issued, move |connection| answer_http(connection, &answer))
}

/// How a server with this certificate speaks TLS.
pub(crate) fn tls_config(issued: &Issued) -> Arc<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(issued.chain.clone(), PrivateKeyDer::Pkcs8(issued.key.clone().into()))
        .unwrap();
    Arc::new(config)
}

/// The same as [`tcp`], behind TLS.
pub(crate) fn tls(
    issued: &Issued,
    serve: impl Fn(rustls::StreamOwned<rustls::ServerConnection, TcpStream>) + Send + Sync + 'static,
) -> SocketAddr {
    let config = tls_config(issued);
    tcp(move |connection| {
        let tls = rustls::ServerConnection::new(config.clone()).unwrap();
        serve(rustls::StreamOwned::new(tls, connection));
    })
}

/// A real `nats-server` on a free port; killed when dropped.
pub(super) struct Nats {
    process: RunningProcess,
    pub(super) address: String,
    // Closed, it would break the server's log.
    _log: BufReader<ChildStderr>,
    _store: tempfile::TempDir,
}

impl Nats {
    pub(super) fn start(jetstream: bool, options: &[&str]) -> Self {
        let store = tempfile::tempdir().unwrap();
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-p", "-1"]).args(options).stderr(Stdio::piped());
        if jetstream {
            command.arg("-js").arg("-sd").arg(store.path());
        }
        let mut process = command.spawn_guarded();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let (mut said, mut address) = (String::new(), None);
        while !said.contains("Server is ready") {
            said.clear();
            assert!(log.read_line(&mut said).unwrap() > 0, "nats-server ended");
            address = said.split_once("client connections on ").map(|(_, it)| it.trim().to_owned()).or(address);
        }
        Self { process, address: address.unwrap(), _log: log, _store: store }
    }

    /// Makes a stream.
    pub(super) fn add_stream(&self, config: &serde_json::Value) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        let (name, config) = (config["name"].as_str().unwrap(), config.to_string());
        let length = config.len();
        write!(
            connection,
            "CONNECT {{\"verbose\":false}}\r\nSUB made 1\r\nPUB $JS.API.STREAM.CREATE.{name} made {length}\r\n{config}\r\n"
        )
        .unwrap();
        let answer =
            BufReader::new(connection).lines().map(Result::unwrap).find(|line| line.contains("create_response"));
        let answer = answer.unwrap();
        assert!(!answer.contains("\"error\""), "{answer}");
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

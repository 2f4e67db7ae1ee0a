//! Certificates of clients, against servers that demand them.

use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use predicates::prelude::*;
use predicates::str::contains;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::form_queue::read_request;
use crate::nats_server::NatsServer;
use crate::support::{formusage, line, lines};

/// An authority, and a folder for what it issues.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(rcgen::DnType::CommonName, "The test's own authority");
        let issuer = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    /// `NAME.pem` and `NAME.key`, for `host` as a server and as a client.
    fn issue(&self, name: &str, host: &str) {
        let mut leaf = CertificateParams::new(vec![host.to_owned()]).unwrap();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let leaf = leaf.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), leaf.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// A service over HTTP behind TLS that takes clients of this authority alone, and whatever they send.
    fn service(&self) -> u16 {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let chain = vec![CertificateDer::from_pem_file(self.path("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let config = config.clone();
                std::thread::spawn(move || {
                    let session = rustls::ServerConnection::new(config).unwrap();
                    let mut stream = BufReader::new(rustls::StreamOwned::new(session, connection));
                    while read_request(&mut stream).is_some() {
                        let _ = stream.get_mut().write_all(b"HTTP/1.1 204 X\r\n\r\n");
                    }
                    // Unread bytes would turn the alert into a reset.
                    stream.get_mut().sock.shutdown(std::net::Shutdown::Write).ok();
                    std::io::copy(&mut stream.get_mut().sock, &mut std::io::sink()).ok();
                });
            }
        });
        port
    }

    /// A nats-server that takes clients of this authority alone.
    fn nats(&self) -> NatsServer {
        NatsServer::with(&format!(
            "jetstream {{ store_dir: STORE }}\ntls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
            self.text("server.pem"),
            self.text("server.key"),
            self.text("ca.pem")
        ))
    }

    /// A command that trusts the server, and shows a client's certificate where one is named.
    fn run(&self, words: &[&str], client: Option<&str>) -> assert_cmd::Command {
        let mut command = formusage();
        command.args(words).arg("--ca-file").arg(self.path("ca.pem"));
        if let Some(client) = client {
            command.arg("--client-cert").arg(self.path(&format!("{client}.pem")));
            command.arg("--client-key").arg(self.path(&format!("{client}.key")));
        }
        command
    }
}

const DEMANDS: &str = "--client-cert";

#[test]
fn a_nats_server_that_demands_a_certificate_gets_it() {
    let authority = Authority::new();
    authority.issue("server", "127.0.0.1");
    authority.issue("meter", "meter-1");
    let server = authority.nats();
    let url = format!("tls://127.0.0.1:{}/usage_events?stream=USAGE", server.port);
    let state = tempfile::tempdir().unwrap();
    let with = |words: &[&str], client: Option<&str>| {
        let mut command = authority.run(words, client);
        command.env("FORMUSAGE_STATE_DIR", state.path());
        command
    };
    with(&["publish", "--to", &url, "--create-stream"], Some("meter"))
        .write_stdin(lines("a", 3))
        .assert()
        .code(0)
        .stderr("");
    with(&["read", "--from", &url], Some("meter")).assert().code(0).stdout(lines("a", 3)).stderr("");
    with(&["spool", "reconcile", "--to", &url], Some("meter")).assert().code(0).stderr(contains("0 are missing"));
    let ping = with(&["ping", "--to", &url, "--format", "table"], Some("meter")).assert().code(0);
    ping.stdout(contains("ours is shown").and(contains("the server lets us in")));

    with(&["publish", "--to", &url], None).write_stdin(lines("b", 1)).assert().code(2).stderr(contains(DEMANDS));
    with(&["read", "--from", &url], None).assert().code(2).stderr(contains(DEMANDS));
    with(&["ping", "--to", &url], None).assert().code(1).stderr(contains(DEMANDS).and(contains("--client-key")));
}

#[test]
fn a_certificate_of_another_authority_is_not_taken_for_ours() {
    let authority = Authority::new();
    authority.issue("server", "127.0.0.1");
    let other = Authority::new();
    other.issue("stranger", "meter-1");
    for end in ["pem", "key"] {
        let file = format!("stranger.{end}");
        std::fs::copy(other.path(&file), authority.path(&file)).unwrap();
    }
    let server = authority.nats();
    let to = format!("tls://127.0.0.1:{}/usage_events", server.port);
    let publish =
        authority.run(&["publish", "--to", &to], Some("stranger")).write_stdin(lines("a", 1)).assert().code(2);
    publish.stderr(contains(DEMANDS).and(contains("stranger.pem")));
    authority.run(&["ping", "--to", &to], Some("stranger")).assert().code(1).stderr(contains(DEMANDS));
}

#[test]
fn a_service_over_https_that_demands_a_certificate_gets_it() {
    let authority = Authority::new();
    authority.issue("server", "127.0.0.1");
    authority.issue("meter", "meter-1");
    let to = format!("https://127.0.0.1:{}/events", authority.service());
    let event = line("a", 0);
    let publish = ["publish", "--to", &to, "--event", &event];
    authority.run(&publish, Some("meter")).assert().code(0).stderr("");
    authority.run(&publish, None).assert().code(2).stderr(contains(DEMANDS).and(contains("--client-key")));
    let ping = authority.run(&["ping", "--to", &to, "--format", "table"], None).assert().code(1);
    ping.stdout(contains("none is set")).stderr(contains(DEMANDS));
    let ping = authority.run(&["ping", "--to", &to, "--format", "table"], Some("meter")).assert();
    ping.stdout(contains("ours is shown"));
    // The key may stand in the file of the certificate, and both may be named in the environment.
    let both =
        [authority.path("meter.pem"), authority.path("meter.key")].map(|path| std::fs::read(path).unwrap()).concat();
    std::fs::write(authority.path("both.pem"), both).unwrap();
    authority.run(&publish, None).env("FORMUSAGE_CLIENT_CERT", authority.path("both.pem")).assert().code(0).stderr("");
}

#[test]
fn what_is_wrong_with_the_files_is_said_before_anything_is_sent() {
    let authority = Authority::new();
    authority.issue("meter", "meter-1");
    authority.issue("other", "meter-2");
    let refused = |to: &str, certificate: &Path, key: &Path, words: [&str; 2]| {
        for command in [["publish", "--to", to], ["ping", "--to", to]] {
            let mut run = formusage();
            run.args(command).arg("--client-cert").arg(certificate).arg("--client-key").arg(key).write_stdin("");
            run.assert().code(2).stderr(contains(words[0]).and(contains(words[1])));
        }
    };
    for to in ["https://127.0.0.1:1/x", "form+https://127.0.0.1:1/x", "tls://127.0.0.1:1/x"] {
        let file = |name: &str| authority.path(name);
        refused(to, &file("meter.pem"), &file("other.key"), ["other.key does not belong", "meter.pem"]);
        refused(to, &file("none.pem"), &file("meter.key"), ["none.pem can't be read", DEMANDS]);
        refused(to, &file("meter.key"), &file("meter.key"), ["meter.key holds no certificate", "PEM"]);
    }
    formusage()
        .args(["publish", "--to", "https://127.0.0.1:1/x", "--client-key", "x"])
        .write_stdin("")
        .assert()
        .code(2)
        .stderr(contains(DEMANDS));
}

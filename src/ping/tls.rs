//! The TLS step: the handshake, and the certificate even where it is not trusted.

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::UNIX_EPOCH;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::{TlsFacts, date};
use super::dial::{Route, is_tls, speaks_plain_http};
use super::step::{Problem, Step, Stopped, Trail};
use super::{PingError, http};
use crate::clock::Clock;

/// A certificate that ends sooner than this, in days, is worth a warning.
const SOON_DAYS: i64 = 14;
/// So much of the first reply is kept, to say what spoke in place of TLS.
const KEPT_BYTES: usize = 256;

/// Who is trusted: the system's roots, and those of a file.
#[derive(Clone)]
pub(super) struct Trust {
    verifier: Arc<dyn ServerCertVerifier>,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

impl Trust {
    pub(super) fn new(ca_file: Option<&Path>, clock: Arc<dyn Clock>) -> Result<Self, PingError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let refuse = |error: rustls::Error| PingError(format!("TLS can't be set up: {error}"));
        let verifier = match ca_file {
            None => rustls_platform_verifier::Verifier::new(provider.clone()).map_err(refuse)?,
            Some(path) => {
                let refuse_file = |why: String| PingError(format!("the roots in {} {why}", path.display()));
                let roots = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| refuse_file(format!("can't be read: {error}")))?;
                if roots.is_empty() {
                    return Err(refuse_file("are none: the file holds no PEM certificate".to_owned()));
                }
                rustls_platform_verifier::Verifier::new_with_extra_roots(roots, provider.clone()).map_err(refuse)?
            }
        };
        Ok(Self { verifier: Arc::new(verifier), provider, clock })
    }

    /// A connection beside the steps.
    pub(super) async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<TlsStream<Kept>> {
        self.handshake(host, tcp, &Shown::default()).await
    }

    async fn handshake(&self, host: &str, tcp: TcpStream, shown: &Shown) -> io::Result<TlsStream<Kept>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let verifier = Recorder { inner: self.verifier.clone(), shown: shown.clone() };
        let config = ClientConfig::builder_with_details(self.provider.clone(), Arc::new(Time(self.clock.clone())))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config)).connect(name, Kept { inner: tcp, start: shown.start.clone() }).await
    }
}

/// The time by which certificates are judged.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl rustls::time_provider::TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.wall().duration_since(UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

/// What the other side showed, whatever became of the handshake.
#[derive(Debug, Clone, Default)]
struct Shown {
    chain: Arc<Mutex<Vec<CertificateDer<'static>>>>,
    start: Arc<Mutex<Vec<u8>>>,
}

impl Shown {
    fn start(&self) -> Vec<u8> {
        self.start.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn facts(&self, now: i64, host: &str) -> Option<TlsFacts> {
        let chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let leaf = chain.first()?;
        let mut facts = TlsFacts::read(leaf, chain.len(), now)?;
        let parsed = rustls::server::ParsedCertificate::try_from(leaf).ok();
        let name = ServerName::try_from(host).ok();
        facts.name_matches =
            parsed.zip(name).is_some_and(|(leaf, name)| rustls::client::verify_server_name(&leaf, &name).is_ok());
        Some(facts)
    }
}

/// Verifies as `inner` does, and keeps the chain.
#[derive(Debug)]
struct Recorder {
    inner: Arc<dyn ServerCertVerifier>,
    shown: Shown,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        *self.shown.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A connection that keeps the start of what it reads.
#[derive(Debug)]
pub(super) struct Kept {
    inner: TcpStream,
    start: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Kept {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buf);
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT_BYTES.saturating_sub(start.len());
        start.extend(buf.filled().iter().skip(before).take(room));
        drop(start);
        polled
    }
}

impl AsyncWrite for Kept {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// The TLS step, over a connection that stands.
pub(super) async fn step(
    trail: &mut Trail<'_>,
    trust: &Trust,
    route: &Route,
    tcp: TcpStream,
) -> Result<TlsStream<Kept>, Stopped> {
    let host = route.bare_host();
    let shown = Shown::default();
    let measured = trail.measure(trust.handshake(host, tcp, &shown)).await;
    let mut facts = shown.facts(trail.clock.unix_seconds(), host);
    match measured.result {
        Some(Ok(stream)) => {
            if let Some(facts) = &mut facts {
                facts.version = stream.get_ref().1.protocol_version().map(version);
                facts.trusted = true;
            }
            let soon = facts.as_ref().filter(|facts| facts.days_left < SOON_DAYS).map(|facts| {
                Problem::new(
                    format!("the certificate expires in {} days, {}", facts.days_left, date(facts.not_after)),
                    format!("at least {SOON_DAYS} days"),
                    "renew it, and see why it was not renewed by itself",
                )
            });
            let taken = match soon {
                Some(problem) => trail.warn(Step::Tls, measured.elapsed, problem),
                None => trail.ok(Step::Tls, measured.elapsed, facts.as_ref().map(summary).unwrap_or_default()),
            };
            taken.tls = facts;
            Ok(stream)
        }
        result => {
            let error = result.and_then(Result::err);
            let problem = explain(trail, route, error.as_ref(), facts.as_ref(), &shown.start()).await;
            let stopped = trail.fail(Step::Tls, measured.elapsed, problem);
            if let Some(last) = trail.taken.last_mut() {
                last.tls = facts;
            }
            Err(stopped)
        }
    }
}

fn version(version: rustls::ProtocolVersion) -> String {
    format!("{version:?}").replace('v', " ").replace('_', ".")
}

fn summary(facts: &TlsFacts) -> String {
    let version = facts.version.as_deref().unwrap_or("TLS");
    format!("{version}; for {}; issued by {}; {} days left", facts.names.join(", "), facts.issuer, facts.days_left)
}

/// Why the handshake failed; `error` is none where it took too long.
async fn explain(
    trail: &Trail<'_>,
    route: &Route,
    error: Option<&io::Error>,
    facts: Option<&TlsFacts>,
    start: &[u8],
) -> Problem {
    const EXPECTED: &str = "a TLS handshake";
    const PLAIN_FIX: &str = "use the URL without TLS (form:// in place of form+https://, http://, nats://), or the port where TLS is spoken";
    let rustls = error.and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>());
    if let (Some(rustls::Error::InvalidCertificate(why)), Some(facts)) = (rustls, facts) {
        return certificate_problem(why, facts, route.bare_host());
    }
    if start.starts_with(b"HTTP/") {
        return Problem::new("plain HTTP, without TLS", EXPECTED, PLAIN_FIX);
    }
    if !start.is_empty() && !is_tls(start) {
        let found = format!("something that is no TLS: {}", http::foreign(start));
        return Problem::new(found, EXPECTED, "another program listens there: check host and port");
    }
    if start.is_empty() && speaks_plain_http(trail, route.address).await {
        return Problem::new("plain HTTP, without TLS", EXPECTED, PLAIN_FIX);
    }
    match (rustls, error) {
        (Some(rustls::Error::AlertReceived(alert)), _) => Problem::new(
            format!("the server ended the handshake with the alert {alert:?}"),
            EXPECTED,
            "see the server's log: it wants another version of TLS, another name (SNI), or a client certificate",
        ),
        (Some(other), _) => {
            Problem::new(other.to_string(), "a handshake of TLS 1.2 or 1.3", "update or set up TLS on the server")
        }
        (None, Some(error)) => Problem::new(
            format!("the connection ended in the handshake: {error}"),
            EXPECTED,
            "check that TLS is spoken on this port; see the server's log",
        ),
        (None, None) => Problem::new(
            format!("the connection was accepted, and no answer to the handshake came within {}", trail.limit()),
            EXPECTED,
            "the service hangs, or something else listens there: check it, and the port",
        ),
    }
}

fn certificate_problem(why: &CertificateError, facts: &TlsFacts, host: &str) -> Problem {
    use CertificateError as E;
    let expected = format!("a certificate for {host} that is trusted and in time");
    let whose = format!("for {}, issued by {}", facts.names.join(", "), facts.issuer);
    match why {
        E::Expired | E::ExpiredContext { .. } => Problem::new(
            format!("the certificate expired {} days ago, {} ({whose})", -facts.days_left, date(facts.not_after)),
            expected,
            "renew the certificate on the server; if the date above lies ahead, set this machine's clock",
        ),
        E::NotValidYet | E::NotValidYetContext { .. } => Problem::new(
            format!("the certificate is not valid before {} ({whose})", date(facts.not_before)),
            expected,
            "check this machine's clock first, then the certificate",
        ),
        E::NotValidForName | E::NotValidForNameContext { .. } => Problem::new(
            format!("the certificate is made out to {}, not to {host}", facts.names.join(", ")),
            expected,
            "use one of these names in the destination URL, or have the certificate made out to this one as well",
        ),
        E::UnknownIssuer => Problem::new(
            if facts.is_self_signed() {
                format!("the certificate is untrusted: it is self-signed ({whose})")
            } else {
                format!("the certificate is untrusted: its issuer is unknown here ({whose})")
            },
            expected,
            "add the issuer's certificate to the system's roots, or name a file that holds it in SSL_CERT_FILE; if the server leaves out intermediate certificates, add them there",
        ),
        E::Revoked => {
            Problem::new(format!("the certificate is revoked ({whose})"), expected, "have another one issued")
        }
        other => Problem::new(
            format!("the certificate is untrusted: {} ({whose})", rustls::Error::InvalidCertificate(other.clone())),
            expected,
            "have a proper one issued: for a server, signed by an authority",
        ),
    }
}

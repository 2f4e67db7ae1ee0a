//! Who is trusted, and what was shown: a handshake that keeps the certificate even where it refuses it.

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::UNIX_EPOCH;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::PingError;
use super::certificate::TlsFacts;
use crate::clock::Clock;
use crate::limited_read::{MAX_CERTIFICATES_BYTES, read_limited};
use crate::transport::ClientCertificate;
use crate::transport::tls::Identity;

/// So much of the first reply is kept, to say what spoke in place of TLS.
const KEPT_BYTES: usize = 256;

/// Who is trusted: the system's roots, or those of a file in their place, as when events are delivered.
#[derive(Clone)]
pub(super) struct Trust {
    verifier: Arc<dyn ServerCertVerifier>,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn Clock>,
    /// Who we are, where a server asks.
    identity: Option<Arc<Identity>>,
    /// A server has asked who we are.
    asked: Arc<AtomicBool>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

impl Trust {
    pub(super) fn new(
        ca_file: Option<&Path>,
        certificate: Option<&ClientCertificate>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PingError> {
        let identity = certificate.map(Identity::read).transpose().map_err(PingError)?.map(Arc::new);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let refuse = |error: rustls::Error| PingError(format!("TLS can't be set up: {error}"));
        let verifier: Arc<dyn ServerCertVerifier> = match ca_file {
            None => Arc::new(rustls_platform_verifier::Verifier::new(provider.clone()).map_err(refuse)?),
            Some(path) => {
                let refuse_file = |why: String| PingError(format!("the roots in {} {why}", path.display()));
                let text = read_limited(path, MAX_CERTIFICATES_BYTES)
                    .map_err(|error| refuse_file(format!("can't be read: {error}")))?;
                let certificates = CertificateDer::pem_slice_iter(&text)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| refuse_file(format!("can't be read: {error}")))?;
                if certificates.is_empty() {
                    return Err(refuse_file("are none: the file holds no PEM certificate".to_owned()));
                }
                let mut roots = RootCertStore::empty();
                for certificate in certificates {
                    roots.add(certificate).map_err(|error| refuse_file(format!("can't be used: {error}")))?;
                }
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build()
                    .map_err(|error| refuse_file(format!("can't be used: {error}")))?
            }
        };
        Ok(Self { verifier, provider, clock, identity, asked: Arc::default() })
    }

    /// A server has asked for a certificate of the client, and there is none.
    pub(super) fn lacks_certificate(&self) -> bool {
        self.identity.is_none() && self.was_asked()
    }

    /// A server has asked for a certificate of the client.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// A connection beside the steps.
    pub(super) async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<TlsStream<Kept>> {
        self.handshake(host, tcp, &Shown::default()).await
    }

    /// A handshake that leaves in `shown` what came, however it ends.
    pub(super) async fn handshake(&self, host: &str, tcp: TcpStream, shown: &Shown) -> io::Result<TlsStream<Kept>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let verifier = Recorder { inner: self.verifier.clone(), shown: shown.clone() };
        let config = ClientConfig::builder_with_details(self.provider.clone(), Arc::new(Time(self.clock.clone())))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(Asked { identity: self.identity.clone(), asked: self.asked.clone() }));
        TlsConnector::from(Arc::new(config)).connect(name, Kept { inner: tcp, start: shown.start.clone() }).await
    }
}

/// Shows our certificate, if we have one, and remembers that a server asked.
#[derive(Debug)]
struct Asked {
    identity: Option<Arc<Identity>>,
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.identity.as_ref()?.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        true
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
pub(super) struct Shown {
    chain: Arc<Mutex<Vec<CertificateDer<'static>>>>,
    start: Arc<Mutex<Vec<u8>>>,
}

impl Shown {
    /// The first bytes that came.
    pub(super) fn start(&self) -> Vec<u8> {
        self.start.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the certificate says, if one came; trusted or not is the caller's to say.
    pub(super) fn facts(&self, now: i64, host: &str) -> Option<TlsFacts> {
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

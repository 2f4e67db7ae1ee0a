//! TLS: rustls with ring, the system's roots or a file's, and who we are.

mod identity;

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

pub(crate) use self::identity::Identity;
use super::{ClientCertificate, Failure};
use crate::limited_read::{MAX_CERTIFICATES_BYTES, read_limited};

/// Whom to trust.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Roots<'a> {
    /// Nobody: TLS is not spoken there. (Reading the system's roots takes milliseconds.)
    None,
    /// The authorities that this system trusts.
    System,
    /// Those in a PEM file, and no others.
    File(&'a Path),
}

/// A client's settings.
///
/// # Errors
/// A failure of the destination: roots or a certificate of ours that can't be read.
pub(crate) fn client_config(
    roots: Roots<'_>,
    certificate: Option<&ClientCertificate>,
) -> Result<ClientConfig, Failure> {
    let refuse = |error: rustls::Error| Failure::destination(format!("TLS can't be set up: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(refuse)?;
    let builder = match roots {
        Roots::None => return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()),
        Roots::System => builder.with_platform_verifier().map_err(refuse)?,
        Roots::File(path) => builder.with_root_certificates(read(path)?),
    };
    Ok(match certificate {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let identity = Identity::read(files).map_err(Failure::destination)?;
            builder.with_client_cert_resolver(Arc::new(identity))
        }
    })
}

/// What to do where a server ended the handshake, if that is about the certificate of the client.
pub(crate) fn client_certificate_advice(error: &rustls::Error) -> Option<&'static str> {
    use AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else { return None };
    match alert {
        Alert::CertificateRequired => Some(
            "the server demands a certificate of the client: name one that it trusts with --client-cert, and its key with --client-key",
        ),
        Alert::CertificateExpired => {
            Some("the server finds the certificate of --client-cert expired: renew it, and compare the clocks")
        }
        Alert::CertificateRevoked => Some("the certificate of --client-cert is revoked: have another one issued"),
        Alert::UnknownCA => Some(
            "the server does not know who issued the certificate of --client-cert: have one issued by an authority that it trusts, or put the intermediate authorities into that file",
        ),
        // What servers in Go say where none came, with TLS 1.2.
        Alert::BadCertificate | Alert::UnsupportedCertificate | Alert::CertificateUnknown | Alert::AccessDenied => {
            Some(
                "the server wants another certificate of the client, or any: check --client-cert and --client-key, and whom the server trusts",
            )
        }
        _ => None,
    }
}

fn read(path: &Path) -> Result<RootCertStore, Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::destination(format!("no certificates can be read from {}: {why}; it must hold PEM", path.display()))
    };
    let mut roots = RootCertStore::empty();
    let text = read_limited(path, MAX_CERTIFICATES_BYTES).map_err(|error| refuse(&error))?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| refuse(&error))?;
        roots.add(certificate).map_err(|error| refuse(&error))?;
    }
    if roots.is_empty() {
        return Err(refuse(&"there are none in it"));
    }
    Ok(roots)
}

//! TLS: rustls with ring, and the system's roots or a file's.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::Failure;

/// Whom to trust.
#[derive(Debug, Clone, Copy)]
pub(super) enum Roots<'a> {
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
/// A failure of the destination: roots that can't be read.
pub(super) fn client_config(roots: Roots<'_>) -> Result<ClientConfig, Failure> {
    let refuse = |error: rustls::Error| Failure::destination(format!("TLS can't be set up: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(refuse)?;
    Ok(match roots {
        Roots::None => builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
        Roots::System => builder.with_platform_verifier().map_err(refuse)?.with_no_client_auth(),
        Roots::File(path) => builder.with_root_certificates(read(path)?).with_no_client_auth(),
    })
}

fn read(path: &Path) -> Result<RootCertStore, Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::destination(format!("no certificates can be read from {}: {why}; it must hold PEM", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refuse(&error))? {
        let certificate = certificate.map_err(|error| refuse(&error))?;
        roots.add(certificate).map_err(|error| refuse(&error))?;
    }
    if roots.is_empty() {
        return Err(refuse(&"there are none in it"));
    }
    Ok(roots)
}

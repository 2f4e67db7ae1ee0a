//! Who we are over TLS: a certificate with its key, for servers that demand one.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureScheme};

use crate::limited_read::{MAX_CERTIFICATES_BYTES, read_limited};
use crate::transport::ClientCertificate;

/// A certificate with its key. Its files are read anew when they change, so that one that is renewed every few hours
/// needs no restart; while they can't be used, the certificate that was read before stays.
pub(crate) struct Identity {
    files: ClientCertificate,
    provider: Arc<CryptoProvider>,
    held: Mutex<Held>,
}

struct Held {
    key: Arc<CertifiedKey>,
    /// What the files looked like when they were last read.
    seen: [Option<Look>; 2],
}

/// When a file was changed last, and how long it is.
type Look = (SystemTime, u64);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which of them, and what to do; never their content.
    pub(crate) fn read(files: &ClientCertificate) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let seen = looks(files);
        let key = Arc::new(certified(files, &provider)?);
        Ok(Self { files: files.clone(), provider, held: Mutex::new(Held { key, seen }) })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = looks(&self.files);
        if seen != held.seen {
            held.seen = seen;
            match certified(&self.files, &self.provider) {
                Ok(key) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "the client certificate was read anew");
                    held.key = Arc::new(key);
                }
                Err(error) => {
                    tracing::warn!(error, "the client certificate changed and can't be used; the one before stays")
                }
            }
        }
        held.key.clone()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _root_hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = self.current();
        key.key.choose_scheme(schemes).is_some().then_some(key)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn looks(files: &ClientCertificate) -> [Option<Look>; 2] {
    [&files.certificate, &files.key].map(|path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn certified(files: &ClientCertificate, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let chain = chain(&files.certificate)?;
    let secret = secret(&files.key)?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            format!("the key in {key} does not belong to the certificate in {certificate}; name the two that were made together")
        }
        rustls::Error::InvalidCertificate(_) => {
            format!("the client certificate in {certificate} can't be used: {error}; have it issued anew")
        }
        _ => format!("the key in {key} can't be used: {error}; it must be RSA, ECDSA (P-256, P-384) or Ed25519"),
    })
}

fn text(what: &str, option: &str, path: &Path) -> Result<Vec<u8>, String> {
    read_limited(path, MAX_CERTIFICATES_BYTES).map_err(|error| {
        format!("the {what} {} can't be read: {error}; check {option}, and who may read it", path.display())
    })
}

/// The certificate, and those behind it.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = text("client certificate", "--client-cert", path)?;
    let refuse = |why: &str| Err(format!("the client certificate {} {why}", path.display()));
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) if text.first() == Some(&0x30) => {
            refuse("is DER, and PEM is expected; turn it into PEM: openssl x509 -inform der -in FILE -out FILE.pem")
        }
        Ok(_) => refuse("holds no certificate; it must hold PEM, -----BEGIN CERTIFICATE----- and so on"),
        // Without the cause, which may quote the file: it may be the key.
        Err(_) => refuse("is broken: it is no whole PEM"),
    }
}

fn secret(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = text("client key", "--client-key", path)?;
    let refuse = |why: &str| Err(format!("the client key {} {why}", path.display()));
    let holds = |words: &str| memchr::memmem::find(&text, words.as_bytes()).is_some();
    if holds("BEGIN ENCRYPTED PRIVATE KEY") || holds("Proc-Type: 4,ENCRYPTED") {
        return refuse(
            "is encrypted, and nobody is there to enter its passphrase; decrypt it into a file that only the publisher's user may read: openssl pkey -in FILE -out FILE.plain",
        );
    }
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if text.first() == Some(&0x30) => {
            refuse("is DER, and PEM is expected; turn it into PEM: openssl pkey -inform der -in FILE -out FILE.pem")
        }
        Err(pem::Error::NoItemsFound) => refuse("holds no private key; it must hold PEM: PKCS #8, PKCS #1 or SEC1"),
        Err(_) => refuse("is broken: it is no whole PEM"),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A certificate and its key, as PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["meter".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn files(folder: &Path, certificate: &str, key: &str) -> ClientCertificate {
        let files = ClientCertificate { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    #[test]
    fn both_may_stand_in_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pair();
        let path = files(folder.path(), &(certificate + &key), "").certificate;
        Identity::read(&ClientCertificate { certificate: path.clone(), key: path }).unwrap();
    }

    #[test]
    fn each_fault_names_its_file_and_not_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let ((certificate, key), (other, _)) = (pair(), pair());
        let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nhush\n-----END RSA PRIVATE KEY-----\n";
        for (certificate, key, file, words) in [
            ("hush", &*key, "cert.pem", "holds no certificate"),
            ("0\u{82}hush", &key, "cert.pem", "DER"),
            (&key, &key, "cert.pem", "holds no certificate"),
            (&certificate[..80], &key, "cert.pem", "no whole PEM"),
            (&certificate, "hush", "key.pem", "holds no private key"),
            (&certificate, &certificate, "key.pem", "holds no private key"),
            (&certificate, &encrypted, "key.pem", "openssl pkey"),
            (&certificate, legacy, "key.pem", "is encrypted"),
            (&certificate, &key[..80], "key.pem", "no whole PEM"),
            (&other, &key, "key.pem", "does not belong to the certificate in"),
        ] {
            let files = files(folder.path(), certificate, key);
            let error = Identity::read(&files).unwrap_err();
            assert!(error.contains(words) && error.contains(file), "{words}: {error}");
            let hidden =
                [key, certificate].iter().any(|text| text.lines().nth(1).is_some_and(|line| error.contains(line)));
            assert!(!hidden && !error.contains("hush"), "{error}");
        }
        let files = files(folder.path(), &certificate, &key);
        std::fs::remove_file(&files.key).unwrap();
        let error = Identity::read(&files).unwrap_err();
        assert!(error.contains("key.pem can't be read: No such file") && error.contains("--client-key"), "{error}");
    }

    #[test]
    fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let ((first, first_key), (second, second_key)) = (pair(), pair());
        let identity = Identity::read(&files(folder.path(), &first, &first_key)).unwrap();
        let shown = || identity.current().cert[0].to_vec();
        let before = shown();
        // Another length, since two writes may fall into one tick of the file system's clock.
        files(folder.path(), &(second + "\n\n"), &(second_key + "\n\n"));
        let after = shown();
        assert_ne!(before, after);
        files(folder.path(), "", &first_key);
        assert_eq!(shown(), after);
    }
}

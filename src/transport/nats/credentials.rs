//! A NATS credentials file: a JWT that says who a user is, and the seed of the key that proves it.
//!
//! The format is that of `nsc generate creds`: two blocks between lines of dashes. The JWT's payload is JSON with `sub`
//! (the user's public key) and `exp` (Unix seconds; absent where it never ends).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::Value;

use crate::limited_read::{MAX_SECRET_BYTES, read_limited_text};
use crate::units::rfc3339;

/// Credentials of a user, as a file holds them.
pub(crate) struct UserCredentials {
    /// The whole file.
    #[cfg_attr(not(feature = "nats"), expect(dead_code, reason = "the client of NATS reads it"))]
    pub(crate) text: String,
    #[cfg_attr(not(feature = "ping"), expect(dead_code, reason = "ping sends it itself"))]
    pub(crate) jwt: String,
    #[cfg_attr(not(feature = "ping"), expect(dead_code, reason = "ping signs by itself"))]
    key: KeyPair,
    expires_at: Option<i64>,
}

impl std::fmt::Debug for UserCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl UserCredentials {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, and what to do; never its content.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let refuse = |why: &str| {
            format!(
                "the credentials file {} {why}; it must be one that nsc wrote (nsc generate creds), with a JWT and a seed",
                path.display()
            )
        };
        let text =
            read_limited_text(path, MAX_SECRET_BYTES).map_err(|error| refuse(&format!("can't be read ({error})")))?;
        let block = |name: &str| block(&text, name).map(str::to_owned);
        let (jwt, seed) = match (block("NATS USER JWT"), block("USER NKEY SEED")) {
            (Some(jwt), Some(seed)) => (jwt, seed),
            (Some(_), None) => return Err(refuse("holds a JWT and no seed")),
            (None, Some(_)) => return Err(refuse("holds a seed and no JWT")),
            (None, None) => return Err(refuse("holds no credentials")),
        };
        // Errors of the key may quote the seed.
        let key = KeyPair::from_seed(&seed).map_err(|_| refuse("holds a seed that is damaged"))?;
        let claims = claims(&jwt).ok_or_else(|| refuse("holds a JWT that is damaged"))?;
        if claims["sub"].as_str().is_some_and(|user| user != key.public_key()) {
            return Err(refuse("holds a JWT and a seed of different users"));
        }
        let expires_at = claims["exp"].as_i64().filter(|at| *at > 0);
        Ok(Self { text, jwt, key, expires_at })
    }

    /// The proof that the key is ours: `nonce` signed, as `CONNECT` takes it.
    #[cfg(feature = "ping")]
    pub(crate) fn sign(&self, nonce: &str) -> Option<String> {
        self.key.sign(nonce.as_bytes()).ok().map(|signature| URL_SAFE_NO_PAD.encode(signature))
    }

    /// Why a server may have refused them, and what to do; `now` is in Unix seconds.
    pub(crate) fn advice(&self, path: &Path, now: i64) -> String {
        let file = path.display();
        match self.expires_at {
            Some(at) if at <= now => format!(
                "the credentials in {file} expired at {}; have new ones made (nsc generate creds), and if that time lies ahead, set this machine's clock",
                rfc3339(at).unwrap_or_else(|| at.to_string())
            ),
            _ => format!(
                "the credentials in {file} are not accepted: check that the server knows their account (nsc push), and that the user was not revoked or made anew"
            ),
        }
    }
}

/// What stands between the lines `-----BEGIN NAME-----` and `------END NAME------`, whatever the number of dashes.
fn block<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let bare = |line: &str| line.trim().trim_matches('-').to_owned();
    let mut lines = text.lines().skip_while(|line| bare(line) != format!("BEGIN {name}")).skip(1);
    lines.find(|line| !line.trim().is_empty()).map(str::trim).filter(|line| !line.starts_with('-'))
}

/// A JWT's payload. The server checks its signature.
fn claims(jwt: &str) -> Option<Value> {
    let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(jwt: &str, seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n***\n"
        )
    }

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn read(text: &str) -> Result<UserCredentials, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        UserCredentials::read(file.path())
    }

    #[test]
    fn a_file_is_read_and_an_end_is_known() {
        let key = KeyPair::new_user();
        let text =
            file(&jwt(&serde_json::json!({"sub": key.public_key(), "exp": 1_600_000_000})), &key.seed().unwrap());
        let found = read(&text).unwrap();
        assert_eq!(format!("{found:?}"), "(secret)");
        let advice = |now| found.advice(Path::new("/etc/meter.creds"), now);
        assert!(advice(1_600_000_000).contains("/etc/meter.creds expired at 2020-09-13T12:26:40Z"));
        assert!(advice(1_599_999_999).contains("/etc/meter.creds are not accepted"));
        // Some editors leave other ends of lines.
        read(&text.replace('\n', "\r\n")).unwrap();
    }

    #[test]
    fn faults_are_told_apart_and_nothing_is_quoted() {
        let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
        let (seed, good) = (key.seed().unwrap(), jwt(&serde_json::json!({"sub": key.public_key()})));
        let foreign = jwt(&serde_json::json!({"sub": other.public_key()}));
        for (text, words) in [
            (String::new(), "holds no credentials"),
            (file("", ""), "holds no credentials"),
            (file(&good, ""), "no seed"),
            (file("", &seed), "no JWT"),
            (file(&good, &seed[..40]), "a seed that is damaged"),
            (file("hush.hush", &seed), "a JWT that is damaged"),
            (file(&foreign, &seed), "different users"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(words) && error.contains("nsc generate creds"), "{words}: {error}");
            assert!(!error.contains(&seed[..10]) && !error.contains("hush"), "{error}");
        }
    }
}

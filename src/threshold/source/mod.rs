//! Where thresholds come from.
//!
//! | source | is |
//! | --- | --- |
//! | `PATH` | a file with one threshold or an array of them, or a folder whose `*.json` files hold them |
//! | `http://…`, `https://…` | the same text from a server; what it calls unchanged (`ETag`, `Last-Modified`) is not read again |
//! | `sqlite:PATH` | a store with a history, see [`ThresholdStore`](super::ThresholdStore) |
//! | `nats://HOST[:4222][,HOST…]/BUCKET`, `tls://…` | a NATS key-value bucket, each value a threshold or an array of them |
//!
//! Loading says what is wrong everywhere in the source, not only the first fault, and counts what is too much to say. A [`ThresholdReader`] remembers
//! what it saw, so that asking again costs little while nothing changes.

mod http;
#[cfg(feature = "nats")]
mod nats;
mod path;
mod reader;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};

pub use reader::ThresholdReader;

use super::config::ThresholdConfig;
use crate::transport::{Destination, NatsAddress};

/// The most that one text of thresholds may hold, in bytes: 64 MiB, room for some 300,000 thresholds.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// Addresses that nothing is read from, rather than taken for the name of a file.
const OTHER_SCHEMES: &[&str] = &["kv:", "s3:", "ftp:", "file:", "form:", "redis:"];

/// A place that thresholds are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThresholdSource {
    /// A file or a folder.
    Path(PathBuf),
    /// A server that gives them over HTTP: the whole URL, without user and password.
    Http(String),
    /// A store of our own.
    Sqlite(PathBuf),
    /// A key-value bucket, which is the address's subject.
    Nats(NatsAddress),
}

/// What a source holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loaded {
    /// The thresholds, in the order in which they were read.
    pub configs: Vec<ThresholdConfig>,
    /// What is valid and probably not meant, with file, line and column: one message for each of the first, and one with the
    /// number of the others.
    pub warnings: Vec<String>,
}

/// What keeps a source from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    problems: Vec<String>,
    left_out: u64,
}

impl SourceError {
    pub(super) fn one(problem: String) -> Self {
        Self { problems: vec![problem], left_out: 0 }
    }

    /// One message for each of the first faults; those in a text begin with `NAME:LINE:COLUMN:`.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// How many faults have no message.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))?;
        if self.left_out > 0 { write!(f, "\nand {} more faults, not named here", self.left_out) } else { Ok(()) }
    }
}

impl std::error::Error for SourceError {}

impl ThresholdSource {
    /// The source that `text` names.
    ///
    /// # Errors
    /// When it is empty, an address of a kind that is not supported, or holds a password.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if text.is_empty() {
            return Err(SourceError::one(
                "no threshold source is named; give a JSON file, a folder of *.json files, http(s)://…, sqlite:PATH or nats://HOST/BUCKET".to_owned(),
            ));
        }
        let lower = text.to_ascii_lowercase();
        let is = |schemes: &[&str]| schemes.iter().any(|scheme| lower.starts_with(scheme));
        if is(&["http://", "https://"]) {
            return http_source(text);
        }
        if is(&["nats://", "tls://"]) {
            return nats_source(text);
        }
        if let Some(path) = lower.strip_prefix("sqlite:").map(|path| &text[text.len() - path.len()..]) {
            if path.is_empty() || path.starts_with("//") {
                return Err(SourceError::one(format!("`{}` names no file; write sqlite:PATH", without_password(text))));
            }
            return Ok(Self::Sqlite(path.into()));
        }
        let other = is(OTHER_SCHEMES) || is(&["http:", "https:", "nats:", "tls:"]);
        if other && !Path::new(text).exists() {
            return Err(SourceError::one(format!(
                "thresholds can't be read from `{}`: supported are a JSON file, a folder of *.json files, http(s)://HOST/PATH, sqlite:PATH and nats://HOST/BUCKET",
                without_password(text)
            )));
        }
        Ok(Self::Path(text.into()))
    }
}

impl fmt::Display for ThresholdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            // What follows a ? may be a key.
            Self::Http(url) => f.write_str(url.split(['?', '#']).next().unwrap_or_default()),
            Self::Nats(address) => address.fmt(f),
        }
    }
}

/// The thresholds in `text`, which people know by `name`: one, or an array of them.
///
/// # Errors
/// With the faults of the text: `NAME:LINE:COLUMN: …`.
pub fn parse_thresholds(name: &str, text: &[u8]) -> Result<Loaded, SourceError> {
    let mut texts = text::Texts::default();
    texts.add(name, text);
    texts.finish()
}

fn http_source(text: &str) -> Result<ThresholdSource, SourceError> {
    let refuse = |why: &str| {
        let shown = without_password(text);
        SourceError::one(format!("`{shown}` {why}; write https://HOST/PATH"))
    };
    let url = url::Url::parse(text).map_err(|error| refuse(&format!("can't be read ({error})")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "holds a user or a password, which would show in the process list: put a token into FORMUSAGE_THRESHOLDS_TOKEN or a file (--thresholds-token-file)",
        ));
    }
    Ok(ThresholdSource::Http(url.into()))
}

fn nats_source(text: &str) -> Result<ThresholdSource, SourceError> {
    let refuse = |why: &str| SourceError::one(format!("the threshold source {why}; write nats://HOST[:4222]/BUCKET"));
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    if rest.split_once('/').is_none_or(|(_, bucket)| bucket.is_empty()) && !rest.contains('@') {
        return Err(refuse("names no bucket"));
    }
    match text.parse() {
        Ok(Destination::Nats(address)) if address.stream.is_some() => {
            Err(refuse("has a parameter, and a bucket takes none"))
        }
        Ok(Destination::Nats(address)) => {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if address.subject.chars().all(fits) {
                Ok(ThresholdSource::Nats(address))
            } else {
                Err(refuse(&format!("has the bucket {:?}, which no bucket can be called", address.subject)))
            }
        }
        Ok(_) => Err(refuse("is no NATS address")),
        Err(error) => Err(SourceError::one(error.to_string())),
    }
}

/// The address without what stands between its scheme and `@`, and without what follows a `?`.
fn without_password(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.find(':'), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}…{}", &text[..=scheme], &text[at..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_by_their_names() {
        let parse = |text| ThresholdSource::parse(text).unwrap();
        assert_eq!(parse("t.json"), ThresholdSource::Path("t.json".into()));
        assert_eq!(parse("SQLite:/x/T.db"), ThresholdSource::Sqlite("/x/T.db".into()));
        assert_eq!(parse("https://h/t.json?key=hush").to_string(), "https://h/t.json");
        assert_eq!(parse("nats://h,i:1/limits").to_string(), "nats://h:4222,i:1/limits");
    }

    #[test]
    fn what_can_not_be_a_source_is_refused_without_its_password() {
        for (address, expected) in [
            ("", "no threshold source"),
            ("https://ops:secret@h/t.json", "FORMUSAGE_THRESHOLDS_TOKEN"),
            ("https:/ops:secret@h/t.json", "supported are"),
            ("s3://bucket/t.json?key=secret", "supported are"),
            ("sqlite:", "names no file"),
            ("sqlite://ops:secret@h/x", "names no file"),
            ("nats://h", "names no bucket"),
            ("nats://h/", "names no bucket"),
            ("nats://ops:secret@h/b", "FORMUSAGE_NATS_USER"),
            ("nats://h/a.b", "no bucket can be called"),
            ("nats://h/b?stream=X", "takes none"),
        ] {
            let error = ThresholdSource::parse(address).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{address}: {error}");
        }
    }
}

//! Destination URLs.

mod nats;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

use super::HttpAddress;
use crate::events::EventId;
pub use nats::{NatsAddress, NatsServer};

/// The URL schemes that this version speaks, for messages.
const SCHEMES: &str = "form://HOST[:3003]/TOPIC, form+https://HOST/TOPIC, nats://HOST[:4222]/SUBJECT, tls://HOST/SUBJECT, https://HOST/PATH, http://HOST/PATH, sqlite:PATH, file:PATH or -";

/// Where events go to or come from, as one URL says.
///
/// ```
/// use form_usage_events::transport::Destination;
///
/// let queue: Destination = "form://queue.example/usage_events".parse()?;
/// assert_eq!(queue.to_string(), "form://queue.example:3003/usage_events?sub_topic=0");
/// # Ok::<(), form_usage_events::transport::DestinationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Destination {
    /// `form://HOST[:3003]/TOPIC?sub_topic=N`, `form+https://…`: the Form queue.
    Form(FormAddress),
    /// `https://HOST/PATH`, `http://…`: CloudEvents over HTTP. Nothing can be read back from there.
    Http(HttpAddress),
    /// `sqlite:PATH`: the embedded queue.
    Sqlite(PathBuf),
    /// `nats://HOST[:4222][,HOST…]/SUBJECT?stream=NAME`, `tls://…`: NATS JetStream.
    Nats(NatsAddress),
    /// `file:PATH`: NDJSON, appended.
    File(PathBuf),
    /// `-`: NDJSON on standard output or input.
    Stdio,
}

/// The address of a topic on a Form queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FormAddress {
    /// HTTPS instead of HTTP.
    pub tls: bool,
    /// A host's name or address; an IPv6 address in brackets.
    pub host: String,
    /// 3003 unless given; 443 for `form+https`.
    pub port: u16,
    /// The topic's plain name.
    pub topic: String,
    /// The first byte of each message.
    pub sub_topic: u8,
}

impl FormAddress {
    /// The port of a Form queue unless given.
    pub const DEFAULT_PORT: u16 = 3003;
    /// The topic of usage events.
    pub const DEFAULT_TOPIC: &'static str = "usage_events";

    /// `http://HOST:PORT` or `https://…`, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

impl Default for FormAddress {
    /// `form://127.0.0.1:3003/usage_events?sub_topic=0`.
    fn default() -> Self {
        Self {
            tls: false,
            host: "127.0.0.1".to_owned(),
            port: Self::DEFAULT_PORT,
            topic: Self::DEFAULT_TOPIC.to_owned(),
            sub_topic: 0,
        }
    }
}

impl fmt::Display for FormAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "form+https" } else { "form" };
        let topic = percent_encoded(&self.topic);
        write!(f, "{scheme}://{}:{}/{topic}?sub_topic={}", self.host, self.port, self.sub_topic)
    }
}

/// `text` as one segment of a URL's path.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut url = match Url::parse("form://x/") {
        Ok(url) => url,
        Err(_) => return text.to_owned(),
    };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(text);
    }
    url.path().trim_start_matches('/').to_owned()
}

impl Destination {
    /// What a spool knows the destination by: the URL; of an HTTP service with a digest in place of its query, which may
    /// hold a key, so that two that differ in their queries are still told apart.
    #[must_use]
    pub fn spool_key(&self) -> String {
        match self {
            Self::Http(HttpAddress { query: Some(query), .. }) => {
                let digest = EventId::of(query.as_bytes());
                format!("{}?digest={digest}", self.shown())
            }
            other => other.to_string(),
        }
    }

    /// The URL for people and logs: of an HTTP service without its query, which may hold a key.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Http(address) => address.without_query(),
            other => other.to_string(),
        }
    }
}

impl Default for Destination {
    /// The Form queue of this machine: `form://127.0.0.1:3003/usage_events?sub_topic=0`.
    fn default() -> Self {
        Self::Form(FormAddress::default())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(address) => address.fmt(f),
            Self::Http(address) => address.fmt(f),
            Self::Sqlite(path) => write!(f, "sqlite:{}{}", no_host(path), path.display()),
            Self::Nats(address) => address.fmt(f),
            Self::File(path) => write!(f, "file:{}{}", no_host(path), path.display()),
            Self::Stdio => f.write_str("-"),
        }
    }
}

/// Why text is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DestinationError(String);

impl DestinationError {
    pub(super) const fn new(message: String) -> Self {
        Self(message)
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why: String| Err(DestinationError(why));
        if text == "-" {
            return Ok(Self::Stdio);
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return refuse(format!("{text:?} has no scheme; a destination is one of {SCHEMES}"));
        };
        match scheme {
            "form" | "form+https" => parse_form(text, scheme == "form+https").map(Self::Form),
            "http" | "https" => text.parse().map(Self::Http),
            "nats" | "tls" => nats::parse(text, scheme == "tls").map(Self::Nats),
            "sqlite" | "file" => {
                if rest.starts_with("//") && !rest.starts_with("///") {
                    // Without the text itself: it may hold a password.
                    return refuse(format!(
                        "the destination URL names a host, and {scheme}: is a file of this machine; write {scheme}:PATH, or {scheme}:///PATH"
                    ));
                }
                // `file:///path` is the URL form of `file:/path`.
                let path = rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest);
                if path.is_empty() {
                    return refuse(format!("{text:?} names no file; write {scheme}:PATH"));
                }
                let path = PathBuf::from(path);
                Ok(if scheme == "file" { Self::File(path) } else { Self::Sqlite(path) })
            }
            _ => {
                let known = ["form", "form+https", "https", "http", "sqlite", "nats", "tls", "file"];
                let distance = |known: &&str| strsim::osa_distance(known, scheme);
                let near = known.into_iter().min_by_key(distance).filter(|known| distance(known) <= 2);
                let hint = near.map(|known| format!(" (did you mean {known:?}?)")).unwrap_or_default();
                refuse(format!("unknown scheme {scheme:?}{hint}; a destination is one of {SCHEMES}"))
            }
        }
    }
}

fn parse_form(text: &str, tls: bool) -> Result<FormAddress, DestinationError> {
    // Without the text itself: it may hold a password.
    let refuse = |why: String| {
        Err(DestinationError(format!("the destination URL {why}; write form://HOST[:3003]/TOPIC?sub_topic=N")))
    };
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return refuse(format!("can't be read ({error})")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("holds a user or a password, which would show in the process list: put a token into FORMUSAGE_TOKEN or --token-file".to_owned());
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return refuse("names no host".to_owned());
    };
    let topic = match url.path_segments().map(Iterator::collect::<Vec<_>>).as_deref() {
        None | Some([] | [""]) => FormAddress::DEFAULT_TOPIC.to_owned(),
        Some([topic]) if !topic.is_empty() => percent_decoded(topic)?,
        Some(_) => return refuse(format!("has the path {:?} where one topic is expected", url.path())),
    };
    let mut sub_topic = 0;
    for (name, value) in url.query_pairs() {
        if name != "sub_topic" {
            return refuse(format!("has the unknown parameter {name:?}; sub_topic is the only one"));
        }
        sub_topic = match value.parse() {
            Ok(number) => number,
            Err(_) => return refuse(format!("has the sub_topic {value:?}, which is no number from 0 to 255")),
        };
    }
    if url.fragment().is_some() {
        return refuse("has a fragment (#…), which means nothing here".to_owned());
    }
    let default_port = if tls { 443 } else { FormAddress::DEFAULT_PORT };
    Ok(FormAddress { tls, host: host.to_owned(), port: url.port().unwrap_or(default_port), topic, sub_topic })
}

/// What stands in front of a path that would else be taken for the name of a host.
fn no_host(path: &Path) -> &'static str {
    if path.as_os_str().as_encoded_bytes().starts_with(b"//") { "//" } else { "" }
}

fn percent_decoded(text: &str) -> Result<String, DestinationError> {
    // Query decoding is percent decoding once `+` and `&` are taken out of its way.
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .filter(|topic| !topic.contains('\u{fffd}'))
        .ok_or_else(|| DestinationError("the topic in the destination URL is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> FormAddress {
        match text.parse() {
            Ok(Destination::Form(address)) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn defaults_of_the_form_queue() {
        assert_eq!(form("form://127.0.0.1"), FormAddress::default());
        assert_eq!(form("form://127.0.0.1:3003/usage_events?sub_topic=0"), FormAddress::default());
        assert_eq!(Destination::default().to_string(), "form://127.0.0.1:3003/usage_events?sub_topic=0");
        assert_eq!(form("form+https://queue.example/a").base_url(), "https://queue.example:443");
        assert_eq!(form("form://[::1]:53333/a").base_url(), "http://[::1]:53333");
    }

    #[test]
    fn shown_urls_read_back() {
        for text in [
            "form://h:1/a?sub_topic=7",
            "form+https://[::1]:8443/a%20b%2Fc%3F+d?sub_topic=255",
            "sqlite:usage.db",
            "file:/tmp/x y",
            "sqlite:////srv//usage.db",
            "file:////srv/x",
            "-",
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.to_string().parse(), Ok(destination), "{text}");
        }
        assert_eq!(form("form://h/a%20b%2Fc+d&e=f").topic, "a b/c+d&e=f");
    }

    #[test]
    fn a_spool_tells_destinations_apart_and_knows_no_key_of_theirs() {
        let key = |text: &str| text.parse::<Destination>().unwrap().spool_key();
        let (one, other) = (key("https://h/x?key=hunter2"), key("https://h/x?key=hunter3"));
        assert!(one.starts_with("https://h/x?digest=") && !one.contains("hunter2"), "{one}");
        assert!(one != other && one == key("https://h:443/x?key=hunter2"));
        assert_eq!(one.parse::<Destination>().unwrap().shown(), "https://h/x");
        assert_eq!(key("https://h/x"), "https://h/x");
        assert_eq!(key("form://h/a"), "form://h:3003/a?sub_topic=0");
    }

    #[test]
    fn file_urls_and_paths() {
        assert_eq!("file:///var/x".parse(), Ok(Destination::File("/var/x".into())));
        assert_eq!("sqlite:a/b.db".parse(), Ok(Destination::Sqlite("a/b.db".into())));
    }

    #[test]
    fn errors_say_what_to_write_and_hide_passwords() {
        let cases = [
            ("", "has no scheme"),
            ("usage.db", "sqlite:PATH"),
            ("fomr://x/y", "did you mean \"form\"?"),
            ("sqlite:", "names no file"),
            ("sqlite://joe:hunter2@h/x", "sqlite:PATH"),
            ("form://", "names no host"),
            ("form://h/a/b", "one topic is expected"),
            ("form://h/a?sub_topic=256", "0 to 255"),
            ("form://h/a?subtopic=1", "unknown parameter \"subtopic\""),
            ("form://h:99999/a", "invalid port"),
            ("form://joe:hunter2@h/a", "FORMUSAGE_TOKEN"),
        ];
        for (text, expected) in cases {
            let message = text.parse::<Destination>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}

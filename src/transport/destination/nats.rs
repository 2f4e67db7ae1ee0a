//! The address of a JetStream subject: `nats://HOST[:4222][,HOST…]/SUBJECT?stream=NAME`.

use std::fmt;

use url::Url;

use super::{DestinationError, percent_decoded, percent_encoded};

/// A subject on a NATS cluster, and the stream that keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NatsAddress {
    /// `tls://`: TLS whether the server asks for it or not. With `nats://` the server decides.
    pub tls: bool,
    /// Servers to begin with, at least one; one that answers tells of the others.
    pub servers: Vec<NatsServer>,
    /// The subject that events are published to; `usage_events` unless given.
    pub subject: String,
    /// The stream's name. Without it, the stream is the one that keeps the subject.
    pub stream: Option<String>,
}

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NatsServer {
    /// A host's name or address; an IPv6 address in brackets.
    pub host: String,
    /// 4222 unless given.
    pub port: u16,
}

impl NatsAddress {
    /// The port of a NATS server unless given.
    pub const DEFAULT_PORT: u16 = 4222;
    /// The subject of usage events.
    pub const DEFAULT_SUBJECT: &'static str = "usage_events";

    /// The scheme and the servers, without subject and stream.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.tls { "tls" } else { "nats" };
        let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        format!("{scheme}://{}", servers.join(","))
    }
}

impl fmt::Display for NatsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for NatsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base_url(), percent_encoded(&self.subject))?;
        match &self.stream {
            Some(stream) => {
                let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("stream", stream).finish();
                write!(f, "?{query}")
            }
            None => Ok(()),
        }
    }
}

pub(super) fn parse(text: &str, tls: bool) -> Result<NatsAddress, DestinationError> {
    // Without the text itself: it may hold a password.
    let refuse = |why: String| {
        let example = "nats://HOST[:4222][,HOST…]/SUBJECT?stream=NAME";
        Err(DestinationError::new(format!("the destination URL {why}; write {example}")))
    };
    let scheme = if tls { "tls" } else { "nats" };
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return refuse("holds a user, a password or a token, which would show in the process list: put them into FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, FORMUSAGE_TOKEN or a file (--token-file, --nats-creds)".to_owned());
    }
    let mut servers = Vec::new();
    for server in authority.split(',') {
        // The authority of a URL is one host; a list of them is read one by one.
        let url = match Url::parse(&format!("{scheme}://{server}")) {
            Ok(url) => url,
            Err(error) => return refuse(format!("can't be read ({error})")),
        };
        match url.host_str().filter(|host| !host.is_empty()) {
            Some(host) => servers
                .push(NatsServer { host: host.to_owned(), port: url.port().unwrap_or(NatsAddress::DEFAULT_PORT) }),
            None => return refuse("names no host".to_owned()),
        }
    }
    let url = match Url::parse(&format!("{scheme}://x{rest}")) {
        Ok(url) => url,
        Err(error) => return refuse(format!("can't be read ({error})")),
    };
    let subject = match url.path_segments().map(Iterator::collect::<Vec<_>>).as_deref() {
        None | Some([] | [""]) => NatsAddress::DEFAULT_SUBJECT.to_owned(),
        Some([subject]) => percent_decoded(subject)?,
        Some(_) => return refuse(format!("has the path {:?} where one subject is expected", url.path())),
    };
    if !is_subject(&subject) {
        return refuse(format!(
            "has the subject {subject:?}, to which nothing can be published (words between dots, without spaces, * and >)"
        ));
    }
    let mut stream = None;
    for (name, value) in url.query_pairs() {
        if name != "stream" {
            return refuse(format!("has the unknown parameter {name:?}; stream is the only one"));
        }
        if !is_stream(&value) {
            return refuse(format!("has the stream {value:?}, which no stream can be called"));
        }
        stream = Some(value.into_owned());
    }
    if url.fragment().is_some() {
        return refuse("has a fragment (#…), which means nothing here".to_owned());
    }
    Ok(NatsAddress { tls, servers, subject, stream })
}

/// Subjects that begin with `$` are the server's own.
fn is_subject(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control() || c == '*' || c == '>')
    };
    !text.starts_with('$') && text.split('.').all(word)
}

fn is_stream(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || ['.', '*', '>', '/', '\\'].contains(&c);
    !text.is_empty() && !text.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::super::Destination;
    use super::*;

    fn nats(text: &str) -> NatsAddress {
        match text.parse() {
            Ok(Destination::Nats(address)) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn defaults() {
        let address = nats("nats://127.0.0.1");
        assert_eq!(address.to_string(), "nats://127.0.0.1:4222/usage_events");
        assert_eq!((address.tls, address.stream), (false, None));
        assert_eq!(nats("nats://h?stream=S").stream.as_deref(), Some("S"));
    }

    #[test]
    fn shown_urls_read_back() {
        for text in [
            "nats://h:1/a.b?stream=USAGE",
            "tls://a:4222,b:4223,[::1]:4224/usage_events",
            "nats://h:4222/x%2Fy+%C3%A9?stream=a%26b",
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.to_string().parse(), Ok(destination), "{text}");
        }
        assert_eq!(nats("nats://a,b:1/s").servers.len(), 2);
    }

    #[test]
    fn errors_say_what_to_write_and_hide_passwords() {
        let cases = [
            ("nats://", "names no host"),
            ("nats:h/a", "names no host"),
            ("nats://a,,b/s", "names no host"),
            ("nats://h/a/b", "one subject is expected"),
            ("nats://h/a.%3E", "nothing can be published"),
            ("nats://h/a..b", "nothing can be published"),
            ("nats://h/$JS.API", "nothing can be published"),
            ("nats://h/a?stream=a.b", "no stream can be called"),
            ("nats://h/a?streem=a", "unknown parameter \"streem\""),
            ("nats://h:99999/a", "invalid port"),
            ("nats://h,joe:hunter2@h/a", "FORMUSAGE_NATS_USER"),
            ("tls://hunter2@h", "FORMUSAGE_TOKEN"),
        ];
        for (text, expected) in cases {
            let message = text.parse::<Destination>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}

//! What is probed: a destination as its protocol, its hosts and its port.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::transport::{Destination, FormAddress};

/// What a probe looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The destination as a URL, without secrets.
    shown: String,
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Network(NetworkTarget),
    Sqlite(PathBuf),
    File(PathBuf),
}

/// A service somewhere in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkTarget {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Hosts (a name or an address, an IPv6 address with or without brackets), each with its port.
    pub hosts: Vec<(String, u16)>,
    /// TLS is required.
    pub tls: bool,
}

/// What is spoken at a [`NetworkTarget`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// The Form queue over HTTP.
    Form {
        /// The topic's plain name.
        topic: String,
        /// The first byte of each message.
        sub_topic: u8,
    },
    /// CloudEvents over HTTP.
    CloudEvents {
        /// Path and query of the endpoint, from the first slash on.
        path: String,
    },
    /// NATS JetStream.
    Nats {
        /// Where events are published.
        subject: String,
        /// The stream that is to hold them; the one that takes the subject unless given.
        stream: Option<String>,
    },
}

/// Why text names nothing that can be probed. Does not hold the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(String);

impl Target {
    /// The port of a NATS server unless given.
    pub const NATS_PORT: u16 = 4222;

    /// A service in the network; `shown` is its URL without secrets, for the report.
    pub fn network(shown: impl Into<String>, target: NetworkTarget) -> Self {
        Self { shown: shown.into(), place: Place::Network(target) }
    }

    /// The target that `destination` stands for.
    ///
    /// # Errors
    /// Where there is nothing to probe: standard input and output.
    pub fn of(destination: &Destination) -> Result<Self, TargetError> {
        let place = match destination {
            Destination::Form(FormAddress { tls, host, port, topic, sub_topic }) => Place::Network(NetworkTarget {
                protocol: Protocol::Form { topic: topic.clone(), sub_topic: *sub_topic },
                hosts: vec![(host.clone(), *port)],
                tls: *tls,
            }),
            Destination::Http(address) => {
                let query = address.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
                let target = NetworkTarget {
                    protocol: Protocol::CloudEvents { path: format!("{}{query}", address.path) },
                    hosts: vec![(address.host.clone(), address.port)],
                    tls: address.tls,
                };
                // A query may hold a key.
                return Ok(Self::network(address.without_query(), target));
            }
            Destination::Nats(address) => Place::Network(NetworkTarget {
                protocol: Protocol::Nats { subject: address.subject.clone(), stream: address.stream.clone() },
                hosts: address.servers.iter().map(|it| (it.host.clone(), it.port)).collect(),
                tls: address.tls,
            }),
            Destination::Sqlite(path) => Place::Sqlite(path.clone()),
            Destination::File(path) => Place::File(path.clone()),
            Destination::Stdio => {
                return Err(TargetError("- is standard output: there is nothing to probe; name a destination".into()));
            }
        };
        Ok(Self { shown: destination.to_string(), place })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let destination: Destination = text.parse().map_err(|error| TargetError(format!("{error}")))?;
        Self::of(&destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> NetworkTarget {
        match text.parse::<Target>().unwrap().place {
            Place::Network(target) => target,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_scheme_has_its_protocol_and_port() {
        let form = network("form+https://h/t?sub_topic=7");
        assert_eq!((form.tls, &form.hosts[..]), (true, &[("h".to_owned(), 443)][..]));
        let nats = network("nats://a,b:1,[::1]/usage.events?stream=USAGE");
        assert_eq!(nats.hosts, [("a".to_owned(), 4222), ("b".to_owned(), 1), ("[::1]".to_owned(), 4222)]);
        assert_eq!(
            nats.protocol,
            Protocol::Nats { subject: "usage.events".to_owned(), stream: Some("USAGE".to_owned()) }
        );
        assert!(network("tls://a/s").tls);
        let http = network("https://h/in?key=hunter2");
        assert_eq!((http.hosts[0].1, http.protocol), (443, Protocol::CloudEvents { path: "/in?key=hunter2".into() }));
        let shown = "https://h/in?key=hunter2".parse::<Target>().unwrap().to_string();
        assert_eq!(shown, "https://h/in");
    }

    #[test]
    fn what_can_not_be_probed_is_refused_without_its_password() {
        for text in ["-", "nats://h/a?b=c", "nats://joe:hunter2@h/s", "http://joe:hunter2@h/", "x://h"] {
            let message = text.parse::<Target>().unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}

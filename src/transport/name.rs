//! Resolving names, and why one has no address: by the resolver's own code, which the standard library hides in a text.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType};

use super::cause::shortage;
use super::{Failure, Reach};

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub(crate) struct NameError {
    pub(crate) name: String,
    pub(crate) reason: NameErrorReason,
    cause: io::Error,
}

/// What is to be done about a name without an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameErrorReason {
    /// There is no such name, or it has no address.
    Absent,
    /// The name server did not answer, or can't at the moment.
    Temporary,
    /// This machine has no descriptor or memory left to ask with.
    Local(&'static str),
}

/// The addresses of `host`, a name or an address without brackets; at least one.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, NameError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    let looked_up = tokio::task::spawn_blocking(move || look_up(&name, port)).await;
    looked_up
        .unwrap_or_else(|error| Err((NameErrorReason::Temporary, io::Error::other(error))))
        .map_err(|(reason, cause)| NameError { name: host.to_owned(), reason, cause })
}

fn look_up(name: &str, port: u16) -> Result<Vec<SocketAddr>, (NameErrorReason, io::Error)> {
    let is_within = |domain: &str| {
        name.trim_end_matches('.').rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case(domain))
    };
    // Resolvers should know this domain as empty (RFC 6761, section 6.4); not all do, and without a network none answers.
    if is_within("invalid") {
        return Err((NameErrorReason::Absent, io::Error::new(io::ErrorKind::NotFound, "Name or service not known")));
    }
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let found = match dns_lookup::getaddrinfo(Some(name), None, Some(hints)) {
        Ok(found) => found,
        // This name means this machine (section 6.3), also where no /etc/hosts says so, as in a small container.
        Err(_) if is_within("localhost") => {
            return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
        }
        Err(error) => return Err(with_reason(error)),
    };
    let mut addresses: Vec<SocketAddr> = found.filter_map(Result::ok).map(|found| found.sockaddr).collect();
    addresses.iter_mut().for_each(|address| address.set_port(port));
    match addresses.is_empty() {
        true => Err((NameErrorReason::Absent, io::Error::new(io::ErrorKind::NotFound, "the name has no address"))),
        false => Ok(addresses),
    }
}

fn with_reason(error: LookupError) -> (NameErrorReason, io::Error) {
    let kind = error.kind();
    let cause = io::Error::from(error);
    let reason = match kind {
        LookupErrorKind::NoName | LookupErrorKind::NoData => NameErrorReason::Absent,
        LookupErrorKind::Memory => NameErrorReason::Local("this machine is out of memory"),
        // A resolver that can't open its files or a socket calls that temporary too.
        _ => match shortage(&cause).or_else(shortage_now) {
            Some(advice) => NameErrorReason::Local(advice),
            None => NameErrorReason::Temporary,
        },
    };
    (reason, cause)
}

/// What this process lacks to open a socket, if it can't.
fn shortage_now() -> Option<&'static str> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).err().and_then(|error| shortage(&error))
}

impl NameError {
    /// Whose failure it is.
    pub(crate) fn failure(&self) -> Failure {
        let Self { name, reason, cause } = self;
        let failure = match reason {
            NameErrorReason::Absent => Failure::destination(format!(
                "the name {name:?} does not resolve ({cause}); check the host in the destination URL, and the name server"
            )),
            NameErrorReason::Temporary => Failure::service(format!(
                "the name {name:?} can't be resolved at the moment ({cause}): the name server does not answer; check the network and /etc/resolv.conf"
            )),
            NameErrorReason::Local(advice) => {
                Failure::local(format!("the name {name:?} can't be resolved ({cause}); {advice}"))
            }
        };
        failure.reached(Reach::Unreached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::FailureKind;

    /// The codes of getaddrinfo in glibc and musl.
    #[test]
    #[cfg(target_os = "linux")]
    fn only_a_name_that_does_not_exist_is_a_wrong_setting() {
        let [again, no_name, no_data, fail, memory] = [-3, -2, -5, -4, -10];
        let kind = |code| {
            let (reason, cause) = with_reason(LookupError::new(code));
            NameError { name: "queue.example".into(), reason, cause }.failure().kind
        };
        assert_eq!(kind(again), FailureKind::Service);
        assert_eq!(kind(fail), FailureKind::Service);
        assert_eq!(kind(no_name), FailureKind::Destination);
        assert_eq!(kind(no_data), FailureKind::Destination);
        assert_eq!(kind(memory), FailureKind::Local);
    }

    #[tokio::test]
    async fn addresses_and_names_resolve() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(resolve("127.0.0.7", 3003).await.unwrap(), [address("127.0.0.7:3003")]);
        assert_eq!(resolve("::1", 3003).await.unwrap(), [address("[::1]:3003")]);
        assert!(resolve("localhost", 3003).await.unwrap().iter().all(|found| found.ip().is_loopback()));
        assert!(resolve("queue.localhost", 3003).await.unwrap().iter().all(|found| found.ip().is_loopback()));
        let error = resolve("no-such-host.invalid", 1).await.unwrap_err();
        assert_eq!(error.reason, NameErrorReason::Absent);
        assert!(error.failure().message.contains("does not resolve"));
    }
}

//! Whose failure each way to fail is, told by types and status codes.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use reqwest::StatusCode;

use crate::clock::{Clock, SystemClock};
use crate::plain_text;
use crate::transport::cause::{find, innermost, shortage};
use crate::transport::name::{self, NameError};
use crate::transport::{Failure, FailureKind, Reach, Repeat};

/// How much of a foreign text an error message shows.
const EXCERPT_CHARS: usize = 120;

/// What errors call a request that brings events back.
pub(in crate::transport) const READ: &str = "a read";

/// What to do about a refusal.
pub(super) fn advice(kind: FailureKind, status: StatusCode) -> &'static str {
    match (kind, status.as_u16()) {
        (FailureKind::Destination, 401 | 403) => "; check the token (FORMUSAGE_TOKEN or --token-file)",
        (FailureKind::Destination, 300..=399) => "; it redirects, so give the address that it redirects to",
        (FailureKind::Destination, _) => "; check host, port and what listens there",
        (FailureKind::Event, _) => "; this event can't be delivered as it is",
        (FailureKind::Service | FailureKind::Local, _) => "",
    }
}

/// Whose failure a status is. Those of the destination may be of one event too (403, 404, 410, 451, …): their failures
/// are [`Reach::Refused`], and whether other events go through decides.
pub(super) fn status_kind(status: StatusCode) -> FailureKind {
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => FailureKind::Service,
        400 | 413 | 422 => FailureKind::Event,
        _ => FailureKind::Destination,
    }
}

/// Whether services answer a repeat of what they hold with this status; `conflict` is what 409 means to the peer.
pub(super) fn status_repeat(status: StatusCode, conflict: Repeat) -> Repeat {
    match status.as_u16() {
        409 => conflict,
        422 => Repeat::Possible,
        _ => Repeat::No,
    }
}

/// The coding of a reply's text, where it has one. No request of ours asks for any.
pub(super) fn content_coding(value: &str) -> Option<&str> {
    Some(value.trim()).filter(|it| !it.is_empty() && !it.eq_ignore_ascii_case("identity"))
}

/// A reply whose text has to be read and can't be: it says whether a write was taken.
pub(super) fn compressed(url: &str, what: &str, coding: &str) -> Failure {
    Failure::destination(format!(
        "the reply of {url} to {what} is {}-compressed, which was not asked for; turn compression off for it, in the proxy in front if there is one",
        excerpt(coding.as_bytes())
    ))
    .reached(Reach::Unknown)
}

/// Whether `error` ended a request on a connection without a byte of a reply, as it happens on one that was kept from an
/// earlier request and that the other side has closed.
pub(super) fn ended_without_reply(error: &reqwest::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    if error.is_builder() || error.is_connect() || error.is_timeout() {
        return false;
    }
    let by_hyper = |it: &hyper::Error| it.is_incomplete_message() || it.is_canceled() || it.is_closed();
    let by_system = |it: &std::io::Error| {
        matches!(it.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
    };
    find::<hyper::Error>(error).is_some_and(by_hyper) || find::<std::io::Error>(error).is_some_and(by_system)
}

/// `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemClock.wall()).unwrap_or_default())
}

/// What an attempt means that got no reply, or not all of it.
pub(in crate::transport) fn transport_failure(error: &reqwest::Error, peer: &str, what: &str, url: &str) -> Failure {
    let cause = innermost(error);
    if let Some(unresolved) = find::<NameError>(error) {
        return unresolved.failure();
    }
    if error.is_builder() {
        return Failure::destination(format!("the request to {url} can't be made: {cause}")).reached(Reach::Unreached);
    }
    // With TLS 1.3 a server refuses the client behind its own handshake; nothing was taken either way.
    #[cfg(feature = "tls")]
    if let Some(advice) = find::<rustls::Error>(error).and_then(crate::transport::tls::client_certificate_advice) {
        return Failure::destination(format!("{url} ended TLS ({cause}): {advice}")).reached(Reach::Unreached);
    }
    if error.is_connect() {
        #[cfg(feature = "tls")]
        if find::<rustls::Error>(error).is_some() {
            return Failure::destination(format!(
                "no trusted TLS connection to {url}: {cause}; check the certificate, and that TLS is spoken there"
            ))
            .reached(Reach::Unreached);
        }
        return no_connection(peer, url, error);
    }
    match find::<hyper::Error>(error) {
        Some(hyper) if hyper.is_parse() => not_http(url, &cause),
        _ => broken_off(url, what, &cause),
    }
}

/// Nothing takes a connection there, or this machine has nothing left to make one with.
pub(super) fn no_connection(peer: &str, url: &str, error: &(dyn Error + 'static)) -> Failure {
    let cause = innermost(error);
    match shortage(error) {
        Some(advice) => Failure::local(format!("no connection to {url}: {cause}; {advice}")),
        None => {
            Failure::service(format!("no connection to {url}: {cause}; check that the {peer} runs and listens there"))
                .reached(Reach::Unreached)
        }
    }
}

/// What came back is no HTTP.
pub(super) fn not_http(url: &str, cause: &dyn Display) -> Failure {
    Failure::destination(format!(
        "what answers at {url} does not speak HTTP ({cause}); check host, port and what listens there"
    ))
}

/// The connection ended in the middle.
pub(super) fn broken_off(url: &str, what: &str, cause: &dyn Display) -> Failure {
    // Of a read nothing is taken.
    let unknown = if what == READ { "" } else { "; whether it was taken is unknown, and sending it again is safe" };
    Failure::service(format!("the connection to {url} ended before the reply to {what} was whole: {cause}{unknown}"))
        .reached(Reach::Unknown)
}

/// Name resolution whose errors say why a name has no address.
#[derive(Debug)]
pub(super) struct Resolver;

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            // The port is replaced by the URL's.
            let addresses = name::resolve(&name, 0).await?;
            Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

/// The start of a foreign text, in one line.
pub(in crate::transport) fn excerpt(text: &[u8]) -> String {
    let shown = plain_text::excerpt(String::from_utf8_lossy(text).trim(), EXCERPT_CHARS);
    if shown.is_empty() { "(nothing)".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_kind() {
        let kind = |code| status_kind(StatusCode::from_u16(code).unwrap());
        for code in [408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(kind(code), FailureKind::Service, "{code}");
        }
        for code in [400, 413, 422] {
            assert_eq!(kind(code), FailureKind::Event, "{code}");
        }
        for code in [204, 301, 307, 401, 403, 404, 405, 409, 410, 415, 418, 451] {
            assert_eq!(kind(code), FailureKind::Destination, "{code}");
        }
    }

    #[test]
    fn codings_are_named_and_identity_is_none() {
        assert_eq!(
            (content_coding(" gzip "), content_coding("Identity"), content_coding("")),
            (Some("gzip"), None, None)
        );
        assert!(compressed("http://h", "a write", "gzip").message.contains("to a write is gzip-compressed"));
    }

    #[test]
    fn a_read_that_broke_off_is_not_called_a_write() {
        let message = |what| broken_off("http://h", what, &"reset").message;
        assert!(message("a write").ends_with("sending it again is safe"));
        assert_eq!(message(READ), "the connection to http://h ended before the reply to a read was whole: reset");
    }

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        let parse = retry_after;
        assert_eq!(parse("120"), Some(Duration::from_secs(120)));
        assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(
            parse(&httpdate::fmt_http_date(SystemClock.wall() + Duration::from_secs(90))).unwrap()
                > Duration::from_secs(80)
        );
        assert_eq!(parse("soon"), None);
    }

    #[test]
    fn excerpts_are_short_and_on_one_line() {
        assert_eq!(excerpt(b"<html>\r\n<body>"), "<html>  <body>");
        assert_eq!(excerpt(b" "), "(nothing)");
        assert_eq!(excerpt("ü".repeat(500).as_bytes()).chars().count(), EXCERPT_CHARS + 1);
    }
}

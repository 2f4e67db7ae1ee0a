//! The TLS step: the handshake, and why it failed.

use std::io;

use rustls::CertificateError;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::certificate::{TlsFacts, date};
use super::dial::{Route, is_tls, speaks_plain_http};
use super::http;
use super::step::{Problem, Step, Stopped, Trail};
use super::trust::{Kept, Shown, Trust};

/// A certificate that ends sooner than this, in days, is worth a warning.
const SOON_DAYS: i64 = 14;

/// The TLS step, over a connection that stands.
pub(super) async fn step(
    trail: &mut Trail<'_>,
    trust: &Trust,
    route: &Route,
    tcp: TcpStream,
) -> Result<TlsStream<Kept>, Stopped> {
    let host = route.bare_host();
    let shown = Shown::default();
    let measured = trail.measure(trust.handshake(host, tcp, &shown)).await;
    let mut facts = shown.facts(trail.clock.unix_seconds(), host);
    match measured.result {
        Some(Ok(stream)) => {
            if let Some(facts) = &mut facts {
                facts.version = stream.get_ref().1.protocol_version().map(version);
                facts.trusted = true;
            }
            let soon = facts.as_ref().filter(|facts| facts.days_left < SOON_DAYS).map(|facts| {
                Problem::new(
                    format!("the certificate expires in {} days, {}", facts.days_left, date(facts.not_after)),
                    format!("at least {SOON_DAYS} days"),
                    "renew it, and see why it was not renewed by itself",
                )
            });
            let taken = match soon {
                Some(problem) => trail.warn(Step::Tls, measured.elapsed, problem),
                None => trail.ok(Step::Tls, measured.elapsed, facts.as_ref().map(summary).unwrap_or_default()),
            };
            taken.tls = facts;
            Ok(stream)
        }
        result => {
            let error = result.and_then(Result::err);
            let problem = explain(trail, route, error.as_ref(), facts.as_ref(), &shown.start()).await;
            let stopped = trail.fail(Step::Tls, measured.elapsed, problem);
            if let Some(last) = trail.taken.last_mut() {
                last.tls = facts;
            }
            Err(stopped)
        }
    }
}

fn version(version: rustls::ProtocolVersion) -> String {
    format!("{version:?}").replace('v', " ").replace('_', ".")
}

fn summary(facts: &TlsFacts) -> String {
    let version = facts.version.as_deref().unwrap_or("TLS");
    format!("{version}; for {}; issued by {}; {} days left", facts.names.join(", "), facts.issuer, facts.days_left)
}

/// Why the handshake failed; `error` is none where it took too long.
async fn explain(
    trail: &Trail<'_>,
    route: &Route,
    error: Option<&io::Error>,
    facts: Option<&TlsFacts>,
    start: &[u8],
) -> Problem {
    const EXPECTED: &str = "a TLS handshake";
    const PLAIN_FIX: &str = "use the URL without TLS (form:// in place of form+https://, http://, nats://), or the port where TLS is spoken";
    let rustls = error.and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>());
    if let (Some(rustls::Error::InvalidCertificate(why)), Some(facts)) = (rustls, facts) {
        return certificate_problem(why, facts, route.bare_host());
    }
    if start.starts_with(b"HTTP/") {
        return Problem::new("plain HTTP, without TLS", EXPECTED, PLAIN_FIX);
    }
    // Some servers answer a garbled request with a page and no status line.
    if !is_tls(start) && speaks_plain_http(trail, route.address).await {
        return Problem::new("plain HTTP, without TLS", EXPECTED, PLAIN_FIX);
    }
    if !start.is_empty() && !is_tls(start) {
        let found = format!("something that is no TLS: {}", http::foreign(start));
        return Problem::new(found, EXPECTED, "another program listens there: check host and port");
    }
    match (rustls, error) {
        (Some(rustls::Error::AlertReceived(alert)), _) => Problem::new(
            format!("the server ended the handshake with the alert {alert:?}"),
            EXPECTED,
            "see the server's log: it wants another version of TLS, another name (SNI), or a client certificate",
        ),
        (Some(other), _) => {
            Problem::new(other.to_string(), "a handshake of TLS 1.2 or 1.3", "update or set up TLS on the server")
        }
        (None, Some(error)) => Problem::new(
            format!("the connection ended in the handshake: {error}"),
            EXPECTED,
            "check that TLS is spoken on this port; see the server's log",
        ),
        (None, None) => Problem::new(
            format!("the connection was accepted, and no answer to the handshake came within {}", trail.limit()),
            EXPECTED,
            "the service hangs, or something else listens there: check it, and the port",
        ),
    }
}

fn certificate_problem(why: &CertificateError, facts: &TlsFacts, host: &str) -> Problem {
    use CertificateError as E;
    let expected = format!("a certificate for {host} that is trusted and in time");
    let whose = format!("for {}, issued by {}", facts.names.join(", "), facts.issuer);
    match why {
        E::Expired | E::ExpiredContext { .. } => Problem::new(
            format!("the certificate expired {} days ago, {} ({whose})", -facts.days_left, date(facts.not_after)),
            expected,
            "renew the certificate on the server; if the date above lies ahead, set this machine's clock",
        ),
        E::NotValidYet | E::NotValidYetContext { .. } => Problem::new(
            format!("the certificate is not valid before {} ({whose})", date(facts.not_before)),
            expected,
            "check this machine's clock first, then the certificate",
        ),
        E::NotValidForName | E::NotValidForNameContext { .. } => Problem::new(
            format!("the certificate is made out to {}, not to {host}", facts.names.join(", ")),
            expected,
            "use one of these names in the destination URL, or have the certificate made out to this one as well",
        ),
        E::UnknownIssuer => Problem::new(
            if facts.is_self_signed() {
                format!("the certificate is untrusted: it is self-signed ({whose})")
            } else {
                format!("the certificate is untrusted: its issuer is unknown here ({whose})")
            },
            expected,
            "add the issuer's certificate to the system's roots, or name a file that holds it in SSL_CERT_FILE; if the server leaves out intermediate certificates, add them there",
        ),
        E::Revoked => {
            Problem::new(format!("the certificate is revoked ({whose})"), expected, "have another one issued")
        }
        other => Problem::new(
            format!("the certificate is untrusted: {} ({whose})", rustls::Error::InvalidCertificate(other.clone())),
            expected,
            "have a proper one issued: for a server, signed by an authority",
        ),
    }
}

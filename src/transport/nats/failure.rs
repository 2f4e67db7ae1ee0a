//! Whose failure each way to fail is: by types and by the server's error codes.

use std::io;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{RequestError, RequestErrorKind};
use async_nats::{ConnectError, ConnectErrorKind};

use crate::transport::cause::{find, innermost, shortage};
use crate::transport::tls::client_certificate_advice;
use crate::transport::{Failure, FailureKind, Reach};

/// What to check where credentials or permissions are wrong.
pub(super) const CREDENTIALS: &str =
    "check FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, FORMUSAGE_TOKEN (or --token-file), or --nats-creds";

/// Whether the server refused the certificate of the client, or the lack of one.
pub(super) fn is_about_our_certificate(error: &ConnectError) -> bool {
    find::<rustls::Error>(error).and_then(client_certificate_advice).is_some()
}

/// No connection to the server at `url`; `credentials` says what to do where it refuses ours.
pub(super) fn of_connecting(error: &ConnectError, url: &str, credentials: impl FnOnce() -> String) -> Failure {
    let cause = innermost(error);
    if let Some(advice) = shortage(error) {
        return Failure::local(format!("no connection to {url}: {cause}; {advice}"));
    }
    let failure = match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            return Failure::destination(format!("{url} refused the credentials, or needs some: {}", credentials()));
        }
        // It resolves when asked again.
        ConnectErrorKind::Dns => Failure::service(format!("the name in {url} did not resolve for a moment ({cause})")),
        ConnectErrorKind::ServerParse => Failure::destination(format!("{url} is no address of a NATS server: {cause}")),
        ConnectErrorKind::TimedOut => no_greeting(url, "nothing came in time"),
        ConnectErrorKind::Tls | ConnectErrorKind::Io | ConnectErrorKind::MaxReconnects => {
            let kind = find::<io::Error>(error).map(io::Error::kind);
            if let Some(advice) = find::<rustls::Error>(error).and_then(client_certificate_advice) {
                Failure::destination(format!("{url} ended TLS ({cause}): {advice}"))
            } else if error.kind() == ConnectErrorKind::Tls || find::<rustls::Error>(error).is_some() {
                Failure::destination(format!(
                    "no trusted TLS connection to {url}: {cause}; check the certificate (--ca-file), and that TLS is spoken there"
                ))
            } else if matches!(kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)) {
                Failure::destination(format!(
                    "what answers at {url} does not speak NATS ({cause}); check host, port and what listens there"
                ))
            } else if kind.is_none() {
                no_greeting(url, &cause)
            } else {
                Failure::service(format!(
                    "no connection to {url}: {cause}; check that the NATS server runs and listens there"
                ))
            }
        }
    };
    failure.reached(Reach::Unreached)
}

/// Something took the connection, or seemed to, and did not say what a NATS server says first.
fn no_greeting(url: &str, cause: &str) -> Failure {
    Failure::service(format!(
        "no NATS greeting from {url} ({cause}); is this a NATS server? see: formusage ping --to {url}"
    ))
}

/// A request to JetStream that got no answer of JetStream's own.
pub(super) fn of_request(error: &RequestError, url: &str) -> Failure {
    match error.kind() {
        RequestErrorKind::NoResponders => no_jetstream(url),
        RequestErrorKind::TimedOut => Failure::service(format!(
            "JetStream at {url} did not answer in time: its cluster may lack a leader or a majority of its servers"
        ))
        .reached(Reach::Unknown),
        RequestErrorKind::InvalidSubject | RequestErrorKind::Other => {
            Failure::service(format!("a request to JetStream at {url} failed: {}", innermost(error)))
                .reached(Reach::Unknown)
        }
    }
}

pub(super) fn no_jetstream(url: &str) -> Failure {
    Failure::destination(format!(
        "JetStream is not enabled at {url}, or not for this account: start nats-server with -js (or `jetstream {{}}` in its configuration), and enable it for the account"
    ))
}

/// An answer of JetStream that says no.
pub(super) fn of_answer(error: &async_nats::jetstream::Error, what: &str, url: &str) -> Failure {
    let code = error.error_code();
    if [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT].contains(&code) {
        return no_jetstream(url);
    }
    // The server's own text ends with its codes, which people can look up.
    let said = format!("JetStream at {url} refused {what}: {error}");
    match kind(code, error.code()) {
        _ if code == ErrorCode::CLUSTER_NO_PEERS => Failure::service(format!(
            "{said}; fewer servers of the cluster are up than the stream is to have replicas (--stream-replicas)"
        )),
        FailureKind::Service | FailureKind::Local => Failure::service(format!("{said}; it may take it later")),
        FailureKind::Event => Failure::event(format!("{said}; this event can't be delivered as it is")),
        FailureKind::Destination => {
            Failure::destination(format!("{said}; check the stream's settings, and the destination URL"))
        }
    }
}

/// Whose failure a code is. JetStream's own comes first, the status of HTTP that goes with it decides for the rest.
fn kind(code: ErrorCode, status: usize) -> FailureKind {
    match code {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => FailureKind::Event,
        // Room may be made, leaders are elected, servers come back or join.
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::STREAM_STORE_FAILED
        | ErrorCode::CLUSTER_NOT_AVAILABLE
        | ErrorCode::CLUSTER_NOT_LEADER
        | ErrorCode::CLUSTER_NO_PEERS => FailureKind::Service,
        ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED => FailureKind::Destination,
        _ if (400..500).contains(&status) && ![408, 429].contains(&status) => FailureKind::Destination,
        _ => FailureKind::Service,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_kind() {
        let cases = [
            (ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM, 400, FailureKind::Event),
            (ErrorCode::STREAM_STORE_FAILED, 503, FailureKind::Service),
            (ErrorCode::ACCOUNT_RESOURCES_EXCEEDED, 400, FailureKind::Service),
            (ErrorCode::CLUSTER_NOT_AVAILABLE, 503, FailureKind::Service),
            (ErrorCode::CLUSTER_NO_PEERS, 400, FailureKind::Service),
            (ErrorCode::STREAM_NOT_MATCH, 400, FailureKind::Destination),
            (ErrorCode::STREAM_NOT_FOUND, 404, FailureKind::Destination),
            (ErrorCode(99_999), 500, FailureKind::Service),
            (ErrorCode(99_999), 429, FailureKind::Service),
            (ErrorCode(99_999), 403, FailureKind::Destination),
        ];
        for (code, status, expected) in cases {
            assert_eq!(kind(code, status), expected, "{code:?} {status}");
        }
    }
}

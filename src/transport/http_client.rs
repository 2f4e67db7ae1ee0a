//! The HTTP client that destinations share: how it is built, a request and its reply, and whose failure each way to
//! fail is.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};

use super::{ConnectOptions, Failure, FailureKind, Reach};
use crate::clock::{Clock, SystemClock};

/// The longest that opening a connection may take, whatever the time limit of an attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most that is read of a reply which holds no events.
pub(super) const MAX_REPLY_BYTES: usize = 64 << 10;

/// How long the text of a reply is waited for whose status has decided everything.
const TEXT_PATIENCE: Duration = Duration::from_secs(2);

/// How much of a foreign text an error message shows.
const EXCERPT_CHARS: usize = 120;

/// What is meant to answer: how errors call it, and what its statuses mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// `queue`, `service`.
    pub(super) name: &'static str,
    /// Whether a status says that all went well.
    pub(super) accepts: fn(StatusCode) -> bool,
    /// What to do about a refusal, where it is another thing than [`advice`] says.
    pub(super) advice: fn(StatusCode) -> Option<&'static str>,
}

/// A client for one destination. It knows the secrets that it sends, so that no error repeats them.
#[derive(Clone)]
pub(super) struct HttpClient {
    client: Client,
    peer: Peer,
    secrets: Arc<[String]>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("peer", &self.peer.name).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client for `host`, which sends `headers` with every request; all of them count as secrets.
    pub(super) fn new(
        peer: Peer,
        host: &str,
        tls: bool,
        options: &ConnectOptions,
        mut headers: HeaderMap,
    ) -> Result<Self, Failure> {
        let mut builder = Client::builder()
            .user_agent(concat!("formusage/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.timeout.min(CONNECT_TIMEOUT))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .dns_resolver(Resolver)
            .tcp_nodelay(true)
            // A quiet spell of an hour between events is normal, and the other side or a proxy may have closed by then.
            .pool_idle_timeout(Duration::from_secs(60));
        if is_loopback(host) {
            builder = builder.no_proxy();
        }
        let mut secrets: Vec<String> = headers.values().map(shown).collect();
        if let Some(token) = &options.token {
            let value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                Failure::destination(
                    "the token holds characters that no HTTP header may hold; check the file or FORMUSAGE_TOKEN",
                )
            })?;
            headers.insert(AUTHORIZATION, value);
            secrets.push(token.clone());
        }
        headers.values_mut().for_each(|value| value.set_sensitive(true));
        builder = builder.default_headers(headers);
        #[cfg(feature = "tls")]
        {
            builder = builder.tls_backend_preconfigured(tls_config(tls)?);
        }
        if tls && cfg!(not(feature = "tls")) {
            return Err(Failure::destination("this build speaks no TLS; build it with the feature `tls`"));
        }
        let client = builder
            .build()
            .map_err(|error| Failure::destination(format!("the HTTP client can't be built: {}", chain(&error))))?;
        // The longest first: one may hold another.
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Ok(Self { client, peer, secrets: secrets.into() })
    }

    pub(super) fn get(&self, url: &str) -> RequestBuilder {
        self.client.get(url)
    }

    pub(super) fn post(&self, url: &str) -> RequestBuilder {
        self.client.post(url)
    }

    /// Sends `request` and waits for the head of a reply that says that all went well. Errors name the request by
    /// `what` and the address by `url`.
    pub(super) async fn send(&self, request: RequestBuilder, what: &str, url: &str) -> Result<Response, Failure> {
        let sent = request.send().await.map_err(reqwest::Error::without_url);
        let response = sent.map_err(|error| transport_failure(&error, self.peer.name, what, url))?;
        if (self.peer.accepts)(response.status()) {
            return Ok(response);
        }
        Err(self.status_failure(response, what, url).await)
    }

    /// What a status that the peer does not accept means.
    async fn status_failure(&self, mut response: Response, what: &str, url: &str) -> Failure {
        let status = response.status();
        let after = retry_after(response.headers());
        let kind = status_kind(status);
        let advice = (self.peer.advice)(status).unwrap_or_else(|| advice(kind, status));
        let moved = response.headers().get(reqwest::header::LOCATION).map(shown);
        let moved = moved.filter(|_| status.is_redirection());
        let moved = moved.map(|to| format!(" to {}", self.redacted(&to))).unwrap_or_default();
        let text = self.redacted(&String::from_utf8_lossy(&text_of(&mut response).await));
        let said = if text.trim().is_empty() { String::new() } else { format!(": {}", excerpt(text.as_bytes())) };
        let message = format!("{url} answered {what} with {status}{moved}{said}{advice}");
        let failure = match kind {
            FailureKind::Service => Failure::service(message),
            FailureKind::Event => Failure::event(message),
            FailureKind::Destination => Failure::destination(message),
        };
        failure.retry_after(after)
    }

    /// `text` of the other side without our secrets, which some repeat in their refusals.
    fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "(secret)"))
    }
}

/// The TLS settings: the system's roots where they are needed, none where the address is plain HTTP (reading the roots
/// takes milliseconds).
#[cfg(feature = "tls")]
fn tls_config(needed: bool) -> Result<rustls::ClientConfig, Failure> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let refuse = |error: rustls::Error| Failure::destination(format!("TLS can't be set up: {error}"));
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(refuse)?;
    Ok(if needed {
        builder.with_platform_verifier().map_err(refuse)?.with_no_client_auth()
    } else {
        builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
    })
}

/// A proxy of the environment is for other machines.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Reads a reply to its end, at most `limit` bytes of it, and says whether that is all of it.
pub(super) async fn read_at_most(
    response: &mut Response,
    limit: usize,
    text: &mut Vec<u8>,
) -> Result<bool, reqwest::Error> {
    while let Some(chunk) = response.chunk().await? {
        let room = limit - text.len();
        text.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What comes of a reply's text within reason. Reading it to its end lets the connection be used again.
pub(super) async fn text_of(response: &mut Response) -> Vec<u8> {
    let mut text = Vec::new();
    // The status has decided; a text that is cut, endless or late is as good as none.
    let _ = tokio::time::timeout(TEXT_PATIENCE, read_at_most(response, MAX_REPLY_BYTES, &mut text)).await;
    text
}

/// What to do about a refusal.
fn advice(kind: FailureKind, status: StatusCode) -> &'static str {
    match (kind, status.as_u16()) {
        (FailureKind::Destination, 401 | 403) => "; check the token (FORMUSAGE_TOKEN or --token-file)",
        (FailureKind::Destination, 300..=399) => "; it redirects, so give the address that it redirects to",
        (FailureKind::Destination, _) => "; check host, port and what listens there",
        (FailureKind::Event, _) => "; this event can't be delivered as it is",
        (FailureKind::Service, _) => "",
    }
}

/// Whose failure a status is.
fn status_kind(status: StatusCode) -> FailureKind {
    match status.as_u16() {
        408 | 429 | 500..=599 => FailureKind::Service,
        400 | 413 | 422 => FailureKind::Event,
        _ => FailureKind::Destination,
    }
}

/// `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemClock.wall()).unwrap_or_default())
}

/// What an attempt means that got no reply, or not all of it.
pub(super) fn transport_failure(error: &reqwest::Error, peer: &str, what: &str, url: &str) -> Failure {
    let cause = chain(error);
    if let Some(resolve) = find::<ResolveError>(error) {
        return Failure::destination(format!(
            "the name {:?} does not resolve ({}); check the host in the destination URL, and the name server",
            resolve.name, resolve.cause
        ))
        .reached(Reach::Unreached);
    }
    if error.is_builder() {
        return Failure::destination(format!("the request to {url} can't be made: {cause}")).reached(Reach::Unreached);
    }
    if error.is_connect() {
        #[cfg(feature = "tls")]
        if find::<rustls::Error>(error).is_some() {
            return Failure::destination(format!(
                "no trusted TLS connection to {url}: {cause}; check the certificate, and that TLS is spoken there"
            ))
            .reached(Reach::Unreached);
        }
        return Failure::service(format!(
            "no connection to {url}: {cause}; check that the {peer} runs and listens there"
        ))
        .reached(Reach::Unreached);
    }
    match find::<hyper::Error>(error) {
        Some(hyper) if hyper.is_parse() => Failure::destination(format!(
            "what answers at {url} does not speak HTTP ({cause}); check host, port and what listens there"
        )),
        _ => Failure::service(format!(
            "the connection to {url} ended before the reply to {what} was whole: {cause}; whether it was taken is unknown, and sending it again is safe"
        ))
        .reached(Reach::Unknown),
    }
}

/// The innermost causes of an error, which say what happened; the outer ones say only that something did.
fn chain(error: &reqwest::Error) -> String {
    let mut last = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        last = cause.to_string();
        source = cause.source();
    }
    last
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        // An I/O error that wraps another names that one's source as its own, which would skip the one looked for.
        next = match current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}

/// Name resolution by the system, with an error of its own type: a name that does not resolve is a failure of the
/// destination, and nothing else tells it from a refused connection.
#[derive(Debug)]
struct Resolver;

#[derive(Debug, thiserror::Error)]
#[error("{name} does not resolve: {cause}")]
struct ResolveError {
    name: String,
    cause: std::io::Error,
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            // The port is replaced by the URL's.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map(Iterator::collect::<Vec<_>>);
            match found {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs),
                Err(cause) => Err(ResolveError { name, cause }.into()),
            }
        })
    }
}

/// The start of a foreign text, in one line.
pub(super) fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut shown: String =
        text.trim().chars().take(EXCERPT_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().chars().count() > EXCERPT_CHARS {
        shown.push('…');
    }
    if shown.is_empty() { "(nothing)".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_kind() {
        let kind = |code| status_kind(StatusCode::from_u16(code).unwrap());
        for code in [408, 429, 500, 502, 503, 504] {
            assert_eq!(kind(code), FailureKind::Service, "{code}");
        }
        for code in [400, 413, 422] {
            assert_eq!(kind(code), FailureKind::Event, "{code}");
        }
        for code in [204, 301, 307, 401, 403, 404, 405, 415, 418] {
            assert_eq!(kind(code), FailureKind::Destination, "{code}");
        }
    }

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        let parse =
            |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]));
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

    #[test]
    fn loopback_needs_no_proxy() {
        assert!(["127.0.0.1", "127.8.8.8", "[::1]", "localhost"].iter().all(|host| is_loopback(host)));
        assert!(!is_loopback("queue.example"));
    }
}

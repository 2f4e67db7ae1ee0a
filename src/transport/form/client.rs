//! HTTP to a Form queue: the client, and which kind of failure each way to fail is.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};

use super::wire::excerpt;
use crate::clock::{Clock, SystemClock};
use crate::transport::cause::{find, innermost};
#[cfg(feature = "tls")]
use crate::transport::tls;
use crate::transport::{ConnectOptions, Failure, FailureKind, FormAddress, Reach};

/// The longest that opening a connection may take, whatever the time limit of an attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most that is read of a reply which is no list.
const MAX_REPLY_BYTES: usize = 64 << 10;

pub(super) fn client(address: &FormAddress, options: &ConnectOptions) -> Result<Client, Failure> {
    let mut builder = Client::builder()
        .user_agent(concat!("formusage/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.timeout.min(CONNECT_TIMEOUT))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .dns_resolver(Resolver)
        .tcp_nodelay(true)
        // A quiet spell of an hour between events is normal, and the queue or a proxy may have closed by then.
        .pool_idle_timeout(Duration::from_secs(60));
    if is_loopback(&address.host) {
        builder = builder.no_proxy();
    }
    if let Some(token) = &options.token {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            Failure::destination(
                "the token holds characters that no HTTP header may hold; check the file or FORMUSAGE_TOKEN",
            )
        })?;
        value.set_sensitive(true);
        builder = builder.default_headers(HeaderMap::from_iter([(AUTHORIZATION, value)]));
    }
    #[cfg(feature = "tls")]
    {
        builder = builder.tls_backend_preconfigured(tls::client_config(if address.tls {
            tls::Roots::System
        } else {
            tls::Roots::None
        })?);
    }
    if address.tls && cfg!(not(feature = "tls")) {
        return Err(Failure::destination("this build has no `form+https:`; build it with the feature `tls`"));
    }
    builder
        .build()
        .map_err(|error| Failure::destination(format!("the HTTP client can't be built: {}", innermost(&error))))
}

/// A proxy of the environment is for other machines.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Sends `request` and waits for the reply's head.
pub(super) async fn send(request: RequestBuilder, what: &str, url: &str) -> Result<Response, Failure> {
    let response = request.send().await.map_err(|error| transport_failure(&error, what, url))?;
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    Err(status_failure(response, what, url).await)
}

/// The whole text of a small reply.
pub(super) async fn small_body(response: Response, what: &str, url: &str) -> Result<Vec<u8>, Failure> {
    let (text, whole) = read_at_most(response, MAX_REPLY_BYTES, what, url).await?;
    if whole {
        return Ok(text);
    }
    Err(Failure::destination(format!(
        "what answers at {url} is not a Form queue: its reply to {what} exceeds {MAX_REPLY_BYTES} bytes and starts with: {}",
        excerpt(&text)
    )))
}

/// At most `limit` bytes of a reply, and whether that is all of it.
async fn read_at_most(mut response: Response, limit: usize, what: &str, url: &str) -> Result<(Vec<u8>, bool), Failure> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport_failure(&error, what, url))? {
        if text.len() + chunk.len() > limit {
            return Ok((text, false));
        }
        text.extend_from_slice(&chunk);
    }
    Ok((text, true))
}

/// What a status other than 200 means.
async fn status_failure(response: Response, what: &str, url: &str) -> Failure {
    let status = response.status();
    let after = retry_after(response.headers());
    let kind = status_kind(status);
    let advice = match (kind, status.as_u16()) {
        (FailureKind::Destination, 401 | 403) => "; check the token (FORMUSAGE_TOKEN or --token-file)",
        (FailureKind::Destination, 300..=399) => "; it redirects, so give the address that it redirects to",
        (FailureKind::Destination, _) => "; check host, port and what listens there",
        (FailureKind::Event, _) => "; this event can't be delivered as it is",
        (FailureKind::Service, _) => "",
    };
    let moved = response.headers().get(reqwest::header::LOCATION).and_then(|value| value.to_str().ok());
    let moved = moved.filter(|_| status.is_redirection()).map(|to| format!(" to {to}")).unwrap_or_default();
    let said = match read_at_most(response, MAX_REPLY_BYTES, what, url).await {
        Ok((text, _)) if !text.trim_ascii().is_empty() => format!(": {}", excerpt(&text)),
        _ => String::new(),
    };
    let message = format!("{url} answered {what} with {status}{moved}{said}{advice}");
    let failure = match kind {
        FailureKind::Service => Failure::service(message),
        FailureKind::Event => Failure::event(message),
        FailureKind::Destination => Failure::destination(message),
    };
    failure.retry_after(after)
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
pub(super) fn transport_failure(error: &reqwest::Error, what: &str, url: &str) -> Failure {
    let cause = innermost(error);
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
            "no connection to {url}: {cause}; check that the queue runs and listens there"
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
    fn loopback_needs_no_proxy() {
        assert!(["127.0.0.1", "127.8.8.8", "[::1]", "localhost"].iter().all(|host| is_loopback(host)));
        assert!(!is_loopback("queue.example"));
    }
}

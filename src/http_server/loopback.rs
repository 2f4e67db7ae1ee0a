//! Which requests come from this machine: a browser on it can reach what listens on a loopback address alone.
//!
//! A web page of anybody's that sends a request names its origin, or, where a name of the page's owner was made to lead
//! here (DNS rebinding), that name as its host.

use std::net::IpAddr;

use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

/// `app` that answers only requests to a loopback name that no web page of another host sent. Others are told so, and
/// `advice`: who answers only those, and what to do.
pub(crate) fn from_this_machine(app: Router, advice: &'static str) -> Router {
    app.layer(middleware::from_fn(move |request: Request, next: Next| async move {
        let why = match foreign_host(request.uri(), request.headers()) {
            None => return next.run(request).await,
            Some(Foreign::Host(host)) => format!("the request is to the host {host:?}"),
            Some(Foreign::Origin(origin)) => format!("the request comes from a page of {origin:?}"),
        };
        refusal(&why, advice)
    }))
}

fn refusal(why: &str, advice: &str) -> Response {
    (StatusCode::FORBIDDEN, format!("{why}; {advice}\n")).into_response()
}

enum Foreign {
    Host(String),
    Origin(String),
}

/// The host or the origin of a request that is not this machine's loopback.
fn foreign_host(uri: &Uri, headers: &HeaderMap) -> Option<Foreign> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut hosts: Vec<String> = headers.get_all(header::HOST).iter().map(text).collect();
    hosts.extend(uri.authority().map(Authority::to_string));
    if hosts.is_empty() {
        return Some(Foreign::Host(String::new()));
    }
    if let Some(host) = hosts.into_iter().find(|host| !is_loopback(host)) {
        return Some(Foreign::Host(host));
    }
    let mut origins = headers.get_all(header::ORIGIN).iter().map(text);
    let is_here = |origin: &String| origin.split_once("://").is_some_and(|(_, host)| is_loopback(host));
    origins.find(|origin| !is_here(origin)).map(Foreign::Origin)
}

/// Whether `host`, with or without a port, is a name or an address of the loopback (RFC 6761, section 6.3).
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') {
        return false;
    }
    let name = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// A host that counts as this machine leads nowhere else, as URLs are understood.
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(crate) fn fuzz_host(host: &str) {
    if !is_loopback(host) {
        return;
    }
    let Ok(url) = url::Url::parse(&format!("http://{host}/")) else { return };
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    };
    assert!(is_here, "{host:?} leads to {url}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_this_machine() {
        for host in [
            "localhost",
            "LocalHost:3003",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1:3003",
            "127.8.9.1",
            "[::1]:3003",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "evil.example@localhost",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "null",
            "127.0.0.27..",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}

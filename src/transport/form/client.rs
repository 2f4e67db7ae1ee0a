//! HTTP to a Form queue: what its statuses mean, and its small replies.

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use super::wire::{self, Reply};
use crate::transport::http_client::{self, HttpClient, MAX_REPLY_BYTES, Peer, Server, excerpt};
use crate::transport::{ConnectOptions, Failure, FormAddress, Repeat};

/// A Form queue says everything that went well with 200.
const QUEUE: Peer = Peer {
    name: "queue",
    accepts: |status| status == StatusCode::OK,
    advice: |_| None,
    // The queue itself acknowledges repeats; services that speak its protocol and know events by their ids do this.
    conflict: Repeat::Certain,
};

pub(super) fn client(address: &FormAddress, options: &ConnectOptions) -> Result<HttpClient, Failure> {
    let FormAddress { host, port, tls, .. } = address;
    HttpClient::new(QUEUE, &Server { host, port: *port, tls: *tls }, options, HeaderMap::new())
}

/// The whole text of a small reply.
pub(super) async fn small_body(
    client: &HttpClient,
    mut response: Response,
    what: &str,
    url: &str,
) -> Result<Vec<u8>, Failure> {
    HttpClient::refuse_compressed(&response, what, url)?;
    let mut text = Vec::new();
    let read = http_client::read_at_most(&mut response, MAX_REPLY_BYTES, &mut text).await;
    if read.map_err(|error| transport_failure(&error, what, url))? {
        return Ok(text);
    }
    Err(too_long(client, &text, what, url))
}

/// The failure that a reply to `what` stands for, which is not the one asked for. Some services answer with what they were
/// sent, our secrets included.
pub(super) fn other_reply(client: &HttpClient, text: &[u8], what: &str, url: &str) -> Failure {
    let text = client.redacted(&String::from_utf8_lossy(text)).into_bytes();
    wire::reply_failure(wire::read_reply(&text), &text, what, url)
}

/// The failure that something in place of a list stands for.
pub(super) fn no_list(client: &HttpClient, text: &[u8], what: &str, url: &str) -> Failure {
    let text = client.redacted(&String::from_utf8_lossy(text)).into_bytes();
    wire::reply_failure(Reply::Foreign, &text, what, url)
}

/// What a reply means that should be small and is not.
pub(super) fn too_long(client: &HttpClient, text: &[u8], what: &str, url: &str) -> Failure {
    let text = client.redacted(&String::from_utf8_lossy(text));
    Failure::destination(format!(
        "what answers at {url} is not a Form queue: its reply to {what} exceeds {MAX_REPLY_BYTES} bytes and starts with: {}",
        excerpt(text.as_bytes())
    ))
}

/// What a reply means that did not come, or not all of it.
pub(super) fn transport_failure(error: &reqwest::Error, what: &str, url: &str) -> Failure {
    http_client::transport_failure(error, QUEUE.name, what, url)
}

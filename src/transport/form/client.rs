//! HTTP to a Form queue: what its statuses mean, and its small replies.

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use crate::transport::http_client::{self, HttpClient, MAX_REPLY_BYTES, Peer, excerpt};
use crate::transport::{ConnectOptions, Failure, FormAddress};

/// A Form queue says everything that went well with 200.
const QUEUE: Peer = Peer { name: "queue", accepts: |status| status == StatusCode::OK, advice: |_| None };

pub(super) fn client(address: &FormAddress, options: &ConnectOptions) -> Result<HttpClient, Failure> {
    HttpClient::new(QUEUE, &address.host, address.tls, options, HeaderMap::new())
}

/// The whole text of a small reply.
pub(super) async fn small_body(mut response: Response, what: &str, url: &str) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read = http_client::read_at_most(&mut response, MAX_REPLY_BYTES, &mut text).await;
    if read.map_err(|error| transport_failure(&error, what, url))? {
        return Ok(text);
    }
    Err(too_long(&text, what, url))
}

/// What a reply means that should be small and is not.
pub(super) fn too_long(text: &[u8], what: &str, url: &str) -> Failure {
    Failure::destination(format!(
        "what answers at {url} is not a Form queue: its reply to {what} exceeds {MAX_REPLY_BYTES} bytes and starts with: {}",
        excerpt(text)
    ))
}

/// What a reply means that did not come, or not all of it.
pub(super) fn transport_failure(error: &reqwest::Error, what: &str, url: &str) -> Failure {
    http_client::transport_failure(error, QUEUE.name, what, url)
}

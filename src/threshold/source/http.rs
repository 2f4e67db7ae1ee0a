//! Thresholds from a server: one text over HTTP, read again only when it has changed (RFC 9110, section 13).

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};

use super::text::Texts;
use super::{Loaded, MAX_FILE_BYTES, SourceError, ThresholdSource};
use crate::events::EventId;
use crate::transport::http_client::{HttpClient, Peer, Server, read_at_most};
use crate::transport::{ConnectOptions, Repeat};

const WHAT: &str = "a request for thresholds";

const SERVER: Peer = Peer {
    name: "server",
    accepts: |status| matches!(status, StatusCode::OK | StatusCode::NOT_MODIFIED),
    advice: |status| match status.as_u16() {
        401 | 403 => Some("; check the token (FORMUSAGE_THRESHOLDS_TOKEN or --thresholds-token-file)"),
        404 | 410 => Some("; check the path of the address"),
        400 | 413 | 422 => Some("; check the address"),
        _ => None,
    },
    conflict: Repeat::No,
};

/// A text on a server.
#[derive(Debug)]
pub(super) struct HttpText {
    client: HttpClient,
    url: String,
    /// The address, for people.
    name: String,
    /// What the server called the version that was read.
    version: HeaderMap,
    digest: Option<EventId>,
    /// How long the server may take for all of it.
    time_limit: Duration,
}

impl HttpText {
    pub(super) fn new(url: &str, options: &ConnectOptions) -> Result<Self, SourceError> {
        let name = ThresholdSource::Http(url.to_owned()).to_string();
        let refuse = |why: String| SourceError::one(format!("thresholds can't be read from {name}: {why}"));
        let parsed = url::Url::parse(url).map_err(|error| refuse(error.to_string()))?;
        let host = parsed.host_str().unwrap_or_default();
        let port = parsed.port_or_known_default().unwrap_or_default();
        let server = Server { host, port, tls: parsed.scheme() == "https" };
        let client = HttpClient::new(SERVER, &server, options, HeaderMap::new()).map_err(|it| refuse(it.message))?;
        let client = client.hiding(url, false);
        Ok(Self {
            client,
            url: url.to_owned(),
            name,
            version: HeaderMap::new(),
            digest: None,
            time_limit: options.timeout,
        })
    }

    /// What it holds; `None` where that is what it held at the last call.
    pub(super) async fn poll(&mut self) -> Result<Option<Loaded>, SourceError> {
        let time_limit = self.time_limit;
        // For the whole text: a server that sends a byte now and then would never be late with the next one.
        let read = tokio::time::timeout(time_limit, self.read()).await;
        read.unwrap_or_else(|_| {
            Err(SourceError::one(format!(
                "thresholds can't be read from {}: the server gave no whole answer within {time_limit:?}",
                self.name
            )))
        })
    }

    async fn read(&mut self) -> Result<Option<Loaded>, SourceError> {
        let refuse = |name: &str, why: String| SourceError::one(format!("thresholds can't be read from {name}: {why}"));
        let mut request = self.client.get(&self.url).header(ACCEPT, "application/json");
        for (name, value) in &self.version {
            request = request.header(name, value);
        }
        let sent = self.client.send(request, WHAT, &self.name).await;
        let mut response = sent.map_err(|failure| refuse(&self.name, failure.message))?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let legible = HttpClient::refuse_compressed(&response, WHAT, &self.name);
        legible.map_err(|failure| refuse(&self.name, failure.message))?;
        let version = version(response.headers());
        let mut text = Vec::new();
        let limit = usize::try_from(MAX_FILE_BYTES).unwrap_or(usize::MAX);
        match read_at_most(&mut response, limit, &mut text).await {
            Ok(true) => {}
            Ok(false) => return Err(refuse(&self.name, format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20))),
            Err(error) => {
                let cause = crate::transport::cause::innermost(&error);
                return Err(refuse(&self.name, format!("the connection ended before the text was whole: {cause}")));
            }
        }
        // Some servers name no version.
        let digest = Some(EventId::of(&text));
        let known = std::mem::replace(&mut self.digest, digest) == digest;
        self.version = version;
        if known {
            return Ok(None);
        }
        let mut texts = Texts::default();
        texts.add(&self.name, &text);
        texts.finish().map(Some)
    }
}

/// The headers that ask for another version than this one.
fn version(headers: &HeaderMap) -> HeaderMap {
    let mut asked = HeaderMap::new();
    let mut ask = |given, asking| {
        if let Some(value) = headers.get(given) {
            asked.insert(asking, HeaderValue::clone(value));
        }
    };
    ask(ETAG, IF_NONE_MATCH);
    ask(LAST_MODIFIED, IF_MODIFIED_SINCE);
    asked
}

//! Posting CloudEvents.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::HttpAddress;
use super::encoding::{self, BATCH, JSON, STRUCTURED};
use super::options::{self, CloudEventsMode};
use crate::events::EncodedEvent;
use crate::transport::http_client::{self, HttpClient, Peer, Server};
use crate::transport::{BatchLimits, BoxFuture, ConnectOptions, Failure, Outcome, Repeat, Sink};

/// What a batch holds. With the attributes of a hundred events a request stays below 1 MiB, the usual limit of web
/// servers; a lower one shows as 413, and halves the batch.
const BATCH_LIMITS: BatchLimits = BatchLimits { events: 100, bytes: 900 << 10 };

/// Posts events to a service that takes CloudEvents. Its reply's status alone decides.
#[derive(Debug)]
pub struct CloudEventsSink {
    client: HttpClient,
    url: String,
    /// The URL as errors name it.
    shown: String,
    mode: CloudEventsMode,
    source: String,
    told_of_page: AtomicBool,
}

impl CloudEventsSink {
    /// A sink for `address`. Connects when the first event is sent.
    ///
    /// # Errors
    /// A failure of the destination: a source that is no URI reference, a token or a header that can't be sent, TLS
    /// that can't be set up.
    pub fn new(address: &HttpAddress, options: &ConnectOptions) -> Result<Self, Failure> {
        let mode = options.cloud_events.mode;
        let advice = if mode == CloudEventsMode::Batched { batch_advice } else { advice };
        // The id of a CloudEvent is its own: what conflicts with it is the event itself, taken before.
        let peer = Peer { name: "service", accepts, advice, conflict: Repeat::Certain };
        let url = address.to_string();
        let server = Server { host: &address.host, port: address.port, tls: address.tls };
        let client = HttpClient::new(peer, &server, options, options::headers(options)?)?;
        Ok(Self {
            client: client.hiding(&url, false),
            url,
            shown: address.without_query(),
            mode,
            source: options::source(&options.cloud_events)?.to_owned(),
            told_of_page: AtomicBool::new(false),
        })
    }

    async fn post(&self, what: &str, headers: HeaderMap, kind: &'static str, body: Vec<u8>) -> Result<(), Failure> {
        let request = self.client.post(&self.url).headers(headers).header(CONTENT_TYPE, kind).body(body);
        let mut response = self.client.send(request, what, &self.shown).await?;
        if is_page(response.headers()) && !self.told_of_page.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} answered {what} with {} and a web page, as a login page or a portal does; the status is taken for an \
                 acknowledgement; check that events arrive there",
                self.shown,
                response.status().as_u16()
            );
        }
        http_client::text_of(&mut response).await;
        Ok(())
    }

    async fn post_one(&self, event: &EncodedEvent) -> Result<(), Failure> {
        let (headers, kind, body) = match self.mode {
            CloudEventsMode::Binary => (encoding::binary_headers(event, &self.source)?, JSON, event.body().to_vec()),
            CloudEventsMode::Structured | CloudEventsMode::Batched => {
                (HeaderMap::new(), STRUCTURED, encoding::structured(event, &self.source)?)
            }
        };
        self.post("an event", headers, kind, body).await
    }
}

impl Sink for CloudEventsSink {
    fn limits(&self) -> BatchLimits {
        match self.mode {
            CloudEventsMode::Binary | CloudEventsMode::Structured => BatchLimits::ONE,
            CloudEventsMode::Batched => BATCH_LIMITS,
        }
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        Box::pin(async move {
            if self.mode == CloudEventsMode::Batched {
                let body = encoding::batch(events, &self.source)?;
                let what = if events.len() == 1 { "an event" } else { "a batch of events" };
                self.post(what, HeaderMap::new(), BATCH, body).await?;
                return Ok(vec![Outcome::Delivered; events.len()]);
            }
            let mut outcomes = Vec::with_capacity(events.len());
            for event in events {
                outcomes.push(self.post_one(event).await.map_or_else(Outcome::Failed, |()| Outcome::Delivered));
            }
            Ok(outcomes)
        })
    }

    fn lost_replies(&self) -> u64 {
        self.client.lost_replies()
    }
}

/// Whether a reply is a page for people.
fn is_page(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/html"))
}

/// Any success will do but one: 207 says that what became of each event stands in the reply, in a form of the
/// service's own. To take that for an acknowledgement could lose events.
fn accepts(status: StatusCode) -> bool {
    status.is_success() && status != StatusCode::MULTI_STATUS
}

fn advice(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        207 => Some("; that is no acknowledgement, so ask its maker for an address that answers with one status"),
        401 | 403 => Some("; check the token (FORMUSAGE_TOKEN or --token-file) and the headers (--header-file)"),
        404 | 405 => Some("; check host, port and path (a Form queue is form://HOST/TOPIC)"),
        415 => Some("; it takes no events in this form, so try another --cloudevents-mode"),
        _ => None,
    }
}

fn batch_advice(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        207 => Some("; that is no acknowledgement of them all, so send them one by one: --cloudevents-mode structured"),
        400 => Some(
            "; this event can't be delivered as it is, or the service takes no batches (--cloudevents-mode binary)",
        ),
        415 => Some("; it takes no batches, so send events one by one: --cloudevents-mode binary, or structured"),
        _ => advice(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_success_but_multi_status_is_an_acknowledgement() {
        for code in 100..600 {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(accepts(status), (200..300).contains(&code) && code != 207, "{code}");
        }
    }
}

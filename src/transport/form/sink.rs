//! Writing to a Form queue: one event a request.

use reqwest::header::CONTENT_TYPE;

use super::wire::{self, MAX_REQUEST_BYTES, Reply};
use super::{client, topic_hash};
use crate::events::EncodedEvent;
use crate::transport::http_client::HttpClient;
use crate::transport::{BatchLimits, BoxFuture, ConnectOptions, Failure, FormAddress, Outcome, Sink};

/// Writes events to a topic of a Form queue.
#[derive(Debug)]
pub struct FormSink {
    client: HttpClient,
    url: String,
    topic_hash: String,
    sub_topic: u8,
}

impl FormSink {
    /// A sink for `address`. Connects when the first event is sent.
    ///
    /// # Errors
    /// A failure of the destination: a token that no header can hold, TLS that can't be set up.
    pub fn new(address: &FormAddress, options: &ConnectOptions) -> Result<Self, Failure> {
        Ok(Self {
            client: client::client(address, options)?,
            url: format!("{}/queue/write_local", address.base_url()),
            topic_hash: topic_hash(&address.topic),
            sub_topic: address.sub_topic,
        })
    }

    async fn write(&self, event: &EncodedEvent) -> Result<(), Failure> {
        const WHAT: &str = "a write";
        let request = wire::write_request(&self.topic_hash, self.sub_topic, event.body());
        // Far over the limit the queue answers early and closes, which would look like a broken connection.
        if request.len() > MAX_REQUEST_BYTES {
            return Err(Failure::event(format!(
                "the event makes a request of {} bytes and the queue takes {MAX_REQUEST_BYTES}; shorten it",
                request.len()
            )));
        }
        let request = self.client.post(&self.url).header(CONTENT_TYPE, "application/json").body(request);
        let response = self.client.send(request, WHAT, &self.url).await?;
        let text = client::small_body(response, WHAT, &self.url).await?;
        match wire::read_reply(&text) {
            Reply::Success => Ok(()),
            other => Err(wire::reply_failure(other, &text, WHAT, &self.url)),
        }
    }
}

impl Sink for FormSink {
    fn limits(&self) -> BatchLimits {
        BatchLimits::ONE
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(events.len());
            for event in events {
                outcomes.push(self.write(event).await.map_or_else(Outcome::Failed, |()| Outcome::Delivered));
            }
            Ok(outcomes)
        })
    }
}

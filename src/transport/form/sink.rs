//! Writing to a Form queue: one event a request.

use reqwest::header::CONTENT_TYPE;

use super::wire::{self, MAX_REQUEST_BYTES, Reply};
use super::{client, topic_hash};
use crate::events::EncodedEvent;
use crate::transport::http_client::{DirectPost, HttpClient, Text};
use crate::transport::{BatchLimits, BoxFuture, ConnectOptions, Failure, FormAddress, Outcome, Sink};

const PATH: &str = "/queue/write_local";

/// What errors call a request.
const WHAT: &str = "a write";

/// Writes events to a topic of a Form queue.
#[derive(Debug)]
pub struct FormSink {
    client: HttpClient,
    /// In the clear and without a proxy in between; the other client is for the rest.
    direct: Option<DirectPost>,
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
        let client = client::client(address, options)?;
        let direct = || DirectPost::new(client.clone(), &address.host, address.port, PATH, options);
        Ok(Self {
            direct: if address.tls { None } else { direct() },
            client,
            url: format!("{}{PATH}", address.base_url()),
            topic_hash: topic_hash(&address.topic),
            sub_topic: address.sub_topic,
        })
    }

    async fn write(&self, event: &EncodedEvent) -> Result<(), Failure> {
        let room = self.direct.as_ref().map_or(0, DirectPost::head_room);
        let mut request = self.direct.as_ref().map(DirectPost::buffer).unwrap_or_default();
        request.resize(room, 0);
        wire::push_write_request(&mut request, &self.topic_hash, self.sub_topic, event.body());
        // Far over the limit the queue answers early and closes, which would look like a broken connection.
        let length = request.len() - room;
        if length > MAX_REQUEST_BYTES {
            return Err(Failure::event(format!(
                "the event makes a request of {length} bytes and the queue takes {MAX_REQUEST_BYTES}; shorten it"
            )));
        }
        let text = match &self.direct {
            Some(direct) => match direct.send(request, WHAT).await? {
                Text { bytes, whole: true } => bytes,
                Text { bytes, whole: false } => return Err(client::too_long(&self.client, &bytes, WHAT, &self.url)),
            },
            // Its state is large, and not carried along where it is not needed.
            None => Box::pin(self.post(request)).await?,
        };
        match wire::read_reply(&text) {
            Reply::Success => Ok(()),
            _ => Err(client::other_reply(&self.client, &text, WHAT, &self.url)),
        }
    }

    /// The reply's text, by the client for all that is not direct.
    async fn post(&self, request: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let request = self.client.post(&self.url).header(CONTENT_TYPE, "application/json").body(request);
        let response = self.client.send(request, WHAT, &self.url).await?;
        client::small_body(&self.client, response, WHAT, &self.url).await
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

    fn lost_replies(&self) -> u64 {
        self.client.lost_replies()
    }
}

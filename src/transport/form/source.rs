//! Reading a topic of a Form queue, in pieces.

use std::time::Duration;

use reqwest::Response;

use super::client;
use super::list::{ListReader, NotAList};
use super::wire::{self, Reply};
use crate::events::EventId;
use crate::transport::destination::percent_encoded;
use crate::transport::http_client::HttpClient;
use crate::transport::http_client::excerpt;
use crate::transport::{BoxFuture, ConnectOptions, Failure, FormAddress, Message, Polled, Reach, Source};

/// A poll hands out what it has once it holds so many messages.
const POLL_MESSAGES: usize = 1_000;
/// Or so many bytes of them.
const POLL_BYTES: usize = 4 << 20;
/// How much of a reply is looked at to see that it is no list.
const MAX_OTHER_REPLY: usize = 64 << 10;
/// As much may come before a list's first message has ended: the largest message, four digits a byte, and blanks.
const MAX_FIRST_MESSAGE: usize = 16 << 20;

/// Reads the messages of one topic and sub-topic from the first one on.
///
/// The queue forgets everything when it restarts, and then counts from 0 again. To notice, each request asks for the
/// last message that was seen and for those behind it: where that one is no longer there, reading starts anew.
#[derive(Debug)]
pub struct FormSource {
    client: HttpClient,
    address: FormAddress,
    options: ConnectOptions,
    /// The index behind the last message seen, and that message's id.
    next: u64,
    last: Option<EventId>,
    reply: Option<OpenReply>,
}

/// A reply whose list is still arriving.
#[derive(Debug)]
struct OpenReply {
    response: Response,
    list: ListReader,
    /// The index of the list's next message.
    index: u64,
    url: String,
}

/// What a request for messages met.
enum Asked {
    List(Box<OpenReply>, Vec<Vec<u8>>),
    /// The queue holds nothing at or behind that index, or no such topic.
    Nothing(String),
}

impl FormSource {
    /// A source for `address`. Connects at the first poll.
    ///
    /// # Errors
    /// A failure of the destination: a token that no header can hold, TLS that can't be set up.
    pub fn new(address: &FormAddress, options: &ConnectOptions) -> Result<Self, Failure> {
        let client = client::client(address, options)?;
        Ok(Self { client, address: address.clone(), options: options.clone(), next: 0, last: None, reply: None })
    }

    async fn next_piece(&mut self) -> Result<Polled, Failure> {
        let mut raw = Vec::new();
        let mut open = match self.reply.take() {
            Some(open) => open,
            None => match self.ask_in_time(self.next.saturating_sub(1)).await? {
                Asked::List(open, found) => {
                    raw = found;
                    *open
                }
                Asked::Nothing(_) if self.next > 0 => {
                    tracing::warn!(address = %self.address, "the queue no longer holds the last message read: it was restarted; reading from its start");
                    (self.next, self.last) = (0, None);
                    return Ok(Polled::UpToDate);
                }
                Asked::Nothing(reason) => {
                    let reason = excerpt(self.client.redacted(&reason).as_bytes());
                    return Ok(Polled::Absent(format!(
                        "the queue at {} holds no topic {:?} ({reason}): nothing was written to it since the queue started, or the name is another",
                        self.address.base_url(),
                        self.address.topic
                    )));
                }
            },
        };
        let mut messages = Vec::new();
        let mut bytes = 0;
        loop {
            for content in raw.drain(..) {
                bytes += content.len();
                if let Some(message) = self.accept(open.index, content)? {
                    messages.push(message);
                }
                open.index += 1;
            }
            if messages.len() >= POLL_MESSAGES || bytes >= POLL_BYTES {
                self.reply = Some(open);
                return Ok(Polled::Messages(messages));
            }
            if open.list.is_whole() {
                return Ok(if messages.is_empty() { Polled::UpToDate } else { Polled::Messages(messages) });
            }
            match open.read_more(&mut raw, self.options.timeout).await {
                Ok(()) => {}
                // What came is whole; the next poll asks for the rest.
                Err(_) if !messages.is_empty() => return Ok(Polled::Messages(messages)),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Moves past one message; gives it back unless it was seen or belongs to another sub-topic.
    fn accept(&mut self, index: u64, content: Vec<u8>) -> Result<Option<Message>, Failure> {
        let id = EventId::of(&content);
        if index < self.next {
            if self.last == Some(id) {
                return Ok(None);
            }
            (self.next, self.last, self.reply) = (0, None, None);
            return Err(Failure::service(format!(
                "the queue at {} was restarted while it was read: another message stands in the place of the last one; reading starts anew",
                self.address.base_url()
            )));
        }
        self.next = index + 1;
        self.last = Some(id);
        Ok(match content.split_first() {
            Some((sub_topic, body)) if *sub_topic == self.address.sub_topic => {
                Some(Message { position: index, body: body.to_vec() })
            }
            _ => None,
        })
    }

    /// Asks for the messages from `index` on; the time limit is for the first message, or for all of another reply.
    async fn ask_in_time(&self, index: u64) -> Result<Asked, Failure> {
        let topic = percent_encoded(&self.address.topic);
        let url = format!("{}/queue/{topic}/{index}/get_after", self.address.base_url());
        within(self.options.timeout, &url, self.ask(index, url.clone())).await
    }

    async fn ask(&self, index: u64, url: String) -> Result<Asked, Failure> {
        const WHAT: &str = "a read";
        let response = self.client.send(self.client.get(&url), WHAT, &url).await?;
        HttpClient::refuse_compressed(&response, WHAT, &url)?;
        let mut open = OpenReply { response, list: ListReader::default(), index, url };
        let mut text = Vec::new();
        let mut found = Vec::new();
        let mut listing = true;
        while let Some(chunk) = open.chunk().await? {
            listing = listing && open.list.push(&chunk, &mut found).is_ok();
            // A first message is proof enough that the rest is to be read as a list.
            if listing && (!found.is_empty() || open.list.is_whole()) {
                return Ok(Asked::List(Box::new(open), found));
            }
            text.extend_from_slice(&chunk);
            if text.len() > if listing { MAX_FIRST_MESSAGE } else { MAX_OTHER_REPLY } {
                return Err(client::no_list(&self.client, &text, WHAT, &open.url));
            }
        }
        match wire::read_reply(&text) {
            Reply::Refused(reason) => Ok(Asked::Nothing(reason.unwrap_or_else(|| "no reason given".to_owned()))),
            _ => Err(client::other_reply(&self.client, &text, WHAT, &open.url)),
        }
    }
}

impl OpenReply {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let chunk = self.response.chunk().await;
        chunk.map(|chunk| chunk.map(Vec::from)).map_err(|error| client::transport_failure(&error, "a read", &self.url))
    }

    /// Reads until another message is whole or the list is, within `limit`, however little comes at a time.
    async fn read_more(&mut self, found: &mut Vec<Vec<u8>>, limit: Duration) -> Result<(), Failure> {
        let url = self.url.clone();
        let nonsense = |why: &str| Failure::service(format!("the list that {url} sends {why}")).reached(Reach::Unknown);
        let message = async {
            while found.is_empty() && !self.list.is_whole() {
                let chunk = self.chunk().await?.ok_or_else(|| nonsense("ends in the middle"))?;
                let listed = self.list.push(&chunk, found);
                listed.map_err(|NotAList| nonsense("holds something else than messages"))?;
            }
            Ok(())
        };
        within(limit, &url, message).await
    }
}

/// Bounds the wait for one message.
async fn within<T>(limit: Duration, url: &str, wait: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Failure::service(format!("{url} sent no whole message for {limit:?}")).reached(Reach::Unknown);
    tokio::time::timeout(limit, wait).await.map_err(late)?
}

impl Source for FormSource {
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, Failure>> {
        Box::pin(self.next_piece())
    }
}

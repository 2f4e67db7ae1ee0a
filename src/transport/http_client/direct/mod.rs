//! Posting over plain HTTP/1.1 without ceremony: connections of our own, kept alive, and a request that is one buffer.
//!
//! A general client takes some 15 µs for a request of a kilobyte, most of it tasks, channels and header maps; this one
//! takes what the operating system takes. It speaks to the server itself, in the clear: TLS and proxies are the matter of
//! [`HttpClient`].

mod dial;
mod exchange;
mod framing;
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) mod fuzzing;
mod pool;

use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) use self::dial::{DialError, dial};
pub(super) use self::exchange::Connection;
use self::exchange::{ExchangeError, TextEnd};
use self::framing::Head;
use self::pool::{Pool, Pooled, lock};
use super::failure::{broken_off, compressed, content_coding, no_connection, not_http};
use super::{CONNECT_TIMEOUT, HttpClient, RefusalHead, TEXT_PATIENCE, USER_AGENT};
use crate::clock::{Clock, SystemClock};
use crate::transport::{ConnectOptions, Failure};

/// Room for the length of a body and the empty line behind it.
const LENGTH_ROOM: usize = 24;

/// Posts to one path of one server.
pub(in crate::transport) struct DirectPost {
    /// Judges statuses, and knows our secrets.
    client: HttpClient,
    host: String,
    port: u16,
    url: String,
    /// The head up to the value of `content-length`.
    head: Vec<u8>,
    connect_timeout: Duration,
    pool: Arc<Mutex<Pool>>,
}

impl fmt::Debug for DirectPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectPost").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What came back where the status says that all went well.
pub(in crate::transport) struct Text {
    /// The reply's text, or as much of it as a reply without events may have.
    pub(in crate::transport) bytes: Vec<u8>,
    /// It is all of it.
    pub(in crate::transport) whole: bool,
}

impl DirectPost {
    /// Posts JSON to `path` (as it stands in a request) at `host` (an IPv6 address in brackets); `None` where a proxy of
    /// the environment is in between. `client` must be for the same server.
    pub(in crate::transport) fn new(
        client: HttpClient,
        host: &str,
        port: u16,
        path: &str,
        options: &ConnectOptions,
    ) -> Option<Self> {
        if client.proxy.is_some() {
            return None;
        }
        let mut head =
            format!("POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\nuser-agent: {USER_AGENT}\r\naccept: */*\r\n");
        if let Some(token) = &options.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        head.push_str("content-type: application/json\r\ncontent-length: ");
        Some(Self {
            client,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            url: format!("http://{host}:{port}{path}"),
            head: head.into_bytes(),
            connect_timeout: options.timeout.min(CONNECT_TIMEOUT),
            pool: Arc::default(),
        })
    }

    /// How many bytes a request buffer must leave free in front of the body.
    pub(in crate::transport) const fn head_room(&self) -> usize {
        self.head.len() + LENGTH_ROOM
    }

    /// An empty buffer to write a request into.
    pub(in crate::transport) fn buffer(&self) -> Vec<u8> {
        lock(&self.pool).buffers.pop().unwrap_or_default()
    }

    /// Posts the body that stands in `request` behind [`DirectPost::head_room`] bytes, whose content does not matter.
    /// Errors name the request by `what`.
    pub(in crate::transport) async fn send(&self, mut request: Vec<u8>, what: &str) -> Result<Text, Failure> {
        let start = self.frame(&mut request);
        // What is rare is kept out of the state of what is not.
        let (mut pooled, was_kept) = match self.idle_connection().await {
            Some(pooled) => (pooled, true),
            None => (Box::pin(self.connect()).await?, false),
        };
        let sent = pooled.connection.send(request.get(start..).unwrap_or_default()).await;
        if was_kept && matches!(sent, Err(ExchangeError::Io(_))) && !pooled.connection.has_heard() {
            return Box::pin(self.send_anew(request, start, what)).await;
        }
        self.judge(pooled, sent, request, what).await
    }

    /// Sends a request that a kept connection has lost, without a byte of a reply, once more on a connection of its own. A
    /// server that closes kept connections does so under a request now and then; that is no attempt.
    async fn send_anew(&self, request: Vec<u8>, start: usize, what: &str) -> Result<Text, Failure> {
        self.client.note_lost_reply();
        let result = match self.connect().await {
            Ok(mut pooled) => {
                let sent = pooled.connection.send(request.get(start..).unwrap_or_default()).await;
                self.judge(pooled, sent, request, what).await
            }
            Err(failure) => Err(failure),
        };
        result.map_err(|failure| Failure { resent: true, ..failure })
    }

    /// What the head of a reply, or its lack, means; and the reply's text.
    async fn judge(
        &self,
        mut pooled: Pooled,
        sent: Result<Head, ExchangeError>,
        request: Vec<u8>,
        what: &str,
    ) -> Result<Text, Failure> {
        let head = sent.map_err(|error| self.client.known_as_http(self.failure(error, what)))?;
        self.client.note_answer();
        if !self.client.accepts(head.status) {
            return Box::pin(self.refused(pooled, head, request, what)).await;
        }
        let (bytes, end) = pooled.connection.text(&head).await;
        if let Some(coding) = head.content_encoding().and_then(content_coding) {
            return Err(compressed(&self.url, what, coding));
        }
        match end {
            TextEnd::Whole => {
                self.put_back(pooled, request);
                Ok(Text { bytes, whole: true })
            }
            TextEnd::TooLong => Ok(Text { bytes, whole: false }),
            TextEnd::Cut(error) => Err(self.failure(error, what)),
        }
    }

    /// What a status means that does not say that all went well.
    async fn refused(&self, mut pooled: Pooled, head: Head, request: Vec<u8>, what: &str) -> Result<Text, Failure> {
        // The status has decided; a text that is cut, endless or late is as good as none.
        let text = tokio::time::timeout(TEXT_PATIENCE, pooled.connection.text(&head)).await;
        let (bytes, end) = text.unwrap_or((Vec::new(), TextEnd::TooLong));
        if matches!(end, TextEnd::Whole) {
            self.put_back(pooled, request);
        }
        let refusal = RefusalHead {
            status: head.status,
            retry_after: head.retry_after(),
            location: head.location(),
            content_encoding: head.content_encoding(),
        };
        Err(self.client.refusal(refusal, &bytes, what, &self.url))
    }

    /// Writes the head right in front of the body. Where it starts.
    fn frame(&self, request: &mut [u8]) -> usize {
        let room = self.head_room();
        let mut length = [0; LENGTH_ROOM];
        let mut left = length.as_mut_slice();
        // A length of twenty digits fits.
        let _ = write!(left, "{}\r\n\r\n", request.len().saturating_sub(room));
        let unused = left.len();
        let parts = [self.head.as_slice(), length.get(..LENGTH_ROOM - unused).unwrap_or_default()];
        let start = room.saturating_sub(parts.iter().map(|part| part.len()).sum());
        let mut at = start;
        for part in parts {
            if let Some(place) = request.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
            at += part.len();
        }
        start
    }

    async fn idle_connection(&self) -> Option<Pooled> {
        loop {
            let mut pooled = lock(&self.pool).take(SystemClock.monotonic())?;
            if pooled.connection.is_quiet().await {
                return Some(pooled);
            }
        }
    }

    fn put_back(&self, pooled: Pooled, buffer: Vec<u8>) {
        if lock(&self.pool).put(pooled, buffer, SystemClock.monotonic()) {
            tokio::spawn(pool::close_the_old(Arc::downgrade(&self.pool)));
        }
    }

    async fn connect(&self) -> Result<Pooled, Failure> {
        let dialled = dial(&self.host, self.port, self.connect_timeout).await;
        let stream = dialled.map_err(|error| match error {
            DialError::Name(error) => error.failure(),
            DialError::Connection(cause) => no_connection(self.client.peer_name(), &self.url, &cause),
        })?;
        Ok(Pooled { connection: Connection::new(stream), opened: SystemClock.monotonic() })
    }

    fn failure(&self, error: ExchangeError, what: &str) -> Failure {
        match error {
            ExchangeError::NotHttp(cause) => not_http(&self.url, &cause),
            ExchangeError::Io(cause) => broken_off(&self.url, what, &cause),
        }
    }
}

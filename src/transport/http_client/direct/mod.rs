//! Posting over plain HTTP/1.1 without ceremony: connections of our own, kept alive, and a request that is one buffer.
//!
//! A general client takes some 15 µs for a request of a kilobyte, most of it tasks, channels and header maps; this one
//! takes what the operating system takes. It speaks to the server itself, in the clear: TLS and proxies are the matter of
//! [`HttpClient`].

mod dial;
mod exchange;
mod framing;

use std::collections::VecDeque;
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use self::dial::DialError;
use self::exchange::{Connection, ExchangeError, TextEnd};
use self::framing::Head;
use super::failure::{broken_off, compressed, content_coding, name_unresolved, no_connection, not_http};
use super::{CONNECT_TIMEOUT, HttpClient, IDLE_TIMEOUT, RefusalHead, TEXT_PATIENCE, USER_AGENT, is_loopback};
use crate::clock::{Clock, Monotonic, SystemClock};
use crate::transport::{ConnectOptions, Failure};

/// Room for the length of a body and the empty line behind it.
const LENGTH_ROOM: usize = 24;

/// A larger buffer is not kept: most requests have a kilobyte or two.
const KEPT_BUFFER_BYTES: usize = 16 << 10;

/// The variables that name a proxy for plain HTTP.
const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

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
    /// the environment may be in between. `client` must be for the same server.
    pub(in crate::transport) fn new(
        client: HttpClient,
        host: &str,
        port: u16,
        path: &str,
        options: &ConnectOptions,
    ) -> Option<Self> {
        let proxied = PROXY_VARIABLES.iter().any(|name| std::env::var_os(name).is_some_and(|it| !it.is_empty()));
        if proxied && !is_loopback(host) {
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
        let (mut connection, was_kept) = match self.idle_connection().await {
            Some(connection) => (connection, true),
            None => (Box::pin(self.connect()).await?, false),
        };
        let sent = connection.send(request.get(start..).unwrap_or_default()).await;
        if was_kept && matches!(sent, Err(ExchangeError::Io(_))) && !connection.has_heard() {
            return Box::pin(self.send_anew(request, start, what)).await;
        }
        self.judge(connection, sent, request, what).await
    }

    /// Sends a request that a kept connection has lost, without a byte of a reply, once more on a connection of its own. A
    /// server that closes kept connections does so under a request now and then; that is no attempt.
    async fn send_anew(&self, request: Vec<u8>, start: usize, what: &str) -> Result<Text, Failure> {
        let result = match self.connect().await {
            Ok(mut connection) => {
                let sent = connection.send(request.get(start..).unwrap_or_default()).await;
                self.judge(connection, sent, request, what).await
            }
            Err(failure) => Err(failure),
        };
        result.map_err(|failure| Failure { resent: true, ..failure })
    }

    /// What the head of a reply, or its lack, means; and the reply's text.
    async fn judge(
        &self,
        mut connection: Connection,
        sent: Result<Head, ExchangeError>,
        request: Vec<u8>,
        what: &str,
    ) -> Result<Text, Failure> {
        let head = sent.map_err(|error| self.client.known_as_http(self.failure(error, what)))?;
        self.client.note_answer();
        if !self.client.accepts(head.status) {
            return Box::pin(self.refused(connection, head, request, what)).await;
        }
        let (bytes, end) = connection.text(&head).await;
        if let Some(coding) = head.content_encoding().and_then(content_coding) {
            return Err(compressed(&self.url, what, coding));
        }
        match end {
            TextEnd::Whole => {
                self.put_back(connection, request);
                Ok(Text { bytes, whole: true })
            }
            TextEnd::TooLong => Ok(Text { bytes, whole: false }),
            TextEnd::Cut(error) => Err(self.failure(error, what)),
        }
    }

    /// What a status means that does not say that all went well.
    async fn refused(
        &self,
        mut connection: Connection,
        head: Head,
        request: Vec<u8>,
        what: &str,
    ) -> Result<Text, Failure> {
        // The status has decided; a text that is cut, endless or late is as good as none.
        let text = tokio::time::timeout(TEXT_PATIENCE, connection.text(&head)).await;
        let (bytes, end) = text.unwrap_or((Vec::new(), TextEnd::TooLong));
        if matches!(end, TextEnd::Whole) {
            self.put_back(connection, request);
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

    /// The connection used last: the others get a chance to grow old.
    async fn idle_connection(&self) -> Option<Connection> {
        loop {
            let Idle { mut connection, since } = lock(&self.pool).idle.pop_back()?;
            if SystemClock.monotonic().saturating_sub(since) < IDLE_TIMEOUT && connection.is_quiet().await {
                return Some(connection);
            }
        }
    }

    fn put_back(&self, connection: Connection, mut buffer: Vec<u8>) {
        if !connection.is_reusable() {
            return;
        }
        let mut pool = lock(&self.pool);
        if buffer.capacity() <= KEPT_BUFFER_BYTES && pool.buffers.len() <= pool.idle.len() {
            buffer.clear();
            pool.buffers.push(buffer);
        }
        pool.idle.push_back(Idle { connection, since: SystemClock.monotonic() });
        if !std::mem::replace(&mut pool.is_watched, true) {
            tokio::spawn(close_the_old(Arc::downgrade(&self.pool)));
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let dialled = dial::dial(&self.host, self.port, self.connect_timeout).await;
        dialled.map(Connection::new).map_err(|error| match error {
            DialError::Name(cause) => name_unresolved(&self.host, &cause),
            DialError::Connection(cause) => no_connection(self.client.peer_name(), &self.url, &cause),
        })
    }

    fn failure(&self, error: ExchangeError, what: &str) -> Failure {
        match error {
            ExchangeError::NotHttp(cause) => not_http(&self.url, &cause),
            ExchangeError::Io(cause) => broken_off(&self.url, what, &cause),
        }
    }
}

/// Connections that wait for the next request, the one used last at the end.
#[derive(Debug, Default)]
struct Pool {
    idle: VecDeque<Idle>,
    /// At most one more than there are idle connections.
    buffers: Vec<Vec<u8>>,
    /// A task closes those that nobody uses.
    is_watched: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Monotonic,
}

fn lock(pool: &Mutex<Pool>) -> std::sync::MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what has not been used for a while, until nothing is left.
async fn close_the_old(pool: Weak<Mutex<Pool>>) {
    loop {
        SystemClock.sleep(IDLE_TIMEOUT).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut pool = lock(&pool);
        let now = SystemClock.monotonic();
        while pool.idle.pop_front_if(|it| now.saturating_sub(it.since) >= IDLE_TIMEOUT).is_some() {}
        let most = pool.idle.len();
        pool.buffers.truncate(most);
        if pool.idle.is_empty() {
            pool.is_watched = false;
            return;
        }
    }
}

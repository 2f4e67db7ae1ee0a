//! The HTTP client that destinations share: how it is built, a request and its reply.

mod connection_thread;
mod direct;
mod failure;
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) mod fuzzing;
mod proxy;
mod renewed;
mod secret;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};

use self::connection_thread::ConnectionThread;
pub(super) use self::direct::{DirectPost, Text};
use self::failure::{
    Resolver, advice, compressed, content_coding, ended_without_reply, retry_after, status_kind, status_repeat,
};
pub(super) use self::failure::{excerpt, transport_failure};
use self::proxy::Proxy;
use self::renewed::RenewedClient;
#[cfg(feature = "ping")]
pub(crate) use self::secret::keys_in;
#[cfg(any(feature = "channels", feature = "ping"))]
pub(crate) use self::secret::mask;
use super::cause::innermost;
#[cfg(feature = "tls")]
use super::tls;
use super::{ConnectOptions, Failure, FailureKind, Reach, Repeat};
use crate::clock::{Clock as _, SystemClock};

/// The longest that opening a connection may take, whatever the time limit of an attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most that is read of a reply which holds no events.
pub(super) const MAX_REPLY_BYTES: usize = 64 << 10;

/// How long the text of a reply is waited for whose status has decided everything.
const TEXT_PATIENCE: Duration = Duration::from_secs(2);

/// How long a connection is kept for a next request. A quiet spell of an hour between events is normal, and the other side
/// or a proxy may have closed by then.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection is used, however busy it is: a name that leads elsewhere by now (a failover by DNS) is followed
/// after this time at the latest.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(180);

const USER_AGENT: &str = concat!("formusage/", env!("CARGO_PKG_VERSION"));

/// What is meant to answer: how errors call it, and what its statuses mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// `queue`, `service`.
    pub(crate) name: &'static str,
    /// Whether a status says that all went well.
    pub(crate) accepts: fn(StatusCode) -> bool,
    /// What to do about a refusal, where it is another thing than [`advice`] says.
    pub(crate) advice: fn(StatusCode) -> Option<&'static str>,
    /// What 409 for one event alone says.
    pub(crate) conflict: Repeat,
}

/// What a reply's head says beside that all went well.
#[derive(Debug, Clone, Copy)]
struct RefusalHead<'a> {
    status: StatusCode,
    retry_after: Option<&'a str>,
    location: Option<&'a str>,
    content_encoding: Option<&'a str>,
}

/// A server as a URL names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server<'a> {
    /// A name or an address, an IPv6 address in brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// TLS is spoken there.
    pub(crate) tls: bool,
}

/// The proxy of the environment through which requests to `server` go, for people: without its password.
pub(super) fn proxy_of_environment(server: &Server<'_>) -> Option<String> {
    Proxy::of_environment(server).ok().flatten().map(|proxy| proxy.to_string())
}

/// A client for one destination. It knows the secrets that it sends, so that no error repeats them.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Arc<RenewedClient>,
    /// Keeps no connections: for a request that a kept one has lost.
    unpooled: Client,
    thread: ConnectionThread,
    host: Arc<str>,
    port: u16,
    tls: bool,
    proxy: Option<Arc<Proxy>>,
    peer: Peer,
    secrets: Arc<[String]>,
    /// Something there has answered in HTTP before.
    has_answered: Arc<AtomicBool>,
    /// Requests that a kept connection lost, and that went out again at once.
    lost_replies: Arc<AtomicU64>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("peer", &self.peer.name).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client for `server`, which sends `headers` with every request; all of them count as secrets.
    pub(crate) fn new(
        peer: Peer,
        server: &Server<'_>,
        options: &ConnectOptions,
        mut headers: HeaderMap,
    ) -> Result<Self, Failure> {
        let proxy = Proxy::of_environment(server)?;
        let mut secrets: Vec<String> = headers.values().map(shown).collect();
        if let Some(token) = &options.token {
            let value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                Failure::destination(
                    "the token holds characters that no HTTP header may hold; check the file or FORMUSAGE_TOKEN",
                )
            })?;
            headers.insert(AUTHORIZATION, value);
            secrets.push(token.clone());
        }
        headers.values_mut().for_each(|value| value.set_sensitive(true));
        secrets.extend(proxy.as_ref().and_then(Proxy::password).map(str::to_owned));
        let tls_needed = server.tls || proxy.as_ref().is_some_and(Proxy::is_tls);
        if tls_needed && cfg!(not(feature = "tls")) {
            return Err(Failure::destination("this build speaks no TLS; build it with the feature `tls`"));
        }
        #[cfg(feature = "tls")]
        let tls_config = {
            let roots = match &options.ca_file {
                _ if !tls_needed => tls::Roots::None,
                Some(path) => tls::Roots::File(path),
                None => tls::Roots::System,
            };
            tls::client_config(roots, options.client_certificate.as_ref())?
        };
        let connect_timeout = options.timeout.min(CONNECT_TIMEOUT);
        let to_client = proxy.as_ref().map(Proxy::to_client).transpose()?;
        let build = move |pooled: bool| {
            let builder = Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(connect_timeout)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .dns_resolver(Resolver)
                .tcp_nodelay(true)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .default_headers(headers.clone())
                // The environment was asked above, with the port.
                .no_proxy();
            let builder = if pooled { builder } else { builder.pool_max_idle_per_host(0) };
            let builder = match &to_client {
                Some(proxy) => builder.proxy(proxy.clone()),
                None => builder,
            };
            #[cfg(feature = "tls")]
            let builder = builder.tls_backend_preconfigured(tls_config.clone());
            builder
                .build()
                .map_err(|error| Failure::destination(format!("the HTTP client can't be built: {}", innermost(&error))))
        };
        let unpooled = build(false)?;
        Ok(Self {
            client: Arc::new(RenewedClient::new(Box::new(move || build(true)), SystemClock.monotonic())?),
            unpooled,
            thread: ConnectionThread::default(),
            host: server.host.into(),
            port: server.port,
            tls: server.tls,
            proxy: proxy.map(Arc::new),
            peer,
            secrets: in_order(secrets),
            has_answered: Arc::default(),
            lost_replies: Arc::default(),
        })
    }

    /// The same, which takes what may be a key in `url` for a secret: its query, and its path where `and_path` says so.
    pub(crate) fn hiding(mut self, url: &str, and_path: bool) -> Self {
        let secrets = self.secrets.iter().cloned().chain(secret::keys_in(url, and_path));
        self.secrets = in_order(secrets.collect());
        self
    }

    pub(crate) fn get(&self, url: &str) -> RequestBuilder {
        self.client.at(SystemClock.monotonic()).get(url)
    }

    pub(crate) fn post(&self, url: &str) -> RequestBuilder {
        self.client.at(SystemClock.monotonic()).post(url)
    }

    /// Sends `request` and waits for the head of a reply that says that all went well. Errors name the request by
    /// `what` and the address by `url`.
    pub(crate) async fn send(&self, request: RequestBuilder, what: &str, url: &str) -> Result<Response, Failure> {
        let spare = request.try_clone();
        let mut sent = self.thread.run(request.send()).await;
        let mut resent = false;
        // A server that closes kept connections may do so under a request. That is no attempt: the identical bytes go out
        // once more, on a connection of their own.
        if let (Err(error), Some(spare)) = (&sent, spare)
            && self.has_answered.load(Ordering::Relaxed)
            && ended_without_reply(error)
            && let Ok(request) = spare.build_split().1
        {
            self.note_lost_reply();
            (sent, resent) = (self.thread.run(self.unpooled.execute(request)).await, true);
        }
        let judged = match sent.map_err(reqwest::Error::without_url) {
            Err(error) => Err(Box::pin(self.not_sent(error, what, url)).await),
            Ok(response) => {
                self.note_answer();
                if (self.peer.accepts)(response.status()) {
                    Ok(response)
                } else {
                    Err(self.status_failure(response, what, url).await)
                }
            }
        };
        judged.map_err(|failure| Failure { resent, ..failure })
    }

    /// Refuses a reply whose text has to be read and is compressed.
    ///
    /// # Errors
    /// A failure of the destination that names the coding.
    pub(crate) fn refuse_compressed(response: &Response, what: &str, url: &str) -> Result<(), Failure> {
        let coding = response.headers().get(CONTENT_ENCODING).map(shown);
        coding.as_deref().and_then(content_coding).map_or(Ok(()), |coding| Err(compressed(url, what, coding)))
    }

    /// What an attempt means that got no reply.
    async fn not_sent(&self, error: reqwest::Error, what: &str, url: &str) -> Failure {
        if let Some(proxy) = self.proxy.as_ref().filter(|_| error.is_connect()) {
            let server = Server { host: &self.host, port: self.port, tls: self.tls };
            if let Some(failure) = proxy.explain(&error, &server, &self.client.at(SystemClock.monotonic())).await {
                return failure;
            }
        }
        self.known_as_http(transport_failure(&error, self.peer.name, what, url))
    }

    const fn peer_name(&self) -> &'static str {
        self.peer.name
    }

    fn accepts(&self, status: StatusCode) -> bool {
        (self.peer.accepts)(status)
    }

    /// How many requests a kept connection lost without a reply, each of which went out again at once.
    pub(crate) fn lost_replies(&self) -> u64 {
        self.lost_replies.load(Ordering::Relaxed)
    }

    fn note_lost_reply(&self) {
        self.lost_replies.fetch_add(1, Ordering::Relaxed);
    }

    /// Something there has answered in HTTP.
    fn note_answer(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }

    /// Who has answered before and makes no sense now is the service, and no other program on that port.
    fn known_as_http(&self, failure: Failure) -> Failure {
        let garbled = failure.kind == FailureKind::Destination && failure.reach == Reach::Answered;
        let known = self.has_answered.load(Ordering::Relaxed);
        if garbled && known { Failure::service(failure.message).reached(Reach::Unknown) } else { failure }
    }

    /// What a status that the peer does not accept means.
    async fn status_failure(&self, mut response: Response, what: &str, url: &str) -> Failure {
        let header = |name| response.headers().get(name).map(shown);
        let (after, location, coding) = (header(RETRY_AFTER), header(LOCATION), header(CONTENT_ENCODING));
        let text = text_of(&mut response).await;
        let head = RefusalHead {
            status: response.status(),
            retry_after: after.as_deref(),
            location: location.as_deref(),
            content_encoding: coding.as_deref(),
        };
        self.refusal(head, &text, what, url)
    }

    /// What a reply that the peer does not accept means, by its head and the text beside it.
    fn refusal(&self, head: RefusalHead<'_>, text: &[u8], what: &str, url: &str) -> Failure {
        let status = head.status;
        let kind = status_kind(status);
        let advice = (self.peer.advice)(status).unwrap_or_else(|| advice(kind, status));
        let moved = head.location.filter(|_| status.is_redirection());
        let moved = moved.map(|to| format!(" to {}", self.redacted(to))).unwrap_or_default();
        let text = self.redacted(&String::from_utf8_lossy(text));
        let said = match head.content_encoding.and_then(content_coding) {
            Some(coding) => {
                format!(" (its text is {}-compressed, which was not asked for)", excerpt(coding.as_bytes()))
            }
            None if text.trim().is_empty() => String::new(),
            None => format!(": {}", excerpt(text.as_bytes())),
        };
        let failure = Failure::of(kind, format!("{url} answered {what} with {status}{moved}{said}")).advised(advice);
        let failure = if kind == FailureKind::Destination { failure.reached(Reach::Refused) } else { failure };
        let failure = match &self.proxy {
            Some(proxy) => proxy.refusal(failure, status, what, url, &said),
            None => failure,
        };
        let repeat = status_repeat(status, self.peer.conflict);
        Failure { repeat, ..failure.retry_after(head.retry_after.and_then(retry_after)) }
    }

    /// `text` of the other side without our secrets, which some repeat in their refusals.
    pub(in crate::transport) fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| secret::mask(&text, secret))
    }
}

/// Secrets as they are to be taken out of a text: the longest first, since one may hold another.
fn in_order(mut secrets: Vec<String>) -> Arc<[String]> {
    secrets.retain(|secret| !secret.is_empty());
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into()
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Reads a reply to its end, at most `limit` bytes of it, and says whether that is all of it.
pub(crate) async fn read_at_most(
    response: &mut Response,
    limit: usize,
    text: &mut Vec<u8>,
) -> Result<bool, reqwest::Error> {
    while let Some(chunk) = response.chunk().await? {
        let room = limit - text.len();
        text.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What comes of a reply's text within reason. Reading it to its end lets the connection be used again.
pub(crate) async fn text_of(response: &mut Response) -> Vec<u8> {
    let mut text = Vec::new();
    // The status has decided; a text that is cut, endless or late is as good as none.
    let _ = tokio::time::timeout(TEXT_PATIENCE, read_at_most(response, MAX_REPLY_BYTES, &mut text)).await;
    text
}

//! Connections to a NATS cluster.
//!
//! The client never reconnects: it would send what it still holds on the new connection, behind events that were lost
//! with the old one, and so break their order. A [`Link`] is one connection; once it is lost, all that waits on it fails
//! at once, and the next attempt makes a new one, to any server of the cluster. Between the client and the server stands
//! a [`Relay`], which bounds what the server can do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{ConnectError, ConnectErrorKind, Event, ServerError};
use tokio::sync::watch;

use super::dial::{DialError, TlsSettings, dial};
use super::relay::{Allowance, Relay, ServerFault};
use super::{UserCredentials, failure};
use crate::clock::{Clock as _, SystemClock};
use crate::transport::cause::{innermost, shortage};
use crate::transport::http_client::excerpt;
use crate::transport::name;
use crate::transport::tls::{Roots, client_config};
use crate::transport::{ConnectOptions, Failure, FailureKind, NatsAddress, NatsServer, Reach};

/// The longest that opening a connection may take, whatever the time limit of an attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So many of the servers that others told of are remembered: each is tried in turn when no other answers.
const MAX_DISCOVERED: usize = 64;
/// The longest wait for an answer, as NATS clients have it: a message that was lost with a leader gets none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead connection is noticed after two of these without a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// More than all attempts together have under way: an attempt that waited for room while it held some would wait for ever.
const MAX_UNDER_WAY: usize = 1 << 20;

/// Makes connections to the servers of one address.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(super) address: NatsAddress,
    options: ConnectOptions,
    allowance: Allowance,
    /// Servers that others told of.
    discovered: Mutex<Vec<NatsServer>>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) context: Context,
    /// The server, for messages.
    pub(super) url: String,
    /// How long to wait for answers.
    pub(super) patience: Duration,
    /// What the server last refused without closing the connection.
    refused: watch::Receiver<Option<String>>,
    relay: Relay,
    /// Something was acknowledged on it.
    works: AtomicBool,
    abandoned: AtomicBool,
}

impl Connector {
    /// Connects to nothing yet. Servers may send what `allowance` says.
    ///
    /// # Errors
    /// A failure of the destination: credentials or certificates that can't be read.
    pub(crate) fn new(address: &NatsAddress, options: &ConnectOptions, allowance: Allowance) -> Result<Self, Failure> {
        let discovered = Mutex::default();
        let connector = Self { address: address.clone(), options: options.clone(), allowance, discovered };
        connector.client_options()?;
        if address.tls || options.ca_file.is_some() || options.client_certificate.is_some() {
            connector.tls_config()?;
        }
        Ok(connector)
    }

    /// A connection to one of the servers, whichever answers first in a random order.
    ///
    /// # Errors
    /// Why none of them could be used.
    pub(crate) async fn connect(&self) -> Result<Link, Failure> {
        let mut servers = self.address.servers.clone();
        fastrand::shuffle(&mut servers);
        let mut others = self.discovered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        others.retain(|server| !servers.contains(server));
        fastrand::shuffle(&mut others);
        servers.extend(others);
        let mut failures: Vec<Failure> = Vec::new();
        for server in &servers {
            match self.connect_to(server).await {
                Ok(link) => return Ok(link),
                Err(failure) => failures.push(failure),
            }
        }
        // What this machine lacks says nothing of any server; as long as one of them may come back, it is the service.
        let of = |kind| failures.iter().position(|failure| failure.kind == kind);
        let first = of(FailureKind::Local).or_else(|| of(FailureKind::Service)).unwrap_or_default();
        let messages: Vec<_> = failures.iter().map(|failure| failure.message.clone()).collect();
        match failures.into_iter().nth(first) {
            Some(failure) => Err(Failure { message: messages.join("; "), ..failure }),
            None => Err(Failure::destination("the destination URL names no server")),
        }
    }

    /// A connection to the first of the server's addresses that gives one.
    async fn connect_to(&self, server: &NatsServer) -> Result<Link, Failure> {
        let host = server.host.trim_matches(['[', ']']);
        let addresses = name::resolve(host, server.port).await.map_err(|unresolved| unresolved.failure())?;
        let mut failed = None;
        for address in addresses {
            match self.connect_at(address, server).await {
                Ok(link) => return Ok(link),
                Err(failure) => failed = Some(failure),
            }
        }
        Err(failed.unwrap_or_else(|| Failure::service(format!("the name {host:?} has no address at the moment"))))
    }

    async fn connect_at(&self, address: SocketAddr, server: &NatsServer) -> Result<Link, Failure> {
        let scheme = if self.address.tls { "tls" } else { "nats" };
        let url = format!("{scheme}://{server}");
        // Below the limit of the attempt, so that it is said what did not come.
        let patience = self.options.timeout / 10 * 9;
        let limit = patience.min(CONNECT_TIMEOUT);
        let began = SystemClock.monotonic();
        let config = || self.tls_config();
        let host = server.host.trim_matches(['[', ']']);
        let tls = TlsSettings { is_required: self.address.tls, host, config: &config };
        let dialed = match tokio::time::timeout(limit, dial(address, &tls)).await {
            Ok(Ok(dialed)) => dialed,
            Ok(Err(DialError::Settings(failure))) => return Err(failure),
            Ok(Err(DialError::Connect(error))) => return Err(self.connecting_failed(&error, &url)),
            Err(_) => return Err(self.connecting_failed(&ConnectErrorKind::TimedOut.into(), &url)),
        };
        let relay = Relay::start(dialed, self.allowance).await.map_err(|error| no_loopback(&error, &url))?;
        let (refusals, refused) = watch::channel(None);
        let refusals = Arc::new(refusals);
        let options = self
            .client_options()?
            .local_address(SocketAddr::new(relay.address.ip(), 0))
            .connection_timeout(limit.saturating_sub(SystemClock.monotonic().saturating_sub(began)))
            // The first attempt counts. One more is made when the connection is lost; the relay turns that away.
            .max_reconnects(1)
            .ignore_discovered_servers()
            .event_callback(move |event| {
                let refusals = refusals.clone();
                async move {
                    if let Event::ServerError(ServerError::Other(text)) = event {
                        refusals.send_replace(Some(excerpt(text.as_bytes())));
                    }
                }
            });
        let client = match options.connect(format!("nats://{}", relay.address)).await {
            Ok(client) => client,
            Err(error) => {
                return Err(match relay.take_fault() {
                    Some(ServerFault::Misbehaved(what)) => misbehaved(&url, &what).reached(Reach::Unreached),
                    Some(ServerFault::Io(error)) => {
                        self.connecting_failed(&ConnectError::with_source(ConnectErrorKind::Io, error), &url)
                    }
                    None => self.connecting_failed(&error, &url),
                });
            }
        };
        self.discover(&client.server_info().connect_urls);
        let patience = patience.min(ANSWER_TIMEOUT);
        let context = ContextBuilder::new().timeout(patience).max_ack_inflight(MAX_UNDER_WAY).build(client);
        tracing::debug!(%url, "connected");
        let (works, abandoned) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Link { context, url, patience, refused, relay, works, abandoned })
    }

    fn connecting_failed(&self, error: &ConnectError, url: &str) -> Failure {
        let failure = failure::of_connecting(error, url, || self.credentials_advice());
        // Which file it is that the server does not take.
        match &self.options.client_certificate {
            Some(files) if failure::is_about_our_certificate(error) => {
                let message = format!("{} ({})", failure.message, files.certificate.display());
                Failure { message, ..failure }
            }
            _ => failure,
        }
    }

    fn tls_config(&self) -> Result<rustls::ClientConfig, Failure> {
        let roots = self.options.ca_file.as_deref().map_or(Roots::System, Roots::File);
        client_config(roots, self.options.client_certificate.as_ref())
    }

    fn client_options(&self) -> Result<async_nats::ConnectOptions, Failure> {
        let nats = &self.options.nats;
        let mut options = async_nats::ConnectOptions::new().name("formusage").ping_interval(PING_INTERVAL);
        match (&nats.user, &nats.password) {
            (Some(user), password) => {
                options = options.user_and_password(user.clone(), password.clone().unwrap_or_default());
            }
            (None, Some(_)) => {
                return Err(Failure::destination(
                    "a NATS password without a user: set FORMUSAGE_NATS_USER too, or FORMUSAGE_TOKEN for a token",
                ));
            }
            (None, None) => {}
        }
        if let Some(token) = &self.options.token {
            options = options.token(token.clone());
        }
        if let Some(path) = &nats.credentials_file {
            let credentials = UserCredentials::read(path).map_err(Failure::destination)?;
            // Without the cause, which may quote the seed.
            options = options.credentials(&credentials.text).map_err(|_| {
                Failure::destination(format!("the credentials file {} holds no credentials", path.display()))
            })?;
        }
        Ok(options)
    }

    /// What to do where the server refuses whom we say we are.
    fn credentials_advice(&self) -> String {
        let file = self.options.nats.credentials_file.as_deref();
        // What the file holds now is what was sent.
        match file.and_then(|path| Some((path, UserCredentials::read(path).ok()?))) {
            Some((path, credentials)) => credentials.advice(path, SystemClock.unix_seconds()),
            None => failure::CREDENTIALS.to_owned(),
        }
    }

    /// Remembers the other servers of the cluster. Over TLS they are left out: they come as addresses, and the
    /// certificates are for names.
    fn discover(&self, urls: &[String]) {
        if self.address.tls {
            return;
        }
        let server = |text: &String| {
            let (host, port) = text.rsplit_once(':')?;
            Some(NatsServer { host: host.to_owned(), port: port.parse().ok()? })
        };
        *self.discovered.lock().unwrap_or_else(PoisonError::into_inner) =
            urls.iter().filter_map(server).take(MAX_DISCOVERED).collect();
    }
}

impl Link {
    /// Whether it may be used.
    pub(crate) fn is_alive(&self) -> bool {
        !self.abandoned.load(Ordering::Relaxed) && self.context.client().connection_state() == State::Connected
    }

    /// What the server did that ended the connection, where it broke the protocol or a limit.
    pub(crate) fn misbehaviour(&self) -> Option<Failure> {
        self.relay.misbehaviour().map(|what| misbehaved(&self.url, &what).reached(Reach::Unknown))
    }

    /// Takes it out of use: who waits on it goes on waiting, the next attempt makes another.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Remembers that something was acknowledged on it.
    pub(super) fn mark_working(&self) {
        self.works.store(true, Ordering::Relaxed);
    }

    /// Tells of refusals from now on.
    pub(super) fn refusals(&self) -> Refusals {
        let mut seen = self.refused.clone();
        seen.mark_unchanged();
        Refusals(seen)
    }

    /// Whether the server refused anything on it.
    pub(super) fn has_refused(&self) -> bool {
        self.refused.borrow().is_some()
    }

    /// Why an answer did not come, where the server said so: an error that leaves the connection open is one of
    /// permissions (the protocol closes it for all others).
    pub(super) fn refusal(&self, new: bool) -> Option<Failure> {
        if !self.is_alive() || (!new && self.works.load(Ordering::Relaxed)) {
            return None;
        }
        let said = self.refused.borrow().clone()?;
        Some(Failure::destination(format!(
            "{} does not permit it: {said}; {}, and the user's permissions (to publish to the subject and to $JS.API.>, to subscribe to _INBOX.>)",
            self.url,
            failure::CREDENTIALS
        )))
    }
}

fn misbehaved(url: &str, what: &str) -> Failure {
    Failure::service(format!(
        "{url} sent {what}, so the connection was ended; it is tried again later: check what listens there, and its log"
    ))
}

fn no_loopback(error: &std::io::Error, url: &str) -> Failure {
    let cause = innermost(error);
    let advice = shortage(error).unwrap_or("ip link set lo up");
    Failure::local(format!(
        "no connection to {url}: this process needs a loopback address to bound what the server sends, and can't use one ({cause}): {advice}"
    ))
}

/// Tells of what the server refuses.
pub(super) struct Refusals(watch::Receiver<Option<String>>);

impl Refusals {
    /// Waits for the next refusal.
    pub(super) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

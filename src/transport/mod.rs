//! Where events go to and come from.
//!
//! A [`Destination`] is a URL; [`connect`] makes a [`Sink`] of it and [`open`] a [`Source`]. A new destination is one
//! new file here and one line in each of [`Destination::from_str`](Destination), [`connect`] and [`open`].
//!
//! A sink makes one attempt and reports for each event; it knows nothing of retries, breakers, spools or dead letters.
//! It tells kinds of failure apart ([`FailureKind`]), because what follows from them differs.

pub(crate) mod cause;
mod destination;
mod file;
pub mod form;
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(crate) mod fuzzing;
pub mod http;
pub(crate) mod http_client;
pub(crate) mod name;
pub(crate) mod nats;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "tls")]
pub(crate) mod tls;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

#[cfg(feature = "sqlite")]
pub use crate::database::{StoreError, limit_memory as limit_sqlite_memory};
pub use destination::{Destination, DestinationError, FormAddress, NatsAddress, NatsServer};
pub use http::{CloudEventsMode, CloudEventsOptions, HttpAddress};
pub use nats::{NatsOptions, StreamOptions};
#[cfg(feature = "nats")]
pub use nats::{NatsSink, NatsSource};
#[cfg(feature = "sqlite")]
pub use sqlite::EventStore;

use crate::events::EncodedEvent;

/// A future that a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What became of one event in an attempt that reached the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Taken, by the destination's own acknowledgement.
    Delivered,
    /// Known there already under this id; nothing was added.
    Duplicate,
    /// Not taken.
    Failed(Failure),
}

/// Whose failure it was. It decides what happens to the event, and whether the breaker counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The destination is down, slow, overloaded or confused. Tried again, counted by the breaker, then deferred.
    Service,
    /// This machine lacks what an attempt takes: file descriptors, local ports, memory for sockets. Nothing is known of
    /// the destination. Tried again, with fewer attempts at a time; not counted by the breaker.
    Local,
    /// This event can never be delivered there. Not tried again, not counted by the breaker: a dead letter.
    Event,
    /// Something is set up wrong: address, permission, another program on that port. No event is to blame and no
    /// retry helps until somebody looks.
    Destination,
}

impl FailureKind {
    /// Whether the same attempt may succeed later, without anybody changing a setting or the event.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Service | Self::Local)
    }
}

/// How far a failed attempt got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// No connection: nothing was sent.
    Unreached,
    /// Something was sent and no reply came: the event may have been taken or not.
    Unknown,
    /// The destination answered.
    Answered,
    /// The destination answered, understood the request and refused it (the Form queue's `Failure`, a status such as
    /// 403). It may do so for this event alone: a refusal that is repeated while other events go through points at the
    /// event, and one that every event gets points at the service or at the destination, as [`FailureKind`] says.
    Refused,
}

/// Whether a refusal may mean that the destination holds the event already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// The refusal has nothing to do with repeats.
    #[default]
    No,
    /// Services refuse in this way what they hold already, among other things (409, 422). After an attempt whose reply
    /// never came, it means that.
    Possible,
    /// The destination holds the event already, whoever sent it.
    Certain,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose failure it was.
    pub kind: FailureKind,
    /// What failed, where to, and what to do; without secrets.
    pub message: String,
    /// The destination asked not to be called again before this much time has passed.
    pub retry_after: Option<Duration>,
    /// How far the attempt got.
    pub reach: Reach,
    /// Whether a refusal of one event alone may mean that the destination holds it already.
    pub repeat: Repeat,
    /// How many bytes at the end of the message say what to do.
    pub advice: usize,
    /// The request went out a second time, because a connection that was kept from an earlier request ended without a
    /// reply: whether the first one was taken is unknown.
    pub resent: bool,
}

impl Failure {
    /// A failure of the service.
    pub fn service(message: impl Into<String>) -> Self {
        Self::of(FailureKind::Service, message)
    }

    /// A failure of this machine: nothing was sent.
    pub fn local(message: impl Into<String>) -> Self {
        Self::of(FailureKind::Local, message).reached(Reach::Unreached)
    }

    /// A failure of the event.
    pub fn event(message: impl Into<String>) -> Self {
        Self::of(FailureKind::Event, message)
    }

    /// A failure of the destination.
    pub fn destination(message: impl Into<String>) -> Self {
        Self::of(FailureKind::Destination, message)
    }

    pub(in crate::transport) fn of(kind: FailureKind, message: impl Into<String>) -> Self {
        let (reach, repeat) = (Reach::Answered, Repeat::No);
        Self { kind, message: in_one_line(message.into()), retry_after: None, reach, repeat, advice: 0, resent: false }
    }

    /// The same, with what to do about it at the end of the message.
    #[must_use]
    pub(in crate::transport) fn advised(mut self, advice: &str) -> Self {
        self.message.push_str(advice);
        self.advice = advice.len();
        self
    }

    /// The message without what to do about it, which is for the case that the destination refuses everything.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.message.get(..self.message.len().saturating_sub(self.advice)).unwrap_or(&self.message)
    }

    /// Whether the destination may hold the events of the attempt although it never said so.
    #[must_use]
    pub fn leaves_unanswered(&self) -> bool {
        self.reach == Reach::Unknown || self.resent
    }

    /// Whether one event of the attempt may be the reason, so that a batch is worth halving: the event was refused for
    /// good, or refused in a way that other events need not share.
    #[must_use]
    pub fn may_be_of_one_event(&self) -> bool {
        match self.kind {
            FailureKind::Event => true,
            FailureKind::Destination => self.reach == Reach::Refused,
            FailureKind::Service | FailureKind::Local => false,
        }
    }

    /// Whether `other` is the same fault: of the same kind, with the same words. Numbers in them may differ (how many
    /// seconds ago a certificate expired, the number of a request), so that what is logged once a fault stays one line.
    #[must_use]
    pub fn is_same_fault(&self, other: &Self) -> bool {
        self.kind == other.kind && without_numbers(&self.message) == without_numbers(&other.message)
    }

    /// The same, having got this far. [`Reach::Answered`] unless said.
    #[must_use]
    pub fn reached(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// The same, with the destination's wish not to be called before `after` has passed.
    #[must_use]
    pub fn retry_after(self, after: Option<Duration>) -> Self {
        Self { retry_after: after, ..self }
    }
}

/// `message` with its control characters escaped: it may hold what a server or a program said, which must not pass for
/// further lines of a log.
fn in_one_line(message: String) -> String {
    if !message.contains(char::is_control) {
        return message;
    }
    message.chars().fold(String::with_capacity(message.len()), |mut line, char| {
        if char.is_control() {
            line.extend(char.escape_default())
        } else {
            line.push(char)
        }
        line
    })
}

/// The words of a message, without those that hold a digit. A place in a file (`FILE:LINE`) is no running number.
pub(crate) fn without_numbers(message: &str) -> Vec<&str> {
    let is_running = |word: &str| {
        let word = word.trim_matches(|char: char| !char.is_alphanumeric());
        let has_digit = word.contains(|char: char| char.is_ascii_digit());
        has_digit && (word.starts_with(|char: char| char.is_ascii_digit()) || !word.contains(':'))
    };
    message.split_whitespace().filter(|word| !is_running(word)).collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// How much a sink takes in one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most events, at least 1.
    pub events: usize,
    /// The most bytes of event bodies; one event alone may exceed it.
    pub bytes: usize,
}

impl BatchLimits {
    /// One event an attempt.
    pub const ONE: Self = Self { events: 1, bytes: usize::MAX };
}

/// Takes events. Cheap to share: several attempts may be under way at once.
pub trait Sink: Send + Sync + fmt::Debug {
    /// How much [`Sink::send`] takes at once.
    fn limits(&self) -> BatchLimits;

    /// Makes one attempt to deliver `events`, in their order.
    ///
    /// Dropping the future gives the attempt up; whether the events arrived is then unknown, and sending the identical
    /// bytes again is safe.
    ///
    /// # Errors
    /// A failure that concerns the attempt as a whole. Otherwise one outcome for each event, in the order of `events`.
    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>>;

    /// How many replies never came of requests that the sink itself sent again at once, as part of the same attempt: as
    /// many requests may have reached the destination twice. 0 where attempts are never repeated by the sink.
    fn lost_replies(&self) -> u64 {
        0
    }

    /// How many acknowledged events the destination holds no longer, as far as it is known once the sink is closed.
    fn lost_events(&self) -> u64 {
        0
    }

    /// Makes what was taken durable and ends: files are synced, connections closed.
    ///
    /// # Errors
    /// When that fails.
    fn close(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

/// What a look at a source found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// The next messages, in the order of the source, at least one.
    Messages(Vec<Message>),
    /// Nothing beyond what was handed out already.
    UpToDate,
    /// What is to be read does not exist there (yet): a topic that nothing was written to, a file that is not there.
    /// The text says so to people.
    Absent(String),
}

/// One message as a source holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place in the source, counted from 0 (the Form queue's index, a line's number less one, a row's number).
    pub position: u64,
    /// Its bytes: an event's JSON, unless something else was written there.
    pub body: Vec<u8>,
}

/// Gives events back.
pub trait Source: Send + fmt::Debug {
    /// The next messages after those handed out so far, a bounded number of them. Does not wait for new ones.
    ///
    /// # Errors
    /// As for [`Sink::send`]. After a failure of the service the next call goes on where this one stood.
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, Failure>>;

    /// What is left when nobody will poll again: the last line of a file, which lacks its end. Nothing elsewhere.
    ///
    /// # Errors
    /// As for [`Source::poll`].
    fn rest(&mut self) -> BoxFuture<'_, Result<Polled, Failure>> {
        Box::pin(async { Ok(Polled::UpToDate) })
    }

    /// Completes when something new may be there, for sources that hear of it; the others are polled now and then. To be
    /// awaited on a runtime with I/O.
    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Tells the source that the first `messages` of those handed out last have been dealt with, and that the others
    /// will not be; only sources that keep a reader's place (JetStream consumers) have anything to do here.
    ///
    /// # Errors
    /// When the source could not be told; the messages will then be handed out again.
    fn acknowledge(&mut self, messages: usize) -> BoxFuture<'_, Result<(), Failure>> {
        let _ = messages;
        Box::pin(async { Ok(()) })
    }
}

/// A certificate of our own, for servers that demand one of their clients (mutual TLS). Its files are read anew when they
/// change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// A PEM file with the certificate, and behind it those of intermediate authorities.
    pub certificate: PathBuf,
    /// A PEM file with its private key, not encrypted (PKCS #8, PKCS #1 or SEC1); it may be the same file.
    pub key: PathBuf,
}

/// What connecting needs beyond the address.
#[derive(Clone)]
pub struct ConnectOptions {
    /// How long one attempt may take, connecting included.
    pub timeout: Duration,
    /// A bearer token for a proxy in front of the destination; a NATS server's token.
    pub token: Option<String>,
    /// A PEM file with the authorities to trust instead of the system's, where TLS is spoken.
    pub ca_file: Option<PathBuf>,
    /// Who we are, where TLS is spoken and the server asks.
    pub client_certificate: Option<ClientCertificate>,
    /// How CloudEvents are sent; only for `https:` and `http:`.
    pub cloud_events: CloudEventsOptions,
    /// What NATS takes beyond that.
    pub nats: NatsOptions,
}

impl Default for ConnectOptions {
    /// 30 seconds (at 64 connections the Form queue's slowest writes take ten), no token, the system's authorities,
    /// CloudEvents in batches.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            token: None,
            ca_file: None,
            client_certificate: None,
            cloud_events: CloudEventsOptions::default(),
            nats: NatsOptions::default(),
        }
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "(secret)");
        f.debug_struct("ConnectOptions")
            .field("timeout", &self.timeout)
            .field("token", &token)
            .field("cloud_events", &self.cloud_events)
            .field("ca_file", &self.ca_file)
            .field("client_certificate", &self.client_certificate)
            .field("nats", &self.nats)
            .finish()
    }
}

/// The sink of `destination`. Opens files; connects to nothing over the network yet.
///
/// # Errors
/// A failure of the destination: a file that can't be opened, a transport that this build lacks.
pub fn connect(destination: &Destination, options: &ConnectOptions) -> Result<Box<dyn Sink>, Failure> {
    match destination {
        Destination::Form(address) => Ok(Box::new(form::FormSink::new(address, options)?)),
        Destination::Http(address) => Ok(Box::new(http::CloudEventsSink::new(address, options)?)),
        Destination::File(path) => Ok(Box::new(file::FileSink::open(path)?)),
        Destination::Stdio => Ok(Box::new(file::FileSink::stdout())),
        #[cfg(feature = "sqlite")]
        Destination::Sqlite(path) => Ok(Box::new(sqlite::SqliteSink::open(path)?)),
        #[cfg(not(feature = "sqlite"))]
        Destination::Sqlite(_) => {
            Err(Failure::destination("this build has no `sqlite:`; build it with the feature `sqlite`"))
        }
        #[cfg(feature = "nats")]
        Destination::Nats(address) => Ok(Box::new(nats::NatsSink::new(address, options)?)),
        #[cfg(not(feature = "nats"))]
        Destination::Nats(_) => {
            Err(Failure::destination("this build has no `nats:`; build it with the feature `nats`"))
        }
    }
}

/// Whether `error` says that no more files can be opened: by this process, or on this machine.
#[must_use]
pub fn is_shortage_of_files(error: &std::io::Error) -> bool {
    cause::is_shortage_of_files(error)
}

/// The proxy of the environment (`HTTPS_PROXY` and the like, but for what `NO_PROXY` excepts) that stands between this
/// machine and `destination`, without its password; `None` where events go directly.
#[must_use]
pub fn proxy_of(destination: &Destination) -> Option<String> {
    let (host, port, tls) = match destination {
        Destination::Form(FormAddress { host, port, tls, .. })
        | Destination::Http(HttpAddress { host, port, tls, .. }) => (host, *port, *tls),
        _ => return None,
    };
    http_client::proxy_of_environment(&http_client::Server { host, port, tls })
}

/// What [`open`] reads, for messages.
const READABLE: &str = "form://HOST[:3003]/TOPIC, form+https://HOST/TOPIC, sqlite:PATH, file:PATH or -";

/// The source at `destination`, read from its start.
///
/// # Errors
/// As for [`connect`]; also for `https:` and `http:`, from which nothing can be read back.
pub fn open(destination: &Destination, options: &ConnectOptions) -> Result<Box<dyn Source>, Failure> {
    match destination {
        Destination::Form(address) => Ok(Box::new(form::FormSource::new(address, options)?)),
        Destination::Http(address) => Err(Failure::destination(format!(
            "nothing can be read back from {}: CloudEvents over HTTP go one way; read from {READABLE}",
            address.without_query()
        ))),
        Destination::File(path) => Ok(Box::new(file::FileSource::open(path)?)),
        Destination::Stdio => Ok(Box::new(file::FileSource::stdin())),
        #[cfg(feature = "sqlite")]
        Destination::Sqlite(path) => Ok(Box::new(sqlite::SqliteSource::open(path)?)),
        #[cfg(not(feature = "sqlite"))]
        Destination::Sqlite(_) => {
            Err(Failure::destination("this build has no `sqlite:`; build it with the feature `sqlite`"))
        }
        #[cfg(feature = "nats")]
        Destination::Nats(address) => Ok(Box::new(nats::NatsSource::new(address, options)?)),
        #[cfg(not(feature = "nats"))]
        Destination::Nats(_) => {
            Err(Failure::destination("this build has no `nats:`; build it with the feature `nats`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_the_same_whatever_its_words_count() {
        let fault = Failure::destination;
        for (one, other, same) in [
            (
                "certificate expired 29 seconds ago (1732752029 UNIX)",
                "certificate expired 31 seconds ago (1732752031 UNIX)",
                true,
            ),
            ("404 Not Found: try again in 29s, request 7f3a", "404 Not Found: try again in 1.5s, request 9b01", true),
            ("it failed at 2026-11-28T04:00:01Z", "it failed at 2026-11-28T04:00:31Z", true),
            ("404 Not Found", "403 Forbidden", false),
            ("limits.json:3:5: no unit", "limits.json:7:5: no unit", false),
            ("refused", "reset", false),
        ] {
            assert_eq!(fault(one).is_same_fault(&fault(other)), same, "{one} | {other}");
        }
        assert!(!fault("x").is_same_fault(&Failure::service("x")));
    }

    #[test]
    fn message_of_a_failure_is_one_line() {
        let failure = Failure::service("the program ended: down\r\n2026-11-28 ERROR forged \u{1b}[31mred\tü");
        assert_eq!(failure.message, "the program ended: down\\r\\n2026-11-28 ERROR forged \\u{1b}[31mred\\tü");
    }
}

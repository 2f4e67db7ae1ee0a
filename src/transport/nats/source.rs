//! Reading a stream back: all of it, or as a durable consumer that several readers share.

use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Batch, BatchError, Config};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind};
use async_nats::jetstream::{self, AckKind, ErrorCode};
use tokio_stream::StreamExt as _;

use super::link::{Connector, Link};
use super::relay::Allowance;
use super::settings::StreamInfo;
use super::{failure, stream};
use crate::transport::cause::innermost;
use crate::transport::{BoxFuture, ConnectOptions, Failure, FailureKind, Message, NatsAddress, Polled, Reach, Source};

/// A poll hands out so many messages at most.
const POLL_MESSAGES: usize = 500;
/// And asks for no more bytes than that, unless the server takes larger messages.
const POLL_BYTES: usize = 4 << 20;
/// A consumer of ours that nobody asks for so long is removed by the server.
const INACTIVE: Duration = Duration::from_secs(300);
/// The longest wait for a consumer to be made.
const CREATE_TIMEOUT: Duration = Duration::from_secs(2);
/// A cluster may put a consumer on a server that has just died, and then says nothing; the next one it puts elsewhere.
const CREATE_TRIES: u32 = 10;
/// What a durable consumer handed out and nobody acknowledged is handed out again after so long.
const ACK_WAIT: Duration = Duration::from_secs(60);
/// The most that a durable consumer hands out without acknowledgements, to all its readers together.
const MAX_ACK_PENDING: i64 = 64 * POLL_MESSAGES as i64;

/// Reads the messages of a subject from its stream.
///
/// Without a consumer's name, from the first one on, each once and in order; a place is the stream's sequence number
/// less one. With one, as the durable consumer of that name: it is made where it is missing, and gives each message to
/// one of its readers, again if that one does not [acknowledge](Source::acknowledge) it.
#[derive(Debug)]
pub struct NatsSource {
    connector: Connector,
    durable: Option<String>,
    reading: Option<Reading>,
    /// The sequence number of the next message.
    next: u64,
    /// When the stream that `next` belongs to was made.
    stream_created: Option<String>,
    /// Whether any message was handed out so far.
    has_read: bool,
    /// What was handed out and is not acknowledged.
    handed_out: Vec<jetstream::Message>,
}

/// A consumer and the connection that it is asked on.
struct Reading {
    link: Link,
    consumer: PullConsumer,
    /// How many messages it has handed out.
    delivered: u64,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("link", &self.link).field("delivered", &self.delivered).finish_non_exhaustive()
    }
}

impl NatsSource {
    /// A source at `address`. Connects at the first poll.
    ///
    /// # Errors
    /// A failure of the destination: credentials or certificates that can't be read.
    pub fn new(address: &NatsAddress, options: &ConnectOptions) -> Result<Self, Failure> {
        Ok(Self {
            connector: Connector::new(address, options, Allowance::MESSAGES)?,
            durable: options.nats.consumer.clone(),
            reading: None,
            next: 1,
            stream_created: None,
            has_read: false,
            handed_out: Vec::new(),
        })
    }

    async fn next_piece(&mut self) -> Result<Polled, Failure> {
        let mut reading = match self.reading.take().filter(|reading| reading.link.is_alive()) {
            Some(reading) => reading,
            None => match self.start().await? {
                Ok(reading) => reading,
                Err(words) => return Ok(Polled::Absent(words)),
            },
        };
        // Only after a piece that came whole the consumer is asked again: another one starts where this one ended.
        let piece = self.piece(&mut reading).await?;
        self.reading = Some(reading);
        Ok(piece)
    }

    /// Connects and makes a consumer; in words where there is no stream.
    async fn start(&mut self) -> Result<Result<Reading, String>, Failure> {
        let link = self.connector.connect().await?;
        let Some(info) = stream::look_up(&link, &self.connector.address).await? else {
            return Ok(Err(stream::absence(&link, &self.connector.address)));
        };
        self.start_over_in_a_new_stream(&info);
        let address = &self.connector.address;
        let mut context = link.context.clone();
        if self.durable.is_none() {
            context.set_timeout(link.patience.min(CREATE_TIMEOUT));
        }
        let handle = context.get_stream_no_info(&info.config.name).await;
        let handle = handle.map_err(|error| unreadable(&link, &innermost(&error)))?;
        let config = Config { filter_subject: address.subject.clone(), ..Config::default() };
        let consumer = match &self.durable {
            Some(name) => {
                let config = Config {
                    durable_name: Some(name.clone()),
                    ack_policy: AckPolicy::Explicit,
                    ack_wait: ACK_WAIT,
                    max_ack_pending: MAX_ACK_PENDING,
                    ..config
                };
                match handle.get_consumer::<Config>(name).await {
                    Ok(consumer) if consumer.cached_info().config.ack_policy == AckPolicy::Explicit => Ok(consumer),
                    Ok(_) => {
                        return Err(Failure::destination(format!(
                            "the consumer {name} of the stream {} does not acknowledge each message: take another name",
                            info.config.name
                        )));
                    }
                    Err(_) => handle.create_consumer(config).await,
                }
            }
            None => {
                let config = Config {
                    deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next },
                    ack_policy: AckPolicy::None,
                    inactive_threshold: INACTIVE,
                    ..config
                };
                let mut tries = 1;
                loop {
                    match handle.create_consumer(config.clone()).await {
                        Err(error) if tries < CREATE_TRIES && error.kind() == ConsumerErrorKind::TimedOut => tries += 1,
                        created => break created,
                    }
                }
            }
        };
        let consumer = consumer.map_err(|error| of_consumer(&error, &link))?;
        Ok(Ok(Reading { link, consumer, delivered: 0 }))
    }

    /// A stream that was deleted and made anew counts its messages from 1 again: a place in the one before is none in it,
    /// and would skip its first events.
    fn start_over_in_a_new_stream(&mut self, info: &StreamInfo) {
        let is_another = self.stream_created.is_some() && self.stream_created != info.created;
        self.stream_created.clone_from(&info.created);
        if is_another && self.durable.is_none() && self.next > 1 {
            tracing::warn!(
                stream = info.config.name,
                "the stream was deleted and made anew: reading starts at its first message; what the old one held from message {} on was NOT read",
                self.next
            );
            self.next = 1;
        }
    }

    async fn piece(&mut self, reading: &mut Reading) -> Result<Polled, Failure> {
        let link = &reading.link;
        let bytes = POLL_BYTES.max(2 * link.context.client().max_payload().min(Allowance::MAX_MESSAGE));
        let fetch = reading.consumer.fetch().max_messages(POLL_MESSAGES).max_bytes(bytes);
        let polled = self.take(reading, fetch.messages().await).await?;
        if polled != Polled::UpToDate {
            self.has_read = true;
            return Ok(polled);
        }
        if let Some(name) = &self.durable {
            return if self.has_read { Ok(polled) } else { held_by_others(name, reading).await };
        }
        // The consumer may live on a server that is behind the stream's leader.
        let link = &reading.link;
        let subject = &self.connector.address.subject;
        match stream::last(link, &reading.consumer.cached_info().stream_name, subject).await {
            Ok(last) if last >= self.next => {}
            Ok(_) => return Ok(Polled::UpToDate),
            // To ask may not be permitted; what the consumer says is then all that there is.
            Err(failure) if failure.kind == FailureKind::Destination => return Ok(Polled::UpToDate),
            Err(failure) => return Err(failure),
        }
        let wait = reading.consumer.batch().max_messages(1).expires(link.patience);
        match self.take(reading, wait.messages().await).await? {
            Polled::UpToDate => Err(unreadable(&reading.link, "the server that reads for us is behind the others")),
            polled => Ok(polled),
        }
    }

    /// Takes in what the consumer hands out.
    async fn take(&mut self, reading: &mut Reading, batch: Result<Batch, BatchError>) -> Result<Polled, Failure> {
        let link = &reading.link;
        let mut batch = batch.map_err(|error| unreadable(link, &innermost(&error)))?;
        let mut messages = Vec::new();
        self.handed_out.clear();
        let lost = loop {
            let message = match next(&mut batch, link).await {
                Ok(Some(message)) => message,
                Ok(None) => break None,
                Err(failure) => break Some(failure),
            };
            let info = message.info().map_err(|error| unreadable(link, &error.to_string()))?;
            if self.durable.is_none() {
                reading.delivered += 1;
                if info.consumer_sequence != reading.delivered {
                    break Some(unreadable(link, "a message was lost on the way"));
                }
                self.next = info.stream_sequence + 1;
            }
            messages.push(Message { position: info.stream_sequence.saturating_sub(1), body: message.payload.to_vec() });
            if self.durable.is_some() {
                self.handed_out.push(message);
            }
        };
        if let Some(failure) = lost {
            link.abandon();
            if messages.is_empty() {
                return Err(failure);
            }
        }
        Ok(if messages.is_empty() { Polled::UpToDate } else { Polled::Messages(messages) })
    }

    async fn settle(&mut self, done: usize) -> Result<(), Failure> {
        let Some(reading) = &self.reading else { return Ok(()) };
        let messages = std::mem::take(&mut self.handed_out);
        let lost = |why: &str| {
            Failure::service(format!(
                "what was read could not be acknowledged at {}: {why}; it will be handed out again",
                reading.link.url
            ))
            .reached(Reach::Unknown)
        };
        let mut rest = messages.into_iter();
        let mut read: Vec<_> = rest.by_ref().take(done).collect();
        let last = read.pop();
        for message in &read {
            message.ack().await.map_err(|error| lost(&error.to_string()))?;
        }
        for message in rest {
            // Somebody else's, at once.
            message.ack_with(AckKind::Nak(None)).await.map_err(|error| lost(&error.to_string()))?;
        }
        // The server handles what comes on a connection in its order, so that its answer to the last stands for all.
        match last {
            Some(message) => message.double_ack().await.map_err(|error| lost(&error.to_string())),
            None => Ok(()),
        }
    }
}

/// That there is nothing to read, or that other readers of the same consumer have it all.
async fn held_by_others(name: &str, reading: &mut Reading) -> Result<Polled, Failure> {
    let info = reading.consumer.info().await.map_err(|error| unreadable(&reading.link, &error.to_string()))?;
    let held = info.num_ack_pending;
    Ok(match held {
        0 => Polled::UpToDate,
        _ => Polled::Absent(format!(
            "nothing was handed out: other readers of the consumer {name} hold {held} messages that they have not acknowledged; what they do not acknowledge within {} s is handed out again, so read again then, or take another --consumer",
            info.config.ack_wait.as_secs()
        )),
    })
}

/// The next message of a batch, if there is one. The server ends a batch; where it does not, the connection is at fault.
async fn next(batch: &mut Batch, link: &Link) -> Result<Option<jetstream::Message>, Failure> {
    match tokio::time::timeout(2 * link.patience, batch.next()).await {
        Ok(Some(Ok(message))) => Ok(Some(message)),
        // A connection that is lost ends a batch too.
        Ok(None) if !link.is_alive() => Err(unreadable(link, "the connection was lost")),
        Ok(None) => Ok(None),
        Ok(Some(Err(error))) => Err(unreadable(link, &error.to_string())),
        Err(_) => Err(link
            .refusal(false)
            .unwrap_or_else(|| unreadable(link, &format!("nothing came for {:?}", 2 * link.patience)))),
    }
}

fn unreadable(link: &Link, why: &str) -> Failure {
    let unreadable = || Failure::service(format!("the stream at {} can't be read just now: {why}", link.url));
    link.misbehaviour().unwrap_or_else(unreadable).reached(Reach::Unknown)
}

fn of_consumer(error: &ConsumerError, link: &Link) -> Failure {
    match error.kind() {
        ConsumerErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::CONSUMER_NOT_FOUND => {
            unreadable(link, "the consumer went away")
        }
        ConsumerErrorKind::JetStream(answer) => failure::of_answer(&answer, "to make a consumer", &link.url),
        ConsumerErrorKind::InvalidName => {
            Failure::destination("no consumer can be called like that: letters, digits, - and _ make a name".to_owned())
        }
        ConsumerErrorKind::TimedOut
        | ConsumerErrorKind::Request
        | ConsumerErrorKind::InvalidConsumerType
        | ConsumerErrorKind::Other => link.refusal(false).unwrap_or_else(|| unreadable(link, &innermost(error))),
    }
}

impl Source for NatsSource {
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, Failure>> {
        Box::pin(self.next_piece())
    }

    fn acknowledge(&mut self, messages: usize) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(self.settle(messages))
    }
}

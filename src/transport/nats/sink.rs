//! Publishing to a stream: a batch at a time, its acknowledgements awaited together.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use tokio::sync::Mutex;

use super::link::{Connector, Link};
use super::relay::Allowance;
use super::settings::{StreamState, dropped};
use super::{StreamOptions, failure, stream};
use crate::events::EncodedEvent;
use crate::transport::cause::{find, innermost};
use crate::transport::{
    BatchLimits, BoxFuture, ConnectOptions, Failure, FailureKind, NatsAddress, Outcome, Reach, Sink,
};

/// So many events, or bytes of them, are under way before the first acknowledgement is waited for.
const BATCH: BatchLimits = BatchLimits { events: 256, bytes: 1 << 20 };

/// After the server refused something, acknowledgements of the rest may still be on their way.
const AFTER_REFUSAL: Duration = Duration::from_millis(250);

/// Publishes events to a JetStream stream.
#[derive(Debug)]
pub struct NatsSink {
    connector: Connector,
    create: Option<StreamOptions>,
    subject: Subject,
    link: Mutex<Option<Arc<Link>>>,
    /// The stream was looked at (and made where it was to be).
    prepared: AtomicBool,
    /// What is odd about the stream was said.
    warned: AtomicBool,
    /// Nothing was taken yet on this connection, or something went wrong since.
    doubtful: AtomicBool,
    /// Something was taken, on this connection or one before.
    worked: AtomicBool,
    /// What was taken and was not known before.
    published: AtomicU64,
    /// Events that were acknowledged and dropped by the stream meanwhile, as counted at the end.
    lost: AtomicU64,
    /// A stream that drops what it has acknowledged, and its state before the first event.
    dropping: SyncMutex<Option<(String, StreamState)>>,
}

/// What became of one message.
#[derive(Debug)]
enum Reply {
    Settled(Outcome),
    /// Nobody keeps the subject.
    Unclaimed,
    /// No acknowledgement came in time.
    Silence,
}

impl NatsSink {
    /// A sink for `address`. Connects when the first event is sent.
    ///
    /// # Errors
    /// A failure of the destination: credentials or certificates that can't be read.
    pub fn new(address: &NatsAddress, options: &ConnectOptions) -> Result<Self, Failure> {
        Ok(Self {
            connector: Connector::new(address, options, Allowance::ACKNOWLEDGEMENTS)?,
            create: options.nats.create_stream.clone(),
            subject: address.subject.as_str().into(),
            link: Mutex::default(),
            prepared: AtomicBool::new(false),
            warned: AtomicBool::new(false),
            doubtful: AtomicBool::new(true),
            worked: AtomicBool::new(false),
            published: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            dropping: SyncMutex::default(),
        })
    }

    /// The connection, made anew where it was lost.
    async fn link(&self) -> Result<Arc<Link>, Failure> {
        let mut slot = self.link.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| link.is_alive()) {
            return Ok(link.clone());
        }
        *slot = None;
        let link = Arc::new(self.connector.connect().await?);
        if !self.prepared.load(Ordering::Relaxed) {
            self.prepare(&link).await?;
        }
        self.doubtful.store(true, Ordering::Relaxed);
        *slot = Some(link.clone());
        Ok(link)
    }

    /// Looks at the stream before the first event. Where that is not permitted, or nobody answers just now, publishing
    /// shows what is wrong.
    async fn prepare(&self, link: &Link) -> Result<(), Failure> {
        let address = &self.connector.address;
        let found = match (stream::look_up(link, address).await, &self.create) {
            (Ok(Some(info)), _) => info,
            (Ok(None), Some(options)) => stream::create(link, address, options).await?,
            (Ok(None), None) => return Err(stream::missing(link, address)),
            (Err(failure), None) if failure.kind.is_temporary() || link.refusal(true).is_some() => {
                tracing::debug!(%failure, "the stream could not be looked at");
                return Ok(());
            }
            (Err(failure), _) => return Err(failure),
        };
        stream::check(&found, link, address)?;
        // It is looked at again when acknowledgements stay out.
        if !self.warned.swap(true, Ordering::Relaxed) {
            stream::warn_of_short_window(&found);
            if stream::warn_of_drops(&found, self.create.as_ref()) {
                let dropping = Some((found.config.name, found.state));
                *self.dropping.lock().unwrap_or_else(PoisonError::into_inner) = dropping;
            }
        }
        self.prepared.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Says how many of the events that were acknowledged the stream has dropped meanwhile.
    async fn count_dropped(&self) {
        let dropping = self.dropping.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let link = self.link.lock().await.clone().filter(|link| link.is_alive());
        let published = self.published.load(Ordering::Relaxed);
        let (Some((name, before)), Some(link)) = (dropping, link) else { return };
        match stream::state(&link, &name, &self.connector.address.subject).await {
            Ok((after, held)) => {
                let dropped = dropped(&before, &after, published, held);
                self.lost.store(dropped.published, Ordering::Relaxed);
                let of_these = match dropped.published {
                    0 => String::new(),
                    count => format!(", and at least {count} of these events with them"),
                };
                if dropped.messages > 0 {
                    tracing::warn!(
                        stream = name,
                        "while {published} events were published, the stream dropped its {} oldest messages{of_these}: they are LOST unless they were read before",
                        dropped.messages
                    );
                }
            }
            Err(failure) => tracing::debug!(%failure, "what the stream dropped could not be counted"),
        }
    }

    /// Publishes all at once, unless something went wrong before: a stream that gets its leader back in the middle of a
    /// batch would miss the first events and take the later ones. So one event goes ahead alone, and the others follow
    /// when it is taken.
    async fn publish(&self, events: &[EncodedEvent]) -> Result<Vec<Outcome>, Failure> {
        let link = self.link().await?;
        let mut outcomes = Vec::with_capacity(events.len());
        while self.doubtful.load(Ordering::Relaxed)
            && let Some(event) = events.get(outcomes.len())
        {
            let outcome = self.burst(&link, std::slice::from_ref(event)).await.pop();
            match outcome {
                Some(Outcome::Failed(failure)) if failure.kind != FailureKind::Event => {
                    if outcomes.is_empty() {
                        return Err(failure);
                    }
                    outcomes.resize(events.len(), Outcome::Failed(failure));
                }
                outcome => outcomes.extend(outcome),
            }
        }
        let rest = events.get(outcomes.len()..).unwrap_or_default();
        outcomes.extend(self.burst(&link, rest).await);
        Ok(outcomes)
    }

    /// Publishes events in their order, then waits for what becomes of each.
    async fn burst(&self, link: &Link, events: &[EncodedEvent]) -> Vec<Outcome> {
        let mut refusals = link.refusals();
        let mut acknowledgements = Vec::with_capacity(events.len());
        for event in events {
            acknowledgements.push(self.begin(link, event).await);
        }

        let mut replies = Vec::with_capacity(events.len());
        let mut refused = false;
        let mut expired = false;
        let mut limit = std::pin::pin!(tokio::time::timeout(link.patience, std::future::pending::<()>()));
        for acknowledgement in acknowledgements {
            let mut acknowledgement = match acknowledgement {
                Ok(acknowledgement) => acknowledgement.into_future(),
                Err(reply) => {
                    replies.push(reply);
                    continue;
                }
            };
            let reply = loop {
                tokio::select! {
                    biased;
                    reply = &mut acknowledgement => break settle(reply, link),
                    _ = &mut limit, if !expired => expired = true,
                    () = refusals.next(), if !refused => {
                        refused = true;
                        limit.set(tokio::time::timeout(AFTER_REFUSAL, std::future::pending::<()>()));
                    }
                    () = std::future::ready(()), if expired => break Reply::Silence,
                }
            };
            replies.push(reply);
        }
        let outcomes = self.outcomes(link, replies, refused).await;
        let unfit =
            |outcome: &Outcome| matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Event);
        let taken = |outcome: &Outcome| matches!(outcome, Outcome::Delivered | Outcome::Duplicate);
        if outcomes.iter().any(|outcome| !taken(outcome) && !unfit(outcome)) {
            self.doubtful.store(true, Ordering::Relaxed);
        } else if outcomes.iter().any(taken) {
            self.doubtful.store(false, Ordering::Relaxed);
        }
        outcomes
    }

    /// Publishes one event without waiting for its acknowledgement.
    async fn begin(&self, link: &Link, event: &EncodedEvent) -> Result<PublishAckFuture, Reply> {
        let message = PublishMessage::build().payload(event.body().to_vec().into()).message_id(event.id().to_string());
        let message = match &self.connector.address.stream {
            Some(stream) => message.expected_stream(stream),
            None => message,
        };
        match link.context.send_publish(self.subject.clone(), message).await {
            Ok(acknowledgement) => Ok(acknowledgement),
            Err(error) => Err(settle(Err(error), link)),
        }
    }

    /// Why nobody took an event. Who may publish and not ask JetStream can't tell a missing stream from one without a
    /// leader; one that took events before is more likely to lack its leader.
    async fn diagnose(&self, link: &Link) -> Failure {
        let failure = stream::diagnose(link, &self.connector.address).await;
        if self.worked.load(Ordering::Relaxed) && failure.kind == FailureKind::Destination && link.has_refused() {
            return Failure::service(format!("nobody at {} takes events at the moment ({failure})", link.url));
        }
        failure
    }

    /// Words for what has no reply of its own.
    async fn outcomes(&self, link: &Link, replies: Vec<Reply>, refused: bool) -> Vec<Outcome> {
        if replies.iter().any(|reply| matches!(reply, Reply::Settled(Outcome::Delivered | Outcome::Duplicate))) {
            link.mark_working();
            self.worked.store(true, Ordering::Relaxed);
        }
        let taken = replies.iter().filter(|reply| matches!(reply, Reply::Settled(Outcome::Delivered))).count();
        self.published.fetch_add(taken as u64, Ordering::Relaxed);
        let unclaimed = match replies.iter().any(|reply| matches!(reply, Reply::Unclaimed)) {
            true => Some(self.diagnose(link).await),
            false => None,
        };
        let silence = link.misbehaviour().or_else(|| link.refusal(refused)).unwrap_or_else(|| {
            Failure::service(format!(
                "no acknowledgement from {} within {:?}; whether it was taken is unknown, and sending it again is safe",
                link.url, link.patience
            ))
            .reached(Reach::Unknown)
        });
        if replies.iter().any(|reply| matches!(reply, Reply::Silence)) {
            link.abandon();
            // Its settings may have been changed.
            self.prepared.store(false, Ordering::Relaxed);
        }
        let outcome = |reply| match reply {
            Reply::Settled(outcome) => outcome,
            Reply::Unclaimed => Outcome::Failed(unclaimed.clone().unwrap_or_else(|| silence.clone())),
            Reply::Silence => Outcome::Failed(silence.clone()),
        };
        replies.into_iter().map(outcome).collect()
    }
}

fn settle(reply: Result<async_nats::jetstream::publish::PublishAck, PublishError>, link: &Link) -> Reply {
    let error = match reply {
        Ok(acknowledgement) if acknowledgement.duplicate => return Reply::Settled(Outcome::Duplicate),
        Ok(_) => return Reply::Settled(Outcome::Delivered),
        Err(error) => error,
    };
    let url = &link.url;
    let failure = match error.kind() {
        PublishErrorKind::StreamNotFound => return Reply::Unclaimed,
        PublishErrorKind::TimedOut => return Reply::Silence,
        PublishErrorKind::MaxPayloadExceeded => Failure::event(format!(
            "the event is larger than what {url} takes, {} bytes with its header; shorten it, or raise max_payload there",
            link.context.client().max_payload()
        )),
        PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::Other => match find::<async_nats::jetstream::Error>(&error) {
            Some(answer) => failure::of_answer(answer, "an event", url),
            None => link.misbehaviour().unwrap_or_else(|| {
                Failure::service(format!(
                    "the connection to {url} ended before the event was acknowledged ({}); whether it was taken is unknown, and sending it again is safe",
                    innermost(&error)
                ))
                .reached(Reach::Unknown)
            }),
        },
    };
    Reply::Settled(Outcome::Failed(failure))
}

impl Sink for NatsSink {
    fn limits(&self) -> BatchLimits {
        BATCH
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        Box::pin(self.publish(events))
    }

    fn lost_events(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async {
            // Nothing is under way: every event that was sent has its outcome.
            self.count_dropped().await;
            *self.link.lock().await = None;
            Ok(())
        })
    }
}

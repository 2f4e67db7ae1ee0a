//! One way to a destination: hold-back, breaker, time limit, sink; and the retries around them.
//!
//! The breaker sits inside the retry, so that it sees every attempt. Its refusal is a deferral: no attempt was made.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::concurrency::{Concurrency, Sample};
use super::course::{Course, unanswered};
use super::latency::{Latency, LatencyHistogram};
use super::load::Load;
use super::unanswered::Unanswered;
use crate::circuit_breaker::{BreakerOpening, CircuitBreaker, Refusal};
use crate::clock::Clock;
use crate::events::EncodedEvent;
use crate::retry::{Retrier, Retryable, Verdict};
use crate::transport::{Failure, FailureKind, Outcome, Reach, Repeat, Sink};

/// How an event's delivery ended, for now or for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The destination acknowledged it.
    Delivered {
        /// It knew it already.
        duplicate: bool,
    },
    /// Not now: the service failed through all retries, or the breaker let no attempt through. The event is to be kept
    /// and sent again later, as it is.
    Deferred(Deferral),
    /// Never: the destination will not take this event. A dead letter.
    Dead(Failure),
    /// The destination is set up wrong; the event is not to blame and is to be kept.
    Misdirected(Failure),
}

/// Why an event was deferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deferral {
    /// The last attempt's failure.
    Failed(Failure),
    /// No attempt was made.
    Refused(Refusal),
}

impl std::fmt::Display for Deferral {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl Retryable for Failure {
    fn verdict(&self) -> Verdict {
        match self.kind {
            FailureKind::Service | FailureKind::Local => Verdict::Retry { after: self.retry_after },
            FailureKind::Event | FailureKind::Destination => Verdict::Permanent,
        }
    }
}

/// Counts of what happened on the way.
#[derive(Debug, Default)]
pub(super) struct Counters {
    attempts: AtomicU64,
    pub(super) retries: AtomicU64,
    delivered: AtomicU64,
    unknown: AtomicU64,
    pub(super) deferred: AtomicU64,
    latency: LatencyHistogram,
}

/// A look at the counts of a [`Delivery`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryStats {
    /// Calls of the sink.
    pub attempts: u64,
    /// Of these, those after a failed one.
    pub retries: u64,
    /// Events that were acknowledged.
    pub delivered: u64,
    /// Requests whose reply never came; they were made again with the same bytes, as another attempt or, where a kept
    /// connection had ended, at once in the same one.
    pub unknown: u64,
    /// Events whose delivery was put off, each time that it was.
    pub deferred: u64,
    /// How often the breaker opened.
    pub breaker_opened: u64,
}

/// A sink with its policy. Clones share everything.
#[derive(Debug, Clone)]
pub struct Delivery {
    sink: Arc<dyn Sink>,
    retrier: Retrier,
    pub(super) breaker: Option<CircuitBreaker>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    /// No attempt before this time, in nanoseconds: the destination asked for it.
    hold_until: Arc<AtomicU64>,
    /// What the last attempt failed by, if it did.
    last_failure: Arc<Mutex<Option<String>>>,
    pub(super) counters: Arc<Counters>,
    load: Arc<Load>,
    unanswered: Arc<Unanswered>,
}

impl Delivery {
    /// A way to `sink`; one attempt takes at most `timeout`.
    #[must_use]
    pub fn new(
        sink: Arc<dyn Sink>,
        retrier: Retrier,
        breaker: Option<CircuitBreaker>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            sink,
            retrier,
            breaker,
            timeout,
            clock,
            hold_until: Arc::default(),
            last_failure: Arc::default(),
            counters: Arc::default(),
            load: Arc::default(),
            unanswered: Arc::default(),
        }
        .with_concurrency(Concurrency::default())
    }

    /// Learns from the attempts how many may be under way, by `concurrency`; one that finds its own level by default.
    /// It holds nobody back: who calls keeps to [`Delivery::concurrency_limit`].
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: Concurrency) -> Self {
        self.load = Arc::new(Load::new(concurrency.with_time_limit(self.timeout)));
        self
    }

    /// How many attempts may be under way now; at least 1.
    #[must_use]
    pub fn concurrency_limit(&self) -> usize {
        self.load.limit()
    }

    /// How many attempts are under way. Waits between them do not count.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.load.in_flight()
    }

    /// The sink.
    #[must_use]
    pub fn sink(&self) -> &dyn Sink {
        &*self.sink
    }

    /// The retries.
    #[must_use]
    pub const fn retrier(&self) -> &Retrier {
        &self.retrier
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> DeliveryStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DeliveryStats {
            attempts: read(&self.counters.attempts),
            retries: read(&self.counters.retries),
            delivered: read(&self.counters.delivered),
            unknown: read(&self.counters.unknown) + self.sink.lost_replies(),
            deferred: read(&self.counters.deferred),
            breaker_opened: self.breaker.as_ref().map_or(0, CircuitBreaker::times_opened),
        }
    }

    /// How long attempts took, those that were given up at the time limit too.
    #[must_use]
    pub fn latency(&self) -> Latency {
        self.counters.latency.latency()
    }

    /// What the last attempt failed by; `None` where it succeeded.
    #[must_use]
    pub fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the breaker is open, in this run or since an earlier one; `None` while it is closed.
    #[must_use]
    pub fn breaker_opening(&self) -> Option<BreakerOpening> {
        self.breaker.as_ref().and_then(CircuitBreaker::opening)
    }

    /// How long no attempt will be made, as far as it is known: the breaker is open, or the destination asked for it.
    #[must_use]
    pub fn held_for(&self) -> Option<Duration> {
        if let Outlook::Held(left) = self.outlook() { Some(left) } else { None }
    }

    /// What an attempt that begins now would meet.
    pub(super) fn outlook(&self) -> Outlook {
        let outlook = self.breaker.as_ref().map_or(Ok(false), CircuitBreaker::outlook);
        match (outlook, self.hold_left()) {
            (Err(Refusal::Until(left)), held) => Outlook::Held(held.map_or(left, |held| held.max(left))),
            (_, Some(held)) => Outlook::Held(held),
            (Err(Refusal::Busy), None) => Outlook::OnTrial,
            (Ok(true), None) => Outlook::Trial,
            (Ok(false), None) => Outlook::Free,
        }
    }

    /// Delivers `events` in their order, with retries, and says for each how it ended, in the same order.
    ///
    /// `events` must fit the sink's limits. A batch that is refused whole because of an event in it is halved until
    /// that one is alone; where a half then has to wait, so does what comes behind it, since nothing may overtake. An
    /// event that is refused as if the destination were set up wrong keeps back those of its instance alone.
    /// Dropping the future gives the attempt under way up.
    pub async fn deliver(&self, events: &[EncodedEvent]) -> Vec<Ending> {
        let mut course = Course::default();
        let mut endings = self.advance(events, &mut course).await;
        if endings.iter().any(Option::is_none) {
            // Rare and large: the usual way does not carry its state along.
            Box::pin(self.go_on(events, course, &mut endings)).await;
        }
        endings
            .into_iter()
            .map(|ending| ending.unwrap_or_else(|| Ending::Deferred(Deferral::Failed(unanswered()))))
            .collect()
    }

    /// Makes the retries of what has no ending yet. A breaker that is open is not waited for.
    async fn go_on(&self, events: &[EncodedEvent], mut course: Course, endings: &mut [Option<Ending>]) {
        loop {
            if !course.is_under_way() {
                keep_back_behind_refused(events, endings);
            }
            if endings.iter().all(Option::is_some) {
                return;
            }
            if course.refusal().is_some() {
                break;
            }
            if let Some(wait) = course.take_wait() {
                let open = self.breaker.as_ref().and_then(CircuitBreaker::refusal);
                if matches!(open, Some(Refusal::Until(left)) if left > wait) {
                    break;
                }
                self.clock.sleep(wait).await;
            }
            let open = endings.iter().zip(events).filter(|(ending, _)| ending.is_none());
            let rest: Vec<EncodedEvent> = open.map(|(_, event)| event.clone()).collect();
            let ended = self.advance(&rest, &mut course).await;
            let open = endings.iter_mut().filter(|ending| ending.is_none());
            open.zip(ended).for_each(|(ending, ended)| *ending = ended);
        }
        let deferral = course.deferral();
        for ending in endings.iter_mut().filter(|ending| ending.is_none()) {
            self.counters.deferred.fetch_add(1, Ordering::Relaxed);
            *ending = Some(Ending::Deferred(deferral.clone()));
        }
    }

    /// One attempt: wait while the destination wants to be left alone, ask the breaker, call the sink within the time
    /// limit, tell the breaker.
    pub(super) async fn attempt(&self, events: &[EncodedEvent]) -> Result<Vec<Outcome>, Attempt> {
        while let Some(left) = self.hold_left() {
            self.clock.sleep(left).await;
        }
        let permit = match &self.breaker {
            Some(breaker) => Some(breaker.try_acquire().map_err(Attempt::Refused)?),
            None => None,
        };
        self.counters.attempts.fetch_add(1, Ordering::Relaxed);
        let started = self.clock.monotonic();
        let under_way = self.load.begin(started);
        let sending = self.unanswered.begin(events);
        let answer = tokio::time::timeout(self.timeout, self.sink.send(events)).await;
        sending.ended();
        let in_time = answer.is_ok();
        let result = match answer {
            Ok(result) => result,
            Err(_) => Err(Failure::service(format!(
                "no answer within {:?}; whether it was taken is unknown, and sending it again is safe",
                self.timeout
            ))
            .reached(Reach::Unknown)),
        };
        let result = self.with_known_repeats(events, result);
        let now = self.clock.monotonic();
        self.counters.latency.record(now.saturating_sub(started));
        let sample = if in_time { sample(&result) } else { Some(Sample::Overloaded) };
        under_way.ended(now, sample);
        self.account(&result);
        if let Some(permit) = permit {
            match service_works(&result) {
                Some(true) => permit.success(),
                Some(false) => permit.failure_because(self.last_failure().as_deref().unwrap_or("no reason given")),
                None => drop(permit),
            }
        }
        result.map_err(Attempt::Failed)
    }

    /// Whether the destination may hold `event` although it never acknowledged it: an attempt got no reply.
    pub(super) fn may_be_held(&self, event: &EncodedEvent) -> bool {
        self.unanswered.contains(event)
    }

    /// Remembers that an earlier run sent `event` and got no reply.
    pub(super) fn note_unanswered(&self, event: &EncodedEvent) {
        self.unanswered.note(event);
    }

    /// The same result, where the refusal of what the destination holds already counts as an acknowledgement. Remembers
    /// which events were not answered.
    fn with_known_repeats(
        &self,
        events: &[EncodedEvent],
        result: Result<Vec<Outcome>, Failure>,
    ) -> Result<Vec<Outcome>, Failure> {
        match result {
            Ok(mut outcomes) => {
                for (event, outcome) in events.iter().zip(&mut outcomes) {
                    if let Outcome::Failed(failure) = outcome
                        && self.is_known_repeat(std::slice::from_ref(event), failure)
                    {
                        *outcome = Outcome::Duplicate;
                    }
                }
                Ok(outcomes)
            }
            Err(failure) if self.is_known_repeat(events, &failure) => Ok(vec![Outcome::Duplicate]),
            Err(failure) => Err(failure),
        }
    }

    /// Whether `failure` says of `events`, if that is one alone, that the destination holds it already. Of several nobody
    /// knows which one is meant.
    fn is_known_repeat(&self, events: &[EncodedEvent], failure: &Failure) -> bool {
        if failure.leaves_unanswered() {
            events.iter().for_each(|event| self.unanswered.note(event));
        }
        let [event] = events else { return false };
        let known = match failure.repeat {
            Repeat::No => false,
            Repeat::Possible => self.unanswered.contains(event),
            Repeat::Certain => true,
        };
        if known {
            tracing::info!(id = %event.id(), %failure, "the destination holds the event already; it counts as delivered");
        }
        known
    }

    fn account(&self, result: &Result<Vec<Outcome>, Failure>) {
        let (delivered, failures): (usize, Vec<&Failure>) = match result {
            Ok(outcomes) => {
                let failures: Vec<_> = outcomes
                    .iter()
                    .filter_map(|outcome| if let Outcome::Failed(failure) = outcome { Some(failure) } else { None })
                    .collect();
                (outcomes.len() - failures.len(), failures)
            }
            Err(failure) => (0, vec![failure]),
        };
        self.counters.delivered.fetch_add(delivered as u64, Ordering::Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) =
            failures.last().map(|failure| failure.message.clone());
        if failures.iter().any(|failure| failure.reach == Reach::Unknown) {
            self.counters.unknown.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(wish) = failures.iter().filter_map(|failure| failure.retry_after).max() {
            let until = self.clock.monotonic().saturating_add(wish.min(crate::retry::MAX_RETRY_AFTER));
            let until = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
            self.hold_until.fetch_max(until, Ordering::Relaxed);
        }
    }

    fn hold_left(&self) -> Option<Duration> {
        let until = Some(self.hold_until.load(Ordering::Relaxed)).filter(|until| *until > 0)?;
        Duration::from_nanos(until).checked_sub(self.clock.monotonic()).filter(|left| !left.is_zero())
    }
}

/// What an attempt would meet that begins now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It goes to the destination.
    Free,
    /// It goes to the destination as a trial of the breaker.
    Trial,
    /// It is refused: the breaker's trial is under way.
    OnTrial,
    /// No attempt for this long: the breaker is open, or the destination asked for it.
    Held(Duration),
}

/// Behind an event that was refused those of its instance wait, as it does; the others may go on.
fn keep_back_behind_refused(events: &[EncodedEvent], endings: &mut [Option<Ending>]) {
    let mut refused: HashMap<&str, Ending> = HashMap::new();
    for (event, ending) in events.iter().zip(endings) {
        let instance = event.event().instance_id.as_str();
        match ending {
            Some(Ending::Misdirected(_)) => refused.extend(ending.clone().map(|ending| (instance, ending))),
            None => *ending = refused.get(instance).cloned(),
            Some(_) => {}
        }
    }
}

/// Why an attempt gave no outcomes.
#[derive(Debug)]
pub(super) enum Attempt {
    Refused(Refusal),
    Failed(Failure),
}

/// What an attempt says of the service: it works when it took or judged an event, it fails when nothing but failures
/// of the service came back; a wrong set-up and a shortage on this machine say nothing.
fn service_works(result: &Result<Vec<Outcome>, Failure>) -> Option<bool> {
    let of_kind = |kind| match kind {
        FailureKind::Service => Some(false),
        FailureKind::Event => Some(true),
        FailureKind::Destination | FailureKind::Local => None,
    };
    match result {
        Err(failure) => of_kind(failure.kind),
        Ok(outcomes) => {
            let mut verdict = None;
            for outcome in outcomes {
                match outcome {
                    Outcome::Delivered | Outcome::Duplicate => return Some(true),
                    Outcome::Failed(failure) => verdict = verdict.max(of_kind(failure.kind)),
                }
            }
            verdict
        }
    }
}

/// What an attempt says of the load: as [`service_works`], and too much where the destination asked to be left alone for
/// a while (it may ask for no time at all, which is a reply like others), or where this machine lacks what one more
/// attempt takes.
fn sample(result: &Result<Vec<Outcome>, Failure>) -> Option<Sample> {
    let failed = |failure: &Failure| failure.kind == FailureKind::Service;
    let asks_to_wait = |failure: &Failure| failure.retry_after.is_some_and(|wish| !wish.is_zero());
    let (answered, wish) = match result {
        Err(failure) => (1, failed(failure) && asks_to_wait(failure)),
        Ok(outcomes) => {
            let failures = outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Failed(failure) if failed(failure) => Some(failure),
                Outcome::Failed(_) | Outcome::Delivered | Outcome::Duplicate => None,
            });
            (outcomes.len() - failures.clone().count(), failures.clone().any(asks_to_wait))
        }
    };
    let is_local = |failure: &Failure| failure.kind == FailureKind::Local;
    let ran_short = match result {
        Err(failure) => is_local(failure),
        Ok(outcomes) => outcomes.iter().any(|it| matches!(it, Outcome::Failed(failure) if is_local(failure))),
    };
    if ran_short {
        return Some(Sample::Overloaded);
    }
    Some(match service_works(result)? {
        _ if wish => Sample::AskedToWait,
        true => Sample::Answered { events: answered },
        false => Sample::Failed,
    })
}

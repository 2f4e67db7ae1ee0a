//! A look at a run.

use std::time::Duration;

use crate::circuit_breaker::{CircuitBreaker, CircuitState};
use crate::clock::Monotonic;
use crate::publish::{DeliveryStats, Latency};

/// How a publisher stands. Counts are totals since its start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// When it was looked at.
    pub at: Monotonic,
    /// Lines and events read.
    pub read: u64,
    /// Events taken to be delivered; with a spool, they are on disk.
    pub taken: u64,
    /// Events that the destination acknowledged, those that earlier runs left behind among them.
    pub delivered: u64,
    /// Of these, events that it knew already.
    pub duplicates: u64,
    /// How often the delivery of an event was put off: its retries were used up, or the breaker let nothing through.
    pub deferred: u64,
    /// Events of this run that wait now.
    pub waiting: u64,
    /// Events that became dead letters because the destination will never take them.
    pub dead: u64,
    /// Lines that are no valid events.
    pub refused: u64,
    /// Threshold violations seen.
    pub violations: u64,
    /// Attempts made.
    pub attempts: u64,
    /// Of these, those after a failed one.
    pub retries: u64,
    /// Attempts whose reply never came.
    pub unknown: u64,
    /// How long attempts took.
    pub latency: Latency,
    /// The circuit breaker, where there is one.
    pub breaker: Option<BreakerObservation>,
    /// The spool, where there is one.
    pub spool: Option<SpoolObservation>,
}

impl Observation {
    /// Takes over what a [`crate::publish::Delivery`] counts.
    pub const fn add(&mut self, stats: DeliveryStats, latency: Latency) {
        self.attempts = stats.attempts;
        self.retries = stats.retries;
        self.unknown = stats.unknown;
        self.deferred = stats.deferred;
        self.latency = latency;
    }
}

/// How a circuit breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerObservation {
    /// What a call would meet now.
    pub state: CircuitState,
    /// How often it has opened.
    pub opened: u64,
    /// How often it has gone from one state to another.
    pub transitions: u64,
}

impl BreakerObservation {
    /// How `breaker` stands.
    #[must_use]
    pub fn of(breaker: &CircuitBreaker) -> Self {
        Self { state: breaker.state(), opened: breaker.times_opened(), transitions: breaker.transitions() }
    }
}

/// How a spool stands: its file, and what it holds for this destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpoolObservation {
    /// Bytes of the file that are in use.
    pub used_bytes: u64,
    /// The most that may be, `--spool-max-bytes`.
    pub limit_bytes: u64,
    /// Events that wait.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// For how long the oldest of them has waited; `None` where none waits.
    pub oldest_age: Option<Duration>,
    /// Delivered events that are kept.
    pub retained: u64,
    /// Their bytes.
    pub retained_bytes: u64,
    /// Dead letters in the file, for all destinations.
    pub dead_letters: u64,
}

#[cfg(feature = "sqlite")]
impl SpoolObservation {
    /// How a spool of at most `limit_bytes` stands for the destination `url`, at `now` in Unix seconds.
    #[must_use]
    pub fn of(status: &crate::spool::Status, url: &str, limit_bytes: u64, now: i64) -> Self {
        let file = Self { used_bytes: status.bytes, limit_bytes, dead_letters: status.dead_letters, ..Self::default() };
        let Some(held) = status.destinations.iter().find(|held| held.destination == url) else { return file };
        // A wall clock that was set back makes no age negative.
        let age = |taken_at: i64| Duration::from_secs(u64::try_from(now.saturating_sub(taken_at)).unwrap_or(0));
        Self {
            waiting: held.waiting,
            waiting_bytes: held.waiting_bytes,
            oldest_age: held.oldest_taken_at.map(age),
            retained: held.retained,
            retained_bytes: held.retained_bytes,
            ..file
        }
    }
}

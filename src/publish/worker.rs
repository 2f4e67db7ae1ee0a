//! A worker: one batch on its way, round after round.
//!
//! A round is a pause (none before the first) and a delivery with its retries, up to where something is settled. The
//! pipeline books that and gives the worker the next round; where the delivery was not through, it goes on there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::course::Course;
use super::delivery::{Delivery, Ending};
use super::lanes::Batch;
use super::suspects::RoundNumber;
use crate::events::EncodedEvent;
use crate::retry::backoff;

/// The shortest wait for a trial that is under way.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// So many pauses an event that was refused gives way to others at most, so that it is tried again whatever happens.
const MOST_PAUSES: usize = 16;

/// A batch and what happened to it so far.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    pub(super) batch: Batch,
    /// How far its delivery has come.
    course: Course,
    /// The round that it is in, or was in last.
    round: RoundNumber,
    /// The round in which its one event was first refused, while it is a suspect.
    pub(super) first_refused: Option<RoundNumber>,
    /// Rounds that failed.
    failures: u32,
    /// The breaker let nobody through in the last round.
    refused: bool,
    delivery: &'a Delivery,
    signals: &'a Signals,
}

/// How a worker is spoken to.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Hand back what you hold.
    pub(super) give_up: CancellationToken,
    /// Do not wait any longer, try now.
    pub(super) hurry: Notify,
    /// How many workers pause.
    pub(super) pausing: AtomicUsize,
    /// An event that was refused waits on: there are others to be tried, which show more than its next refusal.
    pub(super) others_first: AtomicBool,
}

/// Counts a pause for as long as it lasts, however it ends.
struct Pausing<'a>(&'a AtomicUsize);

impl<'a> Pausing<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Pausing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a round did: an ending for each event of the batch that has one; none at all where it was given up, and then
/// nothing was settled in it.
#[derive(Debug)]
pub(super) struct Round<'a> {
    pub(super) worker: Worker<'a>,
    pub(super) endings: Vec<Option<Ending>>,
}

impl<'a> Worker<'a> {
    /// A worker for `batch`.
    pub(super) fn new(batch: Batch, delivery: &'a Delivery, signals: &'a Signals) -> Self {
        let course = Course::default();
        Self { batch, course, round: 0, first_refused: None, failures: 0, refused: false, delivery, signals }
    }

    /// It is sent off into this round.
    pub(super) const fn begin(&mut self, round: RoundNumber) {
        self.round = round;
    }

    /// The round that has just ended.
    pub(super) const fn ended_round(&self) -> RoundNumber {
        self.round
    }

    /// Rounds so far, the one that has just ended included.
    pub(super) fn rounds(&self) -> u64 {
        u64::from(self.failures).saturating_add(1)
    }

    /// Remembers a failed round.
    pub(super) const fn note_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Remembers whether the breaker let nobody through in the last round.
    pub(super) const fn note_refusal(&mut self, refused: bool) {
        self.refused = refused;
    }

    pub(super) async fn round(mut self) -> Round<'a> {
        let several: Vec<EncodedEvent>;
        let events = if let [event] = self.batch.events.as_slice() {
            std::slice::from_ref(&event.encoded)
        } else {
            several = self.batch.events.iter().map(|event| event.encoded.clone()).collect();
            &several
        };
        let endings = if self.signals.give_up.is_cancelled() {
            Vec::new()
        } else {
            let pause = if self.course.is_under_way() { Duration::ZERO } else { self.pause() };
            let pauses = if self.first_refused.is_some() { MOST_PAUSES } else { 1 };
            // The endings first: what was delivered counts as such, also in the moment of giving up.
            tokio::select! {
                biased;
                endings = attempt(self.delivery, self.signals, (pause, pauses), events, &mut self.course) => endings,
                () = self.signals.give_up.cancelled() => Vec::new(),
            }
        };
        Round { worker: self, endings }
    }

    /// The backoff goes on from round to round, up to its cap; a breaker that is open is waited for, and one that has a
    /// trial under way is not asked again at once: that trial needs the time.
    fn pause(&self) -> Duration {
        let held = self.delivery.held_for().unwrap_or_default();
        let retrier = self.delivery.retrier();
        let waited = match self.failures {
            0 if self.refused => retrier.config().initial_backoff,
            0 => Duration::ZERO,
            n => backoff(retrier.config(), retrier.config().max_retries.saturating_add(n - 1), retrier.draw()),
        };
        waited.max(held).max(if self.refused { LEAST_PAUSE } else { Duration::ZERO })
    }
}

async fn attempt(
    delivery: &Delivery,
    signals: &Signals,
    (pause, pauses): (Duration, usize),
    events: &[EncodedEvent],
    course: &mut Course,
) -> Vec<Option<Ending>> {
    if !pause.is_zero() {
        let _pausing = Pausing::new(&signals.pausing);
        for _ in 0..pauses {
            tokio::select! {
                () = delivery.clock().sleep(pause) => {}
                () = signals.hurry.notified() => {}
            }
            if !signals.others_first.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    delivery.advance(events, course).await
}

//! A worker: one batch on its way, round after round.
//!
//! A round is a step of the delivery: it ends where something is settled, and before each wait. The pipeline books what is
//! settled and gives the worker its next round: at once where the delivery goes on, after [`Worker::wait`] else.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::course::Course;
use super::delivery::{Delivery, Ending};
use super::intake::Taken;
use super::lanes::Batch;
use super::suspects::RoundNumber;
use crate::clock::Monotonic;
use crate::events::EncodedEvent;
use crate::retry::backoff;

/// So many waits an event that was refused gives way to others at most, so that it is tried again whatever happens.
const MOST_WAITS: u32 = 16;

/// An event whose refusal would show nothing is looked at again after this time at the earliest.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

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
    /// The batch was refused whole in the round behind this number.
    refused_whole: Option<RoundNumber>,
    /// Rounds that failed.
    failures: u32,
    /// The last wait, and for how many more of its length it gave way to others.
    waited: Duration,
    gave_way: u32,
    delivery: &'a Delivery,
    give_up: &'a CancellationToken,
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
    pub(super) fn new(batch: Batch, delivery: &'a Delivery, give_up: &'a CancellationToken) -> Self {
        Self {
            batch,
            course: Course::default(),
            round: 0,
            first_refused: None,
            refused_whole: None,
            failures: 0,
            waited: Duration::ZERO,
            gave_way: 0,
            delivery,
            give_up,
        }
    }

    /// It is sent off into this round.
    pub(super) const fn begin(&mut self, round: RoundNumber) {
        self.round = round;
    }

    /// The round that has just ended.
    pub(super) const fn ended_round(&self) -> RoundNumber {
        self.round
    }

    /// When the first of what is left was first refused, which was in the round that has just ended or, with others, before.
    pub(super) fn first_refusal(&self) -> RoundNumber {
        self.refused_whole.unwrap_or(self.round)
    }

    /// Whether what is left and what its last round settled was refused before, all together.
    pub(super) const fn was_refused_whole(&self) -> bool {
        self.refused_whole.is_some()
    }

    /// Rounds so far, the one that has just ended included.
    pub(super) fn rounds(&self) -> u64 {
        u64::from(self.failures).saturating_add(1)
    }

    /// Remembers a failed round.
    pub(super) const fn note_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub(super) async fn round(mut self) -> Round<'a> {
        let several: Vec<EncodedEvent>;
        let events = if let [event] = self.batch.events.as_slice() {
            std::slice::from_ref(&event.encoded)
        } else {
            several = self.batch.events.iter().map(|event| event.encoded.clone()).collect();
            &several
        };
        let endings = if self.give_up.is_cancelled() {
            Vec::new()
        } else {
            // The endings first: what was delivered counts as such, also in the moment of giving up.
            tokio::select! {
                biased;
                endings = self.delivery.advance(events, &mut self.course) => endings,
                () = self.give_up.cancelled() => Vec::new(),
            }
        };
        if self.course.is_parted() {
            // What its halves deliver in the same round was sent after it was refused.
            self.refused_whole.get_or_insert(self.round.saturating_sub(1));
        }
        Round { worker: self, endings }
    }

    /// How long to wait before the next round: for a retry, or where the retries are used up. The backoff goes on from
    /// round to round, up to its cap.
    pub(super) fn wait(&mut self) -> Duration {
        let retrier = self.delivery.retrier();
        self.gave_way = 0;
        self.waited = match (self.course.take_wait(), self.failures) {
            (Some(wait), _) => wait,
            (None, 0) => Duration::ZERO,
            (None, _) if self.course.is_under_way() => Duration::ZERO,
            (None, n) => backoff(retrier.config(), retrier.config().max_retries.saturating_add(n - 1), retrier.draw()),
        };
        self.waited
    }

    /// How much longer to wait where another refusal would show nothing.
    pub(super) fn wait_on(&self) -> Duration {
        self.waited.max(self.delivery.retrier().config().initial_backoff).max(SHORTEST_WAIT)
    }

    /// How much longer to wait where others that were not tried yet go first. Only an event that was refused gives way,
    /// and not for ever.
    pub(super) fn give_way(&mut self) -> Option<Duration> {
        self.gave_way += 1;
        let gives_way = self.first_refused.is_some() && !self.course.is_under_way() && self.gave_way < MOST_WAITS;
        Some(self.waited).filter(|wait| gives_way && !wait.is_zero())
    }
}

/// Workers that wait for their next round. They hold a batch and make no attempt.
#[derive(Debug, Default)]
pub(super) struct Waiting<'a> {
    /// By the time until which they wait, and by their number.
    workers: BTreeMap<(Monotonic, u64), Worker<'a>>,
    /// How many have come so far.
    count: u64,
}

impl<'a> Waiting<'a> {
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    pub(super) fn insert(&mut self, worker: Worker<'a>, until: Monotonic) {
        self.count += 1;
        self.workers.insert((until, self.count), worker);
    }

    /// When the first of them has waited enough.
    pub(super) fn first(&self) -> Option<Monotonic> {
        self.workers.first_key_value().map(|((until, _), _)| *until)
    }

    /// The one that has waited enough for the longest time, and since when.
    pub(super) fn take_due(&mut self, now: Monotonic) -> Option<(Monotonic, Worker<'a>)> {
        let first = self.workers.first_entry().filter(|first| first.key().0 <= now)?;
        let ((until, _), worker) = first.remove_entry();
        Some((until, worker))
    }

    /// Those of which `is_meant` holds wait no longer: they are due since time zero.
    pub(super) fn hurry(&mut self, is_meant: impl Fn(&Worker<'a>) -> bool) {
        let workers = std::mem::take(&mut self.workers).into_iter();
        let hurried = |((until, n), worker): ((Monotonic, u64), Worker<'a>)| {
            ((if is_meant(&worker) { Monotonic::ZERO } else { until }, n), worker)
        };
        self.workers = workers.map(hurried).collect();
    }

    /// The first event of each batch.
    pub(super) fn first_events(&mut self) -> impl Iterator<Item = &mut Taken> {
        self.workers.values_mut().filter_map(|worker| worker.batch.events.first_mut())
    }

    /// All of them.
    pub(super) fn into_workers(self) -> impl Iterator<Item = Worker<'a>> {
        self.workers.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_due_in_the_order_of_their_times() {
        let clock = std::sync::Arc::new(crate::clock::ManualClock::at_unix(0));
        let retrier = crate::retry::Retrier::new(crate::retry::RetryConfig::default()).unwrap();
        let sink = crate::transport::connect(&crate::transport::Destination::Stdio, &Default::default()).unwrap();
        let delivery = Delivery::new(sink.into(), retrier, None, Duration::from_secs(1), clock);
        let give_up = CancellationToken::new();
        let worker = |number| {
            let mut worker = Worker::new(Batch::default(), &delivery, &give_up);
            worker.begin(number);
            worker
        };
        let at = Duration::from_secs;
        let mut waiting = Waiting::default();
        for (number, until) in [(0, 5), (1, 2), (2, 5), (3, 9)] {
            waiting.insert(worker(number), at(until));
        }
        assert_eq!((waiting.len(), waiting.first()), (4, Some(at(2))));
        assert!(waiting.take_due(at(1)).is_none());
        let mut due = |now| waiting.take_due(at(now)).map(|(_, worker)| worker.ended_round());
        assert_eq!([due(5), due(5), due(5), due(5)], [Some(1), Some(0), Some(2), None]);
        waiting.hurry(|_| false);
        assert_eq!(waiting.first(), Some(at(9)));
        waiting.hurry(|_| true);
        assert_eq!(waiting.first(), Some(Duration::ZERO));
        assert_eq!(waiting.into_workers().count(), 1);
    }
}

//! A batch on its way, step by step: halves and retries.
//!
//! A step ends as soon as something is settled, so that it is booked and does not depend on what becomes of the rest:
//! a batch that goes event by event, or that waits for a part of it, may take longer than the run lasts. It ends before a
//! wait too, so that whoever limits the attempts under way does not count a batch that makes none.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::delivery::{Attempt, Deferral, Delivery, Ending};
use crate::circuit_breaker::Refusal;
use crate::events::EncodedEvent;
use crate::retry::{Retryable as _, next_wait};
use crate::transport::{Failure, FailureKind, Outcome};

/// How far a batch has come that goes on: what a step leaves for the next one.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// How many events each part has of what is left, the next part last. Empty where all go together.
    parts: Vec<usize>,
    /// Retries of the next part so far.
    retries: u32,
    /// What the next part failed by, where it did.
    failure: Option<Failure>,
    /// How long it waits for its retry.
    wait: Option<Duration>,
    /// The breaker let no attempt through in the last step.
    refusal: Option<Refusal>,
    /// It was refused whole, and goes on in parts.
    is_parted: bool,
}

impl Course {
    /// Whether the batch goes on with its next step. Where not, every event of it has an ending.
    pub(super) const fn is_under_way(&self) -> bool {
        !self.parts.is_empty()
    }

    /// How long to wait before the next step, where it is a retry. Asked once a step.
    pub(super) const fn take_wait(&mut self) -> Option<Duration> {
        self.wait.take()
    }

    /// Why the last step made no attempt, if the breaker let none through.
    pub(super) const fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// What to say of the events that are left, if they are not waited for: the failure of the last attempt, which tells
    /// people more than a refusal.
    pub(super) fn deferral(self) -> Deferral {
        let refusal = self.refusal.map(Deferral::Refused);
        self.failure.map(Deferral::Failed).or(refusal).unwrap_or_else(|| Deferral::Failed(unanswered()))
    }

    /// Whether it was refused whole, so that what goes through from then on was sent after that.
    pub(super) const fn is_parted(&self) -> bool {
        self.is_parted
    }

    /// The next part is halved.
    fn halve(&mut self, size: usize) {
        self.next_part();
        self.is_parted = true;
        self.parts.extend([size - size / 2, size / 2]);
    }

    /// The next part is through.
    fn next_part(&mut self) {
        self.parts.pop();
        *self = Self { parts: std::mem::take(&mut self.parts), is_parted: self.is_parted, ..Self::default() };
    }
}

/// What a part of a batch came to.
enum Step {
    /// It is to be halved.
    Halve,
    /// Something is settled, or everything has to wait.
    Ended,
}

impl Delivery {
    /// Delivers `events` on until some of them are settled, and says for each how it ended; those without an ending are
    /// to be given to the next step, in the same order and without any others, as long as `course` is under way. Where it
    /// no longer is, one was refused as if the destination were set up wrong: those behind it that need not wait for it
    /// may go in other batches.
    pub(super) async fn advance(&self, events: &[EncodedEvent], course: &mut Course) -> Vec<Option<Ending>> {
        let mut first = None;
        if !course.is_under_way() {
            let made = self.attempt(events).await;
            if let Ok(outcomes) = &made
                && outcomes.len() == events.len()
                && outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered | Outcome::Duplicate))
            {
                return outcomes.iter().map(|outcome| Some(ending(outcome.clone()))).collect();
            }
            *course = Course { parts: vec![events.len()], ..Course::default() };
            first = Some(made);
        }
        // Rare and large: the usual way does not carry its state along.
        Box::pin(self.advance_on(events, course, first)).await
    }

    /// Goes on where a part is left. `made` is what an attempt gave that was made already.
    async fn advance_on(
        &self,
        events: &[EncodedEvent],
        course: &mut Course,
        mut made: Option<Result<Vec<Outcome>, Attempt>>,
    ) -> Vec<Option<Ending>> {
        let mut endings: Vec<Option<Ending>> = vec![None; events.len()];
        course.refusal = None;
        while let Some(&size) = course.parts.last() {
            let size = size.min(events.len());
            let result = match made.take() {
                Some(result) => result,
                None => self.attempt(events.get(..size).unwrap_or(events)).await,
            };
            if course.failure.is_some() && !matches!(result, Err(Attempt::Refused(_))) {
                self.counters.retries.fetch_add(1, Ordering::Relaxed);
            }
            match self.judge(result, size, course, &mut endings) {
                Step::Halve => course.halve(size),
                Step::Ended => break,
            }
        }
        let deferred = endings.iter().filter(|ending| matches!(ending, Some(Ending::Deferred(_)))).count();
        self.counters.deferred.fetch_add(deferred as u64, Ordering::Relaxed);
        endings
    }

    /// What an attempt with the next part, the first `size` events, means for it and for those behind it.
    fn judge(
        &self,
        result: Result<Vec<Outcome>, Attempt>,
        size: usize,
        course: &mut Course,
        endings: &mut [Option<Ending>],
    ) -> Step {
        let mut outcomes = match result {
            Err(Attempt::Refused(refusal)) => {
                // No attempt was made: the next step makes it.
                course.refusal = Some(refusal);
                return Step::Ended;
            }
            Err(Attempt::Failed(failure)) if failure.may_be_of_one_event() && size > 1 => return Step::Halve,
            Err(Attempt::Failed(failure)) => vec![Outcome::Failed(failure); size],
            Ok(outcomes) => outcomes,
        };
        outcomes.resize_with(size, || Outcome::Failed(unanswered()));
        let mut failed = 0;
        let mut longest: Option<Failure> = None;
        let (mut waiting, mut refused) = (None, None);
        for (slot, outcome) in endings.iter_mut().zip(outcomes) {
            match &outcome {
                Outcome::Failed(failure) if failure.kind.is_temporary() => {
                    failed += 1;
                    longest =
                        longest.filter(|it| it.retry_after >= failure.retry_after).or_else(|| Some(failure.clone()));
                }
                Outcome::Failed(failure) if failure.kind == FailureKind::Destination => {
                    let why = if failure.may_be_of_one_event() { &mut refused } else { &mut waiting };
                    why.get_or_insert_with(|| Ending::Misdirected(failure.clone()));
                }
                Outcome::Failed(_) | Outcome::Delivered | Outcome::Duplicate => {}
            }
            *slot = Some(ending(outcome));
        }
        if failed == 0 && waiting.is_none() {
            if refused.is_some() {
                *course = Course::default();
            } else {
                course.next_part();
            }
            return Step::Ended;
        }
        let waiting = waiting.or(refused);
        // A set-up that is wrong is not mended by trying again.
        let again = longest.filter(|_| waiting.is_none()).and_then(|failure| {
            let wait = next_wait(self.retrier().config(), failure.verdict(), course.retries, self.retrier().draw());
            wait.map(|wait| (wait, failure))
        });
        let Some((wait, failure)) = again else {
            let deferred = || endings.iter().flatten().find(|ending| matches!(ending, Ending::Deferred(_))).cloned();
            if let Some(waiting) = waiting.or_else(deferred) {
                all_wait(&waiting, course, endings);
            }
            return Step::Ended;
        };
        course.retries += 1;
        tracing::debug!(retry = course.retries, ?wait, %failure, "trying again");
        (course.wait, course.failure) = (Some(wait), Some(failure));
        if let Some(part) = course.parts.last_mut() {
            *part = failed;
        }
        // Nothing is decided about them.
        endings.iter_mut().filter(|it| matches!(it, Some(Ending::Deferred(_)))).for_each(|ending| *ending = None);
        Step::Ended
    }
}

/// Nothing may overtake: what has no ending yet waits as the part before it does, and next time all go together.
fn all_wait(waiting: &Ending, course: &mut Course, endings: &mut [Option<Ending>]) {
    *course = Course::default();
    for ending in endings.iter_mut().filter(|ending| ending.is_none()) {
        *ending = Some(waiting.clone());
    }
}

/// A sink that said too little.
pub(super) fn unanswered() -> Failure {
    Failure::service("the sink reported nothing for this event")
}

fn ending(outcome: Outcome) -> Ending {
    match outcome {
        Outcome::Delivered => Ending::Delivered { duplicate: false },
        Outcome::Duplicate => Ending::Delivered { duplicate: true },
        Outcome::Failed(failure) => match failure.kind {
            FailureKind::Service | FailureKind::Local => Ending::Deferred(Deferral::Failed(failure)),
            FailureKind::Event => Ending::Dead(failure),
            FailureKind::Destination => Ending::Misdirected(failure),
        },
    }
}

#[cfg(test)]
mod tests;
